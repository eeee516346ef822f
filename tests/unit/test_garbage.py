"""The garbage collector leaves alone what is old, and looks through everything before that is too much."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from synckairos import garbage


class Thing:
    """Something that may refer to itself."""

    def __init__(self) -> None:
        self.other: Thing | None = None


def circle() -> weakref.ref[Thing]:
    """Something that only the collector can free. Nobody has it."""
    made = Thing()
    made.other = made
    return weakref.ref(made)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The collector of this process as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks[:] = [each for each in gc.callbacks if each.__module__ != garbage.__name__]
    gc.unfreeze()
    gc.collect()


def test_what_is_there_is_looked_through_once_and_then_left_alone() -> None:
    gone = circle()
    garbage.settle()
    assert gone() is None
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 1000


def test_what_a_full_collection_leaves_is_left_alone_and_freed_with_its_last_reference() -> None:
    garbage.settle()
    kept = [Thing() for _ in range(5000)]
    gone = weakref.ref(kept[0])
    gc.collect()
    assert len(gc.get_objects()) < 1000
    kept.clear()
    assert gone() is None


def _grow(count: int) -> weakref.ref[Thing]:
    """So many objects are left alone before nobody has them any more. Each is in a circle."""
    things = [Thing() for _ in range(count)]
    for each in things:
        each.other = each
    gc.collect()
    return weakref.ref(things[0])


def test_circles_are_freed_before_there_are_as_many_objects_in_them_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "MORE", 1)
    garbage.settle()
    tenth = gc.get_freeze_count() // 10
    gone = [_grow(tenth) for _ in range(7)]
    assert all(each() is not None for each in gone)
    for _ in range(7):
        _grow(tenth)
    assert all(each() is None for each in gone)


def test_they_are_freed_before_there_are_more_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage.settle()
    monkeypatch.setattr(garbage, "MORE", 3 * gc.get_freeze_count())
    tenth = gc.get_freeze_count() // 10
    gone = [_grow(tenth) for _ in range(25)]
    assert all(each() is not None for each in gone)
    for _ in range(10):
        _grow(tenth)
    assert all(each() is None for each in gone)


def test_what_is_freed_by_itself_brings_no_look_through_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "MORE", 1)
    garbage.settle()
    tenth = gc.get_freeze_count() // 10
    first = _grow(10)
    for _ in range(30):
        things = [Thing() for _ in range(tenth)]
        gc.collect()
        things.clear()
    assert first() is not None


def test_settling_again_is_as_settling_once() -> None:
    garbage.settle()
    garbage.settle()
    assert sum(each.__module__ == garbage.__name__ for each in gc.callbacks) == 1
    assert gc.get_freeze_count() > 10_000
