"""A service whose sessions move away under load, to a server whose clock is 3 s behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from synckairos.client import SyncKairos
from synckairos.client.model import Change
from synckairos.core import connection as connections
from synckairos.history import check as history
from synckairos.history.truth import SessionTruth
from synckairos.move import saga
from synckairos.move.side import Clock
from tests.move.sides import KilledError, Place, begin, mover, place
from tests.move.skew import set_clock
from tests.support import live, programs, servers
from tests.support.live import Message, Service, Watcher, eventually, game
from tests.support.servers import Server

BEHIND_MS = 3_000
SESSIONS = 12


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Server, Server]]:
    kinds = servers.available()
    with servers.start(kinds[-1]) as source, servers.start(kinds[0]) as target:
        yield source, target


@pytest.fixture
async def ends(
    two: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Place, Place]]:
    """Both servers, with a timekeeper at the target, as its own services have one."""
    for server in two:
        with server.sync_client() as client:
            client.flushall()
    set_clock(two[1], -BEHIND_MS, monkeypatch)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(place(two[0]))
        target = await stack.enter_async_context(place(two[1]))
        there = await stack.enter_async_context(live.parts(live.settings(two[1].url)))
        await there.timekeeper.start()
        yield source, target


@asynccontextmanager
async def service(ends: tuple[Place, Place], *, follows: bool = True) -> AsyncIterator[Service]:
    """A service of the source."""
    source, target = ends
    more = {"MOVED_TO": target.server.url} if follows else {}
    async with live.service(live.settings(source.server.url, **more)) as running:
        yield running


async def move(ends: tuple[Place, Place], sessions: list[str], folder: Path) -> None:
    """Moves sessions from the first to the second."""
    record = begin(folder, *ends, sessions)
    moving = mover(*ends, record)
    await moving.move_all(sessions, 4, lambda: None)
    record.close()
    assert moving.outcome.moved == len(sessions)


def deadline(state: dict[str, Any], clock: Clock, session_id: str) -> float:
    """A state's deadline by this machine's clock."""
    return (
        float(state["deadline_ms"]) - clock.now_ms(session_id[-2:]) + 1000 * asyncio.get_running_loop().time()
    )


async def test_callers_and_watchers_notice_a_pause_and_nothing_else(
    ends: tuple[Place, Place], tmp_path: Path
) -> None:
    source, target = ends
    async with service(ends) as running, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{running.port}/v1/sessions"
        played = [await game(source.sessions) for _ in range(SESSIONS)]
        waiting = [await game(source.sessions, seconds=600) for _ in range(SESSIONS)]
        before = {
            each: deadline(json.loads((await source.sessions.get(each)).raw), source.side.clock, each)
            for each in waiting
        }
        stop = asyncio.Event()
        acknowledged: dict[str, list[int]] = {each: [] for each in played}

        async def play(session_id: str) -> None:
            while not stop.is_set():
                answer = await http.post(f"{url}/{session_id}/switch", timeout=30)
                assert answer.status_code == 200, answer.text
                acknowledged[session_id].append(answer.json()["data"]["version"])
                await asyncio.sleep(0.02)

        async with AsyncExitStack() as stack:
            watchers = [await stack.enter_async_context(running.follow(each)) for each in played]
            players = [asyncio.create_task(play(each)) for each in played]
            await eventually(lambda: all(len(done) > 3 for done in acknowledged.values()))
            await move(ends, [*played, *waiting], tmp_path)
            counts = {each: len(done) for each, done in acknowledged.items()}
            await eventually(lambda: all(len(acknowledged[each]) > counts[each] + 3 for each in played))
            stop.set()
            await asyncio.gather(*players)
            for session_id, watcher in zip(played, watchers, strict=True):
                await check_watched(watcher, target, session_id, acknowledged[session_id])

        exact = 2 + source.side.clock.uncertainty_ms("00") + target.side.clock.uncertainty_ms("00")
        for session_id in waiting:
            state = (await http.get(f"{url}/{session_id}")).json()["data"]
            after = deadline(state, target.side.clock, session_id)
            assert abs(after - before[session_id]) <= exact
            assert abs(state["time_remaining_ms"] - (state["deadline_ms"] - state["server_time_ms"])) == 0


async def check_watched(watcher: Watcher, target: Place, session_id: str, acknowledged: list[int]) -> None:
    """A socket saw every version once and in order, but for the state that it got when the session moved."""
    state = await target.sessions.get(session_id)
    seen: list[Message] = []
    while not seen or seen[-1]["version"] < state.version:
        seen.append(await watcher.next())
    (sync,) = [each for each in seen if each["type"] == "STATE_SYNC"]
    place_of_sync = seen.index(sync)
    versions = [each["version"] for each in seen]
    assert versions[:place_of_sync] == list(range(3, 3 + place_of_sync))
    assert versions[place_of_sync:] == list(range(sync["version"], state.version + 1))
    assert len({each["epoch"] for each in seen[:place_of_sync]}) <= 1
    assert {each["epoch"] for each in seen[place_of_sync:]} == {state.epoch}
    assert acknowledged == sorted(set(acknowledged)), "no version was given twice"
    log = await target.sessions.log(session_id, max(0, state.version - 40))
    assert log is not None
    switched = {json.loads(event)["version"] for event in log if b"cycle.switched" in event}
    assert switched == {each for each in acknowledged if each > state.version - 40}, "and none was lost"
    truth = SessionTruth(session_id, {"log": [msgspec.Raw(event) for event in log]}, msgspec.Raw(state.raw))
    assert history.check([], [truth], complete=False).findings == [], "and its clocks add up"
    pong = await watcher.ask(type="PING", t1=1)
    assert abs(pong["t3"] - target.side.clock.now_ms(session_id[-2:])) < BEHIND_MS / 2, "the target's clock"


async def test_a_clock_expires_at_the_target_and_its_sockets_are_told(
    ends: tuple[Place, Place], tmp_path: Path
) -> None:
    source, _ = ends
    async with service(ends) as running:
        session_id = await game(source.sessions, seconds=1.5)
        async with running.follow(session_id) as watcher:
            await move(ends, [session_id], tmp_path)
            messages = await watcher.until("TIME_EXPIRED")
            assert [each["type"] for each in messages] == ["STATE_SYNC", "TIME_EXPIRED"]
            assert messages[-1]["payload"]["event"] == "session.expired"
            assert (
                messages[0]["payload"]["full_state"]["deadline_ms"]
                == (messages[-1]["payload"]["expired_deadline_ms"])
            )


async def test_a_service_lets_a_session_run_whose_mover_died(
    ends: tuple[Place, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes, a caller or a clock that runs out, takes the steps that are left."""
    monkeypatch.setattr(connections, "RETRY_FOR_S", 0.3)
    monkeypatch.setattr(saga, "LEASE_MS", 1000)
    source, target = ends
    called, due = await game(source.sessions), await game(source.sessions, seconds=2)
    target.side.deaths = dict.fromkeys((called, due), ("sk_move_activate", True))
    record = begin(tmp_path, source, target, [called, due])
    for session_id in (called, due):
        with pytest.raises(KilledError):
            await mover(source, target, record).move(session_id)
    record.close()
    target.side.deaths = {}
    async with service(ends) as running:
        assert (await running.sessions.switch(called)).version == 5
        assert await target.has(called)
        async with asyncio.timeout(30):
            while not await target.has(due):
                await asyncio.sleep(0.1)
            while (await running.sessions.get(due)).status != "expired":
                await asyncio.sleep(0.1)


