"""Reads that come at the same time and ask the same are one read.

A state with a thousand participants takes Redis milliseconds, and all watchers of a session may ask for it at
once. A read that comes while the same one is under way does not get the reply of that one, because it may be
older than what its caller knows already. It waits for the next one, which all share that came meanwhile. So
there are never more than one at a time, and a read shows every change that was acknowledged before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from synckairos.core.links import shared
from synckairos.supervision import retrieve_error

WAIT_S = 0.25
"""How long a read waits for the one under way, which may be waiting for a server that is away."""


class SharedReads:
    """The reads of one process, each by what it asks."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[None]] = {}
        """Each is done when the read has ended."""
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def read(self, asked: Hashable, call: Callable[[], Awaitable[Any]]) -> Any:
        """The reply to a call that begins no earlier than now. Raises what the call raises."""
        under_way = self._under_way.get(asked)
        if under_way is None:
            return await self._read(asked, call)
        following = self._next.get(asked)
        if following is None:
            following = self._next[asked] = asyncio.create_task(self._after(under_way, asked, call))
            following.add_done_callback(retrieve_error)
        return await shared(following)

    async def _after(
        self, under_way: asyncio.Future[None], asked: Hashable, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        await asyncio.wait((under_way,), timeout=WAIT_S)
        del self._next[asked]
        return await self._read(asked, call)

    async def _read(self, asked: Hashable, call: Callable[[], Awaitable[Any]]) -> Any:
        done = self._under_way[asked] = asyncio.get_running_loop().create_future()
        try:
            return await call()
        finally:
            if self._under_way.get(asked) is done:
                del self._under_way[asked]
            done.set_result(None)
