"""Whether each primary answers, how full it is, how far its replicas are behind, and who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any

import redis.asyncio
from prometheus_client import Gauge
from redis.exceptions import ResponseError

from synckairos import metrics
from synckairos.core.clients import address
from synckairos.core.connection import Connection
from synckairos.probes.probe import AWAY, Probe

EVERY_S = 5.0
ANSWER_S = 1.0
"""How long a primary may take to answer."""
FEWEST_NEEDED = 2
"""The smallest quorum, and one more."""
UNKNOWN = "unknown"
"""What a primary is called that has not been found since this process began."""


class Primaries(Probe):
    """All primaries of the deployment, and its Sentinels."""

    name = "probe of the primaries"
    every_s = EVERY_S

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._servers = _Named(metrics.redis_up, metrics.redis_memory, metrics.redis_memory_limit)
        self._replicas = _Named(metrics.replication_lag)

    async def look(self) -> None:
        """Ask each primary once. While none is known, those that were known last count as away.

        A process that began during an outage knows of none, and says of one without an address that it is
        away: what nothing is said of would look well.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                clients = await self._connection.primaries()
        except AWAY:
            self._servers.are(set(self._servers.names) or {UNKNOWN})
            for server in self._servers.names:
                metrics.redis_up.labels(server).set(0)
        else:
            found = await asyncio.gather(*map(_ask, clients))
            self._servers.are({address(client) for client in clients})
            self._replicas.are({name for replicas in found for name in replicas})
        watch = self._connection.watch()
        if watch is not None:
            metrics.sentinels_ok.labels(watch.name).set(watch.answering)
            # As long as none has said what the quorum is, one is too few in any case.
            metrics.sentinels_needed.labels(watch.name).set(watch.needed or FEWEST_NEEDED)


class _Named:
    """Gauges with the name of a server as their label, and the servers that they show."""

    def __init__(self, *gauges: Gauge) -> None:
        self._gauges = gauges
        self.names: frozenset[str] = frozenset()

    def are(self, names: set[str]) -> None:
        """Show no other servers than these."""
        for name in self.names - names:
            for gauge in self._gauges:
                gauge.labels(name).set(metrics.UNKNOWN)
        self.names = frozenset(names)


async def _ask(client: redis.asyncio.Redis) -> list[str]:
    """Ask one primary. Returns the names of its replicas, which are shown then."""
    server = address(client)
    try:
        async with asyncio.timeout(ANSWER_S), client.pipeline(transaction=False) as pipeline:
            pipeline.ping()
            pipeline.info("memory")
            pipeline.info("replication")
            pong, memory, replication = await pipeline.execute(raise_on_error=False)
    except AWAY:
        metrics.redis_up.labels(server).set(0)
        return []
    # A server that refuses PING, because it is loading its data, is not up. One that refuses INFO is.
    metrics.redis_up.labels(server).set(not isinstance(pong, ResponseError))
    if not isinstance(memory, Exception):
        metrics.redis_memory.labels(server).set(memory["used_memory"])
        metrics.redis_memory_limit.labels(server).set(memory.get("maxmemory") or inf)
    return [] if isinstance(replication, Exception) else _show_replicas(replication)


def _show_replicas(replication: Mapping[str, Any]) -> list[str]:
    """Show how far the replicas are behind, by `INFO replication` of their primary. Returns their names."""
    names = []
    for number in range(int(replication.get("connected_slaves", 0))):
        replica = replication[f"slave{number}"]
        if replica["state"] == "online":  # what is still being copied has confirmed nothing yet
            names.append(f"{replica['ip']}:{replica['port']}")
            metrics.replication_lag.labels(names[-1]).set(replica["lag"])
    return names
