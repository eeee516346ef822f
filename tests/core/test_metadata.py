"""`sk_metadata`: the client's own data changes by a JSON merge patch, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import START, Game, Json, P, RefusedError, players
from tests.model.driver import Driver

TITLE = {"title": "Club night", "names": {P[0]: "Anna", P[1]: "Ben"}}


def game_of(core: Driver, metadata: Any = None, **config: Any) -> Game:
    """A game of two with 60 s each."""
    return Game(
        core, players(60_000, 60_000, **({} if metadata is None else {"metadata": metadata}), **config)
    )


def patch(game: Game, value: Any, *options: str | int, at: int | None = None) -> Json:
    """The payload of a change. value: the patch, as text or not."""
    text = value if isinstance(value, str) else json.dumps(value)
    payload: Json = game.do("metadata", text, *options, at=at)["payload"]
    return payload


def kept(game: Game) -> str:
    """The metadata in the state, as text."""
    text: str = game.raw("get").decode()
    before, after = '"players_may_pause":false,"metadata":', ',"max_pauses":'
    return text[text.index(before) + len(before) : text.rindex(after)]


def refused(game: Game, value: Any, *options: str | int) -> list[tuple[str, str]]:
    """Fields and messages of a patch that is refused, which changes nothing."""
    before = game.core.snapshot()
    with pytest.raises(RefusedError) as caught:
        patch(game, value, *options)
    assert game.core.snapshot() == before
    assert caught.value.code == "VALIDATION_ERROR"
    return [(each["field"], each["message"]) for each in caught.value.answer.context["details"]]


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        # The examples of RFC 7396 whose document and patch are objects.
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
        # What cjson would lose.
        ('{"a":{}}', '{"b":[],"c":{},"d":[null,{"e":null}]}', '{"a":{},"b":[],"c":{},"d":[null,{"e":null}]}'),
        (
            '{"a":9007199254740991}',
            '{"b":1.0,"c":1e2,"d":-0}',
            '{"a":9007199254740991,"b":1.0,"c":1e2,"d":-0}',
        ),
        ('{"a":{"b":[]},"c":[{}]}', '{"a":{"d":null,"e":{}}}', '{"a":{"b":[],"e":{}},"c":[{}]}'),
        # Space is left out, but for that in strings; brackets in strings are text.
        ('{"a":"} ]","b":2}', ' { "c" : [ 1 , "{ \\" }" ] } ', '{"a":"} ]","b":2,"c":[1,"{ \\" }"]}'),
        # A name is the same however it is written, and stays as it was written first.
        ('{"\\u0061":1,"b":2}', '{"a":3}', '{"\\u0061":3,"b":2}'),
        ('{"a":1}', '{"\\u0061":null,"\\"":1}', '{"\\"":1}'),
        ('{"a":1}', '{"a":2,"a":3}', '{"a":3}'),
    ],
)
@pytest.mark.parametrize("schema", ["1", "2"])
def test_a_merge_patch(core: Driver, schema: str, before: str, change: str, after: str) -> None:
    config = json.dumps(players(60_000, 60_000, action_on_timeout={"type": "notify", "metadata": {"a": 7}}))
    game = Game(core, config[:-1] + f', "metadata": {before}}}', "SCHEMA", schema)
    assert kept(game) == before
    event = game.raw("metadata", change).decode()
    assert event.endswith(f',"actor":null,"trace":null,"metadata":{after}}}}}')
    assert kept(game) == after
    state = game.state()
    assert (state["version"], state["schema"]) == (2, int(schema))
    assert state["action_on_timeout"] == {"type": "notify", "metadata": {"a": 7}}


def test_the_event_is_as_others_and_no_clock_moves(core: Driver) -> None:
    game = game_of(core, TITLE, warnings_ms=[30_000], increment_ms=2000).start(at=1000)
    before = game.state(at=5000)
    event = game.do(
        *("metadata", '{"names": {"x": "Cleo"}, "message": {"text": "Time!"}}'), *("ACTOR", "chair"), at=5000
    )
    payload = event.pop("payload")
    assert (event["type"], event["version"], event["server_time_ms"]) == ("STATE_UPDATE", 3, START + 5000)
    assert payload == {
        "event": "metadata.changed",
        "reason": "manual",
        "status": "running",
        "active_participant_id": P[0],
        "active_group_id": None,
        "cycle_started_at": before["cycle_started_at"],
        "deadline_ms": START + 61_000,
        "time_remaining_ms": 56_000,
        "cycle_count": 0,
        "participants": [],
        "groups": [],
        "actor": "chair",
        "trace": None,
        "metadata": TITLE | {"names": {P[0]: "Anna", P[1]: "Ben", "x": "Cleo"}, "message": {"text": "Time!"}},
    }
    after = game.state(at=5000)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"metadata", "version", "updated_at"}
    assert game.alarm() == 31_000
    assert [json.loads(each) for each in game.raw("log", 2)] == [event | {"payload": payload}]


ENDINGS = {"completed": "complete", "cancelled": "cancel", "expired": "expire"}


@pytest.mark.parametrize("status", ["pending", "running", "paused", *ENDINGS])
def test_in_every_status(core: Driver, status: str) -> None:
    game = game_of(core)
    if status != "pending":
        game.start()
    if status == "paused":
        game.do("pause", at=1000)
    elif status in ENDINGS:
        game.do(ENDINGS[status], at=60_000)
    life = game.core.run("PTTL", game.keys.session)
    payload = patch(game, {"next_session": "x"}, at=2000)
    assert (payload["event"], payload["status"]) == ("metadata.changed", status)
    assert game.state()["metadata"] == {"next_session": "x"}
    assert game.alarm() == (60_000 if status == "running" else None)
    assert abs(game.core.run("PTTL", game.keys.session) - life) < 61_000


@pytest.mark.parametrize("value", ["{}", '{"none":null}', {"title": "Club night"}, {"names": {}}, TITLE])
def test_a_patch_that_changes_nothing_makes_no_version(core: Driver, value: Any) -> None:
    game = game_of(core, TITLE)
    before = game.core.snapshot()
    assert game.raw("metadata", value if isinstance(value, str) else json.dumps(value)) is None
    assert game.core.snapshot() == before


def test_an_empty_object_is_a_change_where_none_was(core: Driver) -> None:
    game = game_of(core, {"a": 1})
    assert patch(game, {"a": {}})["metadata"] == {"a": {}}
    assert patch(game, {"b": {}})["metadata"] == {"a": {}, "b": {}}
    assert game.raw("metadata", '{"a":{},"b":{"c":null}}') is None


@pytest.mark.parametrize(
    "value",
    [
        *("[]", "1", '"a"', "null", "", "{", '{"a":1}}', '{"a":01}', '{"a":NaN}', '{"a":"\\ud800"}'),
        *('{"a":"\n"}', '{"a":' * 65 + "1" + "}" * 65, '{"a":' + "[" * 64 + "]" * 64 + "}"),
    ],
)
def test_a_patch_has_to_be_an_object(core: Driver, value: str) -> None:
    game = game_of(core, TITLE)
    assert refused(game, value) == [
        ("metadata", "must be a JSON object, in which lists and objects are at most 64 deep")
    ]


def test_what_is_wrong_with_other_patches_and_calls(core: Driver) -> None:
    game = game_of(core, TITLE)
    with pytest.raises(RefusedError) as caught:
        game.do("metadata")
    assert caught.value.answer.context["details"] == [{"field": "metadata", "message": "is required"}]
    assert refused(game, '{"a":"' + "x" * 32_768 + '"}') == [("metadata", "must be at most 32768 bytes")]
    assert [field for field, _ in refused(game, "{}", "PLAYER", P[0])] == ["PLAYER"]
    assert [field for field, _ in refused(game, "[]", "REASON", "x")] == ["metadata", "REASON"]
    assert "must be UTF-8" in core.fcall("sk_metadata", game.keys.all, [b'{"a":"\xff"}']).text


def test_the_deepest_object(core: Driver) -> None:
    game = game_of(core)
    deepest = '{"a":' * 63 + '{"b":1}' + "}" * 63
    assert patch(game, deepest)["metadata"] == json.loads(deepest)
    patch(game, deepest.replace('"b":1', '"c":2'))
    assert kept(game) == deepest.replace('"b":1', '"b":1,"c":2')
    exported = game.raw("get", "EXPORT").decode()
    game.core.run("DEL", game.keys.session, game.keys.log)
    assert kept_after_restore(game, exported) == deepest.replace('"b":1', '"b":1,"c":2')


def kept_after_restore(game: Game, exported: str) -> str:
    game.raw("restore", exported)
    return kept(game)


def test_it_has_at_most_a_hundred_keys(core: Driver) -> None:
    game = game_of(core, {f"k{i}": i for i in range(99)})
    many = {"a": 1, "b": 1}
    assert refused(game, many) == [
        ("metadata", "must have at most 100 keys: with this patch it would have 101")
    ]
    patch(game, many | {"k0": None})
    assert len(game.state()["metadata"]) == 100
    patch(game, {f"k{i}": None for i in range(99)} | {f"n{i}": {"x": i} for i in range(98)})
    assert len(game.state()["metadata"]) == 100
    assert len(patch(game, {"in": {str(i): i for i in range(101)}, "a": None})["metadata"]["in"]) == 101


def test_it_has_at_most_10240_bytes(core: Driver) -> None:
    config = json.dumps(players(60_000, 60_000, metadata={"a": "é" * 5000}), ensure_ascii=False)
    game = Game(core, config)
    room = 10_240 - len('{"a":"","b":""}') - 10_000
    assert refused(game, {"b": "x" * (room + 1)}) == [
        ("metadata", "must be at most 10240 bytes of compact JSON: with this patch it would be 10241")
    ]
    patch(game, {"b": "x" * room})
    assert len(kept(game).encode()) == 10_240
    assert patch(game, {"a": None})["metadata"] == {"b": "x" * room}


@pytest.mark.parametrize("schema", ["1", "2"])
def test_a_call_may_convert_the_session(core: Driver, schema: str) -> None:
    game = Game(core, players(60_000, 60_000, metadata=TITLE), "SCHEMA", schema)
    other = "12"[schema == "1"]
    patch(game, {"a": [1]}, "SCHEMA", other)
    assert game.state()["metadata"] == TITLE | {"a": [1]}
    hash_of = core.run("HGETALL", game.keys.session)
    assert {b"shown", b"action"} <= hash_of.keys() if other == "1" else b"fixed" in hash_of
    assert (b"fixed" in hash_of) == (b"shown" not in hash_of) == (other == "2")
    patch(game, dict.fromkeys([*TITLE, "a"], None), "SCHEMA", other)
    assert (kept(game), game.state()["schema"]) == ("{}", int(other))
    patch(game, TITLE, "SCHEMA", schema)
    assert (game.state()["metadata"], game.state()["schema"]) == (TITLE, int(schema))


def test_a_session_that_goes_back_has_the_hash_of_one_that_was_never_patched(core: Driver) -> None:
    game = game_of(core, TITLE)
    fields = core.run("HGETALL", game.keys.session)
    patch(game, {"a": 1})
    patch(game, {"a": None})
    after = core.run("HGETALL", game.keys.session)
    assert fields.keys() == after.keys()
    assert {name for name in fields if fields[name] != after[name]} <= {b"version", b"cycle"}


# What is due comes first.


def test_an_expiry_that_is_due_comes_first_and_the_same_request_is_carried_out_then(core: Driver) -> None:
    game = game_of(core, TITLE).start()
    call = ("metadata", '{"message":"out"}', "REQUEST", "m1", "ACTOR", "chair")
    payload = game.do(*call, at=60_000)["payload"]
    assert (payload["event"], payload["expired_participant_id"]) == ("session.expired", P[0])
    assert game.state()["metadata"] == TITLE
    first = game.do(*call)
    assert first["payload"]["metadata"] == TITLE | {"message": "out"}
    assert (first["version"], first["payload"]["status"]) == (4, "expired")
    assert game.do(*call) == first | {"replayed": True}


def test_a_start_and_the_end_of_a_pause_come_first(core: Driver) -> None:
    game = game_of(core, starts_at_ms=START + 5000, max_pause_ms=1000)
    assert patch(game, {"a": 1}, at=5000)["event"] == "session.started"
    assert patch(game, {"a": 1}, at=5000)["event"] == "metadata.changed"
    game.do("pause", at=6000)
    assert patch(game, {"a": 2}, at=6500)["resumes_at_ms"] == START + 7000
    assert patch(game, {"a": 3}, at=7000)["event"] == "session.resumed"
    assert game.state()["metadata"] == {"a": 2}


def test_of_a_patch_that_is_refused_nothing_comes_even_when_something_is_due(core: Driver) -> None:
    game = game_of(core).start()
    game.core.at(START + 60_000)
    assert refused(game, {"a": "x" * 10_240})[0][0] == "metadata"


# Beside other functions.


def test_version_and_epoch_are_asked_for(core: Driver) -> None:
    game = game_of(core)
    patch(game, {"a": 1}, "VERSION", 1, "EPOCH", game.created["epoch"])
    with pytest.raises(RefusedError) as caught:
        patch(game, {"a": 2}, "VERSION", 1)
    assert caught.value.code == "CONCURRENT_MODIFICATION"
    with pytest.raises(RefusedError) as caught:
        patch(game, {"a": 2}, "TENANT", "club")
    assert caught.value.code == "SESSION_NOT_FOUND"
    with pytest.raises(RefusedError) as caught:
        game.do("start", "VERSION", 1)
    assert caught.value.code == "CONCURRENT_MODIFICATION"


def test_it_does_not_keep_a_turn_from_being_taken_back_and_stays(core: Driver) -> None:
    game = game_of(core, TITLE).start()
    game.do("switch", at=1000)
    patch(game, {"x": '","event":"turn.taken_back","turns":9,"participants":[{"'}, at=2000)
    game.do("switch", at=3000)
    patch(game, {"y": 1}, at=4000)
    taken = game.do("takeback", "TURNS", 2, at=5000)["payload"]
    assert (taken["event"], taken["active_participant_id"], taken["cycle_count"]) == (
        "turn.taken_back",
        P[0],
        0,
    )
    assert {"x", "y"} <= game.state()["metadata"].keys()


def test_it_outlives_a_reset_and_a_reopening(core: Driver) -> None:
    game = game_of(core, TITLE).start()
    game.do("complete", at=1000)
    patch(game, {"a": 1})
    game.do("reopen", at=2000)
    game.do("reset", at=3000)
    assert game.state()["metadata"] == TITLE | {"a": 1}


def test_however_often_it_changes_the_log_stays_as_long_as_ever(core: Driver) -> None:
    game = game_of(core).start()
    for turn in range(200):
        patch(game, {"text": f"{turn:05}" * 2000})
    assert 64 <= core.run("XLEN", game.keys.log) <= 68
    assert len(game.raw("log", 200 + 2 - 64)) == 64
    assert len(core.run("HGETALL", game.keys.session)[b"shown"]) < 11_000


def test_a_restored_session_has_the_newest(core: Driver) -> None:
    game = game_of(core, TITLE).start()
    patch(game, {"a": [], "title": None}, at=1000)
    exported = game.raw("get", "EXPORT").decode()
    core.run("DEL", game.keys.session, game.keys.log)
    assert kept_after_restore(game, exported).endswith(',"a":[]}')
    assert patch(game, {"b": {}})["metadata"] == {"names": TITLE["names"], "a": [], "b": {}}
