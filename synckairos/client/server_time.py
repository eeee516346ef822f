"""This client's estimate of the server's time, and how wrong this machine's own clock is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from synckairos.client.callbacks import Callbacks
from synckairos.client.errors import ClockSkew, ClockSkewRefused, SyncKairosError
from synckairos.client.time import ClockFilter, Estimate, SlewedClock

MAX_SKEW_MS = math.inf
"""By default the time is shown however wrong this machine's clock is."""
REPORTED_SKEW_MS = 60_000.0
SKEW_TOLERANCE_MS = 1_000.0
"""An additional tolerance. A clock in a wrong time zone is wrong by an hour plus a small error of its own."""
SLEPT_MS = 1_000.0
"""When wall clock and monotonic clock differ by this much more than before, the machine slept or was set."""

Unsubscribe = Callable[[], None]


def monotonic_ms() -> float:
    """The local clock with which samples are taken."""
    return 1000.0 * time.monotonic()


def wall_ms() -> float:
    """This machine's wall clock."""
    return 1000.0 * time.time()


class ServerTime:
    """The server's clock. All values are milliseconds. Before the first answer nothing is known.

    max_skew_ms: no clock is shown when this machine's clock is wrong by more than this; by default one
        always is
    monotonic, wall: this machine's clocks in ms, for tests
    """

    def __init__(
        self,
        max_skew_ms: float = MAX_SKEW_MS,
        monotonic: Callable[[], float] = monotonic_ms,
        wall: Callable[[], float] = wall_ms,
    ) -> None:
        self.monotonic_ms = monotonic
        """The local clock with which samples are taken."""
        self.is_refused = False
        """Whether this machine's clock is wrong by more than `max_skew_ms`, so that no clock is shown."""
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
        """The server's time now. It never goes back. None until it is known."""
        return self._clock.now(self.monotonic_ms())

    @property
    def uncertainty_ms(self) -> float:
        """By how much `now_ms` may be wrong, either way; infinite until it is known."""
        now = self.monotonic_ms()
        estimate = self._filter.estimate(now)
        return math.inf if estimate is None else estimate.uncertainty + self._clock.gap(now)

    @property
    def offset_ms(self) -> float | None:
        """Server time minus this machine's monotonic clock; None until it is known."""
        return None if self._estimate is None else self._estimate.offset

    @property
    def rtt_ms(self) -> float | None:
        """The round trip of the best sample; None before the first one."""
        return None if self._estimate is None else self._estimate.rtt

    @property
    def skew_ms(self) -> float | None:
        """Server time minus this machine's wall clock; None until it is known."""
        return self._skew

    def on_change(self, fn: Callable[[ServerTime], object]) -> Unsubscribe:
        """Have `fn` called with this object after each measurement. Returns a function that ends this."""
        return self._changed.add(fn)

    def add(self, t1: float, t2: float, t3: float, t4: float) -> SyncKairosError | None:
        """Add a sample: `t1`, `t4` by the monotonic clock, `t2`, `t3` in whole ms of the server's clock.

        Returns ClockSkew or ClockSkewRefused when this machine's clock is wrong, once for each, else None.
        """
        # The server rounds its times down to whole ms, so half a ms is missing on average.
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
        """Whether the machine was asleep, or a clock was set, since the last call.

        The monotonic clock may stop during sleep, so all samples from before are dropped then.
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
