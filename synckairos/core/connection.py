"""Function calls to Redis, with the same interface for one server, Sentinels and a cluster.

Every process keeps one connection to each primary and sends all its function calls through it
(`synckairos.core.wire`).

`Connection._recover` is the one place that handles a failed call. It waits a little, finds the primary again
and repeats the call, for about RETRY_FOR_S. The request id in the call makes that safe. What was given up so
again and again is not asked any more for a while: see `synckairos.breakers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import redis.asyncio
import structlog
from prometheus_client import Histogram

from synckairos import metrics
from synckairos.breakers.breaker import Breaker
from synckairos.breakers.registry import Breakers
from synckairos.config import Address, Settings
from synckairos.core import library as functions
from synckairos.core.answers import Watch
from synckairos.core.clients import CONNECT_S, REDIS_ERRORS
from synckairos.core.library import Library, LibraryChanged, LibraryStatus
from synckairos.core.links import PrimaryLink, end_tasks, shared
from synckairos.core.routes import Route, Single, Topology, route_to
from synckairos.core.wire import CONFIRM, Argument, Command, Failure
from synckairos.errors import (
    ChangesRefused,
    CircuitOpen,
    InternalError,
    SessionMoving,
    StorageFull,
    StorageUnavailable,
    SyncKairosError,
    error_text,
    from_refusal,
)
from synckairos.recover import is_repeated, recover
from synckairos.supervision import Backoff, Telling, retrieve_error

log = structlog.get_logger(__name__)

RETRY_FOR_S = 2.0
"""How long a failed call is repeated before StorageUnavailable is raised."""
HELD_UP_S = 0.1
"""A timer that is this late shows that this process stood still, which is no fault of Redis."""
FAIR_S = 0.5
"""How long a call may go on at least after this process stood still."""

DOWN_S = 0.1
"""How long a call is tried at a primary that is known to be down. It may be back before that is known."""
DOWN = "the primary does not answer, and no other one is named yet"

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.25
"""The pauses between the attempts of one call."""

_NOT_READY = frozenset(
    {"INDOUBT", "LOADING", "TRYAGAIN", "BUSY", "MISCONF", "NOREPLICAS", "OOM", SessionMoving.code}
)
"""Error replies of a server that did not carry the call out, but may accept it in a moment."""
_NOT_THE_PRIMARY = frozenset({"READONLY", "MASTERDOWN", "NOAUTH"})
"""Error replies of a server that did not carry the call out because it is not, or no longer, the primary."""
_LOADING = "LOADING"
_FUNCTION_MISSING = "ERR Function not found"
_UNKNOWN_OPTION = '"message":"is no option of this function"'
"""What is in the refusal of a library that is older than this release, as after a dump from before an update
was restored. No client can bring it about: options are the service's own, and names are escaped there.
"""
_NO_RIGHTS = "NOPERM"
"""What is in the error of a user who may not call the function, or not what the function calls."""
_IN_DOUBT = Failure("INDOUBT the primary may have been cut off from the others")
"""Stands for the reply to a change that is not sent, as what that primary acknowledges may get lost."""

_SESSION_KEYS = 4
"""A call that changes a session has four keys."""
_LIMIT_KEYS = 1
"""A rate limit has one. It does not wait for replicas, as the request may be one that changes nothing."""
REFUSED_S = 5.0
"""For how long a server counts as refusing changes after it has refused one."""


class NoAnswer(StorageUnavailable):
    """The primary did not answer, as opposed to one that answers and takes nothing."""


@dataclass
class _Attempts:
    """What the attempts of one call have met.

    failure: why the last one failed; None when the call was not sent yet
    changes: whether the call is a change that may have to be confirmed
    patient: whether it waits until a server that refuses it may take it
    missing: how often a server did not have the function
    older: whether a server's library did not know an option
    redirected: how often a node of a cluster has named another one
    """

    failure: Failure | None
    changes: bool = False
    patient: bool = True
    missing: int = 0
    older: bool = False
    redirected: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S))

    @property
    def reason(self) -> str:
        """Why there is no reply."""
        return "not connected" if self.failure is None else self.failure.text

    def error(self) -> SyncKairosError:
        """The error of a call that is given up."""
        if self.failure is None or self.failure.lost or self.reason.startswith(_LOADING):
            return _no_answer(self.reason)
        return from_refusal(self.reason) or _unavailable(self.reason)


class Connection:
    """Function calls to one server, to the primary that Sentinels name, or to a cluster."""

    def __init__(self, route: Route, library: Library, breakers: Breakers) -> None:
        self._route = route
        self._breakers = breakers
        self._nobody = breakers.renewed("redis", self._find_some)
        """The breaker of calls while no primary is known at all."""
        self._loading: asyncio.Task[None] | None = None
        self._waiting_to_load: asyncio.Task[None] | None = None
        self._closed = False
        self.library = library
        self._refused_at = float("-inf")
        self.topology: Topology = route.topology
        self._given_up, self._not_found, self._not_loaded = Telling(), Telling(), Telling()
        self._no_rights = Telling()
        self._named = asyncio.Event()
        """Is set when another primary is named."""
        route.on_change.add(self._primaries_changed)

    @property
    def on_change(self) -> set[Callable[[], None]]:
        """Called when another server became a primary, or slots have moved. Must not block."""
        return self._route.on_change

    @property
    def on_importing(self) -> set[Callable[[str], None]]:
        """Called with a key whose slot another node is about to take over. Must not block."""
        return self._route.on_importing

    @classmethod
    def to(cls, settings: Settings, breakers: Breakers | None = None) -> Connection:
        """A connection to the Redis of the settings. Nothing is loaded or sent before the first call."""
        breakers = breakers or Breakers()
        return cls(route_to(settings, breakers), Library.assemble(), breakers)

    @classmethod
    def over(cls, client: redis.asyncio.Redis, library: Library | None = None) -> Connection:
        """A connection over a client that the caller made; closing the connection closes it."""
        breakers = Breakers()
        return cls(Single(PrimaryLink(client, breakers=breakers)), library or Library.assemble(), breakers)

    async def fcall(
        self,
        function: str,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        read_only: bool = False,
    ) -> Any:
        """Calls a function at the primary of its first key. Returns bytes, int, list or None.

        A refusal of the library is raised as its error. While the server is away, moving or not ready, the
        call is repeated for about RETRY_FOR_S, then StorageUnavailable or SessionMoving is raised. After some
        calls have failed so, CircuitOpen is raised at once.
        So a call whose reply was lost may take effect twice, unless it has a REQUEST. With another DURABILITY
        than async, NotReplicated is raised when too few replicas confirm a change in time, although the
        change was made.
        """
        command = ("FCALL_RO" if read_only else "FCALL", function, len(keys), *keys, *args)
        return await self._call_unless_open(keys[0] if keys else None, command)

    async def read(self, word: str, key: str, *args: Argument) -> Any:
        """Sends a command that reads a key, and is repeated like a function call.

        Returns bytes, int, list or None. Raises StorageUnavailable.
        """
        return await self._call_unless_open(key, (word, key, *args))

    async def confirm(self, key: str) -> None:
        """Waits until what was written before to the primary of `key` is confirmed, as DURABILITY asks for.

        Function calls wait by themselves. Raises NotReplicated, StorageUnavailable.
        """
        await self._call_unless_open(key, (CONFIRM, key, b""))

    async def unlink(self, key: str) -> None:
        """Removes a key that no session has, such as a rate limit's. Raises StorageUnavailable."""
        await self._call_unless_open(key, ("UNLINK", key))

    async def refuse_if_open(self, key: str | None) -> None:
        """Raises CircuitOpen when a call for this key would be refused now. None stands for any primary."""
        breaker = self._breaker(key)
        if not breaker.closed:
            await breaker.check()

    def _breaker(self, key: str | None) -> Breaker:
        link = self._route.link(key)
        return self._nobody if link is None else link.breaker

    async def _call_unless_open(self, key: str | None, command: Command) -> Any:
        """Sends a call, unless the primary has failed to answer again and again. Raises CircuitOpen then.

        A call that has begun is never cut short by that.
        """
        breaker = self._breaker(key)
        probe = False
        while not breaker.quiet:
            try:
                probe = await breaker.admit()
                break
            except CircuitOpen:
                if self._breaker(key) is breaker:
                    raise
            breaker = self._breaker(key)  # there is another primary now
        try:
            # The one call that is let through is there when another primary is named: it waits for that.
            reply = await (self._call_patiently if probe else self._call_unless_down)(key, command)
        except NoAnswer as error:
            breaker.failed(error, probe=probe)
            raise
        except BaseException as error:
            if isinstance(error, SyncKairosError) and not isinstance(error, StorageUnavailable):
                breaker.succeeded()
            else:
                breaker.ended(probe=probe)
            raise
        if not breaker.quiet:
            breaker.succeeded()
        return reply

    async def _call_patiently(self, key: str | None, command: Command) -> Any:
        return await self._call(key, command, changes=_is_change(command))

    async def _call_unless_down(self, key: str | None, command: Command) -> Any:
        """Sends a call, which is not repeated for long when the primary is known to be down.

        How long it takes is measured, whether it succeeds or not.
        """
        began = time.perf_counter()
        try:
            return await self._unmeasured_call(key, command)
        finally:
            _duration_of(command).observe(time.perf_counter() - began)

    async def _unmeasured_call(self, key: str | None, command: Command) -> Any:
        changes = _is_change(command)
        if self._route.is_down(key):
            try:
                async with asyncio.timeout(DOWN_S):
                    return await self._call(key, command, changes=changes)
            except TimeoutError:
                raise _no_answer(DOWN) from None
        return await self._call(key, command, changes=changes)

    async def _call(self, key: str | None, command: Command, *, changes: bool) -> Any:
        """Sends a call. When that fails, repeats it."""
        started = time.monotonic()
        link = self._route.link(key)
        if link is None or (changes and self._route.is_in_doubt(key)):
            wire = None
        else:
            wire = (link.changes if changes else link.calls).ready()
        reply = await wire.send(command) if wire is not None else None
        if wire is None or reply.__class__ is Failure:
            reply = await self._recover(key, command, reply, started, changes=changes)
        return reply

    async def fcall_many(self, calls: Sequence[tuple[str, Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Sends calls `(function, keys, args)` together. Returns each one's reply, or the error of `fcall`.

        No call waits for a replica, so a failover can lose their changes. Use this only for work that is then
        found and done again.
        """
        started = time.monotonic()
        sent: list[tuple[str | None, Command, asyncio.Future[Any] | None]] = []
        for function, keys, args in calls:
            command = ("FCALL", function, len(keys), *keys, *args)
            key = keys[0] if keys else None
            link = None if self._route.is_in_doubt(key) else self._route.link(key)
            wire = link.calls.ready() if link is not None else None
            sent.append((key, command, None if wire is None else wire.send(command)))
        replies: list[Any] = [None if future is None else await future for _, _, future in sent]
        if sent:  # one round trip, however many calls it has
            _duration_of(sent[0][1]).observe(time.monotonic() - started)
        again = [
            position
            for position, (_, _, future) in enumerate(sent)
            if future is None or replies[position].__class__ is Failure
        ]
        recovered = await asyncio.gather(
            *(self._recover(*sent[position][:2], replies[position], started) for position in again),
            return_exceptions=True,
        )
        for position, reply in zip(again, recovered, strict=True):
            if isinstance(reply, BaseException) and not isinstance(reply, Exception):
                raise reply
            replies[position] = reply
        return replies

    async def primaries(self) -> list[redis.asyncio.Redis]:
        """One client for each primary. The caller must not close them. Raises StorageUnavailable."""
        await self._link_to(None)
        return [link.client for link in self._route.links()]

    async def primary_for(self, key: str) -> redis.asyncio.Redis:
        """The client of the primary of `key`. The caller must not close it. Raises StorageUnavailable."""
        return (await self._link_to(key)).client

    def known_primary_for(self, key: str) -> redis.asyncio.Redis | None:
        """The same, without asking: None when it is not known at the moment."""
        link = self._route.link(key)
        return None if link is None else link.client

    def is_down(self, key: str) -> bool:
        """Whether it is known that the primary of `key` does not answer, and that no other one is named."""
        return self._route.is_down(key)

    def is_in_doubt(self, key: str) -> bool:
        """Whether the primary of `key` may have been cut off, so that no change is sent to it."""
        return self._route.is_in_doubt(key)

    def replicas(self, key: str) -> list[Address]:
        """The replicas of the primary of `key` that are known to work; none are known without Sentinels."""
        return self._route.replicas(key)

    def watch(self) -> Watch | None:
        """How well the Sentinels watch the primary; None without Sentinels."""
        return self._route.watch()

    @property
    def unconfirmed(self) -> bool:
        """Whether a primary's last change was not confirmed by as many replicas as have to, or cannot be."""
        return any(link.unconfirmed or link.lacks_replicas for link in self._route.links())

    @property
    def refuses_changes(self) -> bool:
        """Whether a primary has lately refused a change because it has too few replicas."""
        return time.monotonic() - self._refused_at < REFUSED_S

    @property
    def unreplicated(self) -> bool:
        """Whether a primary acknowledges changes that no replica has, because there is none."""
        return any(link.unreplicated for link in self._route.links())

    def redirect(self, host: str, port: int, slot: int) -> None:
        """Notes that a node of the cluster has named the server at this address as the primary of a slot."""
        self._route.link_at((host, port), slot)

    async def load(self) -> None:
        """Loads the library on each primary that has none or an older one.

        Callers that come while it is being loaded wait for the same load. Raises LibraryChanged,
        StorageUnavailable.
        """
        self._refuse_if_closed()
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())
        try:
            await shared(self._loading)
        except REDIS_ERRORS as error:
            raise _unavailable(error_text(error)) from error

    async def _load(self) -> None:
        await self._route.refresh()
        found = await functions.load([link.client for link in self._route.links()], self.library)
        if any(status is not LibraryStatus.SAME for status in found):
            log.info("function library", version=self.library.version, found=[each.value for each in found])

    def _primaries_changed(self) -> None:
        """A new primary may have no library: it gets it now, and not with its first call.

        Who waits for it need not wait any longer.
        """
        self._named.set()
        if not self._closed and (self._loading is None or self._loading.done()):
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(retrieve_error)

    async def load_when_possible(self) -> None:
        """Loads the library now, or, if the storage is away, as soon as it is back. Raises LibraryChanged."""
        try:
            await self.load()
        except StorageUnavailable as error:
            log.warning("the storage does not answer yet", reason=error_text(error.__cause__))
            self._waiting_to_load = asyncio.create_task(self._load_until_loaded())

    async def _load_until_loaded(self) -> None:
        await asyncio.sleep(CONNECT_S)
        try:
            await recover(backoff="fixed", first_s=CONNECT_S)(self.load)
        except LibraryChanged as error:
            log.error("cannot load the function library", reason=str(error))

    async def aclose(self) -> None:
        """Closes all connections. Calls that are under way fail, and those that come later."""
        self._closed = True
        self._named.set()
        await end_tasks(self._loading, self._waiting_to_load)
        await self._breakers.forget(self._nobody)
        await self._route.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _refuse_if_closed(self) -> None:
        """Raises StorageUnavailable when this is closed: nobody would close what a call opens then."""
        if self._closed:
            raise _unavailable("the connection is closed")

    async def _find_some(self) -> None:
        """Raises RedisError or OSError unless there is a primary."""
        await self._route.refresh()
        if not self._route.links():
            raise redis.ConnectionError("no primary is known")

    async def _link_to(self, key: str | None) -> PrimaryLink:
        self._refuse_if_closed()
        link = self._route.link(key)
        if link is None:
            try:
                await self._route.refresh()
            except REDIS_ERRORS as error:
                raise _unavailable(error_text(error)) from error
            link = self._route.link(key)
            if link is None:
                raise _unavailable("no primary serves this key")
        return link

    async def _recover(
        self,
        key: str | None,
        command: Command,
        failure: Failure | None,
        started: float,
        *,
        changes: bool = False,
    ) -> Any:
        """Repeats a call until it has a reply or RETRY_FOR_S are over.

        A process that stood still meanwhile, as when its machine is moved, heard nothing in that time. The
        storage then has FAIR_S more to answer.

        failure: why the call failed; None when it was not sent yet
        changes: whether it is a change that may have to be confirmed
        """
        attempts = _Attempts(failure, changes, patient=command[2:3] != (_LIMIT_KEYS,))
        end = max(started + RETRY_FOR_S, time.monotonic() + FAIR_S)
        while True:
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    return await self._repeat(key, command, attempts)
            except TimeoutError:
                stood_still = time.monotonic() - end > HELD_UP_S
                if not stood_still:
                    log.log(
                        self._given_up.level(),
                        "a call was given up",
                        function=command[1],
                        reason=attempts.reason,
                    )
                    raise attempts.error() from None
                end = time.monotonic() + FAIR_S

    async def _repeat(self, key: str | None, command: Command, attempts: _Attempts) -> Any:
        """Repeats a call until it has a reply."""
        while True:
            failure = attempts.failure
            if failure is not None:
                attempts.missing += failure.text.startswith(_FUNCTION_MISSING)
                await self._prepare_retry(key, failure, attempts)
            reply = await self._send_again(key, command, failure, changes=attempts.changes)
            if reply.__class__ is not Failure:
                return reply
            attempts.failure = reply

    async def _send_again(
        self, key: str | None, command: Command, failure: Failure | None, *, changes: bool
    ) -> Any:
        """Sends the call once more. Returns the reply or a Failure."""
        self._refuse_if_closed()
        if _is_change(command) and self._route.is_in_doubt(key):
            return _IN_DOUBT
        try:
            word, _, rest = failure.text.partition(" ") if failure is not None else ("", "", "")
            link = self._redirected(rest, remember=word == "MOVED") if word in ("MOVED", "ASK") else None
            if word == "ASK" and key is not None:
                for callback in self._route.on_importing:
                    callback(key)
            link = link or self._route.link(key)
            if link is None:
                await self._route.refresh()
                link = self._route.link(key)
            if link is None:
                return Failure("no primary serves this key", lost=True)
            wire = await (link.changes if changes else link.calls).connected()
        except REDIS_ERRORS as error:
            return Failure(error_text(error), lost=True)
        return await wire.send(command, asking=word == "ASK")

    def _redirected(self, redirection: str, *, remember: bool) -> PrimaryLink | None:
        """The link to the node that another one has redirected to, with `<slot> <host>:<port>`."""
        slot, _, address = redirection.partition(" ")
        host, _, port = address.rpartition(":")
        return self._route.link_at((host, int(port)), int(slot) if remember else None) if host else None

    async def _prepare_retry(self, key: str | None, failure: Failure, attempts: _Attempts) -> None:
        """Does what the next attempt needs to succeed, or raises the error that the caller gets.

        Where a caller repeats the call itself, this does not wait for a server, too.
        """
        backoff = attempts.backoff
        if is_repeated() and (failure.lost or failure.text.partition(" ")[0] in _NOT_READY):
            raise attempts.error()
        word = failure.text.partition(" ")[0]
        # A read that waits can be answered by a replica. A change goes on waiting: another primary may be
        # named any moment, and all callers that were refused at one moment would come back at one moment.
        if not attempts.changes and (failure.lost or word in _NOT_READY) and self._route.is_down(key):
            raise _no_answer(DOWN)
        if failure.lost or word == "CLUSTERDOWN":
            await self._find_primaries(backoff)
        elif failure.text.startswith(_FUNCTION_MISSING):
            await self._load_missing(key, attempts)
        elif _UNKNOWN_OPTION in failure.text and not attempts.older:
            attempts.older = True
            await self._load_again()
        elif word in _NOT_READY:
            await self._until_ready(key, word, attempts)
        elif word in _NOT_THE_PRIMARY:
            await self._renew(key)
            await self._find_primaries(backoff)
        elif word in ("ASK", "MOVED"):
            attempts.redirected += 1
            if attempts.redirected > 1:  # the nodes do not agree yet
                await asyncio.sleep(backoff.pause())
        else:
            raise self._error_of(failure)

    def _error_of(self, failure: Failure) -> SyncKairosError:
        """The error of a call that cannot succeed by being repeated."""
        if _UNKNOWN_OPTION in failure.text:
            log.error("the function library is none of this release", reason=failure.text)
            return InternalError()
        refusal = from_refusal(failure.text)
        if refusal is not None:
            return refusal
        if _NO_RIGHTS in failure.text:
            log.log(
                self._no_rights.level(),
                "Redis refuses what a function calls: synckairos doctor names the rights that are missing",
                reason=failure.text,
            )
            return StorageUnavailable("the storage refuses what the service does there")
        log.error("a function failed", reason=failure.text)
        return InternalError()

    async def _until_ready(self, key: str | None, word: str, attempts: _Attempts) -> None:
        """Waits a moment for a server that has refused a call with this word."""
        if word == "OOM":  # it is at its maxmemory, which does not change in a moment
            raise StorageFull(retry_after_ms=1000)
        if word == "NOREPLICAS":
            self._refused_at = time.monotonic()
            if not attempts.patient:
                raise ChangesRefused(retry_after_ms=1000)
        link = self._route.link(key)
        await (asyncio.sleep if link is None else link.pause)(attempts.backoff.pause())

    async def _renew(self, key: str | None) -> None:
        link = self._route.link(key)
        if link is not None:
            await link.renew()

    async def _load_missing(self, key: str | None, attempts: _Attempts) -> None:
        """Loads the library for a server that did not have the function."""
        await self._load_again()
        if attempts.missing > 1:
            # The library was loaded on the primary, but the call went to a server that is none any more.
            await self._renew(key)
            await self._find_primaries(attempts.backoff)

    async def _load_again(self) -> None:
        """Loads the library again, after a server has lost it."""
        try:
            await self.load()
        except StorageUnavailable as error:
            log.log(
                self._not_loaded.level(),
                "cannot load the function library",
                reason=error_text(error.__cause__),
            )
        except LibraryChanged as error:
            log.error("cannot load the function library", reason=str(error))
            raise InternalError from error

    async def _find_primaries(self, backoff: Backoff) -> None:
        """Waits a moment, or until another primary is named, then finds out which servers are primaries."""
        if not self._closed:
            self._named.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff.pause()):
                await self._named.wait()
        self._refuse_if_closed()
        try:
            await self._route.refresh()
        except REDIS_ERRORS as error:
            log.log(self._not_found.level(), "cannot find the primaries", reason=error_text(error))


_durations: dict[object, Histogram] = {}
"""The histogram of each function and command. A look-up by prometheus_client itself is slower."""


def _duration_of(command: Command) -> Histogram:
    """The histogram of a call's function, or of its command where it calls none."""
    word, function, *_ = command
    name = function if word in ("FCALL", "FCALL_RO") else word
    found = _durations.get(name)
    if found is None:
        found = _durations[name] = metrics.redis_calls.labels(str(name).lower())
    return found


def _is_change(command: Command) -> bool:
    """Whether a call may change a session, or speaks for other changes."""
    return command[0] == CONFIRM or (command[0] == "FCALL" and command[2] == _SESSION_KEYS)


def _no_answer(reason: str) -> NoAnswer:
    log.debug("storage unavailable", reason=reason)
    return NoAnswer(retry_after_ms=1000)


def _unavailable(reason: str) -> StorageUnavailable:
    log.debug("storage unavailable", reason=reason)
    if reason.startswith("NOREPLICAS"):
        return ChangesRefused(retry_after_ms=1000)
    return StorageUnavailable(retry_after_ms=1000)


async def connect(settings: Settings, breakers: Breakers | None = None) -> Connection:
    """The connection that the settings describe, with the library loaded.

    When Redis is away, this returns without the library, which is loaded as soon as Redis is back. Raises
    LibraryChanged.
    """
    connection = Connection.to(settings, breakers)
    try:
        await connection.load_when_possible()
    except BaseException:
        await connection.aclose()
        raise
    return connection
