"""Background loops that outlive their errors."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest
import redis.exceptions
from structlog.testing import capture_logs

from synckairos import supervision
from synckairos.errors import StorageUnavailable
from synckairos.supervision import Backoff, cancel, supervise, together


def test_pauses_double_up_to_the_longest_and_start_again() -> None:
    backoff = Backoff(1.0, 8.0)
    pauses = [backoff.pause() for _ in range(6)]
    for pause, longest in zip(pauses, (1, 2, 4, 8, 8, 8), strict=True):
        assert longest / 2 <= pause <= longest
    backoff.reset()
    assert backoff.pause() <= 1


async def test_a_loop_that_fails_or_ends_is_started_again() -> None:
    runs = 0
    enough = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("on purpose")
        if runs == 3:
            enough.set()
            await asyncio.Event().wait()

    with capture_logs() as logs:
        task = asyncio.create_task(supervise("test", loop))
        async with asyncio.timeout(5):
            await enough.wait()
        await cancel(task)
    assert task.cancelled()
    assert [entry["loop"] for entry in logs] == ["test", "test"]


async def test_a_server_that_is_away_is_told_once_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.001)
    errors = [StorageUnavailable(), ConnectionError(), TimeoutError(), redis.exceptions.ConnectionError()]
    enough = asyncio.Event()

    async def loop() -> None:
        if errors:
            raise errors.pop()
        enough.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        task = asyncio.create_task(supervise("test", loop))
        async with asyncio.timeout(10):
            await enough.wait()
        await cancel(task)
    assert [entry["log_level"] for entry in logs] == ["warning", "debug", "debug", "debug"]
    assert not any("exc_info" in entry for entry in logs)
    telling = supervision.Telling()
    assert (telling.level(), telling.level()) == (30, 10)
    monkeypatch.setattr(supervision, "TOLD_EVERY_S", 0.0)
    assert telling.level() == 30, "an outage that lasts is told again"


async def test_a_cancellation_that_gets_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "CANCEL_AGAIN_S", 0.01)

    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel(task)
    assert task.done()


async def test_loops_that_run_together_end_together_even_when_a_cancellation_gets_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervision, "CANCEL_AGAIN_S", 0.01)
    ended = []

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("stubborn")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("on purpose")

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="on purpose"):
            await together(stubborn(), failing())
    assert ended == ["stubborn"]


async def test_loops_that_run_together_are_cancelled_together() -> None:
    ended = []

    async def loop(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    task = asyncio.create_task(together(loop("a"), loop("b")))
    await asyncio.sleep(0.01)
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    assert task.cancelled()
    assert sorted(ended) == ["a", "b"]


async def test_an_error_of_the_moment_in_which_loops_are_cancelled_is_not_complained_of() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    running: list[asyncio.Task[None]] = []

    async def failing() -> None:
        running.pop().cancel()
        raise RuntimeError("on purpose")

    running.append(asyncio.create_task(together(failing(), asyncio.sleep(60))))
    with suppress(asyncio.CancelledError):
        await running[0]
    for _ in range(3):  # what is left of it is thrown away
        await asyncio.sleep(0)
        gc.collect()
    assert complaints == []


async def test_nor_is_an_error_of_a_loop_whose_end_is_not_waited_for() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    async def failing() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0.02)
        raise RuntimeError("on purpose")

    task = asyncio.create_task(together(failing(), asyncio.sleep(60)))
    for _ in range(2):  # the second one while the loops are ending
        await asyncio.sleep(0.005)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    gc.collect()
    assert complaints == []
