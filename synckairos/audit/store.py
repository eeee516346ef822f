"""The audit store in PostgreSQL, with typed arguments and typed results.

Every call has a time limit and raises StorageUnavailable when PostgreSQL is away, too slow or without the
tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Self, TypeAlias, TypeVar

import asyncpg
import structlog

from synckairos.audit.revision import FIRST, VERSION_TABLE, Tables
from synckairos.audit.rows import Batch, Event, Participant, Refusal, Rows, Session, rows
from synckairos.breakers.registry import Breakers
from synckairos.errors import StorageUnavailable, error_text
from synckairos.tracing.spans import Kind, Span, below

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
PgConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

RETRY_AFTER_MS = 1000
REACH_S = 2.0
"""How long it may take to find out that PostgreSQL is back."""
VERSION_TAKEN = "another event has this version: Redis lost that event, and continued from before it"

_AWAY = (
    OSError,  # a timeout is one
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ended while it was idle
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, not yet up, a statement that took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)
"""Errors that are not the fault of the rows. The same call may succeed later."""
_UNANSWERED = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
"""Those of them that come from a server that is not there, hangs or shuts down."""
_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,  # one id in two spellings
    asyncpg.ProgramLimitExceededError,
)
"""Errors with which PostgreSQL, or the driver, refuses a row itself."""

_NOT_COPIED = (*_REFUSED, ValueError, OverflowError)
"""Errors with which a COPY is refused. There the driver raises some errors of its own."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A stored event. `body` is its exact JSON."""

    session_id: str
    epoch: str
    version: int
    event: str
    server_time_ms: int
    archived_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A stored session.

    status, epoch, version: of its newest event or snapshot; the status is `deleted` after `session.deleted`
    snapshot: the argument of `sk_restore`; None when no snapshot was ever stored
    moved_to: the address of the Redis to which it has moved last; None when it never did
    """

    session_id: str
    tenant_id: str | None
    sync_mode: str | None
    status: str
    epoch: str
    version: int
    created_at: datetime
    updated_at: datetime
    snapshot: bytes | None
    snapshot_epoch: str | None
    snapshot_version: int | None
    moved_to: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of `sync_refused`: an event or snapshot that could not be stored, and the reason."""

    id: int
    refused_at: datetime
    source: str
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of storing a batch: how many events were new, known already, and refused."""

    inserted: int
    known: int
    refused: int


_INSERT_EVENTS = """
INSERT INTO sync_events (session_id, version, epoch, event, server_time_ms, status, actor, body)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::json[])
ON CONFLICT DO NOTHING
"""
# Of the events that are stored already, those that differ from the stored one with the same version. That
# happens after the server lost writes.
_OTHERS = """
SELECT given.place - 1 FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[])
    WITH ORDINALITY AS given (session_id, version, epoch, body, place)
JOIN sync_events AS e USING (session_id, version, epoch) WHERE e.body::text <> given.body
"""
_EVENT_COLUMNS = ("session_id", "version", "epoch", "event", "server_time_ms", "status", "actor", "body")

# A session that was created again under an old id must not keep data of the session before it.
_FORGET_SNAPSHOTS = """
UPDATE sync_sessions AS s
SET snapshot = NULL, snapshot_epoch = NULL, snapshot_version = NULL, tenant_id = NULL, sync_mode = NULL
FROM unnest($1::uuid[], $2::bigint[]) AS made (session_id, epoch)
WHERE s.session_id = made.session_id AND coalesce(s.snapshot_epoch, s.epoch) < made.epoch
"""
_FORGET_PARTICIPANTS = """
DELETE FROM sync_participants AS p USING unnest($1::uuid[], $2::bigint[]) AS made (session_id, epoch)
WHERE p.session_id = made.session_id AND p.epoch < made.epoch
"""

# Batches may be stored in any order, and more than once, so a row is only replaced by newer values.
_UPSERT_SESSIONS = """
INSERT INTO sync_sessions AS s (
    session_id, tenant_id, sync_mode, status, epoch, version, snapshot, snapshot_epoch, snapshot_version,
    created_at, updated_at)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::json[], $8::bigint[],
    $9::bigint[], $10::timestamptz[], $11::timestamptz[])
