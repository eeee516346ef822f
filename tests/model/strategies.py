"""Random configs, arguments and steps of time for the state machine.

Values come from small pools, so that two clocks often run out at once, warnings fall on the same moment, and
ids repeat. A choice is drawn as a position in its list, because making a new strategy for each draw takes
several times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.model import notation

Json = dict[str, Any]
Draw = Callable[[st.SearchStrategy[int]], int]
T = TypeVar("T")

PEOPLE = [f"a0000000-0000-4000-8000-00000000000{i}" for i in range(6)]
TEAMS = [f"b0000000-0000-4000-8000-00000000000{i}" for i in range(4)]
UNKNOWN_ID = "c0000000-0000-4000-8000-000000000000"
SESSIONS = ["5e550000-0000-4000-8000-0000000000aa", "5e550000-0000-4000-8000-0000000001aa"]
BANKS = [1000, 1001, 2000, 3000, 5000, 10_000, 60_000]
LONGEST = 366 * 86_400_000
LONGEST_PAUSE = 30 * 86_400_000
SHORT = [1000, 500, 2000, 5000, 10, 1]


@cache
def _positions(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


def pick(draw: Draw, options: Sequence[T]) -> T:
    """One of the options. Failures shrink towards the first one."""
    return options[draw(_positions(len(options)))]


def sometimes(draw: Draw, one_in: int) -> bool:
    """True in one of `one_in` draws."""
    return draw(_positions(one_in)) == one_in - 1


# The parameters of each kind that a stage may have.
PARAMETERS: dict[str, list[Json]] = {
    "fischer": [{}, {"increment_ms": 0}, {"increment_ms": 1500}, {"increment_ms": None, "delay_ms": None}],
    "bronstein": [{"delay_ms": ms} for ms in (0, 500, 2000, 5000)],
    "delay": [{"delay_ms": ms} for ms in (0, 500, 2000, 5000)],
    "byoyomi": [
        {"periods": k, "period_ms": ms} | more
        for k in (3, 2, 1)
        for ms in SHORT
        for more in ({}, {"increment_ms": 1500}, {"increment_ms": None})
    ],
    "hourglass": [{}, {"moves": None, "overtime_ms": None}],
    "canadian": [{"moves": n, "period_ms": ms} for n in (2, 3, 1) for ms in SHORT],
}
STAGE_KINDS = list(PARAMETERS)
ANY_STAGE_KINDS = [kind for kind in STAGE_KINDS if kind != "canadian"]  # only the last stage may be canadian
KINDS = [*STAGE_KINDS, "stages", "text", "none"]
OVERTIMES: list[Json] = [{}] * 6 + [{"overtime_ms": ms} for ms in (0, 1000, 2500)]


def _texts() -> Iterator[str]:
    """Short time controls as text, as players, PGN, US Chess and SGF write them; a few are none."""
    for minutes in ("0.0167", "0.02", "0.05", "0.1", "0.0834", "1"):
        yield from (minutes, f"hourglass {minutes}")
        for n, seconds in ((1, 0), (2, 1), (3, 2), (1, 3)):
            yield from (f"{minutes}+{seconds}", f"{minutes}d{seconds}", f"{minutes}b{seconds}")
            yield from (f"{minutes}+{n}x{seconds + 1}", f"{minutes}+{n}/{seconds + 1}")
            yield from (f"{n}/{minutes}:0+{seconds}", f"{n}/{minutes}+{seconds}:1/0.02:0.05+1")
            yield from (f"pgn {seconds + 1}+{n}", f"pgn {n}/{seconds + 1}:2+{seconds}", f"*{seconds + 1}")
            yield from (f"{minutes}+{seconds}+{n}x{seconds + 1}", f"{n}/{minutes}", f"{minutes}|{seconds}")
            yield from (f"G/{minutes};d{seconds}", f"{n}/{minutes},SD/0.02;inc{seconds}")
            yield from (f"pgn {n}/{seconds + 1}.5+0.25", f"pgn {n}/{seconds + 1}:1/2.25:3+{seconds}.5")
            yield f"TM[{seconds + 1}]OT[{n}x{seconds + 1} byo-yomi]"
            yield f"TM[{seconds + 1}]OT[{n}/{seconds + 1} Canadian]"
    yield from ("-", "0+2x1", "0+1/2", "0d1", "½+0")


def _is_text(text: str) -> bool:
    try:
        notation.read(text)
    except notation.Misread:
        return False
    return True


TEXTS = [text for text in dict.fromkeys(_texts()) if _is_text(text)]


def control(draw: Draw, kind: str | None = None) -> Json | str:
    """A time control of this kind, or of any, as an object or as text."""
    match kind or pick(draw, KINDS):
        case "text":
            text = pick(draw, TEXTS)
            overtime: Json = {} if text == "-" else {"overtime_ms": 1000}
            forms: list[Json | str] = [text, text, {"notation": text}, {"notation": text} | overtime]
            return pick(draw, forms)
        case "none":
            return {"kind": "none"}
        case "stages":
            made = stages(draw)
            again = made[-1].get("moves") is not None and made[-1].get("kind") != "canadian"
            repeat = {"repeat": True} if again else pick(draw, [{}, {"repeat": None}])
            return {"kind": "stages", "stages": made} | repeat | pick(draw, OVERTIMES)
        case found:
            return {"kind": found} | pick(draw, PARAMETERS[found]) | pick(draw, OVERTIMES)


def stages(draw: Draw) -> list[Json]:
    """One to four short stages. The last one has moves if they repeat."""
    count = pick(draw, [2, 3, 4, 1])
    repeat = sometimes(draw, 3)
    made: list[Json] = []
    for position in range(count):
        last = position == count - 1
        # A stage without a kind is fischer.
        kind = pick(draw, [*ANY_STAGE_KINDS, "canadian" if last and not repeat else ""])
        stage: Json = {"time_ms": pick(draw, [0, *BANKS[:3]] if position else BANKS[:5])}
        if kind:
            stage["kind"] = kind
        stage |= pick(draw, PARAMETERS[kind or "fischer"])
        if repeat or not last:
            stage["moves"] = pick(draw, [1, 2, 1, 3])
        made.append(stage)
    return made


def supplies_bank(control: Json | str | None) -> bool:
    """Whether this control has the bank, so that its owner needs none."""
    if control is None or isinstance(control, str):
        return control is not None
    return "notation" in control or control["kind"] in {"stages", "none"}


def is_hourglass(control: Json | str | None) -> bool:
    """Whether the control or one of its stages is an hourglass, which needs a second owner."""
    match control:
        case None:
            return False
        case str():
            return control.startswith(("hourglass", "*"))
        case {"notation": str(written)}:
            return is_hourglass(written)
        case _:
            return any(rule.get("kind") == "hourglass" for rule in [control, *control.get("stages", [])])


INDEXES = [None, [0, 1, 2, 3], [3, 1, 0, 2], [7, 2, 999, 30]]
THRESHOLDS = (0, 1, 500, 1000, 1500, 4000, 9999)
WARNINGS = [None, None, *[list(some) for n in (0, 1, 2, 3) for some in combinations(THRESHOLDS, n)]]
# Fields that change no clock, and whether the config has absent fields as null.
METADATA: list[Json | None] = [None, {}, {"a": [], "b": {}, "c": None, "d": 2**53 - 1, 'é\n"': "\u2028"}]
PATCHED: list[Any] = [
    1,
    1.0,
    True,
    "x",
    "é",
    [],
    {},
    [None, {}],
    {"a": None},
    {"b": {"c": 1}},
    {"b": {"c": None, "d": "x"}},
]
LARGE: list[Json] = [
    {"a": "x" * 6000},
    {"b": {"x": "y" * 6000}},
    {str(i): i for i in range(60)},
    {f"k{i}": i for i in range(60)},
]
# Bounds that end a session, a pause, or the permission to pause.
BOUNDS: list[Json] = [
    {"max_pause_ms": one, "max_pauses": many, "max_total_pause_ms": total, "max_cycles": cycles}
    for one in (None, None, 1000, 1500, 7000, LONGEST_PAUSE)
    for many in (None, None, None, 0, 1, 2)
    for total in (None, None, 1, 1500, 2500, LONGEST_PAUSE)
    for cycles in (*[None] * 8, 1, 2, 4, 9)
]
# How long after the creation a session starts, and ends, by itself.
SCHEDULES: list[tuple[int | None, int | None]] = [
    *[(None, None)] * 8,
    *[(start, None) for start in (1, 500, 3000)],
    *[(None, end) for end in (1, 2500, 5000, 8000, 20_000)],
    *[(start, start + length) for start in (1, 500) for length in (1, 700, 4000, 15_000)],
    (LONGEST - 1, LONGEST),
]
EXTRAS: list[tuple[Json, bool]] = [
    ({"players_may_pause": may, "players_may_choose_next": may, "metadata": metadata}, nulls)
    for may in (None, True)
    for metadata in METADATA
    for nulls in (False, True)
]


def patch(draw: Draw) -> Json:
    """A merge patch of metadata. Large ones, of which a session can have a few, are taken back by others."""
    if sometimes(draw, 6):
        return pick(draw, LARGE)
    if sometimes(draw, 6):
        return dict.fromkeys(["a", "b", *map(str, range(60))])
    return {name: pick(draw, [None, *PATCHED]) for name in pick(draw, ["", "a", "b", "c", "ab", "bc"])}


def config(draw: Draw, mode: str, kind: str, now: int) -> Json:
    """A valid config in this mode, for a session that is created at the server time `now` (ms).

    kind: the kind of the shared control; in `global`, whether it has a time in total, per cycle, or both
    """
    made: Json = {"sync_mode": mode}
    if mode in {"per_participant", "per_group"}:
        made["time_control"] = None if kind == "fischer" and sometimes(draw, 2) else control(draw, kind)
        made["increment_ms"] = pick(draw, [None, 0, 500, 2000])
        made["max_time_ms"] = pick(draw, [None, None, 1000, 10_500])
        made["lag_compensation"] = pick(draw, [None, False, True])
    elif mode == "count_up":
        made["max_time_ms"] = pick(draw, [None, *BANKS])
    elif mode == "per_cycle":
        made["time_per_cycle_ms"] = pick(draw, BANKS)
        made["total_time_ms"] = pick(draw, [None, None, 5000])
    else:
        made["total_time_ms"] = None if kind == "cycle" else pick(draw, BANKS)
        made["time_per_cycle_ms"] = None if kind == "total" else pick(draw, BANKS[:4])
    indexes = pick(draw, INDEXES)
    grouped = mode == "per_group" or sometimes(draw, 5)
    people = [_person(draw, mode, i, indexes, grouped=grouped) for i in range(pick(draw, [2, 3, 1, 4]))]
    made["participants"] = people
    if grouped:
        _add_groups(draw, made)
    _no_single_hourglass(made)
    _fill_banks(draw, made)
    made["active_participant_id"] = pick(draw, [None, *[p["participant_id"] for p in people]])
    made["auto_advance"] = pick(draw, [None, False, True])
    made["action_on_timeout"] = pick(draw, _actions(made))
    made["warnings_ms"] = pick(draw, WARNINGS)
    if made["warnings_ms"] and (most := _most_overtime(made)):
        made["warnings_ms"] = [*made["warnings_ms"], pick(draw, [-1, -most // 2, -most])]
    starts, ends = pick(draw, SCHEDULES)
    made["starts_at_ms"] = None if starts is None else now + starts
    made["ends_at_ms"] = None if ends is None else now + ends
    extras, keep_nulls = pick(draw, EXTRAS)
    made |= pick(draw, BOUNDS) | extras
    return {k: v for k, v in made.items() if keep_nulls or v is not None}


def _holders(made: Json) -> list[Json]:
    """What may have a time control in a config: itself, its participants and its groups."""
    return [made, *made["participants"], *(made.get("groups") or [])]


def _most_overtime(made: Json) -> int:
    """The largest overtime (ms) of any clock of a config."""
    owners = made["participants"] if made["sync_mode"] == "per_participant" else made.get("groups") or [{}]
    controls = [owner.get("time_control") or made.get("time_control") for owner in owners]
    return max(c.get("overtime_ms") or 0 if isinstance(c, dict) else 0 for c in controls)


def has_more(control: Json | str | None) -> bool:
    """Whether a clock of this control may begin with a bank of 0."""
    if not isinstance(control, dict) or supplies_bank(control):
        return False
    more = control["kind"] in {"byoyomi", "canadian"} or (control.get("overtime_ms") or 0) > 0
    return bool(more or (control["kind"] == "delay" and control["delay_ms"] > 0))


def _person(draw: Draw, mode: str, i: int, indexes: list[int] | None, *, grouped: bool) -> Json:
    person: Json = {"participant_id": PEOPLE[i]}
    if indexes is not None:
        person["participant_index"] = indexes[i]
    if grouped and (mode == "per_group" or sometimes(draw, 2)):
        person["group_id"] = pick(draw, TEAMS[:3])
    if mode == "per_participant" and sometimes(draw, 4):
        person["time_control"] = control(draw)
    return person


def _add_groups(draw: Draw, made: Json) -> None:
    named = list(dict.fromkeys(p["group_id"] for p in made["participants"] if "group_id" in p))
    if sometimes(draw, 2):
        return
    listed = named[::-1] if sometimes(draw, 2) else named
    # Perhaps a group without members, at the front or at the end.
    listed = pick(draw, [listed, [*listed, TEAMS[3]], [TEAMS[3], *listed]])
    made["groups"] = [{"group_id": g} for g in listed]
    for group in made["groups"] if made["sync_mode"] == "per_group" else []:
        if sometimes(draw, 3):
            group["time_control"] = control(draw)


def _no_single_hourglass(made: Json) -> None:
    groups: list[Json] | None
    people, groups = made["participants"], made.get("groups")
    owners = people
    if made["sync_mode"] == "per_group":
        owners = groups if groups is not None else list({p["group_id"] for p in people})
    if len(owners) >= 2:
        return
    for holder in _holders(made):
        if is_hourglass(holder.get("time_control")):
            holder["time_control"] = {"kind": "fischer"}


def _fill_banks(draw: Draw, made: Json) -> None:
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
            zero = has_more(owner.get("time_control") or shared)
            owner["total_time_ms"] = pick(draw, [*BANKS, 0, LONGEST] if zero else BANKS)


ACTIONS: list[Json | None] = [
    {"type": "skip_cycle"},
    {"type": "skip_cycle", "note": [1, {}, []]},
    {"type": "auto_action", "action": "pass", "extra": {"deep": None}},
    {"type": "notify"},
    {"type": "notify"},
    {"type": "notify"},
    None,
    {"type": "end_session", "points": 3},
]


def _actions(made: Json) -> list[Json | None]:
    """With `auto_advance` and a clock for each cycle, `end_session` is refused."""
    looping = made["sync_mode"] == "per_cycle" or made.get("time_per_cycle_ms") is not None
    return ACTIONS[:-1] if looping and made["auto_advance"] else ACTIONS


MISTAKES: list[Json] = [
    {"colour": "blue"},
    {"sync_mode": "chess"},
    {"sync_mode": None},
    {"participants": []},
    {"participants": None},
    {"participants": [{"participant_id": "not a uuid"}]},
    {"participants": [{"participant_id": PEOPLE[0], "total_time_ms": 5000}] * 2},
    {"active_participant_id": UNKNOWN_ID},
    {"session_id": UNKNOWN_ID},
    {"total_time_ms": 999},
    {"max_time_ms": LONGEST + 1},
    {"max_pause_ms": 0},
    {"max_pause_ms": LONGEST_PAUSE + 1},
    {"max_pauses": -1},
    {"max_pauses": 1001},
    {"max_total_pause_ms": 0},
    {"max_total_pause_ms": LONGEST_PAUSE + 1},
    {"max_cycles": 0},
    {"max_cycles": 1_000_001},
    {"starts_at_ms": 1},
    {"starts_at_ms": 9_007_199_254_740_991},
    {"ends_at_ms": 1},
    {"ends_at_ms": "2027-01-15"},
    {"increment_ms": -1},
    {"increment_ms": LONGEST + 1},
    {"time_per_cycle_ms": "5000"},
    {"time_control": {"kind": "unknown"}},
    {"time_control": {"kind": ["fischer"]}},
    {"time_control": {"kind": "delay"}},
    {"time_control": {"kind": "delay", "delay_ms": 5, "increment_ms": 5}},
    {"time_control": {"kind": "none", "overtime_ms": 0}},
    {"time_control": {"kind": "stages", "stages": []}},
    {"time_control": {"kind": "stages", "stages": [{"kind": "none", "time_ms": 5000}]}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 5000, "moves": 1}]}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 0}]}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 5000, "moves": 1}], "repeat": 1}},
    {"time_control": {"kind": "stages", "stages": [{"time_ms": 5000}], "repeat": True}},
    {"time_control": {"kind": "fischer", "repeat": True}},
    {"time_control": {"kind": "delay", "delay_ms": None}},
    {"time_control": {"kind": None}},
    {"time_control": "5+"},
    {"time_control": "0.01"},
    {"time_control": {"notation": "5+3", "increment_ms": 2000}},
    {"time_control": {"notation": "5+3", "kind": "delay"}},
    {"lag_compensation": 1},
    {"auto_advance": "yes"},
    {"action_on_timeout": {"type": "explode"}},
    {"action_on_timeout": "end_session"},
    {"warnings_ms": [5, 5]},
    {"warnings_ms": [-LONGEST - 1]},
    {"warnings_ms": [86_400_001]},
    {"warnings_ms": [None]},
    {"warnings_ms": list(range(1, 10))},
    {"players_may_pause": 0},
    {"players_may_choose_next": "true"},
    {"metadata": []},
    {"metadata": {"x": "y" * 10_240}},
    {"metadata": {str(i): i for i in range(101)}},
]


@dataclass(frozen=True)
class Step:
    """A step of time: to `by` ms from now, or with `to_alarm` to `by` ms from the next alarm."""

    by: int
    to_alarm: bool = False


# Most steps are short, so that a game goes on, or end near the alarm. Few go far beyond it, or back.
STEPS = [
    *[Step(n) for n in (0, 0, 1, 9, 10, 11, 100, 300, 300, 500, 500, 1000, 1000, 2500)],
    *[Step(n, to_alarm=True) for n in (-1000, -1, 0, 0, 0, 1, 500, 1000, 1001, 4000)],
    *[Step(-700), Step(60_000)],
]
steps = st.sampled_from(STEPS)
