"""What the chain of middleware costs a request, and what a request waits for while Redis is away.

The yardstick of the first is a switch over HTTP, and of the second a request that needs no Redis.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Any

import msgspec

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report, compared, percentile
from synckairos.bench.servers import Kind, Storage, Web
from synckairos.bench.switches import CONNECTIONS, FULL, QUICK
from synckairos.breakers.breaker import FAILURES
from synckairos.chain.middleware import Middleware, Order, chain
from synckairos.core.keys import SessionKeys
from synckairos.errors import CircuitOpen

CALLS = 50_000
AWAY = 500
"""How many requests come while the breaker is open."""
EVERY_S = 0.01
SESSIONS = 200


class _Idle(Middleware):
    """A middleware with all its methods, none of which does anything."""

    async def before(self, call: Any) -> None: ...

    async def after(self, call: Any, result: Any) -> None: ...


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures with a server and a service of its own."""
    plan = QUICK if quick else FULL
    report = Report("chain", quick)
    bare: list[float] = []
    chained: list[float] = []
    costs: list[float] = []
    with servers.storage(kind) as storage, servers.synckairos(storage, 1, limits=False) as web:
        report.versions[kind] = storage.version
        made = [SessionKeys.of(sessions.new_id()) for _ in range(SESSIONS)]
        config = sessions.config(2, sessions.DAY_MS)
        sessions.calls(storage, (("sk_create", each.all, (config,)) for each in made))
        sessions.start(storage, made)
        requests = [_switch(each) for each in made]
        load.http(web.port, CONNECTIONS, requests, plan.round_s)
        for _ in range(plan.rounds):
            spent = web.cpu_s()
            outcome = load.http(web.port, CONNECTIONS, requests, plan.round_s)
            costs.append((web.cpu_s() - spent) / len(outcome.latencies) * 1e6)
            bare.append(_cost(()))
            chained.append(_cost(_idle()))
            sessions.trim_outboxes(storage)
        own = [with_it - without for with_it, without in zip(chained, bare, strict=True)]
        report.figures = [
            compared(
                f"{len(Order)} middlewares that do nothing, CPU",
                "us",
                own,
                ("a switch over HTTP, CPU of the service", costs),
                at_most=0.05,
            )
        ]
        waits: dict[str, list[float]] = {}
        for name, away in (("hangs", _hanging), ("was killed", _killed)):
            while _ask(web, made[0])[0]:  # what was away has just come back
                time.sleep(EVERY_S)
            with away(storage):
                first, refused, beside = _refused(web, made[0], AWAY // 5 if quick else AWAY)
            waits |= {f"Redis {name}, first": first, f"Redis {name}, open": refused, "health": beside}
            report.figures += _waited(name, first, refused, beside)
    report.details = {"cpu_us": {"switch": costs, "bare": bare, "chained": chained}, "waits_s": waits}
    return report


def _waited(name: str, first: list[float], refused: list[float], beside: list[float]) -> list[Figure]:
    """The figures of requests while Redis is away, in milliseconds."""
    longest = 1000 * max(first)
    value, other = (1000 * percentile(sorted(each), 0.99) for each in (refused, beside))
    return [
        Figure(
            name=f"an answer while Redis {name}, p99",
            value=value,
            unit="ms",
            at_most=20,
            note=f"before the breaker opened, up to {longest:,.0f} ms",
        ),
        Figure(
            name=f"the same while Redis {name}",
            value=value,
            unit="ms",
            yardstick="GET /health beside it, p99",
            yardstick_value=other,
            ratio=value / other,
        ),
    ]


def _idle() -> Iterator[Middleware]:
    for order in Order:
        yield type("_Placed", (_Idle,), {"order": order})()


def _cost(middlewares: Any) -> float:
    """Microseconds of CPU for a call through this chain, to a handler that does nothing."""

    async def handle(call: Any) -> Any:
        return call

    step = chain(middlewares, handle)

    async def calls() -> None:
        for _ in range(CALLS):
            await step(None)

    began = process_time()
    asyncio.run(calls())
    return 1e6 * (process_time() - began) / CALLS


def _refused(web: Web, session: SessionKeys, count: int) -> tuple[list[float], list[float], list[float]]:
    """How long requests took that opened the breaker, that came while it was open, and others beside these.

    All in seconds.
    """
    with ThreadPoolExecutor(FAILURES) as together:
        first = [seconds for _, seconds in together.map(lambda _: _ask(web, session), range(FAILURES))]
    while _ask(web, session)[0] != CircuitOpen.code:
        pass
    refused, beside = [], []
    for _ in range(count):
        time.sleep(EVERY_S)
        refused.append(_ask(web, session)[1])
        beside.append(_ask(web, None)[1])
    return first, refused, beside


def _ask(web: Web, session: SessionKeys | None) -> tuple[str, float]:
    """Switches, or asks for the health. Returns the error's code, empty without one, and the seconds."""
    began = perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    try:
        if session is None:
            connection.request("GET", "/health")
        else:
            connection.request("POST", f"/v1/sessions/{sessions.id_of(session)}/switch")
        answer = connection.getresponse()
        body = msgspec.json.decode(answer.read())
        return body["error"]["code"] if "error" in body else "", perf_counter() - began
    finally:
        connection.close()


@contextmanager
def _hanging(storage: Storage) -> Iterator[None]:
    """The server stands still in this block."""
    info: dict[str, Any] = storage.client.info("server")
    os.kill(info["process_id"], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(info["process_id"], signal.SIGCONT)
        storage.client.ping()


@contextmanager
def _killed(storage: Storage) -> Iterator[None]:
    """The server is gone from here on."""
    info: dict[str, Any] = storage.client.info("server")
    os.kill(info["process_id"], signal.SIGKILL)
    yield


def _switch(session: SessionKeys) -> bytes:
    path = f"/v1/sessions/{sessions.id_of(session)}/switch"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
