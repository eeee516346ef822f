"""Who may do what: every caller, every route and every message of a socket, every session.

A cell is a caller, a call and a session. The contract says what has to come of it (`contract.py`). What does
come of it is composed of two parts, of which each is found once however many cells share it:

1. The gate (`gate.py`): the service's own code before handlers and commands, asked for each caller and each
   call. It refuses, or it passes the call on. For the outcome only the caller's tenant matters from there on,
   and the participant as whom the function library has to judge the call; for the list of sessions also the
   one session for which the token is good.
2. The service behind the gate (`world.py`): for each call, session and participant a request over HTTP, or a
   socket, to a running service with Redis and PostgreSQL. Of the callers whom it stands for another one makes
   it each time.

That composing is right is shown by further requests: each kind of caller makes each call that the gate
refuses, each time with another binding, about another session. After every request that may not write, the
session, its log, the alarms, the outbox and the rows of PostgreSQL are what they were.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from synckairos.api.websocket.messages import KINDS
from synckairos.auth.access import Role
from tests.auth.conftest import TENANT
from tests.auth.matrix.contract import (
    CALLS,
    MESSAGES,
    OPENING,
    ROLES,
    ROUTES,
    Target,
    Who,
    everybody,
    expected,
    is_there,
    listed,
    may_write,
    targets,
)
from tests.auth.matrix.gate import LIST, TABLE, Gate, Passed
from tests.auth.matrix.world import World, world
from tests.support.audit_service import Machines
from tests.support.pool import Pool
from tests.support.postgres import PostgresServer
from tests.support.servers import Server

pytestmark = pytest.mark.one_kind

WHO, TARGETS = everybody(), targets()
ORDER = {OPENING: 0, "DELETE /v1/sessions/{session_id}/links": 2}
"""Of calls that are not made at any time: a socket opens before its messages, and nobody comes by a link of a
session any more when all of these have been revoked."""
NOTHING = Target("own", "never there")
"""Stands for all sessions where a call names none."""
STEP = 7919
"""Chooses of the callers that a request stands for another one each time."""

Behind = tuple[str, Target, Passed]
"""What a call becomes behind the gate."""
Said = dict[tuple[Who, Target | None], dict[str, str | Passed]]
"""What the gate says to callers, and to those who come by the link of a session for each of these."""


def test_every_route_message_and_role_is_in_the_matrix() -> None:
    assert set(TABLE) == set(ROUTES)
    assert set(KINDS) == set(MESSAGES)
    assert {str(role) for role in Role} == set(ROLES)


async def test_every_cell_is_as_the_contract_says(
    server: Server,
    pool: Pool,
    shared_postgres: PostgresServer,
    database: str,
    record_property: Callable[[str, object], None],
) -> None:
    machines = Machines(server, pool.server("valkey", "queue"), shared_postgres)
    async with world(machines, database) as there:
        served = [route.ctx.label for route in there.service.app.router.routes]
        assert {f"{method} {path}" for path, method in served} == {*ROUTES, OPENING}
        said = await what_the_gate_says(Gate(there))
        assert [await there.changes(target) for target in TARGETS] == [[]] * len(TARGETS)
        requests = Requests(there)
        await requests.make(said)
    wrong = list(requests.wrong)
    cells = 0
    for who, name, target, answer in all_cells(said):
        cells += 1
        outcome, wanted = requests.outcome(who, name, target, answer), expected(who, name, target)
        if outcome != wanted:
            wrong.append(f"{who}: {name} ({target}): {outcome} instead of {wanted}")
    record_property("counted", f"{cells:,} cells of the matrix of rights, by {requests.made:,} requests")
    assert not wrong, "\n".join([f"{len(wrong)} are wrong:", *wrong[:40]])


async def what_the_gate_says(gate: Gate) -> Said:
    """To every caller about every call. Which session it is about matters to a session's link alone."""
    said: Said = {}
    for who in WHO:
        for target in TARGETS if is_of_link(who) else [None]:
            about = target or Target("own", "running")
            if is_there(who, about):
                answers = {name: await gate.route(who, name, about) for name in ROUTES}
                said[who, target] = answers | await gate.socket(who, about)
    return said


