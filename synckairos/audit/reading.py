"""Reads states and events for the API from the audit store, and from Redis where that has newer ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from synckairos.audit import cursors
from synckairos.audit.store import Store, StoredEvent, StoredSession
from synckairos.audit.tags import tags_in
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Over, State
from synckairos.errors import SessionMoved, SessionNotFound, StorageUnavailable

MAX_EVENTS = 500
"""How many events an answer may have."""
LARGE = 32 * 1024
"""A stored state of more bytes, which has some fifty participants, is listed without them."""
LIVE = frozenset({"pending", "running", "paused"})
"""The statuses of a session that is not over."""
DELETED = "deleted"
RETRY_AFTER_MS = 1000

_ENDS = ("session.expired", "session.completed", "session.cancelled")
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def public_view(exported: bytes, *without: str) -> bytes:
    """An exported state (JSON) without its internal fields, and without the fields of `without`."""
    fields = _decode_fields(exported)
    for name in ("internal", *without):
        fields.pop(name, None)
    return msgspec.json.encode(fields)


def is_stale(session: StoredSession) -> bool:
    """Whether the session has events that are newer than its snapshot."""
    if session.snapshot_epoch is None or session.snapshot_version is None:
        return True
    return (int(session.epoch), session.version) > (int(session.snapshot_epoch), session.snapshot_version)


async def ended_state(store: Store, session: StoredSession) -> Over:
    """The last state of a session that is over. It must have a snapshot."""
    assert session.snapshot is not None
    raw = public_view(session.snapshot)
    if is_stale(session):
        later = await store.events(session.session_id, session.snapshot_version or 0)
        raw = msgspec.json.encode(state_after(msgspec.json.decode(raw), [event.body for event in later]))
    expired_by = None
    if session.status == "expired":
        for event in await store.newest_events(session.session_id, 1):
            expired_by = msgspec.json.decode(event.body)["payload"].get("expired_participant_id")
    return Over(raw, expired_by)


def state_after(state: dict[str, Any], events: Iterable[bytes]) -> dict[str, Any]:
    """A state with these events (JSON) applied to it.

    The clocks have the values of the last event. No event says how much time participants used in the cycle
    in which they left, so that time is missing in the session's sum.
    """
    people = {each["participant_id"]: each for each in state["participants"]}
    groups = {each["group_id"]: each for each in state["groups"]}
    for text in events:
        event = msgspec.json.decode(text)
        payload = event["payload"]
        pauses = _pauses_after(state, event)
        for each in payload["participants"]:
            before = people.get(each["participant_id"], {"time_used_ms": 0})
            state["time_used_ms"] += each["time_used_ms"] - before["time_used_ms"]
            people[each["participant_id"]] = each
        groups.update((each["group_id"], each) for each in payload["groups"])
        people.pop(payload.get("removed_participant_id"), None)
        moment = timestamp(event["server_time_ms"])
        state.update(
            {name: event[name] for name in ("version", "epoch", "server_time_ms")},
            **{name: value for name, value in payload.items() if name in state and name not in _LISTS},
        )
        state.update(updated_at=moment, resumes_at_ms=payload.get("resumes_at_ms"))
        state.update(pauses, **_schedule_after(state, event))
        if payload["event"] == "session.started":
            late = payload.get("late_ms", 0)
            at = event["server_time_ms"] - (late if late <= _LATE_MS else 0)
            state["session_started_at"] = timestamp(at)
        elif payload["event"] == "session.reset":
            state.update(_AS_NEW)
        elif payload["event"] == "session.reopened":
            state["session_completed_at"] = None
        elif payload["event"] == "session.recovered":
            state.update(recovered=True, recovered_at=moment)
        elif payload["event"] in _ENDS:
            end = payload.get("expired_deadline_ms")
            if end is None:
                end = event["server_time_ms"] - payload.get("late_ms", 0)
            state["session_completed_at"] = timestamp(end)
            state["cycle_elapsed_ms"] = None
    state["participants"] = sorted(people.values(), key=lambda each: int(each["participant_index"]))
    state["groups"] = list(groups.values())
    return state


_LISTS = ("participants", "groups")
_LATE_MS = 1000
"""The library's bound: when it notices later than this that a start was due, the session starts then."""
_AS_NEW: dict[str, Any] = {
    "session_started_at": None,
    "session_completed_at": None,
    "time_used_ms": 0,
    "recovered": False,
    "recovered_at": None,
    "warning": None,
}
"""What a reset does to a state, besides what its event shows."""


