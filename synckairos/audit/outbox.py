"""Trims the outboxes of a service without an audit store.

Without an audit store no process reads the outboxes, and they would grow for ever. So each is trimmed to
about its newest MAX_ENTRIES. With an audit store this must not run, because trimmed entries are lost.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

import structlog
from redis.exceptions import RedisError

from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.errors import StorageUnavailable, error_text
from synckairos.supervision import Telling, cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

MAX_ENTRIES = 10_000
ROUND_S = 10.0
SLICES = 32
TIMEOUT_S = 5.0
LASTING_S = 30.0
"""How long trimming may fail before it is a warning. A failover is shorter, and harms no outbox."""


class OutboxTrimmer:
    """Trims every outbox once in ROUND_S, a slice of them at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start trimming in the background."""
        self._task = asyncio.create_task(supervise("outbox trimmer", self._run), name="outbox trimmer")

    async def stop(self) -> None:
        """Stop trimming."""
        if self._task is not None:
            await cancel(self._task)

    async def trim(self, partitions: tuple[str, ...] = keys.PARTITIONS) -> None:
        """Trim the outboxes of these partitions now."""
        pipelines = {}
        for partition in partitions:
            client = await self._connection.primary_for(keys.outbox(partition))
            if client not in pipelines:
                pipelines[client] = client.pipeline(transaction=False)
            pipelines[client].xtrim(keys.outbox(partition), maxlen=MAX_ENTRIES, approximate=True)
        for pipeline in pipelines.values():
            async with asyncio.timeout(TIMEOUT_S):
                await pipeline.execute()

    async def _run(self) -> None:
        failing_since: float | None = None
        telling = Telling()
        while True:
            for number in range(SLICES):
                await asyncio.sleep(ROUND_S / SLICES)
                try:
                    await self.trim(keys.PARTITIONS[number::SLICES])
                except (RedisError, OSError, StorageUnavailable) as error:  # a timeout is an OSError
                    failing_since = failing_since or monotonic()
                    lasts = monotonic() - failing_since > LASTING_S
                    logger.log(
                        telling.level() if lasts else logging.DEBUG,
                        "outboxes cannot be trimmed at the moment",
                        error=error_text(error.__cause__ or error),
                    )
                else:
                    failing_since = None