def all_cells(said: Said) -> Iterator[tuple[Who, str, Target, str | Behind]]:
    """Every cell, with what the gate refuses it with, or what it becomes behind the gate."""
    for target in TARGETS:
        for who in WHO:
            if is_there(who, target):
                answers = said[who, target if is_of_link(who) else None]
                for name in CALLS:
                    answer = answers[name]
                    named = target if names_a_session(name) else NOTHING
                    yield who, name, target, answer if isinstance(answer, str) else (name, named, answer)


def is_of_link(who: Who) -> bool:
    """Whether the caller came by a link to the very session that a cell is about."""
    return who.is_link and who.session == "this"


def names_a_session(name: str) -> bool:
    return name not in ROUTES or ROUTES[name].about != "nothing"


class Requests:
    """The requests for all cells.

    found: what comes of each call behind the gate
    wrong: what must not have happened
    """

    def __init__(self, there: World) -> None:
        self.found: dict[Behind, str] = {}
        self.wrong: list[str] = []
        self.made = 0
        self._there = there
        self._not_there: defaultdict[str, set[bytes]] = defaultdict(set)

    async def make(self, said: Said) -> None:
        """Make them all."""
        behind: defaultdict[Behind, list[tuple[Who, Target]]] = defaultdict(list)
        refused: defaultdict[tuple[str, str], list[tuple[Who, Target]]] = defaultdict(list)
        for who, name, target, answer in all_cells(said):
            if isinstance(answer, str):
                refused[name, f"{who.roles} {who.is_link} {who.token}"].append((who, target))
            else:
                behind[answer].append((who, target))
        for number, ((name, _), cells) in enumerate(refused.items()):
            who, target = cells[number * STEP % len(cells)]
            outcome, wanted = await self._request(who, name, target), expected(who, name, target)
            if outcome != wanted:
                self.wrong.append(f"{who}: {name} ({target}): {outcome} instead of {wanted}, when asked for")
        for number, key in enumerate(sorted(behind, key=lambda key: ORDER.get(key[0], 1))):
            name, about, passed = key
            if name not in MESSAGES or self.found[OPENING, about, Passed(passed.tenant)] == "CONNECTED":
                who, target = behind[key][number * STEP % len(behind[key])]
                self.found[key] = await self._request(who, name, target)
        for name, bodies in self._not_there.items():
            if len(bodies) > 1:
                self.wrong.append(f"{name} tells sessions apart that are not there: {bodies}")

    def outcome(self, who: Who, name: str, target: Target, answer: str | Behind) -> str:
        """What comes of a cell. Over a socket that does not open no message can be sent."""
        if name in MESSAGES and not (isinstance(answer, str) and answer.isdecimal()):
            opening = self.found[OPENING, target, Passed(None if who.token == "unasked" else TENANT)]
            if opening != "CONNECTED":
                return opening
        return answer if isinstance(answer, str) else self.found[answer]

    async def _request(self, who: Who, name: str, target: Target) -> str:
        """The outcome of a request. If it may not write, nothing is other than before."""
        self.made += 1
        outcome, body = await self._there.ask(who, name, target)
        changed = await self._there.changes(target)
        if changed and not may_write(who, name, target):
            self.wrong.append(f"{who}: {name} ({target}): {outcome}, and it changed: {', '.join(changed)}")
        if outcome == "404 SESSION_NOT_FOUND":
            session_id = self._there.sessions[target].session_id
            self._not_there[name].add(body.replace(session_id.encode(), b""))
        if name == LIST and outcome == "200":
            sessions = self._there.sessions
            ids = {each["session_id"] for each in json.loads(body)["data"]["sessions"]}
            wanted = listed(who, target, self._there.another(target))
            if ids != {sessions[each].session_id for each in wanted}:
                self.wrong.append(f"{who}: the list has {ids}")
        return outcome
