"""What goes on record of requests and sockets, and what `GET /v1/access-log` shows of it."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from synckairos import metrics
from synckairos.audit.access_log import chain, entries
from synckairos.audit.access_log.entries import Stored
from synckairos.audit.store import Store
from synckairos.auth.bearer import TokenEnded, TokenRevoked
from synckairos.auth.caller import Caller
from synckairos.core.model import Options
from synckairos.errors import SyncKairosError
from tests.support import programs
from tests.support.audit_service import Audited, Machines, audited
from tests.support.callers import Callers, bearer, caller
from tests.support.live import Watcher, eventually

pytestmark = pytest.mark.one_kind

FIRST, SECOND = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
NOBODYS = "00000000-0000-4000-8000-000000000000"
HERE = "127.0.0.1"
NO_YEAR = base64.urlsafe_b64encode(b"9999-12-31T23:59:59-01:00 1").decode().rstrip("=")
"""A cursor with a moment that in UTC is in a year that no calendar has."""


@pytest.fixture
async def running(there: Machines, database: str) -> AsyncIterator[Audited]:
    """A service whose callers are tenant T's and U's, with the limits on."""
    limits = {"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_MAX_REQUESTS": "1000"}
    async with audited(there.server, there.rq, database, **limits) as made:
        made.service.context.bearers = Callers(
            caller("root", "T", "admin"),
            caller("bound root", "T", "admin", session=NOBODYS),
            caller("backend", "T", "service"),
            caller("eve", "T", "viewer", "unknown role"),
            caller("leader", "T", "moderator"),
            caller("player", "T", "player", participant=SECOND),
            caller("nothing", "T", "unknown role"),
            caller("root of U", "U", "admin"),
            caller("eve of U", "U", "viewer"),
        )
        yield made


async def made(running: Audited, who: str = "backend", *, start: bool = True) -> str:
    """A session of the caller's tenant."""
    players = [{"participant_id": each, "total_time_ms": 600_000} for each in (FIRST, SECOND)]
    config = json.dumps({"sync_mode": "per_participant", "participants": players}).encode()
    tenant = "U" if who.endswith("U") else "T"
    session_id, options = str(uuid.uuid4()), Options(tenant=tenant)
    await running.sessions.create(session_id, config, options)
    if start:
        await running.sessions.start(session_id, options)
    return session_id


async def stored(running: Audited, tenant: str | None, *, flush: bool = True) -> list[Stored]:
    """A tenant's log as PostgreSQL has it, the oldest first."""
    log = running.service.context.access_log
    assert log is not None
    if flush:
        await log.flush()
    return sorted(await entries.read(running.store, tenant), key=lambda row: row.place)


def brief(rows: list[Stored]) -> list[tuple[Any, ...]]:
    return sorted(((row.sub, row.action, row.code, row.session_id, row.count) for row in rows), key=repr)


async def test_refusals_are_on_record_with_who_what_and_where(running: Audited) -> None:
    ours, theirs, api = await made(running), await made(running, "backend of U"), running.api
    missing = "cccccccc-0000-4000-8000-000000000003"
    session = f"/v1/sessions/{ours}"
    tried: list[tuple[int, str, str, dict[str, str]]] = [
        (401, "GET", session, {"x-request-id": "first"}),
        (401, "GET", session, bearer("stranger")),
        (401, "GET", session.upper().replace("/V1/SESSIONS", "/v1/sessions"), bearer("ended")),
        (401, "POST", f"{session}/switch", {"authorization": "Basic cm9vdDpyb290"}),
        (401, "GET", "/v1/sessions/no-uuid/events", {}),
        (403, "POST", f"{session}/switch", bearer("eve", **{"x-request-id": "by-eve"})),
        *[(403, "POST", f"{session}/switch", bearer("eve"))] * 3,
        (403, "POST", f"{session}/pause", bearer("eve")),
        (403, "GET", session, bearer("nothing")),
        (404, "GET", f"/v1/sessions/{theirs}", bearer("eve")),
        (404, "GET", f"/v1/sessions/{missing}", bearer("backend")),
        (404, "POST", f"/v1/sessions/{theirs}/switch", bearer("player")),
        (403, "POST", f"{session}/switch", bearer("player")),  # whose turn it is not
        (404, "GET", session, bearer("eve of U")),
        # These are no refusals:
        (200, "GET", session, bearer("eve")),
        (200, "GET", "/v1/presets", bearer("stranger")),
        (400, "GET", f"{session}?odd=1", bearer("eve")),
        (404, "GET", "/v1/nothing", bearer("eve")),
        (404, "DELETE", f"{session}/participants/{missing}", bearer("backend")),
        (405, "PUT", session, bearer("eve")),
        (200, "POST", f"{session}/switch", bearer("backend")),
    ]
    for status, method, path, headers in tried:
        answer = await api.request(method, path, headers=headers)
        assert answer.status_code == status, (method, path, headers, answer.text)
    for _ in range(500):
        if (await api.get("/v1/time")).status_code == 429:
            break
    nobody = await stored(running, None)
    assert brief(nobody) == sorted(
        [
            (None, "read", "UNAUTHENTICATED", ours, 4),
            (None, "switch", "UNAUTHENTICATED", ours, 1),
            (None, "public", "RATE_LIMIT_EXCEEDED", None, 1),
        ],
        key=repr,
    )
    assert {(row.token_id, *row.roles) for row in nobody} == {(None,)}
    rows = await stored(running, "T")
    assert brief(rows) == sorted(
        [
            ("eve", "switch", "FORBIDDEN", ours, 4),
            ("eve", "pause", "FORBIDDEN", ours, 1),
            ("nothing", "read", "FORBIDDEN", ours, 1),
            ("eve", "read", "SESSION_NOT_FOUND", theirs, 1),
            ("backend", "read", "SESSION_NOT_FOUND", missing, 1),
            ("player", "switch", "SESSION_NOT_FOUND", theirs, 1),
            ("player", "switch", "FORBIDDEN", ours, 1),
        ],
        key=repr,
    )
    first = rows[0]
    assert (first.tenant_id, first.token_id, first.roles) == ("T", "token of eve", ["unknown role", "viewer"])
    assert (first.outcome, first.request_id, first.address) == ("refused", "by-eve", HERE)
    assert brief(await stored(running, "U")) == [("eve of U", "read", "SESSION_NOT_FOUND", ours, 1)]


