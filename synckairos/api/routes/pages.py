"""Routes of what browsers load: the console's pages, what its token allows, and the JavaScript client.

What they send is in `synckairos.api.delivery`: the pages, packed, and their files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qsl

from synckairos.api import replies
from synckairos.api.delivery.answers import answer, built, framing
from synckairos.api.delivery.site import MODULES, UUID, File, site
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.api.route import Handler, Route
from synckairos.api.routes import docs
from synckairos.auth import access
from synckairos.auth.access import Action

_IS_UUID = re.compile(UUID)


def _serves(name: str, file: Callable[[], File]) -> Handler:
    """A handler that always sends this file."""

    async def handler(request: ApiRequest, **_: str) -> Reply:
        return await answer(request, file())

    handler.__name__ = name
    return handler


def _module(name: str) -> File:
    return site().modules[name]


async def session_page(request: ApiRequest, session_id: str) -> Reply:
    """The page of a session or, with `bare` in the query, nothing but its clocks.

    Of a link that is not whole it says so, in words.
    """
    names = {name for name, _ in parse_qsl(request.query_string, keep_blank_values=True)}
    page = "session/bare.html" if "bare" in names else "session/session.html"
    status = HTTPStatus.OK if _IS_UUID.fullmatch(session_id) else HTTPStatus.NOT_FOUND
    return await answer(request, site().pages[page], status)


async def get_console_file(request: ApiRequest, page: str, file: str) -> Reply:
    """A file of the console, which belongs to a page or is shared by all pages, or a packed one."""
    address = f"/console/{page}/{file}"
    return await answer(request, site().console.get(address) or built(address))


async def get_console_folder_file(request: ApiRequest, page: str, folder: str, file: str) -> Reply:
    """A file in a subfolder of a page."""
    return await answer(request, site().console.get(f"/console/{page}/{folder}/{file}"))


async def get_service_worker(request: ApiRequest) -> Reply:
    """What keeps the pages in the browser, so that they open without a network."""
    return await answer(request, site().service_worker(framing(request)))


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
        _serves("console", lambda: site().pages["list/index.html"]),
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
        _serves("room_page", lambda: site().pages["room/room.html"]),
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
        _serves("icon", lambda: site().console["/console/shared/icon.svg"]),
        "The icon",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/manifest.webmanifest",
        _serves("manifest", lambda: site().console["/console/shared/manifest.webmanifest"]),
        "What a device that installs the console shows of it",
        "pages",
        action=Action.PUBLIC,
    ),
    Route(
        "GET",
        "/sw.js",
        get_service_worker,
        "The service worker",
        "pages",
        action=Action.PUBLIC,
    ),
    *(
        Route(
            "GET",
            f"/{name}",
            _serves(name.replace(".", "_"), partial(_module, name)),
            "The JavaScript client",
            "pages",
            action=Action.PUBLIC,
        )
        for name in MODULES
    ),
    *docs.FILES,
)
"""The routes for browsers. They are not part of the API that OpenAPI describes."""
