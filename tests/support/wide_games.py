"""Random games with all that a session may have: schedules, bounds, corrections, further time controls.

They are played on the function library itself under virtual time, inside this process. The steps have the
form of those of `tests.support.games`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import fakeredis

from synckairos.core.keys import SessionKeys
from tests.model import strategies
from tests.model.driver import Answer, Driver
from tests.model.strategies import Draw, pick, sometimes
from tests.model.test_vectors import SCENARIOS as ALL_SCENARIOS
from tests.model.test_vectors import arguments
from tests.support.games import ID, START_MS, Json

Call = tuple[str, list[str], int]

OPEN = ("pending", "running", "paused")
_BY = [0, 1, 9, 11, 100, 300, 300, 500, 500, 1000, 1000, 2500]
_TO_ALARM = [-1000, -1, 0, 0, 0, 1, 500, 1000, 1001, 4000]
_LATER = [0, 1, 499, 3000]
_LIVE = ["switch"] * 10 + ["pause", "free", "resume", "resume"] + ["adjust"] * 2 + ["expire"] * 3
_LIVE += ["join", "leave", "turn", "takeback", "takeback", "takeback", "schedule", "reset", "complete"]
_LIVE += ["metadata"] * 2
_PENDING = ["start", "start", "turn", "schedule", "adjust", "expire", "expire", "cancel", "join", "metadata"]
_OVER = ["reopen", "reopen", "reset", "metadata"]
_PATCHES = [
    {"title": "A"},
    {"title": None, "names": {"x": "Anna"}},
    {"names": {"x": None}, "tags": [], "no": [None, {}]},
]
_AMOUNTS = [0, 1, 500, 1000, 5000, 60_000]


@cache
def _driver() -> Driver:
    driver = Driver(fakeredis.FakeRedis(version=(7, 0)))
    driver.load()
    return driver


class World:
    """One session of the library."""

    def __init__(self) -> None:
        self._driver = _driver()
        self._driver.run("FLUSHALL")

    def call(self, function: str, args: list[str], now: int) -> Answer:
        """Call `sk_<function>` at this server time."""
        return self._driver.call(function, ID, args, now)

    def state(self, now: int) -> Json:
        """The session as the service would show it at this server time."""
        state: Json = json.loads(self.call("get", [], now).value)
        return state

    def created(self) -> Json:
        """The event of its creation, which is still in the log."""
        ((_, fields),) = self._driver.run("XRANGE", SessionKeys.of(ID).log, "-", "+", "COUNT", "1")
        event: Json = json.loads(fields[b"e"] if isinstance(fields, dict) else fields[1])
        return event

    def alarm(self) -> int | None:
        """When something is due for the session."""
        score = self._driver.run("ZSCORE", SessionKeys.of(ID).alarms, ID)
        return None if score is None else int(float(score))


def history(
    made: Json, calls: Callable[[World], Iterable[Call]], later: Callable[[], int] = lambda: 1000
) -> Json:
    """A game with this config and these calls; see `tests.support.games.history`.

    `created`: the event of its creation
    """
    world = World()
    answer = world.call("create", [json.dumps(made)], START_MS)
    assert answer.code is None, (made, answer.text)
    first, steps = json.loads(answer.value), []
    created = world.created()
    for call, args, now in calls(world):
        answer = world.call(call, args, now)
        if answer.code is not None or answer.value is None:
            continue
        event = json.loads(answer.value)
        if "replayed" in event:
            continue
        moment = event["server_time_ms"]
        steps.append(
            {
                "call": call,
                "free": "FREE" in args,
                "lag": "LAG" in args,
                "next": args[args.index("NEXT") + 1] if "NEXT" in args else None,
                "event": event,
                "state": world.state(moment),
                "later": world.state(moment + later()),
            }
        )
    return {"config": made, "created": created, "state": first, "steps": steps}


def scenario(name: str) -> Json:
    """A game of the scenarios in `tests/model/vectors`, by its name."""
    found = SCENARIOS[name]
    calls = [(step["call"], arguments(step), step["at"]) for step in found["steps"]]
    return history(found["config"] | {"session_id": ID}, lambda _: calls)


SCENARIOS: dict[str, Json] = {each["name"]: each for each in ALL_SCENARIOS if each["steps"]}


def play(draw: Draw, mode: str, kind: str, calls: int = 20) -> Json:
    """A random game from its creation on."""
    return history(
        config(draw, mode, kind), lambda world: _calls(draw, world, calls), lambda: pick(draw, _LATER)
    )


def config(draw: Draw, mode: str, kind: str) -> Json:
    """A valid config in this mode, with any of the parts that most configs do not have."""
    made = strategies.config(draw, mode, kind, START_MS)
    parts: list[Json] = [
        {"max_pauses": pick(draw, [0, 1, 2])},
        {"max_total_pause_ms": pick(draw, [1, 500, 1500, 4000])},
        {"max_cycles": pick(draw, [1, 3, 6])},
        {"starts_at_ms": START_MS + pick(draw, [1, 500, 5000])},
        {"ends_at_ms": START_MS + pick(draw, [6000, 9000, 20_000])},
        {"warnings_ms": pick(draw, [[0], [500, 0], [1000, 0, -500]])},
    ]
    for part in parts:
        if sometimes(draw, 3) and _is_valid(made | part):
            made = made | part
    return made


def _is_valid(made: Json) -> bool:
    return World().call("create", [json.dumps(made)], START_MS).code is None


def _calls(draw: Draw, world: World, calls: int) -> Iterator[Call]:
    """Random calls with arguments and times, of which most are possible in the session's state."""
    now = START_MS
    for _ in range(calls):
        alarm = world.alarm()
        if alarm is not None and sometimes(draw, 4):
            now = max(now, alarm + pick(draw, _TO_ALARM))
        else:
            now += pick(draw, _BY)
        state = world.state(now)
        status = state["status"]
        kinds = _PENDING if status == "pending" else _LIVE if status in OPEN else _OVER
        call, args = _call(draw, pick(draw, kinds), state, now)
        yield call, args, now


