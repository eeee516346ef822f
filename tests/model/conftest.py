"""A real server with the virtual-time library for the tests in this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.model.driver import Driver
from tests.support import servers

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "default",
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)
# Other sequences on every run, so that each run looks somewhere new; a failure prints what repeats it.
settings.register_profile("ci", settings.get_profile("default"), max_examples=300)
settings.register_profile("soak", settings.get_profile("default"), max_examples=9000, stateful_step_count=60)
in_ci = os.environ.get("CI") == "true"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if in_ci else "default"))


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """The library on a fresh Valkey, under virtual time."""
    with servers.start("valkey") as server, server.sync_client() as client:
        driver = Driver(client)
        driver.load()
        yield driver
