"""Events and states as the check reads them: the members that it judges, everything else left out."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec


class Place(NamedTuple):
    """Where an event stands: its epoch, and its version."""

    epoch: int
    version: int


class Participant(msgspec.Struct, frozen=True, gc=False):
    """A participant in an event or a state. total_time_ms is the bank; None for one without a clock."""

    participant_id: str
    total_time_ms: int | None = None
    time_used_ms: int = 0
    has_expired: bool = False
    time_control: Any = None


class Payload(msgspec.Struct, frozen=True):
    """The payload of an event."""

    event: str
    status: str
    reason: str = "manual"
    active_participant_id: str | None = None
    cycle_started_at: str | None = None
    deadline_ms: int | None = None
    time_remaining_ms: int | None = None
    participants: list[Participant] = []
    trace: str | None = None
    expired_participant_id: str | None = None
    expired_deadline_ms: int | None = None
    removed_participant_id: str | None = None
    late_ms: int | None = None
    lag_credit_ms: int = 0
    adjusted_ms: int = 0
    total_remaining_ms: int | None = None


class Event(msgspec.Struct, frozen=True):
    """An event of a session."""

    session_id: str
    version: int
    epoch: str
    server_time_ms: int
    payload: Payload

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(int(self.epoch), self.version)

    @property
    def name(self) -> str:
        """What happened, such as `cycle.switched`."""
        return self.payload.event


class State(msgspec.Struct, frozen=True):
    """A session's state."""

    version: int
    epoch: str
    status: str
    sync_mode: str
    server_time_ms: int
    deadline_ms: int | None = None
    resumes_at_ms: int | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    increment_ms: int | None = None
    max_time_ms: int | None = None
    time_control: Any = None
    participants: list[Participant] = []

    @property
    def place(self) -> Place:
        """Where its newest event stands."""
        return Place(int(self.epoch), self.version)

    @property
    def due_ms(self) -> int | None:
        """When the next thing is due in it; None when nothing is."""
        moments = [self.deadline_ms, self.resumes_at_ms]
        if self.status in ("pending", "running", "paused"):  # else it neither starts nor ends by itself
            moments += [self.starts_at_ms, self.ends_at_ms]
        return min((each for each in moments if each is not None), default=None)


def decode_event(text: bytes | msgspec.Raw) -> Event:
    """The event in this JSON. Raises MsgspecError or ValueError when it is none."""
    try:
        return _decode_event(text)
    except msgspec.MsgspecError:
        # msgspec refuses half a surrogate pair, which JSON may have, for example in a trace.
        return msgspec.convert(json.loads(bytes(text)), Event)


def decode_state(text: bytes | msgspec.Raw) -> State:
    """The state in this JSON. Raises MsgspecError or ValueError when it is none."""
    try:
        return _decode_state(text)
    except msgspec.MsgspecError:
        return msgspec.convert(json.loads(bytes(text)), State)


_decode_event = msgspec.json.Decoder(Event).decode
_decode_state = msgspec.json.Decoder(State).decode
