"""How many sessions have an alarm ahead, and which alarms nobody has called.

A sorted set knows how many members it has, and its first one, so no session is looked at. That is 512 small
commands in a round, which take a primary at most 3 ms. They take this process some 10 ms, so the partitions
are asked a slice at a time: else whatever is due meanwhile would wait.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import redis.asyncio

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.probes.probe import AWAY, Probe
from synckairos.realtime.server_time import ServerClock

EVERY_S = 4.0
SLICES = 16
PAUSE_S = 0.05
"""How long this probe leaves the process to others after a slice."""
ANSWER_S = 2.0
"""How long the primaries may take to answer for a slice."""
OVERDUE_MS = 5_000
"""From how long after its moment on an alarm counts as overdue. Timekeepers need milliseconds."""
STANDING_MS = 60_000
"""From how long after that moment on a session that still runs counts as overdue itself."""


@dataclass
class _Found:
    """Of some partitions: sessions with an alarm, overdue alarms, overdue sessions; seconds of lateness."""

    sessions: int = 0
    alarms: int = 0
    overdue_sessions: int = 0
    late_s: float = 0.0


class Alarms(Probe):
    """The alarms of all partitions."""

    name = "probe of the alarms"
    every_s = EVERY_S

    def __init__(self, connection: Connection, clock: ServerClock) -> None:
        super().__init__()
        self._connection = connection
        self._clock = clock

    async def look(self) -> None:
        """Count once. While a primary does not answer, none of the numbers is known."""
        found: list[_Found] = []
        try:
            for start in range(SLICES):
                async with asyncio.timeout(ANSWER_S):
                    found += await self._slice(keys.PARTITIONS[start::SLICES])
                await asyncio.sleep(PAUSE_S)
        except AWAY:
            _show(metrics.UNKNOWN, metrics.UNKNOWN, metrics.UNKNOWN, metrics.UNKNOWN)
            return
        sessions, alarms, overdue, late = zip(*map(astuple, found), strict=True)
        _show(sum(sessions), sum(alarms), sum(overdue), max(late))

    async def _slice(self, partitions: Iterable[str]) -> list[_Found]:
        by_primary: defaultdict[redis.asyncio.Redis, list[str]] = defaultdict(list)
        for partition in partitions:
            by_primary[await self._connection.primary_for(keys.alarms(partition))].append(partition)
        return await asyncio.gather(*(self._of(*each) for each in by_primary.items()))

    async def _of(self, client: redis.asyncio.Redis, partitions: list[str]) -> _Found:
        """What one primary has. Only partitions whose first alarm is overdue are asked for more."""
        found = _Found()
        async with client.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                pipeline.zcard(keys.alarms(partition))
                pipeline.zrange(keys.alarms(partition), 0, 0, withscores=True)
            replies = await pipeline.execute()
            for partition, count, first in zip(partitions, replies[::2], replies[1::2], strict=True):
                found.sessions += count
                now_ms = self._clock.now_ms(partition)
                late_ms = now_ms - first[0][1] if first else 0.0
                found.late_s = max(found.late_s, late_ms / 1000)
                if late_ms > OVERDUE_MS:
                    pipeline.zcount(keys.alarms(partition), "-inf", int(now_ms) - OVERDUE_MS)
                    pipeline.zcount(keys.alarms(partition), "-inf", int(now_ms) - STANDING_MS)
            replies = await pipeline.execute()
            found.alarms += sum(replies[::2])
            found.overdue_sessions += sum(replies[1::2])
        return found


def _show(sessions: float, alarms: float, overdue_sessions: float, late_s: float) -> None:
    metrics.sessions.labels("active").set(sessions)
    metrics.overdue_alarms.set(alarms)
    metrics.overdue_sessions.set(overdue_sessions)
    metrics.oldest_alarm_lateness.set(late_s)
