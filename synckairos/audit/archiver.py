"""The way out of the outboxes: read, made into batches, queued, acknowledged and deleted.

Any number of archivers share the work as one consumer group. What one has read and not acknowledged, because
it died or could not reach the queue, is claimed by another after CLAIM_AFTER_MS; so a batch may be queued
twice, and storing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, TypeAlias

import hiredis
import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from synckairos import metrics
from synckairos.audit.jobs import Jobs
from synckairos.audit.rows import Batch, Entry
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.errors import SessionNotFound, StorageUnavailable, SyncKairosError
from synckairos.supervision import Backoff, cancel, supervise

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GROUP = "audit"
MAX_ENTRIES = 2000
"""Events in one batch, at most."""
MAX_BYTES = 4 * 1_048_576
"""Bytes in one batch, events and snapshots together; one that is larger by itself has a batch of its own."""
AGE_S = 0.2
"""How long an event waits for others to share its batch."""
ROUND_ENTRIES = 5000
"""Events in one round, about: its batches share one snapshot of each session, so a backlog is cheaper."""
READ_ENTRIES = 1000
"""Events in one reply, about: a larger one would keep users waiting, of the server and of this process."""
FIRST_COUNT = 4
"""Entries that a read takes from each outbox. Where there are more, the next read takes more of them."""
CLAIM_AFTER_MS = 10_000
"""How long entries that another archiver has read must be unacknowledged before this one claims them."""
CLAIM_EVERY_S = 5.0
FORGET_AFTER_MS = 86_400_000
"""How long an archiver without entries must have been idle before it counts as gone."""
WATCH_EVERY_S = 5.0
"""How often the figures of the audit are looked at."""
TIMEOUT_S = 10.0
STOP_S = 1.0
_CLAIM_COUNT = 100
_SNAPSHOTS_AT_ONCE = 5
"""Few snapshots at a time: each takes the server several times as long as a switch, and calls wait behind."""

_Command: TypeAlias = tuple[str | bytes | int, ...]
_EntriesByPartition: TypeAlias = dict[str, list[tuple[bytes, Entry]]]
"""Entries by partition, each with its id."""


class Archiver:
    """Takes events from the outboxes of all partitions to the queue of the audit."""

    def __init__(self, connection: Connection, jobs: Jobs) -> None:
        self._connection = connection
        self._jobs = jobs
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._snapshot_positions: dict[str, tuple[int, int]] = {}
        """Where the queued snapshots of the last round's sessions stood: an event up to there needs none."""
        self._tasks: list[asyncio.Task[None]] = []
        self._away = False

    async def start(self) -> None:
        """Start, in the background. Redis may be away."""
        self._tasks = [
            asyncio.create_task(supervise(name, loop), name=name)
            for name, loop in (("archiver", self._run), ("archiver's claims", self._claim_always))
        ]
        self._tasks.append(asyncio.create_task(supervise("audit figures", self._watch), name="audit figures"))

    async def stop(self) -> None:
        """Stop. What was read and not queued is claimed by another, or by the next one here."""
        await cancel(*self._tasks)
        self._tasks = []
        with suppress(RedisError, OSError, StorageUnavailable):
            async with asyncio.timeout(STOP_S):
                await self._remove_consumers(lambda name, _: name == self._name)
        await asyncio.to_thread(self._jobs.close)

    async def archive(self) -> int:
        """Take what there is now, up to a bound, to the queue; how many events that were."""
        taken = await self._read()
        return await self._hand_to_queue(taken)

    async def claim(self) -> int:
        """Take over what other archivers have left; how many events that were."""
        return await self._hand_to_queue(await self._claimed())

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                count = await self.archive()
            except (RedisError, OSError, StorageUnavailable) as error:
                self._note_outage(error)
                await asyncio.sleep(backoff.pause())
                continue
            self._note_return()
            backoff.reset()
            if count < ROUND_ENTRIES:
                await asyncio.sleep(AGE_S)

    async def _claim_always(self) -> None:
        while True:
            try:
                while await self.claim():
                    pass
                await self._remove_consumers(lambda _, idle_ms: idle_ms > FORGET_AFTER_MS)
            except (RedisError, OSError, StorageUnavailable) as error:
                self._note_outage(error)
            await asyncio.sleep(CLAIM_EVERY_S)

    def _note_outage(self, error: Exception) -> None:
        if not self._away:
            log.warning("the audit waits", reason=repr(error.__cause__ or error))
        self._away = True

    def _note_return(self) -> None:
        if self._away:
            log.info("the audit goes on")
        self._away = False

    async def _read(self) -> _EntriesByPartition:
        """New entries: a few of each outbox, then more of those that had more, up to about ROUND_ENTRIES."""
        taken: _EntriesByPartition = defaultdict(list)
        partitions: Sequence[str] = keys.PARTITIONS
        count, total = FIRST_COUNT, 0
        while partitions and total < ROUND_ENTRIES:
            more = []
            for partition, entries in (await self._read_from(partitions, count)).items():
                taken[partition] += _entries(partition, entries)
                total += len(entries)
                if len(entries) >= count:
                    more.append(partition)
            partitions = more
            count = max(FIRST_COUNT, min(READ_ENTRIES, ROUND_ENTRIES - total) // max(1, len(more)))
        return taken

    async def _read_from(self, partitions: Sequence[str], count: int) -> dict[str, list[Any]]:
        """New entries of each outbox, as the server has them. Groups are made where they are missing."""
        try:
            return await self._read_group(partitions, count)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        await self._make_groups()
        return await self._read_group(partitions, count)

    async def _read_group(self, partitions: Sequence[str], count: int) -> dict[str, list[Any]]:
        """One command for all outboxes of a primary; in a cluster one for each, sent together."""
        command = ("XREADGROUP", "GROUP", GROUP, self._name, "COUNT", count, "STREAMS")
        asked = []
        for client, partitions_of in (await self._by_primary(partitions)).items():
            outboxes = [keys.outbox(partition) for partition in partitions_of]
            together = [outboxes] if self._connection.topology != "cluster" else [[each] for each in outboxes]
            asked.append(_send(client, [(*command, *some, *(">" for _ in some)) for some in together]))
        async with asyncio.timeout(TIMEOUT_S):
            replies = await asyncio.gather(*asked)
        found = {}
        for reply in chain.from_iterable(replies):
            if isinstance(reply, ResponseError):
                raise reply
            found.update({key.partition(b"}")[0][-2:].decode(): entries for key, entries in reply or ()})
        return found

    async def _by_primary(
        self, partitions: Iterable[str] = keys.PARTITIONS
    ) -> dict[redis.asyncio.Redis, list[str]]:
        found: defaultdict[redis.asyncio.Redis, list[str]] = defaultdict(list)
        for partition in partitions:
            found[await self._connection.primary_for(keys.outbox(partition))].append(partition)
        return found

    async def _make_groups(self) -> None:
        """Make the consumer group of every outbox. It begins with the first entry there is."""
        for client, partitions in (await self._by_primary()).items():
            async with client.pipeline(transaction=False) as pipeline:
                for partition in partitions:
                    pipeline.xgroup_create(keys.outbox(partition), GROUP, id="0", mkstream=True)
                for reply in await pipeline.execute(raise_on_error=False):
                    if isinstance(reply, Exception) and "BUSYGROUP" not in str(reply):
                        raise reply

    async def _claimed(self) -> _EntriesByPartition:
        taken: _EntriesByPartition = {}
        for client, partitions in (await self._by_primary()).items():
            how = (GROUP, self._name, CLAIM_AFTER_MS, "0", "COUNT", _CLAIM_COUNT)
            commands = [("XAUTOCLAIM", keys.outbox(partition), *how) for partition in partitions]
            for partition, reply in zip(partitions, await _send(client, commands), strict=True):
                if isinstance(reply, ResponseError):
                    if "NOGROUP" not in str(reply):
                        raise reply
                elif reply[1]:
                    taken[partition] = _entries(partition, reply[1])
        return taken

    async def _remove_consumers(self, gone: Callable[[str, int], bool]) -> None:
        """Take archivers that are gone, by name and idle time (ms), and have nothing, out of the groups."""
        for client, partitions in (await self._by_primary()).items():
            async with client.pipeline(transaction=False) as pipeline:
                for partition in partitions:
                    pipeline.xinfo_consumers(keys.outbox(partition), GROUP)
                replies = await pipeline.execute(raise_on_error=False)
                for partition, reply in zip(partitions, replies, strict=True):
                    for consumer in [] if isinstance(reply, Exception) else reply:
                        if not consumer["pending"] and gone(consumer["name"].decode(), consumer["idle"]):
                            pipeline.xgroup_delconsumer(keys.outbox(partition), GROUP, consumer["name"])
                await pipeline.execute(raise_on_error=False)

    async def _hand_to_queue(self, taken: _EntriesByPartition) -> int:
        """Queue what was taken, with snapshots, and take it out of the outboxes."""
        entries = [entry for found in taken.values() for _, entry in found]
        if not entries:
            return 0
        snapshots = await self._snapshots(entries)
        for batch in batches(entries, snapshots):
            await self._queue(batch)
            metrics.audit_archived.inc(len(batch.entries))
        touched = {entry.session_id for entry in entries}
        self._snapshot_positions = {
            each: at for each, at in self._snapshot_positions.items() if each in touched
        }
        self._snapshot_positions |= {
            each: at for each, state in snapshots.items() if (at := _position(state))
        }
        await self._acknowledge(taken)
        return len(entries)

    async def _queue(self, batch: Batch) -> None:
        """Queue a batch, however long the queue is away."""
        backoff = Backoff()
        while True:
            try:
                await asyncio.to_thread(self._jobs.put, batch)
            except (RedisError, OSError) as error:
                self._note_outage(error)
                await asyncio.sleep(backoff.pause())
            else:
                return

    async def _snapshots(self, entries: Iterable[Entry]) -> dict[str, bytes]:
        """The exported states of the sessions that are there and of which none as new is queued already."""
        newest = {entry.session_id: entry.body for entry in entries}
        wanted = [
            session_id
            for session_id, body in newest.items()
            if _is_session_id(session_id) and not self._has_snapshot_of(session_id, body)
        ]
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _SNAPSHOTS_AT_ONCE):
            some = wanted[start : start + _SNAPSHOTS_AT_ONCE]
            replies = await self._connection.fcall_many(
                [("sk_get", (SessionKeys.of(session_id).session,), ("EXPORT",)) for session_id in some]
            )
            for session_id, reply in zip(some, replies, strict=True):
                if isinstance(reply, bytes):
                    found[session_id] = reply
                elif isinstance(reply, StorageUnavailable):
                    raise reply
                elif not isinstance(reply, SessionNotFound):
                    log.error("a session cannot be exported", session_id=session_id, reason=repr(reply))
        return found

    def _has_snapshot_of(self, session_id: str, event: bytes) -> bool:
        caught = self._snapshot_positions.get(session_id)
        if caught is None:
            return False
        position = _position(event)
        return position is not None and position <= caught

    async def _acknowledge(self, taken: _EntriesByPartition) -> None:
        """Delete and acknowledge.

        In this order: an entry that is acknowledged first, and not deleted, would stay for ever; one that is
        deleted first is no longer pending as soon as an archiver claims it.
        """
        for client, partitions in (await self._by_primary(taken)).items():
            commands: list[_Command] = []
            for partition in partitions:
                outbox, ids = keys.outbox(partition), [entry_id for entry_id, _ in taken[partition]]
                commands += [("XDEL", outbox, *ids), ("XACK", outbox, GROUP, *ids)]
            async with asyncio.timeout(TIMEOUT_S):
                for reply in await _send(client, commands):
                    if isinstance(reply, ResponseError):
                        raise reply

    async def _watch(self) -> None:
        while True:
            try:
                waiting = 0
                for client, partitions in (await self._by_primary()).items():
                    async with client.pipeline(transaction=False) as pipeline:
                        for partition in partitions:
                            pipeline.xlen(keys.outbox(partition))
                        waiting += sum(await pipeline.execute())
                metrics.audit_waiting.set(waiting)
                counts = await asyncio.to_thread(self._jobs.counts)
                metrics.audit_batches.labels("queued").set(counts.queued + counts.started)
                metrics.audit_batches.labels("scheduled").set(counts.scheduled)
                metrics.audit_batches.labels("failed").set(counts.failed)
            except (RedisError, OSError, SyncKairosError) as error:
                log.debug("the audit's figures are not known", reason=repr(error))
            await asyncio.sleep(WATCH_EVERY_S)


