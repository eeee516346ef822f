"""What a clock shows at a moment: pure functions of a view and a server time (ms, with fractions).

Nothing is counted down. The time that is left is the time that was left in the state, minus the time since
then. All other values follow from that and from the time control's rule (`lua/controls/README.md`).
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from synckairos.client.model import Owner, State, instant_ms
from synckairos.client.view import (
    NO_DETAILS,
    View,
    control_of,
    extra_budget,
    owned_by,
    rule_of,
    running_owner,
    runs_down,
)


class ClockFace(Struct, frozen=True, kw_only=True):
    """What the face of a clock shows at one moment (all times in milliseconds).

    owner_id: the participant or group whose clock it is; None for the clock of the session or the cycle
    kind: the kind of the time control, or of the current stage; `countdown` or `count_up` for the clock of
        the session or the cycle
    running: whether it runs at this moment. It does not run at its end, or while its owner waits.
    expired: whether it ran out
    remaining_ms: all the time that is left, with delay, periods and block; negative in overtime; None for a
        clock without end
    main_ms: the main time to show; negative in overtime; None for a clock without end
    delay_ms: what is left of the delay (`delay` only)
    periods_left: how many periods are left, with the one that runs (`byoyomi` only)
    period_remaining_ms: what is left of the period that runs (`byoyomi` only)
    period_ms: how long a period (`byoyomi`) or block (`canadian`) is
    block_remaining_ms: what is left of the block (`canadian` only)
    moves_left: how many moves are left to the next stage or in the block
    stage: from 0 (`stages` only)
    overtime_ms: how much of the overtime is used; None for a clock without overtime
    elapsed_ms: how long the current cycle has run; 0 for a clock that waits; for `count_up` as in
        `Session.elapsed`
    ends_in_ms: how long it is until the session ends by itself, while it runs or is paused; None without an
        end
    ends_first: whether this is the clock that runs and the session ends before it would run out. Then
        `remaining_ms` and `main_ms` are the time until that end, and the parts of the clock are None.
    """

    owner_id: str | None
    kind: str
    running: bool
    expired: bool
    remaining_ms: float | None = None
    main_ms: float | None = None
    delay_ms: float | None = None
    periods_left: int | None = None
    period_ms: int | None = None
    period_remaining_ms: float | None = None
    block_remaining_ms: float | None = None
    moves_left: int | None = None
    stage: int | None = None
    overtime_ms: float | None = None
    elapsed_ms: float = 0.0
    ends_in_ms: float | None = None
    ends_first: bool = False


_DAY_S = 86_400


def clock_text(ms: float | None, *, count_up: bool = False) -> str:
    """A time of a clock as text: `3 d 04:05:06`, `1:05:09`, `5:00`, `0:09.4`, `-0:03`; `-:--` for None.

    A time that is left is rounded up, so that it is zero only when time is up, and has tenths below ten
    seconds. A time that counts up is rounded down.
    """
    if ms is None:
        return "-:--"
    rounded = math.floor if count_up else math.ceil
    tenths = rounded(ms / 100)
    fine = not count_up and ms > 0 and tenths < 100
    units = tenths if fine else 10 * rounded(ms / 1000)
    whole, tenth = divmod(abs(units), 10)
    days, seconds = divmod(whole, _DAY_S)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    if days:
        text = f"{days} d {hours:02}:{minutes:02}:{seconds:02}"
    return f"{'-' if units < 0 else ''}{text}{f'.{tenth}' if fine else ''}"


class Due(Struct, frozen=True, kw_only=True):
    """What the session will do by itself next.

    kind: `start`; `end` of the session; `deadline` of the clock that runs; `resume` after a pause
    at_ms: the server time at which it is due
    in_ms: how long it is until then; 0 when it is due and the service has not told yet that it happened
    """

    kind: str
    at_ms: int
    in_ms: float


def due(view: View, now: float) -> Due | None:
    """What the session will do by itself next; None for nothing. An end comes before what is due with it."""
    state = view.state
    at: dict[str, int | None] = {}
    if state.status == "pending":
        at = {"start": state.starts_at_ms}
    elif state.status == "running":
        at = {"deadline": state.deadline_ms}
    elif state.status == "paused":
        at = {"resume": state.resumes_at_ms}
    if not state.is_over:
        at = {"end": state.ends_at_ms, **at}
    coming = [(instant, kind) for kind, instant in at.items() if instant is not None]
    if not coming:
        return None
    instant, kind = min(coming, key=lambda each: each[0])  # of equal ones the first, which is the end
    return Due(kind=kind, at_ms=instant, in_ms=max(0.0, instant - now))


def pause_remaining(view: View, now: float) -> float | None:
    """For how long (ms) all pauses together may still last; None without such a bound."""
    state = view.state
    end = view.cycle.pauses_end
    if end is None:
        return state.pause_remaining_ms
    until = now if state.resumes_at_ms is None else min(now, state.resumes_at_ms)
    return max(0.0, end - until)


def _ends_in(state: State, now: float) -> float | None:
    """How long it is until a session that runs or is paused ends by itself; None without an end."""
    if not state.is_live or state.ends_at_ms is None:
        return None
    return max(0.0, state.ends_at_ms - now)


def _until_end(state: State, now: float) -> float:
    """The moment to show: once the session's end has come, its clocks stand until the service tells it."""
    return now if state.ends_at_ms is None or state.status != "running" else min(now, state.ends_at_ms)


