"""The texts on the terminal: times, names and events for people. All functions are pure.

Title and names come from a session's metadata, as the console at `/` writes them: `title`, and `names`, an
object with names by participant or group id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from synckairos.client import Change, State, TimeControl, clock_text

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
TENTHS_BELOW_MS = 10 * SECOND
"""Below this a countdown shows tenths."""
NO_TIME = clock_text(None)
"""Shown for a clock without end, or one whose time is not known."""

MODES: Mapping[str, str] = {
    "per_participant": "a clock each",
    "per_group": "a clock for each team",
    "per_cycle": "fresh time every turn",
    "global": "one clock for all",
    "count_up": "counting up",
}
STATUSES: Mapping[str, str] = {
    "pending": "not started",
    "running": "running",
    "paused": "paused",
    "expired": "time is up",
    "completed": "completed",
    "cancelled": "cancelled",
}


def clock(ms: float | None, *, count_up: bool = False) -> str:
    """A time of a clock, as in `3 d 04:05:06`, `1:05:09`, `5:00`, `0:09.4`, `-0:03`; see `clock_text`."""
    return clock_text(ms, count_up=count_up)


def until_next(ms: float, *, count_up: bool = False) -> float:
    """How many ms it takes until the text `clock(ms)` of a running clock changes."""
    if count_up:
        return SECOND - ms % SECOND
    unit = 100 if 0 < ms <= TENTHS_BELOW_MS + 100 else SECOND
    return ms - (math.ceil(ms / unit) - 1) * unit


def duration(ms: float) -> str:
    """A duration in words, as in `3 days 12 h`, `1 h 30 min`, `5 min`, `2.5 s`."""
    days, rest = divmod(abs(round(ms)), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = [f"{days} day{'' if days == 1 else 's'}"] * bool(days)
    parts += [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    if rest or not parts:
        parts.append(f"{rest / SECOND:g} s")
    return ("-" if ms < 0 else "") + " ".join(parts)


def moment(ms: float) -> str:
    """The time of day of a server time, in UTC: `12:03:04.120`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def instant(ms: float) -> str:
    """A server time with its date, in UTC: `2026-11-22T12:03:04.120Z`."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}T{moment(ms)}Z"


def day_and_time(ms: float) -> str:
    """A server time for people, in UTC: `2026-11-22 12:03:04`."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def plain(text: str) -> str:
    """Text without control characters, so that a name cannot move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def name(state: State, owner_id: str | None) -> str:
    """The name of a participant or group: the given one, or else `Player 2`, `Team 1`."""
    given = _given(state, owner_id)
    if given:
        return given
    for place, group in enumerate(state.groups, 1):
        if group.group_id == owner_id:
            return f"Team {place}"
    for place, participant in enumerate(state.participants, 1):
        if participant.participant_id == owner_id:
            return f"Player {place}"
    return owner_id[:8] if owner_id else "nobody"


def _given(state: State, owner_id: str | None) -> str | None:
    names = state.metadata.get("names")
    given = names.get(owner_id) if isinstance(names, dict) else None
    return plain(given) or None if isinstance(given, str) else None


def title(state: State) -> str:
    """The session's title: the given one, or else the names of participants, or the beginning of its id."""
    given = state.metadata.get("title")
    if isinstance(given, str) and plain(given):
        return plain(given)
    owners = state.groups or state.participants
    named = [found for owner in owners if (found := _given(state, owner.id))]
    if len(named) == 2:
        return f"{named[0]} - {named[1]}"
    if len(named) > 2:
        return f"{named[0]}, {named[1]} and {len(named) - 2} more"
    return named[0] if named else f"Session {state.session_id[:8]}"