ON CONFLICT (session_id) DO UPDATE SET (status, epoch, version, updated_at) = (
        SELECT CASE WHEN newer THEN excluded.status ELSE s.status END,
            CASE WHEN newer THEN excluded.epoch ELSE s.epoch END,
            CASE WHEN newer THEN excluded.version ELSE s.version END,
            CASE WHEN newer THEN excluded.updated_at ELSE s.updated_at END
        FROM (SELECT (excluded.epoch, excluded.version) > (s.epoch, s.version)) AS compared (newer)),
    (snapshot, snapshot_epoch, snapshot_version, tenant_id, sync_mode, created_at) = (
        SELECT CASE WHEN newer THEN excluded.snapshot ELSE s.snapshot END,
            CASE WHEN newer THEN excluded.snapshot_epoch ELSE s.snapshot_epoch END,
            CASE WHEN newer THEN excluded.snapshot_version ELSE s.snapshot_version END,
            CASE WHEN newer THEN excluded.tenant_id ELSE coalesce(s.tenant_id, excluded.tenant_id) END,
            CASE WHEN newer THEN excluded.sync_mode ELSE s.sync_mode END,
            CASE WHEN newer THEN excluded.created_at ELSE s.created_at END
        FROM (SELECT excluded.snapshot IS NOT NULL AND (s.snapshot IS NULL OR
            (excluded.snapshot_epoch, excluded.snapshot_version) > (s.snapshot_epoch, s.snapshot_version))
        ) AS compared (newer))
WHERE (excluded.epoch, excluded.version) > (s.epoch, s.version)
    OR (excluded.snapshot IS NOT NULL AND (s.snapshot IS NULL OR
        (excluded.snapshot_epoch, excluded.snapshot_version) > (s.snapshot_epoch, s.snapshot_version)))
"""
_SESSION_COLUMNS = (
    "session_id",
    "tenant_id",
    "sync_mode",
    "status",
    "epoch",
    "version",
    "snapshot",
    "snapshot_epoch",
    "snapshot_version",
    "created_at",
    "updated_at",
)

_UPSERT_PARTICIPANTS = """
INSERT INTO sync_participants AS p (
    session_id, participant_id, group_id, participant_index, time_used_ms, cycle_count, has_expired, removed,
    epoch, version)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::integer[], $5::bigint[], $6::bigint[], $7::boolean[],
    $8::boolean[], $9::bigint[], $10::bigint[])
ON CONFLICT (session_id, participant_id) DO UPDATE SET (
    group_id, participant_index, time_used_ms, cycle_count, has_expired, removed, epoch, version
) = (SELECT CASE WHEN excluded.removed THEN p.group_id ELSE excluded.group_id END,
    CASE WHEN excluded.removed THEN p.participant_index ELSE excluded.participant_index END,
    CASE WHEN excluded.removed THEN p.time_used_ms ELSE excluded.time_used_ms END,
    CASE WHEN excluded.removed THEN p.cycle_count ELSE excluded.cycle_count END,
    CASE WHEN excluded.removed THEN p.has_expired ELSE excluded.has_expired END,
    excluded.removed, excluded.epoch, excluded.version)
WHERE (excluded.epoch, excluded.version) > (p.epoch, p.version)
"""
_PARTICIPANT_COLUMNS = (
    "session_id",
    "participant_id",
    "group_id",
    "participant_index",
    "time_used_ms",
    "cycle_count",
    "has_expired",
    "removed",
    "epoch",
    "version",
)

# What webhooks are made of. A database of an earlier revision has no such table, and one whose roles were not
# given their rights again keeps it from the worker: then events are found later, by `synckairos.webhooks`.
_TELLS = "SELECT has_table_privilege(to_regclass('sync_webhook_changes')::oid, 'INSERT')"
_TELL = """
INSERT INTO sync_webhook_changes (session_id, first_version)
SELECT c.session_id, c.first_version FROM unnest($1::uuid[], $2::bigint[]) AS c (session_id, first_version)
JOIN sync_sessions AS s USING (session_id)
WHERE EXISTS (
    SELECT FROM sync_webhooks AS w WHERE w.status = 'active'
        AND (w.owner = coalesce(s.tenant_id, '') OR (s.tenant_id IS NULL AND s.snapshot IS NULL)))
