"""What fills the memory of a server: how many bytes each key space has, and the connections of clients.

`redis-cli --bigkeys` names single keys. A server fills with many small ones, so they are added up by what
they are for. The bytes are estimated from the first LOOKED_AT keys that a scan meets. The outboxes are few
and can be long, so each of them is measured.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import redis.asyncio

from synckairos.core.keys import PARTITIONS, outbox
from synckairos.doctor.trouble import decoded

LOOKED_AT = 5_000
"""How many keys are measured. That takes some tenths of a second."""
AT_ONCE = 500
LISTED = 3
"""How many key spaces are named."""

_SPACES = (
    (re.compile(r"sk:\{[0-9a-f]{2}\}:[0-9a-f-]{36}"), "sessions"),
    (re.compile(r"sk:\{[0-9a-f]{2}\}:[0-9a-f-]{36}:log"), "logs of sessions"),
    (re.compile(r"sk:\{[0-9a-f]{2}\}:outbox"), "outboxes"),
    (re.compile(r"sk:rl:.*"), "rate limits"),
    (re.compile(r"sk:auth:.*"), "keys, links and revocations"),
    (re.compile(r"sk:.*"), "the rest of the service"),
    (re.compile(r"(rq|synckairos:audit):.*"), "queue of the audit"),
)
CLIENTS = "connections of clients"


async def shares(client: redis.asyncio.Redis) -> str:
    """What uses the most memory, as in "sessions 12.0 MB (60 %), keys of others (cache:*) 6.0 MB (30 %)".

    The percentages are of what keys and connections use together. Raises RedisError.
    """
    found = await _measured(client)
    total = sum(found.values()) or 1
    return ", ".join(
        f"{space} {size / 1_000_000:,.1f} MB ({size / total:.0%})"
        for space, size in found.most_common(LISTED)
        if size
    )


async def _measured(client: redis.asyncio.Redis) -> Counter[str]:
    """Bytes by key space."""
    scanned: Counter[str] = Counter()
    looked_at, cursor = 0, None
    while cursor != 0 and looked_at < LOOKED_AT:
        cursor, names = await client.scan(cursor or 0, count=AT_ONCE)
        for name, size in zip(names, await _sizes(client, names), strict=True):
            scanned[space_of(decoded(name))] += size
        looked_at += len(names)
    # A scan that met all keys has measured them; otherwise the others are taken to be like them.
    times = 1.0 if cursor == 0 else await client.dbsize() / max(looked_at, 1)
    found = Counter({space: round(size * times) for space, size in scanned.items()})
    found["outboxes"] = sum(await _sizes(client, await _outboxes(client)))
    info = await client.info("memory")
    found[CLIENTS] = int(info.get("mem_clients_normal", 0))
    return found


async def _outboxes(client: redis.asyncio.Redis) -> list[str]:
    """Those in which events wait. An empty one has some bytes too, which say nothing."""
    names = list(map(outbox, PARTITIONS))
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.xlen(name)
        return [name for name, length in zip(names, await pipeline.execute(), strict=True) if length]


async def _sizes(client: redis.asyncio.Redis, names: list[Any]) -> list[int]:
    """Bytes of each key; 0 for one that is gone."""
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.memory_usage(name)
        return [size or 0 for size in await pipeline.execute()]


def space_of(name: str) -> str:
    """The key space of a key."""
    for pattern, space in _SPACES:
        if pattern.fullmatch(name):
            return space
    prefix, separator, _ = name.partition(":")
    return f"keys of others ({prefix + ':*' if separator else 'without a prefix'})"
