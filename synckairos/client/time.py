"""The server's time, estimated from four timestamps, and shown so that no countdown jumps back.

A sample is one question and its answer: sent at t1 and back at t4 on this machine's clock, received at t2 and
answered at t3 on the server's clock. The network takes the round trip (t4 - t1) - (t3 - t2). It is not known
how this is divided between the two ways, so a sample can be wrong by half of it. All times are milliseconds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, NamedTuple


class Estimate(NamedTuple):
    """The estimate from the samples: server time is local time + `offset`, wrong by at most `uncertainty`.

    rtt: the round trip of the best sample
    """

    offset: float
    uncertainty: float
    rtt: float


class _Sample(NamedTuple):
    offset: float
    rtt: float
    taken: float


class ClockFilter:
    """The newest eight samples. The best one is used: it has the smallest rtt/2 + age * 50 ppm."""

    WINDOW: ClassVar[int] = 8
    DRIFT: ClassVar[float] = 50e-6
    """By how much a sample gets less certain for each unit of age: the drift of a bad oscillator."""
    RESOLUTION_MS: ClassVar[float] = 0.5
    """By how much the server's times can be wrong, because they are rounded down to whole ms."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=self.WINDOW)

    def add(self, t1: float, t2: float, t3: float, t4: float, now: float | None = None) -> None:
        """Add a sample. Half a ms has to be added to server times (t2, t3) that are whole ms.

        now: the local time from which its age counts; t4 by default
        """
        offset = ((t2 - t1) + (t3 - t4)) / 2
        rtt = max(0.0, (t4 - t1) - (t3 - t2))
        # Apart from rounding, the server cannot have worked on the answer for longer than the whole took.
        is_possible = t4 >= t1 and 0 <= t3 - t2 <= t4 - t1 + 2 * self.RESOLUTION_MS
        if is_possible and math.isfinite(offset) and math.isfinite(rtt):
            self._samples.append(_Sample(offset, rtt, t4 if now is None else now))

    def estimate(self, now: float) -> Estimate | None:
        """The estimate at the local time `now`; None without a sample."""
        best: Estimate | None = None
        for sample in self._samples:
            age = max(0.0, now - sample.taken)
            uncertainty = sample.rtt / 2 + self.RESOLUTION_MS + age * self.DRIFT
            # Of equally good samples the newer one is taken, which comes later in the list.
            if best is None or uncertainty <= best.uncertainty:
                best = Estimate(sample.offset, uncertainty, sample.rtt)
        return best

    def reset(self) -> None:
        """Drop all samples, because the local clock stopped or was set."""
        self._samples.clear()


class SlewedClock:
    """The server's clock to show. It follows the estimates by running a little fast or slow.

    It never goes back. Only a step forward of more than a second, as after sleep, is taken at once.
    """

    RATE: ClassVar[float] = 0.05
    BACK_RATE: ClassVar[float] = 0.5
    """How much slower it runs while it is more than a second ahead."""
    STEP_MS: ClassVar[float] = 1000.0

    def __init__(self) -> None:
        self._shown: float | None = None
        self._target = 0.0
        self._at = 0.0

    def set(self, offset: float, local: float) -> None:
        """Set the estimate from the local time `local` on: `offset` is server time minus local time."""
        if self._shown is None:
            self._shown, self._at = offset, local
        else:
            shown = self._advance(self._shown, local)
            self._shown = offset if offset - shown > self.STEP_MS else shown
        self._target = offset

    def now(self, local: float) -> float | None:
        """The server's time to show at the local time `local`; None before the first estimate."""
        if self._shown is None:
            return None
        self._shown = self._advance(self._shown, local)
        return max(local, self._at) + self._shown

    def gap(self, local: float) -> float:
        """The difference between the shown time and the newest estimate; 0 before the first one."""
        if self._shown is None:
            return 0.0
        self._shown = self._advance(self._shown, local)
        return abs(self._target - self._shown)

    def _advance(self, shown: float, local: float) -> float:
        """The offset to show at this local time."""
        passed = local - self._at
        if passed <= 0:
            return shown
        self._at = local
        gap = self._target - shown
        if gap >= 0:
            return shown + min(gap, self.RATE * passed)
        rate = self.BACK_RATE if -gap > self.STEP_MS else self.RATE
        return shown - min(-gap, rate * passed)
