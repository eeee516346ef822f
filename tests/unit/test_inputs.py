"""A text that all parsers read alike is found to be one at once; what is wrong with another is found out."""

from __future__ import annotations

import json

import pytest

from synckairos.api import inputs

FINE = [
    b"{}",
    b' {"a" : [1, {"b": null}], "c": -0.5e3, "d": "\\u00e9\\ud83d\\ude00"}\n',
    '{"é": ":", "a:b": {"a:b": ":::"}}'.encode(),
    b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"a":"\x7f","b":"\\\\","c":"\\u003A"}',
]
WRONG = [
    b"[]",
    b"",
    b'{"a":1,"a":1}',
    b'{"a":1,"\\u0061":2}',
    b'{"x":[{"a":1,"a":2}]}',
    b'{"a":1,"a":2,"b":"\\u003a"}',
    b'{"a":1,"a":2,"b":"\\u003A","c":":"}',
    b'{"a":":","a":"::"}',
    b'{"a":NaN}',
    b'{"a":"\\ud800"}',
    b'{"\\udc00":1}',
    b'{"a":"\xff"}',
    b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"a":' * 100_000,
    b'{"a":1}x',
]


@pytest.mark.parametrize("text", FINE, ids=repr)
def test_what_is_fine_is_found_to_be_at_once(text: bytes) -> None:
    assert inputs._is_unambiguous(text)
    assert inputs._unreadable(text) == []
    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text[:24]))
def test_what_is_not_has_problems(text: bytes) -> None:
    assert not inputs._is_unambiguous(text)
    assert inputs._unreadable(text)


@pytest.mark.parametrize("number", ["1e999", "9" * 500, "-" + "9" * 30])
def test_numbers_without_an_end_are_no_problem_of_the_text(number: str) -> None:
    """The function library judges them."""
    assert inputs._unreadable(f'{{"a":{number}}}'.encode()) == []
