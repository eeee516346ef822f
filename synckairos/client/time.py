"""The server's time, found by four timestamps, and shown so that no countdown jumps back.

A sample is one question and its answer: sent at t1 and back at t4 by this machine's clock, received at t2 and
answered at t3 by the server's. What the network adds is the round trip (t4 - t1) - (t3 - t2), and because
it is not known how it was divided, a sample can be wrong by half of it. All times are milliseconds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import ClassVar, NamedTuple


class Estimate(NamedTuple):
    """What the samples say: server time is local time + `offset`, wrong by at most `uncertainty`.

    rtt: the round trip of the sample that counts
    """

    offset: float
    uncertainty: float
    rtt: float


class _Sample(NamedTuple):
    offset: float
    rtt: float
    taken: float


class ClockFilter:
    """The newest eight samples, of which the best counts: that with the least rtt/2 + age * 50 ppm."""

    WINDOW: ClassVar[int] = 8
    DRIFT: ClassVar[float] = 50e-6
    """How much a sample is trusted less for each unit of its age: the drift of a bad oscillator."""
    RESOLUTION_MS: ClassVar[float] = 0.5
    """What the server's stamps can be wrong by: it cuts them to whole ms."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=self.WINDOW)

    def add(self, t1: float, t2: float, t3: float, t4: float, now: float | None = None) -> None:
        """A sample. Whole-ms stamps of the server (t2, t3) are to be given with half a ms added.

        now: the local time from which its age counts; t4 by default
        """
        offset = ((t2 - t1) + (t3 - t4)) / 2
        rtt = max(0.0, (t4 - t1) - (t3 - t2))
        # The server cannot have worked on the answer for longer than it was under way, but for rounding.
        is_possible = t4 >= t1 and 0 <= t3 - t2 <= t4 - t1 + 2 * self.RESOLUTION_MS
        if is_possible and math.isfinite(offset) and math.isfinite(rtt):
            self._samples.append(_Sample(offset, rtt, t4 if now is None else now))

    def estimate(self, now: float) -> Estimate | None:
        """What is known at the local time `now`; None without a sample."""
        best: Estimate | None = None
        for sample in self._samples:
            age = max(0.0, now - sample.taken)
            uncertainty = sample.rtt / 2 + self.RESOLUTION_MS + age * self.DRIFT
            # Of equals the newer: it comes later.
            if best is None or uncertainty <= best.uncertainty:
                best = Estimate(sample.offset, uncertainty, sample.rtt)
        return best

    def reset(self) -> None:
        """Forget all samples: the local clock stood still, or was set."""
        self._samples.clear()


class SlewedClock:
    """The server's clock as it is shown: it follows the estimates by running a little fast or slow.

    It never goes back. Only a step forward of more than a second (the machine slept) is taken at once.
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
        """From the local time `local` on the estimate is `offset` (server time less local time)."""
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
        """How far what is shown is from the newest estimate; 0 before the first one."""
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