def _ends_first(view: View, now: float, left: float | None) -> bool:
    """Whether the session ends before the current clock, which has so much left, would run out."""
    ends_in = _ends_in(view.state, now)
    if ends_in is None or view.cycle.flagged:
        return False
    return left is None or ends_in <= left


def _entry(state: State, owner_id: str) -> Owner | None:
    return state.participant(owner_id) or state.group(owner_id)


def _left(state: State, now: float) -> float | None:
    """The time that is left on the clock of the current cycle. It stops at the end of the overtime."""
    if state.time_remaining_ms is None:
        return None
    passed = max(0.0, _until_end(state, now) - state.server_time_ms) if runs_down(state) else 0.0
    overtime = control_of(state, running_owner(state)).overtime_ms
    return max(state.time_remaining_ms - passed, -overtime)


def _cycle_elapsed(state: State, now: float) -> float:
    """How long the current cycle has run; 0 when there is none."""
    if not state.is_live:
        return 0.0
    if state.cycle_started_at is None:
        return state.cycle_elapsed_ms or 0
    return max(_until_end(state, now), state.server_time_ms) - instant_ms(state.cycle_started_at)


def _charged_so_far(view: View, now: float) -> float:
    """The time that the current cycle adds to the time used."""
    state, cycle = view
    if not state.is_live or cycle.flagged:
        return 0.0
    until = now if state.deadline_ms is None else min(now, state.deadline_ms)
    return max(0.0, _cycle_elapsed(state, until) - cycle.offset)


def remaining(view: View, now: float, owner_id: str | None = None) -> float | None:
    """The time that is left on the clock of a participant or group, or without one on the clock that runs.

    When the session or the cycle owns the clock, it is also given while the clock waits. It stops at zero, or
    at the end of the overtime. When the session ends before the clock that runs would run out, it is the time
    until that end. None: there is no such clock, or it has no end.
    """
    state = view.state
    if owner_id is not None:
        entry, holder = _entry(state, owner_id), running_owner(state)
        if entry is None:
            return None
        return _left(state, now) if holder is not None and entry.id == holder.id else entry.time_remaining_ms
    if state.is_live:
        left = _left(state, now)
        return _ends_in(state, now) if _ends_first(view, now, left) else left
    return _own_left(state, now)


def _own_left(state: State, now: float) -> float | None:
    """The time that is left on the clock of the session or the cycle."""
    if state.is_live:
        return _left(state, now)
    if state.sync_mode == "count_up":
        return None if state.max_time_ms is None else state.max_time_ms - state.time_used_ms
    if owned_by(state) == "session":
        return state.total_time_ms
    if owned_by(state) == "cycle" and state.status == "pending" and state.time_per_cycle_ms is not None:
        total_left = state.total_remaining_ms
        return state.time_per_cycle_ms if total_left is None else min(state.time_per_cycle_ms, total_left)
    return None


def elapsed(view: View, now: float, owner_id: str | None = None) -> float | None:
    """How long the current cycle has run, or in `count_up` the session.

    owner_id: with this, the time that the participant or group has used, including the current cycle. The
        result is None if it is not in the session.
    """
    state = view.state
    if owner_id is None:
        if state.sync_mode == "count_up":
            return state.time_used_ms + _charged_so_far(view, now)
        return _cycle_elapsed(state, now)
    entry = _entry(state, owner_id)
    if entry is None:
        return None
    return entry.time_used_ms + (_charged_so_far(view, now) if _is_active(state, entry.id) else 0.0)


