"""`max_pause_ms`, `max_total_pause_ms`, `max_pauses`: a paused session goes on by itself, at the millisecond,
whoever notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, Game, P, RefusedError, people, players
from tests.model.driver import Driver

DAY = 86_400_000


def paused(core: Driver, **config: Any) -> Game:
    """A game of two with 60 s each, paused at 10 s for 5 s at most."""
    game = Game(core, players(60_000, 60_000, 60_000, max_pause_ms=5000, **config)).start()
    game.do("pause", at=10_000)
    return game


def test_a_pause_ends_by_itself(core: Driver) -> None:
    game = paused(core)
    assert game.alarm() == 15_000
    state = game.state(at=12_000)
    assert (state["max_pause_ms"], state["resumes_at_ms"]) == (5000, START + 15_000)
    assert game.raw("expire", at=14_999) is None
    event = game.do("expire", at=15_000)
    assert (event["type"], event["payload"]["event"]) == ("STATE_UPDATE", "session.resumed")
    assert (event["payload"]["reason"], event["payload"]["late_ms"]) == ("auto", 0)
    assert "resumes_at_ms" not in event["payload"]
    assert (game.deadline(), game.alarm()) == (65_000, 65_000)
    assert game.state()["resumes_at_ms"] is None


@pytest.mark.parametrize(("at", "late", "deadline"), [(16_000, 1000, 65_000), (16_001, 1001, 66_001)])
def test_it_goes_on_from_the_moment_that_was_due_unless_noticed_a_second_late(
    core: Driver, at: int, late: int, deadline: int
) -> None:
    game = paused(core)
    assert game.do("expire", at=at)["payload"]["late_ms"] == late
    assert game.deadline() == deadline


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("switch", []),
        ("switch", ["NEXT", P[2]]),
        ("pause", []),
        ("resume", []),
        ("leave", [P[0]]),
        ("adjust", ["PARTICIPANT", P[0], "ADD", 1000]),
    ],
)
def test_whoever_comes_when_the_pause_is_over_ends_it(
    core: Driver, function: str, args: list[str | int]
) -> None:
    game = paused(core)
    event = game.do(function, *args, at=15_000)
    assert (event["payload"]["event"], event["payload"]["reason"]) == ("session.resumed", "auto")
    assert game.deadline() == 65_000


@pytest.mark.parametrize(
    ("function", "args", "event"),
    [
        ("leave", [P[1]], "participant.removed"),
        ("join", [f'{{"participant_id":"{P[5]}","total_time_ms":1000}}'], "participant.added"),
        ("adjust", ["PARTICIPANT", P[1], "ADD", 1000], "time.adjusted"),
    ],
)
def test_what_does_not_touch_the_cycle_is_carried_out_and_the_end_stays_due(
    core: Driver, function: str, args: list[str | int], event: str
) -> None:
    game = paused(core)
    for at in (12_000, 15_500):
        payload = game.do(function, *args, at=at)["payload"]
        assert (payload["event"], payload["resumes_at_ms"]) == (event, START + 15_000)
        assert game.alarm() == 15_000
        if function != "adjust":
            break
    assert game.do("expire", at=15_600)["payload"]["late_ms"] == 600


@pytest.mark.parametrize("function", ["complete", "cancel"])
def test_a_session_that_ends_in_a_pause_has_no_alarm(core: Driver, function: str) -> None:
    game = paused(core)
    game.do(function, at=15_000)
    assert game.alarm() is None
    assert game.person(0)["time_used_ms"] == 10_000
    assert game.raw("expire", at=16_000) is None


def test_wrong_arguments_are_refused_before_the_pause_is_ended(core: Driver) -> None:
    game = paused(core)
    for args in (["CURRENT", P[1]], ["NEXT", P[9]]):
        with pytest.raises(RefusedError):
            game.do("switch", *args, at=15_000)
    assert game.state()["status"] == "paused"


def test_resuming_before_it_is_over_and_the_next_pause_counts_anew(core: Driver) -> None:
    game = paused(core)
    event = game.do("resume", at=14_999)
    assert event["payload"]["reason"] == "manual"
    assert game.deadline() == 64_999
    game.do("pause", at=20_000)
    assert game.alarm() == 25_000


def test_in_a_pause_only_what_runs_is_moved_when_the_active_one_leaves(core: Driver) -> None:
    game = paused(core)
    payload = game.do("leave", P[0], at=12_000)["payload"]
    assert (payload["status"], payload["resumes_at_ms"]) == ("paused", START + 15_000)
    game.do("expire", at=15_000)
    assert game.deadline() == 75_000


def test_a_clock_that_ends_in_the_running_time_after_a_pause_ends_there(core: Driver) -> None:
    game = paused(core)
    game.do("expire", at=15_500)
    assert game.do("expire", at=65_000)["payload"]["expired_deadline_ms"] == START + 65_000


def test_a_paused_session_lives_past_the_end_of_its_pause(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_pause_ms=DAY), "TTL", "60").start()
    game.do("pause", at=1000)
    assert core.run("PTTL", game.keys.session) > DAY + 50_000
    assert core.run("PTTL", game.keys.log) > DAY + 50_000


def test_a_restored_pause_is_as_long_as_it_was(core: Driver) -> None:
    game = paused(core)
    exported = game.raw("get", "EXPORT", at=12_000)
    core.run("DEL", game.keys.session)
    core.run("DEL", game.keys.alarms)
    core.call("restore", game.session, [exported.decode()], START + 100_000)
    assert game.alarm() == 103_000
    assert game.state()["resumes_at_ms"] == START + 103_000
    assert game.do("expire", at=103_000)["payload"]["event"] == "session.resumed"
    assert game.deadline() == 153_000


@pytest.mark.parametrize("mode", ["per_cycle", "global", "count_up"])
def test_in_every_mode(core: Driver, mode: str) -> None:
    config = {
        "sync_mode": mode,
        "participants": people(2),
        "max_pause_ms": 1000,
        "total_time_ms": 50_000,
        "time_per_cycle_ms": 20_000,
    }
    game = Game(core, config).start()
    game.do("pause", at=5000)
    assert game.alarm() == 6000
    game.do("expire", at=6000)
    assert game.state(at=8000)["cycle_elapsed_ms"] == 7000


def test_without_a_bound_a_pause_is_as_long_as_one_likes(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000)).start()
    event = game.do("pause", at=10_000)
    assert "resumes_at_ms" not in event["payload"]
    assert (game.alarm(), game.raw("expire", at=DAY)) == (None, None)


@pytest.mark.parametrize("value", [0, 30 * DAY + 1, "5000", 1000.5, True])
def test_the_bounds_of_the_bound(core: Driver, value: Any) -> None:
    with pytest.raises(RefusedError) as refused:
        Game(core, players(60_000, 60_000, max_pause_ms=value))
    assert [d["field"] for d in refused.value.answer.context["details"]] == ["max_pause_ms"]


# All pauses together: `max_pauses` and `max_total_pause_ms`.


def bounded(core: Driver, **config: Any) -> Game:
    """A game of three with 60 s each that runs."""
    return Game(core, players(60_000, 60_000, 60_000, **config)).start()


def left(game: Game, at: int | None = None) -> tuple[int | None, int | None]:
    """How many pauses and how much time for pauses are left."""
    state = game.state(at)
    return state["pauses_left"], state["pause_remaining_ms"]


def pause(game: Game, at: int, until: int | None = None, *args: str) -> None:
    """Pause, and resume."""
    game.do("pause", *args, at=at)
    if until is not None:
        game.do("resume", at=until)


def refused_pause(game: Game, at: int, *args: str) -> dict[str, Any]:
    """The context of a refused pause."""
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as refused:
        game.do("pause", *args, at=at)
    assert refused.value.code == "INVALID_SESSION_STATE"
    assert game.core.snapshot() == before
    return refused.value.answer.context


def test_one_pause_too_many_is_refused_and_says_so(core: Driver) -> None:
    game = bounded(core, max_pauses=2)
    assert left(game) == (2, None)
    pause(game, 1000, 2000)
    assert left(game) == (1, None)
    pause(game, 3000)
    assert (left(game), game.alarm(), game.state()["resumes_at_ms"]) == ((0, None), None, None)
    game.do("resume", at=4000)
    assert refused_pause(game, 5000) == {"status": "running", "pauses_left": 0}
    assert game.state()["max_pauses"] == 2


def test_no_pause_at_all(core: Driver) -> None:
    game = bounded(core, max_pauses=0)
    assert refused_pause(game, 1000) == {"status": "running", "pauses_left": 0}


def test_the_time_of_all_pauses_together_is_bounded(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=5000)
    assert left(game) == (None, 5000)
    pause(game, 10_000)
    assert (game.alarm(), game.state()["resumes_at_ms"]) == (15_000, START + 15_000)
    assert left(game, at=12_345) == (None, 2655)
    game.do("resume", at=13_000)
    assert left(game, at=20_000) == (None, 2000)
    pause(game, 20_000)
    assert game.alarm() == 22_000
    payload = game.do("expire", at=22_000)["payload"]
    assert (payload["event"], payload["reason"]) == ("session.resumed", "auto")
    assert (left(game), game.deadline()) == ((None, 0), 65_000)
    assert refused_pause(game, 30_000) == {"status": "running", "pause_remaining_ms": 0}


@pytest.mark.parametrize(
    ("longest", "total", "ends"), [(3000, 5000, 13_000), (5000, 3000, 13_000), (3000, 3000, 13_000)]
)
def test_a_pause_ends_at_whichever_bound_comes_first(
    core: Driver, longest: int, total: int, ends: int
) -> None:
    game = bounded(core, max_pause_ms=longest, max_total_pause_ms=total)
    pause(game, 10_000)
    assert game.alarm() == ends
    game.do("expire", at=ends)
    assert left(game) == (None, total - 3000)


@pytest.mark.parametrize(("at", "remaining"), [(14_000, 7000), (14_001, 5999)])
def test_a_pause_takes_as_long_as_it_was(core: Driver, at: int, remaining: int) -> None:
    """Up to a second late the session goes on from the moment that was due, later from now."""
    game = bounded(core, max_pause_ms=3000, max_total_pause_ms=10_000)
    pause(game, 10_000)
    game.do("expire", at=at)
    assert left(game) == (None, remaining)


def test_nothing_goes_below_zero_when_the_end_is_noticed_late(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=3000)
    pause(game, 10_000)
    assert left(game, at=20_000) == (None, 0)
    game.do("expire", at=20_000)
    assert left(game) == (None, 0)


def test_a_free_pause_is_left_out_of_both(core: Driver) -> None:
    game = bounded(core, max_pauses=1, max_total_pause_ms=5000)
    assert game.do("pause", "FREE", at=10_000)["payload"]["counted"] is False
    assert (left(game, at=40_000), game.alarm()) == ((1, 5000), None)
    game.do("resume", at=40_000)
    assert left(game) == (1, 5000)
    pause(game, 50_000, 51_000)
    assert left(game) == (0, 4000)
    refused_pause(game, 52_000)
    game.do("pause", "FREE", at=52_000)
    assert left(game, at=60_000) == (0, 4000)


def test_the_longest_pause_bounds_a_free_one_too(core: Driver) -> None:
    game = bounded(core, max_pause_ms=2000, max_total_pause_ms=1000)
    game.do("pause", "FREE", at=10_000)
    assert game.alarm() == 12_000
    game.do("expire", at=12_000)
    assert left(game) == (None, 1000)


def test_a_participants_own_pause_is_never_free(core: Driver) -> None:
    game = bounded(core, max_pauses=0, players_may_pause=True)
    with pytest.raises(RefusedError) as refused:
        game.do("pause", "PLAYER", P[0], "FREE", at=1000)
    assert (refused.value.code, refused.value.answer.fields) == ("VALIDATION_ERROR", ["FREE"])
    refused_pause(game, 1000, "PLAYER", P[0])


@pytest.mark.parametrize("function", ["resume", "switch", "start", "complete"])
def test_no_other_function_is_free(core: Driver, function: str) -> None:
    game = bounded(core)
    with pytest.raises(RefusedError) as refused:
        game.do(function, "FREE", at=1000)
    assert refused.value.answer.fields == ["FREE"]


@pytest.mark.parametrize("function", ["switch", "pause", "resume"])
def test_a_time_that_is_up_comes_first(core: Driver, function: str) -> None:
    game = bounded(core)
    assert game.do(function, at=60_000)["payload"]["event"] == "session.expired"


def test_what_is_due_comes_before_the_bound(core: Driver) -> None:
    """Whoever notices first that the time is up, it is up."""
    game = bounded(core, max_pauses=0)
    assert game.do("pause", at=60_000)["payload"]["event"] == "session.expired"


def test_without_a_bound_a_free_pause_is_like_any_other(core: Driver) -> None:
    game = bounded(core)
    assert "counted" not in game.do("pause", "FREE", at=1000)["payload"]
    assert left(game) == (None, None)
    assert [game.state()[name] for name in ("max_pauses", "max_total_pause_ms")] == [None, None]


def test_whoever_leaves_in_a_pause_does_not_end_it(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=5000, max_pauses=3)
    pause(game, 10_000)
    payload = game.do("leave", P[0], at=12_000)["payload"]
    assert (payload["status"], payload["resumes_at_ms"]) == ("paused", START + 15_000)
    assert left(game, at=13_000) == (2, 2000)
    game.do("resume", at=14_000)
    assert left(game) == (2, 1000)


@pytest.mark.parametrize("function", ["complete", "cancel"])
def test_a_session_that_ends_in_a_pause_used_that_much(core: Driver, function: str) -> None:
    game = bounded(core, max_total_pause_ms=5000)
    pause(game, 10_000)
    game.do(function, at=12_000)
    assert left(game, at=13_000) == (None, 3000)


def test_the_end_of_the_session_comes_in_a_pause(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=5000, ends_at_ms=START + 12_000)
    pause(game, 10_000)
    assert game.alarm() == 12_000
    game.do("expire", at=12_500)
    assert (left(game), game.state()["status"]) == ((None, 3000), "completed")


def test_a_restored_pause_costs_nothing_of_the_outage(core: Driver) -> None:
    game = bounded(core, max_pauses=2, max_total_pause_ms=5000, ends_at_ms=START + 500_000)
    pause(game, 10_000)
    exported = game.raw("get", "EXPORT", at=12_000)
    core.run("DEL", game.keys.session)
    core.run("DEL", game.keys.alarms)
    core.call("restore", game.session, [exported.decode()], START + 100_000)
    assert (left(game), game.alarm()) == ((1, 3000), 103_000)
    game.do("resume", at=101_000)
    assert left(game) == (1, 2000)
    pause(game, 110_000)
    assert (left(game), game.alarm()) == ((0, 2000), 112_000)


def test_the_end_comes_in_the_outage_of_a_pause_that_is_charged_what_it_lasted_before(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=5000, ends_at_ms=START + 13_000)
    pause(game, 10_000)
    exported = game.raw("get", "EXPORT", at=12_000)
    core.run("FLUSHALL")
    core.call("restore", game.session, [exported.decode()], START + 100_000)
    assert left(game) == (None, 3000)
    assert game.do("expire", at=100_000)["payload"]["event"] == "session.completed"
    assert (left(game), game.person(0)["time_used_ms"]) == ((None, 3000), 10_000)
    game.do("reopen", at=101_000)
    assert left(game) == (None, 3000)


def test_a_pause_lives_on_another_server(core: Driver) -> None:
    game = bounded(core, max_total_pause_ms=5000)
    pause(game, 10_000)
    keys = game.keys
    moved, *events = game.raw("move_out", "MOVE", "m", "TARGET", "there", "LEASE", "60000", at=11_000)
    change = game.raw("move_commit", "MOVE", "m", at=11_000)
    for key in keys.all:
        core.run("DEL", key)
    text = b"\n".join(events).decode()
    shift = ["MOVE", "m", "TARGET", "there", "SHIFT", "90000"]
    game.raw("move_in", moved.decode(), text, *shift, at=101_000)
    game.raw("move_activate", change.decode(), "MOVE", "m", at=101_000)
    assert (left(game), game.alarm()) == ((None, 4000), 105_000)
    assert game.state()["resumes_at_ms"] == START + 105_000


@pytest.mark.parametrize(
    ("found", "damaged"),
    [
        ("^1 ", "^3 "),
        ("^1 ", "^-1 "),
        ("^1 ", "^-2 "),
        ("^1 ", "^01 "),
        (" 5000 ", " 5001 "),
        (" 5000 ", " -1 "),
        (" 1800000010000 ", " 1800000090000 "),
        (" 1800000015000", " 0"),
        (" 1800000015000", " 1800000015000 #3"),
        (" 1800000015000", ""),
    ],
)
def test_damaged_bounds_are_not_restored(core: Driver, found: str, damaged: str) -> None:
    game = bounded(core, max_pauses=2, max_total_pause_ms=5000)
    pause(game, 10_000)
    exported = json.loads(game.raw("get", "EXPORT", at=12_000))
    fields = exported["internal"]["fields"]
    head, mark, part = fields["cycle"].partition("^")
    assert found in mark + part
    core.run("DEL", game.keys.session)
    fields["cycle"] = head + (mark + part).replace(found, damaged)
    assert core.call("restore", game.session, [json.dumps(exported)]).code == "VALIDATION_ERROR"
    fields["cycle"] = head + mark + part
    assert core.call("restore", game.session, [json.dumps(exported)]).code is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        '"max_pauses":2',
        '"max_pauses":2,"max_total_pause_ms":5000,"max_cycles":0',
        '"max_pauses":2,"max_total_pause_ms":5000,"max_cycles":7',
        '"max_pauses":2,"max_total_pause_ms":5000,"max_cycles":nan',
        '"max_pauses":1001,"max_total_pause_ms":5000,"max_cycles":null',
        '"max_pauses":2,"max_total_pause_ms":5e3,"max_cycles":null',
        '"max_pauses":2,"max_total_pause_ms":null,"max_cycles":null',
        '"max_pauses":null,"max_total_pause_ms":null,"max_cycles":null',
        None,
    ],
)
def test_damaged_bounds_of_the_config_are_not_restored(core: Driver, damaged: str | None) -> None:
    game = bounded(core, max_pauses=2, max_total_pause_ms=5000)
    exported = json.loads(game.raw("get", "EXPORT", at=12_000))
    fields = exported["internal"]["fields"]
    core.run("DEL", game.keys.session)
    if damaged is None:
        del fields["bounds"]
    else:
        fields["bounds"] = damaged
    assert core.call("restore", game.session, [json.dumps(exported)]).code == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_pauses", [-1, 1001, 1.5, "1", True]),
        ("max_total_pause_ms", [0, 30 * DAY + 1, 0.5, "1", True]),
        ("max_cycles", [0, 1_000_001, 1.5, "1", True]),
    ],
)
def test_the_bounds_of_the_bounds(core: Driver, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(RefusedError) as refused:
            bounded(core, **{name: value})
        assert refused.value.answer.fields == [name]


def test_the_largest_and_the_smallest_are_taken(core: Driver) -> None:
    game = bounded(core, max_pauses=1000, max_total_pause_ms=30 * DAY, max_pause_ms=1, max_cycles=1_000_000)
    state = game.state()
    assert [state[name] for name in ("max_pauses", "max_total_pause_ms", "max_pause_ms", "max_cycles")] == [
        1000,
        30 * DAY,
        1,
        1_000_000,
    ]
    pause(game, 10_000)
    assert game.alarm() == 10_001


def test_a_long_pause_is_lived_through(core: Driver) -> None:
    game = bounded(core, max_pause_ms=30 * DAY)
    pause(game, 10_000)
    assert core.run("PTTL", game.keys.session) > 30 * DAY + 3_590_000
