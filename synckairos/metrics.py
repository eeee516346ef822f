"""Metrics for Prometheus. Times are in seconds, as its conventions ask for.

A single worker process keeps its numbers in memory. With several worker processes, the one that answers a
scrape has to give the sums over all. For this `prepare` points prometheus_client at a directory of
memory-mapped files that the workers share. It has to run before the first worker starts, and the workers must
not be forked ("spawn"), because prometheus_client looks for the directory when it is imported.

A gauge whose value is not known, or not known any more, is NaN (`UNKNOWN`), and a scrape does not show it.
With several processes a series cannot be removed, so this is how a server that has left disappears. What a
process has said of a gauge ends with it: each mode is a `live` one.

`deploy/prometheus/METRICS.md` is made from this module: `synckairos metrics`.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import socketserver
import tempfile
import threading
from collections import Counter as Sums
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    make_wsgi_app,
    multiprocess,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

_ENDED = "ended"
"""Stands in the names of files in the place of a process' id: the sums of all processes that have ended."""

_WORKER_FILE = "worker-"
"""The beginning of a file's name. There is one file for each worker, with the id of the worker's process."""

UNKNOWN = math.nan
"""The value of a gauge that is not known. A scrape does not show it."""

# Prometheus knows from the counters themselves when they began. With several processes there are none anyway.
disable_created_metrics()  # type: ignore[no-untyped-call]

registry = CollectorRegistry()

