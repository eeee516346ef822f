"""`sk_takeback`: the last turns are taken back, as the log tells of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, Json, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"action_on_timeout": {"type": "skip_cycle"}}
NOTIFY = {"action_on_timeout": {"type": "notify"}}


def refusal(game: Game, *args: str | int, at: int | None = None) -> tuple[str, Json]:
    """The sentence and the context of a takeback that is refused, which changes nothing."""
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as caught:
        game.do("takeback", *args, at=at)
    assert game.core.snapshot() == before
    assert caught.value.code == "INVALID_SESSION_STATE"
    return caught.value.answer.text.partition(" {")[0], caught.value.answer.context


def active(game: Game) -> int:
    """The position of who is active."""
    return P.index(game.state()["active_participant_id"])


def values(game: Game, index: int) -> tuple[int, int, int, bool]:
    """Bank, time used, cycles and whether it is out, of a participant."""
    p = game.person(index)
    return p["total_time_ms"], p["time_used_ms"], p["cycle_count"], p["has_expired"]


def three_turns(core: Driver, **config: Any) -> Game:
    """A game of two with 60 s and 2 s a turn; after 5 s, 7 s and 4 s it is the second one's turn."""
    game = Game(core, players(60_000, 60_000, increment_ms=2000, **config)).start()
    for at in (5000, 12_000, 16_000):
        game.do("switch", at=at)
    return game


def test_one_turn_comes_back_and_begins_now(core: Driver) -> None:
    game = three_turns(core)
    event = game.do("takeback", at=20_000)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["reason"]) == (
        "STATE_UPDATE",
        "turn.taken_back",
        "manual",
    )
    assert (payload["turns"], payload["cycle_count"], payload["status"]) == (1, 2, "running")
    assert (active(game), game.deadline(), game.alarm()) == (0, 77_000, 77_000)
    assert values(game, 0) == (57_000, 5000, 1, False)
    assert values(game, 1) == (55_000, 7000, 1, False)
    state = game.state()
    assert (state["time_used_ms"], state["cycle_count"], state["cycle_elapsed_ms"]) == (12_000, 2, 0)


def test_the_event_lists_whose_values_or_turn_changed(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, 60_000)).start()
    game.do("switch", at=1000)
    game.do("switch", "NEXT", P[0], at=3000)
    listed = {p["participant_id"]: p for p in game.do("takeback", at=4000)["payload"]["participants"]}
    assert set(listed) == {P[0], P[1]}
    assert (listed[P[1]]["is_active"], listed[P[1]]["total_time_ms"]) == (True, 60_000)
    assert (listed[P[0]]["is_active"], listed[P[0]]["total_time_ms"]) == (False, 59_000)


@pytest.mark.parametrize("turns", [[1, 1, 1], [2, 1], [1, 2], [3]])
def test_several_at_once_are_the_same_as_one_after_the_other(core: Driver, turns: list[int]) -> None:
    game = three_turns(core)
    for each in turns:
        game.do("takeback", "TURNS", each, at=20_000)
    assert (active(game), game.deadline()) == (0, 80_000)
    assert (values(game, 0), values(game, 1)) == ((60_000, 0, 0, False), (60_000, 0, 0, False))


def test_what_is_played_after_it_can_be_taken_back_again(core: Driver) -> None:
    game = three_turns(core)
    game.do("takeback", "TURNS", 2, at=20_000)
    game.do("switch", at=21_000)
    game.do("takeback", at=22_000)
    assert (active(game), game.deadline()) == (1, 82_000)
    game.do("takeback", at=23_000)
    assert (active(game), values(game, 0)) == (0, (60_000, 0, 0, False))


def test_in_a_pause_the_cycle_waits_at_its_start_and_the_end_of_the_pause_stays(core: Driver) -> None:
    game = three_turns(core, max_pause_ms=10_000)
    game.do("pause", at=20_000)
    payload = game.do("takeback", at=21_000)["payload"]
    assert (payload["status"], payload["deadline_ms"], payload["time_remaining_ms"]) == (
        "paused",
        None,
        57_000,
    )
    assert (payload["resumes_at_ms"], game.alarm()) == (START + 30_000, 30_000)
    game.do("resume", at=25_000)
    assert game.deadline() == 82_000


