"""The whole core as one plain program: what each function of the library does to a session, and what it replies.

`Model.call(function, session_id, args, time)` takes the arguments exactly as `FCALL` gets them after the keys, and the
server's clock in milliseconds. It gives back a `Reply`; a refusal leaves everything as it was. The model knows nothing of
keys or scripts, so that it can be read beside the rules and disagree with the library.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.model import clocks
from tests.model.clocks import Clock, Rule
from tests.model.config import DAY, UUID, Config, Member, parse_config, parse_participant

SUSPICIOUS_MS = 10
TOLERATED_LATE_MS = 1000
REMEMBERED_REQUESTS = 16
UNFINISHED_TTL_MS = DAY
LIVE = {"pending", "running", "paused"}

Json = dict[str, Any]


class Refusal(Exception):
    """A refused call: the code, what is wrong (dotted paths) and the context."""

    def __init__(self, code: str, fields: Sequence[str] = (), **context: Any) -> None:
        super().__init__(code, *fields)
        self.code, self.fields, self.context = code, list(fields), context


@dataclass(slots=True)
class Reply:
    """What a call answers: exactly one of event, state, number, nothing (all None) or a refusal's code."""

    event: Json | None = None
    state: Json | None = None
    events: list[Json] | None = None
    number: int | None = None
    code: str | None = None
    fields: list[str] = field(default_factory=list)
    context: Json = field(default_factory=dict)


@dataclass(slots=True)
class Party:
    """A participant or a group: its counters, and its clock where the mode gives it one."""

    id: str
    index: int
    group: str | None
    control: Json | None
    clock: Clock | None
    time_used: int = 0
    cycles: int = 0
    last_turn: int | None = None


@dataclass(slots=True)
class Cycle:
    """The current turn. `since` is the running time at which its clock counts from: 0, or later when a clock that had
    run out in this cycle was given time again. `spent` is what has been charged in it already."""

    start: int
    elapsed: int | None = None
    since: int = 0
    spent: int = 0
    clock: Clock | None = None
    counting: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)

    def ran(self, now: int) -> int:
        """Running time of the cycle, pauses left out."""
        return now - self.start if self.elapsed is None else self.elapsed


