"""Values and texts that are almost right: what the fuzzers make of valid ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

ODD: list[Any] = [
    *[
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        999,
        1000,
        86_400_001,
        2**31,
        2**53 - 1,
        2**53,
        2**63,
        -(2**63),
        10**30,
    ],
    *[0.5, -0.0, 5000.0, 1e-9, 1e308, "", " ", "0", "-1", "1e3", "null", "true", "\0", "a\0b", "\x7f\x1b[2J"],
    *[
        '"',
        "\\",
        '{"',
        "é",
        "\u2028",
        "\U0001f600",
        "x" * 300,
        "{}",
        "sk:{ab}:alarms",
        "5+3",
        "40/",
        "90+30/30",
    ],
    *["A0000000-0000-4000-8000-000000000000", "a0000000-0000-4000-8000-00000000000", "../..", "%00", "redis"],
    *[[], {}, [[]], [None], {"": None}, {"a": {"b": [{}]}}, [0] * 70, {"kind": "stages", "stages": [{}]}],
]
"""Values for the place of any other."""

_BYTES = [
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\n",
    b"\r\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"\\u0000",
    b"\\ud800",
]
_DEEP = 400
_LONGEST = 300_000


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree of JSON, as its container and its name or position there."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for name, inner in pairs:
        yield value, name
        yield from _places(inner)


def changed_value(rng: Random, value: Any) -> Any:
    """A copy of a tree of JSON with one change: a value, a name, something more or something less."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or rng.random() < 0.02:
        return copy.deepcopy(rng.choice(ODD))
    container, name = rng.choice(places)
    match rng.randrange(7):
        case 0 | 1:
            container[name] = copy.deepcopy(rng.choice(ODD))
        case 2:
            del container[name]
        case 3:  # what stands somewhere else
            other, its_name = rng.choice(places)
            container[name] = copy.deepcopy(other[its_name])
        case 4 if isinstance(container[name], int):
            container[name] += rng.choice([-1, 1, -1000, 1000, 2**31, -container[name], container[name]])
        case 5 if isinstance(container, dict):
            container[rng.choice(["", "colour", str(name).upper(), f"{name} ", "\0", "x" * 200])] = container[
                name
            ]
        case _ if isinstance(container, list):
            container.extend(copy.deepcopy(container[:1]) * rng.choice([1, 2, 100]))
        case _:
            container[name] = [container[name]]
    return value


def changed_text(rng: Random, text: bytes) -> bytes:
    """A text with one change: bytes more, less, others, in another order, or far too many."""
    at = rng.randrange(len(text) + 1)
    match rng.randrange(10):
        case 0:
            return text[:at]
        case 1 | 2:
            return text[:at] + rng.choice(_BYTES) + text[at:]
        case 3:
            return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
        case 4:
            return text[:at] + text[at : at + 40] * rng.choice([2, 3, 30]) + text[at:]
        case 5:
            return text[at:] + text[:at]
        case 6:
            return text.upper()
        case 7:
            return rng.choice([b"[", b'{"a":', b"("]) * rng.choice([30, _DEEP]) + text
        case 8:
            return str(rng.choice(ODD)).encode()
        case _:
            return text * rng.choice([0, 2, min(200, _LONGEST // (len(text) + 1))])


def as_json(value: Any) -> bytes:
    """A tree as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
