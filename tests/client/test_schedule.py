"""What a session does by itself, as the Python client shows it: its start, its end, pauses, long clocks."""

from __future__ import annotations

from typing import Any

import pytest

from synckairos.client import clock_text, face, predict
from synckairos.client.model import ClockDetails, Participant, State, TimeControl, timestamp
from synckairos.client.view import View, adopted

NOW = 1_800_000_000_000
ANNA, BEN = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "ab")
DAY = 86_400_000


def player(participant_id: str, index: int, **fields: Any) -> Participant:
    told = {"total_time_ms": 60_000, "time_remaining_ms": 60_000, "clock": ClockDetails(), **fields}
    return Participant(participant_id=participant_id, participant_index=index, **told)


def running(**fields: Any) -> View:
    """A running game of Anna and Ben with a minute each, at the start of Anna's cycle."""
    told = {
        "status": "running",
        "participants": (player(ANNA, 0, is_active=True), player(BEN, 1)),
        "active_participant_id": ANNA,
        "time_remaining_ms": 60_000,
        "deadline_ms": NOW + 60_000,
        "cycle_started_at": timestamp(NOW),
        "cycle_elapsed_ms": 0,
        **fields,
    }
    return adopted(State(session_id="s", version=2, epoch="1", server_time_ms=NOW, **told))


def pending(**fields: Any) -> View:
    told = {"active_participant_id": None, "time_remaining_ms": None, "deadline_ms": None, **fields}
    return running(status="pending", cycle_started_at=None, cycle_elapsed_ms=None, **told)


def paused(**fields: Any) -> View:
    return running(status="paused", cycle_started_at=None, deadline_ms=None, **fields)


def test_a_start_is_counted_down_to_and_then_waited_for() -> None:
    view = pending(starts_at_ms=NOW + 5000, ends_at_ms=NOW + 9000)
    assert face.due(view, NOW + 1000.5) == face.Due(kind="start", at_ms=NOW + 5000, in_ms=3999.5)
    late = face.due(view, NOW + 6000)
    assert late is not None
    assert late.in_ms == 0
    assert face.due(pending(), NOW) is None


def test_the_earlier_of_deadline_and_end_is_shown() -> None:
    view = running(ends_at_ms=NOW + 30_000)
    shown = face.clock(view, NOW + 10_000)
    assert shown is not None
    assert (shown.remaining_ms, shown.main_ms, shown.ends_in_ms, shown.ends_first) == (20_000,) * 3 + (True,)
    assert face.remaining(view, NOW + 10_000) == 20_000
    assert face.remaining(view, NOW + 10_000, ANNA) == 50_000  # her own clock is hers
    assert face.remaining(running(ends_at_ms=NOW + 60_001), NOW) == 60_000


def test_at_a_tie_the_end_wins() -> None:
    for view in (
        running(ends_at_ms=NOW + 60_000),
        paused(ends_at_ms=NOW + 5000, resumes_at_ms=NOW + 5000, max_pause_ms=5000),
    ):
        due = face.due(view, NOW)
        assert due is not None
        assert due.kind == "end"


def test_clocks_stand_at_the_end_and_nothing_is_predicted_after_it() -> None:
    view = running(ends_at_ms=NOW + 9000)
    for at in (NOW + 9000, NOW + 12_000):
        assert face.remaining(view, at, ANNA) == 51_000
        assert face.elapsed(view, at) == 9000
        assert predict.switched(view, at) is predict.paused(view, at) is None
    assert predict.switched(view, NOW + 8999) is not None


def test_the_end_comes_closer_while_the_clock_stands() -> None:
    assert face.remaining(paused(ends_at_ms=NOW + 9000), NOW + 4000) == 5000


def test_pauses_are_counted_and_last_so_long_together() -> None:
    view = running(max_pauses=2, max_total_pause_ms=5000, pauses_left=2, pause_remaining_ms=5000)
    stands = predict.paused(view, NOW + 1000)
    assert stands is not None
    assert (stands.state.pauses_left, stands.state.resumes_at_ms) == (1, NOW + 6000)
    assert face.pause_remaining(stands, NOW + 2500.5) == 3499.5
    assert face.pause_remaining(stands, NOW + 99_000) == 0
    goes_on = predict.resumed(stands, NOW + 4000)
    assert goes_on is not None
    assert goes_on.state.pause_remaining_ms == 2000
    free = predict.paused(goes_on, NOW + 5000, counted=False)
    assert free is not None
    assert (free.state.pauses_left, face.pause_remaining(free, NOW + 9000)) == (1, 2000)
    assert predict.paused(running(max_pauses=1, pauses_left=0), NOW + 1) is None


def test_the_switch_that_ends_the_last_cycle_completes_the_session() -> None:
    over = predict.switched(running(max_cycles=3, cycle_count=2, increment_ms=5000), NOW + 4000)
    assert over is not None
    assert (over.state.status, over.state.cycle_count) == ("completed", 3)
    assert over.state.participants[0].total_time_ms == 56_000  # without an increment


def test_a_clock_that_is_out_after_a_reopen_is_not_resumed_here() -> None:
    out = player(ANNA, 0, is_active=True, has_expired=True, total_time_ms=0, time_remaining_ms=0)
    people = (out, player(BEN, 1))
    assert predict.resumed(paused(participants=people, time_remaining_ms=0), NOW + 1) is None


@pytest.mark.parametrize(
    ("bank", "used", "after"),
    [(10_000, 4000, (8000, 2)), (8000, 8000, (0, 2)), (8000, 14_000, (0, 1)), (0, 1000, (0, 2))],
)
def test_byo_yomi_gives_its_increment_while_main_time_lasts(
    bank: int, used: int, after: tuple[int, int]
) -> None:
    control = TimeControl(kind="byoyomi", periods=2, period_ms=5000, increment_ms=2000)
    left = bank + 10_000
    anna = player(
        ANNA,
        0,
        is_active=True,
        total_time_ms=bank,
        time_remaining_ms=left,
        clock=ClockDetails(periods_left=2),
    )
    view = running(
        time_control=control,
        participants=(anna, player(BEN, 1, clock=ClockDetails(periods_left=2))),
        time_remaining_ms=left,
        deadline_ms=NOW + left,
    )
    moved = predict.switched(view, NOW + used)
    assert moved is not None
    first = moved.state.participants[0]
    assert first.clock is not None
    assert (first.total_time_ms, first.clock.periods_left) == after


def test_a_clock_of_a_year_is_right_to_the_second() -> None:
    view = running(
        participants=(
            player(ANNA, 0, is_active=True, total_time_ms=366 * DAY, time_remaining_ms=366 * DAY),
            player(BEN, 1),
        ),
        time_remaining_ms=366 * DAY,
        deadline_ms=NOW + 366 * DAY,
    )
    assert clock_text(face.remaining(view, NOW + 30 * DAY, ANNA)) == "336 d 00:00:00"
    assert clock_text(face.remaining(view, NOW + 366 * DAY - 1, ANNA)) == "0:00.1"
