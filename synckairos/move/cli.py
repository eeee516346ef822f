"""The command `synckairos move`."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from synckairos import config, logs
from synckairos.config import Settings, SettingsError
from synckairos.core import keys
from synckairos.core.connection import Connection
from synckairos.core.library import LibraryChanged
from synckairos.errors import SyncKairosError, ValidationError, error_text
from synckairos.move.find import live_among, live_sessions, running_in
from synckairos.move.record import Heading, Record, RecordError, Step
from synckairos.move.saga import Mover, Outcome
from synckairos.move.side import Side
from synckairos.output import echo
from synckairos.realtime.server_time import ServerClock

MAX_SHIFT_MS = 5.0
"""With clocks that are known less exactly than this, deadlines may shift by more, and a warning says so."""
MAX_LISTED = 10
"""How many sessions that did not move are named."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which sessions to move. One of the three is given."""

    sessions: Sequence[str]
    tenant: str | None
    everything: bool


@click.command()
@click.option(
    "--from",
    "source",
    envvar="MOVE_FROM",
    required=True,
    help="The Redis that has the sessions: a URL, or a YAML file with its settings. Or MOVE_FROM.",
)
@click.option(
    "--to",
    "target",
    envvar="MOVE_TO",
    required=True,
    help="The Redis that gets them, as its services name it in REDIS_URL or their settings. Or MOVE_TO.",
)
@click.option("--session", "sessions", multiple=True, help="Move this session; may be repeated.")
@click.option("--tenant", help="Move the live sessions of this tenant.")
@click.option("--all", "everything", is_flag=True, help="Move all live sessions.")
@click.option("--resume", is_flag=True, help="Go on with the move in --record.")
@click.option("--abort", is_flag=True, help="Take the move in --record back, as far as it can be.")
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that says how far each session has come.  [default: synckairos-<name of the move>.move]",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="How many sessions are under way at the same time.",
)
def move(
    source: str,
    target: str,
    sessions: tuple[str, ...],
    tenant: str | None,
    *,
    record: Path | None,
    at_once: int,
    everything: bool,
    resume: bool,
    abort: bool,
) -> None:
    """Move live sessions to another Redis without stopping a clock.

    Each session can be changed by nobody for some milliseconds, and then goes on at the target, with the
    same deadline. A record says how far each has come. When this command is stopped or killed, --resume goes
    on, and --abort takes back what can be taken back. It can be run again at any time.

    The exit code is 0 when every session has moved, ended meanwhile or, with --abort, stayed.
    """
    if (len(sessions) > 0) + (tenant is not None) + everything + resume + abort != 1:
        raise click.UsageError("exactly one of --session, --tenant, --all, --resume and --abort is needed")
    if (resume or abort) and record is None:
        raise click.UsageError("--resume and --abort need --record")
    try:
        chosen = _Chosen([keys.session_id(each) for each in sessions], tenant, everything)
        ends = _settings(source), _settings(target)
    except (SettingsError, ValidationError) as error:
        raise click.UsageError(str(error)) from None
    if ends[0].redis_address == ends[1].redis_address:
        raise click.UsageError("--from and --to are the same Redis")
    logs.configure("warning", production=False)
    try:
        done = asyncio.run(_run(*ends, chosen, record, at_once, goes_on=resume or abort, abort=abort))
    except (RecordError, LibraryChanged) as error:
        raise click.ClickException(str(error)) from None
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} exists: use --resume, or another name") from None
    except (SyncKairosError, RedisError, OSError) as error:
        raise click.ClickException(f"Redis does not answer: {error_text(error.__cause__ or error)}") from None
    sys.exit(0 if done else 1)


def _settings(place: str) -> Settings:
    """The settings for one end of the move. The durability and limits of a service do not matter here."""
    return config.at(place, Settings())


