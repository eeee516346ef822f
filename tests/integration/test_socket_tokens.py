"""Sockets with tokens: how they come, what they allow, and what happens when they end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from synckairos.api.websocket import endpoint, opening
from synckairos.api.websocket.grant import Grant
from synckairos.auth.caller import Caller
from synckairos.auth.grants import Revocation
from synckairos.core.model import Options
from tests.support import servers
from tests.support.live import Service, Watcher, eventually, game, service, settings
from tests.support.programs import ROOT
from tests.support.records import Records
from tests.support.tokens import Tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENT = ROOT / "synckairos/web/synckairos.js"
ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server, tokens: Tokens) -> AsyncIterator[Service]:
    """A service that asks for tokens, without rate limits, and that looks at them often."""
    with pytest.MonkeyPatch.context() as often:
        often.setattr(endpoint, "CHECK_TOKENS_EVERY_S", 0.05)
        async with tokens.service(settings(redis.url)) as running:
            yield running


async def club_game(running: Service, *, start: bool = True, **config: Any) -> str:
    """A game of the tenant `club` between ANNA and BEN."""
    session_id = str(uuid.uuid4())
    text = {
        "sync_mode": "per_participant",
        "participants": [{"participant_id": one, "total_time_ms": 600_000} for one in (ANNA, BEN)],
        **config,
    }
    options = Options(tenant="club")
    await running.sessions.create(session_id, json.dumps(text).encode(), options)
    if start:
        await running.sessions.start(session_id, options)
    return session_id


def bearing(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


# How a token comes


@pytest.mark.parametrize("way", ["header", "subprotocol", "first message", "address"])
async def test_a_token_comes_in_one_of_four_ways(
    live: Service, tokens: Tokens, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session_id = await club_game(live)
    token = tokens.make(for_s=90.0)
    given: dict[str, Any] = {"subprotocols": ["synckairos.v1"]}
    path = "/ws"
    if way == "header":
        given |= bearing(token)
    elif way == "subprotocol":
        given["subprotocols"] = [f"bearer.{token}", "synckairos.v1"]
    elif way == "address":
        path = f"/ws?token={token}&x="
    url = live.url(session_id, path).replace("?session_id", "&session_id") if way == "address" else None
    async with live.watch(session_id, url=url, **given) as client:
        assert client.socket.subprotocol == "synckairos.v1"
        if way == "first message":
            await client.say(type="AUTH", token=token)
        connected = await client.next("CONNECTED")
        ends = datetime.fromisoformat(connected["payload"]["token_expires_at"]).timestamp()
        assert ends == pytest.approx((await tokens.caller(token)).ends_at, abs=0.001)
        await client.next("STATE_SYNC")
        assert (await client.ask(type="SWITCH", request_id="r"))["type"] == "ACK"
    # The library `websockets` is never logged at this level, see `synckairos.logs`.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert not [line for line in ours if token in line]


async def test_a_token_without_an_end_says_so(live: Service, tokens: Tokens) -> None:
    session_id = await club_game(live)
    async with live.watch(session_id, **bearing(tokens.make(for_s=None))) as client:
        assert (await client.next("CONNECTED"))["payload"]["token_expires_at"] is None


STRANGER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("nonsense", 1008),
        ("another scheme", 1008),
        ("two tokens", 1008),
        ("a key in the address", 1008),
        ("another first message", 1008),
        ("no JSON", 1008),
        ("a bad first message", 1008),
        ("silence", 1008),
        ("ended", 4401),
        ("ended, as first message", 4401),
        ("revoked", 4403),
        ("unknown roles", 4403),
        ("bound to another session", 4404),
    ],
)
async def test_a_bad_token_closes_and_nothing_is_asked_of_redis(
    live: Service, tokens: Tokens, what: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = str(uuid.uuid4())
    asked: list[object] = []
    fcall = live.context.connection.fcall

    async def noticed(function: str, keys: Any, *args: Any, **options: Any) -> Any:
        if session_id in str(keys) or function == "sk_throttle":
            asked.append((function, keys))
        return await fcall(function, keys, *args, **options)

    monkeypatch.setattr(live.context.connection, "fcall", noticed)
    monkeypatch.setattr(opening, "FIRST_MESSAGE_S", 0.3)
    good = tokens.make()
    given: dict[str, Any] = {}
    first: str | None = None
    url = None
    match what:
        case "nonsense":
            given = bearing("nonsense")
        case "another scheme":
            given = {"additional_headers": {"Authorization": f"Basic {good}"}}
        case "two tokens":
            given = {**bearing(good), "subprotocols": [f"bearer.{good}"]}
        case "a key in the address":
            url = live.url(session_id) + "&token=sk_1_secret"
        case "another first message":
            first = '{"type":"PING","t1":1}'
        case "no JSON":
            first = "{"
        case "a bad first message":
            first = '{"type":"AUTH","token":"nonsense"}'
        case "ended":
            given = bearing(tokens.make(for_s=-1.0))
        case "ended, as first message":
            first = json.dumps({"type": "AUTH", "token": tokens.make(for_s=-1.0)})
        case "revoked":
            tokens.revoke(good)
            given = bearing(good)
        case "unknown roles":
            given = bearing(tokens.make("anna", "king"))
        case "bound to another session":
            given = bearing(tokens.make(session=STRANGER))
    async with live.watch(session_id, url=url, **given) as client:
        if first is not None:
            await client.socket.send(first)
        assert await client.closed() == code
        reason = client.socket.close_reason
        assert reason
    # From these words the JavaScript client knows that its token was late, and not bad.
    assert what != "silence" or f'LATE_TOKEN = "{reason}";' in CLIENT.read_text()
    assert asked == []
    assert live.context.relay.topics == 0


async def test_a_session_of_another_tenant_is_not_there(live: Service, tokens: Tokens) -> None:
    session_id = await club_game(live)
    nobodys = await game(live.sessions)
    reasons = set()
    for asked, tenant in ((session_id, "others"), (nobodys, "club"), (STRANGER, "club")):
        async with live.watch(asked, **bearing(tokens.make("anna", "admin", tenant=tenant))) as client:
            assert await client.closed() == 4404
            reasons.add(client.socket.close_reason)
    assert len(reasons) == 1


# Waiting


async def test_twenty_of_an_address_may_wait_for_their_tokens(live: Service, tokens: Tokens) -> None:
    session_id = await club_game(live)
    waiting = [live.watch(session_id) for _ in range(20)]
    clients = [await one.__aenter__() for one in waiting]
    with pytest.raises(InvalidStatus) as refused:
        await live.watch(session_id).__aenter__()
    assert refused.value.response.status_code == 429
    async with live.watch(session_id, **bearing(tokens.make())) as known:
        await known.next("CONNECTED")
    await clients[0].say(type="AUTH", token=tokens.make())
    await clients[0].next("CONNECTED")
    waiting.append(live.watch(session_id))
    await waiting[-1].__aenter__()
    for one in waiting:
        await one.__aexit__(None, None, None)


async def test_limits_are_answered_before_the_upgrade(redis: servers.Server, tokens: Tokens) -> None:
    async with tokens.service(settings(redis.url, RATE_LIMIT_ENABLED="true")) as running:
        session_id = await club_game(running)
        who = f"sub-{uuid.uuid4()}"
        for _ in range(6):  # a good token takes nothing of the address
            async with running.watch(session_id) as client:
                await client.say(type="AUTH", token=tokens.make(who, "viewer"))
                await client.next("CONNECTED")
        for _ in range(24):
            async with running.watch(session_id, **bearing(tokens.make(who, "viewer"))) as client:
                await client.next("CONNECTED")
        with pytest.raises(InvalidStatus) as refused:
            await running.watch(session_id, **bearing(tokens.make(who, "viewer"))).__aenter__()
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0
        async with running.watch(session_id) as client:
            await client.say(type="AUTH", token=tokens.make(who, "viewer"))
            assert (await client.next("ERROR"))["error"]["code"] == "RATE_LIMIT_EXCEEDED"
            assert await client.closed() == 1013
        for _ in range(5):
            async with running.watch(session_id, **bearing("nonsense")) as client:
                assert await client.closed() == 1008
        for given in (bearing("nonsense"), {}):
            with pytest.raises(InvalidStatus) as refused:
                await running.watch(session_id, **given).__aenter__()
            assert refused.value.response.status_code == 429
            assert json.loads(refused.value.response.body or b"")["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        async with running.watch(session_id, **bearing(tokens.make())) as client:
            await client.next("CONNECTED")


async def test_who_waits_for_its_token_when_the_service_stops_is_told(
    redis: servers.Server, tokens: Tokens
) -> None:
    async with tokens.service(settings(redis.url)) as running, running.watch(STRANGER) as client:
        await eventually(lambda: running.context.websockets)
        stopping = asyncio.ensure_future(running.stop())
        assert await client.closed() == 1001
        await stopping


# The life of a token


async def test_a_token_is_renewed_over_the_socket_and_nothing_is_missed(
    live: Service, tokens: Tokens
) -> None:
    session_id = await club_game(live)
    async with live.follow(session_id, **bearing(tokens.make(for_s=20.0))) as client:
        expires = await client.next()
        assert expires.keys() == {"v", "type", "expires_at"}
        assert expires["type"] == "TOKEN_EXPIRES"
        for number in range(3):
            change = await live.sessions.switch(session_id)
            token = tokens.make(for_s=600.0 + number)
            await client.say(type="AUTH", token=token, request_id=f"renew-{number}")
            texts = [await client.text() for _ in range(2)]  # in whichever order
            texts.remove(change.raw)
            ack = json.loads(texts[0])
            assert ack.keys() == {"v", "type", "request_id", "token_expires_at"}
            assert datetime.fromisoformat(ack["token_expires_at"]).timestamp() == pytest.approx(
                (await tokens.caller(token)).ends_at, abs=0.001
            )
        assert (await client.ask(type="SWITCH", request_id="r"))["type"] == "ACK"


async def test_a_worse_token_is_an_error_and_the_old_one_stays(live: Service, tokens: Tokens) -> None:
    session_id = await club_game(live)
    async with live.follow(session_id, **bearing(tokens.make())) as client:
        for token, code in (
            ("nonsense", "UNAUTHENTICATED"),
            (tokens.make(for_s=-1.0), "UNAUTHENTICATED"),
            (tokens.make("ben"), "FORBIDDEN"),
            (tokens.make(tenant="others"), "FORBIDDEN"),
            (tokens.make(session=session_id), "FORBIDDEN"),
            (tokens.make("anna", "king"), "FORBIDDEN"),
        ):
            answer = await client.ask(type="AUTH", token=token)
            assert (answer["type"], answer["error"]["code"]) == ("ERROR", code)
        assert (await client.ask(type="SWITCH", request_id="r"))["type"] == "ACK"
        assert (await client.ask(type="AUTH", token=tokens.make("anna", "viewer")))["type"] == "ACK"
        assert (await client.ask(type="SWITCH", request_id="s"))["error"]["code"] == "FORBIDDEN"


async def test_a_token_that_ends_takes_no_commands_and_closes_4401(
    live: Service, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = 0.0
    monkeypatch.setattr(opening, "Grant", partial(Grant, now=lambda: time.time() + later))
    session_id = await club_game(live)
    async with live.follow(session_id, **bearing(tokens.make(for_s=600.0))) as client:
        later = 575.0
        await client.next("TOKEN_EXPIRES")
        answer = await client.ask(type="SWITCH", request_id="in-time")
        assert answer["type"] == "ACK", answer
        later = 601.0
        refused = await client.ask(type="SWITCH", request_id="too-late")
        assert (refused["request_id"], refused["error"]["code"]) == ("too-late", "UNAUTHENTICATED")
        assert (await client.ask(type="PING", t1=1))["type"] == "PONG"
        event = await live.sessions.switch(session_id)
        while (await client.next("STATE_UPDATE"))["version"] < event.version:
            pass
        assert (await client.ask(type="AUTH", token=tokens.make(for_s=900.0)))["type"] == "ACK"
        assert (await client.ask(type="SWITCH", request_id="renewed"))["type"] == "ACK"
        later = 926.0
        assert await client.closed() == 4401


async def test_a_revoked_token_closes_4403(
    live: Service, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a 401 that nobody is answered, and on record like every other one: once, and without a name."""
    records = Records()
    monkeypatch.setattr(live.context, "access_log", records)
    session_id = await club_game(live)
    token = tokens.make()
    async with live.follow(session_id, **bearing(token)) as client:
        tokens.revoke(token)
        assert await client.closed() == 4403
    found = [(each.code, each.session_id, each.sub, each.count) for each in records.refused]
    assert found == [("UNAUTHENTICATED", session_id, None, 1)]


