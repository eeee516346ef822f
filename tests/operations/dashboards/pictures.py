"""Makes the pictures of the dashboards: `make dashboard-pictures`.

A deployment runs for some minutes, with more and less traffic, and PostgreSQL is killed for a while. Then
what every panel asks is read from Prometheus, and drawn where Grafana would put it. This shows the data,
units and bounds of the panels; how Grafana itself draws them is its own matter.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import math
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from PIL import Image

from tests.operations.dashboards import reading
from tests.operations.dashboards.deployment import Deployment, deployed, traffic
from tests.support.pages import ROOT
from tests.support.prometheus import Prometheus

FOLDER = ROOT / "deploy" / "grafana" / "pictures"
KEPT = Path(tempfile.gettempdir()) / "synckairos-dashboards.json"
MINUTES = 12.0
AWAY_S = 45.0
"""How long PostgreSQL is away, after two thirds of the time."""
STEP_S = 5
RATE = "1m"

COLOURS = ["#3D71D9", "#E0752D", "#37872D", "#A352CC", "#C4162A", "#E0B400", "#1F9EA0", "#8F3BB8", "#705DA0"]
NAMED = {"green": "#37872D", "yellow": "#B38A00", "red": "#C4162A"}
PAPER, CARD, INK, SOFT, RULE = "#F4F5F5", "#FFFFFF", "#24292E", "#6B7075", "#E3E5E8"

CELL_W, CELL_H = 0.58, 0.40
"""Inches of a cell of Grafana's grid."""
GAP = 0.055
_LETTERS = 8.6
"""Of a legend, for each cell of width."""
_FAR = 4.0
_STEPS_S, _MOST_TICKS = (15, 30, 60, 120, 180, 300, 600, 3600), 6
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")

Series = tuple[str, list[tuple[float, float]]]
"""A legend, and moments with values."""


def swell(at: float) -> float:
    """Traffic that comes and goes."""
    return 1.2 + math.sin(at / 70) + 0.4 * math.sin(at / 23)


async def _run(deployment: Deployment, prometheus: Prometheus, minutes: float) -> None:
    """The story that the pictures show."""
    async with traffic(deployment.api, swell):
        await asyncio.sleep(minutes * 40)
        await asyncio.to_thread(deployment.postgres.kill)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(deployment.postgres.start)
        await asyncio.sleep(max(0.0, minutes * 20 - AWAY_S))


def record(minutes: float) -> dict[str, list[list[Series]]]:
    """By dashboard, what each of its queries gives over the time of the story."""
    with (
        tempfile.TemporaryDirectory() as folder,
        deployed() as deployment,
        Prometheus(Path(folder), deployment.targets) as prometheus,
    ):
        began = time.time()
        asyncio.run(_run(deployment, prometheus, minutes))
        ended = time.time()
        return {
            file.stem: [
                _series(prometheus, query, began + 20, ended) for query in reading.queries(reading.read(file))
            ]
            for file in sorted(reading.FOLDER.glob("*.json"))
        }


def _series(prometheus: Prometheus, query: reading.Query, began: float, ended: float) -> list[Series]:
    answer = prometheus._get(
        "/api/v1/query_range",
        query=query.filled_in(RATE),
        start=str(began),
        end=str(ended),
        step=str(STEP_S),
    )
    found = []
    for each in answer["data"]["result"]:
        labels: dict[str, str] = each["metric"]
        points = [(at - began, float(value)) for at, value in each["values"]]
        legend = json.dumps(labels) if query.instant else _legend(query.legend, labels)
        found.append((legend, [(at, value) for at, value in points if math.isfinite(value)]))
    return sorted(found)


def _legend(pattern: str, labels: dict[str, str]) -> str:
    """The legend of a series. A label that it does not have is left out."""
    return " ".join(_LABEL.sub(lambda found: labels.get(found[1], ""), pattern).split())


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A number with its unit, as Grafana writes it."""
    if unit == "s":
        for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * factor >= 1 or name == "µs":
                return "0 s" if value == 0 else f"{value * factor:.3g} {name}"
    if unit == "bytes":
        return f"{value / (1 << 20):.3g} MiB"
    if unit == "percentunit":
        return f"{value * 100:.{decimals}f} %" if decimals is not None else f"{value * 100:.3g} %"
    end = {"reqps": " req/s", "ops": " ops/s", "cpm": " c/m"}.get(unit, "")
    if abs(value) >= 1000:
        return f"{value / 1000:.3g} K{end}"
    return f"{value:.3g}{end}"


def draw(dashboard: dict[str, Any], recorded: list[list[Series]]) -> Figure:
    """The dashboard as a picture."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(24 * CELL_W, rows * CELL_H + 0.6), facecolor=PAPER, dpi=75)
    height = float(figure.get_figheight())
    figure.text(0.008, 1 - 0.22 / height, dashboard["title"], size=15, weight="bold", color=INK, va="center")
    queries = iter(recorded)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        left, top = place["x"] * CELL_W, place["y"] * CELL_H + 0.5
        wide, high = place["w"] * CELL_W, place["h"] * CELL_H
        if panel["type"] == "row":
            figure.text(
                (left + 0.1) / (24 * CELL_W),
                1 - (top + high / 2) / height,
                panel["title"],
                size=11,
                weight="bold",
                color=SOFT,
                va="center",
            )
            continue
        box = (
            (left + GAP) / (24 * CELL_W),
            1 - (top + high - GAP) / height,
            (wide - 2 * GAP) / (24 * CELL_W),
            (high - 2 * GAP) / height,
        )
        figure.add_artist(
            Rectangle(
                box[:2], *box[2:], transform=figure.transFigure, facecolor=CARD, edgecolor=RULE, zorder=-1
            )
        )
        series = [each for _ in panel["targets"] for each in next(queries)]
        _PANELS[panel["type"]](figure, box, panel, series)
    return figure


