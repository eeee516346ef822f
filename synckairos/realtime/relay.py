"""The relay: sends what the library publishes about a session to all its subscribers.

One subscription per session and process, however many subscribers. An event is framed once and the same bytes
go to all of them; they are the bytes that the library published.

A topic is what this process knows of one session: the version and epoch that its subscribers have seen. All
subscribers that follow it are at that one position, so the loop that delivers only has to write. A subscriber
that is just attaching, or catching up, has a position of its own until it reaches the topic's. Three rules
keep the versions in order and without gaps:

- the event that follows the topic's position is delivered, an older one is dropped;
- anything else (a gap, another epoch, a lost subscription) puts the topic behind: the log is asked for what
  was missed, and where it does not reach back all subscribers get the state instead. Events that arrive
  meanwhile wait;
- no subscriber is ever sent a version older than one it has seen. If the server itself went back (a failover
  that lost its last writes), its subscribers are told to connect again and start afresh.

A session whose key vanished, and that did not age out, is brought back where there is an audit store that has
it live; while it is not known whether it has, its subscribers wait.

Every few seconds each topic's log is asked in any case: a message that was lost without a trace, and a key
that vanished without a keyspace event, are noticed within CHECK_EVERY_S.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol

import msgspec
import structlog
from redis.exceptions import RedisError

from synckairos import metrics
from synckairos.core.calls import Sessions
from synckairos.core.keys import SessionKeys, parse_session_key, partition
from synckairos.core.model import Over, State
from synckairos.errors import MessageBrokerError, SessionNotFound, SyncKairosError
from synckairos.realtime.messages import session_gone, state_sync, text_frame
from synckairos.realtime.server_time import ServerClock
from synckairos.realtime.subscriptions import Handler, Subscriptions
from synckairos.supervision import Backoff, cancel, supervise

logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

SUBSCRIBE_TIMEOUT_S = 5.0
CHECK_EVERY_S = 4.0
CHECK_ROUNDS = 16
CHECKED_AT_ONCE = 32
CATCHING_UP_AT_ONCE = 64
HELD_EVENTS = 256
"""Events kept while a topic is behind. When more arrive the oldest are dropped: the log has them."""
LATE_EVENT_S = 0.25
"""How long a vanished session's own event, or the keyspace event that says why, may still be under way."""

NORMAL_CLOSURE = 1000
SERVICE_RESTART = 1012


class Subscriber(Protocol):
    """A receiver of a session's events, such as a socket. Neither method may block or raise."""

    def send(self, frame: bytes) -> None:
        """Write one whole WebSocket frame."""

    def end(self, code: int, reason: str) -> None:
        """Close, after what was sent."""


class RecoversWatched(Protocol):
    """Where sessions are that Redis does not have."""

    async def find(self, session_id: str, seen: tuple[str | None, int] = ...) -> Over | None:
        """Bring a session back to Redis, if it was live; None: Redis is to be asked again.

        One that was over stays where it is. `seen`: epoch and version that subscribers have seen. Raises
        SessionNotFound, and StorageUnavailable when it is not known whether there is such a session.
        """


class Event(msgspec.Struct, frozen=True):
    """What the relay reads of an event."""

    type: str
    version: int
    epoch: str


decode_event = msgspec.json.Decoder(Event).decode


class Waiting:
    """A subscriber that does not follow its topic yet.

    version, epoch: where it is
    held: what it missed, while it is not known yet where it is (epoch None)
    """

    __slots__ = ("epoch", "held", "version")

    def __init__(self, epoch: str | None = None, version: int = 0) -> None:
        self.epoch = epoch
        self.version = version
        self.held: list[tuple[Event, bytes]] = []


