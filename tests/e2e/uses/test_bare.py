"""A session's bare page: on a wall, in OBS, and in a frame of another site."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.backend import Api
from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.console import Console, read_face
from tests.e2e.states import still
from tests.support import live
from tests.support.live import Service
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOWN = """() => {
  const of = (selector) => getComputedStyle(document.querySelector(selector));
  const boxes = [...document.querySelectorAll("[role=timer]")].map((each) => {
    const { left, right, top, bottom } = each.getBoundingClientRect();
    return { left, right, top, bottom };
  });
  return {
    grounds: ["html", "body"].map((each) => of(each).backgroundColor),
    color: of("[role=timer]").color, font: of("[role=timer]").fontFamily, boxes,
    // The heading is for screen readers alone.
    text: document.body.innerText.replace(document.querySelector("h1").innerText, "").trim(),
    heading: of("h1").clipPath,
    controls: document.querySelectorAll("button, a, input, header").length,
  };
}"""
CLEAR = "rgba(0, 0, 0, 0)"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def framed(valkey: Server, elsewhere: str) -> AsyncIterator[Service]:
    """A service whose pages may be shown in frames of the test pages' origin."""
    async with live.service(live.settings(valkey.url, FRAME_ANCESTORS=elsewhere)) as running:
        yield running


async def test_nothing_but_clocks_that_fill_their_box_in_the_colours_of_the_address(
    api: Api, console: Console
) -> None:
    game = await api.game(seconds=600, metadata={"title": "Final"})
    path = f"/s/{game['session_id']}?bare"
    first, second = (each["participant_id"] for each in game["participants"])
    await api.do(game["session_id"], "start")
    visitor = await console.visitor(viewport={"width": 1280, "height": 300})
    visitor.forgive(r"closed before the connection is established")  # by a page that is left at once
    page = await visitor.open(f"{console.service}{path}&bg=transparent&fg=FFCC00&font=mono")
    timers = page.get_by_role("timer")
    await expect(timers).to_have_count(2)
    await expect(timers.first).to_have_text(re.compile(r"9:5\d"))
    for width, height in ((1280, 300), (160, 60), (390, 844), (1920, 1080)):
        await page.set_viewport_size({"width": width, "height": height})
        await page.wait_for_function("document.querySelector('.bare-clocks').clientWidth === innerWidth")
        await still(page)
        shown = await page.evaluate(SHOWN)
        assert shown["grounds"] == [CLEAR, CLEAR]
        assert shown["color"] == "rgb(255, 204, 0)"
        assert "monospace" in shown["font"]
        assert shown["controls"] == 0
        assert re.fullmatch(r"9:5\d\s+10:00", shown["text"])
        assert shown["heading"] == "inset(50%)"
        boxes = shown["boxes"]
        assert all(each["left"] >= 0 and each["right"] <= width for each in boxes), boxes
        assert all(each["top"] >= 0 and each["bottom"] <= height for each in boxes), boxes
        # One above the other, or side by side: the larger of the two.
        wide = max(each["right"] for each in boxes) - min(each["left"] for each in boxes)
        tall = max(each["bottom"] for each in boxes) - min(each["top"] for each in boxes)
        assert wide >= 0.75 * width or tall >= 0.75 * height, (width, height, boxes)

    # The active clock, whichever that is, and one of one player.
    await page.goto(f"{console.service}{path}&show=active")
    await expect(timers).to_have_count(1)
    await expect(timers).to_have_text(re.compile(r"9:5\d"))
    await api.do(game["session_id"], "switch")
    await expect(timers).to_have_text(re.compile(r"(10:00|9:5\d)"))
    await page.goto(f"{console.service}{path}&owner={first}")
    await expect(timers).to_have_text(re.compile(r"9:5\d"))
    face = await timers.text_content() or ""
    state = await api.get(game["session_id"])
    left = next(
        each["time_remaining_ms"] for each in state["participants"] if each["participant_id"] == first
    )
    least, most = read_face(face)
    assert least <= left <= most
    await page.goto(f"{console.service}{path}&owner={second}&names")
    await expect(timers).to_have_count(1)

    # What is no colour and no font is none, and cannot become a style.
    for odd in ("red;background:url(//evil)", "%23000);x", "url(x)", '";}*{display:none', "a" * 100):
        await page.goto(f"{console.service}{path}&bg={odd}&fg={odd}&font={odd}")
        await expect(timers).to_have_count(2)
        shown = await page.evaluate(SHOWN)
        assert "evil" not in await page.evaluate("document.documentElement.outerHTML")
        assert shown["grounds"][0] in ("rgb(244, 246, 243)", "rgb(15, 19, 21)")
        assert shown["font"].startswith("system-ui")


