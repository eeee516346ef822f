"""Switches of services that make spans, compared with one that makes none.

All of them answer in turns, round by round. What a request costs is the processor time of its service, which
says more than the rate: load, services and collector share the processors.

On a busy machine even that differs more from round to round than tracing could. So what tracing adds to a
switch is measured alone, too, in this process and without a network.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from time import process_time
from typing import Any, ClassVar, cast

import msgspec

from synckairos import config
from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, percentile
from synckairos.bench.servers import Kind, Web
from synckairos.bench.switches import CONNECTIONS, QUICK, Plan
from synckairos.chain.call import Call
from synckairos.chain.call import Kind as ChainKind
from synckairos.chain.middleware import Step, chain
from synckairos.chain.tracing import Tracing
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.errors import SyncKairosError
from synckairos.run.processes import free_port
from synckairos.tracing import process
from synckairos.tracing.spans import current

SESSIONS = 2000
"""So many that none comes near the limit of ten switches a second."""
FULL = Plan(rounds=31, round_s=0.4, sequential=0)
"""Many short rounds, so that what else the machine does falls on all services alike."""
SESSION = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
LOOKS = 2
"""How often a request for a switch looks for a span where there is none: for its trace and for its call."""
UNTRACED = Path(__file__).parent / "untraced"
NONE, OFF, SOME, ALL = "without tracing", "off", "1 % sampled", "all sampled"
AWAY, HANGING = "collector away", "collector hangs"

_REPLY = msgspec.json.encode(
    {
        "type": "STATE_UPDATE",
        "session_id": SESSION,
        "version": 2,
        "epoch": "1795306409736",
        "server_time_ms": 1_795_306_409_736,
        "payload": {},
    }
)


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one process of each service, over one server of this kind, with rate limits on."""
    plan = QUICK if quick else FULL
    report = Report("tracing", quick)
    costs: defaultdict[str, list[float]] = defaultdict(list)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    p99_ms: defaultdict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        report.versions[kind] = storage.version
        requests = [sessions.switch_request(each) for each in sessions.make(storage, SESSIONS)]
        collector = stack.enter_context(_collector())
        hanging = stack.enter_context(_hanging())
        services: dict[str, Web] = {
            name: stack.enter_context(servers.synckairos(storage, 1, limits=True, more=more))
            for name, more in (
                (NONE, {"PYTHONPATH": str(UNTRACED)}),
                (OFF, {}),
                (SOME, _sampling(collector, "0.01")),
                (HANGING, _sampling(hanging, "0.01")),
                (ALL, _sampling(collector, "1")),
                (AWAY, _sampling(free_port(), "0.01")),
            )
            if not quick or name not in (ALL, AWAY)
        }
        for web in services.values():
            load.http(web.port, CONNECTIONS, requests, plan.round_s)
        turns = deque(services.items())
        for _ in range(plan.rounds):
            turns.rotate()  # so that none always comes after the same one
            for name, web in turns:
                spent = web.cpu_s()
                outcome = load.http(web.port, CONNECTIONS, requests, plan.round_s)
                costs[name].append((web.cpu_s() - spent) / len(outcome.latencies) * 1e6)
                rates[name].append(outcome.rate)
                p99_ms[name].append(percentile(outcome.latencies, 0.99) * 1e3)
                sessions.trim_outboxes(storage)
        alone = asyncio.run(_alone(collector, 2_000 if quick else 50_000))
    report.details = {"alone_us": alone, "cpu_us_per_request": costs, "rates_per_s": rates, "p99_ms": p99_ms}
    switch = min(costs[OFF])
    report.figures = [
        *(
            Figure(
                name=f"{name}, what it adds to the CPU of a switch",
                value=alone[name],
                unit="us",
                yardstick="the switch, off",
                yardstick_value=switch,
                ratio=alone[name] / switch,
                at_most=most,
            )
            for name, most in ((OFF, 0.02), (SOME, 0.05))
        ),
        *_figures(costs, p99_ms),
    ]
    return report


def _figures(costs: Mapping[str, list[float]], p99_ms: Mapping[str, list[float]]) -> list[Figure]:
    off = (OFF, costs[OFF])
    figures = [
        _of_quiet_rounds("off, CPU of a switch", "us", costs[OFF], (NONE, costs[NONE]), at_most=1.02),
        _of_quiet_rounds("1 % sampled, CPU of a switch", "us", costs[SOME], off, at_most=1.05),
    ]
    if ALL in costs:
        figures.append(_of_quiet_rounds("all sampled, CPU of a switch", "us", costs[ALL], off))
    return figures + [
        _of_quiet_rounds(f"{name}, p99", "ms", p99_ms[name], (OFF, p99_ms[OFF]), share=0.25, at_most=most)
        for name, most in ((SOME, None), (AWAY, 1.1), (HANGING, 1.1))
        if name in p99_ms
    ]


def _of_quiet_rounds(
    name: str,
    unit: str,
    values: list[float],
    yardstick: tuple[str, list[float]],
    *,
    share: float = 0,
    at_most: float | None = None,
) -> Figure:
    """The figure of the rounds with the least values, of each service, as all else only adds to them.

    share: which value of the ordered ones it is, from 0 (the least) to 1
    """
    title, others = yardstick
    value, other = (percentile(sorted(each), share) for each in (values, others))
    return Figure(
        name=name,
        value=value,
        unit=unit,
        yardstick=title,
        yardstick_value=other,
        ratio=value / other,
        at_most=at_most,
    )


class _Nowhere:
    """Stands for a connection to Redis, and has the reply at once."""

    async def fcall(self, *_: object, **__: object) -> bytes:
        return _REPLY


class _Switch(Call):
    """A request for a switch, as the chain sees it."""

    __slots__ = ()

    kind: ClassVar = ChainKind.REQUEST

    @property
    def name(self) -> str:
        return "POST /v1/sessions/{session_id}/switch"

    def attributes(self) -> dict[str, str | int]:
        return {"http.request.method": "POST", "http.route": self.name, "synckairos.session.id": SESSION}

    def count(self, result: Any, error: SyncKairosError | None, /) -> None:
        """Nobody asks how many there were."""


async def _alone(collector: int, count: int) -> dict[str, float]:
    """Microseconds of processor time that tracing adds to a switch, with the thread that sends spans."""
    began = process_time()
    for _ in range(count * LOOKS):
        current()
    off = process_time() - began
    nowhere = Sessions(cast(Connection, _Nowhere()), ttl_s=3600)

    async def switch(_: _Switch) -> None:
        await nowhere.switch(SESSION)

    async def spent(step: Step) -> float:
        began = process_time()
        for _ in range(count):
            await step(_Switch())
        return process_time() - began

    await spent(switch)  # so that everything has been called once
    plain = await spent(switch)
    stop = process.start(config.load(_sampling(collector, "0.01")), "bench")
    began = process_time()
    await spent(chain([Tracing()], switch))
    stop()
    some = process_time() - began - plain
    return {OFF: off / count * 1e6, SOME: some / count * 1e6}


def _sampling(collector: int, ratio: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}",
        "OTEL_TRACES_SAMPLER_ARG": ratio,
        "LOG_LEVEL": "critical",
    }


@contextmanager
def _collector() -> Iterator[int]:
    """The port of a process that takes spans and throws them away."""
    with load.ChildProcess(_collect) as child:
        yield int(child.receive())


def _collect(pipe: Pipe) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is worth a line."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        pipe.send(server.server_port)
        server.serve_forever()  # until the process is killed


@contextmanager
def _hanging() -> Iterator[int]:
    """The port of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield int(listener.getsockname()[1])
