"""`max_cycles`: a session completes by itself with the switch or the expiry that ends so many cycles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver


def switched(game: Game, *times: int) -> dict[str, Any]:
    """The payload of the last of these switches."""
    payload: dict[str, Any] = {}
    for at in times:
        payload = game.do("switch", at=at)["payload"]
    return payload


def test_the_switch_that_ends_the_last_cycle_completes_the_session(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, increment_ms=1000, max_cycles=3)).start()
    assert game.state()["max_cycles"] == 3
    assert switched(game, 2000, 5000)["event"] == "cycle.switched"
    event = game.do("switch", at=9000)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["reason"], payload["status"]) == (
        "STATE_UPDATE",
        "session.completed",
        "auto",
        "completed",
    )
    assert (payload["active_participant_id"], payload["cycle_count"], game.alarm()) == (None, 3, None)
    state = game.state()
    assert state["session_completed_at"] == "2027-01-15T08:00:09.000Z"
    assert (state["time_used_ms"], state["cycle_count"]) == (9000, 3)
    # 60 + 1 - 2 - 4 s: the last cycle is charged and counted, and credited nothing.
    assert [p["total_time_ms"] for p in state["participants"]] == [55_000, 58_000]
    assert [p["participant_id"] for p in payload["participants"]] == [P[0]]


def test_one_cycle(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_cycles=1)).start()
    assert switched(game, 1000)["event"] == "session.completed"
    with pytest.raises(RefusedError):
        game.do("switch", at=2000)


@pytest.mark.parametrize(
    "control",
    [
        {"kind": "bronstein", "delay_ms": 2000},
        {"kind": "hourglass"},
        {"kind": "canadian", "period_ms": 10_000, "moves": 1},
        {"kind": "byoyomi", "period_ms": 10_000, "periods": 2},
        "1/1+0:1+5",
    ],
)
def test_the_last_cycle_is_charged_as_if_the_session_was_completed(core: Driver, control: Any) -> None:
    """Under every control the records are those that `sk_complete` leaves at the same moment."""
    ends: list[Any] = []
    for function, most in (("switch", 2), ("complete", 100)):
        banks = (None, None) if isinstance(control, str) else (60_000, 60_000)
        config = players(*banks, time_control=control, max_cycles=most)
        core.run("FLUSHALL")
        game = Game(core, config).start()
        switched(game, 7000)
        game.do(function, at=15_000)
        state = game.state()
        ends.append([state[n] for n in ("status", "participants", "time_used_ms", "cycle_count")])
    assert ends[0] == ends[1]


def test_lag_is_credited_in_the_last_cycle_too(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, lag_compensation=True, max_cycles=1)).start()
    payload = game.do("switch", "LAG", 100, at=1000)["payload"]
    assert (payload["event"], payload["lag_credit_ms"]) == ("session.completed", 100)
    assert game.person(0)["total_time_ms"] == 59_100


def test_the_expiry_that_ends_the_last_cycle_completes_it_and_says_whose_it_was(core: Driver) -> None:
    config = {
        "sync_mode": "per_cycle",
        "participants": people(2),
        "time_per_cycle_ms": 10_000,
        "auto_advance": True,
        "max_cycles": 2,
    }
    game = Game(core, config).start()
    game.do("expire", at=10_000)
    event = game.do("expire", at=20_300)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["reason"]) == (
        "STATE_UPDATE",
        "session.completed",
        "auto",
    )
    assert (payload["expired_participant_id"], payload["expired_deadline_ms"], payload["late_ms"]) == (
        P[1],
        START + 20_000,
        300,
    )
    assert payload["action_applied"] == {"type": "skip_cycle"}
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"], state["status"]) == (20_000, 2, "completed")
    assert state["session_completed_at"] == "2027-01-15T08:00:20.000Z"
    assert game.alarm() is None


def test_an_expiry_that_ends_the_session_by_itself_stays_one(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_cycles=1)).start()
    payload = game.do("expire", at=60_000)["payload"]
    assert (payload["event"], payload["reason"], payload["status"]) == (
        "session.expired",
        "timeout",
        "expired",
    )
    assert payload["action_applied"]["winner"] == P[1]


def test_nobody_is_left_in_the_last_cycle(core: Driver) -> None:
    game = Game(core, players(1000, 1000, action_on_timeout={"type": "skip_cycle"}, max_cycles=2)).start()
    assert game.do("expire", at=1000)["payload"]["event"] == "participant.expired"
    assert game.do("expire", at=2000)["payload"]["event"] == "session.expired"


def test_a_timeout_of_notify_ends_no_cycle(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, action_on_timeout={"type": "notify"}, max_cycles=1)).start()
    assert game.do("expire", at=60_000)["payload"]["event"] == "participant.expired"
    payload = switched(game, 70_000)
    assert (payload["event"], payload["cycle_count"]) == ("session.completed", 1)
    assert game.state()["time_used_ms"] == 60_000


def test_a_leave_ends_a_cycle_but_not_the_session(core: Driver) -> None:
    """The switch or the expiry that comes then does."""
    game = Game(core, players(60_000, 60_000, 60_000, max_cycles=2)).start()
    switched(game, 1000)
    payload = game.do("leave", P[1], at=3000)["payload"]
    assert (payload["event"], payload["status"], payload["cycle_count"]) == (
        "participant.removed",
        "running",
        2,
    )
    payload = switched(game, 5000)
    assert (payload["event"], payload["cycle_count"]) == ("session.completed", 3)


@pytest.mark.parametrize("mode", ["per_group", "per_cycle", "global", "count_up"])
def test_in_every_mode(core: Driver, mode: str) -> None:
    config = {
        "sync_mode": mode,
        "participants": [{"participant_id": P[i], "group_id": G[i]} for i in range(2)],
        "groups": [{"group_id": G[i], "total_time_ms": 60_000} for i in range(2)],
        "total_time_ms": None if mode == "count_up" else 60_000,
        "time_per_cycle_ms": None if mode == "per_group" else 40_000,
        "increment_ms": 5000,
        "max_cycles": 2,
    }
    if mode != "per_group":
        config["groups"] = [{"group_id": G[i]} for i in range(2)]
    game = Game(core, {name: value for name, value in config.items() if value is not None}).start()
    payload = switched(game, 3000, 7000)
    assert (payload["event"], payload["cycle_count"], payload["reason"]) == ("session.completed", 2, "auto")
    state = game.state()
    assert state["time_used_ms"] == 7000
    assert [group["cycle_count"] for group in state["groups"]] == [1, 1]


def test_a_wrong_switch_does_not_end_it(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_cycles=1)).start()
    for args in (["CURRENT", P[1]], ["NEXT", P[9]], ["PLAYER", P[1]]):
        with pytest.raises(RefusedError):
            game.do("switch", *args, at=1000)
    assert game.state()["status"] == "running"


def test_a_repeated_last_switch_gets_the_same_change(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_cycles=1)).start()
    first = game.do("switch", "REQUEST", "r1", at=1000)
    assert game.do("switch", "REQUEST", "r1", at=2000) == first | {"replayed": True}


def test_it_is_restored(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, max_cycles=2)).start()
    switched(game, 1000)
    exported = json.loads(game.raw("get", "EXPORT", at=2000))
    fields = exported["internal"]["fields"]
    core.run("DEL", game.keys.session)
    for wrong in ("", " #3", " #02", " #2 #2"):
        damaged = {**exported, "internal": {**exported["internal"], "fields": dict(fields)}}
        damaged["internal"]["fields"]["cycle"] = fields["cycle"].replace(" #2", wrong)
        assert core.call("restore", game.session, [json.dumps(damaged)]).code == "VALIDATION_ERROR"
    assert core.call("restore", game.session, [json.dumps(exported)], START + 50_000).code is None
    assert game.state()["max_cycles"] == 2
    assert switched(game, 51_000)["event"] == "session.completed"
