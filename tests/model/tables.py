"""One session, on the library or on the model, with the same few calls."""

from __future__ import annotations

import json
from typing import Any, Protocol

from synckairos.core.keys import SessionKeys
from tests.model.driver import Driver
from tests.model.model import Model

Json = dict[str, Any]

START = 1_800_000_000_000
SESSION = "5e550000-0000-4000-8000-0000000000cc"
ANNA, BEN, CLEO = (f"a0000000-0000-4000-8000-00000000000{i}" for i in range(3))


class Table(Protocol):
    """One session. Times are ms after `START`."""

    def call(self, function: str, at: int, *args: str | int) -> Any:
        """Call `sk_<function>`. Returns the decoded reply (None for nil), or the code of a refusal."""

    def state(self, at: int) -> Json:
        """The state at this time."""

    def alarm(self) -> int | None:
        """When the session's alarm is due; None without one."""


class LibraryTable:
    """A session on the library. The test empties the server before."""

    def __init__(self, driver: Driver, session: str = SESSION) -> None:
        self.driver, self.session = driver, session

    def call(self, function: str, at: int, *args: str | int) -> Any:
        answer = self.driver.call(function, self.session, [str(a) for a in args], START + at)
        if answer.code is not None:
            return answer.code
        return json.loads(answer.value) if isinstance(answer.value, bytes) else answer.value

    def state(self, at: int) -> Json:
        state: Json = self.call("get", at)
        return state

    def alarm(self) -> int | None:
        score = self.driver.run("ZSCORE", SessionKeys.of(self.session).alarms, self.session)
        return None if score is None else int(float(score)) - START


class ModelTable:
    """A session on the model."""

    def __init__(self) -> None:
        self.model = Model()

    def call(self, function: str, at: int, *args: str | int) -> Any:
        reply = self.model.call(function, SESSION, [str(a) for a in args], START + at)
        if reply.code is not None:
            return reply.code
        return next((r for r in (reply.event, reply.state, reply.number) if r is not None), None)

    def state(self, at: int) -> Json:
        state: Json = self.call("get", at)
        return state

    def alarm(self) -> int | None:
        alarm = self.model.sessions[SESSION].alarm()
        return None if alarm is None else alarm - START


def players(*banks: int | None, **more: Any) -> Json:
    """A `per_participant` config with these banks; None if the control has the bank."""
    people = zip((ANNA, BEN, CLEO), banks, strict=False)
    entries = [{"participant_id": p} | ({} if b is None else {"total_time_ms": b}) for p, b in people]
    return {"sync_mode": "per_participant", "participants": entries, **more}


def create(table: Table, config: Json) -> Json:
    """The state of a new session."""
    state = table.call("create", 0, json.dumps(config))
    assert isinstance(state, dict), state
    return state


def begin(table: Table, config: Json) -> Table:
    """A session that was started at 0."""
    create(table, config)
    assert table.call("start", 0)["payload"]["event"] == "session.started"
    return table
