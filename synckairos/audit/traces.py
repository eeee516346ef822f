"""The traces of events on their way to PostgreSQL: how long one waited, and what storing it took.

A batch has events of many calls, of which a few belong to a trace. In the outbox and in the batch an event
has its traceparent beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from synckairos.audit.jobs import NAME, job_id_of
from synckairos.audit.rows import Batch, Entry
from synckairos.tracing import process
from synckairos.tracing.spans import Attributes, Kind, Span

OUTBOX = "outbox"
"""The span of an event from its commit until it is in the queue."""
STORE = "store batch"
"""The span of one attempt to store a batch."""
MOST_TRACES = 128
"""Of how many traces of a batch there are spans. OpenTelemetry keeps no more links of a span."""


@contextmanager
def leaving_outbox(batch: Batch) -> Iterator[Batch]:
    """The block queues the batch that it gets. In it, the time in the outbox is a span of each trace."""
    traced = _traced(batch)
    tracer = process.tracer()
    if tracer is None or not traced:
        yield batch
        return
    attributes, entries = _attributes(batch), list(batch.entries)
    spans: list[Span] = []
    for place, traceparent in traced.items():
        entry = entries[place]
        span = tracer.begin(
            OUTBOX, Kind.PRODUCER, attributes, parent=traceparent, began_ms=_committed_ms(entry)
        )
        entries[place] = entry._replace(traceparent=span.traceparent)
        spans.append(span)
    failure: BaseException | None = None
    try:
        yield replace(batch, entries=entries)
    except BaseException as error:
        failure = error
        raise
    finally:
        for span in spans:
            span.end(failure)


def begin_storing(batch: Batch) -> Span | None:
    """Begin the span of storing a batch; None when it has nothing of a trace.

    It is a span of the first trace, with the SQL below it, and is linked to all of them. In each of the
    others a span of its own is linked to it, and ends with it.
    """
    traced = _traced(batch)
    tracer = process.tracer()
    if tracer is None or not traced:
        return None
    attributes = _attributes(batch)
    first, *others = traced.values()
    span = tracer.begin(STORE, Kind.CONSUMER, attributes, parent=first, links=(first, *others))
    links = (span.traceparent,)
    return _Shared(
        span,
        [tracer.begin(STORE, Kind.CONSUMER, attributes, parent=other, links=links) for other in others],
    )


class _Shared:
    """A span of one trace, for work that is also done for others. Those have spans that lead to it."""

    def __init__(self, span: Span, others: list[Span]) -> None:
        self._span, self._others = span, others
        self.trace_id, self.span_id = span.trace_id, span.span_id

    @property
    def ended(self) -> bool:
        return self._span.ended

    @property
    def traceparent(self) -> str:
        return self._span.traceparent

    def begin(self, name: str, kind: Kind, attributes: Attributes | None = None) -> Span:
        return self._span.begin(name, kind, attributes)

    def set(self, attributes: Attributes) -> None:
        self._span.set(attributes)

    def end(self, error: BaseException | None = None) -> None:
        for each in (self._span, *self._others):
            each.end(error)


def _traced(batch: Batch) -> dict[int, str]:
    """The first MOST_TRACES traceparents of a batch, by the places of their entries."""
    found = {place: each.traceparent for place, each in enumerate(batch.entries) if each.traceparent}
    return dict(list(found.items())[:MOST_TRACES])


def _attributes(batch: Batch) -> dict[str, str | int]:
    return {
        "messaging.system": "redis",
        "messaging.destination.name": NAME,
        "messaging.message.id": job_id_of(batch),
        "messaging.batch.message_count": len(batch.entries),
    }


def _committed_ms(entry: Entry) -> int:
    """When the event was committed, by the server's clock: the first part of its entry's id."""
    return int(entry.source.rpartition("/")[2].partition("-")[0])
