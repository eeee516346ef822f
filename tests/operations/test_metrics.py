"""A real Prometheus scrapes a real service and a real worker: each name that operators know has a value."""

from __future__ import annotations

import asyncio
import math
import subprocess
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

from synckairos.run.processes import free_port
from synckairos.slo import objectives
from tests.support.pages import ROOT
from tests.support.pool import Pool
from tests.support.programs import Program
from tests.support.prometheus import Prometheus, Sample
from tests.support.servers import Server

pytestmark = pytest.mark.asyncio

WORKERS = 2
SESSIONS, SOCKETS = 12, 6
MANY, UNKNOWN = 1000, 100
QUANTILES = ("0.5", "0.95", "0.99")
ANYBODY = [str(uuid.uuid4()), str(uuid.uuid4())]


@dataclass
class Deployment:
    """A service of two processes and a worker, with the addresses of the service and of their metrics."""

    serve: Program
    worker: Program
    api: str
    service: str
    worker_metrics: str


@pytest.fixture
def deployment(pool: Pool, own_redis: Server) -> Iterator[Deployment]:
    ports = [free_port() for _ in range(3)]
    with pool.postgres("embedded").lend_database() as database:
        shared = {"REDIS_URL": own_redis.url, "DATABASE_URL": database, "RATE_LIMIT_ENABLED": "false"}
        serve = Program(
            "serve", **shared, PORT=str(ports[0]), METRICS_PORT=str(ports[1]), WORKERS=str(WORKERS)
        )
        with serve, Program("worker", **shared, METRICS_PORT=str(ports[2])) as worker:
            addresses = [f"127.0.0.1:{port}" for port in ports]
            serve.until(lambda: _answers(f"http://{addresses[0]}/ready"), "the service")
            serve.until(lambda: len(serve.workers()) == WORKERS, "all its processes")
            worker.until(lambda: _answers(f"http://{addresses[2]}"), "the worker's metrics")
            yield Deployment(serve, worker, *addresses)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@dataclass
class Traffic:
    """Sessions that switch, are read and watched. `sockets` are open as long as nobody closes them."""

    api: httpx.AsyncClient
    sessions: list[str] = field(default_factory=list)
    sockets: list[ClientConnection] = field(default_factory=list)
    created: int = 0
    switched: int = 0

    async def create(self, **config: Any) -> str:
        session_id = str(uuid.uuid4())
        given = {
            "session_id": session_id,
            "sync_mode": "per_participant",
            "participants": [{"participant_id": each, "total_time_ms": 3_600_000} for each in ANYBODY],
            **config,
        }
        (await self.api.post("/v1/sessions", json=given)).raise_for_status()
        self.created += 1
        return session_id

    async def play(self) -> None:
        """Switch and read for ever."""
        while True:
            for session_id in self.sessions:
                (await self.api.post(f"/v1/sessions/{session_id}/switch")).raise_for_status()
                self.switched += 1
                (await self.api.get(f"/v1/sessions/{session_id}")).raise_for_status()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def traffic(address: str) -> AsyncIterator[Traffic]:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as api:
        running = Traffic(api)
        for _ in range(SESSIONS):
            session_id = await running.create()
            (await api.post(f"/v1/sessions/{session_id}/start")).raise_for_status()
            running.sessions.append(session_id)
        async with AsyncExitStack() as sockets:
            for number in range(SOCKETS):
                url = f"ws://{address}/ws?session_id={running.sessions[number]}"
                running.sockets.append(await sockets.enter_async_context(connect(url, max_queue=None)))
            playing = asyncio.create_task(running.play())
            try:
                yield running
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)


def one(holds: Callable[[float], bool]) -> Callable[[list[Sample]], bool]:
    return lambda found: len(found) == 1 and holds(found[0].value)


def durations(found: list[Sample]) -> bool:
    """Milliseconds, at each quantile, and no more than any call may take."""
    values = {sample.labels["quantile"]: sample.value for sample in found}
    return sorted(values) == [*QUANTILES] and 0 < values["0.5"] <= values["0.95"] <= values["0.99"] <= 5000


