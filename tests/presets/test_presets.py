"""The list of presets as a document: what it may hold, and what a session's creator may put on top."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import pytest
from hatchling.builders.wheel import WheelBuilder

from synckairos import presets
from synckairos.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]

GOOD = """
- name: blitz
  title: Blitz
  description: Fast.
  config: {sync_mode: per_participant, time_control: "3+2"}
"""


def test_a_list_is_read_in_its_order() -> None:
    read = presets.parse(GOOD + GOOD.replace("blitz", "another-1"))
    assert list(read) == ["blitz", "another-1"]
    assert read["blitz"].config == {"sync_mode": "per_participant", "time_control": "3+2"}
    assert read["blitz"].use is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + GOOD, "two presets have one name"),
        (GOOD.replace("blitz", "Blitz"), "name"),
        (GOOD.replace("blitz", "a_b"), "name"),
        (GOOD.replace("title", "titel"), "titel"),
        (GOOD.replace("Fast.", '""'), "description"),
        (
            GOOD + "  use: {when: always, button: Go, method: PATCH, path: /v1/sessions/7/x, body: {a: 1}}",
            "path",
        ),
        (
            GOOD
            + "  use: {when: always, button: Go, method: GET, path: '/v1/sessions/{session_id}/x', body: {}}",
            "GET",
        ),
        (
            GOOD + "  use: {when: always, method: POST, path: '/v1/sessions/{session_id}/switch', body: {}}",
            "button",
        ),
        (
            GOOD.replace("sync_mode: per_participant", "participants: [], session_id: x"),
            "participants, session_id",
        ),
        (GOOD.replace("{sync_mode", "{preset: bullet, sync_mode"), "preset"),
        ("blitz: {}", "array"),
        ("[", "flow"),
    ],
)
def test_what_is_no_list_of_presets_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        presets.parse(text)


def test_titles_and_descriptions_are_for_people() -> None:
    assert len({preset.title for preset in PRESETS.values()}) == len(PRESETS)
    for preset in PRESETS.values():
        assert preset.description.endswith("."), preset.name
        assert preset.description.count(". ") == 0, f"{preset.name}: one sentence"


def test_what_is_given_replaces_the_preset_s_whole_and_stays_as_it_was_written() -> None:
    given = {
        "metadata": msgspec.Raw(b'{ "b": 1.0, "a": [ ] }'),
        "warnings_ms": msgspec.Raw(b"[]"),
        "sync_mode": msgspec.Raw(b"null"),
    }
    config = presets.filled_in("poker", given)
    assert bytes(config["metadata"]) == b'{ "b": 1.0, "a": [ ] }'
    assert bytes(config["warnings_ms"]) == b"[]"
    assert bytes(config["sync_mode"]) == b'"per_cycle"'
    assert msgspec.json.decode(config["action_on_timeout"]) == PRESETS["poker"].config["action_on_timeout"]
    assert bytes(presets.filled_in("poker", {})["warnings_ms"]) == b"[10000]"


def test_the_list_is_in_the_wheel(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("synckairos/presets.yaml").decode()
    assert list(presets.parse(packed)) == list(PRESETS)
