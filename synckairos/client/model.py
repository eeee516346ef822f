"""States and changes of the service as immutable values.

The fields have the names of the service; the reference is `lua/README.md`. Fields that only a newer service
has are ignored, and kinds, events and statuses are plain text, so a newer service does not break this client.
Durations and `*_ms` instants are milliseconds, and `*_at` are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

Json = dict[str, Any]

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def instant_ms(timestamp: str) -> int:
    """A timestamp (`*_at`) as milliseconds since 1970."""
    return (datetime.fromisoformat(timestamp) - _UNIX) // _MS


def timestamp(ms: int) -> str:
    """Milliseconds since 1970 as a timestamp."""
    return (_UNIX + ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TimeControl(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a clock is spent. Each `kind` has its own parameters, and the others are None.

    time_ms: the time that a stage adds
    moves: after how many moves a stage ends, or how many moves a block of `canadian` has
    increment_ms: of `byoyomi` it is added while main time lasts
    repeat: whether the last of the `stages` comes again and again
    """

    kind: str = "fischer"
    increment_ms: int | None = None
    delay_ms: int | None = None
    periods: int | None = None
    period_ms: int | None = None
    moves: int | None = None
    time_ms: int | None = None
    stages: tuple[TimeControl, ...] | None = None
    repeat: bool = False
    overtime_ms: int = 0
    notation: str | None = None


