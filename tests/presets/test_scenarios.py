"""Every preset, played until what makes its clock what it is has happened.

Participants are given by their ids alone (those of a team with their group's): whatever else a clock needs is
in the preset. Times are ms since the session was created and started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from synckairos.presets import PRESETS
from tests.core.game import START, G, Game, P, people
from tests.model.driver import Driver

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000

Scenario = Callable[[Driver], None]
SCENARIOS: dict[str, Scenario] = {}


def plays(preset: str) -> Callable[[Scenario], Scenario]:
    """A scenario that plays a preset."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS[preset] = scenario
        return scenario

    return register


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset(core: Driver, preset: str) -> None:
    SCENARIOS[preset](core)


def test_every_preset_has_its_scenario() -> None:
    assert SCENARIOS.keys() == PRESETS.keys()


def started(core: Driver, preset: str, count: int = 2) -> Game:
    """A session of a preset with `count` participants, running since 0."""
    return Game(core, {**PRESETS[preset].config, "participants": people(count)}).start(at=0)


def bank(game: Game, index: int) -> int:
    """What a participant's clock had when its last cycle ended."""
    total: int = game.person(index)["total_time_ms"]
    return total


def clock(game: Game, index: int, at: int | None = None) -> dict[str, Any]:
    """What the control of a participant's clock shows."""
    shown: dict[str, Any] = game.person(index, at)["clock"]
    return shown


def flags(game: Game, at: int) -> None:
    """Not a millisecond before, but then the session ends because the time is up."""
    assert game.raw("expire", at=at - 1) is None
    payload = game.do("expire", at=at)["payload"]
    assert (payload["event"], payload["expired_deadline_ms"]) == ("session.expired", START + at)
    assert game.state()["status"] == "expired"


def exchange(game: Game, now: int, moves: int, each: int) -> int:
    """Both players make `moves` moves, every one of them after `each` ms; the time after it."""
    for _ in range(2 * moves):
        now += each
        game.do("switch", at=now)
    return now


@plays("ultrabullet")
def ultrabullet(core: Driver) -> None:
    game = started(core, "ultrabullet")
    assert game.deadline() == 15 * SECOND
    game.do("switch", at=4 * SECOND)
    assert bank(game, 0) == 11 * SECOND
    flags(game, 19 * SECOND)


@plays("bullet")
def bullet(core: Driver) -> None:
    game = started(core, "bullet")
    assert game.deadline() == MINUTE
    game.do("switch", at=10 * SECOND)
    assert bank(game, 0) == 50 * SECOND
    flags(game, 70 * SECOND)


@plays("blitz")
def blitz(core: Driver) -> None:
    game = started(core, "blitz")
    assert game.deadline() == 3 * MINUTE
    game.do("switch", at=5 * SECOND)
    assert bank(game, 0) == 3 * MINUTE - 3 * SECOND
    flags(game, 3 * MINUTE + 5 * SECOND)


@plays("rapid")
def rapid(core: Driver) -> None:
    game = started(core, "rapid")
    assert game.deadline() == 15 * MINUTE
    game.do("switch", at=3 * SECOND)
    assert bank(game, 0) == 15 * MINUTE + 7 * SECOND
    flags(game, 15 * MINUTE + 3 * SECOND)


@plays("classical")
def classical(core: Driver) -> None:
    game = started(core, "classical")
    assert game.deadline() == 90 * MINUTE
    now = exchange(game, 0, 39, MINUTE)
    assert clock(game, 0) == {"stage": 0, "moves_left": 1}
    assert bank(game, 0) == 90 * MINUTE - 39 * 30 * SECOND
    game.do("switch", at=now + MINUTE)
    assert clock(game, 0) == {"stage": 1}
    assert bank(game, 0) == 120 * MINUTE - 40 * 30 * SECOND
    game.do("switch", at=now + 2 * MINUTE)
    flags(game, now + 2 * MINUTE + 100 * MINUTE)


@plays("world-championship")
def world_championship(core: Driver) -> None:
    game = started(core, "world-championship")
    now = exchange(game, 0, 40, 2 * MINUTE)
    assert [clock(game, index)["stage"] for index in (0, 1)] == [1, 1]
    assert bank(game, 0) == 120 * MINUTE - 80 * MINUTE + 30 * MINUTE  # no increment until the fortieth move
    game.do("switch", at=now + MINUTE)
    assert bank(game, 0) == 69 * MINUTE + 30 * SECOND
    flags(game, now + MINUTE + 70 * MINUTE)


