"""Links to a session: who makes them, what they give, and when they end."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from synckairos.auth import links
from synckairos.auth.caller import ANONYMOUS
from synckairos.auth.claims import LONGEST
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from tests.auth.conftest import TENANT, Api, asking, bearing, token
from tests.support.servers import Server


@pytest.fixture(params=["redis", "postgresql"])
async def shared(request: pytest.FixtureRequest, redis: Server, database: str) -> AsyncIterator[Api]:
    """A client of a service that keeps links in Redis alone, or in PostgreSQL, too."""
    environ = {"DATABASE_URL": database} if request.param == "postgresql" else {}
    async with asking(redis.url, **environ) as client:
        yield client


async def share(api: Api, session: dict[str, Any], **body: Any) -> dict[str, Any]:
    """A new link."""
    path = f"/v1/sessions/{session['session_id']}/links"
    answer = await api.post(path, json=body, headers=bearing(token("moderator")))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


@pytest.mark.one_kind
async def test_the_life_of_links(shared: Api) -> None:
    session = await shared.made(token())
    path = f"/v1/sessions/{session['session_id']}"
    first, second = (each["participant_id"] for each in session["participants"])
    watch = await share(shared, session, role="viewer")
    play = await share(shared, session, role="player", participant_id=first.upper(), expires_in_s=3600)
    lead = await share(shared, session, role="moderator", expires_in_s=30 * 24 * 3600)
    assert watch.keys() == {"link_id", "token", "url", "role", "participant_id", "expires_at"}
    assert play["participant_id"] == first
    assert watch["url"] == f"/s/{session['session_id']}#token={watch['token']}"
    assert len({watch["token"], play["token"], lead["token"]}) == 3
    assert all(each["token"].replace("_", "").isalnum() for each in (watch, play, lead))
    assert len(watch["token"]) < LONGEST

    listed = (await shared.get(f"{path}/links", headers=bearing(token("service")))).json()["data"]["links"]
    assert [each["link_id"] for each in listed] == [each["link_id"] for each in (watch, play, lead)]
    assert [each["role"] for each in listed] == ["viewer", "player", "moderator"]
    assert "token" not in listed[0]
    assert [each["expires_at"] for each in listed] == [each["expires_at"] for each in (watch, play, lead)]

    # What each may: the first number is that of the viewer, then player and moderator.
    may: dict[tuple[str, str], list[int]] = {
        ("GET", path): [200, 200, 200],
        ("GET", f"{path}/events"): [200, 200, 200],
        ("POST", f"{path}/start"): [403, 403, 200],
        ("POST", f"{path}/links"): [403, 403, 403],
        ("GET", f"{path}/links"): [403, 403, 403],
        ("DELETE", path): [403, 403, 403],
        ("POST", "/v1/sessions"): [403, 403, 403],
        ("POST", "/v1/revocations"): [403, 403, 403],
        ("GET", f"/debug/sessions/{session['session_id']}"): [403, 403, 403],
        ("GET", f"/v1/sessions/{uuid.uuid4()}"): [404, 404, 404],
    }
    for (method, where), statuses in may.items():
        found = [await shared.status(where, each["token"], method) for each in (watch, play, lead)]
        assert found == statuses, (method, where)

    by_player = await shared.get(f"{path}/events?since=1", headers=bearing(play["token"]))
    assert by_player.json()["data"]["events"][0]["payload"]["actor"] == f"link:{lead['link_id']}"
    foreign = {**bearing(token("admin", tenant="elsewhere"))}
    for method, where in (("GET", "links"), ("POST", "links"), ("DELETE", f"links/{watch['link_id']}")):
        answer = await shared.request(method, f"{path}/{where}", headers=foreign)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SESSION_NOT_FOUND")

    assert await shared.status(f"{path}/links/{watch['link_id']}", token(), "DELETE") == 204
    assert await shared.status(f"{path}/links/{watch['link_id']}", token(), "DELETE") == 204
    assert await shared.status(f"{path}/links/{uuid.uuid4()}", token(), "DELETE") == 404
    assert await shared.status(f"{path}/links/first", token(), "DELETE") == 400
    assert [await shared.status(path, each["token"]) for each in (watch, play, lead)] == [401, 200, 200]
    listed = (await shared.get(f"{path}/links", headers=bearing(token()))).json()["data"]["links"]
    assert [each["role"] for each in listed] == ["player", "moderator"]
    assert await shared.status(f"{path}/links", token(), "DELETE") == 204
    assert await shared.status(f"{path}/links", token(), "DELETE") == 204
    assert [await shared.status(path, each["token"]) for each in (watch, play, lead)] == [401] * 3
    assert second


@pytest.mark.one_kind
async def test_a_link_ends_with_its_session_and_never_holds_for_another_one(shared: Api) -> None:
    session = await shared.made(token())
    path = f"/v1/sessions/{session['session_id']}"
    link = await share(shared, session, role="viewer")
    assert await shared.status(path, link["token"]) == 200
    assert await shared.status(f"{path}/complete", token(), "POST") == 200
    assert await shared.status(path, link["token"]) == 200, "a finished session can be looked at"
    assert await shared.status(path, token(), "DELETE") == 204
    assert await shared.status(path, link["token"]) == 401
    again = await shared.made(token(), session_id=session["session_id"])
    assert await shared.status(path, token()) == 200
    assert await shared.status(path, link["token"]) == 401
    listed = (await shared.get(f"{path}/links", headers=bearing(token()))).json()["data"]["links"]
    assert listed == []
    assert await shared.status(f"{path}/links/{link['link_id']}", token(), "DELETE") == 404
    newer = await share(shared, again, role="viewer")
    # What deletes and creates besides the API is noticed with the next request, too.
    sessions = shared.running.sessions
    assert await shared.status(path, newer["token"]) == 200
    await sessions.delete(again["session_id"], Options(tenant=TENANT))
    assert await shared.status(path, newer["token"]) == 401


async def test_a_link_of_a_session_that_redis_has_no_more_is_over(api: Api, redis: Server) -> None:
    session = await api.made(token())
    path = f"/v1/sessions/{session['session_id']}"
    link = await share(api, session, role="viewer")
    keys = SessionKeys.of(session["session_id"])
    await asyncio.to_thread(redis.sync_client().delete, keys.session, keys.log)
    assert await api.status(path, token()) == 404
    assert await api.status(path, link["token"]) == 401


async def test_what_a_link_cannot_be(api: Api) -> None:
    session = await api.made(token())
    path = f"/v1/sessions/{session['session_id']}/links"
    someone = session["participants"][0]["participant_id"]
    bodies: dict[str, Any] = {
        "role": [
            {},
            {"role": None},
            {"role": "admin"},
            {"role": "service"},
            {"role": ["viewer"]},
        ],
        "participant_id": [
            {"role": "player"},
            {"role": "viewer", "participant_id": someone},
            {"role": "moderator", "participant_id": someone},
            {"role": "player", "participant_id": "first"},
        ],
        "expires_in_s": [
            {"role": "viewer", "expires_in_s": wrong}
            for wrong in (0, -1, 30 * 24 * 3600 + 1, 1.5, "60", True)
        ],
        "tenant": [{"role": "viewer", "tenant": "elsewhere"}],
    }
    for field, wrong in bodies.items():
        for body in wrong:
            answer = await api.post(path, json=body, headers=bearing(token()))
            assert answer.status_code == 400, body
            assert [each["field"] for each in answer.json()["error"]["details"]] == [field], body
    stranger = {"role": "player", "participant_id": str(uuid.uuid4())}
    answer = await api.post(path, json=stranger, headers=bearing(token()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "PARTICIPANT_NOT_FOUND")
    assert await api.status(path, token("player"), "POST", json={"role": "viewer"}) == 403
    assert await api.status(path, token("viewer"), "GET") == 403
    bound = token("moderator", session=session["session_id"])
    assert await api.status(path, bound, "POST", json={"role": "viewer"}) == 201
    elsewhere = token("moderator", session=str(uuid.uuid4()))
    assert await api.status(path, elsewhere, "POST", json={"role": "viewer"}) == 404


@pytest.mark.one_kind
async def test_a_session_has_so_many_links_at_most(shared: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert links.MOST == 1000
    monkeypatch.setattr(links, "MOST", 4)
    session = await shared.made(token())
    path = f"/v1/sessions/{session['session_id']}/links"
    made = await asyncio.gather(
        *(shared.post(path, json={"role": "viewer"}, headers=bearing(token())) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in made) == [201] * 4 + [429] * 4
    refused = next(answer for answer in made if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "QUOTA_EXCEEDED"
    one = next(answer for answer in made if answer.status_code == 201).json()["data"]
    assert await shared.status(f"{path}/{one['link_id']}", token(), "DELETE") == 204
    assert await shared.status(path, token(), "POST", json={"role": "viewer", "expires_in_s": 1}) == 201
    assert await shared.status(path, token(), "POST", json={"role": "viewer"}) == 429
    await asyncio.sleep(1.1)
    assert await shared.status(path, token(), "POST", json={"role": "viewer"}) == 201
    listed = (await shared.get(path, headers=bearing(token()))).json()["data"]["links"]
    assert len(listed) == 4
    # Nor does Redis keep all that were ever made and revoked.
    for _ in range(5):
        assert await shared.status(path, token(), "DELETE") == 204
        assert {await shared.status(path, token(), "POST", json={"role": "viewer"}) for _ in range(4)} == {
            201
        }
    kept = f"sk:auth:links:{session['session_id']}"
    client = await shared.running.context.connection.primary_for(kept)
    assert await client.hlen(kept) <= links.MOST_COPIED * links.MOST


async def test_what_redis_alone_has_waits_for_replicas_where_changes_do(
    redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link, and the revocation of links and of tokens. There is no replica, so nothing can be confirmed."""
    monkeypatch.setattr("synckairos.core.links.REPLICATED_MS", 50)
    async with asking(redis.url, DURABILITY="replicated", REPLICAS="1") as api:
        session_id = str(uuid.uuid4())
        people = [{"participant_id": str(uuid.uuid4())}]
        config = {"session_id": session_id, "sync_mode": "count_up", "participants": people}
        path = f"/v1/sessions/{session_id}/links"
        for method, address, body in (
            ("POST", "/v1/sessions", config),
            ("POST", path, {"role": "viewer"}),
            ("DELETE", path, None),
            ("POST", "/v1/revocations", {"sub": "bob"}),
        ):
            answer = await api.request(method, address, json=body, headers=bearing(token()))
            told = answer.status_code, answer.json()["error"]["code"]
            assert told == (503, "NOT_REPLICATED"), address
        assert await api.status(f"/v1/sessions/{session_id}", token("viewer", sub="bob")) == 401


