"""What callers and players do during a drill, and what they are told, which is recorded.

Each session is switched by a caller of its own, once a second. A caller is patient: what is not answered, or
refused with 503 or 504, is sent again under the same request id, after the `Retry-After` of the answer. When
a service cannot be reached, it is sent to the other one. Sockets are opened again when they break.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from http import HTTPStatus
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from synckairos.drill.caller import TROUBLE, Answer, Caller
from synckairos.history.lines import Outcome
from synckairos.history.record import Recorder

SESSIONS = 200
RATE_S = 1.0
"""How long after its last switch was answered or due a session is switched again: 200 switches a second."""
SOCKETS = 50
DUE = 30
"""Sessions that nobody switches, so that their clocks run out."""
FIRST_DUE_MS, DUE_EVERY_MS = 3000, 800
"""The first of them is due so long after its start, and then one more after each of these."""
BANK_MS = 3_600_000
"""The time of a player in a session that is switched: nobody's runs out."""

GIVE_UP_S = 45.0
"""How long a caller repeats one request."""
PAUSE_S = 0.1
"""Before a repetition where no answer says how long to wait, and before a socket is opened again."""
MAKERS = 16
"""How many sessions are created at the same time."""
_AGAIN = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_decode = msgspec.json.decode


class Traffic:
    """Callers and sockets at the services `hosts`, and what they are told."""

    def __init__(self, hosts: list[str], recorder: Recorder) -> None:
        self._hosts = hosts
        self._recorder = recorder
        self._going = True
        self._callers: list[asyncio.Task[None]] = []
        self._sockets: list[asyncio.Task[None]] = []
        self.errors: Counter[str] = Counter()
        """The answers that no caller should get, by code: all but successes, 503 and 504."""
        self.switched: list[str] = []
        self.due: list[str] = []

    @property
    def session_ids(self) -> list[str]:
        """All sessions."""
        return self.switched + self.due

    async def begin(self) -> None:
        """Makes the sessions, opens the sockets, and starts the callers."""
        self.switched = await self._make([BANK_MS] * SESSIONS)
        for number, session_id in enumerate(self.switched[:SOCKETS]):
            self._sockets.append(_task(self._listen(str(number), session_id, number)))
        for number, session_id in enumerate(self.switched):
            self._callers.append(_task(self._switch(session_id, number)))
        self.due = await self._make([FIRST_DUE_MS + number * DUE_EVERY_MS for number in range(DUE)])

    async def finish(self) -> None:
        """Lets the callers finish what they are at, and closes the sockets."""
        self._going = False
        await asyncio.gather(*self._callers)
        await asyncio.sleep(RATE_S)  # until the last events have come
        await self._end(self._sockets)

    async def aclose(self) -> None:
        """Ends everything."""
        await self._end(self._callers + self._sockets)

    @staticmethod
    async def _end(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, banks_ms: list[int]) -> list[str]:
        """Sessions of two players each, started. Banks: what each player has, in milliseconds."""
        places = asyncio.Semaphore(MAKERS)

        async def make(number: int, bank_ms: int) -> str:
            session_id = str(uuid.uuid4())
            config = {
                "session_id": session_id,
                "sync_mode": "per_participant",
                "participants": [
                    {"participant_id": str(uuid.uuid4()), "total_time_ms": bank_ms} for _ in range(2)
                ],
            }
            async with places:
                with closing(Caller(self._hosts, number)) as caller:
                    await self._call(caller, session_id, "sk_create", "/v1/sessions", config)
                    await self._call(caller, session_id, "sk_start", f"/v1/sessions/{session_id}/start")
            return session_id

        return list(await asyncio.gather(*(make(number, bank) for number, bank in enumerate(banks_ms))))

    async def _switch(self, session_id: str, number: int) -> None:
        """One session's caller."""
        clock = asyncio.get_running_loop().time
        caller = Caller(self._hosts, number)
        due = clock() + RATE_S * random.random()
        try:
            while self._going:
                await asyncio.sleep(max(0.0, due - clock()))
                await self._call(caller, session_id, "sk_switch", f"/v1/sessions/{session_id}/switch")
                due = max(due + RATE_S, clock())
        finally:
            caller.close()

    async def _call(
        self, caller: Caller, session_id: str, function: str, path: str, body: Any = None
    ) -> None:
        """One change, repeated until it is answered, and recorded."""
        request = uuid.uuid4().hex
        headers = {"Idempotency-Key": request, "traceparent": f"00-{request}-{request[:16]}-01"}
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers["Content-Type"] = "application/json"
        asked = self._recorder.now()
        code = "NO_ANSWER"
        while self._recorder.now() < asked + 1000 * GIVE_UP_S:
            try:
                answer = await caller.post(path, headers, content)
            except TROUBLE:
                code = "NO_ANSWER"
                await asyncio.sleep(PAUSE_S)
                continue
            if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                data = _decode(answer.body)["data"]
                # An answer to a repetition of what is no switch shows the present state.
                shows_change = function == "sk_switch" or "idempotent-replayed" not in answer.headers
                self._recorder.call(
                    asked,
                    session_id,
                    function,
                    request,
                    "acknowledged",
                    version=data["version"] if shows_change else None,
                    epoch=data["epoch"] if shows_change else None,
                )
                return
            code = _code(answer)
            if answer.status not in _AGAIN:
                self.errors[code] += 1
                known = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
                outcome: Outcome = "refused" if known else "unknown"
                self._recorder.call(asked, session_id, function, request, outcome, code=code)
                return
            await asyncio.sleep(float(answer.headers.get("retry-after", PAUSE_S)))
        self._recorder.call(asked, session_id, function, request, "unknown", code=code)

    async def _listen(self, name: str, session_id: str, number: int) -> None:
        """One socket of a session, opened again as often as it breaks."""
        while True:
            try:
                await self._hear(name, session_id, self._hosts[number % len(self._hosts)])
            except (OSError, InvalidHandshake, TimeoutError):
                number += 1
            await asyncio.sleep(PAUSE_S)

    async def _hear(self, name: str, session_id: str, host: str) -> None:
        async with connect(f"ws://{host}/ws?session_id={session_id}", max_size=None, proxy=None) as socket:
            self._recorder.socket(name, session_id, "opened")
            code: int | None = None
            try:
                with suppress(ConnectionClosed):
                    while True:
                        self._recorder.message(name, session_id, await socket.recv(decode=False))
                code = socket.close_code
            finally:
                self._recorder.socket(name, session_id, "closed", code)


@asynccontextmanager
async def traffic(hosts: list[str], recorder: Recorder) -> AsyncIterator[Traffic]:
    """Traffic that has begun. It is ended at the end."""
    found = Traffic(hosts, recorder)
    try:
        await found.begin()
        yield found
    finally:
        await found.aclose()


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


def _code(answer: Answer) -> str:
    try:
        return str(_decode(answer.body)["error"]["code"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"HTTP_{answer.status}"
