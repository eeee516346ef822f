"""The OpenAPI 3.1 document, made from the table of routes and the types of the bodies, and a page from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from http import HTTPStatus
from typing import Any

import msgspec

from synckairos import __version__
from synckairos.api import gate, limits, quotas, schemas
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

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_ABOUT = (
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
        "info": {"title": "SyncKairos", "version": __version__, "description": _ABOUT},
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


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
:root{color-scheme:light dark}code,.method{font-family:ui-monospace,monospace;font-size:.9em}
details{border:1px solid #8888;border-radius:6px;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}.method{display:inline-block;min-width:4.5em;font-weight:700}
table{border-collapse:collapse;margin:.5rem 0}
td{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}
"""


def page(described: dict[str, Any]) -> bytes:
    """The document as an HTML page without scripts or other files."""
    tags = dict.fromkeys(
        tag for methods in described["paths"].values() for each in methods.values() for tag in each["tags"]
    )
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>SyncKairos {escape(__version__)}</title><style>{_STYLE}</style>",
        f"<h1>SyncKairos {escape(__version__)}</h1><p>{_prose(_ABOUT)}</p>",
        "<p>For programs: <a href=/openapi.json>openapi.json</a></p>",
    ]
    for tag in tags:
        parts.append(f"<h2>{escape(tag.capitalize())}</h2>")
        for path, methods in described["paths"].items():
            parts += [
                _operation_html(method, path, operation)
                for method, operation in methods.items()
                if operation["tags"] == [tag]
            ]
    parts.append("<h2>Types</h2>")
    for name, schema in described["components"]["schemas"].items():
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code>"
            f"{'' if field in schema.get('required', ()) else ' (optional)'}"
            f"<td>{_type(inner)}<td>{_about(inner)}"
            for field, inner in schema.get("properties", {}).items()
        )
        about = _prose(schema.get("description", ""))
        parts.append(
            f"<details id={escape(name)}><summary><code>{escape(name)}</code> {about}</summary>"
            f"<table>{rows}</table></details>"
        )
    return "\n".join(parts).encode()


def _operation_html(method: str, path: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody")
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(parameter['in'])}"
        f"<td>{_type(parameter['schema'])}<td>{_prose(parameter.get('description', ''))}"
        for parameter in operation["parameters"]
    )
    if body is not None:
        needed = "required" if body["required"] else "optional"
        rows += f"<tr><td>body<td>{needed}<td>{_type(body['content']['application/json']['schema'])}<td>"
    answers = "".join(
        f"<tr><td>{status}<td>{escape(answer['description'])}"
        f"<td>{'; '.join(_type(content.get('schema', {})) for content in answer.get('content', {}).values())}"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><span class=method>{method.upper()}</span><code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary><p>{_prose(operation.get('description', ''))}</p>"
        f"<table>{rows}</table><table>{answers}</table></details>"
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in one line."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href=#{name}>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [
        f"{words} {schema[name]}"
        for name, words in (("minimum", "from"), ("maximum", "to"), ("maxLength", "up to"))
        if name in schema
    ]
    return escape(" ".join([str(schema.get("format", schema.get("type", "any"))), *bounds]))


def _about(schema: dict[str, Any]) -> str:
    """The description and the examples of a schema and of its alternatives (`anyOf`)."""
    parts = [schema, *schema.get("anyOf", ())]
    said = [_prose(part["description"]) for part in parts if "description" in part]
    examples = [example for part in parts for example in part.get("examples", ())]
    if examples:
        texts = (each if isinstance(each, str) else msgspec.json.encode(each).decode() for each in examples)
        said.append("such as " + ", ".join(f"<code>{escape(text)}</code>" for text in texts))
    return "; ".join(said)


def _prose(text: str) -> str:
    """Text as HTML; parts between backticks become code."""
    return "".join(
        f"<code>{escape(part)}</code>" if position % 2 else escape(part)
        for position, part in enumerate(text.split("`"))
    )
