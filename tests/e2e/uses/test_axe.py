"""No page or dialog has anything that axe finds: contrast, names, roles, landmarks, targets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Page

from tests.e2e.backend import Api
from tests.e2e.browser import NETWORK_IS_GONE, Invite
from tests.e2e.console import WITHOUT_A_LIST, Console
from tests.e2e.states import LISTED as FIRST
from tests.e2e.states import STATES, State, show, still
from tests.support.audit_service import audited, machines
from tests.support.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
Store = Callable[[], Awaitable[None]]

# In the preview of a bare page the colours are the user's, on a ground that stands for any other.
RUN = """async () => {
  const { violations } = await axe.run({ exclude: ['.elsewhere-preview'] }, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, any }) => `${id}: ${target.join(" ")}: ${any[0]?.message ?? help}`));
}"""
SETTLED_MS = 300
AT_ONCE = 3
PARTS = 4
LISTED = [each for each in STATES if each.name.startswith(("room", "list"))]
"""The states that need a service with a list of sessions."""
OTHERS = [each for each in STATES if each not in LISTED]


async def found(page: Page) -> list[str]:
    """What axe finds in a page as it is now."""
    await page.evaluate(AXE)
    problems: list[str] = await page.evaluate(RUN)
    return problems


async def look(api: Api, console: Console, state: State, store: Store | None = None) -> list[str]:
    """What axe finds in a state: light on a desk, and dark on a phone."""
    path = await state.make(api)
    if store is not None:
        await store()
    visitor = await console.visitor(
        viewport={"width": 1280, "height": 760},
        color_scheme="light",
        reduced_motion="reduce",
        locale=state.language or "en",
        service_workers="allow" if state.offline else "block",
    )
    visitor.forgive("404", WITHOUT_A_LIST, *(NETWORK_IS_GONE if state.offline else ()))
    page = await visitor.open("about:blank")
    await show(page, api.url + path, state, SETTLED_MS)
    problems = await found(page)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.emulate_media(color_scheme="dark")
    await still(page)
    problems += [f"phone, dark: {each}" for each in await found(page)]
    await visitor.leave()
    return [f"{state.name}: {each}" for each in problems]


async def look_at_all(
    api: Api, console: Console, states: list[State], store: Store | None = None
) -> list[str]:
    """What axe finds in states, of which it looks at a few at a time."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(state: State) -> list[str]:
        async with turn:
            return await look(api, console, state, store)

    return [each for found in await asyncio.gather(*map(one, states)) for each in found]


@pytest.mark.parametrize("part", range(PARTS))
async def test_axe_finds_nothing(api: Api, console: Console, part: int) -> None:
    assert await look_at_all(api, console, OTHERS[part::PARTS]) == []


async def test_axe_finds_nothing_where_there_is_a_list(pool: Pool, invite: Invite) -> None:
    there = await asyncio.to_thread(machines, pool, "valkey", "embedded")
    storing = asyncio.Lock()
    database = await asyncio.to_thread(there.postgres.database)
    async with audited(there.server, there.rq, database, RATE_LIMIT_ENABLED="false") as made:

        async def store() -> None:
            async with storing:
                await made.archived()

        url = f"http://127.0.0.1:{made.service.port}"
        async with Api(url) as api:
            for make in FIRST:
                await make(api)
            assert await look_at_all(api, Console(invite, url), LISTED, store) == []


async def test_axe_finds_what_is_wrong(console: Console) -> None:
    visitor = await console.visitor()
    visitor.forgive(WITHOUT_A_LIST)
    page = await visitor.open(console.service)
    await page.evaluate("document.body.append(document.createElement('button'))")
    assert any("button-name" in each for each in await found(page))
