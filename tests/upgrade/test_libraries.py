"""The library of the last release and this one's: each reads and goes on with what the other has written."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from synckairos.core import schemas
from synckairos.core.connection import Connection
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library, LibraryStatus, load
from tests.support import servers
from tests.support.live import settings
from tests.support.servers import Server
from tests.upgrade.releases import last_library

LAST, THIS = last_library(), Library.assemble()
P = [f"a0000000-0000-4000-8000-{i:012x}" for i in range(3)]
G = [f"b0000000-0000-4000-8000-{i:012x}" for i in range(2)]
NOTIFY = {"type": "notify"}
BYOYOMI = {"kind": "byoyomi", "periods": 3, "period_ms": 10_000}

Json = dict[str, Any]


def people(**each: Any) -> list[Json]:
    return [{"participant_id": name, **each} for name in P]


CONFIGS: dict[str, Json] = {
    "per_participant": {"participants": people(total_time_ms=60_000), "increment_ms": 2000},
    "byoyomi": {"participants": people(total_time_ms=60_000), "time_control": BYOYOMI},
    "warnings": {"participants": people(total_time_ms=60_000), "warnings_ms": [30_000, 5000]},
    "lag": {"participants": people(total_time_ms=60_000), "lag_compensation": True},
    "per_group": {
        "sync_mode": "per_group",
        "participants": [
            {"participant_id": name, "group_id": G[place % 2], "total_time_ms": 40_000}
            for place, name in enumerate(P)
        ],
    },
    "per_cycle": {"sync_mode": "per_cycle", "participants": people(), "time_per_cycle_ms": 30_000},
    "global": {"sync_mode": "global", "participants": people(), "total_time_ms": 600_000},
    "a total": {
        "sync_mode": "global",
        "participants": people(),
        "total_time_ms": 600_000,
        "time_per_cycle_ms": 30_000,
        "max_pause_ms": 60_000,
    },
    "count_up": {"sync_mode": "count_up", "participants": people(), "max_time_ms": 600_000},
    "notify": {"participants": people(total_time_ms=1000), "action_on_timeout": NOTIFY},
}
CALLS: dict[str, list[list[str]]] = {
    "pending": [],
    "running": [["start"], ["switch"], ["switch", "NEXT", P[2]]],
    "paused": [["start"], ["switch"], ["pause"]],
    "adjusted": [["start"], ["join", json.dumps({"participant_id": P[0].replace("a", "c")})], ["switch"]],
    "completed": [["start"], ["switch"], ["complete"]],
}
VOLATILE = {
    "total_remaining_ms",
    "server_time_ms",
    "time_remaining_ms",
    "cycle_elapsed_ms",
    "epoch",
    "participants",
    "groups",
}


class Sessions:
    """Sessions of a server whose library is exchanged."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def use(self, library: Library) -> None:
        """Has the server run a library, also where a service would not load it."""
        self.client.function_load(library.payload, replace=True)

    def call(self, function: str, session_id: str, *args: str) -> Any:
        keys: tuple[str, ...] = SessionKeys.of(session_id).all
        keys = {"get": keys[:1], "log": keys[:2]}.get(function, keys)
        reply = self.client.fcall(f"sk_{function}", len(keys), *keys, *args)
        return json.loads(reply) if isinstance(reply, bytes) else reply

    def play(self, name: str, story: str) -> str:
        """A session with a config, after some calls. Returns its id."""
        number = 256 * list(CONFIGS).index(name) + list(CALLS).index(story)
        session_id = f"5e550000-0000-4000-8000-{number:012x}"
        self.call("create", session_id, json.dumps({"sync_mode": "per_participant", **CONFIGS[name]}))
        for function, *args in CALLS[story]:
            self.call(function, session_id, *args)
        return session_id

    def exported(self, session_id: str, *options: str) -> str:
        """The snapshot of a session."""
        key = SessionKeys.of(session_id).session
        snapshot: bytes = self.client.fcall("sk_get", 1, key, "EXPORT", *options)
        return snapshot.decode()

    def steady(self, session_id: str) -> Json:
        """The state without what differs from one moment to the next."""
        state = self.call("get", session_id)
        owners = {
            kind: [
                {key: value for key, value in each.items() if key not in ("time_remaining_ms", "clock")}
                for each in state[kind]
            ]
            for kind in ("participants", "groups")
        }
        return {key: value for key, value in state.items() if key not in VOLATILE} | owners


@pytest.fixture
def sessions(server: Server) -> Iterator[Sessions]:
    with server.sync_client() as client:
        yield Sessions(client)


