"""The access log of a process: what is counted, what waits, and what a flood costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from synckairos import metrics
from synckairos.audit import alerts
from synckairos.audit.access_log import entries, queue
from synckairos.audit.access_log.entries import Entry, Refused
from synckairos.audit.access_log.queue import BATCH, EQUAL_S, AccessLog
from synckairos.audit.store import Store
from synckairos.errors import StorageUnavailable


class Database:
    """Takes entries, unless it is away. It does not take those with the action `odd`."""

    def __init__(self) -> None:
        self.rows: list[Entry] = []
        self.away = False

    async def insert(self, _store: Store, given: Sequence[Entry]) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StorageUnavailable
        if any(entry.action == "odd" for entry in given):
            raise Refused("odd")
        self.rows += given


class Clock:
    """The time that the queue sees. It starts where a computer's does that runs for a while."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(entries, "insert", made.insert)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(queue, "monotonic", made)
    return made


@pytest.fixture
def alerted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(alerts, "alert", lambda message, **context: found.append(context))
    return found


@pytest.fixture
async def log(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AccessLog]:
    monkeypatch.setattr(queue, "ROUND_S", 0.001)
    made = AccessLog(cast(Store, None), most_waiting=50)
    await made.start()
    yield made
    database.away = False
    await made.stop()


def refusal(sub: str = "eve", **fields: Any) -> Entry:
    return Entry(
        **{
            "tenant": "T",
            "sub": sub,
            "action": "switch",
            "outcome": "refused",
            "code": "FORBIDDEN",
            "address": "192.0.2.1",
            "at": time.time(),
            **fields,
        }
    )


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_equal_refusals_within_ten_seconds_are_one_row(
    log: AccessLog, database: Database, clock: Clock
) -> None:
    for n in range(30):
        log.refuse(refusal(request_id=f"r{n}"))
        clock.now += (EQUAL_S - 0.01) / 30
    await asyncio.sleep(0.02)
    assert database.rows == []
    for other in (
        {"tenant": "U"},
        {"sub": "mallory"},
        {"action": "pause"},
        {"code": "X"},
        {"address": "::1"},
    ):
        log.refuse(refusal(**other))
    clock.now += 0.02
    await until(lambda: database.rows)
    assert [(row.request_id, row.count) for row in database.rows] == [("r0", 30)]
    clock.now += EQUAL_S
    await until(lambda: len(database.rows) == 6)
    assert {row.count for row in database.rows[1:]} == {1}


async def test_an_equal_refusal_after_ten_seconds_is_another_row_although_nobody_has_written(
    log: AccessLog, database: Database, clock: Clock
) -> None:
    log.refuse(refusal())
    clock.now += EQUAL_S
    log.refuse(refusal())
    await log.flush()
    assert [row.count for row in database.rows] == [1, 1]


async def test_what_postgresql_cannot_take_waits_and_what_is_too_much_is_counted_and_told(
    log: AccessLog, database: Database, clock: Clock, alerted: list[dict[str, Any]]
) -> None:
    before = metrics.access_log_dropped._value.get()
    database.away = True
    for n in range(80):
        log.refuse(refusal(f"eve {n}"))
        log.refuse(refusal(f"eve {n}"))
    for _ in range(3):
        log.add(refusal(outcome="allowed", code=None))
    await until(lambda: alerted)
    clock.now += EQUAL_S + 0.1
    await asyncio.sleep(0.02)
    database.away = False
    await until(lambda: len(database.rows) == 50)
    assert sum(row.count for row in database.rows) == 100
    dropped = metrics.access_log_dropped._value.get() - before
    assert dropped == 63 == sum(context["entries"] for context in alerted) + log._dropped


async def test_an_entry_that_postgresql_refuses_costs_only_itself(
    log: AccessLog, database: Database, alerted: list[dict[str, Any]]
) -> None:
    for n in range(20):
        log.add(refusal(f"eve {n}", action="odd" if n == 7 else "switch"))
    await until(lambda: len(database.rows) == 19)
    await until(lambda: alerted == [{"entries": 1}])
    with pytest.raises(StorageUnavailable):
        await log.store_now(refusal(action="odd"))


async def test_the_end_of_a_process_writes_what_waits(
    database: Database, alerted: list[dict[str, Any]]
) -> None:
    for away in (False, True):
        database.away = away
        log = AccessLog(cast(Store, None), most_waiting=3 * BATCH)
        await log.start()
        for n in range(2 * BATCH):
            log.refuse(refusal(f"eve {n}"))
        await log.stop()
    assert len(database.rows) == 2 * BATCH
    assert alerted == [{"entries": 2 * BATCH}]


def test_no_text_that_a_request_can_have_is_refused_by_postgresql() -> None:
    row = refusal("a\0b" + "\ud800" + "x" * 999, roles=["", *(f"{n:03}" for n in range(99))], tenant="").row()
    assert row[1] is None
    assert row[2] == "a?b?" + "x" * 251
    assert row[3] == ["", *(f"{n:03}" for n in range(15))]
