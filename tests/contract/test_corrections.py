"""Corrections, the schedule and pauses over HTTP: bodies, answers, conditions and repeats."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.contract.conftest import at, chess, create, error, fields_of, new_id, running

DAY_MS = 86_400_000
ENVELOPE = {"session_id", "version", "epoch", "server_time_ms"}


async def changed(call: Any) -> dict[str, Any]:
    """The change with which a call was answered."""
    response: httpx.Response = await call
    assert response.status_code == 200, response.text
    change: dict[str, Any] = response.json()["data"]
    assert change.keys() >= ENVELOPE | {"event", "participants", "groups", "status"}
    return change


async def test_turns_are_taken_back(api: httpx.AsyncClient) -> None:
    session = await running(api)
    first, second = (each["participant_id"] for each in session["participants"])
    for _ in range(3):
        await api.post(at(session, "/switch"))
    one = await changed(api.post(at(session, "/takeback")))
    assert (one["event"], one["turns"], one["active_participant_id"]) == ("turn.taken_back", 1, first)
    assert one["version"] == 6
    two = await changed(api.post(at(session, "/takeback"), json={"turns": 2.0}))
    assert (two["turns"], two["active_participant_id"], two["cycle_count"]) == (2, first, 0)
    error(await api.post(at(session, "/takeback")), 400, "INVALID_SESSION_STATE")
    for turns in (0, 17, "1", 1.5):
        assert fields_of(await api.post(at(session, "/takeback"), json={"turns": turns})) == ["turns"]
    assert second != first


async def test_the_turn_is_set(api: httpx.AsyncClient) -> None:
    session = await create(api)
    second = session["participants"][1]["participant_id"]
    body = {"active_participant_id": second.upper()}
    change = await changed(api.patch(at(session, "/turn"), json=body))
    assert (change["event"], change["active_participant_id"]) == ("turn.set", second)
    stranger = {"active_participant_id": new_id()}
    error(await api.patch(at(session, "/turn"), json=stranger), 404, "PARTICIPANT_NOT_FOUND")
    for wrong in ({}, {"active_participant_id": None}, {"active_participant_id": "5"}):
        assert fields_of(await api.patch(at(session, "/turn"), json=wrong)) == ["active_participant_id"]
    assert fields_of(await api.patch(at(session, "/turn"))) == ["active_participant_id"]
    await api.post(at(session, "/start"))
    error(await api.patch(at(session, "/turn"), json=body), 400, "INVALID_SESSION_STATE")


async def test_a_session_is_reopened_and_reset(api: httpx.AsyncClient) -> None:
    session = await running(api)
    error(await api.post(at(session, "/reopen")), 400, "INVALID_SESSION_STATE")
    await api.post(at(session, "/switch"))
    await api.post(at(session, "/complete"))
    change = await changed(api.post(at(session, "/reopen")))
    assert (change["event"], change["status"], change["version"]) == ("session.reopened", "paused", 5)
    state = (await api.get(at(session))).json()["data"]
    assert (state["status"], state["session_completed_at"]) == ("paused", None)
    change = await changed(api.post(at(session, "/reset")))
    assert (change["event"], change["status"], change["version"]) == ("session.reset", "pending", 6)
    state = (await api.get(at(session))).json()["data"]
    assert [each["total_time_ms"] for each in state["participants"]] == [60_000, 60_000]
    assert (state["cycle_count"], state["session_started_at"]) == (0, None)
    await api.delete(at(session))
    for path in ("/reopen", "/reset"):
        error(await api.post(at(session, path)), 404, "SESSION_NOT_FOUND")


async def test_a_schedule_is_set_moved_and_taken_back(api: httpx.AsyncClient) -> None:
    soon = int(1000 * time.time()) + DAY_MS
    session = await create(api, chess(starts_at_ms=soon, ends_at_ms=None))
    assert (session["starts_at_ms"], session["ends_at_ms"]) == (soon, None)
    path = at(session, "/schedule")
    change = await changed(api.patch(path, json={"ends_at_ms": soon + 5}))
    assert (change["event"], change["starts_at_ms"], change["ends_at_ms"]) == (
        *("session.scheduled", soon),
        soon + 5,
    )
    change = await changed(api.patch(path, json={"starts_at_ms": None}))
    assert change["ends_at_ms"] == soon + 5
    assert change.get("starts_at_ms") is None
    state = (await api.get(at(session))).json()["data"]
    assert (state["starts_at_ms"], state["ends_at_ms"]) == (None, soon + 5)
    assert error(await api.patch(path, json={}), 400, "VALIDATION_ERROR")["message"] == (
        "starts_at_ms or ends_at_ms is required, or both"
    )
    assert fields_of(await api.patch(path, json={"starts_at_ms": soon, "ends_at_ms": soon})) == ["ends_at_ms"]
    assert fields_of(await api.patch(path, json={"starts_at_ms": "now"})) == ["starts_at_ms"]
    for past in (0, 5):
        assert fields_of(await api.patch(path, json={"starts_at_ms": past})) == ["starts_at_ms"]
    moment = (await api.get("/openapi.json")).json()["components"]["schemas"]["ScheduleBody"]
    assert moment["properties"]["starts_at_ms"]["anyOf"][0]["minimum"] == 1
    refused = error(await api.patch(path, json={"ends_at_ms": soon + 366 * DAY_MS}), 400, "VALIDATION_ERROR")
    assert refused["message"] == "ends_at_ms must be at most 366 days ahead"
    assert refused["details"] == [{"field": "ends_at_ms", "message": "must be at most 366 days ahead"}]
    await api.post(at(session, "/start"))
    error(await api.patch(path, json={"starts_at_ms": soon}), 400, "INVALID_SESSION_STATE")
    assert (await changed(api.patch(path, json={"ends_at_ms": None})))["status"] == "running"


async def test_pauses_are_bounded_and_one_need_not_count(api: httpx.AsyncClient) -> None:
    session = await running(api, chess(max_pauses=1, max_total_pause_ms=60_000))
    assert (session["pauses_left"], session["pause_remaining_ms"]) == (1, 60_000)
    await api.post(at(session, "/pause"), json={"counted": None})
    await api.post(at(session, "/resume"))
    refused = error(
        await api.post(at(session, "/pause"), json={"counted": True}), 400, "INVALID_SESSION_STATE"
    )
    assert refused["context"]["pauses_left"] == 0
    free = await api.post(at(session, "/pause"), json={"counted": False})
    assert (free.status_code, free.json()["data"]["status"]) == (200, "paused")
    assert free.json()["data"]["pauses_left"] == 0
    assert free.headers["change-version"] == "5"
    assert fields_of(await api.post(at(session, "/pause"), json={"counted": "no"})) == ["counted"]


async def test_the_total_beside_the_cycles_is_adjusted(api: httpx.AsyncClient) -> None:
    people = [{"participant_id": new_id()} for _ in range(2)]
    config = {
        "sync_mode": "global",
        "participants": people,
        "time_per_cycle_ms": 5000,
        "total_time_ms": 60_000,
    }
    session = await running(api, config)
    change = await changed(api.patch(at(session, "/clock"), json={"clock": "total", "add_ms": 10_000}))
    assert 60_000 < change["total_remaining_ms"] <= 70_000
    assert fields_of(await api.patch(at(session, "/clock"), json={"clock": "mine", "add_ms": 1})) == ["clock"]
    other = await running(api)
    path = at(other, "/clock")
    assert fields_of(await api.patch(path, json={"clock": "total", "add_ms": 1})) == ["clock"]
    assert fields_of(await api.patch(path, json={"add_ms": 1})) == ["participant_id"]
    path = at(other, f"/participants/{other['participants'][0]['participant_id']}")
    assert fields_of(await api.patch(path, json={"clock": "total", "add_ms": 1})) == ["clock"]


async def test_a_session_completes_after_so_many_cycles(api: httpx.AsyncClient) -> None:
    session = await running(api, chess(max_cycles=2))
    await api.post(at(session, "/switch"))
    change = await changed(api.post(at(session, "/switch")))
    assert (change["event"], change["reason"], change["status"]) == (
        *("session.completed", "auto"),
        "completed",
    )


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/takeback", {}),
    ("POST", "/reset", {}),
    ("PATCH", "/turn", {"active_participant_id": ""}),
    ("PATCH", "/schedule", {"ends_at_ms": None}),
    ("PATCH", "/metadata", {"metadata": {"title": "Final"}}),
    ("POST", "/reopen", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_conditions_and_repeats(
    api: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]
) -> None:
    session = await running(api)
    await api.post(at(session, "/switch"))
    await api.post(at(session, "/cancel" if path == "/reopen" else "/pause"))
    if "active_participant_id" in body:
        body = {"active_participant_id": session["participants"][0]["participant_id"]}
    stale = await api.request(method, at(session, path), json=body, headers={"if-match": '"2"'})
    assert error(stale, 409, "CONCURRENT_MODIFICATION")["context"] == {
        "expected_version": 2,
        "actual_version": 4,
    }
    headers = {"if-match": f'"4@{session["epoch"]}"', "idempotency-key": "once"}
    first = await api.request(
        method, at(session, path), json={**body, "expected_version": 4}, headers=headers
    )
    assert first.status_code == 200, first.text
    assert first.json()["data"]["version"] == 5
    again = await api.request(
        method, at(session, path), json={**body, "expected_version": 4}, headers=headers
    )
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert fields_of(await api.request(method, at(session, path), json={**body, "colour": 1})) == ["colour"]
    missing = f"/v1/sessions/{new_id()}{path}"
    error(await api.request(method, missing, json=body), 404, "SESSION_NOT_FOUND")


async def test_long_times_are_refused_without_long_clocks(api: httpx.AsyncClient) -> None:
    long = {"total_time_ms": DAY_MS + 1}
    config = chess() | {"participants": [{"participant_id": new_id(), **long}]}
    assert fields_of(await api.post("/v1/sessions", json=config)) == ["participants.0.total_time_ms"]
    session = await running(api)
    newcomer = {"participant_id": new_id(), **long}
    assert fields_of(await api.post(at(session, "/participants"), json=newcomer)) == ["total_time_ms"]
    path = at(session, f"/participants/{session['participants'][0]['participant_id']}")
    refused = await api.patch(path, json={"add_ms": -DAY_MS - 1})
    assert error(refused, 400, "VALIDATION_ERROR")["details"] == [
        {"field": "add_ms", "message": f"must be a whole number of milliseconds from -{DAY_MS} to {DAY_MS}"}
    ]
    refused = await api.patch(path, json={"add_ms": 1, "within_ms": "soon"})
    assert error(refused, 400, "VALIDATION_ERROR")["details"] == [
        {"field": "within_ms", "message": f"must be a whole number of milliseconds from 1 to {DAY_MS}"}
    ]
    document = (await api.get("/openapi.json")).json()["components"]["schemas"]
    assert document["AdjustBody"]["properties"]["add_ms"]["anyOf"][0]["minimum"] == -DAY_MS
    assert "x-" not in (await api.get("/openapi.json")).text


async def test_metadata_is_patched_in_any_status(api: httpx.AsyncClient) -> None:
    session = await create(api, chess(metadata={"title": "Club night", "names": {"a": "Anna"}}))
    path = at(session, "/metadata")
    text = '{"metadata": {"names": {"b": "Björn"}, "title": null, "tags": [], "odd": [null, {}, 1.0, 1e2]}}'
    response = await api.patch(path, content=text.encode())
    change = response.json()["data"]
    assert (change["event"], change["version"], change["status"]) == ("metadata.changed", 2, "pending")
    wanted = '{"names":{"a":"Anna","b":"Björn"},"tags":[],"odd":[null,{},1.0,1e2]}'
    assert f'"metadata":{wanted},"session_id"' in response.text
    assert f'"metadata":{wanted},' in (await api.get(at(session))).text
    assert (await api.patch(path, json={"metadata": {"tags": [], "title": None}})).json() == {"data": None}
    for call in ("/start", "/complete"):
        await api.post(at(session, call))
    change = await changed(api.patch(path, json={"metadata": {"next_session": new_id()}}))
    assert (change["status"], change["version"]) == ("completed", 5)
    [event] = (await api.get(at(session, "/events?since=4"))).json()["data"]["events"]
    assert event["payload"]["metadata"] == change["metadata"]


async def test_what_is_wrong_with_a_patch_of_metadata_is_named(api: httpx.AsyncClient) -> None:
    session = await create(api)
    path = at(session, "/metadata")
    assert fields_of(await api.patch(path, json={})) == ["metadata"]
    values: list[Any] = [None, [], 1, "{}"]
    for value in values:
        assert fields_of(await api.patch(path, json={"metadata": value})) == ["metadata"]
    wrong = {"metadata": {}, "expected_version": -1, "colour": 1}
    assert fields_of(await api.patch(path, json=wrong)) == ["expected_version", "colour"]
    assert fields_of(await api.patch(path, content=b'{"metadata": {"a": 1, "a": 2}}')) == ["metadata.a"]
    deep = b'{"metadata": ' + b'{"a":' * 64 + b"1" + b"}" * 65
    assert len(fields_of(await api.patch(path, content=deep))) == 1
    full = {f"key{i}": i for i in range(100)}
    await changed(api.patch(path, json={"metadata": full}))
    refused = error(await api.patch(path, json={"metadata": {"one": 1}}), 400, "VALIDATION_ERROR")
    assert refused["details"] == [
        {"field": "metadata", "message": "must have at most 100 keys: with this patch it would have 101"}
    ]
    # The most that replaces the most: all old names, and 10 KB of new members.
    swap = dict.fromkeys(full) | {f"other{i}": "x" * 80 for i in range(100)}
    await changed(api.patch(path, json={"metadata": swap}))
    refused = error(await api.patch(path, json={"metadata": {"other0": "x" * 4000}}), 400, "VALIDATION_ERROR")
    assert refused["details"][0]["message"].startswith("must be at most 10240 bytes of compact JSON")
    large = await api.patch(path, json={"metadata": {"a": "x" * 40_000}})
    assert large.status_code in (400, 413)
