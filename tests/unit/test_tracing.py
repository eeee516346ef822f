"""Tracing without a collector: which calls are sampled, what a line of the log says, what is not imported."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest
import zstandard

from synckairos.audit.jobs import decode_job, encode_job
from synckairos.audit.rows import Batch, Entry
from synckairos.core.calls import Sessions
from synckairos.core.model import Options
from synckairos.errors import SessionNotFound
from synckairos.tracing import process
from synckairos.tracing.spans import Attributes, Kind, Span, below, current, enter, under
from synckairos.tracing.traceparent import is_sampled, is_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEPT = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_KEPT = f"00-{TRACE}-00f067aa0ba902b7-00"


class Made:
    """A span that is sent nowhere."""

    trace_id, span_id, traceparent = TRACE, "00f067aa0ba902b7", KEPT

    def __init__(self, name: str, parent: str | None = None) -> None:
        self.name, self.parent = name, parent
        self.ended = False
        self.errors: list[BaseException | None] = []

    def begin(self, name: str, _kind: Kind, _attributes: Attributes | None = None) -> Span:
        return Made(name, self.name)

    def set(self, attributes: Attributes) -> None:
        """Nobody asks for them."""

    def end(self, error: BaseException | None = None) -> None:
        self.ended = True
        self.errors.append(error)


class Tracer:
    """Makes such spans."""

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
        return Made(name, parent)

    def close(self) -> None:
        """Nothing waits."""


@pytest.fixture
def ratio(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the ratio; the process makes spans."""
    monkeypatch.setattr(process._process, "tracer", Tracer())
    monkeypatch.setattr(process._process, "second", -1)
    monkeypatch.setattr(process, "monotonic", lambda: 1.5)
    return lambda value: monkeypatch.setattr(process._process, "ratio", value)


def begun(traceparent: str | None) -> bool:
    return process.begin("a call", Kind.SERVER, traceparent, dict) is not None


@pytest.mark.parametrize(
    ("traceparent", "share", "sampled"),
    [
        (None, 1.0, True),
        (None, 0.0, False),
        (KEPT, 0.0, True),
        (NOT_KEPT, 1.0, False),
        (KEPT.replace("-01", "-03"), 0.0, True),
        (KEPT.replace("-01", "-02"), 1.0, False),
    ],
)
def test_a_call_is_sampled_as_its_callers_trace_or_by_chance(
    ratio: Any, traceparent: str | None, share: float, sampled: bool
) -> None:
    ratio(share)
    assert begun(traceparent) is sampled


