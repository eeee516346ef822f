"""The errors of the client: one class for each code of the service, and some for the client itself.

All of them are `SyncKairosError`s with `code`, `status`, `message`, `retryable`, `context`, `details` and
`retry_after_ms`. Errors of the network are among them, so one `except` catches everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from synckairos.errors import (
    CODES,
    CircuitOpen,
    ConcurrentModification,
    Detail,
    Forbidden,
    InternalError,
    InvalidSessionState,
    MessageBrokerError,
    MethodNotAllowed,
    NetworkTimeout,
    NotFound,
    NotReplicated,
    ParticipantExpired,
    ParticipantNotFound,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimitExceeded,
    SessionExists,
    SessionMoved,
    SessionMoving,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationError,
    draw_caret,
)

__all__ = [
    "CircuitOpen",
    "ClientClosed",
    "ClockSkew",
    "ClockSkewRefused",
    "ConcurrentModification",
    "ConnectionLost",
    "Detail",
    "Forbidden",
    "InternalError",
    "InvalidSessionState",
    "MessageBrokerError",
    "MethodNotAllowed",
    "NetworkTimeout",
    "NotFound",
    "NotReplicated",
    "ParticipantExpired",
    "ParticipantNotFound",
    "PayloadTooLarge",
    "QuotaExceeded",
    "RateLimitExceeded",
    "SessionExists",
    "SessionMoved",
    "SessionMoving",
    "SessionNotFound",
    "StorageUnavailable",
    "SyncKairosError",
    "Unauthenticated",
    "UnexpectedAnswer",
    "UnsupportedMediaType",
    "ValidationError",
    "draw_caret",
]


class ConnectionLost(SyncKairosError):
    """The service cannot be reached. It is not known whether a call without an answer was carried out."""

    code = "CONNECTION_LOST"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "the service cannot be reached"


class ClientClosed(SyncKairosError):
    """The client, or its session, was closed before an answer came."""

    code = "CLOSED"
    default_message = "the client is closed"


class UnexpectedAnswer(SyncKairosError):
    """The answer did not come from a SyncKairos service, or this client does not understand it."""

    code = "UNEXPECTED_ANSWER"
    status = HTTPStatus.BAD_GATEWAY
    default_message = "the answer is not from a SyncKairos service"


class ClockSkew(SyncKairosError):
    """This machine's clock is wrong by more than a minute. Clocks still follow the server's time."""

    code = "CLOCK_SKEW"
    default_message = "this machine's clock is wrong"


class ClockSkewRefused(SyncKairosError):
    """This machine's clock is so wrong that no remaining times are given."""

    code = "CLOCK_SKEW_REFUSED"
    default_message = "this machine's clock is too wrong to show remaining times"


_BY_STATUS: dict[int, type[SyncKairosError]] = {
    401: Unauthenticated,
    403: Forbidden,
    413: PayloadTooLarge,
    429: RateLimitExceeded,
    502: ConnectionLost,
    503: ConnectionLost,
    504: NetworkTimeout,
}
"""For answers that do not come from the service but, for example, from a proxy."""


class _Unknown(SyncKairosError):
    """An error with a code that this client does not know."""


def from_answer(
    error: Mapping[str, Any] | None, status: int | None = None, retry_after_ms: int | None = None
) -> SyncKairosError:
    """The error that an answer stands for.

    error: the object under `error` in a body or an `ERROR` message; None when there is none
    status: the HTTP status; None for a message
    """
    if error is None:
        kind = _BY_STATUS.get(status or 0, UnexpectedAnswer)
        return kind(f"the answer (HTTP {status}) is not the service's", retry_after_ms=retry_after_ms)
    code = str(error.get("code"))
    context, details = error.get("context"), error.get("details")
    context = context if isinstance(context, dict) else {}
    if retry_after_ms is None and isinstance(context.get("retry_after_ms"), int):
        retry_after_ms = context["retry_after_ms"]
    found = CODES.get(code, _Unknown)(
        str(error.get("message", code)),
        context=context,
        details=details if isinstance(details, list) else (),
        retry_after_ms=retry_after_ms,
    )
    if isinstance(found, _Unknown):
        # A newer service may have more codes. Then code and status are set on the instance.
        vars(found).update(code=code, status=status or 500, retryable=error.get("retryable") is True)
    return found