@plays("bundesliga")
def bundesliga(core: Driver) -> None:
    game = started(core, "bundesliga")
    now = exchange(game, 0, 40, MINUTE)
    assert clock(game, 0) == {"stage": 1, "moves_left": 20}
    assert bank(game, 0) == 150 * MINUTE - 40 * 30 * SECOND
    exchange(game, now, 20, MINUTE)
    assert clock(game, 0) == {"stage": 2}
    assert bank(game, 0) == 165 * MINUTE - 60 * 30 * SECOND


@plays("classical-sessions")
def classical_sessions(core: Driver) -> None:
    game = started(core, "classical-sessions")
    now = exchange(game, 0, 40, 3 * MINUTE)
    assert (clock(game, 0), bank(game, 0)) == ({"stage": 1, "moves_left": 16}, 90 * MINUTE)
    now = exchange(game, now, 16, 3 * MINUTE)
    assert (clock(game, 0), bank(game, 0)) == ({"stage": 1, "moves_left": 16}, 102 * MINUTE)
    now = exchange(game, now, 16, 3 * MINUTE)
    assert bank(game, 0) == 114 * MINUTE  # an hour more, again
    flags(game, now + 114 * MINUTE)


@plays("engines")
def engines(core: Driver) -> None:
    game = started(core, "engines")
    now = exchange(game, 0, 40, 20 * SECOND)
    now = exchange(game, now, 40, 20 * SECOND)
    assert (clock(game, 0), bank(game, 0)) == (
        {"stage": 0, "moves_left": 40},
        3 * 15 * MINUTE - 80 * 20 * SECOND,
    )
    flags(game, now + bank(game, 0))


@plays("uscf")
def uscf(core: Driver) -> None:
    game = started(core, "uscf")
    assert game.deadline() == 90 * MINUTE + 5 * SECOND
    game.do("switch", at=4 * SECOND)
    assert bank(game, 0) == 90 * MINUTE  # within the delay
    game.do("switch", at=12 * SECOND)
    assert bank(game, 1) == 90 * MINUTE - 3 * SECOND
    flags(game, 12 * SECOND + 90 * MINUTE + 5 * SECOND)


@plays("uscf-two-stages")
def uscf_two_stages(core: Driver) -> None:
    game = started(core, "uscf-two-stages")
    now = exchange(game, 0, 40, MINUTE + 5 * SECOND)
    assert (clock(game, 0), bank(game, 0)) == ({"stage": 1}, 140 * MINUTE)
    game.do("switch", at=now + 5 * SECOND)
    assert bank(game, 0) == 140 * MINUTE  # within the delay, which the second stage has, too


@plays("bronstein")
def bronstein(core: Driver) -> None:
    game = started(core, "bronstein")
    assert game.deadline() == 10 * MINUTE
    game.do("switch", at=4 * SECOND)
    assert bank(game, 0) == 10 * MINUTE  # all of it is given back, and no more
    game.do("switch", at=18 * SECOND)
    assert bank(game, 1) == 10 * MINUTE - 4 * SECOND
    flags(game, 18 * SECOND + 10 * MINUTE)


@plays("hourglass")
def hourglass(core: Driver) -> None:
    game = started(core, "hourglass")
    assert game.deadline() == 5 * MINUTE
    game.do("switch", at=MINUTE)
    assert [bank(game, 0), bank(game, 1)] == [4 * MINUTE, 6 * MINUTE]
    flags(game, 7 * MINUTE)


@plays("daily")
def daily(core: Driver) -> None:
    game = started(core, "daily")
    assert game.deadline() == 24 * HOUR
    game.do("switch", at=20 * HOUR)
    assert game.deadline() == 44 * HOUR  # a whole day again
    flags(game, 44 * HOUR)


def days_a_move(core: Driver, preset: str, days: int) -> None:
    """A clock of so many days for every move, with a warning a day before its end."""
    game = started(core, preset)
    assert (game.deadline(), game.alarm()) == (days * DAY, (days - 1) * DAY)
    assert game.do("expire", at=(days - 1) * DAY)["payload"]["warning_ms"] == DAY
    game.do("switch", at=days * DAY - 1)
    assert game.deadline() == 2 * days * DAY - 1
    assert game.do("expire", at=(2 * days - 1) * DAY - 1)["payload"]["warning_ms"] == DAY
    flags(game, 2 * days * DAY - 1)


