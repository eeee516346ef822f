"""The console's first page: the list of sessions with their clocks, the form for a new one, and links."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest
from playwright.async_api import expect

from tests.e2e.backend import Api
from tests.e2e.browser import Invite
from tests.e2e.console import WITHOUT_A_LIST, Console, drawn_code, half, press, their_turn
from tests.support.audit_service import Machines, audited, machines
from tests.support.pool import Pool
from tests.support.qr import library_code

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def there(pool: Pool) -> Machines:
    """What a service with an audit store needs."""
    return machines(pool, "valkey", "embedded")


async def test_the_list_shows_the_clocks_of_all_sessions_run(there: Machines, invite: Invite) -> None:
    database = await asyncio.to_thread(there.postgres.database)
    async with audited(there.server, there.rq, database) as made:
        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url) as api:
            running = await api.game(seconds=600, metadata={"title": "Final"})
            waiting = await api.game(seconds=300, metadata={"title": "Third place"})
            await api.do(running["session_id"], "start")
            await made.archived()
            page = await Console(invite, url).open("/")
            sessions = page.get_by_role("list", name="Sessions").get_by_role("listitem")
            await expect(sessions).to_have_count(2)
            final = sessions.filter(has_text="Final")
            await expect(final).to_contain_text("Running")
            # The clock runs, and shows the server's time.
            await expect(final.get_by_role("timer")).to_contain_text(re.compile(r"9:5[0-8]"))
            state = await api.get(running["session_id"])
            shown = await final.get_by_role("timer").text_content()
            after = await api.get(running["session_id"])
            found = re.match(r"9:(\d\d)", shown or "")
            assert found
            seconds = 540 + int(found[1])
            assert after["time_remaining_ms"] - 50 <= 1000 * seconds
            assert 1000 * (seconds - 1) <= state["time_remaining_ms"] + 1050
            await expect(sessions.filter(has_text="Third place")).to_contain_text("Not started")
            # Changes from elsewhere appear in the list by themselves, and a filter hides other sessions.
            await api.do(waiting["session_id"], "start")
            await made.archived()
            await expect(sessions.filter(has_text="Third place")).to_contain_text("Running")
            await api.do(running["session_id"], "complete")
            await made.archived()
            await page.get_by_role("radio", name="Completed").check()
            await expect(sessions).to_have_count(1)
            await sessions.get_by_role("link", name="Final").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Final")
            await page.context.close()  # before the service stops


async def test_without_an_audit_store_the_list_has_what_this_browser_opened(
    api: Api, console: Console
) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    game = await api.game(seconds=600, metadata={"title": "Rematch"})
    await api.do(game["session_id"], "start")
    page = await visitor.open(f"{api.url}/s/{game['session_id']}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Rematch")
    await page.get_by_role("link", name="All sessions").first.click()
    card = page.get_by_role("list", name="Sessions").get_by_role("listitem")
    await expect(card).to_have_count(1)
    await expect(card).to_contain_text("Rematch")
    await expect(card.get_by_role("timer")).to_contain_text(re.compile(r"9:5\d"))
    await expect(page.get_by_role("status").filter(has_text="opened in this browser")).to_be_visible()


async def test_a_session_is_made_freely_with_teams_and_a_clock_as_players_write_it(
    api: Api, console: Console
) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/#new/free")
    await page.get_by_role("radio", name="A clock for each team").check()
    await page.get_by_label("Title (optional)").fill("Club night")
    await page.get_by_label("Name of team 1").fill("Reds")
    await page.get_by_label("Name of team 2").fill("Blues")
    await page.get_by_role("button", name="Create session").click()
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Club night")
    await expect(half(page, "Reds").get_by_role("timer")).to_be_visible()
    state = await api.get(page.url.rpartition("/")[2])
    assert state["sync_mode"] == "per_group"
    assert len(state["groups"]) == 2


async def test_what_the_service_refuses_stands_at_the_field_that_it_is_about(
    api: Api, console: Console
) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    visitor.forgive(r"status of 400 .*/v1/sessions\)")
    page = await visitor.open(f"{api.url}/#new/quiz")
    await page.get_by_text("More settings").click()
    warnings = page.get_by_label("Warnings when this much is left")
    await warnings.fill("25 h")
    await page.get_by_role("button", name="Create session").click()
    await expect(warnings).to_have_attribute("aria-invalid", "true")
    await expect(warnings).to_be_focused()
    assert page.url.endswith("#new/quiz")


async def test_a_caret_stands_under_what_cannot_be_read(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    visitor.forgive(r"status of 400 .*/v1/sessions\)")
    page = await visitor.open(f"{api.url}/#new/free")
    await page.get_by_role("radio", name="As players write it").check()
    control = page.get_by_label("Time control", exact=True)
    await control.fill("40/90, SD/30; d5")
    await expect(page.get_by_text("1 h 30 min each for the first 40 moves, then 30 min more")).to_be_visible()
    await control.fill("  ½+30/30")
    await page.get_by_role("button", name="Create session").click()
    await expect(control).to_have_attribute("aria-invalid", "true")
    caret = page.locator("pre.caret:visible")
    assert await caret.evaluate("(each) => each.textContent") == "½+30/30\n  ^"
    await expect(page.get_by_text("30 moves in 30 s, 30 moves in 30 min")).to_be_visible()
    assert await control.evaluate("(each) => [each.selectionStart, each.selectionEnd]") == [4, 5]
    await control.fill("½+30/60")
    await page.get_by_role("button", name="Create session").click()
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    state = await api.get(page.url.rpartition("/")[2])
    assert state["time_control"]["notation"] == "0.5+30/60"


async def test_a_shared_link_opens_the_same_session_on_another_device(api: Api, console: Console) -> None:
    game = await api.game(seconds=600)
    page = await console.open(f"/s/{game['session_id']}")
    await page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog", name="Open on another device")
    code = dialog.get_by_role("img", name="QR code of the link")
    await expect(code).to_be_visible()
    link = await dialog.get_by_label("Link", exact=True).input_value()
    rows = await drawn_code(code)
    assert rows == library_code(link, rows)
    assert link == f"{api.url}/s/{game['session_id']}"
    await dialog.get_by_role("button", name="Close").click()
    other = await (await console.visitor()).open(link)
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Player 1")
    await press(page, "Player 1").click()
    await expect(press(other, "Player 2")).to_be_enabled()
    await press(other, "Player 2").click()
    await expect(press(page, "Player 1")).to_be_enabled()


async def test_a_link_for_one_player_presses_nobody_elses_clock(api: Api, console: Console) -> None:
    game = await api.game(seconds=600)
    first = game["participants"][0]["participant_id"]
    await api.do(game["session_id"], "start")
    page = await console.open(f"/s/{game['session_id']}?as={first}")
    await press(page, "Player 1").click()
    await expect(press(page, "Player 2")).to_be_hidden()
    await api.reaches(game["session_id"], 3)
    await page.keyboard.press("Space")
    await expect(half(page, "Player 2")).to_be_visible()
    assert (await api.get(game["session_id"]))["version"] == 3


async def test_a_preset_that_is_not_there_is_said(console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{console.service}/#new/{uuid.uuid4()}")
    await expect(page.get_by_text("This service has no such preset.")).to_be_visible()
