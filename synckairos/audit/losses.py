"""Sees that Redis has lost sessions, and says which of all processes restores them.

A partition has a mark, `sk:{tt}:restored`: the run id of the server on which all its sessions were there or
were restored. When the mark is missing, the partition has lost its keys: by `FLUSHALL`, by a restart without
data, by a failover to an empty replica, in one shard of a cluster or in all of them. When it names another
server than the one that answers, the newest writes may be missing: a server that was started again may have
read an older file, and a replica that became the primary may not have had everything. Both count as lost
here. What then restores first looks which sessions are missing, so that a false alarm only costs that look.

The process that restores holds a lease, `sk:{tt}:restoring` with the first of the lost partitions. Its text
also says how far the restore is. When the holder dies, the lease ends by itself and another process begins
anew. Both keys have a TTL, so that nothing stays.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec
import redis.asyncio
from redis.exceptions import WatchError

from synckairos.core import keys
from synckairos.core.connection import Connection

MARK_S = 7 * 86_400
"""How long a mark stays unless it is renewed, which every service does once a day."""
LEASE_MS = 5_000
"""How long the lease of a process that died keeps the others waiting."""
UNDER_WAY = b"-"
"""The mark of a partition whose sessions are being restored."""
UNKNOWN = b"?"
"""Stands for the run id of a server that does not tell it."""


class Progress(msgspec.Struct, frozen=True):
    """How far a restore is, in sessions. It is the text of the lease.

    by: the process
    total: how many sessions the store has as live
    looked_at: how many of them were looked at so far
    restored: how many of those were missing in Redis and are back
    failed: how many could not be restored
    """

    by: str
    total: int = 0
    looked_at: int = 0
    restored: int = 0
    failed: int = 0


_decode_progress = msgspec.json.Decoder(Progress).decode


def _read_progress(text: bytes | str) -> Progress:
    """What the text of a lease says. A newer release may say it otherwise; then nothing but `?` is known."""
    try:
        return _decode_progress(text)
    except msgspec.MsgspecError:
        return Progress("?")


@dataclass(frozen=True, slots=True)
class Loss:
    """Partitions that have lost sessions, or may have.

    servers: the run id of each one's server
    emptied: how many have no mark, and so have lost all their keys; the others have a mark of another server
    lease: the key of the lease of the process that restores them
    """

    servers: Mapping[str, bytes]
    emptied: int
    lease: str


class Losses:
    """The marks and the lease, as one process sees them.

    All methods raise RedisError, OSError or StorageUnavailable when Redis is away.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    async def look(self, partitions: Iterable[str] = keys.PARTITIONS, *, renew: bool = False) -> Loss | None:
        """Which of these partitions have lost sessions. With `renew`, the marks of the others live on."""
        servers: dict[str, bytes] = {}
        emptied = 0
        for client, some in (await self._by_primary(partitions)).items():
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.info("server")
                for partition in some:
                    pipeline.get(keys.restored(partition))
                info, *marks = await pipeline.execute(raise_on_error=False)
                for mark in marks:
                    if isinstance(mark, Exception):
                        raise mark
                own = UNKNOWN if isinstance(info, Exception) else str(info.get("run_id", "?")).encode()
                for partition, mark in zip(some, marks, strict=True):
                    if mark is None or mark == UNDER_WAY or not _same(mark, own):
                        servers[partition] = own
                        emptied += mark is None
                    elif renew:
                        pipeline.expire(keys.restored(partition), MARK_S)
                await pipeline.execute()
        return Loss(servers, emptied, keys.restoring(min(servers))) if servers else None

    async def take_lease(self, loss: Loss) -> Loss | None:
        """Become the process that restores. Returns what is lost now, and None when there is nothing to do.

        That is when another process restores, or has done so since `loss` was seen.
        """
        client = await self._connection.primary_for(loss.lease)
        text = msgspec.json.encode(self.by_this_process())
        if not await client.set(loss.lease, text, nx=True, px=LEASE_MS):
            return None
        left = await self.look()
        if left is None:
            await self.give_lease_back(loss)
            return None
        for client, some in (await self._by_primary(left.servers)).items():
            async with client.pipeline(transaction=False) as pipeline:
                for partition in some:
                    pipeline.set(keys.restored(partition), UNDER_WAY, ex=MARK_S)
                await pipeline.execute()
        return replace(left, lease=loss.lease)

    async def keep_lease(self, loss: Loss, progress: Progress) -> bool:
        """Renew the lease, and tell the others how far the restore is. Returns False when it is lost."""
        return await self._change_lease(loss, msgspec.json.encode(progress))

    async def give_lease_back(self, loss: Loss) -> None:
        """Let another process restore."""
        await self._change_lease(loss, None)

    async def progress(self, loss: Loss) -> Progress | None:
        """How far the process is that restores these partitions; None when there is none."""
        text = await (await self._connection.primary_for(loss.lease)).get(loss.lease)
        return None if text is None else _read_progress(text)

    async def mark_restored(self, loss: Loss) -> bool:
        """Mark the partitions as restored. Returns False when some were lost again: those stay unmarked.

        The mark names the server that was there when the restore began. A partition that was emptied since
        has no mark to be replaced, and one that has another server now does not match it.
        """
        kept = True
        for client, some in (await self._by_primary(loss.servers)).items():
            async with client.pipeline(transaction=False) as pipeline:
                for partition in some:
                    pipeline.set(keys.restored(partition), loss.servers[partition], xx=True, ex=MARK_S)
                kept = all(await pipeline.execute()) and kept
        return kept

    def by_this_process(self, **counts: int) -> Progress:
        """The progress of a restore by this process."""
        return Progress(self._name, **counts)

    async def _change_lease(self, loss: Loss, text: bytes | None) -> bool:
        """Replace this process' lease, or delete it. Returns False when it has none."""
        client = await self._connection.primary_for(loss.lease)
        while True:
            async with client.pipeline(transaction=True) as pipeline:
                await pipeline.watch(loss.lease)
                held = await pipeline.get(loss.lease)
                if held is None or _read_progress(held).by != self._name:
                    return False
                pipeline.multi()
                if text is None:
                    pipeline.delete(loss.lease)
                else:
                    pipeline.set(loss.lease, text, px=LEASE_MS)
                with suppress(WatchError):  # it was changed, maybe by this process itself: whose is it now?
                    await pipeline.execute()
                    return True

    async def _by_primary(self, partitions: Iterable[str]) -> dict[redis.asyncio.Redis, list[str]]:
        found: defaultdict[redis.asyncio.Redis, list[str]] = defaultdict(list)
        for partition in partitions:
            found[await self._connection.primary_for(keys.restored(partition))].append(partition)
        return found


def _same(one: bytes, other: bytes) -> bool:
    """Whether two run ids may be those of one server."""
    return UNKNOWN in (one, other) or one == other
