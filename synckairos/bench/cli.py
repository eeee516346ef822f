"""`synckairos bench`: the benches as commands."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from synckairos.bench.report import Report


@click.group()
def bench() -> None:
    """Measure this machine: each figure beside a yardstick of the same run.

    Each bench starts its own servers and ends them. The machine should have nothing else to do.
    """
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Unwinds the stack, which ends what was started.
    raise SystemExit(128 + signal.SIGTERM)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--quick", is_flag=True, help="Fewer and shorter rounds: a look, not a measurement."),
        click.option(
            "--json",
            "file",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            help="Write the figures, and the rounds behind them, to this file.",
        ),
    ):
        command = option(command)
    return command


_server = click.option(
    "--server",
    type=click.Choice(["valkey", "redis"]),
    default="valkey",
    show_default=True,
    help="The server under the service: the Valkey that comes along, or the machine's redis-server.",
)
_workers = click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes of the service."
)


def _show(report: Report, file: Path | None) -> None:
    if file is not None:
        report.write(file)
    click.echo(report.table())


_servers = click.option(
    "--server",
    "servers",
    type=click.Choice(["redis", "valkey"]),
    multiple=True,
    default=("redis", "valkey"),
    help="Only this server.  [default: both]",
)


@bench.command()
@_servers
@_common
def core(file: Path | None, servers: tuple[Any, ...], *, quick: bool) -> None:
    """The function library under redis-benchmark, against SET and a bare function."""
    from synckairos.bench import core

    _show(core.run(servers, quick=quick), file)


@bench.command()
@_servers
@_common
def controls(file: Path | None, servers: tuple[Any, ...], *, quick: bool) -> None:
    """A switch under each time control, against one under fischer."""
    from synckairos.bench import controls

    _show(controls.run(servers, quick=quick), file)


@bench.command()
@_server
@_workers
@_common
def http(file: Path | None, server: Any, workers: int, *, quick: bool) -> None:
    """POST …/switch with rate limits on, against a Sanic application that does nothing."""
    from synckairos.bench import switches

    _show(switches.run(server, workers, quick=quick), file)


@bench.command()
@_server
@_common
def ws(file: Path | None, server: Any, *, quick: bool) -> None:
    """A thousand subscribers of one session, against a plain loop over as many sockets."""
    from synckairos.bench import fanout

    _show(fanout.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def expiry(file: Path | None, server: Any, *, quick: bool) -> None:
    """Clocks that run out by themselves under load, against keys that expire by their TTL."""
    from synckairos.bench import expiry

    _show(expiry.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def audit(file: Path | None, server: Any, *, quick: bool) -> None:
    """Events from the outboxes into PostgreSQL, against COPY of the same rows and the service's switches."""
    from synckairos.bench import audit

    _show(audit.run(server, quick=quick), file)
