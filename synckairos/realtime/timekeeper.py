"""The timekeeper: calls `sk_expire` at the moment an alarm is due.

An alarm is the next moment at which something happens in a session without a request: a warning, the end of a
clock, the end of a pause. Each partition has a sorted set of alarms. Once a second the alarms of the next
HORIZON_MS are read, a slice of the partitions at a time. Each is called when the primary's clock reaches it,
all that are due in a partition in one round trip.

An alarm that is set for a nearer moment is announced by a message when it becomes the earliest of its
partition. One that comes after the earliest is found when the earliest was called, because after every call
the partition's alarms are read again. So at the due moment no command but `sk_expire` is needed.

Each partition has a preferred process (`synckairos.realtime.membership`), which calls its alarms when they
are due. The others stand by (`synckairos.realtime.standby`): they look a little later what is still due.
Normally nothing is. They wait as long as the preferred process makes progress, and else they call.

The library decides whether an alarm is really due. A call that comes too early, twice or for an alarm that
was moved changes nothing. So any number of timekeepers may work side by side, and the plans here may be out
of date. After an outage about ROUNDS_AT_ONCE times CALLS_A_ROUND overdue alarms are called at a time at each
primary.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import defaultdict
from collections.abc import Collection, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Change
from synckairos.errors import StorageUnavailable, ValidationError, error_text
from synckairos.realtime.membership import Membership
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.standby import Overdue, hold_back_ms
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.supervision import Backoff, Telling, cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SWEEP_EVERY_S = 1.0
SLICES = 16
PARTITIONS_A_READ = 64
"""How many partitions' alarms are read together at most."""
HORIZON_MS = 2500
"""How far ahead alarms are planned: more than two sweeps, so that one failed sweep makes no alarm late."""
WINDOW = 64
"""How many alarms of a partition are read at a time. All that are due are then called together."""
CALLS_A_ROUND = 32
"""With at least so many calls, no further partition goes into a round trip."""
ROUNDS_AT_ONCE = 2
"""How many round trips may be under way to one primary. While it works on one, the replies of the other are
read. Requests share the connection, so each may have to wait for these calls.
"""
STAND_IN_AT_ONCE = 128
"""While so many alarms of other processes' partitions are being called, no more are."""
STAND_IN_EVERY_MS = 10.0
"""How long after that the rest is looked at again."""
LOOK_EVERY_MS = 40.0
"""How often it is looked whether a preferred process goes on with what is overdue."""
MARGIN_MS = 0.25
"""Alarms are called this long after they are due, because a call that is too early must be repeated."""
TIMEOUT_S = 1.0
"""How long reading the alarms of some partitions may take. After that the next sweep reads them."""
AWAY_AFTER_S = 1.0
"""When no reading of alarms has succeeded for this long, the storage counts as away."""
AFTER_OUTAGE_S = 0.05
"""How long after calls that got no reply their alarms are read again."""
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

    __slots__ = ("look_again", "looking", "name", "overdue", "planned", "retries", "under_way")

    def __init__(self, name: str) -> None:
        self.name = name
        self.planned: dict[str, float] = {}
        """When (server time, ms) each session's alarm is to be called, or here to be looked at."""
        self.under_way: set[str] = set()
        """Sessions whose alarm is being called."""
        self.overdue = Overdue()
        self.retries: dict[str, Backoff] = {}
        """Sessions whose alarm is still due although it was called, with the pauses before the next calls."""
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
        self._members = Membership(connection, subscriptions, self._read_all)
        self._agenda: list[tuple[float, str, str, float]] = []
        """Heap of (local time in ms, partition, session, server time in ms)."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._gates: WeakKeyDictionary[Redis, asyncio.Semaphore] = WeakKeyDictionary()
        self._progress: WeakKeyDictionary[Redis, dict[str, float]] = WeakKeyDictionary()
        """When (server time, ms) a process was last seen to have called alarms, by primary and name."""
        self._to_read: dict[_Partition, None] = {}
        self._failing: WeakSet[Redis] = WeakSet()
        """Primaries at which the last reading failed."""
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[None]] = set()
        self._handlers = {name: partial(self._alarm_moved, part) for name, part in self._partitions.items()}
        self._away = False
        self._unreadable, self._no_primary = Telling(), Telling()
        self._looks_fail_since: float | None = None
        """Monotonic seconds; None when the storage has answered since."""
        self._stopped = False

    async def start(self, *, join: bool = True) -> None:
        """Start to keep time.

        join: whether this process is ready to be the preferred one in its share of the partitions. Otherwise
            it stands by until `join` is called, and others do not count on it.
        """
        self._subscriptions.on_restored.append(self._restored)
        self._connection.on_change.add(self._read_all)
        await self._members.start()
        if join:
            self._members.join()
        self._tasks = [
            asyncio.create_task(supervise("timekeeper sweep", self._sweep), name="timekeeper sweep"),
            asyncio.create_task(self._subscribe(), name="alarm channels"),
        ]

    def join(self) -> None:
        """Be the preferred process in a share of the partitions from now on."""
        self._members.join()

    async def leave(self) -> None:
        """Let others be the preferred ones, where there are any, and soon only stand by until `stop`."""
        await self._members.leave()

    async def stop(self) -> None:
        """Stop at once. Calls that are under way are cancelled."""
        self._stopped = True
        self._connection.on_change.discard(self._read_all)
        if self._timer is not None:
            self._timer.cancel()
        await cancel(*self._tasks, *self._jobs)
        await self._members.stop()
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
            part.looking = part.look_again = False
            part.under_way.clear()
        slices = [list(self._partitions.values())[start::SLICES] for start in range(SLICES)]
        self._read_all()
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
        self._read_soon(part for part in self._partitions.values() if keys.alarms(part.name) in restored)

    def _read_all(self) -> None:
        self._read_soon(self._partitions.values())

    def _read_soon(self, parts: Iterable[_Partition]) -> None:
        """Read the next alarms of the partitions, together with all others of this turn of the event loop.

        A partition that is being read is read once more afterwards.
        """
        for part in parts:
            if part.looking:
                part.look_again = True
            else:
                part.looking = True
                if not self._to_read:
                    asyncio.get_running_loop().call_soon(self._read_now)
                self._to_read[part] = None

    def _read_now(self) -> None:
        parts, self._to_read = list(self._to_read), {}
        for start in range(0, len(parts), PARTITIONS_A_READ):
            self._spawn(self._read(parts[start : start + PARTITIONS_A_READ]))

    async def _read(self, parts: list[_Partition]) -> None:
        try:
            by_primary = await self._by_primary(parts)
            await asyncio.gather(*(self._read_from(client, group) for client, group in by_primary.items()))
        except StorageUnavailable as error:  # the next sweep reads them again, as after a bug
            self._note_failed_look(error)
        except Exception as error:  # noqa: BLE001
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

    async def _by_primary(self, parts: Iterable[_Partition]) -> dict[Redis, list[_Partition]]:
        """The partitions by their primary. Those of which no primary is known are left out."""
        found: defaultdict[Redis, list[_Partition]] = defaultdict(list)
        unknown = []
        for part in parts:
            client = self._connection.known_primary_for(keys.alarms(part.name))
            if client is None:
                unknown.append(part)
            else:
                found[client].append(part)
        answers = await asyncio.gather(
            *(self._connection.primary_for(keys.alarms(part.name)) for part in unknown),
            return_exceptions=True,
        )
        errors = []
        for part, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, BaseException):
                errors.append(answer)
            else:
                found[answer].append(part)
        if errors:
            logger.log(
                self._no_primary.level(),
                "no primary is known for some alarms",
                partitions=len(errors),
                error=error_text(errors[0].__cause__ or errors[0]),
            )
        return found

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
                self._failing.add(client)
                self._note_failed_look(error)
                return
        self._looks_fail_since = None
        if client in self._failing:  # much may be due by now
            self._failing.discard(client)
            self._read_all()
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, Exception):
                logger.log(
                    self._unreadable.level(),
                    "a partition's alarms cannot be read",
                    partition=part.name,
                    error=repr(reply),
                )
            else:
                self._note_overdue(client, part, self._plan(part, reply))
        if overdue := [part for part in parts if part.overdue]:
            self._stand_in(client, overdue)
        self._arm()

    def _plan(self, part: _Partition, alarms: list[tuple[bytes, float]]) -> list[str]:
        """Plan the alarms that were read. A plan that got outdated is not removed: it only costs one call.

        Returns the sessions whose alarm the preferred process should have called, none if it is this one.
        """
        now = self._clock.now_ms(part.name)
        hold_back = hold_back_ms(self._members.rank(part.name))
        still_due = set()
        overdue = []
        for member, due in alarms:
            session_id = member.decode(errors="replace")
            if session_id in part.under_way:
                continue
            moment = due + hold_back
            if session_id in part.retries and due <= now:
                still_due.add(session_id)
                if session_id in part.planned:
                    continue
                moment = now + 1000.0 * part.retries[session_id].pause()
            elif hold_back and moment <= now:
                overdue.append(session_id)
                continue
            self._plan_for(part, session_id, moment, now)
        for session_id in part.retries.keys() - still_due - part.under_way:
            del part.retries[session_id]
        return overdue

    def _plan_for(self, part: _Partition, session_id: str, moment: float, now: float) -> None:
        if moment < part.planned.get(session_id, math.inf):
            part.planned[session_id] = moment
            heapq.heappush(self._agenda, (1000.0 * monotonic() + moment - now, part.name, session_id, moment))

    # Standing by

    def _note_overdue(self, client: Redis, part: _Partition, overdue: list[str]) -> None:
        now = self._clock.now_ms(part.name)
        if part.overdue.look(overdue, now):
            self._progress.setdefault(client, {})[self._members.preferred(part.name)] = now

    def _stand_in(self, client: Redis, parts: list[_Partition]) -> None:
        """Call what is overdue in the partitions of a process that makes no progress; watch the others.

        Only some are called at a time. The preferred process may only have been held up.
        """
        progress = self._progress.get(client, {})
        under_way = sum(
            len(part.under_way) for part in self._partitions.values() if self._members.rank(part.name)
        )
        due: dict[_Partition, list[str]] = {}
        for part in parts:
            now = self._clock.now_ms(part.name)
            moment = part.overdue.stand_in_at(progress.get(self._members.preferred(part.name)))
            if now >= moment and under_way < STAND_IN_AT_ONCE:
                due[part] = part.overdue.take()
                under_way += len(due[part])
            else:
                look = min(max(moment, now + STAND_IN_EVERY_MS), now + LOOK_EVERY_MS)
                self._plan_for(part, part.overdue.first(), look, now)
        self._call_soon(due)

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
        due: defaultdict[_Partition, list[str]] = defaultdict(list)
        to_look_at: dict[_Partition, None] = {}
        while self._agenda and self._agenda[0][0] <= now:
            _, name, session_id, moment = heapq.heappop(self._agenda)
            part = self._partitions[name]
            if part.planned.get(session_id) != moment:
                continue
            del part.planned[session_id]
            if self._members.rank(name) and session_id not in part.retries:
                to_look_at[part] = None
            elif session_id not in part.under_way:
                due[part].append(session_id)
        self._call_soon(due)
        self._read_soon(to_look_at)
        self._arm()

    def _call_soon(self, due: Mapping[_Partition, list[str]]) -> None:
        """Call these sessions' alarms, in the background."""
        for part, session_ids in due.items():
            part.under_way.update(session_ids)
        if due:
            self._spawn(self._call(due))

    async def _call(self, due: Mapping[_Partition, list[str]]) -> None:
        by_primary = await self._by_primary(due)
        for part in due.keys() - chain.from_iterable(by_primary.values()):
            part.under_way.difference_update(due[part])  # the sweep finds them again
        await asyncio.gather(
            *(
                self._call_together(client, {part: due[part] for part in some})
                for client, parts in by_primary.items()
                for some in _rounds(parts, due)
            )
        )

    async def _call_together(self, client: Redis, due: Mapping[_Partition, list[str]]) -> None:
        """Call the alarms of some partitions of a primary in one round trip, then read their next ones."""
        pause_s = 0.0
        try:
            async with self._gates.setdefault(client, asyncio.Semaphore(ROUNDS_AT_ONCE)):
                called = [
                    (part, session_id) for part, session_ids in due.items() for session_id in session_ids
                ]
                results = await self._expire([session_id for _, session_id in called])
                for (part, session_id), result in zip(called, results, strict=True):
                    if isinstance(result, StorageUnavailable):
                        self._note_outage(result)
                        pause_s = AFTER_OUTAGE_S
                    else:
                        self._note_result(part, session_id, result)
        except Exception as error:  # noqa: BLE001 - a bug: the sweep reads the alarms again
            logger.warning("alarms could not be called", error=repr(error))
        finally:
            for part, session_ids in due.items():
                part.under_way.difference_update(session_ids)
            if pause_s:
                asyncio.get_running_loop().call_later(pause_s, self._read_soon, list(due))
            else:
                self._read_soon(due)

    async def _expire(self, session_ids: list[str]) -> list[Change | Exception | None]:
        """What `Sessions.expire_all` returns, also for alarms whose name is no session's id."""
        results: list[Change | Exception | None] = [None] * len(session_ids)
        valid: dict[int, str] = {}
        for position, session_id in enumerate(session_ids):
            try:
                valid[position] = keys.session_id(session_id)
            except ValidationError as error:
                results[position] = error
        for position, result in zip(
            valid, await self._sessions.expire_all(list(valid.values())), strict=True
        ):
            results[position] = result
        return results

    def _note_result(self, part: _Partition, session_id: str, result: Change | Exception | None) -> None:
        """Note what a call did. An error affects only this session."""
        if isinstance(result, Exception):
            self._retry_later(part, session_id)
            metrics.expiries.labels("error").inc()
            if part.retries[session_id].failures == 1:
                logger.error("an alarm cannot be called", session=session_id, error=repr(result))
            return
        self._away = False
        self._looks_fail_since = None
        if result is None:
            # The call was a little too early, the alarm was moved, or another timekeeper was faster. The
            # next reading shows whether the alarm is still there.
            self._retry_later(part, session_id)
            metrics.expiries.labels("none").inc()
        else:
            part.retries.pop(session_id, None)
            self._observe(result)

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


def _rounds(
    parts: Iterable[_Partition], due: Mapping[_Partition, Collection[str]]
) -> Iterator[list[_Partition]]:
    """The partitions in groups with about CALLS_A_ROUND due alarms. None is divided."""
    some: list[_Partition] = []
    count = 0
    for part in parts:
        some.append(part)
        count += len(due[part])
        if count >= CALLS_A_ROUND:
            yield some
            some, count = [], 0
    if some:
        yield some
