"""The restorer: brings back what Redis has lost, so that clocks expire although nobody asks for the sessions.

Every process looks once a second for lost partitions (`audit.losses`), and one of all processes restores
their sessions, at a bounded rate. A session that is asked for meanwhile is restored at once by the process
that was asked. Both are safe together.

What counts is the newest that PostgreSQL, or a batch in the audit's queue, says about a session. A batch that
no worker has stored yet is read here as a worker would read it. So nothing waits for the workers, no change
that reached the queue is lost, and a session that has ended in such a batch stays ended.

Some sessions are left out because Redis would not have them any more: PostgreSQL never hears that a key has
aged out. A session in which something is due comes back unless that moment is more than OUTAGE past. Any
other one comes back for as long as Redis would have kept it. What is left out is restored when it is asked
for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError

from synckairos import metrics
from synckairos.audit.jobs import Jobs
from synckairos.audit.losses import LEASE_MS, Loss, Losses, Progress
from synckairos.audit.reading import LIVE
from synckairos.audit.recovery import Position, Recovery
from synckairos.audit.rows import Session, rows
from synckairos.audit.store import Store, StoredSession
from synckairos.core import keys
from synckairos.errors import (
    InternalError,
    NotReplicated,
    StorageUnavailable,
    SyncKairosError,
    error_text,
)
from synckairos.recover import recover
from synckairos.supervision import Backoff, cancel, supervise, together

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOOK_EVERY_S = 1.0
SLICES = 16
"""A look reads the marks of one slice of the partitions. Each slice has partitions of every server."""
RENEW_EVERY_S = 86_400.0
PAGE = 200
"""How many sessions are compared with Redis at once."""
AT_ONCE = 20
"""How many sessions are restored at once. The server answers other calls in between."""
OUTAGE = timedelta(days=7)
"""How long ago something may have been due in a session that is restored."""
KEPT = timedelta(days=1)
"""How long Redis keeps a session in which nothing is due, at least."""
QUEUE_S = 10.0
"""How long the queue's Redis may be away before sessions are restored without what waits there."""
TELL_EVERY_S = 5.0
STOP_S = 1.0

_AWAY = (RedisError, OSError, StorageUnavailable)
"""The errors of a Redis or a PostgreSQL that is away."""


class LeaseLost(Exception):
    """Another process restores now, or Redis was emptied once more."""


class _Due(msgspec.Struct):
    """The moments (server time, ms) at which something is due in a session, from its snapshot."""

    status: str
    deadline_ms: int | None = None
    resumes_at_ms: int | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None

    def last(self) -> datetime | None:
        """The last of them; None when nothing is due."""
        deadline_ms = self.deadline_ms if self.status == "running" else None
        moments = (deadline_ms, self.resumes_at_ms, self.starts_at_ms, self.ends_at_ms)
        last_ms = max((moment for moment in moments if moment is not None), default=None)
        return None if last_ms is None else datetime.fromtimestamp(last_ms / 1000, UTC)


_decode_due = msgspec.json.Decoder(_Due).decode


