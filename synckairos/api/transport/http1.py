"""The requests of one connection: Sanic's HTTP/1.1, with strict heads and chunks, and bounded bodies."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

import sanic.exceptions
from sanic.compat import Header
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.models.protocol_types import TransportProtocol
from sanic.response import BaseHTTPResponse

from synckairos.api.transport import head as heads
from synckairos.api.transport.connections import Phase
from synckairos.errors import PayloadTooLarge, ValidationError

if TYPE_CHECKING:
    from synckairos.api.transport.connection import Connection

MAX_BODY = 1024 * 1024
"""The largest request body, in bytes."""
MAX_DRAINED = 16 * MAX_BODY
"""How many bytes of a refused body are read and dropped, so that its sender can read the answer."""
KEPT = 8 * 1024
"""How many bytes of a body are kept before it needs room among the large ones."""
MAX_HEAD = 8 * 1024
"""The largest head, in bytes."""
MAX_CHUNKS = 4096
"""How many chunks a body may have. A chunk costs more than its bytes."""
_MAX_CHUNK_LINE = 128
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~]*)?")


class Http1(Http):
    """The requests of one connection, one after the other."""

    __slots__ = ("_chunks", "_in_chunk", "_is_broken")

    protocol: Connection
    request: Any
    response: Any
    response_func: Any
    request_body: Any
    request_bytes: int
    request_bytes_left: int
    url: str | None

    def __init__(self, protocol: Connection) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._in_chunk = False
        self._chunks = 0
        self._is_broken = False
        """Whether the end of the request cannot be found, so that nothing behind it can be read."""

    async def http1(self) -> None:
        """Answers requests until the connection can carry no more."""
        try:
            await super().http1()  # type: ignore[no-untyped-call]
        finally:
            # What refers to this object in a circle, when the client has gone away or the connection is a
            # WebSocket by now: a method of its own, the last request and its answer.
            self.response_func = self.request = self.response = None
        if self._is_broken:
            await self.protocol.read_to_the_end()

    async def http1_request_header(self) -> None:
        """Reads the head, and makes the request of it."""
        connection = self.protocol
        assert connection.transport is not None
        if connection.phase is Phase.HANDLING:  # it came together with the request before it
            await asyncio.sleep(0)  # so that one client's requests do not keep all others waiting
        connection.enter(Phase.HEAD)
        self._is_broken = True
        head = heads.read(raw := await self._head())
        self.url = head.target
        self.keep_alive = head.keep_alive
        self.head_only = head.method.upper() == "HEAD"
        fields = Header(head.fields)
        self.upgrade_websocket = fields.get("upgrade", "").lower() == "websocket"
        request = connection.request_class(
            url_bytes=head.target.encode(),
            headers=fields,
            head=raw,
            version=head.version,
            method=head.method,
            transport=cast(TransportProtocol, connection.transport),
            app=connection.app,
        )
        # Sanic's own method also makes it the current request of the task, for which nobody here asks. That
        # would keep it, with all that it refers to, until the next request of its connection.
        self.request, request.stream = request, self
        self._in_chunk, self._chunks = False, 0
        connection.received = len(self.recv_buffer)
        self.request_body = ("chunked" if head.chunked else True) if head.has_body else None
        self.request_bytes = self.request_bytes_left = head.length or 0
        expect = fields.get("expect")
        if self.request_body and expect is not None:
            if expect.lower() != "100-continue":
                raise sanic.exceptions.ExpectationFailed(f"Unknown Expect: {expect}")
            self.expecting_continue = True
        self._is_broken = False
        connection.state["requests_count"] += 1
        connection.enter(Phase.HANDLING)

    def needs_more(self, before: int) -> bool:
        """Whether what has arrived completes nothing yet. The first `before` bytes of it did not."""
        if self.stage is Stage.REQUEST:
            return b"\r\n\r\n" not in self.recv_buffer[max(0, before - 3) :]
        if self.stage is Stage.HANDLER and self.request_body is True:
            return self.request_bytes_left > len(self.recv_buffer)
        return False

    async def error_response(self, exception: Exception) -> None:
        """Sanic's own. Where nobody is left who could read an answer, none is made."""
        if self.protocol.conn_info is not None and self.protocol.conn_info.lost:
            raise sanic.exceptions.RequestCancelled
        await super().error_response(exception)

    async def _head(self) -> bytes:
        """Takes the head out of what has arrived, without the empty line at its end."""
        buffer = self.recv_buffer
        seen = 0
        while (end := buffer.find(b"\r\n\r\n", seen)) < 0:
            if len(buffer) > MAX_HEAD:
                break
            seen = max(0, len(buffer) - 3)
            await self._receive_more()
        if not 0 <= end <= MAX_HEAD:
            raise PayloadTooLarge("the request's head is too large")
        raw = bytes(buffer[:end])
        del buffer[: end + 4]
        return raw

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """Sanic's own. A client that still waits for leave to send its body is not given it any more."""
        if self.protocol.is_last:
            self.keep_alive = False
        if self.expecting_continue:
            self.expecting_continue = False
            self.keep_alive = False
            self.request_body = None
        return super().respond(response)

    async def body(self, most: int) -> bytes | None:
        """The whole body; None when it has more than `most` bytes.

        A length that says so is enough: then nothing is read. Raises PayloadTooLarge when the body has more
        than MAX_BODY, and ValidationError when its chunks are wrong.
        """
        self.check_length()
        if self.request_body is True and self.request_bytes > most:
            return None
        room = self.protocol.room
        kept = bytearray()
        has_room = False
        try:
            while (piece := await self.read()) is not None:
                if self.request_bytes > most:
                    kept.clear()
                    continue
                kept += piece
                if len(kept) > KEPT and not has_room:
                    has_room = True
                    await room.take(self.protocol, self.request_bytes if self.request_body is True else most)
        finally:
            if has_room:
                room.give_back(self.protocol)
        return None if self.request_bytes > most else bytes(kept)

    async def drop(self) -> None:
        """Reads the body of a request that needs none."""
        self.check_length()
        while await self.read() is not None:
            pass

    def check_length(self) -> None:
        """Raises PayloadTooLarge when the body is announced to be larger than any may be."""
        if self.request_body is True and self.request_bytes > MAX_BODY:
            raise PayloadTooLarge

    async def read(self) -> bytes | None:
        """Some bytes of the body; None at its end. Once the request is answered, they are to be dropped."""
        if not self.request_body:
            return None
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        if not self.request_bytes_left and (self.request_body is True or not await self._next_chunk()):
            self.request_body = None
            self.protocol.enter(Phase.HANDLING)
            return None
        if self.stage is Stage.HANDLER:
            if self.request_bytes > MAX_BODY:
                raise PayloadTooLarge
        elif self.request_bytes > MAX_DRAINED:
            self._give_up()
            raise sanic.exceptions.PayloadTooLarge("the rest of a refused body is too large")
        if not self.recv_buffer:
            await self._more_body()
        piece = bytes(self.recv_buffer[: self.request_bytes_left])
        del self.recv_buffer[: len(piece)]
        self.request_bytes_left -= len(piece)
        return piece

    async def _more_body(self) -> None:
        self.protocol.enter(Phase.BODY if self.stage is Stage.HANDLER else Phase.DROPPED)
        await self._receive_more()

    async def _next_chunk(self) -> bool:
        """Reads up to the data of the next chunk. Returns False at the end of the body."""
        if self._in_chunk:
            await self._line(2)
        size = _CHUNK.fullmatch(await self._line(_MAX_CHUNK_LINE))
        self._chunks += 1
        if size is None or self._chunks > MAX_CHUNKS:
            self._malformed(f"there must be at most {MAX_CHUNKS:,} chunks, each with its size before it")
        self._in_chunk = True
        self.request_bytes_left = int(size[1], 16)
        self.request_bytes += self.request_bytes_left
        if self.request_bytes_left:
            return True
        # Fields behind the last chunk would have to be read by the rules of a head, and nothing needs them.
        await self._line(2)
        return False

    async def _line(self, most: int) -> bytes:
        """Takes a line that is at most so long, including its end, out of what has arrived."""
        buffer = self.recv_buffer
        while (end := buffer.find(b"\r\n", 0, most)) < 0 and len(buffer) < most:
            await self._more_body()
        if end < 0:
            self._malformed("each chunk must begin with its size and end where that says, the last one too")
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _give_up(self) -> None:
        self.request_body = None
        self.keep_alive = False
        self._is_broken = True

    def _malformed(self, message: str) -> NoReturn:
        self._give_up()
        if self.stage is not Stage.HANDLER:  # the request is answered, and this is the rest of a refused body
            raise sanic.exceptions.BadRequest(message)
        raise ValidationError(
            f"the request is not well-formed HTTP: {message}", details=[{"field": "", "message": message}]
        )
