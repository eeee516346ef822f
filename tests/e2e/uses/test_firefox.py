"""Firefox: a game from the form to its rematch, and the walls. The other stories run in Chromium alone."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.e2e import firefox as firefoxes
from tests.e2e.backend import Api
from tests.e2e.firefox import FirefoxPage, running
from tests.e2e.states import CHESS, exam

pytestmark = pytest.mark.asyncio(loop_scope="session")

A_BUTTON = """[...(document.querySelector("dialog:modal") ?? document).querySelectorAll("button, a")]
  .filter((each) => each.checkVisibility())
  .find((each) => (each.getAttribute("aria-label") ?? each.textContent).trim() === NAME)"""


def button(name: str) -> str:
    """The expression for a button or link that can be seen and pressed."""
    return A_BUTTON.replace("NAME", f'"{name}"')


def turn_of(name: str) -> str:
    """The expression that is true in somebody's turn."""
    return f"""document.querySelector('[aria-label="{name}, on the move: press to end the turn"]') !== null"""


def says(text: str) -> str:
    """The expression that is true when the page shows a text."""
    return f"document.body.innerText.includes({text!r})"


async def seen(page: FirefoxPage, name: str) -> None:
    """Nothing is wider than the page. With PICTURES set, it is drawn there."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(Path(folder) / f"firefox_{name}.png")


async def test_a_game_and_the_walls_in_firefox(api: Api) -> None:
    path = firefoxes.firefox()
    if path is None:
        pytest.skip("firefox is not installed")
    async with running(path) as firefox:
        page = await firefox.page()
        await page.size(1280, 760)
        await page.goto(f"{api.url}/#new/blitz")
        await page.until(says("Blitz 3+2"))
        await page.click("document.querySelector('.person .name input')")
        await page.type("Anna")
        await page.press("Tab", "Tab")
        await page.type("Ben")
        await seen(page, "form")
        await page.press("Enter")
        await page.until("/^\\/s\\/[0-9a-f-]{36}$/.test(location.pathname)")
        session_id = str(await page.evaluate("location.pathname")).rpartition("/")[2]
        await page.click(button("Start"))
        await page.until(turn_of("Anna"))
        await page.press("Space")
        await page.until(turn_of("Ben"))
        assert (await api.get(session_id))["cycle_count"] == 1
        # After a dialog the space bar is for the clock, and Back closes one.
        await page.click(button("Menu"))
        await page.until("document.querySelector('dialog:modal') !== null")
        await seen(page, "menu")
        await page.press("Escape")
        await page.until("!document.querySelector('dialog') && document.activeElement.id === 'stage'")
        await page.press("Space")
        await page.until(turn_of("Anna"))
        await page.press("h")
        await page.until("document.querySelector('dialog:modal') !== null && history.state?.dialogs === 1")
        await page.evaluate("history.back()")
        await page.until("!document.querySelector('dialog') && !history.state?.dialogs")
        for width, height, shape in ((390, 844, "upright"), (844, 390, "across"), (1280, 760, "desk")):
            await page.size(width, height)
            await seen(page, f"game_{shape}")
        # Its end, and the rematch.
        await page.click(button("Menu"))
        await page.click(button("Complete the session …"))
        await page.click(button("Complete"))
        await page.until(says("Completed"))
        await page.press("r")
        await page.click(button("Rematch, sides swapped"))
        await page.until(
            f"location.pathname.startsWith('/s/') && !location.pathname.includes('{session_id}')"
        )
        await page.until("document.querySelector('.half, .clock') !== null && " + says("3:00"))

        await page.goto(f"{api.url}/s/{session_id}?bare")
        clocks = "document.querySelector('.bare-clocks')?.innerText.trim()"
        await page.until(f"/^[23]:\\d\\d\\n[23]:\\d\\d$/.test({clocks})")
        await seen(page, "bare")
        await page.goto(api.url + await exam(25, 50)(api))
        await page.until(says("59:") + " && " + says("1:29:"))
        await seen(page, "exam")
        # Without an audit store a room has the boards that this browser made.
        made = await api.create(**CHESS, metadata={"tags": ["club"]})
        await api.do(made["session_id"], "start")
        kept = json.dumps(json.dumps([made["session_id"]]))
        await page.evaluate(f"localStorage.setItem('synckairos.room.club', {kept})")
        await page.goto(f"{api.url}/room/club")
        await page.until(
            "/^2:5\\d/.test(document.querySelector('.board-row[data-mark=running] .board-time')?.innerText)"
        )
        await seen(page, "room")
        # The service without a store says so at the list, which the room asks for.
        told = [each for each in firefox.troubles if not re.search("status of 503|/v1/sessions", each)]
        assert told == []
