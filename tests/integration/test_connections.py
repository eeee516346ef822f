"""Function calls while servers restart, fail over, forget and fall silent, and connections break."""

import asyncio
import gc
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import fakeredis
import pytest
import redis.asyncio
from redis.crc import key_slot

from synckairos import supervision
from synckairos.breakers.registry import Breakers
from synckairos.config import load
from synckairos.core import connection as connections
from synckairos.core import keys, links, wire
from synckairos.core.clients import async_client
from synckairos.core.connection import RETRY_FOR_S, Connection, connect
from synckairos.core.keys import SessionKeys
from synckairos.core.library import Library, LibraryChanged
from synckairos.core.links import PrimaryLink
from synckairos.core.routes import Single
from synckairos.errors import (
    ChangesRefused,
    InternalError,
    NotReplicated,
    SessionNotFound,
    StorageUnavailable,
    ValidationError,
)
from synckairos.run.processes import free_port
from tests.support import servers
from tests.support.lines import answering
from tests.support.proxy import Proxy
from tests.support.servers import Cluster, Server

NOBODY = SessionKeys.of("00000000-0000-4000-8000-000000000000")
BOUND_S = RETRY_FOR_S + wire.SILENCE_S + 5.0
"""No call may take longer, whatever happens; seconds for a busy machine."""


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    async with await connect(load({"REDIS_URL": server.url})) as connection:
        yield connection


class Later(Single):
    """A primary that Sentinels have yet to name."""

    is_named = False

    def link(self, key: str | None, /) -> PrimaryLink | None:
        return super().link(key) if self.is_named else None

    async def refresh(self) -> None:
        """Says nothing new."""


async def ask(connection: Connection, number: int, bucket: str | None = None) -> None:
    """A call whose reply tells whose it is: the limit of a bucket is the burst that was asked for.

    The bucket hardly refills, so its key is there for longer than any test takes.
    """
    name = keys.rate_limit(bucket or f"test:{number}")
    reply = await connection.fcall("sk_throttle", [name], [number, 1, 3_600_000, 1, 0])
    assert reply[1] == number


@asynccontextmanager
async def traffic(connection: Connection, callers: int = 20) -> AsyncIterator[list[int]]:
    """Callers that ask all the time while the block runs, and every error of theirs at its end."""
    done: list[int] = []
    stop = asyncio.Event()

    async def caller(first: int) -> None:
        number = first
        while not stop.is_set():
            await ask(connection, number)
            done.append(number)
            number = first + (number + 1 - first) % 50

    tasks = [asyncio.create_task(caller(1 + 50 * position)) for position in range(callers)]
    try:
        yield done
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.02)


async def loads(client: redis.asyncio.Redis) -> int:
    """How many times this server was told to load a library."""
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_function|load", {}).get("calls", 0))


# What calls get


async def test_a_reply_is_what_the_function_said(connection: Connection) -> None:
    version, schema, now = await connection.fcall("sk_info", [])
    assert (version.decode(), schema) == (connection.library.version, 1)
    assert abs(now - time.time() * 1000) < 60_000
    assert (await connection.fcall("sk_info", [], read_only=True))[:2] == [version, schema]


async def test_a_refusal_is_its_error(connection: Connection) -> None:
    with pytest.raises(SessionNotFound):
        await connection.fcall("sk_get", [NOBODY.session])
    with pytest.raises(ValidationError) as refused:
        await connection.fcall("sk_throttle", [keys.rate_limit("x")], [0, "many", 1000, 1, 0])
    assert len(refused.value.details) == 2


async def test_calls_that_go_out_together_each_get_their_own(connection: Connection) -> None:
    calls = [
        ("sk_throttle", [keys.rate_limit(f"b{number}")], [number, 1, 1000, 1, 0]) for number in range(1, 50)
    ]
    replies = await connection.fcall_many([*calls, ("sk_start", NOBODY.all, []), *calls[:1]])
    assert [reply[1] for reply in replies[:49]] == list(range(1, 50))
    assert isinstance(replies[49], SessionNotFound)
    assert replies[50][1] == 1
    assert await connection.fcall_many([]) == []


