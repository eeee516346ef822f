"""Recovery: sessions that Redis has lost are restored from the audit store when they are first asked for.

Any number of processes may restore the same session at the same time. The function library carries out the
first restore and refuses the others, and then all of them find the session in Redis.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.audit.others import Others
from synckairos.audit.reading import DELETED, LIVE, ended_state
from synckairos.audit.store import Store, StoredSession
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Envelope, Over, SchemaChoice, decode_summary
from synckairos.errors import (
    InternalError,
    InvalidSessionState,
    SessionExists,
    SessionMoved,
    SessionNotFound,
    StorageUnavailable,
    ValidationError,
)

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Position = tuple[int, int]
"""Epoch and version. Of two positions the greater one is the later one."""

OUTBOX_LOOKED_AT = 200
"""How many of the newest entries of an outbox are searched for the newest event of a lost session."""

_decode_envelope = msgspec.json.Decoder(Envelope).decode


class Recovery:
    """Restores sessions from the audit store.

    address: `Settings.redis_address`. A session that has moved to another Redis is not restored in this one.
    others: other Redis that may have sessions of this store, and then have them alone
    schema_of: says in which schema a restored session is to be stored; without it in that of its snapshot
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        address: str,
        others: Others | None = None,
        schema_of: SchemaChoice | None = None,
    ) -> None:
        self._connection = connection
        self._store = store
        self._address = address
        self._others = others
        self._sessions = Sessions(connection, 0, schema_of=schema_of)
        self._finding: dict[tuple[str, str | None], asyncio.Task[Over | None]] = {}
        """The looks that are under way, by session and tenant."""

    async def find(
        self, session_id: str, seen: tuple[str | None, int] = (None, 0), *, tenant: str | None = None
    ) -> Over | None:
        """Look for a session that Redis does not have.

        One that was live is brought back to Redis: then this returns None, and Redis has to be asked again.
        One that was over is not brought back, but returned. Callers that ask at the same time share one look.
        Raises SessionNotFound, SessionMoved, and StorageUnavailable when it is not known whether there is
        such a session.

        seen: epoch and version that a client has seen
        tenant: for whom it is looked for. Another tenant's session is not found, and not brought back.
        """
        look = session_id, tenant
        task = self._finding.get(look)
        if task is None:
            task = asyncio.create_task(self._find(session_id, seen, tenant), name="recovery")
            self._finding[look] = task
            task.add_done_callback(lambda done: self._found(look, done))
        return await asyncio.shield(task)

    async def is_anothers(self, session_id: str, tenant: str | None) -> bool:
        """Whether the store has a session of this id that is another tenant's, even one that was deleted.

        Under no tenant no session is another's. Raises StorageUnavailable.
        """
        session = await self._store.session(session_id)
        if tenant is None or session is None or session.tenant_id == tenant:
            return False
        # Without a snapshot the store does not know the tenant yet.
        return session.tenant_id is not None or session.snapshot is not None

    async def fetch(self, session_id: str, tenant: str | None) -> bool:
        """Bring a session back to Redis, even one that was over. Returns whether Redis may have it now.

        Raises StorageUnavailable when it is not known whether there is such a session.
        """
        known = await self._known(session_id)
        if known is not None:
            session = await self._session(session_id)
            if session is None or session.snapshot is None or tenant not in (None, session.tenant_id):
                return False
            if await self._home_of(session) is not None:
                return False
            await self.restore(session, known)
        return True

    async def revive(self, session_id: str, tenant: str | None) -> None:
        """Bring a session that is over back to Redis, so that it can go on. Redis may have it already.

        Of callers that do this at the same time one restores it, and all find it in Redis. Nothing is written
        before it is known that the session is this tenant's. Raises SessionNotFound, also for one that was
        deleted, SessionMoved, InvalidSessionState when its end is not stored whole, and StorageUnavailable.
        """
        known = await self._known(session_id)
        if known is None:
            return
        session = await self._session(session_id)
        if session is None or session.snapshot is None or tenant not in (None, session.tenant_id):
            raise SessionNotFound
        if (home := await self._home_of(session, goes_on=True)) is not None:
            raise SessionMoved(f"the session is at {home}", context={"moved_to": home})
        if decode_summary(session.snapshot).status in LIVE and session.status not in LIVE:
            # Of its end there is only the event, by which nobody can tell all that the clocks had.
            raise InvalidSessionState(
                "the session is over, and its last state is not stored, so that it cannot go on",
                context={"status": session.status},
            )
        if await self.restore(session, known):
            logger.info("a session that was over was restored to go on", session=session_id)

    async def bring_back(self, session: StoredSession) -> bool:
        """Restore a session from the store. Returns False when Redis has it already.

        Raises InternalError when it cannot be restored, and StorageUnavailable.
        """
        known = await self._known(session.session_id)
        return known is not None and await self.restore(session, known)

    async def _home_of(self, session: StoredSession, *, goes_on: bool = False) -> str | None:
        """The address of the other Redis that has the session, or where it is restored; None for this one.

        Raises StorageUnavailable when that is not known.

        goes_on: whether it will go on, although it is over. What stays over may be in two places.
        """
        is_live = goes_on or session.status in LIVE
        if session.moved_to is None and is_live and self._others is not None:
            return await self._others.home_of(session.session_id)
        return None if session.moved_to == self._address else session.moved_to

    async def restore(self, session: StoredSession, known: Iterable[Position]) -> bool:
        """Restore a session that has a snapshot.

        Returns False when another process was faster, or when another Redis has the session. Raises
        InternalError when it cannot be restored, and StorageUnavailable.

        known: positions of its events that may be newer than those in the store
        """
        assert session.snapshot is not None
        if await self._home_of(session) is not None:
            return False
        epoch, version = max([(int(session.epoch), session.version), *known])
        try:
            await self._sessions.restore(
                session.session_id,
                session.snapshot,
                version=version,
                epoch=str(epoch),
                tenant=session.tenant_id,
            )
        except SessionExists:
            return False
        except ValidationError as error:
            logger.error("a session cannot be restored", session=session.session_id, reason=error.message)
            raise InternalError("the session is in the audit store and cannot be restored") from error
        metrics.restored.inc()
        assert session.snapshot_version is not None
        if version > session.snapshot_version:
            logger.warning(
                "a session was restored from a snapshot older than its newest event",
                session=session.session_id,
                snapshot_version=session.snapshot_version,
                newest_version=version,
            )
        return True

    def _found(self, look: tuple[str, str | None], task: asyncio.Task[Over | None]) -> None:
        del self._finding[look]
        if not task.cancelled():
            task.exception()  # asyncio logs an error that is never read; callers that wait still get it

    async def _find(self, session_id: str, seen: tuple[str | None, int], tenant: str | None) -> Over | None:
        known = await self._known(session_id)
        if known is None:
            return None
        session = await self._session(session_id)
        if session is None or tenant not in (None, session.tenant_id):
            raise SessionNotFound
        if session.status in LIVE and (home := await self._home_of(session)) is not None:
            raise SessionMoved(f"the session is at {home}", context={"moved_to": home})
        if session.snapshot is None:
            logger.error("a lost session has no snapshot in the audit store", session=session_id)
            raise SessionNotFound
        if session.status not in LIVE:
            return await ended_state(self._store, session)
        if seen[0] is not None:
            known.append((int(seen[0]), seen[1]))
        if await self.restore(session, known):
            logger.warning("a session was restored when it was asked for", session=session_id)
        return None

    async def _session(self, session_id: str) -> StoredSession | None:
        """A session in the store; None when there is none, or it was deleted."""
        try:
            session = await self._store.session(session_id)
        except StorageUnavailable as error:
            raise type(error)(
                "the session is not in Redis, and the audit store, which may have it, does not answer",
                context=error.context,
                retry_after_ms=error.retry_after_ms,
            ) from error
        return None if session is None or session.status == DELETED else session

    async def _known(self, session_id: str) -> list[Position] | None:
        """Positions of events that Redis has of a lost session; None when Redis has the session itself."""
        return (await self.known([session_id]))[session_id]

    async def known(self, session_ids: Sequence[str]) -> dict[str, list[Position] | None]:
        """Of each session the positions of events that Redis has; None when Redis has the session itself.

        The log of a lost session may still exist, and the outbox may have events that are not stored yet.
        Raises StorageUnavailable.
        """
        found: dict[str, list[Position] | None] = {}
        for client, some in (await self._by_primary(session_ids)).items():
            found.update(await _known_to(client, some))
        return found

    async def missing(self, session_ids: Sequence[str]) -> list[str]:
        """Those of these sessions that Redis does not have. Raises StorageUnavailable."""
        found = []
        for client, some in (await self._by_primary(session_ids)).items():
            try:
                async with client.pipeline(transaction=False) as pipeline:
                    for session_id in some:
                        pipeline.exists(SessionKeys.of(session_id).session)
                    replies = await pipeline.execute()
            except (RedisError, OSError) as error:
                raise StorageUnavailable(retry_after_ms=1000) from error
            found += [session_id for session_id, exists in zip(some, replies, strict=True) if not exists]
        return found

    async def _by_primary(self, session_ids: Sequence[str]) -> dict[redis.asyncio.Redis, list[str]]:
        found: defaultdict[redis.asyncio.Redis, list[str]] = defaultdict(list)
        for session_id in session_ids:
            client = await self._connection.primary_for(SessionKeys.of(session_id).session)
            found[client].append(session_id)
        return found


