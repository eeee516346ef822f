"""What all commands share: `--config`, and an end with a clear text where the settings are wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from synckairos import config, logs
from synckairos.config import Settings, SettingsError

WRONG_SETTINGS = 2
"""The exit code for settings or options that cannot be used, as click has it for options."""

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
