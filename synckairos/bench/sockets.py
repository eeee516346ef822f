"""Ten thousand WebSockets of one process: what one weighs, and how soon all are back after a kill.

Each watches a session of its own. When their service is killed, they go to another one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic

import click

from synckairos.bench import load, servers, sessions
from synckairos.bench.report import Figure, Report
from synckairos.bench.servers import Kind, Web
from synckairos.bench.watchers import allow_files

SOCKETS, QUICK_SOCKETS = 10_000, 200
AT_ONCE = 100
"""How many handshakes are under way at a time."""
SETTLE_S = 2.0
_PING, _PONG = b"\x89", b"\x8a"


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures two services over a server of this kind."""
    count = QUICK_SOCKETS if quick else SOCKETS
    report = Report("sockets", quick)
    allow_files(count)
    with ExitStack() as stack:
        storage = stack.enter_context(servers.storage(kind, maxclients="100"))
        report.versions[kind] = storage.version
        ids = [sessions.id_of(each) for each in sessions.make(storage, count)]
        more = {"MAX_WEBSOCKETS": str(count)}
        first, second = (
            stack.enter_context(servers.synckairos(storage, 1, limits=False, more=more)) for _ in range(2)
        )
        before = private_memory(first)
        ports = (first.port, second.port)
        with load.ChildProcess(_watch, ports, ids) as watching:
            connecting_s = watching.receive()
            weight = (private_memory(first) - before) / count
            for child in first.children:
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)
            back_s = watching.result()
    report.details = {"sockets": count, "connecting_s": connecting_s}
    report.figures = [
        Figure(name=f"a socket, with {count:,} of one process", value=weight / 1024, unit="KB", at_most=20),
        Figure(
            name="from the kill of the service until all have the state again",
            value=back_s,
            unit="s",
            yardstick="the first connecting of all",
            yardstick_value=connecting_s,
            at_most=15,
        ),
    ]
    return report


def private_memory(web: Web) -> int:
    """Bytes of memory that its processes have for themselves."""
    total = 0
    for child in web.children:
        try:
            lines = Path(f"/proc/{child.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise click.ClickException(f"this bench needs Linux: {error}") from None
        fields = dict(line.split(":", 1) for line in lines[1:])
        total += 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
    return total


def _watch(pipe: Connection, ports: tuple[int, int], ids: Sequence[str]) -> float:
    return asyncio.run(_watch_all(pipe, ports, ids))


async def _watch_all(pipe: Connection, ports: tuple[int, int], ids: Sequence[str]) -> float:
    """Connects all to the first port, and, when they are cut, to the second one.

    Sends over the pipe how many seconds the first took, and returns how many the second took.
    """
    gate = asyncio.Semaphore(AT_ONCE)
    began, cut, back = monotonic(), list[float](), list[float]()
    connected = asyncio.Semaphore(0)

    async def watch(session_id: str) -> None:
        async with gate:
            reader, writer = await _open(ports[0], session_id)
        connected.release()
        await _answer_pings(reader, writer)
        writer.close()
        cut.append(monotonic())
        async with gate:
            _, writer = await _open(ports[1], session_id)
        back.append(monotonic())
        writer.close()

    watching = asyncio.gather(*map(watch, ids))
    for _ in ids:
        await connected.acquire()
    took = monotonic() - began
    await asyncio.sleep(SETTLE_S)
    pipe.send(took)
    await watching
    return max(back) - min(cut)


async def _open(port: int, session_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket that has got the state of its session."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /ws?session_id={session_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: c3luY2thaXJvcy1iZW5jaA==\r\n\r\n".encode()
    )
    data = b""
    while b'"type":"STATE_SYNC"' not in data:
        more = await reader.read(load.RECEIVE)
        if not more:
            raise ConnectionError(f"closed after {data[:200]!r}")
        data += more
    return reader, writer


async def _answer_pings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers pings, which are all that comes to a session without changes, until the connection is cut."""
    try:
        while data := await reader.read(load.RECEIVE):
            at = data.find(_PING)
            if at >= 0 and at + 2 + data[at + 1] <= len(data):
                payload = data[at + 2 : at + 2 + data[at + 1]]
                writer.write(_PONG + bytes((0x80 | len(payload),)) + b"\0\0\0\0" + payload)
    except ConnectionError:
        pass
