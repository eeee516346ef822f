"""`max_pause_ms`: a paused session goes on by itself, at the millisecond, whoever notices."""

from __future__ import annotations

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