class Topic:
    """A session with subscribers in this process."""

    __slots__ = (
        "behind",
        "channel",
        "epoch",
        "gone",
        "handler",
        "held",
        "live",
        "over",
        "ready",
        "recheck",
        "session_id",
        "version",
        "waiting",
        "why",
    )

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.channel = SessionKeys.of(session_id).session
        self.epoch: str | None = None
        """None until the first subscriber has got the state."""
        self.version = 0
        self.live: dict[Subscriber, None] = {}
        self.waiting: dict[Subscriber, Waiting] = {}
        self.held: deque[tuple[Event, bytes]] = deque(maxlen=HELD_EVENTS)
        self.behind = False
        self.recheck = False
        """Whether to catch up once more: something may have been missed since state or log was asked for."""
        self.why: str | None = None
        """Why the session's key vanished, as a keyspace event has it."""
        self.gone = False
        self.over = False
        """Whether only the audit store has it any more: it has ended, and nothing is to be looked for."""
        self.handler: Handler
        self.ready: asyncio.Task[None]


class Relay:
    """All topics of this process.

    sessions: those in Redis and no others; lost: where the others are
    """

    def __init__(
        self,
        sessions: Sessions,
        subscriptions: Subscriptions,
        clock: ServerClock,
        lost: RecoversWatched | None = None,
    ) -> None:
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._clock = clock
        self._lost = lost
        self._topics: dict[str, Topic] = {}
        self._behind: dict[Topic, None] = {}
        self._wake = asyncio.Event()
        self._catching_up = asyncio.Semaphore(CATCHING_UP_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def topics(self) -> int:
        """Sessions with at least one subscriber."""
        return len(self._topics)

    async def start(self) -> None:
        """Start to relay."""
        self._subscriptions.on_restored.append(self._restored)
        self._subscriptions.on_vanished.append(self._vanished)
        self._tasks = [
            asyncio.create_task(supervise("relay catch-up", self._run), name="relay catch-up"),
            asyncio.create_task(supervise("relay check", self._check), name="relay check"),
        ]

    async def stop(self) -> None:
        """Stop to relay. Subscribers stay connected; they are told nothing any more."""
        await cancel(*self._tasks, *self._jobs)
        for topic in list(self._topics.values()):
            self._drop(topic)

    async def attach(self, session_id: str, subscriber: Subscriber) -> State:
        """Subscribe first, then read the state.

        Nothing is sent to `subscriber` until `follow` says where it is.

        Raises SessionNotFound, MessageBrokerError (no subscription in time) and what reading can raise;
        nothing is left behind then.
        """
        topic = self._topics.get(session_id)
        if topic is None:
            topic = self._topics[session_id] = Topic(session_id)
            topic.handler = partial(self._arrived, topic)
            topic.ready = asyncio.create_task(
                self._subscriptions.subscribe(topic.channel, topic.handler), name="subscribe"
            )
            metrics.websocket_sessions.inc()
        topic.waiting[subscriber] = Waiting()
        try:
            try:
                async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                    await asyncio.shield(topic.ready)
            except TimeoutError as error:
                raise MessageBrokerError("the session's events cannot be subscribed to now") from error
            return await self._read(topic)
        except BaseException:
            self.detach(session_id, subscriber)
            raise

    async def _read(self, topic: Topic) -> State:
        try:
            return await self._sessions.get(topic.session_id)
        except SessionNotFound:
            if self._lost is None:
                raise
        over = await self._lost.find(topic.session_id)
        if over is None:
            return await self._sessions.get(topic.session_id)
        topic.over = True
        return over

    def follow(self, session_id: str, subscriber: Subscriber, epoch: str, version: int) -> None:
        """Send the subscriber, attached or held, what comes after `version` of `epoch`.

        Does nothing when it was detached meanwhile.
        """
        topic = self._topics.get(session_id)
        if topic is None or subscriber not in topic.waiting:
            return
        held = topic.waiting[subscriber].held
        place = topic.waiting[subscriber] = Waiting(epoch, version)
        if topic.epoch is None:
            topic.epoch, topic.version = epoch, version
            self._promote(topic)
            if topic.recheck:
                topic.recheck = False
                self._fall_behind(topic)
            else:
                self._drain(topic)
            return
        for event, frame in held:
            self._send_next(subscriber, place, event, frame)
        self._promote(topic)
        if subscriber in topic.waiting:
            self._fall_behind(topic)

    def hold(self, session_id: str, subscriber: Subscriber) -> tuple[str | None, int]:
        """Send the subscriber nothing until `follow`. Returns its position: epoch and version."""
        topic = self._topics.get(session_id)
        if topic is None:
            return None, 0
        if subscriber in topic.live:
            del topic.live[subscriber]
            position = topic.epoch, topic.version
        elif subscriber in topic.waiting:
            position = topic.waiting[subscriber].epoch, topic.waiting[subscriber].version
        else:
            return None, 0
        topic.waiting[subscriber] = Waiting()
        return position

    def detach(self, session_id: str, subscriber: Subscriber) -> None:
        """Forget the subscriber, and the session with its last one."""
        topic = self._topics.get(session_id)
        if topic is None:
            return
        topic.live.pop(subscriber, None)
        topic.waiting.pop(subscriber, None)
        if not topic.live and not topic.waiting:
            self._drop(topic)

    # What arrives

    def _arrived(self, topic: Topic, data: bytes) -> None:
        event = decode_event(data)
        if topic.behind or topic.epoch is None:
            topic.held.append((event, data))
        else:
            self._receive(topic, event, data)

    def _receive(self, topic: Topic, event: Event, data: bytes) -> None:
        if event.epoch == topic.epoch:
            if event.version <= topic.version:
                return
            if event.version == topic.version + 1:
                self._deliver(topic, event, data)
                return
        topic.held.append((event, data))
        self._fall_behind(topic)

    def _deliver(self, topic: Topic, event: Event, data: bytes) -> None:
        """Send the event that follows the topic's position to all subscribers."""
        began = perf_counter()
        frame = text_frame(data)
        topic.version = event.version
        followers = list(topic.live)
        for subscriber in followers:
            subscriber.send(frame)
        metrics.websocket_deliveries.inc(len(followers))
        metrics.relay_latency.observe(perf_counter() - began)
        if topic.waiting:
            for subscriber, place in topic.waiting.items():
                if place.epoch is None:
                    place.held.append((event, frame))
                else:
                    self._send_next(subscriber, place, event, frame)
            self._promote(topic)
        if event.type == "SESSION_DELETED":
            self._end(topic, NORMAL_CLOSURE, "the session was deleted")

    def _send_next(self, subscriber: Subscriber, place: Waiting, event: Event, frame: bytes) -> None:
        """Send the event if it is the next one for this subscriber."""
        if event.epoch == place.epoch and event.version == place.version + 1:
            place.version = event.version
            subscriber.send(frame)
            metrics.websocket_deliveries.inc()

    def _promote(self, topic: Topic) -> None:
        """Subscribers that have reached the topic's position follow it from now on."""
        for subscriber, place in list(topic.waiting.items()):
            if place.version == topic.version and place.epoch is not None and place.epoch == topic.epoch:
                del topic.waiting[subscriber]
                topic.live[subscriber] = None

    def _drain(self, topic: Topic) -> None:
        """Take what arrived while the topic was behind, or before it had a position."""
        held, topic.held = topic.held, deque(maxlen=HELD_EVENTS)
        while held and not topic.behind and not topic.gone:
            self._receive(topic, *held.popleft())
        topic.held.extend(held)

    # Catching up

    def _restored(self, channels: Collection[str]) -> None:
        for channel in channels:
            topic = self._topics.get(parse_session_key(channel) or "")
            if topic is not None:
                self._fall_behind(topic)

    def _vanished(self, key: bytes, event: str) -> None:
        if not key.startswith(b"sk:{"):
            return
        topic = self._topics.get(parse_session_key(key) or "")
        if topic is not None:
            topic.why = "ttl_expired" if event == "expired" else "evicted"
            self._fall_behind(topic)

    def _fall_behind(self, topic: Topic) -> None:
        """Have the topic caught up with the log. Until then its events wait."""
        if topic.epoch is None or topic.behind:
            topic.recheck = True
        elif not topic.gone:
            topic.behind = True
            self._behind[topic] = None
            self._wake.set()

    async def _run(self) -> None:
        self._behind.update((topic, None) for topic in self._topics.values() if topic.behind)
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._behind:
                topic = next(iter(self._behind))
                del self._behind[topic]
                await self._catching_up.acquire()
                job = asyncio.create_task(self._catch_up(topic), name="relay catch-up of a session")
                self._jobs.add(job)
                job.add_done_callback(self._catch_up_ended)

    def _catch_up_ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self._catching_up.release()

    async def _catch_up(self, topic: Topic) -> None:
        """Bring the topic up to date, however often it has to be tried."""
        backoff = Backoff()
        while not topic.gone:
            try:
                await self._catch_up_once(topic)
                return
            except SyncKairosError as error:
                logger.warning(
                    "a session's events cannot be read now", session=topic.session_id, error=repr(error)
                )
            except Exception:
                logger.exception("a session could not be caught up with", session=topic.session_id)
            self._catching_up.release()  # a session in trouble keeps no other one waiting
            try:
                await asyncio.sleep(backoff.pause())
            finally:
                await self._catching_up.acquire()

    async def _catch_up_once(self, topic: Topic) -> None:
        placed = [place for place in topic.waiting.values() if place.epoch is not None]
        missed = None
        try:
            if all(place.epoch == topic.epoch for place in placed):
                since = min([topic.version, *(place.version for place in placed)])
                missed = await self._sessions.log(topic.session_id, since, topic.epoch)
            if missed is not None and not topic.gone:
                self._deliver_missed(topic, missed)
                self._promote(topic)
            if missed is None or any(place.epoch is not None for place in topic.waiting.values()):
                self._resync(topic, await self._sessions.get(topic.session_id))
            topic.over = False
        except SessionNotFound:
            deleted = await self._tombstone(topic)
            await self._learn_why(topic, deleted)
            if not topic.gone and not await self._came_back(topic, deleted):
                self._announce_gone(topic, deleted)
        if not topic.gone:
            topic.behind = False
            topic.why = None
            self._drain(topic)
            if topic.recheck:
                topic.recheck = False
                self._fall_behind(topic)

    def _deliver_missed(self, topic: Topic, missed: Sequence[bytes]) -> None:
        """Deliver events of the log to all subscribers that have not seen them."""
        filled = False
        for data in missed:
            event = decode_event(data)
            if event.epoch != topic.epoch or topic.gone:
                return
            if event.version == topic.version + 1:
                filled = True
                self._deliver(topic, event, data)
            elif event.version <= topic.version and topic.waiting:
                frame = text_frame(data)
                for subscriber, place in topic.waiting.items():
                    self._send_next(subscriber, place, event, frame)
        if filled:
            metrics.relay_gaps.labels("log").inc()

    def _resync(self, topic: Topic, state: State) -> None:
        """The log does not reach back: send the state to all subscribers that have not seen it."""
        if topic.gone:
            return
        metrics.relay_gaps.labels("state").inc()
        before = topic.epoch, topic.version
        topic.epoch, topic.version = state.epoch, state.version
        frame = text_frame(state_sync(state))
        places: dict[Subscriber, tuple[str | None, int]] = dict.fromkeys(topic.live, before)
        places.update(
            (who, (place.epoch, place.version)) for who, place in topic.waiting.items() if place.epoch
        )
        for subscriber, (epoch, version) in places.items():
            if epoch == state.epoch and version > state.version:
                # The server lost changes that this subscriber has seen. It starts afresh, on a new
                # connection.
                topic.live.pop(subscriber, None)
                topic.waiting.pop(subscriber, None)
                subscriber.end(SERVICE_RESTART, "the session's newest changes were lost; connect again")
                continue
            if (epoch, version) != (state.epoch, state.version):
                subscriber.send(frame)
            topic.waiting.pop(subscriber, None)
            topic.live[subscriber] = None
        if not topic.live and not topic.waiting:
            self._drop(topic)

    async def _check(self) -> None:
        """Ask every topic's log for news, a few of them at a time, all within CHECK_EVERY_S."""
        while True:
            topics = list(self._topics.values())
            rounds = max(CHECK_ROUNDS, -(-len(topics) // CHECKED_AT_ONCE))
            for number in range(rounds):
                await asyncio.sleep(CHECK_EVERY_S / rounds)
                await asyncio.gather(*map(self._check_one, topics[number::rounds]))

    async def _check_one(self, topic: Topic) -> None:
        if topic.behind or topic.gone or topic.over or topic.epoch is None:
            return
        try:
            missed = await self._sessions.log(topic.session_id, topic.version, topic.epoch)
        except SessionNotFound:
            missed = None
        except SyncKairosError:
            return  # the storage is away; the next check comes
        if missed is None or (missed and decode_event(missed[-1]).version > topic.version):
            self._fall_behind(topic)

    # The end

    async def _learn_why(self, topic: Topic, deleted: tuple[int, str] | None) -> None:
        """Give the deletion's own event, or the reason of a vanished key, a moment to arrive."""
        waited = 0.0
        while waited < LATE_EVENT_S:
            if any(event.type == "SESSION_DELETED" for event, _ in topic.held):
                topic.behind = False
                self._drain(topic)
                if topic.gone:
                    return
                topic.behind = True
            if deleted is None and (topic.why or self._subscriptions.keyspace_events != "on"):
                break
            waited += LATE_EVENT_S / 5
            await asyncio.sleep(LATE_EVENT_S / 5)

    async def _came_back(self, topic: Topic, deleted: tuple[int, str] | None) -> bool:
        """Bring a vanished session back, if it neither was deleted nor has aged out; whether it is there."""
        if deleted is not None or topic.why == "ttl_expired" or self._lost is None:
            return False
        try:
            over = await self._lost.find(topic.session_id, (topic.epoch, topic.version))
            state = over or await self._sessions.get(topic.session_id)
        except SessionNotFound:
            return False
        self._resync(topic, state)
        return over is None or topic.over

    def _announce_gone(self, topic: Topic, deleted: tuple[int, str] | None) -> None:
        """The session is not there any more: tell all subscribers so, and why."""
        if topic.gone:
            return
        version, epoch = deleted or (topic.version, topic.epoch or "")
        reason = "deleted" if deleted else topic.why or "evicted"
        now_ms = int(self._clock.now_ms(partition(topic.session_id)))
        frame = text_frame(session_gone(topic.session_id, version, epoch, now_ms, reason))
        for subscriber in (*topic.live, *topic.waiting):
            subscriber.send(frame)
        self._end(topic, NORMAL_CLOSURE, f"the session is gone: {reason}")

    async def _tombstone(self, topic: Topic) -> tuple[int, str] | None:
        """Version and epoch of the deletion; None when the session's key just vanished."""
        client = await self._sessions.connection.primary_for(topic.channel)
        try:
            fields: list[Any] = await client.hmget(topic.channel, ["status", "version", "epoch"])
        except (RedisError, OSError) as error:
            raise MessageBrokerError("it is not known why the session is gone") from error
        status, version, epoch = fields
        return (int(version), epoch.decode()) if status == b"deleted" else None

    def _end(self, topic: Topic, code: int, reason: str) -> None:
        subscribers = [*topic.live, *topic.waiting]
        self._drop(topic)
        for subscriber in subscribers:
            subscriber.end(code, reason)

    def _drop(self, topic: Topic) -> None:
        if topic.gone:
            return
        topic.gone = True
        topic.live.clear()
        topic.waiting.clear()
        del self._topics[topic.session_id]
        self._behind.pop(topic, None)
        topic.ready.cancel()
        self._subscriptions.unsubscribe(topic.channel, topic.handler)
        metrics.websocket_sessions.dec()
