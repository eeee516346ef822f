"""How a clock is spent: every time control as small pure functions. All times are whole milliseconds.

`bank` (R in the tables of `lua/controls/README.md`) is what is left of the main time when a cycle begins.
`u` is what a cycle is charged, and `run` how long it has run. A clock is a value: each function returns a new
one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LAG_GRACE_MS = 2000
LAG_GAIN_MS = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of spending a clock: a whole time control, or one stage of it."""

    kind: str = "fischer"
    increment_ms: int = 0
    max_time_ms: int | None = None
    delay_ms: int = 0
    periods: int = 0
    period_ms: int = 0
    block_moves: int = 0
    stage_moves: int | None = None
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock as of the start of its cycle. `quota_ms` is None without lag compensation."""

    bank: int
    rules: tuple[Rule, ...] = (Rule(),)
    overtime_ms: int = 0
    staged: bool = False
    repeats: bool = False
    stage: int = 0
    stage_moves_made: int = 0
    periods_left: int = 0
    block_ms: int = 0
    block_moves_left: int = 0
    quota_ms: int | None = None
    quota_gain_ms: int = 0
    expired: bool = False

    @property
    def rule(self) -> Rule:
        """The rule that holds for the current cycle."""
        return self.rules[self.stage]

    @property
    def endless(self) -> bool:
        """Whether it never runs down. Such a clock has no bank and no budget."""
        return self.rule.kind == "none"


def new_clock(
    bank: int,
    rules: tuple[Rule, ...],
    *,
    overtime_ms: int,
    staged: bool,
    lag: bool,
    repeats: bool = False,
) -> Clock:
    """A clock as it is when the session is created or its owner joins.

    repeats: whether the last stage begins again after its moves

    Reading: a clock without end needs no lag quota.
    """
    lag = lag and rules[0].kind != "none"
    gain = quota_gain(bank, rules[0]) if lag else 0
    quota = 3 * gain if lag else None
    clock = Clock(bank, rules, overtime_ms, staged, repeats, quota_ms=quota, quota_gain_ms=gain)
    return _enter_stage(clock, 0)


def quota_gain(bank: int, rule: Rule) -> int:
    """G: what a switch adds to the lag quota (ms). The formula is in seconds; it keeps their fractions."""
    increment = rule.increment_ms if rule.kind == "fischer" else 0
    return min(LAG_GAIN_MS, 10 * (2 * (bank + 40 * increment) // 5000) + 150)


def grace(clock: Clock) -> int:
    """How long after the deadline (ms) a switch can still come in time, by its lag credit."""
    return min(clock.quota_ms or 0, LAG_GRACE_MS)


def reserve(clock: Clock, *, since: int = 0) -> int:
    """What a cycle may use after the bank and before the overtime: delay, periods or rest of the block."""
    rule = clock.rule
    if rule.kind == "delay":
        return max(0, rule.delay_ms - since)
    if rule.kind == "byoyomi":
        return clock.periods_left * rule.period_ms
    return clock.block_ms if rule.kind == "canadian" else 0


def budget(clock: Clock, *, since: int = 0) -> int:
    """All that a cycle may use of this clock.

    since: the running time at which the clock began to count in this cycle. It is above 0 when the clock was
        at zero and was given time. The delay counts from the start of the cycle all the same.

    Reading: an owner has one overtime X for all cycles. A bank below zero has used part of it already, and
    never falls below -X.
    """
    return clock.bank + reserve(clock, since=since) + clock.overtime_ms


def remaining(clock: Clock, run: int = 0, *, since: int = 0) -> int:
    """What the clock shows after `run` ms: the budget without overtime, minus `run`.

    An expired clock shows 0, or -X with an overtime of X.
    """
    return -clock.overtime_ms if clock.expired else budget(clock, since=since) - clock.overtime_ms - run


def overtime_used(clock: Clock, u: int, *, since: int = 0) -> int:
    """How much of `u` came out of the overtime."""
    return u - max(0, min(u, clock.bank + reserve(clock, since=since)))


def drawn(clock: Clock, run: int, *, since: int = 0) -> int:
    """What `run` ms have taken out of the bank so far."""
    free = max(0, clock.rule.delay_ms - since) if clock.rule.kind == "delay" else 0
    return max(0, run - free)


def charge(clock: Clock, u: int, *, since: int = 0) -> Clock:
    """The clock after a cycle of `u` ms (at most the budget), before any credit. A clock whose budget is used
    up has expired."""
    if clock.endless:
        return clock
    rule, bank, full = clock.rule, clock.bank, budget(clock, since=since)
    expired = clock.expired or u >= full
    if rule.kind in {"byoyomi", "canadian"}:
        # A bank below zero counts as empty and stays below zero: periods and blocks do not fill it up.
        own, debt = max(0, bank), min(0, bank)
        over = max(0, u - own)
        store = reserve(clock)
        bank = debt + max(0, own - u) - max(0, over - store)
        if rule.kind == "canadian":
            clock = replace(clock, block_ms=max(0, store - over))
        else:
            clock = replace(clock, periods_left=max(0, clock.periods_left - over // rule.period_ms))
    else:
        bank -= drawn(clock, u, since=since)
    return replace(clock, bank=bank, expired=expired)


def credit(clock: Clock, u: int, charged: Clock) -> Clock:
    """The clock after a completed cycle of `u` ms: what it is given back, and its move counted."""
    rule, bank = clock.rule, charged.bank
    if rule.kind == "fischer":
        bank += rule.increment_ms
        if rule.max_time_ms is not None:
            bank = min(bank, max(rule.max_time_ms, charged.bank))
    elif rule.kind == "bronstein":
        bank += min(u, rule.delay_ms)
    elif rule.kind == "byoyomi" and u < clock.bank:
        # Only a move within the main time brings an increment.
        bank += rule.increment_ms
    result = replace(charged, bank=bank, stage_moves_made=charged.stage_moves_made + 1)
    if rule.kind == "canadian" and result.bank <= 0:
        left = result.block_moves_left - 1
        result = replace(result, block_moves_left=left)
        if left == 0:
            result = replace(result, block_ms=rule.period_ms, block_moves_left=rule.block_moves)
    if rule.stage_moves is not None and result.stage_moves_made == rule.stage_moves:
        last = result.stage == len(result.rules) - 1  # then it repeats: only such a last stage has moves
        following = result.stage + (0 if last else 1)
        added = result.rules[following].time_ms
        result = _enter_stage(replace(result, bank=result.bank + added), following)
    return result


def with_lag(clock: Clock, credit_ms: int) -> Clock:
    """The lag quota after a switch that was credited `credit_ms`."""
    if clock.quota_ms is None:
        return clock
    gain = clock.quota_gain_ms
    return replace(clock, quota_ms=min(7 * gain, clock.quota_ms + gain - credit_ms))


def adjust(
    clock: Clock, run: int, *, set_ms: int | None, add_ms: int | None, since: int = 0
) -> tuple[Clock, int]:
    """The clock with its bank set or changed after its cycle has run `run` ms (0 if it is idle), and the
    change of the bank.

    Reading: taking time stops when the bank would show zero. It takes nothing from the delay, the periods,
    the block or the overtime, and it does not change a bank that already shows less than zero.
    """
    gone = drawn(clock, run, since=since)
    if set_ms is not None:
        bank = gone + set_ms
    else:
        wanted = clock.bank + (add_ms or 0)
        bank = wanted if wanted >= clock.bank else max(wanted, min(clock.bank, gone))
    change = bank - clock.bank
    return replace(clock, bank=bank, expired=clock.expired and change <= 0), change


def receive(clock: Clock, u: int) -> Clock:
    """The next clock of an hourglass, after it got the `u` ms that the last cycle used.

    Reading: an expired clock that gets time is no longer expired. A clock without end does not change, so the
    time is lost.
    """
    if clock.endless:
        return clock
    return replace(clock, bank=clock.bank + u, expired=clock.expired and u == 0)


def face(clock: Clock) -> dict[str, int]:
    """What a player of this control needs to see in addition to the time, as of the start of the cycle."""
    rule = clock.rule
    shown: dict[str, int] = {}
    if clock.staged:
        shown["stage"] = clock.stage
    if rule.stage_moves is not None:
        shown["moves_left"] = rule.stage_moves - clock.stage_moves_made
    if rule.kind == "byoyomi":
        shown["periods_left"] = clock.periods_left
    if rule.kind == "canadian":
        shown["moves_left"] = clock.block_moves_left
        shown["block_remaining_ms"] = clock.block_ms
    if clock.overtime_ms > 0:
        shown["overtime_used_ms"] = max(0, -clock.bank)
    if clock.quota_ms is not None:
        shown["quota_ms"] = clock.quota_ms
    return shown


def face_now(clock: Clock, run: int, *, since: int = 0) -> dict[str, int]:
    """The same after `run` ms, as if the cycle were charged now. Empty if the control has no such value.

    Reading: a period that is just used up is gone, and the next one is whole. After the last one 0 is left.
    """
    rule = clock.rule
    u = 0 if clock.expired or clock.endless else min(run, budget(clock, since=since))
    charged = charge(clock, u, since=since)
    shown: dict[str, int] = {}
    if rule.kind == "byoyomi":
        over = max(0, u - max(0, clock.bank))
        shown["periods_left"] = charged.periods_left
        shown["period_remaining_ms"] = rule.period_ms - over % rule.period_ms if charged.periods_left else 0
    if rule.kind == "canadian":
        shown["block_remaining_ms"] = charged.block_ms
    if clock.overtime_ms > 0:
        shown["overtime_used_ms"] = max(0, -charged.bank)
    return shown


def _enter_stage(clock: Clock, stage: int) -> Clock:
    rule = clock.rules[stage]
    canadian = rule.kind == "canadian"
    return replace(
        clock,
        stage=stage,
        stage_moves_made=0,
        periods_left=rule.periods,
        block_ms=rule.period_ms if canadian else 0,
        block_moves_left=rule.block_moves if canadian else 0,
    )
