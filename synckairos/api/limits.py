"""The rate limits, and how a request is counted against them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from synckairos import metrics
from synckairos.api.replies import seconds
from synckairos.api.request import ApiRequest
from synckairos.config import Settings
from synckairos.errors import ChangesRefused, RateLimitExceeded

_PLAIN = re.compile(r"[!-z|~]{1,150}")
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` in `period_ms`. A caller who exceeds it is refused for `cooldown_ms`."""

    name: str
    count: int
    period_ms: int
    cooldown_ms: int = 0

    @property
    def policy(self) -> str:
        """For the `RateLimit-Policy` header: the count and its window in seconds."""
        return f"{self.count};w={-(-self.period_ms // 1000)}"


SWITCH = RateLimit("switch", 10, 1000, cooldown_ms=10_000)
"""Per session. No player moves ten times a second, but a faulty client may."""
CREATE = RateLimit("create", 5, MINUTE_MS)
"""Per subject."""
TIME = RateLimit("time", 60, MINUTE_MS)
"""Per address."""
WEBSOCKET = RateLimit("websocket", 5, MINUTE_MS)
"""WebSockets opened without a good token, per address."""
WEBSOCKET_OF_SUBJECT = RateLimit("websocket_subject", 30, MINUTE_MS)
"""WebSockets opened with a good token, per subject."""


def read_limit(settings: Settings) -> RateLimit:
    """Per subject: `RATE_LIMIT_MAX_REQUESTS` reads in `RATE_LIMIT_WINDOW_MS`."""
    return RateLimit("read", settings.rate_limit_max_requests, settings.rate_limit_window_ms)


async def consume_per_session(request: ApiRequest, limit: RateLimit, session_id: str) -> None:
    """Count the request against the session's limit. Raises RateLimitExceeded.

    The bucket's name includes the tenant, so that another tenant, who cannot use the session, cannot use up
    its limit either.
    """
    await _consume(request, limit, f"{request.caller.tenant or ''}:{session_id}")


async def consume_per_subject(request: ApiRequest, limit: RateLimit) -> None:
    """Count the request against the caller's limit, or that of the address when the caller has no name.

    Services have no limit. Raises RateLimitExceeded.
    """
    caller = request.caller
    if "service" in caller.roles:
        return
    who = f"@{request.address}" if caller.subject is None else f"{caller.tenant or ''}:{caller.subject}"
    await _consume(request, limit, who)


async def consume_per_address(request: ApiRequest, limit: RateLimit) -> None:
    """Count the request against its address' limit. Raises RateLimitExceeded."""
    await _consume(request, limit, f"@{request.address}")


async def _consume(request: ApiRequest, limit: RateLimit, who: str) -> None:
    context = request.context
    if not context.settings.rate_limit_enabled:
        return
    try:
        throttle = await context.sessions.throttle(
            bucket(limit.name, who), limit.count, limit.count, limit.period_ms, cooldown_ms=limit.cooldown_ms
        )
    except ChangesRefused:
        return  # what the request changes is refused too; and what it reads can be read
    request.reply_headers |= {
        "ratelimit-policy": limit.policy,
        "ratelimit-limit": str(throttle.limit),
        "ratelimit-remaining": str(throttle.remaining),
        "ratelimit-reset": str(seconds(throttle.reset_after_ms)),
    }
    if throttle.limited:
        metrics.rate_limited.labels(limit.name).inc()
        raise RateLimitExceeded(
            f"too many requests: the limit ({limit.name}) is {limit.count} in {limit.period_ms / 1000:g} s",
            context={"limit": limit.name, "retry_after_ms": throttle.retry_after_ms},
            retry_after_ms=throttle.retry_after_ms,
        )


def bucket(name: str, who: str) -> str:
    """The bucket's name. `who` is hashed unless it is short printable ASCII without braces."""
    if _PLAIN.fullmatch(who) is None:
        who = "#" + hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()
    return f"{name}:{who}"
