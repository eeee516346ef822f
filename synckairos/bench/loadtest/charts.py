"""Charts as SVG that stands inside a page: its colours are the page's, for light and for dark.

They are as wide as a phone, so that their text can be read there; a page puts several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import drawsvg

from synckairos.bench.loadtest.samples import Line
from synckairos.bench.report import number

WIDTH, HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 26
_TEXT = 11
_MOST_TICKS = 5

Label = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a chart.

    ticks: values with a line and a label
    log: whether equal factors are equally far apart
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    label: Label
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high end; never outside."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(each, 1e-9)) for each in (value, low, high))
        return min(1.0, max(0.0, (value - low) / (high - low)))


def linear(high: float, label: Label, low: float = 0.0) -> Axis:
    """From `low` to at least `high`, with round ticks."""
    step = _round_step((high - low) / _MOST_TICKS or 1.0)
    last = math.ceil((high - low) / step) or 1
    return Axis(low, low + last * step, tuple(low + step * each for each in range(last + 1)), label)


def _round_step(rough: float) -> float:
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(each * unit for each in (1, 2, 5, 10) if each * unit >= rough)


def decades(low: float, high: float, label: Label) -> Axis:
    """Whole powers of ten around these two values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    return Axis(
        10.0**first, 10.0**last, tuple(10.0**each for each in range(first, last + 1)), label, log=True
    )


def seconds_axis(seconds: float) -> Axis:
    """Time since the load began."""
    high = max(seconds, 1.0)
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
    step = next((each for each in steps if high / each <= _MOST_TICKS), 28_800)
    return Axis(0, high, tuple(float(each) for each in range(0, int(high) + 1, step)), _clock)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def milliseconds(seconds: float) -> str:
    """Seconds as a label: "20 ms", "1.5 s"."""
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(round(seconds * 1e3, 6))} ms"


def nines(log_rest: float) -> str:
    """The label of a share whose rest is a power of ten: "99.9 %"."""
    return f"{100 - 100 / 10**log_rest:.{max(0, round(log_rest) - 2)}f} %"


def chart(
    title: str,
    across: Axis,
    up: Axis,
    lines: Mapping[str, Line],
    *,
    classes: Mapping[str, str],
    bound: float | None,
) -> str:
    """Lines in a frame.

    title: what a reader hears who does not see the chart
    classes: by line, the CSS class that has its colour
    bound: a value with a dashed line across, which is what was promised
    """
    picture = drawsvg.Drawing(WIDTH, HEIGHT, id_prefix="c", role="img", context=None)
    picture.append_title(title)
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(value: float) -> float:
        return round(_LEFT + width * across.place(value), 1)

    def y(value: float) -> float:
        return round(_TOP + height * (1 - up.place(value)), 1)

    for tick in up.ticks:
        picture.append(drawsvg.Line(_LEFT, y(tick), WIDTH - _RIGHT, y(tick), class_="grid"))
        picture.append(
            drawsvg.Text(up.label(tick), _TEXT, _LEFT - 6, y(tick) + 4, text_anchor="end", class_="tick")
        )
    for tick in across.ticks:
        picture.append(drawsvg.Line(x(tick), _TOP, x(tick), HEIGHT - _BOTTOM, class_="grid"))
        picture.append(
            drawsvg.Text(
                across.label(tick),
                _TEXT,
                x(tick),
                HEIGHT - 8,
                text_anchor=_anchor(tick, across),
                class_="tick",
            )
        )
    if bound is not None:
        picture.append(drawsvg.Line(_LEFT, y(bound), WIDTH - _RIGHT, y(bound), class_="bound"))
    for name, line in lines.items():
        points = [coordinate for at, value in line for coordinate in (x(at), y(value))]
        if len(line) == 1:
            picture.append(drawsvg.Circle(*points, 2, class_=f"dot {classes[name]}"))
        elif line:
            picture.append(drawsvg.Lines(*points, fill="none", class_=f"line {classes[name]}"))
    return _inside_a_page(picture)


def _anchor(tick: float, axis: Axis) -> str:
    # The last label ends at the edge, so that it is not cut off.
    return "end" if axis.place(tick) > 0.97 else "middle"


def _inside_a_page(picture: drawsvg.Drawing) -> str:
    text: str = picture.as_svg(header="")
    # The width is the page's matter.
    return text.replace(f'width="{WIDTH}" height="{HEIGHT}" ', "", 1)
