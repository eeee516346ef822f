"""`audit verify` finds what is missing and what differs, and nothing where nothing is."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from synckairos.audit import verify
from synckairos.audit.jobs import decode_job, encode_job
from synckairos.audit.rows import Batch, Entry
from synckairos.audit.store import Store
from synckairos.audit.verify import Finding
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from tests.support import programs
from tests.support.audit_rows import EPOCH, event, snapshot
from tests.support.live import game
from tests.support.servers import Server


async def findings(store: Store, connection: Connection | None = None) -> list[Finding]:
    return [finding async for checked in verify.verify(store, connection) for finding in checked.findings]


async def stored(store: Store, *versions: int, session_id: str, epoch: int = EPOCH, begin: str = "") -> None:
    entries = [
        Entry(
            f"00/{epoch}-{version}",
            session_id,
            event(session_id, version, begin if begin and version == versions[0] else "x", epoch=epoch),
        )
        for version in versions
    ]
    await store.insert_batch(Batch(entries, [snapshot(session_id, versions[-1], epoch=epoch)]))


async def test_versions_without_gaps_are_sound(store: Store) -> None:
    for _ in range(3):
        await stored(store, 1, 2, 3, session_id=str(uuid.uuid4()))
    restored, again = str(uuid.uuid4()), str(uuid.uuid4())
    await stored(store, 1, 2, 3, session_id=restored)
    await stored(store, 3, 4, session_id=restored, epoch=EPOCH + 1, begin="session.recovered")
    await stored(store, 1, 2, session_id=again)
    await stored(store, 1, session_id=again, epoch=EPOCH + 1, begin="session.created")
    assert await findings(store) == []
    checked = [each async for each in verify.verify(store, None)]
    assert (checked[-1].sessions, checked[-1].events) == (5, 17)


@pytest.mark.parametrize(
    ("versions", "first", "count", "what"),
    [
        ((1, 2, 4, 5, 8), 3, 3, "versions are missing"),
        ((2, 3), 1, 1, "the versions before it are missing"),
    ],
)
async def test_what_is_missing_is_named(
    store: Store, versions: tuple[int, ...], first: int, count: int, what: str
) -> None:
    session_id = str(uuid.uuid4())
    await stored(store, *versions, session_id=session_id)
    await stored(store, 1, 2, session_id=str(uuid.uuid4()))
    assert await findings(store) == [Finding(session_id, str(EPOCH), first, count, what)]


async def test_a_restored_session_without_what_was_before(store: Store) -> None:
    session_id = str(uuid.uuid4())
    await stored(store, 1, 2, session_id=session_id)
    await stored(store, 4, 5, session_id=session_id, epoch=EPOCH + 1, begin="session.recovered")
    (found,) = await findings(store)
    assert (found.epoch, found.version) == (str(EPOCH + 1), 3)


async def test_what_redis_has_is_compared(store: Store, connection: Connection) -> None:
    sessions = Sessions(connection, 3600)
    ids = [await game(sessions) for _ in range(4)]
    for session_id in ids:
        log = await sessions.log(session_id, 0)
        assert log is not None
        entries = [Entry(f"00/{number}-0", session_id, body) for number, body in enumerate(log)]
        state = await connection.fcall("sk_get", [SessionKeys.of(session_id).session], ["EXPORT"])
        # The same way as through the queue.
        await store.insert_batch(decode_job(encode_job(Batch(entries, [state]))))
    assert await findings(store, connection) == []
    for session_id in ids[1:3]:
        await sessions.switch(session_id)
    (client,) = await connection.primaries()
    await client.delete(SessionKeys.of(ids[0]).log)
    async with store.connection() as database:
        await database.execute(
            "UPDATE sync_events SET body = '{}' WHERE session_id = $1 AND version = 1", ids[3]
        )
    found = {finding.session_id: finding for finding in await findings(store, connection)}
    assert set(found) == set(ids[1:])
    assert (found[ids[1]].version, found[ids[1]].what) == (3, "Redis has it, PostgreSQL does not")
    assert (found[ids[3]].version, found[ids[3]].what) == (1, "Redis and PostgreSQL say different things")
    await sessions.switch(ids[0])
    asked = await verify.check_again(store, connection, ids[2:])
    assert [finding.session_id for finding in asked] == sorted(ids[2:])


@pytest.mark.one_kind
async def test_the_command(store: Store, database: str, connection: Connection, server: Server) -> None:
    sound, broken = str(uuid.uuid4()), str(uuid.uuid4())
    await stored(store, 1, 2, session_id=sound)

    async def command(*arguments: str) -> tuple[int, str]:
        run = await asyncio.to_thread(
            programs.run, "audit", "verify", *arguments, REDIS_URL=server.url, DATABASE_URL=database
        )
        assert run.stderr == ""
        return run.returncode, run.stdout

    assert await command() == (0, "1 sessions, 2 events, 0 of them compared with Redis: no findings\n")
    await stored(store, 1, 4, session_id=broken)
    assert await command("--database-only") == (
        1,
        (
            f"{broken}: epoch {EPOCH}, version 2 and 1 more: versions are missing\n"
            "2 sessions, 4 events: 1 findings\n"
        ),
    )
