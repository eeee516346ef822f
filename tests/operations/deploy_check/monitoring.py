"""What Prometheus, Alertmanager and Grafana read, and the objectives."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.operations.deploy_check.forms import unlike
from tests.operations.deploy_check.programs import Problems, refused, said


def prometheus(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
        if "scrape_configs" in given:
            yield from refused("promtool", "check", "config", file)
        elif "groups" in given:
            code, output = said("promtool", "check", "rules", "--lint=all", "--lint-fatal", file)
            if code:
                yield output
            yield from _free_names(given, file.name)
        elif "tests" in given:
            yield from refused("promtool", "test", "rules", file.name, cwd=file.parent)
        else:
            yield f"{file}: neither a configuration, nor rules, nor a test of them"


_LABELS = frozenset({"severity", "depends_on", "window", "slo", "title", "quantile", "operation"})
_ANNOTATIONS = frozenset({"summary", "description", "runbook_url"})
"""All that rules add. To Prometheus any name is as good as another, but routes and readers know these."""


def _free_names(given: Any, where: str) -> Problems:
    for rule in [rule for group in given["groups"] for rule in group.get("rules", ())]:
        what = f"{where}, {rule.get('alert', rule.get('record'))}"
        yield from (f"{what}: label {name}" for name in rule.get("labels", {}).keys() - _LABELS)
        if "alert" in rule and rule.get("annotations", {}).keys() != _ANNOTATIONS:
            yield f"{what}: its annotations are not {', '.join(sorted(_ANNOTATIONS))}"


def alertmanager(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        yield from refused("amtool", "check-config", file)


def objectives(_deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        yield from refused(sys.executable, "-P", "-m", "synckairos", "slo", "rules", file)


def dashboards(_deploy: Path, files: Sequence[Path]) -> Problems:
    """A dashboard that the SDK reads and writes again is the same: names it does not know would be gone."""
    register_default_plugins()  # without them, queries and options of panels are taken as they are
    for file in files:
        try:
            # The SDK writes null for the options of a panel that has none, and cannot read that.
            given = json.loads(file.read_text(encoding="utf-8"), object_hook=_without_no_options)
            again = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
        except (ValueError, KeyError, TypeError) as error:
            yield f"{file.name}: {error!r}"
            continue
        yield from (f"{file.name}: {path}: unknown" for path in _lost(given, again))


_PROVISIONING = {
    "datasources": {
        "apiVersion": int,
        "datasources": [
            {
                **dict.fromkeys(("name", "uid", "type", "access", "url"), str),
                **dict.fromkeys(("isDefault", "editable"), bool),
                "jsonData": {"httpMethod": str, "timeInterval": str},
            }
        ],
    },
    "dashboards": {
        "apiVersion": int,
        "providers": [
            {
                **dict.fromkeys(("name", "folder", "type"), str),
                **dict.fromkeys(("disableDeletion", "allowUiUpdates"), bool),
                "updateIntervalSeconds": int,
                "options": {"path": str, "foldersFromFilesStructure": bool},
            }
        ],
    },
}
"""As much of what Grafana reads as is used here, by folder: other names are refused."""


def provisioning(deploy: Path, files: Sequence[Path]) -> Problems:
    for file in files:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
        for problem in unlike(given, _PROVISIONING[file.parent.name]):
            yield f"{file.relative_to(deploy)}: {problem}"


def _without_no_options(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "options" or value is not None}


def _lost(given: Any, again: Any, path: str = "") -> Problems:
    """Where a value has a name that its copy has not."""
    if isinstance(given, dict):
        for name, value in given.items():
            if not isinstance(again, dict) or name not in again:
                yield f"{path}.{name}"
            else:
                yield from _lost(value, again[name], f"{path}.{name}")
    elif isinstance(given, list) and isinstance(again, list):
        for number, (one, other) in enumerate(zip(given, again, strict=False)):
            yield from _lost(one, other, f"{path}.{number}")
