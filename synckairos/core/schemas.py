"""In which schemas the sessions of a deployment are stored, and how to convert all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys, parse_session_key

OLDEST = 1
SCANNED_AT_ONCE = 1000
_GONE = {None, b"deleted", b"moved"}
"""The statuses of hashes that are no sessions: tombstones, and marks of sessions that went elsewhere."""


async def count(connection: Connection) -> Counter[int]:
    """How many sessions there are in each schema. Raises StorageUnavailable, RedisError, OSError.

    Those that are created meanwhile may be missing.
    """
    found: Counter[int] = Counter()
    async for some in _sessions(connection):
        found.update(some.values())
    return found


async def convert(connection: Connection, schema: int) -> int:
    """Convert all sessions. Returns how many were converted. Raises StorageUnavailable, RedisError, OSError.

    Those that are on their way to another server, or on one that is full, stay as they are.
    """
    converted = 0
    async for some in _sessions(connection):
        calls = [
            ("sk_convert", SessionKeys.of(session_id).all, ("SCHEMA", schema))
            for session_id, found in some.items()
            if found != schema
        ]
        converted += (await connection.fcall_many(calls)).count(1)
    return converted


async def _sessions(connection: Connection) -> AsyncIterator[dict[str, int]]:
    """The schemas of all sessions by their ids, some at a time."""
    for client in await connection.primaries():
        names: list[bytes] = []
        async for name in client.scan_iter(match="sk:{??}:????????-*", count=SCANNED_AT_ONCE, _type="hash"):
            names.append(name)
            if len(names) == SCANNED_AT_ONCE:
                yield await _read(client, names)
                names = []
        yield await _read(client, names)


async def _read(client: Any, names: list[bytes]) -> dict[str, int]:
    ids = {name: session_id for name in names if (session_id := parse_session_key(name)) is not None}
    async with client.pipeline(transaction=False) as pipeline:
        for name in ids:
            pipeline.hmget(name, ["status", "schema"])
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return {
        session_id: int(reply[1] or OLDEST)
        for session_id, reply in zip(ids.values(), replies, strict=True)
        if not isinstance(reply, Exception) and reply[0] not in _GONE
    }
