"""The function library alone: how many calls a server carries out, and the cost of a call and of a session.

The rates come from redis-benchmark with 50 connections and one request at a time on each, like its own
figures for SET. Figures that are compared are measured in turns, round by round, and they are medians.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import hiredis

from synckairos.bench import load, redis_benchmark, servers, sessions, weight
from synckairos.bench.report import Figure, Report, compared
from synckairos.bench.servers import Kind, Storage
from synckairos.core.keys import SessionKeys

PARTICIPANTS = 1000
AT_LEAST: dict[Kind, float] = {"redis": 0.45, "valkey": 0.30}
"""The target: the rate of `sk_switch` divided by the rate of SET."""
SAME = 1.1
"""Costs that differ by no more than this factor count as the same."""

_BARE = """#!lua name=synckairos_bench
-- The Redis calls of a switch, with texts of the same size. Nothing is checked or computed.
local OWNER, EVENT = '[86399980,20,1,0]', '%s'

local function switch(keys)
  local call, format = redis.call, string.format
  local key, log = keys[1], keys[2]
  local now = call('TIME')[1] * 1000
  local fields = { 'status', 'version', 'epoch', 'cycle', 'rules', 'rotation' }
  local session = call('HMGET', key, unpack(fields))
  call('HMGET', key, 'p0', 'p0:shown', 'p1', 'p1:shown')
  local version = format('%%d', session[2] + 1)
  local cycle = format('1 %%d %%d 20 1 %%d', now, now, now)
  call('HSET', key, 'version', version, 'cycle', cycle, 'p0', OWNER, 'p1', OWNER)
  call('ZADD', keys[3], version, '%s')
  if version %% 4 == 0 then
    call('XADD', log, 'MAXLEN', '~', '64', version .. '-0', 'e', EVENT)
  else
    call('XADD', log, version .. '-0', 'e', EVENT)
  end
  call('PEXPIRE', key, '90000000')
  call('PEXPIRE', log, '90000000')
  call('XADD', keys[4], '*', 'id', '%s', 'e', EVENT)
  call('SPUBLISH', key, EVENT)
  return EVENT
end

