"""The chains of the access log: many write, nobody tampers unseen, what is old or to be forgotten goes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from synckairos.audit import verify
from synckairos.audit.access_log import chain, entries, erasure, retention
from synckairos.audit.access_log.chain import Checked
from synckairos.audit.access_log.entries import Entry
from synckairos.audit.rows import Batch
from synckairos.audit.rows import Entry as OutboxEntry
from synckairos.audit.store import Store
from tests.support import programs
from tests.support.audit_rows import event, snapshot

DAY_S = 86_400
NAMES = ("alice", 'it\'s \\ "quoted"\t\u2028 ü \x7f\x01')


def entry(
    tenant: str | None = "T", sub: str | None = "alice", *, at: float | None = None, **fields: Any
) -> Entry:
    return Entry(
        **{
            "tenant": tenant,
            "sub": sub,
            "roles": ("viewer", "player"),
            "token_id": f"token of {sub}",
            "action": "switch",
            "session_id": "00000000-0000-4000-8000-000000000001",
            "outcome": "refused",
            "code": "FORBIDDEN",
            "request_id": "r1",
            "address": "192.0.2.1",
            "count": 3,
            "at": time.time() if at is None else at,
            **fields,
        }
    )


async def look(
    store: Store, kept: Mapping[str | None, tuple[int, bytes]] | None = None
) -> dict[str | None, Checked]:
    return {checked.tenant: checked async for checked in chain.verify(store, kept or {})}


async def problems(
    store: Store, kept: Mapping[str | None, tuple[int, bytes]] | None = None
) -> list[tuple[int, str]]:
    return [
        (found.place, found.what)
        for checked in (await look(store, kept)).values()
        for found in checked.findings
    ]


async def do(store: Store, *statements: str) -> None:
    async with store.connection() as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_many_writers_at_once_make_one_chain_for_each_tenant(store: Store, database: str) -> None:
    async def write(writer: int) -> None:
        async with Store(database, max_size=1, timeout_s=60) as own:
            for batch in range(5):
                tenants = ["A", "B", None, *NAMES]
                made = [entry(tenant, f"{writer} {batch}") for tenant in tenants for _ in range(4)]
                await entries.insert(own, made if writer % 2 else made[::-1])

    await asyncio.gather(*(write(writer) for writer in range(6)))
    found = await look(store)
    assert {tenant: (checked.rows, checked.findings) for tenant, checked in found.items()} == {
        tenant: (120, []) for tenant in ("A", "B", None, *NAMES)
    }
    assert (
        await problems(store, {tenant: checked.newest for tenant, checked in found.items() if checked.newest})
        == []
    )


_REHASH = """
UPDATE sync_access_log SET sub = 'mallory', hash = sha256(previous || person) WHERE place = 3
"""
_EMPTY = "sub = NULL, token_id = NULL, request_id = NULL, address = NULL, salt = NULL"
_AS_COPY = """
INSERT INTO sync_access_log (place, at, tenant_id, action, outcome, person, salt, previous, hash)
SELECT {place}, at, tenant_id, action, outcome, person, salt, {previous}, hash
FROM sync_access_log WHERE place = 3
"""
_EXPIRE = """
INSERT INTO sync_access_log (tenant_id, action, outcome, count) VALUES ('T', 'expire', 'allowed', 3)
"""
CHANGED, OTHER = "was changed", "does not follow the row before it: one of the two was changed or put in"
TAMPERED: tuple[tuple[str, list[str], list[tuple[int, str]]], ...] = (
    *(
        (
            f"its {column} is another",
            [f"UPDATE sync_access_log SET {column} = {value} WHERE place = 3"],
            [(3, CHANGED)],
        )
        for column, value in {
            "sub": "'mallory'",
            "roles": "'{admin}'",
            "action": "'delete'",
            "outcome": "'allowed'",
            "code": "NULL",
            "session_id": "NULL",
            "address": "'192.0.2.2'",
            "at": "at + interval '1 ms'",
            "count": "1",
            "salt": "'x'",
            "person": "'x'",
        }.items()
    ),
    ("its hash is made to agree", [_REHASH], [(3, CHANGED), (4, OTHER)]),
    ("the first is gone", ["DELETE FROM sync_access_log WHERE place = 1"], [(1, "was removed")]),
    (
        "some are gone",
        ["DELETE FROM sync_access_log WHERE place IN (3, 4)"],
        [(3, "was removed and the rows up to 4")],
    ),
    (
        "the newest are gone",
        ["DELETE FROM sync_access_log WHERE place > 4"],
        [(5, "and all rows up to 6 were removed")],
    ),
    ("all are gone", ["DELETE FROM sync_access_log"], [(1, "and all rows up to 6 were removed")]),
    (
        "one is put in at the end",
        [_AS_COPY.format(place=7, previous="(SELECT hash FROM sync_access_log WHERE place = 6)")],
        [(7, CHANGED), (7, "is not the row with which the chain ended")],
    ),
    (
        "one is put in between",
        [
            "UPDATE sync_access_log SET place = place + 10 WHERE place > 3",
            "UPDATE sync_access_log SET place = place - 9 WHERE place > 3",
            _AS_COPY.format(place=4, previous="(SELECT hash FROM sync_access_log WHERE place = 3)"),
        ],
        [(4, CHANGED), (5, CHANGED), (6, CHANGED), (7, CHANGED)],
    ),
    (
        "one forgot a person, and nothing says that it had to",
        [f"UPDATE sync_access_log SET {_EMPTY}, erased_by = 4 WHERE place = 3"],
        [(4, "says that 0 rows forgot a person, and 1 have")],
    ),
    (
        "one is another tenant's",
        ["UPDATE sync_access_log SET tenant_id = 'U' WHERE place = 6"],
        [(6, "and all rows up to 6 were removed"), (1, "was removed and the rows up to 5"), (6, CHANGED)],
    ),
    (
        "it says that its beginning is old",
        [
            "DELETE FROM sync_access_log WHERE place < 3",
            _EXPIRE,
        ],
        [(3, "is here, although the chain says that it begins after 3")],
    ),
)


async def test_what_was_changed_removed_or_put_in_is_found(store: Store) -> None:
    for name, statements, expected in TAMPERED:
        await do(store, "TRUNCATE sync_access_log, sync_access_chains")
        await entries.insert(store, [entry() for _ in range(6)])
        assert await problems(store) == []
        await do(store, *statements)
        found = await problems(store)
        assert [each for each in found if each in expected] == expected, (name, found)


async def test_a_hash_that_was_kept_finds_what_the_owner_of_the_tables_can_hide(store: Store) -> None:
    await entries.insert(store, [entry() for _ in range(6)])
    kept = (await look(store))["T"].newest
    assert kept is not None
    await do(
        store,
        "DELETE FROM sync_access_log WHERE place > 4",
        "UPDATE sync_access_chains SET (place, hash) ="
        " (SELECT place, hash FROM sync_access_log WHERE place = 4)",
    )
    assert await problems(store) == []
    assert await problems(store, {"T": kept}) == [(6, "was removed, and its hash was kept")]
    await entries.insert(store, [entry() for _ in range(6)])
    assert await problems(store, {"T": kept}) == [(6, "has another hash than the one that was kept")]
    assert await problems(store, {"gone": kept}) != []


async def test_what_is_too_old_goes_and_the_chain_says_so(store: Store) -> None:
    now = time.time()
    ages = {"A": (5, 4, 3, 0), "B": (3, 3), "C": (9, 4, 0), "D": (0, 3), None: (0,)}
    for tenant, days in ages.items():
        for age in days:
            await entries.insert(store, [entry(tenant, at=now - age * DAY_S)])
    assert await retention.expire(store, 7) == 1
    assert await retention.expire(store, 2) == 3 + 2 + 1  # the old one of D waits for the one before it
    assert await retention.expire(store, 2) == 0
    found = await look(store)
    assert {tenant: (checked.rows, checked.findings) for tenant, checked in found.items()} == {
        "A": (2, []),
        "B": (1, []),
        "C": (3, []),
        "D": (2, []),
        None: (1, []),
    }
    await do(store, "DELETE FROM sync_access_log WHERE tenant_id = 'A' AND place = 4")
    assert await problems(store) == [(4, "was removed")]
    with pytest.raises(asyncpg.RaiseError, match="younger than a day"):
        await retention.expire(store, 0)


_MADE = """
INSERT INTO sync_revocations (tenant_id, jti, made_at, made_by) VALUES ('{tenant}', 'j', now(), 'alice')
"""


async def test_a_person_is_forgotten_and_the_chain_still_verifies(store: Store) -> None:
    session_id, other_id = str(uuid.uuid4()), str(uuid.uuid4())
    scope, requests = sha1(b"alice").hexdigest()[:16], "01\n{}\x01r1 sk_switch 2\n"
    await entries.insert(
        store,
        [entry("T", "alice"), entry("T", "bob"), entry("U", "alice"), entry("U", "bob"), entry("T", "alice")],
    )
    for each, tenant in ((session_id, "T"), (other_id, "U")):
        fields: dict[str, Any] = {
            "internal": {"fields": {"requests": requests.format(scope)}},
            "tenant_id": tenant,
        }
        await store.insert_batch(
            Batch(
                [
                    OutboxEntry(f"{each}-1", each, event(each, 1, "session.created", actor="bob")),
                    OutboxEntry(f"{each}-2", each, event(each, 2, actor="alice", odd={"é": [1.0, "alice?"]})),
                    OutboxEntry("odd", each, event(other_id[::-1], 3, actor="alice")),
                ],
                [snapshot(each, 2, **fields)],
            )
        )
    await do(store, *(_MADE.format(tenant=tenant) for tenant in "TU"))
    assert await erasure.erase(store, "alice", "T") == erasure.Erased(2, 1, 1, 0, 1)
    assert await erasure.erase(store, "alice") == erasure.Erased(1, 1, 1, 1, 1)
    assert await erasure.erase(store, "alice") == erasure.Erased()
    assert await problems(store) == []
    async with store.connection() as connection:
        for table in (
            *("sync_access_log", "sync_events", "sync_sessions", "sync_participants", "sync_tags"),
            *("sync_refused", "sync_keys", "sync_links", "sync_revocations"),
        ):
            texts = [row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} AS t")]
            texts += [row[0].decode() for row in await connection.fetch("SELECT body FROM sync_refused")]
            assert not [text for text in texts if "alice" in text.replace("alice?", "") or scope in text], (
                table
            )
    stored = (await store.events(session_id))[1].body
    assert stored == event(session_id, 2, actor=None, odd={"é": [1.0, "alice?"]})
    rows = [
        (row.sub, row.token_id, row.address, row.action, row.count) for row in await entries.read(store, "T")
    ]
    assert [row for row in rows if row[0] is None] == [(None, None, None, "switch", 3)] * 2
    assert [row[3:] for row in rows if row[0] is not None and row[0].startswith("cli:")] == [("erase", 2)]
    assert ("bob", "token of bob", "192.0.2.1", "switch", 3) in rows
    # Whoever says that a row forgot somebody has to have a row that says so.
    await do(store, f"UPDATE sync_access_log SET {_EMPTY}, erased_by = 4 WHERE sub = 'bob' AND chain = 'T'")
    assert await problems(store) != []


async def test_an_event_that_redis_still_has_with_its_actor_is_no_difference(store: Store) -> None:
    session_id = str(uuid.uuid4())
    named = event(session_id, 1, "session.created", actor="alice")
    await store.insert_batch(Batch([OutboxEntry("1", session_id, named)], []))
    epoch = next(iter(await store.events(session_id))).epoch
    logs = {session_id: {(int(epoch), 1): named}}
    await erasure.erase(store, "alice")
    assert await verify._differences(store, logs) == []
    logs[session_id][int(epoch), 1] = named.replace(b"running", b"paused")
    assert [found.what for found in await verify._differences(store, logs)] == [
        "Redis and PostgreSQL say different things"
    ]


@pytest.mark.one_kind
async def test_the_commands(store: Store, database: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        done = programs.run(*arguments, DATABASE_URL=database)
        return done.returncode, done.stdout, done.stderr

    await entries.insert(
        store, [entry(None, None, code="UNAUTHENTICATED", token_id=None, roles=()), entry('T "1"')]
    )
    await entries.record_command(store, "create key", tenant='T "1"', token_id="key:1")
    code, said, _ = await asyncio.to_thread(run, "audit", "refusals")
    session = "00000000-0000-4000-8000-000000000001"
    assert code == 0
    assert said[19:] == f" 192.0.2.1 UNAUTHENTICATED 3 times: switch session {session}, request r1\n"
    code, said, _ = await asyncio.to_thread(run, "audit", "verify", "--database-only")
    lines = said.splitlines()
    assert (code, [line.partition(", hash")[0] for line in lines[:-1]]) == (
        0,
        ["access log of nobody: newest row 1", 'access log of "T \\"1\\"": newest row 2'],
    )
    (tmp_path / "kept").write_text(said)
    code, said, _ = await asyncio.to_thread(run, "erase", "--subject", "alice", "--tenant", 'T "1"')
    assert (code, said.partition(", ")[0]) == (0, "forgotten in 1 rows of the access log")
    await do(store, "DELETE FROM sync_access_log WHERE tenant_id IS NULL")
    code, said, _ = await asyncio.to_thread(
        run, "audit", "verify", "--database-only", "--kept", str(tmp_path / "kept")
    )
    assert (code, said.splitlines()[:2]) == (
        1,
        [
            "access log of nobody: row 1 and all rows up to 1 were removed",
            "access log of nobody: row 1 was removed, and its hash was kept",
        ],
    )
