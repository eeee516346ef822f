"""A running deployment is broken in each way that the runbooks name, and they have to name it.

Each test plants one cause, runs the blocks of the page that tell the cause, and wants the first row that
fits to be the cause that was planted, with what was planted by its name. Then it does what the page says,
until the page says that it is over.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
import pytest
import redis
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from synckairos.audit.jobs import STORE, Jobs
from synckairos.core import connection
from synckairos.core.calls import Sessions
from synckairos.core.model import Options
from synckairos.run.processes import free_port
from tests.auth.conftest import SECRET, bearing, token
from tests.support import live, servers
from tests.support.launching import launch
from tests.support.pages import ROOT, Shell
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.programs import Program, get, run
from tests.support.proxy import Proxy
from tests.support.runbooks import FOLDER, Runbook, export, pages
from tests.support.servers import Server

PATIENCE_S = 60.0
ROOM = 100_000_000
"""The `maxmemory` of the deployment's Redis (bytes)."""
FULL = 0.85
TENANT = "club"


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


class SlowNetwork:
    """A proxy in a thread of its own, between the service and its Redis."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.proxy = Proxy(port)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.proxy.__aenter__(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.__aexit__(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class Deployment:
    """A service that asks for tokens, a worker, and their servers.

    network: through which the service reaches Redis
    """

    redis: Server
    postgres: PostgresServer
    database: str
    network: SlowNetwork
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))
    stack: ExitStack = field(default_factory=ExitStack)
    worker_stack: ExitStack = field(default_factory=ExitStack)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": self.database,
            "AUTH_MODE": "jwt",
            "JWT_SECRET": SECRET,
            "JWT_LEEWAY_S": "0",
            "RATE_LIMIT_ENABLED": "false",
            "PORT": str(self.ports[0]),
            "METRICS_PORT": str(self.ports[1]),
        }

    @property
    def environ(self) -> dict[str, str]:
        """What an operator's shell has, as deploy/runbooks/README.md says."""
        return {**self.settings, "API": self.api, "METRICS": f"http://127.0.0.1:{self.ports[1]}/metrics"}

    def start(self) -> None:
        serve = Program("serve", **{**self.settings, "REDIS_URL": self.network.proxy.url})
        self.serve = self.stack.enter_context(serve)
        self.start_worker()
        self.serve.until(lambda: answers(f"{self.api}/ready"), "the service")

    def start_worker(self) -> None:
        worker = {name: value for name, value in self.settings.items() if name != "METRICS_PORT"}
        self.worker = self.worker_stack.enter_context(Program("worker", **worker))

    def sessions(self, count: int, *, over: bool = False, tenant: str = TENANT) -> list[str]:
        """Running sessions; `over`: which are deleted again."""

        async def make() -> list[str]:
            chosen = live.settings(self.redis.url)
            async with await connection.connect(chosen) as connected:
                made = Sessions(connected, chosen.session_ttl)
                ids = []
                for _ in range(count):
                    session_id = str(uuid.uuid4())
                    text = live_config()
                    await made.create(session_id, text, Options(tenant=tenant))
                    await made.start(session_id, Options(tenant=tenant))
                    if over:
                        await made.delete(session_id)
                    ids.append(session_id)
                return ids

        return asyncio.run(make())

    def remove(self, sessions: list[str], tenant: str = TENANT) -> None:
        """Deletes them, so that they are not what fills the memory in another test."""

        async def delete() -> None:
            chosen = live.settings(self.redis.url)
            async with await connection.connect(chosen) as connected:
                made = Sessions(connected, chosen.session_ttl)
                for session_id in sessions:
                    await made.delete(session_id, Options(tenant=tenant))

        asyncio.run(delete())

    def stored(self) -> None:
        """Waits until all events are in PostgreSQL."""
        until(lambda: self.audit_says("outbox: 0 events", "queue: 0 batches, 0 waiting"), "the store")

    def audit_says(self, *texts: str) -> bool:
        """Whether `synckairos audit status` has all these."""
        said = run("audit", "status", **self.settings).stdout
        return all(text in said for text in texts)


def live_config(participants: int = 2) -> bytes:
    people = ",".join(
        f'{{"participant_id": "{uuid.uuid4()}", "total_time_ms": 3600000}}' for _ in range(participants)
    )
    return f'{{"sync_mode": "per_participant", "participants": [{people}]}}'.encode()


def answers(url: str) -> bool:
    with suppress(OSError):
        return get(url)[0] == 200
    return False


