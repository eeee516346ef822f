"""Real servers for tests: Valkey, Redis 7.0, replicas and clusters of either, each on a free port in its own
folder.

    with start("redis") as server: ...
    with start_cluster("valkey") as cluster: ...

A server that is not stopped dies with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import redis
import redis.asyncio

from synckairos.drill.deployment import program
from synckairos.run.processes import free_port
from tests.support.launching import launch
from tests.support.leaks import take_leaks

Kind = Literal["valkey", "redis"]

START_S = 10.0
"""How long a server may take until it answers, or a cluster until it is complete."""
SLOTS = 16384

RUNNING: list[Server] = []
"""Those that were started and not closed."""
LEAKED: list[str] = []
"""Keys that would have stayed for ever on servers that are closed by now, until `leaks` reports them."""


def available() -> list[Kind]:
    """The kinds of servers that this machine has: always Valkey, and Redis if `redis-server` is installed.

    In CI all tests have to run, so a missing server is an error there. `SERVERS=valkey` chooses one kind, for
    a quick run (`make check`).
    """
    chosen = os.environ.get("SERVERS")
    if chosen:
        return [kind for kind in ("valkey", "redis") if kind in chosen.split(",")]
    if shutil.which("redis-server"):
        return ["valkey", "redis"]
    if os.environ.get("CI") == "true":
        raise FileNotFoundError("redis-server is not installed, and in CI all tests have to run")
    return ["valkey"]


def binary(kind: Kind) -> str:
    """The program of a kind."""
    return program(kind)


@dataclass(eq=False)
class Server:
    """One server process. Its port and its files stay the same over restarts."""

    kind: Kind
    options: dict[str, str] = field(default_factory=dict)
    port: int = 0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="synckairos-test-")))
    process: subprocess.Popen[bytes] | None = None
    arguments: list[str] | None = None
    """Command line arguments to use instead of the options."""
    paused: bool = False
    access: dict[str, Any] = field(default_factory=dict)
    """What clients need besides host and port: user, password, TLS."""
    leak_clients: dict[int, redis.Redis] = field(default_factory=dict)
    """By database, clients that look for leaks. They stay connected, as they are used after every test."""

    @property
    def url(self) -> str:
        """Where it is, as in `REDIS_URL`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts it and waits until it answers. If the port was taken meanwhile, another one is tried."""
        for _ in range(5):
            port = self.port or free_port()
            self._spawn(port)
            if self._answers(port):
                self.port = port
                if self not in RUNNING:
                    RUNNING.append(self)
                return
            self.kill()
        raise RuntimeError(f"{self.kind} does not start:\n{self.log()}")

    def _spawn(self, port: int) -> None:
        options = {
            **({"port": "0", "tls-port": str(port)} if "ssl" in self.access else {"port": str(port)}),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "notify-keyspace-events": "Kgxe$E",
            "repl-diskless-sync-delay": "0",
            "enable-debug-command": "yes",
            **self.options,
        }
        arguments = self.arguments or [
            part for name, value in options.items() for part in (f"--{name}", value)
        ]
        self.process = launch([binary(self.kind), *arguments], self.folder / "log")

    def _answers(self, port: int) -> bool:
        assert self.process is not None
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with redis.Redis(port=port, socket_timeout=1, **self.access) as client:
                    # Another server may have taken the port, so the process id has to be that of this server.
                    if client.info("server")["process_id"] == self.process.pid:
                        return True
            except redis.RedisError:
                time.sleep(0.02)
        return False

    def log(self) -> str:
        """The server's log."""
        return (self.folder / "log").read_text(errors="replace")

    def client(self) -> redis.asyncio.Redis:
        """A client for assertions. The caller closes it."""
        return redis.asyncio.Redis(port=self.port, protocol=2, **self.access)

    def sync_client(self) -> redis.Redis:
        """A synchronous client. The caller closes it."""
        return redis.Redis(port=self.port, protocol=2, **self.access)

    def stop(self) -> None:
        """Stops it in the regular way."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """Kills it without warning, like a power cut."""
        self._end(subprocess.Popen.kill)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self.process is not None:
            self.paused = False
            how(self.process)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Suspends it until `resume`. Its connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Lets a suspended server continue."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def restart(self) -> None:
        """Stops it and starts it again, with the same port and folder."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends it and removes its folder."""
        LEAKED.extend(self.leaks())
        if self in RUNNING:
            RUNNING.remove(self)
        for client in self.leak_clients.values():
            client.close()
        self.leak_clients.clear()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def leaks(self) -> list[str]:
        """Deletes the keys that would stay for ever, and returns their names.

        A server that is down or suspended, or that asks for a password, is not checked.
        """
        if self.process is None or self.process.poll() is not None or self.paused:
            return []
        found: list[str] = []
        try:
            for name, counts in self._leak_client(0).info("keyspace").items():
                if counts["keys"] > counts["expires"]:
                    found += take_leaks(self._leak_client(int(name.removeprefix("db"))))
        except redis.RedisError:
            pass
        return found

    def _leak_client(self, database: int) -> redis.Redis:
        if database not in self.leak_clients:
            self.leak_clients[database] = redis.Redis(
                port=self.port, db=database, protocol=2, socket_timeout=5, **self.access
            )
        return self.leak_clients[database]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(kind: Kind, access: Mapping[str, Any] | None = None, /, **config: str) -> Server:
    """Starts a server. `config` has its options, with `_` for `-`: `start("redis", appendonly="yes")`.

    access: see `Server`
    """
    server = Server(kind, {name.replace("_", "-"): value for name, value in config.items()})
    server.access.update(access or {})
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def start_replica(of: Server, **config: str) -> Server:
    """Starts a replica and waits until it has all data. Clients reach it as they reach the primary."""
    replica = start(of.kind, of.access, replicaof=f"127.0.0.1 {of.port}", **config)
    with replica.sync_client() as client, of.sync_client() as primary:
        wait_for(
            lambda: client.info("replication")["master_link_status"] == "up", "the replica to be in step"
        )

        # A new replica may take up to a second until it first reports its position, which WAIT needs.
        def confirmed() -> bool:
            primary.set("probe", 1)
            primary.delete("probe")
            return bool(primary.wait(1, 100))

        wait_for(confirmed, "the replica to confirm its data")
    return replica


