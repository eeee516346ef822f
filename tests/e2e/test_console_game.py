"""A game on the console, from the list to its end."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import (
    WITHOUT_A_LIST,
    Console,
    announced,
    frames,
    half,
    press,
    right,
    ten_frames,
    their_turn,
)
from tests.e2e.states import still

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def chess(api: Api, seconds: float = 60, **config: object) -> State:
    """Anna and Ben's game."""
    players = [str(uuid.uuid4()) for _ in range(2)]
    return await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": int(1000 * seconds)} for each in players],
        metadata={"names": dict(zip(players, ("Anna", "Ben"), strict=True))},
        **config,
    )


def players_of(game: State) -> dict[str, str]:
    """The players' names by id."""
    names: dict[str, str] = game["metadata"]["names"]
    return names


async def colour(page: Page, name: str) -> str:
    """The colour of a half, once it has changed to it."""
    await still(page)
    found: str = await half(page, name).evaluate("(each) => getComputedStyle(each).backgroundColor")
    return found


async def test_a_game_from_a_preset_to_its_end(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/")
    await page.get_by_role("link", name="New session").first.click()
    await expect(page.locator("#list-view")).to_be_hidden()  # it may have a link to the same clock
    await page.get_by_role("link", name="Blitz 3+2").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Blitz 3+2")
    await page.get_by_label("Name of participant 1").fill("Anna")
    await page.get_by_label("Name of participant 2").fill("Ben")
    await page.get_by_role("button", name="Create session").click()
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    session_id = page.url.rpartition("/")[2]
    await expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Anna . Ben"))
    await expect(half(page, "Anna").get_by_role("timer")).to_have_text("3:00")
    created = await api.get(session_id)
    assert created["status"] == "pending"
    assert created["time_control"] == {"kind": "fischer", "increment_ms": 2000, "notation": "3+2"}

    await page.get_by_role("button", name="Start", exact=True).click()
    await their_turn(page, "Anna")
    await press(page, "Anna").click()
    await their_turn(page, "Ben")
    await expect(press(page, "Anna")).to_be_disabled()
    await press(page, "Ben").click()
    await expect(press(page, "Anna")).to_be_enabled()
    await expect(half(page, "Anna")).to_contain_text("1 move")
    assert (await api.get(session_id))["cycle_count"] == 2
    assert await announced(page) == [], "nothing of this is for a screen reader to interrupt with"
    calm = await colour(page, "Anna")

    await page.get_by_role("button", name="Give or take time").click()
    dialog = page.get_by_role("dialog", name="Give or take time")
    await expect(dialog.get_by_label("Whose clock")).to_have_value(
        created["participants"][0]["participant_id"]
    )
    await dialog.get_by_label("Another amount").fill("3 s")
    await dialog.get_by_label("Reason").fill("time trouble")
    await dialog.get_by_role("button", name="Set to this").click()
    await dialog.get_by_role("button", name="Close").click()
    await expect(half(page, "Anna")).not_to_have_css("background-color", calm)
    await expect(half(page, "Anna").get_by_role("timer")).to_have_text(re.compile(r"^0:0\d\.\d$"))

    await expect(page.get_by_role("alert")).to_have_text("Time is up for Anna. Ben wins.")
    await expect(half(page, "Anna").get_by_role("timer")).to_have_text(re.compile(r"^0:00(\.0)?$"))
    await expect(half(page, "Anna")).to_contain_text("Out of time")
    await expect(half(page, "Ben")).to_contain_text("Wins")
    assert (await announced(page)).count("Time is up for Anna. Ben wins.") == 1
    state = await api.get(session_id)
    assert state["status"] == "expired"
    assert (await api.events(session_id))[-2]["payload"]["adjust_reason"] == "time trouble"


async def test_two_devices_show_every_turn_right_within_50_ms(api: Api, console: Console) -> None:
    game = await chess(api, seconds=9.5, increment_ms=500)
    session_id, names = game["session_id"], players_of(game)
    pages = [await console.open(f"/s/{session_id}") for _ in names]
    for page in pages:
        # Measured five times when the page opens, then every 10 to 15 s.
        known = page.get_by_role("button", name=re.compile(r"known to ±1?\d ms"))
        await expect(known).to_be_visible(timeout=60_000)
        await page.evaluate("recordFaces()")
    await api.do(session_id, "start")
    for turn in range(8):
        name = ("Anna", "Ben")[turn % 2]
        button = press(pages[turn % 2], name)
        await expect(button).to_have_accessible_name(f"{name}, on the move: press to end the turn")
        await ten_frames(pages[turn % 2])
        await button.click()
    for page in pages:  # both show the last turn before the clock is set
        await their_turn(page, "Anna")
        await ten_frames(page)
    await api.adjust(session_id, next(iter(names)), total_time_ms=1500)
    for page in pages:
        await expect(page.get_by_role("alert")).to_have_text("Time is up for Anna. Ben wins.")
    events = await api.events(session_id)
    assert len(events) == 1 + 1 + 8 + 1 + 1
    taps = {3, 5, 7, 9}, {4, 6, 8, 10}
    for page, own in zip(pages, taps, strict=True):
        compared = right(await frames(page), events, names, own)
        assert compared == set(range(2, 12)) - own, "all turns that the other device began"
    first, second = [(await frames(page))[-1].faces for page in pages]
    assert first == second