def control(state: State) -> str:
    """The session's time control in short, as in `5+3` or `delay 5 s`; may be empty."""
    found = state.time_control or TimeControl()
    if state.sync_mode not in ("per_participant", "per_group"):
        return f"{duration(state.time_per_cycle_ms)} a turn" if state.time_per_cycle_ms else ""
    if found.notation and not _is_long(found):
        return found.notation
    increment = found.increment_ms if found.increment_ms is not None else state.increment_ms
    match found.kind:
        case "fischer":
            return f"+{duration(increment)} a turn" if increment else "sudden death"
        case "delay" | "bronstein":
            return f"{found.kind} {duration(found.delay_ms or 0)}"
        case "byoyomi":
            added = f"+{duration(found.increment_ms)} a turn, then " if found.increment_ms else ""
            return f"{added}byo-yomi {found.periods} x {duration(found.period_ms or 0)}"
        case "canadian":
            return f"{found.moves} moves in {duration(found.period_ms or 0)}"
        case "none":
            return "no limit"
        case "stages":
            return _stages(found)
    return plain(found.kind)


def _is_long(found: TimeControl) -> bool:
    """Whether a stage is of days, which are hard to read as minutes: `1/4320.0`."""
    return any((stage.time_ms or 0) >= 24 * HOUR for stage in found.stages or ())


def _stages(found: TimeControl) -> str:
    """Stages in short, as in `40 moves in 2 h, then 1 h` or `every move in 3 days`."""
    parts = []
    for number, stage in enumerate(found.stages or (), 1):
        time = duration(stage.time_ms or 0)
        moves = f"{stage.moves} move{'' if stage.moves == 1 else 's'} in {time}" if stage.moves else time
        repeats = found.repeat and number == len(found.stages or ())
        parts.append(f"every {moves}".replace("every 1 move ", "every move ") if repeats else moves)
    return ", then ".join(parts)


def event(change: Change, state: State, before: Change | None = None) -> str:
    """A change in a few words. state: the session's state after the change; before: the change before it."""
    say = _EVENTS.get(change.event)
    if change.event == "time.adjusted":
        said = _adjusted(change, state, before)
    else:
        said = plain(change.event) if say is None else say(change, state)
    late = f" ({change.payload.late_ms} ms late)" if change.payload.late_ms else ""
    actor = f" (by {plain(change.payload.actor)})" if change.payload.actor else ""
    return said + late + actor


def _turn(change: Change, state: State) -> str:
    active = change.payload.active_participant_id
    return f"{name(state, active)}'s turn" if active else "nobody's turn"


def _out(change: Change, state: State) -> str:
    owner = change.payload.expired_participant_id or change.payload.expired_group_id
    return f"{name(state, owner)} ran out of time" if owner else "time ran out"


def _participant_expired(change: Change, state: State) -> str:
    goes_on = change.payload.status == "running"
    return _out(change, state) + (f"; {_turn(change, state)}" if goes_on else "")


def _session_expired(change: Change, state: State) -> str:
    winner = (change.payload.action_applied or {}).get("winner")
    end = f"{name(state, winner)} wins" if isinstance(winner, str) else "the session is over"
    return f"{_out(change, state)}; {end}"


def _added(change: Change, state: State) -> str:
    return f"{', '.join(name(state, each.id) for each in change.payload.participants) or 'somebody'} joined"


def _adjusted(change: Change, state: State, before: Change | None) -> str:
    payload = change.payload
    owners = payload.groups if state.sync_mode == "per_group" else payload.participants
    whose = f" for {name(state, owners[0].id)}" if len(owners) == 1 else ""
    given = payload.adjusted_ms or 0
    if before is not None and _is_of_total(change, before):
        whose = " for the whole session"
    reason = f": {plain(payload.adjust_reason)}" if payload.adjust_reason else ""
    return f"{'+' if given >= 0 else ''}{duration(given)}{whose}{reason}"


