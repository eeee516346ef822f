"""What dies on the way to a receiver, and an update: nothing is lost, and all stays in order."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from synckairos.audit import schema
from synckairos.audit.store import Store
from synckairos.webhooks.tables import Webhooks
from tests.support import servers
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import eventually, game
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.programs import Program
from tests.support.receivers import Got, Receiver, receiver
from tests.support.servers import Server
from tests.upgrade.releases import Release, last_revision, unpack

pytestmark = pytest.mark.one_kind

ARRIVES_S = 90.0
"""A delivery that a worker had in hand when it was killed is taken over after 20 s."""


def first_of_each(got: Receiver, session_id: str) -> list[int]:
    """The versions in the order in which they came first."""
    return list(dict.fromkeys(got.versions(session_id)))


async def arrived(got: Receiver, session_id: str, newest: int) -> None:
    await eventually(lambda: newest in got.versions(session_id), ARRIVES_S)
    assert first_of_each(got, session_id) == [*range(1, newest + 1)]


async def test_a_worker_is_killed_in_the_middle_of_a_delivery(
    server: Server, pool: Pool, shared_postgres: PostgresServer, database: str
) -> None:
    there = Machines(server, pool.server("valkey", "queue"), shared_postgres)
    environ = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
    dead, asked = threading.Event(), threading.Event()

    def answer(_: Got) -> int:
        asked.set()
        dead.wait(60)
        return 204

    async with audited(there.server, there.rq, database) as running:
        with receiver(answer) as got:
            await running.api.post("/v1/webhooks", json={"url": got.url})
            with Program("worker", **environ) as worker:
                session_id = await game(running.sessions)
                await asyncio.to_thread(worker.until, asked.is_set, "a request")
                worker.process.send_signal(signal.SIGKILL)
                worker.process.wait()
            dead.set()
            for _ in range(3):
                await running.sessions.switch(session_id)
            with Program("worker", **environ) as worker:
                await running.sessions.switch(session_id)
                await arrived(got, session_id, 6)
                ids = [each.delivery_id for each in got.got]
                assert ids[0] == ids[1]  # the one that was in the middle came again, before all others
                assert worker.end() == 0


async def test_workers_die_while_sessions_go_on(
    server: Server, pool: Pool, shared_postgres: PostgresServer, database: str
) -> None:
    there = Machines(server, pool.server("valkey", "queue"), shared_postgres)
    environ = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
    async with audited(there.server, there.rq, database) as running:
        with receiver() as got:
            await running.api.post("/v1/webhooks", json={"url": got.url})
            sessions = [await game(running.sessions) for _ in range(5)]
            version = 2
            for _ in range(3):
                with Program("worker", **environ) as worker:
                    await kill_while_it_sends(worker, running, got, sessions)
                version += 10
            with Program("worker", **environ) as worker:
                for session_id in sessions:
                    await arrived(got, session_id, version)
                assert worker.end() == 0


async def kill_while_it_sends(worker: Program, running: Audited, got: Receiver, sessions: list[str]) -> None:
    """Ten switches of each session, and then the worker dies, with whatever it has in hand."""
    count = len(got.got)
    await asyncio.to_thread(worker.until, lambda: "waiting for" in "".join(worker.errors), "its start")
    for _ in range(10):
        for session_id in sessions:
            await running.sessions.switch(session_id)
        await asyncio.sleep(0.05)
    await eventually(lambda: len(got.got) > count, ARRIVES_S)
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()


async def test_what_a_worker_of_the_last_release_stores_is_sent_in_order(
    tmp_path: Path, database: str
) -> None:
    """An update: tables first, then a service of this release beside the last one's, then a worker."""
    unpack(tmp_path / "last")
    with servers.start("valkey") as primary:
        environ = {"REDIS_URL": primary.url, "DATABASE_URL": database}
        last_path = {**environ, "PYTHONPATH": str(tmp_path / "last")}
        await schema.migrate(database, last_revision(tmp_path / "last"))
        with (
            receiver() as got,
            Release(environ, tmp_path / "last") as last,
            Program("worker", **last_path) as last_worker,
            Release(environ) as this,
        ):
            await schema.migrate(database)
            await asyncio.gather(last.answers(), this.answers())
            before = await last.create(600_000, 600_000)
            await last.switch(before)
            async with Store(database) as store:
                await Webhooks(store).add(
                    None,
                    got.url,
                    events=None,
                    sessions=None,
                    secret="whsec_" + "A" * 32,
                    made_by=None,
                    since_ms=await _now(primary),
                )
                made = [await release.create(600_000, 600_000) for release in (last, this)]
                for session_id in made:
                    await last.switch(session_id)
                    await this.switch(session_id)
                await eventually(lambda: _stored(primary), 30)
                assert got.got == []  # nobody is there who sends
                with Program("worker", **environ) as worker:
                    for session_id in made:
                        await arrived(got, session_id, 4)
                    # Both store, the last release's worker as well.
                    for _ in range(5, 25):
                        for session_id in made:
                            await this.switch(session_id)
                        await asyncio.sleep(0.1)
                    assert await asyncio.to_thread(last_worker.end) == 0
                    for session_id in made:
                        await this.switch(session_id)
                        await arrived(got, session_id, 25)
                    assert worker.end() == 0
            assert got.versions(before) == []
            for session_id in made:
                assert got.versions(session_id) == [*range(1, 26)]


async def _now(server: Server) -> int:
    with server.sync_client() as client:
        seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def _stored(server: Server) -> bool:
    """Whether nothing waits for PostgreSQL any more."""
    with server.sync_client() as client:
        outboxes = list(client.scan_iter("sk:{*}:outbox"))
        waiting = sum(int(client.xlen(each)) for each in outboxes)
        queued = int(client.llen("rq:queue:audit"))
    return not waiting and not queued
