"""Finds the live sessions of a deployment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import redis.asyncio

from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys, parse_session_key

LIVE = frozenset({b"pending", b"running", b"paused"})
"""The statuses of sessions that are not over."""
SCANNED_AT_ONCE = 1000


async def live_sessions(connection: Connection, tenant: str | None = None) -> list[str]:
    """The ids of all live sessions, or of those of a tenant. Raises StorageUnavailable, RedisError, OSError.

    Those that are created meanwhile may be missing.
    """
    found: dict[str, None] = {}
    for client in await connection.primaries():
        names: list[bytes] = []
        async for name in client.scan_iter(match="sk:{??}:????????-*", count=SCANNED_AT_ONCE, _type="hash"):
            names.append(name)
            if len(names) == SCANNED_AT_ONCE:
                found.update(dict.fromkeys(await _live(client, names, tenant)))
                names.clear()
        found.update(dict.fromkeys(await _live(client, names, tenant)))
    return list(found)


async def live_among(connection: Connection, session_ids: Iterable[str]) -> set[str]:
    """Those of these sessions that are live in a deployment.

    Raises StorageUnavailable, RedisError, OSError.
    """
    found: set[str] = set()
    for session_id in session_ids:
        key = SessionKeys.of(session_id).session
        found.update(await _live(await connection.primary_for(key), [key.encode()], None))
    return found


async def running_in(connection: Connection, session_ids: Iterable[str]) -> set[str]:
    """Those of these sessions that run in a deployment, or are over there: neither held, given up nor a copy.

    Raises StorageUnavailable, RedisError, OSError.
    """
    by_primary: defaultdict[redis.asyncio.Redis, list[str]] = defaultdict(list)
    for session_id in session_ids:
        by_primary[await connection.primary_for(SessionKeys.of(session_id).session)].append(session_id)
    found: set[str] = set()
    for client, some in by_primary.items():
        for start in range(0, len(some), SCANNED_AT_ONCE):
            asked = some[start : start + SCANNED_AT_ONCE]
            async with client.pipeline(transaction=False) as pipeline:
                for session_id in asked:
                    pipeline.hexists(SessionKeys.of(session_id).session, "rotation")
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
            found |= {session_id for session_id, reply in zip(asked, replies, strict=True) if reply is True}
    return found


async def _live(client: redis.asyncio.Redis, names: Iterable[bytes], tenant: str | None) -> list[str]:
    ids = {name: session_id for name in names if (session_id := parse_session_key(name)) is not None}
    async with client.pipeline(transaction=False) as pipeline:
        for name in ids:
            pipeline.hmget(name, ["status", "tenant"])
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return [
        session_id
        for session_id, reply in zip(ids.values(), replies, strict=True)
        if not isinstance(reply, Exception)
        and reply[0] in LIVE
        and (tenant is None or (reply[1] or b"").decode() == tenant)
    ]
