"""The console by keyboard, by screen reader, on a phone and a projector, in light and dark."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.browser import Invite
from tests.e2e.console import WITHOUT_A_LIST, Console, announced, half, press, their_turn
from tests.e2e.states import resize
from tests.support.live import Service
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def tab_to(page: Page, role: Any, name: str | re.Pattern[str]) -> None:
    """Presses Tab until this element has the focus, at most once round the page."""
    wanted = page.get_by_role(role, name=name).first
    for _ in range(80):
        if await wanted.evaluate("(each) => each === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"no way by Tab to {role} {name}")


async def test_a_game_is_made_and_played_by_keyboard_alone(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/")
    await expect(page.get_by_role("link", name="Blitz 3+2")).to_be_visible()
    await tab_to(page, "link", "New session")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Bullet 1+0")).to_be_visible()
    await tab_to(page, "link", "Bullet 1+0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Bullet 1+0")
    await tab_to(page, "textbox", "Name of participant 1")
    await page.keyboard.type("Anna")
    await tab_to(page, "textbox", "Name of participant 2")
    await page.keyboard.type("Ben")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    session_id = page.url.rpartition("/")[2]
    await expect(press(page, "Anna")).to_be_visible()
    await page.keyboard.press("Space")
    await their_turn(page, "Anna")
    await page.keyboard.press("Space")
    await expect(press(page, "Ben")).to_be_enabled()
    await api.reaches(session_id, 3)
    await page.keyboard.press("p")
    await expect(half(page, "Ben")).to_contain_text("Paused")
    await page.keyboard.press("p")
    await expect(half(page, "Ben")).not_to_contain_text("Paused")
    await api.reaches(session_id, 5)
    await tab_to(page, "button", "Ben, on the move: press to end the turn")
    await page.keyboard.press("Enter")
    await expect(press(page, "Anna")).to_be_enabled()
    await api.reaches(session_id, 6)
    await page.keyboard.press("t")
    dialog = page.get_by_role("dialog", name="Give or take time")
    await expect(dialog).to_be_visible()
    await tab_to(page, "textbox", "Another amount")
    await page.keyboard.type("3 s")
    await tab_to(page, "button", "Set to this")
    await page.keyboard.press("Enter")
    await api.reaches(session_id, 7)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.keyboard.press("h")
    history = page.get_by_role("dialog", name="History")
    await expect(history).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("alert")).to_have_text("Time is up for Anna. Ben wins.")


async def test_the_space_bar_held_down_ends_one_turn(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    page = await console.open(f"/s/{session_id}")
    await api.do(session_id, "start")
    await their_turn(page, "Player 1")
    for _ in range(5):
        await page.keyboard.down("Space")  # the second press and later ones are repeats of the key
    await page.keyboard.up("Space")
    await expect(press(page, "Player 2")).to_be_enabled()
    await api.reaches(session_id, 3)
    await page.keyboard.press("p")
    await api.reaches(session_id, 4)
    assert (await api.get(session_id))["cycle_count"] == 1


async def test_a_finger_that_taps_twice_ends_one_turn(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    page = await console.open(f"/s/{session_id}", viewport={"width": 390, "height": 844}, has_touch=True)
    await api.do(session_id, "start")
    await their_turn(page, "Player 1")
    box = await half(page, "Player 1").bounding_box()
    assert box is not None
    for _ in range(2):
        await page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await expect(press(page, "Player 2")).to_be_enabled()
    await page.get_by_role("button", name="Pause").first.click()
    await expect(half(page, "Player 2")).to_contain_text("Paused")
    assert (await api.get(session_id))["cycle_count"] == 1


async def test_who_taps_twice_to_start_starts_once_and_hears_no_complaint(
    api: Api, service: Service, invite: Invite
) -> None:
    session_id = (await api.game())["session_id"]
    async with Proxy(service.port) as proxy:
        console = Console(invite, f"http://127.0.0.1:{proxy.port}")
        page = await console.open(f"/s/{session_id}")
        await expect(press(page, "Player 1")).to_have_accessible_name("Player 1: press to start")
        proxy.delay_s = 0.3  # so that the second tap comes before the answer to the first
        await press(page, "Player 1").dblclick()
        proxy.delay_s = 0
        await their_turn(page, "Player 1")
        await expect(page.get_by_role("alert")).to_have_text([""])
        assert (await api.get(session_id))["version"] == 2
        await page.context.close()


async def test_only_an_expiry_speaks_up(api: Api, console: Console) -> None:
    session_id = (await api.game(seconds=60, warnings_ms=[1000]))["session_id"]
    page = await console.open(f"/s/{session_id}")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    for what in ("start", "switch", "pause", "resume", "switch"):
        await api.do(session_id, what)
    first = (await api.get(session_id))["active_participant_id"]
    await api.adjust(session_id, first, total_time_ms=1500)
    await expect(page.get_by_role("alert")).to_have_text("Time is up for Player 1. Player 2 wins.")
    assert await announced(page) == ["Time is up for Player 1. Player 2 wins."]
    for timer in await page.get_by_role("timer").all():
        await expect(timer).to_have_attribute("aria-live", "off")


# The structure of each page as a screen reader finds it, without the running clocks.

LIST = """
- banner:
  - link "SyncKairos"
