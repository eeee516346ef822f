"""Ending tasks."""

from __future__ import annotations

import asyncio

CANCEL_AGAIN_S = 0.1


async def stop(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has ended.

    A task can miss its cancellation: until Python 3.12, a `wait_for` that has just got its result does. So it
    is cancelled again.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
