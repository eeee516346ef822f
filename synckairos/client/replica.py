"""The local copy of a session: the state that the service confirmed, and the state that is shown.

The two differ while a command of this client is on its way, because its predicted effect is shown at once
(`predict.py`). When the service confirms the command, its clock started some milliseconds earlier or later
than predicted. A clock on a screen must not jump, so the shown clock runs a little fast or slow until the
difference is gone.
"""

from __future__ import annotations

import math

from synckairos.client.model import State, instant_ms
from synckairos.client.server_time import ServerTime
from synckairos.client.view import View

RECONCILE_RATE = 0.25
"""How much faster or slower a clock runs while it absorbs a difference: 0.25 is a quarter."""
RECONCILE_MS = 1000.0
"""A larger difference is not absorbed: the clock jumps."""


class Replica:
    """The states of one session, and the times to show them. It does not communicate."""

    def __init__(self, time: ServerTime) -> None:
        self.confirmed: View | None = None
        """The view that the service has confirmed; None before the first state."""
        self.shown: View | None = None
        """The same with this client's commands that are not confirmed yet."""
        self._time = time
        self._confirmed_ms = 0.0
        """The local time at which `confirmed` came."""
        self._lag = (0.0, 0.0)
        """By how much the shown time is behind (ms), and the local time from which this is absorbed."""

    def confirm(self, view: View) -> None:
        """Store a confirmed view. Raises ValueError for a running clock without a readable start."""
        if view.state.status == "running":
            instant_ms(view.state.cycle_started_at or "")  # an error is better than a wrong clock
        self.confirmed = view
        self._confirmed_ms = self._time.monotonic_ms()

    def show(self, view: View) -> None:
        """Show this from now on."""
        self._lag = self._lag_after(view.state)
        self.shown = view

    def server_now_ms(self) -> float:
        """The server's time. Before it is measured, it is derived from the newest state and its age."""
        now = self._time.now_ms()
        if now is not None or self.confirmed is None:
            return now or 0.0
        return self.confirmed.state.server_time_ms + self._time.monotonic_ms() - self._confirmed_ms

    def shown_now_ms(self) -> float | None:
        """The server time for the shown state, never before that state's time; None if time is refused."""
        if self.shown is None or self._time.is_refused:
            return None
        return max(self.shown.state.server_time_ms, self.server_now_ms() - self._current_lag())

    def _current_lag(self) -> float:
        lag, since = self._lag
        absorbed = RECONCILE_RATE * (self._time.monotonic_ms() - since)
        return math.copysign(max(0.0, abs(lag) - absorbed), lag)

    def _lag_after(self, after: State) -> tuple[float, float]:
        """The lag with which the state `after` continues the shown clock.

        Only a clock that a prediction started can lag. A clock that the prediction did not touch (as a
        session's clock at a switch) was right all the time. The clock of another cycle starts without a lag.
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
