"""`synckairos failover` behind Sentinels: nothing acknowledged is lost, and a failure changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError

from synckairos.config import Settings
from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Options
from synckairos.drill.deployment import Deployment, Kind
from synckairos.errors import StorageUnavailable
from synckairos.failover import sentinels as failover
from synckairos.failover.handover import NotHandedOver
from synckairos.failover.sentinels import LOOKED_AT_MS, hand_over
from synckairos.history.servers import read_sessions
from tests.failover.conftest import settings_for, watched
from tests.support import programs, servers
from tests.support.live import PATIENCE_S, eventually, game, settings
from tests.support.sentinels import NAME, Sentinel
from tests.support.servers import Server

CALLERS = 8


class Callers:
    """Callers that switch sessions all the time, patiently, and remember what was acknowledged."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._going = True
        self.acknowledged: dict[str, list[bytes]] = {}

    async def call(self) -> None:
        session_id = await game(self._sessions)
        changes = self.acknowledged[session_id] = []
        number = 0
        while self._going:
            number += 1
            while True:
                try:
                    change = await self._sessions.switch(session_id, options=Options(request=str(number)))
                except StorageUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    changes.append(change.raw)
                    break
            await asyncio.sleep(0.02)

    async def go_on(self) -> None:
        """Waits until each has been acknowledged more."""
        before = {session_id: len(changes) for session_id, changes in self.acknowledged.items()}
        async with asyncio.timeout(3 * PATIENCE_S):
            while any(len(self.acknowledged[each]) < count + 3 for each, count in before.items()):
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._going = False


async def test_nothing_is_lost_and_all_sentinels_name_the_new_primary(kind: Kind) -> None:
    said: list[str] = []
    async with watched(kind) as deployment:
        old = await deployment.named()
        assert old is not None
        async with (
            await connections.connect(settings_for(deployment)) as connection,
            asyncio.TaskGroup() as group,
        ):
            callers = Callers(Sessions(connection, 3600))
            for _ in range(CALLERS):
                group.create_task(callers.call())
            await asyncio.sleep(0.1)
            await callers.go_on()
            handover = await hand_over(settings_for(deployment), said.append)
            await callers.go_on()
            callers.stop()
        assert handover.old == old
        assert await asyncio.gather(*map(deployment.named_by, deployment.sentinels)) == 3 * [handover.new]
        assert [line for line in said if "writes were held" in line]
        # All of it is on the new primary, and the old one has become its replica.
        new = deployment.server_at(handover.new)
        async with Connection.to(Settings(redis_url=f"redis://{new.host}:{new.port}")) as connection:
            async for truth in read_sessions(connection, None, callers.acknowledged):
                happened = {bytes(event) for events in truth.events.values() for event in events}
                assert set(callers.acknowledged[truth.session_id]) <= happened
        assert (await deployment.server_at(old).info())["role"] == "slave"
        assert (await new.client.config_get("replica-priority"))["replica-priority"] == "100"


async def test_a_function_is_held_while_writes_are_paused(kind: Kind) -> None:
    async with watched(kind) as deployment:
        await writes_are_held_and_go_on(deployment)
        await a_replica_that_does_not_copy_stops_it(deployment)


async def writes_are_held_and_go_on(deployment: Deployment) -> None:
    primary = deployment.servers[0]
    async with Connection.to(Settings(redis_url=f"redis://127.0.0.1:{primary.port}")) as connection:
        await connection.load()
        sessions = Sessions(connection, 3600)
        session_id = await game(sessions)
        await primary.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        held = asyncio.create_task(sessions.switch(session_id))
        async with asyncio.timeout(PATIENCE_S):
            while not (await primary.client.info("clients"))["blocked_clients"]:
                await asyncio.sleep(0.01)
        await primary.client.execute_command("CLIENT", "UNPAUSE")
        await held


async def a_replica_that_does_not_copy_stops_it(deployment: Deployment) -> None:
    primary, _, behind = deployment.servers
    chosen = settings_for(deployment)
    behind.signal(SIGSTOP)
    try:
        with pytest.raises(NotHandedOver):
            await hand_over(chosen, lambda _: None)
    finally:
        behind.signal(SIGCONT)
    assert await deployment.named() == primary.announced
    assert await primary.client.set("writes", "go on", ex=60)
    assert [
        (await server.client.config_get("replica-priority"))["replica-priority"]
        for server in deployment.servers
    ] == 3 * ["100"]


async def test_what_cannot_be_asked_is_said() -> None:
    alone = programs.run("failover")
    assert alone.returncode == 2
    assert "one server has nobody to hand over to" in alone.stderr
    nobody = Settings(redis_sentinel_hosts=(("127.0.0.1", 1),), redis_sentinel_name="synckairos")
    with pytest.raises(NotHandedOver, match="0 of 1 Sentinels answer"):
        await hand_over(nobody, lambda _: None)


@asynccontextmanager
async def scripted(kind: Kind) -> AsyncIterator[tuple[Server, Server, list[Sentinel], Settings]]:
    """A primary, a replica, and Sentinels that do nothing by themselves. They were just about to look."""
    async with AsyncExitStack() as stack:
        old = stack.enter_context(servers.start(kind))
        new = stack.enter_context(servers.start_replica(old))
        sentinels = [await stack.enter_async_context(Sentinel(old, [new])) for _ in range(3)]
        for each in sentinels:
            each.priority, each.looked_ms = 1, LOOKED_AT_MS
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
        chosen = settings("redis://127.0.0.1/0", REDIS_SENTINEL_HOSTS=hosts, REDIS_SENTINEL_NAME=NAME)
        yield old, new, sentinels, chosen


