"""The whole service in one command: its own Valkey and PostgreSQL with a data folder, and the service.

Order matters at both ends. Start: data folder, port, Valkey, PostgreSQL with its tables, workers, and the
READY line when everything answers. End: workers first (they still need Valkey for what is under way), then
the servers, which write down what they have.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
import structlog

from synckairos import config
from synckairos.config import Settings
from synckairos.run import serve, valkey
from synckairos.run.processes import WATCH_S, Child, Stop, die_with_parent, end_all, free_port
from synckairos.run.valkey import START_S

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

DRAIN_S = 3
"""How long open requests and sockets have at the end."""
ARCHIVE_S = 1
"""How long (seconds, after the workers' end) the batch has that is being stored.

One that is cut off is stored at the next start."""
SERVERS_S = 2
"""How long Valkey, and then PostgreSQL, have to end. All together stays at 10 s."""


def _say(text: str) -> None:
    """One line of progress. Standard output is the READY line's alone."""
    click.echo(text, err=True)


class EmbeddedError(Exception):
    """The embedded service cannot start; the text says why, for people."""


@contextmanager
def data_folder(place: Path | None) -> Iterator[tuple[Path, int]]:
    """The data folder (without `place` a temporary one, removed at the end) and its lock, as a descriptor.

    Valkey and PostgreSQL inherit the lock: it is held as long as one of them lives. Raises EmbeddedError.
    """
    folder = Path(tempfile.mkdtemp(prefix="synckairos-")) if place is None else place.absolute()
    try:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedError(f"the data folder {folder} cannot be used: {error.strerror}") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(lock, 32).decode().strip()
                raise EmbeddedError(
                    f"the data folder {folder} is in use by another synckairos dev (process {owner}): "
                    "stop it, or choose another folder with --data-dir, or --ephemeral"
                ) from None
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            yield folder, lock
        finally:
            os.close(lock)
    finally:
        if place is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _valkey_running(folder: Path, lock: int, stop: Stop) -> Iterator[tuple[Child, int]]:
    """Valkey, answering, and its port."""
    _say(f"starting Valkey, with its data in {folder}")
    for _ in range(3):
        # Another program may take the port before Valkey does: then it ends at once, and another is tried.
        port = free_port()
        child = valkey.child(folder, lock, port)
        try:
            child.start()
            if valkey.answers(child, folder, port, stop):
                yield child, port
                return
        finally:
            end_all([child], SERVERS_S)
        if stop:
            return
    raise EmbeddedError("Valkey does not start; its own words are above")


@contextmanager
def _postgres_running(folder: Path, lock: int, stop: Stop) -> Iterator[tuple[Child, str]]:
    """PostgreSQL, answering, and the URL of its database, which has all tables."""
    from synckairos.audit.schema import MigrationFailed, UnknownRevision, migrate
    from synckairos.run.postgresql import Postgres, PostgresError, embedded

    first = not (folder / "postgres").exists()
    _say(f"starting PostgreSQL{', whose data folder is made first' if first else ''}")
    try:
        postgres = Postgres.make(embedded(), folder / "postgres", lambda: bool(stop))
        for _ in range(3):
            port = free_port()  # somebody may take it first, as above
            child = Child("PostgreSQL", postgres.command(port), pass_fds=[lock], ended_by=signal.SIGINT)
            try:
                child.start()
                if _until(partial(postgres.answers, port), child, stop):
                    url = asyncio.run(postgres.ensure_database(port))
                    asyncio.run(migrate(url))
                    yield child, url
                    return
            finally:
                end_all([child], SERVERS_S)
            if stop:
                return
    except (PostgresError, UnknownRevision, MigrationFailed) as error:
        raise EmbeddedError(str(error)) from error
    raise EmbeddedError("PostgreSQL does not start; its own words are above")


def _until(answers: Callable[[], bool], child: Child, stop: Stop) -> bool:
    """Waits until a program answers; False when it ended or a stop came first."""
    end = time.monotonic() + START_S
    while child.running and time.monotonic() < end and not stop.wait(WATCH_S / 2):
        if answers():
            return True
    return False


def dev(settings: Settings, environ: dict[str, str], place: Path | None, *, database: bool = True) -> None:
    """Runs everything until SIGINT or SIGTERM, or, on Linux, until the program that started it is gone.

    `place`: the data folder; None for a temporary one. Without `database` there is no PostgreSQL, and nothing
    is archived. Prints `READY <http-url> <redis-url> <database-url or ->` when all of it answers, and on
    standard error where the console is. Raises EmbeddedError, PortBusy.
    """
    # Whoever tries it out closes the terminal, or ends the script that called it, and finds nothing left.
    die_with_parent(os.getppid())
    with (
        Stop() as stop,
        serve.open_socket(settings) as listener,
        data_folder(place) as (folder, lock),
        _valkey_running(folder, lock, stop) as (storage, redis_port),
        ExitStack() as stack,
    ):
        if stop:
            return
        watched = [storage]
        archiving: list[Child] = []
        redis_url = f"redis://127.0.0.1:{redis_port}/0"
        environ = {**environ, "REDIS_URL": redis_url}
        asyncio.run(valkey.load_library(redis_port))
        if database:
            postgres, environ["DATABASE_URL"] = stack.enter_context(_postgres_running(folder, lock, stop))
            if stop:
                return
            # The queue has a database of its own, as `FLUSHDB` and `DBSIZE` are for sessions.
            environ["RQ_REDIS_URL"] = f"redis://127.0.0.1:{redis_port}/1"
            archiving = [stack.enter_context(_archiving(environ))]
            watched += [postgres, *archiving]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        http_url = f"http://{host}:{listener.getsockname()[1]}"
        settings = config.load(environ)
        _say(f"starting the service, {settings.workers} worker{'s' if settings.workers > 1 else ''}")
        with serve.workers(settings, listener, environ, None, DRAIN_S) as workers:
            if _ready(http_url, workers, stop):
                click.echo(f"READY {http_url} {redis_url} {environ.get('DATABASE_URL', '-')}")
                click.echo(f"The console: {http_url}/  Ctrl-C stops it all.", err=True)
            while not stop.wait(WATCH_S):
                for child in (*watched, *workers):
                    child.keep()
            # It has the time that the workers take, too. What they do meanwhile is stored at the next start.
            for child in archiving:
                child.ask_to_end()


@contextmanager
def _archiving(environ: dict[str, str]) -> Iterator[Child]:
    """The worker that stores events in PostgreSQL."""
    # Its metrics would be taken for the service's: both would listen on the same port.
    environ = {name: value for name, value in environ.items() if name != "METRICS_PORT"}
    child = Child("audit worker", [sys.executable, "-P", "-m", "synckairos", "worker"], environ=environ)
    _say("starting the audit worker")
    try:
        child.start()
        yield child
    finally:
        end_all([child], ARCHIVE_S)


def _ready(http_url: str, workers: list[Child], stop: Stop) -> bool:
    """Waits until the service says that it is ready; False when a stop came first. Raises EmbeddedError."""
    end = time.monotonic() + START_S
    while not stop.wait(WATCH_S / 2):
        answer = _get_ready(http_url, workers, stop)
        if answer.startswith(b"HTTP/1.1 200"):
            return True
        if not all(worker.running for worker in workers):
            raise EmbeddedError("the service does not start; its own words are above")
        if time.monotonic() > end:
            raise EmbeddedError(f"the service is not ready after {START_S:g} s; its own words are above")
    return False


def _get_ready(http_url: str, workers: list[Child], stop: Stop) -> bytes:
    """The beginning of the answer to `GET /ready`; empty when none comes.

    Connections are refused until a worker can answer. The wait for an answer ends at a stop.
    """
    url = urlsplit(http_url)
    try:
        with socket.create_connection((url.hostname, url.port), timeout=1) as connection:
            connection.sendall(
                f"GET /ready HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            while not stop and all(worker.running for worker in workers):
                if select.select([connection], [], [], WATCH_S)[0]:
                    return connection.recv(4096)
    except OSError as error:
        log.debug("not ready yet", reason=str(error))
    return b""
