"""Whether a process can do its work: what `/ready` says, within ANSWER_S, whatever hangs.

A load balancer asks every few seconds and does not wait long. So a check that takes longer goes on in the
background, and until it has ended the answer is that of the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import redis.asyncio
import structlog
from redis.exceptions import NoPermissionError, RedisError

from synckairos.api.schemas import Check
from synckairos.audit.restorer import Restorer
from synckairos.audit.revision import missing
from synckairos.audit.store import Store
from synckairos.core import rights
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import PARTITIONS, alarms
from synckairos.errors import StorageUnavailable, SyncKairosError
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.supervision import Telling, cancel

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ANSWER_S = 0.1
"""How long an answer waits for the checks."""
CHECK_TIMEOUT_S = 1.0
"""How long a check may take. After that what it asks counts as away."""
FULL = 0.8
"""From how much of its `maxmemory` on a server is said to be nearly full."""
TRUSTED_S = 15.0
"""How old the outcome of the last check may be while the next one is under way."""
RIGHTS_EVERY_S = 10.0
"""How often the rights of the service at Redis are tried, while it has them. That takes 23 commands."""


class Readiness:
    """The checks of one process."""

    def __init__(
        self,
        connection: Connection,
        sessions: Sessions,
        subscriptions: Subscriptions,
        store: Store | None,
        restorer: Restorer | None,
    ) -> None:
        self._connection = connection
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._store = store
        self._restorer = restorer
        self._redis_away, self._library_away, self._store_away = Telling(), Telling(), Telling()
        self._rights_missing = Telling()
        self._had_rights = float("-inf")
        """When the service had all rights that its functions need (monotonic seconds)."""
        self._probes = {
            "redis": _Probe(self._redis, Check("unready", "does not answer")),
            "library": _Probe(self._library, Check("unready", "does not answer")),
            "audit": _Probe(
                self._audit, Check("degraded", "does not answer: what Redis loses now cannot be restored yet")
            ),
        }

    async def start(self) -> None:
        """Check all once, within CHECK_TIMEOUT_S, so that the first answer has something to rely on."""
        await asyncio.gather(*(probe.run() for probe in self._probes.values()))

    async def stop(self) -> None:
        """End the checks that are under way."""
        await asyncio.gather(*(probe.stop() for probe in self._probes.values()))

    async def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return all(check.status != "unready" for check in (await self.checks()).values())

    async def checks(self) -> dict[str, Check]:
        """All checks, within about ANSWER_S."""
        redis, library, audit = await asyncio.gather(*(probe.outcome() for probe in self._probes.values()))
        found = {
            "redis": redis,
            "library": library,
            "keyspace_events": self._keyspace_events(),
            "audit": audit,
        }
        if self._connection.unreplicated:
            found["durability"] = Check(
                "degraded", "changes are acknowledged without a replica: the primary has none"
            )
        if self._connection.unconfirmed:
            found["durability"] = Check(
                "degraded", "too few replicas confirm changes: see DURABILITY and REPLICAS"
            )
        restoring = self._restorer.detail if self._restorer is not None else None
        if restoring is not None:
            found["restoring"] = Check("degraded", restoring)
        return found

    async def _redis(self) -> Check:
        if self._has_replicas():
            return Check("degraded", "no primary: reads come from a replica, and changes are refused")
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                used = 0.0
                for client in await self._connection.primaries():
                    await client.ping()
                    used = max(used, await _memory_used(client))
        except (RedisError, OSError, SyncKairosError) as error:  # TimeoutError is an OSError
            logger.log(self._redis_away.level(), "redis does not answer", error=repr(error))
            return Check("unready", "does not answer")
        if self._connection.refuses_changes:
            return Check("degraded", "refuses changes: it has fewer replicas than min-replicas-to-write")
        if used >= FULL:
            return Check("degraded", f"{used:.0%} of maxmemory is used: a full server creates no sessions")
        return Check("ok")

    def _has_replicas(self) -> bool:
        """Whether some primaries are known to be down, and all of them have replicas to read from."""
        down = [key for key in map(alarms, PARTITIONS) if self._connection.is_down(key)]
        return bool(down) and all(map(self._connection.replicas, down))

    async def _library(self) -> Check:
        if self._has_replicas():
            return Check("degraded", "no primary has been asked")
        own = self._connection.library.version
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                found = (await self._sessions.info()).version
        except (TimeoutError, SyncKairosError) as error:
            logger.log(self._library_away.level(), "the function library does not answer", error=repr(error))
            return Check("unready", "does not answer")
        if missing := await self._missing_rights():
            return missing
        if found == own:
            return Check("ok", found)
        if _version(found) > _version(own):
            return Check("ok", f"{found}, newer than this service's {own}")
        return Check("degraded", f"{found}, older than this service's {own}")

    async def _missing_rights(self) -> Check | None:
        """What the functions call and the user of Redis may not, as a check; None when it may all of it."""
        if monotonic() - self._had_rights < RIGHTS_EVERY_S:
            return None
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                for client in await self._connection.primaries():
                    if refused := await rights.refusals(client, rights.OF_FUNCTIONS):
                        return self._refused(rights.user_of(client), refused)
        except (RedisError, OSError, SyncKairosError):
            return None  # the check of Redis itself says so
        self._had_rights = monotonic()
        return None

    def _refused(self, user: str, refused: list[rights.Refusal]) -> Check:
        commands = ", ".join(dict.fromkeys(refusal.command for refusal in refused))
        logger.log(
            self._rights_missing.level(),
            "Redis refuses what the functions call",
            user=user,
            refused=commands,
            remedy=rights.remedy(user, refused),
        )
        return Check("unready", f"Redis refuses what the functions call ({commands}): ask synckairos doctor")

    async def _audit(self) -> Check:
        """Check the audit store. Without it the service works, but what Redis loses cannot be restored."""
        if self._store is None:
            return Check("degraded", "there is no audit store: what Redis loses is lost")
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                found = await self._store.tables()
        except (TimeoutError, StorageUnavailable) as error:
            logger.log(self._store_away.level(), "the audit store does not answer", error=repr(error))
            return Check("degraded", "does not answer: what Redis loses now cannot be restored yet")
        reason = missing(found)
        return Check("ok") if reason is None else Check("degraded", reason)

    def _keyspace_events(self) -> Check:
        """Check the keyspace events. Without them subscribers learn later that a key vanished."""
        if self._subscriptions.keyspace_events == "on":
            return Check("ok")
        return Check("degraded", self._subscriptions.keyspace_detail or "not known yet")


class _Probe:
    """One check. Callers that come while it is under way share it.

    late: the outcome while it takes long and there is none that can be trusted
    """

    def __init__(self, check: Callable[[], Awaitable[Check]], late: Check) -> None:
        self._check = check
        self._late = late
        self._last = late
        self._ended = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def outcome(self) -> Check:
        """The outcome of a check that begins now or, while that takes long, of the last one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.run(), name="readiness")
        done, _ = await asyncio.wait((self._task,), timeout=ANSWER_S)
        if done:
            self._task.result()
        elif monotonic() - self._ended > TRUSTED_S:
            return self._late
        return self._last

    async def stop(self) -> None:
        """End the check that is under way."""
        if self._task is not None:
            await cancel(self._task)

    async def run(self) -> None:
        """Check now."""
        self._last = await self._check()
        self._ended = monotonic()


async def _memory_used(client: redis.asyncio.Redis) -> float:
    """How much of `maxmemory` a server uses; 0 when it has no such bound, or does not say."""
    try:
        found = await client.info("memory")
    except NoPermissionError:
        return 0.0
    most = int(found.get("maxmemory", 0))
    return int(found["used_memory"]) / most if most else 0.0


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
