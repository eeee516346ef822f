"""A primary without a replica refuses changes, because it may have been cut off. When it is sure that no
other server can take its place, its fence is lifted. It is put up again, whatever happens to who lifted it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from structlog.testing import capture_logs

from synckairos.config import Settings, load
from synckairos.core import fence
from synckairos.core.answers import View
from synckairos.core.connection import Connection
from synckairos.core.fence import SHIPPED_LAG_S, Fence
from synckairos.core.routes import Named
from synckairos.errors import NotReplicated
from tests.support import servers
from tests.support.live import eventually, game, parts, service
from tests.support.programs import Program
from tests.support.sentinels import NAME, Sentinel, at
from tests.support.servers import Server

pytestmark = pytest.mark.parametrize("kind", servers.available())

LAG_S = 5
"""The lag of the servers here, which is not the one that would be taken if nobody knew theirs."""
PATIENCE_S = 30.0
ENOUGH_LOOKS = 5

SERVE = """
import asyncio, os
from synckairos.config import load
from synckairos.core.connection import Connection

async def main():
    async with Connection.to(load(os.environ)) as connection:
        await connection.load_when_possible()
        await asyncio.Event().wait()

asyncio.run(main())
"""


def fenced(kind: servers.Kind) -> Server:
    """A server with a fence and without a replica."""
    return servers.start(kind, min_replicas_to_write="1", min_replicas_max_lag=str(LAG_S))


@asynccontextmanager
async def named_by_three(primary: Server) -> AsyncIterator[list[Sentinel]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Sentinel(primary)) for _ in range(3)]


def environ(sentinels: list[Sentinel], **more: str) -> dict[str, str]:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
    return {"REDIS_SENTINEL_HOSTS": hosts, "REDIS_SENTINEL_NAME": NAME, **more}


def behind(sentinels: list[Sentinel], **more: str) -> Settings:
    return load(environ(sentinels, ENABLE_METRICS="false", **more))


def setting(server: Server) -> tuple[int, int]:
    with server.sync_client() as client:
        found = client.config_get("min-replicas-*")
        return int(found["min-replicas-to-write"]), int(found["min-replicas-max-lag"])


def is_lifted(server: Server) -> bool:
    return setting(server) == (1, 0)


def is_up(server: Server) -> bool:
    return setting(server) == (1, LAG_S)


def view(connection: Connection) -> View:
    """What the Sentinels say together."""
    route = connection._route
    assert isinstance(route, Named)
    return route.view


class Looks:
    """Counts how often any process here has looked at a primary."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        look = Fence._look

        async def counted(self_: Fence) -> None:
            await look(self_)
            self.count += 1

        monkeypatch.setattr(Fence, "_look", counted)

    async def enough(self, condition: Callable[[], bool] = lambda: True) -> None:
        """Waits until a condition holds, and then for some more looks."""
        await eventually(condition, PATIENCE_S)
        seen = self.count
        await eventually(lambda: self.count >= seen + ENOUGH_LOOKS, PATIENCE_S)


async def test_a_primary_that_is_alone_accepts_changes_until_it_has_a_replica_again(
    kind: servers.Kind,
) -> None:
    with fenced(kind) as primary:
        async with (
            named_by_three(primary) as sentinels,
            service(behind(sentinels, DURABILITY="replicated")) as running,
            parts(behind(sentinels, DURABILITY="replicated", REPLICAS="1")) as strict,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=PATIENCE_S) as api,
        ):
            await eventually(lambda: is_lifted(primary), PATIENCE_S)
            connection = running.context.connection
            await eventually(lambda: connection.unreplicated, PATIENCE_S)
            session_id = await game(running.sessions)
            await running.sessions.switch(session_id)
            ready = (await api.get("/ready")).json()["checks"]["durability"]
            assert ready["status"] == "degraded"
            assert "without a replica" in ready["message"]
            with pytest.raises(NotReplicated):
                await strict.sessions.switch(session_id)
            assert not strict.connection.unreplicated
            # Either process puts it up. One that never saw the former lag takes that of the replica.
            with servers.start_replica(primary, min_replicas_max_lag=str(LAG_S)) as replica:
                await eventually(lambda: is_up(primary), PATIENCE_S)
                await eventually(lambda: not connection.unreplicated, PATIENCE_S)
                for each in sentinels:
                    each.replicas = [at(replica)]
                await eventually(lambda: connection.replicas(""), PATIENCE_S)
                await running.sessions.switch(session_id)
                assert "durability" not in (await api.get("/ready")).json()["checks"]


