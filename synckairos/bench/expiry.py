"""Clocks that run out, among many others and under load; and many at one moment (`synckairos.bench.herd`).

Each session whose clock runs out is watched over a WebSocket. How late an expiry took effect is the library's
`late_ms`, in whole milliseconds. How late it was delivered is the watcher's wall clock, when it has read the
event, minus the deadline. The yardstick are keys of the same server whose TTL ends at the same moments, and
the server's `expired` notifications for them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import sleep, time, time_ns

import msgspec
import redis

from synckairos.bench import herd, load, servers, sessions, watchers
from synckairos.bench.report import Figure, Report, percentile
from synckairos.bench.servers import Kind, Storage
from synckairos.core.keys import SessionKeys

FIRST_DUE_MS = 3_000
"""Time from the start of the sessions whose clocks run out to the first deadline."""
_KEY = "bench:ttl:"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    running: how many sessions run
    due: how many of their clocks run out
    within_ms: in how long a time these clocks run out
    switches_a_second: the load on the other sessions
    patience_s: how long the bench waits for the last expiries, of clocks and of keys
    herds: how many clocks run out at one moment, in front of servers without other sessions
    """

    running: int
    due: int
    within_ms: int
    switches_a_second: int
    patience_s: float
    herds: tuple[int, ...]


FULL = Plan(
    running=10_000,
    due=500,
    within_ms=20_000,
    switches_a_second=500,
    patience_s=5.0,
    herds=(1_000, 10_000),
)
QUICK = Plan(running=300, due=30, within_ms=1_500, switches_a_second=50, patience_s=3.0, herds=(200,))


class _Payload(msgspec.Struct):
    expired_deadline_ms: int
    late_ms: int


class _Expiry(msgspec.Struct):
    session_id: str
    payload: _Payload


class _Started(msgspec.Struct):
    class Payload(msgspec.Struct):
        """When the clock of a started session runs out."""

        deadline_ms: int

    session_id: str
    payload: Payload


_decode_expiry = msgspec.json.Decoder(_Expiry).decode
_decode_started = msgspec.json.Decoder(_Started).decode


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one process of the service in front of a server of this kind."""
    plan = QUICK if quick else FULL
    watchers.allow_files(2 * plan.due)
    report = Report("expiry", quick)
    with servers.storage(kind) as storage:
        report.versions[kind] = storage.version
        others = sessions.make(storage, plan.running - plan.due)
        due = [SessionKeys.of(sessions.new_id()) for _ in range(plan.due)]
        moments = random.Random(3)
        banks_ms = [FIRST_DUE_MS + moments.randrange(plan.within_ms) for _ in due]
        sessions.create(storage, due, 2, banks_ms)
        with (
            servers.synckairos(storage, 1, limits=False) as service,
            load.ChildProcess(
                watchers.collect_expiries, service.port, [sessions.id_of(each) for each in due]
            ) as watching,
            load.ChildProcess(_collect_notifications, storage.port) as notified,
            load.ChildProcess(
                load.pace,
                service.port,
                [sessions.switch_request(each) for each in others],
                plan.switches_a_second,
            ) as switching,
        ):
            for process in (watching, notified, switching):
                process.receive()
            deadlines = _start(storage, due)
            sleep(max(deadlines.values()) / 1000 - time() + plan.patience_s)
            for process in (watching, notified, switching):
                process.pipe.send(None)
            expiries, notifications, switches = watching.result(), notified.result(), switching.result()
    load.check_http(switches)
    found = [(_decode_expiry(event), arrived) for event, arrived in expiries]
    late = sorted(float(event.payload.late_ms) for event, _ in found)
    delivered = sorted(arrived / 1e6 - event.payload.expired_deadline_ms for event, arrived in found)
    by_ttl = sorted(arrived / 1e6 - deadlines[session_id] for session_id, arrived in notifications.items())
    report.details = {
        "switches_per_s": switches.rate,
        "switch_p99_ms": percentile(switches.latencies, 0.99) * 1e3,
        "late_ms": late,
        "delivered_ms": delivered,
        "ttl_ms": by_ttl,
    }
    expired = len({event.session_id for event, _ in found})
    report.figures = _figures(plan, expired, late, delivered, by_ttl)
    with servers.storage(kind) as storage:
        herds, report.details["herds_late_ms"] = herd.measure(storage, plan.herds)
    report.figures += herds
    return report


def _start(storage: Storage, due: list[SessionKeys]) -> dict[str, int]:
    """Starts the sessions, and sets a key that expires at each deadline. Returns the deadlines by session."""
    started = [_decode_started(change) for change in sessions.start(storage, due)]
    pipeline = storage.client.pipeline(transaction=False)
    for change in started:
        pipeline.set(_KEY + change.session_id, 1, pxat=change.payload.deadline_ms)
    pipeline.execute()
    return {change.session_id: change.payload.deadline_ms for change in started}


def _collect_notifications(pipe: Connection, port: int) -> dict[str, int]:
    """Collects `expired` notifications until something comes over `pipe`.

    Returns when (`time_ns`) each key's notification arrived.
    """
    arrived: dict[str, int] = {}
    with redis.Redis(port=port, protocol=2) as client, client.pubsub() as pubsub:
        pubsub.subscribe("__keyevent@0__:expired")
        pipe.send("ready")
        while not pipe.poll():
            message = pubsub.get_message(timeout=0.1)
            if message is not None and message["type"] == "message":
                key = message["data"].decode()
                if key.startswith(_KEY):
                    arrived[key.removeprefix(_KEY)] = time_ns()
    return arrived


def _figures(
    plan: Plan, expired: int, late: list[float], delivered: list[float], by_ttl: list[float]
) -> list[Figure]:
    figures = [
        Figure(
            name=f"clocks expired by themselves, of {plan.due}",
            value=expired,
            unit="",
            yardstick="keys notified by TTL",
            yardstick_value=len(by_ttl),
            at_least=plan.due,
            note=f"{plan.running:,} running sessions, {plan.switches_a_second} switches a second over HTTP "
            f"on the others; counted until {plan.patience_s:g} s after the last deadline",
        )
    ]
    for name, values, bounds in (
        ("late", late, (2.0, 10.0)),
        ("delivered to a WebSocket", delivered, (None, None)),
    ):
        for label, share, at_most in (("p50", 0.5, bounds[0]), ("p99", 0.99, bounds[1])):
            figures.append(
                Figure(
                    name=f"{name}, {label}",
                    value=percentile(values, share),
                    unit="ms",
                    yardstick=f"notified by TTL, {label}",
                    yardstick_value=percentile(by_ttl, share),
                    at_most=at_most,
                    note="late_ms of the events: whole milliseconds" if name == "late" else None,
                )
            )
    return figures
