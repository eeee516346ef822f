"""What `synckairos rates` makes of two looks at the metrics."""

from __future__ import annotations

import pytest

from synckairos import rates
from synckairos.doctor.memory import space_of

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
