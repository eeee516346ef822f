"""The network lag of a client, measured by the server.

Lag compensation gives a player the time back that a move lost on the network, so the server has to measure
that time itself. It takes the round trip of a ping frame, because the event that started the player's clock
had to reach the client, and the move has to come back.

Nothing that a client claims is used. A pong counts once, and only while its ping waits for it, and both times
are the server's. A client that delays all its pongs looks farther away, which a server cannot tell from a
longer way; the quota of lag compensation limits what it can gain. A client that delays some pongs gains
nothing, because the lag is the shortest of the last few round trips.
"""

from __future__ import annotations

RECENT = 8
"""How many round trips are kept."""
MOST_WAITING = 8
"""How many pings wait for their pongs. A client that only answers pings that were sent long ago keeps the
others waiting for as long as it likes."""


class RoundTrips:
    """The pings of one connection that wait for their pongs, and its last round trips (monotonic seconds)."""

    __slots__ = ("_number", "_recent", "_waiting")

    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[bytes, float] = {}
        """By payload, when each ping that waits for its pong was sent. The oldest is first."""
        self._recent: list[float] = []

    def sent(self, now: float) -> bytes:
        """Note that a ping is sent now. Returns its payload, which is unique on this connection."""
        self._number += 1
        payload = self._number.to_bytes(8)
        self._waiting[payload] = now
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return payload

    def answered(self, payload: bytes, now: float) -> float | None:
        """Note that a pong arrived now. Returns the round trip in seconds; None when no ping waits for it."""
        sent = self._waiting.get(payload)
        if sent is None:
            return None
        # A client that got several pings may answer only the newest (RFC 6455, 5.5.3), so the older ones are
        # dropped.
        for older in list(self._waiting):
            del self._waiting[older]
            if older == payload:
                break
        self._recent = [*self._recent[1 - RECENT :], now - sent]
        return now - sent

    @property
    def lag_ms(self) -> int | None:
        """The shortest of the newest RECENT round trips, in whole ms rounded down; None before the first."""
        return int(1000.0 * min(self._recent)) if self._recent else None
