"""What a clock shows at a moment: pure functions of a view and a server time (ms, with fractions).

Nothing is counted down. What is left is what was left at the state's time, less what has passed since; all
else follows from it and the rule of the time control (`lua/README.md`, Time controls).
"""

from __future__ import annotations

from msgspec import Struct

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

    owner_id: the participant or group whose clock it is; None: the session's, or the cycle's
    kind: of its time control (of its stage's); of a session's or cycle's clock `countdown` or `count_up`
    running: whether it runs at this moment: not at its end, and not while its owner waits
    expired: whether it ran out
    remaining_ms: all that is left, delay, periods and block included; negative in overtime, None without end
    main_ms: the main time to show, negative in overtime; None without end
    delay_ms: what is left of the delay (`delay` only)
    periods_left, period_remaining_ms: periods, the running one among them, and the rest of that one
        (`byoyomi` only)
    period_ms: how long a period (`byoyomi`) or block (`canadian`) is
    block_remaining_ms: the rest of the block (`canadian` only)
    moves_left: moves to the next stage, or to make in the block
    stage: from 0 (`stages` only)
    overtime_ms: how much of the overtime is used; None where there is none to use
    elapsed_ms: how long the current cycle has run, 0 for a clock that waits; of `count_up` see
        `Session.elapsed`
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


def _entry(state: State, owner_id: str) -> Owner | None:
    return state.participant(owner_id) or state.group(owner_id)


def _left(state: State, now: float) -> float | None:
    """What is left of the current cycle's clock, not below the end of its overtime."""
    if state.time_remaining_ms is None:
        return None
    passed = max(0.0, now - state.server_time_ms) if runs_down(state) else 0.0
    overtime = control_of(state, running_owner(state)).overtime_ms
    return max(state.time_remaining_ms - passed, -overtime)


def _cycle_elapsed(state: State, now: float) -> float:
    """How long the current cycle has run; 0 without one."""
    if not state.is_live:
        return 0.0
    if state.cycle_started_at is None:
        return state.cycle_elapsed_ms or 0
    return max(now, state.server_time_ms) - instant_ms(state.cycle_started_at)


def _charged_so_far(view: View, now: float) -> float:
    """What the current cycle adds to the time used."""
    state, cycle = view
    if not state.is_live or cycle.flagged:
        return 0.0
    until = now if state.deadline_ms is None else min(now, state.deadline_ms)
    return max(0.0, _cycle_elapsed(state, until) - cycle.offset)


def remaining(view: View, now: float, owner_id: str | None = None) -> float | None:
    """What is left of the clock of a participant or group; without one of the session's clock that runs.

    Where the session or the cycle owns it, also of the one that waits. It stops where time is up: at zero, or
    at the end of the overtime. None: there is no such clock, or it has no end.
    """
    state = view.state
    if owner_id is not None:
        entry, holder = _entry(state, owner_id), running_owner(state)
        if entry is None:
            return None
        return _left(state, now) if holder is not None and entry.id == holder.id else entry.time_remaining_ms
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
    """How long the current cycle has run; in `count_up` the session.

    owner_id: what this participant or group has used, the current cycle included; None for a stranger.
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
    """What a clock shows: that of a participant or group, or without one that which runs.

    Where the session or the cycle owns it, also the one that waits. None: there is no such clock.
    """
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
        left = remaining(view, now) if entry is None else None
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
    left = remaining(view, now)
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
    """The clock of a participant or group."""
    control = control_of(state, owner)
    details = owner.clock or NO_DETAILS
    rule = rule_of(control, details)
    left = _left(state, now) if current else owner.time_remaining_ms
    bank = owner.total_time_ms or 0
    main = delay = block = rest = overtime = None
    periods = None
    if left is not None:
        # What is left of main time, periods and block: they pay nothing of a debt.
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
