"""A server whose clock is wrong: its library and its `TIME` say another time than this machine."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from synckairos.core.library import Library
from tests.support.servers import Server


def set_clock(server: Server, ahead_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the server's clock ahead, or behind with a value below zero.

    The library reads the time in one place, and so does everybody who asks with redis-py. The library gets a
    version that is newer than every other one, so that nobody replaces it.
    """
    library = Library.assemble()
    line = "return seconds_and_micros[1] * 1000 + (micros - micros % 1000) / 1000"
    assert library.payload.count(line) == 1
    payload = library.payload.replace(line, f"{line} + {ahead_ms}")
    payload = payload.replace(f'"{library.version}"', '"999.0.0"', 1)
    with server.sync_client() as client:
        client.function_load(payload, replace=True)
    asked = redis.asyncio.Redis.time

    async def time(client: redis.asyncio.Redis) -> tuple[int, int]:
        seconds, micros = await asked(client)
        options: dict[str, Any] = client.connection_pool.connection_kwargs
        late = 1000 * ahead_ms if options.get("port") == server.port else 0
        return divmod(1_000_000 * seconds + micros + late, 1_000_000)

    monkeypatch.setattr(redis.asyncio.Redis, "time", time)
