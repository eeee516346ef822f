"""Every page of the console and its states: what `make pictures` draws, and what axe looks at."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, expect

from tests.e2e.backend import Api

MINUTE = 60_000
CLUB = ["Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo"]
AGENDA = {"Welcome": 5, "Anna: the new hall": 10, "Break": 15, "Closing": 5}

Make = Callable[[Api], Awaitable[str]]
Act = Callable[[Page], Awaitable[object]]


@dataclass(frozen=True)
class State:
    """One picture.

    make: makes what is shown and returns its address. act: what a user does before. language: the
    browser's, where the picture is about that. offline: whether the network is gone before the user acts.
    """

    name: str
    make: Make
    act: Act | None = None
    language: str = ""
    offline: bool = False


def at(path: str) -> Make:
    """An address that needs nothing to be made."""

    async def make(_: Api) -> str:
        return path

    return make


def session(
    config: dict[str, Any],
    *do: str,
    query: str = "",
    adjust: dict[int, int] | None = None,
    left: int | None = None,
    **more: Any,
) -> Make:
    """A session, with what is done in it.

    query: what its address has; `{0}` stands for the id of the first participant. adjust: the times left (ms)
    of participants by place. left: the time left (ms) of the clock of the turn or the session.
    """

    async def make(api: Api) -> str:
        made = await api.create(**{**config, **more})
        session_id = made["session_id"]
        for what in do:
            if what in PATCHES:
                await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": PATCHES[what]})
            else:
                await api.do(session_id, what)
        for place, ms in (adjust or {}).items():
            await api.adjust(session_id, made["participants"][place]["participant_id"], total_time_ms=ms)
        if left is not None:
            await api.ask("PATCH", f"/v1/sessions/{session_id}/clock", {"total_time_ms": left})
        ids = [each["participant_id"] for each in made["participants"]]
        return f"/s/{session_id}{query.format(*ids)}"

    return make


PATCHES: dict[str, Any] = {
    "message": {"message": {"text": "Two minutes left, please come to an end"}},
    "message-all": {"message": {"text": "Two minutes left, please come to an end", "to": "all"}},
    "blackout": {"blackout": True},
}
CHESS = {"preset": "blitz", "participants": ["Magda", "Teo"], "title": "Club final"}
FOUR = {
    "sync_mode": "per_participant",
    "time_control": "5+3",
    "participants": CLUB[:4],
    "title": "Four-handed",
}
QUIZ = {"preset": "quiz", "participants": ["The Owls", "Quizzy Rascals", "Table Nine"], "title": "Pub quiz"}
AUCTION = {"preset": "auction", "participants": ["Everybody"], "title": "Lot 12: a clock"}
SPEECH = {"preset": "speech", "participants": ["Anna"], "title": "Ice breaker"}
MEETING = {
    "sync_mode": "per_participant",
    "time_control": {"kind": "fischer", "overtime_ms": 86_400_000},
    "action_on_timeout": {"type": "notify"},
    "participants": [{"name": each, "total_time_ms": 300_000} for each in ("Anna", "Ben")],
    "title": "Debate",
}
MEETING_AT_END = {**MEETING, "time_control": {"kind": "fischer"}}
SPLITS = {"splits": ["Forest", "Cave", "Tower", "Finish"]}
RUN = {"preset": "speedrun", "participants": ["Rin"], "title": "Kairos Any%"}


def board(count: int) -> dict[str, Any]:
    """A session of many clocks."""
    people = [{"name": f"{CLUB[at % 8]} {at // 8 + 1}", "total_time_ms": 600_000 + at} for at in range(count)]
    return {"sync_mode": "per_participant", "participants": people, "title": f"{count} boards"}


async def agenda(api: Api) -> str:
    """An agenda whose second item runs late."""
    ids = [str(uuid.uuid4()) for _ in AGENDA]
    lengths = [each * MINUTE for each in AGENDA.values()]
    now = (await api.game())["server_time_ms"]
    made = await api.create(
        sync_mode="per_participant",
        time_control={"kind": "fischer", "overtime_ms": 86_400_000},
        action_on_timeout={"type": "notify"},
        participants=[
            {"participant_id": one, "total_time_ms": length} for one, length in zip(ids, lengths, strict=True)
        ],
        metadata={
            "title": "Club day",
            "names": dict(zip(ids, AGENDA, strict=True)),
            "agenda": {"plan_ms": dict(zip(ids, lengths, strict=True)), "starts_at_ms": now - 8 * MINUTE},
        },
    )
    for what in ("start", "switch"):
        await api.do(made["session_id"], what)
    return f"/s/{made['session_id']}"


def exam(*extra: int, news: bool = True) -> Make:
    """An exam with rows for extra time."""

    async def make(api: Api) -> str:
        base = 60 * MINUTE
        made = await api.create(
            sync_mode="global",
            total_time_ms=base * (100 + max(extra, default=0)) // 100,
            participants=["Everybody"],
            metadata={
                "title": "Latin, final exam",
                "view": "exam",
                "exam": {"base_ms": base, "extra": extra},
            },
        )
        session_id = made["session_id"]
        await api.do(session_id, "start")
        if news:
            said = {"at_ms": made["server_time_ms"], "text": "Question 4: the year is 1848, and not 1884"}
            patch = {"metadata": {"announcements": [said]}}
            await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", patch)
        return f"/s/{session_id}"

    return make


async def room(api: Api) -> str:
    """A room of boards in all states."""
    tag = f"club-{uuid.uuid4().hex[:6]}"
    for number in range(12):
        names = [CLUB[number % 8], CLUB[(number + 3) % 8]]
        metadata = {"tags": [tag], "board": number + 1}
        made = await api.create(preset="blitz", participants=names, metadata=metadata)
        session_id, people = made["session_id"], made["participants"]
        if number % 4:
            await api.do(session_id, "start")
            await api.adjust(session_id, people[0]["participant_id"], total_time_ms=17_000 * (number + 1))
        if number % 4 == 2:
            await api.do(session_id, "pause")
        if number == 7:
            await api.do(session_id, "complete")
    return f"/room/{tag}"


def press(*names: str, first: str = "") -> Act:
    """Presses a key, then buttons, until there is a dialog. "Start*" is a button whose name begins so."""

    async def act(page: Page) -> None:
        if first:
            await page.keyboard.press(first)
        for name in names:
            wanted = re.compile(f"^{re.escape(name.removesuffix('*'))}{'' if name.endswith('*') else '$'}")
            await page.get_by_role("button", name=wanted).locator("visible=true").last.click()
        await expect(page.locator("dialog[open]").last).to_be_visible()

    return act


def key(name: str) -> Act:
    """Presses a key that opens a dialog."""
    return press(first=name)


def waits_for(text: str) -> Act:
    """Waits until the page says something."""

    async def act(page: Page) -> None:
        await expect(page.get_by_text(text).locator("visible=true").first).to_be_visible()

    return act


async def refused(page: Page) -> None:
    """A form that cannot be sent."""
    await page.get_by_text(re.compile("Segments, one a line")).fill("a\n" * 101)
    await page.get_by_role("button", name="Create session").click()


async def opened(page: Page) -> None:
    """A form with all of its parts open."""
    for each in await page.locator("details").all():
        await each.locator("summary").click()


async def paired(page: Page) -> None:
    """Pairings that can be read, with one that cannot."""
    lines = [f"{name} - {CLUB[place - 3]}" for place, name in enumerate(CLUB)]
    await page.get_by_label("Pairings").fill("\n".join([*lines, "Ivo"]))
    await expect(page.get_by_text("Line 9")).to_be_visible()


async def written(page: Page) -> None:
    """Pairings that can be made."""
    await page.get_by_label("Pairings").fill(
        "board,white,black,time\n1,Anna,Ben,\n2,Cleo,Dan,10+5\n3,Eva,Finn,"
    )
    await expect(page.get_by_role("row")).to_have_count(4)


async def key_menu(page: Page) -> None:
    """Opens the menu, whatever it is called in the page's language."""
    await page.locator(".menu-button:visible").click()
    await expect(page.locator("dialog[open]").last).to_be_visible()


