"""The errors that callers can get, one class for each code.

The function library refuses a call with one line: `CODE a sentence for people`, and, where there is context,
one JSON object at its end. `from_refusal` turns such a line into one of these errors. `body` turns an error
into the JSON that every route and every socket answers with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

Detail = dict[str, str]
"""One problem of an input: `field` (dotted path with positions, empty for the whole input) and `message`."""


class SyncKairosError(Exception):
    """A refusal or failure that is reported to callers.

    `code`, `status` (HTTP) and `retryable` (whether the same call may succeed later) belong to the class.
    `retry_after_ms` is how long to wait before that, where it is known. It is sent as the header
    `Retry-After` and is not in the body.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "something went wrong inside the service"

    def __init__(
        self,
        message: str | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        details: Iterable[Detail] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        self.message = self.default_message if message is None else message
        self.context: dict[str, Any] = dict(context or {})
        self.details: list[Detail] = list(details)
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """`{"error": {"code", "message", "retryable", "context", "details"?}}`, for JSON."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "context": self.context,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}

    def carets(self, given: Mapping[str, Any]) -> list[str]:
        """The time controls that could not be read, each as `draw_caret` draws it, in the order of `details`.

        given: the config, or the participant, that was refused
        """
        drawn = (draw_caret(_text_at(given, each["field"]), each["message"]) for each in self.details)
        return [each for each in drawn if each is not None]


_PLACE = re.compile(r"cannot be read at position (\d+): (.*)", re.DOTALL)
_SHOWN = 60
"""How many characters of a text are shown on either side of the place."""


def draw_caret(text: str | None, message: str) -> str | None:
    """A text that could not be read, and below it a caret and what was expected at the place.

        90+30 min
             ^ "x", "/" or the end expected

    None without a text, or when the message, which is that of a detail, names no position. Characters that
    are not printable become `?`; of a long text the part around the place is shown.
    """
    place = _PLACE.search(message)
    if text is None or place is None:
        return None
    at = int(place[1]) - 1
    begin = at - _SHOWN if at > _SHOWN else 0
    shown = text[begin : at + _SHOWN]
    before, after = ("…" if begin else ""), ("…" if len(text) > at + _SHOWN else "")
    line = before + "".join(each if each.isprintable() else "?" for each in shown) + after
    return f"{line}\n{' ' * (len(before) + at - begin)}^ {place[2]}"


def _text_at(given: Any, path: str) -> str | None:
    """The time control as text at a path such as `participants.1.time_control`; None when there is none."""
    for name in path.split("."):
        if isinstance(given, Mapping):
            given = given.get(name)
        elif isinstance(given, list | tuple) and name.isdecimal() and int(name) < len(given):
            given = given[int(name)]
        else:
            return None
    text = given.get("notation") if isinstance(given, Mapping) else given
    return text if isinstance(text, str) else None


class ValidationError(SyncKairosError):
    """The input is wrong. `details` lists all problems."""

    code = "VALIDATION_ERROR"
    status = HTTPStatus.BAD_REQUEST
    default_message = "the input is not valid"


class InvalidSessionState(SyncKairosError):
    """The session's status does not have this transition."""

    code = "INVALID_SESSION_STATE"
    status = HTTPStatus.BAD_REQUEST
    default_message = "the session's status does not allow this"


class ParticipantExpired(SyncKairosError):
    """The participant who was named as the next one is out of time."""

    code = "PARTICIPANT_EXPIRED"
    status = HTTPStatus.BAD_REQUEST
    default_message = "the participant is out of time"


class Unauthenticated(SyncKairosError):
    """The caller did not say who they are, or could not prove it."""

    code = "UNAUTHENTICATED"
    status = HTTPStatus.UNAUTHORIZED
    default_message = "the caller is not known"


class Forbidden(SyncKairosError):
    """The caller may not do this."""

    code = "FORBIDDEN"
    status = HTTPStatus.FORBIDDEN
    default_message = "not allowed"


class SessionNotFound(SyncKairosError):
    """There is no such session, or it belongs to another tenant."""

    code = "SESSION_NOT_FOUND"
    status = HTTPStatus.NOT_FOUND
    default_message = "there is no such session"


class ParticipantNotFound(SyncKairosError):
    """The session has no such participant or group."""

    code = "PARTICIPANT_NOT_FOUND"
    status = HTTPStatus.NOT_FOUND
    default_message = "no such participant"


class NotFound(SyncKairosError):
    """There is no such route."""

    code = "NOT_FOUND"
    status = HTTPStatus.NOT_FOUND
    default_message = "there is nothing at this address"


class MethodNotAllowed(SyncKairosError):
    """The route exists, but not for this method."""

    code = "METHOD_NOT_ALLOWED"
    status = HTTPStatus.METHOD_NOT_ALLOWED
    default_message = "this address does not take this method"


class UnsupportedMediaType(SyncKairosError):
    """The request's headers say that the body is not JSON."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_message = "the body has to be application/json"


class SessionExists(SyncKairosError):
    """The id of a new session is taken."""

    code = "SESSION_EXISTS"
    status = HTTPStatus.CONFLICT
    default_message = "a session with this id exists"


class ConcurrentModification(SyncKairosError):
    """The session is not, or no longer, at the version the caller expects. `context` says what it is at."""

    code = "CONCURRENT_MODIFICATION"
    status = HTTPStatus.CONFLICT
    retryable = True
    default_message = "another call changed the session first"


class PayloadTooLarge(SyncKairosError):
    """The body has more bytes than are allowed."""

    code = "PAYLOAD_TOO_LARGE"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_message = "the body is larger than 1 MiB"


class RateLimitExceeded(SyncKairosError):
    """Too many calls. After `retry_after_ms` the next one is accepted."""

    code = "RATE_LIMIT_EXCEEDED"
    status = HTTPStatus.TOO_MANY_REQUESTS
    retryable = True
    default_message = "too many requests"


class QuotaExceeded(SyncKairosError):
    """The tenant has as much as it may have, or is suspended. What it has goes on.

    `context` has the `quota` and, unless the tenant is suspended, its `limit`.
    """

    code = "QUOTA_EXCEEDED"
    status = HTTPStatus.TOO_MANY_REQUESTS
    default_message = "the tenant has as much as it may have"


class StorageUnavailable(SyncKairosError):
    """Redis did not answer in time, although the call was tried again."""

    code = "STORAGE_UNAVAILABLE"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "the storage does not answer"


class ChangesRefused(StorageUnavailable):
    """Redis answers, and refuses all changes, because it has too few replicas (`min-replicas-to-write`)."""

    default_message = "the storage refuses changes: it has too few replicas"


class StorageFull(StorageUnavailable):
    """Redis has reached its `maxmemory`, and refuses whatever would need more. Turns go on."""

    default_message = (
        "the storage is full and takes nothing new, while sessions that are there go on: "
        "raise Redis' maxmemory, or delete sessions"
    )


class CircuitOpen(StorageUnavailable):
    """What this needs did not answer several times in a row, so it was not asked.

    `context` has the kind of `dependency`, and `retry_after_ms` says when it is tried again.
    """

    code = "CIRCUIT_OPEN"
    default_message = "something that this needs does not answer, and is not asked for a moment"


class MessageBrokerError(SyncKairosError):
    """Pub/Sub does not work at the moment."""

    code = "MESSAGE_BROKER_ERROR"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "messages cannot be passed on at the moment"


class NotReplicated(SyncKairosError):
    """The change was made, but too few replicas confirmed it in time.

    A repeat with the same request id asks the replicas again.
    """

    code = "NOT_REPLICATED"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "too few replicas confirmed the change in time"


class SessionMoving(SyncKairosError):
    """The session is on its way to another Redis. In a moment it can be changed again."""

    code = "SESSION_MOVING"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "the session is on its way to another Redis"


class SessionMoved(SyncKairosError):
    """Another Redis has the session. `context` has its address, `moved_to`, and the name of the `move`."""

    code = "SESSION_MOVED"
    status = HTTPStatus.MISDIRECTED_REQUEST
    default_message = "another Redis has the session now"

    @property
    def moved_to(self) -> str:
        """The address of the Redis that has the session."""
        return str(self.context.get("moved_to", ""))

    @property
    def move(self) -> str:
        """The name of the move."""
        return str(self.context.get("move", ""))


class NetworkTimeout(SyncKairosError):
    """No answer came in time, so it is not known whether the call was carried out."""

    code = "NETWORK_TIMEOUT"
    status = HTTPStatus.GATEWAY_TIMEOUT
    retryable = True
    default_message = "no answer in time"


class InternalError(SyncKairosError):
    """A bug. The message never carries the text of an exception."""


def error_text(error: BaseException | None) -> str:
    """The text of an error, or the name of its type when the text is empty, as in asyncio's TimeoutError."""
    return str(error) or type(error).__name__


CODES: dict[str, type[SyncKairosError]] = {
    kind.code: kind
    for kind in (
        ValidationError,
        InvalidSessionState,
        ParticipantExpired,
        Unauthenticated,
        Forbidden,
        SessionNotFound,
        ParticipantNotFound,
        NotFound,
        MethodNotAllowed,
        UnsupportedMediaType,
        SessionExists,
        ConcurrentModification,
        PayloadTooLarge,
        RateLimitExceeded,
        QuotaExceeded,
        StorageUnavailable,
        CircuitOpen,
        MessageBrokerError,
        NotReplicated,
        SessionMoving,
        SessionMoved,
        NetworkTimeout,
        InternalError,
    )
}
"""Every code and its class."""


def from_refusal(text: str) -> SyncKairosError | None:
    """The error for a refusal of the function library; None when the text is no such refusal.

    `text` is `CODE sentence` or `CODE sentence {json}`. The object's `details` become `details`, its
    `retry_after_ms` becomes that of the error, and the rest `context`.
    """
    code, _, message = text.partition(" ")
    kind = CODES.get(code)
    if kind is None:
        return None
    context: dict[str, Any] = {}
    details: list[Detail] = []
    retry_after_ms: int | None = None
    if message.endswith("}"):
        sentence, _, json = (" " + message).partition(' {"')
        try:
            context = msgspec.json.decode('{"' + json, type=dict[str, Any])
        except msgspec.DecodeError:
            pass  # a sentence that ends with a brace
        else:
            message = sentence[1:]
            details = context.pop("details", [])
            retry_after_ms = context.pop("retry_after_ms", None)
    return kind(message or None, context=context, details=details, retry_after_ms=retry_after_ms)
