"""Whether this process makes spans, and of which calls: decided before anything is made for a call.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from synckairos.config import Settings
from synckairos.tracing.spans import Attributes, Kind, Span
from synckairos.tracing.traceparent import is_sampled

MOST_ASKED_FOR = 100
"""How many traces a second a process begins because callers ask for them. Their flag is anybody's to set, and
a span costs a good part of what a request does. Beyond that chance decides, as without a flag.
"""


class Tracer(Protocol):
    """What makes spans and sends them to a collector."""

    def begin(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes | None = None,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        began_ms: int | None = None,
    ) -> Span:
        """Begin a span.

        parent: the traceparent of the span above it; None begins a trace
        links: traceparents of other traces that it has to do with
        began_ms: when it began, where that is not now
        """

    def close(self) -> None:
        """Send what waits, for a bounded time."""


class _Process:
    """What this process has."""

    tracer: Tracer | None = None
    ratio = 0.0
    second = 0
    asked_for = 0


_process = _Process()


def start(settings: Settings, service: str) -> Callable[[], None]:
    """Make spans from here on, if there is a collector to send them to. Returns what ends that.

    service: what the collector calls this process, unless OTEL_SERVICE_NAME does
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return _nothing
    from synckairos.tracing.exporting import OpenTelemetry

    made = _process.tracer = OpenTelemetry(endpoint, service, settings.environment)
    _process.ratio = settings.otel_traces_sampler_arg

    def stop() -> None:
        if _process.tracer is made:
            _process.tracer = None
        made.close()

    return stop


def _nothing() -> None:
    """There is nothing to end."""


def tracer() -> Tracer | None:
    """What makes spans in this process, if anything does."""
    return _process.tracer


def begin(
    name: str, kind: Kind, traceparent: str | None, attributes: Callable[[], Attributes]
) -> Span | None:
    """Begin the span of a call that came from outside; None when the call is not sampled.

    traceparent: the one that came with it, well-formed
    attributes: asked for those of a call that is sampled
    """
    here = _process.tracer
    if here is None or not _is_kept(traceparent):
        return None
    return here.begin(name, kind, attributes(), parent=traceparent)


def _is_kept(traceparent: str | None) -> bool:
    """Whether a call is sampled: as its caller's trace is, and by chance where there is none."""
    if traceparent is not None:
        if not is_sampled(traceparent):
            return False
        if _may_be_asked():
            return True
    return random.random() < _process.ratio


def _may_be_asked() -> bool:
    second = int(monotonic())
    if second != _process.second:
        _process.second, _process.asked_for = second, 0
    _process.asked_for += 1
    return _process.asked_for <= MOST_ASKED_FOR
