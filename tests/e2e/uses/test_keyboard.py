"""The keyboard alone, for every use: all is reached, the focus is seen and never lost, nothing traps it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import BOUNCE_MS, WITHOUT_A_LIST, Console, half, their_turn
from tests.e2e.states import AUCTION, QUIZ, RUN, agenda, exam

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_STOPS = 150
SESSION_PAGE = Path("synckairos/web/console/session/session.js").read_text(encoding="utf-8")

HERE = """() => {
  const here = document.activeElement;
  if (!here || here === document.body) return null;
  const label = here.labels?.[0];
  const names = [here.getAttribute("aria-label"), label?.textContent, here.textContent, here.tagName];
  // What shows the focus: the element, or what stands for it: its label, its card, the text beside it.
  const beside = [here.nextElementSibling, here.previousElementSibling];
  const around = [...beside, label, here.closest("li, label, .language")];
  const seen = [here, ...around].some((each) => {
    if (!each) return false;
    const { outlineStyle, outlineWidth } = getComputedStyle(each);
    const box = each.getBoundingClientRect();
    const isOnScreen = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && box.width > 0 && isOnScreen;
  });
  window.stops_ ??= new Map();
  if (!stops_.has(here)) stops_.set(here, stops_.size);
  const is = here.outerHTML.slice(0, 160);
  const name = names.find(Boolean).trim().replace(/\\s+/g, " ");
  return { id: stops_.get(here), name, seen, is };
}"""

LOST = """() => {
  window.lost_ = [];
  let last = null;
  document.addEventListener("focusin", ({ target }) => { last = target; }, true);
  const isGone = (each) => !each.isConnected || each.matches(":disabled") || !each.checkVisibility();
  // Between the last stop and the first one the focus is nowhere, and what had it may go.
  document.addEventListener("focusout", ({ target }) => setTimeout(() => {
    if (target === last && !isGone(target) && document.activeElement !== target) last = null;
  }), true);
  // Half a second: until then the page may put it where it belongs.
  let frames = 0;
  const look = () => {
    const here = document.activeElement;
    const isNowhere = here === null || here === document.body || here === last;
    const isLost = last !== null && isNowhere && isGone(last);
    frames = isLost ? frames + 1 : 0;
    if (frames === 30) {
      lost_.push(last.outerHTML.slice(0, 160));
      last = null;
    }
    requestAnimationFrame(look);
  };
  look();
}"""


async def step(page: Page, key: str) -> dict[str, Any] | None:
    """Presses Tab. Returns what has the focus then, and is seen; None between the end and the beginning."""
    await page.keyboard.press(key)
    here: dict[str, Any] | None = await page.evaluate(HERE)
    for _ in range(20):  # what comes into sight takes some frames
        if here is None or here["seen"]:
            break
        await page.evaluate("new Promise(requestAnimationFrame)")
        here = await page.evaluate(HERE)
    assert here is None or here["seen"], f"the focus is not seen: {here}"
    return here


async def tour(page: Page, key: str = "Tab") -> list[str]:
    """Goes through all that can have the focus until it begins again. Returns the names of the stops."""
    names = dict[int, str]()
    for _ in range(MOST_STOPS):
        here = await step(page, key)
        if here is None or here["id"] == next(reversed(names), None):
            continue  # a field for a date has several stops
        if here["id"] in names:
            return list(names.values())
        names[here["id"]] = here["name"]
    raise AssertionError(f"{key} does not come round: {names}")


async def go_to(page: Page, name: str, key: str = "Tab") -> None:
    """Presses Tab until what has the focus has a name that begins like this."""
    tried = list[str]()
    for _ in range(MOST_STOPS):
        here = await step(page, key)
        if here is not None and here["name"].startswith(name):
            return
        tried += [here["name"]] if here else []
    raise AssertionError(f"{name} is not reached: {tried}")


async def choose(page: Page, *names: str) -> None:
    """Goes to one button after another, and presses each. A dialog that one opens is waited for."""
    for name in names:
        await go_to(page, name)
        await page.keyboard.press("Enter")
        if name.endswith("…") or name == "Menu":
            await expect(page.get_by_role("dialog")).to_be_visible()
            await page.wait_for_function(
                "document.querySelector('dialog:modal').contains(document.activeElement)"
            )


async def opened(page: Page, key: str, title: str) -> None:
    """Opens a dialog by a key."""
    await page.keyboard.press(key)
    await expect(page.get_by_role("dialog", name=title)).to_be_visible()


async def closed(page: Page) -> None:
    """No dialog is open, and the focus is where the space bar is for the clock."""
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("main")).to_be_focused()


async def nothing_lost(page: Page) -> None:
    """The focus was never left on what had gone, or on nothing because that had gone."""
    await page.evaluate(
        """new Promise((done) => {
          let count = 40;
          const frame = () => (count-- ? requestAnimationFrame(frame) : done());
          frame();
        })"""
    )
    assert await page.evaluate("lost_") == []


async def desk(console: Console, path: str, **stored: str) -> Page:
    """A page that watches the focus. stored: what this browser kept before."""
    visitor = await console.visitor(viewport={"width": 1280, "height": 760}, reduced_motion="reduce")
    visitor.forgive(WITHOUT_A_LIST)
    await visitor.context.add_init_script(f"addEventListener('DOMContentLoaded', {LOST})")
    await visitor.context.add_init_script(
        f"if (location.host) Object.assign(localStorage, {json.dumps(stored)})"
    )
    return await visitor.open(console.service + path)


async def test_an_arbiter_leads_a_game_by_keys(api: Api, console: Console) -> None:
    page = await desk(console, "/")
    await choose(page, "New session")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await choose(page, "Blitz 3+2")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Blitz 3+2")
    # Whoever adds and removes a participant stays in the list.
    await choose(page, "Add participant", "Remove")
    await go_to(page, "Name of participant 1", "Shift+Tab")
    await page.keyboard.type("Anna")
    await go_to(page, "Name of participant 2")
    await page.keyboard.type("Ben")
    assert {"Title (optional)", "Create session", "Back"} <= set(await tour(page))
    await nothing_lost(page)
    await choose(page, "Create session")
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    session_id = page.url.rpartition("/")[2]

    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await choose(page, "Start")
    await their_turn(page, "Anna")
    await page.keyboard.press("Space")
    await their_turn(page, "Ben")
    await choose(page, "Ben, on the move")
    await their_turn(page, "Anna")
    stops = await tour(page)
    assert {"Menu", "Pause", "Give or take time", "History", "Share"} <= set(stops)
    back = await tour(page, "Shift+Tab")
    # A clock is read out as it stands.
    assert sorted(each.split(":")[0] for each in back) == sorted(each.split(":")[0] for each in stops)

    # Each dialog keeps the focus, Escape closes it, and the space bar is for the clock.
    turn = ["Anna", "Ben"]
    for key, title in (
        ("t", "Give or take time"),
        ("s", "Start and end"),
        ("h", "History"),
        ("?", "Keys and help"),
    ):
        await opened(page, key, title)
        assert "Close" in await tour(page)
        if key == "?":
            named = set(await page.get_by_role("dialog").locator("kbd").all_text_contents())
            source = SESSION_PAGE.partition("  #keys = {")[2].partition("  };")[0]
            keys = {each.upper() for each in re.findall(r'^    "?(.)"?: ', source, re.MULTILINE)}
            assert keys - {"B"} == named - {"Space"}, "the button of a use has a key where there is one"
        await page.keyboard.press("Escape")
        await closed(page)
        await page.keyboard.press("Space")
        turn.reverse()
        await their_turn(page, turn[0])
    await choose(page, "Menu")
    assert {"Next turn", "Share this session", "Complete the session …", "Keys and help"} <= set(
        await tour(page)
    )
    await page.keyboard.press("Escape")
    await closed(page)

    await choose(page, "Pause")
    await expect(page.get_by_role("button", name="Resume", exact=True)).to_be_focused()
    await opened(page, "w", "Whose turn it is")
    await choose(page, turn[1])
    await closed(page)
    await choose(page, "Resume")
    turn.reverse()
    await their_turn(page, turn[0])
    await page.keyboard.press("Space")
    turn.reverse()
    await their_turn(page, turn[0])
    version = (await api.get(session_id))["version"]
    await opened(page, "t", "Give or take time")
    await go_to(page, "Another amount")
    await page.keyboard.type("1:00")
    await choose(page, "Add")
    await api.reaches(session_id, version + 1)
    await page.keyboard.press("Escape")
    await closed(page)
    # A turn in which time was given cannot be taken back, the one after it can.
    for _ in range(2):
        await page.keyboard.press("Space")
        turn.reverse()
        await their_turn(page, turn[0])
    await opened(page, "u", "Take back turns")
    await choose(page, "Take back")
    await closed(page)
    await their_turn(page, turn[1])
    await api.reaches(session_id, version + 4)
    await choose(page, "Menu", "Complete the session …", "Complete")
    await closed(page)
    assert {"Rematch", "Reopen"} <= set(await tour(page))
    await nothing_lost(page)
    await opened(page, "r", "Rematch")
    await choose(page, "Rematch, sides swapped")
    await page.wait_for_url(lambda url: "/s/" in url and session_id not in url)
    await expect(half(page, "Ben")).to_contain_text("Begins")
    await page.keyboard.press("Space")
    await their_turn(page, "Ben")


async def test_each_use_is_led_by_keys(api: Api, console: Console) -> None:
    quiz = await api.create(**QUIZ)
    page = await desk(console, f"/s/{quiz['session_id']}")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await choose(page, "Start", "Next question")
    await api.reaches(quiz["session_id"], 3)
    await page.wait_for_timeout(BOUNCE_MS)
    await page.keyboard.press("Space")
    await api.reaches(quiz["session_id"], 4)

    lot = await api.create(**AUCTION)
    await page.goto(f"{api.url}/s/{lot['session_id']}")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Bid (+0:10)")).to_be_visible()
    await opened(page, "?", "Keys and help")
    assert "B" in await page.get_by_role("dialog").locator("kbd").all_text_contents()
    await page.keyboard.press("Escape")
    await closed(page)
    await api.ask("PATCH", f"/v1/sessions/{lot['session_id']}/clock", {"total_time_ms": 9_000})
    await page.keyboard.press("b")
    await api.reaches(lot["session_id"], 4)

    path = await agenda(api)
    session_id = path.split("/")[2].partition("?")[0]
    await page.goto(api.url + path)
    now = page.locator(".agenda-name")
    await expect(now).to_have_text("Anna: the new hall")
    await choose(page, "Next")
    await expect(now).to_have_text("Break")
    await choose(page, "Previous")
    await expect(now).to_have_text("Anna: the new hall")
    await choose(page, "Previous")
    await expect(now).to_have_text("Welcome")
    await page.keyboard.press("Space")
    await expect(now).to_have_text("Anna: the new hall")
    await choose(page, "4")
    await expect(page.get_by_role("dialog", name="Closing")).to_be_visible()
    await choose(page, "Go to")
    await closed(page)
    await expect(now).to_have_text("Closing")
    await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": {"title": "Club evening"}})
    await tour(page)
    await nothing_lost(page)

    run = await api.create(**RUN, metadata={"splits": ["Forest", "Cave", "Tower"]})
    await page.goto(f"{api.url}/s/{run['session_id']}")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await choose(page, "Start", "Skip split")
    await expect(page.get_by_role("row", name=re.compile("^Forest"))).to_contain_text("skipped")
    await choose(page, "Undo split")
    row = page.locator("[aria-current=step]")
    await expect(row).to_contain_text("Forest")
    await expect(page.get_by_role("button", name="Undo split")).to_be_hidden()
    await page.keyboard.press("Space")
    await expect(row).to_contain_text("Cave")
    await nothing_lost(page)

    await page.goto(api.url + await exam(25)(api))
    await choose(page, "Announce …")
    await page.keyboard.type("Ten minutes more")
    await choose(page, "Announce")
    await closed(page)
    await expect(page.locator(".exam-news-box")).to_contain_text("Ten minutes more")
    await tour(page)
    await nothing_lost(page)


async def test_a_room_is_led_by_keys(api: Api, console: Console) -> None:
    ids = list[str]()
    for names in (["Anna", "Ben"], ["Cleo", "Dan"]):
        metadata = {"board": len(ids) + 1, "tags": ["club"]}
        made = await api.create(preset="blitz", participants=names, metadata=metadata)
        ids.append(made["session_id"])
    page = await desk(console, "/room/club", **{"synckairos.room.club": json.dumps(ids)})
    await expect(page.get_by_role("heading", name=re.compile("Cleo"))).to_be_visible()
    await choose(page, "Start2")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await choose(page, "Start 2 boards")
    await expect(page.get_by_text("Started: 2 of 2")).to_be_visible()
    await tour(page)
    await go_to(page, "Find")
    await page.keyboard.type("cleo")
    await expect(page.locator(".board:not([hidden])")).to_have_count(1)
    await go_to(page, "Select")
    await page.keyboard.press("Space")
    await go_to(page, "Give time …", "Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Time", exact=True)).to_be_focused()
    await page.keyboard.type("2:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Time given: 1 of 1")).to_be_visible()
    await choose(page, "Dismiss")
    await nothing_lost(page)
    await choose(page, "2")
    await page.wait_for_url(f"{api.url}/s/{ids[1]}**")
