"""Imports one session at a time, under virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from synckairos.errors import ValidationError, from_refusal
from synckairos.importing.conversion import DEFAULT_ACTION, Times, Unusable, convert
from synckairos.importing.importer import _decoded, _problems
from tests.importing.olders import NOW, SESSION, Json
from tests.model.driver import Answer, Driver
from tests.support.pool import Pool


@dataclass
class Target:
    """The server to which sessions are imported. `bad` says why the last one was not."""

    driver: Driver
    bad: str | None = field(default=None)

    def call(self, function: str, *args: str | bytes, at: int = NOW) -> Answer:
        return self.driver.call(function, SESSION, args, at)

    def state(self, at: int = NOW) -> Json:
        answer = self.call("get", at=at)
        assert answer.code is None, answer.text
        state: Json = json.loads(answer.value)
        return state

    def bring(self, old: Json | bytes, *, action: str = DEFAULT_ACTION, ahead: int = 0) -> Json | None:
        """Imports a session. Returns its state, or None and sets `bad`."""
        text = old if isinstance(old, bytes) else json.dumps(old).encode()
        self.bad = None
        try:
            converted = convert(_decoded(text), Times(NOW, ahead), action)
        except Unusable as reason:
            self.bad = str(reason)
            return None
        answer = self.call("import", converted.config, converted.standing, at=NOW + ahead)
        if answer.code == "VALIDATION_ERROR":
            refusal = from_refusal(answer.text)
            assert isinstance(refusal, ValidationError)
            self.bad = _problems(refusal)
            return None
        assert answer.code is None, answer.text
        state: Json = json.loads(answer.value)
        return state


@pytest.fixture(scope="session")
def bring_to(pool: Pool) -> Callable[[], Target]:
    """Gives an empty server under virtual time."""
    driver: list[Driver] = []

    def empty() -> Target:
        if not driver:
            driver.append(Driver(pool.server("valkey", "virtual time").sync_client()))
        driver[0].run("FLUSHALL")
        driver[0].load()
        return Target(driver[0])

    return empty


@pytest.fixture
def target(bring_to: Callable[[], Target]) -> Any:
    return bring_to()
