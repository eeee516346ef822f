"""`/ws`: a client watches one session, and may switch, pause and resume it.

Commands are answered in the order in which they came. Events go past this module: the relay writes them to
the socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import structlog
from msgspec import Meta, Struct
from sanic import Sanic

from synckairos import metrics
from synckairos.api import limits
from synckairos.api.inputs import _must, refuse
from synckairos.api.request import ApiRequest
from synckairos.api.schemas import Input, Uuid, Version
from synckairos.api.socket import HEARTBEAT_S, MAX_MESSAGE, UNANSWERED, Socket, upgrade
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.model import Change, Options, State
from synckairos.errors import (
    Detail,
    Forbidden,
    InternalError,
    RateLimitExceeded,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)
from synckairos.realtime.messages import frames, session_message, state_sync, text_frame
from synckairos.realtime.relay import Relay
from synckairos.realtime.server_time import ServerClock

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SUBPROTOCOL = "synckairos.v1"
MESSAGES = limits.Limit("websocket_messages", 100, limits.MINUTE_MS)
"""Messages from one connection."""
DRAIN_S = 5.0
"""How long messages that have arrived may take to be answered when the service stops."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
NO_SUCH_SESSION = 4404

RequestId = Annotated[
    str, Meta(pattern=r"^[!-~]{1,255}\Z", extra={"must": "must be 1 to 255 visible ASCII characters"})
]
Count = Annotated[int, Meta(ge=0, extra={"must": "must be a whole number from 0"})]
Number = Annotated[int | float, Meta(extra={"must": "must be a number"})]
_WITHIN = Meta(ge=-(2**53), le=2**53, extra={"must": "must be milliseconds, at most 2^53 either way"})
Milliseconds = Annotated[int, _WITHIN] | Annotated[float, _WITHIN]


class Message(Input, frozen=True, forbid_unknown_fields=False):
    """What every message may have. Names that are not known here are passed over, except in commands."""

    v: Annotated[Literal[1], Meta(extra={"must": "must be 1"})] = 1
    type: str = ""


class Auth(Message, frozen=True):
    """Who is there. Without authentication anybody is welcome, and nothing comes of it."""

    token: Annotated[str, Meta(extra={"must": "must be text"})] = ""


class Ping(Message, frozen=True, kw_only=True):
    """What is the server's time? `t1`: the client's time, in ms; it comes back as it is."""

    t1: Number


class Clock(Message, frozen=True, kw_only=True):
    """What the client found: its clock is `offset_ms` behind the server's, give or take `uncertainty_ms`."""

    offset_ms: Milliseconds
    rtt_ms: Milliseconds | None = None
    uncertainty_ms: Milliseconds | None = None


class Reconnect(Message, frozen=True, kw_only=True):
    """Go on after this version of this epoch."""

    last_known_version: Version
    epoch: Annotated[str, Meta(extra={"must": "must be text"})] | None = None
    reconnect_attempt: Count | None = None


