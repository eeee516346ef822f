"""The library under virtual time on fakeredis: on which server it runs makes no difference to presets."""

from __future__ import annotations

import fakeredis
import pytest

from tests.model.driver import Driver


@pytest.fixture(scope="session")
def loaded() -> Driver:
    """The library on a server of its own."""
    driver = Driver(fakeredis.FakeRedis(version=(7, 0)))
    driver.load()
    return driver


@pytest.fixture
def core(loaded: Driver) -> Driver:
    """The library with nothing in it."""
    loaded.run("FLUSHALL")
    return loaded