class Restorer:
    """The restorer of one process.

    rate: how many sessions a second, at most
    ttl_s: how long Redis keeps a session past its end (seconds)
    """

    def __init__(
        self, losses: Losses, store: Store, recovery: Recovery, jobs: Jobs, *, rate: int, ttl_s: int
    ) -> None:
        self._losses = losses
        self._store = store
        self._recovery = recovery
        self._jobs = jobs
        self._rate = rate
        self._kept = max(KEPT, timedelta(seconds=ttl_s))
        self._task: asyncio.Task[None] | None = None
        self._waits = False
        self._refused = False
        self.progress: Progress | None = None
        """How far the restore is, by whichever process; None when there is nothing to restore."""

    @property
    def detail(self) -> str | None:
        """What is going on, for people; None when there is nothing to restore."""
        if self._waits:
            return "Redis may have lost sessions, which are restored when Redis and PostgreSQL answer"
        if self.progress is None:
            return None
        return (
            f"Redis may have lost sessions: {self.progress.looked_at} of {self.progress.total} looked at,"
            f" {self.progress.restored} restored, {self.progress.failed} cannot be restored"
        )

    async def start(self) -> None:
        """Look at once, and from then on in the background."""
        self._task = asyncio.create_task(supervise("restorer", self._run), name="restorer")

    async def stop(self) -> None:
        """Stop. Another process takes over what is under way."""
        if self._task is not None:
            await cancel(self._task)
        await asyncio.to_thread(self._jobs.close)

    async def _run(self) -> None:
        backoff = Backoff(LOOK_EVERY_S / 2)
        renewed: float | None = None
        turn = 0
        while True:
            try:
                if renewed is None or monotonic() - renewed > RENEW_EVERY_S:
                    loss = await self._losses.look(renew=True)
                    renewed = monotonic()
                else:
                    turn = (turn + 1) % SLICES
                    loss = await self._losses.look(keys.PARTITIONS[turn::SLICES])
                    if loss is not None:
                        loss = await self._losses.look()
                if loss is None:
                    self.progress, self._waits = None, False
                elif taken := await self._losses.take_lease(loss):
                    await self._restore(taken)
                else:
                    self.progress, self._waits = await self._losses.progress(loss), False
            except _AWAY as error:
                self._note_failed_look(error)
                await asyncio.sleep(backoff.pause())
                continue
            except LeaseLost:
                logger.warning("a restore was given up: another process restores, or Redis was emptied again")
            backoff.reset()
            await asyncio.sleep(LOOK_EVERY_S)

    def _note_failed_look(self, error: Exception) -> None:
        """Tell of a server that refuses the look, once. That one is away, others tell."""
        if isinstance(error, ResponseError) and not self._refused:
            self._refused = True
            logger.error("Redis refuses the look for lost sessions", error=error_text(error))
        else:
            logger.debug("cannot look for lost sessions now", error=error_text(error))

    async def _restore(self, loss: Loss) -> None:
        """Restore the sessions of these partitions, as the holder of the lease."""
        if not self._waits:
            metrics.restores.inc()
            logger.info(
                "Redis may have lost sessions: looking for them",
                partitions=len(loss.servers),
                without_keys=loss.emptied,
            )
        run = _Run(loss, self._store, self._recovery, rate=self._rate, kept=self._kept)
        self.progress = self._losses.by_this_process()
        try:
            await together(self._keep_lease(loss, run), self._carry_out(loss, run))
        except _AWAY as error:
            if not self._waits:
                logger.warning(
                    "a restore waits for Redis or PostgreSQL", error=error_text(error), **run.counts()
                )
            self._waits = True
            raise
        finally:
            metrics.restore_remaining.set(0)
            with suppress(*_AWAY):
                async with asyncio.timeout(STOP_S):
                    await self._losses.give_lease_back(loss)

    async def _carry_out(self, loss: Loss, run: _Run) -> None:
        await run.all(await self._waiting())
        if not await self._losses.keep_lease(loss, self._tell(run)):
            raise LeaseLost
        if not await self._losses.mark_restored(loss):
            logger.warning("Redis has lost sessions again while they were restored")
        self.progress, self._waits = None, False
        if run.restored or run.failed:
            logger.warning("lost sessions were restored", **run.counts())
        else:
            logger.info("no session was lost", **run.counts())

    async def _keep_lease(self, loss: Loss, run: _Run) -> None:
        """Renew the lease until it is lost, and tell how far the restore is."""
        told = monotonic()
        while True:
            await asyncio.sleep(LEASE_MS / 1000 / 5)
            if not await self._losses.keep_lease(loss, self._tell(run)):
                raise LeaseLost
            if monotonic() - told >= TELL_EVERY_S:
                told = monotonic()
                logger.info("lost sessions are being restored", **run.counts())

    def _tell(self, run: _Run) -> Progress:
        self.progress = self._losses.by_this_process(**run.counts())
        metrics.restore_remaining.set(max(0, run.total - run.looked_at))
        return self.progress

    async def _waiting(self) -> dict[str, _Waiting]:
        """What the batches in the queue say about their sessions."""
        repeat = recover(timeout=QUEUE_S, again=lambda error: isinstance(error, RedisError | OSError))
        try:
            found: dict[str, _Waiting] = await repeat(partial(asyncio.to_thread, _read, self._jobs))
            return found
        except (RedisError, OSError) as error:
            logger.error(
                "the audit's queue does not answer: sessions are restored without what waits there",
                error=error_text(error),
            )
            return {}