# What a token allows


async def test_commands_go_by_role_and_a_player_plays_as_its_participant(
    live: Service, tokens: Tokens
) -> None:
    session_id = await club_game(live)
    for roles, participant, code in (
        (("viewer",), None, "FORBIDDEN"),
        (("moderator",), None, "FORBIDDEN"),
        (("player",), None, "FORBIDDEN"),
        (("player",), BEN, "FORBIDDEN"),
        (("player",), ANNA, None),
        (("service",), None, None),
    ):
        token = tokens.make("somebody", *roles, participant=participant)
        async with live.follow(session_id, **bearing(token)) as client:
            answer = await client.ask(type="SWITCH", request_id=str(uuid.uuid4()))
            assert answer.get("error", {}).get("code") == code, (roles, participant, answer)


async def test_a_player_names_nobody_as_the_next_and_never_itself(live: Service, tokens: Tokens) -> None:
    token = tokens.make("anna", "player", participant=ANNA)
    for may_choose, following, code in (
        (False, BEN, "FORBIDDEN"),
        (False, ANNA, "FORBIDDEN"),
        (True, ANNA, "FORBIDDEN"),
        (True, BEN, None),
    ):
        session_id = await club_game(live, players_may_choose_next=may_choose)
        async with live.follow(session_id, **bearing(token)) as client:
            answer = await client.ask(type="SWITCH", request_id="r", next_participant_id=following)
            assert answer.get("error", {}).get("code") == code, (may_choose, following, answer)


