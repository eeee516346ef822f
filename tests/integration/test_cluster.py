"""A cluster whose nodes die and whose slots move, while no caller's error tells of it."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from synckairos.core import library
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library, LibraryStatus
from synckairos.core.model import Options
from tests.support import servers
from tests.support.live import PATIENCE_S, Parts, game, parts, settings
from tests.support.servers import Cluster


@asynccontextmanager
async def clustered(cluster: Cluster) -> AsyncIterator[Parts]:
    async with parts(settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)) as live:
        yield live


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.05)


async def outcomes(cluster: Cluster, ids: list[str]) -> Counter[str]:
    """What the nodes say of the sessions' statuses, without the connection that is tested."""
    found: dict[str, str] = {}
    for server in (*cluster.primaries, *cluster.replicas):
        if server.process is None or server.process.poll() is not None:
            continue
        async with server.client() as client:
            if (await client.execute_command("ROLE"))[0] != b"master":
                continue
            for session_id in ids:
                key = SessionKeys.of(session_id).session
                try:
                    status: Any = await client.hget(key, "status")
                except ResponseError:  # MOVED: another node has it
                    continue
                found[session_id] = "gone" if status is None else status.decode()
    return Counter(found.values())


async def test_clocks_expire_although_their_primary_died_and_nobody_calls() -> None:
    with servers.start_cluster("valkey", replicas=True) as cluster:
        async with clustered(cluster) as live:
            ids = [await game(live.sessions, seconds=2) for _ in range(30)]
            await live.timekeeper.start()
            await live.relay.start()
            cluster.primaries[0].kill()

            async def expired() -> bool:
                return await outcomes(cluster, ids) == {"expired": 30}

            await until(expired)


async def test_clocks_expire_although_their_slots_moved_and_nobody_calls() -> None:
    with servers.start_cluster("valkey") as cluster:
        async with clustered(cluster) as live:
            session_id = await game(live.sessions, seconds=3)
            await live.timekeeper.start()
            await move_atomically(cluster, session_id)

            async def expired() -> bool:
                return await outcomes(cluster, [session_id]) == {"expired": 1}

            await until(expired)


async def move_atomically(cluster: Cluster, session_id: str) -> None:
    """Move the session's slot to another node as Valkey 9 does it: with all that is in it, in one step."""
    nodes = [server.client() for server in cluster.primaries]
    try:
        key = SessionKeys.of(session_id).session
        slot = await nodes[0].execute_command("CLUSTER", "KEYSLOT", key)
        source = slot * len(nodes) // servers.SLOTS
        target = (source + 1) % len(nodes)
        target_id = (await nodes[target].execute_command("CLUSTER", "MYID")).decode()
        await nodes[source].execute_command(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target_id
        )

        async def moved() -> bool:
            return bool(await nodes[target].execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)) and not (
                await nodes[source].execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
            )

        await until(moved)
    finally:
        for node in nodes:
            await node.aclose()


async def test_a_slot_that_moves_at_once_costs_no_error_although_the_new_node_has_no_library() -> None:
    with servers.start_cluster("valkey") as cluster:
        async with clustered(cluster) as live:
            session_id = await game(live.sessions)
            position = home(session_id)
            target = cluster.primaries[(position + 1) % 3]
            async with target.client() as client:
                await client.function_flush("SYNC")
            going = asyncio.create_task(switching(live, session_id))
            await move_atomically(cluster, session_id)
            before = (await live.sessions.get(session_id)).version

            async def goes_on() -> bool:
                return (await live.sessions.get(session_id)).version > before + 20

            await until(goes_on)
            assert not going.done()
            going.cancel()
            async with target.client() as client:
                assert await library.library_status(client, Library.assemble()) is LibraryStatus.SAME


def home(session_id: str) -> int:
    """The position of the primary that has the session's slot at first."""
    return key_slot(SessionKeys.of(session_id).session.encode()) * 3 // servers.SLOTS


async def switching(live: Parts, session_id: str) -> None:
    while True:
        await live.sessions.switch(session_id, options=Options(request=str(uuid.uuid4())))


async def test_a_node_gets_the_newest_library_of_the_others() -> None:
    """A process with an older library does not bring that one to a new node."""
    with servers.start_cluster("valkey") as cluster:
        clients: list[Redis] = [server.client() for server in cluster.primaries]
        try:
            own = Library.assemble()
            newer = Library("99.0.0", own.payload.replace(f'"{own.version}"', '"99.0.0"', 1))
            await clients[1].function_load(newer.payload)
            async with clustered(cluster):
                for client in clients:
                    assert await library.library_status(client, newer) is LibraryStatus.SAME
        finally:
            for client in clients:
                await client.aclose()
