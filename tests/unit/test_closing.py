"""What is closed stays closed: what was under way then leaves no connection open, and opens none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from synckairos.breakers.registry import Breakers
from synckairos.config import load
from synckairos.core.clients import async_client
from synckairos.core.connection import Connection
from synckairos.core.links import PrimaryLink
from synckairos.core.routes import Cluster, route_to
from synckairos.errors import StorageUnavailable
from synckairos.realtime.subscriptions import Subscriptions
from tests.support.lines import answering
from tests.support.live import eventually

TURNS = range(20)
"""After how many turns of the event loop it is closed. Within the last of them, everything has been done."""


class Storage:
    """A server that gives each of these commands its reply, and none to all others.

    open: how many connections there are now
    opened: how many there were
    """

    def __init__(self, replies: Mapping[bytes, bytes] | None = None) -> None:
        self.replies = replies or {}
        self.open = self.opened = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.opened += 1
        try:
            while data := await reader.read(1 << 16):
                for command, reply in self.replies.items():
                    writer.write(reply * data.count(command))
        except ConnectionError:
            pass
        finally:
            self.open -= 1

    async def is_alone(self) -> None:
        """Nobody is connected, nor is about to be."""
        await eventually(lambda: not self.open)
        for _ in TURNS:
            await asyncio.sleep(0)
        assert not self.open


def client_of(port: int) -> redis.asyncio.Redis:
    return async_client(load({"REDIS_URL": f"redis://127.0.0.1:{port}"}))


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_URL": "redis://127.0.0.1:{port}"},
        {"REDIS_CLUSTER_NODES": "127.0.0.1:{port}"},
        {"REDIS_SENTINEL_HOSTS": "127.0.0.1:{port}", "REDIS_SENTINEL_NAME": "main"},
    ],
    ids=["alone", "cluster", "sentinel"],
)
async def test_a_call_that_is_under_way_fails_and_opens_nothing_any_more(environ: dict[str, str]) -> None:
    storage = Storage()
    async with answering(storage.talk) as port:
        given = load({name: value.format(port=port) for name, value in environ.items()})
        connection = Connection.to(given)
        call = asyncio.create_task(connection.fcall("sk_info", []))
        await eventually(lambda: storage.open)
        await connection.aclose()
        opened = storage.opened
        with pytest.raises(StorageUnavailable):
            await call
        with pytest.raises(StorageUnavailable):
            await connection.fcall("sk_info", [])
        with pytest.raises(StorageUnavailable):
            await connection.load()
        await storage.is_alone()
        assert storage.opened == opened


async def test_a_client_that_is_closed_opens_nothing_any_more() -> None:
    storage = Storage({b"PING": b"+PONG\r\n"})
    async with answering(storage.talk) as port:
        for turns in TURNS:
            client = client_of(port)
            under_way = asyncio.ensure_future(client.ping())
            for _ in range(turns):
                await asyncio.sleep(0)
            await client.aclose()
            [outcome] = await asyncio.gather(under_way, return_exceptions=True)
            assert turns or isinstance(outcome, redis.ConnectionError)
            with pytest.raises(redis.ConnectionError):
                await client.ping()
            await storage.is_alone()


async def test_a_link_that_is_closed_while_it_connects_leaves_nothing_open() -> None:
    storage = Storage({b"ROLE": b"*1\r\n$6\r\nmaster\r\n"})
    async with answering(storage.talk) as port:
        for turns in TURNS:
            link = PrimaryLink(client_of(port), must_be_primary=True)
            caller = asyncio.create_task(link.calls.connected())
            for _ in range(turns):
                await asyncio.sleep(0)
            await link.aclose()
            await asyncio.wait([caller])
            assert turns or isinstance(caller.exception(), redis.ConnectionError)
            await storage.is_alone()


async def test_a_server_that_does_not_tell_its_role_is_left() -> None:
    storage = Storage({b"ROLE": b"-ERR unknown command\r\n"})
    async with answering(storage.talk) as port:
        link = PrimaryLink(client_of(port), must_be_primary=True)
        with pytest.raises(ResponseError) as refused:
            await link.calls.connected()
        await storage.is_alone()
        assert refused.tb is not None, "which holds the connection, so that it was closed by nothing else"
        await link.aclose()


class Primaries(Connection):
    """A connection that knows these primaries."""

    known: list[redis.asyncio.Redis]

    async def primaries(self) -> list[redis.asyncio.Redis]:
        return self.known


async def test_primaries_that_leave_while_the_subscriptions_stop_are_left() -> None:
    storage = Storage(
        {
            b"CONFIG": b"*2\r\n$22\r\nnotify-keyspace-events\r\n$5\r\nAKEgx\r\n",
            b"SUBSCRIBE": 3 * b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
        }
    )
    async with answering(storage.talk) as port:
        for turns in TURNS:
            clients = [client_of(port) for _ in range(3)]
            connection = Primaries.to(load({"REDIS_URL": f"redis://127.0.0.1:{port}"}))
            assert isinstance(connection, Primaries)
            connection.known = clients
            subscriptions = Subscriptions(connection)
            await subscriptions.start()
            await eventually(lambda: storage.open == 6)  # each client has one for its commands
            connection.known = clients[:1]
            for callback in tuple(connection.on_change):
                callback()
            for _ in range(turns):
                await asyncio.sleep(0)
            await subscriptions.stop()
            for client in clients:
                await client.aclose()
            await connection.aclose()
            await storage.is_alone()


def _map(ports: list[int], epoch: int) -> bytes:
    """How a node answers the questions for the map, with a slot for each of these primaries."""
    slots = [
        f"*3\r\n:{at}\r\n:{at}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$1\r\n{at}\r\n"
        for at, port in enumerate(ports)
    ]
    info = f"cluster_state:ok cluster_current_epoch:{epoch}"
    nodes = "0 a master"
    texts = [f"${len(text)}\r\n{text}\r\n" for text in (info, nodes)]
    return "".join([f"*{len(ports)}\r\n", *slots, *texts]).encode()


async def test_nodes_that_leave_a_cluster_that_is_closed_are_left() -> None:
    first = Storage()
    others = Storage()
    async with (
        answering(first.talk) as port,
        answering(others.talk) as second,
        answering(others.talk) as third,
    ):
        for turns in TURNS:
            cluster = route_to(load({"REDIS_CLUSTER_NODES": f"127.0.0.1:{port}"}), Breakers())
            assert isinstance(cluster, Cluster)
            first.replies = {b"SLOTS": _map([port, second, third], 1)}
            await cluster.refresh()
            for link in cluster.links():
                await link.calls.connected()
            first.replies = {b"SLOTS": _map([port], 2)}
            caller = asyncio.create_task(cluster.refresh())
            for _ in range(1 + turns):
                await asyncio.sleep(0)
            await cluster.aclose()
            await asyncio.wait([caller])
            await first.is_alone()
            await others.is_alone()