def test_pauses_and_warnings_between_do_not_matter(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, warnings_ms=[15_000])).start()
    game.do("expire", at=5000)
    game.do("pause", at=6000)
    game.do("resume", at=60_000)
    game.do("switch", at=61_000)
    game.do("takeback", at=62_000)
    assert (active(game), game.deadline(), game.alarm()) == (0, 82_000, 67_000)
    assert values(game, 0) == (20_000, 0, 0, False)
    assert game.do("expire", at=67_000)["payload"]["warning_ms"] == 15_000  # as in any cycle that begins


def test_who_was_out_is_in_again(core: Driver) -> None:
    game = Game(core, players(5000, 9000, 9000, **SKIP)).start()
    game.do("expire", at=5000)
    assert (active(game), values(game, 0)) == (1, (0, 5000, 1, True))
    game.do("takeback", at=6000)
    assert (active(game), values(game, 0), game.deadline()) == (0, (5000, 0, 0, False), 11_000)
    game.do("switch", "NEXT", P[2], at=7000)
    game.do("switch", at=8000)
    assert active(game) == 0


def test_under_notify_the_clock_that_stood_at_its_end_runs_again(core: Driver) -> None:
    game = Game(core, players(9000, 5000, **NOTIFY)).start()
    game.do("switch", at=1000)
    game.do("expire", at=6000)
    game.do("switch", at=7000)
    assert values(game, 1) == (0, 5000, 1, True)
    game.do("takeback", at=8000)
    assert (active(game), values(game, 1), game.deadline()) == (1, (5000, 0, 0, False), 13_000)


def test_under_notify_the_cycle_under_way_is_given_up_though_it_was_charged(core: Driver) -> None:
    game = Game(core, players(9000, 5000, **NOTIFY)).start()
    game.do("switch", at=1000)
    game.do("expire", at=6000)
    game.do("takeback", at=7000)
    assert (active(game), values(game, 1)) == (0, (5000, 0, 0, False))
    assert game.state()["time_used_ms"] == 0


def test_an_hourglass_gives_back_what_was_transferred(core: Driver) -> None:
    game = Game(core, players(10_000, 10_000, time_control={"kind": "hourglass"})).start()
    game.do("switch", at=3000)
    game.do("switch", at=5000)
    assert [values(game, i)[0] for i in (0, 1)] == [9000, 11_000]
    game.do("takeback", at=6000)
    assert ([values(game, i)[0] for i in (0, 1)], active(game)) == ([7000, 13_000], 1)
    game.do("takeback", at=7000)
    assert ([values(game, i)[0] for i in (0, 1)], active(game)) == ([10_000, 10_000], 0)


CONTROLS: list[Json] = [
    {"kind": "byoyomi", "periods": 3, "period_ms": 2000},
    {"kind": "canadian", "period_ms": 9000, "moves": 3},
    {"kind": "stages", "stages": [{"moves": 1, "time_ms": 2000, "kind": "delay", "delay_ms": 9000},
                                  {"time_ms": 5000, "kind": "canadian", "period_ms": 9000, "moves": 3}]},
]  # fmt: skip


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c["kind"])
def test_periods_blocks_and_stages_come_back(core: Driver, control: Json) -> None:
    config = players(2000, 2000, time_control=control)
    if control["kind"] == "stages":
        for participant in config["participants"]:
            del participant["total_time_ms"]
    game = Game(core, config).start()
    before = [person["clock"] for person in game.state()["participants"]]
    for at in (3500, 7000, 10_500, 14_000):
        game.do("switch", at=at)
    played = [person["clock"] for person in game.state()["participants"]]
    assert played != before
    game.do("takeback", "TURNS", 4, at=15_000)
    assert [person["clock"] for person in game.state()["participants"]] == before


