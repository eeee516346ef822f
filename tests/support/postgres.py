"""PostgreSQL servers for tests: the one that comes with the package, and Debian's, each on a free port.

    with start_postgres("embedded") as server: url = server.database()

A server that is not stopped dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import asyncpg
import psutil

from synckairos.audit.schema import migrate
from synckairos.run import postgresql
from synckairos.run.postgresql import Postgres
from synckairos.run.processes import free_port
from tests.support import canaries
from tests.support.launching import launch

Kind = Literal["embedded", "debian"]

START_S = 30.0

_TABLES = (
    *("sync_events", "sync_sessions", "sync_participants", "sync_tags", "sync_refused"),
    *("sync_access_log", "sync_access_chains", "sync_keys", "sync_links", "sync_revocations"),
    *(f"sync_webhook{name}" for name in ("s", "_changes", "_sessions", "_deliveries")),
)
_SHAPE = """
    SELECT relname, relkind, relhastriggers, relchecks, relacl::text, attname,
        format_type(atttypid, atttypmod), attnotnull
    FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT proname, 'f', false, 0, NULL, NULL, NULL, NULL FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT version_num, 'v', false, 0, NULL, NULL, NULL, NULL FROM sync_schema
    ORDER BY 1, 6
"""
"""All that a test may have changed in a database besides rows."""


def available() -> list[Kind]:
    """The kinds that this machine has. In CI a missing one is an error."""
    if _debian() is not None:
        return ["embedded", "debian"]
    if os.environ.get("CI") == "true":
        raise FileNotFoundError("PostgreSQL is not installed, and in CI all tests have to run")
    return ["embedded"]


def programs(kind: Kind) -> Path:
    """The folder with a kind's programs."""
    found = postgresql.embedded() if kind == "embedded" else _debian()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    return found


def _debian() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class PostgresServer:
    """One server process. Its port and its data stay the same over restarts."""

    kind: Kind
    options: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="synckairos-test-")))
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    _made: Postgres | None = None
    _databases: int = 0
    _template: bool = False
    _template_shape: list[asyncpg.Record] | None = None
    _spare: list[str] = field(default_factory=list)
    """URLs of emptied databases."""

    @property
    def made(self) -> Postgres:
        """The server's folder, made when it is first asked for."""
        if self._made is None:
            self._made = Postgres.make(programs(self.kind), self.folder / "data")
            canaries.hide(self._made.password)
        return self._made

    def start(self) -> None:
        """Starts it and waits until it answers. If the port was taken meanwhile, another one is tried."""
        for _ in range(5):
            port = self.port or free_port()
            command = self.made.command(port, **self.options)
            self.process = launch(command, self.folder / "log", signal.SIGINT)
            end = time.monotonic() + START_S
            while time.monotonic() < end and self.process.poll() is None:
                if self.made.answers(port):
                    self.port = port
                    return
                time.sleep(0.02)
            self.kill()
        raise RuntimeError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text(errors='replace')}")

    def runs(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def database(self) -> str:
        """The URL of a fresh database with all tables."""
        if not self._template:
            self._template = True
            asyncio.run(migrate(asyncio.run(self.made.ensure_database(self.port, "template"))))
        return self._fresh("TEMPLATE template")

    @contextmanager
    def lend_database(self) -> Iterator[str]:
        """The URL of a database with all tables and no rows, for the length of the block.

        It is emptied and lent again, which takes a tenth of the time that a fresh one takes, unless the block
        has changed more than rows.
        """
        url = self._spare.pop() if self._spare else self.database()
        yield url
        if self.runs() and asyncio.run(self._emptied(url)):
            self._spare.append(url)

    async def _emptied(self, url: str) -> bool:
        """Whether the database is as a fresh one now."""
        try:
            if self._template_shape is None:
                connection = await asyncpg.connect(self.made.url(self.port, "template"))
                try:
                    self._template_shape = await connection.fetch(_SHAPE)
                finally:
                    await connection.close()
            connection = await asyncpg.connect(url, timeout=10, command_timeout=10)
            try:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if await connection.fetch(_SHAPE) != self._template_shape:
                    return False
                await connection.execute(f"TRUNCATE {', '.join(_TABLES)} RESTART IDENTITY")
                await connection.execute(
                    "UPDATE sync_webhook_state SET sure_at = '-infinity', beat_at = '-infinity'"
                )
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    def empty_database(self) -> str:
        """The URL of a fresh database without tables."""
        return self._fresh("")

    def _fresh(self, how: str) -> str:
        self._databases += 1
        name = f"test_{self._databases}"
        query(self.made.url(self.port, "postgres"), f"CREATE DATABASE {name} {how}")
        return self.made.url(self.port, name)

    def stop(self) -> None:
        """Stops it in the regular way."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kills it without warning, like a power cut, together with the processes of its connections."""
        children = [] if self.process is None else psutil.Process(self.process.pid).children(recursive=True)
        self._end(signal.SIGKILL)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=20)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Suspends all its processes for the length of the block."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        server.suspend()  # first, so that it starts no further ones
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        self._end(signal.SIGQUIT)  # it ends its own processes, at once
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_postgres(kind: Kind, **options: str) -> PostgresServer:
    """Starts a server. `options` are PostgreSQL's own."""
    server = PostgresServer(kind, options)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def query(url: str, text: str, *arguments: Any) -> list[asyncpg.Record]:
    """Runs a query and returns its rows, for code without an event loop."""

    async def ask() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            found: list[asyncpg.Record] = await connection.fetch(text, *arguments)
            return found
        finally:
            await connection.close()

    return asyncio.run(ask())
