"""One authority says who is the primary: when the Sentinels name another server, everything moves there at
once, although the old one works and answers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from synckairos.audit.jobs import Jobs
from synckairos.audit.rows import Batch, Entry
from synckairos.config import Settings, load
from synckairos.core import connection as connection_module
from synckairos.core import links
from synckairos.core.connection import Connection, connect
from synckairos.core.model import Options
from synckairos.errors import NotReplicated, StorageUnavailable
from synckairos.realtime import relay as relay_module
from tests.support import servers
from tests.support.live import Parts, eventually, game, parts
from tests.support.sentinels import NAME, Sentinel
from tests.support.servers import Server

pytestmark = pytest.mark.parametrize("kind", servers.available())


def behind(sentinels: list[Sentinel], **more: str) -> Settings:
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinels)
    return load({"REDIS_SENTINEL_HOSTS": hosts, "REDIS_SENTINEL_NAME": NAME, **more})


@asynccontextmanager
async def deployment(
    kind: servers.Kind, sentinels: int = 3
) -> AsyncIterator[tuple[Server, Server, list[Sentinel]]]:
    """A primary, a replica, and Sentinels that name the primary."""
    with servers.start(kind) as old, servers.start_replica(old) as new:
        async with AsyncExitStack() as stack:
            yield old, new, [await stack.enter_async_context(Sentinel(old, [new])) for _ in range(sentinels)]


def is_at(connection: Connection, server: Server) -> bool:
    client = connection.known_primary_for("")
    return client is not None and client.connection_pool.connection_kwargs["port"] == server.port


async def promote(new: Server) -> None:
    """Make the replica a primary. The old one hears nothing of that, as if it was cut off."""
    async with new.client() as client:
        await client.replicaof("NO", "ONE")


async def calls(server: Server) -> int:
    async with server.client() as client:
        stats: dict[str, Any] = await client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("fcall", "fcall_ro"))


async def switches(live: Parts, session_id: str, number: int) -> list[str]:
    """The epochs of so many switches."""
    return [(await live.sessions.switch(session_id)).epoch for _ in range(number)]


async def test_a_primary_that_was_cut_off_and_still_works_is_left_at_once(kind: servers.Kind) -> None:
    async with deployment(kind) as (old, new, sentinels), parts(behind(sentinels)) as live:
        await live.relay.start()
        session_id = await game(live.sessions)
        before = await switches(live, session_id, 3)
        await caught_up(old, new)
        await promote(new)
        going = asyncio.create_task(endless(live.connection))
        sentinels[1].name(new, epoch=2)  # the other two have not heard of it yet
        await eventually(lambda: is_at(live.connection, new))
        seen = await calls(old)
        after = await switches(live, session_id, 3)
        assert int(after[0]) > int(before[0])
        assert len({*after}) == 1
        assert await calls(old) == seen
        assert not going.done()
        going.cancel()


async def endless(connection: Connection) -> None:
    """Calls without a pause. Any error ends it."""
    while True:
        await connection.fcall("sk_info", [], read_only=True)


async def caught_up(old: Server, new: Server) -> None:
    async with old.client() as client:
        await client.set("probe", 1)
        await client.delete("probe")
        assert await client.wait(1, 10_000) == 1
    del new


async def test_a_change_that_nobody_announced_is_found_by_asking(kind: servers.Kind) -> None:
    async with deployment(kind) as (old, new, sentinels), await connect(behind(sentinels)) as connection:
        changed = asyncio.Event()
        connection.on_change.add(changed.set)
        await promote(new)
        for each in sentinels:
            each.name(new, epoch=2, announced=False)
        await asyncio.wait_for(changed.wait(), 30)
        seen = await calls(old)
        await connection.fcall("sk_info", [], read_only=True)
        assert await calls(old) == seen


async def test_sockets_follow_and_hear_nothing_more_of_the_old_primary(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHECK_EVERY_S", 3600)
    async with deployment(kind) as (old, new, sentinels), parts(behind(sentinels)) as live:
        await live.relay.start()
        session_id = await game(live.sessions)
        await switches(live, session_id, 2)
        await caught_up(old, new)
        await promote(new)
        restored = asyncio.Event()
        live.subscriptions.on_restored.append(lambda _: restored.set())
        state = await live.sessions.get(session_id)
        got: list[bytes] = []
        listener = Recorder(got)
        await live.relay.attach(session_id, listener)
        live.relay.follow(session_id, listener, state.epoch, state.version)
        for each in sentinels:
            each.name(new, epoch=2)
        await asyncio.wait_for(restored.wait(), 30)
        async with old.client() as client:  # it goes on as if nothing had happened
            keys = [f"sk:{{{session_id[-2:]}}}:{session_id}{end}" for end in ("", ":log")]
            keys += [f"sk:{{{session_id[-2:]}}}:{end}" for end in ("alarms", "outbox")]
            await client.execute_command("FCALL", "sk_switch", 4, *keys)
        change = await live.sessions.switch(session_id)
        await eventually(lambda: got)
        assert len(got) == 1  # one STATE_SYNC for the new epoch, and no phantom
        assert b'"type":"STATE_SYNC"' in got[0]
        assert f'"epoch":"{change.epoch}"'.encode() in got[0]
        assert listener.ended is None


class Recorder:
    """A subscriber that keeps what it got."""

    sees_actors = True

    def __init__(self, got: list[bytes]) -> None:
        self.got = got
        self.ended: tuple[int, str] | None = None

    def send(self, frame: bytes) -> None:
        self.got.append(frame)

    def end(self, code: int, reason: str) -> None:
        self.ended = code, reason


async def test_what_was_lost_is_corrected_by_the_next_change_without_a_new_connection(
    kind: servers.Kind,
) -> None:
    async with deployment(kind) as (old, new, sentinels), parts(behind(sentinels)) as live:
        await live.relay.start()
        session_id = await game(live.sessions)
        await caught_up(old, new)
        await promote(new)  # from here on the old primary's changes are lost
        state = await live.sessions.get(session_id)
        got: list[bytes] = []
        listener = Recorder(got)
        await live.relay.attach(session_id, listener)
        live.relay.follow(session_id, listener, state.epoch, state.version)
        await switches(live, session_id, 3)
        await eventually(lambda: len(got) == 3)
        for each in sentinels:
            each.name(new, epoch=2)
        await eventually(lambda: live.relay._topics[session_id].behind)
        change = await live.sessions.switch(session_id)
        assert change.version == state.version + 1
        await eventually(lambda: len(got) == 4)
        assert b'"type":"STATE_SYNC"' in got[3]
        assert f'"epoch":"{change.epoch}"'.encode() in got[3]
        assert listener.ended is None


async def test_while_no_primary_is_named_calls_are_refused_at_once(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployment(kind) as (old, new, sentinels), await connect(behind(sentinels)) as connection:
        await connection.fcall("sk_info", [], read_only=True)
        old.kill()
        for each in sentinels:
            each.flags = "master,s_down,o_down"
        await eventually(lambda: connection.is_down(""))
        monkeypatch.setattr(connection_module, "RETRY_FOR_S", 3600)
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(connection.fcall("sk_info", [], read_only=True), 60)
        await promote(new)
        for each in sentinels:
            each.name(new, epoch=2)
        await eventually(lambda: not connection.is_down(""))
        await connection.fcall("sk_info", [], read_only=True)


async def test_a_change_that_waits_is_carried_out_by_the_primary_that_is_named_next(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "RETRY_FOR_S", 3600)
    async with deployment(kind) as (old, new, sentinels), parts(behind(sentinels)) as live:
        session_id = await game(live.sessions)
        await caught_up(old, new)
        old.kill()
        waiting = asyncio.create_task(live.sessions.switch(session_id))
        for each in sentinels:
            each.flags = "master,s_down,o_down"
        await eventually(lambda: live.connection.is_down(""))
        with pytest.raises(StorageUnavailable):
            await live.sessions.switch(session_id)  # one that comes now is refused at once
        assert not waiting.done()
        await promote(new)
        for each in sentinels:
            each.name(new, epoch=2)
        assert (await waiting).session_id == session_id


async def test_a_primary_that_most_sentinels_do_not_hear_acknowledges_nothing(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works, and may have been cut off from them: then what it acknowledges gets lost."""
    async with deployment(kind) as (_, _, sentinels), parts(behind(sentinels)) as live:
        session_id = await game(live.sessions)
        before = (await live.sessions.get(session_id)).version
        for each in sentinels[:2]:
            each.unheard_ms = 3000
        await eventually(lambda: live.connection.is_in_doubt(""))
        monkeypatch.setattr(connection_module, "RETRY_FOR_S", 0.2)
        with pytest.raises(StorageUnavailable):
            await live.sessions.switch(session_id)
        assert isinstance((await live.sessions.expire_all([session_id]))[0], StorageUnavailable)
        assert (await live.sessions.get(session_id)).version == before  # reads go on
        monkeypatch.setattr(connection_module, "RETRY_FOR_S", 3600)
        still = asyncio.create_task(live.sessions.switch(session_id))
        for each in sentinels:
            each.unheard_ms = 0
        assert (await still).version > before


