"""One row of the table of routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from synckairos.api import limits
from synckairos.api.inputs import MAX_TRANSITION
from synckairos.api.limits import RateLimit
from synckairos.api.replies import Reply
from synckairos.api.schemas import Input, NoQuery
from synckairos.auth.access import Action
from synckairos.errors import SyncKairosError

Handler = Callable[..., Awaitable[Reply]]
"""Called with the request, and with the parameters of the path by name."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method at a path, its handler, and its description for OpenAPI.

    action: what it does, by which the table of access says who may call it
    path: with parameters in braces, as in `/v1/sessions/{session_id}`
    reply, body: the types of the bodies; None for no JSON body
    largest: how many bytes the request's body may have
    query: the query parameters
    conditional: whether it takes `If-Match`
    idempotent: whether it takes `Idempotency-Key`
    limit: its rate limit, where that does not follow from its action
    unlimited: whether it has none
    needs_redis: whether it has nothing to answer while Redis is away; else it is answered, and not counted
    errors: the errors of this route, without those that every route has
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    reply: type[msgspec.Struct] | None = None
    status: int = 200
    body: type[msgspec.Struct] | None = None
    largest: int = MAX_TRANSITION
    body_required: bool = False
    query: type[Input] = NoQuery
    conditional: bool = False
    idempotent: bool = False
    limit: RateLimit | None = None
    unlimited: bool = False
    needs_redis: bool = True
    errors: tuple[type[SyncKairosError], ...] = ()
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    action: Action = field(kw_only=True)

    @property
    def rate_limit(self) -> RateLimit | None:
        """The limit that a request takes from."""
        return None if self.unlimited else self.limit or limits.of(self.action, self.method)

    @property
    def sanic_path(self) -> str:
        """The path in the syntax of Sanic's router."""
        return re.sub(r"\{(\w+)\}", r"<\1:str>", self.path)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the router accepts: each GET route answers HEAD too."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def name(self) -> str:
        """The operation's name, unique among the routes."""
        return self.handler.__name__


def arguments_of(path: str) -> list[Any]:
    """The names of the parameters of a path, in order."""
    return re.findall(r"\{(\w+)\}", path)
