"""The page of recipes: its JavaScript in a browser, and what the console shows of each use."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, async_playwright, expect

from synckairos.client import SyncKairos
from tests.e2e import browser as browsers
from tests.e2e.browser import PATIENCE_S, Visitor
from tests.recipes.conftest import PAGE, SERVICE, block, recipe, server_now
from tests.support.listening import listening
from tests.support.live import Service, settings
from tests.support.live import service as running
from tests.support.pages import ROOT
from tests.support.pages import Page as Markdown
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHOUT_CORS = r"/v1/time\b"
"""While there is no socket, a page asks for the time in vain."""

OpenPage = Callable[[str, str], Awaitable[Page]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = browsers.chromium()
    if path is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=[*browsers.ARGUMENTS])
        yield running
        await running.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing is said."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The origin of one's own pages, which are the files in `tmp_path`."""
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser, service: Service, elsewhere: str) -> AsyncIterator[Visitor]:
    """Somebody with a browser, in whose pages nothing may go wrong."""
    context = await browser.new_context()
    hosts = {f"127.0.0.1:{service.port}", elsewhere.removeprefix("http://")}
    someone = Visitor(context, frozenset(hosts))
    someone.forgive(WITHOUT_CORS)
    yield someone
    await context.close()
    someone.check()


@pytest_asyncio.fixture(loop_scope="module")
async def own_page(visitor: Visitor, service: Service, elsewhere: str, tmp_path: Path) -> OpenPage:
    """Opens a page of one's own that has the module of a recipe beside it."""

    async def open_page(title: str, html: str) -> Page:
        module = block(title, "js").replace(SERVICE, f"http://127.0.0.1:{service.port}")
        (tmp_path / "recipe.js").write_text(module)
        (tmp_path / "page.html").write_text(
            f'<!doctype html><link rel="icon" href="data:,"><title>…</title>{html}'
        )
        return await visitor.open(f"{elsewhere}/page.html")

    return open_page


