"""The roles of `deploy/postgresql`, with real logins: what a program needs works, and nothing more."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from synckairos.audit import schema
from synckairos.audit.access_log import chain, entries, erasure, retention
from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from tests.audit.test_access_chain import entry
from tests.support.audit_rows import event, participant, snapshot
from tests.support.audit_service import audited
from tests.support.callers import Callers, bearer, caller
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer

ROLES = (Path(__file__).parents[2] / "deploy" / "postgresql" / "roles.sql").read_text()
PASSWORD = "a password of the tests"
SESSION = "aaaaaaaa-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Logins:
    """The same database, for each role."""

    admin: str
    owner: str
    app: str
    worker: str


def logins(admin: str) -> Logins:
    at = urlsplit(admin)

    def url(role: str) -> str:
        login = f"synckairos_{role}:{PASSWORD.replace(' ', '%20')}"
        return at._replace(netloc=f"{login}@{at.hostname}:{at.port}").geturl()

    return Logins(admin, url("owner"), url("app"), url("worker"))


def execute(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture
def logged_in(shared_postgres: PostgresServer) -> Logins:
    """A database whose tables were made by the owner, as the page says."""
    found = logins(shared_postgres.empty_database())
    execute(found.admin, ROLES)
    execute(
        found.admin,
        *(f"ALTER ROLE synckairos_{role} PASSWORD '{PASSWORD}'" for role in ("owner", "app", "worker")),
    )
    asyncio.run(schema.migrate(found.owner))
    execute(found.admin, ROLES)
    execute(found.admin, ROLES)  # once more: it changes nothing
    return found


FORBIDDEN = {
    "app": [
        "UPDATE sync_access_log SET outcome = 'allowed'",
        "DELETE FROM sync_access_log",
        "TRUNCATE sync_access_log",
        "SELECT sub FROM sync_access_log",
        "INSERT INTO sync_access_log (action, outcome, place) VALUES ('x', 'refused', 1)",
        "INSERT INTO sync_access_log (action, outcome, hash) VALUES ('x', 'refused', '')",
        "INSERT INTO sync_access_log (action, outcome, erased_by) VALUES ('x', 'refused', 1)",
        "INSERT INTO sync_access_log (action, outcome) VALUES ('x', 'refused') RETURNING hash",
        "SELECT * FROM sync_access_chains",
        "UPDATE sync_access_chains SET place = 0",
        "DELETE FROM sync_access_chains",
        "SELECT sync_access_log_expire(now() - interval '2 days')",
        "ALTER TABLE sync_access_log DISABLE TRIGGER ALL",
        "DROP TRIGGER append ON sync_access_log",
        "SET session_replication_role = replica",
        "CREATE TABLE sync_access_chains_2 ()",
        "CREATE OR REPLACE FUNCTION sync_access_log_append() RETURNS trigger LANGUAGE sql AS ''",
        "UPDATE sync_events SET actor = NULL",
        "DELETE FROM sync_events",
        "DELETE FROM sync_sessions",
        "INSERT INTO sync_keys (key_id) VALUES ('x')",
        "UPDATE sync_keys SET roles = '{admin}'",
        "DELETE FROM sync_revocations",
        "SET ROLE synckairos_worker",
    ],
    "worker": [
        "UPDATE sync_access_log SET outcome = 'allowed'",
        "DELETE FROM sync_access_log",
        "INSERT INTO sync_access_log (action, outcome) VALUES ('x', 'refused')",
        "UPDATE sync_access_chains SET place = 0",
        "UPDATE sync_events SET actor = NULL",
        "DELETE FROM sync_events",
        "DELETE FROM sync_sessions",
        "SELECT digest FROM sync_keys",
        "DROP TABLE sync_events",
        "SET ROLE synckairos_owner",
    ],
}


async def test_nobody_may_do_what_the_page_does_not_give_them(logged_in: Logins) -> None:
    for role, statements in FORBIDDEN.items():
        connection = await asyncpg.connect(getattr(logged_in, role))
        try:
            for statement in statements:
                try:
                    await connection.execute(statement)
                except asyncpg.InsufficientPrivilegeError:
                    continue
                pytest.fail(f"{role} may: {statement}")
            if role == "app":  # a temporary table of the same name takes no place in the functions
                await connection.execute(
                    "CREATE TEMP TABLE sync_access_chains (chain text, place bigint, hash bytea)"
                )
                await connection.execute(
                    "INSERT INTO sync_access_log (action, outcome) VALUES ('x', 'refused')"
                )
                assert await connection.fetchval("SELECT count(*) FROM pg_temp.sync_access_chains") == 0
        finally:
            await connection.close()
    with pytest.raises(asyncpg.RaiseError, match="younger than a day"):
        async with Store(logged_in.worker) as store:
            await retention.expire(store, 0)


@pytest.mark.one_kind
async def test_the_page_says_of_every_table_who_may_use_it(logged_in: Logins) -> None:
    async with Store(logged_in.owner) as owner, owner.connection() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert [name for (name,) in tables if not re.search(rf"GRANT[^;]*\b{name}\b", ROLES)] == []


async def test_the_worker_and_the_owner_can_do_their_work(logged_in: Logins) -> None:
    async with Store(logged_in.worker) as worker, Store(logged_in.owner) as owner:
        assert await worker.tables() == await owner.tables()
        for _ in range(2):  # new, then known
            for epoch in (0, 1):
                batch = Batch(
                    [
                        Entry("1", SESSION, event(SESSION, 1, "session.created", epoch=epoch, actor="alice")),
                        Entry(
                            "2", SESSION, event(SESSION, 2, epoch=epoch, participants=[participant(SESSION)])
                        ),
                        Entry("odd", SESSION, b"no event"),
                    ],
                    [snapshot(SESSION, 2, epoch=epoch)],
                )
                await worker.insert_batch(batch)
        assert (await worker.count_live(), await worker.count_refused()) == (1, 1)
        await entries.insert(owner, [entry(at=0), entry(sub="bob"), entry()])
        assert await retention.expire(worker, 400) == 1
        assert await erasure.erase(owner, "alice") == erasure.Erased(1, 2)
        async for checked in chain.verify(worker, {}):
            assert (checked.rows, checked.findings) == (4, [])


async def test_the_service_works_as_the_application(logged_in: Logins, pool: Pool) -> None:
    redis, rq = pool.server("valkey"), pool.server("valkey", "queue")
    async with (
        audited(redis, rq, logged_in.app, RESTORE_RATE="1000") as running,
        Store(logged_in.worker) as worker,
    ):
        running.service.context.bearers = Callers(caller("root", "T", "admin"), caller("eve", "T", "viewer"))
        created = await running.api.post(
            "/v1/sessions",
            json={
                "sync_mode": "per_participant",
                "participants": [{"participant_id": SESSION, "total_time_ms": 5000}],
            },
            headers=bearer("root"),
        )
        assert created.status_code == 201, created.text
        session = f"/v1/sessions/{created.json()['data']['session_id']}"
        assert (await running.api.post(f"{session}/start", headers=bearer("eve"))).status_code == 403
        assert (await running.api.post(f"{session}/start", headers=bearer("root"))).status_code == 200
        running.store = worker
        await running.archived()
        running.lose_all()
        for path in (
            session,
            f"{session}/events?since=0",
            f"{session}/timeline.svg",
            "/v1/sessions",
            "/ready",
        ):
            answer = await running.api.get(path, headers=bearer("root"))
            assert answer.status_code == 200, (path, answer.text)
        made = await running.api.post(f"{session}/links", json={"role": "viewer"}, headers=bearer("root"))
        assert made.status_code == 201, made.text
        gone = f"{session}/links/{made.json()['data']['link_id']}"
        assert (await running.api.delete(gone, headers=bearer("root"))).status_code == 204
        revoked = await running.api.post("/v1/revocations", json={"sub": "eve"}, headers=bearer("root"))
        assert revoked.status_code == 201, revoked.text
        for path in (f"/debug{session.removeprefix('/v1')}", "/v1/access-log"):
            answer = await running.api.get(path, headers=bearer("root"))
            assert answer.status_code == 200, (path, answer.text)
        logged = [(each["sub"], each["action"], each["code"]) for each in answer.json()["data"]["entries"]]
        assert sorted(logged) == [
            ("eve", "start", "FORBIDDEN"),
            ("root", "create", None),
            ("root", "debug", None),
            ("root", "delete link", None),
            ("root", "link", None),
            ("root", "revoke", None),
            ("root", "start", None),
        ]
    async with Store(logged_in.admin) as store:
        newest = (await entries.read(store, "T", limit=1))[0]
    assert (newest.sub, newest.action, newest.outcome) == ("root", "read the access log", "allowed")
