"""What the Python client makes of events, held against what the service would show at each version."""

from __future__ import annotations

import math
import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from synckairos.client import face, predict
from synckairos.client.model import (
    Change,
    ClockDetails,
    Group,
    Now,
    Owner,
    Participant,
    Payload,
    State,
    TimeControl,
    read_change,
    read_state,
)
from synckairos.client.view import View, adopted, merged, state_at, view_at
from tests.support import games, wide_games

Json = dict[str, Any]

WIDE_GAMES = 20 if os.environ.get("CI") == "true" else 6


@pytest.mark.parametrize(("mode", "kind"), games.KINDS)
def test_merged_state_is_what_the_service_shows_at_every_version(mode: str, kind: str) -> None:
    @settings(
        max_examples=settings().max_examples // 25,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a failing game is told by the assertion; to shrink it takes minutes
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def follows(data: st.DataObject) -> None:
        follow(games.play(data.draw, mode, kind))

    follows()


@pytest.mark.parametrize(("mode", "kind"), games.KINDS)
def test_follows_schedules_bounds_and_corrections(mode: str, kind: str) -> None:
    for seed in range(WIDE_GAMES):
        follow(wide_games.play(games.chooser(seed), mode, kind))


@pytest.mark.parametrize("scenario", wide_games.SCENARIOS)
def test_follows_the_scenarios_of_the_rules(scenario: str) -> None:
    follow(wide_games.scenario(scenario))


@pytest.mark.parametrize("corner", games.CORNERS)
def test_follows_what_random_games_seldom_come_to(corner: str) -> None:
    follow(games.corner(corner))


def follow(game: Json) -> None:
    """Has the view follow a game, and compares it with what the model shows at every version."""
    known(game["state"], State)
    view = adopted(state_of(game["state"]))
    for step in game["steps"]:
        known(step["event"], Change)
        before, change = view, read_change(with_text_epoch(step["event"]))
        view = merged(before, change)
        wanted, later = state_of(step["state"]), state_of(step["later"])
        same(view.state, wanted)
        # At the very moment at which the total ends a state does not say whether the cycle's clock
        # still ran.
        if wanted.status != "running" or wanted.total_remaining_ms != 0:
            same(view_at(view, later.server_time_ms).state, later)
            # A client that came only now knows as much.
            late = state_at(adopted(wanted).state, later.server_time_ms)
            if is_open(wanted):
                late = replace(late, pause_remaining_ms=later.pause_remaining_ms)
            same(late, later)
        for shown in (wanted, later):
            # Once the session's end has come, its clocks stand, until the service tells it.
            if shown.status != "running" or (shown.ends_at_ms or math.inf) >= shown.server_time_ms:
                faces(view, shown)
        predicted(before, step, change, wanted)


def is_open(state: State) -> bool:
    """Whether a state does not say if its pause counts: one that does not may end by itself, too."""
    return state.status == "paused" and None not in (state.max_total_pause_ms, state.max_pause_ms)


def state_of(value: Json) -> State:
    return read_state(with_text_epoch(value))


def with_text_epoch(value: Json) -> Json:
    """The model numbers its epochs."""
    return {**value, "epoch": str(value["epoch"])}


def known(value: Any, kind: type[msgspec.Struct]) -> None:
    """Nothing that the service says is lost: there is a field for each name."""
    names = {field.encode_name: field for field in fields(kind)}
    assert value.keys() - {"v"} <= names.keys()
    kinds: dict[str, type[msgspec.Struct]] = {
        "participants": Participant,
        "groups": Group,
        "payload": Payload,
        "clock": ClockDetails,
        "now": Now,
        "time_control": TimeControl,
        "stages": TimeControl,
    }
    for name, parts in kinds.items():
        found = value.get(name)
        for part in found if isinstance(found, list) else [found]:
            if part is not None:
                known(part, parts)


def same(found: State, wanted: State) -> None:
    """Compares fields, so that a failure names the one."""
    for field in fields(State):
        assert (field.name, getattr(found, field.name)) == (field.name, getattr(wanted, field.name))


def faces(view: View, shown: State) -> None:
    """What a player sees of each clock at the state's time is what the state says of it."""
    entries: list[Owner] = [*shown.participants, *shown.groups]
    for entry in entries:
        seen = face.clock(view, shown.server_time_ms, entry.id)
        if entry.clock is None:
            assert seen is None or (shown.sync_mode == "count_up" and seen.kind == "count_up")
            continue
        assert seen is not None
        control = entry.time_control or shown.time_control
        assert control is not None
        now = entry.clock.now or entry.clock
        left = entry.time_remaining_ms
        if left is not None:
            left = max(left, -control.overtime_ms)
        assert seen.owner_id == entry.id
        assert seen.remaining_ms == left == face.remaining(view, shown.server_time_ms, entry.id)
        assert (seen.periods_left, seen.block_remaining_ms) == (now.periods_left, now.block_remaining_ms)
        if isinstance(now, Now) and now.period_remaining_ms is not None:
            assert seen.period_remaining_ms == now.period_remaining_ms
        if control.overtime_ms and left is not None:
            assert seen.overtime_ms == now.overtime_used_ms
        assert (seen.stage, seen.moves_left) == (entry.clock.stage, entry.clock.moves_left)
        assert seen.expired == entry.has_expired
        # What is shown beside each other is all that there is.
        if left is not None and left > 0 and (entry.total_time_ms or 0) >= 0:
            assert seen.main_ms is not None
            periods = max(0, (seen.periods_left or 0) - 1) * (seen.period_ms or 0)
            parts = (seen.main_ms, seen.delay_ms, periods, seen.period_remaining_ms, seen.block_remaining_ms)
            assert sum(part or 0 for part in parts) == left


def predicted(before: View, step: Json, change: Change, wanted: State) -> None:
    """An own command is shown as it will be; only what lag compensation credits is not known here."""
    at, event = change.server_time_ms, change.event
    if step["lag"] or (change.payload.reason != "manual" and event != "session.completed"):
        return
    if (step["call"], event) in (("switch", "cycle.switched"), ("switch", "session.completed")):
        if "late_ms" in step["event"]["payload"]:
            return  # its end, or an expiry: what was due is not predicted
        found = predict.switched(before, at, step["next"])
    elif (step["call"], event) == ("pause", "session.paused"):
        found = predict.paused(before, at, counted=not step.get("free"))
    elif (step["call"], event) == ("resume", "session.resumed"):
        found = predict.resumed(before, at)
    else:
        return
    deadline = before.state.deadline_ms
    if found is None and before.state.lag_compensation and deadline is not None and at >= deadline:
        return  # within the grace of a late move: the clock that is shown stands at zero already
    assert found is not None
    assert found.state.version == before.state.version
    same(without_quotas(replace(found.state, version=wanted.version)), without_quotas(wanted))


def without_quotas(state: State) -> State:
    def bare(entry: Any) -> Any:
        return replace(entry, clock=entry.clock and replace(entry.clock, quota_ms=None))

    return replace(
        state,
        participants=tuple(map(bare, state.participants)),
        groups=tuple(map(bare, state.groups)),
    )
