"""Every page of the documentation: its links lead somewhere, also those in the package's description."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hatch_build import description
from tests.support.pages import ROOT, Page

FOLDERS = ("lua", "synckairos", "deploy", "sentinel", "tests")
PAGES = [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
LINK = re.compile(r'(?:\]\(|<img src=")(?!https?:)([^)#"\s]*)(?:#([^)"]+))?[)"]')


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for name, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        target = path.parent / name if name else path
        assert target.exists(), name
        if anchor:
            assert anchor in Page(target).anchors(), f"{name}#{anchor}"


def test_no_file_has_two_versions_of_a_line() -> None:
    """As a merge leaves them that was not completed. No other tool reads pages and type declarations."""
    texts = [*ROOT.glob("*"), *(file for folder in (*FOLDERS, ".ci") for file in (ROOT / folder).rglob("*"))]
    marked = [
        file.relative_to(ROOT).as_posix()
        for file in texts
        if file.is_file() and re.search(rb"^(<{7}|>{7}) ", file.read_bytes(), re.MULTILINE)
    ]
    assert marked == []


def test_the_first_page_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10 * 1024


def test_the_description_has_no_link_that_leads_nowhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert LINK.search(text)
    assert not LINK.search(description(text, ""))
    address = "https://example.org/files/"
    whole = description(text, address)
    assert not LINK.search(whole)
    assert whole.count(address) == len(LINK.findall(text))
