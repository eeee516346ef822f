"""The servers of Redis as `deploy/` configures them: one alone, and those of compose with Sentinel.

There is no Docker to start the latter: their scripts are run here, each with an address of its own on this
machine in place of the name that Docker gives it.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import redis
import yaml

from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.launching import launch
from tests.support.programs import ROOT, Program
from tests.support.servers import Kind, Server

DEPLOY = ROOT / "deploy"
PATIENCE_S = 60.0
PASSWORD = "a-password-of-the-tests"
CONFIG = {
    "sync_mode": "per_cycle",
    "time_per_cycle_ms": 60_000,
    "participants": [{"participant_id": "00000000-0000-4000-8000-000000000001"}],
}


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError, httpx.HTTPError):
            pass
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.mark.parametrize("kind", servers.available())
def test_a_server_alone_keeps_sessions_and_says_what_the_service_needs(kind: Kind, tmp_path: Path) -> None:
    port = free_port()
    text = (DEPLOY / "redis/redis.conf").read_text()
    file = tmp_path / "redis.conf"
    file.write_text(re.sub("^port .*$", f"port {port}", text, flags=re.MULTILINE))
    server = Server(kind, port=port, folder=tmp_path, arguments=[str(file), "--dir", str(tmp_path)])
    with ExitStack() as stack:
        stack.callback(server.close)
        server.start()
        web = free_port()
        with (
            Program("serve", PORT=str(web), REDIS_URL=server.url) as program,
            httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30) as client,
        ):
            program.until(lambda: "listening" in "".join(program.errors), "the service")
            checks = client.get("/ready").json()["checks"]
            assert {name: checks[name]["status"] for name in ("redis", "library", "keyspace_events")} == {
                "redis": "ok",
                "library": "ok",
                "keyspace_events": "ok",
            }
            path = f"/v1/sessions/{client.post('/v1/sessions', json=CONFIG).json()['data']['session_id']}"
            assert client.post(f"{path}/start").status_code == 200
            time.sleep(1.5)  # the file is written to the disk once a second
            server.kill()
            server.start()
            until(lambda: client.get(path).status_code == 200, "the session after a crash of the server")


@contextmanager
def compose(folder: Path, file: str = "compose.sentinel.yaml") -> Iterator[dict[str, Any]]:
    """The servers and Sentinels of compose: each service's address, and a function that starts it."""
    services = yaml.safe_load((DEPLOY / "docker" / file).read_text())["services"]
    names = [name for name in services if name.startswith(("redis", "sentinel-"))]
    net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    addresses = {name: f"{net}.{number}" for number, name in enumerate(names, 1)}
    programs = folder / "bin"
    programs.mkdir()
    for name in ("valkey-server", "valkey-sentinel"):
        (programs / name).symlink_to(servers.binary("valkey"))
    running: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        service, data = services[name], folder / name
        data.mkdir(exist_ok=True)
        (source,) = [volume for volume in service["volumes"] if volume.startswith("..")]
        shipped, inside, _ = source.split(":")
        shell, option, script = service["command"]
        script = script.replace("$$", "$").replace(inside, str((DEPLOY / "docker" / shipped).resolve()))
        script = script.replace("/data", str(data)).replace("0.0.0.0", addresses[name])
        script = script.replace('"$NAME" != redis-1', f'"$NAME" != {addresses[names[0]]}')
        script = re.sub(r"redis-1 6379", f"{addresses[names[0]]} 6379", script)
        environ = {"PATH": f"{programs}:{os.environ['PATH']}", "REDIS_PASSWORD": PASSWORD}
        command = ["env", "-i", *(f"{key}={value}" for key, value in environ.items())]
        running[name] = launch(
            [*command, f"NAME={addresses[name]}", shell, option, script], folder / f"{name}.log"
        )

    try:
        yield {"addresses": addresses, "start": start, "running": running}
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def knows_all(sentinel: redis.Redis) -> bool:
    known: Any = sentinel.sentinel_master("synckairos")
    return (known["num-slaves"], known["num-other-sentinels"]) == (2, 2)


def primary(sentinel: redis.Redis) -> str:
    host, _ = cast(tuple[str, int], sentinel.sentinel_get_master_addr_by_name("synckairos"))
    return host


def test_the_server_of_compose_wants_its_password_and_shows_it_to_nobody(tmp_path: Path) -> None:
    with compose(tmp_path, "compose.yaml") as it:
        it["start"]("redis")
        host = it["addresses"]["redis"]
        with redis.Redis(host, 6379, password=PASSWORD, socket_timeout=2) as client:
            until(client.ping, "the server")
            assert client.config_get("maxmemory") != {"maxmemory": "0"}, "the file is in force, too"
        with redis.Redis(host, 6379, socket_timeout=2) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        running = it["running"]["redis"]
        arguments = Path(f"/proc/{running.pid}/cmdline").read_text()
        assert "valkey-server" in arguments, "it takes the place of the shell, so that signals reach it"
        assert PASSWORD not in arguments


def test_servers_and_sentinels_of_compose_fail_over_and_come_back(tmp_path: Path) -> None:
    with compose(tmp_path) as it, ExitStack() as stack:
        addresses = it["addresses"]

        def at(name: str) -> redis.Redis:
            port = 26379 if name.startswith("sentinel") else 6379
            client = redis.Redis(addresses[name], port, password=PASSWORD, socket_timeout=2)
            stack.callback(client.close)
            return client

        clients = {name: at(name) for name in addresses}
        for name in addresses:
            it["start"](name)
        until(lambda: clients["redis-1"].info("replication")["connected_slaves"] == 2, "the replicas")
        sentinels = [name for name in addresses if name.startswith("sentinel")]
        for name in sentinels:
            until(lambda name=name: knows_all(clients[name]), f"{name} to know all")  # type: ignore[misc]
        web = free_port()
        program = stack.enter_context(
            Program(
                "serve",
                PORT=str(web),
                REDIS_URL=f"redis://:{PASSWORD}@redis-1:6379/0",
                REDIS_SENTINEL_HOSTS=",".join(f"{addresses[name]}:26379" for name in sentinels),
                REDIS_SENTINEL_NAME="synckairos",
                REDIS_SENTINEL_PASSWORD=PASSWORD,
                DURABILITY="replicated",
                RATE_LIMIT_ENABLED="false",
            )
        )
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30))
        program.until(lambda: "listening" in "".join(program.errors), "the service")
        keys = (f"test-{number}" for number in itertools.count())

        def changed() -> bool:
            reply = client.post("/v1/sessions", json=CONFIG, headers={"Idempotency-Key": next(keys)})
            return reply.status_code == 201

        until(changed, "a session")
        it["running"]["redis-1"].send_signal(signal.SIGKILL)
        it["running"]["redis-1"].wait()
        until(
            lambda: primary(clients[sentinels[0]]) != addresses["redis-1"],
            "another primary",
        )
        until(changed, "a session at the other one")
        it["start"]("redis-1")
        until(lambda: clients["redis-1"].info("replication")["role"] == "slave", "redis-1 as a replica")
        assert program.end() == 0
