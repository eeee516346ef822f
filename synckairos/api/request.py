"""The request, with the service's own headers, the caller and the process' context."""

from __future__ import annotations

import itertools
import re
import secrets
from time import perf_counter
from typing import Any

from sanic import Request
from sanic.exceptions import BadURL, URITooLong

from synckairos.api.address import client_address
from synckairos.api.context import Context, context_of
from synckairos.api.transport.http1 import Http1
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import StorageUnavailable
from synckairos.tracing.spans import current
from synckairos.tracing.traceparent import TRACE_ID, is_traceparent

_REQUEST_ID = re.compile(r"[!-~]{1,128}")

# Request ids only have to be unique, and a random prefix with a counter costs less than a UUID.
_new_ids = map(f"{secrets.token_hex(12)}{{:08x}}".format, itertools.count())


class ApiRequest(Request):
    """Sanic's request. The service's own headers are read when they are first asked for."""

    __slots__ = (
        "_request_id",
        "caller",
        "created",
        "player",
        "recorded",
        "reply_headers",
        "started",
        "storage_away",
    )

    started: float
    """When its head was read (seconds of `perf_counter`)."""
    reply_headers: dict[str, str]
    """Headers for the answer, whether it is a success or an error."""
    caller: Caller
    """Who calls, once it was let in (`synckairos.api.gate`)."""
    player: str | None
    """The participant as whom the library has to judge the call; None when a role allows it anyway."""
    created: str | None
    """The id of the session that it has created."""
    recorded: bool
    """Whether what it did, or was refused, is on record already (`synckairos.api.on_record`)."""
    storage_away: StorageUnavailable | None
    """Why the request was not counted against its limit, when that was because Redis is away."""

    def __init__(
        self, url_bytes: bytes, headers: Any, version: str, method: str, *args: Any, **kwargs: Any
    ) -> None:
        try:
            super().__init__(url_bytes, headers, version, method, *args, **kwargs)
        except (BadURL, URITooLong):
            # To answer a request that it could not read, Sanic makes an empty request (method NONE) with the
            # same URL. When the URL itself is the problem, that request must not fail too, because then the
            # client would get no answer.
            if method != "NONE":
                raise
            super().__init__(b"*", headers, version, method, *args, **kwargs)
        self.caller = ANONYMOUS
        self.player = None
        self.created = None
        self.recorded = False
        self.storage_away = None
        self._request_id: str | None = None
        self.started = perf_counter()
        self.reply_headers = {}

    @property
    def request_id(self) -> str:
        """`X-Request-Id` when it is 1-128 visible ASCII characters, else a new one."""
        if self._request_id is None:
            given = self.headers.get("x-request-id")
            valid = given is not None and _REQUEST_ID.fullmatch(given) is not None
            self._request_id = str(given) if valid else next(_new_ids)
        return self._request_id

    @property
    def traceparent(self) -> str | None:
        """The W3C `traceparent`, when there is one and it is well-formed."""
        given = self.headers.get("traceparent")
        return str(given) if given is not None and is_traceparent(given) else None

    @property
    def trace_id(self) -> str | None:
        """The trace that the request belongs to: 32 hex digits. It came with it, or was begun for it."""
        span = current()
        if span is not None:
            return span.trace_id
        traceparent = self.traceparent
        return None if traceparent is None else traceparent[TRACE_ID]

    @property
    def address(self) -> str:
        """The client's address; see `client_address`."""
        return client_address(self.headers, self.ip, self.context.settings.trusted_proxies)

    @property
    def http(self) -> Http1:
        """The connection's HTTP, from which the body is read."""
        stream = self.stream
        assert isinstance(stream, Http1)
        return stream

    async def receive_body(self) -> None:
        """Sanic reads the body before it calls a handler; here it is read once the caller was let in."""

    @property
    def context(self) -> Context:
        """The context of the process that answers."""
        return context_of(self.app)
