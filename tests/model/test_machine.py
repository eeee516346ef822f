"""Plays random games on the library and on the model, and compares the two in full after every step.

Under virtual time each game is a list of calls at exact milliseconds. Every run plays 300 new random games.
In CI the header prints the seed, and `--hypothesis-seed` with this number repeats the run.
`HYPOTHESIS_PROFILE=soak` plays thousands, and finds out whether they met all rules. A failing game is printed
as a program that can be run again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from synckairos.core.keys import SessionKeys
from tests.model.driver import SERVER_KEY, Answer, Driver
from tests.model.model import Model, Reply
from tests.model.observer import Keys, Observer, Seen, pairs
from tests.model.session import LIVE, Json, Session
from tests.model.strategies import (
    BANKS,
    KINDS,
    LONGEST,
    MISTAKES,
    PEOPLE,
    SESSIONS,
    STAGE_KINDS,
    TEAMS,
    UNKNOWN_ID,
    Draw,
    Step,
    config,
    control,
    patch,
    pick,
    sometimes,
    steps,
    supplies_bank,
)
from tests.support.pages import ROOT

START = 1_800_000_000_000
TTL_S = 600
LOG_KEPT = 64
DAY = 86_400_000
TOLERANCE_MS = 5000
ALARMS = SessionKeys.of(SESSIONS[0]).alarms
OUTBOX = SessionKeys.of(SESSIONS[0]).outbox
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
TENANTS = ["red", "blue"]

CHANNELS = [*[SessionKeys.of(s).session for s in SESSIONS], ALARMS]
LAGS = [None, None, 0, 1, 200, 400, 5000]
RALLY = [(ms, lag) for ms in (11, 300, 700, 1000, 1000, 2000, 2500) for lag in (None, 0, 300)]
WITHOUT_SCHEMA = {"get", "log", "expire"}
SCHEMAS = st.sampled_from(["1", "2"])
OTHER_CALLS = ["end", "read", "repeat", "repeat", "create", "create_broken", "reuse_request", "wrong"]

sessions = st.sampled_from([SESSIONS[0]] * 14 + [SESSIONS[1]])


class Machine(RuleBasedStateMachine):
    """Library and model, and what was observed so far. The test sets `observer`, `mode` and `kind`.

    happened: how often what `paths` names happened in all games
    """

    observer: ClassVar[Observer]
    mode: ClassVar[str]
    kind: ClassVar[str]
    happened: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.observer.reset()
        self.model = Model()
        self.time = START
        self.requests = 0
        self.schema: str | None = None
        """What the flag says: the schema that each call writes. None is a caller that knows no schemas."""
        self.agreed = True
        self.calls: dict[str, list[tuple[str, list[str]]]] = {s: [] for s in SESSIONS}
        self.epoch_names: dict[int, str] = {}
        self.epoch_numbers: dict[tuple[str, str], int] = {}
        self.events: dict[str, list[bytes]] = {s: [] for s in SESSIONS}
        self.earliest_alarm: int | None = None
        self.keys_before: Keys = {}

    # Time

    def pass_time(self, session: str, step: Step) -> None:
        """Move the clock by the step, or to the session's next alarm if the step says so and there is one."""
        s = self.model.sessions.get(session)
        alarm = s.alarm() if s is not None else None
        base = alarm if step.to_alarm and alarm is not None else self.time
        self.time = max(START, base + step.by)

    # One call on both sides

    def both(self, function: str, session: str, args: Sequence[str] = ()) -> Reply:
        """Call the function on library and model, and compare everything."""
        if self.schema is not None and function not in WITHOUT_SCHEMA:
            args = [*args, "SCHEMA", self.schema]
        note(f"t={self.time - START} {function} {session[-4:]} {' '.join(args)}")
        self.agreed = False
        before = self.model.sessions.get(session)
        self.seen = seen = self.observer.play(function, session, args, self.time)
        reply = Reply(code="INVALID_SESSION_STATE")
        if not (function == "takeback" and seen.answer.code == reply.code and self.beyond_log(before, args)):
            reply = self.model.call(function, session, self.with_epoch_numbers(session, args), self.time)
        made = self.new_event(session, before)
        self.learn_epoch(seen, made)
        self.compare_reply(seen.answer, reply)
        self.compare_server(session, seen, made)
        self.agreed = True
        self.happened.update(paths(function, args, reply, before, self.model.sessions.get(session)))
        return reply

    def beyond_log(self, s: Session | None, args: Sequence[str]) -> bool:
        """Whether a takeback needs an event that the library need not have in its log any more."""
        if s is None:
            return False
        turns = int(args[args.index("TURNS") + 1]) if "TURNS" in args else 1
        kept = [v for v in s.log if v > s.version - LOG_KEPT]
        return any(v not in kept if v is not None else min(kept) > 1 for v in s.needed_of_log(turns))

    def new_event(self, session: str, before: Session | None) -> Json | None:
        """The model's newest event of the session, if there is one since `before`."""
        after = self.model.sessions.get(session)
        if after is None:
            return None if before is None else self.model.deletions[session]
        if before is not None and (after.version, after.epoch) == (before.version, before.epoch):
            return None
        return after.log[after.version]

    def learn_epoch(self, seen: Seen, made: Json | None) -> None:
        """Take the library's name of a new epoch from its event. The model only numbers its epochs."""
        if made is None or made["epoch"] in self.epoch_names:
            return
        assert seen.answer.code is None, seen.answer.text
        [(_, event)] = seen.outbox
        session, epoch = made["session_id"], json.loads(event)["epoch"]
        assert isinstance(epoch, str)
        assert all(int(epoch) > int(known) for owner, known in self.epoch_numbers if owner == session)
        self.epoch_numbers[session, epoch] = made["epoch"]
        self.epoch_names[made["epoch"]] = epoch

    def with_epoch_numbers(self, session: str, args: Sequence[str]) -> list[str]:
        """The arguments, with the model's number of an epoch instead of the library's name."""
        named = []
        for before, value in zip(["", *args], args, strict=False):
            version, at, epoch = value.rpartition("@") if before == "UNLESS" else ("", "", value)
            known = before in {"EPOCH", "UNLESS"}
            number = str(self.epoch_numbers.get((session, epoch), epoch)) if known else epoch
            named.append(version + at + number)
        return named

    def with_epoch_name(self, value: Json) -> Json:
        """The model's JSON, with the library's name of its epoch."""
        return value | {"epoch": self.epoch_names[value["epoch"]]}

    def compare_reply(self, answer: Answer, reply: Reply) -> None:
        """Both replies are equal in every field."""
        assert answer.code == reply.code, f"library: {answer.text or answer.value!r}; model: {reply}"
        if reply.code is not None:
            assert "\n" not in answer.text
            for field in {"expected_epoch", "actual_epoch"} & reply.context.keys():
                number = reply.context[field]
                reply.context[field] = (
                    self.epoch_names.get(int(number), number) if number.isdigit() else number
                )
            if reply.code == "INVALID_SESSION_STATE":  # it may say more of the state
                assert answer.context.items() >= reply.context.items(), (answer.text, reply.context)
            elif reply.code != "VALIDATION_ERROR":
                assert answer.context == reply.context, (answer.text, reply.context)
            return
        if reply.state is not None:
            same(json.loads(answer.value), self.with_epoch_name(reply.state))
        elif reply.event is not None:
            same(json.loads(answer.value), self.with_epoch_name(reply.event))
        elif reply.events is not None:
            for found, wanted in zip(answer.value, reply.events, strict=True):
                same(json.loads(found), self.with_epoch_name(wanted))
        else:
            assert answer.value == reply.number

    def compare_server(self, session: str, seen: Seen, made: Json | None) -> None:
        """State, log, outbox, alarms, lifetimes, keys and messages are as the model says."""
        self.compare_state(session, seen.state)
        if made is None:
            changed = {
                n for n in {*seen.keys, *self.keys_before} if seen.keys.get(n) != self.keys_before.get(n)
            }
            assert not changed, f"keys changed without an event: {changed}"
            assert seen.messages == []
            return
        keys = SessionKeys.of(session)
        for name in self.keys_before.keys() - {keys.session, keys.log, ALARMS, OUTBOX}:
            assert seen.keys.get(name) == self.keys_before[name], f"{name} belongs to another session"
        [(owner, event)] = seen.outbox
        assert owner == session
        same(json.loads(event), self.with_epoch_name(made))
        self.events[session].append(event)
        if isinstance(seen.answer.value, bytes) and b'"payload"' in seen.answer.value:
            assert seen.answer.value == event
        if session in self.model.sessions:
            assert seen.newest == (f"{made['version']}-0", event)
            assert seen.logged >= min(LOG_KEPT, len(self.model.sessions[session].log))
        else:
            self.compare_tombstone(keys, made["version"])
        self.compare_keys(seen)
        self.compare_lifetimes(session, seen)
        self.compare_alarms(keys, event, seen)
        self.keys_before = seen.keys

    def compare_state(self, session: str, found: Answer) -> None:
        """`sk_get` shows the model's state."""
        wanted = self.model.call("get", session, [], self.time).state
        if wanted is None:
            assert found.code == "SESSION_NOT_FOUND"
            return
        assert found.code is None, found.text
        same(json.loads(found.value), self.with_epoch_name(wanted))

    def compare_keys(self, seen: Seen) -> None:
        """There are only the keys that the model expects."""
        wanted = {OUTBOX}
        for s in self.model.sessions.values():
            wanted |= {SessionKeys.of(s.id).session, SessionKeys.of(s.id).log}
            if s.alarm() is not None:
                wanted.add(ALARMS)
        wanted |= {SessionKeys.of(t).session for t in self.model.tombstones}
        assert seen.keys.keys() == wanted

    def compare_tombstone(self, keys: SessionKeys, version: int) -> None:
        """A deleted session leaves only its status, version, epoch and tenant."""
        [found] = self.observer.ask(("HGETALL", keys.session))
        tenant = self.model.tombstones[keys.session.rpartition(":")[2]]
        assert set(found) == {b"status", b"version", b"epoch"} | (set() if tenant is None else {b"tenant"})
        assert found.get(b"tenant") == (None if tenant is None else tenant.encode())
        assert (found[b"status"], found[b"version"]) == (b"deleted", str(version).encode())

    def compare_lifetimes(self, session: str, seen: Seen) -> None:
        """The session's keys live as long as promised; alarms and outbox have no TTL."""
        keys = SessionKeys.of(session)
        s = self.model.sessions.get(session)
        promised, exact = (DAY, True) if s is None else s.ttl(max(self.time, s.changed))
        latest = promised + 2000 if exact else promised + DAY
        now = time.time() * 1000
        for name in [keys.session] if s is None else [keys.session, keys.log]:
            left = seen.keys[name][1] - now
            assert promised - TOLERANCE_MS <= left <= latest, f"{name} lives {left} ms, promised {promised}"
        for name in (ALARMS, OUTBOX):
            assert seen.keys.get(name, (b"", -1))[1] == -1

    def compare_alarms(self, keys: SessionKeys, event: bytes, seen: Seen) -> None:
        """The alarm set is the model's. The event was published once.

        The time of the earliest alarm is published only when it is earlier than before.
        """
        scores = {s.id: alarm for s in self.model.sessions.values() if (alarm := s.alarm()) is not None}
        assert seen.alarms == scores
        head = min(scores.values(), default=None)
        earlier = head is not None and (self.earliest_alarm is None or head < self.earliest_alarm)
        wanted = [(keys.session, event)] + ([(ALARMS, str(head).encode())] if earlier else [])
        assert sorted(seen.messages) == sorted(wanted)
        self.earliest_alarm = head

    # Commands

    def options(self, draw: Draw, session: str) -> list[str]:
        """Common options: most often none, or a request id."""
        s = self.model.sessions.get(session)
        version = s.version if s is not None else 1
        solid = s.solid_version if s is not None else 1
        match pick(draw, range(10)):
            case 0:
                versions = {version, max(1, version - 1), solid, max(1, solid - 1), version + 1}
                return ["VERSION", str(pick(draw, sorted(versions)))]
            case 1:
                mine = [s.tenant] * 3 if s is not None and s.tenant is not None else []
                return ["TENANT", pick(draw, [*TENANTS, *mine])]
            case 2:
                return [
                    "ACTOR",
                    pick(draw, ["ann", 'b"o\\b\n', "é\u2028😀"]),
                    "TRACE",
                    "00-ab-cd-01",
                    "TRACEPARENT",
                    TRACEPARENT,
                ]
            case 3:
                known = [epoch for owner, epoch in self.epoch_numbers if owner == session]
                current = [self.epoch_names[s.epoch]] * 3 if s is not None else []
                return ["EPOCH", pick(draw, [*current, *known, "never"])]
            case 4 | 5 | 6:
                return self.request()
            case _:
                return []

    def request(self) -> list[str]:
        """A new request id."""
        self.requests += 1
        return ["REQUEST", f"r{self.requests}"]

    def player(self, draw: Draw, session: str) -> list[str]:
        """PLAYER in a third of the calls, most often the active participant."""
        s = self.model.sessions.get(session)
        if not sometimes(draw, 3):
            return []
        active = [s.active] * 4 if s is not None and s.active is not None else []
        return ["PLAYER", pick(draw, [*active, *PEOPLE[:2], UNKNOWN_ID])]

    def command(self, draw: Draw, function: str, session: str, args: list[str]) -> Reply:
        """Make a call with random common options, and remember it for a repeat."""
        args = args + self.options(draw, session)
        reply = self.both(function, session, args)
        self.calls[session] = [*self.calls[session], (function, args)][-20:]
        return reply

    def playing(self) -> bool:
        """Whether the main session exists and has not ended."""
        return SESSIONS[0] in self.model.sessions and self.model.sessions[SESSIONS[0]].status in LIVE

    def create(self, draw: Draw, session: str) -> None:
        """Create a session with a random config."""
        args = [json.dumps(config(draw, self.mode, self.kind, self.time)), "TTL", str(TTL_S)]
        tenant = pick(draw, TENANTS) if sometimes(draw, 5) else None
        if session in self.model.tombstones and not sometimes(draw, 8):
            tenant = self.model.tombstones[session]
        if tenant is not None:
            args += ["TENANT", tenant]
        if sometimes(draw, 2):
            args += [*self.request(), "ACTOR", "ann"]
        reply = self.both("create", session, args)
        if reply.code is None:
            self.calls[session] = [("create", args)]

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Create a session, and most often start it."""
        self.create(data.draw, SESSIONS[0])
        if not sometimes(data.draw, 8):
            self.both("start", SESSIONS[0])

    @precondition(lambda self: not self.playing())
    @rule(data=st.data(), step=steps)
    def next_game(self, data: st.DataObject, step: Step) -> None:
        """After the end of a game another one begins under the same id."""
        self.pass_time(SESSIONS[0], step)
        self.both("delete", SESSIONS[0])
        self.create(data.draw, SESSIONS[0])
        self.both("start", SESSIONS[0])

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def simple(self, data: st.DataObject, session: str, step: Step) -> None:
        """Start, pause or resume; most often the one that the status allows. Some pauses are free."""
        self.pass_time(session, step)
        s = self.model.sessions.get(session)
        fitting = {"pending": ["start"] * 9, "running": ["pause"] * 9, "paused": ["resume"] * 9}
        likely = fitting.get(s.status if s is not None else "", [])
        function = pick(data.draw, [*likely, "start", "pause", "resume"])
        args = [] if function == "start" else self.player(data.draw, session)
        if function == "pause" and not args and sometimes(data.draw, 4):
            args = ["FREE"]
        self.command(data.draw, function, session, args)

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def switch(self, data: st.DataObject, session: str, step: Step) -> None:
        """Switch to the next participant."""
        self.pass_time(session, step)
        lag = pick(data.draw, LAGS)
        args = [] if lag is None else ["LAG", str(lag)]
        self.command(data.draw, "switch", session, args + self.player(data.draw, session))

    @precondition(playing)
    @rule(data=st.data(), step=steps, late=st.sampled_from([0, 0, 1, 2500]))
    def double_tap(self, data: st.DataObject, step: Step, late: int) -> None:
        """A player taps twice, and the first tap is sent again: no other's turn ends by it."""
        self.pass_time(SESSIONS[0], step)
        s = self.model.sessions[SESSIONS[0]]
        if s.status != "running":
            return
        assert s.active is not None
        player = ["PLAYER", s.active, "ACTOR", "ann"]
        taps = [player + self.request(), player + self.request()]
        event = self.both("switch", SESSIONS[0], taps[0]).event
        assert event is not None
        self.time += late
        version = self.model.sessions[SESSIONS[0]].version
        again = self.both("switch", SESSIONS[0], taps[0])
        assert again.event == event | {"replayed": True}
        passed = event["payload"]["active_participant_id"] != s.active
        second = self.both("switch", SESSIONS[0], taps[1])
        if passed:
            over = self.model.sessions[SESSIONS[0]].status not in LIVE
            assert second.code == ("INVALID_SESSION_STATE" if over else "FORBIDDEN")
            assert self.model.sessions[SESSIONS[0]].version == version

    @precondition(playing)
    @rule(data=st.data(), quick=st.lists(st.sampled_from(RALLY), min_size=3, max_size=8))
    def rally(self, data: st.DataObject, quick: list[tuple[int, int | None]]) -> None:
        """Switch a few times in a row, so that games get to later periods, blocks and stages."""
        for ms, lag in quick:
            self.pass_time(SESSIONS[0], Step(ms))
            self.both("switch", SESSIONS[0], [] if lag is None else ["LAG", str(lag)])
            if self.model.sessions[SESSIONS[0]].status != "running":
                break

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def switch_to(self, data: st.DataObject, session: str, step: Step) -> None:
        """Switch to a named participant, or to an unknown id. Half of the calls name the active one."""
        self.pass_time(session, step)
        s = self.model.sessions.get(session)
        known = [*s.participants] if s is not None else PEOPLE
        args = ["NEXT", pick(data.draw, [*known, *known, UNKNOWN_ID]).upper()]
        if sometimes(data.draw, 2):
            active = [s.active] * 3 if s is not None and s.active is not None else []
            args += ["CURRENT", pick(data.draw, [*active, *known])]
        self.command(data.draw, "switch", session, args)

    @precondition(playing)
    @rule(session=sessions, late=st.sampled_from([0, 0, 1, 999, 1000, 1001, 5000]))
    def expire(self, session: str, late: int) -> None:
        """Call `sk_expire` at the alarm, or a little late."""
        self.pass_time(session, Step(late, to_alarm=True))
        self.both("expire", session)

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def adjust(self, data: st.DataObject, session: str, step: Step) -> None:
        """Give or take time, most often of a clock that exists."""
        self.pass_time(session, step)
        self.adjust_clock(data.draw, session)

    def adjust_clock(self, draw: Draw, session: str) -> None:
        """Give or take time at this moment."""
        s = self.model.sessions.get(session)
        owner: list[str] = []
        if s is not None and s.config.mode == "per_participant":
            active = [s.active] * 3 if s.active is not None else []
            owner = ["PARTICIPANT", pick(draw, [*active, *s.participants])]
        if s is not None and s.config.mode == "per_group":
            owner = ["GROUP", pick(draw, [*s.groups])]
        if sometimes(draw, 8):
            named = [
                [kind, who] for kind in ("PARTICIPANT", "GROUP") for who in (PEOPLE[0], TEAMS[0], UNKNOWN_ID)
            ]
            owner = pick(draw, [[], ["CLOCK", "total"], *named])
        if s is not None and s.config.budgeted and sometimes(draw, 2):
            owner = ["CLOCK", "total"]
        amount = pick(draw, [0, 1, 500, 1000, 5000, 60_000])
        change = pick(draw, [["SET", str(amount)], ["ADD", str(amount)], ["ADD", str(-amount)]])
        if sometimes(draw, 4):
            change += ["WITHIN", str(pick(draw, [1, 1000, 5000, 20_000]))]
        if sometimes(draw, 4):
            change += ["REASON", pick(draw, ["x", 'a "reason"', "é" * 200])]
        self.command(draw, "adjust", session, owner + change)

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def take_back(self, data: st.DataObject, session: str, step: Step) -> None:
        """Take back a few turns, most often as many as there are at the most."""
        self.pass_time(session, step)
        s = self.model.sessions.get(session)
        most = min(16, len(s.turns)) if s is not None else 0
        turns = pick(data.draw, [None, max(1, most), max(1, most), 1, 2, max(1, most - 1), min(16, most + 1)])
        self.command(data.draw, "takeback", session, [] if turns is None else ["TURNS", str(turns)])

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def set_turn(self, data: st.DataObject, session: str, step: Step) -> None:
        """Say whose turn it is, in a pause if the session runs."""
        self.pass_time(session, step)
        s = self.model.sessions.get(session)
        if s is not None and s.status == "running" and not sometimes(data.draw, 6):
            self.both("pause", session, ["FREE"])
            self.time += pick(data.draw, [0, 300, 1000])
        known = [*s.participants] if s is not None else PEOPLE
        self.command(data.draw, "turn", session, [pick(data.draw, [*known, *known, UNKNOWN_ID])])

    @rule(data=st.data(), session=sessions, step=steps)
    def go_on(self, data: st.DataObject, session: str, step: Step) -> None:
        """Reopen a session that has ended, give time to whose clock ran out, and resume.

        Most sessions have not ended. They refuse it.
        """
        self.pass_time(session, step)
        draw = data.draw
        s = self.model.sessions.get(session)
        if s is not None and s.status in LIVE and not sometimes(draw, 6):
            self.both(pick(draw, ["complete", "cancel"]), session)
            self.time += pick(draw, [0, 300, 5000])
        self.command(draw, "reopen", session, [])
        s = self.model.sessions.get(session)
        if s is None or s.status != "paused" or sometimes(draw, 3):
            return
        self.both("resume", session)
        if self.model.sessions[session].status == "paused":
            self.adjust_clock(draw, session)
            self.both("resume", session)

    @rule(data=st.data(), session=sessions, step=steps)
    def reset_game(self, data: st.DataObject, session: str, step: Step) -> None:
        """Begin the same session again; most often start it at once."""
        self.pass_time(session, step)
        self.command(data.draw, "reset", session, [])
        if not sometimes(data.draw, 3):
            self.both("start", session)

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def schedule(self, data: st.DataObject, session: str, step: Step) -> None:
        """Set, move or take back the start and the end; also to moments that are not ahead."""
        self.pass_time(session, step)
        draw, args = data.draw, []
        s = self.model.sessions.get(session)
        pending = s is None or s.status == "pending"
        if pending or sometimes(draw, 6):
            args += pick(draw, [["STARTS", at] for at in self.instants(draw)])
        if not args or sometimes(draw, 2):
            args += pick(draw, [["ENDS", at] for at in self.instants(draw)])
        self.command(draw, "schedule", session, args)

    @rule(data=st.data(), session=sessions, step=steps)
    def change_metadata(self, data: st.DataObject, session: str, step: Step) -> None:
        """Patch the metadata, in whatever status; now and then it gets too large, or stays as it was."""
        self.pass_time(session, step)
        self.command(data.draw, "metadata", session, [json.dumps(patch(data.draw))])

    def instants(self, draw: Draw) -> list[str]:
        """Values for a start or an end: some ahead, one that is not, and none."""
        ahead = [300, 1000, 2500, 8000, 30_000]
        return [
            *[str(self.time + ms) for ms in [*ahead, pick(draw, [0, 1, -1, LONGEST, LONGEST + 1])]],
            "none",
        ]

    @precondition(playing)
    @rule(data=st.data(), session=sessions, step=steps)
    def join_or_leave(self, data: st.DataObject, session: str, step: Step) -> None:
        """A participant joins or leaves; often the active one leaves."""
        self.pass_time(session, step)
        s, draw = self.model.sessions.get(session), data.draw
        if sometimes(draw, 2):
            self.join(draw, session)
            return
        known = [*s.participants, *([s.active] if s.active else [])] if s is not None else PEOPLE
        self.command(draw, "leave", session, [pick(draw, [*known, *known, UNKNOWN_ID])])

    def join(self, draw: Draw, session: str) -> None:
        """A participant joins."""
        s = self.model.sessions.get(session)
        person: Json = {"participant_id": pick(draw, PEOPLE)}
        person["participant_index"] = pick(draw, [None, None, 0, 5, 500, 1000])
        if s is not None and s.groups and (s.config.mode == "per_group" or sometimes(draw, 2)):
            person["group_id"] = pick(draw, [*s.groups])
        if s is not None and s.config.mode == "per_participant":
            if sometimes(draw, 4):
                person["time_control"] = control(draw)
            shared = s.config.control.shown if s.config.control else None
            if not supplies_bank(person.get("time_control") or shared):
                person["total_time_ms"] = pick(draw, [None, *BANKS])
        self.command(draw, "join", session, [json.dumps({k: v for k, v in person.items() if v is not None})])

    @rule(
        data=st.data(),
        session=sessions,
        step=steps,
        what=st.sampled_from(OTHER_CALLS),
    )
    def other_call(self, data: st.DataObject, session: str, step: Step, what: str) -> None:
        """Make a call that changes nothing, repeats another one, is refused, or ends a session."""
        self.pass_time(session, step)
        getattr(self, f"_{what}")(data.draw, session)

    def _end(self, draw: Draw, session: str) -> None:
        """Complete, cancel or delete. If there are two sessions, then the second one."""
        function = pick(draw, ["complete", "cancel", "delete"])
        self.command(draw, function, max(self.model.sessions, default=session), [])

    def _create(self, draw: Draw, session: str) -> None:
        """Create a session under an id that may be taken."""
        self.create(draw, pick(draw, [session, SESSIONS[1]]))

    def _create_broken(self, draw: Draw, session: str) -> None:
        """A config with mistakes is refused. The refusal names all of them, and no key is left."""
        made = config(draw, self.mode, self.kind, self.time)
        for _ in range(pick(draw, [1, 2, 3])):
            made |= pick(draw, MISTAKES)
        reply = self.both("create", session, [json.dumps(made)])
        assert reply.code == "VALIDATION_ERROR"
        assert self.seen.answer.fields == reply.fields, (self.seen.answer.fields, reply.fields)

    def _repeat(self, draw: Draw, session: str) -> None:
        """Repeat an earlier call.

        With a request id the event is replayed, if the log still has it. Without one it is a new call.
        """
        if self.calls[session]:
            function, args = pick(draw, self.calls[session])
            self.both(function, session, args)

    def _reuse_request(self, draw: Draw, session: str) -> None:
        """A request id that another function used is refused."""
        s = self.model.sessions.get(session)
        if s is not None and s.requests:
            actor, request, *_ = pick(draw, s.requests)
            named = pick(draw, [actor, actor, "somebody else", None])
            args = ["REQUEST", request, *([] if named is None else ["ACTOR", named])]
            self.both(pick(draw, ["switch", "pause", "delete", "start"]), session, args)

    def _wrong(self, draw: Draw, session: str) -> None:
        """Wrong arguments are refused before all other checks."""
        function, args = pick(draw, WRONG)
        assert self.both(function, session, args).code == "VALIDATION_ERROR"

    def _read(self, draw: Draw, session: str) -> None:
        """Reads change nothing, and other tenants see nothing."""
        s = self.model.sessions.get(session)
        unless = (
            "1@never" if s is None else f"{s.version - pick(draw, [0, 0, 1])}@{self.epoch_names[s.epoch]}"
        )
        tenant = pick(draw, [[], ["TENANT", TENANTS[0]]])
        self.both("get", session, tenant + pick(draw, [[], ["SUMMARY"], ["UNLESS", unless]]))
        newest = s.version if s is not None else 1
        since = pick(draw, sorted({0, 1, max(0, newest - 3), max(0, newest - 1), newest, newest + 1}))
        epoch = pick(draw, [None, None, "never", "never" if s is None else self.epoch_names[s.epoch]])
        self.both("log", session, [str(since), *([] if epoch is None else ["EPOCH", epoch])])

    @rule(schema=st.none() | SCHEMAS)
    def flag(self, schema: str | None) -> None:
        """The flag is set to another schema, or taken away. With the next change a session is converted."""
        self.schema = schema

    @rule(session=sessions, step=steps, outage=steps, schema=SCHEMAS, into=st.none() | SCHEMAS)
    def lose_and_restore(self, session: str, step: Step, outage: Step, schema: str, into: str | None) -> None:
        """A session that was exported, lost and restored goes on as before, under a new epoch."""
        self.pass_time(session, step)
        if session not in self.model.sessions or self.model.sessions[session].status not in LIVE:
            return
        lost = self.time
        self.pass_time(session, outage)
        self.restore(session, lost, self.time, schema, into)

    def restore(self, session: str, lost: int, found: int, schema: str, into: str | None) -> None:
        """Export a session at `lost`, lose it, and restore it at `found` (ms)."""
        self.time = lost
        exported = self.model.export(session, self.time)
        exports = self.observer.play("get", session, ["EXPORT", "SCHEMA", schema], self.time).answer
        assert exports.code is None, exports.text
        assert isinstance(json.loads(exports.value).pop("internal"), dict)
        self.time = found
        note(f"t={self.time - START} restore {session[-4:]}")
        args = [exports.value.decode(), "TTL", str(TTL_S), *([] if into is None else ["SCHEMA", into])]
        refused = self.observer.play("restore", session, args, self.time)
        assert refused.answer.code == "SESSION_EXISTS"
        assert refused.keys == self.keys_before
        keys = SessionKeys.of(session)
        self.observer.ask(("DEL", keys.session, keys.log), ("ZREM", keys.alarms, session))
        del self.model.sessions[session]
        alarms = [a for s in self.model.sessions.values() if (a := s.alarm()) is not None]
        self.earliest_alarm = min(alarms, default=None)
        seen = self.observer.play("restore", session, args, self.time)
        reply = self.model.restore(session, exported, self.time, TTL_S * 1000, int(into or schema))
        made = self.new_event(session, None)
        self.agreed = False
        self.learn_epoch(seen, made)
        self.compare_reply(seen.answer, reply)
        self.compare_server(session, seen, made)
        self.agreed = True

    @precondition(playing)
    @rule(number=st.integers(1, 3))
    def another_server(self, number: int) -> None:
        """From here on another server makes the changes, or one that made some before."""
        self.model.server = f"{number:040x}"
        self.observer.ask(("SET", SERVER_KEY, self.model.server))

    def teardown(self) -> None:
        """At the end each log has the newest events, byte for byte and without a gap."""
        if not self.agreed:
            return
        for session, s in self.model.sessions.items():
            [log] = self.observer.ask(("XRANGE", SessionKeys.of(session).log, "-", "+"))
            versions = range(s.version - len(log) + 1, s.version + 1)
            assert [entry[0].decode() for entry in log] == [f"{v}-0" for v in versions]
            assert [dict(pairs(entry[1]))[b"e"] for entry in log] == self.events[session][-len(log) :]