def batches(entries: Sequence[Entry], snapshots: Mapping[str, bytes]) -> Iterator[Batch]:
    """The entries in batches of at most MAX_ENTRIES and, where one entry is not more by itself, MAX_BYTES.

    A session's entries stay in order and together, with its snapshot behind them.
    """
    by_session: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_session[entry.session_id].append(entry)
    some: list[Entry] = []
    states: list[bytes] = []
    size = 0
    for session_id, found in by_session.items():
        for entry in found:
            if some and (len(some) >= MAX_ENTRIES or size + len(entry.body) > MAX_BYTES):
                yield Batch(some, states)
                some, states, size = [], [], 0
            some.append(entry)
            size += len(entry.body)
        if session_id in snapshots:
            states.append(snapshots[session_id])
            size += len(snapshots[session_id])
    if some:
        yield Batch(some, states)


async def _send(client: redis.asyncio.Redis, commands: Sequence[_Command]) -> list[Any]:
    """The replies to commands that go out together, errors among them. Raises RedisError, OSError.

    redis-py's own way, which packs in Python and makes dictionaries, takes three times as long.
    """
    pool = client.connection_pool
    connection = await pool.get_connection()
    replies: list[Any] = []
    try:
        # Its stub knows tuples of one only.
        packed = [hiredis.pack_command(each) for each in commands]  # type: ignore[arg-type]
        await connection.send_packed_command(packed)
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        await connection.disconnect(nowait=True)  # no later command may get the outstanding replies
        raise
    finally:
        await pool.release(connection)
    return replies


def _entries(
    partition: str, found: Iterable[tuple[bytes, Sequence[bytes] | None]]
) -> list[tuple[bytes, Entry]]:
    """Entries as the server has them: the id, and names and values in turn; None for one that is gone."""
    entries = []
    for entry_id, given in found:
        if given is not None:
            fields = dict(zip(given[::2], given[1::2], strict=True))
            session_id = fields.get(b"id", b"").decode(errors="replace")
            entries.append(
                (entry_id, Entry(f"{partition}/{entry_id.decode()}", session_id, fields.get(b"e", b"")))
            )
    return entries


class _Position(msgspec.Struct):
    epoch: str
    version: int


_decode_position = msgspec.json.Decoder(_Position).decode


def _position(body: bytes) -> tuple[int, int] | None:
    """Epoch and version of an event or a state; None where it is none."""
    try:
        position = _decode_position(body)
        return int(position.epoch), position.version
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _is_session_id(text: str) -> bool:
    try:
        return keys.session_id(text) == text
    except SyncKairosError:
        return False
