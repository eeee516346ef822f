"""The React hook in a page, with Debian's React."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pytest
from playwright.async_api import Page, WebSocket, expect

from tests.e2e.backend import Api
from tests.e2e.browser import Invite
from tests.support.live import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        os.environ.get("CI") != "true" and not Path("/usr/share/nodejs/react-dom/umd").exists(),
        reason="node-react and node-react-dom are not installed",
    ),
]


async def react_page(
    api: Api, invite: Invite, elsewhere: str, session_id: str
) -> tuple[Page, list[WebSocket]]:
    """Opens a page with a session in two components. Returns the page and its sockets."""
    visitor = await invite(api.url, elsewhere)
    page = await visitor.open(f"{elsewhere}/react.html?service={api.url}&session={session_id}")
    return page, visitor.sockets


async def test_components_share_a_session_and_show_it_run(api: Api, invite: Invite, elsewhere: str) -> None:
    session_id = (await api.game(seconds=60))["session_id"]
    page, sockets = await react_page(api, invite, elsewhere, session_id)
    first, second = (page.get_by_role("button", name=f"Player {place}") for place in (1, 2))
    await expect(page.get_by_role("status")).to_have_text("live pending")
    await expect(first).to_have_text("Player 1: 60.0")
    await api.do(session_id, "start")
    await expect(page.get_by_role("status")).to_have_text("live running")
    await expect(first).to_have_text(re.compile(r"Player 1: 59\.\d"))
    await first.click()
    await expect(second).to_be_enabled()
    await expect(first).to_be_disabled()
    await api.reaches(session_id, 3)
    await expect(second).to_have_text(re.compile(r"Player 2: 59\.\d"))
    state = await api.get(session_id)
    await expect(first).to_have_attribute("data-left", str(state["participants"][0]["time_remaining_ms"]))
    assert len(sockets) == 1, "two components, drawn twice by StrictMode, share one socket"
    # A component with `interval: null` is rendered only when something changes.
    drawn = await page.evaluate("drawn")
    await page.wait_for_function(f"() => drawn.Clocks >= {drawn['Clocks'] + 10}")
    assert await page.evaluate("drawn.Status") == drawn["Status"]


async def test_a_session_that_nobody_shows_any_more_is_closed_and_opened_again(
    api: Api, invite: Invite, elsewhere: str
) -> None:
    session_id = (await api.game(seconds=60))["session_id"]
    page, sockets = await react_page(api, invite, elsewhere, session_id)
    await expect(page.get_by_role("status")).to_have_text("live pending")
    await page.get_by_role("button", name="Close").click()
    await eventually(sockets[0].is_closed)
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("status")).to_have_text("live pending")
    assert len(sockets) == 2


async def test_a_session_that_is_not_there_is_an_error_to_show(
    api: Api, invite: Invite, elsewhere: str
) -> None:
    page, _ = await react_page(api, invite, elsewhere, str(uuid.uuid4()))
    await expect(page.get_by_role("status")).to_have_text("closed SESSION_NOT_FOUND")
