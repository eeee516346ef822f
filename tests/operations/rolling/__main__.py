"""Updates under traffic, with a table of what was noticed: `python -m tests.operations.rolling`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.operations.rolling.traffic import Figures
from tests.operations.rolling.updates import WAYS, carry_out

COLUMNS = (
    "update",
    "requests",
    "failed",
    "sent again",
    "longest (ms)",
    "switches",
    "lost",
    "twice",
    "sockets closed",
    "refused",
    "events missed",
    "told twice",
    "longest away (ms)",
    "expiries",
    "latest (ms)",
)


def row(way: str, found: Figures) -> list[str]:
    """The figures of one update."""
    numbers = (
        found.requests,
        found.failed.total(),
        found.again,
        round(found.longest_ms),
        found.switches,
        found.lost,
        found.twice,
        found.closes.total(),
        found.refused.total(),
        found.missed,
        found.repeated,
        round(found.away_ms),
        found.expiries,
        round(found.latest_ms),
    )
    return [way, *map(str, numbers)]


def page_row(way: str, found: Figures) -> str:
    """The same, as a line of the table in `deploy/UPDATES.md`."""
    numbers = (
        f"{found.requests:,}",
        found.failed.total(),
        f"{found.longest_ms:,.0f}",
        found.closes.total(),
        found.missed + found.repeated,
        f"{found.away_ms / 1000:.1f}",
        f"{found.latest_ms:.0f}",
    )
    return "| " + " | ".join([f"`{way}`", *map(str, numbers)]) + " |"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("ways", nargs=-1, type=click.Choice(list(WAYS)))
@click.option("--page", is_flag=True, help="Print lines for the table in deploy/UPDATES.md, too.")
def rolling(ways: tuple[str, ...], *, page: bool) -> None:
    """Update a deployment under traffic, in all WAYS or in those that are named.

    The exit code is 0 when nothing failed, nothing was lost and nothing took longer than it should.
    """
    table, lines, wrong = Table(*COLUMNS), list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="synckairos-rolling-") as folder:
        for way in ways or WAYS:
            place = Path(folder) / str(table.row_count)
            place.mkdir()
            found = asyncio.run(carry_out(WAYS[way], place))
            table.add_row(*row(way, found))
            lines.append(page_row(way, found))
            wrong += [f"{way}: {each}" for each in found.missing() + found.slow()]
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for each in [*(lines if page else ()), *wrong]:
        click.echo(each)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    rolling()
