"""Sharded Pub/Sub with one server, Sentinels or a cluster: one subscribing connection for each primary.

A channel stays subscribed as long as it has a handler. Changes are sent to the server in order, so a handler
may subscribe while an unsubscribe is still under way. Many changes at the same time become few commands.

When another server becomes a primary, its channels move there at once. When a slot moves, only its channels
do. A connection that is lost is made anew, after a pause that grows up to LONGEST_PAUSE_S, and its channels
are subscribed again. `on_restored` gets the channels that may have missed messages meanwhile. The same
connections listen to the keyspace events of keys that are gone.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Literal

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ClusterError, MovedError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from synckairos.core.connection import Connection
from synckairos.core.keyspace import GONE_EVENTS, missing_flags
from synckairos.errors import error_text
from synckairos.supervision import Backoff, Telling, cancel, supervise, together

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Handler = Callable[[bytes], None]
"""Is called with each message of a channel, and must not block."""
KeyspaceEvents = Literal["on", "off", "unknown"]

CONNECT_TIMEOUT_S = 5.0
PING_EVERY_S = 1.0
UNANSWERED_PINGS = 3
"""A connection on which nothing came after so many pings in a row counts as lost. Pings are counted, and not
seconds, because this process may have stood still."""
LONGEST_PAUSE_S = 0.5
TOPOLOGY_EVERY_S = 5.0
CHANNELS_A_COMMAND = 512
READS_A_TURN = 128
"""How many messages are read before other tasks get their turn."""


class _Channel:
    """A channel: its handlers, and what the server has subscribed so far."""

    __slots__ = (
        "active",
        "confirmed",
        "handlers",
        "link",
        "losses",
        "missed",
        "name",
        "pending",
        "waiters",
    )

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.handlers: tuple[Handler, ...] = ()
        self.link: _PubSubConnection | None = None
        self.active = False
        """Whether the last command that was sent for it was SSUBSCRIBE."""
        self.pending = 0
        """How many commands for it are not answered yet."""
        self.confirmed = False
        self.losses = 0
        """How often its server was lost. Replies to commands of before then do not concern it any more."""
        self.missed = False
        """Whether it was confirmed once and then lost, so that its handlers may have missed messages."""
        self.waiters: list[asyncio.Future[None]] = []

    def confirm(self) -> None:
        self.confirmed = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def lose(self) -> None:
        self.missed = self.missed or self.confirmed
        self.confirmed = self.active = False
        self.pending = 0
        self.losses += 1
        self.link = None


class Subscriptions:
    """All subscriptions of this process.

    on_restored: called with the channels that were lost and are subscribed again
    on_vanished: called with a key and `del`, `expired` or `evicted`, for any key of the server
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channels: dict[bytes, _Channel] = {}
        self._links: dict[Redis, _PubSubConnection] = {}
        self._unrouted: set[_Channel] = set()
        self._route_wake = asyncio.Event()
        self._topology_changed = asyncio.Event()
        self._restored: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.on_restored: list[Callable[[Collection[str]], None]] = []
        self.on_vanished: list[Callable[[bytes, str], None]] = []

    @property
    def keyspace_events(self) -> KeyspaceEvents:
        """`on` when every primary publishes keys that are gone, `off` when one of them does not."""
        states = {link.keyspace_events for link in self._links.values()}
        if states == {"on"}:
            return "on"
        return "off" if "off" in states else "unknown"

    @property
    def keyspace_detail(self) -> str:
        """Why keyspace events do not work, and what to do about it; empty when they do."""
        return "; ".join(
            sorted({link.keyspace_detail for link in self._links.values() if link.keyspace_detail})
        )

    async def start(self) -> None:
        """Connect to every primary, in the background."""
        self._connection.on_change.add(self._topology_changed.set)
        self._tasks = [
            asyncio.create_task(supervise("subscription routes", self._route), name="subscription routes"),
            asyncio.create_task(supervise("topology", self._watch_topology), name="topology"),
        ]

    async def stop(self) -> None:
        """Close all connections. Nothing is delivered afterwards."""
        self._connection.on_change.discard(self._topology_changed.set)
        await cancel(*self._tasks)
        await asyncio.gather(*(link.stop() for link in self._links.values()))
        self._links.clear()
        for channel in self._channels.values():
            for waiter in channel.waiters:
                waiter.cancel()
        self._channels.clear()

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Deliver the channel's messages to `handler`.

        Returns when the server has confirmed the subscription, however long that takes. A call that is
        cancelled before that leaves its handler there until `unsubscribe`.
        """
        name = channel.encode()
        entry = self._channels.get(name)
        if entry is None:
            entry = self._channels[name] = _Channel(name)
        entry.handlers = (*entry.handlers, handler)
        if entry.confirmed and entry.active:
            return
        waiter = asyncio.get_running_loop().create_future()
        entry.waiters.append(waiter)
        self._update_soon(entry)
        await waiter

    def unsubscribe(self, channel: str, handler: Handler) -> None:
        """Stop delivering to `handler` at once. With the last handler, the server's subscription ends too."""
        entry = self._channels.get(channel.encode())
        if entry is None or handler not in entry.handlers:
            return
        handlers = list(entry.handlers)
        handlers.remove(handler)
        entry.handlers = tuple(handlers)
        if not handlers:
            self._update_soon(entry)

    def _update_soon(self, channel: _Channel) -> None:
        """Bring the server's subscription of the channel up to date, soon."""
        if channel.link is not None:
            channel.link.update_soon(channel)
        elif channel.handlers:
            self._unrouted.add(channel)
            self._route_wake.set()
        else:
            self.forget(channel)

    def forget(self, channel: _Channel) -> None:
        """Remove a channel that has no handler and that no server has subscribed."""
        self._unrouted.discard(channel)
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]

    def reroute(self, channels: Iterable[_Channel], *, after_pause: bool = False) -> None:
        """Find a server for these channels again: theirs was lost, or their slot moved to another one."""
        for channel in channels:
            channel.lose()
            if after_pause:
                asyncio.get_running_loop().call_later(LONGEST_PAUSE_S / 2, self._update_soon, channel)
            else:
                self._update_soon(channel)

    def slot_moved(self, moved: MovedError) -> None:
        """Note which node serves a slot by now, as another one has said."""
        self._connection.redirect(moved.host, moved.port, moved.slot_id)

    def report_restored(self, channel: _Channel) -> None:
        """Report the channel to `on_restored`, together with all others of this turn of the event loop."""
        if not self._restored:
            asyncio.get_running_loop().call_soon(self._call_restored)
        self._restored.append(channel.name.decode())

    def _call_restored(self) -> None:
        restored, self._restored = self._restored, []
        logger.debug("subscriptions restored", channels=len(restored))
        for callback in self.on_restored:
            callback(restored)

    async def _route(self) -> None:
        """Hand each new channel to the connection of the primary that serves it."""
        backoff, telling = Backoff(longest=LONGEST_PAUSE_S), Telling()
        self._route_wake.set()
        while True:
            await self._route_wake.wait()
            self._route_wake.clear()
            try:
                while self._unrouted:
                    channel = next(iter(self._unrouted))
                    client = await self._connection.primary_for(channel.name.decode())
                    if channel not in self._unrouted:  # unsubscribed meanwhile
                        continue
                    self._unrouted.discard(channel)
                    self._link(client).adopt(channel)
            except Exception as error:  # noqa: BLE001 - no server or no topology: the channels wait
                logger.log(
                    telling.level(),
                    "no server is known for some channels",
                    channels=len(self._unrouted),
                    error=error_text(error.__cause__ or error),
                )
                await asyncio.sleep(backoff.pause())
                self._route_wake.set()
            else:
                backoff.reset()

    async def _watch_topology(self) -> None:
        """Keep a connection to every primary, because each publishes the keyspace events of its own keys."""
        backoff, telling = Backoff(longest=LONGEST_PAUSE_S), Telling()
        while True:
            self._topology_changed.clear()
            try:
                clients = await self._connection.primaries()
            except Exception as error:  # noqa: BLE001 - no server or no topology: the next round asks again
                logger.log(
                    telling.level(), "the primaries are not known", error=error_text(error.__cause__ or error)
                )
                await asyncio.sleep(backoff.pause())
                continue
            backoff.reset()
            for client in clients:
                self._link(client)
            for client in [known for known in self._links if known not in clients]:
                link = self._links[client]
                await link.stop()
                del self._links[client]  # not before: `stop` ends this loop, and stops what is here
                self.reroute(link.channels_left())
            for link in self._links.values():
                self.reroute(link.channels_of_others())
            with suppress(TimeoutError):
                async with asyncio.timeout(TOPOLOGY_EVERY_S):
                    await self._topology_changed.wait()

    def is_at(self, channel: _Channel, client: Redis) -> bool:
        """Whether the channel's slot is served there, as far as that is known."""
        return self._connection.known_primary_for(channel.name.decode()) in (client, None)

    def _link(self, client: Redis) -> _PubSubConnection:
        link = self._links.get(client)
        if link is None:
            link = self._links[client] = _PubSubConnection(self, client)
        return link


