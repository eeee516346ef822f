"""Total loss: how long it takes until all live sessions are back, without a command.

The server loses all keys and the function library at one moment, with all sessions in PostgreSQL. A service
notices and restores them, while another load switches some of them, so that the service has to answer too.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import click

from synckairos import config
from synckairos.audit.jobs import Jobs
from synckairos.bench import archive, load, servers, sessions
from synckairos.bench.report import Figure, Report, percentile
from synckairos.bench.servers import Kind, Storage
from synckairos.core import keys

SESSIONS, QUICK_SESSIONS = 10_000, 200
SWITCHED = 200
"""How many of the sessions are switched meanwhile."""
RATE = 100
"""How many switches a second."""
BACK_S = 30.0
PATIENCE_S = 300.0
_LOOK_S = 0.1


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one service over a server of this kind, with one worker."""
    count = QUICK_SESSIONS if quick else SESSIONS
    report = Report("restore", quick)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        database = stack.enter_context(archive.database())
        report.versions[kind] = storage.version
        environ = archive.environ(storage, database)
        settings = config.load(environ)
        jobs = Jobs.of(settings)
        stack.callback(jobs.close)
        stack.enter_context(archive.worker(storage, database))
        web = stack.enter_context(servers.synckairos(storage, 1, limits=False, more=environ))
        made = sessions.make(storage, count)
        asyncio.run(archive.wait_until_stored(settings, jobs))
        requests = [sessions.switch_request(each) for each in made[:SWITCHED]]
        with load.ChildProcess(load.pace, web.port, requests, RATE) as paced:
            paced.receive()
            storage.client.flushall()
            storage.client.function_flush("SYNC")
            began = time.monotonic()
            _until_back(storage, count)
            took = time.monotonic() - began
            paced.pipe.send(None)
            outcome = paced.result()
        load.check_http(outcome)
    p99_ms = percentile(outcome.latencies, 0.99) * 1e3
    report.details = {"sessions": count, "back_s": took, "switches": len(outcome.latencies), "p99_ms": p99_ms}
    report.figures = [
        Figure(name=f"{count:,} lost sessions are back by themselves", value=took, unit="s", at_most=BACK_S),
        Figure(name="sessions a second", value=count / took, unit="/s"),
        Figure(
            name=f"{RATE} switches a second meanwhile, p99; every answer was 200", value=p99_ms, unit="ms"
        ),
    ]
    return report


def _until_back(storage: Storage, count: int) -> None:
    """Waits until so many sessions have an alarm, as every running one has."""
    end = time.monotonic() + PATIENCE_S
    while True:
        pipeline = storage.client.pipeline(transaction=False)
        for partition in keys.PARTITIONS:
            pipeline.zcard(keys.alarms(partition))
        back = sum(pipeline.execute())
        if back == count:
            return
        if time.monotonic() > end:
            raise click.ClickException(f"{back} of {count} sessions came back")
        time.sleep(_LOOK_S)
