"""The raw connections of tests: none of them outlives its block."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

from tests.support.lines import answering, calling


async def say_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)


async def leave(turns: int) -> int:
    """Ends so many turns of the event loop after one has called, and another one just now."""
    async with answering(say_back) as port, calling(port, b"hello") as (reader, _):
        assert await reader.readexactly(5) == b"hello"
        with socket.create_connection(("127.0.0.1", port)):
            for _ in range(turns):
                await asyncio.sleep(0)
    return port


def test_whenever_a_block_ends_nothing_is_left_open() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ports = [asyncio.run(leave(turns)) for turns in range(8)]
        gc.collect()
    said = [str(each.message) for each in told]
    assert [each for each in said for port in ports if f", {port})" in each] == []
