"""Removes what is too old from the access log: a thread of each worker.

Any number of workers may do it at the same time. The database's own function removes the rows, so that no
role of a service or a worker needs the right to delete: see `synckairos.audit.migrations`.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import structlog

from synckairos.audit.store import Store
from synckairos.errors import StorageUnavailable, error_text

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

EVERY_S = 3600.0
AGAIN_S = 60.0
"""How soon it tries again when PostgreSQL was away."""
LONGEST_S = 600.0
"""How long removing the old rows of one tenant may take."""


async def expire(store: Store, days: int) -> int:
    """Remove the rows that are older than so many days. Returns how many. Raises StorageUnavailable.

    A chain loses a part at its beginning and says so in a new row, so that it can still be verified.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    removed = 0
    while True:
        async with store.connection() as connection:
            found: int = await connection.fetchval("SELECT sync_access_log_expire($1)", before)
        if not found:
            return removed
        removed += found


class Retention:
    """The thread. days: how long a row is kept."""

    def __init__(self, database_url: str, days: int) -> None:
        self._database_url = database_url
        self._days = days
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Look at once, and every hour from here on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. What is under way is not waited for: it is one transaction for each tenant."""
        self._end.set()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._end.wait(pause_s):
            pause_s = EVERY_S
            try:
                removed = asyncio.run(self._expire())
            except StorageUnavailable as error:
                log.debug("the access log cannot be shortened now", reason=error_text(error.__cause__))
                pause_s = AGAIN_S
            except Exception:
                log.exception("shortening the access log failed")
            else:
                if removed:
                    log.info("the access log was shortened", rows=removed, days=self._days)

    async def _expire(self) -> int:
        async with Store(self._database_url, max_size=1, timeout_s=LONGEST_S) as store:
            return await expire(store, self._days)
