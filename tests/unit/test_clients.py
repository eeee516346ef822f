"""Clients of redis-py: what the URL says, and what is the same for all of them."""

import asyncio
import itertools
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
import redis
import redis.asyncio
import uvloop

from synckairos.config import Address, load
from synckairos.core import clients

OURS = {"protocol": 2, "socket_timeout": 1.0, "socket_connect_timeout": 1.0}
TLS = "rediss://me:secret@host:7000/3?ssl_ca_certs=/ca.pem"
THEIRS = {"username": "me", "password": "secret", "db": 3, "ssl_ca_certs": "/ca.pem"}
SENTINELS = {"REDIS_SENTINEL_HOSTS": "a:1,b:2", "REDIS_SENTINEL_NAME": "main"}


def options(client: redis.Redis | redis.asyncio.Redis) -> dict[str, Any]:
    found: dict[str, Any] = client.connection_pool.connection_kwargs
    assert found["retry"].get_retries() == 0
    return found


def test_one_server() -> None:
    settings = load({"REDIS_URL": TLS})
    for client in (clients.async_client(settings), clients.sync_client(settings)):
        assert options(client).items() >= {**OURS, **THEIRS, "host": "host", "port": 7000}.items()
        assert "SSLConnection" in client.connection_pool.connection_class.__name__
    other = clients.async_client(settings, ("other", 1), timeout_s=2.0)
    assert options(other).items() >= {**THEIRS, "host": "other", "port": 1, "socket_timeout": 2.0}.items()


def test_the_primary_that_sentinels_name() -> None:
    settings = load({"REDIS_URL": TLS, **SENTINELS})
    client = clients.sync_client(settings)
    assert options(client).items() >= {**OURS, **THEIRS}.items()
    assert not options(client).keys() & {"host", "port"}
    assert "SSLConnection" in client.connection_pool.connection_class.__name__


@pytest.mark.parametrize(
    ("given", "login", "tls"),
    [
        ({}, (None, None), True),
        ({"REDIS_SENTINEL_USER": "watcher", "REDIS_SENTINEL_PASSWORD": "hush"}, ("watcher", "hush"), True),
        ({"REDIS_SENTINEL_TLS": "false"}, (None, None), False),
    ],
)
def test_sentinels_have_a_login_of_their_own(
    given: dict[str, str], login: tuple[str | None, str | None], tls: bool
) -> None:
    settings = load({"REDIS_URL": TLS, **SENTINELS, **given})
    behind: Any = clients.sync_client(settings, timeout_s=1.0).connection_pool
    one = clients.async_client_of_sentinel(settings, ("a", 1), timeout_s=0.5)
    for each in (*behind.sentinel_manager.sentinels, one):
        found = options(each)
        assert found.items() >= {"protocol": 2, "socket_timeout": 0.5}.items()
        assert (found["username"], found["password"]) == login
        assert ("SSLConnection" in each.connection_pool.connection_class.__name__) == tls
        assert found.get("ssl_ca_certs") == ("/ca.pem" if tls else None)


def test_a_url_of_its_own_is_not_asked_of_sentinels() -> None:
    settings = load({**SENTINELS})
    client = clients.sync_client(settings, "redis://queue:7001/1?socket_timeout=30", timeout_s=5.0)
    assert (
        options(client).items()
        >= {"host": "queue", "port": 7001, "socket_timeout": 30.0, "socket_connect_timeout": 5.0}.items()
    )


@pytest.mark.parametrize("make", [clients.async_client, clients.sync_client])
def test_a_unix_socket(make: Any) -> None:
    client = make(load({"REDIS_URL": "unix:///run/redis.sock"}))
    assert client.connection_pool.make_connection().path == "/run/redis.sock"
    assert options(client).items() >= OURS.items()


@pytest.mark.parametrize("make", [clients.async_client, clients.async_client_of_sentinel])
def test_a_server_that_closes_a_new_connection_at_once_is_away(make: Any) -> None:
    """As a proxy of a dead server does. uvloop, on which the service runs, then raises errors of its own."""

    def reset_all(listener: socket.socket) -> None:
        with suppress(OSError):  # it is closed at the end
            for number in itertools.count():
                connection, _ = listener.accept()
                time.sleep(
                    (number % 50) / 100_000
                )  # 0 to 0.5 ms, so that some hit the moment between two writes
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    async def ask(address: Address) -> None:
        client = make(load({}), address)
        for _ in range(300):
            with pytest.raises(clients.REDIS_ERRORS):
                await client.ping()
        await client.aclose()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=reset_all, args=(listener,), daemon=True).start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(ask(listener.getsockname()))
        listener.shutdown(socket.SHUT_RDWR)
