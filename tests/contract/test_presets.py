"""Presets over HTTP: listed, named at creation, overridden; and time controls as players write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from synckairos.presets import LONG, PRESETS
from tests.contract.conftest import at, chess, create, error, fields_of, new_id, run_service, running
from tests.support.servers import Server


def body(preset: object, players: int = 2, **fields: Any) -> dict[str, Any]:
    """A config that names a preset, and participants by their ids alone."""
    return {
        "preset": preset,
        "participants": [{"participant_id": new_id()} for _ in range(players)],
        **fields,
    }


async def test_the_list(api: httpx.AsyncClient) -> None:
    response = await api.get("/v1/presets")
    assert response.status_code == 200
    listed = response.json()["data"]["presets"]
    assert [preset["name"] for preset in listed] == list(PRESETS)
    assert all(preset.keys() == {"name", "title", "description", "config", "use"} for preset in listed)
    by_name = {preset["name"]: preset for preset in listed}
    assert by_name["blitz"]["config"] == {"sync_mode": "per_participant", "time_control": "3+2"}
    assert by_name["blitz"]["use"] is None
    assert by_name["auction"]["use"] == {
        "when": "with every bid",
        "button": "Bid (+0:10)",
        "method": "PATCH",
        "path": "/v1/sessions/{session_id}/clock",
        "body": {"add_ms": 10_000, "within_ms": 10_000, "reason": "bid"},
    }
    assert fields_of(await api.get("/v1/presets?name=blitz")) == ["name"]


async def played(api: httpx.AsyncClient, name: str) -> None:
    """A session by this preset has its config, starts, and takes the call that the preset is for."""
    preset = PRESETS[name]
    config = body(name)
    if preset.config["sync_mode"] == "per_group":
        config["participants"] = [person | {"group_id": new_id()} for person in config["participants"]]
    state = await create(api, config)
    for member, value in preset.config.items():
        if member == "time_control":
            wanted = value if isinstance(value, dict) else {"notation": value}
            assert wanted.items() <= state["time_control"].items()
        else:
            assert state[member] == value, member
    response = await api.post(at(state, "/start"))
    assert response.json()["data"]["status"] == "running"
    if preset.use is not None:
        path = preset.use.path.format(session_id=state["session_id"])
        response = await api.request(preset.use.method, path, json=preset.use.body)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in LONG])
async def test_a_session_by_the_name_of_its_clock(api: httpx.AsyncClient, name: str) -> None:
    await played(api, name)


async def test_clocks_of_days_are_there_with_long_clocks_only(
    api: httpx.AsyncClient, valkey: Server, tmp_path: Path
) -> None:
    with run_service(valkey, tmp_path / "log", RATE_LIMIT_ENABLED="false", LONG_CLOCKS="true") as service:
        async with service.client() as long_api:
            for name in sorted(LONG):
                refused = await api.post("/v1/sessions", json=body(name))
                message = error(refused, 400, "VALIDATION_ERROR")["message"]
                assert "86400000" in message, name
                assert message.endswith(f"; preset {name} needs a service with LONG_CLOCKS=true")
                await played(long_api, name)
            state = await running(long_api)
            adjusted = await long_api.patch(
                at(state, f"/participants/{state['participants'][0]['participant_id']}"),
                json={"add_ms": 2 * 86_400_000, "within_ms": 86_400_001},
            )
            assert adjusted.json()["data"]["adjusted_ms"] == 2 * 86_400_000


async def test_the_call_that_a_preset_names_does_what_it_is_for(api: httpx.AsyncClient) -> None:
    call = PRESETS["auction"].use
    assert call is not None
    session = await running(api, body("auction", total_time_ms=9000))
    path = call.path.format(session_id=session["session_id"])
    extended = (await api.request(call.method, path, json=call.body)).json()["data"]
    assert (extended["adjusted_ms"], extended["adjust_reason"]) == (10_000, "bid")
    assert (await api.request(call.method, path, json=call.body)).json() == {"data": None}


async def test_what_is_given_beside_a_preset_replaces_what_it_has(api: httpx.AsyncClient) -> None:
    state = await create(api, body("blitz", time_control="10+5x30", warnings_ms=[10_000]))
    assert state["time_control"] == {
        "kind": "byoyomi",
        "periods": 5,
        "period_ms": 30_000,
        "notation": "10+5x30",
    }
    assert state["warnings_ms"] == [10_000]
    state = await create(
        api, body("meeting", time_per_cycle_ms=60_000, warnings_ms=[], action_on_timeout={"type": "notify"})
    )
    assert (state["total_time_ms"], state["time_per_cycle_ms"]) == (3_600_000, 60_000)
    assert (state["warnings_ms"], state["action_on_timeout"]) == ([], {"type": "notify"})
    assert state["max_pause_ms"] == 600_000


async def test_null_takes_the_preset_s(api: httpx.AsyncClient) -> None:
    state = await create(api, body("meeting", sync_mode=None, max_pause_ms=None, warnings_ms=None))
    assert (state["sync_mode"], state["max_pause_ms"], state["warnings_ms"]) == ("global", 600_000, [30_000])
    no_preset = await create(api, chess(preset=None))
    assert no_preset["time_control"] == {"kind": "fischer"}


async def test_a_preset_leaves_metadata_as_it_was_written(api: httpx.AsyncClient) -> None:
    text = (
        json.dumps(body("rapid"))[:-1] + ', "metadata": {"b": 1.50, "a": [], "c": {}, "d": 9007199254740991}}'
    )
    response = await api.post("/v1/sessions", content=text)
    assert response.status_code == 201
    assert '"metadata":{"b":1.50,"a":[],"c":{},"d":9007199254740991}' in response.text


async def test_owners_may_have_clocks_of_their_own(api: httpx.AsyncClient) -> None:
    white, black = ({"participant_id": new_id(), "time_control": minutes} for minutes in ("5", "4"))
    state = await create(api, {"preset": "blitz", "participants": [white, black]})
    assert [one["total_time_ms"] for one in state["participants"]] == [300_000, 240_000]
    assert [one["time_control"]["notation"] for one in state["participants"]] == ["5", "4"]


@pytest.mark.parametrize("name", ["blits", "Blitz", "", 5, True, ["blitz"], {"name": "blitz"}])
async def test_an_unknown_preset(api: httpx.AsyncClient, name: Any) -> None:
    response = await api.post("/v1/sessions", json=body(name))
    assert fields_of(response) == ["preset"]
    [detail] = error(response, 400, "VALIDATION_ERROR")["details"]
    assert all(known in detail["message"] for known in PRESETS)


async def test_beside_an_unknown_preset_only_what_is_given_can_be_wrong(api: httpx.AsyncClient) -> None:
    session_id = new_id()
    config = body("blits", sync_mode="per_participant", increment_ms=-1, colour="red", session_id=session_id)
    config["participants"][1]["participant_id"] = "7"
    config["participants"].append({})
    config["a.b"] = 1
    response = await api.post("/v1/sessions?dry=1", json=config)
    assert sorted(fields_of(response)) == [
        "a.b",
        "colour",
        "dry",
        "increment_ms",
        "participants.1.participant_id",
        "participants.2.participant_id",
        "preset",
    ]
    nobody = await api.post("/v1/sessions", json={"preset": "blits"})
    assert sorted(fields_of(nobody)) == ["participants", "preset"]
    good = body("blits", session_id=session_id, sync_mode="count_up")
    assert fields_of(await api.post("/v1/sessions", json=good)) == ["preset"]
    error(await api.get(f"/v1/sessions/{session_id}"), 404, "SESSION_NOT_FOUND")


async def test_the_library_judges_what_comes_of_a_preset(api: httpx.AsyncClient) -> None:
    assert fields_of(await api.post("/v1/sessions", json={"preset": "blitz"})) == ["participants"]
    config = body("blitz", lag_compensation=1, colour="red")
    config["participants"][0]["total_time_ms"] = 60_000
    assert sorted(fields_of(await api.post("/v1/sessions", json=config))) == [
        "colour",
        "lag_compensation",
        "participants.0.total_time_ms",
    ]
    headers = {"idempotency-key": "two words"}
    response = await api.post("/v1/sessions", json=body("blitz", time_control="5+"), headers=headers)
    assert sorted(fields_of(response)) == ["Idempotency-Key", "time_control"]


async def test_a_preset_given_twice(api: httpx.AsyncClient) -> None:
    text = json.dumps(body("blitz"))[:-1] + ', "preset": "bullet"}'
    assert fields_of(await api.post("/v1/sessions", content=text)) == ["preset"]


async def test_a_repeat_finds_the_session_that_a_preset_made(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": new_id()}
    config = body("blitz")
    first = await api.post("/v1/sessions", json=config, headers=headers)
    again = await api.post("/v1/sessions", json=config, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["data"]["session_id"] == first.json()["data"]["session_id"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("5+3", {"kind": "fischer", "increment_ms": 3000, "notation": "5+3"}),
        ("300+3", {"kind": "fischer", "increment_ms": 3000, "notation": "5+3"}),
        (
            {"notation": "25", "overtime_ms": 60_000},
            {"kind": "fischer", "overtime_ms": 60_000, "notation": "25"},
        ),
        ("10d5", {"kind": "delay", "delay_ms": 5000, "notation": "10d5"}),
        ("*180", {"kind": "hourglass", "notation": "hourglass 3"}),
        ("-", {"kind": "none", "notation": "-"}),
    ],
)
async def test_a_time_control_as_players_write_it_comes_back_as_what_it_means(
    api: httpx.AsyncClient, given: Any, shown: dict[str, Any]
) -> None:
    players = body(None)["participants"]
    config = {"sync_mode": "per_participant", "participants": players, "time_control": given}
    state = await create(api, config)
    assert shown.items() <= state["time_control"].items()
    again = await create(api, {**config, "time_control": state["time_control"]})
    assert again["time_control"] == state["time_control"]


async def test_a_time_control_that_cannot_be_read_is_refused_with_the_position(
    api: httpx.AsyncClient,
) -> None:
    response = await api.post("/v1/sessions", json=body("blitz", time_control="5+x"))
    [detail] = error(response, 400, "VALIDATION_ERROR")["details"]
    assert detail["field"] == "time_control"
    assert "at position 3" in detail["message"]


async def test_a_participant_may_join_with_a_time_control_as_text(api: httpx.AsyncClient) -> None:
    session = await running(api, body("blitz"))
    newcomer = {"participant_id": new_id(), "time_control": "10b5"}
    change = await api.post(at(session, "/participants"), json=newcomer)
    assert change.status_code == 201, change.text
    [joined] = change.json()["data"]["participants"]
    assert joined["total_time_ms"] == 600_000
    assert joined["time_control"] == {"kind": "bronstein", "delay_ms": 5000, "notation": "10b5"}


async def test_a_pause_with_an_end(api: httpx.AsyncClient) -> None:
    session = await running(api, body("blitz", max_pause_ms=90_000))
    assert session["resumes_at_ms"] is None
    paused = (await api.post(at(session, "/pause"))).json()["data"]
    [event] = (await api.get(at(session, "/events"), params={"since": 2})).json()["data"]["events"]
    assert paused["resumes_at_ms"] == event["server_time_ms"] + 90_000
    assert event["payload"]["resumes_at_ms"] == paused["resumes_at_ms"]


def required_and_allowed(schemas: dict[str, Any], name: str, value: dict[str, Any]) -> bool:
    """Whether a value has the members that a schema says."""
    schema = schemas[name]
    return bool(set(schema["required"]) <= value.keys() <= schema["properties"].keys())


async def test_openapi_describes_presets_and_clocks(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    config = schemas["SessionConfig"]["properties"]
    assert config["preset"]["anyOf"][0]["enum"] == list(PRESETS)
    assert schemas["SessionConfig"]["required"] == ["participants"]
    for preset in (await api.get("/v1/presets")).json()["data"]["presets"]:
        assert required_and_allowed(schemas, "Preset", preset)
        assert preset["config"].keys() <= config.keys()
        assert preset["use"] is None or required_and_allowed(schemas, "Call", preset["use"])
    controls = [
        {"kind": "canadian", "moves": 5, "period_ms": 60_000, "overtime_ms": 5000},
        "10+5x30",
        "40/90:30+30",
    ]
    for control in controls:
        players = body(None)["participants"]
        if isinstance(control, dict):
            players = [one | {"total_time_ms": 60_000} for one in players]
        state = await running(
            api,
            {
                "sync_mode": "per_participant",
                "participants": players,
                "time_control": control,
                "lag_compensation": True,
            },
        )
        assert required_and_allowed(schemas, "SessionState", state)
        assert required_and_allowed(schemas, "TimeControl", state["time_control"])
        clock = state["participants"][0]["clock"]
        assert required_and_allowed(schemas, "Clock", clock)
        assert ("now" in clock) is (control != "40/90:30+30")
        assert required_and_allowed(schemas, "ClockNow", clock.get("now", {}))
        for stage in state["time_control"].get("stages", []):
            assert required_and_allowed(schemas, "StageConfig", stage)


async def test_every_notation_in_the_description_can_be_read(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    [text] = [
        part
        for part in document["components"]["schemas"]["SessionConfig"]["properties"]["time_control"]["anyOf"]
        if part.get("type") == "string"
    ]
    assert len(text["examples"]) >= 8
    for example in text["examples"]:
        await create(api, body("blitz", time_control=example))
    docs = (await api.get("/docs")).text
    assert "<code>40/90:30+30</code>, <code>10d5</code>" in docs
    assert "/v1/presets" in docs
