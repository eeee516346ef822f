"""The rate limits: which one a request takes from, and how.

The limit of a route follows from what the route does (`of`). `synckairos.api.gate` takes from it before the
handler, with two exceptions. The limit of switches is taken by the function library together with the switch,
so that what the library refuses takes nothing of it. And a big config takes more of the limit of creations
when its size is known.

A refused switch takes from a limit of its own, and whatever names a session that is not there counts as a
read of the caller (`counted`). So nobody can look for sessions with calls that have a limit for each session,
and no bucket is kept for a session that is not there. Who has no reads left is turned away before anything
is searched (`check_seeker`), because what is not in Redis is looked for in outboxes and in PostgreSQL.

What a role does not allow is refused whatever is left of a limit, and takes of it all the same (`forbidden`).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from urllib.parse import quote

from synckairos import metrics
from synckairos.api.replies import seconds
from synckairos.api.request import ApiRequest
from synckairos.auth.access import Action
from synckairos.auth.tenants import Tenant
from synckairos.config import Settings
from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Change, Limit, Options, Throttle
from synckairos.errors import (
    ChangesRefused,
    QuotaExceeded,
    RateLimitExceeded,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)

_PLAIN = re.compile(r"[!-z|~]{1,150}")
MINUTE_MS = 60_000
PUBLIC_WAIT_S = 0.25
"""How long a request that needs no Redis waits for its limit, such as one for a page. Then it is answered."""


class Per(Enum):
    """Who has a bucket of their own. A subject is the `sub` of a token, or else an address."""

    ADDRESS = "address"
    CONNECTION = "connection"
    SUBJECT = "subject"
    SUBJECT_AND_SESSION = "subject and session"
    SESSION = "session, or session and participant with a token that is bound to one"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` in `period_ms`. A caller who exceeds it is refused for `cooldown_ms`."""

    name: str
    count: int
    period_ms: int
    per: Per
    cooldown_ms: int = 0

    @property
    def policy(self) -> str:
        """For the `RateLimit-Policy` header: the count and its window in seconds."""
        return f"{self.count};w={-(-self.period_ms // 1000)}"

    @property
    def exempts_services(self) -> bool:
        """Whether callers with the role `service` have no such limit."""
        return self.per in (Per.SUBJECT, Per.SUBJECT_AND_SESSION)


SWITCH = RateLimit("switch", 10, 1000, Per.SESSION, cooldown_ms=10_000)
"""No player moves ten times a second, but a faulty client may."""
REFUSED_SWITCH = RateLimit("refused switch", 10, 1000, Per.SUBJECT_AND_SESSION)
CREATE = RateLimit("create", 5, MINUTE_MS, Per.SUBJECT)
READ = RateLimit("read", 100, MINUTE_MS, Per.SUBJECT)
"""Its numbers are those of `RATE_LIMIT_MAX_REQUESTS` and `RATE_LIMIT_WINDOW_MS`."""
CHANGE = RateLimit("change", 60, MINUTE_MS, Per.SUBJECT_AND_SESSION)
TIME = RateLimit("time", 60, MINUTE_MS, Per.ADDRESS)
PUBLIC = RateLimit("public", 300, MINUTE_MS, Per.ADDRESS)
SOCKETS = RateLimit("sockets", 30, MINUTE_MS, Per.SUBJECT)
"""WebSockets that are opened with a valid token."""
SOCKETS_WITHOUT_TOKEN = RateLimit("sockets without a token", 5, MINUTE_MS, Per.ADDRESS)
FAILED_LOGINS = RateLimit("failed logins", 30, MINUTE_MS, Per.ADDRESS)

_READS = frozenset({Action.READ, Action.DEBUG, Action.READ_ACCESS_LOG})


def of(action: Action, method: str) -> RateLimit:
    """The limit of a route that does this and has none of its own."""
    match action:
        case Action.PUBLIC | Action.READ_METRICS:
            return PUBLIC
        case Action.CREATE:
            return CREATE
        case Action.SWITCH:
            return SWITCH
        case _:
            return READ if method == "GET" or action in _READS else CHANGE


def in_force(limit: RateLimit, settings: Settings, tenant: Tenant) -> RateLimit:
    """The limit with the numbers that hold: the tenant's own, or those of the settings."""
    own = tenant.limits.get(limit.name)
    if own is not None:
        return replace(limit, count=own.count, period_ms=own.period_ms)
    if limit is READ:
        return replace(limit, count=settings.rate_limit_max_requests, period_ms=settings.rate_limit_window_ms)
    return limit