async def test_an_admins_action_is_stored_before_it_is_answered(running: Audited) -> None:
    session_id = await made(running)
    session = f"/v1/sessions/{session_id}"
    config = {
        "sync_mode": "per_cycle",
        "time_per_cycle_ms": 5000,
        "participants": [{"participant_id": FIRST}],
    }
    steps: list[tuple[str, str, dict[str, Any] | None, str, str | None]] = [
        ("POST", f"{session}/switch", None, "switch", None),
        ("POST", f"{session}/start", None, "start", "INVALID_SESSION_STATE"),
        ("PATCH", f"{session}/participants/{FIRST}", {"add_ms": "x"}, "adjust", "VALIDATION_ERROR"),
        ("GET", session, None, "", None),
        ("GET", f"/debug/sessions/{session_id}", None, "debug", None),
        ("GET", "/v1/access-log", None, "read the access log", None),
        ("POST", "/v1/sessions", config, "create", None),
        ("POST", f"/v1/sessions/{NOBODYS}/switch", None, "switch", "SESSION_NOT_FOUND"),
        ("DELETE", session, None, "delete", None),
    ]
    for place, (method, path, body, action, code) in enumerate([step for step in steps if step[3]], 1):
        answer = await running.api.request(method, path, json=body, headers=bearer("root"))
        assert answer.is_success == (code is None), answer.text
        row = (await stored(running, "T", flush=False))[-1]
        assert (row.place, row.sub, row.action, row.code) == (place, "root", action, code)
        assert row.outcome == ("allowed" if code is None else "refused")
        if action == "create":
            assert row.session_id == answer.json()["data"]["session_id"]
    assert (await running.api.get("/v1/sessions", headers=bearer("root"))).status_code == 200
    rows = await stored(running, "T")
    assert len(rows) == 8
    assert {row.count for row in rows} == {1}


async def test_what_others_do_to_links_is_on_record_and_nobody_waits_for_it(running: Audited) -> None:
    session_id, api = await made(running), running.api
    links = f"/v1/sessions/{session_id}/links"
    link = await api.post(links, json={"role": "viewer"}, headers=bearer("leader"))
    assert link.status_code == 201, link.text
    assert (await api.get(links, headers=bearer("leader"))).status_code == 200
    for _ in range(2):
        assert (await api.post(links, json={"role": "king"}, headers=bearer("leader"))).status_code == 400
    one = f"{links}/{link.json()['data']['link_id']}"
    assert (await api.delete(one, headers=bearer("leader"))).status_code == 204
    assert (await api.post(f"/v1/sessions/{session_id}/pause", headers=bearer("leader"))).status_code == 200
    rows = await stored(running, "T")
    assert brief(rows) == [
        ("leader", "delete link", None, session_id, 1),
        ("leader", "link", "VALIDATION_ERROR", session_id, 2),
        ("leader", "link", None, session_id, 1),
    ]


