"""The receiver of the recipes, with real requests."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from synckairos.webhooks import model
from tests.recipes.conftest import recipe
from tests.webhooks.conftest import SECRET, Hooks

pytestmark = pytest.mark.one_kind


async def test_the_receiver_of_the_recipes(hooks: Hooks, session: str) -> None:
    dealt_with: list[dict[str, Any]] = []
    away = [3]
    """Versions at which the backend's database is away, once."""

    def deal_with(event: dict[str, Any]) -> None:
        if event["version"] in away:
            away.remove(event["version"])
            raise ConnectionError
        dealt_with.append(event)

    server = recipe("A webhook", SECRET=SECRET).receiver(0, deal_with)
    server.handle_error = lambda *_: None
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    serving.start()
    url = f"http://127.0.0.1:{server.server_port}/"
    try:
        webhook = await hooks.add(url)
        await hooks.happen(session, 1, 2)
        await hooks.plan()
        await hooks.send()
        assert [event["version"] for event in dealt_with] == [1, 2]
        # The same delivery once more, as after a worker that died.
        await hooks.tables.retry(webhook, (await hooks.deliveries(webhook))[0].delivery_id)
        await hooks.send()
        assert len(dealt_with) == 2
        # What it could not deal with comes again.
        await hooks.happen(session, 3)
        await hooks.plan()
        await hooks.send()
        await hooks.due()
        await hooks.send()
        assert [event["version"] for event in dealt_with] == [1, 2, 3]
        assert [each.status for each in await hooks.deliveries(webhook)] == ["delivered", "delivered"]
        # Of somebody who does not have the secret it takes nothing.
        forged = await hooks.sender.send(url, model.new_secret(), "forged", "[]")
        assert forged.status == 401
        async with httpx.AsyncClient() as client:
            assert (await client.post(url, content=b"[]")).status_code == 401
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
