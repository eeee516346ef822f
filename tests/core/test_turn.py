"""`sk_turn`: somebody says whose turn it is, before the start or in a pause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, Json, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"action_on_timeout": {"type": "skip_cycle"}}


def code(game: Game, *args: str | int, at: int | None = None) -> str | None:
    """The code of a call of sk_turn that is refused, which changes nothing."""
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as caught:
        game.do("turn", *args, at=at)
    assert game.core.snapshot() == before
    return caught.value.code


def paused(core: Driver, **config: Any) -> Game:
    """A game of three with 60 s and 2 s a turn, paused when the first one had used 5 s."""
    game = Game(core, players(60_000, 60_000, 60_000, increment_ms=2000, **config)).start()
    game.do("pause", at=5000)
    return game


def values(game: Game, index: int) -> tuple[int, int, int, bool]:
    """Bank, time used, cycles and whether it is out, of a participant."""
    p = game.person(index)
    return p["total_time_ms"], p["time_used_ms"], p["cycle_count"], p["has_expired"]


def test_before_the_start_it_says_who_begins(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, 60_000, active_participant_id=P[1]))
    payload = game.do("turn", P[2], at=1000)["payload"]
    assert (payload["event"], payload["status"], payload["active_participant_id"]) == (
        "turn.set",
        "pending",
        P[2],
    )
    assert (payload["participants"], payload["deadline_ms"], payload["cycle_count"]) == ([], None, 0)
    assert [person["is_active"] for person in game.state()["participants"]] == [False] * 3
    assert game.do("start", at=2000)["payload"]["active_participant_id"] == P[2]
    assert game.deadline() == 62_000


def test_in_a_pause_the_cycle_is_charged_and_neither_counted_nor_credited(core: Driver) -> None:
    game = paused(core)
    payload = game.do("turn", P[2], at=6000)["payload"]
    assert (payload["event"], payload["status"], payload["active_participant_id"]) == (
        "turn.set",
        "paused",
        P[2],
    )
    assert (payload["cycle_count"], payload["time_remaining_ms"], payload["deadline_ms"]) == (0, 60_000, None)
    assert {p["participant_id"] for p in payload["participants"]} == {P[0], P[2]}
    assert values(game, 0) == (55_000, 5000, 0, False)
    assert game.state()["time_used_ms"] == 5000
    game.do("resume", at=8000)
    assert game.deadline() == 68_000
    assert game.do("switch", at=9000)["payload"]["active_participant_id"] == P[0]


def test_it_may_be_the_same_one_at_the_start_of_another_cycle(core: Driver) -> None:
    game = paused(core, time_control={"kind": "delay", "delay_ms": 3000})
    assert game.do("turn", P[0], at=6000)["payload"]["time_remaining_ms"] == 61_000
    assert values(game, 0) == (58_000, 5000, 0, False)
    game.do("resume", at=7000)
    assert game.deadline() == 68_000


def test_the_end_of_the_pause_stays(core: Driver) -> None:
    game = paused(core, max_pause_ms=10_000)
    assert game.do("turn", P[1], at=6000)["payload"]["resumes_at_ms"] == START + 15_000
    assert game.alarm() == 15_000
    assert game.do("expire", at=15_000)["payload"]["active_participant_id"] == P[1]
    assert game.deadline() == 75_000


def test_a_pause_that_is_over_ends_instead(core: Driver) -> None:
    game = paused(core, max_pause_ms=10_000)
    assert code(game, P[9], at=15_000) == "PARTICIPANT_NOT_FOUND"
    assert game.do("turn", P[1], at=15_000)["payload"]["event"] == "session.resumed"


def test_warnings_count_anew(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, warnings_ms=[15_000])).start()
    game.do("expire", at=5000)
    game.do("pause", at=6000)
    game.do("turn", P[1])
    game.do("resume", at=7000)
    assert game.alarm() == 12_000


@pytest.mark.parametrize("status", ["running", "expired", "completed", "cancelled"])
def test_only_before_the_start_or_in_a_pause(core: Driver, status: str) -> None:
    game = Game(core, players(5000, 5000)).start()
    ends = {"expired": "expire", "completed": "complete", "cancelled": "cancel"}
    if status in ends:
        game.do(ends[status], at=5000)
    assert code(game, P[1], at=4000) == "INVALID_SESSION_STATE"


def test_a_stranger_and_who_is_out_cannot_be_named(core: Driver) -> None:
    game = Game(core, players(5000, 60_000, 60_000, **SKIP)).start()
    game.do("expire", at=5000)
    game.do("pause", at=6000)
    assert code(game, P[9]) == "PARTICIPANT_NOT_FOUND"
    assert code(game, P[0]) == "PARTICIPANT_EXPIRED"
    assert code(game, "nonsense") == code(game) == "VALIDATION_ERROR"
    assert code(game, P[1], "PLAYER", P[1]) == "VALIDATION_ERROR"


def test_in_an_hourglass_nobody_gets_what_was_used(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, time_control={"kind": "hourglass"})).start()
    game.do("pause", at=5000)
    game.do("turn", P[1], at=6000)
    assert [person["total_time_ms"] for person in game.state()["participants"]] == [55_000, 60_000]


def test_a_team_goes_on_after_the_member_that_was_named(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[i // 3]} for i in range(6)]
    groups = [{"group_id": G[i], "total_time_ms": 60_000} for i in range(2)]
    game = Game(core, {"sync_mode": "per_group", "participants": who, "groups": groups}).start()
    game.do("pause", at=4000)
    payload = game.do("turn", P[4], at=5000)["payload"]
    assert (payload["active_group_id"], len(payload["groups"])) == (G[1], 2)
    assert [g["total_time_ms"] for g in game.state()["groups"]] == [56_000, 60_000]
    game.do("resume", at=6000)
    order = [game.do("switch", at=at)["payload"]["active_participant_id"] for at in (7000, 8000, 9000)]
    assert order == [P[1], P[5], P[2]]


def drained(core: Driver, **config: Any) -> Game:
    """A game in a pause, whose running clock has used up its budget: an adjust took the rest."""
    game = Game(core, players(10_000, 10_000, 10_000, **config)).start()
    game.do("pause", at=6000)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", -8000)
    return game


def test_a_clock_that_it_charges_with_its_whole_budget_is_out(core: Driver) -> None:
    game = drained(core, **SKIP)
    bank = game.person(0)["total_time_ms"]
    game.do("turn", P[1], at=7000)
    assert values(game, 0) == (0, bank, 0, True)
    game.do("resume", at=8000)
    order = [game.do("switch", at=at)["payload"]["active_participant_id"] for at in (9000, 10_000)]
    assert order == [P[2], P[1]]


def test_who_is_named_again_with_a_clock_that_is_out_then_waits_for_time(core: Driver) -> None:
    game = drained(core)
    game.do("turn", P[0], at=7000)
    assert values(game, 0)[3] is True
    with pytest.raises(RefusedError) as caught:
        game.do("resume", at=8000)
    assert caught.value.code == "PARTICIPANT_EXPIRED"
    game.do("adjust", "PARTICIPANT", P[0], "SET", 3000, at=9000)
    game.do("resume", at=10_000)
    assert game.deadline() == 13_000


# The pause of a clock that is out ends by itself


def out(core: Driver, *others: int, **config: Any) -> Game:
    """A game of one or more. The first one has 1 s, a delay of 0.5 s and a grace of 450 ms. It is paused when
    bank and delay are used, gets the turn again, and the pause ends by itself at 2,500."""
    delay = {"kind": "delay", "delay_ms": 500}
    more = {"lag_compensation": True, "max_pause_ms": 1000, **SKIP, **config}
    game = Game(core, players(1000, *others, time_control=delay, **more)).start()
    game.do("pause", "FREE", at=1500)
    game.do("turn", P[0], at=1500)
    assert values(game, 0) == (0, 1500, 0, True)
    assert game.do("expire", at=2500)["payload"]["event"] == "session.resumed"
    assert (game.deadline(), game.state()["time_remaining_ms"]) == (2500, 0)
    return game


def test_its_expiry_charges_nothing_more(core: Driver) -> None:
    game = out(core)
    assert game.alarm() == 2950
    assert game.raw("expire", at=2949) is None
    payload = game.do("expire", at=2950)["payload"]
    assert (payload["event"], payload["expired_deadline_ms"], payload["late_ms"]) == (
        "session.expired",
        START + 2500,
        0,
    )
    assert values(game, 0) == (0, 1500, 1, True)
    assert game.state()["time_used_ms"] == 1500


def test_without_a_grace_the_time_is_up_with_the_pause(core: Driver) -> None:
    config = players(5000, 60_000, 60_000, max_pause_ms=1000, **SKIP)
    game = Game(core, config).start()
    game.do("pause", at=4000)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", -2000, at=4000)
    game.do("turn", P[0], at=4000)
    game.do("expire", at=5000)
    assert (game.deadline(), game.alarm()) == (5000, 5000)
    payload = game.do("switch", at=5000)["payload"]
    assert (payload["event"], payload["active_participant_id"]) == ("participant.expired", P[1])


@pytest.mark.parametrize("lag", [(), ("LAG", 0), ("LAG", 300), ("LAG", 5000)])
@pytest.mark.parametrize("others", [(), (60_000,)], ids=["alone", "two"])
def test_no_credit_saves_a_switch_within_the_grace(
    core: Driver, others: tuple[int, ...], lag: tuple[str | int, ...]
) -> None:
    game = out(core, *others)
    payload = game.do("switch", *lag, at=2700)["payload"]
    assert (payload["event"], payload["active_participant_id"]) == (
        ("participant.expired", P[1]) if others else ("session.expired", None)
    )
    assert (payload["expired_participant_id"], payload["late_ms"]) == (P[0], 0)
    assert values(game, 0) == (0, 1500, 1, True)
    assert game.person(0)["clock"] == {"quota_ms": 450}
    assert game.deadline() == (2700 + 60_500 if others else None)


def test_under_end_session_the_other_one_wins(core: Driver) -> None:
    game = out(core, 60_000, action_on_timeout={"type": "end_session"})
    payload = game.do("switch", "LAG", 300, at=2700)["payload"]
    assert (payload["event"], payload["action_applied"]) == (
        "session.expired",
        {"type": "end_session", "winner": P[1]},
    )


def test_a_team_that_is_out_gives_the_turn_to_the_next_one(core: Driver) -> None:
    config = {
        "sync_mode": "per_group",
        "participants": [{"participant_id": P[i], "group_id": G[i // 2]} for i in range(4)],
        "groups": [{"group_id": G[0], "total_time_ms": 1000}, {"group_id": G[1], "total_time_ms": 60_000}],
        "lag_compensation": True,
        "max_pause_ms": 1000,
        **SKIP,
    }
    game = Game(core, config).start()
    game.do("pause", at=1000)
    game.do("turn", P[1], at=1000)
    game.do("expire", at=2000)
    game = lost_and_restored(game, core, at=2100)
    payload = game.do("switch", "LAG", 300, at=2200)["payload"]
    assert (payload["event"], payload["active_participant_id"]) == ("participant.expired", P[2])


def lost_and_restored(game: Game, core: Driver, at: int) -> Game:
    """The same session, which was exported, lost and restored at one moment."""
    exported = game.raw("get", "EXPORT", at=at).decode()
    before = game.state(at=at)
    core.run("FLUSHALL")
    answer = core.call("restore", game.session, [exported], START + at)
    assert answer.code is None, answer.text
    after = game.state(at=at)
    assert [after[name] for name in ("status", "deadline_ms", "participants", "groups")] == [
        before[name] for name in ("status", "deadline_ms", "participants", "groups")
    ]
    return game


@pytest.mark.parametrize("others", [(), (60_000,)], ids=["alone", "two"])
@pytest.mark.parametrize("at", [2500, 2949])
def test_a_session_that_is_lost_in_its_grace_is_restored(
    core: Driver, at: int, others: tuple[int, ...]
) -> None:
    game = lost_and_restored(out(core, *others), core, at=at)
    assert game.alarm() == 2950
    payload = game.do("expire", at=2950)["payload"]
    assert payload["event"] == ("participant.expired" if others else "session.expired")


def test_a_session_that_is_paused_and_lost_in_its_grace_is_restored(core: Driver) -> None:
    game = out(core)
    game.do("pause", at=2600)
    game = lost_and_restored(game, core, at=2700)
    with pytest.raises(RefusedError) as caught:
        game.do("resume", at=2800)
    assert caught.value.code == "PARTICIPANT_EXPIRED"
    game.do("expire", at=3600)
    assert (game.deadline(), game.alarm()) == (3500, 3950)
    assert game.do("expire", at=3950)["payload"]["event"] == "session.expired"


def test_who_is_out_and_runs_without_standing_at_its_end_is_not_restored(core: Driver) -> None:
    game = out(core)
    exported = json.loads(game.raw("get", "EXPORT", at=2500))
    fields = exported["internal"]["fields"]
    assert " /0 1 0" in fields["cycle"]
    fields["cycle"] = fields["cycle"].replace(" /0 1 0", "")
    core.run("FLUSHALL")
    assert core.call("restore", game.session, [json.dumps(exported)]).code == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"sync_mode": "global", "total_time_ms": 60_000}, {"time_remaining_ms": 55_000}),
        (
            {"sync_mode": "count_up", "max_time_ms": 60_000},
            {"time_remaining_ms": 55_000, "max_time_ms": 60_000},
        ),
        (
            {"sync_mode": "global", "total_time_ms": 60_000, "time_per_cycle_ms": 30_000},
            {"time_remaining_ms": 30_000, "total_remaining_ms": 55_000},
        ),
        ({"sync_mode": "per_cycle", "time_per_cycle_ms": 30_000}, {"time_remaining_ms": 30_000}),
    ],
    ids=["global", "count_up", "total", "per_cycle"],
)
def test_in_every_mode(core: Driver, config: Json, what: Json) -> None:
    game = Game(core, {"participants": people(2), **config}).start()
    game.do("pause", at=5000)
    game.do("turn", P[1], at=6000)
    state = game.state()
    assert {name: state[name] for name in what} == what
    assert (state["time_used_ms"], state["cycle_count"], state["cycle_elapsed_ms"]) == (5000, 0, 0)
    assert [p["time_used_ms"] for p in state["participants"]] == [5000, 0]


def test_a_request_is_remembered(core: Driver) -> None:
    game = paused(core)
    first = game.do("turn", P[1], "REQUEST", "r1", "ACTOR", "arbiter", at=6000)
    assert first["payload"]["actor"] == "arbiter"
    assert game.do("turn", P[1], "REQUEST", "r1", "ACTOR", "arbiter")["replayed"] is True
    assert code(game, P[2], "VERSION", 3) == "CONCURRENT_MODIFICATION"


def test_the_same_one_without_a_charge_is_not_listed_and_is_where_takebacks_end(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, time_control={"kind": "hourglass"})).start()
    game.do("pause", at=0)
    assert game.do("turn", P[0], at=1000)["payload"]["participants"] == []
    game.do("resume", at=2000)
    game.do("switch", at=5000)
    game.do("switch", at=6000)
    game.do("takeback", "TURNS", 2, at=7000)
    assert [values(game, i)[:3] for i in (0, 1)] == [(60_000, 0, 0), (60_000, 0, 0)]
    with pytest.raises(RefusedError, match=r"turn\.set \(version 4\) lies between"):
        game.do("takeback", at=8000)
