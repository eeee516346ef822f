"""Switches and reads on a schedule that does not wait for answers.

Each kind of request has moments that were planned before, at random, as many independent players make them
(exponential gaps). A request is sent at its planned moment, or later when no connection is free, and its
latency counts from the planned moment. So a service that stands still for a second makes all requests of that
second late, and not only those that it was answering. (Load that waits for answers sends nothing meanwhile,
and counts one slow request. This is known as coordinated omission.)

How late the sender itself was is measured apart: from the moment when a request was due and a connection was
free until it was sent. That delay is part of the latency, and the report states it.
"""

from __future__ import annotations

import heapq
import random
import re
import resource
import selectors
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from time import perf_counter
from typing import NamedTuple

from synckairos.bench import load
from synckairos.bench.loadtest.samples import Samples

CONNECTIONS = 64
"""Of each process. More requests than this wait for a connection, which their latency includes."""
PATIENCE_S = 10.0
"""A request that has no answer so long after its planned moment has failed (TIMEOUT)."""
TIMEOUT, CLOSED = "TIMEOUT", "CLOSED"
_CODE = re.compile(rb'"code": ?"([A-Z_]+)"')
_LOOK_S = 0.25
"""How often it is looked for requests without an answer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request.

    rate: how many a second, on average
    requests: sent in turns
    """

    name: str
    rate: float
    requests: Sequence[bytes]


class Failure(NamedTuple):
    """A request that did not succeed.

    at: when it was due
    code: of the error; the status where there is none; TIMEOUT; CLOSED when the service ended the connection
    status: of the answer; 0 without one
    """

    at: float
    kind: str
    code: str
    status: int

    @property
    def unavailable(self) -> bool:
        """Whether the service failed, and did not refuse."""
        return self.status == 0 or self.status >= 500


@dataclass(slots=True)
class Outcome:
    """What one process sent.

    latencies: by kind: when requests were due, and how long they took (seconds), of those that succeeded; and
        of those without an answer how long it was waited for
    failures: the requests that did not succeed, those without an answer too
    own_delays: when a request was due, and how late it was sent because this process was late (seconds)
    cpu_s: processor time that the process used
    """

    latencies: dict[str, Samples] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    own_delays: Samples = field(default_factory=Samples)
    cpu_s: float = 0.0

    def window(self, start: float, end: float) -> Outcome:
        """What was due between these two moments. Its moments count from `start`."""
        return Outcome(
            {name: samples.window(start, end) for name, samples in self.latencies.items()},
            [each._replace(at=each.at - start) for each in self.failures if start <= each.at < end],
            self.own_delays.window(start, end),
            self.cpu_s,
        )

    def add(self, other: Outcome) -> None:
        """What another process sent, too."""
        for name, samples in other.latencies.items():
            self.latencies.setdefault(name, Samples()).extend(samples)
        self.failures += other.failures
        self.own_delays.extend(other.own_delays)
        self.cpu_s += other.cpu_s


