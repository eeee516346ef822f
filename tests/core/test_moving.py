"""The steps of a move between two servers whose clocks differ: what each has of the session after a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.game import SESSION, START, Game, P, people, players
from tests.model.driver import Answer, Driver
from tests.support.pool import Pool

TARGET = "10.0.0.2:6379"
MOVE = "m1"
LEASE_MS = 5_000
WEEK_MS = 604_800_000
STEPS = ["move_out", "move_in", "move_commit", "move_activate", "move_finish"]

Json = dict[str, Any]


@pytest.fixture
def target(pool: Pool) -> Iterator[Driver]:
    """Another server under virtual time, with nothing in it."""
    client = pool.server("valkey", "virtual time of a target").sync_client()
    driver = Driver(client)
    driver.load()
    driver.run("FLUSHALL")
    yield driver
    client.close()


class Mover:
    """The caller of the steps. Times are those of the source, in ms since the session was created there.

    apart: the target's clock minus the source's (ms)
    """

    def __init__(self, source: Driver, target: Driver, apart: int = 0, move: str = MOVE) -> None:
        self.source, self.target, self.apart, self.move = source, target, apart, move
        self.sent: list[bytes] = []
        self.change = b""

    def step(self, name: str, at: int) -> Answer:
        """Takes one step."""
        if name == "move_out":
            options = ["MOVE", self.move, "TARGET", TARGET, "LEASE", str(LEASE_MS)]
            answer = self.at_source(name, options, at)
            if answer.code is None:
                self.sent = answer.value
            return answer
        if name == "move_in":
            options = ["MOVE", self.move, "TARGET", TARGET, "SHIFT", str(self.apart)]
            return self.at_target(name, [self.sent[0], b"\n".join(self.sent[1:]), *options], at)
        if name == "move_activate":
            return self.at_target(name, [self.change, "MOVE", self.move], at)
        answer = self.at_source(name, ["MOVE", self.move], at)
        if name == "move_commit" and answer.code is None:
            self.change = answer.value
        return answer

    def until(self, last: str, at: int) -> None:
        """Takes all steps up to this one."""
        for name in STEPS[: STEPS.index(last) + 1]:
            answer = self.step(name, at)
            assert answer.code is None, answer.text

    def at_source(self, function: str, args: list[Any], at: int) -> Answer:
        return self.source.call(function, SESSION, args, START + at)

    def at_target(self, function: str, args: list[Any], at: int) -> Answer:
        return self.target.call(function, SESSION, args, START + at + self.apart)


def at_target(game: Game, mover: Mover) -> Game:
    """The same game, played at the target from here on, by the target's clock."""
    moved = object.__new__(Game)
    moved.core, moved.session, moved.keys, moved.created = mover.target, SESSION, game.keys, game.created
    return moved


def without_instants(state: Json, apart: int) -> Json:
    """A state without what a move may change, and with its instants on the source's clock."""
    kept = {name: value for name, value in state.items() if name not in ("epoch", "version")}
    for name in ("deadline_ms", "resumes_at_ms", "server_time_ms"):
        if kept[name] is not None:
            kept[name] -= apart
    for name in [name for name in kept if name.endswith("_at")]:
        del kept[name]
    return kept


BYOYOMI = {"kind": "byoyomi", "periods": 3, "period_ms": 5_000}
GAMES: dict[str, tuple[Json, list[tuple[str, int]]]] = {
    "a clock with warnings": (players(60_000, 60_000, warnings_ms=[50_000, 20_000]), [("start", 0)]),
    "byo-yomi": (
        players(9_000, 9_000, time_control=BYOYOMI),
        [("start", 0), ("switch", 3_000), ("switch", 5_000)],
    ),
    "a pause that ends by itself": (
        players(60_000, 60_000, max_pause_ms=20_000),
        [("start", 0), ("pause", 4_000)],
    ),
    "a total beside the cycles": (
        {
            "sync_mode": "global",
            "total_time_ms": 90_000,
            "time_per_cycle_ms": 40_000,
            "participants": people(2),
            "auto_advance": True,
            "action_on_timeout": {"type": "skip_cycle"},
        },
        [("start", 0), ("switch", 5_000)],
    ),
    "counting up": ({"sync_mode": "count_up", "participants": people(2)}, [("start", 0)]),
    "pending": (players(60_000, 60_000), []),
}


