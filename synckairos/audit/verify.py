"""Checks whether PostgreSQL has all events, by itself and in comparison with Redis.

In PostgreSQL the versions of each epoch of a session must have no gap. They must begin with 1, or after a
version of an earlier epoch. Each event that a session's log still has in Redis must be in PostgreSQL, byte
for byte. And Redis must not be behind PostgreSQL, as it is after it lost writes that it had confirmed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synckairos.audit.access_log import erasure
from synckairos.audit.jobs import Counts, Jobs
from synckairos.audit.rows import Batch, Entry, rows
from synckairos.audit.store import Store
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys

SESSIONS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a session: what it is, the first version that has it, and how many versions have it."""

    session_id: str
    epoch: str
    version: int
    count: int
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """How many sessions and events were checked so far, and the findings of the last few sessions."""

    sessions: int
    events: int
    compared: int
    """How many events were compared with Redis."""
    findings: Sequence[Finding]


_SESSIONS = """
SELECT session_id FROM sync_sessions WHERE $1::uuid IS NULL OR session_id > $1 ORDER BY session_id LIMIT $2
"""
# `first` is the first version of an epoch: it has to be 1, or follow a version of an earlier epoch.
_LINES = """
SELECT session_id, epoch, first, last, count, CASE
    WHEN count <> last - first + 1 THEN 'versions are missing'
    WHEN first > 1 AND NOT EXISTS (
        SELECT FROM sync_events AS b
        WHERE b.session_id = lines.session_id AND b.version = lines.first - 1 AND b.epoch < lines.epoch
    ) THEN 'the versions before it are missing'
    END AS problem
FROM (
    SELECT session_id, epoch, min(version) AS first, max(version) AS last, count(*) AS count
    FROM sync_events WHERE session_id = ANY($1::uuid[]) GROUP BY session_id, epoch
) AS lines ORDER BY session_id, epoch
"""
_FIRST_GAP = """
SELECT version + 1 FROM sync_events AS e WHERE session_id = $1 AND epoch = $2 AND NOT EXISTS (
    SELECT FROM sync_events AS n WHERE n.session_id = $1 AND n.epoch = $2 AND n.version = e.version + 1)
ORDER BY version LIMIT 1
"""
_BODIES = """
SELECT e.session_id, e.epoch, e.version, e.body FROM sync_events AS e
JOIN unnest($1::uuid[], $2::bigint[]) AS asked (session_id, since)
    ON e.session_id = asked.session_id AND e.version >= asked.since
"""


async def verify(store: Store, connection: Connection | None) -> AsyncIterator[Checked]:
    """Check all sessions, some at a time. Without a connection, only PostgreSQL is checked.

    Events that are still on their way count as missing; `check_again` looks once more. Raises
    StorageUnavailable, and the errors of redis-py.
    """
    sessions = events = compared = 0
    after: str | None = None
    while found := await session_ids(store, after):
        checked = await _check(store, connection, found)
        sessions += len(found)
        events += checked.events
        compared += checked.compared
        after = found[-1]
        yield Checked(sessions, events, compared, checked.findings)


async def session_ids(store: Store, after: str | None = None) -> list[str]:
    """The ids of the next SESSIONS_AT_ONCE stored sessions, in order, after the id `after`."""
    async with store.connection() as database:
        return [str(row[0]) for row in await database.fetch(_SESSIONS, after, SESSIONS_AT_ONCE)]


async def check_again(
    store: Store, connection: Connection | None, session_ids: Iterable[str]
) -> list[Finding]:
    """The findings that these sessions still have."""
    return list((await _check(store, connection, sorted(session_ids))).findings)


