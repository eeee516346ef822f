"""The console's wall countdown, board and stopwatch, and their actions."""

from __future__ import annotations

import asyncio
import re
import uuid
from itertools import pairwise

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import Console, announced

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_quiz_is_paused_resumed_given_time_gone_through_and_completed(
    api: Api, console: Console
) -> None:
    people = [str(uuid.uuid4()) for _ in range(3)]
    quiz = await api.create(
        sync_mode="per_cycle",
        time_per_cycle_ms=30_000,
        participants=[{"participant_id": each} for each in people],
        metadata={"title": "Pub quiz", "names": dict(zip(people, ("Red", "Green", "Blue"), strict=True))},
    )
    session_id = quiz["session_id"]
    page = await console.open(f"/s/{session_id}")
    wall = page.get_by_role("region", name="Countdown")
    timer = wall.get_by_role("timer")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pub quiz")
    await expect(timer).to_have_text("0:30")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(wall).to_contain_text("Red")
    await expect(wall).to_contain_text("Next: Green")
    await expect(timer).to_have_text("0:29")

    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(wall).to_contain_text("Paused")
    paused = await api.get(session_id)
    assert paused["status"] == "paused"
    left = await timer.text_content()
    assert left == face(paused["time_remaining_ms"])
    await page.get_by_role("button", name="Resume", exact=True).click()
    await expect(wall).not_to_contain_text("Paused")

    await page.get_by_role("button", name="Next", exact=True).click()
    await expect(wall).to_contain_text("Next: Blue")
    await expect(timer).to_have_text(re.compile("0:(30|29)"))
    assert (await api.get(session_id))["active_participant_id"] == people[1]

    await page.get_by_role("button", name="Give or take time").click()
    dialog = page.get_by_role("dialog", name="Give or take time")
    await dialog.get_by_role("button", name="+1:00").click()
    await dialog.get_by_role("button", name="Close").click()
    await expect(timer).to_have_text(re.compile(r"1:[12]\d"))

    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Complete the session").click()
    await page.get_by_role("button", name="Complete", exact=True).click()
    await expect(wall).to_contain_text("Completed")
    state = await api.get(session_id)
    assert (state["status"], state["cycle_count"]) == ("completed", 2)
    await page.get_by_role("button", name="History").click()
    history = page.get_by_role("dialog", name="History")
    events = history.get_by_role("list", name="Events, newest first").get_by_role("listitem")
    await expect(events).to_have_count(7)


def face(ms: int) -> str:
    """A countdown of ten seconds to an hour, as a clock face shows it: rounded up."""
    seconds = -(-ms // 1000)
    return f"{seconds // 60}:{seconds % 60:02}"


async def test_an_exam_counts_down_on_the_wall_warns_and_ends(api: Api, console: Console) -> None:
    exam = await api.create(
        sync_mode="global",
        total_time_ms=60_000,
        warnings_ms=[2500],
        participants=[{"participant_id": str(uuid.uuid4())}],
        metadata={"title": "Latin"},
    )
    session_id = exam["session_id"]
    page = await console.open(f"/s/{session_id}", viewport={"width": 1920, "height": 1080})
    wall = page.get_by_role("region", name="Countdown")
    await expect(wall.get_by_role("timer")).to_have_text("1:00")
    box = await wall.get_by_role("timer").bounding_box()
    assert box is not None
    assert box["height"] > 1080 / 4, "to be read from the last row"
    await api.do(session_id, "start")
    await expect(wall.get_by_role("timer")).to_have_text("0:58")
    calm = await timer_colours(page)
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 3000})
    await expect(wall.get_by_role("timer")).to_have_text(re.compile(r"0:02\.[0-4]"))
    assert await timer_colours(page) != calm
    await expect(page.get_by_role("alert")).to_have_text("Time is up.")
    await expect(wall.get_by_role("timer")).to_have_text(re.compile(r"0:00(\.0)?"))
    assert await announced(page) == ["Time is up."], "and nothing else was said"


async def timer_colours(page: Page) -> list[str]:
    """The contrast between the digits and the colour behind them."""
    found: list[str] = await page.get_by_role("timer").evaluate(
        """(timer) => {
             const colours = [getComputedStyle(timer).color];
             for (let each = timer; each; each = each.parentElement) {
               colours.push(getComputedStyle(each).backgroundColor);
             }
             return colours;
           }"""
    )
    return found


