"""Rate limits, call for call against a plain generic cell rate algorithm in exact fractions."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import pytest

from tests.core.game import START
from tests.model.driver import Driver

pytestmark = pytest.mark.every_server

KEY = "sk:rl:{user:7}"

kept = pytest.mark.own_keys(re.escape(KEY))
"""For tests that use `take`: it keeps the key."""


@dataclass
class Bucket:
    """A cell rate limiter. `full_at` is the theoretical arrival time: when the bucket is full again."""

    burst: int
    count: int
    period_ms: int
    cooldown_ms: int
    full_at: Fraction = Fraction(0)
    cool_until: int = 0

    def take(self, now: int, quantity: int) -> list[int]:
        """limited, limit, remaining, retry_after_ms, reset_after_ms of a call at `now` (ms)."""
        interval = Fraction(self.period_ms, self.count)
        after = max(self.full_at, Fraction(now)) + quantity * interval
        wait = max(Fraction(0), after - self.burst * interval - now)
        cooling = self.cool_until > now
        limited = cooling or wait > 0
        if not limited:
            self.full_at = after
        elif not cooling and quantity and self.cooldown_ms:
            self.cool_until, cooling = now + self.cooldown_ms, True
        rest = self.cool_until - now if cooling else 0
        owed = max(Fraction(0), self.full_at - now)
        remaining = 0 if cooling else floor(self.burst - owed / interval)
        retry = max(rest, ceil(wait)) if limited else 0
        return [int(limited), self.burst, remaining, retry, max(ceil(owed), rest)]


def take(core: Driver, at: int, *numbers: int) -> list[int]:
    """`sk_throttle` at a time."""
    core.at(START + at)
    # In one transaction: the key would go by the real clock, on which no time passes here.
    pipeline = core.client.pipeline(transaction=True)
    pipeline.fcall("sk_throttle", 1, KEY, *(str(n) for n in numbers))
    pipeline.pttl(KEY)
    pipeline.persist(KEY)
    reply, life, _ = pipeline.execute()
    if not reply[0] and numbers[3]:
        assert 0 < life <= max(reply[4], 1)
    return [int(n) for n in reply]


@kept
@pytest.mark.parametrize("seed", range(12))
def test_like_the_plain_algorithm(core: Driver, seed: int) -> None:
    dice = random.Random(seed)
    burst, count = dice.choice([1, 2, 5, 10]), dice.choice([1, 3, 5, 7, 10, 100])
    period, cooldown = dice.choice([100_000, 99_991, 3_600_000]), dice.choice([0, 0, 10_000, 500])
    bucket, now = Bucket(burst, count, period, cooldown, Fraction(START)), 0
    for _ in range(60):
        now += dice.choice([0, 0, 1, 7, 900, period // count, period, 1_000_000])
        quantity = dice.choice([1, 1, 1, 1, 0, burst, max(1, burst // 2)])
        found = take(core, now, burst, count, period, quantity, cooldown)
        wanted = bucket.take(START + now, quantity)
        assert found == wanted, (
            f"seed {seed} at {now}: {quantity} of {burst}, {count} in {period}, cooldown {cooldown}"
        )


@kept
def test_ten_a_second_then_ten_seconds_of_cooldown(core: Driver) -> None:
    """The switch limit: the first refusal starts the cooldown, the later ones do not lengthen it."""
    for number in range(10):
        assert take(core, 0, 10, 10, 1000, 1, 10_000) == [0, 10, 9 - number, 0, (number + 1) * 100]
    assert take(core, 0, 10, 10, 1000, 1, 10_000) == [1, 10, 0, 10_000, 10_000]
    assert take(core, 4000, 10, 10, 1000, 1, 10_000) == [1, 10, 0, 6000, 6000]
    assert take(core, 9999, 10, 10, 1000, 1, 10_000) == [1, 10, 0, 1, 1]
    assert take(core, 10_000, 10, 10, 1000, 1, 10_000) == [0, 10, 9, 0, 100]


@kept
def test_asking_takes_nothing_and_leaves_nothing(core: Driver) -> None:
    assert take(core, 0, 5, 5, 1000, 0, 0) == [0, 5, 5, 0, 0]
    assert core.snapshot() == {}
    take(core, 0, 5, 5, 1000, 2, 0)
    assert take(core, 0, 5, 5, 1000, 0, 0) == [0, 5, 3, 0, 400]


def test_a_bucket_lives_until_it_is_full_again(core: Driver) -> None:
    assert core.fcall("sk_throttle", [KEY], ["5", "5", "60000", "3", "0"]).value == [0, 5, 2, 0, 36_000]
    assert 31_000 <= core.run("PTTL", KEY) <= 36_000


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        ["5", "5", "1000", "1"],
        ["5", "5", "1000", "1", "0", "0"],
        ["0", "5", "1000", "1", "0"],
        ["5", "0", "1000", "1", "0"],
        ["5", "5", "0", "1", "0"],
        ["5", "5", "1000", "6", "0"],
        ["5", "5", "1000", "-1", "0"],
        ["5", "5", "1000", "1", "-1"],
        ["5", "5", "1000", "one", "0"],
        ["5.5", "5", "1000", "1", "0"],
    ],
)
def test_wrong_numbers(core: Driver, numbers: list[str]) -> None:
    assert core.fcall("sk_throttle", [KEY], numbers).code == "VALIDATION_ERROR"
    assert core.snapshot() == {}


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("sk:rl:{a}", True),
        ("sk:rl:{" + "a" * 200 + "}", True),
        ("sk:rl:{ get /v1: ~}", True),
        ("sk:rl:{" + "a" * 201 + "}", False),
        ("sk:rl:{}", False),
        ("sk:rl:a", False),
        ("sk:rl:{a}b", False),
        ("sk:rl:{a{b}", False),
        ("sk:rl:{é}", False),
        ("sk:rl:{a\n}", False),
        ("sk:{aa}:alarms", False),
    ],
)
def test_the_name_of_a_bucket(core: Driver, key: str, fits: bool) -> None:
    answer = core.fcall("sk_throttle", [key], ["5", "5", "1000", "1", "0"])
    assert (answer.code is None) is fits, answer
    assert fits or answer.code == "VALIDATION_ERROR"


def test_one_bucket_and_no_more(core: Driver) -> None:
    for keys in ([], [KEY, KEY]):
        assert core.fcall("sk_throttle", keys, ["5", "5", "1000", "1", "0"]).code == "VALIDATION_ERROR"