def stories() -> list[tuple[str, str]]:
    """Configs and calls that go together: a clock that joins brings its time."""
    owners = ("per_participant", "byoyomi", "warnings", "lag", "per_group", "notify")
    return [(name, story) for name in CONFIGS for story in CALLS if story != "adjusted" or name not in owners]


@pytest.mark.parametrize(("first", "second"), [(LAST, THIS), (THIS, LAST)], ids=["up", "down"])
def test_what_one_has_written_the_other_goes_on_with(
    sessions: Sessions, first: Library, second: Library
) -> None:
    """A primary may have the older library after the newer one, where a cluster moves sessions to it."""
    sessions.use(first)
    made = {(name, story): sessions.play(name, story) for name, story in stories()}
    before = {session_id: sessions.steady(session_id) for session_id in made.values()}
    sessions.use(second)
    for (name, story), session_id in made.items():
        shown = sessions.steady(session_id)
        known = before[session_id].keys() & shown.keys()
        assert {key: shown[key] for key in known} == {key: before[session_id][key] for key in known}, (
            name,
            story,
        )
        _goes_on(sessions, session_id, shown["status"], shown["version"])
    sessions.use(first)
    for session_id in made.values():
        state = sessions.call("get", session_id)
        log = sessions.call("log", session_id, "0")
        assert [json.loads(event)["version"] for event in log] == list(range(1, state["version"] + 1))
        _goes_on(sessions, session_id, state["status"], state["version"])


def _goes_on(sessions: Sessions, session_id: str, status: str, version: int) -> None:
    """Every call that the status allows."""
    calls = {
        "pending": ["start", "switch"],
        "running": ["switch", "pause", "resume", "switch"],
        "paused": ["resume", "switch", "pause"],
    }
    for function in calls.get(status, []):
        change = sessions.call(function, session_id)
        version += 1
        assert change["version"] == version, (function, change)
    assert sessions.call("expire", session_id) is None
    assert sessions.call("get", session_id)["version"] == version


def test_half_of_what_the_last_one_has_written_is_converted_and_comes_back(sessions: Sessions) -> None:
    """Then all is as it was, byte for byte, so that the last library may be loaded again."""

    def contents() -> dict[str, Any]:
        return {
            session_id: sessions.client.hgetall(SessionKeys.of(session_id).session) for session_id in made
        }

    sessions.use(LAST)
    made = [sessions.play(name, story) for name, story in stories()]
    before = contents()
    sessions.use(THIS)
    half = made[::2]
    assert [sessions.call("convert", session_id, "SCHEMA", "2") for session_id in half] == [1] * len(half)
    assert [sessions.call("get", session_id)["schema"] for session_id in made[:2]] == [2, 1]
    assert {session_id for session_id, found in contents().items() if found != before[session_id]} == {*half}
    assert [sessions.call("convert", session_id, "SCHEMA", "1") for session_id in half] == [1] * len(half)
    assert contents() == before
    sessions.use(LAST)
    for session_id in made:
        state = sessions.call("get", session_id)
        _goes_on(sessions, session_id, state["status"], state["version"])


@pytest.mark.parametrize("schema", ["1", "2"])
@pytest.mark.parametrize(
    ("wrote", "exported", "restored"),
    [(LAST, LAST, THIS), (THIS, LAST, THIS), (LAST, THIS, LAST), (THIS, THIS, LAST)],
    ids=["up", "exported by the older one", "down", "exported by the newer one"],
)
def test_a_snapshot_of_one_is_restored_by_the_other(
    sessions: Sessions, wrote: Library, exported: Library, restored: Library, schema: str
) -> None:
    """A snapshot in PostgreSQL may have been made by either. Both read both schemas."""
    sessions.use(wrote)
    made = [sessions.play(name, story) for name, story in stories()]
    sessions.use(exported)
    snapshots = {session_id: sessions.exported(session_id, "SCHEMA", schema) for session_id in made}
    sessions.client.flushdb()
    sessions.use(restored)
    for session_id, snapshot in snapshots.items():
        state = sessions.call("restore", session_id, snapshot)
        assert state["recovered"]
        assert state["schema"] == int(schema)
        _goes_on(sessions, session_id, state["status"], state["version"])