@plays("correspondence-3")
def correspondence_3(core: Driver) -> None:
    days_a_move(core, "correspondence-3", 3)


@plays("correspondence-7")
def correspondence_7(core: Driver) -> None:
    days_a_move(core, "correspondence-7", 7)


@plays("correspondence-50")
def correspondence_50(core: Driver) -> None:
    game = started(core, "correspondence-50")
    assert game.deadline() == 50 * DAY
    now = exchange(game, 0, 10, 4 * DAY)
    assert (clock(game, 0), bank(game, 0)) == ({"stage": 0, "moves_left": 10}, 60 * DAY)
    assert game.do("expire", at=now + 59 * DAY)["payload"]["warning_ms"] == DAY
    flags(game, now + 60 * DAY)


@plays("untimed")
def untimed(core: Driver) -> None:
    game = started(core, "untimed")
    assert (game.deadline(), game.alarm()) == (None, None)
    game.do("switch", at=50 * HOUR)
    game.do("switch", at=51 * HOUR)
    people_ = game.state()["participants"]
    assert [person["time_used_ms"] for person in people_] == [50 * HOUR, HOUR]
    assert [person["time_remaining_ms"] for person in people_] == [None, None]


@plays("ogs-live")
def ogs_live(core: Driver) -> None:
    game = started(core, "ogs-live")
    assert game.deadline() == 12 * MINUTE + 30 * SECOND
    game.do("switch", at=10 * MINUTE + 29 * SECOND)
    assert (bank(game, 0), clock(game, 0)) == (0, {"periods_left": 5})  # within the period: it stays whole
    game.do("switch", at=11 * MINUTE)
    now = game.state(at=11 * MINUTE + 40 * SECOND)["participants"][0]["clock"]["now"]
    assert now == {"periods_left": 4, "period_remaining_ms": 20 * SECOND}
    game.do("switch", at=11 * MINUTE + 40 * SECOND)
    assert clock(game, 0) == {"periods_left": 4}  # one lost
    game.do("switch", at=12 * MINUTE)
    flags(game, 14 * MINUTE)


@plays("canadian")
def canadian(core: Driver) -> None:
    game = started(core, "canadian")
    assert game.deadline() == 15 * MINUTE
    game.do("switch", at=11 * MINUTE)
    assert clock(game, 0) == {"moves_left": 24, "block_remaining_ms": 4 * MINUTE}
    game.do("switch", at=12 * MINUTE)
    now = exchange(game, 12 * MINUTE, 23, SECOND)
    assert clock(game, 0)["moves_left"] == 1
    game.do("switch", at=now + SECOND)
    assert clock(game, 0) == {"moves_left": 25, "block_remaining_ms": 5 * MINUTE}  # a new block
    game.do("switch", at=now + 2 * SECOND)
    flags(game, now + 2 * SECOND + 5 * MINUTE)


@plays("igs")
def igs(core: Driver) -> None:
    game = started(core, "igs")
    assert game.deadline() == 11 * MINUTE
    now = exchange(game, 0, 25, 20 * SECOND)
    assert bank(game, 0) == 0
    assert clock(game, 0)["moves_left"] == 2  # the third move took the rest of the minute, and counts already
    now = exchange(game, now, 2, 20 * SECOND)
    assert clock(game, 1) == {"moves_left": 25, "block_remaining_ms": 10 * MINUTE}
    flags(game, now + 10 * MINUTE)


@plays("shogi")
def shogi(core: Driver) -> None:
    game = started(core, "shogi")
    assert game.deadline() == 16 * MINUTE
    game.do("switch", at=15 * MINUTE + 59 * SECOND)
    assert (bank(game, 0), clock(game, 0)) == (0, {"periods_left": 1})
    game.do("switch", at=16 * MINUTE)
    flags(game, 17 * MINUTE)  # a minute for every move, and no second one


