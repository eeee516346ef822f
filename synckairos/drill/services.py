"""Two `serve` processes in front of a deployment, as they run in production."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from synckairos.config import Durability
from synckairos.drill.deployment import CannotStart, Deployment
from synckairos.run.processes import Child, end_all, free_port

COUNT = 2
START_S = 30.0
END_S = 20.0
PAUSE_S = 0.05
_SET_HERE = ("REDIS_", "RQ_REDIS_", "DATABASE_", "PROMETHEUS_", "METRICS_")
"""Beginnings of settings of the environment that the services do not get: they belong to other servers."""


def environment(deployment: Deployment, durability: Durability) -> dict[str, str]:
    """The environment of a command that uses the deployment."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_SET_HERE)}
    return {
        **others,
        "REDIS_URL": "redis://127.0.0.1/0",
        "REDIS_SENTINEL_HOSTS": deployment.sentinel_hosts,
        "REDIS_SENTINEL_NAME": deployment.name,
        "DURABILITY": durability,
        "HOST": "127.0.0.1",
        "WORKERS": "1",
        "AUTH_MODE": "none",
        "ENVIRONMENT": "test",
        "RATE_LIMIT_ENABLED": "false",
        "LOG_LEVEL": "warning",
    }


@asynccontextmanager
async def services(deployment: Deployment, durability: Durability, log: Path) -> AsyncIterator[list[str]]:
    """Starts them and waits until they are ready. Gives where each is: `127.0.0.1:8080`.

    log: what they say is added to this file
    """
    ports = [free_port() for _ in range(COUNT)]
    environ = environment(deployment, durability)
    with log.open("ab") as output:
        children = [
            Child(
                f"service {number}",
                [sys.executable, "-P", "-m", "synckairos", "serve"],
                environ={**environ, "PORT": str(port)},
                stdout=output.fileno(),
                stderr=output.fileno(),
            )
            for number, port in enumerate(ports, 1)
        ]
        try:
            for child in children:
                child.start()
            await _all_ready(children, ports)
            yield [f"127.0.0.1:{port}" for port in ports]
        finally:
            end_all(children, END_S)


async def _all_ready(children: list[Child], ports: list[int]) -> None:
    end = time.monotonic() + START_S
    async with httpx.AsyncClient(trust_env=False) as http:
        for child, port in zip(children, ports, strict=True):
            while not await _is_ready(http, port):
                if time.monotonic() > end or not child.running:
                    raise CannotStart(f"{child.name} does not start")
                await asyncio.sleep(PAUSE_S)


async def _is_ready(http: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await http.get(f"http://127.0.0.1:{port}/ready")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
