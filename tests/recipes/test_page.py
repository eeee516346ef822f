"""The page of recipes holds together."""

from __future__ import annotations

from tests.recipes.conftest import PAGE


def test_the_blocks_are_those_that_have_tests() -> None:
    """In test_recipes.py; those in JavaScript in test_pages.py, the webhook in tests/webhooks."""
    found = [(section.title, block.language) for section in PAGE.sections for block in section.blocks]
    assert found == [
        ("Before you begin", "python"),
        ("Chess", "python"),
        ("Chess", "js"),
        ("Arbiter", "python"),
        ("Days instead of minutes", "python"),
        ("Quiz", "python"),
        ("Auction", "python"),
        ("Auction", "js"),
        ("Team contest", "python"),
        ("Exam", "python"),
        ("Meeting", "python"),
        ("Debate", "python"),
        ("Speedrun", "python"),
        ("Restarts, and many sessions", "python"),
        ("A webhook", "python"),
    ]


def test_links_lead_somewhere() -> None:
    assert PAGE.links() <= PAGE.anchors()
