"""The same game in other words, played side by side on the library.

Each property plays one script on two sessions. After every call both have told the same, and look the same:
who is active, the deadline, the alarm, what each clock shows, who is out, and what was used. A script goes by
steps of time, to the alarm, to the millisecond before it, and past it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import strategies
from tests.model.driver import Driver
from tests.model.tables import ANNA, BEN, CLEO, START, Json, LibraryTable, create

PEOPLE = [ANNA, BEN, CLEO]
TEAMS = [f"b0000000-0000-4000-8000-00000000000{i}" for i in range(3)]
SESSIONS = [f"5e550000-0000-4000-8000-000000000{i}dd" for i in range(2)]
ACTIONS = ["end_session", "skip_cycle", "auto_action", "notify"]
CALLS = ["switch"] * 4 + ["to"] * 2 + ["expire"] * 2 + ["pause", "resume", "leave", "adjust"]

PAUSE = 3_600_001

# Each example is a game of up to 25 calls on two sessions.
few = settings(max_examples=max(40, settings().max_examples // 10))


@dataclass(frozen=True)
class Move:
    """A call `by` ms later, or `by` ms from the alarm where there is one; whom it names, the lag of a switch,
    and what an adjust does."""

    call: str
    by: int
    to_alarm: bool
    who: str
    lag: int
    change: tuple[str, int]


scripts = st.lists(
    st.builds(
        Move,
        call=st.sampled_from(CALLS),
        by=st.sampled_from([0, 1, 10, 500, 999, 1000, 2000, 2500, 5000, -1]),
        to_alarm=st.sampled_from([False, False, True]),
        who=st.sampled_from(PEOPLE),
        lag=st.sampled_from([0, 0, 1, 300, 5000]),
        change=st.tuples(st.sampled_from(["SET", "ADD"]), st.sampled_from([0, 1, 1000, 4000])),
    ),
    min_size=1,
    max_size=25,
)
banks = st.lists(st.sampled_from([1000, 1001, 3000, 7500, 60_000]), min_size=2, max_size=3)
short = st.sampled_from([0, 1, 500, 2000, 5000])
overtimes: st.SearchStrategy[Json] = st.sampled_from([{}, {}, {"overtime_ms": 1500}])
delays = st.builds(lambda ms, overtime: {"delay_ms": ms} | overtime, short, overtimes)


def settled(*, lag: bool) -> st.SearchStrategy[Json]:
    """The rest of a config: what an expiry does, warnings, and perhaps lag compensation."""
    choices: dict[str, st.SearchStrategy[Any]] = {
        "action_on_timeout": st.sampled_from([{"type": kind} for kind in ACTIONS]),
        "warnings_ms": st.sampled_from([[], [1000], [4000, 500]]),
        "lag_compensation": st.booleans() if lag else st.just(value=False),
    }
    return st.fixed_dictionaries(choices)


@st.composite
def rules(draw: st.DrawFn) -> Json:
    """A control of any kind that a stage may have, perhaps with overtime."""
    kind = draw(st.sampled_from(strategies.STAGE_KINDS))
    return {"kind": kind} | draw(st.sampled_from(strategies.PARAMETERS[kind])) | draw(overtimes)


def game(control: Json | None, *amounts: int, **more: Any) -> Json:
    """A `per_participant` config."""
    people = [{"participant_id": p, "total_time_ms": bank} for p, bank in zip(PEOPLE, amounts, strict=False)]
    return {"sync_mode": "per_participant", "participants": people, "time_control": control, **more}


@dataclass
class Board:
    """One of two sessions. `ahead` is how far its time is ahead of the other's."""

    table: LibraryTable
    now: int = 0
    ahead: int = 0

    def call(self, function: str, *args: str | int) -> Any:
        """The reply to a call at this moment, or the code of a refusal."""
        return self.table.call(function, self.now, *args)

    def state(self) -> Json:
        """The state at this moment."""
        return self.table.state(self.now)

    def alarm(self) -> int | None:
        """When the alarm rings, in the other one's time."""
        alarm = self.table.alarm()
        return None if alarm is None else alarm - self.ahead

    def person(self, who: str) -> Json | None:
        """A participant, None for one who left or never was there."""
        people = self.state()["participants"]
        return next((p for p in people if p["participant_id"] == who), None)

    def told(self, reply: Any) -> Any:
        """What a reply says of time."""
        if not isinstance(reply, dict):
            return reply
        payload = reply["payload"]
        names = ["event", "status", "active_participant_id", "time_remaining_ms", "cycle_count", "late_ms"]
        names += ["expired_participant_id", "warning_ms", "overtime_used_ms", "lag_credit_ms"]
        instants = [payload["deadline_ms"], payload.get("expired_deadline_ms")]
        since = START + self.ahead
        return {name: payload.get(name) for name in names}, [i and i - since for i in instants]

    def shown(self) -> Json:
        """What the state shows of time; a clock is its owner's, the participant or its group."""
        state = self.state()
        names = ["status", "active_participant_id", "time_used_ms", "time_remaining_ms", "cycle_count"]
        own = ["time_used_ms", "time_remaining_ms", "cycle_count", "is_active", "has_expired"]
        found = {name: state[name] for name in [*names, "cycle_elapsed_ms"]}
        groups = {g["group_id"]: g for g in state["groups"]}
        for person in state["participants"]:
            owner = groups.get(person["group_id"], person)
            found[person["participant_id"]] = {name: owner[name] for name in own}
        return found


