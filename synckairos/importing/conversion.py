"""What `sk_import` needs to go on with a session of the older service: a config and a standing.

The mode stays. The clock of the current cycle has what the older service shows of it, in every mode, so that
nobody sees a jump. In the modes where participants own no clock it is the bank of the active one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from synckairos.importing.older import Participant, Session

DAY_MS = 86_400_000
LEAST_MS = 1000
"""The least time that a config takes."""
AHEAD_MS = 5000
"""By how much the clock of the machine that wrote a session may be ahead of the clock of its Redis."""
DEFAULT_ACTION = "notify"
"""The `action_on_timeout` that does what the older service does when a time is up: nothing."""

_LIVE = ("running", "paused")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unusable(Exception):
    """The session cannot be imported. The text says why."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A config and a standing, both JSON, as `sk_import` takes them."""

    config: bytes
    standing: bytes


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks of the two servers (ms).

    now: the time of the server from which the session comes
    ahead: by how much the clock of the server to which it goes is ahead of that
    """

    now: float
    ahead: float

    def there(self, moment: datetime | None) -> int | None:
        """What the clock of the server to which the session goes showed at a moment."""
        return None if moment is None else round(_ms(moment) + self.ahead)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def convert(session: Session, times: Times, action: str = DEFAULT_ACTION) -> Converted:
    """The session as `sk_import` takes it. Raises Unusable.

    action: the type of `action_on_timeout` for a session that has none
    """
    return _Conversion(session, times, action).converted()


class _Conversion:
    """The conversion of one session.

    people: the participants in the order of their turns, by their ids in lower case
    elapsed_ms: for how long the current cycle has run
    """

    def __init__(self, session: Session, times: Times, action: str) -> None:
        self.session, self.times, self.action = session, times, action
        self.people = {each.participant_id.lower(): each for each in session.participants}
        if len(self.people) < len(session.participants):
            raise Unusable("participants: an id is there twice")
        self._check_times()
        self.active = self._active()
        self._check_status()
        self.elapsed_ms = 0.0
        if session.cycle_started_at is not None and session.status == "running":
            self.elapsed_ms = times.now - _ms(session.cycle_started_at)
            if self.elapsed_ms < -AHEAD_MS:
                raise Unusable("cycle_started_at is in the future")

    def converted(self) -> Converted:
        """The config and the standing."""
        encode = msgspec.json.encode
        return Converted(encode(_present(self._config())), encode(_present(self._standing())))

    def _check_times(self) -> None:
        """A bank has at most a day at first, and grows by the increment with each version at most."""
        session = self.session
        most = DAY_MS + (session.increment_ms or 0) * (session.version or 1)
        for place, each in enumerate(session.participants):
            if each.total_time_ms > most:
                raise Unusable(f"participants.{place}.total_time_ms is more than the participant can have")

    def _active(self) -> str | None:
        """The active participant's id. Raises Unusable where the session says two different things."""
        session = self.session
        flagged = [name for name, each in self.people.items() if each.is_active]
        named = session.active_participant_id and session.active_participant_id.lower()
        if session.status not in ("pending", *_LIVE):
            return None  # it may still say who was active at the end
        if named is not None and named not in self.people:
            raise Unusable("active_participant_id is none of the participants")
        if len(flagged) > 1 or (flagged and named not in (None, flagged[0])):
            raise Unusable("is_active says something else than active_participant_id")
        return named or (flagged[0] if flagged else None)

    def _check_status(self) -> None:
        session = self.session
        status = session.status
        if status in _LIVE and self.active is None:
            raise Unusable(f"it is {status}, but nobody is active")
        if status == "running" and session.cycle_started_at is None:
            raise Unusable("it is running, but cycle_started_at is absent")
        if status in ("pending", "paused") and session.cycle_started_at is not None:
            raise Unusable(f"it is {status}, but cycle_started_at is there")
        if status == "pending" and session.session_started_at is not None:
            raise Unusable("it is pending, but session_started_at is there")
        if status in ("pending", *_LIVE) and session.session_completed_at is not None:
            raise Unusable(f"it is {status}, but session_completed_at is there")

    # The config

    def _config(self) -> dict[str, Any]:
        session = self.session
        mode = session.sync_mode
        indexes = self._indexes()
        config: dict[str, Any] = {
            "session_id": session.session_id,
            "sync_mode": mode,
            "participants": [
                _present(
                    {
                        "participant_id": name,
                        "participant_index": indexes[place],
                        "group_id": self._group(name),
                        "total_time_ms": self._first_bank(each)
                        if mode in ("per_participant", "per_group")
                        else None,
                    }
                )
                for place, (name, each) in enumerate(self.people.items())
            ],
            "active_participant_id": self.active,
            "increment_ms": session.increment_ms,
            "auto_advance": session.auto_advance,
            "action_on_timeout": session.action_on_timeout or {"type": self.action},
            "metadata": session.metadata,
        }
        # A time of 0 there means that there is none.
        config["total_time_ms"] = session.total_time_ms or None
        if mode == "global":
            config["total_time_ms"] = session.total_time_ms or _within(self._shown_ms())
            config["time_per_cycle_ms"] = session.time_per_cycle_ms or None
        if mode == "per_cycle":
            config["time_per_cycle_ms"] = (
                session.time_per_cycle_ms or session.total_time_ms or _within(self._shown_ms())
            )
        if mode == "count_up":  # elsewhere it would be the most that a bank can have, which it is not there
            config["max_time_ms"] = session.max_time_ms or None
        return config

    def _indexes(self) -> list[int]:
        """The indexes of the participants. Turns go by the place in the list there, and by the index here."""
        given = [each.participant_index for each in self.people.values()]
        places = list(range(len(given)))
        indexes = [place if index is None else index for place, index in zip(places, given, strict=True)]
        rising = all(one < other for one, other in pairwise(indexes))
        return indexes if rising and indexes[-1] < 1000 else places

    def _group(self, name: str) -> str | None:
        """The id of a participant's group. In per_group one without a group is a group of its own."""
        group_id = self.people[name].group_id
        if group_id is None and self.session.sync_mode == "per_group":
            return name
        return group_id and group_id.lower()

    def _first_bank(self, each: Participant) -> int:
        """The bank with which a participant began: what is left, and what was used without the increments."""
        credits_ms = (self.session.increment_ms or 0) * (each.cycle_count or 0)
        return _within(each.total_time_ms + (each.time_used_ms or 0) - credits_ms)

    # The standing

    def _standing(self) -> dict[str, Any]:
        session, there = self.session, self.times.there
        people = self.people.values()
        used = sum(each.time_used_ms or 0 for each in people)
        standing: dict[str, Any] = {
            "status": session.status,
            "active_participant_id": self.active,
            "created_ms": there(session.created_at),
            "started_ms": there(session.session_started_at),
            "time_used_ms": used,
            "cycle_count": sum(each.cycle_count or 0 for each in people),
            "participants": [
                {
                    "participant_id": name,
                    "bank_ms": each.total_time_ms,
                    "has_expired": self._has_expired([each], current=name == self.active),
                    "time_used_ms": each.time_used_ms or 0,
                    "cycle_count": each.cycle_count or 0,
                }
                for name, each in self.people.items()
            ],
            "groups": self._groups(),
        }
        match session.sync_mode:
            case "global":
                standing["bank_ms"] = standing["total_left_ms"] = self._shown_ms()
            case "per_cycle":
                standing["bank_ms"] = self._shown_ms()
            case "count_up":
                standing["bank_ms"] = max(0, (session.max_time_ms or 0) - used)
            case _:
                pass
        if session.status == "running":
            standing["cycle_started_ms"] = there(session.cycle_started_at)
        if session.status not in ("pending", *_LIVE):
            standing["completed_ms"] = there(session.session_completed_at or session.updated_at)
        return standing

    def _shown_ms(self) -> int:
        """The bank of who is active, was active last or will be active first, at the start of the cycle."""
        name = self.active or (self.session.active_participant_id or "").lower()
        return self.people.get(name, self.session.participants[0]).total_time_ms

    def _has_expired(self, people: list[Participant], *, current: bool) -> bool:
        """Whether the clock of a participant, or of a group of them, has run out.

        current: whether it is the clock of the current cycle. Only under `notify` is it somebody's turn whose
            clock has run out. Otherwise the clock has just nothing left, and runs out at once.
        """
        if self.session.status == "pending":  # no clock has run
            return False
        action = self.session.action_on_timeout or {"type": self.action}
        out = any(each.has_expired for each in people) and not sum(each.total_time_ms for each in people)
        return out and (action.get("type") == "notify" or not current)

    def _groups(self) -> list[dict[str, Any]]:
        """The groups. A group has what its members have together, each as the older service shows it."""
        members: dict[str, list[str]] = {}
        for name in self.people:
            group_id = self._group(name)
            if group_id is not None:
                members.setdefault(group_id, []).append(name)
        return [
            {
                "group_id": group_id,
                "bank_ms": sum(self.people[name].total_time_ms for name in names) + self._overrun_ms(names),
                "has_expired": self._has_expired(
                    [self.people[name] for name in names], current=self.active in names
                ),
                "time_used_ms": sum(self.people[name].time_used_ms or 0 for name in names),
                "cycle_count": sum(self.people[name].cycle_count or 0 for name in names),
            }
            for group_id, names in members.items()
        ]

    def _overrun_ms(self, names: list[str]) -> int:
        """For how long the active one of these has had nothing left. The others' time did not run then."""
        others = sum(self.people[name].total_time_ms for name in names if name != self.active)
        if self.active not in names or not others:
            return 0
        return max(0, round(self.elapsed_ms) - self.people[self.active].total_time_ms)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _within(ms: int) -> int:
    return max(LEAST_MS, min(ms, DAY_MS))
