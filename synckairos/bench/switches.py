"""`POST …/switch` with rate limits on, compared with an HTTP server that does nothing.

A session may be switched ten times a second. There are so many sessions, taken in turns, that none comes near
this limit. An answer other than 200 ends the bench.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter

import click

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, percentile
from synckairos.bench.servers import Kind, Web

CONNECTIONS = 64
PARTICIPANTS = 1000
SWITCHES_A_SECOND = 6
"""How often a second a session is switched at most. The limit is 10."""
LEAST_SESSIONS = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    rounds: how many rounds
    round_s: seconds of each load in a round
    sequential: how many requests of each kind are sent one by one
    """

    rounds: int
    round_s: float
    sequential: int


FULL = Plan(rounds=7, round_s=2.0, sequential=2_000)
QUICK = Plan(rounds=2, round_s=0.3, sequential=50)
_SEQUENCE = 50
"""How many sequential requests of one kind are sent before the next kind's turn."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A target of sequential requests.

    requests: sent in turns
    answer: gives the size of a complete answer
    good: how a good answer begins
    """

    name: str
    port: int
    requests: list[bytes]
    answer: Callable[[bytes], int]
    good: bytes


def _lists() -> defaultdict[str, list[float]]:
    return defaultdict(list)


@dataclass(slots=True)
class _Measured:
    """The measured values by load, one for each round.

    rates: requests a second
    costs: processor time of the HTTP server for a request (microseconds)
    storage_costs: processor time of the storage for a request (microseconds)
    p99_ms: the 99th percentile of the latencies
    """

    rates: defaultdict[str, list[float]] = field(default_factory=_lists)
    costs: defaultdict[str, list[float]] = field(default_factory=_lists)
    storage_costs: defaultdict[str, list[float]] = field(default_factory=_lists)
    p99_ms: defaultdict[str, list[float]] = field(default_factory=_lists)


def run(kind: Kind, workers: int, *, quick: bool) -> Report:
    """Measures a service of `workers` processes in front of a server of this kind."""
    plan = QUICK if quick else FULL
    report = Report("http", quick)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        noop = stack.enter_context(servers.noop(workers))
        report.versions[kind] = storage.version
        nothing = [sessions.post("/")]
        rate = load.http(noop.port, CONNECTIONS, nothing, plan.round_s).rate
        count = max(LEAST_SESSIONS, int(rate / SWITCHES_A_SECOND))
        two, thousand = sessions.make(storage, count), sessions.make(storage, count, PARTICIPANTS)
        service = stack.enter_context(servers.synckairos(storage, workers, limits=True))
        loads: dict[str, tuple[Web, list[bytes]]] = {
            "no-op": (noop, nothing),
            "switch": (service, [sessions.switch_request(each) for each in two]),
            "switch 1000": (service, [sessions.switch_request(each) for each in thousand]),
        }
        measured = _Measured()
        load.http(service.port, CONNECTIONS, loads["switch"][1], plan.round_s)
        for _ in range(plan.rounds):
            for name, (web, requests) in loads.items():
                spent, spent_behind = web.cpu_s(), storage.cpu_s()
                outcome = load.http(web.port, CONNECTIONS, requests, plan.round_s)
                done = len(outcome.latencies)
                measured.rates[name].append(outcome.rate)
                measured.costs[name].append((web.cpu_s() - spent) / done * 1e6)
                measured.storage_costs[name].append((storage.cpu_s() - spent_behind) / done * 1e6)
                measured.p99_ms[name].append(percentile(outcome.latencies, 0.99) * 1e3)
                sessions.trim_outboxes(storage)
        alone = _sequential(
            plan.sequential,
            [
                _Target(
                    "FCALL",
                    storage.port,
                    [sessions.switch_command(each) for each in two],
                    load.redis_answer,
                    b"$",
                ),
                _Target("no-op", noop.port, nothing, load.http_answer, b"HTTP/1.1 200"),
                _Target("switch", service.port, loads["switch"][1], load.http_answer, b"HTTP/1.1 200"),
            ],
        )
    report.details = {
        "workers": workers,
        "sessions": count,
        "rates_per_s": measured.rates,
        "cpu_us_per_request": measured.costs,
        "storage_cpu_us_per_request": measured.storage_costs,
        "p99_ms": measured.p99_ms,
        "sequential_ms": alone,
    }
    report.figures = _figures(workers, measured, alone)
    return report


def _sequential(count: int, targets: Sequence[_Target]) -> dict[str, list[float]]:
    """By target, milliseconds of requests that are sent one by one on one connection, in ascending order."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    connections = {target.name: load.connect(target.port) for target in targets}
    try:
        for start in range(0, count, _SEQUENCE):
            for target in targets:
                connection = connections[target.name]
                for number in range(start, min(count, start + _SEQUENCE)):
                    request = target.requests[number % len(target.requests)]
                    began = perf_counter()
                    connection.sendall(request)
                    data = connection.recv(load.RECEIVE)
                    while not target.answer(data):
                        data += connection.recv(load.RECEIVE)
                    took[target.name].append((perf_counter() - began) * 1e3)
                    if not data.startswith(target.good):
                        raise click.ClickException(f"{target.name} was answered by {data[:200]!r}")
    finally:
        for connection in connections.values():
            connection.close()
    return {name: sorted(values) for name, values in took.items()}


def _figures(workers: int, measured: _Measured, alone: dict[str, list[float]]) -> list[Figure]:
    processes = f"{workers} process{'es' if workers > 1 else ''}"
    thousand = f"switch, {PARTICIPANTS:,} participants"
    rates, costs, storage_costs, p99_ms = (
        measured.rates,
        measured.costs,
        measured.storage_costs,
        measured.p99_ms,
    )

    def than_noop(values: dict[str, list[float]]) -> tuple[str, list[float]]:
        return f"Sanic no-op, {processes}", values["no-op"]

    def than_two(values: dict[str, list[float]]) -> tuple[str, list[float]]:
        return "2 participants", values["switch"]

    middle = {name: percentile(values, 0.5) for name, values in alone.items()}
    last = {name: percentile(values, 0.99) for name, values in alone.items()}
    bound = 2.5 * middle["FCALL"] + middle["no-op"]
    return [
        compared(f"switch, {CONNECTIONS} connections", "/s", rates["switch"], than_noop(rates), at_least=0.6),
        compared("switch, CPU of the service", "us", costs["switch"], than_noop(costs)),
        compared("switch, p99", "ms", p99_ms["switch"], than_noop(p99_ms)),
        compared(thousand, "/s", rates["switch 1000"], than_two(rates), at_least=0.9),
        compared(f"{thousand}, CPU of the service", "us", costs["switch 1000"], than_two(costs)),
        compared(
            f"{thousand}, CPU of the storage", "us", storage_costs["switch 1000"], than_two(storage_costs)
        ),
        Figure(
            name="switch, one connection, p50",
            value=middle["switch"],
            unit="ms",
            yardstick="2.5 FCALL + no-op, p50",
            yardstick_value=bound,
            ratio=middle["switch"] / bound,
            at_most=1.0,
            note=f"bare FCALL round trip {middle['FCALL']:.3f} ms, no-op {middle['no-op']:.3f} ms",
        ),
        Figure(
            name="switch, one connection, p99",
            value=last["switch"],
            unit="ms",
            yardstick="2.5 FCALL + no-op, p99",
            yardstick_value=2.5 * last["FCALL"] + last["no-op"],
        ),
    ]
