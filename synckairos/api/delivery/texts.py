"""The texts of a language, of which a page gets those that it may show."""

from __future__ import annotations

import re
from functools import lru_cache

_ENTRY = re.compile(r'^  "(\w+)\.[^"\n]*":.*?(?=^  "|^\};?$|^  //|\Z)', re.MULTILINE | re.DOTALL)
"""An entry of a file of texts, up to the next one. A key begins with the part of the console it is for."""
_BEGINNING = re.compile(r"""["'`](\w+)\.""")


@lru_cache(maxsize=32)
def _pieces(texts: str) -> tuple[tuple[str, str], ...]:
    """A file of texts in pieces: each with the part of the console that it is for, "" for all."""
    pieces, at = [("", "")], 0
    for entry in _ENTRY.finditer(texts):
        between = texts[at : entry.start()]
        for part, text in (("", between), (entry[1], entry.group())):
            if part == pieces[-1][0]:
                pieces[-1] = (part, pieces[-1][1] + text)
            elif part or (text.strip() and not text.lstrip().startswith("//")):
                pieces.append((part, text))
        at = entry.end()
    return (*pieces, ("", texts[at:]))


@lru_cache(maxsize=8)
def _named(code: str) -> frozenset[str]:
    return frozenset(["", *_BEGINNING.findall(code)])


def only_named(texts: str, code: str) -> str:
    """A file of texts without the entries of those parts of the console that no text in the code begins with.

    code: all that belongs to a page, also what it loads later
    """
    named = _named(code)
    return "".join(piece for part, piece in _pieces(texts) if part in named)
