"""What the state machine plays with: random configurations, arguments and steps of time.

Values come from small pools so that clocks meet, thresholds coincide and ids repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.model.config import MODES
from tests.model.driver import KINDS, LAG_PROBE

Json = dict[str, Any]

PEOPLE = [f"a0000000-0000-4000-8000-00000000000{i}" for i in range(6)]
TEAMS = [f"b0000000-0000-4000-8000-00000000000{i}" for i in range(4)]
STRANGER = "c0000000-0000-4000-8000-000000000000"
SESSIONS = ["5e550000-0000-4000-8000-0000000000aa", "5e550000-0000-4000-8000-0000000001aa"]
BANKS = [1000, 1001, 2000, 5000, 10_000, 60_000]
SHORT = [1, 10, 500, 1000, 2000, 5000]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`strategy`, or None for absent."""
    return st.none() | strategy


@st.composite
def controls(draw: st.DrawFn, offered: frozenset[str]) -> Json:
    """A time control of a kind that the library offers."""
    kind = draw(st.sampled_from(sorted((set(KINDS) & offered) - {"text"})))
    made: Json = {"kind": kind}
    if kind == "stages":
        made["stages"] = draw(stages(offered))
    else:
        made |= draw(parameters(kind))
    if draw(st.integers(0, 3)) == 0:
        made["overtime_ms"] = draw(st.sampled_from([0, 1000, 2500]))
    return made


@st.composite
def parameters(draw: st.DrawFn, kind: str) -> Json:
    """The parameters of one kind."""
    short = st.sampled_from(SHORT)
    match kind:
        case "fischer":
            return draw(st.sampled_from([{}, {"increment_ms": 0}, {"increment_ms": 1500}]))
        case "bronstein" | "delay":
            return {"delay_ms": draw(st.sampled_from([0, 500, 2000, 5000]))}
        case "byoyomi":
            return {"periods": draw(st.integers(1, 3)), "period_ms": draw(short)}
        case "canadian":
            return {"moves": draw(st.integers(1, 3)), "period_ms": draw(short)}
        case _:
            return {}


@st.composite
def stages(draw: st.DrawFn, offered: frozenset[str]) -> list[Json]:
    """One to three stages."""
    kinds = sorted((set(KINDS) & offered) - {"text", "stages"})
    count = draw(st.integers(1, 3))
    made: list[Json] = []
    for position in range(count):
        last = position == count - 1
        kind = draw(st.sampled_from([k for k in kinds if last or k != "canadian"]))
        stage = {"kind": kind, "time_ms": draw(st.sampled_from(BANKS[: 3 if position else 6]))}
        stage |= draw(parameters(kind))
        if not last:
            stage["moves"] = draw(st.integers(1, 3))
        made.append(stage)
    return made


def supplies_bank(control: Json | None) -> bool:
    """Whether an owner with this control must not be given a bank."""
    return control is not None and control["kind"] == "stages"


@st.composite
def configs(draw: st.DrawFn, offered: frozenset[str]) -> Json:
    """A valid configuration in any mode."""
    mode = draw(st.sampled_from(MODES))
    owned = mode in {"per_participant", "per_group"}
    bank = st.sampled_from(BANKS)
    count = draw(st.integers(1, 4))
    made: Json = {"sync_mode": mode}
    if owned:
        made["time_control"] = draw(maybe(controls(offered)))
        made["increment_ms"] = draw(st.sampled_from([None, 0, 500, 2000]))
        made["max_time_ms"] = draw(st.sampled_from([None, None, 1000, 10_500]))
        if LAG_PROBE in offered:
            made["lag_compensation"] = draw(st.sampled_from([None, False, True]))
    elif mode == "count_up":
        made["max_time_ms"] = draw(maybe(bank))
    else:
        made["time_per_cycle_ms"] = draw(bank if mode == "per_cycle" else maybe(bank))
        if mode == "global" and (made["time_per_cycle_ms"] is None or draw(st.booleans())):
            made["total_time_ms"] = draw(bank)
    indexes = draw(st.sampled_from([None, [0, 1, 2, 3], [3, 1, 0, 2], [7, 2, 999, 30]]))
    grouped = mode == "per_group" or draw(st.integers(0, 4)) == 0
    people = [draw(_person(offered, mode, i, indexes, grouped=grouped)) for i in range(count)]
    made["participants"] = people
    if grouped:
        _add_groups(draw, offered, made)
    _no_lonely_hourglass(made)
    _fill_banks(draw, made)
    made["active_participant_id"] = draw(maybe(st.sampled_from([p["participant_id"] for p in people])))
    made["auto_advance"] = draw(st.sampled_from([None, False, True]))
    made["action_on_timeout"] = draw(_actions(made))
    made["warnings_ms"] = draw(
        maybe(st.lists(st.sampled_from([1, 500, 1000, 1500, 4000, 9999]), max_size=4, unique=True))
    )
    made["metadata"] = draw(
        st.sampled_from([None, {}, {"a": [], "b": {}, "c": None, "d": 2**53 - 1, 'é\n"': "\u2028"}])
    )
    made["players_may_pause"] = draw(st.sampled_from([None, True]))
    keep_nulls = draw(st.booleans())
    return {k: v for k, v in made.items() if keep_nulls or v is not None}