async def test_all_faces_go_on_below_zero_while_a_turn_does(api: Api, console: Console) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    names = dict(zip(ids, ("Anna", "Ben"), strict=True))
    for mode in ({"sync_mode": "per_participant"}, {"sync_mode": "per_cycle", "time_per_cycle_ms": 60_000}):
        own = mode["sync_mode"] == "per_participant"
        made = await api.create(
            **mode,
            action_on_timeout={"type": "notify"},
            participants=[
                {"participant_id": each} | ({"total_time_ms": 60_000} if own else {}) for each in ids
            ],
            metadata={"names": names},
        )
        session_id = made["session_id"]
        await api.do(session_id, "start")
        if own:
            await api.adjust(session_id, ids[0], total_time_ms=60)
        else:
            await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 60})
        over = re.compile("\u22120:\\d\\d")
        page = await console.open(f"/s/{session_id}?bare&names")
        await expect(page.get_by_role("timer").first).to_have_text(over)
        await expect(page.get_by_role("timer").first).to_contain_text("Anna")
        await page.goto(f"{console.service}/s/{session_id}?view=board")
        tile = page.locator(".tile.active")
        await expect(tile.locator(".tile-digits")).to_have_text(over)
        await expect(tile).not_to_contain_text("out of time")
        await expect(tile.locator(".tile-name")).to_have_css("text-decoration-line", "none")
        await expect(page.locator(".board-digits")).to_have_text(over)


async def test_a_dot_says_that_the_connection_is_lost(api: Api, service: Service, invite: Invite) -> None:
    game = await api.game(seconds=600)
    await api.do(game["session_id"], "start")
    async with Proxy(service.port) as proxy:
        console = Console(invite, f"http://127.0.0.1:{proxy.port}")
        visitor = await console.visitor(viewport={"width": 320, "height": 120})
        # The browser asks for the service worker by itself, also then.
        visitor.forgive(*NETWORK_IS_GONE, r"error occurred when fetching the script")
        page = await visitor.open(f"{console.service}/s/{game['session_id']}?bare")
        await expect(page.get_by_role("timer").first).to_have_text(re.compile(r"9:5\d"))
        dot = page.locator("#lost")
        await expect(dot).to_be_hidden()
        proxy.silent = True
        proxy.cut_all()
        await expect(dot).to_be_visible()
        box = await dot.bounding_box()
        assert box is not None
        assert max(box["width"], box["height"]) <= 18
        proxy.silent = False
        proxy.cut_all()
        await expect(dot).to_be_hidden()


async def frame_of(page: Page, elsewhere: str, address: str) -> None:
    """A page of another origin with a frame."""
    await page.goto(f"{elsewhere}/contrasts.js")
    await page.set_content(f'<body style="background: rgb(0, 128, 0)"><iframe src="{address}"></iframe>')


async def test_only_sites_of_the_setting_may_frame_it(
    api: Api, framed: Service, console: Console, elsewhere: str, invite: Invite
) -> None:
    game = await api.game(seconds=600)
    path = f"/s/{game['session_id']}?bare&bg=transparent"
    visitor = await invite(console.service, elsewhere, f"http://127.0.0.1:{framed.port}")
    visitor.forgive(r"frame-ancestors", r"Failed to load resource")
    page = await visitor.context.new_page()
    await frame_of(page, elsewhere, f"http://127.0.0.1:{framed.port}{path}")
    inside = page.frame_locator("iframe").get_by_role("timer")
    await expect(inside).to_have_count(2)
    await expect(inside.first).to_have_text("10:00")
    async with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
        await frame_of(page, elsewhere, f"{console.service}{path}")
    await expect(page.frame_locator("iframe").get_by_role("timer")).to_have_count(0)


async def test_a_dialog_writes_the_address(api: Api, console: Console) -> None:
    game = await api.game(seconds=600)
    page = await console.open(f"/s/{game['session_id']}", viewport={"width": 1280, "height": 760})
    await page.get_by_role("button", name="Share").first.click()
    await page.get_by_role("button", name="Show elsewhere …").click()
    dialog = page.get_by_role("dialog", name="Show elsewhere")
    await expect(dialog.get_by_role("timer")).to_have_count(2)
    address = dialog.get_by_label("Address, for a wall or OBS")
    await expect(address).to_have_value(
        f"{console.service}/s/{game['session_id']}?bare&bg=transparent&fg=ffffff"
    )
    await dialog.get_by_label("Clocks").select_option(label="Player 2")
    await dialog.get_by_label("Font", exact=True).select_option("serif")
    await dialog.get_by_label("Background", exact=True).select_option("")
    await expect(dialog.get_by_role("timer")).to_have_count(1)
    second = game["participants"][1]["participant_id"]
    wanted = f"{console.service}/s/{game['session_id']}?bare&fg=ffffff&font=serif&owner={second}"
    await expect(address).to_have_value(wanted)
    code = await dialog.get_by_label("Code for a web site").input_value()
    assert f'<iframe src="{wanted.replace("&", "&amp;")}"' in code
    await page.goto(wanted)
    await expect(page.get_by_role("timer")).to_have_text("10:00")
    await expect(page).to_have_title(re.compile("."))
