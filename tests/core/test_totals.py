"""`global` with a time per cycle and a total: whichever ends first, and the end of the total is the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.game import START, Game, P, people
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
