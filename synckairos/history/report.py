"""The report of a check, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from synckairos.history.check import Report
from synckairos.history.figures import Quantiles
from synckairos.history.findings import MEANING, Finding
from synckairos.output import printable

MAX_LISTED = 5
"""How many findings of a kind are shown."""


def show(report: Report, console: Console) -> None:
    """Print the report: the figures and the faults as tables, and each kind of finding with some examples."""
    console.print(_figures(report))
    if report.figures.outages:
        console.print(_outages(report))
    for line in _findings(report.findings):
        console.print(line, soft_wrap=True)
    moved = report.figures.moved
    if moved:
        console.print(f"{'1 session is' if moved == 1 else f'{moved} sessions are'} at another Redis")
    count = len(report.findings)
    style = "green" if report.sound else "red"
    console.print("1 finding" if count == 1 else f"{count or 'no'} findings", style=style)


def _figures(report: Report) -> Table:
    figures = report.figures
    table = Table("figure", "value", title="History", title_justify="left")
    lost = str(figures.lost)
    if figures.lost_after_ms:
        first, last = figures.lost_after_ms[0], figures.lost_after_ms[-1]
        lost += f" (acknowledged {round(first)} to {round(last)} ms after a fault began)"
    rows: list[tuple[str, object]] = [
        ("sessions, events", f"{figures.sessions}, {figures.events}"),
        ("events that a newer epoch replaced", figures.superseded),
        ("clocks checked", figures.clocks_checked),
        ("acknowledged", figures.acknowledged),
        ("refused", figures.refused),
        ("unknown", figures.unknown),
        ("lost", lost),
        ("versions given twice", figures.versions_given_twice),
        ("sockets, dropped", f"{figures.sockets_opened}, {figures.sockets_dropped}"),
        ("messages", figures.messages),
        ("told and lost afterwards", figures.told_and_lost),
        ("phantoms", figures.phantoms),
        ("gaps", figures.gaps),
        ("backwards or twice", figures.backwards),
        ("not known", figures.not_known),
        ("expiries, late (ms)", f"{figures.expiries}, {_most(figures.late)}"),
        ("at sockets after the answer (ms)", _spread(figures.delay)),
        ("the same, 2 s after naming (ms)", _spread(figures.delay_settled)),
    ]
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _most(figure: Quantiles) -> str:
    return f"at most {round(figure.most)}" if figure.count else "-"


def _spread(figure: Quantiles) -> str:
    if not figure.count:
        return "-"
    return f"p50 {_delay(figure.p50)}, p95 {_delay(figure.p95)}, p99 {_delay(figure.p99)}"


def _delay(value: float) -> str:
    """A delay. Below 0 there was none: the socket had the event before the caller had the answer."""
    return "-" if value < 0 else str(round(value))


def _outages(report: Report) -> Table:
    table = Table(
        "fault",
        "named after",
        "first success after begin",
        "after naming",
        "longest pause",
        title="Faults (ms)",
        title_justify="left",
    )
    for each in report.figures.outages:
        named = None if each.named_ms is None else each.named_ms - each.began_ms
        table.add_row(
            each.name,
            *map(
                _ms,
                (
                    named,
                    each.first_success_after_begin_ms,
                    each.first_success_after_named_ms,
                    each.longest_pause_ms,
                ),
            ),
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else str(round(value))


def _findings(findings: list[Finding]) -> Iterator[Text]:
    ordered = sorted(findings, key=lambda each: list(MEANING).index(each.kind))
    for kind, group in groupby(ordered, lambda each: each.kind):
        same = list(group)
        times = "once" if len(same) == 1 else f"{len(same)} times"
        yield Text.assemble((kind, "bold red"), f", {times}: {MEANING[kind]}")
        for each in same[:MAX_LISTED]:
            said = f"  {each.session_id}: version {each.version} of epoch {each.epoch}: {each.text}"
            yield Text(printable(said))
        if len(same) > MAX_LISTED:
            yield Text(f"  and {len(same) - MAX_LISTED} more, all of them with --json")
