"""The timekeeper: calls `sk_expire` at the moment an alarm is due.

An alarm is the next moment at which something happens in a session without a request: a warning, the end of a
clock, the end of a pause. Each partition has a sorted set of alarms. Once a second the alarms of the next
HORIZON_MS are read, a slice of the partitions at a time. Each is called when the primary's clock reaches it.

An alarm that is set for a nearer moment is announced by a message when it becomes the earliest of its
partition. One that comes after the earliest is found when the earliest was called, because after every call
the partition's alarms are read again. So at the due moment no command but `sk_expire` is needed.

The library decides whether an alarm is really due. A call that comes too early, twice or for an alarm that
was moved changes nothing. So any number of timekeepers may work side by side, and the plans here may be out
of date. After an outage at most CALLS_AT_ONCE overdue alarms are called at a time at each primary.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable
from functools import partial
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Change
from synckairos.errors import NetworkTimeout, StorageUnavailable, error_text
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.supervision import Backoff, cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SWEEP_EVERY_S = 1.0
SLICES = 16
HORIZON_MS = 2500
"""How far ahead alarms are planned: more than two sweeps, so that one failed sweep makes no alarm late."""
WINDOW = 32
"""How many alarms of a partition are read at a time, and how many are called at a time."""
CALLS_AT_ONCE = 64
"""How many calls may be under way to one primary."""
MARGIN_MS = 0.25
"""Alarms are called this long after they are due, because a call that is too early must be repeated."""
TIMEOUT_S = 1.0
"""How long reading the alarms of some partitions may take. After that the next sweep reads them."""
AWAY_AFTER_S = 1.0
"""When no reading of alarms has succeeded for this long, the storage counts as away."""
FIRST_RETRY_S = 0.001
LONGEST_RETRY_S = 30.0
MOST_RETRIED = 1000
"""How many alarms of a partition are read in addition to WINDOW, at most, because they wait for a retry."""


class _Lateness(msgspec.Struct, frozen=True):
    late_ms: int | None = None


_KINDS = {"TIME_WARNING": "warning", "STATE_UPDATE": "resumption"}
"""What a call did, by the type of its event. All other types are expiries."""
_decode_lateness = msgspec.json.Decoder(_Lateness).decode


class _Partition:
    """The plans for one partition."""

    __slots__ = ("busy", "look_again", "looking", "name", "planned", "retries", "to_call")

    def __init__(self, name: str) -> None:
        self.name = name
        self.planned: dict[str, float] = {}
        """When (server time, ms) each session's alarm is to be called."""
        self.to_call: dict[str, None] = {}
        """Sessions whose alarm is to be called now."""
        self.retries: dict[str, Backoff] = {}
        """Sessions whose alarm is still due although it was called, with the pauses before the next calls."""
        self.busy = False
        self.looking = False
        self.look_again = False


