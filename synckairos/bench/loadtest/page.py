"""The HTML report: one file that needs nothing else, in light and dark, for a desk and for a phone."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from synckairos import __version__
from synckairos.bench.loadtest import charts, summary
from synckairos.bench.loadtest.charts import Axis, Label, milliseconds
from synckairos.bench.loadtest.result import Judged, Result
from synckairos.bench.loadtest.samples import SHARES, Line, Samples, over_time, per_second
from synckairos.bench.report import number, percentile

_STEPS = 120
"""Of a line over time: so many points at most, one a second at the finest."""
_MOST_NINES = 4
_FLOOR_S = 1e-4
"""Latencies below are drawn there: a logarithmic axis has no zero."""

_CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def page(result: Result) -> str:
    """The whole report."""
    load = result.load
    verdict = "every objective was met" if result.met else "an objective was missed"
    made = datetime.now(UTC)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SyncKairos load test: {verdict}</title>
<style>{_CSS}</style>
</head>
<body>
<h1>SyncKairos load test: <span class="verdict {"met" if result.met else "missed"}">{verdict}</span></h1>
<p class="lead">{load.sessions:,} live sessions, {load.sockets:,} sockets, {load.switches:g} switches,
{load.reads:g} reads and {load.expiries:g} expiries a second, for {load.seconds:g} seconds.
{made:%Y-%m-%d %H:%M} UTC.</p>
{_table(result)}
<h2>Over time</h2>
<div class="charts">
{"".join(_latencies(result))}
</div>
<h2>What it took</h2>
<div class="charts">
{"".join(_levels(result))}
</div>
<h2>What else happened</h2>
<ul>
{"".join(f"<li>{escape(each)}</li>" for each in summary.remarks(result))}
</ul>
<h2>How it was measured</h2>
<ul>
{"".join(f"<li>{escape(each)}</li>" for each in _method(result))}
</ul>
</body>
</html>
"""


def _table(result: Result) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in summary.HEAD)
    rows = "".join(f"<tr>{_cells(each)}</tr>" for each in result.judged)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(judged: Judged) -> str:
    *cells, verdict = summary.row(judged)
    labelled = "".join(
        f'<td data-label="{escape(head)}">{escape(cell)}</td>' if head else f"<td>{escape(cell)}</td>"
        for head, cell in zip(summary.HEAD, cells, strict=False)
    )
    colour = {None: "", True: "met", False: "missed"}[judged.met]
    return f'{labelled}<td data-label="verdict" class="verdict {colour}">{escape(verdict)}</td>'


def _step_s(result: Result) -> float:
    return max(1.0, result.load.seconds / _STEPS)


_ABOUT = {
    "switch": "from the moment for which the request was planned to its answer",
    "read": "from the moment for which the request was planned to its answer",
    "delivery": "from the time of the event in Redis until a socket has read it",
    "expiry": "from the deadline of a clock until its expiry was carried out, in whole milliseconds",
}


def _latencies(result: Result) -> Iterator[str]:
    step_s, seconds = _step_s(result), result.load.seconds
    across = charts.seconds_axis(seconds)
    measured = {each.objective.name: each for each in result.judged if each.samples is not None}
    for name, judged in measured.items():
        assert judged.samples is not None
        lines = {
            f"p{share * 100:g}": line for share, line in over_time(judged.samples, step_s, seconds).items()
        }
        yield _figure(
            name.capitalize(),
            _ABOUT[name],
            across,
            _latency_axis(lines, judged.objective.bound_s),
            lines,
            classes={each: each for each in lines},
            bound=judged.objective.bound_s,
        )
    lines = {name: _distribution(each.samples) for name, each in measured.items() if each.samples is not None}
    yield _figure(
        "All values",
        "how slow the slowest were: 99 % stands above what 99 of 100 values do not exceed",
        Axis(0, _MOST_NINES, tuple(range(_MOST_NINES + 1)), charts.nines), _latency_axis(lines, None), lines,
    )  # fmt: skip
    delays = {"requests": result.sent.own_delays, "sockets": result.seen.own_delays}
    lines = {name: over_time(each, step_s, seconds)[SHARES[-1]] for name, each in delays.items()}
    yield _figure(
        "The load's own delays",
        "how late the processes of the load themselves were (p99); this is part of the latencies",
        across, _latency_axis(lines, None), lines,
    )  # fmt: skip


