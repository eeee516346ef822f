"""Makes the access log and the audit of sessions forget a person, who may ask for it.

What was done stays, and when, and to which session; who did it goes. A row of the access log forgets subject,
token, request id and address, and the salt with which they were hashed. Without the salt nobody can find out
whether the digest that stays is that of a name, and the chain goes on to verify, because it covers the digest
only. A new row of the chain says how many rows forgot a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import msgspec

from synckairos.audit.access_log.chain import ERASE
from synckairos.audit.access_log.entries import by_command
from synckairos.audit.store import PgConnection, Store

SCOPE_DIGITS = 16
_NOBODY = r"\u0001"
"""What is left of a scope: that of requests which came without an actor."""
AT_ONCE = 500
"""How many events or snapshots are changed in one transaction."""

_CHAINS = """
SELECT DISTINCT chain FROM sync_access_log
WHERE sub = $1 AND ($2::text IS NULL OR tenant_id = $2) ORDER BY chain
"""
_LOCK = "SELECT FROM sync_access_chains WHERE chain = $1 FOR UPDATE"
_COUNT = "SELECT count(*) FROM sync_access_log WHERE chain = $1 AND sub = $2"
_SAY = """
INSERT INTO sync_access_log (tenant_id, sub, action, outcome, count)
VALUES ($1, $2, $3, 'allowed', $4) RETURNING place
"""
_FORGET = """
UPDATE sync_access_log
SET sub = NULL, token_id = NULL, request_id = NULL, address = NULL, salt = NULL, erased_by = $3
WHERE chain = $1 AND sub = $2 AND place < $3
"""

_EVENTS = """
SELECT session_id, version, epoch, body FROM sync_events AS e
WHERE actor = $1 AND ($2::text IS NULL OR EXISTS (
    SELECT FROM sync_sessions AS s WHERE s.session_id = e.session_id AND s.tenant_id = $2))
LIMIT $3 FOR UPDATE
"""
_CHANGE_EVENT = """
UPDATE sync_events SET actor = NULL, body = $4 WHERE session_id = $1 AND version = $2 AND epoch = $3
"""
# `strpos` and not LIKE: the text that is looked for has characters that mean something there.
_SNAPSHOTS = """
SELECT session_id, snapshot FROM sync_sessions
WHERE strpos(snapshot::text, $1) > 0 AND ($2::text IS NULL OR tenant_id = $2) LIMIT $3 FOR UPDATE
"""
_CHANGE_SNAPSHOT = "UPDATE sync_sessions SET snapshot = $2 WHERE session_id = $1"
_REFUSED = "SELECT id, body FROM sync_refused WHERE position($1 IN body) > 0 FOR UPDATE"
_CHANGE_REFUSED = "UPDATE sync_refused SET body = $2 WHERE id = $1"
_MADE = (
    "UPDATE sync_links SET made_by = NULL WHERE made_by = $1 AND ($2::text IS NULL OR tenant_id = $2)",
    "UPDATE sync_keys SET made_by = NULL WHERE made_by = $1 AND ($2::text IS NULL OR tenant_id = $2)",
    "UPDATE sync_revocations SET made_by = NULL WHERE made_by = $1 AND ($2::text IS NULL OR tenant_id = $2)",
)

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(slots=True)
class Erased:
    """How much forgot the person.

    entries: rows of the access log
    events: events that named the person as their actor
    snapshots: snapshots with a digest of the person's name, by which requests are told apart
    refused: events that could not be stored, and named the person as their actor
    made: links, keys and revocations that the person has made; these go on to hold
    """

    entries: int = 0
    events: int = 0
    snapshots: int = 0
    refused: int = 0
    made: int = 0


async def erase(store: Store, subject: str, tenant: str | None = None) -> Erased:
    """Forget a person. A repeat finds what has come since, or nothing. Raises StorageUnavailable.

    subject: the `sub` of the person's tokens; an event has it as its actor
    tenant: only in this tenant's log and sessions; None for all

    It needs the rights of the tables' owner.
    """
    erased = Erased()
    async with store.connection() as connection:
        chains = [str(row[0]) for row in await connection.fetch(_CHAINS, subject, tenant)]
    for chain in chains:
        async with store.connection() as connection, connection.transaction():
            erased.entries += await _forget_entries(connection, chain, subject)
    erased.events = await _forget(store, _EVENTS, subject, tenant, _forget_events)
    scope = _scope(subject)
    erased.snapshots = await _forget(store, _SNAPSHOTS, scope, tenant, _forget_snapshots)
    async with store.connection() as connection, connection.transaction():
        for statement in _MADE:
            erased.made += int((await connection.execute(statement, subject, tenant)).rpartition(" ")[2])
    if tenant is None:  # what could not be stored has no tenant
        async with store.connection() as connection, connection.transaction():
            erased.refused = await _forget_refused(connection, subject)
    return erased


async def _forget_entries(connection: PgConnection, chain: str, subject: str) -> int:
    await connection.execute(_LOCK, chain)  # so that nobody adds a row before it is said how many there are
    count: int = await connection.fetchval(_COUNT, chain, subject)
    said = by_command(ERASE, tenant=chain or None)
    place = await connection.fetchval(_SAY, said.tenant, said.sub, said.action, count)
    await connection.execute(_FORGET, chain, subject, place)
    return count


async def _forget(
    store: Store,
    query: str,
    name: str,
    tenant: str | None,
    change: Callable[[PgConnection, list[asyncpg.Record], str], Awaitable[None]],
) -> int:
    """Change the rows that a query finds, AT_ONCE in a transaction, until it finds no more."""
    changed = 0
    while True:
        async with store.connection() as connection, connection.transaction():
            rows = await connection.fetch(query, name, tenant, AT_ONCE)
            await change(connection, rows, name)
        changed += len(rows)
        if len(rows) < AT_ONCE:
            return changed


async def _forget_events(connection: PgConnection, rows: list[asyncpg.Record], _actor: str) -> None:
    await connection.executemany(
        _CHANGE_EVENT, [(*row[:3], without_actor(row["body"].encode()).decode()) for row in rows]
    )


async def _forget_snapshots(connection: PgConnection, rows: list[asyncpg.Record], scope: str) -> None:
    changed = [(row["session_id"], row["snapshot"].replace(scope, _NOBODY)) for row in rows]
    await connection.executemany(_CHANGE_SNAPSHOT, changed)


async def _forget_refused(connection: PgConnection, subject: str) -> int:
    named = b'"actor":' + msgspec.json.encode(subject)
    rows = await connection.fetch(_REFUSED, named)
    changed = [(row["id"], row["body"].replace(named, b'"actor":null')) for row in rows]
    await connection.executemany(_CHANGE_REFUSED, changed)
    return len(rows)


def without_actor(event: bytes) -> bytes:
    """An event (JSON) whose actor is null. All else stays byte for byte."""
    fields = _decode_fields(event)
    payload = _decode_fields(fields["payload"]) | {"actor": msgspec.Raw(b"null")}
    return msgspec.json.encode(fields | {"payload": msgspec.Raw(msgspec.json.encode(payload))})


def _scope(subject: str) -> str:
    """How the requests of a person begin in a snapshot: see `lua/storage/requests.lua`."""
    # SHA-1 keeps no secret here: it is what the function library tells requests apart by.
    return hashlib.sha1(subject.encode(), usedforsecurity=False).hexdigest()[:SCOPE_DIGITS] + _NOBODY