async def test_whoever_watches_by_a_link_sees_events_without_names(live: Service, tokens: Tokens) -> None:
    session_id = await club_game(live)
    link = bearing(tokens.make("link:1", "viewer", session=session_id, is_link=True))
    player = bearing(tokens.make("link:2", "player", session=session_id, participant=ANNA, is_link=True))

    def nameless(raw: bytes) -> bytes:
        event = json.loads(raw)
        event["payload"] |= {"actor": None, "trace": None}
        return json.dumps(event, separators=(",", ":")).encode()

    async with live.follow(session_id, **link) as watcher, live.follow(session_id, **player) as named:
        changes = []
        for number in range(3):
            options = Options(actor="anna", trace=f"{number:032x}")
            changes.append(await live.sessions.switch(session_id, options=options))
        assert [await named.text() for _ in changes] == [change.raw for change in changes]
        assert [await watcher.text() for _ in changes] == [nameless(change.raw) for change in changes]
        assert b"anna" in changes[0].raw
        first = changes[0]
        await watcher.say(type="RECONNECT", last_known_version=first.version - 1, epoch=first.epoch)
        await watcher.next("RECONNECT_ACK")
        assert [await watcher.text() for _ in changes] == [nameless(change.raw) for change in changes]
        await live.sessions.delete(session_id, Options(actor="anna"))
        assert (await watcher.next("SESSION_DELETED"))["payload"]["actor"] is None
        assert (await named.next("SESSION_DELETED"))["payload"]["actor"] == "anna"


