"""Alerts: each says what it is about, leads to a page, asks for series that exist, and has its four stories.

`tests/operations/test_alerts.py` plays the stories, and lets a real Alertmanager tell somebody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import Histogram

from synckairos import metrics
from tests.support.pages import ROOT, Page

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
ALERTMANAGER = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
PAGE = Page(DEPLOY / "alertmanager" / "README.md")

Rule = dict[str, Any]


def read(name: str) -> Any:
    return yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


def rules(*kinds: str) -> Iterator[Rule]:
    """The rules of all files of these kinds: `alert`, `record`."""
    for file in sorted((PROMETHEUS / "rules").glob("*.yaml")):
        for group in read(f"rules/{file.name}")["groups"]:
            yield from (rule for rule in group["rules"] if rule.keys() & set(kinds))


ALERTS = list(rules("alert"))
WRITTEN = [rule for group in read("rules/alerts.yaml")["groups"] for rule in group["rules"]]
STORIES = read("tests/alerts.yaml")["tests"]
each_alert = pytest.mark.parametrize(
    "alert", ALERTS, ids=lambda rule: f"{rule['alert']}{rule['labels'].get('window', '')}"
)


def expressions(alert: Rule) -> Iterator[str]:
    """What an alert asks for: to fire, and to say in its description what it is about."""
    yield alert["expr"]
    description = alert["annotations"]["description"]
    yield from re.findall(r'query "([^"]+)"', description)
    yield from (made.replace("%q", '"any"') for made in re.findall(r"printf `([^`]+)`", description))


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """All series that an expression asks for."""
    found: list[promql_parser.VectorSelector] = []

    def note(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), note)
    yield from found


def known() -> dict[str, set[str]]:
    """The labels of every series that a scrape or a rule makes, by its name."""
    process = {"worker"}
    found = {"up": set[str](), "process_cpu_seconds_total": process}
    for name, collector in metrics.registry._names_to_collectors.items():
        labels = getattr(collector, "_labelnames", None)
        if labels is not None:
            bound = {"le"} if isinstance(collector, Histogram) and name.endswith("_bucket") else set()
            found[name] = {*labels, *bound}
    for rule in rules("record"):
        found.setdefault(rule["record"], set()).update({"slo", "title", *rule.get("labels", {})})
    return found


NEVER_WAITS = "\N{EN DASH}"
KNOWN = known()


@each_alert
def test_it_asks_for_series_that_exist(alert: Rule) -> None:
    for expression in expressions(alert):
        asked = list(selectors(expression))
        assert asked, expression
        for selector in asked:
            assert selector.name in KNOWN, f"nothing makes {selector.name}"
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= KNOWN[selector.name] | {"job", "instance"}, f"{selector.name} has no {labels}"


@each_alert
def test_it_says_what_it_is_about(alert: Rule) -> None:
    assert alert["labels"]["severity"] in {"P0", "P1", "P2"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    # Which server, route, code, process or tenant: a label of the alert, or of the answer to a query.
    assert re.search(r"\$labels\.\w+|\.Labels\.\w+", alert["annotations"]["description"])


@each_alert
def test_it_leads_to_a_page(alert: Rule) -> None:
    file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    page = ROOT / file
    assert page.parent == DEPLOY / "runbooks"
    assert anchor in Page(page).anchors()
    assert f"`{alert['alert']}`" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("alert", WRITTEN, ids=lambda rule: rule["alert"])
def test_it_has_four_stories(alert: Rule) -> None:
    """Below, above for too short (pending, and never firing), fires, ends; `promtool` plays them."""
    name = alert["alert"]
    (story,) = [
        story for story in STORIES if story["name"].startswith(f"{name.removeprefix('SyncKairos')}: ")
    ][:1]
    asked = [case for case in story["alert_rule_test"] if case["alertname"] == name]
    assert [bool(case["exp_alerts"]) for case in asked] == [False, False, True, False]
    moments = [_seconds(case["eval_time"]) for case in asked]
    assert moments == sorted(moments)
    pending, quiet = story["promql_expr_test"]
    assert pending["expr"] == f'ALERTS{{alertstate="pending", alertname="{name}"}}'
    assert (pending["eval_time"], len(pending["exp_samples"])) == (asked[1]["eval_time"], 1)
    assert quiet["expr"] == f'count_over_time(ALERTS{{alertstate="firing", alertname="{name}"}}[1h])'
    assert quiet["exp_samples"] == []
    # By the second look it would have fired, if what was above had lasted.
    assert _seconds(quiet["eval_time"]) > moments[1] + _seconds(alert["for"])
    assert _seconds(quiet["eval_time"]) <= moments[2]


def test_without_traffic_no_alert_fires() -> None:
    silent = [
        story
        for story in STORIES
        if {"expr": "count(ALERTS)", "exp_samples": []}.items()
        <= {**story.get("promql_expr_test", [{}])[0]}.items()
    ]
    assert len(silent) == 2  # where nobody asks any more, and where nobody has asked yet
    for story in silent:
        cases = story["alert_rule_test"]
        assert {case["alertname"] for case in cases} == {alert["alert"] for alert in WRITTEN}
        assert not any(case["exp_alerts"] for case in cases)


def _seconds(duration: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def test_the_page_has_all_of_them() -> None:
    rows = [
        (row["alert"].strip("`"), {*row["severity"].split(", ")}, row["for"])
        for row in PAGE.section("Alerts").tables[0].rows
    ]
    wanted: dict[str, tuple[set[str], str]] = {}
    for alert in ALERTS:
        severities, _ = wanted.setdefault(alert["alert"], (set(), alert.get("for", NEVER_WAITS)))
        severities.add(alert["labels"]["severity"])
    assert {name: (severities, lasts) for name, severities, lasts in rows} == wanted
    assert len(rows) == len(wanted)


def test_every_severity_is_told_to_somebody() -> None:
    routes = ALERTMANAGER["route"]["routes"]
    told = {route["matchers"][0]: route["receiver"] for route in routes}
    assert told == {'severity="P0"': "pager", 'severity="P1"': "tickets", 'severity="P2"': "review"}
    rows = PAGE.section("Who is told, and when").tables[0].rows
    assert {f'severity="{row["severity"]}"': row["receiver"].strip("`") for row in rows} == told


def test_a_redis_that_is_away_mutes_what_follows() -> None:
    follows = {alert["alert"] for alert in ALERTS if alert["labels"].get("depends_on") == "redis"}
    assert follows == {
        f"SyncKairos{name}"
        for name in (
            *("ErrorRateHigh", "LatencyHigh", "DisconnectionStorm", "ClocksStuck"),
            *("AuditBacklog", "SessionsOverdue", "BudgetBurns"),
        )
    }
    first = ALERTMANAGER["inhibit_rules"][0]
    assert first["source_matchers"] == ['alertname="SyncKairosRedisDown"']
    assert first["target_matchers"] == ['depends_on="redis"']


def test_every_runbook_is_a_page() -> None:
    names = {path.stem for path in Path(DEPLOY / "runbooks").glob("*.md")}
    assert names >= {
        *("redis-failover", "high-latency", "disconnection-storm", "audit-backlog"),
        *("total-loss", "full-memory", "leaked-key"),
    }
