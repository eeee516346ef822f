"""The QR codes that pages draw, compared with those of a library."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.qr import Modules, library_code
from tests.web.node import program

MODULE = Path(__file__).parents[2] / "synckairos" / "web" / "console" / "shared" / "qr.js"
LENGTHS = (1, 14, 15, 62, 122, 180, 181, 213, 331, 450, 711, 1000, 1452, 1732, 2331)
"""Of texts in bytes: the limits of small versions, and versions with every kind of alignment and blocks."""
LONGEST = 2331
SCRIPT = """
const { qrCode } = await import(process.argv[1]);
const texts = JSON.parse(process.argv[2]);
const shown = texts.map((text) => qrCode(text)?.map((row) => row.map(Number)) ?? null);
process.stdout.write(JSON.stringify(shown));
"""


def codes(texts: list[str]) -> list[Modules | None]:
    """The codes of the console's module."""
    ran = subprocess.run(
        [program(), "--input-type=module", "-e", SCRIPT, MODULE.as_uri(), json.dumps(texts)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[Modules | None] = json.loads(ran.stdout)
    return found


def test_codes_are_those_of_a_library_module_by_module() -> None:
    texts = [("https://clock.example/s/1#token=aZ0-_." * 99)[:length] for length in LENGTHS]
    texts.append("https://clock.example/s/1?view=board#token=zażółć")
    for text, code in zip(texts, codes(texts), strict=True):
        assert code is not None
        assert code == library_code(text, code), len(text)


def test_a_text_that_no_code_holds_has_none() -> None:
    assert codes(["x" * (LONGEST + 1)]) == [None]
