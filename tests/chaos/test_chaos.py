"""What breaks, breaks under traffic here; afterwards nothing is missing, and nothing happened twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import httpx
import psutil
import pytest
from redis.exceptions import ResponseError
from websockets.asyncio.client import connect

from synckairos.run.processes import free_port
from tests.chaos.traffic import everything_holds, under_way
from tests.support import servers
from tests.support.live import PATIENCE_S, Watcher, eventually, game, parts, service, settings
from tests.support.proxy import Proxy


@pytest.fixture(params=servers.available())
def durable_redis(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    with servers.start(request.param, appendonly="yes", appendfsync="always") as server:
        yield server


async def test_functions_that_are_flushed_are_loaded_again(durable_redis: servers.Server) -> None:
    async with service(settings(durable_redis.url)) as running, durable_redis.client() as direct:
        async with under_way(running) as traffic:
            for _ in range(10):
                await direct.execute_command("FUNCTION", "FLUSH")
                await asyncio.sleep(0.05)
            await traffic.settle()
        assert traffic.refused == 0
        await everything_holds(traffic, direct)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_restarts_is_found_again(durable_redis: servers.Server, how: str) -> None:
    async with service(settings(durable_redis.url)) as running:
        async with under_way(running) as traffic:
            for pause in (0.0, 0.5):
                await asyncio.to_thread(durable_redis.stop if how == "stop" else durable_redis.kill)
                await asyncio.sleep(pause)
                await asyncio.to_thread(durable_redis.start)
                await asyncio.sleep(0.3)
            await traffic.settle()
        async with durable_redis.client() as direct:
            await everything_holds(traffic, direct)


async def test_a_server_that_is_away_for_longer_is_refused_and_then_found_again(
    durable_redis: servers.Server,
) -> None:
    async with service(settings(durable_redis.url)) as running:
        async with under_way(running) as traffic:
            await asyncio.to_thread(durable_redis.kill)
            await eventually(lambda: traffic.refused > 0)
            await asyncio.to_thread(durable_redis.start)
            await traffic.settle()
        async with durable_redis.client() as direct:
            await everything_holds(traffic, direct)


async def test_a_primary_that_becomes_a_replica_for_a_while(durable_redis: servers.Server) -> None:
    async with service(settings(durable_redis.url)) as running, durable_redis.client() as direct:
        async with under_way(running) as traffic:
            for _ in range(3):
                await direct.execute_command("REPLICAOF", "127.0.0.1", 1)  # nobody is there to copy from
                await asyncio.sleep(0.3)
                await direct.execute_command("REPLICAOF", "NO", "ONE")
                await asyncio.sleep(0.1)
            await traffic.settle()
        await everything_holds(traffic, direct)


async def test_connections_that_are_cut_in_the_middle_of_a_reply(durable_redis: servers.Server) -> None:
    async with (
        Proxy(durable_redis.port) as middle,
        service(settings(middle.url)) as running,
        durable_redis.client() as direct,
    ):
        accepted = middle.accepted
        async with under_way(running) as traffic:
            for size in range(15):
                middle.cut_after = 150 + 997 * size  # at another place each time
                await eventually(lambda: middle.cut_after is None)
                await asyncio.sleep(0.03)
            await traffic.settle()
        await eventually(lambda: middle.accepted >= accepted + 15)
        await everything_holds(traffic, direct)


async def test_all_connections_killed_at_once(durable_redis: servers.Server) -> None:
    async with service(settings(durable_redis.url)) as running, durable_redis.client() as direct:
        async with under_way(running) as traffic:
            for _ in range(8):
                for kind in ("normal", "pubsub"):
                    await direct.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                await asyncio.sleep(0.1)
            await traffic.settle()
        await everything_holds(traffic, direct)


async def test_a_server_that_stands_still_for_a_while(durable_redis: servers.Server) -> None:
    async with service(settings(durable_redis.url)) as running, durable_redis.client() as direct:
        async with under_way(running) as traffic:
            assert durable_redis.process is not None
            for pause in (0.3, 2.5):
                durable_redis.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(pause)
                durable_redis.process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.2)
            await traffic.settle()
        await everything_holds(traffic, direct)


async def copied(primary: servers.Server) -> None:
    """Wait until the primary's replica has all that the primary has written so far."""
    async with primary.client() as client:
        written = (await client.info("replication"))["master_repl_offset"]
        async with asyncio.timeout(PATIENCE_S):
            while (await client.info("replication"))["slave0"]["offset"] < written:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def process(redis_url: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], int]]:
    """A service as a process of its own, and its port."""
    port = free_port()
    environ = {
        **os.environ,
        "REDIS_URL": redis_url,
        "PORT": str(port),
        "RATE_LIMIT_ENABLED": "false",
        "LOG_LEVEL": "error",
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "synckairos", "serve"], env=environ, start_new_session=True
    )
    try:
        async with asyncio.timeout(3 * PATIENCE_S), httpx.AsyncClient() as http:
            while True:
                try:
                    if (await http.get(f"http://127.0.0.1:{port}/ready")).json()["status"] != "unready":
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield started, port
    finally:
        if started.poll() is None:
            started.terminate()
        await asyncio.to_thread(started.wait, 20)


