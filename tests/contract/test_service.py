"""The routes about the service itself, and the headers that every answer has."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Service, at, create, error, new_id, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def test_time(api: httpx.AsyncClient) -> None:
    before = time.time() * 1000
    response = await api.get("/v1/time")
    after = time.time() * 1000
    body = response.json()
    assert body.keys() == {
        "timestamp_ms",
        "receive_ms",
        "transmit_ms",
        "server_version",
        "drift_tolerance_ms",
    }
    tolerance = body["drift_tolerance_ms"]
    assert tolerance > 0
    assert before - tolerance <= body["receive_ms"] <= body["transmit_ms"] <= after + tolerance
    assert body["timestamp_ms"] == body["transmit_ms"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["access-control-allow-origin"] == "*", "pages of any origin may ask for the time"
    assert isinstance(body["server_version"], str)


async def test_the_time_is_that_of_the_sessions(api: httpx.AsyncClient) -> None:
    """The clock is the Redis primary's: what it says lies between two changes around it.

    Give or take what a busy machine makes of its measurement.
    """
    session = await running(api)
    for _ in range(5):
        before = (await api.post(at(session, "/switch"))).json()["data"]["server_time_ms"]
        between = (await api.get("/v1/time")).json()
        after = (await api.post(at(session, "/switch"))).json()["data"]["server_time_ms"]
        tolerance = between["drift_tolerance_ms"]
        assert before - tolerance <= between["timestamp_ms"] <= after + tolerance


async def test_health_and_ready(api: httpx.AsyncClient) -> None:
    health = await api.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    wanted = {"redis": "ok", "library": "ok", "keyspace_events": "ok", "audit": "degraded"}
    async with asyncio.timeout(10):  # a service that has just started asks about keyspace events beside it
        while True:
            ready = await api.get("/ready")
            assert ready.status_code == 200
            body = ready.json()
            assert body["status"] == "degraded"
            if {name: check["status"] for name, check in body["checks"].items()} == wanted:
                break
            await asyncio.sleep(0.05)


async def test_metrics(api: httpx.AsyncClient) -> None:
    await api.get("/v1/sessions/x")
    response = await api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    name, labels = (
        "synckairos_http_request_seconds_count",
        'method="GET",route="/v1/sessions/{session_id}",status="400"',
    )
    line = re.search(re.escape(f"{name}{{{labels}}} ") + r"(\S+)", response.text)
    assert line is not None
    assert float(line[1]) >= 1
    assert 'synckairos_errors_total{code="VALIDATION_ERROR"}' in response.text


async def test_openapi_describes_every_route(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operations = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    session = "/v1/sessions/{session_id}"
    assert operations == {
        ("POST", "/v1/sessions"),
        ("GET", "/v1/sessions"),
        ("GET", session),
        ("DELETE", session),
        *(
            ("POST", f"{session}/{name}")
            for name in ("start", "pause", "resume", "complete", "cancel", "switch")
        ),
        *(("POST", f"{session}/{name}") for name in ("takeback", "reopen", "reset")),
        *(("PATCH", f"{session}/{name}") for name in ("turn", "schedule", "metadata")),
        ("POST", f"{session}/participants"),
        ("DELETE", f"{session}/participants/{{participant_id}}"),
        ("PATCH", f"{session}/participants/{{participant_id}}"),
        ("PATCH", f"{session}/groups/{{group_id}}"),
        ("PATCH", f"{session}/clock"),
        *((method, f"{session}/links") for method in ("POST", "GET", "DELETE")),
        ("DELETE", f"{session}/links/{{link_id}}"),
        ("POST", "/v1/revocations"),
        *((method, "/v1/webhooks") for method in ("POST", "GET")),
        ("DELETE", "/v1/webhooks/{webhook_id}"),
        ("POST", "/v1/webhooks/{webhook_id}/test"),
        ("GET", "/v1/webhooks/{webhook_id}/deliveries"),
        ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry"),
        ("GET", f"{session}/events"),
        ("GET", f"{session}/timeline.svg"),
        *((method, f"{session}/links") for method in ("POST", "GET", "DELETE")),
        ("DELETE", f"{session}/links/{{link_id}}"),
        ("POST", "/v1/revocations"),
        ("GET", "/debug/sessions/{session_id}"),
        *(
            ("GET", path)
            for path in (
                "/v1/access-log",
                "/v1/presets",
                "/v1/time",
                "/health",
                "/ready",
                "/metrics",
                "/openapi.json",
                "/docs",
            )
        ),
    }
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))


def references(value: Any) -> set[str]:
    """All `$ref`s in a document."""
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_openapi_refers_to_nothing_that_is_not_there(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas


async def test_openapi_s_types_are_those_of_the_answers(api: httpx.AsyncClient) -> None:
    schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
    session = await running(api)
    change = (await api.post(at(session, "/switch"))).json()["data"]
    time_ = (await api.get("/v1/time")).json()
    failure = (await api.get("/v1/sessions/x")).json()["error"]
    for name, value in (
        ("SessionState", session),
        ("Participant", session["participants"][0]),
        ("ChangeReply", change),
        ("Time", time_),
        ("Failure", failure),
        ("Detail", failure["details"][0]),
    ):
        assert set(schemas[name]["required"]) <= value.keys() <= schemas[name]["properties"].keys(), name


async def test_docs_need_nothing_from_elsewhere(api: httpx.AsyncClient) -> None:
    response = await api.get("/docs")
    loaded = re.findall(r"(?:src|<link [^>]*href)=([^ >]+)", response.text)
    assert len(loaded) > 4
    for path in loaded:
        assert path.startswith("/")
        assert (await api.get(path)).status_code == 200, path
    assert (await api.get("/docs/nothing.js")).status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "/v1/sessions/{session_id}/switch" in response.text
    assert not re.search(r"<script>|style=", response.text)


async def test_request_ids_go_in_and_out(api: httpx.AsyncClient) -> None:
    for path in ("/health", "/nope", "/v1/sessions/x"):
        assert (await api.get(path, headers={"x-request-id": "abc-1"})).headers["x-request-id"] == "abc-1"
        made = {(await api.get(path)).headers["x-request-id"] for _ in range(3)}
        assert len(made) == 3
    for wrong in ("two words", "x" * 129, "", "é"):
        response = await api.get("/health", headers=httpx.Headers({"x-request-id": wrong}, encoding="utf-8"))
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


async def test_trace_ids_go_in_and_out_and_into_events(api: httpx.AsyncClient) -> None:
    session = await create(api)
    response = await api.post(at(session, "/start"), headers={"traceparent": TRACEPARENT})
    assert response.headers["traceparent"] == TRACEPARENT
    change = await api.post(at(session, "/switch"), headers={"traceparent": TRACEPARENT})
    assert change.json()["data"]["trace"] == TRACE
    assert change.json()["data"]["actor"] is None
    without = await api.post(at(session, "/switch"))
    assert without.json()["data"]["trace"] is None
    assert "traceparent" not in without.headers


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"{TRACEPARENT}-more",
    ],
)
async def test_a_malformed_trace_id_is_as_none(api: httpx.AsyncClient, traceparent: str) -> None:
    response = await api.get("/health", headers={"traceparent": traceparent})
    assert response.status_code == 200
    assert "traceparent" not in response.headers


async def test_a_later_version_of_traceparent_may_say_more(api: httpx.AsyncClient) -> None:
    later = f"01-{TRACE}-00f067aa0ba902b7-01-more"
    assert (await api.get("/health", headers={"traceparent": later})).headers["traceparent"] == later


async def test_without_cors_there_are_no_cors_headers(api: httpx.AsyncClient) -> None:
    response = await api.get("/health", headers={"origin": "https://play.example.org"})
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_cors(limited: httpx.AsyncClient) -> None:
    origin = {"origin": "https://play.example.org"}
    for path, status in (("/health", 200), ("/nope", 404), ("/v1/sessions/x", 400)):
        response = await limited.get(path, headers=origin)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == origin["origin"]
        assert "ETag" in response.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in response.headers
        assert response.headers["vary"].split(", ")[-1] == "Origin"
        other = await limited.get(path, headers={"origin": "https://evil.example.org"})
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"].split(", ")[-1] == "Origin"


async def test_cors_preflight(limited: httpx.AsyncClient) -> None:
    headers = {
        "origin": "https://play.example.org",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, if-match",
    }
    response = await limited.options(f"/v1/sessions/{new_id()}/switch", headers=headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == headers["origin"]
    assert "POST" in response.headers["access-control-allow-methods"]
    assert {"content-type", "if-match"} <= set(
        response.headers["access-control-allow-headers"].lower().split(", ")
    )
    error(await limited.options("/nope", headers=headers), 404, "NOT_FOUND")


async def test_metrics_on_their_own_port(limited_service: Service, limited: httpx.AsyncClient) -> None:
    error(await limited.get("/metrics"), 404, "NOT_FOUND")
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{limited_service.metrics_port}/metrics")
    assert "synckairos_http_request_seconds" in response.text


async def test_no_page_of_another_origin_changes_anything(api: httpx.AsyncClient) -> None:
    """Where nobody is asked for a token: neither with a script's request nor with a form's."""
    session = await create(api)
    own = str(api.base_url).rstrip("/")
    for origin in (
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        for method, path in (
            ("POST", "/v1/sessions"),
            ("POST", at(session, "/start")),
            ("POST", at(session, "/switch")),
            ("PATCH", at(session, "/clock")),
            ("DELETE", at(session)),
        ):
            response = await api.request(method, path, headers={**origin, "content-type": "text/plain"})
            assert "ALLOWED_ORIGINS" in error(response, 403, "FORBIDDEN")["message"]
        for path in (at(session), at(session, "/events"), "/v1/time", "/"):
            for method in ("GET", "HEAD"):
                response = await api.request(method, path, headers=origin)
                assert response.status_code == 200
                assert not [name for name in response.headers if name.startswith("access-control")]
    assert (await api.get(at(session))).json()["data"]["version"] == 1
    assert (await api.post(at(session, "/start"), headers={"origin": own})).status_code == 200


async def test_no_rebound_host_is_answered(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for host in ("rebound.example", f"rebound.example:{api.base_url.port}"):
        for path in (at(session), "/", "/v1/presets", "/openapi.json", "/ws", "/synckairos.js", "/metrics"):
            failure = error(
                await api.get(path, headers={"host": host, "upgrade": "websocket"}), 400, "VALIDATION_ERROR"
            )
            assert [detail["field"] for detail in failure["details"]] == ["Host"]
            assert "ALLOWED_HOSTS" in failure["message"]
        for path in ("/health", "/ready"):
            assert (await api.get(path, headers={"host": host})).status_code == 200
    assert (await api.get(at(session), headers={"host": "localhost"})).status_code == 200


async def test_what_comes_back_is_what_it_says_and_is_kept_by_nobody(api: httpx.AsyncClient) -> None:
    session = await running(api)
    for path, kept in (
        (at(session), "no-cache"),
        (at(session, "/events"), "no-store"),
        (at(session, "/timeline.svg"), "no-store"),
        ("/v1/nope", "no-store"),
        (f"/debug{at(session).removeprefix('/v1')}", "no-store"),
        ("/metrics", "no-store"),
    ):
        response = await api.get(path)
        assert response.headers["cache-control"] == kept
        assert response.headers["vary"] == "Authorization"
        assert response.headers["x-content-type-options"] == "nosniff"
    unchanged = await api.get(
        at(session), headers={"if-none-match": (await api.get(at(session))).headers["etag"]}
    )
    assert (unchanged.status_code, unchanged.headers["cache-control"]) == (304, "no-cache")
    switched = await api.post(at(session, "/switch"))
    assert (switched.status_code, switched.headers["cache-control"]) == (200, "no-store")
    for path in ("/health", "/nope", "/metrics"):
        assert (await api.get(path)).headers["x-content-type-options"] == "nosniff"


async def test_no_long_trace_id_comes_back(api: httpx.AsyncClient) -> None:
    later = f"01-{TRACE}-00f067aa0ba902b7-01-"
    for length, returned in ((128, True), (129, False), (4000, False)):
        given = later + "a" * (length - len(later))
        response = await api.get("/health", headers={"traceparent": given})
        assert (response.headers.get("traceparent") == given) is returned


async def test_openapi_has_the_patterns_of_conditions(api: httpx.AsyncClient) -> None:
    switch = (await api.get("/openapi.json")).json()["paths"]["/v1/sessions/{session_id}/switch"]["post"]
    patterns = {each["name"]: each["schema"].get("pattern") for each in switch["parameters"]}
    for value, fits in (
        ('"47"', True),
        ('"47@1-a"', True),
        ("47", False),
        ('W/"47"', False),
        ('"4"5', False),
    ):
        assert (re.search(patterns["If-Match"], value) is not None) is fits
    assert re.search(patterns["Idempotency-Key"], "two words") is None