def test_the_quota_of_lag_compensation_comes_back_with_the_clock(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, lag_compensation=True)).start()
    quota = game.person(0)["clock"]["quota_ms"]
    game.do("switch", "LAG", 400, at=5000)
    assert game.person(0)["clock"]["quota_ms"] != quota
    game.do("takeback", at=6000)
    assert game.person(0)["clock"]["quota_ms"] == quota


def teams(core: Driver, **config: Any) -> Game:
    """Two teams of three and one of two; started."""
    who = [{"participant_id": P[i], "group_id": G[i % 3]} for i in range(8)]
    groups = [{"group_id": G[i], "total_time_ms": 60_000} for i in range(3)]
    made = {"sync_mode": "per_group", "participants": who, "groups": groups, **config}
    return Game(core, made).start()


def test_the_rotation_of_teams_goes_on_as_it_would_have(core: Driver) -> None:
    game = teams(core)
    order = [0]
    for turn in range(1, 9):
        game.do("switch", at=turn * 1000)
        order.append(active(game))
    assert order == [0, 1, 2, 3, 4, 5, 6, 7, 2]
    game.do("takeback", "TURNS", 5, at=9000)
    assert active(game) == 3
    for turn, expected in enumerate(order[4:], 10):
        game.do("switch", at=turn * 1000)
        assert active(game) == expected
    group = game.state()["groups"][0]
    assert (group["time_used_ms"], group["cycle_count"]) == (3000, 3)


@pytest.mark.parametrize("kept", [3, 4])
def test_the_rotation_of_teams_is_known_from_a_short_log_too(core: Driver, kept: int) -> None:
    game = teams(core)
    for turn in range(1, 9):
        game.do("switch", at=turn * 1000)
    core.run("XTRIM", game.keys.log, "MAXLEN", "=", kept)
    game.do("takeback", "TURNS", kept - 1, at=9000)
    for turn, expected in enumerate([0, 1, 2, 3, 4, 5, 6, 7, 2][10 - kept :], 10):
        game.do("switch", at=turn * 1000)
        assert active(game) == expected


def test_who_was_named_with_next_does_not_tell_whose_turn_it_was_in_the_team(core: Driver) -> None:
    game = teams(core)
    for turn in range(1, 7):
        game.do("switch", at=turn * 1000)
    game.do("switch", "NEXT", P[4], at=7000)
    game.do("switch", at=8000)
    core.run("XTRIM", game.keys.log, "MAXLEN", "=", 3)
    sentence, context = refusal(game, "TURNS", 2, at=9000)
    assert G[1] in sentence
    assert context == {"status": "running", "turns": 0, "log_begins": 8}
    game.do("takeback", at=9000)
    assert active(game) == 4


@pytest.mark.parametrize(
    ("config", "what", "left"),
    [
        ({"sync_mode": "global", "total_time_ms": 60_000}, "time_remaining_ms", 51_000),
        ({"sync_mode": "count_up", "max_time_ms": 60_000}, "time_remaining_ms", 51_000),
        (
            {"sync_mode": "global", "total_time_ms": 60_000, "time_per_cycle_ms": 30_000},
            "total_remaining_ms",
            51_000,
        ),
        ({"sync_mode": "per_cycle", "time_per_cycle_ms": 30_000}, "time_remaining_ms", 30_000),
    ],
    ids=["global", "count_up", "total", "per_cycle"],
)
def test_a_clock_of_the_session_runs_on(core: Driver, config: Json, what: str, left: int) -> None:
    game = Game(core, {"participants": people(2), **config}).start()
    game.do("switch", at=4000)
    game.do("switch", at=7000)
    game.do("takeback", at=9000)
    state = game.state()
    assert (active(game), state[what]) == (1, left)
    assert (state["time_used_ms"], state["cycle_count"], state["max_time_ms"]) == (
        4000,
        1,
        config.get("max_time_ms"),
    )
    assert [(p["time_used_ms"], p["cycle_count"]) for p in state["participants"]] == [(4000, 1), (0, 0)]
    if "per_cycle" not in config["sync_mode"]:
        end = min(60_000, 9000 + config.get("time_per_cycle_ms", 60_000))
        assert game.deadline() == end


