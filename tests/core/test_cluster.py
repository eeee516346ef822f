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


def call(client: redis.RedisCluster, function: str, session: str, *args: str) -> Any:
    """`sk_<function>` for a session, sent to whoever serves its slot."""
    names = SessionKeys.of(session).all
    wanted = {"get": names[:1], "log": names[:2]}.get(function, names)
    return client.execute_command("FCALL", f"sk_{function}", len(wanted), *wanted, *args)


def test_the_keys_of_a_session_share_one_slot_and_the_sessions_do_not(
    cluster_client: redis.RedisCluster,
) -> None:
    slots: list[int] = []
    for session in SESSIONS:
        own = {cluster_client.keyslot(key) for key in SessionKeys.of(session).all}
        assert len(own) == 1
        slots += own
    nodes = {cluster_client.get_node_from_key(SessionKeys.of(s).session).name for s in SESSIONS}
    assert len(set(slots)) == len(SESSIONS)
    assert len(nodes) == NODES


@pytest.mark.parametrize("session", SESSIONS)
def test_a_game_is_played(cluster_client: redis.RedisCluster, session: str) -> None:
    created = json.loads(
        call(cluster_client, "create", session, json.dumps(players(60_000, 60_000, warnings_ms=[30_000])))
    )
    assert created["status"] == "pending"
    call(cluster_client, "start", session)
    call(cluster_client, "join", session, json.dumps({"participant_id": P[2], "total_time_ms": 5000}))
    event = json.loads(call(cluster_client, "switch", session, "NEXT", P[2], "REQUEST", "r1"))
    assert event["payload"]["active_participant_id"] == P[2]
    assert json.loads(call(cluster_client, "switch", session, "NEXT", P[2], "REQUEST", "r1")) == event | {
        "replayed": True
    }
    call(cluster_client, "pause", session)
    call(cluster_client, "adjust", session, "PARTICIPANT", P[2], "ADD", "1000")
    call(cluster_client, "resume", session)
    assert call(cluster_client, "expire", session) is None
    call(cluster_client, "leave", session, P[2])
    state = json.loads(call(cluster_client, "get", session))
    assert (state["version"], state["status"], state["active_participant_id"]) == (8, "running", P[0])
    score = cluster_client.zscore(keys.alarms(keys.partition(session)), session)
    assert score == state["deadline_ms"] - 30_000
    events = call(cluster_client, "log", session, "0")
    assert [json.loads(e)["version"] for e in events] == list(range(1, 9))
    exported = call(cluster_client, "get", session, "EXPORT").decode()
    cluster_client.delete(*SessionKeys.of(session).all[:3])
    assert json.loads(call(cluster_client, "restore", session, exported))["version"] == 9
    call(cluster_client, "complete", session)
    assert call(cluster_client, "delete", session) == 1


def test_a_clock_runs_out_in_real_time(cluster_client: redis.RedisCluster) -> None:
    """Needs a real second: the shipped library reads the server's own clock."""
    session = SESSIONS[2]
    config = {"sync_mode": "per_cycle", "participants": people(2), "time_per_cycle_ms": 1000}
    call(cluster_client, "create", session, json.dumps(config))
    started = json.loads(call(cluster_client, "start", session))
    event = None
    while event is None:
        event = call(cluster_client, "expire", session)
    payload = json.loads(event)["payload"]
    assert payload["event"] == "session.expired"
    assert (
        payload["expired_deadline_ms"]
        == started["payload"]["deadline_ms"]
        == started["server_time_ms"] + 1000
    )
    assert call(cluster_client, "delete", session) == 1


def test_throttle_and_info(cluster_client: redis.RedisCluster) -> None:
    bucket = keys.rate_limit("switch:a")
    assert cluster_client.execute_command("FCALL", "sk_throttle", 1, bucket, 5, 5, 1000, 1, 0) == [
        0,
        5,
        4,
        0,
        200,
    ]
    session = SessionKeys.of(SESSIONS[0])
    node = cluster_client.get_node_from_key(session.session)
    version, schema, now = cluster_client.execute_command("FCALL", "sk_info", 0, target_nodes=node)
    assert (schema, now > 1_500_000_000_000) == (1, True)
    assert version
