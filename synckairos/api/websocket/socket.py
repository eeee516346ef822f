"""One WebSocket on one transport.

The `websockets` library implements the protocol, and this class moves its bytes. It replaces Sanic's own
adapter, which starts a task for each chunk that arrives, and needs a lock and a coroutine for each message
that it sends. An event for a thousand subscribers must cost a thousand writes and nothing else. So text is
sent as frames that were made once for all clients (`send`). A client that does not read is disconnected when
too many bytes wait for it.

What a client sends costs this process more than the client: a frame of six bytes takes as long to read as one
of a thousand. So frames are read a few at a time, with turns of other connections in between, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from time import monotonic
from traceback import clear_frames
from typing import TYPE_CHECKING, cast

from sanic.server.protocols.websocket_protocol import WebSocketProtocol
from sanic.server.websockets.impl import WebsocketImplProtocol
from websockets.exceptions import InvalidHeader
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from synckairos import metrics
from synckairos.api.websocket.lag import RoundTrips
from synckairos.errors import RateLimitExceeded, ValidationError

if TYPE_CHECKING:
    from synckairos.api.request import ApiRequest

MAX_MESSAGE = 64 * 1024
"""The largest message of a client (bytes). A larger one closes the connection with 1009."""
MAX_UNSENT = 1024 * 1024
"""How many bytes may wait for a client to read them. More close the connection with 1013."""
MAX_UNREAD = 64
"""How many messages may wait for their answers. Beyond that nothing more is read from the client."""
SLICE = 512
"""How many bytes are read before other connections get a turn: at most 85 frames, in half a millisecond."""
MAX_FRAMES = 50
"""How many frames a client may send in a second, apart from whole messages, which have a limit of their own.
More close the connection with 1008."""
AFTER_END = 128 * 1024
"""How many bytes are still read after the end: what an honest client may have on its way by then."""
IN_A_ROW = 16
"""How many messages of one client may be answered before other clients get a turn."""
HEARTBEAT_S = 5.0
UNANSWERED = 2
"""How many heartbeats in a row may stay without a pong. The next heartbeat closes the connection."""
YOUNG_PINGS = 3
YOUNG_EVERY_S = 1.0
"""A new connection is pinged more often, so that its lag is known by the first move. These pings are no
heartbeats: one without an answer does not close the connection, but each answer counts as a sign of life.
"""
GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
TOKEN_ENDED = 4401
REVOKED_OR_FORBIDDEN = 4403
NO_SUCH_SESSION = 4404
OWN_CODES = frozenset({TOKEN_ENDED, REVOKED_OR_FORBIDDEN, NO_SUCH_SESSION})
"""The close codes that this service sends and that are not part of the protocol."""
CLOSE_TIMEOUT_S = 10.0
DEAF_CLOSE_TIMEOUT_S = 5.0
"""How long a client that is not read any more has to read why. Its own close cannot be seen."""
SLOW_CLOSE_TIMEOUT_S = 30.0
"""How long a slow reader has to read what it was sent, including the reason of the close."""


class _Protocol(ServerProtocol):
    """The protocol, for clients that need not name a subprotocol.

    A function that is given to it for this would make each one refer to itself.
    """

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """The first that the client offers too; none when it offers no such."""
        return next((each for each in self.available_subprotocols or () if each in subprotocols), None)

    def let_go(self) -> None:
        """Undo its circles at the end: what reads frames refers to it, and so do errors by their tracebacks.

        So it is freed at once, with all that it refers to, and not by the garbage collector.
        """
        self.parser.close()
        for error in (self.parser_exc, self.handshake_exc):
            if error is not None:
                clear_frames(error.__traceback__)
        self.parser_exc = self.handshake_exc = None


class Socket:
    """An open WebSocket, which takes the place of the adapter in Sanic's protocol."""

    loop: asyncio.AbstractEventLoop | None = None
    """Sanic reads it when it shuts down: without a loop, it calls `end_connection`."""

    def __init__(self, protocol: WebSocketProtocol, ws_proto: _Protocol, *, limited: bool) -> None:
        assert protocol.transport is not None
        self.ws_proto = ws_proto
        self._loop = asyncio.get_running_loop()
        self._transport = protocol.transport
        self._messages: deque[tuple[str, float]] | None = None
        """Those that wait for their answers. Most sockets only watch, so it is made for the first one."""
        self._chunks: list[bytes] = []
        self._waiting: asyncio.Future[None] | None = None
        """Done when `messages` has something to do: a message, a drain or the end."""
        self._limited = limited
        self._frames: deque[float] | None = None
        """When the newest frames came, of those that are counted."""
        self._unparsed = bytearray()
        self._came_at = 0.0
        self._parsing: asyncio.Handle | None = None
        self._after_end = 0
        self._is_deaf = False
        self._ended = False
        self._draining = False
        self._paused = False
        self._unanswered = 0
        self._round_trips = RoundTrips()
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)
        # The first ping is sent at once, ahead of the state, so that a large state does not delay it.
        self._young: asyncio.Handle = self._loop.call_soon(self._ping_young, YOUNG_PINGS)
        self._abort: asyncio.TimerHandle | None = None
        self._most_unread = MAX_UNREAD
        self.on_flood: Callable[[RateLimitExceeded], None] | None = None
        """Called when the client is closed because it has sent too many frames."""
        self.sees_actors = True
        """Whether the client's events say who made them."""
        self.closed = self._loop.create_future()
        """Done when the connection is gone."""
        protocol.websocket = cast(WebsocketImplProtocol, self)
        metrics.websocket_connections.inc()

    @property
    def lag_ms(self) -> int | None:
        """The lag of the client, for lag compensation; None until it is known."""
        return self._round_trips.lag_ms

    @property
    def ended(self) -> bool:
        """Whether nothing is sent any more, because one side closes the connection."""
        return self._ended

    @property
    def unread(self) -> int:
        """How many bytes wait for the client to take them."""
        return self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """End the connection at once. What waits for the client is dropped."""
        metrics.slow_readers.inc()
        self._transport.abort()

    def send(self, frame: bytes) -> None:
        """Write whole frames, unless the connection is closing. Never blocks: a slow reader is closed."""
        if self._ended:
            return
        # The size is checked before the write, so that a large state for a fast reader does not count.
        if self._transport.get_write_buffer_size() <= MAX_UNSENT:
            self._transport.write(frame)
        else:
            metrics.slow_readers.inc()
            self._end(CloseCode.TRY_AGAIN_LATER, "too slow a reader; connect again", SLOW_CLOSE_TIMEOUT_S)

    def end(self, code: int, reason: str) -> None:
        """Close, after everything that was sent before. Nothing is sent or received any more."""
        self._end(code, reason, CLOSE_TIMEOUT_S)

    def keep(self, most_unread: int) -> None:
        """Let so many messages wait for their answers. Beyond that nothing more is read from the client."""
        self._most_unread = most_unread
        self._go_on()

    def drain(self) -> None:
        """Take no more messages. Those that have arrived still come out of `messages`."""
        self._draining = True
        self._wake()
        if self._is_deaf:
            self._transport.abort()

    async def messages(self) -> AsyncGenerator[tuple[str, float], None]:
        """Text messages in order, each with its time of arrival (monotonic seconds), until the close."""
        given = 0
        while True:
            while self._messages and not self._ended:
                yield self._messages.popleft()
                given += 1
                if given % IN_A_ROW == 0:  # a chunk may have thousands of messages
                    await asyncio.sleep(0)
                if self._paused:
                    self._go_on()
            if self._ended or self._draining:
                return
            self._waiting = self._loop.create_future()
            await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _end(self, code: int, reason: str, timeout: float) -> None:
        if self._ended:
            return
        self._stop()
        if self.ws_proto.state is State.OPEN:
            self.ws_proto.send_close(code, reason)
            self._flush()
        self._abort = self._loop.call_later(timeout, self._transport.abort)

    def _stop(self) -> None:
        self._ended = True
        self._heartbeat.cancel()
        self._young.cancel()
        self._messages = None
        self._wake()
        self._go_on()  # reading has to go on for the closing handshake

    def _flush(self) -> None:
        """Write the bytes that the protocol has made."""
        for data in self.ws_proto.data_to_send():
            if self._transport.is_closing():
                return
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def _beat(self) -> None:
        if self._unanswered == UNANSWERED:
            self._end(CloseCode.INTERNAL_ERROR, "two heartbeats went unanswered", 1.0)
            return
        self._unanswered += 1
        self._ping()
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _ping_young(self, left: int) -> None:
        self._ping()
        if left > 1:
            self._young = self._loop.call_later(YOUNG_EVERY_S, self._ping_young, left - 1)

    def _ping(self) -> None:
        """Send a ping.

        Its round trip is measured from here to the arrival of the pong's bytes. So it includes the network,
        bytes that were sent before the ping, and the time in which the client or this process was busy with
        other work. The shortest of several is near the network's part.
        """
        self.ws_proto.send_ping(self._round_trips.sent(monotonic()))
        self._flush()

    # Called by Sanic's protocol

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._ended:
            self._after_end += len(data)
            if self._after_end > AFTER_END:
                self._hear_no_more()
        if not self._is_deaf:
            self._came_at = monotonic()
            self._unparsed += data
            if self._parsing is None:
                self._parse()

    def _parse(self) -> None:
        """Read the next slice of what arrived. Others get their turn before the one after it."""
        self._parsing = None
        piece = bytes(self._unparsed[:SLICE])
        del self._unparsed[:SLICE]
        self.ws_proto.receive_data(piece)
        for event in self.ws_proto.events_received():
            if isinstance(event, Frame):
                if self._limited and self._is_one_too_many(event):
                    self._fail_as_flood()
                    return
                if not self._ended:
                    self._received(event, self._came_at)
        self._flush()
        if not self._ended:
            if self.ws_proto.state is not State.OPEN:
                # The client has closed, or broken the protocol. The library has made the answer.
                self._stop()
                self._abort = self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)
            elif self._transport.get_write_buffer_size() > MAX_UNSENT:
                self._transport.abort()  # the client sends pings but does not read the pongs
        self._go_on()

    def _go_on(self) -> None:
        """Have the next slice read, or more bytes, unless too many messages wait for their answers."""
        if self._transport.is_closing():
            return
        has_place = len(self._messages or ()) < self._most_unread
        if self._unparsed and has_place and self._parsing is None:
            self._parsing = self._loop.call_soon(self._parse)
        pause = bool(self._unparsed) or not has_place or self._is_deaf
        if pause != self._paused:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _is_one_too_many(self, frame: Frame) -> bool:
        """Count a frame. Says whether more than MAX_FRAMES came within a second."""
        if frame.opcode is Opcode.TEXT and frame.fin:
            return False
        if self._frames is None:
            self._frames = deque(maxlen=MAX_FRAMES)
        too_many = len(self._frames) == MAX_FRAMES and self._came_at - self._frames[0] < 1.0
        self._frames.append(self._came_at)
        return too_many

    def _fail_as_flood(self) -> None:
        metrics.rate_limited.labels("websocket_frames").inc()
        reason = f"too many frames: at most {MAX_FRAMES} a second"
        if not self._ended:
            self._stop()
            if self.on_flood is not None:
                self.on_flood(RateLimitExceeded(reason, context={"limit": "websocket_frames"}))
        self.ws_proto.fail(POLICY_VIOLATION, reason)
        self._flush()
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        """Read nothing more from a client that does not stop. It can still read why."""
        self._is_deaf = True
        self._unparsed.clear()
        self._go_on()
        if self._abort is not None:
            self._abort.cancel()
        self._abort = self._loop.call_later(DEAF_CLOSE_TIMEOUT_S, self._transport.abort)

    def _received(self, frame: Frame, arrived: float) -> None:
        if frame.opcode is Opcode.PONG:
            self._pong(bytes(frame.data), arrived)
        elif frame.opcode is Opcode.BINARY:
            self.end(CloseCode.UNSUPPORTED_DATA, "messages are text")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            if frame.data:  # a client could send empty frames without end
                self._chunks.append(bytes(frame.data))
            if frame.fin:
                data, self._chunks = b"".join(self._chunks), []
                self._message(data, arrived)

    def _pong(self, payload: bytes, arrived: float) -> None:
        round_trip = self._round_trips.answered(payload, arrived)
        if round_trip is not None:
            self._unanswered = 0
            metrics.websocket_round_trip.observe(round_trip)

    def _message(self, data: bytes, arrived: float) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.end(CloseCode.INVALID_DATA, "messages are UTF-8")
            return
        if self._draining:
            return
        if self._messages is None:
            self._messages = deque()
        self._messages.append((text, arrived))
        self._wake()

    def eof_received(self) -> bool | None:
        """The client sends no more. Returns False: the transport closes when everything is written."""
        self._unparsed.clear()
        self.ws_proto.receive_eof()
        self._flush()
        if not self._ended:
            self._stop()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The connection is gone."""
        self._unparsed.clear()
        self.on_flood = None
        if not self._ended:
            self._stop()
        if self._parsing is not None:
            self._parsing.cancel()
        if self._abort is not None:
            self._abort.cancel()
        with suppress(EOFError):
            self.ws_proto.receive_eof()
        self.ws_proto.let_go()
        # The code is that of the side that closed first. Without a close frame it is 1006 (abnormal).
        close = self.ws_proto.close_sent or self.ws_proto.close_rcvd
        if self.ws_proto.close_rcvd_then_sent:
            close = self.ws_proto.close_rcvd
        code = int(close.code) if close else 1006
        # Clients may make up codes from 3000 up, so only this service's own are counted by themselves.
        metrics.websocket_closes.labels(
            "other" if code >= 3000 and code not in OWN_CODES else str(code)
        ).inc()
        metrics.websocket_connections.dec()
        if not self.closed.done():
            self.closed.set_result(None)

    def end_connection(self, code: int = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Close, because the request is over or the server stops."""
        self.end(code, reason)

    def fail_connection(self, code: int = CloseCode.GOING_AWAY, reason: str = "") -> None:
        """Close without waiting, because the server has no more time to stop."""
        self.end(code, reason)
        self._transport.abort()


