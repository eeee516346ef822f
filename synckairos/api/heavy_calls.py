"""What keeps Redis, or the process itself, busy for long: it is done one after the other, with rests between.

Redis carries out one call at a time, and a process reads one body at a time. So everybody else waits while a
session of a thousand participants is created, or its config is read. The rest after that leaves both to the
others for most of the time, however many clients send large configs at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from synckairos.errors import RateLimitExceeded

HEAVY = 100
"""From which weight on a config is heavy. The weight is that of `synckairos.api.configs`."""
REST_S = 0.0008
"""The rest for each unit of weight. Redis is busy with one for 15 to 20 microseconds."""
LONGEST_REST_S = 1.0
"""Whoever waits for a turn gets it within some seconds, however large what came before is."""
MOST_WAITING = 8
"""How many heavy calls may wait for their turn."""


class HeavyCalls:
    """The heavy calls of one process."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, weight: int) -> AsyncIterator[None]:
        """The block runs while no other heavy one does. One that is not heavy does not wait.

        Raises RateLimitExceeded when MOST_WAITING wait already.
        """
        if weight < HEAVY:
            yield
            return
        if self._waiting >= MOST_WAITING:
            raise RateLimitExceeded("too many large requests wait for their turn", retry_after_ms=1000)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            asyncio.get_running_loop().call_later(min(weight * REST_S, LONGEST_REST_S), self._turn.release)
