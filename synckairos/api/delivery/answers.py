"""Files as answers: compressed, or not sent again where the browser's copy is good; and what is not there."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import Any

from synckairos.api.delivery import encoding
from synckairos.api.delivery.packing import BUILT
from synckairos.api.delivery.site import NOBODY_FRAMES, POLICY, File, site
from synckairos.api.replies import Reply
from synckairos.api.request import ApiRequest
from synckairos.errors import NotFound

_HASHED = re.compile(rf"{re.escape(BUILT)}([\w.-]+)-[0-9a-f]{{12}}(\.\w+)")
_FOR_NOBODY = {"cache-control": "no-store"}


def framing(request: ApiRequest) -> str:
    """Which pages may frame those of the console, as the policy says it."""
    given = request.context.settings.frame_ancestors
    return f"frame-ancestors {' '.join(given)}" if given else NOBODY_FRAMES


async def answer(request: ApiRequest, file: File | None, status: int = HTTPStatus.OK) -> Reply:
    """The answer with a file, or `304` for a copy that is still good. Raises NotFound without a file."""
    if file is None:
        raise NotFound
    headers, name = dict(file.headers), encoding.IDENTITY
    if POLICY in headers:
        headers[POLICY] = headers[POLICY].replace(NOBODY_FRAMES, framing(request))
    if file.is_compressible:
        headers["vary"] = "Accept-Encoding"
        name = encoding.chosen(request.headers.get("accept-encoding", ""))
    # The compressed form becomes smaller, and stays the same content: that is what a weak tag says.
    tag = f'"{file.tag}"' if name == encoding.IDENTITY else f'"{file.tag}-{name}"'
    headers["etag"] = tag if name == encoding.IDENTITY else f"W/{tag}"
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if status == HTTPStatus.OK and (tag in given or given == ["*"]):
        return Reply(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if name != encoding.IDENTITY:
        headers["content-encoding"] = name
    return Reply(file.encoded(name), status, content_type=file.content_type, headers=headers)


def built(address: str) -> File | None:
    """For a packed file of another release: this release's of the same name, which nobody may keep.

    While a release replaces another one, a page of the one may ask a process of the other.
    """
    wanted = _HASHED.fullmatch(address)
    return None if wanted is None else _by_name().get(wanted.groups())


@cache
def _by_name() -> dict[tuple[str | Any, ...], File]:
    """The packed files for pages of another release, by name and ending."""
    return {
        found.groups(): file.with_headers(_FOR_NOBODY)
        for each, file in site().console.items()
        if (found := _HASHED.fullmatch(each)) is not None
    }


async def missing(request: ApiRequest) -> Reply | None:
    """A page that says that there is nothing at this address, for a browser; None for other programs.

    What begins with `/v1/` is answered as the API does, whoever asks.
    """
    wants_page = "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD")
    if not wants_page or request.path.startswith("/v1/"):
        return None
    reply = await answer(request, site().pages["missing/missing.html"], HTTPStatus.NOT_FOUND)
    reply.headers["vary"] = "Accept, Accept-Encoding"
    return reply