def paths(
    function: str, args: Sequence[str], reply: Reply, before: Session | None, after: Session | None
) -> Iterator[str]:
    """The rules that a call went through, of those that a random game does not meet at once."""
    if reply.code is not None:
        yield f"{function}: {reply.code}"
        return
    if reply.event is None or before is None or after is None or "replayed" in reply.event:
        return
    payload = reply.event["payload"]
    event = payload["event"]
    yield event
    if event in {"session.started", "session.completed", "session.resumed"}:
        yield f"{event} {payload['reason']}"
    if event == "session.completed" and payload["reason"] == "auto":
        by = "the end" if before.ends_at is not None and after.ends_at is None else "max_cycles"
        yield f"{by}: {'an expiry' if 'expired_participant_id' in payload else before.status}"
    if event == "turn.taken_back":
        yield f"taken back, {before.status}"
        yield "taken back: " + ("one" if payload["turns"] == 1 else "several")
    if event in {"turn.set", "session.reopened", "session.reset", "session.scheduled", "metadata.changed"}:
        yield f"{event} {before.status}"
    if event == "time.adjusted" and "CLOCK" in args:
        yield f"adjust of the total, {before.status}"
    if payload.get("warning_ms", 1) <= 0:
        yield "a warning at zero or below"
    if payload.get("counted") is False:
        yield "a free pause"
    if event == "session.paused" and before.pause_left is not None and "counted" not in payload:
        yield "a pause that takes from the sum"