async def test_without_postgresql_admins_are_refused_and_all_others_go_on(running: Audited) -> None:
    session_id = await made(running)
    session, api = f"/v1/sessions/{session_id}", running.api
    log = running.service.context.access_log
    assert log is not None
    before, (database, log.store) = (
        await running.state(session_id),
        (log.store, Store("postgresql://nobody@127.0.0.1:1/none")),
    )
    for method, path in (
        ("POST", f"{session}/switch"),
        ("DELETE", session),
        ("GET", f"/debug/sessions/{session_id}"),
        ("GET", "/v1/access-log"),
    ):
        answer = await api.request(method, path, headers=bearer("root"))
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True), path
    assert (await running.state(session_id))["version"] == before["version"]
    assert (await api.get(session, headers=bearer("root"))).status_code == 200
    assert (await api.post(f"{session}/switch", headers=bearer("backend"))).status_code == 200
    assert (await api.post(f"{session}/switch", headers=bearer("eve"))).status_code == 403
    log.store = database
    assert brief(await stored(running, "T")) == [("eve", "switch", "FORBIDDEN", session_id, 1)]


async def test_a_log_is_read_by_its_tenants_admins_page_by_page(running: Audited) -> None:
    session_id, api = await made(running), running.api
    for n in range(5):
        path = f"/v1/sessions/{session_id}/{('start', 'pause', 'resume', 'cancel', 'complete')[n]}"
        assert (await api.post(path, headers=bearer("eve"))).status_code == 403

    async def page(who: str = "root", **query: Any) -> httpx.Response:
        return await api.get("/v1/access-log", params=query, headers=bearer(who))

    first = (await page(limit=3)).json()["data"]
    second = (await page(limit=3, cursor=first["next_cursor"])).json()["data"]
    shown = first["entries"] + second["entries"]
    assert [each["action"] for each in shown] == ["complete", "cancel", "resume", "pause", "start"]
    assert second["next_cursor"] is None
    assert [each["at"] for each in shown] == sorted((each["at"] for each in shown), reverse=True)
    assert shown[0] == {
        "at": shown[0]["at"],
        "tenant_id": "T",
        "sub": "eve",
        "roles": ["unknown role", "viewer"],
        "token_id": "token of eve",
        "action": "complete",
        "session_id": session_id,
        "outcome": "refused",
        "code": "FORBIDDEN",
        "request_id": shown[0]["request_id"],
        "address": HERE,
        "count": 1,
    }
    entries_of_u = (await page("root of U")).json()["data"]["entries"]
    assert entries_of_u == []
    for who, status in (
        ("eve", 403),
        ("backend", 403),
        ("player", 403),
        ("bound root", 403),
        ("stranger", 401),
    ):
        assert (await page(who)).status_code == status, who
    for query in (
        {"limit": 0},
        {"limit": 101},
        {"cursor": "odd"},
        {"cursor": "MSAx"},
        {"odd": 1},
        {"cursor": NO_YEAR},
    ):
        assert (await page(**query)).status_code == 400, query


async def test_sockets_are_on_record(running: Audited) -> None:
    ours, theirs = await made(running), await made(running, "backend of U")
    service = running.service
    for token, session_id, code in (
        ("stranger", ours, 1008),
        ("ended", ours, 4401),
        ("nothing", ours, 4403),
        ("eve", theirs, 4404),
    ):
        async with connect(service.url(session_id), additional_headers=bearer(token)) as socket:
            assert await Watcher(socket).closed() == code
    async with connect(service.url(ours)) as socket:
        await Watcher(socket).say(type="AUTH", token="stranger")
        assert await Watcher(socket).closed() == 1008
    async with service.follow(ours, additional_headers=bearer("eve")) as watcher:
        for n in range(3):
            assert (await watcher.ask(type="SWITCH", request_id=f"r{n}"))["error"]["code"] == "FORBIDDEN"
        assert (await watcher.ask(type="PING", t1=1))["type"] == "PONG"
    async with service.follow(ours, additional_headers=bearer("root")) as watcher:
        for kind in ("SWITCH", "PAUSE", "PAUSE"):
            answer = await watcher.ask(type=kind, request_id=str(uuid.uuid4()))
            row = (await stored(running, "T", flush=False))[-1]
            assert (row.sub, row.action, row.session_id) == ("root", kind.lower(), ours)
            assert row.code == (None if answer["type"] == "ACK" else answer["error"]["code"])
    await eventually(lambda: not service.context.websockets)
    assert brief(await stored(running, None)) == [(None, "read", "UNAUTHENTICATED", ours, 3)]
    assert brief(await stored(running, "T")) == sorted(
        [
            ("nothing", "read", "FORBIDDEN", ours, 1),
            ("eve", "read", "SESSION_NOT_FOUND", theirs, 1),
            ("eve", "switch", "FORBIDDEN", ours, 3),
            ("root", "switch", None, ours, 1),
            ("root", "pause", None, ours, 1),
            ("root", "pause", "INVALID_SESSION_STATE", ours, 1),
        ],
        key=repr,
    )


