"""What leaves the process as text, in logs, on terminals and in alerts: without secrets, and only as text.

Errors of drivers may have the URL in them that they were given, and a request may have a token anywhere.
Names, reasons and metadata come from strangers: on a terminal, control characters in them would be carried
out. So a text is redacted by what secrets look like, and by those that the settings have, and control
characters are shown as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

import click

HIDDEN = "***"
SHORTEST = 6
"""Secrets of the settings that are shorter are not looked for: they would be found in ordinary words."""

_PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    # the password of a URL, the key of a DSN
    ("://", re.compile(r"(://[^\s:/@?#\"']*):(?:(?!://)[^\s@\"'])*@"), rf"\1:{HIDDEN}@"),
    ("://", re.compile(r"(https?://)[^\s/:@\"']+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # a value by its name, as in `?token=`, `#token=`, `password=`
    (
        "=",
        re.compile(r"(token|password|passwd|secret|api_?key)=[^\s&\"'#;,)]+", re.IGNORECASE),
        rf"\1={HIDDEN}",
    ),
    ("earer", re.compile(r"\b(bearer[ .])[\w.~+/-]{12,}=*", re.IGNORECASE), rf"\1{HIDDEN}"),
    # JSON Web Tokens, API keys, tokens of links, secrets of webhooks
    ("eyJ", re.compile(r"(?<![\w-])eyJ[\w-]{5,}+(?:\.[\w-]+){1,4}"), HIDDEN),
    ("sk_", re.compile(r"\bsk_[A-Za-z0-9-]{4,}_[\w-]{20,}"), HIDDEN),
    ("sl_", re.compile(r"\bsl_[0-9a-f]{32,}_[0-9a-f]{20,}"), HIDDEN),
    ("whsec_", re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{16,}"), HIDDEN),
)
"""What a text has to have in it to be looked at, the pattern, and what takes its place. Most lines of a log
have none of the first. No pattern looks at a long text from many places to its end, because strangers write
some of these texts."""
_known: set[str] = set()
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Control characters, and those that turn the direction of writing or are not seen."""


def keep_secret(texts: Iterable[str]) -> None:
    """Has `redacted` hide these texts in this process."""
    for text in texts:
        _known.update(each for each in (text, unquote(text)) if len(each) >= SHORTEST)


def redacted(text: str) -> str:
    """The text without secrets: passwords in URLs, tokens, keys, and what `keep_secret` was given."""
    for secret in sorted(_known, key=len, reverse=True):  # first the longer one of two that overlap
        text = text.replace(secret, HIDDEN)
    for sign, pattern, instead in _PATTERNS:
        if sign in text:
            text = pattern.sub(instead, text)
    return text


def printable(text: str, keep: str = "") -> str:
    r"""The text with control characters as escapes, as in `\x1b`; those in `keep` stay."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def json_text(text: str) -> str:
    r"""JSON that is also safe on a terminal: the same values, with control characters as `\u` escapes.

    In sound JSON they stand nowhere but in strings, apart from the line breaks of one that is indented.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def echo(text: str, *, err: bool = False) -> None:
    """Prints what may have words of strangers in it, as one line."""
    click.echo(redacted(printable(text)), err=err)
