"""No page or dialog has anything that axe finds: contrast, names, roles, landmarks, targets."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Page

from tests.e2e.backend import Api
from tests.e2e.console import Console
from tests.e2e.states import STATES, State

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, any }) => `${id}: ${target.join(" ")}: ${any[0]?.message ?? help}`));
}"""
SETTLED_MS = 400

PARTS = 4


async def found(page: Page) -> list[str]:
    """What axe finds in a page as it is now."""
    await page.evaluate(AXE)
    problems: list[str] = await page.evaluate(RUN)
    return problems


async def look(api: Api, console: Console, states: list[State], *, dark: bool) -> list[str]:
    """What axe finds in states: dark on a phone, and light on a desk."""
    visitor = await console.visitor(
        viewport={"width": 390, "height": 844} if dark else {"width": 1280, "height": 760},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        service_workers="block",
    )
    visitor.forgive("404", "the service has no list")
    problems = list[str]()
    for state in states:
        page = await visitor.open(console.service + await state.make(api))
        await page.wait_for_timeout(SETTLED_MS)
        if state.act:
            await state.act(page)
            await page.wait_for_timeout(SETTLED_MS)
        problems += [f"{state.name}: {each}" for each in await found(page)]
        await page.close()
    return problems


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dark", [False, True], ids=["desk-light", "phone-dark"])
async def test_axe_finds_nothing(api: Api, console: Console, part: int, dark: bool) -> None:
    assert await look(api, console, STATES[part::PARTS], dark=dark) == []


async def test_axe_finds_what_is_wrong(console: Console) -> None:
    page = await console.open("/")
    await page.evaluate("document.body.append(document.createElement('button'))")
    assert any("button-name" in each for each in await found(page))
