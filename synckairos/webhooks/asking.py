"""What is wrong with a webhook that somebody wants, for the API and for the command."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from synckairos.webhooks import model
from synckairos.webhooks.addresses import Address, Forbidden, Lookup, Place, check_scheme, judge, place_of

LOOKUP_S = 2.0
"""How long the look-up of a name may take. One that is not known yet may be known later."""
MOST_DEEP = 16

Problem = tuple[str, str]
"""Field and message."""


async def problems(
    url: str | None,
    events: Sequence[str] | None,
    sessions: Mapping[str, Any] | None,
    secret: str | None,
    lookup: Lookup,
    *,
    development: bool,
) -> list[Problem]:
    """All that is wrong. Where the address leads is looked up last, and again at every attempt."""
    found = [*_of_events(events), *_of_sessions(sessions)]
    if secret is not None and not model.is_secret(secret):
        low, high = model.SECRET_BYTES
        found.append(("secret", f"must be {model.SECRET_PREFIX} and Base64 of {low} to {high} bytes"))
    if url is None:
        return [("url", "is required"), *found]
    try:
        place = place_of(url)
        check_scheme(place, development=development)
        if not found:
            judge(place, await _known(lookup, place), development=development)
    except Forbidden as error:
        return [("url", str(error)), *found]
    return found


async def _known(lookup: Lookup, place: Place) -> list[Address]:
    """The addresses of a place; none while its name leads nowhere, and then it is not known to be here."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LOOKUP_S):
            return await lookup.addresses(place)
    return []


def _of_events(events: Sequence[str] | None) -> list[Problem]:
    if events is None:
        return []
    if not events:
        return [("events", "must name at least one event, or be left out for all")]
    if len(events) > model.MOST_PATTERNS:
        return [("events", f"must be at most {model.MOST_PATTERNS}")]
    names = ", ".join(sorted(model.PATTERNS - model.EVENTS))
    return [
        (f"events.{place}", f"must be the name of an event, or all of a group: {names}")
        for place in model.unknown(events)
    ]


def _of_sessions(sessions: Mapping[str, Any] | None) -> list[Problem]:
    if sessions is None:
        return []
    if len(sessions) > model.MOST_PAIRS:
        return [("sessions", f"must have at most {model.MOST_PAIRS} pairs")]
    if _is_deep(sessions):
        return [("sessions", f"must not be nested deeper than {MOST_DEEP}")]
    try:
        msgspec.json.encode(sessions)
    except (UnicodeEncodeError, ValueError, OverflowError):
        return [("sessions", "must be JSON, without half a surrogate pair")]
    return []


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_DEEP):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
            if isinstance(inner, Mapping | list)
        ]
        if not level:
            return False
    return True
