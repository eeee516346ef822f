"""nginx and HAProxy as `deploy/` configures them, in front of two services."""

from __future__ import annotations

import asyncio
import csv
import ipaddress
import json
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from synckairos.run.processes import free_port
from tests.support.lines import answering, calling
from tests.support.programs import Program, get
from tests.support.proxies import PROXIES, Proxy, ask_haproxy, haproxy
from tests.support.servers import Server

MINUTE_MS = 60_000
CONFIG = {
    "sync_mode": "per_participant",
    "participants": [
        {"participant_id": f"00000000-0000-4000-8000-00000000000{number}", "total_time_ms": MINUTE_MS}
        for number in (1, 2)
    ],
}


@pytest.fixture(scope="module")
def services(redis: Server) -> Iterator[dict[str, int]]:
    """Two services over one Redis that trust what a proxy on this machine says; their ports."""
    ports = {"a": free_port(), "b": free_port()}
    environ = {"REDIS_URL": redis.url, "TRUSTED_PROXIES": "127.0.0.1"}
    with (
        Program("serve", PORT=str(ports["a"]), **environ) as first,
        Program("serve", PORT=str(ports["b"]), **environ) as second,
    ):
        for program, port in zip((first, second), ports.values(), strict=True):
            program.until(lambda port=port: answers(port), "an answer")  # type: ignore[misc]
        yield ports


def answers(port: int) -> bool:
    try:
        return get(f"http://127.0.0.1:{port}/health")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, services: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy") / "it"
    with PROXIES[request.param](folder, services) as started:
        yield started


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[httpx.AsyncClient]:
    async with of(proxy) as opened:
        yield opened


_addresses = ipaddress.ip_network("127.1.0.0/16").hosts()


def new_address() -> str:
    """An address of this machine that has used up none of its limits."""
    return str(next(_addresses))


def of(proxy: Proxy, address: str | None = None) -> httpx.AsyncClient:
    """A client with that address, or with one of its own."""
    transport = httpx.AsyncHTTPTransport(local_address=address or new_address(), verify=proxy.tls)
    return httpx.AsyncClient(base_url=proxy.url, transport=transport, timeout=30)


async def reads_left(client: httpx.AsyncClient, **headers: str) -> int:
    reply = await client.get("/v1/time", headers=headers)
    assert reply.status_code == 200, reply.text
    return int(reply.headers["RateLimit-Remaining"])


async def test_a_game_over_a_socket_and_http(proxy: Proxy, client: httpx.AsyncClient) -> None:
    async with AsyncExitStack() as stack:
        session = (await client.post("/v1/sessions", json=CONFIG)).json()["data"]
        path = f"/v1/sessions/{session['session_id']}"
        sockets = [
            await stack.enter_async_context(
                connect(
                    f"wss://localhost:{proxy.port}/ws?session_id={session['session_id']}",
                    ssl=proxy.tls,
                    local_addr=(new_address(), 0),
                )
            )
            for _ in range(3)
        ]
        for number in range(4):
            reply = await client.post(f"{path}/{'switch' if number else 'start'}")
            assert reply.status_code == 200, reply.text
        for opened in sockets:
            seen: list[dict[str, Any]] = []
            while not seen or seen[-1].get("version", 0) < session["version"] + 4:
                seen.append(json.loads(await asyncio.wait_for(opened.recv(), 30)))
            assert [message["type"] for message in seen[:2]] == ["CONNECTED", "STATE_SYNC"]
            versions = [message["version"] for message in seen[1:]]
            assert versions == list(range(versions[0], session["version"] + 5))


