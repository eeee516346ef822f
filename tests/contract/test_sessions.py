"""Each route of sessions, from its first use to its refusals."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.contract.conftest import at, chess, create, error, fields_of, new_id, running

STATE = {
    "session_id",
    "sync_mode",
    "status",
    "version",
    "epoch",
    "schema",
    "participants",
    "groups",
    "active_participant_id",
    "active_group_id",
    "total_time_ms",
    "time_per_cycle_ms",
    "increment_ms",
    "max_time_ms",
    "time_control",
    "lag_compensation",
    "time_used_ms",
    "time_remaining_ms",
    "total_remaining_ms",
    "cycle_count",
    "cycle_elapsed_ms",
    "auto_advance",
    "action_on_timeout",
    "warnings_ms",
    "max_pause_ms",
    "max_pauses",
    "max_total_pause_ms",
    "max_cycles",
    "players_may_pause",
    "players_may_choose_next",
    "metadata",
    "cycle_started_at",
    "deadline_ms",
    "resumes_at_ms",
    "starts_at_ms",
    "ends_at_ms",
    "pauses_left",
    "pause_remaining_ms",
    "session_started_at",
    "session_completed_at",
    "created_at",
    "updated_at",
    "server_time_ms",
    "tenant_id",
    "recovered",
    "recovered_at",
    "warning",
}
CHANGE = {
    "event",
    "reason",
    "status",
    "active_participant_id",
    "active_group_id",
    "cycle_started_at",
    "deadline_ms",
    "time_remaining_ms",
    "cycle_count",
    "participants",
    "groups",
    "actor",
    "trace",
    "session_id",
    "version",
    "epoch",
    "server_time_ms",
}


async def test_create_answers_201_with_the_state_its_address_and_its_etag(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/sessions", json=chess())
    assert response.status_code == 201
    assert response.json().keys() == {"data"}
    state = response.json()["data"]
    assert state.keys() == STATE
    assert (state["status"], state["version"]) == ("pending", 1)
    assert response.headers["location"] == f"/v1/sessions/{state['session_id']}"
    assert response.headers["etag"] == f'"1@{state["epoch"]}"'


async def test_a_session_may_bring_its_own_id_in_either_case(api: httpx.AsyncClient) -> None:
    session_id = new_id()
    state = await create(api, chess(session_id=session_id.upper()))
    assert state["session_id"] == session_id
    again = await api.post("/v1/sessions", json=chess(session_id=session_id))
    error(again, 409, "SESSION_EXISTS")
    assert (await api.get(f"/v1/sessions/{session_id.upper()}")).status_code == 200


async def test_null_means_absent(api: httpx.AsyncClient) -> None:
    state = await create(api, chess(session_id=None, metadata=None, groups=None, time_control=None))
    assert state["metadata"] == {}


@pytest.mark.parametrize(
    "metadata",
    [{"a": [], "b": {}, "c": None, "d": 2**53 - 1}, {"ключ": "значение 🎲", "\u0000": "\\u0000"}, {}],
)
async def test_metadata_comes_back_as_it_was(api: httpx.AsyncClient, metadata: dict[str, Any]) -> None:
    session = await create(api, chess(metadata=metadata))
    assert (await api.get(at(session))).json()["data"]["metadata"] == metadata


async def test_the_session_s_life(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for step, status in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("complete", "completed"),
    ):
        response = await api.post(at(session, f"/{step}"))
        assert response.status_code == 200
        state = response.json()["data"]
        assert state.keys() == STATE
        assert state["status"] == status
        assert response.headers["etag"] == f'"{state["version"]}@{state["epoch"]}"'
    failure = error(await api.post(at(session, "/start")), 400, "INVALID_SESSION_STATE")
    assert failure["context"]["status"] == "completed"


async def test_cancel(api: httpx.AsyncClient) -> None:
    session = await running(api)
    assert (await api.post(at(session, "/cancel"))).json()["data"]["status"] == "cancelled"


async def test_switch_answers_with_what_changed_and_where_it_stands(api: httpx.AsyncClient) -> None:
    session = await running(api)
    first, second = (one["participant_id"] for one in session["participants"])
    response = await api.post(at(session, "/switch"))
    assert response.status_code == 200
    change = response.json()["data"]
    assert change.keys() - {"suspicious"} == CHANGE
    assert (change["event"], change["reason"], change["version"]) == ("cycle.switched", "manual", 3)
    assert (change["session_id"], change["epoch"]) == (session["session_id"], session["epoch"])
    assert change["active_participant_id"] == second
    back = await api.post(
        at(session, "/switch"), json={"current_participant_id": second.upper(), "next_participant_id": first}
    )
    assert back.json()["data"]["active_participant_id"] == first


async def test_switch_refusals(api: httpx.AsyncClient) -> None:
    session = await running(api)
    _, second = (one["participant_id"] for one in session["participants"])
    failure = error(
        await api.post(at(session, "/switch"), json={"current_participant_id": second}),
        409,
        "CONCURRENT_MODIFICATION",
    )
    assert failure["context"] == {
        "expected_participant_id": second,
        "actual_participant_id": session["active_participant_id"],
    }
    stranger = {"next_participant_id": new_id()}
    error(await api.post(at(session, "/switch"), json=stranger), 404, "PARTICIPANT_NOT_FOUND")
    error(await api.post(f"/v1/sessions/{new_id()}/switch"), 404, "SESSION_NOT_FOUND")


async def test_a_switch_that_came_too_late_is_answered_with_the_expiry(api: httpx.AsyncClient) -> None:
    config = chess(3, action_on_timeout={"type": "skip_cycle"})
    config["participants"][0]["total_time_ms"] = 1000
    session = await running(api, config)
    first = session["active_participant_id"]
    used_up = await api.patch(at(session, f"/participants/{first}"), json={"add_ms": -1000})
    assert used_up.status_code == 200
    response = await api.post(at(session, "/switch"))
    assert response.status_code == 200
    events = (await api.get(at(session, "/events"))).json()["data"]["events"]
    expiry = next(event for event in events if event["type"] == "TIME_EXPIRED")
    assert expiry["payload"]["expired_participant_id"] == first
    failed = await api.post(at(session, "/switch"), json={"next_participant_id": first})
    error(failed, 400, "PARTICIPANT_EXPIRED")


async def test_join_and_leave(api: httpx.AsyncClient) -> None:
    session = await running(api)
    newcomer = {"participant_id": new_id(), "total_time_ms": 5000, "expected_version": 2}
    joined = await api.post(at(session, "/participants"), json=newcomer)
    assert joined.status_code == 201
    assert joined.json()["data"]["event"] == "participant.added"
    assert [one["participant_id"] for one in joined.json()["data"]["participants"]] == [
        newcomer["participant_id"]
    ]
    left = await api.request(
        "DELETE", at(session, f"/participants/{newcomer['participant_id']}"), json={"expected_version": 3}
    )
    assert left.status_code == 200
    assert left.json()["data"]["removed_participant_id"] == newcomer["participant_id"]
    gone = await api.delete(at(session, f"/participants/{newcomer['participant_id']}"))
    error(gone, 404, "PARTICIPANT_NOT_FOUND")


async def test_clocks_can_be_set_and_moved(api: httpx.AsyncClient) -> None:
    session = await running(api)
    second = session["participants"][1]["participant_id"]
    change = await api.patch(
        at(session, f"/participants/{second}"), json={"total_time_ms": 90_000, "reason": "fair"}
    )
    assert change.status_code == 200
    assert change.json()["data"]["adjusted_ms"] == 30_000
    assert change.json()["data"]["adjust_reason"] == "fair"
    unmet = await api.patch(at(session, f"/participants/{second}"), json={"add_ms": 1000, "within_ms": 1000})
    assert (unmet.status_code, unmet.json()) == (200, {"data": None})
    met = await api.patch(at(session, f"/participants/{second}"), json={"add_ms": 1000, "within_ms": 90_001})
    assert met.json()["data"]["adjusted_ms"] == 1000
    error(
        await api.patch(at(session, f"/participants/{new_id()}"), json={"add_ms": 1}),
        404,
        "PARTICIPANT_NOT_FOUND",
    )
    assert fields_of(await api.patch(at(session, "/clock"), json={"add_ms": 1}))


async def test_a_group_s_clock_and_the_session_s_clock(api: httpx.AsyncClient) -> None:
    red, blue = new_id(), new_id()
    groups = {
        "sync_mode": "per_group",
        "participants": [{"participant_id": new_id(), "group_id": group} for group in (red, blue)],
        "groups": [{"group_id": group, "total_time_ms": 60_000} for group in (red, blue)],
    }
    teams = await running(api, groups)
    change = await api.patch(at(teams, f"/groups/{blue}"), json={"add_ms": 500})
    assert change.json()["data"]["adjusted_ms"] == 500
    auction = await running(
        api, {"sync_mode": "global", "total_time_ms": 60_000, "participants": chess()["participants"]}
    )
    change = await api.patch(at(auction, "/clock"), json={"add_ms": 500})
    assert change.json()["data"]["adjusted_ms"] == 500


async def test_delete_answers_204_whether_there_is_one_or_not(api: httpx.AsyncClient) -> None:
    session = await running(api)
    for _ in range(2):
        response = await api.delete(at(session))
        assert (response.status_code, response.content) == (204, b"")
        assert "content-type" not in response.headers
    error(await api.get(at(session)), 404, "SESSION_NOT_FOUND")
    assert (await api.delete(at(session), headers={"if-match": '"1@5"'})).status_code == 204


async def test_delete_can_be_conditional(api: httpx.AsyncClient) -> None:
    session = await running(api)
    error(await api.delete(at(session), headers={"if-match": '"1"'}), 409, "CONCURRENT_MODIFICATION")
    assert (await api.delete(at(session), headers={"if-match": '"2"'})).status_code == 204


async def test_events_are_the_versions_in_order(api: httpx.AsyncClient) -> None:
    session = await running(api)
    await api.post(at(session, "/switch"))
    page = (await api.get(at(session, "/events"))).json()["data"]
    assert [event["version"] for event in page["events"]] == [1, 2, 3]
    assert [event["payload"]["event"] for event in page["events"]] == [
        "session.created",
        "session.started",
        "cycle.switched",
    ]
    assert page["next_since"] == 3
    rest = (await api.get(at(session, "/events"), params={"since": 2})).json()["data"]
    assert [event["version"] for event in rest["events"]] == [3]
    nothing = (await api.get(at(session, "/events"), params={"since": 3})).json()["data"]
    assert nothing == {"events": [], "next_since": 3}


async def test_events_that_are_not_there(api: httpx.AsyncClient) -> None:
    session = await running(api)
    assert fields_of(await api.get(at(session, "/events"), params={"since": 3})) == ["since"]
    error(await api.get(f"/v1/sessions/{new_id()}/events"), 404, "SESSION_NOT_FOUND")
    for _ in range(300):
        assert (await api.post(at(session, "/switch"))).status_code == 200
    old = await api.get(at(session, "/events"))
    failure = error(old, 503, "STORAGE_UNAVAILABLE")
    assert failure["context"] == {"since": 0, "version": 302}
    assert int(old.headers["retry-after"]) >= 1
    newest = (await api.get(at(session, "/events"), params={"since": 302 - 64})).json()["data"]
    assert [event["version"] for event in newest["events"]] == list(range(239, 303))


async def test_sessions_are_listed_from_the_audit_store_which_is_not_there(api: httpx.AsyncClient) -> None:
    response = await api.get("/v1/sessions", params={"status": "running", "limit": 100})
    error(response, 503, "STORAGE_UNAVAILABLE")
    assert int(response.headers["retry-after"]) >= 1
    wrong = await api.get("/v1/sessions", params={"status": "lost", "limit": 101, "cursor": "", "page": 1})
    assert sorted(fields_of(wrong)) == ["cursor", "limit", "page", "status"]


async def test_a_switch_of_a_thousand_participants_is_answered_with_two_of_them(
    api: httpx.AsyncClient,
) -> None:
    session = await running(api, chess(1000))
    response = await api.post(at(session, "/switch"))
    assert len(response.json()["data"]["participants"]) == 2
    assert len(response.content) < 2000


async def test_a_body_may_have_blanks_and_its_numbers_any_spelling_the_library_takes(
    api: httpx.AsyncClient,
) -> None:
    text = json.dumps(chess(), indent=3).replace("60000", "6e4")
    response = await api.post("/v1/sessions", content=text)
    assert response.status_code == 201
    assert response.json()["data"]["participants"][0]["total_time_ms"] == 60_000
