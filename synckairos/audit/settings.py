"""The settings of the audit's commands, which need an audit store."""

from __future__ import annotations

import os
from pathlib import Path

import click

from synckairos.config import Settings
from synckairos.settings_option import settings_or_exit


def audit_settings_or_exit(file: Path | None) -> Settings:
    """The settings. Ends the program when they are wrong, or `database_url` is not set."""
    settings = settings_or_exit(os.environ, file)
    if settings.database_url is None:
        raise click.ClickException("DATABASE_URL is not set: it says where the audit store is")
    return settings
