"""Several timekeepers over one server: one calls the alarms of a partition, and the others stand by.

How long a standby process waits is made longer in most tests, so that a machine that stands still does not
look like a process that does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.crc import key_slot

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.model import Change
from synckairos.realtime import membership, standby, timekeeper
from synckairos.realtime.membership import Membership
from tests.support import servers
from tests.support.live import Parts, eventually, parts, settings
from tests.support.programs import Program
from tests.support.proxy import Proxy

EVENTS = [1, 2, 3]
"""The versions of a session that was created and started, and that expired once."""
Results = list[Change | Exception | None]


@pytest.fixture
async def live(redis: servers.Server) -> AsyncIterator[Parts]:
    async with redis.client() as direct:
        await direct.flushall()
    async with parts(settings(redis.url)) as running:
        yield running


def members(of: Parts) -> Membership:
    return of.timekeeper._members


def calls() -> dict[str, float]:
    """How many calls of this process' timekeepers had which outcome so far."""
    kinds = ("expiry", "none", "error")
    found = [metrics.registry.get_sample_value("synckairos_expiries_total", {"kind": kind}) for kind in kinds]
    return dict(zip(kinds, (value or 0.0 for value in found), strict=True))


async def acquainted(*all_of_them: Parts) -> None:
    """Wait until each knows all."""
    names = {members(each).name for each in all_of_them}
    await eventually(lambda: all(members(each).members == names for each in all_of_them))


async def clocks(live: Parts, count: int, partitions: Sequence[str], seconds: float = 1) -> list[str]:
    """Start sessions in these partitions, whose clocks run out soon. Returns their ids."""
    ids = [str(uuid.uuid4())[:-2] + partitions[number % len(partitions)] for number in range(count)]
    for session_id in ids:
        player = {"participant_id": str(uuid.uuid4()), "total_time_ms": int(1000 * seconds)}
        config = {"sync_mode": "per_participant", "participants": [player]}
        await live.sessions.create(session_id, json.dumps(config).encode())
        await live.sessions.start(session_id)
    return ids


async def each_expired_once(live: Parts, ids: list[str]) -> None:
    async with asyncio.timeout(20):
        for session_id in ids:
            while (await live.sessions.get(session_id)).status != "expired":
                await asyncio.sleep(0.01)
    for session_id in ids:
        log = await live.sessions.log(session_id, 0)
        assert [json.loads(event)["version"] for event in log or []] == EVENTS


def preferred(of: Parts) -> list[str]:
    """The partitions in which it goes first."""
    return [partition for partition in keys.PARTITIONS if members(of).rank(partition) == 0]


async def test_what_is_due_in_a_partition_goes_in_one_round_trip(
    live: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timekeeper, "CALLS_A_ROUND", 1)  # a partition is not divided all the same
    batches = []
    expire_all = live.sessions.expire_all

    async def counted(session_ids: Sequence[str]) -> Results:
        batches.append(sorted(session_ids))
        return await expire_all(session_ids)

    monkeypatch.setattr(live.sessions, "expire_all", counted)
    ids = await clocks(live, 100, ["07", "f3"])
    await asyncio.sleep(1.1)
    (primary,) = await live.connection.primaries()
    await primary.config_resetstat()
    await live.timekeeper.start()
    async with asyncio.timeout(10):
        while await primary.exists(keys.alarms("07"), keys.alarms("f3")):
            await asyncio.sleep(0.01)
    called = (await primary.info("commandstats"))["cmdstat_fcall"]["calls"]
    assert called == 100
    assert sorted(batches) == sorted(sorted(each for each in ids if each[-2:] == tag) for tag in ("07", "f3"))
    await each_expired_once(live, ids)


