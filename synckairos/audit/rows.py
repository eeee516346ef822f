"""The database rows of a batch of events and snapshots. They are made before anything is sent.

Any client of Redis can write anything into an outbox. An entry that is not an event of the session that it
names is refused here, and does not keep the other entries from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, NamedTuple

import msgspec

from synckairos.audit.tags import tags_in

_LAST_MS = 253_402_300_799_999
"""The end of the year 9999, the last year that Python's datetime has."""


class Entry(NamedTuple):
    """One entry of an outbox.

    source: where it came from, `<partition>/<entry id>`
    body: the event as JSON
    traceparent: by which storing it belongs to the trace of the call that made it; None when that has no
        trace that is kept
    """

    source: str
    session_id: str
    body: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one job.

    snapshots: exported states (`sk_get EXPORT`) of sessions of these entries
    tenants: whose deleted sessions of these entries were, by their ids. Of one that was deleted before there
        was a snapshot nothing else says so, and its id may not become another tenant's.
    """

    entries: Sequence[Entry]
    snapshots: Sequence[bytes] = ()
    tenants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event or snapshot that cannot be stored, and why."""

    source: str
    body: bytes
    reason: str


class EventParticipant(msgspec.Struct, frozen=True, gc=False):
    """A participant in an event. There are thousands of them, and none refers to itself, so gc is off."""

    participant_id: str
    participant_index: int | None = None
    group_id: str | None = None
    time_used_ms: int = 0
    cycle_count: int = 0
    has_expired: bool = False


class _Payload(msgspec.Struct, frozen=True, gc=False):
    event: str
    status: str
    participants: list[EventParticipant] = []
    actor: str | None = None
    removed_participant_id: str | None = None
    moved_to: str | None = None


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    session_id: str
    version: int
    epoch: str
    server_time_ms: Annotated[int, msgspec.Meta(ge=0, le=_LAST_MS)]
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
_INVALID = (msgspec.MsgspecError, ValueError, RecursionError)
"""The errors that an entry or snapshot raises when its text is not a valid event or state."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A row of `sync_events`, with the parts of the event that other tables need."""

    entry: Entry
    session_id: str
    version: int
    epoch: int
    event: str
    server_time_ms: int
    status: str
    actor: str | None
    body: str
    participants: list[EventParticipant]
    removed_participant_id: str | None
    moved_to: str | None
    """The address of the Redis that has the session from here on, in the events of a move."""

    @property
    def at(self) -> datetime:
        """The time of the event."""
        return datetime.fromtimestamp(self.server_time_ms / 1000, UTC)


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
    """A row of `sync_sessions`: the values of the newest event, and the newest snapshot if there is one."""

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
    created_epoch: int | None = None
    """The epoch in which the session was created, if this batch has that event."""
    tags: frozenset[str] = frozenset()
    """The tags that the snapshot has."""


@dataclass(slots=True)
class Rows:
    """All rows of a batch. Each session and each participant has one row, made of the newest values.

    events: ordered by session, epoch and version. All workers insert in this order, so they do not deadlock.
    """

    events: list[Event] = field(default_factory=list)
    snapshots: list[Session] = field(default_factory=list)
    tenants: Mapping[str, str] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)

    def sessions(self) -> list[Session]:
        """The rows of `sync_sessions`, ordered by session id, the order in which every worker locks them."""
        found: dict[str, Session] = {}
        for session_id, group in groupby(self.events, _session_id):
            events = list(group)
            oldest, newest = events[0], events[-1]
            found[session_id] = Session(
                session_id,
                newest.epoch,
                newest.version,
                "deleted" if newest.event == "session.deleted" else newest.status,
                oldest.at,
                newest.at,
                self.tenants.get(session_id),
                created_epoch=max(
                    (each.epoch for each in events if each.event == "session.created"), default=None
                ),
            )
        for snapshot in self.snapshots:
            session = found.setdefault(snapshot.session_id, snapshot)
            if session is snapshot:
                continue
            session.tenant_id, session.sync_mode = snapshot.tenant_id, snapshot.sync_mode
            session.snapshot, session.created_at = snapshot.snapshot, snapshot.created_at
            session.tags = snapshot.tags
            session.snapshot_epoch, session.snapshot_version = (
                snapshot.snapshot_epoch,
                snapshot.snapshot_version,
            )
            if (snapshot.epoch, snapshot.version) > (session.epoch, session.version):
                session.epoch, session.version = snapshot.epoch, snapshot.version
                session.status, session.updated_at = snapshot.status, snapshot.updated_at
        return sorted(found.values(), key=_session_id)

    def participants(self) -> list[Participant]:
        """The rows of `sync_participants`, ordered by session and participant id, as workers lock them."""
        made = []
        for session_id, events in groupby(self.events, _session_id):
            newest: dict[str, tuple[Event, EventParticipant | None]] = {}
            for event in events:
                for each in event.participants:
                    newest[each.participant_id] = event, each
                if event.removed_participant_id is not None:
                    newest[event.removed_participant_id] = event, None
            made += [
                _participant(session_id, participant_id, *newest[participant_id])
                for participant_id in sorted(newest)
            ]
        return made


_session_id = attrgetter("session_id")


def _participant(
    session_id: str, participant_id: str, event: Event, found: EventParticipant | None
) -> Participant:
    """The row of a participant from an event. found: None when the event removed the participant."""
    removed = found is None
    said = found or EventParticipant(participant_id)
    return Participant(
        session_id,
        participant_id,
        said.group_id,
        said.participant_index,
        said.time_used_ms,
        said.cycle_count,
        said.has_expired,
        removed,
        event.epoch,
        event.version,
    )


def rows(batch: Batch) -> Rows:
    """The rows of a batch. Entries and snapshots that are invalid are in `refused`."""
    made = Rows(tenants=batch.tenants)
    for entry in batch.entries:
        try:
            made.events.append(_event(entry))
        except _INVALID as error:
            made.refused.append(Refusal(entry.source, entry.body, str(error)))
    made.events.sort(key=attrgetter("session_id", "epoch", "version"))
    newest: dict[str, Session] = {}
    for body in batch.snapshots:
        try:
            snapshot = _snapshot(body)
        except _INVALID as error:
            made.refused.append(Refusal("snapshot", body, str(error)))
            continue
        known = newest.get(snapshot.session_id)
        if known is None or (known.epoch, known.version) < (snapshot.epoch, snapshot.version):
            newest[snapshot.session_id] = snapshot
    made.snapshots = list(newest.values())
    return made


def _event(entry: Entry) -> Event:
    """The row of an entry. Raises the errors of _INVALID when the entry is no event of its session."""
    try:
        said = _decode_envelope(entry.body)
    except msgspec.MsgspecError:
        # msgspec refuses half a surrogate pair, which JSON may have and PostgreSQL accepts. json does not.
        said = msgspec.convert(json.loads(entry.body), _Envelope)
    if said.session_id != entry.session_id:
        raise ValueError(f"the event of session {said.session_id} came under the id {entry.session_id}")
    payload = said.payload
    return Event(
        entry,
        said.session_id,
        said.version,
        int(said.epoch),
        payload.event,
        said.server_time_ms,
        payload.status,
        payload.actor,
        entry.body.decode(),
        payload.participants,
        payload.removed_participant_id,
        payload.moved_to,
    )


def _snapshot(body: bytes) -> Session:
    """The row of a snapshot. Raises the errors of _INVALID when it is no state."""
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
        tags=tags_in(body),
    )
