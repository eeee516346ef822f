"""The changes of a session as an async iterator: it loses none, and a slow reader delays no one else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from synckairos.client.errors import SyncKairosError
from synckairos.client.model import Change, State

MAX_WAITING = 256
"""How many changes wait in memory for one reader. Later ones are read from the service's log when the reader
gets there."""


class Changes:
    """Changes in their order, each once, from a version on until the session is gone or closed.

    For a slow reader at most `MAX_WAITING` wait; those that come then are read from the service later,
    which has the newest 128 at least, and with an audit store all. When it has not, the iteration raises
    StorageUnavailable. A session that failed ends it with its `close_reason`.
    """

    def __init__(
        self, state: State | None, since: int | None, read_log: Callable[[int], Awaitable[list[Change]]]
    ) -> None:
        """They begin after version `since`, or without it after `state`, the last one that is known.

        read_log: gives the changes after a version from the service
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
        """A change that the session has made."""
        if self._behind:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._behind = True
            return
        self._waiting.append(change)
        self._more.set()

    def end(self, failure: SyncKairosError | None) -> None:
        """There will be no more. failure: what the iteration raises after the last change."""
        self._ended = True
        self._failure = failure
        self._more.set()

    async def _catch_up(self) -> None:
        """Read what did not wait here. What comes from now on waits again; what is in both counts once."""
        self._behind = False
        try:
            missed = await self._read_log(self._version)
        except BaseException:
            self._behind = True
            raise
        self._waiting.extendleft(reversed(missed))
