"""The keyboard alone, for every use: everything is reached, the focus is always seen and never lost, nothing traps it."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import WITHOUT_A_LIST, Console, half, press, their_turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_STOPS = 150

HERE = """() => {
  const here = document.activeElement;
  if (!here || here === document.body) return null;
  const label = here.labels?.[0];
  const name = here.getAttribute("aria-label") || label?.textContent || here.textContent || here.id || here.tagName;
  // What shows the focus: the element, or what stands for it: its label, its card, the text beside it.
  const marked = [here, here.nextElementSibling, here.previousElementSibling, label, here.closest("li, label, article, .language")];
  const hasMark = (each) => {
    if (!each) return false;
    const { outlineStyle, outlineWidth } = getComputedStyle(each);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  };
  const seen = marked.filter(hasMark).some((each) => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  });
  here.dataset.stop ??= String((window.stops_ = (window.stops_ ?? 0) + 1));
  return { id: here.dataset.stop, name: name.trim().replace(/\\s+/g, " "), seen, is: here.outerHTML.slice(0, 120) };
}"""

LOST = """() => {
  window.lost_ = [];
  const isGone = (each) => each === document.body || !each.isConnected || each.matches(":disabled")
    || !each.checkVisibility({ visibilityProperty: true });
  let last = null;
  document.addEventListener("focusin", ({ target }) => { last = target; }, true);
  // Looked at when a frame has been drawn: until then the page may put it where it belongs.
  const look = () => {
    if (last !== null && isGone(document.activeElement ?? document.body)) {
      lost_.push(last.outerHTML.slice(0, 160));
      last = null;
    }
    requestAnimationFrame(() => setTimeout(look));
  };
  look();
}"""


async def tour(page: Page, key: str = "Tab") -> list[str]:
    """Goes through all that has the focus one after another, until it begins again. Returns the names of the stops."""
    names: list[str] = []
    first = None
    for _ in range(MOST_STOPS):
        await page.keyboard.press(key)
        here = await page.evaluate(HERE)
        if here is None:
            continue  # between the end of the page and its beginning
        if here["id"] == first:
            return names
        first = first or here["id"]
        assert here["seen"], f"the focus is not seen: {here['is']}"
        names.append(here["name"])
    raise AssertionError(f"{key} does not come round: {names}")


async def go_to(page: Page, name: str, key: str = "Tab") -> None:
    """Presses Tab until what has the focus has a name that begins like this."""
    tried = []
    for _ in range(MOST_STOPS):
        await page.keyboard.press(key)
        here = await page.evaluate(HERE)
        if here is None:
            continue
        assert here["seen"], f"the focus is not seen: {here['is']}"
        if here["name"].startswith(name):
            return
        tried.append(here["name"])
    raise AssertionError(f"{name} is not reached: {tried}")


async def choose(page: Page, *names: str) -> None:
    """Goes to one button after another, and presses each."""
    for name in names:
        await go_to(page, name)
        await page.keyboard.press("Enter")


async def nothing_lost(page: Page) -> None:
    """The focus was never on an element that had gone, and never on none at all."""
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert await page.evaluate("lost_") == []


async def closed(page: Page) -> None:
    """Escape has closed the dialog, and the focus is where the space bar is for the clock."""
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("main")).to_be_focused()


async def at_desk(console: Console, path: str, **options: Any) -> Page:
    """A page that watches where the focus is."""
    visitor = await console.visitor(viewport={"width": 1280, "height": 760}, **options)
    visitor.forgive(WITHOUT_A_LIST)
    await visitor.context.add_init_script(f"addEventListener('DOMContentLoaded', {LOST})")
    return await visitor.open(console.service + path)


async def test_an_arbiter_leads_a_game_by_keys(api: Api, console: Console) -> None:
    page = await at_desk(console, "/")
    await choose(page, "New session")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await choose(page, "Blitz 3+2")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Blitz 3+2")
    # A participant who is added and removed leaves the focus on the list.
    await choose(page, "Add participant")
    await choose(page, "Remove Player 3")
    await go_to(page, "Name of participant 1", "Shift+Tab")
    await page.keyboard.type("Anna")
    await go_to(page, "Name of participant 2")
    await page.keyboard.type("Ben")
    await tour(page)
    await go_to(page, "Name of participant 2")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    session_id = page.url.rpartition("/")[2]

    start = page.get_by_role("button", name="Start", exact=True)
    await expect(start).to_be_visible()
    await go_to(page, "Start")
    await page.keyboard.press("Enter")
    await their_turn(page, "Anna")
    await page.keyboard.press("Space")
    await their_turn(page, "Ben")
    await go_to(page, "Ben, on the move")
    await page.keyboard.press("Enter")
    await their_turn(page, "Anna")
    stops = await tour(page)
    assert await tour(page, "Shift+Tab") == [stops[0], *stops[:0:-1]] or set(await tour(page, "Shift+Tab")) == set(stops)

    # Each dialog: nothing behind it is reached, Escape closes it, and the space bar is for the clock.
    turn = ["Anna", "Ben"]
    for key, title in (("t", "Give or take time"), ("s", "Start and end"), ("h", "History"), ("u", "Take back turns"), ("?", "Keys and help")):
        await page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name=title)
        await expect(dialog).to_be_visible()
        await tour(page)
        assert await dialog.evaluate("(each) => each.contains(document.activeElement)")
        await page.keyboard.press("Escape")
        await closed(page)
        await page.keyboard.press("Space")
        turn.reverse()
        await their_turn(page, turn[0])
    await choose(page, "Menu")
    await expect(page.get_by_role("dialog")).to_be_visible()
    items = await tour(page)
    assert {"Next turn", "Share this session", "Complete the session …", "Keys and help"} <= set(items)
    await page.keyboard.press("Escape")
    await closed(page)

    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    await page.keyboard.press("w")
    await choose(page.get_by_role("dialog", name="Whose turn it is").page, "Turn to" if False else turn[1])
    await closed(page)
    await choose(page, "Resume")
    turn.reverse()
    await their_turn(page, turn[0])
    await page.keyboard.press("t")
    await go_to(page, "Another amount")
    await page.keyboard.type("1:00")
    await choose(page, "Add")
    await expect(page.get_by_role("dialog").get_by_text("1:00").first).to_be_visible()
    await page.keyboard.press("Escape")
    await closed(page)
    version = (await api.get(session_id))["version"]
    await page.keyboard.press("u")
    await choose(page, "Take back")
    await closed(page)
    await api.reaches(session_id, version + 1)
    await choose(page, "Menu", "Complete the session …", "Complete")
    await closed(page)
    await expect(page.get_by_role("button", name="Rematch", exact=True).locator("visible=true")).to_be_visible()
    await tour(page)
    await nothing_lost(page)
    await page.keyboard.press("r")
    await choose(page, "Rematch, sides swapped")
    await page.wait_for_url(lambda url: session_id not in url)
    await expect(half(page, "Ben")).to_contain_text("Begins")
    await page.keyboard.press("Space")
    await their_turn(page, "Ben")
    await expect(press(page, "Anna")).to_be_disabled()
