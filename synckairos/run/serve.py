"""The service as processes: one that listens and watches, and workers that answer.

The parent binds the socket (so that a busy port is its error, once) and hands it to the workers; the first
worker that can answer listens on it, and a connection before that is refused. Each worker is one Sanic
process with one event loop (`http_worker.py`). A worker that dies is started again, and all of them end when
the parent does.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from synckairos import metrics, systemd
from synckairos.config import Settings
from synckairos.core.connection import connect
from synckairos.run.processes import WATCH_S, Child, Stop, Stopped, bind, end_all, listens

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

DRAIN_S = 15
"""How long `serve` lets open requests finish and sockets drain."""
END_S = 2
"""How long a worker may take to end after that.

Then the parent kills it, or, where the parent is gone, it ends itself."""


class PortBusy(Exception):
    """Another program has the port of the service."""


def open_socket(settings: Settings) -> socket.socket:
    """The socket of the service, which does not listen yet. Raises PortBusy."""
    try:
        return bind(settings.host, settings.port)
    except OSError as error:
        raise PortBusy(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}") from error


@contextmanager
def workers(
    settings: Settings, listener: socket.socket, environ: Mapping[str, str], file: Path | None, drain_s: int
) -> Iterator[list[Child]]:
    """The worker processes, started; asked to end, and waited for, at the end of the block.

    They read their settings themselves, from `environ` and `file`, which must give `settings`.
    """
    warn(settings)
    metrics.prepare(settings.workers)
    environ = {**environ, **{name: os.environ[name] for name in os.environ if name.startswith("PROMETHEUS_")}}
    command = [
        sys.executable,
        "-P",
        "-m",
        "synckairos",
        "http-worker",
        str(listener.fileno()),
        "--drain",
        str(drain_s),
    ]
    if file is not None:
        command += ["--config", str(file)]
    children = [
        Child(
            f"worker {number + 1}",
            [*command, "--worker", str(number + 1)],
            environ=environ,
            pass_fds=[listener.fileno()],
            ended=metrics.process_ended,
        )
        for number in range(settings.workers)
    ]
    try:
        for child in children:
            child.start()
        yield children
    finally:
        end_all(children, drain_s + END_S)
        metrics.cleanup()


def warn(settings: Settings) -> None:
    """Says at the start what these settings leave out, and nobody would look for it there."""
    if settings.auth_mode == "none" and (settings.jwt_secret or settings.jwt_jwks_url):
        log.warning("AUTH_MODE is none: nobody is asked for a token, although keys for tokens are set")
    if settings.auth_mode == "jwt" and settings.database_url is None:
        log.warning(
            "admins can change no sessions: that has to be put on record, and there is no database",
            remedy="set DATABASE_URL, or use tokens with other roles than admin",
        )


def serve(settings: Settings, environ: Mapping[str, str], file: Path | None) -> None:
    """Runs the service until SIGINT or SIGTERM. Raises PortBusy, LibraryChanged."""
    with suppress(Stopped), Stop() as stop, open_socket(settings) as listener:
        stop.run(_load_library(settings))
        with workers(settings, listener, environ, file, DRAIN_S) as children:
            listening, watchdog = False, systemd.Watchdog()
            while not stop.wait(WATCH_S):
                watchdog.beat()
                if not listening and listens(listener):
                    listening = True
                    address = listener.getsockname()
                    log.info("listening", host=settings.host, port=address[1], workers=len(children))
                    systemd.ready(f"answers on {settings.host}, port {address[1]}")
                for child in children:
                    child.keep()
            systemd.stopping()


async def _load_library(settings: Settings) -> None:
    """Loads the library before any worker does, so that a refusal is one error."""
    await (await connect(settings)).aclose()
