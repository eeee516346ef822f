"""Which primary serves a key. Private to `synckairos.core`.

There may be one server (`Single`), one that Sentinels name (`Named`), or the primaries of a cluster
(`Cluster`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Literal, Protocol

import redis.asyncio
import structlog
from redis.crc import key_slot

from synckairos.breakers.registry import Breakers
from synckairos.config import Address, Settings
from synckairos.core.answers import View, Watch
from synckairos.core.authority import Sentinels
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.core.fence import Fence
from synckairos.core.links import Confirmation, PrimaryLink, end_tasks, shared
from synckairos.core.slots import ClusterMap, read_map
from synckairos.errors import error_text
from synckairos.supervision import Telling, retrieve_error, supervise

log = structlog.get_logger(__name__)

Topology = Literal["standalone", "sentinel", "cluster"]

MAP_EVERY_S = 2.0
"""How often the map of a cluster is read again."""
IMPORTING_S = 10.0
"""How long a node counts that is not in the map, after another one has redirected a call to it: it is about
to take over its first slot."""


class Route(Protocol):
    """Finds the primary that serves a key.

    on_change: called after another server became a primary
    on_importing: called with the key of a call that a node has redirected to another one, which is about to
        take over the key's slot
    """

    topology: Topology
    on_change: set[Callable[[], None]]
    on_importing: set[Callable[[str], None]]

    def link(self, key: str | None, /) -> PrimaryLink | None:
        """The link to the primary of `key`, or without a key to any primary. None while none is known."""

    def links(self) -> list[PrimaryLink]:
        """The links to all primaries that are known."""

    def is_down(self, key: str | None, /) -> bool:
        """Whether it is known that the primary of `key` does not answer, and that no other one is named."""

    def is_in_doubt(self, key: str | None, /) -> bool:
        """Whether the primary of `key` may have been cut off, so that what it acknowledges may get lost."""

    def replicas(self, key: str, /) -> list[Address]:
        """The replicas of the primary of `key` that are known to work."""

    def watch(self) -> Watch | None:
        """How well the Sentinels watch the primary; None without Sentinels."""

    async def refresh(self) -> None:
        """Finds out which primaries there are. Raises RedisError or OSError."""

    def link_at(self, address: Address, slot: int | None, /) -> PrimaryLink | None:
        """The link to the server at an address, to which another server has redirected.

        slot: if given, this server counts as the slot's primary from now on
        """

    async def aclose(self) -> None:
        """Closes all links."""


class Single:
    """One primary at a fixed address."""

    topology: Topology = "standalone"

    def __init__(self, link: PrimaryLink) -> None:
        self._link = link
        self.on_change: set[Callable[[], None]] = set()
        self.on_importing: set[Callable[[str], None]] = set()

    def link(self, _key: str | None, /) -> PrimaryLink | None:
        """The link to the only primary."""
        return self._link

    def links(self) -> list[PrimaryLink]:
        """All links."""
        return [self._link]

    def is_down(self, _key: str | None, /) -> bool:
        """False, as only the server itself could tell."""
        return False

    def is_in_doubt(self, _key: str | None, /) -> bool:
        """False: it is the only one."""
        return False

    def replicas(self, _key: str, /) -> list[Address]:
        """None are known."""
        return []

    def watch(self) -> Watch | None:
        """None: there are no Sentinels."""
        return None

    async def refresh(self) -> None:
        """Does nothing, because the address stays. Its name may lead to another server by now."""

    def link_at(self, _address: Address, _slot: int | None, /) -> PrimaryLink | None:
        """None, because a single primary does not redirect."""
        return None

    async def aclose(self) -> None:
        """Closes all links."""
        await self._link.aclose()


class Named:
    """The one primary that Sentinels name. When they name another one, all connections go there at once.

    Its fence is watched: see `synckairos.core.fence`.
    """

    topology: Topology = "sentinel"

    def __init__(self, settings: Settings, breakers: Breakers) -> None:
        self._settings = settings
        self._breakers = breakers
        self._confirmation = Confirmation.of(settings)
        self._sentinels = Sentinels(settings, self._use)
        self._link: PrimaryLink | None = None
        self._fence: Fence | None = None
        self._address: Address | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.on_change: set[Callable[[], None]] = set()
        self.on_importing: set[Callable[[str], None]] = set()

    @property
    def view(self) -> View:
        """What the Sentinels say."""
        return self._sentinels.view

    def link(self, _key: str | None, /) -> PrimaryLink | None:
        """The link to the only primary."""
        return self._link

    def links(self) -> list[PrimaryLink]:
        """All links."""
        return [] if self._link is None else [self._link]

    def is_down(self, _key: str | None, /) -> bool:
        """Whether the Sentinels say so."""
        return self.view.down

    def is_in_doubt(self, _key: str | None, /) -> bool:
        """Whether most of the Sentinels have not heard from it lately.

        Also while it is not known which replicas have to confirm a change, as no majority has been heard yet.
        """
        view = self.view
        return view.unheard or view.down or (self._confirmation is not None and not view.known)

    def replicas(self, _key: str, /) -> list[Address]:
        """Those that the Sentinels know."""
        return sorted(self.view.electable)

    def watch(self) -> Watch | None:
        """How well the Sentinels watch the primary."""
        return self._sentinels.watch()

    async def refresh(self) -> None:
        """Asks the Sentinels."""
        await self._sentinels.ask()

    def _use(self, view: View) -> None:
        """Follow what the Sentinels say."""
        if view.primary != self._address and view.primary is not None:
            before, self._address = self._address, view.primary
            old, old_fence = self._link, self._fence
            self._fence = Fence(self._settings, view.primary, lambda: self.view)
            self._link = PrimaryLink(
                async_client(self._settings, view.primary),
                self._confirmation,
                must_be_primary=True,
                fence=self._fence,
                breakers=self._breakers,
            )
            if old is not None and old_fence is not None:
                log.warning("the Sentinels name another primary", before=before, now=view.primary)
                for leaving in (old.aclose("another server is the primary now"), old_fence.aclose()):
                    task = asyncio.create_task(leaving)
                    self._closing.add(task)
                    task.add_done_callback(self._closing.discard)
                for callback in tuple(self.on_change):
                    callback()
        if self._link is not None:
            self._link.electable = len(view.electable)

    def link_at(self, _address: Address, _slot: int | None, /) -> PrimaryLink | None:
        """None, because a single primary does not redirect."""
        return None

    async def aclose(self) -> None:
        """Closes all links."""
        await self._sentinels.aclose()
        if self._fence is not None:
            await self._fence.aclose()
        if self._link is not None:
            await self._link.aclose()
        await asyncio.gather(*self._closing)


class Cluster:
    """The primaries of a cluster and the slots that each serves."""

    topology: Topology = "cluster"

    def __init__(
        self,
        seeds: Sequence[Address],
        client: Callable[[Address], redis.asyncio.Redis],
        confirmation: Confirmation | None,
        breakers: Breakers,
    ) -> None:
        self._seeds = seeds
        self._client = client
        self._breakers = breakers
        self._confirmation = confirmation
        self._links: dict[Address, PrimaryLink] = {}
        self._slots: dict[int, PrimaryLink] = {}
        self._replicas: dict[PrimaryLink, list[Address]] = {}
        self._down: set[PrimaryLink] = set()
        self._epoch = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.on_change: set[Callable[[], None]] = set()
        self.on_importing: set[Callable[[str], None]] = set()

    def link(self, key: str | None) -> PrimaryLink | None:
        """The link to the primary of the key's slot. Without a key, any link, preferably one that works."""
        if key is None:
            working = (link for link in self._links.values() if link.breaker.closed and link.calls.ready())
            return next(working, next(iter(self.links()), None))
        return self._slots.get(key_slot(key.encode()))

    def links(self) -> list[PrimaryLink]:
        """All links."""
        return list(self._links.values())

    def is_down(self, key: str | None, /) -> bool:
        """Whether the nodes have agreed that it does not answer."""
        return key is not None and self.link(key) in self._down

    def is_in_doubt(self, _key: str | None, /) -> bool:
        """False: a node that is cut off from most of the others refuses calls by itself."""
        return False

    def replicas(self, key: str, /) -> list[Address]:
        """Those in the map."""
        link = self.link(key)
        return [] if link is None else self._replicas.get(link, [])

    def watch(self) -> Watch | None:
        """None: there are no Sentinels."""
        return None

    def link_at(self, address: Address, slot: int | None, /) -> PrimaryLink:
        """The link to this node, which from now on counts as the primary of `slot`, if one is given.

        The rest of the map may have changed too, so it is read again soon.
        """
        link = self._link_to(address)
        link.named_at = monotonic()
        if slot is not None and self._slots.get(slot) is not link:
            self._slots[slot] = link
            self._refresh_soon()
            self._changed()
        return link

    def _link_to(self, address: Address) -> PrimaryLink:
        if address not in self._links:
            link = PrimaryLink(self._client(address), self._confirmation, breakers=self._breakers)
            # Until the map shows its replicas, it counts as having as many as any other primary.
            link.electable = max((other.electable for other in self._links.values()), default=0)
            self._links[address] = link
        return self._links[address]

    def _changed(self) -> None:
        for callback in tuple(self.on_change):
            callback()

    async def refresh(self) -> None:
        """Reads the map of slots, and from then on again and again.

        Callers that come while it is read share the answer.
        """
        if self._watching is None:
            self._watching = asyncio.create_task(supervise("map of the cluster", self._watch))
        await shared(self._refresh_soon())

    def _refresh_soon(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(retrieve_error)
        return self._refreshing

    async def _watch(self) -> None:
        telling = Telling()
        while True:
            await asyncio.sleep(MAP_EVERY_S)
            try:
                await shared(self._refresh_soon())
            except REDIS_ERRORS as error:
                log.log(telling.level(), "no node shows the map of the cluster", error=error_text(error))

    async def _refresh(self) -> None:
        """Takes the newest map of a node that works together with most of the others.

        A node that was cut off from the others does not know which slots they took from it. Its epoch stays
        behind, and it says that the cluster does not work. The nodes with a working wire are asked first, in
        random order, then the others, then the seeds.
        """
        known = random.sample(list(self._links), len(self._links))
        known.sort(key=lambda address: self._links[address].calls.ready() is None)
        trouble: Exception = ConnectionError("no node of the cluster is known")
        best: ClusterMap | None = None
        for address in [*known, *(seed for seed in self._seeds if seed not in self._links)]:
            link = self._links.get(address)
            client = link.client if link else self._client(address)
            try:
                found = await read_map(client, address[0])
            except REDIS_ERRORS as error:
                trouble = error
                continue
            finally:
                if link is None:
                    await client.aclose()
            if found.ranges and (best is None or found.rank > best.rank):
                best = found
            if best is not None and best.rank >= (True, self._epoch):
                break
        if best is None:
            raise trouble
        await self._use_map(best)

    async def _use_map(self, found: ClusterMap) -> None:
        slots: dict[int, PrimaryLink] = {}
        replicas: dict[PrimaryLink, list[Address]] = {}
        for each in found.ranges:
            link = self._link_to(each.primary)
            slots.update(dict.fromkeys(range(each.first, each.last + 1), link))
            replicas[link] = list(each.replicas)
            link.electable = len(each.replicas)
        changed, self._slots = slots != self._slots, slots
        self._replicas = replicas
        self._down = {self._links[each.primary] for each in found.ranges if each.failed}
        self._epoch = found.epoch
        gone = [
            address
            for address, link in self._links.items()
            if link not in replicas and monotonic() - link.named_at > IMPORTING_S
        ]
        leaving = [self._links.pop(address) for address in gone]
        if changed:
            self._changed()
        for link in leaving:  # in tasks of their own, as this one may be ended meanwhile
            task = asyncio.create_task(link.aclose("the node serves no slots any more"))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Closes all links."""
        await end_tasks(self._watching, self._refreshing)
        for link in self.links():
            await link.aclose()
        await asyncio.gather(*self._closing)


def route_to(settings: Settings, breakers: Breakers) -> Route:
    """The route to the Redis that the settings describe. Nothing is sent yet."""
    confirmation = Confirmation.of(settings)
    if settings.redis_cluster_nodes:
        client = partial(async_client, settings)
        return Cluster(settings.redis_cluster_nodes, client, confirmation, breakers)
    if settings.redis_sentinel_hosts:
        return Named(settings, breakers)
    return Single(PrimaryLink(async_client(settings), confirmation, breakers=breakers))
