"""`sk_reopen`: a session that is over goes on, from where it ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.game import START, G, Game, Json, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"action_on_timeout": {"type": "skip_cycle"}}
NOTIFY = {"action_on_timeout": {"type": "notify"}}
DAY = 86_400_000


def code(game: Game, function: str, *args: str | int, at: int | None = None) -> str | None:
    """The code of a call that is refused, which changes nothing."""
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as caught:
        game.do(function, *args, at=at)
    assert game.core.snapshot() == before
    return caught.value.code


def values(game: Game, index: int) -> tuple[int, int, int, bool]:
    """Bank, time used, cycles and whether it is out, of a participant."""
    p = game.person(index)
    return p["total_time_ms"], p["time_used_ms"], p["cycle_count"], p["has_expired"]


def over(core: Driver, ending: str, **config: Any) -> Game:
    """A game of two with 20 s each, which ended in the second one's turn, after 5 s or by its clock."""
    game = Game(core, players(20_000, 20_000, **config)).start()
    game.do("switch", at=4000)
    game.do(ending, at=24_000 if ending == "expire" else 9000)
    return game


@pytest.mark.parametrize("ending", ["complete", "cancel"])
def test_who_was_active_is_again_at_the_start_of_a_cycle(core: Driver, ending: str) -> None:
    game = over(core, ending)
    before = [values(game, i) for i in (0, 1)]
    event = game.do("reopen", at=60_000)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["status"]) == (
        "STATE_UPDATE",
        "session.reopened",
        "paused",
    )
    assert (payload["active_participant_id"], payload["time_remaining_ms"]) == (P[1], 15_000)
    assert "action_applied" not in payload
    assert [values(game, i) for i in (0, 1)] == before == [(16_000, 4000, 1, False), (15_000, 5000, 1, False)]
    state = game.state()
    assert (state["session_completed_at"], state["cycle_elapsed_ms"], state["cycle_count"]) == (None, 0, 2)
    game.do("resume", at=61_000)
    assert (game.deadline(), game.alarm()) == (76_000, 76_000)


def test_a_clock_that_is_out_waits_for_time(core: Driver) -> None:
    game = over(core, "expire")
    game.do("reopen", at=30_000)
    assert (values(game, 1), game.alarm()) == ((0, 20_000, 1, True), None)
    assert code(game, "resume", at=31_000) == "PARTICIPANT_EXPIRED"
    game.do("adjust", "PARTICIPANT", P[0], "ADD", 1000)
    assert code(game, "resume") == "PARTICIPANT_EXPIRED"
    game.do("adjust", "PARTICIPANT", P[1], "ADD", 7000, at=32_000)
    game.do("resume", at=33_000)
    assert game.deadline() == 40_000
    game.do("switch", at=34_000)
    game.do("switch", at=35_000)
    assert game.state()["active_participant_id"] == P[1]


def test_whoever_was_out_stays_out(core: Driver) -> None:
    game = Game(core, players(5000, 20_000, 20_000, **SKIP)).start()
    game.do("expire", at=5000)
    game.do("complete", at=6000)
    game.do("reopen", at=7000)
    game.do("resume", at=8000)
    order = [game.do("switch", at=at)["payload"]["active_participant_id"] for at in (9000, 10_000)]
    assert order == [P[2], P[1]]
    assert code(game, "switch", "NEXT", P[0]) == "PARTICIPANT_EXPIRED"


def test_the_turn_can_be_given_to_somebody_who_is_not_out(core: Driver) -> None:
    game = over(core, "expire")
    game.do("reopen", at=30_000)
    game.do("turn", P[0], at=31_000)
    game.do("resume", at=32_000)
    assert (game.deadline(), values(game, 1)) == (48_000, (0, 20_000, 1, True))
    assert game.do("switch", at=33_000)["payload"]["active_participant_id"] == P[0]


def test_it_can_end_again(core: Driver) -> None:
    game = over(core, "expire")
    game.do("reopen", at=30_000)
    assert game.do("complete", at=31_000)["payload"]["status"] == "completed"
    assert values(game, 1)[1:3] == (20_000, 2)
    game.do("reopen", at=32_000)
    assert game.state()["active_participant_id"] == P[1]


def test_under_notify_the_clock_stands_at_its_end(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, **NOTIFY)).start()
    game.do("switch", at=4000)
    game.do("expire", at=24_000)
    game.do("complete", at=25_000)
    game.do("reopen", at=26_000)
    game.do("resume", at=27_000)
    assert (game.deadline(), game.alarm(), game.state()["time_remaining_ms"]) == (None, None, 0)
    game.do("switch", at=28_000)
    assert values(game, 1) == (0, 20_000, 2, True)


