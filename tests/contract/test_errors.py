"""One shape of errors on every route and on none, also for requests that are hardly HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Service, at, create, error, running
from tests.support.lines import calling

MIB = 1024 * 1024


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v2/sessions", "/v1/sessions/a/b/c/d", "/debug/x", "/%"])
async def test_unknown_routes(api: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        response = await api.request(method, path)
        if method == "HEAD":
            assert (response.status_code, response.content) == (404, b"")
        else:
            error(response, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/sessions", "GET, HEAD, OPTIONS, POST"),
        ("/v1/sessions/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/v1/sessions/x/switch", "OPTIONS, POST"),
        ("/v1/sessions/x/start", "OPTIONS, POST"),
        ("/v1/sessions/x/participants/y", "DELETE, OPTIONS, PATCH"),
        ("/v1/sessions/x/clock", "OPTIONS, PATCH"),
        ("/v1/sessions/x/events", "GET, HEAD, OPTIONS"),
        ("/v1/presets", "GET, HEAD, OPTIONS"),
        ("/v1/time", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_methods(api: httpx.AsyncClient, path: str, allow: str) -> None:
    for method in ("PUT", "TRACE", "PURGE"):
        response = await api.request(method, path)
        error(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == allow
    options = await api.options(path)
    assert (options.status_code, options.content) == (204, b"")
    assert options.headers["allow"] == allow


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/v1/presets", "/v1/time", "/metrics", "/openapi.json", "/docs"]
)
async def test_head_is_get_without_the_body(api: httpx.AsyncClient, path: str) -> None:
    response = await api.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def test_head_of_a_session(api: httpx.AsyncClient) -> None:
    session = await create(api)
    response = await api.head(at(session))
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["etag"] == f'"1@{session["epoch"]}"'


def padded(size: int) -> bytes:
    """A JSON object of this size."""
    return b'{"x":"' + b"a" * (size - 8) + b'"}'


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("size", [MIB + 1, 5 * MIB])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_over_one_mebibyte(api: httpx.AsyncClient, size: int, *, chunked: bool) -> None:
    session = await create(api)
    body = padded(size)
    for path in ("/v1/sessions", at(session, "/switch"), at(session, "/participants")):
        response = await api.post(path, content=chunks(body) if chunked else body)
        error(response, 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_of_one_mebibyte_is_read(api: httpx.AsyncClient, *, chunked: bool) -> None:
    body = padded(MIB)
    response = await api.post("/v1/sessions", content=chunks(body) if chunked else body)
    failure = error(response, 400, "VALIDATION_ERROR")
    assert failure["details"] == [{"field": "", "message": "must be at most 524288 bytes"}]


async def talk(service: Service, data: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes as they are; the answer's status, headers and JSON."""
    async with calling(service.port, data) as (reader, _), asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /health HTTP/3.7\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /h\xc3\xa4lth HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"GET :::: HTTP/1.1\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"POST /v1/sessions HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nExpect: a miracle\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /health HTTP/1.1\r\n" + b"GET /health HTTP/1.1\r\n" * 3 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=lambda data: repr(data[:60]),
)
async def test_what_is_hardly_http(service: Service, data: bytes) -> None:
    status, headers, body = await talk(service, data)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert body["error"]["code"] == "VALIDATION_ERROR"
    assert body["error"]["details"]
    assert body["error"]["context"] == {}


async def test_a_head_that_is_too_large(service: Service) -> None:
    for data in (
        b"GET /health HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ):
        status, _, body = await talk(service, data)
        assert (status, body["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(
    service: Service, api: httpx.AsyncClient
) -> None:
    for data in (
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1/sessions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n{",
        b"GET /v1/ti",
    ):
        async with calling(service.port, data) as (_, writer):
            await writer.drain()
    assert (await api.get("/health")).status_code == 200
    assert "Traceback" not in service.log.read_text()


async def test_a_client_that_does_not_wait_for_its_answer_is_no_failure(
    service: Service, api: httpx.AsyncClient
) -> None:
    session = await running(api)
    said = len(service.log.read_text())
    service.redis.pause()
    try:
        request = f"POST {at(session, '/switch')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        async with calling(service.port, request) as (_, writer):
            await writer.drain()
            await asyncio.sleep(0.2)  # it waits for Redis by now
        await asyncio.sleep(0.2)
    finally:
        service.redis.resume()
    assert (await api.get(at(session))).status_code == 200
    assert "request failed" not in service.log.read_text()[said:]


async def test_requests_one_behind_the_other_on_one_connection(service: Service) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = request * 2 + b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with calling(service.port, requests) as (reader, _), asyncio.timeout(10):
        answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"HTTP/1.1 404 Not Found") == 1
