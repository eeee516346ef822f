"""The service: a Sanic application, its parts in each worker process, and how these start and stop."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

import structlog
from sanic import Sanic
from sanic.config import Config
from sanic.models.handler_types import RouteHandler
from sanic.server.async_server import AsyncioServer

from synckairos import metrics
from synckairos.api import middleware, openapi
from synckairos.api.context import Context, context_of
from synckairos.api.quotas import QuotaKeeper
from synckairos.api.readiness import Readiness
from synckairos.api.request import ApiRequest
from synckairos.api.routes import ROUTES
from synckairos.api.routes.pages import PAGES
from synckairos.api.transport.connection import READ, Reads
from synckairos.api.transport.connections import Connections
from synckairos.api.transport.http1 import MAX_BODY
from synckairos.api.websocket import endpoint
from synckairos.audit.access_log.queue import AccessLog
from synckairos.audit.archiver import Archiver
from synckairos.audit.jobs import Jobs
from synckairos.audit.losses import Losses
from synckairos.audit.others import Others
from synckairos.audit.outbox import OutboxTrimmer
from synckairos.audit.recovery import Recovery
from synckairos.audit.restorer import Restorer
from synckairos.audit.store import Store
from synckairos.auth import parts
from synckairos.auth.tenants import Tenants
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.core.quotas import TenantCounts
from synckairos.core.replicas import Replicas
from synckairos.move.following import Following
from synckairos.realtime.deployment import Deployment
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.realtime.timekeeper import Timekeeper
from synckairos.supervision import cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GRACE_S = 15.0
"""How long requests may still take when the service stops."""
ACCESS_LOG_CONNECTIONS = 3
"""One writes what waits, and the others are for admins, whose actions are stored before they are answered."""


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
        error_handler=middleware.Failures(),
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
    for route in (*ROUTES, *PAGES):
        if route.path == "/metrics" and (not settings.enable_metrics or settings.metrics_port is not None):
            continue
        handler = cast(RouteHandler, middleware.endpoint(route))
        app.add_route(
            handler,
            route.sanic_path,
            methods=route.methods,
            name=route.name,
            ctx_label=(route.path, route.method),
        )
    endpoint.register(app)
    app.before_server_start(partial(_start, settings=settings, given=connection))
    app.before_server_stop(_drain)
    app.after_server_stop(_stop)
    return app


async def _start(app: Sanic[Any, Any], *, settings: Settings, given: Connection | None) -> None:
    """Make the process' context. When Redis is away, the service starts, and is ready when Redis is back."""
    tenants = Tenants(settings.tenants_file)
    async with AsyncExitStack() as closing:
        closing.callback(metrics.process_ended, os.getpid())
        store, access_log = await _in_postgresql(settings, closing)
        if given is None:
            connection = await connect(settings)
            closing.push_async_callback(connection.aclose)
        else:
            connection = given
        recovery = None
        if store is not None:
            others = Others(settings)
            closing.push_async_callback(others.aclose)
            recovery = Recovery(connection, store, settings.redis_address, others)
        clock = ServerClock(connection)
        subscriptions = Subscriptions(connection)
        # The relay and the timekeeper handle sessions that are gone in their own ways, so their calls must
        # not restore any.
        redis_sessions = Sessions(connection, settings.session_ttl)
        following = Following(settings, Deployment(redis_sessions, subscriptions, clock))
        closing.push_async_callback(following.aclose)
        relay = Relay(redis_sessions, subscriptions, clock, recovery, following)
        moved_sessions = Sessions(connection, settings.session_ttl, moved=following)
        timekeeper = Timekeeper(connection, moved_sessions, subscriptions, clock)
        outboxes = (
            OutboxTrimmer(connection)
            if settings.database_url is None
            else Archiver(connection, Jobs.of(settings))
        )
        for part in (clock, subscriptions, relay, timekeeper, outboxes):
            await part.start()
            closing.push_async_callback(part.stop)
        restorer = None
        if store is not None and recovery is not None and settings.restore_rate:
            restorer = await _restorer(settings, connection, store, recovery)
            closing.push_async_callback(restorer.stop)
        quotas = _quotas(settings, tenants, connection, store, closing)
        replicas = Replicas(connection, settings)
        closing.push_async_callback(replicas.aclose)
        readiness = Readiness(connection, redis_sessions, subscriptions, store, restorer)
        closing.push_async_callback(readiness.stop)
        await readiness.start()
        sessions = Sessions(connection, settings.session_ttl, recovery, following)
        auth = parts.parts(settings, connection, store, moved_sessions)
        bearers = await closing.enter_async_context(parts.bearers(settings, auth))
        if settings.enable_metrics and settings.metrics_port is not None:
            closing.callback(metrics.serve(settings.host, settings.metrics_port))
        app.ctx.context = Context(
            settings=settings,
            bearers=bearers,
            links=auth.links,
            revocations=auth.revocations,
            tenants=tenants,
            quotas=quotas,
            connection=connection,
            store=store,
            recovery=recovery,
            access_log=access_log,
            sessions=sessions,
            redis_sessions=redis_sessions,
            clock=clock,
            subscriptions=subscriptions,
            relay=relay,
            timekeeper=timekeeper,
            replicas=replicas,
            restorer=restorer,
            readiness=readiness,
            openapi=openapi.document(ROUTES, settings),
            docs=openapi.page(ROUTES, settings),
            closing=closing.pop_all(),
        )
    _look_after_sockets(context_of(app))


