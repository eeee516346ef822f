"""How far away a client is, as the server finds it out.

Lag compensation gives back what a move lost on its way, so its measure must be the server's own. It is the
round trip of a ping frame: the event that made the player's clock run had to get there, and the move has to
come back.

The client's own words do not count: a pong counts only as the answer to a ping that waits for it, once, and
the only times are the server's. A client that holds its pongs back makes itself look farther away, and no
server can tell that from a long way; what it gains is bounded by the quota of lag compensation. A client that
holds some back gains nothing, as the shortest of the last few round trips is the lag.
"""

from __future__ import annotations

from collections import deque

RECENT = 8
"""Round trips that are remembered."""


class RoundTrips:
    """The pings of one connection and the round trips that their pongs ended. Times are monotonic seconds."""

    __slots__ = ("_number", "_recent", "_waiting")

    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[bytes, float] = {}
        """When each ping that waits for its pong was sent, the oldest first."""
        self._recent: deque[float] = deque(maxlen=RECENT)

    def sent(self, now: float) -> bytes:
        """A ping is sent now. Returns its payload, which no other ping of this connection has."""
        self._number += 1
        payload = self._number.to_bytes(8)
        self._waiting[payload] = now
        return payload

    def answered(self, payload: bytes, now: float) -> float | None:
        """A pong arrived now. Returns its ping's round trip in seconds; None when no ping waits for it."""
        sent = self._waiting.get(payload)
        if sent is None:
            return None
        # A client that got several pings may answer only the newest (RFC 6455, 5.5.3), so the older ones are
        # dropped.
        for older in list(self._waiting):
            del self._waiting[older]
            if older == payload:
                break
        self._recent.append(now - sent)
        return now - sent

    @property
    def lag_ms(self) -> int | None:
        """The shortest of the newest RECENT round trips, in whole ms rounded down; None before the first."""
        return int(1000.0 * min(self._recent)) if self._recent else None
