"""What callers and players do while a deployment is updated, and what each of them notices of it.

Sessions are switched over HTTP and watched over sockets, and others run out by themselves. All of it has
tokens, from one address, with the limits on. A socket that is closed is opened again as the clients of this
project do, after their pauses, and asks with `RECONNECT` for what it has missed.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from synckairos.auth.signing import development_token
from synckairos.client.connection import RECONNECT_AFTER_S
from synckairos.config import Settings
from synckairos.drill.caller import TROUBLE, Answer, Caller
from tests.support.live import eventually

SECRET = "of-a-drill-and-of-nothing-else-at-all"
SETTINGS = Settings(auth_mode="jwt", jwt_secret=SECRET)
TENANT = "drill"
LASTS_S = 3600

SWITCHED = 50
"""Sessions that are switched, each once a second."""
EVERY_S = 1.0
DUE = 30
"""Sessions whose clocks run out, one after the other."""
FIRST_DUE_MS = 4000
SOCKETS = 100
"""One for each session that runs out; the others watch those that are switched."""
BANK_MS = 3_600_000
SLOW_MS = 1000.0
LATE_MS = 50.0
PATIENCE_S = 120.0
MAKERS = 8
MOST_OPENED = 50
"""How many sockets are opened at a time."""
BACK_WITHIN_S = 10.0
"""How long a socket may be away."""

Json = dict[str, Any]


def token(sub: str, role: str) -> str:
    """A token for somebody of the drill's tenant."""
    return development_token(SETTINGS, sub=sub, tenant=TENANT, roles=[role], lasts_s=LASTS_S)


@dataclass(frozen=True)
class Where:
    """Where the service is asked.

    host: name and port
    tls: whom to trust; None without TLS
    """

    host: str
    tls: ssl.SSLContext | None = None

    def socket(self, session_id: str) -> str:
        """The address for a socket."""
        return f"{'ws' if self.tls is None else 'wss'}://{self.host}/ws?session_id={session_id}"


@dataclass
class Figures:
    """What was counted and measured.

    failed: requests that were answered with no success, or not at all, by what came instead
    again: requests that had to be sent a second time, as their connection had ended before the answer
    lost, twice: changes that were acknowledged and did not happen, and versions that were acknowledged twice
    refused: openings of sockets that were answered with an error
    missed, repeated: events that a socket did not get, and those that it got again
    """

    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0
    longest_ms: float = 0.0
    switches: int = 0
    lost: int = 0
    twice: int = 0
    closes: Counter[int | None] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    repeated: int = 0
    away_ms: float = 0.0
    """The longest time from a close to the next state."""
    expiries: int = 0
    latest_ms: float = 0.0

    def missing(self) -> list[str]:
        """What did not go as it has to, however slow the machine is, in words."""
        counted = {
            "requests failed": self.failed.total(),
            "changes lost": self.lost,
            "versions given twice": self.twice,
            "sockets refused": self.refused.total(),
            "events missed": self.missed,
            "events told twice": self.repeated,
        }
        found = [f"{what}: {count}" for what, count in counted.items() if count]
        return found + [f"{what} {count} times" for what, count in (self.failed + self.refused).items()]

    def slow(self) -> list[str]:
        """What took longer than it should on a machine that has nothing else to do."""
        found = [f"a request took {self.longest_ms:.0f} ms"] if self.longest_ms > SLOW_MS else []
        if self.latest_ms > LATE_MS:
            found.append(f"an expiry was {self.latest_ms:.0f} ms late")
        if self.away_ms > 1000 * BACK_WITHIN_S:
            found.append(f"a socket was away for {self.away_ms / 1000:.1f} s")
        return found


class Watcher:
    """A socket of one session, opened again as often as it ends."""

    def __init__(self, where: Where, session_id: str, figures: Figures, bearer: str) -> None:
        self._where = where
        self.session_id = session_id
        self._figures = figures
        self._headers = {"Authorization": f"Bearer {bearer}"}
        self._epoch = ""
        self._lost_at: float | None = None
        self.version: int | None = None
        """The newest that it has seen."""
        self.is_live = False
        self.times = 0
        """How often it became live."""

    async def run(self) -> None:
        """Watch until this is cancelled."""
        attempts = 0
        while True:
            try:
                async with connect(
                    self._where.socket(self.session_id),
                    ssl=self._where.tls,
                    additional_headers=self._headers,
                    open_timeout=PATIENCE_S,
                    ping_interval=None,
                    proxy=None,
                ) as socket:
                    with suppress(ConnectionClosed):
                        await self._listen(socket)
                    self._figures.closes[socket.close_code] += 1
                attempts = 0
            except (OSError, InvalidHandshake, EOFError) as error:
                self._figures.refused[str(error) or type(error).__name__] += 1
                attempts += 1
            if self.is_live:
                self.is_live, self._lost_at = False, time.monotonic()
            pause = RECONNECT_AFTER_S[min(attempts, len(RECONNECT_AFTER_S) - 1)]
            await asyncio.sleep(pause * (1 - random.random() / 2))

    async def _listen(self, socket: ClientConnection) -> None:
        asked = False
        async for text in socket:
            message: Json = json.loads(text)
            kind = message["type"]
            if kind == "STATE_SYNC" and self.version is None:
                self._see(message)
            elif kind == "STATE_SYNC" and not self.is_live and not asked:
                asked = True
                again = {"last_known_version": self.version, "epoch": self._epoch, "reconnect_attempt": 1}
                await socket.send(json.dumps({"v": 1, "type": "RECONNECT", **again}))
                continue
            elif kind == "RECONNECT_ACK":
                asked = False
            elif "version" in message and not asked and kind != "CONNECTED":
                self._see(message)
            else:
                continue
            if not self.is_live:
                self._is_back()

    def _is_back(self) -> None:
        self.is_live = True
        self.times += 1
        if self._lost_at is not None:
            away_ms = 1000 * (time.monotonic() - self._lost_at)
            self._figures.away_ms = max(self._figures.away_ms, away_ms)

    def _see(self, message: Json) -> None:
        version, before = message["version"], self.version
        if before is not None:
            self._figures.missed += max(0, version - before - 1)
            self._figures.repeated += version <= before
        self.version, self._epoch = version, message["epoch"]
        if message["payload"].get("event") == "session.expired":
            self._figures.expiries += 1
            self._figures.latest_ms = max(self._figures.latest_ms, message["payload"]["late_ms"])