async def test_a_session_that_came_back_is_served_at_home(ends: tuple[Place, Place], tmp_path: Path) -> None:
    source, target = ends
    async with service(ends) as running:
        session_id = await game(source.sessions)
        async with running.follow(session_id) as watcher:
            await move(ends, [session_id], tmp_path)
            assert (await watcher.next("STATE_SYNC"))["version"] == 4
            (tmp_path / "back").mkdir()
            await move((target, source), [session_id], tmp_path / "back")
            assert (await watcher.next("STATE_SYNC"))["version"] == 6
            change = await running.sessions.switch(session_id)
            assert await watcher.text() == change.raw
        assert await source.has(session_id)


async def test_a_client_that_predicts_sees_the_session_go_on(
    ends: tuple[Place, Place], tmp_path: Path
) -> None:
    """With its own commands, and with all changes but those of the move itself."""
    source, target = ends
    errors: list[Exception] = []
    async with service(ends) as running:
        session_id = await game(source.sessions)
        async with (
            SyncKairos(f"http://127.0.0.1:{running.port}") as client,
            client.session(session_id) as session,
        ):
            client.on_error(errors.append)
            await session.switch()
            seen: list[Change] = []

            async def watch() -> None:
                async for change in session.changes(since=1):
                    seen.append(change)  # noqa: PERF401 - it is read meanwhile

            watching = asyncio.create_task(watch())
            await eventually(lambda: len(seen) == 2)
            await move(ends, [session_id], tmp_path)
            await session.switch()
            await eventually(lambda: seen[-1].version == 6)
            watching.cancel()
            await asyncio.wait([watching])
            assert [change.event for change in seen[:2]] == ["session.started", "cycle.switched"]
            assert seen[-1].event in ("cycle.switched", "state.synced")
            state = json.loads((await target.sessions.get(session_id)).raw)
            assert session.state.version == state["version"] == 6
            assert session.state.deadline_ms == state["deadline_ms"]
    assert errors == []


async def test_without_a_way_there_callers_are_told_where_it_went(
    ends: tuple[Place, Place], tmp_path: Path
) -> None:
    """Open sockets connect again, and then learn where it is, and that connecting here is of no use."""
    source, target = ends
    async with service(ends, follows=False) as running, httpx.AsyncClient() as http:
        session_id = await game(source.sessions)
        async with running.follow(session_id) as watcher:
            await move(ends, [session_id], tmp_path)
            assert await watcher.closed() == 1012
        async with running.watch(session_id) as watcher:
            error = (await watcher.next("ERROR"))["error"]
            assert (error["code"], error["context"]["moved_to"]) == ("SESSION_MOVED", target.side.address)
            assert await watcher.closed() == 4404
        shown = await asyncio.to_thread(
            programs.run, "watch", session_id, "--url", f"http://127.0.0.1:{running.port}"
        )
        assert shown.returncode == 1
        assert f"the session is at {target.side.address}" in shown.stderr.replace("\n", " ")
        answer = await http.get(f"http://127.0.0.1:{running.port}/v1/sessions/{session_id}")
        assert answer.status_code == 421
        assert answer.json()["error"]["context"]["moved_to"] == target.side.address
