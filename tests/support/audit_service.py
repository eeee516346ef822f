"""A service with an audit store whose batches the test stores itself, at the moments it chooses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import redis

from synckairos.audit.jobs import Jobs, decode_job
from synckairos.audit.recovery import Recovery
from synckairos.audit.rows import Batch
from synckairos.audit.store import Store
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from tests.support import postgres, servers
from tests.support.live import Service, game, service, settings
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.servers import Server

RESTORE_PATIENCE_S = 60.0
"""How long a restore may take."""
ARCHIVE_PATIENCE_S = 60.0
"""How long it may take until no event waits. What a stopped service had in its hands waits for 10 to 15 s."""


@dataclass(frozen=True)
class Machines:
    """A Redis, the Redis of the queue, and a PostgreSQL."""

    server: Server
    rq: Server
    postgres: PostgresServer


def machines(pool: Pool, kind: servers.Kind, postgres_kind: postgres.Kind) -> Machines:
    """Servers of these kinds, not to be stopped."""
    return Machines(pool.server(kind), pool.server("valkey", "queue"), pool.postgres(postgres_kind))


@dataclass
class Audited:
    """A service, its store, and the queue between them."""

    service: Service
    store: Store
    queue: Jobs
    server: Server
    api: httpx.AsyncClient

    @property
    def sessions(self) -> Sessions:
        """The service's own calls, which look for lost sessions."""
        return self.service.sessions

    @property
    def recovery(self) -> Recovery:
        recovery = self.service.context.recovery
        assert recovery is not None
        return recovery

    async def play(self, switches: int = 3, **config: Any) -> dict[str, Any]:
        """A game in play, not yet stored. Returns its state."""
        session_id = await game(self.sessions, **config)
        for _ in range(switches):
            await self.sessions.switch(session_id)
        return await self.state(session_id)

    async def state(self, session_id: str) -> dict[str, Any]:
        """The state that Redis has; a lost session is looked for."""
        found: dict[str, Any] = json.loads((await self.sessions.get(session_id)).raw)
        return found

    def redis(self) -> redis.Redis:
        return self.server.sync_client()

    async def archived(self, *, snapshots: bool = True) -> None:
        """Store everything that has happened, with snapshots or only the events."""
        async with asyncio.timeout(ARCHIVE_PATIENCE_S):
            while await asyncio.to_thread(self._waiting):
                await asyncio.sleep(0.02)
        for job in await asyncio.to_thread(self.queue.queue.get_jobs):
            batch = decode_job(*job.args)
            await self.store.insert_batch(batch if snapshots else Batch(batch.entries))
        await asyncio.to_thread(self.queue.queue.empty)

    def _waiting(self) -> int:
        with self.redis() as client:
            return sum(client.xlen(keys.outbox(partition)) for partition in keys.PARTITIONS)

    def lose_all(self) -> None:
        """Make Redis lose everything."""
        with self.redis() as client:
            client.flushall()

    def lose(self, session_id: str, *, log: bool = True) -> None:
        """Make Redis lose a session, with its log or without."""
        names = SessionKeys.of(session_id)
        with self.redis() as client:
            client.delete(names.session, *([names.log] if log else []))

    def has(self, session_id: str) -> bool:
        """Whether Redis has the session, or its tombstone."""
        with self.redis() as client:
            return bool(client.exists(SessionKeys.of(session_id).session))


@asynccontextmanager
async def audited(server: Server, rq: Server, database: str, **environ: str) -> AsyncIterator[Audited]:
    """A service in this process, with an HTTP client. Redis is emptied first.

    What is lost is restored when it is asked for, and by itself only with a RESTORE_RATE.
    """
    environ = {"RESTORE_RATE": "0", **environ}
    chosen = settings(server.url, DATABASE_URL=database, RQ_REDIS_URL=rq.url, **environ)
    queue = Jobs.of(chosen)
    for each in (server, rq):
        with each.sync_client() as client_of:
            client_of.flushall()
    try:
        async with (
            service(chosen) as running,
            Store(database) as store,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{running.port}", timeout=30, verify=False
            ) as client,
        ):
            yield Audited(running, store, queue, server, client)
    finally:
        queue.close()


async def restored(*services: Service) -> None:
    """Wait until no partition is lost any more, and these services have seen that."""
    end = asyncio.get_running_loop().time() + RESTORE_PATIENCE_S
    while True:
        assert asyncio.get_running_loop().time() < end, "the sessions were not restored"
        found = [each.context.restorer for each in services]
        losses = [await each._losses.look() for each in found if each is not None]
        if losses and not any(losses) and all(each.detail is None for each in found if each is not None):
            return
        await asyncio.sleep(0.05)
