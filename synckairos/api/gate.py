"""What stands before every handler: who calls, and whether they may.

The order is that of the contract: 401, a role's 403, the subject's limit, the binding's 404. The handler and
the function library go on with the tenant's 404, the input's 400 and the session's limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import SessionNotFound, Unauthenticated

_SCHEME = "bearer "


async def admit(request: ApiRequest, route: Route, path: Mapping[str, str]) -> None:
    """Lets a request in, or raises the error that it is answered with.

    Afterwards the request has its caller, and its `player` when the library has to judge whose turn it is.
    """
    if route.action is Action.PUBLIC:
        return
    request.caller = await identify(request)
    request.player = access.permit(request.caller, route.action)
    bound_to = request.caller.session
    if bound_to is not None and path.get("session_id", bound_to).lower() != bound_to:
        raise SessionNotFound


async def identify(request: ApiRequest) -> Caller:
    """The caller by the request's `Authorization`. Raises Unauthenticated, StorageUnavailable."""
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


async def caller_of(request: ApiRequest, bearer: str) -> Caller:
    """The caller of a bearer that came with a request. Raises Unauthenticated, StorageUnavailable."""
    bearers = request.context.bearers
    known = bearers.remembered(bearer)
    if known is not None:
        if known.is_link:
            await bearers.confirm(known)
        return known
    return await bearers.caller(bearer)