async def test_a_board_shows_300_people_and_whose_turn_it_is(api: Api, console: Console) -> None:
    people = [str(uuid.uuid4()) for _ in range(300)]
    session = await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 60_000} for each in people],
        metadata={"view": "board"},
    )
    session_id = session["session_id"]
    page = await console.open(f"/s/{session_id}")
    board = page.get_by_role("region", name="Board")
    tiles = board.get_by_role("button").filter(has_text=re.compile(r"Player \d+"))
    await expect(tiles).to_have_count(300)
    await api.do(session_id, "start")
    active = board.locator("[aria-current=true]")
    await expect(active).to_contain_text("Player 1")
    await api.do(session_id, "switch", next_participant_id=people[249])
    await expect(active).to_contain_text("Player 250")
    await expect(active).to_be_in_viewport()
    await expect(active).to_contain_text(re.compile(r"0:5\d"))
    await page.keyboard.press("n")
    await expect(active).to_contain_text("Player 251")
    # The page shows its own switch before the server has it, so the server is asked until it does.
    for _ in range(100):
        if (await api.get(session_id))["active_participant_id"] != people[249]:
            break
        await asyncio.sleep(0.05)
    assert (await api.get(session_id))["active_participant_id"] == people[250]
    await board.get_by_label("Find by name").fill("player 299")
    await expect(tiles.filter(visible=True)).to_have_count(1)
    await tiles.filter(visible=True).click()
    await page.get_by_role("button", name="Turn to Player 299").click()
    await expect(active).to_contain_text("Player 299")
    assert (await api.get(session_id))["active_participant_id"] == people[298]


async def test_a_stopwatch_counts_laps(api: Api, console: Console) -> None:
    runner = str(uuid.uuid4())
    run = await api.create(
        sync_mode="count_up",
        participants=[{"participant_id": runner}],
        metadata={"title": "Any%", "names": {runner: "Runner"}},
    )
    session_id = run["session_id"]
    page = await console.open(f"/s/{session_id}")
    timer = page.get_by_role("timer")
    await expect(timer).to_have_text("0:00.0")
    await page.get_by_role("button", name="Start", exact=True).click()
    laps = page.get_by_role("table", name="Laps, newest first").get_by_role("row")
    for number in range(1, 4):
        await expect(laps.nth(1).get_by_role("cell").first).to_have_text(str(number))
        # Two presses within a quarter of a second count as one.
        lap = laps.nth(1).get_by_role("cell").nth(1)
        await expect(lap).to_contain_text(re.compile(r"0:00\.[3-9]|0:0[1-9]\.\d"))
        await page.get_by_role("button", name="Lap", exact=True).click()
        await api.reaches(session_id, 2 + number)
    await expect(laps).to_have_count(1 + 3 + 1)
    used = [
        next(each["time_used_ms"] for each in event["payload"]["participants"])
        for event in await api.events(session_id)
    ]
    taken = [after - before for before, after in pairwise(used[1:])]
    for number, ms in enumerate(taken, 1):
        cells = laps.nth(1 + 4 - number).get_by_role("cell")
        await expect(cells.first).to_have_text(str(number))
        await expect(cells.nth(1)).to_contain_text(f"0:{ms // 1000:02}.{ms % 1000 // 100}")
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(page.get_by_role("region", name="Stopwatch")).to_contain_text("Paused")
    paused = await api.get(session_id)
    total = paused["time_used_ms"] + paused["cycle_elapsed_ms"]
    await expect(timer).to_have_text(f"0:{total // 1000:02}.{total % 1000 // 100}")


async def test_a_session_is_looked_at_in_four_ways(api: Api, console: Console) -> None:
    game = await api.game(participants=3)
    page = await console.open(f"/s/{game['session_id']}")
    await api.do(game["session_id"], "start")
    for name, region in (
        ("Wall countdown", "Countdown"),
        ("Stopwatch", "Stopwatch"),
        ("Board", "Board"),
        ("Game clock", "Player 1"),
    ):
        await page.get_by_role("radio", name=name).check()
        await expect(page.get_by_role("region", name=region, exact=True)).to_be_visible()
    await page.get_by_role("radio", name="Board").check()
    await page.reload()
    await expect(page.get_by_role("region", name="Board")).to_be_visible()
