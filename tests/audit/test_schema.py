"""The schema: forward, back, forward again, and the same however it got there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from synckairos.audit import schema
from synckairos.audit.revision import REVISION, Tables, missing
from tests.support import programs
from tests.support.postgres import PostgresServer, query

SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' UNION ALL
SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 3
"""
NEWER, OLDER = str(int(REVISION) + 1), str(int(REVISION) - 1)
TABLES = {
    *("sync_events", "sync_sessions", "sync_participants", "sync_tags", "sync_refused"),
    *("sync_access_log", "sync_access_chains", "sync_keys", "sync_links", "sync_revocations"),
    *(f"sync_webhook{name}" for name in ("s", "_changes", "_sessions", "_deliveries", "_state")),
}


@pytest.fixture
def empty(shared_postgres: PostgresServer) -> str:
    """The URL of a database without tables."""
    return shared_postgres.empty_database()


def shape(database: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in query(database, SHAPE)]


def tables(database: str) -> set[str]:
    return {row[0] for row in query(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_this_release_needs_the_newest() -> None:
    assert schema.revisions()[-1] == REVISION


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (None, "no tables: run `synckairos migrate`"),
        (Tables(OLDER, "1"), "run `synckairos migrate`"),
        (Tables(REVISION, "1"), None),
        (Tables(NEWER, "1"), None),
        (Tables(NEWER, REVISION), None),
        (Tables(NEWER, NEWER), "run a newer release here"),
    ],
)
def test_tables_may_be_newer_as_long_as_they_do_for_this_release(
    tables: Tables | None, said: str | None
) -> None:
    found = missing(tables)
    assert found is None if said is None else said in (found or "")


async def test_each_step_forward_and_back(empty: str) -> None:
    shapes = [await asyncio.to_thread(shape, empty)]
    for revision in schema.revisions():
        assert (await schema.migrate(empty, revision))[1] == revision
        shapes.append(await asyncio.to_thread(shape, empty))
    assert await asyncio.to_thread(tables, empty) == {*TABLES, "sync_schema"}
    assert await schema.migrate(empty) == (REVISION, REVISION)
    for revision, before in zip([schema.NOTHING, *schema.revisions()][-2::-1], shapes[-2::-1], strict=True):
        assert (await schema.migrate(empty, revision))[1] == revision
        now = await asyncio.to_thread(shape, empty)
        assert [row for row in now if row[0] != "sync_schema"] == [
            row for row in before if row[0] != "sync_schema"
        ]
    assert await schema.migrate(empty) == (schema.NOTHING, REVISION)
    assert await asyncio.to_thread(shape, empty) == shapes[-1]


async def test_several_at_once_are_one(empty: str) -> None:
    done = await asyncio.gather(*(schema.migrate(empty) for _ in range(4)))
    assert sorted(done) == [(REVISION, REVISION)] * 3 + [(schema.NOTHING, REVISION)]


async def test_it_gives_way_to_those_who_work_with_the_tables(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that waited for a table would keep all waiting that ask for the table after it."""
    monkeypatch.setattr(schema, "LOCK_S", 0.1)
    await schema.migrate(empty, "1")
    reader, other = await asyncpg.connect(empty), await asyncpg.connect(empty)
    try:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT * FROM sync_access_log")
        with monkeypatch.context() as once:
            once.setattr(schema, "TRIES", 1)
            with pytest.raises(schema.MigrationFailed, match="lock timeout"):
                await schema.migrate(empty)
        monkeypatch.setattr(schema, "PAUSE_S", 0.01)
        monkeypatch.setattr(schema, "TRIES", 100_000)
        migrating = asyncio.create_task(schema.migrate(empty))
        # Somebody who asks while the migration waits for the table has an answer before the first one ends.
        for _ in range(3):
            await other.fetch("SELECT * FROM sync_access_log")
            await asyncio.sleep(0.1)
        assert not migrating.done()
        await reading.rollback()
        assert await migrating == ("1", REVISION)
    finally:
        await other.close()
        await reader.close()


async def test_a_step_that_fails_leaves_nothing(empty: str) -> None:
    await asyncio.to_thread(query, empty, "CREATE TABLE sync_refused ()")
    with pytest.raises(schema.MigrationFailed, match="already exists"):
        await schema.migrate(empty)
    assert await asyncio.to_thread(tables, empty) == {"sync_refused"}


@pytest.mark.one_kind
def test_the_command(empty: str, tmp_path: Path) -> None:
    def migrate(*arguments: str) -> tuple[int, str, str]:
        run = programs.run("migrate", *arguments, DATABASE_URL=empty)
        assert "Traceback" not in run.stderr
        return run.returncode, run.stdout, run.stderr

    assert migrate()[:2] == (0, f"from revision base to {REVISION}\n")
    assert migrate()[:2] == (0, f"at revision {REVISION}\n")
    assert "may be base, 1" in migrate("--to", "9")[2]
    code, _, said = migrate("--to", "base")  # nobody is there to confirm it
    assert (code, "Aborted" in said, tables(empty) >= TABLES) == (1, True, True)
    assert migrate("--to", "base", "--yes")[:2] == (0, f"from revision {REVISION} to base\n")
    assert not tables(empty) & TABLES
    query(empty, "INSERT INTO sync_schema VALUES ('99')")
    assert "which a newer release has made" in migrate()[2]


def test_the_command_with_postgresql_away() -> None:
    run = programs.run("migrate", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.returncode == 1
    assert "PostgreSQL does not do it" in run.stderr
    assert "Traceback" not in run.stderr
