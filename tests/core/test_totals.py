"""`global` with a time per cycle and a total: whichever ends first, and the end of the total is the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.game import START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

NOTIFY = {"type": "notify"}
SKIP = {"type": "skip_cycle"}


def meeting(core: Driver, total: int = 10_000, each: int = 4000, **config: Any) -> Game:
    """Three people, so long each, so long together; started."""
    config = {
        "sync_mode": "global",
        "participants": people(3),
        "total_time_ms": total,
        "time_per_cycle_ms": each,
        "action_on_timeout": SKIP,
        **config,
    }
    return Game(core, config).start()


def test_the_earlier_end_is_the_deadline(core: Driver) -> None:
    game = meeting(core)
    assert (game.deadline(), game.alarm()) == (4000, 4000)
    game.do("switch", at=3000)
    assert game.deadline() == 7000
    game.do("expire", at=7000)
    assert (game.deadline(), game.alarm()) == (10_000, 10_000)
    state = game.state(at=8000)
    assert (state["time_remaining_ms"], state["total_remaining_ms"], state["total_time_ms"]) == (
        2000,
        2000,
        10_000,
    )


@pytest.mark.parametrize(
    "action", [SKIP, NOTIFY, {"type": "end_session"}, {"type": "auto_action", "action": "x"}]
)
def test_the_end_of_the_total_ends_the_session(core: Driver, action: dict[str, Any]) -> None:
    game = meeting(core, total=5000, action_on_timeout=action)
    game.do("switch", at=2000)
    assert game.raw("expire", at=4999) is None
    event = game.do("expire", at=5001)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["status"]) == (
        "TIME_EXPIRED",
        "session.expired",
        "expired",
    )
    assert (payload["expired_clock"], payload["expired_participant_id"]) == ("total", P[1])
    assert (payload["expired_deadline_ms"], payload["late_ms"]) == (START + 5000, 1)
    assert (payload["action_applied"], payload["total_remaining_ms"]) == (action, 0)
    state = game.state()
    assert state["session_completed_at"] == "2027-01-15T08:00:05.000Z"
    assert [p["time_used_ms"] for p in state["participants"]] == [2000, 3000, 0]
    assert (state["cycle_count"], state["total_remaining_ms"], state["deadline_ms"]) == (2, 0, None)
    assert game.alarm() is None


def test_when_both_end_at_once_it_is_the_total(core: Driver) -> None:
    game = meeting(core, total=8000)
    game.do("expire", at=4000)
    assert game.do("expire", at=8000)["payload"]["expired_clock"] == "total"
    assert [p["time_used_ms"] for p in game.state()["participants"]] == [4000, 4000, 0]


def test_a_pause_stops_both(core: Driver) -> None:
    game = meeting(core)
    game.do("pause", at=1000)
    assert game.state(at=50_000)["total_remaining_ms"] == 9000
    game.do("resume", at=101_000)
    assert game.deadline() == 104_000
    game.do("switch", at=103_999)
    game.do("expire", at=107_999)
    assert game.deadline() == 110_000


def test_time_at_the_end_of_a_cycle_clock_counts(core: Driver) -> None:
    game = meeting(core, action_on_timeout=NOTIFY)
    game.do("expire", at=4000)
    assert (game.deadline(), game.alarm()) == (10_000, 10_000)
    assert game.state(at=6000)["time_remaining_ms"] == 0
    game.do("switch", at=7000)
    assert game.deadline() == 10_000
    assert game.state(at=7000)["total_remaining_ms"] == 3000
    assert game.do("expire", at=10_000)["payload"]["expired_clock"] == "total"
    assert [p["time_used_ms"] for p in game.state()["participants"]] == [4000, 3000, 0]


@pytest.mark.parametrize(
    ("function", "args"), [("switch", []), ("pause", []), ("leave", [P[0]]), ("adjust", ["ADD", 1])]
)
def test_whoever_comes_when_the_total_is_over_ends_the_session(
    core: Driver, function: str, args: list[str | int]
) -> None:
    game = meeting(core, total=3000, action_on_timeout=NOTIFY)
    assert game.do(function, *args, at=3000)["payload"]["expired_clock"] == "total"


def test_even_where_the_cycle_clock_stands(core: Driver) -> None:
    game = meeting(core, total=6000, action_on_timeout=NOTIFY)
    game.do("expire", at=4000)
    assert game.do("switch", at=6000)["payload"]["expired_clock"] == "total"
    assert game.person(0)["time_used_ms"] == 4000


def test_warnings_go_by_what_ends_first(core: Driver) -> None:
    game = meeting(core, total=6000, warnings_ms=[3000])
    assert game.alarm() == 1000
    game.do("expire", at=1000)
    game.do("switch", at=2000)
    # 4 s of the total are left, as much as of the cycle.
    assert game.alarm() == 3000
    game.do("switch", at=2500)
    assert game.alarm() == 3000


@pytest.mark.parametrize(
    ("total", "each", "alarm"), [(2000, 4000, 2000), (4000, 4000, 1000), (3000, 4000, 3000)]
)
def test_a_threshold_that_was_never_above_what_is_left_does_not_count(
    core: Driver, total: int, each: int, alarm: int
) -> None:
    assert meeting(core, total=total, each=each, warnings_ms=[3000]).alarm() == alarm


def test_a_clock_at_its_end_does_not_warn(core: Driver) -> None:
    game = meeting(core, warnings_ms=[3000], action_on_timeout=NOTIFY)
    game.do("expire", at=4000)
    assert game.alarm() == 10_000


def test_past_its_end_and_not_noticed_less_than_nothing_is_left(core: Driver) -> None:
    game = meeting(core, total=5000, each=20_000)
    state = game.state(at=6000)
    assert (state["time_remaining_ms"], state["total_remaining_ms"]) == (-1000, 0)


def test_completed_late_the_total_is_all_that_was_used(core: Driver) -> None:
    game = meeting(core, total=3000)
    game.do("complete", at=3500)
    assert [p["time_used_ms"] for p in game.state()["participants"]] == [3000, 0, 0]


def test_an_adjust_is_for_the_cycle(core: Driver) -> None:
    game = meeting(core, total=6000)
    game.do("adjust", "ADD", 1000, at=1000)
    assert game.deadline() == 5000
    game.do("adjust", "ADD", 5000, at=1000)
    assert game.deadline() == 6000


def test_who_leaves_has_used_of_the_total(core: Driver) -> None:
    game = meeting(core)
    game.do("leave", P[0], at=3000)
    assert game.state(at=3000)["total_remaining_ms"] == 7000


def test_an_outage_costs_nobody(core: Driver) -> None:
    game = meeting(core)
    event = game.do("expire", at=9000)
    assert event["payload"]["late_ms"] == 5000
    assert event["payload"]["total_remaining_ms"] == 6000
    assert game.deadline() == 13_000


def test_a_thousand_short_cycles_end_with_the_total_sharp(core: Driver) -> None:
    game = meeting(core, total=1_000_500, each=1000)
    now = 0
    while True:
        now = game.deadline() or 0
        event = game.do("expire", at=now + 3)
        if event["payload"]["status"] == "expired":
            break
    assert (now, game.state()["cycle_count"]) == (1_000_500, 1001)


def test_a_restored_meeting_goes_on_with_its_total(core: Driver) -> None:
    game = meeting(core)
    game.do("switch", at=3000)
    exported = game.raw("get", "EXPORT", at=4000)
    core.run("DEL", game.keys.session)
    core.call("restore", game.session, [exported.decode()], START + 50_000)
    assert game.state(at=50_000)["total_remaining_ms"] == 6000
    game.do("switch", at=52_900)
    assert game.deadline() == 52_900 + 3100


def test_without_a_total_nothing_of_it_is_shown(core: Driver) -> None:
    config = {"sync_mode": "global", "participants": people(2), "time_per_cycle_ms": 4000}
    game = Game(core, config).start()
    assert game.state()["total_remaining_ms"] is None
    assert "total_remaining_ms" not in game.do("switch", at=1000)["payload"]


def test_completed_early_it_shows_what_was_left(core: Driver) -> None:
    game = meeting(core)
    game.do("complete", at=3000)
    assert game.state(at=9000)["total_remaining_ms"] == 7000


# `CLOCK total`: more or less of the total


def left(game: Game, at: int) -> tuple[int, int]:
    """What is left of the cycle's clock or the total, whichever ends first, and of the total."""
    state = game.state(at=at)
    return state["time_remaining_ms"], state["total_remaining_ms"]


