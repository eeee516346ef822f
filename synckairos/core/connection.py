"""Redis behind one small interface: one server, Sentinel or a cluster.

Every process keeps one connection to each primary and sends all its function calls through it, each as soon
as it comes, answers in order (`_Wire`). redis-py finds the server, connects, authenticates and does TLS, and
is the client for everything else; only the calls themselves go past it. Measured in one process with 64
callers: 72-93 microseconds of CPU a call through redis-py's pool, 5-8 through a wire, because calls that come
together leave and return together.

Trouble is met in one place (`Connection._recover`): wait a little, find the primary again, send the same call
again, until a bound. The caller makes that safe by a request id in the call.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, Self, cast

import hiredis
import redis.asyncio
import structlog
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from synckairos.config import Address, Settings
from synckairos.core import library as functions
from synckairos.core.keys import written
from synckairos.core.library import Library, LibraryChanged, Standing
from synckairos.errors import InternalError, NetworkTimeout, NotReplicated, StorageUnavailable, from_refusal

log = structlog.get_logger(__name__)

Argument = str | bytes | int
Topology = Literal["standalone", "sentinel", "cluster"]

RETRY_FOR_S = 2.0
"""How long a call is tried again before its caller is told that the storage is away."""
SILENCE_S = 1.0
"""A server that owes answers and sends nothing for this long is taken for dead."""
CONNECT_S = 1.0
"""How long a connection may take to be made."""
REPLICATED_MS = 500
"""How long, with DURABILITY=replicated, a replica may take to confirm a change."""
MAX_WAITING = 10_000
"""Calls that may wait for their answers on one connection; further ones wait to be sent."""
MAX_CLIENT_CONNECTIONS = 64
"""Connections that redis-py may make to a primary for everything but function calls."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25

_WAIT = frozenset({"LOADING", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS", "OOM"})
"""Error replies of a server that may take the same call in a moment. It has not carried the call out."""
_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "NOAUTH"})
"""Error replies of a server that is not, or not any more, the one to ask. It has not carried the call out."""
_FUNCTION_MISSING = "ERR Function not found"

TROUBLE = (RedisError, OSError)
"""What redis-py raises when a server cannot be reached or does not do as it is told."""

_SESSION_KEYS = 4
"""How many keys a call has that changes a session. Rate limits, with one, are not worth the wait."""

_Command = tuple[Argument, ...]


class _Failure:
    """Why a call has no reply: the text of an error reply, or what happened to the connection (`lost`).

    `sent` says of a lost one that the server may have carried the call out.
    """

    __slots__ = ("lost", "sent", "text")

    def __init__(self, text: str, *, lost: bool = False, sent: bool = False) -> None:
        self.text = text
        self.lost = lost
        self.sent = sent


_NOT_YET = object()


class _Wire(asyncio.Protocol):
    """One connection that many callers share; replies come in the order of the calls.

    A caller that is cancelled leaves its place in the queue to its reply, so nobody gets another one's. Once
    anything is wrong with the stream, all that wait get a failure and the connection is closed for good.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # kept, because a stream that nobody holds closes its transport
        self._transport = cast(asyncio.Transport, writer.transport)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET, replyError=cast(Any, _Failure))
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._failure: _Failure | None = None
        self._retired = False

    @property
    def broken(self) -> bool:
        return self._failure is not None

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    def send(self, command: _Command) -> asyncio.Future[Any]:
        """Sends a command with the others of this turn of the event loop; its reply, or a _Failure."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._failure is not None:
            future.set_result(_Failure(self._failure.text, lost=True))
            return future
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows tuples of one only
        if not self._waiting:
            self._heard = self._loop.time()
            if self._watch is None:
                self._watch = self._loop.call_later(SILENCE_S / 4, self._check)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._waiting.append(future)
        self._unsent.append(packed)
        return future

    async def room(self) -> None:
        """Waits until fewer than MAX_WAITING calls wait for their replies."""
        while self.full:
            await asyncio.wait((self._waiting[0],))

    def _flush(self) -> None:
        if self._failure is None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not _NOT_YET:
                future = waiting.popleft()
                if not future.done():
                    future.set_result(reply)
                reply = reader.gets()
            if self._retired and not waiting:
                self.fail("not needed any more")
        except hiredis.ProtocolError:
            self.fail("the server sent what is not the Redis protocol")
        except IndexError:
            self.fail("the server sent a reply that nobody asked for")

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"the connection was lost: {exc or 'closed by the server'}")

    def _check(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        if self._loop.time() - self._heard > SILENCE_S:
            self.fail(f"no answer within {SILENCE_S:g} s")
        else:
            self._watch = self._loop.call_later(SILENCE_S / 4, self._check)

    def retire(self) -> None:
        """Ends the connection as soon as nobody waits for a reply. Nothing may be sent any more."""
        self._retired = True
        if not self._waiting:
            self.fail("not needed any more")

    def fail(self, text: str) -> None:
        """Ends the connection; whoever waits for a reply gets a failure."""
        if self._failure is not None:
            return
        self._failure = _Failure(text, lost=True, sent=True)
        if self._watch is not None:
            self._watch.cancel()
        self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._failure)


