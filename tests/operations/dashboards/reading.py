"""Dashboards as Grafana reads them: which panels there are, and what they ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.pages import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"


@dataclass(frozen=True)
class Query:
    """One expression of a panel, with the legend of its series; `instant` for a table."""

    panel: str
    legend: str
    expr: str
    instant: bool

    def filled_in(self, rate: str) -> str:
        """The expression as Grafana sends it: all services, and this interval for rates."""
        return self.expr.replace("$__rate_interval", rate).replace("$instance", ".*")


def read(file: Path) -> dict[str, Any]:
    """A dashboard."""
    dashboard: dict[str, Any] = json.loads(file.read_text())
    return dashboard


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Its panels without the rows between them."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """What it asks."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            legend = target.get("legendFormat", "")
            yield Query(panel["title"], legend, target["expr"], target.get("instant") is True)
