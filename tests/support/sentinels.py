"""A Sentinel of a test: it says what the test wants, so that a test can tell exactly when another server is
named, and which servers were cut off from which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Self

import hiredis

from synckairos.config import Address
from tests.support.lines import answering
from tests.support.servers import Server

NAME = "main"


def at(server: Server) -> Address:
    """The address of a server."""
    return "127.0.0.1", server.port


class Sentinel:
    """Answers what this project asks of Sentinels about the primary NAME.

    primary, epoch, flags, replicas: what it says
    unheard_ms: how long ago it has heard from the primary
    priority, looked_ms: the priority of each replica, and how long ago it has looked at it
    login: the user and password that it wants, if any
    """

    def __init__(
        self, primary: Server, replicas: Sequence[Server] = (), *, login: tuple[str, str] | None = None
    ) -> None:
        self.primary = at(primary)
        self.replicas = [at(replica) for replica in replicas]
        self.epoch = 1
        self.flags = "master"
        self.unheard_ms = 0
        self.priority = 100
        self.looked_ms = 0
        self.login = login
        self.port = 0
        self.asked = 0
        """How often it was asked for the primary."""
        self.failovers = 0
        """How often it was asked to have another primary. It does nothing about it."""
        self._listeners: set[asyncio.StreamWriter] = set()
        self._open = AsyncExitStack()

    async def open(self) -> None:
        """Begins to answer, at the port that it had before."""
        self.port = await self._open.enter_async_context(answering(self._talk, port=self.port))

    async def close(self) -> None:
        """Answers nobody any more."""
        await self._open.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def name(self, primary: Server, epoch: int, *, announced: bool = True) -> None:
        """Names another primary, and tells those who listen."""
        old, self.primary, self.epoch, self.flags = self.primary, at(primary), epoch, "master"
        self.unheard_ms = 0
        if announced:
            said = f"{NAME} {old[0]} {old[1]} {self.primary[0]} {self.primary[1]}"
            for writer in self._listeners:
                writer.write(packed(["message", "+switch-master", said]))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader(encoding="utf-8")
        welcome = self.login is None
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    parser.feed(data)
                    while (command := parser.gets()) is not False:
                        words = [str(word) for word in command]
                        if words[0] == "AUTH":
                            welcome = self.login is None or words[1:] == list(self.login)
                            writer.write(b"+OK\r\n" if welcome else b"-WRONGPASS no\r\n")
                        elif not welcome:
                            writer.write(b"-NOAUTH Authentication required.\r\n")
                        else:
                            self._answer(words, writer)
        finally:
            self._listeners.discard(writer)

    def _answer(self, words: list[str], writer: asyncio.StreamWriter) -> None:
        match [words[0].upper(), *words[1:]]:
            case ["SUBSCRIBE", *channels]:
                self._listeners.add(writer)
                for number, channel in enumerate(channels, 1):
                    writer.write(packed(["subscribe", channel, number]))
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name]:
                self.asked += 1
                writer.write(packed([*map(str, self.primary)]) if name == NAME else b"*-1\r\n")
            case ["SENTINEL", "MASTER", _]:
                writer.write(packed(self._about(self.primary, self.flags)))
            case ["SENTINEL", "FAILOVER", _]:
                self.failovers += 1
                writer.write(b"+OK\r\n")
            case ["SENTINEL", "REPLICAS", _]:
                replicas = [self._about(replica, "slave") for replica in self.replicas]
                writer.write(b"*%d\r\n" % len(replicas) + b"".join(map(packed, replicas)))
            case _:
                writer.write(b"+OK\r\n")

    def _about(self, server: Address, flags: str) -> list[str | int]:
        host, port = server
        epoch = str(self.epoch)
        return [
            *("ip", host, "port", str(port), "flags", flags, "config-epoch", epoch),
            *("master-host", self.primary[0], "slave-priority", str(self.priority)),
            *("master-link-status", "ok", "info-refresh", str(self.looked_ms)),
            *("last-ok-ping-reply", str(self.unheard_ms)),
        ]


def packed(items: Sequence[str | int]) -> bytes:
    """A list as the protocol has it."""
    parts = [f":{item}" if isinstance(item, int) else f"${len(item)}\r\n{item}" for item in items]
    return (f"*{len(items)}\r\n" + "".join(f"{part}\r\n" for part in parts)).encode()
