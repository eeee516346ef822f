"""Random games on the real service: the state that is followed is what `GET` shows, after every change."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from synckairos.client import Session, State, SyncKairos
from synckairos.client.errors import SyncKairosError
from synckairos.client.model import read_state
from synckairos.client.view import state_at
from tests.model.strategies import BANKS, PEOPLE, Draw, config, pick
from tests.support import games
from tests.support.live import PATIENCE_S, Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = ["switch"] * 6 + ["next", "pause", "resume", "pause", "resume", "add", "add", "set", "join", "leave"]
CALLS += ["takeback", "takeback", "turn", "reopen", "reopen", "reset", "schedule", "complete"]
CALLS += ["metadata", "metadata"]
SCHEDULED_IN_MS = 60_000
"""How far ahead the earliest start or end of a session is. What comes by itself belongs to other tests."""
FARTHEST = {"starts_at_ms": 365 * 86_400_000, "ends_at_ms": 365 * 86_400_000 + 1}
"""How far ahead they are at most: the service takes no more than 366 days."""


@pytest.mark.parametrize(("mode", "kind"), games.KINDS)
@settings(
    max_examples=2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
async def test_the_state_that_is_followed_is_what_the_service_shows(
    mode: str, kind: str, live: Service, data: st.DataObject
) -> None:
    draw: Draw = data.draw
    session_id = str(uuid.uuid4())
    now = round(time.time() * 1000)
    made = config(draw, mode, kind, now + SCHEDULED_IN_MS)
    made |= {at: min(made[at], now + most) for at, most in FARTHEST.items() if made.get(at) is not None}
    await live.sessions.create(session_id, json.dumps(made).encode())
    async with SyncKairos(f"http://127.0.0.1:{live.port}") as client, client.session(session_id) as session:
        await compare(live, session)
        with suppress(SyncKairosError):  # nobody begins whose clock is up already
            await session.start()
        for _ in range(10):
            await asyncio.sleep(pick(draw, [0, 0, 0.003, 0.02]))
            with suppress(SyncKairosError):  # what is refused changes nothing
                await call(draw, session, mode)
            await compare(live, session)
        await session.complete() if not session.state.is_over else None
        await compare(live, session)


async def call(draw: Draw, session: Session, mode: str) -> None:
    """Something that a program may do, whether it is allowed or not."""
    state = session.state
    people = [participant.id for participant in state.participants]
    owner = None
    if mode in ("per_participant", "per_group"):
        owner = pick(draw, [group.id for group in state.groups] if mode == "per_group" else people)
    match pick(draw, CALLS):
        case "switch":
            await session.switch()
        case "next":
            await session.switch(next=pick(draw, people))
        case "pause":
            await session.pause()
        case "resume":
            await session.resume()
        case "add":
            await session.add(owner, pick(draw, [-60_000, -500, 0, 500, 5000]))
        case "set":
            await session.set(owner, pick(draw, [0, 15, 1000, 60_000]))
        case "join":
            groups = [group.id for group in state.groups]
            await session.join(
                participant_id=pick(draw, PEOPLE),
                group_id=pick(draw, groups) if groups else None,
                total_time_ms=pick(draw, BANKS) if mode == "per_participant" else None,
            )
        case "leave":
            await session.leave(pick(draw, people))
        case "turn":
            await session.turn(pick(draw, people))
        case "schedule":
            ahead = round(time.time() * 1000) + SCHEDULED_IN_MS
            await session.schedule(ends_at_ms=pick(draw, [None, ahead, ahead + 5000]))
        case "metadata":
            patches: list[dict[str, Any]] = [
                {"title": "A"},
                {"title": None, "tags": [None, {}]},
                {"n": {"x": 1}},
            ]
            await session.patch_metadata(pick(draw, patches))
        case name:
            await getattr(session, name)()


async def compare(live: Service, session: Session) -> None:
    """What is followed, and what the service says at the same version: all of it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            wanted: State = read_state(json.loads((await live.sessions.get(session.id)).raw))
            if session.confirmed is not None and session.confirmed.version == wanted.version:
                break
            await asyncio.sleep(0.005)
    assert state_at(session.confirmed, wanted.server_time_ms) == wanted
    assert session.state == session.confirmed
