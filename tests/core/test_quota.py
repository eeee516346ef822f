"""What a tenant has, counted: quotas, what is not created after all, and sessions that are over."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.core.game import START
from tests.model.driver import Driver

KEYS = ["sk:quota:{club}", "sk:quota:{club}:looked"]
DAY_MS = 86_400_000

pytestmark = [pytest.mark.every_server, pytest.mark.own_keys(re.escape("sk:quota:{club}") + "(:looked)?")]


def session(number: int) -> str:
    return f"a0000000-0000-4000-8000-{number:012}"


def quota(core: Driver, at: int, *arguments: object) -> Any:
    core.at(START + at)
    value = core.fcall("sk_quota", KEYS, [str(each) for each in arguments]).value
    # The keys go by the real clock, on which no time passes here.
    for key in KEYS:
        core.run("PERSIST", key)
    return value


def test_each_quota_is_held(core: Driver) -> None:
    one, two, three = map(session, (1, 2, 3))
    assert quota(core, 0, "CREATE", one, 4, 2, 10, 3) == [1, b"", 0]
    assert quota(core, 0, "CREATE", one, 4, 2, 10, 3) == [0, b"", 0]
    assert quota(core, 0, "CREATE", two, 7, 2, 10, 3) == [-1, b"participants", 0]
    assert quota(core, 0, "CREATE", two, 6, 2, 10, 3) == [1, b"", 0]
    assert quota(core, 0, "CREATE", three, 0, 2, -1, -1) == [-1, b"sessions", 0]
    assert quota(core, 0, "CREATE", three, 0, -1, -1, 2)[:2] == [-1, b"creates_per_day"]
    assert quota(core, 0, "CREATE", three, 0, -1, -1, -1) == [1, b"", 0]


def test_a_day_begins_at_midnight_and_what_failed_does_not_count(core: Driver) -> None:
    left = DAY_MS - START % DAY_MS
    assert quota(core, left - 2, "CREATE", session(1), 2, -1, -1, 1) == [1, b"", 0]
    assert quota(core, left - 1, "CREATE", session(2), 2, -1, -1, 1) == [-1, b"creates_per_day", 1]
    assert quota(core, left - 1, "UNDO", session(1)) == 1
    assert quota(core, left - 1, "CREATE", session(2), 2, -1, -1, 1) == [1, b"", 0]
    assert quota(core, left, "CREATE", session(3), 2, -1, -1, 1) == [1, b"", 0]
    # Yesterday's creation takes nothing off today.
    assert quota(core, left, "UNDO", session(2)) == 1
    assert quota(core, left, "DROP", session(3)) == 1
    assert quota(core, left, "CREATE", session(4), 2, -1, -1, 1)[:2] in ([-1, b"creates_per_day"], [1, b""])


def test_what_somebody_else_has_created_under_the_same_id_stays_counted(core: Driver) -> None:
    """As when two creations under one id come at once, and one is refused after the other was made."""
    assert quota(core, 0, "CREATE", session(1), 2, -1, -1, -1) == [1, b"", 0]
    assert quota(core, 1, "CREATE", session(1), 2, -1, -1, -1) == [0, b"", 0]
    assert quota(core, 2, "CREATED", session(1)) == 1
    assert quota(core, 3, "UNDO", session(1)) == 0
    assert quota(core, 4, "CREATE", session(2), 2, 1, -1, -1) == [-1, b"sessions", 0]


def test_participants_join_and_leave(core: Driver) -> None:
    one, stranger = session(1), session(2)
    quota(core, 0, "CREATE", one, 2, -1, 3, -1)
    assert quota(core, 0, "JOIN", one, 1, 3) == [1, b"", 0]
    assert quota(core, 0, "JOIN", one, 1, 3) == [-1, b"participants", 0]
    assert quota(core, 0, "JOIN", one, -1, -1) == [1, b"", 0]
    assert quota(core, 0, "JOIN", stranger, 1, 0) == [0, b"", 0]
    # However many leave, a session never has fewer than none.
    quota(core, 0, "JOIN", one, -9, -1)
    assert quota(core, 0, "CREATE", stranger, 3, -1, 3, -1) == [1, b"", 0]
    assert quota(core, 0, "DROP", stranger) == 1
    assert quota(core, 0, "DROP", stranger) == 0
    assert quota(core, 0, "CREATE", stranger, 3, -1, 3, -1) == [1, b"", 0]


def test_a_session_that_is_found_counts_once_and_not_for_the_day(core: Driver) -> None:
    assert quota(core, 0, "FOUND", session(1), 3) == 1
    assert quota(core, 0, "FOUND", session(1), 3) == 0
    assert quota(core, 0, "CREATE", session(1), 3, 1, 3, 1) == [0, b"", 0]
    assert quota(core, 0, "CREATE", session(2), 1, -1, 3, -1) == [-1, b"participants", 0]
    assert quota(core, 0, "CREATE", session(2), 1, 2, 4, 1) == [1, b"", 0]
    assert quota(core, 0, "FOUND", session(2), 9) == 0


def test_a_session_that_goes_on_needs_room_and_does_not_count_for_the_day(core: Driver) -> None:
    one, two = session(1), session(2)
    assert quota(core, 0, "CREATE", one, 2, 1, 3, 1) == [1, b"", 0]
    assert quota(core, 0, "REVIVE", two, 1, 1, 3) == [-1, b"sessions", 0]
    assert quota(core, 0, "REVIVE", two, 2, 2, 3) == [-1, b"participants", 0]
    assert quota(core, 0, "REVIVE", one, 2, 1, 2) == [0, b"", 0]
    assert quota(core, 0, "DROP", one) == 1
    assert quota(core, 0, "REVIVE", two, 2, 1, 3) == [1, b"", 0]
    assert quota(core, 0, "CREATE", session(3), 1, 2, 3, 1)[:2] == [-1, b"creates_per_day"]
    assert quota(core, 1, "LOOK", 9) == []
    assert quota(core, 2, "CREATED", two) == 1
    assert quota(core, 3, "LOOK", 9) == [two.encode()]


def test_those_are_looked_at_first_that_were_longest_not(core: Driver) -> None:
    one, two, creating = map(session, (1, 2, 3))
    for number, each in enumerate((one, two)):
        quota(core, number, "CREATE", each, 2, -1, -1, -1)
        quota(core, number, "CREATED", each)
    quota(core, 2, "CREATE", creating, 2, -1, -1, -1)
    assert quota(core, 3, "LOOK", 1) == [one.encode()]
    assert quota(core, 4, "LOOK", 1) == [two.encode()]
    assert quota(core, 5, "LOOK", 9) == [one.encode(), two.encode()]
    # One whose creation nobody has told of is looked at when that is long ago.
    assert quota(core, 10_001, "LOOK", 9) == [one.encode(), two.encode()]
    assert creating.encode() in quota(core, 10_002, "LOOK", 9)


def test_the_count_lives_as_long_as_a_session_can_and_a_day_alone_two(core: Driver) -> None:
    core.at(START)
    core.fcall("sk_quota", KEYS, ["CREATE", session(1), "2", "-1", "-1", "-1"])
    assert core.run("PTTL", KEYS[0]) > 366 * DAY_MS
    assert core.run("PTTL", KEYS[1]) > 366 * DAY_MS
    core.fcall("sk_quota", KEYS, ["DROP", session(1)])
    assert 0 < core.run("PTTL", KEYS[0]) <= 2 * DAY_MS
    assert core.run("EXISTS", KEYS[1]) == 0
    core.run("DEL", *KEYS)


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        (KEYS, []),
        (KEYS, ["COUNT"]),
        (KEYS, ["DROP"]),
        (KEYS, ["DROP", "1"]),
        (KEYS, ["DROP", session(1), "1"]),
        (KEYS, ["CREATE", session(1), "2", "-2", "-1", "-1"]),
        (KEYS, ["CREATE", session(1), "-1", "-1", "-1", "-1"]),
        (KEYS, ["CREATE", session(1), "2", "x", "-1", "-1"]),
        (KEYS, ["REVIVE", session(1), "2", "1"]),
        (KEYS, ["REVIVE", session(1), "2", "1", "1", "1"]),
        (KEYS, ["LOOK", "0"]),
        (KEYS[:1], ["LOOK", "1"]),
        ([KEYS[0], "sk:quota:{other}:looked"], ["LOOK", "1"]),
        (["sk:rl:{club}", "sk:rl:{club}:looked"], ["LOOK", "1"]),
    ],
)
def test_wrong_calls(core: Driver, keys: list[str], arguments: list[str]) -> None:
    assert core.fcall("sk_quota", keys, arguments).code == "VALIDATION_ERROR"
    assert core.snapshot() == {}
