"""The library as it is shipped, on three primaries: declared keys in one slot, a whole game on every
partition's node."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from synckairos.core import keys
from synckairos.core.keys import SessionKeys
from tests.core.game import P, people, players

NODES = 3
SLOTS = 16_384


def session_of(node: int) -> str:
    """A session whose keys live on a node: the primaries share the slots in equal runs."""
    tt = next(tt for tt in keys.PARTITIONS if key_slot(tt.encode()) * NODES // SLOTS == node)
    return f"5e550000-0000-4000-8000-0000000000{tt}"


SESSIONS = [session_of(node) for node in range(NODES)]


def call(cluster: redis.RedisCluster, function: str, session: str, *args: str) -> Any:
    """`sk_<function>` for a session, sent to whoever serves its slot."""
    names = SessionKeys.of(session).all
    wanted = {"get": names[:1], "log": names[:2]}.get(function, names)
    return cluster.execute_command("FCALL", f"sk_{function}", len(wanted), *wanted, *args)


def test_the_keys_of_a_session_share_one_slot_and_the_sessions_do_not(cluster: redis.RedisCluster) -> None:
    slots: list[int] = []
    for session in SESSIONS:
        own = {cluster.keyslot(key) for key in SessionKeys.of(session).all}
        assert len(own) == 1
        slots += own
    nodes = {cluster.get_node_from_key(SessionKeys.of(s).session).name for s in SESSIONS}
    assert len(set(slots)) == len(SESSIONS)
    assert len(nodes) == NODES


@pytest.mark.parametrize("session", SESSIONS)
def test_a_game_is_played(cluster: redis.RedisCluster, session: str) -> None:
    created = json.loads(
        call(cluster, "create", session, json.dumps(players(60_000, 60_000, warnings_ms=[30_000])))
    )
    assert created["status"] == "pending"
    call(cluster, "start", session)
    call(cluster, "join", session, json.dumps({"participant_id": P[2], "total_time_ms": 5000}))
    event = json.loads(call(cluster, "switch", session, "NEXT", P[2], "REQUEST", "r1"))
    assert event["payload"]["active_participant_id"] == P[2]
    assert json.loads(call(cluster, "switch", session, "NEXT", P[2], "REQUEST", "r1")) == event | {
        "replayed": True
    }
    call(cluster, "pause", session)
    call(cluster, "adjust", session, "PARTICIPANT", P[2], "ADD", "1000")
    call(cluster, "resume", session)
    assert call(cluster, "expire", session) is None
    call(cluster, "leave", session, P[2])
    state = json.loads(call(cluster, "get", session))
    assert (state["version"], state["status"], state["active_participant_id"]) == (8, "running", P[0])
    score = cluster.zscore(keys.alarms(keys.partition(session)), session)
    assert score == state["deadline_ms"] - 30_000
    events = call(cluster, "log", session, "0")
    assert [json.loads(e)["version"] for e in events] == list(range(1, 9))
    exported = call(cluster, "get", session, "EXPORT").decode()
    cluster.delete(*SessionKeys.of(session).all[:3])
    assert json.loads(call(cluster, "restore", session, exported))["version"] == 9
    call(cluster, "complete", session)
    assert call(cluster, "delete", session) == 1


def test_a_clock_runs_out_in_real_time(cluster: redis.RedisCluster) -> None:
    """Needs a real second: the shipped library reads the server's own clock."""
    session = SESSIONS[2]
    config = {"sync_mode": "per_cycle", "participants": people(2), "time_per_cycle_ms": 1000}
    call(cluster, "create", session, json.dumps(config))
    started = json.loads(call(cluster, "start", session))
    event = None
    while event is None:
        event = call(cluster, "expire", session)
    payload = json.loads(event)["payload"]
    assert payload["event"] == "session.expired"
    assert (
        payload["expired_deadline_ms"]
        == started["payload"]["deadline_ms"]
        == started["server_time_ms"] + 1000
    )
    assert call(cluster, "delete", session) == 1


def test_throttle_and_info(cluster: redis.RedisCluster) -> None:
    bucket = keys.rate_limit("switch:a")
    assert cluster.execute_command("FCALL", "sk_throttle", 1, bucket, 5, 5, 1000, 1, 0) == [0, 5, 4, 0, 200]
    session = SessionKeys.of(SESSIONS[0])
    node = cluster.get_node_from_key(session.session)
    version, schema, now = cluster.execute_command("FCALL", "sk_info", 0, target_nodes=node)
    assert (schema, now > 1_500_000_000_000) == (1, True)
    assert version
