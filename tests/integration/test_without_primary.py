"""Without a primary: states come from a replica and say so, changes are refused, and `/ready` answers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from synckairos.api import readiness
from synckairos.api.readiness import _Probe
from synckairos.api.schemas import Check
from synckairos.config import Settings
from synckairos.core.keys import SessionKeys
from tests.support import servers
from tests.support.live import Service, Watcher, accepted, eventually, game, service, settings
from tests.support.servers import Server

NAME = "clocks"
PATIENCE_S = 30.0


@contextmanager
def without_a_successor() -> Iterator[tuple[Server, Server, Settings]]:
    """A primary and its replica. Their Sentinel cannot name another primary: it would need a second one."""
    with (
        servers.start("valkey", appendonly="yes") as primary,
        servers.start_replica(primary) as replica,
        servers.start_sentinel(primary, NAME) as sentinel,
        sentinel.sync_client() as client,
    ):
        client.execute_command("SENTINEL", "SET", NAME, "quorum", "2")
        hosts = f"127.0.0.1:{sentinel.port}"
        yield (
            primary,
            replica,
            settings(
                primary.url, REDIS_SENTINEL_HOSTS=hosts, REDIS_SENTINEL_NAME=NAME, RATE_LIMIT_ENABLED="true"
            ),
        )


def client_of(running: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", timeout=PATIENCE_S)


async def _is_down(running: Service, session_id: str) -> None:
    """Wait until the service knows that the session has no primary, and that there is a replica."""
    connection, key = running.context.connection, SessionKeys.of(session_id).session
    await eventually(lambda: connection.is_down(key) and connection.replicas(key), PATIENCE_S)


async def _shows_a_stale_state(running: Service, api: httpx.AsyncClient, session_id: str) -> None:
    at = f"/v1/sessions/{session_id}"
    read = await api.get(at)
    assert read.status_code == 200, read.text
    body = read.json()
    assert (body["data"]["session_id"], body["data"]["version"]) == (session_id, 2)
    assert body["stale"]["age_ms"] >= 0
    assert int(read.headers["age"]) * 1000 == body["stale"]["age_ms"]
    assert "etag" not in read.headers
    assert read.headers["cache-control"] == "no-store"
    changed = await api.post(at + "/switch")
    assert (changed.status_code, changed.json()["error"]["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert int(changed.headers["retry-after"]) >= 1
    ready = await api.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["redis"]["status"]) == (200, "degraded")
    # A replica may not have a session that the primary has.
    unknown = str(uuid.uuid4())[:-2] + session_id[-2:]
    assert (await api.get(f"/v1/sessions/{unknown}")).status_code == 503


@pytest.mark.parametrize("end", ["hangs", "dies"])
async def test_with_sentinels(end: str) -> None:
    with without_a_successor() as (primary, _, chosen):
        async with service(chosen) as running, client_of(running) as api:
            session_id = await game(running.sessions)
            assert "stale" not in (await api.get(f"/v1/sessions/{session_id}")).json()
            async with running.follow(session_id) as before:
                await asyncio.to_thread(primary.pause if end == "hangs" else primary.kill)
                await _is_down(running, session_id)
                await _shows_a_stale_state(running, api, session_id)
                async with running.watch(session_id) as watcher:
                    await watcher.next("CONNECTED")
                    stale = await watcher.next("STATE_SYNC")
                    assert stale["stale"]["age_ms"] >= 0
                    assert stale["payload"]["full_state"]["version"] == 2
                    assert (await watcher.ask(type="SWITCH", request_id="1"))["type"] == "ERROR"
                    await asyncio.to_thread(primary.resume if end == "hangs" else primary.start)
                    real = await watcher.next("STATE_SYNC")
                    assert "stale" not in real
                    await accepted(lambda same: running.sessions.switch(session_id, options=same))
                    for each in (watcher, before):
                        await _up_to_version(each, 3)
            assert "stale" not in (await api.get(f"/v1/sessions/{session_id}")).json()


async def _up_to_version(watcher: Watcher, version: int) -> None:
    while (await watcher.next()).get("version") != version:
        pass


async def test_in_a_cluster() -> None:
    """Its nodes have to allow reads while slots are not served, and its replicas may not take over here."""
    with servers.start_cluster(
        "valkey", replicas=True, cluster_allow_reads_when_down="yes", cluster_replica_no_failover="yes"
    ) as cluster:
        chosen = settings(cluster.primaries[0].url, REDIS_CLUSTER_NODES=cluster.nodes)
        async with service(chosen) as running, client_of(running) as api:
            made = [await game(running.sessions) for _ in range(12)]
            connection = running.context.connection
            client = await connection.primary_for(SessionKeys.of(made[0]).session)
            port = client.connection_pool.connection_kwargs["port"]
            lost = next(server for server in cluster.primaries if server.port == port)
            await asyncio.to_thread(lost.kill)
            await _is_down(running, made[0])
            await _shows_a_stale_state(running, api, made[0])


async def test_without_replicas_the_answer_is_an_error(own_redis: Server) -> None:
    """Also while the server hangs, `/ready` and all else are answered; and all is well when it goes on."""
    async with service(settings(own_redis.url)) as running, client_of(running) as api:
        session_id = await game(running.sessions)
        own_redis.pause()
        for _ in range(2):
            read, ready = await asyncio.gather(api.get(f"/v1/sessions/{session_id}"), api.get("/ready"))
            assert (read.status_code, read.json()["error"]["code"]) == (503, "STORAGE_UNAVAILABLE")
            assert int(read.headers["retry-after"]) >= 1
        assert (ready.status_code, ready.json()["checks"]["redis"]["status"]) == (503, "unready")
        own_redis.resume()
        async with asyncio.timeout(PATIENCE_S):
            while (await api.get("/ready")).status_code != 200:
                await asyncio.sleep(0.05)
        assert (await api.get(f"/v1/sessions/{session_id}")).status_code == 200


async def test_a_check_that_hangs_holds_up_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is then that of the last check, as long as that is not too old."""
    monkeypatch.setattr(readiness, "ANSWER_S", 0.01)
    goes_on = asyncio.Event()
    outcomes = iter([Check("ok", "first"), Check("ok", "second"), Check("unready", "third")])

    async def check() -> Check:
        await goes_on.wait()
        return next(outcomes)

    probe = _Probe(check, Check("unready", "late"))
    assert (await probe.outcome()).message == "late"
    goes_on.set()
    assert (await probe.outcome()).message == "first"
    goes_on.clear()
    assert (await probe.outcome()).message == "first"
    monkeypatch.setattr(readiness, "TRUSTED_S", 0.0)
    assert (await probe.outcome()).message == "late"
    goes_on.set()
    assert (await probe.outcome()).message == "second"
    assert (await probe.outcome()).status == "unready"
    await probe.stop()
