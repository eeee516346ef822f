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

RESTS = 9
"""How much longer the rest is than the call before it: heavy calls have at most a tenth of the time."""
LONGEST_REST_S = 1.0
MOST_WAITING = 20
"""How many heavy calls may wait for their turn."""


class HeavyCalls:
    """The heavy calls of one process."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, *, is_heavy: bool) -> AsyncIterator[None]:
        """The block runs while no other heavy one does. One that is not heavy does not wait.

        Raises RateLimitExceeded when MOST_WAITING wait already.
        """
        if not is_heavy:
            yield
            return
        if self._waiting >= MOST_WAITING:
            raise RateLimitExceeded("too many large sessions are being created", retry_after_ms=1000)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            rest_s = min(RESTS * (loop.time() - began), LONGEST_REST_S)
            loop.call_later(rest_s, self._turn.release)
