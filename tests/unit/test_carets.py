"""The caret under the place at which a time control cannot be read."""

from __future__ import annotations

import pytest

from synckairos.errors import SyncKairosError, ValidationError, draw_caret

PLACES = [
    ("5+", "cannot be read at position 3: seconds expected", "5+\n  ^ seconds expected"),
    ("½é", "cannot be read at position 2: the end expected", "½é\n ^ the end expected"),
    ("", "cannot be read at position 1: minutes expected", "\n^ minutes expected"),
    ("5\n+\x1b", "cannot be read at position 2: x expected", "5?+?\n ^ x expected"),
    (
        "9" * 300,
        "cannot be read at position 257: x expected",
        f"…{'9' * 104}\n{' ' * 61}^ x expected",
    ),
    ("1" * 90, "cannot be read at position 1: x expected", f"{'1' * 60}…\n^ x expected"),
]


@pytest.mark.parametrize(("text", "message", "drawn"), PLACES)
def test_the_caret_is_under_the_place(text: str, message: str, drawn: str) -> None:
    assert draw_caret(text, message) == drawn


def test_without_a_text_or_a_place_there_is_none() -> None:
    assert draw_caret(None, "cannot be read at position 1: x expected") is None
    assert draw_caret("5+3", "must be text") is None


def test_an_error_draws_the_texts_of_the_config() -> None:
    message = "cannot be read at position 2: x expected"
    fields = ["time_control", "groups.0.time_control", "participants.1.time_control", "participants.9", "a.b"]
    error: SyncKairosError = ValidationError(details=[{"field": each, "message": message} for each in fields])
    config = {
        "time_control": {"notation": "5!"},
        "groups": [{"time_control": "6!"}],
        "participants": ({}, {"time_control": "7!"}),
        "a": 5,
    }
    assert error.carets(config) == ["5!\n ^ x expected", "6!\n ^ x expected", "7!\n ^ x expected"]
    assert error.carets({}) == []