class _PubSubConnection:
    """The subscribing connection to one primary."""

    def __init__(self, owner: Subscriptions, client: Redis) -> None:
        self._owner = owner
        self._client = client
        self._channels: dict[bytes, _Channel] = {}
        self._dirty: set[_Channel] = set()
        self._wake = asyncio.Event()
        self._sent: deque[tuple[bytes, dict[bytes, int]]] = deque()
        """The commands that are not answered yet: what was asked (as in its replies), and for which channels,
        with how often each was lost before."""
        self._pings = 0
        """How many pings were sent since something came."""
        self._backoff = Backoff(longest=LONGEST_PAUSE_S)
        self._listening = False
        self._away = False
        self.keyspace_events: KeyspaceEvents = "unknown"
        self.keyspace_detail = "the server was not asked yet"
        self._task = asyncio.create_task(supervise("subscriptions", self._run), name="subscriptions")

    def adopt(self, channel: _Channel) -> None:
        """Subscribe the channel here."""
        channel.link = self
        self._channels[channel.name] = channel
        self.update_soon(channel)

    def update_soon(self, channel: _Channel) -> None:
        """Bring the server's subscription of the channel up to date, soon."""
        self._dirty.add(channel)
        self._wake.set()

    async def stop(self) -> None:
        """Close the connection."""
        await cancel(self._task)

    def channels_left(self) -> list[_Channel]:
        """Give up the channels of this connection, and return them."""
        channels = list(self._channels.values())
        self._channels.clear()
        self._dirty.clear()
        return channels

    def channels_of_others(self) -> list[_Channel]:
        """Give up the channels whose slots are served by other primaries, and return them."""
        moved = [
            channel for channel in self._channels.values() if not self._owner.is_at(channel, self._client)
        ]
        self._give_up(moved)
        return moved

    def _give_up(self, channels: Iterable[_Channel]) -> None:
        for channel in channels:
            self._channels.pop(channel.name, None)
            self._dirty.discard(channel)

    async def _run(self) -> None:
        """Connect, and serve until the connection is lost; then give the channels back and connect again."""
        while True:
            connection: AbstractConnection | None = None
            try:
                connection = self._client.connection_pool.make_connection()
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await connection.connect()
                    await self._enable_keyspace_events()
                    await self._listen_to_keyspace(connection)
                self._pings = 0
                self._sent.clear()
                self._away = False
                self._dirty.update(self._channels.values())
                self._wake.set()
                await together(self._read(connection), self._write(connection), self._ping(connection))
            except* (RedisError, OSError) as group:  # a timeout is an OSError
                if not self._away:
                    logger.warning("a subscribing connection was lost", error=_text(group))
                self._away = True
            finally:
                if connection is not None:
                    with suppress(Exception):
                        await connection.disconnect(nowait=True)
                self._owner.reroute(self.channels_left())
            await asyncio.sleep(self._backoff.pause())

    async def _enable_keyspace_events(self) -> None:
        """Set the server to publish keys that are gone, as far as this service has the permission.

        Every new connection does this, because a server that was restarted may have lost the setting.
        """
        before = self.keyspace_events
        try:
            flags = str((await self._client.config_get("notify-keyspace-events"))["notify-keyspace-events"])
        except (ResponseError, NoPermissionError, KeyError) as error:
            self.keyspace_events = "unknown"
            self.keyspace_detail = f"the server does not show its notify-keyspace-events ({error})"
        else:
            missing = missing_flags(flags)
            self.keyspace_events, self.keyspace_detail = "on", ""
            if missing:
                try:
                    await self._client.config_set("notify-keyspace-events", flags + missing)
                except (ResponseError, NoPermissionError) as error:
                    self.keyspace_events = "off"
                    self.keyspace_detail = (
                        f"the server's notify-keyspace-events is {flags!r} and may not be set by this service"
                        f" ({error}); set it to {flags + missing!r}, or vanished sessions are noticed later"
                        " and without the reason"
                    )
        if self.keyspace_events not in ("on", before):
            logger.warning("no keyspace events", detail=self.keyspace_detail)

    async def _listen_to_keyspace(self, connection: AbstractConnection) -> None:
        database = int(getattr(connection, "db", 0) or 0)
        channels = [f"__keyevent@{database}__:{event}" for event in GONE_EVENTS]
        self._listening = False
        await connection.send_command("SUBSCRIBE", *channels)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            for _ in range(READS_A_TURN):
                try:
                    reply = await connection.read_response(
                        disable_decoding=True, timeout=math.inf, disconnect_on_error=False, push_request=True
                    )
                except ResponseError as error:
                    self._refused(error)
                    continue
                finally:
                    self._pings = 0
                if isinstance(reply, list):
                    self._receive(reply)
            await asyncio.sleep(0)

    def _refused(self, error: ResponseError) -> None:
        """Handle an error reply, which answers the oldest command that is not answered yet."""
        if not self._listening and isinstance(error, NoPermissionError):
            # The first reply answers the SUBSCRIBE for keyspace events. The service can do without those, so
            # this error is only reported.
            self._listening = True
            self.keyspace_events = "off"
            self.keyspace_detail = f"this service may not subscribe to keyspace events ({error})"
            logger.warning("no keyspace events", detail=self.keyspace_detail)
            return
        if not self._sent or not isinstance(error, ClusterError | MovedError):
            raise error
        # The slot of these channels has moved, or nobody serves it at the moment. The others stay.
        _, names = self._sent.popleft()
        refused = [
            channel
            for name, losses in names.items()
            if (channel := self._channels.get(name)) is not None and channel.losses == losses
        ]
        self._give_up(refused)
        if isinstance(error, MovedError):
            self._owner.slot_moved(error)
        self._owner.reroute(refused, after_pause=not isinstance(error, MovedError))

    def _receive(self, reply: list[Any]) -> None:
        kind = reply[0]
        if kind == b"smessage":
            channel = self._channels.get(reply[1])
            for handler in channel.handlers if channel is not None else ():
                try:
                    handler(reply[2])
                except Exception:
                    logger.exception("a message's handler failed", channel=reply[1].decode())
        elif kind in (b"ssubscribe", b"sunsubscribe"):
            self._answered(kind, reply[1])
        elif kind == b"message":
            event = reply[1].rpartition(b":")[2].decode()
            for callback in self._owner.on_vanished:
                callback(reply[2], event)
        elif kind == b"subscribe":
            self._listening = True

    def _answered(self, kind: bytes, name: bytes) -> None:
        asked, names = self._sent[0] if self._sent else (b"", {})
        channel = self._channels.get(name)
        if asked != kind or name not in names:
            # The server ended the subscription by itself, because the slot has moved.
            if channel is not None and kind == b"sunsubscribe":
                self._give_up([channel])
                self._owner.reroute([channel])
            return
        losses = names.pop(name)
        if not names:
            self._sent.popleft()
        if channel is None or channel.losses != losses:
            return
        channel.pending -= 1
        if channel.pending:
            return
        if channel.active:
            self._backoff.reset()
            channel.confirm()
            if channel.missed:
                channel.missed = False
                self._owner.report_restored(channel)
        elif not channel.handlers:
            self._give_up([channel])
            self._owner.forget(channel)

    async def _write(self, connection: AbstractConnection) -> None:
        """Send all changes since the last time to the server at once."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands: dict[tuple[str, bytes], list[_Channel]] = defaultdict(list)
            dirty, self._dirty = self._dirty, set()
            for channel in dirty:
                wanted = bool(channel.handlers)
                if wanted == channel.active:
                    if not wanted and not channel.pending:
                        self._channels.pop(channel.name, None)
                        self._owner.forget(channel)
                    continue
                channel.active = wanted
                channel.confirmed = False
                channel.pending += 1
                # One command may name channels of one slot only: those with the same hash tag.
                tag = channel.name[: channel.name.find(b"}") + 1]
                commands["SSUBSCRIBE" if wanted else "SUNSUBSCRIBE", tag].append(channel)
            packed: list[tuple[str | bytes, ...]] = []
            for (command, _), channels in commands.items():
                for start in range(0, len(channels), CHANNELS_A_COMMAND):
                    some = {each.name: each.losses for each in channels[start : start + CHANNELS_A_COMMAND]}
                    packed.append((command, *some))
                    self._sent.append((command.lower().encode(), some))
            if packed:
                await connection.send_packed_command(connection.pack_commands(packed), check_health=False)

    async def _ping(self, connection: AbstractConnection) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            if self._pings == UNANSWERED_PINGS:
                raise RedisConnectionError("the server fell silent")
            self._pings += 1
            await connection.send_command("PING", check_health=False)


def _text(group: BaseExceptionGroup[BaseException]) -> str:
    """Type and text of the first error."""
    first = group.exceptions[0]
    return _text(first) if isinstance(first, BaseExceptionGroup) else f"{type(first).__name__}: {first}"
