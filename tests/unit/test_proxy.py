"""The proxy with which tests disturb connections."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.support.proxy import Proxy

CLIENTS = 2
PATIENCE_S = 10.0


async def _end(target: int, steps: int) -> None:
    """Clients come and leave, and after so many steps of the loop the proxy ends, and the loop with it."""
    async with Proxy(target) as proxy:
        clients = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(CLIENTS)]
        for _ in range(50):
            await asyncio.sleep(0)
        for _, writer in clients:
            writer.transport.abort()
        for _ in range(steps):
            await asyncio.sleep(0)


@pytest.mark.parametrize("steps", range(20))
def test_nothing_stays_open_whenever_it_ends(steps: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        asyncio.run(_end(target.getsockname()[1], steps))
        for _ in range(CLIENTS):
            connection, _ = target.accept()
            with connection, suppress(ConnectionResetError):
                connection.settimeout(PATIENCE_S)
                assert connection.recv(1) == b""
