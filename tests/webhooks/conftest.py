"""A service with an audit store, and the Redis and the PostgreSQL behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from synckairos.audit.jobs import Jobs
from synckairos.core.connection import Connection, connect
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import service, settings
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.servers import Server


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with await connect(settings(server.url)) as connected:
        yield connected


@pytest.fixture
def there(server: Server, shared_postgres: PostgresServer, pool: Pool) -> Machines:
    """A Redis, the Redis of the queue, and a PostgreSQL; the test runs once for each kind."""
    return Machines(server, pool.server("valkey", "queue"), shared_postgres)


@pytest.fixture
async def running(there: Machines, database: str) -> AsyncIterator[Audited]:
    """A service over an empty Redis and an empty database."""
    async with audited(there.server, there.rq, database) as made:
        yield made


@pytest.fixture
async def api(redis: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service without an audit store."""
    async with (
        service(settings(redis.url)) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=20, verify=False) as client,
    ):
        yield client


@pytest.fixture
def queue(redis: Server) -> Iterator[Jobs]:
    """The queue of a server that is shared, empty at first and at the end."""
    made = Jobs.of(settings(redis.url))
    made.queue.delete(delete_jobs=True)
    yield made
    made.queue.delete(delete_jobs=True)
    made.close()
