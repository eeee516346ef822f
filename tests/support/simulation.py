"""Simulated networks and devices, to measure how well the clients' clock filter finds the server's time.

A trace has ten minutes of one client: the four timestamps of its round trips, the moments at which it notices
that it was asleep, and moments at which a user looks at the clock, with the true time. The clients in
JavaScript and in Python are run on the same traces. Times are ms. The server's stamps are whole ms.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

LENGTH_MS = 600_000.0
LOOKS_EVERY_MS = 200.0
BURST = 5
SERVER_START_MS = 1_800_000_000_000.0
LOCAL_START_MS = 12_345.678
SEEDS = range(6)

Delay = Callable[[Random, float], tuple[float, float]]
"""A function from a true time since the start to the delays (ms) of a round trip's way there and back."""


@dataclass(frozen=True)
class Network:
    """A network and the device in it.

    name: as in the table
    delay: the delays of a round trip
    drift_ppm: by how much the rate of the device's clock may be wrong
    sleeps: how often the device sleeps, while its monotonic clock stops
    """

    name: str
    delay: Delay
    drift_ppm: float = 15.0
    sleeps: int = 0


def _spread(there: float, back: float, jitter: float, spikes: float = 0.0, spike: float = 0.0) -> Delay:
    """Delays from the shortest ones (there, back) and a random addition to each, which is sometimes large."""

    def delay(random: Random, _: float) -> tuple[float, float]:
        ways = []
        for shortest in (there, back):
            extra = random.expovariate(1 / jitter)
            if random.random() < spikes:
                extra += random.uniform(0.2, 1.0) * spike
            ways.append(shortest + extra)
        return ways[0], ways[1]

    return delay


def _congested(random: Random, at: float) -> tuple[float, float]:
    """Delays of a line whose way there is congested for half a minute out of every two minutes."""
    there, back = _spread(15, 15, 6)(random, at)
    phase = at % 120_000 - 60_000
    if 0 <= phase < 30_000:
        there += 400 * math.sin(math.pi * phase / 30_000)
    return there, back


NETWORKS = [
    Network("local network", _spread(0.3, 0.3, 0.2)),
    Network("wireless", _spread(3, 3, 4, spikes=0.1, spike=150)),
    Network("mobile", _spread(35, 25, 25, spikes=0.15, spike=400)),
    Network("other continent, jittery", _spread(90, 90, 40, spikes=0.1, spike=300)),
    Network("asymmetric (there 80, back 20)", _spread(80, 20, 8)),
    Network("congested now and then", _congested),
    Network("drifting device (45 ppm)", _spread(8, 8, 10, spikes=0.1, spike=100), drift_ppm=45),
    Network("sleeping device", _spread(10, 10, 8, spikes=0.1, spike=100), sleeps=3),
]


@dataclass(frozen=True)
class Event:
    """An event of a trace: a `sample` is complete (at t4), the client notices a sleep (`reset`), or a `look`.

    local: the time on the device's clock
    true_ms: of a look, the server's time
    counts: of a look, whether the client could know the time
    """

    kind: Literal["sample", "reset", "look"]
    local: float
    stamps: tuple[float, int, int, float] = (0.0, 0, 0, 0.0)
    true_ms: float = 0.0
    counts: bool = True


@dataclass
class Device:
    """A device's monotonic clock: its rate is a little wrong, and it stops while the device sleeps."""

    rate: float
    naps: list[tuple[float, float]] = field(default_factory=list)

    def local(self, at: float) -> float:
        """Its reading at a true time since the start."""
        slept = sum(min(max(at - begin, 0.0), length) for begin, length in self.naps)
        return LOCAL_START_MS + (at - slept) * self.rate

    def sleeps(self, at: float) -> bool:
        """Whether it sleeps."""
        return any(begin <= at < begin + length for begin, length in self.naps)