class Timekeeper:
    """One timekeeper for all partitions."""

    def __init__(
        self, connection: Connection, sessions: Sessions, subscriptions: Subscriptions, clock: ServerClock
    ) -> None:
        self._connection = connection
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._clock = clock
        self._partitions = {name: _Partition(name) for name in keys.PARTITIONS}
        self._agenda: list[tuple[float, str, str, float]] = []
        """Heap of (local time in ms, partition, session, server time in ms)."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._gates: WeakKeyDictionary[Redis, asyncio.Semaphore] = WeakKeyDictionary()
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[None]] = set()
        self._handlers = {name: partial(self._alarm_moved, part) for name, part in self._partitions.items()}
        self._away = False
        self._looks_fail_since: float | None = None
        """Monotonic seconds; None when the storage has answered since."""
        self._stopped = False

    async def start(self) -> None:
        """Start to keep time."""
        self._subscriptions.on_restored.append(self._restored)
        self._tasks = [
            asyncio.create_task(supervise("timekeeper sweep", self._sweep), name="timekeeper sweep"),
            asyncio.create_task(self._subscribe(), name="alarm channels"),
        ]

    async def stop(self) -> None:
        """Stop at once. Calls that are under way are cancelled."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await cancel(*self._tasks, *self._jobs)
        for name, handler in self._handlers.items():
            self._subscriptions.unsubscribe(keys.alarms(name), handler)

    # Which alarms are next

    async def _subscribe(self) -> None:
        await asyncio.gather(
            *(
                self._subscriptions.subscribe(keys.alarms(name), handler)
                for name, handler in self._handlers.items()
            )
        )

    async def _sweep(self) -> None:
        """Read the alarms of all partitions at once, then a slice at a time, each once in SWEEP_EVERY_S."""
        for part in self._partitions.values():
            part.busy = part.looking = part.look_again = False
        slices = [list(self._partitions.values())[start::SLICES] for start in range(SLICES)]
        for parts in slices:
            self._read_soon(parts)
        while True:
            for parts in slices:
                await asyncio.sleep(SWEEP_EVERY_S / SLICES)
                self._read_soon(parts)

    def _alarm_moved(self, part: _Partition, data: bytes) -> None:
        """Handle a message that a partition's earliest alarm got earlier. The sweep finds those far ahead."""
        if float(data) < self._clock.now_ms(part.name) + HORIZON_MS:
            self._read_soon([part])

    def _restored(self, channels: Collection[str]) -> None:
        """Read the alarms of these channels' partitions, because messages may have been missed."""
        restored = set(channels)
        parts = [part for part in self._partitions.values() if keys.alarms(part.name) in restored]
        for start in range(0, len(parts), SLICES):
            self._read_soon(parts[start : start + SLICES])

    def _read_soon(self, parts: Iterable[_Partition]) -> None:
        """Read the next alarms of the partitions, in the background.

        A partition that is being read is read once more afterwards.
        """
        free = []
        for part in parts:
            if part.looking:
                part.look_again = True
            else:
                part.looking = True
                free.append(part)
        if free:
            self._spawn(self._read(free))

    async def _read(self, parts: list[_Partition]) -> None:
        by_primary: dict[Redis, list[_Partition]] = defaultdict(list)
        try:
            for part in parts:
                by_primary[await self._connection.primary_for(keys.alarms(part.name))].append(part)
            await asyncio.gather(*(self._read_from(client, group) for client, group in by_primary.items()))
        except Exception as error:  # noqa: BLE001 - no topology, or a bug: the next sweep reads them again
            logger.warning("alarms could not be read", error=repr(error))
        finally:
            again = []
            for part in parts:
                part.looking = False
                if part.look_again:
                    part.look_again = False
                    again.append(part)
            if again:
                self._read_soon(again)

    async def _read_from(self, client: Redis, parts: list[_Partition]) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for part in parts:
                pipeline.zrange(
                    keys.alarms(part.name),
                    "-inf",
                    int(self._clock.now_ms(part.name)) + HORIZON_MS,
                    byscore=True,
                    offset=0,
                    num=WINDOW + min(len(part.retries), MOST_RETRIED),
                    withscores=True,
                )
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    replies = await pipeline.execute(raise_on_error=False)
            except (RedisError, OSError) as error:  # a timeout is an OSError
                self._note_failed_look(error)
                return
        self._looks_fail_since = None
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, Exception):
                logger.warning("a partition's alarms cannot be read", partition=part.name, error=repr(reply))
            else:
                self._plan(part, reply)

    def _plan(self, part: _Partition, alarms: list[tuple[bytes, float]]) -> None:
        """Plan the alarms that were read. A plan that got outdated is not removed: it only costs one call."""
        now = self._clock.now_ms(part.name)
        still_due = set()
        for member, due in alarms:
            session_id = member.decode(errors="replace")
            if session_id in part.to_call:
                continue
            moment = due
            if session_id in part.retries and due <= now:
                still_due.add(session_id)
                if session_id in part.planned:
                    continue
                moment = now + 1000.0 * part.retries[session_id].pause()
            if moment < part.planned.get(session_id, math.inf):
                part.planned[session_id] = moment
                heapq.heappush(
                    self._agenda, (1000.0 * monotonic() + moment - now, part.name, session_id, moment)
                )
        for session_id in part.retries.keys() - still_due - part.to_call.keys():
            del part.retries[session_id]
        self._arm()

    # Calling the alarms that are due

    def _arm(self) -> None:
        """Have `_tick` called when the next alarm is due."""
        if not self._agenda or self._stopped:
            return
        due = self._agenda[0][0] + MARGIN_MS
        if self._timer is not None:
            if self._armed_for <= due:
                return
            self._timer.cancel()
        self._armed_for = due
        # The event loop's timers have a resolution of a millisecond. Rounding up keeps a timer from firing a
        # little too early, and then again.
        delay_ms = max(0, math.ceil(due - 1000.0 * monotonic()))
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000.0, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = 1000.0 * monotonic() - MARGIN_MS
        while self._agenda and self._agenda[0][0] <= now:
            _, name, session_id, due = heapq.heappop(self._agenda)
            part = self._partitions[name]
            if part.planned.get(session_id) != due:
                continue
            del part.planned[session_id]
            part.to_call[session_id] = None
            if not part.busy:
                part.busy = True
                self._spawn(self._call_due(part))
        self._arm()

    async def _call_due(self, part: _Partition) -> None:
        """Call the alarms of the partition that are due, then read its next ones."""
        try:
            client = await self._connection.primary_for(keys.alarms(part.name))
            gate = self._gates.setdefault(client, asyncio.Semaphore(CALLS_AT_ONCE))
            while part.to_call:
                batch = list(part.to_call)[:WINDOW]
                await asyncio.gather(*(self._call(gate, part, session_id) for session_id in batch))
                for session_id in batch:
                    del part.to_call[session_id]
        except Exception as error:  # noqa: BLE001 - no topology, or a bug: the sweep reads the alarms again
            logger.warning("alarms could not be called", partition=part.name, error=repr(error))
            part.to_call.clear()
        finally:
            part.busy = False
            self._read_soon([part])

    async def _call(self, gate: asyncio.Semaphore, part: _Partition, session_id: str) -> None:
        """Call `sk_expire` for one session. An error affects only this session."""
        async with gate:
            try:
                change = await self._sessions.expire(keys.session_id(session_id))
            except (StorageUnavailable, NetworkTimeout) as error:
                self._note_outage(error)
                return
            except Exception as error:  # noqa: BLE001 - an error of one session must not stop others
                self._retry_later(part, session_id)
                metrics.expiries.labels("error").inc()
                if part.retries[session_id].failures == 1:
                    logger.error("an alarm cannot be called", session=session_id, error=repr(error))
                return
        self._away = False
        self._looks_fail_since = None
        if change is None:
            # The call was a little too early, the alarm was moved, or another timekeeper was faster. The
            # next reading shows whether the alarm is still there.
            self._retry_later(part, session_id)
            metrics.expiries.labels("none").inc()
        else:
            part.retries.pop(session_id, None)
            self._observe(change)

    def _retry_later(self, part: _Partition, session_id: str) -> None:
        if session_id not in part.retries:
            part.retries[session_id] = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        part.retries[session_id].failures += 1

    @staticmethod
    def _observe(change: Change) -> None:
        metrics.expiries.labels(_KINDS.get(change.type, "expiry")).inc()
        late_ms = _decode_lateness(change.payload).late_ms
        if late_ms is not None:
            metrics.expiry_lateness.observe(late_ms / 1000.0)

    def _note_failed_look(self, error: Exception) -> None:
        """Note that reading alarms failed. When nothing has succeeded for a while, this is an outage.

        A single failure is no outage, because its time limit also includes delays of this process: an event
        loop that was busy, or the wait for a free connection when many partitions are read together.
        """
        now = monotonic()
        if self._looks_fail_since is None:
            self._looks_fail_since = now
        if now - self._looks_fail_since >= AWAY_AFTER_S:
            self._note_outage(error)
        else:
            logger.debug("alarms could not be read at the moment", error=error_text(error))

    def _note_outage(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            logger.warning("the storage is away: alarms are called when it is back", error=error_text(error))

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            job.close()
            return
        task = asyncio.create_task(job, name="timekeeper")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