def _distribution(samples: Samples) -> Line:
    """The value at each share, as far as there are values enough to tell; shares by their nines."""
    ordered = sorted(samples.values)
    steps = 20
    return [
        (nines, percentile(ordered, 1 - 10**-nines))
        for nines in (each / steps for each in range(_MOST_NINES * steps + 1))
        if len(ordered) >= 10**nines
    ]


def _latency_axis(lines: Mapping[str, Line], bound_s: float | None) -> Axis:
    values = [max(value, _FLOOR_S) for line in lines.values() for _, value in line]
    values += [] if bound_s is None else [bound_s, bound_s * 1.5]
    return charts.decades(min(values, default=_FLOOR_S), max(values, default=1.0), milliseconds)


def _levels(result: Result) -> Iterator[str]:
    step_s, seconds = _step_s(result), result.load.seconds
    across = charts.seconds_axis(seconds)
    rates = {
        name: per_second(samples.at, step_s, seconds) for name, samples in result.sent.latencies.items()
    } | {
        "expiries": per_second(result.seen.lateness.at, step_s, seconds),
        "failures": per_second([each.at for each in result.sent.failures], step_s, seconds),
    }
    for title, about, lines, label in (
        ("Requests and expiries", "a second", rates, number),
        ("Memory", "MiB that Redis holds, and that the processes of the service have for themselves",
         result.gauges.memory, summary.mebibytes),
        ("Processor time", "of one core", result.gauges.cpu, _percent),
        ("Waiting for PostgreSQL", "once a second, what is on its way", result.gauges.waiting, number),
    ):  # fmt: skip
        if lines:
            highest = max((value for line in lines.values() for _, value in line), default=0.0)
            yield _figure(title, about, across, _linear(highest, label), lines)


def _linear(highest: float, label: Label) -> Axis:
    if label is summary.mebibytes:  # round numbers of MiB, and not of bytes
        axis = charts.linear(highest / (1 << 20), number)
        return Axis(
            axis.low,
            axis.high * (1 << 20),
            tuple(each * (1 << 20) for each in axis.ticks),
            lambda size: number(size / (1 << 20)),
        )
    return charts.linear(highest, label)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _figure(
    title: str, about: str, across: Axis, up: Axis, lines: Mapping[str, Line],
    *, classes: Mapping[str, str] | None = None, bound: float | None = None,
) -> str:  # fmt: skip
    classes = classes or dict(zip(lines, "abcd", strict=False))
    keys = "".join(f'<span class="{classes[name]}"><i></i>{escape(name)}</span>' for name in lines)
    if bound is not None:
        keys += f'<span><i class="dashed"></i>{milliseconds(bound)}</span>'
    spoken = ", ".join(
        f"{name} at most {up.label(max(value for _, value in line))}" for name, line in lines.items() if line
    )
    return (
        f"<figure><figcaption>{escape(title)}<small>{escape(about)}</small></figcaption>"
        f'<div class="key">{keys}</div>'
        f"{charts.chart(f'{title}: {spoken}', across, up, lines, classes=classes, bound=bound)}</figure>\n"
    )


def _method(result: Result) -> Iterator[str]:
    load = result.load
    servers = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    yield (
        f"SyncKairos {__version__}, {load.workers} of its processes, with rate limits; {servers}; Python "
        f"{platform.python_version()}, {platform.system()}, {os.cpu_count()} processors. All of it, "
        "and the load, ran on this one machine."
    )
    yield (
        "Requests have moments that were planned before, at random as many players make them. Latencies "
        "count from the planned moment, also when the service or the load itself was late, so a standstill "
        "counts for every request that it held up."
    )
    yield (
        "A request that failed is not good for switches and reads, however fast the answer was. Available "
        "is what was answered without a 5xx."
    )
    yield "An event that a socket never got, and a clock that ran out unnoticed, is not good either."