def upgrade(request: ApiRequest, subprotocol: str) -> Socket:
    """Make the request's connection a WebSocket. `subprotocol` is accepted if the client offers it.

    Raises ValidationError when the request is no valid WebSocket handshake.
    """
    ws_proto = _Protocol(subprotocols=[Subprotocol(subprotocol)], state=State.OPEN, max_size=MAX_MESSAGE)
    try:
        response = ws_proto.accept(WebSocketProtocol.sanic_request_to_ws_request(request))
    except InvalidHeader as error:
        ws_proto.let_go()
        raise _no_handshake(str(error)) from error
    if response.status_code != 101:
        why = str(ws_proto.handshake_exc)
        ws_proto.let_go()
        raise _no_handshake(why)
    protocol = request.http.protocol
    assert protocol.transport is not None
    protocol.transport.write(response.serialize())
    protocol.upgraded()
    socket = Socket(protocol, ws_proto, limited=request.context.settings.rate_limit_enabled)
    # A client may send messages right after its handshake, without waiting for the answer.
    early = bytes(protocol.recv_buffer)
    protocol.recv_buffer.clear()
    if early:
        socket.data_received(early)
    return socket


def _no_handshake(why: str) -> ValidationError:
    return ValidationError(
        "this is a WebSocket; the request has to be a WebSocket handshake",
        details=[{"field": "", "message": why}],
    )
