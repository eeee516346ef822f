"""The relay and its subscriptions over real servers: whatever happens on the way, versions come whole and in
order.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from synckairos.api.websocket import socket as socket_module
from synckairos.core.keys import SessionKeys
from synckairos.core.keyspace import missing_flags
from synckairos.errors import SessionNotFound
from synckairos.realtime import relay as relay_module
from synckairos.realtime.messages import state_sync, text_frame
from synckairos.realtime.relay import Topic, decode_event
from tests.support import servers
from tests.support.live import (
    PATIENCE_S,
    Message,
    Parts,
    eventually,
    game,
    parts,
    service,
    settings,
    versions,
)


@pytest.fixture
async def live(redis: servers.Server) -> AsyncIterator[Parts]:
    async with parts(settings(redis.url, SESSION_TTL="1")) as running:
        await running.relay.start()
        yield running


class Listener:
    """A subscriber that remembers."""

    sees_actors = True

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.ended: tuple[int, str] | None = None

    def send(self, frame: bytes) -> None:
        assert self.ended is None
        self.texts += unframed(frame)

    def end(self, code: int, reason: str) -> None:
        self.ended = code, reason

    @property
    def messages(self) -> list[Message]:
        return [json.loads(text) for text in self.texts]

    @property
    def events(self) -> list[bytes]:
        """What came after the state, as it came."""
        return self.texts[1:]

    async def reaches(self, version: int) -> None:
        """Wait until it has seen this version."""
        await eventually(lambda: self.messages and self.messages[-1]["version"] >= version)


def unframed(data: bytes) -> Iterator[bytes]:
    """The texts of unmasked text frames."""
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start])
        yield data[start : start + size]
        data = data[start + size :]


async def attached(live: Parts, session_id: str) -> Listener:
    """A listener that has the state and follows."""
    listener = Listener()
    state = await live.relay.attach(session_id, listener)
    listener.send(text_frame(state_sync(state)))
    live.relay.follow(session_id, listener, state.epoch, state.version)
    return listener


def losing(live: Parts, lost: Callable[[int], bool]) -> None:
    """Have the relay not hear of the events whose version is `lost`."""
    arrived = live.relay._arrived

    def sometimes(topic: Topic, data: bytes) -> None:
        if not lost(decode_event(data).version):
            arrived(topic, data)

    live.relay._arrived = sometimes  # type: ignore[method-assign]


async def primary(live: Parts) -> Any:
    return (await live.connection.primaries())[0]


def whole(messages: list[Message]) -> None:
    """Every version once and in order, from the first message on."""
    assert versions(messages) == list(range(messages[0]["version"], messages[0]["version"] + len(messages)))


def corrected(messages: list[Message], since: int) -> None:
    """Every version once and in order, with one state at the first version on another server or later.

    since: the first version on the other server. Its change begins a new epoch.
    """
    (place,) = (
        number for number, message in enumerate(messages) if number and message["type"] == "STATE_SYNC"
    )
    state = messages[place]
    assert state["version"] >= since
    whole(messages[:place])
    whole(messages[place:])
    assert int(state["epoch"]) > int(messages[place - 1]["epoch"])
    assert {message["epoch"] for message in messages[place:]} == {state["epoch"]}


async def test_many_subscribers_share_one_subscription_and_the_same_bytes(live: Parts) -> None:
    session_id = await game(live.sessions)
    listeners = [await attached(live, session_id) for _ in range(20)]
    server = await primary(live)
    channel = SessionKeys.of(session_id).session
    assert await server.execute_command("PUBSUB", "SHARDNUMSUB", channel) == [channel.encode(), 1]
    changes = [await live.sessions.switch(session_id) for _ in range(10)]
    for listener in listeners:
        await listener.reaches(changes[-1].version)
        assert listener.events == [change.raw for change in changes]
    for listener in listeners:
        live.relay.detach(session_id, listener)
    async with asyncio.timeout(PATIENCE_S):
        while (await server.execute_command("PUBSUB", "SHARDNUMSUB", channel))[1]:
            await asyncio.sleep(0.01)


async def test_attaching_under_traffic_misses_nothing(live: Parts) -> None:
    session_id = await game(live.sessions)

    async def traffic() -> None:
        for _ in range(300):
            await live.sessions.switch(session_id)

    switching = asyncio.create_task(traffic())
    listeners = []
    while not switching.done():
        listeners.append(await attached(live, session_id))
        await asyncio.sleep(0.002)
    assert len(listeners) > 10
    for listener in listeners:
        await listener.reaches(302)
        whole(listener.messages)


async def test_coming_and_going_of_many_sessions_settles_right(live: Parts) -> None:
    session_ids = [await game(live.sessions, start=False) for _ in range(30)]

    async def come_and_go(session_id: str) -> Listener:
        for _ in range(20):
            listener = await attached(live, session_id)
            live.relay.detach(session_id, listener)
        return await attached(live, session_id)

    listeners = await asyncio.gather(*map(come_and_go, session_ids))
    for session_id, listener in zip(session_ids, listeners, strict=True):
        change = await live.sessions.start(session_id)
        await listener.reaches(2)
        assert listener.events == [change.raw]


@pytest.mark.parametrize(
    "lost",
    [lambda version: version == 4, lambda version: version in (3, 5, 6), lambda version: version % 2 == 1],
)
async def test_a_gap_is_filled_from_the_log(live: Parts, lost: Callable[[int], bool]) -> None:
    losing(live, lost)
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    changes = [await live.sessions.switch(session_id) for _ in range(6)]
    await listener.reaches(changes[-1].version)
    assert listener.events == [change.raw for change in changes]


async def test_a_gap_that_the_log_does_not_reach_gets_the_state(live: Parts) -> None:
    losing(live, lambda version: 3 <= version < 400)
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    for _ in range(398):
        last = await live.sessions.switch(session_id)
    await listener.reaches(last.version)
    assert [message["type"] for message in listener.messages] == ["STATE_SYNC", "STATE_SYNC"]
    following = await live.sessions.switch(session_id)
    await listener.reaches(following.version)
    assert listener.texts[2:] == [following.raw]


async def test_the_last_message_lost_is_noticed_too(live: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 0.2)
    losing(live, lambda _: True)
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    change = await live.sessions.switch(session_id)
    await listener.reaches(change.version)
    assert listener.events == [change.raw]


async def test_what_was_seen_is_not_sent_again(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    changes = [await live.sessions.switch(session_id) for _ in range(3)]
    server = await primary(live)
    for change in (*changes, changes[0]):
        await server.execute_command("SPUBLISH", SessionKeys.of(session_id).session, change.raw)
    last = await live.sessions.switch(session_id)
    await listener.reaches(last.version)
    assert listener.events == [change.raw for change in (*changes, last)]


async def test_a_subscription_that_is_cut_misses_nothing(live: Parts) -> None:
    session_ids = [await game(live.sessions) for _ in range(10)]
    listeners = [await attached(live, session_id) for session_id in session_ids]
    server = await primary(live)

    async def traffic(session_id: str) -> None:
        for _ in range(100):  # fewer than the log holds, so that it always reaches back
            await live.sessions.switch(session_id)
            await asyncio.sleep(0.002)

    switching = asyncio.gather(*map(traffic, session_ids))
    for _ in range(4):
        await asyncio.sleep(0.05)
        while not await server.execute_command("CLIENT", "KILL", "TYPE", "pubsub"):
            await asyncio.sleep(0.01)  # it is not back yet
    await switching
    for listener in listeners:
        await listener.reaches(102)
        whole(listener.messages)


async def test_a_subscription_that_is_cut_catches_up_without_another_message(
    live: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 3600)
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    await eventually(lambda: live.subscriptions.keyspace_events == "on")
    server = await primary(live)
    async with server.pipeline(transaction=True) as pipeline:
        pipeline.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        keys = SessionKeys.of(session_id).all
        pipeline.execute_command("FCALL", "sk_switch", 4, *keys)
        await pipeline.execute()
    await listener.reaches(3)
    whole(listener.messages)


async def test_a_restarted_server_is_subscribed_to_again() -> None:
    with servers.start("valkey", appendonly="yes", appendfsync="always") as server:
        async with parts(settings(server.url)) as live:
            await live.relay.start()
            session_id = await game(live.sessions)
            listener = await attached(live, session_id)
            await live.sessions.switch(session_id)
            server.restart()
            changes = [await live.sessions.switch(session_id) for _ in range(3)]
            await listener.reaches(changes[-1].version)
            corrected(listener.messages, since=4)
            await eventually(lambda: live.subscriptions.keyspace_events == "on")


async def test_a_server_that_lost_writes_sends_its_subscribers_away(
    live: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 0.2)
    session_id = await game(live.sessions)
    server = await primary(live)
    names = SessionKeys.of(session_id)
    listener = await attached(live, session_id)
    before = {key: await server.dump(key) for key in (names.session, names.log)}
    for _ in range(3):
        last = await live.sessions.switch(session_id)
    await listener.reaches(last.version)
    async with server.pipeline(transaction=True) as pipeline:
        for key, dump in before.items():
            pipeline.restore(key, 60_000, dump, replace=True)
        await pipeline.execute()
    await eventually(lambda: listener.ended)
    assert listener.ended is not None
    assert listener.ended[0] == 1012
    assert versions(listener.messages) == [2, 3, 4, 5]
    fresh = await attached(live, session_id)
    await live.sessions.switch(session_id)
    await fresh.reaches(3)
    assert versions(fresh.messages) == [2, 3]


async def test_a_new_epoch_comes_with_the_state(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    server = await primary(live)
    names = SessionKeys.of(session_id)
    config = {
        "sync_mode": "global",
        "total_time_ms": 60_000,
        "participants": [{"participant_id": str(uuid.uuid4())}],
    }
    async with server.pipeline(transaction=True) as pipeline:
        pipeline.delete(names.session, names.log)
        pipeline.execute_command("FCALL", "sk_create", 4, *names.all, json.dumps(config), "TTL", 60)
        await pipeline.execute()
    await eventually(lambda: len(listener.texts) == 2)
    sync = listener.messages[1]
    assert sync["type"] == "STATE_SYNC"
    assert sync["epoch"] != listener.messages[0]["epoch"]
    assert sync["version"] == 1
    await live.sessions.start(session_id)
    await eventually(lambda: len(listener.texts) == 3)
    assert listener.messages[2]["version"] == 2


async def test_a_deletion_is_the_last_event(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    assert await live.sessions.delete(session_id)
    await eventually(lambda: listener.ended)
    assert listener.ended == (1000, "the session was deleted")
    (event,) = listener.messages[1:]
    assert (event["type"], event["version"], event["payload"]["reason"]) == ("SESSION_DELETED", 3, "deleted")
    assert event["payload"]["event"] == "session.deleted"  # the library's own bytes
    assert live.relay.topics == 0
    with pytest.raises(SessionNotFound):
        await attached(live, session_id)


async def test_a_deletion_whose_event_was_lost_is_told_all_the_same(
    live: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 0.2)
    losing(live, lambda _: True)
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    await live.sessions.delete(session_id)
    await eventually(lambda: listener.ended)
    (event,) = listener.messages[1:]
    assert (event["type"], event["version"], event["payload"]) == (
        "SESSION_DELETED",
        3,
        {"reason": "deleted"},
    )
    assert event["epoch"] == listener.messages[0]["epoch"]


async def test_a_session_that_aged_out_is_told_as_such(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    completed = await live.sessions.complete(session_id)  # kept for SESSION_TTL, one second here
    await eventually(lambda: listener.ended)
    assert listener.ended is not None
    assert listener.ended[0] == 1000
    assert listener.events[:-1] == [completed.raw]
    event = listener.messages[-1]
    assert (event["type"], event["version"], event["payload"]) == (
        "SESSION_DELETED",
        3,
        {"reason": "ttl_expired"},
    )


async def test_a_session_deleted_by_hand_is_evicted(live: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 3600)  # it is the keyspace event that tells
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    server = await primary(live)
    await eventually(lambda: live.subscriptions.keyspace_events == "on")
    await server.unlink(SessionKeys.of(session_id).session)
    await eventually(lambda: listener.ended)
    (event,) = listener.messages[1:]
    assert (event["version"], event["payload"]) == (2, {"reason": "evicted"})
    assert event["server_time_ms"] >= listener.messages[0]["server_time_ms"]


async def test_a_session_that_the_server_evicted_is_told_as_such() -> None:
    with servers.start("valkey", maxmemory_policy="volatile-lru") as server:
        async with parts(settings(server.url)) as live:
            await live.relay.start()
            session_id = await game(live.sessions)
            listener = await attached(live, session_id)
            await eventually(lambda: live.subscriptions.keyspace_events == "on")
            redis = await primary(live)
            await redis.config_set("maxmemory", "1mb")
            with pytest.raises(OutOfMemoryError):
                await redis.set("another", "x" * 100)
            await eventually(lambda: listener.ended)
            assert listener.messages[-1]["payload"] == {"reason": "evicted"}


async def test_without_keyspace_events_a_vanished_session_is_noticed_by_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert relay_module.CHECK_EVERY_S < 5, "which is what subscribers are promised"
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 0.5)
    with servers.start("valkey", notify_keyspace_events="") as server:
        async with server.client() as direct:
            await direct.execute_command(
                "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config"
            )
        url = f"redis://app:secret@127.0.0.1:{server.port}/0"
        async with parts(settings(url, SESSION_TTL="1")) as live, server.client() as direct:
            await live.relay.start()
            session_ids = [await game(live.sessions) for _ in range(2)]
            listeners = [await attached(live, session_id) for session_id in session_ids]
            await live.sessions.complete(session_ids[1])
            assert live.subscriptions.keyspace_events == "unknown"
            assert "notify-keyspace-events" in live.subscriptions.keyspace_detail
            await direct.delete(SessionKeys.of(session_ids[0]).session)
            await eventually(lambda: all(listener.ended for listener in listeners))
            for listener in listeners:
                assert listener.messages[-1]["payload"] == {"reason": "evicted"}


async def test_keyspace_events_are_switched_on_where_that_is_permitted() -> None:
    with servers.start("valkey", notify_keyspace_events="Kl") as server:
        async with parts(settings(server.url)) as live, server.client() as direct:
            await eventually(lambda: live.subscriptions.keyspace_events == "on")
            assert live.subscriptions.keyspace_detail == ""
            flags = (await direct.config_get("notify-keyspace-events"))["notify-keyspace-events"]
            assert set("KlEgxe") <= set(str(flags))


async def test_keyspace_events_that_may_not_be_switched_on_are_told() -> None:
    with servers.start("valkey", notify_keyspace_events="") as server:
        async with server.client() as direct:
            rules = ("on", ">secret", "~*", "&*", "+@all", "-config|set")
            await direct.execute_command("ACL", "SETUSER", "app", *rules)
        async with parts(settings(f"redis://app:secret@127.0.0.1:{server.port}/0")) as live:
            await eventually(lambda: live.subscriptions.keyspace_events == "off")
            assert "Egxe" in live.subscriptions.keyspace_detail


@pytest.mark.parametrize(
    ("flags", "missing"), [("", "Egxe"), ("AKE", ""), ("Ex", "ge"), ("gxeE", ""), ("KA", "E"), ("A", "E")]
)
def test_missing_flags(flags: str, missing: str) -> None:
    assert missing_flags(flags) == missing


async def test_two_processes_see_the_same(live: Parts, redis: servers.Server) -> None:
    async with parts(settings(redis.url)) as other:
        await other.relay.start()
        session_id = await game(live.sessions)
        here, there = await attached(live, session_id), await attached(other, session_id)
        changes = [await sessions.switch(session_id) for sessions in (live.sessions, other.sessions) * 5]
        for listener in (here, there):
            await listener.reaches(changes[-1].version)
            assert listener.events == [change.raw for change in changes]


async def test_a_cluster_is_subscribed_to_on_every_node() -> None:
    with servers.start_cluster("valkey") as cluster:
        async with parts(settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)) as live:
            await live.relay.start()
            session_ids = [await game(live.sessions) for _ in range(30)]
            listeners = [await attached(live, session_id) for session_id in session_ids]
            for server in cluster.primaries:
                async with server.client() as direct:
                    await direct.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            for session_id, listener in zip(session_ids, listeners, strict=True):
                changes = [await live.sessions.switch(session_id) for _ in range(3)]
                await listener.reaches(5)
                assert listener.events == [change.raw for change in changes]
            await eventually(lambda: live.subscriptions.keyspace_events == "on")
            gone = session_ids[0]
            node = await live.connection.primary_for(SessionKeys.of(gone).session)
            await node.delete(SessionKeys.of(gone).session)
            await eventually(lambda: listeners[0].ended)


async def test_a_slot_that_moves_takes_its_subscribers_along() -> None:
    with servers.start_cluster("valkey") as cluster:
        async with parts(settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)) as live:
            await live.relay.start()
            session_id = await game(live.sessions)
            listener = await attached(live, session_id)
            async with moving_slot(cluster, SessionKeys.of(session_id).session) as move_keys:
                await move_keys(None)
            changes = [await live.sessions.switch(session_id) for _ in range(3)]
            await listener.reaches(5)
            corrected(listener.messages, since=3)
            assert listener.messages[-1]["version"] == changes[-1].version


@pytest.mark.parametrize("kind", servers.available())
async def test_events_come_while_a_slot_moves_key_by_key(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 3600)
    with servers.start_cluster(kind) as cluster:
        async with parts(settings("redis://127.0.0.1", REDIS_CLUSTER_NODES=cluster.nodes)) as live:
            await live.relay.start()
            one = str(uuid.uuid4())[:-2]
            moved, last, elsewhere = one + "aa", str(uuid.uuid4())[:-2] + "aa", one + "ab"
            for session_id in (moved, last, elsewhere):
                await game(live.sessions, session_id=session_id)
            listeners = {each: await attached(live, each) for each in (moved, last, elsewhere)}
            before = await subscribers(cluster)

            async def switch(*ids: str) -> None:
                for session_id in ids:
                    change = await live.sessions.switch(session_id)
                    await listeners[session_id].reaches(change.version)

            async with moving_slot(cluster, SessionKeys.of(moved).session) as move_keys:
                await move_keys(list(SessionKeys.of(moved).all))
                for _ in range(3):
                    await switch(moved, elsewhere)  # the node that has the slot redirects the first of these
                await move_keys(None)
            for _ in range(3):
                await switch(moved, last, elsewhere)
            corrected(listeners[moved].messages, since=3)
            corrected(listeners[last].messages, since=3)
            whole(listeners[elsewhere].messages)
            assert await subscribers(cluster) == before  # no connection was made anew


async def subscribers(cluster: servers.Cluster) -> set[tuple[int, str]]:
    """Port and client id of each subscribing connection."""
    found = set()
    for server in cluster.primaries:
        client = server.client()
        found |= {(server.port, each["id"]) for each in await client.client_list() if int(each["sub"])}
        await client.aclose()
    return found


@asynccontextmanager
async def moving_slot(
    cluster: servers.Cluster, key: str
) -> AsyncIterator[Callable[[list[str] | None], Awaitable[None]]]:
    """Begin to move the key's slot to the next node, and end it. Gives what moves some or all of its keys."""
    nodes = [server.client() for server in cluster.primaries]
    try:
        slot = await nodes[0].execute_command("CLUSTER", "KEYSLOT", key)
        ids = [(await node.execute_command("CLUSTER", "MYID")).decode() for node in nodes]
        source = slot * len(nodes) // servers.SLOTS
        target = (source + 1) % len(nodes)
        await nodes[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])

        async def move_keys(names: list[str] | None) -> None:
            names = names or await nodes[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
            port = cluster.primaries[target].port
            await nodes[source].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *names)

        yield move_keys
        for node in (nodes[target], nodes[source], nodes[3 - source - target]):
            await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    finally:
        for node in nodes:
            await node.aclose()


