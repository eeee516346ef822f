"""The addresses from which too many logins have failed, as far as this process knows."""

from __future__ import annotations

import math
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

    def close(self, address: str, for_ms: int) -> None:
        """Remember that this address may not log in for so long."""
        self._until.pop(address, None)
        self._until[address] = self._now() + for_ms / 1000
        if len(self._until) > MOST:
            del self._until[next(iter(self._until))]

    def left_ms(self, address: str) -> int:
        """For how long this address may not log in; 0 when it may."""
        until = self._until.get(address)
        if until is None:
            return 0
        left = math.ceil(1000 * (until - self._now()))
        if left <= 0:
            del self._until[address]
        return max(left, 0)