class _InProcessWire:
    """What a wire does, over a client whose server lives in this process and has no socket (fakeredis)."""

    broken = False
    full = False

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    def send(self, command: _Command) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._call(command))

    async def _call(self, command: _Command) -> Any:
        try:
            return await self._client.execute_command(*command)
        except ResponseError as error:
            return _Failure(f"{error.status_code or ''} {error}".lstrip())
        except TROUBLE as error:
            return _Failure(str(error), lost=True, sent=True)

    async def room(self) -> None:
        """There is always room."""

    def retire(self) -> None:
        """There is nothing to close."""

    def fail(self, text: str) -> None:
        """There is nothing to close."""


class _Link:
    """The way to one primary: a client for everything, and a wire for calls, made again when it breaks."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self._wire: _Wire | _InProcessWire | None = None
        self._retired: list[_Wire | _InProcessWire] = []
        self._connecting: asyncio.Task[None] | None = None
        self._last_round: asyncio.Task[bool] | None = None
        self._next_round: asyncio.Task[bool] | None = None

    def ready(self) -> _Wire | _InProcessWire | None:
        """The wire, when it works and takes another call at once."""
        wire = self._wire
        return None if wire is None or wire.broken or wire.full else wire

    async def connected(self) -> _Wire | _InProcessWire:
        """The wire, waited for. Raises RedisError or OSError when the primary cannot be reached."""
        while self._wire is None or self._wire.broken:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
            # Shielded: a caller that gives up does not end the attempt for the others.
            await asyncio.shield(self._connecting)
        await self._wire.room()
        return self._wire

    async def _connect(self) -> None:
        connection = cast(AbstractConnection, self.client.connection_pool.make_connection())
        await connection.connect()
        writer = connection._writer  # noqa: SLF001 - the socket, with TLS and login done
        if not isinstance(writer, asyncio.StreamWriter):
            self._wire = _InProcessWire(self.client)
            return
        wire = _Wire(writer)
        writer.transport.set_protocol(wire)
        connection._writer = None  # noqa: SLF001 - from here on it is the wire's
        self._wire = wire

    async def replicated(self, key: str) -> None:
        """Waits until a replica has all that this primary has written so far. Raises NotReplicated.

        `key` is one of what was written. Callers share a round; one that comes while a round is under way
        takes part in the next, as that one may have begun before its change.
        """
        if self._next_round is None:
            self._next_round = asyncio.create_task(self._round(self._last_round, key))
        if not await asyncio.shield(self._next_round):
            raise NotReplicated(retry_after_ms=REPLICATED_MS)

    async def _round(self, last: asyncio.Task[bool] | None, key: str) -> bool:
        if last is not None:
            await asyncio.wait((last,))
        self._last_round, self._next_round = self._next_round, None
        marker = written(key)
        try:
            async with self.client.pipeline(transaction=False) as pipeline:
                # A connection waits for its own last write only, so it has to write something.
                pipeline.set(marker, 1)
                pipeline.delete(marker)
                pipeline.execute_command("WAIT", 1, REPLICATED_MS)
                replies = await pipeline.execute()
        except TROUBLE as error:
            log.warning("cannot ask for replication", reason=str(error))
            return False
        return int(replies[-1]) >= 1

    async def renew(self) -> None:
        """Looks for the primary anew at the next call. Calls that are under way still get their replies."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self._retired = [*(old for old in self._retired if not old.broken), wire]
            wire.retire()
            # The client's idle connections lead to the same server.
            await self.client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        await _end(self._connecting, self._last_round, self._next_round)
        await self.renew()
        for wire in self._retired:
            wire.fail("the service is closing")
        await self.client.aclose()


