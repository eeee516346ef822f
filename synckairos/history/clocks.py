"""The sums of the clocks, from the events alone: charged + left - credited = bank, to the millisecond.

This is for clocks that participants own under Fischer's rule, sudden death included. What a rule cannot tell
from one event to the next (a restore, a turn taken back) is taken as the events say it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synckairos.audit.reading import milliseconds
from synckairos.history.events import Event, Participant, Payload, State
from synckairos.history.findings import Kind

LATE_MS = 1000
"""The library's bound: when it notices later than this what was due, the cycle begins at that moment."""

Wrong = tuple[Kind, str]
"""What is wrong with an event, and how."""


@dataclass(slots=True)
class _Clock:
    """A participant's clock under Fischer's rule. Times are ms; cap 0: none."""

    bank: int
    used: int
    expired: bool
    increment: int
    cap: int
    overtime: int

    @property
    def budget(self) -> int:
        return self.bank + self.overtime

    def credit(self, rest: int) -> int:
        """What a cycle in time that leaves `rest` ms is given."""
        if self.cap:
            return max(0, min(self.increment, self.cap - rest))
        return self.increment


def _kind(control: Any) -> str:
    return str(control["kind"]) if isinstance(control, dict) else "fischer"


def _hands_time_over(control: Any) -> bool:
    if _kind(control) == "stages":
        return any(_kind(stage) == "hourglass" for stage in control["stages"])
    return _kind(control) == "hourglass"


def _overtime(control: Any) -> int:
    return int(control.get("overtime_ms") or 0) if isinstance(control, dict) else 0


