"""The service: a Sanic application, what it holds in each worker process, and how it starts and stops."""

from __future__ import annotations

import os
from typing import Any, cast

import structlog
from sanic import Sanic
from sanic.config import Config
from sanic.models.handler_types import RouteHandler

from synckairos import metrics
from synckairos.api import middleware, openapi
from synckairos.api.request import ApiRequest
from synckairos.api.routes import ROUTES
from synckairos.api.routes.pages import PAGES
from synckairos.api.websocket import endpoint
from synckairos.audit.archiver import Archiver
from synckairos.audit.jobs import Jobs
from synckairos.audit.outbox import OutboxTrimmer
from synckairos.audit.recovery import Recovery
from synckairos.audit.store import Store
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.realtime.timekeeper import Timekeeper

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GRACE_S = 15.0
"""How long requests that are under way when the service stops may take to end."""


def create_app(settings: Settings, *, connection: Connection | None = None) -> Sanic[Any, Any]:
    """The application. Each process makes its own connection, unless the caller gives (and closes) one."""
    app: Sanic[Any, Any] = Sanic(
        "synckairos",
        config=Config(env_prefix=None),
        request_class=ApiRequest,
        error_handler=middleware.Failures(),
        configure_logging=False,
    )
    app.config.update(
        {
            "AUTO_EXTEND": False,
            "GRACEFUL_SHUTDOWN_TIMEOUT": GRACE_S,
            "MOTD": False,
            "REQUEST_MAX_SIZE": middleware.MAX_BODY,
        }
    )
    app.ctx.settings = settings
    app.ctx.connection = connection
    app.ctx.draining = False
    app.ctx.stop_metrics = lambda: None
    app.ctx.openapi = openapi.document(ROUTES, settings)
    app.ctx.docs = openapi.page(ROUTES, settings)
    for route in (*ROUTES, *PAGES):
        if route.path == "/metrics" and (not settings.enable_metrics or settings.metrics_port is not None):
            continue
        handler = cast(RouteHandler, middleware.endpoint(route))
        app.add_route(handler, route.sanic_path, methods=route.methods, name=route.name)
    endpoint.register(app)
    app.before_server_start(_start)
    app.before_server_stop(_drain)
    app.after_server_stop(_stop)
    return app


async def _start(app: Sanic[Any, Any]) -> None:
    """Make what this process holds. Redis may be away: the service is not ready then until it is back."""
    context = app.ctx
    settings: Settings = context.settings
    context.store = None if settings.database_url is None else Store(settings.database_url)
    context.owns_connection = context.connection is None
    if context.owns_connection:
        context.connection = await connect(settings)
    context.recovery = None if context.store is None else Recovery(context.connection, context.store)
    context.sessions = Sessions(context.connection, settings.session_ttl, context.recovery)
    context.clock = ServerClock(context.connection)
    context.subscriptions = Subscriptions(context.connection)
    # These two find out by themselves that a session is gone, and why, so they are to ask Redis alone.
    context.kept = Sessions(context.connection, settings.session_ttl)
    context.relay = Relay(context.kept, context.subscriptions, context.clock, context.recovery)
    context.timekeeper = Timekeeper(context.connection, context.kept, context.subscriptions, context.clock)
    context.outboxes = (
        OutboxTrimmer(context.connection)
        if settings.database_url is None
        else Archiver(context.connection, Jobs.of(settings))
    )
    for part in (context.clock, context.subscriptions, context.relay, context.timekeeper, context.outboxes):
        await part.start()
    if settings.enable_metrics and settings.metrics_port is not None:
        context.stop_metrics = metrics.serve(settings.host, settings.metrics_port)


async def _drain(app: Sanic[Any, Any]) -> None:
    """Say that this process is going. Sanic then stops accepting and waits for requests under way."""
    app.ctx.draining = True
    logger.info("shutting down")


async def _stop(app: Sanic[Any, Any]) -> None:
    """Undo `_start`, in reverse order."""
    context = app.ctx
    context.stop_metrics()
    for part in (context.outboxes, context.timekeeper, context.relay, context.subscriptions, context.clock):
        await part.stop()
    if context.owns_connection:
        await context.connection.aclose()
        context.connection = None
    if context.store is not None:
        await context.store.aclose()
    metrics.process_ended(os.getpid())
