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
    first = gc.get_freeze_count()
    looks = 0
    gone: list[weakref.ref[Thing]] = []
    while not gone or gone[0]() is not None:
        things = [Thing() for _ in range(first // 10)]
        for each in things:
            each.other = each
        gone.append(weakref.ref(things[0]))
        gc.collect()
        things.clear()
    assert first() is not None


def test_settling_again_is_as_settling_once() -> None:
    garbage.settle()
    garbage.settle()
    assert sum(each.__module__ == garbage.__name__ for each in gc.callbacks) == 1
    assert gc.get_freeze_count() > 10_000
