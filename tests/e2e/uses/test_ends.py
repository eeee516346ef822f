"""The end of a game on a phone: what it is, who won and why, and how many moves were made."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import Console, half

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPRIGHT, LYING = {"width": 390, "height": 844}, {"width": 844, "height": 390}
PHONE: dict[str, Any] = {"viewport": UPRIGHT, "has_touch": True, "is_mobile": True}

BLANK = """() => [...document.querySelectorAll('button, a')].filter((each) => {
  const box = each.getBoundingClientRect();
  if (box.width === 0 || each.matches('.press') || each.closest('[hidden]')) return false;
  const signs = [...each.querySelectorAll('svg, img, .dot')];
  const drawn = signs.some((part) => part.getBoundingClientRect().width > 6);
  const range = document.createRange();
  const written = [...each.querySelectorAll('*'), each].some((part) => [...part.childNodes].some((node) => {
    if (node.nodeType !== 3 || node.data.trim() === '') return false;
    range.selectNodeContents(node);
    return range.getBoundingClientRect().width > 4 && getComputedStyle(part).clipPath === 'none';
  }));
  return !drawn && !written;
}).map((each) => each.outerHTML)"""

CUT = """() => [...document.querySelectorAll('.half-face > *, .half-middle > *')].filter((each) => {
  const part = each.getBoundingClientRect();
  const whole = each.closest('.half').getBoundingClientRect();
  return part.width > 0 && (part.left < whole.left - 1 || part.right > whole.right + 1
    || part.top < whole.top - 1 || part.bottom > whole.bottom + 1);
}).map((each) => each.textContent)"""


async def game(api: Api, turns: int, **more: Any) -> tuple[str, list[str]]:
    """A game of Anna and Ben in which so many turns were ended, and the ids of both."""
    ids = [str(uuid.uuid4()) for _ in range(2)]
    made = await api.create(
        preset="blitz",
        participants=[{"participant_id": each} for each in ids],
        metadata={"names": dict(zip(ids, ("Anna", "Ben"), strict=True))},
        **more,
    )
    await api.do(made["session_id"], "start")
    for _ in range(turns):
        await api.do(made["session_id"], "switch")
    return made["session_id"], ids


async def says(page: Page, **texts: str) -> None:
    """Waits until each half says this, however the phone is held, and no button is blank and no word cut."""
    for viewport in (UPRIGHT, LYING):
        await page.set_viewport_size({"width": viewport["width"], "height": viewport["height"]})
        for name, text in texts.items():
            middle = half(page, name).locator(".half-middle")
            await expect(middle).to_have_text(re.compile(text, re.DOTALL))
        main = page.locator("#controls").locator("button, a").and_(page.locator(".main:visible"))
        await expect(main).to_have_count(1)
        await expect(main).to_have_accessible_name(re.compile("Rematch|New session"))
        assert await page.evaluate(BLANK) == []
        assert await page.evaluate(CUT) == []


async def moves(page: Page, anna: int, ben: int) -> None:
    """Waits until the halves say how many moves were made."""
    for name, count in (("Anna", anna), ("Ben", ben)):
        text = f"{count} move" if count == 1 else f"{count} moves"
        await expect(half(page, name).locator(".half-count")).to_have_text(text)


async def test_a_game_that_is_over_says_how_it_ended_who_won_and_why(api: Api, console: Console) -> None:
    visitor = await console.visitor(**PHONE)
    session_id, ids = await game(api, 10)
    page = await visitor.open(f"{api.url}/s/{session_id}")
    await moves(page, 5, 5)
    await api.adjust(session_id, ids[0], total_time_ms=200)
    await says(page, Anna="0:00.*Out of time.*Ben wins", Ben="Wins.*Anna is out of time")
    await expect(page).to_have_title("Anna is out of time · Anna \u2013 Ben")
    await moves(page, 5, 5)  # the one under way at the end is none
    await page.reload()
    await says(page, Anna="0:00.*Out of time.*Ben wins", Ben="Wins.*Anna is out of time")
    await moves(page, 5, 5)

    done, _ = await game(api, 21)
    await page.goto(f"{api.url}/s/{done}")
    await moves(page, 11, 10)
    await api.do(done, "complete")
    await says(page, Anna="Completed.*It was ended by hand", Ben="Completed.*It was ended by hand")
    await moves(page, 11, 10)
    await page.reload()  # a page that comes later counts the same
    await moves(page, 11, 10)
    await says(page, Anna="Completed.*It was ended by hand", Ben="Completed.*It was ended by hand")

    called_off, _ = await game(api, 0)
    await page.goto(f"{api.url}/s/{called_off}")
    await moves(page, 0, 0)
    await api.do(called_off, "cancel")
    await says(page, Anna="Cancelled.*called off", Ben="Cancelled.*called off")
    await moves(page, 0, 0)

    limited, _ = await game(api, 1, max_cycles=2)
    await page.goto(f"{api.url}/s/{limited}")
    await api.do(limited, "switch")
    await says(page, Anna="Completed.*That was the last turn", Ben="Completed.*That was the last turn")
    await moves(page, 1, 1)


async def test_a_turn_that_the_flag_cut_short_is_no_move_after_reopening(api: Api, console: Console) -> None:
    visitor = await console.visitor(**PHONE)
    session_id, ids = await game(api, 4)
    page = await visitor.open(f"{api.url}/s/{session_id}")
    await moves(page, 2, 2)
    await api.adjust(session_id, ids[0], total_time_ms=60)
    await page.wait_for_selector("#app[data-status=expired]")
    await api.do(session_id, "reopen")
    await page.wait_for_selector("#app[data-status=paused]")
    await moves(page, 2, 2)
    # The clock has to have time before it can go on, so the button for that is at hand.
    time = page.get_by_role("region", name="What to do").get_by_role("button", name="Give or take time")
    await expect(time).to_be_visible()
    await page.set_viewport_size({"width": 320, "height": 568})
    await expect(time).to_be_in_viewport(ratio=1)
    await page.set_viewport_size({"width": UPRIGHT["width"], "height": UPRIGHT["height"]})
    await api.adjust(session_id, ids[0], total_time_ms=60_000)
    await expect(time).to_be_hidden()
    await api.do(session_id, "resume")
    await api.do(session_id, "switch")
    await moves(page, 3, 2)
    await page.reload()
    await moves(page, 3, 2)


async def test_a_game_that_was_completed_at_once_has_no_moves_anywhere(api: Api, console: Console) -> None:
    session_id, _ = await game(api, 0)
    await api.do(session_id, "complete")
    page = await console.open(f"/s/{session_id}?view=board", viewport={"width": 1280, "height": 760})
    board = page.get_by_role("region", name="Board")
    for name in ("Anna", "Ben"):
        await expect(board.get_by_role("button").filter(has_text=name)).to_contain_text("0 turns")
    await expect(board).to_contain_text("It was ended by hand.")
    await page.get_by_role("button", name="History").click()
    turns = (
        page.get_by_role("dialog", name="History")
        .get_by_role("row")
        .filter(has_text="Anna")
        .get_by_role("cell")
    )
    await expect(turns.first).to_have_text("0")
    await page.keyboard.press("Escape")
    await page.get_by_role("radio", name="Wall countdown").check()
    await expect(page.get_by_role("region", name="Countdown")).to_contain_text("Completed")
    await expect(page.get_by_role("region", name="Countdown")).to_contain_text("It was ended by hand.")
