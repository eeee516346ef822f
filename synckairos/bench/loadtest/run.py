"""Servers, sessions and load together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import asyncpg
import msgspec

from synckairos import config
from synckairos.audit.jobs import Jobs
from synckairos.bench import archive, servers, sessions, watchers
from synckairos.bench.load import ChildProcess
from synckairos.bench.loadtest import audience, gauges, traffic
from synckairos.bench.loadtest.objectives import Objective
from synckairos.bench.loadtest.plan import CYCLE_MS, Load
from synckairos.bench.loadtest.result import Result, report
from synckairos.bench.report import Report
from synckairos.bench.servers import Kind, Storage, Web
from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from synckairos.run import postgresql

LEAD_S = 1.0
"""Time from the last preparation to the first request."""
SETTLE_S = 10.0
"""How long the last events may take to happen and to arrive after the load ended."""
_LOOK_S = 0.2


@dataclass(slots=True)
class _Sessions:
    """All sessions, and the clients' addresses: those whose clocks run out first."""

    made: list[SessionKeys]
    expiring: int
    addresses: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.addresses = [
            f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(len(self.made))
        ]

    def sockets(self, count: int) -> list[tuple[str, str]]:
        """Who watches: sessions and addresses."""
        return [
            (sessions.id_of(each), address)
            for each, address in zip(self.made[:count], self.addresses[:count], strict=True)
        ]

    def requests(self, method: str, end: str = "", *, first: int = 0) -> list[bytes]:
        """A request for each session from number `first` on, in a random order."""
        made = [
            (
                f"{method} /v1/sessions/{sessions.id_of(each)}{end} HTTP/1.1\r\nHost: localhost\r\n"
                f"X-Forwarded-For: {address}\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            for each, address in zip(self.made[first:], self.addresses[first:], strict=True)
        ]
        random.Random(7).shuffle(made)
        return made


def run(kind: Kind, load: Load, objectives: tuple[Objective, ...], *, quick: bool) -> tuple[Report, Result]:
    """Puts the load on a service in front of a server of this kind, and judges it by these objectives."""
    load.check()
    watchers.allow_files(2 * load.sockets)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind))
        versions: dict[str, str] = {kind: storage.version}
        more = {"TRUSTED_PROXIES": "127.0.0.1", "MAX_WEBSOCKETS": str(load.sockets + 100)}
        audit = None
        if load.audited:
            audit = stack.enter_context(_audit(storage))
            versions["postgresql"] = audit.version
            more |= audit.environ
        made = _make(storage, load)
        service = stack.enter_context(servers.synckairos(storage, load.workers, limits=True, more=more))
        if audit is not None:
            audit.stored(_versions(storage, made.made))  # their creation is no part of the load
        result = _measure(load, objectives, _Servers(storage, service, audit), made)
        result.versions = versions
    return report(result, quick=quick), result


@dataclass(frozen=True, slots=True)
class _Audit:
    """A PostgreSQL, the queue before it, and the settings of services that use them."""

    version: str
    url: str
    environ: dict[str, str]
    jobs: Jobs

    def stored(self, versions: Mapping[str, int]) -> int:
        """Of all events up to these versions, how many are stored; waits for them."""
        return asyncio.run(self._stored(versions))

    async def _stored(self, versions: Mapping[str, int]) -> int:
        database = await asyncpg.connect(self.url)
        try:
            end = time.monotonic() + archive.DRAIN_S
            while True:
                stored = int(await database.fetchval(_STORED, list(versions), list(versions.values())))
                if stored >= sum(versions.values()) or time.monotonic() > end:
                    return stored
                await asyncio.sleep(0.5)
        finally:
            await database.close()


_STORED = """
SELECT count(*) FROM sync_events AS e JOIN unnest($1::uuid[], $2::bigint[]) AS n (session_id, version)
ON e.session_id = n.session_id AND e.version <= n.version
"""


@contextmanager
def _audit(storage: Storage) -> Iterator[_Audit]:
    with archive.database() as database, archive.worker(storage, database):
        environ = archive.environ(storage, database)
        jobs = Jobs.of(config.load(environ))
        try:
            yield _Audit(postgresql.version(database.postgres.programs), database.url, environ, jobs)
        finally:
            jobs.close()


