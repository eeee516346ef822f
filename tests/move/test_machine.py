"""Several movers, with one record or with two, and callers at both servers, in random order.

A mover may stand still between any two steps for any time, so that a step comes when others have gone on.
What the movers keep to is what `synckairos/move/saga.py` does: a session is activated with the change that
gave it up, it is finished once the target has said that it runs, and a copy is removed once the source was
asked to undo. All else is up to the library. Whatever happens, all changes that callers were acknowledged
follow each other in one line, and in the end the session is in one place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.core.game import SESSION, START, players
from tests.model.driver import Answer, Driver
from tests.support.pool import Pool

TARGET = "10.0.0.2:6379"
APART_MS = -3_000
LEASE_MS = 1_000
MOVES = st.sampled_from(["m1", "m2"])
IN_THE_WAY = {"SESSION_MOVING", "SESSION_MOVED", "SESSION_NOT_FOUND", "CONCURRENT_MODIFICATION"}
"""The refusals that movers and callers expect while a session moves."""


class Moves(RuleBasedStateMachine):
    """One session and all who act on it."""

    source: ClassVar[Driver]
    target: ClassVar[Driver]

    @initialize()
    def create(self) -> None:
        for server in (self.source, self.target):
            server.run("FLUSHALL")
        self.now = START
        self.acknowledged = 0
        self.held: list[tuple[str, list[bytes]]] = []
        self.changes: dict[str, set[bytes]] = {"m1": set(), "m2": set()}
        self.ran: set[str] = set()
        self.undone: set[str] = set()
        for function, *args in (("create", json.dumps(players(3_600_000, 3_600_000))), ("start",)):
            self.accept(self.at_source(function, *args))

    def at_source(self, function: str, *args: Any) -> Answer:
        return self.source.call(function, SESSION, args, self.now)

    def at_target(self, function: str, *args: Any) -> Answer:
        return self.target.call(function, SESSION, args, self.now + APART_MS)

    def accept(self, answer: Answer) -> None:
        """A change that a caller was acknowledged follows all others."""
        version = json.loads(answer.value)["version"]
        assert version > self.acknowledged, "two places have changed the session"
        self.acknowledged = version

    def expected(self, answer: Answer) -> bool:
        """Whether a call succeeded; if not, it was refused because the session moves."""
        assert answer.code is None or answer.code in IN_THE_WAY, answer.text
        return answer.code is None

    @rule(ms=st.sampled_from([0, 1, 50, LEASE_MS]))
    def pass_time(self, ms: int) -> None:
        self.now += ms

    @rule(there=st.booleans())
    def switch(self, there: bool) -> None:
        answer = self.at_target("switch") if there else self.at_source("switch")
        if self.expected(answer):
            self.accept(answer)

    @rule()
    def lapse(self) -> None:
        """All movers stand still until the hold has ended, and a caller is faster than they are."""
        self.now += LEASE_MS
        self.switch(there=False)

    @rule(there=st.booleans())
    def expire(self, there: bool) -> None:
        answer = self.at_target("expire") if there else self.at_source("expire")
        if self.expected(answer):
            assert answer.value is None

    @rule(move=MOVES)
    def send(self, move: str) -> None:
        """The first two steps without an interruption."""
        before = len(self.held)
        self.hold(move)
        for each, sent in self.held[before:]:
            self.copied(each, sent)

    @rule(move=MOVES)
    def hold(self, move: str) -> None:
        answer = self.at_source("move_out", "MOVE", move, "TARGET", TARGET, "LEASE", str(LEASE_MS))
        if self.expected(answer):
            self.held.append((move, answer.value))

    @rule(data=st.data())
    def copy(self, data: st.DataObject) -> None:
        if self.held:
            move, sent = data.draw(st.sampled_from(self.held[-3:]))
            self.copied(move, sent)

    def copied(self, move: str, sent: list[bytes]) -> Answer:
        options = ("MOVE", move, "TARGET", TARGET, "SHIFT", str(APART_MS))
        answer = self.at_target("move_in", sent[0], b"\n".join(sent[1:]), *options)
        assert answer.code in (None, "SESSION_EXISTS"), answer.text
        return answer

    @rule(move=MOVES)
    def give_up(self, move: str) -> None:
        """A mover gives up what it has sent a copy of; a copy that was lost is sent again."""
        if any(move == sent for sent, _ in self.held):
            answer = self.at_source("move_commit", "MOVE", move)
            if self.expected(answer) and answer.value is not None:
                self.changes[move].add(answer.value)

    @rule(move=MOVES)
    def activate(self, move: str) -> None:
        for change in self.changes[move]:
            answer = self.at_target("move_activate", change, "MOVE", move)
            if answer.code is None:
                self.ran.add(move)
            else:
                assert answer.code in ("SESSION_NOT_FOUND", "VALIDATION_ERROR"), answer.text

    @rule(move=MOVES)
    def finish(self, move: str) -> None:
        if move in self.ran:
            assert self.expected(self.at_source("move_finish", "MOVE", move))

    @rule(move=MOVES)
    def undo_at_source(self, move: str) -> None:
        if self.expected(self.at_source("move_undo", "MOVE", move)):
            self.undone.add(move)

    @rule(move=MOVES)
    def undo_at_target(self, move: str) -> None:
        if move in self.undone:
            assert self.expected(self.at_target("move_undo", "MOVE", move))

    @invariant()
    def at_most_one_place_has_it(self) -> None:
        if hasattr(self, "now"):
            here, there = self.at_source("get"), self.at_target("get")
            assert not (self.expected(here) and self.expected(there))

    def teardown(self) -> None:
        """Whoever has given it up goes on; else both movers take it back. Then it is in one place."""
        if not hasattr(self, "now"):
            return
        given_up = [move for move, changes in self.changes.items() if changes]
        assert len(given_up) <= 1
        if given_up:
            (move,) = given_up
            self.bring(move)
            assert self.at_source("get").code == "SESSION_MOVED"
        else:
            for move in ("m1", "m2"):
                assert self.at_source("move_undo", "MOVE", move).code is None
                assert self.at_target("move_undo", "MOVE", move).code is None
        where = self.at_target if given_up else self.at_source
        self.accept(where("switch"))
        versions = [json.loads(event)["version"] for event in where("log", "0").value]
        assert versions == list(range(1, self.acknowledged + 1))

    def bring(self, move: str) -> None:
        """The steps of a mover that resumes, for a session that was given up."""
        (change,) = self.changes[move]
        answer = self.at_target("move_activate", change, "MOVE", move)
        if answer.code is not None:
            held = self.at_source("move_out", "MOVE", move, "TARGET", TARGET, "LEASE", str(LEASE_MS))
            assert self.copied(move, held.value).value == 1
            assert self.at_target("move_activate", change, "MOVE", move).value == 1
        assert self.at_source("move_finish", "MOVE", move).code is None


@pytest.fixture
def two(pool: Pool) -> Iterator[tuple[Driver, Driver]]:
    """Two servers under virtual time."""
    clients = [
        pool.server("valkey", f"virtual time of a {side}").sync_client() for side in ("source", "target")
    ]
    drivers = [Driver(client) for client in clients]
    for driver in drivers:
        driver.load()
    yield drivers[0], drivers[1]
    for client in clients:
        client.close()


def test_acknowledged_changes_follow_each_other_in_one_line(two: tuple[Driver, Driver]) -> None:
    Moves.source, Moves.target = two
    few = settings(max_examples=settings().max_examples // 2, stateful_step_count=25)
    run_state_machine_as_test(Moves, settings=few)
