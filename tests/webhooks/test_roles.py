"""What the roles of PostgreSQL may do with webhooks, with real logins."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from synckairos.webhooks import service
from synckairos.webhooks.delivering import Deliverer
from synckairos.webhooks.planning import Planner
from synckairos.webhooks.sending import Sender
from synckairos.webhooks.tables import Webhooks, waiting
from tests.audit.test_roles import SESSION, Logins
from tests.audit.test_roles import logged_in as logged_in  # noqa: PLC0414 - a fixture
from tests.support.audit_rows import event, snapshot
from tests.support.receivers import receiver
from tests.webhooks.conftest import SECRET

pytestmark = pytest.mark.one_kind


async def test_the_service_makes_webhooks_and_cannot_read_their_secrets(logged_in: Logins) -> None:
    """And the worker sends, with no more than its own rights."""
    with receiver() as got:
        async with Store(logged_in.app) as app, Store(logged_in.worker) as worker:
            webhooks = Webhooks(app)
            made = await webhooks.add(
                None, got.url, events=None, sessions=None, secret=SECRET, made_by=None, since_ms=0
            )
            assert await webhooks.of_tenant(None) == [made]
            batch = Batch([Entry("1", SESSION, event(SESSION, 1))], [snapshot(SESSION, 1)])
            await worker.insert_batch(batch)
            tested = await webhooks.test(made)
            assert await waiting(app) == 1
            sender = Sender(development=True)
            planner, deliverer = Planner(worker), Deliverer(worker, sender, asyncio.Event())
            await planner.plan()
            await planner.sweep()
            await planner.free_stuck()
            await service.tidy(worker)
            async with worker.connection() as connection:
                assert await connection.fetchval(service._THERE)
                await connection.execute(service._BEAT)
            assert await deliverer.take() == 2
            await asyncio.wait(deliverer._attempts)
            sender.close()
            assert [len(each.verified(SECRET)) for each in got.got] == [1, 1]
            assert (await webhooks.delivery(made.webhook_id, tested.delivery_id)).status == "delivered"
            (delivery,) = [each for each in await webhooks.deliveries(made.webhook_id) if each.session_id]
            await webhooks.retry(made, delivery.delivery_id)
            assert await webhooks.retry_failed(made) == 0
            await webhooks.remove(made.webhook_id)
            webhooks.close()
    forbidden = {
        "app": [
            "SELECT secret FROM sync_webhooks",
            "SELECT * FROM sync_webhooks",
            "UPDATE sync_webhooks SET url = 'https://elsewhere.example/'",
            "UPDATE sync_webhook_deliveries SET body = '[]'",
            "DELETE FROM sync_webhook_deliveries",
            "SELECT * FROM sync_webhook_changes",
        ],
        "worker": [
            "UPDATE sync_webhooks SET url = 'https://elsewhere.example/'",
            "UPDATE sync_webhooks SET secret = 'whsec_'",
            "DELETE FROM sync_webhooks",
        ],
    }
    for role, statements in forbidden.items():
        login = await asyncpg.connect(getattr(logged_in, role))
        try:
            for statement in statements:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await login.execute(statement)
        finally:
            await login.close()
