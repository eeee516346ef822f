"""The load test: latencies count from the planned moment, and what fails is no success."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pytest

from synckairos.bench.loadtest import audience, charts, objectives, page, summary, traffic
from synckairos.bench.loadtest.audience import _decode, _note
from synckairos.bench.loadtest.gauges import Gauges
from synckairos.bench.loadtest.plan import FULL
from synckairos.bench.loadtest.result import Result, report
from synckairos.bench.loadtest.samples import Samples, over_time, per_second
from synckairos.run.processes import free_port
from tests.support import programs
from tests.support.pages import ROOT

OBJECTIVES = ["switch", "read", "availability", "delivery", "expiry"]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 42\r\n\r\n"
    b'{"error":{"code":"STORAGE_UNAVAILABLE"}}  '
)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


@contextmanager
def stand_in(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that hands each request to `answer`, on a thread for each connection. Gives its port."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(1 << 16):
                    answer(connection)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def sent(port: int, rate: float, seconds: float) -> traffic.Outcome:
    """What came of requests to a stand-in."""
    sender = traffic._Sender(port, [traffic.Kind("read", rate, [REQUEST])], seed=1)
    sender.run(time.perf_counter(), seconds)
    return sender.outcome


def test_a_standstill_makes_all_requests_late_that_were_due_meanwhile() -> None:
    opened = threading.Event()

    def after_the_standstill(connection: socket.socket) -> None:
        opened.wait()
        connection.sendall(OK)

    with stand_in(after_the_standstill) as port:
        threading.Timer(0.8, opened.set).start()
        outcome = sent(port, 400, 1.0)
    latencies = outcome.latencies["read"]
    due = [(at, value) for at, value in zip(latencies.at, latencies.values, strict=True) if at < 0.7]
    # Some 280 were due, and only 64 connections waited: the others had not even been sent.
    assert len(due) > 2 * traffic.CONNECTIONS
    assert all(value > 0.75 - at for at, value in due)
    assert not outcome.failures


def test_what_is_refused_is_no_latency_and_keeps_its_code() -> None:
    with stand_in(lambda connection: connection.sendall(REFUSED)) as port:
        outcome = sent(port, 100, 0.2)
    assert not outcome.latencies["read"]
    assert {(each.kind, each.code, each.status, each.unavailable) for each in outcome.failures} == {
        ("read", "STORAGE_UNAVAILABLE", 503, True)
    }


def test_a_refusal_without_a_code_has_its_status() -> None:
    assert traffic.error_code(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") == "404"
    assert not traffic.Failure(0.0, "read", "404", 404).unavailable


def test_a_connection_that_ends_is_a_failure_and_another_takes_its_place() -> None:
    with stand_in(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as port:
        outcome = sent(port, 500, 0.5)
    assert len(outcome.failures) > traffic.CONNECTIONS
    assert {each.code for each in outcome.failures} == {traffic.CLOSED}


def test_a_request_without_an_answer_is_slow_and_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_S", 0.3)
    with stand_in(lambda _connection: None) as port:
        outcome = sent(port, 300, 0.6)
    assert len(outcome.failures) == len(outcome.latencies["read"]) > traffic.CONNECTIONS
    assert {each.code for each in outcome.failures} == {traffic.TIMEOUT}
    assert min(outcome.latencies["read"].values) >= 0.3


def test_a_service_that_is_away_is_unavailable_and_the_load_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_S", 0.3)
    outcome = sent(free_port(), 100, 0.4)
    assert len(outcome.failures) > 10
    assert {(each.code, each.unavailable) for each in outcome.failures} == {(traffic.TIMEOUT, True)}


def test_an_own_delay_begins_when_a_connection_is_free() -> None:
    """A sender whose connections are all busy is not late itself: that is the service's part."""
    opened = threading.Event()
    with stand_in(lambda connection: connection.sendall(OK) if opened.wait() else None) as port:
        threading.Timer(0.5, opened.set).start()
        outcome = sent(port, 400, 0.4)
    latencies = outcome.latencies["read"]
    waited = [value for at, value in zip(latencies.at, latencies.values, strict=True) if at < 0.3]
    assert min(waited) > 0.15
    assert sorted(outcome.own_delays.values)[len(outcome.own_delays) // 2] < 0.1


def message(version: int, kind: str = "STATE_UPDATE", **payload: int) -> audience._Message:
    return _decode(
        json.dumps(
            {"type": kind, "session_id": "s", "version": version, "server_time_ms": 1_000, "payload": payload}
        )
    )


def test_a_socket_tells_what_is_missing_repeated_and_late() -> None:
    outcome = audience.Outcome()
    for each in (
        message(3, "STATE_SYNC"),
        message(4),
        message(4),
        message(7),  # 5 and 6 are missing
        message(9, "STATE_SYNC"),  # 8 and 9 came as a state
        message(10, "TIME_EXPIRED", late_ms=4, expired_deadline_ms=996),
    ):
        _note(outcome, each, now=1.025)
    assert (outcome.missing, outcome.repeated, outcome.resynchronised) == (2, 1, 2)
    assert outcome.versions == {"s": 10}
    assert list(outcome.deliveries.values) == pytest.approx([0.025] * 3)
    assert (list(outcome.lateness.at), list(outcome.lateness.values)) == ([0.996], [0.004])


def samples(*values: float) -> Samples:
    found = Samples()
    for number, value in enumerate(values):
        found.add(number * 0.1, value)
    return found


def result(**changes: Any) -> Result:
    """A result of ten seconds in which all went well."""
    made = Result(
        load=replace(FULL, seconds=10),
        objectives=objectives.load(),
        sent=traffic.Outcome(
            {"switch": samples(*[0.004] * 100), "read": samples(*[0.002] * 100)}, [], samples(0.0001, 0.0002)
        ),
        seen=audience.Outcome(
            deliveries=samples(*[0.001] * 50), lateness=samples(*[0.001] * 10), own_delays=samples(0.0001)
        ),
        gauges=Gauges(
            {"Redis": [(0.0, 1e7), (9.0, 2e7)], "service": [(0.0, 9e7)]},
            {"Redis": [(1.0, 0.1), (2.0, 0.3)]},
            {"events in outboxes": [(0.0, 0.0), (9.0, 0.0)]},
        ),
        missing=0,
        overdue=0,
        happened=200,
        stored=200,
        versions={"valkey": "9.1.2"},
    )
    return replace(made, **changes)


def judged(found: Result) -> dict[str, tuple[int, int, bool | None]]:
    return {each.objective.name: (each.count, each.good, each.met) for each in found.judged}


def test_every_objective_is_judged() -> None:
    found = result()
    assert found.met
    assert judged(found) == {
        "switch": (100, 100, True),
        "read": (100, 100, True),
        "availability": (200, 200, True),
        "delivery": (50, 50, True),
        "expiry": (10, 10, True),
    }


def test_objectives_come_from_the_file_that_prometheus_has_its_rules_from(tmp_path: Path) -> None:
    assert objectives.shipped() == ROOT / "deploy" / "slo.yaml"
    own = tmp_path / "slo.yaml"
    own.write_text(
        (ROOT / "deploy" / "slo.yaml").read_text().replace("within_seconds: 0.01", "within_seconds: 0.001")
    )
    assert judged(result(objectives=objectives.load(own)))["read"] == (100, 0, False)
    own.write_text("objectives: {}")
    with pytest.raises(click.ClickException, match=r"slo\.yaml: "):
        objectives.load(own)


def test_an_objective_that_no_load_can_tell_about_is_left_out() -> None:
    other = objectives.Objective("restores", 0.999, 1.0)
    assert "restores" not in judged(result(objectives=(*objectives.load(), other)))


def test_what_failed_was_lost_or_unnoticed_is_not_good() -> None:
    all_well = result()
    latencies = {"switch": samples(*[0.004] * 98, 0.06), "read": samples(*[0.002] * 99, 10.0)}
    failures = [
        traffic.Failure(0.5, "switch", "RATE_LIMIT_EXCEEDED", 429),
        traffic.Failure(1.5, "read", traffic.TIMEOUT, 0),
    ]
    found = replace(all_well, sent=traffic.Outcome(latencies, failures, samples(0.1)), missing=2, overdue=1)
    assert not found.met
    assert judged(found) == {
        "switch": (100, 98, False),  # one was slow, and one was refused
        "read": (100, 99, False),
        "availability": (200, 199, False),  # a refusal is an answer
        "delivery": (52, 50, False),
        "expiry": (11, 10, False),
    }
    table = summary.table(found)
    assert "1 switch: RATE_LIMIT_EXCEEDED, 1 read: TIMEOUT" in table
    assert "events that did not reach their socket: 2" in table


def test_nothing_to_judge_is_not_missed_but_a_lost_event_is() -> None:
    idle = result(seen=audience.Outcome())
    assert judged(idle)["expiry"] == (0, 0, None)
    assert idle.met
    assert all(each.met is not False for each in report(idle, quick=True).figures)
    assert not result(stored=199).met
    assert result(stored=None, happened=None).met


def test_a_load_that_was_late_itself_says_so() -> None:
    assert "take care" not in summary.table(result())
    for latecomer in (
        result(sent=replace(result().sent, own_delays=samples(*[0.0] * 90, *[0.02] * 10))),
        result(seen=replace(result().seen, own_delays=samples(*[0.0] * 90, *[0.02] * 10))),
        result(sent=replace(result().sent, cpu_s=9.0)),
    ):
        assert "take care" in summary.table(latecomer)


def test_a_share_is_not_rounded_up_to_all() -> None:
    assert summary.percent(1.0) == "100 %"
    assert summary.percent(0.9999999) == "99.999 %"
    assert summary.percent(0.99934) == "99.934 %"


def test_lines_over_time_leave_out_steps_without_values() -> None:
    found = Samples()
    for at, value in ((0.1, 1.0), (0.2, 3.0), (2.5, 5.0), (9.0, 7.0)):
        found.add(at, value)
    assert over_time(found, 1.0, 3.0)[0.5] == [(0.5, 2.0), (2.5, 5.0)]
    assert per_second(found.at, 2.0, 3.0) == [(1.0, 1.0), (3.0, 1.0)]
    window = found.window(0.2, 3.0)
    assert list(window.at) == pytest.approx([0.0, 2.3])
    assert list(window.values) == [3.0, 5.0]


@pytest.mark.parametrize(
    ("axis", "ticks", "places"),
    [
        (charts.linear(23.0, str), (0, 5, 10, 15, 20, 25), {0: 0.0, 12.5: 0.5, 30: 1.0}),
        (charts.linear(0.0, str), (0.0, 1.0), {0.0: 0.0}),
        (charts.decades(0.0004, 0.05, str), (1e-4, 1e-3, 1e-2, 1e-1), {1e-4: 0.0, 1e-1: 1.0, 0.0: 0.0}),
    ],
)
def test_axes_have_round_ticks(
    axis: charts.Axis, ticks: tuple[float, ...], places: dict[float, float]
) -> None:
    assert axis.ticks == pytest.approx(ticks)
    for value, place in places.items():
        assert axis.place(value) == pytest.approx(place)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sessions": 100, "sockets": 10}, "too few"),
        ({"sockets": 100}, "--sockets has to be at least"),
        ({"sessions": 1000, "expiries": 5, "switches": 6000}, "switches"),
        ({"reads": 20_000}, "reads"),
    ],
)
def test_a_load_that_contradicts_itself_is_refused(changes: dict[str, Any], why: str) -> None:
    FULL.check()
    with pytest.raises(click.UsageError, match=why):
        replace(FULL, **changes).check()