@dataclass(slots=True)
class Session:
    """One session, everything the rules need and nothing else."""

    id: str
    config: Config
    tenant: str | None
    ttl_ms: int
    participants: dict[str, Party]
    groups: dict[str, Party]
    clock: Clock | None
    total_ms: int | None
    max_ms: int | None
    created: int
    changed: int
    status: str = "pending"
    version: int = 1
    solid_version: int = 1
    epoch: int = 0
    active: str | None = None
    cycle: Cycle | None = None
    time_used: int = 0
    cycles: int = 0
    started: int | None = None
    completed: int | None = None
    recovered: int | None = None
    expired_by: str | None = None
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    log: dict[int, Json] = field(default_factory=dict)

    # Rotation and ownership

    def rotation(self) -> list[Party]:
        """Participants in turn order."""
        return sorted(self.participants.values(), key=lambda p: p.index)

    def group_rotation(self) -> list[Party]:
        """Groups that have members, in the order of their lowest index."""
        lowest: dict[str, int] = {}
        for member in self.rotation():
            if member.group is not None:
                lowest.setdefault(member.group, member.index)
        return [self.groups[g] for g in sorted(lowest, key=lowest.__getitem__)]

    def active_party(self) -> Party | None:
        """Who is active now; nobody while pending or when it is over."""
        return self.participants[self.active] if self.active is not None and self.cycle is not None else None

    def owner_of(self, party: Party) -> Party | None:
        """The participant or group whose clock runs while `party` is active, when a participant or group owns it."""
        if self.config.mode == "per_participant":
            return party
        return self.groups[party.group] if self.config.mode == "per_group" and party.group is not None else None

    def out(self, party: Party) -> bool:
        """Whether `party` has no more turns."""
        owner = self.owner_of(party)
        if owner is None or owner.clock is None or self.config.action["type"] == "notify":
            return False
        return owner.clock.expired

    def following(self, *, leaving: bool = False) -> Party | None:
        """The next in rotation who is not out, counted from the active one; None when nobody is left."""
        assert self.active is not None
        here = self.participants[self.active]

        def can(party: Party) -> bool:
            return not self.out(party) and not (leaving and party is here)

        if self.config.mode != "per_group":
            ring = _after(self.rotation(), here.index)
            return next((p for p in ring if can(p)), None)
        teams = self.group_rotation()
        position = next(i for i, g in enumerate(teams) if g.id == here.group)
        for team in teams[position + 1 :] + teams[: position + 1]:
            members = [p for p in self.rotation() if p.group == team.id]
            found = next((p for p in _after(members, team.last_turn) if can(p)), None)
            if found is not None:
                return found
        return None

    # The running clock

    @property
    def ticking(self) -> Clock | None:
        """The clock of the current cycle; None without a cycle or where the time has no end."""
        party = self.active_party()
        if party is None or self.cycle is None:
            return None
        if self.config.cycle_clock:
            return self.cycle.clock
        owner = self.owner_of(party)
        return owner.clock if owner is not None else self.clock

    @ticking.setter
    def ticking(self, clock: Clock) -> None:
        party = self.active_party()
        assert party is not None
        assert self.cycle is not None
        owner = self.owner_of(party)
        if self.config.cycle_clock:
            self.cycle.clock = clock
        elif owner is not None:
            owner.clock = clock
        else:
            self.clock = clock

    def delay_left(self) -> bool:
        """Whether this cycle's delay still counts.

        Reading: a cycle has one delay; a clock that ran out in it and got time again has none left.
        """
        return self.cycle is not None and self.cycle.since == 0

    def run(self, now: int) -> int:
        """How long the current clock has been running in this cycle."""
        assert self.cycle is not None
        return self.cycle.ran(now) - self.cycle.since

    def deadline(self) -> int | None:
        """When the budget ends; None when nothing runs down."""
        clock, cycle = self.ticking, self.cycle
        if self.status != "running" or clock is None or cycle is None or clock.expired:
            return None
        return cycle.start + cycle.since + clocks.budget(clock, delay=self.delay_left())

    def remaining(self, now: int) -> int | None:
        """What the running clock shows."""
        clock = self.ticking
        return None if clock is None else clocks.remaining(clock, self.run(now), delay=self.delay_left())

    def time_up(self, now: int) -> bool:
        """Whether the budget and the grace after it are over."""
        deadline, clock = self.deadline(), self.ticking
        return deadline is not None and clock is not None and now >= deadline + clocks.grace(clock)

    def warning_at(self, threshold: int) -> int:
        """When the running clock falls to a threshold."""
        deadline, clock = self.deadline(), self.ticking
        assert deadline is not None
        assert clock is not None
        return deadline - clock.overtime_ms - threshold

    def alarm(self) -> int | None:
        """When the server has to do something next."""
        deadline, clock, cycle = self.deadline(), self.ticking, self.cycle
        if deadline is None or clock is None or cycle is None:
            return None
        times = [self.warning_at(w) for w in cycle.counting]
        return min([*times, deadline + clocks.grace(clock)])

    def ttl(self, now: int) -> tuple[int, bool]:
        """How long the keys live from now in ms, and whether that is exact or a least."""
        if self.status not in LIVE:
            return self.ttl_ms, True
        deadline = self.deadline()
        return (UNFINISHED_TTL_MS, False) if deadline is None else (max(0, deadline - now) + self.ttl_ms, True)

    # Cycles

    def begin(self, party: Party, at: int, *, paused: bool = False) -> None:
        """`party` becomes active at `at`."""
        self.active, cycle = party.id, Cycle(at, elapsed=0 if paused else None)
        self.cycle = cycle
        if party.group is not None:
            self.groups[party.group].last_turn = party.index
        if self.config.cycle_clock:
            assert self.config.cycle_ms is not None
            cycle.clock = Clock(self.config.cycle_ms)
        self.count_warnings(0)

    def count_warnings(self, run: int) -> None:
        """Thresholds below what is left now, and not yet sent in this cycle, will be warned of."""
        clock, cycle = self.ticking, self.cycle
        assert cycle is not None
        left = None if clock is None or clock.expired else clocks.remaining(clock, run, delay=self.delay_left())
        cycle.counting = {w for w in self.config.warnings if left is not None and w < left} - cycle.sent

    def charge(self, used: int, u: int) -> None:
        """Charge the running clock `u` and add `used` to the counters of time; the cycle itself goes on."""
        clock, cycle, party = self.ticking, self.cycle, self.active_party()
        assert cycle is not None
        assert party is not None
        if clock is not None:
            self.ticking = clocks.charge(clock, u, delay=self.delay_left())
        cycle.spent += u
        for counter in self.counters(party):
            counter.time_used += used
        self.time_used += used

    def counters(self, party: Party) -> list[Party]:
        """Whose counters a cycle of `party` moves.

        Reading: a group counts its members' cycles in every mode.
        """
        return [party] if party.group is None else [party, self.groups[party.group]]

    def close(self) -> None:
        """Count the cycle that just ended; nobody is active until the next one begins."""
        party = self.active_party()
        assert party is not None
        for counter in self.counters(party):
            counter.cycles += 1
        self.cycles += 1

    def cut(self, now: int) -> None:
        """End the running cycle early: charged at most its budget, counted, not credited."""
        clock = self.ticking
        if clock is None or not clock.expired:
            run = self.run(now)
            full = run if clock is None else clocks.budget(clock, delay=self.delay_left())
            self.charge(min(run, full), min(run, full))
        self.close()

    def finish(self, status: str, at: int) -> None:
        """The session is over."""
        self.status, self.completed, self.active, self.cycle = status, at, None, None


