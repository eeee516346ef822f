"""What was revoked, and how every process comes to know of it.

A revocation is stored in PostgreSQL, where there is one, and then told in a stream in Redis, which every
process reads once a second. What PostgreSQL has is read at the start and every half minute, so that a
revocation which a failover of Redis lost is known again. A process that has heard from neither for FRESH_S
does not know what was revoked meanwhile, and says so instead of letting anybody in.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from time import monotonic, time

import msgspec
import structlog
from redis.exceptions import OutOfMemoryError

from synckairos.auth.bearer import TokenRevoked
from synckairos.auth.caller import Caller
from synckairos.auth.grants import Revocation
from synckairos.auth.tables import Tables
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.core.keys import REVOKED_COMPLETE, REVOKED_GRANTS, REVOKED_TOKENS
from synckairos.errors import StorageUnavailable, error_text
from synckairos.supervision import Telling, cancel, retrieve_error

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FRESH_S = 4.0
"""How long a process may rely on what it heard last. With a look each second, 5 s are promised."""
DATABASE_EVERY_S = 30.0
OVERLAP_S = 60.0
"""How far back each look goes again. Clocks differ, and what was told late has an earlier time."""
GRANTS_KEPT_S = 600.0
"""How long revocations of keys and links are told. What a new look at them finds says it by itself."""
TOKENS_KEPT_S = 400 * 24 * 3600
"""How long Redis keeps the revocations of JWTs past the last one."""
MOST_TOLD = 100_000
"""About how many revocations a stream in Redis has. PostgreSQL has all."""
COMPLETE_S = 24 * 3600
_PAGE = 1000

_TELL_A_FULL_SERVER = """#!lua flags=allow-oom
for place = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'r', ARGV[place])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
"""Adds to a stream although the server has reached its `maxmemory`. Otherwise whoever fills it could keep
others from revoking tokens. What it adds is small, and comes from admins and those who may make links."""

_Identity = tuple[str | None, str | None, str | None, float | None]
_decode = msgspec.json.Decoder(Revocation).decode


