"""The route of the access log: who was refused, and what admins did."""

from __future__ import annotations

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.api.routes.common import NO_AUDIT_RETRY_AFTER_MS, cursor
from synckairos.audit.access_log import entries
from synckairos.audit.access_log.entries import Stored
from synckairos.audit.reading import iso
from synckairos.auth.access import Action
from synckairos.errors import StorageUnavailable


async def get_access_log(request: ApiRequest) -> Reply:
    """The log of the caller's tenant, newest first.

    What this process has on record and has not written yet is written first. What other processes have, they
    write within some 10 s.
    """
    reader = Reader(request)
    query = reader.query(schemas.AccessLogQuery)
    before = cursor(reader, query.cursor, entries.read_cursor)
    reader.check()
    log = request.context.access_log
    if log is None:
        raise StorageUnavailable(
            "the access log is in PostgreSQL, and this service has none",
            retry_after_ms=NO_AUDIT_RETRY_AFTER_MS,
        )
    await log.flush()
    found = await entries.read(log.store, request.caller.tenant, before=before, limit=query.limit + 1)
    shown = found[: query.limit]
    after = entries.cursor(shown[-1]) if len(found) > len(shown) else None
    page = schemas.AccessLogPage([_shown(entry) for entry in shown], after)
    return replies.document(schemas.AccessLogDocument(page))


def _shown(entry: Stored) -> schemas.AccessLogEntry:
    return schemas.AccessLogEntry(
        at=iso(entry.at),
        tenant_id=entry.tenant_id,
        sub=entry.sub,
        roles=entry.roles,
        token_id=entry.token_id,
        action=entry.action,
        session_id=entry.session_id,
        outcome=entry.outcome,
        code=entry.code,
        request_id=entry.request_id,
        address=entry.address,
        count=entry.count,
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/access-log",
        get_access_log,
        "Who was refused, and what admins did (admins)",
        "service",
        reply=schemas.AccessLogDocument,
        query=schemas.AccessLogQuery,
        needs_redis=False,
        errors=(StorageUnavailable,),
        action=Action.READ_ACCESS_LOG,
    ),
)
