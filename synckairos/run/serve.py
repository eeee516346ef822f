"""The service as processes: one that listens and watches, and workers that answer.

The parent opens the socket (so that a busy port is its error, once) and hands it to the workers; each worker
is one Sanic process with one event loop. A worker that dies is started again, and all of them end when the
parent does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from synckairos import logs, metrics
from synckairos.config import Settings
from synckairos.core.connection import connect
from synckairos.run.processes import WATCH_S, Child, Stop, end_all, listen

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

DRAIN_S = 15
"""How long `serve` lets open requests finish and sockets drain."""
END_S = 2
"""How long a worker may take to end after that."""


class PortBusy(Exception):
    """Somebody else listens where the service is to listen."""


def open_socket(settings: Settings) -> socket.socket:
    """The socket of the service. Raises PortBusy."""
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        raise PortBusy(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}") from error


@contextmanager
def workers(
    settings: Settings, listener: socket.socket, environ: Mapping[str, str], file: Path | None, drain_s: int
) -> Iterator[list[Child]]:
    """The worker processes, started; asked to end, and waited for, at the end of the block.

    They read their settings themselves, from `environ` and `file`, which must give `settings`.
    """
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
            command,
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


def serve(settings: Settings, environ: Mapping[str, str], file: Path | None) -> None:
    """Runs the service until SIGINT or SIGTERM. Raises PortBusy, LibraryChanged."""
    with Stop() as stop, open_socket(settings) as listener:
        asyncio.run(_prepare(settings))
        with workers(settings, listener, environ, file, DRAIN_S) as children:
            log.info("listening", host=settings.host, port=listener.getsockname()[1], workers=len(children))
            while not stop.wait(WATCH_S):
                for child in children:
                    child.keep()


async def _prepare(settings: Settings) -> None:
    """Loads the library before any worker does, so that what stands in its way is said once."""
    connection = await connect(settings)
    await connection.aclose()


def run_worker(settings: Settings, listener: socket.socket, drain_s: int) -> None:
    """Answers requests in this process until it is asked to end."""
    from synckairos.api.app import create_app

    # Sanic sets its own logging up when an app is made; what is set up after it stays.
    app = create_app(settings)
    logs.configure(settings)
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = float(drain_s)

    @app.before_server_stop
    async def _(_app: object) -> None:
        # The parent kills what does not end in time; but the parent may be what is gone.
        last = threading.Timer(drain_s + END_S, os._exit, (1,))
        last.daemon = True
        last.start()

    app.run(sock=listener, single_process=True, motd=False, access_log=False)
