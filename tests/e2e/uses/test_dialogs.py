"""Dialogs: what Back and the space bar do then and afterwards, and a menu that follows the session."""

from __future__ import annotations

import uuid

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import WITHOUT_A_LIST, Console, press, their_turn
from tests.e2e.states import still

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def game(api: Api, seconds: int = 300, **config: object) -> State:
    """Anna and Ben's game, which runs."""
    players = [str(uuid.uuid4()) for _ in range(2)]
    made = await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 1000 * seconds} for each in players],
        metadata={"names": dict(zip(players, ("Anna", "Ben"), strict=True))},
        **config,
    )
    await api.do(made["session_id"], "start")
    return made


async def no_dialog(page: Page) -> None:
    """Waits until no dialog is open, and the browser's history stands at the page itself again."""
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.wait_for_function("() => !history.state?.dialogs")


async def test_after_a_dialog_the_space_bar_ends_the_turn(api: Api, console: Console) -> None:
    session_id = (await game(api))["session_id"]
    page = await console.open(f"/s/{session_id}")
    await their_turn(page, "Anna")
    menu = page.get_by_role("button", name="Menu").locator("visible=true")

    async def turn_ends(name: str) -> None:
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("main")).to_be_focused()
        await page.keyboard.press("Space")
        await their_turn(page, name)

    await menu.click()
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await turn_ends("Ben")
    await menu.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await turn_ends("Anna")
    # One dialog opens another one, and a question is answered with no.
    await menu.focus()
    await page.keyboard.press("Space")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the session …").click()
    question = page.get_by_role("dialog", name="Cancel the session?")
    await expect(question.get_by_role("button")).to_have_text(["", "Keep the session", "Cancel the session"])
    await question.get_by_role("button", name="Keep the session").click()
    await turn_ends("Ben")
    # From there Tab goes on to the clocks.
    await page.keyboard.press("h")
    await expect(page.get_by_role("dialog", name="History")).to_be_visible()
    await page.keyboard.press("Escape")
    await no_dialog(page)
    await expect(page.get_by_role("main")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("main").locator(":focus")).to_have_count(1)


async def test_back_closes_a_dialog_before_it_leaves_the_page(api: Api, console: Console) -> None:
    session_id = (await game(api))["session_id"]
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/")
    await expect(page.get_by_role("link", name="New session").first).to_be_visible()
    share = page.get_by_role("button", name="Share this page")
    await share.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.go_back()
    await no_dialog(page)
    await expect(share).to_be_visible()

    address = f"{api.url}/s/{session_id}"
    await page.goto(address)
    await their_turn(page, "Anna")
    entries = await page.evaluate("history.length")
    menu = page.get_by_role("button", name="Menu").locator("visible=true")
    dialog = page.get_by_role("dialog")
    for way in ("Escape", "button", "back", "next"):
        await menu.click()
        await page.wait_for_function("() => history.state?.dialogs === 1")
        if way == "Escape":
            await page.keyboard.press("Escape")
        elif way == "button":
            await dialog.get_by_role("button", name="Close").click()
        elif way == "back":
            await page.go_back()
        else:  # a dialog leads to another one, which is loaded meanwhile: there is one entry for both
            await page.evaluate("addEventListener('popstate', () => { window.left = true; }, { once: true })")
            await dialog.get_by_role("button", name="History").click()
            await expect(page.get_by_role("dialog", name="History")).to_be_visible()
            await page.wait_for_function("() => window.left && history.state?.dialogs === 1")
            await page.go_back()
        await no_dialog(page)
        assert (
            await page.evaluate("history.length") == entries + 1
        )  # the entry ahead, which Forward would show
    await page.go_forward()
    await no_dialog(page)
    # What was chosen in the dialog stays in the address.
    await menu.click()
    await dialog.get_by_role("radio", name="Board").click()
    await no_dialog(page)
    await expect(page).to_have_url(f"{address}?view=board")
    # A page that is loaded again while a dialog is open has none, and no entry for one.
    await menu.click()
    await page.wait_for_function("() => history.state?.dialogs === 1")
    await page.reload()
    await expect(page.get_by_role("region", name="Board")).to_be_visible()
    await no_dialog(page)
    await page.go_back()
    await page.wait_for_url(f"{api.url}/")
    # Leaving by the menu leaves no entry behind, either.
    await page.goto(address)
    await their_turn(page, "Anna")
    await menu.click()
    await dialog.get_by_role("link", name="All sessions").click()
    await page.wait_for_url(f"{api.url}/")
    await page.go_back()
    await their_turn(page, "Anna")
    await no_dialog(page)


async def test_the_menu_follows_the_session_while_it_is_open(api: Api, console: Console) -> None:
    made = await game(api)
    session_id, anna = made["session_id"], made["participants"][0]["participant_id"]
    page = await console.open(f"/s/{session_id}")
    await their_turn(page, "Anna")
    await page.get_by_role("button", name="Menu").locator("visible=true").click()
    dialog = page.get_by_role("dialog")
    next_turn = dialog.get_by_role("button", name="Next turn")
    await expect(next_turn).to_be_enabled()
    await still(page)
    place = await next_turn.bounding_box()
    await api.do(session_id, "pause")
    await expect(next_turn).to_be_disabled()
    assert await next_turn.bounding_box() == place, "what can be tapped does not move"
    await expect(dialog.get_by_role("button", name="Whose turn it is …")).to_be_visible()
    await api.do(session_id, "resume")
    await expect(next_turn).to_be_enabled()
    await api.adjust(session_id, anna, total_time_ms=0)
    await expect(dialog.get_by_role("button", name="Complete the session …")).to_be_disabled()
    reopen = dialog.get_by_role("button", name="Reopen the session …")
    await expect(reopen).to_be_visible()
    await reopen.press("Enter")
    await page.get_by_role("dialog", name="Reopen the session?").get_by_role("button", name="Reopen").click()
    await expect(press(page, "Anna")).to_have_accessible_name("Anna, on the move: paused")