@pytest.fixture(scope="module")
def deployment(pool: Pool) -> Iterator[Deployment]:
    """One for all tests: each leaves it as the page says that it is over."""
    postgres = pool.postgres("embedded", "may be stopped")
    with (
        servers.start("valkey", maxmemory=str(ROOM)) as server,
        postgres.lend_database() as database,
        SlowNetwork(server.port) as network,
    ):
        made = Deployment(server, postgres, database, network)
        with made.worker_stack, made.stack:
            made.start()
            yield made


@dataclass
class Staged:
    """A cause that is planted.

    names: what the output has to have, besides the words of the row; as regular expressions
    reads: which variables an operator sets, with what they are: a text, or an expression that finds it
    mends: what an operator does without a block, as to start a server
    again: done before each look
    """

    names: list[str] = field(default_factory=list)
    sets: dict[str, str] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    mends: Callable[[], object] = lambda: None
    again: Callable[[], object] = lambda: None
    environ: dict[str, str] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    """Variables that the operator's shell has from then on."""


Plant = Callable[[Deployment], AbstractContextManager[Staged]]
FAULTS: dict[tuple[str, str], Plant] = {}


def fault(page: str, cause: str) -> Callable[[Callable[[Deployment], Iterator[Staged]]], Plant]:
    """Registers what plants a cause of a page."""

    def register(plant: Callable[[Deployment], Iterator[Staged]]) -> Plant:
        FAULTS[page, cause] = contextmanager(plant)
        return FAULTS[page, cause]

    return register


# Redis does not answer


@fault("redis-failover", "The server has ended")
def ended(deployed: Deployment) -> Iterator[Staged]:
    deployed.redis.kill()
    yield Staged([rf"nothing listens at 127\.0\.0\.1:{deployed.redis.port}"], mends=deployed.redis.start)


@fault("redis-failover", "The server hangs")
def hangs(deployed: Deployment) -> Iterator[Staged]:
    deployed.redis.pause()
    try:
        yield Staged([rf"127\.0\.0\.1:{deployed.redis.port} does not answer"], mends=deployed.redis.resume)
    finally:
        deployed.redis.resume()


@contextmanager
def behind_sentinels(sentinels: int) -> Iterator[tuple[Server, list[Server], dict[str, str]]]:
    """A service behind Sentinels that know each other: its primary, the Sentinels, and its settings."""
    with ExitStack() as stack:
        primary = stack.enter_context(servers.start("valkey"))
        started = [stack.enter_context(servers.start_sentinel(primary, "main")) for _ in range(sentinels)]
        port = free_port()
        given = {
            "REDIS_URL": primary.url,
            "REDIS_SENTINEL_HOSTS": ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in started),
            "REDIS_SENTINEL_NAME": "main",
            "RATE_LIMIT_ENABLED": "false",
            "PORT": str(port),
        }
        serve = stack.enter_context(Program("serve", **given))
        serve.until(lambda: answers(f"http://127.0.0.1:{port}/ready"), "the service")
        for sentinel in started:
            until(lambda: others(sentinel) == sentinels - 1, "the Sentinels to know each other")  # noqa: B023
        yield primary, started, {**given, "API": f"http://127.0.0.1:{port}"}


def others(sentinel: Server) -> int:
    with sentinel.sync_client() as client:
        return int(client.sentinel_master("main")["num-other-sentinels"])


@fault("redis-failover", "No replica can take over")
def no_replica(_: Deployment) -> Iterator[Staged]:
    with behind_sentinels(1) as (primary, _sentinels, given):
        primary.kill()
        yield Staged([f"nothing listens at 127.0.0.1:{primary.port}"], mends=primary.start, environ=given)


@fault("redis-failover", "Too few Sentinels agree")
def too_few_sentinels(_: Deployment) -> Iterator[Staged]:
    with behind_sentinels(2) as (primary, sentinels, given), servers.start_replica(primary) as replica:
        until(lambda: knows_replica(sentinels[0]), "the Sentinels to know the replica")
        sentinels[1].kill()
        primary.kill()
        names = [f"nothing listens at 127.0.0.1:{sentinels[1].port}", "1 of 2 Sentinels"]
        yield Staged(names, mends=sentinels[1].start, environ=given)
        with replica.sync_client() as client:
            assert client.info("replication")["role"] == "master"


def knows_replica(sentinel: Server) -> bool:
    with sentinel.sync_client() as client:
        return int(client.sentinel_master("main")["num-slaves"]) == 1


# Requests are slow


