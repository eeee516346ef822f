"""What is counted of requests, also of those that fail, and of the calls behind them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from time import monotonic

import httpx
import pytest
import pytest_asyncio

from synckairos import metrics
from synckairos.api.transport import connections
from synckairos.core.calls import Sessions
from synckairos.core.model import Options
from synckairos.errors import SyncKairosError
from tests.support import servers
from tests.support.lines import calling
from tests.support.live import Service, service, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = "00000000-0000-4000-8000-000000000000"
DELAY_S = 0.05
SLOW_S = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(redis: servers.Server) -> AsyncIterator[Service]:
    async with service(settings(redis.url)) as running:
        yield running


class Requests:
    """How many requests there were since this was made, and how long they took."""

    def __init__(self, route: str, method: str, status: int) -> None:
        self._labels = {"route": route, "method": method, "status": str(status)}
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        name = "synckairos_http_request_seconds"
        count, total = (
            metrics.registry.get_sample_value(f"{name}_{what}", self._labels) or 0.0
            for what in ("count", "sum")
        )
        return count, total

    @property
    def count(self) -> int:
        return int(self._now()[0] - self._before[0])

    @property
    def seconds(self) -> float:
        return self._now()[1] - self._before[1]


async def _ask(live: Service, method: str, path: str, body: bytes = b"") -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}", verify=False) as client:
        return await client.request(method, path, content=body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_fails_unexpectedly_in_a_handler_is_counted_with_its_route_and_duration(
    live: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def fail(*_: object) -> None:
        await asyncio.sleep(DELAY_S)
        raise RuntimeError("unexpected")

    monkeypatch.setattr(Sessions, "get", fail)
    counted, unknown = Requests("/v1/sessions/{session_id}", "GET", 500), Requests("", "", 500)
    assert (await _ask(live, method, f"/v1/sessions/{SESSION}")).status_code == 500
    assert (counted.count, unknown.count) == (1, 0)
    assert DELAY_S <= counted.seconds < 5.0


async def test_a_refused_websocket_is_counted_with_its_route(live: Service) -> None:
    counted = Requests("/ws", "GET", 400)
    assert (await _ask(live, "GET", "/ws")).status_code == 400
    assert counted.count == 1
    assert counted.seconds > 0.0


async def test_a_body_that_is_too_large_is_counted_with_its_route(live: Service) -> None:
    counted = Requests("/v1/sessions", "POST", 413)
    assert (await _ask(live, "POST", "/v1/sessions", b" " * (1024 * 1024 + 1))).status_code == 413
    assert counted.count == 1


async def test_whoever_sends_slowly_does_not_have_a_route_look_as_if_it_failed(
    live: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.ALLOWED_S, connections.Phase.BODY, 0.2)
    monkeypatch.setattr(connections, "LOOK_S", 0.05)
    counted, unknown = Requests("/v1/sessions", "POST", 504), Requests("", "", 504)
    request = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n "
    async with calling(live.port, request) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 504 ")
    assert (counted.count, unknown.count) == (0, 1)


async def test_what_came_to_no_route_is_counted_without_one(live: Service) -> None:
    for status, method, path in ((404, "GET", "/nowhere"), (405, "PUT", f"/v1/sessions/{SESSION}")):
        counted = Requests("", "", status)
        assert (await _ask(live, method, path)).status_code == status
        assert counted.count == 1


async def test_a_repeat_is_a_call_but_no_further_switch_or_creation(live: Service) -> None:
    def counted() -> tuple[float, ...]:
        found = (
            metrics.registry.get_sample_value("synckairos_sessions_created_total"),
            metrics.registry.get_sample_value("synckairos_switches_total"),
            metrics.registry.get_sample_value("synckairos_redis_call_seconds_count", {"call": "sk_create"}),
            metrics.registry.get_sample_value("synckairos_redis_call_seconds_count", {"call": "sk_switch"}),
        )
        return tuple(value or 0.0 for value in found)

    sessions, session_id = live.sessions, str(uuid.uuid4())
    players = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 60_000} for _ in range(2)]
    config = json.dumps({"sync_mode": "per_participant", "participants": players}).encode()
    before = counted()
    for _ in range(2):
        await sessions.create(session_id, config, Options(request="create"))
    await sessions.start(session_id)
    for _ in range(2):
        await sessions.switch(session_id, options=Options(request="switch"))
    with pytest.raises(SyncKairosError):
        await sessions.switch(str(uuid.uuid4()))
    changes = [after - was for was, after in zip(before, counted(), strict=True)]
    assert changes == [1, 1, 2, 3]


async def test_the_time_that_a_client_takes_to_send_its_body_is_not_the_request_s(live: Service) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(SLOW_S)
        yield b"}"

    counted = Requests("/v1/sessions", "POST", 400)
    began = monotonic()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}") as client:
        reply = await client.post("/v1/sessions", content=slowly())
    assert reply.status_code == 400
    assert counted.count == 1
    assert counted.seconds < monotonic() - began - SLOW_S / 2
