"""Drills: traffic, a fault in the middle of it, and the check of what everybody was told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from synckairos.config import Address, Durability, Settings
from synckairos.core.connection import Connection
from synckairos.drill.deployment import Deployment, Kind
from synckairos.drill.faults import END_BY_THEMSELVES, FAULTS, Scene
from synckairos.drill.network import Network
from synckairos.drill.services import environment, services
from synckairos.drill.traffic import DUE, DUE_EVERY_MS, FIRST_DUE_MS, Traffic, traffic
from synckairos.drill.verdict import Drill, judge
from synckairos.history import lines, servers
from synckairos.history.check import Report, check
from synckairos.history.record import Recorder
from synckairos.history.truth import SessionTruth

BEFORE_S = 4.0
"""How long there is traffic before the fault."""
NAMED_S = 60.0
"""How long to wait until another primary is named."""
HELD_S = 8.0
"""How long a fault goes on after that: callers have to get through without healing."""
AFTER_S = 2.0
"""How long there is traffic after the deployment is whole again."""
WHOLE_S = 90.0
"""How long the deployment may take to be whole again. A Sentinel turns a server that is back after 10 s."""
OVERDUE_S = 12.0
"""How long to wait for clocks that have not expired. `check-history` calls them overdue after 10 s."""
POLL_S = 0.025
"""How often the Sentinels are asked whether another primary is named."""

SHORTEST_S, LONGEST_S = 0.3, 20.0
"""How long a random fault lasts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A drill to carry out.

    kind: of the fault, one of FAULTS
    before_s: how long there is traffic before it
    for_s: how long it lasts; None: until HELD_S after another primary was named
    """

    kind: str
    before_s: float = BEFORE_S
    for_s: float | None = None


def random_plan(rng: random.Random) -> Plan:
    """A fault at a random moment and of random length. Many are over before the Sentinels notice."""
    kind = rng.choice(sorted(FAULTS))
    longer = rng.random() ** 2  # more short ones than long ones
    for_s = None if kind in END_BY_THEMSELVES else SHORTEST_S + longer * (LONGEST_S - SHORTEST_S)
    return Plan(kind, rng.uniform(1.0, BEFORE_S), for_s)


class Drills:
    """A deployment that can be cut, services in front of it, and a folder for what is recorded."""

    def __init__(self, scene: Scene, hosts: Sequence[str], durability: Durability) -> None:
        self._scene = scene
        self._hosts = list(hosts)
        self._durability: Durability = durability
        self._count = 0

    @classmethod
    @asynccontextmanager
    async def prepared(
        cls, kind: Kind, configurations: Path, durability: Durability, folder: Path
    ) -> AsyncIterator[Drills]:
        """Everything started, and ended at the end."""
        async with AsyncExitStack() as stack:
            network = await stack.enter_async_context(Network())
            deployment = await stack.enter_async_context(
                Deployment.started(kind, configurations, folder=folder / "deployment", network=network)
            )
            hosts = await stack.enter_async_context(services(deployment, durability, folder / "services.log"))
            environ = environment(deployment, durability)
            scene = Scene(deployment, network, environ, folder / "failover.log")
            yield cls(scene, hosts, durability)

    async def carry_out(self, plan: Plan, *, seed: int, timed: bool) -> Drill:
        """One drill, judged. Raises CannotStart when the deployment does not become whole, FaultFailed."""
        deployment = self._scene.deployment
        await deployment.until(deployment.is_complete, "a whole deployment", WHOLE_S)
        self._count += 1
        file = self._scene.log.parent / f"{self._count:03}-{plan.kind}.jsonl"
        with Recorder(file, seed) as recorder:
            async with traffic(self._hosts, recorder) as load:
                last_due = time.monotonic() + (FIRST_DUE_MS + DUE * DUE_EVERY_MS) / 1000
                await asyncio.sleep(plan.before_s)
                await self._strike(plan, recorder)
                # Still with traffic: a server that is back is a primary for a while, and may take writes.
                await deployment.until(deployment.is_complete, "the deployment to be whole again", WHOLE_S)
                await asyncio.sleep(AFTER_S)
                await load.finish()
                truths = await self._truths(load, last_due)
        report = await asyncio.to_thread(_checked, file, truths)
        drill = Drill(plan.kind, self._durability, plan.for_s is None, report, dict(load.errors))
        judge(drill, timed=timed)
        return drill

    async def _strike(self, plan: Plan, recorder: Recorder) -> None:
        """The fault, from its begin to its end."""
        before = await self._scene.deployment.named()
        recorder.fault(plan.kind, "begin")
        end = await FAULTS[plan.kind](self._scene)
        naming = asyncio.create_task(self._named(before, plan.kind, recorder))
        try:
            if plan.for_s is not None:
                await asyncio.sleep(plan.for_s)
            elif await naming:
                await asyncio.sleep(HELD_S)
            await end()
            recorder.fault(plan.kind, "end")
        finally:
            naming.cancel()
            await asyncio.gather(naming, return_exceptions=True)

    async def _named(self, before: Address | None, kind: str, recorder: Recorder) -> bool:
        """Records when the majority names another primary than before. Whether it did in time."""
        end = time.monotonic() + NAMED_S
        while time.monotonic() < end:
            if (await self._scene.deployment.named()) not in (None, before):
                recorder.fault(kind, "named")
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _truths(self, load: Traffic, last_due: float) -> list[SessionTruth]:
        """What happened, when all clocks have run out that are to, or are long overdue.

        It is read from the server that the Sentinels name, whatever the services hold for the primary.
        """
        await asyncio.sleep(last_due - time.monotonic())
        named = await self._scene.deployment.named()
        assert named is not None
        async with Connection.to(Settings(redis_url="redis://{}:{}".format(*named))) as connection:
            while True:
                truths = [truth async for truth in servers.read_sessions(connection, None, load.session_ids)]
                due = [truth for truth in truths if truth.session_id in load.due]
                if not any(_runs(truth) for truth in due) or time.monotonic() > last_due + OVERDUE_S:
                    return truths
                await asyncio.sleep(1)


def _runs(truth: SessionTruth) -> bool:
    state = truth.decoded_state()
    return state is not None and state.status == "running"


def _checked(file: Path, truths: list[SessionTruth]) -> Report:
    with file.open("rb") as recording:
        return check([list(lines.read(recording, file.name))], truths, complete=True)
