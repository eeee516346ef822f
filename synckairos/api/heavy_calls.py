"""Calls that keep Redis busy for long: a process sends them one after the other, and rests between them.

Redis carries out one call at a time. So everybody else waits while it creates a session of a thousand
participants. The rest after such a call leaves Redis to the others for most of the time, however many clients
create large sessions at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from synckairos.errors import RateLimitExceeded

HEAVY = 100
"""From which weight on a config is heavy. The weight is that of `synckairos.api.configs`."""
REST_S = 0.0005
"""The rest for each unit of weight. Redis is busy with one for 20 to 40 microseconds."""
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
            asyncio.get_running_loop().call_later(weight * REST_S, self._turn.release)
