"""The asyncio client of a SyncKairos service."""

from __future__ import annotations

import asyncio
import builtins
import math
import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

import msgspec

from synckairos.client.callbacks import Callbacks, logger
from synckairos.client.config import Config
from synckairos.client.errors import (
    ClientClosed,
    SyncKairosError,
    UnexpectedAnswer,
    ValidationError,
)
from synckairos.client.handle import Handle
from synckairos.client.http import Answer, Http, Token, part
from synckairos.client.model import Page, State, read_state
from synckairos.client.server_time import MAX_SKEW_MS, ServerTime
from synckairos.client.service import Service
from synckairos.client.session import Session
from synckairos.client.tasks import stop

BURST = 5
BURST_GAP_S = (0.1, 0.2)
BURST_EVERY_S = 5.0
"""The shortest time between two bursts."""
SAMPLE_EVERY_S = (10.0, 15.0)
LOOK_EVERY_S = 1.0
"""How often to check whether the machine was asleep."""
FIRST_SOCKET_S = 2.0
"""How long the first sample waits for a socket before it is taken over HTTP instead."""


class SyncKairos:
    """A service, by its URL. Use it as `async with`, or `close()` it.

    token: sent as `Authorization: Bearer` with every call and connection; text, or a function (also async)
        that returns it
    reconnect_attempts: how often in a row a session tries to connect before it gives up; `math.inf`: for ever
    max_skew_ms: no remaining times are given when this machine's clock is wrong by more than this; by
        default they always are
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        reconnect_attempts: float = 10,
        max_skew_ms: float = MAX_SKEW_MS,
        time: ServerTime | None = None,
    ) -> None:
        scheme, _, rest = url.rstrip("/").partition("://")
        if scheme not in ("http", "https") or not rest:
            raise ValueError("the URL has to begin with http:// or https://")
        self.url = url.rstrip("/")
        self.time = time or ServerTime(max_skew_ms)
        """The server's time, once it is known."""
        self._http = Http(self.url, token)
        self._service = Service(self.url, token, reconnect_attempts, self.time, self.request, self._call)
        self._sessions: dict[str, Session] = {}
        self._on_error: Callbacks[[SyncKairosError]] = Callbacks()
        self._time_task: asyncio.Task[None] | None = None
        self._live = asyncio.Event()
        self._burst = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all sessions and connections."""
        self._closed = True
        await asyncio.gather(*(session.close() for session in list(self._sessions.values())))
        await stop(self._time_task)
        await self._http.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> Any:
        """Make any call of the API. Returns the answer's `data`.

        An answer without `data` is returned as a whole, and an empty one as None. A call that failed because
        of the network or a service in trouble is repeated with the same idempotency key, four tries in all. A
        `Retry-After` of up to 10 s is obeyed. Refusals are not repeated. Raises SyncKairosErrors.
        """
        if self._closed:
            raise ClientClosed
        return await self._http.request(
            method, path, body, params=params, idempotency_key=idempotency_key, if_match=if_match
        )

    async def _call(
        self, method: str, path: str, body: Any = None, *, idempotency_key: str | None = None
    ) -> Answer:
        if self._closed:
            raise ClientClosed
        return await self._http.call(method, path, body, idempotency_key=idempotency_key)

    async def create(
        self, config: Config | Mapping[str, Any] | None = None, /, **fields: Unpack[Config]
    ) -> State:
        """Create a session from a config, given as an object or by its fields. `preset` fills in the rest.

        Participants and groups may be names: `participants=["Anna", "Ben"], title="Club night"`. A time
        control that cannot be read is drawn below the traceback, with a caret under the place.
        """
        given: dict[str, Any] = {**(config or {}), **fields}
        try:
            answer = await self.request("POST", "/v1/sessions", given)
        except ValidationError as error:
            for drawn in error.carets(given):
                error.add_note(drawn)
            raise
        try:
            return read_state(answer)
        except msgspec.ValidationError as error:
            raise UnexpectedAnswer(f"a state that this client does not understand: {error}") from error

    async def get(self, session_id: str) -> State:
        """Read a session, without following it."""
        return await self._service.state(f"/v1/sessions/{part(session_id)}")

    async def list(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """A page of sessions, newest first. `cursor` is the `next_cursor` of the page before.

        tag: only sessions that have it in `metadata["tags"]`

        The audit store has the list. Raises StorageUnavailable when the service has no audit store.
        """
        params = {"status": status, "tag": tag, "limit": limit, "cursor": cursor}
        return _converted(await self.request("GET", "/v1/sessions", params=params), Page)

    async def presets(self) -> builtins.list[dict[str, Any]]:
        """The presets: configs that the service has by name, with a description of each."""
        answer = await self.request("GET", "/v1/presets")
        try:
            found: builtins.list[dict[str, Any]] = answer["presets"]
        except (LookupError, TypeError) as error:
            raise UnexpectedAnswer("no presets in the answer") from error
        return found

    def session(self, session_id: str) -> Session:
        """Follow a session. It starts to connect at once.

        The same id gives the same object until that is closed. Raises ValidationError when the id is no UUID.
        """
        if self._closed:
            raise ClientClosed
        session_id = _checked(session_id)
        if session_id not in self._sessions:
            self._sessions[session_id] = Session(
                self._service, session_id, on_greeted=self._greeted, on_closed=self._forget
            )
            if self._time_task is None:
                self._time_task = asyncio.get_running_loop().create_task(
                    self._keep_time(), name="synckairos server time"
                )
        return self._sessions[session_id]

    def handle(self, session_id: str) -> Handle:
        """A session for a backend that holds no socket: the same calls over HTTP, and nothing to close.

        Raises ValidationError when the id is no UUID.
        """
        if self._closed:
            raise ClientClosed
        return Handle(self._service, _checked(session_id))

    def on_error(self, fn: Callable[[SyncKairosError], object]) -> Callable[[], None]:
        """Have `fn(error)` called for each error that no call raises. Returns a function that ends this."""
        return self._on_error.add(fn)

    async def sync_time(self) -> ServerTime:
        """Measure the server's time now, with five samples. Sessions also do this by themselves."""
        await self._sample_burst()
        return self.time

    def _forget(self, session: Session) -> None:
        """Forget a session that was closed, so that the next call of `session` makes a new one."""
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]

    def _greeted(self) -> None:
        """Measure the time anew, because the service has accepted a new connection."""
        self._live.set()
        self._burst.set()

    # Time

    async def _keep_time(self) -> None:
        """Take a burst of samples for each connection and after sleep, and one sample every 10 to 15 s."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._live.wait(), FIRST_SOCKET_S)
        self._burst.set()
        last_burst = -math.inf
        due = loop.time()
        while True:
            if self.time.has_slept():
                self._burst.set()
                for session in list(self._sessions.values()):
                    session.wake()
            now = loop.time()
            if self._burst.is_set() and now - last_burst >= BURST_EVERY_S:
                self._burst.clear()
                last_burst = now
                await self._sample_burst()
                due = loop.time() + random.uniform(*SAMPLE_EVERY_S)
            elif now >= due:
                await self._sample()
                due = loop.time() + random.uniform(*SAMPLE_EVERY_S)
            else:
                wait = min(LOOK_EVERY_S, due - now)
                if self._burst.is_set():
                    wait = min(wait, last_burst + BURST_EVERY_S - now)
                    await asyncio.sleep(wait)
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._burst.wait(), wait)

    async def _sample_burst(self) -> None:
        for number in range(BURST):
            if number:
                await asyncio.sleep(random.uniform(*BURST_GAP_S))
            await self._sample()
        time = self.time
        skew, rtt, uncertainty = time.skew_ms, time.rtt_ms, time.uncertainty_ms
        session = self._live_session()
        if session is not None and skew is not None and rtt is not None and math.isfinite(uncertainty):
            session.report_clock(skew, rtt, uncertainty)

    async def _sample(self) -> None:
        """Take one sample, over a socket if there is one. A sample that fails changes nothing."""
        session = self._live_session()
        try:
            if session is not None:
                sample = await session.ping()
            else:
                t1 = self.time.monotonic_ms()
                answer = await self._http.request("GET", "/v1/time", tries=1)
                sample = t1, answer["receive_ms"], answer["transmit_ms"], self.time.monotonic_ms()
            error = self.time.add(*sample)
        except Exception as failed:  # noqa: BLE001 - whatever went wrong, the next sample may succeed
            logger.debug("no sample of the time: %r", failed)
            return
        if error is not None:
            self._on_error.call(error)
            for following in list(self._sessions.values()):
                following.report(error)

    def _live_session(self) -> Session | None:
        return next((s for s in self._sessions.values() if s.connection == "live"), None)


def _checked(session_id: str) -> str:
    """A session's id in lower case. Raises ValidationError when it is no UUID."""
    try:
        return str(uuid.UUID(session_id))
    except ValueError:
        raise ValidationError(
            "a session id is a UUID", details=[{"field": "session_id", "message": "must be a UUID"}]
        ) from None


def _converted(value: Any, kind: type[Page]) -> Page:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(f"an answer that this client does not understand: {error}") from error
