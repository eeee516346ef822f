"""A followed session as a program meets it: the real service, over a network that does what networks do."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from synckairos.client import Change, Session, State, SyncKairos
from synckairos.client import connection as client_connection
from synckairos.client import service as client_service
from synckairos.client.changes import MAX_WAITING
from synckairos.client.errors import (
    ClientClosed,
    ConcurrentModification,
    ConnectionLost,
    InvalidSessionState,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)
from synckairos.client.model import read_state
from synckairos.client.view import state_at
from synckairos.run.processes import free_port
from tests.client.conftest import made
from tests.support import servers
from tests.support.live import PATIENCE_S, Service, eventually, game, service, settings
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def following(port: int, session_id: str) -> AsyncIterator[Session]:
    async with (
        SyncKairos(f"http://127.0.0.1:{port}", reconnect_attempts=math.inf) as client,
        client.session(session_id) as session,
    ):
        yield session


async def stored(live: Service, session_id: str) -> State:
    return read_state(json.loads((await live.sessions.get(session_id)).raw))


async def at_version(session: Session, version: int) -> None:
    await eventually(lambda: session.confirmed is not None and session.confirmed.version == version)


async def rally(live: Service, session_id: str, count: int) -> None:
    """Changes that somebody else makes."""
    for number in range(count):
        await (live.sessions.resume if number % 2 else live.sessions.pause)(session_id)


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(changes) for _ in range(count)]


class Gone:
    """The service is not there meanwhile."""

    def __init__(self, network: Proxy, session: Session) -> None:
        self._network, self._session, self._target = network, session, network.target

    async def __aenter__(self) -> None:
        self._network.target = free_port()
        self._network.cut_all()
        await eventually(lambda: self._session.connection == "reconnecting")

    async def __aexit__(self, *_: object) -> None:
        self._network.target = self._target


# What is shown


async def test_entering_waits_for_the_state_and_each_change_is_shown(live: Service) -> None:
    session_id = await game(live.sessions, start=False)
    async with following(live.port, session_id) as session:
        assert session.state.status == "pending"
        assert session.connection == "live"
        assert await made(session.start()) == 2
        assert session.state.status == "running"
        assert await made(session.switch()) == 3
        assert await made(session.pause()) == 4
        first, second = session.state.participants
        assert await made(session.add(first.id, 5000, reason="a phone rang")) == 5
        assert await made(session.set(second.id, 7000)) == 6
        assert session.remaining(second.id) == 7000
        assert session.remaining(first.id) == (session.state.participants[0].total_time_ms)
        assert await made(session.resume()) == 7
        third = str(uuid.uuid4())
        assert await made(session.join(participant_id=third, total_time_ms=9000)) == 8
        assert session.remaining(third) == 9000
        assert await made(session.leave(third)) == 9
        assert session.remaining(third) is None
        assert await made(session.complete()) == 10
        assert session.state.is_over
        assert not session.pending
        assert await is_right(session, live)


async def is_right(session: Session, live: Service) -> bool:
    """Whether what is shown is what the service has."""
    wanted = await stored(live, session.id)
    return state_at(session.state, wanted.server_time_ms) == wanted


async def test_a_running_clock_goes_by_the_servers_time(live: Service) -> None:
    session_id = await game(live.sessions, seconds=600, increment_ms=2000)
    async with following(live.port, session_id) as session, SyncKairos("http://127.0.0.1") as other:
        client = client_of(session)
        await eventually(lambda: client.time.now_ms() is not None)
        before = json.loads((await live.sessions.get(session_id)).raw)
        left = session.remaining()
        face = session.clock()
        after = json.loads((await live.sessions.get(session_id)).raw)
        assert left is not None
        assert face is not None
        slack = client.time.uncertainty_ms + 1
        assert before["time_remaining_ms"] + slack >= left >= after["time_remaining_ms"] - slack
        active = session.state.active_participant_id
        assert face.owner_id == active
        assert face.running
        assert face.main_ms == face.remaining_ms
        assert session.clock(active) is not None
        assert session.remaining("nobody") is None
        assert session.elapsed(active) is not None
        assert other.time.now_ms() is None
        assert other.time.uncertainty_ms == math.inf


async def test_a_switch_is_shown_at_once_and_then_confirmed(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        before = session.state.active_participant_id
        told: list[tuple[str | None, int | None]] = []
        session.on_change(lambda state, change: told.append(seen(state, change)))
        network.delay_s = 0.2
        switching = asyncio.create_task(session.switch())
        await eventually(lambda: session.pending)
        assert session.state.active_participant_id != before
        assert session.state.version == 2
        assert session.confirmed is not None
        assert session.confirmed.active_participant_id == before
        assert await made(switching) == 3
        assert not session.pending
        assert session.state == session.confirmed
        assert session.state.active_participant_id != before
        after = session.state.active_participant_id
        assert told == [(after, None), (after, 3)]


def seen(state: State, change: Change | None) -> tuple[str | None, int | None]:
    return state.active_participant_id, None if change is None else change.version


async def test_a_refused_switch_is_taken_back(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        before = session.state.active_participant_id
        told: list[str | None] = []
        session.on_change(lambda state, _: told.append(state.active_participant_id))
        with pytest.raises(ConcurrentModification) as refused:
            await session.switch(expected_version=1)
        assert refused.value.context == {"expected_version": 1, "actual_version": 2}
        assert session.state == session.confirmed
        assert session.state.active_participant_id == before
        assert told[-1] == before
        assert len(told) == 2


async def test_two_switches_for_one_turn_are_one_switch(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        assert {await made(each) for each in [asyncio.create_task(session.switch()) for _ in range(3)]} == {3}
        assert await made(session.switch()) == 4
    assert (await stored(live, session_id)).version == 4


async def test_second_switch_of_a_turn_is_another_one_only_when_it_expects_another_version(
    live: Service,
) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        expecting = [2, None, 2, 5]
        calls = [session.switch(expected_version=version) for version in expecting]
        *same, other = await asyncio.gather(*calls, return_exceptions=True)
        assert [change.version for change in same if isinstance(change, Change)] == [3, 3, 3]
        assert isinstance(other, ConcurrentModification)


async def test_two_switches_before_the_first_state_are_one_switch(live: Service) -> None:
    session_id = await game(live.sessions)
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        session = client.session(session_id)
        assert {await made(each) for each in [asyncio.create_task(session.switch()) for _ in range(2)]} == {3}
        with pytest.raises(ConcurrentModification):
            await session.add(session.state.participants[0].id, 1000, expected_version=2)


async def test_a_switch_for_somebody_who_is_not_active_any_more_is_refused(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        first = session.state.active_participant_id
        await session.switch(current=first)
        with pytest.raises(ConcurrentModification):
            await session.switch(current=first)


async def test_what_the_status_does_not_allow_is_refused_over_both_ways(live: Service) -> None:
    session_id = await game(live.sessions, start=False)
    async with following(live.port, session_id) as session:
        with pytest.raises(InvalidSessionState) as over_socket:
            await session.switch()
        with pytest.raises(InvalidSessionState) as over_http:
            await client_of(session).request("POST", f"/v1/sessions/{session_id}/pause")
        for refused in (over_socket, over_http):
            assert refused.value.context == {"status": "pending"}
            assert refused.value.retryable is False


def client_of(session: Session) -> client_service.Service:
    """What the session shares with its client: its time, and calls over HTTP."""
    return session._service


async def test_warnings_and_expiries_are_told(live: Service) -> None:
    session_id = await game(live.sessions, seconds=1.2, warnings_ms=[1000], start=False)
    async with following(live.port, session_id) as session:
        told: list[str] = []
        session.on_warning(lambda change: told.append(f"{change.event} {change.payload.warning_ms}"))
        session.on_expire(lambda change: told.append(change.event))
        await session.start()
        await eventually(lambda: session.state.is_over)
        assert told == ["time.warning 1000", "session.expired"]
        assert session.remaining(session.state.participants[0].id) == 0


async def test_a_callback_that_fails_keeps_nobody_from_being_called(
    live: Service, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        told: list[Change | None] = []
        session.on_change(lambda *_: 1 / 0)
        end = session.on_change(lambda _, change: told.append(change))
        await session.pause()
        end()
        await session.resume()
    assert [change.event for change in told if change is not None] == ["session.paused"]
    assert "a callback failed" in caplog.text


async def test_a_group_is_adjusted_by_its_id(live: Service) -> None:
    red, blue = str(uuid.uuid4()), str(uuid.uuid4())
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        state = await client.create(
            sync_mode="per_group",
            groups=[{"group_id": red, "total_time_ms": 60_000}, {"group_id": blue, "total_time_ms": 60_000}],
            participants=[
                {"participant_id": str(uuid.uuid4()), "group_id": group} for group in (red, blue, red)
            ],
        )
        async with client.session(state.session_id) as session:
            assert await made(session.add(red, 5000)) == 2
            assert session.remaining(red) == 65_000
            assert await made(session.start()) == 3
            face = session.clock()
            assert face is not None
            assert face.owner_id == red
            assert await session.add(blue, 1000, within_ms=1) is None


async def test_a_soft_close_that_is_not_due_changes_nothing(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        state = await client.create(
            sync_mode="global", total_time_ms=60_000, participants=[{"participant_id": str(uuid.uuid4())}]
        )
        async with client.session(state.session_id) as session:
            await session.start()
            assert await session.add(None, 10_000, within_ms=5000) is None
            assert await made(session.add(None, 10_000, within_ms=60_000)) == 3


# Changes


async def test_changes_come_in_order_each_once_until_the_session_is_deleted(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        changes, others = session.changes(), session.changes(since=0)
        await rally(live, session_id, 4)
        await session.delete()
        found = [change async for change in changes]
        assert [change.version for change in found] == [3, 4, 5, 6, 7]
        assert found[-1].event == "session.deleted"
        assert found[0].payload.status == "paused"
        assert session.connection == "closed"
        assert isinstance(session.close_reason, SessionNotFound)
        assert session.close_reason.context == {"reason": "deleted"}
        # What was there before is in the log, which went with the session.
        with pytest.raises(SessionNotFound):
            await anext(others)


async def test_changes_since_a_version_begin_there(live: Service) -> None:
    session_id = await game(live.sessions)
    await rally(live, session_id, 4)
    async with following(live.port, session_id) as session:
        changes = session.changes(since=2)
        assert [change.version for change in await take(changes, 4)] == [3, 4, 5, 6]
        await session.switch()
        assert [change.version for change in await take(changes, 1)] == [7]
        assert [change.version for change in await session.events(4)] == [5, 6, 7]


async def test_a_slow_reader_loses_nothing_and_holds_up_nobody(live: Service) -> None:
    session_id = await game(live.sessions)
    count = MAX_WAITING + 60
    async with following(live.port, session_id) as session:
        slow, quick = session.changes(), session.changes()
        task = asyncio.create_task(take(quick, count))
        await rally(live, session_id, count)
        assert [change.version for change in await task] == list(range(3, 3 + count))
        assert len(slow._waiting) == MAX_WAITING
        assert [change.version for change in await take(slow, count)] == list(range(3, 3 + count))
        await session.pause() if session.state.status == "running" else await session.resume()
        assert (await take(slow, 1))[0].version == 3 + count


async def test_a_reader_too_slow_for_the_services_log_is_told(live: Service) -> None:
    session_id = await game(live.sessions)
    count = MAX_WAITING + 200
    async with following(live.port, session_id) as session:
        slow = session.changes()
        await rally(live, session_id, count)
        await at_version(session, 2 + count)
        assert len(await take(slow, MAX_WAITING)) == MAX_WAITING
        with pytest.raises(StorageUnavailable):
            await anext(slow)


async def test_closing_ends_changes_and_commands(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        reading = asyncio.create_task(take(session.changes(), 1))
        network.silent = True
        switching = asyncio.create_task(session.switch())
        await eventually(lambda: session.pending)
        await session.close()
        with pytest.raises(ClientClosed):
            await switching
        with pytest.raises(StopAsyncIteration):
            await reading
        with pytest.raises(ClientClosed):
            await session.switch()
        assert session.close_reason is None


# Connections that break


async def test_events_missed_while_away_come_each_once_and_in_order(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        changes = session.changes()
        said: list[str] = []
        session.on_connection(said.append)
        await session.switch()
        async with Gone(network, session):
            await rally(live, session_id, 20)
        found = await take(changes, 21)
        assert [change.version for change in found] == list(range(3, 24))
        assert {change.type for change in found} == {"STATE_UPDATE"}
        assert said == ["reconnecting", "live"]
        assert await is_right(session, live)


async def test_a_log_that_does_not_reach_back_is_made_up_for_by_the_state(
    live: Service, network: Proxy
) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        changes = session.changes()
        async with Gone(network, session):
            await rally(live, session_id, 400)
        (synced,) = await take(changes, 1)
        assert (synced.type, synced.event, synced.version) == ("STATE_SYNC", "state.synced", 402)
        assert session.state.version == 402
        await session.switch()
        assert [change.version for change in await take(changes, 1)] == [403]


async def test_a_session_created_again_under_its_id_is_another_one(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        changes = session.changes()
        for _ in range(3):
            await session.switch()
        before = session.state.epoch
        await take(changes, 3)
        async with Gone(network, session):
            await live.sessions.delete(session_id)
            again = {"sync_mode": "count_up", "participants": [{"participant_id": str(uuid.uuid4())}]}
            await live.sessions.create(session_id, json.dumps(again).encode())
        (synced,) = await take(changes, 1)
        assert synced.event == "state.synced"
        assert synced.version == session.state.version == 1
        assert session.state.epoch == synced.epoch != before
        assert session.state.sync_mode == "count_up"
        await session.start()
        assert [change.version for change in await take(changes, 1)] == [2]


async def test_a_session_deleted_while_away_is_gone(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        changes = session.changes()
        async with Gone(network, session):
            await live.sessions.delete(session_id)
        await eventually(lambda: session.connection == "closed")
        assert isinstance(session.close_reason, SessionNotFound)
        with pytest.raises(SessionNotFound):
            await anext(changes)


async def test_an_event_that_was_lost_is_asked_for(live: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        changes = session.changes()
        connection = session._follower.connection
        heard = connection._receive

        def deaf(message: dict[str, Any]) -> None:
            if message.get("version") != 3 or message["type"] == "ACK" or session.state.version == 4:
                heard(message)
            else:
                monkeypatch.setattr(connection, "_receive", heard)

        monkeypatch.setattr(connection, "_receive", deaf)
        await rally(live, session_id, 3)
        assert [change.version for change in await take(changes, 3)] == [3, 4, 5]


async def test_a_change_whose_event_is_lost_is_shown_all_the_same(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        connection = session._follower.connection
        heard = connection._receive

        def deaf(message: dict[str, Any]) -> None:
            if message["type"] == "STATE_UPDATE":
                monkeypatch.setattr(connection, "_receive", heard)
            else:
                heard(message)

        monkeypatch.setattr(connection, "_receive", deaf)
        assert await made(session.switch()) == 3
        assert session.state.version == 3


async def test_a_switch_whose_answer_was_lost_takes_effect_once(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        network.replies_lost = True
        switching = asyncio.create_task(session.switch())
        while (await stored(live, session_id)).version == 2:
            await asyncio.sleep(0.01)
        network.replies_lost = False
        network.cut_all()
        assert await made(switching) == 3
        assert session.state.version == 3
    assert (await stored(live, session_id)).version == 3


async def test_a_switch_made_while_away_is_carried_out_on_return(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        before = session.state.active_participant_id
        async with Gone(network, session):
            switching = asyncio.create_task(session.switch())
            await eventually(lambda: session.state.active_participant_id != before)
        assert await made(switching) == 3


async def test_a_connection_that_went_silent_is_replaced(
    live: Service, network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        network.silent = True
        monkeypatch.setattr(client_connection, "ANSWER_S", 1.0)
        switching = asyncio.create_task(session.switch())
        await eventually(lambda: session.connection == "reconnecting")
        network.silent = False
        network.cut_all()
        assert await made(switching) == 3


async def test_a_service_that_is_started_again_is_found_again(redis: servers.Server, network: Proxy) -> None:
    async with service(settings(redis.url)) as first:
        network.target = first.port
        session_id = await game(first.sessions)
        async with following(network.port, session_id) as session:
            changes = session.changes()
            await first.stop()
            await eventually(lambda: session.connection == "reconnecting")
            async with service(settings(redis.url)) as second:
                network.target = second.port
                await second.sessions.pause(session_id)
                assert [change.version for change in await take(changes, 1)] == [3]
                assert await made(session.resume()) == 4


async def test_the_state_never_goes_back(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        versions: list[int] = []
        session.on_change(lambda state, _: versions.append(state.version))
        for _ in range(5):
            await rally(live, session_id, 4)
            network.cut_all()
        await at_version(session, 22)
        assert versions == sorted(versions)


async def test_however_often_connections_break_every_change_comes_once(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    random = Random(7)
    async with (
        following(network.port, session_id) as session,
        following(network.port, session_id) as other,
    ):
        readers = [session.changes(), other.changes(), session.changes(since=0)]
        for number in range(60):
            changing = asyncio.create_task(session.resume() if number % 2 else session.pause())
            match random.choice(["calm", "calm", "cut", "lost", "within"]):
                case "cut":
                    network.cut_all()
                case "lost":
                    network.replies_lost = True
                    await asyncio.sleep(0.03)  # whether it was carried out meanwhile or not
                    network.replies_lost = False
                    network.cut_all()
                case "within":
                    network.cut_after = random.randrange(1, 400)
            assert await made(changing) == 3 + number
        network.cut_after = None
        for reader, first in zip(readers, (3, 3, 1), strict=True):
            found = await take(reader, 63 - first)
            assert [change.version for change in found] == list(range(first, 63))
            assert "STATE_SYNC" not in {change.type for change in found}
        assert await is_right(session, live)
        assert await is_right(other, live)


async def test_a_session_that_is_not_there_says_so(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        session = client.session(str(uuid.uuid4()))
        with pytest.raises(SessionNotFound):
            await session.ready()
        with pytest.raises(SessionNotFound):
            _ = session.state
        with pytest.raises(SessionNotFound):
            async with client.session(str(uuid.uuid4())):
                pass
        with pytest.raises(ValidationError) as refused:
            client.session("7")
        assert refused.value.details == [{"field": "session_id", "message": "must be a UUID"}]


async def test_a_service_that_is_not_there_is_given_up_after_so_many_attempts() -> None:
    async with SyncKairos(f"http://127.0.0.1:{free_port()}", reconnect_attempts=3) as client:
        failures: list[SyncKairosError] = []
        session = client.session(str(uuid.uuid4()))
        session.on_error(failures.append)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ConnectionLost) as lost:
                await session.ready()
        assert session.connection == "closed"
        assert len(failures) == 5  # four attempts, and that it was given up
        assert lost.value is session.close_reason is failures[-1]
        assert lost.value.retryable


async def test_what_is_no_service_is_not_asked_again(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}/elsewhere") as client:
        with pytest.raises(SyncKairosError) as refused:
            await client.session(str(uuid.uuid4())).ready()
        assert refused.value.code == "NOT_FOUND"


# One session, many users


async def test_a_session_is_the_same_object_until_it_is_closed(live: Service) -> None:
    session_id = await game(live.sessions)
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        async with client.session(session_id) as session:
            assert client.session(session_id.upper()) is session
            async with client.session(session_id) as again:
                assert again is session
            assert session.connection == "live"
        assert closed(session)
        assert client.session(session_id) is not session


def closed(session: Session) -> bool:
    return session.connection == "closed"


async def test_many_sessions_share_a_client(live: Service) -> None:
    ids = [await game(live.sessions) for _ in range(5)]
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        sessions = [client.session(session_id) for session_id in ids]
        await asyncio.gather(*(session.ready() for session in sessions))
        await asyncio.gather(*(session.switch() for session in sessions))
        assert [session.state.version for session in sessions] == [3] * 5
    assert {session.connection for session in sessions} == {"closed"}


async def test_cancelling_anything_leaves_no_task_behind(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    before = asyncio.all_tasks()
    for pause_s in (0.0, 0.001, 0.005, 0.02, 0.05):
        async with SyncKairos(f"http://127.0.0.1:{network.port}") as client:

            async def all_of_it(client: SyncKairos = client) -> None:
                async with client.session(session_id) as session:
                    async for _ in session.changes():
                        await session.switch()

            playing = asyncio.create_task(all_of_it())
            creating = asyncio.create_task(client.get(session_id))
            await asyncio.sleep(pause_s)
            for task in (playing, creating):
                task.cancel()
            await asyncio.wait([playing, creating])
    await eventually(lambda: {task for task in asyncio.all_tasks() - before if is_ours(task)} == set())


def is_ours(task: asyncio.Task[Any]) -> bool:
    return "synckairos" in task.get_name() or "synckairos/client" in str(task.get_coro())


async def test_a_cancelled_switch_is_not_shown_any_more(live: Service, network: Proxy) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        network.silent = True
        before = session.state.active_participant_id
        switching = asyncio.create_task(session.switch())
        await eventually(lambda: session.state.active_participant_id != before)
        switching.cancel()
        await asyncio.wait([switching])
        assert session.state.active_participant_id == before
        assert not session.pending


async def test_cancelling_one_of_two_calls_for_a_switch_leaves_the_other(
    live: Service, network: Proxy
) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        network.delay_s = 0.1
        calls = [asyncio.create_task(session.switch()) for _ in range(2)]
        await eventually(lambda: session.pending)
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await made(calls[1]) == 3
        assert calls[0].cancelled()
        pauses = [asyncio.create_task(session.pause()) for _ in range(2)]
        assert [change.version for change in await asyncio.gather(*pauses)] == [4, 4]


async def test_after_sleep_a_connection_that_is_gone_is_replaced_soon(
    live: Service, network: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(live.sessions)
    async with following(network.port, session_id) as session:
        said: list[str] = []
        session.on_connection(said.append)
        connection = session._follower.connection
        heard_ms = connection.heard_ms
        session.wake()
        await eventually(lambda: connection.heard_ms > heard_ms)
        network.silent = True
        monkeypatch.setattr(client_connection, "ANSWER_AFTER_SLEEP_S", 0.2)
        time = client_of(session).time
        monkeypatch.setattr(time, "_wall", lambda: 1_000_000.0)
        await eventually(lambda: said == ["reconnecting"])
        network.silent = False
        network.cut_all()
        await eventually(lambda: said == ["reconnecting", "live"])


async def test_an_end_that_is_final_is_told_once(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live.port, session_id) as session:
        said: list[str] = []
        errors: list[SyncKairosError] = []
        session.on_connection(said.append)
        session.on_error(errors.append)
        await session.delete()
        await eventually(lambda: closed(session))
        assert said == ["closed"]
        assert errors == [session.close_reason]