async def test_each_alarm_is_called_by_one_of_two(live: Parts, redis: servers.Server) -> None:
    async with parts(settings(redis.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start()
        await acquainted(live, other)
        assert sorted(preferred(live) + preferred(other)) == list(keys.PARTITIONS)
        assert 64 < len(preferred(live)) < 192
        before = calls()
        ids = await clocks(live, 100, keys.PARTITIONS)
        await each_expired_once(live, ids)
        await eventually(lambda: calls()["expiry"] - before["expiry"] == len(ids))
        assert sum(calls().values()) - sum(before.values()) <= 1.2 * len(ids)


async def test_nobody_counts_on_one_that_begins_or_leaves(
    live: Parts, redis: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is busy with its start, or may be gone in the next moment, and only stands by.

    One that joins goes first before the others hear of it, and one that leaves goes on until they surely have
    heard of it, so that somebody always goes first.
    """
    async with parts(settings(redis.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start(join=False)
        await eventually(lambda: members(live).name in members(other).members)
        assert (len(preferred(live)), preferred(other)) == (len(keys.PARTITIONS), [])
        monkeypatch.setattr(membership, "HAND_OVER_S", 3600.0)
        other.timekeeper.join()
        assert preferred(other)
        await each_expired_once(live, await clocks(live, 10, keys.PARTITIONS))
        assert len(preferred(live)) == len(keys.PARTITIONS)
        monkeypatch.setattr(membership, "HAND_OVER_S", 1.0)
        other.timekeeper.join()
        await acquainted(live, other)
        assert preferred(other)
        before = preferred(other)
        await other.timekeeper.leave()
        assert preferred(other) == before
        await eventually(lambda: len(preferred(live)) == len(keys.PARTITIONS))
        await eventually(lambda: preferred(other) == [])
        ids = await clocks(live, 10, keys.PARTITIONS)
        await live.timekeeper.stop()  # and now only the one that leaves is there
        await each_expired_once(live, ids)


async def test_the_others_wait_while_the_preferred_one_makes_progress_and_call_when_it_stops(
    live: Parts, redis: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "MISSED_AT_MOST", 10_000)  # it is not taken for gone
    monkeypatch.setattr(standby, "PATIENCE_MS", 1000)
    monkeypatch.setattr(standby, "BUSY_PATIENCE_MS", 3000)
    monkeypatch.setattr(standby, "LONGEST_WAIT_MS", 60_000)
    monkeypatch.setattr(timekeeper, "CALLS_A_ROUND", 1)
    monkeypatch.setattr(timekeeper, "ROUNDS_AT_ONCE", 1)
    async with parts(settings(redis.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start()
        await acquainted(live, other)
        expire_all = other.sessions.expire_all
        done: list[str] = []

        async def slow(session_ids: Sequence[str]) -> Results:
            if len(done) == 20:
                await asyncio.Event().wait()
            results = await expire_all(session_ids)
            await asyncio.sleep(0.02)
            done.extend(session_ids)
            return results

        monkeypatch.setattr(other.sessions, "expire_all", slow)
        before = calls()
        ids = await clocks(live, 40, preferred(other)[:40])
        assert len(ids) == len(set(preferred(other)[:40]))
        await eventually(lambda: len(done) == 20)
        assert calls() == {**before, "expiry": before["expiry"] + 20}
        await each_expired_once(live, ids)
        assert calls() == {**before, "expiry": before["expiry"] + 40}
        assert len(done) == 20


async def test_only_some_are_called_at_a_time_for_a_process_that_does_not(
    live: Parts, redis: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "MISSED_AT_MOST", 10_000)
    monkeypatch.setattr(timekeeper, "STAND_IN_AT_ONCE", 10)
    async with parts(settings(redis.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start()
        await acquainted(live, other)

        async def never(_: Sequence[str]) -> Results:
            await asyncio.Event().wait()
            return []

        monkeypatch.setattr(other.sessions, "expire_all", never)
        expire_all = live.sessions.expire_all
        batches = []

        async def counted(session_ids: Sequence[str]) -> Results:
            batches.append(len(session_ids))
            return await expire_all(session_ids)

        monkeypatch.setattr(live.sessions, "expire_all", counted)
        ids = await clocks(live, 60, preferred(other)[:12])
        await each_expired_once(live, ids)
        assert sum(batches) == 60
        assert max(batches) <= 14  # a partition is not divided


@pytest.mark.parametrize("cut", ["silent", "closed"])
async def test_clocks_of_a_process_that_is_cut_off_expire_once(
    live: Parts, redis: servers.Server, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    monkeypatch.setattr(membership, "MISSED_AT_MOST", 10_000)  # standing by is enough
    async with Proxy(redis.port) as proxy, parts(settings(proxy.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start()
        await acquainted(live, other)
        ids = await clocks(live, 60, keys.PARTITIONS[::5])
        assert {members(live).rank(session_id[-2:]) for session_id in ids} == {0, 1}
        if cut == "silent":
            proxy.silent = True
        else:
            proxy.target = 1  # nobody listens there
            proxy.cut_all()
        await each_expired_once(live, ids)
        assert members(live).members == {members(live).name, members(other).name}
        proxy.silent, proxy.target = False, redis.port
        await each_expired_once(live, await clocks(live, 10, preferred(other)))


async def test_a_process_that_stands_still_is_stood_in_for_and_goes_on_afterwards(
    live: Parts, redis: servers.Server
) -> None:
    await live.timekeeper.start()
    program = Program("serve", REDIS_URL=redis.url, PORT="0", HOST="127.0.0.1")
    try:
        await eventually(lambda: len(members(live).members) == 2, patience_s=60)
        others = [partition for partition in keys.PARTITIONS if members(live).rank(partition) == 1]
        ids = await clocks(live, 40, others)
        (worker,) = program.workers()
        worker.send_signal(signal.SIGSTOP)
        try:
            await each_expired_once(live, ids)
            await eventually(lambda: members(live).members == {members(live).name})
            await each_expired_once(live, await clocks(live, 10, others))
        finally:
            worker.send_signal(signal.SIGCONT)
        await eventually(lambda: len(members(live).members) == 2)
        await each_expired_once(live, await clocks(live, 10, others))
    finally:
        program.end()
    await eventually(lambda: members(live).members == {members(live).name})


async def test_who_leaves_is_no_longer_waited_for(live: Parts, redis: servers.Server) -> None:
    await live.timekeeper.start()
    async with parts(settings(redis.url)) as second, parts(settings(redis.url)) as third:
        await second.timekeeper.start()
        await third.timekeeper.start()
        await acquainted(live, second, third)
        orders = {
            partition: [members(each).rank(partition) for each in (live, second, third)]
            for partition in keys.PARTITIONS
        }
        assert all(sorted(ranks) == [0, 1, 2] for ranks in orders.values())
        await third.timekeeper.stop()
        await acquainted(live, second)
        # Only the partitions of the one that left have moved.
        for partition, (first, _, last) in orders.items():
            assert members(live).rank(partition) == first - (last < first)
    await acquainted(live)


async def test_in_a_cluster_they_share_the_work_and_do_without_the_node_where_they_meet() -> None:
    with servers.start_cluster("valkey", cluster_require_full_coverage="no") as cluster:
        chosen = settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)
        async with parts(chosen) as live, parts(chosen) as other:
            await live.timekeeper.start()
            await other.timekeeper.start()
            await acquainted(live, other)
            before = calls()
            ids = await clocks(live, 60, keys.PARTITIONS[::4])
            await each_expired_once(live, ids)
            await eventually(lambda: calls()["expiry"] - before["expiry"] == len(ids))
            assert sum(calls().values()) - sum(before.values()) <= 1.2 * len(ids)
            node = key_slot(keys.TIMEKEEPERS.encode()) * len(cluster.primaries) // servers.SLOTS
            meeting = cluster.primaries[node]
            elsewhere = [
                partition
                for partition in keys.PARTITIONS
                if key_slot(keys.alarms(partition).encode()) * len(cluster.primaries) // servers.SLOTS != node
            ]
            meeting.kill()
            await each_expired_once(live, await clocks(live, 60, elsewhere))
            # Each takes itself for the only one, which costs calls and loses nothing.
            await eventually(lambda: all(len(members(each).members) == 1 for each in (live, other)))
            await each_expired_once(live, await clocks(live, 60, elsewhere))
