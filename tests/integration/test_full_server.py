"""A server that has reached its `maxmemory`: nothing new is taken, and everybody who plays goes on."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator

import pytest
import redis

from synckairos.config import load
from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from synckairos.core.model import Limit, Options
from synckairos.errors import StorageFull
from tests.core.game import P, people, players
from tests.support import servers
from tests.support.servers import Server

LEAST_LOG = 24
ASKED_S = 0.2
"""The library asks for the memory ten times a second."""
ROOM = 16
"""How many events a log may have beyond those that it has to keep: memory comes back in pieces."""


@pytest.fixture(params=servers.available())
def full(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own, for the memory of others does not matter to it."""
    with servers.start(request.param, maxmemory_policy="noeviction") as server:
        yield server


def fill(client: redis.Redis) -> int:
    """Fills the server up to a `maxmemory`, and then lowers that by what may come back. Returns the bytes."""
    used: int = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used + 200_000)
    try:
        for number in range(10_000):
            client.set(f"ballast:{number}", "x" * 1000, ex=600)
    except redis.OutOfMemoryError:
        filled: int = client.info("memory")["used_memory"]
        client.config_set("maxmemory", filled - 1_000_000)
        time.sleep(ASKED_S)
        return filled
    raise AssertionError("it took everything")


def correct(client: redis.Redis, session_id: str) -> None:
    """Turns are taken back and set, and a session goes on that was over; begun anew it would grow."""
    keys = SessionKeys.of(session_id).all
    calls = [("takeback", "TURNS", "2"), ("pause",), ("turn", P[0]), ("complete",), ("reopen",)]
    for function, *args in calls:
        assert client.fcall(f"sk_{function}", 4, *keys, *args) is not None
    with pytest.raises(redis.OutOfMemoryError):
        client.fcall("sk_reset", 4, *keys)


async def test_creations_are_refused_and_turns_are_taken(full: Server) -> None:
    settings = load({"REDIS_URL": full.url})
    config = json.dumps(players(60_000_00, 60_000_00, players_may_pause=True)).encode()
    async with await connect(settings) as connection:
        sessions = Sessions(connection, ttl_s=60)
        ids = [str(uuid.uuid4()) for _ in range(4)]
        for session_id in ids:
            await sessions.create(session_id, config)
        await asyncio.gather(*(sessions.start(each) for each in ids[:3]))
        for _ in range(80):
            await sessions.switch(ids[0])
        exported = await connection.fcall("sk_get", (SessionKeys.of(ids[0]).session,), ("EXPORT",))
        with full.sync_client() as client:
            filled = fill(client)

            newcomer = json.dumps({"participant_id": P[5], "total_time_ms": 60_000}).encode()
            for call in (
                sessions.create(str(uuid.uuid4()), config),
                sessions.join(ids[0], newcomer),
                sessions.restore(str(uuid.uuid4()), exported),
                sessions.import_session(str(uuid.uuid4()), config, b"{}"),
                sessions.patch_metadata(ids[0], b'{"title":"Final"}'),
            ):
                with pytest.raises(StorageFull, match="maxmemory"):
                    await call

            await sessions.start(ids[3])
            limit = Limit(1000, 1000, 1000)
            for turn in range(150):
                player = P[turn % 2]
                await sessions.switch(ids[3], limit=limit, options=Options(player=player, actor=player))
                await sessions.switch(ids[0])
            await sessions.pause(ids[0], Options(player=P[0]))
            await sessions.resume(ids[0])
            assert await sessions.adjust(ids[0], participant=P[0], set_ms=0) is not None
            assert (await sessions.expire_all([ids[0]]))[0] is not None
            correct(client, ids[3])
            await sessions.complete(ids[1])
            await sessions.cancel(ids[3])
            assert await sessions.delete(ids[2])

            # What was played has cost no more than a log for each session and the reserve of its outbox.
            for session_id in ids[:2]:
                assert client.xlen(SessionKeys.of(session_id).log) <= LEAST_LOG + ROOM
            assert client.info("memory")["used_memory"] < filled + 400_000
            client.config_set("maxmemory", 0)
            await asyncio.sleep(ASKED_S)
            await sessions.create(str(uuid.uuid4()), config)


def test_an_outbox_that_is_emptied_loses_nothing(full: Server) -> None:
    """Only one that nobody empties gives up its oldest events."""
    with full.sync_client() as client:
        client.function_load(Library.assemble().payload)
        keys = SessionKeys.of("5e550000-0000-4000-8000-0000000000ab")
        config = json.dumps({"sync_mode": "count_up", "participants": people(2)})
        client.fcall("sk_create", 4, *keys.all, config)
        client.fcall("sk_start", 4, *keys.all)
        fill(client)
        for _ in range(90):
            client.fcall("sk_switch", 4, *keys.all)
        assert client.xlen(keys.outbox) == 92
        for _ in range(400):
            client.fcall("sk_switch", 4, *keys.all)
        assert 100 <= client.xlen(keys.outbox) <= 100 + ROOM
        newest = client.xrevrange(keys.outbox, count=1)[0][1]
        assert json.loads(newest[b"e"])["version"] == 492
        client.delete(keys.outbox, keys.alarms)
