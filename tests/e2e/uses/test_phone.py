"""Phones and tablets: nothing moves under a thumb, no button stands alone, four players sit around one."""

from __future__ import annotations

import math
import re
import uuid
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.backend import Api, State
from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.console import Console, half, press, their_turn, zone_where_it_is
from tests.e2e.states import resize, still
from tests.support.live import Service
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOXES = """() => Object.fromEntries(
 [...document.querySelectorAll('button, a, label, input')].map((each, place) => {
  const { left, top, width, height } = each.getBoundingClientRect();
  const name = each.getAttribute('aria-label') ?? each.textContent;
  const known = /Connection/.test(name) ? '' : name;
  return [`${place} ${each.className} ${known}`, [left, top, width, height]];
}).filter(([, [, , width]]) => width > 0))"""

ROWS = """() => {
  const rows = {};
  for (const each of document.getElementById('controls').children) {
    const box = each.getBoundingClientRect();
    if (box.width < 2 || getComputedStyle(each).position === 'absolute') continue;
    if (box.left < -0.5 || box.right > innerWidth + 0.5) rows[`outside: ${each.textContent}`] = 1;
    const middle = Math.round((box.top + box.bottom) / 2);
    rows[middle] = (rows[middle] ?? 0) + 1;
  }
  return Object.values(rows);
}"""

TURNED = """(names) => names.map((name) => {
  const half = document.querySelector(`.half[aria-label="${name}"]`);
  const face = half.querySelector('.half-face');
  const { rotate } = getComputedStyle(face);
  const [inner, outer] = [face, half].map((each) => each.getBoundingClientRect());
  return [rotate === 'none' ? 0 : parseFloat(rotate), Math.abs(inner.width - outer.width) < 1,
    outer.left + outer.width / 2 < innerWidth / 2 ? 'left' : 'right',
    outer.top + outer.height / 2 < innerHeight / 2 ? 'top' : 'bottom'];
})"""


async def players(api: Api, *names: str, **more: Any) -> State:
    """A game of these players."""
    ids = [str(uuid.uuid4()) for _ in names]
    return await api.create(
        preset="blitz",
        participants=[{"participant_id": each} for each in ids],
        metadata={"names": dict(zip(ids, names, strict=True)), **more},
    )


async def test_nothing_that_can_be_tapped_moves_because_of_a_message(
    api: Api, service: Service, invite: Invite
) -> None:
    made = await players(api, "Anna", "Ben")
    session_id = made["session_id"]
    async with Proxy(service.port) as proxy:
        console = Console(invite, f"http://127.0.0.1:{proxy.port}")
        visitor = await console.visitor(
            viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
        )
        visitor.forgive(*NETWORK_IS_GONE, "status of 403")
        page = await visitor.open(f"{console.service}/s/{session_id}")
        await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
        places = [
            (width, height, view)
            for width, height in ((390, 844), (844, 390), (320, 568), (1280, 760))
            for view in ("Game clock", "Wall countdown")
        ]

        async def all_boxes() -> list[dict[str, list[float]]]:
            found = []
            for width, height, view in places:
                await resize(page, width, height)
                await page.locator(f"input[name=view][value={view.split()[-1]}]").evaluate(
                    "(each) => each.click()"
                )
                await still(page)
                found.append(await page.evaluate(BOXES))
            return found

        lost = page.get_by_text("Connection lost.")
        before = await all_boxes()
        assert all(len(each) >= 4 for each in before)
        proxy.silent = True
        proxy.cut_all()
        await expect(lost).to_be_visible()
        assert await all_boxes() == before
        refusal = {"error": {"code": "FORBIDDEN", "message": "no", "context": {}}}
        await page.route("**/start", lambda route: route.fulfill(status=403, json=refusal))
        await page.get_by_role("button", name="Start", exact=True).click()
        toast = page.get_by_text("Your link or token does not allow this.")
        await expect(toast).to_be_visible()
        toasted = await all_boxes()
        for now, then in zip(toasted, before, strict=True):
            assert {name: box for name, box in now.items() if "Dismiss" not in name} == then
        # The messages do not catch the taps either: the clock below them is pressed.
        await resize(page, 390, 844)
        await page.locator("input[name=view][value=clock]").evaluate("(each) => each.click()")
        for message in (lost, toast):
            box = await message.bounding_box()
            assert box is not None
            below = "([x, y]) => document.elementFromPoint(x, y).className"
            assert await page.evaluate(below, [box["x"] + 5, box["y"] + box["height"] / 2]) == "press"
        proxy.silent = False
        proxy.cut_all()
        await expect(lost).to_be_hidden()
        await visitor.leave()


async def test_a_message_and_a_blackout_leave_a_player_the_clock(api: Api, console: Console) -> None:
    made = await players(api, "Anna", "Ben")
    session_id = made["session_id"]
    anna = made["participants"][0]["participant_id"]
    await api.do(session_id, "start")
    visitor = await console.visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = await visitor.open(f"{api.url}/s/{session_id}?as={anna}")
    await their_turn(page, "Anna")
    await still(page)
    before = await page.evaluate(BOXES)
    box = await press(page, "Anna").bounding_box()
    assert box is not None
    patch = {"metadata": {"message": {"text": "Please wrap up", "to": "all"}, "blackout": True}}
    await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", patch)
    said = page.get_by_role("status").filter(has_text="Please wrap up")
    await expect(said).to_be_visible()
    await expect(page.get_by_role("region", name="The screen is black")).to_be_hidden()
    await still(page)
    now = await page.evaluate(BOXES)
    assert {name: each for name, each in now.items() if "Dismiss" not in name} == before
    await page.touchscreen.tap(box["x"] + 20, box["y"] + box["height"] / 2)
    await expect(press(page, "Anna")).to_have_accessible_name("Anna: waits")
    await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": {"message": None}})
    await expect(said).to_be_hidden()


