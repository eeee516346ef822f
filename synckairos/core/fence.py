"""Has a primary that is alone accept changes. Private to `synckairos.core`.

`min-replicas-to-write` fences a primary: without a replica it refuses all writes, since it may have been cut
off, and then another server becomes the primary. But after a cut that leaves one server with most of the
Sentinels, they name that server, and it would refuse writes until the cut is over. This primary is alone:
most of the Sentinels name it, none of them is replacing it or knows a replica that could take its place,
and none is connected to it. So no other one can be named, and nothing that it accepts is lost by that. Its
fence is lifted then.

The fence is lifted with `min-replicas-max-lag 0`, which switches it off. `min-replicas-to-write` stays, so
the server itself says that its fence was lifted, also in its configuration file, which Sentinel rewrites. Any
process that sees this puts the fence up again, and nothing has to be kept for that but the former lag, which
the other servers have too.

It is put up as soon as enough replicas are in step, and as soon as the Sentinels do not stand behind this
primary any more, whoever has lifted it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog
from redis.exceptions import ResponseError

from synckairos.config import Address, Settings
from synckairos.core.answers import FRESH_S, View
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.errors import error_text
from synckairos.supervision import cancel, supervise

log = structlog.get_logger(__name__)

SETTLE_S = 1.0
"""How long after it was named a primary is not alone yet: the Sentinels look at the replicas anew then."""
LOOK_EVERY_S = 1.0
LOOK_ALONE_EVERY_S = 0.1
"""How often the server is looked at, and how often while no replica can be elected."""
SILENT_S = 3
"""A replica that has not reported for so many seconds is not connected any more: it reports once a second."""
SHIPPED_LAG_S = 2
"""The lag in `sentinel/redis.conf`, for the case that nobody knows the former one."""

_TO_WRITE, _MAX_LAG = "min-replicas-to-write", "min-replicas-max-lag"


class Fence:
    """The fence of one primary, watched while the Sentinels name it.

    A server where the service may not use `INFO` or `CONFIG` is left as it is.
    """

    def __init__(self, settings: Settings, address: Address, view: Callable[[], View]) -> None:
        """Begins to watch. view: gives what the Sentinels say now."""
        self._settings = settings
        self._address = address
        self._view = view
        self._client = async_client(settings, address)
        self._named_at = monotonic()
        self._without_replica_at = -math.inf
        """When the server last said that it has no replica (monotonic seconds)."""
        self._lag: int | None = None
        """The lag when the fence is up, in seconds. None while that is not known."""
        self._lifted = False
        self._complained = False
        self._opened = asyncio.Event()
        self._watching = asyncio.create_task(supervise("fence of the primary", self._watch))

    def is_alone(self) -> bool:
        """Whether it is sure that no other server can become the primary at the moment."""
        now = monotonic()
        return self._nobody_else(now) and now - self._without_replica_at <= FRESH_S

    async def pause(self, longest_s: float) -> None:
        """Waits so long, or until calls that were refused may get through: here, or at another primary."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._opened.wait()

    def _nobody_else(self, now: float) -> bool:
        """Whether the Sentinels know nobody else, and have had the time to find somebody."""
        view = self._view()
        named = view.primary == self._address and now - self._named_at >= SETTLE_S
        return named and view.nobody_else(now)

    def _stands(self) -> bool:
        """Whether the Sentinels stand behind this primary."""
        view = self._view()
        return view.primary == self._address and view.stands(monotonic())

    async def _watch(self) -> None:
        looked_at = -math.inf
        while True:
            if not self._view().electable or monotonic() - looked_at >= LOOK_EVERY_S:
                await self._look()
                looked_at = monotonic()
            await asyncio.sleep(LOOK_ALONE_EVERY_S)

    async def _look(self) -> None:
        """Looks at the server once, and lifts the fence or puts it up again."""
        try:
            info = await self._client.info("replication")
            connected = _connected(info)
            if info["role"] == "master" and not connected:
                self._without_replica_at = monotonic()
            else:
                self._without_replica_at = -math.inf
            to_write, lag = await _setting(self._client)
            was_lifted, self._lifted = self._lifted, to_write > 0 and lag == 0
            if self._lifted and not was_lifted:
                self._let_in()
            if lag > 0:
                self._lag = lag
            if self._lifted:
                in_step = sum(replica["state"] == "online" for replica in connected)
                if in_step >= to_write or not self._stands():
                    await self._put_up(connected)
            elif to_write > 0 and self.is_alone():
                await self._lift()
        except ResponseError as error:
            if not self._complained:
                log.error("the fence of the primary cannot be watched", reason=error_text(error))
            self._complained = True
        except REDIS_ERRORS as error:
            log.debug("the fence of the primary cannot be watched", reason=error_text(error))

    async def _lift(self) -> None:
        self._lifted = True
        await self._client.config_set(_MAX_LAG, 0)
        self._let_in()
        log.warning("the primary has no replica, and accepts changes without one", primary=self._address)

    def _let_in(self) -> None:
        """Wake the calls that wait now. Those that come later are not refused."""
        self._opened.set()
        self._opened.clear()

    async def _put_up(self, connected: Sequence[Mapping[str, Any]] = ()) -> None:
        # A replica that has just connected may not be known to the Sentinels yet.
        replicas = {(replica["ip"], int(replica["port"])) for replica in connected} | self._view().electable
        lag = self._lag or await self._lag_of(replicas) or SHIPPED_LAG_S
        await self._client.config_set(_MAX_LAG, lag)
        self._lifted = False
        log.warning("the primary accepts changes only with a replica again", primary=self._address)

    async def _lag_of(self, replicas: Iterable[Address]) -> int:
        """The lag of a replica, as all servers of a deployment have the same one. 0 when none tells it."""
        for address in replicas:
            client = async_client(self._settings, address)
            try:
                _, lag = await _setting(client)
            except REDIS_ERRORS:
                continue
            finally:
                await client.aclose()
            if lag > 0:
                return lag
        return 0

    async def aclose(self) -> None:
        """Ends watching. A fence that was lifted is put up, since this process looks after it no longer."""
        self._let_in()
        await cancel(self._watching)
        if self._lifted:
            try:
                await self._put_up()
            except REDIS_ERRORS as error:
                log.error("the fence of the primary stays lifted", reason=error_text(error))
        await self._client.aclose()


def _connected(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The replicas that are connected to a server, by its `INFO replication`."""
    replicas = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
    return [replica for replica in replicas if replica["lag"] <= SILENT_S]


async def _setting(client: Any) -> tuple[int, int]:
    """How many replicas a server needs for a write, and their greatest lag in seconds."""
    found = await client.config_get("min-replicas-*")
    return int(found[_TO_WRITE]), int(found[_MAX_LAG])