async def test_sentinels_that_want_a_login(kind: servers.Kind) -> None:
    with servers.start(kind) as primary:
        async with Sentinel(primary, login=("watcher", "hush")) as sentinel:
            login = {"REDIS_SENTINEL_USER": "watcher", "REDIS_SENTINEL_PASSWORD": "hush"}
            async with await connect(behind([sentinel], **login)) as connection:
                await connection.fcall("sk_info", [], read_only=True)
            async with Connection.to(behind([sentinel])) as connection:
                with pytest.raises(StorageUnavailable):
                    await connection.load()


async def test_all_that_can_be_elected_have_to_confirm(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "REPLICATED_MS", 10_000)
    with (
        servers.start(kind) as primary,
        servers.start_replica(primary) as one,
        servers.start_replica(primary) as two,
    ):
        async with Sentinel(primary, [one, two]) as sentinel:
            strict = behind([sentinel], DURABILITY="replicated")
            less = behind([sentinel], DURABILITY="replicated", REPLICAS="1")
            async with parts(strict) as live, parts(less) as easy:
                session_id = await game(live.sessions)
                two.pause()  # it could still be elected, as far as the Sentinel knows
                try:
                    again = Options(request=str(uuid.uuid4()))
                    monkeypatch.setattr(links, "REPLICATED_MS", 300)
                    for _ in range(2):  # the repeat changes nothing, and is not confirmed either
                        with pytest.raises(NotReplicated):
                            await live.sessions.switch(session_id, options=again)
                    assert live.connection.unconfirmed
                    monkeypatch.setattr(links, "REPLICATED_MS", 10_000)
                    change = await easy.sessions.switch(session_id)
                    sentinel.replicas.pop()  # by now the Sentinel knows that it is gone
                    await eventually(
                        lambda: (
                            live.connection.replicas(f"sk:{{{session_id[-2:]}}}") == [("127.0.0.1", one.port)]
                        )
                    )
                    assert (
                        await live.sessions.switch(session_id, options=again)
                    ).version == change.version - 1
                    assert not live.connection.unconfirmed
                finally:
                    two.resume()