@pytest.mark.parametrize(
    ("change", "adjusted", "total", "deadline"),
    [
        (["ADD", 5000], 5000, 12_000, 7000),
        (["ADD", -5000], -5000, 2000, 5000),
        (["ADD", -6999], -6999, 1, 3001),
        (["ADD", -60_000], -7000, 0, 3000),
        (["SET", 1500], -5500, 1500, 4500),
        (["SET", 7000], 0, 7000, 7000),
        (["SET", 0], -7000, 0, 3000),
    ],
)
def test_the_total_is_changed_from_now_on(
    core: Driver, change: list[str | int], adjusted: int, total: int, deadline: int
) -> None:
    """3 s of the first cycle have run, and the second one has just begun: 4 s, and 7 s of the total."""
    game = meeting(core)
    game.do("switch", at=3000)
    payload = game.do("adjust", "CLOCK", "total", *change, "REASON", "noise", at=3000)["payload"]
    assert (payload["event"], payload["adjusted_ms"], payload["adjust_reason"]) == (
        "time.adjusted",
        adjusted,
        "noise",
    )
    assert payload["total_remaining_ms"] == total
    assert (payload["participants"], payload["groups"]) == ([], [])
    assert (game.deadline(), game.alarm()) == (deadline, deadline)
    assert left(game, 3000) == (min(4000, total), total)
    assert game.state()["total_time_ms"] == 10_000


