"""The quotas of tenants: what is refused when a tenant has as much as it may have, or is suspended.

Only tenants that have a quota are counted. What runs goes on, whatever the quotas say.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus

import msgspec

from synckairos.audit.store import Store, StoredSession
from synckairos.auth.access import Action
from synckairos.auth.tenants import Quotas, Tenants
from synckairos.core.calls import Sessions
from synckairos.core.quotas import LIVE, Counted, TenantCounts
from synckairos.errors import QuotaExceeded, StorageUnavailable, SyncKairosError

NEW = frozenset({Action.CREATE, Action.ADD, Action.LINK, Action.WEBHOOK})
"""What a suspended tenant cannot do any more, besides opening WebSockets."""
TELL_EVERY_S = 5.0
"""How often a process tells how many WebSockets each tenant has."""

RECOUNT_EVERY_S = 600.0
"""How often a process looks in the audit store for sessions that are not counted, on average."""
PAGE, PAGE_EVERY_S = 100, 0.1
"""How many sessions it looks for at a time, and the pause between them."""


class QuotaKeeper:
    """Holds tenants to their quotas, in one process. Raises QuotaExceeded, StorageUnavailable.

    store: where sessions are found that are not counted; None without an audit store
    """

    def __init__(self, tenants: Tenants, counts: TenantCounts, store: Store | None) -> None:
        self._tenants = tenants
        self._counts = counts
        self._store = store
        self._sockets: Counter[str] = Counter()
        """The open WebSockets of this process by their tenants."""
        self._told: set[str] = set()
        """The tenants of which Redis has a number other than 0 from this process."""

    def check_suspended(self, tenant: str | None) -> None:
        """Raise QuotaExceeded when the tenant is suspended."""
        if self._tenants.of(tenant).suspended:
            raise QuotaExceeded("the tenant is suspended", context={"quota": "suspended"})

    @asynccontextmanager
    async def creation(self, tenant: str | None, session_id: str, participants: int) -> AsyncIterator[None]:
        """Count a session that is created inside of the block, and not if that is refused."""
        quotas = self._tenants.of(tenant).quotas
        if tenant is None or not quotas.of_sessions:
            yield
            return

        async def count() -> Counted:
            return await self._counts.create(
                tenant,
                session_id,
                participants,
                sessions=quotas.sessions,
                most_participants=quotas.participants,
                creates_per_day=quotas.creates_per_day,
            )

        counted = await self._take(tenant, quotas, count)
        # What is counted may be an earlier session of this id, which was smaller and is gone.
        if not counted and await self._counts.drop_if_gone(tenant, session_id):
            counted = await self._take(tenant, quotas, count)
        undo = partial(self._counts.undo, tenant, session_id)
        async with self._unless_refused(tenant, session_id, participants, undo if counted else None):
            yield

    @asynccontextmanager
    async def revival(self, tenant: str | None, session_id: str, sessions: Sessions) -> AsyncIterator[None]:
        """Count a session that is over and goes on inside of the block, and not if that is refused.

        It counts as a session with its participants, and not as one that was created.
        """
        quotas = self._tenants.of(tenant).quotas
        if tenant is None or (quotas.sessions is None and quotas.participants is None):
            yield
            return
        state = await sessions.get(session_id, tenant)
        if state.status in LIVE:  # it counts already, or will when that is noticed
            yield
            return
        participants = len(msgspec.json.decode(state.raw, type=_Owners).participants)

        async def count() -> Counted:
            return await self._counts.revive(
                tenant,
                session_id,
                participants,
                sessions=quotas.sessions,
                most_participants=quotas.participants,
            )

        counted = await self._take(tenant, quotas, count)
        undo = partial(self._counts.drop_unless_live, tenant, session_id)
        async with self._unless_refused(tenant, session_id, participants, undo if counted else None):
            yield

    @asynccontextmanager
    async def _unless_refused(
        self, tenant: str, session_id: str, participants: int, undo: Callable[[], Awaitable[object]] | None
    ) -> AsyncIterator[None]:
        """Note the session as one that lives once the block is over.

        undo: takes back what was counted for it, when the block is refused. Where it is not known what came
            of the block, the session is looked at later.
        """
        try:
            yield
        except SyncKairosError as error:
            if undo is not None and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                with suppress(StorageUnavailable):
                    await undo()
            raise
        with suppress(StorageUnavailable):
            await self._counts.created(tenant, session_id, participants)

    @asynccontextmanager
    async def joining(self, tenant: str | None, session_id: str) -> AsyncIterator[None]:
        """Count a participant who joins inside of the block, and not if that is refused."""
        quotas = self._tenants.of(tenant).quotas
        if tenant is None or quotas.participants is None:
            yield
            return

        async def count() -> Counted:
            return await self._counts.join(tenant, session_id, 1, quotas.participants)

        counted = await self._take(tenant, quotas, count)
        try:
            yield
        except SyncKairosError:
            if counted:
                await self.left(tenant, session_id)
            raise

    async def left(self, tenant: str | None, session_id: str) -> None:
        """Count a participant no more."""
        if tenant is not None and self._tenants.of(tenant).quotas.participants is not None:
            with suppress(StorageUnavailable):
                await self._counts.join(tenant, session_id, -1, None)

    async def _take(self, tenant: str, quotas: Quotas, count: Callable[[], Awaitable[Counted]]) -> bool:
        """Count something. When there seems to be no room, first look whether something has ended."""
        found = await count()
        if found.used_up in ("sessions", "participants"):
            await self._counts.take_out_ended(tenant)
            found = await count()
        if found.used_up:
            raise _exceeded(quotas, found.used_up, found.retry_after_ms or None)
        return found.counted

    @asynccontextmanager
    async def socket(self, tenant: str | None) -> AsyncIterator[None]:
        """Count a WebSocket that is open inside of the block."""
        self.check_suspended(tenant)
        if tenant is None:
            yield
            return
        quotas = self._tenants.of(tenant).quotas
        self._sockets[tenant] += 1
        try:
            if quotas.sockets is not None:
                self._told.add(tenant)
                if not await self._counts.sockets(tenant, self._sockets[tenant], quotas.sockets):
                    raise _exceeded(quotas, "sockets", None)
            yield
        finally:
            self._sockets[tenant] -= 1
            if not self._sockets[tenant]:
                del self._sockets[tenant]

    async def recount(self) -> None:
        """Count what is not counted, again and again. Ends only by cancellation.

        Sessions of tenants that had no quota when they were created are not counted, nor are those that came
        back from the audit store after Redis had lost everything.
        """
        assert self._store is not None
        while True:
            for tenant in self._tenants.counted():
                for status in LIVE:
                    await self._recount(self._store, tenant, status)
            await asyncio.sleep(RECOUNT_EVERY_S * random.uniform(0.5, 1.5))

    async def _recount(self, store: Store, tenant: str, status: str) -> None:
        before = None
        while True:
            page = await store.list_sessions(tenant, status=status, limit=PAGE, before=before)
            await self._counts.found(tenant, {each.session_id: _participants(each) for each in page})
            if len(page) < PAGE:
                return
            before = page[-1].created_at, page[-1].session_id
            await asyncio.sleep(PAGE_EVERY_S)

    async def tell_sockets(self) -> None:
        """Tell the number of WebSockets again and again. Ends only by cancellation."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            counted = {name for name in self._sockets if self._tenants.of(name).quotas.sockets is not None}
            await self._tell(counted | self._told)
            self._told = counted

    async def _tell(self, tenants: set[str]) -> None:
        for tenant in tenants:
            await self._counts.sockets(tenant, self._sockets[tenant])

    async def close(self) -> None:
        """Tell that this process has no WebSockets any more."""
        self._sockets.clear()
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._tell(self._told)


def _participants(session: StoredSession) -> int:
    """How many participants the last stored state of a session has."""
    if session.snapshot is None:
        return 0
    return len(msgspec.json.decode(session.snapshot, type=_Owners).participants)


class _Owners(msgspec.Struct):
    participants: list[msgspec.Raw]


def _exceeded(quotas: Quotas, name: str, retry_after_ms: int | None) -> QuotaExceeded:
    most = getattr(quotas, name)
    return QuotaExceeded(
        f"the tenant has as much as it may have: {name} is {most}",
        context={"quota": name, "limit": most},
        retry_after_ms=retry_after_ms,
    )
