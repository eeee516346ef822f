"""Many clocks that run out at one moment, in front of two processes of the service.

How late each was is in its event (`late_ms`). The yardstick is one client that calls `sk_expire` for as many
clocks that are due, all together: the time that the server needs for them at least. How often the two
processes called is the server's own count of function calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from synckairos.bench import servers, sessions
from synckairos.bench.report import Figure, percentile
from synckairos.bench.servers import Storage
from synckairos.core import keys
from synckairos.core.keys import SessionKeys

PROCESSES = 2
AT_MOST_MS = {1_000: 100.0, 10_000: 1_000.0}
"""How late 99 of 100 clocks may be, by how many are due together."""
CALLS_AT_MOST = 1.2
FIRST_LEAD_S = 1.0
LEAD_S_A_SESSION = 0.5e-3
"""How long ahead the moment is: time enough to set all clocks to it."""
PATIENCE_S = 30.0
_SHORT_MS = 1_000


class _Event(msgspec.Struct):
    class Payload(msgspec.Struct):
        """Of a session that started, or whose clock was set or ran out."""

        active_participant_id: str | None = None
        deadline_ms: int | None = None
        late_ms: int | None = None

    payload: Payload


_decode = msgspec.json.Decoder(_Event).decode


def measure(storage: Storage, counts: tuple[int, ...]) -> tuple[list[Figure], dict[str, list[float]]]:
    """Herds of these sizes. Returns the figures, and the lateness of all clocks (ms) by figure."""
    alone_ms = {count: _back_to_back(storage, count) for count in counts}
    figures: list[Figure] = []
    details = {}
    with servers.synckairos(storage, PROCESSES, limits=False):
        time.sleep(1.0)  # until they have heard of each other
        for count in counts:
            late, calls = _herd(storage, count)
            name = f"{count:,} clocks due at one moment: late, p99"
            details[name] = late
            figures += [
                Figure(
                    name=name,
                    value=percentile(late, 0.99),
                    unit="ms",
                    yardstick="called by one client, in all",
                    yardstick_value=alone_ms[count],
                    at_most=AT_MOST_MS.get(count),
                    note=f"p50 {percentile(late, 0.5):.0f} ms; {PROCESSES} processes",
                ),
                Figure(
                    name=f"{count:,} clocks due at one moment: calls",
                    value=calls,
                    unit="",
                    yardstick="clocks",
                    yardstick_value=float(count),
                    ratio=calls / count,
                    at_most=CALLS_AT_MOST,
                ),
            ]
    return figures, details


def _back_to_back(storage: Storage, count: int) -> float:
    """How long the server takes for so many expiries that one client sends together (ms)."""
    herd = _start(storage, count, _SHORT_MS)
    time.sleep(_SHORT_MS / 1000 + 0.1)
    began = time.perf_counter()
    sessions.calls(storage, (("sk_expire", each.all, ()) for each in herd))
    return (time.perf_counter() - began) * 1e3


def _start(storage: Storage, count: int, bank_ms: int) -> list[SessionKeys]:
    herd = [SessionKeys.of(sessions.new_id()) for _ in range(count)]
    sessions.create(storage, herd, 1, [bank_ms] * count)
    sessions.start(storage, herd)
    return herd


def _herd(storage: Storage, count: int) -> tuple[list[float], float]:
    """Lets so many clocks run out together. Returns how late each was (ms, ordered), and all calls."""
    herd = _start(storage, count, sessions.DAY_MS)
    due_ms = _set_to_one_moment(storage, herd)
    time.sleep(max(0.0, due_ms / 1000 - time.time() - 0.1))
    before = _calls(storage)
    time.sleep(max(0.0, due_ms / 1000 - time.time()))
    end = time.monotonic() + PATIENCE_S
    while _alarms_due(storage, due_ms) and time.monotonic() < end:
        time.sleep(0.1)
    calls = _calls(storage) - before
    late = [event.payload.late_ms for event in _newest(storage, herd)]
    return sorted(float(each) for each in late if each is not None), calls


def _set_to_one_moment(storage: Storage, herd: list[SessionKeys]) -> int:
    """Sets all clocks so that they run out at the same moment. Returns it (server time, ms)."""
    lead_s = FIRST_LEAD_S + LEAD_S_A_SESSION * len(herd)
    while True:
        states = [event.payload for event in _newest(storage, herd)]
        seconds, _ = storage.client.time()
        due_ms = int((seconds + lead_s) * 1000)
        changes = sessions.calls(
            storage,
            (
                (
                    "sk_adjust",
                    each.all,
                    ("PARTICIPANT", state.active_participant_id, "ADD", due_ms - (state.deadline_ms or 0)),
                )
                for each, state in zip(herd, states, strict=True)
            ),
        )
        if {_decode(change).payload.deadline_ms for change in changes} == {due_ms}:
            return due_ms
        lead_s *= 2  # this machine was not fast enough


def _newest(storage: Storage, herd: list[SessionKeys]) -> Iterator[_Event]:
    """The newest event of each session."""
    for start in range(0, len(herd), sessions.CHUNK):
        pipeline = storage.client.pipeline(transaction=False)
        for each in herd[start : start + sessions.CHUNK]:
            pipeline.xrevrange(each.log, count=1)
        for ((_, fields),) in pipeline.execute():
            yield _decode(fields[b"e"])


def _alarms_due(storage: Storage, until_ms: int) -> int:
    pipeline = storage.client.pipeline(transaction=False)
    for partition in keys.PARTITIONS:
        pipeline.zcount(keys.alarms(partition), "-inf", until_ms)
    return sum(pipeline.execute())


def _calls(storage: Storage) -> float:
    """How many functions the server has been asked for."""
    found: dict[str, Any] = storage.client.info("commandstats")
    return float(found["cmdstat_fcall"]["calls"])
