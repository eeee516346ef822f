"""The commands over the socket: SWITCH, PAUSE and RESUME, from the call to the confirmed change.

The predicted effect of a command is shown at once. The command is sent with the same request id until the
service has answered. It is done when its `ACK` has come and the confirmed state has reached that version.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synckairos.client import predict
from synckairos.client.connection import ANSWER_S, SessionConnection
from synckairos.client.errors import NetworkTimeout, SyncKairosError
from synckairos.client.http import LONGEST_PAUSE_S
from synckairos.client.model import Json
from synckairos.client.replica import Replica
from synckairos.client.server_time import ServerTime
from synckairos.client.view import View

TRIES = 4
"""How often a command is sent when no answer comes, or when the service cannot carry it out at the moment."""
EVENT_S = 1.0
"""How long to wait for the event of a change before asking for it."""


@dataclass(eq=False)
class Command:
    """A SWITCH, PAUSE or RESUME that is not confirmed yet."""

    kind: str
    fields: Json
    answer: asyncio.Future[int]
    at_ms: float | None
    """The server time at which it will probably be carried out; None when that is not known."""
    current: str | None
    """The participant who was active when it was made. It is only meant for that participant's cycle."""
    cycle_count: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    waiting: int = 0
    """How many calls wait for its answer."""
    tries: int = 1
    unanswered: int = 0
    """How many times no answer came in time."""
    version: int | None = None
    """The version that it made; None before the `ACK`."""
    timer: asyncio.TimerHandle | None = None
    """The time limit for the answer, or the time of the next try."""

    def message(self) -> Json:
        """The message to send, which is the same at every try."""
        return {"type": self.kind, "request_id": self.request_id, **self.fields}

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """Replace the timer. The one before is cancelled."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def predicted(self, view: View) -> View | None:
        """The view after this command. None if it cannot be predicted, or was meant for another cycle."""
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


class Commands:
    """This client's commands for one session that are not confirmed yet, in their order.

    on_change: called when the predicted view may have changed
    on_missing_event: called with the version that a command made if its event does not arrive
    """

    def __init__(
        self,
        connection: SessionConnection,
        replica: Replica,
        time: ServerTime,
        *,
        on_change: Callable[[], None],
        on_missing_event: Callable[[int], None],
    ) -> None:
        self._connection = connection
        self._replica = replica
        self._time = time
        self._on_change = on_change
        self._on_missing_event = on_missing_event
        self._pending: dict[str, Command] = {}
        """By request id."""
        self._closed: SyncKairosError | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._pending)

    def predicted(self, view: View) -> View:
        """The confirmed view with the predicted effects of these commands."""
        for command in self._pending.values():
            view = command.predicted(view) or view
        return view

    # Called by the session's methods. The first state has to be known.

    async def switch(self, next_id: str | None, current: str | None, expected_version: int | None) -> int:
        """Switch, or wait for the switch of this turn that was sent already. See `Session.switch`."""
        confirmed, shown = self._replica.confirmed, self._replica.shown
        assert confirmed is not None
        assert shown is not None
        for command in self._pending.values():
            if (
                command.kind == "SWITCH"
                and command.cycle_count == confirmed.state.cycle_count
                and command.fields.get("next_participant_id") == next_id
                and current in (None, command.current)
                and expected_version in (None, command.fields.get("expected_version"))
            ):
                return await self._wait_for(command)
        return await self.submit(
            "SWITCH",
            current_participant_id=current or shown.state.active_participant_id,
            next_participant_id=next_id,
            expected_version=expected_version,
        )

    async def submit(self, kind: str, **fields: Any) -> int:
        """Show and send a command, without fields that are None. Returns the version that it made.

        A PAUSE or RESUME that is the same as the last command waits for that command's answer.
        """
        if self._closed is not None:
            raise self._closed
        given = {name: value for name, value in fields.items() if value is not None}
        last = next(reversed(self._pending.values()), None)
        if last is not None and last.kind == kind != "SWITCH" and last.fields == given:
            return await self._wait_for(last)
        shown = self._replica.shown
        assert shown is not None
        command = Command(
            kind,
            given,
            self._loop.create_future(),
            # The message needs about half a round trip to reach the service.
            self._replica.server_now_ms() + (self._time.rtt_ms or 0.0) / 2,
            shown.state.active_participant_id,
            shown.state.cycle_count,
        )
        command.answer.add_done_callback(mark_retrieved)
        self._pending[command.request_id] = command
        self._send(command)
        self._on_change()
        return await self._wait_for(command)

    # Called by the follower

    def send_all(self) -> None:
        """Send all commands that are not confirmed yet, because there is a new connection."""
        for command in list(self._pending.values()):
            self._send(command)

    def finish_up_to(self, version: int) -> None:
        """Finish the commands that made a version up to this one, which the confirmed state has reached."""
        for command in list(self._pending.values()):
            if command.version is not None and command.version <= version:
                self._finish(command)

    def acknowledge(self, request_id: str, version: int) -> None:
        """Handle an `ACK`: the service has carried out a command, which made this version."""
        command, confirmed = self._pending.get(request_id), self._replica.confirmed
        if command is None or confirmed is None:
            return
        command.version = version
        if confirmed.state.version >= version:
            self._finish(command)
            self._on_change()
        else:
            command.set_timer(self._loop.call_later(EVENT_S, self._miss_event, command, version))

    def refuse(self, request_id: str, error: SyncKairosError) -> bool:
        """Handle an error for a command. Returns False when there is no such command.

        When the service cannot carry out the command at the moment, it is sent again after a pause.
        """
        command = self._pending.get(request_id)
        if command is None:
            return False
        if error.status in (503, 504) and command.tries < TRIES:
            wait = min((error.retry_after_ms or 0) / 1000, LONGEST_PAUSE_S)
            pause = max(0.25 * 2**command.tries, wait)
            command.tries += 1
            command.set_timer(self._loop.call_later(pause, self._send, command))
            return True
        if not command.answer.done():
            command.answer.set_exception(error)
        self._drop(command)
        return True

    def close(self, error: SyncKairosError) -> None:
        """Close. All calls that wait raise this error, and so do later ones."""
        self._closed = error
        for command in list(self._pending.values()):
            if not command.answer.done():
                command.answer.set_exception(error)
            command.set_timer(None)
        self._pending.clear()

    # One command

    async def _wait_for(self, command: Command) -> int:
        """Wait for the version that a command makes.

        When the last call that waits is cancelled, the command is no longer shown or sent again. The service
        may still carry it out.
        """
        command.waiting += 1
        try:
            return await asyncio.shield(command.answer)
        finally:
            command.waiting -= 1
            if not command.waiting and not command.answer.done():
                self._drop(command)

    def _send(self, command: Command) -> None:
        """Send a command if the connection is live. Otherwise `send_all` sends it later."""
        if self._connection.is_live and command.request_id in self._pending:
            self._connection.send(command.message())
            command.set_timer(self._loop.call_later(ANSWER_S, self._miss_answer, command))

    def _miss_answer(self, command: Command) -> None:
        """Replace the connection, as no answer came in time. After `TRIES` times, give up the command."""
        if not self._connection.is_live:
            return  # the next connection sends it again
        command.unanswered += 1
        if command.unanswered < TRIES:
            self._connection.abort()
        elif not command.answer.done():
            command.answer.set_exception(NetworkTimeout("the service does not answer"))
            self._drop(command)

    def _miss_event(self, command: Command, version: int) -> None:
        """Ask for the event of a change that has not arrived."""
        command.set_timer(self._loop.call_later(ANSWER_S, self._miss_answer, command))
        self._on_missing_event(version)

    def _finish(self, command: Command) -> None:
        self._pending.pop(command.request_id, None)
        command.set_timer(None)
        if not command.answer.done():
            assert command.version is not None
            command.answer.set_result(command.version)

    def _drop(self, command: Command) -> None:
        self._pending.pop(command.request_id, None)
        command.set_timer(None)
        self._on_change()


def mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging an error that no call waits for. `close_reason` and `on_error` report it."""
    if not future.cancelled():
        future.exception()
