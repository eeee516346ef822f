"""The server is killed and started again under an open page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.backend import Api
from tests.e2e.clocks import SETTLED, Clocks, until
from tests.e2e.readings import deadlines, never_back, right, samples, without_gap
from tests.e2e.served import Served
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("lost", ["the request", "the answer"])
async def test_a_switch_under_way_when_the_server_is_killed_happens_exactly_once(
    clocks: Clocks, valkey: Server, tmp_path: Path, lost: str
) -> None:
    settings = {"ENABLE_CORS": "true", "ALLOWED_ORIGINS": clocks.elsewhere}
    async with (
        Served(valkey, tmp_path / "log", **settings) as served,
        Api(served.url) as api,
        Proxy(served.port) as proxy,
    ):
        game = await api.game()
        session_id = game["session_id"]
        page = await clocks.open(session_id, behind=proxy)
        await api.do(session_id, "start")
        await until(page, "session.state.version === 2")

        if lost == "the request":
            proxy.silent = True
        else:
            proxy.replies_lost = True
        await page.click("#switch")
        assert await page.evaluate("session.pending")
        if lost == "the answer":
            await api.reaches(session_id, 3)
        await served.kill()
        await until(page, "session.connection === 'reconnecting'")
        proxy.silent = proxy.replies_lost = False
        await served.start()

        await until(page, f"session.connection === 'live' && {SETTLED} && record.taps.length === 1")
        assert await page.evaluate("record.taps") == [True]
        assert not await page.evaluate("session.pending")
        assert [event["payload"]["event"] for event in await api.events(session_id)] == [
            "session.created",
            "session.started",
            "cycle.switched",
        ]
        state = await api.get(session_id)
        assert state["active_participant_id"] == game["participants"][1]["participant_id"]
        # A later change arrives too: the page is not only up to date, but follows the session again.
        await api.do(session_id, "switch")
        await until(page, "session.state.version === 4")
        shown = await samples(page)
        right(shown, deadlines(await api.events(session_id)))
        never_back(shown)
        without_gap(
            await page.evaluate("record.changes.filter((each) => each.event).map((each) => each.version)")
        )
