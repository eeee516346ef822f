"""What the tests of the Python client share: a service in this process, and a network between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio

from synckairos.client import connection as client_connection
from synckairos.client.model import Change
from tests.support import servers
from tests.support.live import Service, service, settings
from tests.support.proxy import Proxy

ANNA = "aaaaaaaa-0000-4000-8000-000000000001"
BEN = "bbbbbbbb-0000-4000-8000-000000000002"


async def made(call: Awaitable[Change | None]) -> int:
    """The version that a call has made."""
    change = await call
    assert change is not None
    return change.version


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server) -> AsyncIterator[Service]:
    async with service(settings(redis.url, LONG_CLOCKS="true")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def network(live: Service) -> AsyncIterator[Proxy]:
    async with Proxy(live.port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts to connect again follow each other quickly. Their number stays."""
    monkeypatch.setattr(client_connection, "RECONNECT_AFTER_S", (0.05,))
