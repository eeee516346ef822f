"""sk_import: a session goes on from where it stands, and a standing that no session can have is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synckairos.core.keys import SessionKeys
from tests.core.game import SESSION, START, G, Game, Json, P, people, players
from tests.model.driver import Driver

COPY = SESSION.replace("5e55", "c0c0")
NOTIFY = {"type": "notify"}
IN_GROUPS = [
    {"participant_id": P[i], "group_id": G[i], "total_time_ms": 30_000, "participant_index": 2 * i}
    for i in range(4)
]

CONFIGS: dict[str, Json] = {
    "fischer": players(60_000, 50_000, 40_000, increment_ms=2000, warnings_ms=[45_000, 30_000, 10_000]),
    "delay": players(60_000, 50_000, time_control={"kind": "delay", "delay_ms": 5000}),
    "byoyomi": players(60_000, 50_000, time_control={"kind": "byoyomi", "periods": 2, "period_ms": 5000}),
    "hourglass": players(60_000, 50_000, time_control={"kind": "hourglass"}),
    "none": {"sync_mode": "per_participant", "participants": people(2), "time_control": {"kind": "none"}},
    "notify": players(15_000, 50_000, action_on_timeout=NOTIFY),
    "skip_cycle": players(15_000, 50_000, 50_000, action_on_timeout={"type": "skip_cycle"}),
    "per_group": {"sync_mode": "per_group", "participants": IN_GROUPS},
    "per_cycle": {"sync_mode": "per_cycle", "participants": people(3), "time_per_cycle_ms": 30_000},
    "global": {"sync_mode": "global", "participants": people(3), "total_time_ms": 300_000},
    "a total": {
        "sync_mode": "global",
        "participants": people(3),
        "total_time_ms": 300_000,
        "time_per_cycle_ms": 30_000,
    },
    "count_up": {"sync_mode": "count_up", "participants": people(2), "max_time_ms": 300_000},
    "bounds": players(60_000, 50_000, max_pauses=5, max_cycles=40, ends_at_ms=START + 200_000),
}
STORIES: dict[str, list[str]] = {
    "pending": [],
    "running": ["start", "switch", "switch"],
    "paused": ["start", "switch", "pause", "resume", "switch", "pause"],
    "completed": ["start", "switch", "complete"],
}
NEW_HERE = {"session_id", "version", "epoch", "updated_at", "session_started_at", "session_completed_at"}


def standing(state: Json, config: Json) -> Json:
    """The standing of a session that is not in the middle of a pause or of a cycle of a total."""

    def owner(each: Json, name: str) -> Json:
        found = {key: each[key] for key in (name, "time_used_ms", "cycle_count", "has_expired")}
        return found | {"bank_ms": each["total_time_ms"]}

    elapsed = state["cycle_elapsed_ms"] or 0
    found = {
        "status": state["status"],
        "active_participant_id": state["active_participant_id"],
        "cycle_started_ms": state["server_time_ms"] - elapsed,
        "created_ms": START,
        "started_ms": START,
        "time_used_ms": state["time_used_ms"],
        "cycle_count": state["cycle_count"],
        "participants": [owner(each, "participant_id") for each in state["participants"]],
        "groups": [owner(each, "group_id") for each in state["groups"]],
        "bank_ms": (state["time_remaining_ms"] or 0) + elapsed,
        "total_left_ms": state["total_remaining_ms"] and state["total_remaining_ms"] + elapsed,
        "pauses_left": state["pauses_left"],
        "pause_remaining_ms": state["pause_remaining_ms"],
    }
    if config["sync_mode"] == "count_up":
        found["bank_ms"] = state["max_time_ms"] - state["time_used_ms"]
    if config["sync_mode"] == "global" and "time_per_cycle_ms" not in config:
        found["bank_ms"] = state["total_time_ms"]
    if state["status"] == "pending" and config["sync_mode"] == "per_cycle":
        found["bank_ms"] = config["time_per_cycle_ms"]
    return {name: value for name, value in found.items() if value is not None}


def steady(state: Json) -> Json:
    return {name: value for name, value in state.items() if name not in NEW_HERE}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_session_goes_on_as_the_one_that_it_is_taken_from(core: Driver, name: str, story: str) -> None:
    game = Game(core, CONFIGS[name])
    now = 0
    for function in STORIES[story]:
        pause = function in ("pause", "resume", "complete")  # at the start of a cycle, so that nothing ran
        now += 0 if pause else 9000
        game.do(function, at=now)
    now += 0 if story == "paused" else 1000
    state = game.state(at=now)
    text = json.dumps(CONFIGS[name])
    answer = core.call("import", COPY, [text, json.dumps(standing(state, CONFIGS[name]))], START + now)
    assert answer.code is None, answer.text
    if story == "running":
        assert steady(json.loads(answer.value)) == steady(state)
    keys, copied = SessionKeys.of(SESSION), SessionKeys.of(COPY)
    alarms = {core.run("ZSCORE", keys.alarms, SESSION), core.run("ZSCORE", keys.alarms, COPY)}
    assert len(alarms) == 1
    for function in {"pending": ["start"], "paused": ["resume"]}.get(story, []) + ["switch"] * 3:
        now += 2000
        one = core.call(function, SESSION, [], START + now)
        other = core.call(function, COPY, [], START + now)
        assert (one.code, one.context) == (other.code, other.context)
        if one.code is None:
            assert json.loads(one.value)["payload"] == json.loads(other.value)["payload"]
    assert core.run("PTTL", keys.session) == pytest.approx(core.run("PTTL", copied.session), abs=5000)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**16), 10**16),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", *P[:3], *G[:2], "running", "paused", "pending", "expired", "completed"]),
    st.lists(st.integers(), max_size=2),
)
NAMES = ["status", "active_participant_id", "cycle_started_ms", "created_ms", "started_ms", "completed_ms"]
NAMES += ["time_used_ms", "cycle_count", "bank_ms", "total_left_ms", "participants", "groups", "odd"]
NAMES += ["pauses_left", "pause_remaining_ms"]
OWNER_NAMES = ["participant_id", "group_id", "bank_ms", "time_used_ms", "cycle_count", "has_expired", "odd"]


@st.composite
def odd_standings(draw: st.DrawFn) -> tuple[str, Json]:
    name = draw(st.sampled_from(sorted(CONFIGS)))
    config = CONFIGS[name]
    people = [{"participant_id": each["participant_id"], "bank_ms": 5000} for each in config["participants"]]
    groups = [{"group_id": G[i], "bank_ms": 5000} for i in range(4)] if name == "per_group" else []
    found: Json = {"status": draw(st.sampled_from(["running", "paused", "pending", "expired"]))}
    found |= {"active_participant_id": P[0], "participants": people, "groups": groups}
    for _ in range(draw(st.integers(0, 4))):
        found[draw(st.sampled_from(NAMES))] = draw(VALUES)
        for owners in (found["participants"], found["groups"]):
            if isinstance(owners, list) and owners and isinstance(owners[0], dict):
                draw(st.sampled_from(owners))[draw(st.sampled_from(OWNER_NAMES))] = draw(VALUES)
    return name, found


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(odd=odd_standings(), options=st.sampled_from([[], ["DRYRUN"], ["TTL", "5"]]))
def test_any_standing_is_taken_whole_or_refused(
    core: Driver, odd: tuple[str, Json], options: list[str]
) -> None:
    core.run("FLUSHALL")
    core.load()
    name, found = odd
    answer = core.call("import", COPY, [json.dumps(CONFIGS[name]), json.dumps(found), *options], START)
    if answer.code is not None:
        assert answer.code == "VALIDATION_ERROR", answer.text
        assert answer.fields
    if answer.code is not None or options == ["DRYRUN"]:
        assert answer.value is None
        assert core.snapshot() == {}
        return
    state = json.loads(answer.value)
    assert state["status"] == found["status"]
    (event,) = core.call("log", COPY, ["0"]).value
    assert json.loads(event)["payload"]["event"] == "session.created"
    exported: Any = core.call("get", COPY, ["EXPORT"]).value
    core.run("DEL", *SessionKeys.of(COPY).all)
    assert core.call("restore", COPY, [exported], START).code is None


def test_what_is_left_of_the_pauses_is_told(core: Driver) -> None:
    config = players(60_000, 60_000, max_pauses=3, max_total_pause_ms=9000)
    banks = [{"participant_id": each, "bank_ms": 5000} for each in P[:2]]
    stood = {"status": "paused", "active_participant_id": P[0], "participants": banks}
    for told, left in (({}, (3, 9000)), ({"pauses_left": 0, "pause_remaining_ms": 4000}, (0, 4000))):
        core.run("FLUSHALL")
        answer = core.call("import", COPY, [json.dumps(config), json.dumps(stood | told)], START)
        assert answer.code is None, answer.text
        state = json.loads(core.call("get", COPY, [], START + 1000).value)
        assert (state["pauses_left"], state["pause_remaining_ms"]) == left
        assert state["resumes_at_ms"] is None, "a pause that began elsewhere does not end"
    core.run("FLUSHALL")
    for name, most in (("pauses_left", 3), ("pause_remaining_ms", 9000)):
        for value in (-1, most + 1, 0.5, "1"):
            text = json.dumps(stood | {name: value})
            assert core.call("import", COPY, [json.dumps(config), text], START).fields == [name]
        unbounded = json.dumps(players(60_000, 60_000))
        text = json.dumps(stood | {name: 0})
        assert core.call("import", COPY, [unbounded, text], START).fields == [name]


def test_only_what_is_pending_is_imported_with_a_start(core: Driver) -> None:
    config = json.dumps(players(60_000, 60_000, starts_at_ms=START + 5000))
    banks = [{"participant_id": each, "bank_ms": 5000} for each in P[:2]]
    stood = {"status": "running", "active_participant_id": P[0], "participants": banks}
    assert core.call("import", COPY, [config, json.dumps(stood)], START).fields == ["status"]
    pending = {"status": "pending", "participants": banks}
    assert core.call("import", COPY, [config, json.dumps(pending)], START).code is None
    assert core.run("ZSCORE", SessionKeys.of(COPY).alarms, COPY) == START + 5000
    event = json.loads(core.call("expire", COPY, [], START + 5000).value)
    assert event["payload"]["event"] == "session.started"


def test_who_is_out_is_not_imported_as_running(core: Driver) -> None:
    banks = [{"participant_id": P[0], "has_expired": True}, {"participant_id": P[1], "bank_ms": 5000}]
    stood = {"status": "running", "active_participant_id": P[0], "participants": banks}
    for lag in (False, True):
        config = json.dumps(players(60_000, 60_000, lag_compensation=lag))
        assert core.call("import", COPY, [config, json.dumps(stood)], START).fields == [
            "active_participant_id"
        ]
        other = json.dumps(stood | {"active_participant_id": P[1]})
        assert core.call("import", COPY, [config, other, "DRYRUN"], START).code is None


def test_refusals_of_an_import(core: Driver) -> None:
    config, stood = json.dumps(CONFIGS["global"]), {"status": "pending"}
    stood["participants"] = [{"participant_id": each} for each in P[:3]]  # type: ignore[assignment]
    text = json.dumps(stood)
    game = Game(core, CONFIGS["fischer"])
    assert core.call("import", SESSION, [config, text]).code == "SESSION_EXISTS"
    game.raw("delete")
    assert core.call("import", SESSION, [config, text]).code == "SESSION_EXISTS", "there is a tombstone"
    assert core.call("import", COPY, []).fields == ["config"]
    assert core.call("import", COPY, [config]).fields == ["standing"]
    assert core.call("import", COPY, [config, "{}", "VERSION", "1"]).fields == ["VERSION", "status"]
    two = {**stood, "participants": stood["participants"][:2]}
    assert core.call("import", COPY, [config, json.dumps(two)]).fields == ["participants"]
    assert core.call("import", COPY, [config, text, "TENANT", "club"]).code is None
    assert core.call("get", COPY, ["TENANT", "other"]).code == "SESSION_NOT_FOUND"