async def test_events_over_http_have_no_names_for_whoever_watches_by_a_link(
    live: Service, tokens: Tokens
) -> None:
    session_id = await club_game(live)
    await live.sessions.switch(session_id, options=Options(actor="anna"))
    seen = {}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}") as http:
        for who, token in (
            ("link", tokens.make("link:1", "viewer", session=session_id, is_link=True)),
            ("user", tokens.make("ben", "viewer")),
        ):
            reply = await http.get(
                f"/v1/sessions/{session_id}/events", headers={"Authorization": f"Bearer {token}"}
            )
            seen[who] = [event["payload"]["actor"] for event in reply.json()["data"]["events"]]
    assert seen == {"link": [None] * 3, "user": [None, None, "anna"]}


async def test_what_a_stranger_sends_after_its_token_waits_outside_and_is_answered_then(
    live: Service, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await club_game(live)
    token, decided = tokens.make(), asyncio.Event()
    caller = tokens.caller

    async def slowly(bearer: str) -> Caller:
        await decided.wait()
        return await caller(bearer)

    monkeypatch.setattr(tokens, "caller", slowly)
    async with live.watch(session_id) as client:
        await client.say(type="AUTH", token=token)
        sending = asyncio.create_task(flood(client))
        (conversation,) = live.context.websockets
        await eventually(lambda: sending.done() or conversation.socket._unparsed)
        await asyncio.sleep(0.2)
        assert len(conversation.socket._messages or ()) <= 1
        decided.set()
        await sending
        assert len([one for one in await client.until("CONNECTED") if one["type"] == "CONNECTED"]) == 1
        await client.next("STATE_SYNC")
        for number in range(FLOOD):
            assert (await client.next("PONG"))["t1"] == number


FLOOD = 60


async def flood(client: Watcher) -> None:
    """Messages of 60 KiB, one after the other."""
    for number in range(FLOOD):
        await client.say(type="PING", t1=number, more="x" * 60_000)


async def test_real_tokens_and_links_are_judged_like_made_up_ones(redis: servers.Server) -> None:
    secret = "nobody else knows this secret of the test"

    def signed(*roles: str, for_s: float = 600.0) -> tuple[str, str]:
        jti = str(uuid.uuid4())
        claims = {"sub": "anna", "tenant": "club", "roles": roles, "jti": jti, "exp": time.time() + for_s}
        return jwt.encode(claims, secret, "HS256"), jti

    async with service(settings(redis.url, AUTH_MODE="jwt", JWT_SECRET=secret)) as running:
        session_id = await club_game(running)
        (moderator, _), (token, jti) = signed("moderator"), signed("service")
        async with (
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{running.port}/v1",
                headers={"Authorization": f"Bearer {moderator}"},
            ) as http,
            running.follow(session_id, **bearing(token)) as client,
        ):
            made = (await http.post(f"/sessions/{session_id}/links", json={"role": "viewer"})).json()["data"]
            async with running.follow(session_id, subprotocols=[f"bearer.{made['token']}"]) as guest:
                assert (await client.ask(type="AUTH", token=signed("service")[0]))["type"] == "ACK"
                assert (await client.ask(type="AUTH", token=token))["type"] == "ACK"
                switched = await running.sessions.switch(session_id, options=Options(actor="anna"))
                assert await client.text() == switched.raw
                assert (await guest.next("STATE_UPDATE"))["payload"]["actor"] is None
                refused = await guest.ask(type="SWITCH", request_id="r")
                assert refused["error"]["code"] == "FORBIDDEN"
                await http.delete(f"/sessions/{session_id}/links/{made['link_id']}")
                assert await guest.closed() == 4403
            await running.context.revocations.revoke(
                Revocation(tenant="club", token_id=jti, made_at=time.time())
            )
            assert await client.closed() == 4403
        async with running.watch(session_id, **bearing(token)) as client:
            assert await client.closed() == 4403
        async with running.watch(session_id) as client:
            await client.say(type="AUTH", token=signed("viewer", for_s=-11.0)[0])
            assert await client.closed() == 4401
        url = f"{running.url(session_id)}&token={made['token']}"
        async with running.watch(session_id, url=url) as client:
            assert await client.closed() == 1008
