"""The library of the last release and this one's: each reads and goes on with what the other has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library, LibraryStatus, load
from tests.support import servers
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


@pytest.mark.parametrize(
    ("wrote", "exported", "restored"),
    [(LAST, LAST, THIS), (THIS, LAST, THIS), (LAST, THIS, LAST), (THIS, THIS, LAST)],
    ids=["up", "exported by the older one", "down", "exported by the newer one"],
)
def test_a_snapshot_of_one_is_restored_by_the_other(
    sessions: Sessions, wrote: Library, exported: Library, restored: Library
) -> None:
    """A snapshot in PostgreSQL may have been made by either."""
    sessions.use(wrote)
    made = [sessions.play(name, story) for name, story in stories()]
    sessions.use(exported)
    snapshots = {}
    for session_id in made:
        keys = SessionKeys.of(session_id)
        snapshots[session_id] = sessions.client.fcall("sk_get", 1, keys.session, "EXPORT").decode()
        sessions.client.delete(*keys.all)
    sessions.use(restored)
    for session_id, snapshot in snapshots.items():
        state = sessions.call("restore", session_id, snapshot)
        assert state["recovered"]
        _goes_on(sessions, session_id, state["status"], state["version"])


def test_a_snapshot_of_the_newer_schema_needs_this_library(sessions: Sessions) -> None:
    """An export is in the oldest schema unless it is asked for another one, so that this happens to nobody
    who did not ask. The last library refuses such a snapshot whole; this one exports it anew for the last."""
    sessions.use(THIS)
    session_id = sessions.play("byoyomi", "running")
    assert sessions.call("switch", session_id, "SCHEMA", "2")["version"] == 5
    keys = SessionKeys.of(session_id)
    newer, older = (
        sessions.client.fcall("sk_get", 1, keys.session, "EXPORT", *options).decode()
        for options in (["SCHEMA", "2"], [])
    )
    assert (json.loads(newer)["schema"], json.loads(older)["schema"]) == (2, 1)
    sessions.client.delete(*keys.all)
    sessions.use(LAST)
    with pytest.raises(redis.ResponseError, match="VALIDATION_ERROR state"):
        sessions.call("restore", session_id, newer)
    assert sessions.client.exists(keys.session) == 0
    sessions.use(THIS)
    sessions.call("restore", session_id, newer)
    again = sessions.client.fcall("sk_get", 1, keys.session, "EXPORT").decode()
    for snapshot in (older, again):
        sessions.client.delete(*keys.all)
        sessions.use(LAST)
        state = sessions.call("restore", session_id, snapshot)
        _goes_on(sessions, session_id, state["status"], state["version"])
        sessions.use(THIS)


def test_a_library_that_does_not_know_a_schema_shows_nothing_wrong_of_it(sessions: Sessions) -> None:
    """As when the last library is loaded again before all sessions are back in the oldest schema.

    Turns go on. What needs the config fails, and shows no half of it. Nothing is lost: with this library
    again, or once the session is back in the oldest schema, all is there.
    """
    sessions.use(THIS)
    session_id = sessions.play("byoyomi", "running")
    sessions.call("switch", session_id, "SCHEMA", "2")
    sessions.use(LAST)
    assert sessions.call("switch", session_id)["version"] == 6
    with pytest.raises(redis.ResponseError, match="nil value"):
        sessions.call("get", session_id)
    sessions.use(THIS)
    assert sessions.call("get", session_id)["version"] == 6
    assert sessions.call("convert", session_id, "SCHEMA", "1") == 1
    before = sessions.steady(session_id)
    sessions.use(LAST)
    shown = sessions.steady(session_id)
    known = before.keys() & shown.keys()
    assert {key: shown[key] for key in known} == {key: before[key] for key in known}
    _goes_on(sessions, session_id, "running", 6)


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
    """There and back, in the newer schema, too, where there is one."""
    with servers.start("valkey") as other, other.sync_client() as client:
        elsewhere = Sessions(client)
        sessions.use(first)
        elsewhere.use(second)
        for name, story in stories():
            session_id = sessions.play(name, story)
            if first is THIS:
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
