"""What lua/README.md says of time controls, pauses and totals in words, and shows no example of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, Game, P, people, players
from tests.model.driver import Driver

NOTIFY = {"type": "notify"}
BYOYOMI = {"kind": "byoyomi", "periods": 3, "period_ms": 10_000}
CANADIAN = {"kind": "canadian", "moves": 2, "period_ms": 10_000}


@pytest.mark.parametrize("control", [BYOYOMI, CANADIAN])
def test_a_bank_that_is_set_brings_back_what_the_cycle_used_beside_it(
    core: Driver, control: dict[str, Any]
) -> None:
    game = Game(core, players(1000, 1000, time_control=control)).start()
    whole = (game.deadline() or 0) - 1000
    game.do("adjust", "PARTICIPANT", P[0], "SET", 500, at=9000)
    assert game.deadline() == 9000 + 500 + whole


def test_a_bank_that_is_set_to_nothing_is_as_if_the_main_time_ended_now(core: Driver) -> None:
    control = {**BYOYOMI, "periods": 1, "overtime_ms": 5000}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    game.do("adjust", "PARTICIPANT", P[0], "SET", 0, at=9000)
    assert game.deadline() == 24_000
    game.do("adjust", "PARTICIPANT", P[0], "SET", 0, at=20_000)
    assert game.deadline() == 35_000
    assert game.person(0, at=20_000)["clock"]["now"]["periods_left"] == 1


def test_of_a_clock_that_ran_out_only_the_overtime_comes_back(core: Driver) -> None:
    control = {**BYOYOMI, "overtime_ms": 4000}
    game = Game(core, players(1000, 1000, time_control=control, action_on_timeout=NOTIFY)).start()
    game.do("expire", at=35_000)
    game.do("adjust", "PARTICIPANT", P[0], "SET", 500, at=40_000)
    assert game.deadline() == 44_500


@pytest.mark.parametrize("control", [BYOYOMI, CANADIAN, {"kind": "fischer", "overtime_ms": 20_000}])
def test_time_is_taken_of_the_bank_alone(core: Driver, control: dict[str, Any]) -> None:
    game = Game(core, players(1000, 1000, time_control=control)).start()
    ends = game.deadline()
    payload = game.do("adjust", "PARTICIPANT", P[0], "ADD", -5000, at=3000)["payload"]
    assert (payload["adjusted_ms"], game.deadline()) == (0, ends)


STAGES = {"kind": "stages", "stages": [{"moves": 1, "time_ms": 5000}, {"time_ms": 9000}]}


def test_a_cycle_that_did_not_end_by_a_switch_is_no_move_of_a_stage(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": STAGES}
    game = Game(core, config).start()
    game.do("complete", at=1000)
    first = game.person(0)
    assert (first["clock"], first["total_time_ms"]) == ({"stage": 0, "moves_left": 1}, 4000)


def test_a_clock_at_zero_makes_no_moves_of_a_stage(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": STAGES}
    game = Game(core, {**config, "action_on_timeout": NOTIFY}).start()
    game.do("expire", at=5000)
    game.do("switch", at=6000)
    first = game.person(0)
    assert (first["clock"], first["cycle_count"]) == ({"stage": 0, "moves_left": 1}, 1)


def test_a_clock_without_end_has_no_use_for_sand(core: Driver) -> None:
    config = players(5000, 5000, time_control={"kind": "hourglass"})
    config["participants"].append({"participant_id": P[2], "time_control": "-"})
    game = Game(core, config).start()
    game.do("switch", "NEXT", P[2], at=2000)
    third = game.person(2)
    assert (third["total_time_ms"], third["time_remaining_ms"], game.deadline()) == (None, None, None)


def test_a_request_that_ended_a_pause_is_remembered(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_pause_ms=5000)).start()
    game.do("pause", at=10_000)
    first = game.do("switch", "REQUEST", "move-1", at=15_000)
    again = game.do("switch", "REQUEST", "move-1", at=16_000)
    assert first["payload"]["event"] == "session.resumed"
    assert again == first | {"replayed": True}


def test_a_deletion_shows_the_end_of_the_pause_and_the_total(core: Driver) -> None:
    config = {
        "sync_mode": "global",
        "participants": people(2),
        "total_time_ms": 10_000,
        "time_per_cycle_ms": 4000,
        "max_pause_ms": 5000,
    }
    game = Game(core, config).start()
    game.do("pause", at=1000)
    assert game.raw("delete") == 1
    (_, fields) = core.run("XREVRANGE", game.keys.outbox, "+", "-", "COUNT", 1)[0]
    payload = json.loads(fields[b"e"])["payload"]
    assert payload["event"] == "session.deleted"
    assert (payload["resumes_at_ms"], payload["total_remaining_ms"]) == (START + 6000, 9000)


def test_what_a_cycle_has_left_of_its_total_is_what_within_looks_at(core: Driver) -> None:
    config = {
        "sync_mode": "global",
        "participants": people(2),
        "total_time_ms": 3000,
        "time_per_cycle_ms": 60_000,
    }
    game = Game(core, config).start()
    assert game.raw("adjust", "ADD", 1000, "WITHIN", 2000, at=1000) is None
    # The cycle gets its second, and the total leaves nothing of it.
    assert game.do("adjust", "ADD", 1000, "WITHIN", 2000, at=1001)["payload"]["adjusted_ms"] == 0