"""

# The tags of sessions by which they are listed. A database of an earlier revision has no such table, and one
# whose roles were not given their rights again keeps it from the worker: then nothing is found by tags.
# Only what belongs to the snapshot that is stored counts, as batches may be stored in any order.
_KEEPS_TAGS = "SELECT has_table_privilege(to_regclass('sync_tags')::oid, 'INSERT')"
_FORGET_TAGS = """
DELETE FROM sync_tags AS t
USING sync_sessions AS s, unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS given (session_id, epoch, version)
WHERE t.session_id = given.session_id AND s.session_id = given.session_id
    AND s.snapshot_epoch = given.epoch AND s.snapshot_version = given.version
    AND (t.session_id, t.tag) NOT IN (SELECT * FROM unnest($4::uuid[], $5::text[]))
"""
_INSERT_TAGS = """
INSERT INTO sync_tags AS t (session_id, tag, owner, created_at)
SELECT s.session_id, given.tag, coalesce(s.tenant_id, ''), s.created_at
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) AS given (session_id, epoch, version, tag)
JOIN sync_sessions AS s ON s.session_id = given.session_id
    AND s.snapshot_epoch = given.epoch AND s.snapshot_version = given.version
ON CONFLICT (session_id, tag) DO UPDATE SET owner = excluded.owner, created_at = excluded.created_at
WHERE (t.owner, t.created_at) <> (excluded.owner, excluded.created_at)
"""
_METADATA_CHANGED = "metadata.changed"

_INSERT_REFUSED = """
INSERT INTO sync_refused (source, reason, body) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
ON CONFLICT DO NOTHING
"""

# By way of JSON, because a release that knew no column `oldest` may have made this table.
_TABLES = f"""
SELECT version_num AS revision, coalesce(to_json(s) ->> 'oldest', '{FIRST}') AS oldest
FROM {VERSION_TABLE} AS s
"""
_EVENT = "session_id, epoch, version, event, server_time_ms, archived_at, body"
# Of an older epoch only the versions before the beginning of the next epoch count: what a primary told after
# it was replaced never happened. An epoch begins with 1 when the session was created again, and else after
# the last version that the server of the new epoch knew.
_EVENTS = f"""
WITH began AS (SELECT epoch, min(version) AS version FROM sync_events WHERE session_id = $1 GROUP BY epoch)
SELECT {_EVENT} FROM sync_events AS e WHERE session_id = $1 AND version > $2 AND NOT EXISTS (
    SELECT FROM began AS b WHERE b.epoch > e.epoch AND b.version <= e.version)
ORDER BY version, epoch DESC LIMIT $3
"""
_NEWEST_EVENTS = (
    f"SELECT {_EVENT} FROM sync_events WHERE session_id = $1 ORDER BY epoch DESC, version DESC LIMIT $2"
)

_SESSION = f"""{", ".join(_SESSION_COLUMNS)}, (
    SELECT body -> 'payload' ->> 'moved_to' FROM sync_events AS e
    WHERE e.session_id = sync_sessions.session_id AND event IN ('session.moved', 'session.arrived')
    ORDER BY epoch DESC, version DESC LIMIT 1
) AS moved_to"""
_LIVE = "status IN ('pending', 'running', 'paused') AND snapshot IS NOT NULL"
_NEWEST_SESSIONS = f"""
SELECT {_SESSION} FROM sync_sessions
WHERE tenant_id IS NOT DISTINCT FROM $1 AND ($2::text IS NULL OR status = $2) AND status <> 'deleted'
    AND ($3::timestamptz IS NULL OR (created_at, session_id) < ($3, $4::uuid))
    AND ($6::uuid IS NULL OR session_id = $6)
