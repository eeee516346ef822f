"""The network of the drills: a cut holds everything between two parties, and only between those two."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from synckairos.config import Address
from synckairos.drill.network import Network
from tests.support.lines import answering, calling
from tests.support.live import PATIENCE_S


@asynccontextmanager
async def echoing(network: Network) -> AsyncIterator[Address]:
    """A party that says everything back. Gives its address in the network."""

    async def say_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)

    host, port = await network.join()
    async with answering(say_back, host) as own:
        network.lead_to((host, own))
        yield host, port


class Line:
    """A connection to a party, from another one's address."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def between(cls, source: str, target: Address) -> AsyncIterator[Line]:
        host, port = target
        async with calling(port, host=host, local_addr=(source, 0)) as (reader, writer):
            yield cls(reader, writer)

    def say(self, text: bytes) -> None:
        self._writer.write(text)

    async def hears(self, text: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await self._reader.readexactly(len(text)) == text

    async def hears_nothing(self) -> None:
        """Nothing comes for as long as all other lines take to answer many times over."""
        await asyncio.sleep(0.05)
        assert not self._reader._buffer  # type: ignore[attr-defined]


async def test_a_cut_holds_what_is_sent_and_healing_delivers_it() -> None:
    async with (
        Network() as network,
        echoing(network) as one,
        echoing(network) as two,
        Line.between(two[0], one) as line,
        Line.between("127.0.0.1", one) as service,
    ):
        line.say(b"before")
        await line.hears(b"before")
        network.cut([one[0]], [two[0]])
        line.say(b"held")
        async with Line.between(two[0], one) as late:
            late.say(b"new")
            service.say(b"open")
            await service.hears(b"open")
            await line.hears_nothing()
            await late.hears_nothing()
            network.heal()
            await line.hears(b"held")
            await late.hears(b"new")


async def test_a_dead_party_ends_its_connections() -> None:
    async with Network() as network:
        host, port = await network.join()
        network.lead_to((host, 1))
        async with calling(port, host=host) as (reader, _), asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""


def test_whoever_has_just_called_when_it_ends_is_not_left_open() -> None:
    async def end_after(turns: int) -> int:
        async with Network() as network:
            host, port = await network.join()
            network.lead_to((host, 1))
            with socket.create_connection((host, port)):
                for _ in range(turns):
                    await asyncio.sleep(0)
                await network.aclose()
        return port

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ports = [asyncio.run(end_after(turns)) for turns in range(6)]
        gc.collect()
    said = [str(each.message) for each in told]
    assert [each for each in said for port in ports if f", {port})" in each] == []
