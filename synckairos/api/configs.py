"""What can be said of a session's config before the function library judges it: unknown names, and its size.

The library runs in Redis' only thread, so what it reads makes everybody wait. 52,000 unknown names in one
config took a third of a second there, to be refused. So names that it does not know are found here, and do
not reach it. Everything else about a config is the library's to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from synckairos.api import schemas
from synckairos.api.inputs import printable
from synckairos.api.suggestions import MOST, UNKNOWN, unknown
from synckairos.errors import Detail

MOST_OWNERS = 1000
"""How many participants, and how many groups, a session may have. The library has the same bound."""
MOST_STAGES = 2000
"""How many stages all participants may have together. The library has the same bound."""
MOST_MEMBERS = 16
"""A time control, and a stage of one, never has so many members."""
MOST_UNKNOWN = 100
"""How many unknown names are reported."""
_PRICE = 500
"""The weight for which a creation counts once more."""
_MODES_WITH_OWNERS = (msgspec.Raw(b'"per_participant"'), msgspec.Raw(b'"per_group"'))
_MOST_STAGES_OF_ONE = 8
_NEXT_STAGE = re.compile(rb"[:,;] *(?=[0-9gs])|(?<=[0-9]) +(?=[0-9gs][0-9d]*/)", re.IGNORECASE)
"""What stands before another stage: `40/90:30`, `40/90, SD/30;d5`, `40/90 SD/30`."""
_NULL = b"null"

Fields = dict[str, msgspec.Raw]


def _names(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


_objects = msgspec.json.Decoder(list[Fields]).decode

NAMES = _names(schemas.SessionConfig)
"""What a caller may give, with the names that the service puts ids for, and the preset."""
CONFIG = NAMES - {"preset", "title"}
OF_NAMED = frozenset({"name"})
PARTICIPANT = _names(schemas.ParticipantConfig)
GROUP = _names(schemas.GroupConfig)


@dataclass(frozen=True, slots=True)
class Size:
    """How much work a config is.

    participants: how many there are
    weight: how many stages the time controls of all clocks have together. A control without stages counts as
        one, and so does a participant or a group without a clock. The session's control counts for each
        clock that has none of its own.
    stages: how many the participants have together. That of a group's control, or of the session's, counts
        for each member.
    """

    participants: int
    weight: int
    stages: int = 0

    @property
    def price(self) -> int:
        """For how many creations this one counts."""
        return 1 + self.weight // _PRICE


def size(config: Fields) -> Size:
    """The size of a config, of which nothing needs to be right."""
    participants, groups = _owners(config, "participants"), _owners(config, "groups")
    own_clocks, group_clocks = (config.get("sync_mode") == mode for mode in _MODES_WITH_OWNERS)
    everybody = _stages(config.get("time_control")) or 1
    in_group = Counter(_id(each) for each in participants)
    named = in_group.keys() if group_clocks and not groups else ()
    own = [(_stages(each.get("time_control")) or everybody) if own_clocks else 1 for each in participants]
    of_groups = [(_stages(each.get("time_control")) or everybody) if group_clocks else 1 for each in groups]
    weight = sum(own) + sum(of_groups) + len(named) * everybody
    stages = sum(own) if own_clocks else 0
    if group_clocks:
        counted = zip(groups, of_groups, strict=True)
        stages = sum(each * max(1, in_group[_id(group)]) for group, each in counted)
        stages += everybody * len(participants) if named else 0
    return Size(len(participants), weight, stages)


def _id(owner: Fields) -> bytes:
    """The id of a participant's group, or of a group, as it came."""
    return bytes(owner.get("group_id", b"")).lower()


def problems(config: Fields, stages: int) -> tuple[list[Detail], bool]:
    """The unknown names and what has too many members. Removes the unknown names from the config.

    stages: those of its size

    Returns the problems, and whether the library has to be asked for others: it is not asked about what is
    too large, or when there are more problems than an answer names.
    """
    found = list(islice(_problems(config, stages), MOST_UNKNOWN + 1))
    return found, len(found) < MOST_UNKNOWN and all(each["message"].startswith(UNKNOWN) for each in found)


def unknown_of_participant(fields: Fields) -> list[Detail]:
    """The unknown names of a joining participant, which are removed."""
    strange = sorted(fields.keys() - PARTICIPANT)
    given = [name for name in strange if bytes(fields.pop(name)) != _NULL][:MOST_UNKNOWN]
    return [
        {"field": printable(name), "message": unknown(name, PARTICIPANT) if place < MOST else UNKNOWN}
        for place, name in enumerate(given)
    ]


