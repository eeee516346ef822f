"""Well-known clocks by name, from `presets.yaml`. A session can be created with such a name.

A preset is a shorter way to write a config. The function library, which judges configs, gets the config that
the preset stands for, and never its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

_NOT_IN_A_PRESET = frozenset({"preset", "session_id", "participants", "groups", "active_participant_id"})
"""Fields of a config that a preset may not have, because the caller who creates the session gives them."""


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """A call that belongs to the session's use, which a backend or a press of a button sends during it."""

    when: Annotated[str, Meta(min_length=1, description="When to send it", examples=["with every bid"])]
    button: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="What a button for it says, in English",
            examples=["Bid (+0:10)"],
        ),
    ]
    method: Literal["PATCH", "POST"]
    path: Annotated[
        str,
        Meta(
            pattern="^/v1/sessions/\\{session_id\\}/",
            description="The path, with `{session_id}` for the session's id",
            examples=["/v1/sessions/{session_id}/clock"],
        ),
    ]
    body: Annotated[
        dict[str, Any],
        Meta(
            description="The body; empty where the call needs none",
            examples=[{"add_ms": 10_000, "within_ms": 10_000}],
        ),
    ]


class Preset(Struct, frozen=True, forbid_unknown_fields=True):
    """A well-known clock."""

    name: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9]+(-[a-z0-9]+)*$",
            max_length=40,
            description='The name, as in `"preset": "blitz"` when a session is created',
            examples=["blitz"],
        ),
    ]
    title: Annotated[str, Meta(min_length=1, description="A title for people", examples=["Blitz 3+2"])]
    description: Annotated[str, Meta(min_length=1, description="A description, with its typical use")]
    config: Annotated[
        dict[str, Any],
        Meta(
            min_length=1,
            description="The config that the session is created with, without participants",
            examples=[{"sync_mode": "per_participant", "time_control": "3+2"}],
        ),
    ]
    use: Annotated[
        Call | None,
        Meta(description="The call that is sent during the session; null where there is none"),
    ] = None


def parse(text: str) -> Mapping[str, Preset]:
    """The presets of a YAML list by name, in the list's order. Raises ValueError if one is malformed."""
    presets = msgspec.yaml.decode(text, type=list[Preset])
    by_name = {preset.name: preset for preset in presets}
    if len(by_name) < len(presets):
        raise ValueError("two presets have one name")
    for preset in presets:
        if personal := sorted(preset.config.keys() & _NOT_IN_A_PRESET):
            raise ValueError(f"the preset {preset.name} must not have {', '.join(personal)}")
    return MappingProxyType(by_name)


PRESETS: Mapping[str, Preset] = parse(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
"""All presets by name, in the order in which they are listed."""
LONG = frozenset(name for name, preset in PRESETS.items() if "LONG_CLOCKS" in preset.description)
"""Those that need a service with LONG_CLOCKS, as their descriptions say."""

_RAW = {
    name: {member: msgspec.Raw(msgspec.json.encode(value)) for member, value in preset.config.items()}
    for name, preset in PRESETS.items()
}


def filled_in(name: str, given: Mapping[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """A config with the fields of the preset `name` added.

    given: the fields of the caller, each as JSON text. A given field replaces the preset's field as a whole,
        and its text is not changed. null counts as absent.
    """
    return _RAW[name] | {member: raw for member, raw in given.items() if bytes(raw) != b"null"}
