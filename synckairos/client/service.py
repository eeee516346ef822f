"""The parts that the sessions of one client share: the service's address, the token, and calls over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from synckairos.client.http import Token
from synckairos.client.server_time import ServerTime


class Request(Protocol):
    """The parameters of `SyncKairos.request` that sessions use."""

    def __call__(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None
    ) -> Awaitable[Any]:
        """Make a call over HTTP. Returns the answer's `data`. Raises SyncKairosErrors."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """One service.

    url: with `http://` or `https://`, without a slash at its end
    token: for each connection; see `SyncKairos`
    reconnect_attempts: how often in a row a session tries to connect again; `math.inf`: for ever
    time: the server's time, which all sessions of a client share
    request: makes a call over HTTP
    """

    url: str
    token: Token
    reconnect_attempts: float
    time: ServerTime
    request: Request

    @property
    def socket_url(self) -> str:
        """The address of its WebSockets."""
        scheme, _, rest = self.url.partition("://")
        return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws"
