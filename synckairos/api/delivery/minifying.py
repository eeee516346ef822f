"""Takes comments and spaces out of a script.

rjsmin does it, and reads a template inside of a template wrongly: it takes the inner one for code. So a template
that has another one inside is put aside first, and comes back as it was.
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


def _aside(text: str) -> tuple[str, list[str]]:
    """The text with a name in place of each template that has another one inside, and these templates."""
    kept, templates = list[str](), list[str]()
    ends: list[int | None] = []
    """What each open brace is: None for one of code; for one of a template, where the outermost one begins."""
    at = copied = 0
    outermost, is_nested = -1, False
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None
        at = found.end()
        token = found["other"]
        if token == "{":
            ends.append(None)
            continue
        if token == "}":
            if not ends or ends.pop() is None:
                continue
        elif token != "`":
            continue
        elif outermost < 0:
            outermost, is_nested = found.start(), False
        else:
            is_nested = True
        # In a template, up to its end or to the next value in it.
        piece = _IN_TEMPLATE.match(text, at)
        if piece is None:
            return text, []  # it has no end: whoever reads the script says so
        at = piece.end()
        if piece[1] == "${":
            ends.append(outermost)
        elif not any(each is not None for each in ends):
            if is_nested:
                kept += [text[copied:outermost], f"$aside{len(templates)}$"]
                templates.append(text[outermost:at])
                copied = at
            outermost = -1
    return "".join([*kept, text[copied:]]), templates


def minified(text: str) -> str:
    """The script without comments and needless spaces."""
    if _NESTED.search(text) is None:
        return str(rjsmin.jsmin(text))
    text, templates = _aside(text)
    return _ASIDE.sub(lambda match: templates[int(match[1])], rjsmin.jsmin(text))
