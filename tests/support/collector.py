"""A collector of OpenTelemetry on this machine: it takes spans over OTLP/HTTP and keeps them for the test."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Span:
    """A span that the collector has got. Ids are hexadecimal digits; `parent_id` is empty without a parent.

    links: the ids of the traces and of the spans to which it is linked
    service: what its process calls itself
    failed: whether its status is an error
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    ended_ns: int
    service: str
    failed: bool
    attributes: dict[str, Any] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


class Collector:
    """Listens on a free port until the end of the block.

    hangs: whether it takes requests and does not answer them
    """

    def __init__(self, *, hangs: bool = False) -> None:
        self._spans: list[Span] = []
        self._released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector._take(body)
                if hangs:
                    collector._released.wait()
                    return
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is worth a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        """Its address, as in OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Span]:
        """All spans that came so far."""
        return list(self._spans)

    def trace(self, trace_id: str) -> list[Span]:
        """Those of one trace, in the order in which they began."""
        return sorted(
            (each for each in self.spans if each.trace_id == trace_id), key=lambda each: each.began_ns
        )

    def until(self, has_come: Callable[[list[Span]], bool], what: str) -> list[Span]:
        """Wait until the spans are as they are waited for."""
        end = time.monotonic() + PATIENCE_S
        while not has_come(self.spans):
            assert time.monotonic() < end, f"{what} did not come: {[each.name for each in self.spans]}"
            time.sleep(0.02)
        return self.spans

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            self._spans += [
                _span(each, str(service)) for scope in resource.scope_spans for each in scope.spans
            ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _span(sent: Sent, service: str) -> Span:
    return Span(
        name=sent.name,
        kind=Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        began_ns=sent.start_time_unix_nano,
        ended_ns=sent.end_time_unix_nano,
        service=service,
        failed=sent.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(sent.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in sent.links),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
