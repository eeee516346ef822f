"""The request: what the service reads from it beside path and body."""

from __future__ import annotations

import itertools
import re
import secrets
from typing import Any

from sanic import Request
from sanic.exceptions import BadURL, URITooLong

from synckairos.api.caller import Caller, identify
from synckairos.api.limits import Taken

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)

# Unique is enough, and a counter behind a random start costs less than a UUID.
_new_ids = map(f"{secrets.token_hex(12)}{{:08x}}".format, itertools.count())


class ApiRequest(Request):
    """Sanic's request with the service's own headers read once, when they are first asked for."""

    __slots__ = ("_caller", "_request_id", "taken")

    taken: Taken | None

    def __init__(
        self, url_bytes: bytes, headers: Any, version: str, method: str, *args: Any, **kwargs: Any
    ) -> None:
        try:
            super().__init__(url_bytes, headers, version, method, *args, **kwargs)
        except (BadURL, URITooLong):
            # To answer a request that it could not read, Sanic makes an empty one (method NONE) with the same
            # URL. Where the URL is what could not be read, that one must not fail again, or nobody is
            # answered.
            if method != "NONE":
                raise
            super().__init__(b"*", headers, version, method, *args, **kwargs)
        self._caller: Caller | None = None
        self._request_id: str | None = None
        self.taken = None

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
        if given is None or (match := _TRACEPARENT.fullmatch(given)) is None:
            return None
        return None if given.startswith("00") and match[2] is not None else str(given)

    @property
    def trace_id(self) -> str | None:
        """The trace id in `traceparent`: 32 hex digits."""
        traceparent = self.traceparent
        return None if traceparent is None else traceparent[3:35]

    @property
    def caller(self) -> Caller:
        """Who is calling."""
        if self._caller is None:
            self._caller = identify(self)
        return self._caller

    @property
    def address(self) -> str:
        """The client's address: the peer's, or with TRUST_PROXY what the proxy in front saw as its own peer.

        That is the last entry of `X-Forwarded-For`. Those before it are what the client claims.
        """
        if self.app.ctx.settings.trust_proxy:
            forwarded = ",".join(self.headers.getall("x-forwarded-for", [])).rpartition(",")[2].strip()
            if forwarded:
                return str(forwarded)
        return str(self.ip) or "local"