@plays("lishogi")
def lishogi(core: Driver) -> None:
    game = started(core, "lishogi")
    assert game.deadline() == 5 * MINUTE + 30 * SECOND
    game.do("switch", at=MINUTE)
    assert (bank(game, 0), clock(game, 0)) == (4 * MINUTE + 5 * SECOND, {"periods_left": 3})
    game.do("switch", at=2 * MINUTE)
    game.do("switch", at=6 * MINUTE + 15 * SECOND)  # the main time is over, and half of a period
    assert (bank(game, 0), clock(game, 0)) == (0, {"periods_left": 2})  # nothing is added any more
    game.do("switch", at=7 * MINUTE)
    flags(game, 7 * MINUTE + 20 * SECOND)


@plays("ten-second-shogi")
def ten_second_shogi(core: Driver) -> None:
    game = started(core, "ten-second-shogi")
    assert game.deadline() == 10 * SECOND
    game.do("switch", at=10 * SECOND - 1)
    game.do("switch", at=15 * SECOND)
    assert (bank(game, 1), clock(game, 1)) == (0, {"periods_left": 1})
    flags(game, 25 * SECOND)


@plays("scrabble")
def scrabble(core: Driver) -> None:
    game = started(core, "scrabble")
    assert game.state(at=25 * MINUTE)["time_remaining_ms"] == 0
    assert game.state(at=26 * MINUTE)["status"] == "running"
    payload = game.do("switch", at=26 * MINUTE + 30 * SECOND)["payload"]
    assert payload["overtime_used_ms"] == 90 * SECOND
    assert clock(game, 0) == {"overtime_used_ms": 90 * SECOND}
    game.do("switch", at=27 * MINUTE)
    flags(game, 27 * MINUTE + 8 * MINUTE + 30 * SECOND)


@plays("backgammon")
def backgammon(core: Driver) -> None:
    game = started(core, "backgammon")
    assert game.deadline() == 14 * MINUTE + 12 * SECOND
    game.do("switch", at=12 * SECOND)
    assert bank(game, 0) == 14 * MINUTE
    game.do("switch", at=12 * SECOND + 25 * SECOND)
    assert bank(game, 1) == 14 * MINUTE - 13 * SECOND
    flags(game, 37 * SECOND + 14 * MINUTE + 12 * SECOND)


@plays("poker")
def poker(core: Driver) -> None:
    game = started(core, "poker", 3)
    warning = game.do("expire", at=20 * SECOND)["payload"]
    assert (warning["event"], warning["warning_ms"]) == ("time.warning", 10 * SECOND)
    use(game, "poker", at=25 * SECOND)
    assert game.deadline() == MINUTE
    payload = game.do("expire", at=MINUTE)["payload"]
    assert payload["expired_participant_id"] == P[0]
    assert payload["action_applied"] == {"type": "auto_action", "action": "check_or_fold"}
    assert (payload["active_participant_id"], game.deadline()) == (P[1], 90 * SECOND)


@plays("team")
def team(core: Driver) -> None:
    members = [person | {"group_id": G[index % 2]} for index, person in enumerate(people(4))]
    game = Game(core, {**PRESETS["team"].config, "participants": members}).start(at=0)
    active = [game.do("switch", at=now * MINUTE)["payload"]["active_participant_id"] for now in (1, 2, 3, 4)]
    assert active == [P[1], P[2], P[3], P[0]]
    assert [group["total_time_ms"] for group in game.state()["groups"]] == [3 * MINUTE, 3 * MINUTE]
    flags(game, 7 * MINUTE)


@plays("quiz")
def quiz(core: Driver) -> None:
    game = started(core, "quiz", 1)
    assert game.do("expire", at=25 * SECOND)["payload"]["warning_ms"] == 5 * SECOND
    assert game.do("expire", at=30 * SECOND)["payload"]["event"] == "participant.expired"
    assert (game.state()["cycle_count"], game.deadline()) == (1, MINUTE)  # the next question, by itself
    game.do("switch", at=40 * SECOND)  # everybody has answered
    assert (game.state()["cycle_count"], game.deadline()) == (2, 70 * SECOND)


@plays("auction")
def auction(core: Driver) -> None:
    game = started(core, "auction", 1)
    assert use(game, "auction", at=20 * SECOND) is None  # ten seconds are left: early enough
    assert use(game, "auction", at=20_001) is not None
    assert game.deadline() == 40 * SECOND
    assert game.do("expire", at=30 * SECOND)["payload"]["warning_ms"] == 10 * SECOND
    assert use(game, "auction", at=39 * SECOND) is not None
    flags(game, 50 * SECOND)