@pytest.mark.parametrize("apart", [3_000, -3_000])
@pytest.mark.parametrize("name", GAMES)
def test_a_moved_session_goes_on_as_if_it_had_stayed(
    core: Driver, target: Driver, name: str, apart: int
) -> None:
    """Whatever runs out, it does at the same real moment; the time of the move is charged like any other."""
    config, calls = GAMES[name]
    histories = []
    for moves in (False, True):
        core.run("FLUSHALL")
        game, mover = Game(core, config), Mover(core, target, apart)
        for function, at in calls:
            game.do(function, at=at)
        if moves:
            for step, at in zip(STEPS, (8_000, 8_050, 8_100, 8_150, 8_200), strict=True):
                assert mover.step(step, at).code is None
            game = at_target(game, mover)
        off = apart if moves else 0
        seen = [without_instants(game.state(at=8_300 + off), off)]
        for at in (8_400, 18_000, 24_000, 41_000, 59_999, 60_000, 75_000, 90_001):
            event = game.raw("expire", at=at + off)
            if event is not None:
                payload = json.loads(event)["payload"]
                seen.append({key: payload[key] for key in payload if key in ("event", "late_ms")})
            seen.append(without_instants(game.state(at=at + off), off))
        histories.append(seen)
    assert histories[0] == histories[1]


def test_every_step_leaves_the_session_in_one_place(core: Driver, target: Driver) -> None:
    """Held, it is at the source; given up, at the target. A step that is repeated changes nothing."""
    game = Game(core, players(60_000, 60_000), "TENANT", "club").start(at=1_000)
    mover = Mover(core, target, apart=-3_000)
    mover.until("move_out", at=2_000)
    assert game.state(at=3_000)["time_remaining_ms"] == 58_000, "it can be read, and its clock runs"
    assert json.loads(game.raw("log", 1)[0])["version"] == 2
    for function in ("switch", "pause", "cancel", "delete"):
        assert mover.at_source(function, [], 3_000).code == "SESSION_MOVING"
    assert mover.at_source("create", [json.dumps(players(60_000))], 3_000).code == "SESSION_MOVING"
    assert mover.at_source("switch", ["TENANT", "other"], 3_000).code == "SESSION_NOT_FOUND"
    assert mover.at_source("expire", [], 3_000).value is None
    assert game.alarm() == 2_000 + LEASE_MS

    mover.until("move_in", at=3_000)
    for function in ("get", "switch", "delete"):
        assert mover.at_target(function, [], 3_000).code == "SESSION_MOVING"
    assert mover.at_target("get", ["TENANT", "other"], 3_000).code == "SESSION_NOT_FOUND"
    assert mover.at_target("expire", [], 90_000).code == "SESSION_MOVING", "a copy does not expire"
    assert mover.at_target("restore", [mover.sent[0]], 3_000).code == "SESSION_EXISTS"
    assert target.run("ZCARD", game.keys.alarms) == 0

    mover.until("move_commit", at=3_000)
    for function in ("get", "switch", "delete", "expire"):
        answer = mover.at_source(function, [], 3_000)
        assert (answer.code, answer.context) == ("SESSION_MOVED", {"moved_to": TARGET, "move": MOVE})
    assert mover.at_source("get", ["TENANT", "other"], 3_000).code == "SESSION_NOT_FOUND"
    assert mover.at_source("delete", ["TENANT", "other"], 3_000).value == 0
    assert mover.step("move_undo", 3_000).code == "SESSION_MOVED", "there is only the way forward"
    assert mover.at_target("get", [], 3_000).code == "SESSION_MOVING"

    assert mover.step("move_activate", 3_100).value == 1
    assert mover.step("move_activate", 3_200).value == 0
    assert mover.step("move_in", 3_200).value == 0
    before = mover.at_target("get", [], 3_200).value
    assert json.loads(mover.step("move_out", 3_200).value[0])["given_up"] is True
    change = mover.change
    assert mover.step("move_commit", 3_200).value == change
    assert mover.step("move_finish", 3_200).value == 1
    assert mover.step("move_finish", 3_200).value == 0
    assert mover.step("move_commit", 3_200).value is None
    assert mover.at_target("get", [], 3_200).value == before
    assert core.run("ZCARD", game.keys.alarms) == 0
    assert mover.at_source("get", [], 3_300).context["moved_to"] == TARGET
    assert mover.at_source("create", [json.dumps(players(60_000))], 3_300).code == "SESSION_MOVED"
    assert mover.at_source("expire", [], 3_300).value is None
    assert mover.at_source("move_out", ["MOVE", "m2", "TARGET", "x", "LEASE", "1000"], 3_300).code == (
        "SESSION_MOVED"
    )
    kept = core.run("HGETALL", game.keys.session)
    assert {name.decode() for name in kept} == {"status", "version", "epoch", "moving", "tenant"}
    assert WEEK_MS - 60_000 < core.run("PTTL", game.keys.session) <= WEEK_MS
    assert core.run("EXISTS", game.keys.log) == 0


