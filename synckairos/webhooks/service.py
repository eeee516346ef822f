"""What each worker does about webhooks: a thread of its own, beside the storing of batches.

Storing a batch wakes it. Besides that it looks twice a second for what others have made, such as a test.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from time import monotonic

import structlog
from redis.exceptions import RedisError

from synckairos.audit import worker
from synckairos.audit.jobs import Jobs
from synckairos.audit.store import Store
from synckairos.config import Settings
from synckairos.errors import StorageUnavailable
from synckairos.supervision import cancel, supervise
from synckairos.webhooks.delivering import Deliverer
from synckairos.webhooks.model import DELIVERED_KEPT_S, FAILED_KEPT_S
from synckairos.webhooks.planning import Planner, interval
from synckairos.webhooks.sending import Sender

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_S = 0.5
BEAT_S = 2.0
"""How often it is said that somebody sends, and looked whether a worker of the last release stores."""
GAP_S = 6.0
"""Who was not heard of for so long may have been replaced by workers of the last release meanwhile."""
SURE_AFTER_S = 40.0
"""How long no such worker was there before it is certain that none has anything in hand: longer than a batch
may take, and than a lease lasts."""
SWEEP_S = 5.0
SWEEP_SHARE = 10
"""A sweep is followed by a pause that is at least so many times as long."""
FREE_S = 30.0
"""How often it is looked for what waits for nothing, because a process died between two steps."""
TIDY_S = 600.0
TABLES_S = 15.0
"""How often it is looked whether the tables are there, while they are not."""
STOP_S = 3.0
CONNECTIONS = 6
ANSWER_S = 15.0
_TIDIED_AT_ONCE = 5000

_THERE = """
SELECT coalesce(has_table_privilege(to_regclass('sync_webhook_state')::oid, 'UPDATE'), false)
"""
_BEAT = "UPDATE sync_webhook_state SET beat_at = now()"
_UNSURE = "UPDATE sync_webhook_state SET sure_at = '-infinity' WHERE sure_at > '-infinity'"
_SURE = "UPDATE sync_webhook_state SET sure_at = now()"
_IS_SURE = "SELECT sure_at > now() - $1::interval FROM sync_webhook_state"
_TIDY = """
DELETE FROM sync_webhook_deliveries WHERE delivery_id IN (
    SELECT delivery_id FROM sync_webhook_deliveries
    WHERE done_at < now() - CASE status WHEN 'failed' THEN $2::interval ELSE $1::interval END
        AND status <> 'pending' ORDER BY done_at LIMIT $3)
"""
_TIDY_SESSIONS = """
DELETE FROM sync_webhook_sessions WHERE (session_id, epoch) IN (
    SELECT session_id, epoch FROM sync_webhook_sessions AS p
    WHERE NOT EXISTS (SELECT FROM sync_webhooks AS w WHERE w.owner = p.owner) LIMIT $1)
