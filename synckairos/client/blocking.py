"""The client without asyncio: the same names, and calls that wait.

    with SyncKairos("http://127.0.0.1:8080") as client, client.session(session_id) as session:
        session.switch()
        for change in session.changes(): ...

One background thread does the work of a client and all its sessions, with an event loop of its own. Any
number of threads may use them at once. Callbacks are called in that thread; they have to be quick, and cannot
wait for another call. An exception that interrupts a call, as Ctrl-C does, also ends what it waited for.
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
from synckairos.client.face import ClockFace
from synckairos.client.http import Token
from synckairos.client.model import Change, Page, State
from synckairos.client.server_time import MAX_SKEW_MS, ServerTime

__all__ = ["Changes", "Session", "SyncKairos", "SyncKairosError"]

P = ParamSpec("P")
T = TypeVar("T")
Unsubscribe = Callable[[], None]


class _Portal:
    """A thread with an event loop, and the way into it."""

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
        """Have it done there, and wait for what comes of it."""
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
        """Call a function there that does not wait. A callback is there already."""
        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)

        async def called() -> T:
            return function(*args, **kwargs)

        return self.wait(called())

    def close(self) -> None:
        """End the thread, and whatever still runs in it."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class SyncKairos:
    """A service, by its URL. Use it as `with`, or `close()` it.

    The parameters are those of the asyncio one; a `token` function is called in the background thread.
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
        """Make any call; see the asyncio client."""
        return self._portal.wait(
            self._client.request(
                method, path, body, params=params, idempotency_key=idempotency_key, if_match=if_match
            )
        )

    def create(self, config: Mapping[str, Any] | None = None, /, **fields: Any) -> State:
        """Create a session from a config, as an object or by its fields; `preset` fills in the rest."""
        return self._portal.wait(self._client.create(config, **fields))

    def get(self, session_id: str) -> State:
        """Read a session, without following it."""
        return self._portal.wait(self._client.get(session_id))

    def list(self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None) -> Page:
        """Some sessions, newest first; `cursor`: the `next_cursor` of the page before."""
        return self._portal.wait(self._client.list(status=status, limit=limit, cursor=cursor))

    def presets(self) -> builtins.list[dict[str, Any]]:
        """The configs that the service knows by name: what each is for, and what it fills in."""
        return self._portal.wait(self._client.presets())

    def session(self, session_id: str) -> Session:
        """Follow a session. It connects at once; `with` waits for the first state."""
        return Session(self._portal, self._portal.call(self._client.session, session_id))

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Unsubscribe:
        """Have `fn(error)` called for each error that no call raises; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._client.on_error, fn))

    def sync_time(self) -> Time:
        """Find the server's time now, by five samples. Sessions do that by themselves."""
        self._portal.wait(self._client.sync_time())
        return self.time


