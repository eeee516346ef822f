"""Reads the true history from Redis and, where there is an audit store, from PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import msgspec

from synckairos.audit.store import Store
from synckairos.audit.verify import SESSIONS_AT_ONCE, session_ids, stored_events
from synckairos.core import keys
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.model import State
from synckairos.errors import SessionMoved, SessionMoving, SessionNotFound
from synckairos.history.events import Place, decode_event
from synckairos.history.truth import NO_STATE, SessionTruth

PAGE = 1000
"""How many entries of an outbox, or keys, one call reads."""
READINGS = 3
"""How often a session is read that changes meanwhile."""


class _InRedis(NamedTuple):
    """The log of a session and its state, which is None when there is no session here.

    moved: another Redis has it, because it moved there or is still to be let run here
    """

    log: list[bytes]
    state: State | None = None
    moved: bool = False


async def all_session_ids(connection: Connection, store: Store | None) -> set[str]:
    """The ids of all sessions that Redis or PostgreSQL has."""
    found: set[str] = set()
    for client in await connection.primaries():
        async for key in client.scan_iter(match="sk:{??}:*", count=PAGE):
            session_id = keys.parse_session_key(key.removesuffix(b":log"))
            if session_id is not None:
                found.add(session_id)
    for partition in keys.PARTITIONS:
        found |= (await _read_outbox(connection, partition)).keys()
    after: str | None = None
    while store is not None and (stored := await session_ids(store, after)):
        found.update(stored)
        after = stored[-1]
    return found


async def read_sessions(
    connection: Connection, store: Store | None, ids: Iterable[str]
) -> AsyncIterator[SessionTruth]:
    """What Redis and PostgreSQL have of these sessions.

    Redis is read first, because events go from there to PostgreSQL. Raises StorageUnavailable, and the errors
    of redis-py.
    """
    by_partition: dict[str, list[str]] = defaultdict(list)
    for session_id in sorted(ids):
        by_partition[keys.partition(session_id)].append(session_id)
    for partition, members in sorted(by_partition.items()):
        waiting = await _read_outbox(connection, partition)
        for start in range(0, len(members), SESSIONS_AT_ONCE):
            some = members[start : start + SESSIONS_AT_ONCE]
            in_redis = {session_id: await _read_redis(connection, session_id) for session_id in some}
            stored = {} if store is None else await _read_stored(store, some)
            for session_id in some:
                log, state, moved = in_redis[session_id]
                archived = stored.get(session_id, [])
                if state is not None and archived and _newest(archived) > (int(state.epoch), state.version):
                    log, state, moved = await _read_redis(connection, session_id)  # it has changed meanwhile
                if moved:
                    yield SessionTruth(session_id, {}, moved=True)
                    continue
                raw = None if state is None else state.raw
                if raw is None and store is not None:
                    row = await store.session(session_id)
                    raw = None if row is None else row.snapshot
                events = {"log": log, "outbox": waiting.get(session_id, []), "audit": archived}
                yield SessionTruth(
                    session_id,
                    {
                        source: [msgspec.Raw(body) for body in bodies if _is_event(session_id, body)]
                        for source, bodies in events.items()
                        if bodies
                    },
                    NO_STATE if raw is None else msgspec.Raw(raw),
                    live=state is not None,
                )


def _newest(bodies: list[bytes]) -> Place:
    return max(decode_event(body).place for body in bodies)


def _is_event(session_id: str, body: bytes) -> bool:
    """Whether this is an event of the session: any client of Redis can write anything into a stream."""
    try:
        return decode_event(body).session_id == session_id
    except (msgspec.MsgspecError, ValueError):
        return False


async def _read_redis(connection: Connection, session_id: str) -> _InRedis:
    sessions = Sessions(connection, ttl_s=0)
    key = SessionKeys.of(session_id).log
    for reading in range(1, READINGS + 1):
        entries: Any = await (await connection.primary_for(key)).xrange(key)
        log = [fields[b"e"] for _, fields in entries if b"e" in fields]
        try:
            state = await sessions.get(session_id)
        except SessionNotFound:
            return _InRedis(log)
        except (SessionMoved, SessionMoving):
            return _InRedis(log, moved=True)
        newest = int(entries[-1][0].partition(b"-")[0]) if entries else 0
        if state.version <= newest or reading == READINGS:
            return _InRedis(log, state)
    raise AssertionError


async def _read_outbox(connection: Connection, partition: str) -> dict[str, list[bytes]]:
    """The events in the outbox of a partition, by session."""
    key = keys.outbox(partition)
    client = await connection.primary_for(key)
    found: dict[str, list[bytes]] = defaultdict(list)
    after = "-"
    while True:
        entries: Any = await client.xrange(key, min=after, count=PAGE)
        for _, fields in entries:
            if b"id" in fields and b"e" in fields:
                found[fields[b"id"].decode()].append(fields[b"e"])
        if len(entries) < PAGE:
            return found
        after = f"({entries[-1][0].decode()}"


async def _read_stored(store: Store, ids: list[str]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for (session_id, _, _), body in (await stored_events(store, dict.fromkeys(ids, 0))).items():
        found[session_id].append(body)
    return found
