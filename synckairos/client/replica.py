"""The local copy of a session: the state that the service confirmed, and the one that is shown.

The two differ while an own command is on its way: it is shown at once (`predict.py`). When the service
confirms it, its clock turns out to have started some milliseconds earlier or later than was shown. A clock on
a screen must not jump, so the difference is absorbed by running the clock a little fast or slow.
"""

from __future__ import annotations

import math

from synckairos.client.model import State, instant_ms
from synckairos.client.server_time import ServerTime
from synckairos.client.view import View

RECONCILE_RATE = 0.25
"""By what share of its rate a clock runs faster or slower while a difference is absorbed."""
RECONCILE_MS = 1000.0
"""A larger difference is not absorbed: the clock is right at once."""


class Replica:
    """What is known of one session. It holds values and computes; it asks and tells nothing."""

    def __init__(self, time: ServerTime) -> None:
        self.confirmed: View | None = None
        """As the service has confirmed it; None until the first state came."""
        self.shown: View | None = None
        """The same with own commands on top that are not confirmed yet."""
        self._time = time
        self._confirmed_ms = 0.0
        """The local time at which `confirmed` came."""
        self._lag = (0.0, 0.0)
        """By how much the shown time lags behind (ms), as of a local time: it is absorbed from then on."""

    def confirm(self, view: View) -> None:
        """The service has confirmed this. Raises ValueError for a running clock without a readable start."""
        if view.state.status == "running":
            instant_ms(view.state.cycle_started_at or "")  # no clock at all is better than a wrong one
        self.confirmed = view
        self._confirmed_ms = self._time.monotonic_ms()

    def show(self, view: View) -> None:
        """Show this from now on."""
        self._lag = self._lag_after(view.state)
        self.shown = view

    def server_now_ms(self) -> float:
        """The server's time. Until it was measured it is derived from the newest state and its age."""
        now = self._time.now_ms()
        if now is not None or self.confirmed is None:
            return now or 0.0
        return self.confirmed.state.server_time_ms + self._time.monotonic_ms() - self._confirmed_ms

    def shown_now_ms(self) -> float | None:
        """The server's time for what is shown, never before the state shown; None where time is refused."""
        if self.shown is None or self._time.is_refused:
            return None
        return max(self.shown.state.server_time_ms, self.server_now_ms() - self._current_lag())

    def _current_lag(self) -> float:
        lag, since = self._lag
        absorbed = RECONCILE_RATE * (self._time.monotonic_ms() - since)
        return math.copysign(max(0.0, abs(lag) - absorbed), lag)

    def _lag_after(self, after: State) -> tuple[float, float]:
        """The lag with which `after` continues the clock that is shown.

        Only the clock that the prediction started lags. One that it did not touch (a session's clock at a
        switch) was right all the time, and the clock of another cycle starts without a lag.
        """
        lag = 0.0
        before = None if self.shown is None else self.shown.state
        if (
            before is not None
            and before.cycle_started_at is not None
            and after.cycle_started_at is not None
            and before.cycle_count == after.cycle_count
            and before.active_participant_id == after.active_participant_id
        ):
            off = instant_ms(before.cycle_started_at) - instant_ms(after.cycle_started_at)
            if before.deadline_ms is None or after.deadline_ms is None:
                is_touched = before.time_used_ms == after.time_used_ms
            else:
                is_touched = before.deadline_ms - after.deadline_ms == off
            lag = self._current_lag() + (off if is_touched else 0.0)
        return (0.0 if abs(lag) > RECONCILE_MS else lag, self._time.monotonic_ms())
