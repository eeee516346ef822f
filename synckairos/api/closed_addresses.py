"""The addresses from which too many logins have failed, as far as this process knows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from time import monotonic

MOST = 10_000
"""How many addresses are remembered. Beyond that the one that was closed first is forgotten."""


class ClosedAddresses:
    """Addresses that may not log in for a while.

    now: monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._until: dict[str, float] = {}
        """The one that was closed last is at the end."""
        self._failed: dict[str, deque[float]] = {}
        """When the last logins of each address failed, of those that are counted here, the last one last."""

    def close(self, address: str, for_ms: int) -> None:
        """Remember that this address may not log in for so long."""
        self._until.pop(address, None)
        self._until[address] = self._now() + for_ms / 1000
        if len(self._until) > MOST:
            del self._until[next(iter(self._until))]

    def failed(self, address: str, most: int, period_ms: int) -> None:
        """Count a login that failed, and close the address when so many have within the period."""
        now = self._now()
        times = self._failed.pop(address, deque[float]())
        self._failed[address] = times
        times.append(now)
        if len(times) > most:
            times.popleft()
        if len(self._failed) > MOST:
            del self._failed[next(iter(self._failed))]
        left_ms = math.ceil(1000 * (times[0] - now) + period_ms)
        if len(times) == most and left_ms > 0:
            self.close(address, left_ms)

    def left_ms(self, address: str) -> int:
        """For how long this address may not log in; 0 when it may."""
        until = self._until.get(address)
        if until is None:
            return 0
        left = math.ceil(1000 * (until - self._now()))
        if left <= 0:
            del self._until[address]
        return max(left, 0)
