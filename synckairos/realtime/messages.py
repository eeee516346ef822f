"""Messages to sockets that are not events of the library, and the frames for messages and events."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from websockets.frames import Frame, Opcode

from synckairos.core.model import State

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")


def text_frame(text: bytes) -> bytes:
    """A WebSocket text frame. Servers do not mask frames, so the same bytes can go to every socket."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def without_actor(event: bytes) -> bytes:
    """The same event with `actor` and `trace` null. All else is byte for byte as the library published it."""
    members = _decode_members(event)
    payload = _decode_members(members["payload"])
    payload.update((name, _NULL) for name in ("actor", "trace") if name in payload)
    members["payload"] = msgspec.Raw(msgspec.json.encode(payload))
    return msgspec.json.encode(members)


class EventFrames:
    """The two frames of one event. Each is made once, however many subscribers get it.

    whole: the bytes that the library published
    """

    __slots__ = ("_event", "_without_actor", "whole")

    def __init__(self, event: bytes) -> None:
        self._event = event
        self._without_actor: bytes | None = None
        self.whole = text_frame(event)

    @property
    def without_actor(self) -> bytes:
        """The frame of the event `without_actor`."""
        if self._without_actor is None:
            self._without_actor = text_frame(without_actor(self._event))
        return self._without_actor


def session_message(kind: str, state: State, payload: bytes, more: bytes = b"") -> bytes:
    """A message about a session that is not one of its events. It has the version of the state.

    more: further members, each with a comma before it
    """
    return (
        b'{"v":1,"type":"%b","session_id":"%b","version":%d,"epoch":"%b","server_time_ms":%d,"payload":%b%b}'
        % (
            kind.encode(),
            state.session_id.encode(),
            state.version,
            state.epoch.encode(),
            state.server_time_ms,
            payload,
            more,
        )
    )


def state_sync(state: State, age_ms: int | None = None) -> bytes:
    """A message with the whole state, byte for byte as the library returned it.

    age_ms: how old the state may be, when it comes from a replica because there is no primary
    """
    stale = b"" if age_ms is None else b',"stale":{"age_ms":%d}' % age_ms
    return session_message("STATE_SYNC", state, b'{"full_state":%b}' % state.raw, stale)


def frames(texts: Iterable[bytes]) -> bytes:
    """Text frames, one after the other."""
    return b"".join(map(text_frame, texts))


def session_gone(session_id: str, version: int, epoch: str, server_time_ms: int, reason: str) -> bytes:
    """A message that the session no longer exists. `reason` is deleted, ttl_expired or evicted."""
    return msgspec.json.encode(
        {
            "v": 1,
            "type": "SESSION_DELETED",
            "session_id": session_id,
            "version": version,
            "epoch": epoch,
            "server_time_ms": server_time_ms,
            "payload": {"reason": reason},
        }
    )