class Clocks:
    """The clocks of one session, followed event by event."""

    def __init__(self, config: State) -> None:
        self._config = config
        self._clocks: dict[str, _Clock] = {}
        self._controls: dict[str, Any] = {}
        self._time_is_handed_over = _hands_time_over(config.time_control)
        """In an hourglass a clock gives its time to the next one, which may be under another rule."""
        self._active: str | None = None
        self._started: int | None = None
        """When the running cycle began, with its pauses left out."""
        self._ran: int | None = 0
        """For how long the cycle had run when it was paused; None when the pause's begin was not seen."""
        self._offset = 0
        """How long the cycle had run when its clock was out and was given time again."""
        self._flagged = False
        self.checked = 0
        """How many clocks of events were compared."""
        for each in config.participants:
            self._learn(each.participant_id, each.time_control)

    def apply(self, event: Event) -> list[Wrong]:
        """Follow the next event. Returns what is wrong with it."""
        payload = event.payload
        for each in payload.participants:
            self._learn(each.participant_id, each.time_control)
        found = list(self._deadline(event))
        if self._time_is_handed_over:
            self._clocks.clear()
        elif self._config.sync_mode == "per_participant":
            if event.name in _FOLLOWED or (event.name in _CLOSING and payload.reason == "manual"):
                found += self._cycle(event)
                found += self._compare(payload, self._expected(event))
            self._take(event)
        return found

    def forget(self) -> None:
        """Events are missing: from here on, a clock is followed when an event has shown it."""
        self._clocks.clear()
        self._active = self._started = self._ran = None

    def compare_with(self, state: State) -> list[str]:
        """In which clocks the state differs from the events up to its version."""
        found = []
        for each in state.participants:
            clock = self._clocks.get(each.participant_id)
            if clock is not None and (clock.bank, clock.used) != (each.total_time_ms, each.time_used_ms):
                found.append(
                    f"{each.participant_id} has {each.total_time_ms} ms and used {each.time_used_ms} ms, "
                    f"by its events it has {clock.bank} ms and used {clock.used} ms"
                )
        return found

    def _learn(self, participant_id: str, control: Any) -> None:
        self._controls[participant_id] = control
        self._time_is_handed_over |= _hands_time_over(control)

    def _deadline(self, event: Event) -> Iterator[Wrong]:
        payload = event.payload
        if (
            payload.deadline_ms is None
            or payload.time_remaining_ms is None
            or payload.total_remaining_ms is not None
        ):
            return
        control = self._config.time_control
        if self._config.sync_mode == "per_participant":
            active = payload.active_participant_id or ""
            if active not in self._controls:
                return  # who has left since, and may have had a rule of one's own
            control = self._controls[active] or control
        elif self._config.sync_mode == "per_group":
            return  # the group's control is not followed here
        expected = event.server_time_ms + payload.time_remaining_ms + _overtime(control)
        if payload.deadline_ms != expected:
            yield "deadline", f"it is {payload.deadline_ms}, by the time left it is {expected}"

    def _cycle(self, event: Event) -> Iterator[Wrong]:
        """Whether the cycle begins, ends and continues when it has to."""
        payload = event.payload
        if payload.cycle_started_at is not None:
            started, expected = milliseconds(payload.cycle_started_at), self._cycle_start(event)
            if expected is not None and started != expected:
                yield "sum", f"the cycle began at {started}, and had to begin at {expected}"
        clock = self._clocks.get(self._active or "")
        if payload.expired_deadline_ms is not None and clock is not None and self._started is not None:
            expected = self._started + self._offset + clock.budget
            if not self._flagged and payload.expired_deadline_ms != expected:
                yield (
                    "deadline",
                    f"it expired at {payload.expired_deadline_ms}, its time was over at {expected}",
                )

    def _cycle_start(self, event: Event) -> int | None:
        """When the cycle after the event began; None when that is not known."""
        late = event.payload.late_ms or 0
        moment = event.server_time_ms
        if late <= LATE_MS:
            moment -= late  # it began when it had to, and not when the server noticed
        goes_on = event.payload.active_participant_id == self._active
        match event.name:
            case "session.arrived":
                return None  # at another server, whose clock is another one
            case "session.resumed":
                # One that was noticed late may go on from the end of the session, which is not known here.
                return None if self._ran is None or late > LATE_MS else moment - self._ran
            case "session.started" | "cycle.switched":
                return moment
            case "participant.expired" | "participant.removed" if self._active is not None and not goes_on:
                return moment
        return self._started

    def _expected(self, event: Event) -> dict[str, tuple[int, int, str]]:
        """By participant, bank and time used after the event, and the sum that leads to them."""
        payload, now = event.payload, event.server_time_ms
        if event.name == "time.adjusted":
            return self._adjusted(payload)
        clock = self._clocks.get(self._active or "")
        if event.name in _SAME_CYCLE or self._active is None or clock is None or self._flagged:
            return {}
        ran = self._ran if self._started is None else now - self._started
        if ran is None:
            del self._clocks[self._active]  # how long the cycle ran before its pause was not seen
            return {}
        ran -= self._offset
        match event.name:
            case "cycle.switched":
                charged = ran - payload.lag_credit_ms
                credit = clock.credit(clock.bank - charged)
                return {self._active: _sum(clock, charged, credit, min(ran, clock.budget))}
            case "participant.expired" | "session.expired":
                return {self._active: _sum(clock, clock.budget, 0, clock.budget)}
            case "session.completed" | "session.cancelled" | "turn.set":
                charged = min(ran, clock.budget)
                if event.name == "turn.set" and not charged:
                    return {}  # the cycle is not counted, so nothing has changed
                return {self._active: _sum(clock, charged, 0, charged)}
        return {}

    def _adjusted(self, payload: Payload) -> dict[str, tuple[int, int, str]]:
        found = {}
        for each in payload.participants:
            clock = self._clocks.get(each.participant_id)
            if clock is not None:
                text = f"bank {clock.bank}, adjusted by {payload.adjusted_ms}"
                found[each.participant_id] = clock.bank + payload.adjusted_ms, clock.used, text
        return found

    def _compare(self, payload: Payload, expected: dict[str, tuple[int, int, str]]) -> Iterator[Wrong]:
        told = {each.participant_id: each for each in payload.participants}
        for name in (*told, *(expected.keys() - told.keys())):
            clock = self._clocks.get(name)
            if clock is None or name == payload.removed_participant_id:
                continue
            as_before = clock.bank, clock.used, f"bank {clock.bank}, nothing charged"
            bank, used, text = expected.get(name, as_before)
            if name not in told:
                yield "sum", f"{name}: {text}, and the event does not show it"
                continue
            self.checked += 1
            found = told[name]
            if found.total_time_ms != bank:
                yield "sum", f"{name}: {text}: left {bank}, and not {found.total_time_ms}"
            elif found.time_used_ms != used:
                yield "sum", f"{name}: {text}: used {used}, and not {found.time_used_ms}"

    def _take(self, event: Event) -> None:
        """Continue from what the event says, also where it is wrong: one fault is then one finding."""
        payload, now = event.payload, event.server_time_ms
        if event.name in _FORGETTING:
            self._clocks.clear()
        active = payload.active_participant_id if payload.status in ("running", "paused") else None
        known = active in self._clocks
        for each in payload.participants:
            self._note(each)
        self._clocks.pop(payload.removed_participant_id or "", None)
        clock = self._clocks.get(active or "")
        started = None if payload.cycle_started_at is None else milliseconds(payload.cycle_started_at)
        if event.name == "session.paused":
            self._ran = None if self._started is None else now - self._started
        goes_on = active == self._active and event.name in ("participant.removed", "participant.expired")
        begins_here = self._active is None and event.name in ("participant.removed", "participant.expired")
        if event.name in _SAME_CYCLE or begins_here:
            if clock is not None and not known:
                self._join_cycle(payload, clock, started)
            elif event.name == "time.adjusted" and self._flagged and clock is not None and not clock.expired:
                # A clock that was out has time again: the cycle counts anew from here.
                self._flagged = False
                self._offset = (self._ran or 0) if started is None else now - started
        elif event.name == "participant.expired" and goes_on:
            self._flagged = True  # under `notify` the turn goes on at zero
        elif not goes_on:
            self._offset = 0
            self._ran = 0
            self._flagged = clock is not None and clock.expired
        self._active, self._started = active, started

    def _join_cycle(self, payload: Payload, clock: _Clock, started: int | None) -> None:
        """Follow a clock in whose cycle the history begins.

        In a pause nothing says how much of the cycle counts. Then it is followed from the next event on that
        shows it and a deadline.
        """
        self._flagged = clock.expired
        if payload.deadline_ms is not None and started is not None:
            self._offset = payload.deadline_ms - started - clock.budget
        else:
            self._clocks.pop(payload.active_participant_id or "", None)

    def _note(self, each: Participant) -> None:
        control = each.time_control or self._config.time_control
        if each.total_time_ms is None or _kind(control) != "fischer":
            return
        own = control if isinstance(control, dict) else {}
        increment = own.get("increment_ms")
        self._clocks[each.participant_id] = _Clock(
            each.total_time_ms,
            each.time_used_ms,
            each.has_expired,
            int(self._config.increment_ms or 0) if increment is None else int(increment),
            int(self._config.max_time_ms or 0),
            _overtime(control),
        )


def _sum(clock: _Clock, charged: int, credit: int, used: int) -> tuple[int, int, str]:
    """Bank and time used after a cycle, and the sum as text."""
    bank = clock.bank - charged + credit
    return bank, clock.used + used, f"bank {clock.bank}, charged {charged}, credited {credit}"


_FORGETTING = frozenset({"session.created", "session.recovered", "session.reset"})
"""After these every clock may have another bank, and the event need not show all of them."""
_SAME_CYCLE = frozenset(
    {
        *("session.paused", "session.resumed", "session.scheduled"),
        *("time.warning", "time.adjusted", "participant.added", "metadata.changed"),
        *("session.moved", "session.arrived"),
    }
)
"""These charge nothing, and the cycle goes on."""
_FOLLOWED = _SAME_CYCLE | {
    *("session.started", "cycle.switched", "participant.removed", "turn.set"),
    *("participant.expired", "session.expired"),
}
_CLOSING = frozenset({"session.completed", "session.cancelled"})
