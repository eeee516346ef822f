"""What all tests share: real servers, one of each kind for the whole run, emptied before each test."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from synckairos.audit.store import Store
from synckairos.run import postgresql
from tests.model.driver import Driver
from tests.support import postgres, servers
from tests.support.leaks import take_leaks
from tests.support.postgres import PostgresServer
from tests.support.servers import Cluster, Server


def pytest_report_header() -> str:
    """Says which servers are there; tests for others are not collected."""
    found = ", ".join(f"{kind} {servers.version(kind)}" for kind in servers.available())
    missing = (
        "" if "redis" in servers.available() else " (redis-server is not installed: no tests with Redis)"
    )
    databases = ", ".join(
        f"{kind} {postgresql.version(postgres.programs(kind))}" for kind in postgres.available()
    )
    return f"servers: {found}{missing}; PostgreSQL: {databases}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: nothing may be left out there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def no_key_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a key without an end; `tests/support/leaks.py` lists those that may stay."""
    yield
    found = servers.leaks()
    for value in request.node.funcargs.values():
        if isinstance(value, Driver):  # it may be on fakeredis, which is no server of those
            found += take_leaks(value.client)
    own = [pattern for marker in request.node.iter_markers("own_keys") for pattern in marker.args]
    found = [key for key in found if not any(re.fullmatch(pattern, key) for pattern in own)]
    if found:
        pytest.fail("keys without an end are left: " + ", ".join(found), pytrace=False)


@pytest.fixture(scope="session", params=servers.available())
def shared_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server of each kind for the whole run."""
    with servers.start(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[Server]:
    """One Valkey for the whole run, for services that are shared by the tests of a file."""
    with servers.start("valkey") as server:
        yield server


@pytest.fixture(scope="session", params=servers.available())
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One cluster of each kind for the whole run."""
    with servers.start_cluster(request.param) as cluster:
        yield cluster


@pytest.fixture(scope="session", params=postgres.available())
def shared_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One PostgreSQL server of each kind for the whole run, not to be stopped."""
    with postgres.start_postgres(request.param, fsync="off") as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the test may stop."""
    with postgres.start_postgres("embedded", fsync="off") as server:
        yield server


@pytest.fixture
def database(shared_postgres: PostgresServer) -> str:
    """The URL of an empty database with all tables; the test runs once for each kind of PostgreSQL."""
    return shared_postgres.database()


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """The audit store in that database."""
    async with Store(database) as opened:
        yield opened


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A server without keys and functions, not to be stopped; the test runs once for each kind."""
    empty(shared_server)
    return shared_server


@pytest.fixture(scope="module")
def redis(shared_redis: Server) -> Server:
    """A server that was empty when the file's first test began, not to be stopped. It is a Valkey: use
    `server` where the kind matters."""
    empty(shared_redis)
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server that the test may stop."""
    with servers.start("valkey") as server:
        yield server


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Primaries without keys and functions, not to be stopped; the test runs once for each kind."""
    for primary in shared_cluster.primaries:
        empty(primary)
    return shared_cluster


def empty(server: Server) -> None:
    """Takes all keys and functions away."""
    with server.sync_client() as client:
        client.flushall()
        client.function_flush("SYNC")
