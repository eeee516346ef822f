"""The start of a process that serves: its parts, made from the settings, and what undoes that at the stop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from synckairos import metrics
from synckairos.api import chain, docs, openapi
from synckairos.api.context import Context
from synckairos.api.delivery.site import TYPES, File
from synckairos.api.quotas import QuotaKeeper
from synckairos.api.readiness import Readiness
from synckairos.api.routes import ROUTES
from synckairos.api.websocket import endpoint
from synckairos.api.websocket.command import carry_out
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
from synckairos.breakers.registry import Breakers
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection, connect
from synckairos.core.quotas import TenantCounts
from synckairos.core.replicas import Replicas
from synckairos.features.flags import Features
from synckairos.move.following import Following
from synckairos.probes.start import probes
from synckairos.realtime.deployment import Deployment
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.realtime.timekeeper import Timekeeper
from synckairos.supervision import cancel, supervise
from synckairos.webhooks.tables import Webhooks

ACCESS_LOG_CONNECTIONS = 3
"""One writes what waits, and the others are for admins, whose actions are stored before they are answered."""


class _Part(Protocol):
    """What runs in the background."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Storage:
    """Where sessions are, and what is kept of them. Without PostgreSQL there is only the connection."""

    connection: Connection
    store: Store | None
    access_log: AccessLog | None
    recovery: Recovery | None


@dataclass(frozen=True, slots=True)
class _Realtime:
    """What clients hear from at once, and what ends turns whose time is over.

    here: this service's own deployment of Redis
    sessions: the calls, which first restore a session that Redis has lost
    unrestored_sessions: the same calls for sessions that have moved or are here; they restore none
    """

    here: Deployment
    relay: Relay
    timekeeper: Timekeeper
    sessions: Sessions
    unrestored_sessions: Sessions


async def start(settings: Settings, given: Connection | None) -> Context:
    """Make and start the parts of this process. What is away, as Redis may be, is tried again later.

    given: a connection that its owner closes; None to make one
    Raises SettingsError for a tenants or features file that cannot be used. What is raised undoes what was
    started.
    """
    tenants, features = Tenants(settings.tenants_file), Features(settings.features_file)
    async with AsyncExitStack() as closing:
        closing.callback(metrics.process_ends)
        if settings.features_file is not None:
            _repeat("features file", features.watch, closing)
        breakers = Breakers()
        closing.push_async_callback(breakers.aclose)
        storage = await _storage(settings, given, breakers, features, closing)
        connection, store = storage.connection, storage.store
        realtime = await _realtime(settings, storage, features, closing)
        here = realtime.here
        restorer = await _audit(settings, storage, closing)
        quotas = _quotas(settings, tenants, storage, closing)
        replicas = Replicas(connection, settings)
        closing.push_async_callback(replicas.aclose)
        readiness = Readiness(connection, here.sessions, here.subscriptions, store, restorer)
        closing.push_async_callback(readiness.stop)
        await readiness.start()
        for probe in probes(settings, connection, here.clock, here.subscriptions, store):
            await _start(probe, closing)
        auth = parts.parts(settings, connection, store, realtime.unrestored_sessions)
        bearers = await closing.enter_async_context(parts.bearers(settings, auth, breakers))
        if settings.enable_metrics and settings.metrics_port is not None:
            closing.callback(metrics.serve(settings.host, settings.metrics_port, shared=True))
        described = openapi.document(ROUTES, settings)
        context = Context(
            settings=settings,
            bearers=bearers,
            links=auth.links,
            revocations=auth.revocations,
            tenants=tenants,
            quotas=quotas,
            connection=connection,
            store=store,
            recovery=storage.recovery,
            access_log=storage.access_log,
            webhooks=_webhooks(store, closing),
            sessions=realtime.sessions,
            redis_sessions=here.sessions,
            clock=here.clock,
            subscriptions=here.subscriptions,
            relay=realtime.relay,
            timekeeper=realtime.timekeeper,
            replicas=replicas,
            restorer=restorer,
            readiness=readiness,
            commands=chain.of_commands(carry_out),
            openapi=msgspec.json.encode(described),
            docs=File(docs.page(described), TYPES["html"], docs.HEADERS),
            closing=closing.pop_all(),
        )
    _look_after_sockets(context)
    return context


