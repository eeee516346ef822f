"""The connections to one primary, and what has to confirm a change. Private to `synckairos.core`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis.asyncio
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError

from synckairos.breakers.registry import Breakers
from synckairos.config import Settings
from synckairos.core.clients import CONNECT_S, address
from synckairos.core.fence import Fence
from synckairos.core.wire import SILENCE_S, Command, ConfirmedWire, Failure, InProcessWire, Wire
from synckairos.supervision import retrieve_error

log = structlog.get_logger(__name__)

T = TypeVar("T")

REPLICATED_MS = 500
"""With DURABILITY=replicated: how long the replicas may take to confirm a change."""
WAIT_MS = 100
"""How long one WAIT takes at most, before the next one asks for the same."""
DURABLE_MS = 1500
"""With DURABILITY=durable: how long they may take to have it on disk, which is done once a second."""

AnyWire = Wire | InProcessWire | ConfirmedWire


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What has to confirm a change before it is acknowledged.

    replicas: how many replicas; None for as many as there are to be, see `PrimaryLink.expected`
    on_disk: whether the primary and they must have it on disk
    """

    replicas: int | None = None
    on_disk: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Confirmation | None:
        """The one of the settings; None when changes are acknowledged at once."""
        if settings.durability == "async":
            return None
        return cls(settings.replicas, on_disk=settings.durability == "durable")

    def needed(self, expected: int) -> int:
        """How many replicas have to confirm, when without a setting it would be `expected`."""
        return self.replicas or expected

    def command(self, expected: int) -> Command:
        """The command that waits for them."""
        needed = self.needed(expected)
        return ("WAITAOF", 1, needed, WAIT_MS) if self.on_disk else ("WAIT", needed, WAIT_MS)

    def within_s(self) -> float:
        """How long a change may take to be confirmed, in seconds."""
        return (DURABLE_MS if self.on_disk else REPLICATED_MS) / 1000

    def is_met(self, reply: Any, expected: int) -> bool:
        """Whether the reply of that command says that enough of them confirmed."""
        if isinstance(reply, Failure):
            return False
        on_primary, replicas = reply if self.on_disk else (1, reply)
        return bool(on_primary) and int(replicas) >= self.needed(expected)