def _is_of_total(change: Change, before: Change) -> bool:
    """Whether an adjust was one of the total beside the cycles.

    The event does not name its clock, but from the event before it follows what is left of the total when it
    is not touched.
    """
    left, was = change.payload.total_remaining_ms, before.payload.total_remaining_ms
    if left is None or was is None:
        return False
    ran = change.server_time_ms - before.server_time_ms if before.payload.status == "running" else 0
    moved = left - (was - ran)
    return abs(moved) > abs(moved - (change.payload.adjusted_ms or 0))


def _warning(change: Change, state: State) -> str:
    active, ms = change.payload.active_participant_id, change.payload.warning_ms or 0
    whose = f" for {name(state, active)}" if active else ""
    if ms > 0:
        return f"{duration(ms)} left{whose}"
    return f"{duration(-ms)} of overtime used{whose}" if ms else f"overtime begins{whose}"


def _completed(change: Change, state: State) -> str:
    payload = change.payload
    if payload.reason != "auto":
        return "completed"
    last = state.max_cycles is not None and payload.cycle_count >= state.max_cycles
    return "completed: that was the last turn" if last else "completed: its end has come"


def _taken_back(change: Change, state: State) -> str:
    turns = change.payload.turns or 1
    return f"{turns} turn{'' if turns == 1 else 's'} taken back: {_turn(change, state)}"


def _set_turn(change: Change, state: State) -> str:
    who = name(state, change.payload.active_participant_id)
    return f"{who} will begin" if change.payload.status == "pending" else f"set by hand: {who}'s turn"


def _reopened(change: Change, state: State) -> str:
    if change.payload.status == "pending":
        return "reopened: not started"
    return f"reopened: {_turn(change, state)}, paused"


def _scheduled(change: Change, _: State) -> str:
    starts, ends = change.payload.starts_at_ms, change.payload.ends_at_ms
    said = [f"starts at {day_and_time(starts)}"] if starts is not None else []
    said += [f"ends at {day_and_time(ends)}"] if ends is not None else []
    return ", ".join(said) or "no start and no end of its own any more"


def _by_itself(change: Change, text: str) -> str:
    """What happens by itself, or by somebody's call."""
    return f"{text} by itself" if change.payload.reason == "auto" else text


_GONE: Mapping[str, str] = {"ttl_expired": "aged out", "evicted": "gone: the server has lost it"}

_EVENTS: Mapping[str, Callable[[Change, State], str]] = {
    "session.created": lambda _, __: "created",
    "session.started": lambda change, state: f"{_by_itself(change, 'started')}: {_turn(change, state)}",
    "cycle.switched": _turn,
    "session.paused": lambda change, _: (
        "paused; it does not count" if change.payload.counted is False else "paused"
    ),
    "session.resumed": lambda change, state: f"{_by_itself(change, 'resumed')}: {_turn(change, state)}",
    "participant.expired": _participant_expired,
    "session.expired": _session_expired,
    "session.completed": _completed,
    "session.cancelled": lambda _, __: "cancelled",
    "session.deleted": lambda change, _: _GONE.get(change.payload.reason, "deleted"),
    "session.recovered": lambda _, __: "restored after the server lost it",
    "session.moved": lambda _, __: "moves to another server",
    "session.arrived": lambda _, __: "goes on at another server",
    "session.reopened": _reopened,
    "session.reset": lambda _, __: "reset: all clocks as at the beginning",
    "session.scheduled": _scheduled,
    "metadata.changed": lambda _, __: "title, names or other data changed",
    "turn.taken_back": _taken_back,
    "turn.set": _set_turn,
    "participant.added": _added,
    "participant.removed": lambda change, state: f"{name(state, change.payload.removed_participant_id)} left",
    "time.warning": _warning,
    "state.synced": lambda _, __: "some events were missed; this is the state now",
}


def uncertainty(ms: float) -> str:
    """A text that says by how much the shown time may be wrong."""
    if math.isinf(ms):
        return "time not known yet"
    return f"± {ms:.1f} ms" if ms < 100 else f"± {ms / SECOND:.1f} s" if ms >= SECOND else f"± {ms:.0f} ms"