class References(HTMLParser):
    """What a page would load, and its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "href", "srcset", "data", "xlink:href")
        self.loaded += [value or "" for name, value in attrs if name in names]


def test_the_page_needs_nothing_but_itself() -> None:
    text = page.page(result())
    found = References(text)
    assert found.loaded == []
    assert "script" not in found.tags
    assert "url(" not in text
    assert "@import" not in text
    assert found.tags.count("svg") == found.tags.count("figure") == 10
    assert "every objective was met" in text
    assert "an objective was missed" in page.page(result(stored=1))


def test_load_says_by_its_exit_code_whether_objectives_were_met(tmp_path: Path) -> None:
    file, written = tmp_path / "report.json", tmp_path / "report.html"
    # It starts four programs, which takes a minute on a busy machine.
    run = subprocess.run(
        [*programs.COMMAND, "bench", "load", "--quick", "--json", str(file), "--html", str(written)],
        env={**programs.ENVIRON, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report = json.loads(file.read_text())
    figures = {figure["name"]: figure for figure in report["figures"]}
    missed = [name for name, figure in figures.items() if figure["met"] is False]
    assert run.returncode == (1 if missed else 0), run.stderr
    assert all(name.split()[0] in OBJECTIVES for name in missed), "an event was lost"
    assert [name for name in OBJECTIVES if any(each.startswith(name) for each in figures)] == OBJECTIVES
    for name in OBJECTIVES:
        assert name in run.stdout
    stored = figures["events stored in PostgreSQL"]
    assert stored["value"] == stored["yardstick_value"] > 600
    assert report["details"]["deliveries_missing"] == report["details"]["clocks_overdue"] == 0
    assert report["details"]["failures"] == {}
    assert References(written.read_text()).loaded == []
    assert {each.name for each in tmp_path.iterdir()} == {"report.json", "report.html"}
