"""Which primary serves a key. Private to `synckairos.core`.

There may be one server, one that Sentinels name (`Single`), or the primaries of a cluster (`Cluster`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol, TypeVar, cast

import redis.asyncio
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import Sentinel
from redis.crc import key_slot

from synckairos.config import Address, Settings
from synckairos.core.clients import REDIS_ERRORS, async_client, async_client_by_sentinels
from synckairos.core.keys import replication_marker
from synckairos.core.wire import InProcessWire, Wire
from synckairos.errors import NotReplicated, error_text
from synckairos.supervision import retrieve_error

log = structlog.get_logger(__name__)

T = TypeVar("T")

Topology = Literal["standalone", "sentinel", "cluster"]

REPLICATED_MS = 500
"""With DURABILITY=replicated: how long a replica may take to confirm a change."""


class PrimaryLink:
    """The connections to one primary: a wire for function calls and a client for all else.

    The wire is made anew when it breaks.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self._wire: Wire | InProcessWire | None = None
        self._retired: list[Wire | InProcessWire] = []
        self._connecting: asyncio.Task[None] | None = None
        self._last_round: asyncio.Task[bool] | None = None
        self._next_round: asyncio.Task[bool] | None = None

    def ready(self) -> Wire | InProcessWire | None:
        """The wire, if it works and can take another call at once."""
        wire = self._wire
        return None if wire is None or wire.broken or wire.full else wire

    async def connected(self) -> Wire | InProcessWire:
        """Waits for the wire. Raises RedisError or OSError when the primary cannot be reached."""
        while self._wire is None or self._wire.broken:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
                self._connecting.add_done_callback(retrieve_error)
            await shared(self._connecting)
        await self._wire.room()
        return self._wire

    async def _connect(self) -> None:
        connection = cast(AbstractConnection, self.client.connection_pool.make_connection())
        await connection.connect()
        writer = connection._writer  # noqa: SLF001 - the socket, with TLS and login done
        if not isinstance(writer, asyncio.StreamWriter):
            self._wire = InProcessWire(self.client)
            return
        wire = Wire(writer)
        writer.transport.set_protocol(wire)
        connection._writer = None  # noqa: SLF001 - only the wire uses the socket from here on
        self._wire = wire

    async def replicated(self, key: str) -> None:
        """Waits until a replica has all that this primary has written so far. Raises NotReplicated.

        `key` is one of the keys that were written. Callers share a WAIT. A caller that comes while one is
        under way joins the next, because the present one may have begun before the caller's change.
        """
        if self._next_round is None:
            self._next_round = asyncio.create_task(self._round(self._last_round, key))
        try:
            replicated = await shared(self._next_round)
        except redis.ConnectionError:
            replicated = False
        if not replicated:
            raise NotReplicated(retry_after_ms=REPLICATED_MS)

    async def _round(self, last: asyncio.Task[bool] | None, key: str) -> bool:
        if last is not None:
            await asyncio.wait((last,))
        self._last_round, self._next_round = self._next_round, None
        marker = replication_marker(key)
        try:
            async with self.client.pipeline(transaction=False) as pipeline:
                # WAIT only looks at the last write of its own connection, so this one writes something.
                pipeline.set(marker, 1)
                pipeline.delete(marker)
                pipeline.execute_command("WAIT", 1, REPLICATED_MS)
                replies = await pipeline.execute()
        except REDIS_ERRORS as error:
            log.warning("cannot ask for replication", reason=error_text(error))
            return False
        return int(replies[-1]) >= 1

    async def renew(self) -> None:
        """Has the next call look for the primary anew. Calls that are under way still get their replies."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self._retired = [*(old for old in self._retired if not old.broken), wire]
            wire.retire()
            # The client's idle connections go to the same server, so they are closed too.
            await self.client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Closes the client and the wires. Calls that are under way fail."""
        await end_tasks(self._connecting, self._last_round, self._next_round)
        await self.renew()
        for wire in self._retired:
            wire.fail("the service is closing")
        await self.client.aclose()


class Route(Protocol):
    """Finds the primary that serves a key."""

    topology: Topology

    def link(self, key: str | None, /) -> PrimaryLink | None:
        """The link to the primary of `key`, or without a key to any primary. None while none is known."""

    def links(self) -> list[PrimaryLink]:
        """The links to all primaries that are known."""

    async def refresh(self) -> None:
        """Finds out which primaries there are. Raises RedisError or OSError."""

    def link_at(self, address: Address, slot: int | None, /) -> PrimaryLink | None:
        """The link to the server at an address, to which another server has redirected.

        slot: if given, this server counts as the slot's primary from now on
        """

    async def aclose(self) -> None:
        """Closes all links."""


