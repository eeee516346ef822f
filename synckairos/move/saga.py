"""The move of sessions, as a saga: each session takes five steps, and before the third all can be undone.

1. The source holds the session.
2. The target gets a copy that does not run.
3. The source gives the session up. This one write decides where the session is.
4. The target's copy runs.
5. The source drops its data, and keeps a mark that says where the session went.

A mover that dies before the third step leaves a session that goes on at the source by itself when the hold
ends. After it there is only the way forward, and the source keeps the data until the target runs the session.
So a session is in exactly one place, whoever dies when. `Mover.move` takes all steps again, from whatever was
left behind, and `Mover.take_back` undoes what can be undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

import structlog

from synckairos.core.keys import partition
from synckairos.errors import (
    ConcurrentModification,
    NotReplicated,
    SessionExists,
    SessionMoved,
    SessionMoving,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    ValidationError,
)
from synckairos.move.record import GivenUp, Record, RecordError, Step
from synckairos.move.side import Held, Side
from synckairos.recover import recover

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

LEASE_MS = 5_000
"""How long a session is held without its mover. A move takes some milliseconds of it."""
PATIENCE_S = 30.0
"""How long a server may be away before a session is left as it is."""
TRIES = 3
"""How often a session is held, when the holds end before it can be given up."""

_AWAY = (StorageUnavailable, NotReplicated, SessionMoving)
"""What passes: a step that failed with one of these is taken again."""


@dataclass(slots=True)
class Outcome:
    """The result of a move so far.

    pauses_s: for how long each session could not be changed
    failed: by session, why it stays at the source
    unsettled: by session, why it is not known or not done; the move has to be resumed or aborted
    """

    moved: int = 0
    undone: int = 0
    gone: int = 0
    pauses_s: list[float] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unsettled: dict[str, str] = field(default_factory=dict)


class Mover:
    """Moves sessions from one deployment to another.

    tenant: only sessions of this tenant are moved, if given
    patience_s: how long a server may be away before a session is left as it is
    """

    def __init__(
        self,
        source: Side,
        target: Side,
        record: Record,
        *,
        tenant: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.outcome = Outcome()
        self._source = source
        self._target = target
        self._record = record
        self._move = record.heading.move
        self._tenant = tenant
        self._patience_s = patience_s
        self._stopped = False

    def stop(self) -> None:
        """Begin with no further session. Those that are under way are brought to their end."""
        self._stopped = True

    async def move_all(self, sessions: Iterable[str], at_once: int, done: Callable[[], None]) -> None:
        """Move sessions, some at a time. `done` is called after each. Raises RecordError."""
        await self._each(sessions, at_once, self.move, done)

    async def take_back_all(self, sessions: Iterable[str], at_once: int, done: Callable[[], None]) -> None:
        """Undo the move of sessions that were not given up, and bring the others to the target."""
        await self._each(sessions, at_once, self.take_back, done)

    async def _each(
        self,
        sessions: Iterable[str],
        at_once: int,
        what: Callable[[str], Awaitable[None]],
        done: Callable[[], None],
    ) -> None:
        left = iter(sessions)
        unwritten: ExceptionGroup[RecordError] | None = None

        async def work() -> None:
            for session_id in left:
                if self._stopped:
                    return
                try:
                    await what(session_id)
                except SyncKairosError as error:
                    log.warning("a session is left as it is", session=session_id, error=repr(error))
                    self.outcome.unsettled[session_id] = error.message
                done()

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(at_once):
                    workers.create_task(work())
        except* RecordError as errors:
            unwritten = errors
        if unwritten is not None:
            raise unwritten.exceptions[0]

    async def move(self, session_id: str) -> None:
        """Take all steps with a session, whatever an earlier mover has left of it.

        When it has to stay at the source, the outcome says why. Raises an error when a server was away for
        too long: then the session is where it is, and can be moved on or taken back later.
        """
        for last in (*[False] * (TRIES - 1), True):
            began = monotonic()
            try:
                held = await self._hold(session_id, self._move)
            except (SessionNotFound, SessionMoved) as error:
                await self._settle_absent(session_id, error, began)
                return
            try:
                if not held.given_up:
                    self._record.note(session_id, Step.HELD)
                    await self._copy(session_id, self._move, held)
                    self._record.note(session_id, Step.COPIED)
                await self._forward(session_id, self._move, began)
                return
            except _AWAY:
                raise
            except SyncKairosError as error:
                if not await self._undo(session_id, began):
                    return
                hold_has_ended = isinstance(error, ConcurrentModification)
                if last or not hold_has_ended:
                    self.outcome.failed[session_id] = error.message
                    return

    async def take_back(self, session_id: str) -> None:
        """Undo the move of a session; when it was given up already, bring it to the target."""
        if await self._undo(session_id, monotonic()):
            self.outcome.undone += 1

    async def _undo(self, session_id: str, began: float) -> bool:
        """Undo a move, first at the source. Returns False when it was given up, and is finished now."""
        if session_id in self._record.given_up:
            try:
                await self._hold(session_id, self._move)
            except SessionNotFound:
                await self._activate_recorded(session_id, self._record.given_up[session_id])
                return False
            except SessionMoved:
                pass  # the source says so again below
        try:
            await self._patiently(lambda: self._source.undo(session_id, self._move))
        except SessionMoved as moved:
            await self._forward(session_id, moved.move, began)
            return False
        await self._patiently(lambda: self._target.undo(session_id, self._move))
        self._record.note(session_id, Step.UNDONE)
        return True

    async def _settle_absent(
        self, session_id: str, error: SessionNotFound | SessionMoved, began: float
    ) -> None:
        """Settle a session that the source does not have any more."""
        if isinstance(error, SessionMoved) and error.moved_to == self._target.address:
            # It was given up by this move, or by an earlier one, whose record may be lost.
            await self._forward(session_id, error.move, began)
            return
        given_up = self._record.given_up.get(session_id)
        if isinstance(error, SessionNotFound) and given_up is not None:
            await self._activate_recorded(session_id, given_up)
            return
        # Where the source has lost the session before it was given up, the copy must not stay.
        await self._patiently(lambda: self._target.undo(session_id, self._move))
        self._record.note(session_id, Step.GONE)
        self.outcome.gone += 1

    async def _hold(self, session_id: str, move: str) -> Held:
        return await self._patiently(
            lambda: self._source.hold(session_id, move, self._target.address, LEASE_MS, self._tenant)
        )

    async def _copy(self, session_id: str, move: str, held: Held) -> None:
        where = partition(session_id)
        shift = round(self._target.clock.now_ms(where) - self._source.clock.now_ms(where))
        await self._patiently(lambda: self._target.copy(session_id, move, held, shift))

    async def _forward(self, session_id: str, move: str, began: float) -> None:
        """Give a held session up, or find that it was given up, and take the steps after that."""
        change = await self._patiently(lambda: self._source.give_up(session_id, move))
        if change is not None:
            self._record.note(session_id, Step.GIVEN_UP, GivenUp(move, change.decode()))
            await self._activate(session_id, move, change)
            self.outcome.pauses_s.append(monotonic() - began)
            self._record.note(session_id, Step.ACTIVATED)
            await self._patiently(lambda: self._source.finish(session_id, move))
        self._record.note(session_id, Step.FINISHED)
        self.outcome.moved += 1

    async def _activate(self, session_id: str, move: str, change: bytes) -> None:
        try:
            await self._patiently(lambda: self._target.activate(session_id, move, change))
        except (SessionNotFound, ValidationError):
            # The target has lost its copy, or has an older one. The source still has the session's data.
            held = await self._hold(session_id, move)
            try:
                await self._copy(session_id, move, held)
                await self._patiently(lambda: self._target.activate(session_id, move, change))
            except SessionExists:
                log.info("the target has restored the session by itself", session=session_id)

    async def _activate_recorded(self, session_id: str, given_up: GivenUp) -> None:
        """Let the copy run of a session that was given up, and that the source has lost since.

        Raises SessionNotFound when the target has lost it, too.
        """
        try:
            change = given_up.change.encode()
            await self._patiently(lambda: self._target.activate(session_id, given_up.move, change))
        except SessionNotFound:
            if self._record.steps[session_id] is not Step.ACTIVATED:
                raise SessionNotFound("the source and the target have both lost it") from None
        self._record.note(session_id, Step.FINISHED)
        self.outcome.moved += 1

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, which is repeated while a server is away."""
        repeat = recover(timeout=self._patience_s, again=lambda error: isinstance(error, _AWAY))
        return await repeat(call)