def test_chance_is_the_ratio(ratio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio(0.01)
    drawn = iter([0.0, 0.0099, 0.01, 0.5])
    monkeypatch.setattr("random.random", lambda: next(drawn))
    assert [begun(None) for _ in range(4)] == [True, True, False, False]


def test_callers_cannot_have_every_request_sampled(ratio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio(0.0)
    assert sum(begun(KEPT) for _ in range(1000)) == process.MOST_ASKED_FOR
    monkeypatch.setattr(process, "monotonic", lambda: 2.0)
    assert begun(KEPT)


@pytest.mark.parametrize("here", [True, False], ids=["spans are made", "none are made"])
async def test_storing_an_event_is_not_traced_where_its_call_was_refused_to_be(
    monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    """Else the bound on what callers may ask for would hold for one process of two."""
    monkeypatch.setattr(process._process, "tracer", Tracer() if here else None)
    connection = Mock(fcall=AsyncMock(side_effect=SessionNotFound))
    with pytest.raises(SessionNotFound):
        await Sessions(connection, 60).start(str(uuid.uuid4()), Options(traceparent=KEPT))
    (called,) = connection.fcall.call_args_list
    assert ("TRACEPARENT" in called.args[2]) is not here


def test_what_is_not_sampled_asks_for_no_attributes(ratio: Any) -> None:
    ratio(0.0)

    def attributes() -> Attributes:
        raise AssertionError("the call has no span")

    assert process.begin("a call", Kind.SERVER, None, attributes) is None


def test_a_span_is_the_current_one_until_it_ends() -> None:
    assert current() is None
    with below("nothing is above it", Kind.CLIENT) as none:
        assert none is None
    outer = Made("outer")
    enter(outer)
    assert current() is outer
    with below("inner", Kind.CLIENT) as inner:
        assert inner is current()
        assert isinstance(inner, Made)
        assert (inner.name, inner.parent) == ("inner", "outer")
    assert current() is outer
    failure = ValueError("not told")
    with pytest.raises(ValueError, match="not told"), under(Made("fails")) as failing:
        raise failure
    assert isinstance(failing, Made)
    assert failing.errors == [failure]
    outer.end()
    assert current() is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (KEPT, True),
        (KEPT.replace("00-", "01-", 1) + "-more", True),
        (KEPT + "-more", False),
        (KEPT.replace("00-", "ff-", 1), False),
        (KEPT.upper(), False),
        (KEPT.replace(TRACE, "0" * 32), False),
        (KEPT[:-1], False),
        (KEPT + "\n", False),
        ("", False),
    ],
)
def test_what_is_a_traceparent(text: str, *, is_one: bool) -> None:
    assert is_traceparent(text) is is_one


def test_only_the_last_bit_of_the_flags_says_that_a_trace_is_kept() -> None:
    kept = [flags for flags in ("00", "01", "02", "03", "fe", "ff") if is_sampled(NOT_KEPT[:-2] + flags)]
    assert kept == ["01", "03", "ff"]


def test_a_batch_has_the_traceparents_that_are_some() -> None:
    given = [KEPT, None, "no traceparent", NOT_KEPT]
    entries = [Entry(f"00/{place}-0", "an id", b"{}", text) for place, text in enumerate(given)]
    assert decode_job(encode_job(Batch(entries))) == Batch(
        [
            entry._replace(traceparent=entry.traceparent if entry.traceparent == KEPT else None)
            for entry in entries
        ],
        [],
        {},
    )


class EarlierContents(msgspec.Struct):
    """The table of contents of a batch as the release before has it."""

    entries: list[tuple[str, str, int]]
    snapshots: list[int]
    tenants: dict[str, str] = {}


def test_batches_with_and_without_traceparents_are_read_by_this_release_and_the_one_before() -> None:
    batch = Batch([Entry("00/1-0", "an id", b"{}", KEPT)])
    contents, _, bodies = zstandard.decompress(b64decode(encode_job(batch))).partition(b"\n")
    earlier = msgspec.json.decode(contents, type=EarlierContents)
    assert earlier == EarlierContents([("00/1-0", "an id", 2)], [])
    plain = msgspec.json.encode(earlier) + b"\n" + bodies
    (entry,) = decode_job(b64encode(zstandard.compress(plain)).decode()).entries
    assert entry == Entry("00/1-0", "an id", b"{}")


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_opentelemetry_is_imported_without_an_endpoint() -> None:
    program = """
import asyncio, sys
from synckairos import cli, config
from synckairos.api.app import create_app
from synckairos.audit import archiver, traces, worker
from synckairos.audit.rows import Batch, Entry
from synckairos.run import cli, http_worker, serve
from synckairos.tracing import process
from synckairos.tracing.spans import Kind
settings = config.load({"OTEL_TRACES_SAMPLER_ARG": "1"})
create_app(settings)
stop = process.start(settings, "here")
assert process.begin("a call", Kind.SERVER, TRACEPARENT, dict) is None
batch = Batch([Entry("00/1-0", "an id", b"{}", TRACEPARENT)])
assert traces.begin_storing(batch) is None
with traces.leaving_outbox(batch) as same:
    assert same is batch
stop()
print([name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "requests", "google")])
""".replace("TRACEPARENT", repr(KEPT))
    assert run(program) == "[]\n"


def test_lines_of_the_log_have_the_ids_of_the_span_under_way() -> None:
    program = f"""
import logging, sys
from synckairos import config, logs
from synckairos.tracing import process
from synckairos.tracing.spans import Kind, below, under
sys.stderr = sys.stdout
logs.configure("info", production=True)
stop = process.start(config.load({{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}}), "here")
say = logging.getLogger("theirs").info
say("before")
with under(process.begin("a call", Kind.SERVER, {KEPT!r}, dict)) as span:
    say(span.span_id)
    with below("within", Kind.CLIENT) as inner:
        say(inner.span_id)
say("after")
"""
    lines = [json.loads(line) for line in run(program).splitlines()]
    # On a slow machine the exporter may say meanwhile that nobody listens there.
    before, outer, inner, after = (line for line in lines if line["logger"] == "theirs")
    for line in (before, after):
        assert "trace_id" not in line
        assert "span_id" not in line
    for line in (outer, inner):
        assert (line["trace_id"], line["span_id"]) == (TRACE, line["event"])
    assert outer["event"] != inner["event"]
