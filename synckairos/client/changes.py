"""The changes of a session as an async iterator that loses nothing and holds nobody up."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from synckairos.client.model import Change

if TYPE_CHECKING:
    from synckairos.client.session import Session

KEPT_CHANGES = 256
"""How many changes wait for one reader. Those that come when as many wait are read from the service's log
later, when the reader gets there."""


class Changes:
    """Changes in their order, each once, from a version on until the session is gone or closed.

    For a slow reader at most `KEPT_CHANGES` wait; those that come then are read from the service later,
    which has the newest 128 at least, and with an audit store all. When it has not, the iteration raises
    StorageUnavailable. A session that failed ends it with its `close_reason`.
    """

    def __init__(self, session: Session, since: int | None) -> None:
        self._session = session
        state = session.confirmed
        self._epoch = None if state is None else state.epoch
        self._version = since if since is not None else 0 if state is None else state.version
        self._waiting: deque[Change] = deque()
        self._more = asyncio.Event()
        self._behind = since is not None
        self._ended = session.connection == "closed"

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
                await self._read_log()
            elif self._ended:
                if self._session.failure is not None:
                    raise self._session.failure
                raise StopAsyncIteration
            else:
                self._more.clear()
                await self._more.wait()

    def put(self, change: Change) -> None:
        """A change that the session has made."""
        if self._behind:
            return
        if len(self._waiting) >= KEPT_CHANGES:
            self._behind = True
            return
        self._waiting.append(change)
        self._more.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._more.set()

    async def _read_log(self) -> None:
        """Read what did not wait here. What comes from now on waits again; what is in both counts once."""
        self._behind = False
        try:
            missed = await self._session.events(self._version)
        except BaseException:
            self._behind = True
            raise
        self._waiting.extendleft(reversed(missed))
