"""The command `synckairos functions`: print, load and check the function library by hand."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from synckairos.config import Settings
from synckairos.core import library, schemas
from synckairos.core.clients import REDIS_ERRORS, address
from synckairos.core.connection import Connection
from synckairos.core.library import Library, LibraryChanged, LibraryStatus, SourceChanged
from synckairos.errors import StorageUnavailable, error_text
from synckairos.output import echo
from synckairos.settings_option import config_option, settings_or_exit


@click.group()
def functions() -> None:
    """The function library: print it, load it, see which servers have it."""


@functions.command()
@click.option(
    "--virtual-time", is_flag=True, help="Read the time from a key instead of the server's clock (for tests)."
)
def bundle(*, virtual_time: bool) -> None:
    """Print the library in the form that FUNCTION LOAD takes."""
    click.echo(Library.assemble(virtual_time).payload, nl=False)


url_option = click.option(
    "--url",
    help="Server to use instead of the one in the settings. Everybody on this machine can read it in the "
    "list of processes, but not REDIS_URL in the environment.",
)


@functions.command()
@click.option(
    "--force", is_flag=True, help="Replace other code of the same version. A newer library is never replaced."
)
@url_option
@config_option
def load(url: str | None, file: Path | None, *, force: bool) -> None:
    """Load the library on every primary that does not have it."""
    settings = settings_or_exit(_at(url), file)
    try:
        found = asyncio.run(
            _each_primary(settings, lambda client, own: library.load_one(client, own, force=force))
        )
    except LibraryChanged as error:
        raise click.ClickException(str(error)) from None
    done = {
        LibraryStatus.MISSING: "loaded",
        LibraryStatus.OLDER: "replaced an older one",
        LibraryStatus.CHANGED: "replaced other code of the same version",
        LibraryStatus.SAME: "was there",
        LibraryStatus.NEWER: "left a newer one in place",
    }
    _report(found, done)


@functions.command()
@click.option(
    "--source",
    is_flag=True,
    help="Check the Lua in the source folder instead: has changed code a new version?",
)
@click.option("--record", is_flag=True, help="With --source: record the checksum of a new version.")
@url_option
@config_option
def check(url: str | None, file: Path | None, *, source: bool, record: bool) -> None:
    """Say which library every primary has. The exit code is 0 when each has this one, or a newer one."""
    if source:
        try:
            library.check_source(record=record)
        except SourceChanged as error:
            raise click.ClickException(str(error)) from None
        return
    found = asyncio.run(_each_primary(settings_or_exit(_at(url), file), library.library_status))
    _report(found, {status: status.value for status in LibraryStatus})
    if not all(status in (LibraryStatus.SAME, LibraryStatus.NEWER) for _, status in found):
        sys.exit(1)


@functions.command("schemas")
@click.option(
    "--convert",
    "schema",
    type=click.IntRange(1, 2),
    help="Convert all sessions to this schema, those that nobody changes, too.",
)
@click.option("--newer", is_flag=True, help="Only list the sessions that the last library does not know.")
@url_option
@config_option
def schemas_(url: str | None, file: Path | None, schema: int | None, *, newer: bool) -> None:
    """Count the sessions in each schema of their hash: see lua/SCHEMAS.md.

    Also those that use what the last release's library does not know and would forget; --newer lists them.
    With --convert the exit code is 1 while any session is in another schema.
    """
    settings = settings_or_exit(_at(url), file)
    converted, found, ids = asyncio.run(_schemas(settings, schema))
    if newer:
        for session_id in ids:
            echo(session_id)
        return
    if converted is not None:
        echo(f"{converted:,} sessions were converted to schema {schema}")
    for number in sorted({schemas.OLDEST, *found}):
        echo(f"schema {number}: {found[number]:,} sessions")
    echo(f"with what library {schemas.LAST_LIBRARY} does not know: {len(ids):,} sessions")
    if schema is not None and found.total() > found[schema]:
        raise click.ClickException(
            "some sessions are in another schema still: a feature of a service writes it, they are on their "
            "way to another server, or the server is full"
        )


async def _schemas(settings: Settings, schema: int | None) -> tuple[int | None, Counter[int], list[str]]:
    """How many sessions were converted to `schema`, and how many there are in each.

    Also the ids of those that use what the last library does not know.
    """
    connection = Connection.to(settings)
    try:
        converted = None if schema is None else await schemas.convert(connection, schema)
        return converted, await schemas.count(connection), await schemas.newer(connection)
    except (StorageUnavailable, *REDIS_ERRORS) as error:
        raise click.ClickException(f"Redis does not answer: {error_text(error.__cause__ or error)}") from None
    finally:
        await connection.aclose()


def _at(url: str | None) -> dict[str, str]:
    """The environment. If a URL is given, it replaces all settings that name a server."""
    environ = dict(os.environ)
    if url:
        environ.update(REDIS_URL=url, REDIS_SENTINEL_HOSTS="", REDIS_SENTINEL_NAME="", REDIS_CLUSTER_NODES="")
    return environ


async def _each_primary(settings: Settings, ask: Any) -> list[tuple[str, LibraryStatus]]:
    """The address of every primary, and what `ask(client, library)` returned for it."""
    connection = Connection.to(settings)
    try:
        return [
            (address(client), await ask(client, connection.library))
            for client in await connection.primaries()
        ]
    except (StorageUnavailable, *REDIS_ERRORS) as error:
        raise click.ClickException(f"Redis does not answer: {error_text(error.__cause__ or error)}") from None
    finally:
        await connection.aclose()


def _report(found: list[tuple[str, LibraryStatus]], words: Mapping[LibraryStatus, str]) -> None:
    version = Library.assemble().version
    for where, status in found:
        echo(f"{where}: synckairos {version}: {words[status]}")
