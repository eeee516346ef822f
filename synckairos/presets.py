"""Well-known clocks by name, from `presets.yaml`: what a session is created with when it names one.

A preset is only a shorter way to write a config: the function library, which is the judge of configs, sees
what comes of it and never its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

_CREATOR_S = frozenset({"preset", "session_id", "participants", "groups", "active_participant_id"})
"""Members of a config that a preset may not have: the caller who creates the session gives them."""


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """The call that the backend sends where a config alone does not make the clock."""

    when: Annotated[str, Meta(min_length=1, description="At what moments", examples=["with every bid"])]
    method: Literal["PATCH"]
    path: Annotated[
        str,
        Meta(
            pattern="^/v1/sessions/\\{session_id\\}/",
            description="With `{session_id}` for the session's",
            examples=["/v1/sessions/{session_id}/clock"],
        ),
    ]
    body: Annotated[
        dict[str, Any],
        Meta(min_length=1, description="What is sent", examples=[{"add_ms": 10_000, "within_ms": 10_000}]),
    ]


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """A well-known clock."""

    name: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9]+(-[a-z0-9]+)*$",
            max_length=40,
            description='As in `"preset": "blitz"` when a session is created',
            examples=["blitz"],
        ),
    ]
    title: Annotated[str, Meta(min_length=1, description="For people", examples=["Blitz 3+2"])]
    description: Annotated[str, Meta(min_length=1, description="What it is, and where it is used")]
    config: Annotated[
        dict[str, Any],
        Meta(
            min_length=1,
            description="What the session is created with; its participants are not in it",
            examples=[{"sync_mode": "per_participant", "time_control": "3+2"}],
        ),
    ]
    use: Annotated[
        Call | None, Meta(description="What the backend sends beside; null where nothing is needed")
    ] = None


def parse(text: str) -> Mapping[str, Preset]:
    """The presets of a YAML list by name, in its order. Raises ValueError where one is not well-formed."""
    presets = msgspec.yaml.decode(text, type=list[Preset])
    by_name = {preset.name: preset for preset in presets}
    if len(by_name) < len(presets):
        raise ValueError("two presets have one name")
    for preset in presets:
        if personal := sorted(preset.config.keys() & _CREATOR_S):
            raise ValueError(f"the preset {preset.name} must leave {', '.join(personal)} to who uses it")
    return MappingProxyType(by_name)


PRESETS: Mapping[str, Preset] = parse(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
"""All presets by name, in the order in which they are listed."""

_RAW = {
    name: {member: msgspec.Raw(msgspec.json.encode(value)) for member, value in preset.config.items()}
    for name, preset in PRESETS.items()
}


def filled_in(name: str, given: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """`given`, the members of a config as JSON text, with what the preset `name` has and they have not.

    A member that is given replaces the preset's whole, and stays the text it is; null means absent.
    """
    return _RAW[name] | {member: raw for member, raw in given.items() if bytes(raw) != b"null"}
