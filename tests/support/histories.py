"""Histories for tests of the check: a random game, the calls that made it, and sockets that watched it.

They are sound. `PLANTS` spoil one each, and name what the check then has to find.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

import msgspec

from synckairos.audit.reading import milliseconds, timestamp
from synckairos.history.check import Report, check
from synckairos.history.findings import Kind
from synckairos.history.lines import Begin, Call, Fault, Line, Message, Socket
from synckairos.history.truth import SessionTruth
from tests.model.model import Model
from tests.support.games import ID, Json, chooser, play

STEP_MS = 1000.0
"""How far apart the events of a history are on the recorder's clock."""
EPOCH = 1_795_306_409_736


def text(value: Json) -> bytes:
    """JSON as the library writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Run:
    """A history whose parts a test can spoil.

    events: what happened, the oldest first; log: what the log has of them, where that differs
    calls, messages: what was recorded, messages by socket with the time of each
    """

    events: list[Json]
    state: Json
    calls: list[Call] = field(default_factory=list)
    messages: dict[str, list[tuple[float, Json]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[Json] = field(default_factory=list)

    def truth(self) -> SessionTruth:
        """What happened."""
        events = {"audit": [msgspec.Raw(text(event)) for event in self.events]}
        if self.log:
            events["log"] = [msgspec.Raw(text(event)) for event in self.log]
        return SessionTruth(ID, events, msgspec.Raw(text(self.state)), live=True)

    def recording(self) -> list[Line]:
        """What was recorded."""
        lines: list[Line] = [*self.calls, *self.faults]
        for socket, messages in self.messages.items():
            lines.append(Socket(messages[0][0] - 1, socket, ID, "opened"))
            lines += [Message(at, socket, ID, msgspec.Raw(text(message))) for at, message in messages]
        return [Begin(0, 0), *sorted(lines, key=lambda line: line.at_ms)]

    def check(self, *, complete: bool = True) -> Report:
        """The report of the check."""
        return check([self.recording()], [self.truth()], complete=complete)

    def kinds(self) -> set[Kind]:
        """What the check finds."""
        return {finding.kind for finding in self.check().findings}


def run(
    seed: int, mode: str = "per_participant", kind: str = "fischer", *, failover_at: int | None = None
) -> Run:
    """A random game as a sound history.

    failover_at: at this event another server goes on, under a new epoch
    """
    models: list[Model] = []
    game = play(chooser(seed), mode, kind, seen=models.append)
    return of_game(models[0].sessions[ID].log[1], game, failover_at=failover_at)


def of_game(first: Json, game: Json, *, failover_at: int | None = None) -> Run:
    """A game as a sound history; see `tests.support.games.history`. first: the event of its creation."""
    events = [first, *(step["event"] for step in game["steps"])]
    state = game["steps"][-1]["state"] if game["steps"] else game["state"]
    made = Run(deepcopy(events), deepcopy(state))
    functions = ["create", *(step["call"].replace("next", "switch") for step in game["steps"])]
    for number, (event, call) in enumerate(zip(made.events, functions, strict=True)):
        later = failover_at is not None and number >= failover_at
        event["epoch"] = str(EPOCH + later)
        if call != "expire":
            event["payload"]["trace"] = request = f"{number:032x}"
            asked = number * STEP_MS
            made.calls.append(
                Call(
                    asked,
                    asked + 2,
                    ID,
                    f"sk_{call}",
                    request,
                    "acknowledged",
                    version=event["version"],
                    epoch=event["epoch"],
                )
            )
    made.state["epoch"] = made.events[-1]["epoch"]
    made.messages = {
        "a": list(_told(made.events, 0)),
        "b": list(_told(made.events, len(made.events) // 2)),
    }
    return made


def _told(events: list[Json], since: int) -> Iterator[tuple[float, Json]]:
    """What a socket is told that was opened at one of the events."""
    epoch = None
    for number, event in enumerate(events[since:], since):
        at = number * STEP_MS + 3
        if event["epoch"] != epoch:
            epoch = event["epoch"]
            yield at, sync(event)
        else:
            yield at, event


def sync(event: Json) -> Json:
    """The message with the state after an event."""
    return {**event, "type": "STATE_SYNC", "payload": {"full_state": {}}}


Plant = Callable[[Run, Random], Kind | None]
"""Spoils a run, and returns what has to be found; None when the run has nothing to be spoiled like that."""


def _pick(random: Random, events: list[Json], *names: str) -> int | None:
    """The number of a random event; of one of these, if names are given."""
    found = [number for number, event in enumerate(events) if not names or event["payload"]["event"] in names]
    return random.choice(found) if found else None


def lost(made: Run, random: Random) -> Kind | None:
    """The server has lost its last changes, and one of them was acknowledged."""
    cut = random.randrange(len(made.events))
    gone = {event["version"] for event in made.events[cut:]}
    del made.events[cut:]
    made.state["version"] = cut
    return "lost" if any(call.version in gone for call in made.calls) else None


def doubled(made: Run, random: Random) -> Kind | None:
    """A request took effect twice."""
    first, second = sorted(random.sample(range(len(made.events)), 2))
    if made.events[first]["payload"]["trace"] is None:
        return None
    made.events[second]["payload"]["trace"] = made.events[first]["payload"]["trace"]
    return "doubled"


def written_twice(made: Run, random: Random) -> Kind | None:
    """An event is in the audit twice."""
    made.events.append(random.choice(made.events))
    return "doubled"


def cycle_start(made: Run, random: Random) -> Kind | None:
    """A cycle begins a millisecond off, so that somebody has time for nothing."""
    number = _pick(random, made.events, "cycle.switched", "time.warning", "session.started")
    if number is None or _is_handed_over(made):
        return None
    event = made.events[number]["payload"]
    event["cycle_started_at"] = timestamp(milliseconds(event["cycle_started_at"]) + random.choice([-1, 1]))
    return "sum"


def refused(made: Run, random: Random) -> Kind | None:
    """A refused request took effect."""
    number = random.randrange(len(made.calls))
    call = msgspec.structs.replace(made.calls[number], outcome="refused", version=None, epoch=None)
    made.calls[number] = call
    return "done though refused"


def gap(made: Run, random: Random) -> Kind | None:
    """A version is nowhere."""
    if len(made.events) < 3:
        return None
    del made.events[random.randrange(0, len(made.events) - 1)]
    return "gap"


def rewritten_log(made: Run, random: Random) -> Kind | None:
    """The log has another event than the audit."""
    event = deepcopy(random.choice(made.events))
    event["payload"]["actor"] = "somebody else"
    made.log = [event]
    return "rewritten"


def rewritten_message(made: Run, random: Random) -> Kind | None:
    """A socket was told another event than the one that happened."""
    told = made.messages[random.choice("ab")]
    place = _pick(random, [message for _, message in told if message["type"] != "STATE_SYNC"])
    if place is None:
        return None
    number = [number for number, (_, message) in enumerate(told) if message["type"] != "STATE_SYNC"][place]
    at, event = told[number]
    told[number] = at, {**event, "server_time_ms": event["server_time_ms"] + 1}
    return "rewritten"


def given_twice(made: Run, random: Random) -> Kind | None:
    """Two callers were answered with the same version."""
    switches = [number for number, call in enumerate(made.calls) if call.function == "sk_switch"]
    if len(switches) < 2:
        return None
    first, second = random.sample(switches, 2)
    made.calls[second] = msgspec.structs.replace(
        made.calls[second], version=made.calls[first].version, epoch=made.calls[first].epoch
    )
    return "rewritten"


def phantom(made: Run, random: Random) -> Kind | None:
    """A socket is told a change that never took place."""
    told = made.messages[random.choice("ab")]
    at, _ = told[-1]
    last = made.events[-1]
    event = {**last, "version": last["version"] + 1, "server_time_ms": last["server_time_ms"] + 1}
    told.append((at + 1, event))
    return "phantom"


def clock_step(made: Run, random: Random) -> Kind | None:
    """The server's clock was set back between two events."""
    number = random.randrange(1, len(made.events))
    made.events[number]["server_time_ms"] = made.events[number - 1]["server_time_ms"] - random.choice(
        [1, 5000]
    )
    return "clock step"