class Match:
    """Two sessions that should be the same game. What differs between two properties is overridden."""

    def __init__(self, driver: Driver, first: Json, second: Json) -> None:
        driver.run("FLUSHALL")
        self.boards = [Board(LibraryTable(driver, session)) for session in SESSIONS]
        for board, config in zip(self.boards, (first, second), strict=True):
            create(board.table, config)

    def both(self, function: str, *args: str | int) -> list[Any]:
        """The same call on both."""
        return [board.call(function, *args) for board in self.boards]

    def play(self, script: list[Move]) -> None:
        """The whole script, compared after every call."""
        self.compare(self.both("start"))
        for move in script:
            alarm, now = self.boards[0].alarm(), self.boards[0].now
            until = alarm + move.by if move.to_alarm and alarm is not None else now + move.by
            self.wait(max(0, self.until(until, alarm) - now))
            replies = self.call(move)
            if replies is not None:
                self.compare(replies)

    def call(self, move: Move) -> list[Any] | None:
        """A move on both; None where it is left out."""
        match move.call:
            case "to":
                return self.both("switch", "NEXT", move.who, "LAG", move.lag)
            case "switch":
                return self.both("switch", "LAG", move.lag)
            case "leave":
                return self.both("leave", move.who)
            case "adjust":
                return self.adjust(move)
            case _:
                return self.both(move.call)

    def compare(self, replies: list[Any]) -> None:
        """Both told the same and look the same."""
        first, second = self.boards
        assert first.told(replies[0]) == second.told(replies[1])
        assert first.shown() == second.shown()
        assert first.alarm() == second.alarm()

    def until(self, until: int, alarm: int | None) -> int:
        """How far time passes."""
        return until

    def wait(self, ms: int) -> None:
        """Time passes for both."""
        for board in self.boards:
            board.now += ms

    def adjust(self, move: Move) -> list[Any] | None:
        """The same change of somebody's clock."""
        return self.both("adjust", "PARTICIPANT", move.who, *move.change)


class OfTheLiving(Match):
    """A clock that ran out is not given time again."""

    def adjust(self, move: Move) -> list[Any] | None:
        person = self.boards[0].person(move.who)
        return None if person is None or person["has_expired"] else super().adjust(move)


