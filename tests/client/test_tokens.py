"""Tokens of the Python client: renewed before they end, and why a session closes when they are no good."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from synckairos.api.websocket import endpoint, grant
from synckairos.client import SyncKairos
from synckairos.client import renewal as client_renewal
from synckairos.client.errors import (
    Forbidden,
    RateLimitExceeded,
    SyncKairosError,
    Unauthenticated,
)
from synckairos.core.model import Options
from tests.client.conftest import ANNA, BEN
from tests.client.test_hostile import ID, state
from tests.support import servers
from tests.support.live import Service, eventually, settings
from tests.support.tokens import Tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(redis: servers.Server, tokens: Tokens) -> AsyncIterator[Service]:
    """A service that asks for tokens. It tells half a second before a token ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint, "CHECK_TOKENS_EVERY_S", 0.02)
        patch.setattr(grant, "TOLD_BEFORE_S", 0.5)
        async with tokens.service(settings(redis.url)) as running:
            yield running


@pytest.fixture(autouse=True)
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer tokens are asked for at once, and soon again."""
    monkeypatch.setattr(client_renewal, "EARLIEST_S", 0.0)
    monkeypatch.setattr(client_renewal, "AGAIN_S", 0.05)


async def test_a_game_across_three_expiries_misses_nothing(guarded: Service, tokens: Tokens) -> None:
    session_id = str(uuid.uuid4())
    players = [{"participant_id": one, "total_time_ms": 600_000} for one in (ANNA, BEN)]
    config = json.dumps({"sync_mode": "per_participant", "participants": players})
    club = Options(tenant="club")
    await guarded.sessions.create(session_id, config.encode(), club)
    await guarded.sessions.start(session_id, club)
    given: list[str] = []

    def token() -> str:
        # The leeway keeps the commands good when this machine stands still for a while.
        given.append(tokens.make("anna", "service", for_s=0.8, leeway_s=20.0))
        return given[-1]

    url = f"http://127.0.0.1:{guarded.port}"
    async with SyncKairos(url, token) as client, client.session(session_id) as session:
        connections: list[str] = []
        session.on_connection(connections.append)
        seen: list[int] = []
        session.on_change(lambda _, change: seen.append(change.version) if change else None)
        first = session.state.version
        renewed = len(given)
        while len(given) < renewed + 3:
            await session.switch()
            await guarded.sessions.switch(session_id)
            await asyncio.sleep(0.05)
        last = (await session.switch()).version
        await eventually(lambda: session.confirmed is not None and session.confirmed.version == last)
        assert seen == list(range(first + 1, last + 1))
        assert connections == []
    assert set(given) <= set(tokens.asked), "the service has seen each token"


# A service that only speaks about tokens


class Scripted:
    """A service of one session. `answer` gives its answers to a message; a number closes with that code."""

    def __init__(self) -> None:
        self.opened: list[str | None] = []
        self.heard: list[Json] = []
        self.greeting: list[Json | tuple[int, str]] = [
            {"type": "CONNECTED", "payload": {"token_expires_at": "2027-01-15T08:00:00.000Z"}},
            {"type": "STATE_SYNC", "payload": {"full_state": state()}},
        ]
        self.answer: Callable[[Json], list[Json | tuple[int, str]]] = lambda _: []

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.opened.append(connection.request.headers.get("Authorization"))
        await self._say(connection, self.greeting)
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "RECONNECT":
                synced = {"type": "STATE_SYNC", "payload": {"full_state": state()}}
                await self._say(connection, [{"type": "RECONNECT_ACK", "replayed": "full"}, synced])
            if message["type"] == "AUTH":
                self.heard.append(message)
                await self._say(connection, self.answer(message))

    @staticmethod
    async def _say(connection: ServerConnection, messages: list[Json | tuple[int, str]]) -> None:
        for message in messages:
            if isinstance(message, tuple):
                await connection.close(*message)
            else:
                await connection.send(json.dumps(message))


async def ends(script: Scripted, token: Any = None) -> tuple[SyncKairosError | None, list[SyncKairosError]]:
    """Follow the session of this service to its end. Returns why it ended, and the errors before."""
    async with serve(script.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with SyncKairos(f"http://127.0.0.1:{port}", token) as client:
            session = client.session(ID)
            errors: list[SyncKairosError] = []
            session.on_error(errors.append)
            await eventually(lambda: session.connection == "closed")
            return session.close_reason, errors


@pytest.mark.parametrize(
    ("greeted", "before", "close", "kind"),
    [
        (False, [], (1008, "the token is not good"), Unauthenticated),
        (False, [], (1008, ""), Unauthenticated),
        (False, [], (4401, "the token has ended"), Unauthenticated),
        (False, [], (4403, "may not: read"), Forbidden),
        (True, [], (4401, "the token has ended"), Unauthenticated),
        (True, [], (4403, "the token was revoked"), Forbidden),
        (True, [], (1008, "too many messages: at most 100 a minute"), RateLimitExceeded),
        (True, [], (1008, "the token is not good"), Unauthenticated),
        (True, [], (1008, "not here"), Forbidden),
        (True, [{"code": "UNAUTHENTICATED", "message": "no"}], (1008, "too many"), Unauthenticated),
        (True, [{"code": "RATE_LIMIT_EXCEEDED", "message": "no"}], (1008, ""), RateLimitExceeded),
    ],
)
async def test_a_session_says_why_its_token_was_not_good_enough(
    greeted: bool, before: list[Json], close: tuple[int, str], kind: type[SyncKairosError]
) -> None:
    script = Scripted()
    errors: list[Json | tuple[int, str]] = [{"type": "ERROR", "error": error} for error in before]
    script.greeting = [*(script.greeting if greeted else []), *errors, close]
    reason, _ = await ends(script, "token")
    assert type(reason) is kind
    assert reason.message == (before[0]["message"] if before else close[1] or kind.default_message)
    assert script.opened == ["Bearer token"], "there is no other attempt"


async def test_after_a_token_that_has_ended_a_newer_one_is_tried_and_then_no_more() -> None:
    script = Scripted()
    script.greeting = [(4401, "the token has ended")]
    given = iter(range(100))
    reason, errors = await ends(script, lambda: f"token {next(given)}")
    assert isinstance(reason, Unauthenticated)
    assert script.opened == ["Bearer token 0", "Bearer token 1", "Bearer token 2"]
    assert [type(error) for error in errors] == [Unauthenticated] * 3


async def test_a_newer_token_is_tried_until_the_service_takes_it() -> None:
    script = Scripted()
    script.greeting.append({"type": "TOKEN_EXPIRES", "expires_at": "2027-01-15T08:00:00.000Z"})
    tokens: list[Any] = ["first", "first", ValueError("not now"), "worse", "better", "next"]

    def token() -> str:
        found = tokens.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    def answer(message: Json) -> list[Json | tuple[int, str]]:
        request_id = message["request_id"]
        if message["token"] == "worse":
            error = {"code": "FORBIDDEN", "message": "worse"}
            return [{"type": "ERROR", "request_id": request_id, "error": error}]
        if message["token"] == "better":
            ack = {"type": "ACK", "request_id": request_id, "token_expires_at": None}
            return [ack, {"type": "TOKEN_EXPIRES", "expires_at": "2027-01-15T08:00:30.000Z"}]
        return [{"type": "ACK", "token_expires_at": None}, (4403, "enough")]

    script.answer = answer
    reason, errors = await ends(script, token)
    assert reason is not None
    assert reason.message == "enough"
    assert [message["token"] for message in script.heard] == ["worse", "better", "next"]
    assert script.opened == ["Bearer first"]
    assert ["no newer one" in error.message for error in errors[:1]] == [True]
    assert [error.message for error in errors[1:]] == [
        "the token function failed: ValueError('not now')",
        "worse",
        "enough",
    ]


async def test_a_token_that_is_text_cannot_be_renewed() -> None:
    script = Scripted()
    script.greeting += [{"type": "TOKEN_EXPIRES", "expires_at": "2027-01-15T08:00:00.000Z"}, (4401, "")]
    reason, _ = await ends(script, "text")
    assert isinstance(reason, Unauthenticated)
    assert script.heard == []


async def test_how_old_a_state_is_that_comes_from_a_replica() -> None:
    script = Scripted()
    script.greeting[1] = {**script.greeting[1], "stale": {"age_ms": 3000}}  # type: ignore[dict-item]
    release = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        serving = asyncio.create_task(script.serve(connection))
        await release.wait()
        await connection.send(json.dumps({"type": "STATE_SYNC", "payload": {"full_state": state()}}))
        await serving

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with SyncKairos(f"http://127.0.0.1:{port}") as client, client.session(ID) as session:
            told: list[int | None] = [session.stale_ms]
            session.on_change(lambda *_: told.append(session.stale_ms))
            release.set()
            await eventually(lambda: session.stale_ms is None)
            assert told == [3000, None]
