"""Attacks on a service at full limits, with a victim that switches beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from synckairos.bench.attacks import creations, frames, logins, senders
from synckairos.bench.attacks.scene import Scene, scene
from synckairos.bench.report import Figure, Report
from synckairos.bench.servers import Kind

ATTACKS: Mapping[str, Callable[[Scene], list[Figure]]] = {
    "frames": frames.measure,
    "senders": senders.measure,
    "creations": creations.measure,
    "logins": logins.measure,
}
"""By name, what is measured of an attack."""


def run(kind: Kind, names: Sequence[str], *, quick: bool) -> Report:
    """Measures these attacks, all of them without any, one after the other. Each has a service of its own."""
    report = Report("attack", quick)
    for name in names or ATTACKS:
        with scene(kind, quick=quick) as ready:
            report.versions[kind] = ready.storage.version
            report.figures += ATTACKS[name](ready)
    return report
