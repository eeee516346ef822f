"""Rate limits: which there are, and taking from their buckets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from synckairos import metrics
from synckairos.api.replies import seconds
from synckairos.api.request import ApiRequest
from synckairos.config import Settings
from synckairos.errors import RateLimitExceeded

_PLAIN = re.compile(r"[!-z|~]{1,150}")
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` in `period_ms`; who goes over it is turned away for `cooldown_ms`."""

    name: str
    count: int
    period_ms: int
    cooldown_ms: int = 0

    @property
    def policy(self) -> str:
        """For the `RateLimit-Policy` header: the count and its window in seconds."""
        return f"{self.count};w={-(-self.period_ms // 1000)}"


SWITCH = Limit("switch", 10, 1000, cooldown_ms=10_000)
"""Per session: nobody moves ten times a second, a runaway client does."""
CREATE = Limit("create", 5, MINUTE_MS)
"""Per subject."""
TIME = Limit("time", 60, MINUTE_MS)
"""Per address."""
WEBSOCKET = Limit("websocket", 5, MINUTE_MS)
"""Connections per address."""


def reading(settings: Settings) -> Limit:
    """Per subject: `RATE_LIMIT_MAX_REQUESTS` reads in `RATE_LIMIT_WINDOW_MS`."""
    return Limit("read", settings.rate_limit_max_requests, settings.rate_limit_window_ms)


async def take_per_session(request: ApiRequest, limit: Limit, session_id: str) -> None:
    """Take one from the session's bucket. Raises RateLimitExceeded.

    The bucket is the tenant's own: somebody else, for whom the session does not exist, cannot use it up.
    """
    await _take(request, limit, f"{request.caller.tenant or ''}:{session_id}")


async def take_per_subject(request: ApiRequest, limit: Limit) -> None:
    """Take one from the caller's bucket, by address where nobody knows who it is. Services are exempt."""
    caller = request.caller
    if "service" in caller.roles:
        return
    who = f"@{request.address}" if caller.subject is None else f"{caller.tenant or ''}:{caller.subject}"
    await _take(request, limit, who)


async def take_per_address(request: ApiRequest, limit: Limit) -> None:
    """Take one from the address' bucket."""
    await _take(request, limit, f"@{request.address}")


async def _take(request: ApiRequest, limit: Limit, who: str) -> None:
    context = request.context
    if not context.settings.rate_limit_enabled:
        return
    throttle = await context.sessions.throttle(
        bucket(limit.name, who), limit.count, limit.count, limit.period_ms, cooldown_ms=limit.cooldown_ms
    )
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
    """The bucket's name. What does not fit (other than printable ASCII, braces, too long) goes in hashed."""
    if _PLAIN.fullmatch(who) is None:
        who = "#" + hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()
    return f"{name}:{who}"
