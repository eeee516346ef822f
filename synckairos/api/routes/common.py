"""Parts that the routes of sessions share."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from synckairos.api import replies
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.audit.store import Store
from synckairos.core.model import Change, Options
from synckairos.errors import (
    ConcurrentModification,
    InvalidSessionState,
    SessionMoved,
    SessionMoving,
    SessionNotFound,
    StorageUnavailable,
    SyncKairosError,
)

T = TypeVar("T")

NO_AUDIT_RETRY_AFTER_MS = 60_000
SESSION = "/v1/sessions/{session_id}"


READ_ERRORS: tuple[type[SyncKairosError], ...] = (SessionNotFound, SessionMoved, StorageUnavailable)
CHANGE_ERRORS: tuple[type[SyncKairosError], ...] = (
    *READ_ERRORS,
    SessionMoving,
    ConcurrentModification,
    InvalidSessionState,
)


def audit_store(request: ApiRequest, without: str, context: dict[str, int] | None = None) -> Store:
    """The audit store. When there is none, raises StorageUnavailable with the message `without`."""
    store = request.context.store
    if store is None:
        raise StorageUnavailable(without, context=context, retry_after_ms=NO_AUDIT_RETRY_AFTER_MS)
    return store


def changed(change: Change, options: Options, status: int = HTTPStatus.OK) -> Reply:
    """The answer to a change."""
    return replies.change(change, status, replayed=options.request is not None and change.replayed)


def cursor(reader: Reader, text: str | None, read: Callable[[str], T]) -> T | None:
    """What the cursor in a query was made of; None without one, or when it is reported as a problem.

    read: raises ValueError for what is no cursor
    """
    if text is None:
        return None
    try:
        return read(text)
    except ValueError:
        reader.problem("cursor", "must be the next_cursor of a page before")
        return None
