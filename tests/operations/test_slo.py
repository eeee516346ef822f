"""Error budgets in a real Prometheus: it is given thirty days of events, and the report says what is left."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support import programs
from tests.support.pages import ROOT
from tests.support.prometheus import Prometheus

RULES = ROOT / "deploy" / "prometheus" / "rules" / "slo.yaml"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
WINDOW_S = 30 * DAY_S
STEP_S = 10 * MINUTE_S
"""Samples of the past are this far from each other, and those of the last hours a minute."""
RECENT_S = 8 * HOUR_S
CREATE_BLOCKS = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=768h", "openmetrics"]
EVENTS = 10.0
"""Events a second, of each objective."""


def bad_ratio(slo: str, ago_s: float) -> float:
    """How many events of an objective were bad at a moment of the past."""
    if slo == "availability":  # it burns five times as fast as it may, since two hours
        return 0.005 if ago_s < 2 * HOUR_S else 0.0001
    if slo == "expiry":  # an outage spent all of it, and it is well since
        return 0.5 if 2 * HOUR_S < ago_s < 5 * HOUR_S else 0.0
    if slo == "delivery":  # nobody woke for it: it burns slowly
        return 0.0005
    return 0.0


def past(now: float) -> Iterator[str]:
    """What the rules would have recorded, as OpenMetrics. A sample of ten minutes weighs as ten of one."""
    moments = [now - ago for ago in range(WINDOW_S, RECENT_S, -STEP_S)]
    moments += [now - ago for ago in range(RECENT_S, 0, -MINUTE_S)]
    for name in ("events", "bad_events"):
        yield f"# TYPE slo:{name}:rate5m gauge"
        for slo in ("switch", "availability", "expiry", "delivery"):
            for moment in moments:
                weight = STEP_S / MINUTE_S if now - moment > RECENT_S else 1
                ratio = 1.0 if name == "events" else bad_ratio(slo, now - moment)
                yield f'slo:{name}:rate5m{{slo="{slo}"}} {EVENTS * weight * ratio} {moment:.0f}'
    yield "# TYPE slo:objective:ratio gauge"
    for ago in range(WINDOW_S, 10 * MINUTE_S, -MINUTE_S):  # not up to now: the rules record them with titles
        yield f'slo:objective:ratio{{slo="switch"}} 0.999 {now - ago:.0f}'
    yield "# EOF\n"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that knows the last thirty days, and looks at its rules every second."""
    folder = tmp_path_factory.mktemp("slo")
    history = folder / "history.txt"
    history.write_text("\n".join(past(time.time())))
    subprocess.run(
        [*CREATE_BLOCKS, str(history), str(folder / "data")],
        check=True,
        capture_output=True,
    )
    groups: dict[str, list[dict[str, Any]]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in groups["groups"]:
        group["interval"] = "1s"
    rules = folder / "slo.yaml"
    rules.write_text(yaml.safe_dump(groups))

    def change(config: dict[str, Any]) -> None:
        config["rule_files"] = [str(rules)]

    with Prometheus(folder, {}, change=change) as started:
        started.until("slo:error_budget_left:ratio", lambda found: len(found) == 4)
        yield started


def report(prometheus: Prometheus, *options: str) -> subprocess.CompletedProcess[str]:
    return programs.run("slo", "report", "--prometheus", prometheus.url, *options)


def test_the_report_says_what_is_left(prometheus: Prometheus) -> None:
    done = report(prometheus, "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    budgets = {each["slo"]: each for each in found["budgets"]}
    assert budgets.keys() == {"switch", "read", "availability", "delivery", "expiry"}
    assert found["window_s"] == WINDOW_S
    assert found["counted_s"] == pytest.approx(WINDOW_S, rel=0.01)
    used = {name: each["used"] for name, each in budgets.items()}
    assert used["read"] is None  # nobody read
    assert used["switch"] == 0
    assert used["delivery"] == pytest.approx(0.5, rel=0.01)
    # A tenth of what may be bad in 718 hours, and five times as much in two.
    assert used["availability"] == pytest.approx((0.1 * 718 + 5 * 2) / 720, rel=0.03)
    assert used["expiry"] == pytest.approx(500 * 3 / 720, rel=0.1)
    assert [name for name, each in budgets.items() if each["spent"]] == ["expiry"]
    assert budgets["availability"]["burn_rate"] == pytest.approx(5, rel=0.01)
    assert budgets["availability"]["now"] == pytest.approx(0.995)
    assert budgets["availability"]["lasts_until"] > found["at"]
    assert budgets["delivery"]["lasts_until"] is not None or budgets["delivery"]["left"] > 0.499


def test_the_report_for_people(prometheus: Prometheus) -> None:
    done = report(prometheus)
    assert done.returncode == 1
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert lines["expiry"].endswith("spent")
    assert lines["read"].endswith("no events")
    assert lines["switch"].endswith("more than 30 days")
    assert "only" not in done.stdout


def test_what_burns_raises_its_alert(prometheus: Prometheus) -> None:
    def firing(found: list[Any]) -> bool:
        return {(each.labels["slo"], each.labels["window"]) for each in found} == {("expiry", "3d")}

    # A burn rate of 5 is too little for the fast windows, and two hours of it for the slow one. What was
    # spent hours ago is over for the fast windows.
    prometheus.until('ALERTS{alertname="SyncKairosBudgetBurns",alertstate="firing"}', firing)
