"""Repeating a call that may succeed later: how often, after which pauses, and for how long.

There is one layer of repeats around a call, and never a second one inside: the outermost `recover` repeats,
and what is inside of it tries once (`is_repeated`). Two layers of five tries each would be 25.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState
from tenacity.wait import wait_base, wait_exponential, wait_fixed, wait_incrementing

from synckairos.errors import SyncKairosError

T = TypeVar("T")
Growth = Literal["fixed", "linear", "exponential"]

FIRST_S, LONGEST_S = 0.05, 5.0

_repeating: ContextVar[asyncio.Task[object] | None] = ContextVar("repeating", default=None)
"""The task in which calls are repeated. Tasks that it starts may live longer, so they are none of it."""


def is_repeated() -> bool:
    """Whether a `recover` around this call repeats it. Then the call need not do that itself."""
    task = _repeating.get()
    return task is not None and task is asyncio.current_task()


def is_retryable(error: Exception) -> bool:
    """Whether an error says that the same call may succeed later."""
    return isinstance(error, SyncKairosError) and error.retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How calls are repeated; made by `recover`."""

    attempts: int | None
    wait: wait_base
    timeout_s: float | None
    again: Callable[[Exception], bool]
    asked_for_s: float | None
    before_pause: Callable[[Exception], None] | None
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """What `call()` returns, at its first success. Raises what the last attempt has raised."""
        if is_repeated():
            return await call()
        begun = self.now()

        async def attempt() -> T:  # tenacity awaits nothing but the results of such functions
            return await call()

        def is_over(state: RetryCallState) -> bool:
            if self.timeout_s is not None and self.now() - begun >= self.timeout_s:
                return True
            if self.asked_for_s is not None and (_asked_for_s(state) or 0.0) > self.asked_for_s:
                return True
            return self.attempts is not None and state.attempt_number >= self.attempts

        def pause_s(state: RetryCallState) -> float:
            usual = self.wait(state) * (1 - random.random() / 2)
            asked_for = None if self.asked_for_s is None else _asked_for_s(state)
            pause = usual if asked_for is None else asked_for
            return pause if self.timeout_s is None else min(pause, begun + self.timeout_s - self.now())

        def is_again(state: RetryCallState) -> bool:
            error = _error(state)
            return isinstance(error, Exception) and self.again(error)

        def tell(state: RetryCallState) -> None:
            error = _error(state)
            if self.before_pause is not None and isinstance(error, Exception):
                self.before_pause(error)

        repeating = AsyncRetrying(
            stop=is_over,
            wait=pause_s,
            retry=is_again,
            before_sleep=tell,
            sleep=self.sleep,
            reraise=True,
        )
        token = _repeating.set(asyncio.current_task())
        try:
            result: T = await repeating(attempt)
        finally:
            _repeating.reset(token)
        return result


def recover(
    attempts: int | None = None,
    backoff: Growth = "exponential",
    timeout: float | None = None,
    *,
    first_s: float = FIRST_S,
    longest_s: float = LONGEST_S,
    again: Callable[[Exception], bool] = is_retryable,
    asked_for_s: float | None = None,
    before_pause: Callable[[Exception], None] | None = None,
    now: Callable[[], float] = monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Repeats:
    """How to repeat a call until it succeeds: what is returned is called with it, and gives its result.

    attempts: how often the call is made at most; None for as often as it takes
    backoff: pauses of `first_s` each, of `first_s` more each time, or twice as long each time. Each is cut
        at random by up to half, so that callers that failed together do not come back together
    timeout: for how long attempts begin (seconds). One that has begun is not cut short
    longest_s: the longest pause
    again: which errors may go away; without it, those that are `retryable`
    asked_for_s: with it, the pause is the error's own `retry_after_ms`, if it has one. An error that asks for
        a longer one than this is raised at once
    before_pause: hears of each error that is followed by another attempt
    now, sleep: the clock, and what waits, in seconds
    """
    waits: dict[Growth, wait_base] = {
        "fixed": wait_fixed(first_s),
        "linear": wait_incrementing(start=first_s, increment=first_s, max=longest_s),
        "exponential": wait_exponential(multiplier=first_s, max=longest_s),
    }
    return Repeats(
        attempts=attempts,
        wait=waits[backoff],
        timeout_s=timeout,
        again=again,
        asked_for_s=asked_for_s,
        before_pause=before_pause,
        now=now,
        sleep=sleep,
    )


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def _asked_for_s(state: RetryCallState) -> float | None:
    """How long the error asks to wait; None when it does not say."""
    error = _error(state)
    after_ms = error.retry_after_ms if isinstance(error, SyncKairosError) else None
    return None if after_ms is None else after_ms / 1000
