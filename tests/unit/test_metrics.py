"""The page of metrics, the names that are recorded from them, and what a scrape does not show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.mark.parametrize("seen", [(1, 0), (0, 1), (0, 0)])
def test_a_server_is_up_when_one_process_reaches_it(seen: tuple[int, ...], tmp_path: Path) -> None:
    """Each process of a service leaves a file, and whichever of them is asked reads all."""

    def run(code: str) -> str:
        command = [sys.executable, "-c", f"from synckairos import metrics; {code}"]
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        return subprocess.run(command, env=environ, capture_output=True, check=True, text=True).stdout

    up = {name: max(seen) for name in ("redis_up", "postgres_up", "sentinels_ok")}
    for value in seen:
        run("; ".join(f"metrics.{name}.labels('a').set({value})" for name in up))
    families = text_string_to_metric_families(run("print(metrics.render().decode())"))
    found = {sample.name: sample.value for family in families for sample in family.samples}
    assert {name: found[f"synckairos_{name}"] for name in up} == up


def test_a_value_that_is_not_known_is_not_shown() -> None:
    gauge = metrics.redis_up.labels("a-server-of-this-test:1")
    series = ("synckairos_redis_up", {"server": "a-server-of-this-test:1"})
    gauge.set(1)
    assert series in shown()
    gauge.set(metrics.UNKNOWN)
    assert series not in shown()
