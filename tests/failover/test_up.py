"""`sentinel/up`: what it starts is what is shipped, and nothing of it stays."""

from __future__ import annotations

import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import redis

from synckairos.drill.deployment import Kind
from tests.failover.conftest import SHIPPED
from tests.support.programs import START_S, Program

EXPECTED = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": "2",
}
EXPECTED_OF_SENTINELS = {
    "quorum": "2",
    "down-after-milliseconds": "5000",
    "failover-timeout": "10000",
    "parallel-syncs": "1",
}


def six_ports() -> int:
    """The first of six free ports in a row, below those that the system gives out by itself."""
    for port in range(20_000, 30_000, 6):
        with ExitStack() as stack:
            try:
                for each in range(port, port + 6):
                    stack.enter_context(socket.create_server(("127.0.0.1", each)))
            except OSError:
                continue
            return port
    raise AssertionError("no six ports in a row are free")


def test_it_comes_up_as_shipped_and_leaves_nothing(kind: Kind, tmp_path: Path) -> None:
    arguments = ["--redis"] if kind == "redis" else []
    with Program(*arguments, command=[str(SHIPPED / "up")], TMPDIR=str(tmp_path)) as up:
        up.until(lambda: len(up.lines) == 2 or up.process.poll() is not None, "the two settings", START_S)
        assert up.process.poll() is None, "".join(up.errors)
        found = dict(line.strip().split("=") for line in up.lines)
        assert list(found) == ["REDIS_SENTINEL_HOSTS", "REDIS_SENTINEL_NAME"]
        for host in found["REDIS_SENTINEL_HOSTS"].split(","):
            with redis.Redis(port=int(host.rpartition(":")[2]), protocol=2) as sentinel:
                known = sentinel.sentinel_master(found["REDIS_SENTINEL_NAME"])
                assert {name: str(known[name]) for name in EXPECTED_OF_SENTINELS} == EXPECTED_OF_SENTINELS
                assert (known["num-slaves"], known["num-other-sentinels"]) == (2, 2)
        with redis.Redis(port=known["port"], protocol=2) as primary:
            assert {name: primary.config_get(name)[name] for name in EXPECTED} == EXPECTED
            assert set(primary.config_get()["notify-keyspace-events"]) == set("Egxe")
        assert up.end(signal.SIGINT) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    port = six_ports()
    with Program("--port", str(port), command=[str(SHIPPED / "up")], TMPDIR=str(tmp_path)) as first:
        first.until(lambda: len(first.lines) == 2, "the two settings", START_S)
        assert first.lines[0].strip().endswith(f":{port + 3},127.0.0.1:{port + 4},127.0.0.1:{port + 5}")
        second = subprocess.run(
            [SHIPPED / "up", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert second.returncode == 1
        assert "redis-1 does not start" in second.stderr
        assert first.end(signal.SIGTERM) == 0
