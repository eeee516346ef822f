"""HTTP for a caller: one kept connection, one request at a time.

httpx, which the project uses elsewhere, looks at all connections of its pool for each request. With 200 callers
that are refused at the same moment, this held up the drill, and the network that runs in it, for five seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

ANSWER_S = 10.0
"""How long a caller waits for an answer."""

TROUBLE = (OSError, EOFError, TimeoutError)
"""What is raised when there is no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Caller:
    """One connection, opened when it is needed, and anew at another place."""

    def __init__(self) -> None:
        self._host = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, host: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a POST to `host` (`127.0.0.1:8080`). Raises one of TROUBLE."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*lines, "", ""]).encode() + body
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await self._connected(host)
                writer.write(message)
                return await _read(reader)
        except BaseException:  # also when the caller is ended: what comes now would be the next answer
            self.close()
            raise

    async def _connected(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._host != host:
            self.close()
            name, _, port = host.rpartition(":")
            self._streams = await asyncio.open_connection(name, int(port))
            self._host = host
        return self._streams

    def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(head[0].split(" ", 2)[1]), headers, body)
