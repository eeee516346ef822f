"""Requests, from Sanic into their chain, and out again as answers: errors in one shape, ids, CORS.

What a request goes through in between is in `synckairos.api.chain`. Errors that occur before a route is found
go to `Failures`. Sanic's own middleware is not used: it is not run for them, and adds awaits to all others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter
from typing import Any

import sanic.exceptions
from sanic.handlers import ErrorHandler
from sanic.response import BaseHTTPResponse

from synckairos.api import on_record, replies
from synckairos.api.calls import RequestCall, described, observe
from synckairos.api.delivery import answers as delivery
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action
from synckairos.chain.call import Kind
from synckairos.chain.logging import log
from synckairos.chain.middleware import Step
from synckairos.errors import (
    CircuitOpen,
    InternalError,
    MethodNotAllowed,
    NetworkTimeout,
    NotFound,
    SyncKairosError,
    ValidationError,
)

_EXPOSED = (
    "ETag, Idempotent-Replayed, Location, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, "
    "RateLimit-Reset, Retry-After, X-Request-Id"
)
_ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, traceparent"
)
_PREFLIGHT_S = "600"
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

Endpoint = Callable[..., Awaitable[BaseHTTPResponse]]


def endpoint(route: Route, step: Step) -> Endpoint:
    """What Sanic calls for a route: a request goes into the route's chain, and comes out as an answer.

    step: the chain, see `synckairos.api.chain`
    """
    by_token = route.action is not Action.PUBLIC

    async def answer(request: ApiRequest, **path: str) -> Reply:
        call = RequestCall(request, route, path)
        try:
            reply: Reply = await step(call)
        except SyncKairosError as error:
            reply = await _failed(request, error)
            if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
                reply.headers["accept"] = "application/json"
                reply.headers["allow"] = allow(request)
        finish(request, reply, by_token=by_token)
        return reply

    answer.__name__ = route.name
    return answer


async def _failed(request: ApiRequest, error: SyncKairosError) -> Reply:
    """The answer to a request that failed. A browser gets a page where there is nothing."""
    reply = replies.failure(error)
    page = await delivery.missing(request) if isinstance(error, NotFound) else None
    return reply if page is None else page


def finish(request: ApiRequest, reply: Reply, *, by_token: bool = False) -> None:
    """Add the headers that every answer has.

    by_token: whether the answer depends on the token. No cache keeps it then, nor any answer of `/v1`.
    """
    headers = reply.headers
    headers["x-request-id"] = request.request_id
    if (traceparent := request.traceparent) is not None:
        headers["traceparent"] = traceparent
    headers.update(request.reply_headers)
    headers["x-content-type-options"] = "nosniff"
    if by_token or request.path.startswith("/v1/"):
        headers["vary"] = "Authorization"
        headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
    if request.context.settings.enable_cors:
        _cors(request, headers)


def _cors(request: ApiRequest, headers: dict[str, Any]) -> None:
    """Let pages of the allowed origins read the answer. No credentials are allowed: there are no cookies."""
    settings = request.context.settings
    if "*" in settings.allowed_origins:
        headers["access-control-allow-origin"] = "*"
    else:
        headers["vary"] = f"{headers['vary']}, Origin" if "vary" in headers else "Origin"
        origin = request.headers.get("origin")
        if origin not in settings.allowed_origins:
            return
        headers["access-control-allow-origin"] = origin
    headers["access-control-expose-headers"] = _EXPOSED


def allow(request: ApiRequest) -> str:
    """The methods that the request's path takes, for the header `Allow`.

    The router is asked for each method. Its own list is not complete for paths with parameters.
    """
    allowed = {"OPTIONS"}
    for method in _METHODS:
        with suppress(sanic.exceptions.SanicException):
            request.app.router.get(request.path, method, None)
            allowed.add(method)
    return ", ".join(sorted(allowed))


class Failures(ErrorHandler):
    """Answers errors that occur outside of a handler, and unexpected ones of a handler, in the one shape."""

    async def response(self, request: ApiRequest, exception: BaseException) -> BaseHTTPResponse | None:
        """The answer to a request that failed with this exception."""
        if isinstance(exception, sanic.exceptions.RequestCancelled):
            # The client went away before it was answered. This is no failure, and the reply is not sent.
            return Reply(status=HTTPStatus.BAD_REQUEST)
        if isinstance(exception, sanic.exceptions.MethodNotAllowed) and request.method == "OPTIONS":
            reply = self._options(request)
            await request.http.drop()
        else:
            error = translated(exception)
            # A request that came too slowly is no failure of the service, and a breaker tells of itself.
            # There may be thousands of both.
            is_told = not isinstance(exception, sanic.exceptions.RequestTimeout | CircuitOpen)
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_told:
                log(Kind.REQUEST, error, described(request), exception)
            _put_on_record(request, error)
            reply = await _failed(request, error)
            if isinstance(exception, sanic.exceptions.MethodNotAllowed):
                reply.headers["allow"] = allow(request)
        finish(request, reply)
        _observe_failed(request, exception, reply.status)
        return reply

    @staticmethod
    def _options(request: ApiRequest) -> Reply:
        allowed = allow(request)
        reply = Reply(status=HTTPStatus.NO_CONTENT, headers={"allow": allowed})
        if request.context.settings.enable_cors and "access-control-request-method" in request.headers:
            reply.headers["access-control-allow-methods"] = allowed
            reply.headers["access-control-allow-headers"] = _ALLOWED_HEADERS
            reply.headers["access-control-max-age"] = _PREFLIGHT_S
        return reply


def _put_on_record(request: ApiRequest, error: SyncKairosError) -> None:
    """A refusal before a handler was found, or of a WebSocket, which has no handler of ours around it."""
    if request.route is not None and request.route.ctx.label[0] == "/ws":
        on_record.refused(request, Action.READ, error, request.args.get("session_id"))
    else:
        on_record.refused(request, Action.PUBLIC, error)


def translated(exception: BaseException) -> SyncKairosError:
    """The SyncKairosError for an exception. The text of an unexpected exception is not passed on."""
    match exception:
        case SyncKairosError():
            return exception
        case sanic.exceptions.MethodNotAllowed():
            return MethodNotAllowed()
        case sanic.exceptions.NotFound():
            return NotFound()
        case sanic.exceptions.RequestTimeout() | sanic.exceptions.ServiceUnavailable():
            return NetworkTimeout()
        case sanic.exceptions.ExpectationFailed():
            return _unreadable("the only expectation that can be met is 100-continue")
        case sanic.exceptions.SanicException() if 400 <= exception.status_code < 500:
            return _unreadable("the request is not well-formed HTTP")
        case _:
            return InternalError()


def _unreadable(message: str) -> ValidationError:
    return ValidationError(message, details=[{"field": "", "message": message}])


def _observe_failed(request: ApiRequest, exception: BaseException, status: int) -> None:
    """Count a request that failed outside of its chain, under its route if it came to one.

    One whose body was too slow did not. Else whoever sends slowly could have a route look as if it failed.
    """
    is_too_slow = isinstance(exception, sanic.exceptions.RequestTimeout)
    route = None if is_too_slow else request.route
    path, method = ("", "") if route is None else route.ctx.label
    observe(path, method, status, perf_counter() - request.started)
