"""In which schemas the sessions of a deployment are stored, and how to convert all of them.

Also which of them the last release's library could not go on with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys, parse_session_key

OLDEST = 1
SCANNED_AT_ONCE = 1000
_GONE = {None, b"deleted", b"moved"}
"""The statuses of hashes that are no sessions: tombstones, and marks of sessions that went elsewhere."""

_OVER = {b"expired", b"completed", b"cancelled"}
LAST_LIBRARY = "0.4"
"""The library of the last release."""
_DAY_MS = 86_400_000  # the longest time that the last library takes
_FIELDS = ("status", "schema", "bounds", "cycle", "rules")
_NEWER_PARTS = re.compile(rb"[@^#]")
_NEWER_CONTROLS = re.compile(
    rb"byoyomi \d+ \d+ \d+"  # an increment in main time
    rb"|(?:stages |\|)[1-9]\d*/[^|]*$"  # the last stage repeats
)


class Found(NamedTuple):
    """What the hash of a session says.

    is_newer: whether it is not over, and uses what the last library does not know
    """

    schema: int
    is_newer: bool


async def newer(connection: Connection) -> list[str]:
    """The ids of sessions that are not over and use what the last release's library does not know.

    That is a start or an end, bounds of pauses or cycles, controls or warnings that are new, and times of
    more than a day. That library would go on with them and forget it. Raises StorageUnavailable, RedisError,
    OSError.
    """
    ids: list[str] = []
    async for some in _sessions(connection):
        ids += [session_id for session_id, found in some.items() if found.is_newer]
    return sorted(ids)


async def count(connection: Connection) -> Counter[int]:
    """How many sessions there are in each schema. Raises StorageUnavailable, RedisError, OSError.

    Those that are created meanwhile may be missing.
    """
    found: Counter[int] = Counter()
    async for some in _sessions(connection):
        found.update(each.schema for each in some.values())
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
            if found.schema != schema
        ]
        converted += (await connection.fcall_many(calls)).count(1)
    return converted


async def _sessions(connection: Connection) -> AsyncIterator[dict[str, Found]]:
    """What is found of all sessions by their ids, some at a time."""
    for client in await connection.primaries():
        names: list[bytes] = []
        async for name in client.scan_iter(match="sk:{??}:????????-*", count=SCANNED_AT_ONCE, _type="hash"):
            names.append(name)
            if len(names) == SCANNED_AT_ONCE:
                yield await _read(client, names)
                names = []
        yield await _read(client, names)


async def _read(client: Any, names: list[bytes]) -> dict[str, Found]:
    ids = {name: session_id for name in names if (session_id := parse_session_key(name)) is not None}
    async with client.pipeline(transaction=False) as pipeline:
        for name in ids:
            pipeline.hmget(name, _FIELDS)
            pipeline.hscan(name, match="c:*", count=SCANNED_AT_ONCE * 10)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
    found = {}
    for session_id, reply, own in zip(ids.values(), replies[::2], replies[1::2], strict=True):
        if not isinstance(reply, Exception) and reply[0] not in _GONE:
            own_controls = [] if isinstance(own, Exception) else [*own[1].values()]
            status, schema, bounds, cycle, rules = reply
            is_newer = status not in _OVER and _is_newer(bounds, cycle, rules, own_controls)
            found[session_id] = Found(int(schema or OLDEST), is_newer)
    return found


def _is_newer(
    bounds: bytes | None, cycle: bytes | None, rules: bytes | None, own_controls: list[bytes]
) -> bool:
    """Whether these fields, see lua/storage/session.lua, have what the last library does not know."""
    if bounds is not None or _NEWER_PARTS.search(cycle or b""):
        return True
    _mode, _ttl, _action, _lag, cycle_ms, warnings, control = (rules or b"- 0 - 0 0 - none 0").split(b" ", 6)
    if int(cycle_ms) > _DAY_MS or (warnings != b"-" and int(warnings.split(b",")[-1]) <= 0):
        return True
    return any(
        _NEWER_CONTROLS.search(each) or any(int(number) > _DAY_MS for number in re.findall(rb"\d+", each))
        for each in (control, *own_controls)
    )
