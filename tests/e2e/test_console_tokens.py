"""The console where everybody needs a token: links for people without an account, roles, tokens that end."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import jwt
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, Request, expect

from tests.e2e.backend import Api, State
from tests.e2e.browser import NETWORK_IS_GONE, PATIENCE_S, Invite
from tests.e2e.console import WITHOUT_A_LIST, Console, drawn_code, half, press, their_turn
from tests.support import live
from tests.support.live import eventually
from tests.support.proxy import Proxy
from tests.support.qr import library_code
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of this test, 32 bytes or more"
REFUSED = r"status of 401 "
"""Chromium's message when the service does not take a token over HTTP."""
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SCHEMES: tuple[tuple[Literal["light", "dark"], bool], ...] = (("light", True), ("dark", False))
CONTRASTS = (Path(__file__).parent / "pages" / "contrasts.js").read_text()


def token(*roles: str, sub: str = "teacher", for_s: float = 3600) -> str:
    """A JWT of somebody in the club, good for so many seconds."""
    claims = {"sub": sub, "tenant": "club", "roles": list(roles), "exp": time.time() + for_s}
    return jwt.encode(claims, SECRET, "HS256")


TEACHER = token("service")
"""Somebody who may make sessions and links. What an admin does is put on record, which needs a database."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(valkey: Server) -> AsyncIterator[live.Service]:
    """A service that wants a token from everybody."""
    async with live.service(
        live.settings(valkey.url, AUTH_MODE="jwt", JWT_SECRET=SECRET, JWT_LEEWAY_S="0")
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def club(guarded: live.Service) -> AsyncIterator[Api]:
    """The club's backend."""
    async with Api(f"http://127.0.0.1:{guarded.port}", TEACHER) as opened:
        yield opened


@pytest.fixture
def pages(invite: Invite, club: Api) -> Console:
    """Opens pages of the service that wants tokens."""
    return Console(invite, club.url)


async def final(club: Api, **config: Any) -> State:
    """A game of Anna and Ben."""
    anna, ben = (str(uuid.uuid4()) for _ in range(2))
    return await club.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 600_000} for each in (anna, ben)],
        metadata={"title": "Final", "names": {anna: "Anna", ben: "Ben"}},
        **config,
    )


async def link(club: Api, session_id: str, **wanted: Any) -> str:
    """The address of a link that the backend makes."""
    made = await club.ask("POST", f"/v1/sessions/{session_id}/links", wanted)
    return f"{club.url}{made['url']}"


def secret_of(address: str) -> str:
    """The token in a link."""
    return address.rpartition("#token=")[2]


async def make_link(page: Page, role: str, participant: str | None = None) -> str:
    """Makes a link in the page's dialog, and returns its address."""
    await page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog", name="Share this session")
    await dialog.get_by_role("radio", name=re.compile(f"^{role}")).check()
    if participant is not None:
        await dialog.get_by_label("Participant", exact=True).select_option(participant)
    await dialog.get_by_role("button", name="Make a link").click()
    address = await dialog.get_by_label("Link", exact=True).input_value()
    await expect(dialog.get_by_role("button", name=re.compile("^Take back"))).to_have_count(1)
    return address


class Traffic:
    """Everything that the tabs of a browser context send and get by HTTP, but for `Authorization`."""

    def __init__(self, context: BrowserContext) -> None:
        self._texts: list[str] = []
        self._reading: list[asyncio.Task[None]] = []
        self._over = False
        # An answer that the page does not read never finishes, so the request is looked at when it begins.
        context.on("request", self._begun)
        context.on("requestfinished", self._finished)

    def _begun(self, request: Request) -> None:
        self._texts.append(f"{request.method} {request.url} {request.post_data or ''}")

    def _finished(self, request: Request) -> None:
        if not self._over:
            self._reading.append(asyncio.ensure_future(self._read(request)))

    async def _read(self, request: Request) -> None:
        headers = await request.all_headers()
        headers.pop("authorization", None)
        self._texts.append(json.dumps(headers))
        response = await request.response()
        assert response is not None
        self._texts.append(json.dumps(await response.all_headers()))
        made_a_link = request.method == "POST" and request.url.endswith("/links")
        if response.status != HTTPStatus.NOT_MODIFIED and not made_a_link:
            self._texts.append(await response.text())

    async def read(self) -> None:
        """Reads all answers so far. The browser forgets them when a page is left."""
        await asyncio.gather(*self._reading)

    async def end(self) -> list[str]:
        """Each request's address, headers and body, and its answer's, up to now."""
        self._over = True
        await self.read()
        return self._texts


