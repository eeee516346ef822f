"""What a webhook and a delivery are; patterns of events, filters of sessions, and secrets."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

WebhookStatus: TypeAlias = Literal["active", "ended", "disabled"]
DeliveryStatus: TypeAlias = Literal["pending", "delivered", "failed"]

MOST = 20
"""How many webhooks a tenant may have."""
MOST_EVENTS = 100
"""How many events a delivery has at most."""
MOST_PATTERNS = 50
MOST_PAIRS = 20
"""How many pairs a filter of sessions may have."""
MOST_URL = 2048
RETRIES_S = (5, 30, 120, 600, 3600, 3 * 3600, 8 * 3600)
"""After how long a delivery that failed is tried again, for each attempt."""
DISABLED_AFTER_S = 3 * 86_400
"""For how long a webhook may fail without one success in between."""
DELIVERED_KEPT_S = 7 * 86_400
FAILED_KEPT_S = 30 * 86_400
"""How long deliveries can be looked at, and the failed ones be sent again."""

EVENTS = frozenset(
    {
        *("session.created", "session.started", "session.paused", "session.resumed", "session.expired"),
        *("session.completed", "session.cancelled", "session.deleted", "session.recovered"),
        *("session.reopened", "session.reset", "session.scheduled", "session.moved", "session.arrived"),
        *("cycle.switched", "turn.taken_back", "turn.set"),
        *("participant.added", "participant.removed", "participant.expired"),
        *("time.adjusted", "time.warning", "metadata.changed"),
    }
)
"""The names of all events."""
PATTERNS = EVENTS | {f"{name.partition('.')[0]}.*" for name in EVENTS}
"""What a webhook may ask for: an event, or all of a group."""
TEST = "webhook.test"
"""The event of a test, for which nobody has to ask."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = (24, 64)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook, without its secret.

    events: the patterns of what it is sent; None for all events
    sessions: what has to stand in the metadata of a session; None for all sessions
    failing_since: when the first attempt failed since the last one that was answered with 2xx
    """

    webhook_id: str
    tenant: str | None
    url: str
    events: tuple[str, ...] | None
    sessions: Mapping[str, Any] | None
    status: WebhookStatus
    created_at: datetime
    since_ms: int
    failing_since: datetime | None = None

    def wants(self, event: str) -> bool:
        """Whether it is sent an event of this name."""
        return self.events is None or any(matches(pattern, event) for pattern in self.events)

    def watches(self, metadata: Mapping[str, Any] | None) -> bool:
        """Whether it is sent the events of a session with this metadata; None where that is not known."""
        if not self.sessions:
            return True
        return metadata is not None and all(
            name in metadata and equal(metadata[name], value) for name, value in self.sessions.items()
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery: up to MOST_EVENTS events of one session, sent together.

    attempts: how many attempts have ended
    response_status: the status of the last answer; None where there was none
    next_attempt_at: None where no attempt is due, also while an older delivery of the session waits
    problem: why the last attempt failed
    events: how many events it has; a test has one that is no session's
    """

    delivery_id: str
    webhook_id: str
    session_id: str | None
    events: int
    status: DeliveryStatus
    attempts: int
    response_status: int | None
    created_at: datetime
    next_attempt_at: datetime | None
    problem: str | None
    place: int


def matches(pattern: str, event: str) -> bool:
    """Whether an event is the one that a pattern names, or of the group that it names."""
    return event.startswith(pattern[:-1]) if pattern.endswith(".*") else event == pattern


def unknown(patterns: Iterable[str]) -> list[int]:
    """The positions of patterns that name no event."""
    return [position for position, pattern in enumerate(patterns) if pattern not in PATTERNS]


def equal(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same. To Python `true` is 1; JSON has one type of number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def new_secret() -> str:
    """A secret that nobody has."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is a secret as Standard Webhooks has them: `whsec_` and Base64 of 24 to 64 bytes."""
    if not text.startswith(SECRET_PREFIX) or len(text) > MOST_URL:
        return False
    encoded = text[len(SECRET_PREFIX) :]
    if _BASE64.fullmatch(encoded) is None:
        return False
    try:
        length = len(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error):
        return False
    return SECRET_BYTES[0] <= length <= SECRET_BYTES[1]
