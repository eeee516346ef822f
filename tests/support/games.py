"""Random games as lists of events with the state after each, for tests of clients that apply events.

They are played on the plain model of the core, which other tests compare with the function library. So the
model's states are those that `GET /v1/sessions/{id}` would return.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from hypothesis.strategies import SearchStrategy

from tests.model.model import Model
from tests.model.session import LIVE, Session
from tests.model.strategies import (
    BANKS,
    PEOPLE,
    SESSIONS,
    TEAMS,
    Draw,
    _positions,
    config,
    control,
    pick,
    sometimes,
    supplies_bank,
)
from tests.model.strategies import (
    KINDS as CONTROLS,
)

Json = dict[str, Any]
Call = tuple[str, list[str], int]
"""A function, its arguments, and the server's time."""

START_MS = 1_800_000_000_000
ID = SESSIONS[0]

KINDS = [
    *[(mode, kind) for mode in ("per_participant", "per_group") for kind in CONTROLS],
    *[("global", times) for times in ("total", "cycle", "both")],
    ("per_cycle", ""),
    ("count_up", ""),
]
"""Modes, each with a kind of the shared time control, or in `global` with the times that the session has."""

_BY = [0, 1, 9, 11, 100, 300, 300, 500, 500, 1000, 1000, 2500]
_TO_ALARM = [-1000, -1, 0, 0, 0, 1, 500, 1000, 1001, 4000]
_LATER = [0, 1, 499, 3000]
_CALLS = ["switch"] * 8 + ["next"] * 2 + ["pause", "resume"] * 2 + ["adjust"] * 3 + ["expire"] * 3
_CALLS += ["join", "leave", "leave"]


_COUNTS = {id(_positions(count)): count for count in range(1, 3000)}


def chooser(seed: int) -> Draw:
    """Random choices from a seed, in the form that the strategies of the model's tests use."""
    random = Random(seed)

    def draw(positions: SearchStrategy[int]) -> int:
        return random.randrange(_COUNTS[id(positions)])

    return draw


def play(
    draw: Draw, mode: str, kind: str, calls: int = 20, seen: Callable[[Model], object] = lambda _: None
) -> Json:
    """A random game from its creation on; see `history`. seen: is given the model on which it is played."""
    made = config(draw, mode, kind, START_MS)

    def played(model: Model) -> Iterator[Call]:
        seen(model)
        return _calls(draw, model, START_MS, calls)

    return history(made, played, lambda: pick(draw, _LATER))


def history(
    made: Json, calls: Callable[[Model], Iterable[Call]], later: Callable[[], int] = lambda: 1000
) -> Json:
    """A game with this config and these calls.

    `{"config", "state", "steps"}`: the state after its creation, and for each call that changed something
    `{"call", "lag", "next", "event", "state", "later"}`: the event, the state at that moment, and the same
    one some time later, if nothing happens.
    """
    model = Model()
    reply = model.call("create", ID, [json.dumps(made)], START_MS)
    assert reply.code is None, (made, reply)
    steps: list[Json] = []
    for call, args, now in calls(model):
        before = model.sessions[ID].version
        model.call(call, ID, args, now)
        session = model.sessions[ID]
        if session.version == before:
            continue
        moment = session.changed
        steps.append(
            {
                "call": call,
                "lag": "LAG" in args,
                "next": args[args.index("NEXT") + 1] if "NEXT" in args else None,
                "event": session.log[session.version],
                "state": _state(model, moment),
                "later": _state(model, moment + later()),
            }
        )
    return {"config": made, "state": reply.state, "steps": steps}


ANNA, BEN, CLEO, DORA = PEOPLE[:4]
RED, BLUE = TEAMS[:2]


def _member(person: str, index: int, team: str, **fields: Any) -> Json:
    return {"participant_id": person, "participant_index": index, "group_id": team, **fields}


def _joins(at: int, person: str, index: int, team: str) -> str:
    return f"join {at} {json.dumps(_member(person, index, team), separators=(',', ':'))}"


