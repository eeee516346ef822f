"""An agenda: made from pasted lines, gone through, late by so much; what its leader shows on the screens."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import Console, zone_where_it_is

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE = 60_000
ITEMS = {"Welcome": 5, "Anna": 10, "Break": 15, "Closing": 5}


async def agenda(api: Api, *, late_min: float = 0, **config: Any) -> State:
    """An agenda that should have begun some minutes ago."""
    ids = [str(uuid.uuid4()) for _ in ITEMS]
    now = (await api.game())["server_time_ms"]
    lengths = [each * MINUTE for each in ITEMS.values()]
    return await api.create(
        sync_mode="per_participant",
        time_control={"kind": "fischer", "overtime_ms": 86_400_000},
        action_on_timeout={"type": "notify"},
        participants=[
            {"participant_id": one, "total_time_ms": length} for one, length in zip(ids, lengths, strict=True)
        ],
        metadata={
            "title": "Club day",
            "names": dict(zip(ids, ITEMS, strict=True)),
            "agenda": {
                "plan_ms": dict(zip(ids, lengths, strict=True)),
                "starts_at_ms": int(now - late_min * MINUTE),
            },
        },
        **config,
    )


def item(page: Page, name: str) -> Any:
    """The line of an item."""
    return page.get_by_role("list", name="Items of the agenda").get_by_role("listitem").filter(has_text=name)


async def test_an_agenda_is_pasted_scheduled_and_begins(api: Api, console: Console) -> None:
    visitor = await console.visitor(
        viewport={"width": 1280, "height": 760}, timezone_id=zone_where_it_is(10), locale="en-GB"
    )
    page = await visitor.open(f"{console.service}/#new")
    await page.get_by_role("link", name="Agenda").click()
    lines = page.get_by_label("Items, one a line")
    await page.get_by_role("button", name="Create agenda").click()
    await expect(page.get_by_text("Enter at least one line")).to_be_visible()
    await lines.fill("Welcome 5\nAnna 10:00\nBreak\nClosing 5")
    await expect(
        page.get_by_text("Line 3: “Break” has no length at its end, such as 15 min").first
    ).to_be_visible()
    await page.get_by_role("button", name="Create agenda").click()
    await expect(lines).to_be_focused()
    await expect(lines).to_have_attribute("aria-invalid", "true")
    await lines.fill("Welcome 5\nAnna 10:00\nBreak 15 min\nClosing 5")
    await page.get_by_label("Starts by itself at").fill("2031-03-01T10:00:00")
    table = page.get_by_role("table", name="The agenda so far")
    await expect(table.get_by_role("row").nth(3)).to_contain_text(re.compile("Break.*15 min.*10:15"))
    await expect(page.get_by_text("4 items, 35 min in all, until 10:35")).to_be_visible()
    await page.get_by_label("Starts by itself at").fill("")
    await page.get_by_label("Title (optional)").fill("Club day")
    await page.get_by_role("button", name="Create agenda").click()

    view = page.get_by_role("region", name="Agenda")
    await expect(view).to_contain_text("1 of 4")
    await expect(view).to_contain_text("Next: Anna, 10 min")
    session_id = page.url.rsplit("/", 1)[1]
    made = await api.get(session_id)
    assert [each["total_time_ms"] // MINUTE for each in made["participants"]] == [5, 10, 15, 5]
    assert (made["action_on_timeout"]["type"], made["metadata"]["title"]) == ("notify", "Club day")
    assert list(made["metadata"]["names"].values()) == list(ITEMS)

    # A start that is set is the plan's: it stands at each item before it begins.
    await api.ask(
        "PATCH", f"/v1/sessions/{session_id}/schedule", {"starts_at_ms": made["server_time_ms"] + 620_000}
    )
    await expect(view).to_contain_text(re.compile(r"Starts in (10|9):\d\d"))
    await expect(item(page, "Break")).to_contain_text(re.compile(r"\d\d:\d\d~\d\d:\d\d"))
    await page.keyboard.press("Space")
    await expect(view).to_contain_text("10 min ahead")


async def test_an_agenda_is_gone_through_and_says_what_runs_late(api: Api, console: Console) -> None:
    made = await agenda(api, late_min=3.7)
    session_id = made["session_id"]
    ids = [each["participant_id"] for each in made["participants"]]
    page = await console.open(f"/s/{session_id}", viewport={"width": 1280, "height": 760}, locale="en-GB")
    view = page.get_by_role("region", name="Agenda")
    timer = view.get_by_role("timer")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(view).to_contain_text("4 min late")
    await expect(item(page, "Welcome").locator("[aria-current=true]")).to_be_visible()
    await expect(item(page, "Welcome")).to_contain_text("+4\u2032")
    await expect(page.get_by_role("button", name="Previous")).to_be_disabled()

    # Next: an item that ended early makes up for it.
    await page.get_by_role("button", name="Next", exact=True).click()
    await expect(view).to_contain_text("2 of 4")
    await expect(view).to_contain_text("1 min ahead")
    await expect(timer).to_have_text(re.compile(r"10:00|[89]:\d\d"))
    assert (await api.get(session_id))["active_participant_id"] == ids[1]

    # Back to an item goes on with what it had left, and on again with what the other one had.
    await api.adjust(session_id, ids[1], total_time_ms=3 * MINUTE)
    await page.get_by_role("button", name="Previous").click()
    await expect(view).to_contain_text("1 of 4")
    await expect(timer).to_have_text(re.compile(r"[34]:\d\d"))
    await page.get_by_role("button", name="Next", exact=True).click()
    await expect(timer).to_have_text(re.compile(r"3:00|[12]:\d\d"))

    # In overtime it goes on below zero, and the whole of it gets later.
    await api.adjust(session_id, ids[1], add_ms=-10 * MINUTE)
    await expect(timer).to_have_text(re.compile(r"\u2212\d:\d\d"))
    await expect(view).to_contain_text("Over time")

    # A jump by the list, with a question what to do.
    await item(page, "Closing").get_by_role("button").click()
    await page.get_by_role("dialog", name="Closing").get_by_role("button", name="Go to this item").click()
    await expect(view).to_contain_text("4 of 4")
    await expect(view).to_contain_text("The last item")

    # In a pause one can move as well, and nothing runs.
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(view).to_contain_text("Paused")
    await page.get_by_role("button", name="Previous").click()
    await expect(view).to_contain_text("3 of 4")
    state = await api.get(session_id)
    assert (state["status"], state["active_participant_id"]) == ("paused", ids[2])
    await page.get_by_role("button", name="Resume", exact=True).click()
    await page.keyboard.press("n")
    await expect(view).to_contain_text("4 of 4")
    # After the last item nothing begins again: it is finished.
    await page.get_by_role("button", name="Finish").click()
    await page.get_by_role("dialog").get_by_role("button", name="Complete", exact=True).click()
    await expect(view).to_contain_text("Completed")
    assert (await api.get(session_id))["status"] == "completed"


async def test_the_leader_shows_a_message_and_a_blackout_on_the_screens(api: Api, console: Console) -> None:
    made = await agenda(api)
    session_id = made["session_id"]
    await api.do(session_id, "start")
    visitor = await console.visitor(viewport={"width": 1280, "height": 760})
    page = await visitor.open(f"{console.service}/s/{session_id}")
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Speaker\u2019s screen").click()
    address = await page.get_by_label("Link", exact=True).input_value()
    await page.get_by_role("button", name="Close").click()
    assert address.endswith(f"/s/{session_id}?view=countdown&screen")
    speaker = await visitor.open(address)
    await expect(speaker.get_by_role("timer")).to_have_text(re.compile(r"[34]:\d\d"))
    await expect(speaker.get_by_text("Welcome")).to_be_visible()
    await expect(speaker.get_by_role("button")).to_have_count(0)
    await speaker.keyboard.press("n")
    await speaker.keyboard.press("Space")

    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Message to the screens").click()
    dialog = page.get_by_role("dialog", name="Message to the screens")
    await dialog.get_by_role("button", name="Show it").click()
    await expect(dialog.get_by_text("Enter a message")).to_be_visible()
    await dialog.get_by_label("Message", exact=True).fill("Two more minutes")
    await dialog.get_by_role("button", name="Show it").click()
    message = speaker.get_by_role("status").filter(has_text="Two more minutes")
    await expect(message).to_be_visible()
    watching = await visitor.open(f"{console.service}/s/{session_id}?watch")
    await expect(watching.get_by_text("Welcome").locator("visible=true").first).to_be_visible()
    said = watching.get_by_role("status").filter(has_text="Two more minutes")
    await expect(said).to_be_hidden()  # it is for the speaker
    # The clock stays in sight above it.
    clock, words = await speaker.get_by_role("timer").bounding_box(), await message.bounding_box()
    assert clock is not None
    assert words is not None
    assert clock["y"] + clock["height"] <= words["y"] + 1
    sign = page.get_by_role("region", name="On the screens")
    await expect(sign).to_contain_text("Two more minutes")
    await expect(page.locator(".overlay-message")).to_be_hidden()

    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Black out the screens").click()
    await expect(speaker.get_by_role("region", name="The screen is black")).to_be_visible()
    black = await speaker.locator(".overlay-black").bounding_box()
    assert black == {"x": 0, "y": 0, "width": 1280, "height": 760}
    await expect(message).to_be_hidden()
    bare = await visitor.open(f"{console.service}/s/{session_id}?bare")
    await expect(bare.get_by_role("region", name="The screen is black")).to_be_visible()
    await page.reload()
    await expect(sign).to_contain_text("The screens are black")
    await sign.get_by_role("button", name="Light the screens again").click()
    await expect(message).to_be_visible()
    await expect(bare.get_by_role("region", name="The screen is black")).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Message to the screens").click()
    await dialog.get_by_role("radio", name="All screens and players").check()
    await dialog.get_by_role("button", name="Show it").click()
    await expect(said).to_be_visible()
    await expect(bare.get_by_text("Two more minutes")).to_be_hidden()
    await sign.get_by_role("button", name="Take it away").click()
    await expect(message).to_be_hidden()
    await expect(said).to_be_hidden()
    await expect(sign).to_be_hidden()
    state = await api.get(session_id)
    assert not {"message", "blackout"} & state["metadata"].keys()
    assert state["active_participant_id"] == made["participants"][0]["participant_id"], (
        "a screen changes nothing"
    )


async def test_an_agenda_that_is_reset_is_not_late_against_its_old_start(api: Api, console: Console) -> None:
    made = await agenda(api, late_min=7 * 24 * 60)
    session_id = made["session_id"]
    await api.do(session_id, "start")
    page = await console.open(f"/s/{session_id}", viewport={"width": 1280, "height": 760}, locale="en-GB")
    view = page.get_by_role("region", name="Agenda")
    await expect(view).to_contain_text("7 days late")
    await api.do(session_id, "complete")
    await page.get_by_role("button", name="Same again", exact=True).locator("visible=true").click()
    await page.get_by_role("dialog").get_by_role("button", name="Reset this session").click()
    await page.get_by_role("dialog", name="Reset the session?").get_by_role("button", name="Reset").click()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(item(page, "Welcome").locator("[aria-current=true]")).to_be_visible()
    await expect(view).not_to_contain_text("late")