@fault("high-latency", "The primary refuses changes")
def primary_refuses(deployed: Deployment) -> Iterator[Staged]:
    (session_id,) = deployed.sessions(1)
    switch = f"{deployed.api}/v1/sessions/{session_id}/switch"
    with deployed.redis.sync_client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert httpx.post(switch, headers=bearing(token()), timeout=30).status_code == 503
            yield Staged(["1, and 0 replicas in step"], again=lambda: forget_slow(deployed))
            until(lambda: httpx.post(switch, headers=bearing(token()), timeout=30).is_success, "a change")
        finally:
            client.config_set("min-replicas-to-write", 0)


@fault("high-latency", "A slow command")
def slow_command(deployed: Deployment) -> Iterator[Staged]:
    busy = "local x = 0 for i = 1, 1e7 do x = x + i end return x"
    # A client would connect again when its connection is killed; whoever plants this does not.
    client = redis.Connection(port=deployed.redis.port, client_name="nightly-report", protocol=2)
    over = threading.Event()

    def report() -> None:
        with suppress(redis.RedisError):
            while not over.wait(0.3):
                client.send_command("EVAL", busy, 0)
                client.read_response()

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield Staged(["EVAL took"], reads={"ADDRESS": r"EVAL took .* from ([\d.:]+) \(nightly-report\)"})
        thread.join(PATIENCE_S)  # it ends because its connection was killed
        assert not thread.is_alive()
    finally:
        over.set()
        client.disconnect()


@fault("high-latency", "The way to Redis is slow")
def slow_network(deployed: Deployment) -> Iterator[Staged]:
    proxy = deployed.network.proxy
    proxy.delay_s = 0.05

    def mends() -> None:
        proxy.delay_s = 0.0

    try:
        yield Staged(
            [r"answers in \d{3}\.\d ms", r"synckairos_redis_call_seconds\{.*\d{3}\.\d ms each"],
            mends=mends,
            again=lambda: forget_slow(deployed),
            environ={"REDIS_URL": proxy.url},
        )
    finally:
        mends()


@fault("high-latency", "A processor is busy")
def busy_processor(deployed: Deployment) -> Iterator[Staged]:
    process = launch(["sh", "-c", "while :; do :; done"], Path("/dev/null"))
    yield Staged(
        [rf"process {process.pid} \(sh\)"],
        reads={"BUSY_PID": rf"process ({process.pid}) \(sh\)"},
        again=lambda: forget_slow(deployed),
    )
    assert process.wait(PATIENCE_S) == -signal.SIGTERM


def forget_slow(deployed: Deployment) -> None:
    """A machine that stands still makes any command slow, and this is not about it."""
    with deployed.redis.sync_client() as client:
        client.slowlog_reset()


# WebSockets are lost


