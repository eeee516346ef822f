"""Revocations: which tokens they are about, and how every process comes to know of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time
from typing import Any

import asyncpg
import msgspec
import pytest

from synckairos.auth import revocations
from synckairos.auth.bearer import TokenRevoked
from synckairos.auth.cache import Cache
from synckairos.auth.caller import Caller
from synckairos.auth.grants import Revocation, new_key, new_link
from synckairos.auth.revocations import Revocations
from synckairos.auth.tables import Tables
from synckairos.core.connection import Connection
from synckairos.core.keys import REVOKED_COMPLETE, REVOKED_GRANTS, REVOKED_TOKENS
from synckairos.errors import StorageUnavailable
from tests.auth.conftest import TENANT, Api, asking, bearing, token
from tests.auth.test_keys import PROMISED_S, until
from tests.support.live import settings
from tests.support.servers import Server

BY_SOMEBODY = {"roles": frozenset({"viewer"}), "tenant": TENANT}


def caller(**fields: Any) -> Caller:
    return Caller(**{"subject": "carl", **BY_SOMEBODY, **fields})


async def test_which_tokens_are_revoked(redis: Server) -> None:
    async with Connection.to(settings(redis.url)) as connection:
        known = Revocations(connection, None)
        await known.revoke(Revocation(tenant=TENANT, token_id="one", made_at=1))
        await known.revoke(Revocation(tenant=TENANT, subject="carl", issued_before=100, made_at=1))
        await known.revoke(Revocation(tenant=TENANT, subject="carl", issued_before=50, made_at=2))
        cases = {
            "by its id": (caller(subject="bob", token_id="one"), True),
            "another id": (caller(subject="bob", token_id="two"), False),
            "the same id of another tenant": (caller(subject="bob", token_id="one", tenant="other"), False),
            "issued before": (caller(issued_at=99.9), True),
            "issued at that moment": (caller(issued_at=100.0), True),
            "issued after": (caller(issued_at=100.001), False),
            "which does not say when": (caller(), True),
            "the same subject of another tenant": (caller(tenant="other"), False),
            "another subject": (caller(subject="Carl"), False),
        }
        for name, (whose, revoked) in cases.items():
            assert known.is_revoked(whose) is revoked, name
        with pytest.raises(TokenRevoked):
            known.check(caller())


async def test_whoever_fills_the_server_keeps_nobody_from_revoking(redis: Server) -> None:
    """What is revoked is told on a full server, too, while nothing new is taken."""
    session_id, somebody, now = str(uuid.uuid4()), str(uuid.uuid4()), time()
    link, _ = new_link(session_id, 1, TENANT, "viewer", now=now, expires_at=now + 600)
    other, _ = new_link(session_id, 1, TENANT, "viewer", now=now, expires_at=now + 600)
    key, _ = new_key(TENANT, ["viewer"], now, expires_at=now + 600)
    async with Connection.to(settings(redis.url)) as connection:
        cache, told, hearing = (
            Cache(connection, alone=True),
            Revocations(connection, None),
            Revocations(connection, None),
        )
        await cache.put_links(session_id, [link, other], now)
        await cache.put_key(key, now)
        client = await connection.primary_for("sk")
        await client.config_set("maxmemory", 1)
        try:
            for new in (cache.put_links(session_id, [link], now), cache.put_key(key, now)):
                with pytest.raises(StorageUnavailable):
                    await new
            await cache.put_links(session_id, [msgspec.structs.replace(link, revoked=True)], now)
            await cache.put_key(msgspec.structs.replace(key, revoked=True), now)
            await told.revoke(Revocation(tenant=TENANT, subject=somebody, issued_before=now, made_at=now))
            await told.tell_grants([Revocation(tenant=TENANT, token_id=link.token_id, made_at=now)])
            await hearing.look()
        finally:
            await client.config_set("maxmemory", 0)
        assert await cache.link(session_id, link.link_id) is None
        assert await cache.link(session_id, other.link_id) == other
        assert await cache.key(key.key_id) is None
        for revoked in (caller(subject=somebody, issued_at=now), link.caller()):
            assert hearing.is_revoked(revoked)
        assert not hearing.is_revoked(other.caller())
        for stream in (REVOKED_TOKENS, REVOKED_GRANTS):
            assert await client.ttl(stream) > 0


async def test_without_postgresql_admins_revoke_and_make_links_and_change_no_session(api: Api) -> None:
    session_id = (await api.made(token("service")))["session_id"]
    api.running.context.access_log = None
    # Other tests share the server, which remembers what they have revoked.
    at, jti = f"/v1/sessions/{session_id}", str(uuid.uuid4())
    whose = token("viewer", jti=jti)
    assert await api.status(at, whose) == 200
    for method, path, body, status in (
        ("POST", f"{at}/start", None, 503),
        ("POST", "/v1/sessions", {}, 503),
        ("DELETE", at, None, 503),
        ("GET", f"/debug/sessions/{session_id}", None, 503),
        ("GET", "/v1/access-log", None, 503),
        ("GET", at, None, 200),
        ("POST", f"{at}/links", {"role": "viewer"}, 201),
        ("DELETE", f"{at}/links", None, 204),
        ("POST", "/v1/revocations", {"jti": jti}, 201),
    ):
        assert await api.status(path, token("admin"), method, json=body) == status, (method, path)
    assert await api.status(at, whose) == 401
    assert (await api.get(at, headers=bearing(token("admin")))).json()["data"]["version"] == 1


async def test_every_process_refuses_a_revoked_token_within_five_seconds(redis: Server) -> None:
    async with asking(redis.url) as api, asking(redis.url) as other:
        path = f"/v1/sessions/{uuid.uuid4()}"
        one, newer = token("viewer", jti="j"), token("viewer", sub="bob", iat=time() + 5)
        older, bobs = token("viewer", sub="bob", iat=time() - 5), token("viewer", sub="bob")
        elsewhere = token("viewer", tenant="other", jti="j", sub="bob", iat=time() - 5)
        for bearer in (one, newer, older, bobs, elsewhere):
            assert await api.status(path, bearer) == await other.status(path, bearer) == 404
        made = await api.post("/v1/revocations", json={"jti": "j"}, headers=bearing(token()))
        assert made.status_code == 201
        assert made.json()["data"]["jti"] == "j"
        assert await api.status(path, one) == 401, "its own process knows at once"
        made = await api.post("/v1/revocations", json={"sub": "bob"}, headers=bearing(token()))
        assert abs(made.json()["data"]["issued_before"] - time()) < 5
        for bearer in (one, older, bobs):
            assert await until(other, path, bearer, 401) < PROMISED_S + 2
        for bearer in (newer, elsewhere):
            assert await api.status(path, bearer) == await other.status(path, bearer) == 404
        async with asking(redis.url) as later:
            assert [await later.status(path, bearer) for bearer in (one, older, newer)] == [401, 401, 404]


async def test_what_a_revocation_cannot_be(redis: Server) -> None:
    async with asking(redis.url) as api:
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("", {}),
            ("", {"jti": "a", "sub": "b"}),
            ("jti", {"jti": ""}),
            ("jti", {"jti": "x" * 256}),
            ("jti", {"jti": "a\0"}),
            ("sub", {"sub": 7}),
            ("sub", {"sub": "a\0"}),
            ("issued_before", {"jti": "a", "issued_before": 1}),
            ("issued_before", {"sub": "a", "issued_before": "now"}),
            ("issued_before", {"sub": "a", "issued_before": True}),
            ("issued_before", {"sub": "a", "issued_before": -1}),
            ("tenant", {"jti": "a", "tenant": "other"}),
        )
        for field, body in wrong:
            answer = await api.post("/v1/revocations", json=body, headers=bearing(token()))
            assert answer.status_code == 400, body
            assert [each["field"] for each in answer.json()["error"]["details"]] == [field], body
        for roles in (("viewer",), ("player",), ("moderator",), ("service",), ()):
            bearer = token(*roles) if roles else token(session=str(uuid.uuid4()))
            assert await api.status("/v1/revocations", bearer, "POST", json={"jti": "a"}) == 403
        right = {"sub": "a", "issued_before": 1.5}
        assert await api.status("/v1/revocations", token(), "POST", json=right) == 201
        # What somebody has written beside it who may write to Redis keeps nobody from being let in.
        client = await api.running.context.connection.primary_for(REVOKED_TOKENS)
        for written in (b"{", b"[]", b"{}", b"\xff"):
            await client.xadd(REVOKED_TOKENS, {"r": written})
        assert await api.status("/v1/revocations", token(), "POST", json={"jti": "last"}) == 201
        other = Revocations(api.running.context.connection, None)
        await other.look()
        assert other.is_known()
        assert other.is_revoked(caller(token_id="last"))
        await client.delete(REVOKED_TOKENS)


@pytest.mark.one_kind
async def test_a_revocation_that_redis_lost_is_known_by_postgresql(
    redis: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a process that starts, and within half a minute to one that runs; and Redis gets it back."""
    monkeypatch.setattr(revocations, "DATABASE_EVERY_S", 0.5)
    client = redis.sync_client()
    async with asking(redis.url, DATABASE_URL=database) as api:
        path, bearer = f"/v1/sessions/{uuid.uuid4()}", token("viewer", jti="lost")
        assert await api.status("/v1/revocations", token(), "POST", json={"jti": "lost"}) == 201
        await asyncio.to_thread(client.delete, REVOKED_TOKENS, REVOKED_COMPLETE)
        async with asking(redis.url, DATABASE_URL=database) as later:
            assert await later.status(path, bearer) == 401
        assert await asyncio.to_thread(client.xlen, REVOKED_TOKENS) >= 1
        stored = await asyncpg.connect(database)
        try:
            await stored.execute(
                "INSERT INTO sync_revocations (tenant_id, jti, made_at) VALUES ($1, 'not told', now())",
                TENANT,
            )
        finally:
            await stored.close()
        await until(api, path, token("viewer", jti="not told"), 401)


