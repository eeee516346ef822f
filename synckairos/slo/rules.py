"""The rules that Prometheus gets: burn rates over several windows, budgets, and the alerts on burn rates.

Two series for each objective, `slo:events:rate5m` and `slo:bad_events:rate5m`, are read from the histograms.
All longer windows are sums over these two, so a month costs Prometheus little, and a quiet night weighs as
little as the few events it had. An average of ratios would make it weigh as much as a busy evening.
"""

from __future__ import annotations

from typing import Any

import yaml

from synckairos.slo.objectives import BurnAlert, Objective, Objectives, seconds

EVERY_S = 60
"""How often the rules are evaluated. The volume of a window depends on it: it is a sum over evaluations."""
BASE = "5m"
"""The window of the two series. No other can be shorter."""
RUNBOOK = "deploy/runbooks/high-latency.md#a-budget-burns"
_HEAD = """\
# Made from deploy/slo.yaml: synckairos slo rules > deploy/prometheus/rules/slo.yaml
# Do not edit: a test compares both files.
"""


def text(found: Objectives) -> str:
    """The file of rules, as YAML."""
    return _HEAD + yaml.dump(
        {"groups": groups(found)}, Dumper=_Dumper, sort_keys=False, width=90, allow_unicode=True
    )


def groups(found: Objectives) -> list[dict[str, Any]]:
    """The groups of rules, as Prometheus reads them."""
    every = f"{EVERY_S}s"
    return [
        {
            "name": "synckairos-slo-events",
            "interval": every,
            "rules": [rule for name, each in found.objectives.items() for rule in _events(name, each)],
        },
        {"name": "synckairos-slo-windows", "interval": every, "rules": _windows(found)},
        {
            "name": "synckairos-slo-alerts",
            "interval": every,
            "rules": [_alert(alert) for alert in found.burn_alerts],
        },
    ]


def _events(name: str, objective: Objective) -> list[dict[str, Any]]:
    labels = {"slo": name}
    return [
        {
            "record": "slo:objective:ratio",
            "expr": f"vector({objective.ratio:g})",
            "labels": {**labels, "title": objective.title},
        },
        {"record": f"slo:events:rate{BASE}", "expr": _rate(objective, "count"), "labels": labels},
        {"record": f"slo:bad_events:rate{BASE}", "expr": _bad(objective), "labels": labels},
    ]


def _bad(objective: Objective) -> str:
    events = _rate(objective, "count")
    if objective.within_seconds is not None:
        good = _rate(objective, "bucket", f'le="{objective.within_seconds!r}"')
        return f"clamp_min({events} - {good}, 0)"
    # Without this zero there would be no ratio until the first bad event.
    return f"{_rate(objective, 'count', str(objective.bad))} or {events} * 0"


def _rate(objective: Objective, kind: str, *matchers: str) -> str:
    chosen = ", ".join(each for each in (objective.events, *matchers) if each)
    braces = f"{{{chosen}}}" if chosen else ""
    return f"sum(rate({objective.histogram}_{kind}{braces}[{BASE}]))"


def _windows(found: Objectives) -> list[dict[str, Any]]:
    longest = f"{found.window_days}d"
    windows = {window for alert in found.burn_alerts for window in (alert.short, alert.long)} | {longest}
    # The largest objective: with a new title there are two series of it for some minutes.
    rules: list[dict[str, Any]] = [
        {"record": "slo:window:seconds", "expr": f"vector({seconds(longest)})"},
        {
            "record": "slo:counted:seconds",
            "expr": f"max(count_over_time(slo:objective:ratio[{longest}])) * {EVERY_S}",
        },
    ]
    for window in sorted(windows, key=seconds):
        rules += [
            {"record": f"slo:events:sum{window}", "expr": _sum("events", window)},
            {
                "record": f"slo:error_ratio:sum{window}",
                "expr": f"{_sum('bad_events', window)} / (slo:events:sum{window} > 0)",
            },
            {
                "record": f"slo:burn_rate:sum{window}",
                "expr": f"slo:error_ratio:sum{window} / on (slo) (1 - max by (slo) (slo:objective:ratio))",
            },
        ]
    # Bad events against all that the objective allows for: that is the burn rate of the whole window.
    rules += [
        {"record": "slo:error_budget_used:ratio", "expr": f"slo:burn_rate:sum{longest}"},
        {"record": "slo:error_budget_left:ratio", "expr": "1 - slo:error_budget_used:ratio"},
    ]
    return rules


def _sum(of: str, window: str) -> str:
    """Events of a window."""
    if window == BASE:  # a sum over rates of five minutes would look back for ten
        return f"slo:{of}:rate{BASE} * {seconds(BASE)}"
    return f"sum_over_time(slo:{of}:rate{BASE}[{window}]) * {EVERY_S}"


def _alert(alert: BurnAlert) -> dict[str, Any]:
    rate = f"{alert.burn_rate:g}"
    often = "more often than" if alert.burn_rate == 1 else f"more than {rate} times as often as"
    return {
        "alert": "SyncKairosBudgetBurns",
        "expr": (
            f"slo:burn_rate:sum{alert.long} > {rate} and slo:burn_rate:sum{alert.short} > {rate}"
            f" and slo:events:sum{alert.long} >= {alert.minimum_events}"
        ),
        "labels": {"severity": alert.severity, "depends_on": "redis", "window": alert.long},
        "annotations": {
            "summary": "The error budget of {{ $labels.slo }} burns {{ $value | humanize }} times too fast",
            "description": (
                "{{ range query (printf `slo:objective:ratio{slo=%q}` $labels.slo) }}"
                "Promised is: {{ .Labels.title }}, for {{ .Value | humanizePercentage }} of them. {{ end }}"
                f"In the last {alert.long}, and in the last {alert.short} too, bad events came "
                f"{often} the budget of {{{{ $labels.slo }}}} allows for."
                "{{ range query (printf `slo:error_budget_left:ratio{slo=%q}` $labels.slo) }} "
                "{{ .Value | humanizePercentage }} of the budget is left.{{ end }}"
            ),
            "runbook_url": RUNBOOK,
        },
    }


class _Dumper(yaml.SafeDumper):
    """Indents lists, and writes each of them out, as the other files of rules do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - the base class's parameters
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - likewise
        return True
