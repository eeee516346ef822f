"""The WebSocket of one session: opening it, keeping it alive, and opening it again when it breaks.

This module sends and receives messages, and handles closed sockets. The messages themselves are handled by
the follower, except for those that are about the connection and its token.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from synckairos.client.callbacks import logger
from synckairos.client.errors import (
    ConnectionLost,
    Forbidden,
    RateLimitExceeded,
    SessionNotFound,
    SyncKairosError,
    Unauthenticated,
    UnexpectedAnswer,
    from_answer,
)
from synckairos.client.http import failure, is_loopback, part, token_of
from synckairos.client.model import Json
from synckairos.client.renewal import Renewal
from synckairos.client.service import Service
from synckairos.client.tasks import stop

ConnectionState = Literal["connecting", "live", "reconnecting", "closed"]

RECONNECT_AFTER_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before the attempts to connect again. The last one is used for all further attempts."""
ANSWER_S = 5.0
"""How long the service may take to answer a message before the connection counts as broken."""
ANSWER_AFTER_SLEEP_S = 3.0
"""The same for the first message after the machine was asleep."""
KEEPALIVE_S = 10.0
"""How often a ping frame is sent, and how long its pong may take."""
CONNECT_S = 10.0
"""How long a handshake may take."""
STATE_S = 10.0
"""How long the state may take to come after the handshake."""
LONGEST_WAIT_S = 60.0
"""The longest `Retry-After` that is obeyed before the next attempt to connect."""
MAX_MESSAGE = 16 * 2**20
"""The largest message that is accepted (bytes)."""
SUBPROTOCOL = "synckairos.v1"
TOKEN_ENDED = 4401
"""The service's close code for a token that has ended."""
REVOKED_OR_FORBIDDEN = 4403
"""The service's close code for a token that was revoked, or allows nothing."""
NO_SUCH_SESSION = 4404
"""The service's close code for a session that does not exist."""
POLICY_VIOLATION = 1008
"""The service's close code for a bad token, and for too many messages."""
ENDED_TOKENS = 3
"""After how many tokens in a row that had ended when they were given a session is closed."""


