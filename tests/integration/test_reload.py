"""SIGHUP: other workers with the settings as they are now, on the same socket; or the ones from before."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.live import eventually
from tests.support.programs import Program

PATIENCE_S = 60.0


class Service(Program):
    """A `serve` with a settings file that can be changed."""

    def __init__(self, file: Path, **given: Any) -> None:
        self.file = file
        self.port = free_port()
        self.write(**given)
        super().__init__("serve", "--config", str(file), PORT=str(self.port), RATE_LIMIT_ENABLED="false")

    def write(self, **given: Any) -> None:
        self.file.write_text(json.dumps(given))  # which is YAML

    def said(self, text: str) -> bool:
        return any(text in line for line in self.errors)

    def pids(self) -> set[int]:
        return {worker.pid for worker in self.workers()}

    async def answers(self) -> None:
        async with httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (
                        await client.get(f"http://127.0.0.1:{self.port}/ready")
                    ).status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(0.05)

    def reload(self) -> None:
        self.errors.clear()
        self.process.send_signal(signal.SIGHUP)


class Asking:
    """Asks again and again, on kept connections as proxies have them, and on new ones."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/v1/time"
        self.failures: list[object] = []
        self.answers = 0

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._ask(kept=number % 2 == 0)) for number in range(8)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, *, kept: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if kept else 0)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE_S) as client:
            while True:
                try:
                    reply = await client.get(self._url)
                except httpx.TransportError as error:
                    self.failures.append(error)
                else:
                    self.answers += 1
                    if reply.status_code != httpx.codes.OK:
                        self.failures.append(reply.text)
                await asyncio.sleep(0.005)


async def closed(watching: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in watching:
            pass
    return watching.close_code


@pytest.mark.one_kind
async def test_workers_are_replaced_while_the_service_goes_on(redis: servers.Server, tmp_path: Path) -> None:
    with Service(tmp_path / "settings.yaml", redis_url=redis.url, workers=2) as service:
        await service.answers()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}") as client:
            people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 60_000}]
            body = {"sync_mode": "per_participant", "participants": people}
            session_id = (await client.post("/v1/sessions", json=body)).json()["data"]["session_id"]
        address = f"ws://127.0.0.1:{service.port}/ws?session_id={session_id}"
        await eventually(lambda: len(service.pids()) == 2, PATIENCE_S)
        before = service.pids()
        asking = Asking(service.port)
        async with asking.going_on(), connect(address) as watching, contextlib.AsyncExitStack() as stack:
            # More workers, other settings, and nobody notices but sockets, which are told to come back.
            service.write(redis_url=redis.url, workers=3, rate_limit_window_ms=1000)
            service.reload()
            assert await asyncio.wait_for(closed(watching), PATIENCE_S) == 1001
            await eventually(lambda: service.said("the workers were replaced"), PATIENCE_S)
            after = service.pids()
            assert (len(after), after & before) == (3, set())
            # Whatever is wrong with the new settings, the workers stay.
            busy = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for wrong, told in (
                ({"workers": "many"}, "the settings are wrong"),
                ({"workers": 3, "tenants_file": str(tmp_path / "none")}, "the settings are wrong"),
                ({"workers": 3, "host": "127.0.0.2"}, "without a restart"),
                ({"workers": 3, "metrics_port": busy}, "a new worker does not get ready"),
            ):
                service.write(redis_url=redis.url, **wrong)
                service.reload()
                await eventually(partial(service.said, told), PATIENCE_S)
                assert service.pids() == after
            service.file.write_text("workers: 2026-13-45")
            service.reload()
            await eventually(partial(service.said, "the settings are wrong"), PATIENCE_S)
            assert service.pids() == after
            service.write(redis_url=redis.url, workers=1)
            service.reload()
            await eventually(lambda: service.said("the workers were replaced"), PATIENCE_S)
            (last,) = service.pids()
            assert last not in after
        assert asking.failures == []
        assert asking.answers
        assert await asyncio.to_thread(service.end) == 0
