"""One of the two deployments of a move, and the steps that the function library carries out there.

`lua/functions/moving.lua` says what each step does. All of them may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import msgspec
import structlog

from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.wire import Argument
from synckairos.errors import InternalError

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Clock(Protocol):
    """The clock of a deployment's primaries."""

    def now_ms(self, partition: str) -> float:
        """The time of the partition's primary, now."""

    def uncertainty_ms(self, partition: str) -> float:
        """By how much `now_ms` can be wrong."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that a source has of a session.

    session: JSON for `copy`
    events: the newest events of its log (JSON), oldest first
    given_up: whether the source has given it up already
    """

    session: bytes
    events: Sequence[bytes]
    given_up: bool


class Side:
    """A deployment.

    address: the name that moves have for it, `Settings.redis_address`
    """

    def __init__(self, connection: Connection, clock: Clock, address: str) -> None:
        self.connection = connection
        self.clock = clock
        self.address = address

    async def hold(
        self, session_id: str, move: str, target: str, lease_ms: int, tenant: str | None = None
    ) -> Held:
        """Hold a session for `lease_ms`. Raises SessionNotFound, SessionMoved, SessionMoving."""
        arguments: list[Argument] = ["MOVE", move, "TARGET", target, "LEASE", lease_ms]
        if tenant is not None:
            arguments += ["TENANT", tenant]
        reply = await self._step("sk_move_out", session_id, arguments)
        try:
            session, *events = reply
            return Held(session, events, _decode_session(session).given_up)
        except (TypeError, ValueError, msgspec.MsgspecError):
            _unknown("sk_move_out", reply)

    async def copy(self, session_id: str, move: str, held: Held, shift_ms: int) -> None:
        """Make a copy that does not run; nothing when this move has brought the session here already.

        shift_ms: this deployment's clock minus that of the source

        Raises SessionExists when there is another session with this id.
        """
        await self._step(
            "sk_move_in",
            session_id,
            (
                *(held.session, b"\n".join(held.events)),
                *("MOVE", move, "TARGET", self.address, "SHIFT", shift_ms),
            ),
        )

    async def give_up(self, session_id: str, move: str) -> bytes | None:
        """Give a held session up. Returns the event, None when the source has dropped all of it since.

        Raises SessionNotFound, and ConcurrentModification when this move does not hold it, or not any more.
        """
        reply = await self._step("sk_move_commit", session_id, ("MOVE", move))
        if reply is None or isinstance(reply, bytes):
            return reply
        return _unknown("sk_move_commit", reply)

    async def activate(self, session_id: str, move: str, change: bytes) -> None:
        """Let a copy run. Raises SessionNotFound when there is none of this move."""
        await self._step("sk_move_activate", session_id, (change, "MOVE", move))

    async def finish(self, session_id: str, move: str) -> None:
        """Drop the data of a session that was given up."""
        await self._step("sk_move_finish", session_id, ("MOVE", move))

    async def undo(self, session_id: str, move: str) -> None:
        """Let a held session go on, or remove a copy. Raises SessionMoved when it was given up."""
        await self._step("sk_move_undo", session_id, ("MOVE", move))

    async def _step(self, function: str, session_id: str, arguments: Sequence[Argument]) -> Any:
        return await self.connection.fcall(function, SessionKeys.of(session_id).all, arguments)


class _Session(msgspec.Struct):
    given_up: bool


_decode_session = msgspec.json.Decoder(_Session).decode


def _unknown(function: str, reply: Any) -> NoReturn:
    log.error("the function library replied something unknown", function=function, reply=repr(reply)[:1000])
    raise InternalError(f"{function} replied something this program does not know")
