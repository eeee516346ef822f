"""Two pages that play one game show the same clocks."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.e2e.backend import Api
from tests.e2e.clocks import Clocks, until
from tests.e2e.readings import TOLERANCE_MS, agree, deadlines, never_back, one_clock, right, samples
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_pages_tap_a_game_to_its_end_and_agree_within_50_ms(
    api: Api, clocks: Clocks, valkey: Server
) -> None:
    game = await api.game(seconds=60, increment_ms=500, warnings_ms=[1000])
    session_id = game["session_id"]
    players = [each["participant_id"] for each in game["participants"]]
    pages = [await clocks.open(session_id) for _ in players]
    async with valkey.client() as direct:
        await one_clock(direct, *pages)
    await api.do(session_id, "start")
    turns = 12
    for turn in range(turns):
        page, player = pages[turn % 2], players[turn % 2]
        await until(page, f"session.state.active_participant_id === '{player}' && !session.pending")
        await page.click("#switch")
        for each in pages:
            await until(each, f"record.samples.at(-1).version === {3 + turn}")
            await until(each, "record.samples.at(-1).settled")
    # The arbiter takes time away, so that the test need not wait for the end.
    await api.adjust(session_id, players[0], total_time_ms=1500)
    await asyncio.gather(*(until(page, "session.state.status === 'expired'") for page in pages))

    events = await api.events(session_id)
    assert [event["payload"]["event"] for event in events] == [
        "session.created",
        "session.started",
        *["cycle.switched"] * turns,
        "time.adjusted",
        "time.warning",
        "session.expired",
    ]
    ends, shown = deadlines(events), [await samples(page) for page in pages]
    assert agree(*shown) >= set(range(2, len(events))), "each turn was compared"
    for page, seen in zip(pages, shown, strict=True):
        assert right(seen, ends) > 50
        never_back(seen)
        assert await page.evaluate("record.expired.map((each) => each.version)") == [len(events)]
        assert await page.evaluate("record.warnings") == [len(events) - 1]
        await until(page, "record.samples.at(-1).status === 'expired' && record.samples.at(-1).all[0] === 0")


CONTROLS = ("1+1", "1b2", "1d2", "0.1+3x30", "0.1+5/60", "hourglass 1", "3/1+1:1+1")


async def test_every_time_control_is_shown_as_the_server_counts_it(api: Api, clocks: Clocks) -> None:
    games = [
        await api.create(
            sync_mode="per_participant",
            participants=[{"participant_id": str(uuid.uuid4())} for _ in range(2)],
            time_control=control,
        )
        for control in CONTROLS
    ]
    ids = [game["session_id"] for game in games]
    page = await clocks.open(ids[0])
    await page.evaluate("(ids) => { window.sessions = ids.map((id) => client.session(id)); }", ids)
    for what in ("start", "switch", "switch", "switch", "pause", "resume"):
        for session_id in ids:
            await api.do(session_id, what)
    states = [await api.get(session_id) for session_id in ids]
    await until(page, f"sessions.every((each) => each.state?.version === {states[0]['version']})")
    readings = await page.evaluate(
        """() => sessions.map((session) => session.state.participants.map(({ participant_id: id }) => {
             const before = machine();
             const remaining = session.remaining(id);
             return { before, remaining, after: machine() };
           }))"""
    )
    for state, shown in zip(states, readings, strict=True):
        for participant, reading in zip(state["participants"], shown, strict=True):
            at, left = state["server_time_ms"], participant["time_remaining_ms"]
            if participant["is_active"]:
                least, most = left - (reading["after"] + 1 - at), left - (reading["before"] - 1 - at)
                assert least - TOLERANCE_MS <= reading["remaining"] <= most + TOLERANCE_MS, state
            else:
                assert reading["remaining"] == left, state
