"""All connections of a process: how many there may be, and how long each may take.

A connection that waits for its client costs memory and a file, and costs the client next to nothing. So each
part of a request has a deadline, which does not move when a byte comes. And a client that has as many
connections as it may have gets a new one in place of the one that has been sending for longest: whoever sends
fast is hardly ever that one.
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
import resource
import sys
from collections.abc import Iterable
from enum import IntEnum, auto
from typing import Protocol

import structlog

from synckairos import metrics
from synckairos.api.address import is_within, normal
from synckairos.api.transport import unread
from synckairos.config import Settings

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HEAD_S = 10.0
"""How long a head may take: from its first byte, or from the start of the connection, to the empty line."""
BODY_S = 10.0
"""How long a body may take, from the moment when the service begins to read it."""
DROPPED_S = 5.0
"""How long the rest of a refused body may take. Its sender has the answer, and a chance to read it."""
HANDLING_S = 60.0
"""How long an answer may take, and its way to the client up to what the system buffers."""
IDLE_S = 75.0
"""How long a connection may wait for its next request. Load balancers give up earlier, after 60 s."""
UNREAD_S = 30.0
"""How long a client may take to read the rest of an answer."""
ENDING_S = 1.0
"""How long a connection that is being ended may take to send its last answer."""
GRACE_S = 5.0
LEAST_RATE = 1024
"""How many bytes of a body have to come in a second, on average and after GRACE_S."""
LOOK_S = 0.25
"""How often the deadlines are looked at."""
CROWD = 500
"""After so many connections at once, most of which are gone, memory is given back to the system."""
IN_A_ROW = 16
"""How many connections are ended before others get their turn."""
OTHER_FILES = 128
"""How many files a process has open beside its connections."""

ROOM = 8 * 1024 * 1024
"""How many bytes the parts of all bodies may have that are beyond what each may keep anyway."""
SETTLED_S = 1.0
"""A large body that has been coming for longer than this gives way to the next one when there is no room."""


_libc = ctypes.CDLL(None) if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" else None


class Phase(IntEnum):
    """What a connection waits for: a head, a body, the rest of a refused body, and so on."""

    HEAD = auto()
    BODY = auto()
    DROPPED = auto()
    HANDLING = auto()
    IDLE = auto()
    ENDING = auto()
    UPGRADED = auto()


ALLOWED_S = {
    Phase.HEAD: HEAD_S,
    Phase.BODY: BODY_S,
    Phase.DROPPED: DROPPED_S,
    Phase.HANDLING: HANDLING_S,
    Phase.IDLE: IDLE_S,
    Phase.ENDING: ENDING_S,
}
"""How long each phase may last, in seconds."""


class Client(Protocol):
    """What `Connections` has to know of a connection.

    phase, since: what it waits for, and since when (the event loop's clock)
    received: how many bytes of the body have come
    """

    phase: Phase
    since: float
    received: int

    @property
    def unread(self) -> int:
        """How many bytes of its answers the client has not taken."""

    def end(self) -> None:
        """Ends the connection, with an answer when the client waits for one."""

    def cut(self) -> None:
        """Ends the connection without a word."""


class Connections:
    """The open connections of a process. A WebSocket counts in the total and has bounds of its own."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_proxies
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = settings.max_connections + settings.max_websockets
        self._most = most if files == resource.RLIM_INFINITY else max(1, min(most, files - OTHER_FILES))
        self._most_of_one = settings.max_connections_per_address
        self._clients: dict[Client, str] = {}
        """Those that carry HTTP, with their addresses. The oldest is first."""
        self._by_address: dict[str, dict[Client, None]] = {}
        self._most_seen = 0
        self._upgraded = 0
        self._looking: asyncio.Handle | None = None
        self.replaced = False
        """Whether another process has this one's place. Then each connection ends with its next answer."""
        self.room = Room()

    def __len__(self) -> int:
        return len(self._clients) + self._upgraded

    def open(self, client: Client, peer: str) -> bool:
        """Takes a new connection in, unless there is no place for it and nobody can give way."""
        address = normal(peer)
        own = self._by_address.setdefault(address, {})
        # All clients of a proxy come from its address, so that bound would be one for all of them together.
        full = len(own) >= self._most_of_one and not is_within(peer, self._trusted)
        if (full and not self._make_place(own)) or (
            len(self) >= self._most and not self._make_place(self._clients)
        ):
            metrics.connections_ended.labels("refused").inc()
            if not own:
                self._by_address.pop(address, None)
            return False
        self._clients[client] = address
        self._by_address.setdefault(address, {})[client] = None
        self._most_seen = max(self._most_seen, len(self._clients))
        if self._looking is None:
            self._look_later()
        return True

    def upgraded(self, client: Client) -> None:
        """The connection is a WebSocket from now on."""
        self._forget(client)
        self._upgraded += 1

    def closed(self, client: Client) -> None:
        """The connection is gone."""
        if client.phase is Phase.UPGRADED:
            self._upgraded -= 1
        else:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        address = self._clients.pop(client, None)
        if address is not None:
            own = self._by_address[address]
            own.pop(client, None)
            if not own:
                del self._by_address[address]
            if self._most_seen > CROWD and len(self._clients) < self._most_seen // 4:
                self._most_seen = 0
                asyncio.get_running_loop().call_later(SETTLED_S, give_memory_back)

    def _make_place(self, among: Iterable[Client]) -> bool:
        """Ends the connection that has been sending for longest, else the oldest that is idle."""
        chosen = None
        for client in among:
            if client.phase <= Phase.DROPPED:
                chosen = client
                break
            if client.phase is Phase.IDLE and chosen is None:
                chosen = client
        if chosen is None:
            return False
        self._forget(chosen)
        metrics.connections_ended.labels("gave_way").inc()
        chosen.cut()
        return True

    def _look_later(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        unread.make_room(self._clients)
        now = asyncio.get_running_loop().time()
        self._end([client for client in self._clients if is_overdue(client, now)])

    def _end(self, overdue: list[Client]) -> None:
        """Ends these, some at a time: others have their turn in between."""
        for client in overdue[:IN_A_ROW]:
            metrics.connections_ended.labels("too_slow").inc()
            client.end()
        self._looking = None
        if len(overdue) > IN_A_ROW:
            self._looking = asyncio.get_running_loop().call_soon(self._end, overdue[IN_A_ROW:])
        elif self._clients:
            self._look_later()


def is_overdue(client: Client, now: float) -> bool:
    """Whether a connection has taken longer than it may."""
    took = now - client.since
    if took >= ALLOWED_S.get(client.phase, float("inf")):
        return True
    if client.phase is Phase.BODY:
        return took > GRACE_S and client.received < LEAST_RATE * took
    return client.phase is Phase.IDLE and took > UNREAD_S and client.unread > 0


def give_memory_back() -> None:
    """Gives the system the memory back that a crowd of connections has had.

    The C library keeps what is free among what is not, which may be some KB for each connection.
    """
    if _libc is not None:
        _libc.malloc_trim(0)


class Room:
    """What the large bodies of a process share.

    Each body may keep a little anyway. A larger one needs room here before it is read on. When there is none,
    the one that has been coming for longest gives way, if that is longer than a body needs whose sender does
    not hold it back. Whoever came last is next: when many wait, most of them have slow senders.
    """

    def __init__(self, most: int = ROOM) -> None:
        self._left = most
        self._taken: dict[Client, tuple[int, float]] = {}
        self._waiting: dict[Client, tuple[int, asyncio.Future[None]]] = {}
        self._again: asyncio.TimerHandle | None = None

    async def take(self, client: Client, size: int) -> None:
        """Waits for room for so many bytes. A sender who gives way for it is ended."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting[client] = size, granted
        self._share()
        await granted

    def give_back(self, client: Client) -> None:
        """The body is read, or given up, or it waits for room no more."""
        self._waiting.pop(client, None)
        size, _ = self._taken.pop(client, (0, 0.0))
        self._left += size
        self._share()

    def _share(self) -> None:
        """Gives room to those that wait. Looks again when the oldest has to give way."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            client, (size, granted) = next(reversed(self._waiting.items()))
            if self._left >= size:
                del self._waiting[client]
                self._left -= size
                self._taken[client] = size, loop.time()
                if not granted.done():
                    granted.set_result(None)
                continue
            first, (given, since) = next(iter(self._taken.items()))
            if loop.time() - since < SETTLED_S:
                self._again = loop.call_at(since + SETTLED_S, self._share)
                return
            del self._taken[first]
            self._left += given
            metrics.connections_ended.labels("gave_way").inc()
            first.end()
