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
from msgspec import UNSET

from synckairos import metrics
from synckairos.api import gate, limits, on_record
from synckairos.api.inputs import named_as_given
from synckairos.api.request import ApiRequest
from synckairos.api.websocket.command import CommandCall
from synckairos.api.websocket.grant import Grant
from synckairos.api.websocket.messages import (
    Ack,
    Auth,
    AuthAck,
    ClockReport,
    Command,
    Ping,
    Pong,
    Reconnect,
    ReconnectAck,
    TokenExpires,
    connected,
    decode,
    failure,
    instant,
    parse,
)
from synckairos.api.websocket.opening import Interrupted, Opening
from synckairos.api.websocket.socket import (
    GOING_AWAY,
    NO_SUCH_SESSION,
    POLICY_VIOLATION,
    REVOKED_OR_FORBIDDEN,
    TOKEN_ENDED,
    TRY_AGAIN_LATER,
    Socket,
)
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.bearer import TokenEnded, TokenRevoked
from synckairos.chain.middleware import Step
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Change, State
from synckairos.core.replicas import Replicas, Stale
from synckairos.errors import (
    Forbidden,
    InternalError,
    MessageBrokerError,
    QuotaExceeded,
    RateLimitExceeded,
    SessionMoved,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    ValidationError,
)
from synckairos.realtime.messages import frames, state_sync, text_frame, without_actor
from synckairos.realtime.relay import Relay
from synckairos.recover import recover
from synckairos.supervision import cancel

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
MESSAGES = limits.RateLimit("websocket_messages", 100, limits.MINUTE_MS, limits.Per.CONNECTION)
"""The rate limit of the messages from one connection."""
LONGEST_REASON = 123
"""How many bytes the reason of a close may have. The protocol says so."""
_NOT_HERE = (SessionNotFound, SessionMoved)
WRONG_CLOCK_MS = 100
"""By how much a client's clock may be wrong until the client counts as one with a wrong clock."""
FIRST_AGAIN_S, LONGEST_AGAIN_S = 0.1, 1.0
"""The pauses after which a socket with a stale state looks for a primary."""


