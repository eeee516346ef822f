"""A TCP proxy between a client and a server, with which a test disturbs connections as networks do."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from tests.support.lines import ACCEPTED_TURNS


class Proxy:
    """Listens on a free loopback port and passes everything on to the port `target`, unless disturbed."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.accepted = 0
        self.silent = False
        """Whether to accept data but pass nothing on."""
        self.replies_lost = False
        """Whether to accept replies but not pass them on."""
        self.cut_after: int | None = None
        """After how many bytes of replies to cut the connection, once."""
        self.delay_s = 0.0
        """How long to delay data in both directions."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        for _ in range(ACCEPTED_TURNS):  # asyncio leaves those open that have not begun when a server closes
            await asyncio.sleep(0)
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Cuts all connections that are open now."""
        for task in self._tasks:
            task.cancel()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client has connected. Its end is closed with its task, also when that is cut before it begins."""
        self.accepted += 1
        task = asyncio.create_task(self._lead_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _lead_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # nobody listens at the target, or one of the ends is gone
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            directions = [
                asyncio.create_task(self._pass_on(reader, there_writer, replies=False)),
                asyncio.create_task(self._pass_on(there_reader, writer, replies=True)),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there_writer.transport.abort()  # first, as the loop may end at any await
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool
    ) -> None:
        while data := await reader.read(65536):
            if self.silent or (replies and self.replies_lost):
                continue
            await asyncio.sleep(self.delay_s)
            if replies and self.cut_after is not None:
                if len(data) > self.cut_after:
                    writer.write(data[: self.cut_after])
                    await writer.drain()
                    self.cut_after = None
                    return
                self.cut_after -= len(data)
            writer.write(data)
            await writer.drain()
