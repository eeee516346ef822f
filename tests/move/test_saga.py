"""The saga: whoever dies at whichever step, a session is in one place, and can be moved on or taken back."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from synckairos.errors import SessionMoved, SessionMoving, SessionNotFound
from synckairos.move import saga
from synckairos.move.find import live_sessions
from synckairos.move.record import Record, RecordError, Step
from tests.move.sides import KilledError, Place, begin, mover, place
from tests.support import servers
from tests.support.live import accepted, eventually, game
from tests.support.servers import Server

SOURCE = ("sk_move_out", "sk_move_commit", "sk_move_finish")
STEPS = ("sk_move_out", "sk_move_in", "sk_move_commit", "sk_move_activate", "sk_move_finish")
DEATHS = [(step, before) for step in STEPS for before in (True, False)]


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Server, Server]]:
    """A source and a target, of two kinds where there are two. They lose nothing when they are killed."""
    kinds = servers.available()
    options = {"appendonly": "yes", "appendfsync": "always"}
    with servers.start(kinds[0], **options) as source, servers.start(kinds[-1], **options) as target:
        yield source, target


@pytest.fixture
async def places(two: tuple[Server, Server]) -> AsyncIterator[tuple[Place, Place]]:
    for server in two:
        with server.sync_client() as client:
            client.flushall()
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(place(two[0])),
            await stack.enter_async_context(place(two[1])),
        )


async def start_dying(
    source: Place, target: Place, folder: Path
) -> tuple[dict[str, tuple[str, bool]], dict[str, bytes]]:
    """One session for each moment at which a mover can die; it has died with all of them.

    Returns the moment of each session, and each one's last event before the move.
    """
    moments, last = {}, {}
    for moment in DEATHS:
        session_id = await game(source.sessions)
        moments[session_id] = moment
        last[session_id] = (await source.sessions.switch(session_id)).raw
    source.side.deaths = {session_id: moment for session_id, moment in moments.items() if moment[0] in SOURCE}
    target.side.deaths = {
        session_id: moment for session_id, moment in moments.items() if moment[0] not in SOURCE
    }
    record = begin(folder, source, target, moments)
    dying = mover(source, target, record)
    for session_id in moments:
        with pytest.raises(KilledError):
            await dying.move(session_id)
    record.close()
    source.side.deaths = target.side.deaths = {}
    return moments, last


def is_given_up(moment: tuple[str, bool]) -> bool:
    """Whether a mover that dies at this moment has given the session up."""
    step, before = moment
    return STEPS.index(step) > 2 or (step == "sk_move_commit" and not before)


async def check_goes_on(here: Place, there: Place, session_id: str, last: bytes) -> None:
    """The session is here and not there, has lost nothing, and can be changed."""
    assert await here.has(session_id)
    assert not await there.has(session_id)
    before = json.loads(last)
    state = json.loads((await here.sessions.get(session_id)).raw)
    assert state["status"] == "running"
    assert state["active_participant_id"] == before["payload"]["active_participant_id"]
    events = await here.sessions.log(session_id, 0)
    assert events is not None
    assert events[before["version"] - 1] == last
    assert [json.loads(event)["version"] for event in events] == list(range(1, state["version"] + 1))
    change = await here.sessions.switch(session_id)
    assert change.version == state["version"] + 1
    client = here.server.client()
    assert await client.zscore(SessionKeys.of(session_id).alarms, session_id) is not None
    await client.aclose()
    with pytest.raises((SessionMoved, SessionNotFound)):
        await there.sessions.switch(session_id)


@pytest.mark.parametrize("then", ["resume", "abort"])
@pytest.mark.parametrize("also", ["nobody", "source", "target"])
async def test_a_mover_dies_at_every_step(
    places: tuple[Place, Place], tmp_path: Path, also: str, then: str
) -> None:
    """And perhaps one of the servers, too. What is resumed gets there, what is aborted stays where it can."""
    source, target = places
    moments, last = await start_dying(source, target, tmp_path)
    if also != "nobody":
        killed = source.server if also == "source" else target.server
        killed.kill()
        killed.start()
    for session_id in moments:
        assert await source.has(session_id) + await target.has(session_id) <= 1
    record = Record.go_on(tmp_path / "m1.move")
    again = mover(source, target, record)
    if then == "resume":
        await again.move_all(record.unmoved(), 4, lambda: None)
    else:
        await again.take_back_all(record.open_sessions(), 4, lambda: None)
    assert not again.outcome.unsettled
    assert not again.outcome.failed
    assert not record.open_sessions()
    record.close()
    for session_id, moment in moments.items():
        if then == "resume" or is_given_up(moment):
            await check_goes_on(target, source, session_id, last[session_id])
        else:
            await check_goes_on(source, target, session_id, last[session_id])
    for server in (source.server, target.server):
        client = server.client()
        held = [name async for name in client.scan_iter("sk:{??}:*", _type="hash")]
        fields = [await client.hmget(name, ["moving", "status"]) for name in held]
        assert not [each for each in fields if each[0] and each[0].split()[0] in (b"held", b"copy")]
        await client.aclose()


async def test_a_source_fails_over_at_every_step(tmp_path: Path) -> None:
    """Where replicas confirm every step, the new primary knows of each what the old one did."""
    with (
        servers.start("valkey") as primary,
        servers.start("valkey", replicaof=f"127.0.0.1 {primary.port}") as replica,
        servers.start("valkey") as there,
        replica.sync_client() as client,
    ):
        await eventually(lambda: client.info("replication")["master_link_status"] == "up")
        async with place(there) as target:
            async with place(primary, DURABILITY="replicated") as source:
                moments, last = await start_dying(source, target, tmp_path)
            primary.kill()
            client.execute_command("REPLICAOF", "NO", "ONE")
            async with place(replica) as source:
                for session_id in moments:
                    assert await source.has(session_id) + await target.has(session_id) <= 1
                record = Record.go_on(tmp_path / "m1.move")
                again = mover(source, target, record)
                await again.move_all(record.unmoved(), 4, lambda: None)
                record.close()
                assert again.outcome.moved == len(moments)
                for session_id in moments:
                    await check_goes_on(target, source, session_id, last[session_id])


async def test_a_move_whose_record_is_lost_is_brought_to_its_end_by_the_next_one(
    places: tuple[Place, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saga, "LEASE_MS", 1000)
    source, target = places
    moments, last = await start_dying(source, target, tmp_path)
    found = await live_sessions(source.side.connection)
    assert {each for each in moments if moments[each] != ("sk_move_finish", False)} == set(found)
    (tmp_path / "next").mkdir()
    record = begin(tmp_path / "next", source, target, found, move="m2")
    again = mover(source, target, record)
    await again.move_all(found, 4, lambda: None)
    record.close()
    assert (again.outcome.moved, again.outcome.gone) == (len(found), 0)
    for session_id in moments:
        assert await target.has(session_id)
        assert not await source.has(session_id)
        assert await target.sessions.log(session_id, 2) is not None
    assert len(last) == len(moments)


async def test_a_target_that_comes_back_empty_costs_nothing(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    """The source keeps a session's data until the target runs it."""
    source, target = places
    moments, last = await start_dying(source, target, tmp_path)
    with target.server.sync_client() as client:
        client.flushall()
    record = Record.go_on(tmp_path / "m1.move")
    await mover(source, target, record).move_all(record.unmoved(), 4, lambda: None)
    record.close()
    ran = [("sk_move_activate", False), ("sk_move_finish", True), ("sk_move_finish", False)]
    for session_id, moment in moments.items():
        if moment not in ran:
            await check_goes_on(target, source, session_id, last[session_id])