async def test_a_page_of_the_same_origin_may_do_what_others_may_not(
    proxy: Proxy, client: httpx.AsyncClient
) -> None:
    """This is what `Host` is needed for, with its port."""
    foreign = "https://elsewhere.example"
    for origin, status in ((foreign, 403), (proxy.url, 201)):
        reply = await client.post("/v1/sessions", json=CONFIG, headers={"Origin": origin})
        assert reply.status_code == status, reply.text
    address = f"wss://localhost:{proxy.port}/ws?session_id={reply.json()['data']['session_id']}"
    from_here: dict[str, Any] = {"ssl": proxy.tls, "local_addr": (new_address(), 0)}
    async with connect(address, origin=Origin(proxy.url), **from_here) as opened:
        assert json.loads(await opened.recv())["type"] == "CONNECTED"
    with pytest.raises(InvalidStatus, match="403"):
        await connect(address, origin=Origin(foreign), **from_here)


async def test_a_client_has_its_own_address_and_none_that_it_claims(proxy: Proxy) -> None:
    neighbour = new_address()
    async with of(proxy) as one, of(proxy, neighbour) as other:
        left = await reads_left(one)
        assert await reads_left(one, **{"X-Forwarded-For": "203.0.113.9"}) == left - 1
        assert await reads_left(one, **{"X-Forwarded-For": f"{neighbour}, 127.0.0.1"}) == left - 2
        assert await reads_left(other) == left


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/metrics?x",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/metrics%2f",
        "/./metrics",
        "/x/../metrics",
        "/x/%2e%2e/metrics",
        "https://localhost/metrics",
        "/METRICS",
    ],
)
async def test_no_spelling_of_an_address_gets_at_the_metrics(proxy: Proxy, target: str) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    async with calling(proxy.port, request, ssl=proxy.tls, server_hostname="localhost") as (reader, _):
        reply = await asyncio.wait_for(reader.read(), 30)
    assert reply.partition(b" ")[2][:3] in (b"404", b"400"), reply
    assert b"synckairos_" not in reply


