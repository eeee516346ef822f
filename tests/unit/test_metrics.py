"""The page of metrics, the names that are recorded from them, and what a scrape does not show."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from synckairos import metrics, metrics_page
from tests.support.pages import ROOT
from tests.support.prometheus import SHIPPED

CONTRACT = {
    "redis_up",
    "postgres_up",
    "websocket_connections_total",
    "http_requests_total",
    "http_request_duration_ms",
    "active_sessions_total",
    "cycle_switches_per_second",
    "session_creates_per_minute",
    "websocket_disconnects_total",
    "redis_operation_duration_ms",
    "redis_pubsub_latency_ms",
    "db_write_queue_size",
    "db_write_failures_total",
}
"""The names that are promised."""


def rules() -> list[dict[str, Any]]:
    text = (SHIPPED / "rules" / "recorded.yaml").read_text()
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def served() -> set[str]:
    """The names of all series that the service and the worker have."""
    found = set()
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            name = next(iter(metric.describe())).name
            ends = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}
            found |= {name + end for end in ends[type(metric)]}
    return found


def shown() -> Iterator[tuple[str, dict[str, str]]]:
    for family in text_string_to_metric_families(metrics.render().decode()):
        yield from ((sample.name, sample.labels) for sample in family.samples)


def test_the_page_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(metrics_page.metrics)
    assert printed.exit_code == 0
    assert (SHIPPED / "METRICS.md").read_text() == printed.output, "synckairos metrics > METRICS.md"


def test_every_promised_name_is_recorded() -> None:
    assert {rule["record"] for rule in rules()} == CONTRACT
    quantiles = {
        rule["labels"]["quantile"] for rule in rules() if rule["record"] == "http_request_duration_ms"
    }
    assert quantiles == {"0.5", "0.95", "0.99"}
    operations = {rule["labels"]["operation"] for rule in rules() if "operation" in rule.get("labels", {})}
    assert operations == {"get", "setex"}


def test_the_readme_says_what_each_name_is() -> None:
    text = (SHIPPED / "README.md").read_text()
    assert {name for name in CONTRACT if f"`{name}" in text} == CONTRACT


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["record"])
def test_what_is_recorded_comes_from_metrics_that_there_are(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\bsynckairos_\w+", rule["expr"]))
    assert used
    assert used <= served()


def test_each_call_that_only_reads_is_recorded_as_a_read() -> None:
    """A call that is missing among the reads would be taken for a write."""
    (reads,) = {found for rule in rules() for found in re.findall(r'call[=!]~"([^"]+)"', rule["expr"])}
    called = {"sk_get", "sk_log", "sk_info"}  # those with FCALL_RO
    for file in (ROOT / "synckairos").rglob("*.py"):
        called |= {word.lower() for word in re.findall(r'connection\.read\("(\w+)"', file.read_text())}
    assert set(reads.split("|")) == called


def test_a_value_that_is_not_known_is_not_shown() -> None:
    gauge = metrics.redis_up.labels("a-server-of-this-test:1")
    series = ("synckairos_redis_up", {"server": "a-server-of-this-test:1"})
    gauge.set(1)
    assert series in shown()
    gauge.set(metrics.UNKNOWN)
    assert series not in shown()


SAYS = """
import sys
from synckairos import metrics
up, used = sys.argv[1:]
metrics.switches.inc(3)
metrics.redis_calls.labels("sk_get").observe(0.004)
metrics.redis_up.labels("a").set(float(up))
metrics.redis_memory.labels("a").set(float(used))
print("said", flush=True)
sys.stdin.read()
"""
ASKS = """
import sys
from synckairos import metrics
for process in sys.argv[1:]:
    metrics.process_ended(int(process))
print(metrics.render().decode())
"""
ENDS = """
import sys, time
from threading import Event, Thread
from synckairos import metrics
over, seen, add = Event(), set(), metrics._add
def add_slowly(*files):
    add(*files)
    time.sleep(0.3)  # a scrape that did not wait would see the same counts twice
metrics._add = add_slowly
def counts():
    text = metrics.render().decode()
    return "".join(line for line in text.splitlines(True) if line.startswith("synckairos_switches_total"))
def scrape():
    while not over.is_set():
        seen.add(counts())
before = counts()
scraping = Thread(target=scrape)
scraping.start()
for process in sys.argv[1:]:
    metrics.process_ended(int(process))
over.set()
scraping.join()
metrics.process_ended(0)  # adds what could not be added, because a scrape was under way
assert seen | {counts()} == {before}, seen
print(before)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of several processes whose metrics are shown together."""
    return {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}


@contextmanager
def saying(environ: dict[str, str], *each: tuple[str, str]) -> Iterator[list[subprocess.Popen[str]]]:
    """A process for each, which says whether it reaches a server and what the server uses; it waits then."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", SAYS, *values],
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for values in each
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "said\n"
        yield processes


def printed(environ: dict[str, str], program: str, ended: Iterable[subprocess.Popen[str]]) -> list[str]:
    command = [sys.executable, "-c", program, *(str(process.pid) for process in ended)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_of_several_processes_one_that_reaches_a_server_is_enough_and_none_speaks_after_its_end(
    environ: dict[str, str],
) -> None:
    def shown_without(*ended: subprocess.Popen[str]) -> set[str]:
        return {line for line in printed(environ, ASKS, ended) if 'server="a"' in line}

    up, memory = 'synckairos_redis_up{server="a"}', 'synckairos_redis_memory_bytes{server="a"}'
    with saying(environ, ("1", "10")) as reaches, saying(environ, ("0", "20")) as cut_off:
        assert shown_without() == {f"{up} 1.0", f"{memory} 20.0"}
        assert shown_without(*cut_off) == {f"{up} 1.0", f"{memory} 10.0"}
        assert shown_without(*reaches, *cut_off) == set()


def test_what_was_counted_stays_and_a_scrape_reads_no_more_files_for_each_process_that_ended(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with saying(environ, *[("1", "10")] * 3) as processes:
        pass
    assert "synckairos_switches_total 9.0" in printed(environ, ENDS, processes)
    assert {file.name for file in tmp_path.glob("*_ended.db")} == {"counter_ended.db", "histogram_ended.db"}
    assert not [file for process in processes for file in tmp_path.glob(f"*_{process.pid}.db")]
    with saying(environ, ("1", "10")) as more:
        pass
    lines = printed(environ, ASKS, more)
    assert "synckairos_switches_total 12.0" in lines
    assert 'synckairos_redis_call_seconds_bucket{call="sk_get",le="0.0025"} 0.0' in lines
    assert 'synckairos_redis_call_seconds_bucket{call="sk_get",le="0.005"} 4.0' in lines
    assert 'synckairos_redis_call_seconds_count{call="sk_get"} 4.0' in lines


def test_what_a_process_says_of_a_gauge_ends_with_it() -> None:
    """Else a server that is long gone would be shown, and warned of, until the service starts again."""
    modes = {gauge._multiprocess_mode for gauge in vars(metrics).values() if isinstance(gauge, Gauge)}
    assert all(mode.startswith("live") for mode in modes)
