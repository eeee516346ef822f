"""`synckairos bench`: the benches as commands."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from synckairos.bench.report import Report


@click.group()
def bench() -> None:
    """Measure this machine. Each figure is compared with a yardstick of the same run.

    Each bench starts its own servers and ends them. No other program should be busy on the machine.
    """
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Unwinds the stack, so that the servers that were started are ended.
    raise SystemExit(128 + signal.SIGTERM)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--quick", is_flag=True, help="Fewer and shorter rounds, for a rough figure."),
        click.option(
            "--json",
            "file",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            help="Write the figures, and the values of all rounds, to this file.",
        ),
    ):
        command = option(command)
    return command


_server = click.option(
    "--server",
    type=click.Choice(["valkey", "redis"]),
    default="valkey",
    show_default=True,
    help="The server of the service: the Valkey that is installed with it, or the machine's redis-server.",
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
    """The function library under redis-benchmark, compared with SET and a function without rules."""
    from synckairos.bench import core

    _show(core.run(servers, quick=quick), file)


@bench.command()
@_servers
@_common
def controls(file: Path | None, servers: tuple[Any, ...], *, quick: bool) -> None:
    """A switch under each time control, compared with one under fischer."""
    from synckairos.bench import controls

    _show(controls.run(servers, quick=quick), file)


@bench.command()
@_servers
@_common
def dearest(file: Path | None, servers: tuple[Any, ...], *, quick: bool) -> None:
    """The dearest calls that the function library allows or refuses, compared with a switch."""
    from synckairos.bench import dearest

    _show(dearest.run(servers, quick=quick), file)


@bench.command()
@_server
@_workers
@_common
def http(file: Path | None, server: Any, workers: int, *, quick: bool) -> None:
    """POST …/switch with rate limits on, compared with a Sanic application that does nothing."""
    from synckairos.bench import switches

    _show(switches.run(server, workers, quick=quick), file)


@bench.command()
@_server
@_common
def tokens(file: Path | None, server: Any, *, quick: bool) -> None:
    """Switches with tokens, compared with a service that asks for none."""
    from synckairos.bench import tokens

    _show(tokens.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def tracing(file: Path | None, server: Any, *, quick: bool) -> None:
    """Switches of services that make spans, compared with one that makes none."""
    from synckairos.bench import tracing

    _show(tracing.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def chain(file: Path | None, server: Any, *, quick: bool) -> None:
    """What the chain of middleware costs a request, and how long one waits while Redis is away."""
    from synckairos.bench import middleware

    _show(middleware.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def ws(file: Path | None, server: Any, *, quick: bool) -> None:
    """A thousand subscribers of one session, compared with a plain loop over as many sockets."""
    from synckairos.bench import fanout

    _show(fanout.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def expiry(file: Path | None, server: Any, *, quick: bool) -> None:
    """Clocks that run out under load, compared with keys that expire by their TTL."""
    from synckairos.bench import expiry

    _show(expiry.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def audit(file: Path | None, server: Any, *, quick: bool) -> None:
    """Events into PostgreSQL, compared with COPY of the same rows and with the service's switches."""
    from synckairos.bench import audit

    _show(audit.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def webhooks(file: Path | None, server: Any, *, quick: bool) -> None:
    """From a commit to the request at a receiver, in quiet and beside dead receivers."""
    from synckairos.bench import webhooks

    _show(webhooks.run(server, quick=quick), file)


@bench.command("access-log")
@_common
def access_log(file: Path | None, *, quick: bool) -> None:
    """What a refusal costs, and rows a second into the chains of the access log."""
    from synckairos.bench import access_log

    _show(access_log.run(quick=quick), file)


@bench.command()
@_server
@_common
def durability(file: Path | None, server: Any, *, quick: bool) -> None:
    """A switch that two replicas confirm, and one that is on disk, compared with one at once."""
    from synckairos.bench import durability

    _show(durability.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def restore(file: Path | None, server: Any, *, quick: bool) -> None:
    """Total loss of Redis: how long until all live sessions are back by themselves."""
    from synckairos.bench import restore

    _show(restore.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def cluster(file: Path | None, server: Any, *, quick: bool) -> None:
    """Three shards compared with one server, and slots that move under load."""
    from synckairos.bench import cluster

    _show(cluster.run(server, quick=quick), file)


@bench.command()
@_server
@_common
def sockets(file: Path | None, server: Any, *, quick: bool) -> None:
    """Ten thousand WebSockets: what one weighs, and how soon all are back after a kill."""
    from synckairos.bench import sockets

    _show(sockets.run(server, quick=quick), file)


@bench.command()
@click.argument("attacks", nargs=-1, metavar="[ATTACK]...")
@_server
@_common
def attack(file: Path | None, server: Any, attacks: tuple[str, ...], *, quick: bool) -> None:
    """A victim beside attackers: what its switches take, and what becomes of the attackers.

    ATTACK is frames (WebSocket frames that say nothing), senders (a byte a second), creations (the dearest
    ones) or logins (wrong ones); all without one.
    """
    from synckairos.bench import attack

    if unknown := set(attacks) - set(attack.ATTACKS):
        raise click.UsageError(f"there is no attack {unknown.pop()!r}; there are {', '.join(attack.ATTACKS)}")
    _show(attack.run(server, attacks, quick=quick), file)


@bench.command()
@_server
@_workers
@click.option(
    "--sessions", type=click.IntRange(1, 1_000_000), help="Live at the same time.  [default: 10000]"
)
@click.option("--seconds", type=click.FloatRange(1, 86_400), help="How long it is counted.  [default: 60]")
@click.option("--switches", type=click.FloatRange(0, 100_000), help="Switches a second.  [default: 200]")
@click.option("--reads", type=click.FloatRange(0, 100_000), help="Reads a second.  [default: 200]")
@click.option(
    "--expiries", type=click.FloatRange(0, 10_000), help="Clocks that run out a second.  [default: 20]"
)
@click.option("--sockets", type=click.IntRange(0, 100_000), help="WebSockets.  [default: 1000]")
@click.option(
    "--clients",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that send requests.",
)
@click.option("--audit/--no-audit", default=True, help="With or without a PostgreSQL that gets every event.")
@click.option(
    "--slo",
    "objectives",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Judge by the objectives of this file.  [default: deploy/slo.yaml of this release]",
)
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a page with charts to this file.",
)
@_common
def load(
    file: Path | None,
    server: Any,
    workers: int,
    page: Path | None,
    objectives: Path | None,
    *,
    quick: bool,
    audit: bool,
    **sizes: Any,
) -> None:
    """Switches, reads, sockets and expiries together, against the service level objectives.

    The exit code is 1 when one was missed, or when an event did not reach PostgreSQL.
    """
    from synckairos.bench.loadtest import objectives as promised
    from synckairos.bench.loadtest import page as pages
    from synckairos.bench.loadtest import plan, run, summary

    given = {name: value for name, value in sizes.items() if value is not None}
    wanted = replace(plan.QUICK if quick else plan.FULL, workers=workers, audited=audit, **given)
    report, result = run.run(server, wanted, promised.load(objectives), quick=quick)
    if file is not None:
        report.write(file)
    if page is not None:
        page.write_text(pages.page(result), encoding="utf-8")
    click.echo(summary.table(result))
    if not result.met:
        raise SystemExit(1)
