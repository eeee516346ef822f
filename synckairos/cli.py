"""The command `synckairos`. What it is asked for goes to standard output, all else to standard error."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import click

from synckairos import __version__, config, connections, library, logs
from synckairos.config import Settings, SettingsError
from synckairos.errors import StorageUnavailable
from synckairos.library import Library, LibraryChanged, SourceChanged, Standing

WRONG_SETTINGS = 2
"""The exit code for settings or options that cannot be used, as click has it for options."""


class _Commands(click.Group):
    """The commands, and those that bring more dependencies or code along only when they are called."""

    _LAZY: ClassVar = {
        "audit": "synckairos.audit.cli",
        "bench": "synckairos.bench.cli",
        "doctor": "synckairos.doctor.cli",
        "migrate": "synckairos.audit.cli",
        "restore": "synckairos.audit.restore",
        "watch": "synckairos.watch.cli",
        "worker": "synckairos.audit.cli",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *(name for name in self._LAZY if self._lazy(name))])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._lazy(cmd_name)

    def _lazy(self, name: str) -> click.Command | None:
        module = self._LAZY.get(name)
        try:
            found: click.Command | None = getattr(importlib.import_module(module), name) if module else None
        except ModuleNotFoundError as error:
            if error.name in (module, "synckairos.bench"):
                return None
            return _unavailable(name, error)
        return found


def _unavailable(name: str, missing: ModuleNotFoundError) -> click.Command:
    """Stands where a command would, so that the help and all other commands work."""
    problem = f"the Python package {missing.name} is missing: install synckairos again"

    def refuse(**_: object) -> None:
        raise click.ClickException(problem)

    return click.Command(
        name,
        callback=refuse,
        help=f"Not available: {problem}.",
        add_help_option=False,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
    )


config_option = click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with settings, under their names in lower case. The environment wins over it.",
)


def settings_or_exit(environ: Mapping[str, str], file: Path | None) -> Settings:
    """The settings, with logging set up by them; what is wrong with them ends the program."""
    try:
        settings = config.load(environ, file)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"Error: {problem}", err=True)
        sys.exit(WRONG_SETTINGS)
    logs.configure(settings)
    return settings


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synckairos")
def main() -> None:
    """Turn timers that everybody sees run the same."""


@main.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar="PORT",
    show_envvar=True,
    help="HTTP port; 0: a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".synckairos"),
    show_default=True,
    help="Folder that keeps the sessions.",
)
@click.option(
    "--ephemeral", is_flag=True, help="Keep nothing: use a temporary folder and remove it at the end."
)
@click.option(
    "--no-database",
    is_flag=True,
    help="Run without PostgreSQL: nothing is archived, nothing can be restored.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    envvar="WORKERS",
    show_envvar=True,
    help="Worker processes.",
)
def dev(port: int, data_dir: Path, workers: int, *, ephemeral: bool, no_database: bool) -> None:
    """Run everything on this machine: Valkey and PostgreSQL with a data folder, and the service.

    Prints one line when everything answers: READY <http-url> <redis-url> <database-url or ->. Other settings
    come from the environment; rate limits are off unless RATE_LIMIT_ENABLED says otherwise.
    """
    from synckairos import embedded, service

    elsewhere = (
        "REDIS_URL",
        "REDIS_SENTINEL_HOSTS",
        "REDIS_SENTINEL_NAME",
        "REDIS_CLUSTER_NODES",
        "RQ_REDIS_URL",
        "DATABASE_URL",
    )
    environ = {name: value for name, value in os.environ.items() if name not in elsewhere}
    environ.setdefault("RATE_LIMIT_ENABLED", "false")
    environ.update(PORT=str(port), WORKERS=str(workers))
    settings = settings_or_exit(environ, None)
    try:
        embedded.dev(settings, environ, None if ephemeral else data_dir, database=not no_database)
    except service.PortBusy as error:
        raise click.ClickException(f"{error}; choose another one with --port") from None
    except embedded.EmbeddedError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@config_option
def serve(file: Path | None) -> None:
    """Run the service for a Redis or Valkey that is there already. Settings: environment, and --config."""
    from synckairos import service

    settings = settings_or_exit(os.environ, file)
    try:
        service.serve(settings, os.environ, file)
    except service.PortBusy as error:
        raise click.ClickException(f"{error}; PORT and HOST say where to listen") from None
    except LibraryChanged as error:
        raise click.ClickException(str(error)) from None


@main.command("http-worker", hidden=True)
@click.argument("descriptor", type=int)
@click.option("--drain", type=int, required=True)
@config_option
def http_worker(descriptor: int, drain: int, file: Path | None) -> None:
    """One worker process of `serve` or `dev`, on a socket that it inherits."""
    from synckairos import service

    service.run_worker(settings_or_exit(os.environ, file), socket.socket(fileno=descriptor), drain)


@main.group()
def functions() -> None:
    """The function library: print it, load it, see which servers have it."""


@functions.command()
@click.option(
    "--virtual-time", is_flag=True, help="Read the time from a key instead of the server's clock (for tests)."
)
def bundle(*, virtual_time: bool) -> None:
    """Print the library as FUNCTION LOAD takes it."""
    click.echo(Library.assemble(virtual_time).payload, nl=False)


url_option = click.option("--url", help="Server to use instead of the one in the settings.")


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
        Standing.MISSING: "loaded",
        Standing.OLDER: "replaced an older one",
        Standing.CHANGED: "replaced other code of the same version",
        Standing.SAME: "was there",
        Standing.NEWER: "left a newer one",
    }
    _report(found, done)


@functions.command()
@click.option(
    "--source", is_flag=True, help="Check the Lua in the source folder instead: its code against its version."
)
@click.option("--record", is_flag=True, help="With --source: write down the code of a new version.")
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
    found = asyncio.run(_each_primary(settings_or_exit(_at(url), file), library.standing))
    _report(found, {standing: standing.value for standing in Standing})
    if not all(standing in (Standing.SAME, Standing.NEWER) for _, standing in found):
        sys.exit(1)


def _at(url: str | None) -> dict[str, str]:
    """The environment, with this server as the only one if it is given."""
    environ = dict(os.environ)
    if url:
        environ.update(REDIS_URL=url, REDIS_SENTINEL_HOSTS="", REDIS_SENTINEL_NAME="", REDIS_CLUSTER_NODES="")
    return environ


async def _each_primary(settings: Settings, ask: Any) -> list[tuple[str, Standing]]:
    """Address and answer of every primary."""
    connection = connections.Connection.to(settings)
    try:
        return [
            (connections.address(client), await ask(client, connection.library))
            for client in await connection.primaries()
        ]
    except (StorageUnavailable, *connections.TROUBLE) as error:
        raise click.ClickException(f"Redis does not answer: {error.__cause__ or error}") from None
    finally:
        await connection.aclose()


def _report(found: list[tuple[str, Standing]], words: Mapping[Standing, str]) -> None:
    version = Library.assemble().version
    for address, standing in found:
        click.echo(f"{address}: synckairos {version}: {words[standing]}")
