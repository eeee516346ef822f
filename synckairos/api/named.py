"""Configs that have names in place of ids: `"participants": ["Anna", "Ben"], "title": "Club night"`.

The function library knows ids alone. So whoever has a name and no id gets one here, and the names go to the
session's metadata, where the console has them: `metadata.names` by id, and `metadata.title`. The ids are made
from the session's, so that a repeat of a creation means the same people.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Generator, Iterator
from typing import Any

import msgspec

from synckairos.api.configs import MOST_OWNERS, Fields, encoded, list_of, members
from synckairos.api.inputs import decoded
from synckairos.core import keys
from synckairos.errors import Detail, ValidationError

MAX_NAME = 200
"""How many characters a name, or a title, may have."""
MAX_METADATA = 10_240
"""How many bytes of compact JSON the metadata may have. The library has the same bound."""
_MUST = f"must be a text of 1 to {MAX_NAME} characters, one of them visible"
_NAMESPACE = uuid.UUID("0e0f5f3c-52a4-5a0e-8f39-6a0c3f1d7b64")
"""The namespace of ids that are made for names."""


def with_ids(config: Fields, session_id: str) -> Iterator[Detail]:
    """Puts ids in the place of names, and the names and the title into the metadata. Yields what is wrong.

    config: changed in place; what has no name stays as it came
    session_id: the id that the session will have
    """
    naming = _Naming(session_id)
    groups = yield from naming.owners(config, "groups", "group_id")
    people = yield from naming.owners(config, "participants", "participant_id")
    yield from naming.place_in_groups(config, people, has_list=bool(groups))
    title = _taken(config, "title")
    if title is not None and not _is_name(title):
        yield {"field": "title", "message": _MUST}
        title = None
    if naming.names or title is not None:
        yield from _told(config, naming.names, title)


class _Naming:
    """The ids of one session's names."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.names: dict[str, str] = {}
        self.groups: dict[str, str] = {}

    def owners(self, config: Fields, kind: str, id_field: str) -> Generator[Detail, None, dict[int, Fields]]:
        """Gives ids to the participants, or to the groups, that have a name. Returns them by position."""
        given = list_of(config.get(kind)) or []
        if not any(_has_names(raw) for raw in given[:MOST_OWNERS]):
            return {}
        changed: dict[int, Fields] = {}
        for position, raw in enumerate(given[:MOST_OWNERS]):
            path = f"{kind}.{position}"
            if bytes(raw).lstrip()[:1] == b'"':
                text = decoded(raw)
                fields: Fields | None = {id_field: raw} if _is_id(text) else {"name": raw}
            else:
                fields = members(raw)
            if fields is None:
                continue
            name = _taken(fields, "name")
            if name is not None and not _is_name(name):
                yield {"field": f"{path}.name" if bytes(raw).lstrip()[:1] == b"{" else path, "message": _MUST}
                name = ""  # the id is made all the same, so that one fault is said once
            if name is not None:
                owner = fields.get(id_field, msgspec.Raw(b"null"))
                if bytes(owner) == b"null":
                    owner = fields[id_field] = self._new(f"{kind} {position}")
                self._keep(owner, name.strip())
                if kind == "groups":
                    if name.strip() in self.groups:
                        yield {"field": f"{path}.name", "message": "is another group's name, too"}
                    self.groups[name.strip()] = str(decoded(owner))
            changed[position] = fields
        return _written(config, kind, given, changed)

    def place_in_groups(
        self, config: Fields, people: dict[int, Fields], *, has_list: bool
    ) -> Iterator[Detail]:
        """Puts the group's id in the place of its name. Without a list of groups, a new name is a group."""
        written = False
        for position, fields in people.items():
            group = _taken(fields, "group")
            if group is None:
                continue
            written = True
            field = f"participants.{position}.group"
            if bytes(fields.get("group_id", b"null")) != b"null":
                yield {"field": field, "message": "must not be given with a group_id"}
            elif not _is_name(group):
                yield {"field": field, "message": _MUST}
            elif group.strip() in self.groups or not has_list:
                name = group.strip()
                if name not in self.groups:
                    made = self._new(f"group {name}")
                    self.groups[name] = decoded(made)
                    self._keep(made, name)
                fields["group_id"] = msgspec.Raw(msgspec.json.encode(self.groups[name]))
            else:
                known = ", ".join(list(self.groups)[:10]) or "which have no names"
                yield {"field": field, "message": f"must be the name of one of the groups: {known}"}
        if written:
            _written(config, "participants", list_of(config["participants"]) or [], people)

    def _new(self, what: str) -> msgspec.Raw:
        made = uuid.uuid5(_NAMESPACE, f"{self.session_id}\n{what}")
        return msgspec.Raw(msgspec.json.encode(str(made)))

    def _keep(self, owner: msgspec.Raw, name: str) -> None:
        """Notes the name of an id. One that is no id is the library's to refuse."""
        known = decoded(owner)
        if name and isinstance(known, str):
            self.names[known.lower()] = name


