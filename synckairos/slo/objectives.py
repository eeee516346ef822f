"""`deploy/slo.yaml` as typed values, refused with a sentence when a rule made of it could not work.

A threshold that is no bound of its histogram's buckets is such a case: Prometheus would find no bucket, and
neither a budget nor an alert would ever show that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from prometheus_client import Histogram

from synckairos import metrics

Positive = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]

SHORTEST_S = 300
"""Seconds of the shortest window: events are counted over that long."""
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9]\d*)([mhd])")


class WrongObjectives(ValueError):
    """The file cannot be used; the text says why."""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One promise.

    title: what is promised, as a sentence
    percent: how many of all events have to be good, above 0 and below 100
    histogram: the metric whose observations are the events
    events: matchers of labels, as in PromQL, that choose among them
    within_seconds: good are the events up to this bound of a bucket; or
    bad: matchers of the labels that bad events have
    """

    title: str
    percent: Annotated[float, msgspec.Meta(gt=0, lt=100)]
    histogram: str
    events: str = ""
    within_seconds: Positive | None = None
    bad: str | None = None

    @property
    def ratio(self) -> float:
        """How many of all events have to be good, from 0 to 1."""
        return round(self.percent / 100, 9)


class BurnAlert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to warn: `burn_rate` passed in both windows, with at least `minimum_events` in the long one."""

    burn_rate: Positive
    long: str
    short: str
    minimum_events: Annotated[int, msgspec.Meta(ge=1)]
    severity: Literal["P0", "P1", "P2"]


class Objectives(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `window_days`: the time that a budget is for."""

    window_days: Annotated[int, msgspec.Meta(ge=1)]
    objectives: Annotated[dict[Name, Objective], msgspec.Meta(min_length=1)]
    burn_alerts: Annotated[list[BurnAlert], msgspec.Meta(min_length=1)]


def load(file: Path) -> Objectives:
    """Read the file. Raises OSError and WrongObjectives."""
    try:
        found = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Objectives)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise WrongObjectives(str(error)) from error
    for name, objective in found.objectives.items():
        _check_objective(name, objective)
    for alert in found.burn_alerts:
        if not SHORTEST_S <= seconds(alert.short) < seconds(alert.long) <= seconds(f"{found.window_days}d"):
            raise WrongObjectives(
                f"burn_alerts: {alert.short} has to be at least 5m and shorter than {alert.long}, "
                "which has to be within window_days"
            )
    return found


def seconds(duration: str) -> int:
    """The seconds of a duration like `5m`, `6h`, `3d`. Raises WrongObjectives."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise WrongObjectives(f"burn_alerts: {duration!r} is no duration like 5m, 6h or 3d")
    return int(match[1]) * _UNITS[match[2]]


def _check_objective(name: str, objective: Objective) -> None:
    if (objective.within_seconds is None) == (objective.bad is None):
        raise WrongObjectives(f"{name}: give either within_seconds or bad")
    bounds = _bounds(objective.histogram)
    if not bounds:
        raise WrongObjectives(f"{name}: {objective.histogram} is no histogram of this service")
    if objective.within_seconds is not None and objective.within_seconds not in bounds:
        shown = ", ".join(f"{bound:g}" for bound in bounds)
        raise WrongObjectives(
            f"{name}: {objective.within_seconds:g} s is no bound of a bucket of {objective.histogram}; "
            f"these are: {shown}"
        )


def _bounds(histogram: str) -> list[float]:
    """The upper bounds of a histogram's buckets; none when there is no such histogram."""
    collectors: dict[str, Any] = metrics.registry._names_to_collectors  # noqa: SLF001 - nothing public finds one by its name
    found = collectors.get(f"{histogram}_bucket")
    return list(found._upper_bounds) if isinstance(found, Histogram) else []  # noqa: SLF001 - nothing public lists them
