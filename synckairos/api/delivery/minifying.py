"""Takes comments and spaces out of a script.

rjsmin does it, and reads a template inside of a template wrongly: it takes the inner one for code. So a
template that has another one inside is put aside first, and comes back as it was.
"""

from __future__ import annotations

import re

import rjsmin

_NESTED = re.compile(r"\$\{[^}]*`")
"""Where a template may be inside of another one."""

_TOKEN = re.compile(
    r"""
    (?P<skip>[^"'`/{}$]+ | //[^\n]* | /\*.*?\*/ | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
    | (?P<pattern>(?:(?<=[(,=:\[!&|?{};+*%<>~^\n-])|(?<=[(,=:\[!&|?{};+*%<>~^-]\ )|(?<=return\ ))
        /(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*(`|\$\{)", re.DOTALL)
_ASIDE = re.compile(r"\$aside(\d+)\$")


def _template(text: str, at: int) -> tuple[int, bool]:
    """Where a template ends that has begun before `at`, and whether it has another one inside."""
    is_nested = False
    while (piece := _IN_TEMPLATE.match(text, at)) is not None:
        at = piece.end()
        if piece[1] == "`":
            return at, is_nested
        at, has_template = _value(text, at)
        is_nested = is_nested or has_template
    return len(text), False  # it has no end: whoever reads the script says so


def _value(text: str, at: int) -> tuple[int, bool]:
    """Where a value in a template ends, and whether it has a template."""
    depth, has_template = 0, False
    while at < len(text):
        at, sign = _next(text, at)
        if sign == "`":
            at, has_template = _template(text, at)[0], True
        elif sign == "{":
            depth += 1
        elif sign == "}" and depth == 0:
            break
        elif sign == "}":
            depth -= 1
    return at, has_template


def _next(text: str, at: int) -> tuple[int, str | None]:
    """The end of what begins at `at`; and the character, if that is no comment, string or pattern."""
    found = _TOKEN.match(text, at)
    assert found is not None
    return found.end(), found["other"]


def _aside(text: str) -> tuple[str, list[str]]:
    """The text with a name in place of each template that has another one inside, and these templates."""
    kept, templates = list[str](), list[str]()
    at = copied = 0
    while at < len(text):
        began = at
        at, sign = _next(text, at)
        if sign != "`":
            continue
        at, is_nested = _template(text, at)
        if is_nested:
            kept += [text[copied:began], f"$aside{len(templates)}$"]
            templates.append(text[began:at])
            copied = at
    return "".join([*kept, text[copied:]]), templates


def minified(text: str) -> str:
    """The script without comments and needless spaces."""
    if _NESTED.search(text) is None:
        return str(rjsmin.jsmin(text))
    text, templates = _aside(text)
    return _ASIDE.sub(lambda match: templates[int(match[1])], rjsmin.jsmin(text))
