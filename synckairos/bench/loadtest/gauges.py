"""What has a level and not a latency: memory, processor time, and what waits for the audit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from synckairos.audit.jobs import Jobs
from synckairos.bench.loadtest.samples import Line
from synckairos.bench.servers import Storage, Web
from synckairos.bench.sockets import private_memory
from synckairos.core import keys

EVERY_S = 1.0


@dataclass(slots=True)
class Gauges:
    """Lines over the time of the load.

    memory: bytes, of Redis and of the service
    cpu: share of one processor since the last look (0 to 1 for each), of Redis and of the service
    waiting: events in the outboxes, and batches in the queue
    """

    memory: dict[str, Line] = field(default_factory=dict)
    cpu: dict[str, Line] = field(default_factory=dict)
    waiting: dict[str, Line] = field(default_factory=dict)


def follow(storage: Storage, service: Web, jobs: Jobs | None, began: float, seconds: float) -> Gauges:
    """Looks once a second, from `began` (`perf_counter`) on, until the time is over."""
    gauges = Gauges()
    counters: dict[str, Callable[[], float]] = {"Redis": storage.cpu_s, "service": service.cpu_s}
    before: dict[str, tuple[float, float]] = {}
    planned = 0.0
    while True:
        time.sleep(max(0.0, began + planned - time.perf_counter()))
        for name, counter in counters.items():
            at, used = time.perf_counter() - began, counter()
            if name in before:
                then, used_then = before[name]
                gauges.cpu.setdefault(name, []).append((at, (used - used_then) / (at - then)))
            before[name] = at, used
        at = time.perf_counter() - began
        for name, held in (("Redis", storage.memory()), ("service", private_memory(service))):
            gauges.memory.setdefault(name, []).append((at, float(held)))
        if jobs is not None:
            counts = jobs.counts()
            batches = counts.queued + counts.started + counts.scheduled + counts.failed
            gauges.waiting.setdefault("events in outboxes", []).append((at, float(_outbox_events(storage))))
            gauges.waiting.setdefault("batches in the queue", []).append((at, float(batches)))
        if planned >= seconds:
            return gauges
        planned = min(seconds, max(planned + EVERY_S, at))


def _outbox_events(storage: Storage) -> int:
    pipeline = storage.client.pipeline(transaction=False)
    for partition in keys.PARTITIONS:
        pipeline.xlen(keys.outbox(partition))
    return sum(pipeline.execute())