redis.register_function('synckairos_bench_switch', switch)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    rounds: how many rounds
    round_s: seconds of each command in a round
    few, many: how many sessions the two servers have
    played: for how many switches the sessions are played that are weighed
    """

    rounds: int
    round_s: float
    few: int
    many: int
    played: int


FULL = Plan(rounds=7, round_s=1.0, few=1_000, many=100_000, played=200)
QUICK = Plan(rounds=2, round_s=0.1, few=100, many=1_000, played=80)


@dataclass(slots=True)
class _Bench:
    """Two servers of one kind, with few and with many sessions, and the values measured there in each round.

    rates: calls a second, by command
    costs: microseconds of the server's processor time for a call, by command
    """

    kind: Kind
    few: Storage
    many: Storage
    commands: dict[str, list[str]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    scattered: dict[str, tuple[Storage, list[bytes]]] = field(default_factory=dict)
    rates: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    costs: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes_a_session: float = 0.0

    def prepare(self, plan: Plan) -> None:
        """Make the sessions, and find out how many requests fill a round."""
        two, thousand = (sessions.make(self.few, 1, count)[0] for count in (2, PARTICIPANTS))
        bare = _make_bare(self.few, two)
        self.commands = {
            "SET": ["-t", "set"],
            "bare": ["FCALL", "synckairos_bench_switch", "4", *bare.all],
            "switch": ["FCALL", "sk_switch", "4", *two.all],
            "switch 1000": ["FCALL", "sk_switch", "4", *thousand.all],
            "get": ["FCALL_RO", "sk_get", "1", two.session],
            "get 1000": ["FCALL_RO", "sk_get", "1", thousand.session],
        }
        for name, command in self.commands.items():
            self.requests[name] = redis_benchmark.requests_in(plan.round_s, self.few, command)
            sessions.trim_outboxes(self.few)
        for label, storage, count in (("few", self.few, plan.few), ("many", self.many, plan.many)):
            before = storage.memory()
            made = sessions.make(storage, count)
            sessions.trim_outboxes(storage)
            for start in range(0, count, sessions.CHUNK):
                storage.client.delete(*(each.log for each in made[start : start + sessions.CHUNK]))
            self.bytes_a_session = (storage.memory() - before) / count
            chosen = random.Random(1).choices(made, k=20_000)
            self.scattered[f"switch, {label}"] = storage, [sessions.switch_command(each) for each in chosen]
            self.scattered[f"SET, {label}"] = storage, [_set_command(each) for each in chosen]

    def round(self, plan: Plan) -> None:
        """Measure everything once."""
        for name, command in self.commands.items():
            spent = self.few.cpu_s()
            count = self.requests[name]
            self.rates[name].append(redis_benchmark.rate(self.few, command, count))
            self.costs[name].append((self.few.cpu_s() - spent) / count * 1e6)
            sessions.trim_outboxes(self.few)
        for name, (storage, requests) in self.scattered.items():
            spent = storage.cpu_s()
            outcome = load.redis(storage.port, redis_benchmark.CONNECTIONS, requests, plan.round_s)
            self.rates[name].append(outcome.rate)
            self.costs[name].append((storage.cpu_s() - spent) / len(outcome.latencies) * 1e6)
            sessions.trim_outboxes(storage)


def _make_bare(storage: Storage, like: SessionKeys) -> SessionKeys:
    """Loads the bare function, and makes a session for it. Returns the session's keys.

    like: the event that the function writes has the size of an event of this session
    """
    session = SessionKeys.of(sessions.new_id())
    event = storage.client.fcall("sk_switch", 4, *like.all).decode()
    session_id = sessions.id_of(session)
    storage.client.function_load(_BARE % (event, session_id, session_id))
    storage.client.copy(like.session, session.session)
    return session


def _set_command(session: SessionKeys) -> bytes:
    packed: bytes = hiredis.pack_command(("SET", f"bench:{session.session}", "xyz"))  # type: ignore[arg-type]
    return packed


def run(kinds: Sequence[Kind], *, quick: bool) -> Report:
    """Measures on servers of these kinds."""
    redis_benchmark.program()
    for kind in kinds:
        servers.binary(kind)
    plan = QUICK if quick else FULL
    report = Report("core", quick)
    with ExitStack() as stack:
        benches = [
            _Bench(
                kind, stack.enter_context(servers.storage(kind)), stack.enter_context(servers.storage(kind))
            )
            for kind in kinds
        ]
        for bench in benches:
            report.versions[bench.kind] = bench.few.version
            bench.prepare(plan)
        for _ in range(plan.rounds):
            for bench in benches:
                bench.round(plan)
        for bench in benches:
            report.figures += _figures(bench, plan)
            report.figures += weight.figures(bench.few, plan.played)
            report.details[bench.kind] = {
                "rates_per_s": bench.rates,
                "cpu_us_per_call": bench.costs,
                "requests": bench.requests,
            }
    return report


def _figures(bench: _Bench, plan: Plan) -> list[Figure]:
    where = servers.NAMES[bench.kind]

    def rate(name: str, against: str, *, at_least: float | None = None, note: str | None = None) -> Figure:
        yardstick = _titled(against, plan, compared_with=name), bench.rates[against]
        title = f"{where}: {_titled(name, plan)}"
        return compared(title, "/s", bench.rates[name], yardstick, at_least=at_least, note=note)

    def cost(name: str, against: str, *, at_most: float | None = None, note: str | None = None) -> Figure:
        yardstick = _titled(against, plan, compared_with=name), bench.costs[against]
        title = f"{where}: {_titled(name, plan)}, CPU"
        return compared(title, "us", bench.costs[name], yardstick, at_most=at_most, note=note)

    return [
        rate("switch", "SET", at_least=AT_LEAST[bench.kind]),
        cost("switch", "SET", note="the rate of SET is redis-benchmark's limit and not the server's"),
        rate("bare", "SET", note="the calls of sk_switch with texts of the same size, and nothing else"),
        cost("bare", "SET"),
        rate("switch", "bare"),
        cost("switch", "bare"),
        rate("switch 1000", "switch", at_least=0.9),
        cost("switch 1000", "switch"),
        cost("switch, many", "switch, few", at_most=SAME, note="sessions at random; compare with SET"),
        cost("SET, many", "SET, few", note="keys at random, in the same servers"),
        Figure(
            name=f"{where}: memory of a running session",
            value=bench.bytes_a_session,
            unit="B",
            at_most=3072,
            note="two participants, empty log; hash, TTL, alarm and key: the additional memory of the server "
            f"with {plan.many:,} of them",
        ),
        rate("get", "SET"),
        rate("get 1000", "SET"),
        cost("get 1000", "get"),
    ]


def _titled(name: str, plan: Plan, compared_with: str = "") -> str:
    """The title of a measured command. With `compared_with`, it only names the difference to that command."""
    titles = {
        "switch": "sk_switch" if compared_with != "switch 1000" else "2 participants",
        "switch 1000": f"sk_switch, {PARTICIPANTS:,} participants",
        "switch, few": f"any of {plan.few:,}",
        "switch, many": f"sk_switch, any of {plan.many:,} sessions",
        "SET, few": f"any of {plan.few:,}",
        "SET, many": f"SET, any of {plan.many:,} keys",
        "bare": "bare function",
        "get": "sk_get" if compared_with != "get 1000" else "2 participants",
        "get 1000": f"sk_get, {PARTICIPANTS:,} participants",
    }
    return titles.get(name, name)
