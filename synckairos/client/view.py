"""A session's state, updated by events so that it equals what `GET` would return.

An event has the participants and groups whose values changed, and the values of the cycle since then. The
rest of the state follows from the event and the state before it, by the rules of `lua/README.md` and
`lua/controls/README.md`. Everything here is a pure function. Times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from synckairos.client.model import (
    Change,
    ClockDetails,
    Group,
    Now,
    Owner,
    Participant,
    Payload,
    State,
    TimeControl,
    instant_ms,
    timestamp,
)

Entry = TypeVar("Entry", Participant, Group)

NO_DETAILS = ClockDetails()
_FISCHER = TimeControl()
_NO_MEMBERS: Mapping[str, int] = MappingProxyType({})
_MOST_PAST = 64
"""How many cycles back `Cycle.past` reaches: no further than the service's log, from which turns are taken
back."""


class Cycle(NamedTuple):
    """Values of the current cycle that are needed and are not in the state.

    flagged: whether the current clock ran out, and stays at its end
    offset: how long the cycle had run (ms) when a flagged clock got time again
    spent: how much the cycle was charged (ms) before its clock ran out
    last: by group, the index of the member who was active last, also if that one has left
    past: the same at the end of each cycle before this one, for turns that are taken back
    pauses_end: the server time (ms) at which the pause that is under way will have taken all that is left for
        pauses; None without one that counts
    """

    flagged: bool = False
    offset: int = 0
    spent: int = 0
    last: Mapping[str, int] = _NO_MEMBERS
    past: tuple[Mapping[str, int], ...] = ()
    pauses_end: int | None = None


class View(NamedTuple):
    """A state, with values that come from earlier states and are not in it."""

    state: State
    cycle: Cycle


def owned_by(state: State) -> str:
    """The kind of owner that clocks have: `participant`, `group`, `cycle` or `session`."""
    match state.sync_mode:
        case "per_participant":
            return "participant"
        case "per_group":
            return "group"
        case "per_cycle":
            return "cycle"
        case "global":
            return "session" if state.time_per_cycle_ms is None else "cycle"
    return "session"


def running_owner(state: State) -> Owner | None:
    """The participant or group whose clock the current cycle uses; None if it is the session's or cycle's."""
    if not state.is_live:
        return None
    match owned_by(state):
        case "participant":
            return state.active
        case "group" if state.active_group_id is not None:
            return state.group(state.active_group_id)
    return None


def control_of(state: State, owner: Owner | None) -> TimeControl:
    """The time control of an owner's clock. The clock of a session or cycle has a plain one."""
    if owner is None:
        return _FISCHER
    return owner.time_control or state.time_control or _FISCHER


def rule_of(control: TimeControl, details: ClockDetails | None) -> TimeControl:
    """The rule by which a clock is spent now. For a control with stages it is that of the current stage."""
    if control.stages:
        return control.stages[(details or NO_DETAILS).stage or 0]
    return control


def extra_budget(rule: TimeControl, details: ClockDetails | None, offset: int = 0) -> int:
    """The time that a cycle may use in addition to the bank (ms): delay, periods or block, not overtime."""
    details = details or NO_DETAILS
    match rule.kind:
        case "delay":
            return max(0, (rule.delay_ms or 0) - offset)
        case "byoyomi":
            return (details.periods_left or 0) * (rule.period_ms or 0)
        case "canadian":
            return details.block_remaining_ms or 0
    return 0


def runs_down(state: State) -> bool:
    """Whether the remaining time goes down. It does not when a clock is at its end and the total runs on."""
    if state.status != "running" or state.deadline_ms is None or state.time_remaining_ms is None:
        return False
    overtime = control_of(state, running_owner(state)).overtime_ms
    return state.deadline_ms - overtime - state.server_time_ms == state.time_remaining_ms


