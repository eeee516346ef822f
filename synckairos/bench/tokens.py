"""Switches with tokens, compared with the same switches of a service that asks for none."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from contextlib import ExitStack

from synckairos.auth.grants import new_key
from synckairos.auth.parts import parts
from synckairos.auth.signing import sign
from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Report, compared
from synckairos.bench.servers import Kind, Storage, Web
from synckairos.bench.switches import CONNECTIONS, FULL, QUICK
from synckairos.config import load as settings_of
from synckairos.core.calls import Sessions
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys

TENANT = "bench"
SESSIONS = 1000
SUBJECTS = 100
"""How many different JWTs there are."""


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one process with each kind of token, and one that asks for none."""
    plan = QUICK if quick else FULL
    report = Report("tokens", quick)
    secret = secrets.token_hex(32)
    environ = {"AUTH_MODE": "jwt", "JWT_SECRET": secret}
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        report.versions[kind] = storage.version
        made = _sessions(storage)
        key, link = asyncio.run(_granted(storage, environ, made[0]))
        anybody = stack.enter_context(servers.synckairos(storage, 1, limits=False))
        asking = stack.enter_context(servers.synckairos(storage, 1, limits=False, more=environ))
        jwts = [_jwt(secret, number) for number in range(SUBJECTS)]
        loads: dict[str, tuple[Web, list[bytes]]] = {
            "no token": (anybody, [_switch(each, None) for each in made]),
            "JWT": (asking, [_switch(each, jwts[at % SUBJECTS]) for at, each in enumerate(made)]),
            "API key": (asking, [_switch(each, key) for each in made]),
            "read, no token": (anybody, [_read(made[0], None)]),
            "read, link": (asking, [_read(made[0], link)]),
        }
        rates: defaultdict[str, list[float]] = defaultdict(list)
        costs: defaultdict[str, list[float]] = defaultdict(list)
        for web, requests in loads.values():
            load.http(web.port, CONNECTIONS, requests, plan.round_s)
        for _ in range(plan.rounds):
            for name, (web, requests) in loads.items():
                spent = web.cpu_s()
                outcome = load.http(web.port, CONNECTIONS, requests, plan.round_s)
                rates[name].append(outcome.rate)
                costs[name].append((web.cpu_s() - spent) / len(outcome.latencies) * 1e6)
                sessions.trim_outboxes(storage)
    report.details = {"rates_per_s": rates, "cpu_us_per_request": costs}
    report.figures = [
        figure
        for name, other, least in (
            ("JWT", "no token", 0.9),
            ("API key", "no token", None),
            ("read, link", "read, no token", None),
        )
        for figure in (
            compared(
                f"{name}, {CONNECTIONS} connections", "/s", rates[name], (other, rates[other]), at_least=least
            ),
            compared(f"{name}, CPU of the service", "us", costs[name], (other, costs[other])),
        )
    ]
    return report


def _sessions(storage: Storage) -> list[SessionKeys]:
    made = [SessionKeys.of(sessions.new_id()) for _ in range(SESSIONS)]
    config = sessions.config(2, sessions.DAY_MS)
    sessions.calls(storage, (("sk_create", each.all, (config, "TENANT", TENANT)) for each in made))
    sessions.start(storage, made)
    return made


async def _granted(storage: Storage, environ: dict[str, str], session: SessionKeys) -> tuple[str, str]:
    """An API key, and the token of a link to this session."""
    settings = settings_of({**environ, "REDIS_URL": storage.url})
    async with Connection.to(settings) as connection:
        calls = Sessions(connection, settings.session_ttl)
        auth = parts(settings, connection, None, calls)
        key, token = new_key(TENANT, ["service"], time.time())
        await auth.api_keys.add(key)
        state = await calls.get(sessions.id_of(session))
        _, link = await auth.links.make(state, key.caller(), "viewer", None, 3600)
    return token, link


def _jwt(secret: str, number: int) -> str:
    now = int(time.time())
    claims = {
        "sub": f"user {number}",
        "tenant": TENANT,
        "roles": ["service"],
        "iat": now,
        "exp": now + 86_400,
    }
    return sign(secret, claims)


def _switch(session: SessionKeys, token: str | None) -> bytes:
    return _request("POST", f"/v1/sessions/{sessions.id_of(session)}/switch", token)


def _read(session: SessionKeys, token: str | None) -> bytes:
    return _request("GET", f"/v1/sessions/{sessions.id_of(session)}", token)


def _request(method: str, path: str, token: str | None) -> bytes:
    bearer = "" if token is None else f"Authorization: Bearer {token}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Length: 0\r\n\r\n".encode()
