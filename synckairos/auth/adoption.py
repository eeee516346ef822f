"""Gives sessions without a tenant to one. `AUTH_MODE=none` made them, and with `jwt` they are nobody's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import WatchError

from synckairos.auth.tables import Database
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys, parse_session_key
from synckairos.errors import StorageUnavailable

_SESSIONS = "sk:{??}:????????-*"
_SCANNED_AT_ONCE = 1000
_ATTEMPTS = 100
"""How often a session that changes all the time is tried."""

_PAGE = 500

_WITHOUT_TENANT = """
SELECT session_id::text, snapshot, snapshot_epoch, snapshot_version FROM sync_sessions
WHERE tenant_id IS NULL AND status <> 'deleted' AND ($1::uuid IS NULL OR session_id > $1)
    AND ($2::uuid[] IS NULL OR session_id = ANY($2)) ORDER BY session_id LIMIT $3
"""
_ADOPT = """
UPDATE sync_sessions SET tenant_id = $2, snapshot = $3
WHERE session_id = $1 AND tenant_id IS NULL
    AND (snapshot_epoch, snapshot_version) IS NOT DISTINCT FROM ($4::bigint, $5::bigint)
"""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def adopt_in_redis(connection: Connection, tenant: str, session_ids: Sequence[str] = ()) -> set[str]:
    """Gives sessions without a tenant to one: these, or all. Returns which were given.

    It may be repeated. Raises StorageUnavailable.
    """
    adopted: set[str] = set()
    try:
        if session_ids:
            for session_id in session_ids:
                client = await connection.primary_for(SessionKeys.of(session_id).session)
                if await _adopt(client, session_id, tenant):
                    adopted.add(session_id)
        else:
            async for client, session_id in _all(connection):
                if await _adopt(client, session_id, tenant):
                    adopted.add(session_id)
    except REDIS_ERRORS as error:
        raise StorageUnavailable(retry_after_ms=1000) from error
    return adopted


async def adopt_in_postgresql(database: Database, tenant: str, session_ids: Sequence[str] = ()) -> set[str]:
    """The same for what PostgreSQL has of them."""
    adopted: set[str] = set()
    last: str | None = None
    named = list(session_ids) or None
    async with database.connection() as connection:
        while rows := await connection.fetch(_WITHOUT_TENANT, last, named, _PAGE):
            for session_id, snapshot, epoch, version in rows:
                owned = None if snapshot is None else _owned(snapshot.encode(), tenant).decode()
                done = await connection.execute(_ADOPT, session_id, tenant, owned, epoch, version)
                if done == "UPDATE 1":
                    adopted.add(session_id)
            last = rows[-1]["session_id"]
    return adopted


def _owned(snapshot: bytes, tenant: str) -> bytes:
    """A snapshot (JSON) with this tenant, also in the hash that the session is restored from."""
    owner = msgspec.Raw(msgspec.json.encode(tenant))
    state = _decode(snapshot)
    internal = _decode(state["internal"])
    fields = _decode(internal["fields"])
    fields["tenant"] = state["tenant_id"] = owner
    internal["fields"] = msgspec.Raw(msgspec.json.encode(fields))
    state["internal"] = msgspec.Raw(msgspec.json.encode(internal))
    return msgspec.json.encode(state)


async def _all(connection: Connection) -> AsyncIterator[tuple[redis.asyncio.Redis, str]]:
    for client in await connection.primaries():
        async for name in client.scan_iter(match=_SESSIONS, count=_SCANNED_AT_ONCE, _type="hash"):
            session_id = parse_session_key(name)
            if session_id is not None:
                yield client, session_id


async def _adopt(client: redis.asyncio.Redis, session_id: str, tenant: str) -> bool:
    """Whether the session had no tenant, and has this one now."""
    key = SessionKeys.of(session_id).session
    for _ in range(_ATTEMPTS):
        async with client.pipeline(transaction=True) as pipeline:
            await pipeline.watch(key)
            fields: Any = await pipeline.hmget(key, ["status", "tenant"])
            status, owner = fields
            if status in (None, b"deleted") or owner is not None:
                return False
            pipeline.multi()
            pipeline.hset(key, "tenant", tenant)
            try:
                await pipeline.execute()
            except WatchError:
                continue
            return True
    return False
