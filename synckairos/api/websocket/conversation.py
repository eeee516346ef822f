"""One WebSocket and its session: a client watches it, and may switch, pause and resume it.

Commands are answered in the order in which they came. Events do not go through this module, because the relay
writes them to the socket directly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

import msgspec
import structlog

from synckairos import metrics
from synckairos.api import limits
from synckairos.api.request import ApiRequest
from synckairos.api.websocket.messages import (
    Ack,
    ClockReport,
    Command,
    Pause,
    Ping,
    Pong,
    Reconnect,
    ReconnectAck,
    Switch,
    connected,
    decode,
    failure,
    parse,
)
from synckairos.api.websocket.socket import (
    GOING_AWAY,
    NO_SUCH_SESSION,
    POLICY_VIOLATION,
    TRY_AGAIN_LATER,
    Socket,
)
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Change, Options, State
from synckairos.core.replicas import Replicas, Stale
from synckairos.errors import (
    InternalError,
    MessageBrokerError,
    SessionMoved,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)
from synckairos.realtime.messages import frames, state_sync, text_frame
from synckairos.realtime.relay import Relay
from synckairos.supervision import Backoff, cancel

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
MESSAGES = limits.RateLimit("websocket_messages", 100, limits.MINUTE_MS)
"""The rate limit of the messages from one connection."""
LONGEST_REASON = 123
"""How many bytes the reason of a close may have. The protocol says so."""
FIRST_AGAIN_S, LONGEST_AGAIN_S = 0.1, 1.0
"""The pauses after which a socket with a stale state looks for a primary."""


class Conversation:
    """One client and its session.

    away: whether the primary has just failed to answer
    """

    def __init__(self, request: ApiRequest, socket: Socket, *, away: bool = False) -> None:
        self.socket = socket
        self._request = request
        self._session_id = ""
        self._arrivals: deque[float] | None = None
        """When the newest messages arrived. Most sockets only watch and send none."""
        context = request.context
        self._limited: bool = context.settings.rate_limit_enabled
        self._relay: Relay = context.relay
        self._sessions: Sessions = context.sessions
        self._replicas: Replicas = context.replicas
        self._away = away

    async def run(self) -> None:
        """Answer messages until one side closes the connection."""
        try:
            self._session_id = self._asked_for()
        except ValidationError as error:
            self.socket.end(POLICY_VIOLATION, error.message)
            return
        following: asyncio.Task[None] | None = None
        try:
            following = await self._greet()
            await self._answer_all()
        except SessionNotFound:
            self.socket.end(NO_SUCH_SESSION, "there is no such session")
        except SessionMoved as moved:
            self._end_as_moved(moved)
        except SyncKairosError as error:
            self._send(failure(error))
            self.socket.end(TRY_AGAIN_LATER, "the session cannot be read now; connect again")
        finally:
            if following is not None:
                await cancel(following)
            self._relay.detach(self._session_id, self.socket)

    async def _greet(self) -> asyncio.Task[None] | None:
        """Send the state, and have the events after it sent from now on.

        Returns what waits for a primary, when the state is one of a replica. Raises as `_attach`.
        """
        state = await self._attach()
        if isinstance(state, Stale):
            metrics.stale_reads.labels("websocket").inc()
            self.socket.send(frames((connected(state.state), state_sync(state.state, state.age_ms))))
            return asyncio.create_task(self._follow_when_possible(), name="follow when possible")
        self.socket.send(frames((connected(state), state_sync(state))))
        self._relay.follow(self._session_id, self.socket, state.epoch, state.version)
        return None

    async def _attach(self) -> State | Stale:
        """Subscribe and read the state; or read that of a replica, while there is no primary.

        Raises SessionNotFound, also for a session of another tenant, and the errors of `Relay.attach`.
        """
        away: SyncKairosError
        if self._away or self._sessions.connection.is_down(SessionKeys.of(self._session_id).session):
            away = StorageUnavailable(retry_after_ms=1000)
        else:
            try:
                return await self._attach_to_primary()
            except (StorageUnavailable, MessageBrokerError) as error:
                away = error
        if self._replicas.may_have(self._session_id):
            # A replica that does not have the session proves nothing: the session may be too new.
            with suppress(StorageUnavailable, SessionNotFound):
                return await self._replicas.get(self._session_id, self._request.caller.tenant)
        raise away

    async def _attach_to_primary(self) -> State:
        state = await self._relay.attach(self._session_id, self.socket)
        tenant = self._request.caller.tenant
        if tenant is not None and state.tenant_id != tenant:
            raise SessionNotFound("there is no such session")
        return state

    async def _follow_when_possible(self) -> None:
        """Send the state of the primary as soon as there is one again, and everything from there on."""
        backoff = Backoff(FIRST_AGAIN_S, LONGEST_AGAIN_S)
        while True:
            await asyncio.sleep(backoff.pause())
            try:
                state = await self._attach_to_primary()
            except SessionNotFound:
                self.socket.end(NO_SUCH_SESSION, "there is no such session")
                return
            except SessionMoved as moved:
                self._end_as_moved(moved)
                return
            except SyncKairosError:
                continue
            self._send(state_sync(state))
            self._relay.follow(self._session_id, self.socket, state.epoch, state.version)
            return

    def _end_as_moved(self, moved: SessionMoved) -> None:
        """Close so that the client does not connect here again: this service has no way to the session."""
        self._send(failure(moved))
        reason = f"the session is at {moved.moved_to}"
        self.socket.end(NO_SUCH_SESSION, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))

    async def _answer_all(self) -> None:
        """Answer messages until one side closes the connection."""
        async for text, arrived in self.socket.messages():
            if self._limited and self._too_many(arrived):
                metrics.rate_limited.labels(MESSAGES.name).inc()
                self.socket.end(POLICY_VIOLATION, f"too many messages: at most {MESSAGES.count} a minute")
                return
            await self._answer(text, arrived)
        self.socket.end(GOING_AWAY, "the service is shutting down")

    def _asked_for(self) -> str:
        given = [
            value for name in ("session_id", "sessionId") for value in self._request.args.getlist(name, [])
        ]
        if len(given) != 1:
            raise ValidationError("the query has to name one session: ?session_id=<uuid>")
        return keys.session_id(given[0])

    def _too_many(self, arrived: float) -> bool:
        """Whether more than the limit arrived within a minute."""
        if self._arrivals is None:
            self._arrivals = deque(maxlen=MESSAGES.count)
        too_many = len(self._arrivals) == MESSAGES.count and (
            arrived - self._arrivals[0] < MESSAGES.period_ms / 1000
        )
        self._arrivals.append(arrived)
        return too_many

    def _send(self, text: bytes) -> None:
        self.socket.send(text_frame(text))

    async def _answer(self, text: str, arrived: float) -> None:
        """Carry out a message. An error is answered with an `ERROR` message and does not close the socket."""
        request_id: str | None = None
        try:
            fields = decode(text)
            if isinstance(fields.get("request_id"), str):
                request_id = fields["request_id"]
            message = parse(fields)
            match message:
                case Ping():
                    self._pong(message, arrived)
                case ClockReport():
                    metrics.client_clock_offset.observe(abs(message.offset_ms) / 1000.0)
                case Reconnect():
                    await self._reconnect(message)
                case Command():
                    change = await self._change(message)
                    self._send(
                        msgspec.json.encode(Ack(request_id=message.request_id, version=change.version))
                    )
        except SyncKairosError as error:
            self._send(failure(error, request_id))
        except Exception:
            logger.exception("a message could not be answered", session=self._session_id)
            self._send(failure(InternalError(), request_id))

    def _pong(self, message: Ping, arrived: float) -> None:
        sent = self._relay.now_ms(self._session_id)
        received = sent - 1000.0 * (monotonic() - arrived)
        self._send(msgspec.json.encode(Pong(t1=message.t1, t2=int(received), t3=int(sent))))

    async def _change(self, message: Command) -> Change:
        caller = self._request.caller
        options = Options(
            tenant=caller.tenant,
            version=message.expected_version,
            actor=caller.subject,
            trace=self._request.trace_id,
            request=message.request_id,
        )
        match message:
            case Switch():
                await limits.consume_per_session(self._request, limits.SWITCH, self._session_id)
                return await self._sessions.switch(
                    self._session_id,
                    next=message.next_participant_id,
                    current=message.current_participant_id,
                    # The lag is measured on this connection. Over HTTP it cannot be measured, and a client
                    # could claim any lag, so a switch over HTTP gets no credit. A backend that knows its
                    # players' lag can pass it to `sk_switch` itself.
                    lag_ms=self.socket.lag_ms,
                    options=options,
                )
            case Pause():
                return await self._sessions.pause(self._session_id, options)
            case _:
                return await self._sessions.resume(self._session_id, options)

    async def _reconnect(self, message: Reconnect) -> None:
        """Send what the client has missed. Events that come meanwhile wait until this is done."""
        tenant = self._request.caller.tenant
        epoch, version = self._relay.hold(self._session_id, self.socket)
        try:
            missed = None
            if message.epoch is not None:
                missed = await self._sessions.log(
                    self._session_id, message.last_known_version, message.epoch, tenant
                )
            if missed is not None:
                ack = msgspec.json.encode(ReconnectAck(replayed=len(missed)))
                self.socket.send(frames((ack, *missed)))
                epoch, version = message.epoch, message.last_known_version + len(missed)
            else:
                state = await self._sessions.get(self._session_id, tenant)
                ack = msgspec.json.encode(ReconnectAck(replayed="full"))
                self.socket.send(frames((ack, state_sync(state))))
                epoch, version = state.epoch, state.version
        finally:
            if epoch is not None:
                self._relay.follow(self._session_id, self.socket, epoch, version)