@few
@given(script=scripts, amounts=banks, delay=delays, more=settled(lag=False))
def test_bronstein_from_more_is_delay_from_less(
    driver: Driver, script: list[Move], amounts: list[int], delay: Json, more: Json
) -> None:
    """Bronstein with delay D from banks R + D is US delay with D from banks R: deadlines, warnings, expiries,
    overtime, what is left and what was used are the same. `SET s` of the one is `SET s` of the other and what
    is left of the delay; after both ran out they have the same bank, so neither is given time then."""

    class Delays(Match):
        def adjust(self, move: Move) -> list[Any] | None:
            person = self.boards[0].person(move.who)
            if person is None or person["has_expired"]:
                return None
            elapsed = self.boards[0].state()["cycle_elapsed_ms"] if person["is_active"] else 0
            how, ms = move.change
            left = max(0, delay["delay_ms"] - elapsed) if how == "SET" else 0
            first, second = self.boards
            who = ("PARTICIPANT", move.who)
            return [first.call("adjust", *who, how, ms + left), second.call("adjust", *who, how, ms)]

    first = game({"kind": "bronstein"} | delay, *[bank + delay["delay_ms"] for bank in amounts], **more)
    second = game({"kind": "delay"} | delay, *amounts, **more)
    Delays(driver, first, second).play(script)


@few
@given(script=scripts, amounts=banks, increment=short, more=settled(lag=False))
def test_crediting_after_a_cycle_is_crediting_before_the_next(
    driver: Driver, script: list[Move], amounts: list[int], increment: int, more: Json
) -> None:
    """Fischer with increment I from banks R credits after each cycle. It is the same game as no increment
    from banks R - I where each clock that has not run out is given I as its cycle begins: the same deadlines,
    warnings and expiries; only a clock that waits shows I less. Nobody comes after the alarm here, because
    then a cycle has begun in the past and could not be given anything before."""

    class Credits(Match):
        cycle: Any = None

        def until(self, until: int, alarm: int | None) -> int:
            return until if alarm is None else min(until, alarm)

        def adjust(self, move: Move) -> None:
            return None

        def compare(self, replies: list[Any]) -> None:
            first, second = self.boards
            state = second.state()
            cycle = (state["cycle_count"], state["active_participant_id"])
            active = second.person(str(cycle[1])) if state["status"] in {"running", "paused"} else None
            if active is not None and cycle != self.cycle and not active["has_expired"]:
                second.call("adjust", "PARTICIPANT", active["participant_id"], "ADD", increment)
            self.cycle = cycle
            events = [r if not isinstance(r, dict) else r["payload"]["event"] for r in replies]
            assert events[0] == events[1]
            wanted, found = first.shown(), second.shown()
            for who in set(PEOPLE) & found.keys():
                if not found[who]["is_active"] and not found[who]["has_expired"]:
                    found[who]["time_remaining_ms"] += increment
            assert found == wanted
            assert [first.state()["deadline_ms"], first.alarm()] == [
                second.state()["deadline_ms"],
                second.alarm(),
            ]

    first = game({"kind": "fischer", "increment_ms": increment}, *[b + increment for b in amounts], **more)
    second = game({"kind": "fischer", "increment_ms": 0}, *amounts, **more)
    Credits(driver, first, second).play(script)


@few
@given(script=scripts, amounts=banks, period=short.filter(bool), more=settled(lag=True))
def test_one_period_is_a_block_of_one_move(
    driver: Driver, script: list[Move], amounts: list[int], period: int, more: Json
) -> None:
    """Byo-yomi with one period P is Canadian with one move in P, lag compensation included: both have P for
    every move once the main time is gone. (Overtime tells them apart: it ends the period and not the block;
    so does time that is given after both ran out.)"""
    byoyomi = {"kind": "byoyomi", "periods": 1, "period_ms": period}
    canadian = {"kind": "canadian", "moves": 1, "period_ms": period}
    OfTheLiving(driver, game(byoyomi, *amounts, **more), game(canadian, *amounts, **more)).play(script)


NO_INCREMENT: list[Json | None] = [
    None,
    {"kind": "fischer"},
    {"kind": "fischer", "increment_ms": 0},
    {"kind": "bronstein", "delay_ms": 0},
    {"kind": "delay", "delay_ms": 0},
]


