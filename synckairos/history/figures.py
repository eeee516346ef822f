"""The figures of a checked history."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from synckairos.history.faults import Outage


class Quantiles(msgspec.Struct, frozen=True):
    """How a figure (ms) is spread; count 0: there was nothing to measure."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles:
        """Those of these values: the smallest value that so many percent are not above."""
        if not values:
            return cls()
        ordered = sorted(values)
        p50, p95, p99 = (ordered[max(0, math.ceil(len(ordered) * part) - 1)] for part in (0.5, 0.95, 0.99))
        return cls(len(ordered), p50, p95, p99, ordered[-1])


class Figures(msgspec.Struct):
    """What was counted and measured. Times are ms.

    sessions, events: of the true history; superseded: events that a newer epoch replaced
    moved: sessions that were not checked, because they are at another Redis
    acknowledged, refused, unknown: calls
    lost: acknowledged changes that did not happen; lost_after_ms: how long after the begin of a fault
    versions_given_twice: places with two different changes
    told_and_lost: changes that sockets were told, and that were lost afterwards
    not_known: what could not be judged, because no history reaches back so far
    delay: of an event at a socket after its acknowledgement; below 0 when the socket was faster
    delay_settled: the same, outside of faults: from 2 s after another primary was named
    late: how late expiries were
    """

    sessions: int = 0
    events: int = 0
    superseded: int = 0
    moved: int = 0
    clocks_checked: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    lost: int = 0
    lost_after_ms: list[float] = []
    versions_given_twice: int = 0
    sockets_opened: int = 0
    sockets_dropped: int = 0
    messages: int = 0
    told_and_lost: int = 0
    phantoms: int = 0
    gaps: int = 0
    backwards: int = 0
    not_known: int = 0
    expiries: int = 0
    late: Quantiles = Quantiles()
    delay: Quantiles = Quantiles()
    delay_settled: Quantiles = Quantiles()
    outages: list[Outage] = []
