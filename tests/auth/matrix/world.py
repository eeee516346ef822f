"""A session in each state, for each tenant; tokens for all callers; and requests to a running service.

Each session has a partition of its own, so all that Redis has of it is the four keys of its partition.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any

import asyncpg
import pytest
import redis
from websockets.exceptions import ConnectionClosed

from synckairos.api import start as service_start
from synckairos.audit.archiver import Archiver
from synckairos.auth import links
from synckairos.auth.bearer import Bearers, Everybody
from synckairos.auth.grants import Revocation
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from tests.auth.conftest import SECRET, TENANT, bearing, token
from tests.auth.matrix.contract import LINKS, OPENING, ROUTES, Target, Who, targets
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import PATIENCE_S, Service

ACTIVE, WAITING, THIRD, NEWCOMER, STRANGER = (f"a0000000-0000-4000-8000-00000000000{n}" for n in range(5))
TEAMS = [f"b0000000-0000-4000-8000-00000000000{n}" for n in range(2)]
PARTICIPANTS = {"active": ACTIVE, "waiting": WAITING, "stranger": STRANGER}
TENANTS = {"own": TENANT, "foreign": "others", "none": None}
FILES = {
    "GET /docs/{file}": "docs.js",
    "GET /console/{page}/{file}": "session.js",
    "GET /console/{page}/{folder}/{file}": "board.js",
}
"""A file that there is, for each route that gives files."""
BANK_MS = 6 * 3600 * 1000
_HOUR_S = 3600.0

_ROWS = " UNION ALL ".join(
    f"SELECT count(*), coalesce(max(xmin::text::bigint), 0) FROM {table}"
    for table in (
        *("sync_events", "sync_sessions", "sync_participants", "sync_tags", "sync_refused"),
        *("sync_keys", "sync_links", "sync_revocations"),
    )
)
"""Of each table how many rows it has and the newest transaction that wrote one. Only the access log is left
out, which has refusals."""

WEBHOOK, DELIVERY = (f"d0000000-0000-4000-8000-00000000000{n}" for n in range(2))
_HAVE_WEBHOOK = """
INSERT INTO sync_webhooks (webhook_id, tenant_id, url, secret, since_ms)
VALUES ($1, $2, 'http://[::1]/', '', 0)
ON CONFLICT (webhook_id) DO UPDATE SET tenant_id = excluded.tenant_id
"""
"""Whoever asks for the webhook is of its tenant; it is there again when the call before has removed it."""
_HAVE_DELIVERY = """
INSERT INTO sync_webhook_deliveries (webhook_id, delivery_id, status) VALUES ($1, $2, 'failed')
ON CONFLICT (delivery_id) DO NOTHING
"""

Answer = tuple[str, bytes]
"""An outcome as in the contract's model, and the body."""


@dataclass
class Session:
    """The session of a target, and all that Redis has of it.

    link: one that can be revoked
    tokens: of the links by which callers come, by role and participant
    kept, seen: the four keys of its partition, to be restored and to be compared
    """

    session_id: str
    link: str = str(uuid.UUID(int=0))
    tokens: dict[tuple[str, str | None], str] = field(default_factory=dict)
    kept: list[bytes | None] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)


