"""What is done to a deployment: one function for each kind of fault.

Each begins, and leaves its end to the drill, which calls what the function returned. The service reaches all
servers and Sentinels throughout: only they cannot reach one another.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from redis.exceptions import RedisError

from synckairos.config import Address
from synckairos.drill.deployment import Deployment, Member
from synckairos.drill.network import Network

End = Callable[[], Awaitable[None]]
"""Takes a fault back."""

ASKING_S = 30.0
"""How long to go on asking a Sentinel that refuses to replace the primary."""
GIVEN_UP_S = 15.0
"""After how long a Sentinel that has not replaced it is taken to have given up. Usually it needs a second."""


class FaultFailed(Exception):
    """What a drill does did not work, so that there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What faults need to know."""

    deployment: Deployment
    network: Network
    environ: Mapping[str, str]
    log: Path

    async def roles(self) -> tuple[Member, list[Member]]:
        """The primary that the majority names, and the replicas."""
        named = await self.deployment.named()
        assert named is not None
        primary = self.deployment.server_at(named)
        return primary, [server for server in self.deployment.servers if server is not primary]


async def kill(scene: Scene) -> End:
    """The primary's process is killed. At the end it is started again."""
    primary, _ = await scene.roles()
    await primary.end()
    return primary.start


async def hang(scene: Scene) -> End:
    """The primary stands still, with its connections open. At the end it goes on where it was."""
    primary, _ = await scene.roles()
    primary.signal(SIGSTOP)

    async def wake() -> None:
        primary.signal(SIGCONT)

    return wake


async def partition(scene: Scene) -> End:
    """The primary is cut off from the Sentinels and from the replicas."""
    primary, replicas = await scene.roles()
    return _cut(scene, [primary], [*replicas, *scene.deployment.sentinels])


async def half(scene: Scene) -> End:
    """The primary, one replica and one Sentinel are cut off from the other replica and the other two."""
    primary, replicas = await scene.roles()
    sentinels = scene.deployment.sentinels
    return _cut(scene, [primary, replicas[0], sentinels[0]], [replicas[1], *sentinels[1:]])


def _cut(scene: Scene, some: list[Member], others: list[Member]) -> End:
    scene.network.cut([member.host for member in some], [member.host for member in others])

    async def heal() -> None:
        scene.network.heal()

    return heal


async def planned(scene: Scene) -> End:
    """`synckairos failover`, which ends by itself."""
    with scene.log.open("ab") as output:
        command = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "synckairos",
            "failover",
            env=scene.environ,
            stdout=output,
            stderr=output,
        )

    async def end() -> None:
        if await command.wait():
            raise FaultFailed(f"synckairos failover: exit code {command.returncode}; see {scene.log}")

    return end


async def asked(scene: Scene) -> End:
    """A Sentinel is asked to replace the primary, which is well and notices nothing. It ends by itself.

    It is asked again where it has given up, as when no replica looked good enough: for a primary that is well
    it does not try again by itself.
    """
    deployment = scene.deployment
    sentinel, before = deployment.sentinels[0], await deployment.named()
    end = time.monotonic() + ASKING_S
    while True:
        try:
            await sentinel.client.execute_command("SENTINEL", "FAILOVER", deployment.name)
        except RedisError as error:  # it has not looked at the replicas yet, or is not done with a failover
            if time.monotonic() > end:
                raise FaultFailed(f"SENTINEL FAILOVER: {error}") from error
            await asyncio.sleep(0.5)
            continue
        if await _is_replaced(deployment, before) or time.monotonic() > end:
            break

    async def nothing() -> None:
        pass

    return nothing


async def _is_replaced(deployment: Deployment, before: Address | None) -> bool:
    """Whether another primary is named within GIVEN_UP_S."""
    end = time.monotonic() + GIVEN_UP_S
    while time.monotonic() < end:
        if (await deployment.named()) not in (None, before):
            return True
        await asyncio.sleep(0.02)
    return False


END_BY_THEMSELVES = frozenset({"planned", "asked"})

FAULTS: Mapping[str, Callable[[Scene], Awaitable[End]]] = {
    "kill": kill,
    "hang": hang,
    "partition": partition,
    "half": half,
    "planned": planned,
    "asked": asked,
}
