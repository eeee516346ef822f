"""`SHORT`: the bounds of times by which the service calls, unless it has long clocks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import SESSION, START, G, P, people, players
from tests.model.driver import Driver

DAY = 86_400_000
TWO = players(5000, 5000)


def owned(**fields: Any) -> dict[str, Any]:
    """A config whose participants have these fields."""
    return {"sync_mode": "per_participant", "participants": people(2, **fields)}


LONG: list[tuple[dict[str, Any], list[str]]] = [
    (owned(total_time_ms=DAY + 1), ["participants.0.total_time_ms", "participants.1.total_time_ms"]),
    (TWO | {"increment_ms": 60_001}, ["increment_ms"]),
    (TWO | {"max_time_ms": DAY + 1}, ["max_time_ms"]),
    (TWO | {"time_control": {"kind": "fischer", "increment_ms": 60_001}}, ["time_control.increment_ms"]),
    (TWO | {"time_control": {"kind": "delay", "delay_ms": DAY + 1}}, ["time_control.delay_ms"]),
    (
        TWO
        | {"time_control": {"kind": "byoyomi", "periods": 1, "period_ms": DAY + 1, "increment_ms": 60_001}},
        ["time_control.increment_ms", "time_control.period_ms"],
    ),
    (TWO | {"time_control": {"kind": "fischer", "overtime_ms": DAY + 1}}, ["time_control.overtime_ms"]),
    (
        owned(time_control={"kind": "stages", "stages": [{"time_ms": DAY + 1}]}),
        [f"participants.{n}.time_control.stages.0.time_ms" for n in range(2)],
    ),
    (owned() | {"time_control": "1440.5"}, ["time_control"]),
    (owned() | {"time_control": "5+61"}, ["time_control"]),
    (owned() | {"time_control": {"notation": "pgn 86401"}}, ["time_control"]),
    (
        {
            "sync_mode": "per_group",
            "participants": [{"participant_id": P[i], "group_id": G[i]} for i in range(2)],
            "groups": [{"group_id": each, "total_time_ms": DAY + 1} for each in G[:2]],
        },
        ["groups.0.total_time_ms", "groups.1.total_time_ms"],
    ),
    ({"sync_mode": "global", "participants": people(1), "total_time_ms": DAY + 1}, ["total_time_ms"]),
    (
        {"sync_mode": "per_cycle", "participants": people(1), "time_per_cycle_ms": DAY + 1},
        ["time_per_cycle_ms"],
    ),
]


@pytest.mark.parametrize(("config", "where"), LONG)
def test_longer_times_are_refused_where_they_stand(
    core: Driver, config: dict[str, Any], where: list[str]
) -> None:
    refused = core.call("create", SESSION, [json.dumps(config), "SHORT"], START)
    assert refused.code == "VALIDATION_ERROR"
    assert sorted(refused.fields) == where
    assert core.snapshot() == {}
    assert core.call("create", SESSION, [json.dumps(config)], START).code is None


def test_the_bounds_themselves_are_short(core: Driver) -> None:
    config = owned(total_time_ms=DAY) | {
        "increment_ms": 60_000,
        "warnings_ms": [DAY],
        "time_control": {"kind": "delay", "delay_ms": DAY, "overtime_ms": DAY},
    }
    assert core.call("create", SESSION, [json.dumps(config), "SHORT"], START).code is None


def test_who_joins_has_the_bounds_of_that_call(core: Driver) -> None:
    core.call("create", SESSION, [json.dumps(owned(total_time_ms=2 * DAY))], START)
    newcomer = json.dumps({"participant_id": P[2], "total_time_ms": 2 * DAY})
    assert core.call("join", SESSION, [newcomer, "SHORT"], START).fields == ["total_time_ms"]
    text = json.dumps({"participant_id": P[2], "time_control": "1440.5"})
    assert core.call("join", SESSION, [text, "SHORT"], START).code == "VALIDATION_ERROR"
    assert core.call("join", SESSION, [newcomer], START).code is None