async def role(client: Redis) -> str:
    found: str = (await client.info("replication"))["role"]
    return found


async def has_role(client: Redis, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await role(client) != wanted:
            await asyncio.sleep(0.01)


async def test_interrupted_it_goes_on_as_soon_as_one_sentinel_names_the_new_primary(kind: Kind) -> None:
    """Services follow that one, so the new primary may have writes already."""
    async with scripted(kind) as (old, new, sentinels, chosen), old.client() as before, new.client() as after:
        handing_over = asyncio.create_task(hand_over(chosen, lambda _: None))
        await eventually(lambda: sentinels[0].failovers)
        await after.replicaof("NO", "ONE")
        sentinels[2].name(new, epoch=2)
        await has_role(before, "slave")
        await after.set("written", "at the new one", ex=60)
        handing_over.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handing_over
        assert await role(after) == "master"
        assert await after.get("written") == b"at the new one"
        assert await role(before) == "slave"


@pytest.mark.parametrize("stale", [False, True])
async def test_interrupted_it_turns_back_when_no_sentinel_names_the_new_primary(
    kind: Kind, stale: bool
) -> None:
    """One that missed an earlier failover, and names another one since, is believed by nobody."""
    async with scripted(kind) as (old, new, sentinels, chosen), old.client() as before, new.client() as after:
        for each in sentinels:
            each.epoch = 5
        if stale:
            sentinels[2].name(new, epoch=4)
        handing_over = asyncio.create_task(hand_over(chosen, lambda _: None))
        await eventually(lambda: sentinels[0].failovers)
        await after.replicaof("NO", "ONE")
        await has_role(before, "slave")
        handing_over.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handing_over
        assert (await role(before), await role(after)) == ("master", "slave")
        assert await before.set("writes", "go on", ex=60)


async def test_interrupted_it_waits_for_a_sentinel_that_was_asked_already(kind: Kind) -> None:
    """Otherwise the old primary would accept writes, and lose them when the replica is promoted."""
    async with scripted(kind) as (old, new, sentinels, chosen), old.client() as before, new.client() as after:
        handing_over = asyncio.create_task(hand_over(chosen, lambda _: None))
        await eventually(lambda: sentinels[0].failovers)
        sentinels[0].flags = "master,failover_in_progress"
        held = await hold_a_write(before)
        handing_over.cancel()
        await asyncio.wait({handing_over}, timeout=0.3)
        await after.replicaof("NO", "ONE")
        sentinels[0].name(new, epoch=2)
        with pytest.raises(asyncio.CancelledError):
            await handing_over
        with pytest.raises(ReadOnlyError):
            await held
        assert (await role(before), await role(after)) == ("slave", "master")


async def hold_a_write(primary: Redis) -> asyncio.Future[Any]:
    """A write that the primary holds, because it was told to pause."""
    held = asyncio.ensure_future(primary.set("written", "at the old one", ex=60))
    async with asyncio.timeout(PATIENCE_S):
        while not (await primary.info("clients"))["blocked_clients"]:
            await asyncio.sleep(0.01)
    return held


async def test_an_old_primary_that_cannot_become_a_replica_carries_out_nothing(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "SETTLED_S", 0.1)
    async with scripted(kind) as (old, new, sentinels, chosen), old.client() as before, new.client() as after:
        await before.execute_command("ACL", "SETUSER", "default", "-replicaof", "-slaveof")
        handing_over = asyncio.create_task(hand_over(chosen, lambda _: None))
        await eventually(lambda: sentinels[0].failovers)
        held = await hold_a_write(before)
        await after.replicaof("NO", "ONE")
        for each in sentinels:
            each.name(new, epoch=2)
        await handing_over
        assert await role(before) == "master"
        assert await before.exists("written") == 0
        # The Sentinels get it done later, and then it refuses what it has held.
        await before.execute_command("ACL", "SETUSER", "default", "+replicaof", "+slaveof")
        await before.replicaof("127.0.0.1", str(new.port))
        await before.execute_command("CLIENT", "UNPAUSE")
        with pytest.raises(ReadOnlyError):
            await held


async def test_what_the_settings_have_wrong_is_named(kind: Kind) -> None:
    with servers.start(kind) as primary, servers.start_sentinel(primary, "game") as sentinel:

        def chosen(name: str = "game", password: str | None = None) -> Settings:
            hosts = (("127.0.0.1", sentinel.port),)
            return Settings(
                redis_sentinel_hosts=hosts, redis_sentinel_name=name, redis_sentinel_password=password
            )

        for wrong, meant, words in (
            (chosen(), ("127.0.0.1", 1), f"127.0.0.1:1 is not the primary; .* 127.0.0.1:{primary.port}"),
            (chosen(), ("127.0.0.1", primary.port), "know no replica"),
            (chosen("other"), None, "the name other: correct REDIS_SENTINEL_NAME"),
            (chosen(password="wrong"), None, "1 of 1 Sentinels refuse .* REDIS_SENTINEL_PASSWORD"),
        ):
            with pytest.raises(NotHandedOver, match=words):
                await hand_over(wrong, lambda _: None, meant)
