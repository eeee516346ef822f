"""`synckairos failover` behind Sentinels: nothing acknowledged is lost, and a failure changes nothing."""

from __future__ import annotations

import asyncio
from signal import SIGCONT, SIGSTOP

import pytest

from synckairos.config import Settings
from synckairos.core import connection as connections
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.model import Options
from synckairos.drill.deployment import Deployment, Kind
from synckairos.errors import NetworkTimeout, StorageUnavailable
from synckairos.failover.handover import NotHandedOver
from synckairos.failover.sentinels import hand_over
from synckairos.history.servers import read_sessions
from tests.failover.conftest import settings_for, watched
from tests.support import programs, servers
from tests.support.live import PATIENCE_S, game

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
                except (StorageUnavailable, NetworkTimeout):
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