def older_epoch(made: Run, random: Random) -> Kind | None:
    """The server of an older epoch goes on after a newer one began."""
    event = deepcopy(random.choice(made.events))
    last = made.events[-1]
    event["epoch"] = str(EPOCH - 1)
    event["server_time_ms"] = last["server_time_ms"] + 1
    made.events.append(event)
    return "older epoch"


def told_backwards(made: Run, random: Random) -> Kind | None:
    """A socket is told an older event once more."""
    told = made.messages["a"]
    if len(made.events) < 2:
        return None
    number = random.randrange(len(told) - 1)
    told.append((told[-1][0] + 1, made.events[number]))
    return "told backwards"


def told_twice(made: Run, random: Random) -> Kind | None:
    """A socket is told an event twice."""
    told = made.messages[random.choice("ab")]
    at, message = random.choice(told[1:] or [told[0]])
    if message["type"] == "STATE_SYNC":
        return None
    number = told.index((at, message))
    told.insert(number + 1, (at + 1, message))
    return "told twice"


def told_gap(made: Run, random: Random) -> Kind | None:
    """A socket misses an event."""
    told = made.messages[random.choice("ab")]
    if len(told) < 3:
        return None
    number = random.randrange(1, len(told) - 1)
    if "STATE_SYNC" in (told[number][1]["type"], told[number + 1][1]["type"]):
        return None
    del told[number]
    return "told gap"


