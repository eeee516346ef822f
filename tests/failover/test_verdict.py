"""The verdict on drills: each goal, met and missed."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from synckairos.config import Durability
from synckairos.drill.drills import random_plan
from synckairos.drill.faults import FAULTS
from synckairos.drill.verdict import Drill, as_json, judge, judge_all
from synckairos.history.check import Report
from synckairos.history.faults import Outage
from synckairos.history.figures import Figures, Quantiles
from synckairos.history.findings import Finding

CUT = Outage("kill", 0.0, 6000.0, 14000.0, 6100.0, 100.0, 6100.0)


def drill(
    kind: str = "kill",
    durability: Durability = "replicated",
    *,
    outage: Outage = CUT,
    findings: list[Finding] | None = None,
    errors: dict[str, int] | None = None,
    timed: bool = True,
    **figures: Any,
) -> Drill:
    """A drill that has been judged."""
    made = Drill(
        kind,
        durability,
        held=True,
        report=Report(findings or [], Figures(acknowledged=5000, outages=[outage], **figures)),
        errors=errors or {},
    )
    judge(made, timed=timed)
    return made


def noticed(named: float | None, success: float | None, pause: float) -> Outage:
    """A fault as callers noticed it, in ms after it began."""
    return Outage("kill", 0.0, named, None, pause, success, pause)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_drill_in_which_nothing_happened_to_callers_meets_all_goals(kind: str) -> None:
    assert drill(kind, outage=noticed(6000, 100, 400)).missed == []


@pytest.mark.parametrize(
    ("missed", "made"),
    [
        ("no other primary was named", drill(outage=noticed(None, None, 100))),
        ("first success after naming: 501, and not at most 500", drill(outage=noticed(6000, 501, 6501))),
        (
            "first success after naming: 1501, and not at most 1500",
            drill("half", outage=noticed(6000, 1501, 7501)),
        ),
        ("first success after naming: never", drill("hang", outage=noticed(6000, None, 7501))),
        ("pause: 501, and not at most 500", drill("planned", outage=noticed(6000, 100, 501))),
        ("lost: 1, and not at most 0", drill(lost=1)),
        (
            "lost: 1, and not at most 0",
            drill("planned", "async", outage=noticed(6000, 100, 400), lost=1, lost_after_ms=[10.0]),
        ),
        (
            "acknowledged and lost, ms from the fault: 3001, and not at most 3000",
            drill(durability="async", lost=2, lost_after_ms=[-20.0, 3001.0]),
        ),
        ("versions given twice: 1, and not at most 0", drill(versions_given_twice=1)),
        ("phantoms: 1, and not at most 0", drill(phantoms=1)),
        ("gaps: 1, and not at most 0", drill(gaps=1)),
        ("backwards: 1, and not at most 0", drill(backwards=1)),
        ("sockets dropped: 1, and not at most 0", drill(sockets_dropped=1)),
        (
            "95 % of the events, ms: 251, and not at most 250",
            drill(delay_settled=Quantiles(9, 1, 251, 300, 400)),
        ),
        ("latest clock: 6201, and not at most 6200", drill(late=Quantiles(30, 1, 1, 1, 6201))),
        ("1 times: overdue", drill(findings=[Finding("overdue", "id", 1, 1, "")])),
        ("answers INTERNAL_ERROR: 2", drill(errors={"INTERNAL_ERROR": 2})),
    ],
)
def test_what_was_missed_is_said(missed: str, made: Drill) -> None:
    assert made.missed == [missed]


def test_with_async_what_is_lost_within_three_seconds_is_no_fault() -> None:
    assert drill(durability="async", lost=2, lost_after_ms=[-20.0, 3000.0]).missed == []


def test_without_times_only_what_was_said_counts() -> None:
    slow = noticed(6000, 9000, 15000)
    assert drill(outage=slow, sockets_dropped=3, timed=False).missed == []
    assert drill(outage=slow, lost=1, timed=False).missed == ["lost: 1, and not at most 0"]
    assert judge_all([drill(outage=slow, timed=False)], timed=False) == []


def test_one_of_ten_kills_may_take_longer() -> None:
    slow = drill(outage=noticed(26000, 100, 26100))
    assert judge_all([slow, *[drill()] * 9], timed=True) == []
    assert judge_all([slow, *[drill()] * 8], timed=True) == [
        "kill: no success within 7500 ms in 1 of 9 drills"
    ]


def test_programs_get_all_figures() -> None:
    made = drill(lost=1)
    told = json.loads(as_json([made], judge_all([made], timed=True), {"seed": 7}))
    assert told["missed"] == ["kill 1: lost: 1, and not at most 0"]
    assert (told["seed"], told["drills"][0]["figures"]["acknowledged"]) == (7, 5000)


def test_a_seed_gives_the_same_faults_again() -> None:
    once, again = random.Random(7), random.Random(7)
    plans = [random_plan(once) for _ in range(50)]
    assert plans == [random_plan(again) for _ in range(50)]
    assert {plan.kind for plan in plans} == set(FAULTS)
