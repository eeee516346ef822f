"""What a batch of events and snapshots means for the database: rows, worked out before anything is sent.

An entry of the outbox may be anything, as whoever can write to Redis can write there. What is no event of the
session it is said to be of is told apart here, and never keeps the others from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec


class Entry(NamedTuple):
    """One entry of an outbox: where it stood (`<partition>/<entry id>`), and its fields."""

    source: str
    session_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one job stores. `snapshots`: the replies of `sk_get EXPORT` for those sessions that were there."""

    entries: Sequence[Entry]
    snapshots: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What cannot be stored, and why."""

    source: str
    body: bytes
    reason: str


class _Participant(msgspec.Struct, frozen=True):
    participant_id: str
    participant_index: int | None = None
    group_id: str | None = None
    time_used_ms: int = 0
    cycle_count: int = 0
    has_expired: bool = False


class _Payload(msgspec.Struct, frozen=True):
    event: str
    status: str
    participants: list[_Participant] = []
    actor: str | None = None
    removed_participant_id: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    session_id: str
    version: int
    epoch: str
    server_time_ms: int
    payload: _Payload


class _State(msgspec.Struct, frozen=True):
    session_id: str
    sync_mode: str
    status: str
    version: int
    epoch: str
    created_at: datetime
    updated_at: datetime
    tenant_id: str | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_state = msgspec.json.Decoder(_State).decode
_WRONG = (msgspec.MsgspecError, ValueError, RecursionError)
"""What is raised by text that is not what it is taken for."""


@dataclass(slots=True)
class Event:
    """A row of `sync_events`, and what else it says."""

    entry: Entry
    session_id: str
    version: int
    epoch: int
    event: str
    server_time_ms: int
    status: str
    actor: str | None
    body: str
    participants: list[Participant]


@dataclass(slots=True)
class Participant:
    """A row of `sync_participants`."""

    session_id: str
    participant_id: str
    group_id: str | None
    participant_index: int | None
    time_used_ms: int
    cycle_count: int
    has_expired: bool
    removed: bool
    epoch: int
    version: int


@dataclass(slots=True)
class Session:
    """A row of `sync_sessions`: what the newest event says, and the snapshot where there is one."""

    session_id: str
    epoch: int
    version: int
    status: str
    created_at: datetime
    updated_at: datetime
    tenant_id: str | None = None
    sync_mode: str | None = None
    snapshot: str | None = None
    snapshot_epoch: int | None = None
    snapshot_version: int | None = None
    made_in: int | None = None
    """The epoch in which it was created, when this batch has that event."""


@dataclass(slots=True)
class Rows:
    """All rows of a batch: of each session and each participant one, the newest."""

    events: list[Event] = field(default_factory=list)
    snapshots: list[Session] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def sessions(self) -> list[Session]:
        """By session id, the order in which everybody locks them."""
        found: dict[str, Session] = {}
        for event in self.events:
            at = datetime.fromtimestamp(event.server_time_ms / 1000, UTC)
            session = found.get(event.session_id)
            if session is None:
                session = found[event.session_id] = Session(
                    event.session_id, event.epoch, 0, event.status, at, at
                )
            if event.event == "session.created":
                session.made_in = max(event.epoch, session.made_in or 0)
            if (event.epoch, event.version) > (session.epoch, session.version):
                session.epoch, session.version, session.updated_at = event.epoch, event.version, at
                session.status = "deleted" if event.event == "session.deleted" else event.status
        for snapshot in self.snapshots:
            session = found.setdefault(snapshot.session_id, snapshot)
            if session is snapshot:
                continue
            session.tenant_id, session.sync_mode = snapshot.tenant_id, snapshot.sync_mode
            session.snapshot, session.created_at = snapshot.snapshot, snapshot.created_at
            session.snapshot_epoch, session.snapshot_version = (
                snapshot.snapshot_epoch,
                snapshot.snapshot_version,
            )
            if (snapshot.epoch, snapshot.version) > (session.epoch, session.version):
                session.epoch, session.version = snapshot.epoch, snapshot.version
                session.status, session.updated_at = snapshot.status, snapshot.updated_at
        return sorted(found.values(), key=lambda session: session.session_id)

    def participants(self) -> list[Participant]:
        """By session and participant id, the order in which everybody locks them."""
        found: dict[tuple[str, str], Participant] = {}
        for event in self.events:
            for participant in event.participants:
                key = participant.session_id, participant.participant_id
                known = found.get(key)
                if known is None or (known.epoch, known.version) <= (event.epoch, event.version):
                    found[key] = participant
        return [found[key] for key in sorted(found)]


def rows(batch: Batch) -> Rows:
    """The rows of a batch, and what of it is none."""
    made = Rows()
    for entry in batch.entries:
        try:
            made.events.append(_event(entry))
        except _WRONG as error:
            made.refused.append(Refusal(entry.source, entry.body, str(error)))
    newest: dict[str, Session] = {}
    for body in batch.snapshots:
        try:
            snapshot = _snapshot(body)
        except _WRONG as error:
            made.refused.append(Refusal("snapshot", body, str(error)))
            continue
        known = newest.get(snapshot.session_id)
        if known is None or (known.epoch, known.version) < (snapshot.epoch, snapshot.version):
            newest[snapshot.session_id] = snapshot
    made.snapshots = list(newest.values())
    return made


def _event(entry: Entry) -> Event:
    """Raises what _WRONG names when the entry is no event of its session."""
    try:
        said = _decode_envelope(entry.body)
    except msgspec.MsgspecError:
        # It is stricter than PostgreSQL: it refuses half a surrogate pair, which JSON may have.
        said = msgspec.convert(json.loads(entry.body), _Envelope)
    if said.session_id != entry.session_id:
        raise ValueError(f"the event of session {said.session_id} came under the id {entry.session_id}")
    epoch, payload = int(said.epoch), said.payload
    participants = [
        Participant(
            said.session_id,
            each.participant_id,
            each.group_id,
            each.participant_index,
            each.time_used_ms,
            each.cycle_count,
            each.has_expired,
            False,
            epoch,
            said.version,
        )
        for each in payload.participants
    ]
    if payload.removed_participant_id is not None:
        gone = payload.removed_participant_id
        participants = [each for each in participants if each.participant_id != gone]
        participants.append(
            Participant(said.session_id, gone, None, None, 0, 0, False, True, epoch, said.version)
        )
    return Event(
        entry,
        said.session_id,
        said.version,
        epoch,
        payload.event,
        said.server_time_ms,
        payload.status,
        payload.actor,
        entry.body.decode(),
        participants,
    )


def _snapshot(body: bytes) -> Session:
    """Raises what _WRONG names when it is no state."""
    try:
        state = _decode_state(body)
    except msgspec.MsgspecError:
        state = msgspec.convert(json.loads(body), _State)
    epoch = int(state.epoch)
    return Session(
        state.session_id,
        epoch,
        state.version,
        state.status,
        state.created_at,
        state.updated_at,
        state.tenant_id,
        state.sync_mode,
        body.decode(),
        epoch,
        state.version,
    )