async def test_a_stranger_plays_by_a_link_whose_token_no_request_shows(
    club: Api, pages: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    game = await final(club)
    session_id = game["session_id"]
    host, guest = await pages.visitor(), await pages.visitor(**PHONE)
    traffic = [Traffic(host.context), Traffic(guest.context)]
    page = await host.open(f"{club.url}/s/{session_id}?view=clock#token={TEACHER}")
    assert page.url == f"{club.url}/s/{session_id}?view=clock"
    address = await make_link(page, "Play as", "Anna")
    assert address.startswith(f"{club.url}/s/{session_id}?view=clock#token=")
    code = page.get_by_role("img", name="QR code of the link")
    rows = await drawn_code(code)
    assert rows == library_code(address, rows)
    await page.keyboard.press("Escape")

    phone = await guest.open(address)
    assert phone.url == f"{club.url}/s/{session_id}?view=clock"
    await expect(half(phone, "Anna")).to_contain_text("Begins")
    await expect(press(phone, "Anna")).to_have_count(0)  # a player does not start a session
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(phone, "Anna")
    await expect(press(phone, "Ben")).to_have_count(0)
    await press(phone, "Anna").click()
    await club.reaches(session_id, 3)
    await expect(press(phone, "Anna")).to_be_disabled()
    await phone.keyboard.press("Space")
    await phone.keyboard.press("n")
    await traffic[1].read()
    await phone.reload()
    await expect(press(phone, "Anna")).to_be_disabled()
    await expect(half(phone, "Ben").get_by_text("Ben: on the move")).to_have_count(1)
    assert (await club.get(session_id))["version"] == 3
    # It goes on to the list of this one session, and back.
    guest.forgive(WITHOUT_A_LIST)
    await traffic[1].read()
    await phone.goto(f"{club.url}/")
    await expect(phone.get_by_role("link", name="Final")).to_be_visible()
    await expect(phone.get_by_role("link", name="New session")).to_be_hidden()
    await expect(phone.get_by_role("button", name=re.compile("^Share"))).to_have_count(0)
    await phone.goto(f"{club.url}/#new/quiz")
    await expect(phone.get_by_text("does not allow new sessions")).to_be_visible()

    texts = [text for each in traffic for text in await each.end()]
    assert len(texts) > 100
    output = capfd.readouterr()
    for secret in (TEACHER, secret_of(address)):
        assert [text for text in texts if secret in text or secret[-40:] in text] == []
        assert secret not in output.out + output.err
        for each in (page, phone):
            assert secret not in await each.evaluate("location.href + document.referrer + document.title")
    for socket in [*host.sockets, *guest.sockets]:
        assert "token" not in socket.url


async def buttons(page: Page) -> set[str]:
    """The names of all buttons that change something: in the view, below it and in the menu."""
    names: set[str] = set()
    view = page.locator("#stage, #controls")
    for each in await view.get_by_role("button").all():
        names.add(await each.get_attribute("aria-label") or await each.text_content() or "")
    await page.get_by_role("button", name="Menu").first.click()
    menu = page.get_by_role("dialog")
    await expect(menu).to_be_visible()
    for each in await menu.locator(".menu").get_by_role("button").all():
        names.add(await each.text_content() or "")
    await page.keyboard.press("Escape")
    await expect(menu).to_have_count(0)
    await page.evaluate("document.activeElement.blur()")  # otherwise the space bar presses the menu's button
    only_here = {"History", "Full screen", "Turn sound on", "Turn sound off", "Keys and help", "Menu"}
    only_here |= {"Show the time used", "Show the time left"}
    return names - only_here - {"Tap to turn sound on", "Sound"}


async def test_each_role_has_the_buttons_for_what_it_may_and_no_others(club: Api, pages: Console) -> None:
    game = await final(club, players_may_pause=True)
    session_id = game["session_id"]
    anna = game["participants"][0]["participant_id"]
    opened = {}
    for role in ("viewer", "player", "moderator"):
        person = {"participant_id": anna} if role == "player" else {}
        opened[role] = await (await pages.visitor()).open(await link(club, session_id, role=role, **person))
        await expect(half(opened[role], "Anna")).to_be_visible()
    viewer, player, moderator = opened.values()
    led = {
        "Give or take time",
        "Start and end …",
        "Complete the session …",
        "Cancel the session …",
        "Reset the session …",
        "Speaker\u2019s screen",
        "Message to the screens",
        "Black out the screens",
    }
    starts = {"Anna: press to start", "Ben: press to start", "Start", "Who begins …"}
    assert [await buttons(each) for each in opened.values()] == [set(), set(), starts | led]
    await moderator.get_by_role("button", name="Start", exact=True).click()
    await their_turn(player, "Anna")
    await expect(half(viewer, "Anna").get_by_text("Anna: on the move")).to_have_count(1)
    await expect(moderator.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    turn = "Anna, on the move: press to end the turn"
    assert [await buttons(each) for each in opened.values()] == [
        set(),
        {turn, "Next turn", "Pause"},
        {"Pause", *led},
    ]
    # Nor has anybody a key for it.
    for key in ("Space", "n", "p", "t", "s", "u"):
        await viewer.keyboard.press(key)
    for key in ("Space", "n"):
        await moderator.keyboard.press(key)
    await moderator.keyboard.press("3")
    await moderator.get_by_role("button", name=re.compile("Ben")).click()
    ben = moderator.get_by_role("dialog", name="Ben")
    await expect(ben.get_by_role("button", name="Remove from the session")).to_be_visible()
    await expect(ben.get_by_role("button", name="Turn to Ben")).to_have_count(0)
    await moderator.keyboard.press("Escape")
    await press(player, "Anna").click()
    await expect(press(player, "Anna")).to_be_disabled()
    await club.reaches(session_id, 3)
    assert await buttons(player) == {"Anna: waits"}
    await player.keyboard.press("p")
    await moderator.get_by_role("button", name="Pause", exact=True).click()
    await expect(moderator.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    await expect(press(player, "Anna")).to_have_accessible_name("Anna: paused")
    await expect(half(viewer, "Ben").get_by_text("Ben, on the move: paused")).to_have_count(1)
    assert (await club.get(session_id))["version"] == 4
    assert await buttons(viewer) == set()
    assert await buttons(player) == {"Anna: paused"}
    for each in (viewer, player):
        await each.keyboard.press("3")
        board = each.get_by_role("region", name="Board")
        await board.get_by_text("Anna", exact=True).click()
        await expect(board.get_by_role("button")).to_have_count(0)
        await expect(each.get_by_role("dialog")).to_have_count(0)


async def test_a_link_that_is_over_says_whom_to_ask(club: Api, pages: Console) -> None:
    session_id = (await final(club))["session_id"]
    host, guest, late = [await pages.visitor() for _ in range(3)]
    brief = await link(club, session_id, role="viewer", expires_in_s=1)
    made_at = time.monotonic()
    page = await host.open(f"{club.url}/s/{session_id}#token={TEACHER}")
    await expect(page.get_by_role("button", name="Share", exact=True)).to_be_visible()
    await eventually(lambda: time.monotonic() > made_at + 1.5)
    watching = await guest.open(await make_link(page, "Watch"))
    await expect(half(watching, "Anna")).to_be_visible()
    dialog = page.get_by_role("dialog", name="Share this session")
    await dialog.get_by_role("button", name=re.compile("^Take back: Watch")).click()
    await expect(dialog.get_by_text("Links that were made")).to_be_hidden()
    await expect(dialog.get_by_label("Link", exact=True)).to_be_hidden()
    over = re.compile("This link is not good any more")
    guest.forgive(REFUSED)
    late.forgive(REFUSED)
    await expect(watching.get_by_role("heading", level=1, name=over)).to_be_visible()
    await expect(watching.get_by_text("Ask the person who sent it to you for a new one.")).to_be_visible()
    for again in (watching, await late.open(brief)):
        await again.reload()
        await expect(again.get_by_role("heading", level=1, name=over)).to_be_visible()
    await watching.goto(f"{club.url}/")
    await expect(watching.get_by_role("heading", name=over)).to_be_visible()
    # A new link, pasted into the same tab, is taken at once.
    await watching.goto(f"{club.url}/s/{session_id}")
    await expect(watching.get_by_role("heading", level=1, name=over)).to_be_visible()
    await watching.goto(await link(club, session_id, role="viewer"))
    await expect(half(watching, "Anna")).to_be_visible()
    assert "#" not in watching.url


async def enter(place: Page | Locator, bearer: str) -> None:
    """Enters a token where the page asks for one."""
    await place.get_by_label("Token", exact=True).fill(bearer)
    await place.get_by_role("button", name="Continue").click()


async def test_without_a_token_each_page_asks_for_one_and_comes_back(club: Api, pages: Console) -> None:
    session_id = (await final(club))["session_id"]
    visitor = await pages.visitor()
    visitor.forgive(REFUSED, WITHOUT_A_LIST)
    page = await visitor.open(f"{club.url}/s/{session_id}?view=board")
    question = page.get_by_role("dialog", name="The service needs a token")
    await enter(question, "nonsense")
    await expect(question.get_by_text("does not accept the last one")).to_be_visible()
    await enter(question, TEACHER)
    await expect(page.get_by_role("region", name="Board")).to_be_visible()
    assert page.url == f"{club.url}/s/{session_id}?view=board"

    fresh = await pages.visitor()
    fresh.forgive(REFUSED, WITHOUT_A_LIST)
    page = await fresh.open(f"{club.url}/")
    await expect(page.get_by_role("heading", name="The service needs a token")).to_be_visible()
    await page.goto(f"{club.url}/#new/quiz")
    await page.get_by_label("Title (optional)").fill("Pub quiz")
    await page.get_by_text("More settings").click()
    await page.get_by_label("Players may choose who is next").check()
    await page.get_by_role("button", name="Create session").click()
    await enter(page.get_by_role("dialog"), token("service"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Pub quiz")
    assert (await club.get(page.url.rpartition("/")[2]))["players_may_choose_next"] is True
    # A link to the list, pasted into the open page.
    page = await fresh.open(f"{club.url}/")
    await expect(page.get_by_role("heading", name="The service needs a token")).to_be_visible()
    await page.evaluate("(token) => { location.hash = `token=${token}`; }", TEACHER)
    await expect(page.get_by_text("opened in this browser")).to_be_visible()
    await expect(page.get_by_role("link", name="New session")).to_be_visible()
    assert page.url == f"{club.url}/"
    # An admin, whom the service cannot put on record.
    fresh.forgive(r"status of 503 .*/v1/sessions")
    page = await fresh.open(f"{club.url}/#token={token('admin')}")
    await page.get_by_role("link", name="New session").click()
    await page.get_by_role("link", name="Bullet 1+0").click()
    await page.get_by_role("button", name="Create session").click()
    await expect(page.get_by_text("“service” may make sessions")).to_be_visible()


async def test_a_token_that_ends_is_replaced_over_the_same_socket(club: Api, pages: Console) -> None:
    session_id = (await final(club))["session_id"]
    visitor = await pages.visitor()
    page = await visitor.open("about:blank")
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(str(text))))
    visitor.forgive(REFUSED)
    await page.goto(f"{club.url}/s/{session_id}")
    await enter(page.get_by_role("dialog"), token("viewer", for_s=25))
    question = page.get_by_role("dialog", name="Your token ends in a moment")
    await expect(question).to_be_visible()
    await expect(page.get_by_role("button", name="Start", exact=True)).to_have_count(0)
    before = len(visitor.sockets)
    newer = token("service")
    await enter(question, newer)
    await expect(question).to_be_hidden()
    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Anna")
    await eventually(lambda: any("AUTH" in each and newer in each for each in sent), 15)
    assert len(visitor.sockets) == before
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_connection_with_another_token_has_the_buttons_of_that_one(
    club: Api, guarded: live.Service, invite: Invite
) -> None:
    session_id = (await final(club))["session_id"]
    async with Proxy(guarded.port) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        visitor = await Console(invite, address).visitor()
        visitor.forgive(*NETWORK_IS_GONE)
        page = await visitor.open(f"{address}/s/{session_id}#token={TEACHER}")
        start = page.get_by_role("button", name="Start", exact=True)
        await expect(start).to_be_visible()
        await page.evaluate("(token) => sessionStorage.setItem('synckairos.token', token)", token("viewer"))
        proxy.cut_all()
        await expect(start).to_be_hidden()
        await expect(press(page, "Anna")).to_have_count(0)
        await page.context.close()


async def nameless_in_dialogs(page: Page) -> list[str]:
    """Controls of an open dialog without a name."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("dialog :is(button, input, select)")]
             .filter((each) => each.checkVisibility() && !each.getAttribute("aria-label")
               && !each.textContent.trim() && !each.labels?.length)
             .map((each) => each.outerHTML)"""
    )
    return found


async def check_looks(page: Page, name: str) -> None:
    """Fails when a text is faint, a control has no name, or something is wider than a small phone."""
    for scheme, is_light in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        async with asyncio.timeout(PATIENCE_S):
            while ((await page.evaluate(CONTRASTS))["page"] > 0.5) is not is_light:
                await asyncio.sleep(0.02)
        await page.evaluate(
            "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
        )
        found = await page.evaluate(CONTRASTS)
        assert found["faint"] == [], (name, scheme)
    assert await nameless_in_dialogs(page) == [], name
    for width in (320, 1280):
        await page.set_viewport_size({"width": width, "height": 700})
        await page.wait_for_function(
            """() => [document.documentElement, ...document.querySelectorAll("dialog")]
                 .every((each) => each.scrollWidth <= each.clientWidth)"""
        )


async def test_links_and_questions_can_be_read_in_light_and_dark_and_on_a_phone(
    club: Api, pages: Console
) -> None:
    session_id = (await final(club))["session_id"]
    visitor = await pages.visitor(reduced_motion="reduce")
    visitor.forgive(REFUSED)
    page = await visitor.open(f"{club.url}/s/{session_id}")
    await expect(page.get_by_role("dialog", name="The service needs a token")).to_be_visible()
    await check_looks(page, "question")
    await enter(page.get_by_role("dialog"), TEACHER)
    await make_link(page, "Play as", "Ben")
    await check_looks(page, "link")
    await page.get_by_role("dialog").get_by_role("button", name="Another link").click()
    await page.get_by_role("dialog").get_by_role("radio", name=re.compile("^Play as")).check()
    await check_looks(page, "form")
    await page.goto(await link(club, session_id, role="viewer"))
    await expect(half(page, "Anna")).to_be_visible()
    await check_looks(page, "viewer")
    await club.ask("DELETE", f"/v1/sessions/{session_id}/links")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link is not good any more")
    await check_looks(page, "over")


async def test_a_page_can_ask_and_connect_to_nobody_else(club: Api, pages: Console, elsewhere: str) -> None:
    visitor = await pages.visitor()
    visitor.forgive("Content Security Policy", "a request to another host", "Refused to connect", REFUSED)
    page = await visitor.open(f"{club.url}/")
    blocked = await page.evaluate(
        """async (elsewhere) => {
             const found = [];
             addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
             await fetch(elsewhere).catch(() => {});
             try { new WebSocket(elsewhere.replace("http", "ws")); } catch {}
             new Image().src = elsewhere;
             await new Promise((resolve) => setTimeout(resolve, 300));
             return found.sort();
           }""",
        elsewhere,
    )
    assert blocked == ["connect-src", "connect-src", "img-src"]


async def test_who_came_by_a_link_is_told_to_ask_for_a_new_one_and_the_leader_is_offered_to_make_it(
    club: Api, pages: Console
) -> None:
    game = await final(club)
    session_id = game["session_id"]
    anna = game["participants"][0]["participant_id"]
    leader = await pages.visitor()
    page = await leader.open(f"{club.url}/s/{session_id}#token={token('service')}")
    guests = [
        await (await pages.visitor()).open(await link(club, session_id, **wanted))
        for wanted in ({"role": "viewer"}, {"role": "player", "participant_id": anna})
    ]
    for each in guests:
        await expect(half(each, "Anna")).to_be_visible()
    await club.do(session_id, "start")
    await club.do(session_id, "complete")
    await page.get_by_role("button", name="Rematch", exact=True).locator("visible=true").click()
    await page.get_by_role("dialog", name="Rematch").get_by_role("button", name="Rematch, same sides").click()
    await page.wait_for_url(lambda url: session_id not in url)
    # Links are one press away, also for whoever comes a minute later.
    offer = page.get_by_text("Links to the session before do not open this one.")
    await expect(offer).to_be_visible()
    for each in guests:
        told = each.get_by_text("ask the person who sent it to you for a new one")
        follow = each.get_by_role("button", name="To the rematch")
        await expect(told).to_be_visible()
        await expect(follow).to_have_count(0)
        await each.keyboard.press("r")
        await each.reload()
        await expect(told).to_be_visible()
        await expect(follow).to_have_count(0)
        await each.get_by_role("button", name="Menu").locator("visible=true").click()
        await expect(each.get_by_role("dialog").get_by_role("button", name="History")).to_be_visible()
        await expect(follow).to_have_count(0)
        assert session_id in each.url
    await page.get_by_role("status").filter(has=offer).get_by_role("button", name="Share").click()
    await expect(page.get_by_role("dialog", name="Share this session")).to_be_visible()
    # The leader, who may see both, is led there from the old page.
    await page.goto(f"{club.url}/s/{session_id}")
    await page.get_by_role("button", name="To the rematch").locator("visible=true").click()
    await page.wait_for_url(lambda url: session_id not in url)