def _pauses_after(state: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """What an event does to what is left of the pauses, from the state before it. Empty without bounds."""
    payload = event["payload"]
    if payload["event"] == "session.reset":
        bounds = {"pauses_left": "max_pauses", "pause_remaining_ms": "max_total_pause_ms"}
        return {name: state[bound] for name, bound in bounds.items() if name in state}
    found: dict[str, Any] = {}
    left, ends = state.get("pause_remaining_ms"), state.get("resumes_at_ms")
    is_paused = state["status"] == "paused" and payload["event"] != "session.recovered"  # not for an outage
    if is_paused and left is not None and ends is not None:
        # A pause that does not count, and the stand after a reopen, do not end when nothing remains.
        late = payload.get("late_ms", 0)
        is_on_time = late <= _LATE_MS or payload["event"] == "session.completed"
        until = event["server_time_ms"] - (late if is_on_time else 0)
        if ends - state["server_time_ms"] <= left:
            found["pause_remaining_ms"] = max(0, left - max(0, until - state["server_time_ms"]))
    if payload["event"] == "session.paused" and payload.get("counted", True):
        pauses = state.get("pauses_left")
        if pauses is not None:
            found["pauses_left"] = pauses - 1
    return found


def _schedule_after(state: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """When the session starts and ends by itself after an event. What has come is gone."""
    names = [name for name in ("starts_at_ms", "ends_at_ms") if name in state]
    payload = event["payload"]
    if payload["event"] == "session.scheduled":
        return {name: payload.get(name) for name in names}
    gone = {"starts_at_ms"} if payload["event"] == "session.started" else set()
    if state["status"] not in LIVE or payload["event"] in ("session.reopened", "session.reset"):
        now = event["server_time_ms"]
        gone |= {name for name in names if state[name] is not None and state[name] <= now}
    return {name: None for name in names if name in gone}


def timestamp(ms: int) -> str:
    """Milliseconds of the server's clock as ISO 8601."""
    return iso(datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000))


def iso(moment: datetime) -> str:
    """A moment in UTC as ISO 8601 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: str) -> int:
    """ISO 8601 as milliseconds."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


async def events(sessions: Sessions, store: Store, state: State, since: int) -> list[bytes]:
    """The events (JSON) of a session after version `since`, without a gap, up to MAX_EVENTS.

    This is for a version to which the session's log does not reach back. Raises StorageUnavailable when the
    first event is not stored, or not yet.
    """
    stored = contiguous(await store.events(state.session_id, since, MAX_EVENTS), since, _created(state.raw))
    found = [event.body for event in stored]
    newest = since + len(found)
    if found and len(found) < MAX_EVENTS and newest < state.version:
        # The newest events may still be on their way to the store, but those are in the log.
        found += (await sessions.log(state.session_id, newest) or [])[: MAX_EVENTS - len(found)]
    if not found:
        raise StorageUnavailable(
            f"the event of version {since + 1} is not in the log any more, and not in the audit store",
            context={"since": since, "version": state.version},
            retry_after_ms=RETRY_AFTER_MS,
        )
    return found


@dataclass(frozen=True, slots=True)
class History:
    """Events of a session.

    events: JSON, in order and without a gap
    version: the session's current version
    now: the server's time (ms); None when the session is not in Redis, or has newer events than these
    metadata: the session's, as far as it is known
    """

    events: list[bytes]
    version: int
    now: int | None
    metadata: dict[str, Any] = field(default_factory=dict)


async def history(
    sessions: Sessions | None,
    store: Store | None,
    session_id: str,
    since: int,
    most: int,
    *,
    tenant: str | None,
) -> History:
    """The events of a session after a version, up to `most`, from the log and the audit store.

    Either Redis or the store may be away. Raises SessionNotFound, StorageUnavailable.

    sessions: None when it is known that Redis is away
    """
    state: State | None = None
    away: StorageUnavailable | None = None
    if sessions is None:
        away = StorageUnavailable(retry_after_ms=RETRY_AFTER_MS)
    else:
        try:
            state = await sessions.summary(session_id, tenant)
        except StorageUnavailable as error:
            away = error
    if state is not None:
        created, version = _created(state.raw), state.version
        known = state.raw
    else:
        stored = await _found(store, session_id)
        if stored is None:
            assert away is not None
            raise away
        if stored.status == DELETED or tenant not in (None, stored.tenant_id):
            raise SessionNotFound
        created, version = 0, stored.version
        known = stored.snapshot or b"{}"
    sources: list[_Source] = []
    if sessions is not None and state is not None:
        sources.append(partial(sessions.log, session_id, tenant=tenant))
    if store is not None:
        sources.append(partial(_archived, store, session_id, created))
    found = await _events(range(since, min(version, since + most)), sources)
    if not found and since < version:
        raise StorageUnavailable(
            f"the event of version {since + 1} is in no log any more, and not in the audit store",
            context={"since": since, "version": version},
            retry_after_ms=RETRY_AFTER_MS,
        )
    del found[most:]
    whole = state is not None and not isinstance(state, Over) and since + len(found) >= version
    now = state.server_time_ms if state is not None and whole else None
    return History(found, version, now, msgspec.json.decode(known, type=_Described).metadata or {})


async def _archived(store: Store, session_id: str, created: int, since: int) -> list[bytes]:
    archived = await store.events(session_id, since, MAX_EVENTS)
    return [event.body for event in contiguous(archived, since, created)]


_Source = Callable[[int], Awaitable[list[bytes] | None]]
"""Gives some of the events after a version; None when it does not reach back so far."""


async def _events(after: range, sources: Sequence[_Source]) -> list[bytes]:
    """The events after each of these versions, up to the first that is in no source."""
    found: list[bytes] = []
    while len(found) < len(after):
        some: list[bytes] | None = None
        for source in sources:
            some = await source(after[len(found)])
            if some is not None:
                break
        if not some:
            break
        found += some
    return found


async def _found(store: Store | None, session_id: str) -> StoredSession | None:
    """A session in the store; None when it is not there, and also when the store is away."""
    with suppress(StorageUnavailable):
        return None if store is None else await store.session(session_id)
    return None


def contiguous(stored: Sequence[StoredEvent], since: int, created: int) -> list[StoredEvent]:
    """The first of these events, as long as they follow `since` without a gap and belong to this session.

    created: when the session was created (server ms). Events that are older belong to an earlier session with
        the same id.
    """
    found: list[StoredEvent] = []
    for event in stored:
        if event.version != since + len(found) + 1 or event.server_time_ms < created:
            break
        found.append(event)
    return found


class _Dates(msgspec.Struct):
    created_at: str


class _Described(msgspec.Struct):
    metadata: dict[str, Any] | None = None


def _created(raw: bytes) -> int:
    return milliseconds(msgspec.json.decode(raw, type=_Dates).created_at)


async def summaries(
    connection: Connection,
    store: Store,
    stored: Sequence[StoredSession],
    status: str | None,
    tenant: str | None = None,
    *,
    tag: str | None = None,
    participants: bool = False,
) -> list[bytes]:
    """The states (JSON) of these sessions without participants, from Redis or else from their snapshots.

    Left out are sessions that were deleted meanwhile, whose status is no longer `status`, that have lost
    their `tag`, whose id another tenant's session has now, or of which there is no snapshot either. Nothing
    is restored.

    participants: whether the states have theirs; not those of sessions whose last stored state is larger than
        LARGE, so that a page of sessions with a thousand each costs no more than another one
    """

    def options(session: StoredSession) -> tuple[str, ...]:
        is_whole = participants and session.snapshot is not None and len(session.snapshot) <= LARGE
        return (() if tenant is None else ("TENANT", tenant)) + (() if is_whole else ("SUMMARY",))

    replies = await connection.fcall_many(
        [("sk_get", (SessionKeys.of(session.session_id).session,), options(session)) for session in stored]
    )
    without = () if participants else ("participants",)
    found = []
    for session, reply in zip(stored, replies, strict=True):
        if isinstance(reply, SessionMoved):  # the snapshot may be a little older than what its Redis says
            raw = None if session.snapshot is None else public_view(session.snapshot)
        elif isinstance(reply, SessionNotFound):
            raw = await _stored_state(connection, store, session)
        elif isinstance(reply, Exception):
            raise reply
        else:
            raw = reply
        if raw is None or status not in (None, State(raw).status):
            continue
        if tag is None or tag in tags_in(raw):
            found.append(public_view(raw, *without))
    return found


async def _stored_state(connection: Connection, store: Store, session: StoredSession) -> bytes | None:
    key = SessionKeys.of(session.session_id).session
    try:
        exists = await (await connection.primary_for(key)).exists(key)
    except (RedisError, OSError) as error:
        raise StorageUnavailable(retry_after_ms=RETRY_AFTER_MS) from error
    if session.snapshot is None or exists:  # a key that exists here is the tombstone of a deleted session
        return None
    if session.status in LIVE:
        return public_view(session.snapshot)
    return (await ended_state(store, session)).raw


def cursor(session: StoredSession) -> str:
    """The cursor with which a list continues after this session."""
    return cursors.write(session.created_at, session.session_id)


def read_cursor(text: str) -> tuple[datetime, str]:
    """Creation time and id of the session that a cursor was made of. Raises ValueError."""
    created_at, session_id = cursors.read(text)
    if str(UUID(session_id)) != session_id:
        raise ValueError("no cursor")
    return created_at, session_id
