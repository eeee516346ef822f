"""The console in each language on a narrow phone: no text is cut, nothing moves sideways."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import WITHOUT_A_LIST, Console
from tests.web.node import program

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONSOLE = Path(__file__).resolve().parents[3] / "synckairos" / "web" / "console"
CODES = re.findall(r'^  ([a-z]{2}): "', (CONSOLE / "shared" / "languages.js").read_text(), re.MULTILINE)
MINUTE = 60_000
AT_ONCE = ("screen.full", "menu.next", "menu.pauseFreely", "screens.blackout")
"""What acts without a dialog."""
FORMS = ("free", "quiz", "speech", "speedrun", "agenda")
NARROW: dict[str, Any] = {
    "viewport": {"width": 320, "height": 640},
    "locale": "en-GB",
    "reduced_motion": "reduce",
}

MEASURE = Path(__file__).with_name("cut.js").read_text()


@cache
def texts() -> dict[str, dict[str, Any]]:
    """The texts of all languages, by code and key."""
    source = """
      const all = {};
      const [, folder, ...codes] = process.argv;
      for (const code of codes) all[code] = (await import(`${folder}/${code}.js`)).default;
      console.log(JSON.stringify(all));"""
    command = [program(), "--input-type=module", "-e", source, str(CONSOLE / "texts"), *CODES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    read: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return read


class Narrow:
    """A page in one language, and what was cut on it so far."""

    def __init__(self, page: Page, service: str, code: str) -> None:
        self.page = page
        self.service = service
        self.words = texts()[code]
        self.faults: list[str] = []

    async def look(self, place: str) -> None:
        """Measures what is shown now."""
        self.found(place, await self.page.evaluate("cut()"))

    def found(self, place: str, faults: list[str]) -> None:
        self.faults += [f"{place}: {fault}" for fault in faults]

    async def session(self, made: State, view: str = "", *, dialogs: int = 0) -> None:
        """Opens a session's page in a view, and the dialogs of its menu, which are at least so many."""
        place = f"{view or made['metadata']['title']}, {made['status']}"
        query = f"?view={view}" if view else ""
        await self.page.goto(f"{self.service}/s/{made['session_id']}{query}")
        await expect(self.page.get_by_role("main").get_by_role("region").first).to_be_visible()
        await self.look(place)
        if dialogs:
            acting = [self.words[key] for key in AT_ONCE]
            menu = self.words["menu.menu"]
            faults, seen = await self.page.evaluate(
                "([menu, acting]) => cutDialogs(menu, acting)", [menu, acting]
            )
            self.found(place, faults)
            assert seen >= dialogs, place


