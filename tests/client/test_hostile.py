"""A service that is broken, or none at all: no crash, no spin, no task left, no clock wrong in silence."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from synckairos.client import Session, SyncKairos
from synckairos.client import commands as client_commands
from synckairos.client import connection as client_connection
from synckairos.client import follower as client_follower
from synckairos.client.errors import (
    ClientClosed,
    ConnectionLost,
    NetworkTimeout,
    SyncKairosError,
    UnexpectedAnswer,
)
from synckairos.client.http import Http, is_loopback, retry_after_ms, token_of
from synckairos.client.server_time import ServerTime
from synckairos.client.time import ClockFilter
from synckairos.run.processes import free_port
from tests.client.conftest import ANNA, BEN, made
from tests.support.lines import answering
from tests.support.live import PATIENCE_S, Service, eventually, game

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]
ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
START_MS = 1_800_000_000_000


def state(version: int = 2, **fields: Any) -> Json:
    """A game of two with ten minutes each."""
    people = [
        {
            "participant_id": one,
            "participant_index": index,
            "total_time_ms": 600_000,
            "time_remaining_ms": 600_000,
            "is_active": index == 0,
            "clock": {},
        }
        for index, one in enumerate((ANNA, BEN))
    ]
    return {
        "session_id": ID,
        "version": version,
        "epoch": "1",
        "status": "running",
        "server_time_ms": START_MS,
        "participants": people,
        "active_participant_id": ANNA,
        "time_control": {"kind": "fischer"},
        "action_on_timeout": {"type": "end_session"},
        "time_remaining_ms": 600_000,
        "cycle_elapsed_ms": 0,
        "cycle_started_at": "2027-01-15T08:00:00.000Z",
        "deadline_ms": START_MS + 600_000,
        **fields,
    }


class Broken:
    """A service of one session that greets as it should, and answers as it is told."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[ServerConnection] = []
        self.heard: list[Json] = []
        self.state = state()
        self.greets = True
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.answer: Callable[[Json], list[Json]] = self.caught_up

    def caught_up(self, message: Json) -> list[Json]:
        if message["type"] == "RECONNECT":
            return [{"type": "RECONNECT_ACK", "success": True, "replayed": "full"}, self.synced()]
        return []

    def synced(self) -> Json:
        return {"type": "STATE_SYNC", "payload": {"full_state": self.state}}

    def kinds(self, kind: str) -> list[Json]:
        return [message for message in self.heard if message["type"] == kind]

    async def send(self, text: str) -> None:
        await self.connections[-1].send(text)

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            await connection.send('{"type":"CONNECTED"}')
            if self.greets:
                await connection.send(json.dumps(self.synced()))
            async for text in connection:
                message = json.loads(text)
                self.heard.append(message)
                for answer in self.answer(message):
                    await connection.send(json.dumps(answer))
        except ConnectionClosed:
            pass

    def refuse(self, _: ServerConnection, __: Request) -> Response | None:
        if self.refusal is None:
            return None
        status, headers = self.refusal
        return Response(status, "No", Headers(headers), b"<html>log in</html>")


@asynccontextmanager
async def broken() -> AsyncIterator[Broken]:
    service = Broken()
    async with serve(service.serve, "127.0.0.1", 0, process_request=service.refuse) as server:
        service.port = server.sockets[0].getsockname()[1]
        yield service


@asynccontextmanager
async def following(
    service: Broken, reconnect_attempts: float = math.inf
) -> AsyncIterator[tuple[Session, list[SyncKairosError]]]:
    client = SyncKairos(f"http://127.0.0.1:{service.port}", reconnect_attempts=reconnect_attempts)
    async with client, client.session(ID) as session:
        errors: list[SyncKairosError] = []
        session.on_error(errors.append)
        await eventually(lambda: session.connection == "live")
        yield session, errors


