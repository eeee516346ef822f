"""`synckairos restore`: everything that was live comes back; it may be stopped, and run again."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from synckairos.audit import restore
from synckairos.audit.restore import Outcome, restore_all
from synckairos.audit.rows import Batch
from synckairos.errors import StorageUnavailable
from tests.support import programs
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import eventually, game
from tests.support.postgres import PostgresServer
from tests.support.programs import Program


def environ(there: Machines, database: str) -> dict[str, str]:
    return {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}


async def games(running: Audited, count: int) -> list[str]:
    """Live sessions, all stored, by their ids."""
    made = await asyncio.gather(*(game(running.sessions, start=number % 2 == 0) for number in range(count)))
    await running.archived()
    return sorted(made)


async def test_everything_that_was_live_comes_back(running: Audited, there: Machines, database: str) -> None:
    """From a Redis that has nothing, not even the library; the second run finds nothing to do."""
    live = await games(running, 150)
    over, gone = [await game(running.sessions) for _ in range(2)]
    await running.sessions.complete(over)
    await running.sessions.delete(gone)
    await running.archived()
    with running.redis() as client:
        client.flushall()
        client.function_flush("SYNC")
    variables = environ(there, database)
    first = await asyncio.to_thread(programs.run, "restore", **variables)
    assert (first.returncode, first.stdout) == (0, "150 sessions restored, 0 were there\n"), first.stderr
    assert "Traceback" not in first.stderr
    assert "150/150" in first.stderr
    assert all(running.has(session_id) for session_id in live)
    assert not running.has(over)
    assert not running.has(gone)
    states = [json.loads((await running.sessions.get(session_id)).raw) for session_id in live]
    assert all(state["recovered"] for state in states)
    assert {state["status"] for state in states} == {"pending", "running"}
    second = await asyncio.to_thread(programs.run, "restore", **variables)
    # The service's archiver has put what was restored into the queue, and nobody stores it here.
    assert second.returncode == 1
    assert "--despite-queue" in second.stderr
    again = await asyncio.to_thread(programs.run, "restore", "--despite-queue", **variables)
    assert (again.returncode, again.stdout) == (0, "0 sessions restored, 150 were there\n"), again.stderr


async def test_a_run_that_is_stopped_says_where_to_go_on(there: Machines, database: str) -> None:
    async with audited(there.server, there.rq, database) as running:
        live = await games(running, 60)
    running.lose_all()
    variables = environ(there, database)
    with Program("restore", "--rate", "10", **variables) as program:
        await asyncio.to_thread(program.until, lambda: sum(map(running.has, live)) >= 10, "the first ones")
        assert await asyncio.to_thread(program.end, signal.SIGINT) == 1
        said = "".join(program.errors)
        assert "Traceback" not in said
        last = said.partition("--after ")[2].split()[0]
        assert last in live
    done = live.index(last) + 1
    assert all(running.has(session_id) for session_id in live[:done])
    assert not running.has(live[-1])
    rest = await asyncio.to_thread(programs.run, "restore", "--despite-queue", "--after", last, **variables)
    assert rest.returncode == 0, rest.stderr
    assert all(running.has(session_id) for session_id in live)
    restored, there_before = (int(word) for word in rest.stdout.split() if word.isdecimal())
    assert restored + there_before == 60 - done


async def test_the_rate_is_kept(running: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are asked for as long as the rate says, whatever the machine does between them."""
    await games(running, 45)
    running.lose_all()
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(restore, "asyncio", SimpleNamespace(sleep=note, gather=asyncio.gather))
    monkeypatch.setattr(restore, "time", SimpleNamespace(monotonic=lambda: 0.0))
    outcome = Outcome()
    done: list[int] = []
    await restore_all(running.store, running.recovery, outcome, rate=10, advance=done.append)
    assert done == [10, 10, 10, 10, 5]
    assert pauses == [1.0, 2.0, 3.0, 4.0, 4.5]
    assert (outcome.restored, outcome.there, outcome.failed) == (45, 0, [])


async def test_what_changed_long_ago_may_be_left_alone(running: Audited) -> None:
    [session_id] = await games(running, 1)
    running.lose_all()
    outcome = Outcome()
    later = datetime.now(UTC) + timedelta(days=1)
    await restore_all(running.store, running.recovery, outcome, rate=1000, changed_after=later)
    assert (outcome.restored, outcome.older) == (0, 1)
    outcome = Outcome()
    await restore_all(
        running.store, running.recovery, outcome, rate=1000, changed_after=later - timedelta(days=2)
    )
    assert (outcome.restored, outcome.older) == (1, 0)
    assert running.has(session_id)


async def test_one_that_cannot_be_restored_keeps_no_other_one_waiting(
    running: Audited, there: Machines, database: str
) -> None:
    live = await games(running, 3)
    state = json.loads((await running.sessions.get(live[1])).raw)
    damaged = {**state, "version": state["version"] + 1, "internal": {}}
    await running.store.insert_batch(Batch([], [json.dumps(damaged).encode()]))
    running.lose_all()
    run = await asyncio.to_thread(programs.run, "restore", **environ(there, database))
    assert (run.returncode, run.stdout) == (1, "2 sessions restored, 0 were there\n")
    assert f"1 could not be restored: {live[1]}" in run.stderr
    assert [running.has(session_id) for session_id in live] == [True, False, True]


async def test_it_waits_for_postgresql_and_gives_up_in_the_end(
    there: Machines, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(own_postgres.database)
    async with audited(there.server, there.rq, url) as running:
        live = await games(running, 3)
        running.lose_all()
        await asyncio.to_thread(own_postgres.kill)
        outcome = Outcome()
        waits: list[bool] = []
        task = asyncio.create_task(
            restore_all(running.store, running.recovery, outcome, rate=1000, waiting=waits.append)
        )
        await eventually(lambda: waits or task.done())
        await asyncio.to_thread(own_postgres.start)
        await task
        assert (outcome.restored, outcome.last) == (3, live[-1])
        assert waits[-1] is False
        await asyncio.to_thread(own_postgres.kill)
        monkeypatch.setattr(restore, "PATIENCE_S", 0.1)
        with pytest.raises(StorageUnavailable):
            await restore_all(running.store, running.recovery, Outcome(), rate=1000)


def test_it_says_what_it_needs() -> None:
    run = programs.run("restore")
    assert run.returncode == 1
    assert "DATABASE_URL" in run.stderr
    for wrong in (["--rate", "0"], ["--after", "x"], ["--changed-after", "yesterday"]):
        assert programs.run("restore", *wrong).returncode == 2