def pauses_end(state: State) -> int | None:
    """`Cycle.pauses_end`, as far as a state tells.

    A pause that counts ends by itself, at the latest when nothing remains. The stand after a reopen does not,
    and one that is not counted only by `max_pause_ms`. When nothing remains, it is not known since when: then
    it is taken to be since the pause was to end.
    """
    left, resumes = state.pause_remaining_ms, state.resumes_at_ms
    if state.status != "paused" or left is None or resumes is None:
        return None
    end = state.server_time_ms + left if left > 0 else min(state.server_time_ms, resumes)
    return end if resumes <= end else None


def beyond(bank: int, used: int) -> int:
    """How much of `used` was beyond the main time (ms). A bank below zero counts as empty."""
    return max(0, used - max(0, bank))


def without_now(entry: Entry) -> Entry:
    """An entry without `now`, which only the current clock has."""
    details = entry.clock
    if details is None or details.now is None:
        return entry
    return replace(entry, clock=replace(details, now=None))


def adopted(state: State) -> View:
    """The view of a state that the service sent, with the values that can be derived from it."""
    last: Mapping[str, int] = _NO_MEMBERS
    active = state.active if state.is_live else None
    if active is not None and active.group_id is not None:
        last = {active.group_id: active.participant_index}
    left, end = state.time_remaining_ms, pauses_end(state)
    if not state.is_live or left is None:
        return View(state, Cycle(last=last, pauses_end=end))
    holder = running_owner(state)
    bank: int | None = None
    more = delay = 0
    if holder is not None:
        rule = rule_of(control_of(state, holder), holder.clock)
        flagged = holder.has_expired
        bank = holder.total_time_ms
        if rule.kind == "delay":
            delay = rule.delay_ms or 0
        else:
            more = extra_budget(rule, holder.clock)
    else:
        flagged = not runs_down(state) if state.status == "running" else left == 0
        if state.sync_mode == "count_up" and state.max_time_ms is not None:
            bank = state.max_time_ms - state.time_used_ms
        elif owned_by(state) == "session":
            bank = state.total_time_ms
    offset = 0
    if bank is not None and not flagged:
        # If the time left plus the time that has run is more than the budget, the clock has not run from the
        # beginning of the cycle.
        behind = left - bank - more + (state.cycle_elapsed_ms or 0)
        offset = behind if behind > delay else 0
    return View(state, Cycle(flagged, offset, last=last, pauses_end=end))


def state_at(state: State, now: int) -> State:
    """The state at a later server time, as `GET` would return it then if nothing changed until then."""
    return _state_at(state, now, pauses_end(state))


def _state_at(state: State, now: int, pauses_end: int | None) -> State:
    now = max(now, state.server_time_ms)
    after = replace(state, server_time_ms=now)
    if state.status == "running":
        passed = now - state.server_time_ms
        left, total_left = state.time_remaining_ms, state.total_remaining_ms
        after = replace(
            after,
            cycle_elapsed_ms=_elapsed(state, now),
            time_remaining_ms=left - passed if left is not None and runs_down(state) else left,
            total_remaining_ms=None if total_left is None else max(0, total_left - passed),
        )
    elif pauses_end is not None:
        after = replace(after, pause_remaining_ms=max(0, pauses_end - now))
    elif state.is_over:
        after = replace(
            after, starts_at_ms=_ahead(state.starts_at_ms, now), ends_at_ms=_ahead(state.ends_at_ms, now)
        )
    return _with_current_clock(after)


def _ahead(instant: int | None, now: int) -> int | None:
    """A start or an end of the session, which is gone once it has come."""
    return None if instant is None or instant <= now else instant


def _elapsed(state: State, now: int) -> int | None:
    started = state.cycle_started_at
    return state.cycle_elapsed_ms if started is None else now - instant_ms(started)


def _with_current_clock(state: State) -> State:
    """The state with the values of the current clock copied into its owner's entry."""
    holder = running_owner(state)
    if holder is None or holder.clock is None:
        return state
    left = state.time_remaining_ms
    shown = replace(
        holder, time_remaining_ms=left, clock=replace(holder.clock, now=_clock_now(state, holder, left))
    )
    return with_entries(state, {shown.id: shown})


