"""The rule by which releases share tables: what a step finds, it leaves, unless it says what it takes away.

Its page is `synckairos/audit/migrations/README.md`.
"""

from __future__ import annotations

import asyncio

import pytest

from synckairos.audit import schema
from synckairos.audit.revision import BATCH_REVISION, FIRST, REVISION
from tests.support.postgres import PostgresServer, query

COLUMNS = """
SELECT table_name::text, column_name::text, concat_ws(' ', data_type, is_nullable, column_default,
    generation_expression), is_nullable = 'NO' AND column_default IS NULL AND is_generated = 'NEVER'
    AND is_identity = 'NO'
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'sync_schema'
"""
"""Of each column the table, the name, what it is, and whether whoever inserts a row has to give it."""
OTHERS = """
SELECT conrelid::regclass::text, 'constraint ' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n' UNION ALL
SELECT tablename, 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL
SELECT tgrelid::regclass::text, 'trigger ' || tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal UNION ALL
SELECT proname, 'function ' || oid::regprocedure::text, prosrc
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""
"""Of each thing else its table (or, of a function, its own name), what it is, and its definition."""
STEPS = list(zip([schema.NOTHING, *schema.revisions()], schema.revisions(), strict=False))

Catalogue = dict[tuple[str, str], tuple[str, bool]]
"""By table and name of a column or another thing: what it is, and whether rows without it are refused."""


def catalogue(database: str) -> Catalogue:
    columns = {(table, name): (what, must) for table, name, what, must in query(database, COLUMNS)}
    others = {(table, name): (what, True) for table, name, what in query(database, OTHERS)}
    return {at: found for at, found in {**columns, **others}.items() if at[0] != "sync_schema"}


def broken(before: Catalogue, after: Catalogue, removed: tuple[str, ...]) -> set[str]:
    """What the release before a step can no longer rely on, by table and name."""
    old_tables = {table for table, _ in before}
    gone = {at for at in before if after.get(at) != before[at]}
    refuses = {at for at in after.keys() - before.keys() if at[0] in old_tables and after[at][1]}
    return {f"{table}.{name}" for table, name in gone | refuses if table not in removed}


pytestmark = pytest.mark.one_kind


@pytest.fixture
def database(shared_postgres: PostgresServer) -> str:
    """The URL of a database without tables."""
    return shared_postgres.empty_database()


@pytest.mark.parametrize(("before", "after"), STEPS)
async def test_a_step_leaves_what_releases_rely_on(database: str, before: str, after: str) -> None:
    await schema.migrate(database, before)
    found = await asyncio.to_thread(catalogue, database)
    await schema.migrate(database, after)
    assert broken(found, await asyncio.to_thread(catalogue, database), schema.removed(after)) == set()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("ALTER TABLE sync_events DROP COLUMN actor", {"sync_events.actor"}),
        ("ALTER TABLE sync_events ALTER COLUMN server_time_ms TYPE numeric", {"sync_events.server_time_ms"}),
        ("ALTER TABLE sync_events ALTER COLUMN status DROP NOT NULL", {"sync_events.status"}),
        ("ALTER TABLE sync_events ADD COLUMN new text NOT NULL", {"sync_events.new"}),
        ("ALTER TABLE sync_events RENAME COLUMN actor TO who", {"sync_events.actor"}),
        ("ALTER TABLE sync_events ADD CONSTRAINT no CHECK (version < 9)", {"sync_events.constraint no"}),
        ("CREATE UNIQUE INDEX one ON sync_events (server_time_ms)", {"sync_events.index one"}),
        ("CREATE INDEX slow ON sync_events (status)", {"sync_events.index slow"}),
        ("DROP INDEX sync_events_beginnings", {"sync_events.index sync_events_beginnings"}),
        ("ALTER TABLE sync_events ADD COLUMN new text, ADD COLUMN other int NOT NULL DEFAULT 0", set()),
        ("CREATE TABLE sync_new (id int PRIMARY KEY)", set()),
    ],
)
async def test_the_comparison_sees_it(database: str, statement: str, what: set[str]) -> None:
    """Otherwise the test above could not fail."""
    await schema.migrate(database)
    before = await asyncio.to_thread(catalogue, database)
    await asyncio.to_thread(query, database, statement)
    assert broken(before, await asyncio.to_thread(catalogue, database), ()) == what


def test_each_step_says_which_releases_work_with_its_tables() -> None:
    revisions = schema.revisions()
    found = [int(schema.oldest(revision)) for revision in revisions]
    assert found == sorted(found)
    assert all(int(FIRST) <= of <= int(revision) for of, revision in zip(found, revisions, strict=True))
    assert int(FIRST) <= int(BATCH_REVISION) <= int(REVISION)


async def test_the_database_says_it_too_and_those_of_older_releases_are_told_apart(database: str) -> None:
    await schema.migrate(database)
    found = await asyncio.to_thread(query, database, "SELECT version_num, oldest FROM sync_schema")
    assert [tuple(row) for row in found] == [(REVISION, schema.oldest(REVISION))]
    # As a release has made them that did not know of `oldest`, and the next migration adds it.
    await asyncio.to_thread(query, database, "ALTER TABLE sync_schema DROP COLUMN oldest")
    assert await schema.migrate(database) == (REVISION, REVISION)
    assert await asyncio.to_thread(query, database, "SELECT oldest FROM sync_schema")
