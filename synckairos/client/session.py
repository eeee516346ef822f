"""One session, followed over a WebSocket: its state, clocks and changes, and the calls that change it.

This is the public class. Its state comes from `follower.py`. Commands go through `commands.py`, and all other
calls over HTTP (`calls.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from synckairos.client import face
from synckairos.client.calls import Calls
from synckairos.client.changes import Changes
from synckairos.client.commands import mark_retrieved
from synckairos.client.connection import ConnectionState
from synckairos.client.errors import ClientClosed, SyncKairosError
from synckairos.client.face import ClockFace, Due
from synckairos.client.follower import Follower
from synckairos.client.model import Change, State
from synckairos.client.service import Service
from synckairos.client.view import View

KEPT_CHANGES = 64
"""How many of its newest changes a session remembers, to return those that its own calls made."""


class Session(Calls):
    """A session of the service. `SyncKairos.session(id)` makes it. Use it as `async with`.

    It belongs to the event loop in which it was made. Callbacks are called there one after the other, and
    must be quick.
    """

    def __init__(
        self,
        service: Service,
        session_id: str,
        *,
        on_greeted: Callable[[], None],
        on_closed: Callable[[Session], None],
    ) -> None:
        super().__init__(service, session_id)
        self._users = 0
        """How many `async with` blocks are open; the last one closes the session."""
        self._follower = Follower(
            service, session_id, on_greeted=on_greeted, on_closed=lambda: on_closed(self)
        )
        self._newest: dict[int, Change] = {}
        """The newest changes, by version."""
        self._follower.on_change.add(self._remember)

    # Its state

    @property
    def connection(self) -> ConnectionState:
        """The state of the connection: `connecting`, `live`, `reconnecting` or `closed`."""
        return self._follower.connection.state

    @property
    def close_reason(self) -> SyncKairosError | None:
        """Why it is closed; None while it is not, or when `close()` did it."""
        return self._follower.close_reason

    @property
    def stale_ms(self) -> int | None:
        """How old the state may be (ms) while there is no primary and it comes from a replica; else None."""
        return self._follower.stale_ms

    @property
    def state(self) -> State:
        """The state, including this client's commands that are not confirmed yet.

        Its clocks have their values at `server_time_ms`. Before the first state, which `await ready()` waits
        for, it raises an error.
        """
        return self._view.state

    @property
    def confirmed(self) -> State | None:
        """The state that the service has confirmed; None before the first one."""
        known = self._follower.replica.confirmed
        return None if known is None else known.state

    @property
    def pending(self) -> bool:
        """Whether a command of this client is not confirmed yet."""
        return len(self._follower.commands) > 0

    async def ready(self) -> State:
        """Wait for the first state. When there will be none, raises the reason, such as SessionNotFound."""
        return await asyncio.shield(self._follower.first_state)

    def remaining(self, owner: str | None = None) -> float | None:
        """Milliseconds left now on a participant's or group's clock (by id), or on the clock that runs.

        Negative in overtime. Without an owner it is the time until the session's end where that comes first.
        None: there is no such clock, it has no end, or this machine's clock is too wrong.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.remaining(view, now, _folded(owner))

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle without pauses, or in `count_up` of the session.

        owner: with this, all the time that the participant or group used, including the current cycle. The
            result is None if it is not in the session.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.elapsed(view, now, _folded(owner))

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """What a clock shows now: the clock of a participant or group (by id), or the one that runs.

        None: there is no such clock, or this machine's clock is too wrong.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.clock(view, now, _folded(owner))

    def pause_remaining(self) -> float | None:
        """Milliseconds for which all pauses together may still last, a pause that counts deducted up to now.

        None: the session has no such bound, or this machine's clock is too wrong.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.pause_remaining(view, now)

    def due(self) -> Due | None:
        """What the session will do by itself next: start, run out of time, end, or go on after a pause.

        None: nothing, or this machine's clock is too wrong.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.due(view, now)

    @property
    def _view(self) -> View:
        shown = self._follower.replica.shown
        if shown is None:
            raise self.close_reason or RuntimeError("the session's state is not known yet: await ready()")
        return shown

    # Its changes

    def changes(self, since: int | None = None) -> Changes:
        """An async iterator over the changes from now on, or over those after version `since`.

        It loses none, and ends when the session is gone or closed. If the session failed, it raises that
        error. Any number may run at once, and a slow one does not delay the others (see `Changes`).
        """
        return self._follower.changes(since, self.events)

    def on_change(self, fn: Callable[[State, Change | None], object]) -> Callable[[], None]:
        """Have `fn(state, change)` called whenever `state` changes. Returns a function that ends this.

        `change` is None when a command of this client was predicted or taken back, and for a whole state.
        """
        return self._follower.on_change.add(fn)

    def on_expire(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called when a clock runs out. Returns a function that ends this."""
        return self._follower.on_expire.add(fn)

    def on_warning(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called for each warning. Returns a function that ends this."""
        return self._follower.on_warning.add(fn)

    def on_connection(self, fn: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Have `fn(connection)` called whenever `connection` changes. Returns a function that ends this."""
        return self._follower.on_connection.add(fn)

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Callable[[], None]:
        """Have `fn(error)` called for each error that no call raises. Returns a function that ends this."""
        return self._follower.on_error.add(fn)

    # Commands over the socket

    async def switch(
        self,
        *,
        next: str | None = None,  # noqa: A002 - the service's word for it
        current: str | None = None,
        expected_version: int | None = None,
    ) -> Change:
        """End the running cycle and start the next one. Returns the change that this made.

        next: the participant to activate, instead of the next in rotation
        current: refused unless this participant is active; by default the one whose turn is shown. Two
            switches for one turn are one switch: while the first is not confirmed, the second waits for it.
        expected_version: refused unless nothing but warnings happened since this version

        The switch is shown at once, and taken back if it is refused. When the connection breaks, it is sent
        again with the same request id until the service has answered, so it takes effect once.
        """
        await self.ready()
        commands = self._follower.commands
        return await self._commanded(await commands.switch(_folded(next), _folded(current), expected_version))

    async def pause(self, *, counted: bool = True, expected_version: int | None = None) -> Change:
        """Stop the clock. Returns the change that this made.

        counted: False for a pause that takes nothing of the session's bounds of pauses. That one goes over
            HTTP, is not shown before it is confirmed, and is `Forbidden` for players.
        """
        if not counted:
            return await self._pause(counted, expected_version, None)
        await self.ready()
        commands = self._follower.commands
        return await self._commanded(await commands.submit("PAUSE", expected_version=expected_version))

    async def resume(self, *, expected_version: int | None = None) -> Change:
        """Let the clock run on. Returns the change that this made."""
        await self.ready()
        commands = self._follower.commands
        return await self._commanded(await commands.submit("RESUME", expected_version=expected_version))

    async def over(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as `asyncio.wait_for` has it
    ) -> State:
        """Wait until the session is over. Returns its final state, at once when it was over before.

        timeout: after so many seconds TimeoutError is raised

        Raises SessionNotFound when the session is deleted before it is over, and otherwise `close_reason`
        when it is closed.
        """
        found: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        found.add_done_callback(mark_retrieved)

        def look(*_: object) -> None:
            # At every change, because a session that is over may be reset or reopened by the next one.
            confirmed = self.confirmed
            if found.done():
                return
            if confirmed is not None and confirmed.is_over:
                found.set_result(confirmed)
            elif self.connection == "closed":
                found.set_exception(self.close_reason or ClientClosed())

        ends = [self._follower.on_change.add(look), self._follower.on_connection.add(look)]
        try:
            look()
            async with asyncio.timeout(timeout):
                return await found
        finally:
            for end in ends:
                end()

    # Opening and closing

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
        """Stop following. Calls that wait for an answer raise ClientClosed."""
        self._follower.close(None)
        await self._follower.connection.stop()

    # For the calls over HTTP

    async def _reach(self, version: int) -> None:
        await self._follower.wait_for_version(version)

    def _seen(self, _version: int) -> Change | None:
        return self._newest.get(_version)

    async def _is_group(self, _owner: str) -> bool | None:
        await self.ready()
        return self.state.group(_owner.lower()) is not None

    def _remember(self, _: State, change: Change | None) -> None:
        """Keep the newest changes, which calls of this client may have made."""
        if change is not None:
            self._newest[change.version] = change
            while len(self._newest) > KEPT_CHANGES:
                del self._newest[next(iter(self._newest))]

    async def _commanded(self, version: int) -> Change:
        confirmed = self.confirmed
        assert confirmed is not None
        return await self._change(version, confirmed)

    # For the client

    async def ping(self) -> tuple[float, float, float, float]:
        """Ask for the server's time: t1 to t4 (ms). Raises ConnectionLost when there is no answer."""
        return await self._follower.connection.ping()

    def wake(self) -> None:
        """Check the connection after the machine was asleep."""
        self._follower.connection.check_after_sleep()

    def report_clock(self, skew_ms: float, rtt_ms: float, uncertainty_ms: float) -> None:
        """Send the service how wrong this machine's clock is, for its metrics."""
        found = {"offset_ms": skew_ms, "rtt_ms": rtt_ms, "uncertainty_ms": uncertainty_ms}
        self._follower.connection.send(
            {"type": "CLOCK", **{name: round(ms, 3) for name, ms in found.items()}}
        )

    def report(self, error: SyncKairosError) -> None:
        """Call the functions of `on_error`."""
        self._follower.on_error.call(error)


def _folded(owner: str | None) -> str | None:
    """An id in lower case, in which ids are compared."""
    return None if owner is None else owner.lower()
