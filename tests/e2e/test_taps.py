"""A tap counts once, even when another player taps too, and is shown at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.backend import Api
from tests.e2e.clocks import Clocks, goes_on, until
from tests.e2e.readings import deadlines, right, samples, without_gap
from tests.support.live import Service
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_double_tap_switches_once(api: Api, clocks: Clocks) -> None:
    session_id = (await api.game())["session_id"]
    page = await clocks.open(session_id)
    await api.do(session_id, "start")
    for turn in range(5):
        await until(page, f"session.confirmed.version === {2 + turn} && !session.pending")
        # Both taps are in one call. A second tap after the first one's effect would end the next turn.
        await page.evaluate("for (const tap of [1, 2]) document.querySelector('#switch').click()")
        await until(page, f"record.taps.length === {2 * (turn + 1)}")
    state = await api.get(session_id)
    assert state["version"] == 7
    assert state["cycle_count"] == 5
    assert await page.evaluate("session.state.version") == 7


async def tap_at(page: Page, moment: float, player: str) -> Any:
    """Ends a player's turn at a moment of the machine's clock. Returns true or the code of the refusal."""
    return await page.evaluate(
        """([moment, current]) => new Promise((done) => setTimeout(() => {
             session.switch({ current }).then(() => done(true), (error) => done(error.code));
           }, moment - machine()))""",
        [moment, player],
    )


async def test_of_two_who_tap_at_once_one_switches(api: Api, clocks: Clocks) -> None:
    game = await api.game()
    session_id = game["session_id"]
    players = [each["participant_id"] for each in game["participants"]]
    pages = [await clocks.open(session_id) for _ in range(2)]
    await api.do(session_id, "start")
    turns = 10
    for turn in range(turns):
        for page in pages:
            await until(page, f"session.confirmed.version === {2 + turn} && !session.pending")
        # Both end the turn of the same player in the same millisecond, as exactly as timers can.
        moment = await pages[0].evaluate("machine()") + 100
        answers = await asyncio.gather(*(tap_at(page, moment, players[turn % 2]) for page in pages))
        assert sorted(map(str, answers)) == ["CONCURRENT_MODIFICATION", "True"]
    for page in pages:
        await until(page, f"session.confirmed.version === {2 + turns} && !session.pending")
        without_gap(
            await page.evaluate("record.changes.filter((each) => each.event).map((each) => each.version)")
        )
    state = await api.get(session_id)
    assert state["version"] == 2 + turns
    assert state["cycle_count"] == turns
    ends = deadlines(await api.events(session_id))
    for page in pages:
        assert right(await samples(page), ends) > turns


async def test_the_other_clock_runs_at_once_while_the_answer_is_on_its_way(
    api: Api, service: Service, clocks: Clocks
) -> None:
    game = await api.game()
    session_id = game["session_id"]
    first, second = (each["participant_id"] for each in game["participants"])
    async with Proxy(service.port) as proxy:
        page = await clocks.open(session_id, behind=proxy)
        await api.do(session_id, "start")
        await until(page, "session.confirmed.version === 2")
        proxy.replies_lost = True
        seen = await page.evaluate(
            """() => {
              const before = machine();
              const left = session.remaining();
              document.querySelector("#switch").click();
              return { left, active: session.state.active_participant_id, pending: session.pending,
                       confirmed: session.confirmed.active_participant_id,
                       took: machine() - before + client.time.rttMs / 2 };
            }"""
        )
        assert seen["active"] == second, "in the same task as the tap"
        assert seen["pending"]
        assert seen["confirmed"] == first
        await api.reaches(session_id, 3)
        # The second player's clock runs, and the first one's has stopped at the tap.
        since = await page.evaluate("record.samples.length")
        await goes_on(page, 30)
        meanwhile = (await samples(page))[since:]
        assert all(sample.pending for sample in meanwhile)
        start, end = meanwhile[0], meanwhile[-1]
        assert start.all[0] is not None
        assert start.all[1] is not None
        assert end.all[1] is not None
        assert start.all[0] == end.all[0]
        assert seen["left"] - seen["took"] - 2 <= start.all[0] <= seen["left"] + 2
        least, most = end.before - start.after, end.after - start.before
        # Correcting a prediction and slewing the clock each change the pace by at most a twentieth.
        assert 0.9 * least - 2 <= start.all[1] - end.all[1] <= 1.1 * most + 2
        # The answer was lost. The client asks again over the next connection, and gets the answer again.
        proxy.replies_lost = False
        proxy.cut_all()
        await until(page, "record.taps.length === 1 && !session.pending")
        assert await page.evaluate("record.taps") == [True]
        state = await api.get(session_id)
        assert state["version"] == 3
        shown = await page.evaluate("session.remaining(session.state.participants[0].participant_id)")
        assert shown == state["participants"][0]["time_remaining_ms"]


async def test_a_tap_that_the_server_refuses_is_taken_back(
    api: Api, service: Service, clocks: Clocks
) -> None:
    session_id = (await api.game())["session_id"]
    async with Proxy(service.port) as proxy:
        page = await clocks.open(session_id, behind=proxy)
        await api.do(session_id, "start")
        await until(page, "session.confirmed.version === 2")
        proxy.replies_lost = True
        await api.do(session_id, "pause")
        await page.click("#switch")  # the page does not know yet that the session is paused
        assert await page.evaluate("[session.pending, session.state.status]") == [True, "running"]
        proxy.replies_lost = False
        proxy.cut_all()
        await until(page, "record.taps.length === 1 && !session.pending")
        assert await page.evaluate("record.taps") == ["INVALID_SESSION_STATE"]
        assert await page.evaluate("[session.state.status, session.state.version]") == ["paused", 3]
        active = (await api.get(session_id))["active_participant_id"]
        assert await page.evaluate("session.state.active_participant_id") == active