def sum_of_clocks(made: Run, random: Random) -> Kind | None:
    """A clock has a millisecond too much or too little."""
    if made.state["sync_mode"] != "per_participant" or not _is_fischer(made):
        return None
    number = _pick(random, made.events, "cycle.switched", "participant.expired")
    if number is None:
        return None
    someone = random.choice(made.events[number]["payload"]["participants"])
    someone[random.choice(["total_time_ms", "time_used_ms"])] += random.choice([-1, 1])
    return "sum"


def _is_handed_over(made: Run) -> bool:
    controls = [made.state["time_control"], *(each["time_control"] for each in _everybody(made))]
    return any("hourglass" in json.dumps(control) for control in controls)


def _is_fischer(made: Run) -> bool:
    controls = [made.state["time_control"], *(each["time_control"] for each in _everybody(made))]
    return all(control is None or control["kind"] == "fischer" for control in controls)


def _everybody(made: Run) -> Iterator[Json]:
    for event in made.events:
        yield from event["payload"]["participants"]


def deadline(made: Run, random: Random) -> Kind | None:
    """A deadline is a millisecond off."""
    timed = [event for event in made.events if event["payload"].get("deadline_ms") is not None]
    if not timed or made.state["sync_mode"] == "per_group":
        return None
    random.choice(timed)["payload"]["deadline_ms"] += random.choice([-1, 1])
    return "deadline"


def expired_twice(made: Run, random: Random) -> Kind | None:
    """The last event, an expiry, comes once more."""
    number = _pick(random, made.events, "participant.expired", "session.expired")
    if number is None:
        return None
    del made.events[number + 1 :]
    again = deepcopy(made.events[number])
    again["version"] += 1
    made.events.append(again)
    made.state["version"] = again["version"]
    return "expired twice"


def state_differs(made: Run, random: Random) -> Kind | None:
    """The state is older than the events."""
    if len(made.events) < 2:
        return None
    made.state["version"] -= 1
    return "state"


def state_bank(made: Run, random: Random) -> Kind | None:
    """A clock of the state has a millisecond too much."""
    if made.state["sync_mode"] != "per_participant" or not _is_fischer(made) or len(made.events) < 2:
        return None
    random.choice(made.state["participants"])["total_time_ms"] += 1
    return "state"


def expired_deadline(made: Run, random: Random) -> Kind | None:
    """An expiry says that a clock ran out a millisecond early or late."""
    number = _pick(random, made.events, "participant.expired", "session.expired")
    if number is None or not _is_fischer(made):
        return None
    made.events[number]["payload"]["expired_deadline_ms"] += random.choice([-1, 1])
    return "deadline"


def overdue(made: Run, random: Random) -> Kind | None:
    """A clock ran out long ago, and nobody noticed."""
    made.state["server_time_ms"] += 60_000
    made.state["deadline_ms"] = made.state["server_time_ms"] - 10_001
    return "overdue"


PLANTS: list[Plant] = [
    *(
        lost,
        doubled,
        written_twice,
        refused,
        gap,
        rewritten_log,
        rewritten_message,
        given_twice,
        phantom,
        clock_step,
    ),
    *(older_epoch, told_backwards, told_twice, told_gap, sum_of_clocks, deadline, expired_twice),
    *(cycle_start, state_differs, state_bank, expired_deadline, overdue),
]
