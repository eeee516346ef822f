"""A running service and clients that watch it, for tests of events and clocks."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from sanic import Sanic
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from synckairos.api.app import create_app
from synckairos.api.context import Context, context_of
from synckairos.config import Settings, load
from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Options
from synckairos.errors import NotReplicated, StorageUnavailable
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.realtime.timekeeper import Timekeeper
from synckairos.run.processes import free_port

PATIENCE_S = 10.0
"""How long a test waits for something before it fails."""

Message = dict[str, Any]
T = TypeVar("T")


def settings(redis_url: str, **environ: str) -> Settings:
    """Settings of a service without rate limits."""
    return load({"REDIS_URL": redis_url, "RATE_LIMIT_ENABLED": "false", "ENABLE_METRICS": "false", **environ})


@dataclass
class Service:
    """A service in this process."""

    app: Sanic[Any, Any]
    port: int
    stop: Callable[[], Awaitable[None]]

    @property
    def sessions(self) -> Sessions:
        return self.context.sessions

    @property
    def context(self) -> Context:
        """The service's parts."""
        return context_of(self.app)

    def url(self, session_id: str, path: str = "/ws") -> str:
        return f"ws://127.0.0.1:{self.port}{path}?session_id={session_id}"

    @asynccontextmanager
    async def watch(self, session_id: str, url: str | None = None, **options: Any) -> AsyncIterator[Watcher]:
        """A connected client that has not read any message yet."""
        address = url or self.url(session_id)
        async with connect(address, ping_interval=None, max_size=None, **options) as socket:
            yield Watcher(socket)

    @asynccontextmanager
    async def follow(self, session_id: str, **options: Any) -> AsyncIterator[Watcher]:
        """A connected client that has read the greeting and the state."""
        async with self.watch(session_id, **options) as watcher:
            await watcher.next("CONNECTED")
            await watcher.next("STATE_SYNC")
            yield watcher


@asynccontextmanager
async def service(chosen: Settings) -> AsyncIterator[Service]:
    """A service on a free port. It is stopped at the end if the test did not stop it."""
    Sanic.test_mode = True
    app = create_app(chosen)
    port = free_port()
    server = await app.create_server(
        host="127.0.0.1", port=port, return_asyncio_server=True, access_log=False
    )
    assert server is not None
    await server.startup()
    await server.before_start()
    await server.start_serving()
    await server.after_start()
    stopped = False

    async def stop() -> None:
        nonlocal stopped
        if stopped:
            return
        stopped = True
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.close_if_idle()
        await eventually(lambda: not server.connections)
        await server.after_stop()

    try:
        yield Service(app, port, stop)
    finally:
        await stop()


@dataclass
class Parts:
    """The parts of a service process, without HTTP. Only the clock and the subscriptions are started."""

    connection: Connection
    sessions: Sessions
    clock: ServerClock
    subscriptions: Subscriptions
    relay: Relay
    timekeeper: Timekeeper


@asynccontextmanager
async def parts(chosen: Settings) -> AsyncIterator[Parts]:
    """The parts of a service. All parts are stopped at the end."""
    connection = await connections.connect(chosen)
    sessions = Sessions(connection, chosen.session_ttl)
    clock = ServerClock(connection)
    subscriptions = Subscriptions(connection)
    relay = Relay(sessions, subscriptions, clock)
    timekeeper = Timekeeper(connection, sessions, subscriptions, clock)
    try:
        await clock.start()
        await subscriptions.start()
        yield Parts(connection, sessions, clock, subscriptions, relay, timekeeper)
    finally:
        for part in (timekeeper, relay, subscriptions, clock):
            await part.stop()
        await connection.aclose()


class Watcher:
    """A client's end of a WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def text(self) -> bytes:
        """The next message as bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.socket.recv(decode=False)

    async def next(self, kind: str | None = None) -> Message:
        """The next message. With `kind`, it has to be of this kind."""
        message: Message = json.loads(await self.text())
        assert kind in (None, message["type"]), message
        return message

    async def until(self, kind: str) -> list[Message]:
        """Messages up to the first of this kind, included."""
        messages = [await self.next()]
        while messages[-1]["type"] != kind:
            messages.append(await self.next())
        return messages

    async def say(self, **fields: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(fields))

    async def ask(self, **fields: Any) -> Message:
        """Send a message and return the first message that is no event."""
        await self.say(**fields)
        while True:
            message = await self.next()
            if "payload" not in message:
                return message

    async def rest(self) -> list[Message]:
        """Everything up to the close."""
        messages = []
        with suppress(ConnectionClosed):
            while True:
                messages.append(await self.next())
        return messages

    async def closed(self) -> int:
        """Wait for the close. Returns the close code."""
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()
        code = self.socket.close_code
        assert code is not None
        return code


async def game(
    sessions: Sessions,
    *,
    seconds: float = 600,
    participants: int = 2,
    start: bool = True,
    session_id: str | None = None,
    **config: Any,
) -> str:
    """Create a session, and start it unless `start` is False. Returns its id."""
    session_id = session_id or str(uuid.uuid4())
    players = [
        {"participant_id": str(uuid.uuid4()), "total_time_ms": int(1000 * seconds)}
        for _ in range(participants)
    ]
    text = json.dumps({"sync_mode": "per_participant", "participants": players, **config})
    await accepted(lambda same: sessions.create(session_id, text.encode(), same))
    if start:
        await accepted(lambda same: sessions.start(session_id, same))
    return session_id


async def accepted(change: Callable[[Options], Awaitable[T]]) -> T:
    """What the change returns; it is sent again while the storage is away or no replica confirms it.

    Every caller should do so. The disk under a test's server may stand still for seconds, which is not what
    the test is about.
    """
    same = Options(request=str(uuid.uuid4()))
    end = monotonic() + PATIENCE_S
    while True:
        try:
            return await change(same)
        except (StorageUnavailable, NotReplicated):
            if monotonic() > end:
                raise
            await asyncio.sleep(0.1)


async def eventually(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds."""
    end = monotonic() + patience_s
    while not condition():
        assert monotonic() < end, "what had to happen did not happen"
        await asyncio.sleep(0.01)


def versions(messages: list[Message]) -> list[int]:
    """The versions of these messages."""
    return [message["version"] for message in messages]
