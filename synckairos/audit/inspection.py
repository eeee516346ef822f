"""One session as Redis and PostgreSQL have it, and whether they agree, for operators who look into a fault.

Inspecting a session changes nothing and restores nothing. A store that is away is reported as away.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from redis.exceptions import RedisError

from synckairos.audit.reading import DELETED, LIVE, milliseconds, public_view
from synckairos.audit.store import Store, StoredEvent, StoredSession
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Envelope
from synckairos.errors import SessionMoved, SessionMoving, SessionNotFound, StorageUnavailable

NEWEST = 20
"""How many events of each store an inspection lists."""
OUTBOX_LOOKED_AT = 1000

Milliseconds = Annotated[int, Meta(description="Milliseconds")]
Where = Literal["session", "moved", "tombstone", "nothing", "unknown"]


class InRedis(Struct, frozen=True, kw_only=True):
    """A session in Redis.

    `moved`: another Redis has it. `unknown`: Redis does not answer, or the session's key has something else.
    """

    found: Where
    tenant_id: str | None = None
    status: str | None = None
    epoch: str | None = None
    version: int | None = None
    ttl_ms: Annotated[int, Meta(description="How long its key will live")] | None = None
    alarm_ms: (
        Annotated[int, Meta(description="When its next expiry, warning or resumption is due")] | None
    ) = None
    logged: Annotated[int, Meta(description="How many events its log has")] = 0
    in_outbox: Annotated[
        int, Meta(description="How many of its events are among the newest of the outbox")
    ] = 0
    state: dict[str, Any] | None = None


class InPostgresql(Struct, frozen=True, kw_only=True):
    """A session in the audit store. Status, epoch and version are those of its newest event or snapshot."""

    found: Where
    tenant_id: str | None = None
    status: str | None = None
    epoch: str | None = None
    version: int | None = None
    snapshot_epoch: str | None = None
    snapshot_version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    snapshot: dict[str, Any] | None = None


class Found(Struct, frozen=True, kw_only=True):
    """One of the newest events, and which stores have it."""

    version: int
    epoch: str
    event: str
    server_time_ms: Milliseconds
    in_redis: bool
    in_postgresql: bool
    archived_at: datetime | None


class Inspection(Struct, frozen=True, kw_only=True):
    """A session in both stores. `consistent` is null where one of them could not be asked."""

    session_id: str
    consistent: bool | None
    findings: Annotated[list[str], Meta(description="Why it is not consistent, or why that is not known")]
    redis: InRedis
    postgresql: InPostgresql
    newest_events: Annotated[list[Found], Meta(description="The newest first")]


class _Payload(Struct):
    event: str


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode


async def inspect(
    connection: Connection, store: Store | None, session_id: str, tenant: str | None
) -> Inspection:
    """Inspect a session. Raises SessionNotFound when no store has it, or when it is another tenant's."""
    (redis, logged), (postgresql, stored) = await asyncio.gather(
        _ask_redis(connection, session_id), _ask_postgresql(store, session_id)
    )
    if tenant is not None:
        _check_tenant(redis, postgresql, tenant)
        created_ms = _created_ms(redis, postgresql)
        logged = [text for text in logged if _decode_envelope(text).server_time_ms >= created_ms]
        stored = [event for event in stored if event.server_time_ms >= created_ms]
    if redis.found == postgresql.found == "nothing" and not stored and not logged:
        raise SessionNotFound
    unknown, findings = _compare(redis, postgresql, logged, stored)
    return Inspection(
        session_id=session_id,
        consistent=False if findings else None if unknown else True,
        findings=findings + unknown,
        redis=redis,
        postgresql=postgresql,
        newest_events=_newest(logged, stored),
    )


def _check_tenant(redis: InRedis, postgresql: InPostgresql, tenant: str) -> None:
    """Raises SessionNotFound unless what the stores have is this tenant's, be it deleted or not.

    What has no tenant is nobody's. A store that only has events, or the tombstone of an older release, does
    not know the tenant, and the other one has to. Raises StorageUnavailable when neither could be asked.
    """
    if redis.found == postgresql.found == "unknown":
        raise StorageUnavailable(retry_after_ms=1000)
    owners = set()
    if redis.found in ("session", "moved") or redis.tenant_id is not None:
        owners.add(redis.tenant_id)
    if postgresql.tenant_id is not None or postgresql.snapshot is not None:
        owners.add(postgresql.tenant_id)
    if owners != {tenant}:
        raise SessionNotFound


