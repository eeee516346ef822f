"""Routes of the description of the API: as OpenAPI for programs, and as a page for people."""

from __future__ import annotations

from importlib import resources

from synckairos.api.delivery.answers import answer
from synckairos.api.delivery.site import TYPES, File
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action

_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_FILES = {
    file.name: File(file.read_bytes(), TYPES[ending], _HEADERS)
    for file in (resources.files("synckairos") / "web" / "docs").iterdir()
    if (ending := file.name.rpartition(".")[2]) in ("css", "js")
}


async def get_openapi(request: ApiRequest) -> Reply:
    """This description, as OpenAPI."""
    return Reply(request.context.openapi)


async def get_docs(request: ApiRequest) -> Reply:
    """This description, for people."""
    return await answer(request, request.context.docs)


async def get_docs_file(request: ApiRequest, file: str) -> Reply:
    """What the page for people loads."""
    return await answer(request, _FILES.get(file))


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/openapi.json", get_openapi, "This description, as OpenAPI", "service", action=Action.PUBLIC
    ),
    Route(
        "GET",
        "/docs",
        get_docs,
        "This description, for people",
        "service",
        content_type="text/html",
        action=Action.PUBLIC,
    ),
)

FILES: tuple[Route, ...] = (
    Route("GET", "/docs/{file}", get_docs_file, "A file of the page", "pages", action=Action.PUBLIC),
)
"""They are for browsers, and no part of the API that OpenAPI describes."""
