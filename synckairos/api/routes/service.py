"""Routes about the service itself: its clock, its health, its metrics, its description."""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus

from synckairos import __version__, metrics
from synckairos.api import limits, origin, replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.audit import inspection
from synckairos.auth.access import Action
from synckairos.core.shared_reads import SharedReads
from synckairos.errors import (
    Forbidden,
    SessionNotFound,
    StorageUnavailable,
    ValidationError,
)

DRIFT_TOLERANCE_MS = 50
"""How far a client's estimate of the server's clock may drift before the client should ask again."""

_metrics = SharedReads()
_ORDER: dict[str, int] = {"ok": 0, "degraded": 1, "unready": 2}


async def get_time(request: ApiRequest) -> Reply:
    """The server's clock, which is the clock of the Redis primary.

    Its offset from this process' clock is measured every few seconds. So the two times, of the request and of
    the answer, are known without a call to Redis.
    """
    clock = request.context.clock
    received = clock.now_ms()
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    reader.check()
    if math.isinf(clock.uncertainty_ms()):
        raise StorageUnavailable("the server's clock is not known yet")
    transmit = int(clock.now_ms())
    reply = replies.document(
        schemas.Time(
            timestamp_ms=transmit,
            receive_ms=min(int(received), transmit),
            transmit_ms=transmit,
            server_version=__version__,
            drift_tolerance_ms=DRIFT_TOLERANCE_MS,
        )
    )
    reply.headers["cache-control"] = "no-store"
    # Pages of any origin may import the client, and the client asks for the time before its socket is open.
    # Where nobody is asked for a token, pages of others have no socket, and nothing here is for them.
    if request.context.bearers.required or origin.foreign(request.headers, request.context.settings) is None:
        reply.headers["access-control-allow-origin"] = "*"
    return reply


async def get_health(_: ApiRequest) -> Reply:
    """Answers as long as the process is alive, even when Redis or PostgreSQL is away."""
    return replies.document(schemas.Health("ok"))


async def get_ready(request: ApiRequest) -> Reply:
    """Whether the service can do its work, and which parts are missing. Answers at once, whatever hangs."""
    context = request.context
    checks = await context.readiness.checks()
    if context.draining and not request.app.ctx.connections.replaced:
        checks["service"] = schemas.Check("unready", "shutting down")
    worst = max((check.status for check in checks.values()), key=_ORDER.__getitem__)
    status = HTTPStatus.SERVICE_UNAVAILABLE if worst == "unready" else HTTPStatus.OK
    return replies.document(schemas.Ready(worst, checks), status)


async def debug_session(request: ApiRequest, session_id: str) -> Reply:
    """A session as Redis and the audit store have it. Either may be away, and nothing is restored."""
    reader = Reader(request)
    session_id = reader.session_id(session_id)
    reader.check()
    context = request.context
    found = await inspection.inspect(context.connection, context.store, session_id, request.caller.tenant)
    reader.query(schemas.NoQuery)  # what is wrong with a request for another's session is not told
    reader.check()
    reply = replies.document(schemas.InspectionDocument(found))
    reply.headers["cache-control"] = "no-store"
    return reply


async def get_metrics(_: ApiRequest) -> Reply:
    """Metrics of all worker processes, for Prometheus.

    Writing them takes many milliseconds, so those who ask at the same time get the same.
    """
    text = await _metrics.read("metrics", lambda: asyncio.to_thread(metrics.render))
    return Reply(text, content_type=metrics.CONTENT_TYPE)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/time",
        get_time,
        "The server's clock",
        "service",
        reply=schemas.Time,
        limit=limits.TIME,
        errors=(StorageUnavailable,),
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/health",
        get_health,
        "Whether the process is alive",
        "service",
        reply=schemas.Health,
        unlimited=True,
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/ready",
        get_ready,
        "Whether the service can do its work; 503 with the same body when it cannot",
        "service",
        reply=schemas.Ready,
        unlimited=True,
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/debug/sessions/{session_id}",
        debug_session,
        "What each store has of a session, and whether they agree (admins)",
        "service",
        reply=schemas.InspectionDocument,
        errors=(Forbidden, SessionNotFound, StorageUnavailable, ValidationError),
        needs_redis=False,
        action=Action.DEBUG,
    ),
    Route(
        "GET",
        "/metrics",
        get_metrics,
        "Metrics for Prometheus",
        "service",
        content_type=metrics.CONTENT_TYPE,
        action=Action.READ_METRICS,
    ),
)
