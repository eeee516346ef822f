"""Rate limits and their headers."""

from __future__ import annotations

import asyncio
from time import monotonic

import httpx

from tests.contract.conftest import Service, at, chess, create, error, new_id, running


def headers_of(response: httpx.Response) -> tuple[str, int, int, int]:
    """Policy, limit, remaining, reset."""
    headers = response.headers
    return (
        headers["ratelimit-policy"],
        int(headers["ratelimit-limit"]),
        int(headers["ratelimit-remaining"]),
        int(headers["ratelimit-reset"]),
    )


async def test_switches_of_one_session(limited: httpx.AsyncClient) -> None:
    one, other = await running(limited), await running(limited)
    started = monotonic()
    responses: list[httpx.Response] = []
    while len(responses) < 1000 and all(response.status_code == 200 for response in responses):
        responses += await asyncio.gather(*(limited.post(at(one, "/switch")) for _ in range(40)))
    passed = [response for response in responses if response.status_code == 200]
    # One more is back after each tenth of a second.
    assert 10 <= len(passed) <= 11 + 10 * (monotonic() - started)
    assert {headers_of(response)[:2] for response in responses} == {("10;w=1", 10)}
    assert min(headers_of(response)[2] for response in passed) == 0
    failures = [
        error(response, 429, "RATE_LIMIT_EXCEEDED") for response in responses if response not in passed
    ]
    assert {failure["context"]["limit"] for failure in failures} == {"switch"}
    # The first that was refused began the cooldown; the others are told what is left of it.
    assert max(failure["context"]["retry_after_ms"] for failure in failures) == 10_000
    assert "10" in {response.headers["retry-after"] for response in responses if response not in passed}
    version = (await limited.get(at(one))).json()["data"]["version"]
    assert version == one["version"] + len(passed)
    again = await limited.post(at(one, "/switch"))
    error(again, 429, "RATE_LIMIT_EXCEEDED")
    assert int(again.headers["retry-after"]) <= 10
    assert (await limited.post(at(other, "/switch"))).status_code == 200


async def test_creates_of_one_caller(limited: httpx.AsyncClient) -> None:
    for left in (4, 3, 2, 1, 0):
        response = await limited.post("/v1/sessions", json=chess())
        assert response.status_code == 201
        assert headers_of(response)[:3] == ("5;w=60", 5, left)
    refused = await limited.post("/v1/sessions", json=chess())
    error(refused, 429, "RATE_LIMIT_EXCEEDED")
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert headers_of(refused)[2] == 0


async def test_reads_of_one_caller(limited: httpx.AsyncClient) -> None:
    session = await create(limited)
    statuses = []
    for path in (
        at(session),
        at(session, "/events"),
        f"/v1/sessions/{new_id()}",
        "/v1/sessions/x",
        "/v1/sessions",
    ):
        response = await limited.get(path)
        assert headers_of(response)[:2] == ("7;w=60", 7)
        statuses.append(response.status_code)
    assert statuses == [200, 200, 404, 400, 503]
    await limited.get(at(session))
    await limited.get(at(session))
    error(await limited.get(at(session)), 429, "RATE_LIMIT_EXCEEDED")


async def test_time_by_address(limited: httpx.AsyncClient) -> None:
    started = monotonic()
    responses = [await limited.get("/v1/time")]
    while len(responses) < 1000 and responses[-1].status_code == 200:
        responses.append(await limited.get("/v1/time"))
    # One more is back after each second.
    assert 60 <= len(responses) - 1 <= 61 + (monotonic() - started)
    assert headers_of(responses[0])[:2] == ("60;w=60", 60)
    error(responses[-1], 429, "RATE_LIMIT_EXCEEDED")
    elsewhere = await limited.get("/v1/time", headers={"x-forwarded-for": f"203.0.113.9, {new_id()} {{}}"})
    assert elsewhere.status_code == 200


async def test_the_address_is_the_one_that_the_proxy_saw(limited: httpx.AsyncClient) -> None:
    """What a client writes into the header itself stands before what the proxy adds, and does not count."""
    seen = limited.headers["x-forwarded-for"].rpartition(", ")[2]
    remaining = [
        headers_of(await limited.get("/v1/sessions/x", headers={"x-forwarded-for": f"{claimed}, {seen}"}))[2]
        for claimed in ("198.51.100.1", "198.51.100.2", "198.51.100.3")
    ]
    assert remaining == sorted(set(remaining), reverse=True)


async def test_without_limits_there_are_no_headers(api: httpx.AsyncClient) -> None:
    session = await running(api)
    responses = [await api.post(at(session, "/switch")) for _ in range(30)]
    assert {response.status_code for response in responses} == {200}
    assert not [name for name in responses[0].headers if name.startswith("ratelimit")]


async def test_what_is_never_limited(limited_service: Service, limited: httpx.AsyncClient) -> None:
    for path in ("/health", "/ready"):
        responses = [await limited.get(path) for _ in range(8)]
        assert {response.status_code for response in responses} == {200}
        assert "ratelimit-limit" not in responses[0].headers
    for path in ("/", "/openapi.json", "/docs", "/v1/presets", "/synckairos.js", "/nothing"):
        response = await limited.get(path)
        policy = response.headers.get("ratelimit-policy")
        assert policy == (None if path == "/nothing" else "300;w=60"), path
    assert "Traceback" not in limited_service.log.read_text()
