"""The clock filter on simulated networks: the error of the shown time, and the uncertainty that it states."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from synckairos.client.time import ClockFilter, SlewedClock
from tests.support import simulation
from tests.support.simulation import NETWORKS, SEEDS, Event, Line, Network, Shown
from tests.web.node import Helper

README = Path(__file__).parents[2] / "synckairos" / "web" / "README.md"
every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


@pytest.fixture(scope="module")
def javascript() -> Iterator[Helper]:
    with Helper("simulation.mjs") as helper:
        yield helper


def in_javascript(helper: Helper, events: list[Event]) -> list[Shown | None]:
    """The time that the JavaScript client shows at each look."""
    return [
        None if shown is None else Shown(shown[0], math.inf if shown[1] is None else shown[1])
        for shown in helper.ask(simulation.as_json(events))
    ]


def in_python(events: list[Event]) -> list[float | None]:
    """The time that the Python client shows at each look."""
    clock_filter, clock = ClockFilter(), SlewedClock()
    shown: list[float | None] = []
    for event in events:
        match event.kind:
            case "sample":
                t1, t2, t3, t4 = event.stamps
                clock_filter.add(t1, t2 + 0.5, t3 + 0.5, t4)
                estimate = clock_filter.estimate(t4)
                assert estimate is not None
                clock.set(estimate.offset, t4)
            case "reset":
                clock_filter.reset()
            case _:
                shown.append(clock.now(event.local))
    return shown


@pytest.fixture(scope="module")
def lines(javascript: Helper) -> list[Line]:
    return [
        simulation.measure(network, lambda events: in_javascript(javascript, events)) for network in NETWORKS
    ]


@every_network
def test_time_shown_is_within_the_stated_uncertainty(network: Network, javascript: Helper) -> None:
    for seed in SEEDS:
        events = simulation.trace(network, seed)
        looks = [event for event in events if event.kind == "look"]
        for look, shown in zip(looks, in_javascript(javascript, events), strict=True):
            if look.counts:
                assert shown is not None
                assert abs(shown.ms - look.true_ms) <= shown.uncertainty_ms + 1e-3, (seed, look, shown)


@every_network
def test_countdown_never_jumps_back(network: Network, javascript: Helper) -> None:
    for seed in SEEDS:
        events = simulation.trace(network, seed)
        shown = [look.ms for look in in_javascript(javascript, events) if look is not None]
        assert all(earlier <= later for earlier, later in pairwise(shown)), seed


@every_network
def test_both_clients_show_the_same_time(network: Network, javascript: Helper) -> None:
    events = simulation.trace(network, SEEDS[0])
    ours = [None if look is None else look.ms for look in in_javascript(javascript, events)]
    assert ours == pytest.approx(in_python(events), abs=1e-6)


def test_client_is_closer_than_the_median_of_five_samples(lines: list[Line]) -> None:
    sys.stdout.write(f"\n{simulation.table(lines)}\n")
    assert sum(line.ours[0] for line in lines) < sum(line.median[0] for line in lines)
    assert sum(line.ours[1] for line in lines) < sum(line.median[1] for line in lines)
    worse = [line.network for line in lines if line.ours[0] > line.median[0] + 0.1]
    assert worse == []


def test_readme_states_the_errors(lines: list[Line]) -> None:
    assert simulation.table(lines) in README.read_text(encoding="utf-8")