async def test_a_caller_that_gives_up_leaves_its_reply_to_nobody(connection: Connection) -> None:
    async with traffic(connection):
        for number in range(200):
            task = asyncio.create_task(ask(connection, 5000 + number))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()


async def test_more_calls_than_may_wait_wait_to_be_sent(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_WAITING", 8)
    await asyncio.gather(*(ask(connection, number) for number in range(1, 500)))


async def test_all_calls_share_one_connection(server: Server, connection: Connection) -> None:
    await ask(connection, 1)
    async with server.client() as client:
        before = (await client.info("stats"))["total_connections_received"]
        await asyncio.gather(*(ask(connection, number) for number in range(1, 500)))
        assert (await client.info("stats"))["total_connections_received"] == before


async def test_nothing_is_left_open(server: Server) -> None:
    async with server.client() as client:
        before = len(await client.client_list())
        async with await connect(load({"REDIS_URL": server.url})) as connection:
            await ask(connection, 1)
            assert len(await client.client_list()) > before

        async def alone() -> bool:
            return len(await client.client_list()) == before

        await until(alone)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_link_that_is_closed_does_not_cancel_those_who_wait_for_it() -> None:
    """A primary that leaves its cluster is such a link. Its callers have to look for another one."""

    async def says_nothing(*_: object) -> None:
        await asyncio.sleep(60)

    async with answering(says_nothing) as port:
        link = links.PrimaryLink(redis.asyncio.Redis(port=port))
        callers = [asyncio.create_task(link.calls.connected()) for _ in range(2)]
        await asyncio.sleep(0.1)
        await link.aclose()
        done, _ = await asyncio.wait(callers, timeout=5)
        assert [type(each.exception()) for each in callers if each in done and not each.cancelled()] == [
            redis.ConnectionError,
            redis.ConnectionError,
        ]


async def test_over_a_client_without_a_socket() -> None:
    async with Connection.over(fakeredis.FakeAsyncRedis()) as connection:
        assert connection.topology == "standalone"
        await connection.load()
        await asyncio.gather(*(ask(connection, number) for number in range(1, 20)))
        with pytest.raises(SessionNotFound):
            await connection.fcall("sk_get", [NOBODY.session])


async def test_over_a_client_that_somebody_made(server: Server) -> None:
    async with Connection.over(server.client()) as connection:
        await ask(connection, 1)  # loads the library on the way


async def test_a_server_at_a_unix_socket(tmp_path: Path) -> None:
    socket = tmp_path / "server.sock"
    with servers.start("valkey", unixsocket=str(socket)):
        async with await connect(load({"REDIS_URL": f"unix://{socket}"})) as connection:
            await asyncio.gather(*(ask(connection, number) for number in range(1, 20)))


# The library goes missing


async def test_callers_share_one_reload(server: Server, connection: Connection) -> None:
    async with server.client() as client:
        before = await loads(client)
        await client.function_flush("SYNC")
        await asyncio.gather(*(ask(connection, number) for number in range(1, 200)))
        assert await loads(client) == before + 1


async def test_functions_flushed_under_traffic(server: Server, connection: Connection) -> None:
    async with server.client() as client, traffic(connection) as done:
        for _ in range(20):
            await client.function_flush("SYNC")
            seen = len(done)

            async def more(seen: int = seen) -> bool:
                return len(done) > seen + 20

            await until(more)


async def test_a_library_that_does_not_know_an_option_is_replaced_if_it_is_older(
    server: Server, connection: Connection
) -> None:
    """As after a dump from before an update was restored. A newer one stays, and the log tells of it."""
    own = Library.assemble()
    for version, error in (("0.0.1", SessionNotFound), ("9.0.0", InternalError)):
        there = own.payload.replace(f'VERSION = "{own.version}"', f'VERSION = "{version}"')
        there = there.replace("SCHEMA = true", "SCHEMA = false")
        async with server.client() as client:
            await client.function_load(there, replace=True)
            with pytest.raises(error):
                await connection.fcall("sk_start", NOBODY.all, ["SCHEMA", "2"])


async def test_a_library_that_must_not_be_replaced_stops_the_start(server: Server) -> None:
    own = Library.assemble()
    async with server.client() as client:
        await client.function_load(own.payload + "\nlocal other = 1\n")
        with pytest.raises(LibraryChanged):
            await connect(load({"REDIS_URL": server.url}))


# Servers come and go


@pytest.mark.parametrize("kind", servers.available())
async def test_a_restart_under_traffic_is_not_noticed(kind: servers.Kind) -> None:
    with servers.start(kind) as server:
        async with await connect(load({"REDIS_URL": server.url})) as connection, traffic(connection) as done:
            for stop in (server.stop, server.kill):
                await asyncio.to_thread(stop)
                await asyncio.to_thread(server.start)
                seen = len(done)

                async def more(seen: int = seen) -> bool:
                    return len(done) > seen + 20

                await until(more)


async def test_a_server_that_is_away_is_said_to_be_away_in_time() -> None:
    with servers.start("valkey") as server:
        async with await connect(load({"REDIS_URL": server.url})) as connection:
            server.kill()
            started = time.monotonic()
            results = await asyncio.gather(
                *(ask(connection, number) for number in range(1, 50)), return_exceptions=True
            )
            assert time.monotonic() - started < BOUND_S
            assert all(isinstance(result, StorageUnavailable) for result in results)
            assert all(result.retry_after_ms for result in results if isinstance(result, StorageUnavailable))
            with pytest.raises(StorageUnavailable):
                await connection.load()
            server.start()
            await ask(connection, 1)


async def test_a_start_before_the_server_is_there() -> None:
    with servers.start("valkey") as server:
        server.stop()
        async with await connect(load({"REDIS_URL": server.url})) as connection:
            server.start()
            async with server.client() as client:

                async def loaded() -> bool:
                    return bool(await client.function_list("synckairos"))

                await until(loaded)
            await ask(connection, 1)


@pytest.mark.own_keys(r"key:\d+")
async def test_a_server_that_is_loading_is_waited_for() -> None:
    with servers.start("valkey", loading_process_events_interval_bytes="1024") as server:
        async with await connect(load({"REDIS_URL": server.url})) as connection, server.client() as client:
            await client.execute_command("DEBUG", "POPULATE", 1_000)
            await client.execute_command("CONFIG", "SET", "key-load-delay", 500)  # microseconds a key
            reload = asyncio.create_task(client.execute_command("DEBUG", "RELOAD"))
            while not reload.done():
                await ask(connection, 7)
            await reload
            assert (await client.info("errorstats"))["errorstat_LOADING"]["count"] > 0


@pytest.mark.parametrize("kind", servers.available())
async def test_a_primary_that_became_a_replica_is_left_for_the_new_one(kind: servers.Kind) -> None:
    with servers.start(kind) as old, servers.start_replica(old) as new:
        async with (
            Proxy(old.port) as proxy,
            await connect(load({"REDIS_URL": proxy.url})) as connection,
            new.client() as new_client,
            old.client() as old_client,
            traffic(connection) as done,
        ):
            await new_client.replicaof("NO", "ONE")
            await old_client.replicaof("127.0.0.1", new.port)
            proxy.target = new.port  # as a name in the DNS would, for new connections only
            seen = len(done)

            async def more() -> bool:
                return len(done) > seen + 100

            await until(more)
            assert (await new_client.info("commandstats"))["cmdstat_fcall"]["calls"] > 50


async def test_a_replica_that_is_promoted_in_time_takes_the_call() -> None:
    with servers.start("valkey") as primary, servers.start_replica(primary) as replica:
        async with Connection.to(load({"REDIS_URL": replica.url})) as connection, replica.client() as client:
            async with primary.client() as primary_client:
                await primary_client.function_load(connection.library.payload)

            async def replicated() -> bool:
                return bool(await client.function_list("synckairos"))

            await until(replicated)
            call = asyncio.create_task(ask(connection, 3))
            await asyncio.sleep(0.3)
            assert not call.done()
            await client.replicaof("NO", "ONE")
            await call


# Changes that have to be on a replica


def new_session() -> tuple[SessionKeys, str]:
    """The keys of a session that does not exist yet, and its config."""
    session_id = str(uuid.uuid4())
    players = [{"participant_id": str(uuid.uuid4()), "total_time_ms": 60_000} for _ in range(2)]
    return SessionKeys.of(session_id), json.dumps({"sync_mode": "per_participant", "participants": players})


@pytest.mark.parametrize("kind", servers.available())
async def test_a_change_is_acknowledged_when_a_replica_has_it(
    kind: servers.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "REPLICATED_MS", 10_000)
    with servers.start(kind) as primary, servers.start_replica(primary) as replica:
        settings = load({"REDIS_URL": primary.url, "DURABILITY": "replicated"})
        async with await connect(settings) as connection, replica.client() as client:
            sessions = [new_session() for _ in range(50)]
            for names, config in sessions[:5]:
                await connection.fcall("sk_create", names.all, [config])
                assert await client.exists(names.session)
            await asyncio.gather(
                *(connection.fcall("sk_create", names.all, [text]) for names, text in sessions[5:])
            )
            assert await client.exists(*(names.session for names, _ in sessions)) == 50

            replica.pause()
            monkeypatch.setattr(links, "REPLICATED_MS", 300)
            try:
                names, config = new_session()
                request = ["REQUEST", "once"]
                with pytest.raises(NotReplicated):
                    await connection.fcall("sk_create", names.all, [config, *request])
                with pytest.raises(
                    NotReplicated
                ):  # it is there, and still on no replica: the same call asks again
                    await connection.fcall("sk_create", names.all, [config, *request])
                await connection.fcall("sk_get", [names.session], read_only=True)
                await ask(connection, 1)  # a rate limit does not wait
            finally:
                replica.resume()
            monkeypatch.setattr(links, "REPLICATED_MS", 10_000)
            await connection.fcall("sk_create", names.all, [config, *request])
            assert await client.exists(names.session)
            assert await client.keys("*written*") == []


# Connections break


async def test_a_connection_cut_in_the_middle_of_a_reply(server: Server) -> None:
    async with (
        Proxy(server.port) as proxy,
        await connect(load({"REDIS_URL": proxy.url})) as connection,
        traffic(connection) as done,
    ):
        for cut in (1, 3, 7, 10, 50, 333, 1000):
            proxy.cut_after = cut
            seen = len(done)

            async def more(seen: int = seen) -> bool:
                return proxy.cut_after is None and len(done) > seen + 50

            await until(more)


async def test_connections_cut_again_and_again(server: Server) -> None:
    async with (
        Proxy(server.port) as proxy,
        await connect(load({"REDIS_URL": proxy.url})) as connection,
        traffic(connection) as done,
    ):
        for _ in range(30):
            proxy.cut_all()
            await asyncio.sleep(0.02)
        seen = len(done)

        async def more() -> bool:
            return len(done) > seen + 50

        await until(more)


async def test_a_server_that_falls_silent_holds_no_call_beyond_the_bound(server: Server) -> None:
    async with Proxy(server.port) as proxy, await connect(load({"REDIS_URL": proxy.url})) as connection:
        await ask(connection, 1)
        proxy.silent = True
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await ask(connection, 2)
        assert time.monotonic() - started < BOUND_S
        proxy.silent = False
        await ask(connection, 3)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_process_that_stood_still_does_not_take_the_storage_for_away(
    server: Server, connected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FAIR_S", BOUND_S)  # enough for a busy machine
    async with Proxy(server.port) as proxy, Connection.to(load({"REDIS_URL": proxy.url})) as connection:
        if connected:
            await ask(connection, 1)
        calls = [asyncio.create_task(ask(connection, number)) for number in range(2, 22)]
        await asyncio.sleep(0)  # they are on their way
        time.sleep(RETRY_FOR_S + 0.5)  # noqa: ASYNC251 - the whole process stands still, the proxy too
        proxy.cut_all()  # no call is answered without another attempt
        await asyncio.gather(*calls)


async def test_one_silent_connection_is_replaced_within_the_bound(server: Server) -> None:
    async with Proxy(server.port) as proxy, await connect(load({"REDIS_URL": proxy.url})) as connection:
        await ask(connection, 1)
        proxy.silent = True
        call = asyncio.create_task(ask(connection, 2))
        await asyncio.sleep(0.2)
        proxy.silent = False  # what was sent before is lost; nothing on that connection says so
        await call


async def test_a_server_that_does_not_speak_redis() -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        answering(nonsense) as port,
        Connection.to(load({"REDIS_URL": f"redis://127.0.0.1:{port}"})) as connection,
    ):
        with pytest.raises(StorageUnavailable):
            await ask(connection, 1)


# Sentinel


@pytest.mark.parametrize("kind", servers.available())
async def test_sentinel_names_the_primary_before_and_after_a_failover(kind: servers.Kind) -> None:
    with (
        servers.start(kind) as old,
        servers.start_replica(old) as new,
        servers.start_sentinel(old, "main") as sentinel,
    ):
        settings = load({"REDIS_SENTINEL_HOSTS": f"127.0.0.1:{sentinel.port}", "REDIS_SENTINEL_NAME": "main"})
        async with await connect(settings) as connection, sentinel.client() as watcher:
            assert connection.topology == "sentinel"
            await ask(connection, 1)

            async def failed_over() -> bool:
                """Asks until it is done: Sentinel may know too little of the replica yet, or give up."""
                _, port = await watcher.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "main")
                if int(port) == new.port:
                    return True
                with suppress(redis.ResponseError):
                    await watcher.execute_command("SENTINEL FAILOVER", "main")
                return False

            await until(failed_over, 30)

            async with new.client() as new_client:

                async def calls() -> int:
                    stats = await new_client.info("commandstats")
                    return int(stats.get("cmdstat_fcall", {}).get("calls", 0))

                async def moved() -> bool:
                    """Whether calls and clients go to the new primary. The old one goes on for a moment."""
                    try:
                        before = await calls()
                        await ask(connection, 2)
                        (client,) = await connection.primaries()
                        port = (await client.info("server"))["tcp_port"]
                        return await calls() > before and int(port) == new.port
                    except (StorageUnavailable, redis.RedisError):
                        return False

                await until(moved, 20)
                before = await calls()
                await ask(connection, 3)
                assert await calls() == before + 1


