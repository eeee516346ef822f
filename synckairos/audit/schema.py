"""The database's schema: its revision, and how to bring it to another one. The steps are in `migrations`."""

from __future__ import annotations

from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from synckairos.audit.store import VERSION_TABLE

LOCK = 0x73796E63_6B616972
"""The advisory lock that keeps two migrations from running at the same time."""
NOTHING = "base"
"""The revision of a database without the tables of the audit."""
CONNECT_S = 10.0


class UnknownRevision(Exception):
    """There is no such revision. The text lists those that exist."""


class MigrationFailed(Exception):
    """PostgreSQL refused the migration, and nothing was changed. The text says why."""


def revisions() -> list[str]:
    """All revisions, the oldest first."""
    return [step.revision for step in reversed(list(_scripts().walk_revisions()))]


async def migrate(database_url: str, to: str | None = None) -> tuple[str, str]:
    """Bring the schema forward or back to a revision. Returns the revisions before and after.

    to: a revision, `base` for no tables, or None for the newest

    All steps are one transaction. Another migration at the same time waits for its end. Raises
    UnknownRevision, MigrationFailed.
    """
    known = [NOTHING, *revisions()]
    target = known[-1] if to is None else to
    if target not in known:
        raise UnknownRevision(f"there is no revision {target}: it may be {', '.join(known)}")

    def steps(connection: Connection) -> tuple[str, str]:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        before = _revision(connection)
        if before not in known:
            raise UnknownRevision(f"the database is at revision {before}, which a newer release has made")
        config = _config()
        config.attributes["connection"] = connection
        (command.downgrade if known.index(target) < known.index(before) else command.upgrade)(config, target)
        return before, _revision(connection)

    async def connect() -> asyncpg.Connection[Any]:
        return await asyncpg.connect(database_url, timeout=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(steps)
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise MigrationFailed(f"PostgreSQL does not do it: {reason or type(reason).__name__}") from error
    finally:
        await engine.dispose()


def _revision(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision() or NOTHING


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "synckairos.audit:migrations")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
