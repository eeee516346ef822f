"""The routes of webhooks, over HTTP: shapes, refusals, and whose they are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from synckairos.webhooks import model
from tests.auth.conftest import SECRET as JWT_SECRET
from tests.auth.conftest import TENANT, bearing, token
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import eventually, service, settings
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.programs import Program
from tests.support.receivers import receiver
from tests.support.servers import Server

pytestmark = pytest.mark.one_kind

URL = "https://8.8.8.8/hook"
WEBHOOKS = "/v1/webhooks"


@pytest.fixture
def there(server: Server, shared_postgres: PostgresServer, pool: Pool) -> Machines:
    return Machines(server, pool.server("valkey", "queue"), shared_postgres)


@pytest.fixture
async def running(there: Machines, database: str) -> AsyncIterator[Audited]:
    async with audited(there.server, there.rq, database) as made:
        yield made


@pytest.fixture
async def asked(there: Machines, database: str, tmp_path: Path) -> AsyncIterator[Audited]:
    """A service that asks for tokens, with a tenant that is suspended."""
    tenants = tmp_path / "tenants.yaml"
    tenants.write_text("tenants:\n  late:\n    suspended: true\n")
    environ = {"AUTH_MODE": "jwt", "JWT_SECRET": JWT_SECRET, "TENANTS_FILE": str(tenants)}
    async with audited(there.server, there.rq, database, **environ) as made:
        yield made


async def make(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post(WEBHOOKS, json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


async def test_a_webhook_is_made_listed_and_removed(running: Audited) -> None:
    api = running.api
    assert (await api.get(WEBHOOKS)).json() == {"data": {"webhooks": []}}
    made = await make(api, events=["session.expired", "participant.*"], sessions={"league": "A"})
    secret = made.pop("secret")
    assert model.is_secret(secret)
    assert list(made) == ["webhook_id", "url", "events", "sessions", "status", "created_at"]
    assert (made["url"], made["events"]) == (URL, ["session.expired", "participant.*"])
    assert (made["sessions"], made["status"]) == ({"league": "A"}, "active")
    other = await make(api, secret=secret)
    assert (other["secret"], other["events"], other["sessions"]) == (secret, None, None)
    listed = await api.get(WEBHOOKS)
    assert listed.json()["data"]["webhooks"] == [made, {name: other[name] for name in made}]
    assert secret not in listed.text
    path = f"{WEBHOOKS}/{made['webhook_id']}"
    assert (await api.delete(path)).status_code == 204
    assert (await api.delete(path)).status_code == 404
    assert len((await api.get(WEBHOOKS)).json()["data"]["webhooks"]) == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["url"]),
        ({"url": None}, ["url"]),
        ({"url": 1}, ["url"]),
        ({"url": ""}, ["url"]),
        ({"url": "http://8.8.8.8/"}, ["url"]),
        ({"url": "http://nowhere.invalid/"}, ["url"]),
        ({"url": "https://10.0.0.1/"}, ["url"]),
        ({"url": "https://[::ffff:10.0.0.1]/"}, ["url"]),
        ({"url": "https://169.254.169.254/latest/meta-data"}, ["url"]),
        ({"url": "https://user:word@8.8.8.8/"}, ["url"]),
        ({"url": "ftp://8.8.8.8/"}, ["url"]),
        ({"url": URL, "events": []}, ["events"]),
        ({"url": URL, "events": "session.*"}, ["events"]),
        ({"url": URL, "events": ["session.*", "sessions.*", "*"]}, ["events.1", "events.2"]),
        ({"url": URL, "sessions": []}, ["sessions"]),
        ({"url": URL, "secret": "word"}, ["secret"]),
        ({"url": URL, "secret": "whsec_c2hvcnQ="}, ["secret"]),
        ({"url": "x", "events": ["no"], "secret": "s"}, ["url", "events.0", "secret"]),
        ({"url": URL, "more": 1}, ["more"]),
        (
            {"url": "ftp://8.8.8.8/", "events": "session.*", "secret": "s", "more": 1},
            ["url", "events", "secret", "more"],
        ),
        ([], [""]),
    ],
)
async def test_what_is_refused(running: Audited, body: dict[str, Any], fields: list[str]) -> None:
    answer = await running.api.post(WEBHOOKS, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "VALIDATION_ERROR")
    assert sorted(each["field"] for each in error["details"]) == sorted(fields)


async def test_null_is_absent_and_every_event_can_be_asked_for(running: Audited) -> None:
    made = await make(running.api, events=None, sessions=None, secret=None)
    assert (made["events"], made["sessions"]) == (None, None)
    events = sorted(model.PATTERNS)
    assert (await make(running.api, events=events, sessions={}))["events"] == events


async def test_a_name_that_leads_to_this_machine_is_refused_in_production(
    there: Machines, database: str
) -> None:
    environ = {"ENVIRONMENT": "production", "AUTH_MODE": "jwt", "JWT_SECRET": JWT_SECRET}
    async with audited(there.server, there.rq, database, **environ) as running:
        for url in ("https://localhost/", "http://localhost/", "https://127.1/", "https://[::1]/"):
            answer = await running.api.post(WEBHOOKS, json={"url": url}, headers=bearing(token("service")))
            assert answer.json()["error"]["details"][0]["field"] == "url", url
        # One that leads nowhere yet may lead somewhere tomorrow.
        answer = await running.api.post(
            WEBHOOKS, json={"url": "https://nowhere.invalid/"}, headers=bearing(token("service"))
        )
        assert answer.status_code == 201


async def test_at_most_twenty(running: Audited) -> None:
    answers = await asyncio.gather(*(running.api.post(WEBHOOKS, json={"url": URL}) for _ in range(25)))
    assert sorted(each.status_code for each in answers) == [201] * 20 + [429] * 5
    error = next(each.json()["error"] for each in answers if each.status_code == 429)
    assert (error["code"], error["context"]) == ("QUOTA_EXCEEDED", {"quota": "webhooks", "limit": 20})


async def test_a_whole_way_with_a_worker(running: Audited, there: Machines, database: str) -> None:
    """From a change to a request, a test, a failure and its replay, over HTTP alone."""
    api = running.api
    environ = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
    with receiver() as got, Program("worker", **environ) as worker:
        before = await running.play()
        made = await make(api, url=got.url)
        path = f"{WEBHOOKS}/{made['webhook_id']}"
        session_id = (await running.play(switches=2))["session_id"]
        await eventually(lambda: got.versions(session_id) == [1, 2, 3, 4], 30)
        assert got.versions(before["session_id"]) == []
        assert all(each.verified(made["secret"]) for each in got.got)
        got.answer = lambda _: 500
        answer = await api.post(f"{path}/test")
        tested = answer.json()["data"]
        assert (answer.status_code, tested["status"], tested["response_status"]) == (200, "failed", 500)
        assert list(tested) == [
            *("delivery_id", "status", "attempts", "response_status", "created_at", "next_attempt_at")
        ]
        assert got.got[-1].events[0]["type"] == "WEBHOOK_TEST"
        listed = (await api.get(f"{path}/deliveries")).json()["data"]
        assert listed["deliveries"][0] == tested
        assert {each["status"] for each in listed["deliveries"][1:]} == {"delivered"}
        assert listed["next_cursor"] is None
        got.answer = lambda _: 204
        delivery = listed["deliveries"][-1]
        again = await api.post(f"{path}/deliveries/{delivery['delivery_id']}/retry")
        assert (again.status_code, again.json()["data"]["status"]) == (200, "pending")
        await eventually(
            lambda: [got_.delivery_id for got_ in got.got].count(delivery["delivery_id"]) == 2, 30
        )
        # A page at a time.
        first = (await api.get(f"{path}/deliveries?limit=1")).json()["data"]
        second = (await api.get(f"{path}/deliveries?cursor={first['next_cursor']}")).json()["data"]
        assert [*first["deliveries"], *second["deliveries"]][0]["delivery_id"] == tested["delivery_id"]
        assert len(second["deliveries"]) == len(listed["deliveries"]) - 1
        assert worker.end() == 0


async def test_where_no_worker_sends_a_test_waits_for_one(running: Audited) -> None:
    made = await make(running.api)
    answer = await running.api.post(f"{WEBHOOKS}/{made['webhook_id']}/test")
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "pending")


async def test_what_is_not_there(running: Audited) -> None:
    made, nobody = await make(running.api), str(uuid.uuid4())
    for method, path in (
        ("DELETE", nobody),
        ("POST", f"{nobody}/test"),
        ("GET", f"{nobody}/deliveries"),
        ("POST", f"{nobody}/deliveries/{nobody}/retry"),
        ("POST", f"{made['webhook_id']}/deliveries/{nobody}/retry"),
    ):
        answer = await running.api.request(method, f"{WEBHOOKS}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), path
    for path in ("x/deliveries", f"{made['webhook_id']}/deliveries?cursor=x", f"{nobody}/deliveries?limit=0"):
        assert (await running.api.get(f"{WEBHOOKS}/{path}")).status_code == 400


async def test_without_postgresql_there_are_none(redis: Server) -> None:
    async with (
        service(settings(redis.url)) as alone,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{alone.port}") as api,
    ):
        for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{uuid.uuid4()}")):
            answer = await api.request(method, f"{WEBHOOKS}{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "STORAGE_UNAVAILABLE")
            assert answer.headers["retry-after"]


async def test_who_may_and_whose_they_are(asked: Audited) -> None:
    api = asked.api

    async def call(bearer: str, method: str = "POST", path: str = "") -> httpx.Response:
        body = {"json": {"url": URL}} if (method, path) == ("POST", "") else {}
        return await api.request(method, f"{WEBHOOKS}{path}", headers=bearing(bearer), **body)  # type: ignore[arg-type]

    for role in ("service", "admin"):
        assert (await call(token(role))).status_code == 201
    for bearer in (
        *(token(role) for role in ("viewer", "player", "moderator")),
        token("admin", session=str(uuid.uuid4())),
    ):
        assert (await call(bearer)).json()["error"]["code"] == "FORBIDDEN"
    own = (await call(token("service"), "GET")).json()["data"]["webhooks"]
    assert len(own) == 2
    foreign = token("service", tenant="others")
    assert (await call(foreign, "GET")).json()["data"]["webhooks"] == []
    path = f"/{own[0]['webhook_id']}"
    for method, at in (("DELETE", path), ("POST", f"{path}/test"), ("GET", f"{path}/deliveries")):
        assert (await call(foreign, method, at)).status_code == 404
    suspended = await call(token("service", tenant="late"))
    assert (suspended.status_code, suspended.json()["error"]["code"]) == (429, "QUOTA_EXCEEDED")
    assert (await call(token("admin"), "DELETE", path)).status_code == 204
    log = await api.get("/v1/access-log", headers=bearing(token("admin")))
    entries = [each for each in log.json()["data"]["entries"] if each["action"] == "webhook"]
    assert {(each["tenant_id"], each["outcome"], each["code"]) for each in entries} == {
        (TENANT, "allowed", None),
        (TENANT, "refused", "FORBIDDEN"),
    }


async def test_metrics_say_how_many_wait(there: Machines, database: str) -> None:
    async with audited(there.server, there.rq, database, ENABLE_METRICS="true") as running:
        made = await make(running.api)
        for _ in range(3):
            await running.api.post(f"{WEBHOOKS}/{made['webhook_id']}/test")
        async with asyncio.timeout(20):
            while "synckairos_webhooks_waiting 3.0" not in (await running.api.get("/metrics")).text:
                await asyncio.sleep(0.1)
