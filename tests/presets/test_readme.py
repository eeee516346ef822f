"""synckairos/api/README.md on presets and time controls: every preset has its name there."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from synckairos import presets
from synckairos.api.named import with_ids
from synckairos.presets import PRESETS
from tests.core.game import SESSION, Game, people
from tests.model.driver import Driver
from tests.support.pages import ROOT, Page, codes

PAGE = Page(ROOT / "synckairos" / "api" / "README.md")
SECTION = PAGE.section("Presets and time controls")
NAMES, TEXTS = (table.rows for table in SECTION.tables)


def shown(core: Driver, control: Any) -> dict[str, Any]:
    """The time control as the state of a session shows it."""
    core.run("FLUSHALL")
    game = Game(core, {"sync_mode": "per_participant", "participants": people(2), "time_control": control})
    control_shown: dict[str, Any] = game.created["time_control"]
    return control_shown


def test_every_preset_is_named() -> None:
    assert [name for row in NAMES for name in codes(row["presets"])] == list(PRESETS)


def test_the_example(core: Driver) -> None:
    [block] = SECTION.blocks
    body = msgspec.json.decode(block.text.split("'")[1], type=dict[str, msgspec.Raw])
    name = msgspec.json.decode(body.pop("preset"))
    given = presets.filled_in(name, body)
    assert list(with_ids(given, SESSION)) == []
    config = {member: json.loads(bytes(raw)) for member, raw in given.items()}
    state = Game(core, config).start(at=0).state()
    assert (state["status"], state["time_remaining_ms"]) == ("running", 180_000)


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row["text"])
def test_a_text(core: Driver, row: dict[str, str]) -> None:
    [text] = codes(row["text"])
    control = shown(core, text)
    assert control["notation"] == text, "the page shows normal forms"
    assert shown(core, control) == control
    for pgn in codes(row["in PGN"]):
        assert shown(core, pgn) == control


def test_a_text_with_an_overtime(core: Driver) -> None:
    [given] = re.findall(r'`(\{"notation".*?\})`', PAGE.text)
    control = json.loads(given)
    assert control.items() <= shown(core, control).items()
