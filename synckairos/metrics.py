"""Metrics for Prometheus. Times are in seconds, as its conventions ask for.

A single worker process keeps its numbers in memory. With several worker processes, the one that answers a
scrape has to give the sums over all. For this `prepare` points prometheus_client at a directory of
memory-mapped files that the workers share. It has to run before the first worker starts, and the workers must
not be forked ("spawn"), because prometheus_client looks for the directory when it is imported.
"""

from __future__ import annotations

import os
import shutil
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    make_wsgi_app,
    multiprocess,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

_WORKER_FILE = "worker-"
"""The beginning of a file's name. There is one file for each worker, with the id of the worker's process."""

registry = CollectorRegistry()

http_requests = Histogram(
    "synckairos_http_request_seconds",
    "Time from the request's last byte to the response, by route, method and status",
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
    multiprocess_mode="mostrecent",
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
audit_waiting = Gauge(
    "synckairos_audit_outbox_events",
    "Events in the outboxes",
    registry=registry,
    multiprocess_mode="mostrecent",
)
audit_batches = Gauge(
    "synckairos_audit_batches",
    "Batches in the queue, by state (queued, scheduled for another attempt, failed and kept)",
    ("state",),
    registry=registry,
    multiprocess_mode="mostrecent",
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

breaker_state = Gauge(
    "synckairos_breaker_state",
    "Circuit breakers by what they protect: 0 closed, 1 half open, 2 open; the worst of all processes",
    ("dependency",),
    registry=registry,
    multiprocess_mode="livemax",
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
        new.replace(named)  # the process that was this worker before has ended


def process_ended(pid: int | None = None) -> None:
    """Take a worker's gauges out of the sums.

    A worker calls it at its own end. The parent calls it for each worker that has ended.
    """
    if _DIRECTORY in os.environ:
        multiprocess.mark_process_dead(pid or os.getpid())  # type: ignore[no-untyped-call]


def scraped_registry() -> CollectorRegistry:
    """The registry that a scrape reads: this process' metrics or, with several workers, the sums over all."""
    if _DIRECTORY in os.environ and Path(os.environ[_DIRECTORY]).is_dir():
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        shared.register(_WorkerProcesses(Path(os.environ[_DIRECTORY])))
        PlatformCollector(registry=shared)
        return shared
    return registry


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(scraped_registry())


def serve(host: str, port: int) -> Callable[[], None]:
    """Answer scrapes on a separate port, in a background thread. Returns a function that ends this.

    Every worker process listens on the same port, and the one that gets a scrape answers with the sums.
    """
    server = make_server(host, port, make_wsgi_app(scraped_registry()), _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return stop


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
    allow_reuse_port = True
    daemon_threads = True


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
