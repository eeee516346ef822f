"""Background loops that outlive their errors.

A loop that ends or raises is logged and started again, after a pause that grows while it keeps failing;
cancelling the task ends it at once. That a server is away is no bug: it is told without a traceback, and
not again and again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from synckairos.errors import StorageUnavailable, error_text

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
CANCEL_AGAIN_S = 0.5
HEALTHY_S = 10.0
"""A loop that ran this long starts again with the first pause."""

TOLD_EVERY_S = 30.0
"""How often at most an outage is logged as a warning."""
_AWAY = (StorageUnavailable, RedisConnectionError, RedisTimeoutError, ConnectionError, TimeoutError)


class Telling:
    """How loudly a failure that comes again and again is logged."""

    def __init__(self) -> None:
        self._told = -math.inf

    def level(self) -> int:
        """The level of this failure: a warning once in TOLD_EVERY_S, otherwise debug."""
        now = monotonic()
        if now - self._told < TOLD_EVERY_S:
            return logging.DEBUG
        self._told = now
        return logging.WARNING


class Backoff:
    """Pauses (seconds) that double from `first` to `longest`, each cut at random by up to half."""

    def __init__(self, first: float = FIRST_PAUSE_S, longest: float = LONGEST_PAUSE_S) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self.failures = 0
        """A counter for the caller's use, such as failures in a row; this class never changes it."""

    def pause(self) -> float:
        """The next pause."""
        pause, self._next = self._next, min(self._longest, 2 * self._next)
        return pause * (1 - random.random() / 2)

    def reset(self) -> None:
        """Start again with the first pause."""
        self._next = self._first


async def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop` again whenever it ends. Never returns; ends by cancellation only."""
    backoff = Backoff()
    telling = Telling()
    clock = asyncio.get_running_loop()
    while True:
        started = clock.time()
        try:
            await loop()
            logger.error("a background loop ended by itself", loop=name)
        except _AWAY as error:
            logger.log(
                telling.level(),
                "a background loop waits for a server that is away",
                loop=name,
                error=error_text(error.__cause__ or error),
            )
        except Exception:
            logger.exception("a background loop failed and starts again", loop=name)
        if clock.time() - started > HEALTHY_S:
            backoff.reset()
        await asyncio.sleep(backoff.pause())


async def together(*loops: Coroutine[Any, Any, None]) -> None:
    """Run the loops side by side until one ends, then cancel the others. Raises the error of the first.

    A TaskGroup would wait for the others for ever where a cancellation gets lost (see `cancel`).
    """
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(retrieve_error)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        await cancel(*(task for task in tasks if not task.done()))
    errors = [error for task in ended if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]


def retrieve_error(task: asyncio.Task[None]) -> None:
    """Reads the error of a task that has ended, because asyncio logs every error that is never read."""
    if not task.cancelled():
        task.exception()


async def cancel(*tasks: asyncio.Task[None]) -> None:
    """Cancel the tasks and wait until they have ended."""
    remaining = set(tasks)
    while remaining:
        for task in remaining:
            task.cancel()
        # A task can miss its cancellation: when an error occurs in it at the same moment, or when a wait_for
        # (in Python 3.11) has just got its result. So the cancellation is repeated until the task has ended.
        _, remaining = await asyncio.wait(remaining, timeout=CANCEL_AGAIN_S)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task had failed", task=task.get_name(), error=repr(error))
