"""A session as the rules see it: who takes turns, which clock runs, and when it ends.

`model.py` decides what a call does to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tests.model import clocks
from tests.model.clocks import Clock, Rule
from tests.model.config import DAY, Config, Member

UNFINISHED_TTL_MS = DAY
LIVE = {"pending", "running", "paused"}

Json = dict[str, Any]


@dataclass(slots=True)
class TurnTaker:
    """A participant or a group, with its counters. `clock` is None if the mode gives it no clock.

    first_clock: the clock as it was when the session was created, or when this participant joined
    last_turn: of a group, the index of the member who was last active, even if it has left
    last_turn_version: the version of the event that made that member active
    """

    id: str
    index: int
    group: str | None
    control: Json | None
    clock: Clock | None
    time_used: int = 0
    cycles: int = 0
    last_turn: int | None = None
    last_turn_version: int | None = None
    first_clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """What a takeback brings back: how everything stood when a cycle began, but for clocks of the session.

    version: that of the event that began the cycle
    takers: of each participant and group its clock, time used, number of cycles, last turn, and its version
    """

    active: str
    version: int
    takers: dict[str, tuple[Clock | None, int, int, int | None, int | None]]
    time_used: int
    cycles: int


@dataclass(slots=True)
class Cycle:
    """The current turn.

    start, elapsed: the server time (ms) at which it began, pauses left out; during a pause, how long it ran
    since: the running time (ms) from which its clock counts. It is above 0 when the clock ran out in this
        cycle and was given time again
    charged_ms: how much this cycle has charged already
    transfers_time: whether the next clock gets `charged_ms`. The rule at the start of the cycle decides this,
        even if a new stage begins at its end
    pending_warnings, sent_warnings: thresholds (ms) of warnings that are still due, and that were sent
    """

    start: int
    elapsed: int | None = None
    since: int = 0
    charged_ms: int = 0
    transfers_time: bool = False
    clock: Clock | None = None
    pending_warnings: set[int] = field(default_factory=set)
    sent_warnings: set[int] = field(default_factory=set)

    def ran(self, now: int) -> int:
        """Running time of the cycle, pauses left out."""
        return now - self.start if self.elapsed is None else self.elapsed


@dataclass(slots=True)
class Session:
    """Everything that the rules need of one session.

    starts_at, ends_at: when it starts and ends by itself, as far as that is still ahead
    resumes: when a bounded pause ends by itself
    pauses_left, pause_left: how many pauses, and how long in sum, there may still be; None if unbounded
    paused_at: when the pause began that counts towards `pause_left`
    was: who was active when the session ended, or is next after it if it has left
    turns: how everything stood at the beginning of each cycle that can be taken back, the oldest first
    beginning: how everything stood at the beginning of the current cycle; None if a change that cannot be
        taken back came after it
    total_left: how much of the session's own budget was left when the current cycle began; None if the
        session has no budget in addition to the cycles' clocks
    solid_version: the version of the last event that was not a warning
    requests: actor, request id, function and version of the newest calls with a request id
    """

    id: str
    config: Config
    tenant: str | None
    ttl_ms: int
    participants: dict[str, TurnTaker]
    groups: dict[str, TurnTaker]
    clock: Clock | None
    total_ms: int | None
    max_ms: int | None
    created: int
    changed: int
    status: str = "pending"
    version: int = 1
    solid_version: int = 1
    epoch: int = 0
    server: str | None = None
    """The server that made the last change."""
    active: str | None = None
    cycle: Cycle | None = None
    time_used: int = 0
    cycles: int = 0
    started: int | None = None
    completed: int | None = None
    recovered: int | None = None
    expired_by: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    resumes: int | None = None
    pauses_left: int | None = None
    pause_left: int | None = None
    paused_at: int | None = None
    was: str | None = None
    turns: list[Position] = field(default_factory=list)
    beginning: Position | None = None
    total_left: int | None = None
    schema: int = 1
    """The schema in which the hash is."""
    requests: list[tuple[str | None, str, str, int]] = field(default_factory=list)
    log: dict[int, Json] = field(default_factory=dict)

    def copy(self) -> Session:
        """A copy to work on. It shares the log, because a refused call adds nothing to it."""
        cycle = self.cycle
        if cycle is not None:
            cycle = replace(
                cycle, pending_warnings=set(cycle.pending_warnings), sent_warnings=set(cycle.sent_warnings)
            )
        return replace(
            self,
            participants={p.id: replace(p) for p in self.participants.values()},
            groups={g.id: replace(g) for g in self.groups.values()},
            cycle=cycle,
        )

    # Rotation and ownership

    def rotation(self) -> list[TurnTaker]:
        """Participants in turn order."""
        return sorted(self.participants.values(), key=lambda p: p.index)

    def group_rotation(self) -> list[TurnTaker]:
        """Groups that have members, in the order of their lowest index."""
        lowest: dict[str, int] = {}
        for member in self.rotation():
            if member.group is not None:
                lowest.setdefault(member.group, member.index)
        return [self.groups[g] for g in sorted(lowest, key=lowest.__getitem__)]

    def active_participant(self) -> TurnTaker | None:
        """The active participant; None before the start and after the end."""
        return self.participants[self.active] if self.active is not None and self.cycle is not None else None

    def owner_of(self, participant: TurnTaker) -> TurnTaker | None:
        """The participant or group whose clock runs while `participant` is active.

        None in modes where no participant or group owns a clock.
        """
        if self.config.mode == "per_participant":
            return participant
        return (
            self.groups[participant.group]
            if self.config.mode == "per_group" and participant.group is not None
            else None
        )

    def out(self, participant: TurnTaker) -> bool:
        """Whether `participant` gets no more turns, because its time ran out."""
        owner = self.owner_of(participant)
        if owner is None or owner.clock is None or self.config.action["type"] == "notify":
            return False
        return owner.clock.expired

    def following(self, *, leaving: bool = False, anybody: bool = False) -> TurnTaker | None:
        """The next participant in rotation after the active one who is not out; None if all are out.

        leaving: without the active one
        anybody: also one that is out
        """
        assert self.active is not None
        here = self.participants[self.active]

        def can(participant: TurnTaker) -> bool:
            return (anybody or not self.out(participant)) and not (leaving and participant is here)

        if self.config.mode != "per_group":
            ring = after(self.rotation(), here.index)
            return next((p for p in ring if can(p)), None)
        teams = self.group_rotation()
        position = next(i for i, g in enumerate(teams) if g.id == here.group)
        for team in teams[position + 1 :] + teams[: position + 1]:
            members = [p for p in self.rotation() if p.group == team.id]
            found = next((p for p in after(members, team.last_turn) if can(p)), None)
            if found is not None:
                return found
        return None

    # The running clock

    @property
    def running_clock(self) -> Clock | None:
        """The clock of the current cycle; None without a cycle, or when it counts up without a maximum."""
        participant = self.active_participant()
        if participant is None or self.cycle is None:
            return None
        if self.config.cycle_clock:
            return self.cycle.clock
        owner = self.owner_of(participant)
        return owner.clock if owner is not None else self.clock

    @running_clock.setter
    def running_clock(self, clock: Clock) -> None:
        participant = self.active_participant()
        assert participant is not None
        assert self.cycle is not None
        owner = self.owner_of(participant)
        if self.config.cycle_clock:
            self.cycle.clock = clock
        elif owner is not None:
            owner.clock = clock
        else:
            self.clock = clock

    def since(self) -> int:
        """The running time of the cycle at which its clock began to count."""
        return 0 if self.cycle is None else self.cycle.since

    def run(self, now: int) -> int:
        """How long the current clock has been running in this cycle."""
        assert self.cycle is not None
        return self.cycle.ran(now) - self.cycle.since

    def deadline(self) -> int | None:
        """When the clock's budget or the session's own ends, whichever is first; None if neither runs."""
        ends = [end for end in (self.clock_ends(), self.total_ends()) if end is not None]
        return min(ends, default=None)

    def clock_ends(self) -> int | None:
        """When the budget of the running clock ends."""
        clock, cycle = self.running_clock, self.cycle
        if self.status != "running" or clock is None or cycle is None or clock.endless:
            return None
        if clock.expired:
            # Reading: when a pause ends by itself and the clock is out, its time is up at that moment.
            return cycle.start + cycle.since if self.stuck() else None
        return cycle.start + cycle.since + clocks.budget(clock, since=self.since())

    def total_ends(self) -> int | None:
        """When the session's own budget ends; None if it has none, or no clock runs."""
        if self.status != "running" or self.cycle is None or self.total_left is None:
            return None
        return self.cycle.start + self.total_left

    def total_remaining(self, now: int) -> int | None:
        """What is left of the session's own budget; never below 0."""
        if self.total_left is None:
            return None
        return max(0, self.total_left - (0 if self.cycle is None else self.cycle.ran(now)))

    def remaining(self, now: int) -> int | None:
        """What the running clock shows. It is at most what is left of the session's own budget."""
        clock, cycle = self.running_clock, self.cycle
        if clock is None or cycle is None or clock.endless:
            return None
        left = clocks.remaining(clock, self.run(now), since=self.since())
        if self.total_left is None or clock.expired:
            return left
        return min(left, self.total_left - cycle.ran(now))

    def stuck(self) -> bool:
        """Whether the current clock is out, so that the cycle cannot go on. Under `notify` it can.

        Reading: this holds for a clock that the session owns, too, and for its total beside the cycles, which
        ends the session under `notify` as well.
        """
        clock = self.running_clock
        spent = clock is not None and clock.expired and self.config.action["type"] != "notify"
        return spent or self.total_left == 0

    def due(self, now: int) -> str | None:
        """What is due: `end`, `start`, `pause` (its end), `time`, or None. Of several the earliest.

        When the end falls on the same moment as something else, it wins.
        """
        times: dict[str, int | None] = {}
        if self.status in LIVE:
            times["end"] = self.ends_at
        if self.status == "pending":
            times["start"] = self.starts_at
        if self.status == "paused":
            times["pause"] = self.resumes
        deadline, clock = self.deadline(), self.running_clock
        if deadline is not None and clock is not None:
            times["time"] = deadline + clocks.grace(clock)
        come = {what: at for what, at in times.items() if at is not None and at <= now}
        return min(come, key=come.__getitem__, default=None)

    def warning_at(self, threshold: int) -> int:
        """When the running clock falls to a threshold."""
        deadline, clock = self.deadline(), self.running_clock
        assert deadline is not None
        assert clock is not None
        return deadline - clock.overtime_ms - threshold

    def alarm(self) -> int | None:
        """When the server next has something to do for this session; None: never."""
        if self.status not in LIVE:
            return None
        times = [self.ends_at]
        if self.status == "pending":
            times.append(self.starts_at)
        if self.status == "paused":
            times.append(self.resumes)
        deadline, clock, cycle = self.deadline(), self.running_clock, self.cycle
        if deadline is not None and clock is not None and cycle is not None:
            times += [self.warning_at(w) for w in cycle.pending_warnings]
            times.append(deadline + clocks.grace(clock))
        return min([at for at in times if at is not None], default=None)

    def ttl(self, now: int) -> tuple[int, bool]:
        """How long the keys live from now (ms), and whether that is exact or a minimum."""
        if self.status not in LIVE:
            return self.ttl_ms, True
        deadline = self.deadline()
        if deadline is not None:
            grace = 0 if self.running_clock is None else clocks.grace(self.running_clock)
            return max(0, deadline + grace - now) + self.ttl_ms, self.ends_at is None
        alarm = self.alarm()
        if alarm is not None:
            return max(UNFINISHED_TTL_MS, alarm - now + self.ttl_ms), False
        return UNFINISHED_TTL_MS, False

    # Cycles

    def begin(self, participant: TurnTaker, at: int, *, paused: bool = False) -> None:
        """`participant` becomes active at `at`."""
        self.active, cycle = participant.id, Cycle(at, elapsed=0 if paused else None)
        self.cycle = cycle
        if participant.group is not None:
            group = self.groups[participant.group]
            group.last_turn, group.last_turn_version = participant.index, self.version + 1
        if self.config.cycle_clock:
            assert self.config.cycle_ms is not None
            cycle.clock = Clock(self.config.cycle_ms)
        clock = self.running_clock
        cycle.transfers_time = clock is not None and clock.rule.kind == "hourglass"
        self.schedule_warnings(at)
        self.beginning = self.position()

    def position(self) -> Position:
        """How everything stands at the beginning of a cycle."""
        assert self.active is not None
        takers = [*self.participants.values(), *self.groups.values()]
        stand = {t.id: (t.clock, t.time_used, t.cycles, t.last_turn, t.last_turn_version) for t in takers}
        return Position(self.active, self.version + 1, stand, self.time_used, self.cycles)

    def go_back_to(self, position: Position, now: int) -> None:
        """Everything stands as it did then, and that cycle begins now, or paused.

        A clock of the session runs on: what the current cycle has used of it is gone.
        """
        cycle = self.cycle
        assert cycle is not None
        if self.clock is not None and not self.clock.expired and not self.config.owned:
            self.clock = clocks.charge(self.clock, min(self.run(now), clocks.budget(self.clock)))
        self.spend_total(now)
        for taker in [*self.participants.values(), *self.groups.values()]:
            taker.clock, taker.time_used, taker.cycles, *turn = position.takers[taker.id]
            taker.last_turn, taker.last_turn_version = turn
        self.time_used, self.cycles = position.time_used, position.cycles
        self.begin(self.participants[position.active], now, paused=self.status == "paused")

    def needed_of_log(self, turns: int) -> list[int | None]:
        """The versions of the events from which so many turns can be taken back; None for what never was.

        These are the one that began the first of them and, for each group that was active since then, the
        one before that made somebody of it active.
        """
        if not 0 < turns <= len(self.turns):
            return []
        position = self.turns[-turns]
        changed = [
            position.takers[g.id][4]
            for g in self.groups.values()
            if self.config.mode == "per_group" and g.last_turn_version != position.takers[g.id][4]
        ]
        return [position.version, *changed]

    def bar_takebacks(self) -> None:
        """What came before this moment cannot be taken back any more."""
        self.turns, self.beginning = [], None

    def schedule_warnings(self, now: int) -> None:
        """Plan the warnings with thresholds below the time left, except those that this cycle has sent.

        A threshold at the end of the budget or below it never comes, not even when the grace is above 0.
        """
        clock, cycle = self.running_clock, self.cycle
        assert cycle is not None
        left = None if clock is None or clock.expired else self.remaining(now)
        cycle.pending_warnings = {
            w
            for w in self.config.warnings
            if left is not None and clock is not None and -clock.overtime_ms < w < left
        } - cycle.sent_warnings

    def charge(self, used: int, u: int) -> None:
        """Charge the running clock `u` ms, and add `used` ms to the counters. The cycle does not end."""
        clock, cycle, participant = self.running_clock, self.cycle, self.active_participant()
        assert cycle is not None
        assert participant is not None
        if clock is not None:
            self.running_clock = clocks.charge(clock, u, since=self.since())
        cycle.charged_ms += u
        for counter in self.counters(participant):
            counter.time_used += used
        self.time_used += used

    def counters(self, participant: TurnTaker) -> list[TurnTaker]:
        """The participant and group whose counters grow with a cycle of `participant`.

        Reading: a group counts its members' cycles in every mode.
        """
        return [participant] if participant.group is None else [participant, self.groups[participant.group]]

    def close(self, at: int) -> None:
        """Count the cycle, which ended at `at`."""
        participant = self.active_participant()
        assert participant is not None
        self.spend_total(at)
        for counter in self.counters(participant):
            counter.cycles += 1
        self.cycles += 1
        self.turns = [] if self.beginning is None else [*self.turns, self.beginning]

    def spend_total(self, at: int) -> None:
        """Take what the cycle, which ends at `at`, has used from the session's own budget."""
        if self.total_left is not None and self.cycle is not None:
            self.total_left = max(0, self.total_left - max(0, self.cycle.ran(at)))

    def last_cycle(self) -> bool:
        """Whether the session is completed by the end of the current cycle."""
        # Reading: cycles that a leave ended count, too, but a leave completes nothing.
        return self.config.max_cycles is not None and self.cycles + 1 >= self.config.max_cycles

    def cut(self, now: int) -> None:
        """End the running cycle early. It is charged at most its budget, and counted, but not credited.

        Reading: no move is counted, no block or stage begins, and an hourglass transfers no time. The cycle
        uses nothing beyond the session's own budget.
        """
        self.charge_until(now)
        self.close(now)

    def charge_until(self, now: int) -> None:
        """Charge the current clock what the cycle has used, at most its budget."""
        clock, total_ends = self.running_clock, self.total_ends()
        if clock is None or not clock.expired:
            # A cycle that began after `now` has used nothing: it began late, and the session ended before.
            run = max(0, self.run(now if total_ends is None else min(now, total_ends)))
            if clock is not None and not clock.endless:
                run = min(run, clocks.budget(clock, since=self.since()))
            self.charge(run, run)

    def finish(self, status: str, at: int) -> None:
        """End the session with this status."""
        self.end_pause(at)
        self.was = self.active
        self.status, self.completed, self.active, self.cycle = status, at, None, None

    # Pauses

    def end_pause(self, at: int) -> None:
        """No pause is going on any more. A counted one used up what there may be of pauses in sum."""
        self.pause_left = self.pause_remaining(at)
        self.paused_at = self.resumes = None

    def pause_remaining(self, now: int) -> int | None:
        """How long there may still be pauses in sum; None if that is unbounded."""
        if self.pause_left is None or self.paused_at is None:
            return self.pause_left
        return max(0, self.pause_left - (now - self.paused_at))

    # Schedule

    def forget_past(self, now: int) -> None:
        """A start or an end that has come is gone."""
        self.starts_at = None if self.starts_at is not None and self.starts_at <= now else self.starts_at
        self.ends_at = None if self.ends_at is not None and self.ends_at <= now else self.ends_at


