"""The messages of a WebSocket: those that clients send, and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from synckairos import metrics
from synckairos.api.inputs import refuse, requirement, with_integers
from synckairos.api.schemas import Input, Uuid, Version
from synckairos.api.websocket.socket import HEARTBEAT_S, MAX_MESSAGE, UNANSWERED
from synckairos.core.model import State
from synckairos.errors import (
    Detail,
    SyncKairosError,
    ValidationError,
)
from synckairos.realtime.messages import session_message

RequestId = Annotated[
    str, Meta(pattern=r"^[!-~]{1,255}\Z", extra={"must": "must be 1 to 255 visible ASCII characters"})
]
Count = Annotated[int, Meta(ge=0, extra={"must": "must be a whole number from 0"})]
Number = Annotated[int | float, Meta(extra={"must": "must be a number"})]
_WITHIN = Meta(ge=-(2**53), le=2**53, extra={"must": "must be milliseconds, at most 2^53 either way"})
_LAST_MOMENT = 253_402_300_799.0
Milliseconds = Annotated[int, _WITHIN] | Annotated[float, _WITHIN]


class Message(Input, frozen=True, forbid_unknown_fields=False):
    """The fields of every message. Unknown names are ignored, except in commands."""

    v: Annotated[Literal[1], Meta(extra={"must": "must be 1"})] = 1
    type: str = ""


class Auth(Message, frozen=True):
    """The client's token: the first one, or a newer one. Where none is asked for, each is taken."""

    token: Annotated[str, Meta(extra={"must": "must be text"})] = ""


class Ping(Message, frozen=True, kw_only=True):
    """Asks for the server's time. `t1`, the client's time in ms, comes back unchanged."""

    t1: Number


class ClockReport(Message, frozen=True, kw_only=True):
    """The client's measurement, for the metrics: its clock is `offset_ms` behind, ± `uncertainty_ms`."""

    offset_ms: Milliseconds
    rtt_ms: Milliseconds | None = None
    uncertainty_ms: Milliseconds | None = None


class Reconnect(Message, frozen=True, kw_only=True):
    """Asks for the events after this version of this epoch."""

    last_known_version: Version
    epoch: Annotated[str, Meta(extra={"must": "must be text"})] | None = None
    reconnect_attempt: Count | None = None


class Command(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message that changes the session. A repeat with the same request id changes nothing."""

    request_id: RequestId
    expected_version: Version | None = None


class Switch(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the running cycle."""

    current_participant_id: Uuid | None = None
    next_participant_id: Uuid | None = None


class Pause(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop the clock."""


class Resume(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let the clock run on."""


KINDS: dict[str, type[Message]] = {
    "AUTH": Auth,
    "PING": Ping,
    "CLOCK": ClockReport,
    "RECONNECT": Reconnect,
    "SWITCH": Switch,
    "PAUSE": Pause,
    "RESUME": Resume,
}


class Pong(Struct):
    """The answer to a PING: its `t1`, and the server's time when it arrived (`t2`) and now (`t3`), in ms."""

    t1: int | float
    t2: int
    t3: int
    v: int = 1
    type: str = "PONG"


class Ack(Struct):
    """Says that a command was carried out, and which version it made."""

    request_id: str
    version: int
    v: int = 1
    type: str = "ACK"


class AuthAck(Struct):
    """Says that a newer token was taken, and when it ends (ISO 8601)."""

    token_expires_at: str | None
    request_id: str | UnsetType = UNSET
    v: int = 1
    type: str = "ACK"


class TokenExpires(Struct):
    """Says that the token ends soon, and when (ISO 8601). The client has to send a newer one (AUTH)."""

    expires_at: str
    v: int = 1
    type: str = "TOKEN_EXPIRES"


class ReconnectAck(Struct):
    """The answer to a RECONNECT. `replayed`: how many missed events follow, or `full` for the whole state."""

    replayed: int | str
    v: int = 1
    type: str = "RECONNECT_ACK"
    success: bool = True


def decode(text: str) -> dict[str, Any]:
    """The fields of a message. Raises ValidationError."""
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValidationError("the message is not JSON") from error
    if not isinstance(fields, dict):
        raise ValidationError("the message has to be a JSON object")
    return fields


def parse(fields: dict[str, Any]) -> Message:
    """The message with these fields. Raises ValidationError with all problems."""
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        metrics.websocket_messages.labels("unknown").inc()
        refuse([{"field": "type", "message": f"must be one of {', '.join(KINDS)}"}])
    metrics.websocket_messages.labels(kind).inc()
    shape = KINDS[kind]
    fields = with_integers(shape, fields)
    try:
        return msgspec.convert(fields, shape)
    except msgspec.ValidationError:
        refuse(list(_problems(shape, fields)))


def _problems(shape: type[Message], fields: dict[str, Any]) -> Iterator[Detail]:
    """All problems of these fields."""
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for name, field in known.items():
        if name not in fields:
            if field.required:
                yield {"field": name, "message": "is required"}
            continue
        try:
            msgspec.convert(fields[name], field.type)
        except msgspec.ValidationError:
            yield {"field": name, "message": requirement(field.type)}
    if issubclass(shape, Command):
        for name in fields.keys() - known.keys():
            yield {"field": name, "message": "is not known here"}


def failure(error: SyncKairosError, request_id: str | None = None) -> bytes:
    """An `ERROR` message."""
    metrics.errors.labels(error.code).inc()
    message: dict[str, Any] = {"v": 1, "type": "ERROR"}
    if request_id is not None:
        message["request_id"] = request_id
    return msgspec.json.encode(message | error.body())


def instant(seconds: float) -> str:
    """A time (seconds since 1970) as ISO 8601. One that no calendar has is its last moment."""
    moment = datetime.fromtimestamp(min(seconds, _LAST_MOMENT), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def connected(state: State, token_ends_at: float | None, access: Mapping[str, Any]) -> bytes:
    """The `CONNECTED` message: which messages this connection takes, its heartbeat, and what its token may.

    token_ends_at: seconds since 1970; None for a connection without a token, and for a token without an end
    access: `auth_mode`, and what `synckairos.auth.access.rights` says of the caller
    """
    return session_message(
        "CONNECTED",
        state,
        msgspec.json.encode(
            {
                "features": list(KINDS),
                "heartbeat": {"interval_ms": int(1000 * HEARTBEAT_S), "unanswered": UNANSWERED},
                "max_message_bytes": MAX_MESSAGE,
                "access": access,
                "token_expires_at": None if token_ends_at is None else instant(token_ends_at),
            }
        ),
    )
