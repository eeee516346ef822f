"""Reads all sessions of the older service, and has each of them created here by one call.

The server of the older service is only read (`SCAN`, `GET`, `TIME`). A session is created whole or not at
all, and one that is here already is left alone, so an import may be stopped at any time and run again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import cast

import msgspec
import redis.asyncio
from redis.exceptions import ResponseError

from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.errors import InternalError, SessionExists, ValidationError
from synckairos.importing import older
from synckairos.importing.conversion import DEFAULT_ACTION, Times, Unusable, convert
from synckairos.realtime.server_time import FIRST_SAMPLES, Offset, ServerClock

PAGE = 200
"""About how many keys are looked at in one round trip."""
AT_ONCE = 20
"""How many sessions are created at once."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which sessions are imported, and how.

    percent: of all sessions, by a hash of their ids: whoever is among 10 % is also among 50 %
    tenants: only sessions of these; None: of all, also of none
    tenant: whose the sessions will be that name no tenant
    action: the type of `action_on_timeout` for sessions that have none
    dry_run: check everything and write nothing
    """

    percent: float = 100.0
    tenants: Collection[str] | None = None
    tenant: str | None = None
    action: str = DEFAULT_ACTION
    dry_run: bool = False

    def has(self, session_id: str) -> bool:
        """Whether a session is among the percentage."""
        digest = hashlib.sha256(session_id.encode()).digest()
        return int.from_bytes(digest[:8]) * 100.0 < self.percent * 2.0**64


@dataclass(slots=True)
class Outcome:
    """What came of an import so far.

    seen: how many keys of sessions the other server has shown
    there: how many sessions were here already
    left_out: how many were not chosen
    bad: the keys of sessions that cannot be imported, each with the reason
    """

    seen: int = field(default=0, compare=False)
    imported: int = 0
    there: int = 0
    left_out: int = 0
    bad: dict[str, str] = field(default_factory=dict)


async def import_all(
    source: redis.asyncio.Redis,
    sessions: Sessions,
    choice: Choice,
    outcome: Outcome,
    *,
    rate: float,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Import every session of the older service.

    outcome: kept up to date, so that a caller that stops this knows what was done
    rate: how many sessions a second, at most
    advance: called with the number of sessions that were just done

    Raises StorageUnavailable when the server here is away, and redis-py's errors when the other one is.
    """
    clock = ServerClock(sessions.connection)
    await clock.start()
    try:
        await _Import(source, sessions, choice, outcome, clock).run(rate, advance)
    finally:
        await clock.stop()


class _Import:
    """One import. `found` has the key of each id that was seen: SCAN may name a key twice."""

    def __init__(
        self,
        source: redis.asyncio.Redis,
        sessions: Sessions,
        choice: Choice,
        outcome: Outcome,
        clock: ServerClock,
    ) -> None:
        self._source, self._sessions, self._choice = source, sessions, choice
        self._outcome, self._clock = outcome, clock
        self._source_clock = Offset()
        self._found: dict[str, bytes] = {}

    async def run(self, rate: float, advance: Callable[[int], None]) -> None:
        started, begun = time.monotonic(), 0
        at_once = max(1, min(AT_ONCE, int(rate)))
        for _ in range(FIRST_SAMPLES):
            await self._measure()
        cursor, again = 0, True
        while again:
            cursor, found = await self._source.scan(cursor, match=f"{older.PREFIX}*", count=PAGE)
            page = cast("list[bytes]", found)  # the client decodes nothing
            self._outcome.seen += len(page)
            again = cursor != 0
            await self._measure()
            for start in range(0, len(page), at_once):
                some = page[start : start + at_once]
                await asyncio.gather(*map(self._one, some))
                advance(len(some))
                begun += len(some)
                await asyncio.sleep(started + begun / rate - time.monotonic())

    async def _measure(self) -> None:
        """Measure the clock of the older service's server once."""
        sent = time.monotonic()
        seconds, microseconds = await self._source.time()
        received = time.monotonic()
        self._source_clock.add(sent, 1000.0 * seconds + microseconds / 1000.0, received)

    async def _one(self, key: bytes) -> None:
        try:
            await self._import(key)
        except Unusable as reason:
            self._outcome.bad[key.decode(errors="backslashreplace")] = str(reason)

    async def _import(self, key: bytes) -> None:
        """Import the session of a key. Raises Unusable."""
        outcome, choice = self._outcome, self._choice
        problem = None
        try:
            session_id = self._id(key)
        except Unusable as reason:  # which matters only when the key was asked for
            session_id, problem = _after_prefix(key).lower(), reason
        if session_id is None:
            return
        if not choice.has(session_id):
            outcome.left_out += 1
            return
        try:
            text = await self._source.get(key)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):
                raise Unusable("the key holds no text") from None
            raise
        if text is None:  # it has ended since its key was listed
            return
        if self._is_of_another_tenant(text):
            outcome.left_out += 1
            return
        if problem is not None:
            raise problem
        session = _decoded(text)
        if session.session_id.lower() != session_id:
            raise Unusable("session_id is another one than the key's")
        now = 1000.0 * time.monotonic() + self._source_clock.offset_ms
        partition = keys.partition(session_id)
        converted = convert(session, Times(now, self._ahead(partition)), choice.action)
        created = self._sessions.import_session(
            session_id,
            converted.config,
            converted.standing,
            tenant=session.tenant or choice.tenant,
            dry_run=choice.dry_run,
        )
        await self._counted(created)

    def _is_of_another_tenant(self, text: bytes | str) -> bool:
        """Whether it is known that the session is of a tenant that was not asked for."""
        if self._choice.tenants is None:
            return False
        try:
            tenant = older.decode_owned(text).tenant
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return (tenant or self._choice.tenant) not in self._choice.tenants

    def _ahead(self, partition: str) -> float:
        """By how much (ms) the clock of a partition's server here is ahead of the source's."""
        monotonic_ms = 1000.0 * time.monotonic()
        return self._clock.now_ms(partition) - monotonic_ms - self._source_clock.offset_ms

    def _id(self, key: bytes) -> str | None:
        """The session id in a key; None when the key was there before."""
        try:
            session_id = keys.session_id(key.decode("ascii").removeprefix(older.PREFIX))
        except (UnicodeDecodeError, ValidationError):
            raise Unusable("the key ends with no UUID") from None
        before = self._found.setdefault(session_id, key)
        if before is not key and before != key:
            raise Unusable(f"the same id as {before.decode()}")
        return session_id if before is key else None

    async def _counted(self, created: Awaitable[object]) -> None:
        try:
            await created
        except SessionExists:
            self._outcome.there += 1
        except ValidationError as error:
            raise Unusable(_problems(error)) from None
        except InternalError:  # the call has logged it
            raise Unusable("the function library failed") from None
        else:
            self._outcome.imported += 1


def _after_prefix(key: bytes) -> str:
    return key.decode(errors="backslashreplace").removeprefix(older.PREFIX)


def _decoded(text: bytes | str) -> older.Session:
    try:
        return older.decode(text)
    except msgspec.ValidationError as error:
        raise Unusable(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"no JSON of a session: {error}") from None


def _problems(error: ValidationError) -> str:
    """The details of a refusal in one line."""
    details = error.details or []
    return "; ".join(f"{each['field']} {each['message']}" for each in details) or str(error)