def trace(network: Network, seed: int) -> list[Event]:
    """The events of one client, in order."""
    random = Random(f"{network.name} {seed}")
    device = Device(1 + random.uniform(-1, 1) * network.drift_ppm / 1e6)
    if network.drift_ppm > 40:
        device.rate = 1 + random.choice((-1, 1)) * network.drift_ppm / 1e6
    device.naps = [
        (LENGTH_MS * (nap + random.uniform(0.3, 0.7)) / network.sleeps, random.uniform(5_000, 60_000))
        for nap in range(network.sleeps)
    ]
    found: list[tuple[float, Event]] = []
    for sent in _sendings(random, device, found):
        there, back = network.delay(random, sent)
        held = random.uniform(0.02, 0.3)
        returned = sent + there + held + back
        if device.sleeps(sent) or any(sent < begin <= returned for begin, _ in device.naps):
            continue  # the device slept when it had to send, or when the answer came
        stamps = (
            device.local(sent),
            int(SERVER_START_MS + sent + there),
            int(SERVER_START_MS + sent + there + held),
            device.local(returned),
        )
        found.append((returned, Event("sample", stamps[3], stamps=stamps)))
    returns = [at for at, event in found if event.kind == "sample"]
    look = 0.0
    while look < LENGTH_MS:
        if not device.sleeps(look):
            woke = max(
                (begin + length for begin, length in device.naps if begin + length <= look), default=0.0
            )
            counts = any(woke <= at <= look for at in returns)
            event = Event("look", device.local(look), true_ms=SERVER_START_MS + look, counts=counts)
            found.append((look, event))
        look += LOOKS_EVERY_MS
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def _sendings(random: Random, device: Device, found: list[tuple[float, Event]]) -> Iterator[float]:
    """When the client sends: a burst at first and after each sleep, and one every 10 to 15 s."""
    moments = [0.0]
    for begin, length in device.naps:
        noticed = begin + length + random.uniform(0, 1_000)
        found.append((noticed, Event("reset", device.local(noticed))))
        moments.append(noticed)
    for moment, end in zip(moments, [*moments[1:], LENGTH_MS], strict=True):
        at = moment
        for _ in range(BURST):
            yield at
            at += random.uniform(100, 200)
        at += random.uniform(10_000, 15_000)
        while at < end:
            yield at
            at += random.uniform(10_000, 15_000)


@dataclass(frozen=True)
class Shown:
    """The time that a client shows at a look, and by how much it says that this may be wrong."""

    ms: float
    uncertainty_ms: float


def median_of_five(events: Sequence[Event]) -> list[float | None]:
    """The time at each look from the median offset of the newest five samples, without slewing."""
    offsets: list[float] = []
    shown: list[float | None] = []
    for event in events:
        match event.kind:
            case "sample":
                t1, t2, t3, t4 = event.stamps
                offsets.append(((t2 + 0.5 - t1) + (t3 + 0.5 - t4)) / 2)
            case "reset":
                offsets.clear()
            case _:
                shown.append(event.local + statistics.median(offsets[-5:]) if offsets else None)
    return shown


def as_json(events: Sequence[Event]) -> list[Any]:
    """The trace for other languages: `["sample", t1, t2, t3, t4]`, `["reset"]`, `["look", local]`."""
    lines: list[Any] = []
    for event in events:
        match event.kind:
            case "sample":
                lines.append(["sample", *event.stamps])
            case "reset":
                lines.append(["reset"])
            case _:
                lines.append(["look", event.local])
    return lines


@dataclass(frozen=True)
class Line:
    """A line of the table, with errors in ms over all seeds of a network.

    ours: mean, 95th percentile and largest error of the client
    median: the same for the median of five samples
    stated: the mean of the uncertainty that the client states
    """

    network: str
    ours: tuple[float, float, float]
    median: tuple[float, float, float]
    stated: float


def summary(errors: Sequence[float]) -> tuple[float, float, float]:
    """Mean, 95th percentile and largest."""
    ordered = sorted(errors)
    return statistics.fmean(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]


def measure(network: Network, run: Callable[[list[Event]], list[Shown | None]]) -> Line:
    """The errors on a network. `run` gives what a client shows at each look of a trace."""
    ours: list[float] = []
    medians: list[float] = []
    stated: list[float] = []
    for seed in SEEDS:
        events = trace(network, seed)
        looks = [event for event in events if event.kind == "look"]
        for look, shown, median in zip(looks, run(events), median_of_five(events), strict=True):
            if look.counts:
                assert shown is not None
                assert median is not None
                ours.append(abs(shown.ms - look.true_ms))
                medians.append(abs(median - look.true_ms))
                stated.append(shown.uncertainty_ms)
    return Line(network.name, summary(ours), summary(medians), statistics.fmean(stated))


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table."""
    rows = [
        "| network | client: mean | 95 % | largest | median of five: mean | 95 % | largest | stated ± |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in lines:
        numbers = [f"{number:.1f}" for number in (*line.ours, *line.median, line.stated)]
        rows.append(f"| {line.network} | {' | '.join(numbers)} |")
    return "\n".join(rows)