async def test_a_page_shows_the_clocks_of_a_game(own_page: OpenPage, client: SyncKairos) -> None:
    chess = recipe("Chess")
    async with client.session(await chess.new_game(client, "Anna", "Ben")) as session:
        white, black = (player.participant_id for player in session.state.participants)
        page = await own_page("Chess", '<p id="one">?<p id="other">?')
        await page.evaluate(
            """async ([game, white, black]) => {
              const { showClocks } = await import("/recipe.js");
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


async def test_a_page_shows_a_lot_and_that_it_was_prolonged(own_page: OpenPage, client: SyncKairos) -> None:
    auction = recipe("Auction")
    async with client.session(await auction.new_lot(client, "A chair")) as session:
        lot = auction.Lot(session)
        page = await own_page("Auction", '<p id="face">?<p><button disabled>Bid</button>')
        await page.evaluate(
            """async (id) => {
              const { showLot } = await import("/recipe.js");
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


@pytest_asyncio.fixture(loop_scope="module", params=["a file", "another server"])
async def tour_page(
    request: pytest.FixtureRequest, visitor: Visitor, redis: Server, elsewhere: str, tmp_path: Path
) -> AsyncIterator[str]:
    """Where README.md's page is, as a file and elsewhere, with a service that lists this origin."""
    (text,) = (each.text for each in Markdown(ROOT / "README.md").blocks if each.language == "html")
    assert len(text.splitlines()) <= 25
    file = tmp_path / "clocks.html"
    as_file = request.param == "a file"
    async with running(settings(redis.url, ALLOWED_ORIGINS="null" if as_file else elsewhere)) as service:
        visitor.hosts |= {f"127.0.0.1:{service.port}"}
        file.write_text(text.replace(SERVICE, f"http://127.0.0.1:{service.port}"))
        yield file.as_uri() if as_file else f"{elsewhere}/{file.name}"
        await visitor.leave()


async def test_the_page_of_the_tour_shows_two_clocks_that_are_tapped(
    visitor: Visitor, client: SyncKairos, tour_page: str
) -> None:
    """The one in README.md, with the setting that it names."""
    where = tour_page
    assert "ALLOWED_ORIGINS=null make run" in (ROOT / "README.md").read_text()
    visitor.forgive("favicon.ico", "file:///")
    chess = recipe("Chess")
    async with client.session(await chess.new_game(client, "Anna", "Ben")) as session:
        await session.start()
        one, other = [await visitor.open(f"{where}#{session.id}") for _ in range(2)]
        for page in (one, other):
            await expect(page.locator("button")).to_have_text([re.compile(r"^1[78]\d\.\d$")] * 2)
            await expect(page.locator("button.running")).to_have_count(1)
            await expect(page.locator("button").first).to_have_class("running")
        await one.locator("button").last.click()  # out of turn
        await one.locator("button").first.click()
        for page in (one, other):
            await expect(page.locator("button").last).to_have_class("running")
        assert session.state.cycle_count == 1
        await other.locator("button").last.click()
        for page in (one, other):
            await expect(page.locator("button").first).to_have_class("running")
        assert [change.event for change in await session.events(2)] == ["cycle.switched"] * 2


async def test_the_first_clicks_of_the_readme_make_clocks_run(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    visitor.forgive("503")  # without a database there is no list of sessions
    paragraphs = Markdown(ROOT / "README.md").text.split("\n\n")
    clicks = next(each for each in paragraphs if each.startswith("Open http"))
    names = re.findall("\u201c([^\u201d]+)\u201d", clicks.replace("\n", " "))
    assert len(names) == 3
    page = await visitor.open(f"http://127.0.0.1:{service.port}/")
    for name in names:
        await page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).first.click()
    await page.wait_for_url("**/s/*")
    session_id = page.url.rpartition("/")[2]
    await page.locator(".clock button").first.click()
    await expect(page.locator('#app[data-status="running"]')).to_be_visible()
    assert (await client.get(session_id)).status == "running"


CALLS = """async (service) => {
  const { SyncKairos } = await import(`${service}/synckairos.js`);
  const client = new SyncKairos();
  const participants = [{ participant_id: "10000000-0000-4000-8000-000000000000" }];
  const { session_id } = await client.create({ preset: "exam", participants });
  await client.session(session_id).start();
  return session_id;
}"""


@pytest.mark.parametrize("allowed", [True, False])
async def test_pages_of_other_origins_make_calls_where_the_settings_say_so(
    visitor: Visitor, redis: Server, elsewhere: str, tmp_path: Path, allowed: bool
) -> None:
    (tmp_path / "page.html").write_text('<!doctype html><link rel="icon" href="data:,"><title>A shop</title>')
    origin = elsewhere if allowed else "https://shop.example"
    chosen = settings(redis.url, ENABLE_CORS="true", ALLOWED_ORIGINS=origin)
    async with running(chosen) as service:
        visitor.hosts |= {f"127.0.0.1:{service.port}"}
        page = await visitor.open(f"{elsewhere}/page.html")
        call = page.evaluate(CALLS, f"http://127.0.0.1:{service.port}")
        if allowed:
            assert (await service.sessions.get(await call)).status == "running"
        else:
            visitor.forgive("CORS policy", "ERR_FAILED")
            with pytest.raises(Error, match=r"CONNECTION|NETWORK|reached"):
                await call
        await visitor.leave()


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
            begin = await server_now(client) + 60_000
            made = (await recipe(title).new_exam(client, "Maths", {"Anna": 60}, begin, begin + 7_200_000))[
                "Anna"
            ]
        case "Days instead of minutes":
            made = await recipe(title).new_game(client, "Anna", "Ben")
        case "Debate":
            made = await recipe(title).new_debate(client, "Homework", ["Anna", "Ben"])
        case "Meeting":
            made = await recipe(title).new_meeting(client, "Board", {"Budget": 20, "Dates": 5})
        case "Speedrun":
            made = await recipe(title).new_run(client, "Dungeon", "Anna")
    return made


SHOWN: dict[str, tuple[str, list[str | re.Pattern[str]]]] = {
    "Chess": ("clock", ["Anna", "Ben"]),
    "Days instead of minutes": ("board", ["Anna \u2013 Ben", "Anna", "Ben", re.compile("^2 d 23:")]),
    "Quiz": ("countdown", ["Capitals", "Question 1", "Question 2"]),
    "Auction": ("countdown", ["A chair"]),
    "Team contest": ("board", ["Relay", "Red", "Rosa", "Blue", "Bea", "then 3"]),
    "Exam": ("countdown", ["Maths: Anna"]),
    "Meeting": ("board", ["Board", "Budget", "Dates", "5:00"]),
    "Debate": ("countdown", ["Homework", "Anna", "Ben"]),
    "Speedrun": ("stopwatch", ["Dungeon", "Lap"]),
}


@pytest.mark.parametrize("title", SHOWN)
async def test_the_console_shows_what_the_recipe_made(
    visitor: Visitor, service: Service, client: SyncKairos, title: str
) -> None:
    view, texts = SHOWN[title]
    assert f"/s/<id>?view={view}" in PAGE.text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    session_id = await create(client, title)
    if (await client.get(session_id)).status == "pending":
        await client.handle(session_id).start()
    page = await visitor.open(f"http://127.0.0.1:{service.port}/s/{session_id}?view={view}")
    await expect(page.locator(f'#app[data-view="{view}"][data-status="running"]')).to_be_visible()
    for text in texts:
        await expect(page.locator("#app").get_by_text(text).locator("visible=true").first).to_be_visible()


async def test_a_link_for_one_player_presses_that_clock_and_no_other(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    async with client.session(await create(client, "Chess")) as session:
        white, black = (player.participant_id for player in session.state.participants)
        await session.start()
        page = await visitor.open(f"http://127.0.0.1:{service.port}/s/{session.id}?view=clock&as={black}")
        halves = page.locator(".half")
        await expect(halves).to_have_count(2)
        await page.locator(f'.half[data-owner="{white}"]').click()
        await session.switch(current=white)
        await expect(page.get_by_role("button", name="Ben, on the move")).to_be_enabled()
        await page.locator(f'.half[data-owner="{black}"]').click()
        async with asyncio.timeout(PATIENCE_S):
            while session.state.active_participant_id != white:
                await asyncio.sleep(0.01)
        assert session.state.cycle_count == 2


async def test_an_item_that_runs_over_is_shown_below_zero(
    visitor: Visitor, service: Service, client: SyncKairos
) -> None:
    async with client.session(await create(client, "Meeting")) as session:
        await session.start()
        await session.set(session.state.active_participant_id, 0)
        page = await visitor.open(f"http://127.0.0.1:{service.port}/s/{session.id}?view=countdown")
        await expect(page.get_by_text(re.compile("\u22120:\\d\\d")).first).to_be_visible(
            timeout=1000 * PATIENCE_S
        )
