"""A page that was in the background is right when it comes back.

Nothing is emulated: another tab is in front, so this one gets no frames and its timers are throttled. To save
power, browsers freeze such tabs. Here the DevTools protocol tells the browser to do so.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.backend import Api
from tests.e2e.browser import DevTools, Tab
from tests.e2e.clocks import SETTLED, Clocks
from tests.e2e.readings import Sample, deadlines, never_back, right, samples, without_gap

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def hidden_game(api: Api, devtools: DevTools, clocks: Clocks) -> tuple[str, Tab]:
    """Starts a game, and opens a tab with its clocks behind another tab."""
    session_id = (await api.game())["session_id"]
    tab = await devtools.tab(clocks.address(session_id))
    await tab.until(f"window.record && {SETTLED}")
    await tab.evaluate("record.samples.length = 0")
    await api.do(session_id, "start")
    await tab.until("session.state.version === 2 && record.samples.some((each) => each.kind === 'frame')")
    front = await devtools.tab()
    await front.until("document.visibilityState === 'visible'")
    await tab.until("document.visibilityState === 'hidden'")
    return session_id, tab


async def back(tab: Tab) -> tuple[list[Sample], Sample]:
    """Shows the tab again. Returns all its samples, and the one of its first new frame."""
    until = await tab.evaluate("record.samples.length")
    await tab.to_front()
    await tab.until(f"record.samples.slice({until}).filter((each) => each.kind === 'frame').length >= 10")
    shown = await samples(tab)
    return shown, next(sample for sample in shown[until:] if sample.kind == "frame")


async def test_a_hidden_tab_is_right_in_its_first_frame(api: Api, devtools: DevTools, clocks: Clocks) -> None:
    session_id, tab = await hidden_game(api, devtools, clocks)
    for _ in range(4):
        await api.do(session_id, "switch")
        await asyncio.sleep(0.5)  # the test needs a tab that was hidden for a while
    await tab.until("session.state.version === 6")
    shown, first = await back(tab)
    assert first.visible
    assert first.version == 6
    ends = deadlines(await api.events(session_id))
    assert right([first], ends) == 1
    right(shown, ends)
    never_back(shown)
    without_gap(await tab.evaluate("record.changes.map((each) => each.version)"))
    assert await tab.evaluate("record.troubles") == []


async def test_a_frozen_tab_is_right_in_its_first_frame_and_catches_up(
    api: Api, devtools: DevTools, clocks: Clocks
) -> None:
    session_id, tab = await hidden_game(api, devtools, clocks)
    await tab.freeze()
    stood = await tab.evaluate("record.samples.length")
    for _ in range(4):
        await api.do(session_id, "switch")
        await asyncio.sleep(0.5)  # the test needs a tab that was frozen for a while
    assert await tab.evaluate("record.samples.length") == stood, "nothing runs in a frozen tab"
    _, first = await back(tab)
    ends = deadlines(await api.events(session_id))
    assert right([first], ends) == 1, "by the version that it knows"
    await tab.until("session.state.version === 6 && record.samples.at(-1).version === 6")
    shown = await samples(tab)
    right(shown, ends)
    never_back(shown)
    without_gap(await tab.evaluate("record.changes.map((each) => each.version)"))
    assert await tab.evaluate("record.troubles") == []
