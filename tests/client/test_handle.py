"""A session without a socket, what calls return, and waiting for a session's end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

from synckairos.client import Change, Handle, Session, SyncKairos, blocking
from synckairos.client.errors import (
    ClientClosed,
    ConcurrentModification,
    InvalidSessionState,
    ParticipantNotFound,
    SessionNotFound,
    ValidationError,
)
from synckairos.client.model import Json
from tests.client.conftest import ANNA, BEN, made
from tests.support.live import PATIENCE_S, Service, eventually, game

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def handle_of(live: Service, **config: object) -> AsyncIterator[Handle]:
    """A new session, by a client that opens no socket."""
    people = [{"participant_id": each} for each in (ANNA, BEN)]
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        plain = {"sync_mode": "per_participant", "time_control": "5", "participants": people}
        state = await client.create({**plain, **config})
        yield client.handle(state.session_id)
        assert not live.context.websockets


@asynccontextmanager
async def following(live: Service, session_id: str) -> AsyncIterator[Session]:
    async with (
        SyncKairos(f"http://127.0.0.1:{live.port}") as client,
        client.session(session_id) as session,
    ):
        yield session


# Calls and the changes that they return


async def test_every_call_returns_its_change_and_opens_no_socket(live: Service) -> None:
    async with handle_of(live, participants=[{"participant_id": ANNA}, {"participant_id": BEN}]) as handle:
        started = await handle.start()
        assert (started.event, started.version, started.type) == ("session.started", 2, "STATE_UPDATE")
        switched = await handle.switch(current=ANNA)
        assert (switched.event, switched.payload.active_participant_id) == ("cycle.switched", BEN)
        assert switched.payload.participants[0].id == ANNA
        assert [(await handle.pause()).event, (await handle.resume()).event] == [
            "session.paused",
            "session.resumed",
        ]
        added = await handle.add(ANNA, 5000, reason="a phone rang")
        assert added is not None
        assert (added.payload.adjusted_ms, added.payload.adjust_reason) == (5000, "a phone rang")
        assert await handle.set(BEN, 9000, within_ms=1) is None
        third = str(uuid.uuid4())
        assert (await handle.join(participant_id=third)).event == "participant.added"
        assert (await handle.leave(third)).payload.removed_participant_id == third
        ended = await handle.complete()
        assert (ended.event, ended.version) == ("session.completed", 9)
        assert [change.version for change in await handle.events(2)] == [3, 4, 5, 6, 7, 8, 9]
        assert (await handle.get()).status == "completed"
        with pytest.raises(ConcurrentModification):
            await handle.delete(expected_version=8)
        await handle.delete(expected_version=9)
        with pytest.raises(SessionNotFound):
            await handle.get()


async def test_corrections_and_the_schedule_with_and_without_a_socket(live: Service) -> None:
    async with handle_of(live, max_pauses=0) as handle, following(live, handle.id) as session:
        for it in (handle, session):
            soon = (await it.reset()).server_time_ms + 60_000
            scheduled = await it.schedule(starts_at_ms=soon, ends_at_ms=soon + 1)
            assert (scheduled.payload.starts_at_ms, scheduled.payload.ends_at_ms) == (soon, soon + 1)
            assert (await it.schedule(starts_at_ms=None)).payload.ends_at_ms == soon + 1
            assert (await it.schedule(ends_at_ms=None)).payload.ends_at_ms is None
            assert (await it.turn(BEN)).payload.active_participant_id == BEN
            await it.start()
            await it.switch()
            taken = await it.takeback()
            assert (taken.event, taken.payload.turns, taken.payload.active_participant_id) == (
                *("turn.taken_back", 1),
                BEN,
            )
            with pytest.raises(InvalidSessionState):
                await it.takeback(2)
            with pytest.raises(InvalidSessionState):
                await it.pause()
            assert (await it.pause(counted=False)).event == "session.paused"
            await it.complete()
            assert (await it.reopen()).payload.status == "paused"
        await eventually(lambda: session.confirmed is not None and session.confirmed.status == "paused")
        await session.close()
        await eventually(lambda: not live.context.websockets)


async def test_metadata_is_patched_with_and_without_a_socket(live: Service) -> None:
    async with (
        handle_of(live, metadata={"title": "Club night", "odd": [None]}) as handle,
        following(live, handle.id) as session,
    ):
        change = await handle.patch_metadata({"title": None, "names": {ANNA: "Anna"}})
        assert change is not None
        assert (change.event, change.payload.metadata) == (
            "metadata.changed",
            {"odd": [None], "names": {ANNA: "Anna"}},
        )
        assert await handle.patch_metadata({"names": {ANNA: "Anna"}}) is None
        await session.start()
        await session.switch()
        await session.patch_metadata({"names": {BEN: "Ben"}}, expected_version=4)
        assert session.confirmed is not None
        assert session.confirmed.metadata["names"] == {ANNA: "Anna", BEN: "Ben"}
        with pytest.raises(ConcurrentModification):
            await session.patch_metadata({"a": 1}, expected_version=4)
        with pytest.raises(ValidationError) as caught:
            await session.patch_metadata({f"key{i}": i for i in range(100)})
        assert [each["field"] for each in caught.value.details] == ["metadata"]
        await session.complete()
        await session.patch_metadata({"names": None})
        assert session.state is not None
        assert (session.state.status, session.state.metadata) == ("completed", {"odd": [None]})
        await session.close()
        await eventually(lambda: not live.context.websockets)


async def test_the_total_beside_the_cycles_is_adjusted(live: Service) -> None:
    times = {"time_control": None, "time_per_cycle_ms": 5000, "total_time_ms": 60_000}
    async with handle_of(live, sync_mode="global", **times) as handle:
        change = await handle.add(None, 10_000, clock="total")
        assert change is not None
        assert change.payload.total_remaining_ms == 70_000


async def test_a_repeat_returns_the_change_of_the_first_one(live: Service) -> None:
    async with handle_of(live) as handle:
        first = await handle.start(idempotency_key="begin")
        await handle.switch(idempotency_key="move-1")
        later = [await handle.start(idempotency_key="begin"), await handle.switch(idempotency_key="move-1")]
        assert [change.version for change in later] == [2, 3]
        assert later[0] == first
        assert later[1].replayed
        with pytest.raises(ConcurrentModification):
            await handle.switch(expected_version=2)


async def test_a_call_that_comes_too_late_returns_the_expiry(live: Service) -> None:
    async with handle_of(
        live,
        time_control=None,
        total_time_ms=None,
        participants=[
            {"participant_id": ANNA, "total_time_ms": 1000},
            {"participant_id": BEN, "total_time_ms": 1000},
        ],
    ) as handle:
        await handle.start()
        await handle.set(ANNA, 0)
        change = await handle.switch()
        assert (change.type, change.event) == ("TIME_EXPIRED", "session.expired")
        assert change.payload.expired_participant_id == ANNA


async def test_a_group_is_found_by_its_id_and_a_stranger_is_not(live: Service) -> None:
    red, blue = str(uuid.uuid4()), str(uuid.uuid4())
    people = [{"participant_id": each, "group_id": team} for each, team in ((ANNA, red), (BEN, blue))]
    groups = [{"group_id": team, "total_time_ms": 60_000} for team in (red, blue)]
    config = {"sync_mode": "per_group", "time_control": None, "groups": groups, "participants": people}
    async with handle_of(live, **config) as handle:
        assert await made(handle.add(red.upper(), 5000)) == 2
        with pytest.raises(ValidationError, match="name a GROUP"):
            await handle.add(ANNA, 5000)
    async with handle_of(live) as handle:
        with pytest.raises(ParticipantNotFound):
            await handle.add(str(uuid.uuid4()), 5000)


async def test_a_handle_is_refused_an_id_that_is_none_and_a_closed_client(live: Service) -> None:
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client:
        with pytest.raises(ValidationError):
            client.handle("5")
        with pytest.raises(ValidationError):
            await client.handle(str(uuid.uuid4())).add(ANNA, 1, clock="total")
        handle = client.handle(str(uuid.uuid4()))
    with pytest.raises(ClientClosed):
        await handle.start()
    with pytest.raises(ClientClosed):
        client.handle(str(uuid.uuid4()))


async def test_a_session_that_is_followed_returns_the_change_as_it_was_told(live: Service) -> None:
    session_id = await game(live.sessions, start=False)
    async with following(live, session_id) as session:
        told = session.changes()
        returned = [
            await session.start(),
            await session.switch(),
            await session.pause(),
            await session.resume(),
            await session.add(session.state.participants[0].id, 1000),
            await session.cancel(),
        ]
        assert returned == [await anext(told) for _ in returned]


async def test_a_change_that_nobody_has_heard_of_is_read_or_stood_for_by_the_state(live: Service) -> None:
    """As when the answer comes, and the connection has broken before the event."""
    session_id = await game(live.sessions, start=False)
    async with following(live, session_id) as session:
        session._newest = Forgetful()
        assert (await session.start()).event == "session.started"
        session.events = None  # type: ignore[method-assign, assignment]
        session._events = never  # type: ignore[method-assign, assignment]
        change = await session.switch()
        assert (change.event, change.version) == ("state.synced", 3)


class Forgetful(dict[int, Change]):
    """Remembers nothing."""

    def __setitem__(self, _key: int, _value: Change) -> None:
        """Forget it."""


async def never(_since: int) -> None:
    raise SessionNotFound


# The end


async def test_over_waits_for_the_end_and_is_answered_at_once_afterwards(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live, session_id) as session:
        with pytest.raises(TimeoutError):
            await session.over(timeout=0.01)
        waiting = [asyncio.create_task(session.over()) for _ in range(2)]
        await live.sessions.complete(session_id)
        async with asyncio.timeout(PATIENCE_S):
            assert [(await each).status for each in waiting] == ["completed", "completed"]
            assert (await session.over()).is_over
        await live.sessions.delete(session_id)
        await eventually(lambda: session.connection == "closed")
        assert (await session.over()).status == "completed"


async def test_over_returns_an_end_that_was_reset_at_once(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(live.sessions)
    async with following(live, session_id) as session:
        connection, held = session._follower.connection, list[Json]()
        receive = connection._on_message
        monkeypatch.setattr(connection, "_on_message", held.append)
        waiting = asyncio.create_task(session.over())
        await live.sessions.complete(session_id)
        await live.sessions.reset(session_id)
        await eventually(lambda: {message.get("version") for message in held} >= {3, 4})
        for message in held:
            receive(message)
        assert session.state.status == "pending"
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting).status == "completed"


async def test_over_tells_when_the_session_goes_before_it_is_over(live: Service) -> None:
    session_id = await game(live.sessions)
    async with following(live, session_id) as session:
        waiting = asyncio.create_task(session.over())
        await asyncio.sleep(0)
        await live.sessions.delete(session_id)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(SessionNotFound):
                await waiting
    session_id = await game(live.sessions)
    async with following(live, session_id) as session:
        waiting = asyncio.create_task(session.over())
        await asyncio.sleep(0)
    with pytest.raises(ClientClosed):
        await waiting


async def test_over_of_a_handle_asks_until_the_end(live: Service) -> None:
    async with handle_of(live) as handle:
        with pytest.raises(TimeoutError):
            await handle.over(timeout=0.05, every_s=0.01)
        await handle.start()
        waiting = asyncio.create_task(handle.over(every_s=0.01))
        await asyncio.sleep(0.03)
        assert not waiting.done()
        await handle.set(ANNA, 0)  # the clock runs out
        async with asyncio.timeout(PATIENCE_S):
            assert (await waiting).status == "expired"
            assert (await handle.over()).status == "expired"
        with pytest.raises(InvalidSessionState):
            await handle.start()
        await handle.delete()
        with pytest.raises(SessionNotFound):
            await handle.over()


async def test_over_of_a_handle_looks_right_after_whatever_the_session_does_by_itself(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with handle_of(live) as handle, asyncio.timeout(PATIENCE_S):
        state = await handle.get()
        now = state.server_time_ms
        states = [
            replace(state, starts_at_ms=now + 20),
            replace(state, status="running", deadline_ms=now + 900_000, ends_at_ms=now + 20),
            replace(state, status="paused", resumes_at_ms=now + 20, ends_at_ms=now + 900_000),
            replace(state, status="completed"),
        ]
        monkeypatch.setattr(handle, "get", AsyncMock(side_effect=states))
        assert await handle.over(every_s=1000) == states[-1]


async def test_without_asyncio_it_is_the_same(live: Service) -> None:
    session_id = await game(live.sessions, start=False)

    def play() -> list[str]:
        with blocking.SyncKairos(f"http://127.0.0.1:{live.port}") as client:
            handle = client.handle(session_id)
            told = [handle.start().event, handle.switch().event, handle.pause(counted=True).event]
            told += [handle.resume().event, handle.complete().event]
            assert [change.event for change in handle.events(1)] == told
            with client.session(session_id) as session:
                assert session.over(timeout=PATIENCE_S) == session.state
            return [handle.over(timeout=PATIENCE_S).status, handle.get().status, handle.id]

    assert await asyncio.to_thread(play) == ["completed", "completed", session_id]
