"""Repeating calls, under a virtual clock: which errors, after which pauses, for how long."""

from __future__ import annotations

import ast
import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from synckairos.errors import RateLimitExceeded, SessionNotFound, StorageUnavailable
from synckairos.recover import Growth, is_repeated, recover
from tests.support.pages import ROOT


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


class Failing:
    """A call that raises these errors, one after the other, and then returns how often it was made."""

    def __init__(self, *errors: BaseException, takes_s: float = 0.0, clock: Clock | None = None) -> None:
        self.calls = 0
        self._errors = errors
        self._takes_s, self._clock = takes_s, clock

    async def __call__(self) -> int:
        self.calls += 1
        if self._clock is not None:
            self._clock.time += self._takes_s
        if self.calls <= len(self._errors):
            raise self._errors[self.calls - 1]
        return self.calls


@pytest.fixture(autouse=True)
def uncut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are not cut."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


def away(count: int) -> list[StorageUnavailable]:
    return [StorageUnavailable() for _ in range(count)]


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        ("fixed", [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("exponential", [1.0, 2.0, 4.0, 6.0, 6.0]),
    ],
)
async def test_pauses_grow_as_they_should(backoff: Growth, pauses: list[float]) -> None:
    clock = Clock()
    repeat = recover(
        attempts=6, backoff=backoff, first_s=1.0, longest_s=6.0, now=clock.now, sleep=clock.sleep
    )
    assert await repeat(Failing(*away(5))) == 6
    assert clock.pauses == pauses


async def test_pauses_are_cut_at_random_by_up_to_half(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, drawn = Clock(), iter([0.0, 0.5, 1.0])
    monkeypatch.setattr(random, "random", lambda: next(drawn))
    repeat = recover(backoff="fixed", first_s=1.0, now=clock.now, sleep=clock.sleep)
    assert await repeat(Failing(*away(3))) == 4
    assert clock.pauses == [1.0, 0.75, 0.5]


async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    clock, errors = Clock(), away(3)
    call = Failing(*errors)
    with pytest.raises(StorageUnavailable) as raised:
        await recover(attempts=3, now=clock.now, sleep=clock.sleep)(call)
    assert raised.value is errors[-1]
    assert (call.calls, len(clock.pauses)) == (3, 2)


async def test_what_cannot_succeed_later_is_not_repeated() -> None:
    clock = Clock()
    for error in (SessionNotFound(), ValueError("no error of a service"), asyncio.CancelledError()):
        call = Failing(error)
        with pytest.raises(type(error)):
            await recover(now=clock.now, sleep=clock.sleep)(call)
        assert call.calls == 1
    assert clock.pauses == []


async def test_callers_may_say_what_can() -> None:
    clock = Clock()
    repeat = recover(again=lambda error: isinstance(error, OSError), now=clock.now, sleep=clock.sleep)
    assert await repeat(Failing(ConnectionRefusedError(), TimeoutError())) == 3
    with pytest.raises(StorageUnavailable):
        await repeat(Failing(*away(1)))


async def test_no_attempt_begins_after_the_time_is_over() -> None:
    clock = Clock()
    call = Failing(*away(20), takes_s=1.0, clock=clock)
    with pytest.raises(StorageUnavailable):
        await recover(timeout=10.0, backoff="fixed", first_s=2.0, now=clock.now, sleep=clock.sleep)(call)
    # They begin at 0, 3, 6 and 9 s. The last pause would end at 12 s, and there is none after 10 s.
    assert (call.calls, clock.pauses, clock.time) == (4, [2.0, 2.0, 2.0], 1010.0)


async def test_a_pause_ends_with_the_time() -> None:
    clock = Clock()
    call = Failing(*away(20))
    with pytest.raises(StorageUnavailable):
        await recover(timeout=5.0, backoff="fixed", first_s=2.0, now=clock.now, sleep=clock.sleep)(call)
    assert (call.calls, clock.pauses, clock.time) == (4, [2.0, 2.0, 1.0], 1005.0)


async def test_a_service_that_says_when_is_taken_at_its_word() -> None:
    clock = Clock()
    errors = [
        RateLimitExceeded(retry_after_ms=3000),
        StorageUnavailable(),
        RateLimitExceeded(retry_after_ms=9001),
    ]
    call = Failing(*errors)
    with pytest.raises(RateLimitExceeded) as raised:
        await recover(asked_for_s=9.0, first_s=1.0, now=clock.now, sleep=clock.sleep)(call)
    assert raised.value is errors[-1], "it asks for more than anybody will wait"
    assert (call.calls, clock.pauses) == (3, [3.0, 2.0])


async def test_each_error_before_another_attempt_is_told() -> None:
    clock, told = Clock(), list[Exception]()
    errors = away(3)
    with pytest.raises(StorageUnavailable):
        await recover(attempts=3, before_pause=told.append, now=clock.now, sleep=clock.sleep)(
            Failing(*errors)
        )
    assert told == errors[:2]


async def test_there_is_one_layer_of_repeats() -> None:
    clock = Clock()
    inner = Failing(*away(100))
    repeat = recover(attempts=5, now=clock.now, sleep=clock.sleep)
    seen: list[bool] = []

    async def outer() -> int:
        seen.append(is_repeated())
        return await repeat(inner)

    with pytest.raises(StorageUnavailable):
        await repeat(outer)
    assert inner.calls == 5, "not 25"
    assert seen == [True] * 5
    assert not is_repeated()


async def test_anything_may_be_called_that_gives_something_to_wait_for() -> None:
    clock, failing = Clock(), Failing(*away(2))
    assert await recover(now=clock.now, sleep=clock.sleep)(lambda: failing()) == 3  # noqa: PLW0108 - a lambda


async def test_calls_at_the_same_time_do_not_know_of_each_other() -> None:
    clock = Clock()
    calls: list[Callable[[], Awaitable[Any]]] = [Failing(*away(2)) for _ in range(3)]
    repeat = recover(now=clock.now, sleep=clock.sleep)
    assert await asyncio.gather(*(repeat(call) for call in calls)) == [3, 3, 3]


REPEATING = {
    "tenacity": {"recover.py"},
    "tenacity.wait": {"recover.py"},
    "redis.retry": {"core/clients.py"},
    "redis.asyncio.retry": {"core/clients.py"},
    "redis.backoff": {"core/clients.py"},
}
"""What repeats calls, in packages of others, and who has it: clients of Redis are told to repeat nothing."""


def test_nothing_else_repeats() -> None:
    package = ROOT / "synckairos"
    found: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if not name.startswith("synckairos") and re.search("retry|backoff|tenacity", name):
                    found.setdefault(name, set()).add(file.relative_to(package).as_posix())
    assert found == REPEATING
