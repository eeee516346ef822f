"""The archiver: an event is in the queue first, then out of the outbox; and always in the end."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from synckairos.audit import archiver, jobs
from synckairos.audit.archiver import GROUP, Archiver, batches
from synckairos.audit.jobs import Jobs
from synckairos.audit.rows import Batch, Entry
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.core.keys import SessionKeys
from tests.support import servers
from tests.support.live import eventually, game, settings
from tests.support.servers import Cluster, Server

DATABASE = "postgresql://nobody@127.0.0.1:1/none"
"""Nothing here goes as far as there."""


@pytest.fixture
def rq() -> Iterator[Server]:
    """The Redis of the queue, which may be stopped."""
    with servers.start("valkey") as started:
        yield started


@pytest.fixture
def sessions(connection: Connection) -> Sessions:
    return Sessions(connection, 3600)


@pytest.fixture
def queue(rq: Server) -> Iterator[Jobs]:
    made = Jobs.of(settings("redis://127.0.0.1:1", RQ_REDIS_URL=rq.url))
    yield made
    made.close()


def queued(queue: Jobs) -> list[Batch]:
    """What is in the queue, in order."""
    return [jobs.decode_job(*job.args) for job in queue.queue.jobs]


def events(found: list[Batch]) -> list[bytes]:
    return [entry.body for batch in found for entry in batch.entries]


async def outboxes(connection: Connection) -> int:
    """Entries in all outboxes, and those that were read and not acknowledged."""
    total = 0
    for partition in keys.PARTITIONS:
        client = await connection.primary_for(keys.outbox(partition))
        total += await client.xlen(keys.outbox(partition))
        if await client.exists(keys.outbox(partition)):
            pending: Any = await client.xpending(keys.outbox(partition), GROUP)
            total += pending["pending"]
    return total


async def test_events_come_to_the_queue_with_a_snapshot_and_leave_the_outbox(
    connection: Connection, sessions: Sessions, queue: Jobs
) -> None:
    ids = [await game(sessions) for _ in range(3)]
    logs = {session_id: await sessions.log(session_id, 0) for session_id in ids}
    assert await Archiver(connection, queue).archive() == 6
    (batch,) = queued(queue)
    for session_id in ids:
        assert [entry.body for entry in batch.entries if entry.session_id == session_id] == logs[session_id]
    states = {state["session_id"]: state for state in map(json.loads, batch.snapshots)}
    assert {session_id: state["version"] for session_id, state in states.items()} == dict.fromkeys(ids, 2)
    assert all(state["internal"] for state in states.values())
    assert await outboxes(connection) == 0
    assert await Archiver(connection, queue).archive() == 0


async def test_of_a_backlog_each_session_is_caught_once(
    connection: Connection, sessions: Sessions, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "ROUND_ENTRIES", 1)
    monkeypatch.setattr(archiver, "FIRST_COUNT", 1)
    session_id = await game(sessions)
    archive = Archiver(connection, queue)
    for _ in range(4):
        await sessions.switch(session_id)
    assert [await archive.archive() for _ in range(5)] == [1] * 5
    await sessions.switch(session_id)  # the snapshot does not have this
    assert [await archive.archive() for _ in range(3)] == [1, 1, 0]
    states = [[json.loads(state)["version"] for state in batch.snapshots] for batch in queued(queue)]
    assert states == [[6], [], [], [], [], [], [7]]
    assert events(queued(queue)) == await sessions.log(session_id, 0)


async def test_logs_are_shortened_once_their_events_are_queued(
    connection: Connection, sessions: Sessions, queue: Jobs, server: Server
) -> None:
    long, short = [await game(sessions) for _ in range(2)]
    for _ in range(58):
        await sessions.switch(long)
    for _ in range(20):
        await sessions.switch(short)
    logs = {session_id: await sessions.log(session_id, 0) or [] for session_id in (long, short)}
    assert await Archiver(connection, queue).archive() == 60 + 22
    async with server.client() as direct:
        lengths = {each: await direct.xlen(SessionKeys.of(each).log) for each in logs}
    assert lengths[short] == 22
    assert 24 <= lengths[long] <= 29  # a piece of 4 KB more
    assert await sessions.log(long, 60 - 24) == logs[long][-24:]
    assert await sessions.log(long, 0) is None
    assert {event for each in logs.values() for event in each} == set(events(queued(queue)))


@pytest.mark.own_keys(r"sk:\{..\}:.*:log")
async def test_a_log_that_is_something_else_keeps_no_event_from_the_queue(
    connection: Connection, sessions: Sessions, queue: Jobs, server: Server
) -> None:
    session_id = await game(sessions)
    for _ in range(30):
        await sessions.switch(session_id)
    async with server.client() as direct:
        await direct.set(SessionKeys.of(session_id).log, "a key of another type")
    assert await Archiver(connection, queue).archive() == 32
    assert await outboxes(connection) == 0


async def test_events_of_direct_calls_arrive_just_the_same(
    connection: Connection, sessions: Sessions, queue: Jobs, server: Server
) -> None:
    session_id = await game(sessions)
    async with server.client() as direct:
        for _ in range(3):
            await direct.fcall("sk_switch", 4, *SessionKeys.of(session_id).all)
    await Archiver(connection, queue).archive()
    assert events(queued(queue)) == await sessions.log(session_id, 0)


async def test_a_session_that_is_gone_has_no_snapshot(
    connection: Connection, sessions: Sessions, queue: Jobs
) -> None:
    session_id = await game(sessions)
    await sessions.delete(session_id)
    await Archiver(connection, queue).archive()
    (batch,) = queued(queue)
    assert [json.loads(body)["payload"]["event"] for body in events([batch])][-1] == "session.deleted"
    assert batch.snapshots == []


async def test_jobs_are_json_with_all_their_attempts(
    connection: Connection, sessions: Sessions, queue: Jobs
) -> None:
    await game(sessions)
    await Archiver(connection, queue).archive()
    (job,) = queue.queue.jobs
    function, instance, _, options = json.loads(job.data)
    assert (function, instance, options) == (jobs.STORE, None, {})
    assert (job.retries_left, job.retry_intervals) == (5, [2, 4, 8, 16, 32])
    assert (job.result_ttl, job.failure_ttl) == (0, -1)


async def test_what_is_no_event_goes_the_same_way(
    connection: Connection, queue: Jobs, server: Server
) -> None:
    async with server.client() as direct:
        await direct.xadd(keys.outbox("0a"), {"id": b"\xff", "e": b"\xff\xfe\0"})
        await direct.xadd(keys.outbox("0a"), {"x": "y"})
        await direct.xadd(keys.outbox("0b"), {"id": str(uuid.uuid4()), "e": "{}"})
    assert await Archiver(connection, queue).archive() == 3
    assert sorted(events(queued(queue))) == [b"", b"{}", b"\xff\xfe\0"]
    assert await outboxes(connection) == 0


async def test_a_backlog_is_taken_in_bounded_batches_and_in_order(
    connection: Connection, queue: Jobs, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "ROUND_ENTRIES", 1000)
    ids = [f"{uuid.uuid4().hex[:24]}{number:02x}" for number in range(3)]
    ids = [str(uuid.UUID((session_id + "0" * 32)[:30] + session_id[-2:])) for session_id in ids]
    sent: dict[str, list[bytes]] = {session_id: [] for session_id in ids}
    async with server.client() as direct, direct.pipeline(transaction=False) as pipeline:
        for number in range(4000):
            # Most of them in one partition: that one is read more of.
            session_id = ids[0 if number % 10 else number // 10 % 3]
            body = b"%d:%s" % (number, b"x" * (number % 700))
            sent[session_id].append(body)
            pipeline.xadd(keys.outbox(keys.partition(session_id)), {"id": session_id, "e": body})
        await pipeline.execute()
    archive = Archiver(connection, queue)
    rounds = []
    while count := await archive.archive():
        rounds.append(count)
    assert sum(rounds) == 4000
    assert len(rounds) > 1
    assert max(rounds) <= 1000 + archiver.FIRST_COUNT * len(keys.PARTITIONS)
    found = queued(queue)
    assert all(len(batch.entries) <= archiver.MAX_ENTRIES for batch in found)
    assert len(found) < 20
    for session_id in ids:
        entries = [entry.body for batch in found for entry in batch.entries if entry.session_id == session_id]
        assert entries == sent[session_id]
    assert await outboxes(connection) == 0


def test_batches_are_bounded_by_count_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiver, "MAX_ENTRIES", 3)
    monkeypatch.setattr(archiver, "MAX_BYTES", 100)
    entries = [Entry(str(number), f"session {number % 2}", b"x" * 10) for number in range(8)]
    found = list(batches(entries, {"session 0": b"s" * 10}))
    assert [[entry.source for entry in batch.entries] for batch in found] == [
        ["0", "2", "4"],
        ["6", "1", "3"],
        ["5", "7"],
    ]
    assert [list(batch.snapshots) for batch in found] == [[], [b"s" * 10], []]
    large = [Entry("1", "a", b"x" * 60), Entry("2", "a", b"x" * 60), Entry("3", "a", b"x" * 600)]
    assert [len(batch.entries) for batch in batches(large, {})] == [1, 1, 1]
    assert list(batches([], {})) == []


async def test_several_archivers_share_the_work(
    connection: Connection, sessions: Sessions, queue: Jobs
) -> None:
    ids = [await game(sessions) for _ in range(8)]
    archivers = [Archiver(connection, queue) for _ in range(4)]
    async with asyncio.TaskGroup() as tasks:
        for each in archivers:
            tasks.create_task(_until_empty(each, connection))
        for _ in range(10):
            for session_id in ids:
                await sessions.switch(session_id)
    found = events(queued(queue))
    expected = [body for session_id in ids for body in await sessions.log(session_id, 0) or []]
    assert Counter(found) == Counter(expected)


async def _until_empty(each: Archiver, connection: Connection) -> None:
    while await each.archive() or await outboxes(connection):
        await asyncio.sleep(0.01)


async def test_what_was_queued_while_the_primary_changed_stays_and_is_claimed(
    connection: Connection, sessions: Sessions, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue may be on the old primary, and its batches may get lost there."""
    monkeypatch.setattr(archiver, "CLAIM_EVERY_S", 3600.0)
    archive = Archiver(connection, queue)
    loop, put = asyncio.get_running_loop(), queue.put
    lost: list[Batch] = []

    def put_on_the_old_primary(batch: Batch) -> str:
        job_id = put(batch)
        if not lost:
            lost.append(batch)
            for callback in tuple(connection.on_change):
                loop.call_soon_threadsafe(callback)
        return job_id

    monkeypatch.setattr(queue, "put", put_on_the_old_primary)
    await archive.start()
    try:
        await game(sessions)
        await eventually(lambda: lost)
        later = await game(sessions)
        await eventually(
            lambda: later in {entry.session_id for batch in queued(queue) for entry in batch.entries}
        )
        queue.client.flushall()  # the old primary became a replica of the new one
        monkeypatch.setattr(archiver, "CLAIM_AFTER_MS", 0)  # no earlier, as its own first look may go on
        while await archive.claim():
            pass
        assert set(events(queued(queue))) >= set(events(lost))
        assert await outboxes(connection) == 0
    finally:
        await archive.stop()


