"""The schemas of a session's hash: what a caller sees is the same in each, and a session goes from one to the
other with any of its changes, and back."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.core.game import SESSION, START, G, Game, P, RefusedError, people, players
from tests.model.driver import Driver

Json = dict[str, Any]

NOISE = {"metadata": '}],"schema":7,', "lag_compensation": [1, {"{": "]"}], "empty": [], "none": None}
TRICKY = {"type": "notify", "warnings_ms": [1], "x": '],"metadata":{}', "lag_compensation": True}
CONFIGS: dict[str, Json] = {
    "the usual": players(60_000, 60_000),
    "an increment": players(60_000, 60_000, increment_ms=2000, warnings_ms=[30_000, 5000]),
    "words of a client": players(60_000, 60_000, action_on_timeout=TRICKY, metadata=NOISE),
    "stages": players(time_control="40/90:30+30") | {"participants": people(2)},
    "lag": players(60_000, 60_000, lag_compensation=True, players_may_pause=True),
    "next": players(60_000, 60_000, players_may_choose_next=True, max_pause_ms=60_000),
    "groups": {
        "sync_mode": "per_group",
        "participants": [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(3)],
        "groups": [{"group_id": G[0], "total_time_ms": 40_000}, {"group_id": G[1], "total_time_ms": 50_000}],
    },
    "cycles": {
        "sync_mode": "per_cycle",
        "participants": people(2),
        "time_per_cycle_ms": 30_000,
        "auto_advance": True,
    },
    "a total": {
        "sync_mode": "global",
        "participants": people(2),
        "total_time_ms": 600_000,
        "time_per_cycle_ms": 30_000,
    },
    "up": {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 600_000},
    "up for ever": {"sync_mode": "count_up", "participants": people(2)},
}
STORY: list[tuple[str, *tuple[str, ...]]] = [
    ("start",),
    ("switch",),
    ("switch", "NEXT", P[0]),
    ("pause",),
    ("resume",),
    ("leave", P[1]),
    ("complete",),
]


def schema_of(game: Game) -> int:
    """The schema in which the hash is. What it has besides has to agree with that."""
    fields = game.core.run("HGETALL", game.keys.session)
    names = set(fields if isinstance(fields, dict) else fields[::2])
    schema = 2 if b"schema" in names else 1
    assert names & {b"shown", b"action"} == ({b"shown", b"action"} if schema == 1 else set())
    assert names & {b"fixed", b"schema"} == ({b"fixed", b"schema"} if schema == 2 else set())
    return schema


def contents(game: Game) -> Json:
    """The hash without what differs between two sessions that were played alike."""
    fields = game.core.run("HGETALL", game.keys.session)
    found = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return {name: value for name, value in found.items() if name != b"epoch"}


def played(core: Driver, config: Json, *options: tuple[str, ...]) -> tuple[Game, list[Any]]:
    """A session whose calls have these options in turn, and all that was replied."""
    core.run("FLUSHALL")
    game = Game(core, config, *options[0])
    seen: list[Any] = [game.created]
    for place, (function, *args) in enumerate(STORY):
        at = 1000 * place
        seen.append(game.raw(function, *args, *options[place % len(options)], at=at))
        seen.append({**game.state(at), "schema": None})
        seen.append(json.loads(game.raw("get", "SUMMARY", at=at)) | {"schema": None})
    return game, seen


@pytest.mark.every_server
@pytest.mark.parametrize("name", CONFIGS)
def test_a_caller_sees_the_same_in_each_schema(core: Driver, name: str) -> None:
    first, replies = played(core, CONFIGS[name], ())
    assert first.created["schema"] == 1
    assert schema_of(first) == 1
    hash_of_first = contents(first)
    second, same = played(core, CONFIGS[name], ("SCHEMA", "2"))
    assert second.created["schema"] == 2
    assert schema_of(second) == 2
    assert [{**replies[0], "schema": 2}, *replies[1:]] == same
    back, mixed = played(core, CONFIGS[name], ("SCHEMA", "1"), ("SCHEMA", "2"), ())
    assert mixed[1:] == same[1:]
    assert schema_of(back) == 1
    assert contents(back) == hash_of_first


def test_a_call_without_the_option_leaves_the_schema(core: Driver) -> None:
    game = Game(core, CONFIGS["the usual"]).start()
    assert schema_of(game) == 1
    assert game.do("switch", "SCHEMA", "2", at=1000)["version"] == 3
    assert (game.state()["schema"], schema_of(game)) == (2, 2)
    game.do("switch", at=2000)
    assert json.loads(game.raw("expire", at=60_000 + 2000))["payload"]["event"] == "session.expired"
    assert (game.state()["schema"], schema_of(game)) == (2, 2)


def test_a_refused_call_converts_nothing(core: Driver) -> None:
    game = Game(core, CONFIGS["the usual"])
    for function, *args in (("switch",), ("start", "VERSION", "7"), ("start", "SCHEMA", "3")):
        option = [] if "SCHEMA" in args else ["SCHEMA", "2"]
        with pytest.raises(RefusedError):
            game.raw(function, *args, *option)
    assert (game.state()["schema"], schema_of(game)) == (1, 1)
    assert game.raw("expire") is None
    with pytest.raises(RefusedError, match="goes with EXPORT only"):
        game.raw("get", "SCHEMA", "2")


def test_what_is_read_of_the_config_is_read_in_both(core: Driver) -> None:
    """A join takes defaults from it, a player's rights stand in it, and an expiry tells its action."""
    action = {"type": "skip_cycle", "winner_of": "nothing"}
    config = players(60_000, 60_000, increment_ms=3000, players_may_pause=True, action_on_timeout=action)
    told = []
    for option in ((), ("SCHEMA", "2")):
        core.run("FLUSHALL")
        game = Game(core, config, *option).start()
        game.do("join", json.dumps({"participant_id": P[2], "total_time_ms": 5000}))
        with pytest.raises(RefusedError, match="FORBIDDEN"):
            game.raw("switch", "PLAYER", P[0], "NEXT", P[2])
        told.append(
            (
                game.do("pause", "PLAYER", P[0])["payload"],
                game.do("resume", "PLAYER", P[0])["payload"],
                game.do("expire", at=60_000)["payload"],
                game.state()["participants"],
            )
        )
    assert told[0] == told[1]
    assert told[0][2]["action_applied"] == action


