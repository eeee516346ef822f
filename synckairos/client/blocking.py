"""The client without asyncio: the same names, with calls that block.

    with SyncKairos("http://127.0.0.1:8080") as client, client.session(session_id) as session:
        session.switch()
        for change in session.changes(): ...

One background thread with an event loop does the work of a client and all its sessions. Any number of
threads may use them at once. Callbacks are called in the background thread. They must be quick, and they
cannot make a call that waits. An exception that interrupts a waiting call, as Ctrl-C does, also cancels it.
"""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar, Unpack

from synckairos.client import calls as asyncio_calls
from synckairos.client import changes as asyncio_changes
from synckairos.client import client as asyncio_client
from synckairos.client import handle as asyncio_handle
from synckairos.client import session as asyncio_session
from synckairos.client.calls import SAME, Same
from synckairos.client.config import Config
from synckairos.client.connection import ConnectionState
from synckairos.client.errors import ClientClosed, SyncKairosError
from synckairos.client.face import ClockFace, Due
from synckairos.client.http import Token
from synckairos.client.model import Change, Page, State
from synckairos.client.server_time import MAX_SKEW_MS, ServerTime

__all__ = ["SAME", "Changes", "Handle", "Session", "SyncKairos", "SyncKairosError"]

P = ParamSpec("P")
T = TypeVar("T")
Unsubscribe = Callable[[], None]


