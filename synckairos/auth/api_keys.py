"""API keys: made, found, listed, revoked. They are in a file, in PostgreSQL, or in Redis alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from time import time

import msgspec
import structlog

from synckairos.auth.cache import Cache
from synckairos.auth.caller import Caller
from synckairos.auth.grants import ApiKey, KeyCaller, Revocation
from synckairos.auth.keys_file import KeysFile
from synckairos.auth.revocations import Revocations
from synckairos.auth.tables import Tables
from synckairos.errors import StorageUnavailable, error_text

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

NOTE_EVERY_S = 60.0
"""How often the last use of a key is noted. Its first use in a process is noted at once."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A key and when it was used last (seconds since 1970); None when it was not, or that is not known."""

    key: ApiKey
    used_at: float | None


class ApiKeys:
    """The API keys of a deployment.

    file: where they are when it is set
    tables: where they are when there is PostgreSQL and no file
    """

    def __init__(
        self, file: str | None, tables: Tables | None, cache: Cache, revocations: Revocations
    ) -> None:
        self._file = None if file is None else KeysFile(Path(file))
        self._tables = tables if self._file is None else None
        self._cache = cache
        self._revocations = revocations
        self._used: dict[str, float] = {}
        self._noted: dict[str, float] = {}
        """The last use of each key as it was noted."""

    async def add(self, key: ApiKey) -> None:
        """Stores a new key. Raises StorageUnavailable, NotReplicated, KeysFileError, OSError."""
        if self._file is not None:
            self._file.change(lambda keys: [*keys, key])
        elif self._tables is not None:
            await self._tables.add_key(key)
        else:
            await self._cache.put_key(key, time())
            await self._cache.confirm_key(key.key_id)

    async def find(self, key_id: str) -> ApiKey | None:
        """A key, also one that is revoked or over; None when there is none. Raises StorageUnavailable."""
        if self._file is not None:
            return self._file.key(key_id)
        tables = self._tables
        try:
            found = await self._cache.key(key_id)
        except StorageUnavailable:
            if tables is None:
                raise
            return await tables.key(key_id)
        if found is not None or tables is None:
            return found
        found = await tables.key(key_id)
        if found is not None:
            try:
                await self._cache.put_key(found, time(), copied=True)
            except StorageUnavailable as error:
                log.debug("a key cannot be copied to Redis", error=error_text(error))
        return found

    async def all(self) -> list[Listed]:
        """All keys, the oldest first. Raises StorageUnavailable, KeysFileError."""
        if self._tables is not None:
            return [Listed(key, used_at) for key, used_at in await self._tables.keys()]
        found = await self._cache.keys() if self._file is None else self._file.all()
        return [Listed(key, await self._cache.used_at(key.key_id)) for key in found]

    async def revoke(self, key_id: str) -> ApiKey | None:
        """Revokes a key, which every process knows within 5 s. Returns it; None when there is none.

        Raises StorageUnavailable when not all of them are sure to hear of it; NotReplicated, KeysFileError,
        OSError.
        """
        if self._file is not None:
            found = next((key for key in self._file.all() if key.key_id == key_id), None)
            if found is not None:
                revoked = msgspec.structs.replace(found, revoked=True)
                self._file.change(lambda keys: [revoked if key.key_id == key_id else key for key in keys])
            return found
        if self._tables is not None:
            found = await self._tables.revoke_key(key_id)
        else:
            found = await self._cache.key(key_id)
        if found is None:
            return None
        now = time()
        found = msgspec.structs.replace(found, revoked=True)
        await self._cache.put_key(found, now)
        await self._revocations.tell_grants(
            [Revocation(tenant=found.tenant, token_id=found.token_id, made_at=now)]
        )
        await self._cache.confirm_key(key_id)
        return found

    def note_use(self, key_id: str) -> None:
        """Notes that a key was used, to be stored later."""
        self._used[key_id] = time()

    def look(self) -> None:
        """Looks whether the file has changed. It is called once a second."""
        if self._file is not None:
            self._file.look()

    def is_current(self, caller: Caller) -> bool:
        """Whether a key is still what it was when its caller was let in, as far as a file says otherwise.

        In a file a key can lose its roles, or become another tenant's. Elsewhere keys do not change, and
        `Revocations` knows of those that are revoked.
        """
        if self._file is None or not isinstance(caller, KeyCaller):
            return True
        key = self._file.key(caller.key_id)
        return key is not None and not key.revoked and key.caller() == caller

    async def store_use(self, *, now: bool = False) -> None:
        """Stores when keys were used, of each once in NOTE_EVERY_S or `now`. It is called once a second.

        What fails is tried the next time.
        """
        used = {
            key_id: moment
            for key_id, moment in self._used.items()
            if now or moment - self._noted.get(key_id, -math.inf) >= NOTE_EVERY_S
        }
        if not used:
            return
        try:
            if self._tables is not None:
                await self._tables.note_use(used)
            else:
                for key_id, moment in used.items():
                    await self._cache.note_use(key_id, moment)
        except StorageUnavailable as error:
            log.debug("the last use of keys cannot be stored", error=error_text(error))
        else:
            self._noted |= used
            self._used = {key_id: at for key_id, at in self._used.items() if at != used.get(key_id)}