class Time:
    """The server's clock (ms), as far as it is known; see `ServerTime`."""

    def __init__(self, portal: _Portal, time: ServerTime) -> None:
        self._portal = portal
        self._time = time

    def now_ms(self) -> float | None:
        """The server's time now, as it is shown: it never goes back. None until it is known."""
        return self._portal.call(self._time.now_ms)

    @property
    def uncertainty_ms(self) -> float:
        """How far `now_ms` may be off, either way; infinite until it is known."""
        return self._portal.call(lambda: self._time.uncertainty_ms)

    @property
    def offset_ms(self) -> float | None:
        """Server time less this machine's monotonic clock; None until it is known."""
        return self._time.offset_ms

    @property
    def rtt_ms(self) -> float | None:
        """The round trip of the sample that counts; None until there is one."""
        return self._time.rtt_ms

    @property
    def skew_ms(self) -> float | None:
        """Server time less this machine's wall clock; None until it is known."""
        return self._time.skew_ms

    @property
    def is_refused(self) -> bool:
        """Whether this machine's clock is so far off that no clock is shown."""
        return self._time.is_refused

    def on_change(self, fn: Callable[[ServerTime], object]) -> Unsubscribe:
        """Have `fn` called after each measurement; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._time.on_change, fn))


class Session:
    """A session of the service; see the asyncio one. Made by `SyncKairos.session(id)`; use it as `with`."""

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
        """Stop following. What waits for an answer raises ClientClosed."""
        self._portal.wait(self._session.close())

    def ready(self, timeout: float | None = None) -> State:
        """Wait for the first state, at most `timeout` seconds. Raises why there will be none."""
        return self._portal.wait(asyncio.wait_for(self._session.ready(), timeout))

    @property
    def connection(self) -> ConnectionState:
        """How it is connected: `connecting`, `live`, `reconnecting` or `closed`."""
        return self._session.connection

    @property
    def close_reason(self) -> SyncKairosError | None:
        """Why it is closed; None while it is not, or when `close()` did it."""
        return self._session.close_reason

    @property
    def state(self) -> State:
        """The state, own commands that are not confirmed yet included."""
        return self._session.state

    @property
    def confirmed(self) -> State | None:
        """The state as the service has confirmed it; None until the first one came."""
        return self._session.confirmed

    @property
    def pending(self) -> bool:
        """Whether an own command is not confirmed yet."""
        return self._session.pending

    def remaining(self, owner: str | None = None) -> float | None:
        """Milliseconds left now: of a participant's or group's clock (id), or of the one that runs."""
        return self._portal.call(self._session.remaining, owner)

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle (in `count_up` of the session), or that somebody has used."""
        return self._portal.call(self._session.elapsed, owner)

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """What a clock shows now: a participant's or group's (id), or the one that runs."""
        return self._portal.call(self._session.clock, owner)

    def changes(self, since: int | None = None, *, timeout: float | None = None) -> Changes:
        """The changes from now on, or those after version `since`, as an iterator; none is lost.

        timeout: how long to wait for each, in seconds; then it raises TimeoutError, and may be asked again
        """
        return Changes(self._portal, self._portal.call(self._session.changes, since), timeout)

    def on_change(self, fn: Callable[[State, Change | None], object]) -> Unsubscribe:
        """Have `fn(state, change)` called whenever `state` changes; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._session.on_change, fn))

    def on_expire(self, fn: Callable[[Change], object]) -> Unsubscribe:
        """Have `fn(change)` called when a clock runs out; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._session.on_expire, fn))

    def on_warning(self, fn: Callable[[Change], object]) -> Unsubscribe:
        """Have `fn(change)` called for each warning; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._session.on_warning, fn))

    def on_connection(self, fn: Callable[[ConnectionState], object]) -> Unsubscribe:
        """Have `fn(connection)` called whenever `connection` changes; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._session.on_connection, fn))

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Unsubscribe:
        """Have `fn(error)` called for each error that no call raises; returns what ends that."""
        return _ending(self._portal, self._portal.call(self._session.on_error, fn))

    def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
    ) -> int:
        """End the running cycle and start the next one's. Returns the version that this made."""
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
        """Start a pending session. Returns the version that it is at."""
        return self._portal.wait(self._session.start(expected_version=expected_version))

    def complete(self, *, expected_version: int | None = None) -> int:
        """End a session that went well. Returns the version that it is at."""
        return self._portal.wait(self._session.complete(expected_version=expected_version))

    def cancel(self, *, expected_version: int | None = None) -> int:
        """End a session that did not. Returns the version that it is at."""
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
        """Give time to a clock, or take it. Returns the version; None: at least `within_ms` is left."""
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
        """Have a clock read so much now; the rest as in `add`."""
        return self._portal.wait(
            self._session.set(
                owner, ms, within_ms=within_ms, reason=reason, expected_version=expected_version
            )
        )

    def join(self, participant: Mapping[str, Any] | None = None, /, **fields: Any) -> int:
        """Add a participant, as in a config. Returns the version that this made."""
        return self._portal.wait(self._session.join(participant, **fields))

    def leave(self, participant_id: str) -> int:
        """Remove a participant. Returns the version that this made."""
        return self._portal.wait(self._session.leave(participant_id))

    def delete(self) -> None:
        """Delete the session. Deleting what is not there is no error."""
        self._portal.wait(self._session.delete())

    def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store."""
        return self._portal.wait(self._session.events(since))


class Changes:
    """Changes in their order, each once, until the session is gone or closed."""

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
    """The same, to be called from any thread, and also when the client is closed."""

    def end() -> None:
        with suppress(ClientClosed):  # then nothing is called any more
            portal.call(unsubscribe)

    return end
