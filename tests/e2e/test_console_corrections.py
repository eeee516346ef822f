"""What an arbiter does on a session's page: corrections, a start and an end, bounds of pauses and turns."""

from __future__ import annotations

import re
import time
import uuid

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import WITHOUT_A_LIST, Console, half, press, their_turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE_MS = 60_000


def owners(**each: object) -> dict[str, object]:
    """The members of a config for Anna and Ben."""
    players = [str(uuid.uuid4()) for _ in range(2)]
    return {
        "participants": [{"participant_id": one, **each} for one in players],
        "metadata": {"names": dict(zip(players, ("Anna", "Ben"), strict=True))},
    }


async def chess(api: Api, **config: object) -> State:
    """A game of five minutes."""
    return await api.create(sync_mode="per_participant", **owners(total_time_ms=5 * MINUTE_MS), **config)


async def menu(page: Page, item: str) -> Locator:
    """Presses an item of the menu. Returns the dialog that is open then."""
    await page.get_by_role("button", name="Menu").locator("visible=true").click()
    await page.get_by_role("dialog").get_by_role("button", name=item, exact=True).click()
    return page.get_by_role("dialog")


async def history(page: Page) -> Locator:
    """Opens the history. Returns its lines."""
    await page.keyboard.press("h")
    return page.get_by_role("list", name="Events, newest first")


def ahead(minutes: int) -> int:
    """A server time, in whole seconds."""
    return (int(time.time()) + 60 * minutes) * 1000