@plays("exam")
def exam(core: Driver) -> None:
    game = started(core, "exam", 30)
    assert game.do("expire", at=50 * MINUTE)["payload"]["warning_ms"] == 10 * MINUTE
    assert game.do("expire", at=55 * MINUTE)["payload"]["warning_ms"] == 5 * MINUTE
    flags(game, 60 * MINUTE)


@plays("contest")
def contest(core: Driver) -> None:
    game = started(core, "contest", 30)
    for left in (DAY, HOUR, 10 * MINUTE):
        assert game.alarm() == 2 * DAY - left
        assert game.do("expire", at=2 * DAY - left)["payload"]["warning_ms"] == left
    flags(game, 2 * DAY)


@plays("speech")
def speech(core: Driver) -> None:
    game = started(core, "speech")
    warnings = [game.do("expire", at=at * MINUTE)["payload"]["warning_ms"] for at in (5, 6)]
    assert warnings == [2 * MINUTE, MINUTE]
    red = game.do("expire", at=7 * MINUTE)["payload"]
    assert (red["event"], red["active_participant_id"]) == ("participant.expired", P[0])
    assert game.state(at=8 * MINUTE)["status"] == "running"  # nobody is cut off
    assert game.do("switch", at=8 * MINUTE)["payload"]["active_participant_id"] == P[1]
    assert game.deadline() == 15 * MINUTE


@plays("debate")
def debate(core: Driver) -> None:
    game = started(core, "debate", 4)
    bells = [game.do("expire", at=at * MINUTE)["payload"]["warning_ms"] for at in (1, 7, 8)]
    assert bells == [7 * MINUTE, MINUTE, 0]
    assert game.raw("expire", at=8 * MINUTE + 15 * SECOND - 1) is None
    end = game.do("expire", at=8 * MINUTE + 15 * SECOND)["payload"]
    assert (end["event"], end["active_participant_id"]) == ("participant.expired", P[0])
    spoken = game.do("switch", at=8 * MINUTE + 20 * SECOND)["payload"]
    assert (spoken["active_participant_id"], spoken["time_remaining_ms"]) == (P[1], 8 * MINUTE)


@plays("meeting")
def meeting(core: Driver) -> None:
    game = started(core, "meeting", 4)
    assert game.do("expire", at=90 * SECOND)["payload"]["warning_ms"] == 30 * SECOND
    assert game.do("expire", at=2 * MINUTE)["payload"]["active_participant_id"] == P[1]
    game.do("pause", at=3 * MINUTE)
    assert game.state()["resumes_at_ms"] == START + 13 * MINUTE
    resumed = game.do("expire", at=13 * MINUTE)["payload"]  # nobody came back from the break
    assert (resumed["event"], resumed["reason"]) == ("session.resumed", "auto")
    assert game.state()["total_remaining_ms"] == 57 * MINUTE
    while (alarm := game.alarm()) is not None:
        payload = game.do("expire", at=alarm)["payload"]
    assert (payload["event"], payload["expired_clock"]) == ("session.expired", "total")
    assert payload["expired_deadline_ms"] == START + 70 * MINUTE
    assert game.state()["time_used_ms"] == 60 * MINUTE


@plays("speedrun")
def speedrun(core: Driver) -> None:
    game = started(core, "speedrun", 1)
    assert (game.deadline(), game.alarm()) == (None, None)
    game.do("switch", at=83 * SECOND)
    game.do("switch", at=200 * SECOND)
    payload = game.do("complete", at=301_234)["payload"]
    assert (payload["status"], payload["cycle_count"]) == ("completed", 3)  # three splits
    assert game.state()["time_used_ms"] == 301_234


def use(game: Game, preset: str, at: int) -> Any:
    """The call that a preset says the backend sends, as the function that its route makes of it."""
    call = PRESETS[preset].use
    assert call is not None
    options = {"total_time_ms": "SET", "add_ms": "ADD", "within_ms": "WITHIN", "reason": "REASON"}
    return game.raw(
        "adjust", *(part for name, value in call.body.items() for part in (options[name], value)), at=at
    )