def test_what_this_one_created_is_not_restored_by_the_last_one_from_its_own_snapshot(
    sessions: Sessions,
) -> None:
    """The last library exports fields that it does not know, and refuses them whole. This one restores that
    snapshot, with all that it had."""
    sessions.use(THIS)
    session_id = sessions.play("per_participant", "running")
    sessions.use(LAST)
    snapshot = sessions.exported(session_id)
    sessions.client.flushdb()
    with pytest.raises(redis.ResponseError, match="VALIDATION_ERROR state"):
        sessions.call("restore", session_id, snapshot)
    assert sessions.client.dbsize() == 0
    sessions.use(THIS)
    sessions.call("restore", session_id, snapshot)
    assert sessions.call("reset", session_id)["payload"]["event"] == "session.reset"


def test_a_schema_that_the_last_library_does_not_know_is_refused_whole(sessions: Sessions) -> None:
    """As will be with the one after the next change of the form of the hash."""
    sessions.use(THIS)
    session_id = sessions.play("byoyomi", "running")
    key = SessionKeys.of(session_id).session
    sessions.client.hset(key, "schema", "3")
    before = sessions.client.hgetall(key)
    for library in (LAST, THIS):
        sessions.use(library)
        for function in ("switch", "get"):
            with pytest.raises(redis.ResponseError, match=f"library {library.version} reads none newer"):
                sessions.call(function, session_id)
    assert sessions.client.hgetall(key) == before


@pytest.mark.parametrize("name", CONFIGS)
def test_a_session_of_the_last_one_is_corrected_by_this_one(sessions: Sessions, name: str) -> None:
    """Its turns are in its log, as the last library wrote them. What it began with is not in its hash."""
    sessions.use(LAST)
    session_id = sessions.play(name, "running")
    before = sessions.steady(session_id)
    sessions.call("switch", session_id)
    sessions.use(THIS)
    taken = sessions.call("takeback", session_id)
    assert (taken["payload"]["event"], taken["payload"]["turns"]) == ("turn.taken_back", 1)
    # A clock that the session owns runs on.
    moved = {"version", "updated_at", "cycle_started_at", "deadline_ms", "total_time_ms", "time_used_ms"}
    shown = sessions.steady(session_id)
    assert {key: shown[key] for key in before.keys() - moved} == {
        key: before[key] for key in before.keys() - moved
    }
    with pytest.raises(redis.ResponseError, match=r"INVALID_SESSION_STATE .* library 0.4 or older"):
        sessions.call("reset", session_id)
    sessions.call("pause", session_id)
    assert sessions.call("turn", session_id, P[0])["payload"]["active_participant_id"] == P[0]
    assert sessions.call("schedule", session_id, "ENDS", str(in_an_hour()))["payload"]["status"] == "paused"
    assert sessions.call("resume", session_id)["payload"]["status"] == "running"


@pytest.mark.parametrize("name", CONFIGS)
def test_what_ended_under_the_last_one_is_reopened_by_this_one(sessions: Sessions, name: str) -> None:
    """Who was active is not in the hash, but in the log."""
    sessions.use(LAST)
    session_id = sessions.play(name, "completed")
    sessions.use(THIS)
    reopened = sessions.call("reopen", session_id)["payload"]
    assert (reopened["event"], reopened["active_participant_id"]) == ("session.reopened", P[1])
    sessions.call("resume", session_id)
    sessions.call("switch", session_id)
    assert sessions.call("takeback", session_id)["payload"]["active_participant_id"] == P[1]


@pytest.mark.parametrize("schema", ["1", "2"])
def test_metadata_that_this_one_changed_is_what_the_last_one_goes_on_with(
    sessions: Sessions, schema: str
) -> None:
    """Also from a snapshot, and this one changes it again."""
    sessions.use(LAST)
    session_id = sessions.play("per_participant", "running")
    sessions.use(THIS)
    patch = json.dumps({"title": "Final", "odd": [None, {}, 1.0], "names": {P[0]: "Anna"}})
    event = sessions.call("metadata", session_id, patch, "SCHEMA", schema)
    wanted = event["payload"]["metadata"]
    assert wanted == {"title": "Final", "odd": [None, {}, 1.0], "names": {P[0]: "Anna"}}
    sessions.use(LAST)
    assert sessions.call("get", session_id)["metadata"] == wanted
    _goes_on(sessions, session_id, "running", event["version"])
    snapshot = sessions.exported(session_id, "SCHEMA", schema)
    sessions.client.flushdb()
    restored = sessions.call("restore", session_id, snapshot)
    assert (restored["metadata"], restored["schema"]) == (wanted, int(schema))
    sessions.use(THIS)
    again = sessions.call("metadata", session_id, json.dumps({"odd": None, "names": {P[0]: None}}))
    assert again["payload"]["metadata"] == {"title": "Final", "names": {}}


