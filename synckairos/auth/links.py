"""Links to a session, for people without an account: made, found, listed, revoked."""

from __future__ import annotations

from datetime import datetime
from time import time

import msgspec
import structlog

from synckairos.audit.reading import DELETED
from synckairos.audit.store import Store
from synckairos.auth.cache import Cache
from synckairos.auth.caller import Caller
from synckairos.auth.grants import Link, LinkCaller, LinkRole, LinkToken, Revocation, new_link
from synckairos.auth.revocations import Revocations
from synckairos.auth.tables import Tables
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import State
from synckairos.errors import QuotaExceeded, SessionNotFound, StorageUnavailable, error_text

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

MOST = 1000
"""How many links a session may have."""
MOST_COPIED = 3
"""How many times as many of its links Redis has copies of, with those that were revoked or have ended."""
DAY_S = 24 * 3600
LONGEST_S = 30 * DAY_S

_DELETED = b"deleted"


class _Participant(msgspec.Struct):
    participant_id: str


class _Made(msgspec.Struct):
    created_at: str
    participants: list[_Participant] = []


class Links:
    """The links of a deployment. All calls raise StorageUnavailable.

    sessions: asks Redis alone
    store: has sessions that Redis has lost or forgotten; None without PostgreSQL
    """

    def __init__(
        self,
        connection: Connection,
        sessions: Sessions,
        tables: Tables | None,
        cache: Cache,
        revocations: Revocations,
        *,
        store: Store | None,
    ) -> None:
        self._connection = connection
        self._sessions = sessions
        self._store = store
        self._tables = tables
        self._cache = cache
        self._revocations = revocations

    async def make(
        self, session: State, maker: Caller, role: LinkRole, participant_id: str | None, expires_in_s: float
    ) -> tuple[Link, str]:
        """A new link to a session, and its token. Raises QuotaExceeded, NotReplicated."""
        now = time()
        link, token = new_link(
            session.session_id,
            made_ms(session),
            session.tenant_id,
            role,
            now=now,
            expires_at=now + expires_in_s,
            participant_id=participant_id,
            made_by=maker.subject,
        )
        if self._tables is not None:
            if not await self._tables.add_link(link, MOST, now):
                raise _too_many()
            try:
                if await self._cache.put_links(link.session_id, [link], now) > MOST_COPIED * MOST:
                    await self._forget_old(link, now)
            except StorageUnavailable as error:
                log.debug("a link cannot be copied to Redis", error=error_text(error))
        else:
            await self._add_to_redis(link, now)
            await self._cache.confirm_links(link.session_id)
        return link, token

    async def _forget_old(self, link: Link, now: float) -> None:
        """Takes the oldest of the copies in Redis away that are not good any more. PostgreSQL has them all.

        The newest ones stay, because they keep a process that still knows them as good from copying that.
        """
        found = await self._cache.links(link.session_id)
        over = [each.link_id for each in found if not _is_good(each, link.session_made_ms, now)]
        await self._cache.forget_links(link.session_id, over[:-MOST])

    async def _add_to_redis(self, link: Link, now: float) -> None:
        """Stores a link where there is only Redis. Links that have ended make room. Raises QuotaExceeded."""
        session_id = link.session_id
        if await self._cache.put_links(session_id, [link], now) <= MOST:
            return
        found = await self._cache.links(session_id)
        over = [each.link_id for each in found if not _is_good(each, link.session_made_ms, now)]
        too_many = len(found) - len(over) > MOST
        await self._cache.forget_links(session_id, [*over, link.link_id] if too_many else over)
        if too_many:
            raise _too_many()

    async def of(self, session: State) -> list[Link]:
        """The links to a session that are good, the oldest first."""
        now = time()
        if self._tables is not None:
            found = await self._tables.links(session.session_id, now)
        else:
            found = await self._cache.links(session.session_id)
        return [link for link in found if _is_good(link, made_ms(session), now)]

    async def revoke(self, session: State, link_id: str | None = None) -> bool:
        """Revokes a link to a session, or all of them, which every process knows within 5 s.

        Returns whether there was anything to revoke, or was once. Raises NotReplicated.
        """
        session_id, now = session.session_id, time()
        if link_id is None:
            found = await self.of(session)
        else:
            link = await self._stored(session_id, link_id)
            found = [] if link is None or not link.is_for(made_ms(session)) else [link]
        if not found:
            return False
        if self._tables is not None:
            await self._tables.revoke_links(session_id, [link.link_id for link in found])
        await self._cache.put_links(
            session_id, [msgspec.structs.replace(link, revoked=True) for link in found], now
        )
        await self._revocations.tell_grants(
            [Revocation(tenant=link.tenant, token_id=link.token_id, made_at=now) for link in found]
        )
        await self._cache.confirm_links(session_id)
        return True

    async def _stored(self, session_id: str, link_id: str) -> Link | None:
        if self._tables is not None:
            return await self._tables.link(session_id, link_id)
        return await self._cache.link(session_id, link_id)

    async def find(self, token: LinkToken) -> Link | None:
        """The link that a token names, also one that is revoked or has ended; None when there is none."""
        tables = self._tables
        try:
            found = await self._cache.link(token.session_id, token.link_id)
        except StorageUnavailable:
            if tables is None:
                raise
            return await tables.link(token.session_id, token.link_id)
        if found is not None or tables is None:
            return found
        found = await tables.link(token.session_id, token.link_id)
        if found is not None:
            try:
                await self._cache.put_links(token.session_id, [found], time(), copied=True)
            except StorageUnavailable as error:
                log.debug("a link cannot be copied to Redis", error=error_text(error))
        return found

    async def is_session_there(self, caller: LinkCaller) -> bool:
        """Whether the session for which a link was made is still there, and no other one under its id.

        A finished session is there as long as it can be looked at.
        """
        assert caller.session is not None
        key = SessionKeys.of(caller.session).session
        created, status, tenant = await self._connection.read("HMGET", key, "created", "status", "tenant")
        if created is None and status != _DELETED:
            made = await self._made_elsewhere(caller.session, caller.tenant)
            return made is not None and _is_for(caller, made)
        if created is None or status == _DELETED:
            return False
        return (tenant.decode() if tenant else None) == caller.tenant and _is_for(caller, int(created))

    async def _made_elsewhere(self, session_id: str, tenant: str | None) -> int | None:
        """When a session was created (server ms) that this Redis does not have; None when nobody has it.

        One that is lost is not brought back, because it is not known yet whether the caller may do anything.
        """
        try:
            return made_ms(await self._sessions.get(session_id, tenant))  # another Redis may have it
        except SessionNotFound:
            stored = None if self._store is None else await self._store.session(session_id)
        if stored is None or stored.snapshot is None or stored.status == DELETED:
            return None
        return round(stored.created_at.timestamp() * 1000) if stored.tenant_id == tenant else None


def _is_for(caller: LinkCaller, session_made_ms: int) -> bool:
    return session_made_ms <= caller.session_made_ms


def _is_good(link: Link, session_made_ms: int, now: float) -> bool:
    return not link.revoked and not link.is_over(now) and link.is_for(session_made_ms)


def _too_many() -> QuotaExceeded:
    return QuotaExceeded(
        f"a session has {MOST} links at most: revoke some", context={"quota": "links", "limit": MOST}
    )


def made_ms(session: State) -> int:
    """When a session was created (server ms)."""
    made = datetime.fromisoformat(msgspec.json.decode(session.raw, type=_Made).created_at)
    return round(made.timestamp() * 1000)


def takes_part(session: State, participant_id: str) -> bool:
    """Whether a participant takes part in a session."""
    people = msgspec.json.decode(session.raw, type=_Made).participants
    return any(each.participant_id == participant_id for each in people)