# What happens in thousands of games, in whichever mode.
ALWAYS = [
    *["session.started auto", "the end: pending", "the end: running", "the end: paused"],
    *["max_cycles: running", "max_cycles: an expiry"],
    *["taken back, running", "taken back, paused", "taken back: several", "takeback: INVALID_SESSION_STATE"],
    *["turn.set pending", "turn.set paused", "turn: PARTICIPANT_NOT_FOUND"],
    *[f"session.reopened {status}" for status in ("expired", "completed", "cancelled")],
    *[f"session.reset {status}" for status in ("pending", "running", "paused", "expired", "completed")],
    *[f"session.scheduled {status}" for status in ("pending", "running", "paused")],
    *["schedule: VALIDATION_ERROR", "schedule: INVALID_SESSION_STATE", "metadata: VALIDATION_ERROR"],
    *[f"metadata.changed {status}" for status in ("pending", "running", "paused", "expired", "completed")],
    *[
        "a free pause",
        "a pause that takes from the sum",
        "session.resumed auto",
        "pause: INVALID_SESSION_STATE",
    ],
]
# The same in a mode, with a kind of control.
SOMETIMES = {
    ("global", "both"): [f"adjust of the total, {s}" for s in ("pending", "running", "paused")],
    ("per_participant", "fischer"): ["resume: PARTICIPANT_EXPIRED", "a warning at zero or below"],
}
MANY_GAMES = 400


