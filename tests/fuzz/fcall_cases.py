"""Calls of all registered functions, straight on a server: valid ones, and almost valid ones.

The grammar has a row for each function, and a function without a row fails the run. What is made up is not
only an argument but also keys, the order of things, and JSON that another session, another moment or another
function has made. Under virtual time the clock moves between the calls, so that clocks run out.

After each call: an error is one of the contract's and has changed nothing, a state has at most one active
participant and the version of its log, no key is outside of `sk:`. After each block of calls: every log is
without gaps, `synckairos.history` finds nothing wrong in it, and no key without an end is left. In some
blocks another program puts values of its own into the keys: there a call may fail with Redis' own WRONGTYPE,
and must not change anything either.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random
from typing import Any

import msgspec

from synckairos import errors
from synckairos.core.keys import SessionKeys
from synckairos.history.truth import History, SessionTruth
from tests.fuzz.mutations import ODD, as_json, changed_text, changed_value
from tests.fuzz.report import Report
from tests.model import strategies
from tests.model.driver import CLOCK_KEY, SERVER_KEY, Driver
from tests.model.observer import FINGERPRINTS, Observer, pairs
from tests.model.strategies import BANKS, KINDS, MISTAKES, PEOPLE, TEAMS, UNKNOWN_ID
from tests.support.games import chooser
from tests.support.leaks import take_leaks
from tests.support.servers import Server

BLOCK = 1000
"""Each block of calls begins on an empty server with a seed of its own, so that it can be repeated alone."""
START = 1_800_000_000_000
IDS = [
    f"5e550000-0000-4000-8000-00000000{number:02x}{partition}"
    for partition in ("aa", "bb")
    for number in range(4)
]
BUCKETS = [f"sk:rl:{{{name}}}" for name in ("a", "b c", "x" * 200)]
QUOTAS = [f"sk:quota:{{{name}}}" for name in ("red", "%C3%A9")]
MODES = ["per_participant", "per_group", "per_cycle", "global", "count_up"]
FOREIGN = [
    *[("SET", "not ours"), ("RPUSH", "not ours"), ("SADD", "not ours"), ("ZADD", "1", "not ours")],
    *[
        ("HSET", "status", "running"),
        ("HSET", "not", "ours"),
        ("XADD", "900-0", "e", "{}"),
        ("ZADD", "inf", ""),
    ],
]
"""Commands that put a foreign value into a key."""
OVERDUE = "overdue"  # nobody calls sk_expire here, so a clock may be out for long

MOVES = {
    "held": ["sk_move_commit"] * 4
    + ["sk_move_undo", "sk_move_out", "sk_switch", "sk_expire", "sk_get", "sk_delete"],
    "gone": ["sk_move_in"] * 4
    + ["sk_move_finish", "sk_move_out", "sk_move_commit", "sk_expire", "sk_create"],
    "copy": ["sk_move_activate"] * 4 + ["sk_move_undo", "sk_move_in", "sk_switch", "sk_expire", "sk_log"],
}
"""What may come next in a move that has come so far."""
Call = tuple[str, list[str | bytes], list[Any]]
"""A function, its keys, its arguments."""


class World:
    """What the calls so far have led to, from which the next ones are made."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = START
        self.states: dict[str, dict[str, Any]] = {}
        """The state of each session that can be read."""
        self.exported: list[str] = []
        """States with what `sk_restore` needs; of any session."""
        self.steps: dict[str, str] = {}
        """How far the move of each session has come that is on its way: held, gone, copy."""
        self.moves: dict[str, list[str]] = {}
        """The newest replies of `sk_move_out`, by session."""
        self.given_up: dict[str, str] = {}
        """The newest replies of `sk_move_commit`, by session."""
        self.forged: set[str] = set()
        """Sessions that came with other events than those that their source told."""

    def step(self, session_id: str) -> None:
        """Let time pass: mostly a little, sometimes to the deadline of a session, seldom far or back."""
        rng, state = self.rng, self.states.get(session_id, {})
        moments = [state.get(name) for name in ("deadline_ms", "starts_at_ms", "ends_at_ms", "resumes_at_ms")]
        deadline = min((each for each in moments if each), default=None)
        match rng.randrange(80):
            case 0:
                self.now += rng.choice([60_000, 60_000, 3_600_000, 90_000_000])
            case 1:
                self.now -= rng.choice([1, 700, 5000])
            case roll if roll < 16 and deadline and deadline > self.now - 10_000:
                self.now = deadline + rng.choice([-1001, -1, 0, 0, 1, 10, 500, 1001, 2500])
            case _:
                self.now += rng.choice([0, 0, 1, 9, 11, 100, 300, 500, 1000, 2500])


