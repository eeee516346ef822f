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
from synckairos.tracing.spans import Kind, Span, error_type, under

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
    with _ending(spans):
        yield replace(batch, entries=entries)


@contextmanager
def storing(batch: Batch) -> Iterator[None]:
    """The block stores the batch. It is a span of the traces of its events.

    It is a span of the first trace, with the SQL below it, and is linked to all of them. In each of the
    others a span of its own is linked to it.
    """
    traced = _traced(batch)
    tracer = process.tracer()
    if tracer is None or not traced:
        yield
        return
    attributes = _attributes(batch)
    first, *others = traced.values()
    work = tracer.begin(STORE, Kind.CONSUMER, attributes, parent=first, links=(first, *others))
    links = (work.traceparent,)
    shown = [tracer.begin(STORE, Kind.CONSUMER, attributes, parent=other, links=links) for other in others]
    with _ending(shown), under(work):
        yield


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


@contextmanager
def _ending(spans: list[Span]) -> Iterator[None]:
    """These spans end with the block, and an error of the block is theirs."""
    error: str | None = None
    try:
        yield
    except BaseException as failure:
        error = error_type(failure)
        raise
    finally:
        for span in spans:
            span.end(error)


def _committed_ms(entry: Entry) -> int:
    """When the event was committed, by the server's clock: the first part of its entry's id."""
    return int(entry.source.rpartition("/")[2].partition("-")[0])
