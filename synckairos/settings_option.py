"""The option `--config` of the commands that read settings, and the settings that it leads to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from synckairos import config, logs, output
from synckairos.config import Settings, SettingsError

WRONG_SETTINGS = 2
"""The exit code for settings that cannot be used. click uses the same one for wrong options."""

config_option = click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with settings, under their names in lower case. The environment wins over it.",
)


def settings_or_exit(environ: Mapping[str, str], file: Path | None, *, serving: bool = False) -> Settings:
    """The settings. Also sets up logging as they say. Wrong settings are printed, and end the program.

    serving: whether the program lets callers in: see `config.load`
    """
    try:
        return settings_anew(environ, file, serving=serving)
    except SettingsError as error:
        exit_with(error)


def settings_anew(environ: Mapping[str, str], file: Path | None, *, serving: bool = False) -> Settings:
    """The settings, as they are now. Also sets up logging as they say. Raises SettingsError."""
    settings = config.load(environ, file, serving=serving)
    output.keep_secret(config.secrets(settings))
    logs.configure(settings.log_level, production=settings.environment == "production")
    return settings


def exit_with(error: SettingsError) -> NoReturn:
    """Print what is wrong with the settings, and end the program."""
    for problem in error.problems:
        # It is not redacted: it has no secrets, but examples of them.
        click.echo(f"Error: {output.printable(problem)}", err=True)
    sys.exit(WRONG_SETTINGS)
