"""The database's schema: its revision, and how to bring it to another one. The steps are in `migrations`."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from synckairos.audit.revision import VERSION_TABLE

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LOCK = 0x73796E63_6B616972
"""The advisory lock that keeps two migrations from running at the same time."""
NOTHING = "base"
"""The revision of a database without the tables of the audit."""
CONNECT_S = 10.0
LOCK_S = 1.0
"""How long a step waits for a table that is in use. Whoever comes after it for the table waits as well."""
TRIES = 10
"""How often a migration begins again after that."""
PAUSE_S = 1.0
"""How long it leaves the tables to the others in between."""
_IN_USE = "55P03"
"""PostgreSQL's code for a lock that was not had in time."""


class UnknownRevision(Exception):
    """There is no such revision. The text lists those that exist."""


class MigrationFailed(Exception):
    """PostgreSQL refused the migration, and nothing was changed. The text says why."""


def revisions() -> list[str]:
    """All revisions, the oldest first."""
    return [step.revision for step in reversed(list(_scripts().walk_revisions()))]


def oldest(revision: str) -> str:
    """The revision of the oldest release that works with the tables of a revision, as its step says."""
    said: str = _step(revision).oldest
    return said


def removed(revision: str) -> tuple[str, ...]:
    """The names of what the step to a revision takes away or makes anew, as it says."""
    said: tuple[str, ...] = getattr(_step(revision), "removed", ())
    return said


def _step(revision: str) -> ModuleType:
    step = _scripts().get_revision(revision)
    assert step is not None
    return step.module


async def migrate(database_url: str, to: str | None = None) -> tuple[str, str]:
    """Bring the schema forward or back to a revision. Returns the revisions before and after.

    to: a revision, `base` for no tables, or None for the newest

    All steps are one transaction. Another migration at the same time waits for its end. Those who work with
    the tables wait for at most LOCK_S: then the migration gives way, and begins again. Raises
    UnknownRevision, MigrationFailed.
    """
    known = [NOTHING, *revisions()]
    target = known[-1] if to is None else to
    if target not in known:
        raise UnknownRevision(f"there is no revision {target}: it may be {', '.join(known)}")

    def steps(connection: Connection) -> tuple[str, str]:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S:g}s'"))
        before = _revision(connection)
        if before not in known:
            raise UnknownRevision(
                f"the database is at revision {before}, which a newer release has made: only its "
                "`synckairos migrate --to` leads back"
            )
        config = _config()
        config.attributes["connection"] = connection
        (command.downgrade if known.index(target) < known.index(before) else command.upgrade)(config, target)
        after = _revision(connection)
        if after != NOTHING:
            _note_oldest(connection, after)
        return before, after

    async def connect() -> asyncpg.Connection[Any]:
        return await asyncpg.connect(database_url, timeout=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        for left in reversed(range(TRIES)):
            try:
                async with engine.begin() as connection:
                    return await connection.run_sync(steps)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _IN_USE or not left:
                    raise
                log.info("the tables are in use; the migration begins again", in_s=PAUSE_S, tries_left=left)
                await asyncio.sleep(PAUSE_S)
        raise AssertionError
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise MigrationFailed(f"PostgreSQL does not do it: {reason or type(reason).__name__}") from error
    finally:
        await engine.dispose()


def _note_oldest(connection: Connection, revision: str) -> None:
    """Write down which releases work with the tables, for those releases that know of it."""
    known = {column["name"] for column in inspect(connection).get_columns(VERSION_TABLE)}
    if "oldest" not in known:
        connection.execute(text("ALTER TABLE sync_schema ADD COLUMN oldest text"))
    connection.execute(text("UPDATE sync_schema SET oldest = :oldest"), {"oldest": oldest(revision)})


def _revision(connection: Connection) -> str:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision() or NOTHING


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "synckairos.audit:migrations")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
