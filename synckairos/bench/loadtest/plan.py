"""How much load there is, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import click

CYCLE_MS = (10_000, 20_000)
"""The clocks that run out do so again and again, each after a time of its own between these two."""
MOST_SWITCHES = 5.0
"""Of one session in a second. The service's limit is 10."""
MOST_READS = 1.0
"""Of one address in a second, and each session is read from one of its own. The limit is 100 a minute."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much, and for how long.

    sessions: how many live at the same time
    seconds: how long it is counted
    switches, reads: HTTP requests a second, on average
    expiries: clocks that run out in a second, on average
    sockets: WebSockets, each at a session of its own
    workers: processes of the service
    clients: processes that send the requests
    audited: whether events go to a PostgreSQL, as in production
    warm_up_s: load before that time, which is not counted
    """

    sessions: int
    seconds: float
    switches: float
    reads: float
    expiries: float
    sockets: int
    workers: int
    clients: int
    audited: bool
    warm_up_s: float

    @property
    def expiring(self) -> int:
        """How many sessions have clocks that run out."""
        low, high = CYCLE_MS
        each_s = math.log(high / low) / (high - low) * 1000  # the mean of 1/time, over times between the two
        return math.ceil(self.expiries / each_s)

    def check(self) -> None:
        """Ends the command when the load contradicts itself."""
        switched = self.sessions - self.expiring
        if switched < 1 or self.sockets > self.sessions:
            raise click.UsageError(
                f"{self.sessions} sessions are too few for {self.sockets} sockets and "
                f"{self.expiring} clocks that run out"
            )
        if self.sockets < self.expiring:
            raise click.UsageError(
                f"each clock that runs out is watched, so --sockets has to be at least {self.expiring}"
            )
        if self.switches > MOST_SWITCHES * switched or self.reads > MOST_READS * self.sessions:
            raise click.UsageError(
                f"{self.sessions} sessions are too few: with the service's limits in mind they are for "
                f"{MOST_SWITCHES * switched:.0f} switches and {MOST_READS * self.sessions:.0f} reads a second"
            )


FULL = Load(
    sessions=10_000,
    seconds=60,
    switches=200,
    reads=200,
    expiries=20,
    sockets=1_000,
    workers=1,
    clients=1,
    audited=True,
    warm_up_s=5,
)
QUICK = replace(FULL, sessions=300, seconds=3, switches=40, reads=40, expiries=4, sockets=80, warm_up_s=1)
