"""Rules about time that chance seldom meets, in exact milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.game import START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

pytestmark = pytest.mark.every_server

SKIP = {"type": "skip_cycle"}
NOTIFY = {"type": "notify"}
CYCLES = {
    "sync_mode": "per_cycle",
    "participants": people(2),
    "time_per_cycle_ms": 30_000,
    "action_on_timeout": SKIP,
}


@pytest.mark.parametrize(
    ("noticed", "late", "starts"),
    [
        (30_000, 0, 30_000),
        (30_001, 1, 30_000),
        (30_999, 999, 30_000),
        (31_000, 1000, 30_000),
        (31_001, 1001, 31_001),
        (90_000, 60_000, 90_000),
    ],
)
def test_next_cycle_starts_when_time_was_up_unless_noticed_a_second_late(
    core: Driver, noticed: int, late: int, starts: int
) -> None:
    game = Game(core, CYCLES).start()
    event = game.do("expire", at=noticed)
    assert event["payload"]["late_ms"] == late
    assert event["payload"]["expired_deadline_ms"] == START + 30_000
    assert game.alarm() == game.deadline() == starts + 30_000
    assert game.state()["cycle_elapsed_ms"] == noticed - starts


def test_a_thousand_cycles_of_thirty_seconds_end_after_thirty_thousand_seconds_sharp(core: Driver) -> None:
    game = Game(core, CYCLES).start()
    for number in range(1, 1001):
        event = game.do("expire", at=number * 30_000 + number % 7)
        assert event["payload"]["cycle_count"] == number
    assert event["payload"]["expired_deadline_ms"] == START + 30_000_000
    assert game.state()["time_used_ms"] == 30_000_000


@pytest.mark.parametrize(("at", "mark"), [(0, "too_fast"), (10, "too_fast"), (11, None)])
def test_a_switch_at_most_ten_ms_after_the_start_of_its_cycle_is_marked(
    core: Driver, at: int, mark: str | None
) -> None:
    game = Game(core, players(5000, 5000)).start()
    assert game.do("switch", at=at)["payload"].get("suspicious") == mark


def test_the_running_time_counts_for_the_mark_pauses_left_out(core: Driver) -> None:
    game = Game(core, players(5000, 5000)).start()
    game.do("pause", at=5)
    game.do("resume", at=4000)
    assert game.do("switch", at=4005)["payload"]["suspicious"] == "too_fast"


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("switch", []),
        ("switch", ["NEXT", P[0]]),
        ("pause", []),
        ("leave", [P[0]]),
        ("adjust", ["PARTICIPANT", P[0], "ADD", 5000]),
        ("expire", []),
    ],
)
def test_whoever_comes_when_time_is_up_performs_the_expiry(
    core: Driver, function: str, args: list[str | int]
) -> None:
    game = Game(core, players(5000, 5000, 5000, action_on_timeout=SKIP)).start()
    event = game.do(function, *args, at=5000)
    assert event["type"] == "TIME_EXPIRED"
    assert event["payload"]["event"] == "participant.expired"
    assert event["payload"]["reason"] == "timeout"
    assert event["payload"]["active_participant_id"] == P[1]
    assert [p["has_expired"] for p in game.state()["participants"]] == [True, False, False]


@pytest.mark.parametrize(
    ("function", "args"),
    [("switch", []), ("pause", []), ("leave", [P[0]]), ("adjust", ["PARTICIPANT", P[0], "ADD", 1])],
)
def test_a_millisecond_earlier_it_is_carried_out(core: Driver, function: str, args: list[str | int]) -> None:
    game = Game(core, players(5000, 5000, 5000, action_on_timeout=SKIP)).start()
    assert game.do(function, *args, at=4999)["type"] == "STATE_UPDATE"


@pytest.mark.parametrize("function", ["complete", "cancel"])
def test_complete_and_cancel_charge_the_budget_at_most_and_expire_what_is_used_up(
    core: Driver, function: str
) -> None:
    game = Game(core, players(5000, 5000, increment_ms=1000)).start()
    event = game.do(function, at=7000)
    assert event["payload"]["reason"] == "manual"
    person = game.person(0)
    assert (person["total_time_ms"], person["time_used_ms"], person["has_expired"]) == (0, 5000, True)
    assert (person["cycle_count"], person["time_remaining_ms"]) == (1, 0)


WINNERS: list[tuple[str, dict[str, Any], str | None]] = [
    ("one other", players(5000, 5000), P[1]),
    ("two others", players(5000, 5000, 5000), None),
    ("nobody else", players(5000), None),
    (
        "a bank that the session owns",
        {"sync_mode": "global", "participants": people(2), "total_time_ms": 5000},
        None,
    ),
    ("counting up", {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 5000}, None),
    (
        "a cycle's clock",
        {"sync_mode": "per_cycle", "participants": people(2), "time_per_cycle_ms": 5000},
        P[1],
    ),
]


@pytest.mark.parametrize(("config", "winner"), [w[1:] for w in WINNERS], ids=[w[0] for w in WINNERS])
def test_the_winner_is_the_only_other_one(core: Driver, config: dict[str, Any], winner: str | None) -> None:
    game = Game(core, config).start()
    payload = game.do("expire", at=5000)["payload"]
    assert payload["event"] == "session.expired"
    assert payload["action_applied"] == {"type": "end_session"} | (
        {} if winner is None else {"winner": winner}
    )


def test_a_team_without_members_does_not_count_for_the_winner(core: Driver) -> None:
    teams = [{"group_id": g, "total_time_ms": 5000} for g in G[:3]]
    who = [{"participant_id": P[i], "group_id": G[i]} for i in range(2)]
    game = Game(core, {"sync_mode": "per_group", "participants": who, "groups": teams}).start()
    payload = game.do("expire", at=5000)["payload"]
    assert payload["action_applied"] == {"type": "end_session", "winner": G[1]}
    assert payload["expired_group_id"] == G[0]


@pytest.mark.parametrize("action", ["skip_cycle", "auto_action"])
def test_a_session_bank_that_runs_out_ends_the_session_without_a_winner(core: Driver, action: str) -> None:
    config = {
        "sync_mode": "global",
        "participants": people(2),
        "total_time_ms": 5000,
        "action_on_timeout": {"type": action},
    }
    payload = Game(core, config).start().do("expire", at=5000)["payload"]
    assert (payload["event"], payload["action_applied"]) == ("session.expired", {"type": action})


def test_under_notify_a_clock_stands_until_it_is_given_time(core: Driver) -> None:
    game = Game(
        core, players(5000, 5000, increment_ms=1000, action_on_timeout=NOTIFY, warnings_ms=[1000])
    ).start()
    game.do("expire", at=4000)
    assert game.do("expire", at=5000)["payload"]["time_remaining_ms"] == 0
    assert game.alarm() is None
    assert game.raw("expire", at=6000) is None
    assert game.person(0)["cycle_count"] == 0
    adjusted = game.do("adjust", "PARTICIPANT", P[0], "ADD", 3000, at=7000)["payload"]
    assert (adjusted["time_remaining_ms"], adjusted["deadline_ms"]) == (3000, START + 10_000)
    assert adjusted["participants"][0]["has_expired"] is False
    assert game.alarm() == 10_000
    assert game.do("switch", at=8500)["payload"]["participants"][0]["total_time_ms"] == 2500
    person = game.person(0)
    assert (person["time_used_ms"], person["cycle_count"]) == (6500, 1)


def test_under_notify_a_clock_that_stood_through_its_cycle_is_neither_charged_nor_credited(
    core: Driver,
) -> None:
    game = Game(core, players(5000, 9000, increment_ms=1000, action_on_timeout=NOTIFY)).start()
    game.do("expire", at=5000)
    game.do("switch", at=6000)
    game.do("switch", at=7000)
    assert game.deadline() is None
    game.do("switch", at=9000)
    person = game.person(0)
    assert (person["total_time_ms"], person["time_used_ms"], person["cycle_count"]) == (0, 5000, 2)


def test_with_overtime_a_standing_clock_stands_below_zero(core: Driver) -> None:
    control = {"kind": "fischer", "overtime_ms": 2000}
    game = Game(core, players(5000, 5000, time_control=control, action_on_timeout=NOTIFY)).start()
    assert game.deadline() == 7000
    assert game.state(at=6000)["time_remaining_ms"] == -1000
    assert game.do("expire", at=7000)["payload"]["time_remaining_ms"] == -2000
    assert game.do("adjust", "PARTICIPANT", P[0], "SET", 500, at=8000)["payload"]["adjusted_ms"] == 2500
    assert game.deadline() == 10_500


def test_overtime_that_was_used_is_told_and_owed(core: Driver) -> None:
    control = {"kind": "fischer", "increment_ms": 500, "overtime_ms": 2000}
    game = Game(core, players(5000, 5000, time_control=control)).start()
    payload = game.do("switch", at=6000)["payload"]
    assert payload["overtime_used_ms"] == 1000
    assert game.person(0)["total_time_ms"] == -500
    game.do("switch", at=6100)
    assert game.deadline() == 7600


@pytest.mark.parametrize(
    ("at", "change", "bank", "deadline", "moved"),
    [
        (1000, ["SET", 4000], 4000, 7000, -6000),
        (5000, ["SET", 4000], 6000, 9000, -4000),
        (5000, ["ADD", 2500], 12_500, 15_500, 2500),
        (5000, ["ADD", -2500], 7500, 10_500, -2500),
        (5000, ["ADD", -60_000], 2000, 5000, -8000),
        (1000, ["ADD", -60_000], 0, 3000, -10_000),
        (5000, ["SET", 0], 2000, 5000, -8000),
        (1000, ["SET", 0], 0, 3000, -10_000),
    ],
)
def test_adjusting_a_running_clock_with_delay(
    core: Driver, at: int, change: list[str | int], *, bank: int, deadline: int, moved: int
) -> None:
    """10 s with a delay of 3 s: the bank is set to what it reads at this moment, the delay stays as it is."""
    control = {"kind": "delay", "delay_ms": 3000}
    game = Game(core, players(10_000, 10_000, time_control=control, action_on_timeout=SKIP)).start()
    payload = game.do("adjust", "PARTICIPANT", P[0], *change, at=at)["payload"]
    assert payload["adjusted_ms"] == moved
    assert game.person(0)["total_time_ms"] == bank
    assert game.deadline() == deadline
    if deadline == at:
        assert game.do("expire", at=at)["payload"]["expired_deadline_ms"] == START + at


def test_leaving_as_the_active_one_while_paused(core: Driver) -> None:
    game = Game(core, players(10_000, 8000, 6000)).start()
    game.do("pause", at=3000)
    payload = game.do("leave", P[0], at=4000)["payload"]
    assert (payload["status"], payload["active_participant_id"], payload["time_remaining_ms"]) == (
        "paused",
        P[1],
        8000,
    )
    state = game.state(at=5000)
    assert (state["cycle_elapsed_ms"], state["cycle_count"], state["time_used_ms"]) == (0, 1, 3000)
    game.do("resume", at=6000)
    assert game.deadline() == 14_000


@pytest.mark.parametrize("teams", [1, 2])
def test_who_leaves_in_the_grace_with_the_budget_used_up_leaves_a_team_that_is_out(
    core: Driver, teams: int
) -> None:
    who = [
        {"participant_id": P[i], "group_id": G[i % teams], "total_time_ms": 10_000} for i in range(2 * teams)
    ]
    config = {
        "sync_mode": "per_group",
        "participants": who,
        "lag_compensation": True,
        "action_on_timeout": SKIP,
    }
    game = Game(core, config).start()
    event = game.do("leave", P[0], at=20_100)
    if teams == 1:
        assert event["payload"]["status"] == "expired"
        return
    assert event["payload"]["active_participant_id"] == P[1]
    game.do("switch", at=21_000)
    assert game.state()["active_participant_id"] == P[3]


def test_a_team_between_the_one_who_leaves_and_its_own_team_keeps_its_turn(core: Driver) -> None:
    teams = [0, 1, 0, 2]
    who = [{"participant_id": P[i], "group_id": G[team]} for i, team in enumerate(teams)]
    groups = [{"group_id": G[team], "total_time_ms": 10_000} for team in range(3)]
    game = Game(core, {"sync_mode": "per_group", "participants": who, "groups": groups}).start()
    assert game.do("leave", P[0], at=100)["payload"]["active_participant_id"] == P[1]
    assert game.do("switch", at=200)["payload"]["active_participant_id"] == P[2]
    assert game.do("switch", at=300)["payload"]["active_participant_id"] == P[3]


def test_when_the_last_one_who_is_not_out_leaves_the_session_is_expired(core: Driver) -> None:
    game = Game(core, players(2000, 9000, action_on_timeout=SKIP)).start()
    game.do("expire", at=2000)
    payload = game.do("leave", P[1], at=3000)["payload"]
    assert (payload["status"], payload["removed_participant_id"]) == ("expired", P[1])
    assert game.state()["session_completed_at"] == "2027-01-15T08:00:03.000Z"
    assert game.alarm() is None


def test_the_last_participant_cannot_leave(core: Driver) -> None:
    game = Game(core, players(2000)).start()
    with pytest.raises(RefusedError) as refused:
        game.do("leave", P[0], at=1000)
    assert refused.value.code == "VALIDATION_ERROR"


def test_warnings_come_highest_first_one_a_call_and_an_expiry_swallows_the_rest(core: Driver) -> None:
    game = Game(core, players(10_000, 10_000, warnings_ms=[1000, 8000, 3000], action_on_timeout=SKIP)).start()
    assert game.alarm() == 2000
    assert game.do("expire", at=7500)["payload"]["warning_ms"] == 8000
    assert game.alarm() == 7000
    assert game.do("expire", at=7500)["payload"]["warning_ms"] == 3000
    assert game.raw("expire", at=7500) is None
    assert game.do("expire", at=10_000)["payload"]["event"] == "participant.expired"


@pytest.mark.parametrize(
    ("at", "change", "alarm"),
    [
        (1000, ["SET", 2500], 2500),  # 3000 lies above what is left now: not warned of; the next is 1000
        (7500, ["ADD", 5000], 14_000),  # 3000 was sent in this cycle: not again
        (6000, ["ADD", 1000], 8000),  # not yet sent: at its new time
        (7000, ["ADD", -1000], 8000),  # due, but not sent: an adjust below it drops it
    ],
)
def test_warnings_after_an_adjust(core: Driver, at: int, change: list[str | int], alarm: int) -> None:
    game = Game(core, players(10_000, 10_000, warnings_ms=[3000, 1000])).start()
    if at == 7500:
        game.do("expire", at=7000)
    game.do("adjust", "PARTICIPANT", P[0], *change, at=at)
    assert game.alarm() == alarm


@pytest.mark.parametrize(
    ("at", "within", "applied"),
    [(7000, 3000, False), (7001, 3000, True), (7000, 3001, True), (0, 10_000, False)],
)
def test_within_applies_only_when_less_is_left(core: Driver, at: int, within: int, applied: bool) -> None:
    game = Game(core, {"sync_mode": "global", "participants": people(1), "total_time_ms": 10_000}).start()
    before = core.snapshot()
    answer = game.raw("adjust", "ADD", 500, "WITHIN", within, at=at)
    assert (answer is not None) is applied
    assert (core.snapshot() == before) is not applied
    assert game.alarm() == (10_500 if applied else 10_000)


def test_counting_up_shows_its_new_maximum(core: Driver) -> None:
    game = Game(core, {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 10_000}).start()
    game.do("switch", at=4000)
    game.do("adjust", "SET", 2000, at=5000)
    assert (game.deadline(), game.state()["max_time_ms"]) == (7000, 7000)
    game.do("adjust", "ADD", 1500, at=6000)
    assert (game.deadline(), game.state()["max_time_ms"]) == (8500, 8500)


@pytest.mark.parametrize("bank", [1000, 2000, 7000])
@pytest.mark.parametrize("delay", [0, 500, 3000])
def test_delay_from_a_bank_and_bronstein_from_that_bank_and_the_delay_are_the_same_game(
    core: Driver, bank: int, delay: int
) -> None:
    moves = [100, 600, 2900, 3100, 400, 5000, 1, 1]
    seen: list[list[Any]] = []
    for kind, own in (("delay", bank), ("bronstein", bank + delay)):
        core.run("FLUSHALL")
        control = {"kind": kind, "delay_ms": delay}
        game = Game(core, players(own, own, time_control=control)).start(at=0)
        now, trail = 0, list[Any]()
        for move in moves:
            now += move
            try:
                payload = game.do("switch", at=now)["payload"]
            except RefusedError as refused:
                trail.append(refused.code)
                break
            trail.append((payload["event"], payload["deadline_ms"], payload["time_remaining_ms"]))
        seen.append(trail)
    assert seen[0] == seen[1]


def test_time_never_runs_backwards_inside_a_session(core: Driver) -> None:
    game = Game(core, players(10_000, 10_000)).start(at=5000)
    assert game.state(at=1000)["server_time_ms"] == START + 5000
    event = game.do("switch", at=2000)
    assert event["server_time_ms"] == START + 5000
    assert game.deadline() == 15_000


LAG = [
    # bank, increment, G; the quota starts at 3 G and grace is the quota, at most 2,000
    (60_000, 0, 390),
    (1000, 0, 150),
    (2499, 0, 150),
    (2500, 0, 160),
    (60_000, 2000, 710),
    (600_000, 0, 1000),
]


@pytest.mark.parametrize(("bank", "increment", "gain"), LAG)
def test_the_lag_quota_and_its_grace(core: Driver, bank: int, increment: int, gain: int) -> None:
    game = Game(core, players(bank, bank, increment_ms=increment, lag_compensation=True)).start()
    assert game.person(0)["clock"] == {"quota_ms": 3 * gain}
    assert game.alarm() == bank + min(3 * gain, 2000)


def test_a_switch_credits_lag_and_the_quota_grows_back_to_seven_times_its_gain(core: Driver) -> None:
    game = Game(core, players(600_000, 600_000, lag_compensation=True)).start()
    quotas, now = [], 0
    for lag in (500, 2500, 2500, 0, 0, 0, 0, 0, 0, 0):
        now += 3000
        game.do("switch", "LAG", lag, at=now)
        quotas.append(game.person(0)["clock"]["quota_ms"])
        now += 1000
        game.do("switch", at=now)
    assert quotas == [3500, 2000, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 7000]


@pytest.mark.parametrize(
    ("at", "lag", "event", "late"),
    [
        (60_000, 1, "cycle.switched", None),
        (60_000, 0, "participant.expired", 0),
        (61_169, 1170, "cycle.switched", None),
        (61_169, 1169, "participant.expired", 0),
        (61_170, 1170, "participant.expired", 0),
        (61_171, 5000, "participant.expired", 1),
    ],
)
def test_within_the_grace_a_lag_credit_saves_the_switch(
    core: Driver, at: int, lag: int, event: str, late: int | None
) -> None:
    """60 s have a quota of 1,170 ms: that long after the deadline a switch may still have been in time."""
    config = players(60_000, 60_000, lag_compensation=True, action_on_timeout=SKIP)
    payload = Game(core, config).start().do("switch", "LAG", lag, at=at)["payload"]
    assert (payload["event"], payload.get("late_ms")) == (event, late)
    if late is not None:
        assert payload["deadline_ms"] == START + min(at, 61_170) + 60_000


def test_only_a_switch_touches_the_quota(core: Driver) -> None:
    game = Game(
        core, players(60_000, 60_000, 60_000, lag_compensation=True, action_on_timeout=NOTIFY)
    ).start()
    game.do("pause", at=100)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 5, at=200)
    game.do("resume", at=300)
    game.do("leave", P[2], at=400)
    assert game.raw("expire", at=60_205 + 1169) is None
    game.do("expire", at=60_205 + 1170)
    game.do("switch", "LAG", 100, at=70_000)
    assert [p["clock"]["quota_ms"] for p in game.state()["participants"]] == [1170, 1170]
