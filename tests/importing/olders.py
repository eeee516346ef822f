"""Sessions as the older service writes them, and what its clients show of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

NOW = 1_800_000_000_000
"""The time of both servers in tests under virtual time."""
SESSION = "5e550000-0000-4000-8000-0000000000ab"
P = [f"a0000000-0000-4000-8000-{i:012x}" for i in range(20)]
G = [f"b0000000-0000-4000-8000-{i:012x}" for i in range(4)]


def iso(ms: int) -> str:
    """A moment as that service writes it."""
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def person(index: int, left: int, **more: Any) -> Json:
    """A participant as newer versions write it. left: the bank"""
    return {
        "participant_id": P[index],
        "participant_index": index,
        "total_time_ms": left,
        "time_used_ms": 0,
        "time_remaining_ms": left,
        "cycle_count": 0,
        "is_active": False,
        "has_expired": False,
        **more,
    }


def session(mode: str, *people: Json, **more: Any) -> Json:
    """A session that is pending."""
    return {
        "session_id": SESSION,
        "sync_mode": mode,
        "status": "pending",
        "version": 7,
        "participants": list(people),
        "active_participant_id": None,
        "total_time_ms": 120_000,
        "time_per_cycle_ms": None,
        "cycle_started_at": None,
        "session_started_at": None,
        "session_completed_at": None,
        "increment_ms": 0,
        "created_at": iso(NOW - 3_000_000),
        "updated_at": iso(NOW - 4000),
        **more,
    }


def live(old: Json, active: int, ran: int | None, now: int = NOW) -> Json:
    """The session running, with one whose cycle has run for `ran` ms; or paused, for None."""
    people = [{**each, "is_active": place == active} for place, each in enumerate(old["participants"])]
    return {
        **old,
        "status": "paused" if ran is None else "running",
        "participants": people,
        "active_participant_id": people[active]["participant_id"],
        "cycle_started_at": None if ran is None else iso(now - ran),
        "session_started_at": iso(now - 2_000_000),
    }


def over(old: Json, status: str, now: int = NOW) -> Json:
    """The session as it is when it is over."""
    started, completed = iso(now - 2_000_000), iso(now - 60_000)
    return {**old, "status": status, "session_started_at": started, "session_completed_at": completed}


def first_version(old: Json) -> Json:
    """The session as the first versions of that service wrote it."""
    kept = ("participant_id", "total_time_ms", "time_remaining_ms", "is_active", "group_id")
    people = [
        {**{name: each[name] for name in kept if name in each}, "has_gone": False}
        for each in old["participants"]
    ]
    return {**old, "participants": people}


OPTIONAL = (
    *("version", "total_time_ms", "time_per_cycle_ms", "session_started_at", "session_completed_at"),
    *("increment_ms", "max_time_ms", "created_at", "updated_at", "metadata", "auto_advance"),
)
OPTIONAL_OF_A_PERSON = (
    "participant_index",
    "time_used_ms",
    "time_remaining_ms",
    "cycle_count",
    "has_expired",
)


def bare(old: Json) -> Json:
    """The session without anything that may be missing."""
    people = [
        {name: value for name, value in each.items() if name not in OPTIONAL_OF_A_PERSON}
        for each in old["participants"]
    ]
    kept = {name: value for name, value in old.items() if name not in OPTIONAL and value is not None}
    return {**kept, "participants": people}


def elapsed(old: Json, now: int = NOW) -> int:
    """For how long the current cycle has run."""
    if old["status"] != "running":
        return 0
    return now - round(datetime.fromisoformat(old["cycle_started_at"]).timestamp() * 1000)


def shown(old: Json, place: int) -> int:
    """The time left of a participant, as the clients of that service show it."""
    each = old["participants"][place]
    left: int = each["total_time_ms"]
    if old["status"] == "running" and each["participant_id"] == old["active_participant_id"]:
        left -= elapsed(old)
    return max(0, left)
