"""A cluster: what a switch costs on three shards, how even partitions are, and what moving slots costs.

Slots move under 200 switches a second, once key by key, as `redis-cli --cluster reshard` does it, and once in
one step, as Valkey 9 does it. The pause of a session is the longest time that one of its switches took.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter

import click
from redis.crc import key_slot
from redis.exceptions import ResponseError

from synckairos.bench import servers, sessions
from synckairos.bench.report import Figure, Report, compared
from synckairos.bench.servers import Kind, Storage
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.connection import connect
from synckairos.core.keys import PARTITIONS, SessionKeys, alarms
from synckairos.core.model import Options
from synckairos.errors import SyncKairosError
from synckairos.run.processes import free_port

SLOTS = 16384
SHARDS = 3
RATE = 200
SESSIONS = 200
SWITCHES_MADE, QUICK_SWITCHES_MADE = 40, 2
"""How many switches each session has behind it, so that its log has its length."""
KEYS_AT_ONCE = 10
"""How many keys are moved in one step, as redis-cli does it."""
ROUNDS, SWITCHES = 5, 20_000
QUICK_ROUNDS, QUICK_SWITCHES = 1, 1_000
PARTITIONS_MOVED, QUICK_PARTITIONS_MOVED = 8, 1
QUIET_S, BETWEEN_S = 1.0, 0.2
READY_S = 30.0

_Move = Callable[[list[Storage], int, Storage, Storage], None]
"""Moves a slot: all nodes, the slot, the node that has it, the node that gets it."""


def run(kind: Kind, *, quick: bool) -> Report:
    """Measures a cluster of servers of this kind."""
    report = Report("cluster", quick)
    with ExitStack() as stack:
        one = stack.enter_context(servers.storage(kind))
        nodes = stack.enter_context(cluster(kind, SHARDS))
        report.versions[kind] = one.version
        alone, together = _costs(one, nodes, quick=quick)
        report.figures = [
            compared(
                f"switch over {SHARDS} shards, CPU of the servers", "us", together, ("one server", alone)
            ),
            *map(_balance, (3, 6, 12)),
        ]
        report.details = {"cpu_us_per_switch": {"1": alone, str(SHARDS): together}}
        for name, move in (("key by key", _move_keys), ("in one step", _move_at_once)):
            if move is _move_at_once and not _moves_at_once(nodes[0]):
                continue
            outcome = asyncio.run(_reshard(nodes, move, quick=quick))
            report.details[f"moved {name}"] = {
                "switches": outcome.switches,
                "errors": outcome.errors,
                "pauses_ms": sorted(outcome.longest.values()),
            }
            worst = max(outcome.longest.values())
            report.figures += [
                Figure(
                    name=f"slots that move {name}, longest pause of a session",
                    value=worst,
                    unit="ms",
                    yardstick="longest switch while none moves",
                    yardstick_value=outcome.quiet_ms,
                ),
                Figure(
                    name=f"slots that move {name}, errors",
                    value=sum(outcome.errors.values()),
                    unit=f"of {outcome.switches:,}",
                    at_most=0,
                ),
            ]
    return report


@contextmanager
def cluster(kind: Kind, shards: int) -> Iterator[list[Storage]]:
    """So many nodes without replicas that share the slots."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(servers.storage(kind, cluster_enabled="yes", cluster_port=str(free_port())))
            for _ in range(shards)
        ]
        for number, node in enumerate(nodes):
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            first, last = number * SLOTS // shards, (number + 1) * SLOTS // shards - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            for other in nodes[:number]:
                bus = other.client.config_get("cluster-port")["cluster-port"]
                node.client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, bus)
        end = time.monotonic() + READY_S
        while not all(_is_complete(node, shards) for node in nodes):
            if time.monotonic() > end:
                raise click.ClickException("the cluster does not get ready")
            time.sleep(0.05)
        yield nodes


def _is_complete(node: Storage, shards: int) -> bool:
    about = node.client.execute_command("CLUSTER", "INFO").decode()
    return "cluster_state:ok" in about and len(node.client.execute_command("CLUSTER", "SLOTS")) >= shards


