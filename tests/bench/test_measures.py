"""What the benches' figures are made with: medians, answers cut out of streams, frames."""

from __future__ import annotations

import json
import math
import socket

import pytest

from synckairos.bench import dearest, load, report, watchers
from synckairos.bench.report import Figure, Report


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([0.0, 10.0, 20.0, 30.0], 1.0, 30.0),
        ([0.0, 10.0, 20.0, 30.0], 0.0, 0.0),
    ],
)
def test_percentiles_lie_between_neighbours(values: list[float], share: float, value: float) -> None:
    assert report.percentile(values, share) == value


def test_no_values_have_no_percentile() -> None:
    assert math.isnan(report.percentile([], 0.5))


@pytest.mark.parametrize(
    ("bounds", "ratio", "met"),
    [
        ({}, 2.0, None),
        ({"at_least": 0.5}, 0.5, True),
        ({"at_least": 0.5}, 0.4, False),
        ({"at_most": 1.5}, 1.6, False),
        ({"at_most": 10.0}, None, True),
        ({"at_most": 1.0}, None, False),
    ],
)
def test_a_target_is_one_for_the_ratio_where_there_is_one(
    bounds: dict[str, float], ratio: float | None, met: bool | None
) -> None:
    assert Figure(name="x", value=5.0, unit="", ratio=ratio, **bounds).met is met  # type: ignore[arg-type]


def test_a_report_is_a_table_and_json() -> None:
    made = Report("core", quick=True, versions={"redis": "7.0.15"})
    made.figures = [
        Figure(
            name="switches",
            value=1234.5,
            unit="/s",
            yardstick="SET",
            yardstick_value=2469.0,
            ratio=0.5,
            at_least=0.6,
        ),
        Figure(name="nothing", value=math.nan, unit="ms", note="there was none"),
        Figure(name="no time", value=1.0, unit="us", yardstick="SET", yardstick_value=math.inf, ratio=0.0),
    ]
    document = json.loads(made.as_json())
    assert document["machine"]["redis"] == "7.0.15"
    assert [(figure["value"], figure["met"]) for figure in document["figures"]] == [
        (1234.5, False),
        (None, None),
        (1.0, None),
    ]
    lines = made.table().splitlines()
    assert lines[2].split() == ["switches", "1,234", "/s", "SET", "2,469", "0.500", ">=", "0.6", "MISSED"]
    assert lines[3].split() == ["nothing", "-", "ms"]
    assert lines[4].split() == ["no", "time", "1", "us", "SET", "-", "0.000"]
    assert lines[-1] == "nothing: there was none"


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (load.redis_answer, b"$5\r\nhello\r\n"),
        (load.redis_answer, b"$-1\r\n"),
        (load.redis_answer, b"-ERR no\r\n"),
        (load.redis_answer, b"+OK\r\n"),
        (load.http_answer, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: y\r\n\r\n{}"),
        (load.http_answer, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ],
)
def test_an_answer_counts_when_all_of_it_is_there(answer: object, whole: bytes) -> None:
    assert callable(answer)
    assert [answer(whole[:size]) for size in range(len(whole))] == [0] * len(whole)
    assert answer(whole) == answer(whole + whole) == len(whole)


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_frames_are_found_however_they_are_cut(step: int) -> None:
    event = b'{"v":1,"type":"STATE_UPDATE","session_id":"x","version":17,"payload":{"text":"%b"}}'
    payloads = [b"{}", event % b"", event % (b"x" * 300), event % (b"y" * 70_000)]
    sizes = [b"\x02", bytes([len(payloads[1])]), b"\x7e" + len(payloads[2]).to_bytes(2, "big")]
    sizes.append(b"\x7f" + len(payloads[3]).to_bytes(8, "big"))
    frames = b"".join(b"\x81" + size + payload for size, payload in zip(sizes, payloads, strict=True))
    stream = b"\x89\x00\x89\x03abc" + frames
    here, there = socket.socketpair()
    seen: list[bytes] = []
    with here, there:
        watcher = watchers.Watcher(here, b"")
        for start in range(0, len(stream), step):
            watchers._receive(watcher, watcher.data + stream[start : start + step], seen.append)
        assert there.recv(100) == b"\x8a\x80\0\0\0\0\x8a\x83\0\0\0\0abc", "each ping has its pong"
    assert seen == payloads
    assert [watchers.event_version(payload) for payload in seen] == [0, 17, 17, 17]


def test_the_dearest_calls_are_multiples_of_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured are as many calls as there may be; here, two that are cheap to prepare."""
    chosen = {
        name: case
        for name, case in dearest.CASES.items()
        if "metadata of 10 KB" in name or "wrong texts" in name
    }
    assert len(chosen) == 2
    assert len(dearest.CASES) > dearest.SHOWN
    monkeypatch.setattr(dearest, "CASES", chosen)
    first, *others = dearest.run(["valkey"], quick=True).figures
    assert (first.unit, first.at_most, first.note) == ("ms", 50.0, others[0].name[8:-5])
    assert [figure.yardstick for figure in others] == ["a switch"] * 2
    assert all(figure.ratio is not None and figure.ratio > 0 for figure in others)


def test_every_function_of_a_session_is_among_the_calls_that_are_measured() -> None:
    """Those that are left out change one session in the way of one that is measured."""
    measured = {name.split(",")[0].split(" ")[0] for name in dearest.CASES}
    assert measured >= {"sk_create", "sk_get", "sk_log", "sk_restore", "sk_import", "sk_join", "sk_leave"}
    assert measured >= {"sk_move_out", "sk_move_in", "sk_delete", "sk_switch"}
