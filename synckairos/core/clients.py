"""Clients of redis-py, sync and async: the one place that says how this project connects to Redis.

`REDIS_URL` has TLS with its certificates, user, password and database, also when the address comes from
Sentinels or a cluster.
All clients use RESP2, as the wires do. They never repeat a command by themselves: each caller has its own
rule for that, and repeats in two layers would multiply.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url as parse_url_async
from redis.asyncio.retry import Retry as RetryAsync
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection as SyncConnection
from redis.connection import parse_url
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from synckairos.config import Address, Settings
from synckairos.core.answers import Answer, View, answer, judge, questions

CONNECT_S = 1.0
"""How long a server may take to accept a connection, and as long again to answer a command."""
MAX_CLIENT_CONNECTIONS = 64
"""How many connections an async client may open to its server. Function calls do not use them."""
POOL_WAIT_S = 2.0
"""How long a caller waits for one of those connections."""

REDIS_ERRORS = (RedisError, OSError)
"""The errors that redis-py raises when a server cannot be reached, or answers with an error."""


class _Closable(AbstractConnection):
    """A connection to a server that may be dead.

    It may be closed by the server before the first command, as by a proxy of a dead one: uvloop raises
    RuntimeError for a write to it, which redis-py does not expect. It is closed at once: with TLS, redis-py
    would wait for the answer of a server that hangs, and raise an error when none comes, so that whatever is
    to be closed after it would stay open.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise redis.ConnectionError("the server has closed the connection") from error

    async def disconnect(self, *args: Any, **options: Any) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*args, **options)


class _Connection(_Closable, Connection):
    pass


class _SSLConnection(_Closable, SSLConnection):
    pass


class _UnixConnection(_Closable, UnixDomainSocketConnection):
    pass


