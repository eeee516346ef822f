"""What waits in this process for clients to read it: how much that may be for many of them together.

Each client has a bound of its own, which has to have place for large answers and states. A client that reads
nothing can stay below it, and somebody may have thousands of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

MOST = 512 * 1024 * 1024
"""How many bytes may wait for all WebSockets of a process together, and how many for all other clients."""


class Reader(Protocol):
    """A client for whom bytes wait."""

    @property
    def unread(self) -> int:
        """How many bytes the client has not taken."""

    def cut(self) -> None:
        """Ends the connection at once, with all that waits for it."""


def make_room(readers: Iterable[Reader], most: int = MOST) -> None:
    """Ends those for whom most waits, until no more than `most` bytes wait."""
    waiting = [(unread, reader) for reader in readers if (unread := reader.unread)]
    total = sum(unread for unread, _ in waiting)
    if total <= most:
        return
    for unread, reader in sorted(waiting, key=lambda each: each[0], reverse=True):
        reader.cut()
        total -= unread
        if total <= most:
            return