async def test_what_a_dead_archiver_had_is_claimed(
    connection: Connection, sessions: Sessions, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await game(sessions) for _ in range(5)]
    dead, alive = Archiver(connection, queue), Archiver(connection, queue)
    assert sum(map(len, (await dead._read()).values())) == 10  # and that was the last one heard of it
    assert await alive.archive() == 0
    assert await alive.claim() == 0
    monkeypatch.setattr(archiver, "CLAIM_AFTER_MS", 0)
    assert await alive.claim() == 10
    expected = [body for session_id in ids for body in await sessions.log(session_id, 0) or []]
    assert Counter(events(queued(queue))) == Counter(expected)
    assert await outboxes(connection) == 0
    assert await alive.claim() == 0


async def test_a_batch_that_was_queued_and_not_acknowledged_is_queued_again(
    connection: Connection, sessions: Sessions, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(sessions)
    monkeypatch.setattr(archiver, "CLAIM_AFTER_MS", 0)
    dying = Archiver(connection, queue)

    async def die(_: Any) -> None:
        raise OSError

    monkeypatch.setattr(dying, "_acknowledge", die)
    with pytest.raises(OSError):  # noqa: PT011 - it has no text
        await dying.archive()
    assert await Archiver(connection, queue).claim() == 2
    # The same entries are the same job.
    assert events(queued(queue)) == await sessions.log(session_id, 0)
    assert await outboxes(connection) == 0


async def test_nothing_leaves_the_outbox_while_the_queue_is_away(
    connection: Connection, sessions: Sessions, queue: Jobs, rq: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "AGE_S", 0.01)
    monkeypatch.setattr(archiver, "CLAIM_AFTER_MS", 0)
    monkeypatch.setattr(archiver, "CLAIM_EVERY_S", 0.1)
    ids = [await game(sessions) for _ in range(3)]
    await asyncio.to_thread(rq.kill)
    archive = Archiver(connection, queue)
    await archive.start()
    await asyncio.sleep(0.3)  # it tries
    ids += [await game(sessions) for _ in range(3)]
    assert await outboxes(connection) >= 12
    await asyncio.to_thread(rq.start)
    async with asyncio.timeout(20):
        while await outboxes(connection):
            await asyncio.sleep(0.05)
    found = set(events(await asyncio.to_thread(queued, queue)))
    assert found == {body for session_id in ids for body in await sessions.log(session_id, 0) or []}
    await archive.stop()


async def test_it_works_by_itself_also_when_the_outboxes_were_taken_away(
    connection: Connection,
    sessions: Sessions,
    queue: Jobs,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archiver, "AGE_S", 0.01)
    archive = Archiver(connection, queue)
    await archive.start()
    await game(sessions)
    await eventually(lambda: len(events(queued(queue))) == 2)
    async with server.client() as direct:
        await direct.flushall()
    await game(sessions)
    await eventually(lambda: len(events(queued(queue))) == 4)
    await archive.stop()


async def test_archivers_that_are_gone_are_forgotten(
    connection: Connection, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, here, stopped = (Archiver(connection, queue) for _ in range(3))
    (client,) = await connection.primaries()

    async def names() -> set[str]:
        found: Any = await client.xinfo_consumers(keys.outbox("00"), GROUP)
        return {consumer["name"].decode() for consumer in found}

    async def work(archive: Archiver) -> None:
        await client.xadd(keys.outbox("00"), {"e": "x"})
        assert await archive.archive() == 1

    for archive in (gone, stopped):
        await work(archive)
    assert await names() == {gone._name, stopped._name}
    await stopped.stop()
    assert await names() == {gone._name}
    monkeypatch.setattr(archiver, "FORGET_AFTER_MS", 200)
    monkeypatch.setattr(archiver, "CLAIM_EVERY_S", 0.05)
    await here.start()
    async with asyncio.timeout(10):
        while gone._name in await names():
            await asyncio.sleep(0.02)
    await here.stop()


async def test_one_that_has_something_is_not_forgotten(connection: Connection, queue: Jobs) -> None:
    (client,) = await connection.primaries()
    await Archiver(connection, queue).archive()
    await client.xadd(keys.outbox("00"), {"e": "x"})
    stopped = Archiver(connection, queue)
    assert await stopped._read()
    await stopped.stop()
    found: Any = await client.xinfo_consumers(keys.outbox("00"), GROUP)
    assert {consumer["name"].decode(): consumer["pending"] for consumer in found}[stopped._name] == 1


async def test_all_outboxes_of_a_cluster(
    cluster: Cluster, queue: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(
        "redis://127.0.0.1",
        REDIS_CLUSTER_NODES=cluster.nodes,
        DATABASE_URL=DATABASE,
        RQ_REDIS_URL="redis://x",
    )
    async with await connect(chosen) as connection:
        sessions = Sessions(connection, 3600)
        ids = [await game(sessions) for _ in range(40)]
        for _ in range(8):
            await sessions.switch(ids[0])
        archive, dead = Archiver(connection, queue), Archiver(connection, queue)
        assert sum(map(len, (await dead._read()).values())) == 88
        assert await archive.archive() == 0
        monkeypatch.setattr(archiver, "CLAIM_AFTER_MS", 0)
        assert await archive.claim() == 88
        await sessions.switch(ids[0])
        assert await archive.archive() == 1
        expected = [body for session_id in ids for body in await sessions.log(session_id, 0) or []]
        assert Counter(events(queued(queue))) == Counter(expected)
        assert await outboxes(connection) == 0


async def test_no_key_of_the_queue_is_left_behind_among_the_sessions(
    connection: Connection, queue: Jobs, server: Server
) -> None:
    await Archiver(connection, queue).archive()
    async with server.client() as direct:
        assert set(await direct.keys("*")) == {
            keys.outbox(partition).encode() for partition in keys.PARTITIONS
        }
