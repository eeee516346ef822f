"""Function calls to Redis behind one small interface: one server, Sentinel or a cluster.

Every process keeps one connection to each primary and sends all its function calls through it
(`synckairos.core.wire`).

`Connection._recover` is the one place that handles a failed call: it waits a little, finds the primary again
and sends the same call again, for at most RETRY_FOR_S. A request id in the call makes that safe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Self

import redis.asyncio
import structlog

from synckairos.config import Settings
from synckairos.core import library as functions
from synckairos.core.clients import CONNECT_S, TROUBLE
from synckairos.core.library import Library, LibraryChanged, LibraryStatus
from synckairos.core.routes import PrimaryLink, Route, Single, Topology, end_tasks, route_to
from synckairos.core.wire import Argument, Command, Failure
from synckairos.errors import InternalError, NetworkTimeout, StorageUnavailable, described, from_refusal
from synckairos.supervision import Backoff

log = structlog.get_logger(__name__)

RETRY_FOR_S = 2.0
"""How long a call is tried again before its caller is told that the storage is away."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25
"""The pauses between the attempts of one call."""

_WAIT = frozenset({"LOADING", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS", "OOM"})
"""Error replies of a server that may take the same call in a moment. It has not carried the call out."""
_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "NOAUTH"})
"""Error replies of a server that is not, or not any more, the one to ask. It has not carried the call out."""
_FUNCTION_MISSING = "ERR Function not found"

_SESSION_KEYS = 4
"""A call that changes a session has four keys. A rate limit has one, and does not wait for replicas."""


class Connection:
    """Function calls, whatever Redis is: one server, behind Sentinel, or a cluster."""

    def __init__(self, route: Route, library: Library, *, replicated: bool = False) -> None:
        self._route = route
        self._replicated = replicated
        self._loading: asyncio.Task[None] | None = None
        self._waiting_to_load: asyncio.Task[None] | None = None
        self.library = library
        self.topology: Topology = route.topology

    @classmethod
    def to(cls, settings: Settings) -> Connection:
        """A connection to what the settings describe. Nothing is loaded, or sent, before the first call."""
        return cls(route_to(settings), Library.assemble(), replicated=settings.durability == "replicated")

    @classmethod
    def over(cls, client: redis.asyncio.Redis, library: Library | None = None) -> Connection:
        """A connection over a client that the caller made; closing the connection closes it."""
        return cls(Single("standalone", PrimaryLink(client)), library or Library.assemble())

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
        if wire is None or reply.__class__ is Failure:
            reply = await self._recover(key, command, reply, retry, started)
        if self._replicated and not read_only and len(keys) == _SESSION_KEYS:
            await (await self._known(key)).replicated(keys[0])
        return reply

    async def fcall_many(self, calls: Sequence[tuple[str, Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Calls `(function, keys, args)` that go out together; of each the reply, or the error of `fcall`.

        No call waits for a replica, so use this only for work that is found again when a failover loses it.
        """
        started = time.monotonic()
        sent: list[tuple[str | None, Command, asyncio.Future[Any] | None]] = []
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
            if future is None or replies[position].__class__ is Failure
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
            raise _unavailable(described(error)) from error

    async def _load(self) -> None:
        await self._route.refresh()
        found = await functions.load([link.client for link in self._route.links()], self.library)
        if any(status is not LibraryStatus.SAME for status in found):
            log.info("function library", version=self.library.version, found=[each.value for each in found])

    async def load_when_possible(self) -> None:
        """Loads the library now, or, with the storage away, as soon as it is back. Raises LibraryChanged."""
        try:
            await self.load()
        except StorageUnavailable as error:
            log.warning("the storage does not answer yet", reason=described(error.__cause__))
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
        await end_tasks(self._loading, self._waiting_to_load)
        await self._route.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _known(self, key: str | None) -> PrimaryLink:
        link = self._route.link(key)
        if link is None:
            try:
                await self._route.refresh()
            except TROUBLE as error:
                raise _unavailable(described(error)) from error
            link = self._route.link(key)
            if link is None:
                raise _unavailable("no primary serves this key")
        return link

    async def _recover(
        self, key: str | None, command: Command, failure: Failure | None, retry: bool, started: float
    ) -> Any:
        """Sends a call that failed (None: that was not sent yet) until it has a reply or time is up."""
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
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
                        await self._mend(key, failure, backoff, missing)
                    failure = await self._again(key, command, failure)
                    if failure.__class__ is not Failure:
                        return failure
        except TimeoutError:
            log.warning("gave a call up", function=command[1], reason=reason)
            raise _unavailable(reason) from None

    async def _again(self, key: str | None, command: Command, failure: Failure | None) -> Any:
        """One more attempt: its reply or a Failure."""
        try:
            word, _, rest = failure.text.partition(" ") if failure is not None else ("", "", "")
            link = self._named(rest, remember=word == "MOVED") if word in ("MOVED", "ASK") else None
            link = link or self._route.link(key)
            if link is None:
                await self._route.refresh()
                link = self._route.link(key)
            if link is None:
                return Failure("no primary serves this key", lost=True)
            wire = await link.connected()
        except TROUBLE as error:
            return Failure(described(error), lost=True)
        if word == "ASK":
            wire.send(("ASKING",))
        return await wire.send(command)

    def _named(self, redirection: str, *, remember: bool) -> PrimaryLink | None:
        """The link to the node of `<slot> <host>:<port>`, the answer of one that does not serve the slot."""
        slot, _, address = redirection.partition(" ")
        host, _, port = address.rpartition(":")
        return self._route.named((host, int(port)), int(slot) if remember else None) if host else None

    async def _mend(self, key: str | None, failure: Failure, backoff: Backoff, missing: int) -> None:
        """Does what lets the next attempt succeed, or raises what the caller has to know.

        `missing` is how often this call has met a server without the function.
        """
        word = failure.text.partition(" ")[0]
        if failure.lost or word == "MOVED":
            await self._look_around(backoff)
        elif failure.text.startswith(_FUNCTION_MISSING):
            await self._load_again()
            if missing > 1:
                # It was loaded, but not where the call went: to a server that is not the primary any more.
                await self._renew(key)
                await self._look_around(backoff)
        elif word in _WAIT:
            await asyncio.sleep(backoff.pause())
        elif word in _ELSEWHERE:
            await self._renew(key)
            await self._look_around(backoff)
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
            log.warning("cannot load the function library", reason=described(error.__cause__))
        except LibraryChanged as error:
            log.error("cannot load the function library", reason=str(error))
            raise InternalError from error

    async def _look_around(self, backoff: Backoff) -> None:
        """A pause, then a new look at who the primaries are."""
        await asyncio.sleep(backoff.pause())
        try:
            await self._route.refresh()
        except TROUBLE as error:
            log.warning("cannot find the primaries", reason=described(error))


def _unavailable(reason: str) -> StorageUnavailable:
    log.debug("storage unavailable", reason=reason)
    return StorageUnavailable(retry_after_ms=1000)


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
