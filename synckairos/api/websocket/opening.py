"""How a socket comes by its caller: where its token is, and what a bad one leads to.

A token comes in the `Authorization` header, as the subprotocol `bearer.<token>`, in `?token=` or, after the
upgrade, as the first message. Limits are answered before the upgrade, over HTTP. A bad token is answered by a
close code after it, because a page in a browser cannot see the status of a refused upgrade.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from synckairos.api import gate, limits
from synckairos.api.request import ApiRequest
from synckairos.api.websocket.grant import Grant
from synckairos.api.websocket.messages import Auth, decode, parse
from synckairos.api.websocket.socket import MAX_UNREAD, Socket
from synckairos.api.websocket.strangers import Strangers
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.core.model import Throttle
from synckairos.errors import (
    Forbidden,
    RateLimitExceeded,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    ValidationError,
)

FIRST_MESSAGE_S = 5.0
"""How long a client has to send its token as the first message."""

_NO_AUTH = "the first message has to be AUTH with a token"
_SUBPROTOCOL = "bearer."
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Interrupted(Exception):
    """The client went away, or the service stops, before the token came."""


class Opening:
    """One socket, counted as long as the block of `async with` lasts.

    away: whether the primary has just failed to answer
    """

    def __init__(self, request: ApiRequest, strangers: Strangers) -> None:
        self.away = False
        self._request = request
        self._bearers = request.context.bearers
        self._strangers = strangers
        self._caller: Caller | None = None
        self._refusal: SyncKairosError | None = None
        self._waiting = AsyncExitStack()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Before the upgrade. Raises RateLimitExceeded, QuotaExceeded and StorageUnavailable."""
        if not self._bearers.required:
            self._caller = ANONYMOUS
            await self._count(limits.SOCKETS_WITHOUT_TOKEN)
            return self
        try:
            bearer = _bearer(self._request)
            if bearer is not None:
                self._caller = await self._identify(bearer)
        except (Unauthenticated, Forbidden) as error:
            self._refusal = error
        if self._caller is not None:
            await self._count(limits.SOCKETS)
            return self
        if self._request.context.settings.rate_limit_enabled:
            self._count_stranger()
        if self._refusal is None:
            self._waiting.enter_context(self._strangers.waiting(self._request.address))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._waiting.aclose()
        await self._open.aclose()

    def _count_stranger(self) -> None:
        """Count a socket without a good token. Raises RateLimitExceeded."""
        try:
            self._strangers.open(self._request.address)
        except RateLimitExceeded as error:
            limit, after_ms = limits.SOCKETS_WITHOUT_TOKEN, error.retry_after_ms or 0
            limits.show(self._request, limit, Throttle(True, limit.count, 0, after_ms, after_ms))
            raise

    async def grant(self, socket: Socket) -> Grant:
        """After the upgrade: the caller, for whom the token is waited for if it has not come yet.

        Raises Unauthenticated, Forbidden, RateLimitExceeded, QuotaExceeded and StorageUnavailable, with which
        the socket has to be closed, and Interrupted.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._caller is None:
            socket.keep(1)  # what comes after the token is not kept for a stranger
            self._caller = await self._identify(await _first_message(socket))
            self._strangers.known(self._request.address)
            await self._waiting.aclose()
            await self._count(limits.SOCKETS)
            socket.keep(MAX_UNREAD)
        return Grant(self._caller, self._bearers)

    async def _identify(self, bearer: str) -> Caller:
        """The caller of a bearer, who may watch. Raises Unauthenticated, Forbidden, StorageUnavailable."""
        caller = await gate.caller_of(self._request, bearer, opens_socket=True)
        self._request.caller = caller
        access.permit(caller, Action.READ)
        return caller

    async def _count(self, limit: limits.RateLimit) -> None:
        """Count the socket of a caller who is known.

        While there is no primary, a replica may show the session. Raises RateLimitExceeded, QuotaExceeded and
        StorageUnavailable.
        """
        try:
            await limits.take(self._request, limit)
            await self._open.enter_async_context(
                self._request.context.quotas.socket(self._request.caller.tenant)
            )
        except StorageUnavailable:
            context = self._request.context
            if not context.replicas.may_have(self._request.args.get("session_id", "").lower()):
                raise
            self.away = True


def _bearer(request: ApiRequest) -> str | None:
    """The bearer in a request's head; None when there is none. Raises Unauthenticated for more than one."""
    offered = ",".join(request.headers.getall("sec-websocket-protocol", [])).split(",")
    found = [gate.bearer_of(given) for given in request.headers.getall("authorization", [])]
    found += [
        name.strip().removeprefix(_SUBPROTOCOL) for name in offered if name.strip().startswith(_SUBPROTOCOL)
    ]
    # Addresses end up in the logs of proxies, where only a token that soon ends does little harm.
    for token in request.args.getlist("token", []):
        if _JWT.fullmatch(token) is None:
            raise Unauthenticated("only a JWT may stand in the address")
        found.append(token)
    if len(found) > 1:
        raise Unauthenticated("more than one token was given")
    return found[0] if found else None


async def _first_message(socket: Socket) -> str:
    """The token in the first message. Raises Unauthenticated for another message, and for none in time."""
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S), aclosing(socket.messages()) as messages:
            async for text, _ in messages:
                message = parse(decode(text))
                if not isinstance(message, Auth):
                    raise Unauthenticated(_NO_AUTH)
                return message.token
    except TimeoutError:
        raise Unauthenticated("no token came in time") from None
    except ValidationError as error:
        raise Unauthenticated(_NO_AUTH) from error
    raise Interrupted