http_requests = Histogram(
    "synckairos_http_request_seconds",
    "Time to answer a request, without the wait for its body, by route, method and status",
    ("route", "method", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=registry,
)
errors = Counter(
    "synckairos_errors_total",
    "Errors answered over HTTP and WebSocket, by code",
    ("code",),
    registry=registry,
)
connections_ended = Counter(
    "synckairos_connections_ended_total",
    "Connections ended before their client was served: too_slow, gave_way to another one, refused",
    ("why",),
    registry=registry,
)
rate_limited = Counter(
    "synckairos_rate_limited_total",
    "Requests turned away by a rate limit, by limit",
    ("limit",),
    registry=registry,
)
clock_offset = Gauge(
    "synckairos_clock_offset_seconds",
    "The Redis primary's clock minus this process' wall clock",
    registry=registry,
    multiprocess_mode="livemostrecent",
)

# Of several processes the one that sees most counts. One that is cut off alone shows in its errors.
redis_up = Gauge(
    "synckairos_redis_up",
    "Whether this primary of Redis answered the last probe within its time (1) or not (0)",
    ("server",),
    registry=registry,
    multiprocess_mode="livemax",
)
redis_calls = Histogram(
    "synckairos_redis_call_seconds",
    "Time of a call to Redis with its retries, by function or command",
    ("call",),
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=registry,
)
redis_pubsub_latency = Histogram(
    "synckairos_redis_pubsub_latency_seconds",
    "Time from sending a probe's message to a primary until it came back through the subscription",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    registry=registry,
)
redis_memory = Gauge(
    "synckairos_redis_memory_bytes",
    "Memory that a primary uses",
    ("server",),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
redis_memory_limit = Gauge(
    "synckairos_redis_memory_limit_bytes",
    "The maxmemory of a primary; +Inf when it has no bound",
    ("server",),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
replication_lag = Gauge(
    "synckairos_replication_lag_seconds",
    "Time since a replica last confirmed what it has, as its primary says in whole seconds",
    ("replica",),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
sentinels_ok = Gauge(
    "synckairos_sentinels_ok",
    "Sentinels that have answered lately, by the name of their primary; missing without Sentinels",
    ("primary",),
    registry=registry,
    multiprocess_mode="livemax",
)
sentinels_needed = Gauge(
    "synckairos_sentinels_needed",
    "Sentinels that should answer: their quorum and one more, by the name of their primary",
    ("primary",),
    registry=registry,
    multiprocess_mode="livemax",
)
postgres_up = Gauge(
    "synckairos_postgres_up",
    "Whether PostgreSQL answered the last probe within its time (1) or not (0); missing without a database",
    ("server",),
    registry=registry,
    multiprocess_mode="livemax",
)
breaker_state = Gauge(
    "synckairos_breaker_state",
    "State of the breaker before a dependency: 0 closed, 1 half open, 2 open",
    ("dependency",),
    registry=registry,
    multiprocess_mode="livemax",
)

sessions = Gauge(
    "synckairos_sessions",
    "Sessions in which something is due by itself, as one whose clock runs down: status is active",
    ("status",),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
sessions_created = Counter(
    "synckairos_sessions_created_total", "Sessions created through the service", registry=registry
)
switches = Counter("synckairos_switches_total", "Switches carried out through the service", registry=registry)
overdue_alarms = Gauge(
    "synckairos_overdue_alarms",
    "Alarms that have been due for more than 5 seconds",
    registry=registry,
    multiprocess_mode="livemostrecent",
)
oldest_alarm_lateness = Gauge(
    "synckairos_oldest_alarm_lateness_seconds",
    "Time since the oldest alarm that is due was due; 0 when none is",
    registry=registry,
    multiprocess_mode="livemostrecent",
)
overdue_sessions = Gauge(
    "synckairos_overdue_sessions",
    "Sessions that still run although their alarm has been due for more than a minute",
    registry=registry,
    multiprocess_mode="livemostrecent",
)

websocket_connections = Gauge(
    "synckairos_websocket_connections", "Open WebSockets", registry=registry, multiprocess_mode="livesum"
)
websocket_sessions = Gauge(
    "synckairos_websocket_sessions",
    "Sessions with at least one subscriber, counted in each process",
    registry=registry,
    multiprocess_mode="livesum",
)
websocket_deliveries = Counter(
    "synckairos_websocket_deliveries_total", "Messages written to WebSockets", registry=registry
)
websocket_messages = Counter(
    "synckairos_websocket_messages_total",
    "Messages received from WebSockets, by type",
    ("type",),
    registry=registry,
)
websocket_commands = Histogram(
    "synckairos_websocket_command_seconds",
    "Time from a command over a WebSocket to its answer, by type and by the error's code (or ok)",
    ("type", "code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=registry,
)
websocket_closes = Counter(
    "synckairos_websocket_closes_total", "WebSockets closed, by close code", ("code",), registry=registry
)
slow_readers = Counter(
    "synckairos_websocket_slow_readers_total",
    "WebSockets closed because too many bytes waited for the client",
    registry=registry,
)
websocket_round_trip = Histogram(
    "synckairos_websocket_round_trip_seconds",
    "Round trips of ping frames to WebSocket clients; the shortest of a client's last few is its lag",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
    registry=registry,
)
relay_gaps = Counter(
    "synckairos_relay_gaps_total",
    "Gaps in a session's versions that the relay closed, by what closed them (log, state)",
    ("filled_by",),
    registry=registry,
)
relay_latency = Histogram(
    "synckairos_relay_latency_seconds",
    "Time from a message's arrival to its last write",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
    registry=registry,
)
websocket_delivery = Histogram(
    "synckairos_websocket_delivery_seconds",
    "Time from an event, on the server's clock, until it was written to the last of its sockets here",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    registry=registry,
)
clients_with_wrong_clock = Gauge(
    "synckairos_clients_with_wrong_clock",
    "Connected clients whose own clock is wrong by more than 0.1 seconds, as they measured it",
    registry=registry,
    multiprocess_mode="livesum",
)
client_clock_offset = Histogram(
    "synckairos_client_clock_offset_seconds",
    "How wrong clients measured their own clock to be, either way",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0),
    registry=registry,
)

expiry_lateness = Histogram(
    "synckairos_expiry_lateness_seconds",
    "Time from the moment at which an alarm was due to its call, on the server's clock",
    buckets=(0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0),
    registry=registry,
)
expiries = Counter(
    "synckairos_expiries_total",
    "Calls for alarms that were due, by their effect (expiry, warning, resumption, none, error)",
    ("kind",),
    registry=registry,
)

audit_archived = Counter(
    "synckairos_audit_archived_events_total", "Events taken from the outboxes to the queue", registry=registry
)
audit_stored = Counter(
    "synckairos_audit_stored_events_total",
    "Events that workers brought to the audit store, by outcome (new, known, refused)",
    ("outcome",),
    registry=registry,
)
audit_failures = Counter(
    "synckairos_audit_failures_total",
    "Failed attempts to store a batch, by the next step (retry, given_up)",
    ("next",),
    registry=registry,
)
for _next in ("retry", "given_up"):
    audit_failures.labels(_next)  # at 0 from the start, because `rate` does not see how a series begins
audit_waiting = Gauge(
    "synckairos_audit_outbox_events",
    "Events in the outboxes",
    registry=registry,
    multiprocess_mode="livemostrecent",
)
audit_queued = Gauge(
    "synckairos_audit_queued_events",
    "Events in the batches that wait in the queue or for another attempt; above 100 batches estimated",
    registry=registry,
    multiprocess_mode="livemostrecent",
)
audit_batches = Gauge(
    "synckairos_audit_batches",
    "Batches in the queue, by state (queued, scheduled for another attempt, failed and kept)",
    ("state",),
    registry=registry,
    multiprocess_mode="livemostrecent",
)
access_log_stored = Counter(
    "synckairos_access_log_stored_entries_total",
    "Entries of the access log that were stored",
    registry=registry,
)
access_log_dropped = Counter(
    "synckairos_access_log_dropped_total",
    "Refusals and actions that are missing in the access log, because too many waited to be stored",
    registry=registry,
)
restored = Counter(
    "synckairos_sessions_restored_total",
    "Sessions that Redis had lost and that were restored from the audit store",
    registry=registry,
)

webhooks_waiting = Gauge(
    "synckairos_webhooks_waiting",
    "Deliveries to webhooks that wait for an attempt",
    registry=registry,
    multiprocess_mode="livemostrecent",
)
webhook_failures = Counter(
    "synckairos_webhook_failures_total",
    "Attempts to deliver to a webhook that failed, by tenant",
    ("tenant",),
    registry=registry,
)
webhooks_disabled = Counter(
    "synckairos_webhooks_disabled_total",
    "Webhooks that were disabled, because they had failed for three days",
    registry=registry,
)

stale_reads = Counter(
    "synckairos_stale_reads_total",
    "States that came from a replica because there was no primary, by who got them (http, websocket)",
    ("to",),
    registry=registry,
)
restores = Counter(
    "synckairos_restores_total",
    "Restores that began by themselves, because Redis came back without its sessions or as another server",
    registry=registry,
)
restore_remaining = Gauge(
    "synckairos_restore_remaining_sessions",
    "Sessions that the restore under way has not looked at yet",
    registry=registry,
    multiprocess_mode="livesum",
)

build_info = Gauge(
    "synckairos_build_info",
    "Always 1; the labels have the version of the service and of its function library",
    ("version", "library"),
    registry=registry,
    multiprocess_mode="livemax",
)
features_reload_failures = Counter(
    "synckairos_features_reload_failures_total",
    "Changes of FEATURES_FILE that were refused, so that the flags before stay",
    registry=registry,
)


def prepare(workers: int) -> None:
    """Prepare the sums over several worker processes. Has to be called, once, before the workers start."""
    if workers > 1 and _DIRECTORY not in os.environ:
        os.environ[_DIRECTORY] = tempfile.mkdtemp(prefix="synckairos-metrics-")
        os.environ["SYNCKAIROS_METRICS_OWNER"] = str(os.getpid())


def cleanup() -> None:
    """Remove the directory that `prepare` made. Does nothing in processes that did not call `prepare`."""
    if os.environ.get("SYNCKAIROS_METRICS_OWNER") == str(os.getpid()):
        shutil.rmtree(os.environ.pop(_DIRECTORY), ignore_errors=True)
        del os.environ["SYNCKAIROS_METRICS_OWNER"]


def process_started(worker: int) -> None:
    """Show this process' own figures (`process_*`) under the label `worker`, a number from 1 on."""
    if _DIRECTORY in os.environ:
        named = Path(os.environ[_DIRECTORY]) / f"{_WORKER_FILE}{worker}"
        new = named.with_name(f"new-{os.getpid()}")
        new.write_text(str(os.getpid()))
        new.replace(named)  # the process that was this worker before has ended, or is about to


def process_ends() -> None:
    """Take the gauges of this process, which is about to end, out of the sums."""
    if _DIRECTORY in os.environ:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


_unread: set[int] = set()
"""Processes that have ended, and whose counts are still in files of their own."""


def process_ended(pid: int) -> None:
    """Take the gauges of a worker that has ended out of the sums. What it has counted stays in them.

    Its counts are added to those of the workers that ended before. A scrape reads all files, and would take
    longer with each worker that was ever replaced. While one is under way, or the disk is full, they stay
    where they are until the next worker ends.
    """
    if _DIRECTORY not in os.environ:
        return
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
    _unread.add(pid)
    folder = Path(os.environ[_DIRECTORY])
    with suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for ended in list(_unread):
            for file in folder.glob(f"*_{ended}.db"):
                kind = file.name.partition("_")[0]
                _add(file, file.with_name(f"{kind}_{_ENDED}.db"))
                file.unlink()
            _unread.remove(ended)


def _add(file: Path, to: Path) -> None:
    """Add the counts in one file to those in another one, which is made if there is none."""
    sums: Sums[str] = Sums()
    for each in (file, to):
        if each.exists():
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(each)):  # type: ignore[no-untyped-call]
                sums[key] += value
    new = to.with_suffix(".new")
    with new.open("wb") as made:
        # All of its room at once, of which an entry needs up to 28 bytes besides its key. A full disk is an
        # error here, and would end this process where the file is mapped into memory.
        os.posix_fallocate(made.fileno(), 0, 64 + sum(len(key.encode()) + 32 for key in sums))
    written = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    new.replace(to)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Meanwhile the files of ended workers stay (LOCK_SH), or nobody reads them (LOCK_EX)."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, how)  # until the file is closed
        yield


def _all_processes() -> CollectorRegistry:
    """This process' metrics or, with several workers, the sums over all."""
    if _DIRECTORY in os.environ and Path(os.environ[_DIRECTORY]).is_dir():
        shared = CollectorRegistry()
        shared.register(_AllProcesses(Path(os.environ[_DIRECTORY])))
        shared.register(_WorkerProcesses(Path(os.environ[_DIRECTORY])))
        PlatformCollector(registry=shared)
        return shared
    return registry


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(_Known(_all_processes()))


def serve(host: str, port: int, *, shared: bool = False) -> Callable[[], None]:
    """Answer scrapes on a separate port, in a background thread. Returns a function that ends this.

    shared: the processes of one service all listen on the port, and the one that gets a scrape answers with
        the sums. Anything else needs a port of its own, or scrapes would see now this one, now another one.

    Raises OSError when the port is taken.
    """
    scraped = CollectorRegistry()
    scraped.register(_Known(_all_processes()))
    server = make_server(host, port, make_wsgi_app(scraped), _SharedServer if shared else _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return stop


class _Known(Collector):
    """The metrics of a registry without those that are not known."""

    def __init__(self, of: CollectorRegistry) -> None:
        self._of = of

    def describe(self) -> Iterable[Metric]:
        """The same: so a scrape may ask for some metrics by name."""
        return self._of.collect()

    def collect(self) -> Iterable[Metric]:
        for metric in self._of.collect():
            if metric.type == "gauge":
                metric.samples = [sample for sample in metric.samples if not math.isnan(sample.value)]
            yield metric


class _AllProcesses(Collector):
    """The metrics of all worker processes, those that have ended included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = multiprocess.MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        with _locked(self._folder, fcntl.LOCK_SH):
            found: Iterable[Metric] = self._files.collect()  # type: ignore[no-untyped-call]
        return found


class _WorkerProcesses(Collector):
    """The `process_*` metrics of all worker processes, with the label `worker` (1, 2, 3).

    A sum would hide a worker that leaks memory, and it would drop whenever a worker is started again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        for file in sorted(self._folder.glob(f"{_WORKER_FILE}*")):
            pid = file.read_text()
            worker = file.name.removeprefix(_WORKER_FILE)
            for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                family = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    family.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
        return found.values()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SharedServer(_Server):
    allow_reuse_port = True


class _Handler(WSGIRequestHandler):
    timeout = 10.0
    """Seconds without a byte, after which a connection ends. Each holds a thread."""

    def handle(self) -> None:
        with suppress(TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Scrapes are not logged."""


ProcessCollector(registry=registry)
PlatformCollector(registry=registry)