def test_a_clock_that_ran_out_under_the_last_one_gets_time_from_this_one(sessions: Sessions) -> None:
    sessions.use(LAST)
    session_id = "5e550000-0000-4000-8000-00000000ffff"
    config = {"sync_mode": "per_participant", "participants": people(total_time_ms=1000)}
    sessions.call("create", session_id, json.dumps(config))
    sessions.call("start", session_id)
    time.sleep(1.1)
    assert sessions.call("expire", session_id)["payload"]["event"] == "session.expired"
    sessions.use(THIS)
    assert sessions.call("reopen", session_id)["payload"]["active_participant_id"] == P[0]
    sessions.call("adjust", session_id, "PARTICIPANT", P[0], "SET", "5000")
    assert sessions.call("resume", session_id)["payload"]["status"] == "running"


@pytest.mark.parametrize(("first", "second"), [(LAST, THIS), (THIS, LAST)], ids=["up", "down"])
def test_a_pause_ends_by_itself_under_the_other(sessions: Sessions, first: Library, second: Library) -> None:
    sessions.use(first)
    session_id = "5e550000-0000-4000-8000-00000000ffff"
    people_ = people(total_time_ms=60_000)
    config = {"sync_mode": "per_participant", "participants": people_, "max_pause_ms": 1000}
    sessions.call("create", session_id, json.dumps(config))
    sessions.call("start", session_id)
    ends = sessions.call("pause", session_id)["payload"]["resumes_at_ms"]
    sessions.use(second)
    assert sessions.call("get", session_id)["resumes_at_ms"] == ends
    time.sleep(1.1)
    resumed = sessions.call("expire", session_id)
    assert (resumed["version"], resumed["payload"]["event"]) == (4, "session.resumed")
    _goes_on(sessions, session_id, "running", 4)


def test_there_and_back_a_session_can_still_be_reset(sessions: Sessions) -> None:
    """The last library leaves alone what it does not know of a hash."""
    sessions.use(THIS)
    session_id = sessions.play("byoyomi", "running")
    sessions.use(LAST)
    _goes_on(sessions, session_id, "running", 4)
    sessions.use(THIS)
    assert sessions.call("reset", session_id)["payload"]["event"] == "session.reset"
    clocks = sessions.call("get", session_id)["participants"]
    assert {each["total_time_ms"] for each in clocks} == {60_000}


def in_an_hour() -> int:
    return int(1000 * time.time()) + 3_600_000


DAY_MS = 86_400_000
INCREMENT = {**BYOYOMI, "increment_ms": 900}
REPEATED = {"kind": "stages", "stages": [{"moves": 2, "time_ms": 60_000}], "repeat": True}
NEWER: dict[str, Json] = {
    "max_pauses": {"participants": people(total_time_ms=60_000), "max_pauses": 3},
    "max_total_pause_ms": {"participants": people(total_time_ms=60_000), "max_total_pause_ms": 60_000},
    "max_cycles": {"participants": people(total_time_ms=60_000), "max_cycles": 300},
    "increment": {"participants": people(total_time_ms=60_000), "time_control": INCREMENT},
    "one's own": {
        "participants": [
            *people(total_time_ms=60_000)[:2],
            {**people(total_time_ms=60_000)[2], "time_control": INCREMENT},
        ]
    },
    "repeat": {"participants": people(), "time_control": REPEATED},
    "warnings": {
        "participants": people(total_time_ms=60_000),
        "time_control": {"kind": "fischer", "overtime_ms": 5000},
        "warnings_ms": [5000, 0],
    },
    "increment of days": {"participants": people(total_time_ms=DAY_MS), "increment_ms": 2 * DAY_MS},
    "days": {"sync_mode": "per_cycle", "participants": people(), "time_per_cycle_ms": 2 * DAY_MS},
    "starts_at_ms": {"participants": people(total_time_ms=60_000)},
    "ends_at_ms": {"participants": people(total_time_ms=60_000)},
}
"""Configs with something that the last library does not know."""


def play_newer(sessions: Sessions, name: str) -> str:
    session_id = f"5e550000-0000-4000-9000-{list(NEWER).index(name):012x}"
    times = {name: in_an_hour()} if name.endswith("s_at_ms") else {}
    config = {"sync_mode": "per_participant", **NEWER[name], **times}
    sessions.call("create", session_id, json.dumps(config))
    if name != "starts_at_ms":
        sessions.call("start", session_id)
        sessions.call("switch", session_id)
    return session_id