class Lane:
    """A wire to one primary, which is made anew when it breaks."""

    def __init__(
        self, client: redis.asyncio.Redis, silence_s: float, over: Callable[[Wire | InProcessWire], AnyWire]
    ) -> None:
        self._client = client
        self._silence_s = silence_s
        self._over = over
        self._wire: AnyWire | None = None
        self._retired: list[AnyWire] = []
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False
        self.must_be_primary = False

    def ready(self) -> AnyWire | None:
        """The wire, if it works and can take another call at once."""
        wire = self._wire
        return None if wire is None or wire.broken or wire.full else wire

    async def connected(self) -> AnyWire:
        """Waits for the wire. Raises RedisError or OSError when the primary cannot be reached.

        Once this is closed, redis.ConnectionError is raised: nobody would close another wire.
        """
        while self._wire is None or self._wire.broken:
            if self._closed:
                raise redis.ConnectionError("the connection is closed")
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
                self._connecting.add_done_callback(retrieve_error)
            await shared(self._connecting)
        wire = self._wire
        await wire.room()
        return wire

    async def _connect(self) -> None:
        connection = cast(AbstractConnection, self._client.connection_pool.make_connection())
        try:
            await connection.connect()
            if self.must_be_primary:
                await _check_role(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        writer = connection._writer  # noqa: SLF001 - the socket, with TLS and login done
        if not isinstance(writer, asyncio.StreamWriter):
            self._wire = self._over(InProcessWire(self._client))
            return
        wire = Wire(writer, self._silence_s)
        writer.transport.set_protocol(wire)
        connection._writer = None  # noqa: SLF001 - only the wire uses the socket from here on
        self._wire = self._over(wire)

    def retire(self) -> None:
        """Has the next call make a new wire. Calls that are under way still get their replies."""
        wire, self._wire = self._wire, None
        if wire is not None:
            self._retired = [*(old for old in self._retired if not old.broken), wire]
            wire.retire()

    async def aclose(self, reason: str) -> None:
        """Closes the wires. Calls that are under way fail."""
        self._closed = True
        await end_tasks(self._connecting)
        self.retire()
        for wire in self._retired:
            wire.fail(reason)


async def _check_role(connection: AbstractConnection) -> None:
    """Raises redis.ConnectionError when the server is not a primary; a server may forbid the question."""
    try:
        await connection.send_command("ROLE")
        role, *_ = await connection.read_response()
    except NoPermissionError:
        return
    if role != b"master":
        raise redis.ConnectionError(f"the server that was named as the primary is a {role.decode()}")


class PrimaryLink:
    """The connections to one primary: a client, and wires for function calls.

    calls: for calls that need no confirmation
    changes: for changes; the same as `calls` when changes are acknowledged at once
    electable: how many replicas can become the primary in its place
    unconfirmed: whether the last change was not confirmed in time
    breaker: refuses calls while the primary does not answer
    named_at: when another node last redirected a call here (monotonic seconds)
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        confirmation: Confirmation | None = None,
        *,
        must_be_primary: bool = False,
        fence: Fence | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        self.client = client
        self._fence = fence
        self._breakers = breakers or Breakers()
        self.breaker = self._breakers.renewed(
            f"redis {address(client)}", self._reach, lambda: self.electable > 0
        )
        self.electable = 0
        self.unconfirmed = False
        self.named_at = -math.inf
        self._confirmation = confirmation
        self.calls = self.changes = Lane(client, SILENCE_S, lambda wire: wire)
        if confirmation is not None:
            silence_s = SILENCE_S + DURABLE_MS / 1000 if confirmation.on_disk else SILENCE_S
            self.changes = Lane(client, silence_s, self._confirmed)
        for lane in self._lanes:
            lane.must_be_primary = must_be_primary

    def is_alone(self) -> bool:
        """Whether it is sure that no other server can become the primary: only Sentinels can tell."""
        return self._fence is not None and self._fence.is_alone()

    async def pause(self, longest_s: float) -> None:
        """Waits so long before a call that was refused is repeated, or less when it is let in before."""
        if self._fence is None:
            await asyncio.sleep(longest_s)
        else:
            await self._fence.pause(longest_s)

    @property
    def expected(self) -> int:
        """How many replicas have to confirm a change, where no setting says so.

        All that can become the primary, and at least one, unless it is sure that there is none.
        """
        return self.electable or (0 if self.is_alone() else 1)

    @property
    def lacks_replicas(self) -> bool:
        """Whether more replicas have to confirm a change than are known to work."""
        wanted = self._confirmation.replicas if self._confirmation is not None else None
        return wanted is not None and self._fence is not None and self.electable < wanted

    @property
    def unreplicated(self) -> bool:
        """Whether changes are acknowledged that no replica has, because there is none."""
        return self.is_alone() and not (self._confirmation and self._confirmation.needed(self.expected))

    @property
    def _lanes(self) -> set[Lane]:
        return {self.calls, self.changes}

    def _confirmed(self, wire: Wire | InProcessWire) -> ConfirmedWire:
        confirmation = self._confirmation
        assert confirmation is not None

        def is_confirmed(reply: Any) -> bool:
            return confirmation.is_met(reply, self.expected)

        def concluded(reply: Any) -> None:
            if isinstance(reply, Failure) and not reply.lost and not self.unconfirmed:
                log.error("changes cannot be confirmed", reason=reply.text)
            self.unconfirmed = not is_confirmed(reply)

        return ConfirmedWire(
            wire,
            lambda: confirmation.command(self.expected),
            is_confirmed,
            confirmation.within_s,
            concluded,
        )

    async def renew(self) -> None:
        """Has the next call look for the primary anew. Calls that are under way still get their replies."""
        for lane in self._lanes:
            lane.retire()
        # The client's idle connections go to the same server, so they are closed too.
        await self.client.connection_pool.disconnect(inuse_connections=False)

    async def _reach(self) -> None:
        """Raises TimeoutError when the primary hangs, RedisError or OSError when it cannot be reached."""
        async with asyncio.timeout(CONNECT_S):
            try:
                wire = await self.calls.connected()
            except redis.TimeoutError as error:
                raise TimeoutError from error
            reply = await wire.send(("PING",))
        if reply.__class__ is Failure:
            raise TimeoutError(reply.text) if reply.lost else redis.ConnectionError(reply.text)

    async def aclose(self, reason: str = "the service is closing") -> None:
        """Closes the client and the wires. Calls that are under way fail."""
        await self._breakers.forget(self.breaker)
        for lane in self._lanes:
            await lane.aclose(reason)
        await self.client.aclose()


async def shared(task: asyncio.Task[T]) -> T:
    """The result of a task that several callers wait for. One that gives up does not end it for the others.

    Raises redis.ConnectionError when the task was cancelled, because its owner was closed. A CancelledError
    would look to each caller like the end of its own task.
    """
    await asyncio.wait((task,))
    if task.cancelled():
        raise redis.ConnectionError("the connection was closed meanwhile")
    return task.result()


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancels the tasks that are not None, and waits until they have ended."""
    found = [task for task in tasks if task is not None]
    for task in found:
        task.cancel()
    await asyncio.gather(*found, return_exceptions=True)