async def test_the_queue_is_on_the_primary_with_the_highest_epoch(kind: servers.Kind) -> None:
    """Not on the one that the first Sentinel finds well, and one of them may be dead."""
    batch = Batch([Entry("0:1-1", "session", b"{}")], [])
    async with deployment(kind) as (old, new, sentinels):
        await promote(new)
        sentinels[2].name(new, epoch=2)
        dead = sentinels[1].port
        await sentinels[1].close()
        queue = Jobs.of(behind(sentinels))
        try:
            job_id = await asyncio.to_thread(queue.put, batch)
            await sentinels[2].close()  # what it said is remembered
            await asyncio.to_thread(queue.renew)
            await asyncio.to_thread(queue.counts)
        finally:
            await asyncio.to_thread(queue.close)
            sentinels[1].port = dead
            for each in sentinels[1:]:
                await each.open()
        assert await keys_of(new) >= {f"rq:job:{job_id}".encode()}
        assert not {key for key in await keys_of(old) if key.startswith(b"rq:")}


async def test_a_connection_of_the_queue_to_an_old_primary_is_not_used_again(kind: servers.Kind) -> None:
    """Also when a call used it while the primary changed."""
    async with deployment(kind) as (_, new, sentinels):
        queue = Jobs.of(behind(sentinels))
        pool = queue.client.connection_pool
        in_use = await asyncio.to_thread(pool.get_connection)
        await promote(new)
        sentinels[0].name(new, epoch=2)
        queue.renew()
        pool.release(in_use)
        try:
            connected = await asyncio.to_thread(pool.get_connection)
            assert connected.port == new.port
            pool.release(connected)
        finally:
            await asyncio.to_thread(queue.close)


async def keys_of(server: Server) -> set[Any]:
    async with server.client() as client:
        return set(await client.keys())
