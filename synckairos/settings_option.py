"""The option `--config` of the commands that read settings, and the settings that it leads to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

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
        settings = config.load(environ, file, serving=serving)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(
                f"Error: {output.printable(problem)}", err=True
            )  # it has no secrets, only examples of them
        sys.exit(WRONG_SETTINGS)
    output.keep_secret(config.secrets(settings))
    logs.configure(settings.log_level, production=settings.environment == "production")
    return settings
