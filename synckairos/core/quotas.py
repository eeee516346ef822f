"""What tenants have, counted in Redis: the calls of `sk_quota`, and the WebSockets of all processes.

A count is no index of sessions. It has to be told of a session before that is created, and it finds out by
looking that one is over: see `sk_quota` in lua/README.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from synckairos.core import keys
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import decode_summary
from synckairos.errors import SessionNotFound, StorageUnavailable

LOOKED_AT = 100
"""How many sessions are looked at when a quota is used up: those that were longest not looked at."""
SOCKETS_S = 30.0
"""For how long the WebSockets of a process count after it has told their number."""
LIVE = frozenset({"pending", "running", "paused"})


class Counted(NamedTuple):
    """The answer of a count.

    counted: whether something was counted that was not before
    used_up: the quota that there is no more room in; empty when there is
    retry_after_ms: when there will be room; 0 when nobody can know
    """

    counted: bool
    used_up: str
    retry_after_ms: int


class TenantCounts:
    """The counts of all tenants. A quota is None for as many as they like. Raises StorageUnavailable.

    process: a name for this process that no other one has
    """

    def __init__(self, connection: Connection, process: str) -> None:
        self._connection = connection
        self._process = process

    async def create(
        self,
        tenant: str,
        session_id: str,
        participants: int,
        *,
        sessions: int | None,
        most_participants: int | None,
        creates_per_day: int | None,
    ) -> Counted:
        """Counts a session that is about to be created."""
        quotas = (_number(sessions), _number(most_participants), _number(creates_per_day))
        return await self._count(tenant, "CREATE", session_id, participants, *quotas)

    async def revive(
        self,
        tenant: str,
        session_id: str,
        participants: int,
        *,
        sessions: int | None,
        most_participants: int | None,
    ) -> Counted:
        """Counts a session that is over and is about to go on."""
        quotas = (_number(sessions), _number(most_participants))
        return await self._count(tenant, "REVIVE", session_id, participants, *quotas)

    async def join(self, tenant: str, session_id: str, participants: int, most: int | None) -> Counted:
        """Counts participants of a session; a negative number of them has left."""
        return await self._count(tenant, "JOIN", session_id, participants, _number(most))

    async def created(self, tenant: str, session_id: str, participants: int) -> None:
        """The session was created: from now on it may be looked at.

        It is counted if it is not and lives, because somebody who was refused its id may have undone that.
        """
        if not await self._call(tenant, "CREATED", session_id):
            await self.found(tenant, {session_id: participants})

    async def drop_if_gone(self, tenant: str, session_id: str) -> bool:
        """Counts a session no more that Redis does not have. Returns whether it does not."""
        key = SessionKeys.of(session_id).session
        (reply,) = await self._connection.fcall_many([("sk_get", (key,), ("TENANT", tenant, "SUMMARY"))])
        if not isinstance(reply, SessionNotFound):
            return False
        await self._call(tenant, "DROP", session_id)
        return True

    async def drop_unless_live(self, tenant: str, session_id: str) -> None:
        """Counts a session no more that was to go on, and did not."""
        if (await self._are_live(tenant, [session_id]))[session_id] is False:
            await self._call(tenant, "DROP", session_id)

    async def found(self, tenant: str, sessions: Mapping[str, int]) -> None:
        """Counts sessions that were created some time ago, by their numbers of participants, if they live."""
        for session_id, is_live in (await self._are_live(tenant, list(sessions))).items():
            if is_live:
                await self._call(tenant, "FOUND", session_id, sessions[session_id])

    async def undo(self, tenant: str, session_id: str) -> None:
        """The session was not created after all."""
        await self._call(tenant, "UNDO", session_id)

    async def take_out_ended(self, tenant: str) -> None:
        """Looks at LOOKED_AT sessions, and counts those no more that are over or gone."""
        ids = [each.decode() for each in await self._call(tenant, "LOOK", LOOKED_AT)]
        for session_id, is_live in (await self._are_live(tenant, ids)).items():
            if is_live is False:
                await self._call(tenant, "DROP", session_id)

    async def _are_live(self, tenant: str, ids: Sequence[str]) -> dict[str, bool | None]:
        """Whether these sessions are in Redis and not over; None where that cannot be known."""
        calls = [("sk_get", (SessionKeys.of(each).session,), ("TENANT", tenant, "SUMMARY")) for each in ids]
        replies = await self._connection.fcall_many(calls)
        return {each: _is_live(reply) for each, reply in zip(ids, replies, strict=True)}

    async def sockets(self, tenant: str, count: int, most: int | None = None) -> bool:
        """Tells how many WebSockets of a tenant this process has. Returns whether there may be so many.

        With `most`, nothing is told when all processes together would have more.
        """
        key, now = keys.quota_of_sockets(tenant), time.time()
        try:
            client = await self._connection.primary_for(key)
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.hset(key, self._process, f"{count} {now + SOCKETS_S:.3f}")
                pipeline.hgetall(key)
                pipeline.pexpire(key, int(2000 * SOCKETS_S))
                _, told, _ = await pipeline.execute()
            live = {name: number for name, number in map(_told, told.items()) if number is not None}
            fits = most is None or sum(live.values()) <= most
            gone = [name for name in told if name not in live]
            if not fits:
                await client.hset(key, self._process, f"{count - 1} {now + SOCKETS_S:.3f}")
            if gone:
                await client.hdel(key, *gone)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error
        return fits

    async def _count(self, tenant: str, word: str, *arguments: str | int) -> Counted:
        counted, used_up, retry_after_ms = await self._call(tenant, word, *arguments)
        return Counted(counted == 1, used_up.decode() if counted < 0 else "", retry_after_ms)

    async def _call(self, tenant: str, word: str, *arguments: str | int) -> Any:
        return await self._connection.fcall("sk_quota", keys.quota(tenant), (word, *arguments))


def _number(quota: int | None) -> int:
    return -1 if quota is None else quota


def _is_live(reply: Any) -> bool | None:
    if isinstance(reply, SessionNotFound):
        return False
    return decode_summary(reply).status in LIVE if isinstance(reply, bytes) else None


def _told(field: tuple[bytes, bytes]) -> tuple[bytes, int | None]:
    """A process and its WebSockets; None when it has not told them for too long."""
    name, value = field
    count, _, until = value.partition(b" ")
    return name, int(count) if float(until) > time.time() else None