"""


class Sending:
    """The thread. It starts without waiting for anything, and what is away is tried again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._stored: asyncio.Event | None = None
        self._ready = threading.Event()
        self._begun = False

    def start(self) -> None:
        """Send from here on."""
        self._begun = True
        self._thread.start()
        self._ready.wait()

    def stored(self) -> None:
        """Say that a batch was stored. Any thread may."""
        self._set(lambda: self._stored)

    def stop(self) -> None:
        """Send nothing more. Attempts that are under way get a moment."""
        if self._begun:
            self._set(lambda: self._end)
            self._thread.join(STOP_S)

    def _set(self, event: Callable[[], asyncio.Event | None]) -> None:
        loop, found = self._loop, event()
        if loop is not None and found is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(found.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:
            log.exception("webhooks are sent no more by this worker")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end, self._stored = asyncio.Event(), asyncio.Event()
        self._ready.set()
        assert self._settings.database_url is not None
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        async with Store(self._settings.database_url, max_size=CONNECTIONS, timeout_s=ANSWER_S) as store:
            sender = Sender(development=self._settings.environment != "production")
            due = asyncio.Event()
            deliverer = Deliverer(store, sender, due)
            planner = Planner(store)
            loops = {
                "webhooks' events": lambda: self._plan(store, planner, due),
                "webhooks' deliveries": lambda: self._deliver(store, deliverer, due),
                "webhooks' watch": lambda: self._watch(store, planner),
                "webhooks' retention": lambda: self._tidy(store),
            }
            tasks = [asyncio.create_task(supervise(name, loop), name=name) for name, loop in loops.items()]
            try:
                await self._end.wait()
            finally:
                await cancel(*tasks)
                await deliverer.stop()
                sender.close()

    async def _plan(self, store: Store, planner: Planner, due: asyncio.Event) -> None:
        await _tables(store)
        assert self._stored is not None
        while True:
            self._stored.clear()
            if await planner.plan():
                due.set()
            await _wait(self._stored, LOOK_S)

    async def _deliver(self, store: Store, deliverer: Deliverer, due: asyncio.Event) -> None:
        await _tables(store)
        while True:
            due.clear()
            await deliverer.take()
            await _wait(due, LOOK_S)

    async def _watch(self, store: Store, planner: Planner) -> None:
        """Find what workers of the last release have stored, who do not tell of it."""
        await _tables(store)
        alone_since: float | None = None
        """Since when there is none of them."""
        sweep_at = free_at = 0.0
        with closing(Jobs.of(self._settings)) as jobs:
            while True:
                others = await self._others(jobs)
                now = monotonic()
                if others is None or others:
                    alone_since = None
                elif alone_since is None:
                    alone_since = now
                async with store.connection() as connection:
                    await connection.execute(_BEAT)
                    if others:
                        await connection.execute(_UNSURE)
                    is_sure = await connection.fetchval(_IS_SURE, interval(GAP_S))
                if not is_sure and now >= sweep_at:
                    if noted := await planner.sweep():
                        log.info("events were found of which no worker had told", sessions=noted)
                        self._stored_here()
                    took_s = monotonic() - now
                    sweep_at = monotonic() + max(SWEEP_S, SWEEP_SHARE * took_s)
                if now >= free_at:
                    await planner.free_stuck()
                    free_at = now + FREE_S
                # A sweep that ended just now began when there was none of them for long enough.
                is_alone = alone_since is not None and now - alone_since > SURE_AFTER_S
                if others == 0 and (is_sure or (is_alone and sweep_at > now)):
                    async with store.connection() as connection:
                        await connection.execute(_SURE)
                await asyncio.sleep(BEAT_S)

    def _stored_here(self) -> None:
        if self._stored is not None:
            self._stored.set()

    @staticmethod
    async def _others(jobs: Jobs) -> int | None:
        """How many workers of the last release there are; None when nobody knows."""
        try:
            return await asyncio.to_thread(worker.silent, jobs)
        except (RedisError, OSError):
            return None

    @staticmethod
    async def _tidy(store: Store) -> None:
        """Remove what is kept no longer."""
        await _tables(store)
        while True:
            await tidy(store)
            await asyncio.sleep(TIDY_S)


async def tidy(store: Store) -> None:
    """Remove what is kept no longer. Raises StorageUnavailable."""
    kept = (interval(DELIVERED_KEPT_S), interval(FAILED_KEPT_S))
    for query, arguments in ((_TIDY, kept), (_TIDY_SESSIONS, ())):
        status = ""
        while not status.endswith(" 0"):
            async with store.connection() as connection:
                status = await connection.execute(query, *arguments, _TIDIED_AT_ONCE)


async def _tables(store: Store) -> None:
    """Wait until the tables are there, which `synckairos migrate` makes. Workers may be updated before."""
    while True:
        with suppress(StorageUnavailable):
            async with store.connection() as connection:
                if await connection.fetchval(_THERE):
                    return
        await asyncio.sleep(TABLES_S)


async def _wait(event: asyncio.Event, at_most_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await event.wait()
