"""One worker process: a Sanic application on a socket that the parent bound.

The steps of Sanic's own runner are taken here one by one, for two reasons. Sanic ignores SIGTERM for a moment
while it starts, so that a signal of that moment is lost; here the signals end the process by default until
the handlers below replace that in one step. And the socket listens no earlier than requests can be answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvloop
from sanic import Sanic
from sanic.server.async_server import AsyncioServer

from synckairos import garbage, logs
from synckairos.api.app import create_app
from synckairos.api.context import context_of
from synckairos.config import Settings
from synckairos.run.processes import BACKLOG
from synckairos.run.workers import END_S, REPLACED

_LOOK_S = 0.1
LINGER_S = 5.0
"""How long a worker that was replaced keeps connections open on which nothing is asked.

A proxy may be sending a request on one of them just now, and whether it was done nobody could say if the
connection ended then. So each ends with its next answer, and what is still unused after this time is closed.
"""
SWITCH_INTERVAL_S = 0.001


def run_worker(settings: Settings, listener: socket.socket, drain_s: int, ready: int | None = None) -> None:
    """Answers requests in this process until SIGINT, SIGTERM or REPLACED.

    `listener` is bound and does not listen yet, unless another worker was quicker. Requests that are under
    way at the end have `drain_s` seconds. With `ready`, a pipe, no request is answered before `/ready` is
    200, and then the pipe is written into. Raises OSError when nothing can listen there.
    """
    # While a thread parses a large body, the event loop gets the interpreter back after this time.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Until the event loop handles SIGINT, it ends the process as SIGTERM does, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Sanic sets its own logging up when an app is made; what is set up after it stays.
    app = create_app(settings)
    logs.configure(settings.log_level, production=settings.environment == "production")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(app, listener, drain_s, ready))


async def _answer(app: Sanic[Any, Any], listener: socket.socket, drain_s: int, ready: int | None) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def leave() -> None:
        app.ctx.connections.replaced = True
        end()

    def end() -> None:
        if not asked.is_set():
            asked.set()
            # The parent kills what does not end in time; but the parent may be what is gone.
            last = threading.Timer(drain_s + END_S, os._exit, (1,))
            last.daemon = True
            last.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(REPLACED, leave)
    server = await app.create_server(
        sock=listener,
        backlog=BACKLOG,
        return_asyncio_server=True,
        access_log=False,
        asyncio_server_kwargs={"start_serving": False},
    )
    assert server is not None
    await server.startup()
    starting = asyncio.ensure_future(_start(app, server, until_ready=ready is not None))
    await _first(starting, asked)
    if not starting.done():
        starting.cancel()  # nothing was promised to any client yet
        return
    await starting
    garbage.settle()
    try:
        # Needed to listen where connections of an earlier service still wait for their end; see `bind`.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await server.start_serving()
        await server.after_start()
        if ready is not None:
            os.write(ready, b"1")
            os.close(ready)
        await asked.wait()
        if app.ctx.connections.replaced:
            server.close()  # from here on only others accept
        await server.before_stop()
        server.close()
        await _close(app, server, drain_s)
    finally:
        await server.after_stop()


async def _start(app: Sanic[Any, Any], server: AsyncioServer, *, until_ready: bool) -> None:
    await server.before_start()
    while until_ready and not await context_of(app).readiness.is_ready():  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(_LOOK_S)


async def _first(work: asyncio.Future[None], asked: asyncio.Event) -> None:
    """Waits until the work is done or the process was asked to end."""
    waiting = asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait((work, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _close(app: Sanic[Any, Any], server: AsyncioServer, drain_s: float) -> None:
    """Lets requests and sockets end for `drain_s` seconds, and cuts what is left."""
    now = asyncio.get_running_loop().time
    deadline = now() + drain_s
    lingers_until = min(deadline, now() + LINGER_S) if app.ctx.connections.replaced else now()
    while server.connections and now() < deadline:
        if now() >= lingers_until:
            for connection in list(server.connections):
                connection.close_if_idle()
        await asyncio.sleep(_LOOK_S)
    app.shutdown_tasks(0)
    for connection in list(server.connections):
        if getattr(connection, "websocket", None):
            connection.websocket.fail_connection(code=1001)
        else:
            connection.abort()
