"""What stands before every handler: who calls, whether they may, and whether not too often.

The order is that of the contract: 401, a role's 403, the subject's limit, the binding's 404. The handler and
the function library go on with the tenant's 404 (`Tenants`), the input's 400 and the session's limit. What is
refused after the subject's limit may count a second time (`Limits`).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from synckairos.api import limits, origin, quotas
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.chain.middleware import Middleware, Order
from synckairos.core import keys
from synckairos.errors import (
    Forbidden,
    SessionMoved,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    ValidationError,
)

if TYPE_CHECKING:
    from synckairos.api.calls import ApiCall, RequestCall

_SCHEME = "bearer "
_READING = frozenset({"GET", "HEAD"})
EVERYWHERE = frozenset({"/health", "/ready"})
"""The routes that are answered under any host name: whoever checks them knows an address at most."""
_ANSWERED_WITHOUT_SESSION = frozenset({Action.PUBLIC, Action.DELETE, Action.DEBUG})
"""What is no error for a session that is not there (deleting one), or finds sessions in its own way."""
_NO_EVENTS_AFTER = 2**53 - 1
"""A version that no session comes to. Asking for what came after it only asks whether there is a session."""


class Tokens(Middleware):
    """Finds out who calls, and whether their role may do that."""

    order: ClassVar = Order.TOKENS

    async def before(self, call: ApiCall) -> None:
        """Raises Unauthenticated, Forbidden, RateLimitExceeded, StorageUnavailable."""
        try:
            await call.permit()
        except Forbidden:
            if call.request.caller is not ANONYMOUS:
                await limits.forbidden(call.request, call.limit)
            raise


class Limits(Middleware):
    """Takes from the subject's limit. What is refused afterwards may take from another one."""

    order: ClassVar = Order.LIMITS

    async def before(self, call: ApiCall) -> None:
        """Raises RateLimitExceeded, StorageUnavailable."""
        request, session_id = call.request, call.session_id
        limit = limits.of_request(request, call.limit, session_id)
        await limits.check_seeker(request, limit, session_id)
        if limit is None or limit is limits.SWITCH:  # which the library takes together with the switch
            return
        if limit.per is limits.Per.ADDRESS:
            await limits.take_if_possible(request, limit)
            return
        try:
            await limits.take(request, limit, session_id)
        except StorageUnavailable as away:
            if call.needs_redis:
                raise
            request.storage_away = away

    async def on_error(self, call: ApiCall, error: BaseException) -> BaseException:
        """The error to answer with: RateLimitExceeded, when refusals of this kind are too many."""
        if not isinstance(error, SyncKairosError):
            return error
        limit = limits.of_request(call.request, call.limit, call.session_id)
        return await limits.counted(call.request, limit, call.session_id, error)


class Bindings(Middleware):
    """Holds tokens to the session that they are bound to, and suspended tenants to what they have."""

    order: ClassVar = Order.BINDINGS

    async def before(self, call: RequestCall) -> None:
        """Raises SessionNotFound, QuotaExceeded."""
        request, route = call.request, call.route
        if route.method == "POST" and route.action in quotas.NEW:
            request.context.quotas.check_suspended(request.caller.tenant)
        bound_to = request.caller.session
        if bound_to is not None and call.path.get("session_id", bound_to).lower() != bound_to:
            raise SessionNotFound


class Tenants(Middleware):
    """Tells nobody but the session's tenant what is wrong with an input.

    Handlers and the function library read the input first. So when it is bad, the session is asked for after
    all, and SessionNotFound is the error for one that does not exist to the caller.
    """

    order: ClassVar = Order.TENANTS

    @staticmethod
    def concern(route: Route) -> bool:
        """Whether a route is about a session of which others must not know."""
        return "{session_id}" in route.path and route.action not in _ANSWERED_WITHOUT_SESSION

    async def on_error(self, call: RequestCall, error: BaseException) -> BaseException:
        """The error to answer with."""
        if isinstance(error, ValidationError) and call.request.context.bearers.required:
            try:
                await _check_there(call.request, call.session_id)
            except SessionNotFound as not_there:
                return not_there
        return error


async def _check_there(request: ApiRequest, given: str) -> None:
    """Raises SessionNotFound. An id that is none, and a Redis that does not answer, are no errors here."""
    with suppress(ValidationError, StorageUnavailable, SessionMoved):
        session_id = keys.session_id(given)
        await request.context.sessions.log(session_id, _NO_EVENTS_AFTER, tenant=request.caller.tenant)


def check_page(request: ApiRequest, *, changes: bool | None = None) -> None:
    """Where nobody is asked for a bearer, refuses pages of others: see `synckairos.api.origin`.

    `changes` says whether the request changes something; without it, its method does. Raises ValidationError,
    Forbidden.
    """
    context = request.context
    if context.bearers.required:
        return
    settings = context.settings
    origin.check_host(request.headers, settings)
    if changes or (changes is None and request.method not in _READING):
        origin.check_origin(request.headers, settings)


async def identify(request: ApiRequest) -> Caller:
    """The caller by the request's `Authorization`.

    Raises Unauthenticated, StorageUnavailable, and RateLimitExceeded when too many logins from this address
    have failed. A request without a token is no login.
    """
    bearers = request.context.bearers
    if not bearers.required:
        return ANONYMOUS
    given = request.headers.getall("authorization", [])
    if len(given) != 1:
        raise Unauthenticated
    return await caller_of(request, bearer_of(given[0]))


def bearer_of(authorization: str) -> str:
    """The bearer in an `Authorization` header. Raises Unauthenticated when it has another scheme."""
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated
    return authorization[len(_SCHEME) :]


async def caller_of(request: ApiRequest, bearer: str, *, opens_socket: bool = False) -> Caller:
    """The caller of a bearer that came with a request. Raises Unauthenticated, StorageUnavailable.

    While too many logins from the request's address have failed, RateLimitExceeded is raised, and the bearer
    is not looked at unless it is remembered as a good one.

    opens_socket: whether it is for a new socket. Then a bad one is counted in the process, as Redis is not
        asked for anything before it is good.
    """
    bearers = request.context.bearers
    known = bearers.remembered(bearer)
    if known is not None:
        if known.is_link:
            await bearers.confirm(known)
        return known
    limits.check_logins(request)
    try:
        return await bearers.caller(bearer)
    except Unauthenticated:
        if opens_socket:
            limits.socket_login_failed(request)
        else:
            await limits.login_failed(request)
        raise
