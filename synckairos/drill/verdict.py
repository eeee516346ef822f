"""What a drill has to come to: the goals, and the row of a drill in the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.table import Table

from synckairos.config import Durability
from synckairos.history.check import Report
from synckairos.history.faults import Outage

AFTER_NAMING_MS = {"kill": 500.0, "hang": 1500.0, "partition": 1500.0, "half": 1500.0, "asked": 1500.0}
"""By kind of fault, how soon after another primary was named a caller has to succeed."""
AFTER_KILL_MS = 7500.0
"""How soon after a kill a caller has to succeed, in 9 of 10 drills."""
PLANNED_PAUSE_MS = 500.0
LOST_WITHIN_MS = 3000.0
"""With `async`: what is lost was acknowledged at most so long before or after the fault began."""
EVENT_MS = 250.0
"""How soon 95 % of the events reach their sockets, from 2 s after naming on."""
LATE_MS = 100.0
"""How late a due clock may be beyond the outage."""
_COUNTED = frozenset({"lost", "rewritten", "phantom", "gap", "told gap", "told twice", "told backwards"})
"""Findings that have a column of their own, or stand for a figure that has."""


class Drill(msgspec.Struct):
    """One drill that was carried out: what was done, and what came of it.

    kind: of the fault
    held: whether the fault was held until another primary was named, so that one has to be named
    errors: answers that no caller should get, by code
    missed: the goals that were missed, in words
    """

    kind: str
    durability: Durability
    held: bool
    report: Report
    errors: dict[str, int]
    missed: list[str] = []

    @property
    def outage(self) -> Outage:
        """The fault, as callers noticed it."""
        return self.report.figures.outages[0]


def judge(drill: Drill, *, timed: bool) -> None:
    """Fills in what was missed. timed: whether it counts how long things took."""
    if drill.held and drill.outage.named_ms is None:
        drill.missed.append("no other primary was named")
    _judge_what_was_said(drill)
    if timed:
        _judge_times(drill)


def _judge_what_was_said(drill: Drill) -> None:
    figures, missed = drill.report.figures, drill.missed
    if drill.durability != "async" or drill.kind == "planned":
        _at_most(missed, "lost", figures.lost, 0)
    for name, count in (
        ("versions given twice", figures.versions_given_twice),
        ("phantoms", figures.phantoms),
        ("gaps", figures.gaps),
        ("backwards", figures.backwards),
    ):
        _at_most(missed, name, count, 0)
    missed.extend(f"answers {code}: {count}" for code, count in drill.errors.items())
    kinds = Counter(finding.kind for finding in drill.report.findings if finding.kind not in _COUNTED)
    missed.extend(f"{count} times: {kind}" for kind, count in kinds.items())


def _judge_times(drill: Drill) -> None:
    figures, outage, missed = drill.report.figures, drill.outage, drill.missed
    if drill.kind in AFTER_NAMING_MS and outage.named_ms is not None:
        goal = AFTER_NAMING_MS[drill.kind]
        _at_most(missed, "first success after naming", outage.first_success_after_named_ms, goal)
    if drill.kind == "planned":
        _at_most(missed, "pause", outage.longest_pause_ms, PLANNED_PAUSE_MS)
    if figures.lost_after_ms:
        furthest = max(figures.lost_after_ms, key=abs)
        _at_most(missed, "acknowledged and lost, ms from the fault", abs(furthest), LOST_WITHIN_MS)
    _at_most(missed, "sockets dropped", figures.sockets_dropped, 0)
    _at_most(missed, "95 % of the events, ms", figures.delay_settled.p95, EVENT_MS)
    _at_most(missed, "latest clock", figures.late.most, _outage_ms(outage) + LATE_MS)


def _outage_ms(outage: Outage) -> float:
    """How long clocks could not run out, in ms.

    That is the longest time without a success, or the time until the new primary had its first one: what the
    old one did meanwhile may be lost, and is done again.
    """
    pause = outage.longest_pause_ms or 0.0
    if outage.named_ms is None:
        return pause
    return max(pause, outage.named_ms - outage.began_ms + (outage.first_success_after_named_ms or 0.0))


def _at_most(missed: list[str], name: str, value: float | None, goal: float) -> None:
    if value is None:
        missed.append(f"{name}: never")
    elif value > goal:
        missed.append(f"{name}: {value:.0f}, and not at most {goal:.0f}")


def judge_all(drills: Sequence[Drill], *, timed: bool) -> list[str]:
    """What was missed, each with its drill, and over all drills."""
    missed = [
        f"{drill.kind} {number}: {each}" for number, drill in enumerate(drills, 1) for each in drill.missed
    ]
    kills = [drill.outage.first_success_after_begin_ms for drill in drills if drill.kind == "kill"]
    slow = [each for each in kills if each is None or each > AFTER_KILL_MS]
    if timed and 10 * len(slow) > len(kills):
        missed.append(f"kill: no success within {AFTER_KILL_MS:.0f} ms in {len(slow)} of {len(kills)} drills")
    return missed


def table(drills: Iterable[Drill]) -> Table:
    """The drills as a table, one row each. Times are in ms."""
    found = Table(
        "drill",
        "named after",
        "success after naming",
        "after the fault",
        "acknowledged",
        "lost",
        "twice",
        "phantoms",
        "gaps",
        "backwards",
        "dropped",
        "events 95 %",
        "latest clock",
        "goals",
    )
    for drill in drills:
        figures, outage = drill.report.figures, drill.outage
        named = None if outage.named_ms is None else outage.named_ms - outage.began_ms
        found.add_row(
            drill.kind,
            _ms(named),
            _ms(outage.first_success_after_named_ms),
            _ms(outage.longest_pause_ms if drill.kind == "planned" else outage.first_success_after_begin_ms),
            str(figures.acknowledged),
            str(figures.lost),
            str(figures.versions_given_twice),
            str(figures.phantoms),
            str(figures.gaps),
            str(figures.backwards),
            str(figures.sockets_dropped),
            _ms(figures.delay_settled.p95 if figures.delay_settled.count else None),
            _ms(figures.late.most if figures.late.count else None),
            "met" if not drill.missed else "missed",
            style="red" if drill.missed else "",
        )
    return found


def as_json(drills: Iterable[Drill], missed: Sequence[str], about: dict[str, Any]) -> bytes:
    """Everything, for programs."""
    rows = [
        {
            "kind": drill.kind,
            "durability": drill.durability,
            "missed": drill.missed,
            "errors": drill.errors,
            "figures": drill.report.figures,
            "findings": drill.report.findings,
        }
        for drill in drills
    ]
    return msgspec.json.format(msgspec.json.encode({**about, "missed": missed, "drills": rows}))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
