"""Ten megabytes of frames that say nothing, from twenty WebSockets at once."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic, sleep

from synckairos.bench import load
from synckairos.bench.attacks.scene import Scene, attacker
from synckairos.bench.report import Figure

SOCKETS = 20
BYTES = 10_000_000
ROUNDS, QUICK_ROUNDS = 5, 1
"""The service lets an address open five WebSockets a minute."""
LONGEST_S = 30.0
LEAST_S = 2.0
"""How long the victim switches in each round: longer than the attack, which is over in a moment."""
_MASK = b"\x80\x00\x00\x00\x00"
PING = b"\x89" + _MASK
BEGIN, CONTINUATION = b"\x01" + _MASK, b"\x00" + _MASK
_POLICY = (1008).to_bytes(2)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    first: bytes
    frame: bytes


KINDS = (_Kind("pings", b"", PING), _Kind("empty frames", BEGIN, CONTINUATION))


def measure(scene: Scene) -> list[Figure]:
    """The victim beside each kind of frame, and how many of the senders were closed with 1008."""
    figures = []
    for number, kind in enumerate(KINDS):
        outcomes, closed, took_s = [], 0, 0.0
        rounds = QUICK_ROUNDS if scene.quick else ROUNDS
        for _ in range(rounds):
            with load.ChildProcess(_send, scene.service.port, scene.session_ids[0], kind, number) as sending:
                sending.receive()

                def attack(sending: load.ChildProcess[tuple[int, float]] = sending) -> None:
                    nonlocal closed, took_s
                    sending.pipe.send("go")
                    found, seconds = sending.result()
                    sleep(max(0.0, LEAST_S - seconds))
                    closed += found
                    took_s = max(took_s, seconds)

                outcomes.append(scene.victim(attack))
        name = f"{BYTES // 1_000_000} MB of {kind.name} from {SOCKETS} sockets"
        figures += scene.compared(name, *outcomes)
        figures += [
            Figure(
                name=f"{name}: senders closed with 1008, of {rounds * SOCKETS}",
                value=closed,
                unit="",
                at_least=rounds * SOCKETS,
            ),
            Figure(name=f"{name}: until all were closed, at most", value=took_s, unit="s"),
        ]
    return figures


def _send(pipe: Connection, port: int, session_id: str, kind: _Kind, number: int) -> tuple[int, float]:
    """Sends until every socket is closed. Returns how many were closed with 1008, and how long that took."""
    selector = selectors.DefaultSelector()
    data = kind.first + kind.frame * (BYTES // SOCKETS // len(kind.frame))
    for each in range(SOCKETS):
        sender = _Sender(_open(port, number * SOCKETS + each, session_id), memoryview(data))
        selector.register(sender.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, sender)
    pipe.send("ready")
    pipe.recv()
    began, closed = monotonic(), 0
    while selector.get_map() and monotonic() - began < LONGEST_S:
        for key, mask in selector.select(1.0):
            sender = key.data
            if mask & selectors.EVENT_WRITE:
                sender.send()
            if not sender.left:
                selector.modify(sender.socket, selectors.EVENT_READ, sender)
            if mask & selectors.EVENT_READ and sender.is_closed():
                closed += _POLICY in sender.said
                selector.unregister(sender.socket)
                sender.socket.close()
    return closed, monotonic() - began


@dataclass(slots=True)
class _Sender:
    """A WebSocket, what is left to send on it, and the end of what the service said."""

    socket: socket.socket
    left: memoryview
    said: bytes = b""

    def send(self) -> None:
        """Sends as much as goes."""
        with suppress(OSError):  # it takes no more now, or never again
            self.left = self.left[self.socket.send(self.left) :]

    def is_closed(self) -> bool:
        """Whether the service has closed it, or has said that it does."""
        try:
            more = self.socket.recv(load.RECEIVE)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.said = (self.said + more)[-256:]
        return not more or _POLICY in self.said


def _open(port: int, number: int, session_id: str) -> socket.socket:
    """A WebSocket that has got its state."""
    made = attacker(port, number)
    made.sendall(
        f"GET /ws?session_id={session_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: c3luY2thaXJvcy1iZW5jaA==\r\n\r\n".encode()
    )
    data = b""
    while b'"type":"STATE_SYNC"' not in data:
        more = made.recv(load.RECEIVE)
        if not more:
            raise ConnectionError(f"no WebSocket: {data[:200]!r}")
        data += more
    made.setblocking(False)
    return made
