"""One session, followed over a WebSocket: its state, its clocks, its changes, and what can be done to it."""

from __future__ import annotations

import asyncio
import math
import random
import uuid
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from synckairos.client import face, predict
from synckairos.client.callbacks import Callbacks, logger
from synckairos.client.changes import Changes
from synckairos.client.errors import (
    ClientClosed,
    ConnectionLost,
    NetworkTimeout,
    RateLimitExceeded,
    SessionNotFound,
    SyncKairosError,
    Unauthenticated,
    UnexpectedAnswer,
    from_answer,
)
from synckairos.client.face import ClockFace
from synckairos.client.http import LONGEST_PAUSE_S, failure, is_loopback, part, token_of
from synckairos.client.model import Change, Json, State, instant_ms, read_change, read_state, synced
from synckairos.client.view import View, adopted, merged

if TYPE_CHECKING:
    from synckairos.client.client import SyncKairos

Connection = Literal["connecting", "live", "reconnecting", "closed"]

RECONNECT_AFTER_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before the attempts to connect again; the last one for all that follow."""
ANSWER_S = 5.0
"""How long the service may take to answer a message before the connection counts as broken."""
AWAKE_S = 3.0
"""The same after the machine slept."""
KEEPALIVE_S = 10.0
"""How often a quiet connection is asked whether it is still there, and how long it may take to say so."""
CAUGHT_UP_S = 1.0
"""How long a change that was made may take to arrive as an event before it is asked for."""
EVENT_PATIENCE_S = 2.0
"""How long a call that made a change waits for its event, so that the state shows it."""
RECONCILE_RATE = 0.25
RECONCILE_MS = 1000.0
"""A clock that was foreseen to run from a little off is brought right by running it so much off its rate; one
that was further off is right at once.
"""
COMMAND_TRIES = 4
"""How often a command is sent that gets no answer, or that the service cannot carry out for now."""
GAP_TRIES = 3
"""How often the events after one version are asked for over one connection."""
CONNECT_S = 10.0
"""How long a handshake may take."""
STATE_S = 10.0
"""How long after it the state may take."""
LONGEST_WAIT_S = 60.0
"""A connection is tried again after so long at the latest, whatever `Retry-After` says."""
MAX_MESSAGE = 16 * 2**20
SUBPROTOCOL = "synckairos.v1"
EVENTS = frozenset({"STATE_UPDATE", "TIME_WARNING", "TIME_EXPIRED", "SESSION_DELETED"})
NO_SUCH_SESSION = 4404
POLICY_VIOLATION = 1008


@dataclass(eq=False)
class _Command:
    """SWITCH, PAUSE or RESUME on its way."""

    kind: str
    fields: Json
    answer: asyncio.Future[int]
    at_ms: float | None
    """The server time at which it will be carried out, as far as can be said."""
    current: str | None
    cycle_count: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    waiting: int = 0
    """How many calls wait for its answer."""
    tries: int = 1
    unanswered: int = 0
    """How many times there was no answer in time."""
    version: int | None = None
    """What the service says that it made."""
    timer: asyncio.TimerHandle | None = None
    """What happens if nothing comes, or is tried again."""

    def message(self) -> Json:
        return {"type": self.kind, "request_id": self.request_id, **self.fields}

    def later(self, timer: asyncio.TimerHandle | None) -> None:
        """This is to happen later instead of what was."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def predicted(self, view: View) -> View | None:
        """What it will make of the view. It was meant for this cycle of this participant, and no other."""
        state = view.state
        if self.at_ms is None or (state.cycle_count, state.active_participant_id) != (
            self.cycle_count,
            self.current,
        ):
            return None
        match self.kind:
            case "SWITCH" if self.fields.get("current_participant_id") in (None, self.current):
                return predict.switched(view, self.at_ms, self.fields.get("next_participant_id"))
            case "PAUSE":
                return predict.paused(view, self.at_ms)
            case "RESUME":
                return predict.resumed(view, self.at_ms)
        return None