ORDER BY created_at DESC, session_id DESC LIMIT $5
"""
# The same by a tag. The index of tags has them in order, so that only a page of them is looked up. A room's
# page asks again and again, so nothing is looked for among the events: where sessions moved to does not
# matter here.
_NEWEST_TAGGED = f"""
SELECT {", ".join(_SESSION_COLUMNS)} FROM sync_sessions JOIN (
    SELECT session_id, created_at AS tagged_at FROM sync_tags WHERE owner = coalesce($1, '') AND tag = $7
) AS tagged USING (session_id)
WHERE tenant_id IS NOT DISTINCT FROM $1 AND ($2::text IS NULL OR status = $2) AND status <> 'deleted'
    AND ($3::timestamptz IS NULL OR (tagged_at, session_id) < ($3, $4::uuid))
    AND ($6::uuid IS NULL OR session_id = $6)
ORDER BY tagged_at DESC, session_id DESC LIMIT $5
"""


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of an error that nobody has taken, unless it comes of a connection that was cut off on purpose.

    Where calls are cancelled and connections closed, as at the end of a process, asyncpg leaves behind what
    it had begun on them. asyncio would tell of that with a traceback, though nothing is wrong.
    """
    error = context.get("exception")
    if isinstance(error, (asyncpg.ConnectionDoesNotExistError, ConnectionError)):
        log.debug("a connection to the audit store was cut off", reason=error_text(error))
    else:
        loop.default_exception_handler(context)