class SessionConnection:
    """The connection of one session to the service. It starts to connect when it is made.

    on_message: called with each message. It raises an error for a message that it does not understand. Then
        the socket is replaced, and `needs_whole_state` is set.
    on_state: called with each new `state`
    on_disconnect: called when a socket has ended, so that open questions will not be answered
    on_error: called with errors after which a new attempt is made
    on_failure: called with an error after which no new attempt is made. It has to call `close`.
    """

    def __init__(
        self,
        service: Service,
        session_id: str,
        *,
        on_message: Callable[[Json], None],
        on_state: Callable[[ConnectionState], None],
        on_disconnect: Callable[[], None],
        on_error: Callable[[SyncKairosError], None],
        on_failure: Callable[[SyncKairosError], None],
    ) -> None:
        self.state: ConnectionState = "connecting"
        """`live` means that there is a socket and that the session's state is up to date."""
        self.heard_ms = 0.0
        """The local time of the last message."""
        self._service = service
        self._session_id = session_id
        self._on_message = on_message
        self._on_state = on_state
        self._on_disconnect = on_disconnect
        self._on_error = on_error
        self._on_failure = on_failure
        self._socket: ClientConnection | None = None
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._pings: dict[float, asyncio.Future[Json]] = {}
        self._deadline: asyncio.TimerHandle | None = None
        """When the socket is aborted, unless `set_live` is called before."""
        self._attempts = 0
        """How many attempts to connect again were made in a row."""
        self._garbled = 0
        """How many sockets in a row ended because of a message that was not understood."""
        self._greeted = False
        """Whether the service has accepted the token, after which it sends `CONNECTED`."""
        self._told: SyncKairosError | None = None
        """The error that the service told last on this socket and that answers no command."""
        self._ended_tokens = 0
        """How many sockets in a row ended because the token that was given had ended."""
        self._renewal: Renewal | None = None
        self._has_been_live = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=f"synckairos session {session_id}")

    @property
    def is_live(self) -> bool:
        """Whether there is a socket, and the session's state is up to date."""
        return self.state == "live"

    @property
    def needs_whole_state(self) -> bool:
        """Whether the last socket ended because of a message that was not understood."""
        return self._garbled > 0

    def send(self, message: Json) -> None:
        """Queue a message to be sent. Without a socket it is dropped."""
        if self._socket is not None:
            self._outgoing.put_nowait(msgspec.json.encode({"v": 1, **message}).decode())

    def set_live(self) -> bool:
        """Note that the session's state is up to date. Returns whether this is new."""
        self._cancel_deadline()
        if self.state == "live":
            return False
        self._attempts = self._garbled
        self._has_been_live = True
        self._set_state("live")
        return True

    def require_live(self, seconds: float) -> None:
        """Abort the socket unless `set_live` is called within so many seconds."""
        self._cancel_deadline()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def abort(self) -> None:
        """Abort the socket. A new one takes its place."""
        if self._socket is not None:
            self._socket.transport.abort()

    def close(self) -> None:
        """Make no further attempt to connect. `stop` also closes the socket."""
        self._set_state("closed")

    async def stop(self) -> None:
        """Close the socket, and wait until its task has ended."""
        await stop(self._task)

    async def ping(self) -> tuple[float, float, float, float]:
        """Ask for the server's time: t1 to t4 (ms). Raises ConnectionLost when there is no answer."""
        if self.state != "live":
            raise ConnectionLost
        t1 = self._service.time.monotonic_ms()
        answer: asyncio.Future[Json] = self._loop.create_future()
        self._pings[t1] = answer
        self.send({"type": "PING", "t1": t1})
        try:
            await asyncio.wait([answer], timeout=ANSWER_S)
        finally:
            self._pings.pop(t1, None)
        if not answer.done():
            self.abort()
            raise ConnectionLost
        if answer.cancelled():
            raise ConnectionLost
        pong = answer.result()
        return t1, pong["t2"], pong["t3"], pong["t4"]

    def check_after_sleep(self) -> None:
        """Abort the socket if it does not answer within `ANSWER_AFTER_SLEEP_S`. Called after sleep."""
        socket, sent = self._socket, self._service.time.monotonic_ms()

        def look() -> None:
            if self._socket is socket and self.heard_ms < sent:
                self.abort()

        if self.state == "live":
            self.send({"type": "PING", "t1": sent})
            self._loop.call_later(ANSWER_AFTER_SLEEP_S, look)

    def _set_state(self, state: ConnectionState) -> None:
        if self.state not in (state, "closed"):
            self.state = state
            self._on_state(state)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    async def _run(self) -> None:
        """Connect and listen, again and again, until the connection is closed or has failed."""
        try:
            while True:
                wait = await self._connect_once()
                if self.state == "closed":
                    return
                attempts = self._attempts
                if attempts >= self._service.reconnect_attempts:
                    self._on_failure(
                        ConnectionLost(f"the service could not be reached {attempts + 1} times in a row")
                    )
                    return
                pause = RECONNECT_AFTER_S[min(attempts, len(RECONNECT_AFTER_S) - 1)]
                self._attempts += 1
                await asyncio.sleep(max(pause * (1 - random.random() / 2), wait))
        except Exception as error:  # noqa: BLE001 - otherwise a bug would end the task silently
            logger.exception("following a session failed")
            self._on_failure(UnexpectedAnswer(f"the client failed: {error!r}"))

    async def _connect_once(self) -> float:
        """Open a socket and use it until its end. Returns the least seconds to wait before the next one."""
        self._greeted = False
        self._told = None
        try:
            token = await token_of(self._service.token)
        except Exception as error:  # noqa: BLE001 - a token function may raise anything
            lost = ConnectionLost(f"the token function failed: {error!r}")
            lost.__cause__ = error
            self._on_error(error if isinstance(error, SyncKairosError) else lost)
            return 0.0
        try:
            async with connect(
                f"{self._service.socket_url}?session_id={part(self._session_id)}",
                additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # the type is a NewType of str
                max_size=MAX_MESSAGE,
                open_timeout=CONNECT_S,
                close_timeout=1.0,
                ping_interval=KEEPALIVE_S,
                ping_timeout=KEEPALIVE_S,
                proxy=None if is_loopback(self._service.url) else True,
            ) as socket:
                self._socket = socket
                self._renewal = Renewal(self._service.token, token, self.send, self._on_error)
                self.require_live(STATE_S)
                writer = self._loop.create_task(self._write(socket), name=f"{self._task.get_name()}, writing")
                try:
                    await self._listen(socket)
                    self._judge_close(socket.close_code, socket.close_reason or "")
                finally:
                    self._reset()
                    await stop(writer)
                    await self._renewal.stop()
        except InvalidStatus as error:
            return self._judge_refusal(error)
        except InvalidURI as error:
            self._on_failure(UnexpectedAnswer(f"this is not the address of a service: {error}"))
        except (OSError, WebSocketException, EOFError) as error:  # TimeoutError is an OSError
            self._on_error(ConnectionLost(f"the service cannot be reached: {error!r}"))
        return 0.0

    async def _listen(self, socket: ClientConnection) -> None:
        while self.state != "closed":
            try:
                text = await socket.recv(decode=False)
            except ConnectionClosed:
                self._garbled = 0
                return
            self.heard_ms = self._service.time.monotonic_ms()
            try:
                self._receive(msgspec.json.decode(text))
            except Exception as error:  # noqa: BLE001 - the service may send anything
                # The state that is shown may be wrong now, so the next socket begins with the whole state.
                self._garbled += 1
                self._on_error(UnexpectedAnswer(f"a message that this client does not understand: {error!r}"))
                self.abort()
                return

    def _receive(self, message: Json) -> None:
        kind = message["type"]
        if kind == "PONG":
            ping = self._pings.pop(message["t1"], None)
            if ping is not None and not ping.done():
                ping.set_result({**message, "t4": self.heard_ms})
            return
        if kind == "TOKEN_EXPIRES":
            if self._renewal is not None:
                self._renewal.begin()
            return
        if kind in ("ACK", "ERROR") and self._renewal is not None and self._renewal.receive(message):
            return
        if kind == "CONNECTED":
            self._greeted = True
            self._ended_tokens = 0
        self._told = None
        if kind == "ERROR" and "request_id" not in message:
            self._told = from_answer(message.get("error") or {})
        self._on_message(message)

    async def _write(self, socket: ClientConnection) -> None:
        """Send the waiting messages in their order."""
        with suppress(ConnectionClosed):
            while True:
                await socket.send(await self._outgoing.get())

    def _reset(self) -> None:
        """Drop the messages and pings of a socket that has ended."""
        self._set_state("reconnecting" if self._has_been_live else "connecting")
        self._socket = None
        self._outgoing = asyncio.Queue()
        self._cancel_deadline()
        for ping in self._pings.values():
            ping.cancel()
        self._pings.clear()
        self._on_disconnect()

    def _judge_close(self, code: int | None, reason: str) -> None:
        """Fail if the close code says that another attempt would not help."""
        if self.state == "closed":
            return
        if code == NO_SUCH_SESSION:
            self._on_failure(SessionNotFound(reason or None))
        elif code == REVOKED_OR_FORBIDDEN:
            self._on_failure(Forbidden(reason or None))
        elif code == TOKEN_ENDED:
            self._judge_ended_token(Unauthenticated(reason or "the token has ended"))
        elif code == POLICY_VIOLATION:
            self._on_failure(self._told or violation(reason, greeted=self._greeted))

    def _judge_ended_token(self, error: SyncKairosError) -> None:
        """Fail unless the token function may give a better one."""
        if not self._greeted:
            self._ended_tokens += 1
        if callable(self._service.token) and self._ended_tokens < ENDED_TOKENS:
            self._on_error(error)
        else:
            self._on_failure(error)

    def _judge_refusal(self, error: InvalidStatus) -> float:
        """Handle a handshake that was answered with an HTTP error.

        Returns how many seconds to wait before the next attempt, or fails.
        """
        answer = error.response
        try:
            body = msgspec.json.decode(answer.body or b"null")
        except msgspec.DecodeError:
            body = None
        found = failure(body, answer.status_code, answer.headers.get("retry-after"))
        if answer.status_code == 408 or answer.status_code >= 500 or found.retryable:
            self._on_error(found)
            return min((found.retry_after_ms or 0) / 1000, LONGEST_WAIT_S)
        self._on_failure(found)
        return 0.0


def violation(reason: str, *, greeted: bool) -> SyncKairosError:
    """The error that the close code 1008 stands for, where no `ERROR` has told it.

    greeted: whether the service had accepted the token
    """
    if reason.startswith("too many"):
        return RateLimitExceeded(reason)
    if greeted and "token" not in reason:
        return Forbidden(reason or None)
    return Unauthenticated(reason or None)
