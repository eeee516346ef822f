"""The core suite's backends: the virtual-time library on fakeredis, Valkey and Redis, the shipped one on clusters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import fakeredis
import pytest
import redis

from synckairos.library import Library
from tests import servers
from tests.model.driver import Driver

BACKENDS = ["fakeredis", *servers.available()]


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """The library under virtual time, on each kind of server."""
    with ExitStack() as stack:
        if request.param == "fakeredis":
            client: redis.Redis = fakeredis.FakeRedis(version=(7, 0))
        else:
            client = stack.enter_context(stack.enter_context(servers.start(request.param)).sync_client())
        driver = Driver(client)
        driver.load()
        yield driver


@pytest.fixture
def core(backend: Driver) -> Driver:
    """The same, empty."""
    backend.run("FLUSHALL")
    return backend


@pytest.fixture(scope="session", params=servers.available())
def cluster(request: pytest.FixtureRequest) -> Iterator[redis.RedisCluster]:
    """Three primaries with the library as it is shipped."""
    with servers.start_cluster(request.param) as nodes:
        host, port = nodes.nodes.split(",")[0].split(":")
        client = redis.RedisCluster(host=host, port=int(port), protocol=2)
        payload = Library.assemble().payload
        for primary in nodes.primaries:
            with primary.sync_client() as direct:
                direct.execute_command("FUNCTION", "LOAD", payload)
        try:
            yield client
        finally:
            client.close()
