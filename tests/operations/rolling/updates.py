"""The ways to update a deployment, each carried out while there is traffic: what `deploy/UPDATES.md` says."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from synckairos.core.library import Library
from synckairos.run.processes import free_port
from tests.operations.rolling.traffic import PATIENCE_S, SECRET, SOCKETS, Figures, Where, traffic
from tests.support import servers
from tests.support.live import eventually
from tests.support.programs import Program
from tests.support.proxies import PROXIES, Proxy
from tests.upgrade.releases import last_library, unpack

SETTLED_S = 2.0
"""How long there is traffic before and after an update."""
CROWD = 400
"""With the others these are 500 sockets of one address."""


class Machine:
    """A place for a `synckairos serve`, on a port that stays the same.

    last: a folder with the last release, which is what it has at first; None where it always has this one
    """

    def __init__(self, redis_url: str, last: Path | None = None) -> None:
        self.port = free_port()
        self.program: Program | None = None
        self.has_last = last is not None
        self._path = {} if last is None else {"PYTHONPATH": str(last)}
        self._environ = {
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "WORKERS": "2",
            "AUTH_MODE": "jwt",
            "JWT_SECRET": SECRET,
            "TRUSTED_PROXIES": "127.0.0.1",
        }

    def install_the_other(self) -> None:
        """Has this release from the next start on, or the last one again."""
        self.has_last = bool(self._path) and not self.has_last

    async def start(self) -> None:
        """Starts it, and waits until it is ready."""
        path = self._path if self.has_last else {}
        self.program = program = Program("serve", **{**self._environ, **path})
        async with httpx.AsyncClient() as client:
            end = time.monotonic() + PATIENCE_S
            while True:
                try:
                    if (
                        await client.get(f"http://127.0.0.1:{self.port}/ready")
                    ).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    assert program.process.poll() is None, "".join(program.errors)
                assert time.monotonic() < end, "".join(program.errors)
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """SIGTERM, and its end."""
        program, self.program = self.program, None
        assert program is not None
        await asyncio.to_thread(program.end)

    async def reload(self) -> None:
        """SIGHUP, and the end of the last worker from before."""
        assert self.program is not None
        program, said = self.program, len(self.program.errors)
        program.process.send_signal(signal.SIGHUP)
        await eventually(
            lambda: any("the workers were replaced" in line for line in program.errors[said:]), PATIENCE_S
        )

    def close(self) -> None:
        """Ends it if it is still there."""
        if self.program is not None:
            with self.program:
                pass


Update = Callable[[dict[str, Machine], Proxy | None], Awaitable[None]]


async def nothing(_: dict[str, Machine], __: Proxy | None) -> None:
    """No update, for as long as one takes: what the machine does to the figures by itself."""
    await asyncio.sleep(20.0)


async def reload(machines: dict[str, Machine], _: Proxy | None) -> None:
    """SIGHUP."""
    await machines["a"].reload()
    await asyncio.sleep(SETTLED_S)


async def rolling(machines: dict[str, Machine], proxy: Proxy | None) -> None:
    """One machine after the other is taken out, stopped, started and put back; both are there in between."""
    assert proxy is not None
    for name, machine in machines.items():
        await asyncio.to_thread(proxy.take_out, name)
        await machine.stop()
        machine.install_the_other()
        await machine.start()
        await asyncio.to_thread(proxy.put_back, name)
        await asyncio.sleep(SETTLED_S)


async def blue_green(machines: dict[str, Machine], proxy: Proxy | None) -> None:
    """All goes to one machine, then to the other, and back again; only one is there in between."""
    assert proxy is not None
    blue, green = machines
    await asyncio.to_thread(proxy.take_out, green)
    await machines[green].stop()
    machines[green].install_the_other()
    for old, new in ((blue, green), (green, blue)):
        await machines[new].start()
        await asyncio.to_thread(proxy.put_back, new)
        await asyncio.to_thread(proxy.take_out, old)
        await machines[old].stop()
        await asyncio.sleep(SETTLED_S)


@dataclass(frozen=True)
class Way:
    """How a deployment is updated.

    behind: the proxy in front of it
    updates: what is done, one after the other
    crowd: how many sockets watch besides those that there always are
    from_last: whether the last release is there at first; else the other one is this one as well
    """

    behind: str | None
    updates: Sequence[Update]
    crowd: int = 0
    from_last: bool = False


WAYS: dict[str, Way] = {
    "nothing": Way(None, [nothing]),
    "reload": Way(None, [reload]),
    f"reload, {SOCKETS + CROWD} sockets": Way(None, [reload], CROWD),
    **{f"rolling, {name}": Way(name, [rolling]) for name in PROXIES},
    **{f"blue-green, {name}": Way(name, [blue_green]) for name in PROXIES},
    **{
        f"last release, {what}, {name}": Way(name, updates, from_last=True)
        for what, updates in {"rolling": [rolling, rolling], "blue-green": [blue_green]}.items()
        for name in PROXIES
    },
}
"""By name, for the table."""


@asynccontextmanager
async def started(way: Way, folder: Path) -> AsyncIterator[tuple[dict[str, Machine], Proxy | None, Where]]:
    """A deployment that is ready, with a Valkey of its own: its machines, its proxy, and where to ask it."""
    with ExitStack() as stack:
        redis = stack.enter_context(servers.start("valkey"))
        last = folder / "last_release" if way.from_last else None
        if last is not None:
            unpack(last)
        names = ("a", "b")[: 1 if way.behind is None else 2]
        machines = {name: Machine(redis.url, last) for name in names}
        for machine in machines.values():
            stack.callback(machine.close)
        await asyncio.gather(*(machine.start() for machine in machines.values()))
        library = last_library() if way.from_last else Library.assemble()
        with redis.sync_client() as client:  # so it was the release that was meant
            assert client.fcall("sk_info", 0)[0].decode() == library.version
        if way.behind is None:
            yield machines, None, Where(f"127.0.0.1:{machines['a'].port}")
        else:
            ports = {name: machine.port for name, machine in machines.items()}
            proxy = stack.enter_context(PROXIES[way.behind](folder / way.behind, ports))
            yield machines, proxy, Where(f"localhost:{proxy.port}", proxy.tls)


async def carry_out(way: Way, folder: Path, *, due_every_ms: int = 800) -> Figures:
    """Updates of this kind under traffic, and what everybody noticed of them.

    At the end all sockets are open and have seen everything.
    """
    async with started(way, folder) as (machines, proxy, where), traffic(where) as load:
        await load.begin(due_every_ms=due_every_ms, crowd=way.crowd)
        await asyncio.sleep(SETTLED_S)
        for update in way.updates:
            await update(machines, proxy)
        return await load.finish()
