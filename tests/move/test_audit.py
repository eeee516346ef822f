"""What the audit makes of sessions that moved: only the target restores them, and no event is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from synckairos.audit.losses import Losses
from synckairos.audit.restorer import Restorer
from tests.move.sides import begin, mover, place
from tests.support.audit_service import Audited, audited, restored
from tests.support.live import eventually
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.one_kind


@pytest.fixture(params=["one database", "two databases"])
def databases(request: pytest.FixtureRequest, shared_postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """The database of the source and that of the target, which may be one."""
    with shared_postgres.lend_database() as first, shared_postgres.lend_database() as second:
        yield first, first if request.param == "one database" else second


@pytest.fixture
def database(shared_postgres: PostgresServer) -> Iterator[str]:
    with shared_postgres.lend_database() as lent:
        yield lent


@pytest.fixture
async def two(databases: tuple[str, str], pool: Pool) -> AsyncIterator[tuple[Audited, Audited]]:
    """A service of the source and one of the target."""
    source = audited(pool.server("valkey", "source"), pool.server("valkey", "queue"), databases[0])
    target = audited(pool.server("valkey", "target"), pool.server("valkey", "target's queue"), databases[1])
    async with source as first, target as second:
        yield first, second


async def move(source: Audited, target: Audited, session_id: str, folder: Path) -> None:
    """Moves a session, and stores what both sides have to say about that."""
    async with place(source.server) as here, place(target.server) as there:
        record = begin(folder, here, there, [session_id])
        moving = mover(here, there, record)
        await moving.move(session_id)
        record.close()
    assert moving.outcome.moved == 1
    await source.archived()
    await target.archived()


async def test_only_the_target_restores_it(two: tuple[Audited, Audited], tmp_path: Path) -> None:
    source, target = two
    before = await source.play()
    session_id = before["session_id"]
    await source.archived()
    await move(source, target, session_id, tmp_path)
    source.lose_all()
    answer = await source.api.get(f"/v1/sessions/{session_id}")
    assert answer.status_code == 421
    assert answer.json()["error"]["context"]["moved_to"] == f"127.0.0.1:{target.server.port}"
    assert (await source.api.post(f"/v1/sessions/{session_id}/switch")).status_code == 421
    stored = await source.store.session(session_id)
    assert stored is not None
    assert not await source.recovery.bring_back(stored)
    assert not await source.recovery.fetch(session_id, None)
    assert not source.has(session_id)

    target.lose_all()
    after = await target.state(session_id)
    assert after["recovered"]
    assert after["version"] == before["version"] + 3
    change = (await target.api.post(f"/v1/sessions/{session_id}/switch")).json()["data"]
    assert change["version"] == after["version"] + 1


async def test_its_events_follow_each_other_over_the_move(
    two: tuple[Audited, Audited], databases: tuple[str, str], tmp_path: Path
) -> None:
    source, target = two
    session_id = (await source.play())["session_id"]
    await source.archived()
    await move(source, target, session_id, tmp_path)
    await target.sessions.switch(session_id)
    await target.sessions.complete(session_id)
    await target.archived()
    events = (await target.api.get(f"/v1/sessions/{session_id}/events?since=0")).json()["data"]["events"]
    assert [event["version"] for event in events] == list(range(1, 10))
    assert [event["payload"]["event"] for event in events[-4:]] == [
        "session.moved",
        "session.arrived",
        "cycle.switched",
        "session.completed",
    ]
    stored = await target.store.events(session_id)
    first = 1 if databases[0] == databases[1] else 7
    assert [event.version for event in stored] == list(range(first, 10))
    found = (await target.api.get(f"/debug/sessions/{session_id}")).json()["data"]
    assert found["redis"]["found"] == "session"
    assert found["consistent"], found["findings"]
    left = (await source.api.get(f"/debug/sessions/{session_id}")).json()["data"]
    assert left["redis"]["found"] == "moved"


async def test_one_that_came_back_is_restored_at_home(two: tuple[Audited, Audited], tmp_path: Path) -> None:
    source, target = two
    session_id = (await source.play())["session_id"]
    await source.archived()
    await move(source, target, session_id, tmp_path)
    (tmp_path / "back").mkdir()
    await move(target, source, session_id, tmp_path / "back")
    source.lose_all()
    assert (await source.state(session_id))["recovered"]
    listed = (await source.api.get("/v1/sessions")).json()["data"]["sessions"]
    assert [each["session_id"] for each in listed] == [session_id]


async def test_one_that_came_back_before_anything_was_stored_is_restored_at_home(
    two: tuple[Audited, Audited], tmp_path: Path
) -> None:
    """The batches that wait say where it has moved last. One that waits elsewhere stays away."""
    source, target = two
    returned, gone = [(await source.play())["session_id"] for _ in range(2)]
    await source.archived()
    async with place(source.server) as here, place(target.server) as there:
        for number, (one, other, session_id) in enumerate(
            ((here, there, returned), (there, here, returned), (here, there, gone))
        ):
            record = begin(tmp_path, one, other, [session_id], move=f"m{number}")
            await mover(one, other, record).move(session_id)
            record.close()
    await eventually(lambda: not source._waiting())
    source.lose_all()
    restorer = Restorer(
        Losses(source.service.context.connection),
        source.store,
        source.recovery,
        source.queue,
        rate=1000,
        ttl_s=3600,
    )
    await restorer.start()
    await eventually(lambda: source.has(returned) and restorer.progress is None)
    await restorer.stop()
    assert not source.has(gone)


async def test_what_runs_at_the_source_is_not_restored_at_the_target(
    database: str, pool: Pool, tmp_path: Path
) -> None:
    """Where both use one database, the services of the target ask the source, which is in MOVED_TO."""
    here, there = pool.server("valkey", "source"), pool.server("valkey", "target")
    queues = pool.server("valkey", "queue"), pool.server("valkey", "target's queue")
    async with audited(here, queues[0], database) as source:
        moving, waiting = [(await source.play())["session_id"] for _ in range(2)]
        await source.archived()
        more = {"MOVED_TO": here.url, "RESTORE_RATE": "1000"}
        async with audited(there, queues[1], database, **more) as target:
            await restored(target.service)
            for session_id in (moving, waiting):
                assert not target.has(session_id)
                answer = await target.api.get(f"/v1/sessions/{session_id}")
                assert answer.status_code == 421
                assert answer.json()["error"]["context"]["moved_to"] == f"127.0.0.1:{here.port}"
                assert not await target.recovery.fetch(session_id, None)
            own = (await target.play())["session_id"]
            await move(source, target, moving, tmp_path)
            target.lose_all()
            await restored(target.service)
            assert [target.has(each) for each in (moving, waiting, own)] == [True, False, True]
            assert (await source.state(waiting))["version"] == 5
    # When the source will not come back, it is taken out of MOVED_TO.
    for place_of_source, status in (("redis://127.0.0.1:1", 503), ("", 200)):
        async with audited(there, queues[1], database, MOVED_TO=place_of_source) as target:
            assert (await target.api.get(f"/v1/sessions/{moving}")).status_code == 200
            assert (await target.api.get(f"/v1/sessions/{waiting}")).status_code == status
            assert target.has(waiting) is (status == 200)


async def test_the_list_has_sessions_that_moved(two: tuple[Audited, Audited], tmp_path: Path) -> None:
    source, target = two
    session_id = (await source.play())["session_id"]
    await source.archived()
    await move(source, target, session_id, tmp_path)
    for side in two:
        listed = (await side.api.get("/v1/sessions")).json()["data"]["sessions"]
        assert [(each["session_id"], each["status"]) for each in listed] == [(session_id, "running")]