def event(version: int, **payload: Any) -> Json:
    return {
        "type": "STATE_UPDATE",
        "session_id": ID,
        "version": version,
        "epoch": "1",
        "server_time_ms": START_MS + 1000,
        "payload": {"event": "session.paused", "status": "paused", **payload},
    }


GARBAGE = {
    "HTML": "<html>log in</html>",
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "half a message": '{"v":1,"type":"STATE_SYNC","payload":{"full_st',
    "a state without anything": json.dumps({"type": "STATE_SYNC", "payload": {"full_state": {}}}),
    "a state whose deadline is text": json.dumps(
        {"type": "STATE_SYNC", "payload": {"full_state": state(3, deadline_ms="soon")}}
    ),
    "a state that began at no time": json.dumps(
        {"type": "STATE_SYNC", "payload": {"full_state": state(3, cycle_started_at="then")}}
    ),
    "an event without a status": json.dumps({**event(3), "payload": {"event": "session.paused"}}),
    "an event at no time": json.dumps({**event(3), "server_time_ms": "now"}),
    "an answer that is none": json.dumps({"type": "RECONNECT_ACK"}),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_a_message_that_is_not_understood_is_told_and_the_whole_state_asked_for(garbage: str) -> None:
    async with broken() as service, following(service) as (session, errors):
        service.state = state(4, status="paused", deadline_ms=None, cycle_started_at=None)
        await service.send(garbage)
        await eventually(lambda: session.state.version == 4)
        await eventually(lambda: session.connection == "live")
        assert [type(error) for error in errors] == [UnexpectedAnswer]
        assert service.kinds("RECONNECT") == []  # the log would have it again


async def test_a_service_that_is_never_understood_is_given_up() -> None:
    async with broken() as service, following(service, 3) as (session, errors):
        service.state = {}
        await service.send("garbage")
        await eventually(lambda: closed(session))
        assert isinstance(session.close_reason, ConnectionLost)
        assert len(service.connections) == 4
        assert session.state.version == 2
        assert errors[-1] is session.close_reason


async def test_garbage_after_every_greeting_is_given_up_too() -> None:
    async with broken() as service, following(service, 3) as (session, _):
        session.on_connection(lambda said: garble() if said == "live" else None)
        tasks: set[asyncio.Task[None]] = set()

        def garble() -> None:
            tasks.add(asyncio.create_task(service.send("garbage")))

        garble()
        await eventually(lambda: closed(session))
        assert len(service.connections) == 4
        await asyncio.gather(*tasks)


def closed(session: Session) -> bool:
    return session.connection == "closed"


async def test_messages_of_an_unknown_type_and_unknown_fields_change_nothing() -> None:
    async with broken() as service, following(service) as (session, errors):
        for message in (
            {"v": 2, "type": "WEATHER", "payload": {"sun": True}},
            {"type": "ACK", "request_id": "of nobody", "version": 9},
            {**event(3, sun=True), "weather": "fine"},
        ):
            await service.send(json.dumps(message))
        await eventually(lambda: session.state.version == 3)
        assert errors == []
        assert len(service.connections) == 1


async def test_an_epoch_that_is_a_number_is_the_same_as_in_text() -> None:
    async with broken() as service:
        service.state = state(epoch=1)
        async with following(service) as (session, errors):
            await service.send(json.dumps({**event(3), "epoch": 1}))
            await eventually(lambda: session.state.version == 3)
            assert session.state.epoch == "1"
            assert errors == []


async def test_an_older_state_is_not_shown_and_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    async with broken() as service:
        service.state = state(7)
        async with following(service, 2) as (session, _):
            monkeypatch.setattr(client_connection, "STATE_S", 0.3)
            service.state = state(6)
            service.answer = lambda _: []
            await service.send("garbage")
            await eventually(lambda: closed(session))
            assert session.state.version == 7


async def test_a_service_that_greets_and_says_nothing_more_is_left_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_connection, "STATE_S", 0.3)
    async with broken() as service:
        service.greets = False
        async with SyncKairos(f"http://127.0.0.1:{service.port}", reconnect_attempts=2) as client:
            with pytest.raises(ConnectionLost):
                await client.session(ID).ready()
        assert len(service.connections) == 3


