"""Two configs that mean the same game, played at the same time on the library.

Each test plays one script on two sessions. After every call the replies and the states of both must be
equal: the active participant, the deadline, the alarm, the time of each clock, who is out, and the time used.
The steps of a script go some time ahead, to the alarm, to the millisecond before it, or past it.
"""

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
fewer = settings(max_examples=max(15, settings().max_examples // 20))


@dataclass(frozen=True)
class Move:
    """A call `by` ms later, or with `to_alarm` at `by` ms from the alarm, if there is one.

    who: the participant that the call names
    lag: the lag of a switch (ms)
    change: what an adjust does, such as ("ADD", 1000)
    """

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


def other_settings(*, lag: bool) -> st.SearchStrategy[Json]:
    """The rest of a config: the action on a timeout, warnings, and perhaps lag compensation."""
    choices: dict[str, st.SearchStrategy[Any]] = {
        "action_on_timeout": st.sampled_from([{"type": kind} for kind in ACTIONS]),
        "warnings_ms": st.sampled_from([[], [1000], [4000, 500]]),
        "lag_compensation": st.booleans() if lag else st.just(value=False),
    }
    return st.fixed_dictionaries(choices)


@st.composite
def rules(draw: st.DrawFn) -> Json:
    """A control of a kind that a stage may have, perhaps with overtime."""
    kind = draw(st.sampled_from(strategies.STAGE_KINDS))
    return {"kind": kind} | draw(st.sampled_from(strategies.PARAMETERS[kind])) | draw(overtimes)


def game(control: Json | None, *amounts: int, **more: Any) -> Json:
    """A `per_participant` config."""
    people = [{"participant_id": p, "total_time_ms": bank} for p, bank in zip(PEOPLE, amounts, strict=False)]
    return {"sync_mode": "per_participant", "participants": people, "time_control": control, **more}


@dataclass
class Board:
    """One of two sessions, at its time `now` (ms after `START`), `ahead` ms after that of the other one."""

    table: LibraryTable
    now: int = 0
    ahead: int = 0

    def call(self, function: str, *args: str | int) -> Any:
        """Make a call now. Returns the reply, or the code of a refusal."""
        return self.table.call(function, self.now, *args)

    def state(self) -> Json:
        """The state now."""
        return self.table.state(self.now)

    def alarm(self) -> int | None:
        """When the alarm is due, in the time of the other session."""
        alarm = self.table.alarm()
        return None if alarm is None else alarm - self.ahead

    def person(self, who: str) -> Json | None:
        """A participant; None if it left, or never joined."""
        people = self.state()["participants"]
        return next((p for p in people if p["participant_id"] == who), None)

    def timing(self, reply: Any) -> Any:
        """The parts of a reply that depend on time."""
        if not isinstance(reply, dict):
            return reply
        payload = reply["payload"]
        names = ["event", "status", "active_participant_id", "time_remaining_ms", "cycle_count", "late_ms"]
        names += ["expired_participant_id", "warning_ms", "overtime_used_ms", "lag_credit_ms"]
        instants = [payload["deadline_ms"], payload.get("expired_deadline_ms")]
        since = START + self.ahead
        return {name: payload.get(name) for name in names}, [i and i - since for i in instants]

    def times(self) -> Json:
        """The parts of the state that depend on time. A participant in a group has the group's clock."""
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
    """Two sessions that should be the same game. Tests override what is special to them."""

    def __init__(self, driver: Driver, first: Json, second: Json) -> None:
        driver.run("FLUSHALL")
        self.boards = [Board(LibraryTable(driver, session)) for session in SESSIONS]
        for board, config in zip(self.boards, (first, second), strict=True):
            create(board.table, config)

    def both(self, function: str, *args: str | int) -> list[Any]:
        """Make the same call on both sessions."""
        return [board.call(function, *args) for board in self.boards]

    def play(self, script: list[Move]) -> None:
        """Play the script, and compare the sessions after every call."""
        self.compare(self.both("start"))
        for move in script:
            alarm, now = self.boards[0].alarm(), self.boards[0].now
            until = alarm + move.by if move.to_alarm and alarm is not None else now + move.by
            self.wait(max(0, self.until(until, alarm) - now))
            replies = self.call(move)
            if replies is not None:
                self.compare(replies)

    def call(self, move: Move) -> list[Any] | None:
        """Make a move on both sessions. Returns the replies; None if the move is left out."""
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
        """Both sessions have the same replies, times and alarms."""
        first, second = self.boards
        assert first.timing(replies[0]) == second.timing(replies[1])
        assert first.times() == second.times()
        assert first.alarm() == second.alarm()

    def until(self, until: int, alarm: int | None) -> int:
        """Until when time passes. Tests may end a step earlier."""
        return until

    def wait(self, ms: int) -> None:
        """Let time pass in both sessions."""
        for board in self.boards:
            board.now += ms

    def adjust(self, move: Move) -> list[Any] | None:
        """Adjust the same clock in both sessions."""
        return self.both("adjust", "PARTICIPANT", move.who, *move.change)


class NoTimeAfterExpiry(Match):
    """A clock that ran out is not given time again."""

    def adjust(self, move: Move) -> list[Any] | None:
        person = self.boards[0].person(move.who)
        return None if person is None or person["has_expired"] else super().adjust(move)


@few
@given(script=scripts, amounts=banks, delay=delays, more=other_settings(lag=False))
def test_bronstein_from_more_is_delay_from_less(
    driver: Driver, script: list[Move], amounts: list[int], delay: Json, more: Json
) -> None:
    """Bronstein with delay D and banks R + D is the same game as US delay with D and banks R.

    Deadlines, warnings, expiries, overtime, time left and time used are equal. `SET s` under US delay is
    `SET s` plus the rest of the delay under Bronstein. After an expiry both have the same bank, so no time is
    given then.
    """

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
@given(script=scripts, amounts=banks, increment=short, more=other_settings(lag=False))
def test_crediting_after_a_cycle_is_crediting_before_the_next(
    driver: Driver, script: list[Move], amounts: list[int], increment: int, more: Json
) -> None:
    """Fischer credits the increment I after each cycle. Giving I before the next cycle is the same game.

    The second game has banks R - I and no increment, and each clock that has not run out is given I when its
    cycle begins. Deadlines, warnings and expiries are equal; only a waiting clock shows I less. No step goes
    past the alarm, because then a cycle begins in the past, and the second game would give its I too late.
    """

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
            wanted, found = first.times(), second.times()
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
@given(script=scripts, amounts=banks, period=short.filter(bool), more=other_settings(lag=True))
def test_one_period_is_a_block_of_one_move(
    driver: Driver, script: list[Move], amounts: list[int], period: int, more: Json
) -> None:
    """Byo-yomi with one period P is Canadian with one move in P, with lag compensation, too.

    After the main time both have P for every move. They differ with overtime, which ends the period but not
    the block, and when time is given after an expiry, so neither happens here.
    """
    byoyomi = {"kind": "byoyomi", "periods": 1, "period_ms": period}
    canadian = {"kind": "canadian", "moves": 1, "period_ms": period}
    NoTimeAfterExpiry(driver, game(byoyomi, *amounts, **more), game(canadian, *amounts, **more)).play(script)


NO_INCREMENT: list[Json | None] = [
    None,
    {"kind": "fischer"},
    {"kind": "fischer", "increment_ms": 0},
    {"kind": "bronstein", "delay_ms": 0},
    {"kind": "delay", "delay_ms": 0},
]


@few
@given(script=scripts, amounts=banks, ways=st.permutations(NO_INCREMENT), more=other_settings(lag=True))
def test_sudden_death_has_many_names(
    driver: Driver, script: list[Move], amounts: list[int], ways: list[Json | None], more: Json
) -> None:
    """No control, an increment of 0 and a delay of 0 are the same game under all calls."""
    Match(driver, *[game(way, *amounts, **more) for way in ways[:2]]).play(script)


@few
@given(script=scripts, amounts=banks, rule=rules(), more=other_settings(lag=True))
def test_one_stage_is_the_control_itself(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """Stages with a single rule are the same game as that rule, under all calls."""
    first, second = game(rule, *amounts, **more), game(None, *amounts, **more)
    overtime = {name: rule[name] for name in rule if name == "overtime_ms"}
    for person in second["participants"]:
        stage = {name: rule[name] for name in rule if name not in overtime}
        stage["time_ms"] = person.pop("total_time_ms")
        person["time_control"] = {"kind": "stages", "stages": [stage]} | overtime
    Match(driver, first, second).play(script)


@few
@given(script=scripts, amounts=banks, rule=rules(), more=other_settings(lag=True))
def test_groups_of_one_are_participants(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """`per_group` with one member in each group is `per_participant`, under any control.

    The mode only says which clock runs. The control alone says how it is spent.
    """

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
@given(script=scripts, amounts=banks, rule=rules(), more=other_settings(lag=True))
def test_a_pause_neither_gives_nor_takes_time(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """A game with a pause in the middle of every wait is the same game as without, only later.

    Used delay, periods, blocks, overtime and warnings are equal, too, under every control.
    """

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
@given(script=scripts, amounts=banks, more=other_settings(lag=True))
def test_an_hourglass_loses_no_time(
    driver: Driver, script: list[Move], amounts: list[int], more: Json
) -> None:
    """Whenever a cycle begins, the sum of all banks is the one at the start.

    The next clock gets what a clock was charged, also when it ran out. A lag credit is not charged, so the
    next clock does not get it.
    """
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


FAR = 300 * 86_400_000
UNREACHED: Json = {
    "ends_at_ms": START + FAR,
    "max_pauses": 1000,
    "max_total_pause_ms": 30 * 86_400_000,
    "max_pause_ms": 30 * 86_400_000,
    "max_cycles": 1_000_000,
}


@fewer
@given(script=scripts, amounts=banks, rule=rules(), more=other_settings(lag=True))
def test_bounds_that_nothing_reaches_change_nothing(
    driver: Driver, script: list[Move], amounts: list[int], rule: Json, more: Json
) -> None:
    """A session with an end, and bounds of pauses and cycles, is the one without as long as none comes."""

    class Bounded(Match):
        def compare(self, replies: list[Any]) -> None:
            first, second = self.boards
            assert first.timing(replies[0]) == second.timing(replies[1])
            assert first.times() == second.times()
            if second.state()["status"] == "running":
                alarm = first.alarm()
                assert second.alarm() == (FAR if alarm is None else min(alarm, FAR))

        def until(self, until: int, alarm: int | None) -> int:
            return min(until, FAR - 1)

    config = game(rule, *amounts, **more)
    Bounded(driver, config, config | UNREACHED).play(script)


@fewer
@given(
    script=scripts,
    amounts=banks,
    rule=rules(),
    more=other_settings(lag=True),
    late=st.sampled_from([0, 1, 400, 1000]),
)
def test_a_session_that_starts_by_itself_is_one_that_was_started(
    driver: Driver, *, script: list[Move], amounts: list[int], rule: Json, more: Json, late: int
) -> None:
    """Its first cycle begins at `starts_at_ms`, also when that is noticed up to a second late."""

    class Scheduled(Match):
        def both(self, function: str, *args: str | int) -> list[Any]:
            if function != "start":
                return super().both(function, *args)
            first, second = self.boards
            first.now = second.now = 2000
            first.call("start")
            first.now = second.now = 2000 + late
            second.call("expire")
            # The event of a start by hand shows the time at the start, so both clocks are asked again.
            return ["begun", "begun"]

    config = game(rule, *amounts, **more)
    Scheduled(driver, config, config | {"starts_at_ms": START + 2000}).play(script)


@fewer
@given(
    script=scripts,
    later=scripts,
    amounts=banks,
    rule=rules(),
    more=other_settings(lag=True),
    who=st.booleans(),
)
def test_a_session_that_was_reset_is_a_new_one(
    driver: Driver,
    *,
    script: list[Move],
    later: list[Move],
    amounts: list[int],
    rule: Json,
    more: Json,
    who: bool,
) -> None:
    """After any game, a reset session plays as one that was never started, with the same participants."""
    config = game(rule, *amounts, **more) | {"max_pauses": 3, "max_total_pause_ms": 9000}
    config |= {"active_participant_id": BEN if who else None}
    match = Match(driver, config, config)
    first, second = match.boards
    first.call("start")
    for move in script:
        alarm = first.alarm()
        until = alarm + move.by if move.to_alarm and alarm is not None else first.now + move.by
        first.now = max(first.now, until)
        args = ("NEXT", move.who) if move.call == "to" else (move.who, *move.change)
        match move.call:
            case "adjust":
                first.call("adjust", "PARTICIPANT", *args)
            case "to" | "switch":
                first.call("switch", "LAG", move.lag, *(args if move.call == "to" else ()))
            case "expire" | "pause" | "resume":
                first.call(move.call)
    second.now = first.now
    assert first.call("reset")["payload"]["status"] == "pending"
    assert first.times() == second.times()
    same = ["pauses_left", "pause_remaining_ms", "participants", "groups", "session_started_at"]
    first_state, second_state = first.state(), second.state()
    assert [first_state[name] for name in same] == [second_state[name] for name in same]
    match.play(later)


@fewer
@given(
    script=scripts,
    amounts=banks,
    rule=rules(),
    more=other_settings(lag=True),
    times=st.lists(st.integers(1, 3), min_size=1, max_size=5),
)
def test_taking_back_one_by_one_is_taking_back_at_once(
    driver: Driver, *, script: list[Move], amounts: list[int], rule: Json, more: Json, times: list[int]
) -> None:
    """`TURNS n` is n times `TURNS 1` at that moment, and what is played from there is the same."""
    config = game(rule, *amounts, **more)
    match = Match(driver, config, config)
    first, second = match.boards
    match.play([move for move in script if move.call != "adjust"])
    for count in times:
        at_once = first.call("takeback", "TURNS", count)
        one_by_one = [second.call("takeback") for _ in range(count)]
        if not isinstance(at_once, dict):
            # Perhaps some of them could be taken back. Nothing else is compared then.
            assert one_by_one[-1] == at_once
            return
        if at_once["payload"]["event"] != "turn.taken_back":
            return
        match.compare([at_once, one_by_one[-1]])
        for move in script[:3]:
            replies = match.call(move)
            if replies is not None and move.call != "adjust":
                match.compare(replies)


@fewer
@given(script=scripts, amounts=banks, moves=st.integers(3, 5), more=other_settings(lag=True))
def test_a_stage_that_repeats_is_written_out(
    driver: Driver, script: list[Move], amounts: list[int], moves: int, more: Json
) -> None:
    """A stage that comes again and again is the same game as eight such stages, as long as these last."""
    first, second = game(None, *amounts, **more), game(None, *amounts, **more)
    for one, other in zip(first["participants"], second["participants"], strict=True):
        stage = {"time_ms": one.pop("total_time_ms"), "kind": "fischer", "increment_ms": 700}
        del other["total_time_ms"]
        one["time_control"] = {"kind": "stages", "repeat": True, "stages": [stage | {"moves": moves}]}
        other["time_control"] = {"kind": "stages", "stages": [stage | {"moves": moves}] * 7 + [stage]}
    Match(driver, first, second).play(script)
