"""Makes the README's pictures of the console: `make screenshots`.

It starts a service with an audit store and some lifelike sessions, and takes the pictures in the browser of
the tests.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e import browser as browsers
from tests.e2e.backend import Api
from tests.support.audit_service import Audited, Machines, audited, machines
from tests.support.pool import Pool

FOLDER = Path(__file__).resolve().parents[2] / "synckairos" / "web" / "screenshots"

PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 760}}


CLUB = ["Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hugo"]


def people(*names: str, **each: Any) -> dict[str, Any]:
    """The members of a config with the participants and their names."""
    ids = [str(uuid.uuid4()) for _ in names]
    return {
        "participants": [{"participant_id": one, **each} for one in ids],
        "metadata": {"names": dict(zip(ids, names, strict=True))},
    }


def titled(title: str, config: dict[str, Any]) -> dict[str, Any]:
    """The same config with a title."""
    return {**config, "metadata": {**config["metadata"], "title": title}}


async def chess(api: Api) -> str:
    """A blitz game in which Magda is short of time."""
    game = await api.create(preset="blitz", warnings_ms=[30_000], **people("Magda", "Teo"))
    session_id: str = game["session_id"]
    magda, teo = (each["participant_id"] for each in game["participants"])
    await api.do(session_id, "start")
    for _ in range(46):
        await api.do(session_id, "switch")
    await api.adjust(session_id, teo, total_time_ms=71_000)
    await api.adjust(session_id, magda, total_time_ms=24_000)
    return session_id


async def quiz(api: Api) -> str:
    """The third question of a quiz."""
    made = await api.create(
        sync_mode="per_cycle",
        time_per_cycle_ms=30_000,
        warnings_ms=[10_000],
        **titled("Pub quiz", people("The Owls", "Quizzy Rascals", "Table Nine")),
    )
    session_id: str = made["session_id"]
    for what in ("start", "switch", "switch"):
        await api.do(session_id, what)
    return session_id


async def board(api: Api) -> str:
    """A simultaneous exhibition: one clock each."""
    made = await api.create(
        sync_mode="per_participant",
        increment_ms=5000,
        **titled("Club night", people(*CLUB, total_time_ms=600_000)),
    )
    session_id: str = made["session_id"]
    for place, each in enumerate(made["participants"]):
        if place % 4 != 1:
            await api.adjust(session_id, each["participant_id"], total_time_ms=600_000 - 29_000 * (place % 9))
    await api.do(session_id, "start")
    for _ in range(13):
        await api.do(session_id, "switch")
    return session_id


async def others(api: Api) -> None:
    """More sessions for the list."""
    exam = await api.create(
        sync_mode="global", total_time_ms=5_400_000, **titled("Algebra exam", people("Hall 3"))
    )
    await api.do(exam["session_id"], "start")
    run = await api.create(sync_mode="count_up", **titled("Any%, attempt 214", people("Rin")))
    await api.do(run["session_id"], "start")
    meeting = await api.create(
        sync_mode="per_cycle",
        time_per_cycle_ms=300_000,
        **titled("Monday stand-up", people("Ana", "Björn", "Chen", "Dana")),
    )
    for what in ("start", "switch", "pause"):
        await api.do(meeting["session_id"], what)


async def picture(browser: Browser, url: str, name: str, **options: Any) -> None:
    """Opens a page and takes the picture once the server's time is known well."""
    context = await browser.new_context(reduced_motion="reduce", **options)
    page: Page = await context.new_page()
    await page.goto(url)
    await expect(page.get_by_role("timer").first).to_be_visible()
    await page.wait_for_timeout(2500)
    await page.screenshot(path=FOLDER / f"{name}.png")
    await context.close()


async def take(made: Audited) -> None:
    """Takes all pictures."""
    url = f"http://127.0.0.1:{made.service.port}"
    async with Api(url) as api, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browsers.chromium(), args=list(browsers.ARGUMENTS)
        )
        await others(api)
        shown = [await board(api), await quiz(api), await chess(api)]
        await made.archived()
        await picture(browser, f"{url}/", "list", color_scheme="light", **DESK)
        await picture(browser, f"{url}/s/{shown[2]}", "game", color_scheme="light", **PHONE)
        await picture(browser, f"{url}/s/{shown[1]}", "countdown", color_scheme="dark", **DESK)
        await picture(browser, f"{url}/s/{shown[0]}", "board", color_scheme="dark", **DESK)
        await browser.close()


async def main(there: Machines, database: str) -> None:
    """Starts the service, takes the pictures, and stops the service."""
    async with audited(there.server, there.rq, database) as made:
        await take(made)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with Pool() as pool:
        started = machines(pool, "valkey", "embedded")
        asyncio.run(main(started, started.postgres.database()))
