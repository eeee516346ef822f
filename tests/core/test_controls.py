"""Each time control by itself, with numbers that can be followed by hand; times in ms since the start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"type": "skip_cycle"}
NOTIFY = {"type": "notify"}
BYOYOMI = {"kind": "byoyomi", "periods": 3, "period_ms": 10_000}
CANADIAN = {"kind": "canadian", "period_ms": 20_000, "moves": 2}
LONGEST = 366 * 86_400_000


def clock(game: Game, index: int = 0, at: int | None = None) -> dict[str, Any]:
    """What is shown of a participant's clock."""
    shown: dict[str, Any] = game.person(index, at)["clock"]
    return shown


# Byo-yomi


def test_byoyomi_a_move_within_the_period_leaves_it_whole(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, time_control=BYOYOMI)).start()
    assert game.deadline() == 50_000
    game.do("switch", at=29_999)
    assert game.person(0)["total_time_ms"] == 0
    assert clock(game) == {"periods_left": 3}
    assert game.person(0)["time_remaining_ms"] == 30_000


@pytest.mark.parametrize(
    ("used", "bank", "periods"),
    [
        (19_999, 1, 3),
        (20_000, 0, 3),
        (29_999, 0, 3),
        (30_000, 0, 2),
        (39_999, 0, 2),
        (40_000, 0, 1),
        (49_999, 0, 1),
    ],
)
def test_byoyomi_a_period_is_lost_when_it_is_over(core: Driver, used: int, bank: int, periods: int) -> None:
    game = Game(core, players(20_000, 20_000, time_control=BYOYOMI)).start()
    game.do("switch", at=used)
    assert (game.person(0)["total_time_ms"], clock(game)) == (bank, {"periods_left": periods})


def test_byoyomi_is_over_with_the_last_period(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, time_control=BYOYOMI)).start()
    event = game.do("switch", at=50_000)
    assert event["type"] == "TIME_EXPIRED"
    assert event["payload"]["participants"][0]["clock"] == {"periods_left": 0}
    assert event["payload"]["participants"][0]["time_used_ms"] == 50_000


@pytest.mark.parametrize(
    ("at", "periods", "rest"),
    [
        (0, 3, 10_000),
        (20_000, 3, 10_000),
        (20_001, 3, 9999),
        (29_999, 3, 1),
        (30_000, 2, 10_000),
        (49_999, 1, 1),
        (50_000, 0, 0),
    ],
)
def test_byoyomi_the_state_shows_the_running_period(core: Driver, at: int, periods: int, rest: int) -> None:
    """`clock` is as of the start of the cycle, `now` in it as of this moment."""
    game = Game(core, players(20_000, 20_000, time_control=BYOYOMI)).start()
    now = {"periods_left": periods, "period_remaining_ms": rest}
    assert clock(game, at=at) == {"periods_left": 3, "now": now}
    assert clock(game, 1, at=at) == {"periods_left": 3}


def test_byoyomi_with_overtime_goes_below_zero_after_the_periods(core: Driver) -> None:
    control = {"kind": "byoyomi", "periods": 1, "period_ms": 10_000, "overtime_ms": 5000}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    assert game.deadline() == 16_000
    payload = game.do("switch", at=13_000)["payload"]
    assert payload["overtime_used_ms"] == 2000
    assert game.person(0)["total_time_ms"] == -2000
    assert clock(game) == {"periods_left": 0, "overtime_used_ms": 2000}
    game.do("switch", at=13_100)
    assert game.deadline() == 16_100
    assert clock(game, at=14_100)["now"] == {
        "periods_left": 0,
        "period_remaining_ms": 0,
        "overtime_used_ms": 3000,
    }


def test_byoyomi_time_given_in_a_period_moves_the_deadline_by_as_much(core: Driver) -> None:
    game = Game(core, players(1000, 1000, time_control=BYOYOMI)).start()
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 5000, at=12_000)
    assert game.deadline() == 36_000
    game.do("adjust", "PARTICIPANT", P[0], "SET", 2000, at=12_000)
    assert game.deadline() == 12_000 + 2000 + 30_000


@pytest.mark.parametrize(("main", "deadline"), [(0, 55_000), (1, 55_001), (5000, 60_000)])
def test_byoyomi_main_time_that_is_set_is_followed_by_all_periods(
    core: Driver, main: int, deadline: int
) -> None:
    game = Game(core, players(1000, 1000, time_control=BYOYOMI)).start()
    game.do("adjust", "PARTICIPANT", P[0], "SET", main, at=25_000)
    assert game.deadline() == deadline
    assert clock(game, at=25_000)["now"] == {"periods_left": 3, "period_remaining_ms": 10_000}


