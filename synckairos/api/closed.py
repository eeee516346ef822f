"""Who is turned away for a while, as far as this process knows. To find out, nothing is asked of Redis."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

MOST = 10_000
"""How many names are remembered. Beyond that the one that was closed first is forgotten."""


class Closed:
    """Names, of addresses or callers, that are turned away for a while.

    now: monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._until: dict[str, float] = {}
        """The one that was closed last is at the end."""

    def __len__(self) -> int:
        """How many names are remembered. Some of them may be open again."""
        return len(self._until)

    def close(self, name: str, for_ms: int) -> None:
        """Turn this name away for so long."""
        self._until.pop(name, None)
        self._until[name] = self._now() + for_ms / 1000
        if len(self._until) > MOST:
            del self._until[next(iter(self._until))]

    def left_ms(self, name: str) -> int:
        """For how long this name is turned away; 0 when it is not."""
        until = self._until.get(name)
        if until is None:
            return 0
        left = math.ceil(1000 * (until - self._now()))
        if left <= 0:
            del self._until[name]
        return max(left, 0)
