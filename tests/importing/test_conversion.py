"""Each mode in each status, with and without what may be missing; the times left are worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.importing.conftest import Target
from tests.importing.olders import (
    NOW,
    SESSION,
    G,
    Json,
    P,
    bare,
    first_version,
    iso,
    live,
    over,
    person,
    session,
)

MODES = ["per_participant", "per_cycle", "per_group", "global", "count_up"]


def example(mode: str) -> Json:
    """Anna has 50 s left of her minute and Ben 35 s; the two have used 10 s and 25 s in four cycles."""
    people = [
        person(0, 50_000, time_used_ms=10_000, cycle_count=2),
        person(1, 35_000, time_used_ms=25_000, cycle_count=2),
    ]
    more: dict[str, Any] = {}
    if mode == "per_group":
        people = [{**each, "group_id": G[place]} for place, each in enumerate(people)]
    if mode == "per_cycle":
        more = {"time_per_cycle_ms": 30_000}
    if mode == "count_up":
        more = {"max_time_ms": 600_000}
    return session(mode, *people, **more)


# What is left on the clock of the current cycle, with Ben active for 4 s or paused, and the clock's owners
RUNNING_LEFT = {"per_participant": 31_000, "per_cycle": 31_000, "per_group": 31_000, "global": 31_000}
RUNNING_LEFT |= {"count_up": 600_000 - 35_000 - 4000}


@pytest.mark.parametrize("mode", MODES)
def test_a_running_session_goes_on_without_a_jump(target: Target, mode: str) -> None:
    state = target.bring(live(example(mode), 1, 4000))
    assert state is not None, target.bad
    assert (state["sync_mode"], state["status"], state["version"]) == (mode, "running", 1)
    assert (state["time_remaining_ms"], state["cycle_elapsed_ms"]) == (RUNNING_LEFT[mode], 4000)
    assert state["deadline_ms"] == NOW + RUNNING_LEFT[mode]
    assert (state["active_participant_id"], state["time_used_ms"], state["cycle_count"]) == (P[1], 35_000, 4)
    assert [each["time_used_ms"] for each in state["participants"]] == [10_000, 25_000]
    assert [each["cycle_count"] for each in state["participants"]] == [2, 2]
    assert [each["is_active"] for each in state["participants"]] == [False, True]
    assert (state["session_started_at"], state["created_at"]) == (iso(NOW - 2_000_000), iso(NOW - 3_000_000))
    assert target.driver.run("ZSCORE", "sk:{ab}:alarms", SESSION) == float(state["deadline_ms"])
    later = target.state(at=NOW + 10_000)
    assert later["time_remaining_ms"] == RUNNING_LEFT[mode] - 10_000


@pytest.mark.parametrize("mode", MODES)
def test_a_paused_session_stands_as_it_stood(target: Target, mode: str) -> None:
    """A pause there has charged the cycle already."""
    state = target.bring(live(example(mode), 1, None))
    assert state is not None, target.bad
    left = RUNNING_LEFT[mode] + 4000
    assert (state["status"], state["time_remaining_ms"], state["cycle_elapsed_ms"]) == ("paused", left, 0)
    assert (state["deadline_ms"], state["resumes_at_ms"]) == (None, None)
    resumed = json.loads(target.call("resume", at=NOW + 90_000).value)
    assert resumed["payload"]["deadline_ms"] == NOW + 90_000 + left


@pytest.mark.parametrize("mode", MODES)
def test_a_pending_session_can_be_started(target: Target, mode: str) -> None:
    state = target.bring(example(mode))
    assert state is not None, target.bad
    assert (state["status"], state["active_participant_id"]) == ("pending", None)
    started = json.loads(target.call("start", at=NOW + 1000).value)["payload"]
    left = {"per_cycle": 30_000, "count_up": 565_000}.get(mode, 50_000)
    assert (started["active_participant_id"], started["time_remaining_ms"]) == (P[0], left)


@pytest.mark.parametrize("status", ["expired", "completed", "cancelled"])
@pytest.mark.parametrize("mode", MODES)
def test_a_session_that_is_over_stays_over(target: Target, mode: str, status: str) -> None:
    state = target.bring(over(example(mode), status))
    assert state is not None, target.bad
    assert (state["status"], state["active_participant_id"]) == (status, None)
    assert state["session_completed_at"] == iso(NOW - 60_000)
    assert [each["time_used_ms"] for each in state["participants"]] == [10_000, 25_000]
    if mode == "per_participant":
        assert [each["time_remaining_ms"] for each in state["participants"]] == [50_000, 35_000]
    assert target.call("switch").code == "INVALID_SESSION_STATE"
    assert target.driver.run("EXISTS", "sk:{ab}:alarms") == 0


@pytest.mark.parametrize("strip", [bare, first_version])
@pytest.mark.parametrize("status", ["pending", "running", "paused", "expired", "completed", "cancelled"])
@pytest.mark.parametrize("mode", MODES)
def test_what_may_be_missing_may_be_missing(target: Target, mode: str, status: str, strip: Any) -> None:
    old = example(mode)
    if status in ("running", "paused"):
        old = live(old, 1, 4000 if status == "running" else None)
    elif status != "pending":
        old = over(old, status)
    state = target.bring(strip(old))
    assert state is not None, target.bad
    assert (state["status"], state["time_used_ms"], state["cycle_count"]) == (status, 0, 0)
    if status in ("running", "paused"):
        ran = 4000 if status == "running" else 0
        most = None if strip is bare else 600_000 - ran  # count_up; its maximum may be missing, too
        assert state["time_remaining_ms"] == (most if mode == "count_up" else 35_000 - ran)


def test_each_participant_keeps_the_clock(target: Target) -> None:
    state = target.bring(live(example("per_participant"), 1, 4000))
    assert state is not None
    assert [each["time_remaining_ms"] for each in state["participants"]] == [50_000, 31_000]
    assert [each["total_time_ms"] for each in state["participants"]] == [50_000, 35_000]
    target.call("switch")
    assert [each["total_time_ms"] for each in target.state()["participants"]] == [50_000, 31_000]


def test_an_increment_goes_on(target: Target) -> None:
    """Ben had 35 s, has used 4 s of them, and gets 2 s back."""
    old = live({**example("per_participant"), "increment_ms": 2000}, 1, 4000)
    state = target.bring(old)
    assert state is not None, target.bad
    target.call("switch")
    assert target.state()["participants"][1]["total_time_ms"] == 33_000


def test_a_group_has_what_its_members_have_together(target: Target) -> None:
    """50 s and 35 s, and the third, who is in no group, has 20 s alone."""
    people = [person(0, 50_000, group_id=G[0]), person(1, 35_000, group_id=G[0]), person(2, 20_000)]
    state = target.bring(live(session("per_group", *people), 1, 4000))
    assert state is not None, target.bad
    assert [(each["group_id"], each["time_remaining_ms"]) for each in state["groups"]] == [
        (G[0], 81_000),
        (P[2], 20_000),
    ]
    switched = json.loads(target.call("switch").value)["payload"]
    assert (switched["active_participant_id"], switched["time_remaining_ms"]) == (P[2], 20_000)
    back = json.loads(target.call("switch").value)["payload"]
    assert back["active_participant_id"] == P[0], "the member after the one that was active last"


def test_a_member_with_nothing_left_does_not_use_up_the_others_time(target: Target) -> None:
    """Ben had 35 s and has had the turn for 40 s. It stops at zero there: 50 s are left, and run from now."""
    people = [person(0, 50_000, group_id=G[0]), person(1, 35_000, group_id=G[0])]
    state = target.bring(live(session("per_group", *people), 1, 40_000))
    assert state is not None, target.bad
    assert state["time_remaining_ms"] == 50_000
    assert target.state(at=NOW + 1000)["time_remaining_ms"] == 49_000


def test_the_next_cycle_of_per_cycle_has_its_own_time(target: Target) -> None:
    state = target.bring(live(example("per_cycle"), 1, 4000))
    assert state is not None
    switched = json.loads(target.call("switch").value)["payload"]
    assert switched["deadline_ms"] == NOW + 30_000


def test_a_total_with_cycles_is_the_time_that_was_shown(target: Target) -> None:
    """A quiz of two minutes, 30 s for each question: 110 s are left."""
    old = live(session("global", person(0, 115_000), time_per_cycle_ms=30_000), 0, 5000)
    state = target.bring(old)
    assert state is not None, target.bad
    assert (state["time_remaining_ms"], state["total_remaining_ms"]) == (110_000, 110_000)
    switched = json.loads(target.call("switch").value)["payload"]
    assert (switched["time_remaining_ms"], switched["total_remaining_ms"]) == (30_000, 110_000)


def test_who_was_chosen_begins(target: Target) -> None:
    state = target.bring({**example("per_participant"), "active_participant_id": P[1]})
    assert state is not None, target.bad
    assert state["active_participant_id"] == P[1]
    started = json.loads(target.call("start").value)["payload"]
    assert (started["active_participant_id"], started["time_remaining_ms"]) == (P[1], 35_000)


def test_nothing_ends_when_a_time_is_up_as_there(target: Target) -> None:
    state = target.bring(live(example("per_participant"), 1, 4000))
    assert state is not None
    expired = json.loads(target.call("expire", at=NOW + 31_000).value)["payload"]
    assert (expired["event"], expired["status"]) == ("participant.expired", "running")
    assert expired["active_participant_id"] == P[1]
    switched = json.loads(target.call("switch", at=NOW + 40_000).value)["payload"]
    assert switched["active_participant_id"] == P[0]


@pytest.mark.parametrize("action", ["end_session", "skip_cycle"])
def test_another_action_can_be_chosen(target: Target, action: str) -> None:
    state = target.bring(live(example("per_participant"), 1, 4000), action=action)
    assert state is not None
    expired = json.loads(target.call("expire", at=NOW + 31_000).value)["payload"]
    assert expired["status"] == ("expired" if action == "end_session" else "running")


def test_the_action_of_a_session_counts(target: Target) -> None:
    mine = {"type": "end_session", "outcome": "timeout"}
    state = target.bring(live({**example("per_participant"), "action_on_timeout": mine}, 1, 4000))
    assert state is not None, target.bad
    assert state["action_on_timeout"] == mine


@pytest.mark.parametrize("action", ["notify", "end_session", "skip_cycle"])
def test_whoever_has_run_out_takes_turns_only_under_notify(target: Target, action: str) -> None:
    """Ben's time was up before; there he has the turn again all the same."""
    old = live(example("per_participant"), 1, 3000)
    old["participants"][1] |= {"total_time_ms": 0, "time_remaining_ms": 0, "has_expired": True}
    state = target.bring(old, action=action)
    assert state is not None, target.bad
    if action == "notify":
        assert (state["time_remaining_ms"], state["deadline_ms"]) == (0, None)
        assert state["participants"][1]["has_expired"]
    else:
        assert state["deadline_ms"] == NOW - 3000, "due at once"
    back = live(old, 0, 1000)
    target.driver.run("FLUSHALL")
    state = target.bring(back, action=action)
    assert state is not None, target.bad
    assert [each["has_expired"] for each in state["participants"]] == [False, True]
    switched = json.loads(target.call("switch").value)["payload"]
    assert switched["active_participant_id"] == (P[1] if action == "notify" else P[0])