async def sessions(api: Api) -> dict[str, State]:
    """One of each kind, in a room of their own."""

    def people(*names: str, **each: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
        ids = [str(uuid.uuid4()) for _ in names]
        return [{"participant_id": one, **each} for one in ids], dict(zip(ids, names, strict=True))

    tag = f"room-{uuid.uuid4().hex[:8]}"
    two, names = people("Ana", "Ben", total_time_ms=5 * MINUTE)
    about = {"title": "Club", "names": names, "tags": [tag]}
    bounds = {"max_pauses": 3, "max_total_pause_ms": 10 * MINUTE}
    game = await api.create(
        sync_mode="per_participant", participants=two, increment_ms=2000, metadata=about, **bounds
    )
    await api.do(game["session_id"], "start")
    await api.do(game["session_id"], "switch")
    pending = await api.create(sync_mode="per_participant", participants=two, metadata=about)
    ended = await api.create(sync_mode="per_participant", participants=two, metadata=about)
    for what in ("start", "switch", "complete"):
        await api.do(ended["session_id"], what)
    team, members = people("Ana", "Ben", "Cleo", "Dan")
    quiz = await api.create(
        sync_mode="per_cycle",
        time_per_cycle_ms=30_000,
        participants=team,
        metadata={"title": "Quiz", "names": members},
    )
    await api.do(quiz["session_id"], "start")
    await api.do(quiz["session_id"], "pause")
    run, runner = people("Ana")
    laps = await api.create(
        sync_mode="count_up",
        participants=run,
        metadata={"title": "Run", "names": runner, "splits": ["One", "Two", "Three"], "view": "speedrun"},
    )
    await api.do(laps["session_id"], "start")
    await api.do(laps["session_id"], "switch")
    sits, _ = people("Hall")
    exam = await api.create(
        sync_mode="global",
        total_time_ms=75 * MINUTE,
        participants=sits,
        metadata={
            "title": "Latin",
            "view": "exam",
            "exam": {"base_ms": 60 * MINUTE, "extra": [25]},
            "announcements": [{"at_ms": game["server_time_ms"], "text": "Page 2"}],
            "message": {"text": "Hello"},
        },
    )
    await api.do(exam["session_id"], "start")
    items, named = people("One", "Two", total_time_ms=5 * MINUTE)
    plan = {each["participant_id"]: 5 * MINUTE for each in items}
    agenda = await api.create(
        sync_mode="per_participant",
        time_control={"kind": "fischer", "overtime_ms": 86_400_000},
        action_on_timeout={"type": "notify"},
        participants=items,
        metadata={
            "title": "Day",
            "names": named,
            "agenda": {"plan_ms": plan, "starts_at_ms": game["server_time_ms"]},
        },
    )
    await api.do(agenda["session_id"], "start")
    every = {
        "pending": pending,
        "game": game,
        "ended": ended,
        "quiz": quiz,
        "laps": laps,
        "exam": exam,
        "agenda": agenda,
    }
    return {name: await api.get(each["session_id"]) for name, each in every.items()}


async def test_every_language_that_is_offered_has_a_file() -> None:
    assert set(CODES) == {path.stem for path in (CONSOLE / "texts").glob("*.js")}


@pytest.mark.parametrize("code", CODES)
async def test_at_320_px_no_text_is_cut_and_the_language_is_kept(
    code: str, api: Api, console: Console
) -> None:
    made = await sessions(api)
    visitor = await console.visitor(**NARROW)
    visitor.forgive(WITHOUT_A_LIST)
    await visitor.context.add_init_script(MEASURE)
    page = await visitor.open(console.service)
    choice = page.locator("select").filter(has=page.locator(f"option[value={code}]"))
    await choice.select_option(code)
    html = page.locator("html")
    await expect(html).to_have_attribute("lang", code)
    await expect(html).to_have_attribute("dir", "rtl" if code == "ar" else "ltr")
    at = Narrow(page, console.service, code)
    await expect(page.get_by_role("heading", level=1)).to_have_text(at.words["list.sessions"])
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text(at.words["list.sessions"])
    await expect(html).to_have_attribute("lang", code)
    await at.look("list")

    await page.goto(f"{console.service}/#new")
    await expect(page.locator("#new-view a[href='#new/blitz']")).to_be_visible()
    await at.look("presets")
    at.faults += await page.evaluate("(names) => cutForms(names)", FORMS)

    await at.session(made["pending"])
    await at.session(made["game"], dialogs=8)
    await at.session(made["ended"], dialogs=4)
    await at.session(made["quiz"])
    await at.session(made["quiz"], "board")
    await at.session(made["laps"], "stopwatch")
    await at.session(made["laps"])
    await at.session(made["exam"], dialogs=5)
    await at.session(made["agenda"])

    await page.goto(f"{console.service}/room/{made['game']['metadata']['tags'][0]}")
    await expect(page.get_by_role("main")).to_contain_text("Ana")
    await at.look("room")
    await page.goto(f"{console.service}/s/{uuid.uuid4()}")
    await expect(page.get_by_role("heading", name=at.words["page.notFound"])).to_be_visible()
    await at.look("no such session")
    # By now the list has cards.
    await page.goto(console.service)
    await expect(page.get_by_role("main")).to_contain_text("Ana")
    await at.look("cards")
    assert not at.faults, "\n".join(at.faults)


@pytest.mark.parametrize(
    ("code", "past", "unreadable"),
    [
        ("fr", r"^Doit être à venir : il est .*\d\d:\d\d:\d\d$", "Ne se lit pas à la position 4 : il faut "),
        (
            "de",
            r"^Muss in der Zukunft liegen: jetzt ist .*\d\d:\d\d:\d\d$",
            "Ist ab Stelle 4 nicht zu lesen: ",
        ),
    ],
)
async def test_a_refusal_is_said_in_the_language_of_the_form(
    api: Api, console: Console, code: str, past: str, unreadable: str
) -> None:
    words = texts()[code]
    visitor = await console.visitor(**{**NARROW, "locale": code})
    await visitor.context.add_init_script(MEASURE)
    visitor.forgive(WITHOUT_A_LIST)
    visitor.forgive(r"status of 400 .*/v1/sessions\)")
    page = await visitor.open(f"{api.url}/#new/free")
    create = page.get_by_role("button", name=words["form.create"])
    await page.get_by_role("radio", name=words["timing.asText"]).check()
    control = page.get_by_label(words["timing.control"], exact=True)
    await control.fill("5+3?")
    await page.get_by_text(words["form.more"]).first.click()
    starts = page.get_by_label(words["schedule.starts"], exact=True)
    await starts.fill("2020-01-01T10:00:00")
    await create.click()
    for field in (control, starts):
        await expect(field).to_have_attribute("aria-invalid", "true")
    shown = page.locator(".problem:visible:not(:empty)")
    await expect(shown).to_have_count(2)
    await expect(shown.filter(has_text=unreadable)).to_be_visible()
    await expect(shown.filter(has_text=re.compile(past))).to_be_visible()
    caret = page.locator("pre.caret:visible:not(:empty)")
    assert await caret.evaluate("(each) => each.textContent") == "5+3?\n   ^"
    assert await control.evaluate("(each) => [each.selectionStart, each.selectionEnd]") == [3, 4]
    assert not await page.evaluate("cut()")
