"""Switches of services that make spans, compared with one that makes none.

Two services at a time answer in short turns: the first, the second twice, the first. So what the machine does
meanwhile falls on both alike, also where it grows. The figure is the median of the ratios of all such pairs.
What a request costs is the processor time of its service, which says more than the rate: load, services and
collector share the processors.

On a busy machine even that differs more from pair to pair than tracing could. So what tracing adds to a
switch is measured alone, too, in this process and without a network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from time import process_time
from typing import Any, ClassVar, cast

import msgspec

from synckairos import config
from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, median, percentile
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
FULL = Plan(rounds=15, round_s=0.5, sequential=0)
"""A service has two turns in a pair, which is the time between two requests to the collector."""
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


@dataclass(frozen=True, slots=True)
class _Pair:
    """A service and the one that it is compared with.

    cpu_at_most: bound of the ratio of their processor times
    p99_at_most: bound of the ratio of the p99 of their switches
    """

    name: str
    yardstick: str
    cpu_at_most: float | None = None
    p99_at_most: float | None = None


PAIRS = (
    _Pair(OFF, NONE, cpu_at_most=1.02),
    _Pair(SOME, OFF, cpu_at_most=1.05),
    _Pair(AWAY, OFF, p99_at_most=1.1),
    _Pair(HANGING, OFF, p99_at_most=1.1),
    _Pair(ALL, OFF),
)
QUICK_PAIRS = (PAIRS[0], PAIRS[1], PAIRS[3])


@dataclass(slots=True)
class _Side:
    """What one service did in a pair, in all its turns; and over all pairs, a value for each of them.

    cpu_us: processor time for a switch, with what the service did in the turns of the other one
    p99_ms: of the latencies of its switches
    """

    cpu_us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one process of each service, over one server of this kind, with rate limits on."""
    plan = QUICK if quick else FULL
    pairs = QUICK_PAIRS if quick else PAIRS
    report = Report("tracing", quick)
    measured = {pair: (_Side(), _Side()) for pair in pairs}
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        report.versions[kind] = storage.version
        requests = [sessions.switch_request(each) for each in sessions.make(storage, SESSIONS)]
        collector = stack.enter_context(_collector())
        hanging = stack.enter_context(_hanging())
        wanted = {name for pair in pairs for name in (pair.name, pair.yardstick)}
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
            if name in wanted
        }
        for web in services.values():
            load.http(web.port, CONNECTIONS, requests, plan.round_s)
        for number in range(plan.rounds):
            for pair, sides in measured.items():
                both = list(zip((services[pair.name], services[pair.yardstick]), sides, strict=True))
                if number % 2:
                    both.reverse()
                _take_turns(both, requests, plan.round_s)
                sessions.trim_outboxes(storage)
        alone = asyncio.run(_alone(collector, 2_000 if quick else 50_000))
    report.details = {
        "alone_us": alone,
        "pairs": [
            {"of": pair.name, "to": pair.yardstick, "of_each": own, "to_each": other}
            for pair, (own, other) in measured.items()
        ],
    }
    switch = median(measured[PAIRS[1]][1].cpu_us)
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
        *(figure for pair, sides in measured.items() for figure in _figures(pair, *sides)),
    ]
    return report


def _take_turns(both: Sequence[tuple[Web, _Side]], requests: Sequence[bytes], turn_s: float) -> None:
    """One pair: the first, the second twice, the first."""
    latencies: tuple[list[float], ...] = ([], [])
    spent = [web.cpu_s() for web, _ in both]
    for turn in (0, 1, 1, 0):
        latencies[turn].extend(load.http(both[turn][0].port, CONNECTIONS, requests, turn_s).latencies)
    for (web, side), before, took in zip(both, spent, latencies, strict=True):
        side.cpu_us.append((web.cpu_s() - before) / len(took) * 1e6)
        side.p99_ms.append(percentile(sorted(took), 0.99) * 1e3)


def _figures(pair: _Pair, own: _Side, other: _Side) -> Iterator[Figure]:
    yield compared(
        f"{pair.name}, CPU of a switch",
        "us",
        own.cpu_us,
        (pair.yardstick, other.cpu_us),
        at_most=pair.cpu_at_most,
    )
    yield compared(
        f"{pair.name}, p99", "ms", own.p99_ms, (pair.yardstick, other.p99_ms), at_most=pair.p99_at_most
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
    before = await spent(switch)
    stop = process.start(config.load(_sampling(collector, "0.01")), "bench")
    began = process_time()
    await spent(chain([Tracing()], switch))
    stop()
    some = process_time() - began
    some -= (before + await spent(switch)) / 2
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
