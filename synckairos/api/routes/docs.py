"""Routes of the description of the API: as OpenAPI for programs, and as a page for people."""

from __future__ import annotations

from importlib import resources

from synckairos.api import docs
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Route
from synckairos.auth.access import Action
from synckairos.errors import NotFound

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FILES = {
    file.name: (file.read_bytes(), _TYPES[file.name[file.name.rindex(".") :]])
    for file in (resources.files("synckairos") / "web" / "docs").iterdir()
    if file.name.endswith(tuple(_TYPES))
}


async def get_openapi(request: ApiRequest) -> Reply:
    """This description, as OpenAPI."""
    return Reply(request.context.openapi)


async def get_docs(request: ApiRequest) -> Reply:
    """This description, for people."""
    reply = Reply(request.context.docs, content_type="text/html; charset=utf-8")
    reply.headers["content-security-policy"] = docs.CONTENT_SECURITY_POLICY
    return reply


async def get_docs_file(_: ApiRequest, file: str) -> Reply:
    """What the page for people loads."""
    if file not in _FILES:
        raise NotFound
    body, kind = _FILES[file]
    headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Reply(body, content_type=kind, headers=headers)


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
