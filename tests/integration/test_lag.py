"""Lag compensation from end to end: what the server measures on a connection is what a switch is credited.

The rules are played under virtual time, so that only what is measured depends on the machine; the alarm is
played in real time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
import redis.asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode

from synckairos import metrics
from synckairos.api.websocket import socket as socket_module
from synckairos.api.websocket.conversation import Conversation
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from tests.support import servers
from tests.support.live import Message, Service, Watcher, eventually, game, service, settings
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = 4_000_000_000_000
"""Virtual time begins so late that the timekeeper, whose clock is the real one, never has anything to do."""


@dataclass
class Stage:
    """A service whose sessions live in virtual time."""

    live: Service
    direct: redis.asyncio.Redis

    async def at(self, ms: int) -> None:
        """Put the time to `ms` after the start."""
        await self.direct.set("sk:{vt}:now", START + ms)

    async def game(self, **config: Any) -> str:
        """A new session with lag compensation that starts at 0."""
        await self.at(0)
        return await game(self.live.sessions, lag_compensation=True, **config)

    async def state(self, session_id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((await self.live.sessions.get(session_id)).raw)
        return state

    def conversation(self, session_id: str) -> Conversation:
        """The server's end of the one WebSocket to this session."""
        conversations = (each for each in self.live.context.websockets if isinstance(each, Conversation))
        (found,) = (each for each in conversations if each._session_id == session_id)
        return found

    def lag_ms(self, session_id: str) -> int | None:
        """What the server has measured on it."""
        return self.conversation(session_id).socket.lag_ms

    @asynccontextmanager
    async def far(self, session_id: str, delay_s: float) -> AsyncIterator[Watcher]:
        """A client that is `delay_s` away, either way, and whose lag was measured."""
        async with Proxy(self.live.port) as proxy:
            proxy.delay_s = delay_s
            url = f"ws://127.0.0.1:{proxy.port}/ws?session_id={session_id}"
            async with connect(url, ping_interval=None) as socket:
                client = Watcher(socket)
                await client.next("CONNECTED")
                await client.next("STATE_SYNC")
                await eventually(lambda: self.lag_ms(session_id) is not None)
                yield client

    @asynccontextmanager
    async def mute(self, session_id: str) -> AsyncIterator[tuple[Mute, Watcher]]:
        """A client that answers no ping by itself."""
        url = self.live.url(session_id)
        async with connect(url, ping_interval=None, create_connection=Mute) as socket:
            assert isinstance(socket, Mute)
            client = Watcher(socket)
            await client.next("CONNECTED")
            await client.next("STATE_SYNC")
            yield socket, client

    async def switch_over_http(self, session_id: str, **body: Any) -> httpx.Response:
        async with httpx.AsyncClient() as http:
            return await http.post(
                f"http://127.0.0.1:{self.live.port}/v1/sessions/{session_id}/switch", json=body
            )


class Mute(ClientConnection):
    """Answers pings only when it is told to."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self.pings: list[bytes] = []
        """Payloads of the pings that it got."""
        self._send_frame = protocol.send_frame
        protocol.send_frame = self._send_unless_pong  # type: ignore[method-assign]

    def _send_unless_pong(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self.pings.append(bytes(frame.data))
        else:
            self._send_frame(frame)

    def answer(self, payload: bytes) -> None:
        """Send a pong."""
        self.transport.write(Frame(Opcode.PONG, payload).serialize(mask=True))


async def switch(client: Watcher) -> Message:
    """Switch, and return the event that came of it."""
    await client.say(type="SWITCH", request_id="now")
    answers = {(answer := await client.next())["type"]: answer for _ in range(2)}
    ack = answers.pop("ACK")
    (event,) = answers.values()
    assert ack["version"] == event["version"]
    return event


async def heard(client: Watcher) -> None:
    """Wait until the server has read all that this client has sent."""
    assert (await client.ask(type="PING", t1=1))["type"] == "PONG"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    with servers.start("valkey") as server:
        async with service(settings(server.url)) as live, server.client() as direct:
            await direct.function_load(Library.assemble(virtual_time=True).payload, replace=True)
            yield Stage(live, direct)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stops the clock that round trips are taken with; call it to put it to so many seconds."""
    now = [1000.0]
    monkeypatch.setattr(socket_module, "monotonic", lambda: now[0])

    def at(seconds: float) -> None:
        now[0] = 1000.0 + seconds

    return at


