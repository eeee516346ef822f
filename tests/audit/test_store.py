"""The audit store: it stores each event once, in any order, and a refused event does not stop the others."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import VERSION_TAKEN, Store, Stored
from synckairos.breakers.breaker import FAILURES
from synckairos.errors import CircuitOpen, StorageUnavailable
from synckairos.supervision import cancel
from tests.support.audit_rows import EPOCH, event, participant, snapshot
from tests.support.postgres import PostgresServer


def batch(*bodies: bytes, snapshots: tuple[bytes, ...] = ()) -> Batch:
    """Events under the ids that they name, or under one of their own."""
    entries = []
    for number, body in enumerate(bodies):
        try:
            session_id = json.loads(body)["session_id"]
        except (ValueError, KeyError):
            session_id = str(uuid.UUID(int=number))
        entries.append(Entry(f"00/{number}-0", session_id, body))
    return Batch(entries, snapshots)


async def rows(store: Store, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with store.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def test_a_batch_is_stored_once_however_often_it_comes(store: Store) -> None:
    session_id = str(uuid.uuid4())
    made = batch(*(event(session_id, version) for version in range(1, 6)))
    assert await store.insert_batch(made) == Stored(inserted=5, known=0, refused=0)
    assert await store.insert_batch(made) == Stored(inserted=0, known=5, refused=0)
    assert await asyncio.gather(*(store.insert_batch(made) for _ in range(4))) == [Stored(0, 5, 0)] * 4
    found = await store.events(session_id)
    assert [each.version for each in found] == [1, 2, 3, 4, 5]
    assert [each.body for each in found] == [entry.body for entry in made.entries]


async def test_the_exact_text_comes_back(store: Store) -> None:
    session_id = str(uuid.uuid4())
    # Spaces, order, a number that would be written otherwise, escapes that are no text in PostgreSQL.
    text = (
        '{"version":1, "epoch":"100","session_id":"ID","server_time_ms":5,"z":1.50,"a":[],"o":{},'
        '"payload":{"event":"cycle.switched","status":"running","x":"a\\u0000b \\ud800 é"}}'
    )
    body = text.replace("ID", session_id).encode()
    state = snapshot(session_id, 1, metadata={"x": "\0\ud800", "y": {}, "z": []})
    assert await store.insert_batch(batch(body, snapshots=(state,))) == Stored(1, 0, 0)
    (found,) = await store.events(session_id)
    assert found.body == body
    session = await store.session(session_id)
    assert session is not None
    assert session.snapshot == state


async def test_batches_in_any_order_come_to_the_same(store: Store) -> None:
    session_id, person = str(uuid.uuid4()), str(uuid.uuid4())
    made = [
        batch(
            event(session_id, version, participants=[participant(person, cycle_count=version)]),
            snapshots=(snapshot(session_id, version, sync_mode=f"mode {version}"),),
        )
        for version in range(1, 9)
    ]
    random.shuffle(made)
    await asyncio.gather(*(store.insert_batch(each) for each in made))
    session = await store.session(session_id)
    assert session is not None
    assert (session.version, session.snapshot_version, session.sync_mode) == (8, 8, "mode 8")
    assert await rows(store, "SELECT cycle_count, version FROM sync_participants") == [(8, 8)]


async def test_a_snapshot_never_goes_back(store: Store) -> None:
    session_id = str(uuid.uuid4())
    newest = snapshot(session_id, 7, epoch=EPOCH + 1, status="paused")
    for older in (snapshot(session_id, 6, epoch=EPOCH + 1), snapshot(session_id, 90)):
        await store.insert_batch(batch(snapshots=(newest, older)))
        await store.insert_batch(batch(snapshots=(older,)))
        session = await store.session(session_id)
        assert session is not None
        assert (session.snapshot, session.status) == (newest, "paused")
        assert (session.epoch, session.version) == (str(EPOCH + 1), 7)


async def test_an_event_is_known_before_its_snapshot_and_the_other_way_round(store: Store) -> None:
    session_id = str(uuid.uuid4())
    await store.insert_batch(batch(event(session_id, 3, "session.paused", status="paused")))
    session = await store.session(session_id)
    assert session is not None
    assert (session.status, session.version, session.snapshot) == ("paused", 3, None)
    assert await store.live_sessions() == []
    await store.insert_batch(batch(snapshots=(snapshot(session_id, 2, tenant_id="t"),)))
    session = await store.session(session_id)
    assert session is not None
    assert (session.status, session.version, session.snapshot_version, session.tenant_id) == (
        "paused",
        3,
        2,
        "t",
    )
    assert [each.session_id for each in await store.live_sessions()] == [session_id]


async def test_a_deleted_session_is_not_live(store: Store) -> None:
    session_id = str(uuid.uuid4())
    await store.insert_batch(batch(event(session_id, 1), snapshots=(snapshot(session_id, 1),)))
    assert await store.count_live() == 1
    await store.insert_batch(batch(event(session_id, 2, "session.deleted", status="running")))
    await store.insert_batch(batch(snapshots=(snapshot(session_id, 1),)))
    session = await store.session(session_id)
    assert session is not None
    assert session.status == "deleted"
    assert (await store.count_live(), await store.live_sessions()) == (0, [])
    assert await store.list_sessions(None) == []


async def test_a_session_created_again_has_nothing_of_the_one_before(store: Store) -> None:
    session_id, person, other = (str(uuid.uuid4()) for _ in range(3))
    await store.insert_batch(
        batch(
            event(session_id, 1, "session.created", participants=[participant(person)]),
            event(session_id, 2, "session.deleted"),
            snapshots=(snapshot(session_id, 1, tenant_id="before"),),
        )
    )
    again = event(
        session_id, 1, "session.created", epoch=EPOCH + 5, status="pending", participants=[participant(other)]
    )
    await store.insert_batch(batch(again))
    session = await store.session(session_id)
    assert session is not None
    assert (session.status, session.version, session.snapshot) == ("pending", 1, None)
    assert await rows(store, "SELECT participant_id FROM sync_participants") == [(uuid.UUID(other),)]
    assert [found.body for found in await store.events(session_id)] == [again]
    assert len(await store.newest_events(session_id)) == 3


async def test_the_line_of_events_goes_on_over_a_restore(store: Store) -> None:
    session_id = str(uuid.uuid4())
    old = [event(session_id, version) for version in range(1, 10)]
    # Restored from the snapshot of version 6: what came after it counts no more.
    new = [
        event(session_id, 7, "session.recovered", epoch=EPOCH + 1),
        event(session_id, 8, epoch=EPOCH + 1),
    ]
    await store.insert_batch(batch(*new, *old))
    assert [found.body for found in await store.events(session_id)] == [*old[:6], *new]
    assert [found.version for found in await store.events(session_id, since=5)] == [6, 7, 8]
    assert [found.version for found in await store.events(session_id, since=5, limit=2)] == [6, 7]
    assert await store.events(session_id, since=8) == []
    newest = await store.newest_events(session_id, 3)
    assert [(found.epoch, found.version) for found in newest] == [
        (str(EPOCH + 1), 8),
        (str(EPOCH + 1), 7),
        (str(EPOCH), 9),
    ]


async def test_participants_figures(store: Store) -> None:
    session_id, one, two = (str(uuid.uuid4()) for _ in range(3))
    first = [participant(one), participant(two, participant_index=1, time_used_ms=5)]
    gone = event(session_id, 3, "participant.removed", participants=[], removed_participant_id=two)
    await store.insert_batch(
        batch(
            event(session_id, 1, "session.created", participants=first),
            event(session_id, 2, participants=[participant(one, time_used_ms=70, has_expired=True)]),
            gone,
        )
    )
    asked = (
        "SELECT participant_id, participant_index, time_used_ms, has_expired, removed "
        "FROM sync_participants ORDER BY participant_index"
    )
    assert await rows(store, asked) == [
        (uuid.UUID(one), 0, 70, True, False),
        (uuid.UUID(two), None, 0, False, True),
    ]
    await store.insert_batch(
        batch(event(session_id, 4, "participant.added", participants=[participant(two, participant_index=2)]))
    )
    assert (await rows(store, asked))[1] == (uuid.UUID(two), 2, 0, False, False)


async def test_what_is_known_of_somebody_who_left_stays(store: Store) -> None:
    session_id, one = str(uuid.uuid4()), str(uuid.uuid4())
    await store.insert_batch(batch(event(session_id, 1, participants=[participant(one, time_used_ms=9)])))
    await store.insert_batch(
        batch(event(session_id, 2, "participant.removed", removed_participant_id=one, participants=[]))
    )
    asked = "SELECT participant_index, time_used_ms, removed FROM sync_participants"
    assert await rows(store, asked) == [(0, 9, True)]


REFUSED = {
    "no JSON": b"nonsense",
    "no UTF-8": b'{"session_id":"\xff\xfe"}',
    "no event": b'{"session_id":"00000000-0000-0000-0000-000000000001"}',
    "an epoch that is no number": event(str(uuid.UUID(int=1)), 1).replace(b'"epoch":"', b'"epoch":"x'),
    "a number that is too large": event(str(uuid.UUID(int=1)), 1).replace(
        b'"version":1', b'"version":%d' % 2**63
    ),
    "a time that no calendar has": event(str(uuid.UUID(int=1)), 10**17),
    "no version": event(str(uuid.UUID(int=1)), 0),
    "no id": event("somebody", 1),
    "an actor that is no text in PostgreSQL": event(str(uuid.UUID(int=1)), 1, actor="a\0b"),
    "an actor that is no text at all": event(str(uuid.UUID(int=1)), 1, actor="\ud800"),
    "a participant without an id": event(str(uuid.UUID(int=1)), 1, participants=[participant("nobody")]),
}


@pytest.mark.parametrize("poison", REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_stands_in_nobodys_way(store: Store, poison: bytes) -> None:
    session_id = str(uuid.uuid4())
    good = [event(session_id, version) for version in (1, 2, 3)]
    state = snapshot(session_id, 3)
    made = batch(good[0], poison, *good[1:], snapshots=(state,))
    assert await store.insert_batch(made) == Stored(inserted=3, known=0, refused=1)
    assert await store.insert_batch(made) == Stored(inserted=0, known=3, refused=1)
    assert [found.body for found in await store.events(session_id)] == good
    session = await store.session(session_id)
    assert session is not None
    assert session.snapshot == state
    (kept,) = await store.refused()
    assert (kept.source, kept.body) == ("00/1-0", poison)
    assert kept.reason
    assert await store.count_refused() == 1


async def test_among_many_just_those_are_refused_that_have_to_be(store: Store) -> None:
    ids = [str(uuid.uuid4()) for _ in range(40)]
    good = [event(session_id, version) for session_id in ids for version in range(1, 6)]
    poison = [event(str(uuid.uuid4()), 0) for _ in range(7)]
    states = [snapshot(session_id, 5) for session_id in ids]
    bad_states = [snapshot(str(uuid.uuid4()), 1, tenant_id="a\0b") for _ in range(3)]
    bodies, snapshots = [*good, *poison], [*states, *bad_states]
    random.shuffle(bodies)
    random.shuffle(snapshots)
    assert await store.insert_batch(batch(*bodies, snapshots=tuple(snapshots))) == Stored(200, 0, 7)
    assert {kept.body for kept in await store.refused()} == {*poison, *bad_states}
    assert await store.count_live() == 40
    assert {bytes(row[0], "utf-8") for row in await rows(store, "SELECT body FROM sync_events")} == set(good)


async def test_a_known_event_under_an_id_in_capitals_stands_in_nobodys_way(store: Store) -> None:
    session_id = str(uuid.uuid4())
    good = [event(session_id, version) for version in (1, 2)]
    shouted = event(session_id.upper(), 3)
    assert (await store.insert_batch(batch(good[0], shouted, good[1]))).inserted >= 2
    stored = {found.body for found in await store.events(session_id)}
    assert stored >= set(good)
    assert stored | {kept.body for kept in await store.refused()} == {*good, shouted}


async def test_a_batch_with_known_and_new_and_refused_events(store: Store) -> None:
    session_id = str(uuid.uuid4())
    good = [event(session_id, version) for version in range(1, 7)]
    other = event(session_id, 2, "session.paused")
    await store.insert_batch(batch(*good[:3]))
    made = batch(good[4], b"nonsense", good[1], good[3], event("somebody", 1), other, good[5])
    assert await store.insert_batch(made) == Stored(inserted=3, known=1, refused=3)
    assert [found.body for found in await store.events(session_id)] == good
    assert {kept.reason for kept in await store.refused() if kept.body == other} == {VERSION_TAKEN}


async def test_a_snapshot_that_is_refused_stands_in_nobodys_way(store: Store) -> None:
    session_id = str(uuid.uuid4())
    poison = (b"nonsense", snapshot("somebody", 1), snapshot(str(uuid.uuid4()), 1, tenant_id="a\0b"))
    made = batch(event(session_id, 1), snapshots=(poison[0], snapshot(session_id, 1), *poison[1:]))
    assert (await store.insert_batch(made)).inserted == 1
    assert {kept.body for kept in await store.refused()} == set(poison)
    session = await store.session(session_id)
    assert session is not None
    assert session.snapshot_version == 1


async def test_an_event_under_a_strange_id_is_refused(store: Store) -> None:
    session_id, other = str(uuid.uuid4()), str(uuid.uuid4())
    made = Batch([Entry("00/1-0", other, event(session_id, 1))])
    assert await store.insert_batch(made) == Stored(0, 0, 1)
    assert await store.session(session_id) is None


async def test_a_tenants_sessions_the_newest_first(store: Store) -> None:
    ids = [str(uuid.UUID(int=number)) for number in range(1, 8)]
    made = [
        snapshot(
            session_id,
            1,
            tenant_id="a" if number < 5 else None,
            status="running" if number % 2 else "completed",
            created_at=datetime(2026, 1, 1 + number // 2, tzinfo=UTC),
        )
        for number, session_id in enumerate(ids)
    ]
    await store.insert_batch(batch(snapshots=tuple(made)))

    async def listed(**options: Any) -> list[int]:
        found = await store.list_sessions(options.pop("tenant", "a"), **options)
        return [ids.index(session.session_id) for session in found]

    assert await listed() == [4, 3, 2, 1, 0]
    assert await listed(tenant=None) == [6, 5]
    assert await listed(tenant="b") == []
    assert await listed(status="running") == [3, 1]
    pages = []
    before = None
    while page := await store.list_sessions("a", limit=2, before=before):
        pages.append([ids.index(session.session_id) for session in page])
        before = (page[-1].created_at, page[-1].session_id)
    assert pages == [[4, 3], [2, 1], [0]]


async def test_live_sessions_in_pages(store: Store) -> None:
    ids = sorted(str(uuid.uuid4()) for _ in range(5))
    over = str(uuid.uuid4())
    states = [snapshot(session_id, 1) for session_id in ids] + [snapshot(over, 1, status="expired")]
    await store.insert_batch(batch(snapshots=tuple(states)))
    found: list[str] = []
    while page := await store.live_sessions(found[-1] if found else None, limit=2):
        assert len(page) <= 2
        found += [session.session_id for session in page]
    assert found == ids
    assert await store.count_live() == 5


async def test_every_call_says_so_when_postgresql_is_away(own_postgres: PostgresServer) -> None:
    async with Store(await asyncio.to_thread(own_postgres.database), timeout_s=2) as store:
        await store.ping()
        await asyncio.to_thread(own_postgres.kill)
        for call in (
            store.ping(),
            store.tables(),
            store.insert_batch(batch(event(str(uuid.uuid4()), 1))),
            store.events(str(uuid.uuid4())),
            store.session(str(uuid.uuid4())),
            store.live_sessions(),
            store.list_sessions(None),
            store.count_refused(),
        ):
            with pytest.raises(StorageUnavailable):
                await call
        for _ in range(FAILURES):
            with suppress(StorageUnavailable):
                await store.ping()
        with pytest.raises(CircuitOpen) as refused:
            await store.ping()
        assert refused.value.context == {"dependency": "postgresql"}
        await asyncio.to_thread(own_postgres.start)
        assert await store.ping()


async def test_a_store_that_is_closed_at_any_moment_says_nothing_of_what_it_cuts_off(
    shared_postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(store: Store) -> None:
        while True:
            async with store.connection() as connection:
                await connection.fetchval("SELECT 1")

    url = await asyncio.to_thread(shared_postgres.database)
    for _ in range(20):
        async with Store(url, max_size=3) as store:
            tasks = [asyncio.create_task(use(store)) for _ in range(3)]
            await asyncio.sleep(random.uniform(0, 0.02))
            await cancel(*tasks)
        await asyncio.sleep(0.01)
        gc.collect()  # asyncio tells of errors that nobody took when it forgets them
    assert [each.message for each in caplog.records if each.name == "asyncio"] == []


async def test_a_server_that_stands_still_is_waited_for_so_long_and_no_longer(
    own_postgres: PostgresServer,
) -> None:
    async with Store(await asyncio.to_thread(own_postgres.database), timeout_s=0.3) as store:
        await store.ping()
        with own_postgres.standing_still(), pytest.raises(StorageUnavailable):
            await store.events(str(uuid.uuid4()))
        assert await store.ping()


async def test_a_database_without_tables_is_no_storage(shared_postgres: PostgresServer) -> None:
    async with Store(await asyncio.to_thread(shared_postgres.empty_database)) as store:
        assert await store.tables() is None
        with pytest.raises(StorageUnavailable):
            await store.events(str(uuid.uuid4()))