def test_what_had_not_started_is_pending_again(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, active_participant_id=P[1]))
    game.do("cancel", at=1000)
    payload = game.do("reopen", at=2000)["payload"]
    assert (payload["status"], payload["active_participant_id"]) == ("pending", P[1])
    assert game.do("start", at=3000)["payload"]["active_participant_id"] == P[1]
    game = Game(core, players(20_000, 20_000), session=game.session[:-2] + "cd")
    game.do("complete", at=1000)
    assert game.do("reopen", at=2000)["payload"]["active_participant_id"] is None
    assert game.do("start", at=3000)["payload"]["active_participant_id"] == P[0]


def test_where_the_active_one_has_left_the_next_one_in_rotation_is(core: Driver) -> None:
    """The end came when the last one who was not out left: all that are left are out."""
    game = Game(core, players(3000, 20_000, 5000, 20_000, **SKIP)).start()
    game.do("expire", at=3000)
    game.do("switch", at=4000)
    game.do("expire", at=9000)
    game.do("leave", P[1], at=10_000)
    assert game.do("leave", P[3], at=11_000)["payload"]["status"] == "expired"
    game.do("reopen", at=12_000)
    assert game.state()["active_participant_id"] == P[0]
    assert code(game, "resume") == "PARTICIPANT_EXPIRED"
    game.do("adjust", "PARTICIPANT", P[2], "SET", 8000, at=13_000)
    game.do("turn", P[2], at=14_000)
    game.do("resume", at=15_000)
    assert game.deadline() == 23_000


def test_a_team_whose_member_left_gives_the_turn_to_the_next_one(core: Driver) -> None:
    who = [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(4)]
    groups = [{"group_id": G[i], "total_time_ms": 5000} for i in range(2)]
    made = {"sync_mode": "per_group", "participants": who, "groups": groups, **SKIP}
    game = Game(core, made).start()
    game.do("expire", at=5000)
    game.do("leave", P[3], at=6000)
    assert game.do("leave", P[1], at=7000)["payload"]["status"] == "expired"
    payload = game.do("reopen", at=8000)["payload"]
    assert (payload["active_participant_id"], payload["active_group_id"]) == (P[2], G[0])
    assert code(game, "resume") == "PARTICIPANT_EXPIRED"
    game.do("adjust", "GROUP", G[0], "SET", 4000)
    game.do("resume", at=9000)
    assert game.deadline() == 13_000


def test_the_next_team_has_the_turn_though_one_is_left_in_the_team_of_the_one_who_left(core: Driver) -> None:
    """The team of the first and the last lost all its time in a pause; the other was out before."""
    who = [{"participant_id": P[i], "group_id": G[team]} for i, team in enumerate([0, 1, 0])]
    groups = [{"group_id": G[i], "total_time_ms": 5000} for i in range(2)]
    made = {"sync_mode": "per_group", "participants": who, "groups": groups, **SKIP}
    game = Game(core, made).start()
    game.do("switch", at=1000)
    assert game.do("expire", at=6000)["payload"]["active_participant_id"] == P[2]
    game.do("pause", at=7000)
    game.do("adjust", "GROUP", G[0], "SET", 0, at=8000)
    assert game.do("leave", P[2], at=9000)["payload"]["status"] == "expired"
    payload = game.do("reopen", at=10_000)["payload"]
    assert (payload["active_participant_id"], payload["active_group_id"]) == (P[1], G[1])


MODES: list[tuple[Json, str, list[str | int]]] = [
    ({"sync_mode": "global", "total_time_ms": 5000}, "PARTICIPANT_EXPIRED", ["ADD", 3000]),
    ({"sync_mode": "count_up", "max_time_ms": 5000}, "PARTICIPANT_EXPIRED", ["SET", 3000]),
]


@pytest.mark.parametrize(("config", "refused", "adjust"), MODES, ids=["global", "count_up"])
def test_a_clock_of_the_session_that_is_used_up_waits_for_time(
    core: Driver, config: Json, refused: str, adjust: list[str | int]
) -> None:
    game = Game(core, {"participants": people(2), **config}).start()
    game.do("switch", at=2000)
    game.do("expire", at=5000)
    payload = game.do("reopen", at=6000)["payload"]
    assert (payload["active_participant_id"], payload["time_remaining_ms"]) == (P[1], 0)
    assert code(game, "resume", at=7000) == refused
    game.do("adjust", *adjust, at=8000)
    game.do("resume", at=9000)
    assert game.deadline() == 12_000


def test_a_cycle_clock_begins_afresh(core: Driver) -> None:
    game = Game(
        core, {"sync_mode": "per_cycle", "participants": people(2), "time_per_cycle_ms": 5000}
    ).start()
    game.do("expire", at=5000)
    game.do("reopen", at=6000)
    game.do("resume", at=7000)
    assert (game.deadline(), game.state()["active_participant_id"]) == (12_000, P[0])


