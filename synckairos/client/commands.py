"""The commands that go over the socket: SWITCH, PAUSE and RESUME, from the call to the confirmed change.

A command is shown at once, and sent under one request id until the service has answered. It is done when its
`ACK` came and the confirmed state has reached the version that the `ACK` names.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synckairos.client import predict
from synckairos.client.connection import ANSWER_S, Connection
from synckairos.client.errors import NetworkTimeout, SyncKairosError
from synckairos.client.http import LONGEST_PAUSE_S
from synckairos.client.model import Json
from synckairos.client.replica import Replica
from synckairos.client.server_time import ServerTime
from synckairos.client.view import View

TRIES = 4
"""How often a command is sent that gets no answer, or that the service cannot carry out for now."""
EVENT_S = 1.0
"""How long the event of a change that was made may take to arrive before it is asked for."""


@dataclass(eq=False)
class Command:
    """SWITCH, PAUSE or RESUME on its way."""

    kind: str
    fields: Json
    answer: asyncio.Future[int]
    at_ms: float | None
    """The server time at which it will be carried out, as far as can be said."""
    current: str | None
    """Who was active when it was given. It is meant for this cycle of this participant only."""
    cycle_count: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    waiting: int = 0
    """How many calls wait for its answer."""
    tries: int = 1
    unanswered: int = 0
    """How many times there was no answer in time."""
    version: int | None = None
    """The version that it made; None until the service has said so."""
    timer: asyncio.TimerHandle | None = None
    """Of what happens when no answer comes, or of the next try."""

    def message(self) -> Json:
        """As it is sent, the same at every try."""
        return {"type": self.kind, "request_id": self.request_id, **self.fields}

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """This timer instead of the one before."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def predicted(self, view: View) -> View | None:
        """The view after it; None where nothing can be said, or where it was meant for another cycle."""
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
    """The own commands of one session that are not confirmed yet, in their order.

    on_change: called when what is to be shown of them changes
    on_missing_event: called with a version that a command made and whose event has not arrived
    """

    def __init__(
        self,
        connection: Connection,
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
        """What the commands will make of the confirmed view."""
        for command in self._pending.values():
            view = command.predicted(view) or view
        return view

    # From the calls. The first state has to be known.

    async def switch(self, next_id: str | None, current: str | None, expected_version: int | None) -> int:
        """Switch, or wait for the switch of this turn that is on its way. See `Session.switch`."""
        confirmed, shown = self._replica.confirmed, self._replica.shown
        assert confirmed is not None
        assert shown is not None
        for command in self._pending.values():
            if (
                command.kind == "SWITCH"
                and command.cycle_count == confirmed.state.cycle_count
                and command.fields.get("next_participant_id") == next_id
                and current in (None, command.current)
                and command.fields.get("expected_version") == expected_version
            ):
                return await self._wait_for(command)
        return await self.submit(
            "SWITCH",
            current_participant_id=current or shown.state.active_participant_id,
            next_participant_id=next_id,
            expected_version=expected_version,
        )

    async def submit(self, kind: str, **fields: Any) -> int:
        """Show and send a command; fields that are None are left out. Returns the version that it made.

        A PAUSE or RESUME that equals the last command waits for the answer of that one.
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
            # The message reaches the service half a round trip from now.
            self._replica.server_now_ms() + (self._time.rtt_ms or 0.0) / 2,
            shown.state.active_participant_id,
            shown.state.cycle_count,
        )
        command.answer.add_done_callback(mark_retrieved)
        self._pending[command.request_id] = command
        self._send(command)
        self._on_change()
        return await self._wait_for(command)

    # From the session

    def send_all(self) -> None:
        """There is a new connection: send what is not confirmed yet again."""
        for command in list(self._pending.values()):
            self._send(command)

    def finish_up_to(self, version: int) -> None:
        """The confirmed state has reached this version: the commands that made it are done."""
        for command in list(self._pending.values()):
            if command.version is not None and command.version <= version:
                self._finish(command)

    def acknowledge(self, request_id: str, version: int) -> None:
        """The service carried a command out, and it made this version."""
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
        """The service answered a command with an error. Returns False where there is no such command.

        What the service cannot do for now is tried again after a pause.
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
        """The session is closed: all calls that wait raise this, and so do later ones."""
        self._closed = error
        for command in list(self._pending.values()):
            if not command.answer.done():
                command.answer.set_exception(error)
            command.set_timer(None)
        self._pending.clear()

    # One command

    async def _wait_for(self, command: Command) -> int:
        """The version that a command made.

        If the last call that waits is cancelled, the command is taken back here. The service may carry it out
        all the same.
        """
        command.waiting += 1
        try:
            return await asyncio.shield(command.answer)
        finally:
            command.waiting -= 1
            if not command.waiting and not command.answer.done():
                self._drop(command)

    def _send(self, command: Command) -> None:
        """Send a command where the connection is live; otherwise `send_all` does it later."""
        if self._connection.is_live and command.request_id in self._pending:
            self._connection.send(command.message())
            command.set_timer(self._loop.call_later(ANSWER_S, self._miss_answer, command))

    def _miss_answer(self, command: Command) -> None:
        """No answer in time: the connection is replaced. After `TRIES` times the command is given up."""
        if not self._connection.is_live:
            return  # it will be sent again
        command.unanswered += 1
        if command.unanswered < TRIES:
            self._connection.abort()
        elif not command.answer.done():
            command.answer.set_exception(NetworkTimeout("the service does not answer"))
            self._drop(command)

    def _miss_event(self, command: Command, version: int) -> None:
        """The event of the change that a command made has not arrived."""
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
    """Keep asyncio from logging an error that no call waits for: `close_reason` and `on_error` tell it."""
    if not future.cancelled():
        future.exception()