async def sheet(page: Page) -> None:
    """The codes of a room."""
    await page.get_by_role("link", name="Links and codes …").click()
    await expect(page.locator(".sheet-cell").first).to_be_visible()


async def lost(page: Page) -> None:
    """Opens the page again without a network: the last state."""
    await page.reload()
    await expect(page.get_by_text("This is how it was")).to_be_visible()


LIVE = ("start", "switch", "switch")

ENDED = (*LIVE, "complete")

STATES = [
    State("list", at("/")),
    State("list-room", at("/"), press("Room …")),
    State("list-about", at("/"), press("Connection*")),
    State("choose", at("/#new")),
    *(
        State(f"form-{each}", at(f"/#new/{each}"), opened)
        for each in ("blitz", "free", "exam", "quiz", "auction")
    ),
    State("form-speech", at("/#new/speech"), opened),
    State("form-speedrun", at("/#new/speedrun"), refused),
    State("form-agenda", at("/#new/agenda")),
    State("game-pending", session(CHESS)),
    State("game", session(CHESS, *LIVE)),
    State("game-low", session(CHESS, *LIVE, adjust={0: 9000})),
    State("game-paused", session(CHESS, *LIVE, "pause")),
    State("game-expired", session(CHESS, *LIVE, adjust={0: 60}), waits_for("wins")),
    State("game-completed", session(CHESS, *ENDED)),
    State("game-cancelled", session(CHESS, *LIVE, "cancel")),
    State("game-player", session(CHESS, *LIVE, query="?as={0}")),
    State("game-other", session(CHESS, *LIVE, query="?as={1}")),
    State("game-watch", session(CHESS, *LIVE, query="?watch")),
    State("game-offline", session(CHESS, *LIVE), lost, offline=True),
    State("game-arabic", session(CHESS, *LIVE), language="ar"),
    State("menu-arabic", session(CHESS, *LIVE), key_menu, language="ar"),
    State("four-around", session(FOUR, *LIVE, query="?view=clock&around=1")),
    State("four-in-rows", session(FOUR, *LIVE, query="?view=clock&around=0")),
    State("menu", session(CHESS, *LIVE), key_menu),
    State("menu-watch", session(CHESS, *LIVE, query="?watch"), key_menu),
    State("connection", session(CHESS, *LIVE), press("Connection*")),
    State("time", session(CHESS, *LIVE), key("t")),
    State("history", session(CHESS, *LIVE), key("h")),
    State("help", session(CHESS, *LIVE), key("?")),
    State("schedule", session(CHESS), key("s")),
    State("take-back", session(CHESS, *LIVE), key("u")),
    State("turn", session(FOUR, *LIVE, "pause"), key("w")),
    State("rematch", session(CHESS, *ENDED), key("r")),
    State("reopen", session(CHESS, *ENDED), key("o")),
    *(
        State(f"ask-{each}", session(CHESS, *LIVE), press("Menu", f"{each.title()} the session …"))
        for each in ("complete", "cancel", "reset", "delete")
    ),
    State("share", session(CHESS, *LIVE), press("Menu", "Share this session")),
    State("elsewhere", session(CHESS, *LIVE), press("Menu", "Share this session", "Show elsewhere …")),
    State("player-links", session(FOUR, *LIVE), press("Menu", "Link for one player")),
    State("watch-link", session(FOUR, *LIVE), press("Menu", "Link to watch")),
    State("message-form", session(SPEECH, "start"), press("Menu", "Message to the screens")),
    State("quiz", session(QUIZ, *LIVE)),
    State("quiz-screen", session(QUIZ, *LIVE, query="?screen")),
    State("auction", session(AUCTION, "start")),
    State("speech", session(SPEECH, "start")),
    State("lights-green", session(SPEECH, "start", left=115_000)),
    State("lights-yellow", session(SPEECH, "start", left=55_000)),
    State("lights-red", session(SPEECH, "start", left=60), waits_for("Finish now")),
    State("overtime", session(MEETING, "start", adjust={0: 0}, query="?view=countdown")),
    State("overtime-game", session(MEETING, "start", adjust={0: 0}, query="?view=clock")),
    State("overtime-board", session(MEETING_AT_END, "start", adjust={0: 60}, query="?view=board")),
    *(
        State(f"board-{count}", session(board(count), *LIVE, query="?view=board"))
        for count in (2, 4, 8, 20, 40, 90)
    ),
    State("stopwatch", session(RUN, *LIVE, query="?view=stopwatch")),
    State("speedrun", session(RUN, *LIVE, metadata=SPLITS)),
    State("speedrun-splits", session(RUN, *LIVE, metadata=SPLITS), press("Splits …")),
    State("exam", exam(25, 50)),
    State("exam-plain", exam(news=False)),
    State("exam-announce", exam(25), press("Announce …")),
    State("agenda", agenda),
    State("agenda-item", agenda, press("4*")),
    State("message", session(CHESS, *LIVE, "message", query="?screen")),
    State("message-watch", session(CHESS, *LIVE, "message-all", query="?watch")),
    State("message-player", session(CHESS, *LIVE, "message-all", query="?as={0}")),
    State("message-sign", session(CHESS, *LIVE, "message")),
    State("blackout", session(CHESS, *LIVE, "blackout", query="?screen")),
    State("bare", session(CHESS, *LIVE, query="?bare")),
    State("bare-active", session(CHESS, *LIVE, query="?bare&show=active&bg=000000&fg=ffd24a")),
    State("room", room),
    State("room-time", room, press("Give time …*")),
    State("room-start", room, press("Start*")),
    State("room-pairings", at("/room/open-hall#make"), written),
    State("room-wrong", at("/room/open-hall#make"), paired),
    State("room-sheet", room, sheet),
    State("room-empty", at("/room/nobody-here")),
    State("no-session", at("/s/5f0c6c5e-6f0b-4c53-9d0a-3a6f4d7a2b10")),
    State("no-link", at("/s/nonsense")),
    State("no-page", at("/nothing/here")),
    State("docs", at("/docs#create_session")),
]
"""All of them."""

