"""How many deliveries to webhooks wait."""

from __future__ import annotations

import asyncio

from synckairos import metrics
from synckairos.audit.store import Store
from synckairos.probes.probe import AWAY, Probe
from synckairos.webhooks import tables

EVERY_S = 5.0
ANSWER_S = 2.0
"""How long PostgreSQL may take to count them."""


class Webhooks(Probe):
    """The deliveries of all webhooks."""

    name = "probe of webhooks"
    every_s = EVERY_S

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    async def look(self) -> None:
        """Ask once. What PostgreSQL does not say is not known."""
        try:
            async with asyncio.timeout(ANSWER_S):
                metrics.webhooks_waiting.set(await tables.waiting(self._store))
        except AWAY:
            metrics.webhooks_waiting.set(metrics.UNKNOWN)