class Store:
    """The store at a PostgreSQL URL, with a pool of connections that is made when it is first used.

    max_size: how many connections the pool may have
    timeout_s: how long a call may take, including the wait for a connection
    breakers: those of the process, which stores at the same PostgreSQL share
    """

    def __init__(
        self,
        database_url: str,
        *,
        max_size: int = 4,
        timeout_s: float = 5.0,
        breakers: Breakers | None = None,
    ) -> None:
        self._own_breakers = Breakers() if breakers is None else None
        self.breaker = (breakers or self._own_breakers or Breakers()).of("postgresql", self._reach)
        self._database_url = database_url
        self._max_size = max_size
        self._timeout_s = timeout_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close all connections without waiting for calls."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
        if self._own_breakers is not None:
            await self._own_breakers.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PgConnection]:
        """A connection of the pool. Raises StorageUnavailable when PostgreSQL is away, also in the block.

        When it was away several times in a row, CircuitOpen is raised at once.
        """
        probe = await self.breaker.admit()
        try:
            async with asyncio.timeout(self._timeout_s), (await self._open()).acquire() as connection:
                yield connection
        except _AWAY as error:
            if isinstance(error, _UNANSWERED):
                self.breaker.failed(error, probe=probe)
            else:
                self.breaker.succeeded()
            log.debug("the audit store does not answer", reason=repr(error))
            raise StorageUnavailable(retry_after_ms=RETRY_AFTER_MS) from error
        except BaseException:
            self.breaker.ended(probe=probe)
            raise
        self.breaker.succeeded()

    async def _reach(self) -> None:
        """Raises unless PostgreSQL answers to a new connection."""
        connection = await asyncpg.connect(self._database_url, timeout=REACH_S, command_timeout=REACH_S)
        try:
            await connection.execute("SELECT")
        finally:
            await connection.close(timeout=REACH_S)

    async def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        async with self._opening:
            if self._pool is None:
                asyncio.get_running_loop().set_exception_handler(_tell)
                self._pool = await asyncpg.create_pool(
                    self._database_url,
                    min_size=0,
                    max_size=self._max_size,
                    timeout=self._timeout_s,
                    command_timeout=self._timeout_s,
                    server_settings={"application_name": "synckairos"},
                )
            return self._pool

    async def ping(self) -> str:
        """The version of the server."""
        async with self.connection() as connection:
            return str(await connection.fetchval("SHOW server_version"))

    async def tables(self) -> Tables | None:
        """Which tables the database has; None for a database without any."""
        async with self.connection() as connection:
            if await connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
                return None
            row = await connection.fetchrow(_TABLES)
            return None if row is None else Tables(**row)

    async def insert_batch(self, batch: Batch) -> Stored:
        """Store a batch in one transaction. A repeat changes nothing.

        Rows that PostgreSQL refuses are stored in `sync_refused` with the reason, and the others as usual.
        """
        made = rows(batch)
        try:
            inserted = await self._insert(made)
        except _REFUSED as error:
            log.warning("a batch has rows that PostgreSQL refuses", reason=error_text(error))
            with _span("INSERT", "sync_events", len(made.events)):
                async with self.connection() as connection, connection.transaction():
                    inserted = await _insert_without_refused(connection, made)
        sources = {entry.source for entry in batch.entries}
        refused = sum(refusal.source in sources for refusal in made.refused)
        return Stored(inserted, len(batch.entries) - refused - inserted, refused)

    async def _insert(self, made: Rows) -> int:
        """Insert all rows in one transaction. Returns how many events were new. Raises those of _REFUSED."""
        try:
            with _span("COPY", "sync_events", len(made.events)):
                async with self.connection() as connection, connection.transaction():
                    return await _insert(connection, made, _copy_events)
        except _NOT_COPIED as error:  # in most cases some or all events of the batch are stored already
            log.debug("a batch cannot be copied, and is merged", reason=error_text(error))
            with _span("INSERT", "sync_events", len(made.events)):
                async with self.connection() as connection, connection.transaction():
                    return await _insert(connection, made, _merge_events)

    async def events(self, session_id: str, since: int = 0, limit: int = 500) -> list[StoredEvent]:
        """The session's events after version `since`, in order, without those that a newer epoch replaced."""
        return await self._fetch(_stored_event, _EVENTS, session_id, since, limit)

    async def newest_events(self, session_id: str, limit: int = 20) -> list[StoredEvent]:
        """The session's last events, of any epoch, the newest first."""
        return await self._fetch(_stored_event, _NEWEST_EVENTS, session_id, limit)

    async def session(self, session_id: str) -> StoredSession | None:
        """A session; None when it is not stored."""
        query = f"SELECT {_SESSION} FROM sync_sessions WHERE session_id = $1"
        return next(iter(await self._fetch(_stored_session, query, session_id)), None)

    async def live_sessions(self, after: str | None = None, limit: int = 500) -> list[StoredSession]:
        """Sessions that are not over and have a snapshot, ordered by id, after the id `after`."""
        query = (
            f"SELECT {_SESSION} FROM sync_sessions "
            f"WHERE {_LIVE} AND ($1::uuid IS NULL OR session_id > $1) ORDER BY session_id LIMIT $2"
        )
        return await self._fetch(_stored_session, query, after, limit)

    async def live_ids(
        self,
        after: str | None = None,
        limit: int = 500,
        *,
        changed_after: datetime | None = None,
        changed_until: datetime | None = None,
    ) -> list[str]:
        """The ids of `live_sessions`, in their order, of those that changed in the given time."""
        query = (
            f"SELECT session_id FROM sync_sessions "
            f"WHERE {_LIVE} AND ($1::uuid IS NULL OR session_id > $1) "
            f"AND ($3::timestamptz IS NULL OR updated_at > $3) "
            f"AND ($4::timestamptz IS NULL OR updated_at <= $4) ORDER BY session_id LIMIT $2"
        )
        return await self._fetch(lambda row: str(row[0]), query, after, limit, changed_after, changed_until)

    async def sessions(self, session_ids: Sequence[str]) -> list[StoredSession]:
        """Those of these sessions that are stored."""
        query = f"SELECT {_SESSION} FROM sync_sessions WHERE session_id = ANY($1::uuid[])"
        return await self._fetch(_stored_session, query, session_ids)

    async def count_live(self) -> int:
        """How many `live_sessions` there are."""
        async with self.connection() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM sync_sessions WHERE {_LIVE}"))

    async def list_sessions(
        self,
        tenant: str | None,
        *,
        status: str | None = None,
        limit: int = 100,
        before: tuple[datetime, str] | None = None,
        session_id: str | None = None,
        tag: str | None = None,
    ) -> list[StoredSession]:
        """A tenant's sessions, the newest first, without deleted ones.

        before: `created_at` and id of the last one seen
        session_id: the only one that is looked for; None for all
        tag: one that they have, or have had; None for all
        """
        created_at, last = before or (None, None)
        query, tags = (_NEWEST_SESSIONS, ()) if tag is None else (_NEWEST_TAGGED, (tag,))
        return await self._fetch(
            _stored_session, query, tenant, status, created_at, last, limit, session_id, *tags
        )

    async def count_refused(self) -> int:
        """How many rows PostgreSQL has refused."""
        async with self.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM sync_refused"))

    async def refused(self, limit: int = 20) -> list[Refused]:
        """The last rows that PostgreSQL has refused, the newest first."""
        return await self._fetch(
            lambda row: Refused(**row),
            "SELECT id, refused_at, source, reason, body FROM sync_refused ORDER BY id DESC LIMIT $1",
            limit,
        )

    async def _fetch(self, typed: Callable[[asyncpg.Record], T], query: str, *arguments: Any) -> list[T]:
        with _span("SELECT", _table(query)):
            async with self.connection() as connection:
                return [typed(row) for row in await connection.fetch(query, *arguments)]


