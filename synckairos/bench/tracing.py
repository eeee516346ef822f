"""Switches of services that make spans, compared with one that makes none.

All of them answer in turns, round by round. What a request costs is the processor time of its service, which
says more than the rate: load, services and collector share the processors.
"""

from __future__ import annotations

import socket
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, percentile
from synckairos.bench.servers import Kind, Web
from synckairos.bench.switches import CONNECTIONS, QUICK, Plan
from synckairos.run.processes import free_port

SESSIONS = 2000
"""So many that none comes near the limit of ten switches a second."""
FULL = Plan(rounds=21, round_s=1.0, sequential=0)
"""Many short rounds, so that what else the machine does falls on all services alike."""
UNTRACED = Path(__file__).parent / "untraced"
NONE, OFF, SOME, ALL = "without tracing", "off", "1 % sampled", "all sampled"
AWAY, HANGING = "collector away", "collector hangs"


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
    report.details = {"cpu_us_per_request": costs, "rates_per_s": rates, "p99_ms": p99_ms}
    report.figures = _figures(costs, rates, p99_ms)
    return report


def _figures(
    costs: Mapping[str, list[float]], rates: Mapping[str, list[float]], p99_ms: Mapping[str, list[float]]
) -> list[Figure]:
    def than(other: str, values: Mapping[str, list[float]]) -> tuple[str, list[float]]:
        return other, values[other]

    figures = [
        _least("off, CPU of a switch", costs[OFF], than(NONE, costs), at_most=1.02),
        _least("1 % sampled, CPU of a switch", costs[SOME], than(OFF, costs), at_most=1.05),
        compared(f"off, {CONNECTIONS} connections", "/s", rates[OFF], than(NONE, rates), at_least=0.98),
        compared(
            f"1 % sampled, {CONNECTIONS} connections", "/s", rates[SOME], than(OFF, rates), at_least=0.95
        ),
    ]
    if ALL in costs:
        figures.append(_least("all sampled, CPU of a switch", costs[ALL], than(OFF, costs)))
    figures += [
        compared(f"{name}, p99", "ms", p99_ms[name], than(OFF, p99_ms), at_most=1.1)
        for name in (SOME, AWAY, HANGING)
        if name in p99_ms
    ]
    return figures


def _least(
    name: str, values: list[float], yardstick: tuple[str, list[float]], at_most: float | None = None
) -> Figure:
    """The figure of the cheapest round of each. What else the machine does only adds to a round."""
    title, others = yardstick
    value, other = min(values), min(others)
    return Figure(
        name=name,
        value=value,
        unit="us",
        yardstick=title,
        yardstick_value=other,
        ratio=value / other,
        at_most=at_most,
    )


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


def _collect(pipe: Connection) -> None:
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
