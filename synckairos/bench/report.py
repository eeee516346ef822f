"""Results: figures and their yardsticks, as a table and as JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value.

    yardstick, yardstick_value: what it is compared with, in the same unit and measured in the same run
    ratio: value divided by yardstick; with several rounds, the median of the rounds' ratios
    at_least, at_most: the target, for the ratio if there is one, else for the value
    note: an explanation for readers
    """

    name: str
    value: float
    unit: str
    yardstick: str | None = None
    yardstick_value: float | None = None
    ratio: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        compared = self.value if self.ratio is None else self.ratio
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= compared <= high


@dataclass(slots=True)
class Report:
    """The results of one bench.

    versions: of the servers, by their kind
    details: the values of all rounds
    """

    bench: str
    quick: bool
    versions: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> bytes:
        """The report as indented JSON."""
        document = {
            "bench": self.bench,
            "quick": self.quick,
            "machine": {
                "system": platform.platform(),
                "python": platform.python_version(),
                "processors": os.cpu_count(),
                **self.versions,
            },
            "figures": [
                {**{name: getattr(figure, name) for name in Figure.__slots__}, "met": figure.met}
                for figure in self.figures
            ],
            "details": self.details,
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def write(self, file: Path) -> None:
        """Writes the JSON."""
        file.write_bytes(self.as_json())

    def table(self) -> str:
        """The figures as a table, the notes below it."""
        rows = [("", "measured", "yardstick", "", "ratio", "target", "")]
        rows += [_row(figure) for figure in self.figures]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        # Names are aligned to the left, numbers to the right.
        lines = [
            "  ".join(
                text.ljust(width) if column in (0, 2, 6) else text.rjust(width)
                for column, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "-" * max(len(line) for line in lines))
        notes = [f"{figure.name}: {figure.note}" for figure in self.figures if figure.note]
        return "\n".join([*lines, *([""] if notes else []), *notes])


def _row(figure: Figure) -> tuple[str, str, str, str, str, str, str]:
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}",
        figure.yardstick or "",
        "" if figure.yardstick_value is None else number(figure.yardstick_value),
        "" if figure.ratio is None else f"{figure.ratio:.3f}",
        _target(figure),
        {None: "", True: "met", False: "MISSED"}[figure.met],
    )


def _target(figure: Figure) -> str:
    bounds = ((">= ", figure.at_least), ("<= ", figure.at_most))
    return ", ".join(f"{word}{number(bound)}" for word, bound in bounds if bound is not None)


def compared(
    name: str,
    unit: str,
    values: Sequence[float],
    yardstick: tuple[str, Sequence[float]],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    note: str | None = None,
) -> Figure:
    """The figure of values that were measured round by round, in turns with a yardstick (name and values)."""
    title, others = yardstick
    return Figure(
        name=name,
        value=median(values),
        unit=unit,
        yardstick=title,
        yardstick_value=median(others),
        ratio=median(value / other for value, other in zip(values, others, strict=True)),
        at_least=at_least,
        at_most=at_most,
        note=note,
    )


def number(value: float) -> str:
    """A number for people: large numbers without decimals, others with three significant digits."""
    if not math.isfinite(value):
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return percentile(sorted(values), 0.5)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that a share (0 to 1) of the ordered values do not exceed; NaN without values.

    Between two values it is interpolated linearly.
    """
    if not ordered:
        return math.nan
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