LISTED = [
    session(CHESS),
    session(QUIZ, *LIVE),
    session(AUCTION, "start", "pause"),
    session(CHESS, *ENDED),
    session(RUN, *LIVE),
]
"""What stands in the list of sessions."""


_STILL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  await frame();
  const moving = document.getAnimations().filter((each) => each.effect.getComputedTiming().endTime < 5000);
  await Promise.allSettled(moving.map((each) => each.finished));
}"""


_KEEPING = """async () => {
  const { active } = await navigator.serviceWorker.ready;
  while (active.state !== "activated") await new Promise((go) => setTimeout(go, 20));
}"""
"""The worker that keeps the pages is there, and works."""


async def still(page: Page) -> None:
    """Waits until a page is laid out and its colours have changed, as after another size or scheme."""
    await page.evaluate(_STILL)


async def resize(page: Page, width: int, height: int) -> None:
    """Gives a page another size, in CSS pixels, and waits until it is laid out for it."""
    await page.set_viewport_size({"width": width, "height": height})
    await still(page)


async def show(page: Page, url: str, state: State, settled_ms: float) -> None:
    """Opens a state, and does what its user does."""
    await page.goto(url)
    await page.wait_for_timeout(settled_ms)
    if state.offline:
        await page.evaluate(_KEEPING)
        await page.reload()  # so that everything of this page is kept
        await page.wait_for_timeout(settled_ms)
        await page.context.set_offline(offline=True)
    if state.act:
        await state.act(page)
        await page.wait_for_timeout(settled_ms / 2)
