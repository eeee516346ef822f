"""`sk_reset`: a session begins anew, as its config had it, with those who take part now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, G, Game, Json, P, RefusedError, people, players
from tests.model.driver import Driver

SKIP = {"action_on_timeout": {"type": "skip_cycle"}}
DAY = 86_400_000
TIMES = {"version", "epoch", "created_at", "updated_at", "server_time_ms"}
"""What differs between a session that was reset and one that is new."""

STAGES = {
    "kind": "stages",
    "stages": [
        {"moves": 1, "time_ms": 30_000, "kind": "delay", "delay_ms": 3000},
        {"time_ms": 5000, "kind": "byoyomi", "periods": 2, "period_ms": 1000},
    ],
}
TEAMS = [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(4)]
CONFIGS: dict[str, Json] = {
    "plain": players(30_000, 30_000, 30_000, increment_ms=2000),
    "unequal": players(30_000, 40_000, 30_000, warnings_ms=[20_000]),
    "whose turn": players(30_000, 30_000, 30_000, active_participant_id=P[1]),
    "controls": {
        **players(
            30_000, 30_000, lag_compensation=True, time_control={"kind": "fischer", "overtime_ms": 500}
        ),
        "participants": [
            {"participant_id": P[0], "total_time_ms": 30_000},
            {"participant_id": P[1], "time_control": STAGES},
            {"participant_id": P[2], "time_control": {"kind": "none"}},
        ],
    },
    "stages": {"sync_mode": "per_participant", "participants": people(3), "time_control": STAGES},
    "notify": players(30_000, 30_000, 30_000, action_on_timeout={"type": "notify"}),
    "teams": {
        "sync_mode": "per_group",
        "participants": TEAMS,
        "groups": [{"group_id": G[0], "total_time_ms": 30_000}, {"group_id": G[1], "total_time_ms": 20_000}],
        **SKIP,
    },
    "members": {
        "sync_mode": "per_participant",
        "participants": [{**member, "total_time_ms": 30_000} for member in TEAMS],
    },
    "per_cycle": {"sync_mode": "per_cycle", "participants": people(3), "time_per_cycle_ms": 30_000},
    "global": {"sync_mode": "global", "participants": people(3), "total_time_ms": 60_000},
    "total": {
        "sync_mode": "global",
        "participants": people(3),
        "total_time_ms": 60_000,
        "time_per_cycle_ms": 30_000,
    },
    "count_up": {"sync_mode": "count_up", "participants": people(3)},
    "count_up with a maximum": {"sync_mode": "count_up", "participants": people(3), "max_time_ms": 60_000},
}


def state(game: Game, at: int | None = None) -> Json:
    """The state, without what tells a session that was reset from a new one."""
    return {name: value for name, value in game.state(at).items() if name not in TIMES}


def fields(game: Game) -> dict[str, str]:
    """The hash of the session."""
    found = game.core.run("HGETALL", game.keys.session)
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}


def play(game: Game) -> None:
    """Some turns, of which one runs out."""
    game.do("start", at=1000)
    game.do("switch", at=5000)
    game.do("pause", at=6000)
    game.do("turn", game.state()["participants"][0]["participant_id"], at=7000)
    game.do("resume", at=8000)
    game.do("switch", at=20_000)
    game.raw("expire", at=45_000)
    if game.state()["status"] == "running":
        game.do("takeback", at=45_500)
        owner = game.state()["active_group_id"] if game.state()["sync_mode"] == "per_group" else None
        which = ["GROUP", owner] if owner else []
        if game.state()["sync_mode"] == "per_participant":
            which = ["PARTICIPANT", P[0]]
        if game.state()["time_remaining_ms"] is not None or game.state()["sync_mode"] == "count_up":
            game.do("adjust", *which, "SET", 50_000, at=46_000)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("ending", [None, "pause", "complete", "cancel"])
def test_it_is_as_it_was_when_it_was_created(core: Driver, name: str, ending: str | None) -> None:
    game = Game(core, CONFIGS[name])
    new, new_fields = state(game), fields(game)
    play(game)
    if ending and game.state()["status"] == "running":
        game.do(ending, at=47_000)
    version = game.state()["version"]
    played = game.state(at=60_000)
    for person in played["participants"]:
        person["clock"] = person["clock"] and {k: v for k, v in person["clock"].items() if k != "now"}
    event = game.do("reset", at=60_000)
    payload = event["payload"]
    assert (event["type"], payload["event"], payload["status"]) == (
        "STATE_UPDATE",
        "session.reset",
        "pending",
    )
    assert (event["version"], event["epoch"]) == (version + 1, game.created["epoch"])
    listed = {p["participant_id"]: p for p in payload["participants"]}
    assert [listed.get(p["participant_id"], p) for p in new["participants"]] == new["participants"]
    changed = {
        p["participant_id"]
        for p, q in zip(played["participants"], new["participants"], strict=True)
        if p != q
    }
    assert set(listed) == changed
    assert (payload["active_participant_id"], payload["cycle_count"]) == (new["active_participant_id"], 0)
    assert (state(game), game.alarm()) == (new, None)
    stored, changing = fields(game), {"version", "cycle", "server"}
    assert {k: v for k, v in stored.items() if k not in changing} == {
        k: v for k, v in new_fields.items() if k not in changing
    }
    parts, new_parts = stored["cycle"].split(), new_fields["cycle"].split()
    assert parts[:5] + parts[6:] == new_parts[:5] + new_parts[6:]  # all but when it changed


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_play_ends_the_same_way(core: Driver, name: str) -> None:
    game = Game(core, CONFIGS[name])
    play(game)
    played = [
        (p["total_time_ms"], p["time_used_ms"], p["clock"]) for p in state(game, at=50_000)["participants"]
    ]
    game.do("reset", at=50_000)
    # The same turns as many ms later.
    times = {"start": 101_000, "switch": 105_000, "pause": 106_000}
    for function, at in times.items():
        game.do(function, at=at)
    assert played != []
    first = state(game, at=106_500)
    again = Game(core, CONFIGS[name], session=game.session[:-2] + "cd", at=100_000)
    for function, at in times.items():
        again.do(function, at=at)
    different = {"session_id", "session_started_at"}
    second = state(again, at=106_500)
    assert {k: v for k, v in first.items() if k not in different} == {
        k: v for k, v in second.items() if k not in different
    }


@pytest.mark.parametrize("status", ["pending", "running", "paused", "expired", "completed", "cancelled"])
def test_in_every_state_of_a_session(core: Driver, status: str) -> None:
    game = Game(core, players(20_000, 20_000))
    if status != "pending":
        game.start()
    ending = {"paused": "pause", "expired": "expire", "completed": "complete", "cancelled": "cancel"}
    if status in ending:
        game.do(ending[status], at=20_000 if status == "expired" else 5000)
    assert game.state()["status"] == status
    assert game.do("reset", at=21_000)["payload"]["status"] == "pending"
    assert game.do("start", at=22_000)["payload"]["deadline_ms"] == START + 42_000
    with pytest.raises(RefusedError) as caught:
        game.do("reset", "VERSION", 1)
    assert caught.value.code == "CONCURRENT_MODIFICATION"


def test_a_deleted_session_cannot_be_reset(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000))
    game.raw("delete")
    with pytest.raises(RefusedError) as caught:
        game.do("reset")
    assert caught.value.code == "SESSION_NOT_FOUND"


def test_it_is_carried_out_though_the_time_is_up(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000)).start()
    assert game.do("reset", at=25_000)["payload"]["event"] == "session.reset"
    assert game.raw("expire", at=26_000) is None


def test_those_who_take_part_now(core: Driver) -> None:
    """Who joined has the bank it joined with; who left is gone, and is not the first one any more."""
    game = Game(core, players(20_000, 20_000, 30_000, active_participant_id=P[1])).start()
    for who, bank in ((P[5], 20_000), (P[6], 45_000)):
        game.do("join", json.dumps({"participant_id": who, "total_time_ms": bank}), at=1000)
    game.do("leave", P[1], at=2000)
    game.do("leave", P[2], at=3000)
    game.do(
        "join", json.dumps({"participant_id": P[7], "participant_index": 1, "total_time_ms": 5000}), at=4000
    )
    game.do("complete", at=5000)
    game.do("reset", at=6000)
    found = game.state()
    assert found["active_participant_id"] is None
    assert [(p["participant_id"], p["total_time_ms"], p["time_used_ms"]) for p in found["participants"]] == [
        (P[0], 20_000, 0),
        (P[7], 5000, 0),
        (P[5], 20_000, 0),
        (P[6], 45_000, 0),
    ]


def test_the_config_names_a_participant_and_not_its_place(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, active_participant_id=P[1])).start()
    game.do("leave", P[1], at=1000)
    game.do(
        "join", json.dumps({"participant_id": P[2], "participant_index": 1, "total_time_ms": 9000}), at=2000
    )
    assert game.do("reset", at=3000)["payload"]["active_participant_id"] is None
    game.do("join", json.dumps({"participant_id": P[1], "total_time_ms": 9000}), at=4000)
    assert game.do("reset", at=5000)["payload"]["active_participant_id"] == P[1]


def test_it_takes_a_turn_back_that_was_set_before_the_start(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000))
    game.do("turn", P[1], at=1000)
    assert game.do("reset", at=2000)["payload"]["active_participant_id"] is None
    assert game.do("start", at=3000)["payload"]["active_participant_id"] == P[0]


def test_warnings_come_again(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000, warnings_ms=[15_000])).start()
    game.do("expire", at=5000)
    game.do("reset", at=6000)
    game.start(at=7000)
    assert game.alarm() == 12_000


def test_requests_stay_remembered(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000)).start()
    first = game.do("switch", "REQUEST", "r1", at=1000)
    game.do("reset", "REQUEST", "r2", at=2000)
    assert game.do("switch", "REQUEST", "r1", at=3000) == {**first, "replayed": True}
    assert game.do("reset", "REQUEST", "r2", at=4000)["replayed"] is True
    assert game.state()["version"] == 4


def test_turns_from_before_cannot_be_taken_back(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000)).start()
    game.do("switch", at=1000)
    game.do("reset", at=2000)
    game.start(at=3000)
    with pytest.raises(RefusedError, match="no more turns"):
        game.do("takeback", at=4000)


def test_it_lives_as_a_new_session_does(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000), "TTL", "60").start()
    game.do("complete", at=1000)
    game.do("reset", at=2000)
    assert core.run("PTTL", game.keys.session) > DAY - 60_000


def test_a_restored_session_is_reset_to_its_config_and_was_never_lost(core: Driver) -> None:
    game = Game(core, CONFIGS["unequal"])
    new = state(game)
    play(game)
    exported = game.raw("get", "EXPORT", at=50_000).decode()
    core.run("FLUSHALL")
    assert core.call("restore", game.session, [exported], START + 90_000).code is None
    assert game.state()["recovered"] is True
    game.do("reset", at=91_000)
    assert state(game) == new


def test_a_session_of_a_thousand(core: Driver) -> None:
    banks = [60_000 + i % 7 * 1000 for i in range(1000)]
    game = Game(core, players(*banks)).start()
    new = game.created["participants"]
    for at in range(1000, 20_000, 1000):
        game.do("switch", at=at)
    game.do("complete", at=20_000)
    assert len(game.do("reset", at=21_000)["payload"]["participants"]) == 20
    assert game.state()["participants"] == new
    groups = [{"participant_id": P[i], "group_id": P[i]} for i in range(700)]
    teams: Any = {"sync_mode": "per_group", "participants": groups}
    teams["groups"] = [{"group_id": P[i], "total_time_ms": 60_000} for i in range(700)]
    game = Game(core, teams, session=game.session[:-2] + "cd").start(at=30_000)
    game.do("switch", at=31_000)
    game.do("reset", at=32_000)
    assert game.state()["groups"] == game.created["groups"]
    assert "l:" + P[1] not in fields(game)


def test_an_imported_session_is_reset_to_its_config(core: Driver) -> None:
    config = players(20_000, 30_000, active_participant_id=P[1])
    standing = {
        "status": "running",
        "active_participant_id": P[0],
        "participants": [{"participant_id": P[i], "bank_ms": 5000, "time_used_ms": 7000} for i in (0, 1)],
    }
    game = Game(core, config)
    new = state(game)
    core.run("FLUSHALL")
    assert core.call("import", game.session, [json.dumps(config), json.dumps(standing)], START).code is None
    game.do("reset", at=1000)
    assert state(game) == new


def test_a_session_that_library_0_4_created_says_why_it_cannot(core: Driver) -> None:
    game = Game(core, players(20_000, 20_000)).start()
    core.run("HDEL", game.keys.session, "bank", "first")
    before = core.snapshot()
    with pytest.raises(RefusedError, match=r"library 0\.4 or older created it") as caught:
        game.do("reset", at=1000)
    assert (caught.value.code, core.snapshot()) == ("INVALID_SESSION_STATE", before)
    game.do("join", json.dumps({"participant_id": P[5], "total_time_ms": 5000}))
    assert "b:p2" not in fields(game)
    exported = game.raw("get", "EXPORT").decode()
    core.run("FLUSHALL")
    assert core.call("restore", game.session, [exported], START + 5000).code is None
