"""The route of presets: the well-known clocks that a session can be created with by name."""

from __future__ import annotations

from synckairos.api import replies, schemas
from synckairos.api.inputs import Reader
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action
from synckairos.presets import PRESETS


async def list_presets(request: ApiRequest) -> Reply:
    """All presets. They are part of the service and need no Redis, so they have no rate limit either."""
    reader = Reader(request)
    reader.query(schemas.NoQuery)
    reader.check()
    return replies.document(schemas.PresetsDocument(schemas.Presets(list(PRESETS.values()))))


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/presets",
        list_presets,
        "List the presets: well-known clocks by name",
        "sessions",
        reply=schemas.PresetsDocument,
        action=Action.PUBLIC,
    ),
)