class _Route(Protocol):
    """Which primary a key is served by."""

    topology: Topology

    def link(self, key: str | None, /) -> _Link | None:
        """The link to the primary of `key` (of any, without a key), as far as is known."""

    def links(self) -> list[_Link]:
        """The links to all primaries, as far as is known."""

    async def refresh(self) -> None:
        """Finds out anew. Raises RedisError or OSError."""

    def named(self, address: Address, slot: int | None, /) -> _Link | None:
        """The link to a server that another one named, from now on the primary of `slot` if there is one."""

    async def aclose(self) -> None:
        """Closes all links."""


class _Single:
    """One primary: a server by its address, or the one that the Sentinels name at each new connection."""

    def __init__(self, topology: Topology, link: _Link, sentinel: Sentinel | None = None) -> None:
        self.topology: Topology = topology
        self._link = link
        self._sentinel = sentinel

    def link(self, _key: str | None, /) -> _Link | None:
        return self._link

    def links(self) -> list[_Link]:
        return [self._link]

    async def refresh(self) -> None:
        """Nothing to find out: the next connection goes where the primary is then."""

    def named(self, _address: Address, _slot: int | None, /) -> _Link | None:
        return None

    async def aclose(self) -> None:
        await self._link.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class _Cluster:
    """The primaries of a cluster and the slots that each serves."""

    topology: Topology = "cluster"

    def __init__(self, seeds: Sequence[Address], client: Callable[[Address], redis.asyncio.Redis]) -> None:
        self._seeds = seeds
        self._client = client
        self._links: dict[Address, _Link] = {}
        self._slots: dict[int, _Link] = {}
        self._refreshing: asyncio.Task[None] | None = None

    def link(self, key: str | None) -> _Link | None:
        if key is None:
            return next(
                (link for link in self._links.values() if link.ready()), next(iter(self.links()), None)
            )
        return self._slots.get(key_slot(key.encode()))

    def links(self) -> list[_Link]:
        return list(self._links.values())

    def named(self, address: Address, slot: int | None, /) -> _Link:
        if address not in self._links:
            self._links[address] = _Link(self._client(address))
        link = self._links[address]
        if slot is not None:
            self._slots[slot] = link
        return link

    async def refresh(self) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        """Takes the map of the first node that has one: those that answered last first, in random order."""
        known = random.sample(list(self._links), len(self._links))
        known.sort(key=lambda address: self._links[address].ready() is None)
        trouble: Exception = ConnectionError("no node of the cluster is known")
        for address in [*known, *(seed for seed in self._seeds if seed not in self._links)]:
            link = self._links.get(address)
            client = link.client if link else self._client(address)
            try:
                ranges = await client.execute_command("CLUSTER SLOTS")
            except TROUBLE as error:
                trouble = error
            else:
                if ranges:
                    await self._take(ranges, address[0])
                    return
            finally:
                if link is None:
                    await client.aclose()
        raise trouble

    async def _take(self, ranges: list[list[Any]], asked: str) -> None:
        """A reply of `CLUSTER SLOTS`: first and last slot, `[host, port, ...]` of the primary, of replicas.

        A node that does not know its own host has the one that was asked.
        """
        slots: dict[int, _Link] = {}
        serving: set[Address] = set()
        for first, last, primary, *_ in ranges:
            host = (primary[0] or b"").decode()
            address = asked if host in ("", "?") else host, int(primary[1])
            serving.add(address)
            slots.update(dict.fromkeys(range(first, last + 1), self.named(address, None)))
        self._slots = slots
        for gone in self._links.keys() - serving:
            await self._links.pop(gone).aclose()

    async def aclose(self) -> None:
        await _end(self._refreshing)
        for link in self.links():
            await link.aclose()


