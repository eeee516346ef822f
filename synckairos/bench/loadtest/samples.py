"""Moments and values: what was measured, when, and percentiles of it, in all and over time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from synckairos.bench.report import percentile

SHARES = (0.5, 0.95, 0.99)
"""The percentiles of tables and charts."""


def _reals() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Samples:
    """Values with their moments, in the order in which they came.

    at: seconds since the load began
    values: seconds (of latencies and lateness), or what the name of the samples says
    """

    at: array[float] = field(default_factory=_reals)
    values: array[float] = field(default_factory=_reals)

    def __len__(self) -> int:
        return len(self.at)

    def add(self, at: float, value: float) -> None:
        """One more value."""
        self.at.append(at)
        self.values.append(value)

    def extend(self, other: Samples) -> None:
        """The other's values, too."""
        self.at.extend(other.at)
        self.values.extend(other.values)

    def window(self, start: float, end: float) -> Samples:
        """Those between the two moments. Their moments count from `start`."""
        found = Samples()
        for at, value in zip(self.at, self.values, strict=True):
            if start <= at < end:
                found.add(at - start, value)
        return found

    def percentiles(self, shares: Iterable[float]) -> list[float]:
        """The values that these shares of all do not exceed; NaN without values."""
        ordered = sorted(self.values)
        return [percentile(ordered, share) for share in shares]

    def within(self, bound: float) -> int:
        """How many do not exceed this."""
        return sum(value <= bound for value in self.values)

    @property
    def largest(self) -> float:
        """The largest value; NaN without values."""
        return max(self.values, default=math.nan)

    def by_step(self, step_s: float, seconds: float) -> list[list[float]]:
        """The values of each step of time, in ascending order; a step may have none."""
        steps: list[list[float]] = [[] for _ in range(max(1, math.ceil(seconds / step_s)))]
        for at, value in zip(self.at, self.values, strict=True):
            if at >= 0 and (step := int(at / step_s)) < len(steps):
                steps[step].append(value)
        for each in steps:
            each.sort()
        return steps


Line = list[tuple[float, float]]
"""Points of a chart: seconds since the load began, and a value."""


def over_time(samples: Samples, step_s: float, seconds: float) -> dict[float, Line]:
    """A line for each of SHARES: the percentile of each step, at the middle of the step."""
    steps = samples.by_step(step_s, seconds)
    return {
        share: [
            ((number + 0.5) * step_s, percentile(values, share))
            for number, values in enumerate(steps)
            if values
        ]
        for share in SHARES
    }


def per_second(moments: Sequence[float], step_s: float, seconds: float) -> Line:
    """How many of the moments there are in a second, step by step. The last step may be shorter."""
    counts = [0] * max(1, math.ceil(seconds / step_s))
    for at in moments:
        if 0 <= at < seconds:
            counts[int(at / step_s)] += 1
    return [
        ((number + 0.5) * step_s, count / min(step_s, seconds - number * step_s))
        for number, count in enumerate(counts)
    ]
