"""`synckairos dev`, `synckairos serve` and `synckairos control`."""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path

import click

from synckairos.auth.tenants import Tenants
from synckairos.config import Settings, SettingsError
from synckairos.core.library import LibraryChanged
from synckairos.errors import ValidationError
from synckairos.features.flags import Features
from synckairos.output import echo
from synckairos.run import data_folder
from synckairos.settings_option import config_option, exit_with, settings_or_exit


def check_files(settings: Settings) -> None:
    """Reads the files that workers watch, before any worker does. What is wrong is said, and ends it all."""
    try:
        Tenants(settings.tenants_file)
        Features(settings.features_file)
    except SettingsError as error:
        exit_with(error)


@click.command()
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
    default=data_folder.DEFAULT,
    show_default=True,
    help="Folder that keeps the sessions.",
)
@click.option(
    "--ephemeral", is_flag=True, help="Keep nothing: use a temporary folder and remove it at the end."
)
@click.option(
    "--no-database",
    is_flag=True,
    help="Run without PostgreSQL: nothing is archived, nothing can be restored, admins change nothing.",
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
@click.option(
    "--auth",
    is_flag=True,
    help="Ask for tokens (AUTH_MODE=jwt), with a secret in the data folder; prints an admin's link.",
)
def dev(port: int, data_dir: Path, workers: int, *, ephemeral: bool, no_database: bool, auth: bool) -> None:
    """Run everything on this machine: Valkey and PostgreSQL with a data folder, and the service.

    Prints one line when everything answers: READY <http-url> <redis-url> <database-url or ->. Both URLs have
    the passwords in them that the servers ask for. Other settings come from the environment; rate limits are
    off unless RATE_LIMIT_ENABLED says otherwise. It ends at Ctrl-C and, on Linux, also when the process that
    started it ends, such as the shell of a terminal.
    """
    from synckairos.run.dev import EmbeddedError
    from synckairos.run.dev import dev as run
    from synckairos.run.serve import PortBusy

    environ = {name: value for name, value in os.environ.items() if name not in data_folder.SERVERS}
    environ.setdefault("RATE_LIMIT_ENABLED", "false")
    environ.update(PORT=str(port), WORKERS=str(workers))
    secret = auth and not environ.get("JWT_SECRET") and not environ.get("JWT_JWKS_URL")
    if auth:
        environ["AUTH_MODE"] = "jwt"
    # The secret is made in the data folder, which is not there yet; until then there is one for a moment.
    given = {"JWT_SECRET": secrets.token_hex(32)} if secret else {}
    settings = settings_or_exit({**environ, **given}, None, serving=True)
    check_files(settings)
    try:
        run(
            settings,
            environ,
            None if ephemeral else data_dir,
            database=not no_database,
            make_secret=secret,
        )
    except PortBusy as error:
        raise click.ClickException(f"{error}; choose another one with --port") from None
    except (data_folder.DataFolderError, EmbeddedError) as error:
        raise click.ClickException(str(error)) from None


@click.command()
@config_option
def serve(file: Path | None) -> None:
    """Run the service for a Redis or Valkey that is there already. Settings: environment, and --config."""
    from synckairos.run.serve import PortBusy
    from synckairos.run.serve import serve as run

    settings = settings_or_exit(os.environ, file, serving=True)
    check_files(settings)
    try:
        run(settings, os.environ, file)
    except PortBusy as error:
        raise click.ClickException(f"{error}; PORT and HOST say where to listen") from None
    except LibraryChanged as error:
        raise click.ClickException(str(error)) from None


@click.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
def control(texts: tuple[str, ...]) -> None:
    """Show what a time control means that is written as text, such as "40/90:30+30".

    Each TEXT is read by the function library, in a Valkey that runs for that moment. One that cannot be read
    is shown with the place and what was expected there, and the exit code is 1.
    """
    from synckairos.run.control import CannotRead, reader

    are_good = True
    try:
        with reader() as library:
            for text in texts:
                try:
                    found = library.read(text)
                except ValidationError as error:
                    are_good = False
                    drawn = error.carets({"time_control": text}) or [f"{text}: {error.message}"]
                    for line in drawn[0].splitlines():
                        echo(line)
                    continue
                bank = "no limit" if found.bank_ms is None else f"{found.bank_ms} ms"
                echo(text)
                echo(f"  normal form  {found.normal}")
                echo(f"  bank         {bank}")
                echo(f"  object       {json.dumps(found.control, separators=(',', ':'))}")
    except CannotRead as error:
        raise click.ClickException(str(error)) from None
    if not are_good:
        raise SystemExit(1)


@click.command("http-worker", hidden=True)
@click.argument("descriptor", type=int)
@click.option("--drain", type=int, required=True)
@click.option("--worker", type=int, required=True)
@click.option("--ready", type=int, help="Answer only once the service is ready, and say so in this pipe.")
@config_option
def http_worker(descriptor: int, drain: int, worker: int, ready: int | None, file: Path | None) -> None:
    """One worker process of `serve` or `dev`, on a socket that it inherits."""
    from synckairos import metrics
    from synckairos.run.http_worker import run_worker

    metrics.process_started(worker)
    settings = settings_or_exit(os.environ, file, serving=True)
    run_worker(settings, socket.socket(fileno=descriptor), drain, ready)
