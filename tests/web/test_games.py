"""The JavaScript client makes the same states from events as the service shows at each version."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import games, wide_games
from tests.web.node import Helper

GAMES = 120 if os.environ.get("CI") == "true" else 40
WIDE_GAMES = 20 if os.environ.get("CI") == "true" else 6


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


@pytest.mark.parametrize(("mode", "kind"), games.KINDS)
def test_follows_schedules_bounds_and_corrections(mode: str, kind: str, follower: Helper) -> None:
    for seed in range(WIDE_GAMES):
        problems = follower.ask(wide_games.play(games.chooser(seed), mode, kind))
        assert problems == [], f"in wide_games.play(games.chooser({seed}), {mode!r}, {kind!r})"


@pytest.mark.parametrize("scenario", wide_games.SCENARIOS)
def test_follows_the_scenarios_of_the_rules(follower: Helper, scenario: str) -> None:
    assert follower.ask(wide_games.scenario(scenario)) == []


@pytest.mark.parametrize("corner", games.CORNERS)
def test_follows_what_random_games_seldom_come_to(follower: Helper, corner: str) -> None:
    assert follower.ask(games.corner(corner)) == []
