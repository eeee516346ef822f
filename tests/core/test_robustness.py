"""What other people's mistakes must not do: break the reply, take long, or leave a change half done."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from synckairos.core.keys import SessionKeys
from synckairos.errors import ValidationError, from_refusal
from tests.core.game import SESSION, START, Game, people, players
from tests.model.driver import Driver

pytestmark = pytest.mark.every_server


def details(core: Driver, function: str, args: list[str | bytes]) -> list[dict[str, str]]:
    """The problems that a refused call names, read as clients read them."""
    answer = core.call(function, SESSION, args, START)
    assert answer.code == "VALIDATION_ERROR", answer
    assert "\n" not in answer.text
    error = from_refusal(answer.text)
    assert isinstance(error, ValidationError)
    found: list[dict[str, str]] = error.details
    return found


@pytest.mark.parametrize("name", ['{"x', 'a {"b', "tab\there", "\x00", '"', "\\"])
def test_a_name_made_up_by_the_caller_does_not_break_the_refusal(core: Driver, name: str) -> None:
    assert details(core, "start", [name, "1"])[0]["field"] == name
    config = json.dumps({**players(1000, 1000), name: 1})
    assert {"field": name, "message": "is unknown"} in details(core, "create", [config])


def test_a_name_that_is_no_text_comes_back_as_text(core: Driver) -> None:
    assert details(core, "start", [b"\xff\xfeX", "1"])[0]["field"] == "??X"


@pytest.mark.parametrize(
    "config",
    [
        {f"x{i}": 1 for i in range(30_000)},
        players(1000, 1000, metadata={"a": [0] * 150_000}),
        {"sync_mode": "per_participant", "participants": [0] * 150_000},
        players(1000, 1000, time_control={"kind": "fischer", **{f"x{i}": 1 for i in range(20_000)}}),
        {"sync_mode": "x" * 600_000},
    ],
    ids=["unknown names", "metadata", "participants", "parameters", "bytes"],
)
def test_a_refusal_stays_small_whatever_was_sent(core: Driver, config: dict[str, Any]) -> None:
    answer = core.call("create", SESSION, [json.dumps(config)], START)
    assert answer.code == "VALIDATION_ERROR"
    assert len(answer.text) < 40_000
    assert core.run("KEYS", "sk:{ab}:*") == []


@pytest.mark.parametrize("name", ["metadata", "warnings_ms"])
def test_names_are_written_without_escapes(core: Driver, name: str) -> None:
    """Else a name could be one when it is judged and another when it is kept."""
    escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
    config = json.dumps(players(1000, 1000))[:-1] + f', "{escaped}": null}}'
    problem = {"field": escaped, "message": "must be written without escapes"}
    assert problem in details(core, "create", [config])


def test_a_stopwatch_that_gets_the_maximum_it_has_reached(core: Driver) -> None:
    game = Game(core, {"sync_mode": "count_up", "participants": people(2)})
    game.raw("start")
    assert json.loads(game.raw("adjust", "SET", 0, at=1000))["payload"]["deadline_ms"] == START + 1000
    state = json.loads(core.fcall("sk_get", [game.keys.session]).value)
    assert (state["max_time_ms"], state["deadline_ms"], state["time_remaining_ms"]) == (1000, START + 1000, 0)
    expired = json.loads(game.raw("expire", at=1500))["payload"]
    assert (expired["expired_deadline_ms"], expired["late_ms"]) == (START + 1000, 500)


def test_too_many_arguments_are_refused_unread(core: Driver) -> None:
    Game(core, players(1000, 1000))
    problem = {"field": "arguments", "message": "must be at most 40"}
    assert details(core, "start", ["NAME", "value"] * 1000) == [problem]


@pytest.mark.parametrize("key", ["alarms", "outbox"])
def test_a_foreign_value_in_a_key_of_ours_leaves_the_session_as_it_was(core: Driver, key: str) -> None:
    game = Game(core, players(60_000, 60_000))
    game.raw("start")
    before = core.run("HGETALL", game.keys.session)
    place = getattr(game.keys, key)
    core.run("DEL", place)
    core.run("RPUSH", place, "not ours")
    assert core.call("switch", SESSION, (), START + 1000).code is not None
    assert core.run("HGETALL", game.keys.session) == before
    core.run("DEL", place)
    assert json.loads(game.raw("switch", at=1000))["version"] == 3


def test_a_pause_that_cannot_be_told_leaves_the_alarm(core: Driver) -> None:
    game = Game(core, players(60_000, 60_000))
    game.raw("start")
    core.run("DEL", game.keys.outbox)
    core.run("SET", game.keys.outbox, "not ours")
    assert core.call("pause", SESSION, (), START + 1000).code is not None
    assert int(core.run("ZSCORE", game.keys.alarms, SESSION)) == START + 60_000


def test_a_session_that_cannot_be_told_is_not_created(core: Driver) -> None:
    keys = Game(core, players(1000, 1000)).keys
    core.run("FLUSHALL")
    core.run("SET", keys.outbox, "not ours")
    # WRONGTYPE; fakeredis has another word for it at times.
    assert core.call("create", SESSION, [json.dumps(players(1000, 1000))], START).code is not None
    assert core.run("EXISTS", keys.session, keys.log) == 0


@pytest.mark.parametrize("log", ["a list", "a log that is ahead"])
def test_a_log_that_is_not_the_sessions_begins_anew(core: Driver, log: str) -> None:
    game = Game(core, players(60_000, 60_000))
    game.raw("start")
    if log == "a list":
        core.run("DEL", game.keys.log)
        core.run("RPUSH", game.keys.log, "not ours")
    else:
        core.run("XADD", game.keys.log, "900-0", "e", "{}")
    change = game.raw("switch", at=1000)
    assert core.fcall("sk_log", [game.keys.session, game.keys.log], ["2"]).value == [change]
    assert core.fcall("sk_log", [game.keys.session, game.keys.log], ["1"]).value is None


@pytest.mark.own_keys("elsewhere", re.escape(SessionKeys.of(SESSION).session))
@pytest.mark.parametrize("function", ["create", "start", "switch", "expire", "get", "delete"])
def test_a_hash_that_is_no_session_is_none(core: Driver, function: str) -> None:
    keys = Game(core, players(1000, 1000)).keys
    core.run("FLUSHALL")
    core.run("HSET", keys.session, "status", "running")
    if function == "get":
        answer = core.fcall("sk_get", [keys.session])
    else:
        args = [json.dumps(players(1000))] if function == "create" else []
        answer = core.call(function, SESSION, args, START)
    expected = {"create": "SESSION_EXISTS", "expire": None, "delete": None}
    assert answer.code == expected.get(function, "SESSION_NOT_FOUND")
    core.run("HSET", "elsewhere", "status", "running")
    wrong = ["elsewhere", "elsewhere:log", "elsewherealarms", "elsewhereoutbox"]
    assert core.fcall("sk_switch", wrong).code == "VALIDATION_ERROR"


CONTROL = '{"kind":"fischer","increment_ms":2000}'
NO_CONTROLS = [
    "{}",
    '{"kind":"fischer","increment_ms":02000}',
    '{"kind":"fischer","increment_ms":2000,}',
    '{"kind":"fischer","increment_ms" 2000}',
    '{"kind":"fischer","increment_ms":2000',
    '{"kind":"fischer","increment_ms":[2000}',
    '{"kind":"fischer","increment_ms":fischer}',
    '{"kind":"}',
    '{"kind:"fischer}',
    '{"kind":"fischer"}}',
    '{"kind":"fischer"} ',
    '{"kind":"\x01"}',
    "{\x01:1}",
]


@pytest.mark.parametrize("control", NO_CONTROLS)
def test_a_snapshot_whose_control_is_no_json_is_refused(core: Driver, control: str) -> None:
    """The state of a restored session has the control as it came."""
    who = [{**person, "time_control": json.loads(CONTROL)} for person in people(2, total_time_ms=60_000)]
    state = exported(core, participants=who)
    fields = state["internal"]["fields"]
    assert CONTROL in fields["p1:shown"]
    fields["p1:shown"] = fields["p1:shown"].replace(CONTROL, control)
    answer = core.call("restore", SESSION, [json.dumps(state)], START)
    assert (answer.code, answer.fields) == ("VALIDATION_ERROR", ["state"])
    assert core.snapshot() == {}


def exported(core: Driver, **config: Any) -> dict[str, Any]:
    """A running session as `sk_get EXPORT` gives it, gone from the server afterwards."""
    game = Game(core, {**players(60_000, 60_000), **config})
    game.raw("start")
    state: dict[str, Any] = json.loads(core.fcall("sk_get", [game.keys.session], ["EXPORT"]).value)
    core.run("FLUSHALL")
    return state


DAMAGE: list[tuple[str, str | None]] = [
    ("cycle", "-1 0 0 0 0 0"),
    ("cycle", "7 1800000000000 0 0 0 1800000000000"),
    ("cycle", "00 1800000000000 0 0 0 1800000000000"),
    ("cycle", "0 1900000000000 0 0 0 1800000000000"),
    ("cycle", "nonsense"),
    ("rules", "per_participant 99999999999999999999 end_session 0 0 - fischer 0 0"),
    ("rules", "per_group 3600000 end_session 0 0 - fischer 0 0"),
    ("rules", "per_participant 3600000 end_session 0 0 - fischer"),
    ("rules", "per_participant 3600000 explode 0 0 - fischer 0 0"),
    ("rotation", "xx"),
    ("rotation", "111"),
    ("rotation", "1"),
    ("p0", None),
    ("p0", "[1,2,3]"),
    ("p0", "[-5,0,0,9]"),
    ("p0:shown", "{}"),
    ("p0:shown", '"participant_id":"x"}'),
    ("i:a0000000-0000-4000-8000-000000000000", "1"),
    ("created", "yesterday"),
    ("started", "1e9"),
    ("total", '1,"status":"completed"'),
    ("shown", '"sync_mode":"per_participant"},{'),
    ("shown", None),
    ("rules", "per_participant 3600000 end_session 1 0 - fischer 0 0 +9999999999999"),
    ("rules", "per_participant 3600000 end_session 0 0 - byoyomi 3"),
    ("rules", "per_participant 3600000 end_session 0 0 - fischer 0 0 0"),
    ("rules", "per_participant 3600000 end_session 0 0 - fischer 0  0"),
    ("rules", "per_participant 3600000 end_session 0 0 - fischer 0x 0"),
    ("rules", "per_participant 3600000 end_session 0 0 - fischer 316224000000 0"),
    ("rules", "per_participant 3600000 end_session 0 0 0 fischer 0 0"),
    ("rules", "per_participant 3600000 end_session 0 31622400001 - fischer 0 0"),
    ("action", "end_session"),
    ("status", "deleted"),
    ("version", "-1"),
    ("epoch", "x"),
    ("stranger", "1"),
    ("requests", "x"),
    ("bank", "many"),
    ("bank", "-1"),
    ("b:p0", "60000"),  # as most have it, so it is not kept
    ("b:p0", "x"),
    ("b:p2", "30000"),
    ("first", "0"),
    ("first", "x"),
    ("was", "0"),  # only of a session that is over
    ("named", "x"),
]


@pytest.mark.parametrize(("field", "value"), DAMAGE)
def test_a_damaged_snapshot_is_refused_whole(core: Driver, field: str, value: str | None) -> None:
    state = exported(core)
    fields = state["internal"]["fields"]
    if value is None:
        del fields[field]
    else:
        fields[field] = value
    answer = core.call("restore", SESSION, [json.dumps(state)], START)
    assert answer.code == "VALIDATION_ERROR", answer
    assert core.run("KEYS", "sk:{ab}:*") == []


@pytest.mark.parametrize("moment", [-1, 0, 1.5, 1e300, "now", None])
def test_a_snapshot_of_no_moment_is_refused(core: Driver, moment: float | str | None) -> None:
    state = exported(core)
    state["internal"]["exported_ms"] = moment
    assert core.call("restore", SESSION, [json.dumps(state)], START).code == "VALIDATION_ERROR"


def test_an_undamaged_snapshot_of_each_shape_comes_back(core: Driver) -> None:
    group = "b0000000-0000-4000-8000-000000000000"
    for config in (
        {"lag_compensation": True, "warnings_ms": [5000, 1000]},
        {"time_control": {"kind": "delay", "delay_ms": 500, "overtime_ms": 1000}, "warnings_ms": [0, -1000]},
        {"time_control": {"kind": "byoyomi", "periods": 1, "period_ms": 5000, "increment_ms": 900}},
        {
            "sync_mode": "per_group",
            "participants": people(3, group_id=group),
            "groups": [{"group_id": group, "total_time_ms": 5000}],
        },
        {"sync_mode": "per_cycle", "time_per_cycle_ms": 5000},
        {"sync_mode": "global", "total_time_ms": 5000},
        {"sync_mode": "count_up"},
    ):
        state = exported(core, **config)
        answer = core.call("restore", SESSION, [json.dumps(state)], START)
        assert answer.code is None, (config, answer)
        core.run("FLUSHALL")


STAGED = {"kind": "stages", "stages": [{"moves": 2, "time_ms": 60_000}]}
STAGES = "stages 2/60000/fischer 0 0|3/0/byoyomi 2 5000 100"


@pytest.mark.parametrize(
    ("stages", "sound"),
    [
        (STAGES, True),  # the last one repeats
        (f"{STAGES}|0/5/canadian 300 5", True),
        (f"{STAGES}|0/5/byoyomi 2 5000", True),
        (f"{STAGES}|4/5/canadian 300 5", False),  # which does not repeat
        (f"0/5/fischer 0 0|{STAGES[7:]}".replace("0/5", "stages 0/5", 1), False),
        (f"{STAGES} 0", False),
        (f"{STAGES}|", False),
        (f"{STAGES.removesuffix('100')}0", False),  # an increment of 0 is left out
        (f"{STAGES}x", False),
        (STAGES.replace("60000", "316224000000"), False),
        (STAGES.replace("fischer 0 0", "none 0"), False),
    ],
)
def test_a_snapshot_with_stages_is_restored_or_refused(core: Driver, stages: str, *, sound: bool) -> None:
    state = exported(core, time_control=STAGED | {"repeat": True})
    fields = state["internal"]["fields"]
    assert "stages 2/60000/fischer 0 0" in fields["rules"]
    fields["rules"] = fields["rules"].replace("stages 2/60000/fischer 0 0", stages)
    answer = core.call("restore", SESSION, [json.dumps(state)], START)
    assert (answer.code is None) is sound, answer


@pytest.mark.parametrize(
    ("warnings", "sound"),
    [
        ("5000,0,-1000", True),
        ("5000,-1000,0", False),
        ("5000,0,0", False),
        ("5000,0,-0", False),
        ("5000,0,-31622400001", False),
        ("5000,0,-01", False),
        ("5000,0", False),
    ],
)
def test_a_snapshot_with_warnings_is_restored_or_refused(core: Driver, warnings: str, *, sound: bool) -> None:
    state = exported(
        core, time_control={"kind": "fischer", "overtime_ms": 2000}, warnings_ms=[5000, 0, -1000]
    )
    fields = state["internal"]["fields"]
    fields["rules"] = fields["rules"].replace("5000,0,-1000", warnings)
    answer = core.call("restore", SESSION, [json.dumps(state)], START)
    assert (answer.code is None) is sound, answer


def test_a_control_that_repeats_is_checked_as_fast_as_others_and_as_strictly(core: Driver) -> None:
    state = exported(core, time_control=STAGED | {"repeat": True})
    fields = state["internal"]["fields"]
    for wrong in ("true5", "truetrue", "5true", "True"):
        damaged = {**fields, "shown": fields["shown"].replace(":true}", f":{wrong}}}")}
        assert damaged["shown"] != fields["shown"]
        broken = {**state, "internal": {**state["internal"], "fields": damaged}}
        assert core.call("restore", SESSION, [json.dumps(broken)], START).code == "VALIDATION_ERROR"
    assert core.call("restore", SESSION, [json.dumps(state)], START).code is None


def test_what_0_4_wrote_of_warnings_goes_on(core: Driver) -> None:
    """There -1 stands for none, and thresholds are above 0."""
    state = exported(core, warnings_ms=[30_000], action_on_timeout={"type": "notify"})
    fields = state["internal"]["fields"]
    assert fields["cycle"].endswith(" !0 60000 0")
    fields["cycle"] = fields["cycle"].replace(" !0 60000 0", " !0 -1 0")
    assert core.call("restore", SESSION, [json.dumps(state)], START).code is None
    assert core.run("ZSCORE", "sk:{ab}:alarms", SESSION) == START + 60_000


@pytest.mark.parametrize(
    ("config", "from_", "stored"),
    [
        ({}, "-1", "byoyomi 2 5000"),
        ({"warnings_ms": [-500]}, "-500", "byoyomi 2 5000"),
        ({"increment": 5}, "-1", "byoyomi 2 5000 5"),
    ],
)
def test_who_uses_nothing_new_has_the_hash_of_0_4(
    core: Driver, config: dict[str, Any], from_: str, stored: str
) -> None:
    config = dict(config)
    control = {
        "kind": "byoyomi",
        "periods": 2,
        "period_ms": 5000,
        "increment_ms": config.pop("increment", None),
    }
    if "warnings_ms" in config:
        control["overtime_ms"] = 1000
    config = {"warnings_ms": [1000], "action_on_timeout": {"type": "notify"}, **config}
    game = Game(core, players(60_000, 60_000, time_control=control, **config)).start()
    assert core.run("HGET", game.keys.session, "rules").decode().removesuffix(" +1000").endswith(f" {stored}")
    game.do("expire", at=game.deadline())
    assert f" {from_} " in core.run("HGET", game.keys.session, "cycle").decode().partition("!")[2]
