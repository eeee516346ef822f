"""`/ws` as a client meets it: the real service over a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from synckairos import metrics
from synckairos.api.transport.connection import READ
from synckairos.api.websocket import socket as socket_module
from synckairos.api.websocket.conversation import Conversation
from tests.support import servers
from tests.support.lines import calling
from tests.support.live import Message, Service, Watcher, eventually, game, service, settings, versions

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server) -> AsyncIterator[Service]:
    async with service(settings(redis.url)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(redis: servers.Server) -> AsyncIterator[Service]:
    """With rate limits, behind a proxy on this machine."""
    async with service(
        settings(redis.url, RATE_LIMIT_ENABLED="true", TRUSTED_PROXIES="127.0.0.1")
    ) as running:
        yield running


_addresses = itertools.count(1)


def somebody() -> dict[str, str]:
    """The header of a client from an address that nobody used before."""
    return {"X-Forwarded-For": f"198.51.100.{next(_addresses)}"}


async def test_the_greeting_is_connected_then_the_whole_state(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.watch(session_id) as client:
        connected, sync = await client.next(), await client.next()
    state = json.loads((await live.sessions.get(session_id)).raw)
    for message, kind in ((connected, "CONNECTED"), (sync, "STATE_SYNC")):
        assert message["type"] == kind
        assert message["v"] == 1
        assert message["session_id"] == session_id
        assert (message["version"], message["epoch"]) == (2, state["epoch"])
        assert abs(message["server_time_ms"] - state["server_time_ms"]) < 60_000
    assert connected["payload"]["heartbeat"] == {"interval_ms": 5000, "unanswered": 2}
    assert "SWITCH" in connected["payload"]["features"]
    moving = {"server_time_ms", "time_remaining_ms", "cycle_elapsed_ms", "participants"}
    full = sync["payload"]["full_state"]
    assert {name: full[name] for name in full.keys() - moving} == {
        name: state[name] for name in state.keys() - moving
    }


@pytest.mark.parametrize("name", ["session_id", "sessionId"])
async def test_the_session_is_named_either_way_and_in_either_case(live: Service, name: str) -> None:
    session_id = await game(live.sessions)
    url = f"ws://127.0.0.1:{live.port}/ws?{name}={session_id.upper()}"
    async with connect(url) as socket:
        assert (await Watcher(socket).next("CONNECTED"))["session_id"] == session_id


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 1008),
        ("?session_id=", 1008),
        ("?session_id=nonsense", 1008),
        (f"?session_id={NOBODY}&sessionId={NOBODY}", 1008),
        (f"?session_id={NOBODY}", 4404),
    ],
)
async def test_a_session_that_cannot_be_watched_closes_after_the_upgrade(
    live: Service, query: str, code: int
) -> None:
    async with connect(f"ws://127.0.0.1:{live.port}/ws{query}") as socket:
        assert await Watcher(socket).closed() == code
        assert socket.close_reason
    await eventually(lambda: live.context.relay.topics == 0)


async def test_a_deleted_session_cannot_be_watched(live: Service) -> None:
    session_id = await game(live.sessions)
    await live.sessions.delete(session_id)
    async with live.watch(session_id) as client:
        assert await client.closed() == 4404


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (None, None),
        (["synckairos.v1"], "synckairos.v1"),
        (["chat", "synckairos.v1"], "synckairos.v1"),
        (["chat"], None),
    ],
)
async def test_the_subprotocol_is_optional(
    live: Service, offered: list[str] | None, agreed: str | None
) -> None:
    session_id = await game(live.sessions)
    async with live.watch(session_id, subprotocols=offered) as client:
        assert client.socket.subprotocol == agreed
        await client.next("CONNECTED")


async def test_a_plain_get_is_refused_in_the_shape_of_all_errors(live: Service) -> None:
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"http://127.0.0.1:{live.port}/ws?session_id={uuid.uuid4()}")
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["code"], error["retryable"]) == ("VALIDATION_ERROR", False)


async def test_a_broken_handshake_is_refused_in_the_shape_of_all_errors(live: Service) -> None:
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    odd = {name.encode(): value.encode() for name, value in (headers | key).items()}
    odd[b"Sec-WebSocket-Protocol"] = b"a\xff"
    address = f"http://127.0.0.1:{live.port}/ws?session_id={uuid.uuid4()}"
    async with httpx.AsyncClient() as http:
        replies = [await http.get(address, headers=headers), await http.get(address, headers=odd)]
    assert [reply.status_code for reply in replies] == [400, 400]
    assert {reply.json()["error"]["code"] for reply in replies} == {"VALIDATION_ERROR"}


async def test_a_handshake_with_a_header_that_is_none(live: Service) -> None:
    handshake = (
        f"GET /ws?session_id={uuid.uuid4()} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "X-Odd: a\x0bb\r\n\r\n".encode()
    )
    async with calling(live.port, handshake) as (reader, _), asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("listed", "origin", "welcome"),
    [
        ("", "https://elsewhere.example", False),
        ("", "null", False),
        ("", "the service's own", True),
        ("", None, True),
        ("null", "null", True),
        ("*", "https://elsewhere.example", True),
        ("https://play.example", "https://play.example", True),
        ("https://play.example", None, True),
        ("https://play.example", "the service's own", True),
        ("https://play.example", "https://elsewhere.example", False),
        ("https://play.example", "https://play.example.elsewhere.example", False),
        ("https://play.example", "null", False),
    ],
)
async def test_pages_of_origins_that_are_not_listed_stay_out(
    redis: servers.Server, listed: str, origin: str | None, *, welcome: bool
) -> None:
    async with service(settings(redis.url, ALLOWED_ORIGINS=listed)) as running:
        session_id = await game(running.sessions)
        if origin == "the service's own":
            origin = f"http://127.0.0.1:{running.port}"
        if welcome:
            async with running.follow(session_id, origin=origin) as client:
                assert (await client.ask(type="SWITCH", request_id="r"))["type"] == "ACK"
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with running.watch(session_id, origin=origin):
                    pass
            assert refused.value.response.status_code == 403
            assert json.loads(refused.value.response.body)["error"]["code"] == "FORBIDDEN"


async def test_events_come_byte_for_byte_as_the_library_made_them(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as first, live.follow(session_id) as second:
        changes = [await live.sessions.switch(session_id) for _ in range(5)]
        assert [await first.text() for _ in changes] == [change.raw for change in changes]
        assert [await second.text() for _ in changes] == [change.raw for change in changes]


async def test_commands_are_acknowledged_and_carried_out(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        for version, kind in enumerate(("SWITCH", "PAUSE", "RESUME"), start=3):
            answer = await client.ask(type=kind, request_id=f"r-{kind}")
            assert answer == {"v": 1, "type": "ACK", "request_id": f"r-{kind}", "version": version}
    events = [json.loads(event)["payload"]["event"] for event in await live.sessions.log(session_id, 2) or ()]
    assert events == ["cycle.switched", "session.paused", "session.resumed"]


async def test_a_command_that_is_repeated_takes_effect_once(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        first = await client.ask(type="SWITCH", request_id="once")
    async with live.follow(session_id) as client:
        assert await client.ask(type="SWITCH", request_id="once") == first
    assert (await live.sessions.get(session_id)).version == 3


async def test_a_switch_says_who_is_next_who_was_active_and_at_which_version(live: Service) -> None:
    session_id = await game(live.sessions, participants=3)
    state = json.loads((await live.sessions.get(session_id)).raw)
    ids = [participant["participant_id"] for participant in state["participants"]]
    async with live.follow(session_id) as client:
        answer = await client.ask(
            type="SWITCH",
            request_id="a",
            current_participant_id=ids[0],
            next_participant_id=ids[2],
            expected_version=2,
        )
        assert answer["type"] == "ACK"
        assert json.loads((await live.sessions.get(session_id)).raw)["active_participant_id"] == ids[2]
        refused = await client.ask(type="SWITCH", request_id="b", current_participant_id=ids[0])
        assert refused["request_id"] == "b"
        assert refused["error"]["code"] == "CONCURRENT_MODIFICATION"
        assert refused["error"]["retryable"] is True
        refused = await client.ask(type="SWITCH", request_id="c", expected_version=2)
        assert refused["error"]["context"] == {"expected_version": 2, "actual_version": 3}


async def test_a_whole_number_is_one_however_it_is_written(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send('{"v":1.0,"type":"PAUSE","request_id":"x","expected_version":2.0}')
        assert (await client.until("ACK"))[-1]["version"] == 3
        epoch = json.loads((await live.sessions.get(session_id)).raw)["epoch"]
        await client.socket.send(
            f'{{"type":"RECONNECT","last_known_version":20e-1,"reconnect_attempt":1e0,"epoch":"{epoch}"}}'
        )
        assert (await client.until("RECONNECT_ACK"))[-1]["replayed"] == 1


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("{", None),
        ("[]", None),
        ("7", None),
        ("[" * 5000, None),
        ('{"v":1}', ["type"]),
        ('{"type":7}', ["type"]),
        ('{"type":"DANCE"}', ["type"]),
        ('{"type":"PING"}', ["t1"]),
        ('{"type":"PING","t1":"now"}', ["t1"]),
        ('{"v":2,"type":"PING","t1":1}', ["v"]),
        ('{"type":"RECONNECT","epoch":"1"}', ["last_known_version"]),
        ('{"type":"RECONNECT","last_known_version":-1}', ["last_known_version"]),
        ('{"type":"SWITCH"}', ["request_id"]),
        ('{"type":"PAUSE","request_id":""}', ["request_id"]),
        ('{"type":"PAUSE","request_id":"a b"}', ["request_id"]),
        ('{"type":"RESUME","request_id":"a\\n"}', ["request_id"]),
        (
            '{"type":"SWITCH","request_id":"x","next_participant_id":"me","nxt":1,"expected_version":"1"}',
            ["expected_version", "next_participant_id", "nxt"],
        ),
        ('{"type":"CLOCK"}', ["offset_ms"]),
        ('{"type":"PAUSE","request_id":"x","expected_version":2.5}', ["expected_version"]),
        ('{"type":"PAUSE","request_id":"x","expected_version":1e300}', ["expected_version"]),
        ('{"type":"RECONNECT","last_known_version":0,"reconnect_attempt":1e300}', ["reconnect_attempt"]),
        ('{"type":"CLOCK","offset_ms":1e308,"rtt_ms":-1e308}', ["offset_ms", "rtt_ms"]),
        ('{"type":"CLOCK","offset_ms":1' + "0" * 400 + "}", ["offset_ms"]),
    ],
)
async def test_what_is_not_understood_is_answered_with_all_that_is_wrong(
    live: Service, text: str, fields: list[str] | None
) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send(text)
        answer = await client.next("ERROR")
        assert answer["error"]["code"] == "VALIDATION_ERROR"
        if fields is not None:
            assert sorted(detail["field"] for detail in answer["error"]["details"]) == fields
            assert all(detail["message"] for detail in answer["error"]["details"])
        assert (await client.ask(type="PING", t1=1))["type"] == "PONG"
    assert (await live.sessions.get(session_id)).version == 2


async def test_an_error_names_the_request_that_it_answers(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        assert (await client.ask(type="RESUME", request_id="r1"))["request_id"] == "r1"
        assert (await client.ask(type="NONSENSE", request_id="r2"))["request_id"] == "r2"
        assert "request_id" not in await client.ask(type="NONSENSE")
        await client.ask(type="PAUSE", request_id="r3")
        refused = await client.ask(type="RESUME", request_id="r3")
        assert refused["error"]["message"] == "request_id was used for another function"


async def test_what_happens_by_itself_is_told_to_all_who_watch(live: Service) -> None:
    session_id = await game(
        live.sessions,
        sync_mode="global",
        total_time_ms=2000,
        time_per_cycle_ms=60_000,
        max_pause_ms=1000,
        start=False,
    )
    async with live.follow(session_id) as player, live.follow(session_id) as watcher:
        await live.sessions.start(session_id)
        await player.say(type="PAUSE", request_id="p")
        seen = await watcher.until("TIME_EXPIRED")
        answers = await player.until("TIME_EXPIRED")
    assert versions(seen) == [2, 3, 4, 5]
    assert [(message["payload"]["event"], message["payload"]["reason"]) for message in seen] == [
        ("session.started", "manual"),
        ("session.paused", "manual"),
        ("session.resumed", "auto"),
        ("session.expired", "timeout"),
    ]
    assert seen[-1]["payload"]["expired_clock"] == "total"
    assert [message for message in answers if message["type"] != "ACK"] == seen


async def test_auth_is_accepted_where_nobody_asks_for_it(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        answer = await client.ask(type="AUTH", token="whatever", request_id="r")
        assert answer == {"v": 1, "type": "ACK", "request_id": "r", "token_expires_at": None}


async def test_ping_tells_the_server_clock(live: Service, redis: servers.Server) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client, redis.client() as direct:
        for t1 in (1795306409736, 0.25, -3):
            before = await direct.time()
            pong = await client.ask(type="PING", t1=t1)
            after = await direct.time()
            assert pong == {"v": 1, "type": "PONG", "t1": t1, "t2": pong["t2"], "t3": pong["t3"]}
            # In whole milliseconds, give or take what a busy machine makes of the measurement.
            slack = 2 + live.context.clock.uncertainty_ms()
            assert before[0] * 1000 + before[1] / 1000 - slack <= pong["t2"] <= pong["t3"]
            assert pong["t3"] <= after[0] * 1000 + after[1] / 1000 + slack


async def test_clock_is_taken_without_an_answer(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.say(type="CLOCK", offset_ms=-12.5, rtt_ms=30, uncertainty_ms=15)
        assert (await client.ask(type="PING", t1=1))["type"] == "PONG"


async def test_reconnect_gets_exactly_what_was_missed(live: Service) -> None:
    session_id = await game(live.sessions)
    changes = [await live.sessions.switch(session_id) for _ in range(6)]
    async with live.follow(session_id) as client:
        await client.say(type="RECONNECT", last_known_version=4, epoch=changes[0].epoch, reconnect_attempt=1)
        assert await client.next() == {"v": 1, "type": "RECONNECT_ACK", "success": True, "replayed": 4}
        assert [await client.text() for _ in range(4)] == [change.raw for change in changes[2:]]
        later = await live.sessions.switch(session_id)
        assert await client.text() == later.raw
        await client.say(type="RECONNECT", last_known_version=later.version, epoch=later.epoch)
        assert (await client.next("RECONNECT_ACK"))["replayed"] == 0
        assert await live.sessions.switch(session_id)
        assert (await client.next("STATE_UPDATE"))["version"] == later.version + 1


@pytest.mark.parametrize("how", ["no epoch", "another epoch", "above the current version", "beyond the log"])
async def test_reconnect_gets_the_state_where_events_do_not_reach(live: Service, how: str) -> None:
    session_id = await game(live.sessions)
    for _ in range(300 if how == "beyond the log" else 1):
        last = await live.sessions.switch(session_id)
    said = {"type": "RECONNECT", "last_known_version": 2, "epoch": last.epoch}
    if how == "no epoch":
        del said["epoch"]
    elif how == "another epoch":
        said["epoch"] = "1"
    elif how == "above the current version":
        said["last_known_version"] = last.version + 1
    async with live.follow(session_id) as client:
        await client.say(**said)
        assert await client.next() == {"v": 1, "type": "RECONNECT_ACK", "success": True, "replayed": "full"}
        sync = await client.next("STATE_SYNC")
        assert sync["version"] == sync["payload"]["full_state"]["version"] == last.version
        following = await live.sessions.switch(session_id)
        assert await client.text() == following.raw


async def test_reconnect_under_traffic_skips_and_repeats_nothing(live: Service) -> None:
    session_id = await game(live.sessions)
    epoch = (await live.sessions.get(session_id)).epoch

    async def traffic() -> int:
        while going:
            last = await live.sessions.switch(session_id)
        return last.version

    going = True
    async with live.follow(session_id) as client:
        switching = asyncio.create_task(traffic())
        for last_known in (2, 5, 2):
            await asyncio.sleep(0.02)
            await client.say(type="RECONNECT", last_known_version=last_known, epoch=epoch)
            await client.until("RECONNECT_ACK")
            seen = [await client.next() for _ in range(10)]
            assert versions(seen) in (
                list(range(last_known + 1, last_known + 11)),
                list(range(seen[0]["version"], seen[0]["version"] + 10)),
            )
            if seen[0]["type"] != "STATE_SYNC":
                assert seen[0]["version"] == last_known + 1
        going = False
        last = await switching
        while seen[-1]["version"] < last:
            seen.append(await client.next())
        assert versions(seen) == list(range(seen[0]["version"], last + 1))


async def test_a_reconnect_that_is_refused_loses_nothing(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.say(type="RECONNECT", epoch="1")
        change = await live.sessions.switch(session_id)
        texts = [await client.text() for _ in range(2)]  # in whichever order
        texts.remove(change.raw)
        assert json.loads(texts[0])["type"] == "ERROR"


async def test_a_client_in_a_hurry_is_heard(live: Service) -> None:
    session_id = await game(live.sessions)
    ping = Frame(Opcode.TEXT, b'{"type":"PING","t1":7}').serialize(mask=True)
    handshake = (
        f"GET /ws?session_id={session_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    async with calling(live.port, handshake.encode() + ping) as (reader, _), asyncio.timeout(5):
        said = await reader.readuntil(b'"PONG"')
    assert said.startswith(b"HTTP/1.1 101 ")


async def test_binary_messages_close_1003(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send(b"\x00")
        assert await client.closed() == 1003


async def test_messages_over_64_kib_close_1009_and_smaller_ones_do_not(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send('{"type":"PING","t1":1,"pad":"%s"}' % ("x" * (65536 - 32)))
        assert (await client.next())["type"] == "PONG"
        await client.socket.send("x" * 65537)
        assert await client.closed() == 1009
    async with live.follow(session_id) as client:
        await client.socket.send(["x" * 40_000, "y" * 40_000])
        assert await client.closed() == 1009


async def test_fragments_make_one_message(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send(['{"type":', '"PING",', '"t1":5}'])
        assert (await client.next("PONG"))["t1"] == 5


async def test_text_that_is_no_utf8_closes_1007(live: Service) -> None:
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send(b"\xff", text=True)
        assert await client.closed() == 1007


async def test_a_silent_client_is_let_go_after_its_second_ping(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "HEARTBEAT_S", 0.25)
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await asyncio.sleep(1)  # it answers its pings by itself
        assert (await client.ask(type="PING", t1=1))["type"] == "PONG"
        send = client.socket.protocol.send_frame
        monkeypatch.setattr(
            client.socket.protocol,
            "send_frame",
            lambda frame: None if frame.opcode is Opcode.PONG else send(frame),
        )
        assert await client.closed() == 1011
    await eventually(lambda: not live.context.websockets)
    assert live.context.relay.topics == 0


async def test_whoever_leaves_is_forgotten(live: Service) -> None:
    session_id = await game(live.sessions)
    await eventually(lambda: not live.context.websockets)
    async with live.follow(session_id), live.follow(session_id):
        assert live.context.relay.topics == 1
    await eventually(lambda: not live.context.websockets)
    assert live.context.relay.topics == 0


async def test_the_service_answers_what_has_arrived_and_says_that_it_goes(redis: servers.Server) -> None:
    async with service(settings(redis.url)) as running:
        session_id = await game(running.sessions)
        async with running.follow(session_id) as client:
            await client.say(type="SWITCH", request_id="last")
            assert {(await client.next())["type"] for _ in range(2)} == {"ACK", "STATE_UPDATE"}
            stopping = asyncio.ensure_future(running.stop())
            assert await client.closed() == 1001
            await stopping


async def test_limits_of_connections_and_messages(redis: servers.Server) -> None:
    async with service(
        settings(redis.url, RATE_LIMIT_ENABLED="true", TRUSTED_PROXIES="127.0.0.1")
    ) as running:
        session_id = await game(running.sessions)
        headers = {"X-Forwarded-For": "198.51.100.7"}
        for _ in range(5):
            async with running.follow(session_id, additional_headers=headers):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with running.follow(session_id, additional_headers=headers):
                pass
        response = refused.value.response
        assert response.status_code == 429
        assert json.loads(response.body or b"")["error"]["code"] == "RATE_LIMIT_EXCEEDED"
        assert int(response.headers["Retry-After"]) > 0

        async with running.follow(
            session_id, additional_headers={"X-Forwarded-For": "198.51.100.8"}
        ) as client:
            for number in range(100):
                assert (await client.ask(type="PING", t1=number))["t1"] == number
            await client.say(type="PING", t1=100)
            assert await client.closed() == 1008

        async with running.follow(
            session_id, additional_headers={"X-Forwarded-For": "198.51.100.9"}
        ) as client:
            for number in range(60):
                await client.say(type="SWITCH", request_id=f"fast-{number}")
            answers: list[Message] = []
            while len(answers) < 60:
                message = await client.next()
                if "payload" not in message:
                    answers.append(message)
            assert [answer["request_id"] for answer in answers] == [f"fast-{n}" for n in range(60)]
            # Ten at once, and one more after each tenth of a second, until one is too many.
            passed = [answer["type"] for answer in answers].index("ERROR")
            assert passed >= 10
            assert {answer["type"] for answer in answers[:passed]} == {"ACK"}
            assert {answer["error"]["code"] for answer in answers[passed:]} == {"RATE_LIMIT_EXCEEDED"}


async def test_close_codes_that_clients_make_up_make_no_metrics(live: Service) -> None:
    session_id = await game(live.sessions)
    for code in (3123, 4567):
        async with live.follow(session_id) as client:
            await client.socket.close(code)
    await eventually(lambda: not live.context.websockets)
    shown = metrics.render().decode()
    assert 'synckairos_websocket_closes_total{code="other"}' in shown
    assert 'code="3123"' not in shown
    assert 'code="4567"' not in shown


async def test_many_messages_at_once_leave_others_their_turn(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    answered: list[int] = []

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(Conversation, "_pong", lambda *_: answered.append(turn))
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        elsewhere = asyncio.create_task(others())
        ping = Frame(Opcode.TEXT, b'{"type":"PING","t1":1}').serialize(mask=True)
        client.socket.transport.write(ping * 1000)
        await eventually(lambda: len(answered) == 1000)
        elsewhere.cancel()
    assert max(Counter(answered).values()) <= socket_module.IN_A_ROW


@pytest.mark.parametrize(
    ("first", "frame"),
    [
        (b"", Frame(Opcode.PING, b"")),
        (b"", Frame(Opcode.PONG, b"")),
        (b"", Frame(Opcode.PING, b"x" * 125)),
        (Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True), Frame(Opcode.CONT, b"", fin=False)),
        (Frame(Opcode.TEXT, b"", fin=False).serialize(mask=True), Frame(Opcode.CONT, b"x", fin=False)),
    ],
    ids=["pings", "pongs", "large pings", "empty continuations", "small continuations"],
)
async def test_a_flood_of_frames_closes_1008_and_is_read_no_further(
    limited: Service, monkeypatch: pytest.MonkeyPatch, first: bytes, frame: Frame
) -> None:
    read: Counter[ServerProtocol] = Counter()
    receive_data = ServerProtocol.receive_data

    def counting(protocol: ServerProtocol, data: bytes) -> None:
        read[protocol] += len(data)
        receive_data(protocol, data)

    monkeypatch.setattr(ServerProtocol, "receive_data", counting)
    monkeypatch.setattr(socket_module, "DEAF_CLOSE_TIMEOUT_S", 0.5)
    session_id = await game(limited.sessions)
    async with limited.follow(session_id, additional_headers=somebody()) as client:
        ours = [each.socket.ws_proto for each in limited.context.websockets]
        client.socket.transport.write(
            first + frame.serialize(mask=True) * (1_000_000 // len(frame.data or b"123456"))
        )
        assert await client.closed() == 1008
        assert "50 a second" in str(client.socket.close_reason)
        assert (
            max(read[each] for each in ours) <= 50 * len(frame.serialize(mask=True)) + 2 * socket_module.SLICE
        )
        client.socket.transport.abort()


async def test_frames_at_the_rate_of_an_honest_client_are_no_flood(limited: Service) -> None:
    session_id = await game(limited.sessions)
    async with limited.follow(session_id, additional_headers=somebody()) as client:
        ping = Frame(Opcode.PING, b"").serialize(mask=True)
        for number in range(3):
            client.socket.transport.write(ping * 16)
            assert (await client.ask(type="PING", t1=number))["t1"] == number
        await asyncio.sleep(1.1)
        client.socket.transport.write(ping * 40)
        assert (await client.ask(type="PING", t1=9))["t1"] == 9


async def test_after_the_end_nothing_is_read_for_long(live: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told to go and sends on is not heard."""
    monkeypatch.setattr(socket_module, "DEAF_CLOSE_TIMEOUT_S", 0.5)
    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        await client.socket.send(b"\x00")
        (conversation,) = live.context.websockets
        socket = conversation.socket
        client.socket.transport.write(Frame(Opcode.PONG, b"").serialize(mask=True) * 100_000)
        await eventually(lambda: socket._is_deaf)
        assert socket._after_end <= socket_module.AFTER_END + READ
        client.socket.transport.abort()
    await eventually(lambda: not live.context.websockets)


async def test_many_frames_at_once_leave_others_their_turn(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    read: list[tuple[int, int]] = []
    receive_data = ServerProtocol.receive_data

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def noting(protocol: ServerProtocol, data: bytes) -> None:
        read.append((turn, len(data)))
        receive_data(protocol, data)

    session_id = await game(live.sessions)
    async with live.follow(session_id) as client:
        monkeypatch.setattr(ServerProtocol, "receive_data", noting)
        elsewhere = asyncio.create_task(others())
        client.socket.transport.write(Frame(Opcode.PONG, b"").serialize(mask=True) * 10_000)
        await eventually(lambda: sum(size for _, size in read) >= 60_000)
        elsewhere.cancel()
        assert max(size for _, size in read) <= socket_module.SLICE
        assert max(Counter(turn for turn, _ in read).values()) <= 2
        assert (await client.ask(type="PING", t1=1))["t1"] == 1
