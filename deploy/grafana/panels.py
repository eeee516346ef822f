"""The few kinds of panels that the dashboards have, and what all panels have in common.

Each panel has a title, a sentence that says what it shows and what a reader should make of it, a unit, and
mostly a bound above which something is wrong. One that belongs to an alert links to that alert's runbook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

from grafana_foundation_sdk.builders import common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

RUNBOOKS = "https://git.example.com/synckairos/deploy/runbooks"
"""Where readers find the runbooks; to be set in each dashboard, or with `generate --runbooks`."""

GREEN, YELLOW, RED = "green", "yellow", "red"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
PICKED = 'job="synckairos", instance=~"$instance"'
"""The matcher of what counts in one process alone. What each process knows of all needs none."""
COLUMNS = 24

Queries = Mapping[str, str]
"""By legend, expressions. `{{code}}` in a legend is that label's value."""
Panel = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel, statetimeline.Panel)


def dashboard(uid: str, title: str, description: str, runbooks: str, *, hours: str = "now-1h") -> Dashboard:
    """A dashboard without panels, with the variables that all have."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["synckairos"])
        .readonly()
        .time(hours, "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            TextBoxVariable("runbooks")
            .label("Runbooks")
            .description("Where the folder deploy/runbooks can be read")
            .default_value(runbooks)
        )
        .link(
            DashboardLink("SyncKairos")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["synckairos"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
    )


def instances() -> QueryVariable:
    """The variable that PICKED asks for."""
    return (
        QueryVariable("instance")
        .label("Service")
        .description("The services to look at, by the address that Prometheus asks")
        .datasource(SOURCE)
        .query('label_values(synckairos_build_info{job="synckairos"}, instance)')
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _common(panel: P, title: str, description: str, unit: str, runbook: str | None) -> P:
    panel = panel.title(title).description(description).unit(unit).datasource(SOURCE)
    if runbook is not None:
        panel = panel.links(
            [
                DashboardLink("Runbook")
                .type(DashboardLinkType.LINK)
                .url(f"${{runbooks}}/{runbook}")
                .target_blank(True)
            ]
        )
    return panel


def _bounds(steps: Sequence[tuple[float, str]], below: str = GREEN) -> ThresholdsConfig:
    """Colours from these values on, and `below` the first one."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=None, color=below), *(Threshold(value, color) for value, color in steps)])
    )


def lines(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    bad_from: float | None = None,
    runbook: str | None = None,
    span: int = 8,
    stacked: bool = False,
    least: float | None = None,
    most: float | None = None,
    linear_below: float | None = None,
) -> timeseries.Panel:
    """Values over time.

    bad_from: a dashed line, from which on something is wrong
    least, most: what is below and above is not drawn
    linear_below: above it, equal factors are equally far apart, so that a bound is seen beside large values
    """
    panel = (
        _common(timeseries.Panel(), title, description, unit, runbook)
        .height(8)
        .span(span)
        .axis_soft_min(0)
        .line_width(1.5)
        .fill_opacity(25 if stacked else 4)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if linear_below is not None:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig()
            .type(ScaleDistribution.SYMLOG)
            .log(10)
            .linear_threshold(linear_below)
        )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if bad_from is not None:
        panel = panel.thresholds(_bounds([(bad_from, RED)])).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        )
    for number, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(
            Dataquery().expr(expr).legend_format(legend).range().ref_id(chr(ord("A") + number))
        )
    return panel


def percentiles(
    title: str, description: str, selector: str, *, bad_from: float | None = None, runbook: str | None = None
) -> timeseries.Panel:
    """The 50th, 95th and 99th percentile of a histogram in seconds. `selector`: the buckets, with labels."""
    rate = f"sum by (le) (rate({selector}[$__rate_interval]))"
    queries = {f"p{share * 100:.0f}": f"histogram_quantile({share}, {rate})" for share in (0.5, 0.95, 0.99)}
    return lines(title, description, "s", queries, bad_from=bad_from, runbook=runbook)


def number(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    colours: Sequence[tuple[float, str]] = (),
    below: str = GREEN,
    runbook: str | None = None,
    span: int = 3,
    decimals: int | None = None,
    words: Mapping[int, tuple[str, str]] | None = None,
) -> stat.Panel:
    """The newest value, large, with its course behind it; with several series, several of them.

    colours: from which value on the number has which colour; `below` the first of them
    words: what stands for a value, and its colour
    """
    panel = (
        _common(stat.Panel(), title, description, unit, runbook)
        .height(4)
        .span(span)
        .thresholds(_bounds(colours, below))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE if words else BigValueGraphMode.AREA)
        .text_mode(BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    if decimals is not None:
        panel = panel.decimals(decimals)
    if words is not None:
        panel = panel.mappings([_words(words)])
    for index, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(
            Dataquery().expr(expr).legend_format(legend).range().ref_id(chr(ord("A") + index))
        )
    return panel


def _words(words: Mapping[int, tuple[str, str]]) -> ValueMap:
    return ValueMap(
        options={
            str(value): ValueMappingResult(text=text, color=colour, index=value)
            for value, (text, colour) in words.items()
        }
    )


def states(
    title: str,
    description: str,
    queries: Queries,
    words: Mapping[int, tuple[str, str]],
    *,
    runbook: str | None = None,
    span: int = 8,
) -> statetimeline.Panel:
    """Which state each thing was in, as coloured bars. `words`: as in `number`."""
    panel = (
        _common(statetimeline.Panel(), title, description, "none", runbook)
        .height(8)
        .span(span)
        .mappings([_words(words)])
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .fill_opacity(70)
        .line_width(0)
    )
    for index, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(
            Dataquery().expr(expr).legend_format(legend).range().ref_id(chr(ord("A") + index))
        )
    return panel


def rows(
    title: str, description: str, unit: str, expr: str, *, span: int = 8, height: Literal[6, 8] = 8
) -> table.Panel:
    """The newest value of each series as a row, with its labels."""
    return (
        _common(table.Panel(), title, description, unit, None)
        .height(height)
        .span(span)
        .show_header(True)
        .with_target(Dataquery().expr(expr).format(PromQueryFormat.TABLE).instant().ref_id("A"))
        .with_transformation(
            DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True}})
        )
    )