def _after(ring: list[Party], index: int | None) -> list[Party]:
    if index is None:
        return ring
    return [p for p in ring if p.index > index] + [p for p in ring if p.index <= index]


def iso(ms: int | None) -> str | None:
    """An instant as ISO 8601 with milliseconds and Z."""
    if ms is None:
        return None
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z"


# What is shown


def show_party(s: Session, party: Party, now: int) -> Json:
    """A participant or group as the state shows it at `now`."""
    clock, active = party.clock, s.active_party()
    mine = active is not None and party.id in {active.id, active.group}
    left = None if clock is None else clocks.remaining(clock)
    if mine and active is not None and s.owner_of(active) is party:
        left = s.remaining(now)
    shown: Json = {
        "total_time_ms": None if clock is None else clock.bank,
        "time_used_ms": party.time_used,
        "time_remaining_ms": left,
        "cycle_count": party.cycles,
        "is_active": mine,
        "has_expired": clock is not None and clock.expired,
        "time_control": party.control,
        "clock": None if clock is None else clocks.face(clock),
    }
    if party.id in s.groups:
        return {"group_id": party.id, **shown}
    return {"participant_id": party.id, "participant_index": party.index, "group_id": party.group, **shown}


def show_cycle(s: Session, now: int) -> Json:
    """What state and change both say about the running cycle."""
    party = s.participants[s.active] if s.active is not None else None
    running = s.cycle is not None and s.status == "running"
    return {
        "status": s.status,
        "active_participant_id": s.active,
        "active_group_id": None if party is None else party.group,
        "cycle_started_at": iso(s.cycle.start) if running and s.cycle is not None else None,
        "deadline_ms": s.deadline(),
        "time_remaining_ms": s.remaining(now),
        "cycle_count": s.cycles,
    }


def show(s: Session, now: int) -> Json:
    """The state at `now`."""
    c = s.config
    bank_in_session = c.mode == "global" and not c.cycle_clock and s.clock is not None
    return {
        "session_id": s.id,
        "sync_mode": c.mode,
        "version": s.version,
        "epoch": s.epoch,
        "schema": 1,
        "participants": [show_party(s, p, now) for p in s.rotation()],
        "groups": [show_party(s, g, now) for g in s.groups.values()],
        "total_time_ms": s.clock.bank if bank_in_session and s.clock is not None else s.total_ms,
        "time_per_cycle_ms": c.cycle_ms,
        "increment_ms": c.increment_ms,
        "max_time_ms": s.max_ms,
        "time_control": c.control.shown if c.control is not None else {"kind": "fischer"} if c.owned else None,
        "lag_compensation": c.lag,
        "time_used_ms": s.time_used,
        "cycle_elapsed_ms": None if s.cycle is None else s.cycle.ran(now),
        "auto_advance": c.auto_advance,
        "action_on_timeout": c.action,
        "warnings_ms": c.warnings,
        "players_may_pause": c.players_may_pause,
        "metadata": c.metadata,
        "session_started_at": iso(s.started),
        "session_completed_at": iso(s.completed),
        "created_at": iso(s.created),
        "updated_at": iso(s.changed),
        "server_time_ms": now,
        "tenant_id": s.tenant,
        "recovered": s.recovered is not None,
        "recovered_at": iso(s.recovered),
        "warning": None if s.recovered is None else True,
        **show_cycle(s, now),
    }


