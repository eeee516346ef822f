"""A server with the virtual-time library, for the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.driver import Driver
from tests.support import servers


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """The library on a fresh Valkey, under virtual time."""
    with servers.start("valkey") as server, server.sync_client() as client:
        driver = Driver(client)
        driver.load()
        yield driver