CORNERS: dict[str, tuple[Json, tuple[str, ...]]] = {
    "a bank that was emptied in a pause has run out when the active one leaves": (
        {
            "sync_mode": "count_up",
            "max_time_ms": 2000,
            "action_on_timeout": {"type": "skip_cycle"},
            "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
        },
        ("start 0", "switch 300", "pause 300", "adjust 400 SET 0", f"leave 500 {BEN}"),
    ),
    "a bank that was emptied in a pause stands at its end after that where nobody is out": (
        {
            "sync_mode": "count_up",
            "max_time_ms": 2000,
            "action_on_timeout": {"type": "notify"},
            "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
        },
        ("start 0", "switch 300", "pause 300", "adjust 400 SET 0", f"leave 500 {BEN}", "resume 600"),
    ),
    "a bank that was emptied in a pause has not run out before that": (
        {
            "sync_mode": "global",
            "total_time_ms": 5000,
            "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
        },
        ("start 0", "pause 4500", "adjust 4600 ADD -500", f"leave 4700 {ANNA}"),
    ),
    "a newcomer takes the place of the last active member of a team": (
        {
            "sync_mode": "per_group",
            "active_participant_id": CLEO,
            "participants": [
                _member(ANNA, 0, RED, total_time_ms=60_000),
                _member(BEN, 1, BLUE, total_time_ms=60_000),
                _member(CLEO, 3, BLUE, total_time_ms=60_000),
            ],
        },
        (
            "start 0",
            f"leave 100 {CLEO}",
            "switch 200",
            f"leave 300 {BEN}",
            _joins(400, CLEO, 1, BLUE),
            _joins(500, DORA, 500, BLUE),
            "switch 600",
        ),
    ),
    "a newcomer comes before the place of the last active member of a team, who left": (
        {
            "sync_mode": "per_group",
            "participants": [
                _member(ANNA, 2, RED, total_time_ms=60_000),
                _member(BEN, 7, BLUE, total_time_ms=60_000),
                _member(CLEO, 9, BLUE, total_time_ms=60_000),
            ],
        },
        (
            "start 0",
            "switch 100",
            "switch 200",
            f"leave 300 {BEN}",
            _joins(400, DORA, 5, BLUE),
            "switch 500",
        ),
    ),
    "a pause with both bounds ended before the event after which that was noticed": (
        {
            "sync_mode": "global",
            "total_time_ms": 5000,
            "max_pause_ms": 1000,
            "max_total_pause_ms": 1500,
            "participants": [{"participant_id": ANNA}, {"participant_id": BEN}],
        },
        ("start 0", "pause 100", f"leave 1700 {BEN}", "resume 1700", "pause 1800"),
    ),
}
"""Games that showed a fault of a client: the config, and the calls as name, ms after the start, arguments."""


def corner(name: str) -> Json:
    """One of the CORNERS; see `history`."""
    made, lines = CORNERS[name]
    calls = [line.split(" ") for line in lines]
    game = history(made, lambda _: [(call, args, START_MS + int(at)) for call, at, *args in calls])
    assert [step["call"] for step in game["steps"]] == [call for call, *_ in calls]
    return game


def _state(model: Model, at: int) -> Json:
    state = model.call("get", ID, [], at).state
    assert state is not None
    return state


def _calls(draw: Draw, model: Model, now: int, calls: int) -> Iterator[Call]:
    """Random calls with arguments and times. Each depends on the state of the model after the one before."""
    if not sometimes(draw, 8):
        yield "start", [], now
    for _ in range(calls):
        session = model.sessions[ID]
        if session.status not in LIVE:
            return
        alarm = session.alarm()
        if alarm is not None and sometimes(draw, 4):
            now = max(now, alarm + pick(draw, _TO_ALARM))
        else:
            now += pick(draw, _BY)
        if session.status == "pending" and sometimes(draw, 3):
            yield "start", [], now
            continue
        call, args = _call(draw, session)
        yield call, args, now
    yield pick(draw, ["complete", "cancel"]), [], now + pick(draw, _BY)


def _call(draw: Draw, session: Session) -> tuple[str, list[str]]:
    match pick(draw, _CALLS):
        case "switch":
            return "switch", ["LAG", str(pick(draw, [1, 200, 5000]))] if sometimes(draw, 4) else []
        case "next":
            return "switch", ["NEXT", pick(draw, [*session.participants])]
        case "adjust":
            return "adjust", _adjustment(draw, session)
        case "join":
            return "join", [json.dumps(_newcomer(draw, session))]
        case "leave":
            active = [session.active] if session.active else []
            return "leave", [pick(draw, [*session.participants, *active])]
        case call:
            return call, []


def _adjustment(draw: Draw, session: Session) -> list[str]:
    owner: list[str] = []
    if session.config.mode == "per_participant":
        active = [session.active] * 3 if session.active is not None else []
        owner = ["PARTICIPANT", pick(draw, [*active, *session.participants])]
    elif session.config.mode == "per_group":
        owner = ["GROUP", pick(draw, [*session.groups])]
    amount = pick(draw, [0, 1, 500, 1000, 5000, 60_000])
    return owner + pick(draw, [["SET", str(amount)], ["ADD", str(amount)], ["ADD", str(-amount)]])


def _newcomer(draw: Draw, session: Session) -> Json:
    person: Json = {"participant_id": pick(draw, PEOPLE)}
    index = pick(draw, [None, None, 0, 5, 500])
    if index is not None:
        person["participant_index"] = index
    if session.groups and (session.config.mode == "per_group" or sometimes(draw, 2)):
        person["group_id"] = pick(draw, [*session.groups, TEAMS[0]])
    if session.config.mode == "per_participant":
        if sometimes(draw, 4):
            person["time_control"] = control(draw)
        shared = session.config.control.shown if session.config.control else None
        if not supplies_bank(person.get("time_control") or shared):
            person["total_time_ms"] = pick(draw, BANKS)
    return person
