"""When faults began and ended, and how long callers noticed them, in ms of the recorder's clock."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from synckairos.history.lines import Fault

SETTLED_MS = 2000
"""From so long after another primary was named on, sockets are told everything in time again."""


class Outage(msgspec.Struct):
    """One fault. The figures are ms; None where it did not happen.

    longest_pause_ms: the longest time without a success, from the fault's begin to the next one's
    """

    name: str
    began_ms: float
    named_ms: float | None = None
    ended_ms: float | None = None
    first_success_after_begin_ms: float | None = None
    first_success_after_named_ms: float | None = None
    longest_pause_ms: float | None = None


class Faults:
    """The faults of all recordings, in order."""

    def __init__(self, lines: Iterable[Fault]) -> None:
        self.outages: list[Outage] = []
        for line in sorted(lines, key=lambda each: each.at_ms):
            if line.what == "begin":
                self.outages.append(Outage(line.name, line.at_ms))
                continue
            under_way = [each for each in self.outages if each.name == line.name and each.ended_ms is None]
            for each in under_way[-1:]:
                if line.what == "end":
                    each.ended_ms = line.at_ms
                elif each.named_ms is None:
                    each.named_ms = line.at_ms

    def of(self, at_ms: float) -> tuple[str | None, float]:
        """The fault that a moment belongs to, and how long after its begin it was.

        This is the last one that has begun and not ended, else the one whose begin is nearest; the time is
        below 0 when that is ahead.
        """
        if not self.outages:
            return None, 0.0
        found = min(self.outages, key=lambda each: abs(at_ms - each.began_ms))
        for each in self.outages:
            if each.began_ms <= at_ms <= (at_ms if each.ended_ms is None else each.ended_ms):
                found = each
        return found.name, at_ms - found.began_ms

    def settled(self, at_ms: float) -> bool:
        """Whether a moment is after the last fault, or SETTLED_MS after that one named another primary."""
        for each in reversed(self.outages):
            if each.began_ms <= at_ms:
                over = each.named_ms if each.named_ms is not None else each.ended_ms
                return over is not None and at_ms >= over + SETTLED_MS
        return True

    def measure(self, successes: Sequence[tuple[float, float]]) -> None:
        """Fill in what callers noticed. successes: when each was asked for and answered."""
        asked = sorted(successes)
        answered = sorted(each for _, each in successes)
        begins = [each.began_ms for each in self.outages]
        for number, each in enumerate(self.outages):
            after = [end for start, end in asked[bisect_left(asked, (each.began_ms, 0.0)) :]]
            each.first_success_after_begin_ms = _after(each.began_ms, after)
            if each.named_ms is not None:
                each.first_success_after_named_ms = _after(
                    each.named_ms, answered[bisect_left(answered, each.named_ms) :][:1]
                )
            end = begins[number + 1] if number + 1 < len(begins) else float("inf")
            during = [moment for moment in answered if each.began_ms <= moment < end]
            moments = [each.began_ms, *during]
            each.longest_pause_ms = max(
                (later - earlier for earlier, later in pairwise(moments)), default=None
            )


def _after(moment: float, answered: Iterable[float]) -> float | None:
    return min((each - moment for each in answered), default=None)