class World:
    """A running service, and what is there to be asked for."""

    def __init__(self, running: Audited, rows: asyncpg.Connection[asyncpg.Record]) -> None:
        self.service: Service = running.service
        self.sessions = {
            target: Session(f"{n:08x}-0000-4000-8000-0000000000{n:02x}") for n, target in enumerate(targets())
        }
        self._running = running
        self._redis: redis.Redis = running.redis()
        self._rows = rows
        self._stored: list[Any] = []
        self._made: dict[tuple[Who, str | None], str] = {}
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used_at = 0.0
        self._bearers = running.service.context.bearers

    # What there is

    async def make(self, archiver: Archiver) -> None:
        """Make all sessions. Afterwards nothing changes any of them by itself."""
        revoked = Revocation(
            tenant=TENANT, token_id="revoked", subject=None, issued_before=None, made_at=time(), made_by=None
        )
        await self.service.context.revocations.revoke(revoked)
        for target, session in self.sessions.items():
            if target.state.where != "nowhere":
                await self._play(target, session.session_id)
        for target, session in self.sessions.items():
            if target.state.where != "nowhere":
                await self._share(session, TENANTS[target.tenant])
        await self._running.archived()  # as everything is whose deletion comes later
        for target, session in self.sessions.items():
            if target.state.status is None and target.state.where != "nowhere":
                await self._library.delete(session.session_id, Options(tenant=TENANTS[target.tenant]))
        await self._running.archived()
        await archiver.stop()
        for target, session in self.sessions.items():
            if target.state.where == "postgresql":
                self._redis.delete(*SessionKeys.of(session.session_id).all)
            session.kept = [self._redis.dump(key) for key in SessionKeys.of(session.session_id).all]
            session.seen = self._see(session)
        self._stored = await self._rows.fetch(_ROWS)

    async def close(self) -> None:
        self._redis.close()
        await self._rows.close()
        await self._hang_up()

    @property
    def _library(self) -> Any:
        return self.service.context.redis_sessions

    async def _play(self, target: Target, session_id: str) -> None:
        """A session that is in the target's state, as long as it is neither lost nor deleted."""
        calls, same = self._library, Options(tenant=TENANTS[target.tenant])
        await calls.create(session_id, json.dumps(_config(target)).encode(), same)
        status = target.state.status
        if status not in ("pending", "cancelled"):
            await calls.start(session_id, same)
            await calls.switch(session_id, next=ACTIVE, options=same)  # a turn that can be taken back
        if status == "paused":
            await calls.pause(session_id, same)
        elif status == "expired":
            await calls.adjust(session_id, participant=ACTIVE, set_ms=0, options=same)
            await calls.expire_all([session_id])
        elif status in ("completed", "cancelled"):
            await getattr(calls, {"completed": "complete", "cancelled": "cancel"}[status])(session_id, same)
        found = await calls.get(session_id, same.tenant)
        assert found.status == (status or "running"), (target, found.status)

    async def _share(self, session: Session, tenant: str | None) -> None:
        """Links to a session, by which callers come."""
        made: links.Links = self.service.context.links
        maker = await self.service.context.bearers.caller(token("moderator"))
        state = await self._library.get(session.session_id, tenant)
        for role, participant in LINKS:
            named = None if participant is None else PARTICIPANTS[participant]
            _, session.tokens[role, participant] = await made.make(state, maker, role, named, _HOUR_S)
        link, _ = await made.make(state, maker, "viewer", None, _HOUR_S)
        session.link = link.link_id

    # Whether it is as it was

    def _see(self, session: Session) -> list[Any]:
        """The session, its log, the alarms and the outbox of its partition, and when session and log end."""
        keys = SessionKeys.of(session.session_id)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(keys.session)
            pipeline.pexpiretime(keys.session)
            pipeline.dump(keys.log)
            pipeline.pexpiretime(keys.log)
            pipeline.dump(keys.alarms)
            pipeline.dump(keys.outbox)
            return pipeline.execute()

    async def changes(self, target: Target) -> list[str]:
        """What is not as it was before: parts of Redis and PostgreSQL. Then it becomes again as it was."""
        session, now = self.sessions[target], await self._rows.fetch(_ROWS)
        names = ("session", "its end", "log", "the log's end", "alarms", "outbox")
        compared = zip(names, self._see(session), session.seen, strict=True)
        changed = [name for name, is_, was in compared if is_ != was]
        if changed:
            self._restore(session)
        if now != self._stored:
            changed.append("PostgreSQL")
            self._stored = now
        return changed

    def _restore(self, session: Session) -> None:
        ends = [max(session.seen[1], 0), max(session.seen[3], 0), 0, 0]
        keys = SessionKeys.of(session.session_id).all
        with self._redis.pipeline() as pipeline:
            for key, value, end in zip(keys, session.kept, ends, strict=True):
                pipeline.delete(key)
                if value is not None:
                    pipeline.restore(key, end, value, absttl=True)
            pipeline.execute()

    # Who calls

    def bearer(self, who: Who, target: Target) -> str | None:
        """The token of a caller, who may be bound to this session or to another one."""
        session = {None: None, "this": target, "another": self.another(target)}[who.session]
        if who.is_link:
            assert session is not None
            return self.sessions[session].tokens[who.roles[0], who.participant]
        session_id = None if session is None else self.sessions[session].session_id
        if who.token in ("no", "unasked"):
            return None
        if (who, session_id) not in self._made:
            claims: dict[str, Any] = {"exp": time() + _HOUR_S, "session": session_id}
            if who.participant is not None:
                claims["participant"] = PARTICIPANTS[who.participant]
            if who.token == "ended":
                claims["exp"] = time() - _HOUR_S
            elif who.token == "revoked":
                claims["jti"] = "revoked"
            elif who.token == "tenantless":
                claims["tenant"] = None
            secret = SECRET[::-1] if who.token == "bad" else SECRET
            roles = who.roles or ("emperor",)
            self._made[who, session_id] = token(*roles, secret=secret, **claims)
        return self._made[who, session_id]

    def bearers(self, who: Who) -> Bearers:
        """The part of the service that knows tokens. With `AUTH_MODE=none` nobody is asked for one."""
        return Everybody() if who.token == "unasked" else self._bearers

    def another(self, target: Target) -> Target:
        """A session of the callers' tenant that is not this one."""
        found = Target("own", "pending")
        return Target("own", "paused") if target == found else found

    # Requests

    def path(self, name: str, target: Target) -> str:
        """The path of a route, as it is called for a target."""
        session = self.sessions[target]
        participant = THIRD if name.startswith("DELETE") else WAITING
        named = {"session_id": session.session_id, "participant_id": participant, "group_id": TEAMS[1]}
        files = {"page": "session", "folder": "views", "file": FILES.get(name, "")}
        others = {"link_id": session.link, "webhook_id": WEBHOOK, "delivery_id": DELIVERY, "tag": "club"}
        return name.partition(" ")[2].format(**named, **others, **files)

    async def ask(self, who: Who, name: str, target: Target) -> Answer:
        """Call a route, or send a message over a socket that is opened for it."""
        self.service.context.bearers = self.bearers(who)
        if name not in ROUTES:
            return await self._over_socket(who, name, target), b""
        if "{webhook_id}" in name:
            await self._rows.execute(_HAVE_WEBHOOK, WEBHOOK, None if who.token == "unasked" else TENANT)
            await self._rows.execute(_HAVE_DELIVERY, WEBHOOK, DELIVERY)
        bearer = self.bearer(who, target)
        body = self._body(name, target)
        head = [f"{name.split(maxsplit=1)[0]} {self.path(name, target)} HTTP/1.1", "Host: localhost"]
        head += [f"Authorization: Bearer {bearer}"] if bearer is not None else []
        head += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
        reader, writer = await self._connected()
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        async with asyncio.timeout(PATIENCE_S):
            head_of_answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head_of_answer.partition("\r\ncontent-length: ")[2].partition("\r\n")[0]
            given = await reader.readexactly(int(length or 0))
        status = head_of_answer.split()[1]
        is_error = status >= "400" and given.startswith(b'{"error"')
        return (f"{status} {json.loads(given)['error']['code']}" if is_error else status), given

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the service, which closes those that are idle for long."""
        last_used_at, self._used_at = self._used_at, monotonic()
        if self._connection is None or self._used_at - last_used_at > 1.0:
            await self._hang_up()
            self._connection = await asyncio.open_connection("127.0.0.1", self.service.port)
        return self._connection

    async def _hang_up(self) -> None:
        if self._connection is not None:
            _, writer = self._connection
            writer.close()
            await writer.wait_closed()

    def _body(self, name: str, target: Target) -> bytes:
        """A body that is right for the route and the target."""
        method, _, path = name.partition(" ")
        fields: dict[str, Any] | None = None
        if name == "POST /v1/sessions":
            fields = {"session_id": self.sessions[target].session_id, **_config(target)}
        elif name.endswith("/participants"):
            fields = {"participant_id": NEWCOMER, **_clock_of(target, 0)}
        elif path.endswith("/turn"):
            fields = {"active_participant_id": WAITING}
        elif path.endswith("/schedule"):
            fields = {"ends_at_ms": int(1000 * (time() + 24 * _HOUR_S))}
        elif path.endswith("/metadata"):
            fields = {"metadata": {"message": {"text": str(uuid.uuid4())}}}
        elif method == "PATCH":
            fields = {"add_ms": 1000}
        elif name == "POST /v1/sessions/{session_id}/links":
            fields = {"role": "viewer"}
        elif name == "POST /v1/webhooks":
            fields = {"url": "http://127.0.0.1:9/"}
        elif path == "/v1/revocations":
            fields = {"jti": "nobody's"}
        return b"" if fields is None else json.dumps(fields).encode()

    async def _over_socket(self, who: Who, name: str, target: Target) -> str:
        bearer = self.bearer(who, target)
        headers = {} if bearer is None else bearing(bearer)
        async with self.service.watch(self.sessions[target].session_id, additional_headers=headers) as client:
            if who.token == "no":
                await client.say(type="PING", t1=1)  # instead of one
            try:
                async with asyncio.timeout(PATIENCE_S):
                    first = await client.next()
            except ConnectionClosed:
                outcome = str(await client.closed())
            else:
                assert (await client.next())["type"] == "STATE_SYNC"
                outcome = first["type"] if name == OPENING else await self._said(client, name, bearer)
        await self._none_open()
        return outcome

    async def _said(self, client: Any, name: str, bearer: str | None) -> str:
        if name != "CLOCK":
            return outcome_of(await client.ask(**message(name, bearer)))
        await client.say(**message(name, bearer))
        answer = outcome_of(await client.ask(**message("PING", bearer)))
        return "nothing" if answer == "PONG" else answer

    async def _none_open(self) -> None:
        """Wait until the service has noticed that a socket is closed."""
        async with asyncio.timeout(PATIENCE_S):
            while self.service.context.websockets:
                await asyncio.sleep(0.001)


def message(name: str, bearer: str | None) -> dict[str, Any]:
    """A message of a client."""
    fields: dict[str, dict[str, Any]] = {
        "AUTH": {"token": bearer or ""},
        "PING": {"t1": 1},
        "CLOCK": {"offset_ms": 1},
        "RECONNECT": {"last_known_version": 1},
    }
    return {"type": name, **fields.get(name, {"request_id": str(uuid.uuid4())})}


def outcome_of(answer: dict[str, Any]) -> str:
    """The outcome in a message of the service."""
    kind: str = answer["type"]
    return f"ERROR {answer['error']['code']}" if kind == "ERROR" else kind


def _config(target: Target) -> dict[str, Any]:
    """The config of a target's session."""
    clock = target.state.clock
    people = [
        {"participant_id": each, **_clock_of(target, n)} for n, each in enumerate((ACTIVE, WAITING, THIRD))
    ]
    modes = {"participant": "per_participant", "group": "per_group", "session": "global"}
    config = {
        "sync_mode": modes[clock],
        "participants": people,
        "players_may_pause": target.state.players_may_pause,
    }
    if clock == "group":
        config["groups"] = [{"group_id": each, "total_time_ms": BANK_MS} for each in TEAMS]
    elif clock == "session":
        config["total_time_ms"] = BANK_MS
    return config


def _clock_of(target: Target, number: int) -> dict[str, Any]:
    """What a participant of a target's session has besides its id."""
    match target.state.clock:
        case "participant":
            return {"total_time_ms": BANK_MS}
        case "group":
            return {"group_id": TEAMS[number % 2]}
        case _:
            return {}


@asynccontextmanager
async def world(machines: Machines, database: str) -> AsyncIterator[World]:
    """A service with PostgreSQL that asks for tokens, and a session in each state."""
    archivers: list[Archiver] = []

    class Kept(Archiver):
        """The archiver, which takes from outboxes. The test stops it when everything is stored."""

        async def start(self) -> None:
            archivers.append(self)
            await super().start()

    environ = {"AUTH_MODE": "jwt", "JWT_SECRET": SECRET, "ENABLE_METRICS": "true"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_start, "Archiver", Kept)
        async with audited(machines.server, machines.rq, database, **environ) as running:
            made = World(running, await asyncpg.connect(database))
            try:
                await made.make(archivers[0])
                yield made
            finally:
                await made.close()
