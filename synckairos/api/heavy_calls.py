"""Calls that keep Redis busy for long: a process sends them one after the other.

Redis carries out one call at a time. Between two heavy calls it so answers what waits, however many clients
create large sessions at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class HeavyCalls:
    """The heavy calls of one process."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, *, is_heavy: bool) -> AsyncIterator[None]:
        """The block runs while no other heavy one does. One that is not heavy does not wait."""
        if not is_heavy:
            yield
            return
        async with self._turn:
            yield
