"""What Redis has lost comes back from PostgreSQL when it is asked for, once, and what was over stays over."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from synckairos.audit.recovery import Recovery
from synckairos.audit.rows import Batch
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys
from synckairos.core.model import Options
from synckairos.errors import (
    InternalError,
    InvalidSessionState,
    SessionExists,
    SessionNotFound,
    StorageUnavailable,
)
from tests.support.audit_service import Audited, Machines, audited
from tests.support.live import eventually, game, versions
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.one_kind

Json = dict[str, Any]


async def played(running: Audited, switches: int = 3, **config: Any) -> Json:
    """A game in play, all of it stored. Returns its state."""
    session = await running.play(switches, **config)
    await running.archived()
    return await running.state(session["session_id"])


def at(session_id: str, path: str = "") -> str:
    return f"/v1/sessions/{session_id}{path}"


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def logged(running: Audited, session_id: str) -> list[Json]:
    """The events in the session's log."""
    with running.redis() as client:
        entries = client.xrange(SessionKeys.of(session_id).log)
    return [json.loads(fields[b"e"]) for _, fields in entries]


# Coming back


async def test_a_lost_session_goes_on_as_it_was(running: Audited) -> None:
    before = await played(running)
    running.lose_all()
    response = await running.api.get(at(before["session_id"]))
    after = response.json()["data"]
    assert (after["version"], after["recovered"]) == (before["version"] + 1, True)
    assert int(after["epoch"]) > int(before["epoch"])
    assert after["recovered_at"] is not None
    assert after["warning"] is not None
    kept = ("status", "active_participant_id", "cycle_count", "time_used_ms", "created_at", "metadata")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    # What was left when it was stored is left now: the time in between is charged to nobody.
    left = {each["participant_id"]: each["total_time_ms"] for each in before["participants"]}
    assert {each["participant_id"]: each["total_time_ms"] for each in after["participants"]} == left
    assert [event["payload"]["event"] for event in logged(running, before["session_id"])] == [
        "session.recovered"
    ]
    switched = (await running.api.post(at(before["session_id"], "/switch"))).json()["data"]
    assert switched["version"] == after["version"] + 1


async def test_a_restored_session_has_the_newest_metadata(running: Audited) -> None:
    before = await played(running, metadata={"title": "Final", "names": {"a": "Anna"}})
    session_id = before["session_id"]
    await running.sessions.patch_metadata(
        session_id, b'{"names":{"a":null,"b":"Ben"},"tags":[],"odd":[null,1.0]}'
    )
    await running.archived()
    running.lose_all()
    text = (await running.api.get(at(session_id))).text
    assert '"metadata":{"title":"Final","names":{"b":"Ben"},"tags":[],"odd":[null,1.0]}' in text
    await running.sessions.patch_metadata(session_id, b'{"title":"Lost"}')
    assert (await running.state(session_id))["metadata"]["title"] == "Lost"


async def test_odd_metadata_is_stored_and_comes_back(running: Audited) -> None:
    """What some programs cannot read or keep: NUL, numbers beyond all bounds, an event's own names."""
    before = await played(running)
    session_id = before["session_id"]
    odd = '{"nul":"\\u0000","large":1e999,"digits":0.1234567890123456789,"event":"session.deleted","v":1}'
    change = await running.sessions.patch_metadata(session_id, odd.encode())
    assert change is not None
    await running.archived()
    [stored] = await running.store.newest_events(session_id, 1)
    assert (stored.version, stored.body) == (change.version, change.raw)
    running.lose_all()
    text = (await running.api.get(at(session_id))).text
    assert f'"metadata":{odd},' in text
    assert (await running.sessions.switch(session_id)).version == change.version + 2