def test_a_total_that_is_used_up_ends_it_for_good_unless_it_gets_time(core: Driver) -> None:
    config = {"sync_mode": "global", "total_time_ms": 5000, "time_per_cycle_ms": 3000, **SKIP}
    game = Game(core, {"participants": people(2), **config}).start()
    game.do("expire", at=3000)
    assert game.do("expire", at=5000)["payload"]["expired_clock"] == "total"
    assert game.do("reopen", at=6000)["payload"]["total_remaining_ms"] == 0
    with pytest.raises(RefusedError, match="the total of the session is used up") as caught:
        game.do("resume", at=7000)
    assert caught.value.code == "PARTICIPANT_EXPIRED"
    game.do("adjust", "CLOCK", "total", "ADD", 2000, at=8000)
    game.do("resume", at=9000)
    assert game.deadline() == 11_000


def test_it_is_no_pause_and_does_not_end_by_itself(core: Driver) -> None:
    game = over(core, "complete", max_pause_ms=5000)
    assert "resumes_at_ms" not in game.do("reopen", at=10_000)["payload"]
    assert (game.alarm(), game.raw("expire", at=100_000)) == (None, None)
    game.do("resume", at=101_000)
    game.do("pause", at=102_000)
    assert game.alarm() == 107_000


@pytest.mark.parametrize("status", ["pending", "running", "paused"])
def test_only_a_session_that_is_over(core: Driver, status: str) -> None:
    game = Game(core, players(20_000, 20_000))
    if status != "pending":
        game.start()
    if status == "paused":
        game.do("pause", at=1000)
    assert code(game, "reopen", at=2000) == "INVALID_SESSION_STATE"
    game.raw("delete")
    assert code(game, "reopen") == "SESSION_NOT_FOUND"


def test_it_lives_as_a_paused_session_does(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000), "TTL", "60").start()
    game.do("complete", at=1000)
    assert core.run("PTTL", game.keys.session) <= 60_000
    game.do("reopen", at=2000)
    assert core.run("PTTL", game.keys.session) > DAY - 60_000
    assert core.run("PTTL", game.keys.log) > DAY - 60_000


@pytest.mark.parametrize("ending", ["expire", "complete"])
def test_a_restored_session_that_was_over_can_be_reopened(core: Driver, ending: str) -> None:
    game = over(core, ending)
    exported = game.raw("get", "EXPORT", at=30_000).decode()
    core.run("FLUSHALL")
    assert core.call("restore", game.session, [exported], START + 90_000).code is None
    assert game.state()["status"] == {"expire": "expired", "complete": "completed"}[ending]
    game.do("reopen", at=91_000)
    if ending == "expire":
        assert code(game, "resume") == "PARTICIPANT_EXPIRED"
        game.do("adjust", "PARTICIPANT", P[1], "SET", 15_000)
    game.do("resume", at=92_000)
    assert (game.deadline(), game.state()["active_participant_id"]) == (107_000, P[1])


@pytest.mark.parametrize("is_last_out", [False, True])
def test_a_reopened_session_can_be_exported_and_restored(core: Driver, is_last_out: bool) -> None:
    """Also where everybody is out."""
    game = over(core, "expire", **(SKIP if is_last_out else {}))
    if is_last_out:
        game.do("expire", at=40_000)
        assert game.state()["status"] == "expired"
    game.do("reopen", at=41_000)
    state = game.state(at=42_000)
    exported = game.raw("get", "EXPORT", at=42_000).decode()
    core.run("FLUSHALL")
    assert core.call("restore", game.session, [exported], START + 90_000).code is None
    restored = game.state(at=90_000)
    assert (restored["participants"], restored["status"]) == (state["participants"], "paused")
    assert code(game, "resume") == "PARTICIPANT_EXPIRED"


def test_a_session_that_library_0_4_ended_is_reopened_by_what_it_left(core: Driver) -> None:
    game = over(core, "expire")
    core.run("HDEL", game.keys.session, "was", "bank", "first")
    game.do("reopen", at=30_000)
    assert game.state()["active_participant_id"] == P[1]
    core.run("FLUSHALL")
    game = over(core, "complete")
    core.run("HDEL", game.keys.session, "was", "bank", "first")
    game.do("reopen", at=30_000)
    assert game.state()["active_participant_id"] == P[1]
    game.do("complete", at=31_000)
    core.run("HDEL", game.keys.session, "was", "bank", "first")
    core.run("DEL", game.keys.log)
    game.do("reopen", at=32_000)
    assert game.state()["active_participant_id"] == P[0]
