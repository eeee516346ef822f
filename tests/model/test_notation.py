"""Time controls as text: what they mean, that the state's text is accepted again, and where a text is wrong.

Each test creates a session with a text, and compares its state with the model's parser, `notation.py`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.model import notation
from tests.model.driver import Driver
from tests.model.tables import SESSION, START, Json, LibraryTable, create, players

MINUTE = 60_000

# There are fewer kinds of texts than of games, so fewer examples are enough.
enough = settings(max_examples=max(100, settings().max_examples // 4))


def stages(*found: tuple[int | None, int, int]) -> Json:
    """Stages of moves, minutes and increment (s)."""
    return {
        "kind": "stages",
        "stages": [
            ({} if moves is None else {"moves": moves})
            | {"time_ms": minutes * MINUTE, "kind": "fischer", "increment_ms": seconds * 1000}
            for moves, minutes, seconds in found
        ],
    }


def repeating(*found: tuple[int, int, int]) -> Json:
    """Stages of which the last one comes again."""
    return stages(*found) | {"repeat": True}


def delayed(*found: tuple[int | None, int, int]) -> Json:
    """Stages of moves, minutes and delay (s)."""
    return {
        "kind": "stages",
        "stages": [
            ({} if moves is None else {"moves": moves})
            | {"time_ms": minutes * MINUTE, "kind": "delay", "delay_ms": seconds * 1000}
            for moves, minutes, seconds in found
        ],
    }


def byoyomi(periods: int, seconds: int, **more: int) -> Json:
    return {"kind": "byoyomi", "periods": periods, "period_ms": seconds * 1000} | more


def fischer(seconds: int) -> Json:
    return {"kind": "fischer", "increment_ms": seconds * 1000}


READ: list[tuple[str, Json, int | None, str]] = [
    ("5", fischer(0), 5 * MINUTE, "5"),
    ("5+3", fischer(3), 5 * MINUTE, "5+3"),
    ("1+0", fischer(0), MINUTE, "1+0"),
    ("05+03", fischer(3), 5 * MINUTE, "5+3"),
    ("0.5", fischer(0), 30_000, "0.5"),
    ("0.50+1", fischer(1), 30_000, "0.5+1"),
    ("1.0", fischer(0), MINUTE, "1"),
    ("0.01667", fischer(0), 1000, "0.01667"),
    ("0.016683", fischer(0), 1000, "0.01667"),
    ("0.016684", fischer(0), 1001, "0.01669"),
    ("0.0167", fischer(0), 1002, "0.0167"),
    ("1440.0", fischer(0), 1440 * MINUTE, "1440.0"),
    ("527040.0", fischer(0), 527_040 * MINUTE, "527040.0"),
    ("40/90:30+30", stages((40, 90, 30), (None, 30, 30)), 90 * MINUTE, "40/90:30+30"),
    ("40/90+30:30+30", stages((40, 90, 30), (None, 30, 30)), 90 * MINUTE, "40/90:30+30"),
    ("40/90+0:30+0", stages((40, 90, 0), (None, 30, 0)), 90 * MINUTE, "40/90:30"),
    (
        "40/90+30:20/60+15:30",
        stages((40, 90, 30), (20, 60, 15), (None, 30, 0)),
        90 * MINUTE,
        "40/90+30:20/60+15:30",
    ),
    ("40/90+0:30+30", stages((40, 90, 0), (None, 30, 30)), 90 * MINUTE, "40/90+0:30+30"),
    ("40/120:20/60:30", stages((40, 120, 0), (20, 60, 0), (None, 30, 0)), 120 * MINUTE, "40/120:20/60:30"),
    ("1/1:0", stages((1, 1, 0), (None, 0, 0)), MINUTE, "1/1:0"),
    ("10d5", {"kind": "delay", "delay_ms": 5000}, 10 * MINUTE, "10d5"),
    ("90d0", {"kind": "delay", "delay_ms": 0}, 90 * MINUTE, "90d0"),
    ("300d5", {"kind": "delay", "delay_ms": 5000}, 300 * MINUTE, "300d5"),
    ("10b5", {"kind": "bronstein", "delay_ms": 5000}, 10 * MINUTE, "10b5"),
    ("10+5x30", {"kind": "byoyomi", "periods": 5, "period_ms": 30_000}, 10 * MINUTE, "10+5x30"),
    ("300+5x30", {"kind": "byoyomi", "periods": 5, "period_ms": 30_000}, 300 * MINUTE, "300+5x30"),
    ("10+25/300", {"kind": "canadian", "moves": 25, "period_ms": 300_000}, 10 * MINUTE, "10+25/300"),
    ("hourglass 5", {"kind": "hourglass"}, 5 * MINUTE, "hourglass 5"),
    # PGN: by the word `pgn`, by a form that only PGN has, or by a first time too long for minutes.
    ("pgn 300", fischer(0), 5 * MINUTE, "5"),
    ("pgn 300+3", fischer(3), 5 * MINUTE, "5+3"),
    ("pgn 1", fischer(0), 1000, "0.01667"),
    ("pgn 40/5400:1800+30", stages((40, 90, 0), (None, 30, 30)), 90 * MINUTE, "40/90+0:30+30"),
    ("pgn 40/5400+30:1800+30", stages((40, 90, 30), (None, 30, 30)), 90 * MINUTE, "40/90:30+30"),
    ("pgn 40/5400+30:1800", stages((40, 90, 30), (None, 30, 0)), 90 * MINUTE, "40/90+30:30"),
    ("pgn 1/60:60+1", stages((1, 1, 0), (None, 1, 1)), MINUTE, "1/1+0:1+1"),
    ("pgn 10+0.1", {"kind": "fischer", "increment_ms": 100}, 10_000, "pgn 10+0.1"),
    ("pgn 10.0+0.10", {"kind": "fischer", "increment_ms": 100}, 10_000, "pgn 10+0.1"),
    ("pgn 12.5+1", fischer(1), 12_500, "0.20834+1"),
    ("pgn 5.5", fischer(0), 5500, "0.09167"),
    ("300+3", fischer(3), 5 * MINUTE, "5+3"),
    ("180+2", fischer(2), 3 * MINUTE, "3+2"),
    ("179+2", fischer(2), 179 * MINUTE, "179+2"),
    ("300", fischer(0), 5 * MINUTE, "5"),
    ("180", fischer(0), 3 * MINUTE, "3"),
    ("179", fischer(0), 179 * MINUTE, "179"),
    ("300.0", fischer(0), 300 * MINUTE, "300.0"),
    ("300|3", fischer(3), 300 * MINUTE, "300.0+3"),
    ("40/5400:1800+30", stages((40, 90, 0), (None, 30, 30)), 90 * MINUTE, "40/90+0:30+30"),
    ("1/259200", repeating((1, 4320, 0)), 4320 * MINUTE, "1/4320.0"),
    (
        "40/7200:1800.5",
        {
            "kind": "stages",
            "stages": [
                {"moves": 40, "time_ms": 120 * MINUTE, "kind": "fischer", "increment_ms": 0},
                {"time_ms": 1_800_500, "kind": "fischer", "increment_ms": 0},
            ],
        },
        120 * MINUTE,
        "40/120:30.00834",
    ),
    ("40/7200:3600", stages((40, 120, 0), (None, 60, 0)), 120 * MINUTE, "40/120:60"),
    ("40/179:30", stages((40, 179, 0), (None, 30, 0)), 179 * MINUTE, "40/179:30"),
    ("*180", {"kind": "hourglass"}, 3 * MINUTE, "hourglass 3"),
    ("-", {"kind": "none"}, None, "-"),
    # Long times in minutes keep a decimal, so that they are not read as seconds.
    ("300.0+3", fischer(3), 300 * MINUTE, "300.0+3"),
    ("pgn 18000+3", fischer(3), 300 * MINUTE, "300.0+3"),
    ("pgn 18000+0", fischer(0), 300 * MINUTE, "300.0+0"),
    ("300.5+3", fischer(3), 300 * MINUTE + 30_000, "300.5+3"),
    ("40/18000:180", stages((40, 300, 0), (None, 3, 0)), 300 * MINUTE, "40/300.0:3"),
    ("40/18000+1:18000+1", stages((40, 300, 1), (None, 300, 1)), 300 * MINUTE, "40/300.0:300+1"),
    ("*1.5", {"kind": "hourglass"}, 1500, "hourglass 0.025"),
    # The last stage repeats where it has moves.
    ("40/120", repeating((40, 120, 0)), 120 * MINUTE, "40/120"),
    ("40/90:30/30", repeating((40, 90, 0), (30, 30, 0)), 90 * MINUTE, "40/90:30/30"),
    ("40/90:30/30+5", repeating((40, 90, 5), (30, 30, 5)), 90 * MINUTE, "40/90:30/30+5"),
    ("pgn 40/7200", repeating((40, 120, 0)), 120 * MINUTE, "40/120"),
    # Other signs and letters.
    ("5|3", fischer(3), 5 * MINUTE, "5+3"),
    ("5 + 3", fischer(3), 5 * MINUTE, "5+3"),
    ("½+0", fischer(0), 30_000, "0.5+0"),
    ("¼", fischer(0), 15_000, "0.25"),
    ("1¾+1", fischer(1), 105_000, "1.75+1"),
    ("10D5", {"kind": "delay", "delay_ms": 5000}, 10 * MINUTE, "10d5"),
    ("0+2x5", byoyomi(2, 5), 0, "0+2x5"),
    ("10+5+3x30", byoyomi(3, 30, increment_ms=5000), 10 * MINUTE, "10+5+3x30"),
    ("0+30/30", {"kind": "canadian", "moves": 30, "period_ms": 30_000}, 0, "0+30/30"),
    ("10+30/60", {"kind": "canadian", "moves": 30, "period_ms": 60_000}, 10 * MINUTE, "10+30/60"),
    # US Chess and SGF.
    ("G/60", fischer(0), 60 * MINUTE, "60"),
    ("G/60;d5", {"kind": "delay", "delay_ms": 5000}, 60 * MINUTE, "60d5"),
    ("g/60; INC5", fischer(5), 60 * MINUTE, "60+5"),
    ("G/90;+30", fischer(30), 90 * MINUTE, "90+30"),
    ("40/90,SD/30;d5", delayed((40, 90, 5), (None, 30, 5)), 90 * MINUTE, "40/90,SD/30;d5"),
    ("40/90, sd/30, inc5", stages((40, 90, 5), (None, 30, 5)), 90 * MINUTE, "40/90:30+5"),
    ("40/90;d5", delayed((40, 90, 5)) | {"repeat": True}, 90 * MINUTE, "40/90;d5"),
    ("TM[1800]OT[5x30 byo-yomi]", byoyomi(5, 30), 30 * MINUTE, "30+5x30"),
    ("OT[25/600 Canadian]", {"kind": "canadian", "moves": 25, "period_ms": 600_000}, 0, "0+25/600"),
    ("TM[300]TC[3]TT[30]", byoyomi(3, 30), 5 * MINUTE, "5+3x30"),
]

WRONG: list[tuple[str, int]] = [
    ("", 1),
    (" ", 1),
    ("x", 1),
    ("five", 1),
    ("+3", 1),
    ("5+", 3),
    ("5 ", 2),
    ("5 +", 4),
    ("5 + 3 ", 6),
    ("5+ 3x", 6),
    ("5-3", 2),
    ("5.", 3),
    ("5.+3", 3),
    (".5", 1),
    ("5,5", 2),
    ("5+3+1", 6),
    ("5+3.5", 3),
    ("5+-3", 3),
    ("5d", 3),
    ("5d3x", 4),
    ("5D3D", 4),
    ("5b", 3),
    ("5+3x", 5),
    ("5+3x3x", 6),
    ("5+3/", 5),
    ("5+3/6+3", 6),
    ("5.5/5:5", 4),
    ("40/", 4),
    ("40/90:", 7),
    ("40/90+:30", 7),
    ("40/90;30", 9),
    ("40/90:30:30", 9),
    ("hourglass", 1),
    ("hourglass ", 11),
    ("hourglass 5+3", 12),
    ("*", 2),
    ("*180+3", 5),
    ("*1.", 4),
    ("-5", 2),
    ("pgn", 1),
    ("pgn ", 5),
    ("pgn 5½", 6),
    ("pgn 5|3", 6),
    ("pgn 40/5400,1800", 12),
    ("40/90:1800.5.5", 13),
    ("½½", 2),
    ("½+é", 3),
    ("10+5+3", 7),
    ("G/60;", 6),
    ("40/90,SD/30;d5;d5", 15),
    ("TM[600", 7),
    ("TM[600]OT[5x30 canadian]", 16),
    ("OT[5x30 byo-yomi]OT[5x30 byo-yomi]", 18),
    ("x" * 257, 257),
    # Two meanings.
    ("90+30/30", 4),
    ("½+30/59", 3),
    ("TM[600]OT[25/10 Canadian]", 11),
    ("10+0.1", 4),
    ("10d0.5", 4),
    ("10+5x0.5", 6),
    ("40/90:30+0.5", 10),
    ("40/2,SD/1", 4),
    # Out of bounds: the position at which the number begins.
    ("0", 1),
    ("0.01666", 1),
    ("0+5", 1),
    ("0d0", 1),
    ("527041.0", 1),
    ("527040.0001", 1),
    ("999999999", 1),
    ("pgn 0", 5),
    ("pgn 31622401", 5),
    ("31622401", 1),
    ("*0", 2),
    ("*31622401", 2),
    ("hourglass 527041", 11),
    ("5+31622401", 3),
    ("5+31622401+1x30", 3),
    ("5d31622401", 3),
    ("5b31622401", 3),
    ("5+0x30", 3),
    ("5+1001x30", 3),
    ("5+1x0", 5),
    ("5+1x31622401", 5),
    ("5+0/30", 3),
    ("5+1001/30", 3),
    ("5+1/0", 5),
    ("5+1/31622401", 5),
    ("0/90:30", 1),
    ("1001/90:30", 1),
    ("40/0:30", 4),
    ("40/90:527041", 7),
    ("40/90+31622401:30", 7),
    ("40/90:30+31622401", 10),
    ("1/1:0/1:1", 5),
    ("1/1:" * 8 + "1", 33),
    ("1/1:" * 7 + "1/1:1+1", 33),
    # Numbers with too many digits.
    ("5+0000000000003", 3),
    ("0.33333333333", 1),
]


def table(driver: Driver) -> LibraryTable:
    driver.run("FLUSHALL")
    return LibraryTable(driver)


def shown(driver: Driver, control: Any) -> tuple[Json, int | None]:
    """The control and the bank in the state of a session whose owners have the bank of the control."""
    state = create(table(driver), players(None, None, time_control=control))
    first, second = state["participants"]
    assert first["total_time_ms"] == second["total_time_ms"]
    assert first["time_control"] is None
    return state["time_control"], first["total_time_ms"]


def refusal(driver: Driver, control: Any, path: str = "time_control") -> tuple[list[str], list[int]]:
    """The fields of the refusal, and the positions in its messages."""
    config = players(None, None, time_control=control)
    if path != "time_control":
        config = players(5000, None)
        config["participants"][1]["time_control"] = control
    driver.run("FLUSHALL")
    answer = driver.call("create", SESSION, [json.dumps(config)], START)
    assert answer.code == "VALIDATION_ERROR", answer
    messages = [detail["message"] for detail in answer.context["details"]]
    return answer.fields, sorted(int(n) for m in messages for n in re.findall(r"at position (\d+)", m))


@pytest.mark.parametrize(("text", "control", "bank", "normal"), READ, ids=[case[0] for case in READ])
def test_what_a_text_means(driver: Driver, text: str, control: Json, bank: int | None, normal: str) -> None:
    found, stage_bank, form = notation.read(text)
    first = found["stages"][0]["time_ms"] if "stages" in found else stage_bank
    assert (found, first, form) == (control, bank, normal)
    assert shown(driver, text) == (control | {"notation": normal}, bank)


@pytest.mark.parametrize("normal", sorted({case[3] for case in READ}))
def test_a_normal_form_is_its_own_normal_form(driver: Driver, normal: str) -> None:
    assert notation.read(normal)[2] == normal
    assert shown(driver, normal)[0]["notation"] == normal


@pytest.mark.parametrize(("text", "position"), WRONG, ids=[repr(case[0]) for case in WRONG])
def test_where_a_text_goes_wrong(driver: Driver, text: str, position: int) -> None:
    with pytest.raises(notation.Misread) as misread:
        notation.read(text)
    assert misread.value.positions == [position]
    assert refusal(driver, text) == (["time_control"], [position])
    assert refusal(driver, {"notation": text}) == (["time_control"], [position])
    own = "participants.1.time_control"
    assert refusal(driver, text, own) == ([own], [position])


# Texts of all sorts

few = st.integers(1, 1000)
seconds = st.one_of(st.integers(0, 60), st.integers(0, 31_622_400))
part_seconds = st.one_of(seconds.map(str), st.integers(0, 60_000).map(notation.seconds))
times = st.one_of(
    st.integers(1, 179).map(str),
    st.integers(1, 527_040).map("{}.0".format),
    st.integers(1000, notation.MOST).map(notation.minutes).map(notation.no_pgn),
    st.decimals(min_value="0.02", max_value=1440, places=3).map(str),
    st.builds("{}{}".format, st.integers(1, 99), st.sampled_from("¼½¾")),
    st.sampled_from("¼½¾"),
)
later_times = st.one_of(times, st.just("0"))
pgn_times = st.integers(1000, notation.MOST).map(notation.seconds)
long_pgn_times = st.integers(180, 31_622_400).map(str)
plus = st.sampled_from(["+", "+", " + ", "+ ", "|", " | "])
rules = st.builds("{}{}".format, st.sampled_from(["d", "inc", "+", "D", "Inc"]), seconds)
us_separators = st.sampled_from([";", ",", "; ", ", ", " "])


@st.composite
def staged(
    draw: st.DrawFn,
    first: st.SearchStrategy[str],
    later: st.SearchStrategy[str],
    added: st.SearchStrategy[object] = seconds,
) -> str:
    """One to eight stages, with increments in none of them, in the last one, or in any. The last one may have
    moves, too."""
    count = draw(st.integers(1, 8))
    parts = []
    for i in range(count):
        last = i == count - 1
        moves = "" if last and count > 1 and draw(st.booleans()) else f"{draw(few)}/"
        parts.append(moves + draw(later if i else first) + draw(_increment(added, last=last)))
    return ":".join(parts)


def _increment(added: st.SearchStrategy[object], *, last: bool) -> st.SearchStrategy[str]:
    written = added.map(lambda s: f"+{s}")
    return st.one_of(st.just(""), written) if last else st.one_of(*[st.just("")] * 3, written)


@st.composite
def us_staged(draw: st.DrawFn) -> str:
    """Stages as US Chess writes them, with a delay or an increment behind some of them."""
    count = draw(st.integers(1, 4))
    text = ""
    for i in range(count):
        moves = f"{draw(st.integers(1, 60))}/" if i < count - 1 or draw(st.booleans()) else "SD/"
        ruled = draw(st.sampled_from([False, False, True])) or i == 0 == count - 1
        rule = draw(us_separators) + draw(rules) if ruled else ""
        text += (draw(us_separators) if text else "") + moves + str(draw(st.integers(10, 1440))) + rule
    # With spaces alone it is no text of US Chess.
    assume(any(mark in text for mark in (",", ";", "SD/")))
    return text


texts = st.one_of(
    times,
    st.builds("{}{}{}".format, times, plus, seconds),
    st.builds("{}d{}".format, times, seconds),
    st.builds("{}b{}".format, times, seconds),
    st.builds("{}{}{}x{}".format, later_times, plus, few, st.integers(1, 86_400)),
    st.builds("{}{}{}{}{}x{}".format, later_times, plus, seconds, plus, few, st.integers(1, 86_400)),
    st.builds("{}{}{}/{}".format, later_times, plus, few, st.integers(2000, 86_400)),
    staged(times, later_times),
    times.map("hourglass {}".format),
    st.builds("{}{}".format, st.sampled_from(["G/", "SD/"]), times),
    st.builds("G/{}{}{}".format, times, us_separators, rules),
    us_staged(),
    pgn_times.map("TM[{}]".format),
    st.builds("TM[{}]OT[{}x{} byo-yomi]".format, pgn_times, few, st.integers(1, 86_400)),
    st.builds("OT[{}/{} Canadian]TM[{}]".format, few, st.integers(2000, 86_400), pgn_times),
    st.builds("OT[{}/{} canadian]".format, few, st.integers(1, 86_400)),
    st.builds("TM[{}]TC[{}]TT[{}]".format, pgn_times, few, st.integers(1, 86_400)),
    pgn_times.map("pgn {}".format),
    pgn_times.map("*{}".format),
    st.builds("pgn {}+{}".format, pgn_times, part_seconds),
    staged(pgn_times, st.one_of(pgn_times, st.just("0")), part_seconds).map("pgn {}".format),
    long_pgn_times,
    st.builds("{}+{}".format, long_pgn_times, part_seconds),
    staged(long_pgn_times, pgn_times, part_seconds),
    st.just("-"),
).filter(lambda text: len(text) <= 200)


@enough
@given(text=texts)
@example(text="1.999+1")
def test_a_text_comes_back(driver: Driver, text: str) -> None:
    """The state's `time_control` is accepted again, as text and as an object, and gives the same state."""
    control, bank, normal = notation.read(text)
    found, found_bank = shown(driver, text)
    assert found == control | {"notation": normal}
    assert list(found)[-1] == "notation"
    assert found_bank == (control["stages"][0]["time_ms"] if "stages" in control else bank)
    assert shown(driver, normal) == (found, found_bank)
    assert shown(driver, found) == (found, found_bank)