class Single:
    """One primary: a server at a fixed address, or the one that Sentinels name for each new connection."""

    def __init__(self, topology: Topology, link: PrimaryLink, sentinel: Sentinel | None = None) -> None:
        self.topology: Topology = topology
        self._link = link
        self._sentinel = sentinel

    def link(self, _key: str | None, /) -> PrimaryLink | None:
        """The link to the only primary."""
        return self._link

    def links(self) -> list[PrimaryLink]:
        """All links."""
        return [self._link]

    async def refresh(self) -> None:
        """Does nothing. The next connection goes to the server that is the primary then."""

    def link_at(self, _address: Address, _slot: int | None, /) -> PrimaryLink | None:
        """None, because a single primary does not redirect."""
        return None

    async def aclose(self) -> None:
        """Closes all links."""
        await self._link.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class Cluster:
    """The primaries of a cluster and the slots that each serves."""

    topology: Topology = "cluster"

    def __init__(self, seeds: Sequence[Address], client: Callable[[Address], redis.asyncio.Redis]) -> None:
        self._seeds = seeds
        self._client = client
        self._links: dict[Address, PrimaryLink] = {}
        self._slots: dict[int, PrimaryLink] = {}
        self._refreshing: asyncio.Task[None] | None = None

    def link(self, key: str | None) -> PrimaryLink | None:
        """The link to the primary of the key's slot. Without a key, any link, preferably one that works."""
        if key is None:
            return next(
                (link for link in self._links.values() if link.ready()), next(iter(self.links()), None)
            )
        return self._slots.get(key_slot(key.encode()))

    def links(self) -> list[PrimaryLink]:
        """All links."""
        return list(self._links.values())

    def link_at(self, address: Address, slot: int | None, /) -> PrimaryLink:
        """The link to this node, which from now on counts as the primary of `slot`, if one is given."""
        if address not in self._links:
            self._links[address] = PrimaryLink(self._client(address))
        link = self._links[address]
        if slot is not None:
            self._slots[slot] = link
        return link

    async def refresh(self) -> None:
        """Asks a node for the map of slots. Callers that come while it is asked share the answer."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await shared(self._refreshing)

    async def _refresh(self) -> None:
        """Takes the map of the first node that has one.

        The nodes with a working wire are asked first, in random order, then the others, then the seeds.
        """
        known = random.sample(list(self._links), len(self._links))
        known.sort(key=lambda address: self._links[address].ready() is None)
        trouble: Exception = ConnectionError("no node of the cluster is known")
        for address in [*known, *(seed for seed in self._seeds if seed not in self._links)]:
            link = self._links.get(address)
            client = link.client if link else self._client(address)
            try:
                ranges = await client.execute_command("CLUSTER SLOTS")
            except REDIS_ERRORS as error:
                trouble = error
            else:
                if ranges:
                    await self._use_map(ranges, address[0])
                    return
            finally:
                if link is None:
                    await client.aclose()
        raise trouble

    async def _use_map(self, ranges: list[list[Any]], asked: str) -> None:
        """Takes over a reply of `CLUSTER SLOTS`.

        ranges: of each range of slots the first and last slot, and `[host, port, ...]` of the primary and of
            each replica
        asked: the host that was asked. It stands for a host that is empty or "?": such a node does not know
            its own address.
        """
        slots: dict[int, PrimaryLink] = {}
        serving: set[Address] = set()
        for first, last, primary, *_ in ranges:
            host = (primary[0] or b"").decode()
            address = asked if host in ("", "?") else host, int(primary[1])
            serving.add(address)
            slots.update(dict.fromkeys(range(first, last + 1), self.link_at(address, None)))
        self._slots = slots
        for gone in self._links.keys() - serving:
            await self._links.pop(gone).aclose()

    async def aclose(self) -> None:
        """Closes all links."""
        await end_tasks(self._refreshing)
        for link in self.links():
            await link.aclose()


async def shared(task: asyncio.Task[T]) -> T:
    """The result of a task that several callers wait for. One that gives up does not end it for the others.

    Raises redis.ConnectionError when the task was cancelled, because its owner was closed. A CancelledError
    would look to each caller like the end of its own task.
    """
    await asyncio.wait((task,))
    if task.cancelled():
        raise redis.ConnectionError("the connection was closed meanwhile")
    return task.result()


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancels the tasks that are not None, and waits until they have ended."""
    found = [task for task in tasks if task is not None]
    for task in found:
        task.cancel()
    await asyncio.gather(*found, return_exceptions=True)


def route_to(settings: Settings) -> Route:
    """The route to the Redis that the settings describe. Nothing is sent yet."""
    if settings.redis_cluster_nodes:
        return Cluster(settings.redis_cluster_nodes, partial(async_client, settings))
    if settings.redis_sentinel_hosts:
        primary, sentinel = async_client_by_sentinels(settings)
        return Single("sentinel", PrimaryLink(primary), sentinel)
    return Single("standalone", PrimaryLink(async_client(settings)))
