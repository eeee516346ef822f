"""The server's clock as it is seen from here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from redis.asyncio import Redis

from synckairos.core.connection import Connection, connect
from synckairos.core.keys import alarms
from synckairos.errors import StorageUnavailable
from synckairos.realtime.server_time import Offset, ServerClock
from tests.support import servers
from tests.support.live import settings


def test_the_offset_is_that_of_the_shortest_round_trip() -> None:
    offset = Offset()
    offset.add(10.000, 50_000.0 + 10_010, 10.020)
    assert [offset.offset_ms, offset.uncertainty_ms] == pytest.approx([50_000, 10])
    offset.add(11.000, 50_001.0 + 11_001, 11.002)
    assert [offset.offset_ms, offset.uncertainty_ms] == pytest.approx([50_001, 1])
    offset.add(12.000, 50_009.0 + 12_015, 12.030)
    assert [offset.offset_ms, offset.uncertainty_ms] == pytest.approx([50_001, 1])


def test_an_old_measurement_gives_way_in_the_end() -> None:
    offset = Offset()
    offset.add(0.0, 1000.5, 0.001)
    for second in range(2, 100, 2):
        offset.add(second, 1000.5 + 1000 * second + 1.0, second + 0.003)
    assert offset.uncertainty_ms == pytest.approx(1.5)


@pytest.mark.parametrize("step_ms", [-3_600_000, -50, 50, 3_600_000])
def test_a_server_clock_that_steps_is_followed_at_once(step_ms: float) -> None:
    offset = Offset()
    for second in range(5):
        offset.add(second, 1000.0 * second + 0.5, second + 0.001)
    offset.add(6.0, 6000.5 + step_ms, 6.001)
    assert offset.offset_ms == pytest.approx(step_ms)


@asynccontextmanager
async def started(connection: Connection) -> AsyncIterator[ServerClock]:
    clock = ServerClock(connection)
    await clock.start()
    try:
        yield clock
    finally:
        await clock.stop()


async def test_it_agrees_with_the_server(server: servers.Server) -> None:
    async with await connect(settings(server.url)) as connection, started(connection) as clock:
        (client,) = await connection.primaries()
        sent = monotonic()
        seconds, microseconds = await client.time()
        allowed = 1000 * (monotonic() - sent) + clock.uncertainty_ms() + 1
        assert abs(clock.now_ms() - (1000 * seconds + microseconds / 1000)) <= allowed


async def test_a_slot_that_no_shard_covers_keeps_its_clock(
    server: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service starts with it, and the clocks of all other slots are measured."""
    async with await connect(settings(server.url)) as connection:
        (client,) = await connection.primaries()

        async def two_shards(_: Connection) -> list[Redis]:
            return [client, client]

        async def primary_for(_: Connection, key: str) -> Redis:
            if key == alarms("07"):
                raise StorageUnavailable
            return client

        monkeypatch.setattr(Connection, "primaries", two_shards)
        monkeypatch.setattr(Connection, "primary_for", primary_for)
        async with started(connection) as clock:
            assert clock.uncertainty_ms("07") == float("inf")
            assert clock.uncertainty_ms("06") < 10_000
            assert clock.uncertainty_ms("08") < 10_000
