"""What comes after the end: a rematch that everybody is led to, a reset, the end of it all."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import Console, half, press, their_turn

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def final(api: Api) -> tuple[State, str, str]:
    """Anna's game with five minutes against Ben with four, which is running. Returns it and their ids."""
    anna, ben = (str(uuid.uuid4()) for _ in range(2))
    made = await api.create(
        sync_mode="per_participant",
        participants=[
            {"participant_id": anna, "total_time_ms": 300_000},
            {"participant_id": ben, "total_time_ms": 240_000},
        ],
        increment_ms=2000,
        warnings_ms=[30_000],
        max_pauses=3,
        metadata={"title": "Final", "names": {anna: "Anna", ben: "Ben"}, "tags": ["club"]},
    )
    await api.do(made["session_id"], "start")
    await api.do(made["session_id"], "switch")
    return made, anna, ben


async def flag_falls(api: Api, session_id: str) -> None:
    """The clock of whoever is on runs out."""
    active = (await api.get(session_id))["active_participant_id"]
    await api.adjust(session_id, active, total_time_ms=0)


async def rematch(page: Page, which: str) -> None:
    """Asks for a rematch."""
    await page.get_by_role("button", name="Rematch", exact=True).locator("visible=true").click()
    await page.get_by_role("dialog").get_by_role("button", name=which).click()


def elsewhere(session_id: str) -> re.Pattern[str]:
    """The address of another session."""
    return re.compile(rf"/s/(?!{session_id})[0-9a-f-]{{36}}")


async def test_a_rematch_with_sides_swapped_is_led_to_by_every_open_page(api: Api, console: Console) -> None:
    made, anna, ben = await final(api)
    session_id = made["session_id"]
    arbiter = await console.open(f"/s/{session_id}")
    player = await console.open(f"/s/{session_id}?as={ben}&view=board")
    stays = await console.open(f"/s/{session_id}?watch")
    overlay = await console.open(f"/s/{session_id}?bare&clock=all")
    await expect(player.get_by_role("region", name="Board")).to_be_visible()
    await flag_falls(api, session_id)
    await expect(stays.get_by_role("alert").filter(has_text="Time is up for Ben.")).to_be_attached()
    await expect(player.get_by_role("button", name="Rematch")).to_be_hidden()
    await arbiter.keyboard.press("r")
    choices = arbiter.get_by_role("dialog", name="Rematch")
    await expect(choices).to_contain_text("Ben begins.")
    await choices.get_by_role("button", name="Rematch, sides swapped").click()
    await stays.get_by_role("button", name="Stay here").click()
    await arbiter.wait_for_url(elsewhere(session_id))
    next_id = arbiter.url.rpartition("/")[2]
    await player.wait_for_url(f"{api.url}/s/{next_id}?as={ben}&view=board")
    await overlay.wait_for_url(f"{api.url}/s/{next_id}?bare&clock=all")
    await expect(half(arbiter, "Ben")).to_contain_text("Begins")
    state = await api.get(next_id)
    assert [(each["participant_id"], each["total_time_ms"]) for each in state["participants"]] == [
        (ben, 240_000),
        (anna, 300_000),
    ], "the order is turned, and everybody keeps the own time"
    kept = ("sync_mode", "increment_ms", "warnings_ms", "max_pauses", "metadata", "time_control")
    assert {name: state[name] for name in kept} == {name: made[name] for name in kept}
    assert (await api.get(session_id))["metadata"]["next_session"] == next_id

    # Whoever comes later to the old address is offered the rematch, and may look at the old one.
    assert session_id in stays.url
    await expect(stays.get_by_role("button", name="To the rematch")).to_be_visible()
    await stays.reload()
    await stays.get_by_role("button", name="To the rematch").click()
    await stays.wait_for_url(f"{api.url}/s/{next_id}?watch")
    # The player is still only that in the rematch.
    await expect(player.get_by_role("button", name="Start", exact=True)).to_be_hidden()


async def test_two_who_ask_at_the_same_moment_make_one_rematch(api: Api, console: Console) -> None:
    session_id = (await final(api))[0]["session_id"]
    visitors = [await console.visitor() for _ in range(2)]
    for visitor in visitors:
        # Whoever asks while the rematch is being made is told so, and asks again under the same key.
        visitor.forgive(r"status of 409 .*/v1/sessions\b")
    pages = [await visitor.open(f"{api.url}/s/{session_id}") for visitor in visitors]
    for page in pages:
        await their_turn(page, "Ben")
    await flag_falls(api, session_id)
    for page in pages:
        await page.get_by_role("button", name="Rematch", exact=True).click()
        await expect(page.get_by_role("dialog", name="Rematch")).to_be_visible()
    wanted = ("Rematch, same sides", "Rematch, sides swapped")
    await asyncio.gather(
        *(
            page.get_by_role("dialog").get_by_role("button", name=name).click()
            for page, name in zip(pages, wanted, strict=True)
        )
    )
    for page in pages:
        await page.wait_for_url(elsewhere(session_id))
    assert pages[0].url == pages[1].url


async def test_after_a_wrong_flag_it_is_reopened_reset_and_deleted(api: Api, console: Console) -> None:
    made, _, ben = await final(api)
    session_id = made["session_id"]
    arbiter = await console.open(f"/s/{session_id}")
    watching = await console.open(f"/s/{session_id}?watch")
    await their_turn(arbiter, "Ben")
    await flag_falls(api, session_id)
    await expect(arbiter.get_by_role("button", name="Reopen", exact=True)).to_be_visible()
    await arbiter.keyboard.press("o")
    await arbiter.get_by_role("dialog").get_by_role("button", name="Reopen").click()
    await expect(press(arbiter, "Ben")).to_have_accessible_name("Ben, on the move: paused")
    await api.adjust(session_id, ben, total_time_ms=60_000)
    # What an arbiter needs in a pause is at hand.
    await arbiter.get_by_role("button", name="Whose turn", exact=True).click()
    await arbiter.get_by_role("dialog").get_by_role("button", name="Anna", exact=True).click()
    await expect(press(arbiter, "Anna")).to_have_accessible_name("Anna, on the move: paused")
    await arbiter.keyboard.press("w")
    await arbiter.get_by_role("dialog").get_by_role("button", name="Ben", exact=True).click()
    await expect(press(arbiter, "Ben")).to_have_accessible_name("Ben, on the move: paused")
    await arbiter.get_by_role("button", name="Take back", exact=True).click()
    dialog = arbiter.get_by_role("dialog", name="Take back turns")
    await dialog.get_by_role("button", name="Keep them").click()

    await api.do(session_id, "complete")
    await arbiter.get_by_role("button", name="Rematch", exact=True).click()
    await arbiter.get_by_role("dialog").get_by_role("button", name="Reset this session").click()
    await arbiter.get_by_role("dialog", name="Reset the session?").get_by_role("button", name="Reset").click()
    await expect(half(watching, "Anna").get_by_role("timer")).to_have_text("5:00")
    await arbiter.get_by_role("button", name="Menu").locator("visible=true").click()
    await arbiter.get_by_role("dialog").get_by_role("button", name="Delete the session …").click()
    question = arbiter.get_by_role("dialog", name="Delete the session?")
    await question.get_by_role("button", name="Delete", exact=True).click()
    for page in (arbiter, watching):
        await expect(page.get_by_role("heading", level=1, name="This session was deleted")).to_be_visible()
