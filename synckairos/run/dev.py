"""The whole service in one command: its own Valkey and PostgreSQL with a data folder, and the service.

Order matters at both ends. Start: data folder, port, Valkey, PostgreSQL with its tables, workers, and the
READY line when everything answers. End: workers first (they still need Valkey for what is under way), then
the servers, which write down what they have.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import structlog

from synckairos import config
from synckairos.auth import secret_file
from synckairos.auth.access import Role
from synckairos.auth.signing import development_token
from synckairos.config import Settings
from synckairos.errors import error_text
from synckairos.run import data_folder, serve, valkey
from synckairos.run.processes import WATCH_S, Child, Stop, Stopped, die_with_parent, end_all, free_port
from synckairos.run.workers import Workers

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

START_S = 60.0
"""How long the start may take: Valkey reads its whole data folder first."""
DRAIN_S = 3
"""How long open requests and sockets have at the end."""
ARCHIVE_S = 1
"""How long (seconds, after the workers' end) a batch that is being stored may take.

One that is cut off is stored at the next start."""
SERVERS_S = 2
"""How long Valkey, and then PostgreSQL, have to end. All together stays at 10 s."""


TENANT = "dev"
TOKEN_S = 7 * 24 * 3600
"""Whose and how long the token of `--auth` is."""


def _say(text: str) -> None:
    """One line of progress. Standard output is the READY line's alone."""
    click.echo(text, err=True)


class EmbeddedError(Exception):
    """The embedded service cannot start; the text says why, for people."""


class Addresses(NamedTuple):
    """Where Valkey is, with its password, as in `REDIS_URL`.

    The queue has a database of its own, as `FLUSHDB` and `DBSIZE` are for sessions.
    """

    sessions: str
    queue: str


@contextmanager
def _valkey_running(folder: Path, lock: int, stop: Stop) -> Iterator[tuple[list[Child], Addresses]]:
    """Valkey, answering: the children that belong to it, and its addresses. Raises Stopped."""
    _say(f"starting Valkey, with its data in {folder}")
    with valkey.passed_on() as (passing, output):
        for _ in range(3):
            # Another program may take the port before Valkey does: then Valkey ends, and tries another.
            port, password = free_port(), valkey.lock_up(folder)
            addresses = Addresses(*(valkey.url(port, database, password) for database in (0, 1)))
            child = valkey.child(folder, lock, port, output)
            try:
                child.start()
                if _until(partial(valkey.answers, folder, addresses.sessions), child, stop):
                    yield [passing, child], addresses
                    return
            finally:
                end_all([child], SERVERS_S)
    raise EmbeddedError("Valkey does not start; what it said about that is above")


@contextmanager
def _postgres_running(folder: Path, lock: int, stop: Stop) -> Iterator[tuple[Child, str]]:
    """PostgreSQL, answering, and the URL of its database, which has all tables. Raises Stopped."""
    from synckairos.audit.schema import MigrationFailed, UnknownRevision, migrate
    from synckairos.run.postgresql import Postgres, PostgresError, embedded

    first = not (folder / "postgres").exists()
    _say(f"starting PostgreSQL{', whose data folder is made first' if first else ''}")
    try:
        postgres = Postgres.make(embedded(), folder / "postgres", stop.check)
        for _ in range(3):
            port = free_port()  # which another program may take first, as above
            child = Child("PostgreSQL", postgres.command(port), pass_fds=[lock], ended_by=signal.SIGINT)
            try:
                child.start()
                if _until(partial(postgres.answers, port), child, stop):
                    _say(f"{'making' if first else 'looking at'} the tables of the audit")
                    url = stop.run(postgres.ensure_database(port))
                    stop.run(migrate(url))
                    yield child, url
                    return
            finally:
                end_all([child], SERVERS_S)
    except (PostgresError, UnknownRevision, MigrationFailed) as error:
        raise EmbeddedError(str(error)) from error
    raise EmbeddedError("PostgreSQL does not start; what it said about that is above")


def _until(answers: Callable[[], bool], child: Child, stop: Stop) -> bool:
    """Waits until a server answers; False when it ended, or START_S went by. Raises Stopped."""
    end = time.monotonic() + START_S
    while child.running and time.monotonic() < end:
        stop.wait(WATCH_S / 2)
        stop.check()
        if answers():
            return True
    return False


def dev(
    settings: Settings,
    environ: dict[str, str],
    place: Path | None,
    *,
    database: bool = True,
    make_secret: bool = False,
) -> None:
    """Runs everything until SIGINT or SIGTERM, or, on Linux, until the program that started it is gone.

    `place`: the data folder; None for a temporary one. Without `database` there is no PostgreSQL, and nothing
    is archived. With `make_secret` the secret of tokens is that of the data folder. Prints
    `READY <http-url> <redis-url> <database-url or ->` when all of it answers, both URLs of servers with their
    passwords, and on standard error where the console is. Raises EmbeddedError, DataFolderError, PortBusy.
    """
    # When the terminal is closed, or the script that called it has ended, nothing stays behind.
    die_with_parent(os.getppid())
    with (
        suppress(Stopped),
        Stop() as stop,
        serve.open_socket(settings) as listener,
        data_folder.locked(place) as (folder, lock),
        ExitStack() as stack,
    ):
        watched, redis = stack.enter_context(_valkey_running(folder, lock, stop))
        addresses = {"REDIS_URL": redis.sessions}
        stop.run(valkey.load_library(redis.sessions))
        archiving: list[Child] = []
        if database:
            postgres, database_url = stack.enter_context(_postgres_running(folder, lock, stop))
            addresses |= {"DATABASE_URL": database_url, "RQ_REDIS_URL": redis.queue}
            archiving = [stack.enter_context(_archiving({**environ, **addresses}))]
            watched += [postgres, *archiving]
        if make_secret:
            environ = {**environ, "JWT_SECRET": secret_file.made(folder)}
        environ = {**environ, **addresses}
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        http_url = f"http://{host}:{listener.getsockname()[1]}"
        stack.enter_context(data_folder.announced(folder, {"HTTP_URL": http_url, **addresses}))
        settings = config.load(environ)
        _say(f"starting the service, {settings.workers} worker{'s' if settings.workers > 1 else ''}")
        with serve.workers(settings, listener, environ, None, DRAIN_S) as workers:
            if _ready(http_url, workers, stop):
                click.echo(f"READY {http_url} {addresses['REDIS_URL']} {addresses.get('DATABASE_URL', '-')}")
                _say_where_the_console_is(settings, http_url)
                _say("Ctrl-C stops it all.")
            while not stop.wait(WATCH_S):
                for child in watched:
                    child.keep()
                workers.keep()
            # The worker ends at the same time as the service. Events of the last requests are stored at the
            # next start.
            for child in archiving:
                child.ask_to_end()


def _say_where_the_console_is(settings: Settings, http_url: str) -> None:
    _say(f"The console: {http_url}/{_token(settings, Role.ADMIN)}")
    if settings.database_url is None and (instead := _token(settings, Role.SERVICE)):
        # What admins do has to be put on record, for which there is no database.
        _say("Without a database an admin can only look. This one makes sessions, too:")
        _say(f"The console: {http_url}/{instead}")


def _token(settings: Settings, role: Role) -> str:
    """What follows the console's address so that whoever opens it has a role; nothing without a secret.

    Browsers send nothing of it to any server.
    """
    if settings.auth_mode != "jwt" or settings.jwt_secret is None:
        return ""
    token = development_token(settings, sub="developer", tenant=TENANT, roles=[str(role)], lasts_s=TOKEN_S)
    return f"#token={token}"


@contextmanager
def _archiving(environ: dict[str, str]) -> Iterator[Child]:
    """The worker that stores events in PostgreSQL."""
    # Both it and the service would listen on the port for metrics, which is the service's.
    environ = {name: value for name, value in environ.items() if name != "METRICS_PORT"}
    child = Child("audit worker", [sys.executable, "-P", "-m", "synckairos", "worker"], environ=environ)
    _say("starting the audit worker")
    try:
        child.start()
        yield child
    finally:
        end_all([child], ARCHIVE_S)


def _ready(http_url: str, workers: Workers, stop: Stop) -> bool:
    """Waits until the service says that it is ready; False when a stop came first. Raises EmbeddedError."""
    end = time.monotonic() + START_S
    while not stop.wait(WATCH_S / 2):
        answer = _get_ready(http_url, workers, stop)
        if answer.startswith(b"HTTP/1.1 200"):
            return True
        if not workers.running:
            raise EmbeddedError("the service does not start; what it said about that is above")
        if time.monotonic() > end:
            raise EmbeddedError(f"the service is not ready after {START_S:g} s; what it said is above")
    return False


def _get_ready(http_url: str, workers: Workers, stop: Stop) -> bytes:
    """The beginning of the answer to `GET /ready`; empty when none comes.

    Connections are refused until a worker can answer. The wait for an answer ends at a stop.
    """
    url = urlsplit(http_url)
    try:
        with socket.create_connection((url.hostname, url.port), timeout=1) as connection:
            connection.sendall(
                f"GET /ready HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode()
            )
            while not stop and workers.running:
                if select.select([connection], [], [], WATCH_S)[0]:
                    return connection.recv(4096)
    except OSError as error:
        log.debug("not ready yet", reason=error_text(error))
    return b""
