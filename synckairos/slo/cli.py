"""The commands `slo rules` and `slo report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from synckairos.output import echo
from synckairos.slo.report import Budget, Report

FILE = Path("deploy/slo.yaml")
SPENT = 1
"""The exit code when a budget is spent."""
NO_REPORT = 2
"""The exit code when there is no report, so that nobody takes that for a budget that is spent."""

MOST = 0.99
"""A part of the window that counts as all of it: Prometheus is started again at times."""


@click.group()
def slo() -> None:
    """Service level objectives: the rules made of them, and what is left of their budgets."""


@slo.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=FILE)
def rules(file: Path) -> None:
    """Print the rules for Prometheus that follow from FILE (deploy/slo.yaml)."""
    from synckairos.slo import objectives, rules

    try:
        click.echo(rules.text(objectives.load(file)), nl=False)
    except objectives.WrongObjectives as error:
        raise click.ClickException(f"{file}: {error}") from None


@slo.command()
@click.option("--prometheus", required=True, metavar="URL", help="The Prometheus that has the rules.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def report(prometheus: str, *, as_json: bool) -> None:
    """Say how each objective does now, what of its error budget is used and left, and until when it lasts.

    The exit code is 1 when a budget is spent, and 2 when Prometheus cannot say.
    """
    from synckairos.slo import report

    try:
        found = report.ask(prometheus)
    except report.NoReport as error:
        echo(f"Error: {error}", err=True)
        sys.exit(NO_REPORT)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))  # ASCII: titles come from elsewhere
    else:
        _print(found)
    sys.exit(SPENT if found.spent else 0)


def _print(found: Report) -> None:
    days = found.window_s / 86400
    echo(f"Error budgets of {days:g} days, at {found.at}")
    if found.counted_s < MOST * found.window_s:
        echo(f"Prometheus has counted for {found.counted_s / 86400:.1f} of these days only.")
    rows: list[tuple[str, ...]] = [
        ("objective", "promised", "now", "burn rate", "used", "left", "lasts until")
    ]
    rows += [_row(budget, days) for budget in found.budgets]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(budget: Budget, days: float) -> tuple[str, ...]:
    if budget.spent:
        until = "spent"
    elif budget.lasts_until is None:
        until = f"more than {days:g} days" if budget.events else "no events"
    else:
        until = budget.lasts_until
    return (
        budget.slo,
        _percent(budget.objective),
        _percent(budget.now),
        "-" if budget.burn_rate is None else f"{budget.burn_rate:.2f}",
        _percent(budget.used),
        _percent(budget.left),
        until,
    )


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{round(ratio * 100, 3):g} %"