def same(found: Json, wanted: Json) -> None:
    """Two states or events are equal in every field.

    `warning` is a text for people, so only its presence counts. An event may list participants and groups in
    any order.
    """
    if found.get("warning") is not None:
        assert isinstance(found["warning"], str)
        found = found | {"warning": True}
    if "payload" in found:
        found, wanted = in_order(found), in_order(wanted)
    assert found == wanted, "\n".join(lines(found, wanted))


def in_order(event: Json) -> Json:
    """The event with participants and groups sorted by id."""
    payload = event["payload"]
    people = sorted(payload["participants"], key=lambda p: str(p["participant_id"]))
    groups = sorted(payload["groups"], key=lambda g: str(g["group_id"]))
    return event | {"payload": payload | {"participants": people, "groups": groups}}


def lines(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        names = sorted({*found, *wanted})
        return [
            x for n in names for x in lines(found.get(n, "absent"), wanted.get(n, "absent"), f"{path}.{n}")
        ]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [
            x for i, (f, w) in enumerate(zip(found, wanted, strict=True)) for x in lines(f, w, f"{path}.{i}")
        ]
    return [] if found == wanted else [f"{path}: library {found!r}, model {wanted!r}"]


WRONG: list[tuple[str, list[str]]] = [
    ("start", ["COLOUR", "blue"]),
    ("start", ["VERSION"]),
    ("pause", ["VERSION", "1.5"]),
    ("pause", ["VERSION", "0x10"]),
    ("resume", ["VERSION", "1e3"]),
    ("expire", ["ACTOR", "a"]),
    ("switch", ["NEXT", "not a uuid"]),
    ("switch", ["CURRENT", ""]),
    ("switch", ["LAG", "-1"]),
    ("switch", ["LAG", " 5"]),
    ("create", []),
    ("create", ["{"]),
    ("create", ["[]"]),
    ("create", ["{}"]),
    ("create", ["{}", "TTL", "0"]),
    ("create", ["{}", "TTL", "nan"]),
    ("create", ["{}", "VERSION", "1"]),
    ("adjust", []),
    ("adjust", ["SET", "5", "ADD", "5"]),
    ("adjust", ["SET", "-1"]),
    ("adjust", ["SET", str(LONGEST + 1)]),
    ("adjust", ["ADD", str(-LONGEST - 1)]),
    ("adjust", ["ADD", "inf"]),
    ("adjust", ["ADD", "5", "WITHIN", "0"]),
    ("adjust", ["ADD", "5", "PARTICIPANT", PEOPLE[0], "GROUP", TEAMS[0]]),
    ("adjust", ["ADD", "5", "REASON", "x" * 201]),
    ("adjust", ["ADD", "5", "CLOCK", "cycle"]),
    ("adjust", ["ADD", "5", "CLOCK", "total", "PARTICIPANT", PEOPLE[0]]),
    ("adjust", ["ADD", "5", "CLOCK", "total", "GROUP", TEAMS[0]]),
    ("takeback", ["TURNS", "0"]),
    ("takeback", ["TURNS", "17"]),
    ("takeback", ["TURNS", "one"]),
    ("takeback", ["PLAYER", PEOPLE[0]]),
    ("turn", []),
    ("turn", ["not a uuid"]),
    ("turn", [PEOPLE[0], "PLAYER", PEOPLE[0]]),
    ("reopen", ["PLAYER", PEOPLE[0]]),
    ("reset", ["TURNS", "1"]),
    ("schedule", []),
    ("schedule", ["STARTS", "soon"]),
    ("schedule", ["STARTS", "1.5"]),
    ("schedule", ["ENDS", ""]),
    ("schedule", ["ENDS", "none", "ENDS", "none"]),
    ("metadata", []),
    ("metadata", ["[]"]),
    ("metadata", ["{"]),
    ("metadata", ["{}", "PLAYER", PEOPLE[0]]),
    ("resume", ["FREE"]),
    ("join", []),
    ("join", ["x"]),
    ("leave", []),
    ("leave", ["not a uuid"]),
    ("log", []),
    ("log", ["-1"]),
    ("log", ["x"]),
    ("get", ["EXPORT", "yes", "no"]),
    ("get", ["UNLESS", "1"]),
    ("start", ["PLAYER", PEOPLE[0]]),
    ("pause", ["PLAYER", "ann"]),
    ("switch", ["PLAYER", ""]),
]


# How many of a hundred games are played in each mode. The second name is the kind of the shared control; in
# global it says which times the session has. Modes and controls with more rules get more games.
SHARES = {
    ("per_participant", "fischer"): 6,
    ("per_participant", "bronstein"): 4,
    ("per_participant", "delay"): 4,
    ("per_participant", "byoyomi"): 7,
    ("per_participant", "canadian"): 7,
    ("per_participant", "hourglass"): 7,
    ("per_participant", "stages"): 12,
    ("per_participant", "text"): 5,
    ("per_participant", "none"): 2,
    ("per_group", "fischer"): 4,
    ("per_group", "byoyomi"): 4,
    ("per_group", "canadian"): 4,
    ("per_group", "hourglass"): 4,
    ("per_group", "stages"): 6,
    ("per_group", "text"): 2,
    ("global", "total"): 3,
    ("global", "cycle"): 2,
    ("global", "both"): 7,
    ("per_cycle", ""): 5,
    ("count_up", ""): 5,
}


def test_every_time_control_is_played() -> None:
    kinds = {path.stem for path in (ROOT / "lua" / "controls").glob("*.lua")}
    assert {*STAGE_KINDS, "stages", "none"} == kinds
    assert {kind for mode, kind in SHARES if mode == "per_participant"} == set(KINDS)


@pytest.mark.parametrize(("mode", "kind"), SHARES)
def test_library_follows_the_model(mode: str, kind: str, driver: Driver) -> None:
    class Game(Machine):
        """The machine on this server, in this mode."""

    Game.observer, Game.mode, Game.kind = Observer(driver.client, CHANNELS), mode, kind
    Game.happened = Counter()
    chosen = settings()
    examples = chosen.max_examples * SHARES[mode, kind] // 100
    try:
        run_state_machine_as_test(Game, settings=settings(chosen, max_examples=examples))
    finally:
        Game.observer.close()
    if examples >= MANY_GAMES:
        wanted = {*ALWAYS, *SOMETIMES.get((mode, kind), [])}
        assert wanted <= Game.happened.keys(), sorted(wanted - Game.happened.keys())
