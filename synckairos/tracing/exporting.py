"""Spans made by OpenTelemetry's SDK and sent over OTLP/HTTP. Imported only where there is a collector.

Spans wait in a bounded queue, from which a thread sends them. While the collector is away or hangs, calls
take no longer: what does not fit into the queue is dropped.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace import Span as Made
from opentelemetry.trace import Tracer as Maker
from opentelemetry.trace.propagation import set_span_in_context

from synckairos import __version__
from synckairos.supervision import Telling
from synckairos.tracing.spans import Attributes, Kind, error_type, is_failure
from synckairos.tracing.traceparent import SPAN_ID, TRACE_ID, traceparent

PATH = "/v1/traces"
"""Where a collector takes spans, below OTEL_EXPORTER_OTLP_ENDPOINT."""
LONGEST = 1024
"""How many characters an attribute may have. Paths and ids are given by callers."""
WAITING = 2048
"""How many spans may wait. Further ones are dropped."""
AT_ONCE = 128
"""How many are sent with one request. Encoding more would hold the interpreter for too long."""
EVERY_MS = 1000
"""How often what waits is sent."""
PATIENCE_S = 5
"""How long one request to the collector may take, with its repetitions."""
END_S = 1.0
"""How long the end of the process waits for the collector."""

_KINDS = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}


class _Seldom(logging.Filter):
    """Lets a line through once in a while. The exporter logs each attempt while its collector is away."""

    def __init__(self) -> None:
        super().__init__()
        self._telling = Telling()

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's name for it
        return self._telling.level() == logging.WARNING


class OpenTelemetry:
    """Spans of one process, on their way to a collector."""

    def __init__(self, endpoint: str, service: str, environment: str) -> None:
        # What the SDK reads from its own variables (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins.
        resource = Resource.create(
            {
                "service.name": service,
                "service.version": __version__,
                "deployment.environment.name": environment,
                "host.name": socket.gethostname(),
                "process.pid": os.getpid(),
            }
        ).merge(OTELResourceDetector().detect())
        # Whether there is a span at all was decided before.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attribute_length=LONGEST),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint.rstrip("/") + PATH, timeout=PATIENCE_S),
                max_queue_size=WAITING,
                schedule_delay_millis=EVERY_MS,
                max_export_batch_size=AT_ONCE,
            )
        )
        logger = logging.getLogger(OTLPSpanExporter.__module__)
        if not any(isinstance(each, _Seldom) for each in logger.filters):
            logger.addFilter(_Seldom())
        self._tracer = self._provider.get_tracer("synckairos", __version__)

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        began_ms: int | None = None,
    ) -> _Span:
        """Begin a span: see `synckairos.tracing.process.Tracer`."""
        # The server's clock may be ahead of this machine's, and no span ends before it begins.
        began_ns = None if began_ms is None else min(began_ms * 1_000_000, time.time_ns())
        made = self._tracer.start_span(
            name,
            None if parent is None else set_span_in_context(NonRecordingSpan(_context(parent))),
            _KINDS[kind],
            attributes,
            [Link(_context(each)) for each in links],
            began_ns,
        )
        return _Span(self._tracer, made)

    def close(self) -> None:
        """Send what waits, for at most END_S. A thread that hangs longer is left behind."""
        closing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(END_S)


class _Span:
    """A span of OpenTelemetry, as `synckairos.tracing.spans.Span`."""

    __slots__ = ("_made", "_tracer", "ended", "span_id", "trace_id")

    def __init__(self, tracer: Maker, made: Made) -> None:
        context = made.get_span_context()
        self._tracer = tracer
        self._made = made
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.ended = False

    @property
    def traceparent(self) -> str:
        return traceparent(self.trace_id, self.span_id)

    def begin(self, name: str, kind: Kind, attributes: Attributes | None = None) -> _Span:
        context = set_span_in_context(self._made)
        made = self._tracer.start_span(name, context, _KINDS[kind], attributes)
        return _Span(self._tracer, made)

    def set(self, attributes: Attributes) -> None:
        self._made.set_attributes(attributes)

    def end(self, error: BaseException | None = None) -> None:
        if error is not None:
            self._made.set_attribute("error.type", error_type(error))
            if is_failure(error):
                self._made.set_status(StatusCode.ERROR)
        self.ended = True
        self._made.end()


def _context(text: str) -> SpanContext:
    """What a traceparent stands for."""
    return SpanContext(int(text[TRACE_ID], 16), int(text[SPAN_ID], 16), True, TraceFlags(TraceFlags.SAMPLED))
