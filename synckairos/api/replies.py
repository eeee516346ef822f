"""Responses. The JSON that the library returned goes into them as it is, without decoding and encoding."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec
from sanic.response import BaseHTTPResponse

from synckairos import metrics
from synckairos.core.model import Change, State
from synckairos.core.replicas import Stale
from synckairos.errors import RateLimitExceeded, SyncKairosError

JSON = "application/json"
DEFAULT_RETRY_AFTER_MS = 1000
_AWAY = HTTPStatus.SERVICE_UNAVAILABLE


class Reply(BaseHTTPResponse):
    """A response whose headers are a plain dict of lower-case names and checked values.

    Sanic's own classes keep headers in a multidict and clean each name and value while sending. Here each
    value is made in this package or has matched a pattern of visible characters, so no cleaning is needed.
    With seven headers this takes 3 microseconds instead of 28.
    """

    __slots__ = ()

    def __init__(
        self,
        body: bytes = b"",
        status: int = HTTPStatus.OK,
        content_type: str = JSON,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.asgi = False
        self.body = body
        self.content_type = content_type
        self.stream = None
        self.status = status
        self.headers: Any = {} if headers is None else headers
        self._cookies = None

    @property
    def processed_headers(self) -> Any:
        """The headers as pairs of bytes, in the form that Sanic's HTTP/1.1 writer takes."""
        if self.body:
            self.headers["content-type"] = self.content_type
        return [(name.encode(), str(value).encode()) for name, value in self.headers.items()]


def document(value: object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Reply:
    """A small value as JSON."""
    return Reply(msgspec.json.encode(value), status, headers=headers)


def state(
    state: State, status: int = HTTPStatus.OK, *, after: int | None = None, replayed: bool = False
) -> Reply:
    """`{"data": <state>}` with its ETag. after: the version that a change made before the state was read."""
    headers = {"etag": etag(state)}
    if after is not None:
        headers["change-version"] = str(after)
    if replayed:
        headers["idempotent-replayed"] = "true"
    return Reply(b'{"data":' + state.raw + b"}", status, headers=headers)


def stale(found: Stale) -> Reply:
    """`{"data": <state>, "stale": {"age_ms"}}`: a state of a replica, with the header `Age` in seconds.

    It has no ETag, so that nobody takes it for what the primary has.
    """
    metrics.stale_reads.labels("http").inc()
    body = b'{"data":%b,"stale":{"age_ms":%d}}' % (found.state.raw, found.age_ms)
    return Reply(body, headers={"age": str(seconds(found.age_ms)), "cache-control": "no-store"})


def change(change: Change, status: int = HTTPStatus.OK, *, replayed: bool = False) -> Reply:
    """`{"data": <the change's payload, session_id, version, epoch, server_time_ms>}`."""
    headers = {"idempotent-replayed": "true"} if replayed else None
    body = b'{"data":%b,"session_id":"%b","version":%d,"epoch":"%b","server_time_ms":%d}}' % (
        change.payload[:-1],
        change.session_id.encode(),
        change.version,
        change.epoch.encode(),
        change.server_time_ms,
    )
    return Reply(body, status, headers=headers)


def nothing() -> Reply:
    """The answer to a call that changed nothing."""
    return Reply(b'{"data":null}')


def failure(error: SyncKairosError) -> Reply:
    """The answer to a request that failed. All errors have the same shape."""
    metrics.errors.labels(error.code).inc()
    headers: dict[str, str] = {}
    if error.retry_after_ms is not None or isinstance(error, RateLimitExceeded) or error.status == _AWAY:
        headers["retry-after"] = str(seconds(error.retry_after_ms or DEFAULT_RETRY_AFTER_MS))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return document(error.body(), error.status, headers)


def etag(state: State) -> str:
    """`"<version>@<epoch>"`, with the quotes. It changes with the state, and not while a clock runs."""
    return f'"{state.version}@{state.epoch}"'


def seconds(milliseconds: int) -> int:
    """Milliseconds as whole seconds for a header, rounded up, so that waiting this long is enough."""
    return math.ceil(milliseconds / 1000)