def test_a_total_that_is_used_up_ends_the_session_with_the_next_call(core: Driver) -> None:
    game = meeting(core)
    assert game.do("adjust", "CLOCK", "total", "SET", 0, at=1000)["payload"]["status"] == "running"
    payload = game.do("switch", at=1000)["payload"]
    assert (payload["event"], payload["expired_clock"]) == ("session.expired", "total")
    assert game.person(0)["time_used_ms"] == 1000


def test_what_was_given_of_the_total_holds_for_the_cycles_after_it(core: Driver) -> None:
    game = meeting(core)
    game.do("adjust", "CLOCK", "total", "ADD", 1000, at=1000)
    game.do("switch", at=3000)
    assert left(game, 3000) == (4000, 8000)
    game.do("expire", at=7000)
    game.do("expire", at=11_000)
    assert game.state()["status"] == "expired"


def test_the_total_can_be_changed_before_the_start_and_in_a_pause(core: Driver) -> None:
    config = {
        "sync_mode": "global",
        "participants": people(2),
        "total_time_ms": 3000,
        "time_per_cycle_ms": 4000,
    }
    game = Game(core, config)
    payload = game.do("adjust", "CLOCK", "total", "ADD", 2000, at=500)["payload"]
    assert (payload["adjusted_ms"], payload["total_remaining_ms"], payload["status"]) == (
        2000,
        5000,
        "pending",
    )
    game.start(at=1000)
    game.do("pause", at=2000)
    assert game.do("adjust", "CLOCK", "total", "SET", 9000, at=3000)["payload"]["adjusted_ms"] == 5000
    assert left(game, 5000) == (3000, 9000)
    game.do("resume", at=10_000)
    assert game.deadline() == 13_000
    game.do("switch", at=12_000)
    assert left(game, 12_000) == (4000, 7000)


@pytest.mark.parametrize(("within", "applied"), [(6001, True), (6000, False), (1, False)])
def test_within_looks_at_the_total(core: Driver, within: int, *, applied: bool) -> None:
    """6 s of the total are left, and 3 s of the cycle."""
    game = meeting(core)
    game.do("switch", at=3000)
    answer = game.raw("adjust", "CLOCK", "total", "ADD", 1000, "WITHIN", within, at=4000)
    assert (answer is not None) is applied
    assert game.state()["total_remaining_ms"] == (7000 if applied else 6000)


def test_warnings_count_from_what_is_left_after_the_change(core: Driver) -> None:
    game = meeting(core, total=20_000, each=12_000, warnings_ms=[9000, 5000])
    assert game.alarm() == 3000
    game.do("adjust", "CLOCK", "total", "SET", 8000, at=1000)  # no fall: 9 s are not warned of
    assert (game.deadline(), game.alarm()) == (9000, 4000)
    game.do("expire", at=4000)
    game.do(
        "adjust", "CLOCK", "total", "ADD", 60_000, at=5000
    )  # 5 s were warned of in this cycle, 9 s are above
    assert (game.deadline(), game.alarm()) == (12_000, 12_000)
    game.do("switch", at=6000)
    assert game.alarm() == 9000


def test_a_cycle_clock_that_stands_stays_where_it_is(core: Driver) -> None:
    game = meeting(core, action_on_timeout=NOTIFY, warnings_ms=[2000])
    game.do("expire", at=2000)
    game.do("expire", at=4000)
    assert game.do("adjust", "CLOCK", "total", "ADD", 5000, at=5000)["payload"]["adjusted_ms"] == 5000
    assert (game.deadline(), game.alarm(), left(game, 5000)) == (15_000, 15_000, (0, 10_000))


