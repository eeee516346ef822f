"""The worker processes of a service: all on one socket, watched, and replaced one after the other.

A replacement reads the settings anew. It answers requests before the worker whose place it takes stops to
accept any, so the socket is never without somebody. A replacement that does not get ready is given up, and
the workers that are there stay.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from synckairos import metrics
from synckairos.config import Settings
from synckairos.run.processes import Child, end_all

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

END_S = 2
"""How long a worker may take to end after the time that its requests and sockets have.

Then the parent kills it, or, where the parent is gone, it ends itself."""
READY_S = 30.0
"""How long a replacement may take until it is ready. It waits for Redis, too."""
REPLACED = signal.SIGUSR1
"""Tells a worker that another one has taken its place."""


class Workers:
    """The workers, numbered from 1. They read their settings themselves, from `environ` and `file`.

    drain_s: how long requests and sockets of a worker that ends have
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        environ: Mapping[str, str],
        file: Path | None,
        drain_s: int,
    ) -> None:
        self._listener = listener
        self._environ = environ
        self._file = file
        self._drain_s = drain_s
        metrics.prepare(settings.workers)
        self._count = settings.workers
        self._children = {number: self._child(number) for number in range(1, settings.workers + 1)}
        self._to_replace: list[int] = []
        self._replacement: _Replacement | None = None
        self.outcome = ""
        """What came of the last replacement, in words; nothing while it is under way."""
        self._leaving: dict[Child, float] = {}
        """Workers that were replaced, and when (monotonic seconds) each is killed if it is still there."""

    def start(self) -> None:
        """Start all of them."""
        for child in self._children.values():
            child.start()

    @property
    def running(self) -> bool:
        """Whether all of them run."""
        return all(child.running for child in self._children.values())

    @property
    def replacing(self) -> bool:
        """Whether a replacement of all workers is under way."""
        return bool(self._to_replace or self._replacement or self._leaving)

    @property
    def children(self) -> list[Child]:
        """Those that are there now, in the order of their numbers."""
        return list(self._children.values())

    def replace(self, settings: Settings) -> None:
        """Begin to replace all workers, of which `keep` does the rest. One that is under way begins again.

        settings: what the new ones will read
        """
        metrics.prepare(settings.workers)
        self._count = settings.workers
        self._to_replace = list(range(1, settings.workers + 1))
        self.outcome = ""
        self._drop_replacement()
        log.info("replacing the workers", workers=settings.workers)

    def keep(self) -> None:
        """Start workers again that have ended by themselves, and go on with a replacement. Never waits."""
        for child in self._children.values():
            child.keep()
        was_replacing = self.replacing
        for child, until in list(self._leaving.items()):
            if not child.running or time.monotonic() > until:
                child.end(0.0)
                del self._leaving[child]
        if not self._leaving:  # so that at most one of them is away
            self._go_on()
        if was_replacing and not self.replacing and not self.outcome:
            self.outcome = "the workers were replaced"
            log.info(self.outcome, workers=len(self._children))

    def end(self) -> None:
        """Ask all of them to end, and wait for it. Once none accepts any more, connections are refused."""
        self._listener.close()  # otherwise they would wait here, and be reset at the end
        replacement = [] if self._replacement is None else [self._replacement.child]
        end_all([*self._children.values(), *self._leaving, *replacement], self._drain_s + END_S)
        if self._replacement is not None:
            self._replacement.close()
        metrics.cleanup()

    def _go_on(self) -> None:
        replacement = self._replacement
        if replacement is None:
            if self._to_replace:
                self._begin(self._to_replace[0])
        elif replacement.is_ready():
            self._take_over(replacement)
        elif not replacement.child.running:
            self._give_up("it has ended; what it said about that is above")
        elif time.monotonic() > replacement.until:
            self._give_up(f"it is not ready after {READY_S:g} s; its /ready would say why")

    def _begin(self, number: int) -> None:
        replacement = _Replacement(number, self._child(number))
        replacement.child.command = [*replacement.child.command, "--ready", str(replacement.writes)]
        replacement.child.pass_fds = [*replacement.child.pass_fds, replacement.writes]
        self._replacement = replacement
        replacement.child.start()

    def _take_over(self, replacement: _Replacement) -> None:
        """Put a replacement that is ready in its place, and have the one before it leave."""
        # If it is started again, it is not to wait until it is ready, as nobody else may be there then.
        fresh = self._child(replacement.number)
        replacement.child.command, replacement.child.pass_fds = fresh.command, fresh.pass_fds
        replacement.close()
        self._replacement = None
        self._to_replace.remove(replacement.number)
        before = self._children.get(replacement.number)
        self._children[replacement.number] = replacement.child
        if before is not None:
            self._have_leave(before)
        if not self._to_replace:
            for number in [number for number in self._children if number > self._count]:
                self._have_leave(self._children.pop(number))

    def _have_leave(self, child: Child) -> None:
        child.signal(REPLACED)
        self._leaving[child] = time.monotonic() + self._drain_s + END_S

    def _give_up(self, reason: str) -> None:
        replaced = self._count - len(self._to_replace)
        self._to_replace = []
        self._drop_replacement()
        self.outcome = "a new worker does not get ready: the workers that are there go on as they are"
        log.error(
            self.outcome,
            reason=reason,
            replaced=replaced,
            workers=len(self._children),
        )

    def _drop_replacement(self) -> None:
        if self._replacement is not None:
            self._replacement.child.end(0.0)
            self._replacement.close()
            self._replacement = None

    def _child(self, number: int) -> Child:
        command = [sys.executable, "-P", "-m", "synckairos", "http-worker", str(self._listener.fileno())]
        command += ["--drain", str(self._drain_s), "--worker", str(number)]
        if self._file is not None:
            command += ["--config", str(self._file)]
        shared = {name: os.environ[name] for name in os.environ if name.startswith("PROMETHEUS_")}
        return Child(
            f"worker {number}",
            command,
            environ={**self._environ, **shared},
            pass_fds=[self._listener.fileno()],
            ended=metrics.process_ended,
        )


class _Replacement:
    """A worker that is to take a place, and the pipe into which it writes when it is ready."""

    def __init__(self, number: int, child: Child) -> None:
        self.number = number
        self.child = child
        self.until = time.monotonic() + READY_S
        self._reads, self.writes = os.pipe()

    def is_ready(self) -> bool:
        """Whether it answers requests."""
        return bool(select.select([self._reads], [], [], 0)[0])

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._reads)
        os.close(self.writes)
