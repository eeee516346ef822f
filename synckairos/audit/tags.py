"""The tags of sessions: words in `metadata.tags`, under which a tenant's sessions are listed.

The service stores metadata unread, so everything may stand there. What is no tag is none, and is no error.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec

LONGEST = 64
"""The most characters of a tag."""
MOST = 16
"""A session with a longer list has no tags."""
MUST = f"must be 1 to {LONGEST} letters, digits, -, _ and ., with a letter or a digit among them"
"""What is said of a text that is no tag."""


class _Tagged(msgspec.Struct, frozen=True):
    metadata: Any = None


_decode = msgspec.json.Decoder(_Tagged).decode


def folded(text: str) -> str | None:
    """A tag in the form in which tags are compared: composed and in lower case. None when it is no tag.

    A tag has 1 to 64 letters, digits, `-`, `_` and `.`, and at least one of them is a letter or a digit, so
    that it can stand in an address by itself.
    """
    tag = unicodedata.normalize("NFKC", text).lower()
    if not 0 < len(tag) <= LONGEST:
        return None
    kinds = {"" if each in "-_." else unicodedata.category(each)[0] for each in tag}
    return tag if kinds <= {"", "L", "N", "M"} and kinds & {"L", "N"} else None


def tags_of(metadata: object) -> frozenset[str]:
    """The tags in a session's metadata, folded."""
    given = metadata.get("tags") if isinstance(metadata, dict) else None
    if not isinstance(given, list) or len(given) > MOST:
        return frozenset()
    tags = {folded(each) for each in given if isinstance(each, str)}
    return frozenset(tag for tag in tags if tag is not None)


def tags_in(state: bytes) -> frozenset[str]:
    """The tags of a session whose state this is (JSON). Nothing is decoded where none are named."""
    if b'"tags"' not in state:
        return frozenset()
    try:
        return tags_of(_decode(state).metadata)
    except msgspec.DecodeError:  # half a surrogate pair, which JSON may have
        found = json.loads(state)
        return tags_of(found.get("metadata") if isinstance(found, dict) else None)
