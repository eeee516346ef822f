"""A session in play, for tests that read like the rule they check.

    game = Game(core, two(60_000)).start()
    game.switch(at=10_000)

Times are ms since the session was created.
"""

from __future__ import annotations

import json
from typing import Any, Self

from synckairos.core.keys import SessionKeys
from tests.model.driver import Answer, Driver

START = 1_800_000_000_000
SESSION = "5e550000-0000-4000-8000-0000000000ab"
P = [f"a0000000-0000-4000-8000-{i:012x}" for i in range(1000)]
G = [f"b0000000-0000-4000-8000-{i:012x}" for i in range(5)]

Json = dict[str, Any]


class RefusedError(Exception):
    """A refusal of the library."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer
        self.code = answer.code


def people(count: int, **each: Any) -> list[Json]:
    """`count` participants, each with the same further fields."""
    return [{"participant_id": P[i], **each} for i in range(count)]


def players(*banks: int, **config: Any) -> Json:
    """Everybody with a clock of their own."""
    who = [{"participant_id": P[i], "total_time_ms": bank} for i, bank in enumerate(banks)]
    return {"sync_mode": "per_participant", "participants": who, **config}


class Game:
    """One session of one server; created at once."""

    def __init__(
        self, core: Driver, config: Json | str, *options: str, session: str = SESSION, at: int = 0
    ) -> None:
        self.core, self.session, self.keys = core, session, SessionKeys.of(session)
        text = config if isinstance(config, str) else json.dumps(config)
        answer = core.call("create", session, [text, *options], START + at)
        if answer.code is not None:
            raise RefusedError(answer)
        self.created: Json = json.loads(answer.value)

    def raw(self, function: str, *args: str | int, at: int | None = None) -> Any:
        """The reply of a call as bytes; raises RefusedError."""
        answer = self.core.call(
            function, self.session, [str(a) for a in args], None if at is None else START + at
        )
        if answer.code is not None:
            raise RefusedError(answer)
        return answer.value

    def do(self, function: str, *args: str | int, at: int | None = None) -> Json:
        """The change that a call made."""
        event: Json = json.loads(self.raw(function, *args, at=at))
        return event

    def start(self, *args: str | int, at: int | None = None) -> Self:
        """Start it."""
        self.do("start", *args, at=at)
        return self

    def state(self, at: int | None = None) -> Json:
        """The state now or at a time."""
        state: Json = json.loads(self.raw("get", at=at))
        return state

    def person(self, index: int, at: int | None = None) -> Json:
        """One participant of the state, by position in the rotation."""
        person: Json = self.state(at)["participants"][index]
        return person

    def alarm(self) -> int | None:
        """When the server has to do something next."""
        score = self.core.run("ZSCORE", self.keys.alarms, self.session)
        return None if score is None else int(float(score)) - START

    def deadline(self) -> int | None:
        """When the running clock's budget ends."""
        deadline = self.state()["deadline_ms"]
        return None if deadline is None else deadline - START
