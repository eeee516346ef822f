"""Load: connections that each send the next request as soon as the last one is answered.

It runs in a process of its own, on plain sockets and with requests that were made before, so that it takes a
fraction of the time of what it measures.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter, perf_counter_ns
from typing import Any, Generic, ParamSpec, TypeVar

import click

P = ParamSpec("P")
T = TypeVar("T")

_fork = multiprocessing.get_context("fork")
RECEIVE = 1 << 16
PATIENCE_S = 60.0


class Apart(Generic[T]):
    """A function that runs in a process of its own: `function(pipe, *arguments)`, its value is `result()`.

    It talks over `pipe` while it runs. The process ends with the block.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self.pipe, theirs = _fork.Pipe()
        self._process = _fork.Process(
            target=_run_apart, args=(self.pipe, theirs, function, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def hear(self) -> Any:
        """The next thing that it says. Ends the command when it failed; its own words are on standard error."""
        try:
            if self.pipe.poll(PATIENCE_S):
                return self.pipe.recv()
        except EOFError:
            pass
        raise click.ClickException("a process of the bench failed; its own words are above")

    def result(self) -> T:
        """What the function returned, waited for."""
        value: T = self.hear()
        return value

    def __enter__(self) -> Apart[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _run_apart(
    other_end: Connection, pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    other_end.close()
    pipe.send(function(pipe, *arguments))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a load. Latencies in seconds, in ascending order; `answers` counts them by kind."""

    seconds: float
    latencies: list[float]
    answers: dict[bytes, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def http_answer(data: bytes) -> int:
    """The size of the HTTP answer that `data` begins with; 0 when not all of it is there yet."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    at = data.find(b"content-length: ", 0, head) + 16
    size = head + 4 + int(data[at : data.index(b"\r\n", at)])
    return size if len(data) >= size else 0


def http_kind(data: bytes) -> bytes:
    """The status."""
    return data[9:12]


def redis_answer(data: bytes) -> int:
    """The size of the reply (a status, an error, an integer or a text) that `data` begins with, 0: not all there."""
    line = data.find(b"\r\n")
    if line < 0:
        return 0
    size = line + 2
    if data[:1] == b"$":
        size += max(0, int(data[1:line]) + 2)
    return size if len(data) >= size else 0


def redis_kind(data: bytes) -> bytes:
    """The type's first character: `-` is an error."""
    return data[:1]


class _Caller:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.socket.setblocking(False)
        self.sent = 0
        self.data = b""


def connect(port: int) -> socket.socket:
    """A connection on which nothing waits to be sent together with what may follow."""
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _load(
    _: Connection,
    port: int,
    connections: int,
    requests: Sequence[bytes],
    seconds: float,
    answer: Callable[[bytes], int],
    kind: Callable[[bytes], bytes],
) -> Outcome:
    callers = [_Caller(port) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    latencies: list[int] = []
    answers: Counter[bytes] = Counter()
    number, count = 0, len(requests)
    began = perf_counter()
    for caller in callers:
        selector.register(caller.socket, selectors.EVENT_READ, caller)
        caller.sent = perf_counter_ns()
        caller.socket.send(requests[number % count])
        number += 1
    waiting = connections
    end = began + seconds
    while waiting:
        ready = selector.select(PATIENCE_S)
        if not ready:
            raise TimeoutError("no answer")
        going_on = perf_counter() < end
        for event, _mask in ready:
            caller = event.data
            data = caller.socket.recv(RECEIVE)
            if not data:
                raise ConnectionError("closed by the server")
            data = caller.data + data
            size = answer(data)
            if not size:
                caller.data = data
                continue
            now = perf_counter_ns()
            latencies.append(now - caller.sent)
            answers[kind(data)] += 1
            caller.data = data[size:]
            if going_on:
                caller.sent = now
                caller.socket.send(requests[number % count])
                number += 1
            else:
                waiting -= 1
    took = perf_counter() - began
    for caller in callers:
        caller.socket.close()
    return Outcome(took, sorted(latency / 1e9 for latency in latencies), dict(answers))


def http(port: int, connections: int, requests: Sequence[bytes], seconds: float) -> Outcome:
    """Sends HTTP requests in turns for a time. Ends the command when any answer is not a 200."""
    outcome = _checked(port, connections, requests, seconds, http_answer, http_kind)
    wrong = {status.decode(): count for status, count in outcome.answers.items() if status != b"200"}
    if wrong:
        raise click.ClickException(f"answers that are no 200, by status: {wrong}")
    return outcome


def redis(port: int, connections: int, requests: Sequence[bytes], seconds: float) -> Outcome:
    """Sends Redis commands in turns for a time. Ends the command when any reply is an error."""
    outcome = _checked(port, connections, requests, seconds, redis_answer, redis_kind)
    if b"-" in outcome.answers:
        raise click.ClickException(f"{outcome.answers[b'-']} calls were answered by an error")
    return outcome


def _checked(
    port: int,
    connections: int,
    requests: Sequence[bytes],
    seconds: float,
    answer: Callable[[bytes], int],
    kind: Callable[[bytes], bytes],
) -> Outcome:
    with Apart(_load, port, connections, requests, seconds, answer, kind) as load:
        return load.result()