class Grammar:
    """Makes calls."""

    def __init__(self, world: World) -> None:
        self.world, self.rng = world, world.rng
        self._draw = chooser(world.rng.getrandbits(32))
        self.functions: dict[str, Callable[[str], list[Any]]] = {
            "sk_create": self._create,
            "sk_start": self._common,
            "sk_switch": self._switch,
            "sk_pause": lambda of: [*self._free(), *self._player(of), *self._common(of)],
            "sk_resume": lambda of: self._player(of) + self._common(of),
            "sk_complete": self._common,
            "sk_cancel": self._common,
            "sk_takeback": lambda of: [
                *(["TURNS", self._pick([1, 1, 2, 3, 16])] if self.rng.random() < 0.5 else []),
                *self._common(of),
            ],
            "sk_turn": lambda of: [self._somebody(of), *self._common(of)],
            "sk_reopen": self._common,
            "sk_reset": self._common,
            "sk_schedule": self._schedule,
            "sk_metadata": lambda of: [as_json(strategies.patch(self._draw)), *self._common(of)],
            "sk_adjust": self._adjust,
            "sk_join": lambda of: [
                as_json(self._newcomer()),
                *(["SHORT"] if self.rng.random() < 0.3 else []),
                *self._common(of),
            ],
            "sk_leave": lambda of: [self._somebody(of), *self._common(of)],
            "sk_expire": lambda _: [],
            "sk_delete": self._common,
            "sk_convert": lambda _: ["SCHEMA", self._pick([1, 2])],
            "sk_get": self._get,
            "sk_log": self._log,
            "sk_restore": self._restore,
            "sk_import": self._import,
            "sk_move_out": lambda _: [
                *self._move(),
                "TARGET",
                "10.0.0.1:6379",
                "LEASE",
                self._pick([1000, 5000]),
            ],
            "sk_move_in": self._move_in,
            "sk_move_commit": lambda _: self._move(),
            "sk_move_activate": lambda of: [self._own(self.world.given_up, of, "{}"), *self._move()],
            "sk_move_finish": lambda _: self._move(),
            "sk_move_undo": lambda _: self._move(),
            "sk_throttle": lambda _: [
                *[self._pick([1, 3, 10]), self._pick([1, 10]), self._pick([1000, 60_000])],
                *[self._pick([0, 1, 2]), self._pick([0, 0, 5000])],
            ],
            "sk_quota": self._quota,
            "sk_info": lambda _: [],
        }
        self._others = [name for name in self.functions if name not in ("sk_create", "sk_switch")]

    def call(self, session_id: str) -> Call:
        """A valid call for a session, as far as that can be known, or one with some mistakes."""
        function = self._function(session_id)
        arguments = [
            each if isinstance(each, bytes) else str(each) for each in self.functions[function](session_id)
        ]
        keys: list[str | bytes] = [*self._keys(function, session_id)]
        for _ in range(self._pick([0, 0, 0, 0, 0, 0, 0, 1, 1, 2])):
            self._mistake(keys, arguments)
        return function, keys, arguments

    def _pick(self, options: Any) -> Any:
        return self.rng.choice(options)

    def _function(self, session_id: str) -> str:
        status = self.world.states.get(session_id, {}).get("status")
        if self.rng.random() < 0.25:
            return str(self._pick(self._others))
        if session_id in self.world.steps and self.rng.random() < 0.7:
            return str(self._pick(MOVES[self.world.steps[session_id]]))
        likely = {
            None: ["sk_create"] * 6
            + ["sk_restore", "sk_import", "sk_move_in", "sk_move_commit", "sk_move_activate"],
            "pending": ["sk_start"] * 5
            + ["sk_join", "sk_leave", "sk_adjust", "sk_get", "sk_turn", "sk_schedule", "sk_expire"],
            "running": ["sk_switch"] * 9
            + [
                "sk_expire",
                "sk_pause",
                "sk_adjust",
                "sk_join",
                "sk_leave",
                "sk_log",
                "sk_get",
                "sk_move_out",
                *["sk_takeback", "sk_schedule", "sk_reset", "sk_metadata"],
            ],
            "paused": ["sk_resume"] * 3
            + ["sk_adjust", "sk_switch", "sk_expire", "sk_leave", "sk_turn", "sk_takeback", "sk_schedule"],
        }
        over = ["sk_delete"] * 3 + ["sk_reopen"] * 2
        over += ["sk_reset", "sk_get", "sk_switch", "sk_log", "sk_metadata"]
        return str(self._pick(likely.get(status, over)))

    def _keys(self, function: str, session_id: str) -> list[str]:
        match function:
            case "sk_throttle":
                return [self._pick(BUCKETS)]
            case "sk_quota":
                key = self._pick(QUOTAS)
                return [key, key + ":looked"]
        count = {"sk_get": 1, "sk_log": 2, "sk_info": 0}.get(function, 4)
        return [*SessionKeys.of(session_id).all[:count]]

    def _mistake(self, keys: list[str | bytes], arguments: list[Any]) -> None:
        """One mistake in the keys or the arguments."""
        if self.rng.random() < 0.12:
            self._mistake_in_keys(keys)
            return
        place = self.rng.randrange(len(arguments)) if arguments else 0
        match self.rng.randrange(6):
            case 0 | 1 | 2 if arguments:
                arguments[place] = self._changed(arguments[place])
            case 3 if arguments:
                del arguments[place]
            case 4 if arguments:
                arguments.insert(place, self._pick(arguments))
            case _:
                words = [
                    "TENANT",
                    "version",
                    "EPOCH",
                    "REQUEST",
                    "PLAYER",
                    "LIMIT",
                    "EXPORT",
                    "DRYRUN",
                    "SUMMARY",
                    "SCHEMA",
                    *["TURNS", "STARTS", "ENDS", "FREE", "CLOCK", "SHORT"],
                ]
                value = self._pick([*ODD, *PEOPLE])
                arguments += [
                    self._pick([*words, "MOVE", "TTL", "UNLESS", "\0"]),
                    *[str(value)][: self._pick([0, 1])],
                ]

    def _changed(self, argument: str | bytes) -> bytes:
        text = argument.encode(errors="surrogatepass") if isinstance(argument, str) else argument
        if text[:1] in (b"{", b"[") and self.rng.random() < 0.75:
            with suppress(ValueError, RecursionError):
                return as_json(changed_value(self.rng, json.loads(text)))
        return changed_text(self.rng, text)

    def _mistake_in_keys(self, keys: list[str | bytes]) -> None:
        other = SessionKeys.of(self._pick(IDS)).all
        place = self.rng.randrange(len(keys)) if keys else 0
        match self.rng.randrange(6):
            case 0 if keys:
                keys[place] = self._pick(other)
            case 1 if keys:
                keys[place] = self._changed(keys[place])
            case 2 if keys:
                del keys[place]
            case 3:
                self.rng.shuffle(keys)
            case 4:
                keys[:] = other
            case _:
                keys.append(self._pick([*other, *BUCKETS, *QUOTAS, "elsewhere", "", "sk:{vt}:x"]))

    def _common(self, of: str, *, create: bool = False) -> list[Any]:
        state, found = self.world.states.get(of, {}), list[Any]()
        tenant = self._pick([None, None, "red"]) if create else state.get("tenant_id")
        if tenant is None and self.rng.random() < 0.04:
            tenant = "blue"
        if tenant is not None:
            found += ["TENANT", tenant]
        if self.rng.random() < 0.15:
            found += ["ACTOR", self._pick(["ann", "é\u2028", '"', "link:1"]), "TRACE", "0" * 32]
            found += ["TRACEPARENT", self._pick([f"00-{'a' * 32}-{'b' * 16}-01", "00-a-b-01"])]
        if self.rng.random() < 0.2:
            found += ["REQUEST", f"r{self.rng.randrange(12)}"]
        if not create and self.rng.random() < 0.1:
            found += ["VERSION", state.get("version", 1) + self._pick([0, 0, 0, 0, -1, 1])]
        if not create and self.rng.random() < 0.05:
            found += ["EPOCH", state.get("epoch", "1")]
        return found + self._schema()

    def _schema(self) -> list[Any]:
        return ["SCHEMA", self._pick([1, 2, 2])] if self.rng.random() < 0.2 else []

    def _somebody(self, of: str) -> str:
        people = [each["participant_id"] for each in self.world.states.get(of, {}).get("participants", [])]
        return str(self._pick([*people, *people, *PEOPLE[:2], UNKNOWN_ID]))

    def _player(self, of: str) -> list[Any]:
        return ["PLAYER", self._somebody(of)] if self.rng.random() < 0.3 else []

    def _config(self) -> dict[str, Any]:
        if self.rng.random() < 0.002:  # seldom, as all calls after it are dear
            count = self._pick([100, 1000])
            people = [{"participant_id": str(uuid.UUID(int=n)), "total_time_ms": 5000} for n in range(count)]
            return {"sync_mode": "per_participant", "participants": people}
        mode = self._pick(MODES)
        kind = self._pick({"global": ["total", "cycle", "both"]}.get(mode, KINDS))
        made = strategies.config(self._draw, mode, kind, self.world.now)
        return made | self._pick(MISTAKES) if self.rng.random() < 0.03 else made

    def _create(self, of: str) -> list[Any]:
        ttl = ["TTL", self._pick([600, 3600])] if self.rng.random() < 0.5 else []
        short = ["SHORT"] if self.rng.random() < 0.3 else []
        return [as_json(self._config()), *ttl, *short, *self._common(of, create=True)]

    def _switch(self, of: str) -> list[Any]:
        state, found = self.world.states.get(of, {}), self._player(of)
        if self.rng.random() < 0.2:
            found += ["NEXT", self._somebody(of)]
        if self.rng.random() < 0.2:
            found += ["CURRENT", state.get("active_participant_id") or self._somebody(of)]
        if self.rng.random() < 0.2:
            found += ["LAG", self._pick([0, 1, 200, 5000])]
        if self.rng.random() < 0.2:
            found += ["LIMIT", self._pick([1, 10]), 10, 1000, self._pick([0, 10_000])]
        return found + self._common(of)

    def _adjust(self, of: str) -> list[Any]:
        found = list[Any]()
        match self._pick([0, 0, 1, 2]):
            case 0:
                found += ["PARTICIPANT", self._somebody(of)]
            case 1:
                found += ["GROUP", self._pick(TEAMS[:3])]
            case 2 if self.rng.random() < 0.4:
                found += ["CLOCK", "total"]
        found += self._pick([["SET", self._pick([0, *BANKS])], ["ADD", self._pick([-5000, -1, 1, *BANKS])]])
        if self.rng.random() < 0.2:
            found += ["WITHIN", self._pick([1, 1000, 86_400_000])]
        if self.rng.random() < 0.2:
            found += ["REASON", self._pick(["", "r\n", "é"])]
        return found + self._common(of)

    def _free(self) -> list[Any]:
        return ["FREE"] if self.rng.random() < 0.2 else []

    def _schedule(self, of: str) -> list[Any]:
        found = list[Any]()
        for name in self._pick([["STARTS"], ["ENDS"], ["STARTS", "ENDS"]]):
            soon = self.world.now + self._pick([-1, 1, 500, 5000, 3_600_000, 40_000_000_000])
            found += [name, self._pick(["none", soon, soon, soon])]
        return found + self._common(of)

    def _newcomer(self) -> dict[str, Any]:
        made = {"participant_id": self._pick(PEOPLE), "total_time_ms": self._pick(BANKS)}
        if self.rng.random() < 0.3:
            made["participant_index"] = self._pick([0, 7, 999])
        if self.rng.random() < 0.3:
            made["group_id"] = self._pick(TEAMS)
        if self.rng.random() < 0.2:
            made["time_control"] = strategies.control(self._draw)
        return made

    def _get(self, of: str) -> list[Any]:
        state = self.world.states.get(of, {"version": 1, "epoch": "1"})
        unless = ["UNLESS", f"{state['version']}@{state['epoch']}"]
        found = self._pick([[], ["EXPORT"], ["EXPORT"], ["EXPORT", "SCHEMA", 2], ["SUMMARY"], unless])
        return [*found, *(["TENANT", self._pick(["red", "blue"])] if self.rng.random() < 0.2 else [])]

    def _log(self, of: str) -> list[Any]:
        state = self.world.states.get(of, {"version": 1, "epoch": "1"})
        since = max(0, state["version"] - self._pick([0, 1, 3, 70, -1]))
        return [since, *(["EPOCH", state["epoch"]] if self.rng.random() < 0.5 else [])]

    def _restore(self, of: str) -> list[Any]:
        if not self.world.exported:
            return ["{}"]
        text = self._pick(self.world.exported)
        if self.rng.random() < 0.7:  # as if it were this session's
            text = text.replace(json.loads(text)["session_id"], of)
        found = [text]
        if self.rng.random() < 0.3:
            found += ["VERSION", self._pick([1, 5, 99_999]), "EPOCH", self.world.now]
        return found + self._schema()

    def _import(self, _: str) -> list[Any]:
        config = self._config()
        ids = [each["participant_id"] for each in config.get("participants") or []]
        grouped = list(
            {each["group_id"]: 0 for each in config.get("participants") or [] if "group_id" in each}
        )
        status = self._pick(["pending", "running", "running", "paused", "completed", "cancelled", "expired"])
        live, begun = status in ("running", "paused"), status != "pending"
        standing = {
            "status": status,
            "active_participant_id": self._pick(ids) if ids and live else None,
            "cycle_started_ms": self.world.now - self._pick([0, 500, 5000]) if status == "running" else None,
            "created_ms": self.world.now - 100_000,
            "started_ms": self.world.now - 50_000 if begun else None,
            "completed_ms": self.world.now if begun and not live else None,
            "time_used_ms": 0,
            "cycle_count": self._pick([0, 3]),
            "participants": [{"participant_id": each, "bank_ms": self._pick(BANKS)} for each in ids],
            "groups": [{"group_id": each, "bank_ms": self._pick(BANKS)} for each in grouped],
        }
        given = {name: value for name, value in standing.items() if value is not None and value != []}
        return [as_json(config), as_json(given), *(["DRYRUN"] if self.rng.random() < 0.2 else [])]

    def _move(self) -> list[Any]:
        return ["MOVE", self._pick(["m1"] * 7 + ["m2"])]

    def _own(self, replies: dict[str, Any], of: str, other: Any) -> Any:
        """The reply for this session, mostly; at times that for another one."""
        if of in replies and self.rng.random() < 0.8:
            return replies[of]
        return self._pick([*replies.values()] or [other])

    def _move_in(self, of: str) -> list[Any]:
        session, *events = self._own(self.world.moves, of, ["{}"])
        told = "\n".join(events)
        if self.rng.random() < 0.7:
            with suppress(ValueError, KeyError):
                other = json.loads(session)["session_id"]
                session, told = session.replace(other, of), told.replace(other, of)
        return [
            session,
            told,
            *self._move(),
            "TARGET",
            "10.0.0.2:6379",
            "SHIFT",
            self._pick([0, -5000, 5000, 10**9]),
        ]

    def _quota(self, of: str) -> list[Any]:
        return [
            *self._pick(
                [
                    ["CREATE", of, 2, self._pick([-1, 3]), self._pick([-1, 8]), self._pick([-1, 100])],
                    ["REVIVE", of, 2, self._pick([-1, 3]), self._pick([-1, 8])],
                    ["CREATED", of],
                    ["FOUND", of, 2],
                    ["JOIN", of, self._pick([-1, 1]), self._pick([-1, 8])],
                    ["DROP", of],
                    ["UNDO", of],
                    ["LOOK", self._pick([1, 1000])],
                ]
            )
        ]