def _home(nodes: list[Storage], session: SessionKeys) -> Storage:
    return nodes[key_slot(session.session.encode()) * len(nodes) // SLOTS]


def _costs(one: Storage, nodes: list[Storage], *, quick: bool) -> tuple[list[float], list[float]]:
    """Microseconds of the servers' CPU for a switch, on one server and over the shards, by round."""
    rounds, switches = (QUICK_ROUNDS, QUICK_SWITCHES) if quick else (ROUNDS, SWITCHES)
    wanted = sessions.make(one, SESSIONS)
    by_node: dict[int, list[SessionKeys]] = {number: [] for number in range(len(nodes))}
    for each in [SessionKeys.of(sessions.new_id()) for _ in range(SESSIONS)]:
        by_node[nodes.index(_home(nodes, each))].append(each)
    for number, its in by_node.items():
        sessions.create(nodes[number], its, 2, [sessions.DAY_MS] * len(its))
        sessions.start(nodes[number], its)

    def cost(work: list[tuple[Storage, list[SessionKeys]]]) -> float:
        spent = sum(storage.cpu_s() for storage, _ in work)
        done = 0
        for storage, its in work:
            count = switches * len(its) // SESSIONS
            sessions.calls(storage, (("sk_switch", its[n % len(its)].all, ()) for n in range(count)))
            done += count
        return (sum(storage.cpu_s() for storage, _ in work) - spent) / done * 1e6

    alone, together = [], []
    for _ in range(rounds):
        alone.append(cost([(one, wanted)]))
        together.append(cost([(nodes[number], its) for number, its in by_node.items()]))
        sessions.trim_outboxes(one)
    return alone, together


def _balance(shards: int) -> Figure:
    """How many partitions the fullest of so many shards with equal ranges of slots has."""
    found = Counter(key_slot(alarms(name).encode()) * shards // SLOTS for name in PARTITIONS)
    return Figure(
        name=f"partitions of the fullest of {shards} shards",
        value=max(found.values()),
        unit="",
        yardstick="an even share",
        yardstick_value=len(PARTITIONS) / shards,
        ratio=max(found.values()) * shards / len(PARTITIONS),
        note=", ".join(str(found[number]) for number in range(shards)),
    )


@dataclass
class _Load:
    """Callers that switch the sessions in turns, and what they met.

    longest: by session, the longest time that a switch took while slots moved (ms)
    quiet_ms: the longest time of a switch while nothing moved
    errors: by code, after as many tries as a call makes
    """

    calls: Sessions
    ids: list[str]
    moving: bool = False
    done: bool = False
    switches: int = 0
    quiet_ms: float = 0.0
    longest: dict[str, float] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Switches RATE times a second until `done`."""
        tasks: set[asyncio.Task[None]] = set()
        began, number = perf_counter(), 0
        while not self.done:
            task = asyncio.create_task(self._switch(self.ids[number % len(self.ids)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / RATE - perf_counter()))
        await asyncio.gather(*tasks)

    async def _switch(self, session_id: str) -> None:
        began = perf_counter()
        try:
            await self.calls.switch(session_id, options=Options(request=sessions.new_id()))
        except SyncKairosError as error:
            self.errors[error.code] += 1
        took = (perf_counter() - began) * 1e3
        self.switches += 1
        if self.moving:
            self.longest[session_id] = max(self.longest.get(session_id, 0.0), took)
        else:
            self.quiet_ms = max(self.quiet_ms, took)


async def _reshard(nodes: list[Storage], move: _Move, *, quick: bool) -> _Load:
    """Moves some partitions to the next node and back, while sessions are switched."""
    settings = Settings(redis_cluster_nodes=tuple(("127.0.0.1", node.port) for node in nodes))
    moved = PARTITIONS[: QUICK_PARTITIONS_MOVED if quick else PARTITIONS_MOVED]
    async with await connect(settings) as connection:
        calls = Sessions(connection, 3600)
        ids = [sessions.new_id()[:-2] + moved[number % len(moved)] for number in range(SESSIONS)]
        config = sessions.config(2, sessions.DAY_MS)
        for session_id in ids:
            await calls.create(session_id, config)
            await calls.start(session_id)
        for _ in range(QUICK_SWITCHES_MADE if quick else SWITCHES_MADE):
            await asyncio.gather(*map(calls.switch, ids))
        load = _Load(calls, ids)
        loading = asyncio.create_task(load.run())
        await asyncio.sleep(QUIET_S)
        load.moving = True
        for name in moved:
            slot = key_slot(alarms(name).encode())
            source = slot * len(nodes) // SLOTS
            there = nodes[source], nodes[(source + 1) % len(nodes)]
            for one, other in (there, reversed(there)):
                await asyncio.to_thread(move, nodes, slot, one, other)
                await asyncio.sleep(BETWEEN_S)
        load.done = True
        await loading
    return load


def _id(node: Storage) -> str:
    found: str = node.client.execute_command("CLUSTER", "MYID").decode()
    return found


def _move_keys(nodes: list[Storage], slot: int, source: Storage, target: Storage) -> None:
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))
    while names := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
    for node in (target, source, *(each for each in nodes if each not in (source, target))):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", _id(target))


def _moves_at_once(node: Storage) -> bool:
    with suppress(ResponseError):
        node.client.execute_command("CLUSTER", "GETSLOTMIGRATIONS")
        return True
    return False


def _move_at_once(_: list[Storage], slot: int, source: Storage, target: Storage) -> None:
    source.client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", _id(target))
    end = time.monotonic() + READY_S
    while _owner(target, slot) != target.port or _owner(source, slot) != target.port:
        if time.monotonic() > end:
            raise click.ClickException("the slot does not move")
        time.sleep(0.01)


def _owner(node: Storage, slot: int) -> int:
    ranges = node.client.execute_command("CLUSTER", "SLOTS")
    return next(int(primary[1]) for first, last, primary, *_ in ranges if first <= slot <= last)