def test_the_maximum_of_count_up_that_is_set_after_it_counts_from_what_ran(core: Driver) -> None:
    game = Game(core, {"sync_mode": "count_up", "participants": people(2)}).start()
    game.do("switch", at=4000)
    game.do("takeback", at=9000)
    game.do("adjust", "SET", 5000, at=10_000)
    assert (game.deadline(), game.state()["max_time_ms"]) == (15_000, 15_000)


@pytest.mark.parametrize("paused", [False, True])
def test_a_turn_that_ended_the_session_can_be_taken_back_once_it_is_reopened(
    core: Driver, paused: bool
) -> None:
    game = Game(core, players(9000, 5000)).start()
    game.do("switch", at=1000)
    game.do("expire", at=6000)
    game.do("reopen", at=7000)
    assert values(game, 1) == (0, 5000, 1, True)
    game.do("takeback", at=8000)
    assert (active(game), values(game, 1), game.state()["status"]) == (1, (5000, 0, 0, False), "paused")
    if paused:
        game.do("takeback", at=8500)
        assert (active(game), values(game, 0)) == (0, (9000, 0, 0, False))
    else:
        game.do("resume", at=9000)
        assert game.deadline() == 14_000


# --- what is due, and what cannot be taken back ------------------------------------------------------------


def test_what_is_due_comes_first(core: Driver) -> None:
    game = three_turns(core)
    assert game.do("takeback", at=71_000)["payload"]["event"] == "session.expired"
    game = Game(core, players(60_000, 60_000, max_pause_ms=1000), session=game.session[:-2] + "cd").start()
    game.do("pause", at=1000)
    assert game.do("takeback", at=2000)["payload"]["event"] == "session.resumed"


@pytest.mark.parametrize("status", ["pending", "expired", "completed", "cancelled"])
def test_only_a_session_that_is_under_way_has_turns_to_take_back(core: Driver, status: str) -> None:
    game = Game(core, players(5000, 5000))
    if status != "pending":
        game.start().do("switch", at=1000)
        game.do({"expired": "expire", "completed": "complete", "cancelled": "cancel"}[status], at=6000)
    assert refusal(game, at=7000)[1]["status"] == status


def test_no_more_turns_than_there_were(core: Driver) -> None:
    game = three_turns(core)
    sentence, context = refusal(game, "TURNS", 4, at=17_000)
    assert "no more than 3" in sentence
    assert context == {"status": "running", "turns": 3}
    assert refusal(Game(core, players(5000, 5000), session=game.session[:-2] + "cd").start())[1]["turns"] == 0


BETWEEN = [
    ("adjust", ["PARTICIPANT", P[0], "ADD", 1000], "time.adjusted"),
    ("join", [json.dumps({"participant_id": P[7], "total_time_ms": 5000})], "participant.added"),
    ("leave", [P[2]], "participant.removed"),
    ("turn", [P[2]], "turn.set"),
]


@pytest.mark.parametrize(("function", "args", "event"), BETWEEN, ids=[name for name, _, _ in BETWEEN])
def test_what_lies_between_is_named(core: Driver, function: str, args: list[str | int], event: str) -> None:
    game = Game(core, players(60_000, 60_000, 60_000)).start()
    game.do("switch", at=1000)
    game.do("switch", at=2000)
    game.do("pause", at=3000)
    game.do(function, *args, at=3000)
    game.do("resume", at=4000)
    sentence, context = refusal(game, at=5000)
    assert f"{event} (version 6) lies between" in sentence
    assert context == {"status": "running", "turns": 0, "event": event, "version": 6}


def test_a_turn_that_began_after_it_can_be_taken_back(core: Driver) -> None:
    game = three_turns(core)
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 1000, at=17_000)
    game.do("switch", at=18_000)
    assert refusal(game, at=19_000)[1]["event"] == "time.adjusted"
    game.do("switch", at=20_000)
    game.do("takeback", at=21_000)
    assert (active(game), values(game, 0)[0]) == (0, 56_000)
    assert refusal(game, at=22_000)[1] == {
        "status": "running", "turns": 0, "event": "time.adjusted", "version": 6,
    }  # fmt: skip