def _problems(config: Fields, stages: int) -> Iterator[Detail]:
    if stages > MOST_STAGES and len(list_of(config.get("participants")) or ()) <= MOST_OWNERS:
        yield {
            "field": "participants",
            "message": f"must have at most {MOST_STAGES} stages together, where a time control of the "
            "session counts for each participant",
        }
    for place, name in enumerate(sorted(config.keys() - CONFIG)):
        if bytes(config.pop(name)) != _NULL:
            message = unknown(name, NAMES) if place < MOST else UNKNOWN
            yield {"field": printable(name), "message": message}
    yield from _problems_of_owners(config, "participants", PARTICIPANT, f"must be 1 to {MOST_OWNERS}")
    yield from _problems_of_owners(config, "groups", GROUP, f"must be at most {MOST_OWNERS}")
    yield from _problems_of_control("time_control", config.get("time_control"))


def _problems_of_owners(config: Fields, name: str, known: frozenset[str], bound: str) -> Iterator[Detail]:
    owners = _owners(config, name)
    if len(owners) > MOST_OWNERS:
        yield {"field": printable(name), "message": bound}
    mended: dict[int, msgspec.Raw] = {}
    looked_at = 0
    for position, fields in enumerate(owners[:MOST_OWNERS]):
        strange = fields.keys() - known
        for each in sorted(strange):
            if bytes(fields.pop(each)) != _NULL:
                looked_at += 1
                message = unknown(each, known | OF_NAMED) if looked_at <= MOST else UNKNOWN
                yield {"field": printable(f"{name}.{position}.{each}"), "message": message}
        yield from _problems_of_control(f"{name}.{position}.time_control", fields.get("time_control"))
        if strange:
            mended[position] = msgspec.Raw(encoded(fields))
    if mended:
        given = enumerate(list_of(config[name]) or ())
        config[name] = msgspec.Raw(b"[" + b",".join(bytes(mended.get(at, raw)) for at, raw in given) + b"]")


def _problems_of_control(path: str, raw: msgspec.Raw | None) -> Iterator[Detail]:
    if raw is None or bytes(raw).count(b":") <= MOST_MEMBERS:
        return
    control = members(raw)
    if control is None:
        return
    stages = list_of(control.get("stages")) or []
    objects = {path: control} | {
        f"{path}.stages.{number}": members(stage) for number, stage in enumerate(stages[:_MOST_STAGES_OF_ONE])
    }
    for place, parts in objects.items():
        if parts is not None and len(parts) > MOST_MEMBERS:
            yield {"field": place, "message": f"must have at most {MOST_MEMBERS} members"}


def _owners(config: Fields, name: str) -> list[Fields]:
    """The members of each participant or group; none of what is no object."""
    raw = config.get(name)
    if raw is None:
        return []
    try:
        return _objects(raw)
    except msgspec.ValidationError:
        return [members(each) or {} for each in list_of(raw) or ()]


def _stages(raw: msgspec.Raw | None) -> int:
    """How many stages a time control has; 0 when there is none."""
    text = b"" if raw is None else bytes(raw).strip()
    if text[:1] == b'"':
        return min(_parts(text), _MOST_STAGES_OF_ONE)
    control = members(raw)
    if control is None:
        return 0
    stages = list_of(control.get("stages"))
    count = _parts(bytes(control.get("notation", b""))) if stages is None else max(len(stages), 1)
    return min(count, _MOST_STAGES_OF_ONE)


def _parts(text: bytes) -> int:
    """How many stages a time control as text has at most."""
    return 1 + len(_NEXT_STAGE.findall(text))


def members(raw: msgspec.Raw | None) -> Fields | None:
    """The members of a JSON object; None for anything else."""
    if raw is None or bytes(raw).lstrip()[:1] != b"{":
        return None
    found: Fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return found


def list_of(raw: msgspec.Raw | None) -> list[Any] | None:
    """The members of a JSON list; None for anything else."""
    if raw is None or bytes(raw).lstrip()[:1] != b"[":
        return None
    found: list[Any] = msgspec.json.decode(raw, type=list[msgspec.Raw])
    return found


def encoded(fields: Fields) -> bytes:
    """An object as JSON. The values stay as they came, and the names have no needless escapes."""
    return (
        b"{" + b",".join(msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()) + b"}"
    )
