"""Reads of the same at the same time: how many calls they are, and that none is older than its reader."""

from __future__ import annotations

import asyncio

import pytest

from synckairos.core.shared_reads import SharedReads


class Value:
    """Something that is read slowly: a call gives what it was when the call began."""

    def __init__(self) -> None:
        self.now = 0
        self.calls = 0
        self.answer = asyncio.Event()

    async def read(self) -> int:
        self.calls += 1
        found = self.now
        await self.answer.wait()
        return found


async def test_many_readers_at_once_make_two_calls_and_see_what_was_there_when_they_came() -> None:
    reads, value = SharedReads(), Value()
    first = asyncio.create_task(reads.read("a", value.read))
    await asyncio.sleep(0)
    value.now = 1
    others = [asyncio.create_task(reads.read("a", value.read)) for _ in range(100)]
    elsewhere = asyncio.create_task(reads.read("b", value.read))
    await asyncio.sleep(0)
    assert value.calls == 2
    value.answer.set()
    assert await first == 0
    assert await asyncio.gather(*others, elsewhere) == [1] * 101
    assert value.calls == 3
    assert await reads.read("a", value.read) == 1


async def test_a_reader_that_gives_up_takes_nothing_from_the_others() -> None:
    reads, value = SharedReads(), Value()
    tasks = [asyncio.create_task(reads.read("a", value.read)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    value.answer.set()
    assert await tasks[2] == 0


async def test_all_who_share_a_read_get_its_error() -> None:
    reads, go = SharedReads(), asyncio.Event()

    async def fail() -> None:
        await go.wait()
        raise ValueError("away")

    tasks = [asyncio.create_task(reads.read("a", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    for task in tasks:
        with pytest.raises(ValueError, match="away"):
            await task
