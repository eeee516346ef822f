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
_FULL = 2
"""The generation of a full collection."""


class _Pace:
    """When everything is looked through again: when as many objects were left alone as there were then.

    So the work grows with the number of objects that are made and live long, and not with its square. Circles
    that nobody undoes are freed before they take more memory than everything else.
    """

    left = 0
    """How many objects the last look through everything has left."""
    since = 0
    """How many the full collections after it have left, together."""
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
    _Pace.is_due = _Pace.since > _Pace.left
    if _Pace.is_due:
        gc.unfreeze()
    else:
        gc.freeze()
