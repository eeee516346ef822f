"""What all probes have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from redis.exceptions import RedisError

from synckairos.errors import SyncKairosError
from synckairos.supervision import cancel, supervise

AWAY = (RedisError, OSError, SyncKairosError)
"""What asking a server may raise while the server is away. A timeout is an OSError."""


class Probe(ABC):
    """Looks every `every_s` seconds, until it is stopped."""

    name: str
    every_s: float

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start looking, in the background."""
        self._task = asyncio.create_task(supervise(self.name, self._run), name=self.name)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            await cancel(self._task)

    @abstractmethod
    async def look(self) -> None:
        """Look once, and set the metrics. That a server is away raises nothing."""

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self.every_s)
