"""`POST …/switch` with rate limits on: what the service adds to an HTTP server that does nothing.

The limit of ten switches a second and session is not what is measured: there are so many sessions, taken in
turns, that none comes near it. Any answer but a 200 ends the bench.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import click

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, median, percentile
from synckairos.bench.servers import Kind, Web

CONNECTIONS = 64
PARTICIPANTS = 1000
SWITCHES_A_SECOND = 6
"""How often a session is switched at most: the limit is 10 a second."""
LEAST_SESSIONS = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: rounds, seconds of each load in a round, and sequential requests of each kind."""

    rounds: int
    round_s: float
    sequential: int


FULL = Plan(rounds=7, round_s=2.0, sequential=2_000)
QUICK = Plan(rounds=2, round_s=0.3, sequential=50)
_SEQUENCE = 50
"""Sequential requests of one kind before the next kind's turn."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What is asked sequentially: requests in turns, the size of an answer, and how a good one begins."""

    name: str
    port: int
    requests: list[bytes]
    answer: Callable[[bytes], int]
    good: bytes


def run(kind: Kind, workers: int, *, quick: bool) -> Report:
    """Measures a service of so many processes in front of a server of this kind."""
    plan = QUICK if quick else FULL
    report = Report("http", quick)
    with (
        servers.storage(kind) as storage,
        servers.synckairos(storage, workers, limits=True) as service,
        servers.noop(workers) as noop,
    ):
        report.versions[kind] = storage.version
        nothing = [sessions.post("/")]
        rate = load.http(noop.port, CONNECTIONS, nothing, plan.round_s).rate
        count = max(LEAST_SESSIONS, int(rate / SWITCHES_A_SECOND))
        two, thousand = sessions.make(storage, count), sessions.make(storage, count, PARTICIPANTS)
        loads: dict[str, tuple[Web, list[bytes]]] = {
            "no-op": (noop, nothing),
            "switch": (service, [sessions.switch_request(each) for each in two]),
            "switch 1000": (service, [sessions.switch_request(each) for each in thousand]),
        }
        rates: defaultdict[str, list[float]] = defaultdict(list)
        costs: defaultdict[str, list[float]] = defaultdict(list)
        late: defaultdict[str, list[float]] = defaultdict(list)
        behind: defaultdict[str, list[float]] = defaultdict(list)
        load.http(service.port, CONNECTIONS, loads["switch"][1], plan.round_s)
        for _ in range(plan.rounds):
            for name, (web, requests) in loads.items():
                spent, spent_behind = web.cpu_s(), storage.cpu_s()
                outcome = load.http(web.port, CONNECTIONS, requests, plan.round_s)
                done = len(outcome.latencies)
                rates[name].append(outcome.rate)
                costs[name].append((web.cpu_s() - spent) / done * 1e6)
                behind[name].append((storage.cpu_s() - spent_behind) / done * 1e6)
                late[name].append(percentile(outcome.latencies, 0.99) * 1e3)
                sessions.trim_outboxes(storage)
        alone = _sequential(
            plan.sequential,
            [
                _Target("FCALL", storage.port, [sessions.switch_command(each) for each in two], load.redis_answer, b"$"),
                _Target("no-op", noop.port, nothing, load.http_answer, b"HTTP/1.1 200"),
                _Target("switch", service.port, loads["switch"][1], load.http_answer, b"HTTP/1.1 200"),
            ],
        )
    report.details = {
        "workers": workers,
        "sessions": count,
        "rates_per_s": rates,
        "cpu_us_per_request": costs,
        "storage_cpu_us_per_request": behind,
        "p99_ms": late,
        "sequential_ms": alone,
    }
    report.figures = _figures(workers, rates, costs, behind, late, alone)
    return report


def _sequential(count: int, targets: Sequence[_Target]) -> dict[str, list[float]]:
    """Milliseconds that requests take one after the other on one connection, by target, in ascending order."""
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


def _figures(
    workers: int,
    rates: dict[str, list[float]],
    costs: dict[str, list[float]],
    behind: dict[str, list[float]],
    late: dict[str, list[float]],
    alone: dict[str, list[float]],
) -> list[Figure]:
    def against(
        title: str,
        unit: str,
        values: dict[str, list[float]],
        name: str,
        yardstick: tuple[str, str],
        at_least: float | None = None,
    ) -> Figure:
        by, label = yardstick
        return Figure(
            name=title,
            value=median(values[name]),
            unit=unit,
            yardstick=label,
            yardstick_value=median(values[by]),
            ratio=median(value / other for value, other in zip(values[name], values[by], strict=True)),
            at_least=at_least,
        )

    noop, two = ("no-op", f"Sanic no-op, {workers} process{'es' if workers > 1 else ''}"), ("switch", "2 participants")
    middle = {name: percentile(values, 0.5) for name, values in alone.items()}
    bound = 2.5 * middle["FCALL"] + middle["no-op"]
    return [
        against(f"switch, {CONNECTIONS} connections", "/s", rates, "switch", noop, 0.6),
        against("switch, CPU of the service", "us", costs, "switch", noop),
        against("switch, p99", "ms", late, "switch", noop),
        against(f"switch, {PARTICIPANTS:,} participants", "/s", rates, "switch 1000", two, 0.9),
        against(f"switch, {PARTICIPANTS:,} participants, CPU of the service", "us", costs, "switch 1000", two),
        against(f"switch, {PARTICIPANTS:,} participants, CPU of the storage", "us", behind, "switch 1000", two),
        Figure(
            name="switch, one connection, p50",
            value=middle["switch"],
            unit="ms",
            yardstick="2.5 FCALL + no-op",
            yardstick_value=bound,
            ratio=middle["switch"] / bound,
            at_most=1.0,
            note=f"bare FCALL round trip {middle['FCALL']:.3f} ms, no-op {middle['no-op']:.3f} ms",
        ),
        Figure(
            name="switch, one connection, p99",
            value=percentile(alone["switch"], 0.99),
            unit="ms",
            yardstick="2.5 FCALL + no-op, p99",
            yardstick_value=2.5 * percentile(alone["FCALL"], 0.99) + percentile(alone["no-op"], 0.99),
        ),
    ]
