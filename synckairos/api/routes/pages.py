"""Routes of what browsers load: the console's pages, what its token allows, and the JavaScript client.

All files are read when the process starts; they are a few dozen small ones. A browser asks each time whether
its copy is still good (`no-cache`, ETag), so it gets the files of a new release at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from importlib.resources.abc import Traversable
from urllib.parse import parse_qsl

from synckairos.api import replies
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Handler, Route
from synckairos.api.routes import docs
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.errors import NotFound

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}

_POLICY = "content-security-policy"
_NOBODY_FRAMES = "frame-ancestors 'none'"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self'; object-src 'none'; "
    f"{_NOBODY_FRAMES}; base-uri 'none'; form-action 'self'"
)
"""For the console: it may load only its own files, and ask only its own service, so that no token gets
elsewhere. `'self'` is good for sockets of the same host and port. No other page may frame the console, but
those of FRAME_ANCESTORS."""

MODULES = ("synckairos.js", "synckairos.d.ts", "useSyncKairos.js", "useSyncKairos.d.ts")
"""The files of the JavaScript client, which pages of any origin may import."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is ready to be sent."""

    body: bytes
    content_type: str
    etag: str
    headers: dict[str, str]


def _read(file: Traversable, headers: dict[str, str]) -> _File:
    body = file.read_bytes()
    kind = TYPES["." + file.name.rpartition(".")[2]]
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _File(
        body, kind, etag, {"cache-control": "no-cache", "x-content-type-options": "nosniff", **headers}
    )


def _read_all() -> tuple[dict[str, _File], dict[str, _File]]:
    """The client's modules by name, and the console's files by their path in `web/console`."""
    web = resources.files("synckairos") / "web"
    anywhere = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
    modules = {name: _read(web / name, anywhere) for name in MODULES}
    ours = {_POLICY: CONTENT_SECURITY_POLICY, "referrer-policy": "no-referrer"}
    console: dict[str, _File] = {}
    folders = [("", web / "console")]
    for prefix, folder in folders:
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((f"{prefix}{entry.name}/", entry))
            elif entry.name.endswith(tuple(TYPES)):
                console[prefix + entry.name] = _read(entry, ours)
    return modules, console


_MODULES, _CONSOLE = _read_all()


def _answer(request: ApiRequest, file: _File | None) -> Reply:
    if file is None:
        raise NotFound
    headers = {"etag": file.etag, **file.headers}
    framing = request.context.settings.frame_ancestors
    if framing and _POLICY in headers:
        headers[_POLICY] = headers[_POLICY].replace(_NOBODY_FRAMES, f"frame-ancestors {' '.join(framing)}")
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in given or given == ["*"]:
        return Reply(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Reply(file.body, content_type=file.content_type, headers=headers)


def _serves(name: str, file: _File) -> Handler:
    """A handler that always sends this file."""

    async def handler(request: ApiRequest, **_: str) -> Reply:
        return _answer(request, file)

    handler.__name__ = name
    return handler


async def session_page(request: ApiRequest, session_id: str) -> Reply:
    """The page of a session or, with `bare` in the query, nothing but its clocks."""
    names = {name for name, _ in parse_qsl(request.query_string, keep_blank_values=True)}
    return _answer(request, _CONSOLE["session/bare.html" if "bare" in names else "session/session.html"])


async def get_console_file(request: ApiRequest, page: str, file: str) -> Reply:
    """A file of the console, which belongs to a page or is shared by all pages."""
    return _answer(request, _CONSOLE.get(f"{page}/{file}"))


async def get_console_folder_file(request: ApiRequest, page: str, folder: str, file: str) -> Reply:
    """A file in a subfolder of a page."""
    return _answer(request, _CONSOLE.get(f"{page}/{folder}/{file}"))


async def get_console_access(request: ApiRequest) -> Reply:
    """What the caller may do, for pages that show no button for anything else.

    A WebSocket says the same in `CONNECTED`, and not again after a newer token. `long_clocks` is for the form
    alone: whether clocks may have more than a day.
    """
    settings = request.context.settings
    rights = {
        "auth_mode": settings.auth_mode,
        "long_clocks": settings.long_clocks,
        **access.rights(request.caller),
    }
    return replies.document({"data": rights})


PAGES: tuple[Route, ...] = (
    Route(
        "GET",
        "/",
        _serves("console", _CONSOLE["list/index.html"]),
        "The console",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/s/{session_id}",
        session_page,
        "A session",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/room/{tag}",
        _serves("room_page", _CONSOLE["room/room.html"]),
        "A room: the sessions of a tag",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/console/access",
        get_console_access,
        "What the caller may do",
        "pages",
        needs_redis=False,
        action=Action.READ,
    ),
    Route(
        "GET",
        "/console/{page}/{file}",
        get_console_file,
        "A file of the console",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/console/{page}/{folder}/{file}",
        get_console_folder_file,
        "A file of the console",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/favicon.ico",
        _serves("icon", _CONSOLE["shared/icon.svg"]),
        "The icon",
        "pages",
        action=Action.PUBLIC,
    ),
    *(
        Route(
            "GET",
            f"/{name}",
            _serves(name.replace(".", "_"), file),
            "The JavaScript client",
            "pages",
            action=Action.PUBLIC,
        )
        for name, file in _MODULES.items()
    ),
    *docs.FILES,
)
"""The routes for browsers. They are not part of the API that OpenAPI describes."""
