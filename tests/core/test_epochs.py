"""A line of versions belongs to one server: what a session's first change on another one begins."""

from __future__ import annotations

from tests.core.game import SESSION, Game
from tests.model.driver import Driver

CONFIG = {
    "sync_mode": "per_participant",
    "participants": [
        {"participant_id": f"aaaaaaaa-0000-4000-8000-00000000000{number}", "total_time_ms": 60_000}
        for number in (1, 2)
    ],
}
ONE, OTHER, THIRD = "a" * 40, "b" * 40, "c" * 40


def played(core: Driver) -> Game:
    """A game whose changes were all made on the server ONE."""
    core.server(ONE)
    return Game(core, CONFIG).start(at=10)


def test_changes_of_one_server_have_one_epoch(core: Driver) -> None:
    game = played(core)
    epochs = {game.do("switch", at=1000 * number)["epoch"] for number in range(1, 6)}
    assert epochs == {game.created["epoch"]}


def test_the_first_change_on_another_server_begins_an_epoch_and_versions_go_on(core: Driver) -> None:
    game = played(core)
    before = game.do("switch", at=1000)
    core.server(OTHER)
    assert game.state(at=2000)["epoch"] == before["epoch"]  # reading begins none
    after = game.do("switch", at=3000)
    assert after["version"] == before["version"] + 1
    assert int(after["epoch"]) > int(before["epoch"])
    assert game.state()["epoch"] == after["epoch"]
    assert game.do("switch", at=4000)["epoch"] == after["epoch"]
    assert game.raw("log", before["version"], "EPOCH", before["epoch"]) is None


def test_an_expiry_and_a_deletion_are_such_changes_too(core: Driver) -> None:
    game = played(core)
    epoch = int(game.created["epoch"])
    core.server(OTHER)
    expired = game.do("expire", at=60_010)
    assert int(expired["epoch"]) > epoch
    core.server(THIRD)
    game.raw("delete", at=61_000)
    tombstone = core.run("HGET", game.keys.session, "epoch")
    assert int(tombstone) > int(expired["epoch"])


def test_a_refused_call_begins_none(core: Driver) -> None:
    game = played(core)
    core.server(OTHER)
    answer = core.call("switch", SESSION, ["CURRENT", CONFIG["participants"][1]["participant_id"]])  # type: ignore[index]
    assert answer.code == "CONCURRENT_MODIFICATION"
    assert game.state(at=20)["epoch"] == game.created["epoch"]


def test_servers_whose_clocks_are_behind_do_not_begin_the_same_epoch(core: Driver) -> None:
    """The changes of the first one got lost, and the second one goes on from the same state."""
    game = played(core)
    game.do("switch", at=5000)
    before = {key: core.run("DUMP", key) for key in (game.keys.session, game.keys.log)}
    begun = []
    for server in (OTHER, THIRD):
        core.server(server)
        begun.append(game.do("switch", at=2000)["epoch"])
        for key, value in before.items():
            core.run("RESTORE", key, 60_000, value, "REPLACE")
    assert begun[0] != begun[1]


def test_a_server_that_does_not_tell_who_it_is_begins_none(core: Driver) -> None:
    game = played(core)
    core.run("DEL", "sk:{vt}:server")
    assert game.do("switch", at=1000)["epoch"] == game.created["epoch"]
