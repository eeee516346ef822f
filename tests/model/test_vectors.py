"""Plays the scenarios of `vectors/` on the model, and on the library under virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synckairos.core.keys import SessionKeys
from tests.model.driver import Driver
from tests.model.model import Model

SCENARIOS: list[dict[str, Any]] = [
    scenario
    for file in sorted((Path(__file__).parent / "vectors").glob("*.json"))
    for scenario in json.loads(file.read_text(encoding="utf-8"))
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s["name"])


def arguments(step: dict[str, Any]) -> list[str]:
    """The arguments of a step's call, which follow the keys."""
    named = dict(step.get("args", {}))
    args: list[str] = []
    if step["call"] == "join":
        args.append(json.dumps(named.pop("participant")))
    elif step["call"] == "metadata":
        args.append(json.dumps(named.pop("patch")))
    elif step["call"] in ("leave", "turn"):
        args.append(named.pop("participant"))
    for name, value in named.items():
        args += [name.upper()] if value is True else [name.upper(), str(value)]
    return args


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Where `found` differs from `wanted`. Fields that `wanted` does not have are not compared."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            yield from differences(value, found.get(name, "absent"), f"{path}.{name}")
    elif wanted != found:
        yield f"{path}: {found!r} instead of {wanted!r}"


def by_id(state: dict[str, Any]) -> dict[str, Any]:
    """The state with participants and groups under their ids."""
    return state | {
        "participants": {p["participant_id"]: p for p in state["participants"]},
        "groups": {g["group_id"]: g for g in state["groups"]},
    }


def assert_step(
    step: dict[str, Any], event: dict[str, Any] | None, code: str | None, alarm: int | None
) -> None:
    """The result of a step is the one of the scenario."""
    expected = step["expect"]
    if expected is None:
        assert (event, code) == (None, None)
    elif "error" in expected:
        assert code == expected["error"]
    else:
        assert code is None
        assert list(differences(expected, event)) == []
    assert alarm == step["alarm_ms"]


@every_scenario
def test_model(scenario: dict[str, Any]) -> None:
    """The model plays the scenario."""
    model, session = Model(), scenario["config"]["session_id"]
    made = model.call("create", session, [json.dumps(scenario["config"])], scenario["created_at_ms"])
    assert made.code == scenario.get("expect", {}).get("error")
    for step in scenario["steps"]:
        reply = model.call(step["call"], session, arguments(step), step["at"])
        assert_step(step, reply.event, reply.code, model.sessions[session].alarm())
    if scenario["final_state"] is not None:
        wanted = dict(scenario["final_state"])
        state = model.call("get", session, [], wanted.pop("at")).state
        assert state is not None
        assert list(differences(wanted, by_id(state))) == []


@every_scenario
def test_library(scenario: dict[str, Any], driver: Driver) -> None:
    """The library plays the scenario."""
    driver.run("FLUSHALL")
    session = scenario["config"]["session_id"]
    made = driver.call("create", session, [json.dumps(scenario["config"])], scenario["created_at_ms"])
    assert made.code == scenario.get("expect", {}).get("error")
    for step in scenario["steps"]:
        answer = driver.call(step["call"], session, arguments(step), step["at"])
        score = driver.run("ZSCORE", SessionKeys.of(session).alarms, session)
        event = None if answer.value is None else json.loads(answer.value)
        assert_step(step, event, answer.code, None if score is None else int(float(score)))
    if scenario["final_state"] is not None:
        wanted = dict(scenario["final_state"])
        state = json.loads(driver.call("get", session, [], wanted.pop("at")).value)
        assert list(differences(wanted, by_id(state))) == []