async def test_a_switch_is_credited_the_lag_of_its_connection(stage: Stage) -> None:
    session_id = await stage.game(seconds=600)  # a quota of 3,000 ms
    async with stage.far(session_id, delay_s=0.1) as client:
        await stage.at(10_000)
        before = stage.lag_ms(session_id)
        event = await switch(client)
        after = stage.lag_ms(session_id)
    assert before is not None
    assert after is not None
    credit = event["payload"]["lag_credit_ms"]
    assert credit in {min(lag, 3000) for lag in (before, after)}
    assert credit >= 200, "it is 100 ms away either way"
    (mover,) = (person for person in event["payload"]["participants"] if person["cycle_count"])
    assert mover["total_time_ms"] == 600_000 - 10_000 + credit
    assert mover["clock"]["quota_ms"] == 3000 + 1000 - credit


async def test_the_quota_bounds_the_credit_whatever_was_measured(stage: Stage) -> None:
    session_id = await stage.game(seconds=1)  # a quota of 450 ms, and 150 more with each switch
    async with stage.far(session_id, delay_s=0.3) as client:
        measured = stage.lag_ms(session_id)
        assert measured is not None
        assert measured >= 600
        await stage.at(900)
        event = await switch(client)
        assert event["payload"]["lag_credit_ms"] == 450
        (mover,) = (person for person in event["payload"]["participants"] if person["cycle_count"])
        assert (mover["total_time_ms"], mover["clock"]["quota_ms"]) == (550, 150)


async def test_a_connection_nearby_is_credited_by_its_first_move(stage: Stage) -> None:
    session_id = await stage.game()
    async with stage.live.follow(session_id) as client:
        await stage.at(10_000)
        # The pong to the first ping, which was ahead of the greeting, is ahead of the move.
        assert "lag_credit_ms" in (await switch(client))["payload"]


@pytest.mark.parametrize(("late_ms", "saved"), [(449, True), (450, False)])
async def test_a_late_switch_is_saved_by_the_measured_lag_until_the_grace_is_over(
    stage: Stage, late_ms: int, *, saved: bool
) -> None:
    session_id = await stage.game(seconds=1)
    async with stage.far(session_id, delay_s=0.3) as client:
        await stage.at(1000 + late_ms)
        event = await switch(client)
    if saved:
        assert event["payload"]["event"] == "cycle.switched"
        assert event["payload"]["lag_credit_ms"] == 450
        (mover,) = (person for person in event["payload"]["participants"] if person["cycle_count"])
        assert mover["total_time_ms"] == 1, "one millisecond less, and it would have been out"
    else:
        assert event["payload"]["event"] == "session.expired"
        assert event["payload"]["late_ms"] == 0


async def test_the_same_switch_without_a_measured_lag_is_too_late(stage: Stage) -> None:
    session_id = await stage.game(seconds=1)
    async with stage.mute(session_id) as (_, client):
        await stage.at(1001)
        event = await switch(client)
    assert event["payload"]["event"] == "session.expired"
    assert event["payload"]["expired_deadline_ms"] == START + 1000


@pytest.mark.parametrize(("late_ms", "saved"), [(311, True), (312, False)])
async def test_a_late_switch_is_saved_by_less_than_its_lag_only(
    stage: Stage, clock: Callable[[float], None], late_ms: int, *, saved: bool
) -> None:
    session_id = await stage.game(seconds=1)
    async with stage.mute(session_id) as (socket, client):
        clock(0.3125)
        socket.answer(socket.pings[0])
        await heard(client)
        assert stage.lag_ms(session_id) == 312
        await stage.at(1000 + late_ms)
        event = await switch(client)
    assert event["payload"]["event"] == ("cycle.switched" if saved else "session.expired")


async def test_the_minimum_of_what_was_measured_is_credited(
    stage: Stage, clock: Callable[[float], None]
) -> None:
    session_id = await stage.game(seconds=600)
    async with stage.mute(session_id) as (socket, client):
        for seconds in (0.5, 0.25, 0.75):
            clock(0)
            stage.conversation(session_id).socket._ping()
            await heard(client)
            clock(seconds)
            socket.answer(socket.pings[-1])
            await heard(client)
        await stage.at(10_000)
        assert (await switch(client))["payload"]["lag_credit_ms"] == 250


async def test_nothing_that_a_client_claims_is_credited(stage: Stage) -> None:
    session_id = await stage.game()
    async with stage.mute(session_id) as (socket, client):
        await client.say(type="CLOCK", offset_ms=-900_000, rtt_ms=900_000, uncertainty_ms=450_000)
        for t1 in (-1e15, 0, 0.5, 1e300):
            await client.ask(type="PING", t1=t1, lag_ms=5000, rtt_ms=5000)
        for payload in (b"", b"5000", bytes(8), (1000).to_bytes(8), socket.pings[0] + b"\0"):
            socket.answer(payload)
        for name in ("lag_ms", "lag", "LAG", "rtt_ms"):
            refused = await client.ask(type="SWITCH", request_id=name, **{name: 5000})
            assert refused["error"]["code"] == "VALIDATION_ERROR"
            assert [detail["field"] for detail in refused["error"]["details"]] == [name]
        assert stage.lag_ms(session_id) is None
        await stage.at(10_000)
        event = await switch(client)
    assert event["payload"]["event"] == "cycle.switched"
    assert "lag_credit_ms" not in event["payload"]
    assert {
        person["total_time_ms"] for person in event["payload"]["participants"] if person["cycle_count"]
    } == {590_000}


