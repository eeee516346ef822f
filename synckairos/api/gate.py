"""What stands before every handler: who calls, and whether they may.

The order is that of the contract: 401, a role's 403, the subject's limit, the binding's 404. The handler and
the function library go on with the tenant's 404, the input's 400 and the session's limit.
"""

from __future__ import annotations

from collections.abc import Mapping

from synckairos.api import origin
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.caller import ANONYMOUS, Caller
from synckairos.errors import SessionNotFound, Unauthenticated

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
    if route.action is Action.PUBLIC:
        return
    request.caller = await identify(request)
    request.player = access.permit(request.caller, route.action)
    bound_to = request.caller.session
    if bound_to is not None and path.get("session_id", bound_to).lower() != bound_to:
        raise SessionNotFound


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
    """The caller by the request's `Authorization`. Raises Unauthenticated, StorageUnavailable."""
    bearers = request.context.bearers
    if not bearers.required:
        return ANONYMOUS
    given = request.headers.getall("authorization", [])
    if len(given) != 1 or not given[0][: len(_SCHEME)].lower() == _SCHEME:
        raise Unauthenticated
    bearer = given[0][len(_SCHEME) :]
    return bearers.remembered(bearer) or await bearers.caller(bearer)
