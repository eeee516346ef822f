"""The buttons of each use: what its preset says that somebody does during the session."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.async_api import expect

from synckairos.presets import LONG, PRESETS
from tests.e2e.backend import Api
from tests.e2e.console import BOUNCE_MS, WITHOUT_A_LIST, Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE_MS = 60_000


async def test_a_bid_gives_time_in_the_last_ten_seconds_only(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(f"{api.url}/#new/auction")
    await page.get_by_role("button", name="Create session").click()
    await page.wait_for_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    session_id = page.url.rpartition("/")[2]
    assert (await api.get(session_id))["metadata"]["preset"] == "auction"
    bid = page.get_by_role("button", name="Bid (+0:10)")
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await expect(bid).to_be_hidden()
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 10 * MINUTE_MS})
    await page.get_by_role("button", name="Start", exact=True).click()
    await bid.click()
    await expect(page.get_by_text("More than 0:10 are left, so no time was added.")).to_be_visible()
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 9_500})
    clock = page.get_by_role("timer").first
    await expect(clock).to_have_text(re.compile(r"^(0:)?0?[5-9]"))
    await page.wait_for_timeout(BOUNCE_MS)
    await page.keyboard.press("b")
    await expect(clock).to_have_text(re.compile(r"^0:1"))
    events = await api.events(session_id)
    given = [each["payload"] for each in events if each["payload"].get("adjust_reason") == "bid"]
    assert [each["adjusted_ms"] for each in given] == [10_000]
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 9_500})
    await expect(clock).to_have_text(re.compile(r"^(0:)?0?[5-9]"))
    await page.wait_for_timeout(BOUNCE_MS)
    await page.keyboard.press("Space")
    await expect(clock).to_have_text(re.compile(r"^0:1"))
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Bid (+0:10)")
    await page.keyboard.press("Escape")
    # Whoever only watches has no such button.
    watching = await visitor.open(f"{api.url}/s/{session_id}?watch")
    await expect(watching.get_by_role("timer")).to_be_visible()
    await expect(watching.get_by_role("button", name="Bid (+0:10)")).to_have_count(0)


async def test_every_preset_with_a_use_has_its_button(api: Api, console: Console) -> None:
    visitor = await console.visitor()
    page = await visitor.open("about:blank")
    for name, preset in PRESETS.items():
        if preset.use is None or name in LONG:
            continue
        people = [{"participant_id": str(uuid.uuid4())} for _ in range(3)]
        named = name == "speedrun"  # its config says no more than that it counts up
        made = await api.create(
            preset=name, participants=people, **({"metadata": {"preset": name}} if named else {})
        )
        session_id = made["session_id"]
        await api.do(session_id, "start")
        await page.goto(f"{api.url}/s/{session_id}")
        control = page.get_by_role("region", name="What to do").get_by_role(
            "button", name=preset.use.button, exact=True
        )
        await expect(control).to_be_visible()
        await control.click()
        await api.reaches(session_id, 2 if name == "auction" else 3)
        payload = (await api.events(session_id))[-1]["payload"]
        if preset.use.method == "POST":
            assert (payload["event"], payload["cycle_count"]) == ("cycle.switched", 1), name
        elif name != "auction":
            assert payload["adjusted_ms"] == preset.use.body["add_ms"], name
            assert payload["adjust_reason"] == preset.use.body["reason"], name
    # A stopwatch that nobody made from the preset has laps.
    made = await api.create(sync_mode="count_up", participants=[{"participant_id": str(uuid.uuid4())}])
    await api.do(made["session_id"], "start")
    await page.goto(f"{api.url}/s/{made['session_id']}")
    await expect(page.get_by_role("button", name="Lap", exact=True)).to_be_visible()