class _Caller:
    """One connection, and the request that it carries.

    due, kind: of the request; no kind without one
    free_since: when it was answered the last time
    """

    __slots__ = ("data", "due", "free_since", "kind", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.data = b""
        self.kind: str | None = None
        self.due = 0.0
        self.free_since = 0.0


def send(pipe: Connection, port: int, kinds: Sequence[Kind], seconds: float, seed: int) -> Outcome:
    """Sends requests for a time that begins with the moment (`perf_counter`) that comes over `pipe`."""
    sender = _Sender(port, kinds, seed)
    pipe.send("ready")
    began: float = pipe.recv()
    used = _cpu_s()
    sender.run(began, seconds)
    sender.outcome.cpu_s = _cpu_s() - used
    return sender.outcome


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class _Sender:
    """The loop of one process. Its moments are seconds since the load began."""

    def __init__(self, port: int, kinds: Sequence[Kind], seed: int) -> None:
        self._port = port
        self._kinds = [kind for kind in kinds if kind.rate > 0 and kind.requests]
        self._random = random.Random(seed)
        # epoll waits for whole milliseconds, which would make requests late by half of one on average.
        self._selector = selectors.SelectSelector()
        self._free: deque[_Caller] = deque()
        self._busy: set[_Caller] = set()
        self._began = 0.0
        self.outcome = Outcome(latencies={kind.name: Samples() for kind in self._kinds})
        self._refused = 0
        for _ in range(CONNECTIONS):
            self._connect()

    def _connect(self) -> None:
        """Begins to connect. Who waits for that sends nothing meanwhile, so nobody does."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect_ex(("127.0.0.1", self._port))
        self._selector.register(connection, selectors.EVENT_WRITE, _Caller(connection))

    def _connected(self, caller: _Caller) -> None:
        if caller.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._selector.unregister(caller.socket)
            caller.socket.close()
            self._refused += 1
            return
        self._selector.modify(caller.socket, selectors.EVENT_READ, caller)
        caller.free_since = self._now()
        self._free.append(caller)

    def _now(self) -> float:
        return perf_counter() - self._began

    def run(self, began: float, seconds: float) -> None:
        """Sends what is due before `seconds`, and waits for the answers."""
        self._began = began
        # The next planned moment of each kind, which kind it is, and how many of it were due before.
        planned = [(self._gap(kind), number, 0) for number, kind in enumerate(self._kinds)]
        heapq.heapify(planned)
        looked = 0.0
        while planned and (planned[0][0] < seconds or self._busy):
            now = self._now()
            while planned[0][0] < min(seconds, now) and (self._free or now > seconds + PATIENCE_S):
                due, number, before = planned[0]
                kind = self._kinds[number]
                if self._free:
                    self._send(
                        self._free.popleft(), kind.name, kind.requests[before % len(kind.requests)], due
                    )
                else:
                    self._note_timeout(due, kind.name, now)
                heapq.heapreplace(planned, (due + self._gap(kind), number, before + 1))
                now = self._now()
            if now - looked > _LOOK_S:
                looked = now
                self._give_up(now)
                self._connect_again()
            # After the last planned moment, and while no connection is free, only answers are waited for.
            wait_s = planned[0][0] - now if self._free and planned[0][0] < seconds else _LOOK_S
            for key, mask in self._selector.select(min(_LOOK_S, max(0.0, wait_s))):
                if mask & selectors.EVENT_WRITE:
                    self._connected(key.data)
                else:
                    self._receive(key.data)
        for key in self._selector.get_map().values():
            key.data.socket.close()
        self._selector.close()

    def _connect_again(self) -> None:
        """Connections that were refused are tried again after a while, and not at once."""
        again, self._refused = self._refused, 0
        for _ in range(again):
            self._connect()

    def _gap(self, kind: Kind) -> float:
        return self._random.expovariate(kind.rate)

    def _send(self, caller: _Caller, kind: str, request: bytes, due: float) -> None:
        caller.kind, caller.due = kind, due
        self._busy.add(caller)
        try:
            caller.socket.send(request)
        except OSError:
            self._closed(caller)
        else:
            self.outcome.own_delays.add(due, self._now() - max(due, caller.free_since))

    def _receive(self, caller: _Caller) -> None:
        try:
            data = caller.socket.recv(load.RECEIVE)
        except OSError:
            data = b""
        if not data:
            self._closed(caller)
            return
        caller.data += data
        if not load.http_answer(caller.data):
            return
        assert caller.kind is not None
        now = self._now()
        if caller.data[load.HTTP.kind] == b"200":
            self.outcome.latencies[caller.kind].add(caller.due, now - caller.due)
        else:
            self.outcome.failures.append(
                Failure(caller.due, caller.kind, error_code(caller.data), int(caller.data[load.HTTP.kind]))
            )
        caller.data, caller.kind, caller.free_since = b"", None, now
        self._busy.discard(caller)
        self._free.append(caller)

    def _end(self, caller: _Caller) -> None:
        """Puts another connection in the place of this one."""
        if caller.kind is None:
            self._free.remove(caller)
        else:
            self._busy.discard(caller)
        self._selector.unregister(caller.socket)
        caller.socket.close()
        self._connect()

    def _closed(self, caller: _Caller) -> None:
        if caller.kind is not None:  # without a request, the service only ended a connection that idled
            self.outcome.failures.append(Failure(caller.due, caller.kind, CLOSED, 0))
        self._end(caller)

    def _give_up(self, now: float) -> None:
        for caller in [each for each in self._busy if now - each.due > PATIENCE_S]:
            assert caller.kind is not None
            self._note_timeout(caller.due, caller.kind, now)
            self._end(caller)

    def _note_timeout(self, due: float, kind: str, now: float) -> None:
        self.outcome.failures.append(Failure(due, kind, TIMEOUT, 0))
        # Among the latencies, too: percentiles without the slowest requests would look better than it was.
        self.outcome.latencies[kind].add(due, now - due)


def error_code(answer: bytes) -> str:
    """The code of the error in an HTTP answer; without one, the status."""
    found = _CODE.search(answer)
    return found.group(1).decode() if found else answer[load.HTTP.kind].decode()
