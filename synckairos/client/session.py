"""One session, followed over a WebSocket: its state, its clocks, its changes, and what can be done to it.

This is the public face. What it shows comes from `follower.py`; commands go through `commands.py`, and all
other calls over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from synckairos.client import face
from synckairos.client.changes import Changes
from synckairos.client.connection import ConnectionState
from synckairos.client.errors import SyncKairosError, UnexpectedAnswer
from synckairos.client.face import ClockFace
from synckairos.client.follower import Follower
from synckairos.client.http import part
from synckairos.client.model import Change, State, read_change
from synckairos.client.service import Service
from synckairos.client.view import View


class Session:
    """A session of the service. Made by `SyncKairos.session(id)`; use it as `async with`.

    All of it belongs to the event loop it was made in. Callbacks are called there, one after the other; they
    have to be quick.
    """

    def __init__(
        self,
        service: Service,
        session_id: str,
        *,
        on_greeted: Callable[[], None],
        on_closed: Callable[[Session], None],
    ) -> None:
        self.id = session_id
        """The session's id."""
        self._service = service
        self._users = 0
        """How many `async with` blocks are open; the last one closes the session."""
        self._follower = Follower(
            service, session_id, on_greeted=on_greeted, on_closed=lambda: on_closed(self)
        )

    # Where it stands

    @property
    def connection(self) -> ConnectionState:
        """How it is connected: `connecting`, `live`, `reconnecting` or `closed`."""
        return self._follower.connection.state

    @property
    def close_reason(self) -> SyncKairosError | None:
        """Why it is closed; None while it is not, or when `close()` did it."""
        return self._follower.close_reason

    @property
    def state(self) -> State:
        """The state, own commands that are not confirmed yet included. Its clocks are as of `server_time_ms`.

        Raises before the first one came: `await ready()`.
        """
        return self._view.state

    @property
    def confirmed(self) -> State | None:
        """The state as the service has confirmed it; None until the first one came."""
        known = self._follower.replica.confirmed
        return None if known is None else known.state

    @property
    def pending(self) -> bool:
        """Whether an own command is not confirmed yet."""
        return len(self._follower.commands) > 0

    async def ready(self) -> State:
        """Wait for the first state. Raises why there will be none, as SessionNotFound."""
        return await asyncio.shield(self._follower.first_state)

    def remaining(self, owner: str | None = None) -> float | None:
        """Milliseconds left now: of a participant's or group's clock (id), or of the one that runs.

        None: there is no such clock, it has no end, or the server's time is refused. Negative in overtime.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.remaining(view, now, _folded(owner))

    def elapsed(self, owner: str | None = None) -> float | None:
        """Milliseconds of the current cycle, pauses left out; in `count_up` of the session.

        owner: all that this participant or group used, the running cycle included; None for a stranger
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.elapsed(view, now, _folded(owner))

    def clock(self, owner: str | None = None) -> ClockFace | None:
        """What a clock shows now: a participant's or group's (id), or the one that runs.

        None: there is no such clock, or the server's time is refused.
        """
        view, now = self._view, self._follower.replica.shown_now_ms()
        return None if now is None else face.clock(view, now, _folded(owner))

    @property
    def _view(self) -> View:
        shown = self._follower.replica.shown
        if shown is None:
            raise self.close_reason or RuntimeError("the session's state is not known yet: await ready()")
        return shown

    # What happens

    def changes(self, since: int | None = None) -> Changes:
        """The changes from now on, or those after version `since`, as an async iterator.

        It loses none, ends when the session is gone or closed, and raises what the session failed with. Any
        number may run at once, and a slow one does not delay the others (see `Changes`).
        """
        return self._follower.changes(since, self.events)

    def on_change(self, fn: Callable[[State, Change | None], object]) -> Callable[[], None]:
        """Have `fn(state, change)` called whenever `state` changes; returns what ends that.

        `change` is None when an own command was foreseen or taken back, and when a whole state came.
        """
        return self._follower.on_change.add(fn)

    def on_expire(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called when a clock runs out; returns what ends that."""
        return self._follower.on_expire.add(fn)

    def on_warning(self, fn: Callable[[Change], object]) -> Callable[[], None]:
        """Have `fn(change)` called for each warning; returns what ends that."""
        return self._follower.on_warning.add(fn)

    def on_connection(self, fn: Callable[[ConnectionState], object]) -> Callable[[], None]:
        """Have `fn(connection)` called whenever `connection` changes; returns what ends that."""
        return self._follower.on_connection.add(fn)

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Callable[[], None]:
        """Have `fn(error)` called for each error that no call raises; returns what ends that."""
        return self._follower.on_error.add(fn)

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
        return await self._follower.commands.switch(_folded(next), _folded(current), expected_version)

    async def pause(self, *, expected_version: int | None = None) -> int:
        """Stop the clock. Returns the version that this made."""
        await self.ready()
        return await self._follower.commands.submit("PAUSE", expected_version=expected_version)

    async def resume(self, *, expected_version: int | None = None) -> int:
        """Let the clock run on. Returns the version that this made."""
        await self.ready()
        return await self._follower.commands.submit("RESUME", expected_version=expected_version)

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
        await self._service.request("DELETE", self._path)

    async def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store.

        Raises StorageUnavailable when neither has them all.
        """
        found: list[Change] = []
        while True:
            answer = await self._service.request("GET", f"{self._path}/events", params={"since": since})
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
        self._follower.close(None)
        await self._follower.connection.stop()

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
        answer = await self._service.request("PATCH", self._path + where, body)
        return None if answer is None else await self._reach(answer)

    async def _change(self, method: str, path: str, body: Any = None) -> int:
        return await self._reach(await self._service.request(method, self._path + path, body))

    async def _reach(self, answer: Any) -> int:
        """Wait until the state shows what a call has made, as long as that can be expected. Its version."""
        version = answer.get("version") if isinstance(answer, dict) else None
        if not isinstance(version, int):
            raise UnexpectedAnswer("an answer without a version")
        await self._follower.wait_for_version(version)
        return version

    # For the client

    async def ping(self) -> tuple[float, float, float, float]:
        """Ask for the server's time: t1 to t4 (ms). Raises ConnectionLost when there is no answer."""
        return await self._follower.connection.ping()

    def wake(self) -> None:
        """The machine slept: see to it that the connection is still there."""
        self._follower.connection.check_after_sleep()

    def report_clock(self, skew_ms: float, rtt_ms: float, uncertainty_ms: float) -> None:
        """Tell the service how far this machine's clock is off, for its metrics."""
        found = {"offset_ms": skew_ms, "rtt_ms": rtt_ms, "uncertainty_ms": uncertainty_ms}
        self._follower.connection.send(
            {"type": "CLOCK", **{name: round(ms, 3) for name, ms in found.items()}}
        )

    def report(self, error: SyncKairosError) -> None:
        """Call the functions of `on_error`."""
        self._follower.on_error.call(error)


def _folded(owner: str | None) -> str | None:
    """Ids are compared in lower case."""
    return None if owner is None else owner.lower()
