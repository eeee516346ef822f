"""The route that says what the caller may do, for pages that show no button for anything else."""

from __future__ import annotations

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth import access
from synckairos.auth.access import Action


async def get_access(request: ApiRequest) -> Reply:
    """What the caller may do. A WebSocket says the same in `CONNECTED`, and not again after a newer token."""
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    reader.check()
    rights = access.rights(request.caller)
    found = schemas.Access(auth_mode=request.context.settings.auth_mode, **rights)
    return replies.document(schemas.AccessDocument(found))


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/access",
        get_access,
        "What the caller may do",
        "service",
        reply=schemas.AccessDocument,
        needs_redis=False,
        action=Action.READ,
    ),
)