class Traffic:
    """Callers and watchers. `figures` has what they noticed."""

    def __init__(self, where: Where) -> None:
        self.figures = Figures()
        self._where = where
        self._service = {"Authorization": f"Bearer {token('backend', 'service')}"}
        self._going = True
        self._versions: dict[str, list[int]] = {}
        """Of each session that is switched the versions that were acknowledged."""
        self._callers: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []
        self.watchers: list[Watcher] = []

    async def begin(self, *, due_every_ms: int, crowd: int = 0) -> None:
        """Make the sessions, open the sockets, and start the callers."""
        switched = await self._make([BANK_MS] * SWITCHED)
        self._versions = {session_id: [2] for session_id in switched}
        for first in range(0, SOCKETS - DUE + crowd, MOST_OPENED):
            numbers = range(first, min(first + MOST_OPENED, SOCKETS - DUE + crowd))
            await self.watch([switched[number % SWITCHED] for number in numbers])
        due = await self._make([FIRST_DUE_MS + number * due_every_ms for number in range(DUE)])
        await self.watch(due)
        self._callers = [asyncio.create_task(self._switch(session_id)) for session_id in switched]

    async def watch(self, session_ids: list[str]) -> None:
        """Open a socket for each, everybody's own, and wait until all have the state."""
        new = [
            Watcher(self._where, each, self.figures, token(f"viewer-{len(self.watchers) + number}", "viewer"))
            for number, each in enumerate(session_ids)
        ]
        self.watchers += new
        self._watching += [asyncio.create_task(watcher.run()) for watcher in new]
        await eventually(lambda: all(watcher.is_live for watcher in new), PATIENCE_S)

    async def finish(self) -> Figures:
        """Let everybody finish, and compare what was told with what is there."""
        await eventually(lambda: self.figures.expiries >= DUE, PATIENCE_S)
        self._going = False
        await asyncio.gather(*self._callers)
        newest = {session_id: max(versions) for session_id, versions in self._versions.items()}
        await eventually(
            lambda: all(
                (each.version or 0) >= newest.get(each.session_id, 0) and each.is_live
                for each in self.watchers
            ),
            PATIENCE_S,
        )
        figures = self.figures
        for versions in self._versions.values():
            # The session has made no other changes, so every switch has the version after the last one's.
            figures.switches += len(versions) - 1
            figures.twice += len(versions) - len(set(versions))
            figures.lost += len(set(range(2, max(versions) + 1)) - set(versions))
        return figures

    async def aclose(self) -> None:
        """End everything."""
        tasks = self._callers + self._watching
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, banks_ms: list[int]) -> list[str]:
        places = asyncio.Semaphore(MAKERS)

        async def make(bank_ms: int) -> str:
            people = [{"participant_id": str(uuid.uuid4()), "total_time_ms": bank_ms} for _ in range(2)]
            async with places:
                caller = Caller([self._where.host], 0, self._where.tls)
                body = {"sync_mode": "per_participant", "participants": people}
                session_id: str = (await self._call(caller, "/v1/sessions", body))["session_id"]
                await self._call(caller, f"/v1/sessions/{session_id}/start")
                caller.close()
            return session_id

        return list(await asyncio.gather(*map(make, banks_ms)))

    async def _switch(self, session_id: str) -> None:
        clock = asyncio.get_running_loop().time
        caller = Caller([self._where.host], 0, self._where.tls)
        due = clock() + EVERY_S * random.random()
        try:
            while self._going:
                await asyncio.sleep(max(0.0, due - clock()))
                answer = await self._call(caller, f"/v1/sessions/{session_id}/switch")
                if answer:
                    self._versions[session_id].append(answer["version"])
                due = max(due + EVERY_S, clock())
        finally:
            caller.close()

    async def _call(self, caller: Caller, path: str, body: Any = None) -> Json:
        """The data of a change's answer; nothing where it failed, which is counted.

        A kept connection may end while a request is on its way. HTTP leaves it to the client to send such a
        request again. With its key that is safe, and every client of this project does so.
        """
        headers = {**self._service, "Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        began = time.monotonic()
        self.figures.requests += 1
        try:
            answer = await self._answer(caller, path, headers, content)
        except TROUBLE as error:
            self.figures.failed[type(error).__name__] += 1
            return {}
        self.figures.longest_ms = max(self.figures.longest_ms, 1000 * (time.monotonic() - began))
        if not 200 <= answer.status < 300:
            self.figures.failed[f"{answer.status} {answer.body.decode(errors='replace')[:200]}"] += 1
            return {}
        found: Json = json.loads(answer.body)["data"]
        return found

    async def _answer(self, caller: Caller, path: str, headers: dict[str, str], content: bytes) -> Answer:
        try:
            return await caller.post(path, headers, content)
        except (ConnectionError, EOFError):
            self.figures.again += 1
            return await caller.post(path, headers, content)


@asynccontextmanager
async def traffic(where: Where) -> AsyncIterator[Traffic]:
    """Nobody does anything yet; everything has ended at the end."""
    found = Traffic(where)
    try:
        yield found
    finally:
        await found.aclose()
