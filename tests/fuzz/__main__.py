"""`python -m tests.fuzz http|socket|fcall --cases N --seed S`: see README.md in this folder."""

from __future__ import annotations

import random
import sys

import click

from tests.fuzz.report import Report
from tests.support import servers


@click.command()
@click.argument("what", type=click.Choice(["http", "socket", "fcall"]))
@click.option("--cases", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--seed", type=int, help="Repeats a run; else a random one.")
@click.option(
    "--first-block", type=click.IntRange(0), default=0, help="fcall: begin with this block of 1,000 cases."
)
@click.option(
    "--server", type=click.Choice(servers.available()), default="valkey", help="fcall: on this server."
)
def main(what: str, cases: int, seed: int | None, first_block: int, server: servers.Kind) -> None:
    """Fuzz a service, or the functions on a server, that is started for it."""
    seed = random.randrange(2**32) if seed is None else seed
    report = _run(what, cases, seed, first_block, server)
    for failure in report.failures:
        click.echo(failure, err=True)
    click.echo(report.last_line())
    sys.exit(bool(report.failures))


def _run(what: str, cases: int, seed: int, first_block: int, kind: servers.Kind) -> Report:
    from tests.fuzz import fcall_cases, http_cases, socket_cases
    from tests.fuzz.target import own_service

    if what == "fcall":
        with servers.start(kind) as server:
            return fcall_cases.run(server, cases, seed, first_block)
    run = http_cases.run if what == "http" else socket_cases.run
    with own_service() as target:
        return run(target, cases, seed)


if __name__ == "__main__":
    main()
