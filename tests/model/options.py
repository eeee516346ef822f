"""The arguments of a call, which follow the keys."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.model.config import DAY, LONGEST, UUID, Config, parse_participant


class Refusal(Exception):
    """A refused call: its code, the dotted paths of wrong fields, and its context."""

    def __init__(self, code: str, fields: Sequence[str] = (), **context: Any) -> None:
        super().__init__(code, *fields)
        self.code, self.fields, self.context = code, list(fields), context


COMMON = {"TENANT", "VERSION", "EPOCH", "ACTOR", "TRACE", "TRACEPARENT", "REQUEST", "SCHEMA"}
OPTIONS = {
    "create": COMMON - {"VERSION", "EPOCH"} | {"TTL"},
    "switch": COMMON | {"NEXT", "CURRENT", "LAG", "PLAYER"},
    "pause": COMMON | {"PLAYER", "FREE"},
    "resume": COMMON | {"PLAYER"},
    "adjust": COMMON | {"PARTICIPANT", "GROUP", "CLOCK", "SET", "ADD", "WITHIN", "REASON"},
    "takeback": COMMON | {"TURNS"},
    "schedule": COMMON | {"STARTS", "ENDS"},
    "expire": set(),
    "get": {"TENANT", "EXPORT", "SUMMARY", "UNLESS"},
    "log": {"TENANT", "EPOCH"},
    "restore": {"TTL"},
}
FIRST = {
    "create": "config",
    "join": "participant",
    "leave": "participant_id",
    "turn": "participant_id",
    "metadata": "metadata",
    "log": "since",
    "restore": "state",
}
BOUNDS = {
    "VERSION": (1, 2**53),
    "SCHEMA": (1, 2),
    "TTL": (1, 10**9),
    "LAG": (0, DAY),
    "SET": (0, LONGEST),
    "ADD": (-LONGEST, LONGEST),
    "WITHIN": (1, LONGEST),
    "TURNS": (1, 16),
}
INSTANTS = {"STARTS", "ENDS"}
IDS = {"NEXT", "CURRENT", "PLAYER", "PARTICIPANT", "GROUP"}
FLAGS = {"EXPORT", "SUMMARY", "FREE"}


class Options(dict[str, Any]):
    """The parsed arguments: options by their names in capitals. `first` is the argument without a name."""

    first: Any = None


def whole(text: str) -> int | None:
    """A plain decimal number, or None."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() else None


def parse_options(function: str, args: Sequence[str]) -> Options:
    """Read `NAME value` pairs. Raises Refusal, which names all wrong ones."""
    options, bad, rest = Options(), [], list(args)
    if function in FIRST:
        if not rest:
            raise Refusal("VALIDATION_ERROR", [FIRST[function]])
        options.first = rest.pop(0)
    allowed = OPTIONS.get(function, COMMON)
    while rest:
        name = rest.pop(0).upper()
        if name in FLAGS and name in allowed:
            options[name] = True
            continue
        if name not in allowed or not rest or name in options:
            bad.append(name.lower())
            break
        value: Any = rest.pop(0)
        if name in BOUNDS:
            value = whole(value)
            low, high = BOUNDS[name]
            if value is None or not low <= value <= high:
                bad.append(name.lower())
        elif name in IDS:
            if not UUID.fullmatch(value):
                bad.append(name.lower())
            value = value.lower()
        elif name in INSTANTS:
            given = value
            value = whole(given)
            if value is None and given != "none":  # `none` takes the start or the end back
                bad.append(name.lower())
        elif name == "CLOCK" and value != "total":
            bad.append("clock")
        elif name == "REASON" and len(value) > 200:
            bad.append("reason")
        elif name == "UNLESS" and not re.fullmatch(r"\d+@\S+", value):
            bad.append("unless")
        options[name] = value
    if function == "adjust" and not bad:
        if ("SET" in options) == ("ADD" in options):
            bad.append("set")
        if "PARTICIPANT" in options and "GROUP" in options:
            bad.append("group")
        if "CLOCK" in options and ("PARTICIPANT" in options or "GROUP" in options):
            bad.append("clock")
    if function == "schedule" and not INSTANTS & options.keys():
        bad.append("starts")
    if function in {"leave", "turn"}:
        if not UUID.fullmatch(options.first):
            bad.append("participant_id")
        options.first = options.first.lower()
    if function == "log":
        options.first = whole(options.first)
        if options.first is None or options.first < 0:
            bad.append("since")
    if function in {"create", "join", "restore", "metadata"}:
        try:
            options.first = json.loads(options.first)
        except ValueError:
            bad.append(FIRST[function])
    if function == "metadata" and not bad and not isinstance(options.first, dict):
        bad.append("metadata")
    if function == "join" and not bad:
        # These checks do not depend on the session.
        bad += parse_participant(options.first, Config(), 0)[1]
    if bad:
        raise Refusal("VALIDATION_ERROR", bad)
    return options
