"""The dashboards are what the program makes, ask for what is there, and lead to runbooks."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana import generate
from tests.operations.dashboards import reading
from tests.operations.dashboards.deployment import Deployment, deployed, traffic
from tests.support.pages import ROOT
from tests.support.prometheus import Prometheus, Sample

GRAFANA = ROOT / "deploy" / "grafana"
PROMETHEUS = ROOT / "deploy" / "prometheus"
FILES = sorted(reading.FOLDER.glob("*.json"))
UNITS = {"none", "short", "s", "bytes", "percentunit", "reqps", "ops", "cpm"}
VARIABLE = re.compile(r"\$\{?(\w+)\}?")
BUILT_IN = {"__rate_interval"}

each_dashboard = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_files_are_what_the_program_makes() -> None:
    committed = {file.name: file.read_text() for file in FILES}
    assert generate.texts() == committed, ".venv/bin/python -m deploy.grafana.generate makes them anew"


@each_dashboard
def test_the_sdk_reads_what_it_wrote(file: Path) -> None:
    """It knows each kind of panel and its options, and leaves out what it does not know."""
    plugins.register_default_plugins()
    assert JSONEncoder(indent=2, sort_keys=True).encode(Dashboard.from_json(reading.read(file))) == (
        file.read_text().rstrip("\n")
    )


def test_a_folder_of_runbooks_can_be_given() -> None:
    for text in generate.texts("https://wiki.example.org/runbooks").values():
        assert "https://wiki.example.org/runbooks" in text
        assert "git.example.com" not in text


@each_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(file: Path) -> None:
    dashboard = reading.read(file)
    assert dashboard["uid"] == f"synckairos-{file.stem}"
    assert dashboard["description"]
    shown = reading.panels(dashboard)
    for panel in shown:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]
        legends = [target.get("legendFormat") for target in panel["targets"]]
        assert all(legends) or panel["type"] == "table", panel["title"]
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    # The panels of a dashboard stand beside one another, and none on another one.
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


@each_dashboard
def test_every_variable_is_there_and_used(file: Path) -> None:
    dashboard = reading.read(file)
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(VARIABLE.findall(str(dashboard["panels"]))) - BUILT_IN
    assert used == known


@each_dashboard
def test_every_expression_parses(file: Path) -> None:
    for query in reading.queries(reading.read(file)):
        promql_parser.parse(query.filled_in("1m"))


def _runbooks(rules: Path) -> set[str]:
    """Where the alerts of a file of rules lead."""
    groups = yaml.safe_load(rules.read_text())["groups"]
    annotations: list[dict[str, Any]] = [
        rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule
    ]
    return {each["runbook_url"].removeprefix("deploy/runbooks/") for each in annotations}


def test_panels_lead_to_the_runbooks_of_the_alerts() -> None:
    linked = {
        link["url"].removeprefix("${runbooks}/")
        for file in FILES
        for panel in reading.panels(reading.read(file))
        for link in panel.get("links", [])
    }
    alerts = {url for rules in (PROMETHEUS / "rules").glob("*.yaml") for url in _runbooks(rules)}
    assert linked - alerts == set(), "no alert leads there"
    assert alerts - linked == set(), "no panel shows what this alert is about"


def test_what_provisions_them_names_what_they_need() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/synckairos.yaml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/synckairos.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    assert provider["options"]["path"].startswith("/")


def _often(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Rules that are evaluated every second, so that nothing waits for those that have a minute."""

    def change(config: dict[str, Any]) -> None:
        for file in (PROMETHEUS / "rules").glob("*.yaml"):
            rules = yaml.safe_load(file.read_text())
            for group in rules["groups"]:
                group["interval"] = "1s"
            (folder / f"rules-{file.name}").write_text(yaml.safe_dump(rules))
        config["rule_files"] = [str(folder / "rules-*.yaml")]

    return change


def has_data(found: list[Sample]) -> bool:
    """Whether there is a number. A quantile of nothing is NaN."""
    return any(math.isfinite(sample.value) for sample in found)


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with deployed() as running:
        yield running


async def test_every_expression_has_data(tmp_path: Path, deployment: Deployment) -> None:
    asked = [query for file in FILES for query in reading.queries(reading.read(file))]
    assert len(asked) > 60
    with Prometheus(tmp_path, deployment.targets, change=_often(tmp_path)) as prometheus:
        async with traffic(deployment.api):
            for query in asked:
                await asyncio.to_thread(prometheus.until, query.filled_in("30s"), has_data)
