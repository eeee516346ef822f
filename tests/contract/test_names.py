"""Names in place of ids, and names of fields that there are not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.contract.conftest import at, create, error, fields_of, new_id

CHESS: dict[str, Any] = {"preset": "blitz"}


async def made(
    api: httpx.AsyncClient, headers: dict[str, str] | None = None, **config: Any
) -> dict[str, Any]:
    response = await api.post("/v1/sessions", json={**CHESS, **config}, headers=headers)
    assert response.status_code == 201, response.text
    state: dict[str, Any] = response.json()["data"]
    return state


def named(state: dict[str, Any]) -> list[str]:
    """The names of the participants in their order."""
    return [state["metadata"]["names"][each["participant_id"]] for each in state["participants"]]


async def problems(api: httpx.AsyncClient, **config: Any) -> dict[str, str]:
    response = await api.post("/v1/sessions", json={**CHESS, **config})
    details = error(response, 400, "VALIDATION_ERROR")["details"]
    return {each["field"]: each["message"] for each in details}


async def test_two_names_and_a_title_are_a_game(api: httpx.AsyncClient) -> None:
    state = await made(api, participants=["Anna", " Ben "], title="Club night")
    assert named(state) == ["Anna", "Ben"]
    assert state["metadata"]["title"] == "Club night"
    assert len({each["participant_id"] for each in state["participants"]}) == 2


async def test_a_name_may_stand_beside_what_else_a_participant_has(api: httpx.AsyncClient) -> None:
    known = new_id()
    people = [{"name": "Anna", "total_time_ms": 60_000}, {"participant_id": known, "name": "Ben"}, new_id()]
    state = await made(api, preset=None, sync_mode="global", total_time_ms=60_000, participants=people)
    names = state["metadata"]["names"]
    assert names[known] == "Ben"
    assert list(names.values()) == ["Anna", "Ben"]  # a text that is an id is no name
    assert state["participants"][2]["participant_id"] == people[2]


async def test_names_that_look_alike_are_two_people(api: httpx.AsyncClient) -> None:
    state = await made(api, participants=["Anna", "Anna"])
    assert named(state) == ["Anna", "Anna"]
    assert len(state["metadata"]["names"]) == 2


async def test_groups_have_names_and_members_by_name(api: httpx.AsyncClient) -> None:
    teams: dict[str, Any] = {"preset": None, "sync_mode": "per_group"}
    people = [{"name": "Anna", "group": "Owls"}, {"name": "Ben", "group": "Foxes"}]
    groups = [{"name": "Foxes", "total_time_ms": 60_000}, {"name": "Owls", "total_time_ms": 90_000}]
    state = await made(api, **teams, participants=people, groups=groups)
    names = state["metadata"]["names"]
    assert [names[each["group_id"]] for each in state["groups"]] == ["Foxes", "Owls"]
    assert [names[each["group_id"]] for each in state["participants"]] == ["Owls", "Foxes"]
    state = await made(api, **teams, participants=[{**each, "total_time_ms": 5000} for each in people])
    assert sorted(state["metadata"]["names"].values()) == ["Anna", "Ben", "Foxes", "Owls"]
    found = await problems(api, **teams, participants=[{"name": "Cleo", "group": "Bears"}], groups=groups)
    assert "Foxes, Owls" in found["participants.0.group"]


async def test_metadata_stays_as_it_was_given(api: httpx.AsyncClient) -> None:
    known = new_id()
    people = ["Anna", {"participant_id": known}]
    metadata = {"round": 3, "list": [], "none": None, "names": {known: "Zoe"}}
    state = await made(api, participants=people, title="Final", metadata=metadata)
    names = {state["participants"][0]["participant_id"]: "Anna", known: "Zoe"}
    assert state["metadata"] == {**metadata, "title": "Final", "names": names}
    assert (await made(api, participants=[{"participant_id": known}], metadata={}))["metadata"] == {}


async def test_a_repeat_means_the_same_people(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": new_id()}
    first = await made(api, headers, participants=["Anna", "Ben"])
    assert (await made(api, headers, participants=["Anna", "Ben"]))["participants"] == first["participants"]
    assert (await made(api, participants=["Anna", "Ben"]))["participants"] != first["participants"]


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "x" * 201, None])
async def test_what_is_no_name_is_named(api: httpx.AsyncClient, name: str | None) -> None:
    if name is not None:
        found = await problems(api, participants=["Anna", name], title=name, increment_ms=-1)
        assert "1 to 200 characters" in found["participants.1"]
        assert "participants.1.participant_id" not in found
        assert "1 to 200 characters" in found["title"]
        assert "increment_ms" in found
    kinds: list[Any] = [7, [], {}, True]
    for kind in kinds:
        found = await problems(api, participants=[{"name": kind}, kind], title=kind)
        assert {"participants.0.name", "title"} <= found.keys()
        assert any(field.startswith("participants.1") for field in found)


async def test_names_that_do_not_fit_are_refused_as_a_whole(api: httpx.AsyncClient) -> None:
    found = await problems(api, participants=["x" * 200] * 60)
    assert "10240" in found["participants"]
    found = await problems(api, participants=["Anna"], title="Final", metadata={"title": "Semifinal"})
    assert list(found) == ["title"]
    wrong: list[Any] = [[], "x"]
    for metadata in wrong:
        assert "metadata" in await problems(api, participants=["Anna"], metadata=metadata)
    assert list(await problems(api, participants=["Anna"], metadata={"names": []})) == ["metadata.names"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("increment", "increment_ms"),
        ("totalTimeMs", "total_time_ms"),
        ("players", "participants"),
        ("mode", "sync_mode"),
        ("name", "title"),
        ("warning_ms", "warnings_ms"),
    ],
)
async def test_an_unknown_field_says_what_was_meant(api: httpx.AsyncClient, given: str, meant: str) -> None:
    found = await problems(api, participants=["Anna", "Ben"], **{given: 1})
    assert found == {given: f"is unknown; did you mean {meant}?"}


async def test_every_route_says_what_was_meant(api: httpx.AsyncClient) -> None:
    session = await create(api)
    for path, given, meant in (
        ("/switch", "next", "next_participant_id"),
        ("/participants", "id", "participant_id"),
        ("/start", "version", "expected_version"),
    ):
        response = await api.post(at(session, path), json={given: 1})
        details = error(response, 400, "VALIDATION_ERROR")["details"]
        assert {"field": given, "message": f"is unknown; did you mean {meant}?"} in details
    details = error(await api.get("/v1/sessions?state=running"), 400, "VALIDATION_ERROR")["details"]
    assert details == [{"field": "state", "message": "is unknown; did you mean status?"}]
    found = await problems(api, participants=[{"name": "Anna", "time": 5}], colour="red")
    assert found == {"participants.0.time": "is unknown; did you mean total_time_ms?", "colour": "is unknown"}


async def test_very_many_unknown_names_cost_little(api: httpx.AsyncClient) -> None:
    names = {f"participant{at}": 0 for at in range(1000)}
    response = await api.post("/v1/sessions", content=json.dumps({**CHESS, **names}).encode())
    assert len(fields_of(response)) == 100
