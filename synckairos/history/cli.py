"""The command `synckairos check-history`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import msgspec
from redis.exceptions import RedisError

from synckairos.config import Settings
from synckairos.errors import StorageUnavailable, error_text
from synckairos.history import lines, truth_file
from synckairos.history.check import Report, check
from synckairos.history.lines import Line, NoLine
from synckairos.history.truth_file import Head, NoTruth
from synckairos.settings_option import config_option, settings_or_exit

ARRIVE_S = 30.0
"""How long events have to get to PostgreSQL before it is read."""


class _Recording:
    """The lines of a file, which can be read again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Line]:
        with self._path.open("rb") as file:
            yield from lines.read(file, str(self._path))


_existing = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("check-history")
@click.argument("recordings", nargs=-1, type=_existing, metavar="[FILE]...")
@click.option(
    "--all", "everything", is_flag=True, help="Check every session, and not only those of the files."
)
@click.option("--truth", type=_existing, help="Read what happened from a file of --dump, and ask no server.")
@click.option(
    "--dump", type=click.Path(dir_okay=False, path_type=Path), help="Write what happened into this file, too."
)
@click.option(
    "--may-lose",
    "may_lose_ms",
    type=click.IntRange(0),
    metavar="MS",
    help="Only count what was lost and acknowledged within MS of a fault's begin, as with DURABILITY=async.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings and figures as JSON.")
@config_option
def check_history(
    recordings: tuple[Path, ...],
    truth: Path | None,
    dump: Path | None,
    may_lose_ms: int | None,
    file: Path | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Check what callers and sockets were told against what happened.

    Each FILE is a recording. What happened is in the sessions' logs, in the outboxes and, with DATABASE_URL,
    in the audit store. The exit code is 0 when nothing was found.
    """
    if not (recordings or everything):
        raise click.UsageError("give recordings, or --all for every session by itself")
    if truth is not None and dump is not None:
        raise click.UsageError("--dump needs servers, and --truth asks none")
    files = [_Recording(path) for path in recordings]
    try:
        if truth is not None:
            report = _check_file(files, truth, may_lose_ms)
        else:
            settings = settings_or_exit(os.environ, file)
            with contextlib.ExitStack() as stack:
                if dump is None:
                    dump = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "truth"
                _read_servers(settings, None if everything else _sessions(files), dump)
                report = _check_file(files, dump, may_lose_ms)
    except (NoLine, NoTruth) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        from rich.console import Console

        from synckairos.history.report import show

        show(report, Console(highlight=False))
    sys.exit(0 if report.sound else 1)


def _sessions(files: Iterable[Iterable[Line]]) -> set[str]:
    """The sessions of recordings."""
    return {
        line.session_id
        for file in files
        for line in file
        if isinstance(line, lines.Call | lines.Socket | lines.Message)
    }


def _check_file(files: list[_Recording], truth: Path, may_lose_ms: int | None) -> Report:
    complete = truth_file.read_head(truth).complete
    return check(files, truth_file.read_sessions(truth), complete=complete, may_lose_ms=may_lose_ms)


def _read_servers(settings: Settings, ids: set[str] | None, file: Path) -> None:
    """Write what happened into a file. ids: the sessions, None: all."""
    try:
        arrived = asyncio.run(_read(settings, ids, file))
    except StorageUnavailable as error:
        raise click.ClickException(f"the storage does not answer: {error.__cause__ or error}") from None
    except (RedisError, OSError) as error:
        raise click.ClickException(f"Redis does not answer: {error_text(error)}") from None
    if not arrived:
        click.echo(
            "Warning: events are still on their way to PostgreSQL, and count as missing there", err=True
        )


async def _read(settings: Settings, ids: set[str] | None, file: Path) -> bool:
    from synckairos.audit.jobs import Jobs
    from synckairos.audit.store import Store
    from synckairos.audit.verify import arrived
    from synckairos.core.connection import Connection
    from synckairos.history import servers

    there = True
    async with contextlib.AsyncExitStack() as stack:
        connection = await stack.enter_async_context(Connection.to(settings))
        store: Store | None = None
        if settings.database_url is not None:
            store = await stack.enter_async_context(Store(settings.database_url, max_size=2, timeout_s=60))
            jobs = stack.enter_context(contextlib.closing(Jobs.of(settings)))
            there = await arrived(connection, jobs, ARRIVE_S)
        if ids is None:
            ids = await servers.all_session_ids(connection, store)
        with file.open("wb") as out:
            truth_file.write_head(out, Head(complete=store is not None))
            async for session in servers.read_sessions(connection, store, ids):
                truth_file.write_session(out, session)
    return there
