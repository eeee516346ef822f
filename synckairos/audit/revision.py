"""Which revision of the tables this release needs, and whether it can work with those of a database.

While a deployment is updated, releases that follow one another work with the same tables. The rule that
makes this possible is in `migrations/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

REVISION = "5"
"""The revision of the tables that this release needs for all that it does: the newest of `migrations`."""
BATCH_REVISION = "1"
"""The oldest revision with whose tables this release stores batches.

A migration that changes what a worker writes raises it. With older tables than REVISION a worker goes on, so
that workers and tables can be updated, and taken back, in any order.
"""
FIRST = "1"
"""The first revision that there ever was."""
VERSION_TABLE = "sync_schema"
"""The table that has the database's revision, and in the column `oldest` that of `Tables.oldest`."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that a database has.

    revision: what `synckairos migrate` has brought them to
    oldest: the REVISION of the oldest release that works with them
    """

    revision: str
    oldest: str


def missing(tables: Tables | None, needed: str = REVISION) -> str | None:
    """Why this release cannot work with these tables, and what to do; None when it can.

    tables: None for a database without any
    needed: the revision whose tables are needed
    """
    if tables is None:
        return "the database has no tables: run `synckairos migrate`"
    if int(tables.revision) < int(needed):
        return (
            f"the database has the tables of revision {tables.revision}, and this release needs those of "
            f"{needed}: run `synckairos migrate`"
        )
    if int(tables.oldest) > int(REVISION):
        return (
            f"the database has the tables of revision {tables.revision}, with which only releases work that "
            f"know revision {tables.oldest}, and this one knows {REVISION}: run a newer release here"
        )
    return None