def _call(draw: Draw, kind: str, state: Json, now: int) -> tuple[str, list[str]]:
    people = [one["participant_id"] for one in state["participants"]]
    active = state["active_participant_id"]
    match kind:
        case "switch" if sometimes(draw, 6):
            return "switch", ["NEXT", pick(draw, people)]
        case "switch" if sometimes(draw, 8):
            return "switch", ["LAG", "200"]
        case "free":
            return "pause", ["FREE"]
        case "adjust":
            return "adjust", _adjustment(draw, state)
        case "join":
            return "join", [json.dumps(_newcomer(draw, state))]
        case "leave":
            return "leave", [pick(draw, [*people, *([active] if active else [])])]
        case "turn":
            return "turn", [pick(draw, people)]
        case "takeback":
            return "takeback", ["TURNS", pick(draw, ["1", "1", "2", "3"])]
        case "metadata":
            return "metadata", [json.dumps(pick(draw, _PATCHES))]
        case "schedule":
            ends = ["ENDS", pick(draw, [str(now + 3000), str(now + 10_000), "none"])]
            starts = ["STARTS", pick(draw, [str(now + 1000), "none"])] if state["status"] == "pending" else []
            return "schedule", pick(draw, [ends, [*ends, *starts], starts or ends])
    return kind, []


def _adjustment(draw: Draw, state: Json) -> list[str]:
    owner: list[str] = []
    if state["sync_mode"] == "per_participant":
        active = [state["active_participant_id"]] * 3 if state["active_participant_id"] else []
        owner = [
            "PARTICIPANT",
            pick(draw, [*active, *(one["participant_id"] for one in state["participants"])]),
        ]
    elif state["sync_mode"] == "per_group":
        owner = ["GROUP", pick(draw, [one["group_id"] for one in state["groups"]])]
    elif state["total_remaining_ms"] is not None and sometimes(draw, 2):
        owner = ["CLOCK", "total"]
    amount = pick(draw, _AMOUNTS)
    return owner + pick(draw, [["SET", str(amount)], ["ADD", str(amount)], ["ADD", str(-amount)]])


def _newcomer(draw: Draw, state: Json) -> Json:
    person: Json = {"participant_id": pick(draw, strategies.PEOPLE)}
    if state["groups"] and state["sync_mode"] == "per_group":
        person["group_id"] = pick(draw, [one["group_id"] for one in state["groups"]])
    if state["sync_mode"] == "per_participant" and not strategies.supplies_bank(state["time_control"]):
        person["total_time_ms"] = pick(draw, strategies.BANKS)
    return person
