"""When a process calls alarms that are another one's to call: the rules, without a clock.

All times are milliseconds of the primary's clock, and are passed in.
"""

from __future__ import annotations

from collections.abc import Iterable

HOLD_BACK_MS = 25.0
"""How long after an alarm was due the process that comes next in the partition looks whether it still is. The
one after it looks after twice this time, and so do all others.
"""
MOST_HOLD_BACKS = 2
PATIENCE_MS = 40.0
"""How long an alarm then stays with the preferred process if that has called no other one meanwhile."""
BUSY_PATIENCE_MS = 150.0
"""The same when it has: it is at work, and the rest is to be called twice only if it stops."""
LONGEST_WAIT_MS = 2000.0
"""An alarm that has been seen overdue for this long is called, whatever progress there is."""


def hold_back_ms(rank: int) -> float:
    """How long after an alarm is due the process with this rank looks at it; 0: it calls the alarm itself."""
    return HOLD_BACK_MS * min(rank, MOST_HOLD_BACKS)


class Overdue:
    """Sessions of one partition whose alarm the preferred process should have called, as last seen."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def look(self, overdue: Iterable[str], now: float) -> bool:
        """Note which are overdue now. Returns whether one of before no longer is: somebody is at work."""
        before, self._since = self._since, {}
        for session_id in overdue:
            self._since[session_id] = before.pop(session_id, now)
        return bool(before)

    def stand_in_at(self, progress: float | None) -> float:
        """The moment from which this process is to call them.

        progress: when the preferred process was last seen at work, in any partition of the primary
        """
        since = min(self._since.values())
        if progress is None or progress <= since:
            return since + PATIENCE_MS
        return min(progress + BUSY_PATIENCE_MS, since + LONGEST_WAIT_MS)

    def first(self) -> str:
        """One of the sessions."""
        return next(iter(self._since))

    def take(self) -> list[str]:
        """All of them, which this process calls now."""
        taken = list(self._since)
        self._since.clear()
        return taken
