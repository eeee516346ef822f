"""Watchers: many WebSockets in a child process, which takes as little processor time as possible.

They are plain sockets, and of a frame only the necessary bytes are read, because a thousand frames arrive at
once. The clocks are the system's monotonic clock (`perf_counter_ns`) and its wall clock, which are the same
in all processes of a machine.
"""

from __future__ import annotations

import resource
import selectors
import socket
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from time import perf_counter_ns, time_ns
from typing import Any

import click

from synckairos.bench import load

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_MASKED, _MASK = 0x80, b"\0\0\0\0"
_SPARE_FILES = 256

Seen = Callable[[bytes], None]


def allow_files(count: int) -> None:
    """Lets this process and its children open so many files. Ends the command if the system refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise click.ClickException(f"{wanted} open files are needed and {hard} are allowed (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Watcher:
    """One socket, and the beginning of a frame that is not complete yet."""

    __slots__ = ("data", "socket")

    def __init__(self, connection: socket.socket, data: bytes) -> None:
        self.socket = connection
        self.data = data


def open_watcher(port: int, session_id: str | None, address: str | None = None) -> Watcher:
    """A WebSocket that watches a session; without one, a bare connection.

    address: of the client, as a trusted proxy says it
    """
    connection = load.connect(port)
    data = b""
    if session_id is not None:
        forwarded = f"X-Forwarded-For: {address}\r\n" if address else ""
        connection.sendall(
            f"GET /ws?session_id={session_id} HTTP/1.1\r\nHost: localhost\r\n{forwarded}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: c3luY2thaXJvcy1iZW5jaA==\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in data:
            more = connection.recv(load.RECEIVE)
            if not more:
                raise ConnectionError("closed in the handshake")
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"no WebSocket: {head[:200]!r}")
    connection.setblocking(False)
    return Watcher(connection, data)


def watch(
    pipe: Connection,
    watchers: Sequence[Watcher],
    seen: Seen,
    lost: Callable[[str], None] | None = None,
    asked: Callable[[Any], None] | None = None,
) -> None:
    """Calls `seen` with each text frame's payload, in the order of arrival, until `pipe` brings something.

    lost: is called with the reason when a socket is closed; without it that is a ConnectionError
    asked: is called with what `pipe` brings; then None alone ends it
    """
    selector = selectors.DefaultSelector()
    selector.register(pipe, selectors.EVENT_READ, None)
    for watcher in watchers:
        _receive(watcher, watcher.data, seen)
        selector.register(watcher.socket, selectors.EVENT_READ, watcher)
    pipe.send("ready")
    while True:
        for key, _mask in selector.select():
            watcher = key.data
            if watcher is None:
                question = pipe.recv()
                if asked is not None and question is not None:
                    asked(question)
                    continue
                for other in watchers:
                    other.socket.close()
                return
            try:
                _read(watcher, seen)
            except ConnectionError as error:
                if lost is None:
                    raise
                selector.unregister(watcher.socket)
                watcher.socket.close()
                lost(str(error))


def _read(watcher: Watcher, seen: Seen) -> None:
    data = watcher.socket.recv(load.RECEIVE)
    if not data:
        raise ConnectionError("closed by the service")
    _receive(watcher, watcher.data + data if watcher.data else data, seen)


def _receive(watcher: Watcher, data: bytes, seen: Seen) -> None:
    """Handle the complete frames of `data` and keep the rest."""
    at, size = 0, len(data)
    while size - at >= 2:
        length, start = data[at + 1], at + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length, start = int.from_bytes(data[start : start + wide], "big"), start + wide
        if start + length > size:
            break
        kind = data[at]
        if kind == _TEXT:
            seen(data[start : start + length])
        elif kind == _PING:
            watcher.socket.send(bytes((_PONG, _MASKED | length)) + _MASK + data[start : start + length])
        elif kind == _CLOSE:
            raise ConnectionError(f"closed by the service: {data[start : start + length]!r}")
        at = start + length
    watcher.data = data[at:]


Arrivals = dict[int, tuple[int, int]]
"""By version, how often an event arrived, and when it arrived last (`perf_counter_ns`)."""


def count_arrivals(pipe: Connection, port: int, session_ids: Sequence[str | None]) -> Arrivals:
    """Watches, one socket for each id, and counts events by their version."""
    arrived: Arrivals = {}
    versions: dict[bytes, int] = {}

    def seen(payload: bytes) -> None:
        version = versions.get(payload)
        if version is None:
            version = versions[payload] = event_version(payload)
        arrived[version] = arrived.get(version, (0, 0))[0] + 1, perf_counter_ns()

    watch(pipe, [open_watcher(port, session_id) for session_id in session_ids], seen)
    return {version: arrival for version, arrival in arrived.items() if version > 0}


def event_version(payload: bytes) -> int:
    """The version of an event; 0 for other messages."""
    if b'"type":"STATE_UPDATE"' not in payload[:64]:
        return 0
    at = payload.index(b'"version":') + 10
    return int(payload[at : payload.index(b",", at)])


Expiries = list[tuple[bytes, int]]
"""Each `TIME_EXPIRED` event, and when it arrived (`time_ns`)."""


def collect_expiries(pipe: Connection, port: int, session_ids: Sequence[str]) -> Expiries:
    """Watches, one socket for each session, and collects the expiries."""
    expiries: Expiries = []

    def seen(payload: bytes) -> None:
        if b'"type":"TIME_EXPIRED"' in payload[:64]:
            expiries.append((payload, time_ns()))

    watch(pipe, [open_watcher(port, session_id) for session_id in session_ids], seen)
    return expiries
