"""The wall of an exam: read from ten metres, with rows for extra time, announcements, and its pauses."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import Console, zone_where_it_is
from tests.e2e.states import resize

pytestmark = pytest.mark.asyncio(loop_scope="session")

MINUTE = 60_000
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 760}}

FACTS = """() => {
  const sizeOf = (each) => parseFloat(getComputedStyle(each).fontSize);
  const size = (selector) => [...document.querySelectorAll(selector)].map(sizeOf);
  // Whether a text keeps within its cell.
  const inside = (each) => {
    const range = document.createRange();
    range.selectNodeContents(each);
    const [text, box] = [range.getBoundingClientRect(), each.getBoundingClientRect()];
    const isWithin = text.left >= box.left - 1 && text.right <= box.right + 1;
    return isWithin && each.scrollWidth <= each.clientWidth + 1;
  };
  const rows = [...document.querySelectorAll('.exam-row')];
  const boxes = rows.map((each) => each.getBoundingClientRect());
  const news = document.querySelector('.exam-news-box');
  return {
    now: size('.exam-now')[0], left: size('.exam-left'), finish: size('.exam-finish'),
    news: size('.exam-news')[0] ?? 0,
    inside: rows.every((each) => [...each.children].every(inside)),
    apart: boxes.every((box, at) => at === 0 || boxes[at - 1].bottom <= box.top + 1),
    within: rows.every((each) => [...each.children].every((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getBoundingClientRect().height <= each.getBoundingClientRect().height + 1;
    })),
    newsInside: news.hidden || news.scrollHeight <= news.clientHeight + 1,
    beside: document.documentElement.scrollWidth - innerWidth,
  };
}"""


async def exam(api: Api, extra: list[int], minutes: int = 60, **config: Any) -> State:
    """An exam of an hour whose longest row is what its clock runs."""
    base = minutes * MINUTE
    return await api.create(
        sync_mode="global",
        total_time_ms=base * (100 + max(extra, default=0)) // 100,
        participants=[{"participant_id": str(uuid.uuid4())}],
        metadata={"title": "Latin", "view": "exam", "exam": {"base_ms": base, "extra": extra}},
        **config,
    )


async def ms_of(page: Page, row: int) -> tuple[int, str]:
    """What is left in a row, in seconds, and the text of its finish."""
    cells = page.get_by_role("row").nth(row).get_by_role("cell")
    text = await cells.nth(1).text_content()
    parts = [int(each) for each in (text or "").split(":")]
    seconds = sum(each * 60**at for at, each in enumerate(reversed(parts)))
    return seconds, await cells.nth(0).text_content() or ""


async def test_an_exam_with_extra_time_is_made_and_its_rows_end_one_after_the_other(
    api: Api, console: Console
) -> None:
    visitor = await console.visitor(
        viewport={"width": 1280, "height": 760}, timezone_id=zone_where_it_is(10), locale="en-GB"
    )
    page = await visitor.open(f"{console.service}/#new/exam")
    await page.get_by_label("Title (optional)").fill("Latin, final exam")
    await page.get_by_label("Extra time for some").fill("25, fifty")
    await page.get_by_role("button", name="Create session").click()
    await expect(page.get_by_text("Write percentages such as 25, 50")).to_be_visible()
    await page.get_by_label("Extra time for some").fill("50 %, 25")
    await expect(page.get_by_text(re.compile("Rows of 1 h, 1 h 15 min,? and 1 h 30 min"))).to_be_visible()
    await page.get_by_role("button", name="Create session").click()
    wall = page.get_by_role("region", name="Exam")
    await expect(wall).to_contain_text("Latin, final exam")
    session_id = page.url.rsplit("/", 1)[1]
    made = await api.get(session_id)
    assert made["total_time_ms"] == 90 * MINUTE
    assert made["warnings_ms"] == [each * MINUTE for each in (40, 35, 30, 15, 10, 5)]
    rows = page.get_by_role("row")
    await expect(rows).to_have_count(4)
    await expect(rows.nth(1)).to_contain_text("Normal time")
    await expect(rows.nth(1)).to_contain_text("1:00:00")
    await expect(rows.nth(2)).to_contain_text("+25%")
    await expect(wall).to_contain_text("Not started")

    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(wall).to_contain_text("In progress")
    await expect(wall).to_contain_text(re.compile(r"Start \d\d:\d\d"))
    # The server's time of day, in the zone of the device.
    await expect(wall.locator(".exam-now")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d$"))
    running = await api.get(session_id)
    for row, earlier in ((1, 30), (2, 15), (3, 0)):
        expected = await page.evaluate(
            """(at) => new Date(at).toLocaleTimeString('en-GB', {hour: 'numeric', minute: '2-digit',
                 ...(at % 60000 >= 1000 ? {second: '2-digit'} : {})})""",
            running["deadline_ms"] - earlier * MINUTE,
        )
        await expect(rows.nth(row).get_by_role("cell").nth(0)).to_have_text(expected)

    # A pause moves every finish. What is left stands still.
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(wall).to_contain_text("Paused")
    before = await ms_of(page, 1)
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"add_ms": 7 * MINUTE})
    await expect(rows.nth(1).get_by_role("cell").nth(0)).not_to_have_text(before[1])
    assert (await ms_of(page, 1))[0] == before[0] + 7 * 60
    await page.get_by_role("button", name="Resume", exact=True).click()

    # The normal time is over, the others write on. Then all are.
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": 20 * MINUTE})
    await expect(rows.nth(1)).to_contain_text("Time is up")
    await expect(rows.nth(2)).to_contain_text(re.compile(r"[45]:\d\d"))
    await expect(wall).to_contain_text("Extra time")
    await api.do(session_id, "complete")
    await expect(wall).to_contain_text("The exam is over")
    await expect(rows.nth(3)).to_contain_text("Time is up")


async def test_an_exam_is_started_at_the_next_full_minute(api: Api, console: Console) -> None:
    """So it finishes at a full minute, too. A start that is none is told with its seconds."""
    made = await exam(api, [25])
    session_id = made["session_id"]
    visitor = await console.visitor(**WIDE, locale="en-GB", timezone_id=zone_where_it_is(10))
    page = await visitor.open(f"{console.service}/s/{session_id}")
    start = page.get_by_role("button", name="Start at the full minute")
    await expect(start).to_be_visible()
    for width, height in ((320, 640), (1280, 760)):
        await resize(page, width, height)
        box = await start.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert await start.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    asked: list[int] = []

    async def ten_minutes_later(route: Route) -> None:
        """The session does not begin while it is looked at, however slow the machine is."""
        asked.append(json.loads(route.request.post_data or "{}")["starts_at_ms"])
        await route.continue_(post_data=json.dumps({"starts_at_ms": asked[0] + 10 * MINUTE}))

    await page.route("**/schedule", ten_minutes_later)
    await start.click()
    await expect(start).to_be_hidden()
    planned = await api.get(session_id)
    assert planned["starts_at_ms"] == asked[0] + 10 * MINUTE
    assert asked[0] % MINUTE == 0
    await expect(page.get_by_role("row").nth(1).get_by_role("cell").nth(0)).to_have_text(
        re.compile(r"^\d\d:\d\d$")
    )
    await api.ask("PATCH", f"/v1/sessions/{session_id}/schedule", {"starts_at_ms": None})
    await expect(start).to_be_visible()
    later = planned["starts_at_ms"] + 24_000
    await api.ask("PATCH", f"/v1/sessions/{session_id}/schedule", {"starts_at_ms": later})
    wall = page.get_by_role("region", name="Exam")
    await expect(wall).to_contain_text(re.compile(r"Start \d\d:\d\d:24"))


@pytest.mark.parametrize("hour", [10, 23])
async def test_the_wall_of_an_exam_is_read_from_ten_metres_on_every_screen(
    api: Api, console: Console, hour: int
) -> None:
    """Also of one that ends tomorrow, whose rows have the day beside the time."""
    zone = zone_where_it_is(hour)
    visitor = await console.visitor(
        viewport={"width": 1920, "height": 1080}, locale="en-US", timezone_id=zone
    )
    made = await exam(api, [25, 50])
    plain = await exam(api, [])
    told = [
        {
            "at_ms": made["server_time_ms"],
            "text": "The windows may be opened. Write your number on every sheet.",
        },
        {"at_ms": made["server_time_ms"] - MINUTE, "text": "Question 4: read “ablative” for “dative”."},
    ]
    await api.ask(
        "PATCH", f"/v1/sessions/{made['session_id']}/metadata", {"metadata": {"announcements": told}}
    )
    for state, rows in ((made, 3), (plain, 1)):
        page = await visitor.open(f"{console.service}/s/{state['session_id']}?screen")
        await expect(page.get_by_role("region", name="Exam")).to_contain_text("Latin")
        await expect(page.get_by_role("button")).to_have_count(0)
        await api.do(state["session_id"], "start")
        await expect(page.get_by_text("In progress")).to_be_visible()
        for width, height in ((1920, 1080), (1280, 760), (844, 390), (390, 844)):
            await resize(page, width, height)
            seen = await page.evaluate(FACTS)
            place = f"{rows} rows at {width}x{height}"
            for fact in ("inside", "within", "apart", "newsInside"):
                assert seen[fact], f"{place}: {fact}: {seen}"
            assert seen["beside"] == 0, place
            if width > height:
                assert seen["now"] >= 0.15 * height, place
                assert min(seen["left"]) >= (0.11 if rows == 3 else 0.17) * height, f"{place}: {seen}"
                assert rows == 1 or seen["news"] >= 0.025 * height, place
        await page.close()


async def test_an_announcement_is_on_every_wall_and_can_be_taken_back(api: Api, console: Console) -> None:
    made = await exam(api, [25])
    session_id = made["session_id"]
    visitor = await console.visitor(viewport={"width": 1280, "height": 760}, reduced_motion="reduce")
    page = await visitor.open(f"{console.service}/s/{session_id}")
    wall = await visitor.open(f"{console.service}/s/{session_id}?screen")
    news = wall.get_by_role("list", name="Announcements, newest first")
    await expect(wall.get_by_role("region", name="Exam")).to_be_visible()
    await expect(news).to_be_hidden()
    for text in ("Question 4: read “ablative”.", "Ten sheets at most."):
        await page.get_by_role("button", name="Announce …").click()
        await page.get_by_role("dialog").get_by_role("button", name="Announce", exact=True).click()
        await expect(page.get_by_text("Enter what is to be announced")).to_be_visible()
        await page.get_by_label("Announcement", exact=True).fill(text)
        await page.get_by_role("dialog").get_by_role("button", name="Announce", exact=True).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(news.get_by_role("listitem").first).to_contain_text(text)
    await expect(news.get_by_role("listitem")).to_have_count(2)
    await expect(news.get_by_role("listitem").first).to_contain_text(re.compile(r"\d+:\d\d"))
    # It has the size that fits, also for somebody who asked for less motion.
    await resize(wall, 390, 844)
    assert await news.evaluate(
        """(news) => news.scrollWidth <= news.parentElement.clientWidth
                     && news.scrollHeight <= news.parentElement.clientHeight"""
    )
    await page.get_by_role("button", name="Announce …").click()
    await page.get_by_role("button", name="Take back: Ten sheets at most.").click()
    await expect(news.get_by_role("listitem")).to_have_count(1)
    kept = (await api.get(session_id))["metadata"]["announcements"]
    assert [each["text"] for each in kept] == ["Question 4: read “ablative”."]
    # The page keeps the newest ten.
    many = [{"at_ms": n, "text": f"Sheet {n}"} for n in range(12)]
    await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": {"announcements": many}})
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Announce …").click()
    await page.get_by_label("Announcement", exact=True).fill("The newest")
    await page.get_by_role("dialog").get_by_role("button", name="Announce", exact=True).click()
    await expect(news.get_by_role("listitem").first).to_contain_text("The newest")
    kept = (await api.get(session_id))["metadata"]["announcements"]
    assert [each["text"] for each in kept] == ["The newest", *(f"Sheet {n}" for n in range(11, 2, -1))]
