"""The command `synckairos` as a process, for tests: its output, its exit code, the processes it starts.

`run_pytest` does so for pytest, on tests of which some have to fail.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import psutil

from tests.support import canaries

START_S = 60.0
END_S = 10.0
"""How long the command may take to end after a signal."""

COMMAND = [sys.executable, "-P", "-m", "synckairos"]
ROOT = Path(__file__).parents[2]
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
"""The environment of the command. Other variables of this machine are left out."""


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself. It may not say a secret, but for its results."""
    return run_within(START_S, *arguments, **environ)


def run_within(seconds: float, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that may take so long."""
    canaries.hide_those_of(environ)
    ended = subprocess.run(
        [*COMMAND, *arguments],
        env={**ENVIRON, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    canaries.search([ended.stderr])
    return ended


def run_pytest(file: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the tests of a file, also of one that is not collected. The output names each with its outcome."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", file],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300", **environ},  # 300, so that no name is cut off
        capture_output=True,
        text=True,
        check=False,
    )


class Program:
    """A command that runs until it gets a signal. Its processes are known by their session."""

    def __init__(self, *arguments: str, command: Sequence[str] = COMMAND, **environ: str) -> None:
        self.database_url = ""
        """From its READY line."""
        canaries.hide_those_of(environ)
        self._known: set[psutil.Process] = set()
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [*command, *arguments],
            env={**ENVIRON, **environ},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], lines: list[str]) -> None:
        with stream:
            lines.extend(stream)

    def until(self, condition: Callable[[], bool], what: str, within_s: float = START_S) -> None:
        """Waits for a condition. If it does not come true, fails with `what` and the program's errors."""
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}:\n{''.join(self.errors)}"
            time.sleep(0.02)

    def ready(self) -> tuple[str, str]:
        """Waits for its READY line. Returns the HTTP and the Redis URL of it."""
        self.until(lambda: bool(self.lines) or self.process.poll() is not None, "the READY line")
        assert self.lines, "".join(self.errors)
        word, http_url, redis_url, self.database_url = self.lines[0].split()
        assert word == "READY"
        canaries.hide_those_of({"REDIS_URL": redis_url, "DATABASE_URL": self.database_url})
        return http_url, redis_url

    def processes(self) -> list[psutil.Process]:
        """All its processes that are alive, including itself.

        Those of PostgreSQL have sessions of their own. They are found by their parents and remembered.
        """
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.process.pid:
                    self._known |= {process, *process.children(recursive=True)}
        return [process for process in self._known if _is_alive(process)]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return [process for process in self.processes() if "http-worker" in _command_line(process)]

    def databases(self) -> list[psutil.Process]:
        """The main processes of PostgreSQL.

        A process that one has just begun looks like it until it has a name of its own.
        """
        found = {
            process.pid: process
            for process in self.processes()
            if "/postgres" in "".join(_command_line(process)[:1]) and "-D" in _command_line(process)
        }
        return [process for process in found.values() if _parent(process) not in found]

    def audit_workers(self) -> list[psutil.Process]:
        """The processes that store events."""
        return [process for process in self.processes() if "worker" in _command_line(process)]

    def valkeys(self) -> list[psutil.Process]:
        """The processes of Valkey."""
        return [
            process for process in self.processes() if "valkey-server" in "".join(_command_line(process)[:1])
        ]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code. It and its processes have to end in time."""
        self.processes()
        self.process.send_signal(number)
        code = self.process.wait(END_S)
        self.gone()
        for reader in self._readers:
            reader.join(END_S)
        return code

    def gone(self, within_s: float = END_S) -> None:
        """Waits until none of its processes is left."""
        self.until(lambda: not self.processes(), "the end of all processes", within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()  # so that it can remove its files
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # it has just ended
                process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(END_S)
        canaries.search(self.errors)


def _parent(process: psutil.Process) -> int | None:
    """The id of its parent; None when it is gone."""
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _command_line(process: psutil.Process) -> list[str]:
    """A process' command line; empty when it has just ended."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    with urllib.request.urlopen(url, timeout=5) as reply:
        return reply.status, reply.read()
