"""Sockets of this process that are not known to be anybody's: how many there may be.

Before its token is good, nothing is asked of Redis for a socket, so these are counted in the process.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from synckairos import metrics
from synckairos.api import limits
from synckairos.errors import RateLimitExceeded

MAX_WAITING = 1_000
"""How many sockets of a process may wait for their tokens."""
MAX_WAITING_OF_ADDRESS = 20
"""How many of them may be of one address."""


class Strangers:
    """The sockets without a good token.

    now: monotonic seconds
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._waiting: Counter[str] = Counter()
        self._opened: dict[str, deque[float]] = {}
        """When each address opened its last sockets. The address that did last is at the end."""

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._opened.keys() | self._waiting.keys())

    @contextmanager
    def waiting(self, address: str) -> Iterator[None]:
        """A place for a socket that waits for its token. Raises RateLimitExceeded when there is none."""
        if self._waiting.total() >= MAX_WAITING or self._waiting[address] >= MAX_WAITING_OF_ADDRESS:
            metrics.rate_limited.labels("websockets_waiting").inc()
            raise RateLimitExceeded("too many connections wait for their tokens", retry_after_ms=1000)
        self._waiting[address] += 1
        try:
            yield
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    def open(self, address: str) -> None:
        """Count a socket that is opened without a good token. Raises RateLimitExceeded."""
        now, limit = self._now(), limits.SOCKETS_WITHOUT_TOKEN
        period_s = limit.period_ms / 1000
        while self._opened:
            longest_ago, opened = next(iter(self._opened.items()))
            if now - opened[-1] < period_s:
                break
            del self._opened[longest_ago]
        opened = self._opened.pop(address, deque[float]())
        self._opened[address] = opened
        while opened and now - opened[0] >= period_s:
            opened.popleft()
        if len(opened) >= limit.count:
            raise limits.exceeded(limit, math.ceil(1000 * (opened[0] + period_s - now)))
        opened.append(now)

    def known(self, address: str) -> None:
        """Count the last socket of this address no more, because its token has come and is good."""
        opened = self._opened.get(address)
        if opened:
            opened.pop()
            if not opened:
                del self._opened[address]