def _told(config: Fields, names: dict[str, str], title: str | None) -> Iterator[Detail]:
    """Adds the names and the title to the metadata. What was given there stays, byte by byte."""
    raw = config.get("metadata")
    metadata = {} if raw is None or bytes(raw) == b"null" else members(raw)
    if metadata is None:
        return  # the library says that it must be an object
    if title is not None:
        given = decoded(metadata["title"]) if "title" in metadata else None
        if given not in (None, title.strip()):
            yield {"field": "title", "message": "must be the title in metadata, or only one of them be given"}
        metadata["title"] = msgspec.Raw(msgspec.json.encode(title.strip()))
    if names:
        known = metadata.get("names", msgspec.Raw(b"{}"))
        listed = {} if bytes(known) == b"null" else members(known)
        if listed is None:
            yield {"field": "metadata.names", "message": "must be an object of names by id"}
            return
        for owner, name in names.items():
            if owner in listed and decoded(listed[owner]) != name:
                yield {
                    "field": f"metadata.names.{owner}",
                    "message": "must be the name in the list, or absent",
                }
            listed[owner] = msgspec.Raw(msgspec.json.encode(name))
        metadata["names"] = msgspec.Raw(encoded(listed))
    config["metadata"] = msgspec.Raw(encoded(metadata))
    size = len(msgspec.json.encode(decoded(config["metadata"])))
    if size > MAX_METADATA:
        yield {
            "field": "participants" if names else "title",
            "message": f"have names of which the metadata becomes {size} bytes long, and it may have "
            f"{MAX_METADATA}: give shorter ones, or ids to some",
        }
        config.pop("metadata")


def _written(config: Fields, kind: str, given: list[Any], changed: dict[int, Fields]) -> dict[int, Fields]:
    if changed:
        texts = (encoded(changed[at]) if at in changed else bytes(raw) for at, raw in enumerate(given))
        config[kind] = msgspec.Raw(b"[" + b",".join(texts) + b"]")
    return changed


def _taken(fields: Fields, name: str) -> Any:
    """Takes a member out. None when it is absent or null."""
    return decoded(fields.pop(name)) if name in fields else None


def _is_name(value: Any) -> bool:
    if not isinstance(value, str) or len(value.strip()) > MAX_NAME:
        return False
    return any(unicodedata.category(each)[0] not in "ZCM" for each in value)


def _has_names(raw: msgspec.Raw) -> bool:
    """Whether a participant or a group is, or may have, a name. It is cheap, as most have none."""
    text = bytes(raw)
    return text.lstrip()[:1] == b'"' or b'"name"' in text or b'"group"' in text


def _is_id(text: Any) -> bool:
    try:
        keys.session_id(text)
    except ValidationError:
        return False
    return True
