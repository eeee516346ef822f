"""The units of systemd, started as it starts them, with a socket in the place of its own.

There is no systemd to start them here. What is not run is the sandbox, but for the rule against memory that
is writable and executable.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synckairos.run.processes import free_port
from tests.support.programs import ENVIRON, ROOT, get
from tests.support.servers import Server

UNITS = ROOT / "deploy/systemd"
PATIENCE_S = 60.0
SECRET = "a secret that is only used in this test of units"

_PR_SET_MDWE = 65
_REFUSE_EXEC_GAIN = 1
_libc = ctypes.CDLL(None)


def settings(unit: str) -> dict[str, list[str]]:
    """The lines of a unit by their names."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", (UNITS / unit).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


class Started:
    """A unit that runs, and what it has told."""

    def __init__(self, process: subprocess.Popen[bytes], listening: socket.socket, log: Path) -> None:
        self.process = process
        self.told: list[str] = []
        self._listening = listening
        self._log = log

    def until(self, line: str) -> None:
        """Waits until it has told this line."""
        end = time.monotonic() + PATIENCE_S
        self._listening.settimeout(0.1)
        while line not in self.told:
            assert time.monotonic() < end, f"waited in vain for {line}:\n{self._log.read_text()}"
            try:
                self.told += self._listening.recv(4096).decode().split("\n")
            except TimeoutError:
                continue


@contextmanager
def started(unit: str, folder: Path, environ: dict[str, str], *, instance: str = "") -> Iterator[Started]:
    """Starts what ExecStart says, as systemd does: EnvironmentFile, UnsetEnvironment, limits, the sockets."""
    found = settings(unit)
    (command,) = found["ExecStart"]
    command = command.replace("%i", instance)
    command = command.replace("/opt/synckairos/bin/synckairos", f"{sys.executable} -P -m synckairos")
    unset = {name for line in found.get("UnsetEnvironment", []) for name in line.split()}
    given = {name: value for name, value in environ.items() if name not in unset}
    address = folder / "notify"

    def sandbox() -> None:
        if found["MemoryDenyWriteExecute"] == ["yes"]:
            _libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)  # an older kernel does not know it
        os.umask(int(found["UMask"][0], 8))

    watchdog_s = int(found.get("WatchdogSec", ["0"])[0])
    log = folder / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening, log.open("wb") as output:
        listening.bind(str(address))
        process = subprocess.Popen(
            shlex.split(command),
            env={
                **ENVIRON,
                **given,
                **({"NOTIFY_SOCKET": str(address)} if found["Type"] == ["notify"] else {}),
                **({"WATCHDOG_USEC": str(watchdog_s * 1_000_000)} if watchdog_s else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=sandbox,  # noqa: PLW1509 - it calls prctl and umask, and nothing else
        )
        try:
            yield Started(process, listening, log)
        finally:
            process.terminate()
            try:
                process.wait(float(found.get("TimeoutStopSec", ["20"])[0]))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_the_service_tells_that_it_is_ready_lives_and_ends(redis: Server, tmp_path: Path) -> None:
    port = free_port()
    environ = {"REDIS_URL": redis.url, "PORT": str(port), "AUTH_MODE": "jwt", "JWT_SECRET": SECRET}
    with started("synckairos.service", tmp_path, environ) as unit:
        unit.until("READY=1")
        assert get(f"http://127.0.0.1:{port}/health")[0] == 200
        assert f"STATUS=answers on 127.0.0.1, port {port}" in unit.told
        unit.until("WATCHDOG=1")
        unit.process.send_signal(signal.SIGTERM)
        unit.until("STOPPING=1")
        assert unit.process.wait(PATIENCE_S) == 0


@pytest.mark.one_kind
def test_tables_are_made_and_a_worker_stores(redis: Server, database: str, tmp_path: Path) -> None:
    (tmp_path / "migrate").mkdir()
    environ = {"REDIS_URL": redis.url, "DATABASE_URL": database, "JWT_SECRET": "too short"}
    with started("synckairos-migrate.service", tmp_path / "migrate", environ) as migrate:
        assert migrate.process.wait(PATIENCE_S) == 0, (tmp_path / "migrate/log").read_text()
    # METRICS_PORT of the instance wins over that of the service, which has the same file.
    environ["METRICS_PORT"] = "1"
    port = free_port()
    with started("synckairos-worker@.service", tmp_path, environ, instance=str(port)) as worker:
        worker.until("READY=1")
        assert get(f"http://127.0.0.1:{port}/metrics")[0] == 200
        worker.process.send_signal(signal.SIGTERM)
        worker.until("STOPPING=1")
        assert worker.process.wait(PATIENCE_S) == 0


def test_a_reload_is_the_signal_that_replaces_the_workers() -> None:
    """What the signal does is tested with the service itself."""
    (command,) = settings("synckairos.service")["ExecReload"]
    assert shlex.split(command) == ["/bin/kill", "-HUP", "$MAINPID"]
