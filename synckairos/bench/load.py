"""Load: connections that each send the next request as soon as the last one is answered.

It runs in a child process, with plain sockets and with requests that were made before, so that it takes only
a fraction of the processor time of the measured server.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
from collections import Counter, deque
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
PACED_CONNECTIONS = 16


class ChildProcess(Generic[T]):
    """A function that runs in a child process: `function(pipe, *arguments)`. `result()` gives its value.

    It communicates over `pipe` while it runs. The process ends with the block.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self.pipe, theirs = _fork.Pipe()
        self._process = _fork.Process(
            target=_run_child, args=(self.pipe, theirs, function, arguments), daemon=True
        )
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """The next value that the process sends. Ends the command when the process failed."""
        try:
            if self.pipe.poll(PATIENCE_S):
                return self.pipe.recv()
        except EOFError:
            pass
        raise click.ClickException("a process of the bench failed; its output is above")

    def result(self) -> T:
        """Waits for the value that the function returns."""
        value: T = self.receive()
        return value

    def __enter__(self) -> ChildProcess[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _run_child(
    other_end: Connection, pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    other_end.close()
    pipe.send(function(pipe, *arguments))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a load. `latencies` are seconds in ascending order; `answers` has counts by kind."""

    seconds: float
    latencies: list[float]
    answers: dict[bytes, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def http_answer(data: bytes) -> int:
    """The size of the HTTP answer at the beginning of `data`; 0 when it is not complete yet."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    at = data.find(b"content-length: ", 0, head) + 16
    size = head + 4 + int(data[at : data.index(b"\r\n", at)])
    return size if len(data) >= size else 0


def redis_answer(data: bytes) -> int:
    """The size of the reply (no array) at the beginning of `data`; 0 when it is not complete yet."""
    line = data.find(b"\r\n")
    if line < 0:
        return 0
    size = line + 2
    if data[:1] == b"$" and data[1:2] != b"-":
        size += int(data[1:line]) + 2
    return size if len(data) >= size else 0


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to find the answers in a stream.

    size: gives the size of the answer at the beginning of the stream
    kind: the part of the answer that says whether the call succeeded
    """

    size: Callable[[bytes], int]
    kind: slice


Target = tuple[int, Protocol]
"""A port and its protocol."""

HTTP = Protocol(http_answer, slice(9, 12))
"""The kind is the status."""
REDIS = Protocol(redis_answer, slice(0, 1))
"""The kind is the character of the reply's type: `-` is an error."""


class _Caller:
    """One connection, and the beginning of an answer that is not complete yet."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.socket.setblocking(False)
        self.sent = 0
        self.data = b""


def connect(port: int) -> socket.socket:
    """A connection that sends small messages at once (TCP_NODELAY)."""
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _load(
    _pipe: Connection, target: Target, connections: int, requests: Sequence[bytes], seconds: float
) -> Outcome:
    port, protocol = target
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
            size = protocol.size(data)
            if not size:
                caller.data = data
                continue
            now = perf_counter_ns()
            latencies.append(now - caller.sent)
            answers[data[protocol.kind]] += 1
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


def pace(pipe: Connection, port: int, requests: Sequence[bytes], rate: int) -> Outcome:
    """Sends `rate` HTTP requests a second, in turns, until something comes over `pipe`.

    A request is sent at its planned moment, or later when no connection is free. Its latency counts from the
    planned moment.
    """
    selector = selectors.DefaultSelector()
    selector.register(pipe, selectors.EVENT_READ, None)
    # Taken in turns, because the service ends a connection on which no request comes.
    free = deque(_Caller(port) for _ in range(PACED_CONNECTIONS))
    for caller in free:
        selector.register(caller.socket, selectors.EVENT_READ, caller)
    latencies: list[int] = []
    answers: Counter[bytes] = Counter()
    number, ending = 0, False
    pipe.send("ready")
    began = perf_counter_ns()
    while not ending or len(free) < PACED_CONNECTIONS:
        due = began + number * 1_000_000_000 // rate
        wait_s = max(0.0, (due - perf_counter_ns()) / 1e9) if free and not ending else PATIENCE_S
        for event, _mask in selector.select(wait_s):
            caller = event.data
            if caller is None:
                ending = True
                selector.unregister(pipe)
                continue
            data = caller.socket.recv(RECEIVE)
            if not data:
                raise ConnectionError("closed by the server")
            caller.data += data
            if http_answer(caller.data):
                latencies.append(perf_counter_ns() - caller.sent)
                answers[caller.data[HTTP.kind]] += 1
                caller.data = b""
                free.append(caller)
        while free and not ending and due <= perf_counter_ns():
            caller = free.popleft()
            caller.sent = due
            caller.socket.send(requests[number % len(requests)])
            number += 1
            due = began + number * 1_000_000_000 // rate
    took = (perf_counter_ns() - began) / 1e9
    return Outcome(took, sorted(latency / 1e9 for latency in latencies), dict(answers))


def http(port: int, connections: int, requests: Sequence[bytes], seconds: float) -> Outcome:
    """Sends HTTP requests in turns for a time. Ends the command when an answer is not a 200."""
    outcome = _in_child((port, HTTP), connections, requests, seconds)
    check_http(outcome)
    return outcome


def check_http(outcome: Outcome) -> None:
    """Ends the command when an answer is not a 200."""
    wrong = {status.decode(): count for status, count in outcome.answers.items() if status != b"200"}
    if wrong:
        raise click.ClickException(f"answers other than 200, by status: {wrong}")


def redis(port: int, connections: int, requests: Sequence[bytes], seconds: float) -> Outcome:
    """Sends Redis commands in turns for a time. Ends the command when a reply is an error."""
    outcome = _in_child((port, REDIS), connections, requests, seconds)
    if b"-" in outcome.answers:
        raise click.ClickException(f"{outcome.answers[b'-']} calls were answered by an error")
    return outcome


def _in_child(target: Target, connections: int, requests: Sequence[bytes], seconds: float) -> Outcome:
    with ChildProcess(_load, target, connections, requests, seconds) as load:
        return load.result()