# Cluster


@pytest.fixture
async def clustered(cluster: Cluster) -> AsyncIterator[Connection]:
    async with await connect(load({"REDIS_CLUSTER_NODES": cluster.nodes})) as connection:
        yield connection


async def test_calls_go_to_the_primary_of_their_slot(cluster: Cluster, clustered: Connection) -> None:
    async def moved() -> int:
        """How often a call came to the wrong primary."""
        stats = [await client.info("errorstats") for client in await clustered.primaries()]
        return sum(int(stat.get("errorstat_MOVED", {}).get("count", 0)) for stat in stats)

    before = await moved()
    await asyncio.gather(*(ask(clustered, number) for number in range(1, 300)))
    assert await moved() == before
    for primary in cluster.primaries:
        async with primary.client() as client:
            assert await client.dbsize() > 50
    replies = await clustered.fcall_many(
        [
            ("sk_throttle", [keys.rate_limit(f"m{number}")], [number, 1, 1000, 1, 0])
            for number in range(1, 100)
        ]
    )
    assert [reply[1] for reply in replies] == list(range(1, 100))
    assert (await clustered.fcall("sk_info", []))[0].decode() == clustered.library.version


async def test_the_primary_of_a_key(cluster: Cluster, clustered: Connection) -> None:
    assert len(await clustered.primaries()) == 3
    for key in ("sk:{00}:alarms", "sk:{7f}:alarms", "sk:{ff}:alarms"):
        client = await clustered.primary_for(key)
        assert await client.exists(key) == 0  # another one would answer MOVED


