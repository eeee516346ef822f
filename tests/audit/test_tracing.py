"""One switch is one trace: from the request, over the function library and the outbox, to PostgreSQL.

The service, the worker, the exporter and the requests to the collector are real; the collector is the test's.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest

from synckairos.audit.rows import Batch, Entry
from synckairos.core import keys
from synckairos.run.processes import free_port
from synckairos.tracing import process
from tests.support.audit_rows import event
from tests.support.audit_service import Audited, Machines, audited
from tests.support.collector import Collector, Span
from tests.support.live import game
from tests.support.pool import Pool
from tests.support.programs import Program
from tests.support.servers import Server

pytestmark = pytest.mark.one_kind

_numbers = itertools.count(1)


def asked_for(flags: str = "01") -> tuple[str, str, str]:
    """A traceparent of a caller, its trace and its span."""
    trace_id, span_id = f"{next(_numbers):032x}", f"{next(_numbers):016x}"
    return f"00-{trace_id}-{span_id}-{flags}", trace_id, span_id


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


@dataclass
class Traced:
    """A service and a worker that send their spans to a collector. Only what callers ask for is sampled."""

    service: Audited
    worker: Program
    collector: Collector

    async def trace(self, trace_id: str, *names: str) -> dict[str, Span]:
        """The spans of a trace by their names, once those with these names have come."""

        def have_come(spans: list[Span]) -> bool:
            return {each.name for each in spans if each.trace_id == trace_id} >= set(names)

        await asyncio.to_thread(self.collector.until, have_come, f"{names} of {trace_id}")
        spans = self.collector.trace(trace_id)
        assert len({each.name for each in spans}) == len(spans)
        return {each.name: each for each in spans}


@pytest.fixture
async def traced(there: Machines, database: str, collector: Collector) -> AsyncIterator[Traced]:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "0"}
    async with audited(there.server, there.rq, database, **environ) as service:
        urls = {"REDIS_URL": there.server.url, "RQ_REDIS_URL": there.rq.url, "DATABASE_URL": database}
        with Program("worker", **urls, **environ) as worker:
            yield Traced(service, worker, collector)
            assert await asyncio.to_thread(worker.end) == 0


HTTP_SWITCH = "POST /v1/sessions/{session_id}/switch"
CALL = "FCALL sk_switch"
OUTBOX = "outbox"
STORE = "store batch"
SQL = "COPY sync_events"
SWITCHED = (HTTP_SWITCH, CALL, OUTBOX, STORE, SQL)


def assert_is_one_trace(spans: dict[str, Span], *chain: str) -> None:
    """Each span is above the next one, and begins no later."""
    for above, below in itertools.pairwise(chain):
        assert spans[below].parent_id == spans[above].span_id, (above, below)
    assert all(each.began_ns <= each.ended_ns for each in spans.values())
    assert not any(each.failed for each in spans.values())


async def test_a_switch_over_http_is_one_trace(traced: Traced) -> None:
    session_id = await game(traced.service.sessions)
    traceparent, trace_id, span_id = asked_for()
    headers = {"traceparent": traceparent, "x-request-id": "this-one"}
    reply = await traced.service.api.post(f"/v1/sessions/{session_id}/switch", headers=headers)
    assert reply.status_code == 200
    assert reply.headers["traceparent"] == traceparent
    assert reply.json()["data"]["trace"] == trace_id

    spans = await traced.trace(trace_id, *SWITCHED)
    assert set(spans) == {HTTP_SWITCH, CALL, OUTBOX, STORE, SQL}
    assert_is_one_trace(spans, HTTP_SWITCH, CALL, OUTBOX, STORE, SQL)
    request, call, outbox, store, sql = (spans[name] for name in (HTTP_SWITCH, CALL, OUTBOX, STORE, SQL))
    assert request.parent_id == span_id
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/sessions/{session_id}/switch",
        "url.path": f"/v1/sessions/{session_id}/switch",
        "http.response.status_code": 200,
        "synckairos.request.id": "this-one",
        "synckairos.session.id": session_id,
    }
    assert call.attributes["db.stored_procedure.name"] == "sk_switch"
    assert outbox.attributes["messaging.message.id"] == store.attributes["messaging.message.id"]
    assert store.links == ((trace_id, outbox.span_id),)
    assert sql.attributes["db.collection.name"] == "sync_events"
    kinds = [each.kind for each in (request, call, outbox, store, sql)]
    assert kinds == ["server", "client", "producer", "consumer", "client"]
    services = [each.service for each in (request, call, outbox, store, sql)]
    assert services == ["synckairos"] * 3 + ["synckairos-worker"] * 2


async def test_a_switch_over_a_socket_is_one_trace_and_so_is_one_that_nobody_asked_for(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await game(traced.service.sessions)
    traceparent, trace_id, span_id = asked_for()
    headers = {"traceparent": traceparent}
    async with traced.service.service.follow(session_id, additional_headers=headers) as watcher:
        assert (await watcher.ask(type="SWITCH", request_id="r"))["type"] == "ACK"
    spans = await traced.trace(trace_id, "SWITCH", CALL, OUTBOX, STORE, SQL)
    assert_is_one_trace(spans, "SWITCH", CALL, OUTBOX, STORE, SQL)
    assert spans["SWITCH"].parent_id == span_id
    assert spans["SWITCH"].attributes["synckairos.session.id"] == session_id

    monkeypatch.setattr(process._process, "ratio", 1.0)
    reply = await traced.service.api.post(f"/v1/sessions/{session_id}/switch")
    monkeypatch.undo()
    assert "traceparent" not in reply.headers
    spans = await traced.trace(reply.json()["data"]["trace"], *SWITCHED)
    assert_is_one_trace(spans, *SWITCHED)
    assert spans[HTTP_SWITCH].parent_id == ""


async def test_a_batch_is_linked_to_the_traces_of_its_events(traced: Traced) -> None:
    session_id = str(uuid.uuid4())
    callers = [asked_for(), asked_for("00"), asked_for()]
    texts = [*(traceparent for traceparent, _, _ in callers), "no traceparent"]
    entries = [
        Entry(f"00/{version}-0", session_id, event(session_id, version), text)
        for version, text in enumerate(texts, 1)
    ]
    job_id = await asyncio.to_thread(traced.service.queue.put, Batch(entries))
    (_, first, first_id), _, (_, other, other_id) = callers
    leading, led = await traced.trace(first, STORE, SQL), await traced.trace(other, STORE)
    assert (set(leading), set(led)) == ({STORE, SQL}, {STORE})
    assert_is_one_trace(leading, STORE, SQL)
    assert (leading[STORE].parent_id, led[STORE].parent_id) == (first_id, other_id)
    assert leading[STORE].links == ((first, first_id), (other, other_id))
    assert led[STORE].links == ((first, leading[STORE].span_id),)
    assert leading[STORE].attributes == led[STORE].attributes
    assert leading[STORE].attributes["messaging.message.id"] == job_id
    assert leading[STORE].attributes["messaging.batch.message_count"] == 4
    assert {each.trace_id for each in traced.collector.spans} == {first, other}


async def test_what_is_not_sampled_has_no_span_and_what_is_no_traceparent_does_no_harm(
    traced: Traced,
) -> None:
    session_id = await game(traced.service.sessions)
    traceparent, *_ = asked_for("00")
    path = f"/v1/sessions/{session_id}/switch"
    for headers in ({"traceparent": traceparent}, {}):
        assert (await traced.service.api.post(path, headers=headers)).status_code == 200
    with traced.service.redis() as client:
        for text in (b"\xff", b"00-1-2-01", b"x" * 10_000):
            fields = {"id": session_id, "e": "{}", "traceparent": text}
            client.xadd(keys.outbox(keys.partition(session_id)), fields)
    traceparent, refused, _ = asked_for()
    reply = await traced.service.api.post(
        f"/v1/sessions/{session_id}/resume", headers={"traceparent": traceparent}
    )
    assert reply.status_code == 400
    refusal = ("POST /v1/sessions/{session_id}/resume", "FCALL sk_resume")
    spans = await traced.trace(refused, *refusal)
    for name in refusal:
        assert spans[name].attributes["error.type"] == "INVALID_SESSION_STATE"
        assert not spans[name].failed
    traceparent, last, _ = asked_for()
    assert (await traced.service.api.post(path, headers={"traceparent": traceparent})).status_code == 200
    await traced.trace(last, *SWITCHED)
    assert {each.trace_id for each in traced.collector.spans} == {refused, last}


def test_a_collector_that_hangs_holds_up_no_answer_and_no_end(
    redis: Server, pool: Pool, database: str
) -> None:
    port = free_port()
    with Collector(hangs=True) as collector:
        environ = {
            "REDIS_URL": redis.url,
            "RQ_REDIS_URL": pool.server("valkey", "queue").url,
            "DATABASE_URL": database,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "PORT": str(port),
        }
        with Program("serve", **environ) as service, Program("worker", **environ) as worker:
            service.until(lambda: any("listening" in line for line in service.errors), "the start")
            config = {
                "sync_mode": "per_cycle",
                "time_per_cycle_ms": 60_000,
                "participants": [{"participant_id": str(uuid.uuid4())}],
            }
            for _ in range(3):
                made = httpx.post(f"http://127.0.0.1:{port}/v1/sessions", json=config, timeout=20)
                assert made.status_code == 201
            both = {"synckairos", "synckairos-worker"}
            collector.until(lambda spans: {each.service for each in spans} == both, "what hangs")
            for program in (service, worker):
                assert program.end() == 0
                assert "is killed" not in "".join(program.errors)
