"""What the commands of the audit share: settings that name an audit store."""

from __future__ import annotations

import os
from pathlib import Path

import click

from synckairos.config import Settings
from synckairos.settings_option import settings_or_exit


def audit_settings_or_exit(file: Path | None) -> Settings:
    """The settings, `database_url` among them. Ends the program where they are wrong or it is not set."""
    settings = settings_or_exit(os.environ, file)
    if settings.database_url is None:
        raise click.ClickException("DATABASE_URL says where the audit store is, and is not set")
    return settings
