"""Which processes keep time together, and which of them goes first in a partition.

Each process announces itself once a second on a channel that all of them hear. From the names it hears, each
works out the same order for every partition (rendezvous hashing), so a process that comes or goes changes
only the partitions that it gets or had. Nothing is stored and nobody has to agree: a process with a wrong
view only makes calls that another one makes too, or makes its calls a moment later.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import blake2b

import structlog
from redis.exceptions import RedisError

from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable, error_text
from synckairos.realtime.subscriptions import Subscriptions
from synckairos.supervision import cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ANNOUNCE_EVERY_S = 1.0
MISSED_AT_MOST = 2
"""A process that is not heard for one announcement more than this counts as gone."""
HAND_OVER_S = 0.2
"""How long two processes go first when one takes over from the other: one that joins begins before the others
hear of it, and one that leaves goes on after they have. Each may be busy just then, with its start or with
the sockets that come over, and what is due in that moment would be called by nobody in time.
"""
TIMEOUT_S = 1.0
_HERE, _LEAVING = b"+", b"-"


class Membership:
    """This process and the others that keep time with it.

    name: of this process, the same as long as it runs
    on_change: is called when a process came or left
    """

    def __init__(
        self, connection: Connection, subscriptions: Subscriptions, on_change: Callable[[], None]
    ) -> None:
        self.name = secrets.token_hex(8)
        self._connection = connection
        self._subscriptions = subscriptions
        self._on_change = on_change
        self._missed: dict[str, int] = {}
        """The other processes, and how many announcements in a row each has missed.

        Missed announcements are counted by this process' own, so that one that stood still does not take
        all others for gone.
        """
        self._takes_part = self._is_announced = False
        self._orders: dict[str, list[str]] = {}
        self._announce_now = asyncio.Event()
        self._handing_over: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._arrange()

    async def start(self) -> None:
        """Start to listen to the others. Until `join` this process goes after all of them."""
        self._subscriptions.on_restored.append(self._restored)
        self._tasks = [
            asyncio.create_task(supervise("announcements", self._announce), name="announcements"),
            asyncio.create_task(
                self._subscriptions.subscribe(keys.TIMEKEEPERS, self._heard), name="timekeepers"
            ),
        ]

    def join(self) -> None:
        """Go first in a share of the partitions, and tell the others after HAND_OVER_S."""
        self._end_hand_over()
        self._takes_part = True
        self._changed()
        self._handing_over = asyncio.get_running_loop().call_later(HAND_OVER_S, self._begin_to_announce)

    async def leave(self) -> None:
        """Tell the others that this process leaves.

        It goes after all of them once they have had HAND_OVER_S for that, and until then as before.
        """
        self._end_hand_over()
        self._takes_part = self._is_announced = False
        await self._publish(_LEAVING)
        self._handing_over = asyncio.get_running_loop().call_later(HAND_OVER_S, self._changed)

    async def stop(self) -> None:
        """Tell the others that this process leaves, and stop."""
        self._end_hand_over()
        was_started = bool(self._tasks)
        await cancel(*self._tasks)
        self._tasks = []
        self._subscriptions.unsubscribe(keys.TIMEKEEPERS, self._heard)
        if was_started and self._is_announced:
            await self._publish(_LEAVING)

    def rank(self, partition: str) -> int:
        """How many processes go before this one in the partition; 0: this is the preferred one."""
        order = self._orders[partition]
        return order.index(self.name) if self.name in order else len(order)

    def preferred(self, partition: str) -> str:
        """The name of the process that goes first in the partition."""
        return self._orders[partition][0]

    @property
    def members(self) -> frozenset[str]:
        """The names of all processes, of this one too."""
        return frozenset((self.name, *self._missed))

    def _arrange(self) -> None:
        """Work out each partition's order."""
        others = list(self._missed)
        members = [name.encode() for name in (others if others and not self._takes_part else self.members)]
        self._orders = {
            partition: [
                name.decode()
                for name in sorted(members, key=lambda name: blake2b(name, key=tag, digest_size=8).digest())
            ]
            for partition in keys.PARTITIONS
            for tag in (partition.encode(),)
        }

    def _heard(self, data: bytes) -> None:
        sign, name = data[:1], data[1:].decode(errors="replace")
        if name == self.name:
            return
        known = name in self._missed
        if sign == _HERE:
            self._missed[name] = 0
        else:
            self._missed.pop(name, None)
        if known != (sign == _HERE):
            self._changed()
            if not known:  # it has not heard this one yet
                self._announce_now.set()

    def _changed(self) -> None:
        self._arrange()
        logger.debug("timekeepers", members=len(self.members))
        self._on_change()

    def _begin_to_announce(self) -> None:
        self._is_announced = True
        self._announce_now.set()

    def _end_hand_over(self) -> None:
        if self._handing_over is not None:
            self._handing_over.cancel()

    def _restored(self, channels: Collection[str]) -> None:
        if keys.TIMEKEEPERS in channels:
            self._announce_now.set()

    async def _announce(self) -> None:
        while True:
            if self._is_announced:
                await self._publish(_HERE)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_EVERY_S):
                    await self._announce_now.wait()
                    self._announce_now.clear()
                    continue
            for name in self._missed:
                self._missed[name] += 1
            gone = [name for name, missed in self._missed.items() if missed > MISSED_AT_MOST]
            for name in gone:
                del self._missed[name]
            if gone:
                self._changed()

    async def _publish(self, sign: bytes) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                client = await self._connection.primary_for(keys.TIMEKEEPERS)
                await client.execute_command("SPUBLISH", keys.TIMEKEEPERS, sign + self.name.encode())
        except (RedisError, OSError, StorageUnavailable) as error:  # a timeout is an OSError
            logger.debug("this process could not be announced", error=error_text(error))
