"""What the state machine plays with: random configurations, arguments and steps of time.

Values come from small pools so that clocks meet, thresholds coincide and ids repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

PEOPLE = [f"a0000000-0000-4000-8000-00000000000{i}" for i in range(6)]
TEAMS = [f"b0000000-0000-4000-8000-00000000000{i}" for i in range(4)]
STRANGER = "c0000000-0000-4000-8000-000000000000"
SESSIONS = ["5e550000-0000-4000-8000-0000000000aa", "5e550000-0000-4000-8000-0000000001aa"]
BANKS = [1000, 1001, 2000, 5000, 10_000, 60_000]
SHORT = [1, 10, 500, 1000, 2000, 5000]
STAGE_KINDS = ["fischer", "bronstein", "delay", "byoyomi", "hourglass", "canadian"]
# As often as they have cases of their own.
KINDS = [*STAGE_KINDS, "byoyomi", "canadian", "hourglass", *["stages"] * 3, "text", "text", "none"]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`strategy`, or None for absent."""
    return st.none() | strategy


def sometimes(draw: st.DrawFn, one_in: int) -> bool:
    """True once in so many draws."""
    return draw(st.integers(1, one_in)) == one_in


@st.composite
def controls(draw: st.DrawFn) -> Json | str:
    """A time control of any kind, as an object or as players write it."""
    kind = draw(st.sampled_from(KINDS))
    if kind == "text":
        text = draw(texts())
        if sometimes(draw, 3):
            return {"notation": text, "overtime_ms": draw(st.sampled_from([None, 1000]))}
        return text
    made: Json = {"kind": kind}
    if kind == "none":
        return made
    if kind == "stages":
        made["stages"] = draw(stages())
    else:
        made |= draw(parameters(kind))
    if sometimes(draw, 3):
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
def stages(draw: st.DrawFn) -> list[Json]:
    """One to three stages."""
    count = draw(st.integers(1, 3))
    made: list[Json] = []
    for position in range(count):
        last = position == count - 1
        kind = draw(st.sampled_from(STAGE_KINDS if last else STAGE_KINDS[:-1]))
        stage = {"kind": kind, "time_ms": draw(st.sampled_from([0, *BANKS[:3]] if position else BANKS))}
        if kind == "fischer" and draw(st.booleans()):
            del stage["kind"]
        stage |= draw(parameters(kind))
        if not last:
            stage["moves"] = draw(st.integers(1, 3))
        made.append(stage)
    return made


