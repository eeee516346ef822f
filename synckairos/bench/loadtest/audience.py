"""The sockets: one process in which each WebSocket watches a session of its own.

A delivery is an event that one socket has read. It counts from the time that Redis wrote into the event, in
whole milliseconds, on the wall clock of the same machine. Versions tell what is missing: a socket has to see
each one once and in order.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from time import perf_counter, process_time, time

import msgspec

from synckairos.bench import watchers
from synckairos.bench.loadtest.samples import Samples

_TICK_S = 0.05
"""How often this process looks how late it is itself."""
_TELL = 200


class _Payload(msgspec.Struct):
    late_ms: int | None = None
    expired_deadline_ms: int | None = None


class _Message(msgspec.Struct):
    type: str
    session_id: str = ""
    version: int = 0
    server_time_ms: int = 0
    payload: _Payload = msgspec.field(default_factory=_Payload)


_decode = msgspec.json.Decoder(_Message).decode


@dataclass(slots=True)
class Outcome:
    """What the sockets saw. Moments are wall clock times (seconds) here.

    deliveries: by the time of the event, how long until it was read (seconds)
    lateness: of the expiries among them: by the deadline, how late they were carried out (seconds)
    versions: the newest that was seen of each session
    missing: events that a socket did not get although it got a later one
    resynchronised: events that it did not get because the service sent the state instead
    repeated: events that came twice
    lost: sockets that were closed, by the reason
    own_delays: by the moment, how late this process was to look at its clock (seconds)
    """

    deliveries: Samples = field(default_factory=Samples)
    lateness: Samples = field(default_factory=Samples)
    versions: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    resynchronised: int = 0
    repeated: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    own_delays: Samples = field(default_factory=Samples)
    cpu_s: float = 0.0

    def window(self, start: float, end: float) -> Outcome:
        """What happened between these two moments. Moments count from `start`; what is no sample stays."""
        return replace(
            self,
            deliveries=self.deliveries.window(start, end),
            lateness=self.lateness.window(start, end),
            own_delays=self.own_delays.window(start, end),
        )


def watch(pipe: Connection, port: int, sockets: Sequence[tuple[str, str]]) -> Outcome:
    """Watches, one socket for each session and address, until None comes over `pipe`.

    Sends how many are open from time to time, and "ready" when all are. To versions by session it replies how
    many events it has not seen yet of those up to these versions.
    """
    outcome = Outcome()
    opened: list[watchers.Watcher] = []
    for session_id, address in sockets:
        opened.append(watchers.open_watcher(port, session_id, address))
        if len(opened) % _TELL == 0:
            pipe.send(len(opened))
    ended = threading.Event()
    clock = threading.Thread(target=_look_at_the_clock, args=(outcome.own_delays, ended), daemon=True)
    clock.start()
    used = process_time()

    def seen(payload: bytes) -> None:
        _note(outcome, _decode(payload), time())

    def asked(newest: Mapping[str, int]) -> None:
        pipe.send(sum(max(0, newest[each] - version) for each, version in outcome.versions.items()))

    watchers.watch(pipe, opened, seen, lambda reason: outcome.lost.update((reason,)), asked)
    ended.set()
    clock.join()
    outcome.cpu_s = process_time() - used
    return outcome


def _note(outcome: Outcome, message: _Message, now: float) -> None:
    newest = outcome.versions.get(message.session_id)
    if message.type == "STATE_SYNC":
        if newest is not None:
            outcome.resynchronised += max(0, message.version - newest)
        outcome.versions[message.session_id] = message.version
        return
    if newest is None or not message.server_time_ms:  # CONNECTED, which comes before the state
        return
    if message.version <= newest:
        outcome.repeated += 1
        return
    outcome.missing += message.version - newest - 1
    outcome.versions[message.session_id] = message.version
    outcome.deliveries.add(message.server_time_ms / 1e3, now - message.server_time_ms / 1e3)
    late_ms, deadline_ms = message.payload.late_ms, message.payload.expired_deadline_ms
    if late_ms is not None and deadline_ms is not None:
        outcome.lateness.add(deadline_ms / 1e3, late_ms / 1e3)


def _look_at_the_clock(own_delays: Samples, ended: threading.Event) -> None:
    planned = perf_counter() + _TICK_S
    while not ended.wait(max(0.0, planned - perf_counter())):
        own_delays.add(time(), max(0.0, perf_counter() - planned))
        planned = max(planned + _TICK_S, perf_counter())
