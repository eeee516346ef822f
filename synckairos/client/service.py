"""The parts that the sessions of one client share: the service's address, the token, and calls over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from synckairos.client.errors import UnexpectedAnswer
from synckairos.client.http import Answer, Token
from synckairos.client.model import State, read_state
from synckairos.client.server_time import ServerTime


class Request(Protocol):
    """The parameters of `SyncKairos.request` that sessions use."""

    def __call__(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None
    ) -> Awaitable[Any]:
        """Make a call over HTTP. Returns the answer's `data`. Raises SyncKairosErrors."""


class Call(Protocol):
    """The parameters of `Http.call` that sessions use."""

    def __call__(
        self, method: str, path: str, body: Any = None, *, idempotency_key: str | None = None
    ) -> Awaitable[Answer]:
        """Make a call over HTTP. Raises SyncKairosErrors."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """One service.

    url: with `http://` or `https://`, without a slash at its end
    token: for each connection; see `SyncKairos`
    reconnect_attempts: how often in a row a session tries to connect again; `math.inf`: for ever
    time: the server's time, which all sessions of a client share
    request: makes a call over HTTP; call: the same, with more of the answer
    """

    url: str
    token: Token
    reconnect_attempts: float
    time: ServerTime
    request: Request
    call: Call

    async def state(self, path: str) -> State:
        """The state at this path. Raises UnexpectedAnswer, and the errors of `request`."""
        answer = await self.request("GET", path)
        try:
            return read_state(answer)
        except msgspec.ValidationError as error:
            raise UnexpectedAnswer(f"a state that this client does not understand: {error}") from error

    @property
    def socket_url(self) -> str:
        """The address of its WebSockets."""
        scheme, _, rest = self.url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws"
