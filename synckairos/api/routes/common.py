"""Parts that the routes of sessions share."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from synckairos.api import replies
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


def encoded(fields: dict[str, msgspec.Raw]) -> bytes:
    """An object as JSON. The values stay as they came, and the names have no needless escapes."""
    return (
        b"{" + b",".join(msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()) + b"}"
    )
