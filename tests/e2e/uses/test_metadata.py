"""What a leader changes while everybody watches: names, a title and a message, on every page at once."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.async_api import expect

from tests.e2e.backend import Api
from tests.e2e.console import Console, half, press, their_turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE_MS = 60_000


async def test_names_and_a_title_change_under_a_running_clock_and_the_history_says_so(
    api: Api, console: Console
) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    game = await api.create(
        sync_mode="per_participant",
        participants=[{"participant_id": each, "total_time_ms": 5 * MINUTE_MS} for each in (first, second)],
        metadata={"title": "Board 7", "names": {first: "Anna", second: "Ben"}, "view": "clock"},
    )
    session_id = game["session_id"]
    await api.do(session_id, "start")
    page = await console.open(f"/s/{session_id}")
    await their_turn(page, "Anna")
    deadline = (await api.get(session_id))["deadline_ms"]

    async def patch(**metadata: object) -> None:
        await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": metadata})

    await patch(names={second: "Bea"})
    await expect(half(page, "Bea")).to_be_visible()
    await patch(title="Board 8")
    await expect(page).to_have_title(re.compile("Board 8"))
    await their_turn(page, "Anna")
    assert (await api.get(session_id))["deadline_ms"] == deadline
    await press(page, "Anna").click()
    await their_turn(page, "Bea")
    await api.do(session_id, "complete")
    await patch(names={second: None})
    await expect(half(page, "Bea")).to_have_count(0)
    await page.keyboard.press("h")
    lines = page.get_by_role("list", name="Events, newest first")
    await expect(lines).to_contain_text(
        "Details of the session were changed"
    )  # what was there before is not known
    await expect(lines).to_contain_text("The title is now “Board 8”")
    await expect(lines).to_contain_text("Names were changed")
