"""Webhooks: from a commit in Redis to the request at a receiver, in quiet and beside dead receivers.

The yardstick is the way of the same event into PostgreSQL, where deliveries are made of it. Beside dead
receivers it is the same way without them.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import asyncpg
import click

from synckairos.audit.store import Store
from synckairos.bench import archive, servers, sessions
from synckairos.bench.report import Figure, Report, percentile
from synckairos.bench.servers import Kind
from synckairos.run import postgresql
from synckairos.webhooks import model
from synckairos.webhooks.tables import Webhooks

SESSIONS = 20
DEAD = 19
"""How many receivers that take a connection and say nothing are sent the same events. A tenant has at most
twenty webhooks.
"""
EVERY_S = (0.2, 0.4)
"""How long it is quiet between two events."""
ARRIVES_S = 30.0


@dataclass(slots=True)
class _Measured:
    """Milliseconds from the commit of each event: until it is asked for, and until it is stored."""

    requests: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one service and one worker, with a server of this kind."""
    events = 8 if quick else 200
    report = Report("webhooks", quick)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        database = stack.enter_context(archive.database())
        report.versions = {
            kind: storage.version,
            "postgresql": postgresql.version(database.postgres.programs),
        }
        stack.enter_context(archive.worker(storage, database))
        more = archive.environ(storage, database)
        stack.enter_context(servers.synckairos(storage, 1, limits=False, more=more))
        made = sessions.make(storage, SESSIONS)
        got: dict[tuple[str, int], float] = {}
        asyncio.run(_add(database.url, stack.enter_context(_receiver(got))))
        measured: dict[str, _Measured] = {}
        for name in ("quiet", "beside"):
            if name == "beside":
                for _ in range(DEAD):
                    asyncio.run(_add(database.url, stack.enter_context(_dead())))
            ids: list[tuple[str, int]] = []
            for number in range(events + 2):
                each = made[number % SESSIONS]
                (reply,) = sessions.calls(storage, [("sk_switch", each.all, ())])
                change = json.loads(reply)
                if number > 1:  # the first ones only warm everything up
                    ids.append((change["session_id"], change["version"]))
                time.sleep(random.uniform(*EVERY_S))
            measured[name] = asyncio.run(_latencies(database.url, got, ids))
    report.details = {
        name: {"request_ms": found.requests, "stored_ms": found.stored} for name, found in measured.items()
    }
    report.figures = _figures(measured["quiet"], measured["beside"])
    return report


async def _add(url: str, receiver: str) -> None:
    async with Store(url, max_size=1) as store:
        webhooks = Webhooks(store)
        await webhooks.add(
            None,
            receiver,
            events=["cycle.switched"],
            sessions=None,
            secret=model.new_secret(),
            made_by=None,
            since_ms=int(time.time() * 1000),
        )
        webhooks.close()


async def _latencies(url: str, got: dict[tuple[str, int], float], ids: list[tuple[str, int]]) -> _Measured:
    end = time.monotonic() + ARRIVES_S
    while any(each not in got for each in ids):
        if time.monotonic() > end:
            raise click.ClickException("not all events arrived at the receiver")
        await asyncio.sleep(0.05)
    database = await asyncpg.connect(url)
    try:
        rows = await database.fetch(
            "SELECT session_id::text, version, server_time_ms,"
            " (extract(epoch FROM archived_at) * 1000)::float8 AS stored_ms FROM sync_events"
        )
    finally:
        await database.close()
    stored = {(row[0], row[1]): row for row in rows}
    return _Measured(
        [got[each] * 1000 - stored[each]["server_time_ms"] for each in ids],
        [stored[each]["stored_ms"] - stored[each]["server_time_ms"] for each in ids],
    )


@contextmanager
def _receiver(got: dict[tuple[str, int], float]) -> Iterator[str]:
    """The URL of a receiver that notes when each event came (seconds since 1970), by session and version."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at = time.time()
            for event in json.loads(self.rfile.read(int(self.headers["content-length"]))):
                got.setdefault((event["session_id"], event["version"]), at)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _dead() -> Iterator[str]:
    """The URL of a receiver that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            for each in taken:
                each.close()


def _figures(quiet: _Measured, beside: _Measured) -> list[Figure]:
    def p(values: list[float], share: float) -> float:
        return percentile(sorted(values), share)

    p50, stored, others = p(quiet.requests, 0.5), p(quiet.stored, 0.5), p(beside.requests, 0.5)
    return [
        Figure(
            name="from commit to request in quiet, p50",
            value=p50,
            unit="ms",
            at_most=500,
            note="half of it is the archiver's wait for others to share a batch",
        ),
        Figure(
            name="the same, against the way to PostgreSQL",
            value=p50,
            unit="ms",
            yardstick="from commit to PostgreSQL, p50",
            yardstick_value=stored,
            ratio=p50 / stored,
            at_most=2,
        ),
        Figure(name="from commit to request in quiet, p95", value=p(quiet.requests, 0.95), unit="ms"),
        Figure(
            name=f"beside {DEAD} dead receivers, p50",
            value=others,
            unit="ms",
            yardstick="without them, p50",
            yardstick_value=p50,
            ratio=others / p50,
            at_most=1.5,
        ),
    ]
