"""What goes on record (`synckairos.audit.access_log`): refusals, and what admins do.

An admin's action is stored before it is answered, and is not carried out when PostgreSQL does not answer.
Everything else is queued. With AUTH_MODE=none there are no admins: everybody is the same nobody, whose
refusals are on record like those of nobody elsewhere, and so is what is done to links and revocations.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any, ClassVar

from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.audit.access_log.entries import Entry
from synckairos.audit.access_log.queue import AccessLog
from synckairos.auth.access import Action, Role
from synckairos.auth.caller import ANONYMOUS
from synckairos.chain.middleware import Middleware, Order
from synckairos.core import keys
from synckairos.errors import (
    InternalError,
    NetworkTimeout,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    ValidationError,
)

if TYPE_CHECKING:
    from synckairos.api.calls import ApiCall

_REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_READS = frozenset({Action.PUBLIC, Action.READ, Action.READ_METRICS})
"""What is not on record when it is allowed, whoever does it."""
_RECORDED_READS = frozenset({Action.DEBUG, Action.READ_ACCESS_LOG})
"""What is on record although it changes nothing."""
_ALWAYS = frozenset({Action.LINK, Action.WEBHOOK, Action.REVOKE})
"""What is on record whoever does it. Where there is no PostgreSQL, links and revocations are in Redis alone,
and admins make them there without a record."""


def refused(
    request: ApiRequest, action: Action, error: SyncKairosError, session_id: str | None = None
) -> None:
    """Put a refusal on record, if the error is one: 401, 403, 429, and a session that is not there (404).

    Of a session that is not there nobody says whether another tenant has it, so both are in the caller's log.
    """
    if error.status not in _REFUSALS and not isinstance(error, SessionNotFound):
        return
    log = request.context.access_log
    if log is not None and not request.recorded:
        log.refuse(_entry(request, action, session_id, error))


class Refusals(Middleware):
    """Puts on record what the middlewares further in, or the handler, refuse."""

    order: ClassVar = Order.REFUSALS

    async def on_error(self, call: ApiCall, error: BaseException) -> BaseException:
        """Puts the error on record, if it is a refusal."""
        if isinstance(error, SyncKairosError):
            refused(call.request, call.action, error, call.session_id or None)
        return error


class Actions(Middleware):
    """Puts what admins do on record, and what always has to be.

    It raises StorageUnavailable when an admin's action cannot be put on record. Mostly that is found before
    the action, and nothing was done. If it is found afterwards, a repeat with the same request id is
    harmless.
    """

    order: ClassVar = Order.ACTIONS

    @staticmethod
    def concern(route: Route) -> bool:
        """Whether what a route does is on record when an admin does it."""
        reads = route.action in _READS or route.method == "GET"
        return not reads or route.action in _RECORDED_READS

    async def before(self, call: ApiCall) -> None:
        """Raises StorageUnavailable when an admin's action could not be put on record."""
        if not _is_admin(call):
            return
        log = call.request.context.access_log
        if log is not None:
            await log.check()
        elif call.action not in _ALWAYS:
            raise StorageUnavailable(
                "what admins do has to be put on record, and there is no database: set DATABASE_URL, or use "
                "a token of another role (service may create)",
                context={"needs": "DATABASE_URL"},
            )

    async def after(self, call: ApiCall, _result: Any) -> None:
        """Raises StorageUnavailable when an admin's action could not be put on record."""
        await _record(call, None)

    async def on_error(self, call: ApiCall, error: BaseException) -> BaseException:
        """Raises StorageUnavailable when an admin's action could not be put on record."""
        await _record(call, _error(error))
        return error


def _is_admin(call: ApiCall) -> bool:
    """Where nobody is asked for a token, there are no admins."""
    return call.request.context.bearers.required and Role.ADMIN in call.request.caller.roles


async def _record(call: ApiCall, error: SyncKairosError | None) -> None:
    is_admin = _is_admin(call)
    if not (is_admin or call.action in _ALWAYS):
        return
    request = call.request
    request.recorded = True
    log = request.context.access_log
    if log is not None:
        entry = _entry(request, call.action_name, call.session_id or request.created, error)
        await _put(log, entry, at_once=is_admin)


async def _put(log: AccessLog, entry: Entry, *, at_once: bool) -> None:
    if at_once:
        await log.store_now(entry)
    elif entry.outcome == "allowed":
        log.add(entry)
    else:
        log.refuse(entry)


def _error(raised: BaseException) -> SyncKairosError:
    """The error that the log has for what a call raised."""
    if isinstance(raised, SyncKairosError):
        return raised
    if isinstance(raised, asyncio.CancelledError):
        return NetworkTimeout()  # the caller went away, and nobody knows how far the call came
    return InternalError()


def _entry(request: ApiRequest, action: str, session_id: str | None, error: SyncKairosError | None) -> Entry:
    """The entry for a request. Of whoever could not be made out it has neither name nor tenant nor claims."""
    caller = request.caller
    known = caller is not ANONYMOUS and not isinstance(error, Unauthenticated)
    return Entry(
        tenant=caller.tenant if known else None,
        sub=caller.subject if known else None,
        roles=caller.roles if known else (),
        token_id=caller.token_id if known else None,
        action=str(action),
        session_id=_session_id(session_id),
        outcome="allowed" if error is None else "refused",
        code=None if error is None else error.code,
        request_id=request.request_id,
        address=request.address,
        at=time(),
    )


def _session_id(given: str | None) -> str | None:
    """The id as the log has it; None for what is none. It may not have been checked yet."""
    try:
        return None if given is None else keys.session_id(given)
    except ValidationError:
        return None