@st.composite
def _person(
    draw: st.DrawFn, offered: frozenset[str], mode: str, i: int, indexes: Any, *, grouped: bool
) -> Json:
    person: Json = {"participant_id": PEOPLE[i]}
    if indexes is not None:
        person["participant_index"] = indexes[i]
    if grouped and (mode == "per_group" or draw(st.booleans())):
        person["group_id"] = draw(st.sampled_from(TEAMS[:3]))
    if mode == "per_participant" and draw(st.integers(0, 4)) == 0:
        person["time_control"] = draw(controls(offered))
    return person


def _add_groups(draw: st.DrawFn, offered: frozenset[str], made: Json) -> None:
    named = list(dict.fromkeys(p["group_id"] for p in made["participants"] if "group_id" in p))
    own_bank = made["sync_mode"] == "per_group"
    if draw(st.booleans()):
        listed = draw(st.permutations([*named, *([TEAMS[3]] if draw(st.booleans()) else [])]))
        made["groups"] = [{"group_id": g} for g in listed]
        for group in made["groups"] if own_bank else []:
            if draw(st.integers(0, 3)) == 0:
                group["time_control"] = draw(controls(offered))


def _no_lonely_hourglass(made: Json) -> None:
    people, groups = made["participants"], made.get("groups")
    owners = people
    if made["sync_mode"] == "per_group":
        owners = groups if groups is not None else list({p["group_id"] for p in people})
    if len(owners) >= 2:
        return
    for holder in [made, *people, *(groups or [])]:
        control = holder.get("time_control")
        if control is None:
            continue
        for rule in [control, *control.get("stages", [])]:
            if rule["kind"] == "hourglass":
                rule["kind"] = "fischer"


def _fill_banks(draw: st.DrawFn, made: Json) -> None:
    bank = st.sampled_from(BANKS)
    shared = made.get("time_control")
    if made["sync_mode"] == "per_participant":
        owners = made["participants"]
    elif made["sync_mode"] == "per_group" and "groups" in made:
        owners = made["groups"]
    elif made["sync_mode"] == "per_group" and not supplies_bank(shared):
        owners = made["participants"]
    else:
        return
    for owner in owners:
        if not supplies_bank(owner.get("time_control") or shared):
            owner["total_time_ms"] = draw(bank)


def _actions(made: Json) -> st.SearchStrategy[Json | None]:
    looping = made["sync_mode"] == "per_cycle" or made.get("time_per_cycle_ms") is not None
    choices: list[Json | None] = [
        None,
        {"type": "skip_cycle"},
        {"type": "skip_cycle", "note": [1, {}, []]},
        {"type": "auto_action", "action": "pass", "extra": {"deep": None}},
        {"type": "notify"},
        {"type": "notify"},
    ]
    if not (looping and made["auto_advance"]):
        choices.append({"type": "end_session", "points": 3})
    return st.sampled_from(choices)


BREAKS: list[Json] = [
    {"colour": "blue"},
    {"sync_mode": "chess"},
    {"sync_mode": None},
    {"participants": []},
    {"participants": None},
    {"participants": [{"participant_id": "nobody"}]},
    {"participants": [{"participant_id": PEOPLE[0], "total_time_ms": 5000}] * 2},
    {"active_participant_id": STRANGER},
    {"session_id": STRANGER},
    {"total_time_ms": 999},
    {"max_time_ms": 86_400_001},
    {"increment_ms": -1},
    {"increment_ms": 60_001},
    {"time_per_cycle_ms": "5000"},
    {"time_control": {"kind": "sand"}},
    {"time_control": {"kind": "delay"}},
    {"time_control": {"kind": "delay", "delay_ms": 5, "increment_ms": 5}},
    {"time_control": "5+"},
    {"lag_compensation": 1},
    {"auto_advance": "yes"},
    {"action_on_timeout": {"type": "explode"}},
    {"action_on_timeout": "end_session"},
    {"warnings_ms": [5, 5]},
    {"warnings_ms": [0]},
    {"warnings_ms": list(range(1, 10))},
    {"players_may_pause": 0},
    {"metadata": []},
    {"metadata": {"x": "y" * 10_240}},
    {"metadata": {str(i): i for i in range(101)}},
]


@dataclass(frozen=True)
class Step:
    """A step of time: `by` ms from now, or to a moment `by` ms from the next alarm."""

    by: int
    to_alarm: bool = False


steps = st.one_of(
    st.sampled_from([Step(0), Step(1), Step(9), Step(10), Step(11), Step(300), Step(1000), Step(2500)]),
    st.sampled_from([Step(n, to_alarm=True) for n in (-1, 0, 1, 500, 1000, 1001, 4000)]),
    st.sampled_from([Step(0, to_alarm=True), Step(0), Step(1000)]),
    st.sampled_from([Step(-700), Step(60_000), Step(3_600_000)]),
)
