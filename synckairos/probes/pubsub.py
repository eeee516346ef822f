"""How long a message takes through each primary's Pub/Sub, the way that events take, with traffic or without.

Each process publishes on a channel that it alone listens to, in the slot of one of the primary's partitions.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from time import monotonic

import redis.asyncio

from synckairos import metrics
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.probes.probe import AWAY, Probe
from synckairos.realtime.subscriptions import Handler, Subscriptions
from synckairos.supervision import cancel

EVERY_S = 1.0
LOST_S = 2.0
"""A message that has not come by then counts with this time, so that Pub/Sub that is broken shows as slow."""


class PubSub(Probe):
    """The Pub/Sub of all primaries."""

    name = "probe of Pub/Sub"
    every_s = EVERY_S

    def __init__(self, connection: Connection, subscriptions: Subscriptions) -> None:
        super().__init__()
        self._connection = connection
        self._subscriptions = subscriptions
        self._id = secrets.token_hex(8)
        self._handlers: dict[str, Handler] = {}
        self._listening: dict[str, asyncio.Task[None]] = {}
        """By partition, the task that waits until its channel is subscribed to."""
        self._sent: dict[str, float] = {}
        """By partition, when the message was sent that has not come yet (monotonic seconds)."""

    async def look(self) -> None:
        """Send one message through each primary."""
        places = self._places()
        for partition in self._listening.keys() - places.keys():
            await self._forget(partition)
        for partition in places.keys() - self._listening.keys():
            self._listening[partition] = asyncio.create_task(self._listen(partition), name=self.name)
        await asyncio.gather(
            *(
                self._send(partition, client)
                for partition, client in places.items()
                if self._listening[partition].done() and not self._is_awaited(partition)
            )
        )

    async def stop(self) -> None:
        """Send no more, and listen no more."""
        await super().stop()
        for partition in list(self._listening):
            await self._forget(partition)

    def _places(self) -> dict[str, redis.asyncio.Redis]:
        """The first partition of each primary that is known."""
        found: dict[redis.asyncio.Redis, str] = {}
        for partition in keys.PARTITIONS:
            client = self._connection.known_primary_for(keys.alarms(partition))
            if client is not None:
                found.setdefault(client, partition)
        return {partition: client for client, partition in found.items()}

    async def _listen(self, partition: str) -> None:
        handler = self._handlers[partition] = partial(self._arrived, partition)
        await self._subscriptions.subscribe(self._channel(partition), handler)

    async def _forget(self, partition: str) -> None:
        await cancel(self._listening.pop(partition))
        self._subscriptions.unsubscribe(self._channel(partition), self._handlers.pop(partition))
        self._sent.pop(partition, None)

    async def _send(self, partition: str, client: redis.asyncio.Redis) -> None:
        self._sent[partition] = monotonic()
        try:
            async with asyncio.timeout(LOST_S):
                await client.execute_command("SPUBLISH", self._channel(partition), self._number(partition))
        except AWAY:
            return  # what does not come counts as lost

    def _arrived(self, partition: str, data: bytes) -> None:
        if partition in self._sent and data == self._number(partition):
            metrics.redis_pubsub_latency.observe(monotonic() - self._sent.pop(partition))

    def _is_awaited(self, partition: str) -> bool:
        """Whether a message may still come. One that has not come in time is counted, and given up."""
        sent = self._sent.get(partition)
        if sent is None:
            return False
        if monotonic() - sent < LOST_S:
            return True
        del self._sent[partition]
        metrics.redis_pubsub_latency.observe(LOST_S)
        return False

    def _channel(self, partition: str) -> str:
        return keys.probe_channel(partition, self._id)

    def _number(self, partition: str) -> bytes:
        """What the newest message says, so that one that was given up is not taken for it."""
        return repr(self._sent[partition]).encode()