async def _restorer(settings: Settings, connection: Connection, store: Store, recovery: Recovery) -> Restorer:
    """The restorer, started."""
    restorer = Restorer(
        Losses(connection),
        store,
        recovery,
        Jobs.of(settings),
        rate=settings.restore_rate,
        ttl_s=settings.session_ttl,
    )
    await restorer.start()
    return restorer


def _quotas(
    settings: Settings,
    tenants: Tenants,
    connection: Connection,
    store: Store | None,
    closing: AsyncExitStack,
) -> QuotaKeeper:
    """What holds tenants to their quotas, with what goes on for that in the background."""
    quotas = QuotaKeeper(tenants, TenantCounts(connection, secrets.token_hex(8)), store)
    if settings.tenants_file is not None:
        closing.push_async_callback(quotas.close)
        loops = {"tenants file": tenants.watch, "numbers of sockets": quotas.tell_sockets}
        if store is not None:
            loops["sessions that are not counted"] = quotas.recount
        for name, loop in loops.items():
            closing.push_async_callback(cancel, asyncio.create_task(supervise(name, loop), name=name))
    return quotas


async def _in_postgresql(
    settings: Settings, closing: AsyncExitStack
) -> tuple[Store | None, AccessLog | None]:
    """The audit store, and the access log with connections of its own; None without PostgreSQL."""
    if settings.database_url is None:
        return None, None
    store = Store(settings.database_url)
    closing.push_async_callback(store.aclose)
    records = Store(settings.database_url, max_size=ACCESS_LOG_CONNECTIONS)
    closing.push_async_callback(records.aclose)
    access_log = AccessLog(records)
    await access_log.start()
    closing.push_async_callback(access_log.stop)
    return store, access_log


def _look_after_sockets(context: Context) -> None:
    """Have open sockets looked at in the background: what waits for them, and the tokens that they have."""
    loops = {"unread bytes of sockets": endpoint.bound_unread}
    if context.bearers.required:
        loops["tokens of sockets"] = endpoint.check_tokens
    for name, loop in loops.items():
        looking = asyncio.create_task(supervise(name, partial(loop, context)), name=name)
        context.closing.push_async_callback(cancel, looking)


async def _drain(app: Sanic[Any, Any]) -> None:
    """Mark this process as stopping. Sanic then accepts no connections and waits for the open requests."""
    context_of(app).draining = True
    logger.info("shutting down")


async def _stop(app: Sanic[Any, Any]) -> None:
    """Undo `_start`, the last step first."""
    await context_of(app).closing.aclose()