def _clock_now(state: State, owner: Owner, left: int | None) -> Now | None:
    """The values of the current clock if the cycle were charged now; None if its control has none."""
    control = control_of(state, owner)
    details = owner.clock or NO_DETAILS
    rule = rule_of(control, details)
    if left is None or not (control.overtime_ms or rule.kind in ("byoyomi", "canadian")):
        return None
    bank = owner.total_time_ms or 0
    left = max(left, -control.overtime_ms)
    over = beyond(bank, bank + extra_budget(rule, details) - left)
    periods = rest = block = None
    if rule.kind == "byoyomi":
        length = rule.period_ms or 1
        periods = max(0, (details.periods_left or 0) - over // length)
        rest = length - over % length if periods else 0
    elif rule.kind == "canadian":
        block = max(0, (details.block_remaining_ms or 0) - over)
    return Now(
        periods_left=periods,
        period_remaining_ms=rest,
        block_remaining_ms=block,
        overtime_used_ms=max(0, -min(bank, left)) if control.overtime_ms else None,
    )


def with_entries(state: State, entries: Mapping[str, Owner]) -> State:
    """The state with these participants and groups (by id) instead of the old ones."""
    participants = tuple(_instead(p, entries.get(p.id)) for p in state.participants)
    return replace(
        state, participants=participants, groups=tuple(_instead(g, entries.get(g.id)) for g in state.groups)
    )


def _instead(entry: Entry, other: Owner | None) -> Entry:
    return other if other is not None and isinstance(other, type(entry)) else entry


def charge(view: View) -> int:
    """How much the current cycle would be charged (ms) if it ended at the state's time."""
    state, cycle = view
    if cycle.flagged or not state.is_live:
        return 0
    used = (state.cycle_elapsed_ms or 0) - cycle.offset
    holder = running_owner(state)
    if holder is None or holder.total_time_ms is None:
        return used
    control = control_of(state, holder)
    more = extra_budget(rule_of(control, holder.clock), holder.clock, cycle.offset)
    return min(used, holder.total_time_ms + more + control.overtime_ms)


def view_at(view: View, now: int) -> View:
    """The view at a later server time."""
    return View(_state_at(view.state, now, view.cycle.pauses_end), view.cycle)


_BEGINNINGS = frozenset({"session.started", "turn.taken_back", "turn.set", "session.reopened"})
"""Events after which a live session is in a fresh cycle, although no cycle was counted."""


def merged(view: View, change: Change) -> View:
    """The view after a change, which has to be the next one of the same epoch."""
    payload, now = change.payload, change.server_time_ms
    was = view_at(view, now)
    before = was.state
    ended = payload.cycle_count > before.cycle_count
    live = payload.status in ("running", "paused")
    begins = live and (ended or payload.event in _BEGINNINGS)
    gone = payload.removed_participant_id
    used = sum(entry.time_used_ms - _used_before(before, entry.id) for entry in payload.participants)
    if ended and gone is not None:
        used += charge(was)  # the event does not have the participant who left
    if payload.event == "session.reset":
        used = -before.time_used_ms  # also that of participants who have left
    elapsed = None
    if payload.cycle_started_at is not None:
        elapsed = now - instant_ms(payload.cycle_started_at)
    elif live:
        elapsed = 0 if begins else before.cycle_elapsed_ms
    total, most = _own_clock_after(before, payload, begins=begins, used=used, elapsed=elapsed or 0)
    participants = _replaced((p for p in before.participants if p.id != gone), payload.participants)
    after = replace(
        before,
        version=change.version,
        epoch=change.epoch,
        server_time_ms=now,
        updated_at=timestamp(now),
        status=payload.status,
        participants=tuple(sorted(participants, key=lambda entry: entry.participant_index)),
        groups=tuple(_replaced(before.groups, payload.groups)),
        active_participant_id=payload.active_participant_id,
        active_group_id=payload.active_group_id,
        cycle_started_at=payload.cycle_started_at,
        cycle_elapsed_ms=elapsed,
        deadline_ms=payload.deadline_ms,
        time_remaining_ms=payload.time_remaining_ms,
        total_remaining_ms=payload.total_remaining_ms,
        resumes_at_ms=payload.resumes_at_ms,
        cycle_count=payload.cycle_count,
        metadata=before.metadata if payload.metadata is None else payload.metadata,
        time_used_ms=before.time_used_ms + used,
        total_time_ms=total,
        max_time_ms=most,
        session_started_at=_started_after(before, payload),
        session_completed_at=_completed_after(before, payload, now),
    )
    if payload.event == "session.reset":
        after = replace(after, recovered=False, recovered_at=None, warning=None)
    after = _with_pauses(_with_schedule(after, payload), payload, view)
    after = _with_current_clock(after)
    return View(after, _cycle_after(was, after, payload, begins=begins, used=used))


def _own_clock_after(
    before: State, payload: Payload, *, begins: bool, used: int, elapsed: int
) -> tuple[int | None, int | None]:
    """`total_time_ms` and `max_time_ms` after an event. In some modes they are the session's own clock.

    begins: whether a cycle begins, which has run for `elapsed` ms; used: what was added to the time used
    """
    total, most = before.total_time_ms, before.max_time_ms
    counts_up = before.sync_mode == "count_up"
    if not counts_up and owned_by(before) != "session":
        return total, most
    left, added = payload.time_remaining_ms, payload.adjusted_ms
    if payload.event == "session.reset":
        return (total, payload.max_time_ms) if counts_up else (payload.total_time_ms, most)
    if counts_up:
        if added is not None:
            most = before.time_used_ms + (before.cycle_elapsed_ms or 0) if most is None else most
            most += added
        return total, most
    if begins and left is not None:
        # When turns are taken back, the times used come back, but the session's clock runs on.
        return left + elapsed, most
    return None if total is None else total + (added or 0) - used, most


def _started_after(before: State, payload: Payload) -> str | None:
    match payload.event:
        case "session.started":
            return payload.cycle_started_at
        case "session.reset":
            return None
    return before.session_started_at


def _completed_after(before: State, payload: Payload, now: int) -> str | None:
    """When the session was over: at the deadline of an expiry, or at its end, whenever that was noticed."""
    if payload.status in ("pending", "running", "paused"):
        return None
    if before.session_completed_at is not None:
        return before.session_completed_at
    over = now if payload.expired_deadline_ms is None else payload.expired_deadline_ms
    if _is_by_end(before, payload, now):
        over = before.ends_at_ms or now
    return timestamp(over)


def _is_by_end(before: State, payload: Payload, now: int) -> bool:
    """Whether the session was completed because `ends_at_ms` has come."""
    ends = before.ends_at_ms
    by_itself = payload.event == "session.completed" and payload.reason == "auto"
    return by_itself and payload.expired_deadline_ms is None and ends is not None and ends <= now


def _with_schedule(after: State, payload: Payload) -> State:
    """The state with its start and its end as they are after an event. What has come is gone."""
    if payload.event in ("session.created", "session.scheduled"):
        return replace(after, starts_at_ms=payload.starts_at_ms, ends_at_ms=payload.ends_at_ms)
    starts, ends = after.starts_at_ms, after.ends_at_ms
    if starts is None and ends is None:
        return after
    now = after.server_time_ms
    if after.status != "pending":
        starts = None if after.is_live else _ahead(starts, now)
    if after.is_over or payload.event in ("session.reopened", "session.reset"):
        starts, ends = _ahead(starts, now), _ahead(ends, now)
    return replace(after, starts_at_ms=starts, ends_at_ms=ends)


def _with_pauses(after: State, payload: Payload, view: View) -> State:
    """The state with the pauses that are left after an event. view: the view before it."""
    pauses, left = after.pauses_left, after.pause_remaining_ms
    if pauses is None and left is None:
        return after
    before = view.state
    match payload.event:
        case "session.reset":
            pauses, left = after.max_pauses, after.max_total_pause_ms
        case "session.paused" if payload.counted is not False and pauses is not None:
            pauses = max(0, pauses - 1)
    if view.cycle.pauses_end is not None and after.status != "paused":
        # It may have ended before that was noticed.
        ended = after.session_completed_at
        if after.cycle_started_at is not None:
            ended = timestamp(instant_ms(after.cycle_started_at) + (before.cycle_elapsed_ms or 0))
        if ended is not None:
            left = max(0, view.cycle.pauses_end - instant_ms(ended))
    return replace(after, pauses_left=pauses, pause_remaining_ms=left)


def _cycle_after(was: View, after: State, payload: Payload, *, begins: bool, used: int) -> Cycle:
    if payload.event == "session.reset":
        return Cycle()
    last, past = _turns_after(was, payload)
    end = _pauses_end_after(was, after, payload)
    cycle = was.cycle._replace(last=last, past=past, pauses_end=end)
    if not after.is_live:
        return Cycle(last=last, past=past)
    holder = running_owner(after)
    if begins:
        if holder is not None:
            flagged = holder.has_expired
        else:
            flagged = owned_by(after) == "session" and (cycle.flagged or _is_emptied(was, after, payload))
        active = after.active
        if active is not None and active.group_id is not None:
            last = {**last, active.group_id: active.participant_index}
        return Cycle(flagged, last=last, past=past, pauses_end=end)
    if payload.event == "participant.expired":
        return cycle._replace(flagged=True, spent=cycle.spent + used)
    got_time = not holder.has_expired if holder is not None else (payload.adjusted_ms or 0) > 0
    if payload.event == "time.adjusted" and cycle.flagged and got_time:
        return cycle._replace(flagged=False, offset=after.cycle_elapsed_ms or 0)
    return cycle


def _turns_after(was: View, payload: Payload) -> tuple[Mapping[str, int], tuple[Mapping[str, int], ...]]:
    """`Cycle.last` and `Cycle.past` after an event, before the cycle that it begins."""
    past = was.cycle.past
    if payload.event == "turn.taken_back":
        back = payload.turns or 1
        # Without the past, as of a client that came later, it is not known who was active last.
        return (past[-back], past[:-back]) if back <= len(past) else (_NO_MEMBERS, ())
    last = was.cycle.last
    if payload.cycle_count > was.state.cycle_count:
        past = (*past, last)[-_MOST_PAST:]
    return last, past


def _pauses_end_after(was: View, after: State, payload: Payload) -> int | None:
    """`Cycle.pauses_end` after an event."""
    if payload.event == "session.paused":
        left = after.pause_remaining_ms
        return None if left is None or payload.counted is False else after.server_time_ms + left
    goes_on = after.status == "paused" and payload.event != "session.reopened"
    return was.cycle.pauses_end if goes_on else None


def _is_emptied(was: View, after: State, payload: Payload) -> bool:
    """Whether the session's own bank has run out in the cycle that this event ended.

    It has when it was empty at the end of that cycle, though its time was not up: after an adjust in a pause.
    """
    left = was.state.time_remaining_ms
    match payload.event:
        case "participant.removed" | "turn.set":
            return left is not None and left <= 0
        case "session.reopened":
            left = after.time_remaining_ms
            return left is not None and left <= 0
    return False


def _used_before(state: State, participant_id: str) -> int:
    before = state.participant(participant_id)
    return 0 if before is None else before.time_used_ms


def _replaced(entries: Iterable[Entry], changed: Iterable[Entry]) -> list[Entry]:
    """The entries with the changed ones instead of the old ones, and new ones at the end."""
    news: dict[str, Entry] = {entry.id: entry for entry in changed}
    current: list[Entry] = [
        news.pop(entry.id) if entry.id in news else without_now(entry) for entry in entries
    ]
    return current + list(news.values())