async def test_a_process_that_dies_hands_its_clients_over(durable_redis: servers.Server) -> None:
    async with (
        parts(settings(durable_redis.url)) as backend,
        process(durable_redis.url) as (first, first_port),
        process(durable_redis.url) as (_, second_port),
    ):
        session_id = await game(backend.sessions)
        due = await game(backend.sessions, seconds=2)
        async with connect(f"ws://127.0.0.1:{first_port}/ws?session_id={session_id}") as socket:
            client = Watcher(socket)
            await client.until("STATE_SYNC")
            change = await backend.sessions.switch(session_id)
            assert await client.text() == change.raw
            supervisor = psutil.Process(first.pid)
            supervisor.suspend()  # so that it starts no other worker, nor asks this one to end
            for each in (*supervisor.children(recursive=True), supervisor):
                with suppress(psutil.NoSuchProcess):  # it has just ended
                    each.kill()
            missed = [await backend.sessions.switch(session_id) for _ in range(3)]
            assert await client.closed() == 1006
        async with connect(f"ws://127.0.0.1:{second_port}/ws?session_id={session_id}") as socket:
            client = Watcher(socket)
            await client.until("STATE_SYNC")
            await client.say(type="RECONNECT", last_known_version=change.version, epoch=change.epoch)
            assert (await client.next("RECONNECT_ACK"))["replayed"] == 3
            assert [await client.text() for _ in missed] == [change.raw for change in missed]
        log: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(log) < 3:
                log = await backend.sessions.log(due, 0) or []
                await asyncio.sleep(0.01)
        assert json.loads(log[-1])["payload"]["event"] == "session.expired"


async def test_a_process_that_is_asked_to_end_says_so_to_its_clients(durable_redis: servers.Server) -> None:
    async with parts(settings(durable_redis.url)) as backend, process(durable_redis.url) as (running, port):
        session_id = await game(backend.sessions)
        async with connect(f"ws://127.0.0.1:{port}/ws?session_id={session_id}") as socket:
            client = Watcher(socket)
            await client.until("STATE_SYNC")
            running.terminate()
            assert await client.closed() == 1001
        await eventually(lambda: running.poll() is not None)
        assert running.returncode == 0


async def test_a_primary_of_a_cluster_that_dies_is_replaced() -> None:
    with servers.start_cluster("valkey", replicas=True) as cluster:
        chosen = settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)
        async with service(chosen) as running:
            async with under_way(running) as traffic:
                for server in cluster.primaries:
                    await copied(server)
                await asyncio.to_thread(cluster.primaries[0].kill)
                await asyncio.sleep(2)
                await traffic.settle()
            for session_id, seen in traffic.seen.items():
                state = await running.sessions.get(session_id)
                assert seen[-1]["version"] == state.version


def _is_at(seen: list[dict[str, Any]], version: int) -> bool:
    """Whether a client has this version now. One that was sent away has nothing yet."""
    return bool(seen) and bool(seen[-1]["version"] == version)


@pytest.mark.parametrize("how", ["asked", "killed"])
async def test_a_primary_behind_sentinel_that_is_replaced(how: str) -> None:
    with (
        servers.start("valkey") as primary,
        servers.start_replica(primary),
        servers.start_sentinel(primary, "main") as sentinel,
    ):
        chosen = settings(
            "redis://127.0.0.1",
            REDIS_SENTINEL_HOSTS=f"127.0.0.1:{sentinel.port}",
            REDIS_SENTINEL_NAME="main",
        )
        async with sentinel.client() as direct:
            async with asyncio.timeout(PATIENCE_S):
                while not await direct.execute_command("SENTINEL", "REPLICAS", "main"):
                    await asyncio.sleep(0.05)
            async with service(chosen) as running:
                due = await game(running.sessions, seconds=5)
                async with under_way(running) as traffic:
                    await copied(primary)
                    before = await direct.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                    if how == "killed":
                        await asyncio.to_thread(primary.kill)
                    async with asyncio.timeout(3 * PATIENCE_S):
                        while (
                            await direct.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                            == before
                        ):
                            if how == "asked":  # again and again: it may be under way, or given up
                                with suppress(ResponseError):
                                    await direct.execute_command("SENTINEL", "FAILOVER", "main")
                            await asyncio.sleep(0.05)
                    await traffic.settle()
                    # What the old primary had not copied is lost. Who has seen it is corrected by the next
                    # change, or, as there is none any more, sent away after a moment to start afresh.
                    for session_id, seen in traffic.seen.items():
                        version = (await running.sessions.get(session_id)).version
                        await eventually(partial(_is_at, seen, version))
                async with asyncio.timeout(3 * PATIENCE_S):
                    while (await running.sessions.get(due)).status != "expired":
                        await asyncio.sleep(0.05)
