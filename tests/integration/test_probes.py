"""What the probes find: servers that answer or do not, alarms that nobody calls, replicas, Sentinels."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from math import inf
from time import monotonic

import pytest
import pytest_asyncio

from synckairos import metrics
from synckairos.audit.store import Store
from synckairos.core import keys
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys
from synckairos.probes.alarms import OVERDUE_MS, STANDING_MS, Alarms
from synckairos.probes.postgres import Postgres, address
from synckairos.probes.probe import Probe
from synckairos.probes.pubsub import LOST_S, PubSub
from synckairos.probes.redis import UNKNOWN, Primaries
from tests.support import servers
from tests.support.live import PATIENCE_S, Parts, eventually, parts, settings
from tests.support.postgres import PostgresServer
from tests.support.servers import Cluster, Server

pytestmark = [pytest.mark.asyncio, pytest.mark.own_keys(r"sk:\{..\}:alarms")]


@pytest_asyncio.fixture
async def running(own_redis: Server) -> AsyncIterator[Parts]:
    """Without a timekeeper, so that alarms stay."""
    async with parts(settings(own_redis.url)) as started:
        yield started


def value(name: str, **labels: str) -> float:
    """The value of a metric, NaN where it has none."""
    found = metrics.registry.get_sample_value(f"synckairos_{name}", labels)
    return metrics.UNKNOWN if found is None else found


async def seen(probe: Probe, condition: Callable[[], bool]) -> None:
    """Looks until the condition holds."""
    end = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < end, "the probe did not find what there is"
        await asyncio.sleep(0.05)
        await probe.look()


def at(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


async def test_a_primary_is_up_or_not(own_redis: Server, running: Parts) -> None:
    probe = Primaries(running.connection)
    await probe.look()
    assert value("redis_up", server=at(own_redis)) == 1
    assert value("redis_memory_bytes", server=at(own_redis)) > 0
    assert value("redis_memory_limit_bytes", server=at(own_redis)) == inf
    with own_redis.sync_client() as client:
        client.config_set("maxmemory", "100mb")
    await probe.look()
    assert value("redis_memory_limit_bytes", server=at(own_redis)) == 100 * 1_048_576
    own_redis.pause()
    await probe.look()
    assert value("redis_up", server=at(own_redis)) == 0
    own_redis.resume()
    await probe.look()
    assert value("redis_up", server=at(own_redis)) == 1
    own_redis.kill()
    await probe.look()
    assert value("redis_up", server=at(own_redis)) == 0


async def test_replicas_and_sentinels_and_what_is_no_primary_any_more() -> None:
    with (
        servers.start("valkey") as old,
        servers.start_replica(old) as new,
        servers.start_sentinel(old, "game") as sentinel,
    ):
        chosen = settings(old.url, REDIS_SENTINEL_HOSTS=at(sentinel), REDIS_SENTINEL_NAME="game")
        async with parts(chosen) as started:
            probe = Primaries(started.connection)
            await probe.look()
            assert 0 <= value("replication_lag_seconds", replica=at(new)) <= 60
            assert value("sentinels_ok", primary="game") == 1
            assert value("sentinels_needed", primary="game") == 2
            old.kill()
            assert value("redis_up", server=at(old)) == 1
            await seen(probe, lambda: value("redis_up", server=at(new)) == 1)
            text = metrics.render().decode()
            assert f'synckairos_redis_up{{server="{at(old)}"}}' not in text
            assert f'synckairos_replication_lag_seconds{{replica="{at(new)}"}}' not in text
            sentinel.kill()
            await seen(probe, lambda: value("sentinels_ok", primary="game") == 0)
            assert value("sentinels_needed", primary="game") == 2


async def test_a_process_that_began_during_an_outage_says_that_there_is_no_primary() -> None:
    with servers.start("valkey") as primary, servers.start_sentinel(primary, "late") as sentinel:
        sentinel.kill()
        chosen = settings(primary.url, REDIS_SENTINEL_HOSTS=at(sentinel), REDIS_SENTINEL_NAME="late")
        async with await connect(chosen) as connection:
            probe = Primaries(connection)
            await probe.look()
            assert value("redis_up", server=UNKNOWN) == 0
            assert value("sentinels_ok", primary="late") == 0
            assert value("sentinels_needed", primary="late") == 2
            sentinel.start()
            await seen(probe, lambda: value("redis_up", server=at(primary)) == 1)
            assert f'{{server="{UNKNOWN}"}}' not in metrics.render().decode()


async def test_alarms_are_counted_and_those_that_nobody_calls(own_redis: Server, running: Parts) -> None:
    probe = Alarms(running.connection, running.clock)
    late_ms = {
        "ahead": -60_000,
        "just due": 100,
        "overdue": OVERDUE_MS + 2000,
        "standing": STANDING_MS + 2000,
    }
    with own_redis.sync_client() as client:
        for late in late_ms.values():
            session_id = str(uuid.uuid4())
            client.zadd(SessionKeys.of(session_id).alarms, {session_id: running.clock.now_ms() - late})
    await probe.look()
    assert value("sessions", status="active") == 4
    assert value("overdue_alarms") == 2
    assert value("overdue_sessions") == 1
    assert value("oldest_alarm_lateness_seconds") == pytest.approx(STANDING_MS / 1000 + 2, abs=30)
    own_redis.kill()
    await probe.look()
    text = metrics.render().decode()
    assert "\nsynckairos_sessions{" not in text
    assert "\nsynckairos_overdue_alarms " not in text


async def test_pubsub_is_measured_without_traffic_and_when_it_hangs(
    own_redis: Server, running: Parts
) -> None:
    probe = PubSub(running.connection, running.subscriptions)

    def measured() -> tuple[float, float]:
        name = "redis_pubsub_latency_seconds"
        return value(f"{name}_count"), value(f"{name}_sum")

    count, before = measured()
    await probe.start()
    await eventually(lambda: measured()[0] >= count + 2)
    own_redis.pause()
    await eventually(lambda: measured()[1] >= before + LOST_S)
    own_redis.resume()
    again, _ = measured()
    await eventually(lambda: measured()[0] >= again + 2)
    await probe.stop()
    with own_redis.sync_client() as client:
        await eventually(lambda: not client.pubsub_shardchannels("*:probe:*"))


async def test_each_primary_of_a_cluster_is_probed(cluster: Cluster) -> None:
    chosen = settings(cluster.primaries[0].url, REDIS_CLUSTER_NODES=cluster.nodes)
    async with parts(chosen) as started:
        await Primaries(started.connection).look()
        await Alarms(started.connection, started.clock).look()
        probe = PubSub(started.connection, started.subscriptions)
        await probe.start()

        def heard(server: Server) -> bool:
            with server.sync_client() as client:
                return len(client.pubsub_shardchannels("*:probe:*")) == 1

        for server in cluster.primaries:
            assert value("redis_up", server=at(server)) == 1
        await eventually(lambda: all(map(heard, cluster.primaries)))
        await probe.stop()
        assert value("sessions", status="active") == 0


async def test_postgresql_is_up_or_not(own_postgres: PostgresServer) -> None:
    url = await asyncio.to_thread(own_postgres.database)
    async with Store(url, timeout_s=5) as store:
        probe = Postgres(store, url)
        await probe.look()
        assert value("postgres_up", server=address(url)) == 1
        await asyncio.to_thread(own_postgres.kill)
        await probe.look()
        assert value("postgres_up", server=address(url)) == 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://anna:secret@db.example:5432/games?sslmode=require", "db.example:5432"),
        ("postgresql://db.example/games", "db.example"),
        ("postgresql:///games?host=/run/postgresql", "a socket"),
    ],
)
async def test_the_name_of_a_database_has_no_secret(url: str, shown: str) -> None:
    assert address(url) == shown


async def test_every_channel_of_a_probe_is_in_the_slot_of_its_partition() -> None:
    assert keys.probe_channel("3f", "1234") == "sk:{3f}:probe:1234"
