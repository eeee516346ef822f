"""A network between servers and Sentinels that can be cut, made of TCP proxies. It needs no rights.

Every party has a loopback address of its own (127.0.7.1, 127.0.7.2, ...), from which it connects to the
others, and under which a proxy stands for it. So a proxy knows who is at both ends of a connection. Whoever
connects from elsewhere, as the service does from 127.0.0.1, is never cut off.

A cut holds what is sent and accepts no byte more, as networks do: nobody gets an error. Healed, the network
delivers what it has held. Only Linux has all of 127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Self, cast

from synckairos.config import Address

ACCEPTED_S = 0.01
"""How long to wait at the end for connections that the system has accepted and the event loop not yet."""

Pair = frozenset[str]
"""The loopback addresses of the two ends of a connection."""


class Network:
    """Proxies in front of all parties, and which parties cannot reach each other now."""

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._proxies: list[asyncio.Server] = []
        self._targets: dict[str, Address] = {}
        self._cut: set[Pair] = set()
        self._connections: set[_Connection] = set()
        self._open: set[_End] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def join(self) -> Address:
        """A new party: the loopback address that is its own, and the port under which others reach it."""
        host = f"127.0.7.{len(self._hosts) + 1}"
        self._hosts.append(host)
        proxy = await asyncio.get_running_loop().create_server(lambda: _End(self, host), host, 0)
        self._proxies.append(proxy)
        port: int = proxy.sockets[0].getsockname()[1]
        return host, port

    def lead_to(self, target: Address) -> None:
        """Has the proxy of the party with this host lead to the port on which the party really listens."""
        self._targets[target[0]] = target

    def cut(self, some: Iterable[str], others: Iterable[str]) -> None:
        """From now on, nothing passes between the hosts `some` and the hosts `others`."""
        others = list(others)
        self._cut |= {frozenset((one, other)) for one in some for other in others}
        self._apply()

    def heal(self) -> None:
        """Lets everything pass again, also what was held."""
        self._cut.clear()
        self._apply()

    def is_cut(self, pair: Pair) -> bool:
        """Whether the two cannot reach each other."""
        return pair in self._cut

    def _apply(self) -> None:
        for connection in list(self._connections):
            connection.apply()

    def opened(self, end: _End) -> None:
        """One end of a connection is there."""
        self._open.add(end)

    def closed(self, end: _End) -> None:
        """One end of a connection is gone."""
        self._open.discard(end)

    def accepted(self, end: _End, host: str) -> None:
        """A connection to `host` was accepted; it leads on as soon as nothing cuts it off."""
        source = end.transport.get_extra_info("peername")[0]
        connection = _Connection(self, frozenset((source, host)), end)
        self._connections.add(connection)
        task = asyncio.get_running_loop().create_task(self._lead_on(connection, host))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _lead_on(self, connection: _Connection, host: str) -> None:
        await connection.passable.wait()
        there = _End(self, None)
        try:
            await asyncio.get_running_loop().create_connection(lambda: there, *self._targets[host])
        except OSError:  # nobody listens there: the party is dead
            connection.close()
        else:
            connection.lead_on(there)

    def forget(self, connection: _Connection) -> None:
        """The connection has ended."""
        self._connections.discard(connection)

    async def aclose(self) -> None:
        """Ends all connections and proxies."""
        await asyncio.sleep(ACCEPTED_S)  # what has not begun when its proxy is closed, asyncio leaves open
        for proxy in self._proxies:
            proxy.close()
        while True:
            await asyncio.sleep(ACCEPTED_S)
            if not self._connecting and not self._open:
                return
            for task in list(self._connecting):
                task.cancel()
            await asyncio.gather(*self._connecting, return_exceptions=True)
            ends = list(self._open)
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*(end.gone for end in ends))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Connection:
    """Two ends that pass on to each other what they get."""

    def __init__(self, network: Network, pair: Pair, here: _End) -> None:
        self._network = network
        self._pair = pair
        self._ends = [here]
        self._closed = False
        here.connection = self
        self.passable = asyncio.Event()
        self.apply()

    def lead_on(self, there: _End) -> None:
        """The other end is connected."""
        if self._closed:
            there.transport.abort()
            return
        here = self._ends[0]
        self._ends.append(there)
        there.connection = self
        here.other, there.other = there, here
        self.apply()

    def apply(self) -> None:
        """Reads from both ends, or, where the network is cut or an end is slow or missing, from none."""
        cut = self._network.is_cut(self._pair)
        if cut:
            self.passable.clear()
        else:
            self.passable.set()
        for end in self._ends:
            end.read(not cut and end.other is not None and not end.other.is_full)

    def close(self) -> None:
        """Ends it at both ends."""
        if self._closed:
            return
        self._closed = True
        self.passable.set()
        self._network.forget(self)
        for end in self._ends:
            end.transport.close()


class _End(asyncio.Protocol):
    """One end of a connection. `host`: of the party that was called; None at the end that leads to it."""

    transport: asyncio.Transport

    def __init__(self, network: Network, host: str | None) -> None:
        self._network = network
        self._host = host
        self.connection: _Connection | None = None
        self.other: _End | None = None
        self.is_full = False
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()
        self._network.opened(self)
        if self._host is not None:
            self._network.accepted(self, self._host)

    def read(self, wanted: bool) -> None:
        """Reads from now on, or reads no more."""
        if self.transport.is_closing() or wanted == self.transport.is_reading():
            return
        with suppress(RuntimeError):  # it has just been closed
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        self._fill(True)

    def resume_writing(self) -> None:
        self._fill(False)

    def _fill(self, is_full: bool) -> None:
        self.is_full = is_full
        if self.connection is not None:
            self.connection.apply()

    def connection_lost(self, _why: Exception | None) -> None:
        self._network.closed(self)
        self.gone.set_result(None)
        if self.connection is not None:
            self.connection.close()