class Session:
    """A session of the service. Made by `SyncKairos.session(id)`; use it as `async with`.

    All of it belongs to the event loop it was made in. Callbacks are called there, one after the other; they
    have to be quick.
    """

    def __init__(self, client: SyncKairos, session_id: str) -> None:
        self.id = session_id
        """The session's id."""
        self.connection: Connection = "connecting"
        """How it is connected: `connecting`, `live`, `reconnecting` or `closed`."""
        self.close_reason: SyncKairosError | None = None
        """Why it is closed; None while it is not, or when `close()` did it."""
        self.failure: SyncKairosError | None = None
        """The same where it is closed for something that went wrong: not for a deleted session."""
        self._users = 0
        self._client = client
        self._shown: View | None = None
        self._known: View | None = None
        self._heard_ms = 0.0
        """The local time at which the last message came."""
        self._came_ms = 0.0
        """The local time at which `_known` came."""
        self._shift = (0.0, 0.0)
        """By how much what is shown lags behind (ms), as of a local time: it is absorbed from then on."""
        self._commands: dict[str, _Command] = {}
        self._streams: weakref.WeakSet[Changes] = weakref.WeakSet()
        self._on_change: Callbacks[[State, Change | None]] = Callbacks()
        self._on_expire: Callbacks[[Change]] = Callbacks()
        self._on_warning: Callbacks[[Change]] = Callbacks()
        self._on_connection: Callbacks[[Connection]] = Callbacks()
        self._on_error: Callbacks[[SyncKairosError]] = Callbacks()
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._ready: asyncio.Future[State] = loop.create_future()
        self._ready.add_done_callback(_looked_at)
        self._versions: set[asyncio.Future[None]] = set()
        self._socket: ClientConnection | None = None
        self._asked = False
        """Whether a RECONNECT is unanswered: until then what comes is not the next change."""
        self._due: asyncio.TimerHandle | None = None
        """What happens if the first state, or what was missed, does not come in time."""
        self._gap = (0, 0)
        """The version after which there was a gap, and how often what follows it was asked for."""
        self._attempts = 0
        """How often in a row it was tried to connect again."""
        self._garbled = 0
        """Connections in a row that ended for a message that is not understood."""
        self._replaces = False
        """The next STATE_SYNC is the answer to a RECONNECT, and counts whatever it says."""
        self._greeted = False
        self._pings: dict[float, asyncio.Future[Json]] = {}
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._task = loop.create_task(self._run(), name=f"synckairos session {session_id}")

    # Where it stands

    @property
    def state(self) -> State:
        """The state, own commands that are not confirmed yet included. Its clocks are as of `server_time_ms`.

        Raises before the first one came: `await ready()`.
        """
        return self._view.state

    @property
    def confirmed(self) -> State | None:
        """The state as the service has confirmed it; None until the first one came."""
        return None if self._known is None else self._known.state

    @property
    def pending(self) -> bool:
        """Whether an own command is not confirmed yet."""
        return bool(self._commands)

    async def ready(self) -> State:
        """Wait for the first state. Raises why there will be none, as SessionNotFound."""
        return await asyncio.shield(self._ready)

    def remaining(self, owner: str | None = None) -> float | None:
        """Milliseconds left now: of a participant's or group's clock (id), or of the one that runs.

        None: there is no such clock, it has no end, or the server's time is refused. Negative in overtime.
        """
        view, now = self._view, self._now()
        return None if now is None else face.remaining(view, now, _folded(owner))

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle, pauses left out; in `count_up` of the session.

        owner: all that this participant or group used, the running cycle included; None for a stranger
        """
        view, now = self._view, self._now()
        return None if now is None else face.elapsed(view, now, _folded(owner))

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """What a clock shows now: a participant's or group's (id), or the one that runs.

        None: there is no such clock, or the server's time is refused.
        """
        view, now = self._view, self._now()
        return None if now is None else face.clock(view, now, _folded(owner))

    @property
    def _view(self) -> View:
        if self._shown is None:
            raise self.close_reason or RuntimeError("the session's state is not known yet: await ready()")
        return self._shown

    def _now(self) -> float | None:
        """The server's time for what is shown, never before the state shown; None where time is refused."""
        shown = self._shown
        if shown is None or self._client.time.is_refused:
            return None
        return max(shown.state.server_time_ms, self._server_now() - self._lag())

    def _server_now(self) -> float:
        """Until the server's time was measured, the newest state says what it was when that came."""
        now = self._client.time.now_ms()
        if now is not None or self._known is None:
            return now or 0.0
        return self._known.state.server_time_ms + self._client.time.monotonic_ms() - self._came_ms

    def _lag(self) -> float:
        lag, since = self._shift
        absorbed = RECONCILE_RATE * (self._client.time.monotonic_ms() - since)
        return math.copysign(max(0.0, abs(lag) - absorbed), lag)

    # What happens

    def changes(self, since: int | None = None) -> Changes:
        """The changes from now on, or those after version `since`, as an async iterator.

        It loses none, ends when the session is gone or closed, and raises what the session failed with. Any
        number may run at once; a slow one holds up nobody (see `Changes`).
        """
        stream = Changes(self, since)
        self._streams.add(stream)
        return stream

    def on_change(self, fn: Callable[[State, Change | None], object]) -> Callable[[], None]:
        """Have `fn(state, change)` called whenever `state` changes; returns what ends that.

        `change` is None when an own command was foreseen or taken back, and when a whole state came.
        """
        return self._on_change.add(fn)

    def on_expire(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called when a clock runs out; returns what ends that."""
        return self._on_expire.add(fn)

    def on_warning(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called for each warning; returns what ends that."""
        return self._on_warning.add(fn)

    def on_connection(self, fn: Callable[[Connection], object]) -> Callable[[], None]:
        """Have `fn(connection)` called whenever `connection` changes; returns what ends that."""
        return self._on_connection.add(fn)

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Callable[[], None]:
        """Have `fn(error)` called for what goes wrong beside the calls; returns what ends that."""
        return self._on_error.add(fn)

    # What can be done, over the socket

    async def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
    ) -> int:
        """End the running cycle and start the next one's. Returns the version that this made.

        next: who is next, instead of the next in rotation
        current: refused unless this participant is active; by default the one whose turn is shown. Two
            switches for one turn are one switch: while the first is not confirmed, the second is the same.
        expected_version: refused unless nothing but warnings happened since

        It is shown at once, and taken back if it is refused. Safe to repeat: over connections that break, it
        is sent with the same request id until the service has answered.
        """
        await self.ready()
        next, current = _folded(next), _folded(current)  # noqa: A001 - the service's word for it
        known = self.confirmed
        for command in self._commands.values():
            if (
                command.kind == "SWITCH"
                and known is not None
                and command.cycle_count == known.cycle_count
                and command.fields.get("next_participant_id") == next
                and current in (None, command.current)
                and command.fields.get("expected_version") == expected_version
            ):
                return await self._answer(command)
        return await self._command(
            "SWITCH",
            current_participant_id=current or self.state.active_participant_id,
            next_participant_id=next,
            expected_version=expected_version,
        )

    async def pause(self, *, expected_version: int | None = None) -> int:
        """Stop the clock. Returns the version that this made."""
        await self.ready()
        return await self._command("PAUSE", expected_version=expected_version)

    async def resume(self, *, expected_version: int | None = None) -> int:
        """Let the clock run on. Returns the version that this made."""
        await self.ready()
        return await self._command("RESUME", expected_version=expected_version)

    # What can be done, over HTTP

    async def start(self, *, expected_version: int | None = None) -> int:
        """Start a pending session. Returns the version that it is at."""
        return await self._transition("start", expected_version)

    async def complete(self, *, expected_version: int | None = None) -> int:
        """End a session that went well. Returns the version that it is at."""
        return await self._transition("complete", expected_version)

    async def cancel(self, *, expected_version: int | None = None) -> int:
        """End a session that did not. Returns the version that it is at."""
        return await self._transition("cancel", expected_version)

    async def add(
        self,
        owner: str | None,
        ms: int,
        *,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> int | None:
        """Give time to a clock, or take it: a participant's or group's (id), or with None the session's.

        Returns the version that this made; None: at least `within_ms` is left, and nothing happened.
        """
        return await self._adjust(
            owner, add_ms=ms, within_ms=within_ms, reason=reason, expected_version=expected_version
        )

    async def set(
        self,
        owner: str | None,
        ms: int,
        *,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> int | None:
        """Have a clock read so much now; the rest as in `add`."""
        return await self._adjust(
            owner, total_time_ms=ms, within_ms=within_ms, reason=reason, expected_version=expected_version
        )

    async def join(self, participant: Mapping[str, Any] | None = None, /, **fields: Any) -> int:
        """Add a participant, as in a config. Returns the version that this made."""
        return await self._change("POST", "/participants", {**(participant or {}), **fields})

    async def leave(self, participant_id: str) -> int:
        """Remove a participant. Returns the version that this made."""
        return await self._change("DELETE", f"/participants/{part(participant_id)}")

    async def delete(self) -> None:
        """Delete the session. Nothing is refused: deleting what is not there is no error."""
        await self._client.request("DELETE", self._path)

    async def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store.

        Raises StorageUnavailable when neither has them all.
        """
        found: list[Change] = []
        while True:
            answer = await self._client.request("GET", f"{self._path}/events", params={"since": since})
            try:
                page = [read_change(event) for event in answer["events"]]
                next_since = int(answer["next_since"])
            except (msgspec.ValidationError, LookupError, TypeError, ValueError) as error:
                raise UnexpectedAnswer(f"events that are not understood: {error!r}") from error
            found += page
            if not page or next_since <= since:
                return found
            since = next_since

    # Open and closed

    async def __aenter__(self) -> Self:
        self._users += 1
        try:
            await self.ready()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users <= 0:
            await self.close()

    async def close(self) -> None:
        """Stop following. What waits for an answer raises ClientClosed."""
        self._close(None)
        self._task.cancel()
        await asyncio.wait([self._task])

    # The socket

    async def _run(self) -> None:
        """Connect, listen, and connect again, until there is a reason not to."""
        try:
            while True:
                wait = await self._connect_once()
                if self.connection == "closed":
                    return
                attempts = self._attempts
                if attempts >= self._client.reconnect_attempts:
                    self._close(
                        ConnectionLost(f"the service could not be reached {attempts + 1} times in a row")
                    )
                    return
                pause = RECONNECT_AFTER_S[min(attempts, len(RECONNECT_AFTER_S) - 1)]
                self._attempts += 1
                await asyncio.sleep(max(pause * (1 - random.random() / 2), wait))
        except Exception as error:  # noqa: BLE001 - nobody else would hear of a bug
            logger.exception("following a session failed")
            self._close(UnexpectedAnswer(f"the client failed: {error!r}"))

    async def _connect_once(self) -> float:
        """One connection, from its handshake to its end. Returns how long to wait at least (seconds)."""
        self._greeted = False
        try:
            token = await token_of(self._client.token)
        except Exception as error:  # noqa: BLE001 - a token function may raise anything
            lost = ConnectionLost(f"no token could be had: {error!r}")
            lost.__cause__ = error
            self._on_error.call(error if isinstance(error, SyncKairosError) else lost)
            return 0.0
        try:
            async with connect(
                f"{self._client.socket_url}?session_id={part(self.id)}",
                additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # plain text by another name
                max_size=MAX_MESSAGE,
                open_timeout=CONNECT_S,
                close_timeout=1.0,
                ping_interval=KEEPALIVE_S,
                ping_timeout=KEEPALIVE_S,
                proxy=None if is_loopback(self._client.url) else True,
            ) as socket:
                self._socket = socket
                self._expect(STATE_S)
                writer = self._loop.create_task(self._write(socket), name=f"{self._task.get_name()}, writing")
                try:
                    await self._listen(socket)
                    self._judge_close(socket.close_code, socket.close_reason or "")
                finally:
                    self._reset()
                    writer.cancel()
                    await asyncio.wait([writer])
        except InvalidStatus as error:
            return self._judge_refusal(error)
        except InvalidURI as error:
            self._close(UnexpectedAnswer(f"this is no address of a service: {error}"))
        except (OSError, WebSocketException, EOFError) as error:  # TimeoutError is an OSError
            self._on_error.call(ConnectionLost(f"the service cannot be reached: {error!r}"))
        return 0.0

    async def _listen(self, socket: ClientConnection) -> None:
        while self.connection != "closed":
            try:
                text = await socket.recv(decode=False)
            except ConnectionClosed:
                self._garbled = 0
                return
            arrived = self._heard_ms = self._client.time.monotonic_ms()
            try:
                self._take(msgspec.json.decode(text), arrived)
            except Exception as error:  # noqa: BLE001 - the service may send anything
                # What is shown may be wrong by now. Another connection begins with the whole state.
                self._garbled += 1
                self._on_error.call(UnexpectedAnswer(f"a message that is not understood: {error!r}"))
                self._abort()
                return

    def _reset(self) -> None:
        """What was under way on a connection ends with it."""
        self._say_connection("connecting" if self._known is None else "reconnecting")
        self._socket = None
        self._outgoing = asyncio.Queue()
        self._asked = False
        self._expected()
        self._gap = (0, 0)
        self._replaces = False
        for ping in self._pings.values():
            ping.cancel()
        self._pings.clear()

    def _judge_close(self, code: int | None, reason: str) -> None:
        """Whether to stay away after a connection was closed."""
        if self.connection == "closed":
            return
        if code == NO_SUCH_SESSION:
            self._close(SessionNotFound(reason or None))
        elif code == POLICY_VIOLATION:
            kind = RateLimitExceeded if self._greeted else Unauthenticated
            self._close(kind(reason or None))

    def _judge_refusal(self, error: InvalidStatus) -> float:
        """What a handshake that was answered otherwise means: seconds to wait, or the end."""
        answer = error.response
        try:
            body = msgspec.json.decode(answer.body or b"null")
        except msgspec.DecodeError:
            body = None
        found = failure(body, answer.status_code, answer.headers.get("retry-after"))
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            self._on_error.call(found)
            return min((found.retry_after_ms or 0) / 1000, LONGEST_WAIT_S)
        self._close(found)
        return 0.0

    async def _write(self, socket: ClientConnection) -> None:
        """Send what is to be sent, in its order."""
        with suppress(ConnectionClosed):
            while True:
                await socket.send(await self._outgoing.get())

    def _send(self, message: Json) -> None:
        """Send a message, or lose it with the connection."""
        if self._socket is not None:
            self._outgoing.put_nowait(msgspec.json.encode({"v": 1, **message}).decode())

    def _deliver(self, command: _Command) -> None:
        """Send a command, and see to it that there is an answer."""
        if self.connection == "live" and command.request_id in self._commands:
            self._send(command.message())
            command.later(self._loop.call_later(ANSWER_S, self._unanswered, command))

    def _unanswered(self, command: _Command) -> None:
        """A connection over which a command gets no answer is replaced; at last it is given up."""
        if self.connection != "live":
            return  # it will be sent again
        command.unanswered += 1
        if command.unanswered < COMMAND_TRIES:
            self._abort()
        elif not command.answer.done():
            command.answer.set_exception(NetworkTimeout("the service does not answer"))
            self._drop(command)

    def _expect(self, seconds: float) -> None:
        """The first state, or what was missed, has to come within so long."""
        self._expected()
        self._due = self._loop.call_later(seconds, self._abort)

    def _expected(self) -> None:
        """It came."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _abort(self) -> None:
        """The connection is of no use any more: the next one will do."""
        if self._socket is not None:
            self._socket.transport.abort()

    # Messages

    def _take(self, message: Json, arrived: float) -> None:
        kind = message["type"]
        if kind in EVENTS:
            self._take_event(message)
        elif kind == "STATE_SYNC":
            self._take_state(read_state(message["payload"]["full_state"]))
        elif kind == "PONG":
            ping = self._pings.pop(message["t1"], None)
            if ping is not None and not ping.done():
                ping.set_result({**message, "t4": arrived})
        elif kind == "ACK":
            self._take_ack(message["request_id"], message["version"])
        elif kind == "ERROR":
            self._take_error(message)
        elif kind == "RECONNECT_ACK":
            self._take_reconnect_ack(message["replayed"])
        elif kind == "CONNECTED":
            self._greeted = True
            self._client.connected()
            # After a message that was not understood, only the whole state will do.
            if self._known is not None and not self._garbled:
                self._ask_for_missed()

    def _take_event(self, message: Json) -> None:
        if message["type"] == "SESSION_DELETED":
            self._take_deletion(message)
            return
        known = self._known
        if known is None or self._asked:
            return
        change, state = read_change(message), known.state
        if change.epoch == state.epoch and change.version <= state.version:
            return
        if change.epoch != state.epoch or change.version != state.version + 1:
            version, asked = self._gap
            self._gap = (state.version, asked + 1 if version == state.version else 1)
            if self._gap[1] > GAP_TRIES:
                raise ValueError("what was missed does not come")
            self._ask_for_missed()
            return
        self._know(merged(known, change))
        self._show(change)
        self._tell(change)

    def _take_deletion(self, message: Json) -> None:
        payload = message["payload"]
        if "event" not in payload:  # a key that vanished made no event
            status = "pending" if self._known is None else self._known.state.status
            payload = {"event": "session.deleted", "status": status, **payload}
        change = read_change({**message, "payload": payload})
        if self._shown is not None:
            self._on_change.call(self._shown.state, change)
        self._tell(change)
        reason = change.payload.reason
        gone = SessionNotFound(f"the session is gone: {reason}", context={"reason": reason})
        self._close(gone, failed=False)

    def _take_state(self, state: State) -> None:
        before = self.confirmed
        if self._asked:
            return  # the greeting: what was missed comes instead of it
        if before is not None and not self._replaces and _is_older(state, before):
            return
        self._replaces = False
        self._know(adopted(state))
        self._show(None)
        if before is not None and (state.epoch, state.version) != (before.epoch, before.version):
            self._tell(synced(state))
        if not self._ready.done():
            self._ready.set_result(state)
        self._now_live()

    def _know(self, view: View) -> None:
        """This is confirmed now."""
        if view.state.status == "running":
            instant_ms(view.state.cycle_started_at or "")  # no clock at all is better than a wrong one
        self._known = view
        self._came_ms = self._client.time.monotonic_ms()
        for command in list(self._commands.values()):
            if command.version is not None and command.version <= view.state.version:
                self._settle(command)
        for waiting in list(self._versions):
            if not waiting.done():
                waiting.set_result(None)

    def _show(self, change: Change | None) -> None:
        """Show what is known with own commands on top of it, and say so where that is something new."""
        view, before = self._known, self._shown
        if view is None:
            return
        for command in self._commands.values():
            view = command.predicted(view) or view
        if change is None and before is not None and _is_same(before.state, view.state):
            return
        self._reconcile(view.state)
        self._shown = view
        self._on_change.call(view.state, change)

    def _reconcile(self, after: State) -> None:
        """A clock that was foreseen to run from a little earlier or later goes on as it is shown.

        One that the prediction did not touch, as a session's at a switch, was right all the time; and so is
        the next cycle's.
        """
        lag = 0.0
        before = None if self._shown is None else self._shown.state
        if (
            before is not None
            and before.cycle_started_at is not None
            and after.cycle_started_at is not None
            and before.cycle_count == after.cycle_count
            and before.active_participant_id == after.active_participant_id
        ):
            off = instant_ms(before.cycle_started_at) - instant_ms(after.cycle_started_at)
            if before.deadline_ms is None or after.deadline_ms is None:
                is_touched = before.time_used_ms == after.time_used_ms
            else:
                is_touched = before.deadline_ms - after.deadline_ms == off
            lag = self._lag() + (off if is_touched else 0.0)
        self._shift = (0.0 if abs(lag) > RECONCILE_MS else lag, self._client.time.monotonic_ms())

    def _tell(self, change: Change) -> None:
        for stream in list(self._streams):
            stream.put(change)
        if change.type == "TIME_EXPIRED":
            self._on_expire.call(change)
        elif change.type == "TIME_WARNING":
            self._on_warning.call(change)

    def _ask_for_missed(self) -> None:
        """Have the service send what is missing. Until it answers, what comes is not the next change."""
        if self._asked or self._known is None:
            return
        self._asked = True
        self._expect(ANSWER_S)
        state = self._known.state
        self._send({"type": "RECONNECT", "last_known_version": state.version, "epoch": state.epoch})

    def _take_reconnect_ack(self, replayed: int | str) -> None:
        self._asked = False
        if replayed == "full":
            self._replaces = True
        else:
            self._now_live()

    def _now_live(self) -> None:
        self._expected()
        if self.connection == "live":
            return
        self._attempts = self._garbled
        self._say_connection("live")
        for command in list(self._commands.values()):
            self._deliver(command)

    # Commands

    async def _command(self, kind: str, **fields: Any) -> int:
        if self.connection == "closed":
            raise self.close_reason or ClientClosed()
        given = {name: value for name, value in fields.items() if value is not None}
        last = next(reversed(self._commands.values()), None)
        if last is not None and last.kind == kind != "SWITCH" and last.fields == given:
            return await self._answer(last)
        shown = self.state
        command = _Command(
            kind,
            given,
            self._loop.create_future(),
            # The service hears of it half a round trip from now.
            self._server_now() + (self._client.time.rtt_ms or 0.0) / 2,
            shown.active_participant_id,
            shown.cycle_count,
        )
        command.answer.add_done_callback(_looked_at)
        self._commands[command.request_id] = command
        self._deliver(command)
        self._show(None)
        return await self._answer(command)

    async def _answer(self, command: _Command) -> int:
        """Wait for what comes of a command. One that nobody waits for may be carried out all the same."""
        command.waiting += 1
        try:
            return await asyncio.shield(command.answer)
        finally:
            command.waiting -= 1
            if not command.waiting and not command.answer.done():
                self._drop(command)

    def _drop(self, command: _Command) -> None:
        self._commands.pop(command.request_id, None)
        command.later(None)
        self._show(None)

    def _settle(self, command: _Command) -> None:
        self._commands.pop(command.request_id, None)
        command.later(None)
        if not command.answer.done():
            assert command.version is not None
            command.answer.set_result(command.version)

    def _take_ack(self, request_id: str, version: int) -> None:
        command = self._commands.get(request_id)
        if command is None or self._known is None:
            return
        command.version = version
        if self._known.state.version >= version:
            self._settle(command)
            self._show(None)
        else:
            command.later(self._loop.call_later(CAUGHT_UP_S, self._late, command, version))

    def _late(self, command: _Command, version: int) -> None:
        """What a command made has not arrived."""
        command.later(self._loop.call_later(ANSWER_S, self._unanswered, command))
        self._overdue(version)

    def _overdue(self, version: int) -> None:
        """A change that was made has not arrived as an event: ask for it."""
        if self.connection == "live" and self._known is not None and self._known.state.version < version:
            self._ask_for_missed()

    def _take_error(self, message: Json) -> None:
        error = from_answer(message.get("error") or {})
        command = self._commands.get(message.get("request_id") or "")
        if command is None:
            self._on_error.call(error)
            if self._asked:
                self._abort()  # the RECONNECT could not be answered
            return
        if error.status in (503, 504) and command.tries < COMMAND_TRIES:
            wait = min((error.retry_after_ms or 0) / 1000, LONGEST_PAUSE_S)
            pause = max(0.25 * 2**command.tries, wait)
            command.tries += 1
            command.later(self._loop.call_later(pause, self._deliver, command))
            return
        if not command.answer.done():
            command.answer.set_exception(error)
        self._drop(command)

    # Calls

    @property
    def _path(self) -> str:
        return f"/v1/sessions/{part(self.id)}"

    async def _transition(self, name: str, expected_version: int | None) -> int:
        body = None if expected_version is None else {"expected_version": expected_version}
        return await self._change("POST", f"/{name}", body)

    async def _adjust(self, owner: str | None, **fields: Any) -> int | None:
        where = "/clock"
        if owner is not None:
            await self.ready()
            is_group = self.state.group(owner.lower()) is not None
            where = f"/{'groups' if is_group else 'participants'}/{part(owner)}"
        body = {name: value for name, value in fields.items() if value is not None}
        answer = await self._client.request("PATCH", self._path + where, body)
        return None if answer is None else await self._reach(answer)

    async def _change(self, method: str, path: str, body: Any = None) -> int:
        return await self._reach(await self._client.request(method, self._path + path, body))

    async def _reach(self, answer: Any) -> int:
        """Wait until the state shows what a call has made, as long as that can be expected. Its version."""
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(version, int):
            raise UnexpectedAnswer("an answer without a version")
        end = self._loop.time() + EVENT_PATIENCE_S
        overdue = self._loop.call_later(CAUGHT_UP_S, self._overdue, version)
        try:
            while (
                self.connection == "live" and self._known is not None and self._known.state.version < version
            ):
                left = end - self._loop.time()
                if left <= 0:
                    break
                waiting: asyncio.Future[None] = self._loop.create_future()
                self._versions.add(waiting)
                try:
                    await asyncio.wait([waiting], timeout=left)
                finally:
                    self._versions.discard(waiting)
        finally:
            overdue.cancel()
        return version

    async def ping(self) -> tuple[float, float, float, float]:
        """Ask for the server's time: t1 to t4. Raises ConnectionLost when there is no answer."""
        if self.connection != "live":
            raise ConnectionLost
        t1 = self._client.time.monotonic_ms()
        answer: asyncio.Future[Json] = self._loop.create_future()
        self._pings[t1] = answer
        self._send({"type": "PING", "t1": t1})
        try:
            await asyncio.wait([answer], timeout=ANSWER_S)
        finally:
            self._pings.pop(t1, None)
        if not answer.done():
            self._abort()
            raise ConnectionLost
        if answer.cancelled():
            raise ConnectionLost
        pong = answer.result()
        return t1, pong["t2"], pong["t3"], pong["t4"]

    def wake(self) -> None:
        """The machine slept: see to it that the connection is still there."""
        socket, sent = self._socket, self._client.time.monotonic_ms()

        def look() -> None:
            if self._socket is socket and self._heard_ms < sent:
                self._abort()

        if self.connection == "live":
            self._send({"type": "PING", "t1": sent})
            self._loop.call_later(AWAKE_S, look)

    def tell_clock(self, skew_ms: float, rtt_ms: float, uncertainty_ms: float) -> None:
        """Tell the service how far this machine's clock is off, for its metrics."""
        found = {"offset_ms": skew_ms, "rtt_ms": rtt_ms, "uncertainty_ms": uncertainty_ms}
        self._send({"type": "CLOCK", **{name: round(ms, 3) for name, ms in found.items()}})

    def report(self, error: SyncKairosError) -> None:
        """Tell whoever listens to errors."""
        self._on_error.call(error)

    def _say_connection(self, connection: Connection) -> None:
        if self.connection not in (connection, "closed"):
            self.connection = connection
            self._on_connection.call(connection)

    def _close(self, reason: SyncKairosError | None, *, failed: bool = True) -> None:
        if self.connection == "closed":
            return
        self.close_reason = reason
        self.failure = reason if failed else None
        self._client.forget(self)
        self._say_connection("closed")
        error = reason or ClientClosed()
        if not self._ready.done():
            self._ready.set_exception(error)
        for command in list(self._commands.values()):
            if not command.answer.done():
                command.answer.set_exception(error)
            command.later(None)
        self._commands.clear()
        self._show(None)
        for waiting in list(self._versions):
            if not waiting.done():
                waiting.set_result(None)
        for stream in list(self._streams):
            stream.end()
        if reason is not None:
            self.report(reason)


def _is_older(state: State, than: State) -> bool:
    if state.epoch == than.epoch:
        return state.version < than.version
    try:
        return int(state.epoch) < int(than.epoch)
    except ValueError:
        return False


def _is_same(one: State, other: State) -> bool:
    """Whether two states say the same: what was foreseen anew from the same state does."""
    return one is other or (
        (one.version, one.epoch, one.cycle_count, one.status)
        == (other.version, other.epoch, other.cycle_count, other.status)
        and one.cycle_started_at == other.cycle_started_at
        and one.active_participant_id == other.active_participant_id
    )


def _folded(owner: str | None) -> str | None:
    return None if owner is None else owner.lower()


def _looked_at(future: asyncio.Future[Any]) -> None:
    """An error that nobody waits for is no news: `close_reason` and `on_error` have it."""
    if not future.cancelled():
        future.exception()
