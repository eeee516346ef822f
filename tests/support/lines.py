"""Raw connections of a test, at either end. None of them outlives its block, however the block ends.

One that does is found by a later test of the same process, as a ResourceWarning when garbage is collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ACCEPTED_TURNS = 5
"""After so many turns of the event loop, every connection that was accepted before has begun."""


@asynccontextmanager
async def answering(talk: Talk, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A server that has a talk with each of its callers, and then closes the connection. Gives its port.

    At the end of the block, the talks that go on are cancelled and their connections are aborted.
    """
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(whole(reader, writer))
        talks[task] = writer

    server = await asyncio.start_server(begin, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        for _ in range(ACCEPTED_TURNS):  # asyncio leaves those open that have not begun when a server closes
            await asyncio.sleep(0)
        server.close()
        for task, writer in talks.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*talks, return_exceptions=True)


@asynccontextmanager
async def calling(
    port: int, data: bytes = b"", host: str = "127.0.0.1", **options: Any
) -> AsyncIterator[Line]:
    """A connection on which this was sent. `options` are those of `asyncio.open_connection`."""
    reader, writer = await asyncio.open_connection(host, port, **options)
    try:
        writer.write(data)
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)  # the socket is closed one turn later
