"""The service: a Sanic application with its routes, in each worker process."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import structlog
from sanic import Sanic
from sanic.config import Config
from sanic.models.handler_types import RouteHandler
from sanic.server.async_server import AsyncioServer

from synckairos.api import chain, http
from synckairos.api.context import context_of
from synckairos.api.delivery.site import site
from synckairos.api.request import ApiRequest
from synckairos.api.routes import ROUTES
from synckairos.api.routes.pages import PAGES
from synckairos.api.start import start
from synckairos.api.transport.connection import READ, Reads
from synckairos.api.transport.connections import Connections
from synckairos.api.transport.http1 import MAX_BODY
from synckairos.api.websocket import endpoint
from synckairos.config import Settings
from synckairos.core.connection import Connection
from synckairos.tracing import process

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GRACE_S = 15.0
"""How long requests may still take when the service stops."""


class _App(Sanic[Any, Any]):
    """Sanic, which serves connections of this service's kind."""

    async def create_server(self, *args: Any, **options: Any) -> AsyncioServer | None:
        """Sanic's own."""
        return await super().create_server(*args, **{"protocol": Reads, **options})


def create_app(settings: Settings, *, connection: Connection | None = None) -> Sanic[Any, Any]:
    """The application. Each process makes its own connection, unless the caller gives one (and closes it)."""
    app = _App(
        "synckairos",
        config=Config(env_prefix=None),
        request_class=ApiRequest,
        error_handler=http.Failures(),
        configure_logging=False,
    )
    app.config.update(
        {
            "AUTO_EXTEND": False,
            "GRACEFUL_SHUTDOWN_TIMEOUT": GRACE_S,
            "MOTD": False,
            "REQUEST_BUFFER_SIZE": READ,
            "REQUEST_MAX_SIZE": MAX_BODY,
        }
    )
    app.ctx.connections = Connections(settings)
    site()  # so that a page which cannot be packed is found now
    # Chains have a place for spans only in a process that makes some, so this comes before the chains.
    app.ctx.stop_tracing = process.start(settings, "synckairos")
    for route in (*ROUTES, *PAGES):
        if route.path == "/metrics" and (not settings.enable_metrics or settings.metrics_port is not None):
            continue
        handler = cast(RouteHandler, http.endpoint(route, chain.of_route(route)))
        app.add_route(
            handler,
            route.sanic_path,
            methods=route.methods,
            name=route.name,
            error_format="json",  # given, because Sanic would look for it in the handler's source
            ctx_label=(route.path, route.method),
        )
    endpoint.register(app)
    app.before_server_start(partial(_start, settings=settings, given=connection))
    app.after_server_start(_join)
    app.before_server_stop(_drain)
    app.after_server_stop(_stop)
    return app


async def _start(app: Sanic[Any, Any], *, settings: Settings, given: Connection | None) -> None:
    app.ctx.context = await start(settings, given)


async def _join(app: Sanic[Any, Any]) -> None:
    """Have the other processes count on this one."""
    context_of(app).timekeeper.join()


async def _drain(app: Sanic[Any, Any]) -> None:
    """Mark this process as stopping. Sanic then accepts no connections and waits for the open requests."""
    context = context_of(app)
    context.draining = True
    logger.info("shutting down")
    await context.timekeeper.leave()


async def _stop(app: Sanic[Any, Any]) -> None:
    """Undo the start, the last step first."""
    await context_of(app).closing.aclose()
    await asyncio.to_thread(app.ctx.stop_tracing)
