"""One connection: Sanic's protocol, with the bounds of `Connections`, and read in small pieces."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
from sanic.exceptions import RequestTimeout, ServiceUnavailable
from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from synckairos import metrics
from synckairos.api.transport.connections import Connections, Phase, Room
from synckairos.api.transport.http1 import Http1
from synckairos.errors import NetworkTimeout

READ = 8 * 1024
"""How many bytes are read from a connection at once. As many may wait in it until more is read."""

_arrived = bytearray(READ)
"""Where bytes arrive. One for all connections, as they are taken out before the next ones come."""
_view = memoryview(_arrived)


class Connection(WebSocketProtocol):
    """One connection, over HTTP and, after an upgrade, as a WebSocket."""

    HTTP_CLASS = Http1
    __slots__ = ("_all", "_is_open", "phase", "received", "since")

    http: Http1 | None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.phase = Phase.HEAD
        self.since = self.loop.time()
        self.received = 0
        self._all: Connections = self.app.ctx.connections
        self._is_open = False

    @property
    def room(self) -> Room:
        """What the large bodies of the process share."""
        return self._all.room

    @property
    def is_last(self) -> bool:
        """Whether the next answer is the last one on this connection."""
        return self._all.replaced

    @property
    def unread(self) -> int:
        """How many bytes of the answers the client has not taken."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def enter(self, phase: Phase) -> None:
        """A phase begins, unless the connection is in it. An end stays one."""
        if self.phase not in (phase, Phase.ENDING, Phase.UPGRADED):
            self.phase, self.since = phase, self.loop.time()

    def upgraded(self) -> None:
        """The connection is a WebSocket from now on."""
        self._all.upgraded(self)
        self.phase = Phase.UPGRADED

    def end(self) -> None:
        """Ends the connection. A client that waits for an answer is told that it took too long."""
        http, phase = self.http, self.phase
        if self._task is None or http is None or http.stage is Stage.IDLE or phase is Phase.ENDING:
            self.cut()
            return
        self.enter(Phase.ENDING)
        if phase is Phase.HEAD:
            # There is no request yet, so nothing has to be undone. This matters when thousands end at once.
            self._say_too_slow()
            return
        http.exception = RequestTimeout() if phase is Phase.BODY else ServiceUnavailable()
        self._task.cancel()

    def _say_too_slow(self) -> None:
        error = NetworkTimeout()
        metrics.errors.labels(error.code).inc()
        body = msgspec.json.encode(error.body())
        lines = (
            f"HTTP/1.1 {error.status:d} {HTTPStatus(error.status).phrase}",
            f"x-request-id: {secrets.token_hex(16)}",
            "x-content-type-options: nosniff",
            "vary: Authorization",  # nobody knows what was asked for
            "cache-control: no-store",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        )
        if self.transport is not None:
            self.transport.write("\r\n".join((*lines, "", "")).encode() + body)
            self.transport.close()

    def cut(self) -> None:
        """Ends the connection without a word."""
        if self.transport is not None:
            self.transport.abort()

    async def read_to_the_end(self) -> None:
        """Reads on for a moment, and drops what comes.

        Closing a connection that has unread bytes resets it, and the reset can overtake the answer. Then a
        client that is still sending would get a broken connection instead of the reason.
        """
        self.enter(Phase.ENDING)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            with suppress(OSError):  # the client may be gone
                transport.write_eof()
        while not transport.is_closing():
            self.recv_buffer.clear()
            await super().receive_more()  # type: ignore[no-untyped-call]

    # Called by Sanic

    async def receive_more(self) -> None:
        """Waits for more bytes."""
        if self._http.stage is Stage.IDLE and self.phase is Phase.HANDLING:
            self.enter(Phase.IDLE)
        await super().receive_more()  # type: ignore[no-untyped-call]

    def check_timeouts(self) -> None:
        """Sanic's own deadlines begin anew with every byte, so they are not used."""

    # Called by the transport

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        peer = transport.get_extra_info("peername")
        self._is_open = self._all.open(self, peer[0] if isinstance(peer, tuple) else "")
        if self._is_open:
            super().connection_made(transport)  # type: ignore[no-untyped-call]
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._is_open:
            self._is_open = False
            self._all.closed(self)
            super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived. Whoever reads them is woken when they are of use, not for each of them."""
        if not self._is_open:
            return
        if self.websocket is not None:
            self.websocket.data_received(data)
            return
        buffer = self.recv_buffer
        before = len(buffer)
        buffer += data
        if self.phase is Phase.BODY:
            self.received += len(data)
        if len(buffer) >= READ:
            assert self.transport is not None
            self.transport.pause_reading()
        elif self.http is not None and self.http.needs_more(before):
            return
        self._data_received.set()


class Reads(asyncio.BufferedProtocol):
    """What the transport talks to. It reads at most READ bytes at once, and hands them to the connection.

    Sanic's protocol takes as many bytes as the event loop gives it, which is up to 256 KB at once. As many
    would then be kept for every body that waits for its rest.
    """

    def __init__(self, **options: Any) -> None:
        self.connection = Connection(**options)
        self.connection_made = self.connection.connection_made  # type: ignore[method-assign]
        self.connection_lost = self.connection.connection_lost  # type: ignore[method-assign]
        self.eof_received = self.connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = self.connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = self.connection.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, _size: int) -> bytearray:
        """Where the next bytes go."""
        return _arrived

    def buffer_updated(self, size: int) -> None:
        """So many bytes are there."""
        self.connection.data_received(bytes(_view[:size]))