TYPES = {
    "time.warning": ("TIME_WARNING", "auto"),
    "participant.expired": ("TIME_EXPIRED", "timeout"),
    "session.expired": ("TIME_EXPIRED", "timeout"),
    "session.deleted": ("SESSION_DELETED", "deleted"),
}


# Arguments

COMMON = {"TENANT", "VERSION", "EPOCH", "ACTOR", "TRACE", "REQUEST"}
OPTIONS = {
    "create": COMMON - {"VERSION", "EPOCH"} | {"TTL"},
    "switch": COMMON | {"NEXT", "CURRENT", "LAG"},
    "adjust": COMMON | {"PARTICIPANT", "GROUP", "SET", "ADD", "WITHIN", "REASON"},
    "expire": set(),
    "get": {"TENANT", "EXPORT"},
    "log": {"TENANT", "EPOCH"},
    "restore": {"TTL"},
}
FIRST = {"create": "config", "join": "participant", "leave": "participant_id", "log": "since", "restore": "state"}
BOUNDS = {
    "VERSION": (1, 2**53),
    "TTL": (1, 10**9),
    "LAG": (0, DAY),
    "SET": (0, DAY),
    "ADD": (-DAY, DAY),
    "WITHIN": (1, DAY),
}
IDS = {"NEXT", "CURRENT", "PARTICIPANT", "GROUP"}
MISSING = "SESSION_NOT_FOUND"


class Options(dict[str, Any]):
    """The parsed arguments: options under their names in capitals, the leading one as `first`."""

    first: Any = None


