"""What Python's garbage collector looks through, and how often: so little at once that no answer waits.

Python frees an object as soon as nothing refers to it. The collector is there for objects that refer to each
other in a circle. While it looks for them, nothing else is done in the process. A full collection looks
through everything, which took 30 to 60 ms of processor time with a thousand sockets, every ten seconds.

So what a full collection has left is left alone from then on (`gc.freeze`). It is still freed when nothing
refers to it. What is in a circle is not, so requests and connections undo their circles when they end; and
once in a while everything is looked through after all.
"""

from __future__ import annotations

import gc
from typing import Any

THRESHOLDS = 700, 10, 2
"""When collections begin: of the first generation after so many new objects, of the others after more than so
many collections of the one before.

The first two are Python's own. The last is 10 there. With 2 a full collection has at most about 25,000
objects to look through, which takes less than 10 ms.
"""
MORE = 1_000_000
"""Everything is looked through again when there are so many more objects than the last time, some 100 MB, and
at least twice as many. A thousand sockets have 110,000. To look through these and what was there at the start
takes 130 ms, so a process does not do it before it has nine thousand sockets, unless circles are not undone.
"""
_FULL = 2
"""The generation of a full collection."""


class _Pace:
    """When everything is looked through again."""

    left = 0
    """How many objects the last look through everything has left."""
    since = 0
    """How many have been left alone after it, at most: nobody tells how many of them are gone again."""
    is_due = True
    """Whether the next full collection looks through everything."""


def settle() -> None:
    """Look through everything now, and leave it alone then."""
    gc.set_threshold(*THRESHOLDS)
    if _leave_alone not in gc.callbacks:
        gc.callbacks.append(_leave_alone)
    _Pace.is_due = True
    gc.unfreeze()
    gc.collect()


def _leave_alone(phase: str, info: dict[str, Any]) -> None:
    """Called by the collector, before and after each collection."""
    if phase != "stop" or info["generation"] != _FULL:
        return
    count = len(gc.get_objects(_FULL))
    if _Pace.is_due:
        _Pace.left, _Pace.since = count, 0
    else:
        _Pace.since += count
    gc.freeze()
    most = max(MORE, _Pace.left)
    if _Pace.since > most:
        # To count them takes 10 ms for a hundred thousand, so it is not done each time.
        _Pace.since = gc.get_freeze_count() - _Pace.left
    _Pace.is_due = _Pace.since > most
    if _Pace.is_due:
        gc.unfreeze()
