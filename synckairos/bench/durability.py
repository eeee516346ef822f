"""What it costs that a change is confirmed by replicas, or is on disk, before it is acknowledged.

Each setting of DURABILITY has a service of its own in front of the same primary and replicas. All are
measured in turns, with one caller and with sixteen.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, suppress

from redis.exceptions import ResponseError

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, percentile
from synckairos.bench.servers import Kind

REPLICAS = 2
CALLERS = (1, 16)
SESSIONS = 200
ROUNDS, ROUND_S = 9, 1.5
QUICK_ROUNDS, QUICK_ROUND_S = 1, 0.2


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures services with DURABILITY async, replicated and durable over servers of this kind."""
    rounds, round_s = (QUICK_ROUNDS, QUICK_ROUND_S) if quick else (ROUNDS, ROUND_S)
    report = Report("durability", quick)
    p50_ms: defaultdict[str, list[float]] = defaultdict(list)
    cpu_us: defaultdict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        primary = stack.enter_context(servers.storage(kind, appendonly="yes"))
        for _ in range(REPLICAS):
            stack.enter_context(servers.storage(kind, primary, appendonly="yes"))
        report.versions[kind] = primary.version
        names = ["async", "replicated"]
        with suppress(ResponseError):  # Redis 7.0 does not have it
            primary.client.execute_command("WAITAOF", 0, 0, 1)
            names.append("durable")
        services = {
            name: stack.enter_context(
                servers.synckairos(
                    primary, 1, limits=False, more={"DURABILITY": name, "REPLICAS": str(REPLICAS)}
                )
            )
            for name in names
        }
        ids = sessions.make(primary, SESSIONS)
        requests = [sessions.switch_request(each) for each in ids]
        for _ in range(rounds):
            for callers in CALLERS:
                for name, web in services.items():
                    spent = web.cpu_s()
                    outcome = load.http(web.port, callers, requests, round_s)
                    p50_ms[f"{name} {callers}"].append(percentile(outcome.latencies, 0.5) * 1e3)
                    cpu_us[f"{name} {callers}"].append((web.cpu_s() - spent) / len(outcome.latencies) * 1e6)
            sessions.trim_outboxes(primary)
    report.details = {"replicas": REPLICAS, "p50_ms": p50_ms, "cpu_us_per_request": cpu_us}
    report.figures = [
        figure
        for name in names[1:]
        for callers in CALLERS
        for figure in _figures(name, callers, p50_ms, cpu_us)
    ]
    return report


def _figures(
    name: str, callers: int, p50_ms: dict[str, list[float]], cpu_us: dict[str, list[float]]
) -> list[Figure]:
    of = f"switch, {name}, {callers} caller{'s' if callers > 1 else ''}"
    measured, plain = f"{name} {callers}", f"async {callers}"
    goals = (1.3, 1.25) if name == "replicated" else (None, None)
    return [
        compared(
            f"{of}, p50",
            "ms",
            p50_ms[measured],
            ("async", p50_ms[plain]),
            at_most=goals[0],
        ),
        compared(
            f"{of}, CPU of the service",
            "us",
            cpu_us[measured],
            ("async", cpu_us[plain]),
            at_most=goals[1],
        ),
    ]
