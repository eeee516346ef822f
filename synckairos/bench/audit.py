"""The audit: events a second from the outboxes into PostgreSQL, and latencies while PostgreSQL is down.

The yardstick is one COPY of the same rows, in PostgreSQL's own format, into a table with the same columns and
indexes. The service's switches a second are measured in the same rounds: the audit has to archive more than
that, or a backlog would never drain.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice
from time import perf_counter

import asyncpg
import click

from synckairos import config
from synckairos.audit.archiver import Archiver
from synckairos.audit.jobs import Counts, Jobs
from synckairos.bench import archive, load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, percentile
from synckairos.bench.servers import Kind, Storage
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys
from synckairos.run import postgresql

SESSIONS = 200
CONNECTIONS = 64
RATE = 200
"""How many switches a second are sent while PostgreSQL is away."""
DRAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    rounds: how many rounds
    events: how many events are archived in a round
    round_s: seconds of HTTP load in a round
    away_s: seconds with PostgreSQL away
    """

    rounds: int
    events: int
    round_s: float
    away_s: float


FULL = Plan(rounds=5, events=20_000, round_s=2.0, away_s=60.0)
QUICK = Plan(rounds=2, events=600, round_s=0.3, away_s=1.0)


@dataclass(slots=True)
class _Measured:
    """The measured values.

    rates: by name, events or switches a second of each round
    latencies_ms: latencies of the switches, with PostgreSQL `there` and `away`
    """

    rates: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures archiver and worker, one process each, with a server of this kind."""
    plan = QUICK if quick else FULL
    report = Report("audit", quick)
    measured = _Measured()
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        database = stack.enter_context(archive.database())
        report.versions = {
            kind: storage.version,
            "postgresql": postgresql.version(database.postgres.programs),
        }
        settings = config.load(archive.environ(storage, database))
        jobs = Jobs.of(settings)
        stack.callback(jobs.close)
        stack.enter_context(archive.worker(storage, database))
        made = sessions.make(storage, SESSIONS)
        requests = [sessions.switch_request(each) for each in made]
        with servers.synckairos(storage, 1, limits=False) as service:
            for number in range(plan.rounds + 1):
                sessions.trim_outboxes(storage)
                switches = islice(cycle(made), plan.events)
                sessions.calls(storage, (("sk_switch", each.all, ()) for each in switches))
                archived = asyncio.run(_archive(settings, jobs, database.url, plan.events))
                copied = asyncio.run(_copy(database.url, plan.events))
                outcome = load.http(service.port, CONNECTIONS, requests, plan.round_s)
                if number:  # the first round only warms everything up
                    measured.rates["archived"].append(archived)
                    measured.rates["copied"].append(copied)
                    measured.rates["switched"].append(outcome.rate)
        sessions.trim_outboxes(storage)
        stored, expected = _without_postgresql(plan, storage, database, jobs, measured)
    report.details = {"rates_per_s": measured.rates, "p99_ms": measured.latencies_ms, "sessions": SESSIONS}
    report.figures = _figures(measured, stored, expected)
    return report


async def _archive(settings: config.Settings, jobs: Jobs, url: str, events: int) -> float:
    """Archives all events. Returns events a second, from the first read until the last batch is stored."""
    connection = await connect(settings)
    database = await asyncpg.connect(url)
    try:
        await database.execute("TRUNCATE sync_events")
        archiver = Archiver(connection, jobs)
        started = perf_counter()
        while await archiver.archive():
            pass
        await asyncio.to_thread(_drain, jobs)
        took = perf_counter() - started
        stored = await database.fetchval("SELECT count(*) FROM sync_events")
    finally:
        await database.close()
        await connection.aclose()
    if stored != events:
        raise click.ClickException(f"{stored} of {events} events were stored")
    return events / took


def _drain(jobs: Jobs) -> None:
    """Waits until every batch is stored."""
    end = time.monotonic() + DRAIN_S
    while jobs.counts() != Counts(0, 0, 0, 0):
        if time.monotonic() > end:
            raise click.ClickException(f"the queue does not drain: {jobs.counts()}")
        time.sleep(0.02)  # each question costs as much as archiving ten events


async def _copy(url: str, events: int) -> float:
    """Copies the events that were just stored with one COPY. Returns rows a second."""
    database = await asyncpg.connect(url)
    try:
        rows = io.BytesIO()
        await database.copy_from_query("SELECT * FROM sync_events", output=rows, format="binary")
        rows.seek(0)
        await database.execute("CREATE TABLE copied (LIKE sync_events INCLUDING ALL)")
        started = perf_counter()
        await database.copy_to_table("copied", source=rows, format="binary")
        took = perf_counter() - started
        await database.execute("DROP TABLE copied")
    finally:
        await database.close()
    return events / took


def _without_postgresql(
    plan: Plan, storage: Storage, database: archive.Database, jobs: Jobs, measured: _Measured
) -> tuple[int, int]:
    """Switches at RATE, first with PostgreSQL there and then with it killed.

    Returns how many events were stored in the end, and how many there should be.
    """
    made = sessions.make(storage, SESSIONS)
    requests = [sessions.switch_request(each) for each in made]
    with servers.synckairos(storage, 1, limits=False, more=archive.environ(storage, database)) as service:
        for name in ("there", "away"):
            if name == "away":
                database.kill()
            with load.ChildProcess(load.pace, service.port, requests, RATE) as paced:
                paced.receive()
                time.sleep(plan.away_s)
                paced.pipe.send(None)
                outcome = paced.result()
            load.check_http(outcome)
            measured.latencies_ms[name] = [latency * 1e3 for latency in outcome.latencies]
        database.start()
        asyncio.run(archive.wait_until_stored(config.load(archive.environ(storage, database)), jobs))
    versions = [int(storage.client.hget(each.session, "version") or 0) for each in made]
    return asyncio.run(_stored(database.url, made)), sum(versions)


async def _stored(url: str, made: list[SessionKeys]) -> int:
    database = await asyncpg.connect(url)
    try:
        ids = [sessions.id_of(each) for each in made]
        query = "SELECT count(*) FROM sync_events WHERE session_id = ANY($1::uuid[])"
        return int(await database.fetchval(query, ids))
    finally:
        await database.close()


def _figures(measured: _Measured, stored: int, expected: int) -> list[Figure]:
    rates = measured.rates
    p99 = {name: percentile(sorted(values), 0.99) for name, values in measured.latencies_ms.items()}
    return [
        compared(
            "archived, end to end",
            "/s",
            rates["archived"],
            ("COPY of the same rows", rates["copied"]),
            at_least=0.3,
        ),
        compared(
            "archived, end to end",
            "/s",
            rates["archived"],
            ("switches of the service", rates["switched"]),
            at_least=1.2,
        ),
        Figure(
            name=f"{RATE} switches a second with PostgreSQL away, p99",
            value=p99["away"],
            unit="ms",
            yardstick="with PostgreSQL there, p99",
            yardstick_value=p99["there"],
            ratio=p99["away"] / p99["there"],
            at_most=1.5,
        ),
        Figure(
            name="events stored after that",
            value=stored,
            unit="",
            yardstick="versions of these sessions",
            yardstick_value=expected,
            ratio=stored / expected,
            at_least=1,
            at_most=1,
        ),
    ]
