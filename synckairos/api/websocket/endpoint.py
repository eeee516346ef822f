"""The route `/ws`: it makes requests WebSockets, and closes these when the service stops."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import structlog
from sanic import Sanic

from synckairos.api import gate, limits, origin
from synckairos.api.context import context_of
from synckairos.api.request import ApiRequest
from synckairos.api.websocket.conversation import Conversation
from synckairos.api.websocket.socket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    upgrade,
)
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.errors import (
    RateLimitExceeded,
    StorageUnavailable,
    ValidationError,
)

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SUBPROTOCOL = "synckairos.v1"
DRAIN_S = 5.0
"""When the service stops: how long answering the messages that have arrived may take."""


def register(app: Sanic[Any, Any]) -> None:
    """Add `/ws` to the application."""
    app.enable_websocket()
    app.add_route(_Endpoint(), "/ws", methods=("GET",), name="websocket", ctx_label=("/ws", "GET"))
    app.before_server_stop(_close_all)


class _Endpoint:
    """Answers `/ws`."""

    __name__ = "websocket"
    is_websocket: ClassVar = True
    """Tells Sanic that there is no HTTP response to wait for."""

    async def __call__(self, request: ApiRequest) -> None:
        context = request.context
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise ValidationError(
                "this is a WebSocket; the request has to be a WebSocket handshake",
                details=[{"field": "Upgrade", "message": "must be websocket"}],
            )
        if context.draining:
            raise StorageUnavailable("the service is shutting down")
        _check_origin(request)
        request.caller = await gate.identify(request)
        access.permit(request.caller, Action.READ)
        away = False
        try:
            await limits.consume_per_address(request, limits.WEBSOCKET)
        except StorageUnavailable:
            if not context.replicas.may_have(request.args.get("session_id", "").lower()):
                raise
            away = True
        if len(context.websockets) >= context.settings.max_websockets:
            raise RateLimitExceeded("this process has as many WebSockets as it may have")
        socket = upgrade(request, SUBPROTOCOL)
        conversation = Conversation(request, socket, away=away)
        context.websockets.add(conversation)
        try:
            await conversation.run()
            await socket.closed
        except asyncio.CancelledError:
            if not socket.closed.done():
                raise
            # The client has closed the connection, so Sanic cancels this task. The request did not fail.
        except Exception:
            logger.exception("a WebSocket failed")
            socket.end(INTERNAL_ERROR, "something went wrong inside the service")
        finally:
            context.websockets.discard(conversation)


def _check_origin(request: ApiRequest) -> None:
    """Refuse pages of other origins when ALLOWED_ORIGINS is set, and always with AUTH_MODE=none.

    Browsers let any page open a WebSocket and only send its `Origin`. A client without that header is not a
    browser and may connect, and so may the service's own pages. Raises Forbidden, ValidationError.
    """
    gate.check_page(request, changes=True)
    if request.context.settings.allowed_origins:
        origin.check_origin(request.headers, request.context.settings)


async def _close_all(app: Sanic[Any, Any]) -> None:
    """Let every conversation answer the messages that have arrived, then close its WebSocket."""
    context = context_of(app)
    context.draining = True
    conversations = list(context.websockets)
    for conversation in conversations:
        conversation.socket.drain()
    if conversations:
        await asyncio.wait([conversation.socket.closed for conversation in conversations], timeout=DRAIN_S)
    for conversation in conversations:
        conversation.socket.end(GOING_AWAY, "the service is shutting down")
