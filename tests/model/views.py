"""What clients see of a session: its state, and the parts of it that an event has."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.model import clocks
from tests.model.session import LIVE, Json, Session, TurnTaker


def iso(ms: int | None) -> str | None:
    """An instant as ISO 8601 with milliseconds and Z."""
    if ms is None:
        return None
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z"


def show_turn_taker(s: Session, taker: TurnTaker, now: int, *, live: bool = False) -> Json:
    """A participant or group as events show it at `now`.

    live: as the state shows it, where the running clock also has its periods, block and overtime as of now
    """
    clock, active = taker.clock, s.active_participant()
    mine = active is not None and taker.id in {active.id, active.group}
    left = None if clock is None or clock.endless else clocks.remaining(clock)
    face: Json | None = None if clock is None else {**clocks.face(clock)}
    if clock is not None and active is not None and s.owner_of(active) is taker:
        left = s.remaining(now)
        at_this_moment = clocks.face_now(clock, s.run(now), since=s.since())
        if live and face is not None and at_this_moment:
            face["now"] = at_this_moment
    shown: Json = {
        "total_time_ms": None if clock is None or clock.endless else clock.bank,
        "time_used_ms": taker.time_used,
        "time_remaining_ms": left,
        "cycle_count": taker.cycles,
        "is_active": mine,
        "has_expired": clock is not None and clock.expired,
        "time_control": taker.control,
        "clock": face,
    }
    if taker.id in s.groups:
        return {"group_id": taker.id, **shown}
    return {"participant_id": taker.id, "participant_index": taker.index, "group_id": taker.group, **shown}


def show_cycle(s: Session, now: int) -> Json:
    """The fields about the running cycle that both the state and an event have."""
    active = s.participants[s.active] if s.active is not None else None
    running = s.cycle is not None and s.status == "running"
    return {
        "status": s.status,
        "active_participant_id": s.active,
        "active_group_id": None if active is None else active.group,
        "cycle_started_at": iso(s.cycle.start) if running and s.cycle is not None else None,
        "deadline_ms": s.deadline(),
        "time_remaining_ms": s.remaining(now),
        "cycle_count": s.cycles,
    }


def _instant(s: Session, at: int | None, now: int) -> int | None:
    """A start or an end. Once a session is over, one that has come is gone."""
    return None if at is not None and at <= now and s.status not in LIVE else at


def show(s: Session, now: int) -> Json:
    """The state at `now`."""
    c = s.config
    bank_in_session = c.mode == "global" and not c.cycle_clock and s.clock is not None
    return {
        "session_id": s.id,
        "sync_mode": c.mode,
        "version": s.version,
        "epoch": s.epoch,
        "schema": s.schema,
        "participants": [show_turn_taker(s, p, now, live=True) for p in s.rotation()],
        "groups": [show_turn_taker(s, g, now, live=True) for g in s.groups.values()],
        "total_time_ms": s.clock.bank if bank_in_session and s.clock is not None else s.total_ms,
        "time_per_cycle_ms": c.cycle_ms,
        "increment_ms": c.increment_ms,
        "max_time_ms": s.max_ms,
        "time_control": c.control.shown
        if c.control is not None
        else {"kind": "fischer"}
        if c.owned
        else None,
        "lag_compensation": c.lag,
        "time_used_ms": s.time_used,
        "cycle_elapsed_ms": None if s.cycle is None else s.cycle.ran(now),
        "auto_advance": c.auto_advance,
        "action_on_timeout": c.action,
        "warnings_ms": c.warnings,
        "max_pause_ms": c.max_pause_ms,
        "max_pauses": c.max_pauses,
        "max_total_pause_ms": c.max_total_pause_ms,
        "max_cycles": c.max_cycles,
        "starts_at_ms": _instant(s, s.starts_at, now),
        "ends_at_ms": _instant(s, s.ends_at, now),
        "pauses_left": s.pauses_left,
        "pause_remaining_ms": s.pause_remaining(now),
        "resumes_at_ms": s.resumes,
        "total_remaining_ms": s.total_remaining(now),
        "players_may_pause": c.players_may_pause,
        "players_may_choose_next": c.players_may_choose_next,
        "metadata": c.metadata,
        "session_started_at": iso(s.started),
        "session_completed_at": iso(s.completed),
        "created_at": iso(s.created),
        "updated_at": iso(s.changed),
        "server_time_ms": now,
        "tenant_id": s.tenant,
        "recovered": s.recovered is not None,
        "recovered_at": iso(s.recovered),
        "warning": None if s.recovered is None else True,
        **show_cycle(s, now),
    }
