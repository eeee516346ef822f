"""A command of a socket, as it goes through the chain: SWITCH, PAUSE or RESUME."""

from __future__ import annotations

from time import perf_counter
from typing import Any, ClassVar

from synckairos import metrics
from synckairos.api import limits
from synckairos.api.calls import ApiCall
from synckairos.api.request import ApiRequest
from synckairos.api.websocket.grant import Grant
from synckairos.api.websocket.messages import Command, Pause, Resume, Switch
from synckairos.auth.access import Action
from synckairos.chain.call import Kind
from synckairos.core.model import Change, Options
from synckairos.errors import SyncKairosError

_ACTIONS = {Switch: Action.SWITCH, Pause: Action.PAUSE, Resume: Action.RESUME}
"""What each command does."""


class CommandCall(ApiCall):
    """A command over a socket.

    lag_ms: the network lag that the server measured on this connection
    player: the participant as whom the library has to judge it, once it was let in; see `access.permit`
    """

    __slots__ = ("_grant", "lag_ms", "message", "player")

    kind: ClassVar = Kind.COMMAND

    def __init__(
        self, request: ApiRequest, message: Command, session_id: str, grant: Grant, lag_ms: int | None
    ) -> None:
        action = _ACTIONS[type(message)]
        limit = limits.SWITCH if isinstance(message, Switch) else limits.CHANGE
        super().__init__(request, action, limit, session_id)
        self.message = message
        self.lag_ms = lag_ms
        self._grant = grant
        self.player: str | None = None

    @property
    def name(self) -> str:
        """The message's type."""
        return type(self.message).__name__.upper()

    @property
    def request_id(self) -> str:
        """That of the message."""
        return self.message.request_id

    def attributes(self) -> dict[str, str | int]:
        """The ids, and where sockets are opened."""
        return {"http.route": "/ws", **super().attributes()}

    async def permit(self) -> None:
        """By the token of the socket, as it is now."""
        self.player = self._grant.permit(self.action)

    def count(self, _result: Change | None, error: SyncKairosError | None, /) -> None:
        """In the histogram of commands."""
        code = "ok" if error is None else error.code
        metrics.websocket_commands.labels(self.name, code).observe(perf_counter() - self.started)

    def described(self) -> dict[str, Any]:
        """The ids, the type and the session."""
        return {
            "request_id": self.request_id,
            "trace_id": self.request.trace_id,
            "type": self.name,
            "session": self.session_id,
        }


async def carry_out(call: CommandCall) -> Change:
    """Carries a command out, once it was let in."""
    message, caller = call.message, call.request.caller
    options = Options(
        tenant=caller.tenant,
        version=message.expected_version,
        player=call.player,
        actor=caller.actor,
        trace=call.request.trace_id,
        traceparent=call.request.traceparent,
        request=message.request_id,
    )
    sessions = call.request.context.sessions
    match message:
        case Switch():
            return await limits.switch(
                call.request,
                call.session_id,
                next=message.next_participant_id,
                current=message.current_participant_id,
                # The lag is measured on this connection. Over HTTP it cannot be measured, and a client
                # could claim any lag, so a switch over HTTP gets no credit. A backend that knows its
                # players' lag can pass it to `sk_switch` itself.
                lag_ms=call.lag_ms,
                options=options,
            )
        case Pause():
            return await sessions.pause(call.session_id, options)
        case _:
            return await sessions.resume(call.session_id, options)
