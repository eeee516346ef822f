"""Boards of teams and players on every screen: the tiles fill it, and more than one page turns by itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCREENS = {"desk": (1280, 760), "wall": (1920, 1080), "phone, lying": (844, 390), "phone": (390, 844)}

TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

MEASURE = """() => {
  const root = document.documentElement;
  const stage = document.querySelector('.board-pages').getBoundingClientRect();
  const tiles = [...document.querySelectorAll('.tile')].map((each) => {
    const box = each.getBoundingClientRect();
    const digits = each.querySelector('.tile-digits');
    const range = document.createRange();
    range.selectNodeContents(digits);
    const written = range.getBoundingClientRect();
    return {
      left: box.left, top: box.top, right: box.right, bottom: box.bottom, text: digits.textContent,
      size: parseFloat(getComputedStyle(digits).fontSize),
      inside: written.left >= box.left && written.right <= box.right + 0.5 && written.top >= box.top - 1,
    };
  });
  return {
    stage: {left: stage.left, top: stage.top, right: stage.right, bottom: stage.bottom},
    tiles,
    page: [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight],
    controls: document.getElementById('controls').getBoundingClientRect().top,
  };
}"""


async def quiz(api: Api, teams: int) -> State:
    """A quiz night with so many teams of two."""
    groups = [str(uuid.uuid4()) for _ in range(teams)]
    members = [{"participant_id": str(uuid.uuid4()), "group_id": each} for each in groups for _ in range(2)]
    return await api.create(
        sync_mode="per_group",
        groups=[{"group_id": each, "total_time_ms": 600_000} for each in groups],
        participants=members,
        metadata={
            "view": "board",
            "title": "Quiz night",
            "names": {each: f"Table {n}" for n, each in enumerate(groups, 1)},
        },
    )


async def measured(page: Page, tiles: int) -> dict[str, Any]:
    """The boxes of the board, once all of its tiles stand there in their final size."""
    await expect(page.locator(".tile")).to_have_count(tiles)
    await page.wait_for_function(
        "() => document.querySelector('.board-pages').style.getPropertyValue('--digits') !== ''"
    )
    await page.evaluate(TWO_FRAMES)
    found: dict[str, Any] = await page.evaluate(MEASURE)
    return found


async def test_from_two_to_forty_teams_fill_every_screen_and_none_is_cut(api: Api, console: Console) -> None:
    visitor = await console.visitor(viewport={"width": 1280, "height": 760})
    for teams in (2, 4, 20, 40):
        made = await quiz(api, teams)
        page = await visitor.open(f"{console.service}/s/{made['session_id']}")
        for screen, (width, height) in SCREENS.items():
            await page.set_viewport_size({"width": width, "height": height})
            seen = await measured(page, teams)
            place = f"{teams} teams on the {screen}"
            stage, boxes = seen["stage"], seen["tiles"]
            assert all(each["inside"] for each in boxes), f"{place}: digits within their tiles"
            assert seen["page"] == [0, 0], f"{place}: nothing beside the screen"
            assert stage["bottom"] <= seen["controls"] + 1, place
            assert all(each["left"] >= stage["left"] and each["right"] <= stage["right"] for each in boxes), (
                place
            )
            if await page.locator(".board-pages").get_attribute("data-scrolls") == "true":
                assert (screen, teams) == ("phone", 40), f"{place}: only many on an upright phone scroll"
                continue
            assert all(each["bottom"] <= stage["bottom"] and each["top"] >= stage["top"] for each in boxes), (
                place
            )
            bottom = max(each["bottom"] for each in boxes)
            assert bottom >= stage["bottom"] - 8, f"{place}: down to the edge"
            area = sum((each["right"] - each["left"]) * (each["bottom"] - each["top"]) for each in boxes)
            whole = (stage["right"] - stage["left"]) * (stage["bottom"] - stage["top"])
            assert area >= 0.7 * whole, f"{place}: the tiles fill the space"
            if teams <= 4:
                assert boxes[0]["size"] >= min(0.1 * height, 0.12 * width), f"{place}: large digits"
        await expect(page.get_by_label("Pages of the board")).to_be_hidden()
        await page.close()


async def test_more_than_forty_turn_their_pages_by_themselves_until_they_are_touched(
    api: Api, console: Console
) -> None:
    people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 600_000} for _ in range(60)]
    night = await api.create(sync_mode="per_participant", participants=people, metadata={"view": "board"})
    visitor = await console.visitor(viewport={"width": 1920, "height": 1080})
    page = await visitor.context.new_page()
    await page.clock.install()
    await page.goto(f"{console.service}/s/{night['session_id']}")
    dots = page.get_by_label("Pages of the board").get_by_role("button")
    await expect(dots.first).to_have_attribute("aria-current", "page")
    first, last = page.locator(".tile").first, page.locator(".tile").last
    await expect(first).to_be_in_viewport(ratio=1)
    await expect(last).not_to_be_in_viewport()
    await page.clock.run_for(8500)
    await expect(last).to_be_in_viewport(ratio=1)
    await expect(dots.nth(1)).to_have_attribute("aria-current", "page")

    # A turn brings its page, and a touch stops the turning.
    await api.do(night["session_id"], "start")
    await expect(page.locator(".tile.active")).to_contain_text("Player 1")
    await page.clock.run_for(500)
    await expect(first).to_be_in_viewport(ratio=1)
    await dots.nth(1).click()
    await expect(last).to_be_in_viewport(ratio=1)
    await page.clock.run_for(20_000)
    await expect(last).to_be_in_viewport(ratio=1)
    await page.get_by_role("button", name="Stop turning the pages").click()
    await expect(page.get_by_role("button", name="Turn the pages by themselves")).to_be_visible()