@pytest.mark.every_server
def test_half_converted_then_off_and_all_back(core: Driver) -> None:
    """Twelve games, played at the same moments as twelve that were never converted."""
    ids = [SESSION[:-4] + f"{number:04x}" for number in range(24)]
    games = [
        Game(core, players(60_000 + number // 2, 60_000, increment_ms=500), session=each).start(at=0)
        for number, each in enumerate(ids)
    ]
    at = 0

    def turn(*options: str, of: int = 12) -> None:
        """A switch of the first `of` converted games with these options, and of all others without."""
        nonlocal at
        at += 777
        for number, game in enumerate(games):
            converting = number % 2 == 0 and number // 2 < of
            game.do("switch", *(options if converting else ()), at=at + number // 2)

    turn("SCHEMA", "2", of=6)
    assert [schema_of(game) for game in games[::2]] == [2] * 6 + [1] * 6
    turn()
    turn("SCHEMA", "1", of=9)
    turn("SCHEMA", "1")
    assert [schema_of(game) for game in games] == [1] * 24
    for converted, other in zip(games[::2], games[1::2], strict=True):
        moment = at + 12_345
        one, two = converted.state(moment), other.state(moment)
        own = {"session_id", "epoch"}
        assert {k: v for k, v in one.items() if k not in own} | {"participants": None} == {
            k: v for k, v in two.items() if k not in own
        } | {"participants": None}
        assert [
            p["time_remaining_ms"] - q["time_remaining_ms"]
            for p, q in zip(one["participants"], two["participants"], strict=True)
        ] == [0, 0]
        assert (converted.alarm(), converted.deadline()) == (other.alarm(), other.deadline())
        log = [json.loads(event)["version"] for event in converted.raw("log", "0")]
        assert log == list(range(1, one["version"] + 1))
        assert contents(converted) == contents(other)


def exported(game: Game, *options: str) -> Json:
    state: Json = json.loads(game.raw("get", "EXPORT", *options, at=5000))
    return state


@pytest.mark.parametrize("name", ["words of a client", "groups", "up"])
def test_snapshots_of_both_are_restored_in_either(core: Driver, name: str) -> None:
    asked = ((), ("SCHEMA", "1"), ("SCHEMA", "2"))
    for hash_schema, options, target in itertools.product("12", asked, (None, "1", "2")):
        core.run("FLUSHALL")
        restored_in(core, name, hash_schema, options, target)


def restored_in(
    core: Driver, name: str, hash_schema: str, asked: tuple[str, ...], target: str | None
) -> None:
    snapshot = 2 if "2" in asked else 1
    game = Game(core, CONFIGS[name], "SCHEMA", hash_schema).start(at=0)
    game.do("switch", at=1000)
    state = exported(game, *asked)
    assert state["schema"] == snapshot
    assert ("fixed" in state["internal"]["fields"]) == (snapshot == 2)
    before = game.state(at=5000)
    core.run("DEL", *game.keys.all)
    options = [] if target is None else ["SCHEMA", target]
    restored = json.loads(game.raw("restore", json.dumps(state), *options, at=5000))
    assert schema_of(game) == restored["schema"] == int(target or snapshot)
    kept = before.keys() - {
        "version",
        "epoch",
        "schema",
        "recovered",
        "recovered_at",
        "warning",
        "updated_at",
        "server_time_ms",
    }
    assert {name: restored[name] for name in kept} == {name: before[name] for name in kept}
    assert game.do("switch", at=6000)["version"] == restored["version"] + 1


def test_a_snapshot_of_another_schema_says_what_to_do(core: Driver) -> None:
    game = Game(core, CONFIGS["the usual"])
    state = exported(game)
    core.run("DEL", *game.keys.all)
    for schema in (0, 3, "1", None):
        with pytest.raises(RefusedError) as refused:
            game.raw("restore", json.dumps(state | {"schema": schema}))
        assert refused.value.answer.fields == ["state.schema"]
        assert "restore it with the library that exported it" in refused.value.answer.text


@pytest.mark.parametrize(
    "fields",
    [
        {"fixed": 7},
        {"fixed": "nothing"},
        {"fixed": "increment_ms 2000\nincrement_ms 3000"},
        {"fixed": "increment_ms 0"},
        {"fixed": "surprise 1"},
        {"fixed": "metadata {"},
        {"fixed": "action_on_timeout 5"},
        {"fixed": None},
        {"shown": '"sync_mode":"global"'},
        {"action": "{}"},
        {"schema": "3"},
    ],
)
def test_a_damaged_snapshot_is_refused(core: Driver, fields: Json) -> None:
    game = Game(core, CONFIGS["an increment"], "SCHEMA", "2")
    state = exported(game, "SCHEMA", "2")
    core.run("DEL", *game.keys.all)
    state["internal"]["fields"] |= fields
    if "schema" in fields:  # an extra word in the hash changes nothing: the number of the state counts
        assert json.loads(game.raw("restore", json.dumps(state)))["schema"] == 2
        return
    with pytest.raises(RefusedError, match="VALIDATION_ERROR state must be"):
        game.raw("restore", json.dumps(state))
    assert core.run("EXISTS", *game.keys.all[:2]) == 0


@pytest.mark.every_server
def test_a_hash_of_a_newer_schema_is_left_alone(core: Driver) -> None:
    """As after a library was taken back while its sessions are there."""
    game = Game(core, CONFIGS["the usual"])
    core.run("HSET", game.keys.session, "schema", "3")
    before = contents(game)
    for function in ("get", "start", "expire"):
        with pytest.raises(RefusedError, match="load the library that wrote it again"):
            game.raw(function)
    assert contents(game) == before


def test_a_session_that_nobody_changes_is_converted_alone(core: Driver) -> None:
    game = Game(core, CONFIGS["words of a client"]).start()
    before = contents(game), game.state(at=1000), core.run("XLEN", game.keys.log)
    for schema, wanted in (("1", 0), ("2", 1), ("2", 0), ("1", 1)):
        assert game.raw("convert", "SCHEMA", schema, at=1000) == wanted
        assert game.state(at=1000) == before[1] | {"schema": int(schema)}
        assert schema_of(game) == int(schema)
    assert (contents(game), game.state(at=1000), core.run("XLEN", game.keys.log)) == before
    for wrong in ([], ["SCHEMA", "3"], ["TENANT", "club"]):
        with pytest.raises(RefusedError, match="VALIDATION_ERROR"):
            game.raw("convert", *wrong)
    core.call("move_out", SESSION, ["MOVE", "m", "TARGET", "10.0.0.2:6379", "LEASE", "5000"], START + 1000)
    with pytest.raises(RefusedError, match="SESSION_MOVING"):
        game.raw("convert", "SCHEMA", "2", at=1000)
    core.run("DEL", game.keys.session)
    assert game.raw("convert", "SCHEMA", "2") == 0


def test_a_full_server_converts_nothing(core: Driver) -> None:
    """A conversion may need more room than there is; the change itself is made."""
    game = Game(core, CONFIGS["the usual"], "SCHEMA", "2").start(at=0)
    core.run("SET", "sk:{vt}:full", "1")
    assert game.do("switch", "SCHEMA", "1", at=1000)["version"] == 3
    assert game.raw("convert", "SCHEMA", "1", at=2000) == 0
    assert schema_of(game) == 2
    core.run("DEL", "sk:{vt}:full")
    game.do("switch", "SCHEMA", "1", at=3000)
    assert schema_of(game) == 1


def test_a_move_takes_the_oldest_schema(core: Driver) -> None:
    """The library at the target may be the last release's."""
    game = Game(core, CONFIGS["an increment"], "SCHEMA", "2").start()
    sent = core.call("move_out", SESSION, ["MOVE", "m", "TARGET", "10.0.0.2:6379", "LEASE", "5000"], START)
    session = json.loads(sent.value[0])
    assert session["schema"] == 1
    assert {"shown", "action"} <= session["internal"]["fields"].keys()
    assert not {"fixed", "schema"} & session["internal"]["fields"].keys()
    assert schema_of(game) == 2


def test_a_session_weighs_less_in_the_newer_schema(core: Driver) -> None:
    weights = []
    for schema in ("1", "2"):
        core.run("FLUSHALL")
        game = Game(core, CONFIGS["an increment"], "SCHEMA", schema).start()
        fields = contents(game)
        weights.append(sum(len(name) + len(value) for name, value in fields.items()))
    assert weights[1] < weights[0] - 250