@pytest.mark.parametrize("then", ["resume", "abort"])
async def test_a_source_that_comes_back_empty_leaves_what_it_gave_up_to_the_target(
    places: tuple[Place, Place], tmp_path: Path, then: str
) -> None:
    """The copy is the only one then. The record has the change with which it may run."""
    source, target = places
    moments, last = await start_dying(source, target, tmp_path)
    with source.server.sync_client() as client:
        client.flushall()
    record = Record.go_on(tmp_path / "m1.move")
    recorded = [each for each in moments if record.steps[each] in (Step.GIVEN_UP, Step.ACTIVATED)]
    assert len(recorded) == 4
    again = mover(source, target, record)
    if then == "resume":
        await again.move_all(record.unmoved(), 4, lambda: None)
    else:
        await again.take_back_all(record.open_sessions(), 4, lambda: None)
    record.close()
    assert not again.outcome.unsettled
    assert again.outcome.moved == len(recorded)
    for session_id in recorded:
        await check_goes_on(target, source, session_id, last[session_id])


async def test_what_both_servers_have_lost_is_not_settled(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    source, target = places
    moments, _ = await start_dying(source, target, tmp_path)
    for place_of in places:
        with place_of.server.sync_client() as client:
            client.flushall()
    record = Record.go_on(tmp_path / "m1.move")
    lost = [each for each in moments if record.steps[each] is Step.GIVEN_UP]
    again = mover(source, target, record)
    await again.move_all(record.unmoved(), 4, lambda: None)
    record.close()
    assert again.outcome.unsettled == dict.fromkeys(lost, "the source and the target have both lost it")


async def test_a_record_that_cannot_be_written_ends_the_move(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    source, target = places
    session_id = await game(source.sessions)
    record = begin(tmp_path, source, target, [session_id])
    record.close()
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230 - a device that does not block
        record._file = full
        with pytest.raises(RecordError, match="cannot be written: No space left"):
            await mover(source, target, record).move_all([session_id], 2, lambda: None)


async def test_a_session_whose_mover_died_goes_on_by_itself(
    places: tuple[Place, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the hold ends, at the source; and then an abort or a resume still does what it says."""
    monkeypatch.setattr(saga, "LEASE_MS", 1000)
    source, target = places
    moments, _ = await start_dying(source, target, tmp_path)
    held = [each for each in moments if not is_given_up(moments[each])]
    for session_id in held:
        await accepted(partial(change_soon, source, session_id))
    record = Record.go_on(tmp_path / "m1.move")
    again = mover(source, target, record)
    await again.move_all(record.unmoved(), 4, lambda: None)
    assert again.outcome.moved == len(moments)
    record.close()
    for session_id in moments:
        assert await target.has(session_id)
        assert not await source.has(session_id)


async def change_soon(where: Place, session_id: str, same: Options) -> None:
    """A switch, as soon as the session is not held any more."""
    while True:
        try:
            await where.sessions.switch(session_id, options=same)
            return
        except SessionMoving:
            await asyncio.sleep(0.05)


async def test_the_target_is_away_and_comes_back(
    places: tuple[Place, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mover waits; when the hold has ended meanwhile, it begins anew."""
    monkeypatch.setattr(saga, "LEASE_MS", 1000)
    source, target = places
    session_id = await game(source.sessions)
    record = begin(tmp_path, source, target, [session_id])
    moving = mover(source, target, record, patience_s=60.0)
    target.server.kill()
    task = asyncio.create_task(moving.move(session_id))
    await eventually(lambda: record.steps[session_id] is Step.HELD)
    await accepted(partial(change_soon, source, session_id))
    target.server.start()
    await task
    record.close()
    assert (moving.outcome.moved, moving.outcome.failed) == (1, {})
    assert (await target.sessions.get(session_id)).version == 5


async def test_a_server_that_stays_away_leaves_the_session_to_a_resume(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    source, target = places
    session_id = await game(source.sessions)
    record = begin(tmp_path, source, target, [session_id])
    moving = mover(source, target, record, patience_s=0.1)
    target.server.kill()
    await moving.move_all([session_id], 1, lambda: None)
    assert list(moving.outcome.unsettled) == [session_id]
    target.server.start()
    again = mover(source, target, record)
    await again.move_all(record.unmoved(), 1, lambda: None)
    record.close()
    assert again.outcome.moved == 1
    assert await target.has(session_id)


async def test_another_session_of_that_id_at_the_target_keeps_it_at_the_source(
    places: tuple[Place, Place], tmp_path: Path
) -> None:
    source, target = places
    session_id = await game(source.sessions)
    config = json.dumps(
        {
            "sync_mode": "per_cycle",
            "time_per_cycle_ms": 5000,
            "participants": [{"participant_id": str(uuid.uuid4())}],
        }
    )
    await target.sessions.create(session_id, config.encode())
    record = begin(tmp_path, source, target, [session_id])
    moving = mover(source, target, record)
    await moving.move(session_id)
    record.close()
    assert moving.outcome.failed == {session_id: "there is a session with this id"}
    assert (await source.sessions.switch(session_id)).version == 3


async def test_sessions_that_are_over_or_of_other_tenants_are_not_found(places: tuple[Place, Place]) -> None:
    source, _ = places
    mine, running, over = [await game(source.sessions, start=False) for _ in range(3)]
    await source.sessions.start(running)
    await source.sessions.cancel(over)
    client = source.server.client()
    await client.hset(SessionKeys.of(mine).session, "tenant", "club")
    await client.set("sk:{ab}:" + str(uuid.uuid4())[:-2] + "ab", "no session", ex=60)
    await client.aclose()
    assert set(await live_sessions(source.side.connection)) == {mine, running}
    assert await live_sessions(source.side.connection, "club") == [mine]


def test_a_record_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "m1.move"
    file.write_bytes(
        b'{"move":"m1","from":"a:1","to":"b:2"}\n{"session":"s1","step":"held"}\n{"session":"s2","step":"fini'
    )
    record = Record.go_on(file)
    assert (record.heading.source, record.steps) == ("a:1", {"s1": Step.HELD})
    record.note("s1", Step.FINISHED)
    record.close()
    again = Record.go_on(file)
    again.close()
    assert again.steps == {"s1": Step.FINISHED}
    file.write_bytes(b"something else\n")
    with pytest.raises(RecordError):
        Record.go_on(file)