@few
@given(script=scripts, amounts=banks, ways=st.permutations(NO_INCREMENT), more=settled(lag=True))
def test_sudden_death_has_many_names(
    driver: Driver, script: list[Move], amounts: list[int], ways: list[Json | None], more: Json
) -> None:
    """No control, no increment and no delay are one game, whatever is done to the clocks."""
    Match(driver, *[game(way, *amounts, **more) for way in ways[:2]]).play(script)


@few
@given(script=scripts, amounts=banks, rule=rules(), more=settled(lag=True))
def test_one_stage_is_the_control_itself(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """A list of stages with one rule in it is that rule, whatever is done to the clocks."""
    first, second = game(rule, *amounts, **more), game(None, *amounts, **more)
    overtime = {name: rule[name] for name in rule if name == "overtime_ms"}
    for person in second["participants"]:
        stage = {name: rule[name] for name in rule if name not in overtime}
        stage["time_ms"] = person.pop("total_time_ms")
        person["time_control"] = {"kind": "stages", "stages": [stage]} | overtime
    Match(driver, first, second).play(script)


@few
@given(script=scripts, amounts=banks, rule=rules(), more=settled(lag=True))
def test_groups_of_one_are_participants(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """`per_group` with one member in each group is `per_participant` under any control: the mode says which
    clock runs, and nothing of how it is spent."""

    class Teams(Match):
        def adjust(self, move: Move) -> list[Any] | None:
            if self.boards[0].person(move.who) is None:
                return None
            first, second = self.boards
            team = TEAMS[PEOPLE.index(move.who)]
            return [
                first.call("adjust", "PARTICIPANT", move.who, *move.change),
                second.call("adjust", "GROUP", team, *move.change),
            ]

    first = game(rule, *amounts, **more)
    second = first | {
        "sync_mode": "per_group",
        "participants": [
            person | {"group_id": team} for person, team in zip(first["participants"], TEAMS, strict=False)
        ],
    }
    Teams(driver, first, second).play(script)


@few
@given(script=scripts, amounts=banks, rule=rules(), more=settled(lag=True))
def test_a_pause_neither_gives_nor_takes_time(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """A game that is paused in the middle of every wait is the game without these pauses, later: consumed
    delay, periods, blocks, overtime and warnings included, under every control."""

    class Interrupted(Match):
        def wait(self, ms: int) -> None:
            first, second = self.boards
            alarm, half = first.alarm(), ms // 2
            second.now += half
            early = alarm is None or first.now + half < alarm
            if early and second.state()["status"] == "running":
                assert second.call("pause")["payload"]["event"] == "session.paused"
                second.now += PAUSE
                assert second.call("resume")["payload"]["event"] == "session.resumed"
                second.ahead += PAUSE
            first.now += ms
            second.now += ms - half

    config = game(rule, *amounts, **more)
    Interrupted(driver, config, config).play(script)


@few
@given(script=scripts, amounts=banks, more=settled(lag=True))
def test_an_hourglass_loses_no_sand(
    driver: Driver, script: list[Move], amounts: list[int], more: Json
) -> None:
    """Whenever a cycle begins, all banks together are what they were at the start: what one clock was charged
    the next one got, also when the first ran out, and lag that was credited is no sand."""
    driver.run("FLUSHALL")
    board = Board(LibraryTable(driver, SESSIONS[0]))
    create(board.table, game({"kind": "hourglass"}, *amounts, **more))
    board.call("start")
    cycles = 0
    for move in script:
        alarm = board.alarm()
        until = alarm + move.by if move.to_alarm and alarm is not None else board.now + move.by
        board.now = max(board.now, until)
        match move.call:
            case "to":
                board.call("switch", "NEXT", move.who, "LAG", move.lag)
            case "switch":
                board.call("switch", "LAG", move.lag)
            case "expire" | "pause" | "resume":
                board.call(move.call)
        state = board.state()
        if state["status"] == "running" and state["cycle_count"] > cycles:
            cycles = state["cycle_count"]
            assert sum(p["total_time_ms"] for p in state["participants"]) == sum(amounts)