class Hanging:
    """A PostgreSQL that does not answer, and does not say so either."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


async def test_nobody_waits_for_a_postgresql_that_hangs(redis: Server) -> None:
    await asyncio.to_thread(redis.sync_client().set, REVOKED_COMPLETE, "1", ex=60)
    async with Connection.to(settings(redis.url)) as connection:
        known = Revocations(connection, Tables(Hanging()))
        async with asyncio.timeout(10):
            await known.known()
            await known.look()
        assert known.is_known()
        await known.aclose()


@pytest.mark.one_kind
async def test_without_postgresql_at_the_start_redis_is_believed_when_it_has_all(
    redis: Server, database: str
) -> None:
    away = database.replace(database.rpartition("/")[2], "nowhere")
    client = redis.sync_client()
    path = f"/v1/sessions/{uuid.uuid4()}"
    async with asking(redis.url, DATABASE_URL=database) as api:
        assert await api.status("/v1/revocations", token(), "POST", json={"jti": "known"}) == 201
    async with asking(redis.url, DATABASE_URL=away) as alone:
        assert await alone.status(path, token("viewer", jti="known")) == 401
        assert await alone.status(path, token("viewer"), "GET") == 503  # the session may be in PostgreSQL
        assert await alone.status("/v1/revocations", token(), "POST", json={"jti": "a"}) == 503
    await asyncio.to_thread(client.delete, REVOKED_TOKENS, REVOKED_COMPLETE)
    async with asking(redis.url, DATABASE_URL=away) as alone:
        assert await alone.status("/v1/sessions", token("player"), "POST") == 503
