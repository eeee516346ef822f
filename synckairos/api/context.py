"""The parts of a process that serves: one typed object, from which every handler gets them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from sanic import Sanic

from synckairos.api.closed import Closed
from synckairos.api.closed_addresses import ClosedAddresses
from synckairos.api.delivery.site import File
from synckairos.api.heavy_calls import HeavyCalls
from synckairos.api.quotas import QuotaKeeper
from synckairos.api.readiness import Readiness
from synckairos.api.websocket.socket import Socket
from synckairos.audit.access_log.queue import AccessLog
from synckairos.audit.recovery import Recovery
from synckairos.audit.restorer import Restorer
from synckairos.audit.store import Store
from synckairos.auth.bearer import Bearers
from synckairos.auth.links import Links
from synckairos.auth.revocations import Revocations
from synckairos.auth.tenants import Tenants
from synckairos.chain.middleware import Step
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.replicas import Replicas
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.realtime.timekeeper import Timekeeper
from synckairos.webhooks.tables import Webhooks


class OpenWebSocket(Protocol):
    """A WebSocket that has to be closed when the process stops, or when its token does."""

    @property
    def socket(self) -> Socket:
        """Its socket."""

    def check_token(self) -> None:
        """Tell the client that its token ends soon, or close when it has ended or was revoked."""


@dataclass(slots=True, kw_only=True)
class Context:
    """The parts of one process. It is made when the process starts, before the first request.

    store, recovery, access_log, webhooks: None without an audit store
    restorer: None without an audit store, and with RESTORE_RATE=0
    sessions: the calls, which first restore a session that Redis has lost from the audit store
    redis_sessions: the same calls, which only ask Redis
    commands: the chain of the commands of sockets
    openapi, docs: the description of the API, as JSON and as HTML
    drawing: held by the request whose picture is being drawn, from the reading of its events on
    closed_seekers: the callers who have named too many sessions that are not there
    draining: whether the process is stopping and takes no new work
    closing: undoes the steps of the start in reverse order
    """

    settings: Settings
    bearers: Bearers
    links: Links
    revocations: Revocations
    tenants: Tenants
    quotas: QuotaKeeper
    heavy_calls: HeavyCalls = field(default_factory=HeavyCalls)
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)
    closed_addresses: ClosedAddresses = field(default_factory=ClosedAddresses)
    closed_seekers: Closed = field(default_factory=Closed)
    connection: Connection
    store: Store | None
    recovery: Recovery | None
    access_log: AccessLog | None
    webhooks: Webhooks | None
    sessions: Sessions
    redis_sessions: Sessions
    clock: ServerClock
    subscriptions: Subscriptions
    relay: Relay
    timekeeper: Timekeeper
    replicas: Replicas
    restorer: Restorer | None
    readiness: Readiness
    commands: Step
    openapi: bytes
    docs: File
    closing: AsyncExitStack
    websockets: set[OpenWebSocket] = field(default_factory=set)
    draining: bool = False


def context_of(app: Sanic[Any, Any]) -> Context:
    """The context of a process whose server has started."""
    context: Context = app.ctx.context
    return context
