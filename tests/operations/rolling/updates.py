"""The ways to update a deployment, each carried out while there is traffic: what `deploy/UPDATES.md` says."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from synckairos.run.processes import free_port
from tests.operations.rolling.traffic import PATIENCE_S, SECRET, Figures, Where, traffic
from tests.support import servers
from tests.support.live import eventually
from tests.support.programs import Program
from tests.support.proxies import PROXIES, Proxy

SETTLED_S = 2.0
"""How long there is traffic before and after an update."""
BACK_WITHIN_S = 10.0
HERD = 500
"""So many sockets are away at once, all of one address."""
HERD_SESSIONS = 50


class Machine:
    """A place for a `synckairos serve`, on a port that stays the same."""

    def __init__(self, redis_url: str, workers: int = 1) -> None:
        self.port = free_port()
        self.program: Program | None = None
        self._environ = {
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "WORKERS": str(workers),
            "AUTH_MODE": "jwt",
            "JWT_SECRET": SECRET,
            "TRUSTED_PROXIES": "127.0.0.1",
            "LOG_LEVEL": "info",
        }

    async def start(self) -> None:
        """Starts it, and waits until it is ready."""
        self.program = program = Program("serve", **self._environ)
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


async def reload(machines: dict[str, Machine], _: Proxy | None) -> None:
    """SIGHUP, twice."""
    for _again in range(2):
        await machines["a"].reload()
        await asyncio.sleep(SETTLED_S)


async def rolling(machines: dict[str, Machine], proxy: Proxy | None) -> None:
    """One machine after the other is taken out, stopped, started and put back."""
    assert proxy is not None
    for name, machine in machines.items():
        await asyncio.to_thread(proxy.take_out, name)
        await machine.stop()
        await machine.start()
        await asyncio.to_thread(proxy.put_back, name)
        await asyncio.sleep(SETTLED_S)


async def blue_green(machines: dict[str, Machine], proxy: Proxy | None) -> None:
    """All goes to one machine, then to the other, and back again; only one is there in between."""
    assert proxy is not None
    blue, green = machines
    await asyncio.to_thread(proxy.take_out, green)
    await machines[green].stop()
    for old, new in ((blue, green), (green, blue)):
        await machines[new].start()
        await asyncio.to_thread(proxy.put_back, new)
        await asyncio.to_thread(proxy.take_out, old)
        await machines[old].stop()
        await asyncio.sleep(SETTLED_S)


WAYS: dict[str, tuple[str | None, Update]] = {
    "reload": (None, reload),
    **{f"rolling, {name}": (name, rolling) for name in PROXIES},
    **{f"blue-green, {name}": (name, blue_green) for name in PROXIES},
}
"""By name: behind which proxy, and what is done."""


@contextmanager
def deployment(redis_url: str, proxy: str | None, folder: Path) -> Iterator[tuple[dict[str, Machine], Where]]:
    """The machines, none of which runs yet, and where they are asked without a proxy."""
    with ExitStack() as stack:
        machines = {name: Machine(redis_url, 2) for name in ("a", "b")[: 1 if proxy is None else 2]}
        for machine in machines.values():
            stack.callback(machine.close)
        folder.mkdir(parents=True)
        yield machines, Where(f"127.0.0.1:{machines['a'].port}")


@asynccontextmanager
async def started(way: str, folder: Path) -> AsyncIterator[tuple[dict[str, Machine], Proxy | None, Where]]:
    """A deployment for this way, with a server of its own, ready."""
    with ExitStack() as stack:
        redis = stack.enter_context(servers.start("valkey"))
        behind = WAYS[way][0]
        machines, where = stack.enter_context(deployment(redis.url, behind, folder))
        await asyncio.gather(*(machine.start() for machine in machines.values()))
        proxy = None
        if behind is not None:
            ports = {name: machine.port for name, machine in machines.items()}
            proxy = stack.enter_context(PROXIES[behind](folder / behind, ports))
            where = Where(f"localhost:{proxy.port}", proxy.tls)
        yield machines, proxy, where


async def carry_out(way: str, folder: Path, *, due_every_ms: int = 800) -> Figures:
    """An update of this kind under traffic, and what everybody noticed of it."""
    async with started(way, folder) as (machines, proxy, where), traffic(where) as load:
        await load.begin(due_every_ms=due_every_ms)
        await asyncio.sleep(SETTLED_S)
        await WAYS[way][1](machines, proxy)
        return await load.finish()


async def herd(folder: Path) -> tuple[Figures, float]:
    """The workers are replaced, with 500 sockets of one address. Returns how long (s) one was away at most."""
    async with started("reload", folder) as (machines, _, where), traffic(where) as load:
        session_ids = await load.sessions(HERD_SESSIONS)
        for number in range(0, HERD, HERD_SESSIONS):
            await load.watch([session_ids[number % HERD_SESSIONS + each] for each in range(HERD_SESSIONS)])
        began = time.monotonic()
        await machines["a"].reload()
        reloaded = time.monotonic()
        await eventually(lambda: all(each.is_live and each.times > 1 for each in load.watchers), PATIENCE_S)
        assert reloaded > began
        return load.figures, max(load.figures.away_ms / 1000, 0.0)