class Revocations:
    """The revocations, as one process knows them.

    tables: None without PostgreSQL
    changed: whether something new was heard since it was last set to False
    """

    def __init__(self, connection: Connection, tables: Tables | None) -> None:
        self._connection = connection
        self._tables = tables
        self._tokens: set[tuple[str | None, str]] = set()
        self._subjects: dict[tuple[str | None, str], float] = {}
        self._grants: dict[tuple[str | None, str], float] = {}
        """When each was heard of (monotonic seconds), the oldest first."""
        self._read_to = {REVOKED_TOKENS: 0, REVOKED_GRANTS: 0}
        """The time of the newest entry that was read of each stream (ms since 1970)."""
        self._database_at = -math.inf
        self._database_to = 0.0
        self._complete = tables is None
        self._heard_at = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._comparing: asyncio.Task[None] | None = None
        self._telling = Telling()
        self.changed = False

    def is_known(self) -> bool:
        """Whether the process knows what is revoked."""
        return self._complete and monotonic() - self._heard_at < FRESH_S

    async def known(self) -> None:
        """Waits until the process knows what is revoked. Raises StorageUnavailable."""
        if not self.is_known():
            await self.look()
        if not self.is_known():
            raise StorageUnavailable("it is not known which tokens are revoked", retry_after_ms=1000)

    def is_revoked(self, caller: Caller) -> bool:
        """Whether the caller's token is revoked, as far as is known."""
        tenant = caller.tenant
        if caller.token_id is not None:
            named = tenant, caller.token_id
            if named in self._tokens or named in self._grants:
                return True
        if not self._subjects or caller.subject is None:
            return False
        until = self._subjects.get((tenant, caller.subject))
        return until is not None and (caller.issued_at is None or caller.issued_at <= until)

    def check(self, caller: Caller) -> None:
        """Raises TokenRevoked when the caller's token is revoked."""
        if self.is_revoked(caller):
            raise TokenRevoked

    async def look(self) -> None:
        """Looks for new ones. Callers that come meanwhile wait for the same look. Failures are no errors."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="revocations")
            self._looking.add_done_callback(retrieve_error)
        await asyncio.wait((self._looking,))

    async def aclose(self) -> None:
        """Ends a look that is under way."""
        await cancel(*(task for task in (self._looking, self._comparing) if task is not None))

    async def revoke(self, revocation: Revocation) -> None:
        """Revokes tokens. Raises StorageUnavailable when not all processes are sure to hear of it.

        Where only Redis has it, NotReplicated is raised when a failover could lose it (DURABILITY).
        """
        if self._tables is not None:
            await self._tables.revoke(revocation)
        await self._tell(REVOKED_TOKENS, [revocation])
        self._take(REVOKED_TOKENS, revocation)
        if self._tables is None:
            await self._connection.confirm(REVOKED_TOKENS)

    async def tell_grants(self, revocations: list[Revocation]) -> None:
        """Tells that keys or links, which are marked as revoked already, are. Raises StorageUnavailable."""
        await self._tell(REVOKED_GRANTS, revocations)
        for revocation in revocations:
            self._take(REVOKED_GRANTS, revocation)

    async def _look(self) -> None:
        began, now = monotonic(), time()
        due = self._tables is not None and (
            not self._complete or began - self._database_at >= DATABASE_EVERY_S
        )
        told: set[_Identity] | None = None
        try:
            # Without the mark all is compared anew, because Redis may have lost all of it.
            marked = not due or await self._is_complete()
            told = await self._read(REVOKED_TOKENS, whole=not marked)
            await self._read(REVOKED_GRANTS)
            self._complete = self._complete or marked
            if self._complete:
                self._heard_at = began
        except StorageUnavailable as error:
            log.debug("Redis does not say what is revoked", error=error_text(error))
            marked, told = True, None
        if self._tables is not None and (due or told is None):
            self._database_at = began
            since = max(0.0, self._database_to - OVERLAP_S) if marked else 0.0
            comparing = self._compare(self._tables, since, began, now, told)
            if not self.is_known():
                await comparing
            elif self._comparing is None or self._comparing.done():
                # Redis has said what is revoked, so nobody has to wait for PostgreSQL.
                self._comparing = asyncio.create_task(comparing, name="revocations in PostgreSQL")
                self._comparing.add_done_callback(retrieve_error)
            else:
                comparing.close()
        for named in [named for named, at in self._grants.items() if began - at > 2 * GRANTS_KEPT_S]:
            del self._grants[named]

    async def _read(self, stream: str, *, whole: bool = False) -> set[_Identity]:
        """Reads a stream, or what is new in it and a little more. Returns what was there."""
        place = str(0 if whole else max(0, self._read_to[stream] - int(2000 * OVERLAP_S)))
        found: set[_Identity] = set()
        while True:
            entries = await self._connection.read("XRANGE", stream, place, "+", "COUNT", _PAGE)
            for entry, fields in entries:
                try:
                    revocation = _decode(fields[1])
                except msgspec.MsgspecError as error:
                    # Any client of Redis can write anything there, and nobody would get in any more.
                    level = self._telling.level()
                    log.log(level, "this is no revocation", entry=repr(entry), error=error_text(error))
                    continue
                found.add(_identity(revocation))
                self._take(stream, revocation)
            if entries:
                newest = entries[-1][0].decode()
                self._read_to[stream] = int(newest.partition("-")[0])
                place = "(" + newest
            if len(entries) < _PAGE:
                return found

    async def _compare(
        self, tables: Tables, since: float, began: float, now: float, told: set[_Identity] | None
    ) -> None:
        """Reads what PostgreSQL has, and tells Redis what is missing there.

        told: what Redis has since that time; None while it does not answer
        """
        try:
            found = await tables.revocations(since)
            grants = await tables.revoked_grants(max(since, now - GRANTS_KEPT_S))
        except StorageUnavailable as error:
            log.debug("PostgreSQL does not say what is revoked", error=error_text(error))
            return
        for each in found:
            self._take(REVOKED_TOKENS, each)
        for each in grants:
            self._take(REVOKED_GRANTS, each)
        self._complete = True
        self._database_to = now
        self._heard_at = max(self._heard_at, began)
        if told is not None:
            try:
                if missing := [each for each in found if _identity(each) not in told]:
                    await self._tell(REVOKED_TOKENS, missing)
                await self._mark_complete()
            except StorageUnavailable as error:
                log.debug("Redis cannot be told what is revoked", error=error_text(error))

    def _take(self, stream: str, revocation: Revocation) -> bool:
        """Takes a revocation into account. Returns whether it is a new one."""
        tenant, token_id, subject = revocation.tenant, revocation.token_id, revocation.subject
        new = False
        if token_id is not None and stream == REVOKED_GRANTS:
            new = (tenant, token_id) not in self._grants
            self._grants.setdefault((tenant, token_id), monotonic())
        elif token_id is not None:
            new = (tenant, token_id) not in self._tokens
            self._tokens.add((tenant, token_id))
        if subject is not None:
            until = revocation.made_at if revocation.issued_before is None else revocation.issued_before
            new = until > self._subjects.get((tenant, subject), -math.inf)
            if new:
                self._subjects[tenant, subject] = until
        self.changed = self.changed or new
        return new

    async def _tell(self, stream: str, revocations: Iterable[Revocation]) -> None:
        """Adds to a stream. Raises StorageUnavailable."""
        kept_s = int(GRANTS_KEPT_S) if stream == REVOKED_GRANTS else TOKENS_KEPT_S
        told = [msgspec.json.encode(revocation) for revocation in revocations]
        try:
            client = await self._connection.primary_for(stream)
            try:
                async with client.pipeline(transaction=True) as pipeline:
                    for each in told:
                        pipeline.xadd(stream, {"r": each}, maxlen=MOST_TOLD, approximate=True)
                    pipeline.expire(stream, kept_s)
                    await pipeline.execute()
            except OutOfMemoryError:
                for start in range(0, len(told), _PAGE):
                    arguments: list[bytes | int] = [MOST_TOLD, kept_s, *told[start : start + _PAGE]]
                    await client.register_script(_TELL_A_FULL_SERVER)([stream], arguments)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error

    async def _mark_complete(self) -> None:
        try:
            client = await self._connection.primary_for(REVOKED_COMPLETE)
            await client.set(REVOKED_COMPLETE, "1", ex=COMPLETE_S)
        except REDIS_ERRORS as error:
            raise StorageUnavailable(retry_after_ms=1000) from error

    async def _is_complete(self) -> bool:
        """Whether Redis has all that PostgreSQL has. Raises StorageUnavailable."""
        return bool(await self._connection.read("EXISTS", REVOKED_COMPLETE))


def _identity(revocation: Revocation) -> _Identity:
    """What makes two revocations the same."""
    return revocation.tenant, revocation.token_id, revocation.subject, revocation.issued_before
