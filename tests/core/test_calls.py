"""How calls are checked, repeated and refused: keys, arguments, tenants, versions, request ids,
tombstones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library
from tests.core.game import SESSION, START, Game, P, RefusedError, people, players
from tests.model.driver import Driver

OTHER = "5e550000-0000-4000-8000-0000000000ac"
KEYS = SessionKeys.of(SESSION).all
DAY = 86_400_000
LONGEST = 366 * DAY
CONFIG = json.dumps(players(60_000, 60_000))
MUTATIONS = [
    "start",
    "switch",
    "pause",
    "resume",
    "complete",
    "cancel",
    "expire",
    "adjust",
    "join",
    "leave",
    "metadata",
    "delete",
]
ARGUMENTS = {
    "adjust": ["ADD", "5"],
    "metadata": ['{"a":1}'],
    "join": [json.dumps(people(1)[0])],
    "leave": [P[0]],
    "create": [CONFIG],
}


def code(game: Game, function: str, *args: str | int, at: int | None = None) -> str:
    """The code of the refusal that a call must meet, without a trace of it on the server."""
    if at is not None:
        game.core.at(START + at)
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as refused:
        game.raw(function, *args)
    assert game.core.snapshot() == before
    assert refused.value.code is not None
    return refused.value.code


WRONG_KEYS: list[list[str]] = [
    [],
    [*KEYS[:3]],
    [*KEYS, "sk:{ab}:more"],
    [KEYS[1], KEYS[0], KEYS[2], KEYS[3]],
    ["sk:{ac}:" + SESSION, *KEYS[1:]],
    [KEYS[0], SessionKeys.of(OTHER).log, *KEYS[2:]],
    [*KEYS[:2], "sk:{ac}:alarms", KEYS[3]],
    [*KEYS[:3], "sk:{ac}:outbox"],
    ["sk:{ab}:nobody", "sk:{ab}:nobody:log", *KEYS[2:]],
    ["sk:{ab}:" + SESSION.upper(), "sk:{ab}:" + SESSION.upper() + ":log", *KEYS[2:]],
    ["other:{ab}:" + SESSION, *KEYS[1:]],
]


class TestKeys:
    @pytest.mark.parametrize("function", ["create", *MUTATIONS])
    @pytest.mark.parametrize("keys", WRONG_KEYS, ids=lambda k: f"{len(k)} {k[0] if k else ''}")
    @pytest.mark.parametrize("exists", [False, True])
    def test_wrong_keys_are_refused(self, core: Driver, function: str, keys: list[str], exists: bool) -> None:
        if exists:
            Game(core, CONFIG)
        before = core.snapshot()
        answer = core.fcall(f"sk_{function}", keys, ARGUMENTS.get(function, []))
        assert answer.code == "VALIDATION_ERROR", answer
        assert core.snapshot() == before

    @pytest.mark.parametrize(
        ("function", "keys"), [("get", []), ("get", KEYS[:2]), ("log", KEYS[:1]), ("log", KEYS)]
    )
    def test_wrong_numbers_of_keys_for_reading(self, core: Driver, function: str, keys: list[str]) -> None:
        Game(core, CONFIG)
        assert (
            core.fcall(f"sk_{function}", keys, ["0"] if function == "log" else []).code == "VALIDATION_ERROR"
        )

    @pytest.mark.every_server
    def test_reading_works_with_the_read_only_call(self, core: Driver) -> None:
        Game(core, CONFIG)
        assert json.loads(core.run("FCALL_RO", "sk_get", 1, KEYS[0]))["version"] == 1
        assert len(core.run("FCALL_RO", "sk_log", 2, *KEYS[:2], 0)) == 1
        assert len(core.run("FCALL_RO", "sk_info", 0)) == 3


class TestArguments:
    @pytest.mark.parametrize(
        ("function", "args"),
        [
            ("start", ["COLOUR", "blue"]),
            ("start", ["ACTOR"]),
            ("start", ["ACTOR", "a", "ACTOR", "b"]),
            ("start", ["VERSION", "one"]),
            ("start", ["VERSION", "1.0"]),
            ("start", ["VERSION", "0x1"]),
            ("start", ["VERSION", "1e0"]),
            ("start", ["VERSION", "9" * 30]),
            ("start", ["VERSION", "-1"]),
            ("start", ["VERSION", ""]),
            ("start", ["REQUEST", ""]),
            ("start", ["REQUEST", "r" * 256]),
            ("start", ["REQUEST", "two words"]),
            ("start", ["REQUEST", "é"]),
            ("start", ["NEXT", P[0]]),
            ("switch", ["NEXT", "somebody"]),
            ("switch", ["CURRENT", P[0] + "0"]),
            ("switch", ["LAG", "-1"]),
            ("switch", ["LAG", "fast"]),
            ("expire", ["ACTOR", "a"]),
            ("adjust", []),
            ("adjust", ["PARTICIPANT", P[0]]),
            ("adjust", ["PARTICIPANT", P[0], "SET", "1", "ADD", "1"]),
            ("adjust", ["PARTICIPANT", P[0], "GROUP", P[1], "ADD", "1"]),
            ("adjust", ["PARTICIPANT", P[0], "SET", "-1"]),
            ("adjust", ["PARTICIPANT", P[0], "SET", str(LONGEST + 1)]),
            ("adjust", ["PARTICIPANT", P[0], "ADD", str(-LONGEST - 1)]),
            ("adjust", ["CLOCK", "cycle", "ADD", "1"]),
            ("adjust", ["CLOCK", "TOTAL", "ADD", "1"]),
            ("adjust", ["CLOCK", "total"]),
            ("adjust", ["CLOCK", "total", "PARTICIPANT", P[0], "ADD", "1"]),
            ("adjust", ["CLOCK", "total", "GROUP", P[0], "ADD", "1"]),
            ("adjust", ["PARTICIPANT", P[0], "ADD", "1", "WITHIN", "0"]),
            ("adjust", ["PARTICIPANT", P[0], "ADD", "1", "WITHIN", str(LONGEST + 1)]),
            ("adjust", ["PARTICIPANT", P[0], "ADD", "1", "REASON", "x" * 201]),
            ("join", []),
            ("join", ["{"]),
            ("join", ["[]"]),
            ("join", ["7"]),
            ("leave", []),
            ("leave", ["somebody"]),
            ("get", ["EXPORT", "EXPORT"]),
            ("get", ["VERSION", "1"]),
            ("log", []),
            ("log", ["-1"]),
            ("log", ["x"]),
            ("log", ["0", "EPOCH"]),
            ("restore", []),
            ("restore", ["{}"]),
            ("restore", ["nothing"]),
        ],
    )
    def test_wrong_arguments_are_refused_first_of_all(
        self, core: Driver, function: str, args: list[str]
    ) -> None:
        game = Game(core, CONFIG)
        assert code(game, function, *args) == "VALIDATION_ERROR"
        core.run("FLUSHALL")
        assert core.call(function, SESSION, args).code == "VALIDATION_ERROR"

    @pytest.mark.parametrize("ttl", ["0", "-1", "1.5", "", "soon"])
    def test_a_wrong_lifetime(self, core: Driver, ttl: str) -> None:
        assert core.call("create", SESSION, [CONFIG, "TTL", ttl], START).code == "VALIDATION_ERROR"
        assert core.snapshot() == {}

    def test_options_come_in_any_order_and_case_and_ids_are_folded(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        event = game.do(
            "switch", "trace", "t", "Next", P[1].upper(), "ACTOR", "ann", "current", P[0].upper(), at=50
        )
        assert (event["payload"]["actor"], event["payload"]["trace"]) == ("ann", "t")

    @pytest.mark.every_server
    def test_a_traceparent_stands_beside_the_event_and_nowhere_else(self, core: Driver) -> None:
        game = Game(core, CONFIG)
        traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
        change = game.raw("start", "TRACEPARENT", traceparent, at=50)
        (_, created), (_, started) = core.run("XRANGE", game.keys.outbox, "-", "+")
        assert set(created) == {b"id", b"e"}
        assert started == {b"id": game.session.encode(), b"e": change, b"traceparent": traceparent.encode()}
        assert core.run("XRANGE", game.keys.log, "2-0", "2-0") == [(b"2-0", {b"e": change})]
        assert b"a" * 32 not in change
        assert json.loads(change)["payload"]["trace"] is None

    @pytest.mark.parametrize("actor", ['"', "\\", "a\nb", "é", "\u2028", "😀", "\x01", "</script>"])
    def test_texts_come_back_as_they_were(self, core: Driver, actor: str) -> None:
        assert Game(core, CONFIG).do("start", "ACTOR", actor, "TRACE", actor)["payload"]["actor"] == actor

    def test_two_hundred_characters_are_a_reason_whatever_their_bytes(self, core: Driver) -> None:
        event = Game(core, CONFIG).do("adjust", "PARTICIPANT", P[0], "ADD", 5, "REASON", "é" * 200)
        assert event["payload"]["adjust_reason"] == "é" * 200


class TestOrder:
    """Arguments, keys, existence and tenant, request, version, status, current, next, time."""

    def test_each_check_comes_before_the_next(self, core: Driver) -> None:
        game = Game(
            core, players(5000, 5000, action_on_timeout={"type": "skip_cycle"}), "TENANT", "red"
        ).start("REQUEST", "r")
        rest: list[tuple[list[str], str]] = [
            (["LAG", "x"], "VALIDATION_ERROR"),
            (["TENANT", "blue"], "SESSION_NOT_FOUND"),
            (["REQUEST", "r"], "VALIDATION_ERROR"),
            (["VERSION", "1"], "CONCURRENT_MODIFICATION"),
            (["CURRENT", P[1]], "CONCURRENT_MODIFICATION"),
            (["NEXT", P[9]], "PARTICIPANT_NOT_FOUND"),
        ]
        core.at(START + 5000)
        while rest:
            args = dict(zip(*[iter([a for options, _ in reversed(rest) for a in options])] * 2, strict=True))
            assert code(game, "switch", *[part for pair in args.items() for part in pair]) == rest[0][1], (
                rest[0]
            )
            rest.pop(0)
        assert game.do("switch")["payload"]["event"] == "participant.expired"

    def test_the_status_comes_before_current_and_next(self, core: Driver) -> None:
        game = Game(core, CONFIG)
        assert code(game, "switch", "CURRENT", P[1], "NEXT", P[9]) == "INVALID_SESSION_STATE"

    def test_next_who_is_out(self, core: Driver) -> None:
        game = Game(core, players(2000, 9000, 9000, action_on_timeout={"type": "skip_cycle"})).start()
        game.do("expire", at=2000)
        assert code(game, "switch", "NEXT", P[0], at=3000) == "PARTICIPANT_EXPIRED"


@pytest.mark.every_server
class TestTenants:
    @pytest.mark.parametrize("function", [*MUTATIONS, "get", "log"])
    def test_to_another_tenant_there_is_no_session(self, core: Driver, function: str) -> None:
        Game(core, CONFIG, "TENANT", "red").start()
        before = core.snapshot()
        args = [*ARGUMENTS.get(function, ["0"] if function == "log" else []), "TENANT", "blue"]
        if function == "expire":
            args = []
            assert core.call(function, SESSION, args).value is None
        elif function == "delete":
            assert core.call(function, SESSION, args).value == 0
        else:
            assert core.call(function, SESSION, args).code == "SESSION_NOT_FOUND"
        assert core.snapshot() == before

    def test_its_own_tenant_and_none_at_all_see_it(self, core: Driver) -> None:
        game = Game(core, CONFIG, "TENANT", "red")
        assert game.created["tenant_id"] == "red"
        game.do("start", "TENANT", "red")
        game.do("pause")

    def test_a_session_of_nobody_is_not_a_tenants(self, core: Driver) -> None:
        assert code(Game(core, CONFIG), "start", "TENANT", "red") == "SESSION_NOT_FOUND"


@pytest.mark.every_server
class TestVersions:
    def test_warnings_do_not_make_a_version_old_all_else_does(self, core: Driver) -> None:
        game = Game(core, players(60_000, 60_000, warnings_ms=[30_000, 20_000])).start()
        game.do("expire", at=30_000)
        game.do("expire", at=40_000)
        for version in (1, 5):
            assert code(game, "switch", "VERSION", version, at=41_000) == "CONCURRENT_MODIFICATION"
        for version in (2, 3, 4):
            other = Game(
                core, players(60_000, 60_000, warnings_ms=[30_000, 20_000]), session=OTHER, at=0
            ).start()
            other.do("expire", at=30_000)
            other.do("expire", at=40_000)
            assert other.do("switch", "VERSION", version, at=41_000)["version"] == 5
            other.raw("delete")

    def test_the_refusal_says_both_versions(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        with pytest.raises(RefusedError) as refused:
            game.do("switch", "VERSION", 1)
        assert refused.value.answer.context == {"expected_version": 1, "actual_version": 2}

    def test_the_refusal_says_both_participants(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        with pytest.raises(RefusedError) as refused:
            game.do("switch", "CURRENT", P[1])
        assert refused.value.answer.context == {
            "expected_participant_id": P[1],
            "actual_participant_id": P[0],
        }

    def test_the_refusal_says_the_status(self, core: Driver) -> None:
        game = Game(core, players(2000, 2000)).start()
        game.do("expire", at=2000)
        with pytest.raises(RefusedError) as refused:
            game.do("pause")
        assert refused.value.answer.context == {"status": "expired", "expired_participant_id": P[0]}


@pytest.mark.every_server
class TestRequests:
    def test_a_repeat_gets_the_change_of_the_first_and_changes_nothing(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        first = game.do("switch", "REQUEST", "r1", "ACTOR", "ann", at=1000)
        game.do("switch", at=2000)
        before = core.snapshot()
        again = game.do("switch", "REQUEST", "r1", "ACTOR", "ann", "VERSION", 2, "NEXT", P[9], at=3000)
        assert again == first | {"replayed": True}
        assert core.snapshot() == before

    def test_an_id_that_another_actor_has_used_is_another_request(self, core: Driver) -> None:
        game = Game(core, CONFIG, "REQUEST", "1", "ACTOR", "ann").start("REQUEST", "1", "ACTOR", "b o\nb")
        for version, actor in enumerate(["é", "x" * 255, None], 3):
            args = ["REQUEST", "1", *([] if actor is None else ["ACTOR", actor])]
            assert "replayed" not in (made := game.do("switch", *args, at=version * 100))
            assert made["version"] == version
            assert game.do("switch", *args, at=5000) == made | {"replayed": True}
        assert code(game, "create", CONFIG, "REQUEST", "1", "ACTOR", "eve") == "SESSION_EXISTS"
        assert json.loads(game.raw("create", CONFIG, "REQUEST", "1", "ACTOR", "ann"))["replayed"] is True
        assert code(game, "switch", "REQUEST", "1", "ACTOR", "b o\nb") == "VALIDATION_ERROR"

    def test_a_request_that_the_last_release_remembered_is_still_repeated(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        first = game.do("switch", at=1000)
        core.run("HSET", KEYS[0], "requests", "01\nr1 sk_switch 3\n")
        for actor in ("ann", "bob"):
            assert game.do("switch", "REQUEST", "r1", "ACTOR", actor) == first | {"replayed": True}
        game.do("switch", "REQUEST", "r2", at=2000)
        assert game.do("switch", "REQUEST", "r1", "ACTOR", "ann") == first | {"replayed": True}

    def test_an_expiry_that_a_switch_performed_is_repeated_too(self, core: Driver) -> None:
        game = Game(core, players(5000, 5000)).start()
        first = game.do("switch", "REQUEST", "late", at=6000)
        assert first["type"] == "TIME_EXPIRED"
        assert game.do("switch", "REQUEST", "late", at=7000) == first | {"replayed": True}

    def test_the_same_id_for_another_function(self, core: Driver) -> None:
        game = Game(core, CONFIG).start("REQUEST", "r1")
        assert code(game, "switch", "REQUEST", "r1") == "VALIDATION_ERROR"
        assert code(game, "delete", "REQUEST", "r1") == "VALIDATION_ERROR"

    def test_a_refused_call_is_not_remembered(self, core: Driver) -> None:
        game = Game(core, CONFIG)
        assert code(game, "switch", "REQUEST", "r1") == "INVALID_SESSION_STATE"
        game.start()
        assert "replayed" not in game.do("switch", "REQUEST", "r1", at=500)

    def test_an_adjust_that_was_not_within_is_not_remembered(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        args: list[str | int] = ["PARTICIPANT", P[0], "ADD", 1000, "WITHIN", 5000, "REQUEST", "r1"]
        assert game.raw("adjust", *args, at=1000) is None
        assert "replayed" not in game.do("adjust", *args, at=56_000)

    def test_the_last_sixteen_are_remembered(self, core: Driver) -> None:
        game = Game(core, CONFIG).start("REQUEST", "r0")
        for number in range(1, 17):
            game.do("switch", "REQUEST", f"r{number}", at=number * 100)
        assert game.do("switch", "REQUEST", "r1")["version"] == 3
        assert code(game, "start", "REQUEST", "r0") == "INVALID_SESSION_STATE"

    def test_one_whose_event_the_log_no_longer_holds(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        game.do("switch", "REQUEST", "r1", at=100)
        core.run("XTRIM", game.keys.log, "MAXLEN", 0)
        assert code(game, "switch", "REQUEST", "r1", at=200) == "CONCURRENT_MODIFICATION"

    def test_a_repeated_create_gets_the_state_of_now(self, core: Driver) -> None:
        game = Game(core, CONFIG, "REQUEST", "r1").start()
        again = json.loads(game.raw("create", CONFIG, "REQUEST", "r1", at=500))
        assert (again["version"], again["status"], again["server_time_ms"]) == (2, "running", START + 500)
        assert code(game, "create", CONFIG, "REQUEST", "r2") == "SESSION_EXISTS"
        assert code(game, "create", CONFIG) == "SESSION_EXISTS"


@pytest.mark.every_server
class TestLog:
    def test_at_least_the_newest_64_and_not_many_more(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        lengths = []
        for number in range(400):
            game.do("pause" if number % 2 == 0 else "resume", at=number)
            lengths.append(core.run("XLEN", game.keys.log))
        # All up to version 64; from then on some more, because memory is freed in pieces of 4 KB.
        assert lengths[:62] == list(range(3, 65))
        assert all(64 <= length <= 72 for length in lengths[62:])
        assert [json.loads(event)["version"] for event in game.raw("log", 402 - 64)] == list(range(339, 403))
        assert game.raw("log", 402 - 73) is None
        assert game.raw("log", 0) is None
        assert game.raw("log", 402) == []
        assert game.raw("log", 403) is None

    def test_a_request_is_repeated_from_the_log_after_the_log_was_shortened(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        for number in range(80):
            game.do("pause" if number % 2 == 0 else "resume", "REQUEST", f"r{number}", at=number)
        core.run("XTRIM", game.keys.log, "MAXLEN", "24")  # as the service does that has an audit store
        assert len(game.raw("log", 82 - 24)) == 24
        assert game.raw("log", 82 - 25) is None
        for number in range(64, 80):  # the last 16 request ids
            again = json.loads(game.raw("resume" if number % 2 else "pause", "REQUEST", f"r{number}", at=90))
            assert (again["version"], again["replayed"]) == (number + 3, True)

    def test_another_epoch(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        epoch = game.created["epoch"]
        assert len(game.raw("log", 1, "EPOCH", epoch)) == 1
        assert game.raw("log", 1, "EPOCH", epoch + "0") is None

    def test_the_outbox_goes_on_while_nobody_takes_from_it(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        for number in range(300):
            game.do("pause" if number % 2 == 0 else "resume", at=number)
        assert core.run("XLEN", game.keys.outbox) == 302


@pytest.mark.every_server
class TestTombstones:
    def test_a_deleted_session_is_gone_for_everybody(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        assert game.raw("delete", at=100) == 1
        assert game.alarm() is None
        fields = core.run("HGETALL", KEYS[0])
        assert fields == {b"status": b"deleted", b"version": b"3", b"epoch": game.created["epoch"].encode()}
        assert core.run("EXISTS", KEYS[1]) == 0
        assert DAY - 5000 <= core.run("PTTL", KEYS[0]) <= DAY
        for function in [f for f in MUTATIONS if f not in {"expire", "delete"}] + ["get", "log"]:
            args = ARGUMENTS.get(function, ["0"] if function == "log" else [])
            assert core.call(function, SESSION, args).code == "SESSION_NOT_FOUND"
        assert game.raw("delete") == 0
        assert game.raw("expire") is None

    def test_its_id_may_be_taken_again_under_a_new_epoch(self, core: Driver) -> None:
        game = Game(core, CONFIG, "REQUEST", "r1")
        game.raw("delete")
        again = Game(core, CONFIG, "REQUEST", "r1")
        assert again.created["version"] == 1
        assert again.created["epoch"] != game.created["epoch"]
        assert game.raw("log", 0, "EPOCH", game.created["epoch"]) is None

    @pytest.mark.parametrize(("deleted", "created"), [("red", "blue"), ("red", None), (None, "blue")])
    def test_another_tenant_cannot_take_the_id_of_a_deleted_session(
        self, core: Driver, deleted: str | None, created: str | None
    ) -> None:
        owner = [] if deleted is None else ["TENANT", deleted]
        game = Game(core, CONFIG, *owner)
        game.raw("delete", *owner)
        stranger = [] if created is None else ["TENANT", created]
        assert code(game, "create", CONFIG, *stranger) == "SESSION_EXISTS"
        assert core.call("get", SESSION, stranger).code == "SESSION_NOT_FOUND"
        assert Game(core, CONFIG, *owner).created["tenant_id"] == deleted

    def test_expire_removes_the_alarm_of_a_session_that_vanished(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        core.run("DEL", *KEYS[:2])
        assert game.alarm() is not None
        assert game.raw("expire") is None
        assert game.alarm() is None

    def test_restoring_meets_a_session_or_a_tombstone(self, core: Driver) -> None:
        game = Game(core, CONFIG).start()
        exported = game.raw("get", "EXPORT").decode()
        assert code(game, "restore", exported) == "SESSION_EXISTS"
        game.raw("delete")
        assert code(game, "restore", exported) == "SESSION_EXISTS"
        core.run("DEL", KEYS[0])
        state = json.loads(game.raw("restore", exported, at=9000))
        assert (state["version"], state["recovered"], state["status"]) == (3, True, "running")
        assert state["epoch"] != game.created["epoch"]
        assert state["deadline_ms"] == START + 69_000

    def test_a_restored_session_goes_on_behind_what_was_seen_of_it(self, core: Driver) -> None:
        """VERSION and EPOCH count where they are later than the exported ones, each for itself."""
        game = Game(core, CONFIG).start()
        exported = game.raw("get", "EXPORT").decode()
        later = str(START + 20_000)
        for options, version, epoch in (
            ([], 3, START + 9000),
            (["VERSION", "2"], 3, START + 9000),
            (["VERSION", "7"], 8, START + 9000),
            (["EPOCH", later], 3, START + 20_001),
            (["VERSION", "1", "EPOCH", game.created["epoch"]], 3, START + 9000),
            (["VERSION", "7", "EPOCH", later], 8, START + 20_001),
        ):
            core.run("DEL", *KEYS[:2])
            state = json.loads(game.raw("restore", exported, *options, at=9000))
            assert (state["version"], state["epoch"]) == (version, str(epoch))
            assert [json.loads(event)["version"] for event in game.raw("log", version - 1)] == [version]

    @pytest.mark.parametrize("options", [["VERSION", "x"], ["EPOCH", "x"], ["EPOCH", "-1"], ["EPOCH", "1e3"]])
    def test_positions_that_are_none(self, core: Driver, options: list[str]) -> None:
        game = Game(core, CONFIG)
        exported = game.raw("get", "EXPORT").decode()
        core.run("DEL", *KEYS[:2])
        answer = core.call("restore", SESSION, [exported, *options])
        assert (answer.code, answer.fields) == ("VALIDATION_ERROR", [options[0]])
        assert core.run("EXISTS", KEYS[0]) == 0

    def test_a_state_of_another_session_is_not_restored(self, core: Driver) -> None:
        game = Game(core, CONFIG)
        exported = game.raw("get", "EXPORT").decode()
        assert core.call("restore", OTHER, [exported]).code == "VALIDATION_ERROR"


@pytest.mark.every_server
class TestLifetimes:
    def lives(self, game: Game) -> int:
        """How long session and log live, in ms."""
        session, log = (game.core.run("PTTL", key) for key in (game.keys.session, game.keys.log))
        assert abs(session - log) < 1000
        return int(session)

    def test_a_clock_with_a_grace_lives_past_that(self, core: Driver) -> None:
        """Its time is up two seconds after the deadline: with a TTL of one it would be gone by then."""
        game = Game(core, players(600_000, 600_000, lag_compensation=True), "TTL", "1").start()
        assert game.alarm() == 602_000
        assert 602_000 < self.lives(game) <= 603_000

    def test_keys_live_past_what_may_happen_next(self, core: Driver) -> None:
        config = players(5000, 5000) | {"action_on_timeout": {"type": "notify"}}
        game = Game(core, config, "TTL", "100")
        stories: list[tuple[str, int, int]] = [
            ("", 0, DAY),
            ("start", 0, 105_000),
            ("pause", 1000, DAY),
            ("resume", 9000, 104_000),
            ("expire", 13_000, DAY),
            ("complete", 14_000, 100_000),
        ]
        for function, at, lifetime in stories:
            if function:
                game.do(function, at=at)
            assert lifetime - 5000 <= self.lives(game) <= (lifetime if lifetime < DAY else 2 * DAY), function

    def test_the_default_is_an_hour(self, core: Driver) -> None:
        game = Game(core, players(5000))
        game.do("cancel")
        assert 3_595_000 <= self.lives(game) <= 3_600_000

    def test_alarms_and_outbox_have_no_end(self, core: Driver) -> None:
        game = Game(core, players(5000)).start()
        assert core.run("PTTL", game.keys.alarms) == -1
        assert core.run("PTTL", game.keys.outbox) == -1


@pytest.mark.every_server
class TestScale:
    def test_a_thousand_participants_play_and_the_events_stay_small(self, core: Driver) -> None:
        game = Game(core, players(*[60_000] * 1000))
        assert len(game.created["participants"]) == 1000
        game.start(at=0)
        for turn in range(3):
            event = game.do("switch", at=(turn + 1) * 100)
            assert [p["participant_index"] for p in event["payload"]["participants"]] == [turn, turn + 1]
        assert game.do("switch", "NEXT", P[999], at=400)["payload"]["active_participant_id"] == P[999]
        assert game.do("switch", at=500)["payload"]["active_participant_id"] == P[0]
        assert (
            code(game, "join", json.dumps({"participant_id": SESSION, "total_time_ms": 5000}))
            == "VALIDATION_ERROR"
        )

    def test_a_thousand_and_one_are_too_many(self, core: Driver) -> None:
        who = [*people(1000), {"participant_id": SESSION}]
        config = {"sync_mode": "per_cycle", "time_per_cycle_ms": 5000, "participants": who}
        with pytest.raises(RefusedError) as refused:
            Game(core, config)
        assert refused.value.code == "VALIDATION_ERROR"

    def test_those_who_are_out_are_skipped_however_many(self, core: Driver) -> None:
        banks = [1000] * 300 + [60_000]
        game = Game(core, players(*banks, action_on_timeout={"type": "skip_cycle"})).start()
        for turn in range(300):
            game.do("expire", at=(turn + 1) * 1000)
        assert game.do("switch", at=300_500)["payload"]["active_participant_id"] == P[300]


@pytest.mark.every_server
def test_info(core: Driver) -> None:
    core.at(START + 7)
    version, schema, now = core.run("FCALL", "sk_info", 0)
    assert version.decode() == Library.assemble().version
    assert (schema, now) == (1, START + 7)


@pytest.mark.every_server
def test_every_function_says_what_it_is_for(core: Driver) -> None:
    listed: Any = core.run("FUNCTION", "LIST", "LIBRARYNAME", "synckairos")
    text = repr(listed)
    for function in [*MUTATIONS, "create", "restore", "get", "log", "throttle", "info"]:
        assert f"sk_{function}" in text
