"""One session with many subscribers: how long an event takes to the last of them, and whether all get it.

The time counts from just before the publisher sends its `sk_switch` until the event has been read from the
last socket. The yardstick is a process that only writes the same bytes to as many sockets in a loop. The two
take turns, so that each has the machine for itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter_ns, sleep

import click
from websockets.frames import Frame, Opcode

from synckairos.bench import load, servers, sessions, watchers
from synckairos.bench.report import Figure, Report, percentile
from synckairos.bench.servers import Kind
from synckairos.run.processes import listen

SWITCHES_A_SECOND = 20
SETTLE_S = 1.0
"""How long to wait for the last events of a turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: subscribers, turns, and switches in each turn."""

    subscribers: int
    turns: int
    switches: int


FULL = Plan(subscribers=1000, turns=10, switches=40)
QUICK = Plan(subscribers=100, turns=2, switches=10)


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures one process of the service in front of a server of this kind."""
    plan = QUICK if quick else FULL
    watchers.allow_files(3 * plan.subscribers)
    report = Report("ws", quick)
    with (
        servers.storage(kind) as storage,
        servers.synckairos(storage, 1, limits=False) as service,
        listen("127.0.0.1", 0) as listener,
    ):
        report.versions[kind] = storage.version
        session = sessions.make(storage, 1)[0]
        session_id = sessions.id_of(session)
        command = sessions.switch_command(session)
        with (
            load.ChildProcess(_plain_loop, listener, plan.subscribers) as plain,
            load.ChildProcess(
                watchers.count_arrivals, service.port, [session_id] * plan.subscribers
            ) as subscribers,
            load.ChildProcess(
                watchers.count_arrivals, listener.getsockname()[1], [None] * plan.subscribers
            ) as readers,
            load.connect(storage.port) as publisher,
        ):
            for process in (plain, subscribers, readers):
                process.receive()
            sleep(SETTLE_S)

            def switch() -> bytes:
                publisher.sendall(command)
                reply = b""
                while not load.redis_answer(reply):
                    reply += publisher.recv(load.RECEIVE)
                if not reply.startswith(b"$"):
                    raise click.ClickException(f"a switch was answered by {reply!r}")
                return reply.partition(b"\r\n")[2][:-2]

            published: dict[int, int] = {}
            begun: dict[int, int] = {}
            written: list[float] = []
            spent = 0.0
            for _ in range(plan.turns):
                events: list[bytes] = []
                before = service.cpu_s()

                def publish(events: list[bytes] = events) -> None:
                    began = perf_counter_ns()
                    event = switch()
                    published[watchers.event_version(event)] = began
                    events.append(event)

                _steadily(plan.switches, publish)
                sleep(SETTLE_S)
                spent += service.cpu_s() - before

                def write(remaining: list[bytes] = events) -> None:
                    event = remaining.pop(0)
                    plain.pipe.send(bytes(Frame(Opcode.TEXT, event).serialize(mask=False)))
                    began, ended = plain.receive()
                    begun[watchers.event_version(event)] = began
                    written.append((ended - began) / 1e6)

                _steadily(plan.switches, write)
                sleep(SETTLE_S)
            for process in (subscribers, readers, plain):
                process.pipe.send(None)
            relayed, read, _ = subscribers.result(), readers.result(), plain.result()
    report.details = {
        "subscribers": plan.subscribers,
        "switches": len(published),
        "relay_ms": _latencies(published, relayed),
        "plain_loop_to_last_reader_ms": _latencies(begun, read),
        "plain_loop_ms": sorted(written),
        "service_cpu_ms_per_switch": spent / len(published) * 1e3,
    }
    report.figures = _figures(plan, published, relayed, report.details)
    return report


def _steadily(count: int, work: Callable[[], None]) -> None:
    """Calls `work` `count` times, SWITCHES_A_SECOND times a second."""
    began = perf_counter_ns()
    for number in range(count):
        ahead_s = number / SWITCHES_A_SECOND - (perf_counter_ns() - began) / 1e9
        if ahead_s > 0:
            sleep(ahead_s)
        work()


def _plain_loop(pipe: Connection, listener: socket.socket, count: int) -> None:
    """Accepts `count` connections, and writes each frame that comes over `pipe` to all of them.

    After each frame it sends back when it began and when it ended.
    """
    listener.setblocking(True)
    connections = []
    for _ in range(count):
        connection, _address = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections.append(connection)
    pipe.send("ready")
    while (frame := pipe.recv()) is not None:
        began = perf_counter_ns()
        for connection in connections:
            connection.send(frame)
        pipe.send((began, perf_counter_ns()))


def _latencies(began: dict[int, int], arrived: watchers.Arrivals) -> list[float]:
    """Milliseconds from the sending of each event to its last arrival, in ascending order."""
    return sorted(
        (arrived[version][1] - moment) / 1e6 for version, moment in began.items() if version in arrived
    )


def _figures(
    plan: Plan, published: dict[int, int], relayed: watchers.Arrivals, measured: dict[str, list[float]]
) -> list[Figure]:
    expected = plan.subscribers * len(published)
    made = sum(relayed[version][0] for version in published if version in relayed)
    relay, loop, read = (
        measured[name] for name in ("relay_ms", "plain_loop_ms", "plain_loop_to_last_reader_ms")
    )

    def to_last(
        share: float, label: str, against: list[float], yardstick: str, at_most: float | None
    ) -> Figure:
        value, by = percentile(relay, share), percentile(against, share)
        return Figure(
            name=f"publication to last of {plan.subscribers:,} subscribers, {label}",
            value=value,
            unit="ms",
            yardstick=f"{yardstick}, {label}",
            yardstick_value=by,
            ratio=value / by,
            at_most=at_most,
        )

    return [
        Figure(
            name="deliveries",
            value=made,
            unit="",
            yardstick="expected",
            yardstick_value=expected,
            ratio=made / expected,
            at_least=1.0,
            at_most=1.0,
        ),
        to_last(0.5, "p50", loop, "plain loop", None),
        to_last(0.99, "p99", loop, "plain loop", 1.5),
        to_last(0.5, "p50", read, "plain loop to last reader", None),
        to_last(0.99, "p99", read, "plain loop to last reader", None),
    ]
