"""Five thousand clients that send a byte a second: heads, or bodies of which the beginning has come."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic, sleep

from synckairos.bench import load
from synckairos.bench.attacks.scene import Scene, attacker
from synckairos.bench.load import Outcome
from synckairos.bench.report import Figure
from synckairos.bench.sockets import private_memory
from synckairos.bench.watchers import allow_files

SENDERS, QUICK_SENDERS = 5_000, 100
ADDRESSES = 10
GONE_S = 12.0
"""When all have to be gone: after their deadline of 10 s, and the moment in which it is noticed."""
KEPT_KB = 32
LONGEST_S = 60.0
_HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_BODY = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n" + b" " * 30_000


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    begin: bytes


KINDS = (_Kind("heads", _HEAD), _Kind("bodies", _BODY))


def measure(scene: Scene) -> list[Figure]:
    """The victim beside them, what one of them weighs, what stays of that, and when all are gone."""
    count = QUICK_SENDERS if scene.quick else SENDERS
    allow_files(count)
    figures: list[Figure] = []
    for kind in KINDS:
        figures += _measure(scene, kind, count)
    return figures


def _measure(scene: Scene, kind: _Kind, count: int) -> Sequence[Figure]:
    before = private_memory(scene.service)
    peak = 0
    lifetimes: list[float] = []
    answered: Outcome

    def attack() -> None:
        nonlocal peak, lifetimes
        with load.ChildProcess(_dribble, scene.service.port, kind.begin, count) as sending:
            sending.receive()
            peak = private_memory(scene.service)
            lifetimes = sending.result()

    answered = scene.victim(attack)
    sleep(2.0)
    name = f"{count:,} slow {kind.name}"
    return [
        *scene.compared(name, answered, at_most=None),
        Figure(
            name=f"{name}: one that waits weighs",
            value=(peak - before) / count / 1024,
            unit="KB",
            at_most=KEPT_KB,
        ),
        Figure(
            name=f"{name}: of that stays",
            value=(private_memory(scene.service) - before) / count / 1024,
            unit="KB",
        ),
        Figure(
            name=f"{name}: the last is gone after",
            value=lifetimes[-1] if len(lifetimes) == count else float("inf"),
            unit="s",
            at_most=GONE_S,
        ),
    ]


def _dribble(pipe: Connection, port: int, begin: bytes, count: int) -> list[float]:
    """Sends a byte a second on each connection until all are closed. Returns how long each lasted."""
    senders = _Senders()
    for number in range(count):
        senders.add(attacker(port, number % ADDRESSES), begin)
        if number % 100 == 0:
            senders.look(0.0)
    pipe.send("open")
    start = monotonic()
    due = start + 1.0
    while senders.began and monotonic() - start < LONGEST_S:
        senders.look(0.1)
        if monotonic() >= due:
            due += 1.0
            senders.send(b" ")
    return sorted(senders.lifetimes)


class _Senders:
    """Slow clients, and how long those lasted that are gone.

    began: when each one that is open was opened
    """

    def __init__(self) -> None:
        self.began: dict[socket.socket, float] = {}
        self.lifetimes: list[float] = []
        self._selector = selectors.DefaultSelector()

    def add(self, sender: socket.socket, begin: bytes) -> None:
        """Adds a client, which begins its request."""
        self.began[sender] = monotonic()
        sender.setblocking(False)
        sender.send(begin)
        self._selector.register(sender, selectors.EVENT_READ)

    def send(self, data: bytes) -> None:
        """Sends this on each."""
        for sender in list(self.began):
            with suppress(OSError):  # it is closed, or takes no more: the next look tells
                sender.send(data)

    def look(self, wait_s: float) -> None:
        """Notices which ones were closed."""
        for key, _mask in self._selector.select(wait_s):
            sender = key.fileobj
            assert isinstance(sender, socket.socket)
            if _is_closed(sender):
                self.lifetimes.append(monotonic() - self.began.pop(sender))
                self._selector.unregister(sender)
                sender.close()


def _is_closed(sender: socket.socket) -> bool:
    try:
        return not sender.recv(load.RECEIVE)
    except BlockingIOError:
        return False
    except OSError:
        return True
