"""Whatever dies on the way from the outbox to PostgreSQL, every event is there in the end, and once."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
import pytest
from redis.exceptions import RedisError

from synckairos.audit import archiver, verify
from synckairos.audit.archiver import Archiver
from synckairos.audit.jobs import Counts, Jobs
from synckairos.audit.store import Store
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.errors import StorageUnavailable
from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.live import game, settings
from tests.support.postgres import PostgresServer
from tests.support.programs import Program, get
from tests.support.servers import Server

KILLS = int(os.environ.get("KILLS", "3"))
"""`make drills` asks for more."""
DRAIN_S = 90.0
"""Retries wait for up to half a minute, and what a dead archiver had is claimed after ten seconds."""


@dataclass
class Line:
    """Everything but what is killed: sessions being switched, and the ways to look at what comes of them."""

    connection: Connection
    jobs: Jobs
    store: Store
    ids: list[str] = field(default_factory=list)
    going: bool = True

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.connection, 3600)

    async def switch(self, pause_s: float) -> None:
        """Switch one session after the other."""
        while self.going:
            # Redis tells in the end what took place, also of calls that a busy machine was too slow for.
            with suppress(StorageUnavailable):
                await self.sessions.switch(random.choice(self.ids))
            await asyncio.sleep(pause_s)

    async def drained(self) -> None:
        """Wait until nothing is on its way."""
        async with asyncio.timeout(DRAIN_S):
            while not await self._nothing_left():
                await asyncio.sleep(0.1)

    async def _nothing_left(self) -> bool:
        """Whether every event is stored. A Redis that does not answer in time has not said so."""
        try:
            return not await verify.under_way(self.connection) and (
                await asyncio.to_thread(self.jobs.counts) == Counts(0, 0, 0, 0)
            )
        except RedisError:
            return False

    async def everything_is_there(self) -> None:
        """Every version of every session is stored once, and as Redis has it."""
        await self.drained()
        expected = [
            (session_id, version)
            for session_id in self.ids
            for version in range(1, (await self.sessions.get(session_id)).version + 1)
        ]
        async with self.store.connection() as connection:
            found = await connection.fetch("SELECT session_id, version FROM sync_events")
        assert sorted((str(session_id), version) for session_id, version in found) == sorted(expected)
        print(f"{len(found)} events stored, none missing, none twice")  # noqa: T201 - with -s, the figure
        async for checked in verify.verify(self.store, self.connection):
            assert checked.findings == []
        for session_id in self.ids:
            stored = await self.store.session(session_id)
            assert stored is not None
            assert stored.version == stored.snapshot_version == (await self.sessions.get(session_id)).version


@asynccontextmanager
async def line(redis: Server, database: str, *, pause_s: float = 0.002) -> AsyncIterator[Line]:
    """Sessions that are switched as long as the block lasts."""
    jobs = Jobs.of(settings(redis.url))
    async with await connect(settings(redis.url)) as connection, Store(database, timeout_s=20) as store:
        made = Line(connection, jobs, store)
        made.ids = [await game(made.sessions) for _ in range(20)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.switch(pause_s))
            try:
                yield made
            finally:
                made.going = False
        await made.everything_is_there()
    jobs.close()


@asynccontextmanager
async def archiving(line: Line) -> AsyncIterator[None]:
    """An archiver, to the end of which everything is out of the outboxes."""
    archive = Archiver(line.connection, line.jobs)
    await archive.start()
    yield
    line.going = False
    await line.drained()
    await archive.stop()


def begun(jobs: Jobs) -> None:
    """Waits until a worker that still lives has begun a batch."""
    before = set(jobs.client.zrange(jobs.queue.started_job_registry.key, 0, -1))
    end = monotonic() + DRAIN_S
    while set(jobs.client.zrange(jobs.queue.started_job_registry.key, 0, -1)) <= before:
        assert monotonic() < end, "no batch was begun"


async def failed(jobs: Jobs) -> None:
    """Waits until a batch has failed and is to be tried again."""
    async with asyncio.timeout(DRAIN_S):
        while not (await asyncio.to_thread(jobs.counts)).scheduled:
            await asyncio.sleep(0.05)


async def stored_again(store: Store) -> None:
    """Waits until PostgreSQL, which was away, has stored another event."""

    async def count() -> int:
        async with store.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM sync_events"))

    async with asyncio.timeout(DRAIN_S):
        before = await count()
        while await count() == before:
            await asyncio.sleep(0.05)


def worker(redis: Server, database: str) -> Program:
    return Program("worker", REDIS_URL=redis.url, DATABASE_URL=database)


async def test_a_worker_that_is_killed_in_the_middle_of_a_batch(
    own_redis: Server, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "AGE_S", 0.02)  # many batches: while one worker starts, they pile up
    database = await asyncio.to_thread(own_postgres.database)
    async with line(own_redis, database) as running, archiving(running):
        for _ in range(KILLS):
            with worker(own_redis, database) as victim:
                await asyncio.to_thread(begun, running.jobs)
                await asyncio.sleep(random.uniform(0, 0.02))
                victim.process.kill()
                await asyncio.to_thread(victim.process.wait)
        with worker(own_redis, database) as last:
            running.going = False
            await running.drained()
            assert await asyncio.to_thread(last.end) == 0


async def test_an_archiver_that_is_killed(own_redis: Server, own_postgres: PostgresServer) -> None:
    database = await asyncio.to_thread(own_postgres.database)
    serve = Program(
        "serve",
        REDIS_URL=own_redis.url,
        DATABASE_URL=database,
        PORT=str(free_port()),
        WORKERS="2",
        ENABLE_METRICS="false",
    )
    with serve as service, worker(own_redis, database) as storing:
        async with line(own_redis, database) as running:
            for _ in range(KILLS):
                await asyncio.to_thread(service.until, lambda: len(service.workers()) == 2, "two archivers")
                await asyncio.sleep(random.uniform(0.5, 1.5))
                victim = random.choice(await asyncio.to_thread(service.workers))
                victim.kill()
                await asyncio.to_thread(victim.wait)
            running.going = False
            await running.drained()
        for program in (service, storing):
            assert await asyncio.to_thread(program.end) == 0


async def test_postgresql_that_is_away_is_noticed_by_nobody(
    own_redis: Server, own_postgres: PostgresServer
) -> None:
    database = await asyncio.to_thread(own_postgres.database)
    with worker(own_redis, database) as storing:
        async with line(own_redis, database, pause_s=0.005) as running, archiving(running):
            for _ in range(2):
                await asyncio.to_thread(own_postgres.kill)
                await failed(running.jobs)
                await asyncio.to_thread(own_postgres.start)
                await stored_again(running.store)
            assert await running.store.ping()
        assert await asyncio.to_thread(storing.end) == 0


async def test_while_postgresql_is_away_every_request_is_answered_as_ever(
    own_redis: Server, own_postgres: PostgresServer
) -> None:
    database = await asyncio.to_thread(own_postgres.database)
    port = free_port()
    serve = Program(
        "serve", REDIS_URL=own_redis.url, DATABASE_URL=database, PORT=str(port), RATE_LIMIT_ENABLED="false"
    )
    jobs = Jobs.of(settings(own_redis.url))
    with serve as service, worker(own_redis, database) as storing:
        async with (
            await connect(settings(own_redis.url)) as connection,
            Store(database, timeout_s=20) as store,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1", timeout=30) as api,
        ):
            await asyncio.to_thread(service.until, lambda: answers(port), "the service")
            running = Line(connection, jobs, store)
            running.ids = [await create(api) for _ in range(10)]
            switched: Counter[tuple[str, int]] = Counter()

            async def switch(session_id: str) -> None:
                while running.going:
                    response = await api.post(f"/sessions/{session_id}/switch")
                    switched[session_id, response.status_code] += 1
                    await asyncio.sleep(0.1)

            async def ten_more() -> None:
                before = switched.copy()
                async with asyncio.timeout(DRAIN_S):
                    while any(switched[each, 200] < before[each, 200] + 10 for each in running.ids):
                        await asyncio.sleep(0.05)

            async with asyncio.TaskGroup() as tasks:
                for session_id in running.ids:
                    tasks.create_task(switch(session_id))
                await ten_more()
                await asyncio.to_thread(own_postgres.kill)
                await failed(jobs)
                await ten_more()
                created = await create(api)
                assert (await api.get(f"/sessions/{created}")).status_code == 200
                await asyncio.to_thread(own_postgres.start)
                await ten_more()
                running.going = False
            assert {status for _, status in switched} == {200}
            versions = {each: switched[each, 200] + 2 for each in running.ids} | {created: 2}
            running.ids.append(created)
            await running.everything_is_there()
            assert {each: (await running.sessions.get(each)).version for each in running.ids} == versions
        for program in (service, storing):
            assert await asyncio.to_thread(program.end) == 0
    jobs.close()


def answers(port: int) -> bool:
    """Whether a service answers there."""
    with suppress(OSError):
        return get(f"http://127.0.0.1:{port}/health")[0] == 200
    return False


async def create(api: httpx.AsyncClient) -> str:
    """A new session, running."""
    players = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 600_000} for _ in range(2)]
    made = await api.post("/sessions", json={"sync_mode": "per_participant", "participants": players})
    assert made.status_code == 201
    session_id: str = made.json()["data"]["session_id"]
    assert (await api.post(f"/sessions/{session_id}/start")).status_code == 200
    return session_id


async def test_poison_in_the_outbox_stops_nobody(own_redis: Server, database: str) -> None:
    with worker(own_redis, database) as storing:
        async with line(own_redis, database) as running, archiving(running):
            (client,) = await running.connection.primaries()
            for number in range(20):
                partition = keys.partition(random.choice(running.ids))
                poison: dict[Any, Any] = {"id": str(uuid.uuid4()), "e": b"\xff poison %d" % number}
                await client.xadd(keys.outbox(partition), poison)
                await asyncio.sleep(0.05)
            running.going = False
            await running.drained()
            assert await running.store.count_refused() == 20
            kept = await running.store.refused(20)
            assert {row.body for row in kept} == {b"\xff poison %d" % number for number in range(20)}
        assert await asyncio.to_thread(storing.end) == 0


async def test_a_server_that_is_killed_loses_nothing_that_it_wrote_down(database: str) -> None:
    """Its append-only file has what it answered; only fsync is missing, which a power cut needs.

    With `everysec` that holds only while the disk is quick: a write waits for an fsync that is under way.
    """
    with servers.start("valkey", appendonly="yes", appendfsync="no") as redis:
        async with line(redis, database) as running, archiving(running):
            with worker(redis, database) as storing:
                for _ in range(3):
                    await asyncio.sleep(0.5)
                    answered = {each: (await running.sessions.get(each)).version for each in running.ids}
                    await asyncio.to_thread(redis.kill)
                    await asyncio.to_thread(redis.start)
                    for session_id, version in answered.items():
                        assert (await running.sessions.get(session_id)).version >= version
                running.going = False
                await running.drained()
                assert await asyncio.to_thread(storing.end) == 0


async def test_what_a_server_has_lost_is_counted_and_what_comes_in_its_place_is_kept(database: str) -> None:
    with servers.start("valkey", appendonly="yes") as redis, worker(redis, database) as storing:
        async with await connect(settings(redis.url)) as connection, Store(database) as store:
            jobs = Jobs.of(settings(redis.url))
            running = Line(connection, jobs, store)
            running.ids = [await game(running.sessions) for _ in range(10)]
            async with archiving(running):
                for _ in range(10):
                    for session_id in running.ids:
                        await running.sessions.switch(session_id)
                await running.drained()
            before = {each: (await running.sessions.get(each)).version for each in running.ids}

            await asyncio.to_thread(redis.kill)
            (file,) = redis.folder.glob("appendonlydir/*.incr.aof")
            with file.open("rb+") as written:  # as a power cut leaves it
                written.truncate(file.stat().st_size * 2 // 3)
            await asyncio.to_thread(redis.start)
            lost = {
                each: version - (await running.sessions.get(each)).version for each, version in before.items()
            }
            assert sum(lost.values()) > 0
            async for checked in verify.verify(store, connection):
                found = {finding.session_id: finding.count for finding in checked.findings}
                assert found == {each: count for each, count in lost.items() if count}
                assert {finding.what for finding in checked.findings} == {"Redis has lost it"}

            running.going = True
            async with archiving(running):
                for session_id, count in lost.items():
                    for _ in range(count + 2):
                        await running.sessions.switch(session_id)
            # The server that started again tells other events under the versions that were lost, in an epoch
            # of its own. So nothing is refused, and the history of each session has them in their place.
            assert await store.refused(1000) == []
            for session_id, version in before.items():
                history = await store.events(session_id, 0, 1000)
                assert [event.version for event in history] == list(range(1, version + 3))
                replaced = version - lost[session_id]
                assert [event.epoch for event in history[:replaced]] == [history[0].epoch] * replaced
                assert {int(event.epoch) > int(history[0].epoch) for event in history[replaced:]} == {True}
            jobs.close()
        assert await asyncio.to_thread(storing.end) == 0