_CLOSABLE = {
    Connection: _Connection,
    SSLConnection: _SSLConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class _StaysClosed(redis.asyncio.ConnectionPool):
    """The connections of a client; none is opened once it is closed, as nobody would close that one.

    redis-py connects again. A client is closed when another server becomes the primary, while some part of
    the service may still have it in its hands.
    """

    _closed = False

    async def aclose(self) -> None:
        self._closed = True
        await super().aclose()

    def make_connection(self) -> AbstractConnection:
        self._refuse_if_closed()
        made: AbstractConnection = super().make_connection()  # type: ignore[no-untyped-call]
        return made

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        self._refuse_if_closed()
        await super().ensure_connection(connection)
        if self._closed:  # since then
            await connection.disconnect(nowait=True)
            self._refuse_if_closed()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise redis.ConnectionError("the client is closed")


class _Pool(_StaysClosed, redis.asyncio.BlockingConnectionPool):
    pass


class _Sentinels(Sentinel):
    """The Sentinels behind a sync client. All of them are asked whenever it opens a connection.

    redis-py itself believes the first one that finds its primary well. One that was cut off from the others
    together with the old primary does find it well.
    """

    _view = View()
    _judging = threading.Lock()
    """Threads may open connections at the same time."""

    def discover_master(self, service_name: str) -> Address:
        """The primary, by the rule of `judge`. Raises MasterNotFoundError when none was ever named."""
        now = monotonic()
        answers = [found for each in self.sentinels if (found := _ask(each, service_name, now)) is not None]
        with self._judging:
            self._view = judge(self._view, answers, len(self.sentinels), now)
            primary = self._view.primary
        if primary is None:
            raise MasterNotFoundError(f"no Sentinel knows the primary {service_name!r}")
        return primary


def _ask(sentinel: redis.Redis, name: str, now: float) -> Answer | None:
    """What a Sentinel says, or None when it does not answer."""
    try:
        with sentinel.pipeline(transaction=False) as pipeline:
            for question in questions(name):
                pipeline.execute_command(*question)
            return answer(name, pipeline.execute(), now)
    except REDIS_ERRORS:
        return None


def async_client(
    settings: Settings, address: Address | None = None, *, timeout_s: float = CONNECT_S
) -> redis.asyncio.Redis:
    """A client of the server of `REDIS_URL`, or of the one at `address` with the same login and TLS."""
    given = parse_url_async(settings.redis_url)
    options = {**given, **_common(given, timeout_s, RetryAsync(NoBackoff(), 0))}
    options["connection_class"] = _CLOSABLE[given.get("connection_class", Connection)]
    if address is not None:
        options.update(host=address[0], port=address[1])
    return redis.asyncio.Redis.from_pool(
        _Pool(max_connections=MAX_CLIENT_CONNECTIONS, timeout=POOL_WAIT_S, **options)
    )


def async_client_of_sentinel(
    settings: Settings, address: Address, *, timeout_s: float = CONNECT_S
) -> redis.asyncio.Redis:
    """A client of one Sentinel."""
    options = _of_a_sentinel(settings, timeout_s, RetryAsync(NoBackoff(), 0))
    connection = _SSLConnection if options.pop("ssl", False) else _Connection
    pool = _StaysClosed(connection_class=connection, host=address[0], port=address[1], **options)
    return redis.asyncio.Redis.from_pool(pool)


def sync_client(settings: Settings, url: str | None = None, *, timeout_s: float = CONNECT_S) -> redis.Redis:
    """A client of the server of `url`; without one, of the sessions' server or the Sentinels' primary.

    Options in the URL's query (`?socket_timeout=30`) win over `timeout_s`.
    """
    retry = Retry(NoBackoff(), 0)
    by_sentinels = url is None and bool(settings.redis_sentinel_hosts)
    url = url or settings.redis_url
    given = parse_url(url)
    options = {**_common(given, timeout_s, retry), **given}
    if _does_tls(url):
        options["redis_connect_func"] = _take_tickets
    if not by_sentinels:
        return redis.Redis.from_pool(redis.ConnectionPool(**options))
    assert settings.redis_sentinel_name is not None
    of_a_sentinel = _of_a_sentinel(settings, min(timeout_s / 2, CONNECT_S), retry)
    if of_a_sentinel.get("ssl"):
        of_a_sentinel["redis_connect_func"] = _take_tickets
    sentinels: Sentinel = _Sentinels(  # type: ignore[no-untyped-call]  # redis-py's own __init__ has no types
        settings.redis_sentinel_hosts, sentinel_kwargs=of_a_sentinel
    )
    client: redis.Redis = sentinels.master_for(
        settings.redis_sentinel_name, **_of_a_named_primary(url, options)
    )
    return client


def _take_tickets(connection: SyncConnection) -> None:
    """Begin a sync connection with TLS by a command, so that it has read what comes before the first reply.

    These are the tickets that a server sends after the handshake. redis-py looks at the socket before it uses
    a connection, takes them for a reply that nobody has read, and gives up. With a password they are read
    with the reply to `AUTH`; without one nothing was read until here.
    """
    connection.on_connect()
    connection.send_command("PING", check_health=False)
    connection.read_response()


def _common(given: Mapping[str, Any], timeout_s: float, retry: Any) -> dict[str, Any]:
    """The options of every client, added to those that a URL has `given`."""
    options = {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": retry,
        "driver_info": None,  # `CLIENT SETINFO` would be one more right that a user needs
    }
    if "path" not in given:  # a Unix socket has no such option
        options["socket_keepalive"] = True
    return options


def _of_a_sentinel(settings: Settings, timeout_s: float, retry: Any) -> dict[str, Any]:
    """The options of a client of a Sentinel: it has a login of its own, and the certificates of the URL.

    Its own certificate may be from another CA.
    """
    options = _common({}, timeout_s, retry)
    tls = settings.redis_sentinel_tls
    if _does_tls(settings.redis_url) if tls is None else tls:
        given = parse_url(settings.redis_url)
        options |= {"ssl": True, **{name: value for name, value in given.items() if name.startswith("ssl")}}
        if settings.redis_sentinel_ca is not None:
            options["ssl_ca_certs"] = settings.redis_sentinel_ca
    return {
        **options,
        "username": settings.redis_sentinel_user,
        "password": settings.redis_sentinel_password,
    }


def _of_a_named_primary(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a client whose server the Sentinels name."""
    own = {name: value for name, value in options.items() if name not in ("host", "port", "connection_class")}
    return {**own, "ssl": _does_tls(url)}


def _does_tls(url: str) -> bool:
    return urlsplit(url).scheme == "rediss"


def address(client: redis.asyncio.Redis) -> str:
    """The address of a client's server, to show to people."""
    where = client.connection_pool.connection_kwargs
    return where.get("path") or f"{where.get('host', 'the primary')}:{where.get('port', 6379)}"
