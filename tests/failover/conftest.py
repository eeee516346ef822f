"""Deployments as they are shipped: the configurations in `sentinel/`, on each kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from synckairos.config import Settings
from synckairos.drill.deployment import Deployment, Kind
from tests.support import servers
from tests.support.live import settings
from tests.support.programs import ROOT

SHIPPED = ROOT / "sentinel"


@pytest.fixture(params=servers.available())
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of server that this machine has."""
    found: Kind = request.param
    return found


@asynccontextmanager
async def watched(kind: Kind) -> AsyncIterator[Deployment]:
    """A deployment whose Sentinels look every second, instead of every 10 s, so that tests wait for less."""
    async with Deployment.started(kind, SHIPPED) as deployment:
        for sentinel in deployment.sentinels:
            await sentinel.client.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", 1500)
        yield deployment


def settings_for(deployment: Deployment) -> Settings:
    """The settings of a service in front of it."""
    return settings(
        "redis://127.0.0.1/0",
        REDIS_SENTINEL_HOSTS=deployment.sentinel_hosts,
        REDIS_SENTINEL_NAME=deployment.name,
    )
