"""The addresses from which too many logins have failed, as far as this process knows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from time import monotonic

from synckairos.api.closed import MOST, Closed


class ClosedAddresses(Closed):
    """Addresses that may not log in for a while.

    now: monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__(now)
        self._failed: dict[str, deque[float]] = {}
        """When the last logins of each address failed, of those that are counted here, the last one last."""

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