@pytest.mark.parametrize(("total", "each"), [(3000, 4000), (10_000, 3000)])
def test_what_is_due_comes_before_a_change_of_the_total(core: Driver, total: int, each: int) -> None:
    game = meeting(core, total=total, each=each)
    payload = game.do("adjust", "CLOCK", "total", "ADD", 5000, at=3000)["payload"]
    assert payload["event"] == ("session.expired" if total == 3000 else "participant.expired")
    assert "adjusted_ms" not in payload


def test_the_end_of_a_pause_comes_before_a_change_of_the_total(core: Driver) -> None:
    game = meeting(core, max_pause_ms=2000)
    game.do("pause", at=1000)
    assert game.do("adjust", "CLOCK", "total", "ADD", 5000, at=3000)["payload"]["event"] == "session.resumed"
    assert game.state()["total_remaining_ms"] == 9000


@pytest.mark.parametrize(
    "config",
    [
        players(5000, 5000),
        {"sync_mode": "global", "participants": people(2), "total_time_ms": 5000},
        {"sync_mode": "global", "participants": people(2), "time_per_cycle_ms": 5000},
        {
            "sync_mode": "per_cycle",
            "participants": people(2),
            "time_per_cycle_ms": 5000,
            "total_time_ms": 9000,
        },
        {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 5000},
        {"sync_mode": "per_group", "participants": people(2, group_id=G[0], total_time_ms=5000)},
    ],
    ids=lambda config: config["sync_mode"],
)
def test_where_there_is_no_such_total_it_cannot_be_changed(core: Driver, config: dict[str, Any]) -> None:
    game = Game(core, config).start()
    with pytest.raises(RefusedError) as refused:
        game.do("adjust", "CLOCK", "total", "ADD", 1000)
    assert (refused.value.code, refused.value.answer.fields) == ("VALIDATION_ERROR", ["CLOCK"])
    game.do("complete")
    with pytest.raises(RefusedError) as refused:
        game.do("adjust", "CLOCK", "total", "ADD", 1000)
    assert refused.value.code == "INVALID_SESSION_STATE"


def test_a_restored_meeting_has_what_was_given_of_its_total(core: Driver) -> None:
    game = meeting(core)
    game.do("adjust", "CLOCK", "total", "ADD", 366 * 86_400_000, at=1000)
    exported = game.raw("get", "EXPORT", at=2000)
    core.run("DEL", game.keys.session)
    core.call("restore", game.session, [exported.decode()], START + 50_000)
    assert game.state(at=50_000)["total_remaining_ms"] == 366 * 86_400_000 + 8000


# What an adjust says that it changed


@pytest.mark.parametrize(
    ("change", "adjusted"),
    [
        (["ADD", 10_000], 2000),  # the cycle has 10 s more, and the total leaves 2 s of them
        (["ADD", 1000], 1000),
        (["SET", 60_000], 2000),
        (["ADD", -1000], -1000),
        (["ADD", -60_000], -3000),
        (["SET", 0], -3000),
    ],
)
def test_under_a_total_an_adjust_gives_no_more_than_the_total_leaves(
    core: Driver, change: list[str | int], adjusted: int
) -> None:
    game = meeting(core, total=6000)
    before = left(game, 1000)[0]
    payload = game.do("adjust", *change, at=1000)["payload"]
    assert payload["adjusted_ms"] == adjusted == payload["time_remaining_ms"] - before


def test_where_the_total_ends_first_an_adjust_gives_nothing(core: Driver) -> None:
    game = meeting(core, total=3000)
    assert game.do("adjust", "ADD", 10_000, at=1000)["payload"]["adjusted_ms"] == 0
    assert game.do("adjust", "ADD", -10_500, at=1000)["payload"]["adjusted_ms"] == 0
    # 2.5 s of the cycle are left, and 2 s of the total.
    assert game.do("adjust", "ADD", -1000, at=1000)["payload"]["adjusted_ms"] == -500


def test_a_clock_that_stood_gets_what_the_total_leaves(core: Driver) -> None:
    game = meeting(core, total=6000, action_on_timeout=NOTIFY)
    game.do("expire", at=4000)
    assert game.do("adjust", "ADD", 10_000, at=5000)["payload"]["adjusted_ms"] == 1000
