"""The calls that change a session over HTTP, and the changes that they make.

`Session` has them beside its commands over the socket, and `Handle` has nothing but these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from synckairos.client.errors import (
    ParticipantNotFound,
    SyncKairosError,
    UnexpectedAnswer,
    ValidationError,
)
from synckairos.client.http import Answer, part
from synckairos.client.model import Change, State, read_change, read_state, synced
from synckairos.client.service import Service


class Same:
    """Stands for a moment of the schedule that is not changed."""

    def __repr__(self) -> str:
        return "SAME"


SAME: Final = Same()

_TYPES = {
    "time.warning": "TIME_WARNING",
    "participant.expired": "TIME_EXPIRED",
    "session.expired": "TIME_EXPIRED",
    "session.deleted": "SESSION_DELETED",
}
"""The types of events that are no STATE_UPDATE."""
_OF_THE_REPLY = ("session_id", "version", "epoch", "server_time_ms")


class Calls(ABC):
    """The calls of one session over HTTP.

    Each returns the change that it made. `expected_version`: refused unless nothing but warnings happened
    since this version. `idempotency_key`: a call with a key that was used before changes nothing, and returns
    the change of the first one; by default each call has a new key, which is the same for its repeats.
    """

    def __init__(self, service: Service, session_id: str) -> None:
        self.id = session_id
        """The session's id."""
        self._service = service

    async def start(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """Start a pending session."""
        return await self._post("start", expected_version, idempotency_key)

    async def complete(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """End the session as completed."""
        return await self._post("complete", expected_version, idempotency_key)

    async def cancel(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """End the session as cancelled."""
        return await self._post("cancel", expected_version, idempotency_key)

    async def takeback(
        self,
        turns: int = 1,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Undo the last turns, at most 16. The cycle of the one whose turn it was then begins now."""
        return await self._post("takeback", expected_version, idempotency_key, turns=turns)

    async def turn(
        self,
        participant_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Say whose turn it is, while the session is pending or paused."""
        body = {"active_participant_id": participant_id, "expected_version": expected_version}
        return await self._made("PATCH", "/turn", body, idempotency_key)

    async def reopen(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """Let a session that is over go on: it is paused, with the turn of the one who was active."""
        return await self._post("reopen", expected_version, idempotency_key)

    async def reset(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> Change:
        """Begin the session again: it is pending, with clocks and counts as its config had them."""
        return await self._post("reset", expected_version, idempotency_key)

    async def schedule(
        self,
        *,
        starts_at_ms: int | Same | None = SAME,
        ends_at_ms: int | Same | None = SAME,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Say when the session starts and ends by itself, in ms of the server's clock.

        None takes a moment back. What is not given stays; one of the two has to be.
        """
        moments = {"starts_at_ms": starts_at_ms, "ends_at_ms": ends_at_ms}
        body: dict[str, Any] = {name: at for name, at in moments.items() if not isinstance(at, Same)}
        if expected_version is not None:
            body["expected_version"] = expected_version
        return _needed(await self._send("PATCH", "/schedule", body, idempotency_key))

    async def patch_metadata(
        self,
        patch: Mapping[str, Any],
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Change the metadata by a JSON merge patch (RFC 7396), in any status.

        Objects are merged member by member, None removes a member, and everything else replaces it. Returns
        None when that changes nothing. Raises ValidationError when the metadata would get more than 100 keys
        or 10,240 bytes.
        """
        body: dict[str, Any] = {"metadata": patch}
        if expected_version is not None:
            body["expected_version"] = expected_version
        return await self._send("PATCH", "/metadata", body, idempotency_key)

    async def add(
        self,
        owner: str | None,
        ms: int,
        *,
        clock: Literal["total"] | None = None,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Add time to a clock, or take it away.

        owner: the participant or group whose clock it is (by id); None for the session's or cycle's clock
        clock: with owner None, `total` for the time of the whole session where each cycle has its own
        within_ms: only when less than this is left

        Returns None when nothing changed because of `within_ms`.
        """
        body = {"add_ms": ms, "within_ms": within_ms, "reason": reason, "expected_version": expected_version}
        return await self._adjust(owner, clock, body, idempotency_key)

    async def set(
        self,
        owner: str | None,
        ms: int,
        *,
        clock: Literal["total"] | None = None,
        within_ms: int | None = None,
        reason: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change | None:
        """Set the time that is left on a clock. The other parameters are those of `add`."""
        body = {
            "total_time_ms": ms,
            "within_ms": within_ms,
            "reason": reason,
            "expected_version": expected_version,
        }
        return await self._adjust(owner, clock, body, idempotency_key)

    async def join(
        self,
        participant: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Change:
        """Add a participant, given as in a config, as an object or by its fields."""
        body = {**(participant or {}), **fields}
        return await self._made("POST", "/participants", body, idempotency_key)

    async def leave(
        self,
        participant_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Change:
        """Remove a participant."""
        body = {"expected_version": expected_version}
        return await self._made("DELETE", f"/participants/{part(participant_id)}", body, idempotency_key)

    async def delete(
        self, *, expected_version: int | None = None, idempotency_key: str | None = None
    ) -> None:
        """Delete the session. It is no error if it does not exist."""
        body = _given({"expected_version": expected_version}) or None
        await self._service.call("DELETE", self._path, body, idempotency_key=idempotency_key)

    async def events(self, since: int = 0) -> list[Change]:
        """All changes after a version, from the service's log or its audit store.

        Raises StorageUnavailable when neither has them all.
        """
        found: list[Change] = []
        while True:
            page, next_since = await self._events(since)
            found += page
            if not page or next_since <= since:
                return found
            since = next_since

    # For the classes that have these calls

    @abstractmethod
    async def _reach(self, version: int) -> None:
        """Wait until what this shows includes a version."""

    @abstractmethod
    def _seen(self, _version: int) -> Change | None:
        """The change that made a version, if this has heard of it."""

    @abstractmethod
    async def _is_group(self, _owner: str) -> bool | None:
        """Whether an id is a group's; None when that is not known."""

    @property
    def _path(self) -> str:
        return f"/v1/sessions/{part(self.id)}"

    async def _pause(self, counted: bool, expected_version: int | None, key: str | None) -> Change:
        return await self._post("pause", expected_version, key, counted=None if counted else False)

    async def _post(self, name: str, expected_version: int | None, key: str | None, **fields: Any) -> Change:
        body = {**fields, "expected_version": expected_version}
        return await self._made("POST", f"/{name}", body, key)

    async def _adjust(
        self, owner: str | None, clock: str | None, body: Mapping[str, Any], key: str | None
    ) -> Change | None:
        given = _given(body)
        if owner is None:
            if clock is not None:
                given["clock"] = clock
            return await self._send("PATCH", "/clock", given, key)
        if clock is not None:
            problem = {"field": "clock", "message": "must not be given with an owner"}
            raise ValidationError("the total has no owner", details=[problem])
        is_group = await self._is_group(owner)
        if is_group is not None:
            kind = "groups" if is_group else "participants"
            return await self._send("PATCH", f"/{kind}/{part(owner)}", given, key)
        try:
            return await self._send("PATCH", f"/participants/{part(owner)}", given, key)
        except (ParticipantNotFound, ValidationError) as refusal:
            try:
                return await self._send("PATCH", f"/groups/{part(owner)}", given, key)
            except (ParticipantNotFound, ValidationError):
                raise refusal from None

    async def _made(self, method: str, path: str, body: Mapping[str, Any], key: str | None) -> Change:
        return _needed(await self._send(method, path, _given(body) or None, key))

    async def _send(self, method: str, path: str, body: Any, key: str | None) -> Change | None:
        """Make a call. Returns the change that it made; None when it made none."""
        answer = await self._service.call(method, self._path + path, body, idempotency_key=key)
        if answer.data is None:
            return None
        try:
            if "event" in answer.data:
                change = _change_in(answer)
                await self._reach(change.version)
                return change
            state = read_state(answer.data)
        except (msgspec.ValidationError, LookupError, TypeError) as error:
            raise UnexpectedAnswer(f"a change that this client does not understand: {error}") from error
        version = answer.change_version or state.version
        await self._reach(version)
        return await self._change(version, state)

    async def _change(self, version: int, state: State) -> Change:
        """The change that made a version. state: one of the session at that version or after it.

        When the service does not have the event any more, a change of type `STATE_SYNC` stands for it.
        """
        seen = self._seen(version)
        if seen is None:
            try:
                found, _ = await self._events(version - 1)
            except SyncKairosError:
                found = []
            seen = next((change for change in found if change.version == version), None)
        return synced(state) if seen is None else seen

    async def _events(self, since: int) -> tuple[list[Change], int]:
        """A page of changes after a version, and the version after which the next one begins."""
        answer = await self._service.request("GET", f"{self._path}/events", params={"since": since})
        try:
            return [read_change(event) for event in answer["events"]], int(answer["next_since"])
        except (msgspec.ValidationError, LookupError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"events that this client does not understand: {error!r}") from error


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body without the members that are None."""
    return {name: value for name, value in body.items() if value is not None}


def _needed(change: Change | None) -> Change:
    if change is None:
        raise UnexpectedAnswer("an answer without a change")
    return change


def _change_in(answer: Answer) -> Change:
    """The change in the answer to a call. Raises msgspec.ValidationError, KeyError."""
    data = answer.data
    return read_change(
        {
            **{name: data[name] for name in _OF_THE_REPLY},
            "type": _TYPES.get(data["event"], "STATE_UPDATE"),
            "payload": {name: value for name, value in data.items() if name not in _OF_THE_REPLY},
            "replayed": answer.replayed,
        }
    )