def _created_ms(redis: InRedis, postgresql: InPostgresql) -> int:
    """When the session was created (server ms). Events before that are those of another one with its id."""
    found = [0]
    if redis.state is not None:
        found.append(milliseconds(redis.state["created_at"]))
    if postgresql.created_at is not None:
        found.append(round(postgresql.created_at.timestamp() * 1000))
    return max(found)


async def _ask_redis(connection: Connection, session_id: str) -> tuple[InRedis, list[bytes]]:
    """The session in Redis, and its newest events there, the newest first."""
    names = SessionKeys.of(session_id)
    try:
        client = await connection.primary_for(names.session)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.hmget(names.session, ["status", "version", "epoch", "tenant"])
            pipeline.pttl(names.session)
            pipeline.zscore(names.alarms, session_id)
            pipeline.xlen(names.log)
            pipeline.xrevrange(names.log, count=NEWEST)
            pipeline.xrevrange(names.outbox, count=OUTBOX_LOOKED_AT)
            fields, ttl, alarm, length, log, outbox = await pipeline.execute()
    except (RedisError, OSError, StorageUnavailable):
        return InRedis(found="unknown"), []
    status, version, epoch, tenant = [each and each.decode(errors="replace") for each in fields]
    logged = [entry[b"e"] for _, entry in log if b"e" in entry]
    state = None
    found: Where = "nothing"
    try:
        state = msgspec.json.decode((await Sessions(connection, 0).get(session_id)).raw)
        found = "session"
    except (SessionMoved, SessionMoving):
        found = "moved"
    except (SessionNotFound, StorageUnavailable):
        pass
    if found == "nothing" and ttl != _NO_KEY:
        found = "tombstone" if status == DELETED else "unknown"
    return (
        InRedis(
            found=found,
            tenant_id=tenant,
            status=status,
            epoch=epoch,
            version=int(version) if version and version.isdecimal() else None,
            ttl_ms=ttl if ttl >= 0 else None,
            alarm_ms=None if alarm is None else int(alarm),
            logged=length,
            in_outbox=sum(entry.get(b"id") == session_id.encode() for _, entry in outbox),
            state=state,
        ),
        logged,
    )


_NO_KEY = -2
"""The reply of PTTL for a key that does not exist."""


async def _ask_postgresql(store: Store | None, session_id: str) -> tuple[InPostgresql, list[StoredEvent]]:
    if store is None:
        return InPostgresql(found="unknown"), []
    try:
        session = await store.session(session_id)
        stored = await store.newest_events(session_id, NEWEST)
    except StorageUnavailable:
        return InPostgresql(found="unknown"), []
    return _stored(session), stored


def _stored(session: StoredSession | None) -> InPostgresql:
    if session is None:
        return InPostgresql(found="nothing")
    return InPostgresql(
        found="tombstone" if session.status == DELETED else "session",
        tenant_id=session.tenant_id,
        status=session.status,
        epoch=session.epoch,
        version=session.version,
        snapshot_epoch=session.snapshot_epoch,
        snapshot_version=session.snapshot_version,
        created_at=session.created_at,
        updated_at=session.updated_at,
        snapshot=None if session.snapshot is None else msgspec.json.decode(public_view(session.snapshot)),
    )


def _newest(logged: list[bytes], stored: list[StoredEvent]) -> list[Found]:
    found: dict[tuple[int, int], Found] = {}
    for envelope in map(_decode_envelope, logged):
        found[int(envelope.epoch), envelope.version] = Found(
            version=envelope.version,
            epoch=envelope.epoch,
            event=_decode_payload(envelope.payload).event,
            server_time_ms=envelope.server_time_ms,
            in_redis=True,
            in_postgresql=False,
            archived_at=None,
        )
    for event in stored:
        place = int(event.epoch), event.version
        found[place] = Found(
            version=event.version,
            epoch=event.epoch,
            event=event.event,
            server_time_ms=event.server_time_ms,
            in_redis=place in found,
            in_postgresql=True,
            archived_at=event.archived_at,
        )
    return [found[place] for place in sorted(found, reverse=True)[:NEWEST]]


