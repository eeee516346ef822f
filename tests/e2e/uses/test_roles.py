"""A player's page, and one that only watches: what they offer by the address alone, and with tokens."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.browser import Invite
from tests.e2e.console import Console, half, press, their_turn
from tests.support import live
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "a secret of this test, 32 bytes or more"


def token(*roles: str) -> str:
    """A JWT of somebody in the club."""
    claims = {"sub": "teacher", "tenant": "club", "roles": list(roles), "exp": time.time() + 3600}
    return jwt.encode(claims, SECRET, "HS256")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(valkey: Server) -> AsyncIterator[live.Service]:
    """A service that wants a token from everybody."""
    async with live.service(live.settings(valkey.url, AUTH_MODE="jwt", JWT_SECRET=SECRET)) as running:
        yield running


async def club_game(api: Api, *names: str, **config: Any) -> State:
    """A game of these people."""
    ids = [str(uuid.uuid4()) for _ in names]
    return await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 600_000} for each in ids],
        metadata={"title": "Club night", "names": dict(zip(ids, names, strict=True))},
        **config,
    )


async def offered(page: Page) -> list[str]:
    """The names of the buttons and links that can be seen below the clocks, and of those in the menu."""
    controls = page.get_by_role("region", name="What to do").locator("button:visible, a:visible")
    below = [each.strip() for each in await controls.all_inner_texts()]
    await page.get_by_role("button", name="Menu").locator("visible=true").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Keys and help")).to_be_visible()
    inside = [each.strip() for each in await dialog.locator(".menu").locator("button, a").all_inner_texts()]
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    return [each for each in below if each] + inside


OF_EVERYBODY = ["History", "History", "Show the time used", "Turn sound on", "Full screen", "Keys and help"]


async def test_the_page_of_a_player_offers_what_a_player_may_and_nothing_else(
    api: Api, console: Console
) -> None:
    made = await club_game(api, "Anna", "Ben", "Cleo", players_may_pause=True, players_may_choose_next=True)
    session_id, ben = made["session_id"], made["participants"][1]["participant_id"]
    address = f"/s/{session_id}?as={ben}&view=clock"
    visitor = await console.visitor()
    page = await visitor.open(f"{api.url}{address}")
    await expect(half(page, "Ben")).to_contain_text("you")
    assert await offered(page) == OF_EVERYBODY, "a player does not start"
    for key in ("Space", "n", "p", "t", "u", "s", "w", "o", "r", "b"):
        await page.keyboard.press(key)
        await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await api.get(session_id))["version"] == 1

    await api.do(session_id, "start")
    await expect(page.get_by_role("region", name="Anna").get_by_role("timer")).to_be_visible()
    for name in ("Anna", "Cleo"):
        await expect(press(page, name)).to_have_count(0)
    await expect(page.locator("#app")).to_have_attribute("data-status", "running")
    assert await offered(page) == OF_EVERYBODY, "it is not Ben's turn"
    for key in ("Space", "n", "p", "w", "b"):
        await page.keyboard.press(key)
    assert (await api.get(session_id))["version"] == 2
    await api.do(session_id, "switch")
    await their_turn(page, "Ben")
    assert await offered(page) == [
        "Pause", "History", "Next turn", "Choose who is next …", *OF_EVERYBODY[1:]
    ]  # fmt: skip
    await page.keyboard.press("p")
    await expect(half(page, "Ben")).to_contain_text("Paused")
    assert await offered(page) == ["Resume", *OF_EVERYBODY]
    await page.get_by_role("button", name="Resume", exact=True).click()
    await their_turn(page, "Ben")
    await page.keyboard.press("w")
    choice = page.get_by_role("dialog", name="Who is next")
    await expect(choice.locator(".choices").get_by_role("button")).to_have_text(["Anna", "Cleo"])
    await choice.get_by_role("button", name="Anna").click()
    await expect(half(page, "Ben")).not_to_contain_text("Your move")
    await api.reaches(session_id, 6)
    assert (await api.get(session_id))["active_participant_id"] == made["participants"][0]["participant_id"]

    # It stays so, and it is said once, where somebody looks for it.
    await page.reload()
    await expect(half(page, "Ben")).to_contain_text("you")
    await page.get_by_role("button", name="Menu").locator("visible=true").click()
    await expect(page.get_by_role("dialog")).to_contain_text("courtesy, not protection")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="All sessions")).to_be_hidden()
    await page.goto(f"{api.url}/s/{session_id}?watch&view=clock")
    await expect(half(page, "Anna")).to_be_visible()
    assert await offered(page) == OF_EVERYBODY
    await page.keyboard.press("Space")
    await expect(press(page, "Anna")).to_have_count(0)
    # A player who is not in the session has no more than somebody who watches.
    await page.goto(f"{api.url}/s/{session_id}?as={uuid.uuid4()}")
    await expect(page.get_by_text("this page only watches")).to_be_visible()
    assert await offered(page) == OF_EVERYBODY
    # Without it, the same address is the arbiter's, who makes such links.
    await page.goto(f"{api.url}/s/{session_id}?view=clock")
    await their_turn(page, "Anna")
    everything = await offered(page)
    assert {"Pause", "Time", "Share", "Next turn", "Link for one player", "Link to watch"} <= set(everything)
    assert {"Reset the session …", "Cancel the session …", "Delete the session …"} <= set(everything)
    await page.get_by_role("button", name="Menu").locator("visible=true").click()
    await page.get_by_role("dialog").get_by_role("button", name="Link to watch").click()
    link = page.get_by_role("dialog").get_by_label("Link", exact=True)
    await expect(link).to_have_value(f"{api.url}/s/{session_id}?view=clock&watch")


async def test_with_tokens_an_address_gives_no_more_than_they_do(
    guarded: live.Service, invite: Invite
) -> None:
    url = f"http://127.0.0.1:{guarded.port}"
    async with Api(url, token("service")) as api:
        made = await club_game(api, "Anna", "Ben")
        session_id, ben = made["session_id"], made["participants"][1]["participant_id"]
        await api.do(session_id, "start")
        wanted = {"role": "player", "participant_id": ben}
        link = await api.ask("POST", f"/v1/sessions/{session_id}/links", wanted)
        pages = Console(invite, url)
        host, guest = await pages.visitor(), await pages.visitor()
        # Somebody with a token for all, at the address for Ben.
        leader = await host.open(f"{url}/s/{session_id}?as={ben}#token={token('service')}")
        await expect(half(leader, "Ben")).to_contain_text("you")
        assert await offered(leader) == OF_EVERYBODY
        # Ben's own link stays Ben's, whatever the address says.
        path, _, secret = link["url"].partition("#")
        player = await guest.open(f"{url}{path}?as={made['participants'][0]['participant_id']}#{secret}")
        await expect(half(player, "Ben")).to_contain_text("you")
        await leader.goto(f"{url}/s/{session_id}")
        await their_turn(leader, "Anna")
        await leader.keyboard.press("Space")
        await their_turn(player, "Ben")

        # A link is for its session: it does not open the rematch, and the page says whom to ask.
        await api.do(session_id, "complete")
        await leader.get_by_role("button", name="Rematch", exact=True).click()
        await leader.get_by_role("dialog").get_by_role("button", name="Rematch, same sides").click()
        await expect(player.get_by_text("Your link is for this one only")).to_be_visible()
        await expect(leader.get_by_role("button", name="Start", exact=True)).to_be_visible()
        assert session_id not in leader.url
        asked = leader.get_by_role("status").filter(has_text="Links to the session before")
        await asked.get_by_role("button", name="Share").click()
        await expect(leader.get_by_role("dialog", name="Share this session")).to_be_visible()
        assert session_id in player.url
