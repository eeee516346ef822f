"""The QR codes of a library, to compare those that pages draw with."""

from __future__ import annotations

from typing import Any
from unittest import mock

import segno

Modules = list[list[int]]
"""The rows of a code without its margin; 1 is dark."""


def _to_whole_bytes(buffer: Any, _version: int, length: int) -> None:
    """Zeros up to the next code word. The library adds eight where the code word is complete already."""
    buffer.extend([0] * (-length % 8))


def library_code(text: str, drawn: Modules) -> Modules:
    """The library's code of a text, with the mask that a drawn code names beside its upper left finder.

    Readers take a code with any mask, and which one is best is a matter of taste in a few cases.
    """
    mask = (drawn[8][2] << 2 | drawn[8][3] << 1 | drawn[8][4]) ^ 0b101
    with mock.patch("segno.encoder.write_padding_bits", _to_whole_bytes):
        code = segno.make_qr(text, error="m", mode="byte", boost_error=False, mask=mask, eci=False)
    return [list(row) for row in code.matrix]
