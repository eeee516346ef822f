"""What has ended is freed at once, and not by the garbage collector, which may leave it alone for long."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
import pytest_asyncio
from websockets.server import ServerProtocol

from synckairos.api.calls import ApiCall
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.transport.connection import Connection
from synckairos.api.transport.http1 import Http1
from synckairos.api.websocket.conversation import Conversation
from synckairos.api.websocket.socket import Socket
from synckairos.errors import SyncKairosError
from synckairos.realtime.relay import Topic
from tests.support import servers
from tests.support.lines import calling
from tests.support.live import Service, eventually, game, service, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNTED: tuple[type, ...] = (
    *(ApiCall, ApiRequest, Connection, Conversation, Http1, Reply, ServerProtocol, Socket),
    *(SyncKairosError, Topic),
)
"""Of what there is one for each request, each connection or each failure."""
TIMES = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server) -> AsyncIterator[Service]:
    async with service(settings(redis.url)) as running:
        yield running


@pytest.fixture
def _alone() -> Iterator[None]:
    """Without the collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def counted() -> Counter[str]:
    # Not `isinstance`, which a weak reference to something that is gone does not survive.
    kinds = (type(each) for each in gc.get_objects())
    return Counter(counted.__name__ for kind in kinds for counted in COUNTED if issubclass(kind, counted))


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: localhost", *fields, "", "")).encode() + body


async def asked(live: Service, data: bytes) -> None:
    """A client that sends this, reads what there is, and goes away without a word."""
    async with calling(live.port, data) as (reader, _):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                while await reader.read(1 << 16):
                    pass


async def refused(live: Service) -> None:
    await asked(live, request(f"GET /v1/sessions/{uuid.uuid4()}"))
    await asked(live, request("POST /v1/sessions", "Content-Length: 2", body=b"{}"))
    await asked(live, request("GET /nowhere"))


async def half(live: Service) -> None:
    await asked(live, b"")
    await asked(live, b"GET /health HT")
    await asked(live, b"no HTTP\r\n\r\n")
    await asked(live, request("POST /v1/sessions", "Content-Length: 9000", body=b" " * 20))


async def socket_of_no_session(live: Service) -> None:
    handshake = (
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: c3luY2thaXJvcy1iZW5jaA==",
    )
    await asked(live, request(f"GET /ws?session_id={uuid.uuid4()}", *handshake))
    await asked(live, request("GET /ws?session_id=none", *handshake[:-1]))


async def socket_closed(live: Service) -> None:
    async with live.follow(await game(live.sessions)):
        pass


async def socket_cut(live: Service) -> None:
    async with live.follow(await game(live.sessions)) as client:
        client.socket.transport.abort()


async def socket_with_binary(live: Service) -> None:
    async with live.follow(await game(live.sessions)) as client:
        await client.socket.send(b"no text")
        await client.socket.wait_closed()


async def socket_with_a_broken_frame(live: Service) -> None:
    async with live.follow(await game(live.sessions)) as client:
        client.socket.transport.write(b"\xff\x81\x00\x00\x00\x00a")
        await client.socket.wait_closed()


async def socket_with_refused_messages(live: Service) -> None:
    async with live.follow(await game(live.sessions)) as client:
        for text in ("no JSON", '{"type":"NONE"}', '{"type":"RESUME"}'):
            await client.socket.send(text)
            await client.next("ERROR")


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize(
    "ended",
    [
        refused,
        half,
        socket_of_no_session,
        socket_closed,
        socket_cut,
        socket_with_binary,
        socket_with_a_broken_frame,
        socket_with_refused_messages,
    ],
)
async def test_nothing_is_left_of_what_has_ended(
    live: Service, ended: Callable[[Service], Awaitable[None]]
) -> None:
    await ended(live)  # what is made once is made now
    await asyncio.sleep(0.2)
    before = counted()
    for _ in range(TIMES):
        await ended(live)
    left: dict[str, int] = {}

    def nothing_left() -> bool:
        # What the service does meanwhile for itself may be under way, but not as often.
        left.clear()
        left.update((name, count) for name, count in (counted() - before).items() if count >= TIMES)
        return not left

    with suppress(AssertionError):
        await eventually(nothing_left)
    assert not left
