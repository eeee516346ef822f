"""The timekeeper over a real server. Its clock is the server's, so these tests wait for real moments, short
ones.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from redis.crc import key_slot
from structlog.testing import capture_logs

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from synckairos.realtime import timekeeper
from synckairos.realtime.timekeeper import WINDOW
from tests.support import servers
from tests.support.live import Parts, eventually, game, parts, settings


@pytest.fixture
async def live(redis: servers.Server) -> AsyncIterator[Parts]:
    async with redis.client() as direct:
        await direct.flushall()
    async with parts(settings(redis.url)) as running:
        yield running


async def events(live: Parts, session_id: str) -> list[dict[str, Any]]:
    """All events of the session."""
    return [json.loads(event) for event in await live.sessions.log(session_id, 0) or ()]


async def ended(live: Parts, session_ids: list[str], patience_s: float = 10) -> list[dict[str, Any]]:
    """Wait until all of them have expired. Returns their last events."""
    async with asyncio.timeout(patience_s):
        for session_id in session_ids:
            while (await live.sessions.get(session_id)).status != "expired":
                await asyncio.sleep(0.01)
    return [(await events(live, session_id))[-1] for session_id in session_ids]


def calls(kind: str) -> float:
    """How many calls had this outcome so far."""
    value = metrics.registry.get_sample_value("synckairos_expiries_total", {"kind": kind})
    return value or 0.0


async def test_a_clock_that_runs_out_expires_by_itself(live: Parts) -> None:
    await live.timekeeper.start()
    session_id = await game(live.sessions, seconds=1)
    (last,) = await ended(live, [session_id])
    assert last["type"] == "TIME_EXPIRED"
    assert last["payload"]["event"] == "session.expired"
    assert last["payload"]["late_ms"] == last["server_time_ms"] - last["payload"]["expired_deadline_ms"] >= 0


async def test_what_was_due_before_it_started_is_caught_up_with(live: Parts) -> None:
    session_ids = [await game(live.sessions, seconds=1) for _ in range(300)]
    await asyncio.sleep(1.1)
    await live.timekeeper.start()
    assert {event["payload"]["event"] for event in await ended(live, session_ids)} == {"session.expired"}
    async with asyncio.timeout(5):
        primary = (await live.connection.primaries())[0]
        while await primary.keys("sk:*:alarms"):
            await asyncio.sleep(0.01)


async def test_more_overdue_in_one_partition_than_it_takes_at_a_time(live: Parts) -> None:
    primary = (await live.connection.primaries())[0]
    stale = {f"00000000-0000-4000-8000-{number:010x}aa": 1 for number in range(3 * WINDOW)}
    await primary.zadd(keys.alarms("aa"), stale)
    await live.timekeeper.start()
    async with asyncio.timeout(5):
        while await primary.zcard(keys.alarms("aa")):
            await asyncio.sleep(0.01)


async def test_cycles_follow_one_another_without_anybody_asking(live: Parts) -> None:
    await live.timekeeper.start()
    session_id = await game(
        live.sessions,
        sync_mode="per_cycle",
        time_per_cycle_ms=1000,
        participants=3,
        auto_advance=True,
        action_on_timeout={"type": "skip_cycle"},
    )
    async with asyncio.timeout(10):
        while (await live.sessions.get(session_id)).version < 4:
            await asyncio.sleep(0.01)
    found = await events(live, session_id)
    deadlines = [event["payload"]["deadline_ms"] for event in found[1:4]]
    assert [event["payload"]["event"] for event in found[2:4]] == ["participant.expired"] * 2
    assert [later - earlier for earlier, later in pairwise(deadlines)] == [1000, 1000]


async def test_warnings_come_at_their_moment_and_the_expiry_after_them(live: Parts) -> None:
    await live.timekeeper.start()
    session_id = await game(live.sessions, seconds=2.2, warnings_ms=[2000, 1900])
    await ended(live, [session_id])
    found = (await events(live, session_id))[2:]
    assert [event["type"] for event in found] == ["TIME_WARNING", "TIME_WARNING", "TIME_EXPIRED"]
    assert [event["payload"].get("warning_ms") for event in found] == [2000, 1900, None]
    deadline = found[-1]["payload"]["expired_deadline_ms"]
    assert found[0]["server_time_ms"] >= deadline - 2000
    assert found[1]["server_time_ms"] >= deadline - 1900


async def test_a_pause_that_is_too_long_ends_by_itself(live: Parts) -> None:
    await live.timekeeper.start()
    before = calls("resumption")
    session_id = await game(live.sessions, max_pause_ms=1000)
    running = json.loads((await live.sessions.get(session_id)).raw)
    paused = json.loads((await live.sessions.pause(session_id)).raw)
    due = paused["payload"]["resumes_at_ms"]
    assert due == paused["server_time_ms"] + 1000
    async with asyncio.timeout(10):
        while (await live.sessions.get(session_id)).status != "running":
            await asyncio.sleep(0.01)
    last = (await events(live, session_id))[-1]
    assert (last["version"], last["type"]) == (4, "STATE_UPDATE")
    assert (last["payload"]["event"], last["payload"]["reason"]) == ("session.resumed", "auto")
    assert last["payload"]["late_ms"] == last["server_time_ms"] - due >= 0
    # The clock goes on from the due moment, as if somebody had been there in time.
    began = due if last["payload"]["late_ms"] <= 1000 else last["server_time_ms"]
    assert last["payload"]["deadline_ms"] - began == running["deadline_ms"] - paused["server_time_ms"]
    await eventually(lambda: calls("resumption") == before + 1)


async def test_a_meeting_ends_when_its_time_is_over_whoever_speaks(live: Parts) -> None:
    await live.timekeeper.start()
    session_id = await game(
        live.sessions,
        sync_mode="global",
        total_time_ms=1500,
        time_per_cycle_ms=1000,
        participants=3,
        auto_advance=True,
    )
    (last,) = await ended(live, [session_id])
    _, started, advanced, _ = found = await events(live, session_id)
    assert [event["payload"]["event"] for event in found[2:]] == ["participant.expired", "session.expired"]
    assert started["payload"]["deadline_ms"] == started["server_time_ms"] + 1000
    assert advanced["payload"]["expired_deadline_ms"] == started["payload"]["deadline_ms"]
    assert advanced["payload"]["total_remaining_ms"] <= 500
    assert last["payload"]["expired_clock"] == "total"
    assert last["payload"]["expired_deadline_ms"] == advanced["payload"]["deadline_ms"]
    assert last["payload"]["late_ms"] == last["server_time_ms"] - advanced["payload"]["deadline_ms"] >= 0


async def test_an_alarm_that_gets_earlier_is_not_missed(live: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timekeeper, "SWEEP_EVERY_S", 36_000)  # it is the message that tells
    await live.timekeeper.start()
    session_id = await game(live.sessions, seconds=3600)
    channel = live.subscriptions._channels[keys.alarms(keys.partition(session_id)).encode()]
    await eventually(lambda: channel.confirmed)
    participant = json.loads((await live.sessions.get(session_id)).raw)["active_participant_id"]
    adjusted = await live.sessions.adjust(session_id, participant=participant, set_ms=100)
    assert adjusted is not None
    (last,) = await ended(live, [session_id])
    assert last["payload"]["event"] == "session.expired"


async def test_an_alarm_that_was_moved_is_called_when_it_is_due_and_not_before(live: Parts) -> None:
    await live.timekeeper.start()
    session_id = await game(live.sessions, seconds=2.4)
    deadline = json.loads((await live.sessions.get(session_id)).raw)["deadline_ms"]
    await eventually(lambda: session_id in live.timekeeper._partitions[keys.partition(session_id)].planned)
    await live.sessions.switch(session_id)
    await live.sessions.switch(session_id)
    await live.sessions.pause(session_id)
    state = await live.sessions.get(session_id)
    while state.server_time_ms < deadline + 100:
        await asyncio.sleep(0.1)
        state = await live.sessions.get(session_id)
    assert (state.status, state.version) == ("paused", 5)
    await live.sessions.resume(session_id)
    (last,) = await ended(live, [session_id])
    assert last["payload"]["late_ms"] >= 0


async def test_two_timekeepers_share_the_work_and_nothing_happens_twice(
    live: Parts, redis: servers.Server
) -> None:
    async with parts(settings(redis.url)) as other:
        await live.timekeeper.start()
        await other.timekeeper.start()
        session_ids = [await game(live.sessions, seconds=1) for _ in range(50)]
        await ended(live, session_ids)
        for session_id in session_ids:
            assert [event["version"] for event in await events(live, session_id)] == [1, 2, 3]


async def test_the_other_goes_on_when_one_stops(live: Parts, redis: servers.Server) -> None:
    async with parts(settings(redis.url)) as other:
        await other.timekeeper.start()
        await live.timekeeper.start()
        session_id = await game(live.sessions, seconds=1)
        await other.timekeeper.stop()
        await ended(live, [session_id])


@pytest.mark.own_keys(r"sk:\{..\}:00000000-0000-4000-8000-0000000000..")
async def test_a_poisoned_alarm_harms_nobody_else_and_keeps_nobody_busy(live: Parts) -> None:
    primary = (await live.connection.primaries())[0]
    session_id = await game(live.sessions, seconds=1)
    tag = keys.partition(session_id)
    wrong = f"00000000-0000-4000-8000-0000000000{tag}"
    await primary.zadd(keys.alarms(tag), {wrong.encode(): 1, b"no id at all": 2, b"\xff\xfe": 3})
    await primary.set(SessionKeys.of(wrong).session, "a key of another type")
    before = calls("error")
    with capture_logs() as logs:
        await live.timekeeper.start()
        await ended(live, [session_id])
    assert {entry["session"] for entry in logs if entry["event"] == "an alarm cannot be called"} == {
        wrong,
        "no id at all",
        "\ufffd\ufffd",
    }
    assert len([entry for entry in logs if entry["event"] == "an alarm cannot be called"]) == 3
    # Tried again after 1, 2, 4 … ms, cut by up to half: about ten times a second at most, and ever more
    # rarely.
    assert calls("error") - before < 60


async def test_an_alarm_that_comes_early_is_called_again_and_not_in_a_busy_loop(live: Parts) -> None:
    await live.timekeeper.start()
    await live.clock.stop()
    before = calls("none")
    # The offset is a second ahead of the server: every call comes too early at first.
    for offset in set(live.clock._of_partition.values()):
        offset.offset_ms += 1000
        offset._samples.clear()
    session_id = await game(live.sessions, seconds=1)
    (last,) = await ended(live, [session_id])
    assert last["payload"]["late_ms"] >= 0
    assert 1 <= calls("none") - before < 40


async def test_a_server_that_restarts_loses_no_alarm() -> None:
    with servers.start("valkey", appendonly="yes", appendfsync="always") as server:
        async with parts(settings(server.url)) as live:
            await live.timekeeper.start()
            session_ids = [await game(live.sessions, seconds=2) for _ in range(20)]
            server.kill()
            await asyncio.sleep(0.5)
            server.start()
            await ended(live, session_ids, patience_s=20)
            later = await game(live.sessions, seconds=1)
            await ended(live, [later])


async def test_a_cluster_has_its_alarms_called_on_every_node() -> None:
    with servers.start_cluster("valkey", cluster_require_full_coverage="no") as cluster:
        async with parts(settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)) as live:
            await live.timekeeper.start()
            session_ids = [await game(live.sessions, seconds=1) for _ in range(60)]
            await ended(live, session_ids)
            # One node goes; the others' alarms are called as if nothing had happened.
            session_ids = [await game(live.sessions, seconds=1.5) for _ in range(60)]
            cluster.primaries[0].kill()
            left = [
                session_id
                for session_id in session_ids
                if key_slot(SessionKeys.of(session_id).session.encode()) >= servers.SLOTS // 3
            ]
            assert 0 < len(left) < len(session_ids)
            for event in await ended(live, left):
                assert event["payload"]["late_ms"] < 5000


async def test_stopping_is_prompt(live: Parts) -> None:
    await live.timekeeper.start()
    await game(live.sessions, seconds=600)
    async with asyncio.timeout(5):
        await live.timekeeper.stop()


def alarmed(logged: list[Any]) -> list[str]:
    """What was said of the storage being away."""
    return [entry["error"] for entry in logged if entry["event"].startswith("the storage is away")]


async def test_a_process_that_is_held_up_does_not_take_the_storage_for_away(live: Parts) -> None:
    with capture_logs() as logged:
        await live.timekeeper.start()
        for turns in random.sample(
            range(2, 10), 4
        ):  # of the loop since a look began: one of them meets it in the middle
            while not live.timekeeper._jobs:
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            time.sleep(timekeeper.TIMEOUT_S + 0.05)  # noqa: ASYNC251 - the loop is what is held up
            await asyncio.sleep(0.1)
            await eventually(lambda: live.timekeeper._looks_fail_since is None)  # a look succeeds again
    assert alarmed(logged) == []
    assert any(entry["event"] == "alarms could not be read at the moment" for entry in logged)


async def test_a_storage_that_is_away_is_said_to_be_once_and_why() -> None:
    with servers.start("valkey") as server:
        async with parts(settings(server.url)) as live:
            await live.timekeeper.start()
            with capture_logs() as logged:
                server.pause()
                try:
                    async with asyncio.timeout(10):
                        while not alarmed(logged):
                            await asyncio.sleep(0.05)
                    await asyncio.sleep(1.0)
                finally:
                    server.resume()
            (why,) = alarmed(logged)
            assert why