def test_byoyomi_what_is_shown_of_this_moment_is_never_more_than_all(core: Driver) -> None:
    control = {**BYOYOMI, "overtime_ms": 500}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    assert clock(game, at=90_000)["now"] == {
        "periods_left": 0,
        "period_remaining_ms": 0,
        "overtime_used_ms": 500,
    }


@pytest.mark.parametrize(
    ("used", "bank", "periods"),
    [
        (0, 22_000, 3),  # a move that took no time earns it, too
        (4000, 18_000, 3),
        (19_999, 2001, 3),
        (20_000, 0, 3),  # no main time is left: no increment any more
        (29_999, 0, 3),
        (30_000, 0, 2),
    ],
)
def test_byoyomi_an_increment_comes_while_there_is_main_time(
    core: Driver, used: int, bank: int, periods: int
) -> None:
    control = {**BYOYOMI, "increment_ms": 2000}
    game = Game(core, players(20_000, 20_000, time_control=control, max_time_ms=20_000)).start()
    assert game.state()["time_control"] == control
    game.do("switch", at=used)
    assert (game.person(0)["total_time_ms"], clock(game)) == (bank, {"periods_left": periods})


def test_byoyomi_has_no_increment_of_the_sessions(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, time_control=BYOYOMI, increment_ms=2000)).start()
    assert game.state()["time_control"] == BYOYOMI
    game.do("switch", at=4000)
    assert game.person(0)["total_time_ms"] == 16_000


def test_byoyomi_main_time_that_was_given_back_earns_the_increment_again(core: Driver) -> None:
    control = {**BYOYOMI, "increment_ms": 2000}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    game.do("switch", at=5000)
    game.do("adjust", "PARTICIPANT", P[0], "SET", 3000, at=5500)
    game.do("switch", at=6000)
    game.do("switch", at=8000)
    assert game.person(0)["total_time_ms"] == 3000


def test_byoyomi_neither_a_pause_nor_who_completes_earns_an_increment(core: Driver) -> None:
    control = {**BYOYOMI, "increment_ms": 2000}
    game = Game(core, players(20_000, 20_000, time_control=control)).start()
    game.do("pause", at=1000)
    game.do("resume", at=5000)
    assert game.deadline() == 54_000
    game.do("complete", at=6000)
    assert game.person(0)["total_time_ms"] == 18_000


def test_byoyomi_a_debt_earns_no_increment(core: Driver) -> None:
    control = {"kind": "byoyomi", "periods": 1, "period_ms": 5000, "increment_ms": 2000, "overtime_ms": 5000}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    game.do("switch", at=7000)
    assert (game.person(0)["total_time_ms"], clock(game)["periods_left"]) == (-1000, 0)
    game.do("switch", at=7100)
    game.do("switch", at=7200)
    assert game.person(0)["total_time_ms"] == -1100


def test_byoyomi_its_increment_is_none_of_the_lag_quotas(core: Driver) -> None:
    """The quota is that of the bank and of a fischer increment."""
    quotas = []
    for control in (BYOYOMI, {**BYOYOMI, "increment_ms": 60_000}, {"kind": "fischer"}):
        config = players(60_000, 60_000, time_control=control, lag_compensation=True)
        quotas.append(clock(Game(core, config))["quota_ms"])
        core.run("FLUSHALL")
    assert quotas == [3 * 390] * 3


# Canadian


def test_canadian_a_block_begins_with_the_move_that_crosses(core: Driver) -> None:
    game = Game(core, players(5000, 60_000, time_control=CANADIAN)).start()
    assert clock(game) == {
        "moves_left": 2,
        "block_remaining_ms": 20_000,
        "now": {"block_remaining_ms": 20_000},
    }
    game.do("switch", at=9000)
    assert clock(game) == {"moves_left": 1, "block_remaining_ms": 16_000}
    game.do("switch", at=9100)
    game.do("switch", at=25_099)
    assert clock(game) == {"moves_left": 2, "block_remaining_ms": 20_000}


def test_canadian_a_move_in_the_main_time_is_not_of_the_block_unless_it_uses_up_the_bank(
    core: Driver,
) -> None:
    game = Game(core, players(5000, 60_000, time_control=CANADIAN)).start()
    game.do("switch", at=4000)
    assert clock(game) == {"moves_left": 2, "block_remaining_ms": 20_000}
    game.do("switch", at=4100)
    game.do("switch", at=5100)
    assert game.person(0)["total_time_ms"] == 0
    assert clock(game) == {"moves_left": 1, "block_remaining_ms": 20_000}


