"""Starting, stopping, and Redis coming and going."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.contract.conftest import Service, at, create, error, new_id, run_service, running
from tests.support import servers
from tests.support.lines import calling


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def said(log: Path, words: str) -> list[str]:
    """The lines of a log with these words."""
    return [line for line in log.read_text().splitlines() if words in line]


async def _gone(service: Service) -> int:
    return await asyncio.to_thread(service.process.wait, 20)


async def test_a_stop_answers_what_was_asked_before_it(log: Path) -> None:
    """Redis is held while twenty requests wait for it; they are answered although the service is to stop."""
    with servers.start("valkey") as redis, run_service(redis, log, RATE_LIMIT_ENABLED="false") as service:
        async with service.client() as client, redis.client() as held, AsyncExitStack() as lines:
            session = await running(client)
            await held.client_pause(10_000, all=False)  # changes wait, this client does not
            request = f"POST {at(session, '/switch')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            waiting = [await lines.enter_async_context(calling(service.port, request)) for _ in range(20)]
            # Whoever comes later and is answered shows that the twenty have been heard.
            async with service.client() as other:
                assert (await other.get("/health")).status_code == 200
            service.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            await held.client_unpause()
            async with asyncio.timeout(20):
                for reader, writer in waiting:
                    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                    writer.close()  # it is waited for
            assert await _gone(service) == 0
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
    assert said(log, "Traceback") == []


async def test_an_idle_connection_does_not_hold_up_a_stop(log: Path) -> None:
    with servers.start("valkey") as redis, run_service(redis, log) as service:
        async with service.client() as client:
            assert (await client.get("/health")).status_code == 200
            service.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):  # less than requests under way may take
                assert await _gone(service) == 0


async def test_redis_goes_and_comes_back(log: Path) -> None:
    with (
        servers.start("valkey", appendonly="yes", appendfsync="always") as redis,
        run_service(redis, log, RATE_LIMIT_ENABLED="false") as service,
    ):
        async with service.client() as client:
            session = await running(client)
            redis.stop()
            response = await client.post(at(session, "/switch"))
            error(response, 503, "STORAGE_UNAVAILABLE")
            assert int(response.headers["retry-after"]) >= 1
            assert (await client.get("/health")).status_code == 200
            ready = await client.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "unready")
            assert ready.json()["checks"]["redis"]["status"] == "unready"
            assert (await client.get("/v1/time")).status_code == 200
            redis.start()
            async with asyncio.timeout(10):
                while (await client.get("/ready")).status_code != 200:
                    await asyncio.sleep(0.05)
            assert (await client.post(at(session, "/switch"))).json()["data"]["version"] == 3


async def test_the_metrics_of_two_workers_add_up(log: Path) -> None:
    with (
        servers.start("valkey") as redis,
        run_service(redis, log, RATE_LIMIT_ENABLED="false", WORKERS="2") as service,
    ):
        for _ in range(40):
            async with service.client() as client:
                await client.get("/health")
        text = ""
        async with service.client() as client, asyncio.timeout(30):
            while 'worker="1"' not in text or 'worker="2"' not in text:  # both are up
                text = (await client.get("/metrics")).text
        wanted = 'synckairos_http_request_seconds_count{method="GET",route="/health",status="200"} '
        assert [
            float(line.removeprefix(wanted)) for line in text.splitlines() if line.startswith(wanted)
        ] == [40.0]
        for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
            values = [
                float(line.rpartition(" ")[2])
                for worker in (1, 2)
                for line in text.splitlines()
                if line.startswith(f'{name}{{worker="{worker}"}} ')
            ]
            assert len(values) == 2
            assert min(values) > 0
        assert "python_info{" in text


async def test_a_server_that_does_not_tell_of_vanished_keys_is_named(log: Path) -> None:
    """The service may not set it here; what needs it goes on, more slowly, and says so."""
    with servers.start("valkey", notify_keyspace_events="") as redis:
        with redis.sync_client() as admin:
            admin.execute_command("ACL SETUSER", "default", "-config")
        with run_service(redis, log) as service:
            async with service.client() as client:
                await create(client)
                async with asyncio.timeout(10):
                    while True:
                        check = (await client.get("/ready")).json()["checks"]["keyspace_events"]
                        if "notify-keyspace-events" in check.get("message", ""):
                            break
                        await asyncio.sleep(0.05)
                assert check["status"] == "degraded"
                assert (await client.get("/ready")).status_code == 200


STRANGE = """#!lua name=synckairos
local VERSION = "99.0.0"
local function info(keys, args) return {VERSION, 9, 1800000000000} end
local function secret(keys, args) return 'secret' end
redis.register_function{function_name='sk_info', callback=info, flags={'no-writes'}}
redis.register_function{function_name='sk_get', callback=secret, flags={'no-writes'}}
redis.register_function{function_name='sk_switch', callback=secret}
"""


async def test_a_newer_library_is_used_and_what_is_not_understood_of_it_stays_inside(log: Path) -> None:
    with servers.start("valkey") as redis:
        with redis.sync_client() as admin:
            admin.function_load(STRANGE)
        with run_service(redis, log, RATE_LIMIT_ENABLED="false") as service:
            async with service.client() as client:
                library = (await client.get("/ready")).json()["checks"]["library"]
                assert library["status"] == "ok"
                assert "99.0.0" in library["message"]
                for method, path in (("GET", ""), ("POST", "/switch")):
                    response = await client.request(
                        method, f"/v1/sessions/{new_id()}{path}", headers={"x-request-id": f"find-{method}"}
                    )
                    error(response, 500, "INTERNAL_ERROR")
                    assert "secret" not in response.text
        assert said(log, "find-GET")
        assert said(log, "find-POST")