async def _storage(
    settings: Settings,
    given: Connection | None,
    breakers: Breakers,
    features: Features,
    closing: AsyncExitStack,
) -> _Storage:
    """Redis, and PostgreSQL with the access log, which has connections of its own."""
    store = access_log = recovery = None
    if settings.database_url is not None:
        store = Store(settings.database_url, breakers=breakers)
        closing.push_async_callback(store.aclose)
        records = Store(settings.database_url, max_size=ACCESS_LOG_CONNECTIONS, breakers=breakers)
        closing.push_async_callback(records.aclose)
        access_log = AccessLog(records)
        await _start(access_log, closing)
    connection = given
    if connection is None:
        connection = await connect(settings, breakers)
        closing.push_async_callback(connection.aclose)
    if store is not None:
        others = Others(settings)
        closing.push_async_callback(others.aclose)
        recovery = Recovery(connection, store, settings.redis_address, others, features.schema_of)
    return _Storage(connection, store, access_log, recovery)


async def _realtime(
    settings: Settings, storage: _Storage, features: Features, closing: AsyncExitStack
) -> _Realtime:
    """The parts that follow sessions, started.

    The relay and the timekeeper handle sessions that are gone in their own ways, so their calls restore none.
    """
    connection, recovery = storage.connection, storage.recovery
    clock = ServerClock(connection)
    subscriptions = Subscriptions(connection)
    schema_of = features.schema_of
    long_clocks = settings.long_clocks
    redis_sessions = Sessions(connection, settings.session_ttl, schema_of=schema_of, long_clocks=long_clocks)
    here = Deployment(redis_sessions, subscriptions, clock)
    following = Following(settings, here)
    closing.push_async_callback(following.aclose)
    relay = Relay(here.sessions, subscriptions, clock, recovery, following)
    unrestored_sessions = Sessions(connection, settings.session_ttl, moved=following)
    timekeeper = Timekeeper(connection, unrestored_sessions, subscriptions, clock)
    for part in (clock, subscriptions, relay):
        await _start(part, closing)
    # The rest of the start keeps this process busy. Others are to count on it no earlier than clients do.
    await timekeeper.start(join=False)
    closing.push_async_callback(timekeeper.stop)
    sessions = Sessions(
        connection, settings.session_ttl, recovery, following, schema_of, long_clocks=long_clocks
    )
    return _Realtime(here, relay, timekeeper, sessions, unrestored_sessions)


async def _audit(settings: Settings, storage: _Storage, closing: AsyncExitStack) -> Restorer | None:
    """What empties the outboxes, and the restorer; both started. None without a restorer."""
    connection, store, recovery = storage.connection, storage.store, storage.recovery
    if store is None or recovery is None:
        await _start(OutboxTrimmer(connection), closing)
        return None
    await _start(Archiver(connection, Jobs.of(settings)), closing)
    if not settings.restore_rate:
        return None
    restorer = Restorer(
        Losses(connection),
        store,
        recovery,
        Jobs.of(settings),
        rate=settings.restore_rate,
        ttl_s=settings.session_ttl,
    )
    await _start(restorer, closing)
    return restorer


def _quotas(settings: Settings, tenants: Tenants, storage: _Storage, closing: AsyncExitStack) -> QuotaKeeper:
    """What holds tenants to their quotas, with what goes on for that in the background."""
    quotas = QuotaKeeper(tenants, TenantCounts(storage.connection, secrets.token_hex(8)), storage.store)
    if settings.tenants_file is not None:
        closing.push_async_callback(quotas.close)
        _repeat("tenants file", tenants.watch, closing)
        _repeat("numbers of sockets", quotas.tell_sockets, closing)
        if storage.store is not None:
            _repeat("sessions that are not counted", quotas.recount, closing)
    return quotas


def _webhooks(store: Store | None, closing: AsyncExitStack) -> Webhooks | None:
    """The tenants' webhooks, which workers send to; None without PostgreSQL."""
    if store is None:
        return None
    webhooks = Webhooks(store)
    closing.callback(webhooks.close)
    return webhooks


def _look_after_sockets(context: Context) -> None:
    """Have open sockets looked at in the background: what waits for them, and the tokens that they have."""
    _repeat("unread bytes of sockets", partial(endpoint.bound_unread, context), context.closing)
    if context.bearers.required:
        _repeat("tokens of sockets", partial(endpoint.check_tokens, context), context.closing)


async def _start(part: _Part, closing: AsyncExitStack) -> None:
    """Start a part, and stop it at the end."""
    await part.start()
    closing.push_async_callback(part.stop)


def _repeat(name: str, loop: Callable[[], Awaitable[None]], closing: AsyncExitStack) -> None:
    """Run a loop in the background until the end."""
    closing.push_async_callback(cancel, asyncio.create_task(supervise(name, loop), name=name))
