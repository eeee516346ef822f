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
from typing import Any, ParamSpec, Self, TypeVar

from synckairos.client import changes as asyncio_changes
from synckairos.client import client as asyncio_client
from synckairos.client import session as asyncio_session
from synckairos.client.connection import ConnectionState
from synckairos.client.errors import ClientClosed, SyncKairosError
from synckairos.client.face import ClockFace, Due
from synckairos.client.http import Token
from synckairos.client.model import Change, Page, State
from synckairos.client.server_time import MAX_SKEW_MS, ServerTime

__all__ = ["Changes", "Session", "SyncKairos", "SyncKairosError"]

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

    def create(self, config: Mapping[str, Any] | None = None, /, **fields: Any) -> State:
        """Create a session from a config, given as an object or by its fields. `preset` fills in the rest."""
        return self._portal.wait(self._client.create(config, **fields))

    def get(self, session_id: str) -> State:
        """Read a session, without following it."""
        return self._portal.wait(self._client.get(session_id))

    def list(self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None) -> Page:
        """A page of sessions, newest first. `cursor` is the `next_cursor` of the page before."""
        return self._portal.wait(self._client.list(status=status, limit=limit, cursor=cursor))

    def presets(self) -> builtins.list[dict[str, Any]]:
        """The presets: configs that the service has by name, with a description of each."""
        return self._portal.wait(self._client.presets())

    def session(self, session_id: str) -> Session:
        """Follow a session. It starts to connect at once, and `with` waits for the first state."""
        return Session(self._portal, self._portal.call(self._client.session, session_id))

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


class Session:
    """A session of the service; see the asyncio class. `SyncKairos.session(id)` makes it, for `with`."""

    def __init__(self, portal: _Portal, session: asyncio_session.Session) -> None:
        self._portal = portal
        self._session = session
        self.id = session.id
        """The session's id."""

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
    ) -> int:
        """End the running cycle and start the next one. Returns the version that this made."""
        return self._portal.wait(
            self._session.switch(next=next, current=current, expected_version=expected_version)
        )

    def pause(self, *, expected_version: int | None = None) -> int:
        """Stop the clock. Returns the version that this made."""
        return self._portal.wait(self._session.pause(expected_version=expected_version))

    def resume(self, *, expected_version: int | None = None) -> int:
        """Let the clock run on. Returns the version that this made."""
        return self._portal.wait(self._session.resume(expected_version=expected_version))

    def start(self, *, expected_version: int | None = None) -> int:
        """Start a pending session. Returns its version."""
        return self._portal.wait(self._session.start(expected_version=expected_version))

    def complete(self, *, expected_version: int | None = None) -> int:
        """End the session as completed. Returns its version."""
        return self._portal.wait(self._session.complete(expected_version=expected_version))

    def cancel(self, *, expected_version: int | None = None) -> int:
        """End the session as cancelled. Returns its version."""
        return self._portal.wait(self._session.cancel(expected_version=expected_version))

    def add(
        self,
        owner: str | None,
        ms: int,
        *,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> int | None:
        """Add time to a clock, or take it away. Returns the version; None if `within_ms` or more is left."""
        return self._portal.wait(
            self._session.add(
                owner, ms, within_ms=within_ms, reason=reason, expected_version=expected_version
            )
        )

    def set(
        self,
        owner: str | None,
        ms: int,
        *,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
    ) -> int | None:
        """Set the time that is left on a clock. The other parameters are those of `add`."""
        return self._portal.wait(
            self._session.set(
                owner, ms, within_ms=within_ms, reason=reason, expected_version=expected_version
            )
        )

    def join(self, participant: Mapping[str, Any] | None = None, /, **fields: Any) -> int:
        """Add a participant, given as in a config. Returns the version that this made."""
        return self._portal.wait(self._session.join(participant, **fields))

    def leave(self, participant_id: str) -> int:
        """Remove a participant. Returns the version that this made."""
        return self._portal.wait(self._session.leave(participant_id))

    def delete(self) -> None:
        """Delete the session. It is no error if it does not exist."""
        self._portal.wait(self._session.delete())

    def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store."""
        return self._portal.wait(self._session.events(since))


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