class _Portal:
    """A background thread with an event loop, and methods that run code in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="synckairos client", daemon=True)
        self._lock = threading.Lock()
        self._open = True
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and wait for its result."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a callback cannot wait for a call: let another thread make it")
        with self._lock:
            if not self._open:
                work.close()
                raise ClientClosed
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ClientClosed from None
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the thread. It must not wait. Callbacks, which run there, may use this."""
        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)

        async def called() -> T:
            return function(*args, **kwargs)

        return self.wait(called())

    def close(self) -> None:
        """Cancel all tasks of the thread, and end it."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class SyncKairos:
    """A service, by its URL. Use it as `with`, or `close()` it.

    The parameters are those of the asyncio client. A `token` function is called in the background thread.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        reconnect_attempts: float = 10,
        max_skew_ms: float = MAX_SKEW_MS,
    ) -> None:
        self.url = url.rstrip("/")
        self._portal = _Portal()
        try:
            self._client = self._portal.call(
                asyncio_client.SyncKairos,
                url,
                token,
                reconnect_attempts=reconnect_attempts,
                max_skew_ms=max_skew_ms,
            )
        except BaseException:
            self._portal.close()
            raise
        self.time = Time(self._portal, self._client.time)
        """The server's time, as far as it is known."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all sessions and connections, and end the thread. Calls that wait raise ClientClosed."""
        try:
            with suppress(ClientClosed):  # it was closed before
                self._portal.wait(self._client.close())
        finally:
            self._portal.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Any:
        """Make any call of the API; see the asyncio client."""
        return self._portal.wait(
            self._client.request(
                method, path, body, params=params, idempotency_key=idempotency_key, if_match=if_match
            )
        )

    def create(self, config: Config | Mapping[str, Any] | None = None, /, **fields: Unpack[Config]) -> State:
        """Create a session from a config, given as an object or by its fields. `preset` fills in the rest."""
        return self._portal.wait(self._client.create(config, **fields))

    def get(self, session_id: str) -> State:
        """Read a session, without following it."""
        return self._portal.wait(self._client.get(session_id))

    def list(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """A page of sessions, newest first. `cursor` is the `next_cursor` of the page before.

        tag: only sessions that have it in `metadata["tags"]`
        """
        return self._portal.wait(self._client.list(status=status, tag=tag, limit=limit, cursor=cursor))

    def presets(self) -> builtins.list[dict[str, Any]]:
        """The presets: configs that the service has by name, with a description of each."""
        return self._portal.wait(self._client.presets())

    def session(self, session_id: str) -> Session:
        """Follow a session. It starts to connect at once, and `with` waits for the first state."""
        return Session(self._portal, self._portal.call(self._client.session, session_id))

    def handle(self, session_id: str) -> Handle:
        """A session for a backend that holds no socket: the same calls over HTTP, and nothing to close."""
        return Handle(self._portal, self._portal.call(self._client.handle, session_id))

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Unsubscribe:
        """Have `fn(error)` called for each error that no call raises. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._client.on_error, fn))

    def sync_time(self) -> Time:
        """Measure the server's time now, with five samples. Sessions also do this by themselves."""
        self._portal.wait(self._client.sync_time())
        return self.time


class Time:
    """The server's clock (ms); see `ServerTime`."""

    def __init__(self, portal: _Portal, time: ServerTime) -> None:
        self._portal = portal
        self._time = time

    def now_ms(self) -> float | None:
        """The server's time now. It never goes back. None until it is known."""
        return self._portal.call(self._time.now_ms)

    @property
    def uncertainty_ms(self) -> float:
        """By how much `now_ms` may be wrong, either way; infinite until it is known."""
        return self._portal.call(lambda: self._time.uncertainty_ms)

    @property
    def offset_ms(self) -> float | None:
        """Server time minus this machine's monotonic clock; None until it is known."""
        return self._time.offset_ms

    @property
    def rtt_ms(self) -> float | None:
        """The round trip of the best sample; None before the first one."""
        return self._time.rtt_ms

    @property
    def skew_ms(self) -> float | None:
        """Server time minus this machine's wall clock; None until it is known."""
        return self._time.skew_ms

    @property
    def is_refused(self) -> bool:
        """Whether this machine's clock is so wrong that no clock is shown."""
        return self._time.is_refused

    def on_change(self, fn: Callable[[ServerTime], object]) -> Unsubscribe:
        """Have `fn` called after each measurement. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._time.on_change, fn))


class _Calls:
    """The calls of a session over HTTP. Each returns the change that it made; see the asyncio class."""

    def __init__(self, portal: _Portal, calls: asyncio_calls.Calls) -> None:
        self._portal = portal
        self._calls = calls
        self.id = calls.id
        """The session's id."""

    def start(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """Start a pending session."""
        return self._portal.wait(
            self._calls.start(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def complete(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """End the session as completed."""
        return self._portal.wait(
            self._calls.complete(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def cancel(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """End the session as cancelled."""
        return self._portal.wait(
            self._calls.cancel(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def takeback(
        self,
        turns: int = 1,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Undo the last turns, at most 16."""
        return self._portal.wait(
            self._calls.takeback(turns, expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def turn(
        self,
        participant_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Say whose turn it is, while the session is pending or paused."""
        return self._portal.wait(
            self._calls.turn(
                participant_id, expected_version=expected_version, idempotency_key=idempotency_key
            )
        )

    def reopen(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """Let a session that is over go on: it is paused."""
        return self._portal.wait(
            self._calls.reopen(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def reset(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """Begin the session again: it is pending, as its config has it."""
        return self._portal.wait(
            self._calls.reset(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def schedule(
        self,
        *,
        starts_at_ms: int | Same | None = SAME,
        ends_at_ms: int | Same | None = SAME,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Say when the session starts and ends by itself (server ms). None takes a moment back."""
        return self._portal.wait(
            self._calls.schedule(
                starts_at_ms=starts_at_ms,
                ends_at_ms=ends_at_ms,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
            )
        )

    def patch_metadata(
        self,
        patch: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Change the metadata by a JSON merge patch. Returns None when that changes nothing."""
        return self._portal.wait(
            self._calls.patch_metadata(
                patch, expected_version=expected_version, idempotency_key=idempotency_key
            )
        )

    def add(
        self,
        owner: str | None,
        ms: int,
        *,
        clock: Literal["total"] | None = None,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Add time to a clock, or take it away. Returns None if `within_ms` or more is left."""
        return self._portal.wait(
            self._calls.add(
                owner,
                ms,
                clock=clock,
                within_ms=within_ms,
                reason=reason,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
            )
        )

    def set(
        self,
        owner: str | None,
        ms: int,
        *,
        clock: Literal["total"] | None = None,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Set the time that is left on a clock. The other parameters are those of `add`."""
        return self._portal.wait(
            self._calls.set(
                owner,
                ms,
                clock=clock,
                within_ms=within_ms,
                reason=reason,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
            )
        )

    def join(
        self,
        participant: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Change:
        """Add a participant, given as in a config."""
        return self._portal.wait(self._calls.join(participant, idempotency_key=idempotency_key, **fields))

    def leave(
        self,
        participant_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Remove a participant."""
        return self._portal.wait(
            self._calls.leave(
                participant_id, expected_version=expected_version, idempotency_key=idempotency_key
            )
        )

    def delete(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> None:
        """Delete the session. It is no error if it does not exist."""
        self._portal.wait(
            self._calls.delete(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store."""
        return self._portal.wait(self._calls.events(since))


class Session(_Calls):
    """A session of the service; see the asyncio class. `SyncKairos.session(id)` makes it, for `with`."""

    def __init__(self, portal: _Portal, session: asyncio_session.Session) -> None:
        super().__init__(portal, session)
        self._session = session

    def __enter__(self) -> Self:
        self._portal.wait(self._session.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal.wait(self._session.__aexit__(kind, error, trace))

    def close(self) -> None:
        """Stop following. Calls that wait for an answer raise ClientClosed."""
        self._portal.wait(self._session.close())

    def ready(self, timeout: float | None = None) -> State:
        """Wait for the first state, at most `timeout` seconds. Raises the reason when there will be none."""
        return self._portal.wait(asyncio.wait_for(self._session.ready(), timeout))

    @property
    def connection(self) -> ConnectionState:
        """The state of the connection: `connecting`, `live`, `reconnecting` or `closed`."""
        return self._session.connection

    @property
    def close_reason(self) -> SyncKairosError | None:
        """Why it is closed; None while it is not, or when `close()` did it."""
        return self._session.close_reason

    @property
    def state(self) -> State:
        """The state, including this client's commands that are not confirmed yet."""
        return self._session.state

    @property
    def stale_ms(self) -> int | None:
        """How old the state may be (ms) while there is no primary and it comes from a replica; else None."""
        return self._session.stale_ms

    @property
    def confirmed(self) -> State | None:
        """The state that the service has confirmed; None before the first one."""
        return self._session.confirmed

    @property
    def pending(self) -> bool:
        """Whether a command of this client is not confirmed yet."""
        return self._session.pending

    def remaining(self, owner: str | None = None) -> float | None:
        """Milliseconds left now on a participant's or group's clock (by id), or on the clock that runs."""
        return self._portal.call(self._session.remaining, owner)

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle (`count_up`: of the session), or all that an owner has used."""
        return self._portal.call(self._session.elapsed, owner)

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """What a clock shows now: the clock of a participant or group (by id), or the one that runs."""
        return self._portal.call(self._session.clock, owner)

    def pause_remaining(self) -> float | None:
        """Milliseconds for which all pauses together may still last; None without such a bound."""
        return self._portal.call(self._session.pause_remaining)

    def due(self) -> Due | None:
        """What the session will do by itself next: start, run out of time, end, or go on after a pause."""
        return self._portal.call(self._session.due)

    def changes(self, since: int | None = None, *, timeout: float | None = None) -> Changes:
        """An iterator over the changes from now on, or over those after version `since`. It loses none.

        timeout: how many seconds to wait for each change. Then it raises TimeoutError, and can be continued.
        """
        return Changes(self._portal, self._portal.call(self._session.changes, since), timeout)

    def on_change(self, fn: Callable[[State, Change | None], object]) -> Unsubscribe:
        """Have `fn(state, change)` called whenever `state` changes. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._session.on_change, fn))

    def on_expire(self, fn: Callable[[Change], object]) -> Unsubscribe:
        """Have `fn(change)` called when a clock runs out. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._session.on_expire, fn))

    def on_warning(self, fn: Callable[[Change], object]) -> Unsubscribe:
        """Have `fn(change)` called for each warning. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._session.on_warning, fn))

    def on_connection(self, fn: Callable[[ConnectionState], object]) -> Unsubscribe:
        """Have `fn(connection)` called whenever `connection` changes. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._session.on_connection, fn))

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Unsubscribe:
        """Have `fn(error)` called for each error that no call raises. Returns a function that ends this."""
        return _ending(self._portal, self._portal.call(self._session.on_error, fn))

    def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """End the running cycle and start the next one."""
        return self._portal.wait(
            self._session.switch(next=next, current=current, expected_version=expected_version)
        )

    def pause(self, *, counted: bool = True, expected_version: int | None = None) -> Change:
        """Stop the clock."""
        return self._portal.wait(self._session.pause(counted=counted, expected_version=expected_version))

    def resume(self, *, expected_version: int | None = None) -> Change:
        """Let the clock run on."""
        return self._portal.wait(self._session.resume(expected_version=expected_version))

    def over(self, *, timeout: float | None = None) -> State:
        """Wait until the session is over. Returns its final state, at once when it was over before."""
        return self._portal.wait(self._session.over(timeout=timeout))


class Handle(_Calls):
    """A session without a connection; see the asyncio class. `SyncKairos.handle(id)` makes it."""

    def __init__(self, portal: _Portal, handle: asyncio_handle.Handle) -> None:
        super().__init__(portal, handle)
        self._handle = handle

    def get(self) -> State:
        """The session's state."""
        return self._portal.wait(self._handle.get())

    def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """End the running cycle and start the next one."""
        return self._portal.wait(
            self._handle.switch(
                next=next,
                current=current,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
            )
        )

    def pause(
        self,
        *,
        counted: bool = True,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Stop the clock."""
        return self._portal.wait(
            self._handle.pause(
                counted=counted, expected_version=expected_version, idempotency_key=idempotency_key
            )
        )

    def resume(self, *, expected_version: int | None = None, idempotency_key: str | None = None) -> Change:
        """Let the clock run on."""
        return self._portal.wait(
            self._handle.resume(expected_version=expected_version, idempotency_key=idempotency_key)
        )

    def over(self, *, timeout: float | None = None, every_s: float = asyncio_handle.POLL_S) -> State:
        """Wait until the session is over. Returns its final state, at once when it was over before."""
        return self._portal.wait(self._handle.over(timeout=timeout, every_s=every_s))


class Changes:
    """Iterates over changes in their order, each once, until the session is gone or closed."""

    def __init__(self, portal: _Portal, changes: asyncio_changes.Changes, timeout: float | None) -> None:
        self._portal = portal
        self._changes = changes
        self._timeout = timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        try:
            return self._portal.wait(asyncio.wait_for(self._changes.__anext__(), self._timeout))
        except StopAsyncIteration:
            raise StopIteration from None


def _ending(portal: _Portal, unsubscribe: Unsubscribe) -> Unsubscribe:
    """The same function, but callable from any thread, and also when the client is closed."""

    def end() -> None:
        with suppress(ClientClosed):  # a closed client calls no callbacks any more
            portal.call(unsubscribe)

    return end