def test_turns_go_by_the_place_in_the_list(target: Target) -> None:
    people = [person(2, 10_000), person(0, 20_000), person(1, 30_000)]
    state = target.bring(live(session("per_participant", *people), 0, 0))
    assert state is not None, target.bad
    assert [each["participant_id"] for each in state["participants"]] == [P[2], P[0], P[1]]
    rising = [person(0, 10_000, participant_index=3), person(1, 20_000, participant_index=8)]
    target.driver.run("FLUSHALL")
    state = target.bring(session("per_participant", *rising))
    assert state is not None, target.bad
    assert [each["participant_index"] for each in state["participants"]] == [3, 8]


def test_what_is_not_the_clocks(target: Target) -> None:
    metadata = {"board": 4, "tags": [], "names": {"white": "Ängström"}, "big": 2**53 - 1}
    state = target.bring({**example("per_participant"), "metadata": metadata, "auto_advance": True})
    assert state is not None, target.bad
    assert (state["metadata"], state["auto_advance"]) == (metadata, True)
    assert (state["total_time_ms"], state["recovered"]) == (120_000, False)


def test_ids_in_capitals(target: Target) -> None:
    old = live(example("per_participant"), 1, 4000)
    capitals = json.loads(json.dumps(old).replace(P[1], P[1].upper()).replace(SESSION, SESSION.upper()))
    state = target.bring(capitals)
    assert state is not None, target.bad
    assert state["active_participant_id"] == P[1]


