"""The service as processes: one that listens and watches, and workers that answer.

The parent binds the socket (so that a busy port is its error, once) and hands it to the workers; the first
worker that can answer listens on it, and a connection before that is refused. Each worker is one Sanic
process with one event loop (`http_worker.py`). A worker that dies is started again, and all of them end when
the parent does. SIGHUP replaces them, one after the other (`workers.py`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from synckairos import systemd
from synckairos.auth.tenants import Tenants
from synckairos.config import Settings, SettingsError
from synckairos.core.connection import connect
from synckairos.features.flags import Features
from synckairos.run.processes import WATCH_S, Hangup, Stop, Stopped, bind, listens
from synckairos.run.workers import Workers
from synckairos.settings_option import settings_anew

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

DRAIN_S = 15
"""How long `serve` lets open requests finish and sockets drain."""


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
) -> Iterator[Workers]:
    """The worker processes, started; asked to end, and waited for, at the end of the block.

    They read their settings themselves, from `environ` and `file`, which must give `settings`.
    """
    warn(settings)
    found = Workers(settings, listener, environ, file, drain_s)
    try:
        found.start()
        yield found
    finally:
        found.end()


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
    """Runs the service until SIGINT or SIGTERM. Raises PortBusy, LibraryChanged.

    SIGHUP replaces the workers by others, which read the settings anew, while the service goes on.
    """
    with suppress(Stopped), Stop() as stop, Hangup() as hangup, open_socket(settings) as listener:
        stop.run(_load_library(settings))
        with workers(settings, listener, environ, file, DRAIN_S) as running:
            listening, watchdog = False, systemd.Watchdog()
            while not stop.wait(WATCH_S):
                watchdog.beat()
                if not listening and listens(listener):
                    listening = True
                    address = listener.getsockname()
                    log.info("listening", host=settings.host, port=address[1], workers=settings.workers)
                    systemd.ready(f"answers on {settings.host}, port {address[1]}")
                if hangup.taken():
                    systemd.reloading()
                    if not _reload(settings, environ, file, running):
                        systemd.ready("the settings are wrong: it goes on with those from before")
                was_replacing = running.replacing
                running.keep()
                if was_replacing and not running.replacing:
                    systemd.ready(running.outcome)
            systemd.stopping()


def _reload(settings: Settings, environ: Mapping[str, str], file: Path | None, running: Workers) -> bool:
    """Begin to replace the workers. Returns False where the settings are wrong or ask for another socket."""
    try:
        found = settings_anew(environ, file, serving=True)
        Tenants(found.tenants_file)
        Features(found.features_file)
    except SettingsError as error:
        log.error("the settings are wrong: the workers go on as they are", problems=error.problems)
        return False
    if (found.host, found.port) != (settings.host, settings.port):
        log.error("HOST and PORT cannot change without a restart: the workers go on as they are")
        return False
    warn(found)
    running.replace(found)
    return True


async def _load_library(settings: Settings) -> None:
    """Loads the library before any worker does, so that a refusal is one error."""
    await (await connect(settings)).aclose()