def whole(text: str) -> int | None:
    """A plain decimal number, or None."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else None


def parse_options(function: str, args: Sequence[str]) -> Options:
    """Read `NAME value` pairs; refuse everything that is wrong with them at once."""
    options, bad, rest = Options(), [], list(args)
    if function in FIRST:
        if not rest:
            raise Refusal("VALIDATION_ERROR", [FIRST[function]])
        options.first = rest.pop(0)
    allowed = OPTIONS.get(function, COMMON)
    while rest:
        name = rest.pop(0).upper()
        if name == "EXPORT" and name in allowed:
            options[name] = True
            continue
        if name not in allowed or not rest or name in options:
            bad.append(name.lower())
            break
        value: Any = rest.pop(0)
        if name in BOUNDS:
            value = whole(value)
            low, high = BOUNDS[name]
            if value is None or not low <= value <= high:
                bad.append(name.lower())
        elif name in IDS:
            if not UUID.fullmatch(value):
                bad.append(name.lower())
            value = value.lower()
        elif name == "REASON" and len(value) > 200:
            bad.append("reason")
        options[name] = value
    if function == "adjust" and not bad:
        if ("SET" in options) == ("ADD" in options):
            bad.append("set")
        if "PARTICIPANT" in options and "GROUP" in options:
            bad.append("group")
    if function == "leave":
        if not UUID.fullmatch(options.first):
            bad.append("participant_id")
        options.first = options.first.lower()
    if function == "log":
        options.first = whole(options.first)
        if options.first is None or options.first < 0:
            bad.append("since")
    if function in {"create", "join", "restore"}:
        try:
            options.first = json.loads(options.first)
        except ValueError:
            bad.append(FIRST[function])
    if function == "join" and not bad:
        # What is wrong with the entry by itself is wrong in any session.
        bad += parse_participant(options.first, Config(), 0)[1]
    if bad:
        raise Refusal("VALIDATION_ERROR", bad)
    return options


# The functions


class Model:
    """All sessions of one server, under one clock that is passed in."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.tombstones: dict[str, int] = {}
        self.farewells: dict[str, Json] = {}
        self.epochs = 0

    def call(self, function: str, session_id: str, args: Sequence[str], time: int) -> Reply:
        """Run `sk_<function>` for one session at the server time `time` (ms)."""
        work = copy.deepcopy(self.sessions.get(session_id))
        try:
            options = parse_options(function, args)
            reply = self._run(function, session_id, work, options, time)
        except Refusal as refusal:
            return Reply(code=refusal.code, fields=refusal.fields, context=refusal.context)
        return reply

    def _run(self, function: str, session_id: str, s: Session | None, options: Options, time: int) -> Reply:
        if function == "create":
            return self._create(session_id, s, options, time)
        if s is None:
            if function == "expire":
                return Reply()
            if function == "delete":
                return Reply(number=0)
            raise Refusal(MISSING)
        now = max(time, s.changed)
        if "TENANT" in options and options["TENANT"] != s.tenant:
            if function == "delete":
                return Reply(number=0)
            raise Refusal(MISSING)
        if function == "get":
            return Reply(state=show(s, now))
        if function == "log":
            return self._log(s, options)
        replayed = self._replay(s, function, options)
        if replayed is not None:
            return replayed
        _unmoved(s, options)
        before = {p.id: _static(s, p) for p in [*s.participants.values(), *s.groups.values()]}
        happened: tuple[str, Json] | None = getattr(self, f"_{function}")(s, options, now)
        if happened is None:
            return Reply()
        event = self._record(s, function, happened, before, options, now)
        return Reply(number=1) if function == "delete" else Reply(event=event)

    def _record(
        self, s: Session, function: str, happened: tuple[str, Json], before: dict[str, Json], options: Options, now: int
    ) -> Json:
        name, extra = happened
        s.version, s.changed = s.version + 1, now
        if name != "time.warning":
            s.solid_version = s.version
        if "REQUEST" in options:
            s.requests = [*s.requests, (options["REQUEST"], function, s.version)][-REMEMBERED_REQUESTS:]
        kind, reason = TYPES.get(name, ("STATE_UPDATE", "manual"))
        changed = [p for p in [*s.rotation(), *s.groups.values()] if before.get(p.id) != _static(s, p)]
        payload = {
            "event": name,
            "reason": reason,
            **show_cycle(s, now),
            "participants": [show_party(s, p, now) for p in changed if p.id in s.participants],
            "groups": [show_party(s, p, now) for p in changed if p.id in s.groups],
            "actor": options.get("ACTOR"),
            "trace": options.get("TRACE"),
            **extra,
        }
        event = {
            "v": 1, "type": kind, "session_id": s.id, "version": s.version, "epoch": s.epoch, "server_time_ms": now,
            "payload": payload,
        }  # fmt: skip
        s.log[s.version] = event
        if function == "delete":
            del self.sessions[s.id]
            self.tombstones[s.id] = s.version
            self.farewells[s.id] = event
        else:
            self.sessions[s.id] = s
        return event

    def _replay(self, s: Session, function: str, options: Options) -> Reply | None:
        made = next((r for r in s.requests if r[0] == options.get("REQUEST")), None)
        if made is None:
            return None
        if made[1] != function:
            raise Refusal("VALIDATION_ERROR", ["request"])
        if made[2] not in s.log:
            raise Refusal("CONCURRENT_MODIFICATION", actual_version=s.version)
        return Reply(event=s.log[made[2]] | {"replayed": True})

    def _log(self, s: Session, options: Options) -> Reply:
        since = options.first
        if since > s.version or options.get("EPOCH", str(s.epoch)) != str(s.epoch):
            return Reply()
        wanted = range(since + 1, s.version + 1)
        return Reply(events=[s.log[v] for v in wanted]) if all(v in s.log for v in wanted) else Reply()

    def _create(self, session_id: str, old: Session | None, options: Options, now: int) -> Reply:
        config, bad = parse_config(options.first, session_id)
        if bad:
            raise Refusal("VALIDATION_ERROR", bad)
        if old is not None:
            made = next((r for r in old.requests if r[0] == options.get("REQUEST")), None)
            if made is None or old.tenant != options.get("TENANT"):
                raise Refusal("SESSION_EXISTS")
            if made[1] != "create":
                raise Refusal("VALIDATION_ERROR", ["request"])
            # Reading: as a replayed change does, the state says that it is one.
            return Reply(state=show(old, max(now, old.changed)) | {"replayed": True})
        self.epochs += 1
        s = new_session(session_id, config, now, options.get("TENANT"), options.get("TTL", 3600) * 1000)
        s.epoch = self.epochs
        s.version = 0
        self.tombstones.pop(session_id, None)
        self._record(s, "create", ("session.created", {}), {}, options, now)
        return Reply(state=show(s, now))

    def restore(self, session_id: str, exported: Session, time: int, ttl_ms: int) -> Reply:
        """`exported` (a copy taken at its export, `elapsed` frozen there) goes on from here: the outage costs nobody."""
        if session_id in self.sessions or session_id in self.tombstones:
            return Reply(code="SESSION_EXISTS")
        s = copy.deepcopy(exported)
        now = max(time, s.changed)
        if s.cycle is not None and s.status == "running" and s.cycle.elapsed is not None:
            s.cycle.start, s.cycle.elapsed = now - s.cycle.elapsed, None
        self.epochs += 1
        s.epoch, s.recovered, s.log, s.ttl_ms = self.epochs, now, {}, ttl_ms
        before = {p.id: _static(s, p) for p in [*s.participants.values(), *s.groups.values()]}
        self._record(s, "restore", ("session.recovered", {}), before, Options(), now)
        return Reply(state=show(s, now))

    def export(self, session_id: str, time: int) -> Session:
        """A copy of the session as `sk_get EXPORT` would give it at `time`."""
        s = copy.deepcopy(self.sessions[session_id])
        # Reading: the moment of the export counts as the last one of the session's time.
        s.changed = max(time, s.changed)
        if s.cycle is not None and s.cycle.elapsed is None:
            s.cycle.elapsed = s.cycle.ran(s.changed)
        return s

    # Transitions: each gives the event's name and its further fields, or None for nothing done

    def _start(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, "pending")
        first = s.participants[s.active] if s.active is not None else s.rotation()[0]
        s.status, s.started = "running", now
        s.begin(first, now)
        return "session.started", {}

    def _pause(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, "running")
        if s.time_up(now):
            return expire(s, now)
        assert s.cycle is not None
        s.cycle.elapsed, s.status = s.cycle.ran(now), "paused"
        return "session.paused", {}

    def _resume(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, "paused")
        assert s.cycle is not None
        s.cycle.start, s.cycle.elapsed, s.status = now - s.cycle.ran(now), None, "running"
        return "session.resumed", {}

    def _complete(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, *LIVE)
        if s.cycle is not None:
            s.cut(now)
        s.finish("completed", now)
        return "session.completed", {}

    def _cancel(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        self._complete(s, options, now)
        s.status = "cancelled"
        return "session.cancelled", {}

    def _delete(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        return "session.deleted", {}

    def _expire(self, s: Session, options: Options, now: int) -> tuple[str, Json] | None:
        if s.time_up(now):
            return expire(s, now)
        if s.deadline() is None or s.cycle is None:
            return None
        due = [w for w in s.cycle.counting if s.warning_at(w) <= now]
        if not due:
            return None
        s.cycle.counting.remove(max(due))
        s.cycle.sent.add(max(due))
        return "time.warning", {"warning_ms": max(due)}

    def _switch(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, "running")
        active, clock = s.active_party(), s.ticking
        assert active is not None
        assert s.cycle is not None
        # Reading: whoever is no participant (any more) is a stranger, as CURRENT too.
        if options.get("CURRENT", active.id) not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if options.get("CURRENT", active.id) != active.id:
            wrong = {"expected_participant_id": options["CURRENT"], "actual_participant_id": active.id}
            raise Refusal("CONCURRENT_MODIFICATION", **wrong)
        if "NEXT" in options and options["NEXT"] not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if "NEXT" in options and s.out(s.participants[options["NEXT"]]):
            raise Refusal("PARTICIPANT_EXPIRED")
        if s.time_up(now):
            return expire(s, now)
        extra: Json = {"suspicious": "too_fast"} if s.cycle.ran(now) <= SUSPICIOUS_MS else {}
        run, delay = s.run(now), s.delay_left()
        if clock is None:
            s.charge(run, run)
        elif not clock.expired:
            saved = min(options.get("LAG", 0), clock.quota_ms or 0, run)
            u = run - saved
            full = clocks.budget(clock, delay=delay)
            if u >= full:
                return expire(s, now)
            s.charge(min(run, full), u)
            assert s.ticking is not None
            s.ticking = clocks.with_lag(clocks.credit(clock, u, s.ticking), saved)
            if clock.quota_ms is not None and "LAG" in options:
                extra["lag_credit_ms"] = saved
            if clocks.overtime_used(clock, u, delay=delay):
                extra["overtime_used_ms"] = clocks.overtime_used(clock, u, delay=delay)
        following = s.participants[options["NEXT"]] if "NEXT" in options else s.following()
        assert following is not None
        s.close()
        activate(s, following, now)
        return "cycle.switched", extra

    def _adjust(self, s: Session, options: Options, now: int) -> tuple[str, Json] | None:
        _need(s, *LIVE)
        owner = _adjusted_owner(s, options)
        active = s.active_party()
        current = active is not None and s.owner_of(active) is owner
        clock = s.ticking if current or s.config.cycle_clock else s.clock if owner is None else owner.clock
        if clock is None and s.config.cycle_clock:
            raise Refusal("INVALID_SESSION_STATE", status=s.status)
        if clock is None:
            # Reading: counting up without a maximum, SET gives it one and ADD has nothing to add to; no end is never within.
            if "WITHIN" in options:
                return None
            if "ADD" in options:
                raise Refusal("VALIDATION_ERROR", ["add"])
            ran = s.run(now) if s.cycle is not None else 0
            clock, s.max_ms = Clock(ran), s.time_used + ran
        run = s.run(now) if current and s.cycle is not None and not clock.expired else 0
        delay = s.delay_left() if current else True
        if "WITHIN" in options and clocks.remaining(clock, run, delay=delay) >= options["WITHIN"]:
            return None
        if current and s.time_up(now):
            return expire(s, now)
        changed, by = clocks.adjust(clock, run, set_ms=options.get("SET"), add_ms=options.get("ADD"), delay=delay)
        if current and s.cycle is not None:
            s.ticking = changed
            if clock.expired and not changed.expired:
                s.cycle.since = s.cycle.ran(now)
            s.count_warnings(s.run(now))
        elif owner is not None:
            owner.clock = changed
        else:
            s.clock = changed
        if s.config.mode == "count_up" and s.max_ms is not None:
            s.max_ms += by
        extra: Json = {"adjusted_ms": by}
        if "REASON" in options:
            extra["adjust_reason"] = options["REASON"]
        return "time.adjusted", extra

    def _join(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, *LIVE)
        highest = max(p.index for p in s.participants.values())
        member, bad = parse_participant(options.first, s.config, highest + 1)
        taken = {p.index for p in s.participants.values()}
        if member.id in s.participants:
            bad.append("participant_id")
        if member.index in taken or member.index > 999:
            bad.append("participant_index")
        if member.group is not None and member.group not in s.groups:
            bad.append("group_id")
        if len(s.participants) >= 1000:
            bad.append("participants")
        if bad:
            raise Refusal("VALIDATION_ERROR", sorted(set(bad)))
        s.participants[member.id] = _party(member, s.config, own=s.config.mode == "per_participant")
        return "participant.added", {}

    def _leave(self, s: Session, options: Options, now: int) -> tuple[str, Json]:
        _need(s, *LIVE)
        if options.first not in s.participants:
            raise Refusal("PARTICIPANT_NOT_FOUND")
        if len(s.participants) == 1:
            raise Refusal("VALIDATION_ERROR", ["participant_id"])
        gone = s.participants[options.first]
        if s.active == gone.id and s.cycle is not None:
            if s.time_up(now):
                return expire(s, now)
            s.cut(now)
            following = s.following(leaving=True)
            if following is None:
                s.finish("expired", now)
            else:
                s.begin(following, now, paused=s.status == "paused")
        elif s.active == gone.id:
            s.active = None
        del s.participants[gone.id]
        return "participant.removed", {"removed_participant_id": gone.id}


def expire(s: Session, now: int) -> tuple[str, Json]:
    """Time is up for the active one: charge the budget and do what `action_on_timeout` says."""
    active, clock, deadline, cycle = s.active_party(), s.ticking, s.deadline(), s.cycle
    assert active is not None
    assert clock is not None
    assert deadline is not None
    assert cycle is not None
    full, delay = clocks.budget(clock, delay=s.delay_left()), s.delay_left()
    up = deadline + clocks.grace(clock)
    late = max(0, now - up)
    at = now if late > TOLERATED_LATE_MS else min(up, now)
    action = dict(s.config.action)
    extra: Json = {
        "expired_participant_id": active.id,
        "expired_deadline_ms": deadline,
        "late_ms": late,
        "action_applied": action,
    }
    if s.config.mode == "per_group":
        extra["expired_group_id"] = active.group
    if clocks.overtime_used(clock, full, delay=delay):
        extra["overtime_used_ms"] = clocks.overtime_used(clock, full, delay=delay)
    s.charge(full, full)
    kind = action["type"]
    if kind == "notify" and not (s.config.cycle_clock and s.config.auto_advance):
        cycle.counting.clear()
        return "participant.expired", extra
    session_bank = s.owner_of(active) is None and not s.config.cycle_clock
    following = None if kind == "end_session" or session_bank else s.following()
    s.close()
    if following is not None:
        activate(s, following, at)
        return "participant.expired", extra
    mine = s.owner_of(active) or active
    rivals = s.group_rotation() if s.config.mode == "per_group" else s.rotation()
    rivals = [r for r in rivals if r is not mine and not (r.clock is not None and r.clock.expired)]
    if len(rivals) == 1 and kind == "end_session" and not session_bank:
        action["winner"] = rivals[0].id
    s.finish("expired", deadline)
    s.expired_by = active.id
    return "session.expired", extra


def activate(s: Session, following: Party, at: int) -> None:
    """Hand over: an hourglass gives the next clock what its cycle used, then the next cycle begins."""
    clock, cycle = s.ticking, s.cycle
    assert cycle is not None
    if clock is not None and clock.rule.kind == "hourglass":
        heir = s.owner_of(following)
        assert heir is not None
        assert heir.clock is not None
        heir.clock = clocks.receive(heir.clock, cycle.spent)
    s.begin(following, at)


def _unmoved(s: Session, options: Options) -> None:
    """The caller's VERSION and EPOCH are the session's, warnings left out."""
    same_epoch = options.get("EPOCH", str(s.epoch)) == str(s.epoch)
    if same_epoch and s.solid_version <= options.get("VERSION", s.version) <= s.version:
        return
    wrong: Json = {}
    if "VERSION" in options:
        wrong = {"expected_version": options["VERSION"], "actual_version": s.version}
    if "EPOCH" in options:
        wrong |= {"expected_epoch": options["EPOCH"], "actual_epoch": str(s.epoch)}
    raise Refusal("CONCURRENT_MODIFICATION", **wrong)


def _need(s: Session, *statuses: str) -> None:
    if s.status not in statuses:
        wrong = {"status": s.status}
        if s.expired_by is not None:
            wrong["expired_participant_id"] = s.expired_by
        raise Refusal("INVALID_SESSION_STATE", **wrong)


def _adjusted_owner(s: Session, options: Options) -> Party | None:
    mode = s.config.mode
    pid, gid = options.get("PARTICIPANT"), options.get("GROUP")
    wanted = {"per_participant": "PARTICIPANT", "per_group": "GROUP"}.get(mode)
    named = "PARTICIPANT" if pid is not None else "GROUP" if gid is not None else None
    if named != wanted:
        raise Refusal("VALIDATION_ERROR", [(named or wanted or "").lower()])
    if named is None:
        return None
    owner = s.participants.get(pid) if named == "PARTICIPANT" else s.groups.get(gid)
    if owner is None:
        raise Refusal("PARTICIPANT_NOT_FOUND")
    return owner


def _static(s: Session, party: Party) -> Json:
    """What is stored of a participant or group: everything shown but the time that is running."""
    shown = show_party(s, party, 0)
    del shown["time_remaining_ms"]
    return shown


def _party(member: Member, config: Config, *, own: bool) -> Party:
    clock = None
    if own and member.bank is not None:
        control = member.control or config.control
        default = (Rule("fischer", config.increment_ms, config.max_ms),)
        clock = clocks.new_clock(
            member.bank,
            control.rules if control is not None else default,
            overtime_ms=control.overtime_ms if control is not None else 0,
            staged=control is not None and control.staged,
            lag=config.lag,
        )
    return Party(member.id, member.index, member.group, None if member.control is None else member.control.shown, clock)


def new_session(session_id: str, c: Config, now: int, tenant: str | None, ttl_ms: int) -> Session:
    """A pending session of a checked configuration."""
    participants = {m.id: _party(m, c, own=c.mode == "per_participant") for m in c.participants}
    groups = {g.id: _party(g, c, own=c.mode == "per_group") for g in c.groups}
    banks = [p.clock.bank for p in [*participants.values(), *groups.values()] if p.clock is not None]
    total, clock = c.total_ms, None
    if c.mode == "count_up":
        clock = None if c.max_ms is None else Clock(c.max_ms)
    elif c.mode == "global" and not c.cycle_clock:
        assert c.total_ms is not None
        clock = Clock(c.total_ms)
    elif total is None and banks:
        total = sum(banks)
    s = Session(
        session_id, replace(c), tenant, ttl_ms, participants, groups, clock, total, c.max_ms, created=now, changed=now
    )
    s.active = c.active
    return s
