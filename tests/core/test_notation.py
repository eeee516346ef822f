"""Time controls as players write them: what a text means, how it comes back, where a wrong one is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.game import Game, P, RefusedError, people
from tests.model.driver import Driver

FISCHER_STAGES = [
    {"moves": 40, "time_ms": 5_400_000, "kind": "fischer", "increment_ms": 30_000},
    {"time_ms": 1_800_000, "kind": "fischer", "increment_ms": 30_000},
]

MEANINGS: list[tuple[str, int, dict[str, Any]]] = [
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
    ("-", 0, {"kind": "none"}),
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
    ("40/5400:1800+30", "40/90:30+30"),
    ("pgn 40/5400:20/3600:900+30", "40/90:20/60:15+30"),
    ("40/7200:3600", "40/120:60"),
    ("*180", "hourglass 3"),
    ("pgn *180", "hourglass 3"),
    ("pgn -", "-"),
    # never mistaken for PGN
    ("300", "300"),
    ("120+30", "120+30"),
    ("0180.00+5", "180.0+5"),
    ("pgn 86399", "1439.98334"),
    ("*86399", "hourglass 1439.98334"),
    (
        "pgn 1000/7201+60:1000/7201+1:1000/7201+60:1000/7201+60:1000/7201+60:1000/7201+60:1000/7201+60:7201",
        ":".join(["1000/120.01667+60", "1000/120.01667+1"] + ["1000/120.01667+60"] * 5 + ["120.01667"]),
    ),
    ("40/180.00:30", "40/180.0:30"),
]

WRONG = [
    ("", 1),
    ("5+", 3),
    ("+5", 1),
    ("five", 1),
    ("5+3 ", 4),
    (" 5", 1),
    ("5 +3", 2),
    ("5.+3", 3),
    ("5.5.5", 4),
    ("-5", 2),
    ("10d", 4),
    ("10d5b", 5),
    ("10+5x", 6),
    ("10+x30", 4),
    ("10+25/", 7),
    ("40/90", 6),
    ("40/90:", 7),
    ("40/:30", 4),
    ("40/90:30:15", 9),
    ("/90", 1),
    ("hourglass", 1),
    ("hourglass ", 11),
    ("hourglass5", 1),
    ("*", 2),
    ("*1.5", 3),
    ("pgn ", 5),
    ("pgn 5.5", 6),
    ("pgn 600+5x30", 10),
    ("pgn 600d5", 8),
    ("pgn hourglass 5", 5),
    ("?", 1),
    ("5+1234567890", 3),
    # out of bounds: the number's own position
    ("0", 1),
    ("527041", 1),
    ("5+31622401", 3),
    ("10d31622401", 4),
    ("10+0x30", 4),
    ("10+1001x30", 4),
    ("10+5x0", 6),
    ("10+0/300", 4),
    ("0/90:30", 1),
    ("40/90:1001/30:5", 7),
    ("40/0:30", 4),
    ("40/90:527041", 7),
    ("40/90:30+31622401", 10),
    ("hourglass 0", 11),
    ("5" + "x" * 200, 201),
    ("9" * 201, 201),
    ("9" * 13, 1),
    ("1/1:" * 8 + "1", 33),
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
    assert banks == ([bank] * 2 if bank else [None] * 2)


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


@pytest.mark.parametrize(("text", "position"), WRONG, ids=[w[0][:20] or "nothing" for w in WRONG])
def test_a_wrong_text_is_refused_with_its_position(core: Driver, text: str, position: int) -> None:
    for control in (text, {"notation": text}):
        with pytest.raises(RefusedError) as refused:
            make(core, control)
        (detail,) = refused.value.answer.context["details"]
        assert detail["field"] == "time_control"
        assert f"at position {position}:" in detail["message"]


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