async def test_a_slow_reader_is_cut_and_harms_nobody(
    redis: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "MAX_UNSENT", 256 * 1024)
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 3600)  # the log has none of these events
    async with service(settings(redis.url)) as running:
        session_id = await game(running.sessions)
        state = await running.sessions.get(session_id)
        async with running.follow(session_id, max_queue=1) as slow, running.follow(session_id) as quick:
            slow.socket.transport.pause_reading()
            event = {"type": "STATE_UPDATE", "epoch": state.epoch, "pad": "x" * 100_000}
            for version in range(3, 203):
                text = json.dumps(event | {"version": version})
                node = (await running.context.connection.primaries())[0]
                await node.execute_command("SPUBLISH", SessionKeys.of(session_id).session, text)
                # It has read each before the next one comes: what waits for it never adds up.
                assert (await quick.next("STATE_UPDATE"))["version"] == version
            slow.socket.transport.resume_reading()
            seen = versions(await slow.rest())
            assert seen == list(range(3, 3 + len(seen)))
            assert len(seen) < 200
            assert await slow.closed() == 1013


async def test_a_topic_behind_delivers_what_arrives_meanwhile_after_what_was_missed(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    log = live.sessions.log
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any) -> list[bytes] | None:
        asked.set()
        reply = await log(*arguments)
        await may_answer.wait()
        return reply

    live.sessions.log = slowly  # type: ignore[method-assign, assignment]
    losing(live, lambda _: False)
    topic = live.relay._topics[session_id]
    topic.version -= 1  # as if one had been missed
    changes = [await live.sessions.switch(session_id)]
    await asked.wait()
    changes += [await live.sessions.switch(session_id) for _ in range(3)]
    may_answer.set()
    await listener.reaches(6)
    assert versions(listener.messages)[-4:] == [3, 4, 5, 6]


async def test_an_error_while_catching_up_is_tried_again(live: Parts) -> None:
    session_id = await game(live.sessions)
    listener = await attached(live, session_id)
    log, failures = live.sessions.log, iter(range(2))

    async def failing(*arguments: Any) -> list[bytes] | None:
        if next(failures, None) is not None:
            raise RuntimeError("on purpose")
        return await log(*arguments)

    live.sessions.log = failing  # type: ignore[method-assign, assignment]
    live.relay._restored([SessionKeys.of(session_id).session])
    change = await live.sessions.switch(session_id)
    await listener.reaches(3)
    assert listener.events == [change.raw]


async def test_a_handler_that_fails_leaves_the_others_alone(live: Parts) -> None:
    heard: list[bytes] = []

    def broken(_: bytes) -> None:
        raise RuntimeError("on purpose")

    await live.subscriptions.subscribe("sk:{aa}:x", broken)
    await live.subscriptions.subscribe("sk:{aa}:x", heard.append)
    server = await primary(live)
    await server.execute_command("SPUBLISH", "sk:{aa}:x", "hello")
    await eventually(partial(bool, heard))
    assert heard == [b"hello"]