async def test_any_node_tells_of_the_others(cluster: Cluster) -> None:
    nowhere = free_port()
    nodes = f"127.0.0.1:{nowhere},127.0.0.1:{cluster.primaries[2].port}"
    async with await connect(load({"REDIS_CLUSTER_NODES": nodes})) as connection:
        await asyncio.gather(*(ask(connection, number) for number in range(1, 50)))


async def test_a_slot_that_moves_under_traffic(cluster: Cluster, clustered: Connection) -> None:
    key = keys.rate_limit("moving")
    slot = key_slot(key.encode())
    clients = [primary.client() for primary in cluster.primaries]
    ids = [(await client.execute_command("CLUSTER MYID")).decode() for client in clients]
    home = next(position for position in range(3) if slot < (position + 1) * servers.SLOTS // 3)

    async def move(source: int, target: int) -> None:
        await clients[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
        await clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
        # The key is not there, so the source answers ASK, and the bucket is made at the target.
        await ask(clustered, 9, "moving")
        assert await clients[source].cluster("COUNTKEYSINSLOT", slot) == 0
        assert await clients[target].cluster("COUNTKEYSINSLOT", slot) == 1
        for position in (target, source, 3 - source - target):
            await clients[position].execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
        # From now on the source answers MOVED.
        await ask(clustered, 9, "moving")
        await ask(clustered, 9, "moving")
        await clients[target].delete(key)

    try:
        async with traffic(clustered):
            await move(home, (home + 1) % 3)
            await move((home + 1) % 3, home)
    finally:
        for client in clients:
            await client.aclose()


async def test_functions_flushed_on_one_primary_under_traffic(
    cluster: Cluster, clustered: Connection
) -> None:
    async with cluster.primaries[1].client() as client, traffic(clustered) as done:
        for _ in range(10):
            await client.function_flush("SYNC")
            seen = len(done)

            async def more(seen: int = seen) -> bool:
                return len(done) > seen + 60

            await until(more)


async def test_a_cluster_goes_on_with_a_replica_for_a_primary_that_died() -> None:
    with servers.start_cluster("valkey", replicas=True) as cluster:
        async with await connect(load({"REDIS_CLUSTER_NODES": cluster.nodes})) as connection:
            buckets = [f"b{number}" for number in range(30)]
            for bucket in buckets:
                await ask(connection, 4, bucket)
            cluster.primaries[0].kill()

            async def all_slots_answer() -> bool:
                results = await asyncio.gather(
                    *(ask(connection, 4, bucket) for bucket in buckets), return_exceptions=True
                )
                assert all(result is None or isinstance(result, StorageUnavailable) for result in results)
                return all(result is None for result in results)

            await until(all_slots_answer, 20)
            assert len(await connection.primaries()) == 3


async def test_the_error_of_an_attempt_to_connect_that_every_caller_gave_up_is_not_reported() -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told["message"]))
    closed: asyncio.Queue[None] = asyncio.Queue()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass
        closed.put_nowait(None)

    async with (
        answering(silent) as port,
        Connection.to(load({"REDIS_URL": f"redis://:secret@127.0.0.1:{port}"})) as connection,
    ):
        # The login of the first attempt is never answered. It fails when its caller has gone, and the second
        # call replaces it.
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.fcall("sk_info", []), 0.1)
            await asyncio.wait_for(closed.get(), 5)
            await asyncio.sleep(0.05)
            gc.collect()
    assert reported == []