Call = Callable[[Sessions, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "get": lambda sessions, session: sessions.get(session),
    "log": lambda sessions, session: sessions.log(session, 0),
    "switch": lambda sessions, session: sessions.switch(session),
    "metadata": lambda sessions, session: sessions.patch_metadata(session, b'{"title":"A"}'),
    "pause": lambda sessions, session: sessions.pause(session),
    "complete": lambda sessions, session: sessions.complete(session),
    "cancel": lambda sessions, session: sessions.cancel(session),
    "join": lambda sessions, session: sessions.join(
        session, b'{"participant_id":"%b","total_time_ms":60000}' % str(uuid.uuid4()).encode()
    ),
    "delete": lambda sessions, session: sessions.delete(session),
}


@pytest.mark.parametrize("call", CALLS)
async def test_whatever_is_asked_first(running: Audited, call: str) -> None:
    before = await played(running)
    running.lose_all()
    await CALLS[call](running.sessions, before["session_id"])
    await running.archived()
    newest = (await running.store.newest_events(before["session_id"], 2))[-1 if call != "get" else 0]
    if call in ("get", "log"):
        [newest] = await running.store.newest_events(before["session_id"], 1)
    assert (newest.event, newest.version) == ("session.recovered", before["version"] + 1)


@pytest.mark.parametrize("status", ["pending", "paused"])
async def test_pending_and_paused_ones_too(running: Audited, status: str) -> None:
    session_id = await game(running.sessions, start=status != "pending")
    if status == "paused":
        await running.sessions.pause(session_id)
    await running.archived()
    running.lose_all()
    after = await running.state(session_id)
    assert (after["status"], after["recovered"]) == (status, True)
    await running.sessions._transition(  # what comes next works
        "sk_start" if status == "pending" else "sk_resume", session_id, Options()
    )


async def test_fifty_at_once_restore_it_once(running: Audited) -> None:
    """Half of them in one process and half in another, as far as they know."""
    before = await played(running)
    session_id = before["session_id"]
    connection = running.service.context.connection
    elsewhere = Sessions(connection, 3600, Recovery(connection, running.store, "here"))
    running.lose_all()
    calls = [sessions.get(session_id) for sessions in (running.sessions, elsewhere) for _ in range(25)]
    found = await asyncio.gather(*calls)
    assert {(each.version, each.epoch) for each in found} == {(before["version"] + 1, found[0].epoch)}
    assert [event["payload"]["event"] for event in logged(running, session_id)] == ["session.recovered"]


async def test_the_store_is_asked_once_for_all_of_a_process(
    running: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await played(running)
    running.lose_all()
    asked = []
    store = running.service.context.store
    assert store is not None
    session = store.session

    async def count(session_id: str) -> Any:
        asked.append(session_id)
        return await session(session_id)

    monkeypatch.setattr(type(store), "session", lambda _, session_id: count(session_id))
    await asyncio.gather(*(running.api.get(at(before["session_id"])) for _ in range(50)))
    assert asked == [before["session_id"]]


async def test_one_who_gives_up_does_not_stop_the_others(running: Audited) -> None:
    before = await played(running)
    running.lose_all()
    first, second = (asyncio.create_task(running.recovery.find(before["session_id"])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is None
    assert running.has(before["session_id"])


async def test_all_sessions_come_back_from_an_empty_redis(running: Audited) -> None:
    games = [await game(running.sessions, participants=2 + number % 4) for number in range(20)]
    for number, session_id in enumerate(games):
        for _ in range(number % 5):
            await running.sessions.switch(session_id)
    await running.archived()
    before = [await running.sessions.get(session_id) for session_id in games]
    running.lose_all()
    after = await asyncio.gather(*(running.sessions.get(session_id) for session_id in games))
    assert [each.version for each in after] == [each.version + 1 for each in before]
    assert all(json.loads(each.raw)["recovered"] for each in after)


async def test_lost_again_before_that_was_stored(running: Audited) -> None:
    """The second time as the first: epochs and versions go on, and nobody meets one twice."""
    before = await played(running)
    running.lose_all()
    once = await running.sessions.get(before["session_id"])
    running.lose_all()
    twice = await running.sessions.get(before["session_id"])
    assert int(before["epoch"]) < int(once.epoch) < int(twice.epoch)


# A snapshot that is older than what happened


async def test_versions_never_go_back_behind_what_is_stored(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    for _ in range(4):
        await running.sessions.switch(session_id)
    await running.archived(snapshots=False)
    stored = await running.store.session(session_id)
    assert stored is not None
    assert (stored.version, stored.snapshot_version) == (before["version"] + 4, before["version"])
    running.lose_all()
    after = await running.sessions.get(session_id)
    assert after.version == before["version"] + 5
    await running.archived()
    history = await running.store.events(session_id)
    assert [event.version for event in history] == list(range(1, after.version + 1))
    assert history[-1].event == "session.recovered"


async def test_nor_behind_what_the_log_has(running: Audited) -> None:
    """The key was evicted, its log was not, and the last changes are not stored yet."""
    before = await played(running)
    session_id = before["session_id"]
    for _ in range(4):
        await running.sessions.switch(session_id)
    running.lose(session_id, log=False)
    after = await running.sessions.get(session_id)
    assert after.version == before["version"] + 5


async def test_what_somebody_wrote_into_the_log_is_no_obstacle(running: Audited) -> None:
    before = await played(running)
    running.lose(before["session_id"])
    with running.redis() as client:
        client.xadd(SessionKeys.of(before["session_id"]).log, {"e": "[]"})
    assert (await running.sessions.get(before["session_id"])).version == before["version"] + 1


async def test_an_end_whose_snapshot_was_never_caught(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    await running.sessions.switch(session_id)
    await running.sessions.complete(session_id)
    ended = await running.state(session_id)
    await running.archived(snapshots=False)
    running.lose_all()
    assert await running.state(session_id) | {"server_time_ms": 0} == ended | {"server_time_ms": 0}
    assert not running.has(session_id)


# What was over


@pytest.mark.parametrize("how", ["complete", "cancel"])
async def test_a_finished_one_is_answered_without_a_write(running: Audited, how: str) -> None:
    before = await played(running)
    session_id = before["session_id"]
    await getattr(running.sessions, how)(session_id)
    await running.archived()
    ended = await running.api.get(at(session_id))
    running.lose_all()
    after = await running.api.get(at(session_id))
    shown, then = after.json()["data"], ended.json()["data"]
    assert shown | {"server_time_ms": 0} == then | {"server_time_ms": 0}
    assert after.headers["etag"] == ended.headers["etag"]
    assert not running.has(session_id)
    refused = await running.api.post(at(session_id, "/switch"))
    assert code(refused) == (400, "INVALID_SESSION_STATE")
    assert refused.json()["error"]["context"] == {"status": then["status"]}
    assert not running.has(session_id)


async def test_one_that_ran_out_says_whose_time_it_was(running: Audited) -> None:
    session_id = await game(running.sessions, seconds=1)
    active = (await running.state(session_id))["active_participant_id"]
    async with asyncio.timeout(10):
        while (await running.sessions.get(session_id)).status != "expired":
            await asyncio.sleep(0.05)
    await running.archived()
    running.lose_all()
    with pytest.raises(InvalidSessionState) as caught:
        await running.sessions.switch(session_id)
    assert caught.value.context == {"status": "expired", "expired_participant_id": active}


async def test_a_deleted_one_stays_deleted(running: Audited) -> None:
    before = await played(running)
    await running.sessions.delete(before["session_id"])
    await running.archived()
    running.lose_all()
    assert code(await running.api.get(at(before["session_id"]))) == (404, "SESSION_NOT_FOUND")
    assert not running.has(before["session_id"])


async def test_a_tombstone_is_believed_before_the_store(running: Audited) -> None:
    before = await played(running)
    await running.sessions.delete(before["session_id"])
    with pytest.raises(SessionNotFound):
        await running.sessions.get(before["session_id"])


@pytest.mark.parametrize("status", ["running", "completed"])
async def test_deleting_a_lost_one_is_for_good(running: Audited, status: str) -> None:
    before = await played(running)
    session_id = before["session_id"]
    if status == "completed":
        await running.sessions.complete(session_id)
        await running.archived()
    running.lose_all()
    assert (await running.api.delete(at(session_id))).status_code == 204
    await running.archived()
    running.lose_all()
    assert code(await running.api.get(at(session_id))) == (404, "SESSION_NOT_FOUND")
    assert (await running.api.delete(at(session_id))).status_code == 204


async def test_a_lost_one_is_not_replaced(running: Audited) -> None:
    before = await played(running)
    config = {"sync_mode": "count_up", "participants": [{"participant_id": str(uuid.uuid4())}]}
    running.lose_all()
    response = await running.api.post("/v1/sessions", json={**config, "session_id": before["session_id"]})
    assert code(response) == (409, "SESSION_EXISTS")
    assert (await running.state(before["session_id"]))["recovered"]
    assert (await running.api.post("/v1/sessions", json=config)).status_code == 201


async def test_a_creation_is_not_repeated_over_a_lost_one(running: Audited) -> None:
    config = {"sync_mode": "count_up", "participants": [{"participant_id": str(uuid.uuid4())}]}
    headers = {"idempotency-key": "once"}
    first = await running.api.post("/v1/sessions", json=config, headers=headers)
    await running.archived()
    running.lose_all()
    second = await running.api.post("/v1/sessions", json=config, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
    shown = second.json()["data"]
    assert (shown["session_id"], shown["recovered"]) == (first.json()["data"]["session_id"], True)


# Whose it is, and what cannot be


async def test_another_tenants_session_does_not_exist(running: Audited) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    config = b'{"sync_mode":"count_up","participants":[{"participant_id":"%b"}]}' % ids[0].encode()
    for session_id in ids:
        await running.sessions.create(session_id, config, Options(tenant="acme"))
    await running.sessions.cancel(ids[1])
    await running.archived()
    running.lose_all()
    for session_id in ids:
        with pytest.raises(SessionNotFound):
            await running.sessions.get(session_id, "umbrella")
        with pytest.raises(SessionNotFound):
            await running.sessions.start(session_id, Options(tenant="umbrella"))
        assert not await running.sessions.delete(session_id, Options(tenant="umbrella"))
        assert (await running.sessions.get(session_id, "acme")).session_id == session_id


async def test_what_nobody_knows_is_not_found(running: Audited) -> None:
    for path in ("", "/events", "/timeline.svg"):
        assert code(await running.api.get(at(str(uuid.uuid4()), path))) == (404, "SESSION_NOT_FOUND")


async def test_a_session_without_a_snapshot_is_not_found(running: Audited) -> None:
    session_id = await game(running.sessions)
    await running.archived(snapshots=False)
    running.lose_all()
    with pytest.raises(SessionNotFound):
        await running.sessions.get(session_id)


async def test_a_damaged_snapshot_is_a_failure_of_the_service(running: Audited) -> None:
    before = await played(running)
    damaged = {**before, "version": before["version"] + 1, "internal": {"exported_ms": 1, "fields": {}}}
    await running.store.insert_batch(Batch([], [json.dumps(damaged).encode()]))
    running.lose_all()
    with pytest.raises(InternalError):
        await running.sessions.get(before["session_id"])
    assert not running.has(before["session_id"])


async def test_without_postgresql_nothing_is_said_not_to_be(
    there: Machines, own_postgres: PostgresServer
) -> None:
    """While it is away a lost session may be there: 503, and not 404. What Redis has goes on all the time.

    The first requests find out that it is away. Once the breaker is open, the others are told so.
    """
    database = await asyncio.to_thread(own_postgres.database)
    async with audited(there.server, there.rq, database) as running:
        store = running.service.context.store
        assert store is not None
        lost, kept = await played(running), await played(running)
        running.lose(lost["session_id"])
        await asyncio.to_thread(own_postgres.kill)
        codes = []
        for _ in range(3):
            for session_id in (lost["session_id"], str(uuid.uuid4())):
                for method, path in (
                    *(("GET", path) for path in ("", "/events", "/timeline.svg")),
                    *(("POST", "/switch"), ("DELETE", "")),
                ):
                    wanted = "STORAGE_UNAVAILABLE" if store.breaker.closed else "CIRCUIT_OPEN"
                    response = await running.api.request(method, at(session_id, path))
                    assert code(response) == (503, wanted)
                    context = {"dependency": "postgresql"} if wanted == "CIRCUIT_OPEN" else {}
                    assert response.json()["error"]["context"] == context
                    assert int(response.headers["retry-after"]) >= 1
                    codes.append(wanted)
        assert (codes[0], codes[-1]) == ("STORAGE_UNAVAILABLE", "CIRCUIT_OPEN")
        assert (await running.api.post(at(kept["session_id"], "/switch"))).status_code == 200
        made = await running.api.post(
            "/v1/sessions",
            json={
                "session_id": str(uuid.uuid4()),
                "sync_mode": "count_up",
                "participants": [{"participant_id": str(uuid.uuid4())}],
            },
        )
        assert made.status_code == 201
        wrong = await running.api.post(
            at(kept["session_id"], "/participants"),
            json={"participant_id": "x"},
            headers={"if-match": "x"},
        )
        assert {each["field"] for each in wrong.json()["error"]["details"]} == {"participant_id", "If-Match"}
        ready = (await running.api.get("/ready")).json()
        assert (ready["status"], ready["checks"]["audit"]["status"]) == ("degraded", "degraded")
        await asyncio.to_thread(own_postgres.start)
        assert (await running.api.get(at(lost["session_id"]))).json()["data"]["recovered"]
        assert (await running.api.get("/ready")).json()["checks"]["audit"] == {"status": "ok"}


async def test_without_redis_there_is_no_looking_in_the_store(running: Audited) -> None:
    before = await played(running)
    running.server.pause()
    try:
        with pytest.raises(StorageUnavailable):
            await running.sessions.get(before["session_id"])
    finally:
        running.server.resume()


async def test_another_tenant_who_asks_for_a_lost_session_does_not_bring_it_back(running: Audited) -> None:
    session_id = (await played(running))["session_id"]
    running.lose_all()
    sessions, others = running.sessions, Options(tenant="others")
    for asked in (
        sessions.get(session_id, "others"),
        sessions.log(session_id, 1, tenant="others"),
        sessions.switch(session_id, options=others),
        running.service.context.relay.attach(session_id, Mock(), "others"),
    ):
        with pytest.raises(SessionNotFound):
            await asked
    assert not await sessions.delete(session_id, others)
    assert not running.has(session_id)
    assert (await sessions.get(session_id)).tenant_id is None
    assert running.has(session_id)


# Sockets


async def test_sockets_get_the_state_of_the_new_epoch(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    async with running.service.follow(session_id) as one, running.service.follow(session_id) as other:
        running.lose_all()
        for watcher in (one, other):
            message = await watcher.next("STATE_SYNC")
            shown = message["payload"]["full_state"]
            assert shown["recovered"]
            assert message["version"] == before["version"] + 1
            assert message["epoch"] == shown["epoch"] != before["epoch"]
        await running.sessions.switch(session_id)
        for watcher in (one, other):
            assert (await watcher.next("STATE_UPDATE"))["version"] == before["version"] + 2
    assert [event["payload"]["event"] for event in logged(running, session_id)] == [
        "session.recovered",
        "cycle.switched",
    ]


async def test_a_socket_may_be_the_first_to_ask(running: Audited) -> None:
    before = await played(running)
    running.lose_all()
    async with running.service.watch(before["session_id"]) as watcher:
        await watcher.next("CONNECTED")
        shown = await watcher.next("STATE_SYNC")
        assert (shown["version"], shown["payload"]["full_state"]["recovered"]) == (
            before["version"] + 1,
            True,
        )


async def test_a_socket_that_comes_again_after_the_loss(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    running.lose_all()
    async with running.service.follow(session_id) as watcher:
        ack = await watcher.ask(type="RECONNECT", last_known_version=before["version"], epoch=before["epoch"])
        assert ack["replayed"] == "full"
        assert (await watcher.next("STATE_SYNC"))["version"] == before["version"] + 1


async def test_a_socket_never_sees_a_version_older_than_one_it_has_seen(running: Audited) -> None:
    """Nothing but the socket knows of the last changes: neither the store nor a log."""
    before = await played(running)
    session_id = before["session_id"]
    async with running.service.follow(session_id) as watcher:
        for _ in range(3):
            await running.sessions.switch(session_id)
        seen = [await watcher.next("STATE_UPDATE") for _ in range(3)]
        running.lose_all()
        assert (await watcher.next("STATE_SYNC"))["version"] == versions(seen)[-1] + 1


async def test_a_key_that_was_deleted_by_hand(running: Audited) -> None:
    before = await played(running)
    async with running.service.follow(before["session_id"]) as watcher:
        running.lose(before["session_id"])
        assert (await watcher.next("STATE_SYNC"))["version"] == before["version"] + 1


async def test_one_that_the_audit_has_not_is_evicted(running: Audited) -> None:
    session_id = await game(running.sessions)
    async with running.service.follow(session_id) as watcher:
        await running.archived(snapshots=False)
        running.lose(session_id)
        [gone] = await watcher.rest()
        assert (gone["type"], gone["payload"]) == ("SESSION_DELETED", {"reason": "evicted"})
        assert await watcher.closed() == 1000


async def test_one_that_aged_out_is_not_brought_back(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    async with running.service.follow(session_id) as watcher:
        with running.redis() as client:
            client.pexpire(SessionKeys.of(session_id).session, 1)
        [gone] = await watcher.rest()
        assert (gone["type"], gone["payload"]) == ("SESSION_DELETED", {"reason": "ttl_expired"})
    assert not running.has(session_id)


async def test_a_deletion_is_none_that_is_undone(running: Audited) -> None:
    before = await played(running)
    async with running.service.follow(before["session_id"]) as watcher:
        await running.sessions.delete(before["session_id"])
        [gone] = await watcher.rest()
        assert (gone["type"], gone["payload"]["reason"]) == ("SESSION_DELETED", "deleted")


async def test_a_socket_learns_how_it_ended_before_it_is_told_that_it_is_gone(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    async with running.service.follow(session_id) as watcher:
        await running.sessions.complete(session_id)
        await watcher.next("STATE_UPDATE")
        await running.archived()
        running.lose(session_id)
        [gone] = await watcher.rest()
        assert (gone["type"], gone["payload"]) == ("SESSION_DELETED", {"reason": "evicted"})


async def test_a_socket_may_watch_what_was_over_long_ago(running: Audited) -> None:
    before = await played(running)
    session_id = before["session_id"]
    await running.sessions.complete(session_id)
    await running.archived()
    running.lose_all()
    async with running.service.watch(session_id) as watcher:
        await watcher.next("CONNECTED")
        shown = (await watcher.next("STATE_SYNC"))["payload"]["full_state"]
        assert shown["status"] == "completed"
        answer = await watcher.ask(type="SWITCH", request_id="late")
        assert answer["error"]["code"] == "INVALID_SESSION_STATE"
        ack = await watcher.ask(type="RECONNECT", last_known_version=shown["version"], epoch=shown["epoch"])
        assert ack["replayed"] == 0
        await running.service.context.relay._check_one(running.service.context.relay._topics[session_id])
        await running.sessions.delete(session_id)
        [gone] = [message for message in await watcher.rest() if message["type"] == "SESSION_DELETED"]
        assert gone["payload"]["reason"] == "deleted"
    assert not running.service.context.relay._topics


async def test_sockets_wait_for_postgresql(there: Machines, own_postgres: PostgresServer) -> None:
    database = await asyncio.to_thread(own_postgres.database)
    async with audited(there.server, there.rq, database) as running:
        before = await played(running)
        async with running.service.follow(before["session_id"]) as watcher:
            await asyncio.to_thread(own_postgres.kill)
            running.lose_all()
            topic = running.service.context.relay._topics[before["session_id"]]
            await eventually(lambda: topic.behind)
            await asyncio.sleep(1)  # it asks in vain
            assert topic.followers
            await asyncio.to_thread(own_postgres.start)
            assert (await watcher.next("STATE_SYNC"))["version"] == before["version"] + 1


async def test_sk_restore_refuses_what_is_there(running: Audited) -> None:
    before = await played(running)
    stored = await running.store.session(before["session_id"])
    assert stored is not None
    assert stored.snapshot is not None
    with pytest.raises(SessionExists):
        await running.sessions.restore(before["session_id"], stored.snapshot)
    assert not await running.recovery.bring_back(stored)