class Now(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be left if the cycle were charged at the state's `server_time_ms`."""

    periods_left: int | None = None
    period_remaining_ms: int | None = None
    block_remaining_ms: int | None = None
    overtime_used_ms: int | None = None


class ClockDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Further values of a time control, as they were when the running cycle began."""

    stage: int | None = None
    moves_left: int | None = None
    periods_left: int | None = None
    block_remaining_ms: int | None = None
    overtime_used_ms: int | None = None
    quota_ms: int | None = None
    now: Now | None = None


class Owner(Struct, frozen=True, kw_only=True):
    """The fields that participants and groups share: the time used, and in some modes a clock.

    total_time_ms: its bank when the running cycle began
    time_remaining_ms: the time it has left at the state's `server_time_ms`; None for no clock or no end
    """

    total_time_ms: int | None = None
    time_used_ms: int = 0
    time_remaining_ms: int | None = None
    cycle_count: int = 0
    is_active: bool = False
    has_expired: bool = False
    time_control: TimeControl | None = None
    clock: ClockDetails | None = None

    @property
    def id(self) -> str:
        """The owner's id."""
        raise NotImplementedError


class Participant(Owner, frozen=True, kw_only=True):
    """A participant, who takes turns."""

    participant_id: str
    participant_index: int = 0
    group_id: str | None = None

    @property
    def id(self) -> str:
        """The participant's id."""
        return self.participant_id


class Group(Owner, frozen=True, kw_only=True):
    """Participants who belong together. In `per_group` they share a clock."""

    group_id: str

    @property
    def id(self) -> str:
        """The group's id."""
        return self.group_id


class State(Struct, frozen=True, kw_only=True):
    """A session at one version. Clocks have their values at `server_time_ms`, and do not count down.

    starts_at_ms, ends_at_ms: when the session starts and ends by itself; None when it does not
    pauses_left, pause_remaining_ms: how many pauses are left, and how long all of them may still last (at
        `server_time_ms`, a running pause deducted); None where the config does not bound them
    """

    session_id: str
    version: int
    epoch: str
    status: str
    server_time_ms: int
    sync_mode: str = "per_participant"
    schema: int = 1
    participants: tuple[Participant, ...] = ()
    groups: tuple[Group, ...] = ()
    active_participant_id: str | None = None
    active_group_id: str | None = None
    total_time_ms: int | None = None
    time_per_cycle_ms: int | None = None
    increment_ms: int = 0
    max_time_ms: int | None = None
    time_control: TimeControl | None = None
    lag_compensation: bool = False
    auto_advance: bool = False
    action_on_timeout: Json = {}
    warnings_ms: tuple[int, ...] = ()
    max_pause_ms: int | None = None
    max_pauses: int | None = None
    max_total_pause_ms: int | None = None
    max_cycles: int | None = None
    players_may_pause: bool = False
    players_may_choose_next: bool = False
    metadata: Json = {}
    time_used_ms: int = 0
    time_remaining_ms: int | None = None
    total_remaining_ms: int | None = None
    cycle_count: int = 0
    cycle_elapsed_ms: int | None = None
    cycle_started_at: str | None = None
    deadline_ms: int | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    resumes_at_ms: int | None = None
    pauses_left: int | None = None
    pause_remaining_ms: int | None = None
    session_started_at: str | None = None
    session_completed_at: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    tenant_id: str | None = None
    recovered: bool = False
    recovered_at: str | None = None
    warning: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether a cycle is under way: running or paused."""
        return self.status in ("running", "paused")

    @property
    def is_over(self) -> bool:
        """Whether it has ended: no clock runs, until somebody reopens or resets the session."""
        return self.status in ("expired", "completed", "cancelled")

    @property
    def active(self) -> Participant | None:
        """The participant whose turn it is."""
        return None if self.active_participant_id is None else self.participant(self.active_participant_id)

    def participant(self, participant_id: str) -> Participant | None:
        """The participant with this id."""
        for participant in self.participants:
            if participant.participant_id == participant_id:
                return participant
        return None

    def group(self, group_id: str) -> Group | None:
        """The group with this id."""
        for group in self.groups:
            if group.group_id == group_id:
                return group
        return None


class Payload(Struct, frozen=True, kw_only=True):
    """What happened, and the values since then. Fields that do not apply are None."""

    event: str
    status: str
    reason: str = "manual"
    active_participant_id: str | None = None
    active_group_id: str | None = None
    cycle_started_at: str | None = None
    deadline_ms: int | None = None
    time_remaining_ms: int | None = None
    cycle_count: int = 0
    participants: tuple[Participant, ...] = ()
    groups: tuple[Group, ...] = ()
    actor: str | None = None
    trace: str | None = None
    expired_participant_id: str | None = None
    expired_group_id: str | None = None
    expired_deadline_ms: int | None = None
    expired_clock: str | None = None
    late_ms: int | None = None
    action_applied: Json | None = None
    warning_ms: int | None = None
    lag_credit_ms: int | None = None
    overtime_used_ms: int | None = None
    removed_participant_id: str | None = None
    adjusted_ms: int | None = None
    adjust_reason: str | None = None
    suspicious: str | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    resumes_at_ms: int | None = None
    total_remaining_ms: int | None = None
    total_time_ms: int | None = None
    max_time_ms: int | None = None
    counted: bool | None = None
    turns: int | None = None
    metadata: Json | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One change of a session: the event that made its version.

    A change of `type` `STATE_SYNC` (event `state.synced`) is not an event of the service. It stands for
    missed events that the service's log does not have any more. After them the state is at `version`.
    """

    type: str
    session_id: str
    version: int
    epoch: str
    server_time_ms: int
    payload: Payload
    replayed: bool = False

    @property
    def event(self) -> str:
        """What happened, as in `cycle.switched`."""
        return self.payload.event


class Summary(Struct, frozen=True, kw_only=True):
    """A session in a list: its state without participants and groups."""

    session_id: str
    version: int
    epoch: str
    status: str
    sync_mode: str = "per_participant"
    active_participant_id: str | None = None
    active_group_id: str | None = None
    time_remaining_ms: int | None = None
    deadline_ms: int | None = None
    cycle_count: int = 0
    metadata: Json = {}
    created_at: str | None = None
    updated_at: str | None = None
    server_time_ms: int | None = None


class Page(Struct, frozen=True, kw_only=True):
    """Some sessions, newest first. next_cursor: the cursor of the next page; None after the last one."""

    sessions: tuple[Summary, ...]
    next_cursor: str | None = None


def read_state(value: Any) -> State:
    """The State of decoded JSON. Raises msgspec.ValidationError."""
    return msgspec.convert(_with_text_epoch(value), State)


def read_change(value: Any) -> Change:
    """The Change of decoded JSON. Raises msgspec.ValidationError."""
    return msgspec.convert(_with_text_epoch(value), Change)


def _with_text_epoch(value: Any) -> Any:
    """The same, with the epoch as text if it is a number."""
    if isinstance(value, dict) and isinstance(value.get("epoch"), int):
        return {**value, "epoch": str(value["epoch"])}
    return value


def synced(state: State) -> Change:
    """The change that stands for all changes that were missed up to this state."""
    return Change(
        type="STATE_SYNC",
        session_id=state.session_id,
        version=state.version,
        epoch=state.epoch,
        server_time_ms=state.server_time_ms,
        payload=Payload(
            event="state.synced",
            reason="auto",
            status=state.status,
            active_participant_id=state.active_participant_id,
            active_group_id=state.active_group_id,
            cycle_started_at=state.cycle_started_at,
            deadline_ms=state.deadline_ms,
            time_remaining_ms=state.time_remaining_ms,
            cycle_count=state.cycle_count,
            participants=state.participants,
            groups=state.groups,
            starts_at_ms=state.starts_at_ms,
            ends_at_ms=state.ends_at_ms,
            resumes_at_ms=state.resumes_at_ms,
            total_remaining_ms=state.total_remaining_ms,
        ),
    )
