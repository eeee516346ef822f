"""Running sessions for the benches, made with the library's own functions, many at a time."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import hiredis

from synckairos.bench.servers import Storage
from synckairos.core import keys
from synckairos.core.keys import SessionKeys

DAY_MS = 86_400_000
CHUNK = 500
_COPIED_FROM = 20
"""Sessions with at least so many participants are made once and then copied."""

_random = random.Random(20)


def new_id() -> str:
    """A random UUID. Each run gets the same ones in the same order."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def make(storage: Storage, count: int, participants: int = 2) -> list[SessionKeys]:
    """Makes `count` running sessions, in which each participant has a bank of a day. Returns their keys.

    Large sessions are copies of one that the library made, because a thousand configs of a thousand
    participants would take minutes. This works because a session's hash does not contain the session's id.
    A copy gets its log and its alarm with its first change.
    """
    made = [SessionKeys.of(new_id()) for _ in range(count)]
    if participants < _COPIED_FROM or count == 1:
        create(storage, made, participants, [DAY_MS] * count)
        start(storage, made)
        return made
    first = make(storage, 1, participants)[0]
    for each in made:
        storage.client.copy(first.session, each.session)
    return made


def create(
    storage: Storage, wanted: Sequence[SessionKeys], participants: int, banks_ms: Sequence[int]
) -> None:
    """Creates these sessions. `banks_ms` has the bank of each one's participants."""
    configs = (config(participants, bank_ms) for bank_ms in banks_ms)
    calls(storage, (("sk_create", each.all, (given,)) for each, given in zip(wanted, configs, strict=True)))


def start(storage: Storage, wanted: Iterable[SessionKeys]) -> list[Any]:
    """Starts these sessions. Returns the changes."""
    return calls(storage, (("sk_start", each.all, ()) for each in wanted))


def calls(storage: Storage, wanted: Iterable[tuple[str, Sequence[str], Sequence[Any]]]) -> list[Any]:
    """Calls functions (name, keys, arguments), many at a time. Returns the replies."""
    replies: list[Any] = []
    for chunk in _chunks(wanted):
        pipeline = storage.client.pipeline(transaction=False)
        for function, its_keys, arguments in chunk:
            pipeline.fcall(function, len(its_keys), *its_keys, *arguments)
        replies += pipeline.execute()
    return replies


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def config(participants: int, bank_ms: int) -> bytes:
    """The config of a game in which each participant has this bank."""
    players = [{"participant_id": new_id(), "total_time_ms": bank_ms} for _ in range(participants)]
    return json.dumps({"sync_mode": "per_participant", "participants": players}).encode()


def trim_outboxes(storage: Storage) -> None:
    """Deletes the outboxes, which no bench reads, so that the server has the same size in each round."""
    pipeline = storage.client.pipeline(transaction=False)
    for partition in keys.PARTITIONS:
        pipeline.unlink(keys.outbox(partition))
    pipeline.execute()


def switch_command(session: SessionKeys) -> bytes:
    """`sk_switch` of a session in Redis' protocol."""
    packed: bytes = hiredis.pack_command(("FCALL", "sk_switch", 4, *session.all))  # type: ignore[arg-type]
    return packed


def id_of(session: SessionKeys) -> str:
    """The id of the session with these keys."""
    return session.session.rpartition(":")[2]


def switch_request(session: SessionKeys) -> bytes:
    """`POST …/switch` of a session, without a body."""
    return post(f"/v1/sessions/{id_of(session)}/switch")


def post(path: str) -> bytes:
    """A POST without a body in HTTP/1.1."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
