"""HTTP for a caller: one kept connection, one request at a time.

httpx, which the project uses elsewhere, looks at all connections of its pool for each request. With 200
callers that are refused at the same moment, this held up the drill for five seconds, and with it the network
that runs in the same process, so that the Sentinels took everything for dead.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
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
    """One connection, opened when it is needed, to one of the services at `hosts` (`127.0.0.1:8080`).

    Where there is no answer, the next request goes to the next service.

    tls: whom to trust, for services that are asked over TLS
    """

    def __init__(self, hosts: Sequence[str], number: int, tls: ssl.SSLContext | None = None) -> None:
        self._hosts = hosts
        self._number = number
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends a POST. Raises one of TROUBLE."""
        host = self._hosts[self._number % len(self._hosts)]
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
            self._number += 1
            raise

    async def _connected(self, host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the other side has ended it since the last answer
        if self._streams is None:
            name, _, port = host.rpartition(":")
            self._streams = await asyncio.open_connection(name, int(port), ssl=self._tls)
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