async def test_a_gap_that_is_never_filled_is_not_asked_for_without_end() -> None:
    async with broken() as service, following(service) as (session, errors):
        service.answer = lambda message: (
            [{"type": "RECONNECT_ACK", "replayed": 10**300}, event(9)]
            if message["type"] == "RECONNECT"
            else []
        )
        service.state = state(9)
        await service.send(json.dumps(event(9)))
        await eventually(lambda: session.state.version == 9)
        assert len(service.kinds("RECONNECT")) == client_follower.GAP_TRIES
        assert [type(error) for error in errors] == [UnexpectedAnswer]


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_a_command_that_nothing_comes_of_is_taken_back_in_the_end(
    monkeypatch: pytest.MonkeyPatch, *, acknowledged: bool
) -> None:
    monkeypatch.setattr(client_commands, "ANSWER_S", 0.2)
    monkeypatch.setattr(client_commands, "EVENT_S", 0.1)

    def answer(message: Json) -> list[Json]:
        if message["type"] == "SWITCH" and acknowledged:
            return [{"type": "ACK", "request_id": message["request_id"], "version": 10**9}]
        if message["type"] == "PING":
            return [{"type": "PONG", "t1": message["t1"], "t2": START_MS, "t3": START_MS}]
        return service.caught_up(message)

    async with broken() as service, following(service) as (session, _):
        service.answer = answer
        switching = asyncio.create_task(session.switch(next=BEN))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(NetworkTimeout):
                await switching
        assert not session.pending
        assert session.state.active_participant_id == ANNA
        assert len({message["request_id"] for message in service.kinds("SWITCH")}) == 1


@pytest.mark.parametrize("code", [1000, 1002, 1011, 3000, 4999])
async def test_close_codes_that_nobody_has_seen_lead_to_another_attempt(code: int) -> None:
    async with broken() as service, following(service) as (session, errors):
        await service.connections[-1].close(code)
        await eventually(lambda: len(service.connections) == 2 and session.connection == "live")
        assert errors == []


async def test_a_proxy_that_wants_a_login_is_no_service() -> None:
    async with broken() as service:
        service.refusal = 302, {"Location": "/login"}
        async with SyncKairos(f"http://127.0.0.1:{service.port}") as client:
            with pytest.raises(SyncKairosError):
                await client.session(ID).ready()
        assert service.connections == []


async def test_a_moment_to_come_again_that_is_far_away_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_connection, "LONGEST_WAIT_S", 0.1)
    async with broken() as service:
        service.refusal = 503, {"Retry-After": "1000000000"}
        async with SyncKairos(f"http://127.0.0.1:{service.port}") as client:
            session = client.session(ID)
            told: list[SyncKairosError] = []
            session.on_error(told.append)
            await eventually(lambda: bool(told))
            service.refusal = None
            await eventually(lambda: session.connection == "live")
            assert told[0].retry_after_ms == 10**12


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (None, None),
        ("2", 2000),
        ("1000000000", 10**12),
        ("Wed, 21 Oct 2037 07:28:00 GMT", None),
        ("1e308", None),
        ("1e400", None),
        ("nan", None),
        ("-5", None),
        ("", None),
        ("9" * 400, None),
    ],
)
async def test_retry_after_is_a_number_of_seconds_or_nothing(value: str | None, ms: int | None) -> None:
    assert retry_after_ms(value) == ms


# Time


async def test_an_answer_that_took_longer_than_it_was_under_way_is_no_sample() -> None:
    clock = ClockFilter()
    clock.add(0, 1_000, 11_000, 20)
    clock.add(0, 1_000, 900, 20)
    clock.add(0, -math.inf, math.inf, 20)
    assert clock.estimate(20) is None
    clock.add(0, 1_000, 1_021, 20)  # stamps are cut to whole ms
    assert clock.estimate(20) is not None