- main:
  - region "Sessions":
    - heading "Sessions" [level=1]
    - link "New session"
    - group "Show":
      - radio "All" [checked]
    - paragraph: No sessions yet
- contentinfo
"""
FORM = """
- main:
  - region "Blitz 3+2":
    - heading "Blitz 3+2" [level=1]
    - region "Who takes part":
      - heading "Who takes part" [level=2]
      - textbox "Title (optional)"
      - list:
        - listitem:
          - textbox "Name of participant 1"
        - listitem:
          - textbox "Name of participant 2"
      - button "Add participant"
    - button "Create session"
"""
GAME = """
- banner:
  - link "All sessions"
  - heading "Final" [level=1]
  - radiogroup "View":
    - radio "Game clock" [checked]
    - radio "Wall countdown"
    - radio "Board"
    - radio "Stopwatch"
  - 'button /Connection: live/'
  - button "Menu"
- main:
  - region "Anna":
    - 'button "Anna: press to start"'
    - timer: 1:00
  - region "Ben":
    - 'button "Ben: press to start"'
    - timer: 1:00
- region "What to do":
  - button "Start"
  - button "Give or take time"
  - button "History"
  - button "Share"
"""
NOT_FOUND = """
- banner:
  - link "SyncKairos"
- main:
  - heading "There is no such session" [level=1]
  - link "All sessions"