async def test_a_message_leaves_a_low_page_that_watches_its_clock(api: Api, console: Console) -> None:
    made = await players(api, "Anna", "Ben", message={"text": "Please wrap up", "to": "all"})
    await api.do(made["session_id"], "start")
    for width, height in ((844, 390), (800, 450)):
        page = await console.open(
            f"/s/{made['session_id']}?watch&view=countdown", viewport={"width": width, "height": height}
        )
        said = page.get_by_role("status").filter(has_text="Please wrap up")
        await expect(said).to_be_visible()
        await still(page)
        who, digits, message = [
            await each.bounding_box() for each in (page.locator(".wall-who"), page.get_by_role("timer"), said)
        ]
        assert who is not None
        assert digits is not None
        assert message is not None
        assert who["y"] >= 0
        assert who["y"] + who["height"] <= digits["y"] + 1
        assert digits["y"] + digits["height"] <= message["y"] + 1
        await expect(page.get_by_role("button").locator("visible=true")).to_have_count(0)


async def test_no_button_stands_alone_on_its_row_at_any_width(api: Api, console: Console) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    made = await api.create(
        sync_mode="per_cycle",
        time_per_cycle_ms=60_000,
        participants=[{"participant_id": each} for each in ids],
    )
    session_id = made["session_id"]
    page = await console.open(f"/s/{session_id}")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    for status in ("pending", "running", "paused", "completed"):
        if status != "pending":
            await api.do(session_id, {"running": "start", "paused": "pause", "completed": "complete"}[status])
            await page.wait_for_selector(f"#app[data-status={status}]")
        for width in range(320, 1281, 40):
            await resize(page, width, 760)
            rows = await page.evaluate(ROWS)
            assert len(rows) <= 2, (status, width, rows)
            assert min(rows) >= 2, (status, width, rows)


async def test_four_and_three_players_sit_around_one_phone(api: Api, console: Console) -> None:
    made = await players(api, "Anna", "Ben", "Cleo", "Dan", view="clock")
    session_id = made["session_id"]
    visitor = await console.visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = await visitor.open(f"{api.url}/s/{session_id}")
    names = ["Anna", "Ben", "Cleo", "Dan"]
    await expect(half(page, "Dan")).to_be_visible()
    assert await page.evaluate(TURNED, names) == [
        [90, True, "left", "bottom"],
        [90, True, "left", "top"],
        [-90, True, "right", "top"],
        [-90, True, "right", "bottom"],
    ]
    await press(page, "Anna").tap()
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        await their_turn(page, name)
        await press(page, name).tap()
        await their_turn(page, following)
    await api.reaches(session_id, 6)
    await resize(page, 844, 390)
    assert await page.evaluate(TURNED, names) == [
        [0, True, "left", "bottom"],
        [180, True, "left", "top"],
        [180, True, "right", "top"],
        [0, True, "right", "bottom"],
    ]
    box = await page.get_by_role("button", name="Pause", exact=True).bounding_box()
    assert box is not None
    assert math.isclose(box["y"] + box["height"] / 2, 390 / 2, abs_tol=8), "between them"
    await page.get_by_role("button", name="Menu").tap()
    await page.get_by_role("button", name="Turn all clocks the same way").tap()
    await expect(page.locator("#app")).to_have_attribute("data-around", "")
    assert {turned for turned, *_ in await page.evaluate(TURNED, names)} == {0}
    await page.get_by_role("button", name="Menu").tap()
    await page.get_by_role("button", name="Turn the clocks to the players around the table").tap()
    await expect(page.locator("#app")).to_have_attribute("data-around", "4")

    trio = await players(api, "Eva", "Finn", "Gro", view="clock")
    await resize(page, 390, 844)
    await page.goto(f"{api.url}/s/{trio['session_id']}")
    await expect(half(page, "Gro")).to_be_visible()
    turned = await page.evaluate(TURNED, ["Eva", "Finn", "Gro"])
    assert [each[0] for each in turned] == [0, 90, -90]
    assert [each[3] for each in turned] == ["bottom", "top", "top"]


async def test_a_long_clock_says_on_which_day_it_ends(api: Api, console: Console) -> None:
    made = await api.create(
        sync_mode="global", total_time_ms=6 * 3_600_000, participants=[{"participant_id": str(uuid.uuid4())}]
    )
    await api.do(made["session_id"], "start")
    visitor = await console.visitor(timezone_id=zone_where_it_is(22), locale="en-US")
    page = await visitor.open(f"{api.url}/s/{made['session_id']}")
    await expect(page.get_by_role("region", name="Countdown")).to_contain_text(
        re.compile(r"Ends at [45]:\d\d\sAM tomorrow")
    )
    await expect(page).to_have_title(re.compile(r"^5:59:5\d · "))
    seen = await page.title()
    await page.wait_for_function("(seen) => document.title !== seen", arg=seen)
