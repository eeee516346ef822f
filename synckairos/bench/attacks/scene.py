"""What every attack meets: a service with its limits on, and a victim that switches at a steady rate."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from synckairos.bench import load, servers, sessions
from synckairos.bench.load import Outcome
from synckairos.bench.report import Figure, percentile
from synckairos.bench.servers import Kind, Storage, Web

RATE = 200
"""Switches of the victim in a second."""
SESSIONS = 200
TIMES_QUIET = 3.0
"""How much longer than in quiet the victim's switches may take."""


@dataclass(slots=True)
class Scene:
    """A service and its victim.

    session_ids: sessions that exist, and that only the victim changes
    quiet: the victim's switches while nobody attacks
    """

    storage: Storage
    service: Web
    session_ids: list[str]
    quick: bool
    requests: list[bytes] = field(default_factory=list)
    quiet: Outcome | None = None

    def victim(self, attack: Callable[[], None]) -> Outcome:
        """The victim's switches during the attack."""
        with load.ChildProcess(load.pace, self.service.port, self.requests, RATE) as switching:
            switching.receive()
            attack()
            switching.pipe.send("end")
            return switching.result()

    def compared(self, name: str, *attacked: Outcome, at_most: float | None = TIMES_QUIET) -> list[Figure]:
        """The victim's p99, compared with that in quiet, and how many answers were not a 200."""
        assert self.quiet is not None
        took = sorted(latency for outcome in attacked for latency in outcome.latencies)
        quiet = percentile(self.quiet.latencies, 0.99) * 1e3
        p99 = percentile(took, 0.99) * 1e3
        failed = sum(
            count for outcome in attacked for status, count in outcome.answers.items() if status != b"200"
        )
        return [
            Figure(
                name=f"{name}: a switch beside it, p99",
                value=p99,
                unit="ms",
                yardstick="in quiet, p99",
                yardstick_value=quiet,
                ratio=p99 / quiet,
                at_most=at_most,
            ),
            Figure(name=f"{name}: switches not answered by 200", value=failed, unit="", at_most=0),
        ]


@contextmanager
def scene(kind: Kind, *, quick: bool) -> Iterator[Scene]:
    """A service over a server of this kind, and its victim, which was measured in quiet."""
    with servers.storage(kind) as storage:
        made = sessions.make(storage, SESSIONS)
        ids = [sessions.id_of(each) for each in made]
        with servers.synckairos(storage, 1, limits=True) as service:
            ready = Scene(storage, service, ids, quick, [sessions.switch_request(each) for each in made])
            ready.victim(lambda: time.sleep(1))  # the first switches find nothing prepared
            ready.quiet = ready.victim(lambda: time.sleep(1 if quick else 10))
            yield ready


def attacker(port: int, number: int) -> socket.socket:
    """A connection to the service from an address that is not the victim's: one for each number."""
    address = f"127.1.{number // 250}.{number % 250 + 1}"
    made = socket.create_connection(("127.0.0.1", port), timeout=load.PATIENCE_S, source_address=(address, 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
