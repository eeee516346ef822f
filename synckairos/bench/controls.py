"""The cost of a switch under each time control, compared with one under `fischer` in the same run.

Each session is in the state in which its control has most to do: where periods or blocks follow the main
time, that is used up, unless it earns an increment; a stage has moves left to count, and one that repeats
begins again with each move. All controls are measured in turns, round by round, and the figures are medians.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from synckairos.bench import redis_benchmark, servers, sessions
from synckairos.bench.report import Figure, Report, compared
from synckairos.bench.servers import Kind, Storage
from synckairos.core.keys import SessionKeys

DAY_MS = sessions.DAY_MS
HOUR_MS = 3_600_000
AT_MOST = 1.25
"""How many times the cost of a switch under `fischer` a switch may have."""

_STAGES = [{"moves": 1000, "time_ms": HOUR_MS, "kind": "delay", "delay_ms": 1000} for _ in range(7)]
CONTROLS: dict[str, dict[str, Any]] = {
    "fischer": {"kind": "fischer", "increment_ms": 2000},
    "bronstein": {"kind": "bronstein", "delay_ms": 2000},
    "delay": {"kind": "delay", "delay_ms": 2000},
    "byoyomi": {"kind": "byoyomi", "periods": 5, "period_ms": HOUR_MS},
    "byoyomi, increment": {"kind": "byoyomi", "periods": 5, "period_ms": HOUR_MS, "increment_ms": 2000},
    "canadian": {"kind": "canadian", "period_ms": DAY_MS, "moves": 25},
    "hourglass": {"kind": "hourglass"},
    "stages": {"kind": "stages", "stages": [*_STAGES, {"time_ms": HOUR_MS}]},
    "stages, repeat": {"kind": "stages", "repeat": True, "stages": [{"moves": 1, "time_ms": HOUR_MS}]},
    "none": {"kind": "none"},
    "fischer, overtime": {"kind": "fischer", "increment_ms": 2000, "overtime_ms": HOUR_MS},
    "fischer, lag compensation": {"kind": "fischer", "increment_ms": 2000},
}
_OWN_BANK = {"stages", "none"}
_WITHOUT_MAIN_TIME = {"byoyomi", "canadian"}


@dataclass(slots=True)
class _Bench:
    """One server and its measured values, one for each round.

    rates: calls a second
    costs: microseconds of the server's processor time for a call
    """

    kind: Kind
    storage: Storage
    round_s: float
    commands: dict[str, list[str]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    rates: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    costs: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def prepare(self) -> None:
        for name, control in CONTROLS.items():
            lag = name.endswith("lag compensation")
            without_main_time = name in _WITHOUT_MAIN_TIME
            session = _make(self.storage, control, lag=lag, without_main_time=without_main_time)
            self.commands[name] = ["FCALL", "sk_switch", "4", *session.all, *(["LAG", "20"] if lag else [])]
            self.requests[name] = redis_benchmark.requests_in(self.round_s, self.storage, self.commands[name])
            sessions.trim_outboxes(self.storage)

    def round(self) -> None:
        for name, command in self.commands.items():
            spent = self.storage.cpu_s()
            count = self.requests[name]
            self.rates[name].append(redis_benchmark.rate(self.storage, command, count))
            self.costs[name].append((self.storage.cpu_s() - spent) / count * 1e6)
            sessions.trim_outboxes(self.storage)

    def figures(self) -> list[Figure]:
        where = servers.NAMES[self.kind]
        fischer = "fischer", self.costs["fischer"]
        return [
            compared(f"{where}: sk_switch, {name}, CPU", "us", self.costs[name], fischer, at_most=AT_MOST)
            for name in CONTROLS
            if name != "fischer"
        ]


def _make(storage: Storage, control: dict[str, Any], *, lag: bool, without_main_time: bool) -> SessionKeys:
    """A running session of two participants under a control."""
    session = SessionKeys.of(sessions.new_id())
    bank = {} if control["kind"] in _OWN_BANK else {"total_time_ms": DAY_MS}
    people = [{"participant_id": sessions.new_id(), **bank} for _ in range(2)]
    config = {
        "sync_mode": "per_participant",
        "participants": people,
        "time_control": control,
        "lag_compensation": lag,
    }
    calls: list[tuple[str, tuple[str, ...], tuple[Any, ...]]] = [
        ("sk_create", session.all, (json.dumps(config),)),
        ("sk_start", session.all, ()),
    ]
    if without_main_time:
        calls += [
            ("sk_adjust", session.all, ("PARTICIPANT", each["participant_id"], "SET", 0)) for each in people
        ]
    sessions.calls(storage, calls)
    return session


def run(kinds: Sequence[Kind], *, quick: bool) -> Report:
    """Measures on servers of these kinds."""
    redis_benchmark.program()
    for kind in kinds:
        servers.binary(kind)
    report = Report("controls", quick)
    rounds, round_s = (2, 0.1) if quick else (9, 0.5)
    with ExitStack() as stack:
        benches = [_Bench(kind, stack.enter_context(servers.storage(kind)), round_s) for kind in kinds]
        for bench in benches:
            report.versions[bench.kind] = bench.storage.version
            bench.prepare()
        for _ in range(rounds):
            for bench in benches:
                bench.round()
        for bench in benches:
            report.figures += bench.figures()
            report.details[bench.kind] = {
                "rates_per_s": bench.rates,
                "cpu_us_per_call": bench.costs,
                "requests": bench.requests,
            }
    return report
