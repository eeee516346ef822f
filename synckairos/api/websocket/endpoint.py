"""The route `/ws`: it makes requests WebSockets, and closes these when the service stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

import structlog
from sanic import Sanic

from synckairos.api import gate, origin
from synckairos.api.context import Context, context_of
from synckairos.api.request import ApiRequest
from synckairos.api.transport import unread
from synckairos.api.websocket.conversation import Conversation
from synckairos.api.websocket.opening import Opening
from synckairos.api.websocket.socket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    Socket,
    upgrade,
)
from synckairos.api.websocket.strangers import Strangers
from synckairos.errors import (
    RateLimitExceeded,
    ValidationError,
)

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SUBPROTOCOL = "synckairos.v1"
CHECK_TOKENS_EVERY_S = 0.5
LOOK_AT_UNREAD_EVERY_S = 0.5
CHECKED_IN_A_ROW = 200
"""How many sockets are looked at before others get a turn."""
CLOSED_IN_A_ROW = 50
SPREAD_S = 2.0
"""Over how long a process that was replaced closes its sockets, so many at a time.

All of them connect again soon, and the other processes answer requests meanwhile.
"""
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

    def __init__(self) -> None:
        self._strangers = Strangers()

    async def __call__(self, request: ApiRequest) -> None:
        context = request.context
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise ValidationError(
                "this is a WebSocket; the request has to be a WebSocket handshake",
                details=[{"field": "Upgrade", "message": "must be websocket"}],
            )
        _check_origin(request)
        if context.draining:
            # As it would be a moment later. A refusal could be taken for one by the whole service.
            socket = upgrade(request, SUBPROTOCOL)
            socket.end(GOING_AWAY, "the service is shutting down")
            with suppress(asyncio.CancelledError):  # by Sanic, when the client has closed the connection
                await socket.closed
            return
        async with Opening(request, self._strangers) as opening:
            if len(context.websockets) >= context.settings.max_websockets:
                raise RateLimitExceeded("this process has as many WebSockets as it may have")
            socket = upgrade(request, SUBPROTOCOL)
            await self._converse(context, socket, Conversation(request, socket, opening))

    @staticmethod
    async def _converse(context: Context, socket: Socket, conversation: Conversation) -> None:
        """Answer the client until the connection is gone."""
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


async def check_tokens(context: Context) -> None:
    """Look again and again which sockets have tokens that end, have ended or were revoked."""
    while True:
        await asyncio.sleep(CHECK_TOKENS_EVERY_S)
        for number, websocket in enumerate(list(context.websockets), 1):
            websocket.check_token()
            if number % CHECKED_IN_A_ROW == 0:
                await asyncio.sleep(0)


async def bound_unread(context: Context) -> None:
    """Look again and again how much waits for clients that do not read. Ends only by cancellation."""
    while True:
        await asyncio.sleep(LOOK_AT_UNREAD_EVERY_S)
        unread.make_room(websocket.socket for websocket in context.websockets)


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
    replaced = app.ctx.connections.replaced
    for number, conversation in enumerate(conversations, 1):
        conversation.socket.drain()
        if replaced and number % CLOSED_IN_A_ROW == 0 and number < len(conversations):
            await asyncio.sleep(SPREAD_S * CLOSED_IN_A_ROW / len(conversations))
    if conversations:
        await asyncio.wait([conversation.socket.closed for conversation in conversations], timeout=DRAIN_S)
    for conversation in conversations:
        conversation.socket.end(GOING_AWAY, "the service is shutting down")