async def test_the_fence_is_lifted_only_when_most_of_the_sentinels_name_the_primary(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    monkeypatch.setattr(fence, "SETTLE_S", 3600.0)
    monkeypatch.setattr(fence, "LOOK_EVERY_S", 0.1)
    with fenced(kind) as primary, servers.start(kind) as other:
        async with named_by_three(primary) as sentinels, Connection.to(behind(sentinels)) as connection:
            await connection.load_when_possible()
            await looks.enough()
            assert is_up(primary)  # it was named just now
            sentinels[0].name(other, epoch=1)
            sentinels[1].name(primary, epoch=2)
            await sentinels[2].close()
            await eventually(lambda: not view(connection).majority, PATIENCE_S)
            monkeypatch.setattr(fence, "SETTLE_S", 0.0)
            await looks.enough()
            assert is_up(primary)  # one of three names it with the newest epoch
            await sentinels[2].open()
            sentinels[2].name(primary, epoch=2)
            await eventually(lambda: is_lifted(primary), PATIENCE_S)
            await sentinels[2].close()
            await eventually(lambda: is_up(primary), PATIENCE_S)  # what the majority said is too old
            await sentinels[2].open()
            await eventually(lambda: is_lifted(primary), PATIENCE_S)
            sentinels[1].name(other, epoch=3)
            await eventually(lambda: is_up(primary), PATIENCE_S)  # another one was named


async def test_a_replica_that_can_be_elected_keeps_the_fence_up(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    monkeypatch.setattr(fence, "SETTLE_S", 0.0)
    monkeypatch.setattr(fence, "LOOK_EVERY_S", 0.1)
    with fenced(kind) as primary, servers.start(kind) as other:
        async with named_by_three(primary) as sentinels:
            for each in sentinels:
                each.replicas = [at(other)]
            async with Connection.to(behind(sentinels)) as connection:
                await connection.load_when_possible()
                await looks.enough(lambda: connection.replicas("") == [at(other)])
                assert is_up(primary)
                sentinels[0].replicas = sentinels[1].replicas = []
                await looks.enough()
                assert is_up(primary)  # one of the Sentinels could still choose it
                sentinels[2].replicas = []
                await eventually(lambda: is_lifted(primary), PATIENCE_S)
            assert is_up(primary)  # who looked after it has ended


@pytest.mark.parametrize("lag_of_replica", [LAG_S, 0])
async def test_another_process_puts_up_what_a_killed_one_has_lifted(
    kind: servers.Kind, lag_of_replica: int
) -> None:
    with fenced(kind) as primary:
        async with named_by_three(primary) as sentinels:
            killed = Program(command=[sys.executable, "-P", "-c", SERVE], **environ(sentinels))
            try:
                await eventually(lambda: is_lifted(primary), PATIENCE_S)
            finally:
                killed.process.kill()
                killed.process.wait()
            with servers.start_replica(primary, min_replicas_max_lag=str(lag_of_replica)):
                assert is_lifted(primary)
                async with Connection.to(behind(sentinels)) as connection:
                    await connection.load_when_possible()
                    await eventually(lambda: not is_lifted(primary), PATIENCE_S)
                # It never saw the former lag. The replica has the same one, unless it has none.
                assert setting(primary) == (1, lag_of_replica or SHIPPED_LAG_S)


async def test_without_the_right_to_change_it_the_fence_stays_and_the_log_says_so_once(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch)
    monkeypatch.setattr(fence, "SETTLE_S", 0.0)
    with fenced(kind) as primary:
        with primary.sync_client() as client:
            client.execute_command("ACL SETUSER", "game", "on", ">hush", "~*", "&*", "+@all", "-config")
        async with named_by_three(primary) as sentinels:
            mine = behind(sentinels, REDIS_URL="redis://game:hush@127.0.0.1/0", DURABILITY="replicated")
            with capture_logs() as logs:
                async with Connection.to(mine) as connection:
                    await connection.load_when_possible()
                    await looks.enough(lambda: connection.unreplicated)
            assert is_up(primary)
            said = [each for each in logs if each["event"] == "the fence of the primary cannot be watched"]
            assert len(said) == 1
