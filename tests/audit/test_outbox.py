"""Outboxes that nobody reads stay small."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synckairos.audit import outbox
from synckairos.audit.outbox import MAX_ENTRIES, OutboxTrimmer
from synckairos.core import keys
from synckairos.core.connection import Connection


async def test_each_outbox_keeps_its_newest_entries(connection: Connection) -> None:
    (client,) = await connection.primaries()
    async with client.pipeline(transaction=False) as pipeline:
        for number in range(1, MAX_ENTRIES + 1001):
            pipeline.xadd(keys.outbox("0a"), {"e": number}, id=f"{number}-0")
        pipeline.xadd(keys.outbox("0b"), {"e": 1}, id="1-0")
        await pipeline.execute()
    await OutboxTrimmer(connection).trim()
    assert MAX_ENTRIES <= await client.xlen(keys.outbox("0a")) <= MAX_ENTRIES + 100
    newest: Any = await client.xrevrange(keys.outbox("0a"), count=1)
    assert newest[0][0] == b"%d-0" % (MAX_ENTRIES + 1000)
    assert await client.xlen(keys.outbox("0b")) == 1


async def test_it_trims_by_itself(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "ROUND_S", 0.1)
    monkeypatch.setattr(outbox, "MAX_ENTRIES", 100)
    (client,) = await connection.primaries()
    async with client.pipeline(transaction=False) as pipeline:
        for _ in range(500):
            pipeline.xadd(keys.outbox("ff"), {"e": "x"})
        await pipeline.execute()
    trimmer = OutboxTrimmer(connection)
    await trimmer.start()
    async with asyncio.timeout(5):
        while await client.xlen(keys.outbox("ff")) > 200:
            await asyncio.sleep(0.01)
    await trimmer.stop()
