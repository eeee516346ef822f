"""From stored events to deliveries: what was stored is looked through, once, and becomes what is to be sent.

A worker that stores a batch tells in the same transaction which sessions changed (`sync_webhook_changes`).
Here these notes are taken, and with them, in one transaction: the events that were not looked through yet are
read, the deliveries are made, and it is noted which versions were looked through (`sync_webhook_sessions`).
So whatever dies, an event becomes part of a delivery once, also when a batch is stored twice.

Batches are stored in any order, but a session's events are taken in their order: one whose predecessor is not
stored yet waits for it. One that waits too long goes first, because its predecessor may be lost.

Workers of the release before this one store events and tell nothing. While there may be such workers, the
sessions themselves are compared with what was looked through (`sweep`).
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import structlog

from synckairos.audit.store import PgConnection, Store
from synckairos.webhooks.model import MOST_EVENTS, Webhook
from synckairos.webhooks.tables import WEBHOOK, webhook

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOCK = 0x73796E63_686F6F6B
"""The advisory lock of whoever looks through events. What it does takes milliseconds."""
MOST_CHANGES = 500
"""How many notes are taken in a round."""
MOST_OF_SESSION = 2000
"""How many events of one session are looked through in a round."""
GAP_S = 300.0
"""How long an event waits for its predecessor. A batch that fails is tried again within some four minutes."""
LOOK_AGAIN_S = 0.25
UNKNOWN_S = 3600.0
"""How long a session may have no snapshot, so that nobody knows whose it is."""
SWEPT_AT_ONCE = 1000

Position: TypeAlias = tuple[int, int]
"""Epoch and version of an event."""

# Of a session all notes are taken, also those that are not due: what they are about comes first.
_TAKE = """
DELETE FROM sync_webhook_changes WHERE session_id IN (
    SELECT session_id FROM sync_webhook_changes WHERE not_before <= now() ORDER BY not_before, id LIMIT $1)
RETURNING session_id::text, first_version, noted_at
"""
_PUT_BACK = """
INSERT INTO sync_webhook_changes (session_id, first_version, noted_at, not_before)
SELECT session_id, first_version, noted_at, now() + $4::interval
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS c (session_id, first_version, noted_at)
"""
_SESSIONS = """
SELECT session_id::text, tenant_id,
    tenant_id IS NOT NULL OR snapshot IS NOT NULL OR status = 'deleted' AS is_known
FROM sync_sessions WHERE session_id = ANY($1::uuid[])
"""
_METADATA = """
SELECT session_id::text, (snapshot -> 'metadata')::text AS metadata FROM sync_sessions
WHERE session_id = ANY($1::uuid[]) AND snapshot IS NOT NULL
"""
# Locked, so that none is removed before its deliveries are made.
_WEBHOOKS = (
    f"SELECT {WEBHOOK} FROM sync_webhooks WHERE status = 'active' AND owner = ANY($1::text[]) FOR KEY SHARE"
)
# `follows`: whether its predecessor is stored. After a restore that is one of an earlier epoch. `skips`:
# whether that one was not looked through, although webhooks want it: whoever has stored it told nobody.
_EVENTS = """
SELECT c.session_id::text, e.epoch, e.version, e.event, e.server_time_ms,
    e.version = 1 OR e.archived_at < now() - $3::interval OR EXISTS (
        SELECT FROM sync_events AS p
        WHERE p.session_id = e.session_id AND p.version = e.version - 1 AND p.epoch <= e.epoch) AS follows,
    e.version = c.first_version AND EXISTS (
        SELECT FROM sync_events AS p
        LEFT JOIN sync_webhook_sessions AS s ON s.session_id = p.session_id AND s.epoch = p.epoch
        WHERE p.session_id = e.session_id AND p.version = e.version - 1 AND p.server_time_ms >= c.since_ms
            AND NOT coalesce(s.seen @> p.version, false)) AS skips
