"""What all tests share: real servers, one of each kind for the whole run of a pytest worker."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from synckairos.audit.store import Store
from synckairos.run import postgresql
from tests.model.driver import Driver
from tests.support import postgres, servers
from tests.support.canaries import Canaries
from tests.support.leaks import take_leaks
from tests.support.open_ends import OpenEnds
from tests.support.pool import Pool, pairs
from tests.support.postgres import PostgresServer
from tests.support.servers import Cluster, Server
from tests.support.stalls import RunAgain

TESTS = Path(__file__).parent
FOLDERS = (
    *("e2e", "core"),
    *("audit", "webhooks", "contract", "presets", "auth"),
    *("integration", "fuzz", "importing", "upgrade", "chaos", "bench", "recipes", "unit"),
    *("move", "model", "client", "web"),
)
"""In the order in which they run."""

# Random games are other ones on every run, so that each run looks somewhere new.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "default",
    max_examples=200,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)
settings.register_profile("soak", settings.get_profile("default"), max_examples=9000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads it
def pytest_configure(config: pytest.Config) -> None:
    """Has tests run again that failed while the machine stood still.

    In CI, chooses the seed of the random games, so that a failure there can be repeated elsewhere. Without a
    seed Hypothesis repeats failures from its own database, which CI does not keep.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in the background like this; the programs of the tests would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Each HTTP client reads the list of authorities, which takes 20 ms. Tests speak to this machine only, so
    # theirs has a single one, whose key nobody has.
    os.environ["SSL_CERT_FILE"] = str(TESTS / "support/authority.pem")
    config.pluginmanager.register(RunAgain(), "run again")
    config.pluginmanager.register(Canaries(), "canaries")
    config.pluginmanager.register(OpenEnds(), "open ends")
    if os.environ.get("CI") == "true" and config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Says which servers are there, as tests for others are not collected, and the random games' seed."""
    found = ", ".join(f"{kind} {servers.version(kind)}" for kind in servers.available())
    missing = (
        "" if "redis" in servers.available() else " (redis-server is not installed: no tests with Redis)"
    )
    databases = ", ".join(
        f"{kind} {postgresql.version(postgres.programs(kind))}" for kind in postgres.available()
    )
    seed = config.option.hypothesis_seed
    return [
        f"servers: {found}{missing}; PostgreSQL: {databases}",
        *([] if seed is None else [f"random games: --hypothesis-seed={seed} repeats them"]),
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a folder together, because they share a browser, services or servers.

    The order inside a folder is the random one. Each worker begins with other folders.
    """
    places = {folder: place for place, folder in enumerate(FOLDERS)}
    items.sort(key=lambda item: places.get(item.path.relative_to(TESTS).parts[0], -1))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: nothing may be left out there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what tests have counted (`record_property("counted", ...)`), also those of other processes."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(f"counted: {value}")


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs once for each kind of server that it asks for, and for pairs when it asks for a Redis and
    a PostgreSQL. Those marked `one_kind` have no business with what sets the kinds apart."""
    kinds: dict[str, list[Any]] = {
        "shared_server": [*servers.available()],
        "shared_postgres": [*postgres.available()],
    }
    asked = [name for name in kinds if name in metafunc.fixturenames]
    chosen: list[Any] = pairs() if len(asked) == 2 else [kind for name in asked for kind in kinds[name]]
    if metafunc.definition.get_closest_marker("one_kind"):
        chosen = chosen[-1:]
    if asked:
        metafunc.parametrize(asked if len(asked) == 2 else asked[0], chosen, indirect=True)


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The servers of this worker."""
    with Pool() as started:
        yield started


@pytest.fixture
def shared_server(request: pytest.FixtureRequest, pool: Pool) -> Server:
    """One server of each kind, not to be stopped."""
    return pool.server(request.param)


@pytest.fixture
def shared_postgres(request: pytest.FixtureRequest, pool: Pool) -> PostgresServer:
    """One PostgreSQL server of each kind, not to be stopped."""
    return pool.postgres(request.param)


@pytest.fixture
def own_postgres(pool: Pool) -> PostgresServer:
    """A PostgreSQL server that the test may stop."""
    return pool.postgres("embedded", "may be stopped")


@pytest.fixture
def database(shared_postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database with all tables and no rows; the test runs once for each kind of PostgreSQL."""
    with shared_postgres.lend_database() as url:
        yield url


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
def redis(pool: Pool) -> Server:
    """A server that was empty when the file's first test began, not to be stopped. It is a Valkey: use
    `server` where the kind matters."""
    server = pool.server("valkey", "services that the tests of a file share")
    empty(server)
    return server


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A server that the test may stop."""
    with servers.start("valkey") as server:
        yield server


@pytest.fixture(params=servers.available())
def cluster(request: pytest.FixtureRequest, pool: Pool) -> Cluster:
    """Primaries without keys and functions, not to be stopped; the test runs once for each kind."""
    found = pool.cluster(request.param)
    for primary in found.primaries:
        empty(primary)
    return found


def empty(server: Server) -> None:
    """Takes all keys and functions away."""
    with server.sync_client() as client:
        client.flushall()
        client.function_flush("SYNC")
