"""The dearest calls that somebody may make, as multiples of a switch.

A call holds the server's one thread for as long as it runs, and everybody else waits. So each kind of call is
made as large as the library allows, or is refused for being larger, and the dearest of all has a bound.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from synckairos.bench import servers, sessions
from synckairos.bench.report import Figure, Report, compared, median
from synckairos.bench.servers import Kind, Storage
from synckairos.core.keys import SessionKeys

AT_MOST_MS = 50.0
"""For how long one call may hold the server's thread."""
SHOWN = 20
MOST = 1000
"""Participants of a session."""
STAGES = 2000
"""Participants times stages of a session."""
CONFIG_BYTES = 524_288

Json = dict[str, Any]
Call = tuple[str, Sequence[str], Sequence[Any]]
Case = Callable[[Storage, int], list[Call]]
"""Makes so many calls, each of which costs the same, and the sessions that they need."""


def _stages(count: int, number: int = 0) -> Json:
    """A control of as many stages, whose text differs from those with other numbers."""
    kinds: list[Json] = [
        {"kind": "byoyomi", "periods": 5, "period_ms": 30_000},
        {"kind": "bronstein", "delay_ms": 2000},
    ]
    stages = [{"moves": 40, "time_ms": 3_600_000 + number, **kinds[place % 2]} for place in range(count - 1)]
    return {"kind": "stages", "stages": [*stages, {"time_ms": 1000 + number}], "overtime_ms": 5000}


def _people(count: int = MOST, **each: Any) -> list[Json]:
    return [{"participant_id": sessions.new_id(), **each} for _ in range(count)]


def _config(people: list[Json], mode: str = "per_participant", **more: Any) -> Json:
    return {"sync_mode": mode, "participants": people, **more}


_first_numbers = itertools.count(step=MOST)


def _of_each(people: list[Json], control: Callable[[int], Any]) -> list[Json]:
    """The same participants, each with a control of its own.

    No two of these have a number in common, because the library remembers the controls of the last calls.
    """
    numbers = itertools.count(next(_first_numbers))
    return [{**person, "time_control": control(next(numbers))} for person in people]


def _text(number: int) -> str:
    """A control as text, whose numbers differ from those with other numbers."""
    return f"40/{90 + number % MOST}:{30 + number // MOST}+30"


def _grouped(**group: Any) -> Json:
    """As many groups as there may be, with a member each."""
    groups = [sessions.new_id() for _ in range(MOST)]
    people = [{**person, "group_id": group_id} for person, group_id in zip(_people(), groups, strict=True)]
    return _config(people, "per_group", groups=[{"group_id": each, **group} for each in groups])


def _banked(**more: Any) -> Json:
    return _config(_people(total_time_ms=86_400_000), **more)


