"""What stands before every handler: who calls, whether they may, and whether not too often.

The order is that of the contract: 401, a role's 403, the subject's limit, the binding's 404. The handler and
the function library go on with the tenant's 404 (see `told_to_its_own`), the input's 400 and the session's
limit. What is refused after the subject's limit may count a second time: see `refused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from synckairos.api import limits, origin, quotas
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Handler, Route
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
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

_SCHEME = "bearer "
_READING = frozenset({"GET", "HEAD"})
EVERYWHERE = frozenset({"/health", "/ready"})
"""The routes that are answered under any host name: whoever checks them knows an address at most."""
_ANSWERED_WITHOUT_SESSION = frozenset({Action.PUBLIC, Action.DELETE, Action.DEBUG})
"""What is no error for a session that is not there (deleting one), or finds sessions in its own way."""
_NO_EVENTS_AFTER = 2**53 - 1
"""A version that no session comes to. Asking for what came after it only asks whether there is a session."""


async def admit(request: ApiRequest, route: Route, path: Mapping[str, str]) -> None:
    """Lets a request in, or raises the error that it is answered with.

    Afterwards the request has its caller, and its `player` when the library has to judge whose turn it is.
    """
    if route.path not in EVERYWHERE:
        check_page(request)
    if route.action is not Action.PUBLIC:
        request.caller = await identify(request)
        try:
            request.player = access.permit(request.caller, route.action)
        except Forbidden:
            await limits.forbidden(request, route.rate_limit)
            raise
    await _take_of_limit(request, route, path.get("session_id", ""))
    request.admitted = True
    if route.method == "POST" and route.action in quotas.NEW:
        request.context.quotas.check_suspended(request.caller.tenant)
    bound_to = request.caller.session
    if bound_to is not None and path.get("session_id", bound_to).lower() != bound_to:
        raise SessionNotFound


async def _take_of_limit(request: ApiRequest, route: Route, session_id: str) -> None:
    limit = limits.of_request(request, route.rate_limit, session_id)
    await limits.check_seeker(request, limit, session_id)
    if limit is None or limit is limits.SWITCH:  # which the library takes together with the switch
        return
    if limit.per is limits.Per.ADDRESS:
        await limits.take_if_possible(request, limit)
        return
    try:
        await limits.take(request, limit, session_id)
    except StorageUnavailable as away:
        if route.needs_redis:
            raise
        request.storage_away = away


async def refused(
    request: ApiRequest, route: Route, path: Mapping[str, str], error: SyncKairosError
) -> SyncKairosError:
    """The error to answer with when a request was refused. What was refused may count against a limit."""
    if not request.admitted:
        return error
    session_id = path.get("session_id", "")
    limit = limits.of_request(request, route.rate_limit, session_id)
    return await limits.counted(request, limit, session_id, error)


def told_to_its_own(route: Route) -> Handler:
    """The route's handler, which tells nobody but the session's tenant what is wrong with an input.

    Handlers and the function library read the input first. So when it is bad, the session is asked for after
    all, and SessionNotFound is raised for one that does not exist to the caller.
    """
    handle = route.handler
    if "{session_id}" not in route.path or route.action in _ANSWERED_WITHOUT_SESSION:
        return handle

    async def handler(request: ApiRequest, **path: str) -> Reply:
        try:
            return await handle(request, **path)
        except ValidationError:
            if request.context.bearers.required:
                await _check_there(request, path["session_id"])
            raise

    return handler


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
