"""What an attacker sends below the meaning of the API: half requests, slow ones, two in one, and too many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from synckairos.api.transport import connections
from synckairos.api.transport.connection import READ, Connection
from synckairos.api.transport.connections import Phase
from synckairos.api.transport.http1 import KEPT
from synckairos.auth.bearer import Everybody
from synckairos.auth.caller import Caller
from synckairos.errors import Unauthenticated
from tests.support import servers
from tests.support.lines import Line, calling
from tests.support.live import PATIENCE_S, Service, eventually, game, service, settings

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server) -> AsyncIterator[Service]:
    async with service(settings(redis.url)) as running:
        yield running


def connected(live: Service, data: bytes = b"") -> AbstractAsyncContextManager[Line]:
    return calling(live.port, data)


async def until_the_end(reader: asyncio.StreamReader) -> bytes:
    """All that came, also when what was sent after the end of the connection has reset it."""
    said = b""
    async with asyncio.timeout(PATIENCE_S):
        try:
            while piece := await reader.read(1 << 16):
                said += piece
        except ConnectionResetError:
            said += bytes(reader._buffer)  # type: ignore[attr-defined]
    return said


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """The next answer's status and JSON."""
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), json.loads(await reader.readexactly(size))


TWO_IN_ONE = {
    "a blank before the colon": POST + b"Content-Length : 100\r\n\r\n",
    "a length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "a NUL": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "a size with a sign": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "a size in another notation": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a blank before it": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "a size that ends with a bare line feed": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "an extension with a bare line feed": CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a size of nine digits": CHUNKED + b"000000002\r\n{}\r\n0\r\n\r\n",
    "fields behind the chunks": CHUNKED + b"2\r\n{}\r\n0\r\nX-Role: admin\r\n\r\n",
    "a size line without end": CHUNKED + b"2;" + b"a" * 300,
    "very many chunks": CHUNKED + b"1\r\n \r\n" * 5000 + b"0\r\n\r\n",
    "a handshake that fails": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n",
    "an expectation": POST + b"Expect: a miracle\r\nContent-Length: 3\r\n\r\n",
}


@pytest.mark.parametrize("data", TWO_IN_ONE.values(), ids=TWO_IN_ONE)
async def test_nothing_behind_a_request_without_a_clear_end_is_a_request(live: Service, data: bytes) -> None:
    async with connected(live, data + GET) as (reader, _):
        answers = await until_the_end(reader)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"VALIDATION_ERROR"' in answers
    assert b"connection: close" in answers


async def test_behind_a_request_that_was_refused_for_its_meaning_the_next_one_is_read(live: Service) -> None:
    bodies = (
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: CHUNKED\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"Content-Length: 600000\r\n\r\n" + b" " * 600_000,
        b"Content-Length: 1100000\r\n\r\n" + b" " * 1_100_000,
    )
    data = (
        b"".join(POST + body for body in bodies)
        + b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    )
    async with connected(live, data + GET) as (reader, _):
        answers = [await answer(reader) for _ in range(6)]
    assert [status for status, _ in answers] == [400, 400, 400, 413, 404, 200]


class Nobody(Everybody):
    """Refuses everybody."""

    required = True

    def remembered(self, _bearer: str, /) -> Caller | None:
        return None

    async def caller(self, _bearer: str, /) -> Caller:
        raise Unauthenticated


