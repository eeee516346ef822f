"""What somebody probably meant by a field's name that there is not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from functools import lru_cache

UNKNOWN = "is unknown"
"""What is said of a field that is none, here and in the function library."""
MOST = 8
"""In how many names of one answer a suggestion is looked for: it takes 0.1 ms each."""
_LONGEST = 40
"""A name with more characters is no slip."""
_ALIKE = 0.7
"""How alike two names have to be, from 0 to 1."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = {
    "clock": ("time_control",),
    "control": ("time_control",),
    "duration": ("total_time_ms", "time_ms"),
    "id": ("session_id", "participant_id", "group_id"),
    "label": ("name", "title"),
    "minutes": ("total_time_ms", "time_ms"),
    "mode": ("sync_mode",),
    "name": ("title",),
    "people": ("participants",),
    "players": ("participants",),
    "seconds": ("total_time_ms", "time_ms"),
    "team": ("group",),
    "teams": ("groups",),
    "time": ("total_time_ms", "time_ms"),
    "title": ("name",),
    "turn": ("active_participant_id",),
    "type": ("kind", "sync_mode"),
    "user_id": ("participant_id",),
    "version": ("expected_version",),
}
"""Other words for fields, which do not look alike."""


def unknown(name: str, known: Collection[str]) -> str:
    """The message for an unknown name: `is unknown; did you mean total_time_ms?`, or without the second part.

    known: the names that there are at this place
    """
    meant = None if len(name) > _LONGEST else _meant(name, tuple(sorted(known)))
    return UNKNOWN if meant is None else f"{UNKNOWN}; did you mean {meant}?"


@lru_cache(maxsize=256)
def _meant(name: str, known: tuple[str, ...]) -> str | None:
    plain = _CAPITAL.sub("_", name).lower().strip().replace("-", "_").replace(" ", "_")
    if plain in known:
        return plain
    for word in _WORDS.get(plain, ()):
        if word in known:
            return word
    begun = [each for each in known if each.startswith(f"{plain}_")]
    if len(begun) == 1:
        return begun[0]
    close = difflib.get_close_matches(plain, known, n=1, cutoff=_ALIKE)
    return close[0] if close else None
