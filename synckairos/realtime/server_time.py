"""The server's clock as this process estimates it: what `TIME` of a Redis primary would return now.

Asking for each time would cost a round trip, and the answer would be old by the time of its way back. So the
offset between the local monotonic clock and each primary's `TIME` is measured every few seconds. Of the last
few measurements the one with the shortest round trip is used. All times are milliseconds.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from time import monotonic, time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.core.connection import Connection
from synckairos.core.keys import PARTITIONS, alarms
from synckairos.errors import StorageUnavailable
from synckairos.supervision import cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

MEASURE_EVERY_S = 2.0
FIRST_SAMPLES = 5
KEPT_SAMPLES = 8
DRIFT_MS_PER_S = 0.05
"""By how much a measurement gets less certain for each second of age: the drift of a bad oscillator."""
STEP_MS = 2.0
"""When measurements differ by more than their round trips explain, plus this, the clock was set."""
TIMEOUT_S = 1.0


class Offset:
    """The offset of one primary's clock from the local monotonic clock."""

    __slots__ = ("_samples", "offset_ms", "uncertainty_ms")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=KEPT_SAMPLES)
        self.offset_ms = 1000.0 * (time() - monotonic())
        """Server time minus monotonic time. Before the first measurement it uses the local wall clock."""
        self.uncertainty_ms = float("inf")
        """Half the round trip of the measurement behind `offset_ms`; the error is at most this."""

    def add(self, sent: float, server_ms: float, received: float) -> None:
        """Add a measurement: monotonic seconds before and after, and the server's clock between (ms)."""
        uncertainty = 500.0 * (received - sent)
        offset = server_ms - 500.0 * (received + sent)
        if self._samples and abs(offset - self.offset_ms) > uncertainty + self.uncertainty_ms + STEP_MS:
            self._samples.clear()
        self._samples.append((offset, uncertainty, received))
        self.offset_ms, self.uncertainty_ms, _ = min(
            self._samples, key=lambda sample: sample[1] + DRIFT_MS_PER_S * (received - sample[2])
        )


class ServerClock:
    """The clocks of all primaries. The clock of a partition is the clock of its primary."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._offsets: dict[Redis, Offset] = {}
        self._guess = Offset()
        self._of_partition: dict[str, Offset] = dict.fromkeys(PARTITIONS, self._guess)
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        """Set when another server became a primary: its clock is another one."""

    async def start(self) -> None:
        """Measure now, and from then on in the background. A server that does not answer raises no error."""
        for _ in range(FIRST_SAMPLES):
            await self.measure()
            if math.isinf(self.uncertainty_ms()):
                break
        self._connection.on_change.add(self._changed.set)
        self._task = asyncio.create_task(supervise("server clock", self._run), name="server clock")

    async def stop(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._connection.on_change.discard(self._changed.set)
            await cancel(self._task)

    def now_ms(self, partition: str = PARTITIONS[0]) -> float:
        """The time of the partition's primary, now."""
        return 1000.0 * monotonic() + self._of_partition[partition].offset_ms

    def uncertainty_ms(self, partition: str = PARTITIONS[0]) -> float:
        """By how much `now_ms` can be wrong; infinite before the first measurement."""
        return self._of_partition[partition].uncertainty_ms

    async def measure(self) -> None:
        """Measure every primary once, side by side."""
        try:
            clients = await self._connection.primaries()
        except Exception as error:  # noqa: BLE001 - finding the primaries may raise anything; the next round tries again
            logger.debug("no primary is known whose clock could be measured", error=repr(error))
            return
        await asyncio.gather(*map(self._measure, clients))
        self._offsets = {client: offset for client, offset in self._offsets.items() if client in clients}
        for partition in PARTITIONS:
            try:
                client = (
                    clients[0] if len(clients) == 1 else await self._connection.primary_for(alarms(partition))
                )
            except StorageUnavailable:  # no shard has this slot now; the last clock still counts
                continue
            self._of_partition[partition] = self._offsets.get(client, self._guess)
        if math.isfinite(self.uncertainty_ms()):
            metrics.clock_offset.set(self.now_ms() / 1000.0 - time())

    async def _measure(self, client: Redis) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                sent = monotonic()
                seconds, microseconds = await client.time()
                received = monotonic()
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            logger.debug("a primary did not answer with its time", error=repr(error))
            return
        self._offsets.setdefault(client, Offset()).add(
            sent, 1000.0 * seconds + microseconds / 1000.0, received
        )

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(MEASURE_EVERY_S):
                    await self._changed.wait()
            self._changed.clear()
            await self.measure()