async def test_without_authentication_refusals_are_on_record_as_nobodys(running: Audited) -> None:
    """Nobody is an admin then: a database that is away keeps no call from being carried out."""
    session_id, api = await made(running, start=False), running.api
    running.service.context.bearers = type("Nobody", (Callers,), {"required": False})()
    page = {"origin": "https://elsewhere.example"}
    session, missing = f"/v1/sessions/{session_id}", f"/v1/sessions/{NOBODYS}"
    assert (await api.post(f"{session}/start", headers=page)).status_code == 403
    for method, path in (("GET", missing), ("POST", f"{missing}/start")):
        assert (await api.request(method, path)).status_code == 404
    assert (await api.post(f"{session}/start")).status_code == 200
    link = await api.post(f"{session}/links", json={"role": "viewer"})
    assert link.status_code == 201, link.text
    rows = await stored(running, None)
    assert brief(rows) == sorted(
        [
            (None, "start", "FORBIDDEN", session_id, 1),
            (None, "read", "SESSION_NOT_FOUND", NOBODYS, 1),
            (None, "start", "SESSION_NOT_FOUND", NOBODYS, 1),
            (None, "link", None, session_id, 1),
        ],
        key=repr,
    )
    shown = (await api.get("/v1/access-log")).json()["data"]["entries"]
    assert [each["action"] for each in shown] == [row.action for row in reversed(rows)]
    assert {(row.tenant_id, row.address, *row.roles) for row in rows} == {(None, HERE)}
    running.service.context.access_log, given = None, running.service.context.access_log
    assert (await api.get("/v1/access-log")).status_code == 503
    assert (await api.post(f"{session}/switch")).status_code == 200
    running.service.context.access_log = given


async def test_sockets_that_are_closed_for_their_token_or_for_a_flood_are_on_record(
    running: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, service = await made(running), running.service
    gone: list[SyncKairosError] = []

    def check_revoked(_caller: Caller) -> None:
        if gone:
            raise gone[0]

    monkeypatch.setattr(service.context.bearers, "check_revoked", check_revoked)
    for error, code in ((TokenRevoked(), 4403), (TokenEnded(), 4401)):
        async with service.follow(ours, additional_headers=bearer("eve")) as watcher:
            gone.append(error)
            (socket,) = service.context.websockets
            for _ in range(3):  # as happens until the client has closed too
                socket.check_token()
            assert await watcher.closed() == code
        gone.clear()
    async with service.follow(ours, additional_headers=bearer("eve")) as watcher:
        (conversation,) = service.context.websockets
        for _ in range(51):
            await watcher.socket.ping()
        await eventually(lambda: conversation.socket.ended)
        conversation.socket.fail_connection()  # the client would have 5 s to read why
    assert brief(await stored(running, None)) == [(None, "read", "UNAUTHENTICATED", ours, 2)]
    assert brief(await stored(running, "T")) == [("eve", "read", "RATE_LIMIT_EXCEEDED", ours, 1)]


async def test_what_commands_do_to_keys_is_on_record(running: Audited, database: str) -> None:
    def run(*arguments: str) -> str:
        done = programs.run(*arguments, DATABASE_URL=database, REDIS_URL=running.server.url)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    key = await asyncio.to_thread(run, "keys", "create", "--tenant", "T", "--role", "viewer")
    key_id = key.split("_")[1]
    await asyncio.to_thread(run, "keys", "revoke", key_id)
    rows = await stored(running, "T")
    assert [(row.action, row.token_id, row.outcome) for row in rows] == [
        ("create key", f"key:{key_id}", "allowed"),
        ("revoke key", f"key:{key_id}", "allowed"),
    ]
    assert all(row.sub is not None and row.sub.startswith("cli:") for row in rows)


async def test_a_flood_of_refusals_loses_only_what_is_counted(running: Audited) -> None:
    session_id = await made(running)
    running.service.context.bearers = Callers(*(caller(f"eve {n}", "T", "viewer") for n in range(60)))
    log = running.service.context.access_log
    assert log is not None
    log._most_waiting = 40
    dropped = metrics.access_log_dropped._value.get()
    path = f"/v1/sessions/{session_id}/switch"
    answers = await asyncio.gather(
        *(running.api.post(path, headers=bearer(f"eve {n % 60}")) for n in range(240))
    )
    assert {answer.status_code for answer in answers} == {403}
    rows = await stored(running, "T")
    dropped = metrics.access_log_dropped._value.get() - dropped
    assert dropped > 0
    assert sum(row.count for row in rows) + dropped == 240
    assert [found async for checked in chain.verify(running.store, {}) for found in checked.findings] == []
