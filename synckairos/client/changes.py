"""The changes of a session as an async iterator. It loses none, and a slow reader does not delay others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from synckairos.client.errors import SyncKairosError
from synckairos.client.model import Change, State

MAX_WAITING = 256
"""How many changes wait in memory for one reader. Later ones are read from the service's log when the reader
gets to them.
"""


class Changes:
    """Iterates over changes in their order, each once, from a version on until the session is gone or closed.

    For a slow reader at most `MAX_WAITING` changes wait in memory. Further ones are read from the service
    later. It has at least the newest 64, and with an audit store all of them. When it does not have them,
    the iteration raises StorageUnavailable. When the session failed, it raises the session's `close_reason`.
    """

    def __init__(
        self, state: State | None, since: int | None, read_log: Callable[[int], Awaitable[list[Change]]]
    ) -> None:
        """Begin after version `since`, or without it after `state`.

        state: the newest state that is known
        read_log: reads the changes after a version from the service
        """
        self._read_log = read_log
        self._epoch = None if state is None else state.epoch
        self._version = since if since is not None else 0 if state is None else state.version
        self._waiting: deque[Change] = deque()
        self._more = asyncio.Event()
        self._behind = since is not None
        self._ended = False
        self._failure: SyncKairosError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            if self._waiting:
                change = self._waiting.popleft()
                if change.epoch == self._epoch and change.version <= self._version:
                    continue
                self._epoch, self._version = change.epoch, change.version
                return change
            if self._behind:
                await self._catch_up()
            elif self._ended:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            else:
                self._more.clear()
                await self._more.wait()

    def put(self, change: Change) -> None:
        """Add the session's next change."""
        if self._behind:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._behind = True
            return
        self._waiting.append(change)
        self._more.set()

    def end(self, failure: SyncKairosError | None) -> None:
        """End the iteration after the last change. failure: the error that it raises then."""
        self._ended = True
        self._failure = failure
        self._more.set()

    async def _catch_up(self) -> None:
        """Read the changes that did not fit into memory.

        Changes that come meanwhile wait again. A change that is in both is returned once.
        """
        self._behind = False
        try:
            missed = await self._read_log(self._version)
        except BaseException:
            self._behind = True
            raise
        self._waiting.extendleft(reversed(missed))