def start_sentinel(
    primary: Server, name: str, access: Mapping[str, Any] | None = None, lines: Sequence[str] = ()
) -> Server:
    """Starts a Sentinel that watches `primary` under `name`. It decides alone.

    access: see `Server`
    lines: further ones of its configuration
    """
    sentinel = Server(primary.kind, port=free_port())
    sentinel.access.update(access or {})
    port = "port 0\ntls-port" if "ssl" in sentinel.access else "port"
    (sentinel.folder / "sentinel.conf").write_text(
        f"{port} {sentinel.port}\nbind 127.0.0.1\ndir {sentinel.folder}\n"
        f"sentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
        f"sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n"
        + "".join(f"{line}\n" for line in lines)
    )
    sentinel.arguments = [str(sentinel.folder / "sentinel.conf"), "--sentinel"]
    try:
        sentinel.start()
        with sentinel.sync_client() as client:  # ms: it looks ten times a second, instead of every 2 to 10 s
            client.execute_command("SENTINEL DEBUG", "INFO-PERIOD", 100, "PUBLISH-PERIOD", 100)
    except BaseException:
        sentinel.close()
        raise
    return sentinel


@dataclass
class Cluster:
    """A cluster of three primaries, with or without three replicas."""

    primaries: list[Server]
    replicas: list[Server] = field(default_factory=list)

    @property
    def nodes(self) -> str:
        """Where it is, as in `REDIS_CLUSTER_NODES`."""
        return ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)

    def close(self) -> None:
        """Ends all servers."""
        for server in self.primaries + self.replicas:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_cluster(
    kind: Kind, *, replicas: bool = False, access: Mapping[str, Any] | None = None, **config: str
) -> Cluster:
    """Starts a cluster and waits until every node serves and knows all slots. access: see `Server`"""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": "1000", "cluster_port": "0", **config}
    cluster = Cluster([])
    try:
        for _ in range(3):
            cluster.primaries.append(_start_node(kind, access, options))
        if replicas:
            for _ in range(3):
                cluster.replicas.append(_start_node(kind, access, options))
        _join(cluster)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _start_node(kind: Kind, access: Mapping[str, Any] | None, options: dict[str, str]) -> Server:
    # The bus port is chosen too, because the default, 10,000 above the port, may be too high or taken.
    return start(kind, access, **{**options, "cluster_port": str(free_port())})


def _join(cluster: Cluster) -> None:
    """Gives out the slots, introduces the nodes to one another and waits for agreement."""
    servers = cluster.primaries + cluster.replicas
    clients = [server.sync_client() for server in servers]
    try:
        count = len(cluster.primaries)
        for position, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", position + 1)
            if position < count:
                first, last = position * SLOTS // count, (position + 1) * SLOTS // count - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for client in clients:
            for server in servers:
                bus = server.options["cluster-port"]
                client.execute_command("CLUSTER MEET", "127.0.0.1", server.port, bus)
        for client in clients:
            wait_for(partial(_knows, client, len(servers)), "the nodes to know one another")
        for client, primary in zip(clients[count:], clients, strict=False):
            client.execute_command("CLUSTER REPLICATE", primary.execute_command("CLUSTER MYID"))
        for client in clients:
            wait_for(partial(_complete, client, len(cluster.replicas)), "the cluster to be complete")
    finally:
        for client in clients:
            client.close()


def _knows(client: redis.Redis, count: int) -> bool:
    info = client.execute_command("CLUSTER INFO")
    return int(info["cluster_known_nodes"]) == count and info["cluster_state"] == "ok"


def _complete(client: redis.Redis, replicas: int) -> bool:
    slots = client.execute_command("CLUSTER SLOTS")
    return len(slots) == 3 and sum(len(nodes) - 3 for nodes in slots) == replicas


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition. Raises TimeoutError, with `what` was waited for, when it takes too long."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"waited in vain for {what}")


def version(kind: Kind) -> str:
    """The version of the program, as in "9.1.2"."""
    said = subprocess.run([binary(kind), "--version"], capture_output=True, text=True, check=True).stdout
    return next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))


def leaks() -> list[str]:
    """Deletes the keys that would stay for ever on running servers. Returns their names, and those of keys
    that were found on servers which are closed by now.
    """
    found = LEAKED + [leak for server in RUNNING for leak in server.leaks()]
    LEAKED.clear()
    return found
