"""What stands before every handler: who calls, whether they may, and whether not too often.

The order is that of the contract: 401, a role's 403, the subject's limit, the binding's 404. The handler and
the function library go on with the tenant's 404, the input's 400 and the session's limit. What is refused
after the subject's limit may count a second time: see `refused`.
"""

from __future__ import annotations

from collections.abc import Mapping

from synckairos.api import limits, origin, quotas
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import SessionNotFound, StorageUnavailable, SyncKairosError, Unauthenticated

_SCHEME = "bearer "
_READING = frozenset({"GET", "HEAD"})
EVERYWHERE = frozenset({"/health", "/ready"})
"""The routes that are answered under any host name: whoever checks them knows an address at most."""


async def admit(request: ApiRequest, route: Route, path: Mapping[str, str]) -> None:
    """Lets a request in, or raises the error that it is answered with.

    Afterwards the request has its caller, and its `player` when the library has to judge whose turn it is.
    """
    if route.path not in EVERYWHERE:
        check_page(request)
    if route.action is not Action.PUBLIC:
        request.caller = await identify(request)
        request.player = access.permit(request.caller, route.action)
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


async def caller_of(request: ApiRequest, bearer: str, *, counted: bool = True) -> Caller:
    """The caller of a bearer that came with a request. Raises Unauthenticated, StorageUnavailable.

    While too many logins from the request's address have failed, RateLimitExceeded is raised, and the bearer
    is not looked at unless it is remembered as a good one.

    counted: whether a bad one is counted, for which Redis is asked. A socket without a good token has a limit
        of its own, in the process.
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
        if counted:
            await limits.login_failed(request)
        raise