def test_a_move_is_one_event_at_each_side(core: Driver, target: Driver) -> None:
    """At the source it is the last one, at the target one begins an epoch; log and requests go along."""
    game = Game(core, players(60_000, 60_000)).start("REQUEST", "r1", at=1_000)
    switched = game.raw("switch", "REQUEST", "r2", at=2_000)
    mover = Mover(core, target, apart=-30_000)
    mover.until("move_finish", at=4_000)
    leaving = json.loads(core.run("XRANGE", game.keys.outbox, "-", "+")[-1][1][b"e"])
    ((_, entry),) = target.run("XRANGE", game.keys.outbox, "-", "+")
    coming = json.loads(entry[b"e"])
    assert (leaving["type"], coming["type"]) == ("SESSION_MOVED", "STATE_UPDATE")
    assert (leaving["payload"]["event"], coming["payload"]["event"]) == ("session.moved", "session.arrived")
    assert (leaving["version"], coming["version"]) == (4, 5)
    assert leaving["payload"]["moved_to"] == coming["payload"]["moved_to"] == TARGET
    assert leaving["epoch"] == game.created["epoch"]
    assert int(coming["epoch"]) == int(leaving["epoch"]) + 1, "although the target's clock is behind"
    for event, apart in ((leaving, 0), (coming, -30_000)):
        assert event["payload"]["deadline_ms"] == START + 62_000 + apart
        assert event["payload"]["time_remaining_ms"] == 58_000
    moved = at_target(game, mover)
    assert [json.loads(text)["version"] for text in moved.raw("log", 0)] == [1, 2, 3, 4, 5]
    replayed = moved.raw("switch", "REQUEST", "r2")
    assert replayed == switched[:-1] + b',"replayed":true}'
    after = moved.do("switch", "REQUEST", "r3", at=6_000 - 30_000)
    assert (after["version"], after["epoch"]) == (6, coming["epoch"])
    assert moved.person(1)["time_used_ms"] == 4_000


def test_a_hold_ends_by_itself(core: Driver, target: Driver) -> None:
    """A mover that died holds no session for longer than it said; what came due meanwhile is then done."""
    game = Game(core, players(4_000, 60_000)).start()
    mover = Mover(core, target)
    mover.until("move_in", at=2_000)
    assert mover.at_source("expire", [], 2_000 + LEASE_MS - 1).value is None
    event = game.do("expire", at=2_000 + LEASE_MS)
    assert (event["payload"]["event"], event["payload"]["late_ms"]) == ("session.expired", 3_000)
    assert mover.step("move_commit", 7_000).code == "CONCURRENT_MODIFICATION"
    assert game.state()["status"] == "expired"
    assert mover.step("move_undo", 7_000).value == 0
    assert mover.at_target("move_undo", ["MOVE", MOVE], 7_000).value == 1
    assert mover.at_target("get", [], 7_000).code == "SESSION_NOT_FOUND"


def test_a_change_may_find_the_end_of_a_hold(core: Driver, target: Driver) -> None:
    game = Game(core, players(60_000, 60_000)).start()
    mover = Mover(core, target)
    mover.until("move_out", at=1_000)
    mover.until("move_out", at=3_000)
    assert mover.at_source("switch", [], 1_000 + LEASE_MS).code == "SESSION_MOVING", "a repeat holds it anew"
    event = game.do("switch", at=3_000 + LEASE_MS)
    assert event["version"] == 3
    assert event["epoch"] == game.created["epoch"]
    assert game.alarm() == 3_000 + LEASE_MS + 60_000


