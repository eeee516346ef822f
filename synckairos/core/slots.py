"""Which node of a cluster serves which slots, as one of them says. Private to `synckairos.core`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis.asyncio

from synckairos.config import Address


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots in a row of one primary. failed: whether the nodes have agreed that it does not answer."""

    first: int
    last: int
    primary: Address
    replicas: tuple[Address, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class ClusterMap:
    """The map of slots as one node has it. works: whether the node says that the cluster works."""

    ranges: list[SlotRange]
    works: bool
    epoch: int

    @property
    def rank(self) -> tuple[bool, int]:
        """Of two maps the one of the higher rank is to be believed."""
        return self.works, self.epoch


async def read_map(client: redis.asyncio.Redis, asked: str) -> ClusterMap:
    """The map of one node. Raises RedisError, OSError.

    asked: the node's host. It stands for a host that is empty or "?": such a node does not know its own
        address.
    """
    async with client.pipeline(transaction=False) as pipeline:
        for what in ("SLOTS", "INFO", "NODES"):
            pipeline.execute_command("CLUSTER", what)
        slots, info, nodes = await pipeline.execute()
    about = dict(line.split(":", 1) for line in info.decode().split())
    failed = set()
    for line in nodes.decode().splitlines():
        node_id, _, flags, *_ = line.split(" ")
        if "fail" in flags.split(","):
            failed.add(node_id)

    def address(node: list[Any]) -> Address:
        host = (node[0] or b"").decode()
        return (asked if host in ("", "?") else host), int(node[1])

    return ClusterMap(
        [
            SlotRange(
                first, last, address(primary), tuple(map(address, replicas)), primary[2].decode() in failed
            )
            for first, last, primary, *replicas in slots
        ],
        about["cluster_state"] == "ok",
        int(about["cluster_current_epoch"]),
    )
