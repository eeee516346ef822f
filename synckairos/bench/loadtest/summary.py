"""The result as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from synckairos.bench.loadtest.charts import milliseconds
from synckairos.bench.loadtest.result import Judged, Result
from synckairos.bench.loadtest.samples import SHARES, Samples
from synckairos.bench.report import number

_BUSY = 0.5
"""A process that is busy for more than this share of the time sends late."""
HEAD = ("", "of", *(f"p{share * 100:g}" for share in SHARES), "largest", "good", "objective", "")


def row(judged: Judged) -> tuple[str, ...]:
    """An objective as cells under HEAD."""
    objective, samples = judged.objective, judged.samples
    values = [""] * (len(SHARES) + 1)
    if samples is not None and len(samples):
        values = [milliseconds(value) for value in (*samples.percentiles(SHARES), samples.largest)]
    bound = "" if objective.bound_s is None else f" within {milliseconds(objective.bound_s)}"
    return (
        objective.name,
        number(judged.count),
        *values,
        percent(judged.share) if judged.count else "",
        f"{objective.share * 100:g} %{bound}",
        {None: "nothing to judge", True: "met", False: "MISSED"}[judged.met],
    )


def percent(share: float) -> str:
    """A share with three decimals, rounded down: 99.9996 % is no 100 %."""
    return f"{math.floor(round(share * 1e5, 6)) / 1e3:g} %"


def table(result: Result) -> str:
    """The objectives as a table, and below it what failed and what else is to be known."""
    rows = [HEAD, *map(row, result.judged)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 7, 8) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *remarks(result)])


def remarks(result: Result) -> Iterator[str]:
    """Sentences about what the table does not say."""
    load, seen = result.load, result.seen
    yield (
        f"{load.sessions:,} sessions and {load.sockets:,} sockets for {load.seconds:g} s, after "
        f"{load.warm_up_s:g} s that are not counted: {load.switches:g} switches, {load.reads:g} reads and "
        f"{load.expiries:g} expiries a second"
    )
    failures = ", ".join(f"{count:,} {what}" for what, count in result.failures.items())
    yield f"requests that failed: {failures or 'none'}"
    lost = ", ".join(f"{count:,} ({why})" for why, count in seen.lost.items())
    yield (
        f"events that did not reach their socket: {result.missing:,}; that came twice: {seen.repeated:,}; "
        f"sockets that were closed: {lost or 'none'}; clocks nobody noticed: {result.overdue:,}"
    )
    if result.happened is not None:
        yield f"events in PostgreSQL: {result.stored:,} of {result.happened:,}"
    for name, line in result.gauges.memory.items():
        yield f"memory of {name}: {mebibytes(line[0][1])} at first, {mebibytes(line[-1][1])} at the end"
    if late := _is_late(result):
        yield late
    yield (
        f"the load's own delays: requests {_delays(result.sent.own_delays)}, {own_cpu(result)}; "
        f"sockets {_delays(seen.own_delays)}"
    )


def _is_late(result: Result) -> str | None:
    """A warning, when the load itself was so late or so busy that the figures are about it."""
    bounds = [each.objective.bound_s for each in result.judged if each.objective.bound_s is not None]
    delays = [*result.sent.own_delays.percentiles((0.99,)), *result.seen.own_delays.percentiles((0.99,))]
    if own_share(result) <= _BUSY and not any(delay > min(bounds, default=math.inf) / 2 for delay in delays):
        return None
    return (
        "take care: the load itself was late or busy, so these figures are about this machine more than "
        "about the service (--clients, more cores, or nothing else beside it)"
    )


def _delays(samples: Samples) -> str:
    p50, p99 = samples.percentiles((0.5, 0.99))
    return f"p50 {milliseconds(p50)}, p99 {milliseconds(p99)}, at most {milliseconds(samples.largest)}"


def own_share(result: Result) -> float:
    """Of the time, how much a process that sent requests was busy."""
    return result.sent.cpu_s / (result.load.seconds + result.load.warm_up_s) / result.load.clients


def own_cpu(result: Result) -> str:
    """The same as words."""
    share = own_share(result)
    processes = "process" if result.load.clients == 1 else "processes"
    return f"{result.load.clients} {processes} busy for {share * 100:.0f} % of the time"


def mebibytes(size: float) -> str:
    """A size in memory."""
    return f"{number(round(size / (1 << 20), 1))} MiB"
