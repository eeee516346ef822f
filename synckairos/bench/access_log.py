"""The access log: what a refusal costs a process, and how many rows a second the chains take.

The yardstick of the chains is the same rows into a table without a trigger.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from statistics import median
from time import perf_counter, process_time

from synckairos.audit.access_log import chain, entries
from synckairos.audit.access_log.entries import Entry
from synckairos.audit.access_log.queue import BATCH, AccessLog
from synckairos.audit.store import Store
from synckairos.bench import archive
from synckairos.bench.report import Figure, Report
from synckairos.run import postgresql

WRITERS = 4
_PLAIN = "CREATE TABLE plain (LIKE sync_access_log)"
_INSERT_PLAIN = """
INSERT INTO plain (
    at, tenant_id, sub, roles, token_id, action, session_id, outcome, code, request_id, address, count,
    chain, place, person, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'T', 1, sha256(''), sha256(''), sha256(''))
"""


def run(*, quick: bool) -> Report:
    """Measures with a PostgreSQL of its own."""
    report = Report("access-log", quick)
    rounds, batches, calls = (2, 2, 2_000) if quick else (7, 20, 100_000)
    measured: defaultdict[str, list[float]] = defaultdict(list)
    with archive.database() as database:
        report.versions = {"postgresql": postgresql.version(database.postgres.programs)}
        asyncio.run(_measure(database.url, rounds, batches, calls, measured))
    report.details = {"rounds": measured}
    middle = {name: median(values) for name, values in measured.items()}
    report.figures = [
        Figure(name="a refusal that equals another one, CPU", value=middle["equal"], unit="µs"),
        Figure(name="one that is new, CPU", value=middle["new"], unit="µs"),
        Figure(name="one that is dropped, CPU", value=middle["dropped"], unit="µs"),
        _rate("rows into one chain", middle["one chain"], middle["plain"]),
        _rate(f"rows into {WRITERS} chains, {WRITERS} writers", middle["several chains"], middle["plain"]),
        Figure(
            name="an admin's action: looked whether it can be stored, and stored",
            value=middle["admin"],
            unit="ms",
        ),
        Figure(name="rows verified", value=middle["verified"], unit="/s"),
    ]
    return report


def _rate(name: str, value: float, plain: float) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit="/s",
        yardstick="without a chain",
        yardstick_value=plain,
        ratio=value / plain,
    )


def _entry(number: int, tenant: str = "T") -> Entry:
    return Entry(
        tenant=tenant,
        sub=f"subject {number}",
        roles=("viewer",),
        token_id="the id of a token",  # noqa: S106 - no password
        action="switch",
        session_id="00000000-0000-4000-8000-000000000001",
        outcome="refused",
        code="FORBIDDEN",
        request_id="0123456789abcdef",
        address="192.0.2.1",
        at=time.time(),
    )


async def _measure(
    url: str, rounds: int, batches: int, calls: int, measured: defaultdict[str, list[float]]
) -> None:
    rows = batches * BATCH
    async with Store(url, max_size=WRITERS, timeout_s=600) as store:
        async with store.connection() as connection:
            await connection.execute(_PLAIN)
        for _ in range(rounds):
            for name, value in _queued(calls).items():
                measured[name].append(value)
            batch = [_entry(number) for number in range(BATCH)]
            began = perf_counter()
            async with store.connection() as connection:
                for _ in range(batches):
                    await connection.executemany(_INSERT_PLAIN, [entry.row() for entry in batch])
            measured["plain"].append(rows / (perf_counter() - began))
            began = perf_counter()
            for _ in range(batches):
                await entries.insert(store, batch)
            measured["one chain"].append(rows / (perf_counter() - began))
            began = perf_counter()
            await asyncio.gather(*(_write(store, f"T{n}", batches) for n in range(WRITERS)))
            measured["several chains"].append(WRITERS * rows / (perf_counter() - began))
            log = AccessLog(store)
            began = perf_counter()
            for number in range(100):
                await log.check()
                await log.store_now(_entry(number))
            measured["admin"].append((perf_counter() - began) * 10)
            began = perf_counter()
            checked = [each async for each in chain.verify(store, {})]
            measured["verified"].append(sum(each.rows for each in checked) / (perf_counter() - began))


async def _write(store: Store, tenant: str, batches: int) -> None:
    for _ in range(batches):
        await entries.insert(store, [_entry(number, tenant) for number in range(BATCH)])


def _queued(calls: int) -> dict[str, float]:
    """Microseconds of CPU for a refusal that equals another one, is new, and finds no room."""
    found = {}
    for name, log, distinct in (
        ("equal", AccessLog(Store("postgresql:///"), most_waiting=1), False),
        ("new", AccessLog(Store("postgresql:///"), most_waiting=calls), True),
        ("dropped", AccessLog(Store("postgresql:///"), most_waiting=0), True),
    ):
        began = process_time()
        for number in range(calls):
            log.refuse(_entry(number if distinct else 0))
        found[name] = 1e6 * (process_time() - began) / calls
    return found
