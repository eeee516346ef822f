"""`synckairos serve` as a process that is killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from synckairos.run.processes import die_with_parent, free_port
from tests.support.programs import COMMAND, ENVIRON
from tests.support.servers import Server

START_S = 20.0


class Served:
    """The service on one port, which may be killed and started again."""

    def __init__(self, redis: Server, log: Path, **settings: str) -> None:
        self.port = free_port()
        self._log = log
        self._environ = {
            **ENVIRON,
            "REDIS_URL": redis.url,
            "PORT": str(self.port),
            "RATE_LIMIT_ENABLED": "false",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts the service and waits until it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*COMMAND, "serve"],
                env=self._environ,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - it calls prctl and nothing else
            )
        end = time.monotonic() + START_S
        async with httpx.AsyncClient(verify=False) as client:
            while time.monotonic() < end and self._process.poll() is None:
                try:
                    if (await client.get(f"{self.url}/ready", timeout=2)).is_success:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        raise RuntimeError(f"the service does not start:\n{self._log.read_text(errors='replace')}")

    async def kill(self) -> None:
        """Kills the service with its workers, as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            await self.kill()
