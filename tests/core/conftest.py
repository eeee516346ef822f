"""The core suite's backends: the virtual-time library on fakeredis, Valkey and Redis, the shipped one on
clusters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import fakeredis
import pytest
import redis

from synckairos.core.library import Library
from tests.model.driver import Driver
from tests.support import servers

BACKENDS = [*([] if os.environ.get("SERVERS") else ["fakeredis"]), *servers.available()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A rule is tested on Valkey. The files marked `every_server` test what a server has its part in, or a
    cross-section of all rules, and run on Redis and fakeredis as well."""
    if "core" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_server")
        metafunc.parametrize("core", BACKENDS if every else [servers.available()[0]], indirect=True)


@pytest.fixture(scope="session")
def backends() -> Iterator[Callable[[str], Driver]]:
    """Gives the library under virtual time on a kind of server, started when it is first asked for."""
    started: dict[str, Driver] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Driver:
            if kind not in started:
                client: redis.Redis = fakeredis.FakeRedis(version=(7, 0))
                if kind != "fakeredis":
                    server = stack.enter_context(servers.start("valkey" if kind == "valkey" else "redis"))
                    client = stack.enter_context(server.sync_client())
                started[kind] = Driver(client)
                started[kind].load()
            return started[kind]

        yield get


@pytest.fixture
def core(request: pytest.FixtureRequest, backends: Callable[[str], Driver]) -> Driver:
    """The library under virtual time, with nothing in it."""
    driver = backends(request.param)
    driver.run("FLUSHALL")
    return driver


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
