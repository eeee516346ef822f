"""Every page of the console and its states: what is drawn by `python -m tests.e2e.pictures`, and what axe looks at."""

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
    """One picture. make: makes what is shown and returns its address. act: what a user does before."""

    name: str
    make: Make
    act: Act | None = None


def at(path: str) -> Make:
    """An address that needs nothing to be made."""

    async def make(_: Api) -> str:
        return path

    return make


def session(
    config: dict[str, Any], *do: str, query: str = "", adjust: dict[int, int] | None = None, **more: Any
) -> Make:
    """A session, with what is done in it. adjust: the times left of participants by place."""

    async def make(api: Api) -> str:
        made = await api.create(**{**config, **more})
        session_id = made["session_id"]
        for what in do:
            if what == "again":
                await api.ask("PATCH", f"/v1/sessions/{session_id}/metadata", {"metadata": MESSAGE})
            else:
                await api.do(session_id, what)
        for place, ms in (adjust or {}).items():
            await api.adjust(session_id, made["participants"][place]["participant_id"], total_time_ms=ms)
        return f"/s/{session_id}{query}"

    return make


MESSAGE = {"message": {"text": "Two minutes left, please come to an end"}}
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
RUN = {"preset": "speedrun", "participants": ["Rin"], "title": "Kairos Any%"}
LIGHTS = {"sync_mode": "global", "participants": ["Anna"], "title": "Seven minutes"}


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


def press(*names: str) -> Act:
    """Presses buttons, one after another."""

    async def act(page: Page) -> None:
        for name in names:
            await page.get_by_role("button", name=name, exact=True).last.click()
        await expect(page.locator("dialog[open]")).to_be_visible()

    return act


def key(name: str) -> Act:
    """Presses a key that opens a dialog."""

    async def act(page: Page) -> None:
        await page.keyboard.press(name)
        await expect(page.locator("dialog[open]")).to_be_visible()

    return act


async def refused(page: Page) -> None:
    """A form that cannot be sent."""
    await page.get_by_role("button", name="Create session").click()
    await page.get_by_text(re.compile("Segments, one a line")).fill("a\n" * 101)
    await page.get_by_role("button", name="Create session").click()


async def opened(page: Page) -> None:
    """A form with all of its parts open."""
    for each in await page.locator("details").all():
        await each.locator("summary").click()


LIVE = ("start", "switch", "switch")

STATES = [
    State("list", at("/")),
    State("choose", at("/#new")),
    State("form-game", at("/#new/blitz"), opened),
    State("form-own", at("/#new/free"), opened),
    State("form-exam", at("/#new/exam"), opened),
    State("form-speedrun", at("/#new/speedrun"), refused),
    State("form-agenda", at("/#new/agenda")),
    State("game-pending", session(CHESS)),
    State("game", session(CHESS, *LIVE)),
    State("game-low", session(CHESS, *LIVE, adjust={0: 8000})),
    State("game-paused", session(CHESS, *LIVE, "pause")),
    State("game-completed", session(CHESS, *LIVE, "complete")),
    State("game-cancelled", session(CHESS, *LIVE, "cancel")),
    State("game-four", session(FOUR, *LIVE, query="?view=clock")),
    State("menu", session(CHESS, *LIVE), press("Menu")),
    State("time", session(CHESS, *LIVE), key("t")),
    State("history", session(CHESS, *LIVE), key("h")),
    State("help", session(CHESS, *LIVE), key("?")),
    State("schedule", session(CHESS), key("s")),
    State("take-back", session(CHESS, *LIVE), key("u")),
    State("share", session(CHESS, *LIVE), press("Share")),
    State("quiz", session(QUIZ, *LIVE)),
    State("auction", session(AUCTION, "start")),
    State("speech", session(SPEECH, "start")),
    *(
        State(
            f"lights-{name}",
            session(LIGHTS, "start", total_time_ms=420_000, warnings_ms=warnings),
        )
        for name, warnings in (
            ("green", [419_999]),
            ("yellow", [419_999, 419_998]),
            ("red", [419_999, 419_998, 419_997]),
        )
    ),
    State("overtime", session(SPEECH, "start", query="?view=countdown")),
    State("board-2", session(board(2), *LIVE, query="?view=board")),
    State("board-8", session(board(8), *LIVE, query="?view=board")),
    State("board-20", session(board(20), *LIVE, query="?view=board")),
    State("board-40", session(board(40), *LIVE, query="?view=board")),
    State("board-90", session(board(90), *LIVE, query="?view=board")),
    State("stopwatch", session(RUN, *LIVE, query="?view=stopwatch")),
    State("speedrun", session(RUN, *LIVE, metadata={"splits": ["Forest", "Cave", "Tower", "Finish"]})),
    State("exam", exam(25, 50)),
    State("exam-plain", exam(news=False)),
    State("agenda", agenda),
    State("message", session(CHESS, *LIVE, "again", query="?screen")),
    State("bare", session(CHESS, *LIVE, query="?bare")),
    State("bare-active", session(CHESS, *LIVE, query="?bare&show=active&bg=000000&fg=ffd24a")),
    State("room", room),
    State("no-session", at("/s/5f0c6c5e-6f0b-4c53-9d0a-3a6f4d7a2b10")),
    State("no-link", at("/s/nonsense")),
    State("no-page", at("/nothing/here")),
    State("docs", at("/docs#create_session")),
]
"""All of them."""
