"""What the benches of the audit need beside the service: a PostgreSQL, and a worker that stores."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from synckairos import config
from synckairos.audit.jobs import Counts, Jobs
from synckairos.audit.schema import migrate
from synckairos.audit.verify import under_way
from synckairos.bench.servers import END_S, START_S, Storage
from synckairos.core.connection import connect
from synckairos.run import postgresql
from synckairos.run.postgresql import Postgres
from synckairos.run.processes import Child, end_all, free_port

DRAIN_S = 300.0
"""How long everything that has happened may take to be stored."""


@dataclass(slots=True)
class Database:
    """A PostgreSQL server with the tables."""

    postgres: Postgres
    port: int
    child: Child
    url: str = ""

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.child.start()
        end = time.monotonic() + START_S
        while not self.postgres.answers(self.port):
            if not self.child.running or time.monotonic() > end:
                raise click.ClickException("PostgreSQL does not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills it without warning, like a power cut."""
        assert self.child.pid is not None
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.end(time.monotonic() + END_S)


def environ(storage: Storage, database: Database) -> dict[str, str]:
    """The environment of a service or worker over these two."""
    return {
        **os.environ,
        "REDIS_URL": storage.url,
        "RQ_REDIS_URL": f"redis://127.0.0.1:{storage.port}/1",
        "DATABASE_URL": database.url,
        "LOG_LEVEL": "critical",
        "METRICS_PORT": "",
    }


@contextmanager
def database() -> Iterator[Database]:
    """A PostgreSQL server with the tables, gone at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="synckairos-bench-"))
    postgres = Postgres.make(postgresql.embedded(), folder / "postgres")
    port = free_port()
    child = Child("PostgreSQL", postgres.command(port, log_min_messages="panic"), ended_by=signal.SIGINT)
    try:
        made = Database(postgres, port, child)
        made.start()
        made.url = asyncio.run(postgres.ensure_database(port))
        asyncio.run(migrate(made.url))
        yield made
    finally:
        end_all([child], END_S)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def worker(storage: Storage, database: Database) -> Iterator[None]:
    """A worker process that stores events."""
    command = [sys.executable, "-P", "-m", "synckairos", "worker"]
    child = Child("worker", command, environ=environ(storage, database))
    try:
        child.start()
        yield
    finally:
        end_all([child], END_S)


async def wait_until_stored(settings: config.Settings, jobs: Jobs) -> None:
    """Waits until outboxes and queue are empty. Failed batches are queued again, as an operator would do."""
    connection = await connect(settings)
    end = time.monotonic() + DRAIN_S
    try:
        while (
            await under_way(connection)
            or await asyncio.to_thread(jobs.retry_failed)
            or await asyncio.to_thread(jobs.counts) != Counts(0, 0, 0, 0)
        ):
            if time.monotonic() > end:
                raise click.ClickException(f"the audit does not drain: {jobs.counts()}")
            await asyncio.sleep(0.1)
    finally:
        await connection.aclose()