@enough
@given(text=texts, overtime=st.integers(0, 86_400_000))
def test_the_object_without_its_text_is_the_same_clock(driver: Driver, text: str, overtime: int) -> None:
    """Parameters and a bank instead of the text give the same state, except for `notation`."""
    control, bank, _ = notation.read(text)
    more = {} if control["kind"] == "none" else {"overtime_ms": overtime}
    noted = create(table(driver), players(None, None, time_control={"notation": text} | more))
    plain = create(table(driver), players(bank, bank, time_control=control | more))
    del noted["time_control"]["notation"]
    assert noted == plain


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A text with one or two characters inserted, removed or replaced."""
    text: str = draw(texts)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        put = draw(st.sampled_from(["", "", *"0159+/:.dbx*- hpg|½,;[]TGé", "180", "SD/", ";d5", "+3x5"]))
        text = text[:at] + put + text[at + draw(st.integers(0, 1)) :]
    return text


@enough
@given(text=broken())
def test_both_parsers_agree_on_what_is_wrong(driver: Driver, text: str) -> None:
    """Both read a text in the same way, or both refuse it at the same positions."""
    wrong: list[int] = []
    try:
        control, _, normal = notation.read(text)
    except notation.Misread as misread:
        wrong = misread.positions
    if wrong:
        assert refusal(driver, text) == (["time_control"], wrong)
    else:
        assert shown(driver, text)[0] == control | {"notation": normal}


# Other fields in a control with a text

SAME = [
    {"notation": "5+3", "kind": "fischer"},
    {"notation": "5+3", "increment_ms": 3000},
    {"notation": "300+3", "kind": "fischer", "increment_ms": 3000},
    {"notation": "5+3", "kind": None, "increment_ms": None, "overtime_ms": None},
]
OTHER: list[tuple[Json, str]] = [
    ({"notation": "5+3", "kind": "delay"}, "kind"),
    ({"notation": "5+3", "increment_ms": 3001}, "increment_ms"),
    ({"notation": "5+3", "delay_ms": 3000}, "delay_ms"),
    ({"notation": "10+5x30", "periods": 4}, "periods"),
    ({"notation": "10+5x30", "period_ms": "30000"}, "period_ms"),
    ({"notation": "10+25/300", "moves": 24}, "moves"),
    ({"notation": "40/90:30", "stages": []}, "stages"),
    ({"notation": "40/90:30", "stages": [{"moves": 40, "time_ms": 5_400_000}]}, "stages"),
    ({"notation": "5+3", "overtime_ms": -1}, "overtime_ms"),
    ({"notation": "-", "overtime_ms": 1000}, "overtime_ms"),
]


@pytest.mark.parametrize("control", SAME, ids=json.dumps)
def test_fields_that_agree_with_the_text_are_accepted(driver: Driver, control: Json) -> None:
    assert shown(driver, control) == (fischer(3) | {"notation": "5+3"}, 5 * MINUTE)


@pytest.mark.parametrize(("control", "name"), OTHER, ids=[json.dumps(case[0]) for case in OTHER])
def test_fields_that_differ_from_the_text_are_refused(driver: Driver, control: Json, name: str) -> None:
    assert refusal(driver, control) == ([f"time_control.{name}"], [])


@pytest.mark.parametrize("text", [5, True, ["5+3"], {"text": "5+3"}])
def test_notation_is_text(driver: Driver, text: Any) -> None:
    assert refusal(driver, {"notation": text})[0] == ["time_control.notation"]


def test_a_bank_that_differs_from_the_text_is_refused(driver: Driver) -> None:
    state = create(table(driver), players(300_000, None, time_control="5+3"))
    assert [p["total_time_ms"] for p in state["participants"]] == [300_000, 300_000]
    driver.run("FLUSHALL")
    for control, bank in (("5+3", 299_999), ("-", 300_000), ({"kind": "none"}, 1000)):
        config = players(None, bank, time_control=control)
        answer = driver.call("create", SESSION, [json.dumps(config)], START)
        assert (answer.code, answer.fields) == ("VALIDATION_ERROR", ["participants.1.total_time_ms"])