class _Run:
    """One restore.

    total: how many sessions the store has as live
    looked_at, restored, failed: see `Progress`
    """

    def __init__(self, loss: Loss, store: Store, recovery: Recovery, *, rate: int, kept: timedelta) -> None:
        self._loss = loss
        self._store = store
        self._recovery = recovery
        self._rate = rate
        self._at_once = max(1, min(AT_ONCE, rate))
        self._kept = kept
        self._begun_at = monotonic()
        self._begun = 0
        self._waiting: dict[str, _Waiting] = {}
        self.total = self.looked_at = self.restored = self.failed = 0

    def counts(self) -> dict[str, int]:
        """All counts, by name."""
        return {
            "total": self.total,
            "looked_at": self.looked_at,
            "restored": self.restored,
            "failed": self.failed,
        }

    async def all(self, waiting: dict[str, _Waiting]) -> None:
        """Restore every session that is missing, those that changed lately first.

        waiting: what the batches that are not stored yet say about their sessions
        """
        self._waiting = waiting
        self._begun_at = monotonic()
        self.total = await self._store.count_live()
        lately = datetime.now(UTC) - OUTAGE
        for changed_after, changed_until in ((lately, None), (None, lately)):
            last = None
            while page := await self._store.live_ids(
                last, PAGE, changed_after=changed_after, changed_until=changed_until
            ):
                await self._look_at(page)
                last = page[-1]
        # What is left is live for the queue alone.
        rest = list(self._waiting)
        for start in range(0, len(rest), PAGE):
            await self._look_at(rest[start : start + PAGE])

    async def _look_at(self, page: Sequence[str]) -> None:
        """Restore those of these sessions that are missing."""
        mine = [session_id for session_id in page if keys.partition(session_id) in self._loss.servers]
        missing = await self._recovery.missing(mine)
        if missing:
            known = await self._recovery.known(missing)
            stored = {session.session_id: session for session in await self._store.sessions(missing)}
            wanted = [
                (session, positions)
                for session_id in missing
                if (positions := known[session_id]) is not None
                and (session := _newest(stored.get(session_id), self._waiting.get(session_id))) is not None
                and self._is_wanted(session)
            ]
            for start in range(0, len(wanted), self._at_once):
                some = wanted[start : start + self._at_once]
                await asyncio.gather(*(self._restore(session, positions) for session, positions in some))
                self._begun += len(some)
                await asyncio.sleep(self._begun_at + self._begun / self._rate - monotonic())
        for session_id in page:
            self._waiting.pop(session_id, None)
        self.looked_at += len(page)

    def _is_wanted(self, session: StoredSession) -> bool:
        """Whether the session was live, and Redis would still have it if nothing had been lost."""
        if session.status not in LIVE or session.snapshot is None:
            return False
        try:
            due = _decode_due(session.snapshot).last()
        except (msgspec.MsgspecError, ValueError, OverflowError):
            return True  # the library judges it, and the log says so
        now = datetime.now(UTC)
        return session.updated_at > now - self._kept if due is None else due > now - OUTAGE

    async def _restore(self, session: StoredSession, known: Iterable[Position]) -> None:
        try:
            restored = await self._recovery.restore(session, known)
            self.restored += restored
        except NotReplicated:
            self.restored += 1  # it is there; should a failover lose it, this is noticed like any loss
        except StorageUnavailable:
            raise
        except SyncKairosError as error:  # one that cannot be restored keeps no other one waiting
            self.failed += 1
            if not isinstance(error, InternalError):  # recovery has logged that one
                logger.error("a session cannot be restored", session=session.session_id, reason=error.message)


@dataclass(slots=True)
class _Waiting:
    """What batches that no worker has stored yet say about a session.

    row: as the store would have it
    moved_to, moved_at: where it has moved last, and the position of that event; None when it did not move
    """

    row: Session
    moved_to: str | None = None
    moved_at: Position = (0, 0)


def _read(jobs: Jobs) -> dict[str, _Waiting]:
    """What the batches in the queue say about each of their sessions."""
    found: dict[str, _Waiting] = {}
    for batch in jobs.waiting():
        made = rows(batch)
        for row in made.sessions():
            known = found.setdefault(row.session_id, _Waiting(row))
            if known.row is not row:
                _add(known.row, row)
        for event in made.events:
            known, position = found[event.session_id], (event.epoch, event.version)
            if event.moved_to is not None and position > known.moved_at:
                known.moved_at, known.moved_to = position, event.moved_to
    return found


def _add(known: Session, other: Session) -> None:
    """Take over from `other` what is newer there, whichever of the two batches was made first."""
    if (other.epoch, other.version) > (known.epoch, known.version):
        known.epoch, known.version = other.epoch, other.version
        known.status, known.updated_at = other.status, other.updated_at
    known.created_epoch = max(known.created_epoch or 0, other.created_epoch or 0) or None
    if other.snapshot is not None and _snapshot_position(other) > _snapshot_position(known):
        known.snapshot, known.tenant_id = other.snapshot, other.tenant_id
        known.snapshot_epoch, known.snapshot_version = other.snapshot_epoch, other.snapshot_version


def _newest(stored: StoredSession | None, waits: _Waiting | None) -> StoredSession | None:
    """A session as the store will have it when the batches that wait are stored."""
    if waits is None:
        return stored
    waiting = waits.row
    if stored is not None and waits.moved_at > (int(stored.epoch), stored.version):
        stored = replace(stored, moved_to=waits.moved_to)
    if stored is None:
        stored = StoredSession(
            waiting.session_id,
            waiting.tenant_id,
            waiting.sync_mode,
            waiting.status,
            str(waiting.epoch),
            waiting.version,
            waiting.created_at,
            waiting.updated_at,
            None,
            None,
            None,
            waits.moved_to,
        )
    elif (waiting.epoch, waiting.version) > (int(stored.epoch), stored.version):
        stored = replace(
            stored,
            status=waiting.status,
            epoch=str(waiting.epoch),
            version=waiting.version,
            updated_at=waiting.updated_at,
        )
    position = int(stored.snapshot_epoch or 0), stored.snapshot_version or 0
    if waiting.snapshot is not None and _snapshot_position(waiting) > position:
        position = _snapshot_position(waiting)
        stored = replace(
            stored,
            tenant_id=waiting.tenant_id,
            snapshot=waiting.snapshot.encode(),
            snapshot_epoch=str(position[0]),
            snapshot_version=position[1],
        )
    if position[0] < (waiting.created_epoch or 0):  # a session that had this id before
        return replace(stored, snapshot=None, snapshot_epoch=None, snapshot_version=None)
    return stored


def _snapshot_position(row: Session) -> Position:
    """Epoch and version of its snapshot; lower than any when it has none."""
    return row.snapshot_epoch or 0, row.snapshot_version or 0
