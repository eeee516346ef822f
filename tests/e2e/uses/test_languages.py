"""The console in each of its languages on a narrow phone: no text is cut, nothing moves sideways, the choice is kept."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.backend import Api, State
from tests.e2e.console import WITHOUT_A_LIST, Console
from tests.web.node import program

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONSOLE = Path(__file__).resolve().parents[3] / "synckairos" / "web" / "console"
CODES = re.findall(r'^  ([a-z]{2}): "', (CONSOLE / "shared" / "languages.js").read_text(), re.MULTILINE)
MINUTE = 60_000
NARROW = {"viewport": {"width": 320, "height": 640}, "locale": "en-GB", "reduced_motion": "reduce"}

CUT = """() => {
  const found = new Set();
  const say = (what, each) => found.add(`${what}: <${each.tagName.toLowerCase()} class="${each.className?.baseVal ?? each.className}"> ${(each.value || each.textContent).trim().slice(0, 60)}`);
  const root = document.querySelector('dialog:modal') ?? document.body;
  if (document.documentElement.scrollWidth > innerWidth) say('the page is wider than the screen', document.documentElement);
  const canvas = document.createElement('canvas').getContext('2d');
  const written = (each, text) => {
    const style = getComputedStyle(each);
    canvas.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    return canvas.measureText(text).width;
  };
  const room = (each) => {
    const style = getComputedStyle(each);
    return each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  };
  for (const each of root.querySelectorAll('*')) {
    if (each.closest('svg, noscript, option, .visually-hidden, [aria-hidden=true]') || !each.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(each);
    const inCode = each.closest('pre, code'); // what a shell reads is never broken
    if (each.scrollWidth > each.clientWidth + 1 && style.overflowX !== 'visible' && each.clientWidth > 0 && !inCode && !each.matches('input, select, textarea'))
      say(/auto|scroll/.test(style.overflowX) ? 'scrolls sideways' : 'cut at its side', each);
    if (each.scrollHeight > each.clientHeight + 1 && /hidden|clip/.test(style.overflowY) && each.clientHeight > 0 && !each.matches('input, select'))
      say('cut at its end', each);
    if (each.matches('select') && each.selectedOptions[0] && style.opacity !== '0' && style.color !== 'rgba(0, 0, 0, 0)' && room(each) > 40 && written(each, each.selectedOptions[0].text) > room(each) + 1)
      say('a choice is cut', each);
    if (each.matches('input') && each.placeholder && written(each, each.placeholder) > room(each) + 1) say(`a placeholder is cut (${each.placeholder})`, each);
    const own = [...each.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    if (!own.length || inCode) continue;
    const holder = each.closest('button, .button, .segments label, th, td') ?? each;
    const box = holder.getBoundingClientRect();
    for (const node of own) {
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const words of range.getClientRects()) {
        if (words.width === 0) continue;
        if (words.left < -1 || words.right > innerWidth + 1) say('beside the screen', each);
        if (holder !== each && (words.left < box.left - 1 || words.right > box.right + 1 || words.top < box.top - 3 || words.bottom > box.bottom + 3))
          say('beside its button', each);
      }
    }
  }
  return [...found];
}"""


@cache
def texts() -> dict[str, dict[str, Any]]:
    """The texts of all languages, by code and key."""
    source = """
      const all = {};
      for (const code of process.argv.slice(2)) all[code] = (await import(`${process.argv[1]}/${code}.js`)).default;
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
        await self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        self.faults += [f"{place}: {fault}" for fault in await self.page.evaluate(CUT)]

    def button(self, key: str) -> Locator:
        return self.page.get_by_role("button", name=self.words[key], exact=True)

    async def form(self, name: str) -> None:
        """Opens a form for a new session, with all that can be unfolded."""
        await self.page.goto(f"{self.service}/#new/{name}")
        await expect(self.page.locator("#new-body form")).to_be_visible()
        await self.page.evaluate(
            "() => document.querySelectorAll('#new-body details').forEach((each) => { each.open = true; })"
        )
        await self.look(f"form {name}")

    async def session(self, made: State, view: str = "", *, dialogs: bool = False) -> None:
        """Opens a session's page in a view, and each dialog of its menu."""
        place = f"{view or 'session'}, {made['status']}"
        query = f"?view={view}" if view else ""
        await self.page.goto(f"{self.service}/s/{made['session_id']}{query}")
        await expect(self.button("menu.menu").or_(self.button("sound.tap")).first).to_be_visible()
        await expect(self.page.get_by_role("main").get_by_role("region").first).to_be_visible()
        await self.look(place)
        await self.button("menu.menu").click()
        await self.look(f"menu of {place}")
        items = self.page.get_by_role("dialog").locator(".menu button")
        labels = await items.all_text_contents() if dialogs else []
        await self.close()
        acting = {self.words[key] for key in ("screen.full", "screen.leaveFull", "menu.next")}
        for label in [each for each in labels if each not in acting]:
            await self.button("menu.menu").click()
            await items.filter(has_text=re.compile(f"^{re.escape(label)}$")).click()
            await self.page.evaluate("() => document.querySelectorAll('dialog details').forEach((each) => { each.open = true; })")
            if await self.page.get_by_role("dialog").count():
                await self.look(f"“{label}” of {place}")
                await self.close()

    async def close(self) -> None:
        """Closes the dialogs."""
        dialogs = self.page.locator("dialog[open]")
        while await dialogs.count():
            await self.page.keyboard.press("Escape")
            await self.page.wait_for_function("(before) => document.querySelectorAll('dialog[open]').length < before", arg=1)


async def sessions(api: Api) -> dict[str, State]:
    """One of each kind, in a room of their own."""

    def people(*names: str, **each: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
        ids = [str(uuid.uuid4()) for _ in names]
        return [{"participant_id": one, **each} for one in ids], dict(zip(ids, names, strict=True))

    tag = f"room-{uuid.uuid4().hex[:8]}"
    two, names = people("Ana", "Ben", total_time_ms=5 * MINUTE)
    about = {"title": "Club", "names": names, "tags": [tag]}
    bounds = {"max_pauses": 3, "max_total_pause_ms": 10 * MINUTE}
    game = await api.create(sync_mode="per_participant", participants=two, increment_ms=2000, metadata=about, **bounds)
    await api.do(game["session_id"], "start")
    await api.do(game["session_id"], "switch")
    pending = await api.create(sync_mode="per_participant", participants=two, metadata=about)
    ended = await api.create(sync_mode="per_participant", participants=two, metadata=about)
    for what in ("start", "switch", "complete"):
        await api.do(ended["session_id"], what)
    team, members = people("Ana", "Ben", "Cleo", "Dan")
    quiz = await api.create(
        sync_mode="per_cycle", time_per_cycle_ms=30_000, participants=team, metadata={"title": "Quiz", "names": members}
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
        metadata={"title": "Day", "names": named, "agenda": {"plan_ms": plan, "starts_at_ms": game["server_time_ms"]}},
    )
    await api.do(agenda["session_id"], "start")
    every = {"pending": pending, "game": game, "ended": ended, "quiz": quiz, "laps": laps, "exam": exam, "agenda": agenda}
    return {name: await api.get(each["session_id"]) for name, each in every.items()}


async def test_every_language_that_is_offered_has_a_file() -> None:
    assert set(CODES) == {path.stem for path in (CONSOLE / "texts").glob("*.js")}


@pytest.mark.parametrize("code", CODES)
async def test_at_320_px_no_text_is_cut_and_the_language_is_kept(code: str, api: Api, console: Console) -> None:
    made = await sessions(api)
    visitor = await console.visitor(**NARROW)
    visitor.forgive(WITHOUT_A_LIST)
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
    for name in ("free", "blitz", "canadian", "team", "quiz", "auction", "exam", "speech", "speedrun", "agenda"):
        await at.form(name)

    await at.session(made["pending"], dialogs=True)
    await at.session(made["game"], dialogs=True)
    await at.session(made["ended"])
    await at.session(made["quiz"])
    await at.session(made["quiz"], "board")
    await at.session(made["laps"], "stopwatch")
    await at.session(made["laps"], dialogs=True)
    await at.session(made["exam"], dialogs=True)
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
