"""What Redis has lost comes back although nobody asks for it: once, and by one process at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from synckairos import metrics
from synckairos.audit.losses import Losses, Progress
from synckairos.audit.rows import Batch
from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from tests.support.audit_service import Audited, Machines, audited, restored
from tests.support.live import Service, eventually, game, service, settings
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.programs import Program
from tests.support.servers import Cluster, Server

PATIENCE_S = 60.0
RATE = "1000"


async def games(running: Audited, count: int, **config: Any) -> list[str]:
    """Live sessions, all stored, by their ids."""
    made = await asyncio.gather(*(game(running.sessions, **config) for _ in range(count)))
    await running.archived()
    return sorted(made)


def has_all(running: Audited, session_ids: list[str]) -> bool:
    with running.redis() as client:
        return bool(
            client.exists(*(SessionKeys.of(each).session for each in session_ids)) == len(session_ids)
        )


def own_keys(server: Server) -> dict[str, int]:
    """The keys of the restore that a server has, each with its TTL in seconds."""
    with server.sync_client() as client:
        names = [*client.scan_iter("sk:{??}:restor*", count=1000)]
        return {name.decode(): client.ttl(name) for name in names}


@asynccontextmanager
async def second(running: Audited, **environ: str) -> AsyncIterator[Service]:
    """Another service over the same servers."""
    chosen = running.service.context.settings
    async with service(
        settings(
            chosen.redis_url,
            DATABASE_URL=str(chosen.database_url),
            RQ_REDIS_URL=str(chosen.rq_redis_url),
            **{"RESTORE_RATE": RATE, **environ},
        )
    ) as other:
        yield other


@pytest.mark.one_kind
async def test_after_a_restart_without_data_every_clock_expires_once(
    own_redis: Server, pool: Pool, shared_postgres: PostgresServer, database: str
) -> None:
    """200 sessions for which nobody asks. Of 50 the time is up within seconds of being back."""
    async with audited(own_redis, pool.server("valkey", "queue"), database, RESTORE_RATE=RATE) as running:
        long = await games(running, 150)
        short = await games(running, 50, seconds=5)
        own_redis.kill()
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: has_all(running, long), PATIENCE_S)
        await restored(running.service)
        with running.redis() as client:
            await eventually(
                lambda: sum(client.zcard(keys.alarms(each)) for each in keys.PARTITIONS) == len(long),
                PATIENCE_S,
            )
        await running.archived()
        for session_id in short:
            events = [event.event for event in await running.store.events(session_id)]
            assert events.count("session.expired") == 1, events
        assert {(await running.sessions.get(each)).status for each in long} == {"running"}
        found = own_keys(own_redis)
        assert found.keys() == {keys.restored(each) for each in keys.PARTITIONS}
        assert min(found.values()) > 86_400


async def test_of_two_services_one_restores(there: Machines, database: str) -> None:
    """And both say so until it is done; meanwhile what is asked for is there at once."""
    async with (
        audited(there.server, there.rq, database, RESTORE_RATE="10") as running,
        second(running, RESTORE_RATE="10") as other,
    ):
        live = await games(running, 50)
        over, deleted = [await game(running.sessions) for _ in range(2)]
        await running.sessions.complete(over)
        await running.sessions.delete(deleted)
        await running.archived()
        await restored(running.service, other)
        before = metrics.restores._value.get()
        running.lose_all()
        waiting = {running.service.port, other.port}
        async with asyncio.timeout(PATIENCE_S):
            while waiting:
                for port in list(waiting):
                    ready = await running.api.get(f"http://127.0.0.1:{port}/ready")
                    check = ready.json()["checks"].get("restoring", {"message": ""})
                    if " of 50 looked at" in check["message"]:
                        assert (ready.status_code, check["status"]) == (200, "degraded")
                        waiting.remove(port)
        assert (await running.api.get(f"/v1/sessions/{live[-1]}")).status_code == 200
        await restored(running.service, other)
        assert metrics.restores._value.get() == before + 1
        assert has_all(running, live)
        assert not running.has(over)
        assert not running.has(deleted)
        states = [json.loads((await running.sessions.get(each)).raw) for each in live]
        assert all(state["recovered"] and state["version"] == 3 for state in states)
        ready = (await running.api.get("/ready")).json()
        assert "restoring" not in ready["checks"]


@pytest.mark.one_kind
async def test_when_the_restoring_process_is_killed_another_one_takes_over(
    running: Audited, there: Machines, database: str
) -> None:
    live = await games(running, 60)
    variables = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
    with Program("serve", **variables, PORT="0", RESTORE_RATE="10") as program:
        await asyncio.to_thread(program.until, lambda: bool(own_keys(there.server)), "its first look")
        await asyncio.to_thread(
            program.until, lambda: keys.restoring("00") not in own_keys(there.server), "the end of that"
        )
        running.lose_all()
        await asyncio.to_thread(program.until, lambda: any(map(running.has, live)), "the first ones")
        async with second(running) as other:
            restorer = other.context.restorer
            assert restorer is not None
            await eventually(lambda: restorer.detail is not None, PATIENCE_S)
            assert not has_all(running, live)
            for process in program.processes():
                process.kill()
            await restored(other)
            assert has_all(running, live)
    with running.redis() as client:
        versions = [json.loads(client.fcall_ro("sk_get", 1, SessionKeys.of(each).session)) for each in live]
    assert {state["version"] for state in versions} == {3}


@pytest.mark.one_kind
async def test_what_is_lost_again_while_it_is_restored_comes_back_too(running: Audited) -> None:
    live = await games(running, 40)
    running.lose_all()
    async with second(running, RESTORE_RATE="20") as other:
        await eventually(lambda: sum(map(running.has, live)) >= 10, PATIENCE_S)
        running.lose_all()
        await restored(other)
        assert has_all(running, live)


@pytest.mark.one_kind
async def test_an_older_state_of_the_server_counts_as_a_loss(running: Audited) -> None:
    """As after a failover to a replica that did not have the newest sessions: the marks are those of another
    server, and what is missing comes back. What is there is not touched."""
    live = await games(running, 5)
    async with second(running) as other:
        await restored(other)
        running.lose(live[2])
        with running.redis() as client:
            for partition in keys.PARTITIONS:
                client.set(keys.restored(partition), "0" * 40, ex=60)
        await restored(other)
        await eventually(lambda: has_all(running, live), PATIENCE_S)
        states = {each: (await running.state(each))["recovered"] for each in live}
        assert states == {each: each == live[2] for each in live}


@pytest.mark.one_kind
async def test_what_waits_in_the_queue_counts(running: Audited) -> None:
    """No worker stores anything here: the newest state of a session, or its end, may be in a batch alone."""
    played, ended, stored = await games(running, 3)
    for _ in range(3):
        await running.sessions.switch(played)
    await running.sessions.complete(ended)
    new = await game(running.sessions)
    newest = await running.state(played)
    with running.redis() as client:
        await eventually(lambda: not any(client.xlen(keys.outbox(each)) for each in keys.PARTITIONS))
    running.lose_all()
    async with second(running) as other:
        await restored(other)
        assert [running.has(each) for each in (played, ended, stored, new)] == [True, False, True, True]
        state = await running.state(played)
        assert (state["version"], state["cycle_count"]) == (newest["version"] + 1, newest["cycle_count"])
    await running.archived()
    assert await running.store.count_refused() == 0
    history = [event.version for event in await running.store.events(played)]
    assert history == list(range(1, newest["version"] + 2))


@pytest.mark.one_kind
async def test_what_redis_would_not_have_any_more_stays_away(running: Audited) -> None:
    """PostgreSQL never hears that a key aged out; sessions in which something is due come back."""
    now = datetime.now(UTC)

    async def changed(
        session_id: str, *, days_ago: float, due_days_ago: float | None = None, status: str | None = None
    ) -> str:
        """Have the store know the session as one that changed and was due then."""
        with running.redis() as client:
            state = json.loads(client.fcall_ro("sk_get", 1, SessionKeys.of(session_id).session, "EXPORT"))
        state["updated_at"] = (now - timedelta(days=days_ago)).isoformat()
        state["deadline_ms"] = (
            None if due_days_ago is None else int((now - timedelta(days=due_days_ago)).timestamp() * 1000)
        )
        await running.store.insert_batch(Batch([], [json.dumps(state).encode()]))
        return session_id

    async def unstored(**config: Any) -> str:
        return await game(running.sessions, **config)

    back = [
        await changed(await unstored(start=False), days_ago=0.9),
        await changed(await unstored(), days_ago=3, due_days_ago=2.9),
        await changed(await unstored(), days_ago=40, due_days_ago=-1),
    ]
    away = [
        await changed(await unstored(start=False), days_ago=1.1),
        await changed(await unstored(), days_ago=9, due_days_ago=8),
    ]
    await asyncio.to_thread(running.queue.queue.empty)
    running.lose_all()
    await asyncio.to_thread(running.queue.queue.empty)
    async with second(running) as other:
        await restored(other)
        assert [running.has(each) for each in back + away] == [True] * 3 + [False] * 2
        for each in away:
            assert (await other.sessions.get(each)).version > 0


@pytest.mark.one_kind
async def test_what_has_a_start_or_an_end_ahead_comes_back(running: Audited) -> None:
    """However long ago it changed; and it starts and ends by itself afterwards."""
    long_ago = datetime.now(UTC) - timedelta(days=40)
    now = int(datetime.now(UTC).timestamp() * 1000)
    soon, later_ms = now + 3000, now + 3_600_000

    async def forgotten(*, pause: bool = False, **config: Any) -> str:
        session_id = await game(running.sessions, start=pause, **config)
        if pause:
            await running.sessions.pause(session_id)
        with running.redis() as client:
            state = json.loads(client.fcall_ro("sk_get", 1, SessionKeys.of(session_id).session, "EXPORT"))
        state["updated_at"] = long_ago.isoformat()
        await running.store.insert_batch(Batch([], [json.dumps(state).encode()]))
        return session_id

    starts = await forgotten(starts_at_ms=soon)
    later = await forgotten(starts_at_ms=later_ms, ends_at_ms=later_ms + 1000)
    ends = await forgotten(pause=True, ends_at_ms=soon)
    without = await forgotten()
    await asyncio.to_thread(running.queue.queue.empty)
    running.lose_all()
    await asyncio.to_thread(running.queue.queue.empty)
    async with second(running) as other:
        await restored(other)
        assert [running.has(each) for each in (starts, later, ends, without)] == [True] * 3 + [False]
        assert json.loads((await other.sessions.get(later)).raw)["starts_at_ms"] == later_ms
        wanted = {starts: "running", later: "pending", ends: "completed"}
        async with asyncio.timeout(PATIENCE_S):
            while {each: (await other.sessions.get(each)).status for each in wanted} != wanted:
                await asyncio.sleep(0.05)


@pytest.mark.one_kind
async def test_a_shard_that_comes_back_empty_gets_its_sessions_back(
    cluster: Cluster, pool: Pool, shared_postgres: PostgresServer, database: str
) -> None:
    rq = pool.server("valkey", "queue")
    with rq.sync_client() as client:
        client.flushall()
    chosen = settings(
        cluster.primaries[0].url,
        REDIS_CLUSTER_NODES=cluster.nodes,
        RQ_REDIS_URL=rq.url,
        DATABASE_URL=database,
        RESTORE_RATE=RATE,
    )
    async with service(chosen) as running:
        live = [await game(running.sessions) for _ in range(40)]
        store = running.context.store
        assert store is not None
        for each in live:
            exported = await running.context.connection.fcall(
                "sk_get", (SessionKeys.of(each).session,), ("EXPORT",), read_only=True
            )
            await store.insert_batch(Batch([], [exported]))
        await restored(running)
        with cluster.primaries[1].sync_client() as client:
            client.flushall()
        await restored(running)
        states = [json.loads((await running.context.redis_sessions.get(each)).raw) for each in live]
        assert {state["recovered"] for state in states} == {True, False}


@pytest.mark.one_kind
async def test_it_waits_for_postgresql(there: Machines, own_postgres: PostgresServer, pool: Pool) -> None:
    url = await asyncio.to_thread(own_postgres.database)
    async with audited(there.server, there.rq, url, RESTORE_RATE=RATE) as running:
        live = await games(running, 5)
        await restored(running.service)
        await asyncio.to_thread(own_postgres.kill)
        running.lose_all()
        restorer = running.service.context.restorer
        assert restorer is not None
        await eventually(lambda: "PostgreSQL" in (restorer.detail or ""), PATIENCE_S)
        await asyncio.to_thread(own_postgres.start)
        await restored(running.service)
        assert has_all(running, live)


@pytest.mark.one_kind
async def test_one_that_cannot_be_restored_keeps_no_other_one_waiting(running: Audited) -> None:
    live = await games(running, 3)
    state = json.loads((await running.sessions.get(live[1])).raw)
    damaged = {**state, "version": state["version"] + 1, "internal": {}}
    await running.store.insert_batch(Batch([], [json.dumps(damaged).encode()]))
    running.lose_all()
    async with second(running) as other:
        await restored(other)
        assert [running.has(each) for each in live] == [True, False, True]


@pytest.mark.one_kind
async def test_the_lease_of_a_newer_release_is_left_alone(running: Audited) -> None:
    """It may say otherwise how far that release is."""
    running.lose_all()
    losses = Losses(running.service.context.connection)
    loss = await losses.look()
    assert loss is not None
    assert await losses.take_lease(loss)
    with running.redis() as client:
        client.set(loss.lease, b'{"holder":"another","done":0.5}', px=60_000)
    assert not await losses.keep_lease(loss, losses.by_this_process())
    await losses.give_lease_back(loss)
    assert await losses.progress(loss) == Progress("?")


@pytest.mark.one_kind
async def test_a_process_does_not_lose_its_lease_to_itself(running: Audited) -> None:
    """It is renewed in the background, and at the end of a restore: sometimes in the same moment."""
    running.lose_all()
    losses = Losses(running.service.context.connection)
    loss = await losses.look()
    assert loss is not None
    assert await losses.take_lease(loss)
    renewals = (losses.keep_lease(loss, losses.by_this_process()) for _ in range(20))
    assert all(await asyncio.gather(*renewals))
