"""The page at `/docs`: the description of the API for people, made from the OpenAPI document.

It can be read without scripts. With them, each call has a form to try it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from synckairos import __version__
from synckairos.api import examples
from synckairos.api.examples import EXAMPLES, Example

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""It may load what the service has, and ask its own service."""
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
}

_FILES = """<link rel=icon href=/console/shared/icon.svg type=image/svg+xml>
<link rel=stylesheet href=/console/shared/base.css>
<link rel=stylesheet href=/docs/docs.css>
<script src=/console/shared/scheme.js></script>
<script src=/docs/docs.js defer></script>"""

_HEADER = """<header class=bar><a class=brand href=/
><img src=/console/shared/icon.svg alt='' width=28 height=28><span>SyncKairos</span></a>"""


def page(described: dict[str, Any]) -> bytes:
    """The OpenAPI document as an HTML page."""
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((method, path, operation))
    links = "".join(f"<li><a href=#{tag}>{tag.capitalize()}</a>" for tag in [*by_tag, "types"])
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>The API of SyncKairos {escape(__version__)}</title>{_FILES}",
        "<a class=skip href=#main>Skip to the content</a>",
        _HEADER,
        f"<nav aria-label=Contents><ul>{links}</ul></nav></header>",
        f"<main id=main tabindex=-1><h1>The API of SyncKairos {escape(__version__)}</h1>",
        f"<p>{_prose(described['info']['description'])}</p>",
        "<p>For programs: <a href=/openapi.json>openapi.json</a>. The examples begin with</p>",
        "<pre id=origin>API=http://127.0.0.1:8080</pre><div id=try></div>",
    ]
    for tag, operations in by_tag.items():
        parts.append(f"<section aria-labelledby={tag}><h2 id={tag}>{tag.capitalize()}</h2>")
        parts += [_operation(*each) for each in operations]
        parts.append("</section>")
    parts.append("<section aria-labelledby=types><h2 id=types>Types</h2>")
    parts += [_schema(name, schema) for name, schema in described["components"]["schemas"].items()]
    parts.append("</section></main></html>")
    return "\n".join(parts).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    name = operation["operationId"]
    example = EXAMPLES[name]
    body = operation.get("requestBody")
    rows = [
        (
            f"<code>{escape(parameter['name'])}</code>",
            escape(parameter["in"]),
            _type(parameter["schema"]),
            _prose(parameter.get("description", "")),
        )
        for parameter in operation["parameters"]
    ]
    if body is not None:
        needed = "required" if body["required"] else "optional"
        rows.append(("body", needed, _type(body["content"]["application/json"]["schema"]), ""))
    answers = [
        (
            str(status),
            escape(answer["description"]),
            "; ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values()),
        )
        for status, answer in operation["responses"].items()
    ]
    said = operation.get("description", "")
    return (
        f"<details id={name} data-method={method.upper()} data-path='{escape(path)}'>"
        f"<summary><span class=method>{method.upper()}</span> <code>{escape(path)}</code> "
        f"{escape(operation['summary'])}</summary>"
        f"{f'<p>{_prose(said)}</p>' if said else ''}"
        f"<h3>Example</h3><pre class=example>{escape(_curl(method, path, example))}</pre>"
        f"{_table('Takes', ('name', 'where', 'type', 'about'), rows)}"
        f"{_table('Answers', ('status', 'meaning', 'type'), answers)}</details>"
    )


def _curl(method: str, path: str, example: Example) -> str:
    """The example as a command."""
    verb = {"get": "", "post": "-X POST "}.get(method, f"-X {method.upper()} ")
    if example.body is not None:
        text = json.dumps(example.body)
        verb = f"{'' if method == 'post' else verb}--json {shlex.quote(text)} "
    return f'curl {verb}"$API{examples.path_of(path, example)}"'


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{each.capitalize()}" for each in heads)
    lines = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<div class=wide><table><caption>{caption}</caption><thead><tr>{head}<tbody>{lines}</table></div>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>{'' if field in required else ' (optional)'}",
            _type(inner),
            _about(inner),
        )
        for field, inner in schema.get("properties", {}).items()
    ]
    return (
        f"<details id={escape(name)}><summary><code>{escape(name)}</code> "
        f"{_prose(schema.get('description', ''))}</summary>"
        f"{_table('Fields', ('field', 'type', 'about'), rows)}</details>"
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