def series(address: str) -> set[tuple[str, ...]]:
    """Every series that a scrape has, and what Prometheus' own linter says is empty."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
        text = reply.read()
    subprocess.run(["promtool", "check", "metrics"], input=text, check=True, capture_output=True)
    samples = [
        sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples
    ]
    assert not [sample for sample in samples if math.isnan(sample.value)]
    return {
        (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items()))
        for sample in samples
    }


async def test_every_name_has_a_plausible_value(tmp_path: Path, deployment: Deployment) -> None:
    targets = {"synckairos": [deployment.service], "synckairos-worker": [deployment.worker_metrics]}
    with Prometheus(tmp_path, targets) as prometheus:
        # Without any traffic the servers are seen, and the probe of Pub/Sub has a value.
        await asyncio.to_thread(prometheus.until, "redis_pubsub_latency_ms", durations)
        async with traffic(deployment.api) as running:
            await _all_names(prometheus, running)
            await _gauges_of_both_processes(prometheus, deployment, running)
            await _no_more_series(deployment, running)
        await _what_waits(prometheus, deployment)


async def _all_names(prometheus: Prometheus, running: Traffic) -> None:
    async def until(expression: str, holds: Callable[[list[Sample]], object]) -> list[Sample]:
        return await asyncio.to_thread(prometheus.until, expression, holds)

    await until("redis_up", one(lambda value: value == 1))
    await until("postgres_up", one(lambda value: value == 1))
    await until("websocket_connections_total", one(lambda value: value == SOCKETS))
    await until("active_sessions_total", one(lambda value: value == SESSIONS))
    await until("session_creates_per_minute", one(lambda value: 0 <= value <= 60 * running.created))
    await until("cycle_switches_per_second", one(lambda value: 0 < value < 200))
    await until("http_request_duration_ms", durations)
    for operation in ("get", "setex"):
        await until(f'redis_operation_duration_ms{{operation="{operation}"}}', durations)
    await until("redis_pubsub_latency_ms", durations)
    await until(
        "db_write_queue_size", one(lambda value: 0 <= value <= running.created + 3 * running.switched)
    )
    await until("sum(db_write_failures_total)", one(lambda value: value == 0))
    # What was sent before has been counted, and nothing that was not.
    switched = running.switched
    asked = 'sum(http_requests_total{route=~".*/switch",status="200"})'
    await until(asked, one(lambda value: switched <= value <= running.switched + 1))
    await until(
        "sum(synckairos_switches_total)", one(lambda value: switched <= value <= running.switched + 1)
    )
    await until("sum(synckairos_audit_stored_events_total)", one(lambda value: value >= switched))
    await running.sockets.pop().close()
    await until('sum(websocket_disconnects_total{code="1000"})', one(lambda value: value == 1))
    await until("websocket_connections_total", one(lambda value: value == SOCKETS - 1))
    for socket in running.sockets[:2]:
        report = {"type": "CLOCK", "offset_ms": 5000}
        await socket.send(msgspec.json.encode(report).decode())
    await until("sum(synckairos_clients_with_wrong_clock)", one(lambda value: value == 2))
    await running.sockets.pop(0).close()
    await until("sum(synckairos_clients_with_wrong_clock)", one(lambda value: value == 1))
    await _one_expiry(running)
    await until("sum(synckairos_expiry_lateness_seconds_count)", one(lambda value: value == 1))
    for name, objective in objectives.load(ROOT / "deploy" / "slo.yaml").objectives.items():
        events = f"sum({objective.histogram}_count{{{objective.events}}})"
        assert await until(events, one(lambda value: value > 0)), f"nothing is an event of {name}"
    await until("count by (job) (synckairos_build_info)", lambda found: len(found) == 2)
    await until('rate(process_cpu_seconds_total{job="synckairos"}[30s])', lambda found: len(found) == WORKERS)


async def _one_expiry(running: Traffic) -> None:
    """A clock that runs out."""
    session_id = await running.create(
        participants=[{"participant_id": each, "total_time_ms": 1000} for each in ANYBODY]
    )
    (await running.api.post(f"/v1/sessions/{session_id}/start")).raise_for_status()


async def _gauges_of_both_processes(prometheus: Prometheus, deployment: Deployment, running: Traffic) -> None:
    """A process that dies takes its sockets out of the sum, and nothing else changes: no counter falls."""
    counted = "sum(synckairos_switches_total)"
    switches = prometheus.value(counted)
    victim: psutil.Process = deployment.serve.workers()[0]
    started = 'process_start_time_seconds{job="synckairos"}'
    before = {sample.value for sample in prometheus.query(started)}
    victim.kill()
    victim.wait()

    def left(found: list[Sample]) -> bool:
        is_open = [socket for socket in running.sockets if socket.state is State.OPEN]
        return len(found) == 1 and found[0].value == len(is_open)

    await asyncio.to_thread(
        prometheus.until,
        started,
        lambda found: len(found) == WORKERS and {sample.value for sample in found} != before,
    )
    await asyncio.to_thread(prometheus.until, "websocket_connections_total", left)
    await asyncio.to_thread(prometheus.until, "active_sessions_total", one(lambda value: value == SESSIONS))
    await asyncio.to_thread(prometheus.until, "redis_up", one(lambda value: value == 1))
    assert (prometheus.value(counted) or 0) >= (switches or 1)
    assert prometheus.value("sum(resets(synckairos_switches_total[10m]))") == 0
    for expression in ('{__name__=~"synckairos_.*",pid!=""}', "synckairos_redis_up != 1"):
        assert prometheus.query(expression) == []


async def _no_more_series(deployment: Deployment, running: Traffic) -> None:
    """However many sessions there are, and whatever paths are asked for."""

    async def ask(number: int) -> None:
        assert (await running.api.get(f"/nowhere/{number}")).status_code == 404

    await running.create()
    await ask(0)
    before = await asyncio.to_thread(series, deployment.service)
    for start in range(0, MANY, 20):
        await asyncio.gather(*(running.create() for _ in range(20)))
        await asyncio.gather(*map(ask, range(start, start + 20 * UNKNOWN // MANY)))
    assert await asyncio.to_thread(series, deployment.service) - before == set()
    await asyncio.to_thread(series, deployment.worker_metrics)


async def _what_waits(prometheus: Prometheus, deployment: Deployment) -> None:
    """Each event counts once, whether it is in an outbox or in a batch, until it is stored."""

    async def until_waiting(events: int) -> None:
        await asyncio.to_thread(prometheus.until, "db_write_queue_size", one(lambda value: value == events))

    # What is shown is a few seconds old. The worker must not end before it has stored all of the traffic.
    shown = "max_over_time(db_write_queue_size[10s])"
    await asyncio.to_thread(prometheus.until, shown, one(lambda value: value == 0))
    assert await asyncio.to_thread(deployment.worker.end) == 0
    async with httpx.AsyncClient(base_url=f"http://{deployment.api}", timeout=30) as api:
        running = Traffic(api)
        for _ in range(SESSIONS):
            await running.create()  # which is one event
    await until_waiting(SESSIONS)
    await asyncio.to_thread(
        prometheus.until, 'synckairos_audit_batches{state="queued"}', one(lambda value: value > 0)
    )
