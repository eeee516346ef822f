"""`starts_at_ms`, `ends_at_ms`: a session starts and ends by itself, at the millisecond, whoever notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import SESSION, START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

DAY = 86_400_000
YEAR = 366 * DAY


def scheduled(core: Driver, *, starts: int | None = None, ends: int | None = None, **config: Any) -> Game:
    """A game of three with 60 s each; times are ms since it was created."""
    times = {"starts_at_ms": starts, "ends_at_ms": ends}
    set_at = {name: None if time is None else START + time for name, time in times.items()}
    return Game(core, players(60_000, 60_000, 60_000, **set_at, **config))


def schedule(game: Game, at: int, **times: int | None) -> dict[str, Any]:
    """The payload of `sk_schedule`; None stands for `none`."""
    args = [
        part
        for name, time in times.items()
        for part in (name.upper(), "none" if time is None else str(START + time))
    ]
    payload: dict[str, Any] = game.do("schedule", *args, at=at)["payload"]
    return payload


def shown(game: Game, at: int | None = None) -> tuple[int | None, int | None]:
    """The start and the end in the state, as ms since the session was created."""
    state = game.state(at)
    starts, ends = (state[name] for name in ("starts_at_ms", "ends_at_ms"))
    return (None if starts is None else starts - START, None if ends is None else ends - START)


# The start.


def test_a_start_is_an_alarm_of_a_pending_session(core: Driver) -> None:
    game = scheduled(core, starts=10_000, ends=50_000)
    assert game.alarm() == 10_000
    assert shown(game) == (10_000, 50_000)
    [event] = [json.loads(e) for e in game.raw("log", 0)]
    times = [event["payload"][name] - START for name in ("starts_at_ms", "ends_at_ms")]
    assert times == [10_000, 50_000]
    assert game.raw("expire", at=9999) is None
    payload = game.do("expire", at=10_000)["payload"]
    assert (payload["event"], payload["reason"], payload["late_ms"]) == ("session.started", "auto", 0)
    assert "starts_at_ms" not in payload
    assert shown(game) == (None, 50_000)
    assert (game.deadline(), game.alarm()) == (70_000, 50_000)


@pytest.mark.parametrize(("at", "late", "begins"), [(11_000, 1000, 10_000), (11_001, 1001, 11_001)])
def test_the_first_cycle_begins_when_the_start_was_due_unless_noticed_a_second_late(
    core: Driver, at: int, late: int, begins: int
) -> None:
    game = scheduled(core, starts=10_000)
    event = game.do("expire", at=at)
    assert event["payload"]["late_ms"] == late
    state = game.state()
    assert state["deadline_ms"] == START + begins + 60_000
    assert state["session_started_at"] == state["cycle_started_at"] == event["payload"]["cycle_started_at"]


def test_starting_earlier_by_hand_clears_the_start(core: Driver) -> None:
    game = scheduled(core, starts=10_000)
    payload = game.do("start", at=4000)["payload"]
    assert (payload["reason"], shown(game), game.alarm()) == ("manual", (None, None), 64_000)
    assert game.raw("expire", at=10_000) is None


FIRST: list[tuple[str, list[str | int]]] = [
    ("start", []),
    ("switch", []),
    ("switch", ["NEXT", P[2]]),
    ("switch", ["CURRENT", P[1]]),
    ("switch", ["PLAYER", P[1]]),
    ("pause", []),
    ("resume", []),
    ("schedule", ["ENDS", START + DAY]),
    ("leave", [P[1]]),
    ("adjust", ["PARTICIPANT", P[1], "ADD", 1000]),
]


@pytest.mark.parametrize(("function", "args"), FIRST)
def test_whoever_comes_when_the_start_is_due_starts_it(
    core: Driver, function: str, args: list[str | int]
) -> None:
    game = scheduled(core, starts=10_000, active_participant_id=P[1])
    event = game.do(function, *args, at=10_300)
    assert (event["payload"]["event"], event["payload"]["reason"]) == ("session.started", "auto")
    assert event["payload"]["active_participant_id"] == P[1]
    assert game.deadline() == 70_000


@pytest.mark.parametrize("function", ["switch", "pause", "resume"])
def test_before_that_it_is_pending(core: Driver, function: str) -> None:
    game = scheduled(core, starts=10_000)
    with pytest.raises(RefusedError) as refused:
        game.do(function, at=9999)
    assert refused.value.code == "INVALID_SESSION_STATE"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["CURRENT", P[1]], "CONCURRENT_MODIFICATION"),
        (["NEXT", P[9]], "PARTICIPANT_NOT_FOUND"),
        (["PLAYER", P[1]], "FORBIDDEN"),
    ],
)
def test_wrong_options_are_refused_before_the_start(core: Driver, args: list[str | int], code: str) -> None:
    game = scheduled(core, starts=10_000)
    with pytest.raises(RefusedError) as refused:
        game.do("switch", *args, at=10_500)
    assert refused.value.code == code
    assert (game.state()["status"], game.alarm()) == ("pending", 10_000)


@pytest.mark.parametrize(
    ("function", "args", "event"),
    [
        ("join", [f'{{"participant_id":"{P[5]}","total_time_ms":1000}}'], "participant.added"),
        ("leave", [P[2]], "participant.removed"),
        ("adjust", ["PARTICIPANT", P[1], "ADD", 1000], "time.adjusted"),
        ("complete", [], "session.completed"),
        ("cancel", [], "session.cancelled"),
    ],
)
def test_what_does_not_concern_the_cycle_is_carried_out(
    core: Driver, function: str, args: list[str | int], event: str
) -> None:
    game = scheduled(core, starts=10_000)
    assert game.do(function, *args, at=10_300)["payload"]["event"] == event
    over = function in ("complete", "cancel")
    assert game.alarm() == (None if over else 10_000)
    assert shown(game) == (None if over else 10_000, None)


def test_warnings_count_from_the_start_that_was_set(core: Driver) -> None:
    game = scheduled(core, starts=10_000, warnings_ms=[59_500])
    game.do("expire", at=10_700)
    assert game.alarm() == 10_500
    assert game.do("expire", at=10_700)["payload"]["warning_ms"] == 59_500


# The end.


@pytest.mark.parametrize("late", [0, 20, 5000])
def test_a_running_cycle_is_charged_up_to_the_end(core: Driver, late: int) -> None:
    game = scheduled(core, ends=30_000, increment_ms=5000).start()
    game.do("switch", at=10_000)
    assert (game.alarm(), game.deadline()) == (30_000, 70_000)
    assert game.raw("expire", at=29_999) is None
    payload = game.do("expire", at=30_000 + late)["payload"]
    assert (payload["event"], payload["reason"], payload["late_ms"]) == ("session.completed", "auto", late)
    assert "expired_participant_id" not in payload
    state = game.state()
    assert (state["status"], state["time_used_ms"], state["cycle_count"]) == ("completed", 30_000, 2)
    assert state["session_completed_at"] == "2027-01-15T08:00:30.000Z"
    assert [p["total_time_ms"] for p in state["participants"]] == [55_000, 40_000, 60_000]
    assert (shown(game), game.alarm()) == ((None, None), None)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("switch", []),
        ("switch", ["NEXT", P[2]]),
        ("pause", []),
        ("resume", []),
        ("leave", [P[0]]),
        ("adjust", ["PARTICIPANT", P[0], "ADD", 1000]),
        ("schedule", ["ENDS", "none"]),
        ("schedule", ["ENDS", START + DAY]),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_whoever_comes_when_the_end_is_due_ends_it(
    core: Driver, function: str, args: list[str | int], *, paused: bool
) -> None:
    game = scheduled(core, ends=30_000).start()
    if paused:
        game.do("pause", at=20_000)
        assert game.alarm() == 30_000
    payload = game.do(function, *args, at=30_400)["payload"]
    assert (payload["event"], payload["reason"]) == ("session.completed", "auto")
    assert game.state()["time_used_ms"] == (20_000 if paused else 30_000)


@pytest.mark.parametrize(
    ("function", "args", "event"),
    [
        ("complete", [], "session.completed"),
        ("cancel", [], "session.cancelled"),
        ("leave", [P[1]], "participant.removed"),
        ("adjust", ["PARTICIPANT", P[1], "ADD", 1000], "time.adjusted"),
        ("join", [f'{{"participant_id":"{P[5]}","total_time_ms":1000}}'], "participant.added"),
    ],
)
def test_what_ends_it_otherwise_or_concerns_others_is_carried_out(
    core: Driver, function: str, args: list[str | int], event: str
) -> None:
    game = scheduled(core, ends=30_000).start()
    payload = game.do(function, *args, at=30_400)["payload"]
    assert payload["event"] == event
    assert payload["reason"] == "manual"
    over = function in ("complete", "cancel")
    assert game.state()["time_used_ms"] == (30_400 if over else 0)
    if not over:
        assert game.do("expire", at=31_000)["payload"]["event"] == "session.completed"
        assert game.state()["time_used_ms"] == 30_000


def test_a_session_that_never_started_ends_too(core: Driver) -> None:
    game = scheduled(core, ends=30_000)
    assert game.alarm() == 30_000
    payload = game.do("switch", at=30_100)["payload"]
    assert (payload["event"], payload["cycle_count"]) == ("session.completed", 0)
    state = game.state()
    assert (state["session_started_at"], state["time_used_ms"]) == (None, 0)


def test_a_clock_that_stands_under_notify_is_charged_nothing_more(core: Driver) -> None:
    game = scheduled(core, ends=90_000, action_on_timeout={"type": "notify"}).start()
    game.do("expire", at=60_000)
    assert (game.deadline(), game.alarm()) == (None, 90_000)
    game.do("expire", at=90_000)
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"]) == (60_000, 1)


def test_an_hourglass_gives_nobody_the_last_cycle(core: Driver) -> None:
    game = scheduled(core, ends=30_000, time_control={"kind": "hourglass"}).start()
    game.do("expire", at=30_000)
    assert [p["total_time_ms"] for p in game.state()["participants"]] == [30_000, 60_000, 60_000]


@pytest.mark.parametrize("mode", ["per_group", "per_cycle", "global", "count_up"])
def test_in_every_mode(core: Driver, mode: str) -> None:
    config = {
        "sync_mode": mode,
        "participants": people(2, group_id=G[0]),
        "groups": [{"group_id": G[0], "total_time_ms": 60_000}],
        "total_time_ms": None if mode == "count_up" else 60_000,
        "time_per_cycle_ms": None if mode == "per_group" else 40_000,
        "starts_at_ms": START + 5000,
        "ends_at_ms": START + 30_000,
    }
    game = Game(core, {name: value for name, value in config.items() if value is not None})
    assert game.do("expire", at=5500)["payload"]["event"] == "session.started"
    assert game.alarm() == 30_000
    assert game.do("expire", at=30_500)["payload"]["event"] == "session.completed"
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"]) == (25_000, 1)


# Several things at once.


@pytest.mark.parametrize(
    ("ends", "first"),
    [(60_000, "session.completed"), (60_001, "session.expired"), (59_999, "session.completed")],
)
def test_the_earlier_of_clock_and_end_counts_and_at_a_tie_the_end(
    core: Driver, ends: int, first: str
) -> None:
    game = scheduled(core, ends=ends).start()
    assert game.deadline() == 60_000
    assert game.alarm() == min(ends, 60_000)
    assert game.do("expire", at=60_100)["payload"]["event"] == first
    assert game.person(0)["has_expired"] == (ends >= 60_000)


def test_timeouts_that_came_before_the_end_come_first(core: Driver) -> None:
    config = {
        "sync_mode": "per_cycle",
        "participants": people(2),
        "time_per_cycle_ms": 10_000,
        "auto_advance": True,
        "ends_at_ms": START + 20_000,
    }
    game = Game(core, config).start()
    payload = game.do("expire", at=25_000)["payload"]
    assert (payload["event"], payload["expired_deadline_ms"]) == ("participant.expired", START + 10_000)
    payload = game.do("expire", at=25_000)["payload"]
    assert (payload["event"], payload["late_ms"]) == ("session.completed", 5000)
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"]) == (10_000, 2)
    assert state["session_completed_at"] == "2027-01-15T08:00:20.000Z"


def test_the_end_of_the_grace_is_what_counts(core: Driver) -> None:
    """Without lag the grace of this clock is 1,230 ms: until then it may still move."""
    game = scheduled(core, ends=60_500, lag_compensation=True).start()
    assert game.do("expire", at=62_000)["payload"]["event"] == "session.completed"
    assert game.person(0)["time_used_ms"] == 60_000


def test_a_start_and_an_end_that_both_passed_come_in_their_order(core: Driver) -> None:
    game = scheduled(core, starts=10_000, ends=20_000)
    payload = game.do("expire", at=25_000)["payload"]
    assert (payload["event"], payload["late_ms"]) == ("session.started", 15_000)
    assert game.do("expire", at=25_000)["payload"]["event"] == "session.completed"
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"]) == (0, 1)


@pytest.mark.parametrize(
    ("ends", "first"),
    [(15_000, "session.completed"), (15_001, "session.resumed"), (14_000, "session.completed")],
)
def test_the_earlier_of_pause_and_end_counts_and_at_a_tie_the_end(
    core: Driver, ends: int, first: str
) -> None:
    game = scheduled(core, ends=ends, max_pause_ms=5000).start()
    game.do("pause", at=10_000)
    assert game.alarm() == min(ends, 15_000)
    assert game.state()["resumes_at_ms"] == START + 15_000
    assert game.do("expire", at=15_100)["payload"]["event"] == first


@pytest.mark.parametrize(("at", "used"), [(15_500, 15_000), (25_000, 10_000)])
def test_a_pause_that_was_over_before_the_end_was_noticed(core: Driver, at: int, used: int) -> None:
    """Paused at 10 s, over at 15 s, the end at 20 s. Noticed late, nobody is charged for the silence."""
    game = scheduled(core, ends=20_000, max_pause_ms=5000).start()
    game.do("pause", at=10_000)
    assert game.do("expire", at=at)["payload"]["event"] == "session.resumed"
    game.do("expire", at=max(at, 20_000))
    assert game.state()["time_used_ms"] == used


def test_a_warning_comes_before_the_end_and_not_after_it(core: Driver) -> None:
    game = scheduled(core, ends=30_000, warnings_ms=[40_000, 30_000, 20_000]).start()
    assert game.alarm() == 20_000
    assert game.do("expire", at=20_000)["payload"]["warning_ms"] == 40_000
    assert game.alarm() == 30_000
    assert game.do("expire", at=30_000)["payload"]["event"] == "session.completed"


# sk_schedule.


def test_both_are_set_moved_and_taken_back(core: Driver) -> None:
    game = scheduled(core)
    payload = schedule(game, 0, starts=10_000)
    assert (payload["event"], payload["starts_at_ms"]) == ("session.scheduled", START + 10_000)
    assert "ends_at_ms" not in payload
    schedule(game, 0, ends=50_000)
    assert (shown(game), game.alarm()) == ((10_000, 50_000), 10_000)
    payload = schedule(game, 0, starts=None)
    assert ("starts_at_ms" in payload, payload["ends_at_ms"]) == (False, START + 50_000)
    assert (shown(game), game.alarm()) == ((None, 50_000), 50_000)
    schedule(game, 0, starts=None, ends=None)
    assert (shown(game), game.alarm()) == ((None, None), None)
    assert "@" not in core.run("HGET", game.keys.session, "cycle").decode()


def test_the_end_of_a_session_under_way_is_moved(core: Driver) -> None:
    game = scheduled(core, ends=30_000).start()
    game.do("switch", at=10_000)
    payload = schedule(game, 20_000, ends=80_000)
    assert (payload["deadline_ms"], payload["time_remaining_ms"]) == (START + 70_000, 50_000)
    assert (payload["status"], payload["active_participant_id"]) == ("running", P[1])
    assert game.alarm() == 70_000
    schedule(game, 20_000, ends=20_001)
    assert game.alarm() == 20_001
    schedule(game, 20_000, ends=None)
    assert (game.alarm(), shown(game)) == (70_000, (None, None))


def test_it_can_be_set_in_a_pause_that_ends_by_itself(core: Driver) -> None:
    game = scheduled(core, max_pause_ms=5000).start()
    game.do("pause", at=10_000)
    payload = schedule(game, 11_000, ends=40_000)
    assert payload["resumes_at_ms"] == START + 15_000
    assert game.alarm() == 15_000
    schedule(game, 11_000, ends=12_000)
    assert game.alarm() == 12_000
    schedule(game, 11_000, ends=None)
    assert game.alarm() == 15_000
    assert game.do("expire", at=15_000)["payload"]["event"] == "session.resumed"


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ([], "STARTS"),
        (["STARTS", START + 5000], "STARTS"),
        (["ENDS", START + 5000], "ENDS"),
        (["ENDS", START + 4999], "ENDS"),
        (["ENDS", 0], "ENDS"),
        (["ENDS", START + 5000 + YEAR + 1], "ENDS"),
        (["STARTS", "soon"], "STARTS"),
        (["STARTS", -1], "STARTS"),
        (["ENDS", "1e15"], "ENDS"),
        (["STARTS", START + 20_000, "ENDS", START + 20_000], "ENDS"),
        (["ENDS", START + 10_000], "ENDS"),
        (["STARTS", START + 50_000], "STARTS"),
    ],
)
def test_what_is_refused_names_the_option(core: Driver, args: list[str | int], field: str) -> None:
    game = scheduled(core, starts=10_000, ends=50_000)
    with pytest.raises(RefusedError) as refused:
        game.do("schedule", *args, at=5000)
    assert refused.value.code == "VALIDATION_ERROR"
    assert refused.value.answer.fields == [field]
    assert shown(game) == (10_000, 50_000)


def test_the_farthest_is_366_days_ahead(core: Driver) -> None:
    game = scheduled(core, starts=YEAR - 1, ends=YEAR)
    schedule(game, 1000, ends=1000 + YEAR)
    assert shown(game) == (YEAR - 1, 1000 + YEAR)


def test_a_session_starts_once(core: Driver) -> None:
    game = scheduled(core).start()
    with pytest.raises(RefusedError) as refused:
        schedule(game, 0, starts=10_000)
    assert (refused.value.code, refused.value.answer.context) == (
        "INVALID_SESSION_STATE",
        {"status": "running"},
    )
    assert schedule(game, 0, starts=None)["event"] == "session.scheduled"


def test_a_finished_session_has_no_schedule(core: Driver) -> None:
    game = scheduled(core).start()
    game.do("cancel", at=1000)
    for times in ({"ends": 9000}, {"ends": None}, {"starts": 9000}):
        with pytest.raises(RefusedError) as refused:
            schedule(game, 2000, **times)
        assert refused.value.code == "INVALID_SESSION_STATE"


@pytest.mark.parametrize("function", ["cancel", "complete"])
def test_what_is_still_ahead_of_a_finished_session_stays_until_it_comes(core: Driver, function: str) -> None:
    game = scheduled(core, starts=10_000, ends=50_000)
    game.do(function, at=1000)
    assert game.alarm() is None
    assert shown(game, at=9999) == (10_000, 50_000)
    assert shown(game, at=10_000) == (None, 50_000)
    assert shown(game, at=50_000) == (None, None)
    assert game.raw("expire", at=50_000) is None


def test_a_repeat_after_its_time_has_come_gets_the_first_change(core: Driver) -> None:
    game = scheduled(core)
    args: list[str | int] = ["ENDS", START + 10_000, "REQUEST", "r1"]
    first = game.do("schedule", *args, at=0)
    assert game.do("schedule", *args, at=20_000) == first | {"replayed": True}


def test_a_repeated_create_after_its_start_has_come_gets_the_state(core: Driver) -> None:
    config = players(60_000, 60_000, starts_at_ms=START + 10_000)
    Game(core, config, "REQUEST", "r1")
    repeated = Game(core, config, "REQUEST", "r1", at=10_500)
    assert repeated.created["replayed"] is True
    assert repeated.created["status"] == "pending"
    with pytest.raises(RefusedError) as refused:
        Game(core, config, "REQUEST", "r2", at=10_500)
    assert refused.value.code == "SESSION_EXISTS"
    with pytest.raises(RefusedError) as refused:
        Game(core, config, at=10_500)
    assert refused.value.answer.fields == ["starts_at_ms"]


# The config.


@pytest.mark.parametrize("name", ["starts_at_ms", "ends_at_ms"])
@pytest.mark.parametrize("value", [START, START - 1, 0, -1, START + YEAR + 1, START + 0.5, "soon", True])
def test_both_have_to_be_ahead_at_create(core: Driver, name: str, value: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, players(60_000, 60_000, **{name: value}))
    assert (refused.value.code, refused.value.answer.fields) == ("VALIDATION_ERROR", [name])


@pytest.mark.parametrize("ends", [9999, 10_000])
def test_the_end_comes_after_the_start(core: Driver, ends: int) -> None:
    with pytest.raises(RefusedError) as refused:
        scheduled(core, starts=10_000, ends=ends)
    assert refused.value.answer.fields == ["ends_at_ms"]


def test_a_session_without_both_shows_null_and_weighs_nothing_more(core: Driver) -> None:
    game = scheduled(core)
    assert shown(game) == (None, None)
    assert core.run("HGET", game.keys.session, "cycle").split() == b"-1 0 0 0 0 1800000000000".split()


# How long it lives.


@pytest.mark.parametrize(
    ("config", "life"),
    [
        ({}, DAY),
        ({"starts": DAY - 1000}, DAY + 3_599_000),
        ({"starts": 10_000}, DAY),
        ({"starts": 3 * DAY, "ends": 9 * DAY}, 3 * DAY + 3_600_000),
        ({"ends": 9 * DAY}, 9 * DAY + 3_600_000),
    ],
)
def test_a_pending_session_lives_past_its_next_alarm(core: Driver, config: Any, life: int) -> None:
    game = scheduled(core, **config)
    for key in (game.keys.session, game.keys.log):
        assert life - 10_000 < core.run("PTTL", key) <= life


def test_a_session_without_a_deadline_lives_past_its_end(core: Driver) -> None:
    game = Game(
        core,
        {"sync_mode": "count_up", "participants": people(2), "ends_at_ms": START + 5 * DAY},
    ).start()
    assert core.run("PTTL", game.keys.session) > 5 * DAY + 3_590_000
    game.do("expire", at=5 * DAY)
    assert core.run("PTTL", game.keys.session) <= 3_600_000


# Restored, and on another server.


def lose_and_restore(core: Driver, game: Game, exported: bytes, at: int) -> None:
    core.run("DEL", game.keys.session)
    core.run("DEL", game.keys.log)
    core.run("DEL", game.keys.alarms)
    answer = core.call("restore", game.session, [exported.decode()], START + at)
    assert answer.code is None, answer.text


def test_a_restored_session_keeps_the_moments_of_its_schedule(core: Driver) -> None:
    game = scheduled(core, starts=60_000, ends=90_000)
    lose_and_restore(core, game, game.raw("get", "EXPORT", at=5000), 40_000)
    assert (shown(game), game.alarm()) == ((60_000, 90_000), 60_000)
    assert game.do("expire", at=60_000)["payload"]["event"] == "session.started"
    lose_and_restore(core, game, game.raw("get", "EXPORT", at=65_000), 80_000)
    assert (game.deadline(), game.alarm()) == (135_000, 90_000)
    game.do("expire", at=90_000)
    assert game.state()["time_used_ms"] == 15_000


def test_a_start_that_passed_in_the_outage_is_carried_out_at_once(core: Driver) -> None:
    game = scheduled(core, starts=10_000)
    lose_and_restore(core, game, game.raw("get", "EXPORT", at=5000), 40_000)
    assert game.alarm() == 10_000
    assert game.do("expire", at=40_010)["payload"]["late_ms"] == 30_010
    assert game.deadline() == 100_010


@pytest.mark.parametrize("paused", [False, True])
def test_an_end_that_passed_in_the_outage_charges_nobody_for_it(core: Driver, *, paused: bool) -> None:
    game = scheduled(core, ends=20_000, max_pause_ms=3000).start()
    if paused:
        game.do("pause", at=18_000)
    lose_and_restore(core, game, game.raw("get", "EXPORT", at=18_500), 40_000)
    assert game.alarm() == 20_000
    payload = game.do("expire", at=40_010)["payload"]
    assert (payload["event"], payload["late_ms"]) == ("session.completed", 20_010)
    state = game.state()
    assert state["time_used_ms"] == (18_000 if paused else 18_500)
    assert state["session_completed_at"] == "2027-01-15T08:00:20.000Z"


def test_a_finished_session_is_restored_with_what_is_ahead(core: Driver) -> None:
    game = scheduled(core, starts=60_000, ends=90_000)
    game.do("cancel", at=1000)
    lose_and_restore(core, game, game.raw("get", "EXPORT", at=70_000), 75_000)
    assert (shown(game), game.alarm()) == ((None, 90_000), None)


@pytest.mark.parametrize(
    "part",
    [
        " @0 0",
        " @1800000010000 1800000010000",
        " @1800000020000 1800000010000",
        " @01 0",
        " @1 -1",
        " @1800000010000",
        " @1800000010000 0 ",
        " @1800000010000 0 @1800000010000 0",
        " @1800000010000 0 ^-1 -1 0 0",
        " @1800000010000 0 ^-1 -1 0 1800000015000",
        " @1800000010000 0 #0",
        " ^-1 -1 0 0",
        " #5",
    ],
)
def test_a_damaged_schedule_is_not_restored(core: Driver, part: str) -> None:
    game = scheduled(core, starts=10_000)
    exported = json.loads(game.raw("get", "EXPORT", at=5000))
    fields = exported["internal"]["fields"]
    whole, _, _ = fields["cycle"].partition(" @")
    for text, code in ((f"{whole}{part}", "VALIDATION_ERROR"), (f"{whole} @1800000010000 0", None)):
        fields["cycle"] = text
        core.run("DEL", game.keys.session)
        assert core.call("restore", SESSION, [json.dumps(exported)]).code == code


def test_a_running_session_has_no_start(core: Driver) -> None:
    game = scheduled(core, ends=30_000).start()
    exported = json.loads(game.raw("get", "EXPORT", at=5000))
    fields = exported["internal"]["fields"]
    fields["cycle"] = fields["cycle"].replace("@0 ", "@1800000010000 ")
    core.run("DEL", game.keys.session)
    assert core.call("restore", SESSION, [json.dumps(exported)]).code == "VALIDATION_ERROR"


def test_it_moves_to_another_server_by_the_calendar(core: Driver) -> None:
    """The other server's clock is 90 s ahead: there the start comes 90 s sooner, and the pause goes on."""
    game = scheduled(core, starts=200_000, ends=300_000)
    move(core, game, 11_000, shift=90_000)
    assert (shown(game), game.alarm()) == ((200_000, 300_000), 200_000)
    game.do("expire", at=200_000)
    move(core, game, 210_000, shift=90_000)
    assert (shown(game), game.alarm()) == ((None, 300_000), 300_000)
    game.do("expire", at=300_010)
    assert game.state()["time_used_ms"] == 10_000


def move(core: Driver, game: Game, at: int, *, shift: int) -> None:
    """Move the session to a server whose clock is `shift` ms ahead: the same one, emptied."""
    name = f"m{at}"
    moved, *events = game.raw("move_out", "MOVE", name, "TARGET", "there", "LEASE", "60000", at=at)
    assert game.alarm() == at + 60_000
    change = game.raw("move_commit", "MOVE", name, at=at)
    for key in game.keys.all:
        core.run("DEL", key)
    options = ["MOVE", name, "TARGET", "there", "SHIFT", str(shift)]
    game.raw("move_in", moved.decode(), b"\n".join(events).decode(), *options, at=at + shift)
    assert game.raw("move_activate", change.decode(), "MOVE", name, at=at + shift) == 1
    assert game.state()["server_time_ms"] == START + at + shift