@pytest.mark.parametrize("kind", servers.available())
async def test_reads_go_on_at_a_primary_that_refuses_changes(kind: servers.Kind) -> None:
    """Their rate limit cannot be counted there, and a change says why it fails."""
    with servers.start(kind) as primary:
        async with await connect(load({"REDIS_URL": primary.url})) as connection, primary.client() as client:
            names, config = new_session()
            await connection.fcall("sk_create", names.all, [config])
            await client.config_set("min-replicas-to-write", 1)
            with pytest.raises(ChangesRefused):
                await ask(connection, 1)
            assert connection.refuses_changes
            await connection.fcall("sk_get", [names.session], read_only=True)
            with pytest.raises(StorageUnavailable):
                await connection.fcall("sk_start", names.all)


async def test_who_waits_for_a_primary_goes_on_as_soon_as_one_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision.Backoff, "pause", lambda _: 10 * BOUND_S)
    settings = load({"REDIS_URL": server.url})
    breakers = Breakers()
    route = Later(PrimaryLink(async_client(settings), breakers=breakers))
    async with Connection(route, Library.assemble(), breakers) as connection:
        waiting = asyncio.create_task(ask(connection, 3))
        for _ in range(100):  # nothing that it does before it waits takes longer
            await asyncio.sleep(0)
        assert not waiting.done()
        route.is_named = True
        for callback in route.on_change:
            callback()
        async with asyncio.timeout(BOUND_S):
            await waiting