def after(ring: list[TurnTaker], index: int | None) -> list[TurnTaker]:
    if index is None:
        return ring
    return [p for p in ring if p.index > index] + [p for p in ring if p.index <= index]


def new_turn_taker(member: Member, config: Config, *, own: bool) -> TurnTaker:
    clock = None
    control = member.control or config.control
    endless = control is not None and control.rules[0].kind == "none"
    if own and (member.bank is not None or endless):
        default = (Rule("fischer", config.increment_ms, config.max_ms),)
        clock = clocks.new_clock(
            member.bank or 0,
            control.rules if control is not None else default,
            overtime_ms=control.overtime_ms if control is not None else 0,
            staged=control is not None and control.staged,
            lag=config.lag,
            repeats=control is not None and control.repeats,
        )
    shown = None if member.control is None else member.control.shown
    return TurnTaker(member.id, member.index, member.group, shown, clock, first_clock=clock)


def new_session(session_id: str, c: Config, now: int, tenant: str | None, ttl_ms: int) -> Session:
    """A pending session of a checked configuration."""
    participants = {m.id: new_turn_taker(m, c, own=c.mode == "per_participant") for m in c.participants}
    groups = {g.id: new_turn_taker(g, c, own=c.mode == "per_group") for g in c.groups}
    owners = [p.clock for p in [*participants.values(), *groups.values()] if p.clock is not None]
    banks = [clock.bank for clock in owners if not clock.endless]
    clock = new_session_clock(c)
    total = sum(banks) if c.total_ms is None and clock is None and banks else c.total_ms
    s = Session(
        session_id,
        replace(c),
        tenant,
        ttl_ms,
        participants,
        groups,
        clock,
        total,
        c.max_ms,
        created=now,
        changed=now,
    )
    s.starts_at, s.ends_at = c.starts_at, c.ends_at
    as_configured(s)
    return s


def new_session_clock(c: Config) -> Clock | None:
    """The clock that the session owns; None if it owns none, or counts up without a maximum."""
    if c.mode == "count_up":
        return None if c.max_ms is None else Clock(c.max_ms)
    if c.mode == "global" and not c.cycle_clock:
        assert c.total_ms is not None
        return Clock(c.total_ms)
    return None


def as_configured(s: Session) -> None:
    """Everything that a config has begins as it says, for those who take part now."""
    c = s.config
    for taker in [*s.participants.values(), *s.groups.values()]:
        taker.clock, taker.time_used, taker.cycles = taker.first_clock, 0, 0
        taker.last_turn = taker.last_turn_version = None
    s.status, s.cycle, s.time_used, s.cycles = "pending", None, 0, 0
    s.clock, s.max_ms = new_session_clock(c), c.max_ms
    s.total_left = c.total_ms if c.budgeted else None
    s.pauses_left, s.pause_left, s.paused_at, s.resumes = c.max_pauses, c.max_total_pause_ms, None, None
    s.started = s.completed = s.expired_by = s.was = None
    s.active = c.active if c.active in s.participants else None
    s.bar_takebacks()
