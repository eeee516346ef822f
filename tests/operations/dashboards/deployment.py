"""A deployment on this machine whose metrics have everything that dashboards show.

A primary with a replica and two Sentinels, PostgreSQL, a service of two processes, a worker, and traffic:
games that switch, turns that run out, sockets, clients with wrong clocks, and callers that do it wrong.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from synckairos.run.processes import free_port
from tests.support import programs, servers
from tests.support.postgres import PostgresServer, start_postgres
from tests.support.programs import Program

NAME = "main"
PROCESSES = 2
GAMES, TURNS, SOCKETS = 24, 12, 16
MEMORY = "256mb"


@dataclass
class Deployment:
    """Addresses of the service and of metrics, and the servers that a story may break."""

    api: str
    targets: dict[str, list[str]]
    postgres: PostgresServer
    serve: Program
    worker: Program


@contextmanager
def deployed() -> Iterator[Deployment]:
    """All of it, until the end of the block."""
    with ExitStack() as stack:
        primary = stack.enter_context(servers.start("valkey", maxmemory=MEMORY))
        stack.enter_context(servers.start_replica(primary))
        sentinels = [stack.enter_context(servers.start_sentinel(primary, NAME)) for _ in range(2)]
        postgres = stack.enter_context(start_postgres("embedded", fsync="off"))
        database = stack.enter_context(postgres.lend_database())
        api, metrics, worker_metrics = (free_port() for _ in range(3))
        shared = {
            "REDIS_SENTINEL_HOSTS": ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels),
            "REDIS_SENTINEL_NAME": NAME,
            "DATABASE_URL": database,
        }
        serve = stack.enter_context(
            Program(
                "serve",
                **shared,
                PORT=str(api),
                METRICS_PORT=str(metrics),
                WORKERS=str(PROCESSES),
                TRUSTED_PROXIES="127.0.0.1",
            )
        )
        worker = stack.enter_context(Program("worker", **shared, METRICS_PORT=str(worker_metrics)))
        serve.until(lambda: _answers(f"http://127.0.0.1:{api}/ready"), "the service")
        serve.until(lambda: len(serve.workers()) == PROCESSES, "all its processes")
        worker.until(lambda: _answers(f"http://127.0.0.1:{worker_metrics}"), "the worker's metrics")
        targets = {
            "synckairos": [f"127.0.0.1:{metrics}"],
            "synckairos-worker": [f"127.0.0.1:{worker_metrics}"],
        }
        yield Deployment(f"127.0.0.1:{api}", targets, postgres, serve, worker)


def _answers(url: str) -> bool:
    try:
        return programs.get(url)[0] == 200
    except OSError:
        return False


def steady(_at: float) -> float:
    """The same load all the time."""
    return 1.0


@dataclass
class Traffic:
    """What clients do, for as long as it lasts.

    api: every request comes from another address, as behind a proxy
    swell: how much is done, as a factor, by the seconds since the beginning
    """

    api: httpx.AsyncClient
    address: str
    swell: Callable[[float], float] = steady
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    games: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        """An address that nobody else has."""
        return {"X-Forwarded-For": ".".join(["10", *(str(self.chance.randrange(256)) for _ in range(3))])}

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """A request of a client."""
        return await self.api.post(path, headers=self.headers(), json=body or None)

    async def create(self, **config: Any) -> str:
        """A session that runs."""
        people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 7_200_000} for _ in range(2)]
        session_id = str(uuid.uuid4())
        made = await self.post("/v1/sessions", session_id=session_id, participants=people, **config)
        made.raise_for_status()
        (await self.post(f"/v1/sessions/{session_id}/start")).raise_for_status()
        return session_id

    async def begin(self) -> None:
        """Makes the sessions."""
        for _ in range(GAMES):
            self.games.append(await self.create(sync_mode="per_participant"))
        for number in range(TURNS):
            self.turns.append(
                await self.create(
                    sync_mode="per_cycle", time_per_cycle_ms=2_000 + 250 * number, auto_advance=True
                )
            )

    async def play(self) -> None:
        """Switches and reads."""
        began = asyncio.get_running_loop().time()
        while True:
            session = self.chance.choice(self.games)
            await self.post(f"/v1/sessions/{session}/switch")
            for read in self.chance.sample([*self.games, *self.turns], 2):
                await self.api.get(f"/v1/sessions/{read}", headers=self.headers())
            swell = self.swell(asyncio.get_running_loop().time() - began)
            await asyncio.sleep(self.chance.expovariate(20 * swell))

    async def err(self) -> None:
        """Asks for what is not there, sends nonsense, and does one thing too often."""
        while True:
            await self.api.get(f"/v1/sessions/{uuid.uuid4()}", headers=self.headers())
            await self.post("/v1/sessions", sync_mode="none")
            await asyncio.gather(*(self.post(f"/v1/sessions/{self.games[0]}/switch") for _ in range(15)))
            await asyncio.sleep(self.chance.uniform(1, 4))

    async def watch(self, number: int) -> None:
        """Watches one session after another; every fourth client has a wrong clock."""
        while True:
            session = self.chance.choice([*self.games, *self.turns])
            url = f"ws://{self.address}/ws?session_id={session}"
            with suppress(WebSocketException, OSError):
                async with connect(url, additional_headers=self.headers(), max_queue=None) as socket:
                    if number % 4 == 0:
                        await socket.send('{"type":"CLOCK","offset_ms":5000,"rtt_ms":2,"uncertainty_ms":1}')
                    await self._read(socket, self.chance.uniform(5, 60))

    @staticmethod
    async def _read(socket: ClientConnection, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for message in socket:
                    msgspec.json.decode(message)


@asynccontextmanager
async def traffic(address: str, swell: Callable[[float], float] = steady) -> AsyncIterator[Traffic]:
    """Traffic on a service until the end of the block."""
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30, limits=limits) as api:
        running = Traffic(api, address, swell)
        await running.begin()
        busy: list[Coroutine[Any, Any, None]] = [running.play(), running.err()]
        tasks = [asyncio.create_task(each) for each in (*busy, *map(running.watch, range(SOCKETS)))]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
