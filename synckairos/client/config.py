"""The fields of a config, for type checkers and editors. The service judges the values.

The reference is `lua/README.md`. Null means absent, here as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

StageKind = Literal["fischer", "bronstein", "delay", "byoyomi", "canadian", "hourglass"]


class StageConfig(TypedDict, total=False):
    """One stage of a time control with stages. Times are milliseconds."""

    time_ms: Required[int]
    kind: StageKind | None
    moves: int | None
    increment_ms: int | None
    delay_ms: int | None
    periods: int | None
    period_ms: int | None


class TimeControlConfig(TypedDict, total=False):
    """How a clock is spent: a kind with its own parameters, or a `notation` for all of it."""

    kind: Literal[StageKind, "stages", "none"] | None
    increment_ms: int | None
    delay_ms: int | None
    periods: int | None
    period_ms: int | None
    moves: int | None
    stages: Sequence[StageConfig | Mapping[str, Any]] | None
    repeat: bool | None
    overtime_ms: int | None
    notation: str | None


class ParticipantConfig(TypedDict, total=False):
    """A participant, who takes turns."""

    participant_id: Required[str]
    participant_index: int | None
    group_id: str | None
    total_time_ms: int | None
    time_control: TimeControlConfig | str | None


class GroupConfig(TypedDict, total=False):
    """Participants who share one clock."""

    group_id: Required[str]
    total_time_ms: int | None
    time_control: TimeControlConfig | str | None


class NewParticipant(TypedDict, total=False):
    """A participant of a new session, by id, by name, or by both. The service makes an id for a name."""

    participant_id: str | None
    name: str | None
    participant_index: int | None
    group_id: str | None
    group: str | None
    total_time_ms: int | None
    time_control: TimeControlConfig | str | None


class NewGroup(TypedDict, total=False):
    """A group of a new session, by id, by name, or by both."""

    group_id: str | None
    name: str | None
    total_time_ms: int | None
    time_control: TimeControlConfig | str | None


class Config(TypedDict, total=False):
    """A new session. `preset` fills in what is not given; without it `sync_mode` is required."""

    preset: str | None
    session_id: str | None
    sync_mode: Literal["per_participant", "per_group", "per_cycle", "global", "count_up"] | None
    title: str | None
    participants: Sequence[NewParticipant | Mapping[str, Any] | str]
    groups: Sequence[NewGroup | Mapping[str, Any] | str] | None
    active_participant_id: str | None
    total_time_ms: int | None
    time_per_cycle_ms: int | None
    increment_ms: int | None
    max_time_ms: int | None
    time_control: TimeControlConfig | Mapping[str, Any] | str | None
    lag_compensation: bool | None
    auto_advance: bool | None
    action_on_timeout: Mapping[str, Any] | None
    warnings_ms: Sequence[int] | None
    players_may_pause: bool | None
    players_may_choose_next: bool | None
    max_pause_ms: int | None
    max_pauses: int | None
    max_total_pause_ms: int | None
    max_cycles: int | None
    starts_at_ms: int | None
    ends_at_ms: int | None
    metadata: Mapping[str, Any] | None