def _compare(
    redis: InRedis, postgresql: InPostgresql, logged: list[bytes], stored: list[StoredEvent]
) -> tuple[list[str], list[str]]:
    """Sentences about what is not known, and sentences about what does not agree."""
    unknown, findings = [], []
    if redis.found == "unknown":
        unknown.append("Redis does not answer, or the key has something that is no session")
    if postgresql.found == "unknown":
        unknown.append("the audit store does not answer, or there is none")
    if not unknown:
        findings += _positions(redis, postgresql)
    if redis.found == "session":
        findings += _alarm(redis)
    in_log = {(event.epoch, event.version): text for text in logged for event in [_decode_envelope(text)]}
    findings += [
        f"the event of version {event.version} of epoch {event.epoch} is not the same in Redis and PostgreSQL"
        for event in stored
        if in_log.get((event.epoch, event.version), event.body) != event.body
    ]
    findings += [
        f"in PostgreSQL no event comes between the versions {older.version} and {newer.version}"
        f" of epoch {newer.epoch}"
        for newer, older in pairwise(stored)
        if older.epoch == newer.epoch and older.version != newer.version - 1
    ]
    return unknown, findings


def _positions(redis: InRedis, postgresql: InPostgresql) -> list[str]:
    """Compare how far the session is in each store."""
    if redis.found == "moved":
        return []
    if redis.found == "nothing":
        return _gone(postgresql)
    here, there = _position(redis), _position(postgresql)
    if postgresql.found == "nothing":
        return [f"PostgreSQL has nothing of it{_on_its_way(redis)}"]
    if there < here:
        late = f"PostgreSQL is at version {postgresql.version} of epoch {postgresql.epoch}"
        return [f"{late}, Redis at version {redis.version} of epoch {redis.epoch}{_on_its_way(redis)}"]
    if there > here:
        back = f"Redis went back: it is at version {redis.version} of epoch {redis.epoch}"
        return [f"{back}, and PostgreSQL has version {postgresql.version} of epoch {postgresql.epoch}"]
    if redis.status != postgresql.status:
        return [
            f"at the same version its status is {redis.status} in Redis, {postgresql.status} in PostgreSQL"
        ]
    if redis.found == "session" and _snapshot(postgresql) != there:
        return ["PostgreSQL has no snapshot of its newest version"]
    return []


def _gone(postgresql: InPostgresql) -> list[str]:
    """The findings about a session that Redis does not have."""
    if postgresql.found == "tombstone":
        return []
    if postgresql.found == "nothing":
        return ["events of it are left, and neither store has the session"]
    if postgresql.snapshot is None:
        return ["Redis has lost it, and PostgreSQL has no snapshot: it cannot be restored"]
    stale = (
        ""
        if _snapshot(postgresql) == _position(postgresql)
        else (
            f"; its newest snapshot is of version {postgresql.snapshot_version}, its newest event of version"
            f" {postgresql.version}"
        )
    )
    if postgresql.status in LIVE:
        return ["Redis has lost it; it is restored when it is next asked for" + stale]
    return ["it is over and only PostgreSQL has it" + stale] if stale else []


def _alarm(redis: InRedis) -> list[str]:
    """Compare the session's alarm with what is due in it."""
    assert redis.state is not None
    names = ("deadline_ms", "resumes_at_ms", "starts_at_ms", "ends_at_ms")
    # The start and the end of a session that is over are only shown.
    due = redis.state["status"] in LIVE and any(redis.state.get(name) is not None for name in names)
    if due and redis.alarm_ms is None:
        return ["something is due later, and there is no alarm for it"]
    if not due and redis.alarm_ms is not None:
        return ["there is an alarm, and nothing is due"]
    return []


def _on_its_way(redis: InRedis) -> str:
    waiting = redis.in_outbox
    if waiting:
        return f"; {waiting} {'event waits' if waiting == 1 else 'events wait'} in the outbox"
    return "; nothing of it waits in the outbox, so it is in the queue, or lost"


def _position(side: InRedis | InPostgresql) -> tuple[int, int]:
    return int(side.epoch or 0), side.version or 0


def _snapshot(side: InPostgresql) -> tuple[int, int]:
    return int(side.snapshot_epoch or 0), side.snapshot_version or 0