def test_a_snapshot_with_what_the_last_one_does_not_know_is_refused_whole(sessions: Sessions) -> None:
    """In either schema, on its way from PostgreSQL or from another server."""
    sessions.use(THIS)
    made = {name: play_newer(sessions, name) for name in NEWER}
    snapshots = {
        (name, schema): sessions.exported(made[name], "SCHEMA", schema) for name in made for schema in "12"
    }
    sessions.client.flushdb()
    for (name, _), snapshot in snapshots.items():
        sessions.use(LAST)
        with pytest.raises(redis.ResponseError, match="VALIDATION_ERROR state"):
            sessions.call("restore", made[name], snapshot)
        assert sessions.client.dbsize() == 0, name
        sessions.use(THIS)
        assert sessions.call("restore", made[name], snapshot)["recovered"], name
        sessions.client.flushdb()


async def test_sessions_that_the_last_one_would_forget_something_of_are_found(
    server: Server, sessions: Sessions
) -> None:
    """And no others: neither plain ones, nor what is over. A restored or converted one is found as well."""
    sessions.use(THIS)
    for name, story in stories():
        sessions.play(name, story)
    over = play_newer(sessions, "max_cycles")
    sessions.call("complete", over)
    snapshot = sessions.exported(over)
    sessions.client.delete(*SessionKeys.of(over).all)
    sessions.call("restore", over, snapshot)
    made = [play_newer(sessions, name) for name in NEWER if name != "max_cycles"]
    for session_id in made[::2]:
        assert sessions.call("convert", session_id, "SCHEMA", "2") == 1
    connection = Connection.to(settings(server.url))
    try:
        assert await schemas.newer(connection) == sorted(made)
        assert LAST.version.startswith(schemas.LAST_LIBRARY + ".")
    finally:
        await connection.aclose()


@pytest.mark.parametrize("name", ["max_cycles", "max_pauses", "ends_at_ms"])
def test_the_last_one_forgets_what_it_does_not_know_when_it_changes_a_session(
    sessions: Sessions, name: str
) -> None:
    """So these have to be over before its library is loaded. Clocks and turns are right under it, and the
    session goes on without its bound under this one, too."""
    sessions.use(THIS)
    session_id = play_newer(sessions, name)
    sessions.use(LAST)
    _goes_on(sessions, session_id, "running", 3)
    sessions.use(THIS)
    state = sessions.call("get", session_id)
    assert (state["ends_at_ms"], state["pauses_left"]) == (None, None)
    _goes_on(sessions, session_id, "running", state["version"])


def move(source: Sessions, target: Sessions, session_id: str, name: str) -> None:
    """All steps of a move between two servers."""
    address, *keys = "10.0.0.2:6379", *SessionKeys.of(session_id).all

    def step(at: Sessions, which: str, *args: Any) -> Any:
        return at.client.fcall(f"sk_move_{which}", len(keys), *keys, *args, "MOVE", name)

    session, *events = step(source, "out", "TARGET", address, "LEASE", "60000")
    assert step(target, "in", session, b"\n".join(events), "TARGET", address, "SHIFT", "0") == 1
    step(target, "activate", step(source, "commit"))
    step(source, "finish")


@pytest.mark.parametrize(("first", "second"), [(LAST, THIS), (THIS, LAST)], ids=["up", "down"])
def test_a_session_moves_to_a_server_with_the_other(
    sessions: Sessions, first: Library, second: Library
) -> None:
    """There and back, in either schema."""
    with servers.start("valkey") as other, other.sync_client() as client:
        elsewhere = Sessions(client)
        sessions.use(first)
        elsewhere.use(second)
        for name, story in stories():
            session_id = sessions.play(name, story)
            if story == "running":
                assert sessions.call("convert", session_id, "SCHEMA", "2") == 1
            before = sessions.steady(session_id)
            for way, source, target in (("there", sessions, elsewhere), ("back", elsewhere, sessions)):
                move(source, target, session_id, way)
                after = target.steady(session_id)
                same = before.keys() & after.keys() - {"version", "schema", "updated_at"}
                assert {key: after[key] for key in same} == {key: before[key] for key in same}, (name, story)
            _goes_on(sessions, session_id, after["status"], after["version"])


async def test_a_server_is_upgraded_and_never_downgraded(server: Server) -> None:
    async with server.client() as client:
        for library, found in (
            (LAST, LibraryStatus.MISSING),
            (THIS, LibraryStatus.OLDER),
            (LAST, LibraryStatus.NEWER),
            (THIS, LibraryStatus.SAME),
        ):
            assert await load(client, library) == [found]
        (version, *_) = await client.fcall("sk_info", 0)
        assert version.decode() == THIS.version > LAST.version
