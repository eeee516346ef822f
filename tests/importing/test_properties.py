"""Any session of the older service is imported whole and reads the same, or it is refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synckairos.importing.conversion import Times, convert
from synckairos.importing.importer import _decoded
from tests.importing.conftest import Target
from tests.importing.olders import (
    NOW,
    OPTIONAL,
    OPTIONAL_OF_A_PERSON,
    G,
    Json,
    P,
    elapsed,
    iso,
    live,
    over,
    person,
    session,
    shown,
)

MODES = st.sampled_from(["per_participant", "per_cycle", "per_group", "global", "count_up"])
STATUSES = ["pending", "running", "paused", "expired", "completed", "cancelled"]
ACTIONS = st.sampled_from(["notify", "end_session", "skip_cycle"])
TIMES = st.one_of(st.just(0), st.integers(0, 5000), st.integers(0, 86_400_000))


@st.composite
def people(draw: st.DrawFn) -> list[Json]:
    count = draw(st.integers(1, 5))
    found = []
    for index in range(count):
        left, used = draw(TIMES), draw(st.integers(0, 200_000))
        more: Json = {"time_used_ms": used, "cycle_count": draw(st.integers(0, 40))}
        if left == 0:
            more["has_expired"] = draw(st.booleans())
        if draw(st.booleans()):
            more["group_id"] = draw(st.sampled_from(G))
        found.append(person(index, left, **more))
    return draw(st.permutations(found))


@st.composite
def olders(draw: st.DrawFn) -> Json:
    """A session as that service may have written it."""
    old = session(draw(MODES), *draw(people()))
    for name, least, most in (
        ("time_per_cycle_ms", 1000, 600_000),
        ("max_time_ms", 1000, 86_400_000),
        ("total_time_ms", 1000, 86_400_000),
        ("increment_ms", 0, 60_000),
    ):
        if draw(st.booleans()):
            old[name] = draw(st.integers(least, most))
    if draw(st.booleans()):
        old["action_on_timeout"] = {"type": draw(ACTIONS)}
    if draw(st.booleans()):
        old["metadata"] = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
    status = draw(st.sampled_from(STATUSES))
    if status in ("running", "paused"):
        ran = draw(st.integers(0, 1_000_000)) if status == "running" else None
        old = live(old, draw(st.integers(0, len(old["participants"]) - 1)), ran)
    elif status != "pending":
        old = over(old, status)
    for name in draw(st.sets(st.sampled_from(OPTIONAL))):
        old.pop(name, None)
    for name in draw(st.sets(st.sampled_from(OPTIONAL_OF_A_PERSON))):
        old["participants"] = [
            {key: value for key, value in each.items() if key != name} for each in old["participants"]
        ]
    return old


WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([*P[:3], *STATUSES, iso(NOW), iso(NOW + 10**7), "1969-01-01T00:00:00.000Z"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The same with something in it that does not belong there, or cut off."""
    old = draw(olders())
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from([old, *old["participants"]]))
        name = draw(st.sampled_from([*where, "cycle_started_at", "session_completed_at", "group_id"]))
        if draw(st.booleans()):
            where.pop(name, None)
        else:
            where[name] = draw(WRONG)
        if not isinstance(old.get("participants"), list) or not old["participants"]:
            break
        old["participants"] = [each for each in old["participants"] if isinstance(each, dict)] or [{}]
    text = json.dumps(old).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 4)) == 0 else text


def total(old: Json, name: str) -> int:
    return sum(each.get(name) or 0 for each in old["participants"])


def left_of_the_cycle(old: Json, active: int) -> int | None:
    """What the clock of the current cycle shows."""
    if old["sync_mode"] == "count_up":
        most = old.get("max_time_ms")
        if most is None:
            return None
        return max(0, max(0, int(most) - total(old, "time_used_ms")) - elapsed(old))
    if old["sync_mode"] != "per_group":
        return shown(old, active)
    group_id = old["participants"][active].get("group_id")
    return sum(
        shown(old, place)
        for place, each in enumerate(old["participants"])
        if place == active or (group_id is not None and each.get("group_id") == group_id)
    )


def reads_the_same(old: Json, state: Json) -> None:
    people = old["participants"]
    assert (state["sync_mode"], state["status"]) == (old["sync_mode"], old["status"])
    assert [each["participant_id"] for each in state["participants"]] == [
        each["participant_id"] for each in people
    ]
    for name in ("time_used_ms", "cycle_count"):
        assert [each[name] for each in state["participants"]] == [each.get(name) or 0 for each in people]
        assert state[name] == total(old, name)
    if old["sync_mode"] == "per_participant":
        left = [max(0, each["time_remaining_ms"]) for each in state["participants"]]
        assert left == [shown(old, place) for place in range(len(people))]
    if old["status"] in ("running", "paused"):
        assert state["active_participant_id"] == old["active_participant_id"]
        active = [each["participant_id"] for each in people].index(old["active_participant_id"])
        remaining = state["time_remaining_ms"]
        assert (remaining and max(0, remaining)) == left_of_the_cycle(old, active)
    assert [each["is_active"] for each in state["participants"]] == [
        old["status"] in ("running", "paused") and each["participant_id"] == old["active_participant_id"]
        for each in people
    ]


def is_whole(target: Target, state: Json) -> None:
    """Everything that belongs to a session is there, and a restore takes it."""
    tag = f"sk:{{{state['session_id'][-2:]}}}:"
    keys = {key.decode() for key in target.driver.snapshot()}
    wanted = {f"{tag}{state['session_id']}", f"{tag}{state['session_id']}:log", f"{tag}outbox"}
    due = state["deadline_ms"] is not None
    assert keys == wanted | ({f"{tag}alarms"} if due else set())
    assert target.state() == state
    exported = target.call("get", "EXPORT").value
    target.driver.run("FLUSHALL")
    assert target.call("restore", exported).code is None


SETTINGS = settings(max_examples=100, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(old=olders(), action=ACTIONS)
def test_a_session_reads_the_same(bring_to: Callable[[], Target], old: Json, action: str) -> None:
    target = bring_to()
    state = target.bring(old, action=action)
    assert state is not None, target.bad
    before = target.driver.snapshot()
    assert target.call("import", *_again(old, action)).code == "SESSION_EXISTS"
    assert target.driver.snapshot() == before
    reads_the_same(old, state)
    is_whole(target, state)


def _again(old: Json, action: str) -> tuple[Any, ...]:
    converted = convert(_decoded(json.dumps(old).encode()), Times(NOW, 0), action)
    return converted.config, converted.standing


@SETTINGS
@given(text=damaged())
def test_a_damaged_session_is_whole_or_refused(bring_to: Callable[[], Target], text: bytes) -> None:
    target = bring_to()
    state = target.bring(text)
    if state is None:
        assert target.bad
        assert target.driver.snapshot() == {}
    else:
        reads_the_same(_as_imported(json.loads(text)), state)
        is_whole(target, state)


def _as_imported(old: Json) -> Json:
    """The session with what may be absent or written in another way."""
    flagged = [each["participant_id"] for each in old["participants"] if each.get("is_active")]
    active = old.get("active_participant_id") or next(iter(flagged), None)
    return {**old, "active_participant_id": active}
