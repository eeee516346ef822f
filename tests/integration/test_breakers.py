"""The breaker of Redis in a running service: who is refused, what goes on, and what closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from synckairos import metrics
from synckairos.breakers.breaker import FAILURES
from synckairos.core.keys import SessionKeys
from synckairos.errors import CircuitOpen
from tests.support import servers
from tests.support.live import Service, eventually, game, service, settings
from tests.support.servers import Server

PATIENCE_S = 30.0


@pytest.fixture
async def own() -> AsyncIterator[Server]:
    """A server that the test may kill."""
    with servers.start("valkey") as started:
        yield started


def state(server: Server) -> float | None:
    labels = {"dependency": f"redis 127.0.0.1:{server.port}"}
    return metrics.registry.get_sample_value("synckairos_breaker_state", labels)


def requests(status: int) -> float:
    labels = {"route": "/v1/sessions/{session_id}/switch", "method": "POST", "status": str(status)}
    return metrics.registry.get_sample_value("synckairos_http_request_seconds_count", labels) or 0.0


def commands_refused() -> float:
    labels = {"type": "SWITCH", "code": "CIRCUIT_OPEN"}
    name = "synckairos_websocket_command_seconds_count"
    return metrics.registry.get_sample_value(name, labels) or 0.0


def errors() -> float:
    return metrics.registry.get_sample_value("synckairos_errors_total", {"code": "CIRCUIT_OPEN"}) or 0.0


async def opened(api: httpx.AsyncClient, path: str, own: Server) -> list[httpx.Response]:
    """The answers to the requests that opened the breaker."""
    answers = await asyncio.gather(*(api.post(path) for _ in range(FAILURES)))
    assert state(own) == 2
    return answers


def client_of(running: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=PATIENCE_S)


async def test_what_redis_is_needed_for_is_refused_until_it_is_back(own: Server) -> None:
    async with service(settings(own.url)) as running, client_of(running) as api:
        session_id = await game(running.sessions)
        path = f"/v1/sessions/{session_id}/switch"
        async with running.follow(session_id) as watcher:
            assert (await api.post(path)).status_code == 200
            assert state(own) == 0
            own.kill()
            for answer in await opened(api, path, own):
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "STORAGE_UNAVAILABLE")
            before, commands_before, errors_before = requests(503), commands_refused(), errors()
            refused = await api.post(path)
            assert refused.status_code == 503
            error = refused.json()["error"]
            assert (error["code"], error["retryable"]) == ("CIRCUIT_OPEN", True)
            assert error["context"] == {"dependency": "redis"}
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["x-request-id"]
            assert requests(503) == before + 1, "who is refused counts, too"
            for other in (f"/v1/sessions/{session_id}", f"/v1/sessions/{session_id}/events"):
                assert (await api.get(other)).json()["error"]["code"] == "CIRCUIT_OPEN"
            for public in ("/health", "/docs", "/openapi.json"):
                assert (await api.get(public)).status_code == 200
            await watcher.say(type="SWITCH", request_id="a-command")
            told = (await watcher.until("ERROR"))[-1]
            assert (told["error"]["code"], told["request_id"]) == ("CIRCUIT_OPEN", "a-command")
            assert commands_refused() == commands_before + 1, "commands, too"
            assert errors() == errors_before + 4
            own.start()
            sessions_are_gone = await api.post(path)
            assert sessions_are_gone.json()["error"]["code"] == "SESSION_NOT_FOUND", "the first one is asked"
            assert state(own) == 0


async def test_a_call_that_is_under_way_waits_on_when_it_opens(
    own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(settings(own.url)) as running, client_of(running) as api:
        session_id = await game(running.sessions)
        path = f"/v1/sessions/{session_id}"
        connection = running.context.connection
        own.kill()
        await opened(api, f"{path}/switch", own)
        own.start()
        await eventually(lambda: state(own) == 0, PATIENCE_S)
        await running.context.connection.load()
        session_id = await game(running.sessions)
        own.kill()
        monkeypatch.setattr("synckairos.core.connection.RETRY_FOR_S", 60.0)
        under_way = asyncio.create_task(api.post(f"/v1/sessions/{session_id}/switch"))
        breaker = connection._breaker(SessionKeys.of(session_id).session)
        await asyncio.sleep(0.2)
        for _ in range(FAILURES):
            breaker.failed(ConnectionError(), probe=False)
        with pytest.raises(CircuitOpen):
            await running.sessions.get(session_id)
        assert not under_way.done()
        own.start()
        assert (await under_way).json()["error"]["code"] == "SESSION_NOT_FOUND"
        assert state(own) == 0


async def test_a_server_that_hangs_opens_it_and_one_that_goes_on_closes_it(own: Server) -> None:
    async with service(settings(own.url)) as running, client_of(running) as api:
        session_id = await game(running.sessions)
        path = f"/v1/sessions/{session_id}/switch"
        own.pause()
        await opened(api, path, own)
        assert (await api.post(path)).json()["error"]["code"] == "CIRCUIT_OPEN"
        own.resume()
        await eventually(lambda: state(own) == 0, PATIENCE_S)
        assert (await api.post(path)).status_code == 200


@pytest.mark.parametrize(
    "refusal",
    [
        lambda session_id: ("POST", f"/v1/sessions/{session_id}/resume", {}),  # 400
        lambda session_id: ("POST", f"/v1/sessions/{session_id}/switch", {"expected_version": 1}),  # 409
        lambda _: ("GET", "/v1/sessions/00000000-0000-4000-8000-000000000000", None),  # 404
    ],
)
async def test_refusals_open_nothing(
    redis: Server, refusal: Callable[[str], tuple[str, str, object]]
) -> None:
    async with service(settings(redis.url)) as running, client_of(running) as api:
        session_id = await game(running.sessions)
        method, path, body = refusal(session_id)
        for _ in range(3 * FAILURES):
            answer = await api.request(method, path, json=body)
            assert 400 <= answer.status_code < 500, answer.text
        assert state(redis) == 0


async def test_callers_who_do_not_wait_for_their_answers_open_nothing(own: Server) -> None:
    async with service(settings(own.url)) as running, client_of(running) as api:
        path = f"/v1/sessions/{await game(running.sessions)}/switch"
        own.pause()
        for _ in range(3 * FAILURES):
            with pytest.raises(httpx.ReadTimeout):
                await api.post(path, timeout=httpx.Timeout(PATIENCE_S, read=0.05))
        await eventually(lambda: not running.app.ctx.connections._clients, PATIENCE_S)
        assert state(own) == 0
        own.resume()
        assert (await api.post(path)).status_code == 200
