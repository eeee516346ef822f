"""Cheap reads: UNLESS and SUMMARY of sk_get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import Game, P, RefusedError, people, players
from tests.model.driver import Driver


def at(state: dict[str, Any]) -> str:
    """Where a session is, for UNLESS."""
    return f"{state['version']}@{state['epoch']}"


@pytest.mark.every_server
def test_unless_it_is_still_there(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000), "TENANT", "red").start()
    seen = at(game.state())
    assert game.raw("get", "UNLESS", seen, at=30_000) is None
    assert core.run("FCALL_RO", "sk_get", 1, game.keys.session, "UNLESS", seen, "TENANT", "red") is None
    game.do("switch")
    assert json.loads(game.raw("get", "UNLESS", seen)) == game.state()
    version, _, epoch = seen.partition("@")
    for other in (f"{version}@{epoch}0", f"0{version}@{epoch}", f"9{version}@{epoch}"):
        assert json.loads(game.raw("get", "UNLESS", other)) == game.state()


@pytest.mark.parametrize("options", [[], ["SUMMARY"]])
def test_whoever_may_not_see_it_learns_nothing_of_it(core: Driver, options: list[str]) -> None:
    game = Game(core, players(60_000, 60_000), "TENANT", "red").start()
    seen = at(game.state())
    with pytest.raises(RefusedError, match="SESSION_NOT_FOUND"):
        game.raw("get", "TENANT", "blue", "UNLESS", seen, *options)
    game.raw("delete")
    tombstone = core.run("HMGET", game.keys.session, "version", "epoch")
    for known in (seen, "@".join(text.decode() for text in tombstone)):
        with pytest.raises(RefusedError, match="SESSION_NOT_FOUND"):
            game.raw("get", "UNLESS", known, *options)


def test_a_session_that_is_held_for_a_move_is_still_there(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000)).start()
    core.call("move_out", game.session, ["MOVE", "m1", "TARGET", "b:1", "LEASE", "5000"])
    assert game.raw("get", "UNLESS", at(game.state())) is None


GROUP = "b0000000-0000-4000-8000-000000000000"


@pytest.mark.every_server
@pytest.mark.parametrize(
    "config",
    [
        players(60_000, 60_000, warnings_ms=[5000], metadata={"a": []}),
        {"sync_mode": "per_group", "participants": people(2, group_id=GROUP, total_time_ms=5000)},
        {"sync_mode": "global", "participants": people(2), "total_time_ms": 9000, "time_per_cycle_ms": 4000},
        {"sync_mode": "global", "participants": people(2), "total_time_ms": 9000},
        {
            "sync_mode": "per_group",
            "participants": people(2, group_id=GROUP, total_time_ms=5000),
            "groups": [
                {"group_id": GROUP, "time_control": {"kind": "byoyomi", "periods": 3, "period_ms": 1000}}
            ],
            "lag_compensation": True,
        },
        {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 9000},
    ],
    ids=lambda config: config["sync_mode"],
)
def test_a_summary_is_the_state_without_participants(core: Driver, config: dict[str, Any]) -> None:
    game = Game(core, config, "TENANT", "red")
    for call in (None, "start", "switch", "pause", "complete"):
        if call is not None:
            game.do(call, at=1000)
        summary = json.loads(game.raw("get", "SUMMARY", "TENANT", "red"))
        state = game.state()
        del state["participants"]
        assert summary == state
        assert game.raw("get", "SUMMARY", "UNLESS", at(state)) is None


@pytest.mark.parametrize("options", [["SUMMARY"], ["UNLESS"]])
def test_it_makes_the_same_reads_however_many_participants_there_are(
    core: Driver, options: list[str]
) -> None:
    reads = []
    for count in (2, 1000):
        game = Game(core, players(*[60_000] * count)).start()
        args = [*options, at(game.state())] if options == ["UNLESS"] else options
        core.run("CONFIG", "RESETSTAT")
        game.raw("get", *args)
        stats = core.run("INFO", "commandstats")
        reads.append({name: stats[name]["calls"] for name in stats if name.startswith("cmdstat_h")})
        core.run("FLUSHALL")
    assert reads[0] == reads[1]
    assert reads[0].keys() == {"cmdstat_hmget"}


def test_a_summary_is_not_exported(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000))
    with pytest.raises(RefusedError, match="VALIDATION_ERROR"):
        game.raw("get", "SUMMARY", "EXPORT")
    assert P[0].encode() not in game.raw("get", "SUMMARY")