class Connection:
    """Function calls, whatever Redis is: one server, behind Sentinel, or a cluster."""

    def __init__(self, route: _Route, library: Library, *, replicated: bool = False) -> None:
        self._route = route
        self._replicated = replicated
        self._loading: asyncio.Task[None] | None = None
        self._waiting_to_load: asyncio.Task[None] | None = None
        self.library = library
        self.topology: Topology = route.topology

    @classmethod
    def to(cls, settings: Settings) -> Connection:
        """A connection to what the settings describe. Nothing is loaded, or sent, before the first call."""
        return cls(_route(settings), Library.assemble(), replicated=settings.durability == "replicated")

    @classmethod
    def over(cls, client: redis.asyncio.Redis, library: Library | None = None) -> Connection:
        """A connection over a client that the caller made; closing the connection closes it."""
        return cls(_Single("standalone", _Link(client)), library or Library.assemble())

    async def fcall(
        self,
        function: str,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        read_only: bool = False,
        retry: bool = True,
    ) -> Any:
        """Calls a function at the primary of its first key; bytes, int, list or None.

        A refusal of the library is raised as its error. When the server is away, moving or not ready, the
        call is sent again for about RETRY_FOR_S, then StorageUnavailable is raised. `retry=False` is for a
        call that must not take effect twice: it is sent again only where it surely was not carried out;
        else NetworkTimeout is raised. With DURABILITY=replicated a change that no replica confirms in time is
        NotReplicated; it has taken place.
        """
        started = time.monotonic()
        command = ("FCALL_RO" if read_only else "FCALL", function, len(keys), *keys, *args)
        key = keys[0] if keys else None
        link = self._route.link(key)
        wire = link.ready() if link is not None else None
        reply = await wire.send(command) if wire is not None else None
        if wire is None or reply.__class__ is _Failure:
            reply = await self._recover(key, command, reply, retry, started)
        if self._replicated and not read_only and len(keys) == _SESSION_KEYS:
            await (await self._known(key)).replicated(keys[0])
        return reply

    async def fcall_many(self, calls: Sequence[tuple[str, Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Calls `(function, keys, args)` that go out together; of each the reply, or the error of `fcall`.

        They are for work that is found again when it gets lost: none of them waits for a replica.
        """
        started = time.monotonic()
        sent: list[tuple[str | None, _Command, asyncio.Future[Any] | None]] = []
        for function, keys, args in calls:
            command = ("FCALL", function, len(keys), *keys, *args)
            key = keys[0] if keys else None
            link = self._route.link(key)
            wire = link.ready() if link is not None else None
            sent.append((key, command, None if wire is None else wire.send(command)))
        replies: list[Any] = [None if future is None else await future for _, _, future in sent]
        again = [
            position
            for position, (_, _, future) in enumerate(sent)
            if future is None or replies[position].__class__ is _Failure
        ]
        recovered = await asyncio.gather(
            *(self._recover(*sent[position][:2], replies[position], True, started) for position in again),
            return_exceptions=True,
        )
        for position, reply in zip(again, recovered, strict=True):
            if isinstance(reply, BaseException) and not isinstance(reply, Exception):
                raise reply
            replies[position] = reply
        return replies

    async def primaries(self) -> list[redis.asyncio.Redis]:
        """One client per primary, to be used and not closed. Raises StorageUnavailable."""
        await self._known(None)
        return [link.client for link in self._route.links()]

    async def primary_for(self, key: str) -> redis.asyncio.Redis:
        """The client of the primary of `key`, to be used and not closed. Raises StorageUnavailable."""
        return (await self._known(key)).client

    async def load(self) -> None:
        """Loads the library wherever it is missing or older. Raises LibraryChanged, StorageUnavailable.

        Callers that come while it is being loaded share that one time.
        """
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())
        try:
            await asyncio.shield(self._loading)
        except TROUBLE as error:
            raise _unavailable(str(error)) from error

    async def _load(self) -> None:
        await self._route.refresh()
        found = await functions.load([link.client for link in self._route.links()], self.library)
        if any(standing is not Standing.SAME for standing in found):
            log.info("function library", version=self.library.version, found=[each.value for each in found])

    async def load_when_possible(self) -> None:
        """Loads the library now, or, with the storage away, as soon as it is back. Raises LibraryChanged."""
        try:
            await self.load()
        except StorageUnavailable as error:
            log.warning("the storage does not answer yet", reason=str(error.__cause__))
            self._waiting_to_load = asyncio.create_task(self._load_until_loaded())

    async def _load_until_loaded(self) -> None:
        while True:
            await asyncio.sleep(CONNECT_S)
            try:
                await self.load()
                return
            except StorageUnavailable:
                continue
            except LibraryChanged as error:
                log.error("cannot load the function library", reason=str(error))
                return

    async def aclose(self) -> None:
        """Closes everything. Calls that are under way fail."""
        await _end(self._loading, self._waiting_to_load)
        await self._route.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _known(self, key: str | None) -> _Link:
        link = self._route.link(key)
        if link is None:
            try:
                await self._route.refresh()
            except TROUBLE as error:
                raise _unavailable(str(error)) from error
            link = self._route.link(key)
            if link is None:
                raise _unavailable("no primary serves this key")
        return link

    async def _recover(
        self, key: str | None, command: _Command, failure: _Failure | None, retry: bool, started: float
    ) -> Any:
        """Sends a call that failed (None: that was not sent yet) until it has a reply or time is up."""
        pauses = _pauses()
        missing = 0
        reason = "not connected"
        try:
            async with asyncio.timeout(started + RETRY_FOR_S - time.monotonic()):
                while True:
                    if failure is not None:
                        reason = failure.text
                        if failure.lost and failure.sent and not retry:
                            raise NetworkTimeout(context={"reason": reason})
                        missing += reason.startswith(_FUNCTION_MISSING)
                        await self._mend(key, failure, pauses, missing)
                    failure = await self._again(key, command, failure)
                    if failure.__class__ is not _Failure:
                        return failure
        except TimeoutError:
            log.warning("gave a call up", function=command[1], reason=reason)
            raise _unavailable(reason) from None

    async def _again(self, key: str | None, command: _Command, failure: _Failure | None) -> Any:
        """One more attempt: its reply or a _Failure."""
        try:
            word, _, rest = failure.text.partition(" ") if failure is not None else ("", "", "")
            link = self._named(rest, remember=word == "MOVED") if word in ("MOVED", "ASK") else None
            link = link or self._route.link(key)
            if link is None:
                await self._route.refresh()
                link = self._route.link(key)
            if link is None:
                return _Failure("no primary serves this key", lost=True)
            wire = await link.connected()
        except TROUBLE as error:
            return _Failure(str(error), lost=True)
        if word == "ASK":
            wire.send(("ASKING",))
        return await wire.send(command)

    def _named(self, redirection: str, *, remember: bool) -> _Link | None:
        """The link to the node of `<slot> <host>:<port>`, the answer of one that does not serve the slot."""
        slot, _, address = redirection.partition(" ")
        host, _, port = address.rpartition(":")
        return self._route.named((host, int(port)), int(slot) if remember else None) if host else None

    async def _mend(self, key: str | None, failure: _Failure, pauses: Iterator[float], missing: int) -> None:
        """Does what lets the next attempt succeed, or raises what the caller has to know.

        `missing` is how often this call has met a server without the function.
        """
        word = failure.text.partition(" ")[0]
        if failure.lost or word == "MOVED":
            await self._look_around(pauses)
        elif failure.text.startswith(_FUNCTION_MISSING):
            await self._load_again()
            if missing > 1:
                # It was loaded, but not where the call went: to a server that is not the primary any more.
                await self._renew(key)
                await self._look_around(pauses)
        elif word in _WAIT:
            await asyncio.sleep(next(pauses))
        elif word in _ELSEWHERE:
            await self._renew(key)
            await self._look_around(pauses)
        elif word != "ASK":
            refusal = from_refusal(failure.text)
            if refusal is None:
                log.error("a function failed", reason=failure.text)
                raise InternalError
            raise refusal

    async def _renew(self, key: str | None) -> None:
        link = self._route.link(key)
        if link is not None:
            await link.renew()

    async def _load_again(self) -> None:
        """Loads the library that a server has lost."""
        try:
            await self.load()
        except StorageUnavailable as error:
            log.warning("cannot load the function library", reason=str(error.__cause__))
        except LibraryChanged as error:
            log.error("cannot load the function library", reason=str(error))
            raise InternalError from error

    async def _look_around(self, pauses: Iterator[float]) -> None:
        """A pause, then a new look at who the primaries are."""
        await asyncio.sleep(next(pauses))
        try:
            await self._route.refresh()
        except TROUBLE as error:
            log.warning("cannot find the primaries", reason=str(error))


async def _end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancels those that there are, and waits for their end."""
    found = [task for task in tasks if task is not None]
    for task in found:
        task.cancel()
    await asyncio.gather(*found, return_exceptions=True)


def address(client: redis.asyncio.Redis) -> str:
    """Where a client's server is, for people."""
    where = client.connection_pool.connection_kwargs
    return where.get("path") or f"{where.get('host', 'the primary')}:{where.get('port', 6379)}"


def _unavailable(reason: str) -> StorageUnavailable:
    log.debug("storage unavailable", reason=reason)
    return StorageUnavailable(retry_after_ms=1000)


def _pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling, with full jitter so that callers spread out."""
    bound = _FIRST_PAUSE_S
    while True:
        yield random.uniform(0, bound)
        bound = min(2 * bound, _LONGEST_PAUSE_S)


async def connect(settings: Settings) -> Connection:
    """The connection that the settings describe, with the library loaded.

    While Redis is away, the library is loaded as soon as it is back. Raises LibraryChanged.
    """
    connection = Connection.to(settings)
    try:
        await connection.load_when_possible()
    except BaseException:
        await connection.aclose()
        raise
    return connection


def _route(settings: Settings) -> _Route:
    """Where Redis is. The URL also says how to connect to what Sentinels or a cluster name."""
    options: dict[str, Any] = {
        **parse_url(settings.redis_url),
        "protocol": 2,  # the wires read RESP2; one protocol everywhere is one thing less to go wrong
        "socket_timeout": CONNECT_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_keepalive": True,
        # Retrying is this module's work; a second layer would multiply the attempts.
        "retry": Retry(NoBackoff(), 0),
    }

    def client(**where: Any) -> redis.asyncio.Redis:
        return redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(
                max_connections=MAX_CLIENT_CONNECTIONS, timeout=RETRY_FOR_S, **{**options, **where}
            )
        )

    if settings.redis_cluster_nodes:
        return _Cluster(
            settings.redis_cluster_nodes, lambda address: client(host=address[0], port=address[1])
        )
    if settings.redis_sentinel_hosts:
        assert settings.redis_sentinel_name is not None
        tls = options.pop("connection_class", None) is redis.asyncio.SSLConnection
        for name in ("host", "port"):
            options.pop(name, None)
        sentinel = Sentinel(
            settings.redis_sentinel_hosts,
            sentinel_kwargs={
                "socket_timeout": CONNECT_S / 2,
                "socket_connect_timeout": CONNECT_S / 2,
                "retry": Retry(NoBackoff(), 0),
                "ssl": tls,
            },
        )
        primary = sentinel.master_for(settings.redis_sentinel_name, ssl=tls, **options)
        return _Single("sentinel", _Link(primary), sentinel)
    return _Single("standalone", _Link(client()))