def test_an_undone_move_leaves_no_trace(core: Driver, target: Driver) -> None:
    Game(core, players(60_000, 60_000)).start()
    mover = Mover(core, target)
    before = core.snapshot()
    mover.until("move_in", at=1_000)
    assert mover.step("move_undo", 1_000).value == 1
    assert mover.at_target("move_undo", ["MOVE", MOVE], 1_000).value == 1
    after = core.snapshot()
    assert {key: value for key, (value, _) in after.items()} == {
        key: value for key, (value, _) in before.items()
    }
    assert target.snapshot() == {}


def test_a_clock_that_runs_out_on_the_way_expires_at_the_target(core: Driver, target: Driver) -> None:
    game = Game(core, players(4_000, 60_000)).start()
    mover = Mover(core, target, apart=3_000)
    for step, at in zip(STEPS, (3_900, 3_950, 4_100, 4_150, 4_200), strict=True):
        assert mover.step(step, at).code is None
    moved = at_target(game, mover)
    assert moved.alarm() == 7_000
    payload = moved.do("expire", at=7_180)["payload"]
    assert (payload["event"], payload["late_ms"]) == ("session.expired", 180)


def test_a_session_may_come_back(core: Driver, target: Driver) -> None:
    """Its mark gives way, and its epochs grow over both moves."""
    game = Game(core, players(60_000, 60_000)).start()
    Mover(core, target, apart=-3_000).until("move_finish", at=1_000)
    back = Mover(target, core, apart=3_000, move="m2")
    back.until("move_finish", at=2_000 - 3_000)
    state = game.state(at=10_000)
    assert (state["version"], state["time_remaining_ms"]) == (6, 50_000)
    assert int(state["epoch"]) > START + 1
    assert back.at_source("get", [], 3_000).code == "SESSION_MOVED"


def test_another_session_of_that_id_stays(core: Driver, target: Driver) -> None:
    Game(core, players(60_000, 60_000)).start()
    there = Game(target, players(30_000, 30_000))
    mover = Mover(core, target)
    mover.until("move_out", at=1_000)
    assert mover.step("move_in", 1_000).code == "SESSION_EXISTS"
    assert there.state()["total_time_ms"] == 60_000
    assert mover.at_target("move_activate", ["{}", "MOVE", MOVE], 1_000).code == "SESSION_NOT_FOUND"
    assert mover.step("move_undo", 1_000).value == 1


def test_steps_out_of_order_are_refused(core: Driver, target: Driver) -> None:
    mover = Mover(core, target)
    assert mover.step("move_out", 0).code == "SESSION_NOT_FOUND"
    assert mover.step("move_commit", 0).code == "SESSION_NOT_FOUND"
    assert mover.step("move_finish", 0).value == 0
    Game(core, players(60_000, 60_000))
    assert mover.step("move_commit", 0).code == "CONCURRENT_MODIFICATION"
    mover.until("move_out", at=0)
    assert mover.step("move_finish", 0).code == "CONCURRENT_MODIFICATION"
    other = Mover(core, target, move="m2")
    assert other.step("move_out", 0).code == "SESSION_MOVING"
    assert other.step("move_commit", 0).code == "CONCURRENT_MODIFICATION"
    assert other.step("move_undo", 0).value == 0
    mover.until("move_in", at=0)
    assert mover.at_target("move_activate", ["{}", "MOVE", "m2"], 0).code == "SESSION_NOT_FOUND"
    # Neither another event of this session, nor an earlier move of one that had its id.
    event = {"session_id": SESSION, "version": 2, "epoch": str(START), "payload": {"event": "session.moved"}}
    for wrong in ({}, event | {"payload": {"event": "cycle.switched"}}, event | {"epoch": str(START - 1)}):
        refused = mover.at_target("move_activate", [json.dumps(wrong), "MOVE", MOVE], 0)
        assert refused.fields == ["change"], wrong
    assert mover.at_target("move_activate", [json.dumps(event), "MOVE", MOVE], 0).value == 1