def for_request(request: ApiRequest, limit: RateLimit) -> RateLimit | None:
    """The limit as it holds for the request's caller; None when the caller has no such limit."""
    settings, caller = request.context.settings, request.caller
    if not settings.rate_limit_enabled or (limit.exempts_services and "service" in caller.roles):
        return None
    return in_force(limit, settings, request.context.tenants.of(caller.tenant))


async def take(
    request: ApiRequest, limit: RateLimit, session_id: str = "", *, quantity: int = 1, spent: int = 0
) -> None:
    """Take from the bucket that the request has in this limit. Raises RateLimitExceeded, StorageUnavailable.

    quantity: how much to take; a bucket never has to hold more than its whole count
    spent: how much the request has taken before. It will need that again when it comes back.
    """
    held = for_request(request, limit)
    if held is None:
        return
    quantity = min(quantity, held.count - spent)
    if quantity < 1:
        return
    try:
        throttle = await _throttle(request, held, session_id, quantity)
    except ChangesRefused:
        return  # what the request changes is refused too; and what it reads can be read
    show(request, held, throttle)
    if throttle.limited:
        again = spent * -(-held.period_ms // held.count)
        raise exceeded(held, throttle.retry_after_ms + again)


async def take_if_possible(request: ApiRequest, limit: RateLimit) -> None:
    """Take from a limit of what needs no Redis: without an answer in PUBLIC_WAIT_S it does not count."""
    try:
        async with asyncio.timeout(PUBLIC_WAIT_S):
            await take(request, limit)
    except (StorageUnavailable, TimeoutError):
        pass


async def forbidden(request: ApiRequest, limit: RateLimit | None) -> None:
    """Count a call that the caller's role does not allow. It is refused, whatever is left of the limit.

    Nobody has looked whether its session is there, so it takes from no bucket of a session: it is a read.

    limit: the limit of what was called
    """
    with suppress(RateLimitExceeded):
        await take_if_possible(request, READ if limit in (None, SWITCH, CHANGE) else limit)


def check_logins(request: ApiRequest) -> None:
    """Raise RateLimitExceeded while too many logins from the request's address have failed.

    Nothing is asked of Redis for that: the process remembers the addresses that it has refused.
    """
    held = for_request(request, FAILED_LOGINS)
    left_ms = request.context.closed_addresses.left_ms(request.address)
    if held is not None and left_ms:
        show(request, held, Throttle(True, held.count, 0, left_ms, left_ms))
        raise exceeded(held, left_ms)


async def login_failed(request: ApiRequest) -> None:
    """Count a login that has failed. Raises RateLimitExceeded when it was one too many."""
    held = for_request(request, FAILED_LOGINS)
    if held is None:
        return
    try:
        throttle = await _throttle(request, held, "", 1)
    except StorageUnavailable:
        return
    if throttle.remaining < 1:
        # Until the bucket has one again.
        after_ms = throttle.reset_after_ms - (held.count - 1) * held.period_ms // held.count
        request.context.closed_addresses.close(request.address, max(after_ms, 1))
    show(request, held, throttle)
    if throttle.limited:
        raise exceeded(held, throttle.retry_after_ms)


def socket_login_failed(request: ApiRequest) -> None:
    """Count a login of a socket that has failed, in this process: Redis is not asked before a token is good.

    The socket itself counts against SOCKETS_WITHOUT_TOKEN, so that there are few of them.
    """
    held = for_request(request, FAILED_LOGINS)
    if held is not None:
        request.context.closed_addresses.failed(request.address, held.count, held.period_ms)


async def switch(
    request: ApiRequest,
    session_id: str,
    *,
    next: str | None,  # noqa: A002 - the library's word for it
    current: str | None,
    lag_ms: int | None = None,
    options: Options,
) -> Change:
    """Switch, and take from the limit of switches in the same call. Raises as `Sessions.switch`.

    The bucket is that of the session, or of the participant in it for whom the token is (`options.player`).
    """
    sessions = request.context.sessions
    held = for_request(request, SWITCH)
    if held is None:
        return await sessions.switch(session_id, next=next, current=current, lag_ms=lag_ms, options=options)
    try:
        change, throttle = await sessions.switch(
            session_id,
            next=next,
            current=current,
            lag_ms=lag_ms,
            limit=Limit(held.count, held.count, held.period_ms, held.cooldown_ms),
            options=options,
        )
    except RateLimitExceeded as error:
        after_ms = error.retry_after_ms or 0
        show(request, held, Throttle(True, held.count, 0, after_ms, after_ms))
        raise exceeded(held, after_ms) from None
    show(request, held, throttle)
    return change


async def counted(
    request: ApiRequest, limit: RateLimit | None, session_id: str, error: SyncKairosError
) -> SyncKairosError:
    """Count a call that was let in and then refused. Returns the error to answer with.

    That is the error itself or, when refusals of this kind are too many, RateLimitExceeded.

    limit: the limit of what was called
    """
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(
        error, RateLimitExceeded | QuotaExceeded
    ):
        return error
    if isinstance(error, SessionNotFound) and limit in (SWITCH, CHANGE):
        also = READ
        if limit is CHANGE:
            await _forget(request, limit, session_id)
    elif limit is SWITCH:
        also = REFUSED_SWITCH
    else:
        return error
    try:
        if also is READ:
            await missed(request)
        else:
            await take(request, also, session_id)
    except RateLimitExceeded as too_many:
        return too_many
    except StorageUnavailable:
        pass
    return error


async def missed(request: ApiRequest) -> None:
    """Count a session that is not there as a read. Raises RateLimitExceeded."""
    try:
        await take(request, READ)
    except RateLimitExceeded as error:
        seeker = _who(request, READ.per, "")
        request.context.closed_seekers.close(seeker, error.retry_after_ms or 0)
        raise
    except StorageUnavailable:
        pass


async def check_seeker(request: ApiRequest, limit: RateLimit | None, session_id: str) -> None:
    """Turn a caller away who has named too many sessions that are not there, and names one more.

    Whoever has a session goes on with it, so Redis is asked whether it has this one, and nobody else is.
    Raises RateLimitExceeded, StorageUnavailable.

    limit: the limit of what is called
    """
    closed = request.context.closed_seekers
    if not closed or limit not in (SWITCH, CHANGE) or (held := for_request(request, READ)) is None:
        return
    left_ms = closed.left_ms(_who(request, READ.per, ""))
    if not left_ms or not is_id(session_id):
        return
    key = SessionKeys.of(session_id.lower()).session
    if not await request.context.connection.read("EXISTS", key):
        show(request, held, Throttle(True, held.count, 0, left_ms, left_ms))
        raise exceeded(held, left_ms)


def of_request(request: ApiRequest, limit: RateLimit | None, session_id: str) -> RateLimit | None:
    """The limit that a request takes from. What can be no session of the caller has no bucket of its own.

    limit: the limit of what is called
    """
    if limit is not CHANGE or not session_id:
        return limit
    return CHANGE if is_id(session_id) and request.caller.session in (None, session_id.lower()) else READ


def is_id(text: str) -> bool:
    """Whether a text can be a session's id."""
    try:
        keys.session_id(text)
    except ValidationError:
        return False
    return True


def show(request: ApiRequest, limit: RateLimit, throttle: Throttle) -> None:
    """Add the headers with what is left of a limit to the request's answer."""
    request.reply_headers |= {
        "ratelimit-policy": limit.policy,
        "ratelimit-limit": str(throttle.limit),
        "ratelimit-remaining": str(throttle.remaining),
        "ratelimit-reset": str(seconds(throttle.reset_after_ms)),
    }


def exceeded(limit: RateLimit, retry_after_ms: int) -> RateLimitExceeded:
    """The error of a request that a limit turns away."""
    metrics.rate_limited.labels(limit.name).inc()
    return RateLimitExceeded(
        f"too many requests: the limit ({limit.name}) is {limit.count} in {limit.period_ms / 1000:g} s",
        context={"limit": limit.name, "retry_after_ms": retry_after_ms},
        retry_after_ms=retry_after_ms,
    )


async def _forget(request: ApiRequest, limit: RateLimit, session_id: str) -> None:
    """Remove the bucket that the request has taken from. Without Redis it goes by itself, when it is full."""
    if for_request(request, limit) is not None:
        with suppress(StorageUnavailable):
            await request.context.sessions.forget_throttle(
                bucket(limit.name, _who(request, limit.per, session_id))
            )


async def _throttle(request: ApiRequest, limit: RateLimit, session_id: str, quantity: int) -> Throttle:
    return await request.context.sessions.throttle(
        bucket(limit.name, _who(request, limit.per, session_id)),
        limit.count,
        limit.count,
        limit.period_ms,
        quantity=quantity,
        cooldown_ms=limit.cooldown_ms,
    )


def _who(request: ApiRequest, per: Per, session_id: str) -> str:
    """Whose bucket it is. The parts are quoted, so that no two callers can be written the same."""
    caller = request.caller
    if per is Per.ADDRESS or caller.subject is None:
        who = f"@{request.address}"
    else:
        who = f"{quote(caller.tenant or '', safe='')}:{quote(caller.subject, safe='')}"
    return f"{who}:{quote(session_id.lower(), safe='')}" if per is Per.SUBJECT_AND_SESSION else who


def bucket(name: str, who: str) -> str:
    """The bucket's name. `who` is hashed unless it is short printable ASCII without braces."""
    if _PLAIN.fullmatch(who) is None:
        who = "#" + hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()
    return f"{name}:{who}"
