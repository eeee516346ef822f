"""A session as the older service keeps it: the JSON text under the key `session:<id>`.

That service has a bank for each participant, in every mode. While a cycle runs, nothing is written: what is
left is the bank of the active participant less the time since `cycle_started_at`. A switch and a pause take
the elapsed time from the bank, so a participant's `total_time_ms` is the time that was left when the current
cycle began. Nothing happens when that time is up; a later switch finds out, sets `has_expired`, and goes on.

What is optional there, and what its first versions did not have, may be absent or null.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

PREFIX = "session:"
"""What the keys of sessions begin with."""

Mode = Literal["per_participant", "per_cycle", "per_group", "global", "count_up"]
Status = Literal["pending", "running", "paused", "expired", "completed", "cancelled"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Most = msgspec.Meta(ge=0, le=10**13)
_Count = Annotated[int, _Most]
_Ms = Annotated[int, _Most]


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """A participant. Its place in the list is its place in the rotation.

    total_time_ms: the time left when the current cycle began
    """

    participant_id: _Text
    total_time_ms: _Ms
    participant_index: _Count | None = None
    group_id: _Text | None = None
    time_used_ms: _Ms | None = None
    cycle_count: _Count | None = None
    is_active: bool | None = None
    has_expired: bool | None = None


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """What says whose a session is. It can be read also where the rest of the session is wrong."""

    metadata: dict[str, Any] | None = None
    tenant_id: _Text | None = None

    @property
    def tenant(self) -> str | None:
        """The tenant that the session names, itself or in its metadata; None for none."""
        named = (self.metadata or {}).get("tenant_id")
        return self.tenant_id or (named if isinstance(named, str) and named else None)


class Session(Owned, frozen=True, kw_only=True):
    """A session. `total_time_ms` is what it was created with, and never changes."""

    session_id: _Text
    sync_mode: Mode
    status: Status
    participants: Annotated[tuple[Participant, ...], msgspec.Meta(min_length=1, max_length=1000)]
    version: _Count | None = None
    active_participant_id: _Text | None = None
    total_time_ms: _Ms | None = None
    time_per_cycle_ms: _Ms | None = None
    increment_ms: _Ms | None = None
    max_time_ms: _Ms | None = None
    cycle_started_at: _Moment | None = None
    session_started_at: _Moment | None = None
    session_completed_at: _Moment | None = None
    created_at: _Moment | None = None
    updated_at: _Moment | None = None
    auto_advance: bool | None = None
    action_on_timeout: dict[str, Any] | None = None


decode_owned = msgspec.json.Decoder(Owned).decode
decode = msgspec.json.Decoder(Session).decode
"""Raises msgspec.DecodeError, whose text says what is wrong and where."""