def _is_active(state: State, owner_id: str) -> bool:
    return state.is_live and owner_id in (state.active_participant_id, state.active_group_id)


def clock(view: View, now: float, owner_id: str | None = None) -> ClockFace | None:
    """What the clock of a participant or group shows, or without one the clock that runs.

    When the session or the cycle owns the clock, it is also given while the clock waits. None: there is no
    such clock.
    """
    face = _clock(view, now, owner_id)
    if face is None or not view.state.is_live or view.state.ends_at_ms is None:
        return face
    ends_in = _ends_in(view.state, now)
    face = replace(face, ends_in_ms=ends_in)
    if owner_id is not None or not _ends_first(view, now, _left(view.state, now)):
        return face
    return replace(
        face,
        ends_first=True,
        remaining_ms=ends_in,
        main_ms=ends_in,
        delay_ms=None,
        periods_left=None,
        period_ms=None,
        period_remaining_ms=None,
        block_remaining_ms=None,
        overtime_ms=None,
    )


def _clock(view: View, now: float, owner_id: str | None) -> ClockFace | None:
    """What a clock shows by itself, without the session's end."""
    state, cycle = view
    holder = running_owner(state)
    entry = holder if owner_id is None else _entry(state, owner_id)
    if owner_id is not None and entry is None:
        return None
    running = state.status == "running" and not cycle.flagged
    if entry is not None and entry.clock is not None:
        current = holder is not None and entry.id == holder.id
        return _face_of(state, entry, now, current=current, running=running and current)
    expired = state.status == "expired" or cycle.flagged
    if state.sync_mode == "count_up":
        left = _own_left(state, now) if entry is None else None
        return ClockFace(
            owner_id=owner_id,
            kind="count_up",
            running=running and (entry is None or _is_active(state, entry.id)),
            expired=expired and entry is None,
            remaining_ms=left,
            main_ms=left,
            elapsed_ms=elapsed(view, now, owner_id) or 0.0,
        )
    if owner_id is not None or owned_by(state) in ("participant", "group"):
        return None
    left = _own_left(state, now)
    return ClockFace(
        owner_id=None,
        kind="countdown",
        running=running,
        expired=expired,
        remaining_ms=left,
        main_ms=left,
        elapsed_ms=_cycle_elapsed(state, now),
    )


def _face_of(state: State, owner: Owner, now: float, *, current: bool, running: bool) -> ClockFace:
    """What the clock of a participant or group shows."""
    control = control_of(state, owner)
    details = owner.clock or NO_DETAILS
    rule = rule_of(control, details)
    left = _left(state, now) if current else owner.time_remaining_ms
    bank = owner.total_time_ms or 0
    main = delay = block = rest = overtime = None
    periods = None
    if left is not None:
        # The time that is left without a debt: main time, periods and block are not used to pay a debt back.
        paid = left + max(0, -bank)
        more = extra_budget(rule, details)
        main = max(0.0, paid - more)
        match rule.kind:
            case "delay":
                delay = max(0.0, left - bank)
                main = min(bank, left)
            case "byoyomi" if rule.period_ms:
                in_periods = min(max(0.0, paid), more)
                periods = -int(-in_periods // rule.period_ms)
                rest = in_periods - (periods - 1) * rule.period_ms if periods else 0.0
            case "canadian":
                block = min(max(0.0, paid), more)
        used = max(0.0, -min(bank, left))
        if used:
            main = -used
        overtime = used if control.overtime_ms else None
    return ClockFace(
        owner_id=owner.id,
        kind=rule.kind,
        running=running,
        expired=owner.has_expired,
        remaining_ms=left,
        main_ms=main,
        delay_ms=delay,
        periods_left=periods,
        period_ms=rule.period_ms if rule.kind in ("byoyomi", "canadian") else None,
        period_remaining_ms=rest,
        block_remaining_ms=block,
        moves_left=details.moves_left,
        stage=details.stage,
        overtime_ms=overtime,
        elapsed_ms=_cycle_elapsed(state, now) if current else 0.0,
    )
