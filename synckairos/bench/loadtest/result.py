"""What came of a load, held against the objectives."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property

from synckairos.bench.loadtest import audience, traffic
from synckairos.bench.loadtest.gauges import Gauges
from synckairos.bench.loadtest.objectives import Objective
from synckairos.bench.loadtest.plan import Load
from synckairos.bench.loadtest.samples import SHARES, Samples
from synckairos.bench.report import Figure, Report

AVAILABILITY = "availability"
"""The one objective here that has no bound in time."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An objective, and what was measured.

    count, good: how many there were or should have been, and how many of them were good
    samples: their values (seconds); None where only success counts
    """

    objective: Objective
    count: int
    good: int
    samples: Samples | None

    @property
    def share(self) -> float:
        """Of all that should have been good, what was (0 to 1); NaN when there was nothing."""
        return self.good / self.count if self.count else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the objective is met; None when there was nothing to judge."""
        return self.share >= self.objective.share if self.count else None


@dataclass
class Result:
    """What came of a load. Moments are seconds since the counted time began.

    missing: events that a socket should have got, and did not get as an event
    overdue: clocks that had run out before the end, and that nobody had noticed some seconds later
    happened, stored: events, and how many of them are in PostgreSQL; None without an audit
    versions: of the servers
    """

    load: Load
    objectives: tuple[Objective, ...]
    sent: traffic.Outcome
    seen: audience.Outcome
    gauges: Gauges
    missing: int
    overdue: int
    happened: int | None
    stored: int | None
    versions: dict[str, str] = field(default_factory=dict)

    @cached_property
    def judged(self) -> list[Judged]:
        """Each objective that this load can tell about."""
        failed = Counter(each.kind for each in self.sent.failures)
        # A request without an answer is among the latencies and among the failures.
        silent = Counter(each.kind for each in self.sent.failures if each.code == traffic.TIMEOUT)
        measured = dict(self.sent.latencies)
        counts = {kind: len(samples) + failed[kind] - silent[kind] for kind, samples in measured.items()}
        requests = sum(counts.values())
        unavailable = sum(each.unavailable for each in self.sent.failures)
        measured |= {"delivery": self.seen.deliveries, "expiry": self.seen.lateness}
        counts["delivery"] = len(self.seen.deliveries) + self.missing
        counts["expiry"] = len(self.seen.lateness) + self.overdue
        return [
            Judged(each, requests, requests - unavailable, None)
            if each.bound_s is None
            else Judged(
                each, counts[each.name], measured[each.name].within(each.bound_s), measured[each.name]
            )
            for each in self.objectives
            if each.name in measured or each.name == AVAILABILITY
        ]

    @property
    def met(self) -> bool:
        """Whether every objective is met, and every event that happened was stored."""
        return all(each.met is not False for each in self.judged) and self.stored == self.happened

    @property
    def failures(self) -> dict[str, int]:
        """How many requests failed, by kind and code."""
        return dict(Counter(f"{each.kind}: {each.code}" for each in self.sent.failures).most_common())


def report(result: Result, *, quick: bool) -> Report:
    """All figures, for a file."""
    made = Report("load", quick, dict(result.versions))
    for each in result.judged:
        name, bound_s = each.objective.name, each.objective.bound_s
        made.figures.append(
            Figure(
                name=name if bound_s is None else f"{name} within {bound_s * 1e3:g} ms",
                value=each.share * 100,
                unit="%",
                at_least=None if each.met is None else each.objective.share * 100,
            )
        )
        if each.samples is not None:
            for share, value in zip(SHARES, each.samples.percentiles(SHARES), strict=True):
                made.figures.append(Figure(name=f"{name}, p{share * 100:g}", value=value * 1e3, unit="ms"))
    if result.happened is not None:
        made.figures.append(
            Figure(
                name="events stored in PostgreSQL",
                value=float(result.stored or 0),
                unit="",
                yardstick="events that happened",
                yardstick_value=float(result.happened),
                at_least=float(result.happened),
            )
        )
    made.details = {
        "load": asdict(result.load),
        "failures": result.failures,
        "deliveries_missing": result.missing,
        "deliveries_repeated": result.seen.repeated,
        "sockets_lost": result.seen.lost,
        "clocks_overdue": result.overdue,
        "own_delay_p99_ms": {
            "requests": result.sent.own_delays.percentiles((0.99,))[0] * 1e3,
            "sockets": result.seen.own_delays.percentiles((0.99,))[0] * 1e3,
        },
        "memory_bytes": result.gauges.memory,
        "cpu": result.gauges.cpu,
        "waiting": result.gauges.waiting,
    }
    return made
