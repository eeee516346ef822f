"""What is said of a config before Redis hears of it: unknown names, and its size."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from synckairos.api import configs

STAGES = {"kind": "stages", "stages": [{"time_ms": 1000, "moves": 1}] * 7 + [{"time_ms": 1000}]}


OWN, GROUPS = {"sync_mode": "per_participant"}, {"sync_mode": "per_group"}


def fields(config: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(config), type=dict[str, msgspec.Raw])


@pytest.mark.parametrize(
    ("config", "participants", "weight", "price"),
    [
        ({}, 0, 0, 1),
        ({**OWN, "participants": [{}, {}]}, 2, 2, 1),
        ({**OWN, "participants": [{}] * 250, "time_control": STAGES}, 250, 2000, 5),
        ({**OWN, "participants": [{"time_control": STAGES}] * 250}, 250, 2000, 5),
        ({**OWN, "participants": [{"time_control": "40/90:20/30:15"}, {}], "time_control": "5+3"}, 2, 4, 1),
        ({**GROUPS, "participants": [{}], "groups": [{"time_control": STAGES}, {}]}, 1, 10, 1),
        ({**GROUPS, "participants": [{"group_id": "a"}] * 9, "time_control": STAGES}, 9, 17, 1),
        ({"sync_mode": "global", "participants": [{}] * 9, "time_control": STAGES}, 9, 9, 1),
        ({**OWN, "participants": [{}] * 1000}, 1000, 1000, 3),
        ({**OWN, "participants": [{"time_control": {"notation": "40/90:30"}}]}, 1, 2, 1),
        ({**OWN, "participants": [{"time_control": "40/90, 20/60, SD/30; d5"}]}, 1, 3, 1),
        ({**OWN, "participants": [{"time_control": "40/90;d5 G/30;inc5"}]}, 1, 2, 1),
        ({**OWN, "participants": [{"time_control": "10 + 25/300"}, {"time_control": "5 + 3"}]}, 2, 2, 1),
        ({"participants": {"a": 1}, "time_control": 7, "groups": [None, 5, []]}, 0, 3, 1),
    ],
)
def test_the_size_and_the_price(config: dict[str, Any], participants: int, weight: int, price: int) -> None:
    found = configs.size(fields(config))
    assert (found.participants, found.weight, found.price) == (participants, weight, price)


def test_unknown_names_are_found_and_taken_out() -> None:
    given = fields(
        {
            "colour": 1,
            "nothing": None,
            "sync_mode": "per_participant",
            "participants": [{"participant_id": "a", "colour": "red", "nobody": None}, 7],
            "groups": [{"group_id": "b", "size": 1}],
        }
    )
    found, ask = configs.problems(given, configs.size(given).stages)
    assert ask
    assert [problem["field"] for problem in found] == ["colour", "participants.0.colour", "groups.0.size"]
    assert {name: json.loads(bytes(raw)) for name, raw in given.items()} == {
        "sync_mode": "per_participant",
        "participants": [{"participant_id": "a"}, 7],
        "groups": [{"group_id": "b"}],
    }


@pytest.mark.parametrize(
    "config",
    [
        {str(number): 0 for number in range(52_000)},
        {"participants": [{"participant_id": "a", "x": 1}] * 1000},
        {"participants": [{}] * 1001},
        {**OWN, "participants": [{}] * 251, "time_control": STAGES},
        {"groups": [{}] * 1001},
        {"time_control": {str(number): 0 for number in range(50_000)}},
        {"participants": [{"time_control": {"stages": [{str(n): 0 for n in range(1000)}]}}]},
    ],
    ids=["names", "names-of-participants", "participants", "stages", "groups", "control", "stage"],
)
def test_the_library_is_not_asked_about_what_is_too_much(config: dict[str, Any]) -> None:
    given = fields(config)
    found, ask = configs.problems(given, configs.size(given).stages)
    assert found
    assert not ask
    assert len(found) <= 101


def test_what_is_fine_stays_as_it_came() -> None:
    text = {"participants": [{"participant_id": "a", "time_control": STAGES}], "metadata": {"x": None}}
    given = fields(text)
    assert configs.problems(given, configs.size(given).stages) == ([], True)
    assert {name: json.loads(bytes(raw)) for name, raw in given.items()} == text