async def test_a_time_that_is_none_does_not_end_the_measuring() -> None:
    answers: list[Any] = ["1800000000000", None, []]

    def answer(message: Json) -> list[Json]:
        if message["type"] != "PING":
            return []
        now = answers.pop() if answers else START_MS
        return [{"type": "PONG", "t1": message["t1"], "t2": now, "t3": now}]

    async with broken() as service:
        service.answer = answer
        async with following(service) as (session, _):
            time = session._service.time
            assert time.now_ms() is None
            await eventually(lambda: time.now_ms() is not None)
            assert answers == []


# Tokens


async def test_a_token_function_that_fails_is_a_failed_attempt() -> None:
    given: list[Exception | str] = [ValueError("not yet"), ConnectionLost("nor now"), "token"]

    def token() -> str:
        found = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(found, Exception):
            raise found
        return found

    async with broken() as service, SyncKairos(f"http://127.0.0.1:{service.port}", token) as client:
        session = client.session(ID)
        told: list[str] = []
        session.on_error(lambda error: told.append(error.message))
        await eventually(lambda: session.connection == "live")
        assert "not yet" in told[0]
        assert told[1] == "nor now"


async def test_a_token_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synckairos.client.http.ANSWER_S", 0.05)

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(NetworkTimeout):
        await token_of(never)
    async with SyncKairos(f"http://127.0.0.1:{free_port()}", never, reconnect_attempts=1) as client:
        with pytest.raises(ConnectionLost):
            await client.session(ID).ready()
        with pytest.raises(NetworkTimeout):
            await client.presets()


# Answers over HTTP


async def answered(body: bytes, call: Callable[[SyncKairos], Awaitable[object]]) -> object:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()

    async with answering(serve_one) as port, SyncKairos(f"http://127.0.0.1:{port}") as client:
        return await call(client)


@pytest.mark.parametrize(
    "body", [b"7", b'"data"', b"[]", b"null", b"{}", b'{"data":7}', b'{"data":{"version":"x"}}']
)
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.presets(),
        lambda client: client.list(),
        lambda client: client.get(ID),
        lambda client: client.create({}),
        lambda client: client.session(ID).start(),
        lambda client: client.session(ID).events(),
    ],
    ids=["presets", "list", "get", "create", "start", "events"],
)
async def test_answers_that_are_json_and_no_answer_are_errors_of_their_own(
    body: bytes, call: Callable[[SyncKairos], Awaitable[object]]
) -> None:
    with pytest.raises(UnexpectedAnswer):
        await answered(body, call)


# Proxies


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8080/clocks", True),
        ("https://localhost", True),
        ("http://clock.localhost:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
        ("https://clock.example.org", False),
    ],
)
async def test_which_services_are_on_this_machine(url: str, *, own: bool) -> None:
    assert is_loopback(url) is own


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "socks_proxy")


