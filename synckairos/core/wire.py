"""One connection to a primary that all calls of the process share. Private to `synckairos.core`.

Each call is sent as soon as it comes, and the replies come back in the order of the calls (`Wire`). redis-py
finds the server, connects, authenticates and does TLS, and it is used for all other commands. Only function
calls do not go through it. In one process with 64 callers, a call took 72-93 microseconds of CPU through
redis-py's pool and 5-8 through a wire, because calls that come at the same time are sent and answered
together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.exceptions import ResponseError

from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.keys import unheard_channel
from synckairos.errors import error_text

Argument = str | bytes | int

SILENCE_S = 1.0
"""A server that sends nothing for this long, while calls wait for replies, counts as dead."""
HEAVY_BYTES = 16 * 1024
"""A call that brings so much keeps the server busy, and what comes after it waits as well."""
BUSY_S = 5.0
"""How long a server may be silent while a heavy call waits for its reply. It is busy, and not dead."""
MAX_WAITING = 10_000
"""How many calls may wait for replies on one connection. Further calls are sent when there is room again."""

Command = tuple[Argument, ...]


class Failure:
    """Why a call has no good reply.

    text: the text of the error reply, or what happened to the connection
    lost: whether the connection was lost, perhaps after the server had carried the call out
    """

    __slots__ = ("lost", "text")

    def __init__(self, text: str, *, lost: bool = False) -> None:
        self.text = text
        self.lost = lost


CONFIRM = "SPUBLISH"
"""The command that is sent for the sake of the WAIT after it: a publication that nobody listens to."""
NOT_REPLICATED = Failure("NOT_REPLICATED too few replicas confirmed the change in time")
"""What a ConfirmedWire gives for a change that was carried out and is not confirmed."""
_REPLAYED = b'"replayed":true'
_NOT_YET = object()


class Wire(asyncio.Protocol):
    """One connection that many callers share; replies come in the order of the calls.

    A cancelled call keeps its place in the queue until its reply has arrived, so that no other caller gets
    that reply. After any error in the stream, all waiting callers get a Failure and the connection is closed.
    """

    def __init__(self, writer: asyncio.StreamWriter, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._writer = writer  # a StreamWriter closes its transport when nothing refers to it any more
        self._transport = cast(asyncio.Transport, writer.transport)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET, replyError=cast(Any, Failure))
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._heard = 0.0
        self._heavy: set[asyncio.Future[Any]] = set()
        """The heavy calls that wait for their replies."""
        self._watch: asyncio.TimerHandle | None = None
        self._failure: Failure | None = None
        self._retired = False

    @property
    def broken(self) -> bool:
        """Whether the connection is closed, so that nothing can be sent any more."""
        return self._failure is not None

    @property
    def full(self) -> bool:
        """Whether MAX_WAITING calls wait for their replies."""
        return len(self._waiting) >= MAX_WAITING

    def send(self, command: Command, *, asking: bool = False) -> asyncio.Future[Any]:
        """Sends a command, with the others of this turn of the event loop. Gives its reply or a Failure.

        asking: whether the server shall answer for a slot that it is about to take over
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._failure is not None:
            future.set_result(Failure(self._failure.text, lost=True))
            return future
        if asking:
            self.send(("ASKING",))
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows only 1-tuples
        if not self._waiting:
            self._heard = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_later(self._silence_s / 4, self._check)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._waiting.append(future)
        self._unsent.append(packed)
        if len(packed) >= HEAVY_BYTES:
            self._heavy.add(future)
            future.add_done_callback(self._heavy.discard)
        return future

    async def room(self) -> None:
        """Waits until fewer than MAX_WAITING calls wait for their replies."""
        while self.full:
            await asyncio.wait((self._waiting[0],))

    def _flush(self) -> None:
        if self._failure is None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        """Give each reply to the call that has waited longest."""
        self._heard = self._loop.time()
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not _NOT_YET:
                future = waiting.popleft()
                if not future.done():
                    future.set_result(reply)
                reply = reader.gets()
            if self._retired and not waiting:
                self.fail("not needed any more")
        except hiredis.ProtocolError:
            self.fail("the server sent data that is not Redis protocol")
        except IndexError:
            self.fail("the server sent a reply although no call waited for one")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls that wait."""
        self.fail(f"the connection was lost: {exc or 'closed by the server'}")

    def _check(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        silence_s = max(self._silence_s, BUSY_S) if self._heavy else self._silence_s
        if self._loop.time() - self._heard > silence_s:
            self.fail(f"no answer within {silence_s:g} s")
        else:
            self._watch = self._loop.call_later(self._silence_s / 4, self._check)

    def retire(self) -> None:
        """Closes the connection when the last waiting call has its reply. Nothing may be sent after this."""
        self._retired = True
        if not self._waiting:
            self.fail("not needed any more")

    def fail(self, text: str) -> None:
        """Closes the connection. Every call that waits for a reply gets a Failure with this text."""
        if self._failure is not None:
            return
        self._failure = Failure(text, lost=True)
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._failure)


class InProcessWire:
    """A wire without a socket, for a client whose server is in this process (fakeredis)."""

    broken = False
    full = False

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._in_order = asyncio.Lock()

    def send(self, command: Command, *, asking: bool = False) -> asyncio.Future[Any]:  # noqa: ARG002 - no cluster
        """Sends a command. Gives the reply or a Failure."""
        return asyncio.ensure_future(self._call(command))

    async def _call(self, command: Command) -> Any:
        async with self._in_order:
            return await self._execute(command)

    async def _execute(self, command: Command) -> Any:
        try:
            return await self._client.execute_command(*command)
        except ResponseError as error:
            return Failure(f"{error.status_code or ''} {error}".lstrip())
        except REDIS_ERRORS as error:
            return Failure(error_text(error), lost=True)

    async def room(self) -> None:
        """There is always room."""

    def retire(self) -> None:
        """There is nothing to close."""

    def fail(self, text: str) -> None:
        """There is nothing to close."""


def _is_replayed(reply: Any) -> bool:
    """Whether a reply is the change, or the list that begins with the change, of a repeated request."""
    change = reply[0] if isinstance(reply, list) and reply else reply
    return isinstance(change, bytes) and _REPLAYED in change


class ConfirmedWire:
    """A wire for changes that replicas have to confirm.

    The changes that come while a confirmation is under way go out together, with one WAIT at their end. WAIT
    speaks only for what its own connection has written. So it goes down the same wire, and a publication to
    no listener goes before it: a repeated call writes nothing, but what it repeats has to be confirmed too.

    A replica that has just connected tells its position once a second, unless a WAIT asks for it. So short
    WAITs follow one another until a batch is confirmed or its time is over.

    confirmation: makes a WAIT or WAITAOF
    is_confirmed: whether its reply confirms the batch
    within_s: how long a batch may take to be confirmed
    concluded: hears of the last reply for a batch
    """

    def __init__(
        self,
        wire: Wire | InProcessWire,
        confirmation: Callable[[], Command],
        is_confirmed: Callable[[Any], bool],
        within_s: Callable[[], float],
        concluded: Callable[[Any], None],
    ) -> None:
        self._wire = wire
        self._confirmation = confirmation
        self._is_confirmed = is_confirmed
        self._within_s = within_s
        self._concluded = concluded
        self._loop = asyncio.get_running_loop()
        self._unsent: list[tuple[Command, bool, asyncio.Future[Any]]] = []
        self._busy = False
        """Whether a batch is about to be sent, or waits for its confirmation."""

    @property
    def broken(self) -> bool:
        """Whether the connection is closed, so that nothing can be sent any more."""
        return self._wire.broken

    @property
    def full(self) -> bool:
        """Whether MAX_WAITING calls wait to be sent."""
        return len(self._unsent) >= MAX_WAITING

    def send(self, command: Command, *, asking: bool = False) -> asyncio.Future[Any]:
        """Sends a function call with keys, or CONFIRM. Gives its reply when it is confirmed, or a Failure."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._unsent.append((command, asking, future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._send_batch)
        return future

    def _send_batch(self) -> None:
        batch, self._unsent = self._unsent, []
        replies = [self._wire.send(command, asking=asking) for command, asking, _ in batch]
        first, asking, _ = batch[0]
        channel = str(first[1]) if first[0] == CONFIRM else unheard_channel(str(first[3]))
        marker = self._wire.send((CONFIRM, channel, b""), asking=asking)
        callers = [future for _, _, future in batch]
        end = self._loop.time() + self._within_s()

        def ask() -> None:
            self._wire.send(self._confirmation()).add_done_callback(hear)

        def hear(reply: asyncio.Future[Any]) -> None:
            confirmed = self._is_confirmed(reply.result())
            if confirmed or reply.result().__class__ is Failure or self._loop.time() >= end:
                self._concluded(reply.result())
                self._answer(callers, replies, marker.result(), reply.result() if not confirmed else None)
            else:
                ask()

        ask()

    def _answer(
        self,
        callers: list[asyncio.Future[Any]],
        replies: list[asyncio.Future[Any]],
        marker: Any,
        instead: Any,
    ) -> None:
        """Give the callers of a batch their replies, which have come before the confirmation.

        marker: the reply to the publication
        instead: what came in place of the confirmation; None when it came
        """
        lost = instead.__class__ is Failure and instead.lost
        for caller, reply in zip(callers, replies, strict=True):
            if caller.done():
                continue
            result = reply.result()
            if result.__class__ is Failure:
                pass  # a refusal has changed nothing that could be confirmed
            elif instead is not None:
                result = instead if lost else NOT_REPLICATED
            elif marker.__class__ is Failure and _is_replayed(result):
                result = NOT_REPLICATED  # nothing was written, so WAIT has said nothing about it
            caller.set_result(result)
        self._busy = bool(self._unsent)
        if self._busy:
            self._send_batch()

    async def room(self) -> None:
        """Waits until fewer than MAX_WAITING calls wait to be sent."""
        while self.full:
            await asyncio.wait((self._unsent[0][2],))

    def retire(self) -> None:
        """Closes the connection when the last waiting call has its reply. Nothing may be sent after this."""
        self._wire.retire()

    def fail(self, text: str) -> None:
        """Closes the connection. Every call that waits for a reply gets a Failure with this text."""
        self._wire.fail(text)