async def _run(
    source_settings: Settings,
    target_settings: Settings,
    chosen: _Chosen,
    path: Path | None,
    at_once: int,
    *,
    goes_on: bool,
    abort: bool,
) -> bool:
    """Move what was chosen. Returns whether nothing is left to do."""
    console = Console(stderr=True)
    async with _side(source_settings) as source, _side(target_settings) as target:
        if {*await _run_ids(source.connection)} & {*await _run_ids(target.connection)}:
            raise click.ClickException("--from and --to are the same Redis")
        record = await _record(path, chosen, source, target, goes_on=goes_on)
        left = record.open_sessions() if abort else record.unmoved()
        echo(f"{'taking back' if abort else 'moving'} {len(left)} sessions; record: {record.path}", err=True)
        mover = Mover(source, target, record, tenant=chosen.tenant)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, mover.stop)
        before = sum(step is Step.FINISHED for step in record.steps.values())
        began = time.monotonic()
        progress = Progress(
            TextColumn("moving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        )
        with progress:
            task = progress.add_task("", total=len(left))
            each = mover.take_back_all if abort else mover.move_all
            await each(left, at_once, lambda: progress.advance(task))
        _report(console, mover.outcome, source, target, time.monotonic() - began, before=before)
        return _close(record, mover.outcome, abort=abort)


def _close(record: Record, outcome: Outcome, *, abort: bool) -> bool:
    """Close the record, and say what is left to do. Returns whether that is nothing."""
    left = record.open_sessions() if abort else record.unmoved()
    if not left:
        record.remove()
        return True
    record.close()
    reasons = {**outcome.failed, **outcome.unsettled}
    for session_id in left[:MAX_LISTED]:
        echo(f"{session_id}: {reasons.get(session_id, record.steps[session_id])}", err=True)
    if len(left) > MAX_LISTED:
        echo(f"and {len(left) - MAX_LISTED} more", err=True)
    echo(f"left to do: --record {record.path} --resume, or --abort", err=True)
    return False


@asynccontextmanager
async def _side(settings: Settings) -> AsyncIterator[Side]:
    """One end of the move, with the library loaded. Where it has replicas, they confirm each step."""
    async with Connection.to(settings) as plain:
        await plain.load()
        replicas = sum(
            [(await client.info("replication"))["connected_slaves"] for client in await plain.primaries()]
        )
    if replicas:
        settings = dataclasses.replace(settings, durability="replicated")
    async with Connection.to(settings) as connection:
        clock = ServerClock(connection)
        await clock.start()
        try:
            yield Side(connection, clock, settings.redis_address)
        finally:
            await clock.stop()


async def _run_ids(connection: Connection) -> list[str]:
    return [str((await client.info("server"))["run_id"]) for client in await connection.primaries()]


async def _record(path: Path | None, chosen: _Chosen, source: Side, target: Side, *, goes_on: bool) -> Record:
    """The record to write: the one that is there, or a new one of the chosen sessions."""
    if goes_on:
        assert path is not None
        record = Record.go_on(path)
        if (record.heading.source, record.heading.target) != (source.address, target.address):
            raise click.UsageError(
                f"that move goes from {record.heading.source} to {record.heading.target}, "
                f"not from {source.address} to {target.address}"
            )
        return record
    heading = Heading(f"{secrets.token_hex(8)}", source.address, target.address)
    found = chosen.sessions or await live_sessions(source.connection, chosen.tenant)
    if chosen.tenant is not None and not found:
        raise click.ClickException(f"the tenant {chosen.tenant} has no live session at {source.address}")
    missing = {*chosen.sessions} - await live_among(source.connection, chosen.sessions)
    if missing:
        raise click.ClickException(f"there is no live session {min(missing)} at {source.address}")
    twice = await running_in(target.connection, found) & await running_in(source.connection, found)
    if twice:
        raise click.ClickException(
            f"{len(twice)} of {len(found)} sessions, as {min(twice)}, run at both ends. Nothing was moved. "
            "Did the services of the target restore them, which use the PostgreSQL of the source and have no "
            "MOVED_TO?"
        )
    return Record.begin(path or Path(f"synckairos-{heading.move}.move"), heading, found)


def _report(
    console: Console, outcome: Outcome, source: Side, target: Side, took_s: float, *, before: int
) -> None:
    """Print a table of what was done. before: how many sessions had moved already, and stay at the target."""
    partition = keys.PARTITIONS[0]
    apart = target.clock.now_ms(partition) - source.clock.now_ms(partition)
    inexact = target.clock.uncertainty_ms(partition) + source.clock.uncertainty_ms(partition)
    pauses = sorted(outcome.pauses_s)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    for name, value in (
        ("moved", str(outcome.moved)),
        *([("had moved before, and stay at the target", str(before))] if before else []),
        ("taken back", str(outcome.undone)),
        ("ended or moved by others meanwhile", str(outcome.gone)),
        ("failed, and stay at the source", str(len(outcome.failed))),
        ("not settled", str(len(outcome.unsettled))),
        ("clocks apart", f"{apart:+.1f} ms, known to ± {inexact:.1f} ms"),
        ("took", f"{took_s:.1f} s"),
    ):
        table.add_row(name, value)
    if pauses:
        shown = ", ".join(
            f"{label} {1000 * pauses[min(len(pauses) - 1, int(share * len(pauses)))]:.1f} ms"
            for label, share in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0))
        )
        table.add_row("no changes for", shown)
    Console(file=sys.stdout, width=max(100, console.width)).print(table)
    if inexact > MAX_SHIFT_MS:
        echo(
            f"the servers are so far away that their clocks are known to ± {inexact:.1f} ms only: "
            "deadlines may have shifted by as much",
            err=True,
        )
