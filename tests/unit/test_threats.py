"""`deploy/THREATS.md`: each threat has a test that is there, or says why it is accepted."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.pages import ROOT, Page, codes

FILE = ROOT / "deploy" / "THREATS.md"
SECTIONS = re.findall(r"^### (.*)$", FILE.read_text(encoding="utf-8"), re.MULTILINE)
ROWS = [row for section in SECTIONS for row in Page(FILE).section(section).tables[0].rows]
NUMBER = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")


def is_there(name: str) -> bool:
    """Whether there is a `file::test` below `tests/`. A test in JavaScript has a title instead of a name."""
    file, _, test = name.partition("::")
    path: Path = ROOT / "tests" / file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    title = re.escape(test)
    return bool(re.search(rf'^\s*(?:async def|def|class) {title}\b|^test\("{title}"', text, re.MULTILINE))


def test_every_threat_is_tried_by_a_test_or_accepted() -> None:
    assert ROWS
    wrong = []
    for row in ROWS:
        named = [name for name in codes(row["shown by"]) if "::" in name]
        if not named and not row["shown by"].startswith("accepted, because "):
            wrong.append(row["what is tried"])
        wrong += [name for name in named if not is_there(name)]
    assert wrong == []


def test_every_threat_has_numbers_of_the_standard() -> None:
    wrong = [row for row in ROWS if not all(map(NUMBER.fullmatch, row["ASVS"].split(", ")))]
    assert wrong == []


def test_each_risk_of_the_list_has_a_heading() -> None:
    assert {int(number) for each in SECTIONS for number in re.findall(r"API(\d+)", each)} == {*range(1, 11)}
