"""A planned change of one primary of a cluster, by `CLUSTER FAILOVER`.

The cluster itself has everything that this needs: the primary holds its writes until the replica has them
all, and the nodes vote. All that is to be done is to choose the replica, and to wait until it has taken over.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from synckairos.config import Address, Settings
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.errors import error_text
from synckairos.failover.handover import Handover, NotHandedOver, shown

TAKEN_OVER_S = 10.0
"""How long a replica may take. A cluster gives up a planned change after 5 s."""
PAUSE_S = 0.003


async def hand_over(settings: Settings, primary: Address | None) -> Handover:
    """Has a replica of `primary` take over. Raises NotHandedOver; then the old one is the primary still."""
    async with AsyncExitStack() as stack:
        try:
            return await _hand_over(settings, primary, stack)
        except REDIS_ERRORS as error:
            raise NotHandedOver(error_text(error)) from error


async def _hand_over(settings: Settings, primary: Address | None, stack: AsyncExitStack) -> Handover:
    replicas_of = await _replicas_of(settings, stack)
    known = ", ".join(shown(each) for each in sorted(replicas_of))
    if primary is None:
        raise NotHandedOver(f"a cluster has several primaries; --primary says which one to replace: {known}")
    if primary not in replicas_of:
        raise NotHandedOver(f"{shown(primary)} is no primary of the cluster; the primaries are {known}")
    offsets: dict[Address, int] = {}
    clients = {}
    for address in replicas_of[primary]:
        clients[address] = async_client(settings, address)
        stack.push_async_callback(clients[address].aclose)
        with suppress(*REDIS_ERRORS):
            info = await clients[address].info("replication")
            if info["role"] == "slave" and info["master_link_status"] == "up":
                offsets[address] = int(info["slave_repl_offset"])
    if not offsets:
        raise NotHandedOver(f"{shown(primary)} has no replica that could take over")
    new = max(offsets, key=lambda address: offsets[address])
    asked = time.monotonic()
    await clients[new].execute_command("CLUSTER", "FAILOVER")
    while (await clients[new].info("replication"))["role"] != "master":
        if time.monotonic() - asked > TAKEN_OVER_S:
            raise NotHandedOver(f"{shown(new)} has not taken over within {TAKEN_OVER_S:g} s")
        await asyncio.sleep(PAUSE_S)
    return Handover(primary, new, round(1000 * (time.monotonic() - asked)))


async def _replicas_of(settings: Settings, stack: AsyncExitStack) -> dict[Address, list[Address]]:
    """The replicas of each primary, as the first node knows them that answers. Raises NotHandedOver."""
    trouble = "no node is known"
    for address in settings.redis_cluster_nodes:
        client = async_client(settings, address)
        stack.push_async_callback(client.aclose)
        try:
            ranges = await client.execute_command("CLUSTER", "SLOTS")
        except REDIS_ERRORS as error:
            trouble = error_text(error)
        else:
            found: dict[Address, list[Address]] = {}
            for _first, _last, primary, *replicas in ranges:
                found[_address(primary, address[0])] = [_address(each, address[0]) for each in replicas]
            return found
    raise NotHandedOver(f"no node of the cluster answers: {trouble}")


def _address(node: list[Any], asked: str) -> Address:
    """A node of `CLUSTER SLOTS`. The host that was asked stands for one that does not know its own."""
    host = (node[0] or b"").decode()
    return asked if host in ("", "?") else host, int(node[1])