class Conversation:
    """One client and its session."""

    def __init__(self, request: ApiRequest, socket: Socket, opening: Opening) -> None:
        self.socket = socket
        socket.on_flood = self.flooded
        self._request = request
        self._opening = opening
        self._grant: Grant | None = None
        """The caller, once it is known and has got the state."""
        self._session_id = ""
        self._arrivals: deque[float] | None = None
        """When the newest messages arrived. Most sockets only watch and send none."""
        context = request.context
        self._clock_is_wrong = False
        self._limited: bool = context.settings.rate_limit_enabled
        self._relay: Relay = context.relay
        self._sessions: Sessions = context.sessions
        self._replicas: Replicas = context.replicas
        self._commands: Step = context.commands

    async def run(self) -> None:
        """Answer messages until one side closes the connection."""
        following: asyncio.Task[None] | None = None
        try:
            grant = await self._opening.grant(self.socket)
            self._session_id = self._asked_for()
            if grant.caller.session not in (None, self._session_id):
                raise SessionNotFound
            following = await self._greet(grant)
            await self._answer_all()
        except Interrupted:
            self.socket.end(GOING_AWAY, "the service is shutting down")
        except SyncKairosError as error:
            self._refused(Action.READ, error)
            self._end_with(error)
        finally:
            if following is not None:
                await cancel(following)
            self._relay.detach(self._session_id, self.socket)
            self._count_wrong_clock(wrong=False)

    async def _greet(self, grant: Grant) -> asyncio.Task[None] | None:
        """Send the state, and have the events after it sent from now on.

        Returns what waits for a primary, when the state is one of a replica. Raises as `_attach`.
        """
        self.socket.sees_actors = access.sees_actors(grant.caller)
        found = await self._attach()
        state, age_ms = (found.state, found.age_ms) if isinstance(found, Stale) else (found, None)
        self.socket.send(frames((self._greeting(state, grant), state_sync(state, age_ms))))
        self._grant = grant
        self.check_token()
        if age_ms is None:
            self._relay.follow(self._session_id, self.socket, state.epoch, state.version)
            return None
        metrics.stale_reads.labels("websocket").inc()
        return asyncio.create_task(self._follow_when_possible(), name="follow when possible")

    def _greeting(self, state: State, grant: Grant) -> bytes:
        auth_mode = self._request.context.settings.auth_mode
        rights = {"auth_mode": auth_mode, **access.rights(grant.caller)}
        return connected(state, grant.caller.ends_at, rights)

    def check_token(self) -> None:
        """Tell the client that its token ends soon, or close when it has ended or was revoked.

        This is called often, for every socket that is open.
        """
        if self._grant is None or self.socket.ended:
            return
        try:
            is_to_be_told = self._grant.check()
        except Unauthenticated as error:
            self._request.recorded = False  # what an admin did before is another matter
            self._refused(Action.READ, error)
            self._end_with(error)
            return
        ends_at = self._grant.caller.ends_at
        if is_to_be_told and ends_at is not None:
            self._send(msgspec.json.encode(TokenExpires(expires_at=instant(ends_at))))

    def _end_with(self, error: SyncKairosError) -> None:
        """Close with the code that stands for an error."""
        match error:
            case TokenEnded():
                self.socket.end(TOKEN_ENDED, "the token has ended; get a new one")
            case TokenRevoked():
                self.socket.end(REVOKED_OR_FORBIDDEN, "the token was revoked")
            case Forbidden():
                self.socket.end(REVOKED_OR_FORBIDDEN, error.message)
            case Unauthenticated() | ValidationError():
                self.socket.end(POLICY_VIOLATION, error.message)
            case SessionNotFound():
                self.socket.end(NO_SUCH_SESSION, "there is no such session")
            case SessionMoved():
                # The client must not connect here again, because this service has no way to the session.
                self._send(failure(error))
                reason = f"the session is at {error.moved_to}"
                self.socket.end(NO_SUCH_SESSION, reason.encode()[:LONGEST_REASON].decode(errors="ignore"))
            case RateLimitExceeded() | QuotaExceeded():
                self._send(failure(error))
                self.socket.end(TRY_AGAIN_LATER, "too many connections; connect again later")
            case _:
                self._send(failure(error))
                self.socket.end(TRY_AGAIN_LATER, "the session cannot be read now; connect again")

    async def _attach(self) -> State | Stale:
        """Subscribe and read the state; or read that of a replica, while there is no primary.

        Raises SessionNotFound, also for a session of another tenant, and the errors of `Relay.attach`.
        """
        away: SyncKairosError
        if self._opening.away or self._sessions.connection.is_down(SessionKeys.of(self._session_id).session):
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
        return await self._relay.attach(self._session_id, self.socket, self._request.caller.tenant)

    async def _follow_when_possible(self) -> None:
        """Send the state of the primary as soon as there is one again, and everything from there on."""
        repeat = recover(
            first_s=FIRST_AGAIN_S,
            longest_s=LONGEST_AGAIN_S,
            again=lambda error: isinstance(error, SyncKairosError) and not isinstance(error, _NOT_HERE),
        )
        await asyncio.sleep(FIRST_AGAIN_S)
        try:
            state = await repeat(self._attach_to_primary)
        except _NOT_HERE as error:
            self._end_with(error)
            return
        self._send(state_sync(state))
        self._relay.follow(self._session_id, self.socket, state.epoch, state.version)

    async def _answer_all(self) -> None:
        """Answer messages until one side closes the connection."""
        async for text, arrived in self.socket.messages():
            if self._limited and self._too_many(arrived):
                metrics.rate_limited.labels(MESSAGES.name).inc()
                reason = f"too many messages: at most {MESSAGES.count} a minute"
                # The close code is that of a bad token, too. So the error says what was wrong.
                error = RateLimitExceeded(reason, context={"limit": MESSAGES.name})
                self._refused(Action.READ, error)
                self._send(failure(error))
                self.socket.end(POLICY_VIOLATION, reason)
                return
            await self._answer(text, arrived)
        self.socket.end(GOING_AWAY, "the service is shutting down")

    def flooded(self, error: RateLimitExceeded) -> None:
        """Put on record that the client has sent too many frames."""
        self._request.recorded = False
        self._refused(Action.READ, error)

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
        self._request.recorded = False
        try:
            fields = decode(text)
            if isinstance(fields.get("request_id"), str):
                request_id = fields["request_id"]
            message = parse(fields)
            match message:
                case Auth():
                    await self._renew(message, request_id)
                case Ping():
                    self._pong(message, arrived)
                case ClockReport():
                    self._note_clock(message)
                case Reconnect():
                    await self._reconnect(message)
                case Command():
                    await self._carry_out(message)
        except SyncKairosError as error:
            self._refused(Action.READ, error)
            self._send(failure(error, request_id))
        except Exception:
            logger.exception("a message could not be answered", session=self._session_id)
            self._send(failure(InternalError(), request_id))

    async def _carry_out(self, message: Command) -> None:
        """Carry a command out, and answer it."""
        assert self._grant is not None
        call = CommandCall(self._request, message, self._session_id, self._grant, self.socket.lag_ms)
        try:
            with named_as_given(request="request_id"):
                change: Change = await self._commands(call)
        except SyncKairosError as error:
            self._send(failure(error, message.request_id))
        else:
            self._send(msgspec.json.encode(Ack(request_id=message.request_id, version=change.version)))

    def _note_clock(self, report: ClockReport) -> None:
        """Take what the client measured into the metrics."""
        offset_ms = abs(report.offset_ms)
        metrics.client_clock_offset.observe(offset_ms / 1000.0)
        self._count_wrong_clock(wrong=offset_ms > WRONG_CLOCK_MS)

    def _count_wrong_clock(self, *, wrong: bool) -> None:
        metrics.clients_with_wrong_clock.inc(int(wrong) - int(self._clock_is_wrong))
        self._clock_is_wrong = wrong

    def _refused(self, action: Action, error: SyncKairosError) -> None:
        """Put a refusal on record, if the error is one."""
        asked_for = self._session_id or self._request.args.get("session_id")
        on_record.refused(self._request, action, error, asked_for)

    def _pong(self, message: Ping, arrived: float) -> None:
        sent = self._relay.now_ms(self._session_id)
        received = sent - 1000.0 * (monotonic() - arrived)
        self._send(msgspec.json.encode(Pong(t1=message.t1, t2=int(received), t3=int(sent))))

    async def _renew(self, message: Auth, request_id: str | None) -> None:
        """Go on with a newer token. Raises Unauthenticated and Forbidden; then the old one stays.

        Where nobody is asked for a token, every one is taken.
        """
        assert self._grant is not None
        if self._request.context.bearers.required:
            self._grant.renew(await gate.caller_of(self._request, message.token))
        caller = self._request.caller = self._grant.caller
        self.socket.sees_actors = access.sees_actors(caller)
        ends_at = None if caller.ends_at is None else instant(caller.ends_at)
        ack = AuthAck(token_expires_at=ends_at, request_id=UNSET if request_id is None else request_id)
        self._send(msgspec.json.encode(ack))

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
                events = missed if self.socket.sees_actors else map(without_actor, missed)
                self.socket.send(frames((ack, *events)))
                epoch, version = message.epoch, message.last_known_version + len(missed)
            else:
                await limits.take(self._request, limits.READ)
                state = await self._sessions.get(self._session_id, tenant)
                ack = msgspec.json.encode(ReconnectAck(replayed="full"))
                self.socket.send(frames((ack, state_sync(state))))
                epoch, version = state.epoch, state.version
        finally:
            if epoch is not None:
                self._relay.follow(self._session_id, self.socket, epoch, version)
