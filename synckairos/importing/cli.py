"""The command `synckairos import`: brings the sessions of the older service here."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.core.connection import Connection
from synckairos.core.library import LibraryChanged
from synckairos.errors import NotReplicated, StorageUnavailable, error_text
from synckairos.importing import older
from synckairos.importing.conversion import DEFAULT_ACTION
from synckairos.importing.importer import Choice, Outcome, import_all
from synckairos.output import echo
from synckairos.settings_option import config_option, settings_or_exit

SOURCE_TIMEOUT_S = 10.0
"""How long the older service's server may take to answer."""


def _names(_: click.Context, __: click.Parameter, value: str | None) -> frozenset[str] | None:
    return None if value is None else frozenset(name.strip() for name in value.split(",") if name.strip())


def _number(_: click.Context, __: click.Parameter, value: float) -> float:
    """Not-a-number is in every range, because it compares with nothing."""
    if math.isnan(value):
        raise click.BadParameter("nan is no number")
    return value


@click.command("import")
@click.option(
    "--from",
    "source",
    envvar="IMPORT_FROM",
    required=True,
    metavar="URL",
    help="The Redis of the older service. Or IMPORT_FROM.",
)
@click.option("--tenant", help="The tenant of sessions that name none.")
@click.option(
    "--only-tenants",
    "tenants",
    callback=_names,
    metavar="NAMES",
    help="Only sessions of these tenants, separated by commas.",
)
@click.option(
    "--percent",
    type=click.FloatRange(0, 100),
    callback=_number,
    default=100,
    show_default=True,
    help="Only this part of all sessions, always the same ones: 50 has all that 10 has.",
)
@click.option(
    "--on-timeout",
    "action",
    type=click.Choice(["notify", "end_session", "skip_cycle"]),
    default=DEFAULT_ACTION,
    show_default=True,
    help="What happens when a time is up, in sessions that do not say it themselves.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 100_000),
    callback=_number,
    default=500,
    show_default=True,
    help="How many sessions a second, at most.",
)
@click.option("--dry-run", is_flag=True, help="Check every session, and create none.")
@config_option
def import_(
    *,
    source: str,
    tenant: str | None,
    tenants: frozenset[str] | None,
    percent: float,
    action: str,
    rate: float,
    file: Path | None,
    dry_run: bool,
) -> None:
    """Import the sessions of the older service, which was written in TypeScript.

    The sessions under session:<id> go on here with the clocks as they are there. The other server is only
    read. A session is imported whole or not at all, and one that is here is not touched, so it is safe to
    stop this and to run it again. Sessions that cannot be imported are listed with the reason; then the exit
    code is 1.
    """
    settings = settings_or_exit(os.environ, file)
    choice = Choice(percent, tenants, tenant, action, dry_run)
    outcome = Outcome()
    try:
        asyncio.run(_run(settings, source, choice, outcome, rate))
    except LibraryChanged as error:
        raise click.ClickException(str(error)) from None
    except NotReplicated as error:
        _report(outcome, dry_run=dry_run)
        raise click.ClickException(f"{error}; run it again to go on") from None
    except (StorageUnavailable, *REDIS_ERRORS) as error:
        if outcome.seen:
            _report(outcome, dry_run=dry_run)
        here = f"the Redis of this service ({settings.redis_address})"
        where = here if isinstance(error, StorageUnavailable) else "the Redis of the older service"
        reason = error_text(error.__cause__ or error)
        raise click.ClickException(f"{where} does not answer: {reason}; run it again to go on") from None
    except KeyboardInterrupt:
        _report(outcome, dry_run=dry_run)
        raise click.ClickException("stopped; run it again to go on") from None
    _report(outcome, dry_run=dry_run)
    if not outcome.seen:
        raise click.ClickException(
            f"there is no key {older.PREFIX}* there: is --from the older service's Redis?"
        )
    if outcome.bad:
        raise click.ClickException(f"{len(outcome.bad)} could not be imported")


async def _run(settings: Settings, source: str, choice: Choice, outcome: Outcome, rate: float) -> None:
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}: {task.completed:.0f}"),
        console=Console(stderr=True),
    )
    try:
        client = async_client(dataclasses.replace(settings, redis_url=source), timeout_s=SOURCE_TIMEOUT_S)
    except ValueError as error:
        raise click.UsageError(f"--from: {error}") from None
    try:
        connection = Connection.to(settings)
        try:
            await connection.load()
            with progress:
                task = progress.add_task("checking" if choice.dry_run else "importing", total=None)
                await import_all(
                    client,
                    Sessions(connection, settings.session_ttl),
                    choice,
                    outcome,
                    rate=rate,
                    advance=lambda count: progress.advance(task, count),
                )
        finally:
            await connection.aclose()
    finally:
        await client.aclose()


def _report(outcome: Outcome, *, dry_run: bool) -> None:
    for key, reason in sorted(outcome.bad.items()):
        echo(f"{key}: {reason}")
    done = "could be imported" if dry_run else "imported"
    parts = [f"{outcome.imported} sessions {done}", f"{outcome.there} were there"]
    if outcome.left_out:
        parts.append(f"{outcome.left_out} were not asked for")
    echo(", ".join(parts))
