"""`synckairos control` reads texts as the library does, and draws where one cannot be read."""

from __future__ import annotations

from click.testing import CliRunner

from synckairos.cli import main

DELAYED = (
    '{"kind":"stages","stages":[{"kind":"delay","moves":40,"time_ms":5400000,"delay_ms":5000},'
    '{"kind":"delay","time_ms":1800000,"delay_ms":5000}]}'
)


def test_texts_are_shown_with_their_meaning_and_wrong_ones_with_a_caret() -> None:
    shown = CliRunner().invoke(main, ["control", "40/90, SD/30; d5", "-", "½+0,5"])
    assert shown.exit_code == 1, shown.output
    assert shown.output.splitlines() == [
        "40/90, SD/30; d5",
        "  normal form  40/90,SD/30;d5",
        "  bank         5400000 ms",
        f"  object       {DELAYED}",
        "-",
        "  normal form  -",
        "  bank         no limit",
        '  object       {"kind":"none"}',
        "½+0,5",
        '   ^ "+", "x", "/" or the end expected',
    ]
