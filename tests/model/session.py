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
    """A participant or a group, with its counters. `clock` is None if the mode gives it no clock."""

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

    resumes: when a bounded pause ends by itself
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
    resumes: int | None = None
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

    def following(self, *, leaving: bool = False) -> TurnTaker | None:
        """The next participant in rotation after the active one who is not out; None if all are out."""
        assert self.active is not None
        here = self.participants[self.active]

        def can(participant: TurnTaker) -> bool:
            return not self.out(participant) and not (leaving and participant is here)

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
        if self.status != "running" or clock is None or cycle is None or clock.expired or clock.endless:
            return None
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

    def pause_over(self, now: int) -> bool:
        """Whether a pause has lasted for `max_pause_ms`."""
        return self.status == "paused" and self.resumes is not None and now >= self.resumes

    def time_up(self, now: int) -> bool:
        """Whether the budget and the grace after it are over."""
        deadline, clock = self.deadline(), self.running_clock
        return deadline is not None and clock is not None and now >= deadline + clocks.grace(clock)

    def warning_at(self, threshold: int) -> int:
        """When the running clock falls to a threshold."""
        deadline, clock = self.deadline(), self.running_clock
        assert deadline is not None
        assert clock is not None
        return deadline - clock.overtime_ms - threshold

    def alarm(self) -> int | None:
        """When the server next has something to do for this session; None: never."""
        if self.status == "paused":
            return self.resumes
        deadline, clock, cycle = self.deadline(), self.running_clock, self.cycle
        if deadline is None or clock is None or cycle is None:
            return None
        times = [self.warning_at(w) for w in cycle.pending_warnings]
        return min([*times, deadline + clocks.grace(clock)])

    def ttl(self, now: int) -> tuple[int, bool]:
        """How long the keys live from now (ms), and whether that is exact or a minimum."""
        if self.status not in LIVE:
            return self.ttl_ms, True
        deadline = self.deadline()
        if deadline is not None:
            return max(0, deadline - now) + self.ttl_ms, True
        if self.status == "paused" and self.resumes is not None:
            return max(UNFINISHED_TTL_MS, self.resumes - now + self.ttl_ms), False
        return UNFINISHED_TTL_MS, False

    # Cycles

    def begin(self, participant: TurnTaker, at: int, *, paused: bool = False) -> None:
        """`participant` becomes active at `at`."""
        self.active, cycle = participant.id, Cycle(at, elapsed=0 if paused else None)
        self.cycle = cycle
        if participant.group is not None:
            self.groups[participant.group].last_turn = participant.index
        if self.config.cycle_clock:
            assert self.config.cycle_ms is not None
            cycle.clock = Clock(self.config.cycle_ms)
        clock = self.running_clock
        cycle.transfers_time = clock is not None and clock.rule.kind == "hourglass"
        self.schedule_warnings(at)

    def schedule_warnings(self, now: int) -> None:
        """Plan the warnings with thresholds below the time left, except those that this cycle has sent."""
        clock, cycle = self.running_clock, self.cycle
        assert cycle is not None
        left = None if clock is None or clock.expired else self.remaining(now)
        cycle.pending_warnings = {
            w for w in self.config.warnings if left is not None and w < left
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
        if self.total_left is not None and self.cycle is not None:
            self.total_left = max(0, self.total_left - self.cycle.ran(at))
        for counter in self.counters(participant):
            counter.cycles += 1
        self.cycles += 1

    def cut(self, now: int) -> None:
        """End the running cycle early. It is charged at most its budget, and counted, but not credited.

        Reading: no move is counted, no block or stage begins, and an hourglass transfers no time. The cycle
        uses nothing beyond the session's own budget.
        """
        clock, total_ends = self.running_clock, self.total_ends()
        if clock is None or not clock.expired:
            run = self.run(now if total_ends is None else min(now, total_ends))
            if clock is not None and not clock.endless:
                run = min(run, clocks.budget(clock, since=self.since()))
            self.charge(run, run)
        self.close(now)

    def finish(self, status: str, at: int) -> None:
        """End the session with this status."""
        self.status, self.completed, self.active, self.cycle = status, at, None, None
        self.resumes = None


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
        )
    return TurnTaker(
        member.id, member.index, member.group, None if member.control is None else member.control.shown, clock
    )


def new_session(session_id: str, c: Config, now: int, tenant: str | None, ttl_ms: int) -> Session:
    """A pending session of a checked configuration."""
    participants = {m.id: new_turn_taker(m, c, own=c.mode == "per_participant") for m in c.participants}
    groups = {g.id: new_turn_taker(g, c, own=c.mode == "per_group") for g in c.groups}
    owners = [p.clock for p in [*participants.values(), *groups.values()] if p.clock is not None]
    banks = [clock.bank for clock in owners if not clock.endless]
    total, clock = c.total_ms, None
    if c.mode == "count_up":
        clock = None if c.max_ms is None else Clock(c.max_ms)
    elif c.mode == "global" and not c.cycle_clock:
        assert c.total_ms is not None
        clock = Clock(c.total_ms)
    elif total is None and banks:
        total = sum(banks)
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
    s.active = c.active
    s.total_left = c.total_ms if c.budgeted else None
    return s