FROM unnest($1::uuid[], $2::bigint[], $5::bigint[]) AS c (session_id, first_version, since_ms)
CROSS JOIN LATERAL (
    SELECT e.session_id, e.epoch, e.version, e.event, e.server_time_ms, e.archived_at FROM sync_events AS e
    LEFT JOIN sync_webhook_sessions AS p ON p.session_id = e.session_id AND p.epoch = e.epoch
    WHERE e.session_id = c.session_id AND e.version >= c.first_version
        AND NOT coalesce(p.seen @> e.version, false)
    ORDER BY e.epoch, e.version LIMIT $4
) AS e
ORDER BY e.session_id, e.epoch, e.version
"""
_SEEN = """
INSERT INTO sync_webhook_sessions AS p (session_id, epoch, owner, seen)
SELECT session_id, epoch, owner, seen::int8multirange
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS s (session_id, epoch, owner, seen)
ON CONFLICT (session_id, epoch) DO UPDATE SET seen = p.seen + excluded.seen, owner = excluded.owner
"""
# Of each session the delivery that waits last, if nobody has tried to send it yet: it can become longer.
_OPEN = """
SELECT d.delivery_id, w.webhook_id::text, w.session_id::text, cardinality(d.versions) AS events
FROM unnest($1::uuid[], $2::uuid[]) AS w (webhook_id, session_id)
JOIN sync_webhook_deliveries AS d ON d.webhook_id = w.webhook_id AND d.session_id = w.session_id
WHERE d.status = 'pending' AND NOT d.sealed AND cardinality(d.versions) < $3
ORDER BY d.place FOR UPDATE OF d
"""
_APPEND = """
UPDATE sync_webhook_deliveries SET epochs = epochs || $2::bigint[], versions = versions || $3::bigint[]
WHERE delivery_id = $1
"""
_INSERT = """
INSERT INTO sync_webhook_deliveries (delivery_id, webhook_id, session_id, epochs, versions)
VALUES ($1, $2, $3, $4, $5)
"""
RELEASE = """
UPDATE sync_webhook_deliveries AS d SET next_attempt_at = now()
FROM (
    SELECT f.delivery_id FROM unnest($1::uuid[], $2::uuid[]) AS w (webhook_id, session_id)
    CROSS JOIN LATERAL (
        SELECT o.delivery_id FROM sync_webhook_deliveries AS o
        WHERE o.webhook_id = w.webhook_id AND o.session_id = w.session_id AND o.status = 'pending'
        ORDER BY o.place LIMIT 1
    ) AS f
) AS first
WHERE d.delivery_id = first.delivery_id AND d.status = 'pending' AND d.next_attempt_at IS NULL
"""
"""Have the first delivery that waits of each of these sessions sent. Who makes a delivery, and who ends one,
asks for that after the commit: of two that do so at the same moment the later one sees both."""
_STUCK = """
UPDATE sync_webhook_deliveries AS d SET next_attempt_at = now()
WHERE d.status = 'pending' AND d.next_attempt_at IS NULL AND NOT EXISTS (
    SELECT FROM sync_webhook_deliveries AS o
    WHERE o.webhook_id = d.webhook_id AND o.session_id = d.session_id AND o.status = 'pending'
        AND o.place < d.place)
