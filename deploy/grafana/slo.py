"""The dashboard of the service level objectives and their error budgets."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import GREEN, RED, YELLOW, dashboard, lines, number, rows

_RUNBOOK = "high-latency.md#a-budget-burns"


def build(runbooks: str) -> Dashboard:
    """The dashboard, with links to runbooks at this address."""
    made = dashboard(
        "synckairos-slo",
        "SyncKairos: service level objectives",
        "What was promised (deploy/slo.yaml), what is left of each error budget, and how fast it burns.",
        runbooks,
        hours="now-24h",
    )
    for part in (_budgets, _burning, _events):
        made = part(made)
    return made


def _budgets(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Error budgets of the whole window"))
        .with_panel(
            number(
                "Budget left",
                "Of the errors that the objective allows in its window, how many may still happen. At 0 % "
                "the "
                "objective is missed.",
                "percentunit",
                {"{{slo}}": "slo:error_budget_left:ratio"},
                colours=[(0, YELLOW), (0.25, GREEN)],
                below=RED,
                runbook=_RUNBOOK,
                span=24,
                decimals=1,
            )
        )
        .with_panel(
            lines(
                "Budget left over time",
                "Where a line falls, a budget burns. What is overspent by more than a whole budget is not "
                "drawn.",
                "percentunit",
                {"{{slo}}": "slo:error_budget_left:ratio"},
                runbook=_RUNBOOK,
                span=16,
                least=-1,
                most=1,
            )
        )
        .with_panel(
            rows(
                "Objectives", "How many of all events have to be good.", "percentunit", "slo:objective:ratio"
            )
        )
    )


def _burning(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Burn rates: 1 spends the budget in exactly its window"))
        .with_panel(
            lines(
                "Over 1 h",
                "Above 14.4 here and over 5 min somebody is paged: a fiftieth of a month's budget goes in "
                "an hour.",
                "none",
                {"{{slo}}": "slo:burn_rate:sum1h"},
                bad_from=14.4,
                linear_below=1,
                runbook=_RUNBOOK,
            )
        )
        .with_panel(
            lines(
                "Over 6 h",
                "Above 6 here and over 30 min somebody is paged.",
                "none",
                {"{{slo}}": "slo:burn_rate:sum6h"},
                bad_from=6,
                linear_below=1,
                runbook=_RUNBOOK,
            )
        )
        .with_panel(
            lines(
                "Over 3 d",
                "Above 1 here and over 6 h somebody is told at work.",
                "none",
                {"{{slo}}": "slo:burn_rate:sum3d"},
                bad_from=1,
                linear_below=1,
                runbook=_RUNBOOK,
            )
        )
    )


def _events(made: Dashboard) -> Dashboard:
    return (
        made.with_row(Row("Events"))
        .with_panel(
            lines(
                "Bad events",
                "How many of all were bad in the last 5 min. The objectives allow a thousandth.",
                "percentunit",
                {"{{slo}}": "slo:error_ratio:sum5m"},
                bad_from=0.001,
                linear_below=0.001,
                runbook=_RUNBOOK,
                span=12,
            )
        )
        .with_panel(
            lines(
                "All events",
                "How many there are in a second. With few, one bad event is a large share.",
                "ops",
                {"{{slo}}": "slo:events:rate5m"},
                span=12,
            )
        )
    )
