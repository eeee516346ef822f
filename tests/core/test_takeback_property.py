"""`sk_takeback` after random play: what was stored when the turn began is stored again.

In every mode and under every control, also where the log has been trimmed."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.core.game import G, Game, Json, P, RefusedError, people
from tests.model.driver import Driver

CONTROLS: dict[str, Json] = {
    "sudden death": {},
    "fischer": {"increment_ms": 700, "max_time_ms": 9000},
    "fischer, overtime": {"time_control": {"kind": "fischer", "increment_ms": 300, "overtime_ms": 1500}},
    "bronstein": {"time_control": {"kind": "bronstein", "delay_ms": 900}},
    "delay": {"time_control": {"kind": "delay", "delay_ms": 900}},
    "byoyomi": {"time_control": {"kind": "byoyomi", "periods": 3, "period_ms": 800}},
    "canadian": {"time_control": {"kind": "canadian", "period_ms": 3000, "moves": 2}},
    "hourglass": {"time_control": {"kind": "hourglass"}},
    "hourglass, overtime": {"time_control": {"kind": "hourglass", "overtime_ms": 1000}},
    "lag": {"increment_ms": 500, "lag_compensation": True},
    "none": {"time_control": {"kind": "none"}},
    "stages": {
        "time_control": {
            "kind": "stages",
            "stages": [
                {"moves": 2, "time_ms": 5000, "kind": "bronstein", "delay_ms": 300},
                {"moves": 1, "time_ms": 2000, "kind": "hourglass"},
                {"time_ms": 1000, "kind": "canadian", "period_ms": 2000, "moves": 2},
            ],
        }
    },
}
ACTIONS = ["end_session", "skip_cycle", "notify"]
SUPPLIES_BANK = {"none", "stages"}


def config(mode: str, control: str, action: str, seed: int) -> Json:
    """A session of some people, in teams where the mode or the seed says so."""
    if mode in ("per_cycle", "total") and action == "end_session":
        action = "auto_action"
    owner = {} if control in SUPPLIES_BANK else {"total_time_ms": 5000}
    common: Json = {"sync_mode": mode, "action_on_timeout": {"type": action}, "warnings_ms": [3000, 1000]}
    match mode:
        case "per_participant":
            teams = [{"group_id": G[i % 2]} for i in range(4)] if seed % 2 else [{}] * 4
            who = [{"participant_id": P[i], **owner, **teams[i]} for i in range(4)]
            return {**common, "participants": who, **CONTROLS[control]}
        case "per_group":
            who = [{"participant_id": P[i], "group_id": G[i % 4 % 3]} for i in range(7)]
            groups = [{"group_id": G[i], **owner} for i in range(3)]
            return {**common, "participants": who, "groups": groups, **CONTROLS[control]}
        case "per_cycle":
            return {**common, "participants": people(3), "time_per_cycle_ms": 4000}
        case "global":
            return {**common, "participants": people(3), "total_time_ms": 60_000}
        case "total":
            both = {"total_time_ms": 60_000, "time_per_cycle_ms": 3000}
            return {**common, "sync_mode": "global", "participants": people(3), **both}
        case _:
            return {**common, "participants": people(3), "max_time_ms": 60_000}


class Play:
    """A session in random play, with what was stored when each cycle began that can be taken back to."""

    def __init__(self, core: Driver, made: Json, seed: int) -> None:
        self.random, self.now, self.made = random.Random(seed), 0, made
        self.game = Game(core, made)
        self.core = core
        self.begun: list[Json] = []
        self.notify = made["action_on_timeout"]["type"] == "notify"
        self.taken_back = 0

    def stored(self) -> Json:
        """What a takeback brings back."""
        fields = self.core.run("HGETALL", self.game.keys.session)
        if isinstance(fields, list):
            fields = dict(zip(fields[::2], fields[1::2], strict=True))
        kept = {
            name: value
            for key, value in fields.items()
            if (name := key.decode())[0] in "pg" and name[1] in ":0123456789"
        }
        active, _, _, used, count, *_ = fields[b"cycle"].decode().split()
        return {
            **kept,
            "rotation": fields[b"rotation"],
            "active": active,
            "used": used,
            "count": count,
            "last": self.last(fields),
        }

    def last(self, fields: Any) -> Json:
        """The member of each group that is next in it: the one after who was active last."""
        found = {}
        for key, value in fields.items():
            if key.startswith(b"m:"):
                members = [int(index) for index in value.decode().strip(",").split(",") if index]
                last = int(fields.get(b"l:" + key[2:], b"-1"))
                later = [index for index in members if index > last]
                found[key.decode()] = next(iter(later or members), None)
        return found

    def call(self, function: str, *args: str | int) -> Json | None:
        """Makes a call and follows what came of it."""
        text = self.game.raw(function, *args, at=self.now)
        if text is None:
            return None
        payload: Json = json.loads(text)["payload"]
        match payload["event"]:
            case "session.started":
                self.begun = [self.stored()]
            case "cycle.switched" | "session.reopened":
                self.begun.append(self.stored())
            case "participant.expired" if not self.notify:
                self.begun.append(self.stored())
            case "turn.taken_back":
                turns = payload["turns"]
                expected = self.begun[-1 - turns]
                del self.begun[-turns:]
                assert self.stored() == expected
                self.taken_back += 1
        return payload

    def step(self, trimmed: bool) -> None:
        """Some ms later, one thing happens."""
        self.now += self.random.choice([0, 40, 700, 1200, 1999, 2500, 4100])
        status = self.game.state(at=self.now)["status"]
        if status in ("expired", "completed", "cancelled"):
            self.call("reopen")
            return
        choice = self.random.choice(
            [*["switch"] * 6, "next", "pause", *["expire"] * 2, *["back"] * 2, "close"]
        )
        if choice == "back":
            self.back(self.random.choice([1, 1, 1, 2, 3, 5]), trimmed)
        elif status == "paused":
            if not self.may_be_out("resume"):  # it was reopened, and the clock is out
                self.again() if trimmed or len(self.begun) < 2 else self.call("takeback")
        elif choice == "next":
            named = self.random.choice(self.made["participants"])
            self.may_be_out("switch", "NEXT", named["participant_id"])
        elif choice == "switch":
            self.call("switch", "LAG", self.random.choice([0, 100, 900]))
        elif choice == "close":
            self.call(self.random.choice(["complete", "cancel"]))
        else:
            self.call(choice)

    def may_be_out(self, function: str, *args: str | int) -> bool:
        """Makes a call; false when a clock is out."""
        try:
            self.call(function, *args)
        except RefusedError as error:
            if error.code != "PARTICIPANT_EXPIRED":
                raise
            return False
        return True

    def back(self, turns: int, trimmed: bool) -> None:
        """Takes turns back, where there are so many."""
        if trimmed:
            length = self.random.choice([3, 6, 9, 12])
            self.core.run("XTRIM", self.game.keys.log, "MAXLEN", "=", length)
        try:
            self.call("takeback", "TURNS", turns)
        except RefusedError as error:
            if error.code != "INVALID_SESSION_STATE" or not (trimmed or len(self.begun) <= turns):
                raise

    def again(self) -> None:
        """From the beginning."""
        self.call("reset")
        self.call("start")


MODES = {
    "per_participant": list(CONTROLS),
    "per_group": list(CONTROLS),
    "global": ["sudden death"] * 4,
    "count_up": ["sudden death"] * 4,
    "per_cycle": ["sudden death"] * 4,
    "total": ["sudden death"] * 4,
}
"""For each mode the control of each game. The games take turns with what a timeout does."""


@pytest.mark.parametrize("trimmed", [False, True], ids=["whole log", "trimmed log"])
@pytest.mark.parametrize("mode", MODES)
def test_what_was_stored_when_the_turn_began_is_stored_again(core: Driver, mode: str, trimmed: bool) -> None:
    taken_back = 0
    for seed, control in enumerate(MODES[mode]):
        action = ACTIONS[seed % 3]
        play = Play(core, config(mode, control, action, seed), seed)
        play.call("start")
        for _ in range(30):
            play.step(trimmed)
        taken_back += play.taken_back
        core.run("FLUSHALL")
    assert taken_back > 3