def _span(operation: str, table: str, size: int | None = None) -> AbstractContextManager[Span | None]:
    """The block is a statement, or a transaction of several: a span of the trace that it belongs to.

    size: how many rows it has
    """
    attributes: dict[str, str | int] = {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "db.collection.name": table,
    }
    if size is not None:
        attributes["db.operation.batch.size"] = size
    return below(f"{operation} {table}", Kind.CLIENT, attributes)


def _table(query: str) -> str:
    """The table that a query is about: of those that it reads, the last one is not in a part of another."""
    return "sync_" + query.rpartition("FROM sync_")[2].split(maxsplit=1)[0]


_InsertEvents: TypeAlias = Callable[[PgConnection, Rows], Awaitable[tuple[int, list[Refusal]]]]
"""Inserts the events of a batch. Returns how many were new, and those that could not be inserted."""


async def _copy_events(connection: PgConnection, made: Rows) -> tuple[int, list[Refusal]]:
    """Insert events that are all new, in half the time of `_merge_events`. Raises those of _NOT_COPIED."""
    await connection.copy_records_to_table(
        "sync_events", records=map(attrgetter(*_EVENT_COLUMNS), made.events), columns=_EVENT_COLUMNS
    )
    return len(made.events), []


async def _merge_events(connection: PgConnection, made: Rows) -> tuple[int, list[Refusal]]:
    """Insert the new events. Events that differ from a stored one with the same version are returned."""
    status = await connection.execute(_INSERT_EVENTS, *_columns(made.events, _EVENT_COLUMNS))
    inserted = int(status.rpartition(" ")[2])
    if inserted == len(made.events):
        return inserted, []
    columns = _columns(made.events, ("session_id", "version", "epoch", "body"))
    others = [made.events[row[0]].entry for row in await connection.fetch(_OTHERS, *columns)]
    return inserted, [Refusal(entry.source, entry.body, VERSION_TAKEN) for entry in others]


