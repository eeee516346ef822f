"""Time controls as players write them: what a text means, how it comes back, where a wrong one is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.core.game import SESSION, START, Game, P, RefusedError, people
from tests.model import notation
from tests.model.driver import Driver

FISCHER_STAGES = [
    {"moves": 40, "time_ms": 5_400_000, "kind": "fischer", "increment_ms": 30_000},
    {"time_ms": 1_800_000, "kind": "fischer", "increment_ms": 30_000},
]

MEANINGS: list[tuple[str, int | None, dict[str, Any]]] = [
    ("5", 300_000, {"kind": "fischer", "increment_ms": 0}),
    ("1+0", 60_000, {"kind": "fischer", "increment_ms": 0}),
    ("5+3", 300_000, {"kind": "fischer", "increment_ms": 3000}),
    ("0.5+1", 30_000, {"kind": "fischer", "increment_ms": 1000}),
    ("0.33332", 19_999, {"kind": "fischer", "increment_ms": 0}),
    ("10d5", 600_000, {"kind": "delay", "delay_ms": 5000}),
    ("10b5", 600_000, {"kind": "bronstein", "delay_ms": 5000}),
    ("10+5x30", 600_000, {"kind": "byoyomi", "periods": 5, "period_ms": 30_000}),
    ("10+25/300", 600_000, {"kind": "canadian", "period_ms": 300_000, "moves": 25}),
    ("hourglass 5", 300_000, {"kind": "hourglass"}),
    ("hourglass 0.25", 15_000, {"kind": "hourglass"}),
    ("40/90:30+30", 5_400_000, {"kind": "stages", "stages": FISCHER_STAGES}),
    (
        "40/90:20/60:30",
        5_400_000,
        {
            "kind": "stages",
            "stages": [
                {"moves": 40, "time_ms": 5_400_000, "kind": "fischer", "increment_ms": 0},
                {"moves": 20, "time_ms": 3_600_000, "kind": "fischer", "increment_ms": 0},
                {"time_ms": 1_800_000, "kind": "fischer", "increment_ms": 0},
            ],
        },
    ),
    (
        "40/120+0:60+30",
        7_200_000,
        {
            "kind": "stages",
            "stages": [
                {"moves": 40, "time_ms": 7_200_000, "kind": "fischer", "increment_ms": 0},
                {"time_ms": 3_600_000, "kind": "fischer", "increment_ms": 30_000},
            ],
        },
    ),
    (
        "40/120",
        7_200_000,
        {
            "kind": "stages",
            "stages": [{"moves": 40, "time_ms": 7_200_000, "kind": "fischer", "increment_ms": 0}],
            "repeat": True,
        },
    ),
    (
        "40/90:30/30+30",
        5_400_000,
        {
            "kind": "stages",
            "stages": [
                FISCHER_STAGES[0],
                {"moves": 30, "time_ms": 1_800_000, "kind": "fischer", "increment_ms": 30_000},
            ],
            "repeat": True,
        },
    ),
    (
        "40/90,SD/30;d5",
        5_400_000,
        {
            "kind": "stages",
            "stages": [
                {"moves": 40, "time_ms": 5_400_000, "kind": "delay", "delay_ms": 5000},
                {"time_ms": 1_800_000, "kind": "delay", "delay_ms": 5000},
            ],
        },
    ),
    (
        "pgn 40/60+0.6:30",
        60_000,
        {
            "kind": "stages",
            "stages": [
                {"moves": 40, "time_ms": 60_000, "kind": "fischer", "increment_ms": 600},
                {"time_ms": 30_000, "kind": "fischer", "increment_ms": 0},
            ],
        },
    ),
    (
        "10+5+3x30",
        600_000,
        {"kind": "byoyomi", "periods": 3, "period_ms": 30_000, "increment_ms": 5000},
    ),
    ("0+2x5", 0, {"kind": "byoyomi", "periods": 2, "period_ms": 5000}),
    ("0+30/30", 0, {"kind": "canadian", "period_ms": 30_000, "moves": 30}),
    ("0d5", 0, {"kind": "delay", "delay_ms": 5000}),
    ("pgn 10+0.1", 10_000, {"kind": "fischer", "increment_ms": 100}),
    ("300.0", 18_000_000, {"kind": "fischer", "increment_ms": 0}),
    ("-", None, {"kind": "none"}),
]

OTHER_WAYS = [
    ("05+03", "5+3"),
    ("5.0+3", "5+3"),
    ("0.50", "0.5"),
    ("0.333333", "0.33332"),
    ("40/90+30:30+30", "40/90:30+30"),
    # PGN, in seconds
    ("300+3", "5+3"),
    ("180+0", "3+0"),
    ("pgn 60+0", "1+0"),
    ("pgn 120+1", "2+1"),
    ("pgn 300", "5"),
    ("300", "5"),
    ("600", "10"),
    ("180", "3"),
    ("pgn 300.5", "5.00834"),
    # there an increment belongs to the stage that has it
    ("40/5400:1800+30", "40/90+0:30+30"),
    ("pgn 40/5400:20/3600:900+30", "40/90+0:20/60+0:15+30"),
    ("pgn 40/7200:1800+30", "40/120+0:30+30"),
    ("40/5400+30:1800+30", "40/90:30+30"),
    ("pgn 40/7200", "40/120"),
    ("1/259200", "1/4320.0"),
    # with decimals of seconds, which nothing else has
    ("pgn 010.50+0.10", "pgn 10.5+0.1"),
    ("pgn 10+0.0004", "0.16667+0"),
    ("300+1.5", "pgn 300+1.5"),
    ("pgn 40/60+0.6:60+0", "pgn 40/60+0.6:60"),
    ("pgn 40/60.5", "40/1.00834"),
    ("40/7200:3600", "40/120:60"),
    ("*180", "hourglass 3"),
    ("*1.5", "hourglass 0.025"),
    ("pgn *180", "hourglass 3"),
    ("pgn -", "-"),
    # never mistaken for PGN
    ("300.00", "300.0"),
    ("pgn 18000", "300.0"),
    ("300d5", "300d5"),
    ("300+5x30", "300+5x30"),
    ("300+5+5x30", "300+5+5x30"),
    ("120+30", "120+30"),
    # | is + in minutes, and + may have spaces around it
    ("5|3", "5+3"),
    ("300|3", "300.0+3"),
    ("5 + 3", "5+3"),
    ("5  |3", "5+3"),
    ("10 | 5 + 3x30", "10+5+3x30"),
    ("10+0+3x30", "10+3x30"),
    ("40/90 + 30:30", "40/90+30:30"),
    # quarters of minutes
    ("½+0", "0.5+0"),
    ("¼", "0.25"),
    ("1¾ + 1", "1.75+1"),
    ("hourglass 2½", "hourglass 2.5"),
    ("40/½:¼", "40/0.5:0.25"),
    # letters
    ("10D5", "10d5"),
    ("10B5", "10b5"),
    ("10+5X30", "10+5x30"),
    ("Hourglass 5", "hourglass 5"),
    ("PGN 300+3", "5+3"),
    # US Chess
    ("G/60", "60"),
    ("g/60;D5", "60d5"),
    ("G/60; inc5", "60+5"),
    ("G/90;+30", "90+30"),
    ("G/60 d5", "60d5"),
    ("G/300", "300.0"),
    ("SD/30", "30"),
    ("40/90, SD/30", "40/90:30"),
    ("40/90, sd/30; INC30", "40/90:30+30"),
    ("40/90,SD/30,d5", "40/90,SD/30;d5"),
    ("40/90;d5,SD/30;d5", "40/90,SD/30;d5"),
    ("40/90;d5,SD/30", "40/90;d5,SD/30"),
    ("40/90;inc0,SD/30;d5", "40/90;inc0,SD/30;d5"),
    ("40/090.0, 20/60; d5", "40/90,20/60;d5"),
    ("40/180;d5", "40/180;d5"),
    ("2/0.1,SD/0.1;d1", "2/0.1,SD/0.1;d1"),
    ("40/4,SD/1", "40/4:1"),
    ("40/180,G/60", "40/180.0:60"),
    # SGF, in seconds
    ("TM[1800]OT[5x30 byo-yomi]", "30+5x30"),
    ("OT[5X30  Byo-Yomi] TM[60]", "1+5x30"),
    ("TM[600]OT[25/600 Canadian]", "10+25/600"),
    ("OT[25/600 canadian]", "0+25/600"),
    ("TM[90.5]", "1.50834"),
    ("TM[300]TC[3]TT[30]", "5+3x30"),
    ("TM[600]OT[10 fischer]", "10+10"),
    ("OT[30 simple]", "0+1x30"),
    ("0180.00+5", "180.0+5"),
    ("pgn 86399", "1439.98334"),
    ("*86399", "hourglass 1439.98334"),
    (
        "pgn 1000/7201+60:1000/7201+1:1000/7201+60:1000/7201+60:1000/7201+60:1000/7201+60:1000/7201+60:7201",
        ":".join(["1000/120.01667+60", "1000/120.01667+1"] + ["1000/120.01667+60"] * 5 + ["120.01667"]),
    ),
    ("40/180.00:30", "40/180.0:30"),
]

TOO_MANY = "no more than 8 stages expected"
OF_A_BANK = "bank must be a time from 1 second to 366 days: nothing comes after a bank of 0"

WRONG = [
    ("", 1, 'pgn ", "-", "*", "hourglass ", "G/", "SD/", "TM[", "OT[" or minutes expected'),
    ("5+", 3, "seconds expected"),
    ("+5", 1, "or minutes expected"),
    ("five", 1, "or minutes expected"),
    ("5+3 ", 4, '"+", "x", "/" or the end expected'),
    (" 5", 1, "or minutes expected"),
    ("5 ", 2, '"+", "d", "b" or the end expected'),
    ("5.+3", 3, "decimals expected"),
    ("5.5.5", 4, '"+", "d", "b" or the end expected'),
    ("½½", 2, '"+", "d", "b" or the end expected'),
    ("½+½", 3, "seconds expected"),
    ("¼é", 2, "the end expected"),
    ("0.5½", 4, "the end expected"),
    ("-5", 2, "the end expected"),
    ("10d", 4, "seconds expected"),
    ("10d5b", 5, "the end expected"),
    ("10+5x", 6, "seconds expected"),
    ("10+x30", 4, "seconds expected"),
    ("10+25/", 7, "seconds expected"),
    ("10+5+3", 7, '"x" expected'),
    ("10+5+3x30+1", 10, "the end expected"),
    ("10+5++3x30", 6, "periods expected"),
    ("40/90:", 7, "a time expected"),
    ("40/:30", 4, "a time expected"),
    ("40/90:30:15", 9, '"+" or the end expected'),
    ("/90", 1, "or minutes expected"),
    ("hourglass", 1, "or minutes expected"),
    ("hourglass ", 11, "minutes expected"),
    ("hourglass5", 1, "or minutes expected"),
    ("*", 2, "seconds expected"),
    ("*180+3", 5, "the end expected"),
    ("pgn ", 5, '"-", "*" or seconds expected'),
    ("pgn 5½", 6, '"+" or the end expected'),
    ("pgn 5|3", 6, '"+" or the end expected'),
    ("pgn 600+5x30", 10, "the end expected"),
    ("pgn 600d5", 8, '"+" or the end expected'),
    ("pgn hourglass 5", 5, '"-", "*" or seconds expected'),
    ("pgn G/60", 5, '"-", "*" or seconds expected'),
    ("pgn 40/90,SD/30", 10, '"+", ":" or the end expected'),
    ("?", 1, "or minutes expected"),
    ("G/", 3, "minutes expected"),
    ("G/60;", 6, '"d", "inc" or "+" expected'),
    ("G/60;d5;d5", 8, "the end expected"),
    ("G/60;d", 7, "seconds expected"),
    ("G/60;d2.5", 7, "whole seconds expected"),
    ("G/60|5", 5, '",", ";", "+" or the end expected'),
    ("40/90,", 7, '"d", "inc", "+", "SD/", "G/" or moves expected'),
    ("40/90,30", 9, '"/" expected'),
    ("40/90,SD/30,SD/30", 13, '"d", "inc" or "+" expected'),
    ("TM[", 4, "seconds expected"),
    ("TM[600", 7, '"]" expected'),
    ("TM[600]TM[5]", 8, '"OT[", "TC[" or the end expected'),
    ("OT[", 4, "a number expected"),
    ("OT[5x30", 8, '"byo-yomi" expected'),
    ("OT[25/600 byo-yomi]", 11, '"Canadian" expected'),
    ("OT[5x30.5 byo-yomi]", 6, "whole seconds expected"),
    ("TC[3]", 6, '"TT[" expected'),
    ("5+1234567890123", 3, "a number of at most 12 characters expected"),
    # two meanings
    (
        "90+30/30",
        4,
        "two meanings: 30 moves in 30 seconds, or 30 moves in 30 minutes, or 30 more minutes with 30 ",
    ),
    ("90+30/30", 4, '; "90+30/1800" or "40/90:30+30" expected'),
    ("10+25/49", 4, "two meanings: 25 moves in 49 seconds, or 25 moves in 49 minutes"),
    ("TM[600]OT[25/49 Canadian]", 11, "two meanings: 25 moves in 49 seconds, or 25 moves in 49 minutes"),
    ("10+0.1", 4, "two meanings: 10 minutes and 0.1 seconds, or 10 seconds and 0.1 seconds; "),
    ("10+0.1", 4, '"pgn 600+0.1" or "pgn 10+0.1" expected'),
    ("10d2.5", 4, "two meanings: 10 minutes and 2.5 seconds, or 10 seconds and 2.5 seconds; "),
    ("10b2.5", 4, "whole seconds after minutes expected"),
    ("10+5x7.5", 6, "two meanings: 10 minutes and 7.5 seconds, or 10 seconds and 7.5 seconds; "),
    ("10+25/300.5", 7, "two meanings: 10 minutes and 300.5 seconds, or 10 seconds and 300.5 seconds; "),
    ("10+2.5+5x30", 4, "two meanings: 10 minutes and 2.5 seconds, or 10 seconds and 2.5 seconds; "),
    ("10+2.5x30", 4, "a whole number expected"),
    ("300|0.5", 5, "two meanings: 300 minutes and 0.5 seconds, or 300 seconds and 0.5 seconds; "),
    ("40/90+0.5:30", 7, "two meanings: 90 minutes and 0.5 seconds, or 90 seconds and 0.5 seconds; "),
    (
        "40/2,SD/1",
        4,
        'two meanings: 40 moves in 2 minutes, or in 2 hours; "pgn" and seconds, or "40/120" expected',
    ),
    # out of bounds: the number's own position
    ("0", 1, OF_A_BANK),
    ("0+5", 1, OF_A_BANK),
    ("0b5", 1, OF_A_BANK),
    ("0d0", 1, OF_A_BANK),
    ("OT[10 fischer]", 1, OF_A_BANK),
    ("hourglass 0", 11, OF_A_BANK),
    ("0.01+5x30", 1, "bank must be 0 or a time from 1 second to 366 days"),
    ("527041.0", 1, "bank must be 0 or a time from 1 second to 366 days"),
    ("5+31622401", 3, "increment_ms must be an integer from 0 to 31622400000"),
    ("10d31622401", 4, "delay_ms must be an integer from 0 to 31622400000"),
    ("10+0x30", 4, "periods must be an integer from 1 to 1000"),
    ("10+1001x30", 4, "periods must be an integer from 1 to 1000"),
    ("10+5x0", 6, "period_ms must be an integer from 1 to 31622400000"),
    ("10+5+0x30", 6, "periods must be an integer from 1 to 1000"),
    ("10+0/300", 4, "moves must be an integer from 1 to 1000"),
    ("½+0/300", 3, "moves must be an integer from 1 to 1000"),
    ("0/90:30", 1, "stages.0.moves must be an integer from 1 to 1000"),
    ("40/90:1001/30:5", 7, "stages.1.moves must be an integer from 1 to 1000"),
    ("40/0:30", 4, "stages.0.time_ms must be an integer from 1000 to 31622400000"),
    ("40/90:527041", 7, "stages.1.time_ms must be an integer from 0 to 31622400000"),
    ("40/90:30+31622401", 10, "increment_ms must be an integer from 0 to 31622400000"),
    ("40/90,SD/30;d31622401", 14, "delay_ms must be an integer from 0 to 31622400000"),
    ("TM[600]OT[1001x30 byo-yomi]", 11, "periods must be an integer from 1 to 1000"),
    ("5" + "x" * 256, 257, "a text of at most 256 characters expected"),
    ("½" * 257, 257, "a text of at most 256 characters expected"),
    ("9" * 65536, 257, "a text of at most 256 characters expected"),
    ("9" * 13, 1, "a number of at most 12 characters expected"),
    ("1/1:" * 8 + "1", 33, TOO_MANY),
    ("1/1," * 8 + "SD/1;d5", 33, TOO_MANY),
]


def make(core: Driver, control: Any, **config: Any) -> Game:
    """A session of two with this control and no banks."""
    return Game(
        core,
        {"sync_mode": "per_participant", "participants": people(2), "time_control": control, **config},
    )


@pytest.mark.parametrize(("text", "bank", "meaning"), MEANINGS, ids=[m[0] for m in MEANINGS])
def test_a_text_means_its_object_and_bank_and_comes_back(
    core: Driver, text: str, bank: int, meaning: dict[str, Any]
) -> None:
    state = make(core, text).created
    assert state["time_control"] == {**meaning, "notation": text}
    banks = [p["total_time_ms"] for p in state["participants"]]
    assert banks == [bank] * 2


@pytest.mark.parametrize(("text", "normal"), OTHER_WAYS, ids=[o[0] for o in OTHER_WAYS])
def test_another_way_to_write_it_comes_back_in_the_normal_form(core: Driver, text: str, normal: str) -> None:
    control = make(core, text).created["time_control"]
    assert control["notation"] == normal
    core.run("FLUSHALL")
    assert make(core, normal).created["time_control"] == control


@pytest.mark.parametrize("text", [m[0] for m in MEANINGS])
def test_what_a_state_shows_is_taken_again(core: Driver, text: str) -> None:
    control = make(core, text).created["time_control"]
    core.run("FLUSHALL")
    again = make(core, control).created
    assert again["time_control"] == control
    core.run("FLUSHALL")
    assert make(core, {"notation": control["notation"]}).created["participants"] == again["participants"]


@pytest.mark.parametrize(
    ("text", "position", "message"), WRONG, ids=[f"{w[0][:20]} {w[2][-20:]}" for w in WRONG]
)
def test_a_wrong_text_is_refused_with_its_position(
    core: Driver, text: str, position: int, message: str
) -> None:
    for control in (text, {"notation": text}):
        with pytest.raises(RefusedError) as refused:
            make(core, control)
        (detail,) = refused.value.answer.context["details"]
        assert detail["field"] == "time_control"
        assert detail["message"].startswith(f"cannot be read at position {position}: ")
        assert message in detail["message"]


def test_the_position_is_of_the_owner_whose_text_it_is(core: Driver) -> None:
    config = {"sync_mode": "per_participant", "participants": people(2), "time_control": "5+3"}
    config["participants"] = [{"participant_id": P[0]}, {"participant_id": P[1], "time_control": "5+x"}]
    with pytest.raises(RefusedError) as refused:
        Game(core, config)
    (detail,) = refused.value.answer.context["details"]
    assert detail == {
        "field": "participants.1.time_control",
        "message": "cannot be read at position 3: seconds expected",
    }


@pytest.mark.parametrize(
    ("control", "field"),
    [
        ({"notation": "5+3", "kind": "delay"}, "time_control.kind"),
        ({"notation": "5+3", "increment_ms": 2000}, "time_control.increment_ms"),
        ({"notation": "5+3", "delay_ms": 2000}, "time_control.delay_ms"),
        ({"notation": "40/90:30+30", "stages": FISCHER_STAGES[:1]}, "time_control.stages"),
        ({"notation": 5}, "time_control.notation"),
        ({"notation": "-", "overtime_ms": 1000}, "time_control.overtime_ms"),
        ({"notation": "5+3", "overtime_ms": -1}, "time_control.overtime_ms"),
    ],
)
def test_what_stands_beside_a_notation_must_say_the_same(
    core: Driver, control: dict[str, Any], field: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        make(core, control)
    assert [d["field"] for d in refused.value.answer.context["details"]] == [field]


def test_a_notation_may_have_overtime_and_the_cap_of_the_session(core: Driver) -> None:
    game = make(core, {"notation": "0.1+5", "overtime_ms": 1000}, max_time_ms=7000).start()
    assert game.created["time_control"] == {
        "kind": "fischer",
        "increment_ms": 5000,
        "overtime_ms": 1000,
        "notation": "0.1+5",
    }
    assert game.deadline() == 7000
    game.do("switch", at=2000)
    assert game.person(0)["total_time_ms"] == 7000


def test_null_beside_a_notation_means_absent(core: Driver) -> None:
    control = json.loads('{"notation":"5+3","kind":null,"overtime_ms":null}')
    assert make(core, control).created["time_control"]["notation"] == "5+3"
    core.run("FLUSHALL")
    config = json.loads('{"kind":"fischer","increment_ms":null,"notation":null}')
    assert Game(
        core,
        {
            "sync_mode": "per_participant",
            "participants": people(2, total_time_ms=1000),
            "time_control": config,
        },
    ).created["time_control"] == {"kind": "fischer"}


def test_a_bank_of_0_may_have_overtime_after_it(core: Driver) -> None:
    created = make(core, {"notation": "0", "overtime_ms": 5000}).created
    assert created["time_control"]["notation"] == "0"
    assert [p["total_time_ms"] for p in created["participants"]] == [0, 0]


def test_what_a_text_leaves_out_may_stand_beside_it(core: Driver) -> None:
    for control in (
        {"notation": "40/90:30", "kind": "stages", "repeat": False},
        {"notation": "10+5x30", "kind": "byoyomi", "increment_ms": 0},
    ):
        assert make(core, control).created["time_control"]["notation"] == control["notation"]
        core.run("FLUSHALL")
    with pytest.raises(RefusedError):
        make(core, {"notation": "40/90", "kind": "stages", "repeat": False})


CORPUS: list[dict[str, Any]] = msgspec.yaml.decode(
    (Path(__file__).parent / "corpus" / "time_controls.yaml").read_text(encoding="utf-8")
)


def corpus() -> Iterator[dict[str, Any]]:
    """The entries of all sources."""
    for source in CORPUS:
        yield from source["texts"]


def test_the_corpus_is_large() -> None:
    texts = [entry["text"] for entry in corpus()]
    assert len(texts) == len(set(texts)) >= 150
    assert all(source["source"] for source in CORPUS)


def test_every_text_of_the_corpus_has_its_meaning_or_its_refusal(core: Driver) -> None:
    """The text, and its normal form, which is its own."""
    for entry in corpus():
        text = entry["text"]
        core.run("FLUSHALL")
        if "refused_at" in entry:
            with pytest.raises(RefusedError) as refused:
                make(core, text)
            (detail,) = refused.value.answer.context["details"]
            assert detail["field"] == "time_control", text
            wanted = f"cannot be read at position {entry['refused_at']}: {entry['because']}"
            assert detail["message"].startswith(wanted), text
            continue
        state = make(core, text).created
        assert state["time_control"] == entry["means"] | {"notation": entry["normal"]}, text
        assert {p["total_time_ms"] for p in state["participants"]} == {entry["bank"]}, text
        core.run("FLUSHALL")
        again = make(core, entry["normal"]).created
        assert (again["time_control"], again["participants"]) == (
            state["time_control"],
            state["participants"],
        ), text


def test_the_model_reads_the_corpus_in_the_same_way() -> None:
    for entry in corpus():
        text = entry["text"]
        if "refused_at" in entry:
            with pytest.raises(notation.Misread) as misread:
                notation.read(text)
            assert misread.value.positions == [entry["refused_at"]], text
            continue
        for same in (text, entry["normal"]):
            control, bank, normal = notation.read(same)
            first = control["stages"][0]["time_ms"] if "stages" in control else bank
            assert (control, first, normal) == (entry["means"], entry["bank"], entry["normal"]), text


def test_no_text_fails_otherwise_than_with_a_refusal(core: Driver) -> None:
    """Every text of the corpus with one of many things put into it, at every fourth place."""
    things = ["½", "é", "\U0001f600", "\u0000", "\n", "[", "%", "+", "/", "999999999999", ";d5", '"']
    config = {"sync_mode": "per_participant", "participants": people(2)}
    for number, entry in enumerate(corpus()):
        for at in range(number % 4, len(entry["text"]) + 1, 4):
            text = entry["text"][:at] + things[(number + at) % len(things)] + entry["text"][at:]
            core.run("FLUSHALL")
            answer = core.call("create", SESSION, [json.dumps(config | {"time_control": text})], START)
            assert answer.code in {None, "VALIDATION_ERROR"}, (text, answer)
            for detail in answer.context.get("details", []) if answer.code else []:
                assert re.match(r"cannot be read at position [1-9]\d*: .", detail["message"]), (text, detail)
