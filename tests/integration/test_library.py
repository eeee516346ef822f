"""The loader against real servers: what it finds, what it does, and that nobody is ever downgraded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio
from redis.exceptions import ResponseError

from synckairos.core import library
from synckairos.core.library import Library, LibraryChanged, LibraryStatus
from synckairos.run.processes import free_port
from tests.support.servers import Cluster, Server

OWN = Library.assemble()


def versioned(version: str, code: str = "") -> Library:
    """The library as another release would be."""
    payload = OWN.payload.replace(f'local VERSION = "{OWN.version}"', f'local VERSION = "{version}"') + code
    return Library(version, payload)


OLDER, NEWER = versioned("0.0.9"), versioned("999.0.0")
CHANGED = versioned(OWN.version, "\nlocal other = 1\n")


@pytest.fixture
async def client(server: Server) -> AsyncIterator[redis.asyncio.Redis]:
    async with server.client() as client:
        yield client


async def loaded_version(client: redis.asyncio.Redis) -> str:
    reply = await client.fcall("sk_info", 0)
    return str(reply[0], "ascii")


async def test_missing_is_loaded(client: redis.asyncio.Redis) -> None:
    assert await library.library_status(client, OWN) is LibraryStatus.MISSING
    assert await library.load(client, OWN) == [LibraryStatus.MISSING]
    assert await library.library_status(client, OWN) is LibraryStatus.SAME
    assert await loaded_version(client) == OWN.version


async def test_older_is_replaced(client: redis.asyncio.Redis) -> None:
    await client.function_load(OLDER.payload)
    assert await library.library_status(client, OWN) is LibraryStatus.OLDER
    assert await library.load(client, OWN) == [LibraryStatus.OLDER]
    assert await loaded_version(client) == OWN.version


async def test_same_is_left_alone(client: redis.asyncio.Redis) -> None:
    await library.load(client, OWN)
    before = (await client.info("commandstats"))["cmdstat_function|load"]["calls"]
    assert await library.load(client, OWN) == [LibraryStatus.SAME]
    assert (await client.info("commandstats"))["cmdstat_function|load"]["calls"] == before


async def test_a_difference_in_comments_is_none(client: redis.asyncio.Redis) -> None:
    commented = OWN.payload.replace("\nlocal VERSION", "\n-- another comment\n\nlocal VERSION", 1)
    await client.function_load(commented)
    assert await library.library_status(client, OWN) is LibraryStatus.SAME


async def test_other_code_of_the_same_version_is_refused_unless_forced(client: redis.asyncio.Redis) -> None:
    await client.function_load(CHANGED.payload)
    assert await library.library_status(client, OWN) is LibraryStatus.CHANGED
    with pytest.raises(LibraryChanged, match="functions load --force"):
        await library.load(client, OWN)
    assert await library.library_status(client, CHANGED) is LibraryStatus.SAME
    assert await library.load(client, OWN, force=True) == [LibraryStatus.CHANGED]
    assert await library.library_status(client, OWN) is LibraryStatus.SAME


async def test_newer_stays_even_when_forced(client: redis.asyncio.Redis) -> None:
    await client.function_load(NEWER.payload)
    assert await library.library_status(client, OWN) is LibraryStatus.NEWER
    assert await library.load(client, OWN, force=True) == [LibraryStatus.NEWER]
    assert await loaded_version(client) == NEWER.version


async def test_a_library_without_a_version_is_other_code(client: redis.asyncio.Redis) -> None:
    await client.function_load(
        "#!lua name=synckairos\nredis.register_function('sk_info', function() return 1 end)"
    )
    assert await library.library_status(client, OWN) is LibraryStatus.CHANGED
    with pytest.raises(LibraryChanged):
        await library.load(client, OWN)


async def test_version_numbers_compare_as_numbers(client: redis.asyncio.Redis) -> None:
    await client.function_load(versioned("0.9.0").payload)
    assert await library.library_status(client, versioned("0.10.0")) is LibraryStatus.OLDER


async def test_loading_leaves_no_key_behind(client: redis.asyncio.Redis) -> None:
    await library.load(client, OWN)
    assert await client.dbsize() == 0


async def test_lua_that_does_not_load_is_an_error_and_replaces_nothing(client: redis.asyncio.Redis) -> None:
    with pytest.raises(ResponseError):
        await library.load(client, replace(OWN, payload="#!lua name=synckairos\nthis is no Lua"))
    assert await library.library_status(client, OWN) is LibraryStatus.MISSING


async def test_many_at_once_load_the_newest_whatever_their_order(server: Server) -> None:
    releases = [versioned(f"0.{number}.0") for number in range(12)]
    clients = [server.client() for _ in range(3 * len(releases))]
    try:
        await asyncio.gather(
            *(library.load(client, release) for client, release in zip(clients, releases * 3, strict=True))
        )
        assert await loaded_version(clients[0]) == releases[-1].version
    finally:
        for client in clients:
            await client.aclose()


async def test_a_primary_that_is_away_keeps_it_from_no_other(server: Server) -> None:
    async with (
        redis.asyncio.Redis(port=free_port()) as nobody,
        server.client() as client,
    ):
        with pytest.raises(redis.ConnectionError):
            await library.load([nobody, client], OWN)
        assert await library.library_status(client, OWN) is LibraryStatus.SAME


async def test_every_primary_of_a_cluster_gets_it(cluster: Cluster) -> None:
    clients = [primary.client() for primary in cluster.primaries]
    try:
        await clients[1].function_load(OLDER.payload)
        assert await library.load(clients, OWN) == [
            LibraryStatus.MISSING,
            LibraryStatus.OLDER,
            LibraryStatus.MISSING,
        ]
        assert [await library.library_status(client, OWN) for client in clients] == [LibraryStatus.SAME] * 3
        assert await library.load(clients, OWN) == [LibraryStatus.SAME] * 3
        assert [await client.dbsize() for client in clients] == [0, 0, 0]
    finally:
        for client in clients:
            await client.aclose()
