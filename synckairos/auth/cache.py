"""Keys and links in Redis: a copy of what PostgreSQL has, or, without PostgreSQL, all there is of them.

Every key has a TTL. All calls raise StorageUnavailable.

A server that is full takes nothing new. Whoever fills it must not keep others from revoking what they gave
away, so there a revoked key or link is removed instead of marked. Nobody gets in with what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.exceptions import OutOfMemoryError

from synckairos.auth.grants import ApiKey, Link
from synckairos.core import keys
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable

COPY_S = 24 * 3600
"""How long a copy is kept."""
ENDLESS_S = 10 * 365 * 24 * 3600
"""How long a key without an end is kept, where Redis alone has it."""
PAST_END_S = 24 * 3600
"""How much longer than it is good something is kept, so that one can be told that it has ended."""
USED_S = 400 * 24 * 3600
_SCANNED_AT_ONCE = 1000

_decode_key = msgspec.json.Decoder(ApiKey).decode
_decode_link = msgspec.json.Decoder(Link).decode


class Cache:
    """Keys and links in Redis.

    alone: whether there is no PostgreSQL
    """

    def __init__(self, connection: Connection, *, alone: bool) -> None:
        self._connection = connection
        self.alone = alone

    async def key(self, key_id: str) -> ApiKey | None:
        """A key; None when it is not here."""
        found = await self._connection.read("GET", keys.api_key(key_id))
        return None if found is None else _decode_key(found)

    async def put_key(self, key: ApiKey, now: float, *, copied: bool = False) -> None:
        """Stores a key, or stores it anew.

        copied: whether it was just read from PostgreSQL. Then what is here meanwhile stays, because it may
            say that the key is revoked.
        """
        name = keys.api_key(key.key_id)
        seconds = ENDLESS_S if key.expires_at is None else int(max(0.0, key.expires_at - now)) + PAST_END_S
        try:
            client = await self._connection.primary_for(name)
            kept_s = seconds if self.alone else min(seconds, COPY_S)
            try:
                await client.set(name, msgspec.json.encode(key), ex=kept_s, nx=copied)
            except OutOfMemoryError:
                if not key.revoked:
                    raise
                await client.unlink(name)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error

    async def keys(self) -> list[ApiKey]:
        """All keys that are here, the oldest first."""
        found: list[ApiKey] = []
        try:
            for client in await self._connection.primaries():
                names = [name async for name in client.scan_iter(keys.API_KEYS, count=_SCANNED_AT_ONCE)]
                for name in names:
                    text = await client.get(name)
                    if text is not None:
                        found.append(_decode_key(text))
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error
        return sorted(found, key=lambda key: (key.made_at, key.key_id))

    async def note_use(self, key_id: str, moment: float) -> None:
        """Notes when a key was used last (seconds since 1970)."""
        name = keys.api_key_used(key_id)
        try:
            client = await self._connection.primary_for(name)
            await client.set(name, str(int(moment)), ex=USED_S)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error

    async def used_at(self, key_id: str) -> float | None:
        """When a key was used last; None when that is not known."""
        found = await self._connection.read("GET", keys.api_key_used(key_id))
        return None if found is None else float(found)

    async def confirm_key(self, key_id: str) -> None:
        """Waits for replicas as changes of sessions do (DURABILITY), if this is all there is of the key.

        Raises NotReplicated.
        """
        if self.alone:
            await self._connection.confirm(keys.api_key(key_id))

    async def confirm_links(self, session_id: str) -> None:
        """The same for the links to a session."""
        if self.alone:
            await self._connection.confirm(keys.links(session_id))

    async def link(self, session_id: str, link_id: str) -> Link | None:
        """A link; None when it is not here."""
        found = await self._connection.read("HGET", keys.links(session_id), link_id)
        return None if found is None else _decode_link(found)

    async def links(self, session_id: str) -> list[Link]:
        """All links to a session that are here, the oldest first."""
        found = await self._connection.read("HVALS", keys.links(session_id))
        return sorted(map(_decode_link, found), key=lambda link: (link.made_at, link.link_id))

    async def put_links(
        self, session_id: str, links: Sequence[Link], now: float, *, copied: bool = False
    ) -> int:
        """Stores links to a session, or stores them anew. `links` has at least one.

        Returns how many are here then, those that have ended included.

        copied: as in `put_key`
        """
        name = keys.links(session_id)
        last = max(link.expires_at or 0.0 for link in links)
        kept_s = int(max(0.0, last - now)) + PAST_END_S
        try:
            client = await self._connection.primary_for(name)
            try:
                async with client.pipeline(transaction=True) as pipeline:
                    put: Any = pipeline.hsetnx if copied else pipeline.hset
                    for link in links:
                        put(name, link.link_id, msgspec.json.encode(link))
                    pipeline.hlen(name)
                    pipeline.expire(name, kept_s, nx=True)
                    pipeline.expire(name, kept_s, gt=True)
                    *_, count, _, _ = await pipeline.execute()
            except OutOfMemoryError:
                if not all(link.revoked for link in links):
                    raise
                await client.hdel(name, *(link.link_id for link in links))
                return await client.hlen(name)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error
        return int(count)

    async def forget_links(self, session_id: str, link_ids: Sequence[str]) -> None:
        """Removes links to a session."""
        name = keys.links(session_id)
        try:
            client = await self._connection.primary_for(name)
            if link_ids:
                await client.hdel(name, *link_ids)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error
