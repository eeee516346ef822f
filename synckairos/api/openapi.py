"""The OpenAPI 3.1 document, made from the table of routes and the types of the bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from synckairos import __version__
from synckairos.api import gate, limits, quotas, schemas
from synckairos.api.examples import EXAMPLES
from synckairos.api.inputs import MATCH, VISIBLE
from synckairos.api.limits import RateLimit
from synckairos.api.route import Route, arguments_of
from synckairos.auth import access
from synckairos.auth.access import Action
from synckairos.auth.tenants import Tenant
from synckairos.config import Settings
from synckairos.errors import (
    CircuitOpen,
    Forbidden,
    InternalError,
    NetworkTimeout,
    PayloadTooLarge,
    QuotaExceeded,
    RateLimitExceeded,
    StorageUnavailable,
    SyncKairosError,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationError,
)

ABOUT = (
    "Turn timers that everybody sees run the same. Times are UTC; `*_ms` are milliseconds, `*_at` ISO 8601. "
    "All times are those of the Redis primary's clock, see `GET /v1/time`. "
    "Events come over the WebSocket `/ws?session_id=…`."
)
_IF_MATCH = (
    'The ETag of a state, or a quoted version (`"47"`): refused unless the session is still at that version'
)
_IDEMPOTENCY_KEY = (
    "1-255 visible ASCII characters; a repeat changes nothing, and its answer has `Idempotent-Replayed: true`"
)

_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": (
        "A JWT, an API key (`sk_…`) or the token of a link. With `AUTH_MODE=none` nobody is asked for one."
    ),
}
_PATTERNS = {"If-Match": f"^{MATCH.pattern}$", "Idempotency-Key": f"^{VISIBLE.pattern}$"}
"""What the values of these headers look like."""


def document(routes: Sequence[Route], settings: Settings) -> dict[str, Any]:
    """The OpenAPI document."""
    types: list[type[msgspec.Struct]] = [schemas.FailureDocument]
    for route in routes:
        types += [kind for kind in (route.reply, route.body) if kind is not None]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, settings)
    return {
        "openapi": "3.1.0",
        "info": {"title": "SyncKairos", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": _components(tuple(dict.fromkeys(types)), settings.long_clocks),
            "securitySchemes": {"bearer": _BEARER},
        },
    }


@cache
def _components(types: tuple[type[msgspec.Struct], ...], long_clocks: bool) -> dict[str, Any]:
    """The schemas of these types. They take most of the time that the document takes."""
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for component in components.values():
        _bound(component, long_clocks)
    return components


def _bound(schema: Any, long_clocks: bool) -> None:
    """Replace the bounds of clocks in a schema by those that hold without `LONG_CLOCKS`, unless it is set."""
    if isinstance(schema, dict):
        short = schema.pop(schemas.SHORT, {})
        if not long_clocks:
            schema.update(short)
        for inner in schema.values():
            _bound(inner, long_clocks)
    elif isinstance(schema, list):
        for inner in schema:
            _bound(inner, long_clocks)


def _operation(route: Route, settings: Settings) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": list(_parameters(route)),
        "responses": _responses(route, settings),
        "security": [] if route.action is Action.PUBLIC else [{"bearer": []}],
    }
    described = [] if route.action is Action.PUBLIC else [f"Who may: {access.who_may(route.action)}"]
    if (limit := _limit(route, settings)) is not None:
        described.append(
            f"Rate limit ({limit.name}): {limit.count} in {limit.period_ms / 1000:g} s per {limit.per.value}"
        )
    if described:
        operation["description"] = ". ".join(described)
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
        body = EXAMPLES[route.name].body
        if body is not None:
            operation["requestBody"]["content"]["application/json"]["example"] = body
    return operation


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in arguments_of(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    for field in msgspec.structs.fields(route.query):
        # A query has no null: a parameter that is not given is left out.
        schema = msgspec.json.schema(field.type)
        schema = next((part for part in schema.get("anyOf", ()) if part != {"type": "null"}), schema)
        if "enum" in schema:
            schema = {"type": "string", "enum": [value for value in schema["enum"] if value is not None]}
        yield {"name": field.encode_name, "in": "query", "schema": schema}
    headers = dict(route.headers)
    if route.conditional:
        headers["If-Match"] = _IF_MATCH
    if route.idempotent:
        headers["Idempotency-Key"] = _IDEMPOTENCY_KEY
    for name, description in headers.items():
        schema = {"type": "string", "pattern": _PATTERNS[name]} if name in _PATTERNS else {"type": "string"}
        yield {"name": name, "in": "header", "description": description, "schema": schema}


def _responses(route: Route, settings: Settings) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.reply is not None:
        success["content"] = {route.content_type: {"schema": _ref(route.reply)}}
    elif route.status != HTTPStatus.NO_CONTENT:
        success["content"] = {route.content_type: {}}
    responses: dict[str, Any] = {str(int(route.status)): success}
    if "If-None-Match" in route.headers:
        responses["304"] = {"description": HTTPStatus.NOT_MODIFIED.phrase}
    if route.path == "/ready":
        responses["503"] = {**success, "description": "Not ready"}
        return responses
    by_status: dict[int, list[str]] = {}
    for error in sorted(_errors(route, settings), key=lambda error: (error.status, error.code)):
        by_status.setdefault(int(error.status), []).append(error.code)
    for status, codes in by_status.items():
        responses[str(status)] = {
            "description": ", ".join(codes),
            "content": {"application/json": {"schema": _ref(schemas.FailureDocument)}},
        }
    return responses


def _errors(route: Route, settings: Settings) -> set[type[SyncKairosError]]:
    errors = {*route.errors, InternalError}
    if StorageUnavailable in errors:
        errors.add(CircuitOpen)
    if route.action is not Action.PUBLIC:
        errors |= {Unauthenticated, Forbidden}
    if route.path not in gate.EVERYWHERE:  # for the host, if for nothing else
        errors.add(ValidationError)
    if route.body is not None:
        errors |= {UnsupportedMediaType, PayloadTooLarge, NetworkTimeout}
    if _limit(route, settings) is not None:
        errors.add(RateLimitExceeded)
    if route.method == "POST" and route.action in quotas.NEW:
        errors.add(QuotaExceeded)
    return errors


def _limit(route: Route, settings: Settings) -> RateLimit | None:
    limit = route.rate_limit
    if limit is None or not settings.rate_limit_enabled:
        return None
    return limits.in_force(limit, settings, Tenant())


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
