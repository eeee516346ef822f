"""Across tenants: what is another's does not exist, is not brought back, and is not shown anywhere."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from synckairos.audit.jobs import Jobs, decode_job
from synckairos.audit.store import Store
from synckairos.cli import main
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from tests.auth.conftest import SECRET, TENANT, Api, asking, bearing, token
from tests.support.live import eventually
from tests.support.pool import Pool
from tests.support.servers import Server

pytestmark = pytest.mark.one_kind
OTHER = "elsewhere"


class Archived:
    """A service with PostgreSQL, whose batches the test stores."""

    def __init__(self, api: Api, server: Server, queue: Server, database: str) -> None:
        self.api = api
        self.environ = {"REDIS_URL": server.url, "RQ_REDIS_URL": queue.url, "DATABASE_URL": database}
        self.redis = server.sync_client()
        self.jobs = Jobs.of(api.running.context.settings)
        self.store = Store(database)

    async def stored(self, *, snapshots: bool = True) -> None:
        """Stores all that has happened, with snapshots or without."""
        await eventually(self._is_queued)
        for job in self.jobs.queue.get_jobs():
            batch = decode_job(*job.args)
            await self.store.insert_batch(batch if snapshots else replace(batch, snapshots=()))
        self.jobs.queue.empty()  # type: ignore[no-untyped-call]  # rq has no types for it

    def _is_queued(self) -> bool:
        return not any(self.redis.xlen(name) for name in self.redis.keys("sk:*:outbox"))

    async def lose(self, session_id: str) -> None:
        """Has Redis lose a session."""
        keys = SessionKeys.of(session_id)
        await asyncio.to_thread(self.redis.delete, keys.session, keys.log)


@asynccontextmanager
async def archiving(server: Server, queue: Server, database: str) -> AsyncIterator[Archived]:
    environ = {"RQ_REDIS_URL": queue.url, "DATABASE_URL": database, "RESTORE_RATE": "0"}
    async with asking(server.url, **environ) as api:
        made = Archived(api, server, queue, database)
        try:
            yield made
        finally:
            await made.store.aclose()
            made.jobs.close()


@pytest.fixture
async def archived(redis: Server, pool: Pool, database: str) -> AsyncIterator[Archived]:
    queue = pool.server("valkey", "queue")
    for server in (redis, queue):  # what other tests left there must not come to the database
        await asyncio.to_thread(server.sync_client().flushall)
    async with archiving(redis, queue, database) as made:
        yield made


async def test_a_foreign_read_of_a_lost_session_is_404_and_brings_nothing_back(archived: Archived) -> None:
    api = archived.api
    session = await api.made(token())
    session_id = session["session_id"]
    await archived.stored()
    await archived.lose(session_id)
    nowhere = str(uuid.uuid4())
    foreign = bearing(token(tenant=OTHER))
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/timeline.svg"),
        ("POST", "/start"),
        ("POST", "/switch"),
        ("GET", "/links"),
    ):
        answers = [
            await api.request(method, f"/v1/sessions/{each}{path}", headers=foreign | {"x-request-id": "r"})
            for each in (session_id, nowhere)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].content == answers[1].content, path
        assert not await asyncio.to_thread(archived.redis.exists, SessionKeys.of(session_id).session), path
    assert await api.status(f"/v1/sessions/{session_id}", token(tenant=OTHER), "DELETE") == 204
    assert not await asyncio.to_thread(archived.redis.exists, SessionKeys.of(session_id).session)
    found = await api.get(f"/v1/sessions/{session_id}", headers=bearing(token()))
    assert (found.status_code, found.json()["data"]["recovered"]) == (200, True)


async def test_an_id_that_is_another_tenants_cannot_be_taken(archived: Archived) -> None:
    """Lost or deleted, it is SESSION_EXISTS, and nothing is restored or written.

    That includes one that was deleted before there was a snapshot of it.
    """
    api = archived.api
    unseen = (await api.made(token()))["session_id"]
    assert await api.status(f"/v1/sessions/{unseen}", token(), "DELETE") == 204
    await archived.stored(snapshots=False)
    lost, deleted, live = [(await api.made(token()))["session_id"] for _ in range(3)]
    await archived.stored()
    assert await api.status(f"/v1/sessions/{deleted}", token(), "DELETE") == 204
    await archived.stored()
    await archived.lose(lost)
    for forgotten in (False, True):
        if forgotten:
            await archived.lose(deleted)
            await archived.lose(unseen)
        for session_id in (lost, deleted, unseen, live):
            config = {
                "session_id": session_id,
                "sync_mode": "global",
                "total_time_ms": 60_000,
                "participants": [{"participant_id": str(uuid.uuid4())}],
            }
            answer = await api.post("/v1/sessions", json=config, headers=bearing(token(tenant=OTHER)))
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "SESSION_EXISTS")
    for session_id in (lost, deleted, unseen):
        assert not await asyncio.to_thread(archived.redis.exists, SessionKeys.of(session_id).session)
    assert await api.status(f"/v1/sessions/{lost}", token()) == 200
    for session_id in (deleted, unseen):
        await api.made(token(), session_id=session_id)


async def test_what_is_wrong_with_an_input_is_told_to_the_sessions_tenant_alone(api: Api) -> None:
    """To others the session does not exist, however bad their input is."""
    session_id = (await api.made(token("service")))["session_id"]
    bad = {"json": {"nonsense": 1}}
    for method, path, options in (
        ("GET", "?x=1", {}),
        ("GET", "/events?since=x", {}),
        ("GET", "/timeline.svg?since=x", {}),
        ("POST", "/start", bad),
        ("POST", "/start", {"headers": {"if-match": "x"}}),
        ("POST", "/switch", bad),
        ("POST", "/participants", bad),
        ("DELETE", "/participants/x", {}),
        ("PATCH", "/participants/x", bad),
        ("PATCH", "/clock", bad),
        ("POST", "/links", bad),
        ("DELETE", "/links/x", {}),
        ("GET", "/links?x=1", {}),
    ):
        told = []
        for tenant, named in ((TENANT, session_id), (OTHER, session_id), (OTHER, str(uuid.uuid4()))):
            headers = bearing(token("moderator", "service", tenant=tenant)) | options.get("headers", {})
            answer = await api.request(
                method, f"/v1/sessions/{named}{path}", **options | {"headers": headers}
            )
            told.append((answer.status_code, answer.content))
        assert [status for status, _ in told] == [400, 404, 404], (method, path)
        assert told[1] == told[2], (method, path)
    api.running.context.access_log = None  # the service has no store, and is not asked for one first
    for given in (session_id, "x"):
        found = await api.status(f"/v1/sessions/{given}?x=1", token("viewer", tenant=OTHER))
        assert found == (404 if given == session_id else 400)


async def test_debug_and_the_list_show_nothing_of_another_tenant(archived: Archived) -> None:
    """Also where an id was used again, which needs PostgreSQL to be away when it is created."""
    api = archived.api
    mine, deleted, reused = [(await api.made(token()))["session_id"] for _ in range(3)]
    await archived.stored()
    for session_id in (deleted, reused):
        assert await api.status(f"/v1/sessions/{session_id}", token(), "DELETE") == 204
    await archived.stored()
    await archived.lose(reused)
    people = [{"participant_id": str(uuid.uuid4())}]
    config = {"sync_mode": "global", "total_time_ms": 60_000, "participants": people}
    secret = json.dumps(config | {"metadata": {"title": "theirs alone"}}).encode()
    await api.running.context.redis_sessions.create(reused, secret, Options(tenant=OTHER))

    for session_id in (mine, deleted):
        foreign = await api.get(f"/debug/sessions/{session_id}", headers=bearing(token(tenant=OTHER)))
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "SESSION_NOT_FOUND")
        own = await api.get(f"/debug/sessions/{session_id}", headers=bearing(token()))
        assert own.status_code == 200
        assert own.json()["data"]["newest_events"]
    for stored in (False, True):
        if stored:
            await archived.stored()
        listed = (await api.get("/v1/sessions", headers=bearing(token()))).json()["data"]["sessions"]
        assert [each["session_id"] for each in listed] == [mine]
        debug = await api.get(f"/debug/sessions/{reused}", headers=bearing(token()))
        assert debug.status_code == 404
        assert "theirs" not in debug.text
        theirs = await api.get(f"/debug/sessions/{reused}", headers=bearing(token(tenant=OTHER)))
        assert theirs.status_code == (200 if stored else 404)
        if stored:
            events = theirs.json()["data"]["newest_events"]
            assert [each["event"] for each in events] == ["session.created"]
    listed = (await api.get("/v1/sessions", headers=bearing(token(tenant=OTHER)))).json()["data"]["sessions"]
    assert [each["session_id"] for each in listed] == [reused]


async def test_a_bound_token_lists_its_session_alone(archived: Archived) -> None:
    api = archived.api
    mine, other = [(await api.made(token()))["session_id"] for _ in range(2)]
    foreign = (await api.made(token(tenant=OTHER)))["session_id"]
    await archived.stored()

    async def listed(bound_to: str, **query: str) -> list[str]:
        answer = await api.get(
            "/v1/sessions", params=query, headers=bearing(token("viewer", session=bound_to))
        )
        assert answer.json()["data"]["next_cursor"] is None or query
        return [each["session_id"] for each in answer.json()["data"]["sessions"]]

    assert await listed(mine) == [mine]
    assert await listed(mine, status="running") == []
    assert await listed(mine, limit="1") == [mine]
    assert await listed(foreign) == []
    assert await listed(str(uuid.uuid4())) == []
    assert other


async def test_sessions_without_a_tenant_are_nobodys_until_they_are_adopted(
    archived: Archived, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = archived.api
    people = [{"participant_id": str(uuid.uuid4())}]
    config = json.dumps({"sync_mode": "global", "total_time_ms": 60_000, "participants": people}).encode()
    sessions = api.running.context.redis_sessions
    kept, lost, named, deleted = [str(uuid.uuid4()) for _ in range(4)]
    for session_id in (kept, lost, named, deleted):
        await sessions.create(session_id, config)
    await sessions.delete(deleted)
    theirs = (await api.made(token(tenant=OTHER)))["session_id"]
    await archived.stored()
    await archived.lose(lost)
    for session_id in (kept, lost, named):
        for path in (f"/v1/sessions/{session_id}", f"/debug/sessions/{session_id}"):
            assert await api.status(path, token()) == 404, path
    assert (await api.get("/v1/sessions", headers=bearing(token()))).json()["data"]["sessions"] == []

    for name, value in {**archived.environ, "AUTH_MODE": "jwt", "JWT_SECRET": SECRET}.items():
        monkeypatch.setenv(name, value)

    async def adopt(*words: str) -> tuple[int, list[str]]:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["tenants", "adopt", *words])
        return result.exit_code, result.stdout.split()

    assert await adopt(TENANT, named, theirs) == (1, [named])
    assert await adopt(TENANT) == (0, sorted([kept, lost]))
    assert await adopt(TENANT) == (0, [])
    for session_id in (kept, lost, named):
        found = await api.get(f"/v1/sessions/{session_id}", headers=bearing(token()))
        assert found.status_code == 200, session_id
        assert found.json()["data"]["tenant_id"] == TENANT
        assert await api.status(f"/v1/sessions/{session_id}", token(tenant=OTHER)) == 404
    listed = (await api.get("/v1/sessions", headers=bearing(token()))).json()["data"]["sessions"]
    assert {each["session_id"] for each in listed} == {kept, lost, named}
    assert await api.status(f"/v1/sessions/{theirs}", token(tenant=OTHER)) == 200