@contextmanager
def storm(lose_one: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Loses sockets, one after another, until what it gives is called."""
    over = threading.Event()

    def lose() -> None:
        while not over.wait(0.05):
            with suppress(OSError, TimeoutError, WebSocketException, httpx.HTTPError):
                lose_one()

    thread = threading.Thread(target=lose)
    thread.start()
    try:
        yield over.set
    finally:
        over.set()
        thread.join(PATIENCE_S)


@contextmanager
def opened(
    deployed: Deployment, bearer: str | None, session_id: str, **options: Any
) -> Iterator[ClientConnection]:
    """A socket."""
    url = f"ws://127.0.0.1:{deployed.ports[0]}/ws?session_id={session_id}"
    headers = None if bearer is None else bearing(bearer)
    with connect(url, additional_headers=headers, ping_interval=None, **options) as watching:
        yield watching


@fault("disconnection-storm", "Connections break")
def connections_break(deployed: Deployment) -> Iterator[Staged]:
    (session_id,) = deployed.sessions(1)

    def lose_one() -> None:
        with opened(deployed, token(), session_id) as watching:
            watching.socket.shutdown(socket.SHUT_RDWR)

    with storm(lose_one) as mends:
        yield Staged(mends=mends)


@fault("disconnection-storm", "Tokens end")
def tokens_end(deployed: Deployment) -> Iterator[Staged]:
    (session_id,) = deployed.sessions(1)
    sockets = itertools.count(1)

    def lose_one() -> None:
        with opened(deployed, None, session_id) as watching:
            if next(sockets) % 5 == 0:  # meanwhile others go into a tunnel, and that is not the cause
                watching.socket.shutdown(socket.SHUT_RDWR)
            # Whoever issues tokens has a clock that is late: a token has ended when it comes.
            watching.send(json.dumps({"type": "AUTH", "token": token(exp=time.time() - 60)}))
            drained(watching)

    with storm(lose_one) as mends:
        yield Staged(mends=mends)


@fault("disconnection-storm", "Tokens were revoked")
def tokens_were_revoked(deployed: Deployment) -> Iterator[Staged]:
    (session_id,) = deployed.sessions(1)

    def lose_one() -> None:
        name = str(uuid.uuid4())
        with opened(deployed, token("viewer", jti=name), session_id) as watching:
            httpx.post(f"{deployed.api}/v1/revocations", json={"jti": name}, headers=bearing(token("admin")))
            drained(watching)

    with storm(lose_one) as mends:
        yield Staged(mends=mends)


@fault("disconnection-storm", "Clients send what is refused")
def clients_send_what_is_refused(deployed: Deployment) -> Iterator[Staged]:
    def lose_one() -> None:
        with opened(deployed, token(), "nonsense") as watching:
            drained(watching)

    with storm(lose_one) as mends:
        yield Staged(mends=mends)


@fault("disconnection-storm", "Clients read too slowly")
def clients_read_too_slowly(deployed: Deployment) -> Iterator[Staged]:
    session_id = str(uuid.uuid4())
    made = httpx.post(
        f"{deployed.api}/v1/sessions",
        content=live_config(1000).replace(b"{", f'{{"session_id": "{session_id}",'.encode(), 1),
        headers={**bearing(token()), "content-type": "application/json"},
    )
    assert made.status_code == 201, made.text

    def lose_one() -> None:
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", deployed.ports[0]))
            with opened(deployed, token(), session_id, sock=narrow, max_queue=1) as reader:
                for _ in range(45):
                    reader.send('{"type": "RECONNECT", "last_known_version": 0}')
                time.sleep(1)

    with storm(lose_one) as mends:
        yield Staged(mends=mends)
    deployed.remove([session_id])


def drained(watching: ClientConnection) -> None:
    """Reads until the service closes it."""
    with suppress(WebSocketException, TimeoutError):
        while True:
            watching.recv(timeout=10)


# Events wait for PostgreSQL


@fault("audit-backlog", "PostgreSQL is away")
def postgresql_is_away(deployed: Deployment) -> Iterator[Staged]:
    deployed.postgres.stop()
    deployed.sessions(3)
    yield Staged(["Connect call failed|onnection refused"], mends=deployed.postgres.start)


@fault("audit-backlog", "No worker runs")
def no_worker(deployed: Deployment) -> Iterator[Staged]:
    deployed.worker_stack.close()
    deployed.sessions(3)
    yield Staged([r"queue: [1-9]\d* batches"], mends=deployed.start_worker)


@fault("audit-backlog", "PostgreSQL takes no changes")
def read_only(deployed: Deployment) -> Iterator[Staged]:
    only_reads(deployed, "on")
    deployed.sessions(3)
    yield Staged(
        ["read-only transaction"],
        mends=lambda: only_reads(deployed, "off"),
    )


def only_reads(deployed: Deployment, how: str) -> None:
    name = deployed.database.rpartition("/")[2].partition("?")[0]

    async def alter() -> None:
        other = await asyncpg.connect(deployed.database.replace(f"/{name}", "/postgres", 1))
        await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {how}")
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await other.close()

    asyncio.run(alter())


@fault("audit-backlog", "A batch cannot be read")
def a_batch_that_nobody_reads(deployed: Deployment) -> Iterator[Staged]:
    jobs = Jobs(redis.Redis(port=deployed.redis.port))
    job = jobs.queue.enqueue_call(
        STORE, args=["bm8gYmF0Y2g="], timeout=30, failure_ttl=-1, description="7 events"
    )
    jobs.close()
    yield Staged([f"{job.id}: 7 events"], reads={"BATCH": r"(\S+): 7 events"})


# Redis is nearly full


@contextmanager
def bounded(deployed: Deployment) -> Iterator[Callable[[], None]]:
    """Less room than there was, as on a machine that was chosen too small.

    What is in use changes by itself, as buffers of connections go and batches are stored. The function that
    is given sets the bound anew.
    """
    with deployed.redis.sync_client() as client:

        def bound() -> None:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] / FULL))

        bound()
        try:
            yield bound
        finally:
            client.config_set("maxmemory", ROOM)


OWN_KEY = "sk:{00}:of-the-service"


@fault("full-memory", "Keys of another program")
def keys_of_others(deployed: Deployment) -> Iterator[Staged]:
    with deployed.redis.sync_client() as client, client.pipeline(transaction=False) as pipeline:
        for number in range(3000):
            pipeline.set(f"cache:page:{number}", "x" * 1000, ex=3600)
        # Names that are several, or none, to a shell that takes them as they are.
        for name in (f"cache:a {OWN_KEY}", f"cache:b\n{OWN_KEY}", "cache:\\'\"\x00\xff"):
            pipeline.set(name, 1)
        pipeline.set(OWN_KEY, 1)
        pipeline.execute()
    with bounded(deployed) as bound:
        yield Staged([r"keys of others \(cache:\*\)"], sets={"ROOM": str(ROOM), "PATTERN": "*"}, again=bound)
    with deployed.redis.sync_client() as client:
        assert not list(client.scan_iter("cache:*"))
        assert client.delete(OWN_KEY)


@fault("full-memory", "Events wait")
def events_in_outboxes(deployed: Deployment) -> Iterator[Staged]:
    with suspended(deployed.serve) as goes_on:
        deployed.sessions(500, over=True)
        with bounded(deployed) as bound:
            yield Staged(["The most have outboxes"], sets={"ROOM": str(ROOM)}, mends=goes_on, again=bound)


@fault("full-memory", "Too many sessions")
def too_many_sessions(deployed: Deployment) -> Iterator[Staged]:
    made = deployed.sessions(300)
    deployed.stored()
    with bounded(deployed) as bound:
        yield Staged(["The most have (logs of )?sessions"], sets={"ROOM": str(ROOM)}, again=bound)
    deployed.remove(made)


@contextmanager
def suspended(program: Program) -> Iterator[Callable[[], None]]:
    processes = program.processes()
    for process in processes:
        process.suspend()

    def goes_on() -> None:
        for process in processes:
            process.resume()

    try:
        yield goes_on
    finally:
        goes_on()


# Everything is gone


@fault("total-loss", "Wrong settings")
def wrong_settings(deployed: Deployment) -> Iterator[Staged]:
    wrong = {"METRICS_PORT": "9100/tcp"}
    assert run("serve", **{**deployed.settings, **wrong}).returncode != 0
    right = {"METRICS_PORT": deployed.settings["METRICS_PORT"]}
    yield Staged(["METRICS_PORT must be .* not '9100/tcp'"], environ=wrong, over=right)


@fault("total-loss", "Redis has not come back")
def not_back(deployed: Deployment) -> Iterator[Staged]:
    deployed.sessions(3)
    deployed.stored()
    deployed.redis.kill()
    yield Staged([f"nothing listens at 127.0.0.1:{deployed.redis.port}"], mends=deployed.redis.start)


@fault("total-loss", "Somebody deleted everything")
def deleted(deployed: Deployment) -> Iterator[Staged]:
    made = deployed.sessions(3)
    deployed.stored()
    with deployed.redis.sync_client() as client:
        client.flushall()
    yield Staged(["FLUSHALL 1 times"])
    assert all(state(deployed, session_id) == "running" for session_id in made)


@fault("total-loss", "Redis began empty")
def began_empty(deployed: Deployment) -> Iterator[Staged]:
    made = deployed.sessions(3)
    deployed.stored()
    deployed.redis.kill()
    deployed.redis.start()
    yield Staged([r"started +\d+ s ago, without appendonly"])
    assert all(state(deployed, session_id) == "running" for session_id in made)


def state(deployed: Deployment, session_id: str) -> str:
    reply = httpx.get(f"{deployed.api}/v1/sessions/{session_id}", headers=bearing(token()), timeout=30)
    return str(reply.json()["data"]["status"])


# A key or a token has leaked

THIEF = "127.0.0.66"


def used(deployed: Deployment, bearer: str, tenant: str) -> None:
    """Somebody at another address looks what can be had with it. That is refused, and on record."""
    transport = httpx.HTTPTransport(local_address=THIEF)
    with httpx.Client(transport=transport, base_url=deployed.api, timeout=30) as thief:
        assert thief.get("/v1/access-log", headers=bearing(bearer)).status_code == 403
    # The admin looks too, which writes what is on record.
    admin = bearing(token("admin", tenant=tenant))
    httpx.get(f"{deployed.api}/v1/access-log", headers=admin, timeout=30).raise_for_status()


@fault("leaked-key", "A token")
def token_leaked(deployed: Deployment) -> Iterator[Staged]:
    name = str(uuid.uuid4())
    leaked = token("player", sub="carl", tenant="tokens", jti=name, exp=time.time() + 3600)
    used(deployed, leaked, "tokens")
    yield Staged(
        [f"{THIEF} carl with {name} FORBIDDEN"],
        sets={"ADMIN_TOKEN": token("admin", tenant="tokens"), "LEAKED": leaked},
        reads={"TOKEN": rf"{THIEF} carl with (\S+)"},
        environ={"TENANT": "tokens"},
    )


@fault("leaked-key", "An API key")
def key_leaked(deployed: Deployment) -> Iterator[Staged]:
    made = run("keys", "create", "--tenant", "keys", "--role", "player", **deployed.settings)
    leaked = made.stdout.split()[-1]
    used(deployed, leaked, "keys")
    yield Staged(
        [rf"{THIEF} key:\S+ with key:\S+ FORBIDDEN"],
        sets={"LEAKED": leaked},
        reads={"KEY": rf"{THIEF} .* with key:(\S+)"},
        environ={"TENANT": "keys"},
    )


@fault("leaked-key", "A link")
def link_leaked(deployed: Deployment) -> Iterator[Staged]:
    (session_id,) = deployed.sessions(1, tenant="links")
    admin = token("admin", tenant="links")
    made = httpx.post(
        f"{deployed.api}/v1/sessions/{session_id}/links",
        json={"role": "viewer"},
        headers=bearing(admin),
        timeout=30,
    )
    leaked = made.json()["data"]["token"]
    used(deployed, leaked, "links")
    yield Staged(
        [rf"{THIEF} link:\S+ with link:\S+ FORBIDDEN"],
        sets={"ADMIN_TOKEN": admin, "LEAKED": leaked, "SESSION": session_id},
        reads={"LINK": rf"{THIEF} .* with link:(\S+)"},
        environ={"TENANT": "links"},
    )


# The tests


@pytest.mark.parametrize(("page", "cause"), FAULTS, ids=lambda text: text.replace(" ", "-"))
def test_the_page_names_the_cause_and_ends_it(
    page: str, cause: str, deployment: Deployment, tmp_path: Path
) -> None:
    book = Runbook(FOLDER / f"{page}.md")
    with FAULTS[page, cause](deployment) as staged:
        environ = {**deployment.environ, **staged.environ}
        if "REDIS_SENTINEL_HOSTS" in environ:  # it has nothing else of the deployment
            environ = staged.environ
        with Shell(tmp_path, environ) as shell:
            output = _told(book, cause, staged, shell)
            export(shell, staged.sets | staged.over)
            export(shell, {name: _found(each, output) for name, each in staged.reads.items()})
            staged.mends()
            book.mend(shell, cause)
            end = time.monotonic() + PATIENCE_S
            while not (seen := book.is_over(shell))[0]:
                assert time.monotonic() < end, f"it is not over:\n{seen[1]}"


def _told(book: Runbook, cause: str, staged: Staged, shell: Shell) -> str:
    """Waits until the page names the cause, and what was planted. Returns the output."""
    end = time.monotonic() + PATIENCE_S
    while True:
        staged.again()
        told, output = book.tell(shell)
        missing = [name for name in staged.names if not re.search(name, output)]
        if told == cause and not missing:
            return output
        assert time.monotonic() < end, f"{told} instead of {cause}, and without {missing}:\n{output}"


def _found(expression: str, output: str) -> str:
    match = re.search(expression, output)
    assert match is not None, f"nothing is like {expression} in\n{output}"
    return match[1]


def test_every_cause_is_planted_and_every_block_is_run() -> None:
    assert {(book.name, row.cause) for book in pages() for row in book.rows} == FAULTS.keys()
    for book in pages():
        blocks = [block.line for block in book.page.blocks if block.language == "sh"]
        assert sorted(block.line for block in book.blocks_run()) == blocks
    assert len({page for page, _ in FAULTS}) == len(pages())


def test_the_index_leads_each_alert_to_its_page() -> None:
    alerts = (ROOT / "deploy" / "prometheus" / "rules" / "alerts.yaml").read_text()
    index = (FOLDER / "README.md").read_text().splitlines()
    linked = re.findall(r"alert: (\w+).*?runbook_url: deploy/runbooks/([\w-]+\.md)", alerts, re.DOTALL)
    assert linked
    for name, file in linked:
        assert [line for line in index if f"`{name}`" in line and f"({file})" in line], name
