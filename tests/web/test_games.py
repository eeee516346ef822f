"""The JavaScript client makes the same states from events as the service shows at each version."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.model.strategies import PEOPLE, TEAMS
from tests.support import games
from tests.web.node import Helper

GAMES = 120 if os.environ.get("CI") == "true" else 40


@pytest.fixture(scope="module")
def follower() -> Iterator[Helper]:
    with Helper("games.mjs") as helper:
        yield helper


@pytest.mark.parametrize(("mode", "kind"), games.KINDS)
def test_merged_state_is_what_the_service_shows_at_every_version(
    mode: str, kind: str, follower: Helper
) -> None:
    for seed in range(GAMES):
        problems = follower.ask(games.play(games.chooser(seed), mode, kind))
        assert problems == [], f"in games.play(games.chooser({seed}), {mode!r}, {kind!r})"


ANNA, BEN, CLEO, DORA = PEOPLE[:4]
RED, BLUE = TEAMS[:2]


def test_bank_that_was_emptied_in_a_pause_has_run_out_when_the_active_one_leaves(follower: Helper) -> None:
    made = {
        "sync_mode": "count_up",
        "max_time_ms": 2000,
        "action_on_timeout": {"type": "skip_cycle"},
        "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
    }
    check(
        follower,
        made,
        "start 0",
        "switch 300",
        "pause 300",
        "adjust 400 SET 0",
        f"leave 500 {BEN}",
        "resume 600",
    )


def test_bank_that_was_emptied_in_a_pause_has_not_run_out_before_that(follower: Helper) -> None:
    made = {
        "sync_mode": "global",
        "total_time_ms": 5000,
        "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
    }
    check(follower, made, "start 0", "pause 4500", "adjust 4600 ADD -500", f"leave 4700 {ANNA}")


def test_newcomer_may_take_the_place_of_the_last_active_member_of_a_team(follower: Helper) -> None:
    made = {
        "sync_mode": "per_group",
        "active_participant_id": CLEO,
        "participants": [
            {"participant_id": ANNA, "participant_index": 0, "group_id": RED, "total_time_ms": 60_000},
            {"participant_id": BEN, "participant_index": 1, "group_id": BLUE, "total_time_ms": 60_000},
            {"participant_id": CLEO, "participant_index": 3, "group_id": BLUE, "total_time_ms": 60_000},
        ],
    }
    comes = {"participant_id": CLEO, "participant_index": 1, "group_id": BLUE}
    follows = {"participant_id": DORA, "participant_index": 500, "group_id": BLUE}
    check(
        follower,
        made,
        "start 0",
        f"leave 100 {CLEO}",
        "switch 200",
        f"leave 300 {BEN}",
        f"join 400 {json.dumps(comes, separators=(',', ':'))}",
        f"join 500 {json.dumps(follows, separators=(',', ':'))}",
        "switch 600",
    )


def check(follower: Helper, made: dict[str, Any], *calls: str) -> None:
    """Asserts that the client follows these calls (function, ms after the start, arguments)."""
    parts = [call.split(" ") for call in calls]
    game = games.history(
        made, lambda _: [(name, args, games.START_MS + int(at)) for name, at, *args in parts]
    )
    assert [step["call"] for step in game["steps"]] == [name for name, *_ in parts]
    assert follower.ask(game) == []