@pytest.mark.parametrize("kind", ["http", "socks5", "socks"])
async def test_no_proxy_stands_before_a_service_on_this_machine(
    live: Service, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, f"{kind}://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    session_id = await game(live.sessions)
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        assert (await client.get(session_id)).version == 2
        async with client.session(session_id) as session:
            assert await made(session.switch()) == 3


async def test_a_service_elsewhere_is_asked_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with answering(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        async with Http("http://clock.test") as http:
            with pytest.raises(SyncKairosError):
                await http.request("GET", "/v1/time", tries=1)
        assert asked == ["GET http://clock.test/v1/time HTTP/1.1\r\n"]
        async with SyncKairos("http://clock.test", reconnect_attempts=0) as client:
            with pytest.raises(ConnectionLost):
                await client.session(ID).ready()
        assert "CONNECT clock.test:80 HTTP/1.1\r\n" in asked


# Closing


async def test_a_session_may_be_closed_by_any_of_its_callbacks() -> None:
    def close(session: Session) -> Callable[..., None]:
        return lambda *_: session._follower.close(None)

    for name, text in (
        ("on_change", json.dumps(event(3))),
        ("on_error", "garbage"),
        ("on_connection", "garbage"),
    ):
        async with broken() as service, following(service) as (session, _):
            getattr(session, name)(close(session))
            await service.send(text)
            await eventually(functools.partial(closed, session))
            assert session.close_reason is None
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait([session._follower.connection._task])
            assert len(service.connections) == 1


async def test_a_callback_told_of_the_end_may_follow_the_session_anew() -> None:
    async with broken() as service, SyncKairos(f"http://127.0.0.1:{service.port}") as client:
        session = client.session(ID)
        await session.ready()
        again: list[Session] = []
        session.on_connection(lambda said: again.append(client.session(ID)) if said == "closed" else None)
        await session.close()
        assert again[0] is not session
        async with asyncio.timeout(PATIENCE_S):
            await again[0].ready()


async def test_two_hundred_sessions_share_one_client_and_its_end() -> None:
    async with broken() as service:
        before = asyncio.all_tasks()
        async with SyncKairos(f"http://127.0.0.1:{service.port}") as client:
            sessions = [client.session(str(uuid.UUID(int=number))) for number in range(200)]
            await asyncio.gather(*(session.ready() for session in sessions))
            assert {session.connection for session in sessions} == {"live"}
            waiting = asyncio.create_task(sessions[0].switch(next=BEN))
            await asyncio.sleep(0)
        with pytest.raises(ClientClosed):
            await waiting
        assert not [task for task in asyncio.all_tasks() - before if "synckairos" in task.get_name()]


# The pauses between attempts


@pytest.mark.parametrize(("chance", "share"), [(0.0, 1.0), (1.0, 0.5), (0.5, 0.75)])
@pytest.mark.parametrize("attempts", [10, 3, math.inf])
async def test_pauses_before_attempts_grow_to_thirty_seconds_and_are_cut_by_chance(
    monkeypatch: pytest.MonkeyPatch, attempts: float, chance: float, share: float
) -> None:
    monkeypatch.setattr(client_connection, "RECONNECT_AFTER_S", PAUSES_S)
    monkeypatch.setattr(random, "random", lambda: chance)
    pauses: list[float] = []
    at_once = asyncio.sleep
    expected = 25 if math.isinf(attempts) else attempts

    async def sleep(seconds: float) -> None:
        if asyncio.current_task() is not session._follower.connection._task:
            return await at_once(seconds)
        if len(pauses) == expected:  # for ever: long enough to see that
            await asyncio.Event().wait()
        pauses.append(seconds)
        return await at_once(0)

    async with SyncKairos(
        f"http://127.0.0.1:{free_port()}", reconnect_attempts=attempts, time=ServerTime()
    ) as client:
        session = client.session(ID)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        while len(pauses) < expected and loop.time() < end:
            await at_once(0.01)
        if math.isinf(attempts):
            assert session.connection == "connecting"
        else:
            with pytest.raises(ConnectionLost):
                await session.ready()
        schedule = [1, 2, 4, 8, 16, *[30] * 100]
        assert pauses == [share * seconds for seconds in schedule[: len(pauses)]]
        assert len(pauses) == expected
        monkeypatch.undo()


PAUSES_S = client_connection.RECONNECT_AFTER_S
"""As they are, before a test makes them shorter."""


async def test_by_default_a_session_is_given_up_after_ten_attempts() -> None:
    async with SyncKairos(f"http://127.0.0.1:{free_port()}") as client:
        told: list[SyncKairosError] = []
        session = client.session(ID)
        session.on_error(told.append)
        with pytest.raises(ConnectionLost):
            await session.ready()
        assert len(told) == 1 + 10 + 1
