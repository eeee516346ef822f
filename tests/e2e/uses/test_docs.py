"""The description of the API, as somebody reads and tries it."""

from __future__ import annotations

import os

import pytest
from playwright.async_api import Page, expect

from tests.e2e.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def call(page: Page, name: str) -> str:
    """Opens a call, sends its example, and returns the status that is shown."""
    form = page.locator(f"#{name}")
    if not await form.evaluate("each => each.open"):
        await form.locator("summary").click()
    await form.get_by_role("button", name="Send").click()
    status = form.get_by_role("status")
    await expect(status).to_contain_text("20")
    shown = await status.text_content()
    assert shown is not None
    return shown.split()[0]


async def test_a_game_is_played_by_trying_the_examples(console: Console) -> None:
    page = await console.open("/docs", viewport={"width": 390, "height": 844})
    await expect(page.get_by_role("main")).to_be_visible()
    await expect(page.get_by_role("navigation", name="Contents")).to_be_visible()
    assert await call(page, "create_session") == "201"
    for name in ("start_session", "switch_cycle", "adjust_participant", "pause_session"):
        assert await call(page, name) == "200"
    assert await call(page, "delete_session") == "204"
    await expect(page.locator("#origin")).to_have_text(f"API={console.service}")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.goto(f"{console.service}/docs#SessionConfig")
    await expect(page.locator("#SessionConfig table")).to_be_visible()
    if folder := os.environ.get("PICTURES"):
        await page.locator("#create_session").scroll_into_view_if_needed()
        await page.screenshot(path=f"{folder}/docs.png")