async def _insert(connection: PgConnection, made: Rows, insert_events: _InsertEvents) -> int:
    """Insert all rows. Returns how many events were new. Others with a taken version join `made.refused`."""
    inserted, lost = await insert_events(connection, made) if made.events else (0, [])
    sessions = made.sessions()
    created = [session for session in sessions if session.created_epoch is not None]
    if created:
        columns = _columns(created, ("session_id", "created_epoch"))
        await connection.execute(_FORGET_SNAPSHOTS, *columns)
        await connection.execute(_FORGET_PARTICIPANTS, *columns)
    if sessions:
        await connection.execute(_UPSERT_SESSIONS, *_columns(sessions, _SESSION_COLUMNS))
        await _keep_tags(connection, made, sessions)
    if made.events and await connection.fetchval(_TELLS):
        first: dict[str, int] = {}
        for event in made.events:
            first[event.session_id] = min(event.version, first.get(event.session_id, event.version))
        await connection.execute(_TELL, list(first), list(first.values()))
    participants = made.participants()
    if participants:
        await connection.execute(_UPSERT_PARTICIPANTS, *_columns(participants, _PARTICIPANT_COLUMNS))
    refused = [*made.refused, *lost]
    if refused:
        await connection.execute(_INSERT_REFUSED, *_columns(refused, ("source", "reason", "body")))
    made.refused = refused
    return inserted


async def _keep_tags(connection: PgConnection, made: Rows, sessions: Sequence[Session]) -> None:
    """Keep the tags of the sessions that have some, or had some before their metadata changed."""
    changed = {event.session_id for event in made.events if event.event == _METADATA_CHANGED}
    found = [
        session
        for session in sessions
        if session.snapshot is not None and (session.tags or session.session_id in changed)
    ]
    if not found or not await connection.fetchval(_KEEPS_TAGS):
        return
    tagged = [(session, tag) for session in found for tag in sorted(session.tags)]
    of, tags = [session for session, _ in tagged], [tag for _, tag in tagged]
    places = ("session_id", "snapshot_epoch", "snapshot_version")
    await connection.execute(_FORGET_TAGS, *_columns(found, places), *_columns(of, ("session_id",)), tags)
    await connection.execute(_INSERT_TAGS, *_columns(of, places), tags)


async def _insert_without_refused(connection: PgConnection, made: Rows) -> int:
    """Insert all rows that PostgreSQL accepts. The others join `made.refused`."""
    inserted = await _bisect(connection, Rows(made.events), made.refused)
    await _bisect(connection, Rows(snapshots=made.snapshots), made.refused)
    await _insert(connection, Rows(refused=made.refused), _merge_events)
    return inserted


async def _bisect(connection: PgConnection, made: Rows, refused: list[Refusal]) -> int:
    """Insert events or snapshots. When one is refused, try each half, until the refused one is found."""
    try:
        async with connection.transaction():
            inserted = await _insert(connection, made, _merge_events)
    except _REFUSED as error:
        half = max(len(made.events), len(made.snapshots)) // 2
        if not half:
            refused += [Refusal(each.entry.source, each.entry.body, str(error)) for each in made.events]
            refused += [_refused_snapshot(each, error) for each in made.snapshots]
            return 0
        first = Rows(made.events[:half], made.snapshots[:half])
        second = Rows(made.events[half:], made.snapshots[half:])
        return sum([await _bisect(connection, each, refused) for each in (first, second)])
    refused += made.refused
    return inserted


def _refused_snapshot(snapshot: Session, error: Exception) -> Refusal:
    assert snapshot.snapshot is not None
    source = f"{snapshot.session_id} at {snapshot.version}@{snapshot.epoch}"
    return Refusal(source, snapshot.snapshot.encode(), str(error))


def _columns(
    found: Sequence[Event] | Sequence[Session] | Sequence[Participant] | Sequence[Refusal],
    names: Sequence[str],
) -> list[list[Any]]:
    """The rows' values, one list a column."""
    return [list(map(attrgetter(name), found)) for name in names]


def _stored_event(row: asyncpg.Record) -> StoredEvent:
    session_id, epoch, version, event, server_time_ms, archived_at, body = row
    return StoredEvent(
        str(session_id), str(epoch), version, event, server_time_ms, archived_at, body.encode()
    )


def _stored_session(row: asyncpg.Record) -> StoredSession:
    values = dict(row)
    for name in ("session_id", "epoch"):
        values[name] = str(values[name])
    if values["snapshot"] is not None:
        values["snapshot"] = values["snapshot"].encode()
        values["snapshot_epoch"] = str(values["snapshot_epoch"])
    return StoredSession(**values)