"""


async def test_each_page_is_built_as_a_screen_reader_needs_it(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST, r"404 \(Not Found\)")
    anna, ben = (str(uuid.uuid4()) for _ in range(2))
    game = await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 60_000} for each in (anna, ben)],
        metadata={"title": "Final", "names": {anna: "Anna", ben: "Ben"}},
    )
    page = await visitor.open(f"{api.url}/")
    for path, built in (
        ("/", LIST),
        ("/#new/blitz", FORM),
        (f"/s/{game['session_id']}", GAME),
        (f"/s/{uuid.uuid4()}", NOT_FOUND),
    ):
        await page.goto(api.url + path)
        await expect(page.locator("body")).to_match_aria_snapshot(built)
        assert await page.evaluate("document.documentElement.lang") == "en"
        assert await nameless(page) == [], path


async def nameless(page: Page) -> list[str]:
    """Controls without a name that says what they are for."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, select, textarea, img")]
             .filter((each) => each.checkVisibility() && !each.closest("[aria-hidden=true]"))
             .filter((each) => (each.localName === "img" ? !each.hasAttribute("alt")
               : !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length)))
             .map((each) => each.outerHTML)"""
    )
    return found


async def all_pages(api: Api) -> dict[str, str]:
    """The addresses of the console's pages in each of their states, by name."""
    people = [str(uuid.uuid4()) for _ in range(300)]
    everybody = [{"participant_id": each} for each in people]
    wealthy = [{"participant_id": each, "total_time_ms": 5_400_000} for each in people]
    long = "Bartholomew Featherstonehaugh-Cholmondeley"
    teams = [str(uuid.uuid4()) for _ in range(2)]
    made: dict[str, State] = {
        "waits": await api.create(sync_mode="per_participant", participants=wealthy[:2]),
        "game": await api.create(
            sync_mode="per_participant",
            participants=wealthy[:2],
            time_control={"kind": "byoyomi", "periods": 5, "period_ms": 30_000},
            metadata={"title": f"{long}s against all", "names": {people[0]: long, people[1]: "Li"}},
        ),
        "teams": await api.create(
            sync_mode="per_group",
            participants=[{**each, "group_id": teams[at % 2]} for at, each in enumerate(everybody[:8])],
            groups=[{"group_id": each, "total_time_ms": 5_400_000} for each in teams],
        ),
        "six": await api.create(
            sync_mode="per_participant", participants=wealthy[:6], metadata={"view": "clock"}
        ),
        "board": await api.create(sync_mode="per_participant", participants=wealthy),
        "quiz": await api.create(
            sync_mode="per_cycle",
            time_per_cycle_ms=7_200_000,
            participants=everybody[:3],
            metadata={"title": long, "names": {people[0]: long}},
        ),
        "stopwatch": await api.create(sync_mode="count_up", participants=everybody[:2]),
        "paused": await api.create(sync_mode="global", total_time_ms=86_400_000, participants=everybody[:1]),
        "over": await api.create(sync_mode="per_participant", participants=wealthy[:2]),
        "bounds": await api.create(
            sync_mode="per_participant",
            participants=wealthy[:2],
            starts_at_ms=int(time.time() * 1000) + 86_400_000,
            ends_at_ms=int(time.time() * 1000) + 30 * 86_400_000,
            max_pauses=3,
            max_total_pause_ms=600_000,
            max_cycles=1000,
        ),
    }
    for name, state in made.items():
        steps = {
            "waits": (),
            "bounds": (),
            "paused": ("start", "pause"),
            "over": ("start", "switch", "complete"),
        }
        for step in steps.get(name, ("start", "switch") if name != "game" else ("start",)):
            await api.do(state["session_id"], step)
    return {
        "nothing": f"/s/{uuid.uuid4()}",
        "list": "/",
        "presets": "/#new",
        "free": "/#new/free",
        "preset": "/#new/classical",
        **{name: f"/s/{state['session_id']}" for name, state in made.items()},
    }


async def show(page: Page, url: str) -> None:
    """Opens an address, and waits until the page is drawn."""
    await page.goto("about:blank")
    await page.goto(url)
    await expect(page.get_by_role("heading", level=1).filter(visible=True)).to_have_count(1)
    if "#new" in url:
        await expect(
            page.get_by_role("link", name="Make your own").or_(page.get_by_role("textbox").first).first
        ).to_be_visible()


async def test_no_page_scrolls_sideways_on_any_screen(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/")
    wide = []
    for name, path in (await all_pages(api)).items():
        await show(page, api.url + path)
        for width, height in ((320, 568), (390, 844), (844, 390), (768, 1024), (1280, 720), (1920, 1080)):
            await resize(page, width, height)
            over = await page.evaluate(
                """() => [document.documentElement, document.querySelector("#stage") ?? document.body]
                     .map((each) => each.scrollWidth - each.clientWidth)"""
            )
            if max(over) > 0:
                wide.append((name, width, over))
    assert wide == []


CONTRASTS = (Path(__file__).parent / "pages" / "contrasts.js").read_text()
"""Finds texts with less contrast than WCAG 2.2 requires at level AA, and the page's lightness (0 to 1)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read_in_light_and_dark(api: Api, console: Console, scheme: str) -> None:
    visitor = await console.visitor(color_scheme=scheme, reduced_motion="reduce")
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/")
    faint = {}
    for name, path in (await all_pages(api)).items():
        await show(page, api.url + path)
        found = await page.evaluate(CONTRASTS)
        assert (found["page"] > 0.7) is (scheme == "light")
        assert (found["page"] < 0.05) is (scheme == "dark")
        if found["faint"]:
            faint[name] = found["faint"]
    assert faint == {}


async def test_the_choice_of_light_or_dark_is_kept(api: Api, console: Console) -> None:
    session_id = (await api.game())["session_id"]
    page = await console.open(f"/s/{session_id}", color_scheme="light")
    await page.get_by_role("button", name="Colours: as the system").click()
    await page.get_by_role("button", name="Colours: light").click()
    await page.reload()
    await expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert (await page.evaluate(CONTRASTS))["page"] < 0.05
