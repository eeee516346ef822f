"""What a session may be created from: every bound, every problem named, metadata given back as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import SESSION, START, G, Game, P, RefusedError, people, players
from tests.model.config import parse_config
from tests.model.driver import Driver

DAY = 86_400_000
LONGEST = 366 * DAY
TWO = players(5000, 5000)


def fields(core: Driver, config: dict[str, Any] | str) -> list[str]:
    """The dotted paths that a refused config names; nothing is left behind."""
    text = config if isinstance(config, str) else json.dumps(config)
    answer = core.call("create", SESSION, [text], START)
    assert answer.code == "VALIDATION_ERROR", answer
    assert core.snapshot() == {}
    for detail in answer.context["details"]:
        assert set(detail) == {"field", "message"}
        assert detail["message"]
    return answer.fields


def group_game(**config: Any) -> dict[str, Any]:
    """Two teams of one."""
    who = [{"participant_id": P[i], "group_id": G[i]} for i in range(2)]
    teams = [{"group_id": g, "total_time_ms": 5000} for g in G[:2]]
    return {"sync_mode": "per_group", "participants": who, "groups": teams, **config}


PROBLEMS: list[tuple[dict[str, Any], list[str]]] = [
    (TWO | {"colour": "blue"}, ["colour"]),
    (TWO | {"sync_mode": "chess"}, ["sync_mode"]),
    (TWO | {"sync_mode": None}, ["sync_mode"]),
    (TWO | {"session_id": P[0]}, ["session_id"]),
    (TWO | {"session_id": "mine"}, ["session_id"]),
    (TWO | {"participants": None}, ["participants"]),
    (TWO | {"participants": []}, ["participants"]),
    (TWO | {"participants": {"a": 1}}, ["participants"]),
    (TWO | {"participants": [TWO["participants"][0], 7]}, ["participants.1"]),
    (TWO | {"participants": people(2)}, ["participants.0.total_time_ms", "participants.1.total_time_ms"]),
    (
        TWO | {"participants": people(2, total_time_ms=999)},
        ["participants.0.total_time_ms", "participants.1.total_time_ms"],
    ),
    (TWO | {"participants": [{"total_time_ms": 5000}]}, ["participants.0.participant_id"]),
    (
        TWO | {"participants": [{"participant_id": 7, "total_time_ms": 5000}]},
        ["participants.0.participant_id"],
    ),
    (TWO | {"participants": people(1, total_time_ms=5000) * 2}, ["participants.1.participant_id"]),
    (
        TWO | {"participants": [p | {"participant_index": 5} for p in TWO["participants"]]},
        ["participants.1.participant_index"],
    ),
    (
        TWO | {"participants": people(1, total_time_ms=5000, participant_index=1000)},
        ["participants.0.participant_index"],
    ),
    (
        TWO | {"participants": people(1, total_time_ms=5000, participant_index=-1)},
        ["participants.0.participant_index"],
    ),
    (TWO | {"participants": people(1, total_time_ms=5000, nick="x")}, ["participants.0.nick"]),
    (TWO | {"participants": people(1, total_time_ms=5000, group_id="red")}, ["participants.0.group_id"]),
    (TWO | {"active_participant_id": P[5]}, ["active_participant_id"]),
    (TWO | {"active_participant_id": "white"}, ["active_participant_id"]),
    (TWO | {"total_time_ms": 999}, ["total_time_ms"]),
    (TWO | {"total_time_ms": LONGEST + 1}, ["total_time_ms"]),
    (TWO | {"max_time_ms": 999}, ["max_time_ms"]),
    (TWO | {"max_time_ms": LONGEST + 1}, ["max_time_ms"]),
    (TWO | {"time_per_cycle_ms": 999}, ["time_per_cycle_ms"]),
    (TWO | {"increment_ms": -1}, ["increment_ms"]),
    (TWO | {"increment_ms": LONGEST + 1}, ["increment_ms"]),
    (TWO | {"increment_ms": 1.5}, ["increment_ms"]),
    (TWO | {"increment_ms": "1"}, ["increment_ms"]),
    (TWO | {"increment_ms": True}, ["increment_ms"]),
    (TWO | {"auto_advance": 1}, ["auto_advance"]),
    (TWO | {"players_may_pause": "yes"}, ["players_may_pause"]),
    (TWO | {"lag_compensation": 1}, ["lag_compensation"]),
    (TWO | {"action_on_timeout": "notify"}, ["action_on_timeout"]),
    (TWO | {"action_on_timeout": {}}, ["action_on_timeout.type"]),
    (TWO | {"action_on_timeout": {"type": "explode"}}, ["action_on_timeout.type"]),
    (TWO | {"warnings_ms": 5}, ["warnings_ms"]),
    (TWO | {"warnings_ms": [5, -1]}, ["warnings_ms.1"]),
    (TWO | {"warnings_ms": [5, DAY + 1]}, ["warnings_ms.1"]),
    (TWO | {"warnings_ms": ["5"]}, ["warnings_ms.0"]),
    (TWO | {"warnings_ms": list(range(1, 10))}, ["warnings_ms"]),
    (TWO | {"metadata": []}, ["metadata"]),
    (TWO | {"metadata": "x"}, ["metadata"]),
    (TWO | {"time_control": 5}, ["time_control"]),
    (TWO | {"time_control": {"kind": "sand"}}, ["time_control.kind"]),
    (TWO | {"time_control": {}}, ["time_control.kind"]),
    (TWO | {"time_control": {"kind": "delay"}}, ["time_control.delay_ms"]),
    (TWO | {"time_control": {"kind": "delay", "delay_ms": LONGEST + 1}}, ["time_control.delay_ms"]),
    (
        TWO | {"time_control": {"kind": "delay", "delay_ms": 1, "increment_ms": 1}},
        ["time_control.increment_ms"],
    ),
    (
        TWO | {"time_control": {"kind": "bronstein", "delay_ms": 1, "overtime_ms": -1}},
        ["time_control.overtime_ms"],
    ),
    (TWO | {"time_control": {"kind": "fischer", "increment_ms": LONGEST + 1}}, ["time_control.increment_ms"]),
    (
        TWO | {"participants": people(1, total_time_ms=5000, time_control={"kind": "delay"})},
        ["participants.0.time_control.delay_ms"],
    ),
    ({"sync_mode": "per_cycle", "participants": people(2)}, ["time_per_cycle_ms"]),
    ({"sync_mode": "global", "participants": people(2)}, ["total_time_ms"]),
    (
        {
            "sync_mode": "per_cycle",
            "participants": people(2),
            "time_per_cycle_ms": 5000,
            "lag_compensation": True,
        },
        ["lag_compensation"],
    ),
    (
        {
            "sync_mode": "count_up",
            "participants": people(2),
            "time_control": {"kind": "fischer"},
            "action_on_timeout": {"type": "none"},
        },
        ["action_on_timeout.type", "time_control"],
    ),
    (
        {
            "sync_mode": "per_cycle",
            "participants": people(2),
            "time_per_cycle_ms": 5000,
            "auto_advance": True,
            "action_on_timeout": {"type": "end_session"},
        },
        ["action_on_timeout.type"],
    ),
    (group_game(participants=people(2)), ["participants.0.group_id", "participants.1.group_id"]),
    (
        group_game(groups=[{"group_id": g, "total_time_ms": 5000} for g in (*G[:2], "red", G[3])]),
        ["groups.2.group_id"],
    ),
    (group_game(participants=people(1, group_id=G[3])), ["participants.0.group_id"]),
    (
        group_game(groups=[{"group_id": G[0], "total_time_ms": 5000}] * 2),
        ["groups.1.group_id", "participants.1.group_id"],
    ),
    (
        group_game(groups=[{"group_id": G[0]}, {"group_id": G[1], "total_time_ms": 5000}]),
        ["groups.0.total_time_ms"],
    ),
    (
        {
            "sync_mode": "noon",
            "participants": [{"nick": 1}],
            "increment_ms": -1,
            "colour": 1,
            "warnings_ms": [-1],
        },
        [
            "colour",
            "increment_ms",
            "participants.0.nick",
            "participants.0.participant_id",
            "sync_mode",
            "warnings_ms.0",
        ],
    ),
]


@pytest.mark.parametrize(("config", "named"), PROBLEMS, ids=[",".join(p[1]) for p in PROBLEMS])
def test_every_problem_is_named(core: Driver, config: dict[str, Any], named: list[str]) -> None:
    assert fields(core, config) == named
    assert parse_config(config, SESSION, START)[1] == named


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"x"', '{"a":1}}', "\xff"])
def test_what_is_no_json_object(core: Driver, text: str) -> None:
    assert core.call("create", SESSION, [text], START).code == "VALIDATION_ERROR"
    assert core.snapshot() == {}


@pytest.mark.parametrize(
    "config",
    [
        players(1000, LONGEST, increment_ms=LONGEST, max_time_ms=LONGEST, total_time_ms=LONGEST),
        players(5000, warnings_ms=list(range(1, 9))),
        players(5000, warnings_ms=[DAY, 0]),
        players(5000, time_control={"kind": "delay", "delay_ms": LONGEST, "overtime_ms": LONGEST}),
        players(
            5000,
            **dict.fromkeys(
                ["groups", "time_control", "metadata", "warnings_ms", "session_id", "increment_ms"]
            ),
        ),
        players(5000, session_id=SESSION.upper()),
        {"sync_mode": "per_cycle", "participants": people(1), "time_per_cycle_ms": LONGEST},
        group_game(),
    ],
)
def test_bounds_are_within(core: Driver, config: dict[str, Any]) -> None:
    assert Game(core, config).created["version"] == 1


def test_ids_are_folded_and_indexes_default_to_positions(core: Driver) -> None:
    who = [
        {"participant_id": P[10].upper(), "total_time_ms": 5000},
        {"participant_id": P[2], "total_time_ms": 5000},
    ]
    state = Game(core, {"sync_mode": "per_participant", "participants": who}).created
    assert [(p["participant_id"], p["participant_index"]) for p in state["participants"]] == [
        (P[10], 0),
        (P[2], 1),
    ]


def test_the_state_of_a_new_session_in_full(core: Driver) -> None:
    created = Game(core, players(5000, 7000)).created
    idle: dict[str, Any] = {
        "group_id": None,
        "time_used_ms": 0,
        "cycle_count": 0,
        "is_active": False,
        "has_expired": False,
        "time_control": None,
        "clock": {},
    }
    assert created == {
        "session_id": SESSION,
        "sync_mode": "per_participant",
        "status": "pending",
        "version": 1,
        "epoch": created["epoch"],
        "schema": 1,
        "participants": [
            {
                "participant_id": P[0],
                "participant_index": 0,
                "total_time_ms": 5000,
                "time_remaining_ms": 5000,
                **idle,
            },
            {
                "participant_id": P[1],
                "participant_index": 1,
                "total_time_ms": 7000,
                "time_remaining_ms": 7000,
                **idle,
            },
        ],
        "groups": [],
        "active_participant_id": None,
        "active_group_id": None,
        "total_time_ms": 12_000,
        "time_per_cycle_ms": None,
        "increment_ms": 0,
        "max_time_ms": None,
        "time_control": {"kind": "fischer"},
        "lag_compensation": False,
        "time_used_ms": 0,
        "time_remaining_ms": None,
        "cycle_count": 0,
        "cycle_elapsed_ms": None,
        "auto_advance": False,
        "action_on_timeout": {"type": "end_session"},
        "warnings_ms": [],
        "players_may_pause": False,
        "players_may_choose_next": False,
        "metadata": {},
        "cycle_started_at": None,
        "deadline_ms": None,
        "resumes_at_ms": None,
        "total_remaining_ms": None,
        "max_pause_ms": None,
        "max_pauses": None,
        "max_total_pause_ms": None,
        "max_cycles": None,
        "pauses_left": None,
        "pause_remaining_ms": None,
        "starts_at_ms": None,
        "ends_at_ms": None,
        "session_started_at": None,
        "session_completed_at": None,
        "created_at": "2027-01-15T08:00:00.000Z",
        "updated_at": "2027-01-15T08:00:00.000Z",
        "server_time_ms": START,
        "tenant_id": None,
        "recovered": False,
        "recovered_at": None,
        "warning": None,
    }


METADATA = [
    "{}",
    '{"a":[]}',
    '{"a":{}}',
    '{"a":null}',
    '{"a":[null,[],{}]}',
    '{"n":9007199254740991}',
    '{"n":-9007199254740991}',
    '{"n":[0,-1,1.5,0.1]}',
    '{"é":"ü😀"}',
    '{"t":"\\u0000\\n\\"\\\\"}',
    '{"metadata":{"metadata":"}{"}}',
    '{"]":"[","a":{"}":["]","{"]}}',
    '{"a":"}","b":["\\"}","]"],"c":{"d":"{"}}',
    '{"b":1,"a":2}',
]


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("spaced", [False, True])
def test_metadata_comes_back_byte_for_byte(core: Driver, metadata: str, spaced: bool) -> None:
    who = json.dumps(people(1, total_time_ms=5000))
    inside = f'"metadata":{metadata}' if not spaced else f'\n "metadata" : {metadata}\t'
    game = Game(core, f'{{"sync_mode":"per_participant",{inside},"participants":{who}}}')
    for raw in (game.raw("get"), game.raw("get", "EXPORT")):
        assert f'"metadata":{metadata}'.encode() in raw.replace(b'"metadata": ', b'"metadata":')
        assert json.loads(raw)["metadata"] == json.loads(metadata)


def test_metadata_survives_a_restore(core: Driver) -> None:
    who = json.dumps(people(1, total_time_ms=5000))
    game = Game(core, f'{{"sync_mode":"per_participant","metadata":{METADATA[4]},"participants":{who}}}')
    exported = game.raw("get", "EXPORT").decode()
    core.run("FLUSHALL")
    assert f'"metadata":{METADATA[4]}'.encode() in game.raw("restore", exported)


@pytest.mark.parametrize(
    ("metadata", "fits"),
    [
        ({"x": "y" * (10_240 - 8)}, True),
        ({"x": "y" * (10_240 - 7)}, False),
        ({"x": "é" * 5116}, True),
        ({"x": "é" * 5117}, False),
        ({str(i): i for i in range(100)}, True),
        ({str(i): i for i in range(101)}, False),
    ],
)
def test_how_much_metadata_there_may_be(core: Driver, metadata: dict[str, Any], fits: bool) -> None:
    config = players(5000, metadata=metadata)
    if fits:
        text = json.dumps(config, ensure_ascii=False)
        assert Game(core, text).created["metadata"] == metadata
    else:
        assert fields(core, config) == ["metadata"]


def test_the_other_fields_of_the_action_travel_untouched(core: Driver) -> None:
    action: dict[str, Any] = {
        "type": "auto_action",
        "action": "bid",
        "list": [],
        "none": None,
        "deep": {"é": [1, {}]},
    }
    game = Game(core, players(5000, 5000, action_on_timeout=action)).start()
    assert game.created["action_on_timeout"] == action
    raw = game.raw("expire", at=5000)
    assert json.loads(raw)["payload"]["action_applied"] == action
    assert b'"list":[]' in raw.replace(b": ", b":")


JOINS: list[tuple[dict[str, Any], list[str]]] = [
    ({"participant_id": P[0], "total_time_ms": 5000}, ["participant_id"]),
    ({"participant_id": P[5], "total_time_ms": 5000, "participant_index": 1}, ["participant_index"]),
    ({"participant_id": P[5], "total_time_ms": 5000, "participant_index": 1000}, ["participant_index"]),
    ({"participant_id": P[5]}, ["total_time_ms"]),
    ({"participant_id": P[5], "total_time_ms": 1}, ["total_time_ms"]),
    ({"participant_id": "p", "total_time_ms": 1, "nick": 2}, ["nick", "participant_id", "total_time_ms"]),
    (
        {"participant_id": P[0], "participant_index": 0, "total_time_ms": 5000},
        ["participant_id", "participant_index"],
    ),
]


@pytest.mark.parametrize(("newcomer", "named"), JOINS)
def test_every_problem_of_a_newcomer_is_named(
    core: Driver, newcomer: dict[str, Any], named: list[str]
) -> None:
    game = Game(core, TWO)
    before = core.snapshot()
    with pytest.raises(RefusedError) as refused:
        game.do("join", json.dumps(newcomer))
    assert (refused.value.code, refused.value.answer.fields) == ("VALIDATION_ERROR", named)
    assert core.snapshot() == before


def test_a_newcomer_gets_the_index_after_the_highest(core: Driver) -> None:
    game = Game(core, players(5000, 5000)).start()
    game.do("join", json.dumps({"participant_id": P[7], "total_time_ms": 5000, "participant_index": 500}))
    event = game.do("join", json.dumps({"participant_id": P[8], "total_time_ms": 6000}))
    assert [p["participant_index"] for p in event["payload"]["participants"]] == [501]


def test_a_newcomer_needs_a_team_that_exists(core: Driver) -> None:
    game = Game(core, group_game())
    with pytest.raises(RefusedError) as refused:
        game.do("join", json.dumps({"participant_id": P[7], "group_id": G[4]}))
    assert (refused.value.code, refused.value.answer.fields) == ("VALIDATION_ERROR", ["group_id"])


STAGES = {"kind": "stages", "stages": [*[{"moves": 1, "time_ms": 1000}] * 3, {"time_ms": 1000}]}
TOO_MANY = {
    "field": "participants",
    "message": "must have at most 2000 stages together, where a time control of the session counts for each "
    "participant",
}


@pytest.mark.parametrize(("count", "shared"), [(500, True), (500, False), (501, True), (501, False)])
def test_all_clocks_together_have_at_most_2000_stages(core: Driver, count: int, shared: bool) -> None:
    """A control of the session counts for each participant."""
    own = {} if shared else {"time_control": STAGES}
    config: dict[str, Any] = {"sync_mode": "per_participant", "participants": people(count, **own)}
    if shared:
        config["time_control"] = STAGES
    answer = core.call("create", SESSION, [json.dumps(config)], START)
    if count > 500:
        assert answer.context["details"] == [TOO_MANY]
    else:
        assert answer.code is None


def test_who_joins_brings_no_more_stages_than_there_may_be(core: Driver) -> None:
    more = {"participant_id": P[600], "time_control": STAGES}
    game = Game(core, {"sync_mode": "per_participant", "participants": people(499, time_control=STAGES)})
    plain = {"participant_id": P[601], "total_time_ms": 1000}
    for joins in (more, None, plain, more):
        if joins is None:
            game.do("leave", P[600])
        elif joins is more and core.run("HGET", game.keys.session, "stages") == b"1997":
            with pytest.raises(RefusedError) as refused:
                game.do("join", json.dumps(joins))
            assert refused.value.answer.fields == ["time_control"]
        else:
            game.do("join", json.dumps(joins))
    assert core.run("HGET", game.keys.session, "stages") == b"1997"
    game.do("leave", P[0])
    game.do("join", json.dumps(more))


@pytest.mark.every_server
@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({f"x{i}": 0 for i in range(52_000)}, "config"),
        ({"participants": [{f"x{i}": 0 for i in range(30)}] * 1000}, "participants.0.x0"),
        (players(1000, 1000, warnings_ms=[[[[]]]] * 60_000), "config"),
        (players(1000, 1000, metadata={"x": ["\N{BEL}é"] * 40_000}), "metadata"),
        ({"participants": [{"participant_id": 5}] * 1000}, "participants.0.participant_id"),
    ],
    ids=["unknown names", "of participants", "lists", "metadata", "wrong participants"],
)
def test_what_is_far_too_much_is_refused_without_being_read(
    core: Driver, config: dict[str, Any], field: str
) -> None:
    text = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
    answer = core.call("create", SESSION, [text[:524_288]], START)
    assert answer.code == "VALIDATION_ERROR"
    assert field in answer.fields
    assert len(answer.context["details"]) <= 100


OVERTIME = {"kind": "fischer", "overtime_ms": 5000}
PLAIN = people(1, total_time_ms=9000, time_control={"kind": "fischer"})


@pytest.mark.parametrize(
    ("config", "lowest"),
    [
        (players(9000, 9000), 0),
        (players(9000, 9000, time_control=OVERTIME), -5000),
        (players(9000, 9000, time_control={"kind": "none"}) | {"participants": people(2)}, 0),
        (TWO | {"participants": people(1, total_time_ms=9000, time_control=OVERTIME)}, -5000),
        # nobody has the session's control
        (TWO | {"participants": PLAIN, "time_control": OVERTIME}, 0),
        (group_game(time_control=OVERTIME), -5000),
        ({"sync_mode": "per_cycle", "participants": people(2), "time_per_cycle_ms": 5000}, 0),
        ({"sync_mode": "global", "participants": people(2), "total_time_ms": 5000}, 0),
        ({"sync_mode": "count_up", "participants": people(2)}, 0),
    ],
)
def test_warnings_go_down_to_the_largest_overtime(core: Driver, config: dict[str, Any], lowest: int) -> None:
    wrong = config | {"warnings_ms": [5, lowest - 1]}
    with pytest.raises(RefusedError) as refused:
        Game(core, wrong)
    assert refused.value.answer.context["details"] == [
        {"field": "warnings_ms.1", "message": f"must be an integer from {lowest} to {DAY}"}
    ]
    warnings = [5, lowest, DAY]
    assert Game(core, config | {"warnings_ms": warnings}).created["warnings_ms"] == warnings


def test_a_wrong_control_is_no_reason_to_refuse_the_warnings_as_well(core: Driver) -> None:
    config = players(9000, warnings_ms=[-5000], time_control={"kind": "delay", "overtime_ms": 5000})
    assert fields(core, config) == ["time_control.delay_ms"]


NULLS: list[tuple[Any, Any]] = [
    (
        {"kind": "fischer", "increment_ms": None, "delay_ms": None, "periods": None, "overtime_ms": None},
        {"kind": "fischer"},
    ),
    ({"kind": "delay", "delay_ms": 5, "stages": None, "repeat": None}, {"kind": "delay", "delay_ms": 5}),
    (
        {"kind": "byoyomi", "periods": 1, "period_ms": 5, "increment_ms": None, "colour": None},
        {"kind": "byoyomi", "periods": 1, "period_ms": 5},
    ),
    (
        {
            "kind": "stages",
            "periods": None,
            "repeat": None,
            "stages": [
                {"moves": 1, "time_ms": 1000, "kind": None, "delay_ms": None, "overtime_ms": None},
                {"moves": None, "time_ms": 0, "kind": "delay", "delay_ms": 5, "increment_ms": None},
            ],
        },
        {
            "kind": "stages",
            "stages": [
                {"moves": 1, "time_ms": 1000, "kind": "fischer"},
                {"time_ms": 0, "kind": "delay", "delay_ms": 5},
            ],
        },
    ),
    (
        {"notation": "5+3", "kind": None, "increment_ms": None, "delay_ms": None, "stages": None},
        {"kind": "fischer", "increment_ms": 3000, "notation": "5+3"},
    ),
    (
        {"notation": "10+5x30", "increment_ms": 0},
        {"kind": "byoyomi", "periods": 5, "period_ms": 30_000, "notation": "10+5x30"},
    ),
    ({"notation": None, "kind": "none", "increment_ms": None}, {"kind": "none"}),
]


@pytest.mark.parametrize(("given", "meant"), NULLS)
@pytest.mark.parametrize("own", [False, True])
def test_null_inside_a_time_control_means_absent(core: Driver, given: Any, meant: Any, *, own: bool) -> None:
    bank = {} if meant["kind"] in {"stages", "none"} or "notation" in meant else {"total_time_ms": 5000}
    control = {"time_control": given}
    who = people(2, **bank, **(control if own else {}))
    config = {"sync_mode": "per_participant", "participants": who, **({} if own else control)}
    state = Game(core, config).created
    assert (state["participants"][0] if own else state)["time_control"] == meant
    newcomer = {"participant_id": P[5], "time_control": given, **bank}
    payload = Game(core, config, session=P[9]).do("join", json.dumps(newcomer))["payload"]
    assert payload["participants"][0]["time_control"] == meant


@pytest.mark.parametrize(
    ("control", "named"),
    [
        ({"kind": "delay", "delay_ms": None}, ["time_control.delay_ms"]),
        ({"kind": None}, ["time_control.kind"]),
        ({"kind": "stages", "stages": None}, ["time_control.stages"]),
        ({"kind": "stages", "stages": [{"time_ms": None}]}, ["time_control.stages.0.time_ms"]),
        ({"kind": "stages", "stages": [None]}, ["time_control.stages.0"]),
        (
            {"kind": "fischer", "notation": None},
            ["participants.0.total_time_ms", "participants.1.total_time_ms"],
        ),
    ],
)
def test_what_is_required_must_not_be_null(core: Driver, control: Any, named: list[str]) -> None:
    bank = {} if "notation" in control else {"total_time_ms": 5000}
    config = {"sync_mode": "per_participant", "participants": people(2, **bank), "time_control": control}
    assert fields(core, config) == named


def test_a_clients_own_objects_keep_their_nulls(core: Driver) -> None:
    action = {"type": "notify", "to": None, "list": [None]}
    game = Game(core, players(5000, 5000, action_on_timeout=action, metadata={"a": None})).start()
    assert game.do("expire", at=5000)["payload"]["action_applied"] == action
    assert game.state()["metadata"] == {"a": None}


@pytest.mark.parametrize(("count", "fits"), [(500, True), (501, False)])
@pytest.mark.parametrize("own", [False, True])
def test_the_stages_of_a_team_count_for_each_member(
    core: Driver, count: int, *, fits: bool, own: bool
) -> None:
    control = {"time_control": STAGES}
    who = [{"participant_id": P[i], "group_id": G[i % 2]} for i in range(count)]
    groups = [{"group_id": g, **(control if own else {})} for g in G[:2]]
    config = {"sync_mode": "per_group", "participants": who, "groups": groups, **({} if own else control)}
    if not fits:
        assert fields(core, config) == ["participants"]
        return
    game = Game(core, config)
    if not own:
        with pytest.raises(RefusedError) as refused:
            game.do("join", json.dumps({"participant_id": P[900], "group_id": G[0]}))
        assert refused.value.answer.fields == ["group_id"]
        game.do("leave", P[0])
        game.do("join", json.dumps({"participant_id": P[900], "group_id": G[0]}))
