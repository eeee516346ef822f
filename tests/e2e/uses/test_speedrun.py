"""A speedrunner: splits with names, a personal best, and the files that runners have."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import BOUNCE_MS, Console

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=f"{folder}/{name}.png")


async def begin(page: Page, service: str, title: str, names: list[str]) -> None:
    """Makes a run in the form, and starts it."""
    await page.goto(f"{service}/#new/speedrun")
    await page.get_by_label("Title (optional)").fill(title)
    await page.get_by_label("Segments, one a line").fill("\n".join(names))
    await page.get_by_role("button", name="Create session").click()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row", name=re.compile(f"^{name}"))


async def test_a_run_has_splits_and_the_next_one_compares_with_it(console: Console, tmp_path: Path) -> None:
    page = await console.open("/#new/speedrun")
    await expect(page.get_by_text("Who runs. Everybody else can watch.")).to_be_visible()
    names = ["Forest", "Cave", "Tower"]
    await begin(page, console.service, "Kairos Any%", names)
    await expect(row(page, "Forest")).to_have_attribute("aria-current", "step")
    await page.keyboard.press("Space")
    await expect(row(page, "Cave")).to_have_attribute("aria-current", "step")
    await page.get_by_role("button", name="Undo split").click()
    await expect(row(page, "Forest")).to_have_attribute("aria-current", "step")
    await page.get_by_role("button", name="Skip split").click()
    await expect(row(page, "Forest")).to_contain_text("skipped")
    await page.get_by_role("button", name="Undo split").click()
    await expect(row(page, "Forest")).to_have_attribute("aria-current", "step")
    for name in ("Cave", "Tower"):
        await page.wait_for_timeout(BOUNCE_MS)
        await page.keyboard.press("Space")
        await expect(row(page, name)).to_have_attribute("aria-current", "step")
    await picture(page, "run")
    await page.wait_for_timeout(BOUNCE_MS)
    await page.get_by_role("button", name="Finish", exact=True).click()
    await expect(page.get_by_text("New personal best")).to_be_visible()
    await picture(page, "run_over")

    await begin(page, console.service, "Kairos Any%", names)
    best = page.locator("dl.run-figures dd").first
    await expect(best).not_to_have_text("\u2013")
    await page.keyboard.press("Space")
    await expect(row(page, "Forest").locator(".run-delta")).to_have_text(re.compile("^[\u2212+]0:0"))
    await expect(row(page, "Forest").locator(".run-delta")).to_have_class(re.compile("gold|ahead|behind"))
    await picture(page, "run_again")

    await page.get_by_role("button", name="Splits …").click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export .lss").click()
    file = tmp_path / "run.lss"
    await (await download.value).save_as(file)
    run = ET.parse(file).getroot()
    assert [each.findtext("Name") for each in run.iter("Segment")] == names
    assert run.findtext("AttemptCount") == "1"
    text = file.read_text(encoding="utf-8").replace("Tower", "Castle").replace("<Run ", '<Run about="x" ')
    text = text.replace("<GameName>Kairos Any%<", "<GameName>Kairos<")
    file.write_text(re.sub(r"<AttemptCount>1<", "<AttemptCount>41<", text), encoding="utf-8")
    await page.locator("input[type=file]").set_input_files(file)
    await expect(row(page, "Castle")).to_be_visible()
    await expect(row(page, "Castle")).not_to_contain_text("\u2013")
    await page.get_by_role("button", name="Splits …").click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export .lss").click()
    await (await download.value).save_as(file)
    assert ET.parse(file).getroot().findtext("GameName") == "Kairos"
    assert ET.parse(file).getroot().findtext("AttemptCount") == "41"
    wrong = tmp_path / "wrong.lss"
    wrong.write_text("<html></html>", encoding="utf-8")
    await page.locator("input[type=file]").set_input_files(wrong)
    await expect(page.get_by_text("wrong.lss is no file of LiveSplit.")).to_be_visible()


async def split(page: Page, at: str) -> None:
    """Ends the segment that is on, after which the one with this name is on."""
    await page.wait_for_timeout(BOUNCE_MS)
    await page.keyboard.press("Space")
    await expect(row(page, at)).to_have_attribute("aria-current", "step")


async def finish(page: Page) -> None:
    """Ends the last segment."""
    await page.wait_for_timeout(BOUNCE_MS)
    await page.get_by_role("button", name="Finish", exact=True).click()
    await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_hidden()


async def stored(page: Page) -> dict[str, Any]:
    """What the device keeps of the run."""
    text = await page.evaluate("localStorage.getItem('synckairos.run.kairos again')")
    kept: dict[str, Any] = json.loads(text)
    return kept


async def test_each_run_counts_after_a_reset_and_a_reopened_one_only_once(api: Api, console: Console) -> None:
    page = await console.open("/#new/speedrun")
    await begin(page, console.service, "Kairos again", ["Forest", "Tower"])
    session_id = page.url.split("/s/")[1][:36]
    await split(page, "Tower")
    await page.wait_for_timeout(1500)
    await finish(page)
    await expect(page.get_by_text("New personal best")).to_be_visible()
    first = await stored(page)
    assert first["attempts"] == 1

    # Reopened and ended later, it is still the same run, whose first end counts no more.
    await api.do(session_id, "reopen")
    await expect(page.get_by_role("button", name="Undo split")).to_be_visible()
    await page.get_by_role("button", name="Undo split").click()
    await expect(row(page, "Tower")).to_have_attribute("aria-current", "step")
    await page.get_by_role("button", name="Resume", exact=True).click()
    await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    await finish(page)
    await expect(page.get_by_text("New personal best")).to_be_visible()
    second = await stored(page)
    assert second["attempts"] == 1
    assert second["splits"][0] == first["splits"][0]
    assert second["splits"][1] > first["splits"][1]

    # A run that is reset on its way is an attempt. What was said of the one before it is not said of it.
    await api.do(session_id, "reset")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(row(page, "Forest")).to_have_attribute("aria-current", "step")
    await expect(page.get_by_text("New personal best")).to_be_hidden()
    await split(page, "Tower")
    await api.do(session_id, "reset")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(row(page, "Forest")).to_have_attribute("aria-current", "step")
    third = await stored(page)
    assert third["attempts"] == 2
    assert third["splits"] == second["splits"]

    await split(page, "Tower")
    await finish(page)
    last = await stored(page)
    assert last["attempts"] == 3


async def test_a_run_is_led_by_the_keys_that_runners_know(console: Console) -> None:
    page = await console.open("/#new/speedrun")
    await begin(page, console.service, "Kairos keys", ["Forest", "Cave", "Tower"])
    current = ("aria-current", "step")
    await page.keyboard.press("Numpad1")
    await expect(row(page, "Cave")).to_have_attribute(*current)
    await page.keyboard.press("Numpad2")
    await expect(row(page, "Tower")).to_have_attribute(*current)
    await page.keyboard.press("Numpad8")
    await expect(row(page, "Cave")).to_have_attribute(*current)
    await page.keyboard.press("u")
    await expect(row(page, "Forest")).to_have_attribute(*current)
    await page.keyboard.press("k")
    await expect(row(page, "Cave")).to_have_attribute(*current)
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog").locator("dl.keys")
    await expect(keys).to_contain_text("Undo split")
    await expect(keys).not_to_contain_text("Take back turns")
    await picture(page, "run_keys")
    await page.keyboard.press("Escape")
    await expect(keys).to_be_hidden()
    await page.keyboard.press("Numpad3")
    await page.get_by_role("dialog", name="Reset the session?").get_by_role("button", name="Reset").click()
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    await page.keyboard.press("Numpad1")
    await expect(row(page, "Forest")).to_have_attribute(*current)
