"""Compares the times that pages showed with the server's log and with each other.

Browser, service and Valkey run on one machine, so one clock times both the readings of the pages and the
turns of the server. That clock is read before and after each reading. The tests compare these intervals: a
busy machine makes them wider, but not wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import redis.asyncio

TOLERANCE_MS = 50.0
"""How far two pages may differ."""
RESOLUTION_MS = 1.0
"""The clocks are read in whole milliseconds."""


class Evaluates(Protocol):
    """A page, or a tab."""

    async def evaluate(self, expression: str) -> Any: ...


@dataclass(frozen=True)
class Sample:
    """A reading of what a page would have shown at a moment: see pages/clock.js."""

    kind: str
    before: float
    after: float
    """`before` and `after`: the machine's clock before and after the reading."""
    now: float | None
    remaining: float | None
    all: list[float | None]
    version: int
    status: str
    active: str | None
    pending: bool
    settled: bool
    visible: bool


async def samples(page: Evaluates) -> list[Sample]:
    """All samples that a page has recorded so far."""
    return [Sample(**each) for each in await page.evaluate("record.samples")]


def deadlines(events: list[dict[str, Any]]) -> dict[int, int | None]:
    """The deadline of each version's turn, by the server's log."""
    return {event["version"]: event["payload"]["deadline_ms"] for event in events}


async def one_clock(server: redis.asyncio.Redis, *pages: Evaluates) -> None:
    """Asserts that server and pages have the same clock, because otherwise nothing could be compared."""
    before = 1000 * time.time()
    seconds, microseconds = await server.time()
    assert (
        before - RESOLUTION_MS <= 1000 * seconds + microseconds / 1000 <= 1000 * time.time() + RESOLUTION_MS
    )
    for page in pages:
        before = 1000 * time.time()
        machine = await page.evaluate("machine()")
        assert before - RESOLUTION_MS <= machine <= 1000 * time.time() + RESOLUTION_MS


def right(shown: list[Sample], ends: dict[int, int | None]) -> int:
    """Asserts that each reading of a running clock is right, within the tolerance. Returns their number."""
    count = 0
    for sample in shown:
        end = ends[sample.version]
        if end is None or not sample.settled or sample.status != "running":
            continue
        assert sample.remaining is not None, sample
        least = max(0.0, end - sample.after) - TOLERANCE_MS - RESOLUTION_MS
        most = max(0.0, end - sample.before) + TOLERANCE_MS + RESOLUTION_MS
        assert least <= sample.remaining <= most, (sample, end)
        count += 1
    return count


def agree(one: list[Sample], other: list[Sample]) -> set[int]:
    """Asserts that both pages showed the same end for each version. Returns the versions of both."""
    ends = [_ends(one), _ends(other)]
    both = ends[0].keys() & ends[1].keys()
    for version in both:
        (first_low, first_high), (second_low, second_high) = (each[version] for each in ends)
        apart = max(first_high - second_low, second_high - first_low)
        assert apart <= TOLERANCE_MS + RESOLUTION_MS, f"version {version}: {apart} ms"
    return both


def _ends(shown: list[Sample]) -> dict[int, tuple[float, float]]:
    """For each version the earliest and the latest moment at which its turn surely ended, as shown."""
    found: dict[int, tuple[float, float]] = {}
    for sample in shown:
        if not sample.settled or sample.status != "running" or not sample.remaining:
            continue
        low, high = found.get(sample.version, (float("inf"), float("-inf")))
        at_least, at_most = sample.before + sample.remaining, sample.after + sample.remaining
        found[sample.version] = (min(low, at_most), max(high, at_least))
    return found


def never_back(shown: list[Sample]) -> None:
    """Asserts that time never runs back, and that the time left never grows without a change."""
    for last, sample in pairwise(shown):
        if last.now is not None:
            assert sample.now is not None
            assert sample.now >= last.now, (last, sample)
        assert sample.version >= last.version, (last, sample)
        same = (last.version, last.pending, last.active) == (sample.version, sample.pending, sample.active)
        if same and last.remaining is not None:
            assert sample.remaining is not None
            assert sample.remaining <= last.remaining, (last, sample)


def without_gap(versions: list[int]) -> None:
    """Asserts that no version was skipped and none came twice."""
    assert versions == list(range(versions[0], versions[0] + len(versions)))