async def test_what_the_service_says_comes_through(proxy: Proxy, client: httpx.AsyncClient) -> None:
    ready = await client.get("/ready")
    assert ready.json()["checks"]["redis"]["status"] == "ok"
    large = await client.post("/v1/sessions", content=b" " * (1024 * 1024 + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert "Strict-Transport-Security" in ready.headers
    address = f"http://127.0.0.1:{proxy.plain}/s/x?y"
    plain = await client.get(address, headers={"Host": "example.org"})
    assert (plain.status_code, plain.headers["Location"]) == (308, "https://example.org/s/x?y")


async def test_no_token_of_an_address_is_in_the_log(proxy: Proxy, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/time?token=canary-in-the-address")).status_code in (200, 400)
    log = proxy.access_log or proxy.log
    while "/v1/time" not in log.read_text():
        await asyncio.sleep(0.05)
    assert "canary" not in log.read_text()


@asynccontextmanager
async def breaking_off(port: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """A process that is well, and breaks off every request but the checks, once it has read it: its port, and
    the requests, each by its first line."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line = head.split(" HTTP")[0]
            if line in ("GET /ready", "GET /health"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
            else:
                length = next((each for each in head.lower().split("\r\n") if "content-length" in each), ":0")
                await reader.readexactly(int(length.split(":")[1]))
                asked.append(line)

    async with answering(answer, port=port) as own:
        yield own, asked


@pytest.mark.parametrize("name", PROXIES)
async def test_a_request_that_is_broken_off_is_repeated_where_that_is_safe(
    name: str, services: dict[str, int], tmp_path: Path
) -> None:
    async with breaking_off() as (port, asked):
        with PROXIES[name](tmp_path / "it", {"a": port, "b": services["b"]}) as proxy:
            async with of(proxy) as client:
                while "GET /v1/presets" not in asked:
                    assert (await client.get("/v1/presets")).status_code == 200
                asked.clear()
                while not asked:
                    session_id = str(uuid.uuid4())
                    given = {**CONFIG, "session_id": session_id}
                    async with of(proxy) as caller:  # with limits of its own
                        reply = await caller.post("/v1/sessions", json=given)
                assert reply.status_code == 502
                assert reply.json()["error"]["code"] == "STORAGE_UNAVAILABLE"
                assert (await client.get(f"/v1/sessions/{session_id}")).status_code == 404
                asked.clear()
                while name == "haproxy" and not asked:
                    async with of(proxy) as caller:
                        key = {"Idempotency-Key": str(uuid.uuid4())}
                        reply = await caller.post("/v1/sessions", json=CONFIG, headers=key)
                    assert reply.status_code == 201


async def test_a_process_that_is_taken_out_gets_nothing_and_one_that_is_away_is_passed_over(
    redis: Server, tmp_path: Path
) -> None:
    for name, start in PROXIES.items():
        alive = free_port()
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            Program("serve", PORT=str(alive), REDIS_URL=redis.url, TRUSTED_PROXIES="127.0.0.1") as program,
        ):
            program.until(lambda port=alive: answers(port), "an answer")  # type: ignore[misc]
            ports = {"a": alive, "b": silent.getsockname()[1]}
            with start(tmp_path / name, ports) as proxy:
                proxy.take_out("b")  # it would keep every request waiting
                async with of(proxy) as client:
                    for _ in range(20):
                        assert (await client.get("/health")).status_code == 200
                    proxy.put_back("b")
                    silent.close()
                    for _ in range(20):
                        reply = await client.post(f"/v1/sessions/{'0' * 8}-0000-4000-8000-{'0' * 12}/switch")
                        assert reply.json()["error"]["code"] in ("SESSION_NOT_FOUND", "RATE_LIMIT_EXCEEDED")
                    program.end()
                    gone = await client.post("/v1/sessions", json=CONFIG)
                    assert gone.status_code in (502, 503)
                    assert gone.json()["error"] == {
                        "code": "STORAGE_UNAVAILABLE",
                        "message": "no process of the service answers",
                        "retryable": True,
                        "context": {},
                    }
                    assert gone.headers["Retry-After"] == "1"


def states(proxy: Proxy) -> dict[tuple[str, str], str]:
    """What HAProxy holds of each backend and each server in it."""
    assert proxy.control is not None
    rows = csv.DictReader(ask_haproxy(proxy.control, "show stat").splitlines())
    return {(row["# pxname"], row["svname"]): row["status"] for row in rows}


async def test_haproxy_sends_requests_to_a_process_as_soon_as_it_is_put_back(
    services: dict[str, int], tmp_path: Path
) -> None:
    """Else those of the moment after the other one was taken out would wait for the next check."""
    port = free_port()
    with haproxy(tmp_path / "it", {"a": services["a"], "b": port}) as proxy:
        while states(proxy)["ready", "b"] != "DOWN":
            await asyncio.sleep(0.1)
        proxy.take_out("b")
        async with breaking_off(port):
            proxy.put_back("b")
            proxy.take_out("a")
            assert states(proxy)["ready", "b"] == "UP"
            async with of(proxy) as client:
                assert (await client.get("/health")).status_code == 200
        assert "ready/b" in proxy.log.read_text()


async def test_haproxy_sends_requests_to_processes_that_are_not_ready_when_there_are_no_others(
    own_redis: Server, tmp_path: Path
) -> None:
    """They say why they are not ready, and may be able to read."""
    port = free_port()
    with Program("serve", PORT=str(port), REDIS_URL=own_redis.url) as program:
        program.until(lambda: answers(port), "an answer")
        with haproxy(tmp_path / "it", {"a": port, "b": port}) as proxy:
            own_redis.stop()
            while states(proxy)["ready", "BACKEND"] != "DOWN":
                await asyncio.sleep(0.1)
            assert states(proxy)["alive", "BACKEND"] == "UP"
            async with of(proxy) as client:
                reply = await client.get("/ready")
            assert (reply.status_code, reply.json()["checks"]["redis"]["status"]) == (503, "unready")
