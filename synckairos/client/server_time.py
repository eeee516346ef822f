"""The server's time as this client knows it, and how far this machine's own clock is off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from synckairos.client.callbacks import Callbacks
from synckairos.client.errors import ClockSkew, ClockSkewRefused, SyncKairosError
from synckairos.client.time import ClockFilter, Estimate, SlewedClock

MAX_SKEW_MS = 3_600_000.0
REPORTED_SKEW_MS = 60_000.0
SKEW_TOLERANCE_MS = 1_000.0
"""A clock in a wrong time zone is off by an hour and by a small error of its own: so much is let through."""
SLEPT_MS = 1_000.0
"""When the wall clock and the monotonic one part by more than this, the machine slept, or was set."""

Unsubscribe = Callable[[], None]


def monotonic_ms() -> float:
    """The local clock that all samples are taken by."""
    return 1000.0 * time.monotonic()


def wall_ms() -> float:
    """The local clock that people see."""
    return 1000.0 * time.time()


class ServerTime:
    """The server's clock. All values are milliseconds; until the first answer came nothing is known.

    max_skew_ms: with a clock of this machine that is further off, no clock is shown
    monotonic, wall: this machine's clocks in ms, for tests
    """

    def __init__(
        self,
        max_skew_ms: float = MAX_SKEW_MS,
        monotonic: Callable[[], float] = monotonic_ms,
        wall: Callable[[], float] = wall_ms,
    ) -> None:
        self.monotonic_ms = monotonic
        """The local clock that samples are taken by."""
        self.is_refused = False
        """Whether this machine's clock is so far off that no clock is shown."""
        self._max_skew_ms = max_skew_ms
        self._wall = wall
        self._filter = ClockFilter()
        self._clock = SlewedClock()
        self._estimate: Estimate | None = None
        self._skew: float | None = None
        self._reported: type[SyncKairosError] | None = None
        self._changed: Callbacks[[ServerTime]] = Callbacks()
        self._apart = wall() - monotonic()

    def now_ms(self) -> float | None:
        """The server's time now, as it is shown: it never goes back. None until it is known."""
        return self._clock.now(self.monotonic_ms())

    @property
    def uncertainty_ms(self) -> float:
        """How far `now_ms` may be off, either way; infinite until it is known."""
        now = self.monotonic_ms()
        estimate = self._filter.estimate(now)
        return math.inf if estimate is None else estimate.uncertainty + self._clock.gap(now)

    @property
    def offset_ms(self) -> float | None:
        """Server time less this machine's monotonic clock; None until it is known."""
        return None if self._estimate is None else self._estimate.offset

    @property
    def rtt_ms(self) -> float | None:
        """The round trip of the sample that counts; None until there is one."""
        return None if self._estimate is None else self._estimate.rtt

    @property
    def skew_ms(self) -> float | None:
        """Server time less this machine's wall clock; None until it is known."""
        return self._skew

    def on_change(self, fn: Callable[[ServerTime], object]) -> Unsubscribe:
        """Have `fn` called with this after each measurement; returns what ends that."""
        return self._changed.add(fn)

    def add(self, t1: float, t2: float, t3: float, t4: float) -> SyncKairosError | None:
        """A question and its answer: `t1`, `t4` by the monotonic clock, `t2`, `t3` whole ms of the server's.

        Returns what there is to say of this machine's clock, once: ClockSkew, ClockSkewRefused, or None.
        """
        # The server cuts its stamps to whole ms: half a ms is what that takes on average.
        self._filter.add(t1, t2 + 0.5, t3 + 0.5, t4)
        estimate = self._filter.estimate(t4)
        if estimate is None:
            return None
        self._estimate = estimate
        self._clock.set(estimate.offset, t4)
        self._skew = t4 + estimate.offset - self._wall()
        error = self._judge(self._skew, estimate.uncertainty)
        self._changed.call(self)
        return error

    def has_slept(self) -> bool:
        """Whether the machine slept, or was set, since this was asked last.

        The monotonic clock may stand still in sleep: what was measured before says nothing any more.
        """
        apart = self._wall() - self.monotonic_ms()
        slept = abs(apart - self._apart) > SLEPT_MS
        self._apart = apart
        if slept:
            self._filter.reset()
        return slept

    def _judge(self, skew: float, uncertainty: float) -> SyncKairosError | None:
        self.is_refused = abs(skew) - uncertainty - SKEW_TOLERANCE_MS > self._max_skew_ms
        kind: type[SyncKairosError] | None = None
        if self.is_refused:
            kind = ClockSkewRefused
        elif abs(skew) > REPORTED_SKEW_MS:
            kind = ClockSkew
        before, self._reported = self._reported, kind
        if kind is None or kind is before:
            return None
        side = "behind" if skew > 0 else "ahead of"
        return kind(
            f"this machine's clock is {abs(skew) / 1000:.0f} s {side} the server's",
            context={"skew_ms": skew, "uncertainty_ms": uncertainty, "max_skew_ms": self._max_skew_ms},
        )
