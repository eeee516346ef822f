"""ETags, conditions and repeats."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.contract.conftest import at, chess, create, error, fields_of, new_id, running


@pytest.mark.parametrize("wrap", ["{0}", "*", "W/{0}", '"x", {0}', '{0}, "y"', '"x" , W/{0} ,"y"'])
async def test_if_none_match(api: httpx.AsyncClient, wrap: str) -> None:
    session = await create(api)
    etag = (await api.get(at(session))).headers["etag"]
    assert etag == f'"1@{session["epoch"]}"'
    response = await api.get(at(session), headers={"if-none-match": wrap.format(etag)})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert "content-type" not in response.headers


@pytest.mark.parametrize("tags", ['"1"', '"2@{0}"', "1@{0}", '"1@{0}x"', ""])
async def test_if_none_match_of_something_else(api: httpx.AsyncClient, tags: str) -> None:
    session = await create(api)
    response = await api.get(at(session), headers={"if-none-match": tags.format(session["epoch"])})
    assert response.status_code == 200


async def test_if_none_match_in_two_headers_and_of_a_missing_session(api: httpx.AsyncClient) -> None:
    session = await create(api)
    etag = f'"1@{session["epoch"]}"'
    response = await api.get(at(session), headers=[("if-none-match", '"x"'), ("if-none-match", etag)])
    assert response.status_code == 304
    missing = await api.get(f"/v1/sessions/{new_id()}", headers={"if-none-match": "*"})
    error(missing, 404, "SESSION_NOT_FOUND")


async def test_a_change_makes_a_new_etag(api: httpx.AsyncClient) -> None:
    session = await running(api)
    etag = (await api.get(at(session))).headers["etag"]
    await api.post(at(session, "/switch"))
    response = await api.get(at(session), headers={"if-none-match": etag})
    assert response.status_code == 200
    assert response.headers["etag"] != etag


def conditions(version: int, epoch: str) -> list[dict[str, Any]]:
    """The same condition in every form."""
    return [
        {"headers": {"if-match": f'"{version}"'}},
        {"headers": {"if-match": f'"{version}@{epoch}"'}},
        {"json": {"expected_version": version}},
        {"headers": {"if-match": f'"{version}@{epoch}"'}, "json": {"expected_version": version}},
    ]


async def test_conditions_in_every_form(api: httpx.AsyncClient) -> None:
    session = await running(api)
    version = session["version"]
    for condition in conditions(1, session["epoch"]):
        failure = error(await api.post(at(session, "/switch"), **condition), 409, "CONCURRENT_MODIFICATION")
        assert failure["context"]["expected_version"] == 1
        assert failure["context"]["actual_version"] == version
    for form in range(4):
        condition = conditions(version, session["epoch"])[form]
        response = await api.post(at(session, "/switch"), **condition)
        assert response.status_code == 200
        version += 1
        assert response.json()["data"]["version"] == version


@pytest.mark.parametrize("call", ["start", "complete", "cancel"])
async def test_transitions_take_conditions(api: httpx.AsyncClient, call: str) -> None:
    session = await create(api)
    error(
        await api.post(at(session, f"/{call}"), json={"expected_version": 2}), 409, "CONCURRENT_MODIFICATION"
    )
    etag = f'"1@{session["epoch"]}"'
    assert (await api.post(at(session, f"/{call}"), headers={"if-match": etag})).status_code == 200


async def test_all_other_changes_take_conditions(api: httpx.AsyncClient) -> None:
    session = await running(api)
    first = session["participants"][0]["participant_id"]
    newcomer = {"participant_id": new_id(), "total_time_ms": 5000}
    stale = {"if-match": f'"1@{session["epoch"]}"'}
    for response in (
        await api.post(at(session, "/participants"), json=newcomer, headers=stale),
        await api.delete(at(session, f"/participants/{first}"), headers=stale),
        await api.patch(at(session, f"/participants/{first}"), json={"add_ms": 1}, headers=stale),
        await api.patch(at(session, f"/groups/{first}"), json={"add_ms": 1}, headers=stale),
        await api.patch(at(session, "/clock"), json={"add_ms": 1}, headers=stale),
        await api.post(at(session, "/pause"), headers=stale),
        await api.delete(at(session), headers=stale),
    ):
        error(response, 409, "CONCURRENT_MODIFICATION")
    assert (await api.get(at(session))).json()["data"]["version"] == 2


async def test_if_match_and_expected_version_must_agree(api: httpx.AsyncClient) -> None:
    session = await running(api)
    response = await api.post(
        at(session, "/switch"), json={"expected_version": 3}, headers={"if-match": '"2"'}
    )
    assert fields_of(response) == ["expected_version"]


async def test_an_etag_of_an_earlier_session_of_the_same_id_does_not_match(api: httpx.AsyncClient) -> None:
    config = chess(session_id=new_id())
    old = await running(api, config)
    await api.delete(at(old))
    new = await running(api, config)
    assert old["version"] == new["version"] == 2
    failure = error(
        await api.post(at(new, "/switch"), headers={"if-match": f'"2@{old["epoch"]}"'}),
        409,
        "CONCURRENT_MODIFICATION",
    )
    assert failure["context"] == {
        "expected_version": 2,
        "actual_version": 2,
        "expected_epoch": old["epoch"],
        "actual_epoch": new["epoch"],
    }
    response = await api.post(at(new, "/switch"), headers={"if-match": f'"2@{new["epoch"]}"'})
    assert response.status_code == 200


async def test_a_repeated_switch_is_answered_with_the_first_change(api: httpx.AsyncClient) -> None:
    session = await running(api)
    key = {"idempotency-key": "move-1"}
    first = await api.post(at(session, "/switch"), headers=key)
    assert "idempotent-replayed" not in first.headers
    await api.post(at(session, "/switch"))
    again = await api.post(at(session, "/switch"), headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (await api.get(at(session))).json()["data"]["version"] == 4


async def test_a_repeated_transition_is_answered_with_the_current_state(api: httpx.AsyncClient) -> None:
    session = await create(api)
    key = {"idempotency-key": "begin"}
    first = await api.post(at(session, "/start"), headers=key)
    assert "idempotent-replayed" not in first.headers
    await api.post(at(session, "/pause"))
    again = await api.post(at(session, "/start"), headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json()["data"]["status"]) == (200, "paused")
    other = await api.post(at(session, "/resume"), headers=key)
    assert fields_of(other) == ["Idempotency-Key"]
    assert error(other, 400, "VALIDATION_ERROR")["message"].startswith("Idempotency-Key was used")


async def test_a_name_that_an_option_of_the_library_has_is_as_unknown_as_others(
    api: httpx.AsyncClient,
) -> None:
    session = await create(api)
    newcomer = {"participant_id": new_id(), "total_time_ms": 5000, "REQUEST": 1}
    assert fields_of(await api.post(at(session, "/participants"), json=newcomer)) == ["REQUEST"]


async def test_a_repeated_join_keeps_its_201(api: httpx.AsyncClient) -> None:
    session = await running(api)
    newcomer = {"participant_id": new_id(), "total_time_ms": 5000}
    key = {"idempotency-key": "join"}
    first = await api.post(at(session, "/participants"), json=newcomer, headers=key)
    again = await api.post(at(session, "/participants"), json=newcomer, headers=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_repeated_create_makes_one_session(api: httpx.AsyncClient) -> None:
    config = chess()
    key = {"idempotency-key": new_id()}
    first = await api.post("/v1/sessions", json=config, headers=key)
    assert "idempotent-replayed" not in first.headers
    started = await api.post(at(first.json()["data"], "/start"))
    again = await api.post("/v1/sessions", json=config, headers=key)
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json()["data"]["version"] == started.json()["data"]["version"]
    other = await api.post("/v1/sessions", json=config, headers={"idempotency-key": new_id()})
    assert other.headers["location"] != first.headers["location"]


async def test_repeats_at_the_same_time_take_effect_once(api: httpx.AsyncClient) -> None:
    session = await running(api)
    key = {"idempotency-key": "move"}
    responses = await asyncio.gather(*(api.post(at(session, "/switch"), headers=key) for _ in range(10)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert sum("idempotent-replayed" not in response.headers for response in responses) == 1


async def test_fifty_switches_at_once_twenty_times(api: httpx.AsyncClient) -> None:
    """As many successes as versions: of fifty who believe in the same version, one is right."""
    session = await running(api)
    version, successes = session["version"], 0
    for _ in range(20):
        responses = await asyncio.gather(
            *(api.post(at(session, "/switch"), json={"expected_version": version}) for _ in range(50))
        )
        won = [response for response in responses if response.status_code == 200]
        for response in responses:
            if response not in won:
                error(response, 409, "CONCURRENT_MODIFICATION")
        assert len(won) == 1
        successes += 1
        version += 1
    unconditional = await asyncio.gather(*(api.post(at(session, "/switch")) for _ in range(50)))
    successes += sum(response.status_code == 200 for response in unconditional)
    versions = sorted(response.json()["data"]["version"] for response in unconditional)
    assert versions == list(range(version + 1, version + 51))
    assert (await api.get(at(session))).json()["data"]["version"] == session["version"] + successes
