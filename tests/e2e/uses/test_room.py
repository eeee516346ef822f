"""A room's page, as an arbiter uses it: boards from pairings, all clocks, one action for many."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt
import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.e2e.backend import Api
from tests.e2e.browser import Invite
from tests.e2e.console import WITHOUT_A_LIST, Console, drawn_code, read_face, their_turn
from tests.e2e.states import resize
from tests.support.audit_service import Audited, Machines, audited, machines
from tests.support.pool import Pool
from tests.support.qr import library_code

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of this test, 32 bytes or more"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def there(pool: Pool) -> Machines:
    """What a service with an audit store needs."""
    return machines(pool, "valkey", "embedded")


@asynccontextmanager
async def a_service(there: Machines, **settings: str) -> AsyncIterator[Audited]:
    """A service with an audit store that stores everything as it happens."""
    database = await asyncio.to_thread(there.postgres.database)
    async with audited(there.server, there.rq, database, **settings) as made:

        async def store() -> None:
            while True:
                await made.archived()
                await asyncio.sleep(0.05)

        storing = asyncio.create_task(store())
        try:
            yield made
        finally:
            storing.cancel()
            with suppress(asyncio.CancelledError):
                await storing


def board(page: Page, number: int) -> Locator:
    """The card of a board."""
    return (
        page.get_by_role("list", name="Boards")
        .get_by_role("listitem")
        .filter(has=page.get_by_role("heading", name=re.compile(rf"^{number}\b")))
    )


def row(card: Locator, name: str) -> Locator:
    """The line of a player on a card."""
    return card.get_by_role("listitem").filter(has_text=name)


async def numbers(page: Page) -> list[str]:
    """The numbers of the boards that are shown, in their order."""
    return await page.locator(".board:not([hidden]) .board-number").all_text_contents()


async def tagged(api: Api, tag: str, number: int, *names: str, **config: Any) -> dict[str, Any]:
    """A game of a room."""
    ids = [str(uuid.uuid4()) for _ in names]
    return await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 600_000} for each in ids],
        metadata={"names": dict(zip(ids, names, strict=True)), "tags": [tag], "board": number},
        **config,
    )


async def test_boards_are_made_from_pairings_and_led_together(there: Machines, invite: Invite) -> None:
    async with a_service(there) as made:
        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url) as api:
            visitor = await Console(invite, url).visitor(viewport={"width": 1280, "height": 760})
            visitor.forgive(r"net::ERR_FAILED", r"Failed to load resource")
            page = await visitor.open(url)
            await page.get_by_role("button", name="Room …").click()
            await page.get_by_label("Name", exact=True).fill("Club Night")
            await page.get_by_role("button", name="Open", exact=True).click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("club-night")
            await expect(page.get_by_label("Language").get_by_role("option", name="Deutsch")).to_have_count(1)
            await page.get_by_role("link", name="New boards …").first.click()

            # A line that cannot be read is named, and nothing can be made.
            pairings = page.get_by_label("Pairings")
            await pairings.fill("board,white,black,time\n1,Anna,Ben,\n2,Cleo,,\n")
            await expect(page.get_by_text("Line 3: the second name is missing")).to_be_visible()
            await expect(page.get_by_role("button", name="Make boards")).to_be_disabled()
            await pairings.fill("board,white,black,time\n1,Anna,Ben,\n2,Cleo,Dan,ten\n")
            await expect(page.get_by_text("Line 3: “ten” cannot be read as a time control")).to_be_visible()
            await pairings.fill(
                'board,white,black,time\n1,Anna,Ben,\n2,Cleo,"Dan, Jr.",10+5\n3,Eva,Finn,\n4,Gus,bye,\n'
            )
            await expect(page.get_by_role("row")).to_have_count(4)
            await expect(page.get_by_role("row").nth(2)).to_have_text("2CleoDan, Jr.10+5")
            await expect(page.get_by_text("Gus has a bye, and so no board")).to_be_visible()

            # An answer that is lost on the way makes no board twice.
            lost: list[str] = []

            async def lose_one(route: Route) -> None:
                if route.request.method == "POST" and not lost:
                    reply = await route.fetch()
                    lost.append((await reply.json())["data"]["session_id"])
                    await route.abort()
                else:
                    await route.continue_()

            await page.route("**/v1/sessions", lose_one)
            await page.get_by_role("button", name="Make 3 boards").click()
            await expect(page.get_by_text("3 boards were made")).to_be_visible()
            assert lost
            await page.get_by_role("link", name="To the boards").click()
            await expect(board(page, 3)).to_contain_text("Eva")
            assert await numbers(page) == ["1", "2", "3"]
            listed = (await api.ask("GET", "/v1/sessions?tag=club-night&participants=true"))["sessions"]
            by_board = {each["metadata"]["board"]: each for each in listed}
            assert len(listed) == 3
            assert lost[0] in {each["session_id"] for each in listed}
            assert by_board[2]["time_control"]["notation"] == "10+5"
            names = by_board[1]["metadata"]["names"]
            assert [names[each["participant_id"]] for each in by_board[1]["participants"]] == ["Anna", "Ben"]

            # All begin at once, and both clocks of each are shown as the server has them.
            await page.get_by_role("button", name="Start 3").click()
            await page.get_by_role("button", name="Start 3 boards").click()
            await expect(page.get_by_text("Started: 3 of 3")).to_be_visible()
            first = by_board[1]["session_id"]
            anna = by_board[1]["participants"][0]["participant_id"]
            await expect(row(board(page, 1), "Anna")).to_contain_text("on the move")
            await api.do(first, "switch")
            await expect(row(board(page, 1), "Ben")).to_contain_text("on the move")
            shown = page.locator(".board-row[data-mark=running] .board-time [aria-hidden]").first
            await expect(shown).to_have_text(re.compile(r"2:5\d"))
            before = await api.get(first)
            least, most = read_face(await shown.text_content() or "")
            after = await api.get(first)
            assert after["time_remaining_ms"] - 250 <= most
            assert least <= before["time_remaining_ms"] + 250

            # Who is out of time stands out, in words as well.
            await api.adjust(first, by_board[1]["participants"][1]["participant_id"], total_time_ms=400)
            await expect(row(board(page, 1), "Ben")).to_contain_text("out of time")
            await expect(board(page, 1)).to_contain_text("Time is up")
            assert anna in (await api.get(first))["metadata"]["names"]

            # Filter, search, order; and boards of others appear by themselves.
            await page.get_by_label(re.compile("^Time is up")).check(force=True)
            await expect(page.locator(".board:not([hidden])")).to_have_count(1)
            await page.get_by_label(re.compile("^All")).check(force=True)
            await page.get_by_label("Find a name").fill("finn")
            await expect(page.locator(".board:not([hidden])")).to_have_count(1)
            await page.get_by_label("Find a name").fill("")
            await api.adjust(
                by_board[3]["session_id"],
                by_board[3]["participants"][0]["participant_id"],
                total_time_ms=60_000,
            )
            await tagged(api, "club-night", 4, "Gus", "Hana")
            await expect(board(page, 4)).to_contain_text("Not started")
            await page.get_by_label("Order").select_option("time")
            assert await numbers(page) == ["3", "2", "4", "1"]

            # An action says for whom it worked and for whom not, and why.
            held: asyncio.Queue[Route] = asyncio.Queue()
            await page.route("**/v1/sessions?tag=*", held.put)
            first_held = await held.get()
            await api.do(by_board[3]["session_id"], "complete")
            await page.get_by_role("button", name="Pause 2").click()
            await expect(page.get_by_text("Paused: 1 of 2")).to_be_visible()
            account = page.locator(".acting-account")
            await expect(account.get_by_role("listitem")).to_have_count(1)
            await expect(account.get_by_role("listitem")).to_contain_text(
                re.compile("^3: Eva . Finn . Its state is: Completed.$")
            )
            await page.unroute("**/v1/sessions?tag=*")
            await first_held.continue_()
            await expect(board(page, 3)).to_contain_text("Completed")
            assert (await api.get(by_board[2]["session_id"]))["status"] == "paused"

            # Time for the selected ones, with the reason on record.
            await page.get_by_role("checkbox", name=re.compile("^Select 2 Cleo")).check()
            await page.get_by_role("button", name="Give time … 1").click()
            await page.get_by_label("Time", exact=True).fill("2:00")
            await page.get_by_label("Reason (optional)").fill("The hall was dark")
            await page.get_by_role("button", name="Give it to 1 board").click()
            await expect(page.get_by_text("Time given: 1 of 1")).to_be_visible()
            given = [
                each
                for each in await api.events(by_board[2]["session_id"])
                if each["payload"]["event"] == "time.adjusted"
            ]
            assert [each["payload"]["adjust_reason"] for each in given] == ["The hall was dark"] * 2

            # Back from a session leads to the same boards.
            await page.get_by_label(re.compile("^Paused")).check(force=True)
            await board(page, 2).get_by_role("link").click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text("Cleo")
            await page.go_back()
            await expect(page.get_by_label(re.compile("^Paused"))).to_be_checked()
            await expect(page.locator(".board:not([hidden])")).to_have_count(1)
            await page.context.close()  # before the service stops


def token(*roles: str) -> str:
    """A token of the club."""
    claims = {"sub": roles[0], "tenant": "club", "roles": list(roles), "exp": time.time() + 3600}
    return jwt.encode(claims, SECRET, "HS256")


async def test_players_and_watchers_get_links_and_codes_and_a_viewer_no_buttons(
    there: Machines, invite: Invite
) -> None:
    async with a_service(there, AUTH_MODE="jwt", JWT_SECRET=SECRET) as made:
        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url, token("service")) as api:
            games = [await tagged(api, "final", each, f"White {each}", f"Black {each}") for each in (1, 2)]
            await tagged(api, "other", 9, "Somebody", "Else")
            console = Console(invite, url)
            page = await console.open(f"/room/final#token={token('service')}", **PHONE)
            await expect(board(page, 2)).to_contain_text("White 2")
            await expect(page.get_by_text("Somebody")).to_have_count(0)
            await page.get_by_role("link", name="Links and codes …").click()
            await expect(page.locator(".sheet-cell")).to_have_count(0)
            await page.get_by_role("button", name="Make 6 links").click()
            cells = page.locator(".sheet-cell")
            await expect(cells).to_have_count(6)
            await expect(cells.first).to_contain_text("Board 1")
            await expect(cells.first).to_contain_text("White 1")
            address = await cells.first.get_by_role("link").get_attribute("href")
            assert address is not None
            assert "#token=" in address
            assert "#token=" not in (await cells.first.text_content() or ""), (
                "a secret is on the sheet as a code only"
            )
            code = await drawn_code(cells.first.get_by_role("img"))
            assert code == library_code(address, code)
            # On paper there are the codes and nothing else, so many on a page.
            await page.get_by_label("Codes on a page").select_option("2")
            await expect(page.locator(".sheet-page")).to_have_count(3)
            await page.emulate_media(media="print")
            await expect(page.get_by_role("button", name="Print")).to_be_hidden()
            await expect(page.locator("header.bar")).to_be_hidden()
            await expect(cells.last).to_be_visible()
            # A player's link plays as that player.
            await api.do(games[0]["session_id"], "start")
            player = await console.open(address.removeprefix(url))
            await their_turn(player, "White 1")
            await expect(player.get_by_role("button", name="Pause")).to_have_count(0)
            # Who may only read sees the clocks, and can do nothing to them.
            viewer = await console.open(f"/room/final#token={token('viewer')}")
            await expect(row(board(viewer, 1), "White 1")).to_contain_text("on the move")
            for name in ("Start", "Pause", "Give time", "Select"):
                await expect(viewer.get_by_role("button", name=name)).to_have_count(0)
            await expect(viewer.get_by_role("checkbox")).to_have_count(0)
            await expect(viewer.get_by_role("link", name="New boards …")).to_have_count(0)
            for each in (page, player, viewer):
                await each.context.close()  # before the service stops


async def test_the_sheet_has_all_boards_that_were_made_and_keeps_its_links(
    there: Machines, invite: Invite
) -> None:
    """The list has a session only when its audit is stored, and that may be long after it was made."""
    database = await asyncio.to_thread(there.postgres.database)
    async with audited(there.server, there.rq, database, AUTH_MODE="jwt", JWT_SECRET=SECRET) as made:
        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url, token("service")) as api:
            page = await Console(invite, url).open(f"/room/late#token={token('service')}")
            await page.get_by_role("link", name="New boards …").first.click()
            await page.get_by_label("Pairings").fill("Anna - Ben\nCleo - Dan\nEva - Finn\nGus - Hana")
            await page.get_by_role("button", name="Make 4 boards").click()
            await expect(page.get_by_text("4 boards were made")).to_be_visible()
            await page.locator(".make-account").get_by_role("link", name="Links and codes …").click()
            await expect(page.locator(".sheet-tools").get_by_text("All 4 boards")).to_be_visible()
            await page.get_by_role("button", name="Make 12 links").click()
            links = page.locator(".sheet-cell").get_by_role("link")  # each is drawn a moment after its cell
            await expect(links).to_have_count(12)
            addresses = "links => links.map((link) => link.href)"
            first = await links.evaluate_all(addresses)

            # There and back: the same links, and none to make, also once the list has the boards.
            await page.locator(".sheet-tools").get_by_role("link", name="Back").click()
            await expect(board(page, 4)).to_contain_text("Gus")
            await made.archived()
            async with page.expect_response(re.compile("tag=late")) as answer:
                pass
            assert len((await (await answer.value).json())["data"]["sessions"]) == 4
            assert await numbers(page) == ["1", "2", "3", "4"]
            await page.get_by_role("link", name="Links and codes …").click()
            await expect(links).to_have_count(12)
            assert await links.evaluate_all(addresses) == first
            await expect(page.get_by_role("button", name=re.compile("^Make"))).to_be_hidden()

            # A board that comes while the sheet is shown gets links of its own.
            await tagged(api, "late", 5, "Ida", "Jon")
            await made.archived()
            await page.get_by_role("button", name="Make 3 links").click()
            await expect(links).to_have_count(15)
            assert (await links.evaluate_all(addresses))[:12] == first
            # Another choice shows others, and the way back from it those that were made.
            await page.get_by_label("Watching").uncheck()
            await expect(links).to_have_count(10)
            await page.get_by_label("Watching").check()
            await expect(links).to_have_count(15)
            await page.context.close()  # before the service stops


async def test_a_card_shows_what_is_played_now_and_of_an_exam_the_row_that_finishes_next(
    there: Machines, invite: Invite
) -> None:
    async with a_service(there) as made:
        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url) as api:
            game = await tagged(api, "hall", 1, "Anna", "Ben")
            exam = await api.create(
                sync_mode="global",
                total_time_ms=75 * 60_000,
                participants=[{"participant_id": str(uuid.uuid4())}],
                metadata={
                    "title": "Latin",
                    "tags": ["hall"],
                    "board": 2,
                    "exam": {"base_ms": 3_600_000, "extra": [25]},
                },
            )
            page = await Console(invite, url).open("/room/hall", viewport={"width": 1024, "height": 768})
            await expect(board(page, 2)).to_contain_text("Normal time")
            await expect(row(board(page, 2), "Normal time").locator("[aria-hidden]").last).to_have_text(
                "1:00:00"
            )
            await api.do(exam["session_id"], "start")
            await api.ask("PATCH", f"/v1/sessions/{exam['session_id']}/clock", {"total_time_ms": 600_000})
            await expect(row(board(page, 2), "+25%")).to_contain_text("on the move")

            # A rematch takes the place of the game that is over.
            await api.do(game["session_id"], "start")
            await api.do(game["session_id"], "complete")
            await expect(board(page, 1)).to_contain_text("Completed")
            rematch = await tagged(api, "hall", 1, "Ben", "Anna")
            await expect(page.locator(".board:not(.skeleton)")).to_have_count(3)
            patch = {"metadata": {"next_session": rematch["session_id"]}}
            await api.ask("PATCH", f"/v1/sessions/{game['session_id']}/metadata", patch)
            await expect(page.locator(".board:not(.skeleton)")).to_have_count(2)
            await expect(board(page, 1)).to_contain_text("Not started")
            await page.context.close()  # before the service stops


async def test_without_a_list_a_room_has_what_this_browser_made(api: Api, console: Console) -> None:
    """And sixty boards fit on every screen."""
    visitor = await console.visitor(viewport={"width": 390, "height": 844})
    visitor.forgive(WITHOUT_A_LIST, r"status of 503")
    page = await visitor.open(f"{api.url}/room/sixty#make")
    await page.get_by_label("Pairings").fill("\n".join(f"Anna {each} - Ben {each}" for each in range(60)))
    await page.get_by_role("button", name="Make 60 boards").click()
    await expect(page.get_by_text("60 boards were made")).to_be_visible()
    await page.get_by_role("link", name="To the boards").click()
    await expect(page.locator(".board:not(.skeleton)")).to_have_count(60)
    await expect(page.get_by_text("Only boards that this browser knows are shown")).to_be_visible()
    for width, height in ((390, 844), (844, 390), (1024, 768), (1920, 1080)):
        await resize(page, width, height)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        sides = await page.locator(".board").evaluate_all(
            "cards => cards.map((card) => [card.scrollWidth, card.clientWidth])"
        )
        assert all(inner <= outer + 1 for inner, outer in sides), (width, sides)
    cards = await page.get_by_role("list", name="Boards").bounding_box()
    assert cards is not None
    assert cards["height"] <= 840, "a wall of 1080 shows all sixty at once, below the tools"
    # Few boards share the whole of it, and no state's word is cut.
    digits = page.locator(".board:visible .board-time").first
    small = await digits.evaluate("time => parseFloat(getComputedStyle(time).fontSize)")
    await page.get_by_label("Find a name").fill("Anna 1")
    await expect(page.locator(".board:not([hidden])")).to_have_count(15)
    cards = await page.get_by_role("list", name="Boards").bounding_box()
    assert cards is not None
    assert cards["height"] > 700
    assert cards["y"] + cards["height"] <= 1080
    assert await digits.evaluate("time => parseFloat(getComputedStyle(time).fontSize)") > 1.5 * small
    cut = "pills => pills.filter((pill) => pill.scrollWidth > pill.clientWidth + 1).length"
    assert await page.locator(".board:visible .pill").evaluate_all(cut) == 0
