"""How long a silent server is waited for: one that has much to do is busy, and not dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from synckairos.core import wire as wires
from synckairos.core.wire import HEAVY_BYTES, Failure, Wire
from tests.support.lines import answering, calling

SILENCE_S = 0.02
LITTLE, MUCH = ("PING",), ("ECHO", b"x" * HEAVY_BYTES)


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[Wire, asyncio.StreamWriter]]:
    """A wire to a server that answers nothing by itself, and what the server writes with."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)
        await asyncio.Event().wait()

    async with answering(say_nothing) as port, calling(port) as (_, writer):
        wire = Wire(writer, SILENCE_S)
        writer.transport.set_protocol(wire)
        try:
            yield wire, await accepted
        finally:
            wire.fail("the test is over")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with silent_server() as (wire, _):
        reply = await wire.send(LITTLE)
        assert isinstance(reply, Failure)
        assert reply.lost
        assert wire.broken


async def test_with_a_heavy_call_it_is_waited_for_and_nothing_is_sent_again() -> None:
    async with silent_server() as (wire, server):
        heavy, victim = wire.send(MUCH), wire.send(LITTLE)
        await asyncio.sleep(10 * SILENCE_S)
        assert not heavy.done()
        assert not victim.done()
        server.write(b"+DONE\r\n+PONG\r\n")
        assert [await heavy, await victim] == [b"DONE", b"PONG"]
        # Afterwards it counts as dead as soon as ever.
        assert isinstance(await wire.send(LITTLE), Failure)


async def test_a_server_that_is_dead_is_given_up_with_a_heavy_call_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wires, "BUSY_S", 5 * SILENCE_S)
    async with silent_server() as (wire, _):
        replies = await asyncio.gather(wire.send(MUCH), wire.send(LITTLE))
        assert all(isinstance(reply, Failure) and reply.lost for reply in replies)
