"""The clock filter of the Python client on simulated networks; beside the JavaScript one in `tests/web`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from synckairos.client.time import ClockFilter, SlewedClock
from tests.support import simulation
from tests.support.simulation import NETWORKS, SEEDS, Event, Network, Shown

every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


def shown_on(events: list[Event]) -> list[Shown | None]:
    """What the client shows at each look."""
    samples, clock = ClockFilter(), SlewedClock()
    shown: list[Shown | None] = []
    for event in events:
        match event.kind:
            case "sample":
                t1, t2, t3, t4 = event.stamps
                samples.add(t1, t2 + 0.5, t3 + 0.5, t4)
                estimate = samples.estimate(t4)
                assert estimate is not None
                clock.set(estimate.offset, t4)
            case "reset":
                samples.reset()
            case _:
                now, estimate = clock.now(event.local), samples.estimate(event.local)
                uncertainty = float("inf") if estimate is None else estimate.uncertainty
                shown.append(None if now is None else Shown(now, uncertainty + clock.gap(event.local)))
    return shown


@every_network
def test_time_shown_is_within_the_stated_uncertainty_and_never_goes_back(network: Network) -> None:
    for seed in SEEDS:
        events = simulation.trace(network, seed)
        looks = [event for event in events if event.kind == "look"]
        found = shown_on(events)
        for look, shown in zip(looks, found, strict=True):
            if look.counts:
                assert shown is not None
                assert abs(shown.ms - look.true_ms) <= shown.uncertainty_ms + 1e-3, (seed, look, shown)
        times = [shown.ms for shown in found if shown is not None]
        assert all(earlier <= later for earlier, later in pairwise(times)), seed


@every_network
def test_client_is_no_worse_than_the_median_of_five_samples(network: Network) -> None:
    line = simulation.measure(network, shown_on)
    assert line.ours[0] <= line.median[0] + 0.1
