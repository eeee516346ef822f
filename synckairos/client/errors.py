"""What can go wrong: one class for each code of the service, and some of the client's own.

All of them are `SyncKairosError`s with `code`, `status`, `message`, `retryable`, `context`, `details` and
`retry_after_ms`. What the network does to a call is one of them too, so that one `except` catches all.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from synckairos.errors import (
    CODES,
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
    RateLimitExceeded,
    SessionExists,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationError,
)

__all__ = [
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
    "RateLimitExceeded",
    "SessionExists",
    "SessionNotFound",
    "StorageUnavailable",
    "SyncKairosError",
    "Unauthenticated",
    "UnexpectedAnswer",
    "UnsupportedMediaType",
    "ValidationError",
]


class ConnectionLost(SyncKairosError):
    """The service cannot be reached. Whether an unanswered call was carried out is not known."""

    code = "CONNECTION_LOST"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retryable = True
    default_message = "the service cannot be reached"


class ClientClosed(SyncKairosError):
    """The client, or this session of it, was closed before there was an answer."""

    code = "CLOSED"
    default_message = "the client is closed"


class UnexpectedAnswer(SyncKairosError):
    """Something answered that is no SyncKairos service, or one that this client does not understand."""

    code = "UNEXPECTED_ANSWER"
    status = HTTPStatus.BAD_GATEWAY
    default_message = "the answer is none of a SyncKairos service"


class ClockSkew(SyncKairosError):
    """This machine's clock is more than a minute off; what is shown goes by the server's all the same."""

    code = "CLOCK_SKEW"
    default_message = "this machine's clock is wrong"


class ClockSkewRefused(SyncKairosError):
    """This machine's clock is so far off that no remaining time is told."""

    code = "CLOCK_SKEW_REFUSED"
    default_message = "this machine's clock is too wrong to show a clock by"


_BY_STATUS: dict[int, type[SyncKairosError]] = {
    401: Unauthenticated,
    403: Forbidden,
    413: PayloadTooLarge,
    429: RateLimitExceeded,
    502: ConnectionLost,
    503: ConnectionLost,
    504: NetworkTimeout,
}
"""For answers that are not the service's, but of somebody on the way to it."""


class _Unknown(SyncKairosError):
    """An error with a code that this client does not know."""


def from_answer(
    error: Mapping[str, Any] | None, status: int | None = None, retry_after_ms: int | None = None
) -> SyncKairosError:
    """The error of an answer.

    error: the object under `error` of a body or an `ERROR` message, None where there was none
    status: the HTTP status, where there is one
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
        # A newer service has more codes: the instance says what the class cannot.
        vars(found).update(code=code, status=status or 500, retryable=error.get("retryable") is True)
    return found
