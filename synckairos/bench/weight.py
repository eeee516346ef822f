"""What a session weighs in Redis after it was played: its hash and its log, as `MEMORY USAGE` counts them.

Most of it are the events in the log, each about a kilobyte. A log has memory in pieces of 4 KB, so sessions
of different lengths are weighed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from synckairos.audit.archiver import LOG_LENGTH
from synckairos.bench import servers, sessions
from synckairos.bench.report import Figure
from synckairos.bench.servers import Storage
from synckairos.core.keys import SessionKeys

KB = 1024
AT_MOST = {"without an audit store": 75 * KB, "with one": 28 * KB}
_LENGTHS = 12
"""So many sessions are played, each a switch longer than the one before."""
_PAUSE_S = 0.011
"""Between switches: with less, their events say that they came too fast, and are longer."""


def figures(storage: Storage, switches: int) -> list[Figure]:
    """The weight of sessions that were played for about so many switches."""
    played = _play(storage, switches)
    found = {"without an audit store": _weigh(storage, played)}
    for each in played:  # as the archiver does
        storage.client.xtrim(each.log, maxlen=LOG_LENGTH, approximate=True)
    found["with one"] = _weigh(storage, played)
    hashes = _weigh_hashes(storage, played)
    sessions.calls(storage, (("sk_convert", each.all, ("SCHEMA", 2)) for each in played))
    smaller = Figure(
        name=f"{servers.NAMES[storage.kind]}: the hash of a session played for {switches} switches, schema 2",
        value=_weigh_hashes(storage, played),
        unit="B",
        yardstick="in schema 1",
        yardstick_value=hashes,
        at_most=hashes,
    )
    return [smaller] + [
        Figure(
            name=f"{servers.NAMES[storage.kind]}: a session played for {switches} switches, {where}",
            value=sum(weights) / len(weights),
            unit="B",
            yardstick="the text of its events",
            yardstick_value=sum(texts) / len(texts),
            at_most=AT_MOST[where],
            note=f"{min(weights):,} to {max(weights):,} B, by how full the pieces of its log are",
        )
        for where, (weights, texts) in found.items()
    ]


def _play(storage: Storage, switches: int) -> list[SessionKeys]:
    """Plays sessions of two."""
    made = sessions.make(storage, _LENGTHS)
    for number in range(switches):
        time.sleep(_PAUSE_S)
        sessions.calls(storage, (("sk_switch", each.all, ()) for each in made[number - switches :]))
    return made


def _weigh_hashes(storage: Storage, played: Sequence[SessionKeys]) -> float:
    """The mean weight of the hashes (bytes)."""
    weights = [storage.client.memory_usage(each.session, samples=0) or 0 for each in played]
    return sum(weights) / len(weights)


def _weigh(storage: Storage, played: Sequence[SessionKeys]) -> tuple[list[int], list[int]]:
    """The weight of each session, and of the texts in its log (bytes)."""
    weights, texts = [], []
    for each in played:
        keys = (each.session, each.log)
        weights.append(sum(storage.client.memory_usage(key, samples=0) or 0 for key in keys))
        entries: Any = storage.client.xrange(each.log)
        texts.append(sum(len(fields[b"e"]) for _, fields in entries))
    return weights, texts