def _unknown(limit: int) -> Json:
    """Unknown names, as many as these bytes hold."""
    return {f"x{number:05}": 0 for number in range(limit // 11)}


CONFIGS: dict[str, Callable[[], Any]] = {
    "1,000 participants": _banked,
    "1,000, lag compensation": lambda: _banked(lag_compensation=True),
    "1,000, two stages for all": lambda: _config(_people(), time_control=_stages(2)),
    "1,000, two stages each": lambda: _config(_of_each(_people(), lambda number: _stages(2, number))),
    "250, eight stages each": lambda: _config(_of_each(_people(250), lambda number: _stages(8, number))),
    "1,000, eight stages each (refused)": lambda: _config(_of_each(_people(), lambda _: _stages(8))),
    "1,000, text each": lambda: _config(_of_each(_people(), _text)),
    "1,000, the same text": lambda: _config(_of_each(_people(), lambda _: "40/90:30+30")),
    "1,000 groups": lambda: _grouped(total_time_ms=86_400_000),
    "1,000 groups, lag compensation, two stages": lambda: {
        **_grouped(),
        "lag_compensation": True,
        "time_control": _stages(2),
    },
    "512 KB of unknown names (refused)": lambda: _unknown(CONFIG_BYTES),
    "1,000 participants of unknown names (refused)": lambda: _config(
        [{**person, **_unknown(400)} for person in _people()]
    ),
    "1,000 wrong participants (refused)": lambda: _config(
        [{"participant_id": "x", "group_id": 5, "total_time_ms": "1", "time_control": 5}] * MOST
    ),
    "1,000 wrong controls (refused)": lambda: _config(
        _of_each(_people(), lambda _: {"kind": "stages", "stages": [{"kind": "delay"}] * 8})
    ),
    "1,000 controls of unknown names (refused)": lambda: _config(
        _of_each(_people(), lambda _: {"kind": "fischer", **_unknown(400)})
    ),
    "1,000 wrong texts (refused)": lambda: _config(_of_each(_people(), lambda _: "1/1:" * 49 + "?")),
    "a list of 500 KB (refused)": lambda: _config([0] * 250_000),  # type: ignore[list-item] # it is wrong
    "nested lists of 500 KB (refused)": lambda: _banked() | {"warnings_ms": [[[]]] * 60_000},
    "metadata of 500 KB (refused)": lambda: _config(_people(2), metadata={"x": [0] * 240_000}),
    "metadata of 10 KB": lambda: _config(_people(2, total_time_ms=1000), metadata={"x": [{"": ""}] * 1200}),
}


def _creations(make: Callable[[], Any]) -> Case:
    def calls(_: Storage, count: int) -> list[Call]:
        texts = [json.dumps(make(), separators=(",", ":")) for _ in range(count)]
        return [("sk_create", SessionKeys.of(sessions.new_id()).all, (text,)) for text in texts]

    return calls


def _made(storage: Storage, config: Any, *more: Call) -> SessionKeys:
    """A running session."""
    keys = SessionKeys.of(sessions.new_id())
    text = json.dumps(config)
    sessions.calls(storage, [("sk_create", keys.all, (text,)), ("sk_start", keys.all, ()), *more])
    return keys


def _exported(storage: Storage, config: Any) -> tuple[SessionKeys, str]:
    keys = _made(storage, config)
    state = storage.client.fcall("sk_get", 1, keys.session, "EXPORT").decode()
    return keys, state


def _reads(config: Callable[[], Any], *options: str) -> Case:
    def calls(storage: Storage, count: int) -> list[Call]:
        return [("sk_get", (_made(storage, config()).session,), options)] * count

    return calls


def _restores(config: Callable[[], Any]) -> Case:
    def calls(storage: Storage, count: int) -> list[Call]:
        made = [_exported(storage, config()) for _ in range(count)]
        for keys, _ in made:
            storage.client.delete(keys.session, keys.log)
        return [("sk_restore", keys.all, (state,)) for keys, state in made]

    return calls


def _imports(storage: Storage, count: int) -> list[Call]:
    del storage
    config = _banked()
    standing = {
        "status": "paused",
        "active_participant_id": config["participants"][0]["participant_id"],
        "participants": [
            {"participant_id": each["participant_id"], "bank_ms": 1000, "time_used_ms": 5, "cycle_count": 1}
            for each in config["participants"]
        ],
    }
    texts = json.dumps(config), json.dumps(standing)
    return [("sk_import", SessionKeys.of(sessions.new_id()).all, texts) for _ in range(count)]


def _logs(storage: Storage, count: int) -> list[Call]:
    keys = _made(storage, _banked())
    actor = "\N{BEL}" * 255  # each becomes six characters in JSON
    sessions.calls(storage, [("sk_switch", keys.all, ("ACTOR", actor, "TRACE", actor)) for _ in range(61)])
    return [("sk_log", (keys.session, keys.log), (0,))] * count


def _group_of_all(leave: bool) -> Case:
    """Joins, or leaves of the active one, in a session with one group of all."""

    def calls(storage: Storage, count: int) -> list[Call]:
        group = sessions.new_id()
        people = _people(MOST - 1, group_id=group)
        config = _config(people, "per_group", groups=[{"group_id": group, "total_time_ms": 86_400_000}])
        made = [_made(storage, config) for _ in range(count)]
        if leave:
            return [("sk_leave", keys.all, (people[0]["participant_id"],)) for keys in made]
        newcomer = json.dumps({"participant_id": sessions.new_id(), "group_id": group})
        return [("sk_join", keys.all, (newcomer,)) for keys in made]

    return calls


def _moves(storage: Storage, count: int) -> list[Call]:
    keys = _made(storage, CONFIGS["1,000, two stages each"]())
    options = ("MOVE", "m", "TARGET", "127.0.0.1:1", "LEASE", 600_000)
    return [("sk_move_out", keys.all, options)] * count


def _arrivals(storage: Storage, count: int) -> list[Call]:
    (_, all_keys, options), *_ = _moves(storage, 1)
    session, *events = storage.client.fcall("sk_move_out", 4, *all_keys, *options)
    storage.client.delete(*all_keys[:2])
    arguments = (session, b"\n".join(events), "MOVE", "m", "TARGET", "127.0.0.1:1", "SHIFT", 0)
    return [("sk_move_in", all_keys, arguments)] * count


def _looks(storage: Storage, count: int) -> list[Call]:
    """A tenant's thousand sessions, looked at by its quota."""
    keys = "sk:quota:{bench}", "sk:quota:{bench}:looked"
    storage.client.zadd(keys[1], {sessions.new_id(): number for number in range(MOST)})
    return [("sk_quota", keys, ("LOOK", MOST))] * count


def _deletions(storage: Storage, count: int) -> list[Call]:
    config = _banked()
    return [("sk_delete", _made(storage, config).all, ()) for _ in range(count)]


def _switches(storage: Storage, count: int) -> list[Call]:
    config = _grouped(total_time_ms=86_400_000)
    actor = "\N{BEL}" * 255
    limit = ("LIMIT", 1_000_000, 1_000_000, 1000, 0)
    options = ("ACTOR", actor, "TRACE", actor, "REQUEST", "r" * 255, *limit)
    keys = _made(storage, config)
    return [("sk_switch", keys.all, (*options[:5], f"{number:0255}", *limit)) for number in range(count)]


def _plain(storage: Storage, count: int) -> list[Call]:
    two = _made(storage, _config(_people(2, total_time_ms=86_400_000)))
    return [("sk_switch", two.all, ())] * count


CASES: dict[str, Case] = {
    **{f"sk_create, {name}": _creations(make) for name, make in CONFIGS.items()},
    "sk_get, 1,000": _reads(_banked),
    "sk_get EXPORT, 1,000": _reads(_banked, "EXPORT"),
    "sk_get, two stages each": _reads(CONFIGS["1,000, two stages each"]),
    "sk_get EXPORT, two stages each": _reads(CONFIGS["1,000, two stages each"], "EXPORT"),
    "sk_get SUMMARY, 1,000": _reads(_banked, "SUMMARY"),
    "sk_get SUMMARY, 1,000 groups": _reads(CONFIGS["1,000 groups"], "SUMMARY"),
    "sk_restore, 1,000": _restores(_banked),
    "sk_restore, two stages each": _restores(CONFIGS["1,000, two stages each"]),
    "sk_restore, 1,000 groups": _restores(CONFIGS["1,000 groups, lag compensation, two stages"]),
    "sk_import, 1,000": _imports,
    "sk_log, 64 events": _logs,
    "sk_join, group of 1,000": _group_of_all(leave=False),
    "sk_leave, group of 1,000": _group_of_all(leave=True),
    "sk_move_out, two stages each": _moves,
    "sk_move_in, two stages each": _arrivals,
    "sk_delete, 1,000": _deletions,
    "sk_quota LOOK, 1,000": _looks,
    "sk_switch, 1,000 groups, all options": _switches,
}


@dataclass(slots=True)
class _Bench:
    """One server and its measured values: microseconds of processor time for a call, one for each round."""

    kind: Kind
    storage: Storage
    costs: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, name: str, case: Case, count: int) -> None:
        calls = case(self.storage, count)
        pipeline = self.storage.client.pipeline(transaction=False)
        for function, keys, arguments in calls:
            pipeline.fcall(function, len(keys), *keys, *arguments)
        spent = self.storage.cpu_s()
        replies = pipeline.execute(raise_on_error=False)
        cost = (self.storage.cpu_s() - spent) / count * 1e6
        refused = any(isinstance(reply, Exception) for reply in replies)
        if refused != name.endswith("(refused)"):
            raise AssertionError(f"{name}: {str(replies[0])[:500]}")
        self.costs.setdefault(name, []).append(cost)
        self.storage.client.flushall()

    def figures(self) -> list[Figure]:
        where = servers.NAMES[self.kind]
        switch = "a switch", self.costs["switch"]
        dearest = sorted(CASES, key=lambda name: -median(self.costs[name]))[:SHOWN]
        return [
            Figure(
                name=f"{where}: the dearest call of all",
                value=max(median(self.costs[name]) for name in CASES) / 1000,
                unit="ms",
                at_most=AT_MOST_MS,
                note=dearest[0],
            ),
            *(compared(f"{where}: {name}, CPU", "us", self.costs[name], switch) for name in dearest),
        ]


def run(kinds: Sequence[Kind], *, quick: bool) -> Report:
    """Measures on servers of these kinds."""
    for kind in kinds:
        servers.binary(kind)
    report = Report("dearest", quick)
    rounds, count = (1, 1) if quick else (3, 3)
    with ExitStack() as stack:
        benches = [_Bench(kind, stack.enter_context(servers.storage(kind))) for kind in kinds]
        for _ in range(rounds):
            for bench in benches:
                bench.measure("switch", _plain, 50 * count)
                for name, case in CASES.items():
                    bench.measure(name, case, count)
        for bench in benches:
            report.versions[bench.kind] = bench.storage.version
            report.figures += bench.figures()
            report.details[bench.kind] = {"cpu_us_per_call": bench.costs}
    return report
