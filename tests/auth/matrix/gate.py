"""What stands before every handler and every command, asked for a caller, without a server.

It is the service's own code: `chain.admission` for routes, `Opening`, `Conversation` for sockets. It has the
parts of the running service, its bearers for example, but none of those by which it could reach a session.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

from sanic.compat import Header

from synckairos.api.calls import RequestCall
from synckairos.api.chain import admission
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes import ROUTES
from synckairos.api.routes.pages import PAGES
from synckairos.api.websocket.conversation import Conversation
from synckairos.api.websocket.opening import Opening
from synckairos.api.websocket.strangers import Strangers
from synckairos.chain.middleware import chain
from synckairos.core.model import Options, State
from synckairos.errors import SyncKairosError
from tests.auth.matrix.contract import MESSAGES, OPENING, Target, Who
from tests.auth.matrix.world import PARTICIPANTS, World, message, outcome_of
from tests.support.records import Records

TABLE: dict[str, Route] = {f"{route.method} {route.path}": route for route in (*ROUTES, *PAGES)}
ADMISSION = chain(admission(), AsyncMock())
LIST = "GET /v1/sessions"
BEHIND = {
    *("connection", "sessions", "redis_sessions", "relay", "subscriptions", "timekeeper", "replicas"),
    *("store", "recovery", "restorer", "links", "revocations", "webhooks"),
}
"""The parts of a process that the gate is not given."""
_KINDS = {participant: kind for kind, participant in PARTICIPANTS.items()}


@dataclass(frozen=True)
class Passed:
    """The gate lets the call through.

    tenant: the caller's
    player: the participant as whom the function library has to judge it
    session: the only session that the caller's token is good for, which lists are about
    """

    tenant: str | None
    player: str | None = None
    session: str | None = None


class Reached(SyncKairosError):
    """A command got as far as the function library."""

    code = "REACHED"


class Gate:
    """The gate of a running service, with nothing behind it."""

    def __init__(self, world: World) -> None:
        self._world = world
        real = world.service.context
        parts = {each.name: getattr(real, each.name) for each in fields(real) if each.name not in BEHIND}
        self._parts = {**parts, "access_log": Records(), "websockets": set()}

    def _request(self, method: str, path: str, bearer: str | None, parts: dict[str, Any]) -> ApiRequest:
        head = {"host": "localhost"}
        headers = Header(head if bearer is None else {**head, "authorization": f"Bearer {bearer}"})
        app = SimpleNamespace(ctx=SimpleNamespace(context=SimpleNamespace(**parts)))
        return ApiRequest(path.encode(), headers, "1.1", method, cast(Any, None), cast(Any, app))

    async def route(self, who: Who, name: str, target: Target) -> str | Passed:
        """What the gate says to a request."""
        route, path = TABLE[name], self._world.path(name, target)
        parts = {**self._parts, "bearers": self._world.bearers(who)}
        request = self._request(route.method, path, self._world.bearer(who, target), parts)
        named = (
            {"session_id": self._world.sessions[target].session_id} if "{session_id}" in route.path else {}
        )
        try:
            await ADMISSION(RequestCall(request, route, named))
        except SyncKairosError as error:
            return f"{error.status} {error.code}"
        bound_to = who.session if name == LIST else None
        return Passed(request.caller.tenant, _kind(request.player), bound_to)

    async def socket(self, who: Who, target: Target) -> dict[str, str | Passed]:
        """What it says to a socket, and to each message over it."""
        session_id, bearer = self._world.sessions[target].session_id, self._world.bearer(who, target)
        said = ["PING"] if who.token == "no" else MESSAGES  # a stranger's first message is no token
        socket = _Socket([json.dumps(message(kind, bearer)) for kind in said])
        behind = _Behind(session_id)
        parts = {**self._parts, "bearers": self._world.bearers(who)}
        parts |= {"connection": behind.connection, "relay": behind, "sessions": behind, "replicas": behind}
        request = self._request("GET", f"/ws?session_id={session_id}", bearer, parts)
        opening = Opening(request, Strangers())
        async with opening:
            await Conversation(request, cast(Any, socket), opening).run()
        if not behind.opened:
            return dict.fromkeys((OPENING, *MESSAGES), str(socket.code))
        answers = socket.answers()
        given = (answer for answer in answers if answer != "STATE_SYNC")
        assert next(given) == "CONNECTED", answers
        tenant = request.caller.tenant
        found: dict[str, str | Passed] = {OPENING: Passed(tenant)}
        for kind in MESSAGES:
            answer = "nothing" if kind == "CLOCK" else next(given)
            if answer == "ERROR REACHED":
                found[kind] = Passed(tenant, _kind(behind.players.pop(0)))
            else:
                found[kind] = answer if answer.startswith("ERROR") else Passed(tenant)
        assert next(given, None) is None
        return found


class _Socket:
    """A socket over which these messages come."""

    lag_ms = None
    sees_actors = True

    def __init__(self, texts: list[str]) -> None:
        self.code: int | None = None
        self._texts = texts
        self._sent = b""

    async def messages(self) -> AsyncIterator[tuple[str, float]]:
        for text in self._texts:
            yield text, monotonic()

    @property
    def ended(self) -> bool:
        return self.code is not None

    def keep(self, most_unread: int) -> None:
        """All of them are kept."""

    def send(self, frames: bytes) -> None:
        self._sent += frames

    def end(self, code: int, _reason: str) -> None:
        self.code = self.code or code

    def answers(self) -> list[str]:
        """The outcomes of what was sent. Frames begin with 0x81 and their length."""
        sizes = {126: 4, 127: 10}
        found, rest = [], self._sent
        while rest:
            head = sizes.get(rest[1], 2)
            size = rest[1] if head == 2 else int.from_bytes(rest[2:head], "big")
            found.append(outcome_of(json.loads(rest[head : head + size])))
            rest = rest[head + size :]
        return found


class _Behind:
    """In place of relay, calls and replicas: a session that is always there, and that refuses commands."""

    def __init__(self, session_id: str) -> None:
        self.opened = False
        self.players: list[str | None] = []
        self.connection = SimpleNamespace(is_down=lambda _: False, refuse_if_open=AsyncMock())
        self._state = State(
            json.dumps(
                {
                    "session_id": session_id,
                    "status": "running",
                    "version": 1,
                    "epoch": "1",
                    "server_time_ms": 1,
                }
            ).encode()
        )

    async def attach(self, *_: object) -> State:
        self.opened = True
        return self._state

    def follow(self, *_: object) -> None:
        """Nothing comes."""

    def detach(self, *_: object) -> None:
        """Nothing came."""

    def hold(self, *_: object) -> tuple[str | None, int]:
        return None, 0

    def now_ms(self, *_: object) -> float:
        return 1.0

    async def get(self, *_: object, **__: object) -> State:
        return self._state

    async def _command(self, _session_id: str, options: Options, **_: object) -> None:
        self.players.append(options.player)
        raise Reached

    switch = pause = resume = _command


def _kind(participant: str | None) -> str | None:
    return None if participant is None else _KINDS[participant]
