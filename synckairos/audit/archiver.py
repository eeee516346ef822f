"""The archiver: reads events from the outboxes, queues them in batches, and deletes them from the outboxes.

Any number of archivers share the work as one consumer group. Entries that an archiver has read but not
acknowledged, because it died or could not reach the queue, are claimed by another one after CLAIM_AFTER_MS.
So a batch may be queued twice, and storing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeAlias

import hiredis
import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from synckairos import metrics
from synckairos.audit import traces
from synckairos.audit.jobs import Jobs
from synckairos.audit.rows import Batch, Entry
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.errors import (
    SessionMoved,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    error_text,
)
from synckairos.recover import recover
from synckairos.supervision import Backoff, cancel, supervise
from synckairos.tracing.traceparent import kept

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

GROUP = "audit"
MAX_ENTRIES = 2000
"""How many events a batch may have."""
MAX_BYTES = 4 * 1_048_576
"""How many bytes a batch may have, events and snapshots together. A larger event gets a batch of its own."""
AGE_S = 0.2
"""How long an event waits, so that others can share its batch."""
ROUND_ENTRIES = 5000
"""About how many events are read in a round. A round needs one snapshot of each session, so a large round
makes a backlog cheaper.
"""
READ_ENTRIES = 1000
"""About how many events are read with one command. More would block the server and this process too long."""
FIRST_COUNT = 4
"""How many entries of each outbox the first read takes. Outboxes with more entries are then read again."""
CLAIM_AFTER_MS = 10_000
"""How long entries must be unacknowledged before another archiver claims them."""
CLAIM_EVERY_S = 5.0
LOG_LENGTH = 24
"""How many events a session's log keeps at least once the older ones are on their way to the audit store. The
library alone keeps 64. The log is most of what a session weighs.
"""
FORGET_AFTER_MS = 86_400_000
"""How long an archiver without pending entries must be idle before it counts as gone."""
WATCH_EVERY_S = 5.0
"""How often the metrics of outboxes and queue are updated."""
TIMEOUT_S = 10.0
STOP_S = 1.0
SLICE = 32
"""How many outboxes are looked after together. With all of them nothing is answered meanwhile, for 10 ms."""
_CLAIM_COUNT = 100
_SNAPSHOTS_AT_ONCE = 5
"""How many snapshots are asked for at once. Each takes the server several times as long as a switch, and
other calls have to wait for it.
"""

_Command: TypeAlias = tuple[str | bytes | int, ...]
_EntriesByPartition: TypeAlias = dict[str, list[tuple[bytes, Entry]]]
"""By partition, pairs of an entry's id and the entry."""


