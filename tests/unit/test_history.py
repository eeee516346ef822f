"""The check of a history finds what was planted, names it, and finds nothing where nothing is."""

from __future__ import annotations

from random import Random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.games import KINDS
from tests.support.histories import PLANTS, Plant, run

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.sampled_from(KINDS), st.booleans())
@settings(max_examples=150)
def test_a_sound_history_has_no_findings(seed: int, kind: tuple[str, str], failover: bool) -> None:
    made = run(seed, *kind, failover_at=Random(seed).randrange(1, 12) if failover else None)
    report = made.check()
    assert report.findings == []
    assert report.figures.acknowledged == len(made.calls)
    assert report.figures.not_known == report.figures.lost == 0


@given(SEEDS, st.sampled_from(PLANTS), st.booleans())
@settings(max_examples=300)
def test_a_planted_fault_is_found_and_named(seed: int, plant: Plant, failover: bool) -> None:
    random = Random(seed)
    made = run(seed, failover_at=random.randrange(1, 12) if failover else None)
    kind = plant(made, random)
    assume(kind is not None)
    assert kind in made.kinds()
