"""The core suite's backends: the virtual-time library on fakeredis, Valkey and Redis, the shipped one on
clusters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import cast

import fakeredis
import pytest
import redis

from synckairos.core.library import Library
from tests.model.driver import Driver
from tests.support import servers
from tests.support.pool import Pool
from tests.support.servers import Cluster, Kind

BACKENDS = [*([] if os.environ.get("SERVERS") else ["fakeredis"]), *servers.available()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A rule is tested on Valkey. The files marked `every_server` test what a server has its part in, or a
    cross-section of all rules, and run on Redis and fakeredis as well."""
    if "core" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_server")
        metafunc.parametrize("core", BACKENDS if every else [servers.available()[0]], indirect=True)


@pytest.fixture(scope="session")
def backends(pool: Pool) -> Iterator[Callable[[str], Driver]]:
    """Gives the library under virtual time on a kind of server."""
    with ExitStack() as clients:

        @cache
        def backend(kind: str) -> Driver:
            client: redis.Redis = fakeredis.FakeRedis(version=(7, 0))
            if kind != "fakeredis":
                server = pool.server(cast(Kind, kind), "virtual time")
                client = clients.enter_context(server.sync_client())
            driver = Driver(client)
            driver.load()
            return driver

        yield backend


@pytest.fixture
def core(request: pytest.FixtureRequest, backends: Callable[[str], Driver]) -> Driver:
    """The library under virtual time, with nothing in it."""
    driver = backends(request.param)
    driver.run("FLUSHALL")
    return driver


@pytest.fixture
def cluster_client(cluster: Cluster) -> Iterator[redis.RedisCluster]:
    """A client of three primaries with the library as it is shipped."""
    payload = Library.assemble().payload
    for primary in cluster.primaries:
        with primary.sync_client() as direct:
            direct.execute_command("FUNCTION", "LOAD", payload)
    host, port = cluster.nodes.split(",")[0].split(":")
    client = redis.RedisCluster(host=host, port=int(port), protocol=2)
    try:
        yield client
    finally:
        client.close()
