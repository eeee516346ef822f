"""The report of a check, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from synckairos.history.check import Report
from synckairos.history.figures import Quantiles
from synckairos.history.findings import MEANING, Finding

MAX_LISTED = 5
"""How many findings of a kind are shown."""


def draw(report: Report) -> RenderableType:
    """The report as tables: figures, faults, findings."""
    parts: list[RenderableType] = [_figures(report)]
    if report.figures.outages:
        parts.append(_outages(report))
    if report.findings:
        parts.append(_findings(report.findings))
    sound = Text("nothing was found", "green")
    found = Text(f"{len(report.findings)} findings", "red")
    return Group(*parts, sound if report.sound else found)


def show(report: Report, console: Console) -> None:
    """Print the report."""
    console.print(draw(report))


def _figures(report: Report) -> Table:
    figures = report.figures
    table = Table("figure", "value", title="History", title_justify="left")
    lost = str(figures.lost)
    if figures.lost_after_ms:
        first, last = figures.lost_after_ms[0], figures.lost_after_ms[-1]
        lost += f" (acknowledged {first:.0f} to {last:.0f} ms after a fault began)"
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
    return f"at most {figure.most:.0f}" if figure.count else "-"


def _spread(figure: Quantiles) -> str:
    if not figure.count:
        return "-"
    return f"p50 {figure.p50:.0f}, p95 {figure.p95:.0f}, p99 {figure.p99:.0f}"


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
    return "-" if value is None else f"{value:.0f}"


def _findings(findings: list[Finding]) -> Table:
    table = Table("found", "session", "epoch", "version", "details", title="Findings", title_justify="left")
    for row in _rows(findings):
        table.add_row(*row)
    return table


def _rows(findings: list[Finding]) -> Iterator[tuple[str, ...]]:
    ordered = sorted(findings, key=lambda each: list(MEANING).index(each.kind))
    for kind, group in groupby(ordered, lambda each: each.kind):
        same = list(group)
        yield kind, "", "", "", f"{len(same)} times: {MEANING[kind]}"
        for each in same[:MAX_LISTED]:
            yield "", each.session_id, str(each.epoch), str(each.version), each.text
        if len(same) > MAX_LISTED:
            yield "", "", "", "", f"and {len(same) - MAX_LISTED} more, see --json"
