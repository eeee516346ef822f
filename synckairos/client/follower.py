"""Follows a session: applies the messages of its connection to the replica, and informs the program.

Events have to come without gaps. When one is missing, the events after the last known version are asked for
with RECONNECT. Until that is answered, other events are dropped, because they are not the next change.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable

from synckairos.client.callbacks import Callbacks
from synckairos.client.changes import Changes
from synckairos.client.commands import EVENT_S, Commands, mark_retrieved
from synckairos.client.connection import ANSWER_S, ConnectionState, SessionConnection
from synckairos.client.errors import ClientClosed, SessionNotFound, SyncKairosError, from_answer
from synckairos.client.model import Change, Json, State, read_change, read_state, synced
from synckairos.client.replica import Replica
from synckairos.client.service import Service
from synckairos.client.view import View, adopted, merged

EVENTS = frozenset({"STATE_UPDATE", "TIME_WARNING", "TIME_EXPIRED", "SESSION_DELETED"})
EVENT_PATIENCE_S = 2.0
"""How long a call that made a change waits for the change's event, so that the state includes it."""
GAP_TRIES = 3
"""How often the events after the same version are asked for over one connection."""


class Follower:
    """Follows one session until `close`.

    on_greeted: called when the service accepts a connection
    on_closed: called once, when this is closed
    """

    def __init__(
        self,
        service: Service,
        session_id: str,
        *,
        on_greeted: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        self.close_reason: SyncKairosError | None = None
        """Why it is closed; None while it is not, or when the program closed it."""
        self.on_change: Callbacks[[State, Change | None]] = Callbacks()
        self.on_expire: Callbacks[[Change]] = Callbacks()
        self.on_warning: Callbacks[[Change]] = Callbacks()
        self.on_connection: Callbacks[[ConnectionState]] = Callbacks()
        self.on_error: Callbacks[[SyncKairosError]] = Callbacks()
        self._on_greeted = on_greeted
        self._on_closed = on_closed
        self.stale_ms: int | None = None
        """How old the state may be, when it comes from a replica because there is no primary."""
        self._failure: SyncKairosError | None = None
        """Like `close_reason`, but None when the session was deleted, because that is no failure."""
        self._streams: weakref.WeakSet[Changes] = weakref.WeakSet()
        self._version_waiters: set[asyncio.Future[None]] = set()
        self._asked = False
        """Whether a RECONNECT is not answered yet."""
        self._gap = (0, 0)
        """The version after which there was a gap, and how often the events after it were asked for."""
        self._replaces = False
        """Whether the next STATE_SYNC answers a RECONNECT. Then it is taken even if it is older."""
        self._loop = asyncio.get_running_loop()
        self.first_state: asyncio.Future[State] = self._loop.create_future()
        self.first_state.add_done_callback(mark_retrieved)
        self.replica = Replica(service.time)
        self.connection = SessionConnection(
            service,
            session_id,
            on_message=self._receive,
            on_state=self.on_connection.call,
            on_disconnect=self._reset,
            on_error=self.on_error.call,
            on_failure=self.close,
        )
        self.commands = Commands(
            self.connection,
            self.replica,
            service.time,
            on_change=self._show,
            on_missing_event=self._ask_for_version,
        )

    def changes(self, since: int | None, read_log: Callable[[int], Awaitable[list[Change]]]) -> Changes:
        """A new iterator; see `Session.changes`."""
        confirmed = self.replica.confirmed
        stream = Changes(None if confirmed is None else confirmed.state, since, read_log)
        if self.connection.state == "closed":
            stream.end(self._failure)
        self._streams.add(stream)
        return stream

    async def wait_for_version(self, version: int) -> None:
        """Wait until the confirmed state has reached this version, for at most EVENT_PATIENCE_S."""
        end = self._loop.time() + EVENT_PATIENCE_S
        missing = self._loop.call_later(EVENT_S, self._ask_for_version, version)
        try:
            while self._lacks(version):
                left = end - self._loop.time()
                if left <= 0:
                    break
                waiter: asyncio.Future[None] = self._loop.create_future()
                self._version_waiters.add(waiter)
                try:
                    await asyncio.wait([waiter], timeout=left)
                finally:
                    self._version_waiters.discard(waiter)
        finally:
            missing.cancel()

    def close(self, reason: SyncKairosError | None, *, failed: bool = True) -> None:
        """Stop following. `failed` says whether the reason is a failure."""
        if self.connection.state == "closed":
            return
        self.close_reason = reason
        self._failure = reason if failed else None
        self._on_closed()
        self.connection.close()
        error = reason or ClientClosed()
        if not self.first_state.done():
            self.first_state.set_exception(error)
        self.commands.close(error)
        self._show()
        self._wake_version_waiters()
        for stream in list(self._streams):
            stream.end(self._failure)
        if reason is not None:
            self.on_error.call(reason)

    # Messages

    def _receive(self, message: Json) -> None:
        kind = message["type"]
        if kind == "SESSION_DELETED":
            self._receive_deletion(message)
        elif kind in EVENTS:
            self._receive_event(message)
        elif kind == "STATE_SYNC":
            stale = message.get("stale")
            age_ms = None if stale is None else int(stale["age_ms"])
            self._receive_state(read_state(message["payload"]["full_state"]), age_ms)
        elif kind == "ACK":
            self.commands.acknowledge(message["request_id"], message["version"])
        elif kind == "ERROR":
            self._receive_error(message)
        elif kind == "RECONNECT_ACK":
            self._receive_reconnect_ack(message["replayed"])
        elif kind == "CONNECTED":
            self._on_greeted()
            if self.replica.confirmed is not None and not self.connection.needs_whole_state:
                self._ask_for_missed()

    def _receive_event(self, message: Json) -> None:
        known = self.replica.confirmed
        if known is None or self._asked:
            return
        change, state = read_change(message), known.state
        if change.epoch == state.epoch and change.version <= state.version:
            return
        if change.epoch != state.epoch or change.version != state.version + 1:
            version, asked = self._gap
            self._gap = (state.version, asked + 1 if version == state.version else 1)
            if self._gap[1] > GAP_TRIES:
                raise ValueError("the missed events do not come")
            self._ask_for_missed()
            return
        self._confirm(merged(known, change))
        self._show(change)
        self._publish(change)

    def _receive_deletion(self, message: Json) -> None:
        payload = message["payload"]
        if "event" not in payload:  # a key that vanished makes no event of the library
            known = self.replica.confirmed
            status = "pending" if known is None else known.state.status
            payload = {"event": "session.deleted", "status": status, **payload}
        change = read_change({**message, "payload": payload})
        if self.replica.shown is not None:
            self.on_change.call(self.replica.shown.state, change)
        self._publish(change)
        reason = change.payload.reason
        gone = SessionNotFound(f"the session is gone: {reason}", context={"reason": reason})
        self.close(gone, failed=False)

    def _receive_state(self, state: State, stale_ms: int | None) -> None:
        if self._asked:
            return  # this is the state of the greeting, and the answer to RECONNECT comes later
        known = self.replica.confirmed
        before = None if known is None else known.state
        if before is not None and not self._replaces and _is_older(state, before):
            return
        self._replaces = False
        was_stale, self.stale_ms = self.stale_ms, stale_ms
        self._confirm(adopted(state))
        self._show(is_news=stale_ms != was_stale)
        if before is not None and (state.epoch, state.version) != (before.epoch, before.version):
            self._publish(synced(state))
        if not self.first_state.done():
            self.first_state.set_result(state)
        self._set_live()

    def _receive_reconnect_ack(self, replayed: int | str) -> None:
        self._asked = False
        if replayed == "full":
            self._replaces = True
        else:
            self.stale_ms = None
            self._set_live()

    def _receive_error(self, message: Json) -> None:
        error = from_answer(message.get("error") or {})
        if self.commands.refuse(message.get("request_id") or "", error):
            return
        self.on_error.call(error)
        if self._asked:
            self.connection.abort()  # the RECONNECT could not be answered

    # The replica, and the callbacks for its changes

    def _confirm(self, view: View) -> None:
        self.replica.confirm(view)
        self.commands.finish_up_to(view.state.version)
        self._wake_version_waiters()

    def _show(self, change: Change | None = None, *, is_news: bool = False) -> None:
        """Show the confirmed state with this client's commands applied. Calls `on_change` if it is new.

        is_news: whether something else about the state is new
        """
        confirmed, before = self.replica.confirmed, self.replica.shown
        if confirmed is None:
            return
        view = self.commands.predicted(confirmed)
        if change is None and not is_news and before is not None and _is_same(before.state, view.state):
            return
        self.replica.show(view)
        self.on_change.call(view.state, change)

    def _publish(self, change: Change) -> None:
        for stream in list(self._streams):
            stream.put(change)
        if change.type == "TIME_EXPIRED":
            self.on_expire.call(change)
        elif change.type == "TIME_WARNING":
            self.on_warning.call(change)

    def _set_live(self) -> None:
        if self.connection.set_live():
            self.commands.send_all()

    def _wake_version_waiters(self) -> None:
        for waiter in list(self._version_waiters):
            if not waiter.done():
                waiter.set_result(None)

    # Missed events

    def _lacks(self, version: int) -> bool:
        """Whether a version exists and has not arrived, although the connection is live."""
        known = self.replica.confirmed
        return self.connection.is_live and known is not None and known.state.version < version

    def _ask_for_version(self, version: int) -> None:
        """Ask for the event of a version if it has not arrived."""
        if self._lacks(version):
            self._ask_for_missed()

    def _ask_for_missed(self) -> None:
        known = self.replica.confirmed
        if self._asked or known is None:
            return
        self._asked = True
        self.connection.require_live(ANSWER_S)
        state = known.state
        self.connection.send({"type": "RECONNECT", "last_known_version": state.version, "epoch": state.epoch})

    def _reset(self) -> None:
        """Forget what was asked for over a socket that has ended."""
        self._asked = False
        self._gap = (0, 0)
        self._replaces = False


def _is_older(state: State, than: State) -> bool:
    if state.epoch == than.epoch:
        return state.version < than.version
    try:
        return int(state.epoch) < int(than.epoch)
    except ValueError:
        return False


def _is_same(one: State, other: State) -> bool:
    """Whether two states are the same for callers, as two predictions from one confirmed state are."""
    return one is other or (
        (one.version, one.epoch, one.cycle_count, one.status)
        == (other.version, other.epoch, other.cycle_count, other.status)
        and one.cycle_started_at == other.cycle_started_at
        and one.active_participant_id == other.active_participant_id
    )
