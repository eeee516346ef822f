"""A store with batches of a test's own, and what makes deliveries of them and sends these."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from synckairos.webhooks import model
from synckairos.webhooks.delivering import Deliverer
from synckairos.webhooks.model import Delivery, Webhook
from synckairos.webhooks.planning import Planner
from synckairos.webhooks.sending import Sender
from synckairos.webhooks.tables import Webhooks
from tests.support.audit_rows import EPOCH, event, snapshot
from tests.support.live import PATIENCE_S

SECRET = model.new_secret()


class Hooks:
    """Everything between PostgreSQL and receivers, in this process."""

    def __init__(self, store: Store, sender: Sender, rows: asyncpg.Connection[asyncpg.Record]) -> None:
        self.store = store
        self.rows = rows
        self.tables = Webhooks(store)
        self.planner = Planner(store)
        self.wake = asyncio.Event()
        self.sender = sender
        self.deliverer = Deliverer(store, sender, self.wake)

    async def add(
        self,
        url: str = "http://127.0.0.1:9/",
        *,
        tenant: str | None = None,
        events: Sequence[str] | None = None,
        sessions: dict[str, Any] | None = None,
        since_ms: int = 0,
    ) -> Webhook:
        return await self.tables.add(
            tenant, url, events=events, sessions=sessions, secret=SECRET, made_by=None, since_ms=since_ms
        )

    async def happen(
        self,
        session_id: str,
        *versions: int,
        name: str = "cycle.switched",
        epoch: int = EPOCH,
        known: bool = True,
        **state: Any,
    ) -> None:
        """Store events as a worker does, with a snapshot unless it is not `known` whose they are."""
        entries = [
            Entry(f"{session_id}/{epoch}/{each}", session_id, event(session_id, each, name, epoch=epoch))
            for each in versions
        ]
        snapshots = [snapshot(session_id, max(versions), epoch=epoch, **state)] if known else []
        await self.store.insert_batch(Batch(entries, snapshots))

    async def plan(self) -> None:
        await self.planner.plan()

    async def planned(self, webhook: Webhook) -> list[list[tuple[int, int]]]:
        """The epochs (from 0) and versions of a webhook's deliveries, the oldest first."""
        rows = await self.rows.fetch(
            "SELECT epochs, versions FROM sync_webhook_deliveries WHERE webhook_id = $1 ORDER BY place",
            webhook.webhook_id,
        )
        return [
            [(epoch - EPOCH, version) for epoch, version in zip(*row.values(), strict=True)] for row in rows
        ]

    async def versions(self, webhook: Webhook) -> list[int]:
        """The versions in a webhook's deliveries, the oldest first."""
        return [version for each in await self.planned(webhook) for _, version in each]

    async def of_session(self, webhook: Webhook, session_id: str) -> list[int]:
        """The versions of one session. Deliveries of several have no order among each other."""
        rows = await self.rows.fetch(
            "SELECT versions FROM sync_webhook_deliveries WHERE webhook_id = $1 AND session_id = $2"
            " ORDER BY place",
            webhook.webhook_id,
            session_id,
        )
        return [version for row in rows for version in row["versions"]]

    async def deliveries(self, webhook: Webhook) -> list[Delivery]:
        return list(reversed(await self.tables.deliveries(webhook.webhook_id)))

    async def send(self) -> None:
        """Send what is due, and what becomes due by that, until nothing is left."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.deliverer.take() or self.deliverer._attempts:
                if self.deliverer._attempts:
                    await asyncio.wait(self.deliverer._attempts, return_when=asyncio.FIRST_COMPLETED)

    async def due(self) -> None:
        """As if the time of every attempt that is to come had come."""
        await self.rows.execute(
            "UPDATE sync_webhook_deliveries SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL"
        )

    async def status(self, webhook: Webhook) -> str:
        return (await self.tables.find(webhook.webhook_id)).status


@pytest.fixture
async def hooks(database: str) -> AsyncIterator[Hooks]:
    sender = Sender(development=True)
    rows = await asyncpg.connect(database)
    async with Store(database) as store:
        made = Hooks(store, sender, rows)
        try:
            yield made
        finally:
            await made.deliverer.stop()
            made.tables.close()
            sender.close()
            await rows.close()


@pytest.fixture
def session() -> str:
    return str(uuid.uuid4())