@pytest.mark.parametrize(
    ("function", "args", "fields"),
    [
        ("move_out", [], ["LEASE", "MOVE", "TARGET"]),
        ("move_out", ["MOVE", "a b", "TARGET", 'x"y', "LEASE", "999"], ["LEASE", "MOVE", "TARGET"]),
        ("move_in", ["{}", "", "MOVE", MOVE, "TARGET", TARGET], ["SHIFT", "state"]),
        ("move_in", ["SENT", "{}", "MOVE", MOVE, "TARGET", TARGET, "SHIFT", "0"], ["events"]),
        ("move_in", ["SENT", "", "MOVE", MOVE, "TARGET", TARGET, "SHIFT", str(-2 * START)], ["SHIFT"]),
        ("move_commit", ["MOVE", MOVE, "LEASE", "1000"], ["LEASE"]),
        ("move_activate", [], ["MOVE"]),
        ("move_finish", [], ["MOVE"]),
        ("move_undo", [], ["MOVE"]),
    ],
)
def test_arguments_are_checked(
    core: Driver, target: Driver, function: str, args: list[str], fields: list[str]
) -> None:
    Game(core, players(60_000, 60_000)).start()
    mover = Mover(core, target)
    mover.until("move_out", at=0)
    given: list[Any] = [mover.sent[0] if arg == "SENT" else arg for arg in args]
    assert mover.at_target(function, given, 0).fields == fields


def test_a_failure_half_way_keeps_the_copy(core: Driver, target: Driver) -> None:
    """Where another program holds the target's alarms, the copy stays one, and can run later."""
    game = Game(core, players(60_000, 60_000)).start()
    target.run("SET", game.keys.alarms, "no sorted set")
    mover = Mover(core, target)
    mover.until("move_commit", at=1_000)
    assert mover.step("move_in", 1_000).value == 1, "the copy is replaced whole, or not at all"
    assert mover.step("move_activate", 1_000).code == "WRONGTYPE"
    assert mover.at_target("get", [], 1_000).code == "SESSION_MOVING"
    target.run("DEL", game.keys.alarms)
    assert mover.step("move_activate", 1_000).value == 1


def test_nobody_but_a_move_sees_its_marks(core: Driver, target: Driver) -> None:
    """What is exported of a session that has moved can be restored, as of any other."""
    Game(core, players(60_000, 60_000)).start()
    mover = Mover(core, target)
    mover.until("move_out", at=500)
    held = json.loads(mover.at_source("get", ["EXPORT"], 600).value)["internal"]["fields"]
    mover.until("move_finish", at=1_000)
    exported = mover.at_target("get", ["EXPORT"], 2_000).value
    fields = json.loads(exported)["internal"]["fields"]
    assert "moving" not in fields
    assert "moving" not in held
    assert fields["rotation"] == held["rotation"] == "11"
    target.run("FLUSHALL")
    state = json.loads(mover.at_target("restore", [exported], 5_000).value)
    assert state["time_remaining_ms"] == 58_000
    assert P[0] == state["active_participant_id"]


@pytest.mark.parametrize("apart", [-7000, 0, 7000])
def test_turns_from_before_the_move_can_be_taken_back_after_it(
    core: Driver, target: Driver, apart: int
) -> None:
    game = Game(core, players(60_000, 60_000, increment_ms=2000)).start()
    game.do("switch", at=5000)
    game.do("switch", at=12_000)
    mover = Mover(core, target, apart)
    mover.until("move_finish", 13_000)
    moved = at_target(game, mover)
    moved.do("switch", at=14_000 + apart)
    payload = moved.do("takeback", "TURNS", 3, at=15_000 + apart)["payload"]
    assert (payload["active_participant_id"], payload["time_remaining_ms"]) == (P[0], 60_000)
    assert moved.deadline() == 75_000 + apart
    assert moved.do("reset", at=16_000 + apart)["payload"]["status"] == "pending"


def test_metadata_goes_along_however_much_of_it_the_log_has(core: Driver, target: Driver) -> None:
    """The metadata, and the requests that changed it."""
    game = Game(core, players(60_000, 60_000, metadata={"odd": [None, {}]})).start()
    for number in range(70):
        game.do("metadata", json.dumps({"text": f"{number:05}" * 2000}), at=1000)
    last = game.do("metadata", '{"text":"here","names":{"a":"Anna"}}', "REQUEST", "m1", at=2000)
    mover = Mover(core, target, 500)
    mover.until("move_finish", 3000)
    assert len(mover.sent) == 1 + 64
    moved = at_target(game, mover)
    wanted: Json = {"odd": [None, {}], "text": "here", "names": {"a": "Anna"}}
    assert moved.state(at=4000)["metadata"] == wanted
    again = moved.do("metadata", '{"text":"here","names":{"a":"Anna"}}', "REQUEST", "m1")
    assert again == last | {"replayed": True}
    assert moved.do("metadata", '{"text":null}')["payload"]["metadata"] == {
        "odd": [None, {}],
        "names": {"a": "Anna"},
    }
    assert moved.deadline() == 60_500