def test_the_turn_that_was_set_or_began_when_the_active_one_left_is_where_it_ends(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000, 60_000)).start()
    game.do("leave", P[0], at=1000)
    game.do("switch", at=2000)
    game.do("takeback", at=3000)
    assert (P.index(game.state()["active_participant_id"]), game.deadline()) == (1, 63_000)
    assert refusal(game, at=4000)[1]["event"] == "participant.removed"


def test_a_log_that_does_not_reach_back_says_how_far_it_does(core: Driver) -> None:
    game = three_turns(core)
    core.run("XTRIM", game.keys.log, "MAXLEN", "=", 2)
    sentence, context = refusal(game, "TURNS", 2, at=17_000)
    assert "the log begins with version 4" in sentence
    assert context == {"status": "running", "turns": 1, "log_begins": 4}
    game.do("takeback", at=17_000)
    assert (active(game), values(game, 0)[0], values(game, 1)[0]) == (0, 57_000, 55_000)
    core.run("DEL", game.keys.log)
    assert "the log is empty" in refusal(game, at=18_000)[0]


def test_a_restored_session_has_an_empty_log(core: Driver) -> None:
    game = three_turns(core)
    exported = game.raw("get", "EXPORT", at=17_000).decode()
    core.run("FLUSHALL")
    core.call("restore", game.session, [exported], START + 18_000)
    assert refusal(game, at=19_000)[1]["event"] == "session.recovered"
    game.do("switch", at=20_000)
    game.do("switch", at=21_000)
    game.do("takeback", at=22_000)
    assert active(game) == 0


def test_sixteen_turns_at_most(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000)).start()
    for at in range(1000, 21_000, 1000):
        game.do("switch", at=at)
    for wrong in (0, 17, -1, "x"):
        with pytest.raises(RefusedError) as caught:
            game.do("takeback", "TURNS", wrong)
        assert (caught.value.code, caught.value.answer.fields) == ("VALIDATION_ERROR", ["TURNS"])
    assert game.do("takeback", "TURNS", 16)["payload"]["cycle_count"] == 4


def test_the_log_is_enough_with_many_participants(core: Driver) -> None:
    """Also for those who had no turn in what is left of it."""
    control = {"time_control": {"kind": "hourglass"}}
    game = Game(core, players(*[60_000] * 100, **control)).start()
    for turn in range(1, 90):
        game.do("switch", at=turn * 100)
    before = game.core.run("HGETALL", game.keys.session)
    for turn in range(90, 100):
        game.do("switch", at=turn * 100)
    core.run("XTRIM", game.keys.log, "MAXLEN", "=", 11)
    game.do("takeback", "TURNS", 10, at=10_000)
    after = game.core.run("HGETALL", game.keys.session)
    if isinstance(before, list):
        before, after = (dict(zip(x[::2], x[1::2], strict=True)) for x in (before, after))
    assert {k: v for k, v in after.items() if k[:1] == b"p"} == {
        k: v for k, v in before.items() if k[:1] == b"p"
    }


def test_a_repeated_request_takes_nothing_back_again(core: Driver) -> None:
    game = three_turns(core)
    first = game.do("takeback", "REQUEST", "r1", at=17_000)
    again = game.do("takeback", "REQUEST", "r1", at=18_000)
    assert again == {**first, "replayed": True}
    assert game.state()["cycle_count"] == 2


def test_a_foreign_entry_in_the_log_is_no_turn(core: Driver) -> None:
    game = three_turns(core)
    core.run("DEL", game.keys.log)
    core.run("XADD", game.keys.log, "5-0", "e", '{"v":1,"type":"nonsense"}')
    assert "the log is empty" in refusal(game, at=17_000)[0]
    core.run("DEL", game.keys.log)
    core.run("SET", game.keys.log, "x")
    with pytest.raises(RefusedError, match="the log is empty"):
        game.do("takeback", at=17_000)
    core.run("DEL", game.keys.log)