@pytest.mark.parametrize("ahead", [-3000, 3000])
def test_servers_whose_clocks_differ(target: Target, ahead: int) -> None:
    """The other server's clock shows 4 s since the start of the cycle, so 31 s are left by this one's."""
    state = target.bring(live(example("per_participant"), 1, 4000), ahead=ahead)
    assert state is not None, target.bad
    assert (state["time_remaining_ms"], state["deadline_ms"]) == (31_000, NOW + ahead + 31_000)


def test_a_start_a_little_ahead_is_now(target: Target) -> None:
    state = target.bring(live(example("per_participant"), 1, -2000))
    assert state is not None, target.bad
    assert (state["time_remaining_ms"], state["cycle_elapsed_ms"]) == (35_000, 0)


def changed(place: int, **more: Any) -> Json:
    old = example("per_participant")
    old["participants"][place] |= more
    return old


BAD: dict[str, tuple[Json | bytes, str]] = {
    "no JSON": (b'{"session_id": ', "no JSON of a session"),
    "no UTF-8": (b'{"session_id": "\xff"}', "no JSON of a session"),
    "no object": (b"[]", "Expected `object`, got `array`"),
    "nothing": (b"", "no JSON of a session"),
    "unknown mode": ({**example("per_participant"), "sync_mode": "chess"}, "$.sync_mode"),
    "unknown status": ({**example("per_participant"), "status": "odd"}, "$.status"),
    "nobody": ({**example("per_participant"), "participants": []}, "$.participants"),
    "no participants": (
        {name: value for name, value in example("global").items() if name != "participants"},
        "`participants`",
    ),
    "no UUID": (changed(1, participant_id="ben"), "participants.1.participant_id must be a UUID"),
    "no UUID as group": (changed(1, group_id="red"), "participants.1.group_id must be a UUID"),
    "twice": (changed(1, participant_id=P[0].upper()), "participants: an id is there twice"),
    "below zero": (changed(0, total_time_ms=-1), "$.participants[0].total_time_ms"),
    "too much": (changed(0, total_time_ms=86_400_001), "participants.0.total_time_ms is more"),
    "half a millisecond": (changed(0, total_time_ms=0.5), "$.participants[0].total_time_ms"),
    "text for a time": (changed(0, time_used_ms="9"), "$.participants[0].time_used_ms"),
    "no time": (changed(0, total_time_ms=None), "$.participants[0].total_time_ms"),
    "increment": ({**example("per_participant"), "increment_ms": 31_622_400_001}, "increment_ms must be"),
    "maximum": ({**example("count_up"), "max_time_ms": 999}, "max_time_ms must be"),
    "cycle": ({**example("per_cycle"), "time_per_cycle_ms": 31_622_400_001}, "time_per_cycle_ms must be"),
    "no moment": ({**example("global"), "created_at": "yesterday"}, "$.created_at"),
    "action": ({**example("global"), "action_on_timeout": {"type": "game_over"}}, "action_on_timeout.type"),
    "stranger": ({**example("global"), "active_participant_id": P[9]}, "is none of the participants"),
    "nobody active": (
        {**live(example("global"), 1, 0), "participants": [person(0, 5000)], "active_participant_id": None},
        "it is running, but nobody is active",
    ),
    "two active": (
        {**live(example("global"), 1, 0), "active_participant_id": P[0]},
        "is_active says something else",
    ),
    "no start": (
        {**live(example("global"), 1, 0), "cycle_started_at": None},
        "it is running, but cycle_started_at is absent",
    ),
    "runs in a pause": (
        {**live(example("global"), 1, None), "cycle_started_at": iso(NOW)},
        "it is paused, but cycle_started_at is there",
    ),
    "runs before its start": (
        {**example("global"), "cycle_started_at": iso(NOW)},
        "it is pending, but cycle_started_at is there",
    ),
    "started before its start": (
        {**example("global"), "session_started_at": iso(NOW)},
        "it is pending, but session_started_at is there",
    ),
    "completed and running": (
        {**live(example("global"), 1, 0), "session_completed_at": iso(NOW)},
        "it is running, but session_completed_at is there",
    ),
    "from the future": (live(example("global"), 1, -6000), "cycle_started_at is in the future"),
    "metadata": ({**example("global"), "metadata": {"text": "x" * 11_000}}, "metadata must be at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_session_is_refused_and_nothing_is_written(target: Target, name: str) -> None:
    old, reason = BAD[name]
    assert target.bring(old) is None
    assert reason in (target.bad or ""), target.bad
    assert target.driver.snapshot() == {}
