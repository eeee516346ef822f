"""Traffic that remembers what it was told, and the invariants that hold whatever happens to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import redis.asyncio
from websockets.exceptions import ConnectionClosed

from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from synckairos.errors import StorageUnavailable
from synckairos.realtime.relay import SERVICE_RESTART
from tests.support.live import Message, Service, Watcher, eventually, game, versions

SESSIONS = 4
WORKERS = 3
"""Callers for each session, at the same time."""


@dataclass
class Traffic:
    """Switches in a few sessions, each session watched by a client, and what came of it."""

    running: Service
    direct: Sessions
    acknowledged: dict[str, list[bytes]] = field(default_factory=dict)
    refused: int = 0
    sent_away: int = 0
    """Clients that were told that the server had lost changes."""
    seen: dict[str, list[Message]] = field(default_factory=dict)
    going: bool = True

    async def settle(self) -> None:
        """Wait until fresh changes are acknowledged in every session, and stop."""
        counts = {session_id: len(changes) for session_id, changes in self.acknowledged.items()}
        await eventually(
            lambda: all(len(changes) > counts[name] + 20 for name, changes in self.acknowledged.items()), 30
        )
        self.going = False

    async def seen_up_to(self, session_id: str, version: int) -> None:
        """Wait until the session's client has this version."""
        await eventually(lambda: self.seen[session_id] and self.seen[session_id][-1]["version"] >= version)

    async def call(self, session_id: str, worker: int) -> None:
        """One caller: every change under a request id of its own, repeated until it is acknowledged."""
        number = 0
        while self.going:
            number += 1
            options = Options(request=f"{worker}-{number}")
            acknowledged = False
            while not acknowledged:
                try:
                    change = await self.direct.switch(session_id, options=options)
                except StorageUnavailable:
                    self.refused += 1
                    await asyncio.sleep(0.05)
                else:
                    acknowledged = True
                    if not change.replayed:
                        self.acknowledged[session_id].append(change.raw)
            await asyncio.sleep(0.004)

    async def watch(self, session_id: str, watcher: Watcher) -> None:
        """Remember everything the client gets."""
        while True:
            self.seen[session_id].append(json.loads(await watcher.socket.recv()))


@asynccontextmanager
async def under_way(running: Service) -> AsyncIterator[Traffic]:
    """Traffic for the length of the block; the block ends it by `settle`."""
    traffic = Traffic(running, running.sessions)
    session_ids = [await game(running.sessions) for _ in range(SESSIONS)]
    async with asyncio.TaskGroup() as tasks:
        watching = []
        for session_id in session_ids:
            traffic.acknowledged[session_id] = []
            traffic.seen[session_id] = []
            watching.append(tasks.create_task(follow(traffic, session_id)))
        await eventually(lambda: all(traffic.seen.values()))
        callers = [
            tasks.create_task(traffic.call(session_id, worker))
            for session_id in session_ids
            for worker in range(WORKERS)
        ]
        try:
            await asyncio.sleep(0.1)
            yield traffic
        finally:
            traffic.going = False
        await asyncio.gather(*callers)
        for session_id in session_ids:
            await traffic.seen_up_to(session_id, (await traffic.direct.get(session_id)).version)
        for task in watching:
            task.cancel()


async def follow(traffic: Traffic, session_id: str) -> None:
    """A client that is greeted and remembers everything from the state on; sent away, it comes again."""
    while True:
        async with traffic.running.watch(session_id) as watcher:
            await watcher.next("CONNECTED")
            try:
                await traffic.watch(session_id, watcher)
            except ConnectionClosed as error:
                if error.rcvd is None or error.rcvd.code != SERVICE_RESTART:
                    raise
                traffic.sent_away += 1
                traffic.seen[session_id].clear()


async def everything_holds(traffic: Traffic, client: redis.asyncio.Redis) -> None:
    """The log is contiguous, and every acknowledged change is in it exactly once; clients saw all of it in
    order.
    """
    assert traffic.sent_away == 0
    for session_id, acknowledged in traffic.acknowledged.items():
        keys = SessionKeys.of(session_id)
        entries: Any = await client.xrange(keys.outbox)
        outbox = [fields[b"e"] for _, fields in entries if fields[b"id"].decode() == session_id]
        found = versions([json.loads(event) for event in outbox])
        assert found == list(range(1, len(found) + 1)), "every version once, in order"
        assert (await traffic.direct.get(session_id)).version == found[-1]
        entries = await client.xrange(keys.log)
        log = [fields[b"e"] for _, fields in entries]
        assert log == outbox[-len(log) :], "the log is what the outbox ends with"
        for change in acknowledged:
            assert outbox.count(change) == 1, "an acknowledged change happened once"
        seen = traffic.seen[session_id]
        for before, after in pairwise(seen):
            assert after["version"] > before["version"]
            assert after["type"] == "STATE_SYNC" or after["version"] == before["version"] + 1
        assert seen[-1]["version"] == found[-1]