def _title(figure: Figure, box: Sequence[float], panel: dict[str, Any]) -> None:
    left, bottom, wide, high = box
    figure.text(
        left + 0.006,
        bottom + high - 0.16 / float(figure.get_figheight()),
        panel["title"],
        size=9.5,
        weight="bold",
        color=INK,
        va="center",
    )
    if panel.get("links"):
        figure.text(
            left + wide - 0.006,
            bottom + high - 0.16 / float(figure.get_figheight()),
            "↗",
            size=10,
            color=COLOURS[0],
            va="center",
            ha="right",
        )


def _axes(figure: Figure, box: Sequence[float], *, below: float, above: float = 0.34) -> Axes:
    left, bottom, wide, high = box
    tall = float(figure.get_figheight())
    axes = figure.add_axes(
        (left + 0.045, bottom + below / tall, wide - 0.053, high - (below + above) / tall), facecolor=CARD
    )
    axes.tick_params(length=0, labelsize=8, labelcolor=SOFT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at // 60:.0f}:{at % 60:02.0f}"))
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    return axes


def _draw_lines(figure: Figure, box: Sequence[float], panel: dict[str, Any], series: list[Series]) -> None:
    _title(figure, box, panel)
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    longest = max((len(legend) for legend, _ in series), default=1)
    columns = max(1, int(panel["gridPos"]["w"] * _LETTERS) // (longest + 4))
    axes = _axes(figure, box, below=0.46 + 0.15 * max(1, math.ceil(len(series) / columns)))
    # Round numbers of MiB and ms, and not of bytes and seconds.
    scale = 1 << 20 if unit == "bytes" else 1
    under: dict[float, float] = {}
    highest = lowest = 0.0
    for number, (legend, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        at = [moment for moment, _ in points]
        base = [under.get(moment, 0.0) if stacked else 0.0 for moment in at]
        values = [value / scale + below for (_, value), below in zip(points, base, strict=True)]
        axes.plot(at, values, color=colour, linewidth=1.2, label=legend)
        highest, lowest = max([highest, *values]), min([lowest, *values])
        if stacked:
            axes.fill_between(at, base, values, color=colour, alpha=0.25, linewidth=0)
            under.update(zip(at, values, strict=True))
    for bound in _bounds(defaults):
        # A bound far above would make the lines flat, in Grafana too: it is named instead.
        if bound <= _FAR * max(highest, 1e-9) or _logarithmic(defaults):
            axes.axhline(bound, color=NAMED["red"], linestyle=(0, (4, 3)), linewidth=1)
            highest = max(highest, bound)
        else:
            named = f"bound {shown(bound, unit)}"
            axes.set_title(named, size=7.5, color=NAMED["red"], loc="right", y=0.9)
    _scale(axes, defaults, lowest, highest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value * scale, unit)))
    if series:
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="lower left",
            bbox_to_anchor=(box[0] + 0.002, box[1]),
            ncols=columns,
            fontsize=7.5,
            frameon=False,
            labelcolor=SOFT,
            handlelength=1,
            columnspacing=1,
            labelspacing=0.1,
            borderaxespad=0.1,
        )
    else:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=SOFT)


def _scale(axes: Axes, defaults: dict[str, Any], lowest: float, highest: float) -> None:
    """The values up the side, as the panel wants them."""
    low, high = max(lowest, defaults.get("min", lowest)), min(highest, defaults.get("max", highest)) or 1.0
    room = 0.04 * (high - low)  # so that a line at the edge is seen
    if _logarithmic(defaults):
        axes.set_yscale("symlog", linthresh=defaults["custom"]["scaleDistribution"]["linearThreshold"])
        axes.set_ylim(0, high * 2)
    else:
        axes.set_ylim(low - room, high + 2 * room)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    _scale_time(axes)


