"""When a process stands in for another one, to the millisecond."""

from __future__ import annotations

import pytest

from synckairos.realtime.standby import Overdue, hold_back_ms

DUE = 10_000.0


@pytest.mark.parametrize(("rank", "wait"), [(0, 0), (1, 25), (2, 50), (3, 50), (9, 50)])
def test_who_comes_later_looks_later(rank: int, wait: float) -> None:
    assert hold_back_ms(rank) == wait


def test_a_process_that_does_nothing_is_stood_in_for_65_ms_after_the_moment() -> None:
    overdue = Overdue()
    assert not overdue.look(["a", "b"], DUE + hold_back_ms(1))
    assert overdue.stand_in_at(None) == DUE + 65
    assert overdue.stand_in_at(DUE - 500) == DUE + 65  # what it did before does not count


def test_no_clock_waits_longer_than_90_ms_whoever_is_left() -> None:
    overdue = Overdue()
    overdue.look(["a"], DUE + hold_back_ms(7))
    assert overdue.stand_in_at(None) == DUE + 90


def test_progress_is_that_an_overdue_alarm_is_gone() -> None:
    overdue = Overdue()
    assert not overdue.look(["a", "b"], DUE + 25)
    assert not overdue.look(["a", "b", "c"], DUE + 65)
    assert overdue.look(["b", "c"], DUE + 105)
    assert not overdue.look(["c", "b"], DUE + 145)
    assert overdue.look([], DUE + 185)
    assert not overdue


def test_who_makes_progress_gets_more_time_from_then_on_and_2_s_at_most() -> None:
    overdue = Overdue()
    overdue.look(["a"], DUE + 25)
    assert overdue.stand_in_at(DUE + 64) == DUE + 64 + 150
    overdue.look(["a", "b"], DUE + 1_800)
    assert overdue.stand_in_at(DUE + 1_870) == DUE + 1_870 + 150
    assert overdue.stand_in_at(DUE + 1_900) == DUE + 25 + 2_000


def test_what_this_process_called_itself_is_nobody_elses_progress() -> None:
    overdue = Overdue()
    overdue.look(["a", "b"], DUE + 25)
    assert overdue.take() == ["a", "b"]
    assert not overdue
    assert not overdue.look([], DUE + 80)


def test_an_alarm_that_is_overdue_again_counts_from_then_on() -> None:
    overdue = Overdue()
    overdue.look(["a"], DUE + 25)
    overdue.look([], DUE + 50)
    overdue.look(["a"], DUE + 5_025)
    assert overdue.stand_in_at(DUE + 50) == DUE + 5_065
