"""Heavy calls: one at a time, with a rest after each, and not too many that wait."""

from __future__ import annotations

import asyncio

import pytest

from synckairos.api import heavy_calls
from synckairos.api.heavy_calls import HEAVY, MOST_WAITING, HeavyCalls
from synckairos.errors import RateLimitExceeded


@pytest.mark.parametrize("rest_s", [0.0, 3600.0])
async def test_one_at_a_time_and_the_others_rest_while_small_ones_go_on(
    monkeypatch: pytest.MonkeyPatch, rest_s: float
) -> None:
    monkeypatch.setattr(heavy_calls, "REST_S", rest_s)
    calls, running, log = HeavyCalls(), 0, list[str]()

    async def heavy() -> None:
        nonlocal running
        async with calls.turn(HEAVY):
            running += 1
            assert running == 1
            await asyncio.sleep(0.001)
            running -= 1
            log.append("heavy")

    waiting = [asyncio.create_task(heavy()) for _ in range(3)]
    async with calls.turn(HEAVY - 1):
        log.append("small")
    if rest_s:
        await waiting[0]
        await asyncio.sleep(0.01)
        # The first one has ended, and the others wait although nobody has the turn.
        assert (log, running) == (["small", "heavy"], 0)
        for task in waiting[1:]:
            task.cancel()
    else:
        await asyncio.gather(*waiting)
        assert log == ["small", *["heavy"] * 3]


async def test_not_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_calls, "REST_S", 0.0)
    calls, go = HeavyCalls(), asyncio.Event()

    async def heavy() -> None:
        async with calls.turn(HEAVY):
            await go.wait()

    waiting = [asyncio.create_task(heavy()) for _ in range(MOST_WAITING + 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(RateLimitExceeded):
        await heavy()
    waiting[-1].cancel()
    go.set()
    await asyncio.wait(waiting)
    await heavy()
