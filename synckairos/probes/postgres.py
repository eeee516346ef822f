"""Whether PostgreSQL answers."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from synckairos import metrics
from synckairos.audit.store import Store
from synckairos.probes.probe import AWAY, Probe

EVERY_S = 5.0
ANSWER_S = 2.0
"""How long it may take to answer, the wait for a connection included."""


class Postgres(Probe):
    """The database of the audit."""

    name = "probe of PostgreSQL"
    every_s = EVERY_S

    def __init__(self, store: Store, database_url: str) -> None:
        super().__init__()
        self._store = store
        self._up = metrics.postgres_up.labels(address(database_url))

    async def look(self) -> None:
        """Ask once."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._store.ping()
        except AWAY:
            self._up.set(0)
        else:
            self._up.set(1)


def address(database_url: str) -> str:
    """Where a database is, without user, password and name. One that no address names is at a socket."""
    return urlsplit(database_url).netloc.rpartition("@")[2] or "a socket"