async def test_pongs_that_nobody_asked_for_change_nothing(
    stage: Stage, clock: Callable[[float], None]
) -> None:
    session_id = await stage.game()
    async with stage.mute(session_id) as (socket, client):
        clock(0.25)
        socket.answer(socket.pings[0])
        await heard(client)
        clock(90.0)
        for payload in (socket.pings[0], b"", (2**64 - 1).to_bytes(8)):
            socket.answer(payload)
        await heard(client)
        assert stage.lag_ms(session_id) == 250
        await stage.at(10_000)
        assert (await switch(client))["payload"]["lag_credit_ms"] == 250


async def test_a_switch_over_http_is_credited_nothing_and_may_claim_nothing(stage: Stage) -> None:
    session_id = await stage.game()
    async with stage.far(session_id, delay_s=0.05):  # the lag of a WebSocket is no other connection's
        await stage.at(10_000)
        for name in ("lag_ms", "lag", "LAG"):
            refused = await stage.switch_over_http(session_id, **{name: 200})
            assert refused.status_code == 400
            assert [detail["field"] for detail in refused.json()["error"]["details"]] == [name]
        reply = await stage.switch_over_http(session_id)
    assert reply.status_code == 200
    assert reply.json()["data"]["event"] == "cycle.switched"
    assert "lag_credit_ms" not in reply.json()["data"]
    state = await stage.state(session_id)
    assert state["participants"][0]["total_time_ms"] == 590_000
    assert state["participants"][0]["clock"]["quota_ms"] == 3000 + 1000


async def test_lag_without_compensation_changes_nothing(stage: Stage) -> None:
    await stage.at(0)
    session_id = await game(stage.live.sessions)
    async with stage.far(session_id, delay_s=0.05) as client:
        await stage.at(10_000)
        event = await switch(client)
    assert "lag_credit_ms" not in event["payload"]
    assert (await stage.state(session_id))["participants"][0]["total_time_ms"] == 590_000


async def test_round_trips_are_counted(stage: Stage) -> None:
    def counted() -> tuple[float, float]:
        name = "synckairos_websocket_round_trip_seconds"
        count, total = (metrics.registry.get_sample_value(f"{name}_{each}") for each in ("count", "sum"))
        assert count is not None
        assert total is not None
        return count, total

    count, total = counted()
    async with stage.far(await stage.game(), delay_s=0.1):
        pass
    assert counted()[0] > count
    assert counted()[1] >= total + 0.2


async def test_pings_of_a_young_connection_are_no_heartbeats(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "YOUNG_EVERY_S", 0.01)
    session_id = await stage.game()
    async with stage.mute(session_id) as (socket, client):
        await eventually(lambda: len(socket.pings) >= socket_module.YOUNG_PINGS)
        await heard(client)
        assert len(set(socket.pings)) == len(socket.pings)
        # Any answer to one of them is a sign of life all the same.
        own = stage.conversation(session_id).socket
        own._unanswered = 1
        socket.answer(socket.pings[1])
        await heard(client)
        assert own._unanswered == 0


async def test_pongs_that_answer_nothing_are_no_sign_of_life(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "HEARTBEAT_S", 0.1)
    session_id = await stage.game()
    async with stage.mute(session_id) as (socket, client):

        async def lie() -> None:
            while True:
                socket.answer(b"here I am")
                await asyncio.sleep(0.02)

        lying = asyncio.create_task(lie())
        assert await client.closed() == 1011
        lying.cancel()
    assert len(socket.pings) >= socket_module.UNANSWERED


async def test_the_alarm_is_at_the_deadline_and_the_grace(redis: servers.Server) -> None:
    async with service(settings(redis.url)) as live, redis.client() as direct:
        session_id = await game(live.sessions, seconds=1, lag_compensation=True)
        async with live.follow(session_id) as client:
            names = SessionKeys.of(session_id)
            deadline = json.loads((await live.sessions.get(session_id)).raw)["deadline_ms"]
            assert await direct.zscore(names.alarms, session_id) == deadline + 450
            expired = await client.next("TIME_EXPIRED")
        assert expired["payload"]["event"] == "session.expired"
        assert expired["payload"]["expired_deadline_ms"] == deadline
        assert expired["payload"]["late_ms"] == expired["server_time_ms"] - (deadline + 450) >= 0
        assert expired["version"] == 3