async def _check(store: Store, connection: Connection | None, session_ids: list[str]) -> Checked:
    # Redis is read first. An event that comes in between is then only in PostgreSQL, which is no finding.
    logs = {} if connection is None else await read_logs(connection, session_ids)
    findings = []
    events = 0
    newest: dict[str, tuple[int, int]] = {}
    async with store.connection() as database:
        for session_id, epoch, first, last, count, problem in await database.fetch(_LINES, session_ids):
            events += count
            newest[str(session_id)] = epoch, last
            if problem is not None:
                missing = last - first + 1 - count
                at = await database.fetchval(_FIRST_GAP, session_id, epoch) if missing else first - 1
                findings.append(Finding(str(session_id), str(epoch), at, missing or 1, problem))
    findings += await _differences(store, logs)
    if connection is not None:
        findings += await _where_redis_is_behind(connection, newest)
    return Checked(len(session_ids), events, sum(map(len, logs.values())), findings)


async def under_way(connection: Connection) -> int:
    """How many events wait in the outboxes."""
    waiting = 0
    for partition in keys.PARTITIONS:
        client = await connection.primary_for(keys.outbox(partition))
        waiting += await client.xlen(keys.outbox(partition))
    return waiting


async def arrived(connection: Connection, jobs: Jobs, within_s: float) -> bool:
    """Wait until no event is on its way to PostgreSQL. Returns False when some still are after so long."""
    end = time.monotonic() + within_s
    while await under_way(connection) or _busy(await asyncio.to_thread(jobs.counts)):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.5)
    return True


def _busy(counts: Counts) -> bool:
    return bool(counts.queued or counts.started or counts.scheduled)


async def read_logs(
    connection: Connection, session_ids: Sequence[str]
) -> dict[str, dict[tuple[int, int], bytes]]:
    """By session, the events that its log still has, by epoch and version."""
    found: dict[str, dict[tuple[int, int], bytes]] = {}
    for session_id in session_ids:
        key = SessionKeys.of(session_id).log
        client = await connection.primary_for(key)
        log: Any = await client.xrange(key)
        entries = [Entry(entry_id.decode(), session_id, fields.get(b"e", b"")) for entry_id, fields in log]
        if entries:
            found[session_id] = {
                (event.epoch, event.version): event.entry.body for event in rows(Batch(entries)).events
            }
    return found


async def _where_redis_is_behind(connection: Connection, newest: dict[str, tuple[int, int]]) -> list[Finding]:
    """Findings of sessions that Redis has at an older version than PostgreSQL.

    Redis is read after PostgreSQL here, because normally it is ahead.

    newest: by session, epoch and version of the newest event in PostgreSQL
    """
    findings = []
    for session_id, (epoch, version) in newest.items():
        key = SessionKeys.of(session_id).session
        client = await connection.primary_for(key)
        found: Any = await client.hmget(key, "epoch", "version")
        if found[0] == str(epoch).encode() and int(found[1]) < version:
            now_at = int(found[1])
            findings.append(
                Finding(session_id, str(epoch), now_at + 1, version - now_at, "Redis has lost it")
            )
    return findings


async def stored_events(store: Store, since: Mapping[str, int]) -> dict[tuple[str, int, int], bytes]:
    """The events (JSON) that PostgreSQL has, of every epoch, by session, epoch and version.

    since: by session, the first version
    """
    async with store.connection() as database:
        found = await database.fetch(_BODIES, list(since), list(since.values()))
    return {(str(session_id), epoch, version): body.encode() for session_id, epoch, version, body in found}


async def _differences(store: Store, logs: dict[str, dict[tuple[int, int], bytes]]) -> list[Finding]:
    if not logs:
        return []
    stored = await stored_events(
        store, {name: min(version for _, version in events) for name, events in logs.items()}
    )
    findings = []
    for session_id, events in logs.items():
        for what, wrong in (
            (
                "Redis has it, PostgreSQL does not",
                [key for key in events if (session_id, *key) not in stored],
            ),
            (
                "Redis and PostgreSQL say different things",
                [
                    key
                    for key, body in events.items()
                    if (found := stored.get((session_id, *key), body)) != body
                    # PostgreSQL may have forgotten who it was: `synckairos erase`. Redis' log ages out.
                    and found != erasure.without_actor(body)
                ],
            ),
        ):
            if wrong:
                epoch, version = min(wrong)
                findings.append(Finding(session_id, str(epoch), version, len(wrong), what))
    return findings