class Fuzzer:
    """Plays calls on one server, under virtual time."""

    def __init__(self, server: Server, report: Report) -> None:
        self.report = report
        self.client = server.sync_client()
        Driver(self.client).load()
        self.observer = Observer(self.client, ["sk:{aa}:nobody"])
        self._check_grammar()
        self._before: dict[bytes, tuple[str, int]] = {}
        self._spoiled = False
        """Whether another program writes into the keys, in this block."""

    def close(self) -> None:
        """Leave the server empty."""
        self.client.flushall()
        self.observer.close()
        self.client.close()

    def _check_grammar(self) -> None:
        listed: Any = self.client.execute_command("FUNCTION", "LIST")
        registered = {
            dict(pairs(function))[b"name"].decode()
            for library in listed
            for function in dict(pairs(library))[b"functions"]
        }
        known = Grammar(World(Random(0))).functions.keys()
        if registered != known:
            self.report.fail("the grammar has other functions than the library", registered ^ known)

    def run(self, cases: int, first_block: int = 0) -> None:
        """So many calls. Raises TooManyFailures."""
        self.client.config_set("slowlog-log-slower-than", 1000)
        self.client.config_resetstat()
        self.client.slowlog_reset()
        for block in range(first_block, first_block + -(-cases // BLOCK)):
            self._block(Random(f"{self.report.seed}/{block}"), min(BLOCK, cases - self.report.cases))
        slow: list[dict[str, Any]] = self.client.slowlog_get(128)
        dearest = [each for each in slow if each["command"].startswith(b"FCALL")]
        self.report.figures["dearest_call_ms"] = max((each["duration"] / 1000 for each in dearest), default=0)

    def _block(self, rng: Random, cases: int) -> None:
        self.observer.reset()
        self._before = {}
        self._spoiled = rng.random() < 0.15
        world = World(rng)
        grammar = Grammar(world)
        for _ in range(cases):
            session_id = rng.choice(IDS)
            world.step(session_id)
            if rng.random() < 0.02:
                self._vanish(world, session_id)
            if self._spoiled and rng.random() < 0.03:
                self._plant(rng, session_id)
            self._case(world, session_id, grammar.call(session_id))
        self._look(world)

    def _vanish(self, world: World, session_id: str) -> None:
        """A session is lost, as in an eviction."""
        keys = SessionKeys.of(session_id)
        self.observer.ask(("DEL", keys.session, keys.log))
        world.states.pop(session_id, None)
        for key in (keys.session, keys.log):
            self._before.pop(key.encode(), None)

    def _plant(self, rng: Random, session_id: str) -> None:
        """Another program puts a value of its own into a key."""
        key = rng.choice([*SessionKeys.of(session_id).all, BUCKETS[0], QUOTAS[0]])
        command, *values = rng.choice(FOREIGN)
        self.observer.ask(("DEL", key), (command, key, *values))
        self._before = {
            bytes(name): (digest, expires)
            for name, digest, expires in self.observer.ask(("EVAL", FINGERPRINTS, 0, CLOCK_KEY, SERVER_KEY))[
                0
            ]
        }

    def _case(self, world: World, session_id: str, call: Call) -> None:
        function, names, arguments = call
        keys = SessionKeys.of(session_id)
        _, before, reply, state, newest, alarm, moving, found = self.observer.ask(
            ("SET", CLOCK_KEY, world.now),
            ("HGET", (*names, keys.session)[0], "moving"),  # type: ignore[arg-type]
            ("FCALL", function, len(names), *names, *arguments),  # type: ignore[arg-type]
            ("FCALL_RO", "sk_get", 1, keys.session),
            ("XREVRANGE", keys.log, "+", "-", "COUNT", 1),
            ("ZSCORE", keys.alarms, session_id),
            ("HGET", keys.session, "moving"),
            ("EVAL", FINGERPRINTS, 0, CLOCK_KEY, SERVER_KEY),
        )
        self.report.cases += 1
        about = [*call, world.now]
        world.steps.pop(session_id, None)
        if isinstance(moving, bytes) and (step := moving.split(b" ")[0].decode()) in MOVES:
            world.steps[session_id] = step
        after = {bytes(name): (digest, expires) for name, digest, expires in found}
        was_held, held = (isinstance(each, bytes) and each.startswith(b"held ") for each in (before, moving))
        if isinstance(reply, Exception):
            code = self._refused(str(reply), about)
            # The hold of a move ends with the first call after its time; a refusal begins a cooldown.
            changes = [] if was_held or code == "RATE_LIMIT_EXCEEDED" else _differences(self._before, after)
            if function == "sk_expire" or self._spoiled:  # a wrong alarm is corrected on the way
                changes = [change for change in changes if not change[0].endswith(b":alarms")]
            if self._spoiled and function in MAKERS:
                # What was left of a lost session goes. A copy keeps what it got, as it does not run.
                changes = [change for change in changes if change[2] is not None and function != ACTIVATE]
            if changes:
                self.report.fail("a refused call has changed something", changes, str(reply), *about)
        else:
            self.report.answers[f"{function} done"] += 1
            self._remember(world, session_id, function, arguments, reply)
        self._before = after
        if any(not name.startswith(b"sk:") for name in after):
            self.report.fail("a key is outside of sk:", list(after), *about)
        if isinstance(state, Exception):
            world.states.pop(session_id, None)
            unread = {"SESSION_NOT_FOUND", "SESSION_MOVED", "SESSION_MOVING", WRONGTYPE * self._spoiled}
            if str(state).partition(" ")[0] not in unread:
                self.report.fail("the session cannot be read", str(state), *about)
            return
        world.states[session_id] = read = json.loads(state)
        if self._spoiled:
            return
        for problem in problems_of(read, newest, alarm, held=held):
            self.report.fail(problem, read, newest, alarm, *about)

    def _refused(self, text: str, about: list[Any]) -> str:
        code = text.partition(" ")[0]
        self.report.answers[code] += 1
        error = errors.from_refusal(text)
        if self._spoiled and code == WRONGTYPE:
            return code
        if (
            error is None
            or isinstance(error, errors.InternalError)
            or (error.status >= 500 and not error.retryable)
        ):
            self.report.fail("the error is not one of the contract", text, *about)
        elif "\n" in text or len(text) > 60_000 or not error.message:
            self.report.fail("the error is not one line for people", text, *about)
        return code

    def _remember(
        self, world: World, session_id: str, function: str, arguments: list[Any], reply: Any
    ) -> None:
        """Keep what another call may be made of."""
        if function == "sk_move_out":
            world.moves[session_id] = [each.decode() for each in reply]
        elif function == "sk_move_commit" and reply is not None:
            world.given_up[session_id] = reply.decode()
        elif function == "sk_get" and isinstance(reply, bytes) and b'"internal":{' in reply:
            world.exported = [*world.exported[-6:], reply.decode()]
        elif function in MAKERS:
            session, *events = world.moves.get(session_id, [""])
            told: dict[str, list[Any]] = {
                "sk_move_in": [session, "\n".join(events)],
                ACTIVATE: [world.given_up.get(session_id)],
            }
            if function in told and arguments[: len(told[function])] != told[function]:
                world.forged.add(session_id)
            elif function != ACTIVATE:
                world.forged.discard(session_id)

    def _look(self, world: World) -> None:
        """The invariants of everything that is there."""
        self.report.looks += 1
        for session_id in [] if self._spoiled else IDS:
            keys = SessionKeys.of(session_id)
            state, entries = self.observer.ask(
                ("FCALL_RO", "sk_get", 1, keys.session), ("XRANGE", keys.log, "-", "+")
            )
            if isinstance(state, Exception):
                continue
            bodies = [dict(pairs(fields))[b"e"] for _, fields in entries]
            versions = [int(entry.partition(b"-")[0]) for entry, _ in entries]
            version = json.loads(state)["version"]
            if versions != [*range(version - len(versions) + 1, version + 1)]:
                self.report.fail("a log has gaps", session_id, versions, version)
            if len(versions) < min(version, 1):
                self.report.fail("a log is empty", session_id, version)
            if session_id in world.forged:
                continue
            truth = SessionTruth(
                session_id, {"log": [msgspec.Raw(body) for body in bodies]}, msgspec.Raw(state), live=True
            )
            for finding in History(truth, complete=False).findings:
                if finding.kind != OVERDUE:
                    self.report.fail("the history is wrong", finding, json.loads(state))
        self.client.delete(CLOCK_KEY)
        if not self._spoiled and (leaks := take_leaks(self.client)):
            self.report.fail("keys without an end are left", leaks)


def _differences(before: dict[bytes, Any], after: dict[bytes, Any]) -> list[Any]:
    """What has changed between two looks, but for keys whose time was over."""
    now = 1000 * time.time()
    return [
        (key, before.get(key), after.get(key))
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key) and not (key not in after and 0 <= before[key][1] <= now)
    ]


ACTIVATE = "sk_move_activate"
MAKERS = {"sk_create", "sk_restore", "sk_import", "sk_move_in", ACTIVATE}
WRONGTYPE = "WRONGTYPE"
"""Redis' own error for a value that another program has put into a key: functions pass it on."""
LONGEST_GRACE_MS = 2000
STATUSES = {"pending", "running", "paused", "expired", "completed", "cancelled"}


def problems_of(state: dict[str, Any], newest: Any, alarm: Any, *, held: bool) -> list[str]:
    """What is wrong with a session: its state, the newest entry of its log, its alarm."""
    found = []
    status, people = state["status"], state["participants"]
    active = [each["participant_id"] for each in people if each["is_active"]]
    expected = [state["active_participant_id"]] if status in ("running", "paused") else []
    if status not in STATUSES or active != expected:
        found.append("the active participant is not the one of the status")
    if not people or len({each["participant_id"] for each in people}) < len(people):
        found.append("the participants are not different ones")
    if newest[:1] and newest[0][0] != f"{state['version']}-0".encode():
        found.append("the version is not that of the log")
    late = state["deadline_ms"] is not None and state["deadline_ms"] < state["server_time_ms"]
    # A clock with lag compensation may be paused in its grace.
    least = -max(_overtimes(state), default=0) - (LONGEST_GRACE_MS if state["lag_compensation"] else 0)
    for owner in [*people, *state["groups"], *([] if late else [state])]:
        left = owner["time_remaining_ms"]
        if left is not None and left < least and not (late and owner.get("is_active")):
            found.append("less than nothing is left")
        if owner["time_used_ms"] < 0 or owner["cycle_count"] < 0:
            found.append("less than nothing was used")
    found += [
        f"less than nothing: {name}"
        for name in ("pauses_left", "pause_remaining_ms", "total_remaining_ms")
        if state[name] is not None and state[name] < 0 and not late
    ]
    if status in ("pending", "running", "paused"):
        found += [
            f"nothing will be done at {name}"
            for name in ("starts_at_ms", "ends_at_ms", "resumes_at_ms")
            if state[name] is not None and alarm is None
        ]
    if state["starts_at_ms"] is not None and status in ("running", "paused"):
        found.append("what has started has a start")
    if status in ("running", "paused") or held:
        if state["deadline_ms"] is not None and alarm is None:
            found.append("a clock runs without an alarm")
    elif state["deadline_ms"] is not None:
        found.append("a clock runs in a session that does not")
    return found


def _overtimes(value: Any) -> list[int]:
    """All values of `overtime_ms` in a tree."""
    if isinstance(value, dict):
        own = [value["overtime_ms"]] if isinstance(value.get("overtime_ms"), int) else []
        return own + [each for inner in value.values() for each in _overtimes(inner)]
    if isinstance(value, list):
        return [each for inner in value for each in _overtimes(inner)]
    return []


def run(server: Server, cases: int, seed: int, first_block: int = 0) -> Report:
    """Fuzz the functions on a server that nobody else uses."""
    report = Report("fcall", seed)
    fuzzer = Fuzzer(server, report)
    with closing(fuzzer), report.running():
        fuzzer.run(cases, first_block)
    return report
