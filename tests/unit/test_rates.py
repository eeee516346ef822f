"""What `synckairos rates` makes of two looks at the metrics."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from click.testing import CliRunner

from synckairos import rates
from synckairos.cli import main
from synckairos.doctor.memory import space_of
from tests.support.listening import listening

BEFORE = {
    ("a_total", 'code="1006"'): 5.0,
    ("b_total", ""): 7.0,
    ("c_seconds_count", 'call="get"'): 10.0,
    ("c_seconds_sum", 'call="get"'): 1.0,
}
NOW = {
    ("a_total", 'code="1006"'): 25.0,
    ("a_total", 'code="4401"'): 40.0,
    ("b_total", ""): 7.0,
    ("c_seconds_count", 'call="get"'): 14.0,
    ("c_seconds_sum", 'call="get"'): 1.5,
}


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (
            (),
            [
                '4.00 /s  a_total{code="4401"}',
                '2.00 /s  a_total{code="1006"}',
                '0.40 /s  c_seconds{call="get"}  125.0 ms each',
            ],
        ),
        (("c_", "b_"), ['0.40 /s  c_seconds{call="get"}  125.0 ms each']),
        (("d",), []),
    ],
)
def test_what_grew_the_fastest_first(names: tuple[str, ...], rows: list[str]) -> None:
    assert [row.strip() for row in rates.rows(BEFORE, NOW, 10.0, names)] == rows


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """What gives every client this answer, whatever was asked. Yields its URL."""

    class Answers(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with suppress(OSError):  # whoever has read enough is gone
                self.wfile.write(raw)

    with listening(socketserver.TCPServer(("127.0.0.1", 0), Answers)) as port:
        yield f"http://127.0.0.1:{port}/metrics"


OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"no HTTP", "does not answer"),
        (b"", "does not answer"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "does not answer"),
        (OK + b"\xff", "has no metrics"),
        (OK + b'{"data": []}', "has no metrics"),
        (OK + b'# TYPE a counter\na_total{z="} 1\n', "has no metrics"),
        (OK + b"#" * (rates.LONGEST + 1), "more than"),
    ],
    ids=["no HTTP", "nothing", "no page", "no text", "JSON", "half a label", "too much"],
)
def test_what_is_no_service_is_said_in_a_sentence(raw: bytes, says: str) -> None:
    with answering(raw) as url:
        result = CliRunner().invoke(main, ["rates", "--url", url, "--seconds", "0.1"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert says in result.output


def test_a_number_that_is_none_is_no_growth() -> None:
    assert rates.rows({("a_total", ""): 1.0}, {("a_total", ""): float("nan")}, 1.0, ()) == []


@pytest.mark.parametrize(
    ("key", "space"),
    [
        ("sk:{3f}:00000000-0000-4000-8000-00000000003f", "sessions"),
        ("sk:{3f}:00000000-0000-4000-8000-00000000003f:log", "logs of sessions"),
        ("sk:{3f}:outbox", "outboxes"),
        ("sk:{3f}:alarms", "the rest of the service"),
        ("sk:auth:key:1", "keys, links and revocations"),
        ("rq:job:1", "queue of the audit"),
        ("synckairos:audit:keeper", "queue of the audit"),
        ("cache:page:1", "keys of others (cache:*)"),
        ("cache", "keys of others (without a prefix)"),
    ],
)
def test_the_key_space_of_a_key(key: str, space: str) -> None:
    assert space_of(key) == space