MINUTES = ["0.0167", "0.02", "0.05", "0.1", "0.0834", "1"]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A short time control as players write it, or as PGN does."""
    minutes, seconds = draw(st.sampled_from(MINUTES)), draw(st.integers(0, 3))
    moves = draw(st.integers(1, 3))
    return draw(
        st.sampled_from(
            [
                minutes,
                f"{minutes}+{seconds}",
                f"{minutes}d{seconds}",
                f"{minutes}b{seconds}",
                f"{minutes}+{moves}x{seconds + 1}",
                f"{minutes}+{moves}/{seconds + 1}",
                f"{moves}/{minutes}:0+{seconds}",
                f"{moves}/{minutes}+{seconds}:1/0.02:0.05+1",
                f"hourglass {minutes}",
                f"pgn {seconds + 1}+{moves}",
                f"pgn {moves}/{seconds + 1}:2+{seconds}",
                f"*{seconds + 1}",
                "-",
            ]
        )
    )


def supplies_bank(control: Json | str | None) -> bool:
    """Whether an owner with this control is given no bank."""
    if control is None or isinstance(control, str):
        return control is not None
    return "notation" in control or control["kind"] in {"stages", "none"}


def is_hourglass(control: Json | str | None) -> bool:
    """Whether the control, or a stage of it, needs somebody else to hand sand to."""
    match control:
        case None:
            return False
        case str():
            return control.startswith(("hourglass", "*"))
        case {"notation": str(text)}:
            return is_hourglass(text)
        case _:
            return any(rule.get("kind") == "hourglass" for rule in [control, *control.get("stages", [])])


@st.composite
def configs(draw: st.DrawFn, mode: str) -> Json:
    """A valid configuration in a mode."""
    owned = mode in {"per_participant", "per_group"}
    bank = st.sampled_from(BANKS)
    count = draw(st.integers(1, 4))
    made: Json = {"sync_mode": mode}
    if owned:
        made["time_control"] = draw(st.one_of(st.none(), *[controls()] * 4))
        made["increment_ms"] = draw(st.sampled_from([None, 0, 500, 2000]))
        made["max_time_ms"] = draw(st.sampled_from([None, None, 1000, 10_500]))
        made["lag_compensation"] = draw(st.sampled_from([None, False, True]))
    elif mode == "count_up":
        made["max_time_ms"] = draw(maybe(bank))
    elif mode == "per_cycle":
        made["time_per_cycle_ms"] = draw(bank)
        made["total_time_ms"] = draw(st.sampled_from([None, None, 5000]))
    else:
        made |= draw(st.sampled_from(["total", "cycle", "both", "both"]).flatmap(_global_times))
    indexes = draw(st.sampled_from([None, [0, 1, 2, 3], [3, 1, 0, 2], [7, 2, 999, 30]]))
    grouped = mode == "per_group" or sometimes(draw, 5)
    people = [draw(_person(mode, i, indexes, grouped=grouped)) for i in range(count)]
    made["participants"] = people
    if grouped:
        _add_groups(draw, made)
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
    made["max_pause_ms"] = draw(st.sampled_from([None, 1000, 1500, 7000, 86_400_000]))
    made["players_may_pause"] = draw(st.sampled_from([None, True]))
    keep_nulls = draw(st.booleans())
    return {k: v for k, v in made.items() if keep_nulls or v is not None}


def _global_times(which: str) -> st.SearchStrategy[Json]:
    times: dict[str, st.SearchStrategy[Any]] = {}
    if which != "cycle":
        times["total_time_ms"] = st.sampled_from(BANKS)
    if which != "total":
        times["time_per_cycle_ms"] = st.sampled_from(BANKS[:4])
    return st.fixed_dictionaries(times)


@st.composite
def _person(draw: st.DrawFn, mode: str, i: int, indexes: Any, *, grouped: bool) -> Json:
    person: Json = {"participant_id": PEOPLE[i]}
    if indexes is not None:
        person["participant_index"] = indexes[i]
    if grouped and (mode == "per_group" or draw(st.booleans())):
        person["group_id"] = draw(st.sampled_from(TEAMS[:3]))
    if mode == "per_participant" and sometimes(draw, 4):
        person["time_control"] = draw(controls())
    return person


def _add_groups(draw: st.DrawFn, made: Json) -> None:
    named = list(dict.fromkeys(p["group_id"] for p in made["participants"] if "group_id" in p))
    own_bank = made["sync_mode"] == "per_group"
    if draw(st.booleans()):
        listed = draw(st.permutations([*named, *([TEAMS[3]] if draw(st.booleans()) else [])]))
        made["groups"] = [{"group_id": g} for g in listed]
        for group in made["groups"] if own_bank else []:
            if sometimes(draw, 3):
                group["time_control"] = draw(controls())


def _no_lonely_hourglass(made: Json) -> None:
    people, groups = made["participants"], made.get("groups")
    owners = people
    if made["sync_mode"] == "per_group":
        owners = groups if groups is not None else list({p["group_id"] for p in people})
    if len(owners) >= 2:
        return
    for holder in [made, *people, *(groups or [])]:
        if is_hourglass(holder.get("time_control")):
            holder["time_control"] = {"kind": "fischer"}


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
    {"max_pause_ms": 999},
    {"max_pause_ms": 86_400_001},
    {"increment_ms": -1},
    {"increment_ms": 60_001},
    {"time_per_cycle_ms": "5000"},
    {"time_control": {"kind": "sand"}},
    {"time_control": {"kind": ["fischer"]}},
    {"time_control": {"kind": "delay"}},
    {"time_control": {"kind": "delay", "delay_ms": 5, "increment_ms": 5}},
    {"time_control": {"kind": "none", "overtime_ms": 0}},
    {"time_control": {"kind": "stages", "stages": []}},
    {"time_control": {"kind": "stages", "stages": [{"kind": "none", "time_ms": 5000}]}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 5000, "moves": 1}]}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 0}]}},
    {"time_control": "5+"},
    {"time_control": "0.01"},
    {"time_control": {"notation": "5+3", "increment_ms": 2000}},
    {"time_control": {"notation": "5+3", "kind": "delay"}},
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


STEPS = [
    *[Step(n) for n in (0, 0, 1, 9, 10, 11, 300, 1000, 1000, 2500)],
    *[Step(n, to_alarm=True) for n in (-1, 0, 0, 0, 1, 500, 1000, 1001, 4000)],
    *[Step(-700), Step(60_000), Step(3_600_000)],
]
steps = st.sampled_from(STEPS)
