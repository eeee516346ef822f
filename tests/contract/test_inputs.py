"""Input that is wrong: every problem is named, and nothing that parsers read in two ways comes through."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.contract.conftest import at, chess, create, error, fields_of, new_id, running

JSON = {"content-type": "application/json"}


async def test_a_config_wrong_in_five_places_gets_all_five_named(api: httpx.AsyncClient) -> None:
    config = chess(sync_mode="per_round", increment_ms=-1, warnings_ms=[1.5], colour="red")
    config["participants"][1]["participant_id"] = "7"
    response = await api.post("/v1/sessions", json=config)
    assert sorted(fields_of(response)) == [
        "colour",
        "increment_ms",
        "participants.1.participant_id",
        "sync_mode",
        "warnings_ms.0",
    ]


async def test_header_query_and_config_problems_come_together(api: httpx.AsyncClient) -> None:
    config = chess(increment_ms=-1, players_may_pause="yes")
    headers = {"idempotency-key": "two words"}
    response = await api.post("/v1/sessions?dry=1", json=config, headers=headers)
    assert sorted(fields_of(response)) == ["Idempotency-Key", "dry", "increment_ms", "players_may_pause"]


async def test_a_wrong_session_id_is_named_with_everything_else(api: httpx.AsyncClient) -> None:
    headers = httpx.Headers({"idempotency-key": "ü"}, encoding="utf-8")
    wrong: list[Any] = ["7", 7, [], {}, new_id().replace("-", "")]
    for session_id in wrong:
        response = await api.post("/v1/sessions", json=chess(session_id=session_id, increment_ms=-1))
        assert sorted(fields_of(response)) == ["increment_ms", "session_id"]
        response = await api.post("/v1/sessions", json=chess(session_id=session_id), headers=headers)
        assert sorted(fields_of(response)) == ["Idempotency-Key", "session_id"]


async def test_a_config_that_is_only_looked_at_leaves_nothing_behind(api: httpx.AsyncClient) -> None:
    session_id = new_id()
    response = await api.post(
        "/v1/sessions", json=chess(session_id=session_id), headers={"idempotency-key": "two words"}
    )
    assert fields_of(response) == ["Idempotency-Key"]
    error(await api.get(f"/v1/sessions/{session_id}"), 404, "SESSION_NOT_FOUND")


async def test_a_switch_wrong_in_seven_places(api: httpx.AsyncClient) -> None:
    response = await api.post(
        "/v1/sessions/seven/switch?now=1",
        json={"current_participant_id": 1, "next_participant_id": "x", "expected_version": -1, "force": True},
        headers={"if-match": "47", "idempotency-key": "a b"},
    )
    assert sorted(fields_of(response)) == [
        "Idempotency-Key",
        "If-Match",
        "current_participant_id",
        "expected_version",
        "force",
        "next_participant_id",
        "now",
        "session_id",
    ]


async def test_a_participant_wrong_in_five_places(api: httpx.AsyncClient) -> None:
    session = await create(api)
    response = await api.post(
        at(session, "/participants"),
        json={
            "participant_id": "x",
            "participant_index": 1000,
            "total_time_ms": 1,
            "expected_version": "1",
            "name": "Ann",
        },
    )
    assert sorted(fields_of(response)) == [
        "expected_version",
        "name",
        "participant_id",
        "participant_index",
        "total_time_ms",
    ]
    assert (await api.get(at(session))).json()["data"]["version"] == 1


async def test_a_good_participant_with_a_bad_condition_does_not_join(api: httpx.AsyncClient) -> None:
    session = await create(api)
    newcomer = {"participant_id": new_id(), "total_time_ms": 5000}
    response = await api.post(at(session, "/participants"), json={**newcomer, "expected_version": 1.5})
    assert fields_of(response) == ["expected_version"]
    response = await api.post(at(session, "/participants"), json=newcomer, headers={"if-match": "*"})
    assert fields_of(response) == ["If-Match"]
    assert len((await api.get(at(session))).json()["data"]["participants"]) == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["total_time_ms"]),
        ({"total_time_ms": 1, "add_ms": 1}, ["total_time_ms"]),
        ({"total_time_ms": -1, "add_ms": 1}, ["total_time_ms"]),
        ({"total_time_ms": None, "add_ms": None}, ["total_time_ms"]),
        (
            {"add_ms": 86_400_001, "within_ms": 0, "reason": "x" * 201, "why": 1},
            ["add_ms", "reason", "why", "within_ms"],
        ),
        ({"add_ms": True, "reason": ""}, ["add_ms", "reason"]),
        ({"within_ms": 5, "reason": 5}, ["reason"]),
    ],
)
async def test_an_adjust(api: httpx.AsyncClient, body: dict[str, Any], fields: list[str]) -> None:
    session = await running(api)
    response = await api.patch(at(session, f"/participants/{new_id()}"), json=body)
    assert sorted(fields_of(response)) == fields


@pytest.mark.parametrize("number", ["5000", "5000.0", "5e3", "0.5E4"])
async def test_a_whole_number_is_one_however_it_is_written(api: httpx.AsyncClient, number: str) -> None:
    session = await running(api)
    waiting = session["participants"][1]["participant_id"]
    path = at(session, f"/participants/{waiting}")
    text = f'{{"total_time_ms": {number}, "within_ms": 864e5, "expected_version": {session["version"]}.0}}'
    change = (await api.patch(path, content=text)).json()["data"]
    assert change["participants"][-1]["total_time_ms"] == 5000
    change = (await api.patch(path, content='{"add_ms": -0.0}')).json()["data"]
    switched = await api.post(
        at(session, "/switch"), content=f'{{"expected_version": {change["version"]}.0}}'
    )
    assert switched.status_code == 200
    participant = f'{{"participant_id": "{new_id()}", "total_time_ms": {number}, "expected_version": 1e0}}'
    refused = await api.post(at(session, "/participants"), content=participant)
    assert refused.status_code == 409


@pytest.mark.parametrize(
    "number",
    ["5000.5", "1e300", "-1e300", "1e400", "86400000.5", "86400001.0", "9007199254740994.0", '"5000"'],
)
async def test_what_is_no_whole_number_within_the_bounds_is_refused(
    api: httpx.AsyncClient, number: str
) -> None:
    session = await running(api)
    path = at(session, f"/participants/{session['participants'][0]['participant_id']}")
    names = ["add_ms", "total_time_ms", "within_ms"]
    text = "{" + ", ".join(f'"{name}": {number}' for name in names) + "}"
    assert sorted(fields_of(await api.patch(path, content=text))) == sorted(names)


async def test_half_a_surrogate_pair_in_a_reason_is_refused(api: httpx.AsyncClient) -> None:
    session = await running(api)
    path = at(session, f"/participants/{session['participants'][1]['participant_id']}")
    assert fields_of(await api.patch(path, content='{"add_ms": 5, "reason": "\\ud800"}')) == ["reason"]


async def test_ids_in_the_path(api: httpx.AsyncClient) -> None:
    assert fields_of(await api.delete("/v1/sessions/a/participants/b")) == ["session_id", "participant_id"]
    assert fields_of(await api.patch("/v1/sessions/a/groups/b", json={"add_ms": 1})) == [
        "session_id",
        "group_id",
    ]
    for name in (
        "a",
        "%00",
        "%2e%2e",
        "a" * 2000,
        "{tt}",
        new_id() + "x",
        "%C3%A4",
        new_id().replace("-", ""),
    ):
        assert fields_of(await api.get(f"/v1/sessions/{name}")) == ["session_id"]


@pytest.mark.parametrize(
    "query",
    ["since=-1", "since=x", "since=1.5", "since=", "since=1&since=2", "since=%ff", "since=9007199254740992"],
)
async def test_queries(api: httpx.AsyncClient, query: str) -> None:
    session = await create(api)
    assert len(fields_of(await api.get(at(session, f"/events?{query}")))) == 1


@pytest.mark.parametrize("query", ["status=null", "limit=NULL", "status=null&limit=0"])
async def test_a_query_has_no_null(api: httpx.AsyncClient, query: str) -> None:
    named = [pair.partition("=")[0] for pair in query.split("&")]
    assert fields_of(await api.get(f"/v1/sessions?{query}")) == named


@pytest.mark.parametrize(
    "if_match",
    ["", "*", "1", '"', '""', '"x"', '"-1"', '"1"@', 'W/"1"', '"1", "2"', '"1@"', '"1@2@"@', "'1'", '"1 "'],
)
async def test_if_match_is_an_etag_or_a_quoted_version(api: httpx.AsyncClient, if_match: str) -> None:
    session = await create(api)
    response = await api.post(at(session, "/start"), headers={"if-match": if_match})
    assert fields_of(response) == ["If-Match"]


async def test_headers_given_twice(api: httpx.AsyncClient) -> None:
    session = await create(api)
    twice = [("if-match", '"1"'), ("if-match", '"1"'), ("idempotency-key", "a"), ("idempotency-key", "b")]
    response = await api.post(at(session, "/start"), headers=twice)
    assert sorted(fields_of(response)) == ["Idempotency-Key", "If-Match"]


async def test_idempotency_keys(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for key in ("", "a b", "k" * 256, "é"):
        response = await api.post(
            at(session, "/start"), headers=httpx.Headers({"idempotency-key": key}, encoding="utf-8")
        )
        assert fields_of(response) == ["Idempotency-Key"]
    assert (await api.post(at(session, "/start"), headers={"idempotency-key": "k" * 255})).status_code == 200


NOT_JSON = [
    b"{",
    b'{"a":1',
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":0x10}',
    b'{"a":01}',
    b'{"a":.5}',
    b'{"a":1,}',
    b'{"a":1}x',
    b'{"a":1}\x00',
    b"\xef\xbb\xbf{}",
    b'{"\xff":1}',
    b'{"metadata":{"a":"\xc3"}}',
    b'{"a":"\x01"}',
    b'{"a":"\\x41"}',
    "{}".encode("utf-16"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"null",
    b"[]",
    b'"text"',
    b"17",
    b"true",
    b" ",
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:24]))
async def test_what_is_no_json_object(api: httpx.AsyncClient, body: bytes) -> None:
    session = await create(api)
    for path in ("/v1/sessions", at(session, "/participants"), at(session, "/switch"), at(session, "/start")):
        response = await api.post(path, content=body, headers=JSON)
        failure = error(response, 400, "VALIDATION_ERROR")
        assert failure["details"], path
    assert (await api.get(at(session))).json()["data"]["version"] == 1


def spliced(fields: bytes) -> bytes:
    """A good config with more text at its end."""
    return json.dumps(chess()).encode()[:-1] + b"," + fields + b"}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (spliced(b'"metadata":{},"metadata":{"a":1}'), "metadata"),
        (spliced(b'"metadata":{},"meta\\u0064ata":{"a":1}'), "metadata"),
        (spliced(b'"metadata":{"a":1,"a":2}'), "metadata.a"),
        (spliced(b'"metadata":{"x":[0,{"a":1,"a":2}]}'), "metadata.x.1.a"),
        (spliced(b'"metadata":{"a":"\\ud800"}'), "metadata.a"),
        (spliced(b'"metadata":{"a":"\\udc00\\ud800"}'), "metadata.a"),
        (spliced(b'"metadata":{"\\ud800":1}'), "metadata.\\ud800"),
        (spliced(b'"metadata":{"a":' + b"[" * 70 + b"]" * 70 + b"}"), "metadata.a" + ".0" * 62),
        (spliced(b'"session_id":null,"session_id":"' + new_id().encode() + b'"'), "session_id"),
    ],
)
async def test_what_parsers_read_in_two_ways(api: httpx.AsyncClient, body: bytes, field: str) -> None:
    response = await api.post("/v1/sessions", content=body, headers=JSON)
    assert fields_of(response) == [field]


async def test_a_name_may_be_spelled_with_escapes(api: httpx.AsyncClient) -> None:
    body = spliced(b'"meta\\u0064ata":{"\\u0061":"\\ud83c\\udfb2"}')
    response = await api.post("/v1/sessions", content=body, headers=JSON)
    assert response.json()["data"]["metadata"] == {"a": "🎲"}


@pytest.mark.parametrize(
    "number", [b"1e400", b"-1e400", b"9" * 5000, b"1" + b"0" * 400, b"9007199254740993", b"1.5"]
)
async def test_numbers_beyond_reach(api: httpx.AsyncClient, number: bytes) -> None:
    response = await api.post("/v1/sessions", content=spliced(b'"increment_ms":' + number), headers=JSON)
    assert fields_of(response) == ["increment_ms"]
    for name in (b"session_id", b"preset"):
        response = await api.post("/v1/sessions", content=spliced(b'"%b":%b' % (name, number)), headers=JSON)
        assert fields_of(response) == [name.decode()]
    session = await create(api)
    for path in ("/start", "/participants"):
        response = await api.post(
            at(session, path), content=b'{"expected_version":' + number + b"}", headers=JSON
        )
        assert "expected_version" in fields_of(response)


async def test_a_name_that_is_no_text_is_named(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for path in ("/switch", "/start", "/clock"):
        call = api.patch if path == "/clock" else api.post
        response = await call(at(session, path), content=b'{"\\ud800":1}', headers=JSON)
        assert "\\ud800" in fields_of(response)


async def test_digits_are_ascii(api: httpx.AsyncClient) -> None:
    session = await create(api)
    headers = httpx.Headers({"if-match": '"\u0661"'}, encoding="utf-8")
    assert fields_of(await api.post(at(session, "/start"), headers=headers)) == ["If-Match"]


async def test_bodies_are_bounded_by_what_they_are_for(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for path, most in (("/switch", 16_384), ("/start", 16_384), ("/participants", 8_192)):
        for size, problem in ((most, "is unknown"), (most + 1, f"must be at most {most} bytes")):
            body = b'{"x":"' + b"a" * (size - 8) + b'"}'
            response = await api.post(at(session, path), content=body, headers=JSON)
            details = error(response, 400, "VALIDATION_ERROR")["details"]
            assert problem in [detail["message"] for detail in details], path
    assert (await api.get(at(session))).json()["data"]["version"] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/switch", json.dumps({str(i): 0 for i in range(1000)}).encode()),
        ("/participants", b"{" + b",".join([b'"a":0'] * 1000) + b"}"),
        ("", spliced(b'"metadata":{' + b",".join([b'"a":0'] * 70_000) + b"}")),
        ("", spliced(b",".join(b'"%d":0' % i for i in range(1000)))),
    ],
    ids=["unknown", "twice", "many-twice", "unknown-to-the-library"],
)
async def test_of_very_many_problems_the_first_are_named(
    api: httpx.AsyncClient, path: str, body: bytes
) -> None:
    path = at(await create(api), path) if path else "/v1/sessions"
    response = await api.post(path, content=body, headers=JSON)
    failure = error(response, 400, "VALIDATION_ERROR")
    assert len(failure["details"]) == 100
    assert len(response.content) < 100_000


async def test_a_long_name_comes_back_short(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for path, body in (
        (at(session, "/switch"), json.dumps({"a" * 10_000: 1}).encode()),
        ("/v1/sessions", spliced(b'"metadata":{"%b":"\\ud800"}' % (b"a" * 10_000))),
        ("/v1/sessions", spliced(b'"%b":1' % (b"a" * 10_000))),
    ):
        [field] = fields_of(await api.post(path, content=body, headers=JSON))
        assert len(field) <= 256
        assert field.endswith("aaa...")


async def test_media_types(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/json;charset=latin1",
    ):
        response = await api.post(at(session, "/start"), content=b"{}", headers={"content-type": kind})
        error(response, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert response.headers["accept"] == "application/json"
        assert "POST" in response.headers["allow"]
    packed = await api.post(
        at(session, "/start"), content=b"{}", headers={**JSON, "content-encoding": "gzip"}
    )
    error(packed, 415, "UNSUPPORTED_MEDIA_TYPE")
    fine = await api.post(
        at(session, "/start"), content=b"{}", headers={"content-type": 'Application/JSON; Charset="UTF-8"'}
    )
    assert fine.status_code == 200
    no_body = await api.post(at(session, "/pause"), headers={"content-type": "text/plain"})
    assert no_body.status_code == 200
    no_type = await api.post(at(session, "/resume"), content=b'{"expected_version":3}')
    assert "content-type" not in no_type.request.headers
    assert no_type.status_code == 200