async def _known_to(
    client: redis.asyncio.Redis, session_ids: Sequence[str]
) -> dict[str, list[Position] | None]:
    """`Recovery.known` of sessions of one primary. Each outbox is read once."""
    outboxes = list(dict.fromkeys(SessionKeys.of(session_id).outbox for session_id in session_ids))
    try:
        async with client.pipeline(transaction=False) as pipeline:
            for session_id in session_ids:
                keys = SessionKeys.of(session_id)
                pipeline.exists(keys.session)
                pipeline.xrevrange(keys.log, count=1)
            for outbox in outboxes:
                pipeline.xrevrange(outbox, count=OUTBOX_LOOKED_AT)
            replies = await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        raise StorageUnavailable(retry_after_ms=1000) from error
    found: dict[str, list[Position] | None] = {}
    logs: list[Any] = []
    for position, session_id in enumerate(session_ids):
        exists, logged = replies[2 * position : 2 * position + 2]
        if isinstance(exists, Exception):
            raise StorageUnavailable(retry_after_ms=1000) from exists
        found[session_id] = None if exists else []
        logs.append(logged)
    for entries in (*logs, *replies[2 * len(session_ids) :]):
        for _, fields in () if isinstance(entries, Exception) else entries:
            try:
                event = _decode_envelope(fields.get(b"e", b""))
                positions = found.get(event.session_id)
                if positions is not None:
                    positions.append((int(event.epoch), event.version))
            except (msgspec.MsgspecError, ValueError):
                continue  # any client of Redis can write anything into a log
    return found
