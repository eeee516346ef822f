"""The texts of a language, of which a page gets those that it may show: first those of its first script."""

from __future__ import annotations

import re
from functools import lru_cache

_ENTRY = re.compile(r'^  "([^"\n]+)":.*?(?=^  "|^\};?$|^  //|\Z)', re.MULTILINE | re.DOTALL)
"""An entry of a file of texts, up to the next one. A key begins with the part of the console it is for."""
_PART = re.compile(r"""["'`](\w+)\.""")
_KEY = re.compile(r"""["'`](\w+\.[\w.-]+)["'`]""")
_MADE = re.compile(r"""["'`](\w+\.[\w.-]*)(?:\$\{|(?<=\.)["'`])""")
"""The beginning of a key that is put together."""


@lru_cache(maxsize=32)
def _read(texts: str) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """A file of texts: what comes before the entries, the entries by their keys, and what comes after."""
    entries = list(_ENTRY.finditer(texts))
    if not entries:
        return texts, (), ""
    found = tuple((each[1], each.group()) for each in entries)
    return texts[: entries[0].start()], found, texts[entries[-1].end() :]


@lru_cache(maxsize=8)
def _chosen(keys: tuple[str, ...], first: str, later: str) -> tuple[frozenset[str], frozenset[str]]:
    """Of these keys those that the first script may ask for, and those that the later ones may."""
    known, made = frozenset(_KEY.findall(first)), tuple(_MADE.findall(first))
    early = frozenset(key for key in keys if key in known or key.startswith(made))
    parts = frozenset(_PART.findall(first + later))
    return early, frozenset(key for key in keys if key.partition(".")[0] in parts) - early


def named(texts: str, first: str, later: str) -> tuple[str, str]:
    """Two files of texts: with what the first script of a page names, and what its later ones need besides.

    The second one is "" where there is nothing in it.

    first: the page with the code of its first script, which names its keys whole or by a template that says
        how they begin
    later: the code of all that it loads later
    """
    before, entries, after = _read(texts)
    choices = _chosen(tuple(key for key, _ in entries), first, later)
    early, rest = ("".join(text for key, text in entries if key in keys) for keys in choices)
    return before + early + after, before + rest + after if rest else ""