class Command(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes the session; a repeat under the same request id changes nothing more."""

    request_id: RequestId
    expected_version: Version | None = None


class Switch(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the running cycle."""

    current_participant_id: Uuid | None = None
    next_participant_id: Uuid | None = None


class Pause(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop the clock."""


class Resume(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let the clock run on."""


KINDS: dict[str, type[Message]] = {
    "AUTH": Auth,
    "PING": Ping,
    "CLOCK": Clock,
    "RECONNECT": Reconnect,
    "SWITCH": Switch,
    "PAUSE": Pause,
    "RESUME": Resume,
}


def register(app: Sanic[Any, Any]) -> None:
    """Add `/ws` to the application."""
    app.ctx.websockets = set()
    app.enable_websocket()
    app.add_route(_Endpoint(), "/ws", methods=("GET",), name="websocket")
    app.before_server_stop(_close_all)


class _Endpoint:
    """Answers `/ws`."""

    __name__ = "websocket"
    is_websocket: ClassVar = True
    """Tells Sanic that there is no HTTP response to wait for."""

    async def __call__(self, request: ApiRequest) -> None:
        context = request.app.ctx
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise ValidationError(
                "this is a WebSocket; the request has to be a WebSocket handshake",
                details=[{"field": "Upgrade", "message": "must be websocket"}],
            )
        if context.draining:
            raise StorageUnavailable("the service is shutting down")
        _check_origin(request)
        await limits.take_per_address(request, limits.WEBSOCKET)
        if len(context.websockets) >= context.settings.max_websockets:
            raise RateLimitExceeded("this process has as many WebSockets as it may have")
        socket = upgrade(request, SUBPROTOCOL)
        conversation = Conversation(request, socket)
        context.websockets.add(conversation)
        try:
            await conversation.run()
            await socket.closed
        except asyncio.CancelledError:
            if not socket.closed.done():
                raise
            # The client left, and Sanic cancels what serves it: no failed request.
        except Exception:
            logger.exception("a WebSocket failed")
            socket.end(INTERNAL_ERROR, "something went wrong inside the service")
        finally:
            context.websockets.discard(conversation)


def _check_origin(request: ApiRequest) -> None:
    """Where origins are listed, keep the pages of others out.

    Browsers apply no rule of their own to WebSockets; they only say which page asks. Whoever sends no
    `Origin` is no browser, and the service's own pages are always welcome. Raises Forbidden.
    """
    allowed = request.app.ctx.settings.allowed_origins
    origin = request.headers.get("origin")
    if not allowed or "*" in allowed or origin is None or origin in allowed:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        raise Forbidden("pages of this origin may not connect")


async def _close_all(app: Sanic[Any, Any]) -> None:
    """Let every conversation answer what has arrived, then say that the service is going."""
    app.ctx.draining = True
    conversations = list(app.ctx.websockets)
    for conversation in conversations:
        conversation.socket.drain()
    if conversations:
        await asyncio.wait([conversation.socket.closed for conversation in conversations], timeout=DRAIN_S)
    for conversation in conversations:
        conversation.socket.end(GOING_AWAY, "the service is shutting down")


class Conversation:
    """One client and its session."""

    def __init__(self, request: ApiRequest, socket: Socket) -> None:
        self.socket = socket
        self._request = request
        self._session_id = ""
        self._arrivals: deque[float] = deque(maxlen=MESSAGES.count)
        context = request.app.ctx
        self._limited: bool = context.settings.rate_limit_enabled
        self._relay: Relay = context.relay
        self._sessions: Sessions = context.sessions
        self._clock: ServerClock = context.clock

    async def run(self) -> None:
        """Talk until either side ends."""
        try:
            self._session_id = self._asked_for()
        except ValidationError as error:
            self.socket.end(POLICY_VIOLATION, error.message)
            return
        try:
            state = await self._relay.attach(self._session_id, self.socket)
        except SessionNotFound:
            self.socket.end(NO_SUCH_SESSION, "there is no such session")
            return
        except SyncKairosError as error:
            self._say(failure(error))
            self.socket.end(TRY_AGAIN_LATER, "the session cannot be read now; connect again")
            return
        try:
            tenant = self._request.caller.tenant
            if tenant is not None and state.tenant_id != tenant:
                self.socket.end(NO_SUCH_SESSION, "there is no such session")
                return
            self.socket.send(frames((connected(state), state_sync(state))))
            self._relay.follow(self._session_id, self.socket, state.epoch, state.version)
            async for text, arrived in self.socket.messages():
                if self._limited and self._too_many(arrived):
                    metrics.rate_limited.labels(MESSAGES.name).inc()
                    self.socket.end(POLICY_VIOLATION, f"too many messages: at most {MESSAGES.count} a minute")
                    return
                await self._answer(text, arrived)
            self.socket.end(GOING_AWAY, "the service is shutting down")
        finally:
            self._relay.detach(self._session_id, self.socket)

    def _asked_for(self) -> str:
        given = [
            value for name in ("session_id", "sessionId") for value in self._request.args.getlist(name, [])
        ]
        if len(given) != 1:
            raise ValidationError("the query has to name one session: ?session_id=<uuid>")
        return keys.session_id(given[0])

    def _too_many(self, arrived: float) -> bool:
        """Whether more than the limit arrived within a minute."""
        too_many = len(self._arrivals) == MESSAGES.count and (
            arrived - self._arrivals[0] < MESSAGES.period_ms / 1000
        )
        self._arrivals.append(arrived)
        return too_many

    def _say(self, text: bytes) -> None:
        self.socket.send(text_frame(text))

    async def _answer(self, text: str, arrived: float) -> None:
        """Do what a message asks for. Whatever goes wrong is answered, and does not end the connection."""
        request_id: str | None = None
        try:
            fields = decode(text)
            if isinstance(fields.get("request_id"), str):
                request_id = fields["request_id"]
            message = read(fields)
            match message:
                case Ping():
                    self._pong(message, arrived)
                case Clock():
                    metrics.client_clock_offset.observe(abs(message.offset_ms) / 1000.0)
                case Reconnect():
                    await self._reconnect(message)
                case Command():
                    change = await self._change(message)
                    self._say(
                        msgspec.json.encode(_Ack(request_id=message.request_id, version=change.version))
                    )
        except SyncKairosError as error:
            self._say(failure(error, request_id))
        except Exception:
            logger.exception("a message could not be answered", session=self._session_id)
            self._say(failure(InternalError(), request_id))

    def _pong(self, message: Ping, arrived: float) -> None:
        sent = self._clock.now_ms(keys.partition(self._session_id))
        received = sent - 1000.0 * (monotonic() - arrived)
        self._say(msgspec.json.encode(_Pong(t1=message.t1, t2=int(received), t3=int(sent))))

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
                await limits.take_per_session(self._request, limits.SWITCH, self._session_id)
                return await self._sessions.switch(
                    self._session_id,
                    next=message.next_participant_id,
                    current=message.current_participant_id,
                    # What was measured on this very connection. Over HTTP there is nothing to measure, and
                    # what a request says of itself anybody may say: a switch there is credited nothing. A
                    # backend that knows its players' lag passes it to `sk_switch` itself.
                    lag_ms=self.socket.lag_ms,
                    options=options,
                )
            case Pause():
                return await self._sessions.pause(self._session_id, options)
            case _:
                return await self._sessions.resume(self._session_id, options)

    async def _reconnect(self, message: Reconnect) -> None:
        """Go on where the client was. Events that come meanwhile wait until it is known what was missed."""
        tenant = self._request.caller.tenant
        epoch, version = self._relay.hold(self._session_id, self.socket)
        try:
            missed = None
            if message.epoch is not None:
                missed = await self._sessions.log(
                    self._session_id, message.last_known_version, message.epoch, tenant
                )
            if missed is not None:
                ack = msgspec.json.encode(_ReconnectAck(replayed=len(missed)))
                self.socket.send(frames((ack, *missed)))
                epoch, version = message.epoch, message.last_known_version + len(missed)
            else:
                state = await self._sessions.get(self._session_id, tenant)
                ack = msgspec.json.encode(_ReconnectAck(replayed="full"))
                self.socket.send(frames((ack, state_sync(state))))
                epoch, version = state.epoch, state.version
        finally:
            if epoch is not None:
                self._relay.follow(self._session_id, self.socket, epoch, version)


class _Pong(Struct):
    t1: int | float
    t2: int
    t3: int
    v: int = 1
    type: str = "PONG"


class _Ack(Struct):
    request_id: str
    version: int
    v: int = 1
    type: str = "ACK"


class _ReconnectAck(Struct):
    replayed: int | str
    v: int = 1
    type: str = "RECONNECT_ACK"
    success: bool = True


def decode(text: str) -> dict[str, Any]:
    """The fields of a message. Raises ValidationError."""
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError("the message is not JSON") from error
    if not isinstance(fields, dict):
        raise ValidationError("the message has to be a JSON object")
    return fields


def read(fields: dict[str, Any]) -> Message:
    """The message that these fields make. Raises ValidationError, with all that is wrong."""
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        metrics.websocket_messages.labels("unknown").inc()
        refuse([{"field": "type", "message": f"must be one of {', '.join(KINDS)}"}])
    metrics.websocket_messages.labels(kind).inc()
    shape = KINDS[kind]
    try:
        return msgspec.convert(fields, shape)
    except msgspec.ValidationError:
        refuse(list(_problems(shape, fields)))


def _problems(shape: type[Message], fields: dict[str, Any]) -> Iterator[Detail]:
    """Everything that is wrong with these fields, each looked at by itself."""
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for name, field in known.items():
        if name not in fields:
            if field.required:
                yield {"field": name, "message": "is required"}
            continue
        try:
            msgspec.convert(fields[name], field.type)
        except msgspec.ValidationError:
            yield {"field": name, "message": _must(field.type)}
    if issubclass(shape, Command):
        for name in fields.keys() - known.keys():
            yield {"field": name, "message": "is not known here"}


def failure(error: SyncKairosError, request_id: str | None = None) -> bytes:
    """An `ERROR` message."""
    metrics.errors.labels(error.code).inc()
    message: dict[str, Any] = {"v": 1, "type": "ERROR"}
    if request_id is not None:
        message["request_id"] = request_id
    return msgspec.json.encode(message | error.body())


def connected(state: State) -> bytes:
    """The greeting: what this connection can be used for, and how it is kept alive."""
    return session_message(
        "CONNECTED",
        state,
        msgspec.json.encode(
            {
                "features": list(KINDS),
                "heartbeat": {"interval_ms": int(1000 * HEARTBEAT_S), "unanswered": UNANSWERED},
                "max_message_bytes": MAX_MESSAGE,
            }
        ),
    )