def _logarithmic(defaults: dict[str, Any]) -> bool:
    kind: str | None = defaults["custom"].get("scaleDistribution", {}).get("type")
    return kind == "symlog"


def _scale_time(axes: Axes) -> None:
    first, last = axes.get_xlim()
    step = next(each for each in _STEPS_S if (last - first) / each <= _MOST_TICKS)
    axes.xaxis.set_major_locator(MultipleLocator(step))


def _bounds(defaults: dict[str, Any]) -> list[float]:
    """What has a dashed line across."""
    if not defaults["custom"].get("thresholdsStyle"):
        return []
    return [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]


def _colour(value: float, defaults: dict[str, Any]) -> str:
    found = "green"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return NAMED[found]


def _draw_number(figure: Figure, box: Sequence[float], panel: dict[str, Any], series: list[Series]) -> None:
    _title(figure, box, panel)
    defaults = panel["fieldConfig"]["defaults"]
    left, bottom, wide, high = box
    words = {
        key: each for mapping in defaults.get("mappings", []) for key, each in mapping["options"].items()
    }
    share = wide / max(1, len(series))
    for number, (legend, points) in enumerate(series):
        value = points[-1][1] if points else math.nan
        word = words.get(f"{value:.0f}")
        text = word["text"] if word else shown(value, defaults["unit"], defaults.get("decimals"))
        colour = NAMED[word["color"]] if word else _colour(value, defaults)
        figure.text(
            left + share * (number + 0.5),
            bottom + high * 0.46,
            text,
            size=20 if len(text) < 9 else 15,
            weight="bold",
            color=colour,
            ha="center",
            va="center",
        )
        if len(series) > 1:
            figure.text(
                left + share * (number + 0.5), bottom + high * 0.74, legend, size=9, color=SOFT, ha="center"
            )
        if not word and len(points) > 1:
            axes = figure.add_axes((left + share * number, bottom, share, high * 0.26), zorder=-0.5)
            axes.axis("off")
            at, values = [at for at, _ in points], [value for _, value in points]
            axes.fill_between(at, values, color=colour, alpha=0.18, linewidth=0)
            axes.plot(at, values, color=colour, linewidth=0.9)
            axes.margins(x=0)


def _draw_states(figure: Figure, box: Sequence[float], panel: dict[str, Any], series: list[Series]) -> None:
    _title(figure, box, panel)
    words = {
        float(key): each
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]
        for key, each in mapping["options"].items()
    }
    axes = _axes(figure, box, below=0.3)
    axes.grid(visible=False)
    for number, (legend, points) in enumerate(series):
        for at, value in points:
            axes.barh(-number, STEP_S, left=at, height=0.7, color=NAMED[words[value]["color"]], alpha=0.75)
        axes.text(
            0.02, -number, legend, transform=axes.get_yaxis_transform(), size=7.5, va="center", color=CARD
        )
    axes.set_yticks([])
    _scale_time(axes)
    if not series:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color=SOFT)


def _draw_rows(figure: Figure, box: Sequence[float], panel: dict[str, Any], series: list[Series]) -> None:
    _title(figure, box, panel)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    rows = [({**json.loads(labels)}, points[-1][1]) for labels, points in series if points]
    names = sorted({name for labels, _ in rows for name in labels if not name.startswith("__")})
    table = [
        [*names, "Value"],
        *([labels.get(name, "") for name in names] + [shown(value, unit)] for labels, value in rows),
    ]
    left, bottom, wide, high = box
    tall = float(figure.get_figheight())
    widths = [max(len(cells[column]) for cells in table) + 2 for column in range(len(names) + 1)]
    for number, cells in enumerate(table):
        at = left + 0.008
        for cell, width in zip(cells, widths, strict=True):
            figure.text(
                at,
                bottom + high - (0.48 + 0.26 * number) / tall,
                cell,
                size=8,
                color=INK if number else SOFT,
                va="center",
            )
            at += (wide - 0.016) * width / sum(widths)


_PANELS = {
    "timeseries": _draw_lines,
    "stat": _draw_number,
    "state-timeline": _draw_states,
    "table": _draw_rows,
}


def main() -> None:
    """Records, unless it is to draw again what was recorded, and draws."""
    parser = argparse.ArgumentParser(description="Make the pictures of the dashboards.")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--again", action="store_true", help="draw what the last run has recorded")
    arguments = parser.parse_args()
    if not arguments.again:
        KEPT.write_text(json.dumps(record(arguments.minutes)))
    recorded = json.loads(KEPT.read_text())
    mpl.rcParams["font.family"] = "DejaVu Sans"
    FOLDER.mkdir(exist_ok=True)
    for name, series in recorded.items():
        figure = draw(reading.read(reading.FOLDER / f"{name}.json"), series)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        Image.open(drawn).convert("RGB").quantize(96).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
