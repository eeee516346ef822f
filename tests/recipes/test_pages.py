"""The page of recipes: its JavaScript in a browser, and what the console shows of each use."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from synckairos.client import SyncKairos
from tests.e2e import browser as browsers
from tests.e2e.browser import PATIENCE_S, Visitor
from tests.live import Service
from tests.recipes.conftest import PAGE, SERVICE, block, recipe

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = "http://shop.test"
"""The origin of one's own page."""
CLOCKS = """<!doctype html><title>Chess</title><link rel="icon" href="data:,"><p id="one">?<p id="other">?"""
LOT = """<!doctype html><title>Lot</title><link rel="icon" href="data:,"><p id="face">?<button disabled>Bid</button>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = browsers.chromium()
    if path is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=[*browsers.ARGUMENTS])
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser, service: Service) -> AsyncIterator[Visitor]:
    """Somebody with a browser, in whose pages nothing may go wrong."""
    context = await browser.new_context()
    someone = Visitor(context, frozenset({f"127.0.0.1:{service.port}", "shop.test"}))
    yield someone
    await context.close()
    someone.check()


async def own_page(visitor: Visitor, service: Service, title: str, html: str) -> Page:
    """A page of one's own, at an origin of its own, with the module of a recipe."""
    module = block(title, "js").replace(SERVICE, f"http://127.0.0.1:{service.port}")

    async def answer(route: Any) -> None:
        if route.request.url.endswith(".js"):
            await route.fulfill(body=module, content_type="text/javascript")
        else:
            await route.fulfill(body=html, content_type="text/html")

    await visitor.context.route(f"{ELSEWHERE}/**", answer)
    return await visitor.open(f"{ELSEWHERE}/")


async def test_a_page_shows_the_clocks_of_a_game(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    chess = recipe("Chess")
    async with client.session(await chess.new_game(client, "Anna", "Ben")) as session:
        white, black = (player.participant_id for player in session.state.participants)
        page = await own_page(visitor, service, "Chess", CLOCKS)
        await page.evaluate(
            """async ([game, white, black]) => {
              const { showClocks } = await import("/chess.js");
              const element = (id) => document.getElementById(id);
              showClocks(game, { [white]: element("one"), [black]: element("other") });
            }""",
            [session.id, white, black],
        )
        one, other = page.locator("#one"), page.locator("#other")
        await expect(one).to_have_text("3:00")
        await expect(other).to_have_text("3:00")
        await expect(one).not_to_have_class(re.compile("running"))
        await session.start()
        await expect(one).to_have_class(re.compile("running"))
        await expect(one).to_have_text(re.compile(r"2:5\d"))
        await chess.move(session, white)
        await expect(other).to_have_class(re.compile("running"))
        await expect(one).not_to_have_class(re.compile("running"))
        await session.set(black, 100)
        await expect(other).to_have_class("fallen")
        await expect(other).to_have_text("0:00")


async def test_a_page_shows_a_lot_and_that_it_was_prolonged(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    auction = recipe("Auction")
    async with client.session(await auction.new_lot(client, "A chair")) as session:
        lot = auction.Lot(client, session)
        page = await own_page(visitor, service, "Auction", LOT)
        await page.evaluate(
            """async (id) => {
              const { showLot } = await import("/auction.js");
              const [face, button] = [document.getElementById("face"), document.querySelector("button")];
              showLot(id, face, button, (ms) => { document.title = `+${ms}`; });
            }""",
            session.id,
        )
        face, button = page.locator("#face"), page.locator("button")
        await expect(face).to_have_text("30.0")
        await expect(button).to_be_disabled()
        await session.start()
        await expect(button).to_be_enabled()
        assert await lot.bid("Anna", 10)
        await session.set(None, 9_000)
        await expect(face).to_have_text(re.compile(r"\d\.\d"))
        assert await lot.bid("Ben", 11)
        await expect(page).to_have_title("+10000")
        await session.set(None, 50)
        await expect(face).to_have_text("0.0")
        await expect(button).to_be_disabled()


async def create(client: SyncKairos, title: str) -> str:
    """A session as the recipe makes it."""
    made: str
    match title:
        case "Chess":
            made = await recipe(title).new_game(client, "Anna", "Ben")
        case "Quiz":
            made = await recipe(title).new_quiz(client, "Capitals", 3)
        case "Auction":
            made = await recipe(title).new_lot(client, "A chair")
        case "Team contest":
            made = await recipe(title).new_contest(client, "Relay", {"Red": ["Rosa"], "Blue": ["Bea"]})
        case "Exam":
            made = (await recipe(title).new_exam(client, "Maths", {"Anna": 60}))["Anna"]
        case "Meeting":
            made = await recipe(title).new_meeting(client, "Board", {"Budget": 20, "Dates": 5})
        case "Speedrun":
            made = await recipe(title).new_run(client, "Dungeon", "Anna")
    return made


SHOWN = {
    "Chess": ("clock", ["Anna – Ben", "Anna", "Ben"]),
    "Quiz": ("countdown", ["Capitals", "Question 1", "Question 2"]),
    "Auction": ("countdown", ["A chair"]),
    "Team contest": ("board", ["Relay", "Red", "Rosa", "Blue", "Bea", "3 ×"]),
    "Exam": ("countdown", ["Maths: Anna"]),
    "Meeting": ("board", ["Board", "Budget", "Dates", "20:00", "5:00"]),
    "Speedrun": ("stopwatch", ["Dungeon", "Lap"]),
}


@pytest.mark.parametrize("title", SHOWN)
async def test_the_console_shows_what_the_recipe_made(
    visitor: Visitor, service: Service, client: SyncKairos, title: str
) -> None:
    view, texts = SHOWN[title]
    assert f"/s/<id>?view={view}" in PAGE.text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    session_id = await create(client, title)
    await client.request("POST", f"/v1/sessions/{session_id}/start")
    page = await visitor.open(f"http://127.0.0.1:{service.port}/s/{session_id}?view={view}")
    await expect(page.locator(f'#app[data-view="{view}"][data-status="running"]')).to_be_visible()
    for text in texts:
        await expect(page.locator("#app").get_by_text(text).locator("visible=true").first).to_be_visible()


async def test_an_item_that_runs_over_is_shown_below_zero(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    async with client.session(await create(client, "Meeting")) as session:
        await session.start()
        await session.set(session.state.active_participant_id, 0)
        page = await visitor.open(f"http://127.0.0.1:{service.port}/s/{session.id}?view=countdown")
        await expect(page.get_by_text(re.compile("−0:0[1-9]")).first).to_be_visible(timeout=1000 * PATIENCE_S)
