"""The last release and this one: their libraries, and their services as processes over one Redis."""

from __future__ import annotations

import asyncio
import json
import re
import tarfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from synckairos.core.library import Library
from synckairos.run.processes import free_port
from tests.support.live import eventually
from tests.support.programs import Program
from tests.upgrade.keep import KEPT, LIBRARY

Json = dict[str, Any]

PATIENCE_S = 30.0
"""How long a test waits for something before it fails."""

_MODULE = re.compile(
    r"^-- (\S+\.lua)\nlocal \w+ = \(function\(\)\n(.*?)\nend\)\(\)$", re.MULTILINE | re.DOTALL
)


def last_library() -> Library:
    """The function library of the last release."""
    with tarfile.open(KEPT) as archive:
        member = archive.extractfile(LIBRARY)
        assert member is not None
        payload = member.read().decode()
    found = re.search(r'^local VERSION = "(.*)"$', payload, re.MULTILINE)
    assert found is not None
    return Library(found[1], payload)


def last_revision(folder: Path) -> str:
    """The revision of the tables in PostgreSQL that the last release needs; `unpack` has put it there."""
    audit = folder / "synckairos" / "audit"
    file = next(file for name in ("revision.py", "store.py") if (file := audit / name).exists())
    found = re.search(r'^REVISION = "(.*)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def unpack(folder: Path) -> None:
    """Puts the last release into a folder, from which Python can run it."""
    with tarfile.open(KEPT) as archive:
        archive.extractall(folder, filter="data")
    library = last_library()
    files = dict(_MODULE.findall(library.payload))
    for name, code in {**files, "manifest": "\n".join(files), "VERSION": library.version}.items():
        file = folder / "lua" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code + "\n", encoding="utf-8")


class Release(Program):
    """A `synckairos serve` of this release, or of the last one when `folder` has it.

    environ: where its Redis is
    """

    def __init__(self, environ: dict[str, str], folder: Path | None = None) -> None:
        self.port = free_port()
        path = {} if folder is None else {"PYTHONPATH": str(folder)}
        super().__init__(
            "serve",
            **{**environ, **path, "PORT": str(self.port), "RATE_LIMIT_ENABLED": "false"},
        )
        self.url = f"http://127.0.0.1:{self.port}"

    async def answers(self) -> None:
        """Wait until it is ready."""
        async with httpx.AsyncClient(base_url=self.url, verify=False) as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/ready")).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            await until(ready, lambda: "".join(self.errors)[-3000:])

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """The answer to a request, which is repeated with the same key while the service says so."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        end = time.monotonic() + PATIENCE_S
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, verify=False) as client:
            while True:
                reply = await client.request(method, f"/v1/sessions{path}", json=body, headers=headers)
                if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                    break
                await asyncio.sleep(0.1)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        answer: Json = reply.json()["data"]
        return answer

    async def create(self, *banks: int, **config: Any) -> str:
        """Creates a session of participants with these banks and starts it. Returns its id."""
        people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": bank} for bank in banks]
        body = {"sync_mode": "per_participant", "participants": people, **config}
        session_id: str = (await self.call("POST", "", body))["session_id"]
        await self.call("POST", f"/{session_id}/start")
        return session_id

    async def switch(self, session_id: str) -> Json:
        return await self.call("POST", f"/{session_id}/switch")

    async def state(self, session_id: str) -> Json:
        return await self.call("GET", f"/{session_id}")

    @asynccontextmanager
    async def watch(self, session_id: str) -> AsyncIterator[Socket]:
        """A socket that has the state."""
        address = f"ws://127.0.0.1:{self.port}/ws?session_id={session_id}"
        async with connect(address, ping_interval=None) as connection:
            socket = Socket(connection)
            reading = asyncio.create_task(socket.read())
            try:
                await eventually(lambda: socket.messages, PATIENCE_S)
                yield socket
            finally:
                reading.cancel()


@dataclass
class Socket:
    """What came on a socket: states and events, each with a version."""

    connection: ClientConnection
    messages: list[Json] = field(default_factory=list)

    async def read(self) -> None:
        try:
            async for text in self.connection:
                message = json.loads(text)
                if message["type"] == "STATE_SYNC" or "event" in message.get("payload", ()):
                    self.messages.append(message)
        except ConnectionClosed:
            return

    async def reaches(self, version: int) -> None:
        """Wait for a version."""
        await eventually(lambda: self.messages[-1]["version"] >= version, PATIENCE_S)

    async def hears(self, wanted: Callable[[Json], bool]) -> None:
        """Wait until the newest message is the wanted one."""
        await eventually(lambda: wanted(self.messages[-1]), PATIENCE_S)

    @property
    def line(self) -> list[tuple[str, int]]:
        """Epoch and version of each message."""
        return [(message["epoch"], message["version"]) for message in self.messages]

    def is_in_order(self) -> None:
        """Nothing came twice, out of order, or with a gap; a whole state may end a gap."""
        for before, message in zip(self.messages, self.messages[1:], strict=False):
            assert (message["epoch"], message["version"]) > (before["epoch"], before["version"]), self.line
            assert message["type"] == "STATE_SYNC" or message["version"] == before["version"] + 1, self.line


async def until(condition: Any, what: Any) -> None:
    """Wait until the condition, which is a coroutine function, holds."""
    end = time.monotonic() + PATIENCE_S
    while not await condition():
        assert time.monotonic() < end, what()
        await asyncio.sleep(0.05)