class Archiver:
    """Moves events from the outboxes of all partitions to the audit's queue."""

    def __init__(self, connection: Connection, jobs: Jobs) -> None:
        self._connection = connection
        self._jobs = jobs
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._snapshot_positions: dict[str, tuple[int, int]] = {}
        """Epoch and version of the snapshots that were queued in the last round, by session.

        An event up to there needs no further snapshot.
        """
        self._changes = 0
        """How often another server became a primary, or slots have moved."""
        self._tasks: list[asyncio.Task[None]] = []
        self._away = False

    async def start(self) -> None:
        """Start in the background. Redis may be away."""
        self._connection.on_change.add(self._primary_changed)
        self._tasks = [
            asyncio.create_task(supervise(name, loop), name=name)
            for name, loop in (("archiver", self._run), ("archiver's claims", self._claim_always))
        ]
        self._tasks.append(asyncio.create_task(supervise("audit figures", self._watch), name="audit figures"))

    async def stop(self) -> None:
        """Stop. Entries that were read but not queued are claimed by another archiver later."""
        await cancel(*self._tasks)
        self._tasks = []
        self._connection.on_change.discard(self._primary_changed)
        with suppress(RedisError, OSError, StorageUnavailable):
            async with asyncio.timeout(STOP_S):
                await self._remove_consumers(lambda name, _: name == self._name)
        await asyncio.to_thread(self._jobs.close)

    def _primary_changed(self) -> None:
        self._changes += 1
        self._jobs.renew()

    async def archive(self) -> int:
        """Read up to about ROUND_ENTRIES events and queue them. Returns how many there were."""
        taken = await self._read()
        return await self._hand_to_queue(taken)

    async def claim(self) -> int:
        """Queue entries that other archivers have left. Returns how many events there were."""
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
            log.warning("the archiver waits for Redis", reason=error_text(error.__cause__ or error))
        self._away = True

    def _note_return(self) -> None:
        if self._away:
            log.info("the archiver goes on")
        self._away = False

    async def _read(self) -> _EntriesByPartition:
        """Read new entries, up to about ROUND_ENTRIES.

        The first read takes a few entries of each outbox, and the next ones more of those that have more.
        """
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
        """New entries of each outbox, as the server returns them. Missing consumer groups are made first."""
        try:
            return await self._read_group(partitions, count)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        await self._make_groups()
        return await self._read_group(partitions, count)

    async def _read_group(self, partitions: Sequence[str], count: int) -> dict[str, list[Any]]:
        """Read with one command for all outboxes of a primary; in a cluster with one for each outbox."""
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
        """Make the consumer group of every outbox. It starts with the oldest entry."""
        for client, partitions in (await self._by_primary()).items():
            async with client.pipeline(transaction=False) as pipeline:
                for partition in partitions:
                    pipeline.xgroup_create(keys.outbox(partition), GROUP, id="0", mkstream=True)
                for reply in await pipeline.execute(raise_on_error=False):
                    if isinstance(reply, Exception) and "BUSYGROUP" not in str(reply):
                        raise reply

    async def _slices(self) -> AsyncIterator[tuple[redis.asyncio.Redis, list[str]]]:
        """All partitions, some of one primary at a time."""
        for client, partitions in (await self._by_primary()).items():
            for start in range(0, len(partitions), SLICE):
                yield client, partitions[start : start + SLICE]

    async def _claimed(self) -> _EntriesByPartition:
        taken: _EntriesByPartition = {}
        async for client, partitions in self._slices():
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
        """Remove archivers without pending entries from the consumer groups.

        gone: whether to remove an archiver, by its name and idle time (ms)
        """
        async for client, partitions in self._slices():
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
        """Queue these entries with snapshots, and delete them from the outboxes. Returns their number.

        When the primary changed meanwhile, they are not deleted: the batches may be in a queue on the old
        one, and get lost there. The entries are claimed later, and events that are queued twice are stored
        once.
        """
        changes = self._changes
        entries = [entry for found in taken.values() for _, entry in found]
        if not entries:
            return 0
        snapshots, gone = await self._snapshots(entries)
        tenants = await self._tenants_of_deleted(gone)
        for batch in batches(entries, snapshots, tenants):
            await self._queue(batch)
            metrics.audit_archived.inc(len(batch.entries))
        if changes != self._changes:
            self._jobs.renew()  # a connection that was opened just before the change may lead to the old one
            return len(entries)
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
        """Queue a batch. While the queue is away, this tries again."""
        repeat = recover(
            again=lambda error: isinstance(error, RedisError | OSError), before_pause=self._note_outage
        )
        with traces.leaving_outbox(batch) as traced:
            await repeat(partial(asyncio.to_thread, self._jobs.put, traced))

    async def _snapshots(self, entries: Iterable[Entry]) -> tuple[dict[str, bytes], list[str]]:
        """The exported states of these entries' sessions, and the ids of those that are gone.

        Left out are sessions of which a snapshot as new was queued already.
        """
        newest = {entry.session_id: entry.body for entry in entries}
        wanted = [
            session_id
            for session_id, body in newest.items()
            if _is_session_id(session_id) and not self._has_snapshot_of(session_id, body)
        ]
        found: dict[str, bytes] = {}
        gone: list[str] = []
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
                elif isinstance(reply, SessionNotFound):
                    gone.append(session_id)
                elif not isinstance(reply, SessionMoved):
                    log.error("a session cannot be exported", session_id=session_id, reason=repr(reply))
        return found, gone

    async def _tenants_of_deleted(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Whose these sessions were, by their ids, as their tombstones say."""
        by_partition: defaultdict[str, list[str]] = defaultdict(list)
        for session_id in session_ids:
            by_partition[keys.partition(session_id)].append(session_id)
        found: dict[str, str] = {}
        for client, partitions in (await self._by_primary(by_partition)).items():
            some = [session_id for each in partitions for session_id in by_partition[each]]
            commands = [("HGET", SessionKeys.of(session_id).session, "tenant") for session_id in some]
            async with asyncio.timeout(TIMEOUT_S):
                replies = await _send(client, commands)
            found.update(
                (session_id, tenant.decode(errors="replace"))
                for session_id, tenant in zip(some, replies, strict=True)
                if isinstance(tenant, bytes)
            )
        return found

    def _has_snapshot_of(self, session_id: str, event: bytes) -> bool:
        caught = self._snapshot_positions.get(session_id)
        if caught is None:
            return False
        position = _position(event)
        return position is not None and position <= caught

    async def _acknowledge(self, taken: _EntriesByPartition) -> None:
        """Delete these entries, then acknowledge them, and shorten the logs of their sessions.

        The order matters when this process dies in between: an entry that is acknowledged but not deleted
        would stay for ever, while an entry that is deleted but pending is cleaned up by the next claim.
        """
        for client, partitions in (await self._by_primary(taken)).items():
            commands: list[_Command] = []
            for partition in partitions:
                outbox, ids = keys.outbox(partition), [entry_id for entry_id, _ in taken[partition]]
                commands += [("XDEL", outbox, *ids), ("XACK", outbox, GROUP, *ids)]
            trims = [
                # Without "~" the entries would go, but not their memory, which is freed a node at a time.
                ("XTRIM", SessionKeys.of(session_id).log, "MAXLEN", "~", LOG_LENGTH)
                for session_id in _with_long_logs(entry for each in partitions for _, entry in taken[each])
            ]
            async with asyncio.timeout(TIMEOUT_S):
                replies = await _send(client, [*commands, *trims])
            # A log that cannot be shortened, because its key has another type, stays as it is.
            for reply in replies[: len(commands)]:
                if isinstance(reply, ResponseError):
                    raise reply

    async def _watch(self) -> None:
        while True:
            try:
                waiting = 0
                async for client, partitions in self._slices():
                    async with client.pipeline(transaction=False) as pipeline:
                        for partition in partitions:
                            pipeline.xlen(keys.outbox(partition))
                        waiting += sum(await pipeline.execute())
                metrics.audit_waiting.set(waiting)
                counts = await asyncio.to_thread(self._jobs.counts)
                metrics.audit_queued.set(await asyncio.to_thread(self._jobs.waiting_events))
                metrics.audit_batches.labels("queued").set(counts.queued + counts.started)
                metrics.audit_batches.labels("scheduled").set(counts.scheduled)
                metrics.audit_batches.labels("failed").set(counts.failed)
            except (RedisError, OSError, SyncKairosError) as error:
                log.debug("the audit's metrics cannot be updated", reason=repr(error))
            await asyncio.sleep(WATCH_EVERY_S)


def batches(
    entries: Sequence[Entry],
    snapshots: Mapping[str, bytes],
    tenants: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Batch]:
    """The entries in batches of at most MAX_ENTRIES and MAX_BYTES. A larger entry is a batch by itself.

    A session's entries stay in order and next to each other. Its snapshot, or its tenant when it was deleted,
    is in the batch of its last entry.
    """
    by_session: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_session[entry.session_id].append(entry)
    some: list[Entry] = []
    states: list[bytes] = []
    owners: dict[str, str] = {}
    size = 0
    for session_id, found in by_session.items():
        for entry in found:
            if some and (len(some) >= MAX_ENTRIES or size + len(entry.body) > MAX_BYTES):
                yield Batch(some, states, owners)
                some, states, owners, size = [], [], {}, 0
            some.append(entry)
            size += len(entry.body)
        if session_id in snapshots:
            states.append(snapshots[session_id])
            size += len(snapshots[session_id])
        if session_id in tenants:
            owners[session_id] = tenants[session_id]
    if some:
        yield Batch(some, states, owners)


async def _send(client: redis.asyncio.Redis, commands: Sequence[_Command]) -> list[Any]:
    """Send commands together. Returns the replies, with error replies among them. Raises RedisError, OSError.

    redis-py's own methods pack in Python and make dictionaries, which takes three times as long.
    """
    pool = client.connection_pool
    connection = await pool.get_connection()
    replies: list[Any] = []
    try:
        # hiredis' type stub only allows 1-tuples.
        packed = [hiredis.pack_command(each) for each in commands]  # type: ignore[arg-type]
        await connection.send_packed_command(packed)
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        await connection.disconnect(nowait=True)  # so that no later command gets the outstanding replies
        raise
    finally:
        await pool.release(connection)
    return replies


def _entries(
    partition: str, found: Iterable[tuple[bytes, Sequence[bytes] | None]]
) -> list[tuple[bytes, Entry]]:
    """Entries from a reply of the server, each with its id. Deleted entries are left out.

    found: pairs of an id and a flat list of names and values, which is None for a deleted entry
    """
    entries = []
    for entry_id, given in found:
        if given is not None:
            fields = dict(zip(given[::2], given[1::2], strict=True))
            session_id = fields.get(b"id", b"").decode(errors="replace")
            source = f"{partition}/{entry_id.decode()}"
            traceparent = kept(fields.get(b"traceparent", b"").decode(errors="replace"))
            entries.append((entry_id, Entry(source, session_id, fields.get(b"e", b""), traceparent)))
    return entries


class _Position(msgspec.Struct):
    epoch: str
    version: int


_decode_position = msgspec.json.Decoder(_Position).decode


def _position(body: bytes) -> tuple[int, int] | None:
    """Epoch and version of an event or a state; None when the text is neither."""
    try:
        position = _decode_position(body)
        return int(position.epoch), position.version
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _with_long_logs(entries: Iterable[Entry]) -> list[str]:
    """The sessions of these entries that have more than LOG_LENGTH events."""
    newest = {entry.session_id: entry.body for entry in entries}
    return [
        session_id
        for session_id, body in newest.items()
        if (position := _position(body)) and position[1] > LOG_LENGTH and _is_session_id(session_id)
    ]


def _is_session_id(text: str) -> bool:
    try:
        return keys.session_id(text) == text
    except SyncKairosError:
        return False