async def test_the_address_of_a_link_is_absolute_by_a_setting_alone(redis: Server) -> None:
    async with asking(redis.url, PUBLIC_URL="https://play.example.org/") as api:
        session = await api.made(token())
        path = f"/v1/sessions/{session['session_id']}/links"
        headers = bearing(token()) | {"x-forwarded-host": "evil.example"}
        made = (await api.post(path, json={"role": "viewer"}, headers=headers)).json()["data"]
        assert made["url"] == f"https://play.example.org/s/{session['session_id']}#token={made['token']}"


@pytest.mark.one_kind
async def test_a_link_survives_redis_and_postgresql_each_for_itself(redis: Server, database: str) -> None:
    """What Redis has of links is a copy. A link that was revoked stays so, whichever of them is asked."""
    async with asking(redis.url, DATABASE_URL=database) as api:
        session = await api.made(token())
        path = f"/v1/sessions/{session['session_id']}"
        good, bad = await share(api, session, role="viewer"), await share(api, session, role="viewer")
        assert await api.status(f"{path}/links/{bad['link_id']}", token(), "DELETE") == 204
        client = redis.sync_client()
        await asyncio.to_thread(client.delete, f"sk:auth:links:{session['session_id']}")
        async with asking(redis.url, DATABASE_URL=database) as other:
            assert await other.status(path, good["token"]) == 200
            assert await other.status(path, bad["token"]) == 401
        copied = await asyncio.to_thread(client.hkeys, f"sk:auth:links:{session['session_id']}")
        assert set(copied) == {good["link_id"].encode(), bad["link_id"].encode()}
        # PostgreSQL is away, and what Redis knows is enough.
        away = database.replace(database.rpartition("/")[2], "nowhere")
        async with asking(redis.url, DATABASE_URL=away) as alone:
            assert await alone.status(path, good["token"]) == 200
            assert await alone.status(path, bad["token"]) == 401
            nobodys = "sl_" + uuid.UUID(session["session_id"]).hex + "0" * 32 + "_" + "0" * 64
            assert await alone.status(path, nobodys) == 503
            assert await alone.status(f"{path}/links", token(), "POST", json={"role": "viewer"}) == 503


async def test_a_link_of_nobodys_session_lets_nobody_in(api: Api) -> None:
    """As one that was made while the service asked for no tokens. A caller without a tenant has all."""
    session_id, people = str(uuid.uuid4()), [{"participant_id": str(uuid.uuid4()), "total_time_ms": 60_000}]
    config = json.dumps({"sync_mode": "per_participant", "participants": people}).encode()
    session = await api.running.sessions.create(session_id, config)
    _, bearer = await api.running.context.links.make(session, ANONYMOUS, "moderator", None, 60)
    for path in (f"/v1/sessions/{session_id}", "/v1/sessions", f"/v1/sessions/{session_id}/events"):
        assert await api.status(path, bearer) == 401
    assert await api.status(f"/v1/sessions/{session_id}/start", bearer, "POST") == 401