def local(at_ms: int) -> str:
    """The value of a date and time field in a browser of which the time zone is UTC+5:30."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000 + 5.5 * 3600))


async def test_turns_are_taken_back_and_the_page_says_why_no_more_can_be(api: Api, console: Console) -> None:
    game = await chess(api)
    session_id, anna = game["session_id"], game["participants"][0]["participant_id"]
    await api.do(session_id, "start")
    await api.adjust(session_id, anna, add_ms=MINUTE_MS)
    for _ in range(3):
        await api.do(session_id, "switch")
    visitor = await console.visitor()
    visitor.forgive(r"status of 400 .*/takeback\)")
    page = await visitor.open(f"{api.url}/s/{session_id}")
    await their_turn(page, "Ben")
    dialog = await menu(page, "Take back turns …")
    turns = dialog.get_by_label("How many turns")
    await turns.fill("17")
    await dialog.get_by_role("button", name="Take back", exact=True).click()
    await expect(dialog.get_by_role("status").first).to_have_text("Enter a number from 1 to 16")
    await turns.fill("2")
    await dialog.get_by_role("button", name="Take back", exact=True).click()
    await expect(dialog).to_have_count(0)
    await their_turn(page, "Ben")
    await expect(half(page, "Ben")).to_contain_text("0 moves")
    assert (await api.get(session_id))["cycle_count"] == 1

    await page.keyboard.press("u")
    await page.get_by_role("dialog").get_by_label("How many turns").fill("2")
    await page.get_by_role("dialog").get_by_role("button", name="Take back", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="can be taken back")).to_contain_text(
        "time was given or taken since then."
    )
    await page.keyboard.press("Escape")
    lines = await history(page)
    await expect(lines).to_contain_text("2 turns were taken back, Ben is on")
    table = page.get_by_role("table", name="Turns of each participant")
    await expect(table.get_by_role("row")).to_have_count(2)  # the heading, and Anna's one turn that is left


async def test_it_is_said_whose_turn_it_is_before_the_start_and_in_a_pause(
    api: Api, console: Console
) -> None:
    session_id = (await chess(api))["session_id"]
    page = await console.open(f"/s/{session_id}")
    dialog = await menu(page, "Who begins …")
    await dialog.get_by_role("button", name="Ben", exact=True).click()
    await expect(half(page, "Ben")).to_contain_text("Begins")
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Ben")
    await page.get_by_role("button", name="Menu").click()
    await expect(page.get_by_role("dialog").get_by_role("button", name="History")).to_be_visible()
    await expect(page.get_by_role("button", name="Whose turn it is …")).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(press(page, "Ben")).to_have_accessible_name("Ben, on the move: paused")
    dialog = await menu(page, "Whose turn it is …")
    await dialog.get_by_role("button", name="Anna", exact=True).click()
    await expect(press(page, "Anna")).to_have_accessible_name("Anna, on the move: paused")
    lines = await history(page)
    await expect(lines).to_contain_text("Ben will begin")
    await expect(lines).to_contain_text("The turn was given to Anna")


async def test_a_session_that_is_over_is_reopened_and_reset_while_the_page_stays(
    api: Api, console: Console
) -> None:
    game = await chess(api)
    session_id, anna = game["session_id"], game["participants"][0]["participant_id"]
    await api.do(session_id, "start")
    page = await console.open(f"/s/{session_id}")
    await their_turn(page, "Anna")
    await api.adjust(session_id, anna, total_time_ms=0)
    await expect(half(page, "Anna")).to_contain_text("Out of time")
    await page.get_by_role("button", name="Reopen", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Reopen").click()
    await expect(press(page, "Anna")).to_have_accessible_name("Anna, on the move: paused")
    await expect(half(page, "Ben")).not_to_contain_text("Wins")
    await api.adjust(session_id, anna, total_time_ms=MINUTE_MS)
    await page.get_by_role("button", name="Resume", exact=True).click()
    await press(page, "Anna").click()
    await their_turn(page, "Ben")

    dialog = await menu(page, "Reset the session …")
    await dialog.get_by_role("button", name="Keep it as it is").click()
    assert (await api.get(session_id))["status"] == "running"
    dialog = await menu(page, "Reset the session …")
    await dialog.get_by_role("button", name="Reset").click()
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await expect(half(page, "Anna").get_by_role("timer")).to_have_text("5:00")
    await expect(half(page, "Anna")).to_contain_text("0 moves")
    lines = await history(page)
    await expect(lines).to_contain_text("Reopened, Anna is on")
    await expect(lines).to_contain_text("Reset: it begins again")


async def test_a_start_and_an_end_are_set_moved_and_taken_back_in_the_users_time(
    api: Api, console: Console
) -> None:
    session_id = (await chess(api))["session_id"]
    visitor = await console.visitor(timezone_id="Asia/Kolkata")
    visitor.forgive(r"status of 400 .*/schedule\)")
    page = await visitor.open(f"{api.url}/s/{session_id}")
    bounds = page.get_by_role("group", name="Start, end, turns and pauses")
    await expect(bounds).to_be_hidden()
    dialog = await menu(page, "Start and end …")
    await expect(dialog).to_contain_text("Asia/Calcutta (UTC+5:30)")
    start, end = ahead(20), ahead(90)
    await dialog.get_by_label("Starts by itself at").fill(local(end))
    await dialog.get_by_label("Ends by itself at").fill(local(start))
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert").filter(has_text="ends_at_ms")).to_be_visible()
    await dialog.get_by_label("Starts by itself at").fill(local(start))
    await dialog.get_by_label("Ends by itself at").fill(local(end))
    await dialog.get_by_role("button", name="Save").click()
    await expect(bounds).to_contain_text("Starts at")
    await expect(half(page, "Anna")).to_contain_text(re.compile(r"Begins · starts in (20:00|19:\d\d)"))
    state = await api.get(session_id)
    assert (state["starts_at_ms"], state["ends_at_ms"]) == (start, end)

    await page.keyboard.press("s")
    await dialog.get_by_role("button", name="5 minutes later, or from now: end").click()
    await dialog.get_by_role("button", name="Take back the start").click()
    await dialog.get_by_role("button", name="Save").click()
    await expect(bounds).not_to_contain_text("Starts at")
    state = await api.get(session_id)
    assert (state["starts_at_ms"], state["ends_at_ms"]) == (None, end + 5 * MINUTE_MS)
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Anna")
    await expect(bounds).to_contain_text(re.compile(r"in 1:3\d:\d\d"))
    await page.keyboard.press("s")
    await expect(dialog.get_by_label("Starts by itself at")).to_have_count(0)
    await page.keyboard.press("Escape")
    lines = await history(page)
    await expect(lines).to_contain_text(re.compile("By itself: starts at .*, ends at "))


async def test_every_view_counts_down_to_the_start_and_the_session_starts_by_itself(
    api: Api, console: Console
) -> None:
    game = await chess(api, starts_at_ms=ahead(20), ends_at_ms=ahead(3 * 24 * 60))
    page = await console.open(f"/s/{game['session_id']}")
    await expect(half(page, "Anna")).to_be_visible()
    for view in "1234":
        await page.keyboard.press(view)
        await expect(page.locator("#stage")).to_contain_text(re.compile(r"[Ss]tarts in (20:00|1\d:\d\d)"))
    await api.ask(
        "PATCH",
        f"/v1/sessions/{game['session_id']}/schedule",
        {"starts_at_ms": int(time.time() * 1000) + 3000},
    )
    await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    await expect(page.get_by_role("group", name="Start, end, turns and pauses")).to_contain_text(
        re.compile(r"Ends at .*, in 2 d 23:\d\d:\d\d")
    )


async def test_pauses_and_turns_that_are_left_stand_above_the_clocks(api: Api, console: Console) -> None:
    game = await chess(api, max_pauses=1, max_total_pause_ms=10 * MINUTE_MS, max_cycles=2)
    session_id = game["session_id"]
    visitor = await console.visitor()
    visitor.forgive(r"status of 400 .*/pause\)")
    page = await visitor.open(f"{api.url}/s/{session_id}")
    bounds = page.get_by_role("group", name="Start, end, turns and pauses")
    await expect(bounds).to_have_text("2 turns1 pause left10:00 of pauses left")
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Anna")
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Pause without counting it").click()
    await expect(press(page, "Anna")).to_have_accessible_name("Anna, on the move: paused")
    await expect(bounds).to_have_text("Turn 1 of 21 pause left10:00 of pauses left")
    await page.get_by_role("button", name="Resume", exact=True).click()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(bounds).to_contain_text("No pauses left9:5")
    await expect(half(page, "Anna")).to_contain_text("Paused, goes on in 9:5")
    await page.get_by_role("button", name="Resume", exact=True).click()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="no pause is left")).to_be_visible()
    for name in ("Anna", "Ben"):
        await their_turn(page, name)
        await press(page, name).click()
    await expect(page.get_by_role("button", name="Reopen", exact=True)).to_be_visible()
    await expect(bounds).to_be_hidden()
    lines = await history(page)
    await expect(lines).to_contain_text("Paused, not counted")
    await expect(lines).to_contain_text("Completed: that was the last turn")


async def test_the_total_beside_the_turns_is_changed(api: Api, console: Console) -> None:
    game = await api.create(
        sync_mode="global", total_time_ms=10 * MINUTE_MS, time_per_cycle_ms=MINUTE_MS, **owners()
    )
    session_id = game["session_id"]
    page = await console.open(f"/s/{session_id}")
    await page.get_by_role("button", name="Give or take time").click()
    dialog = page.get_by_role("dialog", name="Give or take time")
    await dialog.get_by_label("Whose clock").select_option("The total of the session")
    await dialog.get_by_role("button", name="+5:00").click()
    await expect(dialog.locator(".time-now")).to_have_text("15:00")
    await page.keyboard.press("Escape")
    await expect(page.locator("#stage")).to_contain_text("Session: 15:00 left")
    assert (await api.get(session_id))["total_remaining_ms"] == 15 * MINUTE_MS
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_selector("#app[data-status=running]")
    await page.keyboard.press("t")
    await expect(dialog.get_by_label("Whose clock")).to_have_value("")


async def test_the_form_has_a_start_an_end_and_bounds(api: Api, console: Console) -> None:
    visitor = await console.visitor(timezone_id="Asia/Kolkata")
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/#new/blitz")
    await page.get_by_text("More settings").click()
    start, end = ahead(30), ahead(300)
    await page.get_by_label("Starts by itself at").fill(local(start))
    await page.get_by_label("Ends by itself at").fill(local(end))
    await page.get_by_label("Pauses at most").fill("3")
    await page.get_by_label("All pauses together at most").fill("10 min")
    await page.get_by_label("Completed after so many turns").fill("many")
    await page.get_by_role("button", name="Create session").click()
    turns = page.get_by_label("Completed after so many turns")
    await expect(turns).to_have_attribute("aria-invalid", "true")
    await turns.fill("80")
    await page.get_by_role("button", name="Create session").click()
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    state = await api.get(page.url.rpartition("/")[2])
    found = {name: state[name] for name in ("starts_at_ms", "ends_at_ms", "max_pauses", "max_cycles")}
    assert found == {"starts_at_ms": start, "ends_at_ms": end, "max_pauses": 3, "max_cycles": 80}
    assert state["max_total_pause_ms"] == 10 * MINUTE_MS


async def test_presets_with_longer_clocks_than_the_service_takes_say_so(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/#new")
    await expect(page.get_by_role("link", name="Blitz 3+2")).to_be_visible()
    refused = page.get_by_role("listitem").filter(has_text="This service takes no clocks of more than a day.")
    long = page.get_by_role("listitem").filter(has_text="it needs a service with LONG_CLOCKS")
    assert await refused.count() == await long.count() > 0
    await expect(refused.get_by_role("link")).to_have_count(0)
    await page.goto(f"{api.url}/#new/contest")
    await expect(page.get_by_text("Its operator turns them on with LONG_CLOCKS=true")).to_be_visible()
