"""The access log of a process: a bounded queue, off the way of the requests, and who writes it to PostgreSQL.

A flood of refusals has to cost little. Equal refusals within EQUAL_S are one entry with a count, so most of a
flood costs a look-up in a dict. What PostgreSQL cannot take in time waits, up to MOST_WAITING entries; what
comes on top is dropped, counted and reported. What an admin does is not queued: it is stored before the admin
is answered.

A process that is killed loses what waits: refusals of up to EQUAL_S.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TypeAlias

import structlog

from synckairos import metrics
from synckairos.audit import alerts
from synckairos.audit.access_log import entries
from synckairos.audit.access_log.entries import Entry, Refused
from synckairos.audit.store import Store
from synckairos.errors import StorageUnavailable, error_text
from synckairos.supervision import cancel, supervise

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

EQUAL_S = 10.0
"""Refusals that differ only in when they came are one entry, when they come within this time."""
ROUND_S = 0.25
"""How often entries are written."""
BATCH = 200
"""How many entries are written in one transaction. It locks the chains of their tenants."""
MOST_WAITING = 10_000
"""How many entries may wait in a process: about 6 MB."""
ALERT_EVERY_S = 60.0
"""How often at most an alert tells of dropped entries."""

_Equal: TypeAlias = tuple[str | None, str | None, str, str | None, str | None]
"""Tenant, subject, action, code and address of refusals: where these are equal, the refusals are."""


class AccessLog:
    """What a process puts on record.

    store: a store of its own, so that nobody who waits for PostgreSQL keeps an admin waiting
    """

    def __init__(self, store: Store, *, most_waiting: int = MOST_WAITING) -> None:
        self.store = store
        self._most_waiting = most_waiting
        self._counted: dict[_Equal, tuple[float, Entry]] = {}
        """Refusals that are still being counted, and since when (as `monotonic` has it), the oldest first."""
        self._ready: deque[Entry] = deque()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0
        """How many entries were dropped since the last alert."""
        self._alerted = -ALERT_EVERY_S

    async def start(self) -> None:
        """Write in the background from here on."""
        self._task = asyncio.create_task(supervise("access log", self._run), name="access log")

    async def stop(self) -> None:
        """Write what waits, if PostgreSQL takes it, and stop."""
        if self._task is not None:
            async with self._writing:  # what is half written would be written once more
                await cancel(self._task)
            self._task = None
        try:
            await self.flush()
        except StorageUnavailable as error:
            waiting = len(self._ready)
            self._drop(sum(entry.count for entry in self._ready))
            log.error("entries of the access log are lost", entries=waiting, error=error_text(error))
        self._tell_dropped(now=True)

    def refuse(self, entry: Entry) -> None:
        """Put a refusal on record. It costs no wait, and never raises."""
        equal = (entry.tenant, entry.sub, entry.action, entry.code, entry.address)
        counted = self._counted.get(equal)
        if counted is not None and monotonic() - counted[0] < EQUAL_S:
            counted[1].count += 1
            return
        if counted is not None:
            self._ready.append(self._counted.pop(equal)[1])
        if self._has_room():
            self._counted[equal] = monotonic(), entry

    def add(self, entry: Entry) -> None:
        """Put something else on record: an action of somebody who need not wait until it is stored."""
        if self._has_room():
            self._ready.append(entry)

    async def check(self) -> None:
        """Find out whether `store_now` would work. Raises StorageUnavailable."""
        async with self.store.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def store_now(self, entry: Entry) -> None:
        """Store an entry before its action is answered. Raises StorageUnavailable."""
        try:
            await entries.insert(self.store, [entry])
        except Refused as error:
            log.exception("an entry of the access log cannot be stored")
            raise StorageUnavailable("what was done cannot be put on record") from error

    async def flush(self) -> None:
        """Write all that waits, also what is still being counted. Raises StorageUnavailable."""
        self._ready.extend(entry for _, entry in self._counted.values())
        self._counted.clear()
        await self._write()

    def _has_room(self) -> bool:
        has_room = len(self._counted) + len(self._ready) < self._most_waiting
        if not has_room:
            self._drop(1)
        return has_room

    def _drop(self, count: int) -> None:
        self._dropped += count
        metrics.access_log_dropped.inc(count)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            self._tell_dropped()
            until = monotonic() - EQUAL_S
            while self._counted and next(iter(self._counted.values()))[0] < until:
                oldest = next(iter(self._counted))
                self._ready.append(self._counted.pop(oldest)[1])
            await self._write()

    async def _write(self) -> None:
        """Write what is ready. An entry leaves the queue when it is stored. Raises StorageUnavailable."""
        async with self._writing:
            while self._ready:
                batch = [self._ready[n] for n in range(min(BATCH, len(self._ready)))]
                try:
                    await entries.insert(self.store, batch)
                except Refused:
                    await self._write_one_by_one(batch)
                for _ in batch:
                    self._ready.popleft()
                metrics.access_log_stored.inc(len(batch))

    async def _write_one_by_one(self, batch: list[Entry]) -> None:
        """Write the entries that PostgreSQL takes; the others are dropped. Raises StorageUnavailable."""
        for entry in batch:
            try:
                await entries.insert(self.store, [entry])
            except Refused as error:
                log.error("an entry of the access log cannot be stored", error=error_text(error))
                self._drop(entry.count)

    def _tell_dropped(self, *, now: bool = False) -> None:
        if self._dropped and (now or monotonic() - self._alerted > ALERT_EVERY_S):
            alerts.alert("entries of the access log were dropped", entries=self._dropped)
            self._dropped, self._alerted = 0, monotonic()
