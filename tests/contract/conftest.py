"""The service as users run it: `synckairos serve` over a real Valkey, asked over HTTP."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from synckairos.run.processes import die_with_parent, free_port
from tests.support import servers
from tests.support.servers import Server

START_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Service:
    """A running service."""

    url: str
    redis: Server
    process: subprocess.Popen[bytes]
    log: Path
    metrics_port: int

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, timeout=20, verify=False
        )  # no TLS here: spares reading the CAs


@contextmanager
def run_service(redis: Server, log: Path, **settings: str) -> Iterator[Service]:
    """`synckairos serve` on a free port, ready when the block begins and gone when it ends."""
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis.url,
        "PORT": str(port),
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "synckairos", "serve"],
            env=environ,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - it calls prctl and nothing else
        )
    service = Service(f"http://127.0.0.1:{port}", redis, process, log, int(settings.get("METRICS_PORT", "0")))
    try:
        _wait_until_ready(service)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(service: Service) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and service.process.poll() is None:
        try:
            if httpx.get(service.url + "/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the service does not start:\n{service.log.read_text(errors='replace')}")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A server of its own: the others' is emptied before each of their tests."""
    with servers.start("valkey") as server:
        yield server


@pytest.fixture(scope="session")
def service(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service without rate limits."""
    log = tmp_path_factory.mktemp("service") / "log"
    with run_service(valkey, log, RATE_LIMIT_ENABLED="false") as running:
        yield running


@pytest.fixture(scope="session")
def limited_service(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with rate limits, behind a proxy, for one other origin, with metrics on their own port."""
    log = tmp_path_factory.mktemp("limited") / "log"
    with run_service(
        valkey,
        log,
        TRUSTED_PROXIES="127.0.0.1",
        ENABLE_CORS="true",
        ALLOWED_ORIGINS="https://play.example.org",
        FRAME_ANCESTORS="https://lms.example.org, https://*.school.example:8443",
        RATE_LIMIT_MAX_REQUESTS="7",
        RATE_LIMIT_WINDOW_MS="60000",
        METRICS_PORT=str(free_port()),
    ) as running:
        yield running


@pytest.fixture
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service without rate limits."""
    async with service.client() as client:
        yield client


_addresses = itertools.count(1)


@pytest.fixture
async def limited(limited_service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service with rate limits, from an address that nobody used before."""
    async with limited_service.client() as client:
        client.headers["x-forwarded-for"] = f"203.0.113.9, 2001:db8:0:{next(_addresses):x}::1"
        yield client


def new_id() -> str:
    return str(uuid.uuid4())


def chess(players: int = 2, **fields: Any) -> dict[str, Any]:
    """A config: each player has a minute of their own."""
    return {
        "sync_mode": "per_participant",
        "participants": [{"participant_id": new_id(), "total_time_ms": 60_000} for _ in range(players)],
        **fields,
    }


async def create(api: httpx.AsyncClient, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """A new session's state."""
    response = await api.post("/v1/sessions", json=config or chess())
    assert response.status_code == 201, response.text
    state: dict[str, Any] = response.json()["data"]
    return state


async def running(api: httpx.AsyncClient, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """A started session's state."""
    session = await create(api, config)
    response = await api.post(f"/v1/sessions/{session['session_id']}/start")
    assert response.status_code == 200, response.text
    state: dict[str, Any] = response.json()["data"]
    return state


def at(session: dict[str, Any], path: str = "") -> str:
    """An address below a session's."""
    return f"/v1/sessions/{session['session_id']}{path}"


def error(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error in a response, which has to be in the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    body = response.json()
    assert body.keys() == {"error"}
    failure: dict[str, Any] = body["error"]
    assert failure.keys() - {"details"} == {"code", "message", "retryable", "context"}
    assert failure["code"] == code
    assert isinstance(failure["message"], str)
    assert failure["message"]
    assert isinstance(failure["context"], dict)
    assert failure["retryable"] is (
        status in (409, 429, 503, 504) and code not in ("SESSION_EXISTS", "QUOTA_EXCEEDED")
    )
    assert all(detail.keys() == {"field", "message"} for detail in failure.get("details", ()))
    return failure


def fields_of(response: httpx.Response) -> list[str]:
    """The fields that a refused input is wrong in."""
    return [detail["field"] for detail in error(response, 400, "VALIDATION_ERROR")["details"]]