def test_canadian_runs_out_with_its_block(core: Driver) -> None:
    game = Game(core, players(5000, 60_000, time_control=CANADIAN)).start()
    assert clock(game, at=10_000)["now"] == {"block_remaining_ms": 15_000}
    event = game.do("expire", at=25_000)
    shown = event["payload"]["participants"][0]
    assert shown["clock"] == {"moves_left": 2, "block_remaining_ms": 0}
    assert (shown["total_time_ms"], shown["time_used_ms"]) == (0, 25_000)


# Hourglass


def test_hourglass_the_sand_goes_to_the_next_one(core: Driver) -> None:
    game = Game(core, players(30_000, 30_000, time_control={"kind": "hourglass"})).start()
    event = game.do("switch", at=10_000)
    assert [p["total_time_ms"] for p in event["payload"]["participants"]] == [20_000, 40_000]
    assert game.deadline() == 50_000


def test_hourglass_to_oneself_nothing_is_lost(core: Driver) -> None:
    game = Game(core, players(30_000, 30_000, time_control={"kind": "hourglass"})).start()
    game.do("switch", "NEXT", P[0], at=10_000)
    assert game.person(0)["total_time_ms"] == 30_000


def test_hourglass_the_sand_of_one_who_ran_out_goes_on_with_the_turn(core: Driver) -> None:
    config = players(5000, 5000, 5000, time_control={"kind": "hourglass"}, action_on_timeout=SKIP)
    game = Game(core, config).start()
    game.do("expire", at=5000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [0, 10_000, 5000]
    assert game.deadline() == 15_000


def test_hourglass_under_notify_the_sand_is_handed_on_by_the_switch(core: Driver) -> None:
    config = players(5000, 5000, time_control={"kind": "hourglass"}, action_on_timeout=NOTIFY)
    game = Game(core, config).start()
    game.do("expire", at=5000)
    assert game.person(1)["total_time_ms"] == 5000
    game.do("switch", at=60_000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [0, 10_000]
    # It used 4 s: they revive the clock that stood at its end.
    game.do("switch", at=64_000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [4000, 6000]
    assert [p["has_expired"] for p in game.state()["participants"]] == [False, False]
    assert game.deadline() == 68_000


def test_hourglass_time_given_to_a_clock_at_its_end_is_handed_on_as_well(core: Driver) -> None:
    config = players(5000, 5000, time_control={"kind": "hourglass"}, action_on_timeout=NOTIFY)
    game = Game(core, config).start()
    game.do("expire", at=5000)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 3000, at=6000)
    game.do("switch", at=8000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [1000, 12_000]


def test_hourglass_sand_stays_where_the_session_ends(core: Driver) -> None:
    game = Game(core, players(5000, 5000, time_control={"kind": "hourglass"})).start()
    game.do("expire", at=5000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [0, 5000]


def test_hourglass_who_leaves_takes_the_sand_along(core: Driver) -> None:
    config = players(5000, 5000, 5000, time_control={"kind": "hourglass"})
    game = Game(core, config).start()
    game.do("leave", P[0], at=2000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [5000, 5000]


def test_hourglass_of_teams(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(4)]
    teams = [{"group_id": G[i], "total_time_ms": 10_000} for i in range(2)]
    config = {
        "sync_mode": "per_group",
        "participants": who,
        "groups": teams,
        "time_control": {"kind": "hourglass"},
    }
    game = Game(core, config).start()
    game.do("switch", at=4000)
    assert [g["total_time_ms"] for g in game.state()["groups"]] == [6000, 14_000]


def test_an_hourglass_among_other_clocks_gives_and_gets_nothing_back(core: Driver) -> None:
    config = players(10_000, 10_000)
    config["participants"][0]["time_control"] = {"kind": "hourglass"}
    game = Game(core, config).start()
    game.do("switch", at=4000)
    game.do("switch", at=5000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [6000, 13_000]


# Stages

STAGES = {
    "kind": "stages",
    "stages": [
        {"moves": 2, "time_ms": 30_000, "kind": "fischer", "increment_ms": 1000},
        {"moves": 1, "time_ms": 20_000, "kind": "delay", "delay_ms": 5000},
        {"time_ms": 0, "kind": "byoyomi", "periods": 2, "period_ms": 10_000},
    ],
}


def test_stages_each_by_its_rule(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": STAGES}
    game = Game(core, config).start()
    seen = []
    now = 0
    for _ in range(4):
        now += 6000
        game.do("switch", at=now)
        first = game.person(0)
        seen.append((first["total_time_ms"], first["time_remaining_ms"], first["clock"]))
        now += 1000
        game.do("switch", at=now)
    assert seen == [
        (25_000, 25_000, {"stage": 0, "moves_left": 1}),
        (40_000, 45_000, {"stage": 1, "moves_left": 1}),
        (39_000, 59_000, {"stage": 2, "periods_left": 2}),
        (33_000, 53_000, {"stage": 2, "periods_left": 2}),
    ]


def test_stages_the_time_of_a_stage_is_not_capped(core: Driver) -> None:
    stages = [{"moves": 1, "time_ms": 5000, "increment_ms": 9000}, {"time_ms": 60_000}]
    config = {
        "sync_mode": "per_participant",
        "participants": people(2),
        "max_time_ms": 6000,
        "time_control": {"kind": "stages", "stages": stages},
    }
    game = Game(core, config).start()
    game.do("switch", at=1000)
    assert game.person(0)["total_time_ms"] == 66_000


def test_stages_an_hourglass_stage_hands_on_the_move_that_ends_it(core: Driver) -> None:
    stages = [{"moves": 1, "time_ms": 5000, "kind": "hourglass"}, {"time_ms": 1000, "kind": "fischer"}]
    config = {
        "sync_mode": "per_participant",
        "participants": people(2),
        "time_control": {"kind": "stages", "stages": stages},
    }
    game = Game(core, config).start()
    game.do("switch", at=2000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [4000, 7000]
    game.do("switch", at=3000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [5000, 7000]
    game.do("switch", at=4000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [4000, 7000]


def test_stages_end_in_canadian_blocks(core: Driver) -> None:
    stages = [{"moves": 1, "time_ms": 5000}, {"time_ms": 0, **CANADIAN}]
    config = {
        "sync_mode": "per_participant",
        "participants": people(2),
        "time_control": {"kind": "stages", "stages": stages},
    }
    game = Game(core, config).start()
    game.do("switch", at=5000 - 1)
    assert clock(game) == {"stage": 1, "moves_left": 2, "block_remaining_ms": 20_000}
    assert game.person(0)["time_remaining_ms"] == 20_001


def test_stages_the_last_one_may_come_again_and_again(core: Driver) -> None:
    control = {
        "kind": "stages",
        "stages": [{"moves": 1, "time_ms": 5000}, {"moves": 2, "time_ms": 3000, "increment_ms": 100}],
        "repeat": True,
    }
    game = Game(core, {"sync_mode": "per_participant", "participants": people(2), "time_control": control})
    assert game.created["time_control"]["repeat"] is True
    game.start()
    seen = []
    for turn in range(1, 6):  # a second each, and Ben is as fast
        game.do("switch", at=2000 * turn - 1000)
        seen.append((game.person(0)["total_time_ms"], clock(game)))
        game.do("switch", at=2000 * turn)
    assert seen == [
        (7000, {"stage": 1, "moves_left": 2}),
        (6100, {"stage": 1, "moves_left": 1}),
        (8200, {"stage": 1, "moves_left": 2}),
        (7300, {"stage": 1, "moves_left": 1}),
        (9400, {"stage": 1, "moves_left": 2}),
    ]


def test_stages_a_single_one_may_repeat(core: Driver) -> None:
    control = {"kind": "stages", "repeat": True, "stages": [{"moves": 1, "time_ms": 5000}]}
    game = Game(core, {"sync_mode": "per_participant", "participants": people(1), "time_control": control})
    game.start()
    for turn in range(1, 4):
        game.do("switch", at=turn * 1000)
        assert (game.person(0)["total_time_ms"], clock(game)["moves_left"]) == (5000 + turn * 4000, 1)
    event = game.do("expire", at=3000 + 17_000)
    assert event["payload"]["event"] == "session.expired"


def test_stages_that_repeat_begin_with_all_periods_again(core: Driver) -> None:
    stage = {
        "moves": 2,
        "time_ms": 1000,
        "kind": "byoyomi",
        "periods": 2,
        "period_ms": 5000,
        "increment_ms": 9,
    }
    control = {"kind": "stages", "repeat": True, "stages": [stage]}
    game = Game(core, {"sync_mode": "per_participant", "participants": people(1), "time_control": control})
    game.start()
    game.do("switch", at=6000)
    assert (game.person(0)["total_time_ms"], clock(game)) == (
        0,
        {
            "stage": 0,
            "moves_left": 1,
            "periods_left": 1,
            "now": {"periods_left": 1, "period_remaining_ms": 5000},
        },
    )
    game.do("switch", at=7000)
    assert game.person(0)["total_time_ms"] == 1000
    assert clock(game)["periods_left"] == clock(game)["moves_left"] == 2
    game.do("switch", at=7500)
    assert game.person(0)["total_time_ms"] == 509


@pytest.mark.parametrize("repeats", [False, None])
def test_stages_that_do_not_repeat_say_so_or_nothing(core: Driver, repeats: bool | None) -> None:
    control = {"kind": "stages", "repeat": repeats, "stages": [{"moves": 1, "time_ms": 5000}, {"time_ms": 0}]}
    game = Game(core, {"sync_mode": "per_participant", "participants": people(1), "time_control": control})
    assert game.created["time_control"].get("repeat") is repeats


def test_stages_with_overtime_and_lag_show_all_there_is(core: Driver) -> None:
    config = {
        "sync_mode": "per_participant",
        "participants": people(2),
        "lag_compensation": True,
        "time_control": {**STAGES, "overtime_ms": 4000},
    }
    game = Game(core, config).start()
    # G = 10 * floor(2 * (30 + 40) / 5) + 150 = 430
    fresh = {"stage": 0, "moves_left": 2, "overtime_used_ms": 0, "quota_ms": 1290}
    assert clock(game, 1) == fresh
    assert clock(game) == {**fresh, "now": {"overtime_used_ms": 0}}
    assert game.alarm() == 34_000 + 1290


# No control at all


def test_without_a_control_nothing_runs_down(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": {"kind": "none"}}
    game = Game(core, config).start()
    assert (game.deadline(), game.alarm(), game.state()["total_time_ms"]) == (None, None, None)
    game.do("switch", at=86_400_000)
    first = game.person(0)
    assert (first["total_time_ms"], first["time_remaining_ms"], first["time_used_ms"]) == (
        None,
        None,
        86_400_000,
    )
    changes: list[list[str | int]] = [["SET", 1000], ["ADD", 1000], ["ADD", 1000, "WITHIN", 5000]]
    for change in changes:
        with pytest.raises(RefusedError) as refused:
            game.do("adjust", "PARTICIPANT", P[0], *change)
        assert refused.value.code == "VALIDATION_ERROR"


# Handicaps


def test_everybody_may_have_a_clock_of_their_own_kind(core: Driver) -> None:
    config = players(10_000, 20_000, 30_000, time_control={"kind": "delay", "delay_ms": 2000})
    config["participants"][1]["time_control"] = BYOYOMI
    config["participants"][2] = {"participant_id": P[2], "time_control": "0.5+1"}
    game = Game(core, config).start()
    assert game.deadline() == 12_000
    game.do("switch", at=1000)
    assert game.deadline() == 1000 + 50_000
    game.do("switch", at=2000)
    assert game.deadline() == 2000 + 30_000
    game.do("switch", at=3000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [10_000, 19_000, 30_000]


def test_a_newcomer_gets_the_bank_of_the_control(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": "10+2x30"}
    game = Game(core, config).start()
    joined = game.do("join", f'{{"participant_id":"{P[2]}"}}')["payload"]["participants"][0]
    assert (joined["total_time_ms"], joined["clock"]) == (600_000, {"periods_left": 2})
    own = game.do("join", f'{{"participant_id":"{P[3]}","time_control":"5+3"}}')["payload"]["participants"][0]
    assert (own["total_time_ms"], own["clock"]) == (300_000, {})
    for wrong in ('"total_time_ms":1000', '"time_control":{"kind":"fischer"}', '"time_control":"5+"'):
        with pytest.raises(RefusedError):
            game.do("join", f'{{"participant_id":"{P[4]}",{wrong}}}')


def test_a_clock_without_end_needs_no_compensation(core: Driver) -> None:
    config = {
        "sync_mode": "per_participant",
        "participants": people(2),
        "time_control": "-",
        "lag_compensation": True,
    }
    game = Game(core, config).start()
    payload = game.do("switch", "LAG", 100, at=5000)["payload"]
    assert "lag_credit_ms" not in payload
    assert (clock(game), game.person(0)["time_used_ms"]) == ({}, 5000)


def test_team_byoyomi(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(4)]
    config = {"sync_mode": "per_group", "participants": who, "time_control": "0.5+1x10"}
    game = Game(core, config).start()
    game.do("switch", at=39_000)
    group = game.state()["groups"][0]
    assert (group["total_time_ms"], group["time_remaining_ms"], group["clock"]) == (
        0,
        10_000,
        {"periods_left": 1},
    )
    assert game.state()["total_time_ms"] == 60_000
    game.do("switch", at=40_000)
    assert game.do("expire", at=50_000)["payload"]["expired_group_id"] == G[0]


# Bounds


@pytest.mark.parametrize(
    ("control", "field"),
    [
        ({"kind": "byoyomi", "periods": 0, "period_ms": 1000}, "time_control.periods"),
        ({"kind": "byoyomi", "periods": 1001, "period_ms": 1000}, "time_control.periods"),
        ({"kind": "byoyomi", "periods": 1, "period_ms": 0}, "time_control.period_ms"),
        ({"kind": "canadian", "moves": 1001, "period_ms": 1}, "time_control.moves"),
        ({"kind": "canadian", "moves": 1}, "time_control.period_ms"),
        ({"kind": "hourglass", "delay_ms": 1}, "time_control.delay_ms"),
        ({"kind": "none", "overtime_ms": 1}, "time_control.overtime_ms"),
        ({"kind": "none", "increment_ms": 1}, "time_control.increment_ms"),
        ({"kind": "sand"}, "time_control.kind"),
        ({"kind": "stages"}, "time_control.stages"),
        ({"kind": "stages", "stages": {}}, "time_control.stages"),
        (
            {"kind": "stages", "stages": [{"time_ms": 1000, "moves": 1}] * 8 + [{"time_ms": 0}]},
            "time_control.stages",
        ),
        ({"kind": "stages", "stages": [{"time_ms": 999}]}, "time_control.stages.0.time_ms"),
        ({"kind": "stages", "stages": [{"time_ms": 1000, "moves": 2}]}, "time_control.stages.0.moves"),
        ({"kind": "stages", "stages": [{"time_ms": 1000}, {"time_ms": 0}]}, "time_control.stages.0.moves"),
        ({"kind": "stages", "stages": [{"time_ms": 1000, "kind": "none"}]}, "time_control.stages.0.kind"),
        ({"kind": "stages", "stages": [{"time_ms": 1000, "kind": "stages"}]}, "time_control.stages.0.kind"),
        (
            {"kind": "stages", "stages": [{"time_ms": 1000, "overtime_ms": 5}]},
            "time_control.stages.0.overtime_ms",
        ),
        ({"kind": "stages", "stages": [5]}, "time_control.stages.0"),
        ({"kind": "stages", "repeat": 1, "stages": [{"time_ms": 1000}]}, "time_control.repeat"),
        ({"kind": "stages", "repeat": True, "stages": [{"time_ms": 1000}]}, "time_control.stages.0.moves"),
        (
            {"kind": "stages", "repeat": True, "stages": [{"time_ms": 1000, **CANADIAN}]},
            "time_control.stages.0.kind",
        ),
        ({"kind": "stages", "stages": [{"time_ms": 0}]}, "time_control.stages.0.time_ms"),
        ({"kind": "fischer", "repeat": True}, "time_control.repeat"),
        ({**BYOYOMI, "increment_ms": -1}, "time_control.increment_ms"),
        ({**BYOYOMI, "increment_ms": LONGEST + 1}, "time_control.increment_ms"),
        ({**CANADIAN, "increment_ms": 5}, "time_control.increment_ms"),
        ({"kind": "stages", "stages": [{"time_ms": 1000}], "delay_ms": 1}, "time_control.delay_ms"),
    ],
)
def test_a_wrong_control_is_refused_by_name(core: Driver, control: dict[str, Any], field: str) -> None:
    participants = people(2) if control["kind"] in {"stages", "none"} else people(2, total_time_ms=5000)
    config = {"sync_mode": "per_participant", "participants": participants, "time_control": control}
    with pytest.raises(RefusedError) as refused:
        Game(core, config)
    assert [detail["field"] for detail in refused.value.answer.context["details"]] == [field]


def test_an_hourglass_needs_two_clocks(core: Driver) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, players(5000, time_control={"kind": "hourglass"}))
    assert "two clocks" in str(refused.value)


def test_a_bank_that_comes_with_the_control_may_only_be_repeated(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": "5+3"}
    config["participants"] = [{"participant_id": P[0], "total_time_ms": 300_000}, {"participant_id": P[1]}]
    Game(core, config)
    config["participants"] = [{"participant_id": P[0], "total_time_ms": 300_001}, {"participant_id": P[1]}]
    with pytest.raises(RefusedError) as refused:
        Game(core, config, session="5e550000-0000-4000-8000-0000000000ac")
    assert [d["field"] for d in refused.value.answer.context["details"]] == ["participants.0.total_time_ms"]


@pytest.mark.parametrize(
    "control",
    [
        BYOYOMI,
        {**BYOYOMI, "increment_ms": 2000},
        CANADIAN,
        {"kind": "hourglass"},
        STAGES,
        {
            "kind": "stages",
            "repeat": True,
            "stages": [{"moves": 1, "time_ms": 7000, **BYOYOMI, "increment_ms": 5}],
        },
        {"kind": "none"},
        {**BYOYOMI, "overtime_ms": 500},
    ],
)
@pytest.mark.parametrize("compensated", [False, True])
def test_a_restored_session_goes_on_as_it_was(
    core: Driver, control: dict[str, Any], *, compensated: bool
) -> None:
    banks = {} if control["kind"] in {"stages", "none"} else {"total_time_ms": 5000}
    config = {
        "sync_mode": "per_participant",
        "participants": people(2, **banks),
        "time_control": control,
        "lag_compensation": compensated,
    }
    game = Game(core, config).start()
    game.do("switch", at=6000 if control["kind"] != "hourglass" else 3000)
    before = game.state(at=7000)
    exported = game.raw("get", "EXPORT", at=7000)
    core.run("DEL", game.keys.session)
    core.call("restore", game.session, [exported.decode()], START + 7000)
    after = game.state(at=7000)
    changed = {"version", "epoch", "recovered", "recovered_at", "warning", "updated_at"}
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    game.do("switch", at=7500)


# Banks of 0


ZERO = {"participant_id": P[0], "total_time_ms": 0}
AFTER_ZERO = [
    (BYOYOMI, 30_000),
    (CANADIAN, 20_000),
    ({"kind": "delay", "delay_ms": 5000}, 5000),
    ({"kind": "fischer", "increment_ms": 9, "overtime_ms": 4000}, 4000),
    ({"kind": "bronstein", "delay_ms": 9, "overtime_ms": 4000}, 4000),
    ({"kind": "hourglass", "overtime_ms": 1}, 1),
    ("0+3x10", 30_000),
    ("0+2/20", 20_000),
    ("0d5", 5000),
    ({"notation": "0+3", "overtime_ms": 4000}, 4000),
]


@pytest.mark.parametrize(("control", "budget"), AFTER_ZERO, ids=str)
def test_a_bank_of_0_needs_something_after_it(core: Driver, control: Any, budget: int) -> None:
    who = [ZERO | {"time_control": control}, {"participant_id": P[1], "total_time_ms": 5000}]
    game = Game(core, {"sync_mode": "per_participant", "participants": who}).start()
    assert game.person(0)["total_time_ms"] == 0
    assert (game.deadline(), game.alarm()) == (budget, budget)
    assert game.do("expire", at=budget)["payload"]["expired_participant_id"] == P[0]


NOTHING_AFTER = [
    None,
    {"kind": "fischer", "increment_ms": 5000},
    {"kind": "bronstein", "delay_ms": 5000},
    {"kind": "delay", "delay_ms": 0},
    {"kind": "hourglass", "overtime_ms": 0},
]


@pytest.mark.parametrize("control", NOTHING_AFTER, ids=str)
@pytest.mark.parametrize("own", [False, True])
def test_a_bank_of_0_with_nothing_after_it_is_refused(core: Driver, control: Any, *, own: bool) -> None:
    given = {"time_control": control}
    who = [ZERO | (given if own else {}), {"participant_id": P[1], "total_time_ms": 5000}]
    with pytest.raises(RefusedError) as refused:
        Game(core, {"sync_mode": "per_participant", "participants": who, **({} if own else given)})
    assert refused.value.answer.context["details"] == [
        {
            "field": "participants.0.total_time_ms",
            "message": "must be an integer from 1000 to 31622400000: nothing comes after a bank of 0",
        }
    ]


@pytest.mark.parametrize("text", ["0", "0+3", "0b5", "0d0", "hourglass 0"])
def test_a_text_of_nothing_is_refused_where_the_bank_stands(core: Driver, text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, {"sync_mode": "per_participant", "participants": people(2), "time_control": text})
    message = refused.value.answer.context["details"][0]["message"]
    assert message.startswith(f"cannot be read at position {text.index('0') + 1}: bank must be")


@pytest.mark.parametrize("bank", [1, 999, -1, LONGEST + 1, 1.5, True, "0"])
def test_a_bank_is_0_or_a_second_at_least(core: Driver, bank: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, players(bank, time_control=BYOYOMI))
    assert refused.value.answer.context["details"] == [
        {
            "field": "participants.0.total_time_ms",
            "message": "must be 0 or an integer from 1000 to 31622400000",
        }
    ]


def test_a_team_whose_members_bring_nothing_has_its_periods(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[i // 2], "total_time_ms": 0} for i in range(4)]
    config = {"sync_mode": "per_group", "participants": who, "time_control": BYOYOMI}
    game = Game(core, config).start()
    assert (game.state()["groups"][0]["total_time_ms"], game.deadline()) == (0, 30_000)
    core.run("FLUSHALL")
    with pytest.raises(RefusedError) as refused:
        Game(core, config | {"time_control": {"kind": "fischer"}})
    assert refused.value.answer.fields == ["groups.0.total_time_ms", "groups.1.total_time_ms"]


def test_what_one_member_brings_is_enough_for_the_team(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[0], "total_time_ms": 5000 * i} for i in range(2)]
    game = Game(core, {"sync_mode": "per_group", "participants": who}).start()
    assert game.deadline() == 5000


@pytest.mark.parametrize("mode", [{"sync_mode": "global", "total_time_ms": 5000}, {"sync_mode": "count_up"}])
def test_who_has_no_clock_has_nothing_after_0(core: Driver, mode: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, {**mode, "participants": [ZERO]})
    assert refused.value.answer.fields == ["participants.0.total_time_ms"]
    game = Game(core, {**mode, "participants": people(2)})
    with pytest.raises(RefusedError) as refused:
        game.do("join", json.dumps({"participant_id": P[5], "total_time_ms": 0}))
    assert refused.value.answer.fields == ["total_time_ms"]


def test_a_newcomer_may_begin_at_0_where_something_comes_after_it(core: Driver) -> None:
    game = Game(core, players(5000, 5000))
    newcomer = {"participant_id": P[5], "total_time_ms": 0}
    with pytest.raises(RefusedError) as refused:
        game.do("join", json.dumps(newcomer))
    assert refused.value.answer.fields == ["total_time_ms"]
    with pytest.raises(RefusedError) as refused:
        game.do("join", json.dumps({"participant_id": P[5], "time_control": "0+5"}))
    assert refused.value.answer.fields == ["time_control"]
    payload = game.do("join", json.dumps(newcomer | {"time_control": BYOYOMI}))["payload"]
    assert payload["participants"][0]["time_remaining_ms"] == 30_000


def test_the_total_of_banks_of_0_is_0(core: Driver) -> None:
    assert Game(core, players(0, 0, time_control=BYOYOMI)).created["total_time_ms"] == 0


def test_a_clock_without_end_takes_no_bank_of_0_either(core: Driver) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, players(0, time_control={"kind": "none"}))
    assert "its clock has no end" in refused.value.answer.text


# Long clocks


def test_a_clock_may_run_for_a_year_and_a_day(core: Driver) -> None:
    """Nothing is rounded on the way, not even in a restore."""
    control = {"kind": "byoyomi", "periods": 1000, "period_ms": LONGEST, "increment_ms": LONGEST}
    who = [{"participant_id": P[i], "total_time_ms": LONGEST} for i in range(2)]
    game = Game(core, {"sync_mode": "per_participant", "participants": who, "time_control": control}).start()
    assert game.created["total_time_ms"] == 2 * LONGEST
    assert game.deadline() == game.alarm() == 1001 * LONGEST
    game.do("switch", at=1)
    assert game.person(0)["total_time_ms"] == 2 * LONGEST - 1
    game.do("switch", at=2)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", LONGEST, at=2)
    exported = game.raw("get", "EXPORT", at=3)
    core.run("DEL", game.keys.session)
    assert core.call("restore", game.session, [exported.decode()], START + 3).code is None
    assert game.deadline() == 2 + 3 * LONGEST - 1 + 1000 * LONGEST


@pytest.mark.parametrize(
    "control",
    [
        {"kind": "fischer", "increment_ms": LONGEST, "overtime_ms": LONGEST},
        {"kind": "delay", "delay_ms": LONGEST},
        {"kind": "bronstein", "delay_ms": LONGEST},
        {"kind": "canadian", "period_ms": LONGEST, "moves": 1000},
    ],
)
def test_each_kind_takes_times_up_to_366_days(core: Driver, control: dict[str, Any]) -> None:
    game = Game(core, players(LONGEST, LONGEST, time_control=control, lag_compensation=True)).start()
    deadline = game.deadline()
    assert deadline == LONGEST + (0 if control["kind"] == "bronstein" else LONGEST)
    exported = game.raw("get", "EXPORT", at=0)
    core.run("DEL", game.keys.session)
    assert core.call("restore", game.session, [exported.decode()], START).code is None
    assert game.deadline() == deadline


def test_a_bound_is_named(core: Driver) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(
            core,
            players(LONGEST + 1, increment_ms=LONGEST + 1, time_control={"kind": "delay", "delay_ms": -1}),
        )
    messages = [detail["message"] for detail in refused.value.answer.context["details"]]
    assert messages == [
        "must be 0 or an integer from 1000 to 31622400000",
        "must be an integer from 0 to 31622400000",
        "must be an integer from 0 to 31622400000",
    ]
