"""Sessions that are over, and that only PostgreSQL has any more, go on when they are reopened or reset."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from synckairos.core import keys
from synckairos.core.model import Options
from synckairos.errors import (
    ConcurrentModification,
    InvalidSessionState,
    QuotaExceeded,
    SessionNotFound,
)
from tests.contract.conftest import chess
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import versions

pytestmark = pytest.mark.one_kind


async def over(running: Audited, **config: Any) -> dict[str, Any]:
    """A game that was completed after three switches, and that only PostgreSQL has. Returns its state."""
    session = await running.play(3, **config)
    await running.sessions.complete(session["session_id"])
    ended = await running.state(session["session_id"])
    await running.archived()
    running.lose_all()
    return ended


async def test_it_goes_on_where_it_ended_and_is_live_in_both(running: Audited) -> None:
    ended = await over(running)
    session_id = ended["session_id"]
    answer = await running.api.post(f"/v1/sessions/{session_id}/reopen")
    change = answer.json()["data"]
    assert (answer.status_code, change["event"], change["status"]) == (200, "session.reopened", "paused")
    assert change["version"] == ended["version"] + 2, "the restore is a version of its own"
    assert int(change["epoch"]) > int(ended["epoch"])
    state = await running.state(session_id)
    assert state["active_participant_id"] == change["active_participant_id"] is not None
    assert (state["recovered"], state["session_completed_at"]) == (True, None)
    for before, after in zip(ended["participants"], state["participants"], strict=True):
        assert (before["total_time_ms"], before["cycle_count"]) == (
            after["total_time_ms"],
            after["cycle_count"],
        )
    await running.archived()
    stored = await running.store.session(session_id)
    assert stored is not None
    assert (stored.status, stored.version) == ("paused", change["version"])
    assert session_id in await running.store.live_ids()
    listed = (await running.api.get("/v1/sessions", params={"status": "paused"})).json()["data"]["sessions"]
    assert [each["session_id"] for each in listed] == [session_id]
    running.lose_all()
    assert (await running.sessions.resume(session_id)).version == change["version"] + 2, "it is restored"


async def test_it_begins_again(running: Audited) -> None:
    ended = await over(running)
    change = await running.sessions.reset(ended["session_id"])
    state = await running.state(ended["session_id"])
    assert (change.version, state["status"]) == (ended["version"] + 2, "pending")
    assert (state["cycle_count"], state["time_used_ms"], state["recovered"]) == (0, 0, False)


async def test_its_metadata_changes_and_it_stays_over(running: Audited) -> None:
    """Who watched it is led to another game, however long ago it ended."""
    ended = await over(running, metadata={"title": "Final"})
    session_id = ended["session_id"]
    stale = {"metadata": {"next_session": "x"}, "expected_version": ended["version"] - 1}
    answer = await running.api.patch(f"/v1/sessions/{session_id}/metadata", json=stale)
    assert (answer.status_code, running.has(session_id)) == (409, False)
    patch = {"metadata": {"next_session": "x"}, "expected_version": ended["version"]}
    answer = await running.api.patch(f"/v1/sessions/{session_id}/metadata", json=patch)
    change = answer.json()["data"]
    assert (answer.status_code, change["event"], change["status"]) == (200, "metadata.changed", "completed")
    assert change["version"] == ended["version"] + 2, "the restore is a version of its own"
    await running.archived()
    running.lose_all()
    state = await running.state(session_id)
    assert (state["status"], state["metadata"]) == ("completed", {"title": "Final", "next_session": "x"})
    assert state["session_completed_at"] == ended["session_completed_at"]
    assert not running.has(session_id), "it is read from PostgreSQL"


async def test_one_that_was_live_is_restored_and_reset(running: Audited) -> None:
    session = await running.play(3)
    await running.archived()
    running.lose_all()
    await running.sessions.reset(session["session_id"])
    assert (await running.state(session["session_id"]))["status"] == "pending"


async def test_of_many_at_once_one_reopens_it(running: Audited) -> None:
    ended = await over(running)
    calls = [running.sessions.reopen(ended["session_id"]) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, InvalidSessionState) for each in answers) == 7
    (change,) = [each for each in answers if not isinstance(each, BaseException)]
    assert change.version == ended["version"] + 2


async def test_what_the_caller_expects_is_the_version_of_the_end(running: Audited) -> None:
    ended = await over(running)
    session_id, version, epoch = ended["session_id"], ended["version"], ended["epoch"]
    for stale in (Options(version=version - 1), Options(version=version, epoch=str(int(epoch) - 1))):
        with pytest.raises(ConcurrentModification):
            await running.sessions.reopen(session_id, stale)
    assert not running.has(session_id)
    headers = {"if-match": f'"{version}@{epoch}"', "idempotency-key": "once"}
    first = await running.api.post(f"/v1/sessions/{session_id}/reopen", headers=headers)
    again = await running.api.post(f"/v1/sessions/{session_id}/reopen", headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")


@pytest.mark.parametrize("call", ["reopen", "reset"])
async def test_another_tenants_and_deleted_ones_are_not_there_and_nothing_is_written(
    running: Audited, call: str
) -> None:
    ended = await over(running)
    session_id = ended["session_id"]
    for tenant in ("others", "more"):
        with pytest.raises(SessionNotFound):
            await getattr(running.sessions, call)(session_id, Options(tenant=tenant))
    assert not running.has(session_id)
    await running.sessions.delete(session_id)
    await running.archived()
    for _ in range(2):  # with its tombstone, and when that is gone
        with pytest.raises(SessionNotFound):
            await getattr(running.sessions, call)(session_id)
        running.lose_all()
    assert not running.has(session_id)


async def test_an_end_of_which_there_is_only_the_event_cannot_be_undone(running: Audited) -> None:
    session = await running.play(3)
    await running.archived()
    await running.sessions.complete(session["session_id"])
    await running.archived(snapshots=False)
    running.lose_all()
    with pytest.raises(InvalidSessionState, match="is not stored"):
        await running.sessions.reopen(session["session_id"])
    assert not running.has(session["session_id"])


async def test_whoever_watched_the_end_sees_it_go_on(running: Audited) -> None:
    ended = await over(running)
    async with running.service.watch(ended["session_id"]) as watcher:
        await watcher.next("CONNECTED")
        assert (await watcher.next("STATE_SYNC"))["version"] == ended["version"]
        change = await running.sessions.reopen(ended["session_id"])
        shown = await watcher.next("STATE_SYNC")
        told = [shown]
        while told[-1]["version"] < change.version:
            told.append(await watcher.next())
        assert told[-1]["epoch"] == change.epoch
        await running.sessions.resume(ended["session_id"])
        assert (await watcher.next("STATE_UPDATE"))["payload"]["event"] == "session.resumed"
        assert versions(told) == sorted(versions(told))


async def test_it_needs_room_in_the_tenants_quota(there: Machines, database: str, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: {club: {quotas: {sessions: 1, creates_per_day: 2}}}")
    club = Options(tenant="club")
    async with audited(there.server, there.rq, database, TENANTS_FILE=str(file)) as running:
        quotas, sessions = running.service.context.quotas, running.sessions
        ended, live = str(uuid.uuid4()), str(uuid.uuid4())
        for session_id in (ended, live):
            async with quotas.creation("club", session_id, 2):
                await sessions.create(session_id, json.dumps(chess()).encode(), club)
            if session_id == ended:
                await sessions.cancel(ended, club)

        async def reopen(session_id: str) -> None:
            async with quotas.revival("club", session_id, sessions):
                await sessions.reopen(session_id, club)

        with pytest.raises(QuotaExceeded):
            await reopen(ended)
        with pytest.raises(InvalidSessionState):
            await reopen(live)
        await sessions.cancel(live, club)
        await reopen(ended)
        with running.redis() as client:
            assert client.zrange(keys.quota("club")[1], 0, -1) == [ended.encode()]
        with pytest.raises(QuotaExceeded):
            await reopen(live)
