"""Programs as children of this process: started, watched, started again, and gone when this process is gone.

Nothing here raises from a signal handler: a signal sets a flag, and every wait is short and looks at it, so a
stop in the middle of a start still ends everything that was started.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Self, TypeVar

import structlog

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")

WATCH_S = 0.1
"""How often children are looked at."""
HEALTHY_S = 10.0
"""A child that ran this long is started again at once when it ends."""
LONGEST_PAUSE_S = 5.0
"""The longest pause before a child that keeps ending is started again."""

BACKLOG = 1024
"""How many connections may wait until a worker accepts them."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Has the kernel end this process by that signal when `parent` ends.

    To be run in a child before its program starts. It also ends when only the thread that started it ends, so
    children are started by the main thread.

    Linux only; elsewhere a child outlives a parent that is killed outright.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before it could be watched
            os.kill(os.getpid(), number)


def _begin_child(parent: int, number: int) -> None:
    """Runs in a child before its program: signals end it, and the end of `parent` does too."""
    # Otherwise the parent's handler would swallow a signal that comes before the program runs.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    die_with_parent(parent, number)


def free_port() -> int:
    """A loopback TCP port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that refuses connections until a process listens on it. Raises OSError.

    The port is this process' alone: binding it a second time fails, although nothing listens yet. Before the
    socket listens, SO_REUSEADDR has to be set again.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Set during the bind: connections of an earlier process, which wait for their end, do not make the
        # port busy. Not set after it: another process that sets it cannot bind the same port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, to be handed to children. Raises OSError."""
    listener = bind(host, port)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def listens(bound: socket.socket) -> bool:
    """Whether a process listens on the socket: this one, or one that inherited it."""
    return bool(bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class Stopped(Exception):
    """This process was asked to end: what it was doing is given up."""


class Stop:
    """Whether this process was asked to end: by SIGINT or SIGTERM, while entered."""

    def __init__(self) -> None:
        self._asked = False
        self._pipe = (-1, -1)
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __bool__(self) -> bool:
        return self._asked

    def wait(self, seconds: float) -> bool:
        """Waits that many seconds, or until it was asked; whether it was."""
        # A threading.Event would not do: each wait holds its lock for a moment, and a signal handler that
        # runs in that moment would wait for the lock for ever.
        select.select([self._pipe[0]], [], [], seconds)
        return self._asked

    def check(self) -> None:
        """Raises Stopped if it was asked."""
        if self._asked:
            raise Stopped

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine. Raises Stopped, and cancels it, when it was asked before its end."""
        if self._asked:
            work.close()
            raise Stopped
        return asyncio.run(self._until_asked(work))

    async def _until_asked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait((task,), timeout=WATCH_S))[0]:
            if self._asked:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise Stopped
        return task.result()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if not self._asked:
            self._asked = True
            os.write(self._pipe[1], b"x")

    def __enter__(self) -> Self:
        self._pipe = os.pipe()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        for descriptor in self._pipe:
            os.close(descriptor)


class Hangup:
    """Whether this process was asked to read its settings anew: by SIGHUP, while entered.

    SIGHUP also comes when the terminal is closed in which the process was started. That is no wish for other
    settings, and the process ends by it, unless it was told beforehand to ignore the signal (by `nohup`).
    """

    def __init__(self) -> None:
        self._asked = False
        self._has_terminal = False
        self._before: Callable[[int, FrameType | None], object] | int | None = None

    def taken(self) -> bool:
        """Whether it was asked since the last call."""
        asked, self._asked = self._asked, False
        if asked and self._has_terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        return asked

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGHUP, self._ask)
        self._has_terminal = self._before != signal.SIG_IGN and _has_terminal()
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGHUP, self._before)


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Child:
    """One program that is to run. Its output goes to this process' standard error, unless `stdout` is given.

    It has a process group of its own, so that a Ctrl-C in a terminal reaches this process alone and the order
    of the end is this process' to choose.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
        ended: Callable[[int], None] | None = None,
        ended_by: int = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._ended_by = ended_by
        self.command = command
        self._environ = environ
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self.pass_fds = pass_fds
        """The program with its arguments, and the files that it inherits: what the next start uses."""
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._started = 0.0
        self._pause_s = 0.0
        self._again_at = 0.0

    def start(self) -> None:
        """Starts it."""
        self._started = time.monotonic()
        self._asked = False
        self._process = subprocess.Popen(
            self.command,
            env=self._environ,
            stdin=self._stdin,
            stdout=sys.stderr.fileno() if self._stdout is None else self._stdout,
            stderr=self._stderr,
            pass_fds=self.pass_fds,
            process_group=0,
            preexec_fn=partial(_begin_child, os.getpid(), self._ended_by),  # noqa: PLW1509 - this process has no other threads
        )

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The id of its process, while there is one."""
        return self._process.pid if self._process is not None else None

    def keep(self) -> None:
        """Starts it again if it has ended: at once when it ran for a while, else after a pause that grows."""
        if self._process is None:
            if time.monotonic() >= self._again_at:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        lasted = time.monotonic() - self._started
        self._pause_s = 0.0 if lasted >= HEALTHY_S else min(LONGEST_PAUSE_S, max(0.25, 2 * self._pause_s))
        self._again_at = time.monotonic() + self._pause_s
        log.error("a process ended by itself", name=self.name, exit=code, again_in_s=self._pause_s)
        self._forget()

    def _forget(self) -> None:
        assert self._process is not None
        pid, self._process = self._process.pid, None
        if self._ended is not None:
            self._ended(pid)

    def ask_to_end(self) -> None:
        """Sends the signal that ends it, if it runs; once, as a second one would cut its work off."""
        if self._process is not None and self._process.poll() is None and not self._asked:
            self._asked = True
            self._process.send_signal(self._ended_by)

    def signal(self, number: int) -> None:
        """Sends it a signal, if it runs."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def end(self, deadline: float) -> None:
        """Waits for its end until `deadline` (monotonic seconds), then kills what is left of its group."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a process did not end in time and is killed", name=self.name)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._forget()


def end_all(children: Sequence[Child], within_s: float) -> None:
    """Asks all of them to end at once, and kills those that have not within that time."""
    for child in children:
        child.ask_to_end()
    deadline = time.monotonic() + within_s
    for child in children:
        child.end(deadline)
