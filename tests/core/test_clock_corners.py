"""Where rules meet: warnings below zero, what an adjust changes, a bank that is used up, and who follows
somebody who has left; times in ms since the start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"type": "skip_cycle"}
NOTIFY = {"type": "notify"}

# Warnings at zero and in overtime


def test_a_bell_where_overtime_begins_and_in_it(core: Driver) -> None:
    control = {"kind": "fischer", "overtime_ms": 3000}
    game = Game(core, players(5000, 5000, time_control=control, warnings_ms=[0, -2000, 1000, -3000])).start()
    assert game.state()["warnings_ms"] == [0, -2000, 1000, -3000]
    for at, threshold in ((4000, 1000), (5000, 0), (7000, -2000)):
        assert game.alarm() == at
        assert game.raw("expire", at=at - 1) is None
        payload = game.do("expire", at=at)["payload"]
        assert (payload["warning_ms"], payload["time_remaining_ms"]) == (threshold, threshold)
    # -3,000 is the end of the budget: the expiry comes there, and no warning.
    assert game.alarm() == 8000
    assert game.do("expire", at=8000)["payload"]["event"] == "session.expired"


def test_a_cycle_that_begins_in_overtime_warns_of_what_is_below(core: Driver) -> None:
    control = {"kind": "fischer", "overtime_ms": 3000}
    game = Game(core, players(5000, 9000, time_control=control, warnings_ms=[0, -1000, -2000])).start()
    game.do("switch", at=6500)
    assert game.alarm() == 6500 + 9000
    game.do("switch", at=6600)
    assert game.alarm() == 6600 + 500
    assert game.do("expire", at=7100)["payload"]["warning_ms"] == -2000
    exported = game.raw("get", "EXPORT", at=7100)
    core.run("DEL", game.keys.session)
    core.call("restore", game.session, [exported.decode()], START + 7100)
    assert game.alarm() == game.deadline() == 6600 + 1500


@pytest.mark.parametrize("config", [{}, {"action_on_timeout": SKIP}, {"lag_compensation": True}])
def test_without_overtime_a_warning_at_0_never_comes(core: Driver, config: dict[str, Any]) -> None:
    """Not even in the grace of lag compensation, when the clock is at 0 and the expiry still ahead."""
    game = Game(core, players(5000, 5000, warnings_ms=[0], **config)).start()
    due = game.alarm()
    assert due is not None
    assert game.raw("expire", at=due - 1) is None
    assert game.do("expire", at=due)["type"] == "TIME_EXPIRED"


def test_a_warning_at_0_is_for_the_clocks_with_overtime(core: Driver) -> None:
    who = players(5000, 5000, warnings_ms=[0, -1000])
    who["participants"][1]["time_control"] = {"kind": "fischer", "overtime_ms": 1500}
    game = Game(core, who).start()
    assert game.alarm() == 5000
    game.do("switch", at=1000)
    assert game.do("expire", at=6000)["payload"]["warning_ms"] == 0
    assert game.do("expire", at=7000)["payload"]["warning_ms"] == -1000
    assert game.alarm() == 7500


def test_an_adjust_in_overtime_warns_anew_only_of_what_was_not_sent(core: Driver) -> None:
    control = {"kind": "fischer", "overtime_ms": 3000}
    game = Game(core, players(5000, 5000, time_control=control, warnings_ms=[0, -1000])).start()
    game.do("expire", at=5000)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 1000, at=5500)
    assert (game.alarm(), game.deadline()) == (7000, 9000)


def test_with_notify_a_clock_at_its_end_warns_of_nothing(core: Driver) -> None:
    control = {"kind": "fischer", "overtime_ms": 2000}
    config = players(5000, 5000, time_control=control, warnings_ms=[-1500, -2000], action_on_timeout=NOTIFY)
    game = Game(core, config).start()
    game.do("expire", at=6500)
    game.do("expire", at=7000)
    assert (game.alarm(), game.state()["time_remaining_ms"]) == (None, -2000)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 100, at=9000)
    assert game.alarm() == 9100


# What an adjust says that it changed: of `time_remaining_ms`, at this moment


def adjusted(game: Game, *change: str | int, at: int, of: int = 0) -> int:
    """What an adjust says, which is what the state shows."""
    before = game.person(of, at=at)["time_remaining_ms"]
    payload = game.do("adjust", "PARTICIPANT", P[of], *change)["payload"]
    by: int = payload["adjusted_ms"]
    assert by == game.person(of)["time_remaining_ms"] - before
    return by


@pytest.mark.parametrize(
    ("control", "change", "by"),
    [
        ({"kind": "fischer"}, ["ADD", 5000], 5000),
        ({"kind": "fischer"}, ["ADD", -60_000], -7000),  # 7 s are left, and nothing goes below zero
        ({"kind": "fischer"}, ["SET", 0], -7000),
        ({"kind": "delay", "delay_ms": 5000}, ["ADD", -60_000], -10_000),  # 2 s of the delay stay
        ({"kind": "byoyomi", "periods": 2, "period_ms": 5000}, ["SET", 1000], -6000),
    ],
)
def test_of_the_running_clock(core: Driver, control: dict[str, Any], change: list[Any], by: int) -> None:
    game = Game(core, players(10_000, 10_000, time_control=control)).start()
    assert adjusted(game, *change, at=3000) == by


@pytest.mark.parametrize(
    ("change", "by"), [(["SET", 1000], 4000), (["ADD", 1000], 1000), (["ADD", -1000], 0)]
)
def test_of_a_clock_in_its_periods(core: Driver, change: list[Any], by: int) -> None:
    """3 s of the first of two periods are used. With main time set, the period is whole again."""
    control = {"kind": "byoyomi", "periods": 2, "period_ms": 5000}
    game = Game(core, players(1000, 1000, time_control=control)).start()
    assert adjusted(game, *change, at=4000) == by


@pytest.mark.parametrize(
    ("change", "by"), [(["SET", 1000], 2500), (["ADD", 1000], 1000), (["ADD", -1000], 0)]
)
def test_of_a_clock_in_overtime(core: Driver, change: list[Any], by: int) -> None:
    game = Game(core, players(1000, 1000, time_control={"kind": "fischer", "overtime_ms": 9000})).start()
    assert adjusted(game, *change, at=2500) == by


@pytest.mark.parametrize(
    ("change", "by"), [(["ADD", 5000], 5000), (["ADD", -60_000], -10_000), (["SET", 1], -9999)]
)
def test_of_an_idle_clock(core: Driver, change: list[Any], by: int) -> None:
    game = Game(core, players(10_000, 10_000)).start()
    assert adjusted(game, *change, at=3000, of=1) == by


@pytest.mark.parametrize(
    ("control", "change", "by"),
    [
        ({"kind": "fischer"}, ["ADD", 5000], 5000),
        ({"kind": "fischer"}, ["ADD", -5000], 0),
        ({"kind": "delay", "delay_ms": 2000}, ["ADD", 5000], 7000),  # its next cycle has its delay
        ({"kind": "fischer", "overtime_ms": 500}, ["SET", 5000], 5500),
        ({"kind": "byoyomi", "periods": 1, "period_ms": 500}, ["SET", 5000], 5000),  # the period is lost
    ],
)
@pytest.mark.parametrize("action", [SKIP, NOTIFY])
def test_of_a_clock_that_has_run_out(
    core: Driver, control: dict[str, Any], change: list[Any], by: int, action: dict[str, str]
) -> None:
    config = players(10_000, 10_000, 10_000, time_control=control, action_on_timeout=action)
    game = Game(core, config).start()
    end = game.deadline()
    assert end is not None
    game.do("expire", at=end)
    if action == NOTIFY:
        game.do("switch", at=end)
    assert game.person(0)["has_expired"] is True
    assert adjusted(game, *change, at=end + 1000) == by


def test_of_a_maximum_that_is_new(core: Driver) -> None:
    game = Game(core, {"sync_mode": "count_up", "participants": people(2)}).start()
    assert game.do("adjust", "SET", 5000, at=3000)["payload"]["adjusted_ms"] == 5000


# A bank that is used up has expired, whatever ended its cycle


def used_up(core: Driver, **config: Any) -> Game:
    """A session of two whose one clock has nothing left; paused."""
    config = {"sync_mode": "global", "participants": people(2), "total_time_ms": 10_000, **config}
    game = Game(core, config).start()
    game.do("pause", at=6000)
    game.do("adjust", "ADD", -60_000, at=6500)
    return game


COUNT_UP = {"sync_mode": "count_up", "max_time_ms": 10_000, "total_time_ms": None}


@pytest.mark.parametrize("config", [{}, COUNT_UP, {"action_on_timeout": SKIP}])
def test_a_session_ends_when_who_leaves_has_used_up_its_bank(core: Driver, config: dict[str, Any]) -> None:
    game = used_up(core, **config)
    payload = game.do("leave", P[0], at=7000)["payload"]
    assert (payload["event"], payload["status"], payload["active_participant_id"]) == (
        "participant.removed",
        "expired",
        None,
    )
    assert game.state()["session_completed_at"] == "2027-01-15T08:00:07.000Z"
    assert (game.alarm(), game.state()["time_used_ms"], game.state()["cycle_count"]) == (None, 6000, 1)
    with pytest.raises(RefusedError) as refused:
        game.do("resume", at=8000)
    assert refused.value.code == "INVALID_SESSION_STATE"


@pytest.mark.parametrize("config", [{}, COUNT_UP])
def test_a_bank_that_is_used_up_in_a_pause_expires_with_the_resume(
    core: Driver, config: dict[str, Any]
) -> None:
    game = used_up(core, **config)
    game.do("leave", P[1], at=7000)  # not the active one: nothing ends
    game.do("resume", at=8000)
    assert game.deadline() == game.alarm() == 8000
    assert game.do("expire", at=8000)["payload"]["event"] == "session.expired"


def test_under_notify_it_stands_until_it_is_given_time(core: Driver) -> None:
    game = used_up(core, action_on_timeout=NOTIFY)
    game.do("leave", P[0], at=7000)
    game.do("resume", at=8000)
    assert (game.deadline(), game.alarm(), game.state()["time_remaining_ms"]) == (None, None, 0)
    game.do("adjust", "ADD", 3000, at=9000)
    assert game.deadline() == game.alarm() == 12_000


def test_a_session_that_ran_on_without_a_bank_expires_with_the_next_call(core: Driver) -> None:
    """Libraries before 0.5.0 let it run."""
    game = used_up(core)
    game.do("resume", at=7000)
    core.run(
        "HSET",
        game.keys.session,
        "clock",
        "[0,6000,1,1]",
        "cycle",
        f"1 {START + 7000} 0 6000 1 {START + 7000} /0 1 0",
    )
    payload = game.do("switch", at=60_000)["payload"]
    assert (payload["event"], payload["expired_deadline_ms"]) == ("session.expired", START + 7000)
    assert game.state()["time_used_ms"] == 6000


# Who is next in a team that somebody has left


def team(core: Driver, *indexes: int) -> Game:
    """A team with these indexes against one of index 5; the turn has gone to and fro twice."""
    who = [{"participant_id": P[i], "participant_index": i, "group_id": G[i == 5]} for i in (*indexes, 5)]
    groups = [{"group_id": g, "total_time_ms": 60_000} for g in G[:2]]
    game = Game(core, {"sync_mode": "per_group", "participants": who, "groups": groups}).start()
    for at in (1000, 2000, 3000):
        game.do("switch", at=at)
    return game


def order(game: Game, count: int) -> list[int]:
    """The indexes in the team at the next so many turns that it gets."""
    found = []
    for _ in range(count):
        active = game.do("switch")["payload"]["active_participant_id"]
        found += [
            p["participant_index"] for p in game.state()["participants"] if p["participant_id"] == active
        ]
        game.do("switch")
    return found


@pytest.mark.parametrize(
    ("members", "gone", "new", "turns"),
    [
        ((1, 9), 9, 9, [1, 9, 1]),
        ((1, 9), 9, 3, [1, 3, 1]),
        ((1, 9), 9, 12, [12, 1, 12]),
        ((1, 7, 9), 7, 7, [9, 1, 7]),
        ((1, 7, 9), 7, 8, [8, 9, 1]),
        ((1, 7, 9), 7, 0, [9, 0, 1]),
        ((1, 7, 9), 7, None, [9, 1, 9]),
        ((1, 7, 9), 1, None, [9, 7, 9]),
        ((1, 7, 9), 9, 9, [9, 1, 7]),
    ],
)
def test_the_next_one_comes_after_the_index_of_who_was_last_active(
    core: Driver, members: tuple[int, ...], gone: int, new: int | None, turns: list[int]
) -> None:
    game = team(core, *members)
    game.do("leave", P[gone])
    if new is not None:
        newcomer = {"participant_id": P[20], "participant_index": new, "group_id": G[0]}
        game.do("join", json.dumps(newcomer))
    exported = game.raw("get", "EXPORT")
    core.run("DEL", game.keys.session)
    assert core.call("restore", game.session, [exported.decode()]).code is None
    assert order(game, 3) == turns


def test_a_team_that_all_have_left_goes_on_after_the_last_of_them(core: Driver) -> None:
    game = team(core, 1, 9)
    game.do("leave", P[1])
    game.do("leave", P[9])
    for index in (2, 11):
        newcomer = {"participant_id": P[20 + index], "participant_index": index, "group_id": G[0]}
        game.do("join", json.dumps(newcomer))
    assert order(game, 2) == [11, 2]


# Nobody has a turn: all clocks have run out, and the session was opened again


def test_a_switch_of_a_session_whose_clocks_are_all_out(core: Driver) -> None:
    game = Game(core, players(1000, action_on_timeout=SKIP)).start()
    game.do("expire", at=1000)
    game.do("reopen", at=1500)
    with pytest.raises(RefusedError) as refused:
        game.do("switch", at=1600)
    assert refused.value.code == "INVALID_SESSION_STATE"
    game.do("schedule", "ENDS", START + 2000, at=1700)
    payload = game.do("switch", at=2000)["payload"]
    assert (payload["event"], payload["reason"]) == ("session.completed", "auto")