def _make(storage: Storage, load: Load) -> _Sessions:
    """The sessions, all running."""
    expiring = [SessionKeys.of(sessions.new_id()) for _ in range(load.expiring)]
    cycles = random.Random(11)
    configs = (_turns(cycles.randint(*CYCLE_MS)) for _ in expiring)
    sessions.calls(
        storage,
        (("sk_create", each.all, (given,)) for each, given in zip(expiring, configs, strict=True)),
    )
    sessions.start(storage, expiring)
    return _Sessions(expiring + sessions.make(storage, load.sessions - load.expiring), load.expiring)


def _turns(cycle_ms: int) -> bytes:
    """A config in which each turn has the same time, and the next one begins when it is up."""
    return msgspec.json.encode(
        {
            "sync_mode": "per_cycle",
            "time_per_cycle_ms": cycle_ms,
            "auto_advance": True,
            "participants": [{"participant_id": sessions.new_id()} for _ in range(2)],
        }
    )


def _shares(load: Load, made: _Sessions) -> Iterator[list[traffic.Kind]]:
    """What each client process sends."""
    switches = made.requests("POST", "/switch", first=made.expiring)
    reads = made.requests("GET")
    for number in range(load.clients):
        yield [
            traffic.Kind("switch", load.switches / load.clients, switches[number :: load.clients]),
            traffic.Kind("read", load.reads / load.clients, reads[number :: load.clients]),
        ]


@dataclass(frozen=True, slots=True)
class _Servers:
    """What runs."""

    storage: Storage
    service: Web
    audit: _Audit | None


def _measure(load: Load, objectives: tuple[Objective, ...], running: _Servers, made: _Sessions) -> Result:
    storage, service, audit = running.storage, running.service, running.audit
    with ExitStack() as stack:
        watching = stack.enter_context(ChildProcess(audience.watch, service.port, made.sockets(load.sockets)))
        while watching.receive() != "ready":
            pass
        seconds = load.warm_up_s + load.seconds
        sending = [
            stack.enter_context(ChildProcess(traffic.send, service.port, kinds, seconds, number))
            for number, kinds in enumerate(_shares(load, made))
        ]
        for process in sending:
            process.receive()
        began = time.perf_counter() + LEAD_S
        counted = began + load.warm_up_s
        wall = time.time() + counted - time.perf_counter()
        for process in sending:
            process.pipe.send(began)
        levels = gauges.follow(storage, service, audit.jobs if audit else None, counted, load.seconds)
        sent = traffic.Outcome()
        for process in sending:
            sent.add(process.result())
        overdue = _until_none(lambda: _overdue(storage, wall + load.seconds))
        newest = _versions(storage, made.made)

        def under_way() -> int:
            watching.pipe.send(newest)
            missing: int = watching.receive()
            return missing

        never_came = _until_none(under_way)
        watching.pipe.send(None)
        seen = watching.result()
    return Result(
        load=load,
        objectives=objectives,
        sent=sent.window(load.warm_up_s, seconds),
        seen=seen.window(wall, wall + load.seconds),
        gauges=levels,
        missing=seen.missing + seen.resynchronised + never_came,
        overdue=overdue,
        happened=sum(newest.values()) if audit else None,
        stored=audit.stored(newest) if audit else None,
    )


def _until_none(left: Callable[[], int]) -> int:
    """Waits until nothing is left. Returns what is left all the same after SETTLE_S."""
    end = time.monotonic() + SETTLE_S
    while (found := left()) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    return found


def _overdue(storage: Storage, until: float) -> int:
    """How many clocks ran out before this moment (wall clock, seconds) and nobody has noticed."""
    pipeline = storage.client.pipeline(transaction=False)
    for partition in keys.PARTITIONS:
        pipeline.zcount(keys.alarms(partition), "-inf", int(until * 1000))
    return sum(pipeline.execute())


def _versions(storage: Storage, made: Sequence[SessionKeys]) -> dict[str, int]:
    """The newest version of each session."""
    found: dict[str, int] = {}
    for start in range(0, len(made), sessions.CHUNK):
        chunk = made[start : start + sessions.CHUNK]
        pipeline = storage.client.pipeline(transaction=False)
        for each in chunk:
            pipeline.hget(each.session, "version")
        for each, version in zip(chunk, pipeline.execute(), strict=True):
            found[sessions.id_of(each)] = int(version or 0)
    return found
