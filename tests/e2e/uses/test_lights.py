"""Speeches with lights: the whole face has the colour, the text and the sound, and overtime runs on."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.backend import Api
from tests.e2e.console import Console, half, press
from tests.e2e.states import still

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREEN, YELLOW, RED = "rgb(23, 118, 58)", "rgb(255, 208, 43)", "rgb(196, 34, 26)"

_DEVICE = """(() => {
  window.vibrations = [];
  window.tones = [];
  navigator.vibrate = (pattern) => { vibrations.push(pattern); return true; };
  const make = AudioContext.prototype.createOscillator;
  AudioContext.prototype.createOscillator = function () {
    const tone = make.call(this);
    queueMicrotask(() => tones.push(tone.frequency.value));
    return tone;
  };
})()"""


def people(*names: str) -> dict[str, Any]:
    """The members of a config with participants and their names."""
    ids = [str(uuid.uuid4()) for _ in names]
    return {
        "participants": [{"participant_id": one} for one in ids],
        "metadata": {"names": dict(zip(ids, names, strict=True))},
    }


async def left(api: Api, session_id: str, ms: int) -> None:
    """Sets the clock of the turn."""
    await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": ms})


async def shows(wall: Locator, colour: str, text: str) -> None:
    """Waits until the whole face has this colour and this text, both to be read on it."""
    await expect(wall).to_have_css("background-color", colour)
    await expect(wall.locator(".wall-word")).to_have_text(text)
    contrast = await wall.evaluate(
        """(wall) => {
             const parts = (text) => text.match(/[\\d.]+/g).map(Number);
             const light = (rgb) => {
               const [r, g, b] = rgb.map((each) => each / 255)
                 .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
               return 0.2126 * r + 0.7152 * g + 0.0722 * b;
             };
             const ground = light(parts(getComputedStyle(wall).backgroundColor));
             const texts = [".huge-digits", ".wall-word", ".wall-below", ".wall-who"];
             return Math.min(...texts.map((each) => {
               const ink = light(parts(getComputedStyle(wall.querySelector(each)).color));
               return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
             }));
           }"""
    )
    assert contrast >= 4.5


async def choose(page: Page, item: str) -> None:
    """Chooses something in the menu."""
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("dialog").get_by_role("button", name=item).click()


async def test_a_speech_is_green_yellow_and_red_and_its_overtime_runs_on(api: Api, console: Console) -> None:
    made = await api.create(preset="speech", **people("Anna", "Ben"))
    session_id = made["session_id"]
    page = await console.open(f"/s/{session_id}", viewport={"width": 1280, "height": 760})
    wall = page.get_by_role("region", name="Countdown")
    timer = wall.get_by_role("timer")
    await api.do(session_id, "start")
    await expect(timer).to_have_text(re.compile(r"6:5\d"))
    await expect(wall).not_to_have_attribute("style", re.compile("light"))
    await still(page)
    before = await wall.evaluate("(wall) => getComputedStyle(wall).backgroundColor")
    await left(api, session_id, 119_000)
    await shows(wall, GREEN, "Go on")
    await expect(page).to_have_title(re.compile(r"^1:5\d · Anna \u2013 Ben$"))
    await left(api, session_id, 59_000)
    await shows(wall, YELLOW, "Begin to close")
    await left(api, session_id, 8000)
    await expect(timer).to_have_text(re.compile(r"0:0[1-8]\.\d"))
    await shows(wall, YELLOW, "Begin to close")  # and not red in the last ten seconds
    await left(api, session_id, 400)
    await shows(wall, RED, "Finish now")
    await expect(timer).to_have_text(re.compile("\u22120:0[1-9]"))
    await expect(wall).to_contain_text("Overtime")
    await expect(page).to_have_title(re.compile(r"^\u22120:\d\d · Anna \u2013 Ben$"))

    # A page that comes later knows how long the overtime is.
    late = await console.open(f"/s/{session_id}")
    await expect(late.get_by_role("region", name="Countdown")).to_have_css("background-color", RED)
    times = []
    for each in (late, page):
        text = await each.get_by_role("timer").text_content()
        assert text is not None
        times.append(int(text.split(":")[1]))
    assert 0 <= times[1] - times[0] <= 2

    # The same face counts up, and the page keeps to that.
    await choose(page, "Show the time used")
    await expect(timer).to_have_text(re.compile(r"0:\d\d"))
    await expect(wall).to_contain_text(re.compile(r"\+0:\d\d overtime"))
    await page.reload()
    await expect(wall).to_contain_text(re.compile(r"\+0:\d\d overtime"))
    await choose(page, "Show the time left")
    await expect(timer).to_have_text(re.compile(r"\u22120:\d\d"))

    await page.keyboard.press("n")
    await expect(timer).to_have_text(re.compile(r"6:5\d|7:00"))
    await expect(wall).to_have_css("background-color", before)


async def test_the_lights_of_a_session_have_its_colours_texts_and_sounds(api: Api, console: Console) -> None:
    config = people("Anna", "Ben")
    config["metadata"]["lights"] = {
        "30000": {"color": "blue", "text": "Half a minute, dear speaker", "sound": "gong"},
        "0": {"color": "#ffe0f0", "text": "Thank you", "sound": "none"},
    }
    made = await api.create(
        sync_mode="per_participant",
        time_control="1",
        warnings_ms=[30_000, 0],
        action_on_timeout={"type": "notify"},
        **config,
    )
    session_id, anna = made["session_id"], made["participants"][0]["participant_id"]
    visitor = await console.visitor(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    await visitor.context.add_init_script(_DEVICE)
    page = await visitor.open(f"{api.url}/s/{session_id}")
    await page.get_by_role("button", name="Turn sound on").click()
    await page.get_by_role("button", name="Start", exact=True).tap()
    await expect(press(page, "Anna")).to_have_accessible_name("Anna, on the move: press to end the turn")
    await still(page)
    calm = await half(page, "Anna").evaluate("(half) => getComputedStyle(half).backgroundColor")
    assert await page.evaluate("vibrations.length") == 0, "nobody tapped a clock"
    await api.adjust(session_id, anna, total_time_ms=30_700)
    await expect(half(page, "Anna")).to_have_css("background-color", "rgb(31, 98, 208)")
    await expect(half(page, "Anna")).to_contain_text("Half a minute, dear speaker")
    await page.wait_for_function("() => tones.includes(110)")  # the gong's lowest tone
    await page.wait_for_function("() => vibrations.length === 1")
    assert await page.evaluate("announced.at(-1)") == "Half a minute, dear speaker"
    await press(page, "Anna").tap()
    await expect(press(page, "Ben")).to_have_accessible_name("Ben, on the move: press to end the turn")
    await expect(half(page, "Ben")).to_have_css("background-color", calm)
    assert await page.evaluate("vibrations.length") == 2, "the tap was felt"
    await press(page, "Ben").tap()
    await api.reaches(session_id, 6)
    await api.adjust(session_id, anna, total_time_ms=300)
    await expect(half(page, "Anna")).to_have_css("background-color", "rgb(255, 224, 240)")
    await expect(half(page, "Anna")).to_contain_text("Thank you · overtime")
    await expect(half(page, "Anna").get_by_role("timer")).to_have_text(re.compile("\u22120:0[1-9]"))


async def test_the_form_makes_a_session_with_lights_of_its_own(api: Api, console: Console) -> None:
    page = await console.open("/#new/speech")
    await page.get_by_text("More settings").click()
    first = page.get_by_role("group", name="2 min left", exact=True)
    await first.get_by_label("Colour at: 2 min left", exact=True).select_option("Blue")
    await first.get_by_label("Text at: 2 min left", exact=True).fill("Two minutes")
    await first.get_by_label("Sound at: 2 min left", exact=True).select_option("Gong")
    last = page.get_by_role("group", name="At zero", exact=True)
    await last.get_by_label("Colour at: At zero", exact=True).select_option("Another colour")
    await last.get_by_label("Which colour at: At zero", exact=True).fill("#123456")
    middle = page.get_by_role("group", name="1 min left", exact=True)
    await middle.get_by_label("Colour at: 1 min left", exact=True).select_option("No light")
    await expect(middle.get_by_label("Text at: 1 min left", exact=True)).to_be_disabled()
    await page.get_by_label("Warnings when this much is left").fill("2 min, 1 min, 30 s, 0 s")
    await expect(page.get_by_role("group", name="30 s left", exact=True)).to_be_visible()
    await expect(first.get_by_label("Text at: 2 min left", exact=True)).to_have_value("Two minutes")
    await page.get_by_label("Warnings when this much is left").fill("2 min, 1 min, 0 s")
    await page.get_by_role("radio", name="The time used").check()
    await page.get_by_role("button", name="Create session").click()
    await expect(page.get_by_role("region", name="Countdown")).to_be_visible()
    state = await api.get(page.url.rsplit("/", 1)[1].split("?")[0])
    assert state["metadata"]["lights"] == {
        "120000": {"color": "blue", "text": "Two minutes", "sound": "gong"},
        "0": {"color": "#123456"},
    }
    assert state["metadata"]["counts"] == "up"