async def test_a_body_is_refused_before_it_is_sent(live: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its length, and when its sender may not send it. Nobody is told to go on."""
    switch = f"POST /v1/sessions/{await game(live.sessions)}/switch HTTP/1.1\r\nHost: localhost\r\n".encode()

    async def told(data: bytes) -> list[int]:
        """The statuses of the answers when the head comes without a body."""
        statuses = []
        for expects in (b"", b"Expect: 100-continue\r\n"):
            async with connected(live, data + expects + b"\r\n") as (reader, _):
                statuses.append((await answer(reader))[0])
        return statuses

    assert await told(POST + b"Content-Length: 1048577\r\n") == [413, 413]
    assert await told(switch + b"Content-Length: 999999999999\r\n") == [413, 413]
    assert await told(POST + b"Content-Length: 524289\r\n") == [400, 400]
    assert await told(switch + b"Content-Length: 16385\r\n") == [400, 400]
    assert await told(POST.replace(b"sessions", b"nope") + b"Content-Length: 5\r\n") == [404, 404]
    monkeypatch.setattr(live.context, "bearers", Nobody())
    assert await told(switch + b"Content-Length: 10\r\nAuthorization: Bearer a\r\n") == [401, 401]
    assert await told(POST + b"Transfer-Encoding: chunked\r\n") == [401, 401]


async def test_whoever_waits_for_leave_to_send_a_good_body_gets_it(live: Service) -> None:
    data = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with connected(live, data) as (reader, writer):
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}" + GET)
        assert [(await answer(reader))[0] for _ in range(2)] == [400, 200]


SLOW = {
    "nothing": (b"", b""),
    "a head": (b"GET /health HTTP/1.1\r\nX: ", b"a"),
    "a handshake": (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: ", b"a"),
    "a second head": (GET + b"GET /health HTTP/1.1\r\nX: ", b"a"),
    "a body": (POST + b"Content-Length: 10000\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "a body that nobody wants": (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n", b" "),
    "a refused body": (b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n", b" "),
    "a huge refused body": (POST + b"Content-Length: 999999999\r\n\r\n", b" "),
    "behind a broken request": (b"broken\r\n\r\n", b"a"),
}


async def test_no_sender_is_slow_for_longer_than_its_deadline(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte that comes does not move the deadline."""
    for phase in (Phase.HEAD, Phase.BODY, Phase.DROPPED, Phase.ENDING):
        monkeypatch.setitem(connections.ALLOWED_S, phase, 1.0)
    monkeypatch.setattr(connections, "LOOK_S", 0.05)

    async def dribble(begin: bytes, drop: bytes) -> bytes:
        async with connected(live, begin) as (reader, writer):
            said = asyncio.ensure_future(until_the_end(reader))
            while not said.done():
                writer.write(drop)
                await asyncio.wait((said,), timeout=0.1)
            return said.result()

    async with connected(live, GET) as (served, writer):
        answers = await asyncio.gather(*(dribble(begin, drop) for begin, drop in SLOW.values()))
        said = dict(zip(SLOW, answers, strict=True))
        assert said["nothing"] == b""
        for name in (
            "a head",
            "a handshake",
            "a second head",
            "a body",
            "chunks",
            "a body that nobody wants",
        ):
            assert b'"code":"NETWORK_TIMEOUT"' in said[name], name
        assert said["a second head"].startswith(b"HTTP/1.1 200 ")
        assert said["a refused body"].startswith(b"HTTP/1.1 404 ")
        assert said["a huge refused body"].startswith(b"HTTP/1.1 413 ")
        assert said["behind a broken request"].startswith(b"HTTP/1.1 400 ")
        assert await answer(served) == (200, {"status": "ok"})
        writer.write(GET)
        assert await answer(served) == (200, {"status": "ok"}), "who is served is not ended with them"
    await eventually(lambda: len(live.app.ctx.connections) == 0)


def waiting(live: Service) -> list[Connection]:
    """The connections whose bodies wait for their rest, in the order of their opening."""
    return [each for each in live.app.ctx.connections._clients if each.phase is Phase.BODY]


async def test_a_body_that_waits_keeps_little_and_gives_way_to_one_that_comes_fast(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = live.app.ctx.connections.room
    monkeypatch.setattr(room, "_left", 500_000)
    monkeypatch.setitem(connections.ALLOWED_S, Phase.BODY, 60.0)
    monkeypatch.setattr(connections, "GRACE_S", 60.0)
    monkeypatch.setattr(connections, "SETTLED_S", 1000.0)
    head = POST + b"Content-Length: 400000\r\n\r\n"
    async with connected(live, head + b" " * 399_999) as (first, _):
        await eventually(lambda: [each.received for each in waiting(live)] == [399_999])
        async with connected(live, head + b" " * 399_999) as (second, writer):
            # The first has the room: of the second, only what each may keep is read.
            await eventually(lambda: len(waiting(live)) == 2 and waiting(live)[1].received > KEPT)
            assert waiting(live)[1].received <= KEPT + 3 * READ
            assert len(waiting(live)[1].recv_buffer) <= 2 * READ
            monkeypatch.setattr(connections, "SETTLED_S", 0.0)
            room._share()
            status, said = await answer(first)
            assert (status, said["error"]["code"]) == (504, "NETWORK_TIMEOUT")
            writer.write(b" ")
            status, said = await answer(second)
            assert (status, said["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert room._left == 500_000


async def test_an_address_that_opens_very_many_is_still_answered(redis: servers.Server) -> None:
    chosen = settings(redis.url, MAX_CONNECTIONS_PER_ADDRESS="5")
    async with service(chosen) as live:
        session_id = await game(live.sessions)
        async with (
            live.follow(session_id) as client,
            connected(live, GET) as (served, writer),
            AsyncExitStack() as slow,
        ):
            await answer(served)
            for _ in range(30):
                await slow.enter_async_context(connected(live, b"GET /health HTTP/1.1\r\nX: "))
            for _ in range(3):
                async with connected(live, GET) as (reader, _):
                    assert (await answer(reader))[0] == 200
            assert len(live.app.ctx.connections) <= 6
            writer.write(GET)
            assert (await answer(served))[0] == 200, "who is idle stays, as long as others are slow"
            assert (await client.ask(type="PING", t1=1))["type"] == "PONG"


async def test_requests_that_come_together_leave_others_their_turn(live: Service) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with connected(live) as (reader, writer):
        elsewhere = asyncio.create_task(others())
        writer.write(GET * 100)
        for _ in range(100):
            assert (await answer(reader))[0] == 200
        elsewhere.cancel()
    assert turns >= 100