"""
_TENANTS = """
SELECT tenant_id, to_timestamp(min(since_ms) / 1000.0) AS since FROM sync_webhooks
WHERE status = 'active' GROUP BY tenant_id
"""
# A session is passed over when its newest version was looked through, and all others of that epoch.
_SWEEP = """
WITH page AS (
    SELECT s.session_id, s.created_at, s.epoch, s.version, s.updated_at FROM sync_sessions AS s
    WHERE {of_tenant} AND ($2::timestamptz IS NULL OR (s.created_at, s.session_id) < ($2, $3::uuid))
    ORDER BY s.created_at DESC, s.session_id DESC LIMIT $4
), noted AS (
    INSERT INTO sync_webhook_changes (session_id, first_version)
    SELECT session_id, 1 FROM page AS s
    WHERE s.updated_at >= $5
        AND NOT EXISTS (
            SELECT FROM sync_webhook_sessions AS p
            WHERE p.session_id = s.session_id AND p.epoch = s.epoch AND p.seen @> s.version
                AND p.seen = int8multirange(range_merge(p.seen)))
        AND NOT EXISTS (
            SELECT FROM sync_webhook_changes AS c WHERE c.session_id = s.session_id AND c.first_version = 1)
    RETURNING session_id
)
SELECT session_id, created_at, (SELECT count(*) FROM noted) AS noted FROM page
ORDER BY created_at, session_id LIMIT 1
"""
_SWEEP_OF_TENANT = _SWEEP.format(of_tenant="s.tenant_id = $1")
_SWEEP_WITHOUT_TENANT = _SWEEP.format(of_tenant="$1::text IS NULL AND s.tenant_id IS NULL")


class _Event(NamedTuple):
    session_id: str
    epoch: int
    version: int
    event: str
    server_time_ms: int
    follows: bool
    skips: bool


@dataclass(slots=True)
class _Change:
    """A note, or several of one session. What is to be looked at again is noted once more."""

    first_version: int
    noted_at: datetime


class Planner:
    """Makes deliveries of what was stored. All calls raise StorageUnavailable."""

    def __init__(self, store: Store, *, gap_s: float = GAP_S) -> None:
        self._store = store
        self._gap_s = gap_s

    async def plan(self) -> bool:
        """Look through what was noted, until nothing is left that is due. Returns whether there was anything.

        Any number of processes may do it at the same time; one after the other gets its turn.
        """
        found = False
        while True:
            async with self._store.connection() as connection:
                count, lanes = await self._round(connection)
                if lanes:
                    await release(connection, lanes)
            if not count:
                return found
            found = True

    async def _round(self, connection: PgConnection) -> tuple[int, set[tuple[str, str]]]:
        """One transaction. Returns how many notes there were, and of which sessions there is more to send."""
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            rows = await connection.fetch(_TAKE, MOST_CHANGES)
            if not rows:
                return 0, set()
            changes: dict[str, _Change] = {}
            for session_id, first_version, noted_at in rows:
                found = changes.setdefault(session_id, _Change(first_version, noted_at))
                found.first_version = min(found.first_version, first_version)
                found.noted_at = min(found.noted_at, noted_at)
            lanes = await self._look_through(connection, changes)
        return len(rows), lanes

    async def _look_through(
        self, connection: PgConnection, changes: dict[str, _Change]
    ) -> set[tuple[str, str]]:
        tenants, unknown = await _tenants(connection, changes)
        again = {session_id: changes[session_id] for session_id in unknown}
        owners = {tenant or "" for tenant in tenants.values()}
        webhooks = [webhook(row) for row in await connection.fetch(_WEBHOOKS, list(owners))]
        by_tenant: defaultdict[str | None, list[Webhook]] = defaultdict(list)
        for each in webhooks:
            by_tenant[each.tenant].append(each)
        wanted = [session_id for session_id, tenant in tenants.items() if by_tenant.get(tenant)]
        since_ms = {each: min(hook.since_ms for hook in by_tenant[tenants[each]]) for each in wanted}
        firsts = {each: changes[each].first_version for each in wanted}
        rows = await self._events(connection, firsts, since_ms)
        if skipping := {row.session_id for row in rows if row.skips}:
            firsts |= dict.fromkeys(skipping, 1)
            rows = await self._events(connection, firsts, since_ms)
        events, unready = _due(rows, firsts)
        for session_id, first_version in unready.items():
            again[session_id] = _Change(first_version, changes[session_id].noted_at)
        filtered = [each for each in events if any(hook.sessions for hook in by_tenant[tenants[each]])]
        metadata = await _metadata(connection, filtered) if filtered else {}
        plans: dict[tuple[str, str], list[Position]] = {}
        for session_id, found in events.items():
            for hook in by_tenant[tenants[session_id]]:
                sent = [
                    (each.epoch, each.version)
                    for each in found
                    if each.server_time_ms >= hook.since_ms and hook.wants(each.event)
                ]
                if sent and hook.watches(metadata.get(session_id)):
                    plans[hook.webhook_id, session_id] = sent
        await _make(connection, plans)
        await _note_seen(connection, events, tenants)
        await _put_back(connection, again)
        return set(plans)

    async def _events(
        self, connection: PgConnection, firsts: Mapping[str, int], since_ms: Mapping[str, int]
    ) -> list[_Event]:
        """What was not looked through yet of these sessions, from some version on; by session, in order."""
        if not firsts:
            return []
        rows = await connection.fetch(
            _EVENTS,
            list(firsts),
            list(firsts.values()),
            interval(self._gap_s),
            MOST_OF_SESSION,
            [since_ms[session_id] for session_id in firsts],
        )
        return list(map(_Event._make, rows))

    async def sweep(self) -> int:
        """Note the sessions with events that were not looked through. Returns how many there are."""
        async with self._store.connection() as connection:
            tenants = await connection.fetch(_TENANTS)
        noted = 0
        for tenant, since in tenants:
            query = _SWEEP_WITHOUT_TENANT if tenant is None else _SWEEP_OF_TENANT
            last: asyncpg.Record | None = None
            while True:
                at = (None, None) if last is None else (last["created_at"], last["session_id"])
                async with self._store.connection() as connection:
                    last = await connection.fetchrow(query, tenant, *at, SWEPT_AT_ONCE, since)
                if last is None:
                    break
                noted += last["noted"]
        return noted

    async def free_stuck(self) -> None:
        """Have sent what waits for nothing, as after a process died between two steps."""
        async with self._store.connection() as connection:
            await connection.execute(_STUCK)


def _due(rows: Iterable[_Event], firsts: Mapping[str, int]) -> tuple[dict[str, list[_Event]], dict[str, int]]:
    """The events that are due, by session, and from which version on to look again at other sessions."""
    due: dict[str, list[_Event]] = {}
    unready: dict[str, int] = {}
    for session_id, group in groupby(rows, itemgetter(0)):
        found = list(group)
        count = next((place for place, each in enumerate(found) if not each.follows), len(found))
        if count:
            due[session_id] = found[:count]
        if count < len(found):
            unready[session_id] = min(each.version for each in found[count:])
        elif len(found) == MOST_OF_SESSION:
            unready[session_id] = firsts[session_id]
    return due, unready


async def release(connection: PgConnection, lanes: Iterable[tuple[str, str]]) -> None:
    """Have the first delivery that waits of each of these sessions sent.

    lanes: pairs of webhook and session
    """
    pairs = list(lanes)
    await connection.execute(RELEASE, [each[0] for each in pairs], [each[1] for each in pairs])


async def _tenants(
    connection: PgConnection, changes: Mapping[str, _Change]
) -> tuple[dict[str, str | None], list[str]]:
    """Whose these sessions are, and of which nobody knows that yet."""
    rows = await connection.fetch(_SESSIONS, list(changes))
    known = {row["session_id"]: row["tenant_id"] for row in rows if row["is_known"]}
    oldest = await connection.fetchval("SELECT now() - $1::interval", interval(UNKNOWN_S))
    unknown = []
    for session_id, change in changes.items():
        if session_id in known:
            continue
        if change.noted_at < oldest:
            log.error(
                "no webhook is told of a session, because nobody knows whose it is", session_id=session_id
            )
        else:
            unknown.append(session_id)
    return known, unknown


async def _metadata(connection: PgConnection, session_ids: list[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for session_id, text in await connection.fetch(_METADATA, session_ids):
        value = None if text is None else json.loads(text)
        found[session_id] = value if isinstance(value, dict) else {}
    return found


async def _make(connection: PgConnection, plans: Mapping[tuple[str, str], list[Position]]) -> None:
    """Make deliveries of these events, by webhook and session, or add to those that are not sealed yet."""
    if not plans:
        return
    lanes = list(plans)
    rows = await connection.fetch(
        _OPEN, [each[0] for each in lanes], [each[1] for each in lanes], MOST_EVENTS
    )
    opened = {(row["webhook_id"], row["session_id"]): row for row in rows}
    added, made = [], []
    for lane, positions in plans.items():
        start = 0
        if (delivery := opened.get(lane)) is not None:
            start = MOST_EVENTS - delivery["events"]
            added.append((delivery["delivery_id"], *_columns(positions[:start])))
        made += [
            (uuid.uuid4(), *lane, *_columns(positions[each : each + MOST_EVENTS]))
            for each in range(start, len(positions), MOST_EVENTS)
        ]
    if added:
        await connection.executemany(_APPEND, added)
    if made:
        await connection.executemany(_INSERT, made)


def _columns(positions: Sequence[Position]) -> tuple[list[int], list[int]]:
    return [epoch for epoch, _ in positions], [version for _, version in positions]


async def _note_seen(
    connection: PgConnection, events: Mapping[str, list[_Event]], tenants: Mapping[str, str | None]
) -> None:
    rows = [
        (session_id, epoch, tenants[session_id] or "", ranges([each.version for each in of_epoch]))
        for session_id, found in events.items()
        for epoch, of_epoch in groupby(found, itemgetter(1))
    ]
    if rows:
        await connection.execute(_SEEN, *map(list, zip(*rows, strict=True)))


def ranges(versions: Iterable[int]) -> str:
    """Ascending numbers as PostgreSQL writes a multirange."""
    found: list[list[int]] = []
    for each in versions:
        if found and found[-1][1] == each:
            found[-1][1] += 1
        else:
            found.append([each, each + 1])
    return "{" + ",".join(f"[{start},{end})" for start, end in found) + "}"


async def _put_back(connection: PgConnection, changes: Mapping[str, _Change]) -> None:
    if changes:
        await connection.execute(
            _PUT_BACK,
            list(changes),
            [each.first_version for each in changes.values()],
            [each.noted_at for each in changes.values()],
            interval(LOOK_AGAIN_S),
        )


def interval(seconds: float) -> timedelta:
    """An argument for `::interval`."""
    return timedelta(seconds=seconds)
