"""PLAYER: what a participant may do itself, and LIMIT: how often it may switch.

Both are judged in the call that changes the session.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from tests.core.game import SESSION, START, Game, P, RefusedError, players
from tests.core.test_throttle import Bucket
from tests.model.driver import Driver

Json = dict[str, Any]


def running(core: Driver, **config: Any) -> Game:
    """A game of three with a minute and two seconds a move; the first is active."""
    return Game(core, players(60_000, 60_000, 60_000, increment_ms=2000, **config)).start()


def outcome(game: Game, function: str, *args: str | int, at: int | None = None) -> str:
    """The event or the code of a call. A refused call leaves no trace."""
    before = game.core.snapshot()
    try:
        event: str = game.do(function, *args, at=at)["payload"]["event"]
    except RefusedError as refused:
        assert game.core.snapshot() == before
        return str(refused.code)
    return event


class TestSwitch:
    @pytest.mark.every_server
    def test_a_player_ends_its_own_turn_and_no_other(self, core: Driver) -> None:
        game = running(core)
        for player in (P[1], P[2], P[9]):
            assert outcome(game, "switch", "PLAYER", player, at=1000) == "FORBIDDEN"
        assert outcome(game, "switch", "PLAYER", P[0].upper(), at=1000) == "cycle.switched"
        assert outcome(game, "switch", "PLAYER", P[0], at=2000) == "FORBIDDEN"
        assert game.state()["active_participant_id"] == P[1]

    def test_switching_to_oneself_gives_no_increment_again_and_again(self, core: Driver) -> None:
        for choose in (False, True):
            game = running(core, players_may_choose_next=choose)
            for at in range(100, 900, 100):
                assert outcome(game, "switch", "PLAYER", P[0], "NEXT", P[0], at=at) == "FORBIDDEN"
            assert game.person(0, at=1000)["time_remaining_ms"] == 59_000
            game.core.run("FLUSHALL")

    @pytest.mark.parametrize("choose", [None, False, True])
    def test_only_where_the_config_says_so_a_player_names_the_next(
        self, core: Driver, choose: bool | None
    ) -> None:
        # Metadata that look like the config must not give rights.
        game = running(core, players_may_choose_next=choose, metadata={"players_may_choose_next": not choose})
        assert game.created["players_may_choose_next"] is bool(choose)
        wanted = "cycle.switched" if choose else "FORBIDDEN"
        assert outcome(game, "switch", "PLAYER", P[0], "NEXT", P[2], at=1000) == wanted

    def test_the_order_of_checks(self, core: Driver) -> None:
        game = running(core)
        other, stranger = ["PLAYER", P[1]], ["PLAYER", P[0], "CURRENT", P[1]]
        assert outcome(game, "switch", *other, "VERSION", 1) == "CONCURRENT_MODIFICATION"
        assert outcome(game, "switch", *other, "CURRENT", P[2]) == "FORBIDDEN"
        assert outcome(game, "switch", *stranger) == "CONCURRENT_MODIFICATION"
        assert outcome(game, "switch", *other, "TENANT", "red") == "SESSION_NOT_FOUND"
        # Time that is up is noticed by the player alone, and is not a reason to let others in.
        assert outcome(game, "switch", *other, at=90_000) == "FORBIDDEN"
        assert outcome(game, "switch", "PLAYER", P[0], at=90_000) == "session.expired"
        assert outcome(game, "switch", "PLAYER", P[0]) == "INVALID_SESSION_STATE"

    @pytest.mark.every_server
    def test_a_repeated_tap_is_a_replay_and_a_second_tap_ends_no_other_turn(self, core: Driver) -> None:
        game = running(core)
        tap = ["PLAYER", P[0], "ACTOR", "ann", "REQUEST", "tap-1"]
        first = game.do("switch", *tap, at=1000)
        assert game.do("switch", *tap, at=1000) == first | {"replayed": True}
        assert outcome(game, "switch", *tap[:4], "REQUEST", "tap-2", at=1000) == "FORBIDDEN"
        assert game.state()["active_participant_id"] == P[1]

    def test_other_functions_have_no_player(self, core: Driver) -> None:
        game = running(core)
        others = {"start": [], "complete": [], "cancel": [], "delete": [], "leave": [P[0]], "expire": []}
        others |= {"adjust": ["PARTICIPANT", P[0], "ADD", "1"], "create": [json.dumps(players(1000))]}
        for function, args in others.items():
            assert outcome(game, function, *args, "PLAYER", P[0]) == "VALIDATION_ERROR"


class TestPause:
    @pytest.mark.every_server
    @pytest.mark.parametrize("may", [False, True])
    def test_only_where_the_config_says_so_and_in_its_own_turn(self, core: Driver, may: bool) -> None:
        game = running(core, players_may_pause=may, metadata={"players_may_pause": not may})
        active, other = ["PLAYER", P[0]], ["PLAYER", P[1]]
        assert outcome(game, "pause", *other, at=1000) == "FORBIDDEN"
        assert outcome(game, "resume", *active) == "INVALID_SESSION_STATE"
        assert outcome(game, "pause", *active) == ("session.paused" if may else "FORBIDDEN")
        if not may:
            game.do("pause")
        assert outcome(game, "resume", *other, at=2000) == "FORBIDDEN"
        assert outcome(game, "resume", *active) == ("session.resumed" if may else "FORBIDDEN")

    def test_the_end_of_a_pause_is_not_brought_about_by_whoever_may_not(self, core: Driver) -> None:
        game = running(core, max_pause_ms=5000)
        game.do("pause", at=1000)
        for function, player in product(("pause", "resume", "switch"), (P[0], P[1])):
            if (function, player) != ("switch", P[0]):
                assert outcome(game, function, "PLAYER", player, at=7000) == "FORBIDDEN"
        assert outcome(game, "switch", "PLAYER", P[0], at=7000) == "session.resumed"

    def test_a_session_of_the_last_release_lets_players_pause_as_it_said(self, core: Driver) -> None:
        game = running(core, players_may_pause=True)
        shown = core.run("HGET", game.keys.session, "shown").decode()
        core.run("HSET", game.keys.session, "shown", shown.removeprefix('"players_may_choose_next":false,'))
        assert game.state() == game.state() | {"players_may_pause": True, "players_may_choose_next": False}
        assert outcome(game, "switch", "PLAYER", P[0], "NEXT", P[2], at=100) == "FORBIDDEN"
        assert outcome(game, "pause", "PLAYER", P[0], at=100) == "session.paused"


def limited(game: Game, limit: tuple[int, ...], *args: str | int, at: int) -> tuple[Json | str, list[int]]:
    """The change and the numbers of a switch with LIMIT; or the code of its refusal, and what it says."""
    answer = game.core.call("switch", game.session, [str(a) for a in ("LIMIT", *limit, *args)], START + at)
    if answer.code is None:
        return json.loads(answer.value[0]), answer.value[1:]
    return answer.code, list(answer.context.values())


class TestLimit:
    @pytest.mark.every_server
    def test_it_is_the_bucket_of_sk_throttle(self, core: Driver) -> None:
        limit = (3, 2, 1000, 0)
        game, bucket = running(core), Bucket(*limit)
        for at in (1000, 1000, 1001, 1001, 1499, 1500, 1500, 2750, 4000, 4000, 4000, 4000):
            wanted = bucket.take(START + at, 1)
            change, numbers = limited(game, limit, at=at)
            if wanted[0]:
                assert (change, numbers) == ("RATE_LIMIT_EXCEEDED", ["switch", wanted[3]])
            else:
                assert isinstance(change, dict)
                assert numbers == wanted

    def test_a_cooldown_closes_it_and_later_refusals_do_not_lengthen_it(self, core: Driver) -> None:
        game, limit = running(core), (1, 1, 1000, 5000)
        assert limited(game, limit, at=0)[1] == [0, 1, 0, 0, 1000]
        assert limited(game, limit, at=100) == ("RATE_LIMIT_EXCEEDED", ["switch", 5000])
        before = core.snapshot()
        assert limited(game, limit, at=3000) == ("RATE_LIMIT_EXCEEDED", ["switch", 2100])
        assert core.snapshot() == before
        assert limited(game, limit, at=5100)[1] == [0, 1, 0, 0, 1000]

    @pytest.mark.every_server
    def test_what_is_refused_and_what_is_repeated_takes_nothing(self, core: Driver) -> None:
        """Nobody closes the bucket of the rightful player with switches that can never succeed."""
        game, limit = running(core), (1, 1, 60_000, 60_000)
        before = core.snapshot()
        hopeless: list[list[str | int]] = [
            ["CURRENT", P[1]],
            ["PLAYER", P[1]],
            ["NEXT", P[9]],
            ["VERSION", 9],
            ["TENANT", "red"],
        ]
        for args in hopeless * 3:
            assert limited(game, limit, *args, at=500)[0] != "RATE_LIMIT_EXCEEDED"
        assert core.snapshot() == before
        first, numbers = limited(game, limit, "REQUEST", "r1", at=1000)
        assert isinstance(first, dict)
        assert numbers == [0, 1, 0, 0, 60_000]
        assert limited(game, limit, "REQUEST", "r1", at=1000) == (first | {"replayed": True}, numbers)

    def test_each_player_has_its_own_bucket_and_the_session_another(self, core: Driver) -> None:
        game, limit = running(core), (1, 1, 60_000, 0)
        for player in ([P[0]], [P[1]], [P[2]], []):
            args = [word for name in player for word in ("PLAYER", name)]
            change, numbers = limited(game, limit, *args, at=1000)
            assert isinstance(change, dict)
            assert numbers == [0, 1, 0, 0, 60_000]
        assert limited(game, limit, "PLAYER", P[1], at=1000)[0] == "RATE_LIMIT_EXCEEDED"
        assert limited(game, limit, "PLAYER", P[0], at=1000)[0] == "FORBIDDEN"
        # Whoever comes back has a bucket of its own again.
        game.do("leave", P[1])
        game.do("join", json.dumps({"participant_id": P[1], "participant_index": 1, "total_time_ms": 9000}))
        game.do("switch", "NEXT", P[1])
        assert isinstance(limited(game, limit, "PLAYER", P[1], at=1000)[0], dict)

    @pytest.mark.every_server
    def test_neither_state_nor_export_shows_it(self, core: Driver) -> None:
        game = running(core)
        limited(game, (5, 5, 1000, 0), "PLAYER", P[0], at=1000)
        limited(game, (5, 5, 1000, 0), at=1000)
        assert b"limit" not in game.raw("get")
        exported = game.raw("get", "EXPORT")
        assert b"limit:" not in exported
        assert b'"limit"' not in exported
        core.run("DEL", game.keys.session, game.keys.log)
        assert core.call("restore", SESSION, [exported]).code is None

    def test_an_expiry_that_a_switch_carries_out_takes_as_the_switch_would(self, core: Driver) -> None:
        game, limit = running(core, action_on_timeout={"type": "skip_cycle"}), (1, 1, 3_600_000, 0)
        change, _ = limited(game, limit, at=61_000)
        assert isinstance(change, dict)
        assert change["type"] == "TIME_EXPIRED"
        assert limited(game, limit, at=62_000)[0] == "RATE_LIMIT_EXCEEDED"

    @pytest.mark.parametrize(
        "words", [["LIMIT"], ["LIMIT", 1, 1, 1], ["LIMIT", 0, 1, 1, 0], ["LIMIT", 1, 1, "x", 0]]
    )
    def test_a_limit_has_four_numbers(self, core: Driver, words: list[str | int]) -> None:
        assert outcome(running(core), "switch", *words) == "VALIDATION_ERROR"
